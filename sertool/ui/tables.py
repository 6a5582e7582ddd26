"""Tables and pages for people: headings, lines and tables in the terminal, a pipe or Markdown."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sertool.core.texts import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.table import Table

PIPE_WIDTH = 100  # columns where the output is not a terminal
_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"−": "$-$", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$", "→": r"$\to$"}
)
_SIGNS = re.compile(r"([\\|*_<`]|\](?=\())")


def render(*parts: Any, width: int | None = None, wrap: bool = True) -> str:
    """Return what rich prints as text: coloured for a terminal, plain in a pipe.

    width: columns, instead of the terminal's (or `PIPE_WIDTH` in a pipe). wrap: break lines that
    are longer.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty() and width is None
    if not terminal and "COLUMNS" not in os.environ:
        width = width or PIPE_WIDTH
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=terminal,
        width=width,
        highlight=False,
        markup=False,  # names may hold brackets and colons
        emoji=False,
    )
    steadied(console)
    for part in parts:
        console.print(part, soft_wrap=not wrap)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def steadied(console: Console) -> None:
    """Have a console write what steers a terminal in a text as escapes that can be read."""
    hook: Any = _Steadied()  # rich, which declares it, is imported late
    console.push_render_hook(hook)


class _Steadied:
    """What a console asks before it prints: each part is rendered, and its text made visible."""

    def process_renderables(self, renderables: list[Any]) -> list[Any]:
        return [_Visible(one) for one in renderables]


@dataclass(frozen=True)
class _Visible:
    inner: Any

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], words: int = 1) -> Table:
    """Return a ruled table: the first `words` columns text, the others numbers, right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text as RichText

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        made.add_column(RichText(name), justify="left" if i < words else "right", overflow="fold")
    for row in rows:
        made.add_row(*(RichText("" if cell is None else str(cell)) for cell in row))
    return made


def columns(*header: str) -> Table:
    """Return a table without rules, to which rows are added: the first column to the left."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, name in enumerate(header):
        made.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    return made


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


@dataclass(frozen=True)
class Sheet:
    """A table of figures by class: `header` is its corner and columns, each row named by a class.

    The terminal breaks it between columns where it is wider. If `classes` are what the columns are,
    their names are cut instead, as little as possible, where that is enough.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    classes: bool = False


Block = Heading | Text | Grid | Sheet


def markdown(blocks: Sequence[Block], level: int = 2) -> str:
    """Return blocks as Markdown, headings from `level` down."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append("#" * (level + block.level - 1) + " " + escaped(block.text))
        elif isinstance(block, Text):
            lines = [escaped(line) for line in block.lines]
            parts.append("\n".join(f"- {x}" for x in lines[1:]) if lines[0] == "" else lines[0])
        elif isinstance(block, Sheet):
            parts.append(_markdown_table(Grid(block.header, block.rows, 1)))
        else:
            parts.append(_markdown_table(block))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return text on one line with what Markdown would read as a sign escaped."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


def _markdown_table(grid: Grid) -> str:
    rule = ["---" if i < grid.words else "---:" for i in range(len(grid.header))]
    rows = [[escaped(cell) for cell in row] for row in (grid.header, *grid.rows)]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def latex(blocks: Sequence[Block]) -> str:
    """Return blocks as LaTeX for a document that uses the package booktabs."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            command = "section" if block.level == 1 else "subsection"
            parts.append(f"\\{command}*{{{in_latex(block.text)}}}")
        elif isinstance(block, Text):
            lines = [in_latex(line) for line in block.lines]
            items = "\n".join(f"  \\item {line}" for line in lines[1:])
            bare = lines[0] != ""
            parts.append(lines[0] if bare else f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}")
        else:
            words = 1 if isinstance(block, Sheet) else block.words
            parts.append(_latex_table(Grid(block.header, block.rows, words)))
    return "\n\n".join(parts) + "\n"


def in_latex(text: str) -> str:
    """Return text on one line with what LaTeX would read as a command escaped."""
    return " ".join(text.split()).translate(_LATEX)


def _latex_table(grid: Grid) -> str:
    columns = "".join("l" if i < grid.words else "r" for i in range(len(grid.header)))
    head, *rows = (
        "  " + " & ".join(map(in_latex, row)) + r" \\" for row in (grid.header, *grid.rows)
    )
    lines = [r"  \toprule", head, r"  \midrule", *rows, r"  \bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}"])


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
        elif isinstance(block, Sheet):
            grid = Grid(block.header, block.rows, 1)
            parts.append(_Broken(grid, whole=True, classes=block.classes))
        else:
            parts.append(_Broken(_merged(block), whole=False))
    return parts


def _terminal_list(lines: Sequence[str]) -> Any:
    from rich.table import Table
    from rich.text import Text as RichText

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=2, justify="right")
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row("·", RichText(line))
    return grid


def _merged(grid: Grid) -> Grid:
    """Return a grid whose keys are one column."""
    if grid.keys < 2:
        return grid
    rows = [
        [" ".join(text for text in row[: grid.keys] if text), *row[grid.keys :]]
        for row in grid.rows
    ]
    header = [" ".join(grid.header[: grid.keys]), *grid.header[grid.keys :]]
    return Grid(header, rows, grid.words - grid.keys + 1, 1)


def fitted_names(names: Sequence[str], least: Sequence[int], room: int) -> list[str]:
    """Return names at the heads of columns, none cut but where `room` is short, then the longest.

    least: what each column needs for its cells; room: columns of characters for all of them. No
    name is cut to less than its cells need. Numbers where cutting would make two the same.

    >>> fitted_names(["anger", "happiness"], [4, 4], 14), fitted_names(["calm", "joy"], [1, 1], 4)
    (['anger', 'happiness'], ['c.', 'j.'])
    """
    from rich.cells import cell_len

    widths = list(map(cell_len, names))
    cap = max([1, *widths])
    while cap > 1 and sum(max(n, min(w, cap)) for n, w in zip(least, widths, strict=True)) > room:
        cap -= 1
    cut = [short(name, max(n, cap)) for name, n in zip(names, least, strict=True)]
    same = len(set(cut)) < len(set(names))
    return [str(i + 1) for i in range(len(names))] if same else cut


def short(text: str, width: int) -> str:
    """Return text cut to `width` columns of a terminal; a full stop says so."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 1:
        text = text[:-1]
    return text + "."


class _Broken:
    """A table as several of as many columns as the console has room for, its words in each.

    Numbers are not broken where one of their columns fits. whole: nor is any cell, where a table
    of fewer columns saves it. Rows that the further columns say nothing of are left out of them.
    classes: names of columns are cut where that saves breaking.
    """

    def __init__(self, grid: Grid, whole: bool, classes: bool = False) -> None:
        self.grid, self.whole, self.classes = grid, whole, classes

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.cells import cell_len

        width = options.max_width
        grid = _cut(self.grid, width) if self.classes else self.grid
        first, n = grid.words, len(grid.header)
        columns = [[grid.header[i], *(row[i] for row in grid.rows)] for i in range(n)]
        most = [_widest(cells) for cells in columns]
        least = [max(cell_len(word) for cell in c for word in [*cell.split(), ""]) for c in columns]
        needed = most if self.whole else least
        while first < n or first == grid.words == n:
            last = n
            while last > first + 1 and _wide(needed, grid.words, first, last) > width:
                last -= 1
            at = [*range(grid.words), *range(first, last)]
            room = width - _EDGES - _GAP * (len(at) - 1)
            yield _part(grid, at, _widths([least[i] for i in at], [most[i] for i in at], room))
            first = last + (first == n)


def _part(grid: Grid, at: Sequence[int], widths: Sequence[int] | None) -> Any:
    """Return some columns of a grid as a table."""
    further = at[-1] >= grid.words and at[grid.words] > grid.words
    rows = [
        [row[i] for i in at]
        for row in grid.rows
        if not further or any(row[i] for i in at[grid.words :])
    ]
    if grid.keys:  # said once for the rows that follow each other
        names = [row[0] for row in rows]
        for row, before in zip(rows[1:], names, strict=False):
            row[0] = "" if row[0] == before else row[0]
    made = table([grid.header[i] for i in at], rows, grid.words)
    for column, width in zip(made.columns, widths or (), strict=False):
        column.width = width
    return made


def _cut(grid: Grid, width: int) -> Grid:
    """Return a grid of one column of words with its other names cut, if one table is saved so."""
    corner, *names = grid.header
    words = _widest([corner, *(row[0] for row in grid.rows)])
    needed = [_widest(row[i] for row in grid.rows) for i in range(1, len(grid.header))]
    room = width - _EDGES - _GAP * len(names) - words
    cut = fitted_names(names, [max(NAMED, n) for n in needed], room)
    widths = [max(_widest([name]), n) for name, n in zip(cut, needed, strict=True)]
    numbered = cut != names and cut[:1] == ["1"]
    return grid if numbered or sum(widths) > room else Grid([corner, *cut], grid.rows, 1)


def _widest(cells: Iterable[str]) -> int:
    """Return how many columns of a terminal the longest line of some cells takes."""
    from rich.cells import cell_len

    return max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)


NAMED = 5  # characters that a class's name keeps at least, with its full stop
_EDGES, _GAP = 2, 3  # characters that a table's edges and each gap between columns take


def _wide(needed: Sequence[int], words: int, first: int, last: int) -> int:
    """Return how wide a table of the columns of words and those from first to last is."""
    widths = [*needed[:words], *needed[first:last]]
    return sum(widths) + _EDGES + _GAP * (len(widths) - 1)


def _widths(least: Sequence[int], most: Sequence[int], room: int) -> list[int] | None:
    """Return what each column gets of `room`: no less than its longest word needs.

    None where all fits, or where words must be broken.
    """
    spare = room - sum(least)
    if sum(most) <= room or spare < 0:
        return None
    widths = list(least)
    while spare:
        _, _, i = max((most[i] - widths[i], -i, i) for i in range(len(widths)))
        widths[i] += 1
        spare -= 1
    return widths
