"""Predictions as a page for a browser: each recording, its posterior, its labels over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sertool.core.paths import located, show
from sertool.evaluation import page as parts
from sertool.evaluation.page_sound import Place
from sertool.evaluation.predictions import SILENT, NumberPrediction, Prediction, Row, Unread
from sertool.ui.page import charts
from sertool.ui.page.document import Page
from sertool.ui.page.markup import Child, Html, section, table, tag
from sertool.ui.page.recordings import Recording, Window
from sertool.ui.words import plural

MOST = 100_000  # rows that a page has
Key = tuple[str, float | None, float | None, tuple[str | None, ...]]


@dataclass
class Told:
    """The rows of a run as a page shows them, those of one recording together.

    several: a recording may have several rows, which are parts of it.
    """

    several: bool
    rows: dict[Key, list[Row]] = field(default_factory=dict)
    left: int = 0
    count: int = 0

    def add(self, row: Row) -> None:
        """Keep a row; past `MOST` it is only counted."""
        self.count += 1
        if self.count > MOST:
            self.left += 1
            return
        further = tuple(getattr(row, "further", {}).values())
        span = (None, None) if self.several else (row.start, row.end)
        self.rows.setdefault((row.path, *span, further), []).append(row)

    def recordings(self, classes: Sequence[str]) -> list[Recording]:
        """Return the recordings, in the order of their first rows."""
        place = {name: i for i, name in enumerate(classes)}
        return [_recording(key, rows, place) for key, rows in self.rows.items()]

    def places(self, channel: str) -> list[Place | None]:
        """Return where each recording lies, None for one that could not be read.

        channel: what was heard where a row names none.
        """
        return [
            None if isinstance(rows[0], Unread) else Place(
                located(key[0]), key[1], key[2],
                _first(rows[0], "channel") or ("mix" if channel == "each" else channel),
            )
            for key, rows in self.rows.items()
        ]  # fmt: skip


def _first(row: Row, name: str) -> str | None:
    further: Mapping[str, str | None] = getattr(row, "further", {})
    return further.get(name)


def _recording(key: Key, rows: Sequence[Row], place: Mapping[str, int]) -> Recording:
    first = rows[0]
    name = key[0]
    if key[2] is not None:
        name += f" {key[1] or 0:g}–{key[2]:g} s"
    name += "".join(f" · {show(value)}" for value in key[3] if value)
    if isinstance(first, Unread) and first.end is None:
        return Recording(name, note=first.error)
    if first.end is not None and key[2] is None:
        return Recording(name, windows=[_window(row, place) for row in rows])
    assert isinstance(first, Prediction)
    if isinstance(first, NumberPrediction):
        return Recording(name, numbers=first.numbers, note=SILENT if first.silent else "")
    if first.posterior is None:
        return Recording(name, note=SILENT)
    said = None if first.label is None else place[first.label]
    note = "below --reject" if said is None else ""
    return Recording(name, said, _shares(first.posterior, place), note=note)


def _window(row: Row, place: Mapping[str, int]) -> Window:
    shares = row.posterior if isinstance(row, Prediction) else None
    found = None if shares is None else _shares(shares, place)
    return Window(row.start or 0.0, row.end or 0.0, found)


def _shares(posterior: Mapping[str, float], place: Mapping[str, int]) -> list[float]:
    return [posterior.get(name, 0.0) for name in place]


def page(
    told: Told, classes: Sequence[str], commands: Sequence[str], sound: str, about: str
) -> Page:
    """Return the page of predictions. about: the model, and how recordings were heard."""
    n = len(told.rows)
    rows = [row for own in told.rows.values() for row in own]
    failed = sum(isinstance(row, Unread) for row in rows)
    silent = sum(isinstance(row, Prediction) and row.silent for row in rows)
    what = "part" if told.several else "recording"
    notes = [f"{plural(failed, what)} could not be read" if failed else "",
             f"in {plural(silent, what)} nobody speaks" if silent else "",
             f"{plural(told.left, 'further row')} left out here" if told.left else ""]  # fmt: skip
    remark = "; ".join(note for note in notes if note)
    title = f"Predictions of {plural(n, 'recording')}"
    made: list[Html | None] = [
        _counts(rows, classes, what),
        section("Read before use", "trust", tag("ul", [tag("li", line) for line in _TRUST])),
        parts.recordings(sound, truth=False),
        parts.lineage(commands),
    ]
    return Page(title, about + (f" · {remark}" if remark else ""), [one for one in made if one])


_TRUST = (
    "A label says how recordings of such a sound were labelled, not what somebody feels.",
    "A probability is right as often as it says only where the model was calibrated on speech like"
    " this; the report of its test says how often it is right on speakers that it never heard.",
)


def _counts(rows: Sequence[Row], classes: Sequence[str], what: str) -> Html | None:
    """Return how many rows have each label, and how sure the model is; None for numbers."""
    if not classes:
        return _numbers(rows)
    found = [row for row in rows if isinstance(row, Prediction) and row.label is not None]
    counts = Counter(row.label for row in found)
    lines: list[list[Child]] = []
    for name in classes:
        sure = [row.confidence or 0.0 for row in found if row.label == name]
        share = counts[name] / len(found) if found else 0.0
        mean = f"{sum(sure) / len(sure):.3f}" if sure else "–"
        lines.append([show(name), charts.bar(share), f"{counts[name]}", mean])
    header = ["label", "0 to 100 %", f"{what}s", "mean confidence"]
    return section("Labels", "labels", parts.bars(header, lines, f"How many {what}s have a label"))


def _numbers(rows: Sequence[Row]) -> Html | None:
    found = [row.numbers for row in rows if isinstance(row, NumberPrediction) and row.numbers]
    if not found:
        return None
    lines = []
    for name in found[0]:
        values = [own[name] for own in found]
        mean = sum(values) / len(values)
        lines.append([show(name), *(f"{v:.4g}" for v in (min(values), mean, max(values)))])
    return section("Numbers", "labels", table(["", "least", "mean", "most"], lines, "Of all rows"))
