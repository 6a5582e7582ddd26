"""A folder of class-named folders: happy/….wav, angry/….wav, at any depth.

The class words are the house's nouns and their synonyms (data/labels/native.toml). Speakers,
sentences and genders are unknown; a table says them (corpus `csv`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sertool.core.paths import to_text
from sertool.corpora import Corpus, Skipped, labels, make
from sertool.items import Item


def fits(relative: str) -> bool:
    """Return whether a folder above the file has a known class word for its name."""
    return any(labels.folder_noun(part) for part in PurePosixPath(relative).parts[:-1])


def class_depth(files: Sequence[str]) -> int | None:
    """Return the depth at which folders name classes: where most files have a class word.

    None where there are none: then each file's own folder names its class.
    """
    depths: Counter[int] = Counter()
    for relative in files:
        for depth, part in enumerate(PurePosixPath(relative).parts[:-1]):
            depths[depth] += labels.folder_noun(part) is not None
    best = max(depths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    return best[0] if best[1] else None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per file below a class's folder; another word stays as it is."""
    depth = class_depth(files)
    for relative in files:
        folders = PurePosixPath(relative).parts[:-1]
        if len(folders) <= (depth or 0):
            yield Skipped(relative, "no parent folder is named after a class")
            continue
        word = to_text(folders[-1] if depth is None else folders[depth])
        label = labels.folder_noun(word) or labels.noun(word)
        yield make(root, relative, label=label, raw_label=word)


CORPUS = Corpus(
    name="folder",
    summary="any folder of folders named after classes",
    fits=fits,
    utterances=utterances,
    generic=True,
)
