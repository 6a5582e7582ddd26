"""Spectrograms as pictures: level to colour by a table, then resized; nothing is ever plotted.

The defaults are those of Dossou & Gbenou 2021 (FSER), section 3: a mel spectrogram of 512 samples
a frame in 64 × 64 pixels. The spectrograms of Badshah et al. 2017, section II.A, are reached by
settings alone: base=spectrogram, win_length=256, hop_length=128, window=hamming, colormap=jet,
height=256, width=256. Where others add a small power, 10 log10(x + 1e-10), it is a limit here, 10
log10(max(x, 1e-10)), as in librosa: the two differ by less than a millionth of the range for a tone
at full scale, by half a thousandth for one 37 dB below.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sertool.core.errors import ItemError
from sertool.core.settings import setting
from sertool.features import Kind, Shown, colormaps, mel, spectrogram
from sertool.features.frames import scratch
from sertool.features.levels import to_scale

LARGEST = 4096  # pixels per side: a typo must not make a picture of a gigabyte
FAMILIAR = 1 << 18  # levels whose colours go through memory that is kept, 3 MB: new memory is dear
BAND = 16  # output pixels computed at a time: few enough to skip most inputs they do not touch

_SHARED = {field.name for field in dataclasses.fields(spectrogram.Settings)} - {"scale"}
_OF_MEL = {f.name: f.default for f in dataclasses.fields(mel.Bands) if f.name not in _SHARED}


@dataclass(frozen=True)
class Settings(mel.Bands):
    """Settings of a picture; those of the sound have the names that they have in `mel`."""

    n_fft: int = setting(512, "length of the FFT", "samples")
    ref: Literal["max"] = setting("max", "the highest level is always that of the picture")
    top_db: float = setting(80.0, "range of levels below the highest", "dB")
    base: Literal["mel", "spectrogram"] = setting("mel", "mel bands, or all FFT bins")
    height: int = setting(64, "height of the picture, highest frequency on top", "pixels")
    width: int = setting(64, "width of the picture, from start to end", "pixels")
    colormap: str = setting("mpl-jet", "jet (MATLAB's), mpl-jet (matplotlib's jet) or viridis")
    color: bool = setting(True, "colour (3 channels); false: the level itself (1 channel)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_db is None or self.top_db <= 0:
            raise ValueError("top_db must be above 0")
        if not (1 <= self.height <= LARGEST and 1 <= self.width <= LARGEST):
            raise ValueError(f"height and width must lie between 1 and {LARGEST} pixels")
        colormaps.table(self.colormap)
        if self.base == "spectrogram":
            for name, default in _OF_MEL.items():
                if getattr(self, name) != default:
                    raise ValueError(f"{name} has no effect with base=spectrogram: leave it out")


@functools.lru_cache(maxsize=16)
def _bins(settings: Settings) -> spectrogram.Settings:
    """Return the settings of the spectrogram whose power becomes the picture."""
    return spectrogram.Settings(**{n: getattr(settings, n) for n in _SHARED}, scale="power")


def levels(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the levels (frames, bands) float32 of samples (n,), from 0 to 1.

    1 is the picture's own maximum, 0 is `top_db` below it. As in librosa.power_to_db, powers below
    `amin` count as `amin`. Where no power is above `amin` there is no sound: all is 0. Raises
    ItemError for powers that are not finite.
    """
    if settings.base == "mel":
        power = mel.spectrogram(samples, sample_rate, settings)
    else:
        power = spectrogram.compute(samples, sample_rate, _bins(settings))
    peak = power.max()
    if not np.isfinite(peak):
        raise ItemError("these settings give powers that are not finite")
    if peak <= settings.amin:
        return np.zeros_like(power)
    level = to_scale(power, "db", settings)
    level /= settings.top_db
    level += 1
    return np.clip(level, 0, 1, out=level)


@dataclass(frozen=True)
class _Band:
    """Neighbouring outputs that are weighted sums of neighbouring inputs, weights (out, in)."""

    outputs: slice
    inputs: slice
    weights: np.ndarray


@functools.lru_cache(maxsize=64)
def _bands(length: int, wanted: int) -> tuple[_Band, ...]:
    """Return how `length` pixels in a row become `wanted`, band by band.

    Pixel j is at j + 1/2. Output i lies at (i + 1/2) * length / wanted and weighs the inputs with
    a triangle around it, as wide to either side as one input pixel or, where the row shrinks, as
    one output pixel; the weights of those that are there add up to 1.
    """
    scale = length / wanted
    reach = max(1.0, scale)
    bands = []
    for first in range(0, wanted, BAND):
        outputs = slice(first, min(first + BAND, wanted))
        centres = (np.arange(outputs.start, outputs.stop) + 0.5) * scale
        begin = max(0, int(centres[0] - reach))
        inputs = slice(begin, min(length, int(centres[-1] + reach) + 1))
        at = np.arange(inputs.start, inputs.stop) + 0.5
        weights = np.maximum(0, 1 - np.abs(at - centres[:, None]) / reach)
        weights /= weights.sum(axis=1, keepdims=True)
        bands.append(_Band(outputs, inputs, weights.astype(np.float32)))
    return tuple(bands)


def _along(image: np.ndarray, wanted: int) -> np.ndarray:
    """Return `image` (n, m, channels) resized to (wanted, m, channels)."""
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    result = np.empty((wanted, flat.shape[1]), np.float32)
    for band in _bands(len(image), wanted):
        np.matmul(band.weights, flat[band.inputs], out=result[band.outputs])
    return result.reshape(wanted, *image.shape[1:])


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return `image` (rows, columns, channels) float32 as (height, width, channels) float32.

    Bilinear, with the triangle widened where a side shrinks so that no pixel is passed over: as
    Pillow's Image.resize(BILINEAR) and torch's interpolate(mode="bilinear", antialias=True).
    """
    columns = _along(image.swapaxes(0, 1), width)
    return _along(columns.swapaxes(0, 1), height)


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return one picture (1, height, width, channels) uint8 of samples (n,).

    Low frequency at the bottom, the start at the left, however long the sound is. The colour of
    each level comes first, then the resizing, as where a plotted picture is resized.
    """
    level = levels(samples, sample_rate, settings)
    if settings.color:
        room = None
        if level.size <= FAMILIAR:
            room = scratch("colours", (*level.shape, 3), level.dtype)
        pixels = colormaps.paint(level, settings.colormap, room)
    else:
        pixels = level[:, :, None] * np.float32(255)
    picture = resize(pixels.swapaxes(0, 1), settings.height, settings.width)
    return np.rint(picture[::-1]).astype(np.uint8)[None]


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return 0: a picture is not a frame of a row in time."""
    return 0.0


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return what `mel` has to say of its bands, where the picture shows them."""
    return mel.remarks(sample_rate, settings) if settings.base == "mel" else []


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return what a picture's height spans, and the levels that its colours stand for."""
    rows = mel.bands(sample_rate, settings)
    if settings.base == "spectrogram":
        rows = f"0 to {sample_rate / 2000:g} kHz"
    colours = settings.colormap if settings.color else ""
    return Shown(f"pixels ({rows})", None, "dB below the loudest", (-settings.top_db, 0.0), colours)


KIND = Kind(
    name="image",
    summary="a spectrogram as one colour picture (uint8), the same size for every recording",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(1, height, width, 3 or 1)",
    remarks=remarks,
    shown=shown,
    dtypes=("uint8",),
)
