"""What several stages need: whether an output is whole already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats.outputs import remove_left
from sertool.formats.store import Store
from sertool.ui.console import Console


def whole(
    output: Path,
    params: dict[str, Any],
    name: str,
    sha256: str,
    ids: Iterable[str],
    console: Console,
) -> bool:
    """Return whether a store made with `params` of the input is there; InputError for another's.

    The input is known by its name, its content's `sha256` where that is known ("": not yet), and
    the `ids` of its utterances: the store may lack some, which is said, but have no others.
    """
    if not output.exists():
        return False
    with Store(output) as store:
        record: dict[str, Any] = store.lineage[-1] if store.lineage else {"params": None}
        origins = set(store.column("origin"))
    if record["params"] != params:
        raise InputError(f"{show(output)}: exists, made with other settings; --force replaces it")
    made_of, expected = record["input"], set(ids)
    if (
        made_of["name"] != name
        or (sha256 and made_of["sha256"] != sha256)
        or not origins <= expected
    ):
        raise InputError(f"{show(output)}: exists, made of another input; --force replaces it")
    lacking = len(expected - origins)
    text = f"; {lacking} of {len(expected)} utterances are not in it, --force tries them again"
    console.note(f"{show(output)}: whole already{text if lacking else ''}")
    remove_left(output)
    return True
