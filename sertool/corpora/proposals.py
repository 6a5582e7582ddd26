"""Which columns of a table are likely meant, for those whose header does not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.paths import is_audio
from sertool.corpora import labels, located
from sertool.corpora.layout import GENDERS

_MOST = 0.8  # of the cells must be of the kind that a column is taken for
_CLASSES = 40  # at most
_FEW = 12  # classes at most, where nothing else speaks for a column
# what a header contains, in the languages that tables come in
_LABEL = ("emo", "émo", "label", "klass", "class", "gefühl", "gefuehl", "affect", "affekt")
_SPEAKER = ("speak", "spk", "sprech", "actor", "acteur", "subject", "particip", "locut", "hablant",
            "parlant", "mówc", "talker", "person", "proband")  # fmt: skip


def likely(
    header: Sequence[str],
    lines: Sequence[tuple[int, list[str]]],
    known: Mapping[str, str],
    folder: Path,
) -> dict[str, str]:
    """Return {field: column} for file, label, speaker and gender where none is known yet.

    Files, classes and genders are known by the cells, speakers and other classes by the header.
    Files without a suffix are looked for from `folder`. In a table of which not even the files
    are known, a column of few words may be the classes, too.
    """
    cells: dict[str, list[str]] = {}
    for i, name in enumerate(header):
        if name and name not in known.values():
            cells[name] = [c for _, row in lines if i < len(row) and (c := row[i].strip())]
    found: dict[str, str] = {}

    def take(field: str, ranks: Mapping[str, float]) -> None:
        best = max(ranks, key=lambda name: ranks[name], default=None)
        if field not in known and best is not None and ranks[best] > 0:
            found[field] = best
            del cells[best]

    take("file", {name: _share(values, is_audio) for name, values in cells.items()})
    if "file" not in {**known, **found}:
        take("file", {n: float(_are_files(v, folder)) for n, v in cells.items() if v})
    take("gender", {n: _share(v, lambda cell: cell.lower() in GENDERS) for n, v in cells.items()})
    take("label", {name: _class_rank(name, values) for name, values in cells.items()})
    take("speaker", {n: float(_says(n, _SPEAKER) and bool(v)) for n, v in cells.items()})
    if "file" in found and "label" not in {**known, **found}:
        take("label", {n: float(_few_words(v)) for n, v in cells.items()})
    return found


def _are_files(values: Sequence[str], folder: Path) -> bool:
    """Return whether most of the cells are names of files, with or without suffix."""
    try:
        return located.locate(folder, values).count(values) >= _MOST * len(values)
    except InputError:  # there are such files, in several folders
        return True


def _few_words(values: Sequence[str]) -> bool:
    kinds = set(values)
    plain = not any(map(str.isdigit, "".join(kinds)))
    return plain and 2 <= len(kinds) <= min(_FEW, len(values))


def _share(values: Sequence[str], test: Callable[[str], bool]) -> float:
    """Return the share of the cells that pass, 0 where it is not most of them."""
    share = sum(map(test, values)) / len(values) if values else 0.0
    return share if share >= _MOST else 0.0


def _class_rank(name: str, values: Sequence[str]) -> float:
    """Return how likely a column names classes: by its words, else by a header that says so."""
    if not 2 <= len(set(values)) <= min(_CLASSES, len(values)):
        return 0.0
    said = _says(name, _LABEL)
    return _share(values, lambda cell: labels.folder_noun(cell) is not None) + 0.5 * said


def _says(name: str, words: Sequence[str]) -> bool:
    return any(word in name.casefold() for word in words)
