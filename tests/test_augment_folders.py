"""Noise and rooms from folders of recordings, and the whole chain on stores of waveforms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import write_store

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.augmentations import recordings
from sertool.augmentations.noise import add_noise
from sertool.augmentations.recordings import scan, stretch
from sertool.augmentations.rooms import reverberant
from sertool.augmentations.wave import Noise, Reverb
from sertool.core.errors import InputError, ItemError
from sertool.core.seeds import rng
from sertool.formats.lineage import canonical
from sertool.formats.store import Store

RATE = 16000


def values(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def decibels(clean: np.ndarray, noisy: np.ndarray) -> float:
    wide = clean.astype(np.float64)
    return 10 * float(np.log10(np.mean(wide**2) / np.mean((noisy - wide) ** 2)))


def quiet(path: object, reason: str) -> None:
    raise AssertionError(f"{path}: {reason}")


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings: a long one, a short one, and one at 22 050 Hz; and no audio."""
    folder = tmp_path_factory.mktemp("noises")
    (folder / "in").mkdir()
    soundfile.write(folder / "long.wav", values(4000, 1), RATE, "FLOAT")
    soundfile.write(folder / "in" / "short.wav", values(300, 2), RATE, "FLOAT")
    soundfile.write(folder / "other.flac", values(3000, 3), 22050)
    (folder / "LICENSE").write_text("free")
    return folder


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    for k in range(2):
        response = values(900, k) * np.exp(-np.arange(900) / 150).astype(np.float32)
        response[40] = 0.9
        soundfile.write(folder / f"r{k}.wav", response, RATE, "FLOAT")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [
        {"id": f"c/{i}", "speaker": f"s{i}", "label": "anger", "fold": i % 2, "gender": "female"}
        for i in range(5)
    ]
    write_store(tmp_path / "w.h5", [values(1500 + i, i) for i in range(5)], rows, kind="wave")
    return tmp_path / "w.h5"


def by_id(path: Path) -> dict[str, tuple[np.ndarray, dict]]:
    with Store(path) as made:
        return {row.id: (made.features(i), row) for i, row in enumerate(made.items())}


# ---- noise


@settings(deadline=None)
@given(snr=st.floats(-20, 60), level=st.floats(1e-3, 0.5), seed=st.integers(0, 50))
def test_the_ratio_is_exact(snr: float, level: float, seed: int) -> None:
    clean, noise = values(700, seed), level * values(700, seed + 1)
    noisy, added = add_noise(clean, noise.copy(), snr)
    assert added
    assert decibels(clean, noisy) == pytest.approx(snr, abs=0.02)
    shape = np.corrcoef(noisy - clean, noise)[0, 1]
    assert shape > 0.99


def test_silence_has_no_ratio() -> None:
    for clean, noise in [(np.zeros(9, np.float32), values(9)), (values(9), np.zeros(9, "f"))]:
        noisy, added = add_noise(clean, noise, 10)
        assert not added
        np.testing.assert_array_equal(noisy, clean)


def test_the_order_is_that_of_the_content(noises: Path, tmp_path: Path) -> None:
    found = scan("noise", noises, quiet)
    assert [one.content for one in found.files] == sorted(one.content for one in found.files)
    assert {one.path.name for one in found.files} == {"long.wav", "short.wav", "other.flac"}
    for i, one in enumerate(found.files):  # other names, another order of names, a doubled file
        for k in range(1 + i % 2):
            shutil.copy(one.path, tmp_path / f"{9 - i}{k}{one.path.suffix}")
    again = scan("noise", tmp_path, quiet)
    assert again.recorded == found.recorded == {"files": 3, "sha256": again.recorded["sha256"]}
    assert [one.content for one in again.files] == [one.content for one in found.files]
    (tmp_path / "90.wav" if (tmp_path / "90.wav").exists() else tmp_path / "90.flac").unlink()
    assert scan("noise", tmp_path, quiet).recorded != found.recorded


def test_a_stretch_is_the_recordings_own(noises: Path) -> None:
    files = {one.path.name: one for one in scan("noise", noises, quiet).files}
    whole = waveform.to_float(audio.decode(noises / "long.wav").samples)
    places = set()
    for k in range(30):
        part, first = stretch(files["long.wav"], 1000, RATE, rng(k))
        np.testing.assert_array_equal(part, whole[first : first + 1000])
        places.add(first)
    assert len(places) > 20
    assert max(places) > 2500
    assert stretch(files["long.wav"], 4000, RATE, rng(0))[1] == 0
    short = waveform.to_float(audio.decode(noises / "in" / "short.wav").samples)
    part, first = stretch(files["short.wav"], 1000, RATE, rng(1))
    np.testing.assert_array_equal(part, [short[(first + i) % 300] for i in range(1000)])
    part, first = stretch(files["other.flac"], 1000, RATE, rng(1))
    source = waveform.to_float(audio.decode(noises / "other.flac").samples)[first:][:1379]
    np.testing.assert_array_equal(part, waveform.resample(source, 22050, RATE)[:1000])


def test_noise_is_what_was_drawn(noises: Path) -> None:
    part = Noise(noises, (5, 20)).prepared(RATE, quiet)
    files = {one.content: one for one in part.found.files}
    clean, used = values(1500, 9), set()
    for k in range(12):
        noisy, drawn = part(clean, RATE, rng(0, "c/x", k))
        assert 5 <= drawn["snr_db"] <= 20
        assert decibels(clean, noisy) == pytest.approx(drawn["snr_db"], abs=0.01)
        one = files[drawn["audio"]]
        used.add(one.path.name)
        if one.path.name == "long.wav":
            source = one.read(round(drawn["start"] * RATE), 1500)
            assert np.corrcoef(noisy - clean, source)[0, 1] > 0.999
    assert len(used) == 3
    assert part(np.zeros(50, np.float32), RATE, rng(0))[1]["snr_db"] is None


def test_folders_that_cannot_serve(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("no audio")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.wav").write_bytes(b"RIFF nonsense")
    soundfile.write(tmp_path / "bad" / "b.wav", np.zeros(100), RATE)
    for folder, said in [
        ("none", "no such folder"),
        ("text", "no audio files in it"),
        ("bad", "none of its recordings can be used"),
    ]:
        with pytest.raises(InputError, match=f"--reverb .*{said}"):
            scan("reverb", tmp_path / folder, lambda path, why: told.append(f"{path}: {why}"))
    assert len(told) == 2
    assert "silence" in told[1]


# ---- rooms


@settings(deadline=None)
@given(
    n=st.integers(1, 300),
    before=st.integers(0, 40),
    after=st.integers(0, 400),
    height=st.floats(0.01, 5),
)
def test_a_unit_impulse_changes_nothing(n: int, before: int, after: int, height: float) -> None:
    clean = values(n, n)
    response = np.zeros(before + 1 + after, np.float32)
    response[before] = height
    np.testing.assert_allclose(reverberant(clean, response), clean, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 400), m=st.integers(1, 300), seed=st.integers(0, 99))
def test_a_room_is_a_convolution_in_place_with_the_energy_kept(n: int, m: int, seed: int) -> None:
    clean, response = values(n, seed), values(m, seed + 100)
    made = reverberant(clean, response)
    direct = int(np.abs(response).argmax())
    wide, wet = clean.astype(np.float64), np.zeros(n)
    for i in range(n):
        for k in range(max(0, i + direct - n + 1), min(m, i + direct + 1)):
            wet[i] += response[k] * wide[i + direct - k]
    wet *= np.sqrt(np.sum(wide**2) / np.sum(wet**2))
    assert (made.shape, made.dtype) == ((n,), np.float32)
    np.testing.assert_allclose(made, wet, atol=2e-5 * np.abs(wet).max())
    assert np.sum(made.astype(float) ** 2) == pytest.approx(np.sum(wide**2), rel=1e-5)


def test_a_room_of_another_rate_and_silence(rooms: Path) -> None:
    part = Reverb(rooms).prepared(8000, quiet)
    impulse = np.zeros(400, np.float32)
    impulse[100] = 0.5
    made, drawn = part(impulse, 8000, rng(1))
    assert int(np.abs(made).argmax()) == 100
    assert drawn["audio"] in {one.content for one in part.found.files}
    assert not part(np.zeros(30, np.float32), 8000, rng(1))[0].any()
    assert part.recorded == [part.found.recorded]


def test_of_several_microphones_the_first_is_the_room(tmp_path: Path) -> None:
    responses = np.zeros((200, 4), np.float32)
    responses[[10, 13, 16, 19], range(4)] = 0.9  # each hears the direct sound at its own time
    soundfile.write(tmp_path / "array.wav", responses, RATE, "FLOAT")
    part = Reverb(tmp_path).prepared(RATE, quiet)
    clean = values(500)
    made, _ = part(clean, RATE, rng(1))
    np.testing.assert_allclose(made, clean, atol=1e-6)


# ---- the stage


def test_a_recording_that_vanishes_stops_the_run(
    cli, store: Path, noises: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ItemError("no such file")

    found = recordings.scan("noise", noises, quiet)
    monkeypatch.setattr(recordings, "scan", lambda *_: found)
    monkeypatch.setattr(recordings, "decode", gone)
    out = tmp_path / "v.h5"
    result = cli("augment", "--noise", noises, "--noise-snr", "5:10", "-j", 1, store, out)
    assert result.code == 3
    assert "no such file, though it could be read at the start" in result.err
    assert not out.exists()


def test_no_item_of_the_part(cli, tmp_path: Path) -> None:
    rows = [{"id": "c/1", "label": "anger", "part": "train"}]
    write_store(tmp_path / "p.h5", [values(900)], rows, kind="wave")
    result = cli("augment", "--awgn", 9, "--part", "val", tmp_path / "p.h5", tmp_path / "o.h5")
    assert result.code == 3
    assert "no items of part val to copy; there are 1 train" in result.err


def whole_chain(noises: Path, rooms: Path) -> list[object]:
    return [
        *("--pitch", "-2:2", "--time-stretch", "0.9:1.1", "--shift", 0.1, "--reverb", rooms),
        *("--noise", noises, "--noise-snr", "5:20", "--awgn", "20:30", "--gain", "-6:6"),
        *("--band-pass", "200-400:3000-4000", "--codec", "mp3,ogg,mulaw", "--copies", 2),
    ]


def test_same_seed_same_bytes(cli, store: Path, noises: Path, rooms: Path, tmp_path: Path) -> None:
    """Whatever the workers, the order of options, and the place and the names of the folders."""
    chain, first = whole_chain(noises, rooms), tmp_path / "1.h5"
    assert cli("augment", *chain, "-j", 1, store, first).code == 0
    (tmp_path / "moved").mkdir()
    for i, one in enumerate(scan("noise", noises, quiet).files):
        shutil.copy(one.path, tmp_path / "moved" / f"{9 - i}{one.path.suffix}")
    moved = whole_chain(tmp_path / "moved", rooms)
    moved = moved[-4:] + moved[:-4]
    assert cli("augment", *moved, "-j", 2, store, tmp_path / "2.h5").code == 0
    assert first.read_bytes() == (tmp_path / "2.h5").read_bytes()
    again = cli("augment", *moved, "--resume", store, first)
    assert "already complete" in again.err
    other = cli("augment", *chain, "--noise-snr", "6:20", "--resume", store, first)
    assert other.code == 3

    made = by_id(first)
    names = ["pitch", "time-stretch", "shift", "reverb", "noise", "awgn", "band-pass", "gain"]
    with Store(first) as found:
        steps = dict(found.pipeline[-1]["steps"])
        assert list(steps) == [*names, "codec"]
        assert steps["noise"][1:] == [5, 20]
        assert steps["noise"][0]["files"] == 3
        assert str(tmp_path) not in canonical(found.lineage)
    contents = {one.content for one in scan("noise", noises, quiet).files}
    drawn = set()
    for name, (samples, row) in made.items():
        if "~" not in name:
            np.testing.assert_array_equal(samples, by_id(store)[name][0])
            continue
        origin = by_id(store)[name[:-2]]
        told = json.loads(row.augmentation)
        drawn.add(row.augmentation)
        assert len(samples) == round(len(origin[0]) / told["time-stretch"]["speed"])
        assert told["noise"]["audio"] in contents
        for field in ("label", "fold", "speaker", "gender", "origin"):
            assert getattr(row, field) == getattr(origin[1], field)
        assert row.fold is not None
    assert len(drawn) == 10


def test_a_draw_is_the_items_own(cli, store: Path, noises: Path, tmp_path: Path) -> None:
    """Neither other items nor their order change a copy; the seed does."""
    with Store(store) as found:
        rows, arrays = found.items(), [found.features(i) for i in range(5)]
    kept = [3, 1]
    few = tmp_path / "few.h5"
    write_store(few, [arrays[i] for i in kept], [rows[i] for i in kept], kind="wave")
    asked = ("--noise", noises, "--gain", "-6:6", "--shift", 0.5)
    for source, name, seed in [(store, "a", 0), (few, "b", 0), (few, "c", 1)]:
        assert cli("augment", *asked, "--seed", seed, source, tmp_path / f"{name}.h5").code == 0
    a, b, c = (by_id(tmp_path / f"{name}.h5") for name in "abc")
    for name in ("c/1~1", "c/3~1"):
        np.testing.assert_array_equal(a[name][0], b[name][0])
        assert a[name][1].augmentation == b[name][1].augmentation
        assert not np.array_equal(b[name][0], c[name][0])


def test_what_is_odd_is_told(cli, tmp_path: Path, noises: Path) -> None:
    items = [{"id": f"c/{i}"} for i in range(3)]
    sounds = [np.rint(32768 * values(500, i)).astype(np.int16) for i in range(2)]
    write_store(tmp_path / "w.h5", [*sounds, np.zeros(400, np.int16)], items, kind="wave")
    shutil.copytree(noises, tmp_path / "noises")
    (tmp_path / "noises" / "broken.wav").write_bytes(b"RIFF nothing")
    asked = ("--noise", tmp_path / "noises", "--gain", "40")
    result = cli("augment", *asked, tmp_path / "w.h5", tmp_path / "o.h5")
    assert result.code == 1
    assert "broken.wav: " in result.err
    assert "1 copies got no noise" in result.err
    assert "2 copies exceed full scale" in result.err
    assert np.abs(by_id(tmp_path / "o.h5")["c/0~1"][0].astype(int)).max() == 32768


def test_refused(cli, store: Path, noises: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    (tmp_path / "empty").mkdir()
    write_store(
        tmp_path / "p.h5", [np.zeros((1, 4, 4, 1), np.uint8)], [{"id": "c/0"}], kind="image"
    )
    for asked, code, said in [
        (("--pitch", "x", store), 2, "--pitch x: needs LOW:HIGH"),
        (
            ("--pitch", "-99:0", store),
            2,
            "--pitch -99:0: needs LOW:HIGH, two numbers, -48",
        ),
        (("--time-stretch", "2:1", store), 2, "--time-stretch 2:1: needs LOW <= HIGH"),
        (("--time-stretch", "0:1", store), 2, "--time-stretch"),
        (("--gain", "500", store), 2, "--gain 500: needs"),
        (("--shift", 1.5, store), 2, "shift 1.5"),
        (("--band-pass", "300", store), 2, "--band-pass 300: write LOW:HIGH"),
        (("--band-pass", "a-b:3", store), 2, "--band-pass a-b:3: write"),
        (("--band-pass", "500:300", store), 2, "--band-pass 500:300: needs"),
        (("--band-pass", "300:9000", store), 2, "below 8000 Hz"),
        (("--codec", "aac", store), 2, "--codec aac: needs mp3, ogg"),
        (("--noise-snr", "5:10", store), 2, "--noise FOLDER"),
        (("--noise", noises, "--noise-snr", "10:5", store), 2, "--noise-snr 10:5"),
        (("--noise", noises, "--noise-snr", "900", store), 2, "--noise-snr 900: needs"),
        (("--noise", noises, tmp_path / "p.h5"), 2, "noise: not for pictures"),
        (("--spec-augment", "time-mask=4", store), 2, "time-mask: not for waveforms"),
        (("--spec-augment", "awgn=9:9", store), 2, "--spec-augment awgn: needs time-stretch or"),
        (("--noise", tmp_path / "empty", store), 3, "--noise"),
        (("--reverb", tmp_path / "empty", store), 3, "no audio files in it"),
        (("--reverb", tmp_path / "none", store), 3, "no such folder"),
    ]:
        result = cli("augment", *asked, out)
        assert (result.code, result.err.count("\n")) == (code, 1), result.err
        assert said in result.err
        assert not out.exists()


def test_predict_leaves_it_out(
    cli, sounds: Path, noises: Path, rooms: Path, tmp_path: Path
) -> None:
    """A model of changed sound says of a file what eval says of its features as they are."""
    wave, more, mel = (tmp_path / f"{name}.h5" for name in ("w", "a", "m"))
    ckpt, said = tmp_path / "m.ckpt", tmp_path / "r.json"
    assert cli("featurize", "--kind", "wave", "-j", 1, sounds, wave).code == 0
    chain = whole_chain(noises, rooms)
    assert cli("augment", *chain, "-j", 1, wave, more).code == 0
    assert cli("featurize", "--kind", "mel", "--set", "n_mels=16", "-j", 1, more, mel).code == 0
    assert len(Store(mel)) == 36
    assert cli("train", mel, ckpt, "--no-baselines").code == 0
    assert cli("eval", "--all", ckpt, mel, "--json", said).code == 0
    report = json.loads(said.read_text())
    assert report["protocol"]["train_augmented"] is True
    wanted = {row["id"]: row["posterior"] for row in report["items"]}
    files = sorted(sounds.rglob("*.wav"))[:3]
    for path, line in zip(
        files, cli("predict", "--vad", "off", ckpt, *files).out.splitlines(), strict=True
    ):
        name = next(n for n in wanted if n.endswith(f"{path.parent.name}/{path.stem}"))
        assert json.loads(line)["posterior"] == pytest.approx(wanted[name], abs=1e-6)


def test_help_reads_well(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    said = " ".join(cli("augment", "--help").out.replace("│", " ").split())
    for word in ("--time-stretch", "--noise-snr", "2 halves the duration", "time-mask=T:N:P"):
        assert word in said
