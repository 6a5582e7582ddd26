"""Protocols: groups whole, everything placed once, classes balanced, draws by seed and id alone."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.errors import InputError, UsageError
from sertool.items import Item
from sertool.splits import protocols


def row(i: int, who: int, label: int, corpus: str = "c", **more: Any) -> Item:
    fields = {"id": f"{corpus}/{who}/{i}", "corpus": corpus, "speaker": f"{who:02d}"}
    return Item.from_row(fields | {"label": f"l{label}", "gender": "mf"[who % 2], **more})


@st.composite
def corpora(draw: st.DrawFn) -> list[Item]:
    """Two corpora whose speakers have the same names, with unequal classes and speakers."""
    rows = []
    for corpus in ("a", "b"):
        speakers = draw(st.integers(3, 6))
        for speaker in range(speakers):
            for i in range(draw(st.integers(1, 9))):
                label, text = draw(st.integers(0, 3)), draw(st.integers(0, 3))
                more = {"text": f"t{text}", "session": f"s{speaker // 2}"}
                rows.append(row(i, speaker, label, corpus, **more))
    return rows


PROTOCOLS = ["random:80:20", "random:2:1:1", "kfold:3", "speakers:3", "loso", "sessions"]
PROTOCOLS += ["texts", "corpora", "none"]


@settings(deadline=None, max_examples=40)
@given(corpora(), st.sampled_from(PROTOCOLS), st.integers(0, 3), st.randoms())
def test_properties(rows: list[Item], protocol: str, seed: int, chance: random.Random) -> None:
    try:
        places = protocols.split(rows, protocol, seed)
    except InputError:
        assert protocol.startswith("random") or protocol == "texts"
        assert len(rows) < 12 or len({(r.corpus, r.text) for r in rows}) < 2
        return
    assert places.keys() == {r.id for r in rows}  # each placed, and once
    shuffled = rows[:]
    chance.shuffle(shuffled)
    assert protocols.split(shuffled, protocol, seed) == places
    field = protocols.GROUPED.get(protocol.partition(":")[0])
    field = "corpus" if protocol == "corpora" else field
    if field:
        homes = defaultdict(set)
        for r in rows:
            homes[r.corpus, r.value(field)].add(places[r.id])
        assert all(len(found) == 1 for found in homes.values())
        folds = {fold for fold, _ in places.values()}
        assert folds == set(range(len(folds)))  # from 0, none empty
        if protocol != "speakers:3":
            assert len(folds) == len(homes)


@settings(deadline=None, max_examples=40)
@given(corpora(), st.integers(2, 5), st.integers(0, 3))
def test_kfold_is_stratified(rows: list[Item], folds: int, seed: int) -> None:
    places = protocols.split(rows, f"kfold:{folds}", seed)
    sizes = Counter(places[r.id][0] for r in rows)
    assert max(sizes.values()) - min(sizes[f] for f in range(folds)) <= 1
    for label in {r.label for r in rows}:
        counts = Counter(places[r.id][0] for r in rows if r.label == label)
        assert max(counts.values()) - min(counts[f] for f in range(folds)) <= 1


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(12, 60), min_size=1, max_size=6),
    st.sampled_from(["80:20", "8:1:1", "1:1", ".7:.15:.15"]),
    st.integers(0, 3),
)
def test_random_keeps_ratios_in_all_and_in_each_class(
    sizes: list[int], ratios: str, seed: int
) -> None:
    rows = [row(i, c, c) for c, n in enumerate(sizes) for i in range(n)]
    places = protocols.split(rows, f"random:{ratios}", seed)
    numbers = [float(word) for word in ratios.split(":")]
    names = ("train", "test") if len(numbers) == 2 else ("train", "val", "test")
    for part, number in zip(names, numbers, strict=True):
        share = number / sum(numbers)
        counts = Counter(r.label for r in rows if places[r.id] == (None, part))
        assert abs(counts.total() - share * len(rows)) <= 1
        for c, n in enumerate(sizes):
            assert abs(counts[f"l{c}"] - share * n) < 2


def test_fser_split_has_the_papers_sizes() -> None:
    # Dossou & Gbenou 2021: 3043 utterances in eight classes, 2434 train, 609 test
    sizes = (463, 405, 273, 382, 407, 379, 398, 336)
    rows = [row(i, c, c) for c, n in enumerate(sizes) for i in range(n)]
    parts = Counter(part for _, part in protocols.split(rows, "random:80:20", 0).values())
    assert parts == {"train": 2434, "test": 609}


def test_seed_changes_the_draw() -> None:
    rows = [row(i, i % 8, i % 4) for i in range(64)]
    for protocol in ("random:80:20", "kfold:4", "speakers:4"):
        found = {tuple(protocols.split(rows, protocol, seed).values()) for seed in range(6)}
        assert len(found) > 1


def ravdess_rows() -> list[Item]:
    return [
        row(10 * c + i, actor, c)
        for actor in range(1, 25)
        for c in range(8)
        for i in range(4 if c == 0 else 8)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_ravdess_in_six_folds_of_two_men_and_two_women(seed: int) -> None:
    rows = ravdess_rows()
    places = protocols.split(rows, "speakers:6", seed)
    for fold in range(6):
        people = {(r.speaker, r.gender) for r in rows if places[r.id][0] == fold}
        assert Counter(gender for _, gender in people) == {"m": 2, "f": 2}
    assert protocols.remarks(rows, places) == []


def test_uneven_speakers_are_dealt_as_well_as_any_deal() -> None:
    """Every deal of seven speakers into three folds is tried; none is nearer to equal sizes."""
    sizes = (40, 31, 30, 22, 18, 9, 6)
    rows = [row(i, s, 0, gender=None) for s, n in enumerate(sizes) for i in range(n)]

    def unevenness(folds: tuple[int, ...]) -> float:
        sums = [sum(n for n, f in zip(sizes, folds, strict=True) if f == k) for k in range(3)]
        return sum((s - sum(sizes) / 3) ** 2 for s in sums)

    places = protocols.split(rows, "speakers:3", 0)
    ours = unevenness(tuple(places[f"c/{s}/0"][0] or 0 for s in range(7)))
    best = min(unevenness(deal) for deal in product(range(3), repeat=7))
    assert math.sqrt(ours) <= math.sqrt(best) + 3


def test_a_deal_from_the_largest_is_not_the_last_word() -> None:
    # dealt from the largest, 30 20 20 and 30 20; only a swap finds 30 30 and 20 20 20
    sizes = (30, 30, 20, 20, 20)
    rows = [row(i, s, 0, gender=None) for s, n in enumerate(sizes) for i in range(n)]
    places = protocols.split(rows, "speakers:2", 0)
    assert set(Counter(fold for fold, _ in places.values()).values()) == {60}


def test_loso_counts_speakers_by_corpus_and_in_natural_order() -> None:
    rows = [row(0, s, 0, corpus, speaker=str(s)) for corpus in "ab" for s in (2, 10)]
    places = protocols.split(rows, "loso")
    assert [places[i][0] for i in ("a/2/0", "a/10/0", "b/2/0", "b/10/0")] == [0, 1, 2, 3]


def segments() -> list[Item]:
    return [
        row(i, i % 4, i % 2).replace(id=f"c/{i}#{k:03d}", origin=f"c/{i}")
        for i in range(20)
        for k in range(5)
    ]


@pytest.mark.parametrize("protocol", ["kfold:5", "random:8:2"])
def test_segments_of_one_origin_stay_together_unless_the_unit_is_the_item(protocol: str) -> None:
    rows = segments()
    for unit, together in (("file", True), ("item", False)):
        places = protocols.split(rows, protocol, 0, unit)
        homes = defaultdict(set)
        for r in rows:
            homes[r.origin].add(places[r.id])
        assert all(len(found) == 1 for found in homes.values()) == together


def test_none_keeps_what_items_have() -> None:
    rows = [row(0, 0, 0, fold=3, part=None), row(1, 0, 0, fold=None, part="val")]
    assert list(protocols.split(rows, "none").values()) == [(3, None), (None, "val")]


def test_missing_values_say_what_to_do() -> None:
    rows = [row(i, i, 0, speaker=None) for i in range(4)]
    for protocol in ("loso", "speakers:2"):
        with pytest.raises(InputError, match=r"4 of 4 utterances have no speaker.*kfold:5"):
            protocols.split(rows, protocol)
    with pytest.raises(InputError, match="have no session"):
        protocols.split(rows, "sessions")
    with pytest.raises(InputError, match="have no text"):
        protocols.split(rows, "texts")


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("speakers:5", "5 folds need at least 5.*there are 3"),
        ("corpora", "there is 1"),
        ("kfold:50", "only 6 utterances"),
        ("random:100:1:1", "leave a part empty"),
    ],
)
def test_too_few(protocol: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        protocols.split([row(i, i % 3, 0) for i in range(6)], protocol)


@pytest.mark.parametrize(
    "protocol",
    [
        *("", "random", "random:80", "random:1:2:3:4", "random:a:b", "random:-1:2"),
        *("random:inf:1", "random:nan:1", "kfold", "kfold:1", "kfold:x", "kfold:²"),
        *("speakers", "speakers:1", "loso:3", "file:", "holdout", "none:1", "corpora:2"),
    ],
)
def test_no_protocol(protocol: str) -> None:
    with pytest.raises(UsageError, match=r"protocol"):
        protocols.parse(protocol)


def test_doubled_id() -> None:
    with pytest.raises(InputError, match="two items have the id 'c/0/0'"):
        protocols.split([row(0, 0, 0), row(0, 0, 1)], "kfold:2")


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    path.write_text("id,fold,note\nc/0/0,1,x\nc/0/1,0,y\nc/9/9,0,not here\n")
    rows = [row(0, 0, 0), row(1, 0, 0)]
    assert protocols.split(rows, f"file:{path}") == {"c/0/0": (1, None), "c/0/1": (0, None)}
    path = tmp_path / "parts.tsv"
    path.write_text("part\tid\ntrain\tc/0/0\ntest\tc/0/1\n")
    assert protocols.split(rows, f"file:{path}") == {
        "c/0/0": (None, "train"),
        "c/0/1": (None, "test"),
    }
    segment = rows[0].replace(id="c/0/0#001", origin="c/0/0")
    assert protocols.split([segment], f"file:{path}") == {"c/0/0#001": (None, "train")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,fold\nc/0/1,0\n", "no line for c/0/0"),
        ("id,where\nc/0/0,0\n", "needs a header"),
        ("", "needs a header"),
        ("id,fold\nc/0/0,-1\n", "line 2.*not a whole number"),
        ("id,fold\nc/0/0,\n", "neither fold nor part"),
        ("id,part\nc/0/0,dev\n", "not one of train, val, test"),
        ("id,fold\nc/0/0,0\nc/0/0,1\n", "line 3.*twice"),
        ("id,fold\nc/0/0,\udcff\n", "not a CSV file"),
    ],
)
def test_broken_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "folds.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        protocols.split([row(0, 0, 0)], f"file:{path}")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        protocols.split([row(0, 0, 0)], f"file:{tmp_path / 'none.csv'}")


def test_remarks() -> None:
    rows = [row(0, 0, 0), row(1, 0, 1), row(2, 1, 1)]
    places = protocols.split(rows, "loso")
    assert protocols.remarks(rows, places) == ["fold 1 has no l0"]
    leaky = {name: protocols.Place(k) for name, k in (("c/0/0", 0), ("c/0/1", 1), ("c/1/2", 1))}
    lines = protocols.remarks(rows, leaky)
    assert lines[:2] == ["fold 0 has no l1", "fold 1 has no l0"]
    assert "1 of 2 speakers are in several folds" in lines[2]
    assert "speaker-dependent" in lines[2]


def test_an_utterance_counts_once_however_many_segments_it_has() -> None:
    # by segments one speaker is as much as all others
    rows = [row(i, s, i % 2, gender=None) for s in range(4) for i in range(10)]
    cut = [
        r.replace(id=f"{r.id}#{k:03d}", origin=r.id)
        for r in rows
        for k in range(6 if r.speaker == "00" else 1)
    ]
    places = protocols.split(cut, "speakers:2", 0)
    assert places == {r.id: protocols.split(rows, "speakers:2", 0)[r.origin] for r in cut}
    for fold in range(2):
        assert len({r.speaker for r in cut if places[r.id][0] == fold}) == 2


def test_genders_are_dealt_by_speakers_not_by_utterances() -> None:
    # by utterances 30 of one man are as many as 10 of each of three
    men, women = (30, 10, 10, 10), (15, 15, 15, 15)
    rows = [
        row(i, 2 * s + g, 0, gender="mf"[g])
        for g, sizes in enumerate((men, women))
        for s, n in enumerate(sizes)
        for i in range(n)
    ]
    places = protocols.split(rows, "speakers:2", 0)
    for fold in range(2):
        people = {(r.speaker, r.gender) for r in rows if places[r.id][0] == fold}
        assert Counter(gender for _, gender in people) == {"m": 2, "f": 2}


def test_genders_are_dealt_within_each_corpus() -> None:
    rows = [row(i, s, 0, corpus) for corpus in "ab" for s in range(4) for i in range(5)]
    for seed in range(40):
        places = protocols.split(rows, "speakers:2", seed)
        for fold in range(2):
            people = {(r.corpus, r.gender, r.speaker) for r in rows if places[r.id][0] == fold}
            found = sorted((corpus, gender) for corpus, gender, _ in people)
            assert found == [("a", "f"), ("a", "m"), ("b", "f"), ("b", "m")]


def test_an_items_own_line_goes_before_its_recordings(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    path.write_text("id,fold\nc/0/0,0\nc/0/0#001,1\n")
    rows = [row(0, 0, 0).replace(id=f"c/0/0#{k:03d}", origin="c/0/0") for k in range(2)]
    places = protocols.split(rows, f"file:{path}")
    assert places == {"c/0/0#000": (0, None), "c/0/0#001": (1, None)}
