"""`predict` with a model normalised by speaker: whose statistics, of what, and what is refused."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import made
import numpy as np
import pytest
import soundfile
from test_hearing import RATE, tones

import sertool
from sertool.api.results import Manifest
from sertool.formats import journal
from sertool.formats.store import Store

SETTINGS = {"n_mels": 12, "n_fft": 256, "hop_length": 128}
PIPELINES = {
    "whole": {},
    "segments": {"segment": 0.2, "segment_hop": 0.1},
    "crops": {"duration": 0.25},
    "windows": {"segment": 0.25, "segment_hop": 0.125},  # those in which "crops" is heard
}
OFF = ("--vad", "off", "--format", "jsonl")


def rows(result):
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Recordings of six speakers, a folder each, each at a level of his or her own."""
    folder = tmp_path_factory.mktemp("by-speaker")
    lines = []
    for item in made.corpus(folder / "flat", speakers=6):
        number = int(str(item.speaker)[1:])
        path = folder / "wav" / str(item.speaker) / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        wave, rate = soundfile.read(folder / "flat" / item.path)
        soundfile.write(path, wave * 0.5**number, rate, "PCM_16")
        row = item.replace(path=str(path), fold=number // 2).manifest_row()
        lines.append(json.dumps(row | {"who": f"{item.speaker}x"}))
    (folder / "m.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(toy):
    """Make (store, checkpoint normalised by speaker, fold 1 held out) of a pipeline."""

    def make(name="whole"):
        store, checkpoint = toy / f"{name}.h5", toy / f"{name}.ckpt"
        if not store.exists():
            sertool.featurize(toy / "m.jsonl", store, **PIPELINES[name], **SETTINGS)
        if not checkpoint.exists():
            options = {"test_fold": 1, "speaker_normalisation": True}
            sertool.train(store, checkpoint, "linear", **options)
        return store, checkpoint

    return make


def held_out(toy, **changes):
    """The manifest lines of fold 1."""
    lines = [json.loads(line) for line in (toy / "m.jsonl").read_text().splitlines()]
    return [line | changes for line in lines if line["fold"] == 1]


@pytest.fixture
def given(monkeypatch):
    """Put text on standard input."""

    def put(data):
        if isinstance(data, list):
            data = "\n".join(map(json.dumps, data)).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


def same(found, report):
    """Compare rows with the items of eval's report, by path and id."""
    truth = {item["id"].split("/")[1]: item for item in report["items"]}
    assert len(found) == len(truth) > 0
    for row in found:
        item = truth[Path(row["path"]).stem]
        assert row["label"] == item["prediction"]
        assert row["posterior"] == pytest.approx(item["posterior"], abs=1e-6)


def report_of(cli, checkpoint, store, tmp_path):
    path = tmp_path / "report.json"
    assert cli("eval", checkpoint, store, "--json", path, "--force").code == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", ["whole", "segments", "crops"])
def test_it_answers_as_eval_does(toy, model, cli, tmp_path, given, name):
    """By the manifest, a column of it and the folder; crops in windows, and as crops."""
    store, checkpoint = model(name)
    windows = model("windows")[0] if name == "crops" else store
    report = report_of(cli, checkpoint, windows, tmp_path)
    given(held_out(toy))
    found = rows(cli("predict", checkpoint, "-", *OFF))
    same(found, report)
    assert {row["speaker"] for row in found} == {"s2", "s3"}
    given(held_out(toy, speaker=None))
    by_column = rows(cli("predict", checkpoint, "-", *OFF, "--speaker-by", "column=who", "-j", 2))
    same(by_column, report)
    assert {row["speaker"] for row in by_column} == {"s2x", "s3x"}
    folders = [toy / "wav" / speaker for speaker in ("s2", "s3")]
    by_folder = rows(cli("predict", checkpoint, *folders, *OFF, "--speaker-by", "folder"))
    same(by_folder, report)
    assert {row["speaker"] for row in by_folder} == set(map(str, folders))
    if name == "crops":
        given(held_out(toy))
        cropped = rows(cli("predict", checkpoint, "-", *OFF, "--whole-crop"))
        same(cropped, report_of(cli, checkpoint, store, tmp_path))
        assert cropped[0]["posterior"] != found[0]["posterior"]


def test_statistics_are_of_all_frames_whatever_a_row_is_for(toy, model, cli):
    """The definition in NumPy; neither --vad nor --window nor --pool none changes them."""
    store, checkpoint = model()
    folder, statistics = toy / "wav" / "s2", toy / "statistics.jsonl"
    for options in ([], ["--window", 0.1], ["--pool", "none", "--vad", "off"], ["--segments"]):
        words = (*options, "--write-statistics", statistics, "--force")
        result = cli("predict", checkpoint, folder, "--speaker-by", "folder", *words)
        assert (result.code, result.out) == (0, ""), result.err
        head, line = map(json.loads, statistics.read_text().splitlines())
        with Store(store) as known:
            frames = np.concatenate(
                [known.features(i) for i, row in enumerate(known.items()) if row.speaker == "s2"]
            )
        np.testing.assert_allclose(line["mean"], frames.mean(0, np.float64), rtol=1e-6)
        np.testing.assert_allclose(line["sd"], frames.std(0, np.float64), rtol=1e-5)
        assert (line["recordings"], line["frames"], head["dims"]) == (6, len(frames), 12)
        assert (line["corpus"], line["speaker"], line["channel"]) == ("", str(folder), "")


def test_silence_counts_as_it_does_in_training(model, cli, tmp_path):
    _, checkpoint = model("segments")
    sound = np.concatenate([tones(1.0), 1e-4 * tones(2.0), tones(1.0)])
    soundfile.write(tmp_path / "a.wav", sound, RATE, "PCM_16")
    made_of = {}
    for vad in ("off", "energy"):
        path = tmp_path / vad
        words = ("--vad", vad, "--speaker", "a", "--write-statistics", path)
        assert cli("predict", checkpoint, tmp_path / "a.wav", *words).code == 0
        made_of[vad] = path.read_text()
    assert made_of["off"] == made_of["energy"]
    (row,) = rows(cli("predict", checkpoint, tmp_path / "a.wav", "--speaker", "a"))
    assert row["windows"] < 39  # of which silence is left out


def test_statistics_in_a_file_give_the_same_rows(toy, model, cli, tmp_path, given):
    _, checkpoint = model()
    statistics = tmp_path / "statistics.jsonl"
    given(held_out(toy))
    assert cli("predict", checkpoint, "-", "--write-statistics", statistics).code == 0
    given(held_out(toy))
    whole = rows(cli("predict", checkpoint, "-", *OFF))
    halves = []
    for part in (held_out(toy)[:5], held_out(toy)[5:]):  # as two machines would
        given(part)
        words = ("--speaker-statistics", statistics, "-j", 2)
        halves += rows(cli("predict", checkpoint, "-", *OFF, *words))
    assert halves == whole
    one = held_out(toy)[0]["path"]
    for name in ("s2", "toy/s2"):
        words = ("--speaker", name, "--speaker-statistics", statistics)
        (row,) = rows(cli("predict", checkpoint, one, *OFF, *words))
        assert row["posterior"] == whole[0]["posterior"]


def test_channels_and_turns_are_speakers_of_their_recording(toy, model, cli, tmp_path):
    """Each channel of a call by itself: as a file of that channel alone would be."""
    _, checkpoint = model()
    left, right = tones(3.0, 1), 0.1 * tones(3.0, 2)
    for name, sound in (("call", np.stack([left, right], 1)), ("l", left), ("r", right)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / f"{name}.wav", sound, RATE, "PCM_16")
    call = tmp_path / "call" / "call.wav"
    words = ("--channel", "each", "--speaker-by", "channel", "--pool", "none")
    found = rows(cli("predict", checkpoint, call, *OFF, *words))
    apart = rows(cli("predict", checkpoint, tmp_path / "l", *OFF, "--speaker", "a"))
    apart += rows(cli("predict", checkpoint, tmp_path / "r", *OFF, "--speaker", "b"))
    assert [row["posterior"] for row in found] == [row["posterior"] for row in apart]
    assert [row["speaker"] for row in found] == ["left", "right"]
    turns = tmp_path / "call.csv"
    turns.write_text("start,end,speaker\n0,1,A\n1,2,B\n2,3,A\n")
    found = rows(cli("predict", checkpoint, tmp_path / "l", *OFF, "--by-speaker", turns))
    assert [row["speaker"] for row in found] == ["A", "B", "A", "A", "B"]
    soundfile.write(tmp_path / "l" / "l.wav", np.concatenate([left[:RATE], left[2 * RATE :]]),
                    RATE, "PCM_16")  # fmt: skip
    only_a = rows(cli("predict", checkpoint, tmp_path / "l", *OFF, "--speaker", "A",
                      "--window", 1))  # fmt: skip
    for row, turn in zip(only_a, (found[0], found[2]), strict=True):
        assert row["label"] == turn["label"]  # but for frames across the cut
        assert row["posterior"] == pytest.approx(turn["posterior"], abs=0.02)


def test_a_long_recording_is_measured_in_parts(toy, model, cli, tmp_path, monkeypatch):
    _, checkpoint = model("segments")
    soundfile.write(tmp_path / "a.wav", tones(4.0), RATE, "PCM_16")
    words = ("predict", checkpoint, tmp_path / "a.wav", *OFF, "--speaker", "a")
    whole = rows(cli(*words))
    monkeypatch.setattr("sertool.audio.listening.LONG", 1.0)
    monkeypatch.setattr("sertool.features.hearing.MANY", 3)
    (row,) = rows(cli(*words))
    assert row["windows"] == whole[0]["windows"] == 39
    assert row["posterior"] == pytest.approx(whole[0]["posterior"], abs=1e-6)
    each = rows(cli(*words, "--pool", "none"))
    mean = np.mean([list(one["posterior"].values()) for one in each], 0)
    assert list(row["posterior"].values()) == pytest.approx(mean.tolist(), abs=1e-6)


def test_a_stream_needs_statistics_of_its_speaker(toy, model, cli, tmp_path, given):
    _, checkpoint = model()
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    folders = [toy / "wav" / speaker for speaker in ("s2", "s3")]
    write = ("--speaker-by", "folder", "--write-statistics")
    assert cli("predict", checkpoint, folders[0], *write, one).code == 0
    assert cli("predict", checkpoint, *folders, *write, two).code == 0
    path = next(folders[0].glob("*-1.wav"))
    samples, _ = soundfile.read(path, dtype="int16")
    stream = ("predict", checkpoint, "-", "--stream", "--sample-rate", RATE, "--window", 0.3, *OFF)

    def streamed(*words):
        given(samples.tobytes())
        return cli(*stream, *words)

    found = rows(streamed("--speaker-statistics", one))
    by_file = rows(cli("predict", checkpoint, path, *OFF, "--speaker-statistics", one,
                       "--speaker-by", "folder", "--window", 0.3))  # fmt: skip
    assert [row["posterior"] for row in found] == [row["posterior"] for row in by_file]
    named = rows(streamed("--speaker-statistics", two, "--speaker", folders[0]))
    assert [row["posterior"] for row in named] == [row["posterior"] for row in found]
    for code, words, message in (
        (2, [], "give --speaker-statistics FILE"),
        (2, ["--speaker-statistics", two], "two.jsonl has 2 speakers; say who speaks with"),
        (2, ["--speaker-statistics", two, "--speaker-by", "folder"], "is of files"),
        (3, ["--speaker-statistics", two, "--speaker", "s9"], "no statistics of speaker s9"),
    ):
        result = streamed(*words)
        assert (result.code, result.out) == (code, "")
        assert message in result.err
        assert result.err.count("\n") == 1


def test_who_is_not_known_is_said(toy, model, cli, given):
    _, checkpoint = model()
    result = cli("predict", checkpoint, toy / "wav" / "s2", *OFF)
    assert (result.code, result.out, result.err.count("\n")) == (3, "", 1)
    assert "--speaker-by folder" in result.err
    lines = held_out(toy)
    lines[3]["speaker"] = None
    given(lines)
    result = cli("predict", checkpoint, "-", *OFF)
    made_of = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 1
    assert [i for i, row in enumerate(made_of) if "error" in row] == [3]
    assert "not known" in made_of[3]["error"]


def test_little_of_a_speaker_is_said(toy, model, cli):
    _, checkpoint = model()
    one = toy / "wav" / "s2" / "s2-anger-0.wav"
    result = cli("predict", checkpoint, one, *OFF, "--speaker-by", "folder")
    assert result.code == 0
    assert "1 speaker with a single recording of less than 30 s" in result.err
    result = cli("predict", checkpoint, toy / "wav" / "s2", *OFF, "--speaker-by", "folder")
    assert "single recording" not in result.err


def test_one_bad_recording_is_no_elses_error(toy, model, cli, tmp_path):
    """It has a row with its error, and the statistics are of the others."""
    _, checkpoint = model()
    (tmp_path / "s2").mkdir()
    for path in (toy / "wav" / "s2").iterdir():
        (tmp_path / "s2" / path.name).write_bytes(path.read_bytes())
    words = (*OFF, "--speaker-by", "folder")
    clean = rows(cli("predict", checkpoint, tmp_path / "s2", *words))
    (tmp_path / "s2" / "bad.wav").write_bytes(b"no sound")
    result = cli("predict", checkpoint, tmp_path / "s2", *words)
    found = [json.loads(line) for line in result.out.splitlines()]
    assert (result.code, len(found)) == (1, len(clean) + 1)
    assert [row for row in found if "error" not in row] == clean


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speaker-by", "colour"], "needs folder, channel or column=NAME"),
        (["--speaker-by", "column="], "needs folder, channel or column=NAME"),
        (["--speaker-by", "channel"], "needs --channel each"),
        (["--speaker-by", "folder", "--speaker", "x"], "exclude each other"),
        (["--speaker", ""], "an argument is empty"),
        (["--write-statistics", "s", "--output", "o"], "no --output"),
        (["--write-statistics", "s", "--speaker-statistics", "o"], "no --speaker-stat"),
        (["--write-statistics", "s", "--resume"], "nothing to resume"),
    ],
)
def test_contradictions(toy, model, cli, words, message):
    result = cli("predict", model()[1], toy / "wav" / "s2", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err


def test_a_model_of_plain_features_takes_no_speakers(toy, model, cli, tmp_path):
    store, _ = model()
    plain = tmp_path / "plain.ckpt"
    assert cli("train", store, plain, "--model", "linear", "--test-fold", 1).code == 0
    for words in (
        ["--speaker-by", "folder"],
        ["--speaker", "x"],
        ["--speaker-statistics", store],
        ["--write-statistics", tmp_path / "new.jsonl"],
    ):
        result = cli("predict", plain, toy / "wav" / "s2", *words)
        assert result.code == 2, words
        assert f"{words[0]}: " in result.err
        assert "without --speaker-normalisation" in result.err
    assert "speaker" not in rows(cli("predict", plain, toy / "wav" / "s2", *OFF))[0]


def test_other_features_and_damaged_files_are_refused(toy, model, cli, tmp_path):
    _, checkpoint = model()
    _, cut = model("segments")
    path = tmp_path / "s.jsonl"
    words = ("--speaker-by", "folder", "--write-statistics")
    assert cli("predict", checkpoint, toy / "wav" / "s2", *words, path).code == 0
    assert cli("predict", checkpoint, toy / "wav" / "s2", *words, path).code == 3  # exists
    whole = path.read_text()
    head, line = map(json.loads, whole.splitlines())

    def refused(text, *more, model=checkpoint):
        path.write_text(text)
        result = cli("predict", model, toy / "wav" / "s2", *OFF, "--speaker-by", "folder",
                     "--speaker-statistics", path, *more)  # fmt: skip
        assert (result.code, result.out, result.err.count("\n")) == (3, "", 1), result.err
        return result.err

    def text(*rows):
        return "".join(json.dumps(row) + "\n" for row in rows)

    assert "of other features than the model's" in refused(whole, model=cut)
    assert "written with --channel mix, not left" in refused(whole, "--channel", "left")
    assert "version 9 is newer" in refused(text(head | {"version": 9}, line))
    assert "holds no speakers' statistics" in refused("")
    assert "holds no speakers' statistics" in refused((toy / "m.jsonl").read_text())
    assert "line 2: not JSON" in refused(whole[:-40])
    assert "line 2: mean and sd are not of 12" in refused(text(head, line | {"mean": [1.0]}))
    assert "line 2: a deviation" in refused(text(head, line | {"sd": [0.0] * 12}))
    assert "line 2: mean/0 is null" in refused(text(head, line | {"mean": [None] * 12}))
    assert "twice" in refused(text(head, line, line))
    assert "no speaker in it" in refused(text(head))


def test_a_run_resumes_with_the_same_statistics_only(toy, model, cli, tmp_path, monkeypatch):
    _, checkpoint = model()
    monkeypatch.setattr(journal, "EVERY", 0.0)
    folder, out = tmp_path / "s2", tmp_path / "out.jsonl"
    folder.mkdir()
    paths = sorted((toy / "wav" / "s2").iterdir())
    for path in paths[:5]:
        (folder / path.name).write_bytes(path.read_bytes())
    words = ("predict", checkpoint, folder, *OFF, "--speaker-by", "folder", "-o", out)
    real = journal.Journal.finish

    def stop(self, item, channel):
        real(self, item, channel)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "finish", stop)
        assert cli(*words).code == 130
    statistics = tmp_path / "s.jsonl"
    write = ("--speaker-by", "folder", "--write-statistics", statistics)
    assert cli("predict", checkpoint, folder, *write).code == 0
    result = cli(*words, "--resume", "--speaker-statistics", statistics)  # the same ones
    assert result.code == 0
    assert "1 recording done before" in result.err
    assert out.read_text() == cli(*words[:-2]).out
    out.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "finish", stop)
        assert cli(*words).code == 130
    (folder / paths[5].name).write_bytes(paths[5].read_bytes())  # other statistics
    result = cli(*words, "--resume")
    assert result.code == 3
    assert "made with other settings or input (speakers)" in result.err


def test_the_api(toy, model):
    _, checkpoint = model()
    loaded = sertool.load(checkpoint)
    folder = toy / "wav" / "s2"
    whole = loaded.predict([folder], speaker_by="folder", vad="off")
    assert whole[0].further == {"speaker": str(folder)}
    manifest = [item for item in Manifest.open(toy / "m.jsonl") if item.speaker == "s2"]
    by_item = loaded.predict(manifest, vad="off")
    assert by_item[0].further == {"speaker": "s2"}
    found = {one.path: one for one in whole}
    for one in by_item:
        assert one.posterior == pytest.approx(found[one.path].posterior, abs=1e-6)
    samples, rate = soundfile.read(whole[0].path, dtype="int16")
    alone = loaded.predict((samples, rate), speaker="x", vad="off")
    assert alone.posterior != whole[0].posterior
    with pytest.raises(sertool.InputError, match="is not known"):
        loaded.predict((samples, rate), speaker_by="folder")
