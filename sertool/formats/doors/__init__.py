"""Stores as other tools read and write them, one module a format; all that a store says is kept.

Beside the items a file or folder has a description, JSON: what a store has as attributes. From it
and the items `read` gives what a store is made of again: the same items, bit for bit. Each item has
a CRC-32 of its fields and features, the description a SHA-256 of itself: they are compared as they
are read. What an older version wrote has neither.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats import schema
from sertool.formats.building import Made, Source
from sertool.formats.lineage import Record, Stage, canonical, file_sha256
from sertool.formats.schema import Count, Name, Positive
from sertool.formats.store import Store
from sertool.items import STORE_FIELDS, Item

FORMAT, VERSION = "sertool-items", 1
CRC32 = "crc32"  # the array or column of checksums
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
    crc32: of each item, where the items have no place for it. sha256: of all the rest.
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
    crc32: list[Annotated[int, Meta(ge=0, lt=2**32)]] | UnsetType = UNSET
    sha256: str = ""


def described(store: Store) -> dict[str, Any]:
    """Return the description of a store, without its checksum."""
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
        if found.sha256 not in ("", _digest(values)):
            raise ValueError("its checksum is wrong")
        schema.convert(found.pipeline, list[Stage])
        schema.convert(found.lineage, list[Record])
        if _too_large(found.shape):
            raise ValueError(f"a frame of shape {found.shape}")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{name}: a damaged description: {error}") from error
    return found


def _digest(values: dict[str, Any]) -> str:
    """Return the SHA-256 of all that a description says, but of this."""
    kept = {name: value for name, value in values.items() if name != "sha256"}
    return hashlib.sha256(canonical(kept).encode()).hexdigest()


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
    sums: the CRC-32 of each item, None in what an older version wrote.
    """

    path: Path
    description: Description
    items: list[Item]
    sums: Sequence[int] | None

    def __post_init__(self) -> None:
        """Raise InputError where the checksums are not those of the items."""
        self._sum = Checksum(self.description)
        missing = bool(self.description.sha256)
        if missing if self.sums is None else len(self.sums) != len(self.items):
            raise self.damaged("its checksums")

    @property
    def sha256(self) -> str:
        """The SHA-256 of what it must hold, however it is packed; of an older one, of its bytes."""
        if self.unsigned:
            return file_sha256(self.path / INDEX if self.path.is_dir() else self.path)
        text = self.description.sha256 + "".join(f" {one:08x}" for one in self.sums or ())
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self) -> None:
        """Raise InputError where an item is not what was written."""
        for i in range(len(self.items)):
            for _ in self.checked(i):
                pass

    @property
    def unsigned(self) -> bool:
        """Whether some of it has no checksum."""
        return self.sums is None or not self.description.sha256

    def doubts(self) -> Iterator[str]:
        """Yield what to say of a file that carries no checksum, or has fewer items than it had."""
        if self.unsigned:
            yield f"{show(self.path)}: carries {schema.NO_CHECKSUM}"
        if len(self.items) < self.description.items:
            few = f"{len(self.items)} of the {self.description.items} items"
            yield f"{show(self.path)}: holds {few} that convert wrote"

    def make(self, i: int) -> Made:
        """Return item `i`; taking its features raises InputError as `checked` does."""
        return Made([(self.items[i], self.checked(i))])

    def checked(self, i: int) -> Iterator[np.ndarray]:
        """Yield the features of item `i` as `parts` does.

        Raises InputError where they are not as the description and, at the end, the checksum say.
        """
        item, one = self.items[i], self.description
        crc = self._sum.of(item)
        for some in self.parts(i):
            if some.dtype != np.dtype(one.dtype) or list(some.shape[1:]) != one.shape:
                raise self.damaged(f"the features of {show(item.id)}")
            crc = with_frames(crc, some)
            yield some
        if self.sums is not None and crc != self.sums[i]:
            raise InputError(
                f"{show(self.path)}: {show(item.id)} is not what convert wrote (its checksum is"
                " wrong): damaged, or changed since; make it again"
            )

    @abstractmethod
    def parts(self, i: int) -> Iterator[np.ndarray]:
        """Yield the features of item `i` in parts (frames, …), in order, one at least."""

    def damaged(self, what: str) -> InputError:
        """Return the error that says what cannot be used."""
        return InputError(f"{show(self.path)}: damaged, {what} cannot be used; make it again")


class Checksum:
    """The CRC-32 of an item: of its fields by the description's names, then of its features.

    What formats do not tell apart is one: an empty text and none, a whole number and its float.
    """

    def __init__(self, found: Description) -> None:
        numbers = {"start", "end", *found.numbers}
        self._kinds = [(name, name in numbers, name == "fold") for name in names_of(found)]

    def of(self, item: Item) -> int:
        """Return the checksum of an item's fields; `with_frames` adds its features."""
        row: list[Any] = []
        for name, number, whole in self._kinds:
            value: Any = item.value(name)
            row.append((value or "") if not (number or whole) else value)
            if number and value is not None:
                row[-1] = float(value)
        return zlib.crc32(canonical(row).encode())


def with_frames(crc: int, frames: np.ndarray) -> int:
    """Return a checksum of which further frames (n, …) are part."""
    return zlib.crc32(np.ascontiguousarray(frames).reshape(-1).view(np.uint8).data, crc)


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


def text_of(store: Store, count: int | None = None, sums: Sequence[int] | None = None) -> str:
    """Return the description of a store as JSON text; of `count` items alone, with their CRC-32s.

    The last in it is its SHA-256.
    """
    values = described(store)
    values |= {} if count is None else {"items": count}
    values |= {} if sums is None else {"crc32": list(sums)}
    return canonical(values)[:-1] + f',"sha256":"{_digest(values)}"}}'
