"""Changes to inputs: of bytes, of the words of a text, and of the values of JSON."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

NUMBERS = tuple(
    (1 << bits) + more for bits in (0, 3, 7, 8, 15, 16, 24, 31, 32, 53, 63, 64) for more in (-1, 0)
)
WORDS = (
    "", "0", "-1", "1e400", "-1e400", "nan", "inf", "-inf", "1e-400", "0x10", "9" * 5000, "9" * 20,
    "1" * 12, "true", "null", "None", "[]", "{}", '"', "'", "\\", ",", ";", "\t", "=", "!=", " in ",
    ":", "{", "}", "[", "]", "[[", "]]", "(", ")", "..", "../..", "/", "/etc/passwd", "~", "*", "?",
    "%s", "%", "{0}", "{x.__class__}", "\0", "\x1b[31m", "\u202e", "\ufeff", "\r", "\r\n", "\n",
    "\n\n", "é", "é", "ß", "\U0001f600", "\ud800", "٣", "１", "-", "--", "#", "@", "a" * 300,
    "x" * 70_000, "[" * 3000, "{" * 3000, "http://127.0.0.1:9/x", "file:///etc/passwd", "\\x00",
    "\\x2f", "\\u0000", "con", ".", " ", "=1+1", "label", "path", "start", "fold", "speaker",
)  # fmt: skip
ODD: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: False, lambda: 0, lambda: -1, lambda: 1.5, lambda: 1e308,
    lambda: float("inf"), lambda: float("nan"), lambda: 1 << 31, lambda: 1 << 63, lambda: 1 << 70,
    lambda: -(1 << 63), lambda: 10**400, lambda: 1e-320, lambda: "", lambda: "x",
    lambda: "a\0b", lambda: "\x1b[2J",
    lambda: "\u202eabc", lambda: "\ud800", lambda: "x" * 70_000, lambda: "../" * 30 + "etc/passwd",
    lambda: "/dev/zero", lambda: ".", lambda: [], lambda: {}, lambda: [[]], lambda: [None],
    lambda: {"": None}, lambda: {"a": {"b": [1]}}, lambda: [0] * 3000, lambda: [1, "a", None],
    lambda: _nested(200), lambda: "1", lambda: "nan", lambda: -0.0, lambda: "é",
)  # fmt: skip
_TOKEN = re.compile(r"[A-Za-z_]+|\d+(?:\.\d+)?|[^\w\s]|\s+")


def _nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


# --- bytes ---


def bytes_of(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change a few bytes, mostly near the beginning, where headers are."""
    found = bytearray(content)
    size = len(found)
    at = draw.randrange(max(1, min(size, 200) if draw.random() < 0.6 else size))
    match draw.randrange(11):
        case 0 if size:
            found[at] ^= 1 << draw.randrange(8)
        case 1 if size:
            found[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        case 2 | 3 | 4 if size > 8:
            code = draw.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            width = struct.calcsize(code)
            value = draw.choice(NUMBERS) & ((1 << 8 * width) - 1)
            found[at : at + width] = struct.pack(code, value)
        case 5 if size:
            del found[at : at + draw.choice((1, 2, 4, 16, 200, size))]
        case 6:
            part = found[at : at + draw.choice((1, 4, 16, 200, 2000))]
            found[at:at] = part * draw.choice((1, 1, 2, 30))
        case 7:
            found[at:at] = draw.randbytes(draw.choice((1, 2, 8, 100)))
        case 8 if others:
            other = draw.choice(others)
            cut = draw.randrange(len(other) + 1)
            found[at:] = other[cut:]
        case 9 if size:
            del found[draw.randrange(size) :]
        case _:
            found += bytes(draw.choice((1, 3, 1000)))
    return bytes(found)


# --- text ---


def text_of(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change, drop, double or swap words of a text, or its bytes."""
    if draw.random() < 0.15:
        return bytes_of(draw, content, others)
    tokens = _TOKEN.findall(content.decode("utf-8", "surrogateescape"))
    at = draw.randrange(len(tokens) + 1)
    match draw.randrange(6):
        case 0 | 1:
            tokens[at : at + 1] = [draw.choice(WORDS)]
        case 2:
            tokens[at:at] = [draw.choice(WORDS)]
        case 3:
            del tokens[at : at + draw.choice((1, 2, 10))]
        case 4:
            tokens[at:at] = tokens[at : at + draw.choice((1, 5, 40))] * draw.choice((1, 2, 50))
        case 5 if tokens:
            other = draw.randrange(len(tokens))
            at = min(at, len(tokens) - 1)
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens).encode("utf-8", "surrogatepass" if draw.random() < 0.1 else "replace")


# --- JSON ---


def value_of(draw: random.Random, value: Any) -> Any:
    """Return JSON with one node of it changed."""
    kinds: dict[str, list[tuple[Any, Any]]] = {}
    _collect(value, kinds)
    if not kinds:
        return draw.choice(ODD)()
    nodes = [node for alike in kinds.values() for node in alike]
    parent, key = draw.choice(kinds[draw.choice(list(kinds))])
    match draw.randrange(6):
        case 0 if isinstance(parent, dict):
            del parent[key]
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[draw.choice((*WORDS[:40], str(key) + "\0", draw.choice(nodes)[1]))] = parent[key]
        case 2:
            other, name = draw.choice(nodes)
            parent[key] = json.loads(json.dumps(other[name]))
        case 3 if isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            number = parent[key]
            parent[key] = draw.choice((number + 1, -number, number * 1000, number / 3))
        case _:
            parent[key] = draw.choice(ODD)()
    return value


def _collect(
    value: Any, kinds: dict[str, list[tuple[Any, Any]]], place: str = "", depth: int = 0
) -> None:
    """Gather the nodes of JSON by their place, for which those of a list are alike."""
    if depth > 12 or len(kinds) > 5000 or not isinstance(value, dict | list):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        here = f"{place}/{key if isinstance(value, dict) else ''}"
        kinds.setdefault(here, []).append((value, key))
        _collect(value[key], kinds, here, depth + 1)


def json_of(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change a value in JSON, or in one line of JSON Lines; sometimes its text."""
    if draw.random() < 0.2:
        return text_of(draw, content, others)
    try:
        return _dumped(value_of(draw, json.loads(content)))
    except (ValueError, RecursionError, TypeError):
        pass
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    match draw.randrange(8):
        case 0:
            lines[at:at] = [draw.choice(lines)]
        case 1:
            del lines[at]
        case _:
            try:
                lines[at] = _dumped(value_of(draw, json.loads(lines[at])))
            except (ValueError, RecursionError, TypeError):
                lines[at] = text_of(draw, lines[at])
    return b"\n".join(lines)


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def gzipped(change: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return a change of what a gzip file holds, at times of the file."""

    def changed(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
        if draw.random() < 0.2:
            return bytes_of(draw, content, others)
        try:
            return gzip.compress(change(draw, gzip.decompress(content)), 1, mtime=0)
        except (OSError, EOFError, zlib.error):
            return bytes_of(draw, content, others)

    return changed


# --- tables ---


def table_of(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change a cell, a row or a column of a table, or its text."""
    if draw.random() < 0.3:
        return text_of(draw, content, others)
    tab = b"\t" if b"\t" in content.split(b"\n")[0] else b","
    rows = [line.split(tab) for line in content.split(b"\n")]
    row = draw.choice(rows)
    at = draw.randrange(len(row))
    word = draw.choice(WORDS).encode("utf-8", "replace")
    match draw.randrange(7):
        case 0:
            rows.insert(draw.randrange(len(rows)), list(row))
        case 1:
            del row[at]
        case 2:
            row.insert(at, word)
        case 3:
            for one in rows:
                one.insert(min(at, len(one)), draw.choice(one) if one else b"")
        case _:
            row[at] = word
    return b"\n".join(tab.join(one) for one in rows)
