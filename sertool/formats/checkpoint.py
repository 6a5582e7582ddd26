"""Checkpoints: one safetensors file with weights, statistics, items and how it was trained."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from sertool.core.errors import InputError
from sertool.core.memory import TooMuch
from sertool.core.paths import regular, show
from sertool.core.texts import json_of
from sertool.formats import schema
from sertool.formats.lineage import Record, Stage, canonical
from sertool.formats.outputs import atomic, atomic_set
from sertool.formats.schema import Count, Name, Number, Positive
from sertool.items import Item

FORMAT = "sertool-checkpoint"
VERSION = 3  # 1: every stage recorded a seed, drawn from or not; 3: numbers, else 2 is written
CLASSES_VERSION = 2
KEY = "sertool"  # the file's only metadata key: several keys have no stable order
ENVIRONMENT = "environment"  # the key of what is no part of a checkpoint's identity
_TYPES = {  # safetensors' names by NumPy's; the library writes tensors of the last ones first
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16",
    "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64", "int64": "I64",
    "uint64": "U64",
}  # fmt: skip
_RANKS = {name: rank for rank, name in enumerate(_TYPES)}
ITEMS = "items"  # the uint8 tensor that holds the items as JSON Lines
LONGEST_HEADER = 100_000_000  # bytes of a safetensors header, as its format allows
ITEM_FIELDS = (
    "id",
    "part",
    "origin",
    "corpus",
    "speaker",
    "session",
    "text",
    "augmentation",
    "audio_hash",
    "fingerprint",
)


class Head(Struct):
    """A field that a network learns, and its classes in the order of the outputs.

    Of numbers: the fields, joined by commas, and their names in place of classes.
    """

    field: Name
    classes: list[Name]
    weight: Number | None = None


class Named(Struct):
    """A part of a model that was chosen by name, with its settings."""

    name: Name
    settings: dict[str, Any]


class Model(Struct, kw_only=True):
    """Which model it is, and all that is needed to build it before its weights are put in."""

    name: Name
    settings: dict[str, Any]
    parameters: Count
    frames: Positive | None = None
    inputs: list[Count] | None = None
    outputs: Count | None = None
    normalisation: str | None = None
    heads: list[Head] | None = None
    head: Named | None = None


class Scale(Struct):
    """A field of numbers that a model says: mean and deviation of the items it was trained on.

    A network's output is in deviations from the mean.
    """

    field: Name
    mean: Number
    sd: Annotated[float, Meta(gt=0.0, lt=1e300)]


class Calibration(Struct, kw_only=True):
    """The temperature of the posteriors, and the items that it was fitted to (`sertool calibrate`).

    error_before, error_after: the expected calibration error on these items.
    """

    temperature: Annotated[float, Meta(gt=0.0, lt=1e300)]
    items: Count
    error_before: Number
    error_after: Number


class Trained(Struct, kw_only=True):
    """One trained model: what it is, and how its training went.

    classes: that it tells apart; none where it says `numbers`.
    """

    classes: list[Name]
    numbers: list[Scale] | None = None
    model: Model
    history: list[dict[str, float]] | None = None
    best_epoch: Count | None = None
    baselines: list[Name] | None = None
    augment: dict[str, Any] | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a class that is there twice, or epochs of different columns."""
        if bool(self.classes) == bool(self.numbers):
            raise ValueError("classes or numbers, one of them, must be there")
        for what, names in (("classes", self.classes), ("numbers", self.fields)):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} has a name twice")
        if self.history and any(row.keys() != self.history[0].keys() for row in self.history):
            raise ValueError("history has epochs of different columns")

    @property
    def fields(self) -> list[str]:
        """The fields of `numbers`, [] where it tells classes apart."""
        return [scale.field for scale in self.numbers or ()]

    @property
    def outputs(self) -> list[str]:
        """The names of what it says of an item: classes, or fields of numbers."""
        return self.classes or self.fields


class Per(Struct):
    """One model for each value of an item's field, and what chooses among them."""

    field: Name
    values: dict[str, Trained]
    chooser: Trained


class Header(Trained, kw_only=True):
    """The JSON of a checkpoint's metadata key, beside `format`, `version` and `sha256`."""

    pipeline: list[Stage]
    dims: list[Count]
    lineage: list[Record]
    kind: str | None = None
    sample_rate: Positive | None = None
    frame_rate: Number | None = None
    protocol: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    target: Name | None = None
    kept: Name | None = None
    environment: dict[str, str] | None = None
    per: Per | None = None
    fused: list[dict[str, Any]] | None = None


class Line(Struct):
    """One item as a line of JSON: `ITEM_FIELDS`, of which these two decide what it is."""

    id: Name
    part: Literal["train", "val", "test"]


@dataclass
class Checkpoint:
    """What `train` leaves behind: all that `predict` and an audit need, and no code.

    tensors: name -> array. `model.*` the model's own, `statistics.mean` and `statistics.sd` of a
        network's input, `baseline.majority.*` and `baseline.linear.*`. Several models in one
        checkpoint have names and a description of their own (see `sertool.models.per_field`).
    items: of which `save` keeps `ITEM_FIELDS`; `part` is "train", "val" or "test".
        Copies of held-out originals are listed with "test"; copies that validation left out
        are not listed.
    meta: JSON values: `classes`, `kind`, `pipeline`, `sample_rate`, `frame_rate`, `dims`,
        or `numbers`, `model` (name, settings, frames, outputs, heads, normalisation), `training`,
        `history`, `best_epoch`, `protocol`, `baselines` (names), `lineage`; `kept` is "last" where
        the weights are the last epoch's, come what may; `environment` (see `core.environment`);
        `save` adds `format`, `version` and `sha256` of all that.
    identity: the SHA-256 of all but the environment: what the same training on another machine
        has, too, if it gave the same weights there. "" before `load`.
    """

    tensors: dict[str, np.ndarray]
    items: list[Item]
    meta: dict[str, Any]
    identity: str = ""

    @property
    def header(self) -> Header:
        """What `meta` says, typed; ValueError where it is not a description of a checkpoint."""
        return schema.convert(self.meta, Header)

    def part(self, name: str) -> list[Item]:
        """Return the items of one part: "train", "val" or "test"."""
        return [item for item in self.items if item.part == name]

    def subset(self, prefix: str) -> dict[str, np.ndarray]:
        """Return the tensors whose names begin with `prefix` and a dot, without them."""
        start = prefix + "."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def to_numpy(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return contiguous little-endian arrays of NumPy arrays or torch tensors, by name."""
    arrays = {}
    for name, tensor in tensors.items():
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu().numpy()
        array = np.ascontiguousarray(tensor).reshape(np.shape(tensor))
        arrays[name] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return arrays


def dump(tensors: Mapping[str, Any], meta: dict[str, Any]) -> list[bytes | memoryview]:
    """Return a safetensors file of `tensors` with `meta` as its one metadata key, in pieces.

    Equal tensors and equal meta give equal bytes; the names' order does not matter. The pieces are
    the tensors' own memory: the library's `save` would hold all of them twice more.
    """
    arrays = to_numpy(tensors)
    header: dict[str, Any] = {"__metadata__": {KEY: canonical(meta)}}
    at = 0
    names = sorted(arrays, key=lambda name: (-_RANKS[arrays[name].dtype.name], name))
    for name in names:
        one = arrays[name]
        header[name] = {
            "dtype": _TYPES[one.dtype.name],
            "shape": list(one.shape),
            "data_offsets": [at, at + one.nbytes],
        }
        at += one.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *(_bytes(arrays[name]) for name in names)]


def _bytes(array: np.ndarray) -> memoryview:
    """Return the bytes of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8).data


def undump(content: bytes, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors and meta of a file's bytes that `dump` made.

    Raises InputError, which calls the file `name`, where they are not a safetensors file, a damaged
    one, or not ours.
    """
    import safetensors.numpy

    try:
        tensors = safetensors.numpy.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json_of(content[8 : 8 + size], name).get("__metadata__") or {}
    except TooMuch as error:
        raise InputError(str(error)) from error
    except (
        safetensors.SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise InputError(f"{name}: not a checkpoint, or a damaged one") from error
    try:
        meta = json_of(metadata[KEY].encode(), name)
    except TooMuch as error:
        raise InputError(str(error)) from error
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        raise InputError(f"{name}: a safetensors file, but not a sertool checkpoint")
    return {key: tensors.pop(key).copy() for key in sorted(tensors)}, meta


def _digest(tensors: Mapping[str, np.ndarray], meta: dict[str, Any]) -> str:
    """Return the SHA-256 of `meta` and of names, types, shapes and bytes of the tensors."""
    described = {name: value for name, value in meta.items() if name != "sha256"}
    state = hashlib.sha256(canonical(described).encode())
    for name in sorted(tensors):
        array = tensors[name]
        state.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(_bytes(np.ascontiguousarray(array)))
    return state.hexdigest()


def _is_right(tensors: Mapping[str, np.ndarray], meta: dict[str, Any]) -> bool:
    """Return whether a file has its own checksum, which no text has that is not Unicode."""
    try:
        return bool(meta.get("sha256") == _digest(tensors, meta))
    except (ValueError, RecursionError):
        return False


def _without_history(value: Any) -> Any:
    """Return JSON without what may hold numbers that JSON has not: losses that overflowed."""
    if isinstance(value, dict):
        return {k: _without_history(v) for k, v in value.items() if k != "history"}
    return [_without_history(v) for v in value] if isinstance(value, list) else value


def _identity(tensors: Mapping[str, np.ndarray], meta: dict[str, Any]) -> str:
    """Return the checksum as it would be without the environment."""
    if ENVIRONMENT not in meta:
        return str(meta["sha256"])
    return _digest(tensors, {name: v for name, v in meta.items() if name != ENVIRONMENT})


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint whole, or leave `path` as it was; equal content gives equal bytes."""
    save_together([(checkpoint, path)])


def save_together(pairs: Sequence[tuple[Checkpoint, Path]]) -> None:
    """Write checkpoints to paths in one folder: all of them, or leave every path as it was."""
    contents = [_content(checkpoint) for checkpoint, _ in pairs]
    if len(pairs) == 1:
        with atomic(pairs[0][1]) as temporary:
            _write(temporary, contents[0])
        return
    with atomic_set([path for _, path in pairs]) as temporaries:
        for temporary, content in zip(temporaries, contents, strict=True):
            _write(temporary, content)


def _write(path: Path, content: Sequence[bytes | memoryview]) -> None:
    with open(path, "wb") as file:
        file.writelines(content)


def _content(checkpoint: Checkpoint) -> list[bytes | memoryview]:
    """Return the bytes of a checkpoint's file, in pieces."""
    lines = "".join(
        canonical({name: getattr(item, name) for name in ITEM_FIELDS}) + "\n"
        for item in checkpoint.items
    )
    tensors = to_numpy(checkpoint.tensors)
    tensors[ITEMS] = np.frombuffer(lines.encode(), dtype=np.uint8)
    version = VERSION if checkpoint.meta.get("numbers") else CLASSES_VERSION
    meta = {**checkpoint.meta, "format": FORMAT, "version": version}
    return dump(tensors, {**meta, "sha256": _digest(tensors, meta)})


def read(path: Path) -> bytes:
    """Return a file's bytes, or the first few where it cannot be a safetensors file.

    What is named by mistake may be a store that does not fit into memory. InputError for a file
    that cannot be read.
    """
    try:
        with regular(path) as file:
            head = file.read(9)
            if head[8:] != b"{" or int.from_bytes(head[:8], "little") > LONGEST_HEADER:
                return head
            file.seek(0)
            return file.read()
    except IsADirectoryError as error:
        raise InputError(f"{show(path)}: is a folder, not a checkpoint") from error
    except OSError as error:
        raise InputError(f"{show(path)}: {(error.strerror or 'cannot be read').lower()}") from error


def is_checkpoint(path: Path) -> bool:
    """Return whether a file begins as a checkpoint does, whole or not; nothing else is read."""
    if not path.is_file():  # a pipe would wait for a writer
        return False
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            return 0 < size <= LONGEST_HEADER and file.read(1) == b"{"
    except OSError:
        return False


def has_network(path: Path) -> bool:
    """Return whether a checkpoint, or a member of it, is a network: only its header is read.

    False for what is no checkpoint.
    """
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            names = json_of(file.read(size if size <= LONGEST_HEADER else 0), show(path))
    except (OSError, ValueError, RecursionError):
        return False
    return any(f".{name}".endswith(".statistics.mean") for name in names)


def load(path: Path, items: bool = True) -> Checkpoint:
    """Return the checkpoint in `path`; nothing in it can run.

    items: false for who needs none of them, as they take longer to read than all the rest. Raises
    InputError where the file is missing, is not a checkpoint, is damaged, or was written
    by a newer version of sertool.
    """
    return parse(read(Path(path)), show(path), items)


def parse(content: bytes, name: str, items: bool = True) -> Checkpoint:
    """Return the checkpoint that a file's bytes are; InputError, as of `load`, calls it `name`."""
    tensors, meta = undump(content, name)
    if meta.get("format") != FORMAT:
        raise InputError(f"{name}: a safetensors file, but not a sertool checkpoint")
    version = meta.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise InputError(
            f"{name}: checkpoint of version {version}; this sertool reads up to {VERSION}"
        )
    if not _is_right(tensors, meta) or ITEMS not in tensors:
        raise InputError(f"{name}: damaged, its checksum is wrong")
    identity = _identity(tensors, meta)
    try:
        schema.convert(meta, Header)
        json.dumps(_without_history(meta), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: damaged, not the header of a checkpoint: {error}") from error
    listed = tensors.pop(ITEMS)
    lines = io.BytesIO(listed.tobytes() if items else b"")  # one at a time: all would fill memory
    try:
        kept = [_item(line) for line in lines if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: damaged, its list of items: {error}") from error
    return Checkpoint(tensors, kept, meta, identity)


def _item(line: bytes) -> Item:
    """Return the item of a line; ValueError for what is none."""
    row = json.loads(line.decode("utf-8"))
    schema.convert(row, Line)
    return Item.from_row(row)


def plain_weights(path: Path) -> dict[str, Any] | None:
    """Return the torch tensors of a safetensors file that is not a checkpoint of ours.

    None for a checkpoint, and for a file that cannot be read.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, "pt") as file:
            if KEY in (file.metadata() or {}):
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError):
        return None


def save_weights(tensors: Mapping[str, Any], path: Path) -> None:
    """Write torch tensors as a plain safetensors file, as transformers reads it.

    Tensors that share their memory are written twice.
    """
    import safetensors.torch

    own = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(own, {"format": "pt"}))
