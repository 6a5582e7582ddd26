"""Networks as ONNX graphs, by torch's tracing exporter.

Its newer one (`dynamo=True`) refuses what depends on the lengths in a batch, as the house model
does to leave out masks where nothing is padded.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, cast

import torch
from torch import nn

from sertool.core.errors import UsageError
from sertool.formats.onnx import OPSET
from sertool.models.masking import zero_after
from sertool.models.statistics import CENTRED, Statistics

ROWS, FRAMES = 2, 48  # of the example that is traced: two rows of different lengths


class Normalised(nn.Module):
    """A network that takes features as they are: see `statistics.Statistics.apply`."""

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, network: nn.Module, statistics: Statistics) -> None:
        super().__init__()
        self.network, self.how = network, statistics.normalisation
        self.register_buffer("mean", torch.from_numpy(statistics.mean))
        self.register_buffer("sd", torch.from_numpy(statistics.sd))

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return what the network does of features (rows, frames, ...)."""
        if self.how not in ("none", "unit"):
            x = x - self.mean
        if self.how not in ("none", *CENTRED):
            x = x / self.sd
        out: torch.Tensor = self.network(zero_after(x, lengths, 1), lengths)
        return out


def trace(
    network: nn.Module,
    statistics: Statistics,
    frames: int | None,
    shape: tuple[int, ...],
    shortest: int,
) -> bytes:
    """Return an ONNX model of features (rows, frames, *shape) and lengths.

    frames: of every row; None for any number from `shortest` on. Raises UsageError where the
    network does what has no counterpart in ONNX.
    """
    length = frames or max(shortest, FRAMES) + 1
    x = torch.zeros(ROWS, length, *shape)
    lengths = torch.tensor([length, max(1, length - 1)])
    varying = {0: "rows"} if frames else {0: "rows", 1: "frames"}
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is constant here, as it should be
            torch.onnx.export(
                Normalised(network, statistics).eval(),
                (x, lengths),
                cast(Any, file),  # a path, says the declaration
                dynamo=False,
                autograd_inlining=False,
                opset_version=OPSET,
                input_names=["features", "lengths"],
                output_names=["out"],
                dynamic_axes={"features": varying, "lengths": {0: "rows"}},
            )
    except Exception as error:  # torch's own, of many kinds
        first = str(error).strip().partition("\n")[0]
        raise UsageError(f"has no ONNX graph: {first}") from error
    return file.getvalue()
