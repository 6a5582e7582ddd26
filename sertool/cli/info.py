"""`sertool info`: what a file is and how it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

SHOWN = 40  # values of a field that the page lists; --json has them all


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", readable=False, help="A manifest, store, checkpoint or report."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, as one JSON object.")
    ] = False,
    items: Annotated[
        bool, typer.Option("--items", help="Every item, one line of JSON each.")
    ] = False,
) -> None:
    """Say what a file is, what it holds, and how it was made; verify a store's checksum.

    [bold]sertool info features.h5[/bold]

    [bold]sertool info --items features.h5 | head -1[/bold]

    Exit codes: 0 fine, 2 wrong usage, 3 not ours, newer, or checksum wrong.
    """
    from sertool.errors import InputError
    from sertool.stages.info import describe
    from sertool.tables import render

    found = describe(path, with_items=items)
    if items:
        for row in found["item_list"] if "item_list" in found else found["report"].get("items", []):
            print(json.dumps(row, ensure_ascii=False))
    elif as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        pages = {"store": _store, "manifest": _manifest, "checkpoint": _checkpoint}
        print(render(*pages.get(found["what"], _report)(found)))
    if found.get("checksum") == "WRONG":
        raise InputError(f"{path}: the content does not have the checksum it was written with")


def _store(found: dict[str, Any]) -> list[Any]:
    length = f"{found['frames_min']} to {found['frames_max']}"
    shape = " x ".join(str(n) for n in found["shape"]) or "1"
    copies = f", {found['copies']} of them augmented copies" if found["copies"] else ""
    lines = [
        f"feature store, version {found['version']}: kind {found['kind']}, {found['dtype']}",
        f"{found['items']} items{copies}; {found['frames']} frames of {shape},"
        f" {length} an item, {found['frame_rate']:g} a second; {found['hours']:.2f} hours",
        f"sample rate {found['sample_rate']} Hz; files below {found['root'] or '/'}",
        "settings: " + ", ".join(f"{k}={v}" for k, v in found["settings"].items()),
    ]
    return [
        *lines,
        *_counts(found),
        *_lineage(found),
        f"checksum {found['checksum']}: sha256 {found['sha256']}",
    ]


def _manifest(found: dict[str, Any]) -> list[Any]:
    lines: list[Any] = [f"manifest: {found['items']} utterances"]
    lines += [f"bad line {text}" for text in found["bad_lines"]]
    if found["doubled_ids"]:
        lines.append("doubled ids: " + ", ".join(found["doubled_ids"]))
    return [*lines, *_counts(found)]


def _checkpoint(found: dict[str, Any]) -> list[Any]:
    model = found["model"]
    settings = ", ".join(f"{k}={v}" for k, v in model["settings"].items())
    lines: list[Any] = [
        f"checkpoint, version {found['version']}: model {model['name']}"
        + (f" ({settings})" if settings else ""),
        f"{model['parameters']:,} parameters; classes {', '.join(found['classes'])}",
    ]
    for part, n in found["parts"].items():
        speakers = found["speakers"][part]
        listed = f": {', '.join(speakers[:SHOWN])}" if speakers else ""
        lines.append(f"{part}: {n} items, {len(speakers)} speakers{listed}")
    return [*lines, *_lineage(found)]


def _report(found: dict[str, Any]) -> list[Any]:
    from sertool.report.terminal import describe_report

    return [describe_report(found["report"])]


def _counts(found: dict[str, Any]) -> list[Any]:
    """Return tables of class × gender and of the other fields' values."""
    from sertool.tables import table

    genders = sorted({g for row in found["class_gender"].values() for g in row})
    genders = [] if genders == [""] else genders
    rows = [
        [label or "(none)", *(row.get(g, 0) for g in genders), sum(row.values())]
        for label, row in found["class_gender"].items()
    ]
    rows.append(["all", *(sum(r[i + 1] for r in rows) for i in range(len(genders) + 1))])
    names = [g or ("unknown" if len(genders) > 1 else "") for g in genders]
    parts: list[Any] = [table(["class", *names, "all"], rows)]
    for field, values in found["counts"].items():
        if field in ("label", "gender"):
            continue
        shown = [f"{value or '(none)'} {n}" for value, n in list(values.items())[:SHOWN]]
        more = f", and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
        known = len(set(values) - {""})
        name = NAMES.get(field, field) if known == 1 else PLURAL[field]
        parts.append(f"{known} {name}: {', '.join(shown)}{more}")
    if found["further_fields"]:
        parts.append("further fields: " + ", ".join(found["further_fields"]))
    return parts


NAMES = {"text": "sentence"}
PLURAL = {
    "speaker": "speakers",
    "text": "sentences",
    "corpus": "corpora",
    "session": "sessions",
    "fold": "folds",
    "part": "parts",
}


def _lineage(found: dict[str, Any]) -> list[str]:
    """Return one line a stage that made the file."""
    lines = ["made by:"]
    for record in found["lineage"]:
        source = record["input"]
        params = json.dumps(record["params"], ensure_ascii=False)
        lines.append(
            f"  {record['stage']} (sertool {record['version']}) of {source['name']}"
            f" (sha256 {source['sha256'][:12]}): {params}"
        )
    return lines
