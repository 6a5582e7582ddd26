"""EmoDB, the Berlin Database of Emotional Speech.

Ten actors say ten sentences in German with seven emotions: the 535 utterances that listeners
recognised and found natural.

Source: http://emodb.bilderbar.info/ (folder wav of download.zip).
Licence: free to use; CC0 where it is redistributed.
Citation: Burkhardt, Paeschke, Rolfes, Sendlmeier & Weiss 2005, A Database of German Emotional
Speech, Interspeech, pp. 1517-1520.
Layout: 03a01Fa.wav, where characters 1-2 are the speaker, 3-5 the sentence, 6 the emotion by its
German initial, and 7 the version. Any suffix, any case, any folder.

Emotion A (Angst) is `anxiety/fear` in the documentation. It is the class `fear` here, because the
papers that report figures on EmoDB, and on EmoDB beside other corpora, compare it as fear; the map
`fser8` renames it to anxiety.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, misnamed
from sertool.items import Item

EMOTIONS = {
    "W": "anger",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "T": "sadness",  # Trauer
    "N": "neutral",
}
MEN = ("03", "10", "11", "12", "15")
WOMEN = ("08", "09", "13", "14", "16")
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
PUBLISHED = Published(
    classes={
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "sadness": 62,
        "neutral": 79,
    },
    speakers={
        "03": 49,
        "08": 58,
        "09": 43,
        "10": 38,
        "11": 55,
        "12": 35,
        "13": 61,
        "14": 69,
        "15": 56,
        "16": 71,
    },
)
_NAME = re.compile(
    rf"(?P<speaker>{'|'.join(MEN + WOMEN)})(?P<text>{'|'.join(SENTENCES)})"
    rf"(?P<emotion>[{''.join(EMOTIONS)}])(?P<version>[a-z]?)",
    NAME_FLAGS,
)
_SHAPE = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[a-z]\d\d)(?P<emotion>[a-z])[a-z]?", NAME_FLAGS)
_USUAL = "EmoDB's files are (03a01Fa)"
_KNOWN = {
    "speaker": MEN + WOMEN,
    "sentence": SENTENCES,
    "emotion": [code.lower() for code in EMOTIONS],
}


def fits(relative: str) -> bool:
    """Return whether the file is named as EmoDB's are."""
    return _NAME.fullmatch(stem(relative)) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance a file; what the name says is in its fields."""
    for relative in files:
        match = _NAME.fullmatch(stem(relative))
        if match is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
            continue
        sentence, emotion = match["text"].lower(), match["emotion"].upper()
        yield make(
            root,
            relative,
            speaker=match["speaker"],
            gender="male" if match["speaker"] in MEN else "female",
            language="de",
            text=SENTENCES[sentence],
            label=EMOTIONS[emotion],
            raw_label=emotion,
            extra={"sentence": sentence, "version": match["version"].lower() or None},
        )


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 535 files."""
    return PUBLISHED


CORPUS = Corpus(
    name="emodb",
    summary="Berlin EmoDB: 10 speakers, 7 classes, German",
    fits=fits,
    utterances=utterances,
    published=published,
)
