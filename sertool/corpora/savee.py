"""SAVEE, the Surrey Audio-Visual Expressed Emotion database.

Four British men say 120 sentences each: 15 in each of six emotions and 30 neutral ones, 480 files.

Source: http://kahlan.eps.surrey.ac.uk/savee/ (AudioData.zip, on request).
Licence: free for research.
Citation: Haq & Jackson 2010, Multimodal Emotion Recognition, in Wang (ed.), Machine Audition,
IGI Global, pp. 398-423; Haq, Jackson & Edge 2009, AVSP, pp. 53-58.
Layout: AudioData/DC/a01.wav (AudioData/Info.txt there), or flat as DC_a01.wav: speaker, emotion
by its initial letters, number of the sentence within the emotion. Any suffix, any folder above;
where a recording is there as a film too (AudioVisualClip), its sound is taken.

Of the 15 sentences of an emotion three are common to all and two are said in neutral as well,
but no document says which numbers those are. So `text` is unknown, and the field `sentence` has
the emotion's letters and the number, which are one sentence for all four speakers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, OTHER_FORMAT, folders, misnamed, other_formats
from sertool.items import Item

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
SPEAKERS = ("DC", "JE", "JK", "KL")
PER_EMOTION = {name: 30 if name == "neutral" else 15 for name in EMOTIONS.values()}
PUBLISHED = Published(
    classes={name: len(SPEAKERS) * n for name, n in PER_EMOTION.items()},
    speakers=dict.fromkeys(SPEAKERS, sum(PER_EMOTION.values())),
)
_NAME = re.compile(
    rf"(?:(?P<speaker>{'|'.join(SPEAKERS)})_?)?(?P<emotion>[a-z]{{1,2}})(?P<number>\d\d)",
    NAME_FLAGS,
)
_SHAPE = re.compile(r"(?P<speaker>[a-z]{2}_)?(?P<emotion>[a-z]{1,2})(?P<number>\d+)", NAME_FLAGS)
_USUAL = "SAVEE's files are (DC/a01 or DC_a01)"
_KNOWN = {
    "speaker": [f"{speaker.lower()}_" for speaker in SPEAKERS],
    "emotion": EMOTIONS,
    "number": [f"{number:02d}" for number in range(1, 31)],
}


def parse(relative: str) -> tuple[str, str, str] | None:
    """Return a recording's (speaker, emotion code, sentence number), None for another's file."""
    match = _NAME.fullmatch(stem(relative))
    if match is None:
        return None
    above = (name.upper() for name in folders(relative))
    speaker = match["speaker"] or next((name for name in above if name in SPEAKERS), None)
    code, number = match["emotion"].lower(), match["number"]
    if speaker is None or code not in EMOTIONS:
        return None
    known = 1 <= int(number) <= PER_EMOTION[EMOTIONS[code]]
    return (speaker.upper(), code, number) if known else None


def fits(relative: str) -> bool:
    """Return whether the file is named as SAVEE's are, its speaker's folder above it or not."""
    return parse(relative) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance a recording; what the name says is in its fields."""
    left_out = other_formats(files, parse)
    for relative in files:
        parsed = parse(relative)
        if parsed is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
        elif relative in left_out:
            yield Skipped(relative, OTHER_FORMAT, harmless=True)
        else:
            speaker, code, number = parsed
            yield make(
                root,
                relative,
                speaker=speaker,
                gender="male",
                language="en",
                label=EMOTIONS[code],
                raw_label=code,
                extra={"sentence": code + number},
            )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 480 files."""
    return PUBLISHED


CORPUS = Corpus(
    name="savee",
    summary="SAVEE: 4 speakers (men), 7 classes, British English",
    fits=fits,
    utterances=utterances,
    published=published,
)
