"""Huang et al., "Speech emotion recognition using CNN" (ACM Multimedia 2014): semi-CNN, and rows.

Three stages. Kernels are learned without labels by sparse auto-encoders, on patches of whitened
spectrograms of a third of the training part. A layer of features, half of it affect-salient, is
trained to rebuild what the kernels say and to tell the classes (`semi_cnn_loss`). A support vector
machine decides, from the mean of those features over a recording's fragments. What the machine is
given instead, `features`, makes the paper's other rows. The paper leaves much open: what is chosen
here is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.core.errors import InputError
from sertool.models import Material, Network
from sertool.models.huang2014.settings import Settings
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from torch import nn


def build(settings: Any, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the network; its whitening and kernels are empty until `prepare` has run."""
    from sertool.models.huang2014.network import Huang2014

    if shape[0] < settings.components:
        raise InputError(
            f"huang2014 keeps {settings.components} components of each frame, and these have"
            f" {shape[0]} values; featurize with --kind spectrogram, or --set components="
        )
    return Huang2014(settings, shape[0], outputs)


def prepare(network: nn.Module, settings: Any, material: Material) -> None:
    """Fit the whitening on the training part, and the kernels on patches: the paper's stage one."""
    from sertool.models.huang2014.network import first_stage

    first_stage(network, material)


def head(settings: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the support vector machine and its settings, or None for the network's own logits."""
    if settings.classifier == "logistic":
        return None
    given = {name: getattr(settings, name) for name in ("C", "sigma") if getattr(settings, name)}
    return "svm", {"kernel": settings.kernel, **given}


def poll(settings: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the mean of fragments' posteriors, or with `utterance` votes the share of each label.

    One row an item, its fragments' mean, is the same either way.
    """
    if settings.utterance == "votes":
        return lambda shares: np.eye(shares.shape[1])[shares.argmax(1)].mean(0)
    return lambda shares: shares.mean(0)


def defaults(settings: Any) -> Hyperparameters:
    """Return ours, for the paper gives none: AdamW, some 450 fragments of 2 s recordings a step."""
    return Hyperparameters(
        epochs=100,
        batch_size=32,
        optimizer="adamw",
        lr=3e-3,
        weight_decay=1e-3,
        clip_norm=1.0,
        patience=15,
        monitor="loss",
        normalisation="none",
    )


MODEL = Network(
    name="huang2014",
    summary="semi-CNN (Huang 2014): kernels without labels, salient features, support vectors",
    Settings=Settings,
    build=build,
    defaults=defaults,
    prepare=prepare,
    prepared=("whiten", "kernels", "rescale"),
    head=head,
    poll=poll,
)
