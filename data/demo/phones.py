"""The sounds and sentences of the demo corpus, and how sounds flow into each other.

Vowel formants: the men's averages of Peterson & Barney (JASA 24, 1952). Consonants: a locus that
F2 points to (labial low, alveolar near 1800 Hz, after Delattre, Liberman & Cooper, JASA 27, 1955),
pulled towards the next vowel as in locus equations (Lindblom 1963). Other figures are set by ear
and eye in the usual ranges of formant synthesis (Klatt, JASA 67, 1980).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from synth import FRAME_RATE, NASAL_POLE, Array


@dataclass(frozen=True)
class Phone:
    """One steady stretch of sound; frequencies and bandwidths in Hz, amplitudes linear."""

    ms: float  # length at a neutral rate
    f1: float
    f2: float
    f3: float
    voicing: float = 1.0
    aspiration: float = 0.0
    frication: float = 0.0
    friction_pole: float = 3000.0
    friction_bandwidth: float = 1000.0
    nasal_zero: float = NASAL_POLE
    damping: float = 1.0  # factor on the bandwidths
    follow: float = 0.0  # how far F2 and F3 take the next vowel's value, 0 to 1
    vowel: bool = False
    brief: bool = False  # a burst: its edges are not smoothed and the tempo does not stretch it


def _vowel(f1: float, f2: float, f3: float, ms: float = 95) -> Phone:
    return Phone(ms, f1, f2, f3, vowel=True)


def _nasal(f2: float, zero: float) -> Phone:
    return Phone(68, 280, f2, 2500, 0.6, nasal_zero=zero, damping=2.5, follow=0.3)


def _fricative(pole: float, width: float, level: float, f2: float, voicing: float = 0.0) -> Phone:
    ms = 65 if voicing else 95
    breath = 0.0 if voicing else 0.02
    return Phone(ms, 320, f2, 2600, voicing, breath, level, pole, width, damping=2, follow=0.5)


def _plosive(f2: float, pole: float, voiced: bool, follow: float) -> tuple[Phone, ...]:
    """Closure (with a low hum if voiced), burst, and after a voiceless one a breath of air."""
    closure = Phone(
        55 if voiced else 68, 200, f2, 2500, 0.12 if voiced else 0, damping=3, follow=follow
    )
    burst = replace(
        closure, ms=8 if voiced else 12, f1=300, voicing=0.0, brief=True, friction_pole=pole,
        frication=0.5 if voiced else 0.9, friction_bandwidth=1200.0,
    )  # fmt: skip
    if voiced:
        return closure, burst
    air = replace(closure, ms=28, f1=400, damping=2, aspiration=0.25, follow=(1 + follow) / 2)
    return closure, burst, air


# One letter a sound; S is the sound of "sh".
PHONES: dict[str, tuple[Phone, ...]] = {
    "i": (_vowel(270, 2290, 3010, 85),),
    "e": (_vowel(530, 1840, 2480),),
    "a": (_vowel(730, 1090, 2440, 110),),
    "o": (_vowel(570, 840, 2410, 100),),
    "u": (_vowel(300, 870, 2240, 88),),
    "m": (_nasal(1000, 1000),),
    "n": (_nasal(1600, 1600),),
    "l": (Phone(58, 350, 1150, 2700, 0.75, damping=1.4, follow=0.25),),
    "r": (Phone(55, 380, 1200, 1600, 0.7, damping=1.4, follow=0.1),),
    "w": (Phone(60, 300, 680, 2200, 0.7, damping=1.2),),
    "j": (Phone(58, 280, 2250, 2950, 0.7, damping=1.2),),
    "f": (_fricative(6800, 5000, 0.16, 1100),),
    "v": (_fricative(6500, 5000, 0.06, 1100, 0.45),),
    "s": (_fricative(5800, 1500, 0.55, 1750),),
    "z": (_fricative(5800, 1500, 0.22, 1750, 0.4),),
    "S": (_fricative(3100, 1100, 0.60, 1900),),
    "h": (Phone(60, 450, 1400, 2500, 0.0, 0.22, damping=1.8, follow=1.0),),
    "p": _plosive(900, 1000, False, 0.5),
    "t": _plosive(1800, 4200, False, 0.35),
    "k": _plosive(1800, 2100, False, 0.8),
    "b": _plosive(900, 1000, True, 0.5),
    "d": _plosive(1800, 4000, True, 0.35),
    "g": _plosive(1800, 2000, True, 0.8),
}
FOURTH_FIFTH = (3500.0, 4500.0)  # Hz: F4 and F5 of a tract of 17.5 cm (Fant 1960)
BANDWIDTHS = np.array([60.0, 90.0, 130.0, 200.0, 260.0])

# Nonsense, so that no language favours a listener: words by spaces, syllables by dots,
# ' before a stressed one.
SENTENCES = {
    "s1": "'ma.no 'le.fi",
    "s2": "ta.'li.ko 'ne.va",
    "s3": "'we.ra Su.'mi 'ba.do",
    "s4": "so.'le 'ga.pu mu.'ja.fe",
}


@dataclass(frozen=True)
class Segment:
    """A phone at its place in the sentence."""

    phone: Phone
    syllable: int
    stressed: bool
    word_end: bool  # the last segment of a word
    final: bool  # in the last syllable


def parse(sentence: str) -> list[Segment]:
    """Segments of a sentence written as in `SENTENCES`."""
    segments: list[Segment] = []
    words = [word.split(".") for word in sentence.split()]
    last = sum(map(len, words)) - 1
    syllable = 0
    for word in words:
        for text in word:
            phones = [p for letter in text.removeprefix("'") for p in PHONES[letter]]
            segments += [
                Segment(p, syllable, text.startswith("'"), False, syllable == last) for p in phones
            ]
            syllable += 1
        segments[-1] = replace(segments[-1], word_end=True)
    return segments


def smooth(track: Array, seconds: float) -> Array:
    """Running mean under a Hann window that is `seconds` long, along the first axis."""
    n = max(int(seconds * FRAME_RATE) | 1, 3)
    window = np.hanning(n + 2)[1:-1]
    window /= window.sum()
    padded = np.pad(track, [(n // 2, n // 2)] + [(0, 0)] * (track.ndim - 1), mode="edge")
    # A plain sum of shifted copies: the same order of additions on every machine.
    return np.asarray(sum(w * padded[i : i + len(track)] for i, w in enumerate(window)))


def targets(segments: list[Segment], reduction: float = 0.0) -> Array:
    """F1 to F5 that each segment heads for, (segments, 5), in Hz for a tract of 17.5 cm.

    `reduction` (0 to 1) draws vowels towards the neutral one: slurred speech.
    """
    rows = np.empty((len(segments), 5))
    neutral = np.array([500.0, 1500.0, 2500.0])
    coming = neutral
    for i in range(len(segments) - 1, -1, -1):
        phone = segments[i].phone
        own = np.array([phone.f1, phone.f2, phone.f3], dtype=np.float64)
        if phone.vowel:
            own = coming = own + reduction * (neutral - own)
        else:
            own[1:] += phone.follow * (coming[1:] - own[1:])
        rows[i, :3], rows[i, 3:] = own, FOURTH_FIFTH
    return rows
