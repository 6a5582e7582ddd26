"""`featurize` end to end: every input, every field, the same bytes, one line for what is wrong."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from sertool.formats.store import Store

RATE = 16000
ALONE = ("--workers", 1, "--file-timeout", 0)  # in this process


@pytest.fixture
def tone() -> np.ndarray:
    return (0.3 * np.sin(np.arange(4000) * 0.1)).astype(np.float32)


def stdin(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_folder(cli, sounds: Path, tmp_path: Path) -> None:
    result = cli("featurize", "--kind", "mel", sounds, tmp_path / "m.h5")
    assert (result.code, result.out) == (0, "")
    with Store(tmp_path / "m.h5") as store:
        assert len(store) == 12
        assert Counter(row.label for row in store.items()) == {
            "anger": 4,
            "happiness": 4,
            "sadness": 4,
        }
        first = store.items()[0]
        assert first.path == "angry/s00.wav"
        assert store.root == str(sounds)
        samples, _ = soundfile.read(sounds / first.path, dtype="float32")
        expected = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=RATE)).T
        np.testing.assert_allclose(store.features(0), expected, atol=1e-3)
        assert store.sample_rate == RATE
        assert store.frame_rate == RATE / 512
        assert store.lineage[0]["stage"] == "featurize"
        assert store.verify()


def test_file_list_and_manifest_give_the_same_features(
    cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(sounds.rglob("*.wav"))
    assert cli("featurize", sounds, tmp_path / "folder.h5").code == 0
    stdin(monkeypatch, "".join(f"{path}\n" for path in files).encode())
    assert cli("featurize", "-", tmp_path / "list.h5").code == 0
    lines = [json.dumps({"id": f"x/{i}", "path": str(p)}) for i, p in enumerate(files)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines) + "\n")
    assert cli("featurize", tmp_path / "m.jsonl", tmp_path / "manifest.h5").code == 0
    stdin(monkeypatch, "\n".join(lines).encode())
    assert cli("featurize", "-", tmp_path / "piped.h5").code == 0
    stores = [Store(tmp_path / f"{n}.h5") for n in ("folder", "list", "manifest", "piped")]
    for store in stores:
        assert len(store) == 12
        for i in range(12):
            np.testing.assert_array_equal(store.features(i), stores[0].features(i))
    assert [row.id for row in stores[2].items()] == [f"x/{i}" for i in range(12)]


def test_single_file_and_cut(cli, tmp_path: Path, tone: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", tone, RATE, "FLOAT")
    assert cli("featurize", "--kind", "wave", tmp_path / "a.wav", tmp_path / "a.h5").code == 0
    np.testing.assert_array_equal(Store(tmp_path / "a.h5").features(0), tone)
    line = {"id": "c/a@50-150", "path": "a.wav", "start": 0.05, "end": 0.15}
    (tmp_path / "cut.jsonl").write_text(json.dumps(line))
    assert cli("featurize", "--kind", "wave", tmp_path / "cut.jsonl", tmp_path / "b.h5").code == 0
    np.testing.assert_array_equal(Store(tmp_path / "b.h5").features(0), tone[800:2400])


def test_wave_store_then_features_equals_features_at_once(
    cli, sounds: Path, tmp_path: Path
) -> None:
    assert cli("featurize", "--kind", "wave", sounds, tmp_path / "w.h5").code == 0
    assert cli("featurize", "--kind", "mfcc", tmp_path / "w.h5", tmp_path / "two.h5").code == 0
    assert cli("featurize", "--kind", "mfcc", sounds, tmp_path / "one.h5").code == 0
    one, two = Store(tmp_path / "one.h5"), Store(tmp_path / "two.h5")
    for i in range(len(one)):
        np.testing.assert_allclose(one.features(i), two.features(i), atol=1e-4)
    assert one.items() == two.items()
    assert [stage["kind"] for stage in two.pipeline] == ["wave", "mfcc"]
    assert [record["stage"] for record in two.lineage] == ["featurize", "featurize"]


def test_segments_keep_their_origin(cli, sounds: Path, tmp_path: Path) -> None:
    options = ["--segment", "0.2", "--segment-tail", "drop"]
    assert cli("featurize", *options, sounds, tmp_path / "s.h5").code == 0
    rows = Store(tmp_path / "s.h5").items()
    assert len(rows) == 24
    for row in rows:
        assert row.id.startswith(row.origin + "#")


@pytest.mark.parametrize("compress", ["none", "lzf", "gzip"])
def test_any_number_of_workers_gives_the_same_bytes(
    cli, sounds: Path, tmp_path: Path, compress: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sertool.formats.building.BLOCK", 3)
    for workers, name in ((1, "a.h5"), (2, "a longer name.h5"), (3, "c.h5")):
        options = ["--workers", workers, "--compress", compress]
        assert cli("featurize", *options, sounds, tmp_path / name).code == 0
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1


def test_a_bad_file_is_named_and_the_rest_is_done(cli, sounds: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for path in sounds.rglob("*.wav"):
        target = corpus / path.relative_to(sounds)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (corpus / "sad" / "broken.wav").write_text("this is no sound")
    result = cli("featurize", corpus, tmp_path / "m.h5")
    assert result.code == 1
    named = [line for line in result.err.splitlines() if "broken.wav" in line]
    assert len(named) == 1
    assert len(Store(tmp_path / "m.h5")) == 12
    strict = cli("featurize", "--strict", corpus, tmp_path / "s.h5")
    assert strict.code == 3
    assert not (tmp_path / "s.h5").exists()


def test_refused(cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_line(result, code: int, *words: str) -> None:
        assert result.code == code, result.err
        lines = result.err.strip().splitlines()
        assert len(lines) == 1, result.err
        for word in words:
            assert word in lines[0]

    out = tmp_path / "o.h5"
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    one_line(cli("featurize", tmp_path / "none", out), 3, "none")
    one_line(cli("featurize", tmp_path / "empty", out), 3, "empty")
    one_line(cli("featurize", tmp_path / "texts", out), 3, "texts")
    one_line(cli("featurize", sounds, tmp_path / "no" / "o.h5"), 3, "does not exist")
    one_line(cli("featurize", "--kind", "chroma", sounds, out), 2, "chroma", "mel")
    one_line(cli("featurize", "--set", "colour=1", sounds, out), 2, "colour", "n_fft")
    one_line(cli("featurize", "--fit", "stretch", sounds, out), 2, "stretch")
    one_line(cli("featurize", "--nonsense", sounds, out), 2, "--nonsense")
    stdin(monkeypatch, b"")
    one_line(cli("featurize", "-", out), 3, "standard input")
    doubled = json.dumps({"id": "x", "path": str(sounds / "sad" / "s02.wav")})
    (tmp_path / "d.jsonl").write_text(f"{doubled}\n{doubled}\n")
    one_line(cli("featurize", tmp_path / "d.jsonl", out), 3, "x", "s02.wav")
    assert not out.exists()
    assert cli("featurize", "-q", sounds, out).code == 0
    one_line(cli("featurize", sounds, out), 3, "--force")
    one_line(cli("featurize", out, tmp_path / "p.h5"), 3, "kind mel")
    assert cli("featurize", "-q", "--force", sounds, out).code == 0


def test_options_that_contradict_an_earlier_stage(cli, sounds: Path, tmp_path: Path) -> None:
    assert cli("featurize", "--kind", "wave", sounds, tmp_path / "w.h5").code == 0
    for option in (["--sample-rate", "8000"], ["--duration", "1"], ["--channel", "left"]):
        result = cli("featurize", *option, tmp_path / "w.h5", tmp_path / "o.h5")
        assert result.code == 2
        assert option[0] in result.err


def test_unusual_but_good(cli, tmp_path: Path, tone: np.ndarray) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    soundfile.write(folder / "silence.wav", np.zeros(4000), RATE)
    soundfile.write(folder / "one_sample.wav", np.array([0.5]), RATE)
    soundfile.write(folder / "eight_channels.wav", np.stack([tone] * 8, 1), RATE)
    soundfile.write(folder / "slow.wav", tone, 8000)
    soundfile.write(folder / "fast.wav", tone, 192000)
    soundfile.write(folder / "plain.wav", tone, RATE)
    result = cli("featurize", folder, tmp_path / "x.h5")
    assert result.code == 0, result.err
    assert "1 resampled" in result.err
    assert "1 of a lower sample rate" in result.err
    assert "1 mixed down" in result.err
    assert "silent" in result.err
    store = Store(tmp_path / "x.h5")
    assert store.sample_rate == RATE
    assert len(store) == 6
    assert all(np.isfinite(store.features(i)).all() for i in range(6))
    named = {row.id.split("/")[-1]: i for i, row in enumerate(store.items())}
    np.testing.assert_array_equal(
        store.features(named["eight_channels"]), store.features(named["plain"])
    )


def test_odd_file_names(cli, tmp_path: Path, tone: np.ndarray) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    soundfile.write(folder / "plain.wav", tone, RATE)
    good = (folder / "plain.wav").read_bytes()
    for name in (b"caf\xe9.wav", b"two\nlines.wav", "grüße.wav".encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(good)
    result = cli("featurize", folder, tmp_path / "o.h5")
    assert result.code == 0, result.err
    store = Store(tmp_path / "o.h5")
    assert len(store) == 4
    ids = {row.id for row in store.items()}
    assert any("caf\\xe9" in name for name in ids)
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/bro\nken\xff.wav"))
    bad.write_bytes(b"no sound")
    result = cli("featurize", folder, tmp_path / "p.h5")
    assert result.code == 1
    assert sum("ken" in line for line in result.err.splitlines()) == 1


def test_resume(cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sertool.formats.building.BLOCK", 2)
    assert cli("featurize", sounds, tmp_path / "whole.h5").code == 0
    from sertool.features import stores as stage

    made = stage.AudioSource.make
    calls: list[int] = []

    def interrupted(self, i: int):
        if i == 7:
            raise KeyboardInterrupt
        calls.append(i)
        return made(self, i)

    monkeypatch.setattr(stage.AudioSource, "make", interrupted)
    assert cli("featurize", *ALONE, sounds, tmp_path / "o.h5").code == 130
    assert not (tmp_path / "o.h5").exists()
    monkeypatch.setattr(stage.AudioSource, "make", lambda s, i: (calls.append(i), made(s, i))[1])
    other = cli("featurize", "--resume", "--set", "n_mels=64", sounds, tmp_path / "o.h5")
    assert other.code == 3
    assert "settings" in other.err
    calls.clear()
    assert cli("featurize", *ALONE, "--resume", sounds, tmp_path / "o.h5").code == 0
    assert calls == [6, 7, 8, 9, 10, 11]
    assert (tmp_path / "o.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    again = cli("featurize", "--resume", sounds, tmp_path / "o.h5")
    assert again.code == 0
    assert "already complete" in again.err
    assert cli("featurize", "--resume", "--set", "n_mels=9", sounds, tmp_path / "o.h5").code == 3
    assert sorted(os.listdir(tmp_path)) == ["o.h5", "whole.h5"]


@pytest.mark.parametrize("place", ["first", "last", "cut"])
def test_resume_makes_a_damaged_part_again(
    cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("sertool.formats.building.BLOCK", 2)
    assert cli("featurize", sounds, tmp_path / "whole.h5").code == 0
    from sertool.features import stores as stage

    made = stage.AudioSource.make

    def interrupted(self, i: int):
        if i == 7:
            raise KeyboardInterrupt
        return made(self, i)

    monkeypatch.setattr(stage.AudioSource, "make", interrupted)
    assert cli("featurize", *ALONE, sounds, tmp_path / "o.h5").code == 130
    monkeypatch.setattr(stage.AudioSource, "make", made)
    (part,) = (tmp_path / ".o.h5.parts").glob("0000001-*")
    content = bytearray(part.read_bytes())
    last = content.index(b'{"items"') - 1  # the last byte of the part's second item
    content[0 if place == "first" else last] ^= 1
    part.write_bytes(content[: -1 if place == "cut" else None])
    assert cli("featurize", *ALONE, "--resume", sounds, tmp_path / "o.h5").code == 0
    assert (tmp_path / "o.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_the_disk_is_full(cli, sounds: Path, tmp_path: Path, monkeypatch) -> None:
    from sertool.formats.store import StoreWriter

    def full(self) -> None:
        raise OSError(28, "No space left on device")

    assert cli("featurize", sounds, tmp_path / "o.h5").code == 0
    before = (tmp_path / "o.h5").read_bytes()
    monkeypatch.setattr(StoreWriter, "_flush", full)
    result = cli("featurize", "--force", "--set", "n_mels=20", sounds, tmp_path / "o.h5")
    assert result.code == 3
    assert "disk is full" in result.err
    assert (tmp_path / "o.h5").read_bytes() == before


def test_ravdess_is_all_there(cli, corpora: Path, tmp_path: Path) -> None:
    actors = tmp_path / "ravdess"
    actors.mkdir()
    for n in (1, 2):
        (actors / f"Actor_{n:02d}").symlink_to(corpora / "ravdess" / f"Actor_{n:02d}")
    # links to folders are not followed, so the two actors are named one by one
    assert cli("featurize", actors, tmp_path / "no.h5").code == 3
    result = cli("featurize", corpora / "ravdess" / "Actor_02", tmp_path / "a.h5")
    assert result.code == 0, result.err
    rows = Store(tmp_path / "a.h5").items()
    assert len(rows) == 60
    assert {row.speaker for row in rows} == {"02"}
    assert {row.gender for row in rows} == {"female"}
    assert len({row.text for row in rows}) == 2
    assert Counter(row.label for row in rows)["neutral"] == 4
