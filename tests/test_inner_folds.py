"""Tests of folds within a training part: whole groups, known classes, balance."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.items import Item
from sertool.models.inner_folds import inner_folds
from sertool.training import baselines


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(2, 5), st.integers(2, 4))
def test_inner_folds_keep_groups_whole_and_know_two_classes(
    draw: st.DataObject, folds: int, classes: int
) -> None:
    n = draw.draw(st.integers(2, 40))
    targets = np.array(draw.draw(st.lists(st.integers(0, classes), min_size=n, max_size=n)))
    groups = np.array(draw.draw(st.lists(st.integers(0, 7), min_size=n, max_size=n)))
    placed, whole = inner_folds(targets, groups, folds)
    units = groups if whole else np.arange(n)
    frequent = (np.bincount(targets) > 1).sum()
    if placed is None:
        assert frequent < 2
        return
    assert placed.shape == (n,)
    assert set(placed) == set(range(min(folds, len(np.unique(units)))))
    for fold in set(placed):
        assert len(set(targets[placed != fold])) >= 2
    if whole:
        for group in set(groups):
            assert len(set(placed[groups == group])) == 1
    else:
        for target in set(targets):
            assert len(set(placed[targets == target])) >= min(2, (targets == target).sum())


def test_inner_folds_are_balanced_by_class() -> None:
    targets, groups = np.arange(240) % 4, np.arange(240) // 4 % 12
    placed, whole = inner_folds(targets, groups, 3)
    assert whole
    assert placed is not None
    assert all((np.bincount(targets[placed == k]) == 20).all() for k in range(3))
    own, whole = inner_folds(np.arange(90) % 9 % 3, np.arange(90) % 9, 3)  # a speaker, a class
    assert whole
    assert own is not None
    assert all((np.bincount(np.arange(90)[own == k] % 3) == 10).all() for k in range(3))
    alone, whole = inner_folds(targets, np.zeros(240, int), 3)
    assert not whole
    assert alone is not None
    assert all((np.bincount(targets[alone == k]) == 20).all() for k in range(3))


def test_groups_are_speakers_of_a_corpus_else_recordings() -> None:
    def item(corpus: str | None, speaker: str | None, origin: str) -> Item:
        return Item(origin, f"{origin}.wav", corpus=corpus, speaker=speaker, origin=origin)

    mixed = [
        item("a", "3", "a/1"),
        item("b", "3", "b/1"),
        item("a", "3", "a/2"),
        item("a", None, "a/9"),
        item("a", None, "a/9"),
        item(None, None, "x"),
    ]
    found = baselines.groups(mixed, np.array([0, 1, 1, 0, 1, 1]))
    assert found.dtype == np.int64
    same = [[i for i in range(6) if found[i] == found[k]] for k in range(6)]
    assert same == [[0, 2], [1], [0, 2], [3, 4], [3, 4], [5]]
    one = [item("a", "3", origin) for origin in "xxyz"]
    assert baselines.groups(one, np.array([0, 0, 1, 1])).tolist() == [0, 0, 1, 2]
    own = [item("a", speaker, origin) for speaker, origin in ("1x", "1y", "2z", "2z")]
    assert baselines.groups(own, np.array([0, 0, 1, 1])).tolist() == [0, 1, 2, 2]


def test_a_rare_class_counts_as_much_as_a_frequent_one() -> None:
    said = [(8, 1), (2, 1), (5, 0), (6, 0)]  # by each of four speakers, of two classes
    targets = np.concatenate([np.repeat([0, 1], counts) for counts in said])
    speakers = np.repeat(np.arange(4), [sum(counts) for counts in said])
    placed, whole = inner_folds(targets, speakers, 2)
    assert whole
    assert placed is not None
    assert sorted(placed[targets == 1].tolist()) == [0, 1]
