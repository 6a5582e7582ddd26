"""Voice activity by WebRTC's detector, Gaussian mixtures over six bands: `sertool[webrtc]`."""

from __future__ import annotations

import numpy as np

from sertool.audio.waveform import to_int16
from sertool.core.errors import SertoolError

RATE = 16000  # Hz
FRAME = 320  # samples, 20 ms
AGGRESSIVENESS = 2  # 0 to 3: how readily a frame is not speech
SPAN = 11  # frames, 220 ms: the majority among them decides


class WebRtc:
    """Listens to one recording at 16 kHz; scores are (frames,): 1 for speech, else 0."""

    rate = RATE
    hop = FRAME / RATE

    def __init__(self) -> None:
        try:
            import webrtcvad
        except ImportError:
            raise SertoolError(
                "--vad webrtc needs WebRTC's detector: pip install 'sertool[webrtc]'"
            ) from None
        self._vad = webrtcvad.Vad(AGGRESSIVENESS)
        self._rest = np.zeros(0, np.int16)

    def scores(self, samples: np.ndarray) -> np.ndarray:
        """Return 1 for each new frame that the detector takes for speech, else 0 (frames,)."""
        samples = np.concatenate([self._rest, to_int16(samples)])
        count = len(samples) // FRAME
        self._rest = samples[count * FRAME :]
        frames = samples[: count * FRAME].reshape(count, FRAME)
        flags = [self._vad.is_speech(frame.tobytes(), RATE) for frame in frames]
        return np.array(flags, np.float32)

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Return for each frame whether most of those around it are speech."""
        if not len(scores):
            return np.zeros(0, bool)
        total = np.convolve(scores, np.ones(SPAN), "same")
        counted = np.convolve(np.ones(len(scores)), np.ones(SPAN), "same")
        found: np.ndarray = 2 * total > counted
        return found
