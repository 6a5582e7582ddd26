"""From a network's description and a division of the store to its trained tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sertool.checkpoint import Checkpoint
from sertool.console import Console
from sertool.errors import InputError
from sertool.models import Network
from sertool.outputs import Parts
from sertool.paths import show
from sertool.store import Store
from sertool.training import device as devices
from sertool.training import loop, statistics
from sertool.training.batches import Source
from sertool.training.hyperparameters import Hyperparameters
from sertool.training.parts import Division
from sertool.training.saving import Saver
from sertool.training.targets import Target


@dataclass
class Trained:
    """What training leaves: tensors by their names in the checkpoint, `meta` to merge in."""

    tensors: dict[str, Any]
    meta: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A network and how it is trained: `setup` makes its task for one division of a store."""

    network: Network
    settings: Any
    hp: Hyperparameters
    seed: int
    device: torch.device
    init: Checkpoint | None = None


def check_items(plan: Plan, store: Store, used: Sequence[int]) -> int | None:
    """Return the items' length in frames if the network or its statistics need one, else None.

    Raises InputError where the items do not suit the network.
    """
    name = plan.network.name
    if len(store.shape) != 1:
        raise InputError(
            f"{show(store.path)}: {name} needs features over time (mel, mfcc, …), and this store"
            f" holds {store.kind}; featurize it"
        )
    lengths = store.lengths()[list(used)]
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest == 0:
        raise InputError(f"{show(store.path)}: an item without a single frame")
    if not plan.network.fixed_length and plan.hp.normalisation != "cell":
        return None
    if shortest != longest:
        why = name if plan.network.fixed_length else "--normalisation cell"
        raise InputError(
            f"{show(store.path)}: {why} needs items of one length, and these have {shortest} to"
            f" {longest} frames; featurize with --duration S --fit both"
        )
    return longest


def train_network(
    plan: Plan,
    store: Store,
    division: Division,
    targets: list[Target],
    frames: int | None,
    parts: Parts,
    console: Console,
) -> Trained:
    """Fit statistics and weights on the division's training part; see `loop.fit`."""
    devices.prepare(plan.device)
    source = Source(store, plan.network.view(plan.settings))
    source.statistics = statistics.fit(
        (source.seen(i) for i in division.train), plan.hp.normalisation
    )
    outputs = sum(len(target.classes) for target in targets)
    inputs = int(source.seen(division.train[0]).shape[1])
    loop.seed_torch(plan.seed, "init")
    network = plan.network.build(
        plan.settings, frames if plan.network.fixed_length else None, inputs, outputs
    )
    task = loop.Task(
        source,
        division.train,
        division.val,
        targets,
        plan.hp,
        plan.seed,
        plan.device,
        initialise(network, plan, console),
        "training" if division.fold is None else f"fold {division.fold}",
    )
    run = loop.fit(network, task, Saver(parts), console)
    return _trained(plan, run, source.statistics, targets, frames, inputs)


def _trained(
    plan: Plan,
    run: loop.Run,
    fitted: statistics.Statistics,
    targets: list[Target],
    frames: int | None,
    inputs: int,
) -> Trained:
    """Return the best weights and statistics, and what describes them.

    Raises InputError where training ended in weights that are no numbers.
    """
    if not all(bool(torch.isfinite(value).all()) for value in run.best.values()):
        raise InputError("training ended in weights that are not finite; try a lower --lr")
    tensors: dict[str, Any] = {f"model.{name}": value for name, value in run.best.items()}
    tensors |= {"statistics.mean": fitted.mean, "statistics.sd": fitted.sd}
    described = {
        "frames": frames if plan.network.fixed_length else None,
        "inputs": inputs,
        "outputs": sum(len(target.classes) for target in targets),
        "heads": [{"field": t.field, "classes": t.classes, "weight": t.weight} for t in targets],
        "normalisation": plan.hp.normalisation,
        "parameters": sum(p.numel() for p in run.network.parameters()),
    }
    best = loop.best_epoch(run.history, plan.hp.monitor) + 1
    return Trained(tensors, {"model": described, "history": run.history, "best_epoch": best})


def initialise(network: nn.Module, plan: Plan, console: Console) -> frozenset[str]:
    """Copy the tensors of `plan.init` that fit into `network`; return the names of those copied.

    Raises InputError where nothing of it fits.
    """
    if plan.init is None:
        return frozenset()
    arrays = plan.init.subset("model")
    copied = set()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name in arrays and arrays[name].shape == tensor.shape:
                tensor.copy_(torch.from_numpy(arrays[name]))
                copied.add(name)
    if not copied:
        raise InputError("--init: none of its tensors fits this network and these features")
    total = len(network.state_dict())
    console.note(f"{len(copied)} of {total} tensors are those of --init, the others start afresh")
    return frozenset(copied)
