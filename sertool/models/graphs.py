"""Parts of ONNX graphs that models have in common, in float64 as their NumPy code has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sertool.formats.onnx_graph import Graph

TINY = float(np.finfo(np.float64).tiny)  # the least posterior that has a logarithm


@dataclass(frozen=True)
class Inputs:
    """The inputs of a single model: see `formats.onnx`."""

    features: str
    lengths: str
    item: str


def inputs(graph: Graph, suffix: str, frames: int | str, dims: Sequence[int]) -> Inputs:
    """Declare the inputs of a model; suffix: what ends their names."""
    rows = f"rows{suffix}"
    return Inputs(
        graph.input(f"features{suffix}", "f4", (rows, frames, *dims)),
        graph.input(f"lengths{suffix}", "i8", (rows,)),
        graph.input(f"item{suffix}", "i8", (rows,)),
    )


class Values:
    """Features of rows over time: (rows, frames, dims), of which each has so many frames.

    As `models.linear.over_time` lays them out: pictures (frames, height, width, channels) over
    their width, samples (frames,) as one dimension.
    """

    def __init__(self, graph: Graph, given: Inputs, dims: Sequence[int]) -> None:
        self.graph = graph
        x, lengths = graph.cast(given.features, "f8"), given.lengths
        if len(dims) == 3:
            height, width, channels = dims
            x = graph.op("Transpose", x, perm=[0, 1, 3, 2, 4])
            x = graph.op("Reshape", x, graph.constant([0, -1, height * channels]))
            lengths = graph.op("Mul", lengths, graph.constant(np.int64(width)))
        else:
            x = graph.op("Reshape", x, graph.constant([0, 0, math.prod(dims)]))
        frames = graph.op("Gather", graph.op("Shape", x), graph.constant(np.int64(1)))
        zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
        places = graph.op("Unsqueeze", graph.op("Range", zero, frames, one), graph.constant([0]))
        ends = graph.op("Unsqueeze", lengths, graph.constant([1]))
        inside = graph.op("Less", places, ends)
        self.inside = graph.op("Unsqueeze", inside, graph.constant([2]))  # (rows, frames, 1)
        self._count = graph.cast(ends, "f8")  # (rows, 1)
        self.x = x

    def mean(self) -> str:
        """Return the mean over time (rows, dims)."""
        return self._mean(self.x)

    def sd(self) -> str:
        """Return the standard deviation over time (rows, dims)."""
        graph = self.graph
        mean = graph.op("Unsqueeze", self.mean(), graph.constant([1]))
        away = graph.op("Sub", self.x, mean)
        return graph.op("Sqrt", self._mean(graph.op("Mul", away, away)))

    def extreme(self, kind: str) -> str:
        """Return the Min or Max over time (rows, dims)."""
        graph = self.graph
        beyond = graph.constant(np.inf if kind == "Min" else -np.inf)
        return graph.total(graph.op("Where", self.inside, self.x, beyond), 1, kind, keep=False)

    def _mean(self, x: str) -> str:
        graph = self.graph
        own = graph.op("Where", self.inside, x, graph.constant(0.0))
        return graph.op("Div", graph.total(own, 1, keep=False), self._count)


def scaled(graph: Graph, rows: str, mean: np.ndarray, sd: np.ndarray) -> str:
    """Return z-scores of rows (rows, columns)."""
    return graph.op("Div", graph.op("Sub", rows, graph.constant(mean)), graph.constant(sd))


def dense(graph: Graph, rows: str, weights: np.ndarray, biases: np.ndarray) -> str:
    """Return rows @ weights.T + biases, of rows (rows, columns) and weights (outputs, columns)."""
    product = graph.op("MatMul", rows, graph.constant(np.ascontiguousarray(weights.T)))
    return graph.op("Add", product, graph.constant(biases))


def averaged(graph: Graph, shares: str, item: str) -> str:
    """Return the mean of the rows of each item: (items, outputs) of (rows, outputs)."""
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    items = graph.op("Add", graph.total(item, 0, "Max", keep=False), one)
    every = graph.op("Unsqueeze", graph.op("Range", zero, items, one), graph.constant([1]))
    of = graph.op("Equal", every, graph.op("Unsqueeze", item, graph.constant([0])))
    of = graph.cast(of, "f8")  # (items, rows)
    return graph.op("Div", graph.op("MatMul", of, shares), graph.total(of, 1))


def tempered(graph: Graph, shares: str, temperature: float) -> str:
    """Return posteriors at a temperature: see `metrics.tempered`."""
    if temperature == 1.0:
        return shares
    logits = graph.op("Log", graph.op("Max", shares, graph.constant(TINY)))
    return graph.softmax(graph.op("Div", logits, graph.constant(float(temperature))))
