"""Make the demo corpus: synthetic emotional speech, the same samples on every run.

    python data/demo/make.py OUT

writes OUT/speakers.tsv and OUT/corpus/spk01/spk01_anger_s1_r1.flac and so on. OUT has to exist;
files in it are replaced. README.md beside this script says what the corpus is and is not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray
from phones import SENTENCES, parse
from prosody import EMOTIONS, Speaker, blend, perform, vary
from synth import SAMPLE_RATE, Array, Tracks, gauss, render

SEED = 1
SPEAKERS = 12
REPETITIONS = 2
STRENGTH = (0.5, 1.15)  # of the emotion, drawn for each file
LEVEL = -30.0  # dB of full scale: a sound of amplitude 1 in the synthesiser
DISTANCE = 9.0  # dB: recordings are up to so much louder or softer, as speakers move
COLOUR = 0.35  # largest coefficient of the one-tap filter that stands for microphone and room
NOISE = (-79.0, -69.0)  # dB of full scale: background of the room


class Take(NamedTuple):
    """One recording of the corpus."""

    speaker: int  # from 1
    emotion: str
    sentence: str
    repetition: int  # from 1

    @property
    def path(self) -> str:
        """Relative to the corpus folder."""
        name = f"spk{self.speaker:02}"
        return f"{name}/{name}_{self.emotion}_{self.sentence}_r{self.repetition}.flac"

    def rng(self) -> np.random.Generator:
        """Chance of its own, so that any take can be made alone."""
        emotion = sorted(EMOTIONS).index(self.emotion)
        sentence = sorted(SENTENCES).index(self.sentence)
        return np.random.default_rng([SEED, self.speaker, emotion, sentence, self.repetition])


def all_takes() -> list[Take]:
    """Every recording, in the order of their paths."""
    return [
        Take(speaker, emotion, sentence, repetition)
        for speaker in range(1, SPEAKERS + 1)
        for emotion in sorted(EMOTIONS)
        for sentence in sorted(SENTENCES)
        for repetition in range(1, REPETITIONS + 1)
    ]


def make_speaker(number: int) -> Speaker:
    """The speaker of a number, from 1; odd ones are men, even ones women."""
    rng = np.random.default_rng([SEED, number])
    male = number % 2 == 1

    def between(low: float, high: float) -> float:
        return round(low + (high - low) * rng.random(), 3)

    return Speaker(
        name=f"spk{number:02}",
        gender="male" if male else "female",
        f0=between(92, 138) if male else between(165, 232),
        tract=between(0.95, 1.06) if male else between(1.10, 1.22),
        scatter=tuple(between(0.95, 1.05) for _ in range(5)),
        range=between(0.75, 1.3),
        rate=between(0.88, 1.13),
        breath=between(-5, 5),
        tilt=between(0.55, 1.8),
        jitter=between(0.6, 1.6),
        final=between(-1.0, 1.0),
        accent_level=between(-1.0, 1.5),
        expression=between(0.8, 1.15),
    )


def record(speech: Array, rng: np.random.Generator) -> Array:
    """Put the speech into a room and before a microphone; (samples,) within -1 to 1."""
    colour = COLOUR * (2 * rng.random() - 1)
    heard = speech.copy()
    heard[1:] += colour * speech[:-1]
    heard *= 10 ** ((LEVEL + DISTANCE * (2 * rng.random() - 1)) / 20) / (1 + colour)
    noise = gauss(rng, len(heard) + 1)
    level = NOISE[0] + (NOISE[1] - NOISE[0]) * rng.random()
    heard += 10 ** (level / 20) * (noise[1:] + 0.7 * noise[:-1])
    return np.asarray(heard * min(1.0, 0.98 / np.abs(heard).max()))


def compose(take: Take, rng: np.random.Generator) -> Tracks:
    """The tracks of a recording: its speaker's habits, its emotion at some strength, and chance."""
    speaker = make_speaker(take.speaker)
    strength = STRENGTH[0] + (STRENGTH[1] - STRENGTH[0]) * rng.random()
    style = vary(blend(take.emotion, strength * speaker.expression), rng)
    return perform(parse(SENTENCES[take.sentence]), style, speaker, rng)


def make_takes(takes: list[Take]) -> list[NDArray[np.int16]]:
    """Samples of the recordings, each (samples,) int16; none depends on the others."""
    rngs = [take.rng() for take in takes]
    tracks = [compose(take, rng) for take, rng in zip(takes, rngs, strict=True)]
    recordings = [record(s, rng) for s, rng in zip(render(tracks, rngs), rngs, strict=True)]
    return [np.round(r * 32767).astype(np.int16) for r in recordings]


def write_speakers(path: Path) -> None:
    """Write the table of speakers, tab separated, one line each."""
    lines = ["speaker\tgender\tf0_hz\ttract\trange\trate\tbreath_db\ttilt"]
    for number in range(1, SPEAKERS + 1):
        s = make_speaker(number)
        figures = (s.f0, s.tract, s.range, s.rate, s.breath, s.tilt)
        lines.append("\t".join([s.name, s.gender, *map(str, figures)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> int:
    """Write the whole corpus into the folder that the only argument names."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python make.py OUT  (a folder that exists)", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    takes = all_takes()
    for take, samples in zip(takes, make_takes(takes), strict=True):
        path = out / "corpus" / take.path
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    write_speakers(out / "speakers.tsv")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
