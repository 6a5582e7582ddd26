"""What `serve` offers, as an OpenAPI 3.1 document made from one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from sertool.core.version import VERSION
from sertool.evaluation.predictions import OF_CLASSES, NumberPrediction, Prediction
from sertool.extras.options import ServeOptions

Schema = Mapping[str, object]  # JSON
BINARY = {"type": "string", "format": "binary"}
FORM = {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
REFUSED = {
    400: "The request holds no recording.",
    403: "A page of another origin asked.",
    408: "Sending took too long.",
    413: "The recording is too large or too long.",
    422: "It cannot be decoded, or holds nothing to hear.",
    503: "The queue is full, or the answer took too long: try again.",
}


@dataclass(frozen=True)
class Path:
    """One address: how it is asked, and what it answers by its type and schema."""

    path: str
    method: str
    summary: str
    answer: tuple[str, Schema]
    body: Mapping[str, Schema] | None = None
    refused: Mapping[int, str] | None = None

    def described(self, options: ServeOptions) -> Schema:
        """Return it as a path's operation."""
        kind, schema = self.answer
        responses: dict[str, object] = {"200": _response("The answer.", kind, schema)}
        for code, why in (self.refused or {}).items():
            responses[str(code)] = _response(why, "application/json", ERROR)
        made: dict[str, object] = {"summary": self.summary, "responses": responses}
        if self.body is not None:
            said = f"At most {options.max_bytes} bytes and {options.max_duration:g} s."
            content = {kind: {"schema": schema} for kind, schema in self.body.items()}
            made["requestBody"] = {"description": said, "required": True, "content": content}
        return made


def document(options: ServeOptions, one_line: bool, numbers: bool) -> Schema:
    """Return the document; one_line: a recording has one; numbers: that is what the model says."""
    row = row_schema(numbers)
    ref = {"$ref": "#/components/schemas/Prediction"}
    kind = "application/json" if one_line else "application/jsonl"
    body: dict[str, Schema] = {
        "audio/*": BINARY,
        "application/octet-stream": BINARY,
        "multipart/form-data": FORM,
    }
    table = [
        Path("/predict", "post", "What sertool predict prints of a recording.", (kind, ref), body,
             REFUSED),
        Path("/health", "get", "Which model answers.", ("application/json", {"type": "object"})),
        Path("/", "get", "A page on which one drops a file or speaks.",
             ("text/html", {"type": "string"})),
    ]  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sertool serve",
            "version": VERSION,
            "description": "The websocket /stream?sample_rate=HZ&channels=N takes raw 16-bit PCM"
            " (little-endian, interleaved) in binary messages, an empty one at the end, and answers"
            " each window with a Prediction.",
        },
        "paths": {one.path: {one.method: one.described(options)} for one in table},
        "components": {"schemas": {"Prediction": row}},
    }


def row_schema(numbers: bool) -> Schema:
    """Return the schema of a row: of classes, or of numbers."""
    shape = NumberPrediction if numbers else Prediction
    _, parts = msgspec.json.schema_components([shape])
    made = parts[shape.__name__]
    left_out = ("further", *(OF_CLASSES if numbers else ()))
    made["properties"] = {k: v for k, v in made["properties"].items() if k not in left_out}
    made["required"] = [name for name in made["required"] if name not in left_out]
    made.pop("description", None)
    return {**made, "title": "Prediction"}


def _response(description: str, kind: str, schema: Schema) -> Schema:
    return {"description": description, "content": {kind: {"schema": schema}}}
