"""Tests of batches by length, the loss's weights and clipping, each against its definition."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.items import Item
from sertool.models.hyperparameters import Hyperparameters
from sertool.targets import IGNORED, Target, class_names, make_target, weigh_items
from sertool.training import batches

Plan = list[list[int]]


def padding_share(plans: Iterable[Sequence[int]], lengths: np.ndarray) -> float:
    """Return the share of the frames of `plans` that is padding; lengths: (positions,) frames."""
    held = [lengths[np.asarray(batch)] for batch in plans]
    padded = sum(int(part.max()) * len(part) for part in held)
    return 1 - sum(int(part.sum()) for part in held) / padded


def hyper(by: str, size: int = 16, **more: Any) -> Hyperparameters:
    hp = Hyperparameters(batch_by=by, batch_size=size, **more)
    hp.check()
    return hp


def plan(lengths: np.ndarray, hp: Hyperparameters, seed: int = 0, epoch: int = 0) -> Plan:
    return batches.plan_epoch(range(len(lengths)), lengths, hp, seed, epoch)


def area(lengths: np.ndarray, batch: list[int]) -> int:
    return len(batch) * int(lengths[batch].max())


def long_tailed(n: int = 339, seed: int = 1) -> np.ndarray:
    """Return lengths as those of sentences: a third of them long, a few very long."""
    return (100 + np.random.default_rng(seed).gamma(2, 80, n)).astype(np.int64)


# ---- batches

LENGTHS = st.lists(st.integers(1, 900), min_size=1, max_size=60)


@given(
    LENGTHS,
    st.integers(1, 9),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_by_length_every_item_comes_once_and_seldom_alone(
    numbers: list[int], size: int, noise: float, padding: float, epoch: int
) -> None:
    lengths = np.array(numbers)
    hp = hyper("length", size, bucket_noise=noise, bucket_padding=padding)
    positions = range(500, 500 + len(lengths))
    made = batches.plan_epoch(positions, lengths, hp, 7, epoch)
    assert sorted(i for batch in made for i in batch) == list(positions)
    assert all(batch == sorted(batch) for batch in made)
    assert max(map(len, made)) <= size + (size > 1)
    assert sum(len(batch) > size for batch in made) <= 1
    if size > 1 and len(lengths) > 1:
        assert min(map(len, made)) > 1  # batch normalisation needs two
    assert made == batches.plan_epoch(positions, lengths, hp, 7, epoch)
    for batch in made:
        held = lengths[np.array(batch) - 500]
        if noise == 0 and len(batch) > 3:
            assert 1 - held.sum() / (held.max() * len(held)) <= padding + 1e-12


@given(
    LENGTHS,
    st.integers(1, 3000),
    st.sampled_from([0.0, 0.02, 0.5]),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_by_frames_no_batch_holds_more_unless_one_item_does(
    numbers: list[int], most: int, noise: float, padding: float, epoch: int
) -> None:
    lengths = np.array(numbers)
    hp = hyper("frames", batch_frames=most, bucket_noise=noise, bucket_padding=padding)
    made = plan(lengths, hp, 7, epoch)
    assert sorted(i for batch in made for i in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or area(lengths, batch) <= most
    assert made == plan(lengths, hp, 7, epoch)


@given(LENGTHS.filter(lambda numbers: len(numbers) > 2))
@settings(max_examples=100, deadline=None)
def test_by_frames_short_items_are_not_alone(numbers: list[int]) -> None:
    lengths = np.array(numbers)
    made = plan(lengths, hyper("frames", batch_frames=3 * int(lengths.max())))
    assert min(map(len, made)) > 1


def test_by_frames_pairs_hand_on_an_item_to_one_that_is_alone() -> None:
    lengths = np.array([10, 11, 12, 14, 15, 16])
    made = plan(lengths, hyper("frames", batch_frames=36, bucket_noise=0, bucket_padding=1))
    assert sorted(made) == [[0, 1], [2, 3], [4, 5]]  # not [0, 1, 2], [3, 4], [5]
    made = plan(lengths[1:], hyper("frames", batch_frames=35, bucket_noise=0, bucket_padding=1))
    assert sorted(made) == [[0, 1], [2, 3], [4]]  # three of 16 would be too large


@given(LENGTHS, st.integers(2, 9))
@settings(max_examples=100, deadline=None)
def test_without_noise_and_by_size_alone_it_is_a_sorted_list_cut(
    numbers: list[int], size: int
) -> None:
    lengths = np.array(numbers)
    made = plan(lengths, hyper("length", size, bucket_noise=0, bucket_padding=1), 3)
    got = sorted(sorted(lengths[batch].tolist()) for batch in made)
    ordered = sorted(numbers)
    wanted = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    if len(wanted) > 1 and len(wanted[-1]) == 1:
        if size > 2:
            wanted[-1].insert(0, wanted[-2].pop())
        else:
            wanted[-2:] = [wanted[-2] + wanted[-1]]
    assert got == sorted(wanted)


@pytest.mark.parametrize("by", ["length", "frames"])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_padding_of_sentences_stays_under_five_percent(corpora: Path, by: str, size: int) -> None:
    import soundfile

    files = sorted((corpora / "emodb-339").glob("*.flac"))
    seconds = np.array([soundfile.info(file).duration for file in files])
    lengths = 1 + (100 * (seconds - 0.04)).astype(np.int64)
    shares = [
        padding_share(plan(lengths, hyper(by, size), 1, epoch), lengths) for epoch in range(5)
    ]
    assert max(shares) < 0.05
    at_random = padding_share(plan(lengths, hyper("count", size), 1), lengths)
    assert at_random > 0.35
    steps = [len(plan(lengths, hyper(kind, size), 1)) for kind in (by, "count")]
    assert steps[0] < max(1.3 * steps[1], 24)  # not bought by batches of two


def test_padding_share_by_hand() -> None:
    lengths = np.array([1, 2, 3, 10])
    assert padding_share([[0, 1, 2], [3]], lengths) == pytest.approx(3 / 19)
    assert padding_share([[0], [1]], lengths) == 0


@pytest.mark.parametrize("by", ["length", "frames"])
def test_seeds_and_epochs_differ_in_batches_and_in_their_order(by: str) -> None:
    lengths = long_tailed()
    made = [plan(lengths, hyper(by), seed, epoch) for seed in range(2) for epoch in range(2)]
    assert len({str(sorted(each)) for each in made}) == 4
    # lengths that are all different: the same batches, in another order
    distinct = np.arange(100, 400)
    exact = [plan(distinct, hyper(by, bucket_noise=0), 0, epoch) for epoch in range(2)]
    assert sorted(exact[0]) == sorted(exact[1])
    assert exact[0] != exact[1]
    longest = [[int(distinct[batch].max()) for batch in each] for each in exact]
    assert longest[0] != sorted(longest[0])
    even = np.full(60, 97)
    alike = [plan(even, hyper(by, bucket_noise=0), 0, epoch) for epoch in range(2)]
    assert sorted(alike[0]) != sorted(alike[1])  # equal lengths are as good as random batches
    assert {len(batch) for batch in alike[0]} <= {16, 12}


def test_limit_by_default_is_the_batch_size_of_median_items() -> None:
    lengths = np.array([10, 20, 30, 40, 1000])
    assert batches.frame_limit(hyper("frames", 4), lengths) == 120
    assert batches.frame_limit(hyper("frames", 4, batch_frames=77), lengths) == 77
    assert batches.frame_limit(hyper("length", 4), lengths) is None
    assert plan(lengths, hyper("frames", 4)).count([4]) == 1


@pytest.mark.parametrize("by", ["count", "length", "frames"])
def test_validation_is_cut_like_training_and_nothing_is_drawn(by: str) -> None:
    lengths = long_tailed(100)
    hp = hyper(by, 100, bucket_noise=0.9)
    most = batches.frame_limit(hp, lengths[:50])
    positions = list(range(200, 300))
    made = batches.plan_validation(positions, lengths, hp, 64, most)
    assert made == batches.plan_validation(positions, lengths, hp, 64, most)
    assert sorted(i for batch in made for i in batch) == positions
    if by == "count":
        assert made == [positions[:64], positions[64:]]
        return
    own = [[i - 200 for i in batch] for batch in made]
    assert padding_share(own, lengths) < 0.05
    assert max(map(len, made)) <= 65
    if most is not None:
        assert all(area(lengths, batch) <= most for batch in own)
    else:
        even = batches.plan_validation(positions, np.full(100, 9), hp, 64, None)
        assert [len(batch) for batch in even] == [64, 36]


def test_pictures_that_are_changed_as_they_are_read_have_their_items_lengths() -> None:
    from sertool.training import loop
    from sertool.training.augmenting import Augmenting

    store = SimpleNamespace(lengths=lambda: np.array([5, 6, 7]))
    task: Any = SimpleNamespace(source=SimpleNamespace(store=store), augmenting=None)
    assert loop._lengths(task, [2, 0]).tolist() == [7, 5]
    task.augmenting = Augmenting({}, 2, 0)
    assert loop._lengths(task, task.augmenting.places([2, 0])).tolist() == [7] * 3 + [5] * 3


# ---- the loss


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Item], list[int], np.ndarray, np.ndarray]:
    """Return items (a few recordings, cut into pieces), training positions, lengths, logits."""
    n = draw(st.integers(3, 12))
    rows = [
        Item(
            "",
            origin=f"c/{draw(st.integers(0, 4))}",
            label=draw(st.sampled_from(["a", "b", "c", None])),
        )
        for _ in range(n)
    ]
    rows[0].label = "a"
    train = [0, *(i for i in range(1, n) if draw(st.booleans()))]
    lengths = np.array([draw(st.integers(1, 500)) for _ in range(n)])
    logits = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 3, (n, 3))
    return rows, train, lengths, logits


def defined(
    rows: list[Item],
    train: list[int],
    lengths: np.ndarray,
    balanced: bool,
    by: str,
) -> dict[int, float]:
    """Return the weights of the known training items, by the sheet's formula, item by item."""
    known = [i for i in train if rows[i].label is not None]
    mean = sum(lengths[i] for i in known) / len(known)
    pieces = Counter(rows[i].origin for i in known)
    votes = {
        "none": lambda i: 1.0,
        "inverse": lambda i: mean / lengths[i],
        "pieces": lambda i: 1 / pieces[rows[i].origin],
    }[by]
    one = votes if by == "pieces" else (lambda i: 1.0)
    n = sum(one(i) for i in known)
    size: Counter[str] = Counter()
    for i in known:
        size[rows[i].label] += one(i)
    raw = {i: votes(i) * (n / (len(size) * size[rows[i].label]) if balanced else 1) for i in known}
    scale = sum(raw.values()) / len(raw)
    return {i: weight / scale for i, weight in raw.items()}


@given(
    situations(),
    st.booleans(),
    st.sampled_from(["none", "inverse", "pieces"]),
    st.sampled_from(["sum_w", "n"]),
)
@settings(max_examples=200, deadline=None)
def test_loss_is_its_definition(
    situation: tuple[Any, ...], balanced: bool, by: str, norm: str
) -> None:
    import torch

    from sertool.training.loop import total_loss

    rows, train, lengths, logits = situation
    target = make_target(
        class_names(rows, "label"), train, "label", 0.5, "balanced" if balanced else "none"
    )
    target = weigh_items(target, rows, train, lengths, by)
    weights = defined(rows, train, lengths, balanced, by)
    assert target.item_weights is not None
    np.testing.assert_allclose([target.item_weights[i] for i in weights], [*weights.values()])
    assert sum(weights.values()) / len(weights) == pytest.approx(1)
    assert all(target.item_weights[i] == 0 for i in train if i not in weights)
    used = logits[:, : len(target.classes)]
    above = below = 0.0
    for i in train:
        if i not in weights:
            continue
        share = math.exp(used[i, target.indices[i]]) / sum(math.exp(v) for v in used[i])
        above -= weights[i] * math.log(share)
        below += weights[i] if norm == "sum_w" else 1
    got = total_loss(torch.from_numpy(used[train]), np.array(train), [target], norm)
    assert float(got) == pytest.approx(0.5 * above / below, rel=1e-9)


@given(situations(), st.booleans(), st.sampled_from(["sum_w", "n"]))
@settings(max_examples=50, deadline=None)
def test_with_class_weights_alone_the_loss_is_torchs(
    situation: tuple[Any, ...], balanced: bool, norm: str
) -> None:
    import torch

    from sertool.training.loop import total_loss

    rows, train, lengths, logits = situation
    plain = make_target(
        class_names(rows, "label"), train, "label", 1.0, "balanced" if balanced else "none"
    )
    own = weigh_items(plain, rows, train, lengths, "none")
    x = torch.from_numpy(logits[train, : len(plain.classes)]).float()
    truth = torch.from_numpy(plain.indices[train])
    class_weights = torch.from_numpy(plain.class_weights).float()
    torchs = torch.nn.functional.cross_entropy(x, truth, class_weights, ignore_index=IGNORED)
    assert float(total_loss(x, np.array(train), [plain], norm)) == float(torchs)  # every bit
    itself = float(total_loss(x, np.array(train), [own], "sum_w"))
    assert itself == pytest.approx(float(torchs), rel=1e-5)


def test_each_head_is_judged_by_its_own_logits() -> None:
    import torch

    from sertool.training.loop import total_loss

    names = [("a", "f"), ("b", None), ("c", "m"), ("a", "m"), (None, "f"), (None, "m")]
    rows = [Item("", label=name, extra={"sex": sex}) for name, sex in names]
    targets = [
        make_target(class_names(rows, "label"), range(6), "label"),
        make_target(class_names(rows, "sex"), range(6), "sex", 0.25),
    ]
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (6, 5)))

    def mean(first: int, last: int, wanted: list[tuple[int, int]]) -> float:
        shares = logits[:, first:last].log_softmax(1)
        return -float(sum(shares[i, k] for i, k in wanted) / len(wanted))

    label = mean(0, 3, [(0, 0), (1, 1), (2, 2), (3, 0)])
    sex = mean(3, 5, [(0, 0), (2, 1), (3, 1), (4, 0), (5, 1)])
    whole = total_loss(logits, np.arange(6), targets)
    assert float(whole) == pytest.approx(label + 0.25 * sex)
    alone = total_loss(logits[4:], np.array([4, 5]), targets)  # nobody's label is known
    assert float(alone) == pytest.approx(0.25 * mean(3, 5, [(4, 0), (5, 1)]))


def test_heads_have_weights_of_their_own() -> None:
    rows = [
        Item("", label=name, origin=str(k), extra={"sex": sex})
        for k, (name, sex) in enumerate([("a", "f"), ("a", None), ("b", "m"), ("b", "f")])
    ]
    lengths = np.array([1, 2, 4, 4])
    label, sex = (
        weigh_items(
            make_target(class_names(rows, field), [0, 1, 2, 3], field),
            rows,
            [0, 1, 2, 3],
            lengths,
            "inverse",
        )
        for field in ("label", "sex")
    )
    np.testing.assert_allclose(label.item_weights, [2, 1, 0.5, 0.5])
    np.testing.assert_allclose(sex.item_weights, [2, 0, 0.5, 0.5])


def test_balanced_pieces_balance_recordings() -> None:
    origins = ["r1", "r1", "r1", "r2", "r3", "r4"]
    rows = [
        Item("", label=name, origin=origin) for name, origin in zip("aaabbb", origins, strict=True)
    ]
    target = make_target(class_names(rows, "label"), range(6), "label", 1.0, "balanced")
    np.testing.assert_allclose(target.class_weights, [1, 1])
    weighed = weigh_items(target, rows, range(6), np.ones(6), "pieces").item_weights
    assert weighed is not None
    np.testing.assert_allclose([weighed[:3].sum(), weighed[3:].sum()], [3, 3])
    votes = weigh_items(
        dataclasses.replace(target, balanced=False), rows, range(6), np.ones(6), "pieces"
    )
    assert votes.item_weights is not None
    np.testing.assert_allclose(votes.item_weights[:3].sum(), votes.item_weights[3])


# ---- clipping


@pytest.mark.parametrize(("clip", "factor"), [(0.0, 1.0), (2.0, None), (1e4, 1.0)])
def test_a_step_is_clipped_by_the_norm_of_all_gradients(clip: float, factor: float | None) -> None:
    import torch

    from sertool.training import loop
    from sertool.ui.console import Console

    class Linear(torch.nn.Linear):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(x[:, 0])

    torch.manual_seed(0)
    network = Linear(2, 2)
    before = [parameter.detach().clone().double() for parameter in network.parameters()]
    x = np.array([[[30.0, -4.0]], [[2.0, 50.0]]], np.float32)
    target = Target("label", ["a", "b"], 1.0, np.array([0, 1]), np.ones(2))
    store = SimpleNamespace(lengths=lambda: np.array([1, 1]))
    source = SimpleNamespace(
        store=store, batch=lambda positions: (x[positions], np.ones(2, np.int64), positions)
    )
    hp = Hyperparameters(optimizer="sgd", momentum=0.0, lr=0.25, batch_size=2, clip_norm=clip)
    task = loop.Task(
        made_models.network("ma2018"),
        source,
        [0, 1],
        [],
        [target],
        hp,
        0,
        torch.device("cpu"),  # type: ignore[arg-type]
    )
    run = loop.Run(network, loop.make_optimizer(network, task))
    weight, bias = before
    logits = torch.from_numpy(x[:, 0]).double() @ weight.T + bias
    slope = (logits.softmax(1) - torch.eye(2).double()) / 2  # of the mean cross-entropy
    gradients = [slope.T @ torch.from_numpy(x[:, 0]).double(), slope.sum(0)]
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    assert 2 < norm < 1e4
    with Console.silent().progress(2, "items") as progress:
        loop.train_epoch(run, task, 0, progress)
    scale = clip / norm if factor is None else factor
    for old, gradient, new in zip(before, gradients, network.parameters(), strict=True):
        np.testing.assert_allclose(
            new.detach(), old - 0.25 * scale * gradient, rtol=1e-4, atol=1e-6
        )
