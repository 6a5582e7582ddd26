"""Feature stores: one HDF5 file of frames, offsets, and a column for every field of its items.

The layout (readable with h5py alone): `features` (total frames, …), `offsets` (items + 1), and
`items/NAME`, one column a field; everything else is a root attribute. Unknown text is an empty
string, an unknown number NaN, an unknown fold -1. `sha256` covers the content of all datasets
and attributes but itself; the features' part in it is the SHA-256 of all items' SHA-256s, so that
whoever computes an item can hash it while it is in the cache. It is kept as the attribute `sha256`
of `features`, so that all else can be checked before it is used; an item's frames are checked by
their CRC-32, in `crc32` (items,), when they are first read: a third of the time of SHA-256, and
what is not read costs nothing. A store from before these is read whole for its first check.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Any

import h5py
import numpy as np
from msgspec import Meta, Struct

from sertool.core import boxes, ending
from sertool.core.boxes import Box
from sertool.core.errors import InputError, ItemError
from sertool.core.memory import TooMuch, afford
from sertool.core.paths import regular, show
from sertool.core.shard import Shard
from sertool.formats import schema
from sertool.formats.chunk_frames import ChunkFrames
from sertool.formats.lineage import Record, Stage, canonical
from sertool.formats.schema import Name
from sertool.formats.shard_frames import INDEX, Frames, is_sharded, why_not
from sertool.items import FIELDS, STORE_FIELDS, Item

boxes.forked_free(getattr(h5py._objects, "phil", None))

State = tuple[int, ...]
_read_before: set[State] = set()  # files whose headers a process has read and come back
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
FORMAT = "sertool-store"
VERSION = 2  # 1: every stage recorded a seed, drawn from or not
SAMPLE = 1000  # values by which a column shows whether its texts repeat
CHUNK_BYTES = 512 * 1024  # of a chunk of `features`: large enough to write fast, small to seek in
RESERVE = 1 << 22  # bytes of disk to leave for HDF5's own tables, which it cannot do without
SMALL = 1 << 24  # bytes of an item, for which memory has room whatever its limit
READ_BYTES = 8 * 1024 * 1024  # read at once when hashing
MOST_INFLATED = 1 << 28  # bytes of a column or of one chunk, where the file holds fewer
MOST_CELL = 1 << 20  # bytes of a text in a column
MOST_COLUMN = 1 << 28  # bytes of a column of texts, each of which takes as much as the longest
UNREADABLE = (  # what h5py raises of a damaged file, wherever it stops to understand it
    OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError
)  # fmt: skip
_JSON = ("settings", "pipeline", "classes", "lineage")  # attributes that are JSON texts
_KINDS = {"start": "f", "end": "f", "fold": "i"}  # NumPy's kinds of columns; of other fields "S"
_FURTHER = "Sfiu"  # of columns that are not a field of an item
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32,
            h5py.h5z.FILTER_LZF)  # fmt: skip
_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)  # none is in another file
_TYPES = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)


class Attributes(Struct, kw_only=True):
    """A store's root attributes, beside `format`; those of `_JSON` are kept as JSON texts."""

    version: int
    kind: str
    settings: dict[str, Any]
    pipeline: list[Stage]
    sample_rate: Annotated[int, Meta(ge=1, lt=2**31)]
    frame_rate: Annotated[float, Meta(ge=0, lt=2**31)]
    classes: list[Name]
    root: str
    lineage: list[Record]
    sha256: str
    shard: int = 0
    shards: int = 0
    run: str = ""


class Store:
    """A feature store, read lazily. Each process opens its own handle; none crosses a fork.

    `path` may be a folder of shards (see `store_shards`), which reads like one file. Raises
    InputError where the file, or a shard, is missing, no store, or of a newer version.

    What a file asks for is bounded, and checksums are compared, wherever it is opened. The command
    line, and a stage called with `file_timeout`, also have another process open it first, so that a
    fault of the HDF5 library (a crash, a loop) ends that one. A script that opens a store itself,
    or calls `train` or `evaluate`, which have no such option, has none: `sertool info --untrusted
    FILE` first, where a stranger made it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._at = self.path / INDEX if self.path.is_dir() else self.path
        self._shards: Frames | None = None
        self._handles: dict[int, h5py.File] = {}
        self._chunks: dict[int, Any] = {}  # what reads each process's handle
        self._items: list[Item] | None = None
        self._sums: np.ndarray | None = None  # CRC-32 of each item's frames
        self._checked = False
        self._state = self._examined()
        attributes = self._read_attributes()
        try:
            self._read_header(attributes)
        except UNREADABLE as error:
            self.close()
            why = str(error) if isinstance(error, ValueError) else "a part of it cannot be read"
            raise InputError(f"{show(self.path)}: a damaged store, {why}; make it again") from error

    def _read_header(self, attributes: dict[str, Any]) -> None:
        _check_contained(self._file, self._at.stat().st_size)
        known = _attributes(attributes)
        self.version: int = known["version"]
        self.kind: str = known["kind"]
        self.settings: dict[str, Any] = known["settings"]
        self.pipeline: list[dict[str, Any]] = known["pipeline"]
        self.sample_rate: int = known["sample_rate"]
        self.frame_rate: float = known["frame_rate"]
        self.classes: list[str] = known["classes"]
        self.root: str = known["root"]
        self.lineage: list[dict[str, Any]] = known["lineage"]
        self.sha256: str = known["sha256"]
        self.piece = Shard(known.get("shard", 0), known.get("shards", 0))  # 0/0: a whole store
        self.run: str = known.get("run", "")
        self.offsets: np.ndarray = _checked_offsets(self._file)
        self._right = np.zeros(len(self), bool)  # items whose frames were checked
        if "shards" in self._file:
            self._shards = Frames(self._at.parent, self._file, int(self.offsets[-1]), Store)
            self._shards.begin(self.offsets)
        self.shape: tuple[int, ...] = self._frames.shape[1:]
        self.dtype: np.dtype = self._frames.dtype
        self._rows = _rows(self._frames)
        row = math.prod(self.shape) * self.dtype.itemsize
        self._longest = int(self.lengths().max(initial=0)) * row  # bytes

    def _examined(self) -> State:
        """Return the file's state, once another process has read its headers and come back.

        No crash, loop or hunger of the library ends this one. Raises InputError otherwise.
        """
        try:
            with regular(self._at) as file:
                state = _state(file.fileno())
            limits = boxes.limits()
            if state not in _read_before and boxes.may_box(limits):
                with closing(Box(limits)) as box:
                    box.call(_read_apart, type(self), self.path)
                _read_before.add(state)
        except ItemError as error:
            raise InputError(
                f"{show(self.path)}: a damaged store, {error}; make it again"
            ) from error
        except OSError:
            return ()  # whoever opens it says why it cannot be
        return state

    def read_apart(self) -> None:
        """Read what this process may: chunks' places, and all that a filter unpacks but frames."""
        self._quick()
        for name in self.column_names():
            self._read(f"items/{name}")

    def _read_attributes(self) -> dict[str, Any]:
        try:
            regular(self._at).close()  # before the library waits for a pipe
            attributes = {name: self._file.attrs[name] for name in _plain_attributes(self._file)}
        except FileNotFoundError as error:
            raise InputError(f"{show(self.path)}: {self._missing()}") from error
        except PermissionError as error:
            raise InputError(f"{self.path}: no permission to read it") from error
        except BlockingIOError as error:  # HDF5 locks what it writes
            raise InputError(
                f"{show(self.path)}: another program has it open for writing; close it there"
            ) from error
        except UNREADABLE as error:
            with regular(self._at) as file:
                cut = file.read(len(HDF5_MAGIC)) == HDF5_MAGIC
            what = "cut short or damaged" if cut else "not a feature store (no HDF5 file)"
            raise InputError(f"{self.path}: {what}") from error
        if str(attributes.get("format")) != FORMAT:
            raise InputError(f"{self.path}: an HDF5 file, but not a sertool store")
        if not isinstance(attributes.get("version"), np.integer):
            raise InputError(f"{self.path}: a damaged store, without its version; make it again")
        if attributes["version"] > VERSION:
            raise InputError(
                f"{self.path}: store version {attributes['version']} is newer than this sertool's"
                f" ({VERSION}); update sertool"
            )
        return attributes

    def _missing(self) -> str:
        """Return why nothing is where the file is to be."""
        return "no such file" if self._at == self.path else why_not(self.path)

    @property
    def _file(self) -> h5py.File:
        handle = self._handles.get(os.getpid())
        if handle is None:
            if not self._at.exists():
                raise FileNotFoundError(self._at)
            with regular(self._at) as file:  # never a pipe, which would wait, whoever puts it there
                handle = h5py.File(_open_file(file, self._at), "r")
            if self._state and _state(handle.id.get_vfd_handle()) != self._state:
                handle.close()
                raise InputError(f"{show(self.path)}: changed while it was in use")
            self._handles[os.getpid()] = handle
        return handle

    @property
    def _frames(self) -> Any:
        """The features of all items: a dataset, or what stands in for one where there are shards.

        Both have a shape, a dtype, attributes and slices.
        """
        return self._file["features"] if self._shards is None else self._shards

    def _quick(self) -> Any:
        """Return what reads short slices fastest: of the dataset, or of the shards."""
        found = self._chunks.get(os.getpid())
        if found is None:
            data = self._frames
            try:
                plain = self._shards is None
                found = ChunkFrames.of(self._file, data, self.offsets) if plain else None
            except UNREADABLE as error:
                raise self._damaged("features") from error
            found = self._chunks[os.getpid()] = data if found is None else found
        return found

    @property
    def shards(self) -> list[str]:
        """The checksum of each shard, where the store is a folder of them."""
        return [] if self._shards is None else self._shards.shards

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        # a million items' columns are read again there
        return _again, (type(self), self.path, self.sha256)

    def close(self) -> None:
        """Close this process's handle."""
        handle = self._handles.pop(os.getpid(), None)
        self._chunks.pop(os.getpid(), None)
        if handle is not None:
            handle.close()
        if self._shards is not None:
            self._shards.close()

    @property
    def compression(self) -> str:
        """How the features are packed: "none", "lzf" or "gzip"."""
        return self._frames.compression or "none"

    def lengths(self) -> np.ndarray:
        """Return the number of frames of each item, shape (items,)."""
        return np.diff(self.offsets)

    def features(self, i: int) -> np.ndarray:
        """Return item `i`, shape (frames, …): (frames, dims), or (samples,) for waveforms.

        Raises InputError where they are not what was written, looked at when first read, or take
        more memory than there may be.
        """
        self.check_room([i])
        quick = self._quick()
        try:
            if isinstance(quick, ChunkFrames):
                frames = quick.item(i)
            else:
                frames = quick[self.offsets.item(i) : self.offsets.item(i + 1)]
        except UNREADABLE as error:
            raise self._damaged("features") from error
        if not self._right[i]:
            self._check_item(i, frames)
        return frames

    def check_room(self, positions: Sequence[int], times: float = 1, by: str = "") -> None:
        """Raise InputError where the longest of some items takes more memory than there may be.

        times: how often it is held at once. by: where, as the message says it.
        """
        if times * self._longest < SMALL or not len(positions):
            return
        edges = self.offsets.item
        frames, longest = max((edges(i + 1) - edges(i), i) for i in positions)
        size = times * frames * math.prod(self.shape) * self.dtype.itemsize
        try:
            afford(size, f"an item of {frames} frames{by}")
        except TooMuch as error:
            raise InputError(
                f"{show(self.path)}: {show(self.column('id')[longest])}: {error}; or make shorter"
                " items (featurize --segment 3)"
            ) from error

    def parts(self, i: int) -> Iterator[np.ndarray]:
        """Yield item `i` in parts (frames, …), one at least, of READ_BYTES at most.

        Raises InputError, at the end, where they are not what was written.
        """
        start, stop = self.offsets.item(i), self.offsets.item(i + 1)
        if stop - start <= self._rows:
            yield self.features(i)
            return
        self.check()
        crc = 0
        for first in range(start, stop, self._rows):
            some = self.frames(first, min(first + self._rows, stop))
            crc = zlib.crc32(_raw(some), crc)
            yield some
        if self._sums is not None and crc != self._sums[i]:
            raise self._altered(i)

    def batch(self, positions: Sequence[int]) -> list[np.ndarray]:
        """Return what `features` does of each item, in one call, which takes less of the time."""
        quick = self._quick()
        if not isinstance(quick, ChunkFrames):
            return [self.features(i) for i in positions]
        self.check_room(positions)
        chosen = np.asarray(positions, np.int64)
        try:
            found = quick.items(chosen)
        except UNREADABLE as error:
            raise self._damaged("features") from error
        for k in np.flatnonzero(~self._right[chosen]).tolist():
            self._check_item(int(chosen[k]), found[k])
        return found

    def _check_item(self, i: int, frames: np.ndarray) -> None:
        """Raise InputError where an item's frames are not what was written."""
        self.check()
        if self._sums is not None and zlib.crc32(_raw(frames)) != self._sums[i]:
            raise self._altered(i)
        self._right[i] = True

    def frames(self, start: int, stop: int) -> np.ndarray:
        """Return frames by their positions, not checked; InputError where they cannot be read."""
        try:
            found: np.ndarray = self._quick()[start:stop]
        except UNREADABLE as error:
            raise self._damaged("features") from error
        return found

    def sums(self) -> np.ndarray:
        """Return the CRC-32 of each item's frames, checked, shape (items,)."""
        self.check()
        if self._sums is None:
            raise self._damaged("crc32")
        return self._sums

    def item_sha256(self) -> bytes:
        """Return the SHA-256s of all items' frames, as a shard keeps them."""
        found = self._read("item_sha256").tobytes()
        self.check()
        if hashlib.sha256(found).hexdigest() != str(self._frames.attrs["sha256"]):
            raise self._damaged("item_sha256")
        return found

    def check(self) -> None:
        """Raise InputError where columns or attributes are not what was written; done once.

        So it is where features are not, in a store that keeps no checksum of each item's.
        """
        if self._checked:
            return
        try:
            data = self._frames
            whole = "crc32" not in self._file
            sha256 = _checksums(data, self.offsets)[0] if whole else str(data.attrs["sha256"])
            right = _content_sha256(self._file, data, sha256) == self.sha256
            self._sums = None if whole else self._file["crc32"][()]
        except UNREADABLE:
            right = False
        if not right:
            raise InputError(
                f"{show(self.path)}: damaged, its content is not what was written (its sha256"
                " differs); make it again"
            )
        self._checked = True

    def check_features(self) -> None:
        """Raise InputError where the features of any item, read or not, are not what was written.

        For who takes the store for whole. They are read once, in blocks, and not looked at again.
        """
        self.check()
        if self._sums is None:
            return
        try:
            found = _frames_crc32(self._frames, self.offsets)
        except UNREADABLE as error:
            raise self._damaged("features") from error
        for i in np.flatnonzero(found != self._sums)[:1]:
            raise self._altered(i)
        self._right[:] = True

    def _altered(self, i: int) -> InputError:
        name = show(self.column("id")[i])
        return InputError(
            f"{show(self.path)}: damaged, the features of {name} are not what was written;"
            " make it again"
        )

    def _read(self, name: str, part: Any = ()) -> np.ndarray:
        """Return a part of a dataset; InputError where the file is damaged there."""
        try:
            found: np.ndarray = self._file[name][part]
        except UNREADABLE as error:
            raise self._damaged(name) from error
        return found

    def _damaged(self, name: str) -> InputError:
        return InputError(f"{show(self.path)}: damaged, {show(name)} cannot be read; make it again")

    def column_names(self) -> list[str]:
        """Return the names of the item columns: manifest fields, provenance, further fields."""
        names = list(self._file["items"])
        return [n for n in STORE_FIELDS if n in names] + [n for n in names if n not in STORE_FIELDS]

    def column(self, name: str) -> list[Any]:
        """Return one column as Python values, None where unknown ("" for where an item is from)."""
        data = self._read(f"items/{name}")
        if data.dtype.kind == "S":
            blank = "" if name in STORE_FIELDS and name not in FIELDS else None
            values = data.tolist()
            try:
                if 2 * len(set(values[:SAMPLE])) > len(values[:SAMPLE]):  # an id, a path, a hash
                    return [value.decode("utf-8") or blank for value in values]
                known = {value: value.decode("utf-8") or blank for value in set(values)}
                return [known[value] for value in values]  # each text once: they would fill memory
            except UnicodeDecodeError as error:
                raise self._damaged(f"items/{name}") from error
        if data.dtype.kind == "f":
            return [None if math.isnan(value) else value for value in data.tolist()]
        return [None if name == "fold" and value < 0 else value for value in data.tolist()]

    def items(self) -> list[Item]:
        """Return every item; read once, then kept.

        Raises InputError where columns or attributes are not what was written.
        """
        self.check()
        if self._items is None:
            names = self.column_names()
            own, further = len(STORE_FIELDS), names[len(STORE_FIELDS) :]
            items = [
                Item(*row[:own], extra=dict(zip(further, row[own:], strict=True)))  # type: ignore[misc]
                for row in zip(*map(self.column, names), strict=True)
            ]
            if not all(item.id for item in items):
                raise self._damaged("items/id")
            self._items = items
        return self._items

    def verify(self) -> bool:
        """Return whether the content still has the checksum that was written with it."""
        try:
            self.check()
            if self._sums is None:
                return True
            sha256, sums = _checksums(self._frames, self.offsets)
            right = _content_sha256(self._file, self._frames, sha256) == self.sha256
        except (*UNREADABLE, InputError):
            return False
        return right and sums == self._sums.tolist()


def _state(descriptor: int) -> State:
    """Return what changes when a file does, or another takes its name."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _open_file(file: IO[bytes], path: Path) -> str | Path:
    """Return a name of an open file that nobody can give to another one; its path where none is."""
    name = f"/proc/self/fd/{file.fileno()}"
    return name if os.path.exists(name) else path


def _read_apart(kind: type[Store], path: Path) -> None:
    """Read a store as whoever opens it will; runs in a process of its own."""
    with kind(path) as store:
        store.read_apart()


def is_store(path: Path) -> bool:
    """Return whether a path is a store by its first bytes, or a folder of shards of one."""
    if path.is_dir():
        return is_sharded(path)
    try:
        with regular(path) as file:
            return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC
    except (OSError, ValueError):
        return False


def _plain_attributes(at: Any) -> list[str]:
    """Return the names of the attributes that are numbers or texts, by their headers alone."""
    names = []
    for i in range(h5py.h5a.get_num_attrs(at.id)):
        one = h5py.h5a.open(at.id, index=i)
        if one.get_type().get_class() in _TYPES:
            names.append(one.name.decode("utf-8", "surrogateescape"))
    return names


def _check_contained(file: h5py.File, size: int) -> None:
    """Raise ValueError where a file of `size` bytes holds what no store does; reads headers alone.

    Links, virtual datasets and external storage would have the library read other files, and some
    crash it; so may references and user types. What unpacks to far more than the file fills memory.
    """
    if len(_plain_attributes(file)) < len(file.attrs):
        raise ValueError("an attribute is neither number nor text")
    for group in (file, file.get("items")) if _linked(file, "items") == "group" else (file,):
        for name in group:
            shown = show(name)
            kind = _linked(group, name)
            if kind == "link":
                raise ValueError(f"{shown} is a link")
            if kind == "dataset":
                data = group[name]
                _check_dataset(data, shown, size, name == "features" and group is file)
                if len(_plain_attributes(data)) < len(data.attrs):
                    raise ValueError(f"an attribute of {shown} is neither number nor text")
            elif name != "items" or group is not file:
                raise ValueError(f"{shown} is no dataset")


def _linked(group: Any, name: str | bytes) -> str:
    """Return what a name in a group stands for: "link", "dataset", "group" or "" for nothing."""
    link = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
    if link not in group.id:
        return ""
    if group.id.links.get_info(link).type != h5py.h5l.TYPE_HARD:
        return "link"
    found = h5py.h5o.get_info(group.id, link).type
    return {h5py.h5o.TYPE_DATASET: "dataset", h5py.h5o.TYPE_GROUP: "group"}.get(found, "other")


def _check_dataset(data: h5py.Dataset, name: str, size: int, frames: bool) -> None:
    """Raise ValueError for a dataset that lies elsewhere, or is more than the file can hold.

    frames: it is read item by item, so that it may unpack to any size.
    """
    made, kind = data.id.get_create_plist(), data.id.get_type()
    if made.get_layout() not in _LAYOUTS or made.get_external_count():
        raise ValueError(f"{name} lies in another file")
    filters = {made.get_filter(i)[0] for i in range(made.get_nfilters())}
    if not filters <= set(_FILTERS):
        raise ValueError(f"{name} is packed in an unknown way")
    text = kind.get_class() == h5py.h5t.STRING
    if kind.get_class() not in _TYPES or (text and kind.is_variable_str()):
        raise ValueError(f"{name} holds neither numbers nor texts of one length")
    if text and kind.get_size() > MOST_CELL:
        raise ValueError(f"{name} has texts of {kind.get_size()} bytes; {MOST_CELL} are the most")
    if not _stored(data) or (not filters and data.nbytes > size):
        raise ValueError(f"some of {name} is missing")
    chunk = math.prod(data.chunks or (1,)) * data.dtype.itemsize
    if chunk > max(MOST_INFLATED, size) or (
        not frames and data.nbytes > max(MOST_INFLATED, data.id.get_storage_size())
    ):
        raise ValueError(f"{name} unpacks to more than {MOST_INFLATED} bytes")


def _attributes(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a store's root attributes as Python values; ValueError where they are not so."""
    values = {name: _plain(value) for name, value in found.items()}
    for name in _JSON:
        try:
            values[name] = json.loads(values[name])
            json.dumps(values[name], allow_nan=False)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"its attribute {name} is not JSON") from error
    try:
        schema.convert(values, Attributes)
    except ValueError as error:
        raise ValueError(f"its attribute {error}") from error
    return values


def _checked_offsets(file: h5py.File) -> np.ndarray:
    """Return the offsets; ValueError where the datasets of a file are not those of a store."""
    offsets = _dataset(file, "offsets")
    features = None if "shards" in file else _dataset(file, "features")
    if offsets.dtype.kind != "i" or offsets.ndim != 1 or not len(offsets):
        raise ValueError("its offsets are not whole numbers")
    if features is not None and (features.dtype.kind not in "fiu" or not features.ndim):
        raise ValueError("its features are not numbers")
    edges: np.ndarray = offsets[()]
    total = edges[-1] if features is None else len(features)
    if edges[0] != 0 or (np.diff(edges) < 0).any() or edges[-1] != total:
        raise ValueError("its offsets do not match its features")
    if "crc32" in file:
        sums = _dataset(file, "crc32")
        if sums.shape != (len(edges) - 1,) or sums.dtype != np.uint32:
            raise ValueError("its checksums are not one per item")
    items = file.get("items")
    if not hasattr(items, "keys"):
        raise ValueError("it has no items")
    for name in STORE_FIELDS:
        if name not in items:
            raise ValueError(f"it lacks the column {name}")
    for name in items:
        column = _dataset(file, f"items/{name}")
        allowed = _KINDS.get(name, "S" if name in STORE_FIELDS else _FURTHER)
        if column.shape != (len(edges) - 1,) or column.dtype.kind not in allowed:
            raise ValueError(f"its column {show(name)} does not hold one value per item")
    return edges


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    found = file.get(name)
    if getattr(found, "shape", None) is None:  # missing, a group, or empty
        raise ValueError(f"it lacks {show(name)}")
    return found


def _stored(data: h5py.Dataset) -> bool:
    """Return whether the file holds what the shape of a dataset claims, chunk by chunk."""
    if data.shape is None or not data.size:
        return True
    if data.chunks is None:
        return bool(data.id.get_storage_size() >= data.nbytes)
    sides = zip(data.shape, data.chunks, strict=True)
    wanted = math.prod(-(-whole // part) for whole, part in sides)
    return bool(data.id.get_num_chunks() >= wanted)


def _content_sha256(file: Any, features: Any, features_sha256: str) -> str:
    """Return the checksum over attributes, features, offsets and columns; see the module."""
    digest = hashlib.sha256()
    names = sorted(set(file.attrs) - {"sha256"})
    header = {name: _plain(file.attrs[name]) for name in names}
    digest.update(canonical(header).encode("utf-8"))
    datasets = {"features": features, "offsets": file["offsets"]}
    datasets |= {f"items/{name}": file["items"][name] for name in sorted(file["items"])}
    for name, data in datasets.items():
        known = features_sha256 if name == "features" else _dataset_sha256(data)
        digest.update(f"{name} {data.dtype.str} {list(data.shape)} {known}\n".encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _raw(frames: np.ndarray) -> memoryview:
    """Return the bytes of contiguous frames, not copied."""
    return frames.reshape(-1).view(np.uint8).data


def _checksums(data: Any, offsets: np.ndarray) -> tuple[str, list[int]]:
    """Return the SHA-256 of the items' SHA-256s, and their CRC-32s.

    No more than READ_BYTES are read at once.
    """
    digest = hashlib.sha256()
    sums = []
    rows = _rows(data)
    for start, end in itertools.pairwise(offsets.tolist()):
        item, crc = hashlib.sha256(), 0
        for first in range(start, end, rows):
            block = data[first : min(first + rows, end)].tobytes()
            boxes.step()
            item.update(block)
            crc = zlib.crc32(block, crc)
        digest.update(item.digest())
        sums.append(crc)
    return digest.hexdigest(), sums


def _frames_crc32(data: Any, offsets: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of each item's frames (items,); no more than READ_BYTES are read at once.

    Items are many and short: reading each by itself would take longer than all the rest.
    """
    sums, item = [0] * (len(offsets) - 1), 0
    for first in range(0, int(offsets[-1]), rows := _rows(data)):
        block = data[first : first + rows]
        at, last = first, first + len(block)
        while at < last:
            while offsets[item + 1] <= at:
                item += 1
            end = min(int(offsets[item + 1]), last)
            sums[item] = zlib.crc32(_raw(block[at - first : end - first]), sums[item])
            at = end
    return np.array(sums, np.uint32)


def _rows(data: Any) -> int:
    """Return how many rows of a dataset are READ_BYTES."""
    row = int(np.prod(data.shape[1:], dtype=np.int64)) * data.dtype.itemsize
    return max(1, READ_BYTES // max(1, row))


def _dataset_sha256(data: Any) -> str:
    """Return the SHA-256 of a dataset's bytes, read block by block through one buffer."""
    digest = hashlib.sha256()
    rows = _rows(data)
    for start in range(0, data.shape[0], rows):
        digest.update(data[start : start + rows].tobytes())
    return digest.hexdigest()


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Raise OSError where the block cannot write an HDF5 file: the library has no such error."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        ending.spoil()
        found = re.search(r"errno = (\d+)", str(error))
        if found is None or isinstance(error, OSError):
            raise
        code = int(found[1])
        raise OSError(code, os.strerror(code), str(path.parent)) from error


class StoreWriter:
    """Writes a store item by item, in order, into a file that must not exist yet.

    Memory holds one chunk of features and the items' columns. Call `finish` last.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: str, compress: str = "none"
    ) -> None:
        # the newer headers of HDF5 before 2.0 hold times, and would differ from run to run; the
        # file is locked already, by whoever made it (see `outputs.atomic`)
        self._file = h5py.File(path, "w", libver="earliest", locking=False)
        self._path = path
        row = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        chunk = max(1, CHUNK_BYTES // max(1, row))
        self._features = self._file.create_dataset(
            "features",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(chunk, *shape),
            dtype=dtype,
            fillvalue=0,  # said outright, or the rest of the last chunk is whatever memory held
            compression=None if compress == "none" else compress,
        )
        self._packer = None if compress == "none" else _Packer(self._features)
        self._buffer = np.empty((chunk, *shape), dtype)
        self._used = self._written = 0  # frames in the buffer, frames on disk
        self._digests: list[bytes] = []  # SHA-256 of each item's frames
        self._sums: list[int] = []  # CRC-32 of each item's frames
        self._offsets = [0]
        self._items: list[Item] = []

    def append(self, features: np.ndarray, item: Item) -> None:
        """Add one item: `features` (frames, …) of the store's trailing shape."""
        frames = np.ascontiguousarray(features)
        if frames.shape[1:] != self._buffer.shape[1:]:
            raise ValueError(f"shape {frames.shape[1:]}, store has {self._buffer.shape[1:]}")
        at = 0
        while at < len(frames):
            room = self.room(len(frames) - at)
            room[:] = frames[at : at + len(room)]
            at += len(room)
            self.filled(len(room))
        content = _raw(frames)
        self.end_item(item, hashlib.sha256(content).digest(), zlib.crc32(content))

    def room(self, frames: int) -> np.ndarray:
        """Return where the next frames of the item go, at most `frames` of them; see `filled`."""
        return self._buffer[self._used : self._used + frames]

    def filled(self, frames: int) -> None:
        """Count `frames` that were put where `room` said; a whole chunk goes to disk."""
        self._used += frames
        if self._used == len(self._buffer):
            with written(self._path):
                self._flush()

    def end_item(self, item: Item, sha256: bytes, crc32: int) -> None:
        """Close the item that was filled in since the last one, with checksums of its bytes."""
        self._digests.append(sha256)
        self._sums.append(crc32)
        self._offsets.append(self._written + self._used)
        self._items.append(item)

    def _flush(self) -> None:
        if self._used:
            self._need(self._buffer.nbytes)
            start, block = self._written, self._buffer[: self._used]
            self._written += self._used
            self._features.id.set_extent((self._written, *block.shape[1:]))
            self._buffer[self._used :] = 0
            corner = (start,) + (0,) * (block.ndim - 1)
            packed = (self._buffer, 0) if self._packer is None else self._packer(self._buffer)
            self._features.id.write_direct_chunk(corner, *packed)  # faster than a slice
            self._used = 0

    def finish(self, attributes: dict[str, Any], shard: Shard | None = None, run: str = "") -> None:
        """Write columns and attributes, close the file.

        `attributes`: kind, settings, pipeline, sample_rate, frame_rate, root, lineage. shard: which
        the file is, of the store that all shards of `run` are.
        """
        with written(self._path):
            self._finish(attributes, shard, run)

    def _finish(self, attributes: dict[str, Any], shard: Shard | None, run: str) -> None:
        self._flush()
        self._need(0)
        digests = b"".join(self._digests)
        if shard is not None:
            rows = np.frombuffer(digests, np.uint8).reshape(-1, hashlib.sha256().digest_size)
            self._file.create_dataset("item_sha256", data=rows)
            self._file.attrs["shard"], self._file.attrs["shards"] = shard.number, shard.of
            self._file.attrs["run"] = run
        sha256 = hashlib.sha256(digests).hexdigest()
        describe(
            self._file, self._features, sha256, self._items, self._offsets, self._sums, attributes
        )
        self._file.close()

    def _need(self, size: int) -> None:
        """Raise OSError before the disk is full: HDF5 cannot close a file that it cannot write."""
        if shutil.disk_usage(self._path.parent).free < size + RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path.parent))

    def abort(self) -> None:
        """Close the file without finishing it; what was written to it is lost."""
        os.truncate(self._path, 0)  # makes room on a full disk for what HDF5 writes in closing
        self._file.close()


def _again(kind: type[Store], path: Path, sha256: str) -> Store:
    """Open a store in another process; InputError where it is not the same any more."""
    store = kind(path)
    if store.sha256 != sha256:
        raise InputError(f"{show(path)}: changed while it was in use")
    return store


def describe(
    file: h5py.File,
    features: Any,
    features_sha256: str,
    items: list[Item],
    offsets: list[int],
    sums: list[int],
    attributes: dict[str, Any],
) -> None:
    """Write all of a store but its features: items, where they begin, checksums and attributes.

    features: the dataset, or what stands in for one; its checksum becomes an attribute.
    attributes: see `StoreWriter.finish`. Raises InputError where two items have one id.
    """
    seen: set[str] = set()
    for item in items:
        name = _text(item.id)  # as the column keeps it
        if name in seen:
            raise InputError(f"two items are called {name}")
        seen.add(name)
    file.create_dataset("offsets", data=np.asarray(offsets, np.int64))
    file.create_dataset("crc32", data=np.asarray(sums, np.uint32))
    group = file.create_group("items")
    for name, column in _columns(items):
        group.create_dataset(name, data=column)
    values = attributes | {"classes": sorted({item.label for item in items if item.label})}
    file.attrs["format"] = FORMAT
    file.attrs["version"] = VERSION
    file.attrs["sample_rate"] = int(values.pop("sample_rate"))
    file.attrs["frame_rate"] = float(values.pop("frame_rate"))
    for name in ("kind", "settings", "pipeline", "classes", "root", "lineage"):
        value = values.pop(name)
        file.attrs[name] = value if isinstance(value, str) else canonical(value)
    if values:
        raise ValueError(f"no such attributes: {sorted(values)}")
    features.attrs["sha256"] = features_sha256
    file.attrs["sha256"] = _content_sha256(file, features, features_sha256)


class _Packer:
    """Packs chunks as a dataset's filters do, in memory.

    What the library packs it keeps until it has written it, and where it cannot, as on a full disk,
    it crashes in closing the file.
    """

    def __init__(self, like: h5py.Dataset) -> None:
        self._file = h5py.File("packed", "w", driver="core", backing_store=False)
        self._chunk = self._file.create_dataset(
            "chunk", like.chunks, like.dtype, chunks=like.chunks, compression=like.compression
        )

    def __call__(self, chunk: np.ndarray) -> tuple[bytes, int]:
        """Return a whole chunk as it lies in the file, and which filters were of no use to it."""
        self._chunk[...] = chunk
        self._chunk.flush()
        skipped, packed = self._chunk.id.read_direct_chunk((0,) * chunk.ndim)
        return bytes(packed), skipped


def _columns(items: list[Item]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, column) for the store's own fields, then further ones by name."""
    further = sorted({name for item in items for name in item.extra} - set(STORE_FIELDS))
    for name in (*STORE_FIELDS, *further):
        values = [item.value(name) for item in items]
        if name == "fold":
            yield name, np.array([-1 if v is None else v for v in values], np.int64)
        elif name in ("start", "end") or (name not in STORE_FIELDS and _numeric(values)):
            yield name, np.array([np.nan if v is None else v for v in values], np.float64)
        else:
            texts = [_text(value).encode("utf-8") for value in values]
            width = max([1, *(len(text) for text in texts)])
            if width > MOST_CELL or width * len(texts) > MOST_COLUMN:
                longest = items[max(range(len(texts)), key=lambda i: len(texts[i]))].id
                raise InputError(
                    f"{show(longest)}: its {show(name)} has {width} bytes, and a store keeps that"
                    " room for each of its items; shorten it, or leave the field out"
                )
            kind = h5py.string_dtype("utf-8", width)
            yield name, np.array(texts, f"S{width}").astype(kind)


def _numeric(values: list[Any]) -> bool:
    present = [v for v in values if v is not None]
    return bool(present) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in present
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else canonical(value)
    return text.rstrip("\0")
