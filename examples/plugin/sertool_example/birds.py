"""The corpus "birds": recordings named SPEAKER-EMOTION-TAKE, as finch-happy-1.wav.

A real corpus gives its source, licence and citation here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Skipped, labels, make, stem
from sertool.items import Item

SPEAKERS = {"finch": "female", "heron": "male", "swift": "female", "robin": "male"}
NAME = re.compile(rf"({'|'.join(SPEAKERS)})-([a-z]+)-(\d+)")


def fits(relative: str) -> bool:
    """Return whether a file is named as a recording of the corpus."""
    return NAME.fullmatch(stem(relative)) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per file."""
    for relative in files:
        match = NAME.fullmatch(stem(relative))
        if match is None:
            yield Skipped(relative, "not named like finch-happy-1")
            continue
        speaker, word, take = match.groups()
        yield make(
            root,
            relative,
            speaker=speaker,
            gender=SPEAKERS[speaker],
            label=labels.noun(word),
            raw_label=word,
            extra={"take": take},
        )


CORPUS = Corpus(
    name="birds",
    summary="four speakers with the names of birds",
    fits=fits,
    utterances=utterances,
)
