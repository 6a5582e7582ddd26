"""Patterns of file names, `{speaker}_{label}_{text}.wav`: what each piece of a name means.

`{NAME}` is a piece of any length, as short as what follows allows; `{NAME:2}` is two characters
long, `{}` is kept nowhere. All else stands for itself, in any case, and a slash for a folder. A
suffix of audio stands for any of them. Read by the engine of the corpora that are known by their
names alone, see `named`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.core.errors import UsageError
from sertool.core.paths import is_audio, to_text
from sertool.corpora import Corpus, Skipped
from sertool.corpora.named import Named, Spec
from sertool.corpora.table import COLUMNS, RESERVED, make_utterance
from sertool.items import Item

FIELDS = tuple(name for name in COLUMNS if name not in ("file", "raw_label", "start", "end"))
_PIECE = re.compile(r"\{(?P<name>[^{}:]*)(?::(?P<width>[1-9]\d?))?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expression(pattern: str) -> str:
    """Return the regular expression of a pattern, a named group for each piece.

    Raises UsageError for a pattern that names nothing, or one thing twice.

    >>> expression("{speaker:2}_{label}")
    '(?P<speaker>[^/]{2})_(?P<label>[^/]+?)'
    """
    if is_audio(pattern):
        pattern = os.path.splitext(pattern)[0]
    parts: list[str] = []
    end, names = 0, set()
    for match in _PIECE.finditer(pattern):
        parts.append(_literal(pattern, pattern[end : match.start()]))
        end = match.end()
        name, width = match["name"].strip(), match["width"]
        size = f"[^/]{{{width}}}" if width else "[^/]+?"
        if not name:
            parts.append(f"(?:{size})")
            continue
        if not _NAME.fullmatch(name) or (name in RESERVED and name not in FIELDS):
            raise UsageError(f"--pattern {pattern}: {{{name}}} cannot be a field")
        if name in names:
            raise UsageError(f"--pattern {pattern}: {{{name}}} is there twice")
        names.add(name)
        parts.append(f"(?P<{name}>{size})")
    parts.append(_literal(pattern, pattern[end:]))
    if not names:
        raise UsageError(f"--pattern {pattern}: names no field, e.g. {{speaker}}_{{label}}.wav")
    return "".join(parts)


def _literal(pattern: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise UsageError(f"--pattern {pattern}: a brace without its partner")
    return re.escape(text)


def named(pattern: str) -> Named:
    """Return the engine that reads names of a pattern; raises UsageError."""
    name = expression(pattern)
    groups = list(re.compile(name).groupindex)
    fields = {group: f"~{group}" for group in groups}
    return Named(Spec("the pattern", name, fields, layout=pattern, folders=pattern.count("/")))


def reader(pattern: str) -> Corpus:
    """Return a corpus whose files are named by a pattern; raises UsageError."""
    engine = named(pattern)

    def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
        for relative in files:
            codes = engine.parse(relative)
            if codes is None:
                yield Skipped(relative, f"not named by the pattern {pattern}")
                continue
            words = {name[1:]: word for name, word in codes.items() if name.startswith("~")}
            own = {name: word for name, word in words.items() if name in FIELDS}
            extra = {name: word for name, word in words.items() if name not in FIELDS}
            path = to_text(os.path.join(os.getcwd(), root, relative))
            try:
                yield make_utterance(to_text(relative), path, (None, None), own, extra)
            except ValueError as error:
                yield Skipped(relative, str(error))

    return Corpus("pattern", f"files named {pattern}", engine.fits, utterances, generic=True)
