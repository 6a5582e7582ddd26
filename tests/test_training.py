"""Tests of the loop against plain torch, of resuming, early stopping and divergence."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_store import items, make

from sertool.core.errors import InputError
from sertool.core.seeds import derive, rng
from sertool.formats.store import Store
from sertool.models import Network
from sertool.models.hyperparameters import Hyperparameters
from sertool.splits.division import Division
from sertool.targets import class_names, make_target
from sertool.training.batches import plan_epoch
from sertool.ui.console import Console

HP = Hyperparameters(epochs=5, batch_size=8, lr=0.02)


@dataclass(frozen=True)
class NoSettings:
    """A model's settings: none."""


def tiny_network(dropout: float = 0.0) -> Network:
    """Return a model: the mean over time, dropout, and one linear layer."""
    import torch
    from torch import nn

    class Mean(nn.Module):
        def __init__(self, dims: int, outputs: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(dims)
            self.drop = nn.Dropout(dropout)
            self.out = nn.Linear(dims, outputs)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            mean = x.sum(1) / lengths[:, None]
            logits: torch.Tensor = self.out(self.drop(self.norm(mean)))
            return logits

    class Tiny(Network):
        name = "tiny"
        summary = "a test's"
        Settings = NoSettings

        def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
            return Mean(shape[0], outputs)

        def defaults(self) -> Hyperparameters:
            return HP

    return Tiny()


def run(
    folder: Path,
    store: Path,
    hp: Hyperparameters = HP,
    dropout: float = 0.3,
    resume: bool = False,
    console: Console | None = None,
) -> Any:
    """Train the tiny network on folds 1 and 2 of a small store, validating on fold 0."""
    import torch

    from sertool.formats.outputs import Parts
    from sertool.training.networks import Plan, train_network

    with Store(store) as opened:
        rows = opened.items()
        train = [i for i, row in enumerate(rows) if row.fold != 0]
        val = [i for i, row in enumerate(rows) if row.fold == 0 and not row.augmentation]
        plan = Plan(tiny_network(dropout), hp, 7, torch.device("cpu"))
        target = make_target(class_names(rows, "label"), train, "label", 1.0, hp.class_weights)
        division = Division(train, val, [], None, "fold")
        parts = Parts(folder / "m.ckpt", {}, resume)
        return train_network(
            plan, opened, division, [target], None, parts, console or Console.silent()
        )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.8, "weight_decay": 0.01, "schedule": "step"}
        | {"schedule_step": 2},
        {"optimizer": "adamw", "weight_decay": 0.1, "class_weights": "balanced"},
        {"schedule": "cosine", "betas": (0.5, 0.99)},
        {"batch_by": "length", "length_weights": "inverse", "class_weights": "balanced"},
        {"optimizer": "sgd", "lr": 0.2, "batch_by": "frames", "batch_frames": 300}
        | {"clip_norm": 0.2},
        {"optimizer": "sgd", "class_weights": "balanced", "loss_norm": "n"},
    ],
    ids=["adam", "sgd", "adamw", "cosine", "length", "frames", "n"],
)
def test_loop_equals_one_written_out_by_hand(tmp_path: Path, change: dict[str, Any]) -> None:
    import torch
    from torch import nn

    hp = Hyperparameters(**{"epochs": 5, "batch_size": 8, "lr": 0.02} | change)
    rows = [row for row in items() if not (row.fold == 2 and row.label == "joy")]
    path = make(tmp_path / "s.h5", rows, ragged=True)
    ours = run(tmp_path, path, hp)
    with Store(path) as store:
        arrays = [store.features(i) for i in range(len(store))]
    train = [i for i, row in enumerate(rows) if row.fold != 0]
    val = [i for i, row in enumerate(rows) if row.fold == 0 and not row.augmentation]
    frames = np.concatenate([arrays[i] for i in train]).astype(np.float64)
    mean, sd = frames.mean(0), frames.std(0)
    np.testing.assert_allclose(ours.tensors["statistics.mean"], mean, rtol=1e-6)
    pooled = torch.from_numpy(np.stack([((a - mean) / sd).mean(0) for a in arrays])).float()
    y = torch.tensor([["anger", "calm", "joy"].index(row.label) for row in rows])
    torch.manual_seed(derive(7, "init") % 2**63)
    norm, drop, out = nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 3)
    parameters = [*norm.parameters(), *out.parameters()]
    optimizer: torch.optim.Optimizer = torch.optim.SGD(
        parameters, lr=hp.lr, momentum=hp.momentum, weight_decay=hp.weight_decay
    )
    if hp.optimizer != "sgd":
        kind = torch.optim.Adam if hp.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(parameters, lr=hp.lr, betas=hp.betas, weight_decay=hp.weight_decay)
    counts = torch.bincount(y[train], minlength=3)
    weight = len(train) / (3 * counts) if hp.class_weights == "balanced" else torch.ones(3)
    for epoch in range(5):
        optimizer.param_groups[0]["lr"] = {
            "step": hp.lr * 0.1 ** (epoch // 2),
            "cosine": hp.lr * (1 + np.cos(np.pi * epoch / 5)) / 2,
        }.get(hp.schedule, hp.lr)
        torch.manual_seed(derive(7, "epoch", epoch) % 2**63)
        order = rng(7, "order", epoch).permutation(train)
        total = 0.0
        norm.train()
        plan = [np.sort(batch) for batch in np.split(order, range(8, len(order), 8))]
        if hp.batch_by != "count":
            frames_of = np.array([len(arrays[i]) for i in train])
            plan = [np.array(b) for b in plan_epoch(train, frames_of, hp, 7, epoch)]
        for batch in plan:
            logits = out(drop(norm(pooled[batch])))
            each = nn.functional.cross_entropy(logits, y[batch], reduction="none")
            w = weight[y[batch]].double()
            if hp.length_weights == "inverse":
                w = w / torch.tensor([len(arrays[i]) for i in batch])
            loss = (w * each).sum() / (w.sum() if hp.loss_norm == "sum_w" else len(batch))
            optimizer.zero_grad()
            loss.backward()
            if hp.clip_norm:
                whole = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
                for p in parameters:
                    if p.grad is not None:
                        p.grad *= min(1.0, hp.clip_norm / float(whole.norm()))
            optimizer.step()
            total += loss.item() * len(batch)
        norm.eval()
        with torch.no_grad():
            logits = out(norm(pooled[val]))
        row = ours.history[epoch]
        assert row["loss"] == pytest.approx(total / len(train), rel=1e-4)
        expected = nn.functional.cross_entropy(logits, y[val]).item()
        assert row["val_loss"] == pytest.approx(expected, rel=1e-4)
        right = logits.argmax(1) == y[val]
        recalls = [right[y[val] == c].double().mean().item() for c in range(3)]
        assert row["val_uar"] == pytest.approx(np.mean(recalls))
        assert row["val_accuracy"] == pytest.approx(right.double().mean().item())
        if epoch + 1 == ours.best_epoch:
            kept = [ours.tensors["model.out.weight"].numpy(), ours.tensors["model.norm.bias"]]
            np.testing.assert_allclose(kept[0], out.weight.detach(), rtol=1e-3, atol=1e-5)


class Killed(Exception):
    """Stands for a kill."""


class KillingConsole(Console):
    """Dies when the epoch `last` has been logged, before its state is saved."""

    last = 0

    def event(self, **fields: Any) -> None:
        if fields.get("epoch") == self.last:
            raise Killed


@pytest.mark.parametrize(
    ("last", "change"),
    [
        (1, {"optimizer": "adam"}),
        (3, {"optimizer": "adam", "batch_by": "frames"}),
        (5, {"optimizer": "adam", "batch_by": "length", "length_weights": "inverse"}),
        (1, {"optimizer": "sgd", "batch_by": "frames", "batch_frames": 150, "clip_norm": 0.1}),
        (3, {"optimizer": "sgd", "batch_by": "length"}),
        (5, {"optimizer": "sgd"}),
    ],
)
def test_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, last: int, change: dict[str, Any]
) -> None:
    hp = Hyperparameters(
        **{"epochs": 5, "batch_size": 8, "lr": 0.02, "schedule": "plateau"} | change
    )
    path = make(tmp_path / "s.h5", ragged=True)
    (tmp_path / "a").mkdir()
    whole = run(tmp_path / "a", path, hp)
    console = KillingConsole("train", quiet=True)
    console.last = last
    try:
        run(tmp_path, path, hp, console=console)
    except Killed:
        gc.collect()  # a killed process lets go of its lock
    else:
        pytest.fail("was not killed")
    assert (tmp_path / ".m.ckpt.parts" / "state.safetensors").exists() == (last > 1)
    resumed = run(tmp_path, path, hp, resume=True)
    assert (resumed.history, resumed.model) == (whole.history, whole.model)
    for name, tensor in whole.tensors.items():
        assert np.asarray(tensor).tobytes() == np.asarray(resumed.tensors[name]).tobytes(), name


def test_epochs_of_another_run_are_refused() -> None:
    from sertool.training.loop import _check_history
    from sertool.training.saving import Saver

    task, saver = SimpleNamespace(val=[0], hp=Hyperparameters()), Saver(None)
    row = dict.fromkeys(("epoch", "lr", "loss", "val_loss", f"val_{task.hp.monitor}"), 1.0)
    _check_history([row, row], task, saver)  # type: ignore[arg-type]
    lacking = [{k: v for k, v in row.items() if k != name} for name in [*row][2:]]
    for wrong in ([row, row | {"other": 1.0}], *([one] for one in lacking)):
        with pytest.raises(InputError, match="not of this run; run without --resume"):
            _check_history(wrong, task, saver)  # type: ignore[arg-type]


def test_thinned_states_resume_as_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sertool.training import saving

    path = make(tmp_path / "s.h5")
    (tmp_path / "a").mkdir()
    whole = run(tmp_path / "a", path)
    monkeypatch.setattr(saving, "SHARE", 1e-9)  # so dear that only the first state is kept
    console = KillingConsole("train", quiet=True)
    console.last = 4
    try:
        run(tmp_path, path, console=console)
    except Killed:
        gc.collect()
    resumed = run(tmp_path, path, resume=True)
    assert (resumed.history, resumed.model) == (whole.history, whole.model)


def test_patience_stops_and_best_weights_are_kept(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    hp = Hyperparameters(epochs=60, batch_size=8, lr=0.05, patience=3, monitor="loss")
    trained = run(tmp_path, path, hp)
    history = trained.history
    losses = [row["val_loss"] for row in history]
    best = trained.best_epoch
    assert best == int(np.argmin(losses)) + 1
    assert len(history) == best + 3 < 60
    shorter = run(tmp_path, path, Hyperparameters(epochs=best, batch_size=8, lr=0.05))
    last = run(tmp_path, path, Hyperparameters(epochs=best, batch_size=8, lr=0.05, monitor="loss"))
    assert shorter.history == history[:best]
    for name, tensor in last.tensors.items():
        np.testing.assert_array_equal(np.asarray(tensor), np.asarray(trained.tensors[name]))


def test_best_epoch_breaks_ties_by_loss() -> None:
    from sertool.training.loop import best_epoch

    history = [
        {"val_uar": 0.5, "val_accuracy": 0.7, "val_loss": 1.0},
        {"val_uar": 0.6, "val_accuracy": 0.6, "val_loss": 0.9},
        {"val_uar": 0.6, "val_accuracy": 0.6, "val_loss": 0.8},
        {"val_uar": 0.6, "val_accuracy": 0.5, "val_loss": 0.8},
    ]
    assert [best_epoch(history, m) for m in ("uar", "accuracy", "loss")] == [2, 0, 2]
    assert best_epoch([{"loss": 1.0}, {"loss": 2.0}], "uar") == 1


class Listening(Console):
    """Keeps what is said, and how far the progress went."""

    def __init__(self) -> None:
        super().__init__("train", quiet=True)
        self.notes: list[str] = []
        self.bars: list[Any] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def progress(self, total: int | None, what: str) -> Iterator[Any]:
        with super().progress(total, what) as bar:
            self.bars.append(bar)
            yield bar


@pytest.mark.parametrize("by", ["count", "length", "frames"])
def test_progress_counts_items_whatever_the_steps(tmp_path: Path, by: str) -> None:
    path = make(tmp_path / "s.h5", ragged=True)
    console = Listening()
    hp = Hyperparameters(epochs=3, batch_by=by, batch_frames=120 if by == "frames" else 0)
    run(tmp_path, path, hp, console=console)
    (bar,) = console.bars
    assert (bar.done, bar.total, bar.what) == (3 * 48, 3 * 48, "training, item")
    limit = [text for text in console.notes if "frames" in text]
    said = "training: batches of at most 120 frames, padding included"
    assert limit == ([said] if by == "frames" else [])


def test_no_batch_of_training_or_validation_is_larger_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sertool.training.batches import Source

    sizes = []
    batch = Source.batch

    def spy(source: Source, positions: list[int]) -> Any:
        made = batch(source, positions)
        sizes.append((len(positions), made[0].shape[0] * made[0].shape[1]))
        return made

    monkeypatch.setattr(Source, "batch", spy)
    hp = Hyperparameters(epochs=1, batch_by="frames", batch_frames=200, batch_size=64)
    run(tmp_path, make(tmp_path / "s.h5", ragged=True), hp)
    assert sum(number for number, _ in sizes) == 48 + 12
    assert max(frames for _, frames in sizes) <= 200
    assert max(number for number, _ in sizes) > 2


def test_items_beyond_the_limit_are_told_and_go_alone(tmp_path: Path) -> None:
    console = Listening()
    hp = Hyperparameters(epochs=1, batch_by="frames", batch_frames=45)
    with pytest.raises(InputError, match=r"one item.*more than 1 value.*larger --batch-size or"):
        run(tmp_path, make(tmp_path / "s.h5", ragged=True), hp, console=console)
    assert "items are longer and form batches of their own" in console.notes[0]


def test_diverging_training_is_told(tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    hp = Hyperparameters(epochs=20, batch_size=8, lr=1e6, optimizer="sgd")
    with pytest.raises(InputError, match="lower --lr"):
        run(tmp_path, path, hp)


def test_weights_that_are_not_finite_are_no_result() -> None:
    import torch

    from sertool.models import statistics
    from sertool.training import networks

    network = torch.nn.Linear(2, 2)
    plan: Any = SimpleNamespace(model=tiny_network(), hp=Hyperparameters())
    history, fitted = [{"epoch": 1}], statistics.fit([], "none")

    def trained() -> Any:
        return networks._trained(plan, network, history, 1, fitted, [], None, (2,))

    assert trained().best_epoch == 1
    torch.nn.init.constant_(network.bias, float("nan"))
    with pytest.raises(InputError, match="lower --lr"):
        trained()
