"""For pages: two stereo calls, one voice a channel (calls/monday), and raw samples (voice.pcm)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
DEMO = Path(os.environ["DEMO"])


def voice(speaker: str, emotion: str, start: float) -> np.ndarray:
    """A speaker's four sentences, 2.5 s of silence after each, from `start` (seconds) on."""
    parts = [np.zeros(int(RATE * start))]
    for path in sorted((DEMO / speaker).glob(f"*_{emotion}_*_r1.flac")):
        parts += [soundfile.read(path)[0], np.zeros(int(RATE * 2.5))]
    return np.concatenate(parts)


def call(*voices: np.ndarray) -> np.ndarray:
    """The voices on a channel each, with a little noise: (samples, channels)."""
    n = max(map(len, voices))
    both = np.stack([np.pad(one, (0, n - len(one))) for one in voices], 1)
    return both + 1e-4 * np.random.default_rng(0).standard_normal(both.shape)


if __name__ == "__main__":
    folder = Path("calls/monday")
    folder.mkdir(parents=True)
    first = call(voice("spk01", "anger", 0), voice("spk02", "neutral", 1.5))
    second = call(voice("spk03", "happiness", 0), voice("spk04", "sadness", 1.5))
    soundfile.write(folder / "call1.wav", first, RATE, "PCM_16")
    soundfile.write(folder / "call2.wav", second, RATE, "PCM_16")
    raw = (voice("spk03", "anger", 0) * 32767).astype("<i2")
    raw.tofile("voice.pcm")
