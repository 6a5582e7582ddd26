"""merge and select: items move between stores as they are, and what does not go together stays."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_stores import write_store
from test_provenance import DEMO, same_again

import sertool
from sertool.formats.store import Store

RANDOM = np.random.default_rng(3)


def row(i: int, **more: Any) -> dict[str, Any]:
    return {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": "anger", "fold": i} | more


def write(path: Path, rows: list[dict[str, Any]], **more: Any) -> Path:
    arrays = [RANDOM.standard_normal((2 + len(r["id"]), 3)).astype(np.float32) for r in rows]
    write_store(path, arrays, rows, **more)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two stores of two items."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.h5", [row(1), row(0)])
    write(tmp_path / "b.h5", [row(2, label="fear"), row(3)])
    return tmp_path


def content(*paths: str | Path) -> list[tuple[dict[str, Any], bytes]]:
    """Return the items of stores, one after the other, and the bytes of their features."""
    found = []
    for path in paths:
        with Store(path) as store:
            items = enumerate(store.items())
            found += [(item.store_row(), store.features(i).tobytes()) for i, item in items]
    return found


def test_merged_items_are_those_of_the_stores_in_their_order(cli, here: Path) -> None:
    assert cli("merge", "b.h5", "a.h5", "all.h5").code == 0
    assert content("all.h5") == content("b.h5", "a.h5")
    with Store("all.h5") as store:
        assert store.verify()
        assert store.classes == ["anger", "fear"]
        assert [item.id for item in store.items()] == ["c/2", "c/3", "c/1", "c/0"]
        made = store.lineage[-1]
        assert made["stage"] == "merge"
        assert made["params"]["stores"] == [[n, Store(n).sha256] for n in ("b.h5", "a.h5")]
    before = (here / "all.h5").read_bytes()
    assert cli("merge", "b.h5", "a.h5", "all.h5").code == 3
    again = cli("merge", "--resume", "b.h5", "a.h5", "all.h5")
    assert again.code == 0
    assert "already complete" in again.err
    assert cli("merge", "--resume", "a.h5", "b.h5", "all.h5").code == 3
    assert cli("merge", "--force", "b.h5", "a.h5", "all.h5").code == 0
    assert (here / "all.h5").read_bytes() == before


def test_one_store_or_the_output_among_the_inputs_is_wrong_usage(cli, here: Path) -> None:
    assert cli("merge", "a.h5", "all.h5").code == 2
    assert cli("merge", "--force", "a.h5", "b.h5", "a.h5").code == 2
    assert not (here / "all.h5").exists()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"kind": "mfcc"}, "its kind is mfcc, not mel"),
        ({"settings": {"n_mels": 4}}, "its setting n_mels is 4, not None"),
        ({"sample_rate": 8000}, "its sample_rate is 8000, not 16000"),
        ({"frame_rate": 50.0}, "its frame_rate is 50.0, not 100.0"),
        (
            {"pipeline": [{"stage": "featurize"}, {"stage": "augment"}]},
            "it was made by featurize and augment, not by featurize",
        ),
        (
            {"pipeline": [{"stage": "featurize", "kind": "mel", "settings": {}, "offset": 1.0}]},
            "its stage 1's offset is 1.0, not None",
        ),
    ],
)
def test_what_differs_is_said_in_one_line(cli, here: Path, more: dict[str, Any], why: str) -> None:
    write(here / "other.h5", [row(7)], **more)
    found = cli("merge", "a.h5", "other.h5", "all.h5")
    assert found.code == 3
    assert found.err == f"sertool merge: other.h5: does not go with a.h5: {why}\n"
    assert not (here / "all.h5").exists()


def test_other_shapes_and_types_do_not_go_together(cli, here: Path) -> None:
    write_store(here / "wide.h5", [np.zeros((2, 5), np.float32)], [row(8)])
    write_store(here / "half.h5", [np.zeros((2, 3), np.float16)], [row(9)])
    assert "shape of a frame is (5,), not (3,)" in cli("merge", "a.h5", "wide.h5", "x.h5").err
    assert "dtype is float16, not float32" in cli("merge", "a.h5", "half.h5", "x.h5").err


def test_an_item_of_two_stores_and_an_utterance_in_two_folds_are_refused(cli, here: Path) -> None:
    found = cli("merge", "a.h5", "b.h5", "a.h5", "all.h5")
    assert (found.code, found.err) == (
        3,
        "sertool merge: a.h5: has the item c/1, and so has a.h5\n",
    )
    write(here / "copies.h5", [row(5, id="c/0~1", origin="c/0", augmentation="{}", fold=5)])
    found = cli("merge", "a.h5", "copies.h5", "all.h5")
    assert found.code == 3
    assert "copies.h5: has c/0 in fold 5, and a.h5 in fold 0" in found.err
    write(here / "right.h5", [row(0, id="c/0~1", origin="c/0", augmentation="{}")])
    assert cli("merge", "a.h5", "right.h5", "all.h5").code == 0
    with Store("all.h5") as store:
        last = store.items()[-1]
        assert (last.origin, last.augmentation, last.fold) == ("c/0", "{}", 0)


def test_paths_lead_to_the_same_files_below_a_common_root(cli, here: Path) -> None:
    write(here / "x.h5", [row(1, path="d/1.wav")], root="/data/x")
    write(here / "y.h5", [row(2, path="2.wav")], root="/data/y/z")
    assert cli("merge", "x.h5", "y.h5", "all.h5").code == 0
    with Store("all.h5") as store:
        assert store.root == "/data"
        assert [item.path for item in store.items()] == ["x/d/1.wav", "y/z/2.wav"]
    assert cli("merge", "x.h5", "b.h5", "none.h5").code == 0
    with Store("none.h5") as store:
        assert store.root == ""
        assert [item.path for item in store.items()] == ["/data/x/d/1.wav", "2.wav", "3.wav"]


def test_further_fields_of_all_stores_are_kept(cli, here: Path) -> None:
    write(here / "n.h5", [row(6, take=3, age=41, sure=None)])
    write(here / "t.h5", [row(7, age="adult", town="Ulm")])
    assert cli("merge", "n.h5", "t.h5", "all.h5").code == 0
    with Store("all.h5") as store:
        assert [item.extra for item in store.items()] == [
            {"age": "41", "sure": None, "take": 3.0, "town": None},
            {"age": "adult", "sure": None, "take": None, "town": "Ulm"},
        ]


def test_a_damaged_store_is_not_merged(cli, here: Path) -> None:
    with h5py.File("b.h5", "r+") as file:
        file["features"][1] += 1
    found = cli("merge", "a.h5", "b.h5", "all.h5")
    assert found.code == 3
    assert "b.h5: damaged, the features of c/2" in found.err
    assert not (here / "all.h5").exists()


def test_packed_as_the_first_store_or_as_asked(cli, here: Path) -> None:
    write(here / "z.h5", [row(8)], compress="gzip")
    assert cli("merge", "z.h5", "a.h5", "1.h5").code == 0
    assert cli("merge", "a.h5", "z.h5", "2.h5").code == 0
    assert cli("merge", "--compress", "lzf", "a.h5", "z.h5", "3.h5").code == 0
    packed = [Store(f"{n}.h5").compression for n in (1, 2, 3)]
    assert packed == ["gzip", "none", "lzf"]


def test_selected_items_are_unchanged_and_in_their_order(cli, here: Path) -> None:
    assert cli("merge", "a.h5", "b.h5", "all.h5").code == 0
    assert cli("select", "all.h5", "s.h5", "--where", "fold!=0", "--where", "label=angry").code == 0
    wanted = [one for one in content("all.h5") if one[0]["id"] in ("c/1", "c/3")]
    assert content("s.h5") == wanted
    with Store("s.h5") as store:
        assert store.verify()
        assert store.classes == ["anger"]
        assert [one["stage"] for one in store.lineage] == ["merge", "select"]


def test_listed_ids_stand_for_segments_and_copies(cli, here: Path) -> None:
    rows = [row(1, id=f"c/1{end}", origin="c/1") for end in ("", "#001", "~1")]
    write(here / "s.h5", [*rows, row(2), row(3)])
    (here / "ids").write_text("c/3\n\n" + json.dumps({"id": "c/1"}) + "\n")
    assert cli("select", "s.h5", "l.h5", "--ids", "ids").code == 0
    assert [one["id"] for one, _ in content("l.h5")] == ["c/1", "c/1#001", "c/1~1", "c/3"]
    (here / "ids").write_text("c/1~1\n")
    assert cli("select", "--force", "s.h5", "l.h5", "--ids", "ids").code == 0
    assert [one["id"] for one, _ in content("l.h5")] == ["c/1~1"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"c/1\nc/8\nc/9\n", "a.h5 has no item c/8, and 1 more"),
        (b"", "lists no id"),
        (b'{"path": "x"}\n', "line 1: JSON without an id"),
        (b'{"id": 3}\n', "line 1: JSON without an id"),
        (b"\xff\n", "is not UTF-8 text"),
    ],
)
def test_a_list_that_does_not_fit(cli, here: Path, text: bytes, why: str) -> None:
    (here / "ids").write_bytes(text)
    found = cli("select", "a.h5", "s.h5", "--ids", "ids")
    assert (found.code, found.err.count("\n")) == (3, 1)
    assert why in found.err


def test_no_choice_and_no_item(cli, here: Path) -> None:
    assert cli("select", "a.h5", "s.h5").code == 2
    assert cli("select", "a.h5", "s.h5", "--where", "label").code == 2
    assert cli("select", "a.h5", "s.h5", "--where", "colour=red").code == 2
    assert cli("select", "a.h5", "s.h5", "--where", "label=fear").code == 3
    assert cli("select", "a.h5", "s.h5", "--ids", "nowhere").code == 3
    assert cli("select", "nowhere.h5", "s.h5", "--where", "fold=0").code == 3
    assert not (here / "s.h5").exists()


def test_halves_of_a_store_train_the_same_model_together(cli, here: Path) -> None:
    manifest = sertool.prepare(DEMO, split="speakers:4")
    whole = sertool.featurize(manifest, "whole.h5", kind="mfcc")
    first = sertool.select(whole, "one.h5", where="speaker in spk01,spk02,spk03")
    other = sertool.select(whole, "two.h5", where="speaker not in spk01,spk02,spk03")
    both = sertool.merge([first, other], "both.h5")
    assert content("both.h5") == content("whole.h5")
    models = [sertool.train(one, f"{one.path.stem}.ckpt", test_fold=0) for one in (whole, both)]
    weights = [{n: t.tobytes() for n, t in one.tensors.items()} for one in models]
    assert weights[0] == weights[1]


def test_the_lines_that_make_a_merged_store(cli, here: Path) -> None:
    (here / "ids").write_text("demo/spk03/spk03_anger_s1_r1\n")
    for line in (
        "prepare --split speakers:4 CORPUS m.jsonl",
        "featurize --kind mfcc m.jsonl whole.h5",
        "select whole.h5 one.h5 --where fold=0",
        "select whole.h5 two.h5 --ids ids",
        "merge one.h5 two.h5 both.h5 --compress gzip",
    ):
        assert cli(*(str(DEMO) if w == "CORPUS" else w for w in shlex.split(line))).code == 0
    lines = cli("info", "--commands", "both.h5").out.splitlines()
    again = here / "again"
    again.mkdir()
    (again / "ids").write_bytes((here / "ids").read_bytes())
    same_again(lines, here / "both.h5", again, CORPUS=DEMO)
