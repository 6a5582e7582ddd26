"""The gradients of an epoch add up to that of the weighted loss of the whole training part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import made_models
import numpy as np
import pytest

from sertool.items import Item
from sertool.models.hyperparameters import Hyperparameters
from sertool.targets import IGNORED, Target, class_names, make_target, weigh_items

N, DIMS = 53, 3


def items() -> list[Item]:
    """Return pieces of recordings: four classes of unlike sizes, a sex that some lack."""
    random = np.random.default_rng(0)
    return [
        Item(
            f"i{k}",
            label="aaaabbbccd"[random.integers(10)],
            origin=f"r{k // 3 if k < 20 else k}",
            extra={"sex": (None, "f", "m")[random.integers(3)]},
        )
        for k in range(N)
    ]


LENGTHS = (80 + np.random.default_rng(1).gamma(1.5, 90, N)).astype(np.int64)
TRAIN = [k for k in range(N) if k % 5]


class Recorder:
    """An optimiser that moves nothing and keeps the gradients of its steps."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.steps: list[list[np.ndarray]] = []

    def zero_grad(self, set_to_none: bool) -> None:
        assert set_to_none
        for parameter in self.network.parameters():
            parameter.grad = None

    def step(self) -> None:
        kept = [p.grad.detach().numpy().copy() for p in self.network.parameters()]
        self.steps.append(kept)


def made_task(hp: Hyperparameters, copies: int, targets: list[Target], x: np.ndarray) -> Any:
    """Return a task over the frames of `x` in float64; copy k of an item is k + 1 times it."""
    import torch

    from sertool.training import loop

    each = 1 + copies
    rows = items()

    def batch(source: Any, epoch: int, places: list[int]) -> Any:
        positions, k = np.divmod(np.asarray(places, np.int64), each)
        return x[positions] * (1 + k[:, np.newaxis]), LENGTHS[positions], positions

    source = SimpleNamespace(
        store=SimpleNamespace(lengths=lambda: LENGTHS, items=lambda: rows),
        batch=lambda positions: batch(None, 0, positions),
    )
    augmenting = SimpleNamespace(each=each, batch=batch) if copies else None
    places = [i * each + k for i in TRAIN for k in range(each)]
    network = made_models.network("ma2018")  # it has no loss of its own
    device = torch.device("cpu")
    return loop.Task(
        network,
        source,  # type: ignore[arg-type]
        places,
        [],
        targets,
        hp,
        3,
        device,
        augmenting=augmenting,  # type: ignore[arg-type]
    )


def epoch_of(hp: Hyperparameters, copies: int = 0, heads: bool = False) -> tuple[Any, Any, int]:
    """Return the mean gradient of an epoch's steps, the full batch's, and the steps."""
    import torch

    from sertool.training import loop
    from sertool.ui.console import Console

    fields = [("label", 1.0), ("sex", 0.3)] if heads else [("label", 1.0)]
    rows = items()
    targets = []
    for field, weight in fields:
        names = class_names(rows, field)
        plain = make_target(names, TRAIN, field, weight, hp.class_weights)
        targets.append(weigh_items(plain, rows, TRAIN, LENGTHS, hp.length_weights))
    x = np.random.default_rng(2).normal(0, 1, (N, DIMS)) * (not hp.mixup)
    outputs = sum(target.outputs for target in targets)

    class Linear(torch.nn.Linear):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(x)

    torch.manual_seed(0)
    network = Linear(DIMS, outputs).double()
    task = made_task(hp, copies, targets, x)
    recorder = Recorder(network)
    run = loop.Run(network, recorder)  # type: ignore[arg-type]
    with Console.silent().progress(1, "items") as progress:
        row = loop.train_epoch(run, task, 0, progress)
    mean = [np.mean(parts, 0) for parts in zip(*recorder.steps, strict=True)]

    network.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    start = 0
    for target in targets:
        part = slice(start, start + target.outputs)
        start += target.outputs
        weights, known = target.item_weights, [i for i in TRAIN if target.indices[i] != IGNORED]
        assert weights is not None
        above = below = 0.0
        for i in known:
            for k in range(1 + copies):
                shares = network(torch.from_numpy(x[i] * (1 + k)))[part].log_softmax(0)
                above = above - weights[i] * shares[target.indices[i]]
                below += weights[i]
        total = total + target.weight * above / below
    total.backward()
    whole = [p.grad.numpy() for p in network.parameters() if p.grad is not None]
    assert row["loss"] == pytest.approx(float(total.detach()), rel=1e-9) or hp.loss_norm != "epoch"
    return mean, whole, len(recorder.steps)


WEIGHTS = {"class_weights": "balanced", "length_weights": "inverse"}
BATCHINGS: list[dict[str, Any]] = [
    {"batch_by": "count"},
    {"batch_by": "length"},
    {"batch_by": "length", "bucket_padding": 1.0},
    {"batch_by": "length", "batch_of": "recordings"},
    {"batch_by": "frames"},
    {"batch_by": "frames", "batch_of": "recordings"},
]


@pytest.mark.parametrize("batching", BATCHINGS, ids=str)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"length_weights": "none", "class_weights": "none"},
        {"class_weights": "none"},
        {"length_weights": "pieces"},
        {"mixup": 0.4},
    ],
    ids=str,
)
def test_an_epoch_adds_up_to_the_weighted_loss(
    batching: dict[str, Any], more: dict[str, Any]
) -> None:
    hp = Hyperparameters(**{"batch_size": 7, "loss_norm": "epoch"} | WEIGHTS | batching | more)
    mean, whole, steps = epoch_of(hp)
    assert steps > 3
    for got, wanted in zip(mean, whole, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("batching", BATCHINGS, ids=str)
@pytest.mark.parametrize(("copies", "heads"), [(2, False), (0, True), (2, True)])
def test_copies_and_unknown_classes_of_several_heads(
    batching: dict[str, Any], copies: int, heads: bool
) -> None:
    hp = Hyperparameters(**{"batch_size": 7, "loss_norm": "epoch"} | WEIGHTS | batching)
    mean, whole, _ = epoch_of(hp, copies, heads)
    for got, wanted in zip(mean, whole, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("norm", ["sum_w", "n"])
def test_the_other_norms_do_not(norm: str) -> None:
    hp = Hyperparameters(**{"batch_size": 7, "loss_norm": norm, "batch_by": "length"} | WEIGHTS)
    mean, whole, _ = epoch_of(hp)
    off = np.linalg.norm(mean[0] - whole[0]) / np.linalg.norm(whole[0])
    assert off > 0.05


def test_as_ma2018_trains() -> None:
    for name in ("ma2018", "ma2018-fixed"):
        mean, whole, _ = epoch_of(made_models.network(name).defaults())
        np.testing.assert_allclose(mean[0], whole[0], rtol=1e-9, atol=1e-14)


def test_pieces_take_the_steps_of_their_recordings() -> None:
    from sertool.training import batches

    hp = made_models.network("ma2018").defaults()
    lengths = LENGTHS * 2
    whole = batches.plan_epoch(range(N), lengths, hp, 0, 4, [f"r{k}" for k in range(N)])
    halves = batches.plan_epoch(
        range(2 * N), lengths.repeat(2) // 2, hp, 0, 4, [f"r{k // 2}" for k in range(2 * N)]
    )
    assert len(whole) == -(-N // 16)
    assert [[2 * k + part for k in batch for part in (0, 1)] for batch in whole] == halves
