"""ESD, the Emotional Speech Dataset.

Ten speakers of Mandarin and ten of English speak 350 sentences each in five emotions: 35000 files.

Source: https://github.com/HLTSingapore/Emotional-Speech-Data (the archive against a licence form).
Licence: for research only.
Citation: Zhou, Sisman, Liu & Li 2022, Emotional Voice Conversion: Theory, Databases and ESD, Speech
Communication 137: 1-18; the same 2021, ICASSP, pp. 920-924.
Layout: 0001/Angry/0001_000351.wav, or 0001/Angry/train/0001_000351.wav (train, evaluation, test):
speaker, and the number of the file, which runs through the emotions in blocks of 350 sentences.
0001 … 0010 speak Mandarin, 0011 … 0020 English; their genders are in the archive's ReadMe.txt.
Beside, 0001/0001.txt has a line for each file: name, sentence, emotion, with tabs between. Any
suffix, any folder above.

The sentences are parallel: the same number within a block is the same sentence for every emotion
and every speaker of a language. The tables spell some of them in several ways, and come in several
encodings, so `text` is the most frequent spelling of a sentence; without any table it is unknown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, class_folder, folders, misnamed, tables
from sertool.items import Item

SENTENCES = 350
EMOTIONS = ("neutral", "anger", "happiness", "sadness", "surprise")  # in the order of the blocks
CODES = dict(zip(EMOTIONS, ("Neutral", "Angry", "Happy", "Sad", "Surprise"), strict=True))
SPEAKERS = [f"{number:04d}" for number in range(1, 21)]
WOMEN = frozenset(f"{number:04d}" for number in (1, 2, 3, 7, 9, 15, 16, 17, 18, 19))
PARTS = {"train": "train", "evaluation": "val", "test": "test"}
MAX_LINE = 1000  # characters; a longer line is not a sentence
TABLE = re.compile(r"00(?:0[1-9]|1\d|20)\.txt", NAME_FLAGS)
_NAME = re.compile(r"(?P<speaker>00(?:0[1-9]|1\d|20))_(?P<number>00[01]\d{3})", NAME_FLAGS)
_SHAPE = re.compile(r"(?P<speaker>\d{4})_(?P<number>\d{6})", NAME_FLAGS)
_USUAL = "ESD's files (0001_000351)"
_KNOWN = {
    "speaker": SPEAKERS,
    "number": {f"{number:06d}" for number in range(1, len(EMOTIONS) * SENTENCES + 1)},
}
_LINE = re.compile(
    r"\s*(?P<name>00\d\d_\d{6})\s+(?P<text>\S.*?)"
    r"(?:\s+(?:neutral|angry|happy|sad|surprise|中立|生气|快乐|伤心|惊喜))?\s*",
    re.IGNORECASE,
)


def language(speaker: str) -> str:
    """Return the language of a speaker."""
    return "zh" if speaker <= "0010" else "en"


def _parse(relative: str) -> tuple[str, int] | None:
    """Return (speaker, number from 0) of a file of ESD, None for another's."""
    match = _NAME.fullmatch(stem(relative))
    if match is None or match["number"] not in _KNOWN["number"]:
        return None
    return match["speaker"], int(match["number"]) - 1


def fits(relative: str) -> bool:
    """Return whether the file is named like ESD's."""
    return _parse(relative) is not None


def decode(content: bytes, speaker: str) -> str:
    """Return the text of a table: UTF-16 by its mark, UTF-8, else GB 18030 or Latin-1."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030" if language(speaker) == "zh" else "cp1252", "replace")


def sentences(paths: Sequence[Path]) -> dict[tuple[str, int], str]:
    """Return {(language, number of the sentence from 0): its most frequent spelling}."""
    spellings: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for path in paths:
        try:
            lines = decode(path.read_bytes(), path.stem).splitlines()
        except OSError:
            continue
        for line in lines:
            match = _LINE.fullmatch(line) if len(line) < MAX_LINE else None
            parsed = _parse(match["name"]) if match else None
            if match and parsed:
                text = " ".join(unicodedata.normalize("NFC", match["text"]).split())
                spellings[language(parsed[0]), parsed[1] % SENTENCES][text] += 1
    return {key: _most_frequent(counts) for key, counts in spellings.items()}


def _most_frequent(counts: Counter[str]) -> str:
    """Return the text counted most often, of several the first in order."""
    return min(counts, key=lambda text: (-counts[text], text))


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per file, its fields from its name, its folders and the tables.

    A folder that contradicts the number of a file is named with the file.
    """
    texts = sentences(tables(root, files, TABLE))
    for relative in files:
        parsed = _parse(relative)
        if parsed is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
            continue
        speaker, number = parsed
        label = EMOTIONS[number // SENTENCES]
        folder = class_folder(relative)
        if folder not in (None, label):
            yield Skipped(relative, f"its number stands for {label}, its folder for {folder}")
            continue
        part = next((PARTS[n.lower()] for n in folders(relative) if n.lower() in PARTS), None)
        yield make(
            root,
            relative,
            speaker=speaker,
            gender="female" if speaker in WOMEN else "male",
            language=language(speaker),
            text=texts.get((language(speaker), number % SENTENCES)),
            label=label,
            raw_label=CODES[label],
            part=part,
            extra={"sentence": f"{number % SENTENCES + 1:03d}"},
        )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the languages that were found: 1750 files per speaker."""
    spoken = {utterance.language for utterance in found}
    speakers = [speaker for speaker in SPEAKERS if language(speaker) in spoken]
    return Published(
        classes=dict.fromkeys(EMOTIONS, len(speakers) * SENTENCES),
        speakers=dict.fromkeys(speakers, len(EMOTIONS) * SENTENCES),
    )


CORPUS = Corpus(
    name="esd",
    summary="ESD: 20 speakers, 5 classes, Mandarin and English",
    fits=fits,
    utterances=utterances,
    published=published,
    licence="for research only",
)
