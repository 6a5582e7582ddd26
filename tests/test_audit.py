"""The protocol of a test, from its items alone."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.evaluation import audit, leaks, report
from sertool.formats import schema
from sertool.items import Item


@pytest.fixture(scope="module", autouse=True)
def fingerprints():
    """Fingerprints whose likeness can be read: near are those equal up to a colon."""
    stub = ModuleType("sertool.audio.fingerprint")

    def near(left, right):
        return [
            (i, j)
            for i, a in enumerate(left)
            for j, b in enumerate(right)
            if a and b and a.split(":")[0] == b.split(":")[0]
        ]

    stub.near = near
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sertool.audio.fingerprint", stub)
        yield


def items(rows):
    return [Item.from_row(row) for row in rows]


def protocol_of(trained, tested, *more):
    """The protocol as a report has it; items are given as rows."""
    return report.to_json(audit.protocol(items(trained), items(tested), *more))


def combined(folds, tested):
    protocols = [schema.convert(report._protocol(fold), report.Protocol) for fold in folds]
    return report.to_json(audit.combine(protocols, items(tested)))


def compared(*sides):
    return audit.compare(*map(items, sides))


def recognised(*sides):
    return leaks.known(*map(items, sides))


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
        "fingerprint": f"f{number}:x",
    } | fields


TRAINED = [item(1), item(2), item(3, "val")]
OWN = [item(9, "test")]


def broken(facts):
    return {name for name in audit.FACTS if facts[name] is False}


def test_apart():
    facts = protocol_of(TRAINED + OWN, OWN)
    for name in audit.FACTS:
        assert facts[name] is True, name
    assert facts["shared"] == dict.fromkeys(audit.FACTS.values(), 0)
    assert (facts["n_train"], facts["n_val"], facts["n_test"]) == (2, 1, 1)
    assert facts["test_augmented"] is False


@pytest.mark.parametrize(
    ("fact", "field", "what"),
    [
        ("speaker_disjoint", "speaker", "speakers"),
        ("origin_disjoint", "origin", "recordings"),
        ("text_disjoint", "text", "sentences"),
        ("audio_disjoint", "audio_hash", "identical recordings"),
        ("near_disjoint", "fingerprint", "near-duplicates"),
    ],
)
@pytest.mark.parametrize(("trained", "part"), [(TRAINED[0], "train"), (TRAINED[2], "val")])
def test_one_overlap_breaks_one_fact(fact, field, what, trained, part):
    tested = [item(9), item(8, **{field: trained[field].replace(":x", ":y")})]
    facts = protocol_of(TRAINED, tested)
    assert [name for name in audit.FACTS if facts[name] is not True] == [fact]
    assert facts[fact] is False
    assert facts["shared"][what] == 1
    other = {"train": "val", "val": "train"}[part]
    assert facts["against"][part][fact] is False
    assert facts["against"][other][fact] is True


def test_names_are_unique_within_a_corpus_only_but_audio_is_not():
    tested = [item(1, id="d/1", origin="d/1", corpus="d")]
    facts = protocol_of(TRAINED, tested)
    assert broken(facts) == {"audio_disjoint"}


@pytest.mark.parametrize(
    ("left", "right", "apart"),
    [
        ("emo", "emo", False),
        (None, None, False),
        ("emo", None, None),
        (None, "emo", None),
        ("emo", "rav", True),
    ],
)
def test_one_name_where_a_corpus_is_not_known(left, right, apart):
    """It may be the same recording, speaker and sentence: neither shared nor apart."""

    def one(name, corpus):
        return Item(name, corpus=corpus, origin=name, speaker="03", text="a01")

    facts, _ = audit.compare([one("x@0-1000", left)], [one("x@100-1000", right)])
    names = ("speaker_disjoint", "origin_disjoint", "text_disjoint")
    assert [facts[name] for name in names] == [apart] * 3
    facts, _ = audit.compare([one("x@0-1000", left)], [one("x@1000-2000", right)])
    assert facts["origin_disjoint"] is True


@pytest.mark.parametrize("side", ["trained", "tested"])
def test_unknown_is_null_never_true(side):
    unknown = item(7, text=None, speaker=None, audio_hash="", fingerprint="")
    trained, tested = (
        ([*TRAINED, unknown], OWN) if side == "trained" else (TRAINED, [*OWN, unknown])
    )
    facts = protocol_of(trained, tested)
    for name in ("text_disjoint", "speaker_disjoint", "audio_disjoint", "near_disjoint"):
        assert facts[name] is None
    assert facts["origin_disjoint"] is True


def test_an_overlap_is_false_whatever_else_is_unknown():
    facts = protocol_of([*TRAINED, item(7, text=None)], [item(8, text="t1")])
    assert facts["text_disjoint"] is False


COPY = {"augmentation": '{"awgn": 20}', "audio_hash": "", "fingerprint": ""}


def test_a_copy_is_its_origin():
    copy = item(9, id="c/1~1", origin="c/1", **COPY)
    facts = protocol_of(TRAINED, [copy])
    assert broken(facts) == {"origin_disjoint"}  # it was not fitted to the copy itself
    assert facts["test_augmented"] is True
    assert facts["audio_disjoint"] is True  # its origin's, under one name
    assert protocol_of([*TRAINED, copy], OWN)["train_augmented"] is True


def test_a_copy_sounds_like_its_origin():
    trained = [item(1, id="c/1~1", **COPY)]
    facts = protocol_of([*trained, item(1, "test")], [item(9, audio_hash="h1")])
    assert broken(facts) == {"audio_disjoint"}
    facts = protocol_of([*trained, item(1, "test")], [item(9, fingerprint="f1:z")])
    assert broken(facts) == {"near_disjoint"}
    alone = protocol_of(trained, [item(9, audio_hash="h1")])
    assert alone["audio_disjoint"] is None  # its origin's audio is nowhere to be known


def test_segments_are_one_recording_and_not_identical_ones():
    same = {"origin": "c/1", "audio_hash": "h1", "fingerprint": "f1:x"}
    facts = protocol_of([item(1, id="c/1#000", **same)], [item(9, id="c/1#001", **same)])
    assert broken(facts) == {"origin_disjoint"}
    unheard = same | {"audio_hash": ""}
    facts = protocol_of([item(1, id="c/1#000", **unheard)], [item(9, id="c/1#001", **unheard)])
    assert broken(facts) == {"origin_disjoint"}
    with pytest.raises(Exception, match="near-disjoint does not hold: 1 recordings shared"):
        require(facts, ["near_disjoint"])


def require(facts, names):
    from sertool.evaluation.heldout import require

    require(facts, facts["shared"], names)


def test_identical_recordings_are_no_near_duplicates_but_count_for_who_asks():
    facts = protocol_of([item(1)], [item(9, audio_hash="h1", fingerprint="f1:x")])
    assert broken(facts) == {"audio_disjoint"}
    with pytest.raises(Exception, match="near-disjoint does not hold: 1 identical"):
        require(facts, ["near_disjoint"])
    require(facts, ["origin_disjoint", "speaker_disjoint"])


@pytest.mark.parametrize(
    ("left", "right", "apart"),
    [
        ("c/d@0-1000", "c/d@0-1000", False),
        ("c/d@0-1000", "c/d@500-1500", False),
        ("c/d@0-1000", "c/d@900-1900", True),  # turns of a dialogue overlap a little
        ("c/d@0-1000", "c/d@1000-1900", True),
        ("c/d@0-60000", "c/d@59000-60000", False),  # the shorter one lies in the longer one
        ("c/d@0-1000", "c/d", False),
        ("c/d@500-", "c/d@0-600", True),
        ("c/d@500-", "c/d@2000-", False),
        ("c/d@9-3", "c/d", True),  # no cut: it ends before it begins
    ],
)
def test_cuts_of_one_file_that_are_half_the_same_are_one_recording(left, right, apart):
    for one, other in ((left, right), (right, left)):
        facts, shared = compared([item(1, id=one, origin=one)], [item(9, origin=other)])
        assert facts["origin_disjoint"] is apart
        assert shared["recordings"] == (not apart)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=12),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=12),
)
def test_cuts_against_every_pair(left, right):
    def cuts(spans, first):
        return [
            item(first + i, file="/d.wav", start=float(a), end=float(a + n))
            for i, (a, n) in enumerate(spans)
        ]

    def half(a, b):
        common = min(sum(a), sum(b)) - max(a[0], b[0])
        return a == b or (common > 0 and 2 * common >= min(a[1], b[1]))

    trained, tested = recognised(cuts(left, 100), cuts(right, 200))
    found = {link.tested.id for link in leaks.find(trained, tested)["origin_disjoint"].links}
    expected = {f"c/{200 + j}" for j, b in enumerate(right) if any(half(a, b) for a in left)}
    assert found == expected


def test_one_file_under_two_names_is_one_recording():
    here = [item(1, file="/a/x.wav", start=None, end=None)]
    facts, shared = compared(here, [item(9, file="/a/x.wav", audio_hash="h1")])
    assert broken(facts) == {"origin_disjoint"}
    assert shared["recordings"] == 1


def fits(items, tested, pipeline=()):
    return protocol_of(items, tested, pipeline)["fit_disjoint"]


def test_what_was_fitted_to_test_items():
    tested = [item(9, "test")]
    assert fits(TRAINED, tested) is True
    assert fits([*TRAINED, item(9)], tested) is False
    assert fits([*TRAINED, item(9, "val")], tested) is True  # chosen by, not fitted to
    against = protocol_of([*TRAINED, item(9)], tested)["against"]
    assert [against[part]["fit_disjoint"] for part in ("train", "val")] == [False, True]
    segment = item(9, id="c/9#000")
    assert fits([*TRAINED, segment], [segment]) is False
    assert fits([*TRAINED, segment], [item(9, id="c/9#001")]) is True  # another segment
    assert fits([*TRAINED, item(9, id="c/9~1", **COPY)], tested) is True  # a copy


def test_what_an_earlier_stage_was_fitted_to_counts_as_trained_on():
    mel = {"stage": "featurize", "kind": "mel"}
    embedding = {"stage": "featurize", "kind": "embedding"}
    assert fits(TRAINED, OWN, [mel]) is True
    facts = protocol_of(TRAINED, OWN, [mel, embedding])
    assert facts["fit_disjoint"] is None
    assert "fitted items" not in facts["shared"]
    apart = protocol_of(TRAINED, OWN, [mel, embedding | {"fitted_on": ["c/77", "c/78"]}])
    assert apart["fit_disjoint"] is True
    assert apart["speaker_disjoint"] is None  # an id does not say who speaks
    seen = protocol_of(TRAINED, OWN, [embedding | {"fitted_on": ["c/77", "c/9#001"]}])
    assert seen["fit_disjoint"] is seen["origin_disjoint"] is False
    whole = protocol_of(TRAINED, OWN, [embedding | {"fitted_on": [item(77, speaker="s9")]}])
    assert broken(whole) == {"speaker_disjoint"}
    assert whole["n_train"] == 2  # it is counted as nobody's training item
    for odd in ([embedding | {"fitted_on": 5}], [embedding, "no stage"]):
        assert fits(TRAINED, OWN, odd) is None


def test_several_checkpoints_each_with_its_own_items():
    first = protocol_of(TRAINED, OWN)
    second = protocol_of([item(9), item(10)], [item(1), item(11, text=None)])
    tested = [*OWN, item(1), item(11, text=None)]
    both = combined([first, second], tested)
    assert both["speaker_disjoint"] is True  # 9 is tested by the first, trained by the second
    assert both["fit_disjoint"] is True
    assert both["text_disjoint"] is None
    assert (both["n_train"], both["n_train_most"], both["n_test"]) == (2, 2, 3)
    third = protocol_of([item(1)], [item(12, speaker="s1")])
    all_three = combined([first, second, third], [*tested, item(12, speaker="s1")])
    assert all_three["n_test_speakers"] == 3  # s1 is tested twice
    assert all_three["speaker_disjoint"] is False
    assert all_three["shared"]["speakers"] == 1
    assert all_three["against"]["train"]["speaker_disjoint"] is False
    assert all_three["against"]["val"]["speaker_disjoint"] is True
    assert combined([first], OWN) == {**first, "n_checkpoints": 1}


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab")), max_size=8),
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab")), max_size=8),
)
def test_disjoint_is_what_sets_say(trained, tested):
    def make(pairs, first):
        return [item(first + n, speaker=f"s{s}", corpus=c) for n, (s, c) in enumerate(pairs)]

    facts, shared = compared(make(trained, 100), make(tested, 200))
    assert facts["speaker_disjoint"] is (not set(trained) & set(tested))
    if trained and tested:
        assert shared["speakers"] == len(set(trained) & set(tested))


# kind -> the test item that leaks it from a trained one, given a number of its own
PLANTED = {
    "speaker_disjoint": lambda t, n: item(n, corpus=t["corpus"], speaker=t["speaker"]),
    "segment": lambda t, n: item(
        n, id=t["id"] + "#001", origin=t["origin"], corpus=t["corpus"], audio_hash=t["audio_hash"]
    ),
    "copy": lambda t, n: item(n, id=t["id"] + "~1", origin=t["origin"], corpus=t["corpus"], **COPY),
    "text_disjoint": lambda t, n: item(n, corpus=t["corpus"], text=t["text"]),
    "audio_disjoint": lambda t, n: item(
        n, corpus=f"k{n}", audio_hash=t["audio_hash"], fingerprint=t["fingerprint"]
    ),
    "near_disjoint": lambda t, n: item(
        n, corpus=f"k{n}", fingerprint=t["fingerprint"].replace(":x", ":y")
    ),
    "fit_disjoint": lambda t, n: dict(t),
}
ALSO = {  # what a kind brings with it: a recording has one speaker and one sentence
    "segment": {"origin_disjoint"},
    "copy": {"origin_disjoint"},
    "fit_disjoint": {
        "fit_disjoint",
        "origin_disjoint",
        "speaker_disjoint",
        "text_disjoint",
    },
}


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.sampled_from(sorted(PLANTED)), max_size=6),
    st.sampled_from(["train", "val"]),
    st.randoms(use_true_random=False),
)
def test_each_planted_leak_is_found_and_no_other(n_train, n_test, kinds, part, shuffle):
    trained = [
        item(i, shuffle.choice(["train", "val"]), corpus="ab"[i % 2]) for i in range(n_train)
    ]
    tested = [item(100 + i, "test", corpus="ab"[i % 2]) for i in range(n_test)]
    expected = set()
    for i, kind in enumerate(kinds):
        leaking = item(200 + i, "train" if kind == "fit_disjoint" else part, corpus="ab"[i % 2])
        trained.append(leaking)
        tested.append(PLANTED[kind](leaking, 300 + i) | {"part": "test"})
        expected |= ALSO.get(kind, {kind})
    everybody = trained + tested
    shuffle.shuffle(everybody)
    order = list(tested)
    shuffle.shuffle(order)
    facts = protocol_of(everybody, order)
    assert broken(facts) == expected
    assert all(facts[name] is True for name in set(audit.FACTS) - expected)
    assert facts["shared"]["near-duplicates"] == kinds.count("near_disjoint")
    assert facts["shared"]["identical recordings"] == kinds.count("audio_disjoint")
    assert facts["shared"]["fitted items"] == kinds.count("fit_disjoint")
    assert facts == protocol_of(trained + tested, tested)  # whatever the order


def test_examples_do_not_depend_on_the_order():
    trained = [item(i, speaker="s", text=f"t{i % 3}") for i in range(20)]
    tested = [item(100 + i, speaker="s", text=f"t{i % 3}") for i in range(9)]

    def found(seed):
        sides = [list(trained), list(tested)]
        for side in sides:
            random.Random(seed).shuffle(side)
        left, right = recognised(*sides)
        return {
            name: [(link.value, link.trained.id, link.tested.id) for link in leak.links]
            for name, leak in leaks.find(left, right).items()
        }

    alike = [item(1, fingerprint="f:b"), item(2, fingerprint="f:a")]
    left, right = recognised(alike, [item(9, fingerprint="f:c")])
    (link,) = leaks.find(left, right)["near_disjoint"].links
    assert link.trained.id == "c/1"
    assert found(1) == found(2)
    assert len(found(1)["speaker_disjoint"]) == 9


def test_speakers_of_one_name_in_two_corpora_are_counted_twice():
    trained = [item(1), item(2, speaker="s1"), item(3, speaker="s1", corpus="d")]
    facts = protocol_of(trained, [item(8), item(9, speaker="s8", corpus="d")])
    assert (facts["n_train_speakers"], facts["n_test_speakers"]) == (2, 2)


def test_checkpoints_of_unequal_parts_give_the_least_and_the_most():
    few = protocol_of([item(1), item(2, "val")], [item(8)])
    many = protocol_of(
        [item(1), item(3), item(4, speaker="s3"), item(2, "val"), item(5, "val")], [item(9)]
    )
    for order in ([few, many], [many, few]):
        both = combined(order, [item(8), item(9)])
        assert (both["n_train"], both["n_train_most"], both["n_val"]) == (1, 3, 1)
        assert (both["n_train_speakers"], both["n_val_speakers"]) == (1, 1)


def test_fields_of_what_was_fitted_to_go_before_what_its_id_tells():
    fitted = item(77, id="c/77#001", origin="d/9", corpus="d")
    stage = {"stage": "featurize", "kind": "embedding", "fitted_on": [fitted]}
    tested = [item(9, origin="d/9", corpus="d")]
    assert broken(protocol_of(TRAINED, tested, [stage])) >= {"origin_disjoint", "fit_disjoint"}
    assert broken(protocol_of(TRAINED, [item(9, origin="c/77")], [stage])) == set()


def test_every_recording_that_sounds_alike_is_looked_at():
    tested = item(9, origin="c/1", audio_hash="h1")
    facts = protocol_of([item(1), item(2, audio_hash="h1")], [tested])
    assert broken(facts) == {"origin_disjoint", "audio_disjoint"}
    tested = item(9, origin="c/1", fingerprint="f1:z")
    facts = protocol_of([item(1), item(2, fingerprint="f1:x")], [tested])
    assert broken(facts) == {"origin_disjoint", "near_disjoint"}


def test_nothing_is_counted_as_shared_where_one_side_is_unknown():
    for trained, tested in ((None, "t9"), ("t1", None)):
        facts, shared = compared([item(1, text=trained)], [item(9, text=tested)])
        assert facts["text_disjoint"] is None
        assert "sentences" not in shared
        assert shared["speakers"] == 0


@pytest.mark.parametrize("where", ["train", "val", "earlier"])
def test_eval_hears_near_duplicates_of_all_that_was_trained_on(where):
    from sertool.evaluation.heldout import CheckpointTest, protocol

    like = item(7, "val" if where == "val" else "train", fingerprint="f9:y")
    stage = {"stage": "featurize", "kind": "embedding", "fitted_on": [like]}
    earlier = where == "earlier"
    rows = [item(1), item(9, "test")] if earlier else [item(1), like, item(9, "test")]
    pipeline = [stage] if earlier else []
    model = SimpleNamespace(settings={})
    header = SimpleNamespace(pipeline=[], augment=None, protocol=None, model=model, fused=None)
    one = CheckpointTest(Path("m.ckpt"), header, pipeline, items(rows), "0" * 64, tested=[0])
    store = SimpleNamespace(items=lambda: items([item(9, "test")]))
    assert broken(protocol([one], store).facts) == {"near_disjoint"}
