"""Parquet, and Hugging Face `datasets` folders of it: a row an item, a column each field.

`features` is a list of frames, each a list of fixed length, `crc32` the checksum of the row; the
description is the schema's metadata `sertool`. Other tools may leave rows out. A row group has some
tens of megabytes, whatever the number of items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.errors import InputError, SertoolError
from sertool.core.paths import regular, show
from sertool.formats import doors
from sertool.formats.doors import CRC32, DATASETS, INDEX, Checksum, Description, Door, Table
from sertool.formats.store import MOST_INFLATED, Store
from sertool.items import Item

GROUP_BYTES = 1 << 25  # of features in a row group
FILE_BYTES = 1 << 28  # of features in a file of a folder
GROUP_ITEMS = 1024
KEY = b"sertool"
FEATURES = "features"
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # by part
CARD = """---
configs:
- config_name: default
  data_files:
{files}
---
{items} items of kind `{kind}`, made by sertool. `features` is a list of frames.
"""


@dataclass
class _Rows(Table):
    """The rows of a Parquet file; a row group is held at a time."""

    edges: list[int] = field(default_factory=list)  # of row groups, in items
    _group: int = -1
    _held: Any = None

    def parts(self, i: int) -> Iterator[np.ndarray]:
        yield self._frames(i)

    def _frames(self, i: int) -> np.ndarray:
        """Return the features of item `i` (frames, …)."""
        group = int(np.searchsorted(self.edges, i, "right")) - 1
        if group != self._group:
            _, parquet = _arrow()
            with regular(self.path) as file, parquet.ParquetFile(file) as table:
                self._held = _read(self, table, group)
            self._group = group
        found: Any = self._held[i - self.edges[group]]
        if not found.is_valid:
            raise self.damaged(f"the features of {show(self.items[i].id)}")
        values = found.values
        for _ in self.description.shape:
            values = values.flatten()
        if values.null_count:
            raise self.damaged(f"the features of {show(self.items[i].id)}")
        array: np.ndarray = values.to_numpy(zero_copy_only=False)
        return array.reshape(-1, *self.description.shape)


class _Parquet(Door):
    def write(self, store: Store, target: Path, to: str) -> None:
        if to == DATASETS:
            _write_folder(store, target)
        else:
            _write_file(store, target, range(len(store)))

    def read(self, path: Path) -> Table:
        pa, parquet = _arrow()
        try:
            with regular(path) as file, parquet.ParquetFile(file) as table:
                text = (table.schema_arrow.metadata or {}).get(KEY)
                if text is None:
                    raise InputError(f"{show(path)}: has no description; convert did not write it")
                found = doors.parse(text, show(path))
                wanted = _schema(found, b"")
                if not table.schema_arrow.equals(wanted, check_metadata=False):
                    raise InputError(f"{show(path)}: its columns are not those of its description")
                sizes = [table.metadata.row_group(g).num_rows for g in range(table.num_row_groups)]
                edges = np.cumsum([0, *sizes]).tolist()
                items: list[Item] = []
                sums: list[int] | None = [] if found.sha256 else None
                names = [*doors.names_of(found), *([CRC32] if sums is not None else [])]
                for group in range(len(sizes)):
                    _bounded(path, table, group, names)
                    for row in table.read_row_group(group, columns=names).to_pylist():
                        if sums is not None:
                            sums.append(row.pop(CRC32))
                        items.append(doors.item_of(row, found, show(path)))
        except FileNotFoundError as error:
            raise InputError(f"{show(path)}: no such file") from error
        except (OSError, pa.ArrowException, OverflowError, UnicodeDecodeError) as error:
            raise InputError(f"{show(path)}: no Parquet file, or a damaged one") from error
        return _Rows(path, found, items, sums, edges)


DOOR = _Parquet()


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SertoolError("Parquet needs pyarrow: pip install 'sertool[parquet]'") from error
    return pyarrow, pyarrow.parquet


def _bounded(path: Path, table: Any, group: int, names: Sequence[str]) -> None:
    """Raise InputError for columns of a row group that unpack to more than memory has room for."""
    meta, most = table.metadata.row_group(group), max(MOST_INFLATED, path.stat().st_size)
    parts = [meta.column(c) for c in range(meta.num_columns)]
    size = sum(p.total_uncompressed_size for p in parts if p.path_in_schema.split(".")[0] in names)
    if size > most or meta.num_rows > most // 64:
        what = f"row group {group} of {size} bytes"
        raise InputError(f"{show(path)}: damaged, {what} cannot be used; make it again")


def _read(rows: _Rows, table: Any, group: int) -> Any:
    """Return the features of a row group; InputError where it is damaged."""
    pa, _ = _arrow()
    _bounded(rows.path, table, group, [FEATURES])
    try:
        return table.read_row_group(group, columns=[FEATURES]).column(FEATURES).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise rows.damaged(f"row group {group}") from error


def _schema(found: Description, text: bytes) -> Any:
    """Return the schema of a description: item columns by their types, and the features."""
    pa, _ = _arrow()
    frame = {"float32": pa.float32, "float16": pa.float16, "int16": pa.int16, "uint8": pa.uint8}
    kind = frame[found.dtype]()
    for size in reversed(found.shape):
        kind = pa.list_(kind, size)
    numbers = {"start", "end", *found.numbers}
    names = doors.names_of(found)
    fields = [
        (n, pa.int64() if n == "fold" else pa.float64() if n in numbers else pa.string())
        for n in names
    ]
    fields += [(CRC32, pa.int64())] if found.sha256 else []
    return pa.schema([*fields, (FEATURES, pa.list_(kind))], metadata={KEY: text})


def _write_file(store: Store, path: Path, positions: Sequence[int]) -> None:
    pa, parquet = _arrow()
    text = doors.text_of(store, len(positions))
    found = doors.parse(text, show(store.path))
    for name in {FEATURES, CRC32} & {*found.texts, *found.numbers}:
        raise InputError(f"{show(store.path)}: a column is called {name}; rename that field")
    layout = _schema(found, text.encode())
    items, names, checksum = store.items(), doors.names_of(found), Checksum(found)
    with parquet.ParquetWriter(path, layout, use_dictionary=names) as writer:
        for group in _groups(store, positions, GROUP_BYTES, GROUP_ITEMS):
            frames = store.batch(group)
            columns: list[list[Any]] = [[items[i].value(n) for i in group] for n in names]
            pairs = zip(group, frames, strict=True)
            columns.append([doors.with_frames(checksum.of(items[i]), f) for i, f in pairs])
            arrays = [
                pa.array(values, one.type) for values, one in zip(columns, layout, strict=False)
            ]
            arrays.append(_features(frames, store.shape))
            writer.write_table(pa.Table.from_arrays(arrays, schema=layout))


def _features(frames: Sequence[np.ndarray], shape: Sequence[int]) -> Any:
    """Return the features of some items, each (frames, …), as an array of lists."""
    pa, _ = _arrow()
    values = pa.array(np.concatenate(frames).reshape(-1))
    for size in reversed(shape):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    offsets = np.cumsum([0, *map(len, frames)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _groups(
    store: Store, positions: Sequence[int], most: int, count: int
) -> Iterator[Sequence[int]]:
    """Yield runs of items whose features have at most `most` bytes, one item at least."""
    row = int(np.prod(store.shape, dtype=np.int64)) * store.dtype.itemsize
    lengths = store.lengths()
    group: list[int] = []
    size = 0
    for i in positions:
        own = int(lengths[i]) * row
        if group and (size + own > most or len(group) == count):
            yield group
            group, size = [], 0
        group.append(i)
        size += own
    if group:
        yield group


def _write_folder(store: Store, folder: Path) -> None:
    """Write what `datasets.load_dataset` reads: a split a part, where all items have one."""
    items = store.items()
    parted = all(item.part for item in items)
    (folder / "data").mkdir()
    lines = []
    for part, split in SPLITS.items() if parted else [("", "train")]:
        mine = [i for i, item in enumerate(items) if not parted or item.part == part]
        files = list(_groups(store, mine, FILE_BYTES, len(items)))
        for number, group in enumerate(files):
            name = f"{split}-{number:05d}-of-{len(files):05d}.parquet"
            _write_file(store, folder / "data" / name, group)
        if files:
            lines.append(f"  - split: {split}\n    path: data/{split}-*.parquet")
    card = CARD.format(files="\n".join(lines), items=len(items), kind=store.kind)
    (folder / "README.md").write_text(card, "utf-8")
    (folder / INDEX).write_text(doors.text_of(store) + "\n", "utf-8")
