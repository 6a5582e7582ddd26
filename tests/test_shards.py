"""Sharded stores: written by many, killed and repeated in any order, read like one file."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile
from test_merge import content
from test_provenance import DEMO

import sertool
from sertool.core.errors import InputError, UsageError
from sertool.core.shard import Shard
from sertool.formats.store import Store

N = 16
KILLED = """
import os, signal, sys
from sertool.formats import store, store_shards
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{place} = die
from sertool.cli import main
sys.exit(main(sys.argv[1:]))
"""
PLACES = ("store.StoreWriter.finish", "store_shards.complete", "store_shards._write_index")


def name(number: int, of: int = N) -> str:
    return f"shard-{number:05}-of-{of:05}.h5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features of the demo corpus in one file, made by one run."""
    folder = tmp_path_factory.mktemp("whole")
    manifest = sertool.prepare(DEMO, folder / "m.jsonl", split="speakers:4")
    sertool.featurize(manifest, folder / "mel.h5", kind="mel", sample_rate=8000)
    sertool.featurize(DEMO, folder / "folder.h5", kind="mel", sample_rate=8000)
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of seven short recordings, and their waveforms as a store of three shards."""
    folder = tmp_path_factory.mktemp("few")
    draw = np.random.default_rng(0)
    (folder / "corpus").mkdir()
    for i in range(7):
        soundfile.write(folder / "corpus" / f"{i}.wav", 0.1 * draw.standard_normal(4000), 8000)
    sertool.featurize(folder / "corpus", folder / "wave.h5", kind="wave")
    for k in (3, 1, 2):
        made = sertool.featurize(folder / "corpus", folder / "s.h5", kind="wave", shard=f"{k}/3")
        assert made.path == folder / "s.h5" / name(k, 3)
    return folder


@pytest.fixture
def sharded(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the three shards, in a working folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(few / "s.h5", "s.h5"))


def killed(*arguments: object, place: str) -> None:
    """Run a command line that is killed where it calls a function."""
    words = [str(word) for word in arguments]
    done = subprocess.run([sys.executable, "-c", KILLED.format(place=place), *words], check=False)
    assert done.returncode == -signal.SIGKILL


def test_shards_share_out_everything_once() -> None:
    for total in (0, 1, 5, 16, 100, 1001):
        for of in (1, 2, 7, 16, 200):
            parts = [Shard(k, of).part(total) for k in range(1, of + 1)]
            assert [i for part in parts for i in part] == list(range(total))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for text in ("0/3", "4/3", "1", "1/", "a/b", "1/100000", "-1/3", "1/3/5", " 1/3"):
        with pytest.raises(UsageError, match=r"needs K/N"):
            Shard.parse(text)


@pytest.mark.parametrize(("source", "alone"), [("m.jsonl", "mel.h5"), ("", "folder.h5")])
def test_sixteen_shards_in_any_order_some_killed_and_repeated(
    cli: Callable[..., Any], whole: Path, tmp_path: Path, source: str, alone: str
) -> None:
    given = ["featurize", "--kind", "mel", "--sample-rate", 8000, "--workers", 1]
    given += [whole / source if source else DEMO, tmp_path / alone]
    order = random.Random(alone).sample(range(1, N + 1), N)
    for number in order:
        if number in order[4:6]:
            killed(*given, "--shard", f"{number}/{N}", place=PLACES[number == order[5]])
        else:
            assert cli(*given, "--shard", f"{number}/{N}").code == 0
        with pytest.raises(InputError, match=r"lacks \d+ of 16 shards"):
            Store(tmp_path / alone)
    assert cli(*given, "--shard", f"{order[5]}/{N}", "--resume").code == 0
    killed(*given, "--shard", f"{order[4]}/{N}", "--resume", place=PLACES[2])
    with pytest.raises(InputError, match=r"its index is missing"):
        Store(tmp_path / alone)
    assert cli(*given, "--shard", f"{order[4]}/{N}", "--resume").code == 0
    found = tmp_path / alone
    files = sorted(one for one in os.listdir(found) if not one.startswith("."))
    assert files == ["index.h5", *(name(k) for k in range(1, N + 1))]
    assert [one for one in os.listdir(found) if one.startswith(".")] == []
    with Store(found) as store, Store(whole / alone) as single:
        assert store.sha256 == single.sha256
        assert store.lineage == single.lineage
        assert store.verify()
        assert len(store.shards) == N
    assert content(found) == content(whole / alone)
    for stores in ([found], [found / name(k) for k in range(1, N + 1)]):
        assert cli("merge", "--force", *stores, tmp_path / "one.h5").code == 0
        assert (tmp_path / "one.h5").read_bytes() == (whole / alone).read_bytes()


def test_it_reads_like_one_file_everywhere(
    cli: Callable[..., Any], whole: Path, tmp_path: Path
) -> None:
    folder, single = tmp_path / "mel.h5", whole / "mel.h5"
    for k in (2, 1):
        sertool.featurize(whole / "m.jsonl", folder, kind="mel", sample_rate=8000, shard=f"{k}/2")
    made = {}
    for store in (single, folder):
        out = tmp_path / store.parent.name / "m.ckpt"
        out.parent.mkdir()
        assert cli("train", "--model", "linear", "--test-fold", 0, store, out).code == 0
        report = cli("eval", out, store, "--json", "-").out
        described = json.loads(cli("info", "--json", store).out)
        shards = {single: None, folder: 2}[store]
        assert (described.pop("path"), described.pop("shards", None)) == (str(store), shards)
        made[store] = out.read_bytes(), report, described
    assert made[single] == made[folder]
    assert "feature store in 2 shards" in cli("info", folder).out
    assert "feature store, shard 2 of 2" in cli("info", folder / name(2, 2)).out
    assert cli("info", "--audit", folder, single).out
    few = cli("select", folder, tmp_path / "few.h5", "--where", "speaker=spk02")
    assert few.code == 0
    assert len(Store(tmp_path / "few.h5")) == 32
    again = pickle.loads(pickle.dumps(sertool.open_store(folder)))
    assert [item.id for _, item in again] == [item.id for _, item in sertool.open_store(single)]


def test_stores_of_shards_are_featurized_and_augmented_like_one(
    cli: Callable[..., Any], few: Path, tmp_path: Path
) -> None:
    flags = ["--awgn", "10:20", "--copies", 2]
    assert cli("augment", *flags, few / "wave.h5", tmp_path / "a.h5").code == 0
    for k in (2, 1, 3):
        assert (
            cli("augment", *flags, few / "s.h5", tmp_path / "b.h5", "--shard", f"{k}/3").code == 0
        )
    assert content(tmp_path / "a.h5") == content(tmp_path / "b.h5")
    for source, out in (("a.h5", "c.h5"), ("b.h5", "d.h5")):
        found = cli(
            "featurize", "--kind", "mfcc", "--workers", 2, tmp_path / source, tmp_path / out
        )
        assert found.code == 0
    assert content(tmp_path / "c.h5") == content(tmp_path / "d.h5")
    again = cli("augment", *flags, few / "wave.h5", tmp_path / "b.h5", "--shard", "1/3")
    assert again.code == 3
    assert "exists already" in again.err


def test_a_missing_shard_and_a_foreign_one_are_one_line(
    cli: Callable[..., Any], sharded: Path, few: Path
) -> None:
    sertool.featurize(few / "corpus", "t.h5", kind="wave", dtype="int16", shard="2/3")
    shutil.copy(Path("t.h5") / name(2, 3), sharded / name(2, 3))
    found = cli("select", sharded, "x.h5", "--where", "corpus!=none")
    assert (found.code, found.err.count("\n")) == (3, 1)
    assert f"s.h5/{name(2, 3)}: is not the shard that the index names" in found.err
    assert cli("info", sharded).code == 3
    whole = ["featurize", "--kind", "wave", few / "corpus", sharded, "--shard"]
    repeated = cli(*whole, "1/3", "--resume")
    assert repeated.code == 3
    assert "of another run" in repeated.err
    assert cli(*whole, "2/3", "--force").code == 0
    with Store(sharded) as store, Store(few / "wave.h5") as single:
        assert store.verify()
        assert store.sha256 == single.sha256
    (sharded / name(3, 3)).unlink()
    found = cli("info", sharded)
    assert (found.code, found.err.count("\n")) == (3, 1)
    assert "s.h5: lacks 1 of 3 shards: 3" in found.err
    (sharded / name(3, 3)).mkdir()
    assert cli("select", sharded, "x.h5", "--where", "corpus!=none").code == 3


def test_damage_in_a_shard_or_the_index_is_found(cli: Callable[..., Any], sharded: Path) -> None:
    with h5py.File(sharded / name(2, 3), "r+") as file:
        file["features"][7] = 0.25
    assert not Store(sharded).verify()
    assert cli("merge", sharded, "x.h5").code == 3
    with h5py.File(sharded / "index.h5", "r+") as file:
        file["items/label"][0] = b"fear"
    with pytest.raises(InputError, match=r"its content is not what was written"):
        Store(sharded).items()
    with h5py.File(sharded / "index.h5", "r+") as file:
        file["shards"].attrs["dtype"] = "O"
    found = cli("info", sharded)
    assert (found.code, found.err.count("\n")) == (3, 1)
    (sharded / "index.h5").unlink()
    assert (
        "its index is missing; repeat one of its shards with --resume" in cli("info", sharded).err
    )


@pytest.mark.parametrize(
    "more", [["--kind", "mfcc", "--shard", "1/3"], ["--kind", "wave", "--shard", "1/2"]]
)
def test_another_run_in_the_folder(
    cli: Callable[..., Any], sharded: Path, few: Path, more: list[str]
) -> None:
    before = {one.name: one.read_bytes() for one in sharded.iterdir()}
    found = cli("featurize", few / "corpus", sharded, *more)
    assert found.code == 3
    assert {one.name: one.read_bytes() for one in sharded.iterdir()} == before
    assert cli("featurize", "--force", few / "corpus", sharded, *more).code == 0
    number, of = map(int, more[-1].split("/"))
    assert [one.name for one in sharded.iterdir()] == [name(number, of)]


def test_more_shards_than_recordings_and_recordings_that_fail(
    cli: Callable[..., Any], few: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(few / "corpus", corpus)
    (corpus / "3.wav").write_bytes(b"RIFF")
    assert cli("featurize", "--kind", "mel", corpus, tmp_path / "one.h5").code == 1
    codes = [
        cli("featurize", "--kind", "mel", corpus, tmp_path / "s.h5", "--shard", f"{k}/9").code
        for k in range(1, 10)
    ]
    assert sorted(codes) == [0] * 8 + [1]
    assert content(tmp_path / "s.h5") == content(tmp_path / "one.h5")
    assert cli("merge", tmp_path / "s.h5", tmp_path / "m.h5").code == 0
    assert (tmp_path / "m.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()


def test_nothing_is_written_where_something_else_is(
    cli: Callable[..., Any], few: Path, tmp_path: Path
) -> None:
    given = ["featurize", "--kind", "mel", few / "corpus"]
    (tmp_path / "file.h5").write_bytes(b"x")
    assert cli(*given, tmp_path / "file.h5", "--shard", "1/2").code == 3
    assert cli(*given, tmp_path / "file.h5", "--shard", "1/2", "--force").code == 3
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("x")
    assert cli(*given, tmp_path / "folder", "--shard", "1/2", "--force").code == 3
    assert cli(*given, few / "corpus", "--shard", "1/2").code == 2
    assert cli(*given, tmp_path / "new.h5", "--shard", "3/2").code == 2
    assert cli(*given, tmp_path / "nowhere" / "new.h5", "--shard", "1/2").code == 3
    assert cli("featurize", "--force", few / "corpus", few / "s.h5").code == 3
    assert sorted(os.listdir(tmp_path)) == ["file.h5", "folder"]
    assert os.listdir(tmp_path / "folder") == ["mine.txt"]


def test_slices_of_several_shards(sharded: Path, few: Path) -> None:
    with Store(sharded) as store, Store(few / "wave.h5") as single:
        total = int(single.offsets[-1])
        for start, stop in ((0, total), (3999, 8001), (5000, 5000), (7000, 2 * total)):
            wanted = single._frames[start:stop]
            np.testing.assert_array_equal(store._frames[start:stop], wanted)
        store.check_features()


def test_few_shards_are_open_at_a_time(
    sharded: Path, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sertool.formats.shard_frames._OPEN", 1)
    with Store(sharded) as store, Store(few / "wave.h5") as single:
        for i in (0, 6, 3, 0, 5):
            np.testing.assert_array_equal(store.features(i), single.features(i))
            assert len(store._shards._open) == 1
