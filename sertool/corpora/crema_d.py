"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset.

91 actors say twelve sentences in six emotions, the first of them in three intensities: 7442 clips.

Source: https://github.com/CheyneyComputerScience/CREMA-D (AudioWAV, AudioMP3, VideoFlash).
Licence: Open Database License 1.0, contents under the Database Contents License 1.0.
Citation: Cao, Cooper, Keutmann, Gur, Nenkova & Verma 2014, CREMA-D: Crowd-sourced Emotional
Multimodal Actors Dataset, IEEE Transactions on Affective Computing 5(4): 377-390.
Layout: AudioWAV/1001_DFA_ANG_XX.wav: actor, sentence, intended emotion, intensity. Any suffix, any
folder; where a clip is there in several formats, the WAV file is taken. Actors' age, sex and race
come from VideoDemographics.csv where it lies beside or above; without it their sex is the one that
this table gives, and the rest is unknown.

The label is the emotion that the actor was asked for. What listeners heard in the voice alone are
the `votes`, some ten a clip, and `perceived` what most of them heard (none for a tie), from
processedResults/tabulatedVotes.csv where it lies beside or above: its rows from 100001 are of
voices, those from 200001 of faces, from 300001 of both.

The published counts are those of SentenceFilenames.csv. One clip is called 1040_ITH_SAD_X.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import (
    GENDERS,
    NAME_FLAGS,
    OTHER_FORMAT,
    misnamed,
    other_formats,
    tables,
)
from sertool.items import Item
from sertool.votes import VOTES, majority

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
ACTORS = [str(actor) for actor in range(1001, 1092)]
_WOMEN = """
    1002 1003 1004 1006 1007 1008 1009 1010 1012 1013 1018 1020 1021 1024 1025 1028 1029 1030
    1037 1043 1046 1047 1049 1052 1053 1054 1055 1056 1058 1060 1061 1063 1072 1073 1074 1075 1076
    1078 1079 1082 1084 1089 1091"""
WOMEN = frozenset(_WOMEN.split())
DEMOGRAPHICS = re.compile(r"VideoDemographics\.csv", NAME_FLAGS)
VOTED, RESULTS = re.compile(r"tabulatedVotes\.csv", NAME_FLAGS), "processedResults"
VOICE = range(100_001, 200_001)  # rows of the votes on voices
# recordings that the corpus lacks, of every actor × sentence × emotion (× intensity for IEO)
MISSING = frozenset(
    {("1002", "TIE", "NEU"), ("1076", "ITS", "NEU")}
    | set(product(["1008"], ["WSI"], EMOTIONS))
    | set(product(["1009"], ["MTI"], EMOTIONS))
    | set(product(["1019"], ["ITH"], EMOTIONS))
)
_NAME = re.compile(
    r"(?P<actor>10[0-8]\d|109[01])"
    rf"_(?P<sentence>{'|'.join(SENTENCES)})_(?P<emotion>{'|'.join(EMOTIONS)})"
    rf"_(?P<intensity>{'|'.join(INTENSITIES)})",
    NAME_FLAGS,
)
_SHAPE = re.compile(
    r"(?P<actor>\d{4})_(?P<sentence>[a-z]{3})_(?P<emotion>[a-z]{3})_(?P<intensity>[a-z]{1,2})",
    NAME_FLAGS,
)
_USUAL = "CREMA-D's files (1001_DFA_ANG_XX)"
_KNOWN = {
    "actor": ACTORS,
    "sentence": [code.lower() for code in SENTENCES],
    "emotion": [code.lower() for code in EMOTIONS],
    "intensity": [code.lower() for code in INTENSITIES],
}


def _counts() -> Published:
    """Return the counts of the 7442 clips, from the design less what is missing."""
    classes: Counter[str] = Counter()
    actors: Counter[str] = Counter()
    for actor, sentence, emotion in product(ACTORS, SENTENCES, EMOTIONS):
        if (actor, sentence, emotion) not in MISSING:
            n = 3 if sentence == "IEO" and emotion != "NEU" else 1
            classes[EMOTIONS[emotion]] += n
            actors[actor] += n
    return Published(dict(classes), dict(actors))


PUBLISHED = _counts()


def _parse(relative: str) -> tuple[str, str, str, str] | None:
    """Return (actor, sentence, emotion, intensity) of a clip, None for another file."""
    match = _NAME.fullmatch(stem(relative))
    if match is None or match["actor"] == "1000":
        return None
    actor, sentence, emotion, intensity = (match[i].upper() for i in (1, 2, 3, 4))
    return actor, sentence, emotion, INTENSITIES[intensity]


def fits(relative: str) -> bool:
    """Return whether the file is named like CREMA-D's."""
    return _parse(relative) is not None


def demographics(path: Path) -> dict[str, dict[str, Any]]:
    """Return {actor: gender, age, race, ethnicity} of VideoDemographics.csv.

    Raises ValueError for a file that is not such a table.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        people = {}
        for row in rows:
            people[row["ActorID"].strip()] = {
                "gender": GENDERS.get((row["Sex"] or "").strip().lower()),
                "age": int(row["Age"]),
                "race": row["Race"] or None,
                "ethnicity": row["Ethnicity"] or None,
            }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError("not the table of actors that it is called") from error
    if not people:
        raise ValueError("an empty table of actors")
    return people


def listeners(path: Path) -> dict[str, dict[str, int]]:
    """Return {clip: {class: votes}} of those who only heard the clips, by tabulatedVotes.csv.

    Raises ValueError for a file that is not such a table.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row[""]) in VOICE]
        return {
            row["fileName"].upper(): {
                name: n for code, name in EMOTIONS.items() if (n := int(row[code[0]]))
            }
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError("not the table of votes that it is called") from error


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per clip, its fields from the name and the table of actors."""
    people: dict[str, dict[str, Any]] = {}
    for path in tables(root, files, DEMOGRAPHICS)[:1]:
        try:
            people = demographics(path)
        except ValueError as error:
            yield Skipped(str(path), str(error))
    heard: dict[str, dict[str, int]] = {}
    for path in tables(root, files, VOTED, RESULTS)[:1]:
        try:
            heard = listeners(path)
        except ValueError as error:
            yield Skipped(str(path), str(error))
    left_out = other_formats(files, _parse)
    for relative in files:
        parsed = _parse(relative)
        if parsed is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
        elif relative in left_out:
            yield Skipped(relative, OTHER_FORMAT, harmless=True)
        else:
            actor, sentence, emotion, intensity = parsed
            person = people.get(actor, {})
            said = heard.get(stem(relative).upper())
            voted = {VOTES: said and dict(said), "perceived": majority(said)} if heard else {}
            yield make(
                root,
                relative,
                speaker=actor,
                gender=person.get("gender") or ("female" if actor in WOMEN else "male"),
                language="en",
                text=SENTENCES[sentence],
                label=EMOTIONS[emotion],
                raw_label=emotion,
                extra={"sentence": sentence, "intensity": intensity}
                | {key: value for key, value in person.items() if key != "gender"}
                | voted,
            )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 7442 clips."""
    return PUBLISHED


CORPUS = Corpus(
    name="crema-d",
    summary="CREMA-D: 91 speakers, 6 classes, English",
    fits=fits,
    utterances=utterances,
    published=published,
    licence="Open Database License 1.0, contents under the Database Contents License 1.0",
)
