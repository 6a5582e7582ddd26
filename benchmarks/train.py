"""Training steps next to those of a plain PyTorch loop of the same network, on the same batches.

    python benchmarks/train.py [--model NAME …] [--job NAME …] [--rounds 5] [--threads 1] [--quick]

The items are noise. Every job trains a network of its own from the same weights in a process of
its own, and they take turns, an epoch each; the first turn is not counted. Printed are medians of
CPU time, in which other work on the machine counts for little, and the largest difference between
the losses of the first epoch, step by step. `plain` is what one writes by hand: normalised tensors
in a list, `pad_sequence`, the same loss, clipping, optimiser, mixup and running mean; `fused` has a
fused optimiser, `compiled` is by torch.compile (what that takes is printed apart).
Augmentation, which the plain loop lacks, is left out of all jobs but `augmented`.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import measured
import numpy as np

if TYPE_CHECKING:
    import torch

    from sertool.formats.store import Store
    from sertool.training.loop import Task

SIZES = {  # items, frames of the shortest and of the longest, values of a frame, items of a batch
    "sundharam-cnn": (96, 216, 216, 64, 32),
    "ma2018": (48, 80, 200, 200, 16),
    "sertool": (128, 96, 160, 64, 32),
}
AUGMENTED = ("sertool",)  # those that change items as they are read
JOBS = ("sertool", "plain", "fused", "compiled", "augmented")
QUICK = 3  # epochs of each with --quick
USUAL = ("sertool", "plain", "augmented")
CLASSES = 7
LEARNED = 1e-3  # of the usual rate: noise is nothing to learn, and must not end in infinity


class Epoch(NamedTuple):
    """What an epoch took in seconds of CPU, the steps' losses, and what loading it took."""

    seconds: float
    losses: list[float]
    loading: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=SIZES, default=list(SIZES), metavar="NAME")
    parser.add_argument("--job", nargs="+", choices=JOBS, default=list(USUAL), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (default: 1)")
    measured.options(parser)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # its pool waits for ever in a daemon
    rounds = min(options.rounds, QUICK) if options.quick else options.rounds
    rows: list[measured.Row] = []
    print("| model | job | CPU ms/step | steps/s relative to plain | loading | losses differ by |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in options.model:
        jobs = [job for job in options.job if job != "augmented" or name in AUGMENTED]
        rows += measure(name, jobs, rounds)
    measured.write(options.json, rows)


def measure(name: str, jobs: list[str], rounds: int) -> list[measured.Row]:
    """Let the jobs of a model take turns and print a row for each; return what they are kept as."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-") as folder:
        path = Path(folder, "noise.h5")
        make(path, name)
        pipes: dict[str, Connection] = {}
        for job in jobs:
            pipes[job], theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, path, name, job), daemon=True).start()
        found: dict[str, list[Epoch]] = {job: [] for job in jobs}
        for turn in range(1 + rounds):
            for job, pipe in pipes.items():
                pipe.send(turn)
                found[job].append(pipe.recv())
        for pipe in pipes.values():
            pipe.send(None)
    took = {job: statistics.median(e.seconds for e in epochs[1:]) for job, epochs in found.items()}
    first = {job: np.array(epochs[0].losses) for job, epochs in found.items()}
    rows: list[measured.Row] = []
    for job, epochs in found.items():
        steps = len(epochs[0].losses)
        ratio = f"{took['plain'] / took[job]:.2f}" if "plain" in took else ""
        same = "plain" in first and job != "augmented"
        apart = f"{np.abs(first[job] - first['plain']).max():.0e}" if same else ""
        share = statistics.median(e.loading for e in epochs[1:]) / took[job]
        loading = f"{100 * share:.1f} %" if epochs[0].loading else ""
        print(
            f"| {name} | {job} | {1000 * took[job] / steps:.1f} | {ratio} | {loading} | {apart} |"
        )
        if "plain" in took:
            rows += kept(name, job, 1000 * took[job] / steps, took["plain"] / took[job], share)
        if job == "compiled":
            extra = epochs[0].seconds - took[job]
            print(f"{name}: compiling took {extra:.0f} s of CPU more", file=sys.stderr)
    sys.stdout.flush()
    return rows


def kept(name: str, job: str, cost: float, ratio: float, loading: float) -> list[measured.Row]:
    """Return what is kept of a job: its steps per second over plain's, and loading's share."""
    if job == "augmented":
        share = round(100 * loading, 1)
        return [
            measured.Row(f"{name}: loading of augmented items", share, "% of a step", at_most=5)
        ]
    beside, least = (None, None) if job == "plain" else ("a plain PyTorch loop", 1.0)
    own = round(ratio, 2) if beside else None
    what = f"{name}: a step of {'train' if job == 'sertool' else job}"
    return [measured.Row(what, round(cost, 1), "ms CPU", beside, own, at_least=least)]


def make(path: Path, name: str) -> None:
    """Write a store of noise."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from made_stores import write_store

    n, shortest, longest, dims, _ = SIZES[name]
    random = np.random.default_rng(0)
    lengths = random.permutation(np.linspace(shortest, longest, n).round().astype(int))
    arrays = [random.normal(0, 5, (length, dims)).astype(np.float32) for length in lengths]
    items = [{"id": f"c/{i}", "origin": f"c/{i}", "label": f"k{i % CLASSES}"} for i in range(n)]
    write_store(path, arrays, items)


def serve(pipe: Connection, path: Path, name: str, job: str) -> None:
    """Train an epoch whenever its number comes through the pipe; end with None."""
    import torch

    from sertool.formats.store import Store

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with Store(path) as store:
        task = make_task(store, name, augmented=job == "augmented")
        own = job in ("sertool", "augmented")
        train = sertools(task, store) if own else Plain(task, store, job).epoch
        while (turn := pipe.recv()) is not None:
            pipe.send(train(turn))


def make_task(store: Store, name: str, augmented: bool) -> Task:
    """Return the task of training on all items, as `train` makes it."""
    import torch

    from sertool.models import Network, model
    from sertool.models import statistics as normalising
    from sertool.targets import class_names, make_target, weigh_items
    from sertool.training import augmenting, loop
    from sertool.training.batches import Source

    found = model(name)()
    assert isinstance(found, Network)
    hp = dataclasses.replace(found.defaults(), batch_size=SIZES[name][-1])
    hp = dataclasses.replace(hp, lr=hp.lr * LEARNED)
    source, every, items = Source(store, found.view), list(range(len(store))), store.items()
    source.statistics = normalising.fit(map(source.seen, every), hp.normalisation)
    target = make_target(class_names(items, "label"), every, "label", 1.0, hp.class_weights)
    if hp.loss_norm != "sum_w":
        target = weigh_items(target, items, every, store.lengths(), hp.length_weights)
    changes = augmenting.make(found, items, found.augment, None, 0) if augmented else None
    places = changes.places(every) if changes else every
    device = torch.device("cpu")
    return loop.Task(found, source, places, [], [target], hp, 0, device, augmenting=changes)


def network_of(task: Task) -> torch.nn.Module:
    """Return the untrained network, the same for every job."""
    import torch

    torch.manual_seed(0)
    seen = task.source.seen(0)
    frames = len(seen) if task.model.fixed_length else None
    return task.model.build(frames, seen.shape[1:], CLASSES)


def sertools(task: Task, store: Store) -> Callable[[int], Epoch]:
    """Return what trains an epoch as `train` does."""
    from sertool.models import device as devices
    from sertool.training import loop
    from sertool.training.averaging import Average
    from sertool.ui.console import Console

    devices.prepare(task.device)
    network = network_of(task)
    devices.place(network, task.device)
    run = loop.Run(network, loop.make_optimizer(network, task))
    if task.hp.average:
        run.average = Average.of(network, task.hp.average)

    def epoch(turn: int) -> Epoch:
        with losses_kept() as losses, Console.silent().progress(None, "items") as progress:
            begin = time.process_time()
            loop.train_epoch(run, task, turn, progress)
            seconds = time.process_time() - begin
        return Epoch(seconds, losses, loading(task, turn))

    return epoch


@contextmanager
def losses_kept() -> Iterator[list[float]]:
    """Keep the loss of every step while the block runs."""
    from sertool.training import loop

    losses: list[float] = []
    real = loop._mixed_loss

    def kept(*given: Any) -> torch.Tensor:
        loss = real(*given)
        losses.append(loss.item())
        return loss

    loop._mixed_loss = kept
    try:
        yield losses
    finally:
        loop._mixed_loss = real


def loading(task: Task, turn: int) -> float:
    """Return the seconds of CPU of an epoch's batches alone, not mixed."""
    from sertool.training import loop

    plan = loop._plan(task, turn)
    task = dataclasses.replace(task, hp=dataclasses.replace(task.hp, mixup=0.0))  # no loading
    begin = time.process_time()
    for _ in loop._batches(task, turn, plan):
        pass
    return time.process_time() - begin


def spent() -> float:
    """Return the seconds of CPU of this process, and of compilers that it ran."""
    return time.process_time() + sum(os.times()[2:4])


class Plain:
    """The loop that one writes by hand."""

    def __init__(self, task: Task, store: Store, job: str) -> None:
        import torch

        self.task, hp = task, task.hp
        target, fitted = task.targets[0], task.source.statistics
        self.items = [torch.from_numpy(fitted.apply(task.source.seen(i))) for i in task.train]
        self.labels = torch.from_numpy(target.indices)
        self.class_weights = torch.from_numpy(target.class_weights).float()
        weights = target.item_weights
        self.weights = None if weights is None else torch.from_numpy(weights).float()
        self.network = network_of(task)
        self.called = torch.compile(self.network) if job == "compiled" else self.network
        self.parameters = list(self.network.parameters())
        kind = torch.optim.AdamW if hp.optimizer == "adamw" else torch.optim.Adam
        decay = hp.weight_decay
        fused = {"fused": True} if job == "fused" else {}
        self.optimizer = kind(self.parameters, hp.lr, hp.betas, weight_decay=decay, **fused)
        state = [t for t in self.network.state_dict().values() if t.is_floating_point()]
        self.mean = [(t, t.clone()) for t in state] if hp.average else []
        self.steps = 0

    def epoch(self, turn: int) -> Epoch:
        """Train an epoch over the batches that sertool would take."""
        from sertool.training import loop

        plan = loop._plan(self.task, turn)
        loop.seed_torch(self.task.seed, "epoch", turn)
        self.network.train()
        begin = spent()
        per_step = None
        if self.weights is not None:
            per_step = sum(float(self.weights[batch].sum()) for batch in plan) / len(plan)
        losses = [self.step(turn, at, batch, per_step) for at, batch in enumerate(plan)]
        return Epoch(spent() - begin, losses, 0.0)

    def step(self, turn: int, at: int, batch: list[int], per_step: float | None) -> float:
        """Train a step; return its loss."""
        import torch
        from torch import nn
        from torch.nn.utils.rnn import pad_sequence

        from sertool.training import mixup

        hp = self.task.hp
        x = pad_sequence([self.items[i] for i in batch], batch_first=True)
        lengths = torch.tensor([len(self.items[i]) for i in batch])
        mix = mixup.draw(hp.mixup, len(batch), self.task.seed, turn, at)
        if mix:
            x, lengths = mix.items(x, lengths)
        logits = self.called(x, lengths)
        loss = self.loss(logits, batch, per_step)
        if mix:
            partners = [batch[i] for i in mix.partners]
            loss = mix.share * loss + (1 - mix.share) * self.loss(logits, partners, per_step)
        self.optimizer.zero_grad()
        loss.backward()
        if hp.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, hp.clip_norm)
        self.optimizer.step()
        keep = min(hp.average, (self.steps + 1) / (self.steps + 10))
        self.steps += 1
        with torch.no_grad():
            for tensor, mean in self.mean:
                mean.lerp_(tensor, 1 - keep)
        return loss.item()

    def loss(self, logits: torch.Tensor, batch: list[int], per_step: float | None) -> torch.Tensor:
        """Return the loss of a batch."""
        from torch.nn.functional import cross_entropy

        truth, smoothing = self.labels[batch], self.task.hp.label_smoothing
        if self.weights is None or per_step is None:
            return cross_entropy(logits, truth, self.class_weights, label_smoothing=smoothing)
        each = cross_entropy(logits, truth, reduction="none", label_smoothing=smoothing)
        return (self.weights[batch] * each).sum() / per_step


if __name__ == "__main__":
    main()
