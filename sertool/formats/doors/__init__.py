"""Stores as other tools read and write them, one module a format; all that a store says is kept.

Beside the items a file or folder has a description, JSON: what a store has as attributes. From it
and the items `read` gives what a store is made of again: the same items, bit for bit.
"""

from __future__ import annotations

import importlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, to_builtins

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats import schema
from sertool.formats.building import Made, Source
from sertool.formats.lineage import Record, Stage, canonical
from sertool.formats.schema import Count, Name, Positive
from sertool.formats.store import Store
from sertool.items import STORE_FIELDS, Item

FORMAT, VERSION = "sertool-items", 1
INDEX = "sertool.json"  # the description, where the items lie in a folder
MOST_TEXT = 1 << 26  # bytes of a description
TYPES = ("float32", "float16", "int16", "uint8")  # of the numbers in a store
PARQUET, NPZ, WEBDATASET, DATASETS, LHOTSE = "parquet", "npz", "webdataset", "datasets", "lhotse"
AUDFORMAT = "audformat"
_MODULES = {PARQUET: "parquet", NPZ: "npz", WEBDATASET: "webdataset", DATASETS: "parquet"}
FILES = {".parquet": PARQUET, ".npz": NPZ}  # by the suffix of a file
FOLDERS = (WEBDATASET, DATASETS, LHOTSE, AUDFORMAT)
FORMATS = (*FILES.values(), *FOLDERS)


class Description(Struct, kw_only=True):
    """What is true of all items; what a store's attributes have.

    store: the SHA-256 of the store. numbers: the further columns that are numbers; others are text.
    """

    format: Literal["sertool-items"]
    version: int
    store: str
    items: Count
    kind: str
    settings: dict[str, Any]
    pipeline: list[dict[str, Any]]
    sample_rate: Positive
    frame_rate: Annotated[float, Meta(ge=0, lt=2**31)]
    root: str
    lineage: list[dict[str, Any]]
    dtype: Literal["float32", "float16", "int16", "uint8"]
    shape: Annotated[list[Positive], Meta(max_length=3)]
    texts: list[Name]
    numbers: list[Name]


def described(store: Store) -> dict[str, Any]:
    """Return the description of a store."""
    further = [name for name in store.column_names() if name not in STORE_FIELDS]
    rows = [item.extra for item in store.items()]
    texts = [n for n in further if all(isinstance(row.get(n), str | None) for row in rows)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "store": store.sha256,
        "items": len(store),
        "kind": store.kind,
        "settings": store.settings,
        "pipeline": store.pipeline,
        "sample_rate": store.sample_rate,
        "frame_rate": store.frame_rate,
        "root": store.root,
        "lineage": store.lineage,
        "dtype": str(store.dtype),
        "shape": list(store.shape),
        "texts": texts,
        "numbers": [name for name in further if name not in texts],
    }


def parse(text: bytes | str, name: str) -> Description:
    """Return a description; InputError, naming the file, where it is none or of a newer version."""
    try:
        if len(text) > MOST_TEXT:
            raise ValueError(f"it has {len(text)} bytes")
        values = json.loads(text)
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode()  # no half surrogate
        if isinstance(values, dict) and (values.get("version") or 0) > VERSION:
            raise InputError(
                f"{name}: items of version {values['version']}; this sertool reads up to {VERSION}"
            )
        found = schema.convert(values, Description)
        schema.convert(found.pipeline, list[Stage])
        schema.convert(found.lineage, list[Record])
        if _too_large(found.shape):
            raise ValueError(f"a frame of shape {found.shape}")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{name}: a damaged description: {error}") from error
    return found


def _too_large(shape: Sequence[int]) -> bool:
    """Return whether a frame has more numbers than any that a store could hold in a chunk."""
    return int(np.prod(shape, dtype=object)) > 1 << 26


def attributes(found: Description) -> dict[str, Any]:
    """Return the attributes that the store of a description has."""
    names = ["kind", "settings", "pipeline", "sample_rate", "frame_rate", "root", "lineage"]
    values: dict[str, Any] = to_builtins(found)
    return {name: values[name] for name in names}


@dataclass
class Table(Source):
    """The items of a file or folder that `convert` wrote; features are read one by one, in order.

    `make` may be called for an item that was made already, or for a later one, which takes longer.
    """

    path: Path
    description: Description
    items: list[Item]

    def make(self, i: int) -> Made:
        """Return item `i`; InputError where its features are not as the description says."""
        found = self.frames(i)
        one = self.description
        if found.dtype != np.dtype(one.dtype) or list(found.shape[1:]) != one.shape:
            raise self.damaged(f"the features of {show(self.items[i].id)}")
        return Made([(self.items[i], found)])

    @abstractmethod
    def frames(self, i: int) -> np.ndarray:
        """Return the features of item `i` (frames, …)."""

    def damaged(self, what: str) -> InputError:
        """Return the error that says what cannot be used."""
        return InputError(f"{show(self.path)}: damaged, {what} cannot be used; make it again")


class Door(ABC):
    """How a format is written and read."""

    @abstractmethod
    def write(self, store: Store, target: Path, to: str) -> None:
        """Write a store into a file, or a folder that is there and empty."""

    def read(self, path: Path) -> Table:
        """Return the items of a file or folder; InputError where it is not what `write` writes."""
        raise InputError(f"{show(path)}: is for another tool, and is not read back")


def door(to: str) -> Door:
    """Return the door of a format."""
    module = importlib.import_module(f"sertool.formats.doors.{_MODULES.get(to, to)}")
    found: Door = module.DOOR
    return found


def format_of(path: Path) -> str | None:
    """Return the format of what lies at a path and is read back; None for none."""
    if path.is_dir():
        return WEBDATASET if (path / INDEX).is_file() else None
    return FILES.get(path.suffix.lower())


def columns(store: Store) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield (name, "text", "number" or "whole", values) of each column; None where unknown."""
    numbers = set(described(store)["numbers"])
    items = store.items()
    for name in store.column_names():
        kind = "number" if name in ("start", "end") or name in numbers else "text"
        yield name, "whole" if name == "fold" else kind, [item.value(name) for item in items]


_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate: no text that a file can hold


def names_of(found: Description) -> list[str]:
    """Return the names of all columns."""
    return [*STORE_FIELDS, *found.texts, *found.numbers]


def item_of(row: dict[str, Any], found: Description, where: str) -> Item:
    """Return the item of a row of JSON values; InputError where one is of another type."""
    for name in names_of(found):
        value = row.get(name)
        if name == "fold":
            right = isinstance(value, int) and 0 <= value < 2**31 and not isinstance(value, bool)
        elif name in ("start", "end") or name in found.numbers:
            right = isinstance(value, float) or (type(value) is int and abs(value) < 1 << 63)
        else:
            right = isinstance(value, str) and not _HALF.search(value)
        if value is not None and not right:
            raise InputError(f"{where}: {show(name)} is {show(f'{value!r:.40}')}")
    if not row.get("id"):
        raise InputError(f"{where}: an item without an id")
    return Item.from_row({name: row.get(name) for name in names_of(found)})


def text_of(store: Store) -> str:
    """Return the description of a store as JSON text."""
    return canonical(described(store))
