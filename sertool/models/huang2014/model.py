"""Huang et al., "Speech emotion recognition using CNN" (ACM Multimedia 2014): semi-CNN, and rows.

Three stages. Kernels are learned without labels by sparse auto-encoders, on patches of whitened
spectrograms of a third of the training part. A layer of features, half of it affect-salient, is
trained to reconstruct the kernels' responses and to separate the classes (`loss`). A support vector
machine decides, from the mean of those features over a recording's fragments. What the machine is
given instead, `features`, makes the paper's other rows. The paper leaves much open: what is chosen
here is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from sertool.core.errors import InputError
from sertool.models.contract import Examples, Losses, Network, Tabular
from sertool.models.huang2014.settings import Huang2014Settings
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sertool.models.huang2014.network import OverFragments


class Huang2014(Network):
    """Semi-CNN, and the support vector machine after it."""

    name = "huang2014"
    summary = "semi-CNN (Huang 2014): kernels without labels, salient features, SVM"
    first_stage_tensors = ("whiten", "kernels", "rescale")
    own_loss = True
    Settings = Huang2014Settings
    settings: Huang2014Settings

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network; its whitening and kernels are empty until `first_stage` has run."""
        from sertool.models.huang2014.network import OverFragments

        components = self.settings.components
        if shape[0] < components:
            raise InputError(
                f"huang2014 keeps {components} components of each frame, and these have"
                f" {shape[0]} values; featurize with --kind spectrogram, or --set components="
            )
        return OverFragments(self.settings, shape[0], outputs)

    def defaults(self) -> Hyperparameters:
        """Return ours, for the paper gives none: AdamW, about 450 fragments of 2 s files a step.

        Epochs enough for patience to end them: the losses still fall after 100.
        """
        return Hyperparameters(
            epochs=400,
            batch_size=32,
            optimizer="adamw",
            lr=3e-3,
            weight_decay=1e-3,
            clip_norm=1.0,
            patience=15,
            monitor="loss",
            normalisation="none",
        )

    @property
    def masks_padding(self) -> bool:
        """Whether an item's fragments become one row, so that a batch of items can be scored."""
        return self.settings.utterance == "mean" or self.settings.classifier == "logistic"

    @property
    def batched(self) -> bool:
        """False: the fragments of all items are rows of one product."""
        return False

    def first_stage(
        self,
        module: nn.Module,
        train: Examples,
        unlabelled: Examples | None,
        seed: int,
        note: Callable[[str], None],
    ) -> None:
        """Fit the whitening on the training part, and the kernels on patches: stage one."""
        from sertool.models.huang2014 import network

        network.first_stage(cast(network.OverFragments, module), train, unlabelled, seed, note)

    def loss(
        self, module: nn.Module, x: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor
    ) -> Losses:
        """Return Eq. 10 over the batch's fragments."""
        return cast("OverFragments", module).objective(x, lengths, labels)

    def logits(self, module: nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the mean of each item's fragments' logits."""
        return cast("OverFragments", module).logits(x, lengths)

    def classifier(self) -> Tabular | None:
        """Return the support vector machine, or None for the network's own logits."""
        if self.settings.classifier == "logistic":
            return None
        from sertool.models.svm import SupportVectors, SvmSettings

        given = {n: v for n in ("C", "sigma") if (v := getattr(self.settings, n))}
        return SupportVectors(SvmSettings(self.settings.kernel, **given))

    def pool(self, posteriors: np.ndarray) -> np.ndarray:
        """Return the mean of fragments' posteriors; with `utterance` votes, each label's share.

        One row per item, its fragments' mean, is the same either way.
        """
        if self.settings.utterance == "votes":
            posteriors = np.eye(posteriors.shape[1])[posteriors.argmax(1)]
        pooled: np.ndarray = posteriors.mean(0)
        return pooled
