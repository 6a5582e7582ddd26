"""The page of `serve`: one drops a file or speaks, and sees the answer and its course."""

from __future__ import annotations

from pathlib import Path

from sertool.ui.page.document import Page, application
from sertool.ui.page.markup import section, tag

SCRIPT = Path(__file__).with_suffix(".js")


def text(told: str) -> str:
    """Return the page; told: what answers."""
    chosen = tag("input", type="file", id="file", accept="audio/*,.flac,.wav,.mp3,.m4a,.ogg")
    parts = [
        section(
            "A recording",
            "recording",
            tag("div", tag("label", "Drop a file here, or choose one: ", for_="file"), chosen,
                id="drop", class_="verdict"),
            tag("p", tag("button", "Speak", id="speak", type="button"), " into the microphone"),
            tag("p", "", id="answer", role="status"),
        ),
        section(
            "Its course",
            "course",
            tag("div", "", id="curve"),
            tag("ul", "", id="legend"),
            tag("div", "", id="rows", class_="scroll", tabindex=0, role="region",
                aria_label="a line for each window"),
        ),
    ]  # fmt: skip
    page = Page("What do they sound like?", told, parts)
    return application(page, SCRIPT.read_text(encoding="utf-8"))
