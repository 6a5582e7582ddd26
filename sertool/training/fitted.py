"""What fitting one model leaves, before it becomes a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sertool.formats.checkpoint import Model


@dataclass
class Fitted:
    """A fitted model: tensors by their names in the checkpoint, and what describes them.

    tensors: NumPy arrays, or torch tensors of any device. history: one row of rates per epoch.
    best_epoch: the epoch, from 1, whose weights these are. last: the same after the last epoch,
    where that is kept.
    """

    tensors: dict[str, Any]
    model: Model
    history: list[dict[str, float]]
    best_epoch: int
    last: Fitted | None = None

    def described(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return what a checkpoint keeps of the model itself (see `checkpoint.Trained`)."""
        known = {n: v for n, v in msgspec.to_builtins(self.model).items() if v is not None}
        return {
            "classes": list(classes),
            "model": known | {"frames": self.model.frames},
            "history": self.history,
            "best_epoch": self.best_epoch,
        }
