"""No step of training waits for a GPU: seen where nothing can be read, and by what is copied."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_store import items, make
from torch.utils._python_dispatch import TorchDispatchMode

from sertool.core.errors import InputError
from sertool.formats.store import Store
from sertool.models import Network, model, statistics
from sertool.targets import class_names, make_target, weigh_items
from sertool.training import augmenting, loop, resident
from sertool.training.averaging import Average
from sertool.training.batches import Kept, Source
from sertool.training.means import Means
from sertool.ui.console import Console

META = torch.device("meta")  # a device whose tensors hold no numbers: to read one is an error


class NoBlockingCopies(TorchDispatchMode):
    """Raises AssertionError for a copy to META that waits, and counts the copies."""

    copies = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            source = args[-1] if func.overloadpacket is torch.ops.aten.copy_ else args[0]
            if isinstance(source, torch.Tensor) and source.device != result.device:
                assert source.device.type == "cpu", "read from the device"
                waits = not given.get("non_blocking", False)
                assert not waits, "a copy that waits"
                self.copies += 1
        return result


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = make(tmp_path_factory.mktemp("waiting") / "s.h5", items(4, 4, 0), ragged=True, dims=64)
    with Store(path) as opened:
        yield opened


def task_of(store: Store, name: str, device: torch.device, **changes: Any) -> loop.Task:
    """Return the task of training a model on all items."""
    found = model(name)()
    assert isinstance(found, Network)
    hp = dataclasses.replace(found.defaults(), batch_size=8, **changes)
    every, lengths = list(range(len(store))), store.lengths()
    source = Source(store, found.view)
    source.statistics = statistics.fit(map(source.seen, every), hp.normalisation)
    target = make_target(class_names(store.items(), "label"), every, "label")
    if hp.loss_norm != "sum_w":
        target = weigh_items(target, store.items(), every, lengths, hp.length_weights)
    return loop.Task(found, source, every, every[:6], [target], hp, 0, device)


def run_of(task: loop.Task) -> loop.Run:
    network = task.model.build(None, (64,), 3).to(task.device)
    run = loop.Run(network, loop.make_optimizer(network, task))
    if task.hp.average:
        run.average = Average.of(network, task.hp.average)
    return run


@pytest.mark.parametrize("name", ["sertool", "ma2018"])
@pytest.mark.parametrize(("by", "mixup"), [("count", 0.0), ("frames", 0.3)])
@pytest.mark.parametrize("augmented", [False, True])
def test_steps_and_validation_read_nothing_from_the_device(
    store: Store, name: str, by: str, mixup: float, augmented: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(store, name, META, batch_by=by, mixup=mixup, batch_of="items")
    if augmented:
        steps = {"time-mask": [3.0, 1.0]}
        task.augmenting = augmenting.make(task.model, store.items(), steps, None, 0)
    run, steps_seen = run_of(task), []
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # not on META
    monkeypatch.setattr(Means, "all", lambda self: steps_seen.append(len(self._waiting)) or {})
    monkeypatch.setattr("sertool.training.heads.ClassTally.rates", lambda self: {"uar": 0.0})
    monkeypatch.setattr("sertool.training.heads.ClassTally.loss", lambda self: 0.0)
    with NoBlockingCopies() as mode, Console.silent().progress(None, "items") as progress:
        loop.train_epoch(run, task, 0, progress)
        loop.validate(run.network, task)
    assert steps_seen[0] > 1  # all steps wait for the epoch's end
    assert mode.copies > steps_seen[0]


@pytest.mark.parametrize("device", ["cpu", "elsewhere"])
def test_means_are_those_of_steps_read_one_by_one(device: str) -> None:
    random = np.random.default_rng(0)
    losses, shares = random.normal(3, 1, 50).astype(np.float32), random.integers(1, 9, 50).tolist()
    means = Means(torch.device("cpu" if device == "cpu" else "meta"), 0)
    total, seen = 0.0, 0
    for loss, share in zip(torch.from_numpy(losses), shares, strict=True):
        means.add(share, loss, {"loss": loss, "twice": 2 * loss})
        total, seen = total + float(loss) * share, seen + share
        assert means.shown == ({"loss": total / seen} if device == "cpu" else {})
    assert means.all()["loss"] == total / seen  # every bit
    assert means.all() == {"loss": total / seen, "twice": 2 * total / seen}


def test_a_loss_that_is_not_finite_ends_the_epoch_at_the_latest() -> None:
    means = Means(META, 2)
    for value in (1.0, float("nan"), 2.0):
        means.add(1, torch.tensor(value), {"loss": torch.zeros(())})
    with pytest.raises(InputError, match="the loss is nan in epoch 3; try a lower --lr"):
        means.all()


@pytest.mark.parametrize("room", [10**9, 3 * 40 * 64 * 4, 0])
def test_items_in_a_devices_memory_make_the_same_batches(store: Store, room: int) -> None:
    source = task_of(store, "sertool", torch.device("cpu")).source
    held = resident.Resident(source, torch.device("cpu"), room)
    for _ in range(2):
        for places in ([3, 1, 7], [0, 1], [12]):
            found, wanted = held.batch(places), source.batch(places)
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(np.asarray(ours), theirs)
    everything = len({0, 1, 3, 7, 12})
    assert (len(held._items) == everything) == (room == 10**9)
    assert (len(held._items) == 0) == (room == 0)


def test_a_view_is_made_once_and_only_one_array_is_kept(store: Store) -> None:
    given = task_of(store, "ma2018", torch.device("cpu")).source
    assert given.seen(3) is given.stored(3)  # nothing is viewed: not kept twice
    house, made = model("sertool")(), []
    source = Source(store, lambda x: made.append(1) or house.view(x), kept=Kept())
    first = source.seen(3)
    assert source.seen(3) is first
    assert len(made) == 1
    np.testing.assert_array_equal(first, house.view(store.features(3)))
