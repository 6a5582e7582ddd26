"""Folds disjoint in two fields: what stays, what is left out, and that nothing is shared."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.errors import InputError, UsageError
from sertool.items import Item
from sertool.splits import protocols
from sertool.splits.disjoint import also_disjoint


def row(speaker: int, text: int, take: int = 0, corpus: str = "c") -> Item:
    row = {
        "id": f"{corpus}/{speaker}-{text}-{take}",
        "origin": None,
        "corpus": corpus,
        "speaker": f"s{speaker}",
        "text": f"t{text}",
        "session": None,
        "gender": None,
        "label": "ab"[(text + take) % 2],
        "fold": None,
        "part": None,
    }
    return Item.from_row(row)


def crossed(speakers: int, texts: int, takes: int = 1) -> list[Item]:
    return [row(*place) for place in itertools.product(range(speakers), range(texts), range(takes))]


ROWS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, 2), st.sampled_from("cd")),
    min_size=4,
    max_size=80,
    unique=True,
).map(lambda places: [row(*place) for place in places])


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(2, 4), st.integers(0, 5), st.randoms(use_true_random=False))
def test_no_fold_shares_speaker_or_text(
    rows: list[Item], folds: int, seed: int, chance: random.Random
) -> None:
    try:
        places = protocols.split(rows, f"speakers:{folds}", seed)
        kept = also_disjoint(rows, places, "text", seed)
    except InputError:
        return
    for field in ("speaker", "text"):
        homes: dict = {}
        for each in rows:
            if each.id in kept:
                homes.setdefault((each.corpus, each.value(field)), set()).add(kept[each.id])
        assert all(len(found) == 1 for found in homes.values())
    assert {fold for fold, _ in kept.values()} == set(range(folds))
    assert all(places[name] == place for name, place in kept.items())
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert also_disjoint(shuffled, places, "text", seed) == kept


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 5))
def test_keeps_as_many_as_any_even_deal_of_texts(rows: list[Item], seed: int) -> None:
    """Two folds, few texts: no other deal with as even a number of texts keeps more."""
    rows = [r for r in rows if r.text in {"t0", "t1", "t2", "t3", "t4"} and r.corpus == "c"]
    try:
        places = protocols.split(rows, "speakers:2", seed)
        kept = also_disjoint(rows, places, "text", seed)
    except InputError:
        return
    counts = {t: [0, 0] for t in {r.text for r in rows}}
    for each in rows:
        counts[each.text][places[each.id][0]] += 1
    free = sum(sum(n) for n in counts.values() if 0 in n)
    crossing = sorted(t for t, n in counts.items() if 0 not in n)
    deals = itertools.product((0, 1), repeat=len(crossing))
    even = [d for d in deals if abs(2 * sum(d) - len(crossing)) <= 1]
    most = max(sum(counts[t][f] for t, f in zip(crossing, d, strict=True)) for d in even)
    assert len(kept) == free + most


def test_a_crossed_design_loses_all_but_its_diagonal() -> None:
    rows = crossed(10, 10)
    kept = also_disjoint(rows, protocols.split(rows, "speakers:5"), "text")
    assert len(kept) == 20


def test_nested_texts_cost_nothing() -> None:
    rows = [row(s, 10 * s + t) for s in range(6) for t in range(5)]
    places = protocols.split(rows, "loso")
    assert also_disjoint(rows, places, "text") == places


def test_two_sentences_make_no_six_folds() -> None:
    rows = crossed(12, 2)
    with pytest.raises(InputError, match="2 values of text leave 4 of the 6 folds empty"):
        also_disjoint(rows, protocols.split(rows, "speakers:6"), "text")


def test_refusals() -> None:
    rows = crossed(4, 4)
    with pytest.raises(UsageError, match="choose one of speaker, session, text"):
        also_disjoint(rows, protocols.split(rows, "speakers:2"), "label")
    with pytest.raises(UsageError, match="needs a --split"):
        also_disjoint(rows, protocols.split(rows, "random:8:1:1"), "text")
    with pytest.raises(UsageError, match="needs a --split"):
        also_disjoint(rows, protocols.split(rows, "none"), "text")
    places = protocols.split(rows, "speakers:2")
    rows[3].text = None
    with pytest.raises(InputError, match="1 of 16 utterances have no text"):
        also_disjoint(rows, places, "text")


def test_prepare_says_what_it_leaves_out(cli, sounds, tmp_path) -> None:
    table = tmp_path / "t.csv"
    lines = ["file,speaker,text,emotion"]
    for i, path in enumerate(sorted(sounds.rglob("*.wav"))):
        lines.append(f"{path},s{i % 4},text {i // 4 % 2},anger")
    table.write_text("\n".join(lines) + "\n")
    manifest = tmp_path / "m.jsonl"
    done = cli("prepare", "--split", "speakers:2", "--also-disjoint", "text", table, manifest)
    assert done.code == 0
    assert "6 of 12 utterances left out, as their text is in another fold" in done.err
    assert len(manifest.read_text().splitlines()) == 6
    wrong = cli("prepare", "--also-disjoint", "text", table, tmp_path / "n.jsonl")
    assert wrong.code == 2
    assert "needs a --split" in wrong.err


def test_the_seed_draws_which_texts_stay() -> None:
    rows = crossed(6, 6)
    places = protocols.split(rows, "speakers:3")
    assert len({tuple(also_disjoint(rows, places, "text", seed)) for seed in range(6)}) > 1


def test_texts_of_one_name_in_two_corpora_are_not_one_text() -> None:
    rows = [row(s, t, corpus=corpus) for corpus in "cd" for s in range(2) for t in range(3)]
    places = protocols.split(rows, "corpora")
    assert also_disjoint(rows, places, "text") == places


def test_a_small_fold_gets_its_share_of_texts() -> None:
    takes = {0: 3, 1: 3, 2: 1}
    rows = [row(s, t, k) for s, n in takes.items() for t in range(4) for k in range(n)]
    kept = also_disjoint(rows, protocols.split(rows, "loso"), "text")
    texts = {(r.speaker, r.text) for r in rows if r.id in kept}
    assert sorted(sum(who == f"s{s}" for who, _ in texts) for s in takes) == [1, 1, 2]
    assert len(kept) == 3 + 3 + 3 + 1
