"""Intervals over speakers and seeds: against a slow bootstrap, and how often they hold."""

from __future__ import annotations

import numpy as np
import pytest

from sertool import metrics
from sertool.evaluation import measures, pooling
from sertool.evaluation.pooling import Pooled

ACCURACY = {"measure": "accuracy"}
UAR = {"measure": "uar"}
EACH = 30  # recordings of a speaker and class


def system(right, names=None, clusters=None, unit="speaker"):
    """Return a system of two classes: (speakers, seeds, 2) of `EACH` recordings are right."""
    right = np.asarray(right)
    matrices = np.zeros((*right.shape[:2], 2, 2), np.int64)
    for k in (0, 1):
        matrices[..., k, k] = right[..., k]
        matrices[..., k, 1 - k] = EACH - right[..., k]
    seeds = names or [str(i) for i in range(right.shape[1])]
    known = [f"toy/s{i:02d}" for i in range(len(right))] if clusters is None else clusters
    folds = [["0"] for _ in seeds]
    return Pooled({}, {}, ["anger", "joy"], seeds, folds, [], known, unit, matrices)


def spoken(random, speakers, seeds, spread):
    """Return how many are right of speakers and seeds that differ: (speakers, seeds, 2).

    spread: in logits, of speakers, of seeds, and of speakers under one seed.
    """
    a, b, c = (random.normal(0, sd, shape) for sd, shape in zip(
        spread, ((speakers, 1, 1), (1, seeds, 1), (speakers, seeds, 1)), strict=True
    ))  # fmt: skip
    chance = 1 / (1 + np.exp(-(0.5 + a + b + c)))
    return random.binomial(EACH, np.broadcast_to(chance, (speakers, seeds, 2)))


def slow_draws(right, draws, seed):
    """Draw speakers, then seeds, one by one: UAR of a draw, the mean over its seeds."""
    random = np.random.default_rng(seed)
    n, seeds = right.shape[:2]
    found = []
    for _ in range(draws):
        people = random.choice(n, n)
        runs = random.choice(seeds, max(1, seeds - 1))
        uars = []
        for run in runs:
            hits = [sum(right[who, run, k] for who in people) for k in (0, 1)]
            uars.append(np.mean([hit / (EACH * n) for hit in hits]))
        found.append(np.mean(uars))
    return np.array(found)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_limits_are_those_of_a_slow_bootstrap(seeds):
    right = spoken(np.random.default_rng(4), 8, seeds, (0.6, 0.5, 0.2))
    (value,) = measures.values(system(right), [UAR])
    expected = np.percentile(slow_draws(right, 3000, 1), [2.5, 97.5])
    np.testing.assert_allclose(value.ci, expected, atol=0.012)
    assert value.mean == pytest.approx(right.mean() / EACH)
    assert value.over == ("speakers and seeds" if seeds > 1 else "speakers")


def test_one_seed_is_a_bootstrap_over_speakers_alone():
    right = spoken(np.random.default_rng(2), 9, 1, (0.6, 0.5, 0.2))
    made = system(right)
    alone = metrics.bootstrap(made.matrices[:, 0])
    for name in ("accuracy", "uar", "macro_f1", "kappa"):
        (value,) = measures.values(made, [{"measure": name}])
        assert value.ci == alone[name]


def test_seeds_that_agree_add_nothing():
    right = spoken(np.random.default_rng(2), 9, 1, (0.6, 0.5, 0.2))
    one, four = system(right), system(np.repeat(right, 4, axis=1))
    (single,), (same,) = (measures.values(each, [UAR]) for each in (one, four))
    assert same.ci == pytest.approx(single.ci)


def test_a_failed_seed_is_in_the_interval():
    """One training of three that learned nothing: over speakers alone it would hardly show."""
    right = spoken(np.random.default_rng(6), 10, 3, (0.2, 0.0, 0.0))
    right[:, 1] = [EACH, 0]  # never left the first class
    (value,) = measures.values(system(right), [UAR])
    learned = right[:, [0, 2]].mean() / EACH
    assert value.ci[0] == pytest.approx(0.5)  # both draws the failed seed
    assert value.ci[1] > learned
    speakers = metrics.limits(
        metrics.resample(system(right).matrices, {"uar": metrics.uar})["uar"].mean(1), 0.95
    )
    assert speakers[0] > 0.5 + 0.5 * (value.mean - 0.5)


def test_few_speakers_have_no_interval_however_many_seeds():
    right = spoken(np.random.default_rng(1), measures.FEWEST - 1, 6, (0.3, 0.3, 0.1))
    (value,) = measures.values(system(right), [UAR])
    assert (value.ci, value.over) == (None, "")
    assert value.sd > 0


def test_files_of_one_run_are_what_is_drawn_where_speakers_are_unknown():
    right = spoken(np.random.default_rng(1), 8, 1, (0.3, 0.3, 0.1))
    (value,) = measures.values(system(right, clusters=[""] * 8, unit="file"), [UAR])
    assert value.over == "files"


def test_the_same_seeds_are_drawn_for_both_systems():
    """Seeds good for both systems: their difference varies far less than either."""
    random = np.random.default_rng(3)
    right = spoken(random, 12, 4, (0.2, 1.0, 0.0))
    better = np.minimum(right + 3, EACH)
    left, other = system(better), system(right, names=["5", "6", "7", "8"])
    (paired,) = measures.differences(left, system(right), [UAR])
    (apart,) = measures.differences(left, other, [UAR])
    assert paired.value == pytest.approx(apart.value)
    assert np.diff(apart.ci)[0] > 5 * np.diff(paired.ci)[0]
    assert paired.ci[0] > 0 > apart.ci[0]
    assert paired.p < 0.01 < apart.p


@pytest.mark.parametrize("seeds", [1, 3])
def test_difference_is_that_of_a_slow_bootstrap(seeds):
    random = np.random.default_rng(8)
    right = spoken(random, 8, seeds, (0.6, 0.6, 0.2))
    other = spoken(random, 8, seeds, (0.6, 0.6, 0.2))
    (found,) = measures.differences(system(right), system(other), [UAR])
    gaps = slow_draws(right, 3000, 5) - slow_draws(other, 3000, 5)  # one generator, the same draws
    np.testing.assert_allclose(found.ci, np.percentile(gaps, [2.5, 97.5]), atol=0.02)
    side = min((gaps <= 0).mean(), (gaps >= 0).mean())
    assert found.p == pytest.approx(min(1.0, 2 * side), abs=0.05)


def test_shared_speakers_and_seeds():
    right = spoken(np.random.default_rng(8), 9, 3, (0.6, 0.6, 0.2))
    left = system(right, names=["0", "1", "2"])
    few = system(right[2:, :2], names=["1", "7"], clusters=[f"toy/s{i:02d}" for i in range(2, 9)])
    mine, theirs = pooling.shared(left, few)
    assert mine.seeds == theirs.seeds == ["1"]
    assert mine.clusters == theirs.clusters == few.clusters
    np.testing.assert_array_equal(mine.matrices, left.matrices[2:, 1:2])
    np.testing.assert_array_equal(theirs.matrices, few.matrices[:, :1])
    assert pooling.shared(left, left) == (left, left)
    none = pooling.shared(left, system(right, names=["7", "8", "9"]))
    assert [each.seeds for each in none] == [["0", "1", "2"], ["7", "8", "9"]]


def truth(spread):
    """Return the accuracy to be expected of a new speaker under a new seed."""
    random = np.random.default_rng(99)
    return (1 / (1 + np.exp(-(0.5 + random.normal(0, np.hypot.reduce(spread), 400_000))))).mean()


@pytest.mark.parametrize(
    ("speakers", "seeds", "spread", "low", "high"),
    [  # as the docstring of `measures` says, three standard errors of 400 trials wide
        (10, 1, (0.6, 0.0, 0.0), 0.85, 0.96),
        (10, 3, (0.6, 0.2, 0.2), 0.88, 0.98),
        (24, 3, (0.6, 0.2, 0.2), 0.88, 0.98),
        (24, 5, (0.6, 0.6, 0.2), 0.82, 0.97),
        (10, 3, (0.2, 0.8, 0.1), 0.72, 0.90),
        (10, 2, (0.2, 0.8, 0.1), 0.55, 0.75),
    ],
)
def test_how_often_an_interval_holds_the_truth(speakers, seeds, spread, low, high):
    random = np.random.default_rng(17)
    expected, held = truth(spread), []
    for trial in range(400):
        made = system(spoken(random, speakers, seeds, spread))
        (value,) = measures.values(made, [ACCURACY], seed=trial)
        held.append(value.ci[0] <= expected <= value.ci[1])
    assert low < np.mean(held) < high


def test_over_speakers_alone_the_truth_is_missed():
    """What the draws of seeds are for: trainings that differ, three of them, ten speakers."""
    random = np.random.default_rng(17)
    spread = (0.2, 0.8, 0.1)
    expected, held = truth(spread), []
    for trial in range(200):
        made = system(spoken(random, 10, 3, spread))
        drawn = metrics.resample(made.matrices, {"wa": metrics.accuracy}, seed=trial)["wa"]
        low, high = metrics.limits(drawn.mean(1), 0.95)
        held.append(low <= expected <= high)
    assert np.mean(held) < 0.4
