"""The sound of rooms, from recordings of their impulse responses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.audio import decoding as audio
from sertool.augmentations import Failed
from sertool.augmentations.recordings import Recordings, scan


def reverberant(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return `samples` (n,) as a room with the impulse `response` (m,) gives them back: float32.

    The direct sound, the response's largest peak, keeps its place, so that labels in time stay
    true; what comes before and after the item is cut off. The energy is that of `samples`.
    Silence stays.
    """
    from scipy.signal import fftconvolve

    dry = samples.astype(np.float64)
    direct = int(np.argmax(np.abs(response)))
    wet = fftconvolve(dry, response.astype(np.float64))[direct : direct + len(dry)]
    before, after = float(np.dot(dry, dry)), float(np.dot(wet, wet))
    if before == 0 or after == 0:
        return samples.astype(np.float32, copy=False)
    return (wet * np.sqrt(before / after)).astype(np.float32)


@dataclass(frozen=True)
class Reverb:
    """A room whose impulse response is one of the folder's recordings, drawn.

    Of several microphones the first: their mean would be a comb filter.
    """

    folder: Path
    found: Recordings = dataclasses.field(default=Recordings(()), init=False)

    help = (
        "as heard in a room: impulse responses from FOLDER (the first channel of several);"
        " direct sound and energy stay"
    )

    def prepared(self, rate: int, failed: Failed) -> Reverb:
        """Return this with its recordings found; InputError where the folder has none."""
        made = dataclasses.replace(self)
        object.__setattr__(made, "found", scan("reverb", self.folder, failed, "left"))
        return made

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the recordings' content, not their names."""
        return [self.found.recorded]

    def __call__(
        self, samples: np.ndarray, rate: int, random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the samples in the room, and the content of its response."""
        chosen = self.found.draw(random)
        response = audio.resample(chosen.read(), chosen.sample_rate, rate)
        return reverberant(samples, response), {"audio": chosen.content}
