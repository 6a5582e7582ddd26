"""Recurrent layers as one operator of ONNX, which torch's exporter cannot trace by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class _Cells(torch.autograd.Function):
    """A recurrent layer over rows of different lengths, as one operator of ONNX."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        lengths: torch.Tensor | None,
        cells: nn.LSTM | nn.GRU,
        *_: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values of the right shapes: the trace asks for no more."""
        states, last = cells(x)
        last = last[0] if isinstance(last, tuple) else last
        return states.transpose(0, 1).unflatten(2, (len(last), -1)).transpose(1, 2), last

    @staticmethod
    def symbolic(
        g: Any, x: Any, lengths: Any, cells: nn.LSTM | nn.GRU, *parts: Any
    ) -> tuple[Any, Any]:
        """Return the operator: states (frames, directions, rows, hidden), and the last of them."""
        lstm = isinstance(cells, nn.LSTM)
        attributes: dict[str, Any] = {
            "hidden_size_i": cells.hidden_size,
            "direction_s": "bidirectional" if cells.bidirectional else "forward",
        }
        if not lstm:
            attributes["linear_before_reset_i"] = 1  # as torch has it
        given = [g.op("Transpose", x, perm_i=[1, 0, 2]), *parts]
        given += [] if lengths is None else [lengths]
        found = g.op("LSTM" if lstm else "GRU", *given, outputs=3 if lstm else 2, **attributes)
        return found[0], found[1]


def recurrent(
    cells: nn.LSTM | nn.GRU, x: torch.Tensor, lengths: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `masking.Recurrent` does of sequences (rows, frames, dims), to be traced."""
    ends = None if lengths is None else lengths.to(torch.int32)
    order = [0, 3, 1, 2] if isinstance(cells, nn.LSTM) else [1, 0, 2]  # of ONNX's gates in torch's

    def ordered(name: str, direction: str) -> torch.Tensor:
        gates = getattr(cells, f"{name}_l0{direction}").detach().chunk(len(order))
        return torch.cat([gates[i] for i in order])

    directions = ["", "_reverse"] if cells.bidirectional else [""]
    weights = [
        torch.stack([ordered(name, each) for each in directions])
        for name in ("weight_ih", "weight_hh")
    ]
    biases = [
        torch.cat([ordered("bias_ih", each), ordered("bias_hh", each)]) for each in directions
    ]
    found = _Cells.apply(x, ends, cells, *weights, torch.stack(biases))
    states, last = found
    return states.permute(2, 0, 1, 3).flatten(2), last.transpose(0, 1).flatten(1)
