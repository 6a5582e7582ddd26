"""URDU, spontaneous emotional speech from Urdu talk shows.

400 cuts in four classes, 100 each.

Source: https://github.com/siddiquelatif/URDU-Dataset (folders Angry, Happy, Neutral, Sad).
Licence: for research only.
Citation: Latif, Qayyum, Usman & Qadir 2018, Cross Lingual Speech Emotion Recognition: Urdu vs.
Western Languages, FIT, pp. 88-93, doi 10.1109/FIT.2018.00023.
Layout: Angry/SM1_F1_A01.wav: speaker (SM a man, SF a woman), the speaker's file number, emotion by
its initial letter and the number within the emotion. Any suffix, any folder.

The README speaks of 38 speakers, 27 men and 11 women; the published names are of 29, for the men
are numbered up to 27 with gaps, and the counts here are those of the names. What is said is not
written down anywhere, so `text` is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, misnamed
from sertool.items import Item

EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}
# {emotion: {speaker: files}}, in the order of the files' numbers
FILES = {
    "A": {"SM1": 22, "SM2": 28, "SM3": 2, "SM4": 48},
    "H": {
        **{"SF1": 12, "SF2": 2, "SF3": 2, "SF4": 4, "SF5": 4, "SF6": 14, "SF7": 6, "SF8": 2},
        **{"SM17": 2, "SM18": 2, "SM19": 2, "SM3": 2, "SM5": 8, "SM6": 10, "SM7": 28},
    },
    "N": {"SF9": 4, "SM20": 10, "SM21": 4, "SM22": 2, "SM3": 8, "SM5": 72},
    "S": {
        **{"SF10": 2, "SF11": 4, "SM23": 6, "SM24": 38, "SM25": 40, "SM26": 2, "SM27": 4},
        **{"SM6": 4},
    },
}
PUBLISHED = Published(
    classes={EMOTIONS[code]: sum(people.values()) for code, people in FILES.items()},
    speakers={
        speaker: sum(people.get(speaker, 0) for people in FILES.values())
        for speaker in sorted({name for people in FILES.values() for name in people})
    },
)
_NAME = re.compile(
    rf"(?P<speaker>S[MF][1-9]\d?)_F\d{{1,3}}_(?P<emotion>[{''.join(EMOTIONS)}])(?P<number>\d{{1,4}})",
    NAME_FLAGS,
)
_SHAPE = re.compile(r"(?P<speaker>S[a-z]\d+)_F\d+_(?P<emotion>[a-z]+)\d+", NAME_FLAGS)
_USUAL = "URDU's files are (SM1_F1_A01)"
_KNOWN = {
    "speaker": [f"s{sex}{number}" for sex in "mf" for number in range(1, 100)],
    "emotion": [code.lower() for code in EMOTIONS],
}


def fits(relative: str) -> bool:
    """Return whether the file is named as those of URDU are."""
    return _NAME.fullmatch(stem(relative)) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance a file; what the name says is in its fields."""
    for relative in files:
        match = _NAME.fullmatch(stem(relative))
        if match is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
            continue
        speaker, emotion = match["speaker"].upper(), match["emotion"].upper()
        yield make(
            root,
            relative,
            speaker=speaker,
            gender="male" if speaker[1] == "M" else "female",
            language="ur",
            label=EMOTIONS[emotion],
            raw_label=emotion,
        )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 400 files."""
    return PUBLISHED


CORPUS = Corpus(
    name="urdu",
    summary="URDU: 29 speakers, 4 classes, Urdu talk shows",
    fits=fits,
    utterances=utterances,
    published=published,
)
