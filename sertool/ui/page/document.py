"""A page as one file: what it says, how it looks and what it does, and nothing from outside.

A content security policy in the page allows its own style and script by their hashes, sound and
pictures that are in it or beside it, and nothing else: no network, no other script, whatever a name
may hold.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core.texts import json_text
from sertool.core.version import VERSION
from sertool.ui.page.markup import Child, Html, tag


@dataclass(frozen=True)
class Page:
    """What a page shows: its title, what stands below that, its sections, and its recordings.

    data: what its script reads, as `recordings.json_values` makes it; None for a page without.
    """

    title: str
    about: str
    sections: Sequence[Html]
    data: dict[str, Any] | None = None


def document(page: Page) -> str:
    """Return a page as the text of an HTML file."""
    beside = (page.data or {}).get("folder") is not None
    sound = "media-src 'self'; img-src 'self'" if beside else "media-src data:"
    switch = tag("button", "Dark or light", id="theme", type="button", hidden=True)
    return _written(page, _own("page.js"), sound, switch)


def application(page: Page, script: str) -> str:
    """Return a page whose own script asks the server that it comes from, and no other."""
    return _written(page, script, "connect-src 'self'; media-src blob:", None, " blob:")


def _written(page: Page, script: str, allowed: str, switch: Html | None, scripts: str = "") -> str:
    """Return a page with its script; allowed, scripts: what its policy allows besides."""
    style = _own("page.css")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}{scripts};"
        f" {allowed}; base-uri 'none'; form-action 'none'"
    )
    heading = tag("div", tag("h1", page.title), tag("p", page.about, class_="soft"))
    body = tag(
        "body",
        tag("a", "Skip to the results", class_="skip", href="#main"),
        tag("header", heading, switch),
        _contents(page.sections),
        tag("main", list(page.sections), id="main"),
        tag("footer", tag("p", f"Made by sertool {VERSION}.")),
        _data(page.data),
        Html(f"<script>{script}</script>"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", page.title),
        Html(f"<style>{style}</style>"),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _contents(sections: Sequence[Html]) -> Child:
    """Return the list of a page's sections that have a heading."""
    found = []
    for part in sections:
        name = part.partition('id="')[2].partition('"')[0]
        title = part.partition(f'id="{name}-title">')[2].partition("</h2>")[0]
        if part.startswith("<section") and name and title:
            found.append(tag("li", tag("a", Html(title), href=f"#{name}")))
    return tag("nav", tag("ul", found), aria_label="On this page") if len(found) > 2 else None


def _data(values: dict[str, Any] | None) -> Child:
    r"""Return the block of JSON that the script reads: in it no < is left to end the block."""
    if values is None:
        return None
    text = json_text(values, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(f'<script type="application/json" id="data">{text}</script>')
