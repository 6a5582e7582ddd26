"""What several stages need: whether an output is whole already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sertool.console import Console
from sertool.errors import InputError
from sertool.store import Store


def whole(output: Path, params: dict[str, Any], console: Console) -> bool:
    """Return whether a store made with `params` is there; InputError where others made it."""
    if not output.exists():
        return False
    with Store(output) as store:
        made_with = store.lineage[-1]["params"] if store.lineage else None
    if made_with != params:
        raise InputError(f"{output}: exists, made with other settings; --force replaces it")
    console.note(f"{output}: whole already")
    return True
