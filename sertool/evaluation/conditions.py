"""The conditions of `eval --stress`: what is done to each decoded utterance, by name.

All that is random is drawn from (seed, what it is, utterance id): the same noise at every ratio.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sertool.audio import decoding, waveform
from sertool.augmentations import channels, noise, rooms
from sertool.augmentations.wave import CODECS
from sertool.core.seeds import rng

TELEPHONE_BAND = (300.0, 3400.0)  # Hz
RATIOS = (20, 10, 0)  # dB
REVERBERATION = (0.3, 0.8)  # s
TALKERS = 6  # voices of a babble, where so many other recordings are tested
QUIET = -20.0  # dB
CLIPPED = 12.0  # dB above full scale
BACKGROUND = 20.0  # dB that speech is above the noise around it

Voices = Callable[[int], list[np.ndarray]]  # other recordings at a rate, (n,) each


@dataclass(frozen=True)
class Heard:
    """A decoded utterance, samples (n,) as float32 at `rate`, and what its noise is drawn from."""

    samples: np.ndarray
    rate: int
    name: str
    seed: int
    voices: Voices

    def random(self, what: str) -> np.random.Generator:
        """Return the generator of one thing that is drawn for this utterance."""
        return rng(self.seed, "stress", what, self.name)


@dataclass(frozen=True)
class Condition:
    """One way to degrade an utterance: a function of it, and what that is in words.

    codec: the one of libsndfile that it needs.
    """

    family: str
    description: str
    apply: Callable[[Heard], np.ndarray]
    codec: str | None = None

    @property
    def possible(self) -> bool:
        """Whether this machine's libsndfile can make it."""
        return self.codec is None or decoding.codes(*CODECS[self.codec][:2])


def _telephone(heard: Heard) -> np.ndarray:
    low, high = TELEPHONE_BAND
    banded = channels.band_passed(heard.samples, heard.rate, low, min(high, 0.49 * heard.rate))
    return _coded(heard, "mulaw", banded)


def _coded(heard: Heard, codec: str, samples: np.ndarray | None = None) -> np.ndarray:
    """Return what a codec makes of an utterance."""
    given = heard.samples if samples is None else samples
    return channels.coded(given, heard.rate, *CODECS[codec])[0]


def _at_rate(heard: Heard, rate: int) -> np.ndarray:
    if rate >= heard.rate:
        return heard.samples
    narrow = waveform.resample(heard.samples, heard.rate, rate)
    return waveform.resample(narrow, rate, heard.rate)[: len(heard.samples)]


def _noise_like(heard: Heard, kind: str, count: int) -> np.ndarray:
    random = heard.random(kind)
    if kind == "white":
        return random.standard_normal(count, dtype=np.float32)
    if kind == "pink":
        return noise.pink_noise(count, heard.rate, random)
    return noise.babble(heard.voices(heard.rate), count, random)


def _noisy(heard: Heard, kind: str, snr: float) -> np.ndarray:
    made = _noise_like(heard, kind, len(heard.samples))
    return noise.add_noise(heard.samples, made, snr)[0]


def _room(heard: Heard, rt60: float) -> np.ndarray:
    response = rooms.impulse_response(rt60, heard.rate, heard.random("room"))
    return rooms.reverberant(heard.samples, response)


def _quiet(heard: Heard) -> np.ndarray:
    return channels.amplified(heard.samples, QUIET)


def _clipped(heard: Heard) -> np.ndarray:
    peak = float(np.abs(heard.samples).max())
    if not peak:
        return heard.samples
    return np.clip(heard.samples * np.float32(10 ** (CLIPPED / 20) / peak), -1, 1)


def _half(heard: Heard, kind: str | None) -> np.ndarray:
    """Return the utterance in the middle of as much silence, or of noise throughout."""
    n = len(heard.samples)
    padded = np.pad(heard.samples, ((n + 1) // 2, n // 2))
    if kind is None:
        return padded
    made = _noise_like(heard, kind, 2 * n)
    # the ratio is of the speech, which is half: the power of all is 3 dB below its own
    return noise.add_noise(padded, made, BACKGROUND - 10 * np.log10(2))[0]


def _table() -> dict[str, Condition]:
    made = {
        "telephone": Condition("telephone", "telephone: 300-3400 Hz, mu-law", _telephone, "mulaw")
    }
    words = {
        "mp3": "MP3", "ogg": "Vorbis", "opus": "Opus", "gsm": "GSM 6.10 at 8 kHz",
        "alaw": "A-law at 8 kHz",
    }  # fmt: skip
    for codec, text in words.items():
        apply = functools.partial(_coded, codec=codec)
        made["vorbis" if codec == "ogg" else codec] = Condition("codec", text, apply, codec)
    for rate in (8000, 4000):
        apply = functools.partial(_at_rate, rate=rate)
        made[f"rate-{rate}"] = Condition("codec", f"sample rate {rate} Hz", apply)
    of = {"white": "white noise", "pink": "pink noise", "babble": f"babble of {TALKERS}"}
    for kind, text in of.items():
        for snr in RATIOS:
            apply = functools.partial(_noisy, kind=kind, snr=float(snr))
            made[f"{kind}-{snr}"] = Condition("noise", f"{text} at {snr} dB", apply)
    for rt60 in REVERBERATION:
        apply = functools.partial(_room, rt60=rt60)
        made[f"room-{rt60:g}"] = Condition("room", f"synthetic room, RT60 {rt60:g} s", apply)
    made["quiet"] = Condition("level", f"{-QUIET:g} dB softer", _quiet)
    made["clipped"] = Condition("level", f"clipped by {CLIPPED:g} dB", _clipped)
    made["half-silence"] = Condition(
        "half", "half speech, silence around", functools.partial(_half, kind=None)
    )
    made["half-noise"] = Condition(
        "half",
        f"half speech, pink noise at {BACKGROUND:g} dB",
        functools.partial(_half, kind="pink"),
    )
    return made


CONDITIONS = _table()
