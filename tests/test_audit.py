"""The protocol of a test, from its items alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool import audit


def item(number, part="train", **fields):
    """An utterance of its own speaker, sentence and recording, but for `fields`."""
    return {
        "id": f"c/{number}",
        "part": part,
        "origin": f"c/{number}",
        "corpus": "c",
        "speaker": f"s{number}",
        "text": f"t{number}",
        "augmentation": "",
        "audio_hash": f"h{number}",
    } | fields


TRAINED = [item(1), item(2), item(3, "val")]
OWN = [item(9, "test")]


def test_apart():
    facts = audit.protocol(TRAINED + OWN, OWN)
    for name in audit.FACTS:
        assert facts[name] is True, name
    assert facts["shared"] == dict.fromkeys([what for _, what in audit.FACTS.values()], 0)
    assert (facts["n_train"], facts["n_val"], facts["n_test"]) == (2, 1, 1)
    assert facts["test_augmented"] is False


@pytest.mark.parametrize(
    ("fact", "field", "what"),
    [
        ("speaker_disjoint", "speaker", "speakers"),
        ("origin_disjoint", "origin", "recordings"),
        ("text_disjoint", "text", "sentences"),
        ("audio_disjoint", "audio_hash", "identical recordings"),
    ],
)
@pytest.mark.parametrize(("trained", "part"), [(TRAINED[0], "train"), (TRAINED[2], "val")])
def test_one_overlap_breaks_one_fact(fact, field, what, trained, part):
    tested = [item(9), item(8, **{field: trained[field]})]
    facts = audit.protocol(TRAINED, tested)
    assert [name for name in audit.FACTS if facts[name] is not True] == [fact]
    assert facts[fact] is False
    assert facts["shared"][what] == 1
    other = {"train": "val", "val": "train"}[part]
    assert facts["against"][part][fact] is False
    assert facts["against"][other][fact] is True


def test_names_are_unique_within_a_corpus_only_but_audio_is_not():
    tested = [item(1, corpus="d")]
    facts = audit.protocol(TRAINED, tested)
    for name in ("speaker_disjoint", "text_disjoint", "origin_disjoint"):
        assert facts[name] is True
    assert facts["audio_disjoint"] is False


@pytest.mark.parametrize("side", ["trained", "tested"])
def test_unknown_is_null_never_true(side):
    unknown = item(7, text=None, speaker=None, audio_hash="")
    trained, tested = (
        ([*TRAINED, unknown], OWN) if side == "trained" else (TRAINED, [*OWN, unknown])
    )
    facts = audit.protocol(trained, tested)
    assert facts["text_disjoint"] is None
    assert facts["speaker_disjoint"] is None
    assert facts["audio_disjoint"] is None
    assert facts["origin_disjoint"] is True


def test_an_overlap_is_false_whatever_else_is_unknown():
    facts = audit.protocol([*TRAINED, item(7, text=None)], [item(8, text="t1")])
    assert facts["text_disjoint"] is False


def test_a_copy_is_its_origin():
    copy = item(9, id="c/1~1", origin="c/1", augmentation='{"awgn": 20}', audio_hash="")
    facts = audit.protocol(TRAINED, [copy])
    assert facts["origin_disjoint"] is False
    assert facts["test_augmented"] is True
    assert facts["audio_disjoint"] is True  # no audio of its own to know of
    assert audit.protocol([*TRAINED, copy], OWN)["train_augmented"] is True


def test_several_checkpoints_each_with_its_own_items():
    first = audit.protocol(TRAINED, OWN)
    second = audit.protocol([item(9), item(10)], [item(1), item(11, text=None)])
    tested = [*OWN, item(1), item(11, text=None)]
    both = audit.combine([first, second], tested)
    assert both["speaker_disjoint"] is True  # 9 is tested by the first, trained by the second
    assert both["text_disjoint"] is None
    assert (both["n_train"], both["n_train_most"], both["n_test"]) == (2, 2, 3)
    third = audit.protocol([item(1)], [item(12, speaker="s1")])
    all_three = audit.combine([first, second, third], [*tested, item(12, speaker="s1")])
    assert all_three["n_test_speakers"] == 3  # s1 is tested twice
    assert all_three["speaker_disjoint"] is False
    assert all_three["shared"]["speakers"] == 1
    assert all_three["against"]["train"]["speaker_disjoint"] is False
    assert all_three["against"]["val"]["speaker_disjoint"] is True
    assert audit.combine([first], OWN) == {**first, "n_checkpoints": 1}


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab")), max_size=8),
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab")), max_size=8),
)
def test_disjoint_is_what_sets_say(trained, tested):
    def make(pairs):
        return [item(n, speaker=f"s{s}", corpus=c) for n, (s, c) in enumerate(pairs)]

    facts, shared = audit.compare(make(trained), make(tested))
    assert facts["speaker_disjoint"] is (not set(trained) & set(tested))
    if trained and tested:
        assert shared["speakers"] == len(set(trained) & set(tested))
