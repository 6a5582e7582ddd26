"""Corrected p-values, ranks and groups of several systems, against their definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.evaluation.pooling import Pooled
from sertool.papers.ranking import _groups, by_speaker, effect, holm, primary, ranking

UAR = {"measure": "uar"}


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    wanted = []
    for i in range(len(p)):
        families = (
            family
            for size in range(1, len(p) + 1)
            for family in combinations(range(len(p)), size)
            if i in family
        )
        wanted.append(max(min(1.0, len(f) * min(p[j] for j in f)) for f in families))
    assert holm(p) == pytest.approx(wanted)


@given(st.integers(2, 7).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.data())))
def test_groups_are_the_longest_of_which_no_two_are_apart(
    given_: tuple[list[int], st.DataObject],
) -> None:
    order, data = given_
    n = len(order)
    apart = np.zeros((n, n), bool)
    for i, j in combinations(range(n), 2):
        apart[i, j] = apart[j, i] = data.draw(st.booleans())
    alike = [
        (a, b)
        for a in range(n)
        for b in range(a + 1, n)
        if not any(apart[order[i], order[j]] for i, j in combinations(range(a, b + 1), 2))
    ]
    inside = lambda one, other: other != one and other[0] <= one[0] and one[1] <= other[1]  # noqa: E731
    assert _groups(order, apart) == [x for x in alike if not any(inside(x, y) for y in alike)]


def pooled(recalls: np.ndarray) -> Pooled:
    """Return a system of two classes, ten tests of each a speaker and seed; recalls: (speakers,
    seeds, 2), in tenths."""
    right = np.asarray(recalls)
    matrices = np.zeros((*right.shape[:2], 2, 2))
    for i in range(2):
        matrices[:, :, i, i] = right[:, :, i]
        matrices[:, :, i, 1 - i] = 10 - right[:, :, i]
    speakers = [f"s{i}" for i in range(len(right))]
    seeds = [str(i) for i in range(right.shape[1])]
    return Pooled({}, {}, ["a", "b"], seeds, [[]], [[]], speakers, "speaker", matrices)


def test_effects_are_those_of_the_speakers() -> None:
    draw = np.random.default_rng(3)
    left, right = (pooled(draw.integers(0, 11, (8, 2, 2))) for _ in range(2))
    ours, theirs = ((m.matrices[..., [0, 1], [0, 1]] / 10).mean((1, 2)) for m in (left, right))
    gaps = ours - theirs
    found = effect(left, right, UAR)
    assert found is not None
    assert found.d == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert (found.wins, found.losses, found.n) == ((gaps > 0).sum(), (gaps < 0).sum(), 8)
    same = effect(left, left, UAR)
    assert same is not None
    assert (same.d, same.wins, same.losses) == (None, 0, 0)


def test_another_order_of_speakers_is_the_same_effect() -> None:
    draw = np.random.default_rng(4)
    left, right = (pooled(draw.integers(0, 11, (6, 1, 2))) for _ in range(2))
    turned = pooled(np.zeros((6, 1, 2)))
    turned.clusters[:] = right.clusters[::-1]
    turned.matrices[:] = right.matrices[::-1]
    assert effect(left, turned, UAR) == effect(left, right, UAR)


def test_a_speaker_without_a_figure_has_no_rank() -> None:
    draw = np.random.default_rng(5)
    runs = [pooled(draw.integers(0, 11, (7, 1, 2))) for _ in range(3)]
    runs[1].matrices[2] = 0
    found = ranking(runs, UAR, np.zeros((3, 3), bool))
    assert found is not None
    assert found.n_speakers == 6
    assert by_speaker(runs[1], UAR, ["s2"]) == pytest.approx(np.nan, nan_ok=True)


def test_ranks_and_friedman() -> None:
    # speakers' figures 9, 8, 5 of three systems, and two that tie: ranks 1, 2, 3 and 1.5, 1.5, 3
    runs = [pooled(np.full((6, 1, 2), value)) for value in (5, 9, 8)]
    runs[2].matrices[0] = runs[1].matrices[0]
    found = ranking(runs, UAR, np.zeros((3, 3), bool))
    assert found is not None
    assert found.order == [1, 2, 0]
    assert found.ranks == pytest.approx([3, (5 + 1.5) / 6, (5 * 2 + 1.5) / 6])
    # Friedman's statistic with ties (Conover, 1999, equation 5.8.7)
    rows = np.array([[3, 1.5, 1.5], *[[3, 1, 2]] * 5])
    a, c = (rows**2).sum(), 6 * 3 * 16 / 4
    statistic = 2 * ((rows.sum(0) - 12) ** 2).sum() / (a - c)
    assert found.p == pytest.approx(np.exp(-statistic / 2))  # chi-square of two degrees
    assert found.groups == [(0, 2)]


def test_systems_that_never_differ() -> None:
    runs = [pooled(np.full((5, 1, 2), 7)) for _ in range(3)]
    found = ranking(runs, UAR, np.zeros((3, 3), bool))
    assert found is not None
    assert (found.ranks, found.p) == ([2.0, 2.0, 2.0], 1.0)


def test_what_systems_are_ranked_by() -> None:
    assert primary([{"measure": "accuracy"}, UAR]) == UAR
    numbers = [{"measure": "pcc", "target": "v"}, {"measure": "ccc", "target": "v"}]
    assert primary(numbers) == numbers[1]
