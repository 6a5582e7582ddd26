"""DES, the Danish Emotional Speech database.

Two women and two men, actors, say two words, nine sentences and two passages in four emotions and
neutral: 260 recordings, about half an hour.

Source: Center for PersonKommunikation, Aalborg University (http://kom.aau.dk/~tb/speech/Emotions/
in the Internet Archive); the recordings on request.
Licence: on request.
Citation: Engberg, Hansen, Andersen & Dalsgaard 1997, Design, Recording and Verification of a Danish
Emotional Speech Database, Eurospeech, pp. 1695-1698.
Layout: F1/anger/s1.wav, or flat as F1_anger_s1.wav: speaker (F1, F2, M1, M2), class word, item (w1
and w2 the words, s1 to s9 the sentences, p1 and p2 the passages). Any suffix, any case, any folder
above. p1_2 is the second piece of a passage that was cut.

The archive has gone from hand to hand, as it was recorded and cut into utterances, and no document
fixes its names; so this is the layout that sertool takes, not one that was published. Corpus
`folder` takes class-named folders of any names, and `csv` a table of any files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sertool.corpora import Corpus, Published
from sertool.corpora.acted import Layout
from sertool.items import Item

CLASSES = ("anger", "happiness", "neutral", "sadness", "surprise")
SPEAKERS = ("F1", "F2", "M1", "M2")
ITEMS = ("w1", "w2", *(f"s{number}" for number in range(1, 10)), "p1", "p2")
LAYOUT = Layout(
    speaker="[FM][12]",
    item="w[12]|s[1-9]|p[12]",
    classes=CLASSES,
    language="da",
    example="F1/anger/s1 or F1_anger_s1",
)


def published(root: Path, found: Sequence[Item]) -> Published | None:
    """Return the counts of the 260 recordings, or None where some are cut into pieces."""
    if any(utterance.extra["repetition"] for utterance in found):
        return None
    return Published(
        classes=dict.fromkeys(CLASSES, len(SPEAKERS) * len(ITEMS)),
        speakers=dict.fromkeys(SPEAKERS, len(CLASSES) * len(ITEMS)),
    )


CORPUS = Corpus(
    name="des",
    summary="DES: 4 speakers, 5 classes, Danish, in the layout that its module describes",
    fits=LAYOUT.fits,
    utterances=LAYOUT.utterances,
    published=published,
)
