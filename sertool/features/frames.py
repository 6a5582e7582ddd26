"""Short-time Fourier analysis in blocks that stay in the cache: frames, windows, power.

Frames lie as in librosa: with `center`, frame t is centred on sample t * hop_length of a signal
that continues with zeros at both ends, so that n samples give 1 + n // hop_length frames.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import numpy as np

from sertool.audio.waveform import FULL_SCALE
from sertool.core.errors import ItemError
from sertool.core.memory import afford
from sertool.core.settings import setting
from sertool.features import fourier as fft

# Samples of one block of frames: 1 MB in float32. Measured best: smaller pays for the calls, larger
# falls out of the cache.
BLOCK = 1 << 18

RUN = 16  # blocks that are read and computed together of samples that are not all in memory

TRANSFORM = 32  # bytes a sample of a frame: its window in float64, the frame, its spectrum

KEPT = 31 << 20  # bytes: just below the largest block that moves glibc's thresholds

F = TypeVar("F", bound="Framing")

_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08)}
_BOXCARS = ("boxcar", "ones", "rect", "rectangular")


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[tuple[str, str], np.ndarray] = {}
        # glibc gives freed memory back to the system, to fault it in again for the next file,
        # until it has once seen a block of this size freed; the block itself is never touched
        np.empty(KEPT, np.uint8)


_scratch = _Scratch()


@dataclass(frozen=True)
class Framing:
    """How a waveform is cut into windowed frames; names and defaults are librosa's."""

    n_fft: int = setting(2048, "length of the FFT", "samples")
    hop_length: int = setting(512, "hop between frames", "samples")
    win_length: int | None = setting(None, "length of the window; none: n_fft", "samples")
    window: str = setting("hann", "window of scipy.signal, without parameters")
    center: bool = setting(True, "centre frames on their time, zero-padding both ends")
    precision: Literal["float32", "float64"] = setting("float32", "precision of the arithmetic")

    def __post_init__(self) -> None:
        if self.n_fft < 2 or self.hop_length < 1:
            raise ValueError("n_fft must be at least 2 and hop_length at least 1")
        afford(TRANSFORM * self.n_fft, f"n_fft={self.n_fft}")
        if self.win_length is not None and not 1 <= self.win_length <= self.n_fft:
            raise ValueError(f"win_length must lie between 1 and n_fft={self.n_fft}")
        window(self.window, self.win_length or self.n_fft, self.n_fft)

    @functools.cached_property
    def finer(self: F) -> F:
        """These settings with arithmetic in float64."""
        return dataclasses.replace(self, precision="float64")

    @property
    def before(self) -> int:
        """Samples of the first frame that lie before the signal."""
        return self.n_fft // 2 if self.center else 0


@functools.lru_cache(maxsize=32)
def window(name: str, length: int, n_fft: int) -> np.ndarray:
    """Return a periodic window of `length`, centred in zeros (n_fft,) float64.

    Raises ValueError for a name that scipy.signal does not know or that needs a parameter.
    """
    angle = 2 * np.pi * np.arange(length) / length
    if length == 1 or name in _BOXCARS:
        shape = np.ones(length)
    elif name in _COSINES:
        # a sum of cosines with alternating signs (Harris 1978, section V.C)
        shape = sum((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(_COSINES[name]))
    else:
        import scipy.signal  # slow to import, and the common windows do without

        try:
            shape = scipy.signal.get_window(name, length, fftbins=True)
        except ValueError as error:
            raise ValueError(f"window={name}: {error}") from None
    before = (n_fft - length) // 2
    padded = np.zeros(n_fft)
    padded[before : before + length] = shape
    padded.setflags(write=False)
    return padded


def frame_count(n_samples: int, framing: Framing) -> int:
    """Return how many frames `n_samples` give; raises ItemError where not even one fits."""
    padded = n_samples + 2 * framing.before
    if padded < framing.n_fft:
        raise ItemError(f"shorter than one frame: {n_samples} samples, n_fft={framing.n_fft}")
    return 1 + (padded - framing.n_fft) // framing.hop_length


class Samples(Protocol):
    """Samples (n,) as an array has them, or read as they are asked for: best in order."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


def runs(
    samples: Samples, framing: F, before: int | None = None, total: int | None = None
) -> Iterator[tuple[np.ndarray, F]]:
    """Yield (samples (m,), framing) of runs of frames, one after the other.

    Each run is whole blocks of `spectra` (but the last), so that it gives the frames that all of
    the samples give. before: samples of the first frame that lie before the signal; total: number
    of frames; both by default as the framing says.
    """
    before = framing.before if before is None else before
    total = frame_count(len(samples), framing) if total is None else total
    inner = dataclasses.replace(framing, center=False)
    n_fft, hop = framing.n_fft, framing.hop_length
    many = RUN * max(1, BLOCK // max(n_fft, hop))
    for first in range(0, total, many):
        begin = first * hop - before
        end = begin + (min(many, total - first) - 1) * hop + n_fft
        low, high = max(begin, 0), max(0, begin, min(end, len(samples)))
        part = samples[low:high]
        yield np.pad(part, (low - begin, end - begin - len(part) - (low - begin))), inner


def spectra(
    samples: np.ndarray, framing: Framing, only: np.ndarray | None = None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (rows, spectra (rows, 1 + n_fft // 2) complex, energies (rows,)) block by block.

    `samples` (n,) are float with full scale 1, or int16 with full scale 32768: the scale is folded
    into the window, which changes no bit because it is a power of two. `only` (m,) are the indices
    of the frames wanted, all by default; `rows` counts in them. The energy is the sum of squares
    of a windowed frame. Memory does not grow with n.
    """
    dtype = np.dtype(framing.precision)
    n_fft, hop = framing.n_fft, framing.hop_length
    shape = window(framing.window, framing.win_length or n_fft, n_fft)
    if samples.dtype == np.int16:
        shape = shape / FULL_SCALE
    shape = shape.astype(dtype)
    total = frame_count(len(samples), framing) if only is None else len(only)
    block = max(1, BLOCK // max(n_fft, hop))
    for first in range(0, total, block):
        rows = slice(first, min(first + block, total))
        frames = (
            _run(samples, framing, rows) if only is None else _few(samples, framing, only[rows])
        )
        windowed = scratch("windowed", frames.shape, dtype)
        np.multiply(frames, shape, out=windowed)
        # scipy's transform of float32 is vectorised over frames: 0.6 of NumPy's time
        yield rows, fft.rfft(windowed), np.vecdot(windowed, windowed)


def _run(samples: np.ndarray, framing: Framing, rows: slice) -> np.ndarray:
    """Return neighbouring frames (rows, n_fft), zero outside `samples`: a view of scratch."""
    signal = stretch(samples, framing, rows)
    shape = rows.stop - rows.start, framing.n_fft
    strides = framing.hop_length * signal.itemsize, signal.itemsize
    return np.ndarray(shape, signal.dtype, signal.data, strides=strides)


def stretch(samples: np.ndarray, framing: Framing, rows: slice) -> np.ndarray:
    """Return what neighbouring frames are cut of (n,), zero outside `samples`: scratch."""
    n_fft, hop, count = framing.n_fft, framing.hop_length, rows.stop - rows.start
    begin = rows.start * hop - framing.before
    end = begin + (count - 1) * hop + n_fft
    low, high = max(begin, 0), max(0, begin, min(end, len(samples)))
    signal = scratch("signal", (end - begin,), np.dtype(framing.precision))
    signal[: low - begin] = 0
    signal[low - begin : high - begin] = samples[low:high]
    signal[high - begin :] = 0
    return signal


def _few(samples: np.ndarray, framing: Framing, indices: np.ndarray) -> np.ndarray:
    """Return the frames of the given indices (m, n_fft), zero outside `samples`: scratch."""
    n_fft, step = framing.n_fft, samples.itemsize
    frames = scratch("frames", (len(indices), n_fft), np.dtype(framing.precision))
    begins = indices * framing.hop_length - framing.before
    inside = (begins >= 0) & (begins + n_fft <= len(samples))
    if inside.any():
        samples = np.ascontiguousarray(samples)
        shape = len(samples) - n_fft + 1, n_fft
        everywhere = np.ndarray(shape, samples.dtype, samples.data, strides=(step, step))
        frames[inside] = everywhere[begins[inside]]
    for i in np.flatnonzero(~inside).tolist():
        frame, begin = frames[i], int(begins[i])
        low, high = max(begin, 0), min(begin + framing.n_fft, len(samples))
        frame[: low - begin] = 0
        frame[low - begin : high - begin] = samples[low:high]
        frame[high - begin :] = 0
    return frames


def powers(
    samples: np.ndarray,
    framing: Framing,
    exponent: float = 2.0,
    bins: slice = slice(None),
    only: np.ndarray | None = None,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (rows, |spectrum| ** exponent (rows, bins), energies (rows,)) as `spectra` does.

    The power is reused for the next block: take what you need before you ask for more.
    """
    for rows, spectrum, energies in spectra(samples, framing, only):
        part = spectrum[:, bins]
        power = scratch("power", part.shape, part.real.dtype)
        np.abs(part, out=power)  # with a square: three quarters of the time of re ** 2 + im ** 2
        del part, spectrum  # the next block's takes its place, still in the cache
        if exponent == 2.0:
            np.square(power, out=power)
        elif exponent != 1.0:
            np.power(power, exponent, out=power)
        yield rows, power, energies


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return this thread's array called `name`, with what was left in it, of the given shape.

    Memory touched for the first time is dear, so blocks of all files go through the same few
    arrays. There is one per name and type, as large as the largest block asked for.
    """
    size = math.prod(shape)
    held = _scratch.arrays.get((name, dtype.str))
    if held is None or held.size < size:
        held = _scratch.arrays[name, dtype.str] = np.empty(size, dtype)
    return held[:size].reshape(shape)
