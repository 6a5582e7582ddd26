"""MES, a Mandarin emotional speech database.

Acted sentences in Mandarin, as the papers of its authors use them.

Source: the authors, on request.
Licence: on request.
Citation: Fu, Mao & Chen 2008, Speaker Independent Emotion Recognition Based on SVM/HMMs Fusion
System, ICALIP, pp. 61-65, where Huang, Dong, Mao & Zhan 2014 (ACM Multimedia) take it from.
Layout: F1/anger/t01.wav, or flat as F1_anger_t01.wav: speaker (F a woman, M a man, and a number),
class word, text; t01_2 is the second time that it is said. Any suffix, any case, any folder above.

The archive was never published, nor were its names or counts; so this is the layout that sertool
takes, and nothing is compared. Corpus `folder` takes class-named folders of any names, and `csv` a
table of any files.
"""

from __future__ import annotations

from sertool.corpora import Corpus
from sertool.corpora.acted import Layout

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
LAYOUT = Layout(
    speaker=r"[FM]\d{1,2}",
    item=r"t\d{1,3}",
    classes=CLASSES,
    language="zh",
    example="F1/anger/t01 or F1_anger_t01",
)
CORPUS = Corpus(
    name="mes",
    summary="MES: Mandarin, up to 7 classes, in the layout that its module describes",
    fits=LAYOUT.fits,
    utterances=LAYOUT.utterances,
)
