"""Tests of the optimiser's groups against steps written out as Caffe's solver takes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sertool.models.hyperparameters import Hyperparameters
from sertool.training import loop

LOADED = ("0.weight", "0.bias")  # of --init, where a test has weights from there


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.LSTM(12, 4), Last()).double()


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 2)

    def forward(self, x: Any) -> torch.Tensor:
        out: torch.Tensor = self.dense(x[0])
        return out


def train(hp: Hyperparameters, loaded: tuple[str, ...], steps: int = 4) -> tuple[Any, Any]:
    """Return the parameters after each step, and their gradients before it, by name."""
    module = network()
    task: Any = SimpleNamespace(hp=hp, pretrained=frozenset(loaded))
    optimizer = loop.make_optimizer(module, task)
    for group in optimizer.param_groups:
        group["lr"] = hp.lr * group["scale"]
    x, y = torch.rand(5, 2, 3, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    values, gradients = [], []
    for step in range(steps + 1):
        values.append({n: p.detach().numpy().copy() for n, p in module.named_parameters()})
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        gradients.append({n: p.grad.numpy().copy() for n, p in module.named_parameters()})
        if step < steps:
            optimizer.step()
    return values, gradients


@pytest.mark.parametrize("loaded", [(), LOADED])
@pytest.mark.parametrize("biases", ["alike", "caffe"])
def test_steps_are_those_of_caffes_solver(biases: str, loaded: tuple[str, ...]) -> None:
    hp = Hyperparameters(
        optimizer="sgd", lr=0.2, momentum=0.9, weight_decay=0.3, lr_scale=0.1, biases=biases
    )
    values, gradients = train(hp, loaded)
    for name, value in values[0].items():
        is_bias = ".bias" in name
        lr_mult = (2 if is_bias and biases == "caffe" else 1) * (0.1 if name in loaded else 1)
        decay_mult = 0 if is_bias and biases == "caffe" else 1
        w, history = value, np.zeros_like(value)
        for step in range(4):  # sgd_solver.cpp: local_decay, then local_rate and momentum
            diff = gradients[step][name] + 0.3 * decay_mult * w
            history = 0.2 * lr_mult * diff + 0.9 * history
            w = w - history
            np.testing.assert_allclose(values[step + 1][name], w, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_has_the_same_groups(optimizer: str) -> None:
    hp = Hyperparameters(optimizer=optimizer, lr=0.01, weight_decay=0.0, biases="caffe")
    values, _ = train(hp, (), steps=1)
    for name, before in values[0].items():  # Adam's first step is as long as its rate
        factor = 2 if ".bias" in name else 1
        np.testing.assert_allclose(
            np.abs(values[1][name] - before), 0.01 * factor, rtol=0.02, err_msg=name
        )
