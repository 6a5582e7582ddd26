"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song (audio only).

24 professional actors (odd numbers men, even numbers women) say and sing two sentences in North
American English: 1440 files of speech in eight classes; 1012 of song in six, none by actor 18.

Source: https://doi.org/10.5281/zenodo.1188976 (Audio_Speech_Actors_01-24.zip, Audio_Song_…).
Licence: CC BY-NC-SA 4.0.
Citation: Livingstone & Russo 2018, PLoS ONE 13(5): e0196391, doi 10.1371/journal.pone.0196391.
Layout: Actor_NN/MM-VV-EE-II-SS-RR-AA.wav, where the fields are modality (03 audio only), vocal
channel (01 speech, 02 song), emotion, intensity, statement, repetition and actor. The folders may
be missing, and the suffix may be any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, misnamed
from sertool.items import Item

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
ACTORS = [f"{actor:02d}" for actor in range(1, 25)]
_NAME = re.compile(
    r"(?P<modality>0[123])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>0[1-9]|1\d|2[0-4])",
    NAME_FLAGS,
)
_SHAPE = re.compile(
    r"(?P<modality>\d\d)-(?P<channel>\d\d)-(?P<emotion>\d\d)-(?P<intensity>\d\d)"
    r"-(?P<statement>\d\d)-(?P<repetition>\d\d)-(?P<actor>\d\d)",
    NAME_FLAGS,
)
_USUAL = "RAVDESS's files are (03-01-05-01-01-01-01)"
_KNOWN = {
    "modality": ("01", "02", "03"),
    "channel": CHANNELS,
    "emotion": EMOTIONS,
    "intensity": INTENSITIES,
    "statement": STATEMENTS,
    "repetition": ("01", "02"),
    "actor": ACTORS,
}
_AUDIO_ONLY = "03"


def fits(relative: str) -> bool:
    """Return whether the file is named as RAVDESS's are, films among them."""
    return _NAME.fullmatch(stem(relative)) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance a sound file; what the name says is in its fields."""
    for relative in files:
        match = _NAME.fullmatch(stem(relative))
        if match is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
        elif match["modality"] != _AUDIO_ONLY:
            yield Skipped(relative, "films (modality 01 or 02), not sound alone", harmless=True)
        else:
            actor = match["actor"]
            yield make(
                root,
                relative,
                speaker=actor,
                gender="male" if int(actor) % 2 else "female",
                language="en",
                text=STATEMENTS[match["statement"]],
                label=EMOTIONS[match["emotion"]],
                raw_label=match["emotion"],
                extra={
                    "vocal_channel": CHANNELS[match["channel"]],
                    "intensity": INTENSITIES[match["intensity"]],
                    "statement": match["statement"][1:],
                    "repetition": match["repetition"][1:],
                },
            )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the published counts of what was found: speech, song, or both.

    Speech: 8 classes × 2 sentences × 2 repetitions × 2 intensities, neutral in one intensity
    alone, 60 files an actor. Song: the first six classes likewise, 44 files an actor.
    """
    classes: Counter[str] = Counter()
    speakers: Counter[str] = Counter()
    for channel in {utterance.extra["vocal_channel"] for utterance in found}:
        emotions = list(EMOTIONS.values())[: 8 if channel == "speech" else 6]
        actors = [actor for actor in ACTORS if channel == "speech" or actor != "18"]
        for emotion in emotions:
            classes[emotion] += len(actors) * (4 if emotion == "neutral" else 8)
        for actor in actors:
            speakers[actor] += 8 * len(emotions) - 4
    return Published(dict(classes), dict(speakers))


CORPUS = Corpus(
    name="ravdess",
    summary="RAVDESS speech and song: 24 actors, 8 classes, English",
    fits=fits,
    utterances=utterances,
    published=published,
)
