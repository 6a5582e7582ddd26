"""Where the files lie that a table names: spreadsheets come from other machines than the sound.

A name is looked for as it is written, then with its backslashes turned, in any case, in any
normalisation of accents, and as another audio format of the same stem. Where no file is found from
the table's folder, the one folder below it is taken in which they are, and leading folders
(`C:\\data\\…`) may be dropped.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sertool.core.errors import InputError
from sertool.core.paths import from_text, is_audio, show, to_text

_DEPTH = 3  # folders below the table's in which its files are looked for
_FOLDERS = 1000  # at most; a table may lie in a folder of everything
_SAMPLE = 200  # names by which the folder is chosen
_DRIVE = re.compile(r"[A-Za-z]:")


def parts_of(name: str) -> tuple[str, ...]:
    r"""Return a path's parts without drive and root.

    >>> parts_of("C:\\data\\a.wav"), parts_of("/data/a.wav")
    (('data', 'a.wav'), ('data', 'a.wav'))
    """
    path = PurePosixPath(_DRIVE.sub("", name.replace("\\", "/"), count=1))
    return tuple(part for part in path.parts if part != "/")


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


@dataclass
class _Folder:
    """What lies in a folder, by folded names, and its audio files by folded stems."""

    names: dict[str, list[str]] = field(default_factory=dict)
    stems: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Places:
    """Finds a table's files below `root`, `dropped` leading folders of each name left out."""

    root: Path
    dropped: int = 0
    renamed: int = 0  # files found under another suffix
    _listed: dict[str, _Folder] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Return the path of the file that a cell names, None where there is none."""
        own = os.path.join(to_text(self.root), name)
        path = os.path.abspath(from_text(own))
        if os.path.isfile(path):
            return path
        return self._below(parts_of(name)[self.dropped :])

    def path(self, name: str) -> str:
        """Return the path that a cell names, whether or not there is such a file."""
        parts = parts_of(name)[self.dropped :] if self.dropped else [name.replace("\\", "/")]
        return os.path.abspath(os.path.join(self.root, *parts))

    def _below(self, parts: Sequence[str]) -> str | None:
        place = os.path.abspath(self.root)
        for part in parts[:-1]:
            if part == "..":
                place = os.path.dirname(place)
                continue
            inner = self._one(self._list(place).names.get(_fold(part), []), part)
            if inner is None:
                return None
            place = os.path.join(place, inner)
        if not parts:
            return None
        listed = self._list(place)
        last = self._one(listed.names.get(_fold(parts[-1]), []), parts[-1])
        if last is None:
            stem = os.path.splitext(parts[-1])[0] if is_audio(parts[-1]) else parts[-1]
            last = self._one(listed.stems.get(_fold(stem), []), parts[-1])
            self.renamed += last is not None and is_audio(parts[-1])
        path = None if last is None else os.path.join(place, last)
        return path if path and os.path.isfile(path) else None

    @staticmethod
    def _one(names: Sequence[str], wanted: str) -> str | None:
        """Return the name itself if it is there, else the only one that reads like it."""
        if wanted in names:
            return wanted
        return names[0] if len(names) == 1 else None

    def _list(self, folder: str) -> _Folder:
        if folder not in self._listed:
            found = self._listed[folder] = _Folder()
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            for name in names:
                found.names.setdefault(_fold(name), []).append(name)
                if is_audio(name) and not name.startswith("."):
                    stem = _fold(os.path.splitext(name)[0])
                    found.stems.setdefault(stem, []).append(name)
        return self._listed[folder]

    def count(self, names: Sequence[str]) -> int:
        """Return how many of the names are those of files."""
        return sum(self.find(name) is not None for name in names)


def locate(folder: Path, names: Sequence[str]) -> Places:
    """Return where files of these names lie: in a folder, or else in one below it.

    Where none of them is found, the folder itself. Raises InputError where they are in several.
    """
    step = max(1, len(names) // _SAMPLE)
    sample = list(names[::step][: 2 * _SAMPLE])
    places = Places(folder)
    if not sample or places.count(sample):
        places.renamed = 0
        return places
    longest = max(len(parts_of(name)) for name in sample)
    listed = places._listed
    folders = list(_folders(folder))
    for dropped in range(longest):
        counts = [(Places(one, dropped, 0, listed).count(sample), one) for one in folders]
        most = max(count for count, _ in counts)
        best = [one for count, one in counts if count == most]
        if most and len(best) == 1:
            return Places(best[0], dropped, 0, listed)
        if most:
            where = " and in ".join(show(one) for one in best[:3])
            raise InputError(f"the files that it names are in {where}; say which by --audio-root")
    return places


def _folders(folder: Path) -> Iterator[Path]:
    """Yield a folder and those below it, the nearest first, hidden ones and links left out."""
    level, seen = [folder], 0
    for _ in range(_DEPTH + 1):
        following: list[Path] = []
        for one in level:
            seen += 1
            if seen > _FOLDERS:
                return
            yield one
            try:
                with os.scandir(one) as entries:
                    inner = [e for e in entries if e.is_dir(follow_symlinks=False)]
            except OSError:
                continue
            following += sorted(Path(e.path) for e in inner if not e.name.startswith("."))
        level = following
