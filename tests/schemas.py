"""JSON Schemas of the files, from the classes that read them: `python tests/schemas.py`.

Writes docs/formats/*.schema.json (JSON Schema 2020-12); a test compares.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec

from sertool.evaluation import predictions, report
from sertool.formats import checkpoint, made, manifest, onnx, speaker_statistics, store

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "formats"
HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
WIDTH = 100
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def of(shape: Any, title: str, **properties: Schema) -> Schema:
    """Return the schema of a class, with required properties that stand beside its fields."""
    (top,), parts = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    made = parts.pop(top["$ref"].rpartition("/")[2]) if "$ref" in top else dict(top)
    made["properties"] = properties | made.get("properties", {})
    made["required"] = [*properties, *(n for n in made.get("required", ()) if n not in properties)]
    made["title"] = title
    return {"$schema": DIALECT, **made, **({"$defs": parts} if parts else {})}


def const(value: Any) -> Schema:
    return {"const": value}


def reports() -> Schema:
    """Return the schema of a report, of either kind."""
    shapes = [report.Report, report.NumberReport]
    tops, parts = msgspec.json.schema_components(shapes, ref_template="#/$defs/{name}")
    parts = {name: levelled(part, parts) for name, part in parts.items()}
    for name in ("Report", "NumberReport"):
        own = {"format": const(report.FORMAT), "sha256": HASH}
        own["run"] = {"type": "object", "description": "Which run of a study it is, where kept."}
        parts[name]["properties"] |= own
        parts[name]["required"] = ["format", "version", *parts[name]["required"]]
    title = "A report of sertool eval"
    return {"$schema": DIALECT, "title": title, "anyOf": tops, "$defs": parts}


def levelled(part: Schema, parts: dict[str, Schema]) -> Schema:
    """Return a table with those of `report.LEVELLED` within it, as they lie in the file."""
    own = {n: p for n, p in part.get("properties", {}).items() if n not in report.LEVELLED}
    made = part | {"properties": own}
    made["required"] = [name for name in part.get("required", ()) if name in own]
    further: list[Schema] = []
    for name, inner in part.get("properties", {}).items():
        if name not in report.LEVELLED:
            continue
        if "$ref" in inner:
            found = levelled(parts[inner["$ref"].rpartition("/")[2]], parts)
            made["properties"] = made["properties"] | found["properties"]
            made["required"] += found["required"]
            inner = found
        if "additionalProperties" in inner or "properties" not in inner:
            further.append(inner.get("additionalProperties", {}))
    if further:
        made["additionalProperties"] = {"anyOf": further} if {} not in further else True
    return made


def lines_of_predictions() -> Schema:
    """Return the schema of a line of `predict`: of classes, of numbers, or of a failure."""
    kinds = {
        "prediction": predictions.Prediction,
        "numbers": predictions.NumberPrediction,
        "failure": predictions.Unread,
    }
    parts = {}
    for name, kind in kinds.items():
        part = of(kind, "")
        own = {n: p for n, p in part["properties"].items() if n != "further"}
        if kind is predictions.NumberPrediction:
            own = {n: p for n, p in own.items() if n not in predictions.OF_CLASSES}
        for each in own.values():
            each.pop("default", None)
        for place in ("start", "end"):
            own[place] = {"type": "number"}
        needed = [f.name for f in dataclasses.fields(kind) if f.name in own]
        parts[name] = {
            "type": "object",
            "properties": own,
            "required": [n for n in needed if n not in ("start", "end")],
            "additionalProperties": {"type": ["string", "null"]},
        }
    for name, text in (("prediction", "classes"), ("numbers", "numbers")):
        parts[name]["description"] = (
            f"What a model of {text} says; further keys are further columns."
        )
    parts["failure"]["description"] = "A file, or a window of a stream, that could not be read."
    tops = [{"$ref": f"#/$defs/{name}"} for name in parts]
    return {"$schema": DIALECT, "title": "A line of sertool predict", "anyOf": tops, "$defs": parts}


def of_onnx() -> Schema:
    """Return the schema of an ONNX model's metadata, each property read as JSON."""
    found = header("The metadata of an ONNX model", onnx.FORMAT, const(onnx.VERSION))
    kept = {*onnx.NEEDED, "format", "version", "sha256", "lineage", "fused", "licences", "int8"}
    licences = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
    numbers = {name: {"type": "number"} for name in ("agree", "before", "after")}
    counts = {name: {"type": "integer", "minimum": 0} for name in ("items", "tested")}
    ci = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    texts = {"store": HASH, "clusters": {"type": "string"}}
    int8 = {"type": "object", "properties": {**counts, **texts, **numbers, "ci": ci}}
    own = found["properties"] | {"licences": licences, "int8": int8}
    found["properties"] = {name: part for name, part in own.items() if name in kept}
    found["required"] = [name for name in found["required"] if name in kept]
    return found


def header(title: str, name: str, version: Schema) -> Schema:
    """Return the schema of a model's header."""
    return of(checkpoint.Header, title, format=const(name), version=version, sha256=HASH)


def all_of_them() -> dict[str, Schema]:
    """Return every schema by the name of its file."""
    text = {"type": "string"}
    lines = of(checkpoint.Line, "An item of a checkpoint, a line of its tensor `items`")
    lines["properties"] |= {n: text for n in checkpoint.ITEM_FIELDS if n not in ("id", "part")}
    for name in ("corpus", "speaker", "session", "text"):
        lines["properties"][name] = {"type": ["string", "null"]}
    return {
        "manifest": of(manifest.Line, "A line of a manifest"),
        "store": of(store.Attributes, "A store's root attributes", format=const(store.FORMAT)),
        "checkpoint": header(
            "The metadata of a checkpoint, its key `sertool`",
            checkpoint.FORMAT,
            {"type": "integer", "minimum": 1, "maximum": checkpoint.VERSION},
        ),
        "checkpoint-item": lines,
        "report": reports(),
        "onnx": of_onnx(),
        "prediction": lines_of_predictions(),
        "made": of(made.Side, "What made a file without a header, .NAME.made beside it"),
        "speakers": of(speaker_statistics.Line, "A speaker of --speaker-statistics"),
    }


def written(value: Any, indent: int = 1) -> str:
    """Return JSON in which what fits into a line is one; descriptions without line breaks."""
    if isinstance(value, dict) and isinstance(value.get("description"), str):
        value = value | {"description": " ".join(value["description"].split())}
    short = json.dumps(value, ensure_ascii=False)
    if len(short) + indent <= WIDTH or not isinstance(value, dict | list):
        return short
    pad = "\n" + " " * indent
    if isinstance(value, list):
        return f"[{pad}{f',{pad}'.join(written(each, indent + 1) for each in value)}]"
    rows = (f"{json.dumps(n)}: {written(each, indent + 1)}" for n, each in value.items())
    return f"{{{pad}{f',{pad}'.join(rows)}}}"


def texts() -> dict[str, str]:
    """Return the schemas as files by name."""
    return {f"{name}.schema.json": written(each) + "\n" for name, each in all_of_them().items()}


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
