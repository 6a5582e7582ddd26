"""What a network is trained for: the loss of a target's outputs, and how well they do."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from sertool import metrics, regression
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
        return numbers_loss(outputs, torch.from_numpy(target.z(positions)).to(outputs), target.loss)
    return class_loss(outputs, positions, target, norm, divisor, smoothing)


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
    indices = torch.from_numpy(known).to(logits.device)
    if target.item_weights is None:
        weight = torch.from_numpy(target.class_weights).to(logits)
        return entropy(logits, indices, weight)
    weights = torch.from_numpy(target.item_weights[positions]).to(logits)
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
    given = torch.from_numpy(target.tilted(positions)).to(logits)
    weights = torch.from_numpy(target.item_weights[positions]).to(logits)
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
    """How well outputs do, counted up batch by batch."""

    main: str  # the rate that progress shows

    @abstractmethod
    def add(self, outputs: torch.Tensor, positions: np.ndarray) -> None:
        """Count a batch in: all outputs of the network, of these items."""

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
        self._target = target
        self._counts = np.zeros((len(target.classes),) * 2, np.int64)
        self._sum, self._n = 0.0, 0

    def add(self, outputs: torch.Tensor, positions: np.ndarray) -> None:
        """Count a batch in: its first columns are the target's logits."""
        n = len(self._target.classes)
        truth = self._target.indices[positions]
        logits = outputs.detach()[:, :n]
        said, known = logits.argmax(1).cpu().numpy(), truth != IGNORED
        self._counts += metrics.confusion(truth[known], said[known], n)
        exact = logits.cpu().double()
        shares = self._target.shares
        wanted = torch.from_numpy(truth if shares is None else shares[positions])
        self._sum += float(nn.functional.cross_entropy(exact, wanted, reduction="sum"))
        self._n += len(positions)

    def rates(self) -> dict[str, float]:
        """Return uar and accuracy."""
        found = metrics.uar(self._counts), metrics.accuracy(self._counts)
        uar, accuracy = np.nan_to_num(np.array(found)).tolist()
        return {"uar": uar, "accuracy": accuracy}

    def loss(self) -> float:
        """Return the mean cross-entropy in nats."""
        return self._sum / self._n


class NumberTally(Tally):
    """CCC of numbers, the mean over targets."""

    main = "ccc"

    def __init__(self, target: Numbers) -> None:
        self._target = target
        self._found: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []

    def add(self, outputs: torch.Tensor, positions: np.ndarray) -> None:
        """Count a batch in."""
        self._found.append(outputs.detach()[:, : self._target.outputs].cpu().double().numpy())
        self._positions.append(positions)

    def rates(self) -> dict[str, float]:
        """Return ccc; that of a target of which it is undefined counts as 0."""
        found, truth = np.concatenate(self._found), self._target.z(np.concatenate(self._positions))
        each = np.nan_to_num(regression.ccc(regression.sums(truth, found)))
        return {"ccc": float(each.mean())}

    def loss(self) -> float:
        """Return the loss of all items together, as if they were one batch."""
        if self._target.loss == "ccc":
            return 1 - self.rates()["ccc"]
        truth = self._target.z(np.concatenate(self._positions))
        return float(np.mean((np.concatenate(self._found) - truth) ** 2))


def tally(target: Target | Numbers) -> Tally:
    """Return a tally of a target, of nothing yet."""
    return NumberTally(target) if isinstance(target, Numbers) else ClassTally(target)
