"""MELD, the Multimodal EmotionLines Dataset: utterances from the television series Friends.

Dialogues of many speakers in seven classes, in three parts: 9989, 1109 and 2610 utterances.

Source: https://affective-meld.github.io (MELD.Raw.tar.gz, and the three archives within it).
Licence: GPL 3.0 for the annotations; the films belong to others.
Citation: Poria, Hazarika, Majumder, Naik, Cambria & Mihalcea 2019, MELD: A Multimodal Multi-Party
Dataset for Emotion Recognition in Conversations, ACL, pp. 527-536.
Layout: train_splits/dia0_utt0.mp4, dev_splits_complete/…, output_repeated_splits_test/…, or sound
taken from them (.wav): dialogue and utterance, numbered within a part; a folder above, or else the
only table in reach, says which part. All else is in train_sent_emo.csv, dev_sent_emo.csv and
test_sent_emo.csv beside or above (Utterance, Speaker, Emotion, Sentiment, Dialogue_ID, …).

Where the test part has final_videos_testdia1_utt2 beside dia1_utt2, the former is the one that the
table is about, and the latter is left out, as are films that no table names. Speakers go by their
name; the gender of the six main ones is known. A dialogue is a session. `text` is the words without
case and punctuation, the field `transcription` the table's own.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.corpora import Corpus, Published, Skipped, half, labels, make, stem
from sertool.corpora.iemocap_labels import sentence
from sertool.corpora.layout import NAME_FLAGS, OTHER_FORMAT, folders, other_formats, tables
from sertool.items import Item

PARTS = {"train": "train", "dev": "val", "test": "test"}
WORDS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
WORDS |= dict.fromkeys(("dev", "development", "val", "valid", "validation"), "dev")
MAIN = dict.fromkeys(("Monica", "Phoebe", "Rachel"), "female")
MAIN |= dict.fromkeys(("Chandler", "Joey", "Ross"), "male")
# utterances of train, dev and test in each class
COUNTS = {
    "anger": (1109, 153, 345),
    "disgust": (271, 22, 68),
    "fear": (268, 40, 50),
    "happiness": (1743, 163, 402),
    "neutral": (4710, 470, 1256),
    "sadness": (683, 111, 208),
    "surprise": (1205, 150, 281),
}
TABLE = re.compile(r"(?P<part>train|dev|test)_sent_emo\.csv", NAME_FLAGS)
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_NAME = re.compile(
    r"(?:(?P<final>final_videos_test)|(?P<part>train|dev|test)[_-])?"
    r"dia(?P<dialogue>\d{1,4})_utt(?P<utterance>\d{1,3})",
    NAME_FLAGS,
)
_LETTERS = re.compile(r"[^a-z]+")
# quotation marks and dashes, of Unicode and as the tables garble Windows's
_MARKS = {"\x91": "'", "\x92": "'", "\x93": '"', "\x94": '"', "\x96": "-", "\x97": "-"}
_PLAIN = str.maketrans(_MARKS | {"\x85": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "..."})
Row = dict[str, str]
Key = tuple[int, int]  # dialogue, utterance


@dataclass(frozen=True)
class Place:
    """Which utterance a recording is of; the part is empty where it is unknown."""

    part: str
    key: Key
    final: bool = False


def fits(relative: str) -> bool:
    """Return whether the file is named like MELD's."""
    return _NAME.fullmatch(stem(relative)) is not None


def part_of(names: Sequence[str]) -> str | None:
    """Return the part that the nearest of these folders names: train, dev or test."""
    for name in names:
        found = {WORDS[word] for word in _LETTERS.split(name.lower()) if word in WORDS}
        if len(found) == 1:
            return found.pop()
    return None


def read(path: Path) -> tuple[dict[Key, Row], list[tuple[int, str]]]:
    """Return a table's rows by dialogue and utterance, and what is wrong in which lines.

    Raises InputError for a file that is not such a table.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    rows: dict[Key, Row] = {}
    wrong: list[tuple[int, str]] = []
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{show(path)}: no column {missing[0]}; not a MELD table")
        for row in reader:
            if any(row[name] is None or not row[name].strip() for name in COLUMNS):
                wrong.append((reader.line_num, "an empty cell where a value is needed"))
                continue
            try:
                key = int(row["Dialogue_ID"]), int(row["Utterance_ID"])
            except ValueError:
                wrong.append((reader.line_num, "Dialogue_ID or Utterance_ID is not a number"))
                continue
            rows.setdefault(key, row)
    except csv.Error as error:
        raise InputError(f"{show(path)}: not a table: {error}") from error
    return rows, wrong


def nearest(root: Path, files: Sequence[str]) -> dict[str, Path]:
    """Return {part: its table}, of several the one least deep."""
    found: dict[str, Path] = {}
    for path in tables(root, files, TABLE):
        match = TABLE.fullmatch(path.name)
        if match:
            found.setdefault(match["part"].lower(), path)
    return found


def claims(root: Path, files: Sequence[str]) -> bool:
    """Return whether at least half of the files are named like MELD's, with a table in reach."""
    return half(fits, files) and bool(nearest(root, files))


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per recording that a table names, its fields from the table.

    Raises InputError where no table is in reach, or none of a part that has recordings.
    """
    paths = nearest(root, files)
    only = next(iter(paths)) if len(paths) == 1 else ""
    places = {relative: _place(root, relative, only) for relative in files}
    known = [place for place in places.values() if place is not None]
    final = {(place.part, place.key) for place in known if place.final}
    parts = {place.part for place in known if place.part}
    for part in sorted(parts) or PARTS:
        if part not in paths:
            raise InputError(
                f"{show(root)}: no {part}_sent_emo.csv in it or above, where MELD keeps its labels"
            )
    rows: dict[str, dict[Key, Row]] = {}
    for part in sorted(parts):
        rows[part], wrong = read(paths[part])
        for number, reason in wrong:
            yield Skipped(f"{paths[part]} line {number}", reason)
    left_out = other_formats(files, places.__getitem__)
    for relative in files:
        place = places[relative]
        if place is None:
            yield Skipped(relative, "not named like MELD's files (dia0_utt0)")
        elif not place.part:
            yield Skipped(relative, "no parent folder says train, dev or test")
        elif not place.final and (place.part, place.key) in final:
            yield Skipped(relative, "also present as final_videos_test…", harmless=True)
        elif relative in left_out:
            yield Skipped(relative, OTHER_FORMAT, harmless=True)
        elif place.key not in rows[place.part]:
            yield Skipped(relative, "not in any MELD table", harmless=True)
        else:
            yield _utterance(root, relative, place.part, rows[place.part][place.key])


def _place(root: Path, relative: str, only: str) -> Place | None:
    """Return where a file belongs, in the part `only` where nothing says it; None for others."""
    match = _NAME.fullmatch(stem(relative))
    if match is None:
        return None
    key = int(match["dialogue"]), int(match["utterance"])
    if match["final"]:
        return Place("test", key, final=True)
    if match["part"]:
        return Place(match["part"].lower(), key)
    # the folder given counts by the archive's names alone: people call theirs meld-test, too
    given = [root.name] if root.name in WORDS or "splits" in root.name else []
    return Place(part_of([*folders(relative), *given]) or only, key)


def _utterance(root: Path, relative: str, part: str, row: Row) -> Item | Skipped:
    """Return the utterance of a table's row."""
    speaker, label = _clean(row["Speaker"]), labels.noun(row["Emotion"])
    if label not in COUNTS:
        return Skipped(relative, f"emotion {show(row['Emotion'])!r} is none of the corpus's")
    transcription = _clean(row["Utterance"])
    further = {name.lower(): row.get(name) or None for name in ("Sentiment", "Season", "Episode")}
    return make(
        root,
        relative,
        speaker=speaker,
        gender=MAIN.get(speaker),
        language="en",
        text=sentence(transcription),
        session=f"{part} {int(row['Dialogue_ID'])}",
        label=label,
        raw_label=row["Emotion"].strip(),
        part=PARTS[part],
        extra={"transcription": transcription} | further,
    )


def _clean(text: str) -> str:
    """Return text with plain quotation marks and single spaces."""
    return " ".join(text.translate(_PLAIN).split())


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the parts that were found."""
    parts = {utterance.part for utterance in found}
    classes: Counter[str] = Counter()
    for label, counts in COUNTS.items():
        for part, n in zip(PARTS.values(), counts, strict=True):
            classes[label] += n if part in parts else 0
    return Published(dict(classes))


CORPUS = Corpus(
    name="meld",
    summary="MELD: dialogues from Friends, 7 classes, English",
    fits=fits,
    utterances=utterances,
    published=published,
    claims=claims,
    licence="GPL 3.0 for the annotations; the films belong to others",
)
