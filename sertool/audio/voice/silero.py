"""Voice activity by Silero's network, read from its wheel: `sertool[silero]`.

The wheel's package is never imported: that takes seconds, and some of its versions want torchaudio.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.errors import SertoolError

RATE = 16000  # Hz
FRAME = 512  # samples, 32 ms
CONTEXT = 64  # samples of the frame before that the network is given again
BLOCK = 512  # frames in one call
SPEECH, SILENCE = 0.5, 0.35  # probability at which speech begins, and below which it ends
MODEL = "data/silero_vad_16k_sequence.onnx"  # a sequence of frames in one call
_STATE = (1, 1, 128)


class Silero:
    """Listens to one recording at 16 kHz; scores are (frames,): the probability of speech."""

    rate = RATE
    hop = FRAME / RATE

    def __init__(self) -> None:
        self._session = _session()
        self._rest = np.zeros(0, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._h = self._c = np.zeros(_STATE, np.float32)

    def scores(self, samples: np.ndarray) -> np.ndarray:
        """Return the probability of speech in each frame that is now complete (frames,)."""
        samples = np.concatenate([self._rest, samples])
        count = len(samples) // FRAME
        self._rest = samples[count * FRAME :]
        frames = samples[: count * FRAME].reshape(count, FRAME)
        parts = [self._block(frames[i : i + BLOCK]) for i in range(0, count, BLOCK)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def _block(self, frames: np.ndarray) -> np.ndarray:
        before = np.concatenate([self._context[np.newaxis], frames[:-1, -CONTEXT:]])
        self._context = frames[-1, -CONTEXT:]
        given = {"input": np.concatenate([before, frames], 1), "h": self._h, "c": self._c}
        found, self._h, self._c = self._session.run(["speech_probs", "hn", "cn"], given)
        probabilities: np.ndarray = found.ravel()
        return probabilities

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Return for each frame whether somebody speaks, by two thresholds."""
        return _hysteresis(scores, SPEECH, SILENCE)


def _hysteresis(scores: np.ndarray, begins: float, ends: float) -> np.ndarray:
    """Return True from a score of at least `begins` on, until one is below `ends`."""
    clear = np.where(scores >= begins, 1, np.where(scores < ends, 0, -1))
    last = np.maximum.accumulate(np.where(clear >= 0, np.arange(len(clear)), -1))
    found: np.ndarray = (last >= 0) & (clear[np.maximum(last, 0)] == 1)
    return found


@functools.cache
def _session() -> Any:
    """Return the network, on one thread; SertoolError where it is not installed."""
    found = importlib.util.find_spec("silero_vad")
    folders = list(found.submodule_search_locations or ()) if found else []
    paths = [path for folder in folders if (path := Path(folder, MODEL)).is_file()]
    try:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports its use otherwise
        import onnxruntime
    except ImportError:
        paths = []
    if not paths:
        raise SertoolError("--vad silero needs Silero's network: pip install 'sertool[silero]'")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(str(paths[0]), options, providers=providers)
