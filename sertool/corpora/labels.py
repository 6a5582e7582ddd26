"""Emotion classes: the house's nouns, their synonyms, and maps from labels to classes."""

from __future__ import annotations

import functools
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sertool.core.data import data_path
from sertool.core.errors import InputError, UsageError
from sertool.core.paths import MOST_TOML, show, text_of
from sertool.core.settings import meant
from sertool.core.texts import toml

NATIVE = "native"
FORMAT = """\
A map of classes is a TOML file of one's own, given as --labels FILE.toml:

    summary = "three classes of valence"     # optional, as is source
    drop = ["boredom", "xx"]                 # labels to leave out; ["*"] leaves out all not named

    [classes]                                # class = [its labels]
    negative = ["anger", "sad", "W"]
    neutral = []
    positive = ["happiness", "surprise"]

A label is the corpus's own word or code, letter by letter (`raw_label` in a manifest), or else one
of our nouns or their synonyms in any case (sad = sadness). A class's own name is one of its labels.
No label may be in two classes. One that is in none and not dropped stops prepare, which names it.

`sertool prepare CORPUS m.jsonl --labels FILE.toml` writes FILE.toml where it is not there yet, with
every label found as a class of its own and how many recordings have it: edit it and run it again.\
"""
_GAP = re.compile(r"[\s_-]+")
_NOT_LETTERS = re.compile(r"[\W\d_]+")


def _fold(word: str) -> str:
    """Return a word as it is compared: without case, accents (in either form) and odd gaps."""
    apart = unicodedata.normalize("NFKD", word.casefold()).replace("ł", "l")
    return _GAP.sub(" ", "".join(c for c in apart if not unicodedata.combining(c))).strip()


@functools.cache
def _synonyms() -> dict[str, str]:
    """Return every known class word, folded, with its noun."""
    words: dict[str, str] = {}
    for noun_, others in _read(data_path("labels", f"{NATIVE}.toml"))["classes"].items():
        words.update({_fold(word): noun_ for word in (noun_, *others)})
    return words


def noun(word: str) -> str:
    """Return the house's noun for a usual word (angry -> anger); another word in lower case."""
    return _synonyms().get(_fold(word), word.strip().casefold())


def folder_noun(name: str) -> str | None:
    """Return the noun that a folder's name stands for (`01_Happy` -> happiness), or None."""
    return _synonyms().get(_fold(name)) or _synonyms().get(
        _NOT_LETTERS.sub(" ", _fold(name)).strip()
    )


@dataclass(frozen=True)
class LabelMap:
    """A map from labels to classes; `classes` has folded words and a corpus's codes as keys."""

    name: str
    summary: str
    source: str
    classes: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    drops_rest: bool = False

    @property
    def targets(self) -> list[str]:
        """The classes that the map leads to, sorted."""
        return sorted(set(self.classes.values()))

    def apply(self, label: str | None, raw_label: str | None = None) -> str | None:
        """Return the class of a label, or None where the map drops it.

        The corpus's own word or code counts before the noun. Raises KeyError for a label that
        the map does not know. The native map changes nothing.
        """
        if self.name == NATIVE or label is None:
            return label
        if raw_label is not None and raw_label in self.codes:
            return self.codes[raw_label]
        word = noun(label)
        if word in self.classes:
            return self.classes[word]
        if self.drops_rest or word in self.dropped or raw_label in self.dropped:
            return None
        raise KeyError(label)

    def votes(self, votes: Mapping[str, float]) -> dict[str, float]:
        """Return {class: votes} of votes for labels, without those that the map drops.

        Raises KeyError for a label that the map does not know.
        """
        made: defaultdict[str, float] = defaultdict(int)
        for label, n in votes.items():
            if (target := self.apply(label)) is not None:
                made[target] += n
        return dict(sorted(made.items()))


def names() -> list[str]:
    """Return the names of the label maps that sertool brings, native first."""
    found = sorted(path.stem for path in data_path("labels").glob("*.toml"))
    return [NATIVE, *(name for name in found if name != NATIVE)]


def label_maps() -> list[tuple[str, str]]:
    """Return (name, one line) of every label map that sertool brings."""
    return [(name, load(name).summary) for name in names()]


def load(name: str) -> LabelMap:
    """Return the label map of that name, or that a TOML file describes.

    Such a file has a table `classes` (class = [labels]; a label is a noun, a synonym, or a
    corpus's own code; a class's own name is in it unasked) and may have `drop`, a list of labels
    to leave out, `"*"` for all that no class names. Raises UsageError for an unknown name,
    InputError for a file that cannot be used.
    """
    if name in names():
        return _build(name, _read(data_path("labels", f"{name}.toml")), name)
    path = Path(name)
    if path.suffix == ".toml":
        return _build(path.stem, _read(path), show(path))
    near = meant(name, names())
    raise UsageError(f"no label map {name!r}; there are {', '.join(names())}, or a FILE.toml{near}")


def template_wanted(name: str) -> Path | None:
    """Return the file of `--labels FILE.toml` where it is not there yet, and its folder is."""
    path = Path(name)
    missing = name not in names() and path.suffix == ".toml" and not os.path.lexists(path)
    return path if missing and path.parent.is_dir() else None


def template(found: Mapping[tuple[str | None, str | None], int]) -> str:
    """Return the TOML text of a map of (label, raw label) found: every label its own class."""
    classes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (label, raw), n in found.items():
        if label is not None:
            classes[label][label if raw is None else raw] += n
    lines = [
        "# Classes and their labels, with how many recordings have them, as sertool found them.",
        "# Labels on one line are one class; see: sertool list labels --format",
        "drop = []",
        "",
        "[classes]",
    ]
    owners = Counter({noun(label): 1 for label in classes})
    for label, words in classes.items():
        owners.update({noun(word) for word in words} - {noun(label)})
    for label, words in sorted(classes.items()):
        own = [word for word in sorted(words) if owners[noun(word)] == 1]  # not of two classes
        counts = ", ".join(f"{words[word]} {word}" for word in sorted(words))
        listed = ", ".join(map(_toml, own))
        lines.append(f"{_toml(label)} = [{listed}]  # {show(counts)}")
    return "\n".join(lines) + "\n"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a label map's file with its classes and drops checked."""
    try:
        content = toml(text_of(path, most=MOST_TOML))
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except ValueError as error:  # TOML's and UTF-8's
        raise InputError(f"{show(path)}: not a TOML file: {error}") from error
    classes = content.get("classes")
    if not isinstance(classes, dict) or not classes:
        raise InputError(f"{show(path)}: needs a table [classes] with class = [labels]")
    for target, words in classes.items():
        classes[target] = _words(path, f"class {target!r}", words)
    content["drop"] = _words(path, "drop", content.get("drop", []))
    return content


def _words(path: Path, what: str, value: Any) -> list[str]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{show(path)}: {what} must be a list of labels")
    return words


def _build(name: str, content: dict[str, Any], where: str) -> LabelMap:
    """Return the map of a file's content; raises InputError where a label has two classes."""
    codes: dict[str, str] = {}
    classes: dict[str, str] = {}
    for target, words in content["classes"].items():
        for word in words:
            if classes.get(noun(word), target) != target:
                raise InputError(f"{where}: {word!r} is in two classes")
            codes.setdefault(word, target)
            classes.setdefault(noun(word), target)
    dropped = frozenset(noun(word) for word in content["drop"]) | frozenset(content["drop"])
    for word in dropped & set(classes):
        raise InputError(f"{where}: {word!r} is in class {classes[word]!r} and in drop")
    for target in content["classes"]:
        if noun(target) not in dropped:
            classes.setdefault(noun(target), target)
    summary, source = str(content.get("summary", "")), str(content.get("source", ""))
    return LabelMap(name, summary, source, classes, codes, dropped, "*" in content["drop"])
