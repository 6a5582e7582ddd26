"""Learning-rate schedules: pure functions of the epochs so far, so that resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sertool.models.hyperparameters import Hyperparameters

THRESHOLD = 1e-4  # relative: a smaller fall of the loss is no progress (torch's default)


def learning_rate(hp: Hyperparameters, losses: Sequence[float]) -> float:
    """Return the rate of the epoch after those that ended with `losses`.

    `losses`: one number an epoch, validation's if there is one. "plateau" is the rule of torch's
    ReduceLROnPlateau; "cosine" that of Loshchilov & Hutter (2017) without restarts.
    """
    epoch = len(losses)
    if hp.schedule == "step":
        return hp.lr * hp.schedule_factor ** (epoch // hp.schedule_step)
    if hp.schedule == "cosine":
        return hp.lr * 0.5 * (1 + math.cos(math.pi * epoch / hp.epochs))
    if hp.schedule == "plateau":
        return hp.lr * hp.schedule_factor ** _plateaus(losses, hp.schedule_patience)
    return hp.lr


def _plateaus(losses: Sequence[float], patience: int) -> int:
    """Return how often the loss has gone more than `patience` epochs without progress."""
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < best * (1 - THRESHOLD):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            waited, found = 0, found + 1
    return found
