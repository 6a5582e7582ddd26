"""WebDataset: a folder of tar files in which each item is a .npy and a .json of one name.

The names are the items' places, nine digits; ids are in the JSON. The description is the file
`sertool.json` beside the tar files, with the CRC-32 of each item; a tar file has at most 256 MB or
one item.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from msgspec import UnsetType

from sertool.core.errors import InputError
from sertool.core.paths import regular, show
from sertool.formats import doors
from sertool.formats.doors import INDEX, Checksum, Door, Table
from sertool.formats.doors.npz import header, rows, write_header
from sertool.formats.lineage import canonical
from sertool.formats.store import MOST_INFLATED, Store

SHARD_BYTES = 1 << 28
SHARD_ITEMS = 10_000
BUFFER = 1 << 16
MOST_JSON = 1 << 22  # bytes of an item's fields
NAME = re.compile(r"(?:\./)?(\d{9})\.(npy|json)")


@dataclass
class _Samples(Table):
    """The items of a folder: where the features of each lie, (tar file, offset, bytes)."""

    places: list[tuple[Path, int, int]] = field(default_factory=list)

    def parts(self, i: int) -> Iterator[np.ndarray]:
        path, start, size = self.places[i]
        try:
            with regular(path) as file:
                file.seek(start)
                shape, dtype = header(file)
                if size - (file.tell() - start) != math.prod(shape) * dtype.itemsize:
                    raise ValueError("of another size than it says")
                yield from rows(file, shape[0], shape[1:], dtype)
        except (OSError, ValueError, EOFError, IndexError) as error:
            raise self.damaged(f"the features of {show(self.items[i].id)}") from error


class _Array(io.RawIOBase):
    """The bytes of a .npy file of an item, made as they are read."""

    def __init__(self, store: Store, i: int, crc: int) -> None:
        head = io.BytesIO()
        shape = (int(store.lengths()[i]), *store.shape)
        write_header(head, shape, store.dtype)
        self.size = head.tell() + math.prod(shape) * store.dtype.itemsize
        self._crc = crc
        self._left = memoryview(head.getvalue())
        self._parts = store.parts(i)

    def end(self) -> int:
        """Return the checksum of the item; InputError where it is not what was written."""
        for _ in self._parts:
            pass
        return self._crc

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            some = next(self._parts, None)
            if some is None:
                return 0
            self._crc = doors.with_frames(self._crc, some)
            self._left = some.reshape(-1).view(np.uint8).data
        n = min(len(buffer), len(self._left))
        buffer[:n] = self._left[:n]
        self._left = self._left[n:]
        return n


class _WebDataset(Door):
    def write(self, store: Store, target: Path, to: str) -> None:
        tar: tarfile.TarFile | None = None
        size = count = number = 0
        items, names, sums = store.items(), store.column_names(), []
        checksum = Checksum(doors.parse(doors.text_of(store), show(store.path)))
        try:
            for i in range(len(store)):
                array = _Array(store, i, checksum.of(items[i]))
                if tar is None or size + array.size > SHARD_BYTES or count == SHARD_ITEMS:
                    if tar is not None:
                        tar.close()
                    path = target / f"{number:05d}.tar"
                    tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                    number, size, count = number + 1, 0, 0
                row = {name: items[i].value(name) for name in names}
                _add(tar, f"{i:09d}.npy", array.size, io.BufferedReader(array, BUFFER))
                text = canonical(row).encode()
                _add(tar, f"{i:09d}.json", len(text), io.BytesIO(text))
                sums.append(array.end())
                size, count = size + array.size, count + 1
        finally:
            if tar is not None:
                tar.close()
        (target / INDEX).write_text(doors.text_of(store, sums=sums) + "\n", "utf-8")

    def read(self, path: Path) -> Table:
        try:
            with regular(path / INDEX) as file:
                found = doors.parse(file.read(doors.MOST_TEXT + 1), show(path))
            rows: dict[int, dict[str, Any]] = {}
            places: dict[int, tuple[Path, int, int]] = {}
            for one in sorted(path.glob("*.tar")):
                _index(one, rows, places)
        except (OSError, ValueError, RecursionError, tarfile.TarError) as error:
            raise InputError(f"{show(path)}: tar files that cannot be read: {error}") from error
        if not sorted(rows) == sorted(places) == list(range(found.items)):
            raise InputError(f"{show(path)}: does not hold the {found.items} items of {INDEX}")
        made = [doors.item_of(rows[i], found, show(path)) for i in range(found.items)]
        sums = None if isinstance(found.crc32, UnsetType) else found.crc32
        return _Samples(path, found, made, sums, [places[i] for i in range(found.items)])


DOOR = _WebDataset()


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, content)


def _index(
    path: Path, rows: dict[int, dict[str, Any]], places: dict[int, tuple[Path, int, int]]
) -> None:
    """Add the items of a tar file: the fields of each, and where its features lie."""
    size = path.stat().st_size
    with regular(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            matched = NAME.fullmatch(member.name)
            if matched is None or not member.isreg():
                continue
            if member.sparse is not None or member.offset_data + member.size > size:
                raise ValueError(f"{member.name} is cut short")
            place = int(matched[1])
            if matched[2] == "npy":
                if member.size > max(MOST_INFLATED, size):
                    raise ValueError(f"{member.name} has {member.size} bytes")
                places[place] = path, member.offset_data, member.size
                continue
            if member.size > MOST_JSON:
                raise ValueError(f"{member.name} has {member.size} bytes")
            content = tar.extractfile(member)
            row = json.loads(content.read() if content else b"")
            if not isinstance(row, dict):
                raise ValueError(f"{member.name} is no table")
            rows[place] = row
