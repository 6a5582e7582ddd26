"""How emotions and speakers sound: the rules of prosody, and the tracks they give for a sentence.

`EMOTIONS` states a full-blown emotion; an utterance has it at some strength between neutral and
beyond full, on top of its speaker's habits and of chance. The README's table names the sources.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from phones import BANDWIDTHS, Segment, smooth, targets
from synth import FRAME_RATE, Array, Tracks, Voice, gauss

FINAL_LENGTHENING = 1.45  # factor on the last vowel
ATTACK = 9.0  # dB by which a vowel starts softer than it becomes
WANDER = 0.25  # st: sd of slow, aimless movements of the pitch
# Loud speech is high speech (Gramming et al., Journal of Voice 2, 1988): effort follows the pitch.
COUPLING = 1.0  # dB a semitone


@dataclass(frozen=True)
class Emotion:
    """Prosody and voice quality of a speaking style; st are semitones."""

    pitch: float  # st above the speaker's own level
    range: float  # factor on all movements of pitch
    slope: float  # st that the pitch falls over the sentence (declination)
    accent: float  # st that stressed syllables rise
    accent_width: float  # s in which an accent rises or falls: short = abrupt
    glide: float  # st that the pitch moves within a stressed syllable
    final: float  # st that the last syllable ends up or down
    rate: float  # factor on the tempo
    contrast: float  # factor by which stressed syllables are longer
    irregularity: float  # sd of syllable lengths, relative
    pause: float  # probability of a pause between words
    level: float  # dB
    accent_level: float  # dB that stressed syllables are louder
    fade: float  # dB that the sentence becomes softer towards its end
    onset: float  # s in which the voice of a syllable sets in
    open_quotient: float
    return_time: float  # ms: long = steep spectrum
    jitter: float  # per cent
    shimmer: float  # per cent
    breath: float  # dB of aspiration noise
    coarticulation: float  # ms over which formants glide
    reduction: float  # 0 to 1: vowels drawn towards the neutral one
    smile: float  # factor on the formants


EMOTIONS = {
    "anger": Emotion(
        pitch=3.0, range=1.6, slope=2.5, accent=3.5, accent_width=0.04, glide=-1.5, final=-2.5,
        rate=1.12, contrast=1.35, irregularity=0.12, pause=0.05,
        level=4.0, accent_level=6.0, fade=3.0, onset=0.012,
        open_quotient=0.53, return_time=0.15, jitter=1.5, shimmer=8.0, breath=-32.0,
        coarticulation=50, reduction=0.0, smile=1.0,
    ),
    "happiness": Emotion(
        pitch=3.5, range=1.6, slope=-0.5, accent=2.5, accent_width=0.20, glide=2.2, final=4.0,
        rate=1.07, contrast=1.15, irregularity=0.04, pause=0.03,
        level=3.0, accent_level=3.5, fade=0.0, onset=0.025,
        open_quotient=0.56, return_time=0.17, jitter=0.6, shimmer=3.0, breath=-30.0,
        coarticulation=60, reduction=0.0, smile=1.03,
    ),
    "neutral": Emotion(
        pitch=0.0, range=1.0, slope=2.0, accent=2.0, accent_width=0.12, glide=0.0, final=-1.5,
        rate=1.0, contrast=1.18, irregularity=0.06, pause=0.08,
        level=0.0, accent_level=3.0, fade=3.0, onset=0.030,
        open_quotient=0.60, return_time=0.21, jitter=0.8, shimmer=4.0, breath=-30.0,
        coarticulation=65, reduction=0.08, smile=1.0,
    ),
    "sadness": Emotion(
        pitch=-1.0, range=0.7, slope=4.5, accent=1.0, accent_width=0.18, glide=-2.5, final=-2.0,
        rate=0.90, contrast=1.08, irregularity=0.12, pause=0.30,
        level=-3.0, accent_level=0.5, fade=7.0, onset=0.080,
        open_quotient=0.64, return_time=0.27, jitter=1.3, shimmer=7.0, breath=-27.0,
        coarticulation=85, reduction=0.25, smile=0.99,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """A person: anatomy and habits, which overlap with what emotions do to a voice."""

    name: str
    gender: str
    f0: float  # Hz: level of neutral speech
    tract: float  # factor on all formants: 1 for a tract of 17.5 cm, more for a shorter one
    scatter: tuple[float, ...]  # a factor for each formant on top
    range: float  # factor on the movements of pitch
    rate: float  # factor on the tempo
    breath: float  # dB of aspiration noise
    tilt: float  # factor on the return time of the glottis
    jitter: float  # factor on jitter and shimmer
    final: float  # st that sentences end higher than other people's
    accent_level: float  # dB
    expression: float  # factor on the strength of any emotion


def blend(emotion: str, strength: float) -> Emotion:
    """A style between neutral (strength 0) and the full emotion (1); up to about 1.3 is sane."""
    full, neutral = EMOTIONS[emotion], EMOTIONS["neutral"]
    values = {
        f.name: getattr(neutral, f.name)
        + strength * (getattr(full, f.name) - getattr(neutral, f.name))
        for f in fields(Emotion)
    }
    # Beyond the full emotion, some figures would leave the range in which they mean anything.
    lowest = {
        "accent_width": 0.02, "irregularity": 0.0, "pause": 0.0, "onset": 0.01,
        "return_time": 0.06, "jitter": 0.1, "shimmer": 0.5, "reduction": 0.0,
    }  # fmt: skip
    for name, low in lowest.items():
        values[name] = max(values[name], low)
    return Emotion(**values)


def vary(style: Emotion, rng: np.random.Generator) -> Emotion:
    """One performance of a style: nobody says a sentence twice in the same way."""
    spread = {
        "pitch": 0.7, "slope": 0.8, "accent": 0.5, "glide": 0.5, "final": 0.8, "level": 1.5,
        "accent_level": 0.8, "fade": 1.2, "breath": 1.5,
    }  # fmt: skip
    relative = {"range": 0.10, "rate": 0.05, "return_time": 0.15, "jitter": 0.2, "shimmer": 0.2}
    values = {f.name: getattr(style, f.name) for f in fields(Emotion)}
    for name, sd in spread.items():
        values[name] += sd * gauss(rng, 1)[0]
    for name, sd in relative.items():
        values[name] *= max(1 + sd * gauss(rng, 1)[0], 0.5)
    return Emotion(**values)


# --- from style to tracks -------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """A sentence laid out in time, one entry a control frame."""

    segments: list[Segment]
    index: NDArray[np.int64]  # the segment, also through the silence after it
    sounding: Array  # 1 in segments, 0 in silence
    position: Array  # 0 at the start of speech, 1 at its end

    def of(self, name: str) -> Array:
        """An attribute of the phones, (frames,)."""
        return np.array([float(getattr(s.phone, name)) for s in self.segments])[self.index]

    def where(self, name: str) -> Array:
        """1.0 in segments that have a flag of `Segment` (stressed, final), (frames,)."""
        return np.array([float(getattr(s, name)) for s in self.segments])[self.index]

    def through_syllable(self) -> Array:
        """From 0 to 1 through each syllable, (frames,)."""
        syllable = np.array([s.syllable for s in self.segments])[self.index]
        progress = np.empty(len(syllable))
        for number in np.unique(syllable):
            here = syllable == number
            progress[here] = np.linspace(0.0, 1.0, int(here.sum()))
        return progress

    def since_vowel_onset(self) -> Array:
        """Seconds since the last start of a vowel (long before the first one), (frames,)."""
        vowel = self.of("vowel") * self.sounding
        starts = np.flatnonzero(np.diff(vowel, prepend=0.0) > 0)
        last = np.searchsorted(starts, np.arange(len(vowel)), side="right") - 1
        since = (np.arange(len(vowel)) - starts[np.maximum(last, 0)]) / FRAME_RATE
        return np.where(last < 0, 1.0, since)


def lay_out(
    segments: list[Segment], style: Emotion, speaker: Speaker, rng: np.random.Generator
) -> Score:
    """Give each segment its length, with pauses between words and silence around the sentence."""
    tempo = style.rate * speaker.rate
    sway = np.maximum(1 + style.irregularity * gauss(rng, segments[-1].syllable + 1), 0.6)
    lead, trail = ((np.array([0.04, 0.06]) + rng.random(2) * 0.06) * FRAME_RATE).astype(int)
    index, sounding = [np.zeros(lead, dtype=np.int64)], [np.zeros(lead)]
    for i, segment in enumerate(segments):
        ms = segment.phone.ms
        if not segment.phone.brief:
            ms *= sway[segment.syllable] / tempo
            ms *= style.contrast if segment.stressed else 2 - style.contrast
            if segment.final and segment.phone.vowel:
                ms *= FINAL_LENGTHENING
        frames = max(round(ms / 1000 * FRAME_RATE), 2)
        silence = 0
        if segment.word_end and rng.random() < style.pause:
            silence = int((0.06 + 0.08 * rng.random()) / tempo * FRAME_RATE)
        if segment is segments[-1]:
            silence = trail
        index.append(np.full(frames + silence, i))
        sounding.append(np.repeat([1.0, 0.0], [frames, silence]))
    marks = np.concatenate(sounding)
    speech = np.arange(len(marks)) - lead
    position = np.clip(speech / (len(marks) - lead - trail), 0.0, 1.0)
    return Score(segments, np.concatenate(index), marks, position)


def pitch_contour(
    score: Score, style: Emotion, speaker: Speaker, rng: np.random.Generator
) -> Array:
    """F0 in Hz, (frames,): declination, accents, glides, the final move and a slow wander."""
    stressed, through = score.where("stressed"), score.through_syllable()
    movement = style.slope * (0.5 - score.position)
    movement += style.accent * smooth(stressed, style.accent_width)
    movement += style.glide * smooth(stressed * (through - 0.5) * 2, 0.03)
    movement *= style.range * speaker.range
    final = score.where("final") * through
    wander = smooth(gauss(rng, len(stressed)), 0.2) * np.sqrt(0.2 * FRAME_RATE)
    semitones = style.pitch + movement + (style.final + speaker.final) * smooth(final, 0.03)
    return np.asarray(speaker.f0 * 2 ** ((semitones + WANDER * wander) / 12))


def loudness(score: Score, style: Emotion, speaker: Speaker, f0: Array) -> Array:
    """Vocal effort as a factor on amplitudes, (frames,); f0 in Hz."""
    stressed = smooth(score.where("stressed"), max(style.accent_width, 0.03))
    decibels = style.level + (style.accent_level + speaker.accent_level) * stressed
    decibels -= style.fade * score.position
    decibels += COUPLING * 12 * np.log2(f0 / f0.mean())
    decibels -= ATTACK * np.exp(-score.since_vowel_onset() / style.onset)
    return np.asarray(10 ** (decibels / 20))


def perform(
    segments: list[Segment], style: Emotion, speaker: Speaker, rng: np.random.Generator
) -> Tracks:
    """Everything the synthesiser needs to let a speaker say a sentence in a style."""
    score = lay_out(segments, style, speaker, rng)
    f0 = pitch_contour(score, style, speaker, rng)
    effort = loudness(score, style, speaker, f0)
    tract = speaker.tract * np.array(speaker.scatter)
    tract[:3] *= style.smile
    formants = targets(segments, style.reduction)[score.index] * tract
    voicing = smooth(score.of("voicing") * score.sounding, 0.016) * effort
    breath = 10 ** ((style.breath + speaker.breath) / 20)
    brief = score.of("brief")
    noise = score.of("frication") * score.sounding
    noise = smooth(noise * (1 - brief), 0.016) + smooth(noise * brief, 0.004)
    air = smooth(score.of("aspiration") * score.sounding, 0.012)
    return Tracks(
        f0=f0,
        formants=smooth(formants, style.coarticulation / 1000),
        bandwidths=smooth(np.outer(score.of("damping"), BANDWIDTHS * speaker.tract), 0.02),
        nasal_zero=smooth(score.of("nasal_zero"), 0.024),
        voicing=voicing,
        # Noise grows less with effort than the voice does.
        aspiration=air * effort**0.6 + breath * voicing,
        frication=noise * effort**0.6,
        friction_pole=score.of("friction_pole") * min(speaker.tract, 1.1),
        friction_bandwidth=score.of("friction_bandwidth"),
        voice=Voice(
            open_quotient=style.open_quotient,
            return_time=style.return_time * speaker.tilt / 1000,
            jitter=style.jitter * speaker.jitter / 100,
            shimmer=style.shimmer * speaker.jitter / 100,
        ),
        tract=speaker.tract,
    )
