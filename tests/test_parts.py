"""Tests of who trains, validates and is held out: nothing is ever apart from its origin."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import items

from sertool.core.errors import InputError, UsageError
from sertool.items import Item
from sertool.splits.division import Division, PartOptions, divide

Rows = list[Item]


def only(rows: Rows, **options: Any) -> Division:
    (division,) = divide(rows, PartOptions(**options))
    return division


def of(rows: Rows, positions: list[int], name: str) -> set[Any]:
    return {rows[i].value(name) for i in positions}


def with_parts(rows: Rows) -> Rows:
    return [
        row.replace(part=("train", "train", "val", "test")[int(row.speaker[1:]) % 4])
        for row in rows
    ]


def segments(rows: Rows, count: int = 3) -> Rows:
    return [row.replace(id=f"{row.id}#{k:03d}") for row in rows for k in range(count)]


def test_parts_are_taken_as_they_are() -> None:
    rows = with_parts(items())
    division = only(rows)
    assert (division.by, division.fold) == ("part", None)
    assert of(rows, division.train, "speaker") == {"s0", "s1", "s4", "s5"}
    assert of(rows, division.val, "speaker") == {"s2"}
    assert of(rows, division.test, "speaker") == {"s3"}


def test_folds_need_a_test_fold() -> None:
    with pytest.raises(UsageError, match="--test-fold K"):
        divide(items(), PartOptions())
    rows = items()
    division = only(rows, test_fold="1")
    assert of(rows, division.test, "fold") == {1}
    assert division.fold == 1
    assert of(rows, division.train, "fold") == {0, 2}
    assert division.val == []


def test_all_holds_out_each_fold_once() -> None:
    rows = items()
    divisions = divide(rows, PartOptions(test_fold="all", val_fold="next"))
    assert [division.fold for division in divisions] == [0, 1, 2]
    assert sorted(i for d in divisions for i in d.test) == list(range(len(rows)))
    for division in divisions:
        assert of(rows, division.val, "fold") == {(division.fold + 1) % 3}
        assert division == only(rows, test_fold=str(division.fold), val_fold="next")


def test_none_and_no_folds_train_on_everything() -> None:
    rows = items()
    assert only(rows, test_fold="none").train == list(range(len(rows)))
    bare = [row.replace(fold=None) for row in rows]
    division = only(bare)
    assert (division.by, len(division.train), division.test) == ("none", len(rows), [])


def test_copies_train_and_are_held_out_but_never_validate() -> None:
    rows = items(copies=2)
    division = only(rows, test_fold="0", val_fold="1")
    assert any(rows[i].augmentation for i in division.train)
    assert any(rows[i].augmentation for i in division.test)
    assert not any(rows[i].augmentation for i in division.val)
    assert len(division.val) == 12


OPTIONS = st.one_of(
    st.builds(lambda v: {"val": v}, st.floats(0.05, 0.6)),
    st.builds(lambda n: {"val_speakers": n}, st.integers(1, 3)),
    st.just({"val_fold": "next"}),
    st.just({"val_where": ("text=t1",)}),
    st.just({}),
)


@given(OPTIONS, st.integers(0, 99), st.sampled_from(["0", "2", "none"]), st.randoms())
@settings(max_examples=60, deadline=None)
def test_nothing_is_apart_from_its_origin_and_order_does_not_matter(
    options: dict[str, Any], seed: int, fold: str, random: Any
) -> None:
    if fold == "none":
        options.pop("val_fold", None)
    rows = segments(items(each=5))
    division = only(rows, test_fold=fold, split_seed=seed, **options)
    origins = [of(rows, side, "origin") for side in (division.train, division.val, division.test)]
    assert not (origins[0] & origins[1])
    assert not (origins[0] & origins[2])
    assert not (origins[1] & origins[2])
    assert division.train
    assert division.val or not options
    shuffled = list(rows)
    random.shuffle(shuffled)
    again = only(shuffled, test_fold=fold, split_seed=seed, **options)
    for name in ("train", "val", "test"):
        assert of(rows, getattr(division, name), "id") == of(shuffled, getattr(again, name), "id")


def test_val_share_is_stratified_and_by_origin() -> None:
    rows = segments(items(speakers=10, each=6))
    division = only(rows, test_fold="none", val=0.2)
    chosen = {rows[i].origin: rows[i].label for i in division.val}
    labels = list(chosen.values())
    assert sorted(labels.count(name) for name in set(labels)) == [4, 4, 4]
    other = only(rows, test_fold="none", val=0.2, split_seed=1)
    assert other.val != division.val


def test_val_speakers_come_from_both_genders() -> None:
    rows = items(speakers=8)
    for seed in range(5):
        division = only(rows, test_fold="0", val_speakers=2, split_seed=seed)
        assert of(rows, division.val, "gender") == {"male", "female"}
        assert len(of(rows, division.val, "speaker")) == 2
    with pytest.raises(InputError, match="there are 6 speakers"):
        only(rows, test_fold="0", val_speakers=6)


def test_where_designs() -> None:
    rows = items()
    division = only(rows, test_where=("gender=f",), val_where=("speaker=s2",))
    assert of(rows, division.test, "gender") == {"female"}
    assert of(rows, division.val, "speaker") == {"s2"}
    assert of(rows, division.train, "speaker") == {"s0", "s4"}
    division = only(rows, where=("gender=male", "label in anger,joy"), test_fold="0")
    assert of(rows, division.train + division.test, "label") == {"anger", "joy"}
    assert of(rows, division.train + division.test, "gender") == {"male"}


def test_condition_that_would_part_a_copy_from_its_origin_is_refused() -> None:
    rows = items()
    for row in rows:
        row.extra["noisy"] = "yes" if row.augmentation else "no"
    with pytest.raises(InputError, match="different parts"):
        only(rows, test_where=("noisy=yes",))
    with pytest.raises(InputError, match="different parts"):
        broken = [row.replace(fold=i % 2) for i, row in enumerate(rows)]
        only(broken, test_fold="0")


def test_resplit_overrides_folds_and_item_units_may_leak() -> None:
    rows = items(each=12, copies=3)
    kept = only(rows, resplit="kfold:4", test_fold="1", split_seed=3)
    assert kept.by == "fold"
    assert not of(rows, kept.train, "origin") & of(rows, kept.test, "origin")
    leaky = only(rows, resplit="random:80:20", unit="item", split_seed=3)
    assert leaky.by == "part"
    assert of(rows, leaky.train, "origin") & of(rows, leaky.test, "origin")
    assert any(rows[i].augmentation for i in leaky.test)


def test_unlabelled_items_are_left_out_and_counted() -> None:
    rows = items()
    rows[3].label = rows[4].label = None
    division = only(rows, test_fold="0")
    assert "2 items without a label are left out" in division.notes
    assert not {3, 4} & set(division.train + division.test)
    rows = with_parts(items())
    for i in (0, 1):
        rows[i].part = None
    assert "2 items without a part are left out" in only(rows).notes


def test_validation_classes_that_training_lacks_are_left_out() -> None:
    rows = [row for row in items() if row.label != "joy" or row.fold == 0]
    division = only(rows, test_fold="2", val_fold="0")
    assert of(rows, division.val, "label") == {"anger", "calm"}
    assert any("joy" in note for note in division.notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test_fold": "3"}, UsageError, "one of the folds 0, 1, 2"),
        ({"test_fold": "x"}, UsageError, "one of the folds"),
        ({"test_fold": "1", "val_fold": "1"}, UsageError, "is the test fold"),
        ({"test_fold": "all", "val_fold": "1"}, UsageError, "use next"),
        ({"test_fold": "none", "val_fold": "next"}, UsageError, "needs a --test-fold"),
        ({"test_fold": "1", "val": 0.2, "val_fold": "0"}, UsageError, "contradict"),
        ({"test_fold": "1", "val": 1.5}, UsageError, "between 0 and 1"),
        ({"test_fold": "1", "val_speakers": 0}, UsageError, "1 or more"),
        ({"test_fold": "1", "test_where": ("label=joy",)}, UsageError, "contradicts"),
        ({"test_fold": "1", "unit": "item"}, UsageError, "needs --resplit"),
        ({"test_fold": "1", "unit": "word", "resplit": "kfold:3"}, UsageError, "file or item"),
        ({"test_fold": "1", "resplit": "nonsense"}, UsageError, "nonsense"),
        ({"test_fold": "1", "where": ("nofield=1",)}, UsageError, "there is no field"),
        ({"test_fold": "1", "where": ("label=boredom",)}, InputError, "matches no item"),
        ({"test_where": ("label=boredom",)}, InputError, "matches no item"),
        ({"test_fold": "1", "val_where": ("fold=1",)}, InputError, "matches no training item"),
        ({"test_fold": "1", "where": ("label=joy",)}, InputError, "two classes"),
        ({"test_where": ("label!=boredom",)}, InputError, "no item is left to train on"),
    ],
)
def test_what_does_not_fit_is_told(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        divide(items(), PartOptions(**options))


def test_more_that_does_not_fit() -> None:
    bare = [row.replace(fold=None) for row in items()]
    with pytest.raises(UsageError, match="has no folds"):
        only(bare, test_fold="1")
    with pytest.raises(UsageError, match="has no folds"):
        only(bare, val_fold="1")
    with pytest.raises(InputError, match="no item has a label"):
        only([row.replace(label=None) for row in bare])
    with pytest.raises(InputError, match="has no speaker"):
        only([row.replace(speaker=None) for row in bare], val_speakers=1)
    with pytest.raises(UsageError, match="have a validation part"):
        only(with_parts(items()), val=0.2)


def test_a_large_val_share_leaves_every_class_something_to_train_on() -> None:
    rows = items(speakers=1, copies=0)  # two of each class
    division = only(rows, test_fold="none", val=0.9)
    labels = sorted(rows[i].label for i in division.train)
    assert labels == sorted(rows[i].label for i in division.val) == ["anger", "calm", "joy"]


def test_val_speakers_of_one_name_in_two_corpora_are_two() -> None:
    rows = items(speakers=3)
    rows += [row.replace(id=f"d/{row.id}", origin=f"d/{row.origin}") for row in rows]
    rows = [row.replace(corpus=row.id[0]) for row in rows]
    division = only(rows, test_fold="none", val_speakers=1)
    assert len({(rows[i].corpus, rows[i].speaker) for i in division.val}) == 1
    assert len({(rows[i].corpus, rows[i].speaker) for i in division.train}) == 5


def test_the_seed_draws_val_speakers_and_which_gender_is_first() -> None:
    rows = items(speakers=8)
    drawn = [
        of(rows, only(rows, test_fold="0", val_speakers=1, split_seed=seed).val, "speaker").pop()
        for seed in range(12)
    ]
    assert {int(name[1:]) % 2 for name in drawn} == {0, 1}
    assert len(set(drawn)) > 2


def test_the_seed_draws_what_resplit_deals() -> None:
    rows = items(each=12)
    tests = {
        tuple(only(rows, resplit="kfold:4", test_fold="1", split_seed=seed).test)
        for seed in range(4)
    }
    assert len(tests) > 1


def test_copies_validate_where_the_unit_is_the_item() -> None:
    rows = items(each=12, copies=3)
    division = only(rows, resplit="random:8:1:1", unit="item", split_seed=3)
    assert any(rows[i].augmentation for i in division.val)
