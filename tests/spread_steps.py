"""Steps of training by all processes together, and by each alone: how far they are apart, as JSON.

`test_torchrun.py` starts it in processes that train together.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sertool.formats.store import Store
from sertool.models import Network, device, model, statistics
from sertool.targets import class_names, make_numbers, make_target, weigh_items
from sertool.training import augmenting, group, loop
from sertool.training.batches import Source
from sertool.training.spread import Spread

ON_CPU = torch.device("cpu")
FRAMES = 128  # of an item where a network needs one length
FEW, MANY = {"batch_size": 8}, {"batch_size": 11, "class_weights": "balanced"}
CASES: dict[str, dict[str, Any]] = {
    "sertool": FEW,  # batch normalisation of packed items, dropout, mixup, label smoothing
    "sertool, augmented": {"augment": None} | FEW,
    "sertool, frames": {"batch_by": "frames", "batch_frames": 400} | FEW,
    # dropout that draws 16 bits
    "sundharam-bilstm": {"normalisation": "feature"} | FEW,
    "ma2018": {"length_weights": "inverse", "loss_norm": "epoch"} | MANY,
    "ma2018, n": {"mixup": 0.4, "length_weights": "inverse", "loss_norm": "n"} | MANY,
    "ma2018, numbers": {"loss": "ccc", "loss_norm": "sum_w", "length_weights": "none"} | FEW,
}


def _repeated(features: np.ndarray) -> np.ndarray:
    return np.resize(features, (FRAMES, features.shape[1]))


def task_of(store: Store, name: str, changes: dict[str, Any]) -> loop.Task:
    """Return the task of training on all items, of the case of this name."""
    changes = dict(changes)
    found = model(name.partition(",")[0])()
    assert isinstance(found, Network)
    augmented, numbers = "augment" in changes, changes.pop("loss", None)
    changes.pop("augment", None)
    hp = dataclasses.replace(found.defaults(), **changes)
    items, every = store.items(), list(range(30))
    source = Source(store, _repeated if found.fixed_length else found.view)
    source.statistics = statistics.fit(map(source.seen, every), hp.normalisation)
    target: Any = make_target(class_names(items, "label"), every, "label", 1, hp.class_weights)
    if numbers:
        values = np.random.default_rng(0).normal(size=(len(items), 2))
        target = make_numbers(["a", "b"], values, every, numbers)
    elif hp.loss_norm != "sum_w":
        target = weigh_items(target, items, every, store.lengths(), hp.length_weights)
    steps = found.augment if augmented else {}
    changed = augmenting.make(found, items, steps, None, 0)
    return loop.Task(found, source, every, [], [target], hp, 0, ON_CPU, augmenting=changed)


def steps(task: loop.Task, spread: Spread | None) -> tuple[list[float], torch.Tensor, torch.Tensor]:
    """Return the losses of an epoch's steps in float64, the weights after it, and the buffers."""
    task.spread = spread
    torch.manual_seed(0)
    outputs = sum(target.outputs for target in task.targets)
    frames = FRAMES if task.model.fixed_length else None
    network = task.model.build(frames, (64,), outputs)
    device.place(network, ON_CPU)
    network.double().train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    called = spread.wrapped(network) if spread else network
    plan = [*loop._plan(task, 0), [3, 7]]  # at last fewer items than processes
    per_step = loop.step_weights(task, plan)
    losses = []
    for x, lengths, positions, mix in loop._batches(task, 0, plan):
        with loop._across(task, positions):
            logits = loop._gathered(task, called(x.double(), lengths), positions)
        loss = loop._mixed_loss(logits, positions, task, mix, per_step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    weights = torch.cat([p.detach().flatten() for p in network.parameters()])
    buffers = [b.double().flatten() for b in network.buffers()]
    return losses, weights, torch.cat([torch.zeros(1, dtype=torch.float64), *buffers])


def main() -> None:
    """Print the largest differences of each case: between losses, weights, buffers."""
    group.join("cpu")
    here = Spread.here()
    assert here is not None
    apart = {}
    with Store(Path(sys.argv[1])) as store:
        for name, changes in CASES.items():
            task = task_of(store, name, changes)
            (one, *alone), (all_, *together) = steps(task, None), steps(task, here)
            gaps = [float((a - b).abs().max()) for a, b in zip(alone, together, strict=True)]
            apart[name] = [float(np.abs(np.subtract(one, all_)).max()), *gaps]
    print(json.dumps(apart))


if __name__ == "__main__":
    main()
