"""A pre-trained encoder whose top layers are trained with a classifier on the mean over time.

Layers are unfrozen from the top, some more with every epoch (Howard & Ruder 2018, "Universal
language model fine-tuning for text classification", section 3.3). What is frozen stays as in
evaluation; LayerDrop and the encoder's own masking of features are off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.audio.waveform import to_float
from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.core.settings import option, setting
from sertool.models import encoders
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import torch
    from torch import nn

UNTOLD = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of the fine-tuning; `encoder` describes what --init ssl:FOLDER named."""

    layers: int = setting(6, "layers that are trained in the end, from the top", least=0)
    unfreeze: int = setting(
        1, "layers more that are trained with every epoch; the first epoch trains the head", least=1
    )
    dropout: float = setting(0.1, "dropout before the classifier", least=0, below=1)
    encoder: dict[str, Any] = option(
        {}, "name, weights' SHA-256, architecture and preprocessing, filled in by --init ssl:FOLDER"
    )


class Finetune(Network):
    """Top layers of a pre-trained encoder, trained on waveforms."""

    name = "finetune"
    summary = "top layers of a pre-trained encoder (--init ssl:FOLDER) on a store of waveforms"
    exports = False  # its encoder groups recordings, and cuts long ones, by their lengths
    Settings = FinetuneSettings
    settings: FinetuneSettings
    host_lengths = True

    def from_encoder(self, source: str) -> tuple[Network, Mapping[str, torch.Tensor]]:
        """Return this network around an encoder of waveforms, and the encoder's tensors."""
        encoders.need()
        folder = encoders.find(source)
        encoder = encoders.load(folder)
        if encoder.family.kind != "waveform" or not hasattr(encoder.module, "encoder"):
            raise UsageError(
                f"--init ssl:{show(source)}: finetune takes encoders of waveforms (wav2vec 2.0,"
                " HuBERT, WavLM, data2vec); others are for featurize --kind ssl"
            )
        told = encoder.module.config.to_diff_dict().items()
        described = {
            "name": folder.name,
            "sha256": encoders.weights_sha256(folder),
            "config": {name: value for name, value in told if name not in UNTOLD},
            "do_normalize": encoders.normalises(folder),
            "sample_rate": encoder.family.rate,
        }
        made = Finetune(replace(self.settings, encoder=described))
        tensors = encoder.module.state_dict()
        return made, {f"encoder.{name}": tensor for name, tensor in tensors.items()}

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the encoder and a classifier that is untrained; InputError without --init."""
        from torch import nn

        from sertool.models.tuned import FineTuned

        module = encoders.architecture(self._described("config"))
        family = encoders.family_of(module.config)._replace(rate=self._described("sample_rate"))
        classifier = nn.Linear(module.config.hidden_size, outputs)
        head = nn.Sequential(nn.Dropout(self.settings.dropout), classifier)
        made = FineTuned(module, family, head)
        made.unfreeze(0)
        return made

    def _described(self, name: str) -> Any:
        found = self.settings.encoder.get(name)
        if found is None:
            raise InputError("finetune starts from an encoder: --init ssl:FOLDER")
        return found

    @property
    def sample_rate(self) -> int:
        """The rate of the encoder's waveforms."""
        return int(self.settings.encoder.get("sample_rate", 16000))

    def view(self, features: np.ndarray) -> np.ndarray:
        """Return a waveform (samples,) float32 as the encoder wants it."""
        sound = to_float(features)
        return encoders.normalised(sound) if self.settings.encoder.get("do_normalize") else sound

    def begin_epoch(self, module: nn.Module, epoch: int) -> None:
        """Let as many layers learn as it is time for: none in the first epoch."""
        from sertool.models.tuned import FineTuned

        assert isinstance(module, FineTuned)
        module.unfreeze(min(self.settings.layers, epoch * self.settings.unfreeze))

    @property
    def masks_padding(self) -> bool:
        """True: items share a pass only where that changes nothing."""
        return True

    @property
    def batched(self) -> bool:
        """False: the encoder groups recordings by their lengths."""
        return False

    def defaults(self) -> Hyperparameters:
        """Return ours: AdamW, a rate of 1e-3 for the head and 2e-5 for the encoder's layers."""
        return Hyperparameters(
            epochs=12,
            batch_size=8,
            batch_by="length",
            lr=1e-3,
            lr_scale=0.02,
            optimizer="adamw",
            weight_decay=0.01,
            schedule="cosine",
            clip_norm=1.0,
            normalisation="none",
        )
