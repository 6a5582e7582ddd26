"""Hidden states of a pre-trained speech encoder (wav2vec 2.0, HuBERT, WavLM, Whisper, …).

The encoder stays as it was published; all of its layers go pooled into one store, so that `train`
chooses or weighs the layer inside the folds, or one layer's frames do, for networks over time. A
store names the encoder and keeps the SHA-256 of its weights, never where its folder lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sertool.audio.waveform import resample, to_float
from sertool.core.errors import UsageError
from sertool.core.paths import to_text
from sertool.core.settings import setting
from sertool.features import Kind
from sertool.models import encoders


@dataclass(frozen=True)
class Settings:
    """Which encoder, and what of its hidden states; what is left out is filled in from its folder.

    Once `sha256` is there, the weights say which encoder it is, and its folder is looked for.
    """

    model: str = setting(
        "", "encoder: a folder in Hugging Face's format, or an ID of the hub (OWNER/NAME)"
    )
    layer: int | Literal["all"] = setting(
        "all", "one layer by its number, 0 what the first is given; all: train chooses", least=0
    )
    pool: Literal["mean", "mean-sd", "none"] = setting(
        "mean", "over time; mean-sd has the standard deviation too; none keeps frames of one layer"
    )
    do_normalize: bool | None = setting(
        None, "bring waveforms to mean 0 and variance 1; by default as preprocessor_config.json"
    )
    sha256: str = setting("", "SHA-256 of the weights; by default of those found")

    def __post_init__(self) -> None:
        if self.pool == "none" and self.layer == "all":
            raise ValueError("pool=none keeps the frames of one layer: name it, e.g. layer=9")
        if self.model and not self.sha256:
            folder = encoders.find(self.model)
            object.__setattr__(self, "sha256", encoders.weights_sha256(folder))
            if Path(self.model).is_dir():
                encoders.look_in(folder)
                object.__setattr__(self, "model", to_text(folder.resolve().name))
            if self.do_normalize is None:
                object.__setattr__(self, "do_normalize", encoders.normalises(folder))


def _prepared(settings: Settings) -> encoders.Encoder:
    """Return the encoder of the settings; UsageError where they name none, or no layer of it."""
    if not settings.model:
        raise UsageError("kind ssl needs --set model=FOLDER, or an ID of the hub")
    encoders.need()
    encoder = encoders.load(encoders.located(settings.model, settings.sha256))
    if settings.layer != "all" and settings.layer >= encoder.layers:
        raise UsageError(
            f"--set layer={settings.layer}: {settings.model} has layers 0 to {encoder.layers - 1}"
        )
    return encoder


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return hidden states of samples (n,), float32: pooled (1, layers, dims), or (1, dims) of one.

    With pool=none one layer's frames (frames, dims). "mean-sd" has 2 · dims. Raises ItemError for
    too short a sound and states that are not finite, UsageError without transformers, InputError
    where the encoder is not to be found.
    """
    encoder = _prepared(settings)
    sound = to_float(samples)
    if sample_rate != encoder.family.rate:
        sound = resample(sound, sample_rate, encoder.family.rate)
    if settings.do_normalize:
        sound = encoders.normalised(sound)
    layer = None if settings.layer == "all" else settings.layer
    states = encoder.states(sound, layer)
    if settings.pool != "none":
        pooled = [states.mean(0, dtype=np.float64)]
        if settings.pool == "mean-sd":
            pooled.append(states.std(0, dtype=np.float64))
        states = np.concatenate(pooled, -1)[np.newaxis].astype(np.float32)
    return states if layer is None else np.ascontiguousarray(states[:, 0])


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second, 0 for what is pooled over time."""
    family = _prepared(settings).family
    return family.rate / family.step if settings.pool == "none" and family.step else 0.0


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return a line about sound of a lower rate; raises what `compute` would of any sound."""
    rate = _prepared(settings).family.rate
    if sample_rate >= rate:
        return []
    return [f"{sample_rate} Hz is resampled to the encoder's {rate} Hz, and lacks what is above"]


KIND = Kind(
    name="ssl",
    summary="hidden states of a pre-trained encoder: wav2vec 2.0, WavLM, … (extra sertool[ssl])",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(1, layers, units), or (frames, units) of one layer with pool=none",
    remarks=remarks,
)
