"""Losses of an epoch's steps, which stay on their device until somebody looks at them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch

from sertool.core.errors import InputError

PATIENCE = 5.0  # seconds that a loss may stay unseen on another device than the processor


@dataclass
class Means:
    """The weighted means of a step's values by name, "loss" among them.

    To read a number from a GPU is to wait for it, so that the next step starts late: that is done
    for all steps together, at the epoch's end and every PATIENCE seconds. epoch: from 0.
    """

    device: torch.device
    epoch: int
    seen: float = 0
    _sums: dict[str, float] = field(default_factory=dict)
    _waiting: list[tuple[float, dict[str, torch.Tensor]]] = field(default_factory=list)
    _last: float = field(default_factory=time.monotonic)

    def add(self, share: float, minimised: torch.Tensor, values: dict[str, torch.Tensor]) -> None:
        """Count in a step of so large a share, what it minimised and what is shown of it.

        Raises InputError, sooner or later, where the former is not finite.
        """
        given = {"": minimised, **values}
        self._waiting.append((share, {name: value.detach() for name, value in given.items()}))
        if self.device.type == "cpu" or time.monotonic() - self._last > PATIENCE:
            self._fetch()

    def _fetch(self) -> None:
        """Read what waits, and add it up step by step."""
        names = self._waiting[0][1] if self._waiting else {}
        read = {name: torch.stack([v[name] for _, v in self._waiting]).tolist() for name in names}
        for step, (share, _) in enumerate(self._waiting):
            if not math.isfinite(value := read[""][step]):
                raise InputError(f"the loss is {value} in epoch {self.epoch + 1}; try a lower --lr")
            for name in names:
                self._sums[name] = self._sums.get(name, 0.0) + read[name][step] * share
            self.seen += share
        self._waiting.clear()
        self._last = time.monotonic()

    @property
    def shown(self) -> dict[str, float]:
        """The mean loss of the steps that have been read, if there are any."""
        return {"loss": self._sums["loss"] / self.seen} if self.seen else {}

    def all(self) -> dict[str, float]:
        """Return the means of all steps."""
        self._fetch()
        return {name: total / self.seen for name, total in self._sums.items() if name}
