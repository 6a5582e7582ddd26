"""What `prepare` can make of a folder that is no known corpus: its names and tables looked at."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from sertool.core.errors import InputError
from sertool.core.paths import find_audio, show, to_text
from sertool.corpora import labels, load, names, proposals, stem, table
from sertool.corpora.layout import GENDERS

OUTPUT = "manifest.jsonl"
_SEPARATOR = re.compile(r"[_\-. ]")
_TABLES = 5  # tables tried at most
_SPEAKERS = 100  # at most, of a piece that names speakers
_MOST = 0.8  # of the names must be alike
_SAMPLE = 2000  # names looked at


def show_command(folder: Path) -> None:
    """Print the command that prepares a folder or table, and why; InputError where none is seen."""
    command, why = suggest(folder)
    print(f"# {why}\n{command}")


def suggest(folder: Path) -> tuple[str, str]:
    """Return a command line that prepares a folder or table, and why.

    Looked at are, in this order: corpora by name, tables, folders called after classes, pieces of
    the files' names. Raises InputError where nothing tells classes or speakers.
    """
    if not folder.exists():
        raise InputError(f"{show(folder)}: no such file or folder")
    plain = shlex.join(["sertool", "prepare", to_text(folder), OUTPUT])
    if folder.is_file():
        found = _of_table(folder)
        if found is None:
            raise InputError(f"{show(folder)}: no column holds names of audio files")
        return found
    audio, stray = find_audio(folder)
    files = [path.relative_to(folder).as_posix() for path in audio]
    corpora = [load(name) for name in names()]
    known = [c for c in corpora if not c.generic and c.claim(folder.absolute(), files)]
    if len(known) == 1:
        return plain, f"its files are named as those of {known[0].name}"
    claiming = [c.name for c in corpora if c.generic and c.claim(folder.absolute(), files)]
    if claiming and claiming != ["folder"]:
        return plain, f"it can be read as {' or '.join(claiming)}"
    near = [path for path in stray if path.suffix.lower() in table.SUFFIXES]
    for path in sorted(near, key=lambda one: len(one.parts))[:_TABLES]:
        found = _of_table(path, folder)
        if found is not None:
            return found
    if claiming:
        return plain, "its folders are called after classes"
    if not files:
        raise InputError(f"{show(folder)}: no audio file and no table that names any")
    pattern = pattern_of(files)
    if pattern is None:
        raise InputError(
            f"{show(folder)}: neither names nor tables tell classes, e.g. {show(files[0])}; if the"
            " names do, say how by --pattern, e.g. '{speaker}_{label}_{}.wav'; if folders do, in"
            " words of their own: --corpus folder"
        )
    command = shlex.join(["sertool", "prepare", to_text(folder), OUTPUT, "--pattern", pattern])
    return command, f"the names of its files have pieces, e.g. {show(files[0])}"


def _of_table(path: Path, folder: Path | None = None) -> tuple[str, str] | None:
    """Return the command that reads a table, None where no column names files."""
    try:
        header, lines = table.open_table(path)
    except InputError:
        return None
    columns = table.find_columns(header)
    likely = proposals.likely(header, lines, columns, folder or path.parent)
    if "file" not in columns and "file" not in likely:
        return None
    given = table.Reading(output=OUTPUT)
    if folder is not None and path.parent != folder:  # the sound may lie beside the table's folder
        given = table.Reading(output=OUTPUT, audio_root=folder)
    every = {**{name: columns[name] for name in columns if name in _TOLD}, **likely}
    what = ", ".join(f"{name} in {column!r}" for name, column in every.items())
    return given.command(path, likely), f"{show(path)} has {show(what)}"


_TOLD = ("file", "label", "speaker", "gender")


def pattern_of(files: Sequence[str]) -> str | None:
    """Return the `--pattern` that names of files seem to follow, None where no piece is a class.

    A piece is a class where most of its words are, a gender likewise; the folder above, or else
    the first other piece that few names share, is a speaker.
    """
    files = files[:: max(1, len(files) // _SAMPLE)]
    shapes = Counter("".join(_SEPARATOR.findall(stem(name))) for name in files)
    shape, n = shapes.most_common(1)[0]
    if n < _MOST * len(files):
        return None
    alike = [name for name in files if "".join(_SEPARATOR.findall(stem(name))) == shape]
    pieces = [
        list(column) for column in zip(*(_SEPARATOR.split(stem(a)) for a in alike), strict=True)
    ]
    roles = ["" for _ in pieces]
    for i, words in enumerate(pieces):
        if "label" not in roles and len(set(words)) > 1 and _most(words, _is_class):
            roles[i] = "label"
        elif "gender" not in roles and len(set(words)) > 1 and _most(words, _is_gender):
            roles[i] = "gender"
    if "label" not in roles:
        return None
    above = {PurePosixPath(name).parent.name for name in alike}
    folder = ""
    if 1 < len(above) <= min(_SPEAKERS, len(alike) // 2):
        folder = "{speaker}/"
    else:
        for i, words in enumerate(pieces):
            if not roles[i] and 1 < len(set(words)) <= min(_SPEAKERS, len(words) // 2):
                roles[i] = "speaker"
                break
    parts = [f"{{{role}}}" for role in roles]
    return folder + "".join(map("".join, zip(parts, [*shape, ""], strict=True)))


def _most(words: Sequence[str], test: Callable[[str], bool]) -> bool:
    return sum(map(test, words)) >= _MOST * len(words)


def _is_class(word: str) -> bool:
    return labels.folder_noun(word) is not None


def _is_gender(word: str) -> bool:
    return word.lower() in GENDERS
