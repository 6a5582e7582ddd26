"""ONNX models: a graph from features to posteriors, and all that `predict` needs beside it.

An ONNX file as ONNX Runtime takes it, weights inside. Each property of its metadata is one JSON
value by the name that it has in a checkpoint: pipeline, classes, calibration, model and so on, and
`licences` of the corpora that it was trained on, and `int8` of a model in 8 bits: of how many items
of which store its ranges are, and what it cost where that was measured. The file's last property,
`sha256`, is of all bytes before it. Where the model is a single one its inputs are

    features    float32 (rows, frames, ...), zeros after each row's length
    lengths     int64 (rows,), the frames of each row
    item        int64 (rows,), which item a row is of, from 0: windows of a recording, or the same
                heard several times, are averaged

and the output `posterior` is float64 (items, classes); of a model of numbers it is the numbers.
Where it is made of several, input and output of member k end in `.k`.

What is read here was written by anybody. A graph of ours is a straight line of standard operators
with its weights inside; one that has anything else (branches, loops, functions, files beside it) is
refused before the runtime sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import contents, show
from sertool.formats import schema
from sertool.formats.checkpoint import Checkpoint, Header
from sertool.formats.lineage import canonical
from sertool.formats.outputs import atomic

FORMAT = "sertool-onnx"
VERSION = 1
PRODUCER = "sertool"
OPSET = 18
IR_VERSION = 8  # which ONNX Runtime 1.13 and later read
SUFFIX = ".onnx"
SHA256 = "sha256"
LARGEST = 2**31 - 1  # bytes, as the format allows
LARGEST_TEXT = 100_000_000  # bytes of all properties
NEEDED = (
    "classes",
    "numbers",
    "target",
    "model",
    "pipeline",
    "dims",
    "kind",
    "sample_rate",
    "frame_rate",
    "calibration",
    "protocol",
)  # of a checkpoint's meta, and of each member's

# Fields of the messages of onnx.proto that are looked at.
MODEL_GRAPH, MODEL_OPSET, MODEL_PROPERTY, MODEL_TRAINING, MODEL_FUNCTION = 7, 8, 14, 20, 25
GRAPH_NODE, GRAPH_WEIGHT, GRAPH_SPARSE = 1, 5, 15
NODE_ATTRIBUTE, NODE_DOMAIN = 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS = 5, 10
ATTRIBUTE_FOREIGN = (6, 11, 22, 23)  # graphs, sparse tensors
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14
OPSET_DOMAIN = 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # how a field is written

_HEAD = bytes([1 << 3, IR_VERSION, 2 << 3 | BYTES, len(PRODUCER)]) + PRODUCER.encode()
_TRAILER = 1 + 1 + 2 + len(SHA256) + 2 + 64  # bytes of the property `sha256`


@dataclass
class OnnxModel(Checkpoint):
    """An ONNX model: a checkpoint's description without its tensors and items, and the file.

    content: the bytes of the file. `identity` is their SHA-256.
    """

    content: bytes = b""


def described(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model keeps of a checkpoint's meta."""
    kept = {name: meta[name] for name in NEEDED if meta.get(name) is not None}
    if meta.get("fused"):
        kept["fused"] = [described(member) | {"lineage": []} for member in meta["fused"]]
    return kept


def packed(graph: bytes, meta: Mapping[str, Any]) -> bytes:
    """Return a model as a file holds it; equal content gives equal bytes.

    graph: a serialised ONNX model that begins as ours do (`formats.onnx_graph`), without metadata.
    Raises UsageError for one that is too large.
    """
    values = {**meta, "format": FORMAT, "version": VERSION}
    body = graph + b"".join(_property(name, canonical(values[name])) for name in sorted(values))
    if len(body) + _TRAILER > LARGEST:
        raise UsageError("a model of more than 2 GiB cannot be an ONNX file")
    return body + _property(SHA256, hashlib.sha256(body).hexdigest())


def save(content: bytes, path: Path) -> None:
    """Write what `packed` returned whole, or leave `path` as it was."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def is_onnx(path: Path) -> bool:
    """Return whether a file begins as a model of ours does, whole or not."""
    if not path.is_file():  # a pipe would wait for a writer
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_HEAD)) == _HEAD
    except OSError:
        return False


def load(path: Path) -> OnnxModel:
    """Return the model in `path`; nothing of it runs, and no other file is read.

    Raises InputError where the file is missing, is no model that `sertool export` wrote, is
    damaged, or was written by a newer version.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{show(path)}: larger than an ONNX file can be")
        content = contents(path, LARGEST)
    except IsADirectoryError as error:
        raise InputError(f"{show(path)}: is a folder, not a model") from error
    except OSError as error:
        raise InputError(f"{show(path)}: {(error.strerror or 'cannot be read').lower()}") from error
    return parse(content, show(path))


def parse(content: bytes, name: str) -> OnnxModel:
    """Return the model of a file's bytes; InputError, which calls the file `name`, as `load`."""
    if not content.startswith(_HEAD):
        raise InputError(f"{name}: not an ONNX model that sertool export wrote")
    body, digest = content[:-_TRAILER], hashlib.sha256(content[:-_TRAILER]).hexdigest()
    if content[-_TRAILER:] != _property(SHA256, digest):
        raise InputError(f"{name}: damaged, its checksum is wrong")
    try:
        meta = _examined(body)
        if meta.get("format") != FORMAT or not isinstance(meta.get("version"), int):
            raise ValueError("no format and version")
    except (ValueError, IndexError, RecursionError) as error:
        raise InputError(f"{name}: damaged, or not sertool's: {error}") from error
    if meta["version"] > VERSION:
        raise InputError(
            f"{name}: ONNX model of version {meta['version']}; this sertool reads up to {VERSION}"
        )
    try:
        schema.convert(meta, Header)
        json.dumps(meta, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: damaged, not the header of a model: {error}") from error
    return OnnxModel({}, [], meta, hashlib.sha256(content).hexdigest(), content)


class Session:
    """A model in ONNX Runtime, on one thread of the processor.

    inputs: name -> shape, in which what may be of any size is a text. fused: whether operators are
    joined, by which 8 bits gain their time. Raises UsageError where ONNX
    Runtime is not installed, ValueError for a graph that it does not take.
    """

    def __init__(self, content: bytes, fused: bool = False) -> None:
        try:
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports its use otherwise
            import onnxruntime
        except ImportError as error:
            raise UsageError(
                "ONNX Runtime, which runs .onnx models, is not installed: pip install"
                " 'sertool[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # what else there is takes longer to find than it saves, and is another on other processors
        levels = onnxruntime.GraphOptimizationLevel
        level = levels.ORT_ENABLE_ALL if fused else levels.ORT_ENABLE_BASIC
        options.graph_optimization_level = level
        options.log_severity_level = 4  # what it has to say is in its exceptions
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common class but this one
            raise ValueError(_first_line(error)) from error
        self.inputs = {one.name: one.shape for one in self._session.get_inputs()}

    def run(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the model's output; ValueError where it cannot be computed."""
        try:
            (found,) = self._session.run(None, dict(feeds))
        except Exception as error:
            raise ValueError(_first_line(error)) from error
        return np.asarray(found)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _property(name: str, value: str) -> bytes:
    """Return a property of the metadata as the field of a model that it is."""
    parts = b""
    for number, text in ((1, name), (2, value)):
        raw = text.encode()
        parts += bytes([number << 3 | BYTES]) + _number(len(raw)) + raw
    return bytes([MODEL_PROPERTY << 3 | BYTES]) + _number(len(parts)) + parts


def _number(value: int) -> bytes:
    """Return a whole number as the format writes it: 7 bits a byte, the lowest first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _examined(content: bytes) -> dict[str, Any]:
    """Return the metadata of a model; ValueError for one that no export of ours can be."""
    meta: dict[str, Any] = {}
    size = 0
    for number, value in _fields(memoryview(content)):
        if number in (MODEL_TRAINING, MODEL_FUNCTION):
            raise ValueError("it has functions of its own")
        if number == MODEL_OPSET:
            _check_domain(value, OPSET_DOMAIN)
        elif number == MODEL_GRAPH:
            _check_graph(_message(value))
        elif number == MODEL_PROPERTY:
            size += len(_message(value))
            if size > LARGEST_TEXT:
                raise ValueError("its metadata are too large")
            pair = {n: bytes(_message(v)).decode() for n, v in _fields(_message(value))}
            meta[pair.get(1, "")] = json.loads(pair.get(2, ""))
    return meta


def _check_graph(graph: memoryview) -> None:
    for number, value in _fields(graph):
        if number == GRAPH_SPARSE:
            raise ValueError("it has sparse weights")
        if number == GRAPH_WEIGHT:
            _check_tensor(_message(value))
        elif number == GRAPH_NODE:
            _check_domain(value, NODE_DOMAIN)
            for inner, attribute in _fields(_message(value)):
                if inner == NODE_ATTRIBUTE:
                    _check_attribute(_message(attribute))


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in ATTRIBUTE_FOREIGN:
            raise ValueError("it has branches or loops")
        if number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
            _check_tensor(_message(value))


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value != 0):
            raise ValueError("its weights are in another file")


def _check_domain(value: int | memoryview, field: int) -> None:
    for number, name in _fields(_message(value)):
        if number == field and bytes(_message(name)) not in (b"", b"ai.onnx"):
            raise ValueError("it has operators that are not ONNX's own")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message was expected")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (number, value) of each field of a protocol buffer; ValueError or IndexError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(kind, LARGEST)  # groups are not in use
        if at + size > len(message):
            raise ValueError("a field that does not end")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a whole number and the place after it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number that does not end")
