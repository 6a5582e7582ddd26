"""The running mean of weights, and smoothed labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_store import items, make

from sertool.formats import checkpoint
from sertool.targets import Target

SIZES = ("--set", "hidden=4", "--set", "dense=4", "--set", "pools=[2,2,1]")
NETWORK = ("--model", "ma2018", *SIZES, "--batch-size", 9, "--no-baselines", "--lr", 0.05)
FOLD = ("--test-fold", 0, "--val-fold", 1)


def test_the_mean_is_exponential() -> None:
    import torch

    from sertool.training.averaging import Average

    network = torch.nn.BatchNorm1d(1)
    average = Average.of(network, 0.7)
    wanted = float(network.weight.detach())
    for step in range(30):
        with torch.no_grad():
            network.weight.fill_(step)
            network.num_batches_tracked.fill_(step)
        average.update(network)
        keep = min(0.7, (step + 1) / (step + 10))
        wanted = keep * wanted + (1 - keep) * step
    assert float(average.weights["weight"]) == pytest.approx(wanted, rel=1e-5)
    assert int(average.weights["num_batches_tracked"]) == 29
    with average.within(network):
        assert float(network.weight.detach()) == pytest.approx(wanted, rel=1e-5)
    assert float(network.weight.detach()) == 29


def test_training_keeps_the_mean(cli, tmp_path: Path) -> None:
    """Other weights, validated as such, and the same bytes after an interruption."""
    store = make(tmp_path / "s.h5", items(copies=0))
    asked = (*NETWORK, *FOLD, "--epochs", 4, "--average", 0.9)
    for name, more in {"plain": ("--average", 0), "mean": (), "last": ("--keep-last",)}.items():
        made = cli("train", store, tmp_path / f"{name}.ckpt", *asked, *more)
        assert made.code == 0, made.err
    plain, mean = (checkpoint.load(tmp_path / f"{n}.ckpt") for n in ("plain", "mean"))
    assert [r["loss"] for r in plain.meta["history"]] == [r["loss"] for r in mean.meta["history"]]
    losses = [[row["val_loss"] for row in made.meta["history"]] for made in (plain, mean)]
    assert losses[0] != losses[1]
    last = checkpoint.load(tmp_path / "last.last.ckpt")
    if mean.meta["best_epoch"] == 4:
        for name in mean.tensors:
            np.testing.assert_array_equal(mean.tensors[name], last.tensors[name])


def test_resumed_with_the_mean_it_had(tmp_path: Path) -> None:
    import torch

    from sertool.training.averaging import Average
    from sertool.training.loop import Run
    from sertool.training.saving import Saver

    network = torch.nn.Linear(2, 2)
    run = Run(network, torch.optim.SGD(network.parameters(), lr=0.1))
    run.best = network.state_dict()
    run.average = Average.of(network, 0.9)
    with torch.no_grad():
        network.weight.add_(1)
    run.average.update(network)
    (tmp_path / "state.safetensors").write_bytes(b"".join(Saver.content(run)))

    class Parts:
        def has(self, name: str) -> bool:
            return True

        def read(self, name: str) -> bytes:
            return (tmp_path / name).read_bytes()

        def path(self, name: str) -> Path:
            return tmp_path / name

    fresh = torch.nn.Linear(2, 2)
    again = Run(fresh, torch.optim.SGD(fresh.parameters(), lr=0.1))
    again.average = Average.of(fresh, 0.9)
    Saver(Parts()).restore(again)  # type: ignore[arg-type]
    assert again.average.steps == 1
    for name, tensor in run.average.weights.items():
        torch.testing.assert_close(again.average.weights[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing_is_of_soft_targets(weighted: bool) -> None:
    import torch

    from sertool.training.heads import loss

    weights = np.array([0.5, 2.0, 1.0]) if weighted else None
    target = Target(
        "label", ["a", "b", "c"], 1.0, np.array([2, 0, 1]), np.ones(3), item_weights=weights
    )
    logits = torch.tensor(np.random.default_rng(0).normal(size=(3, 3)))
    soft = 0.9 * np.eye(3)[[2, 0, 1]] + 0.1 / 3
    each = -(soft * logits.log_softmax(1).numpy()).sum(1)
    found = loss(logits, np.arange(3), target, "sum_w", None, 0.1)
    assert float(found) == pytest.approx(np.average(each, weights=weights), rel=1e-6)


def test_label_smoothing_changes_training_and_has_a_range(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    losses = []
    for share in (0, 0.3):
        out = tmp_path / f"{share}.ckpt"
        asked = (*NETWORK, *FOLD, "--epochs", 1, "--label-smoothing", share)
        assert cli("train", store, out, *asked).code == 0
        losses.append(checkpoint.load(out).meta["history"][0]["loss"])
    assert losses[0] != losses[1]
    assert cli("train", store, tmp_path / "x.ckpt", *NETWORK, "--label-smoothing", 1).code == 2
    own = ("--model", "huang2014", "--set", "components=4", "--set", "frames=12")
    own += ("--set", "test_hop=3", "--test-fold", 0, "--label-smoothing", 0.1)
    made = cli("train", store, tmp_path / "x.ckpt", *own)
    assert made.code == 2
    assert "a loss of its own" in made.err
