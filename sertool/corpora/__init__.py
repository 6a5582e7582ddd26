"""Corpora: what each one's folders and files are called, and the utterances that they give.

A corpus whose file names say everything is a file in `data/corpora` (see `named`); any other is a
module with a `CORPUS` and a line in `_MODULES`, or an entry point `sertool.corpora` of a package.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sertool.core import plugins
from sertool.core.data import data_path
from sertool.core.paths import to_text
from sertool.items import Item

GROUP = "sertool.corpora"
_MODULES = {
    "audformat": "sertool.corpora.audformat:CORPUS",
    "crema-d": "sertool.corpora.crema_d:CORPUS",
    "csv": "sertool.corpora.table:CORPUS",
    "demo": "sertool.corpora.demo:CORPUS",
    "esd": "sertool.corpora.esd:CORPUS",
    "folder": "sertool.corpora.folder:CORPUS",
    "huggingface": "sertool.corpora.huggingface:CORPUS",
    "iemocap": "sertool.corpora.iemocap:CORPUS",
    "lhotse": "sertool.corpora.lhotse:CORPUS",
    "meld": "sertool.corpora.meld:CORPUS",
}
_NAMED = {
    path.stem: f"sertool.corpora.named:{path.stem}" for path in data_path("corpora").iterdir()
}
CORPORA = dict(sorted((_MODULES | _NAMED).items()))


@dataclass(frozen=True)
class Skipped:
    """A file or table line that contains no utterances.

    One that should have given one is named and fails; a `harmless` one is counted by its reason,
    and so is a line of a `missing` file where those may be left out.
    """

    path: str
    reason: str
    harmless: bool = False
    missing: bool = False


@dataclass(frozen=True)
class Note:
    """What a person should know of how a corpus was read; a `warning` is always shown."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Published:
    """How many utterances a corpus has by its own documentation, per class and per speaker."""

    classes: dict[str, int]
    speakers: dict[str, int] = field(default_factory=dict)


def _unpublished(root: Path, utterances: Sequence[Item]) -> Published | None:
    return None


@dataclass(frozen=True)
class Corpus:
    """One corpus, as `prepare` sees it.

    `fits` tells from a file's POSIX path below the corpus's folder whether it is one of its
    recordings. `utterances` takes that folder and the paths of all audio files below it, and
    yields an utterance (see `make`) or a `Skipped` for each, and any `Note`. `published` gives the
    counts to compare with, for what was found. A `generic` corpus never competes with named ones;
    it is taken where its `claims` says that the folder is one. licence: in a few words.
    """

    name: str
    summary: str
    fits: Callable[[str], bool]
    utterances: Callable[[Path, Sequence[str]], Iterable[Item | Skipped | Note]]
    published: Callable[[Path, Sequence[Item]], Published | None] = _unpublished
    generic: bool = False
    claims: Callable[[Path, Sequence[str]], bool] | None = None
    licence: str = ""

    def claim(self, root: Path, files: Sequence[str]) -> bool:
        """Return whether the folder is such a corpus: at least half of its audio files fit."""
        if self.claims is not None:
            return self.claims(root, files)
        return half(self.fits, files)


def half(fits: Callable[[str], bool], files: Sequence[str]) -> bool:
    """Return whether at least half of the files fit; looks no further once that is settled."""
    unfit = (1 for file in files if not fits(file))
    most = len(files) // 2
    return bool(files) and sum(itertools.islice(unfit, most + 1)) <= most


def make(root: Path, relative: str, **fields: Any) -> Item:
    """Return the utterance of the file at `relative` below `root`, with an absolute path.

    Its id is that path for now; `prepare` puts the corpus before it and drops the suffix.
    """
    path = os.path.join(os.getcwd(), root, relative)
    return Item(id=to_text(relative), path=to_text(path), **fields)


def stem(relative: str) -> str:
    """Return a POSIX path's name without folder and suffix; `PurePath.stem` takes ten times.

    >>> stem("a/b.c.wav"), stem("a.b/.wav"), stem("a/b")
    ('b.c', '.wav', 'b')
    """
    name = relative.rpartition("/")[2]
    before, _, _ = name.rpartition(".")
    return before if before.strip(".") else name


def names() -> list[str]:
    """Return the names of all corpora."""
    return plugins.names(CORPORA, GROUP)


def load(name: str) -> Corpus:
    """Return the corpus of that name, or that a TOML file describes (see `named`).

    Raises UsageError where there is none, InputError for a file that cannot be used.
    """
    corpus: Corpus
    if name.endswith(".toml"):
        corpus = plugins.lookup({name: "sertool.corpora.named:read"}, GROUP, name)(Path(name))
    else:
        corpus = plugins.lookup(CORPORA, GROUP, name)
    return corpus
