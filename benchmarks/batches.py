"""Padding and time per epoch: batches by length and by frames next to random ones.

    python benchmarks/batches.py FOLDER [--kind mel] [--model NAME] [--batch-size 16] [--rounds 3]

FOLDER: audio files of many lengths, which are featurized first. The same network, on one thread,
trains an epoch with each kind of batches in turn, `--rounds` times; the medians are shown, and
their ratios to random batches. Without `--model`: two convolutions over time and a GRU, which reads
padding, too; a model that `sertool list models` names must take items of any length.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import measured

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from torch import nn

    from sertool.formats.store import Store
    from sertool.models import Network
    from sertool.training.loop import Task

KINDS = ("count", "length", "frames")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of audio files")
    parser.add_argument("--kind", default="mel", help="of features (default: mel)")
    parser.add_argument("--model", help="a model that takes items of any length")
    parser.add_argument("--batch-size", type=int, default=16, help="items (default: 16)")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each (default: 3)")
    parser.add_argument("--tmp", type=Path, help="where the store goes for the while")
    measured.options(parser)
    options = parser.parse_args()
    options.rounds = 1 if options.quick else options.rounds
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-", dir=options.tmp) as name:
        path = Path(name, "s.h5")
        command = [sys.executable, "-m", "sertool", "featurize", "--quiet", "--kind", options.kind]
        subprocess.run([*command, str(options.folder), str(path)], check=True)
        measured.write(options.json, measure(path, options))


def measure(path: Path, options: argparse.Namespace) -> list[measured.Row]:
    """Train epochs by each kind in turn; print and return padding, the largest batch and time."""
    from sertool.formats.store import Store
    from sertool.training import batches

    with Store(path) as store:
        lengths = store.lengths()
        middle = sorted(lengths.tolist())[len(lengths) // 2]
        print(f"{len(store)} items of {lengths.min()} to {lengths.max()} frames, median {middle}")
        tasks = {by: make_task(store, by, options) for by in KINDS}
        took: dict[str, list[float]] = {by: [] for by in KINDS}
        for number in range(options.rounds):
            for by, task in tasks.items():
                took[by].append(epoch(task, number, options))
        rows = []
        cost = {by: statistics.median(seconds) for by, seconds in took.items()}
        for by, task in tasks.items():
            places, given = task.train, lengths[task.train]
            plans = [
                batches.plan_epoch(places, given, task.hp, task.seed, number)
                for number in range(options.rounds)
            ]
            held = [lengths[batch] for plan in plans for batch in plan]
            share = 1 - sum(part.sum() for part in held) / sum(p.max() * len(p) for p in held)
            largest = max(len(b) * int(lengths[b].max()) for plan in plans for b in plan)
            steps = statistics.mean(map(len, plans))
            ratio = cost[by] / cost["count"]
            print(
                f"{by}: padding {100 * share:.1f} % of frames, {steps:.0f} steps, largest batch"
                f" {largest} frames, {cost[by]:.2f} s an epoch ({ratio:.2f} of count)"
            )
            what = f"an epoch by {by}, {100 * share:.0f} % of its frames padding"
            beside = None if by == "count" else "random batches"
            rows.append(measured.Row(what, cost[by], "s CPU", beside, ratio if beside else None))
    return rows


def make_task(store: Store, by: str, options: argparse.Namespace) -> Task:
    """Return the task of training on all items that have a label."""
    import torch

    from sertool.models import statistics
    from sertool.targets import class_names, make_target
    from sertool.training import loop
    from sertool.training.batches import Source

    items = store.items()
    train = [i for i, item in enumerate(items) if item.label is not None]
    source = Source(store, lambda features: features)
    source.statistics = statistics.fit(map(source.seen, train), "feature")
    found = network(options.model) if options.model else small()
    hp = dataclasses.replace(found.defaults(), batch_by=by, batch_size=options.batch_size)
    target = make_target(class_names(items, "label"), train, "label")
    return loop.Task(found, source, train, [], [target], hp, 0, torch.device("cpu"))


def network(name: str) -> Network:
    """Return a model of the list that takes items of any length."""
    from sertool.models import Network, model

    found = model(name)()
    if not isinstance(found, Network) or found.fixed_length or found.pictures:
        sys.exit(f"{name}: takes no items of any length")
    return found


def epoch(task: Task, number: int, options: argparse.Namespace) -> float:
    """Return the seconds of CPU of an epoch of a fresh network."""
    import torch

    from sertool.training import loop
    from sertool.ui.console import Console

    torch.set_num_threads(1)
    shape, outputs = task.source.store.shape, len(task.targets[0].classes)
    torch.manual_seed(0)
    made = task.model.build(None, shape, outputs)
    run = loop.Run(made, loop.make_optimizer(made, task))
    with Console.silent().progress(None, "items") as progress:
        begin = time.process_time()
        loop.train_epoch(run, task, number, progress)
        return time.process_time() - begin


def small() -> Network:
    """Return two convolutions over time, a GRU, and a linear layer on its last valid state."""
    import torch
    from torch import nn

    from sertool.models import Network
    from sertool.models.hyperparameters import Hyperparameters

    class Module(nn.Module):
        def __init__(self, dims: int, outputs: int) -> None:
            super().__init__()
            self.convs = nn.Sequential(
                *[nn.Conv1d(dims, 64, 5, padding=2), nn.ReLU()],
                *[nn.Conv1d(64, 64, 5, padding=2), nn.ReLU()],
            )
            self.gru = nn.GRU(64, 32, batch_first=True)
            self.out = nn.Linear(32, outputs)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            states = self.gru(self.convs(x.transpose(1, 2)).transpose(1, 2))[0]
            logits: torch.Tensor = self.out(states[torch.arange(len(x)), lengths - 1])
            return logits

    class Small(Network):
        name, summary, Settings = "small", "a benchmark's", object

        def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
            return Module(shape[0], outputs)

        def defaults(self) -> Hyperparameters:
            return Hyperparameters()

    return Small()


if __name__ == "__main__":
    main()
