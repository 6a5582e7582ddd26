"""Tables for people, as text that fits the terminal and survives a pipe."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any

PIPE_WIDTH = 100  # columns where the output is no terminal


def render(*parts: Any) -> str:
    """Return rich renderables as text: coloured for a terminal, plain in a pipe."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = None if terminal or "COLUMNS" in os.environ else PIPE_WIDTH
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=terminal,
        width=width,
        highlight=False,
        markup=False,  # names may hold brackets and colons
        emoji=False,
    )
    for part in parts:
        console.print(part)
    lines = buffer.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], words: int = 1) -> Any:
    """Return a rich table: the first `words` columns text, the others numbers, right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        made.add_column(Text(name), justify="left" if i < words else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    return made
