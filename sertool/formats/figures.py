"""A folder of figures: checked before any work is done, written file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sertool.formats.outputs import atomic, check_output

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
        check_output(folder / name, replace)


def draw(folder: Path, figures: Mapping[str, Callable[[], Figure | None]]) -> list[Path]:
    """Write figures into `folder`, made if it is missing, and return the paths of those made.

    What a name ends in, png or svg, is their format.
    A function that returns None has nothing to draw. Equal figures give equal bytes.
    """
    from sertool.ui.figures import save, style

    folder.mkdir(exist_ok=True)
    written = []
    with style():
        for name, make in figures.items():
            figure = make()
            if figure is not None:
                with atomic(folder / name) as temporary:
                    save(figure, temporary, Path(name).suffix[1:])
                written.append(folder / name)
    return written
