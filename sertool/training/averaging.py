"""The running mean of a network's weights, which generalises better than its last step does.

Exponential, over steps: Polyak averaging as Tarvainen & Valpola (2017) use it. Early on, when there
is little to remember, it forgets faster: of step n it keeps at most (n + 1) / (n + 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class Average:
    """The mean of the weights, and of the running statistics, after `steps` steps.

    decay: how much of it a step keeps, below 1. weights: as the network's `state_dict`.
    """

    decay: float
    weights: dict[str, torch.Tensor]
    steps: int = 0
    _pairs: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    @classmethod
    def of(cls, network: nn.Module, decay: float) -> Average:
        """Return the mean of a network's first weights."""
        return cls(decay, {name: t.detach().clone() for name, t in network.state_dict().items()})

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's weights in after a step; counters are taken over as they are."""
        keep = min(self.decay, (self.steps + 1) / (self.steps + 10))
        self.steps += 1
        if not self._pairs:  # the tensors stay where they are
            self._pairs = [(self.weights[name], t) for name, t in network.state_dict().items()]
        for mean, tensor in self._pairs:
            if tensor.dtype.is_floating_point:
                mean.lerp_(tensor, 1 - keep)
            else:
                mean.copy_(tensor)

    @contextmanager
    def within(self, network: nn.Module) -> Iterator[None]:
        """Let the network have the mean for a while."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)
