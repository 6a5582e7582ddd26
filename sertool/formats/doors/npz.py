"""NumPy's .npz: the arrays of a store under the names that they have in it.

`features`, `offsets`, `items/NAME` (texts as text, unknown an empty one, NaN or -1), `crc32` of
each item, and `sertool`, the description. Nothing is pickled. `features` are not packed, so that
items are read one by one.
"""

from __future__ import annotations

import lzma
import math
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from sertool.core.errors import InputError
from sertool.core.paths import regular, show
from sertool.formats import doors
from sertool.formats.doors import CRC32, Checksum, Door, Table
from sertool.formats.store import MOST_INFLATED, Store

DATE = (1980, 1, 1, 0, 0, 0)
BLOCK = 1 << 23  # bytes read at once
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
           RuntimeError)  # fmt: skip
Layout = tuple[tuple[int, ...], np.dtype]


@dataclass
class _Arrays(Table):
    """The items of a file, read on where the last one ended."""

    offsets: np.ndarray
    _file: Any = None
    _next: int = 0  # the item that is read without going back

    def parts(self, i: int) -> Iterator[np.ndarray]:
        try:
            if self._file is None or i < self._next:
                packed = zipfile.ZipFile(self.path)
                self._file = packed.open("features.npy")
                header(self._file)
                self._next = 0
            shape, dtype = tuple(self.description.shape), np.dtype(self.description.dtype)
            row = math.prod(shape) * dtype.itemsize
            for skipped in range(self._next, i):
                self._file.seek(int(self.offsets[skipped + 1] - self.offsets[skipped]) * row, 1)
            count = int(self.offsets[i + 1] - self.offsets[i])
            if count * row > max(MOST_INFLATED, self.path.stat().st_size):
                raise ValueError(f"{count * row} bytes")
            self._next = sys.maxsize  # until it is read to its end
            yield from rows(self._file, count, shape, dtype)
            self._next = i + 1
        except (KeyError, *_BROKEN) as error:
            raise self.damaged("features") from error


class _Npz(Door):
    def write(self, store: Store, target: Path, to: str) -> None:
        text, sums = doors.text_of(store), []
        checksum, items = Checksum(doors.parse(text, show(store.path))), store.items()
        with zipfile.ZipFile(target, "w") as packed:
            _add(packed, "sertool", np.array(text))
            _add(packed, "offsets", store.offsets.astype(np.int64))
            for name, kind, values in doors.columns(store):
                _add(packed, f"items/{name}", _column(kind, values))
            with _member(packed, "features") as file:
                write_header(file, (int(store.offsets[-1]), *store.shape), store.dtype)
                for i, item in enumerate(items):
                    crc = checksum.of(item)
                    for some in store.parts(i):
                        crc = doors.with_frames(crc, some)
                        file.write(some.reshape(-1).data)
                    sums.append(crc)
            _add(packed, CRC32, np.array(sums, np.uint32))

    def read(self, path: Path) -> Table:
        try:
            with regular(path) as file, zipfile.ZipFile(file) as packed:
                return _opened(path, packed)
        except FileNotFoundError as error:
            raise InputError(f"{show(path)}: no such file") from error
        except KeyError as error:
            raise InputError(f"{show(path)}: {show(error.args[0])}") from error
        except _BROKEN as error:
            raise InputError(f"{show(path)}: no .npz file, or a damaged one: {error}") from error


DOOR = _Npz()


def header(file: IO[bytes]) -> Layout:
    """Return (shape, dtype) of an array of plain numbers or texts; ValueError for any other."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError("an array of an unknown version")
    try:
        shape, fortran, dtype = read(file)
    except Exception as error:  # a header is an expression, which Python's own parser reads
        raise ValueError("an array whose header cannot be read") from error
    if dtype.hasobject or dtype.kind not in "fiuU" or fortran or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype}, shape {shape}")
    return shape, dtype


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Write what comes before the numbers of an array."""
    layout = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, layout)


def rows(
    file: IO[bytes], count: int, shape: tuple[int, ...], dtype: np.dtype
) -> Iterator[np.ndarray]:
    """Yield `count` rows of a shape in parts, one at least; ValueError where there are fewer."""
    size = math.prod(shape) * dtype.itemsize
    most = max(1, BLOCK // max(1, size))
    while True:
        some = min(count, most)
        yield np.frombuffer(b"".join(_read(file, some * size)), dtype).reshape(some, *shape)
        count -= some
        if not count:
            return


def _read(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield `size` bytes in blocks; ValueError where there are fewer."""
    while size:
        block = file.read(min(size, BLOCK))
        if not block:
            raise ValueError("cut short")
        size -= len(block)
        yield block


def _member(packed: zipfile.ZipFile, name: str) -> IO[bytes]:
    return packed.open(zipfile.ZipInfo(f"{name}.npy", DATE), "w", force_zip64=True)


def _add(packed: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with _member(packed, name) as file:
        npy.write_array(file, array, allow_pickle=False)


def _column(kind: str, values: list[Any]) -> np.ndarray:
    if kind == "whole":
        return np.array([-1 if value is None else value for value in values], np.int64)
    if kind == "number":
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array([value or "" for value in values], str)


def _array(packed: zipfile.ZipFile, name: str, kinds: str) -> np.ndarray:
    """Return a small array; ValueError where it is of another kind, or too large."""
    with packed.open(f"{name}.npy") as file:
        shape, dtype = header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in kinds or size > 2 * MOST_INFLATED:  # held twice while it is read
            raise ValueError(f"{show(name)} of {dtype} and {size} bytes")
        content = b"".join(_read(file, size))
    if dtype.kind == "U":
        points = np.frombuffer(content, np.dtype("u4").newbyteorder(dtype.byteorder))
        if points.max(initial=0) > sys.maxunicode:
            raise ValueError(f"{show(name)} holds what is no text")
    return np.frombuffer(content, dtype).reshape(shape)


def _opened(path: Path, packed: zipfile.ZipFile) -> _Arrays:
    found = doors.parse(str(_array(packed, "sertool", "U").item()), show(path))
    offsets = _array(packed, "offsets", "i")
    with packed.open("features.npy") as file:
        shape, dtype = header(file)
    right = offsets.shape == (found.items + 1,) and offsets[0] == 0
    if not right or (np.diff(offsets) < 0).any() or shape != (offsets[-1], *found.shape):
        raise ValueError("its offsets do not match its features")
    if dtype != np.dtype(found.dtype):
        raise ValueError("its features are not of the type of its description")
    columns = {}
    for name in doors.names_of(found):
        number = name in ("start", "end") or name in found.numbers
        kinds = "i" if name == "fold" else "f" if number else "U"
        column = _array(packed, f"items/{name}", kinds)
        if column.shape != (found.items,):
            raise ValueError(f"its column {show(name)} does not hold one value per item")
        blank = "" if name in ("origin", "augmentation", "audio_hash", "fingerprint") else None
        columns[name] = [_known(value, blank) for value in column.tolist()]
    items = [
        doors.item_of(dict(zip(columns, row, strict=True)), found, show(path))
        for row in zip(*columns.values(), strict=True)
    ]
    sums = _array(packed, CRC32, "u").tolist() if f"{CRC32}.npy" in packed.namelist() else None
    return _Arrays(path, found, items, sums, offsets)


def _known(value: Any, blank: str | None) -> Any:
    if isinstance(value, str):
        return value or blank
    unknown = value < 0 if isinstance(value, int) else math.isnan(value)
    return None if unknown else value
