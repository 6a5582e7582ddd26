"""What a network is trained for: the loss of a target's outputs, and how well they do."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from sertool import metrics, regression
from sertool.models import device as devices
from sertool.targets import IGNORED, Numbers, Target

SMALLEST = 1e-8  # added to a denominator that may be 0


def loss(
    outputs: torch.Tensor,
    positions: np.ndarray,
    target: Target | Numbers,
    norm: str,
    divisor: float | None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the loss of a target's outputs (batch, outputs), of which at least one item is known.

    norm, divisor, smoothing: of classes (see `loop.total_loss`).
    """
    if isinstance(target, Numbers):
        return numbers_loss(outputs, _like(outputs, target.z(positions)), target.loss)
    return class_loss(outputs, positions, target, norm, divisor, smoothing)


def _like(tensor: torch.Tensor, values: np.ndarray) -> torch.Tensor:
    """Return numbers of host memory in the type of `tensor`, where that is."""
    return devices.there(torch.from_numpy(values).to(tensor.dtype), tensor.device)


def class_loss(
    logits: torch.Tensor,
    positions: np.ndarray,
    target: Target,
    norm: str,
    divisor: float | None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the weighted cross-entropy of logits (batch, classes), to a class or to shares.

    smoothing: the share of each truth that is spread over all classes (Szegedy et al. 2016,
    section 7).
    """
    if target.shares is not None:
        return _shares_loss(logits, positions, target, norm, divisor, smoothing)
    entropy = functools.partial(
        nn.functional.cross_entropy, ignore_index=IGNORED, label_smoothing=smoothing
    )
    known = target.indices[positions]
    indices = devices.there(known, logits.device)
    if target.item_weights is None:
        weight = _like(logits, target.class_weights)
        return entropy(logits, indices, weight)
    weights = _like(logits, target.item_weights[positions])
    each = entropy(logits, indices, reduction="none")
    if norm == "n":
        divisor = int((known != IGNORED).sum())
    return (weights * each).sum() / (weights.sum() if divisor is None else divisor)


def _shares_loss(
    logits: torch.Tensor,
    positions: np.ndarray,
    target: Target,
    norm: str,
    divisor: float | None,
    smoothing: float,
) -> torch.Tensor:
    """Return Σ w_i Σ_k s_ik f_k (−ln p_ik) over its divisor, for shares s and class weights f."""
    assert target.item_weights is not None
    given = _like(logits, target.tilted(positions))
    weights = _like(logits, target.item_weights[positions])
    each = nn.functional.cross_entropy(logits, given, reduction="none", label_smoothing=smoothing)
    if norm == "n":
        divisor = int(target.known(positions).sum())
    return (weights * each).sum() / (weights.sum() if divisor is None else divisor)


def numbers_loss(found: torch.Tensor, truth: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the loss of numbers (batch, targets), the mean over targets.

    "ccc": 1 less the concordance of the batch, with variances over its n. "mse": the mean square
    error, here of deviations from the mean in units of the deviation over the training part.
    """
    if kind == "mse":
        return nn.functional.mse_loss(found, truth)
    gap = found.mean(0) - truth.mean(0)
    p, t = found - found.mean(0), truth - truth.mean(0)
    below = (p * p).mean(0) + (t * t).mean(0) + gap * gap
    return (1 - 2 * (p * t).mean(0) / (below + SMALLEST)).mean()


class Tally(ABC):
    """How well outputs do, counted up batch by batch.

    A batch's outputs stay on their device until a result is asked for: no step waits for them.
    """

    main: str  # the rate that progress shows

    def __init__(self, target: Target | Numbers) -> None:
        self._columns = target.outputs
        self._outputs: list[torch.Tensor] = []
        self._positions: list[np.ndarray] = []

    def add(self, outputs: torch.Tensor, positions: np.ndarray) -> None:
        """Count a batch in: all outputs of the network, of these items."""
        self._outputs.append(outputs.detach()[:, : self._columns])
        self._positions.append(positions)

    def _fetched(self) -> list[tuple[torch.Tensor, np.ndarray]]:
        """Return the target's outputs of each batch in host memory, and its items."""
        sizes = [len(positions) for positions in self._positions]
        outputs = torch.cat(self._outputs).cpu().split(sizes)
        return list(zip(outputs, self._positions, strict=True))

    @abstractmethod
    def rates(self) -> dict[str, float]:
        """Return the rates of all that was added, those that `Hyperparameters.monitor` names."""

    @abstractmethod
    def loss(self) -> float:
        """Return the plain loss of all that was added, without weights."""


class ClassTally(Tally):
    """UAR, accuracy and cross-entropy of a target's classes; of shares the latter is to these.

    An item without a class counts in neither rate; without any such item both are 0.
    """

    main = "uar"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._target = target

    def rates(self) -> dict[str, float]:
        """Return uar and accuracy."""
        n = len(self._target.classes)
        counts = np.zeros((n, n), np.int64)
        for logits, positions in self._fetched():
            truth, said = self._target.indices[positions], logits.argmax(1).numpy()
            known = truth != IGNORED
            counts += metrics.confusion(truth[known], said[known], n)
        found = metrics.uar(counts), metrics.accuracy(counts)
        uar, accuracy = np.nan_to_num(np.array(found)).tolist()
        return {"uar": uar, "accuracy": accuracy}

    def loss(self) -> float:
        """Return the mean cross-entropy in nats."""
        shares, total = self._target.shares, 0.0
        for logits, positions in self._fetched():
            truth = self._target.indices if shares is None else shares
            wanted = torch.from_numpy(truth[positions])
            total += float(nn.functional.cross_entropy(logits.double(), wanted, reduction="sum"))
        return total / sum(map(len, self._positions))


class NumberTally(Tally):
    """CCC of numbers, the mean over targets."""

    main = "ccc"

    def __init__(self, target: Numbers) -> None:
        super().__init__(target)
        self._target = target

    def rates(self) -> dict[str, float]:
        """Return ccc; that of a target of which it is undefined counts as 0."""
        truth, found = self._both()
        each = np.nan_to_num(regression.ccc(regression.sums(truth, found)))
        return {"ccc": float(each.mean())}

    def loss(self) -> float:
        """Return the loss of all items together, as if they were one batch."""
        if self._target.loss == "ccc":
            return 1 - self.rates()["ccc"]
        truth, found = self._both()
        return float(np.mean((found - truth) ** 2))

    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the truth and what was found (items, targets)."""
        outputs = torch.cat(self._outputs).cpu().double().numpy()
        return self._target.z(np.concatenate(self._positions)), outputs


def tally(target: Target | Numbers) -> Tally:
    """Return a tally of a target, of nothing yet."""
    return NumberTally(target) if isinstance(target, Numbers) else ClassTally(target)
