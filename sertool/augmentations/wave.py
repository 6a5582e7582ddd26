"""Augmentations of waveforms: what they are asked for, and what they draw.

The sound itself is made in `tempo`, `rooms`, `noise` and `channels`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sertool.augmentations import Augmentation, Drawn, Failed, Range, required
from sertool.core.errors import UsageError
from sertool.core.settings import option

if TYPE_CHECKING:
    import numpy as np

    Copy = tuple[np.ndarray, Drawn]

FASTEST = 10.0  # times; slower than a tenth and faster than ten times nothing is speech
HIGHEST = 48.0  # semitones up or down: four octaves
LOUDEST = 100.0  # dB of gain, up or down
SNR_LIMIT = 200.0  # dB; noise much louder would no longer fit float32

# name: container and coding of libsndfile, sample rates that it takes (none: any)
CODECS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "mp3": (
        "MP3",
        "MPEG_LAYER_III",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
    "ogg": ("OGG", "VORBIS", ()),
    "opus": ("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "gsm": ("WAV", "GSM610", (8000,)),
    "mulaw": ("WAV", "ULAW", (8000,)),
    "alaw": ("WAV", "ALAW", (8000,)),
}


@dataclass(frozen=True)
class Pitch(Augmentation):
    """Higher or lower by a number of semitones; the duration stays."""

    semitones: Range = required(
        "Raise the pitch by this much, e.g. -2:2; duration and level stay (phase vocoder).",
        "semitones",
        least=-HIGHEST,
        most=HIGHEST,
    )

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this, with librosa compiled before there are worker processes."""
        from sertool.augmentations.tempo import compile_once

        compile_once()
        return self

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the higher or lower samples and by how many semitones."""
        from sertool.augmentations.tempo import pitched

        semitones = float(random.uniform(*self.semitones))
        return pitched(samples, rate, semitones), {"semitones": semitones}


@dataclass(frozen=True)
class TimeStretch(Augmentation):
    """Faster by a factor, at the same pitch."""

    speed: Range = required(
        "Speed up by this factor, e.g. 0.9:1.1; 2 halves the duration. Pitch and level stay"
        " (phase vocoder).",
        "times",
        least=1 / FASTEST,
        most=FASTEST,
    )

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this, with librosa compiled before there are worker processes."""
        from sertool.augmentations.tempo import compile_once

        compile_once()
        return self

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the stretched samples and the speed."""
        from sertool.augmentations.tempo import stretched

        speed = float(random.uniform(*self.speed))
        return stretched(samples, rate, speed), {"speed": speed}


@dataclass(frozen=True)
class Shift(Augmentation):
    """A shift in time by −share to share of the duration."""

    share: float = required(
        "Shift by -F to F of the duration; silence fills the gap.", least=0, below=1, metavar="F"
    )

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the shifted samples and by how many (later above 0)."""
        from sertool.augmentations.tempo import shifted

        by = round(float(random.uniform(-self.share, self.share)) * len(samples))
        return shifted(samples, by), {"samples": by}


@dataclass(frozen=True)
class Reverb(Augmentation):
    """A room: an impulse response drawn from the recordings of a folder.

    Of several microphones the first: their mean would be a comb filter.
    """

    folder: Path = required(
        "Add a room: an impulse response from this folder (the first channel of several); the"
        " direct sound keeps its time, and the energy is kept.",
        metavar="FOLDER",
    )
    found: Any = dataclasses.field(default=None, init=False)  # Recordings, once prepared

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this with its recordings found; InputError where the folder has none."""
        return _with_recordings(self, "reverb", self.folder, failed, "left")

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the recordings' content, not their names."""
        return [self.found.recorded]

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the samples in the room, and the content of its response."""
        from sertool.audio.waveform import resample
        from sertool.augmentations.rooms import reverberant

        chosen = self.found.draw(random)
        response = resample(chosen.read(), chosen.sample_rate, rate)
        return reverberant(samples, response), {"audio": chosen.content}


@dataclass(frozen=True)
class Noise(Augmentation):
    """A stretch of recorded noise at a signal-to-noise ratio.

    The file and where in it to begin are drawn; a file shorter than the item is repeated, one of
    another sample rate resampled.
    """

    folder: Path = required(
        "Add noise from this folder's recordings: a random stretch, repeated where it is too"
        " short.",
        metavar="FOLDER",
    )
    snr: Range = option(
        (0.0, 15.0),  # that of Snyder et al. (2018) for noise
        "With --noise: its signal-to-noise ratio.",
        "dB",
        flag="noise-snr",
        least=-SNR_LIMIT,
        most=SNR_LIMIT,
    )
    found: Any = dataclasses.field(default=None, init=False)  # Recordings, once prepared

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this with its recordings found; InputError where the folder has none."""
        return _with_recordings(self, "noise", self.folder, failed)

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the recordings' content, not their names."""
        return [self.found.recorded, *self.snr]

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the noisy samples; the file's content, the second it begins at, the ratio.

        The ratio is null where the item or the stretch is silent.
        """
        from sertool.augmentations.noise import add_noise
        from sertool.augmentations.recordings import stretch

        snr = float(random.uniform(*self.snr))
        chosen = self.found.draw(random)
        noise, first = stretch(chosen, len(samples), rate, random)
        noisy, added = add_noise(samples, noise, snr)
        drawn = {"audio": chosen.content, "start": first / chosen.sample_rate}
        return noisy, drawn | {"snr_db": snr if added else None}


@dataclass(frozen=True)
class AWGN(Augmentation):
    """White Gaussian noise at a signal-to-noise ratio."""

    snr: Range = required(
        "Add white Gaussian noise at this signal-to-noise ratio, e.g. 15:30.",
        "dB",
        least=-SNR_LIMIT,
        most=SNR_LIMIT,
    )

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the noisy samples and the ratio that was drawn (null for silence)."""
        from sertool.augmentations.noise import add_white_noise

        snr = float(random.uniform(*self.snr))
        noisy, added = add_white_noise(samples, snr, random)
        return noisy, {"snr_db": snr if added else None}


def _edges(text: Any) -> Any:
    """Return the four numbers of "A-B:C-D", each of which A-B may be one number alone."""
    if not isinstance(text, str):
        return text
    edges: list[float] = []
    for edge in text.split(":"):
        low, dash, high = edge.partition("-")
        try:
            edges += [float(low), float(high if dash else low)]
        except ValueError:
            edges = []
            break
    if len(edges) != 4:
        raise UsageError(f"--band-pass {text}: write LOW:HIGH in Hz, or 200-400:3000-4000")
    return tuple(edges)


@dataclass(frozen=True)
class BandPass(Augmentation):
    """A narrow band; its lower edge comes from the first two numbers, its upper from the others."""

    hz: tuple[float, float, float, float] = required(
        "Keep only this band, e.g. 300:3400 (a telephone), or one with random edges,"
        " 200-400:3000-4000.",
        "Hz",
        metavar="LOW:HIGH",
        read=_edges,
    )

    def check(self) -> None:
        """Raise UsageError where the edges are not in order."""
        low, low_most, high, high_most = self.hz
        if not 0 < low <= low_most < high <= high_most:
            raise UsageError(f"{self._asked}: needs 0 < LOW < HIGH in Hz, without overlap")

    @property
    def _asked(self) -> str:
        edges = (self.hz[:2], self.hz[2:])
        return "--band-pass " + ":".join(
            f"{least:g}" if least == most else f"{least:g}-{most:g}" for least, most in edges
        )

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this; UsageError where the band is not below half the sample rate."""
        if self.hz[3] >= rate / 2:
            raise UsageError(
                f"{self._asked}: HIGH must be below {rate / 2:g} Hz, half the store's sample rate"
            )
        return self

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the filtered samples and the band in Hz."""
        from sertool.augmentations.channels import band_passed

        low, high = (float(random.uniform(*edge)) for edge in (self.hz[:2], self.hz[2:]))
        return band_passed(samples, rate, low, high), {"hz": [low, high]}


@dataclass(frozen=True)
class Gain(Augmentation):
    """A change of level.

    A store of int16 holds nothing beyond full scale: such samples are cut off there, and counted.
    """

    db: Range = required(
        "Change the level by this much, e.g. -6:6; int16 clips at full scale.",
        "dB",
        least=-LOUDEST,
        most=LOUDEST,
    )

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the louder or softer samples and the gain."""
        from sertool.augmentations.channels import amplified

        gain = float(random.uniform(*self.db))
        return amplified(samples, gain), {"gain_db": gain}


@dataclass(frozen=True)
class Codec(Augmentation):
    """Encoding and decoding by one of several codecs, each equally likely."""

    names: tuple[str, ...] = required(
        f"Encode and decode with one of these at random: {', '.join(CODECS)}; the last three at"
        " 8 kHz, as telephones do.",
        metavar="LIST",
        choices=tuple(CODECS),
        read=lambda text: (
            tuple(name.strip() for name in text.split(",")) if isinstance(text, str) else text
        ),
    )

    def check(self) -> None:
        """Put the names in one order, so that the order in which they are given changes no draw."""
        if not self.names:
            raise UsageError("--codec: needs at least one name")
        object.__setattr__(self, "names", tuple(name for name in CODECS if name in self.names))

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the codecs' names."""
        return [list(self.names)]

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this; UsageError where libsndfile has no such codec."""
        from sertool.audio import decoding

        for name in self.names:
            if not decoding.codes(*CODECS[name][:2]):
                raise UsageError(f"--codec {name}: this machine's libsndfile does not have it")
        return self

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the samples after a codec, and its name; `clipped`, how many were cut off."""
        from sertool.augmentations.channels import coded

        name = self.names[int(random.integers(len(self.names)))]
        made, beyond = coded(samples, rate, *CODECS[name])
        return made, {"codec": name, **({"clipped": beyond} if beyond else {})}


def _with_recordings(
    part: Any, option: str, folder: Path, failed: Failed, channel: str = "mix"
) -> Any:
    """Return an augmentation with the recordings of its folder."""
    from sertool.augmentations.recordings import scan

    made = dataclasses.replace(part)
    object.__setattr__(made, "found", scan(option, folder, failed, channel))
    return made
