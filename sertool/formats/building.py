"""How a store is built: blocks of sources become finished parts, parts become the store.

Workers compute blocks and write each as a part beside the output; one writer appends the parts
in order. A run that is killed leaves parts, never half a store, and a resumed run reuses them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import os
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from sertool.core import boxes, executors
from sertool.core import workers as pool
from sertool.core.boxes import Limits
from sertool.core.errors import InputError, ItemError
from sertool.core.executors import PROCESSES, Executor
from sertool.core.paths import show
from sertool.core.shard import Piece
from sertool.formats import schema
from sertool.formats.lineage import canonical
from sertool.formats.outputs import Parts, atomic
from sertool.formats.reuse import State, decide, of_store
from sertool.formats.schema import Count
from sertool.formats.store import StoreWriter
from sertool.items import Item
from sertool.ui.console import Console

BLOCK = 32  # sources a part: what a kill can cost, and the grain of the work shared out

READ = 1 << 22  # bytes of a part that are read at a time

MARK = b"par2"  # other marks were of descriptions with other fields
TRAILER = 16  # bytes at a part's end: length and CRC-32 of its description, and the mark


Length = Annotated[int, Meta(ge=0)]  # frames: samples, for waveforms


class Layout(Struct):
    """What the frames of a part are."""

    shape: list[Count]
    dtype: str


class Block(Struct):
    """What a part says of itself: of each item its frames, their SHA-256 and CRC-32, and its row.

    Checked, as somebody else may have put it there.
    """

    items: list[tuple[Length, str, int, dict[str, Any]]]
    failures: list[tuple[str, str]]
    notes: dict[str, int]
    remarks: list[tuple[str, list[str]]] = []
    layout: Layout | None = None

    def __post_init__(self) -> None:
        for *_, row in self.items:  # without a path: of a store that was made from no files
            schema.convert(row if row.get("path") is not None else {**row, "path": ""}, Item)

    @property
    def size(self) -> int:
        """The bytes of all frames; ValueError or TypeError where nothing says what they are."""
        if not self.items:
            return 0
        if self.layout is None or np.dtype(self.layout.dtype).kind not in "fiu":
            raise ValueError("frames of no known type")
        row = math.prod(self.layout.shape) * np.dtype(self.layout.dtype).itemsize
        return row * sum(frames for frames, _, _, _ in self.items)


@dataclass
class Made:
    """What one source gave: (item, frames) for every item, and notes to count.

    Items and frames that are not in memory may be iterators, of the latter over parts in order.
    """

    items: Iterable[tuple[Item, np.ndarray | Iterator[np.ndarray]]]
    notes: list[str] = field(default_factory=list)


class Source(ABC):
    """What a store is built from, item by item. Picklable; holds no open file."""

    items: list[Item]
    first: int = 0  # position of the first of them in a longer list

    def name(self, i: int) -> str:
        """Return what to call item `i` when it fails."""
        return self.items[i].id

    @abstractmethod
    def make(self, i: int) -> Made:
        """Return the items of the new store that item `i` gives, or raise ItemError."""

    def only(self, start: int, items: list[Item]) -> Source:
        """Return the same source of `items` alone, which begin at `start`."""
        made = copy.copy(self)
        made.items, made.first = items, self.first + start
        return made


@dataclass(frozen=True)
class _Work:
    """Computes one block of a source into a part; runs in a worker."""

    source: Source
    folder: Path
    mark: str  # of the run, in the parts' names: a lost worker of another may still be writing

    def __call__(self, block: int) -> int:
        start = block * BLOCK
        self.make(block, self.source, range(start, min(start + BLOCK, len(self.source.items))))
        return block

    def away(self) -> Callable[[tuple[int, int, list[Item]]], int]:
        """Return the same for tasks with their items: (block, where they begin, items)."""
        return _Away(dataclasses.replace(self, source=self.source.only(0, [])))

    def path(self, block: int) -> Path:
        """Return where a part lies or will lie."""
        return self.folder / f"{block:07d}-{self.mark}"

    def make(self, block: int, source: Source, positions: range) -> None:
        """Write the part of the items at some positions of a source."""
        meta: dict[str, Any] = {"items": [], "failures": [], "remarks": []}
        notes: Counter[str] = Counter()
        path = self.path(block)
        # its own: an engine may have two workers do one task
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        with _removed_on_error(temporary), open(temporary, "wb", buffering=0) as part:
            for i in positions:
                place, items, layout = part.tell(), len(meta["items"]), meta.get("layout")
                try:
                    with boxes.file(i):
                        made = source.make(i)
                        for item, frames in made.items:
                            meta["items"].append([*_put(part, frames, meta), item.store_row()])
                except ItemError as error:
                    meta["failures"].append([source.name(i), str(error)])
                    if part.tell() > place:  # what was read of it before it turned out damaged
                        part.truncate(part.seek(place))
                        del meta["items"][items:]
                        if layout is None:
                            del meta["layout"]
                    continue
                notes.update(made.notes)
                if made.notes:
                    meta["remarks"].append([source.name(i), sorted(set(made.notes))])
            meta["notes"] = dict(notes)
            text = json.dumps(meta).encode("ascii")
            crc = zlib.crc32(text).to_bytes(4, "little")
            _write(part, text + len(text).to_bytes(8, "little") + crc + MARK)
        os.replace(temporary, path)


@dataclass(frozen=True)
class _Away:
    """Computes a block whose items come with the task, in a worker of an engine."""

    work: _Work

    def __call__(self, task: tuple[int, int, list[Item]]) -> int:
        block, start, items = task
        source = self.work.source.only(start, items)
        self.work.make(block, source, range(len(items)))
        return block


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    """Remove the file if the block fails: half a part is of no use, and the disk may be full."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(file: IO[bytes], content: bytes | memoryview) -> None:
    """Write all of `content` to an unbuffered file."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _put(
    part: IO[bytes], frames: np.ndarray | Iterator[np.ndarray], meta: dict[str, Any]
) -> tuple[int, str, int]:
    """Write an item's frames; return their number, SHA-256 and CRC-32."""
    total, sha256, crc32 = 0, hashlib.sha256(), 0
    for some in [frames] if isinstance(frames, np.ndarray) else frames:
        some = np.ascontiguousarray(some)
        _same_shape(meta, some)
        content = some.reshape(-1).view(np.uint8).data
        _write(part, content)
        # here, where it is in the cache, and not in the one process that assembles
        sha256.update(content)
        crc32 = zlib.crc32(content, crc32)
        total += len(some)
    return total, sha256.hexdigest(), crc32


def _same_shape(meta: dict[str, Any], frames: np.ndarray) -> None:
    layout = {"shape": list(frames.shape[1:]), "dtype": str(frames.dtype)}
    if meta.setdefault("layout", layout) != layout:
        raise InputError(f"items of different shapes: {meta['layout']} and {layout}")


def _read_meta(file: IO[bytes]) -> dict[str, Any] | None:
    """Return the description at the end of a part, None where it is not whole; then rewind."""
    size = os.fstat(file.fileno()).st_size
    if size < TRAILER:
        return None
    file.seek(size - TRAILER)
    end = file.read(TRAILER)
    length = int.from_bytes(end[:8], "little")
    if end[12:] != MARK or length > size - TRAILER:
        return None
    file.seek(size - TRAILER - length)
    text = file.read(length)
    file.seek(0)
    if zlib.crc32(text) != int.from_bytes(end[8:12], "little"):
        return None
    try:
        meta: dict[str, Any] = json.loads(text)
        held = schema.convert(meta, Block).size
    except (ValueError, TypeError, RecursionError):
        return None
    return meta if held == size - TRAILER - length else None


@dataclass
class Built:
    """What the assembled store holds, for its attributes and its summary line."""

    items: int = 0
    frames: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    hashes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """How a store is built, apart from what is in it.

    workers: processes, 0 for one per core; executor: what does the work in their place. limits: of
    each source, where processes of this machine do it.
    """

    console: Console
    workers: int = 1
    resume: bool = False
    strict: bool = False
    compress: str = "none"
    executor: str | Executor = PROCESSES
    limits: Limits | None = None


class _Assembler:
    """Appends parts to a store in order, through one small buffer."""

    def __init__(self, path: Path, run: Run) -> None:
        self._path, self._run = path, run
        self.writer: StoreWriter | None = None
        self.built = Built()
        self._layout: dict[str, Any] | None = None

    def add(self, path: Path) -> None:
        """Append one part and report its failures."""
        with open(path, "rb") as file:
            meta = _read_meta(file)
        if meta is None:
            raise InputError(f"{path}: a part was damaged while it was in use")
        for name, reason in meta["failures"]:
            self._run.console.failed(name, reason)
            if self._run.strict:
                raise InputError(f"stopped by --strict at {show(name)}")
        for name, remarks in meta.get("remarks", []):
            self._run.console.detail(f"{show(name)}: {', '.join(remarks)}")
        self.built.notes.update(meta["notes"])
        if not meta["items"]:
            return
        if self.writer is None:
            self._layout = meta["layout"]
            shape, dtype = tuple(meta["layout"]["shape"]), meta["layout"]["dtype"]
            self.writer = StoreWriter(self._path, shape, dtype, self._run.compress)
        elif meta["layout"] != self._layout:
            raise InputError(f"items of different shapes: {self._layout} and {meta['layout']}")
        with open(path, "rb", buffering=0) as file:
            for frames, sha256, crc32, row in meta["items"]:
                item = Item.from_row(row)
                self._copy(file, frames)
                self.writer.end_item(item, bytes.fromhex(sha256), crc32)
                self.built.items += 1
                self.built.frames += frames
                self.built.hashes.append((item.id, item.audio_hash))

    def _copy(self, file: IO[bytes], frames: int) -> None:
        """Copy the next `frames` frames of a part to the store."""
        assert self.writer is not None
        while frames:
            block = self.writer.room(frames)
            view = block.reshape(-1).view(np.uint8).data
            while view:
                n = file.readinto(view)  # type: ignore[attr-defined]
                if not n:
                    raise InputError(f"{self._path}: a part was cut short; run it again")
                view = view[n:]
            frames -= len(block)
            self.writer.filled(len(block))


def is_there(
    output: Path,
    record: dict[str, Any],
    job: dict[str, Any],
    origins: Iterable[str],
    run: Run,
    force: bool,
) -> bool:
    """Return whether this same store exists, complete; see `reuse.decide` for errors.

    record: as the store's lineage ends. job: as `build_store` takes it.
    """
    state = decide(
        output, record, of_store, run.console,
        resume=run.resume, force=force, origins=origins, job=job,
    )  # fmt: skip
    return state is State.WHOLE


def build_store(
    source: Source,
    output: Path,
    job: dict[str, Any],
    attributes: Callable[[Built], dict[str, Any]],
    run: Run,
    what: str,
    piece: Piece | None = None,
) -> Built:
    """Build the store `output` from every item of `source`, resuming from equal parts.

    `job` identifies the run (its parts serve no other); `attributes(built)` returns the store's
    root attributes once all items are known; `what` is the word for sources in the progress;
    `piece` is the shard that it is. Raises InputError where no source gave an item, unless it is a
    shard: others may have some.
    """
    parts = Parts(output, job, run.resume)
    blocks = range((len(source.items) + BLOCK - 1) // BLOCK)
    mark = hashlib.sha256(canonical(job).encode()).hexdigest()[:8]
    work = _Work(source, parts.folder, mark)
    done = {b for b in blocks if run.resume and _usable(work.path(b))}
    if done:
        run.console.note(f"resuming: {len(done)} of {len(blocks)} parts are done")
    with (
        executors.opened(run.executor, run.console.note) as executor,
        contextlib.closing(
            _made(work, [b for b in blocks if b not in done], run, executor)
        ) as finished,
        atomic(output) as temporary,
    ):
        assembler = _Assembler(temporary, run)
        try:
            with run.console.progress(len(source.items), what) as progress:
                for block in blocks:
                    count = progress.skip if block in done else progress.advance
                    if block not in done:
                        next(finished)
                    assembler.add(work.path(block))
                    count(min(BLOCK, len(source.items) - block * BLOCK))
            if assembler.writer is None and piece is not None:
                assembler.writer = StoreWriter(temporary, (), "float32")
            if assembler.writer is None:
                parts.remove_all()
                raise InputError(f"{output}: not written, as nothing could be read")
            made = attributes(assembler.built)
            if piece is None:
                assembler.writer.finish(made)
            else:
                assembler.writer.finish(made, piece.shard, piece.run)
        except BaseException:
            if assembler.writer is not None:
                with contextlib.suppress(Exception):
                    assembler.writer.abort()
            raise
    parts.remove_all()
    return assembler.built


def _made(
    work: _Work, blocks: Sequence[int], run: Run, executor: Executor | None
) -> Generator[int, None, None]:
    """Return an iterator over blocks, in order, each when its part is there."""
    if executor is None:
        return pool.ordered(work, blocks, run.workers or pool.cores(), limits=run.limits)
    items, starts = work.source.items, ((block, block * BLOCK) for block in blocks)
    tasks = ((block, start, items[start : start + BLOCK]) for block, start in starts)
    return executors.submitted(executor, work.away(), tasks)


def _usable(path: Path) -> bool:
    """Return whether a part is whole and had no failure (its cause may be fixed by now)."""
    try:
        with open(path, "rb") as file:
            meta = _read_meta(file)
            if meta is None or meta["failures"]:
                return False
            row = 1
            if meta["items"]:
                row = (
                    math.prod(meta["layout"]["shape"]) * np.dtype(meta["layout"]["dtype"]).itemsize
                )
            return all(
                _sha256(file, frames * row) == sha256 for frames, sha256, _, _ in meta["items"]
            )
    except FileNotFoundError:
        return False


def _sha256(file: IO[bytes], size: int) -> str:
    """Return the SHA-256 of the next bytes of a file."""
    found = hashlib.sha256()
    while size and (content := file.read(min(size, READ))):
        found.update(content)
        size -= len(content)
    return found.hexdigest()
