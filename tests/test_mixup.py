"""Mixup: mixtures of two items and of their losses, against torch's soft targets."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_models import network
from scipy import stats
from small_store import items, make

from sertool.formats import checkpoint
from sertool.targets import Target

SIZES = ("--set", "hidden=4", "--set", "dense=4", "--set", "pools=[2,2,1]")
NETWORK = ("--model", "ma2018", *SIZES, "--epochs", 2, "--batch-size", 9, "--no-baselines")
FOLD = ("--test-fold", 0, "--val-fold", 1)


def target(indices: np.ndarray, item_weights: np.ndarray | None = None) -> Target:
    classes = ["a", "b", "c"]
    return Target("label", classes, 1.0, indices, np.ones(3), item_weights=item_weights)


def test_draws() -> None:
    from sertool.training import mixup

    assert mixup.draw(0, 4, 0, 0, 0) is None
    drawn = [mixup.draw(0.4, 6, 1, epoch, step) for epoch in range(30) for step in range(20)]
    shares = [mix.share for mix in drawn if mix]
    assert 0.5 <= min(shares) < 0.53
    assert max(shares) == pytest.approx(1, abs=1e-3)
    folded = lambda x: 2 * stats.beta(0.4, 0.4).cdf(x) - 1  # noqa: E731
    assert stats.kstest(shares, folded).pvalue > 0.01
    for mix in drawn:
        assert sorted(mix.partners.tolist()) == list(range(6))
    again = mixup.draw(0.4, 6, 1, 2, 3)
    assert again.share == drawn[2 * 20 + 3].share
    assert len(set(shares)) == 600
    assert mixup.draw(0.4, 1, 0, 0, 0).partners.tolist() == [0]


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 6), share=st.floats(0.5, 1), seed=st.integers(0, 99), soft=st.booleans())
def test_mixtures_and_their_loss(n: int, share: float, seed: int, soft: bool) -> None:
    import torch

    from sertool.training.loop import _mixed_loss
    from sertool.training.mixup import Mix

    random = np.random.default_rng(seed)
    lengths = random.integers(1, 5, n)
    x = np.zeros((n, 5, 2), np.float32)
    for i, length in enumerate(lengths):
        x[i, :length] = random.standard_normal((length, 2))
    mix = Mix(share, random.permutation(n))
    mixed, longer = mix.items(torch.from_numpy(x), torch.from_numpy(lengths))
    assert mixed.dtype == torch.float32
    for i, k in enumerate(mix.partners):
        wanted = share * x[i].astype(float) + (1 - share) * x[k]
        np.testing.assert_allclose(mixed[i].numpy(), wanted, atol=1e-6)
        assert int(longer[i]) == max(lengths[i], lengths[k])
        assert not mixed[i, int(longer[i]) :].any()

    indices = random.integers(0, 3, 10)
    positions = random.permutation(10)[:n]
    weights = random.uniform(0.5, 2, 10) if soft else None
    logits = torch.from_numpy(random.standard_normal((n, 3)))
    task: Any = SimpleNamespace(
        targets=[target(indices, weights)],
        hp=SimpleNamespace(loss_norm="sum_w", label_smoothing=0.0),
    )
    loss = _mixed_loss(logits, positions, task, mix)
    own, other = positions, positions[mix.partners]
    each = np.ones(10) if weights is None else weights
    logp = torch.log_softmax(logits, 1).numpy()
    wanted = 0.0
    for row, a, b in zip(logp, own, other, strict=True):
        wanted -= share * each[a] * row[indices[a]] + (1 - share) * each[b] * row[indices[b]]
    assert float(loss) == pytest.approx(wanted / each[positions].sum(), rel=1e-6)
    if weights is None:  # torch's own soft targets
        rows = np.eye(3)[indices]
        soft_rows = torch.from_numpy(share * rows[own] + (1 - share) * rows[other])
        assert float(loss) == pytest.approx(
            float(torch.nn.functional.cross_entropy(logits, soft_rows)), rel=1e-6
        )


def test_a_share_of_one_is_the_plain_loss() -> None:
    import torch

    from sertool.training.loop import _mixed_loss
    from sertool.training.mixup import Mix

    x = torch.randn(4, 3, 2)
    lengths = torch.tensor([3, 3, 3, 3])
    mix = Mix(1.0, np.array([2, 0, 3, 1]))
    torch.testing.assert_close(mix.items(x, lengths)[0], x, rtol=0, atol=0)
    task: Any = SimpleNamespace(
        targets=[target(np.array([0, 1, 2, 0]))],
        hp=SimpleNamespace(loss_norm="sum_w", label_smoothing=0.0),
    )
    logits, positions = torch.randn(4, 3), np.arange(4)
    plain = _mixed_loss(logits, positions, task, None)
    assert float(_mixed_loss(logits, positions, task, mix)) == float(plain)


def test_a_networks_steps_are_those_of_mixtures(tmp_path: Path) -> None:
    """What the loop does with a linear network, beside plain torch."""
    import torch

    from sertool.core.seeds import derive
    from sertool.formats.store import Store
    from sertool.models import statistics
    from sertool.models.hyperparameters import Hyperparameters
    from sertool.training import batches, loop, mixup
    from sertool.ui.console import Console

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = torch.nn.Linear(4, 3)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.out(x.sum(1) / lengths[:, None])
            return logits

    store = Store(make(tmp_path / "s.h5", items(copies=0), ragged=True))
    source = batches.Source(store, lambda features: features)
    source.statistics = statistics.fit((source.seen(i) for i in range(12)), "feature")
    labels = np.array(["acj".index(row.label[0]) for row in store.items()])
    hp = Hyperparameters(epochs=1, batch_size=5, lr=0.1, optimizer="sgd", momentum=0.0, mixup=0.5)
    task = loop.Task(
        network("ma2018"), source, list(range(12)), [], [target(labels)], hp, 3, torch.device("cpu")
    )
    torch.manual_seed(0)
    module, twin = Mean(), Mean()
    twin.load_state_dict(module.state_dict())
    run = loop.Run(module, loop.make_optimizer(module, task))
    for group in run.optimizer.param_groups:
        group["lr"] = 0.1
    with Console.silent().progress(12, "items") as progress:
        loop.train_epoch(run, task, 4, progress)

    assert derive(3, "mixup", 4, 0) != derive(3, "mixup", 4, 1)
    for step, positions in enumerate(batches.plan(range(12), 5, 3, 4)):
        x, lengths, index = source.batch(positions)
        mix = mixup.draw(0.5, len(index), 3, 4, step)
        assert mix is not None
        rows, total = torch.from_numpy(x), torch.zeros(())
        for i, k in enumerate(mix.partners):
            one = mix.share * rows[i] + (1 - mix.share) * rows[k]
            mean = one.sum(0) / max(lengths[i], lengths[k])
            logp = torch.log_softmax(twin.out(mean), 0)
            total = total - mix.share * logp[labels[index[i]]]
            total = total - (1 - mix.share) * logp[labels[index[k]]]
        twin.zero_grad()
        (total / len(index)).backward()
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter -= 0.1 * parameter.grad
    for one, two in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_training(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0), ragged=True)
    asked = (*NETWORK, *FOLD, "--mixup", 0.4)
    for name in ("a", "b"):
        result = cli("train", store, tmp_path / f"{name}.ckpt", *asked)
        assert result.code == 0, result.err
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
    assert cli("train", store, tmp_path / "plain.ckpt", *NETWORK, *FOLD, "--mixup", 0).code == 0
    made, plain = checkpoint.load(tmp_path / "a.ckpt"), checkpoint.load(tmp_path / "plain.ckpt")
    assert any(not np.array_equal(made.tensors[n], plain.tensors[n]) for n in plain.tensors)
    assert plain.meta["augment"] is None
    assert made.meta["augment"] == {"steps": {}, "copies": None, "added": 0, "mixup": 0.4}
    assert made.meta["training"]["mixup"] == 0.4
    assert cli("eval", tmp_path / "a.ckpt", store, "--json", tmp_path / "r.json").code == 0
    facts = json.loads((tmp_path / "r.json").read_text())["protocol"]
    assert facts["train_augmented"] is True
    both = (*asked, "--augment", "time-mask=4")
    assert cli("train", store, tmp_path / "c.ckpt", *both).code == 0
    told = checkpoint.load(tmp_path / "c.ckpt").meta["augment"]
    assert told == {"steps": {"time-mask": [4, 1, 1.0]}, "copies": None, "added": 0, "mixup": 0.4}


def test_refused(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    own = [f"{name}=2" for name in ("components", "maps", "salient", "other")]
    huang = ("--model", "huang2014", *[word for text in own for word in ("--set", text)])
    for asked, said in [
        ((*NETWORK, "--mixup", -1), "--mixup -1"),
        (
            (*huang, "--mixup", 0.2),
            "--mixup and --label-smoothing: huang2014 has a loss of its own",
        ),
    ]:
        result = cli("train", store, tmp_path / "m.ckpt", *FOLD, *asked)
        assert result.code == 2, result.err
        assert said in result.err
        assert not (tmp_path / "m.ckpt").exists()
    idle = cli("train", store, tmp_path / "m.ckpt", *FOLD, "--model", "linear", "--mixup", 0.2)
    assert idle.code == 0
    assert "mixup: no effect on linear" in idle.err
