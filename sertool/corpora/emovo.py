"""EMOVO, the Italian emotional speech corpus of the Fondazione Ugo Bordoni.

Three women and three men say 14 sentences in six emotions and neutral: 588 files.

Source: http://voice.fub.it/activities/corpora/emovo/index.html (emovo.zip).
Licence: non-commercial use, with acknowledgement.
Citation: Costantini, Iaderola, Paoloni & Todisco 2014, EMOVO Corpus: an Italian Emotional Speech
Database, LREC, pp. 3501-3504.
Layout: f1/dis-f1-b1.wav: emotion by the first letters of its Italian name, speaker, sentence
(b short, l long, n nonsense, d question). Any suffix, any folder; stereo as published, or mixed
down: where folders called mono and stereo hold the same recording, the stereo one is taken.

The sentences are those of the corpus's own description (La struttura di EMOVO, p. 8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.layout import NAME_FLAGS, folders, misnamed
from sertool.items import Item

EMOTIONS = {
    "dis": "disgust",  # disgusto
    "gio": "happiness",  # gioia
    "neu": "neutral",  # neutro
    "pau": "fear",  # paura
    "rab": "anger",  # rabbia
    "sor": "surprise",  # sorpresa
    "tri": "sadness",  # tristezza
}
SPEAKERS = {
    "f1": "female",
    "f2": "female",
    "f3": "female",
    "m1": "male",
    "m2": "male",
    "m3": "male",
}
SENTENCES = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
}
PUBLISHED = Published(
    classes=dict.fromkeys(EMOTIONS.values(), len(SPEAKERS) * len(SENTENCES)),
    speakers=dict.fromkeys(SPEAKERS, len(EMOTIONS) * len(SENTENCES)),
)
_NAME = re.compile(
    rf"(?P<emotion>{'|'.join(EMOTIONS)})-(?P<speaker>{'|'.join(SPEAKERS)})"
    rf"-(?P<sentence>{'|'.join(SENTENCES)})",
    NAME_FLAGS,
)
_SHAPE = re.compile(
    r"(?P<emotion>[a-z]{3})-(?P<speaker>[a-z]\d+)-(?P<sentence>[a-z]\d+)", NAME_FLAGS
)
_USUAL = "EMOVO's files are (dis-f1-b1)"
_KNOWN = {"emotion": EMOTIONS, "speaker": SPEAKERS, "sentence": SENTENCES}


def fits(relative: str) -> bool:
    """Return whether the file is named as EMOVO's are."""
    return _NAME.fullmatch(stem(relative)) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance a recording; what the name says is in its fields."""
    stereo = {stem(relative).lower() for relative in files if _within("stereo", relative)}
    for relative in files:
        match = _NAME.fullmatch(stem(relative))
        if match is None:
            yield misnamed(relative, _USUAL, _SHAPE, _KNOWN)
            continue
        if stem(relative).lower() in stereo and _within("mono", relative):
            yield Skipped(relative, "the same recordings in mono", harmless=True)
            continue
        emotion, speaker, sentence = (match[i].lower() for i in (1, 2, 3))
        yield make(
            root,
            relative,
            speaker=speaker,
            gender=SPEAKERS[speaker],
            language="it",
            text=SENTENCES[sentence],
            label=EMOTIONS[emotion],
            raw_label=emotion,
            extra={"sentence": sentence},
        )


def _within(word: str, relative: str) -> bool:
    """Return whether a folder above the file has the word in its name."""
    return any(word in name.lower() for name in folders(relative))


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 588 files."""
    return PUBLISHED


CORPUS = Corpus(
    name="emovo",
    summary="EMOVO: 6 speakers, 7 classes, Italian",
    fits=fits,
    utterances=utterances,
    published=published,
)
