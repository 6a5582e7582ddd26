"""`augment`: the ratio asked for, copies tied to their origin, the same draw in any order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_stores import write_store

from sertool.augmentations.noise import add_white_noise
from sertool.formats.store import Store


def waves(n: int = 6, dtype: str = "float32") -> list[np.ndarray]:
    random = np.random.default_rng(0)
    made = [0.1 * random.standard_normal(1000 + i) for i in range(n)]
    if dtype == "int16":
        return [np.rint(x * 32768).astype(np.int16) for x in made]
    return [x.astype(np.float32) for x in made]


def rows(n: int = 6, **fields: object) -> list[dict]:
    return [{"id": f"c/{i}", "path": f"{i}.wav", "speaker": f"s{i}", **fields} for i in range(n)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "w.h5", waves(), rows(fold=2, label="anger"), kind="wave")
    return tmp_path / "w.h5"


def ratio(clean: np.ndarray, noisy: np.ndarray) -> float:
    clean = clean.astype(np.float64)
    noise = noisy.astype(np.float64) - clean
    return 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))


@given(snr=st.floats(-10, 60), level=st.floats(1e-4, 1), seed=st.integers(0, 99))
def test_the_ratio_is_exact(snr: float, level: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    clean = (level * random.standard_normal(500)).astype(np.float32)
    noisy, added = add_white_noise(clean, snr, random)
    assert added
    assert noisy.dtype == np.float32
    assert ratio(clean, noisy) == pytest.approx(snr, abs=0.02)


def test_silence_stays_silence() -> None:
    noisy, added = add_white_noise(np.zeros(9, np.float32), 20, np.random.default_rng(0))
    assert not added
    assert not noisy.any()


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_copies(cli, tmp_path: Path, dtype: str) -> None:
    write_store(tmp_path / "w.h5", waves(6, dtype), rows(fold=2, label="anger"), kind="wave")
    out = tmp_path / "a.h5"
    assert cli("augment", "--awgn", "15:30", "--copies", 2, tmp_path / "w.h5", out).code == 0
    clean, noisy = Store(tmp_path / "w.h5"), Store(out)
    assert noisy.dtype == clean.dtype
    assert [r.id for r in noisy.items()[:3]] == ["c/0", "c/0~1", "c/0~2"]
    ratios = []
    for i, row in enumerate(noisy.items()):
        source = i // 3
        if i % 3 == 0:
            np.testing.assert_array_equal(noisy.features(i), clean.features(source))
            assert row.augmentation == ""
            continue
        assert row.origin == f"c/{source}"
        assert (row.fold, row.label, row.speaker) == (2, "anger", f"s{source}")
        drawn = json.loads(row.augmentation)["awgn"]["snr_db"]
        assert 15 <= drawn <= 30
        assert ratio(clean.features(source), noisy.features(i)) == pytest.approx(drawn, abs=0.01)
        ratios.append(drawn)
    assert len(set(ratios)) == 12
    assert noisy.pipeline[-1]["stage"] == "augment"
    assert noisy.lineage[-1]["params"]["copies"] == 2
    assert noisy.verify()


def test_a_draw_depends_on_seed_id_and_copy_alone(cli, tmp_path: Path) -> None:
    sounds, items = waves(), rows()
    write_store(tmp_path / "w.h5", sounds, items, kind="wave")
    write_store(tmp_path / "r.h5", sounds[::-1], items[::-1], kind="wave")
    for name in "wr":
        cli("augment", "--awgn", "20", tmp_path / f"{name}.h5", tmp_path / f"{name}2.h5")
    cli("augment", "--awgn", "20", "--seed", 1, tmp_path / "w.h5", tmp_path / "w3.h5")

    def by_id(name: str) -> dict[str, np.ndarray]:
        made = Store(tmp_path / name)
        return {row.id: made.features(i) for i, row in enumerate(made.items())}

    one, reverse, other = by_id("w2.h5"), by_id("r2.h5"), by_id("w3.h5")
    for name, values in one.items():
        np.testing.assert_array_equal(values, reverse[name])
        assert np.array_equal(values, other[name]) == ("~" not in name)


def test_only_the_part_asked_for(cli, tmp_path: Path) -> None:
    items = rows()
    for row, part in zip(items, ["train", "train", "val", "test", "test", "test"], strict=True):
        row["part"] = part
    write_store(tmp_path / "w.h5", waves(), items, kind="wave")
    cli("augment", "--awgn", "20", tmp_path / "w.h5", tmp_path / "a.h5")
    copies = [r for r in Store(tmp_path / "a.h5").items() if r.augmentation]
    assert [r.part for r in copies] == ["train", "train"]
    cli("augment", "--awgn", "20", "--part", "test", tmp_path / "w.h5", tmp_path / "b.h5")
    assert len(Store(tmp_path / "b.h5")) == 9
    cli("augment", "--awgn", "20", "--only-copies", tmp_path / "w.h5", tmp_path / "c.h5")
    assert [r.id for r in Store(tmp_path / "c.h5").items()] == ["c/0~1", "c/1~1"]


def test_workers_and_resume_give_the_same_bytes(cli, store: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        cli("augment", "--awgn", "15:30", "--workers", workers, store, tmp_path / f"{workers}.h5")
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    again = cli("augment", "--awgn", "15:30", "--resume", store, tmp_path / "1.h5")
    assert again.code == 0
    assert "already complete" in again.err
    assert cli("augment", "--awgn", "9", "--resume", store, tmp_path / "1.h5").code == 3


def test_refused(cli, store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "mel.h5", [np.zeros((2, 3), np.float32)], rows(1), kind="mel")
    one = [np.zeros((1, 3), np.float32)]
    write_store(tmp_path / "row.h5", one, rows(1), kind="functionals", frame_rate=0)
    cases = [
        ((store, tmp_path / "o.h5"), 2, "--awgn"),
        (("--awgn", "x", store, tmp_path / "o.h5"), 2, "LOW:HIGH"),
        (("--awgn", "30:15", store, tmp_path / "o.h5"), 2, "LOW <= HIGH"),
        (("--awgn", "30:15", store, store), 2, "LOW <= HIGH"),
        (("--awgn", "9", "--part", "dev", store, tmp_path / "o.h5"), 2, "train"),
        (("--awgn", "9", tmp_path / "mel.h5", tmp_path / "o.h5"), 2, "featurize --kind wave"),
        (("--awgn", "9", tmp_path / "row.h5", tmp_path / "o.h5"), 3, "waveforms"),
        (("--awgn", "9", tmp_path / "none.h5", tmp_path / "o.h5"), 3, "no such file"),
        (("--awgn", "9", store, store), 2, "same file"),
        (("--awgn", "9", "--force", store, store), 2, "same file"),
    ]
    for arguments, code, said in cases:
        result = cli("augment", *arguments)
        assert (result.code, result.out) == (code, ""), result.err
        assert said in result.err
        assert result.err.count("\n") == 1
    cli("augment", "--awgn", "9", store, tmp_path / "a.h5")
    again = cli("augment", "--awgn", "9", tmp_path / "a.h5", tmp_path / "b.h5")
    assert again.code == 3
    assert "copies already" in again.err


def test_segments_of_one_recording_draw_for_themselves(cli, tmp_path: Path) -> None:
    """Their copies have no hash of their own, and the fingerprint of their recording."""
    known = {"origin": "c/0", "audio_hash": "h0", "fingerprint": "f0"}
    items = [{**row, **known, "id": f"c/0#{i:03d}"} for i, row in enumerate(rows(3))]
    write_store(tmp_path / "w.h5", [waves(1)[0]] * 3, items, kind="wave")
    assert cli("augment", "--awgn", "0:40", tmp_path / "w.h5", tmp_path / "a.h5").code == 0
    with Store(tmp_path / "a.h5") as made:
        copies = [(i, row) for i, row in enumerate(made.items()) if row.augmentation]
        assert len({row.augmentation for _, row in copies}) == 3
        assert len({made.features(i).tobytes() for i, _ in copies}) == 3
        assert {(row.audio_hash, row.fingerprint) for _, row in copies} == {("", "f0")}
        originals = [row for row in made.items() if not row.augmentation]
        assert {row.audio_hash for row in originals} == {"h0"}
