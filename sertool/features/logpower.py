"""The logarithmic power spectrogram of Ma et al. (Interspeech 2018): a linear grid up to a top."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sertool.core.errors import UsageError
from sertool.core.settings import setting
from sertool.features import Kind, Shown
from sertool.features.frames import Framing, Samples, frame_count, powers, runs, window
from sertool.features.levels import UNITS

LARGEST = 1 << 16  # bins: a typo must not make a transform of a gigabyte


@dataclass(frozen=True)
class Settings:
    """Settings in seconds and Hz, so that they hold at any sample rate; the paper's by default."""

    win: float = setting(0.04, "length of the window", "s")
    hop: float = setting(0.01, "hop between frames", "s")
    window: str = setting("hamming", "window of scipy.signal, without parameters")
    grid: float = setting(10.0, "spacing of the bins (FFTs of 1 / grid seconds)", "Hz")
    top: float = setting(4000.0, "upper limit of the bins, exclusive", "Hz")
    floor: float = setting(1e-10, "added to the power before the logarithm")

    def __post_init__(self) -> None:
        if not (self.win > 0 and self.hop > 0 and self.grid > 0):
            raise ValueError("win, hop and grid must be above 0")
        if self.win * self.grid > 1:
            raise ValueError(f"grid={self.grid:g} Hz needs win of at most {1 / self.grid:g} s")
        if not 1 <= self.bins <= LARGEST:
            raise ValueError(f"top must be 1 to {LARGEST} steps of grid")
        if self.floor <= 0:
            raise ValueError("floor must be above 0")
        window(self.window, 2, 2)

    @property
    def bins(self) -> int:
        """Values a frame."""
        return round(self.top / self.grid)


def framing(sample_rate: int, settings: Settings) -> Framing:
    """Return the settings in samples; UsageError where they do not fit the rate (Hz)."""
    if settings.top > sample_rate / 2:
        raise UsageError(
            f"top={settings.top:g} Hz is above half the sample rate of {sample_rate} Hz;"
            " lower it with --set, or featurize with a higher --sample-rate"
        )
    n_fft = round(sample_rate / settings.grid)
    win, hop = (round(seconds * sample_rate) for seconds in (settings.win, settings.hop))
    if min(win, hop) < 1:
        raise UsageError(f"win and hop must each hold a sample at {sample_rate} Hz")
    # float64, because here bins 50 dB below their frame matter, and almost every frame has some:
    # what float32 leaves doubtful would be all of it
    return Framing(n_fft, hop, min(win, n_fft), settings.window, center=False, precision="float64")


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return 10 log10(|X|² + floor) in dB, (frames, top / grid) float32, of samples (n,).

    With the default settings at 16 kHz (Sec. 4.1): windows of 640 samples, 160 apart, none beyond
    either end, transforms of 1600, bins 0 to 399. Samples that do not fill one window are padded
    with zeros at the end.
    """
    return np.concatenate(list(blocks(samples, sample_rate, settings)))


def blocks(samples: Samples, sample_rate: int, settings: Settings) -> Iterator[np.ndarray]:
    """Yield what `compute` returns, run by run, of samples of any length."""
    framed = framing(sample_rate, settings)
    win = framed.win_length or framed.n_fft
    before = (framed.n_fft - win) // 2  # the window stands in the middle of its transform
    after = framed.n_fft - win - before + max(0, win - len(samples))
    total = frame_count(before + len(samples) + after, framed)
    for part, inner in runs(samples, framed, before, total):
        yield _levels(part, inner, settings)


def _levels(samples: np.ndarray, framed: Framing, settings: Settings) -> np.ndarray:
    result = np.empty((frame_count(len(samples), framed), settings.bins), np.float32)
    for rows, power, _ in powers(samples, framed, bins=slice(0, settings.bins)):
        power += settings.floor
        np.log10(power, out=power)
        np.multiply(power, 10, out=result[rows], casting="same_kind")
    return result


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second."""
    return sample_rate / framing(sample_rate, settings).hop_length


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return one line where the grid does not divide the rate, and bins are slightly off."""
    n_fft = framing(sample_rate, settings).n_fft
    distance = sample_rate / n_fft
    if abs(distance - settings.grid) < 1e-9 * settings.grid:
        return []
    return [
        f"bins lie {distance:.4f} Hz apart, not {settings.grid:g}: a transform has whole samples,"
        f" {n_fft} at {sample_rate} Hz"
    ]


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return the grid of frequencies, and the power in dB."""
    return Shown("frequency, Hz", (0.0, settings.top), UNITS["db"])


KIND = Kind(
    name="logpower",
    summary="log power spectrogram on a linear grid, 0 to 4 kHz by 10 Hz (Ma et al. 2018)",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, top / grid)",
    remarks=remarks,
    shown=shown,
    blocks=blocks,
)
