"""What adaptors share: misspelt names explained, tables found, one file for each recording."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from sertool.core.paths import show
from sertool.corpora import Skipped, labels, stem

# names as corpora give them, in any case; ASCII, so that no other script's digits or letters pass
NAME_FLAGS = re.IGNORECASE | re.ASCII
LOSSLESS = (".wav", ".wave", ".flac", ".aiff", ".aif", ".aifc", ".w64", ".rf64", ".caf", ".au")
FILMS = (".mp4", ".mkv", ".mka", ".mov", ".avi", ".webm", ".3gp")
OTHER_FORMAT = "the same recordings in another format"
# words and letters of tables and names -> the gender
GENDERS = {"m": "male", "male": "male", "man": "male"}
GENDERS |= {"f": "female", "female": "female", "woman": "female", "w": "female"}
GENDERS |= {"other": "other", "diverse": "other", "nonbinary": "other", "non-binary": "other"}
_ABOVE = 2  # folders above the corpus's own in which a table of it may lie


def misnamed(
    relative: str, usual: str, shape: re.Pattern[str], known: Mapping[str, Container[str]]
) -> Skipped:
    """Return a file that is not named as a corpus's are, with the code that is unknown, if any.

    `usual` is whose files and how they are named ("EmoDB's files (03a01Fa)"); `shape` the same
    with any codes, and `known` what the codes of its groups may be, in lower case.
    """
    match = shape.fullmatch(stem(relative))
    for group, code in match.groupdict().items() if match else ():
        if code is not None and code.lower() not in known.get(group, code.lower()):
            return Skipped(relative, f"not named like {usual}: {group} {show(code)!r} is unknown")
    return Skipped(relative, f"not named like {usual}")


def folders(relative: str) -> list[str]:
    """Return the names of the folders above a file, the nearest first."""
    return list(reversed(PurePosixPath(relative).parts[:-1]))


def class_folder(relative: str) -> str | None:
    """Return the class that the nearest folder with a class word for its name stands for."""
    return next((noun for name in folders(relative) if (noun := labels.folder_noun(name))), None)


def other_formats(files: Iterable[str], key: Callable[[str], Hashable | None]) -> set[str]:
    """Return the files for which the same recording is there in a better format.

    `key` tells which recording a file is of (None: of none). Sound without loss is better than
    with, and a film is worst; two files of one suffix are both kept.
    """
    groups: defaultdict[Hashable, defaultdict[tuple[int, str], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for relative in files:
        recording = key(relative)
        if recording is not None:
            groups[recording][_format(relative)].append(relative)
    worse: set[str] = set()
    for formats in groups.values():
        best = min(formats)
        for found, members in formats.items():
            worse.update(members if found != best else ())
    return worse


def _format(relative: str) -> tuple[int, str]:
    """Return a rank of a file's format, the best lowest, and its suffix."""
    suffix = os.path.splitext(relative)[1].lower()
    if suffix in LOSSLESS:
        return LOSSLESS.index(suffix), suffix
    return len(LOSSLESS) + (suffix in FILMS), suffix


def tables(
    root: Path, files: Sequence[str], pattern: re.Pattern[str], within: str = ""
) -> list[Path]:
    """Return the files so named near the recordings, by their depth, then by their path.

    Looked through are the folders between `root` and each recording, those directly in `root`,
    and the two above it; never a whole tree, for `root` may be a disk's. within: also in the folder
    of this name in each of these.
    """
    root = root.absolute()
    near = {root, *root.parents[:_ABOVE]} | {root / name for name in _listed(root)}
    for parent in {os.path.dirname(relative) for relative in files}:
        near |= {root / parent, *(root / above for above in PurePosixPath(parent).parents)}
    if within:
        near |= {folder / within for folder in near}
    found = {
        folder / name for folder in near for name in _listed(folder) if pattern.fullmatch(name)
    }
    return sorted(
        (path for path in found if path.is_file()),
        key=lambda path: (len(path.parts), os.fsencode(path)),
    )


def _listed(folder: Path) -> list[str]:
    """Return the names in a folder, none for what is no folder that can be read."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []
