"""A folder of figures: checked before any work is done, written file by file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sertool.core.errors import InputError
from sertool.formats.outputs import atomic_set, check_output, claim

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_folder(folder: Path, names: Iterable[str], replace: bool) -> None:
    """Raise InputError where figures of these names cannot be written into `folder`.

    A missing folder is made later; `replace` allows for figures that exist.
    """
    if not folder.is_dir():
        check_output(folder, force=False)
        return
    for name in names:
        check_output(folder / name, replace, alone=False)
    claim(folder)


def draw(
    folder: Path, figures: Mapping[str, Callable[[], Figure | None]], *, keep: bool = False
) -> list[Path]:
    """Write figures into `folder`, made if it is missing, and return the paths of those made.

    All of them appear, or none. What a name ends in, png or svg, is their format.
    A function that returns None has nothing to draw. Equal figures give equal bytes: with `keep`
    those that are there stay as they are, and InputError names one that is another.
    """
    from sertool.ui.figures import save, style

    folder.mkdir(exist_ok=True)
    drawn: dict[Path, bytes] = {}
    with style():
        for name, make in figures.items():
            figure = make()
            if figure is not None:
                file = io.BytesIO()
                save(figure, file, Path(name).suffix[1:])
                drawn[folder / name] = file.getvalue()
    waiting = [path for path, content in drawn.items() if not (keep and _there(path, content))]
    if waiting:
        with atomic_set(waiting) as temporaries:
            for temporary, path in zip(temporaries, waiting, strict=True):
                temporary.write_bytes(drawn[path])
    return list(drawn)


def _there(path: Path, content: bytes) -> bool:
    """Return whether a figure is there; InputError where another is."""
    if not path.is_file():
        return False
    if path.stat().st_size != len(content) or path.read_bytes() != content:
        raise InputError(f"{path}: is a figure of something else; --force replaces it")
    return True
