"""A store whose features are normalised by speaker, for training and testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats.store import Store
from sertool.models.speakers import Speaker, check, fit, recordings, speaker_of
from sertool.models.statistics import Statistics


class SpeakerStore(Store):
    """A store whose features are normalised by speaker; a speaker's statistics are fitted once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if len(self.shape) not in (1, 2):  # dims, or layers and dims
            self.close()
            raise InputError(
                f"{show(path)}: --speaker-normalisation needs features over time (mel, mfcc, …),"
                f" and this store holds {self.kind}"
            )
        self._recordings: dict[Speaker, list[int]] | None = None
        self._fitted: dict[Speaker, Statistics] = {}

    def features(self, i: int) -> np.ndarray:
        """Return item `i` (frames, dims) normalised, float32; InputError for an unknown speaker."""
        speaker = speaker_of(self.items()[i])
        if speaker is None:
            check(self.items(), [i], self.path)
            raise AssertionError
        if speaker not in self._fitted:
            self._fitted[speaker] = self._fit(speaker)
        return self._fitted[speaker].apply(super().features(i))

    def batch(self, positions: Sequence[int]) -> list[np.ndarray]:
        """Return what `features` does of each item."""
        return [self.features(i) for i in positions]

    def _fit(self, speaker: Speaker) -> Statistics:
        if self._recordings is None:
            self._recordings = recordings(self.items())
        plain = super().features
        try:
            return fit(plain(i) for i in self._recordings[speaker])
        except InputError as error:
            name = "/".join(filter(None, speaker))
            raise InputError(f"{show(self.path)}, speaker {show(name)}: {error}") from error


def opened(path: Path, by_speaker: bool) -> Store:
    """Return the store at `path`, its features normalised by speaker where asked for."""
    return SpeakerStore(path) if by_speaker else Store(path)
