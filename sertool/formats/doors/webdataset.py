"""WebDataset: a folder of tar files in which each item is a .npy and a .json of one name.

The names are the items' places, nine digits; ids are in the JSON. The description is the file
`sertool.json` beside the tar files, with the CRC-32 of each item; a tar file has at most 256 MB or
one item.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UnsetType

from sertool.core.errors import InputError
from sertool.core.paths import regular, show
from sertool.formats import doors
from sertool.formats.doors import INDEX, Checksum, Door, Table
from sertool.formats.doors.npz import header
from sertool.formats.lineage import canonical
from sertool.formats.store import MOST_INFLATED, Store

SHARD_BYTES = 1 << 28
SHARD_ITEMS = 10_000
MOST_JSON = 1 << 22  # bytes of an item's fields
NAME = re.compile(r"(?:\./)?(\d{9})\.(npy|json)")


@dataclass
class _Samples(Table):
    """The items of a folder: where the features of each lie, (tar file, offset, bytes)."""

    places: list[tuple[Path, int, int]] = field(default_factory=list)

    def frames(self, i: int) -> np.ndarray:
        path, start, size = self.places[i]
        try:
            with regular(path) as file:
                file.seek(start)
                content = file.read(size)
            buffer = io.BytesIO(content)
            shape, dtype = header(buffer)
            return np.frombuffer(content, dtype, offset=buffer.tell()).reshape(shape)
        except (OSError, ValueError, EOFError) as error:
            raise self.damaged(f"the features of {show(self.items[i].id)}") from error


class _WebDataset(Door):
    def write(self, store: Store, target: Path, to: str) -> None:
        tar: tarfile.TarFile | None = None
        size = count = number = 0
        items, names, sums = store.items(), store.column_names(), []
        checksum = Checksum(doors.parse(doors.text_of(store), show(store.path)))
        try:
            for i in range(len(store)):
                buffer = io.BytesIO()
                frames = store.features(i)
                sums.append(checksum(items[i], frames))
                np.save(buffer, frames, allow_pickle=False)
                content = buffer.getvalue()
                if tar is None or size + len(content) > SHARD_BYTES or count == SHARD_ITEMS:
                    if tar is not None:
                        tar.close()
                    path = target / f"{number:05d}.tar"
                    tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
                    number, size, count = number + 1, 0, 0
                row = {name: items[i].value(name) for name in names}
                _add(tar, f"{i:09d}.npy", content)
                _add(tar, f"{i:09d}.json", canonical(row).encode())
                size, count = size + len(content), count + 1
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


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


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
