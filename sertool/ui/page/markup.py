"""Elements of a page: text that others wrote is escaped by construction, never by whoever calls."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from sertool.core.paths import show
from sertool.core.texts import visible
from sertool.ui.tables import Block, Grid, Heading, Sheet, Text

_VOID = ("br", "input", "meta")
_OPEN = ("td", "th", "tr")  # of a table: HTML ends these where the next one begins
_DRAWN = ("rect", "line", "circle", "path", "polyline")  # of a picture: these end in themselves


class Html(str):
    """Text that is markup already."""


Child = str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """Return an element. Children that are no `Html` are text; None is left out.

    An attribute's name may end in `_`, and other underscores are hyphens; True stands alone, None
    and False are left out.

    >>> tag("td", "a<b", class_="x", aria_label='"')
    '<td class="x" aria-label="&quot;">a&lt;b'
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID and not children:
        return Html(f"<{name}{given}>")
    if name in _DRAWN and not children:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{join(children)}{'' if name in _OPEN else f'</{name}>'}")


def join(children: Iterable[Child]) -> Html:
    """Return children one after another."""
    made = []
    for child in children:
        if isinstance(child, Html):
            made.append(str(child))
        elif isinstance(child, str):
            made.append(_text(child))
        elif child is not None:
            made.append(str(join(child)))
    return Html("".join(made))


def _text(value: str | int | float) -> str:
    return html.escape(visible(value) if isinstance(value, str) else f"{value:g}")


def section(title: str, name: str, *children: Child) -> Html:
    """Return a part of the page with its heading, which `#name` leads to."""
    head = tag("h2", title, id=f"{name}-title")
    return tag("section", head, *children, id=name, aria_labelledby=f"{name}-title")


def table(
    header: Sequence[Child], rows: Iterable[Sequence[Child]], caption: str, words: int = 1
) -> Html:
    """Return a table that scrolls within itself: the first `words` columns text, others numbers.

    The first number of a row has a class, which tells the style of those after it; the heading of
    a row needs no `scope`, for a column of headings alone.
    """
    head = tag("tr", [tag("th", cell, scope="col", class_=_kind(i, words)) for i, cell in
                      enumerate(header)])  # fmt: skip
    body = [
        tag("tr", tag("th", row[0]),
            [tag("td", cell, class_=_kind(i, words)) for i, cell in enumerate(row[1:], 1)])
        for row in rows
    ]  # fmt: skip
    parts = (tag("caption", caption), tag("thead", head), tag("tbody", body))
    made = tag("table", parts, class_="words")
    return scrolled(made, caption)


def scrolled(inner: Html, what: str) -> Html:
    """Return what may be wider than the page in a region that scrolls, by the keyboard, too."""
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=what)


def _kind(i: int, words: int) -> str | None:
    return "number" if i == words else None


def lines(text: str) -> Child:
    """Return text with its line breaks."""
    parts: list[Child] = []
    for i, line in enumerate(text.split("\n")):
        parts += [tag("br"), line] if i else [line]
    return parts


def blocks(given: Sequence[Block], skip: int = 0) -> list[Html]:
    """Return the blocks of a page as elements; headings below level 1 begin a section.

    skip: how many of the first blocks are left out.
    """
    made: list[list[Child]] = [[]]
    titles: list[str] = [""]
    last = ""
    for one in given[skip:]:
        if isinstance(one, Heading) and one.level <= 2:
            titles.append(one.text)
            made.append([])
            last = one.text
        elif isinstance(one, Heading):
            made[-1].append(tag("h3", one.text))
            last = one.text
        else:
            made[-1].append(block(one, last or "numbers"))
    whole = []
    for i, (title, parts) in enumerate(zip(titles, made, strict=True)):
        if title:
            whole.append(section(title, f"part-{i}", parts))
        elif parts:
            whole.append(tag("section", parts))
    return whole


def block(given: Block, title: str) -> Html:
    """Return a paragraph, list or table; `title` says what a table is of."""
    if isinstance(given, Text):
        if given.lines[0] == "":
            return tag("ul", [tag("li", line) for line in given.lines[1:]])
        return tag("p", given.lines[0])
    assert isinstance(given, Grid | Sheet)
    words = given.words if isinstance(given, Grid) else 1
    rows = [[lines(cell) for cell in row] for row in given.rows]
    return table(list(given.header), rows, show(title), words)
