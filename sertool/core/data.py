"""Where the files of data/ are: in the checkout, or next to the code in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from sertool.core.errors import InputError


def data_path(*parts: str) -> Path:
    """Return the path of a file or folder of data/, e.g. `data_path("labels")`.

    Raises InputError where neither the wheel nor a checkout has it.
    """
    package = Path(__file__).resolve().parent.parent
    for root in (package / "_data", package.parent / "data"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"data/{'/'.join(parts)} is missing from this installation; reinstall sertool")
