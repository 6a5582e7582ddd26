"""Predictions as labels over time: subtitles, and the tracks and tiers of annotation programs.

All are of one recording. SRT, WebVTT and Audacity's label track are written row by row, each with
its confidence. Praat's TextGrid and ELAN's EAF have a tier for every channel and speaker, which
says nothing but labels, so that they can be counted and compared with those of people; a document
of either is made when all rows are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sertool.core.errors import InputError, ItemError
from sertool.core.paths import absolute, from_text, show
from sertool.evaluation.predictions import Prediction, Row
from sertool.items import Item

LINES = ("srt", "vtt", "audacity")
TIERS = ("textgrid", "elan")
UNNAMED = "label"  # the tier of a recording of which neither channel nor speaker was asked for
TICKS = {"textgrid": 1_000_000, "elan": 1000}  # to a second: Praat knows no limit, ELAN this one
BLOCK = 1 << 18  # frames to count at once
MIME = {
    ".wav": "audio/x-wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".mp4": "video/mp4",
    ".mov": "video/quicktime", ".avi": "video/x-msvideo",
}  # fmt: skip
SAVED = "1970-01-01T00:00:00+00:00"  # EAF wants a date; the same input gives the same bytes
CONSTRAINTS = {  # that ELAN expects in every document
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps"
    " allowed within this interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to"
    " the same parent are ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps"
    " are allowed",
}


class OneRecording:
    """The inputs of a format that has one time; InputError at a second recording."""

    def __init__(self, items: Iterable[Item | None], form: str) -> None:
        self._items, self._form = items, form
        self.item: Item | None = None

    def __iter__(self) -> Iterator[Item | None]:
        for item in self._items:
            if item is not None and self.item is not None and item.path != self.item.path:
                raise InputError(
                    f"--format {self._form} is of one recording; {show(item.path)} is a second"
                )
            self.item = item or self.item
            yield item


class Said(NamedTuple):
    """What a row says over its time in seconds; label: None where nobody speaks, or is unsure."""

    who: str  # channel and speaker, as far as they are known
    start: float
    end: float
    label: str | None
    confidence: float | None


def said(row: Row, turns: bool) -> Said | None:
    """Return what a row says; None where it has no time: an error, or all turns of a speaker.

    turns: whether rows are of speakers' turns, or of all of them if they have no end.
    """
    if not isinstance(row, Prediction) or (turns and row.end is None):
        return None
    start = row.start or 0.0
    end = start + row.duration if row.end is None else row.end
    names = [str(row.further[key]) for key in ("channel", "speaker") if row.further.get(key)]
    return Said(": ".join(map(show, names)), start, end, row.label, row.confidence)


def line_formatter(form: str, digits: int, turns: bool) -> tuple[str, Callable[[Row], str]]:
    """Return (header, function from a row to its text) of subtitles or of a label track.

    A row is a label over its time; rows without one are left out. turns: as `said` takes it.
    """
    count = 0

    def text(row: Row) -> str:
        nonlocal count
        found = said(row, turns)
        if found is None or found.label is None:
            return ""
        count += 1
        who = f"{found.who}: " if found.who else ""
        words = f"{who}{show(found.label)} {found.confidence:.{digits}f}"
        if form == "audacity":
            return f"{found.start:.6f}\t{found.end:.6f}\t{words}\n"
        point = "," if form == "srt" else "."
        times = f"{_clock(found.start, point)} --> {_clock(found.end, point)}"
        return f"{count}\n{times}\n{words}\n\n"

    return "WEBVTT\n\n" if form == "vtt" else "", text


def _clock(seconds: float, point: str) -> str:
    """Return seconds as 00:01:02.500."""
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    whole, rest = divmod(milliseconds, 1000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{whole:02d}{point}{rest:03d}"


def note(row: Row, turns: bool) -> str:
    """Return what a row says as a line that waits for the others; "" where it says nothing."""
    found = said(row, turns)
    return json.dumps(found) + "\n" if found is not None else ""


class Interval(NamedTuple):
    """A stretch of a tier, in ticks; `label` is empty where there is none."""

    start: int
    end: int
    label: str


def tile(rows: Iterable[Said], ticks: int) -> tuple[list[Interval], int]:
    """Return (the intervals with a label, in order; how many rows lie within others).

    The intervals of a tier cannot overlap: a row begins where the one before it ends at the
    earliest. Of the last window, moved back to end with the recording, that is what is new.

    >>> rows = [Said("", 0, 2, "anger", 0.9), Said("", 1.5, 3.5, "calm", 0.8)]
    >>> tile(rows, 1000)
    ([Interval(start=0, end=2000, label='anger'), Interval(start=2000, end=3500, label='calm')], 0)
    """
    made: list[Interval] = []
    within = at = 0
    for row in sorted(rows, key=lambda row: (row.start, row.end)):
        start, end = max(at, round(row.start * ticks)), round(row.end * ticks)
        if end <= start:
            within += 1
            continue
        at = end
        if row.label is not None:
            made.append(Interval(start, end, show(row.label)))
    return made, within


def document(
    form: str,
    lines: Iterable[str],
    item: Item | None,
    channels: Sequence[str | None],
    output: Path | None,
) -> tuple[str, int]:
    """Return (a TextGrid or an EAF document, how many rows it leaves out: they lie within others).

    lines: what `note` made of the rows. item: the recording, None of a stream. channels: those that
    were heard, which have a tier even if nothing is said there. output: beside which file ELAN may
    look for the recording. Raises InputError where nothing was heard.
    """
    tiers: dict[str, list[Said]] = {name or "": [] for name in channels}
    for line in "".join(lines).splitlines():
        row = Said(*json.loads(line))
        tiers.setdefault(row.who, []).append(row)
    if not tiers or (item is None and not any(tiers.values())):
        raise InputError(f"--format {form}: nothing was heard")
    ticks = TICKS[form]
    total = max([0, *(round(row.end * ticks) for rows in tiers.values() for row in rows)])
    if item is not None:
        total = max(total, round(_duration(item.path) * ticks))
    tiled = {name or UNNAMED: tile(rows, ticks) for name, rows in tiers.items()}
    within = sum(count for _, count in tiled.values())
    made = {name: intervals for name, (intervals, _) in tiled.items()}
    path = None if item is None else absolute(from_text(item.path))
    return (_textgrid(made, total) if form == "textgrid" else _elan(made, path, output)), within


def _duration(path: str) -> float:
    """Return how long a recording is, in seconds; InputError where it cannot be read."""
    from sertool.audio.boxed import blocks, facts

    try:
        known = facts(from_text(path))
        frames = known.frames
        if frames is None:
            frames = sum(len(block) for block in blocks(from_text(path), BLOCK))
    except ItemError as error:
        raise InputError(f"{show(path)}: {error}") from error
    return frames / known.sample_rate


def _textgrid(tiers: dict[str, list[Interval]], total: int) -> str:
    """Return a TextGrid in Praat's long text format: tiers without gaps from 0 to the end."""

    def seconds(ticks: int) -> str:
        return f"{ticks / TICKS['textgrid']:.6f}".rstrip("0").rstrip(".")

    def times(start: int, end: int, depth: int) -> list[str]:
        indent = 4 * depth * " "
        return [f"{indent}xmin = {seconds(start)} ", f"{indent}xmax = {seconds(end)} "]

    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *times(0, total, 0)]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ']
        lines += [f"        name = {_quoted(name)} ", *times(0, total, 2)]
        whole = list(_gaps_filled(intervals, total))
        lines += [f"        intervals: size = {len(whole)} "]
        for count, (start, end, label) in enumerate(whole, 1):
            lines += [f"        intervals [{count}]:", *times(start, end, 3)]
            lines += [f"            text = {_quoted(label)} "]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _gaps_filled(intervals: Sequence[Interval], total: int) -> Iterator[Interval]:
    at = 0
    for one in intervals:
        if one.start > at:
            yield Interval(at, one.start, "")
        yield one
        at = one.end
    if total > at:
        yield Interval(at, total, "")


def _elan(tiers: dict[str, list[Interval]], media: Path | None, output: Path | None) -> str:
    """Return an EAF 3.0 document: opened as it is, with its recording (ELAN's schema EAFv3.0)."""
    from xml.etree import ElementTree as Xml

    root = Xml.Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": "", "DATE": SAVED, "FORMAT": "3.0", "VERSION": "3.0",
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
    })  # fmt: skip
    header = Xml.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if media is not None:
        Xml.SubElement(header, "MEDIA_DESCRIPTOR", _media(media, output))
    order = Xml.SubElement(root, "TIME_ORDER")
    every = [one for intervals in tiers.values() for one in intervals]
    times = [time for one in every for time in (one.start, one.end)]
    slots: dict[int, str] = {}  # by the place of their time in `times`: two of every interval
    for place, i in enumerate(sorted(range(len(times)), key=times.__getitem__), 1):
        slots[i] = f"ts{place}"
        Xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slots[i], TIME_VALUE=str(times[i]))
    count = 0
    for name, intervals in tiers.items():
        tier = Xml.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)
        for one in intervals:
            held = Xml.SubElement(
                Xml.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{count + 1}",
                TIME_SLOT_REF1=slots[2 * count],
                TIME_SLOT_REF2=slots[2 * count + 1],
            )
            Xml.SubElement(held, "ANNOTATION_VALUE").text = one.label
            count += 1
    last = Xml.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last.text = str(count)
    Xml.SubElement(root, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false",
                   LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true")  # fmt: skip
    for stereotype, description in CONSTRAINTS.items():
        Xml.SubElement(root, "CONSTRAINT", DESCRIPTION=description, STEREOTYPE=stereotype)
    Xml.indent(root, "    ")
    text = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _media(path: Path, output: Path | None) -> dict[str, str]:
    """Return where the recording is: ELAN writes and reads file URLs without percent signs."""
    place = {
        "MEDIA_URL": f"file://{show(path.as_posix())}",
        "MIME_TYPE": MIME.get(path.suffix.lower(), "unknown"),
    }
    if output is not None:
        relative = os.path.relpath(path, absolute(output).parent)
        place["RELATIVE_MEDIA_URL"] = f"./{show(Path(relative).as_posix())}"
    return place
