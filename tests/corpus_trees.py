"""Generated corpora for tests: trees of empty files, and what `discover` makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sertool.corpora.discover import discover
from sertool.items import Item
from sertool.ui.console import Console


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


class Listening(Console):
    """A console that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[str] = []

    def _print(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def look(*paths: Path, **options: Any) -> tuple[list[Item], Listening]:
    console = Listening()
    return discover(list(paths), console=console, **options), console


def counts(utterances: list[Item], field: str) -> dict[Any, int]:
    return dict(Counter(getattr(utterance, field) for utterance in utterances))
