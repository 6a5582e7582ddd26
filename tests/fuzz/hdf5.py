"""Changes to HDF5 files below what any library writes: the fields of headers, indexes and heaps.

Files of the earliest format, as stores are: superblock 0, object headers 1, trees for chunks and
names. What is changed is drawn by kind of structure, of which most are much rarer than data.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence

from fuzz.mutate import NUMBERS

Field = tuple[str, int, int]  # what it is of, where it lies, how many bytes it has
SUPERBLOCK = (
    (8, 1), (9, 1), (10, 1), (12, 1), (13, 1), (14, 1), (16, 2), (18, 2), (20, 4), (24, 8),
    (32, 8), (40, 8), (48, 8), (56, 8), (64, 8), (72, 4), (80, 8), (88, 8),
)  # fmt: skip
MOST_OF_A_MESSAGE = 96  # bytes
MESSAGES = {1: "shape", 3: "type", 5: "fill", 8: "layout", 11: "filters", 12: "attribute"}


def fields(content: bytes) -> list[Field]:
    """Return the fields of a file's structures, as far as they can be found."""
    found: list[Field] = [("superblock", at, width) for at, width in SUPERBLOCK]
    headers = {_at(content, 64, 8)}
    for at in _marked(content, b"TREE"):
        found += [("tree", at + 4, 1), ("tree", at + 5, 1), ("tree", at + 6, 2)]
        kind = "names" if content[at + 4 : at + 5] == b"\0" else "chunks"
        count = min(60, 4 * _at(content, at + 6, 2) + 2)
        found += [(kind, at + 8 + 8 * i, 8) for i in range(count)]
    for at in _marked(content, b"SNOD"):
        found.append(("symbols", at + 6, 2))
        for i in range(min(_at(content, at + 6, 2), 40)):
            entry = at + 8 + 40 * i
            headers.add(_at(content, entry + 8, 8))
            found += [("symbols", entry, 8), ("symbols", entry + 8, 8), ("symbols", entry + 16, 4)]
            found += [("symbols", entry + 24, 8)]
    for at in _marked(content, b"HEAP"):
        found += [("heap", at + 8 * i, 8) for i in (1, 2, 3)]
        data = _at(content, at + 24, 8)
        found += [("heap data", data + i, 1) for i in range(8, 160)]
    for at in _marked(content, b"GCOL"):
        found.append(("texts", at + 8, 8))
        end, at = at + min(_at(content, at + 8, 8), 1 << 16), at + 16
        while at + 16 <= min(end, len(content)):
            found += [("texts", at, 2), ("texts", at + 2, 2), ("texts", at + 8, 8)]
            at += 16 + -(-_at(content, at + 8, 8) // 8) * 8
    for at in headers:
        found += _header(content, at)
    return [one for one in found if one[1] + one[2] <= len(content)]


def _header(content: bytes, at: int) -> Iterator[Field]:
    """Yield the fields of an object header and its messages."""
    if content[at : at + 1] != b"\1":
        return
    yield from (("header", at + 2, 2), ("header", at + 4, 4), ("header", at + 8, 4))
    blocks = [(at + 16, _at(content, at + 8, 4))]
    while blocks and len(blocks) < 9:
        start, size = blocks.pop()
        end = min(start + size, len(content))
        while start + 8 <= end:
            kind, length = _at(content, start, 2), _at(content, start + 2, 2)
            name = MESSAGES.get(kind, "message")
            yield from (("message", start, 2), ("message", start + 2, 2), ("message", start + 4, 1))
            for i in range(min(length, MOST_OF_A_MESSAGE)):
                yield (name, start + 8 + i, 1)
                if not i % 8:
                    yield from ((name, start + 8 + i, 8), (name, start + 8 + i, 4))
            if kind == 16:
                blocks.append((_at(content, start + 8, 8), _at(content, start + 16, 8)))
            start += 8 + length


def changed(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a file with a few fields of its structures changed."""
    found = bytearray(content)
    known = fields(content)
    kinds: dict[str, list[Field]] = {}
    for field in known:
        kinds.setdefault(field[0], []).append(field)
    places = [at for mark in (b"TREE", b"SNOD", b"HEAP", b"GCOL") for at in _marked(content, mark)]
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        kind, at, width = draw.choice(kinds[draw.choice(list(kinds))])
        old = _at(content, at, width)
        other = draw.choice(kinds[kind])
        value = draw.choice((
            draw.choice(NUMBERS), draw.choice(places or [0]), draw.choice((len(content), at, 0)),
            old + draw.choice((-1, 1, 8, 512)), old * 2, old ^ 1 << draw.randrange(8 * width),
            _at(content, other[1], other[2]),
        ))  # fmt: skip
        value %= 1 << 8 * width
        found[at : at + width] = (old ^ 1 if value == old else value).to_bytes(width, "little")
    if draw.random() < 0.03:
        del found[draw.choice((*places, len(found) - 1, len(found) // 2)) :]
    return bytes(found)


def _marked(content: bytes, mark: bytes) -> list[int]:
    found, at = [], content.find(mark)
    while at >= 0:
        if not at % 8:
            found.append(at)
        at = content.find(mark, at + 1)
    return found


def _at(content: bytes, at: int, width: int) -> int:
    """Return the number at a place; 0 beyond the end."""
    code = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}[width]
    if at + width > len(content):
        return 0
    number: int = struct.unpack_from(code, content, at)[0]
    return number
