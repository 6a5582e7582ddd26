"""The layout that DES and MES are taken in: speaker, class word and item, in folders or flat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sertool.core.paths import to_text
from sertool.corpora import Skipped, labels, make
from sertool.corpora.layout import NAME_FLAGS
from sertool.items import Item

GENDERS = {"F": "female", "M": "male"}


@dataclass(frozen=True)
class Layout:
    """`F1/anger/s1.wav` or `F1_anger_s1.wav`, whatever lies above.

    `speaker` and `item` are patterns of the two codes, without groups; `item` is of the sentence
    alone, and `_2` after it numbers a repetition or a piece. `classes` are the nouns that the
    corpus has; their usual synonyms name them as well.
    """

    speaker: str
    item: str
    classes: tuple[str, ...]
    language: str
    example: str

    def parse(self, relative: str) -> tuple[str, str, str, str | None] | None:
        """Return (speaker, class word, item, repetition) of a recording, None for another file."""
        path = PurePosixPath(relative)
        item = rf"(?P<item>{self.item})(?:_(?P<repetition>\d{{1,3}}))?"
        shape = rf"(?P<speaker>{self.speaker})(?P<gap>[/_])(?P<word>[a-z]+)(?P=gap){item}"
        for name in ("/".join([*path.parts[-3:-1], path.stem]), path.stem):
            match = re.fullmatch(shape, name, NAME_FLAGS)
            if match and labels.noun(match["word"]) in self.classes:
                codes = match["speaker"].upper(), match["word"], match["item"].lower()
                return *codes, match["repetition"]
        return None

    def fits(self, relative: str) -> bool:
        """Return whether the file lies as the corpus's are taken."""
        return self.parse(relative) is not None

    def utterances(self, root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
        """Yield one utterance a recording; the item's code stands for its sentence."""
        for relative in files:
            parsed = self.parse(relative)
            if parsed is None:
                why = f"not in this corpus's layout ({self.example})"
                yield Skipped(relative, f"{why}; --corpus folder or csv may read it")
                continue
            speaker, word, item, repetition = parsed
            yield make(
                root,
                relative,
                speaker=speaker,
                gender=GENDERS[speaker[0]],
                language=self.language,
                text=item,
                label=labels.noun(word),
                raw_label=to_text(word),
                extra={"repetition": repetition},
            )
