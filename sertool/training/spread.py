"""One batch over several processes, so that a step is that of one process with the whole batch.

Each computes the outputs of its own rows and is given those of the others. Every process then takes
the loss of the whole batch, whatever that is a function of: weights, shares of votes, mixtures,
the concordance of numbers. What comes back through its own rows is its part of the gradient, and
`DistributedDataParallel` adds the parts up. What looks at other rows inside the network does so
across the processes: the moments of batch normalisation are those of all rows, and dropout draws
for the whole batch and keeps its own rows, so that all draw alike.

A batch of fewer items than there are processes is computed whole by each.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from sertool.core import ranks
from sertool.models.layers import dropout
from sertool.training.mixup import Mix

DRAWING = (functional.dropout, dropout)  # what is drawn for the whole batch


@dataclass(frozen=True)
class Spread:
    """Process `number` of `count`, which share batches."""

    number: int
    count: int

    @classmethod
    def here(cls) -> Spread | None:
        """Return this process's; None where it trains alone."""
        return cls(ranks.number(), ranks.count()) if ranks.count() > 1 else None

    def parts(self, size: int) -> list[slice]:
        """Return each process's rows of a batch; all rows where there are too few."""
        if size < self.count:
            return [slice(0, size)] * self.count
        edges = [size * k // self.count for k in range(self.count + 1)]
        return [slice(*pair) for pair in pairwise(edges)]

    def wanted(self, places: Sequence[int], mix: Mix | None) -> list[int]:
        """Return the places of a batch that this process needs: its own rows', then partners'."""
        own = self.parts(len(places))[self.number]
        partners = [] if mix is None else [places[i] for i in mix.partners[own]]
        return [*places[own], *partners]

    def items(
        self, x: torch.Tensor, lengths: torch.Tensor, mix: Mix | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the own rows of what was `wanted`, as long as the whole batch, and mixed.

        x: (rows, frames, ...).
        """
        frames = torch.tensor([x.shape[1]])
        distributed.all_reduce(frames, distributed.ReduceOp.MAX)
        x = functional.pad(x, [0, 0] * (x.ndim - 2) + [0, int(frames) - x.shape[1]])
        if mix is None:
            return x, lengths
        n = len(x) // 2
        return mix.two(x[:n], x[n:]), torch.maximum(lengths[:n], lengths[n:])

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are the means over processes, for one epoch.

        Anew for each, as its gradients are gathered in an order that the first step teaches it: an
        epoch is the same whether the run began with it or not.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 renames an argument
            return DistributedDataParallel(
                network, broadcast_buffers=False, find_unused_parameters=True
            )

    def within(self, size: int) -> contextlib.AbstractContextManager[Any]:
        """Have layers look across the processes in the block, for a batch of so many items."""
        if size < self.count:
            return contextlib.nullcontext()
        return _Across(size, self.parts(size)[self.number])

    def gathered(self, outputs: torch.Tensor, size: int) -> torch.Tensor:
        """Return the outputs (size, ...) of the whole batch from those of each process's rows."""
        if size < self.count:
            return outputs
        found: torch.Tensor = _Gathered.apply(outputs, self, size)
        return found


class _Gathered(torch.autograd.Function):
    """The rows of all processes; its gradient is that of the own rows, times their number.

    For it is the mean of gradients that is taken, and the whole batch's is their sum.
    """

    @staticmethod
    def forward(ctx: Any, outputs: torch.Tensor, spread: Spread, size: int) -> torch.Tensor:
        parts = spread.parts(size)
        ctx.own, ctx.count = parts[spread.number], spread.count
        counts = [part.stop - part.start for part in parts]
        padded = outputs.new_zeros(max(counts), *outputs.shape[1:])
        padded[: len(outputs)] = outputs
        every = [torch.empty_like(padded) for _ in parts]
        distributed.all_gather(every, padded)
        return torch.cat([rows[:n] for rows, n in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return grads[0][ctx.own] * ctx.count, None, None


class _Across(TorchFunctionMode):
    """Computes batch normalisation and dropout of `own` rows as of a whole batch of `size`."""

    def __init__(self, size: int, own: slice) -> None:
        super().__init__()
        self.size, self.own = size, own

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        given = kwargs or {}
        if func is functional.batch_norm:
            return _batch_norm(*args, **given)
        if func in DRAWING and len(args[0]) == self.own.stop - self.own.start:
            return args[0] * self._drawn(func, args[0], *args[1:], **given)
        return func(*args, **given)

    def _drawn(
        self, func: Callable[..., Any], x: torch.Tensor, *args: Any, **given: Any
    ) -> torch.Tensor:
        """Return what dropout multiplies the own rows with, drawn in the layout of `x`."""
        shape = [self.size, *x.shape[1:]]
        ones = torch.empty_permuted(shape, x.dim_order(), dtype=x.dtype, device=x.device).fill_(1)
        if "inplace" in given:
            given = {**given, "inplace": False}
        drawn: torch.Tensor = func(ones, *args, **given)
        return drawn[self.own]


def _batch_norm(
    x: torch.Tensor,
    mean: torch.Tensor | None,
    variance: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    """Return `functional.batch_norm` of x (rows, maps, ...), in training over all processes."""
    if not training:
        return functional.batch_norm(x, mean, variance, weight, bias, False, momentum, eps)
    own = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    axes = [axis for axis in range(x.ndim) if axis != 1]
    var, mu = torch.var_mean(own, axes, correction=0)
    n = torch.full_like(mu[:1], x.numel() / x.shape[1])
    every = [mu.new_empty(1 + 2 * len(mu)) for _ in range(ranks.count())]
    distributed.all_gather(every, torch.cat([n, mu, var]))
    counts, means, variances = torch.stack(every).double().split([1, len(mu), len(mu)], 1)
    total = counts.sum()
    mu = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mu).square())).sum(0) / total
    if mean is not None and variance is not None:
        with torch.no_grad():
            mean.lerp_(mu.to(mean.dtype), momentum)
            variance.lerp_((var * (total / (total - 1))).to(variance.dtype), momentum)
    mu, var = mu.to(own.dtype), var.to(own.dtype)
    found: torch.Tensor = _Normalised.apply(x, weight, bias, mu, var, eps, total)
    return found


class _Normalised(torch.autograd.Function):
    """Batch normalisation by moments of the rows of all processes.

    The gradient of x is w r (g - mean(g) - x̂ mean(g x̂)), r being 1 / √(variance + eps), x̂ the
    normalised x, and the means over all rows of all processes (Ioffe & Szegedy 2015, section 3).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        mean: torch.Tensor,
        variance: torch.Tensor,
        eps: float,
        total: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, mean, variance, total)
        ctx.eps = eps
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        x, weight, mean, variance, total = ctx.saved_tensors
        g = grads[0]
        alone, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            g, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([by_bias, by_weight])
        distributed.all_reduce(sums)
        g_mean, gx_mean = (sums / total).to(sums.dtype)
        scale = (variance + ctx.eps).rsqrt()
        factor = scale if weight is None else scale * weight
        # as one function of x: factor (mean(g) + x̂ mean(g x̂))
        slope = factor * gx_mean * scale
        level = factor * g_mean - slope * mean
        shape = [1, -1] + [1] * (x.ndim - 2)
        rest = torch.addcmul(level.view(shape).to(x.dtype), slope.view(shape).to(x.dtype), x)
        wanted = (None, None) if weight is None else (by_weight, by_bias)
        return alone - rest, *wanted, None, None, None, None
