"""The demo corpus that sertool brings: synthetic speakers, four emotions, four sentences.

Source: data/demo in sertool's repository, made by its make.py; see the README there.
Licence: the recordings CC0 1.0, the scripts that make them MIT.
Layout: corpus/spk01/spk01_anger_s1_r1.flac: speaker, emotion, sentence, repetition. The speakers'
genders are in speakers.tsv beside the recordings or above them; without it odd numbers are men.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.items import Item

EMOTIONS = ("anger", "happiness", "neutral", "sadness")
PER_CLASS = 8  # files of a speaker in each emotion: four sentences, two repetitions
SPEAKERS = "speakers.tsv"
_NAME = re.compile(
    rf"(?P<speaker>spk(?P<number>\d+))_(?P<emotion>{'|'.join(EMOTIONS)})"
    r"_(?P<sentence>s\d+)_r(?P<repetition>\d+)"
)


def fits(relative: str) -> bool:
    """Return whether the file is named like the demo corpus's."""
    return _NAME.fullmatch(stem(relative)) is not None


def genders(root: Path, files: Sequence[str]) -> dict[str, str]:
    """Return {speaker: gender} of the nearest speakers.tsv, searched from the files upwards."""
    near = root / PurePosixPath(files[0]).parent if files else root
    for folder in [near, *near.absolute().parents][:4]:
        try:
            with open(folder / SPEAKERS, encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
        except (OSError, UnicodeDecodeError):
            continue
        if rows and {"speaker", "gender"} <= set(rows[0]):
            return {row["speaker"]: row["gender"] for row in rows}
    return {}


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per file, its fields from the name."""
    known = genders(root, files)
    for relative in files:
        match = _NAME.fullmatch(stem(relative))
        if match is None:
            yield Skipped(relative, "not named like the demo corpus's files (spk01_anger_s1_r1)")
            continue
        parity = "male" if int(match["number"]) % 2 else "female"
        yield make(
            root,
            relative,
            speaker=match["speaker"],
            gender=known.get(match["speaker"], parity),
            text=match["sentence"],
            label=match["emotion"],
            raw_label=match["emotion"],
            extra={"repetition": match["repetition"]},
        )


def published(root: Path, found: Sequence[Item]) -> Published | None:
    """Return the counts by the table of speakers, or None where there is no table."""
    speakers = genders(root, [utterance.path for utterance in found[:1]])
    if not speakers:
        return None
    return Published(
        classes=dict.fromkeys(EMOTIONS, PER_CLASS * len(speakers)),
        speakers=dict.fromkeys(speakers, PER_CLASS * len(EMOTIONS)),
    )


CORPUS = Corpus(
    name="demo",
    summary="the synthetic corpus in data/demo: 4 classes",
    fits=fits,
    utterances=utterances,
    published=published,
    licence="CC0 1.0",
)
