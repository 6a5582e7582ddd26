"""What a manifest, store, checkpoint or report is, and how it was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.corpora.survey import survey
from sertool.formats.manifest import FIELDS, read_manifest
from sertool.formats.store import HDF5_MAGIC, STORE_FIELDS, Store
from sertool.items import Item

if TYPE_CHECKING:
    import numpy as np

Listen = Callable[[Sequence[Item]], tuple[list[float | None], dict[str, Any]]]

COUNTED = ("label", "gender", "speaker", "text", "corpus", "session", "fold", "part")


def recognise(path: Path) -> str:
    """Return "store", "checkpoint", "report" or "manifest"; InputError for anything else."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        reason = "is a folder; name a file" if path.is_dir() else error.strerror
        raise InputError(f"{show(path)}: {reason}") from error
    if head.startswith(HDF5_MAGIC):
        return "store"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "checkpoint"
    if head.lstrip().startswith(b"{"):
        marked = b'"format":"sertool-report"' in head.replace(b" ", b"")
        return "report" if marked or _is_report(path) else "manifest"
    raise InputError(f"{show(path)}: neither a manifest, a store, a checkpoint nor a report")


def _is_report(path: Path) -> bool:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "confusion" in value


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


def describe(path: Path, with_items: bool = False, listen: Listen | None = None) -> dict[str, Any]:
    """Return everything known about a file, as JSON-ready values; see `recognise` for errors.

    `listen` (see `corpora.listening.listen`) looks at the recordings that a manifest names.
    """
    what = recognise(path)
    if what == "manifest":
        return {"what": what, "path": show(path)} | _manifest(path, with_items, listen)
    describers = {
        "store": _store,
        "checkpoint": _checkpoint,
        "report": _report,
    }
    return {"what": what, "path": show(path)} | describers[what](path, with_items)


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


def _store(path: Path, with_items: bool) -> dict[str, Any]:
    with Store(path) as store:
        rows = store.items()
        lengths = store.lengths()
        seconds = float(lengths.sum()) / store.frame_rate if store.frame_rate else None
        result = {
            "version": store.version,
            "kind": store.kind,
            "settings": store.settings,
            "items": len(store),
            "copies": sum(bool(item.augmentation) for item in rows),
            "frames": int(lengths.sum()),
            "frames_min": int(lengths.min()) if len(store) else 0,
            "frames_max": int(lengths.max()) if len(store) else 0,
            "shape": list(store.shape),
            "dtype": str(store.dtype),
            "sample_rate": store.sample_rate,
            "frame_rate": store.frame_rate,
            "hours": None if seconds is None else seconds / 3600,
            "classes": store.classes,
            "root": store.root,
            "counts": counts(rows),
            "class_gender": classes_by_gender(rows),
            "further_fields": [n for n in store.column_names() if n not in STORE_FIELDS],
            "pipeline": store.pipeline,
            "lineage": store.lineage,
            "sha256": store.sha256,
            "checksum": "right" if store.verify() else "WRONG",
        }
        rate = store.frame_rate
        times = [float(n) / rate if rate else None for n in lengths]
        result["survey"] = survey(rows, times)
        return result | ({"item_list": [item.store_row() for item in rows]} if with_items else {})


def _manifest(path: Path, with_items: bool, listen: Listen | None) -> dict[str, Any]:
    bad: list[str] = []
    rows = list(read_manifest(path, lambda line, why: bad.append(f"{line}: {why}")))
    if not rows:
        raise InputError(f"{show(path)}: not a manifest: none of its lines is an utterance")
    seen = Counter(item.id for item in rows)
    seconds, audio = listen(rows) if listen else ([None] * len(rows), None)
    result: dict[str, Any] = {
        "items": len(rows),
        "bad_lines": bad,
        "doubled_ids": sorted(name for name, n in seen.items() if n > 1),
        "classes": sorted({item.label for item in rows if item.label}),
        "counts": counts(rows),
        "class_gender": classes_by_gender(rows),
        "further_fields": sorted({key for item in rows for key in item.extra} - set(FIELDS)),
        "survey": survey(rows, seconds),
        "audio": audio,
    }
    return result | ({"item_list": [item.manifest_row() for item in rows]} if with_items else {})


def _checkpoint(path: Path, with_items: bool) -> dict[str, Any]:
    from sertool.formats.checkpoint import ITEM_FIELDS, load

    checkpoint = load(path)
    meta = checkpoint.meta
    parts = Counter(str(item.part) for item in checkpoint.items)
    result = {
        **meta,
        "tensors": {name: list(tensor.shape) for name, tensor in checkpoint.tensors.items()},
        "parts": dict(sorted(parts.items())),
        "speakers": {
            part: sorted(
                {
                    f"{item.corpus or ''}/{item.speaker}"
                    for item in checkpoint.items
                    if item.part == part and item.speaker
                }
            )
            for part in sorted(parts)
        },
    }
    if with_items:
        result["item_list"] = [
            {name: getattr(item, name) for name in ITEM_FIELDS} for item in checkpoint.items
        ]
    return result


def _report(path: Path, with_items: bool) -> dict[str, Any]:
    from sertool.evaluation.report import load, parse

    rows = load(path)
    for name, raw in rows:
        parse(raw, name)
    return {"report": rows[0][1]} if len(rows) == 1 else {"reports": [raw for _, raw in rows]}
