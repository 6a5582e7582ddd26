"""The description of a file as a page for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sertool.core.errors import UsageError
from sertool.core.paths import show
from sertool.corpora.survey_text import page as survey_page
from sertool.evaluation.description import (
    CheckpointDescription,
    Description,
    ItemsDescription,
    ManifestDescription,
    OnnxDescription,
    ReportDescription,
    StoreDescription,
    counts,
)
from sertool.evaluation.number_tables import shown
from sertool.evaluation.report import AnyReport, NumberReport
from sertool.evaluation.terminal import describe_report, percent
from sertool.formats import doors
from sertool.formats.checkpoint import Checkpoint, Header, Per, Trained
from sertool.formats.lineage import Record
from sertool.formats.schema import convert
from sertool.formats.store import Store
from sertool.models import Tabular, create, layer_choice
from sertool.models.speakers import NOTE, declared
from sertool.ui.tables import table
from sertool.ui.words import plural
from sertool.votes import SOFT

SHOWN = 40  # speakers of a part that the page lists; --json has them all


def page(found: Description) -> list[Any]:
    """Return what to print of a description: lines and rich renderables."""
    if isinstance(found, StoreDescription):
        return _store(found)
    if isinstance(found, ItemsDescription):
        return _items(found)
    if isinstance(found, ManifestDescription):
        return _manifest(found)
    if isinstance(found, CheckpointDescription):
        return _checkpoint(found)
    if isinstance(found, OnnxDescription):
        return _onnx(found)
    assert isinstance(found, ReportDescription)
    single = len(found.reports) == 1
    return [describe_report(found.reports[0])] if single else _packed(found.reports)


def _store(found: StoreDescription) -> list[Any]:
    store, (total, least, most) = found.store, found.frames
    frames = f"{total} frames of {shape(store)}, {least} to {most} an item"
    if store.frame_rate:
        frames += f", {store.frame_rate:g} a second; {found.hours:.2f} hours"
    if len(store.shape) == 3 and most == 1:
        frames = f"each a picture of {shape(store)}"
    copies = f", {found.copies} of them augmented copies" if found.copies else ""
    shards = f" in {plural(len(store.shards), 'shard')}" if store.shards else ""
    if store.run:
        shards = f", shard {store.piece.number} of {store.piece.of}"
    return [
        f"feature store{shards}, version {store.version}: kind {store.kind}, {store.dtype}",
        f"{len(found.items)} items{copies}; {frames}",
        f"sample rate {store.sample_rate} Hz; files below {store.root or '/'}",
        "settings: " + ", ".join(f"{k}={v}" for k, v in store.settings.items()),
        *survey_page(found.survey, counts(found.items)),
        *_further(found),
        *_lineage(convert(store.lineage, list[Record])),
        f"checksum {'right' if found.intact else 'WRONG'}: sha256 {store.sha256}",
    ]


def shape(store: Store | doors.Description) -> str:
    """Return the shape of one frame, as people write it."""
    return " x ".join(str(n) for n in store.shape) or "1"


def _items(found: ItemsDescription) -> list[Any]:
    one, (total, least, most) = found.table.description, found.frames
    rate = f", {one.frame_rate:g} a second; {found.hours:.2f} hours" if one.frame_rate else ""
    return [
        f"feature store as {found.format}: kind {one.kind}, {one.dtype}; sertool convert reads it",
        f"{len(found.table.items)} items; {total} frames of {shape(one)}, {least} to {most} an"
        f" item{rate}",
        f"sample rate {one.sample_rate} Hz; files below {one.root or '/'}",
        "settings: " + ", ".join(f"{k}={v}" for k, v in one.settings.items()),
        *survey_page(found.survey, counts(found.table.items)),
        *_lineage(found.lineage()),
        f"checksums {'right' if found.signed else 'missing'}; written of the store with sha256"
        f" {one.store}",
    ]


def _manifest(found: ManifestDescription) -> list[Any]:
    bad, doubled = len(found.bad_lines), found.doubled_ids
    lines = [f"manifest: {len(found.items)} utterances" + (f", bad lines: {bad}" if bad else "")]
    if doubled:
        more = f", and {len(doubled) - SHOWN} more" if len(doubled) > SHOWN else ""
        lines.append(f"doubled ids: {', '.join(doubled[:SHOWN])}{more}")
    return [
        *lines,
        *survey_page(found.survey, counts(found.items), found.audio),
        *_further(found),
        *(_lineage(found.lineage()) if found.lineage() else []),
    ]


def _checkpoint(found: CheckpointDescription) -> list[Any]:
    header = found.checkpoint.header
    lines: list[Any] = [
        f"checkpoint, version {found.checkpoint.meta['version']}: {_model(header)}",
        f"{_size(header)}{_epoch(header)}",
        *(_per(header.per) if header.per else []),
        *(_members(header) if header.fused else []),
        *_chosen(found.checkpoint),
        *_calibration(header),
    ]
    if declared(header):
        lines.append(NOTE)
    if (header.protocol or {}).get(SOFT):
        lines.append("trained on shares of raters' votes (--soft)")
    for part, n in found.parts.items():
        speakers = found.speakers[part]
        listed = f": {', '.join(speakers[:SHOWN])}" if speakers else ""
        lines.append(f"{part}: {n} items, {len(speakers)} speakers{listed}")
    made = [*_lineage(header.lineage), *_made_on(header.environment)]
    return [*lines, *made, f"identity: sha256 {found.checkpoint.identity}"]


EIGHT = "its networks compute in 8 bits, and say not quite what their checkpoint does"


def _onnx(found: OnnxDescription) -> list[Any]:
    header = found.model.header
    licences = found.model.meta.get("licences") or {}
    known = (f"{name} ({licence or 'licence not known'})" for name, licence in licences.items())
    return [
        f"ONNX model, version {found.model.meta['version']}: {_model(header)}",
        _size(header),
        *(_members(header) if header.fused else []),
        *_calibration(header),
        *([NOTE] if declared(header) else []),
        f"trained on: {', '.join(known) or 'nothing that it names'}",
        *([EIGHT] if "int8" in found.model.meta else []),
        *_lineage(header.lineage),
        f"identity: sha256 {found.model.identity}",
    ]


def _model(header: Header) -> str:
    """Return the model's name and its settings."""
    model = header.model
    settings = ", ".join(
        f"{k}={v.get('name', '…') if isinstance(v, dict) else v}" for k, v in model.settings.items()
    )
    return f"model {model.name}" + (f" ({settings})" if settings else "")


def _calibration(header: Header) -> list[str]:
    """Return a line about the temperature of the posteriors, if there is one."""
    known = header.calibration
    if known is None:
        return []
    return [
        f"calibrated: temperature {known.temperature:.3g}, of {known.items} held-out items;"
        f" calibration error {known.error_before:.3f} before, {known.error_after:.3f} after"
    ]


def _chosen(found: Checkpoint) -> list[str]:
    """Return a line about what a model chose by its inner folds, if it keeps that."""
    if "model.chosen" not in found.tensors:
        return []
    described = found.header.model
    try:
        made = create(described.name, described.settings)
        arrays = found.subset("model")
        chosen = layer_choice.describe(made, arrays) if isinstance(made, Tabular) else ""
    except (UsageError, KeyError, TypeError, ValueError):  # another package's, or damaged
        return []
    return [f"chosen: {chosen}"] if chosen else []


def _size(own: Trained) -> str:
    return (
        f"{own.model.parameters:,} parameters;"
        f" {'numbers' if own.numbers else 'classes'} {', '.join(own.outputs)}"
    )


def _per(per: Per) -> list[str]:
    """Return a line for each of a checkpoint's models, and one for the chooser among them."""
    named = {f"{per.field} {value}": own for value, own in per.values.items()}
    named[f"chooser of {per.field} ({per.chooser.model.name})"] = per.chooser
    return [f"  {name}: {_size(own)}{_epoch(own)}" for name, own in named.items()]


def _members(header: Header) -> list[str]:
    """Return a line for each member of a fused checkpoint."""
    weights = header.model.settings["weights"]
    lines = []
    for meta, weight in zip(header.fused or (), weights, strict=True):
        own = convert(meta, Header)
        lines.append(
            f"  {own.model.name} on {own.kind}, weight {weight:.3g}: {own.model.parameters:,}"
            f" parameters{_epoch(own)}"
        )
    return lines


def _epoch(own: Trained) -> str:
    """Return which epoch's weights a model has; "" where nothing was trained by epochs."""
    history = own.history or []
    if not history or "loss" not in history[0]:
        return ""
    last = ", kept as the last" if getattr(own, "kept", None) == "last" else ""
    return f"; weights of epoch {own.best_epoch} of {len(history)}{last}"


def _packed(reports: Sequence[AnyReport]) -> list[Any]:
    """Return one line per report: its tags and UAR, or CCC of each target."""
    rows = [
        [
            " ".join(f"{key}={value}" for key, value in (report.tags or {}).items()),
            (report.model and report.model.name) or "",
            report.figures.n,
            _worth(report),
        ]
        for report in reports
    ]
    of_numbers = any(isinstance(report, NumberReport) for report in reports)
    lines = [f"{plural(len(reports), 'report')}, one per line; sertool report pools them"]
    return [
        *lines,
        table(["tags", "model", "n", "UAR, % or CCC" if of_numbers else "UAR, %"], rows, 2),
    ]


def _worth(report: AnyReport) -> str:
    if isinstance(report, NumberReport):
        targets = report.figures.targets.items()
        return ", ".join(f"{show(name)} {shown(own.ccc)}" for name, own in targets)
    return percent(report.figures.uar)


def _further(found: StoreDescription | ManifestDescription) -> list[str]:
    names = found.further_fields
    return ["", "further fields: " + ", ".join(map(show, names))] if names else []


def _made_on(environment: Mapping[str, str] | None) -> list[str]:
    """Return a line on what computed it, which is no part of its identity."""
    known = ", ".join(f"{name} {value}" for name, value in (environment or {}).items())
    return [f"environment (no part of the identity): {known}"] if known else []


def _lineage(records: Sequence[Record]) -> list[str]:
    """Return one line per stage that made the file."""
    lines = ["made by:"]
    for record in records:
        params = json.dumps(record.params, ensure_ascii=False)
        lines.append(
            f"  {record.stage} (sertool {record.version}) of {record.input.name}"
            f" (sha256 {record.input.sha256[:12]}): {params}"
        )
    return lines
