"""The detectors of `predict --vad` beside each other, on real speech with noise and music.

    python benchmarks/vad.py FOLDER... [--utterances 60] [--seed 0]

Utterances of each FOLDER, cut at -40 dB of their peak, are laid into a recording with pauses of
0.5 to 4 s between them; the pauses are what no detector may call speech. Over all of it lies
nothing, white or pink noise, babble (eight other voices) or music (made here: chords, a bass,
percussion), at a signal-to-noise ratio over the speech. Printed for each condition and detector:

- missed: the share of the utterances' time that is not within a stretch of speech
- false: the share of the pauses' time, 0.2 s off the utterances, that is
- lost: the share of the utterances in which no speech is found at all

and for sound without any speech the share that passes for speech, and what an hour costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from sertool.audio import voice
from sertool.audio.waveform import resample
from sertool.core.errors import SertoolError
from sertool.core.paths import find_audio

RATE = 16000
TRIM = 40.0  # dB below an utterance's loudest 20 ms, where it begins and ends
PAUSES = (0.5, 4.0)  # seconds
APART = 0.2  # seconds at either end of a pause that count for nobody
LEVEL = -26.0  # dB of full scale: a speech level usual in telephony
NOISE_ALONE = -40.0  # dB of full scale, where there is no speech
ALONE = 120  # seconds
FRAME = RATE // 50
VOICES = 8


def trimmed(path: Path) -> np.ndarray:
    """Return an utterance at `RATE` and `LEVEL`, cut where it rises above its background."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sound = resample(samples.mean(1), rate, RATE)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    level = 10 * np.log10((frames**2).mean(1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - TRIM)
    sound = sound[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
    return sound * 10 ** (LEVEL / 20) / np.sqrt((sound**2).mean())


def white(n: int, random: np.random.Generator) -> np.ndarray:
    """Return white noise (n,)."""
    return random.standard_normal(n)


def pink(n: int, random: np.random.Generator) -> np.ndarray:
    """Return noise (n,) whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(random.standard_normal(n))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
    return np.fft.irfft(spectrum, n)


def music(n: int, random: np.random.Generator) -> np.ndarray:
    """Return chords, a bass and percussion (n,), a bar of two seconds each."""
    made = np.zeros(n)
    bar = 2 * RATE
    for begin in range(0, n, bar):
        length = min(bar, n - begin)
        t = np.arange(length) / RATE
        root = 110 * 2 ** (random.choice([0, 3, 5, 7, 8, 10]) / 12)
        for ratio, loud in ((0.5, 1.5), (1, 1), (1.26, 0.8), (1.5, 0.8), (2, 0.6)):
            for harmonic in range(1, 7):
                phase = 2 * np.pi * root * ratio * harmonic * t + random.uniform(0, 6.28)
                made[begin : begin + length] += loud / harmonic * np.sin(phase) * np.exp(-t)
        for beat in range(0, length, RATE // 2):
            hit = random.standard_normal(min(RATE // 10, length - beat))
            made[begin + beat : begin + beat + len(hit)] += (
                2 * hit * np.exp(-np.arange(len(hit)) / 400)
            )
    return made


def found(name: str, sound: np.ndarray) -> list[voice.Span]:
    """Return the stretches of speech that a detector finds in `sound` at `RATE`."""
    one = voice.detector(name)
    scores = one.scores(resample(sound.astype(np.float32), RATE, one.rate))
    return voice.stretches(one.decide(scores), one.hop, len(sound) / RATE)


def laid_out(
    utterances: Sequence[np.ndarray], random: np.random.Generator
) -> tuple[np.ndarray, list[voice.Span]]:
    """Return the recording without any background, and where its utterances lie (seconds)."""
    parts, spans, at = [], [], 0
    for one in utterances:
        pause = np.zeros(int(random.uniform(*PAUSES) * RATE))
        parts += [pause, one]
        at += len(pause)
        spans.append((at / RATE, (at + len(one)) / RATE))
        at += len(one)
    return np.concatenate([*parts, np.zeros(RATE)]), spans


def rates(speech: Sequence[voice.Span], truth: Sequence[voice.Span], total: float) -> list[float]:
    """Return (missed, false, lost) as shares."""
    spoken = sum(b - a for a, b in truth)
    hits = [voice.overlap(speech, a, b) for a, b in truth]
    ends = [0.0, *(x for a, b in truth for x in (a - APART, b + APART)), total]
    pauses = [(ends[i], ends[i + 1]) for i in range(0, len(ends), 2) if ends[i] < ends[i + 1]]
    false = sum(voice.overlap(speech, a, b) for a, b in pauses)
    quiet = sum(b - a for a, b in pauses)
    return [1 - sum(hits) / spoken, false / quiet, sum(hit == 0 for hit in hits) / len(hits)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--utterances", type=int, default=60, help="of each folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    chosen, others = [], []
    for folder in given.folders:
        paths = random.permutation(np.array(find_audio(folder)[0], object))
        chosen += [trimmed(path) for path in paths[: given.utterances]]
        others += [trimmed(path) for path in paths[given.utterances :][: 4 * VOICES]]
    order = random.permutation(len(chosen))
    clean, truth = laid_out([chosen[i] for i in order], random)

    def babble(n: int, random: np.random.Generator) -> np.ndarray:
        """Return several voices at once (n,)."""
        voices = []
        for _ in range(VOICES):
            line = np.concatenate([others[i] for i in random.permutation(len(others))])
            voices.append(np.resize(line, n))
        return np.sum(voices, 0)

    noises: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
        "white noise": white, "pink noise": pink, "babble": babble, "music": music,
    }  # fmt: skip
    conditions = [("nothing", None, 0.0)]
    conditions += [(name, make, snr) for name, make in noises.items() for snr in (20, 10, 5)]
    detectors = []
    for name in voice.VADS:
        try:
            voice.detector(name)
            detectors.append(name)
        except SertoolError as error:
            print(error)
    minutes = len(clean) / RATE / 60
    print(f"{len(truth)} utterances in {minutes:.1f} minutes, {given.seed=}; per cent")
    heads = " | ".join(f"{one}: missed, false, lost" for one in detectors)
    print(f"| behind the speech | dB | {heads} |")
    print("| --- | ---: |" + " ---: |" * len(detectors))
    spent = dict.fromkeys(detectors, 0.0)
    for name, make, snr in conditions:
        sound = clean
        if make is not None:
            noise = make(len(clean), random)
            sound = clean + noise * 10 ** ((LEVEL - snr) / 20) / np.sqrt((noise**2).mean())
        cells = []
        for one in detectors:
            begin = time.process_time()
            speech = found(one, sound)
            spent[one] += time.process_time() - begin
            cells.append(
                " / ".join(f"{100 * x:4.1f}" for x in rates(speech, truth, len(clean) / RATE))
            )
        print(f"| {name} | {snr if make else ''} | " + " | ".join(cells) + " |", flush=True)
    print("\n| without speech | " + " | ".join(detectors) + " |")
    print("| --- |" + " ---: |" * len(detectors))
    for name, make in {"digital silence": None, **noises}.items():
        noise = make(ALONE * RATE, random) if make else np.zeros(ALONE * RATE)
        noise = noise * 10 ** (NOISE_ALONE / 20) / (np.sqrt((noise**2).mean()) or 1)
        shares = [sum(b - a for a, b in found(one, noise)) / ALONE for one in detectors]
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    hours = len(conditions) * minutes / 60
    print("\nCPU seconds an hour: " + ", ".join(f"{d} {spent[d] / hours:.0f}" for d in detectors))


if __name__ == "__main__":
    main()
