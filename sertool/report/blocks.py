"""Headings, lines and tables of a page, and the page as Markdown or as what rich prints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SIGNS = re.compile(r"([\\|*_<`]|\](?=\())")


@dataclass(frozen=True)
class Heading:
    """A heading: level 1 is the page's."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Text:
    """A paragraph, or with several lines a list."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table: the first `words` columns are text, the others numbers.

    The first `keys` columns say what a row is of. The terminal shows them as one column, and once
    for the rows that follow each other; Markdown spells each row out, so that it can be searched.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int
    keys: int = 0


Block = Heading | Text | Grid


def markdown(blocks: Sequence[Block], level: int = 2) -> str:
    """Return blocks as Markdown, headings from `level` down."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append("#" * (level + block.level - 1) + " " + _plain(block.text))
        elif isinstance(block, Text):
            lines = [_plain(line) for line in block.lines]
            parts.append("\n".join(f"- {x}" for x in lines[1:]) if lines[0] == "" else lines[0])
        else:
            parts.append(_markdown_table(block))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Return text on one line with what Markdown would read as a sign escaped."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


def _markdown_table(grid: Grid) -> str:
    rule = ["---" if i < grid.words else "---:" for i in range(len(grid.header))]
    rows = [[_plain(cell) for cell in row] for row in (grid.header, *grid.rows)]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def terminal(blocks: Sequence[Block]) -> list[Any]:
    """Return blocks as what rich prints."""
    from rich.padding import Padding
    from rich.text import Text as RichText

    parts: list[Any] = []
    for block in blocks:
        if isinstance(block, Heading):
            style = "bold underline" if block.level == 1 else "bold"
            parts.append(
                Padding(RichText(block.text, style=style), (0 if not parts else 1, 0, 0, 0))
            )
        elif isinstance(block, Text) and block.lines[0] == "":
            parts.append(_terminal_list(block.lines[1:]))
        elif isinstance(block, Text):
            parts.append(RichText(block.lines[0]))
        else:
            parts.append(_terminal_table(block))
    return parts


def _terminal_list(lines: Sequence[str]) -> Any:
    from rich.table import Table
    from rich.text import Text as RichText

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=2, justify="right")
    grid.add_column()
    for line in lines:
        grid.add_row("·", RichText(line))
    return grid


def _terminal_table(grid: Grid) -> Any:
    from sertool.tables import table

    if grid.keys < 2:
        return table(grid.header, grid.rows, grid.words)
    rows, last = [], ""
    for row in grid.rows:
        name = " ".join(text for text in row[: grid.keys] if text)
        rows.append(["" if name == last else name, *row[grid.keys :]])
        last = name
    header = [" ".join(grid.header[: grid.keys]), *grid.header[grid.keys :]]
    return table(header, rows, grid.words - grid.keys + 1)
