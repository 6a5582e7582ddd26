"""A page and the folder of sound beside it: they appear together or not at all."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.formats.outputs import atomic, atomic_folder, check_output

_OURS = re.compile(r"\d{5,}\.(mp3|png)")
Keep = Callable[[str, bytes], None]


def folder_of(page: Path) -> Path:
    """Return the folder of a page's sound: `report.html` has `report-audio`."""
    return page.with_name(f"{page.stem}-audio")


def check_page(
    page: Path, replace: bool, inputs: Sequence[str | Path], beside: bool = False
) -> None:
    """Raise an error where a page cannot be written; `beside`: with a folder of sound.

    That folder may be there only where it is a page's, or empty: nothing else is ever removed.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {show(page)}: needs a name that ends in .html")
    check_output(page, replace, False, inputs)
    folder = folder_of(page)
    if not beside or not (folder.exists() or folder.is_symlink()):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{show(folder)}: is in the way of the page's sound; move it elsewhere")
    if not all(_OURS.fullmatch(one.name) and one.is_file() for one in folder.iterdir()):
        raise InputError(f"{show(folder)}: holds more than a page's sound; move it elsewhere")


@contextmanager
def opened(page: Path, beside: bool) -> Iterator[tuple[Path, Keep]]:
    """Yield a temporary file for the page, and what keeps a file in the folder beside it."""
    folder = folder_of(page)
    new = not folder.exists()
    try:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic(page))
            place = stack.enter_context(atomic_folder(folder)) if beside else None

            def keep(name: str, content: bytes) -> None:
                assert place is not None
                (place / name).write_bytes(content)

            yield temporary, keep
    except BaseException:
        if beside and new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
