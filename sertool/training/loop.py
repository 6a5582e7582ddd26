"""The training loop: epochs over batches, validation, schedules, early stopping, exact resuming."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from sertool.core import ending
from sertool.core.errors import InputError
from sertool.core.seeds import derive
from sertool.models import Losses, Network
from sertool.models import device as devices
from sertool.models.hyperparameters import Hyperparameters
from sertool.targets import Numbers, Target
from sertool.training import batches, group, heads, mixup, resident
from sertool.training.augmenting import Augmenting
from sertool.training.averaging import Average
from sertool.training.batches import Source
from sertool.training.means import Means
from sertool.training.resident import Resident
from sertool.training.saving import Saver
from sertool.training.schedules import learning_rate
from sertool.training.spread import Spread
from sertool.ui.console import Console, Progress

VALIDATION_BATCH = 64
CAFFE_BIASES = 2.0  # times the rate of weights: lr_mult of the networks that come with it
Epoch = dict[str, float]  # its number, rate, losses and rates by name


@dataclass
class Task:
    """All that the loop needs: the model, the data, the targets, and how to train."""

    model: Network
    source: Source
    train: list[int]
    val: list[int]
    targets: Sequence[Target | Numbers]
    hp: Hyperparameters
    seed: int
    device: torch.device
    pretrained: frozenset[str] = frozenset()  # parameters whose rate is scaled by hp.lr_scale
    label: str = "training"
    augmenting: Augmenting | None = None  # `train` holds places then, see there
    resident: Resident | None = None  # the items in the device's own memory
    spread: Spread | None = None  # how processes share a batch; None: this one trains alone


@dataclass
class Run:
    """Where training stands after the epochs in `history`."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    average: Average | None = None  # what is validated and kept in place of the network's weights

    @torch.no_grad()
    def keep_best(self) -> None:
        """Take the network's weights for the best so far, in the memory of those before."""
        for name, tensor in self.network.state_dict().items():
            if name in self.best:
                self.best[name].copy_(tensor)
            else:
                self.best[name] = tensor.detach().clone()


def seed_torch(seed: int, *keys: str | int) -> None:
    """Seed torch's generators from `seed` and `keys`."""
    torch.manual_seed(derive(seed, *keys) % 2**63)


def make_optimizer(network: nn.Module, task: Task) -> torch.optim.Optimizer:
    """Return the optimiser that the hyper-parameters name.

    Its groups keep apart what has a rate or a decay of its own; each holds its share of the rate
    in "scale".
    """
    hp = task.hp
    groups: list[dict[str, Any]] = []
    for loaded, scale in ((False, 1.0), (True, hp.lr_scale)):
        for apart in (False, True):
            mine = [
                p
                for n, p in network.named_parameters()
                if (n in task.pretrained, hp.biases == "caffe" and _is_bias(n)) == (loaded, apart)
            ]
            if mine:
                factor, own = (CAFFE_BIASES, {"weight_decay": 0.0}) if apart else (1.0, {})
                groups.append({"params": mine, "scale": factor * scale, **own})
    if hp.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=hp.lr, momentum=hp.momentum, weight_decay=hp.weight_decay)
    kind = torch.optim.AdamW if hp.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=hp.lr, betas=hp.betas, weight_decay=hp.weight_decay)


def _is_bias(name: str) -> bool:
    """Return whether a parameter is a bias, by its name; of recurrent layers, "bias_ih_l0"."""
    return name.rpartition(".")[2].startswith("bias")


def total_loss(
    logits: torch.Tensor,
    positions: np.ndarray,
    targets: Sequence[Target | Numbers],
    norm: str = "sum_w",
    per_step: Sequence[float] = (),
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the weighted sum of the heads' losses for logits (batch, outputs).

    A head's is the sum of its items' weighted cross-entropies, divided by that of their weights
    or, where items have weights of their own, by their number ("n") or by what a step of the epoch
    weighs in the mean ("epoch"; `per_step` has it for each head, see `step_weights`).
    """
    total = logits.new_zeros(())
    start = 0
    for head, target in enumerate(targets):
        columns = logits[:, start : start + target.outputs]
        start += target.outputs
        if not target.known(positions).any():
            continue  # the mean over nothing is not a number
        divisor = per_step[head] if norm == "epoch" else None
        own = heads.loss(columns, positions, target, norm, divisor, smoothing)
        total = total + target.weight * own
    return total


def step_weights(task: Task, plan: Sequence[Sequence[int]]) -> list[float]:
    """Return, for each head, what its items weigh in a step of an epoch, in the mean of its steps.

    plan: the places of each batch, copies among them. A loss divided by a number that is the same
    for all steps adds up, over an epoch, to the weighted loss of the whole training part,
    however the items are dealt into batches. [] where the loss is not divided by it.
    """
    if task.hp.loss_norm != "epoch":
        return []
    each = task.augmenting.each if task.augmenting else 1
    positions = np.concatenate([np.asarray(batch, np.int64) for batch in plan]) // each
    weights = [target.item_weights for target in task.targets]
    return [float(w[positions].sum()) / len(plan) for w in weights if w is not None]


def train_epoch(run: Run, task: Task, epoch: int, progress: Progress) -> dict[str, float]:
    """Train one epoch; return its mean loss, and its rate counted while the weights moved."""
    seed_torch(task.seed, "epoch", epoch)
    plan = _plan(task, epoch)
    per_step = step_weights(task, plan)
    run.network.train()
    network = task.spread.wrapped(run.network) if task.spread else run.network
    tally, means = heads.tally(task.targets[0]), Means(task.device, epoch)
    last = run.history[-1] if run.history else {}
    name = f"val_{tally.main}" if f"val_{tally.main}" in last else f"train_{tally.main}"
    shown: dict[str, Any] = {name: last[name]} if last else {}
    autocast = torch.autocast(
        task.device.type, torch.bfloat16, enabled=task.hp.precision == "bfloat16"
    )
    for x, lengths, positions, mix in _batches(task, epoch, plan):
        with autocast, _across(task, positions):
            own = _own_loss(run.network, task, x, lengths, positions)
            logits = own.logits if own else _forward(network, x, lengths)
        logits = _gathered(task, logits, positions)
        loss = own.total if own else _mixed_loss(_exact(logits), positions, task, mix, per_step)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if task.hp.clip_norm:
            nn.utils.clip_grad_norm_(run.network.parameters(), task.hp.clip_norm)
        run.optimizer.step()
        if run.average is not None:
            run.average.update(run.network)
        told = own.shown if own and own.shown is not None else loss
        share = 1 if per_step else len(positions)  # in the epoch's mean
        means.add(share, loss, {"loss": told, **(own.terms if own else {})})
        tally.add(logits, positions)
        progress.advance(len(positions), epoch=f"{epoch + 1}", **means.shown, **shown)
    return means.all() | {f"train_{tally.main}": tally.rates()[tally.main]}


def _across(task: Task, positions: np.ndarray) -> contextlib.AbstractContextManager[Any]:
    """Return a block in which layers that look at a batch see all of it (see `training.spread`)."""
    return task.spread.within(len(positions)) if task.spread else contextlib.nullcontext()


def _gathered(task: Task, logits: torch.Tensor, positions: np.ndarray) -> torch.Tensor:
    """Return the logits of a whole batch, of which this process may have computed a part."""
    return task.spread.gathered(logits, len(positions)) if task.spread else logits


def _exact(logits: torch.Tensor) -> torch.Tensor:
    """Return logits in float32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _mixed_loss(
    logits: torch.Tensor,
    positions: np.ndarray,
    task: Task,
    mix: mixup.Mix | None,
    per_step: Sequence[float] = (),
) -> torch.Tensor:
    """Return the loss of a batch of items, or of their mixtures."""
    how = task.hp.loss_norm, per_step, task.hp.label_smoothing
    loss = total_loss(logits, positions, task.targets, *how)
    if mix is None:
        return loss
    partners = positions[mix.partners]
    return mix.loss(loss, total_loss(logits, partners, task.targets, *how))


def _own_loss(
    network: nn.Module, task: Task, x: torch.Tensor, lengths: torch.Tensor, positions: np.ndarray
) -> Losses | None:
    """Return what a network with a loss of its own makes of a batch, None of any other."""
    if not task.model.own_loss:
        return None
    target = task.targets[0]
    assert isinstance(target, Target)
    labels = devices.there(target.indices[positions], x.device)
    return task.model.loss(network, x, lengths, labels)


def _forward(network: nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the logits of a training batch; InputError where one item is too few for a network."""
    try:
        logits: torch.Tensor = network(x, lengths)
    except ValueError as error:
        if len(x) > 1:
            raise
        raise InputError(
            f"the network cannot be trained on a batch of one item ({error}); try a larger"
            " --batch-size or --batch-frames"
        ) from error
    return logits


def _plan(task: Task, epoch: int) -> list[list[int]]:
    """Return the batches of an epoch, as places in `task.train`."""
    lengths, recordings = _lengths(task, task.train), None
    if task.hp.batch_of == "recordings":
        each = task.augmenting.each if task.augmenting else 1
        items = task.source.store.items()
        recordings = [
            items[place // each].origin or items[place // each].id for place in task.train
        ]
    return batches.plan_epoch(task.train, lengths, task.hp, task.seed, epoch, recordings)


def _batches(
    task: Task, epoch: int, plan: list[list[int]]
) -> Iterator[tuple[torch.Tensor, torch.Tensor, np.ndarray, mixup.Mix | None]]:
    """Yield the batches of an epoch, mixed: on the device, lengths where the model looks at them.

    Positions are those of the whole batch, the rest is of the rows of this process.
    """

    def make(step: int) -> tuple[resident.Batch, mixup.Mix | None]:
        places = plan[step]
        mix = mixup.draw(task.hp.mixup, len(places), task.seed, epoch, step)
        wanted = task.spread.wanted(places, mix) if task.spread else places
        return _batch(task, wanted, epoch), mix

    for places, ((x, lengths, positions), mix) in zip(
        plan, batches.prefetch(map(make, range(len(plan)))), strict=True
    ):
        lengths = _placed(task, lengths)
        if task.spread:
            positions = _positions(task, places)
            x, lengths = task.spread.items(x, lengths, mix)
        elif mix:
            x, lengths = mix.items(x, lengths)
        yield x, lengths, positions, mix


def _positions(task: Task, places: Sequence[int]) -> np.ndarray:
    """Return the positions in the store of the items at these places."""
    each = task.augmenting.each if task.augmenting else 1
    found: np.ndarray = np.asarray(places, np.int64) // each
    return found


def _batch(task: Task, places: Sequence[int], epoch: int | None = None) -> resident.Batch:
    """Return items on the device; epoch: of training, None where nothing is changed."""
    if task.augmenting is not None and epoch is not None:
        x, lengths, positions = task.augmenting.batch(task.source, epoch, places)
    elif task.resident is not None:
        return task.resident.batch(places)
    else:
        x, lengths, positions = task.source.batch(places)
    return resident.sent(x, task.device), torch.from_numpy(lengths), positions


def _placed(task: Task, lengths: torch.Tensor) -> torch.Tensor:
    """Return lengths where the model wants them."""
    return lengths if task.model.host_lengths else devices.there(lengths, task.device)


def _lengths(task: Task, places: Sequence[int]) -> np.ndarray:
    """Return the frames (n,) of each of the places, as the store has them."""
    lengths: np.ndarray = task.source.store.lengths()[_positions(task, places)]
    return lengths


@torch.no_grad()
def validate(network: nn.Module, task: Task) -> dict[str, float]:
    """Return the plain loss of the first target and its rates on the validation part.

    Of classes cross-entropy, uar and accuracy; of numbers ccc.

    Computed in float32, as `eval` scores, whatever the precision of training.
    """
    network.eval()
    tally = heads.tally(task.targets[0])
    most = batches.frame_limit(task.hp, _lengths(task, task.train))
    lengths = task.source.store.lengths()[task.val]
    plan = batches.plan_validation(task.val, lengths, task.hp, VALIDATION_BATCH, most)
    for positions in plan:
        wanted = task.spread.wanted(positions, None) if task.spread else positions
        x, counts, _ = _batch(task, wanted)
        if task.spread:
            x, counts = task.spread.items(x, counts, None)
        index = np.asarray(positions, np.int64)
        logits = task.model.logits(network, x, _placed(task, counts))
        tally.add(_gathered(task, logits, index), index)
    rates = {f"val_{name}": rate for name, rate in tally.rates().items()}
    return {"val_loss": tally.loss()} | rates


def best_epoch(history: list[Epoch], monitor: str) -> int:
    """Return the index of the best epoch: the first of the best `monitor`.

    Among epochs of an equal rate the lower validation loss wins. Without validation: the
    last epoch.
    """
    if not history or "val_loss" not in history[0]:
        return len(history) - 1

    def rank(i: int) -> tuple[float, float]:
        score = 0.0 if monitor == "loss" else history[i][f"val_{monitor}"]
        loss = history[i]["val_loss"]
        return (score, -loss if math.isfinite(loss) else -math.inf)

    return max(range(len(history)), key=rank)


def finished(history: list[Epoch], hp: Hyperparameters) -> bool:
    """Return whether the epochs are done, or patience has run out."""
    if len(history) >= hp.epochs:
        return True
    waited = len(history) - 1 - best_epoch(history, hp.monitor)
    return bool(history) and hp.patience > 0 and waited >= hp.patience


def fit(network: nn.Module, task: Task, saver: Saver, console: Console) -> Run:
    """Train `network`, going on from what `saver` kept, and return the run with its best weights.

    `saver` is called after each epoch; the same task from any saved epoch ends with the same
    bits on the CPU, because all randomness is drawn anew from (seed, epoch). TERM ends it by
    Terminated, with a state to go on from.
    """
    devices.place(network, task.device)
    if room := resident.room(task.device):
        task.resident = Resident(task.source, task.device, room)
    run = Run(network, make_optimizer(network, task))
    if task.hp.average:
        run.average = Average.of(network, task.hp.average)
    saver.restore(run)
    _check_history(run.history, task, saver)
    _announce_limit(task, console)
    items = len(task.train)
    term = contextlib.nullcontext() if task.spread else ending.answered(saver.end)
    with term, console.progress(items * task.hp.epochs, f"{task.label}, item") as progress:
        progress.skip(items * len(run.history))
        while not finished(run.history, task.hp):
            start = time.monotonic()
            row = _epoch(run, task, progress)
            _check_history(run.history, task, saver)
            seconds = time.monotonic() - start
            console.event(event="epoch", run=task.label, seconds=seconds, **row)
            rates = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
            console.detail(f"{task.label}: {rates}, {seconds:.1f} s")
            saver.save(run)
    if run.average is not None:
        network.load_state_dict(run.average.weights)
    return run


def _check_history(history: list[Epoch], task: Task, saver: Saver) -> None:
    """Raise InputError where epochs, some of them restored, are not of one run of this task."""
    wanted = {"loss"}
    if task.val:
        wanted |= {"val_loss", f"val_{task.hp.monitor}"}
    for row in history:
        if not wanted <= row.keys() or row.keys() != history[0].keys():
            raise saver.foreign()


def _announce_limit(task: Task, console: Console) -> None:
    """Say how many frames a batch may hold, where that is bounded, and what does not fit."""
    lengths = _lengths(task, task.train)
    most = batches.frame_limit(task.hp, lengths)
    if most is None:
        return
    longer = int((lengths > most).sum())
    rest = f"; {longer} items are longer and form batches of their own" if longer else ""
    console.note(f"{task.label}: batches of at most {most} frames, padding included{rest}")


def _epoch(run: Run, task: Task, progress: Progress) -> Epoch:
    """Train and validate the next epoch; append it to the history and keep the best weights."""
    epoch = len(run.history)
    losses = [row.get("val_loss", row["loss"]) for row in run.history]
    rate = learning_rate(task.hp, losses)
    for one in run.optimizer.param_groups:
        one["lr"] = rate * one["scale"]
    row: Epoch = {"epoch": epoch + 1, "lr": rate}
    task.model.begin_epoch(run.network, epoch)
    row |= train_epoch(run, task, epoch, progress)
    run.optimizer.zero_grad(set_to_none=True)  # gradients take as much as the weights
    with run.average.within(run.network) if run.average else contextlib.nullcontext():
        if task.val:
            row |= validate(run.network, task)
        row = group.agreed(row)
        run.history.append(row)
        if best_epoch(run.history, task.hp.monitor) == epoch:
            run.keep_best()
    return row
