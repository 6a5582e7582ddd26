"""A source-filter speech synthesiser in NumPy: glottal pulses and noise through moving resonators.

The model is the classic one of Fant (Acoustic Theory of Speech Production, 1960) in the digital
form of Klatt (Software for a cascade/parallel formant synthesizer, JASA 67, 1980):

    glottal pulses + aspiration --> nasal zero --> nasal pole --> F1 ... F7 --+--> speech
    noise -------------------------> one resonator (frication, bursts) -------+

Everything that moves is given on a grid of control frames (`Tracks`); `render` turns many
utterances into samples at once. An utterance's samples do not depend on its companions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SAMPLE_RATE = 16_000
FRAME = 32  # samples a control frame: 2 ms
FRAME_RATE = SAMPLE_RATE / FRAME
N_FORMANTS = 5
# The tract goes on above the formants that phones move; without these two, the spectrum between
# F5 and 8 kHz would fall far too steeply. Hz and bandwidth in Hz for a tract of 17.5 cm.
UPPER_FORMANTS = ((5500.0, 400.0), (6500.0, 500.0))
NASAL_POLE = 270.0  # Hz; a zero on the same spot cancels it in oral sounds (Klatt 1980)
NASAL_BANDWIDTH = 100.0
BATCH = 64  # utterances a recursion: the arrays of one time step stay in the first cache


@dataclass
class Voice:
    """How the vocal folds of one utterance vibrate."""

    open_quotient: float  # share of a period in which the glottis is open
    return_time: float  # seconds: time constant of the closing; long = lax, steep spectrum
    jitter: float  # sd of the period, relative
    shimmer: float  # sd of the pulse's amplitude, relative


@dataclass
class Tracks:
    """What an utterance does over time; every array has one row a control frame.

    Frequencies and bandwidths are in Hz, amplitudes linear. `tract` scales the formants above F5.
    """

    f0: Array  # (frames,)
    formants: Array  # (frames, 5)
    bandwidths: Array  # (frames, 5)
    nasal_zero: Array  # (frames,), NASAL_POLE where the velum is shut
    voicing: Array  # (frames,) amplitude of the pulses
    aspiration: Array  # (frames,) amplitude of the noise at the glottis
    frication: Array  # (frames,) amplitude of the noise at the constriction
    friction_pole: Array  # (frames,) its resonance
    friction_bandwidth: Array  # (frames,)
    voice: Voice
    tract: float

    @property
    def samples(self) -> int:
        """Length of the utterance in samples."""
        return len(self.f0) * FRAME


def gauss(rng: np.random.Generator, n: int) -> Array:
    """Draw n numbers of mean 0 and variance 1: sums of twelve uniform ones, shape (n,).

    Sums of uniform draws need no transcendental function, so they are the same on every machine.
    """
    return np.asarray(rng.random((12, n)).sum(axis=0) - 6.0)


def to_samples(track: Array) -> Array:
    """Interpolate a track (frames,) linearly to samples (frames * FRAME,)."""
    frames = len(track)
    return np.interp(np.arange(frames * FRAME) / FRAME, np.arange(frames) + 0.5, track)


# --- source ---------------------------------------------------------------------------------------


def _epochs(f0: Array, jitter: float, rng: np.random.Generator) -> Array:
    """Times (in samples, fractional) at which the glottis opens; periods jitter around 1/F0."""
    end = len(f0) * FRAME
    draws = gauss(rng, int(end * f0.max() / SAMPLE_RATE * 1.5) + 8)
    times = [-rng.random() * SAMPLE_RATE / f0[0]]
    for draw in draws:
        if times[-1] >= end:
            break
        here = f0[min(max(int(times[-1] / FRAME), 0), len(f0) - 1)]
        # More than three sd would merge two pulses into one.
        times.append(times[-1] + SAMPLE_RATE / here * (1 + jitter * min(max(draw, -3.0), 3.0)))
    return np.array(times)


def glottal_source(tracks: Tracks, rng: np.random.Generator) -> tuple[Array, Array]:
    """Derivative of the glottal flow, and where the glottis is open; both (samples,).

    In the open phase the flow is Rosenberg's cubic as in KLGLOTT88 (Klatt & Klatt 1990), whose
    derivative falls to -1 at the closing; then it returns exponentially, as in the LF model
    (Fant, Liljencrants & Lin 1985): a long return tilts the spectrum.
    """
    voice = tracks.voice
    epochs = _epochs(tracks.f0, voice.jitter, rng)
    periods = np.append(np.diff(epochs), SAMPLE_RATE / tracks.f0[-1])
    strengths = np.maximum(1 + voice.shimmer * gauss(rng, len(epochs)), 0.1)
    time = np.arange(tracks.samples, dtype=np.float64)
    pulse = np.searchsorted(epochs, time, side="right") - 1
    phase = (time - epochs[pulse]) / (voice.open_quotient * periods[pulse])
    is_open = phase < 1
    rising = np.minimum(phase, 1.0)
    after = np.maximum(phase - 1, 0.0) * voice.open_quotient * periods[pulse]
    flow = np.where(
        is_open,
        2 * rising - 3 * rising**2,
        -np.exp(-after / (voice.return_time * SAMPLE_RATE)),
    )
    return flow * strengths[pulse], is_open.astype(np.float64)


def excitation(tracks: Tracks, rng: np.random.Generator) -> tuple[Array, Array]:
    """Signals that enter the vocal tract and the frication resonator; both (samples,)."""
    flow, is_open = glottal_source(tracks, rng)
    voicing = to_samples(tracks.voicing)
    # Air rushes while the glottis is open: breath noise is modulated by the voice (Klatt 1980).
    breath = gauss(rng, len(flow)) * (1 - np.minimum(voicing, 1.0) * 0.6 * (1 - is_open))
    glottis = voicing * flow + to_samples(tracks.aspiration) * breath
    return glottis, to_samples(tracks.frication) * gauss(rng, len(flow))


# --- filter ---------------------------------------------------------------------------------------


def resonator(frequency: Array, bandwidth: Array) -> tuple[Array, Array, Array]:
    """Coefficients a, b, c of y[n] = a x[n] + b y[n-1] + c y[n-2], gain 1 at 0 Hz (Klatt 1980)."""
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    b = 2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE)
    c = -(radius**2)
    return 1 - b - c, b, c


def _band_resonator(frequency: Array, bandwidth: Array) -> tuple[Array, Array, Array]:
    """Like `resonator`, but with gain near 1 at its own frequency instead of at 0 Hz."""
    _, b, c = resonator(frequency, bandwidth)
    radius = np.sqrt(-c)
    twice = np.cos(4 * np.pi * frequency / SAMPLE_RATE)
    return (1 - radius) * np.sqrt(1 - 2 * radius * twice + radius**2), b, c


def _antiresonance(signal: Array, tracks: Tracks) -> Array:
    """Pass the source through the moving zero of the nasal tract (gain 1 at 0 Hz)."""
    a, b, c = resonator(tracks.nasal_zero, np.full_like(tracks.nasal_zero, NASAL_BANDWIDTH))
    one, two = np.zeros_like(signal), np.zeros_like(signal)
    one[1:], two[2:] = signal[:-1], signal[:-2]
    return (signal - np.repeat(b, FRAME) * one - np.repeat(c, FRAME) * two) / np.repeat(a, FRAME)


def _stages(tracks: Tracks) -> Array:
    """Coefficients of all resonators: (frames, 3, stages); the last stage is the frication's."""
    frames = len(tracks.f0)
    poles = [(np.full(frames, NASAL_POLE), np.full(frames, NASAL_BANDWIDTH))]
    poles += [(tracks.formants[:, i], tracks.bandwidths[:, i]) for i in range(N_FORMANTS)]
    poles += [
        (np.full(frames, min(f * tracks.tract, 7700.0)), np.full(frames, w * tracks.tract))
        for f, w in UPPER_FORMANTS
    ]
    columns = [resonator(frequency, bandwidth) for frequency, bandwidth in poles]
    columns.append(_band_resonator(tracks.friction_pole, tracks.friction_bandwidth))
    return np.asarray(columns).transpose(2, 1, 0)


def _cascade(glottis: Array, friction: Array, coefficients: Array) -> Array:
    """Run the recursion of all resonators of all utterances, one time step at a time.

    glottis and friction are (samples, utterances), coefficients (frames, 3, stages, utterances).
    The cascade is a pipeline: each stage reads what the stage before it gave one sample ago, so
    that one step of the whole chain is a handful of array operations. It delays by 0.5 ms.
    """
    _, _, stages, utterances = coefficients.shape
    output = np.empty_like(glottis)
    x, new, old, older, term = np.zeros((5, stages, utterances))
    for n in range(len(glottis)):
        a, b, c = coefficients[n // FRAME]
        x[0] = glottis[n]
        x[1:-1] = old[:-2]
        x[-1] = friction[n]
        np.multiply(a, x, out=new)
        np.multiply(b, old, out=term)
        new += term
        np.multiply(c, older, out=term)
        new += term
        np.add(new[-2], new[-1], out=output[n])
        new, old, older = older, new, old
    return output


def _render_batch(batch: list[Tracks], rngs: list[np.random.Generator]) -> list[Array]:
    frames = max(len(tracks.f0) for tracks in batch)
    glottis = np.zeros((frames * FRAME, len(batch)))
    friction = np.zeros_like(glottis)
    coefficients = np.zeros((frames, 3, N_FORMANTS + len(UPPER_FORMANTS) + 2, len(batch)))
    for i, (tracks, rng) in enumerate(zip(batch, rngs, strict=True)):
        source, noise = excitation(tracks, rng)
        glottis[: tracks.samples, i] = _antiresonance(source, tracks)
        friction[: tracks.samples, i] = noise
        coefficients[: len(tracks.f0), :, :, i] = _stages(tracks)
    output = _cascade(glottis, friction, coefficients)
    return [output[: tracks.samples, i].copy() for i, tracks in enumerate(batch)]


def render(utterances: list[Tracks], rngs: list[np.random.Generator]) -> list[Array]:
    """Speech of each utterance, (samples,) float64; each draws from a generator of its own.

    A full-voiced vowel has a level of very roughly 1; the caller sets levels.
    """
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].samples)
    speech: dict[int, Array] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = _render_batch([utterances[i] for i in chosen], [rngs[i] for i in chosen])
        speech.update(zip(chosen, batch, strict=True))
    return [speech[i] for i in range(len(utterances))]
