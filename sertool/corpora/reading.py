"""The text of a table as spreadsheets leave it: its encoding, its delimiter, its cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

UTF8 = "utf-8"
MARKS = (  # byte order marks; UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# what spreadsheets write without a mark; of Windows's two European ones the library cannot tell
# a short text's, see `_european`
GUESSES = ["cp1252", "cp1250", "cp1251", "mac_roman", "cp932", "gb18030"]
EUROPEAN = ("cp1252", "cp1250")
DELIMITERS = ",;\t|"
_SAMPLE = 50  # lines by which the delimiter is chosen
_TELLING = 500  # lines with letters beyond ASCII by which the encoding is guessed
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?', re.IGNORECASE)  # Excel's own first line

Line = tuple[int, list[str]]  # a line's number in the file, its cells


@dataclass(frozen=True)
class Text:
    """A file's text and the encoding that it was read in; `guessed` where nothing says which."""

    text: str
    encoding: str
    guessed: bool = False


def known(encoding: str) -> bool:
    """Return whether Python has an encoding of that name, and it is one of text."""
    try:
        "a".encode(encoding)
    except (LookupError, UnicodeError):
        return False
    return True


def decode(content: bytes, encoding: str | None = None) -> Text:
    """Return a file's text: in the encoding given, by its mark, as UTF-8, or as guessed.

    Raises ValueError where it is no text in that encoding, or in any.
    """
    if encoding is not None:
        return Text(content.decode(encoding).removeprefix("\ufeff"), encoding)
    for mark, marked in MARKS:
        if content.startswith(mark):
            return Text(content.decode(marked), marked)
    if b"\0" in content:  # UTF-16 without its mark: half of an ASCII letter is a zero
        order = "utf-16-le" if content[1::2].count(0) >= content[::2].count(0) else "utf-16-be"
        text = content.decode(order, "replace")
        if "\0" in text or "\ufffd" in text:
            raise ValueError("has zero bytes, so it is no text")
        return Text(text, order, guessed=True)
    try:
        return Text(content.decode(UTF8), UTF8)
    except UnicodeDecodeError:
        guess = _guess(content)
        return Text(content.decode(guess), guess, guessed=True)


def _guess(content: bytes) -> str:
    """Return the likeliest encoding of text that is not Unicode; ValueError where none fits."""
    from charset_normalizer import from_bytes

    telling = [line for line in content.splitlines() if not line.isascii()][:_TELLING]
    found = from_bytes(b"\n".join(telling), cp_isolation=GUESSES).best()
    if found is None:
        raise ValueError("neither UTF-8 nor text in another usual encoding")
    return _european(content) or found.encoding if found.encoding in EUROPEAN else found.encoding


def _european(content: bytes) -> str | None:
    """Return which of Windows's European encodings leaves the fewest signs among letters."""

    def signs(encoding: str) -> int:
        high = (c for c in content.decode(encoding) if not c.isascii())
        return sum(not unicodedata.category(c).startswith("L") for c in high)

    able = []
    for encoding in EUROPEAN:
        try:
            able.append((signs(encoding), encoding))
        except UnicodeDecodeError:
            continue
    return min(able, key=lambda one: one[0])[1] if able else None


def split(text: str) -> tuple[list[str], list[Line]]:
    """Return a table's header and its lines, empty ones left out; csv.Error for what is no table.

    The delimiter is that of the header which most lines agree with, or the one that Excel's own
    first line `sep=;` names. Surplus cells at a line's end count only if they are not empty.
    """
    first, _, rest = text.partition("\n")
    named = _SEPARATOR.fullmatch(first)
    start, text = (1, rest) if named else (0, text)
    delimiter = named[1] if named else max(DELIMITERS, key=lambda one: _agreement(text, one))
    rows = _rows(text, delimiter)
    header = [name.strip() for name in next(rows, (0, []))[1]]
    while header and not header[-1]:
        header.pop()
    lines = []
    for number, cells in rows:
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()
        lines.append((start + number, cells))
    return header, lines


def _rows(text: str, delimiter: str) -> Iterator[Line]:
    """Yield the lines that are not empty; a cell may hold a line break."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    yield from ((reader.line_num, cells) for cells in reader if any(map(str.strip, cells)))


def _agreement(text: str, delimiter: str) -> tuple[bool, float, int]:
    """Return how well a delimiter serves: several columns, lines like the header, columns."""
    counts = []
    try:
        for _, cells in _rows(text, delimiter):
            counts.append(len(cells))
            if len(counts) > _SAMPLE:
                break
    except csv.Error:
        return False, 0.0, 0
    if not counts:
        return False, 0.0, 0
    return counts[0] > 1, counts.count(counts[0]) / len(counts), counts[0]
