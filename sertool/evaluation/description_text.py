"""The description of a file as a page for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sertool.corpora.survey_text import page as survey_page
from sertool.evaluation.report import Report, parse
from sertool.evaluation.terminal import describe_report, percent
from sertool.ui.tables import table
from sertool.ui.words import plural

SHOWN = 40  # speakers of a part that the page lists; --json has them all


def page(found: dict[str, Any]) -> list[Any]:
    """Return what to print of a description: lines and rich renderables."""
    pages = {"store": _store, "manifest": _manifest, "checkpoint": _checkpoint}
    return pages.get(found["what"], _report)(found)


def _store(found: dict[str, Any]) -> list[Any]:
    frames = f"{found['frames']} frames of {shape(found)}"
    frames += f", {found['frames_min']} to {found['frames_max']} an item"
    if found["frame_rate"]:
        frames += f", {found['frame_rate']:g} a second; {found['hours']:.2f} hours"
    if len(found["shape"]) == 3 and found["frames_max"] == 1:
        frames = f"each a picture of {shape(found)}"
    copies = f", {found['copies']} of them augmented copies" if found["copies"] else ""
    lines = [
        f"feature store, version {found['version']}: kind {found['kind']}, {found['dtype']}",
        f"{found['items']} items{copies}; {frames}",
        f"sample rate {found['sample_rate']} Hz; files below {found['root'] or '/'}",
        "settings: " + ", ".join(f"{k}={v}" for k, v in found["settings"].items()),
    ]
    return [
        *lines,
        *survey_page(found["survey"], found["counts"]),
        *_further(found),
        *_lineage(found),
        f"checksum {found['checksum']}: sha256 {found['sha256']}",
    ]


def shape(found: dict[str, Any]) -> str:
    """Return the shape of one frame, as people write it."""
    return " x ".join(str(n) for n in found["shape"]) or "1"


def _manifest(found: dict[str, Any]) -> list[Any]:
    bad, doubled = len(found["bad_lines"]), found["doubled_ids"]
    lines = [f"manifest: {found['items']} utterances" + (f", bad lines: {bad}" if bad else "")]
    if doubled:
        more = f", and {len(doubled) - SHOWN} more" if len(doubled) > SHOWN else ""
        lines.append(f"doubled ids: {', '.join(doubled[:SHOWN])}{more}")
    return [
        *lines,
        *survey_page(found["survey"], found["counts"], found["audio"]),
        *_further(found),
    ]


def _checkpoint(found: dict[str, Any]) -> list[Any]:
    model = found["model"]
    settings = ", ".join(f"{k}={v}" for k, v in model["settings"].items())
    lines: list[Any] = [
        f"checkpoint, version {found['version']}: model {model['name']}"
        + (f" ({settings})" if settings else ""),
        f"{model['parameters']:,} parameters; classes {', '.join(found['classes'])}{_epoch(found)}",
        *_per(found),
    ]
    for part, n in found["parts"].items():
        speakers = found["speakers"][part]
        listed = f": {', '.join(speakers[:SHOWN])}" if speakers else ""
        lines.append(f"{part}: {n} items, {len(speakers)} speakers{listed}")
    return [*lines, *_lineage(found)]


def _per(found: dict[str, Any]) -> list[str]:
    """Return a line for each of a checkpoint's models, and one for the chooser among them."""
    per = found.get("per")
    if per is None:
        return []
    field, chooser = per["field"], per["chooser"]
    told = {f"{field} {value}": own for value, own in per["values"].items()}
    told[f"chooser of {field} ({chooser['model']['name']})"] = chooser
    return [
        f"  {name}: {own['model']['parameters']:,} parameters; classes {', '.join(own['classes'])}"
        f"{_epoch(own)}"
        for name, own in told.items()
    ]


def _epoch(own: dict[str, Any]) -> str:
    """Return which epoch's weights a model has; "" where nothing was trained by epochs."""
    history = own.get("history") or []
    if not history or "loss" not in history[0]:
        return ""
    last = ", kept as the last" if own.get("kept") == "last" else ""
    return f"; weights of epoch {own['best_epoch']} of {len(history)}{last}"


def _packed(reports: Sequence[Report]) -> list[Any]:
    """Return one line per report: its tags and UAR."""
    rows = [
        [
            " ".join(f"{key}={value}" for key, value in (report.tags or {}).items()),
            (report.model and report.model.name) or "",
            report.figures.n,
            percent(report.figures.uar),
        ]
        for report in reports
    ]
    lines = [f"{plural(len(reports), 'report')}, one per line; sertool report pools them"]
    return [*lines, table(["tags", "model", "n", "UAR, %"], rows, 2)]


def _report(found: dict[str, Any]) -> list[Any]:
    if "reports" in found:
        return _packed([parse(raw, "report") for raw in found["reports"]])
    return [describe_report(parse(found["report"], "report"))]


def _further(found: dict[str, Any]) -> list[str]:
    names = found["further_fields"]
    return ["", "further fields: " + ", ".join(names)] if names else []


def _lineage(found: dict[str, Any]) -> list[str]:
    """Return one line per stage that made the file."""
    lines = ["made by:"]
    for record in found["lineage"]:
        source = record["input"]
        params = json.dumps(record["params"], ensure_ascii=False)
        lines.append(
            f"  {record['stage']} (sertool {record['version']}) of {source['name']}"
            f" (sha256 {source['sha256'][:12]}): {params}"
        )
    return lines
