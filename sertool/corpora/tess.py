"""TESS, the Toronto emotional speech set.

Two women, aged 26 and 64, say "Say the word …" with the 200 words of the Northwestern University
Auditory Test No. 6 in six emotions and neutral: 2800 files.

Source: https://doi.org/10.5683/SP2/E8H2MF (single files, flat), or
https://tspace.library.utoronto.ca/handle/1807/24487 (folders by speaker and emotion).
Licence: CC BY-NC-ND 4.0.
Citation: Pichora-Fuller & Dupuis 2020, Toronto emotional speech set (TESS), Borealis.
Layout: OAF_back_angry.wav: speaker (OAF the older, YAF the younger woman), word, emotion, where ps
is pleasant surprise. Flat, or in folders OAF_angry … YAF_pleasant_surprised, which spell emotions
as they like (OAF_Fear, OAF_Pleasant_surprise, YAF_sad): the file's own name counts. One file is
spelt OA_bite_neutral in the older release. Any suffix, any folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, misnamed
from sertool.items import Item

EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}
SPELLINGS = {"oa": "OAF", "ya": "YAF"} | {
    word: "ps" for word in ("pleasant_surprise", "pleasant_surprised", "surprise", "surprised")
}
AGES = {"OAF": 64, "YAF": 26}
_WORDS = """
    back bar base bath bean beg bite boat bone book bought burn cab calm came cause chain chair
    chalk chat check cheek chief choice cool dab date dead death deep dime dip ditch dodge dog doll
    door fail fall far fat fit five food gap gas gaze germ get gin goal good goose gun half hall
    hash hate have haze hire hit hole home hurl hush jail jar join judge jug juice keen keep keg
    kick kill king kite knock late laud lean learn lease lid life limb live loaf long lore lose lot
    love luck make match merge mess met mill mob mode mood moon mop mouse nag name near neat nice
    note numb pad page pain pass pearl peg perch phone pick pike pole pool puff rag raid rain raise
    rat reach read red ring ripe road room rose rot rough rush said sail search seize sell shack
    shall shawl sheep shirt should shout size soap soup sour south sub such sure take talk tape
    team tell thin third thought thumb time tip tire ton tool tough turn vine voice void vote wag
    walk wash week wheat when which whip white wife wire witch yearn yes young youth"""
WORDS = frozenset(_WORDS.split())
PUBLISHED = Published(
    classes=dict.fromkeys(EMOTIONS.values(), len(AGES) * len(WORDS)),
    speakers=dict.fromkeys(AGES, len(EMOTIONS) * len(WORDS)),
)
_SPOKEN = sorted({*EMOTIONS, *(word for word, code in SPELLINGS.items() if code == "ps")})
_NAME = re.compile(
    rf"(?P<speaker>[OY]AF?)_(?P<word>[a-z]+)_(?P<emotion>{'|'.join(_SPOKEN)})", NAME_FLAGS
)
_SHAPE = re.compile(r"(?P<speaker>[a-z]{2,3})_(?P<word>[a-z]+)_(?P<emotion>[a-z_]+)", NAME_FLAGS)
_USUAL = "TESS's files are (OAF_back_angry)"
_KNOWN = {"speaker": ("oaf", "yaf", "oa", "ya"), "word": WORDS, "emotion": _SPOKEN}


def _parse(relative: str) -> tuple[str, str, str] | None:
    """Return (speaker, word, emotion code) of a file of TESS, None for another's."""
    match = _NAME.fullmatch(stem(relative))
    if match is None or match["word"].lower() not in WORDS:
        return None
    speaker, word, emotion = (match[i].lower() for i in (1, 2, 3))
    return SPELLINGS.get(speaker, speaker.upper()), word, SPELLINGS.get(emotion, emotion)


def fits(relative: str) -> bool:
    """Return whether the file is named as those of TESS are."""
    return _parse(relative) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance a file; what the name says is in its fields."""
    for relative in files:
        parsed = _parse(relative)
        if parsed is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
            continue
        speaker, word, emotion = parsed
        yield make(
            root,
            relative,
            speaker=speaker,
            gender="female",
            language="en",
            text=word,
            label=EMOTIONS[emotion],
            raw_label=emotion,
            extra={"age": AGES[speaker]},
        )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 2800 files."""
    return PUBLISHED


CORPUS = Corpus(
    name="tess",
    summary="TESS: 2 speakers (women), 7 classes, 200 words in English",
    fits=fits,
    utterances=utterances,
    published=published,
)
