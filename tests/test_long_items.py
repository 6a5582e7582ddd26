"""Items of a day: stages that need no item whole read it in parts, the others refuse it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_store
from made_stores import write_store

from sertool.core.errors import InputError
from sertool.core.memory import TooMuch
from sertool.formats import store
from sertool.formats.doors import npz
from sertool.formats.store import Store

PART = 1 << 16  # bytes read at once, where it is 8 MB otherwise


def write(path: Path, frames: int, name: str = "long") -> Path:
    draw = np.random.default_rng(frames)
    arrays = [draw.standard_normal((n, 32)).astype(np.float32) for n in (3, frames, 0, 5)]
    rows = [
        {"id": f"c/{name}{i}", "path": f"{i}.wav", "corpus": "c", "label": label, "fold": i % 2}
        for i, label in enumerate(("anger", "joy", "joy", "anger"))
    ]
    write_store(path, arrays, rows)
    Path("ids").write_text("".join(f"{row['id']}\n" for row in rows))
    return path


def content(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    with Store(path) as found:
        assert found.verify()
        items = enumerate(found.items())
        return [(item.store_row(), found.features(i).tobytes()) for i, item in items]


LINES = {
    "merge": ["merge in.h5 other.h5 out.h5"],
    "select": ["select in.h5 out.h5 --ids ids"],
    "npz": ["convert in.h5 x.npz", "convert x.npz out.h5"],
    "webdataset": ["convert in.h5 x --to webdataset", "convert x out.h5"],
    "lhotse": ["convert in.h5 x --to lhotse"],
}


@pytest.mark.parametrize("what", [one for one in LINES if one != "select"])
def test_an_item_is_read_in_parts(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What it holds is the same, and a longer one takes no more memory."""
    monkeypatch.setattr(store, "READ_BYTES", PART)
    monkeypatch.setattr(npz, "BLOCK", PART)
    most = []
    for frames in (100, 16_000, 48_000):  # the first imports what it needs
        folder = tmp_path / str(frames)
        folder.mkdir()
        monkeypatch.chdir(folder)
        other = content(write(Path("other.h5"), 7, "other"))
        before = content(write(Path("in.h5"), frames))
        tracemalloc.start()
        try:
            for line in LINES[what]:
                assert cli(*line.split()).code == 0
            most.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        if what == "lhotse":
            arrays = [np.load(path) for path in sorted(Path("x").rglob("*.npy"))]
            assert [one.tobytes() for one in arrays] == [frames for _, frames in before]
        else:
            assert content(Path("out.h5")) == before + other * (what == "merge")
    assert most[2] - most[1] < 1 << 20, most  # of the 4 MB that the longer one has more


@pytest.mark.parametrize("what", LINES)
def test_damage_in_a_long_item_is_found(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "READ_BYTES", PART)
    write(Path("other.h5"), 7, "other")
    write(Path("in.h5"), 2000)
    with Store("in.h5") as found:
        last = found.features(1)[-1].tobytes()
    whole = bytearray(Path("in.h5").read_bytes())
    whole[whole.find(last) + 5] ^= 1
    Path("in.h5").write_bytes(whole)
    result = cli(*LINES[what][0].split())
    assert result.code == 3
    assert "in.h5: damaged, the features of c/long1 are not what was written" in result.err
    assert not Path("out.h5").exists()
    assert not Path("x").exists()


def test_what_needs_an_item_whole_refuses_it_beforehand(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "SMALL", 0)
    write(Path("in.h5"), 2000)
    monkeypatch.setenv("SERTOOL_MEMORY", "0.0001")
    with Store("in.h5") as found:
        for read in (lambda: found.features(1), lambda: found.batch([0, 1])):
            with pytest.raises(InputError, match="c/long1: an item of 2000 frames takes"):
                read()
        assert [len(one) for one in found.batch([0, 3])] == [3, 5]


def room(most: float) -> Callable[[float, str], None]:
    def afford(size: float, what: str) -> None:
        if size > most:
            raise TooMuch(f"{what} is too much")

    return afford


def test_models_refuse_what_they_cannot_hold(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beforehand, by what they make of an item: a network more than a row of a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "SMALL", 0)
    held, trained = {"linear": 16, "sertool": 128}, {"linear": 16, "sertool": 40}
    small_store.make(Path("f.h5"))  # 40 frames of 4
    house = ("--model", "sertool", "--epochs", "1", "--set", "widths=[4]")
    for name, words in (("linear", ()), ("sertool", house)):
        line = ("train", "f.h5", f"{name}.ckpt", "--test-fold", "0", *words)
        monkeypatch.setattr(store, "afford", room(1e9))
        assert cli(*line).code == 0
        for stage, each in (("eval", 4 + held[name]), ("train", 4 + trained[name])):
            again = ("eval", f"{name}.ckpt", "f.h5") if stage == "eval" else (*line, "--force")
            monkeypatch.setattr(store, "afford", room(40 * 4 * each))
            assert cli(*again).code == 0
            monkeypatch.setattr(store, "afford", room(40 * 4 * each - 1))
            result = cli(*again)
            assert result.code == 3
            said = result.err.splitlines()[-1]
            assert f": an item of 40 frames in {name} is too much; or make shorter items" in said
