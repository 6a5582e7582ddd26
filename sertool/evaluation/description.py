"""What a manifest, store, checkpoint, ONNX model or report is, and how it was made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import convert, to_builtins

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import contents, regular, show
from sertool.core.texts import json_of
from sertool.corpora.listening import Sound
from sertool.corpora.survey import CELL, Survey, survey
from sertool.evaluation.report import XZ_MAGIC, AnyReport, load, parse
from sertool.formats import doors, onnx
from sertool.formats import made as side
from sertool.formats.checkpoint import ITEM_FIELDS, Checkpoint
from sertool.formats.checkpoint import load as load_checkpoint
from sertool.formats.doors import Table
from sertool.formats.lineage import Record
from sertool.formats.manifest import FIELDS, read_manifest
from sertool.formats.store import HDF5_MAGIC, STORE_FIELDS, Store, is_store
from sertool.items import Item

if TYPE_CHECKING:
    import numpy as np

Listen = Callable[[Sequence[Item]], tuple[list[float | None], Sound]]

COUNTED = ("label", "gender", "speaker", "text", "corpus", "session", "fold", "part")


def recognise(path: Path) -> str:
    """Return "store", "checkpoint", "onnx", "report", "manifest", or "items" of what `convert`
    wrote for other tools; InputError for all else.
    """
    if path.is_dir() and is_store(path):
        return "store"
    if path.is_dir() and doors.format_of(path):
        return "items"
    try:
        with regular(path) as file:
            head = file.read(512)
    except OSError as error:
        reason = "is a folder; name a file" if path.is_dir() else error.strerror
        raise InputError(f"{show(path)}: {reason}") from error
    if head.startswith(HDF5_MAGIC):
        return "store"
    if onnx.is_onnx(path) or path.suffix == onnx.SUFFIX:
        return "onnx"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "checkpoint"
    if head.startswith(XZ_MAGIC):
        return "report"  # nothing else is compressed
    if head.lstrip().startswith(b"{"):
        marked = b'"format":"sertool-report"' in head.replace(b" ", b"")
        return "report" if marked or _is_report(path) else "manifest"
    if doors.format_of(path):
        return "items"
    raise InputError(f"{show(path)}: neither a manifest, a store, a checkpoint nor a report")


def _is_report(path: Path) -> bool:
    try:
        value = json_of(contents(path), show(path))
    except (ValueError, OSError, RecursionError):
        return False
    return isinstance(value, dict) and ("confusion" in value or "targets" in value)


SCHEMAS = ("manifest", "store", "checkpoint", "report")


def json_schema(what: str) -> dict[str, Any]:
    """Return the JSON Schema of a manifest's line, a store's attributes, a checkpoint's header
    or a report.

    >>> json_schema("manifest")["$defs"]["Line"]["required"]
    ['id', 'path']
    """
    import msgspec

    from sertool.evaluation import report
    from sertool.formats import checkpoint, manifest, store

    if what == "report":
        return report.json_schema()
    shapes = {
        "manifest": manifest.Line,
        "store": store.Attributes,
        "checkpoint": checkpoint.Header,
    }
    if what not in shapes:
        raise UsageError(f"--schema {what}: choose from {', '.join(SCHEMAS)}")
    return msgspec.json.schema(shapes[what])


def counts(rows: Sequence[Item]) -> dict[str, dict[str, int]]:
    """Return how often each value of each counted field occurs, "" where it is unknown."""
    result = {}
    for name in COUNTED:
        found = Counter("" if (v := row.value(name)) is None else str(v) for row in rows)
        if set(found) - {""}:
            result[name] = dict(sorted(found.items()))
    return result


def classes_by_gender(rows: Sequence[Item]) -> dict[str, dict[str, int]]:
    """Return counts of class × gender; unknown values are ""."""
    result: dict[str, Counter[str]] = {}
    for row in rows:
        result.setdefault(row.label or "", Counter())[row.gender or ""] += 1
    return {label: dict(sorted(found.items())) for label, found in sorted(result.items())}


@dataclass(frozen=True)
class Description:
    """What a file is; each kind of file has a class of its own, with what was found."""

    what: ClassVar[str]
    path: Path

    def to_json(self, with_items: bool = False) -> dict[str, Any]:
        """Return all of it as JSON values; with every item as `item_list`, if asked for."""
        return {"what": self.what, "path": show(self.path)} | self._json(with_items)

    def _json(self, with_items: bool) -> dict[str, Any]:
        raise NotImplementedError

    def lineage(self) -> list[Record]:
        """Return the stages that made it, in order; none where they are unknown."""
        raise NotImplementedError


@dataclass(frozen=True)
class StoreDescription(Description):
    """A store, which is closed. frames: all, and the fewest and most of an item."""

    what = "store"
    store: Store
    items: list[Item]
    frames: tuple[int, int, int]
    hours: float | None
    copies: int
    further_fields: list[str]
    intact: bool
    survey: Survey

    def _json(self, with_items: bool) -> dict[str, Any]:
        store = self.store
        result = {
            "version": store.version,
            "kind": store.kind,
            "settings": store.settings,
            "items": len(self.items),
            "copies": self.copies,
            **dict(zip(("frames", "frames_min", "frames_max"), self.frames, strict=True)),
            "shape": list(store.shape),
            "dtype": str(store.dtype),
            "sample_rate": store.sample_rate,
            "frame_rate": store.frame_rate,
            "hours": self.hours,
            "classes": store.classes,
            "root": store.root,
            "counts": counts(self.items),
            "class_gender": classes_by_gender(self.items),
            "further_fields": self.further_fields,
            "pipeline": store.pipeline,
            "lineage": store.lineage,
            "sha256": store.sha256,
            "checksum": "right" if self.intact else "WRONG",
            "survey": _survey_values(self.survey),
        }
        if store.shards:
            result["shards"] = len(store.shards)
        if store.run:
            result |= {"shard": store.piece.number, "shards": store.piece.of}
        return result | ({"item_list": [i.store_row() for i in self.items]} if with_items else {})

    def lineage(self) -> list[Record]:
        """Return the stages that made it."""
        return convert(self.store.lineage, list[Record])


@dataclass(frozen=True)
class ItemsDescription(Description):
    """A store as `convert` writes it for other tools, every item read. frames: as of a store."""

    what = "items"
    format: str
    table: Table
    frames: tuple[int, int, int]
    hours: float | None
    survey: Survey

    @property
    def signed(self) -> bool:
        """Whether it has checksums, which then are right."""
        return not self.table.unsigned

    def _json(self, with_items: bool) -> dict[str, Any]:
        known = to_builtins(self.table.description)
        rows = self.table.items
        result = {
            "format": self.format,
            **{name: known[name] for name in known if name not in ("format", "crc32")},
            "items": len(rows),
            **dict(zip(("frames", "frames_min", "frames_max"), self.frames, strict=True)),
            "hours": self.hours,
            "counts": counts(rows),
            "class_gender": classes_by_gender(rows),
            "checksum": "right" if self.signed else None,
            "survey": _survey_values(self.survey),
        }
        return result | ({"item_list": [i.store_row() for i in rows]} if with_items else {})

    def lineage(self) -> list[Record]:
        """Return the stages that made the store that it was written of."""
        return convert(self.table.description.lineage, list[Record])


@dataclass(frozen=True)
class ManifestDescription(Description):
    """A manifest. bad_lines: "number: reason"; audio: None where it was not examined."""

    what = "manifest"
    items: list[Item]
    bad_lines: list[str]
    doubled_ids: list[str]
    further_fields: list[str]
    survey: Survey
    audio: Sound | None

    def _json(self, with_items: bool) -> dict[str, Any]:
        result = {
            "items": len(self.items),
            "bad_lines": self.bad_lines,
            "doubled_ids": self.doubled_ids,
            "classes": sorted({item.label for item in self.items if item.label}),
            "counts": counts(self.items),
            "class_gender": classes_by_gender(self.items),
            "further_fields": self.further_fields,
            "survey": _survey_values(self.survey),
            "audio": asdict(self.audio) if self.audio else None,
            "lineage": to_builtins(side.records_of(self.path)),
        }
        return result | (
            {"item_list": [i.manifest_row() for i in self.items]} if with_items else {}
        )

    def lineage(self) -> list[Record]:
        """Return the stages that made it, as the file beside it says."""
        return side.records_of(self.path)


@dataclass(frozen=True)
class CheckpointDescription(Description):
    """A checkpoint. parts: their numbers of items; speakers: of each part, "corpus/speaker"."""

    what = "checkpoint"
    checkpoint: Checkpoint
    parts: dict[str, int]
    speakers: dict[str, list[str]]

    def _json(self, with_items: bool) -> dict[str, Any]:
        tensors = {name: list(each.shape) for name, each in self.checkpoint.tensors.items()}
        result = {
            **_finite(self.checkpoint.meta),
            "identity": self.checkpoint.identity,
            "tensors": tensors,
            "parts": self.parts,
            "speakers": self.speakers,
        }
        rows = [{n: getattr(item, n) for n in ITEM_FIELDS} for item in self.checkpoint.items]
        return result | ({"item_list": rows} if with_items else {})

    def lineage(self) -> list[Record]:
        """Return the stages that made it."""
        return self.checkpoint.header.lineage


@dataclass(frozen=True)
class OnnxDescription(Description):
    """An ONNX model that `export` made."""

    what = "onnx"
    model: onnx.OnnxModel

    def _json(self, with_items: bool) -> dict[str, Any]:
        return {**self.model.meta, "identity": self.model.identity}

    def lineage(self) -> list[Record]:
        """Return the stages that made it."""
        return self.model.header.lineage


@dataclass(frozen=True)
class ReportDescription(Description):
    """A report, or those on the lines of a file, as JSON values and typed."""

    what = "report"
    raw: list[dict[str, Any]]
    reports: list[AnyReport]

    def _json(self, with_items: bool) -> dict[str, Any]:
        single = len(self.raw) == 1
        return {"report": self.raw[0]} if single else {"reports": self.raw}

    def lineage(self) -> list[Record]:
        """Return the stages that made it; InputError where it is several."""
        if len(self.reports) > 1:
            raise InputError(f"{show(self.path)}: holds {len(self.reports)} reports, not one")
        return convert(self.reports[0].lineage or [], list[Record])


def _finite(value: Any) -> Any:
    """Return values as JSON has them: null for a loss that overflowed."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value


def describe(path: Path, listen: Listen | None = None) -> Description:
    """Return the description of a file; see `recognise` for errors.

    `listen` (see `corpora.listening.listen`) looks at the recordings that a manifest names.
    """
    what = recognise(path)
    if what == "report":
        rows = load(path)
        parsed = [parse(raw, name) for name, raw in rows]
        return ReportDescription(path, [raw for _, raw in rows], parsed)
    if what == "manifest":
        return _manifest(path, listen)
    if what == "onnx":
        return OnnxDescription(path, onnx.load(path))
    if what == "items":
        return _items(path)
    return _store(path) if what == "store" else _checkpoint(path)


def _store(path: Path) -> StoreDescription:
    with Store(path) as store:
        items, lengths, rate = store.items(), store.lengths(), store.frame_rate
        total = int(lengths.sum())
        return StoreDescription(
            path,
            store,
            items,
            (total, int(lengths.min()), int(lengths.max())) if items else (0, 0, 0),
            total / rate / 3600 if rate else None,
            sum(bool(item.augmentation) for item in items),
            [name for name in store.column_names() if name not in STORE_FIELDS],
            store.verify(),
            survey(items, [float(n) / rate if rate else None for n in lengths]),
        )


def _items(path: Path) -> ItemsDescription:
    """Describe what convert wrote; InputError where an item's checksum is wrong."""
    to = doors.format_of(path)
    assert to is not None
    table = doors.door(to).read(path)
    lengths = [sum(map(len, table.checked(i))) for i in range(len(table.items))]
    rate = table.description.frame_rate
    return ItemsDescription(
        path,
        to,
        table,
        (sum(lengths), min(lengths), max(lengths)) if lengths else (0, 0, 0),
        sum(lengths) / rate / 3600 if rate else None,
        survey(table.items, [n / rate if rate else None for n in lengths]),
    )


def _manifest(path: Path, listen: Listen | None) -> ManifestDescription:
    bad: list[str] = []
    items = list(read_manifest(path, lambda line, why: bad.append(f"{line}: {why}")))
    if not items:
        raise InputError(f"{show(path)}: not a manifest: none of its lines is an utterance")
    seen = Counter(item.id for item in items)
    doubled = sorted(name for name, n in seen.items() if n > 1)
    further = sorted({key for item in items for key in item.extra} - set(FIELDS))
    seconds, audio = listen(items) if listen else ([None] * len(items), None)
    return ManifestDescription(path, items, bad, doubled, further, survey(items, seconds), audio)


def _checkpoint(path: Path) -> CheckpointDescription:
    found = load_checkpoint(path)
    parts = dict(sorted(Counter(str(item.part) for item in found.items).items()))
    speakers = {
        part: sorted({f"{i.corpus or ''}/{i.speaker}" for i in found.part(part) if i.speaker})
        for part in parts
    }
    return CheckpointDescription(path, found, parts, speakers)


def _survey_values(found: Survey) -> dict[str, Any]:
    """Return a survey as JSON values, each tally with the fields that it is grouped by."""
    values = asdict(found)
    for name, kept in (("classes", "label"), ("corpora", "corpus")):
        for row in values[name]:
            for other in {*CELL} - {kept}:
                del row[other]
    for name in ("fold", "part"):
        values[f"{name}s"] = [{name: row.pop("name"), **row} for row in values[f"{name}s"]]
    return values


def evenly(total: int, wanted: int | None) -> list[int]:
    """Return at most `wanted` of the numbers below `total`, evenly spaced; all for None."""
    n = total if wanted is None else min(wanted, total)
    return [(2 * i + 1) * total // (2 * n) for i in range(n)]


def sample(path: Path, wanted: int) -> Iterator[tuple[Item, np.ndarray]]:
    """Yield (item, features) of at most `wanted` evenly spaced items of a store."""
    with Store(path) as store:
        rows = store.items()
        for i in evenly(len(store), wanted):
            yield rows[i], store.features(i)
