"""The network of huang2014: whitening, fragments, kernels and features, and its first stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from sertool.models import statistics
from sertool.models.contract import Examples, Losses
from sertool.models.huang2014 import loss as losses
from sertool.models.huang2014 import patches, sparse_autoencoder, whitening
from sertool.models.huang2014.semi_cnn import MIDDLE, Kernels, SemiCnn, Sizes, Squash, squash
from sertool.models.huang2014.settings import OF_KERNELS, OF_STAGE_TWO, Huang2014Settings
from sertool.models.huang2014.whitening import Whitening


class _OnlyKernels(nn.Module):
    """What exists before the second stage, by its names in the whole network."""

    def __init__(self, sizes: Sizes, rescale: bool) -> None:
        super().__init__()
        self.kernels = Kernels(sizes).requires_grad_(False)
        self.rescale = Squash(sizes.local) if rescale else nn.Identity()


class OverFragments(nn.Module):
    """From frames of a log spectrum (batch, frames, dims) to rows for the last stage, or logits."""

    def __init__(self, settings: Huang2014Settings, dims: int, outputs: int) -> None:
        super().__init__()
        self.settings = settings
        self.whiten = Whitening(dims, settings.components)
        if settings.features in OF_STAGE_TWO:
            self.semi = SemiCnn(outputs, settings.sizes, settings.finetune, settings.rescale)
        elif settings.features in OF_KERNELS:
            self.semi = _OnlyKernels(settings.sizes, settings.rescale)  # type: ignore[assignment]

    def squashed(self, x: torch.Tensor) -> torch.Tensor:
        """Return whitened frames within 0.1 .. 0.9, as a logistic unit can rebuild them."""
        return squash(self.whiten(x))

    def fragments(
        self, x: torch.Tensor, lengths: torch.Tensor, hop: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return fragments (batch, n, frames, components), and which there are: (batch, n).

        They begin every `hop` frames until the recording's last frame is in one; after it stand
        mean frames, as no others do.
        """
        size = self.settings.frames
        counts = 1 + (lengths - size).clamp(min=0).add(hop - 1).div(hop, rounding_mode="floor")
        z = self.squashed(x)
        if torch.onnx.is_in_onnx_export():
            return _gathered(z, lengths, counts, size, hop)
        most = int(counts.max())
        beyond = torch.arange(z.shape[1], device=z.device) >= lengths.unsqueeze(1)
        z = z.masked_fill(beyond.unsqueeze(2), MIDDLE)
        needed = (most - 1) * hop + size
        z = nn.functional.pad(z[:, :needed], (0, 0, 0, max(0, needed - z.shape[1])), value=MIDDLE)
        there = torch.arange(most, device=z.device) < counts.unsqueeze(1)
        return z.unfold(1, size, hop).transpose(2, 3), there

    def values(self, fragments: torch.Tensor) -> torch.Tensor:
        """Return what the last stage is given of each fragment: (..., columns)."""
        wanted = self.settings.features
        if wanted == "raw":
            return fragments.flatten(-2)
        if wanted == "lif":
            values: torch.Tensor = self.semi.kernels(fragments)
            return values
        if wanted in ("k1", "k2"):
            answers = self.semi.kernels.sizes[int(wanted[1]) - 1](fragments)
            return answers.unflatten(-1, (-1, self.settings.maps)).mean(-2)
        features = self.semi.features(self.semi.rescale(self.semi.kernels(fragments)))
        blocks = self.semi.features.split(features)
        return blocks[OF_STAGE_TWO.index(wanted)]

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return rows (batch, columns), means over each item's fragments.

        With `classifier` logistic: logits (batch, outputs), means likewise. With `utterance`
        other than mean: the rows (batch, n, columns) of the fragments of items of equal length.
        """
        fragments, there = self.fragments(x, lengths, self.settings.test_hop)
        values = self.values(fragments)
        if self.settings.classifier == "logistic":
            values = self.semi.classifier(values)
        elif self.settings.utterance != "mean":
            return values
        weights = there.to(values).unsqueeze(2)
        return (values * weights).sum(1) / weights.sum(1)

    def logits(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return each item's mean logits (batch, classes): what validation chooses an epoch by."""
        fragments, there = self.fragments(x, lengths, self.settings.test_hop)
        owner = there.nonzero()[:, 0]
        y = self.semi.rescale(self.semi.kernels(fragments[there]))
        salient, _ = self.semi.features.split(self.semi.features(y))
        return _means(self.semi.classifier(salient), owner, there)

    def objective(self, x: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor) -> Losses:
        """Return Eq. 10 over the batch's fragments, each item's mean logits, and the terms.

        What training shows is Eq. 10 without its saliency term: a bounded one makes the sum 0, and
        one without bound has no end, so that neither tells how far training has come.
        """
        fragments, there = self.fragments(x, lengths, self.settings.hop)
        owner = there.nonzero()[:, 0]
        outputs = self.semi(fragments[there])
        weights = self.settings.objective
        terms = losses.objective(outputs, self.semi.matrices(), labels[owner], weights)
        shown = terms.reconstruction + terms.discriminative
        shown = shown + weights.orthogonality * terms.orthogonality
        named = terms._asdict()
        total = named.pop("total")
        return Losses(total, _means(outputs.logits, owner, there), named, shown)


def _gathered(
    z: torch.Tensor, lengths: torch.Tensor, counts: torch.Tensor, size: int, hop: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `OverFragments.fragments` does, frame by frame: to be traced at any length."""
    number = torch.arange(cast(Any, counts.max()), device=z.device)  # traced as it is
    places = number.unsqueeze(1) * hop + torch.arange(size, device=z.device)  # (n, size)
    beyond = places >= lengths.view(-1, 1, 1)
    last = torch.full_like(places, 1) * (z.shape[1] - 1)
    frames = z[:, torch.minimum(places, last)]  # (batch, n, size, components)
    return frames.masked_fill(beyond.unsqueeze(3), MIDDLE), number < counts.unsqueeze(1)


def _means(values: torch.Tensor, owner: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Return the means (batch, n) of the values (fragments, n) of each item's fragments."""
    sums = values.new_zeros(len(there), values.shape[1])
    return sums.index_add(0, owner, values) / there.sum(1, keepdim=True)


def first_stage(
    network: OverFragments,
    train: Examples,
    unlabelled: Examples | None,
    seed: int,
    note: Callable[[str], None],
) -> None:
    """Fit the whitening on the training part, and the kernels on patches: the paper's stage one.

    The patches are those of a random third of the training recordings (Sec. 3.1), and of all
    unlabelled ones.
    """
    settings = network.settings
    frames = (train.read(i) for i in range(len(train.lengths)))
    network.whiten.set(*whitening.fit(frames, settings.components))
    if settings.features not in OF_KERNELS:
        return

    def see(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            seen: np.ndarray = network.squashed(torch.from_numpy(features)).numpy()
        return seen

    places = patches.places(train, unlabelled, settings.share, seed)
    note(f"learning kernels from patches of {len(places)} recordings, without labels")
    encoders = []
    for length in settings.sizes.kernels:
        drawn = patches.draw(places, length, settings.patches, see, seed)
        batches = sparse_autoencoder.shuffled(drawn, patches.BATCH, settings.patch_epochs, seed)
        fitted = sparse_autoencoder.fit(batches, settings.autoencoder, seed)
        encoders.append(fitted.encoder)
    network.semi.kernels.set(encoders)
    if settings.rescale:
        _fit_scale(network, train)


def _fit_scale(network: OverFragments, train: Examples) -> None:
    """Fit mean and deviation of the kernels' responses to the training part's fragments."""
    moments = statistics.Moments()
    for i in range(len(train.lengths)):
        x = torch.from_numpy(train.read(i)).unsqueeze(0)
        with torch.no_grad():
            length = torch.tensor([x.shape[1]])
            fragments, _ = network.fragments(x, length, network.settings.hop)
            moments.add(network.semi.kernels(fragments)[0].numpy())
    deviation = statistics.standard_deviation(moments.variance(), moments.mean)
    assert isinstance(network.semi.rescale, Squash)
    network.semi.rescale.set(moments.mean, deviation)
