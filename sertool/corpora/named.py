"""Corpora whose file names say everything: each is a file `data/corpora/NAME.toml`, read here.

`name` is the pattern of a file's name without folder and suffix, in any case; `shape` is a wider
one, by which a misspelt name is explained. Their groups are codes. `codes.GROUP` lists what a code
may be and what it means, `spellings.GROUP` other ways to write it; a group without codes is kept as
it is, in lower case, or in upper case where `upper` names it. `fields` says what becomes a column
of the manifest: a group for its code, "=GROUP" for its meaning, "~GROUP" for it as it is written.
`constants` are columns that all recordings share.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from sertool.core.data import data_path
from sertool.core.errors import InputError
from sertool.core.paths import to_text
from sertool.corpora import Corpus, Published, Skipped, labels, make, stem
from sertool.corpora.layout import NAME_FLAGS, OTHER_FORMAT, folders, misnamed, other_formats
from sertool.formats.schema import convert
from sertool.items import FIELDS, Item, Value

# of one recording: group -> code, as the corpus's own table spells it; "~group" -> as it is written
Codes = dict[str, str]


class Counts(msgspec.Struct, forbid_unknown_fields=True):
    """Published counts of the corpus.

    when: (column, value), of the recordings that have it. unless: a column that tells of
    recordings cut into pieces, which are not counted.
    """

    classes: dict[str, int]
    speakers: dict[str, int]
    when: tuple[str, str] | None = None
    unless: str = ""


class Spec(msgspec.Struct, forbid_unknown_fields=True):
    """A corpus as its file declares it; see the module.

    title, example: for messages, "EmoDB's files (03a01Fa)". folder: the group that the name of
    a folder above stands for where the file's name lacks it. formats: whether a recording may be
    there in several formats, of which the best is taken. left_out: (group, code, reason) of files
    that are not recordings of the corpus. instead: (this folder, another folder, reason): what lies
    in the second under the same name is left out.
    """

    title: str
    summary: str
    about: str
    source: str
    licence: str
    citation: str
    layout: str
    example: str
    name: str
    shape: str
    fields: dict[str, str]
    codes: dict[str, dict[str, str | int] | list[str]]
    constants: dict[str, str] = {}
    spellings: dict[str, dict[str, str]] = {}
    upper: list[str] = []
    folder: str = ""
    folders: int = 0
    words: list[str] = []
    formats: bool = False
    left_out: list[tuple[str, str, str]] = []
    instead: tuple[str, str, str] | None = None
    published: list[Counts] = []


@dataclass(frozen=True)
class Named:
    """A corpus's names, from `spec`; its methods are those that a `Corpus` needs."""

    spec: Spec

    @functools.cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        return re.compile(self.spec.name, NAME_FLAGS), re.compile(self.spec.shape, NAME_FLAGS)

    @functools.cached_property
    def _known(self) -> dict[str, dict[str, str]]:
        """For each group with codes: every way to write one, in lower case, and its spelling."""
        return {
            group: {code.lower(): code for code in codes} | self.spec.spellings.get(group, {})
            for group, codes in self.spec.codes.items()
        }

    def parse(self, relative: str) -> Codes | None:
        """Return the codes of a recording, None for a file that is not named as the corpus's."""
        path = PurePosixPath(relative)
        above = path.parts[-1 - self.spec.folders : -1]
        names = dict.fromkeys(["/".join([*above, stem(relative)]), stem(relative)])
        matches = map(self._patterns[0].fullmatch, names)
        return next((found for m in matches if m and (found := self._codes(relative, m))), None)

    def _codes(self, relative: str, match: re.Match[str]) -> Codes | None:
        codes: Codes = {}
        for group, written in match.groupdict().items():
            if written is None and group == self.spec.folder:
                above = (name.lower() for name in folders(relative))
                written = next((name for name in above if name in self._known[group]), "?")
            codes[f"~{group}"] = to_text(written or "")
            word = (written or "").lower()
            if group in self.spec.words:
                word = labels.noun(word)
            if group not in self._known:
                codes[group] = word.upper() if group in self.spec.upper else word
            elif word in self._known[group]:
                codes[group] = self._known[group][word]
            else:
                return None
        return codes

    def fits(self, relative: str) -> bool:
        """Return whether the file is named as the corpus's are."""
        return self.parse(relative) is not None

    def utterances(self, root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
        """Yield one utterance per recording, its columns from its name."""
        spec = self.spec
        worse = other_formats(files, self._recording) if spec.formats else set()
        better = {stem(file).lower() for file in files if self._within(file, 0)}
        for relative in files:
            codes = self.parse(relative)
            if codes is None:
                usual = f"{spec.title}'s files ({spec.example})"
                yield misnamed(relative, usual, self._patterns[1], self._known)
                continue
            reasons = [why for group, code, why in spec.left_out if codes[group] == code]
            if relative in worse:
                reasons.append(OTHER_FORMAT)
            elif spec.instead and stem(relative).lower() in better and self._within(relative, 1):
                reasons.append(spec.instead[2])
            if reasons:
                yield Skipped(relative, reasons[0], harmless=True)
            else:
                yield self._item(root, relative, codes)

    def _recording(self, relative: str) -> tuple[str, ...] | None:
        codes = self.parse(relative)
        if codes is None:
            return None
        return tuple(code for group, code in codes.items() if not group.startswith("~"))

    def _within(self, relative: str, side: int) -> bool:
        """Return whether a folder above the file is named after one side of `instead`."""
        word = self.spec.instead and self.spec.instead[side]
        return bool(word) and any(str(word) in name.lower() for name in folders(relative))

    def _item(self, root: Path, relative: str, codes: Mapping[str, str]) -> Item:
        columns: dict[str, Value] = dict(self.spec.constants)
        for column, wanted in self.spec.fields.items():
            group = wanted.removeprefix("=")
            meanings = self.spec.codes.get(group)
            if wanted != group and isinstance(meanings, dict):
                columns[column] = meanings[codes[group]]
            else:
                columns[column] = codes[group] or None
        own: dict[str, Any] = {name: columns[name] for name in FIELDS if name in columns}
        extra = {name: value for name, value in columns.items() if name not in FIELDS}
        return make(root, relative, **own, extra=extra)

    def published(self, root: Path, found: Sequence[Item]) -> Published | None:
        """Return the published counts for what was found, or None."""
        classes: Counter[str] = Counter()
        speakers: Counter[str] = Counter()
        for counts in self.spec.published:
            if counts.unless and any(item.value(counts.unless) for item in found):
                return None
            column, value = counts.when or ("", None)
            if counts.when is None or any(item.value(column) == value for item in found):
                classes.update(counts.classes)
                speakers.update(counts.speakers)
        return Published(dict(classes), dict(speakers)) if self.spec.published else None


def read(path: Path) -> Corpus:
    """Return the corpus that a file declares; InputError where it is damaged."""
    try:
        spec = convert(tomllib.loads(path.read_text(encoding="utf-8")), Spec)
        named = Named(spec)
        groups = set(named._patterns[0].groupindex)
        used = {wanted.lstrip("=~") for wanted in spec.fields.values()} | set(spec.codes)
        if not used <= groups:
            raise ValueError(f"name has no group {min(used - groups)}")
    except (OSError, ValueError, re.error) as error:
        raise InputError(f"{path}: not a corpus description: {error}") from error
    return Corpus(path.stem, spec.summary, named.fits, named.utterances, named.published)


def __getattr__(name: str) -> Corpus:
    """Return the corpus of data/corpora/NAME.toml."""
    try:
        return read(data_path("corpora", f"{name}.toml"))
    except InputError as error:
        raise AttributeError(str(error)) from error
