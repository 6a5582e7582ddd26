"""All of a recording is heard, each row says what was, and nobody's silence has a label."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
import soundfile
from made_reports import evaluate

from sertool.audio import listening
from sertool.audio.decoding import decode
from sertool.audio.listening import InParts, Whole, listen, open_recording
from sertool.audio.waveform import resample
from sertool.core.errors import UsageError
from sertool.evaluation import course
from sertool.evaluation import predictor as predicting
from sertool.evaluation.options import EvalOptions, PredictOptions
from sertool.evaluation.predictions import Prediction
from sertool.features import hearing
from sertool.features.hearing import Hearing
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.items import Item
from sertool.ui.console import Console

RATE = 8000
LENGTH = 11025 * 100 + 777
CROP = 0.5  # seconds that the model was trained on
SPEC = replace(made.SPEC, offset=0.1, duration=CROP)
ROOT = Path(__file__).resolve().parent.parent
SPOKEN = ROOT / "data/demo/corpus/spk01/spk01_anger_s3_r1.flac"


def tones(seconds: float, seed: int = 0) -> np.ndarray:
    """A melody of tones, a new one every 0.2 s: its windows have different posteriors."""
    random = np.random.default_rng(seed)
    length = RATE // 5
    time = np.arange(length) / RATE
    notes = [
        0.2 * np.sin(2 * np.pi * random.uniform(200, 1200) * time) for _ in range(int(seconds * 5))
    ]
    wave = np.concatenate(notes)
    return (wave + 0.02 * random.standard_normal(len(wave))).astype(np.float32)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A model trained on crops of half a second, and recordings of many lengths."""
    folder = tmp_path_factory.mktemp("heard")
    items = made.corpus(folder / "wav", speakers=3)
    made.store(folder / "crops.h5", folder / "wav", items, SPEC)
    made.train(
        folder / "crops.h5", folder / "m.ckpt", lambda i: "test" if i.speaker == "s2" else "train"
    )
    (folder / "long").mkdir()
    for i, seconds in enumerate((0.2, 0.4, 0.6, 1.0, 2.2, 7.0)):
        soundfile.write(folder / "long" / f"{i}.wav", tones(seconds, i), RATE, "PCM_16")
    return folder


def rows(result):
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def heard(toy, cli, path, *options, vad="off"):
    return rows(cli("predict", toy / "m.ckpt", path, "--vad", vad, *options))


# --- the deceptions ---


def test_a_long_recording_is_not_its_beginning(toy, cli, tmp_path):
    sound = tones(7.0)
    soundfile.write(tmp_path / "long.wav", sound, RATE, "PCM_16")
    soundfile.write(tmp_path / "crop.wav", sound[: RATE // 2], RATE, "PCM_16")
    (long,), (crop,) = (heard(toy, cli, tmp_path / f"{n}.wav") for n in ("long", "crop"))
    assert max(abs(long["posterior"][c] - crop["posterior"][c]) for c in made.CLASSES) > 1e-3
    assert (long["heard"], long["duration"], long["windows"]) == (7.0, 7.0, 27)
    assert (crop["heard"], crop["duration"], crop["windows"]) == (0.5, 0.5, 1)
    assert long["speech"] is None
    (whole,) = heard(toy, cli, tmp_path / "long.wav", "--whole-crop")
    assert (whole["heard"], whole["duration"], whole["windows"]) == (0.5, 7.0, 1)


@pytest.mark.parametrize("seconds", [3, 70])
def test_silence_has_no_emotion(toy, cli, tmp_path, seconds):
    for name, sound in (
        ("zeros", np.zeros(seconds * RATE)),
        ("noise", 0.03 * np.random.default_rng(0).standard_normal(seconds * RATE)),
    ):
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE, "PCM_16")
    result = cli("predict", toy / "m.ckpt", tmp_path)
    for row in rows(result):
        assert (row["label"], row["confidence"], row["posterior"]) == (None, None, None)
        assert (row["speech"], row["heard"], row["windows"]) == (0.0, 0.0, 0)
        assert (row["vad"], row["duration"]) == ("energy", seconds)
    assert "2 of 2 rows without a label: no speech (--vad energy)" in result.err
    for options in (["--pool", "none"], ["--window", "1"]):
        found = rows(cli("predict", toy / "m.ckpt", tmp_path / "noise.wav", *options))
        assert {row["label"] for row in found} == {None}
        assert {row["speech"] for row in found} == {0.0}
    assert rows(cli("predict", toy / "m.ckpt", tmp_path / "noise.wav", "--segments")) == []
    (crop,) = rows(cli("predict", toy / "m.ckpt", tmp_path / "noise.wav", "--whole-crop"))
    assert (crop["label"], crop["speech"]) == (None, 0.0)


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_noise_does_not_enter_the_mean(toy, cli, tmp_path, form):
    """Speech of a second in 90 s of noise: its windows alone are heard."""
    said, rate = soundfile.read(SPOKEN, dtype="float32")
    sound = 0.001 * np.random.default_rng(0).standard_normal(90 * rate)
    sound[40 * rate : 40 * rate + len(said)] += said
    path = tmp_path / f"call.{form}"
    soundfile.write(path, sound, rate, "PCM_16")
    (row,) = heard(toy, cli, path, vad="energy")
    assert row["label"] is not None
    assert row["duration"] == 90.0
    assert 1.0 <= row["heard"] <= len(said) / rate + 2 * CROP
    assert 0.5 < row["speech"] < 1
    windows = heard(toy, cli, path, "--pool", "none", vad="energy")
    spoken = [one for one in windows if one["label"]]
    assert (len(windows), len(spoken)) == (359, row["windows"])
    assert all(39 < one["start"] < one["end"] < 43 for one in spoken)
    mean = np.mean([list(one["posterior"].values()) for one in spoken], 0)
    np.testing.assert_allclose(list(row["posterior"].values()), mean, atol=1e-9)
    segments = heard(toy, cli, path, "--segments", vad="energy")
    assert all(39.8 < one["start"] < one["end"] < 42 for one in segments)
    assert all(one["speech"] == pytest.approx(1.0) for one in segments)
    assert all(one["heard"] == pytest.approx(one["end"] - one["start"]) for one in segments)


# --- windows ---


@pytest.mark.parametrize("pool", ["mean", "max", "vote"])
@pytest.mark.parametrize("rate", [RATE, 11025])
def test_windows_are_those_of_a_store_and_pooled_as_eval_pools(toy, cli, tmp_path, pool, rate):
    """Files of 0.2 to 70 s, one too long to be in memory, at the model's rate and another."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    items = []
    for i, seconds in enumerate((0.2, 0.6, 1.0, 2.2, 70.1)):
        sound = resample(tones(seconds, i), RATE, rate)
        name = f"{i}.wav"
        soundfile.write(folder / name, sound, rate, "PCM_16")
        items.append(Item(f"x/{i}", name, corpus="x", speaker=str(i), label=made.CLASSES[i % 3]))
    cut = replace(made.SPEC, segment=CROP, segment_hop=CROP / 2, segment_tail="align")
    store = made.store(tmp_path / "windows.h5", folder, items, cut)
    options = EvalOptions(all=True, pool=pool)
    report = evaluate([toy / "m.ckpt"], store, options, Console.silent())
    expected = {item["id"].removeprefix("x/"): item for item in report["items"]}
    assert len(expected) == len(items)
    for row in heard(toy, cli, folder, "--pool", pool):
        item = expected[Path(row["path"]).stem]
        assert row["posterior"] == pytest.approx(item["posterior"], abs=1e-6)
        assert row["label"] == item["prediction"]


def test_a_store_of_windows_is_tested_by_what_was_held_out(toy, tmp_path, capfd):
    cut = replace(made.SPEC, segment=CROP, segment_hop=CROP / 2)
    items = made.corpus(toy / "wav", speakers=3)
    store = made.store(tmp_path / "windows.h5", toy / "wav", items, cut)
    report = evaluate([toy / "m.ckpt"], store, EvalOptions(), Console("eval"))
    assert {item["id"][:6] for item in report["items"]} == {"toy/s2"}
    assert len(report["items"]) == 6
    assert "files_split" not in report["protocol"]
    assert "crop" not in report["store"]
    assert "never saw" not in capfd.readouterr().err
    for hop in (CROP, 0.2):
        other = made.store(
            tmp_path / f"{hop}.h5", toy / "wav", items, replace(cut, segment_hop=hop)
        )
        with pytest.raises(Exception, match="not the features"):
            evaluate([toy / "m.ckpt"], other, EvalOptions(), Console.silent())


def test_a_store_of_crops_says_what_it_leaves_out(toy, cli, tmp_path):
    result = cli("eval", toy / "m.ckpt", toy / "crops.h5", "--json", tmp_path / "r.json")
    assert result.code == 0, result.err
    assert "0.1 to 0.6 s of each recording only" in result.out
    assert json.loads((tmp_path / "r.json").read_text())["store"]["crop"] == [0.1, 0.6]
    assert "0.1 to 0.6 s of each" in cli("info", tmp_path / "r.json").out


@pytest.mark.parametrize(
    ("stage", "total", "expected"),
    [
        ({"duration": 1.0, "offset": 0.5}, 1600, [(0, 1000), (500, 1500), (600, 1600)]),
        ({"duration": 1.0}, 1000, [(0, 1000)]),
        ({"duration": 1.0}, 400, [(0, 1000)]),
        ({"duration": 1.0, "fit": "crop"}, 400, [(0, 400)]),
        ({"duration": 1.0, "fit": "crop"}, 1200, [(0, 1000), (200, 1200)]),
        ({"duration": 1.0, "fit": "pad"}, 400, [(0, 1000)]),
        ({"duration": 1.0, "fit": "pad"}, 1900, [(0, 1900)]),
        ({}, 1900, [(0, 1900)]),
        ({}, 130_000, [(0, 43333), (43333, 86666), (86666, 130000)]),
        ({"segment": 1.0, "segment_tail": "drop"}, 2600, [(0, 1000), (1000, 2000)]),
        ({"segment": 1.0, "duration": 2.0}, 2600, [(0, 1000), (1000, 2000), (1600, 2600)]),
        ({"segment_max": 1.0}, 2600, [(0, 866), (866, 1733), (1733, 2600)]),
    ],
)  # fmt: skip
def test_which_windows_a_pipeline_hears(stage, total, expected):
    how = Hearing(Pipeline((Stage("wave", sample_rate=1000, **stage),)))
    listened = listening.Listened(1000, total)
    assert how._windows(listened) == expected
    chained = (Stage("wave", sample_rate=1000), Stage("wave", sample_rate=1000, **stage))
    if "segment" in stage and "duration" not in stage:
        assert Hearing(Pipeline(chained))._windows(listened) == expected


def test_a_window_of_ones_own(toy, cli):
    path = toy / "long" / "5.wav"
    result = cli("predict", toy / "m.ckpt", path, "--vad", "off", "--window", "1")
    assert result.err.count("--window 1: the model was trained on 0.5 s") == 1
    found = rows(result)
    assert [row["windows"] for row in found] == [3] * 7
    assert [row["heard"] for row in found] == pytest.approx([1.0] * 7)
    same = cli("predict", toy / "m.ckpt", path, "--window", "0.5", "--hop", "0.25", "--vad", "off")
    assert "trained on" not in same.err
    each = heard(toy, cli, path, "--pool", "none")
    for row, other in zip(rows(same), each, strict=True):
        assert row["posterior"] == pytest.approx(other["posterior"], abs=1e-9)
        assert (row["start"], row["end"]) == pytest.approx((other["start"], other["end"]))


def test_the_old_behaviour_is_there_for_those_who_ask(toy, cli):
    pipeline = Pipeline((SPEC,))
    for path in sorted((toy / "long").iterdir())[2:]:
        (row,) = heard(toy, cli, path, "--whole-crop")
        decoded = decode(path)
        (array,) = pipeline.arrays(decoded.samples, decoded.sample_rate)
        scorer = predicting.Predictor(
            toy / "m.ckpt", predicting.checkpoint.load(toy / "m.ckpt"), PredictOptions()
        ).load()
        expected = scorer.posterior([array])[0]
        assert list(row["posterior"].values()) == expected.tolist()


def test_whole_crop_of_a_long_recording_reads_its_beginning(toy, cli, tmp_path, monkeypatch):
    sound = tones(75.0)
    soundfile.write(tmp_path / "long.wav", sound, RATE, "PCM_16")
    soundfile.write(tmp_path / "short.wav", sound[: 5 * RATE], RATE, "PCM_16")
    (short,) = heard(toy, cli, tmp_path / "short.wav", "--whole-crop")
    monkeypatch.setattr(listening, "decode", None)  # which reads all of it
    (long,) = heard(toy, cli, tmp_path / "long.wav", "--whole-crop")
    assert long["posterior"] == short["posterior"]
    assert (long["duration"], long["heard"]) == (75.0, 0.5)


@pytest.mark.parametrize("vad", ["off", "energy"])
def test_a_manifests_cut_is_heard_alone(toy, cli, tmp_path, monkeypatch, vad):
    sound = tones(150.0)
    soundfile.write(tmp_path / "a.wav", sound, RATE, "PCM_16")
    for first, last in ((10, 12), (20.5, 95.5), (60, None)):
        cut = sound[int(first * RATE) : None if last is None else int(last * RATE)]
        soundfile.write(tmp_path / "cut.wav", cut, RATE, "PCM_16")
        line = json.dumps({"id": "x", "path": str(tmp_path / "a.wav"), "start": first, "end": last})
        (tmp_path / "list").write_text(line + "\n")
        with open(tmp_path / "list") as file:
            monkeypatch.setattr(sys, "stdin", file)
            (row,) = heard(toy, cli, "-", vad=vad)
        (alone,) = heard(toy, cli, tmp_path / "cut.wav", vad=vad)
        assert row["posterior"] == pytest.approx(alone["posterior"], abs=1e-9)
        assert row["duration"] == alone["duration"] == len(cut) / RATE
        assert row["heard"] == pytest.approx(alone["heard"])


def test_workers_and_batches_change_nothing(toy, cli, tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(70.0), RATE, "PCM_16")
    soundfile.write(tmp_path / "b.wav", tones(3.0), RATE, "PCM_16")
    for options in ([], ["--pool", "none"], ["--segments"], ["--window", "2"]):
        one = cli("predict", toy / "m.ckpt", tmp_path, *options).out
        assert cli("predict", toy / "m.ckpt", tmp_path, *options, "-j", 2).out == one
        many = rows(cli("predict", toy / "m.ckpt", tmp_path, *options, "--batch-size", 7))
        for row, other in zip(map(json.loads, one.splitlines()), many, strict=True):
            assert row["posterior"] == pytest.approx(other["posterior"], abs=1e-6)


def test_reject(toy, cli):
    found = heard(toy, cli, toy / "long")
    sure = sorted(row["confidence"] for row in found)
    result = cli("predict", toy / "m.ckpt", toy / "long", "--vad", "off", "--reject", sure[3])
    assert "not calibrated" in result.err
    assert "3 of 6 rows without a label: confidence below --reject" in result.err
    for row, other in zip(rows(result), found, strict=True):
        assert row["label"] == (other["label"] if other["confidence"] >= sure[3] else None)
        assert row["posterior"] == other["posterior"]


@pytest.mark.parametrize(
    "options",
    [
        {"segments": True, "window": 1.0},
        {"segments": True, "vad": "off"},
        {"pool": "none", "window": 1.0},
        {"pool": "none", "segments": True},
        {"whole_crop": True, "window": 1.0},
        {"whole_crop": True, "pool": "none"},
        {"vad": "ears"},
        {"pool": "median"},
        {"reject": 1.5},
        {"by_speaker": Path("x"), "segments": True},
        {"by_speaker": Path("x"), "pool": "none"},
    ],
)
def test_options_that_contradict_each_other(options):
    with pytest.raises(UsageError):
        PredictOptions(**options)


def test_a_detector_that_is_missing_is_an_error(toy, cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    result = cli("predict", toy / "m.ckpt", toy / "long", "--vad", "webrtc")
    assert (result.code, result.out) == (3, "")
    assert "pip install 'sertool[webrtc]'" in result.err
    assert "Traceback" not in result.err


def test_featurize_counts_crops_as_it_counts_padding(toy, cli, tmp_path):
    folder = toy / "long"
    result = cli("featurize", "--kind", "wave", "--duration", "0.6", folder, tmp_path / "x.h5")
    assert "3 cropped: only their beginning is kept; 2 zero-padded" in result.err
    result = cli("featurize", "--kind", "wave", "--duration", "9", folder, tmp_path / "y.h5")
    assert "cropped" not in result.err


# --- channels ---


@pytest.fixture
def call(tmp_path):
    """Two channels, 8 s: a melody in the left, first silence and then another in the right."""
    path = tmp_path / "call.wav"
    left, right = tones(8.0, 1), tones(8.0, 2)
    right[: 4 * RATE] = 0
    soundfile.write(path, np.stack([left, right], 1), RATE, "PCM_16")
    for name, samples in (("left", left), ("right", right), ("mix", (left + right) / 2)):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, "FLOAT")
    return path


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(
    "options", [[], ["--window", "2"], ["--segments"], ["--pool", "none"], ["--whole-crop"]]
)
def test_each_channel_is_heard_as_a_recording(toy, cli, call, monkeypatch, options, long):
    if long:
        monkeypatch.setattr(listening, "LONG", 0.1)
    each = heard(toy, cli, call, "--channel", "each", *options, vad="energy")
    alone = []
    for name in ("left", "right"):
        for row in heard(toy, cli, call.parent / f"{name}.wav", *options, vad="energy"):
            alone.append(row | {"path": str(call), "channel": name})
        chosen = heard(toy, cli, call, "--channel", name, *options, vad="energy")
        assert [row for row in each if row["channel"] == name] == chosen
    assert len(each) == len(alone)
    for row, other in zip(each, alone, strict=True):
        assert (row["label"], row["channel"]) == (other["label"], other["channel"])
        if row["label"] is not None:
            assert row["posterior"] == pytest.approx(other["posterior"], abs=1e-3)  # 16 bits
    right = [row for row in each if row["channel"] == "right"]
    assert any(row["label"] for row in right) or "--whole-crop" in options


def test_channels_have_names_and_numbers(toy, cli, tmp_path, call):
    soundfile.write(tmp_path / "three.wav", np.zeros((800, 3)), RATE)
    soundfile.write(tmp_path / "one.wav", np.zeros(800), RATE)
    (tmp_path / "none.wav").write_text("no sound")
    for name, expected in (("three", ["1", "2", "3"]), ("one", ["1"]), ("call", ["left", "right"])):
        found = heard(toy, cli, tmp_path / f"{name}.wav", "--channel", "each")
        assert [row["channel"] for row in found] == expected
    assert "channel" not in heard(toy, cli, call)[0]
    result = cli("predict", toy / "m.ckpt", tmp_path / "none.wav", "--channel", "each")
    assert (result.code, result.out.count("error")) == (1, 1)
    text = cli("predict", toy / "m.ckpt", call, "--channel", "each", "--format", "csv").out
    assert [line.split(",")[-5] for line in text.splitlines()] == ["channel", "left", "right"]


@pytest.mark.parametrize("form", ["raw", "wav", "ulaw"])
def test_a_stream_of_two_channels(toy, cli, call, monkeypatch, tmp_path, form):
    samples, _ = soundfile.read(call, dtype="int16")
    path, options = tmp_path / "in", ["--window", "2", "--channel", "each", "--vad", "off"]
    more = ["--sample-rate", RATE, "--channels", 2] if form == "raw" else []
    if form == "raw":
        path.write_bytes(samples.tobytes())
    else:
        soundfile.write(path, samples, RATE, "ULAW" if form == "ulaw" else "PCM_16", format="WAV")
    with open(path, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        found = rows(cli("predict", toy / "m.ckpt", "-", "--stream", *more, *options))
    expected = rows(cli("predict", toy / "m.ckpt", call, *options))
    expected.sort(key=lambda row: (row["start"], row["channel"]))
    keys = [(row["start"], row["channel"]) for row in found]
    assert keys == [(row["start"], row["channel"]) for row in expected]
    for row, other in zip(found, expected, strict=True):
        near = 0.2 if form == "ulaw" else 1e-6
        assert row["posterior"] == pytest.approx(other["posterior"], abs=near)
    assert cli("predict", toy / "m.ckpt", call, "--channels", 2).code == 2


# --- speakers ---

RTTM = """\
;; a comment
SPEAKER call 1 0.5 1.5 <NA> <NA> anna <NA> <NA>
SPEAKER call 1 4.25 2.0 <NA> <NA> ben <NA> <NA>
SPKR-INFO call 1 <NA> <NA> <NA> unknown anna <NA> <NA>
SPEAKER call 1 2.0 0.75 <NA> <NA> anna <NA> <NA>
SPEAKER call 1 7.5 9.0 <NA> <NA> anna <NA> <NA>
SPEAKER other 1 0 9 <NA> <NA> carl <NA> <NA>
"""
TABLE = """\
\ufeffStart; end ; speaker
0.5;2;anna
4.25;6.25;ben
2;2.75;anna
7.5;16.5;anna
"""


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("name", ["turns.rttm", "turns.csv"])
def test_turns_and_speakers_have_rows(toy, cli, call, tmp_path, monkeypatch, name, long):
    if long:
        monkeypatch.setattr(listening, "LONG", 0.1)
    (tmp_path / name).write_text(RTTM if name.endswith("rttm") else TABLE, encoding="utf-8")
    found = heard(toy, cli, call, "--by-speaker", tmp_path / name)
    spans = [(row.get("start"), row.get("end"), row["speaker"]) for row in found]
    assert spans == [
        (0.5, 2.0, "anna"),
        (2.0, 2.75, "anna"),
        (4.25, 6.25, "ben"),
        (7.5, 8.0, "anna"),
        (None, None, "anna"),
        (None, None, "ben"),
    ]
    samples, _ = soundfile.read(call, dtype="float32")
    for row in found[:4]:
        part = samples[round(row["start"] * RATE) : round(row["end"] * RATE)]
        soundfile.write(tmp_path / "part.wav", part, RATE, "FLOAT")
        (alone,) = heard(toy, cli, tmp_path / "part.wav")
        assert row["posterior"] == pytest.approx(alone["posterior"], abs=1e-6)
    anna = [found[0], found[1], found[3]]
    assert found[4]["windows"] == sum(row["windows"] for row in anna)
    assert found[4]["heard"] == pytest.approx(2.75)
    mean = sum(row["windows"] * np.array(list(row["posterior"].values())) for row in anna)
    mean /= found[4]["windows"]
    np.testing.assert_allclose(list(found[4]["posterior"].values()), mean, atol=1e-9)
    assert found[5]["posterior"] == pytest.approx(found[2]["posterior"])
    quiet = heard(
        toy, cli, call, "--channel", "right", "--by-speaker", tmp_path / name, vad="energy"
    )
    assert [row["label"] is None for row in quiet[:2]] == [True, True]
    assert (quiet[0]["speech"], quiet[4]["heard"]) == (0.0, quiet[3]["heard"])


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.csv", "start,end,name\n1,2,x", "no column speaker"),
        ("a.csv", "start,end,speaker\n", "no turns"),
        ("a.csv", "start,end,speaker\n2,1,x", "from 2 to 1"),
        ("a.csv", "start,end,speaker\nx,1,x", "could not convert"),
        ("a.rttm", "SPEAKER call 1 2", "4 columns"),
        ("none.rttm", None, "No such file"),
    ],
)
def test_a_file_of_no_turns_is_refused(toy, cli, call, tmp_path, name, text, word):
    if text is not None:
        (tmp_path / name).write_text(text)
    result = cli("predict", toy / "m.ckpt", call, "--by-speaker", tmp_path / name)
    assert (result.code, result.out) == (3, "")
    assert word in result.err
    assert "Traceback" not in result.err


def test_a_recording_without_turns_is_said(toy, cli, call, tmp_path):
    (tmp_path / "turns.rttm").write_text(RTTM.replace(" call ", " nobody "))
    result = cli("predict", toy / "m.ckpt", call, "--by-speaker", tmp_path / "turns.rttm")
    assert result.code == 1
    assert "no turns of this recording" in result.err


# --- the figure ---


def row(start, end, share, channel=None):
    shares = None if share is None else {"anger": share, "sadness": 1 - share}
    label = None if share is None else "anger"
    given = "a.wav", label, share, shares, 3.0, 1.0, 1.0, 1, "energy", "m@0"
    return Prediction(*given, start, end, {"channel": channel})


def test_what_is_drawn_of_each_row():
    times, values = course.steps(
        [row(0, 2, 0.25), row(1, 3, 0.75), row(3, 4, None), row(5, 6, 1.0)]
    )
    assert times.tolist() == [0, 1, 3, 4, 5, 6]
    assert values[:, 0].tolist() == [0.25, 0.75, 0, 0, 1.0, 0]
    assert values[:, 1].tolist() == [0.75, 0.25, 0, 0, 0, 0]
    assert course._clock(125) == "2:05"
    assert course._clock(0.5) == "0.5 s"


@pytest.mark.parametrize("name", ["call.png", "call.svg"])
def test_a_figure_of_a_call(toy, cli, call, tmp_path, name):
    words = ["predict", toy / "m.ckpt", call, "--pool", "none", "--channel", "each"]
    result = cli(*words, "--figure", tmp_path / name)
    assert result.code == 0, result.err
    content = (tmp_path / name).read_bytes()
    assert len(content) > 5000
    if name.endswith("svg"):
        for text in (b"posterior, left", b"posterior, right", b"no speech", b"anger", b"linear@"):
            assert text in content
    assert cli(*words, "--figure", tmp_path / name).code == 3
    assert cli(*words, "--figure", tmp_path / name, "--force").code == 0
    assert (tmp_path / name).read_bytes() == content
    assert cli(*words, "--figure", tmp_path / "call.pdf").code == 2
    assert cli(*words[:3], "--figure", tmp_path / "x.png").code == 2
    several = cli(*words, toy / "long" / "3.wav", "--figure", tmp_path / "y.png")
    assert (several.code, (tmp_path / "y.png").exists()) == (3, False)
    assert "one recording" in several.err


# --- reading in parts ---


@pytest.mark.parametrize("vad", ["off", "energy"])
@pytest.mark.parametrize(
    "options", [[], ["--pool", "vote"], ["--pool", "none"], ["--segments"], ["--window", "0.7"]]
)
def test_how_a_recording_is_read_changes_nothing(toy, cli, monkeypatch, options, vad):
    if (options, vad) == (["--segments"], "off"):
        return
    short = heard(toy, cli, toy / "long", *options, vad=vad)
    monkeypatch.setattr(listening, "LONG", 0.1)
    monkeypatch.setattr(listening, "BLOCK", 1)
    monkeypatch.setattr(hearing, "MANY", 4)
    parts = heard(toy, cli, toy / "long", *options, vad=vad)
    for row, other in zip(parts, short, strict=True):
        assert row["posterior"] == pytest.approx(other["posterior"], abs=1e-9)
        del row["posterior"], other["posterior"], row["confidence"], other["confidence"]
        assert row == other


@pytest.fixture
def long(tmp_path):
    path = tmp_path / "long.flac"
    random = np.random.default_rng(0)
    left = 0.1 * random.standard_normal(LENGTH)
    soundfile.write(path, np.stack([left, -0.5 * left], 1), 11025, "PCM_16")
    return path


@pytest.mark.parametrize("channel", ["mix", "left", "right"])
@pytest.mark.parametrize("cut", [(None, None), (7.25, 93.5), (0.0, 80.0)])
def test_parts_are_those_of_the_whole(long, channel, cut):
    whole = decode(long, channel=channel, start=cut[0], end=cut[1])
    parts = open_recording(long, channel, *cut)
    assert isinstance(parts, InParts)
    samples = Whole(whole.samples, whole.sample_rate)
    full = samples.read(0, LENGTH) * (
        np.float32(1 / 32768) if whole.samples.dtype.kind == "i" else 1
    )
    np.testing.assert_array_equal(np.concatenate(list(parts.parts())), full)
    assert parts.duration == samples.duration
    places = [(0, 10), (5, 400_000), (400_000, 400_001), (390_000, 700_000), (3, 9), (10**6, 10**7)]
    for first, last in places:
        np.testing.assert_array_equal(parts.read(first, last), full[first:last])
    at = resample(full, 11025, RATE)
    for first, last in ((0, 100), (50, 90_000), (300_001, 480_000), (20, 30), (600_000, 9**9)):
        found = parts.resampled(RATE, first, last)
        np.testing.assert_allclose(found, at[first:last], atol=1e-6)
    parts.close()


def test_a_long_recording_is_listened_to_as_a_short_one(long, monkeypatch):
    with_parts = listen(open_recording(long, "mix", None, None), "energy")
    monkeypatch.setattr(listening, "LONG", 1e9)
    at_once = open_recording(long, "mix", None, None)
    assert isinstance(at_once, Whole)
    assert listen(at_once, "energy") == with_parts
    assert with_parts.notes == ["mixed"]
    assert with_parts.total == LENGTH


@pytest.mark.parametrize("options", [[], ["--segments"], ["--pool", "none"], ["--whole-crop"]])
def test_memory_does_not_grow_with_the_recording(toy, cli, tmp_path, options):
    path = tmp_path / "hour.wav"
    minutes = 10
    with soundfile.SoundFile(path, "w", 16000, 2, "PCM_16") as file:
        said, _ = soundfile.read(SPOKEN, dtype="float32")
        for _ in range(minutes):
            quiet = np.zeros(60 * 16000, np.float32)
            quiet[16000 : 16000 + len(said)] = said
            file.write(np.stack([quiet, quiet], 1))
    cli("predict", toy / "m.ckpt", SPOKEN)  # what is loaded once
    tracemalloc.start()
    found = heard(toy, cli, path, *options, vad="energy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found
    assert peak < 25e6, "the samples alone are 38 MB as one channel of floats"
