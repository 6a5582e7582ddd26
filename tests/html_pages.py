"""What a page holds, as a browser's parser sees it, and as its script reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

ENDLESS = {"br", "meta", "input"}
ENDS = {"td": ("td", "th"), "th": ("td", "th"), "tr": ("td", "th", "tr")}  # what a tag ends
OPEN = ("td", "th", "tr")  # what the end of its table ends


@dataclass
class Parsed(HTMLParser):
    """The elements of a page: tags with their attributes, and texts by the tag they stand in."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        while self.open and self.open[-1] in ENDS.get(tag, ()):
            self.open.pop()
        if tag not in ENDLESS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] in OPEN and tag not in OPEN:
            self.open.pop()
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def shown(self) -> str:
        """What a reader sees of it without the script."""
        return " ".join(text for tag, text in self.texts if tag not in ("script", "style"))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every such element."""
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(text: str) -> Parsed:
    """Return a page's elements; every one must be closed in its order."""
    page = Parsed()
    page.feed(text)
    page.close()
    assert not page.open
    return page


def data_of(page: Parsed) -> Any:
    """Return the JSON that a page's script reads."""
    return json.loads(next(text for tag, text in page.texts if tag == "script"))


def names_of(data: Any) -> list[str]:
    """Return the recordings' names, as the script puts them together."""
    before, names = "", []
    for shared, rest in zip(data["ids"][::2], data["ids"][1::2], strict=True):
        before = before[:shared] + rest
        names.append(before)
    return names


def posteriors_of(data: Any) -> list[list[float]]:
    """Return the posteriors of up to 20 classes, as the script reads them."""
    k = len(data["classes"])
    found = [int(data["p"][i : i + 2], 36) / 1000 for i in range(0, len(data["p"]), 2)]
    return [found[i : i + k] for i in range(0, len(found), k)]
