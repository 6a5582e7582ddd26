"""`predict`: recordings, folders, lists and streams to lines; the same posterior as `eval`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import wave
from dataclasses import replace

import made
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from made_reports import evaluate

from sertool.audio.streams import Stream
from sertool.core.errors import InputError, UsageError
from sertool.evaluation import streaming
from sertool.evaluation.options import EvalOptions, PredictOptions
from sertool.evaluation.predictions import Prediction, Unread, formatter
from sertool.features.hearing import Hearing
from sertool.features.pipeline import Pipeline, spans
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models.scoring import Scorer
from sertool.ui.console import Console


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    items = made.corpus(folder / "wav", speakers=3)
    made.store(folder / "all.h5", folder / "wav", items)
    made.train(
        folder / "all.h5", folder / "m.ckpt", lambda i: "test" if i.speaker == "s2" else "train"
    )
    return folder


@pytest.fixture
def stdin(monkeypatch):
    """Give bytes to standard input, through a real pipe."""

    def give(content):
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        monkeypatch.setattr(sys, "stdin", os.fdopen(read))

    return give


def rows(result):
    return [json.loads(line) for line in result.out.splitlines()]


def test_posteriors_are_those_of_eval(toy, cli):
    report = evaluate([toy / "m.ckpt"], toy / "all.h5", EvalOptions(), Console.silent())
    expected = {item["id"].removeprefix("toy/"): item for item in report["items"]}
    paths = [toy / "wav" / f"{name}.wav" for name in expected]
    for options in ([], ["--batch-size", "4"], ["--workers", "2"]):
        found = rows(cli("predict", toy / "m.ckpt", *paths, *options))
        assert [row["path"] for row in found] == [str(path) for path in paths]
        for row, item in zip(found, expected.values(), strict=True):
            names = "path label confidence posterior duration heard speech windows vad model"
            assert list(row) == names.split()
            assert row["posterior"] == pytest.approx(item["posterior"], abs=1e-6)
            assert row["label"] == item["prediction"]
            assert row["confidence"] == row["posterior"][row["label"]]
            assert row["duration"] in (0.25, 0.3)


def test_posteriors_of_segments_are_those_of_eval(toy, tmp_path, cli):
    spec = replace(made.SPEC, segment=0.1)
    items = made.corpus(toy / "wav", speakers=3)
    store = made.store(tmp_path / "seg.h5", toy / "wav", items, spec)
    made.train(store, tmp_path / "m.ckpt", lambda i: "test" if i.speaker == "s2" else "train")
    tested = evaluate([tmp_path / "m.ckpt"], store, EvalOptions(), Console.silent())["items"]
    paths = [toy / "wav" / f"{item['id'].removeprefix('toy/')}.wav" for item in tested]
    for batch in (["--batch-size", 1], ["--batch-size", 3], []):
        found = rows(cli("predict", tmp_path / "m.ckpt", *paths, *batch))
        assert [row["path"] for row in found] == [str(path) for path in paths]
        for row, item in zip(found, tested, strict=True):
            assert row["posterior"] == pytest.approx(item["posterior"], abs=1e-6)


def test_a_segment_that_a_later_stage_refused_is_left_out_as_in_the_store(tmp_path, cli):
    """2001 samples in two parts: 1000 are shorter than a frame of 1001, 1001 are one."""
    random = np.random.default_rng(0)
    for name in ("angry/a", "angry/b", "sad/a", "sad/b"):
        path = tmp_path / "wav" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.standard_normal(2001), 8000, "PCM_16")
    wave, mel, model = tmp_path / "wave.h5", tmp_path / "mel.h5", tmp_path / "m.ckpt"
    cut = ("--kind", "wave", "--segment-max", "0.15")
    assert cli("featurize", *cut, tmp_path / "wav", wave).code == 0
    short = [f"--set={text}" for text in ("n_fft=1001", "n_mels=4", "center=false")]
    assert cli("featurize", "--kind", "mel", *short, wave, mel).code == 1
    assert cli("train", "--model", "linear", mel, model).code == 0
    with Store(mel) as store:
        assert [item.id[-4:] for item in store.items()] == ["#001"] * 4
        scores = Scorer.load(model).posterior([store.features(i) for i in range(len(store))])
    result = cli("predict", model, tmp_path / "wav", "--vad", "off")
    assert result.code == 0, result.err
    found = [list(row["posterior"].values()) for row in rows(result)]
    np.testing.assert_allclose(found, scores, atol=1e-9)


def test_windows_say_what_was_done_to_them(toy, cli):
    path = toy / "wav" / "s0-anger-1.wav"
    pipeline = Pipeline((replace(made.SPEC, sample_rate=4000, duration=0.2),))
    heard = Hearing(pipeline, window=0.25, hop=0.25).hear(Item("", str(path)))
    assert (len(heard.clips), sorted(heard.notes)) == (2, ["resampled"])
    heard = Hearing(pipeline, window=0.15, hop=0.15).hear(Item("", str(path)))
    assert sorted(heard.notes) == ["padded", "resampled"]
    higher = Pipeline((replace(made.SPEC, sample_rate=48000),))
    assert Hearing(higher).hear(Item("", str(path))).notes == ["upsampled"]


def test_folders_are_recursive_and_in_order(toy, tmp_path, cli):
    (tmp_path / "b").mkdir()
    for name in ("b/2.wav", "b/1.WAV", "a.wav", "notes.txt"):
        (tmp_path / name).write_bytes((toy / "wav" / "s0-anger-0.wav").read_bytes())
    result = cli("predict", toy / "m.ckpt", tmp_path, tmp_path / "a.wav")
    assert result.code == 0
    names = [os.path.relpath(row["path"], tmp_path) for row in rows(result)]
    assert names == ["a.wav", "b/1.WAV", "b/2.wav", "a.wav"]
    assert "skipped 1 file without audio" in result.err


@pytest.mark.parametrize(("end", "options"), [("\n", []), ("\0", ["--null"]), ("\r\n", [])])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_list_on_standard_input(toy, cli, stdin, end, options, workers):
    names = sorted(str(path) for path in (toy / "wav").iterdir())[:5]
    stdin("".join(name + end for name in names).encode())
    result = cli("predict", toy / "m.ckpt", "-", *options, "--workers", workers)
    assert result.code == 0, result.err
    assert [row["path"] for row in rows(result)] == names


def test_a_list_of_manifest_lines(toy, cli, stdin):
    path = str(toy / "wav" / "s0-anger-1.wav")
    cut = {"id": "x", "path": path, "start": 0.1, "end": 0.2, "label": "anger"}
    stdin(f"{json.dumps(cut)}\n{json.dumps({'path': path})}\n".encode())
    first, second = rows(cli("predict", toy / "m.ckpt", "-"))
    assert (first["start"], first["end"]) == (0.1, 0.2)
    assert first["duration"] == pytest.approx(0.1)
    (array,) = made.replay([made.SPEC.to_dict()], path, 0.1, 0.2)
    expected = Scorer.load(toy / "m.ckpt").posterior([array])[0]
    assert list(first["posterior"].values()) == expected.tolist()
    assert "start" not in second


def test_names_that_are_no_text(toy, tmp_path, cli, stdin):
    content = (toy / "wav" / "s0-anger-0.wav").read_bytes()
    odd = [b"caf\xe9.wav", b"two\nlines.wav"]
    for name in odd:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(content)
    stdin(b"\0".join(os.fsencode(tmp_path) + b"/" + name for name in odd))
    result = cli("predict", toy / "m.ckpt", "-", "--null")
    assert result.code == 0, result.err
    names = [row["path"].removeprefix(f"{tmp_path}/") for row in rows(result)]
    assert names == ["caf\\xe9.wav", "two\nlines.wav"]


def test_a_broken_file_is_named_and_the_others_go_on(toy, tmp_path, cli):
    good = (toy / "wav" / "s0-anger-0.wav").read_bytes()
    for name in ("a.wav", "c.wav"):
        (tmp_path / name).write_bytes(good)
    (tmp_path / "b.wav").write_text("this is no sound")
    (tmp_path / "d.wav").write_bytes(b"")
    soundfile.write(tmp_path / "e.wav", np.full(900, np.nan, np.float32), 8000, "FLOAT")
    for options in ([], ["--workers", "2"], ["--batch-size", "9"]):
        result = cli("predict", toy / "m.ckpt", tmp_path, *options)
        assert result.code == 1
        found = rows(result)
        assert [os.path.basename(r["path"]) for r in found] == [f"{c}.wav" for c in "abcde"]
        assert ["error" in row for row in found] == [False, True, False, True, True]
        assert set(found[1]) == {"path", "error"}
        for name in "bde":
            assert f"{name}.wav" in result.err
        assert "Traceback" not in result.err


def test_strict_stops_at_the_first(toy, tmp_path, cli):
    for name in ("a.wav", "c.wav"):
        (tmp_path / name).write_bytes((toy / "wav" / "s0-anger-0.wav").read_bytes())
    (tmp_path / "b.wav").write_bytes(b"")
    result = cli("predict", toy / "m.ckpt", tmp_path, "--strict")
    assert result.code == 3
    assert [os.path.basename(r["path"]) for r in rows(result)] == ["a.wav", "b.wav"]
    target = tmp_path / "out.jsonl"
    assert cli("predict", toy / "m.ckpt", tmp_path, "--strict", "-o", target).code == 3
    assert not target.exists()


def test_features_without_posterior_fail_alone(toy, cli, monkeypatch):
    real = Scorer.posterior
    calls = []

    def sometimes(self, arrays, values, batch_size):
        calls.append(len(arrays))
        if any(len(array) > 16 for array in arrays):
            raise InputError("features that are not finite have no posterior")
        return real(self, arrays, values, batch_size)

    monkeypatch.setattr(Scorer, "posterior", sometimes)
    result = cli("predict", toy / "m.ckpt", toy / "wav", "--batch-size", "4")
    assert result.code == 1
    assert ["error" in row for row in rows(result)] == [False, True] * 9


def test_only(toy, cli):
    path = toy / "wav" / "s2-anger-0.wav"
    (full,) = rows(cli("predict", toy / "m.ckpt", path))
    (some,) = rows(cli("predict", toy / "m.ckpt", path, "--only", "sad,happy"))
    kept = {name: full["posterior"][name] for name in ("happiness", "sadness")}
    total = sum(kept.values())
    assert some["posterior"] == pytest.approx({name: p / total for name, p in kept.items()})
    assert some["label"] == max(kept, key=kept.get)
    refused = cli("predict", toy / "m.ckpt", path, "--only", "anger,zeal")
    assert (refused.code, refused.out) == (2, "")
    assert "zeal" in refused.err
    assert "happiness" in refused.err


def test_fields_that_the_model_does_not_take(toy, cli):
    path = toy / "wav" / "s2-anger-0.wav"
    result = cli("predict", toy / "m.ckpt", path, "--field", "gender=male")
    assert (result.code, result.out) == (2, "")
    assert "holds a single model; train --per gender makes one" in result.err


def test_formats(toy, tmp_path, cli):
    (tmp_path / "a.wav").write_bytes((toy / "wav" / "s0-anger-0.wav").read_bytes())
    (tmp_path / "b,c.wav").write_bytes(b"")
    wanted = rows(cli("predict", toy / "m.ckpt", tmp_path))
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        result = cli("predict", toy / "m.ckpt", tmp_path, "--format", name)
        found = list(csv.DictReader(io.StringIO(result.out), delimiter=delimiter))
        assert [row["path"] for row in found] == [row["path"] for row in wanted]
        assert float(found[0]["p_anger"]) == wanted[0]["posterior"]["anger"]
        assert found[0]["label"] == wanted[0]["label"]
        assert found[1]["error"] == wanted[1]["error"]
        assert found[1]["label"] == ""
    table = cli("predict", toy / "m.ckpt", tmp_path, "--format", "table").out
    assert wanted[0]["label"] in table
    assert cli("predict", toy / "m.ckpt", tmp_path, "--format", "xml").code == 2


def test_table_rows_are_one_line():
    _, text = formatter("table", ["anger"])
    given = "a\nb.wav", "anger", 0.5, {"anger": 0.5}, 2.5, 1.5, 1.0, 1, "off", "m@0"
    row = Prediction(*given, 1.0, 2.5)
    assert text(row).count("\n") == 1
    assert "1.00–2.50 s" in text(row)
    silent = text(replace(row, label=None, confidence=None, posterior=None))
    assert "no speech" in silent
    assert silent.startswith("– ")
    assert text(replace(row, label=None)).startswith("–          0.5000  ")
    assert "1.5 of 2.5 s" in text(row)
    assert text(Unread("x\n", "silent")).count("\n") == 1


def test_a_terminal_gets_a_table_and_a_pipe_lines(toy, cli, monkeypatch, tmp_path):
    path = toy / "wav" / "s0-anger-1.wav"
    (full,) = rows(cli("predict", toy / "m.ckpt", path))
    (short,) = rows(cli("predict", toy / "m.ckpt", path, "--digits", 3))
    assert short["confidence"] == round(full["confidence"], 3) != full["confidence"]
    assert short["posterior"] == {name: round(p, 3) for name, p in full["posterior"].items()}
    csv_text = cli("predict", toy / "m.ckpt", path, "--digits", 2, "--format", "csv").out
    assert f",{round(full['confidence'], 2)}," in csv_text
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda _: True)
    table = cli("predict", toy / "m.ckpt", path).out
    assert table.startswith("label")
    assert f"{full['confidence']:.4f}" in table
    assert rows(cli("predict", toy / "m.ckpt", path, "--format", "jsonl")) == [full]
    cli("predict", toy / "m.ckpt", path, "-o", tmp_path / "out")
    assert json.loads((tmp_path / "out").read_text()) == full


def test_output_file(toy, tmp_path, cli):
    target = tmp_path / "out.jsonl"
    arguments = ["predict", toy / "m.ckpt", toy / "wav"]
    plain = cli(*arguments).out
    result = cli(*arguments, "--output", target)
    assert (result.code, result.out) == (0, "")
    assert target.read_text() == plain
    assert cli(*arguments, "--output", target).code == 3
    assert cli(*arguments, "--output", target, "--force", "--only", "anger").code == 0
    assert target.read_text() != plain
    assert cli(*arguments, "--output", tmp_path / "no" / "x").code == 3
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"out.jsonl", ".out.jsonl.made"}  # by which --resume knows it


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 25))
def test_windows_hear_everything_in_order(total, length, hop):
    found = list(spans(total, length, hop))
    assert found[0][0] == 0
    assert all(last - first == min(length, total) for first, last in found)
    assert [first for first, _ in found] == sorted({first for first, _ in found})
    if hop <= length:
        assert set().union(*(range(*span) for span in found)) == set(range(total))
    regular = [span for span in found if span[0] % hop == 0]
    assert len(regular) >= len(found) - 1


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 25), st.integers(1, 2))
def test_a_stream_is_cut_as_a_recording(total, length, hop, channels):
    samples = np.arange(total * channels, dtype=np.int16)
    file = io.BytesIO(samples.tobytes() + b"\0")
    stream = Stream(file, 8000, channels)
    found = [(b, part[:, 0]) for b, part in streaming._windows(stream, length, hop)]
    mono = samples[::channels]
    assert [(b, b + len(part)) for b, part in found] == list(spans(total, length, hop))
    for begin, part in found:
        assert part.tolist() == mono[begin : begin + len(part)].tolist()


def test_windows_are_recordings_of_their_own(toy, cli):
    path = toy / "wav" / "s0-anger-1.wav"
    found = rows(cli("predict", toy / "m.ckpt", path, "--window", "0.1", "--hop", "0.08"))
    times = [(round(row["start"], 6), round(row["end"], 6)) for row in found]
    assert times == [(0, 0.1), (0.08, 0.18), (0.16, 0.26), (0.2, 0.3)]
    samples, _ = soundfile.read(path, dtype="int16")
    scorer = Scorer.load(toy / "m.ckpt")
    for row in found:
        part = samples[round(row["start"] * 8000) : round(row["end"] * 8000)]
        expected = scorer.posterior(
            Pipeline.from_records([made.SPEC.to_dict()]).arrays(part, 8000)
        )[0]
        assert list(row["posterior"].values()) == pytest.approx(expected.tolist(), abs=1e-9)
        assert row["duration"] == pytest.approx(0.1)
    assert cli("predict", toy / "m.ckpt", path, "--hop", "1").code == 2
    assert cli("predict", toy / "m.ckpt", path, "--window", "0").code == 2


def test_windows_of_a_part_tell_the_time_in_the_recording(toy, cli, stdin):
    path = str(toy / "wav" / "s0-anger-1.wav")
    stdin(json.dumps({"path": path, "start": 0.1, "end": 0.26}).encode())
    found = rows(cli("predict", toy / "m.ckpt", "-", "--window", "0.08"))
    times = [(row["start"], row["end"]) for row in found]
    assert times == [pytest.approx(span) for span in ((0.1, 0.18), (0.18, 0.26))]


@pytest.mark.parametrize("form", ["raw", "wav", "stereo"])
def test_a_stream_gives_what_the_file_gives(toy, tmp_path, cli, stdin, form):
    path = toy / "wav" / "s0-anger-1.wav"
    samples, _ = soundfile.read(path, dtype="int16")
    options = ["--window", "0.1", "--hop", "0.08"]
    if form == "stereo":
        path = tmp_path / "stereo.wav"
        samples = np.stack([samples, samples[::-1]], 1)
        soundfile.write(path, samples, 8000, "PCM_16")
    expected = rows(cli("predict", toy / "m.ckpt", path, *options))
    if form == "raw":
        stdin(samples.tobytes())
        options += ["--sample-rate", "8000"]
    else:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(samples.ndim)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(samples.tobytes())
        stdin(buffer.getvalue())
    result = cli("predict", toy / "m.ckpt", "-", "--stream", *options)
    assert result.code == 0, result.err
    found = rows(result)
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row["path"] == "-"
        assert (row["start"], row["end"]) == (other["start"], other["end"])
        assert row["posterior"] == pytest.approx(other["posterior"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "content", "code"),
    [
        (["-", "--stream"], b"\0\0" * 99, 2),
        (["-", "--stream", "--sample-rate", "8000"], b"", 3),
        (["-", "--stream"], b"RIFFxxxxWAVEfmt ", 3),
        (["x.wav", "--stream"], b"", 2),
        (["-", "--sample-rate", "8000"], b"", 2),
        (["-", "-"], b"", 2),
        (["missing.wav"], b"", 3),
        (["-", "--strict"], b"missing.wav\n", 3),
        (["-"], b"missing.wav\n", 1),
    ],
)
def test_what_cannot_be_heard(toy, cli, stdin, arguments, content, code):
    stdin(content)
    result = cli("predict", toy / "m.ckpt", *arguments)
    assert result.code == code, result.err
    assert result.err.strip()
    assert "Traceback" not in result.err


def test_an_empty_folder(toy, tmp_path, cli):
    result = cli("predict", toy / "m.ckpt", tmp_path)
    assert result.code == 3
    assert result.err.count("\n") == 1


def test_what_is_no_checkpoint(toy, tmp_path, cli):
    (tmp_path / "x.ckpt").write_text("hello")
    for path in (tmp_path / "x.ckpt", tmp_path / "none"):
        result = cli("predict", path, toy / "wav")
        assert (result.code, result.out) == (3, "")
        assert result.err.count("\n") == 1


def test_a_terminal_is_not_waited_for(toy, cli, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    for options in (["-"], ["-", "--stream"]):
        result = cli("predict", toy / "m.ckpt", *options)
        assert result.code == 2
        assert "terminal" in result.err


def run(*arguments, **options):
    command = [sys.executable, "-m", "sertool", "predict", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_a_closed_pipe_ends_quietly(toy):
    process = run(toy / "m.ckpt", *[toy / "wav"] * 200)
    assert json.loads(process.stdout.readline())["path"]
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(), err) == (0, b"")
    process.stderr.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_line_comes_before_the_list_ends(toy, workers):
    path = toy / "wav" / "s0-anger-0.wav"
    process = run(toy / "m.ckpt", "-", "--workers", workers, stdin=subprocess.PIPE)
    for _ in range(2):
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["path"] == str(path)
    process.stdin.close()
    assert process.stdout.read() == b""
    assert process.wait() == 0
    process.stdout.close()
    process.stderr.close()


def test_options_make_sense():
    for options in ({"hop": 1.0}, {"window": -1.0}, {"window": float("inf")}):
        with pytest.raises(UsageError):
            PredictOptions(**options)


@pytest.mark.parametrize(
    "line",
    [
        '{"path": "PATH", "start": NaN}',
        '{"path": "PATH", "start": 0, "end": Infinity}',
        '{"path": "PATH", "start": -1}',
        '{"path": "a\\u0000b"}',
        '{"path": "\\ud800"}',
        '{"a":' * 5000,
    ],
    ids=["nan", "infinity", "negative", "nul", "surrogate", "deep"],
)
def test_line_that_names_no_recording_is_one_failure(toy, cli, stdin, line):
    good = sorted((toy / "wav").rglob("*.wav"))[0]
    stdin(f"{line.replace('PATH', str(good))}\n{good}\n".encode())
    result = cli("predict", toy / "m.ckpt", "-", "-q")
    assert result.code == 1
    bad, fine = rows(result)
    assert set(bad) == {"path", "error"}
    assert fine["path"] == str(good)
    assert "label" in fine


def test_names_that_end_in_nul_need_the_option(toy, cli, stdin):
    stdin(b"a.wav\0b.wav\0")
    result = cli("predict", toy / "m.ckpt", "-")
    assert (result.code, result.out) == (2, "")
    assert "--null" in result.err


def test_empty_list_is_refused(toy, cli, stdin):
    stdin(b"\n")
    result = cli("predict", toy / "m.ckpt", "-")
    assert (result.code, result.out) == (3, "")
    assert "no paths" in result.err


def test_folder_without_audio_is_refused_before_anything_is_heard(toy, cli, tmp_path):
    result = cli("predict", toy / "m.ckpt", toy / "wav", tmp_path)
    assert (result.code, result.out) == (3, "")
    assert "no audio files" in result.err


@pytest.mark.parametrize(
    "options", [["--only", ","], ["--only", " ,"], ["--device", "abacus"], ["--window", "1e300"]]
)
def test_values_that_make_no_sense_are_wrong_usage(toy, cli, options):
    result = cli("predict", toy / "m.ckpt", toy / "wav", *options)
    assert (result.code, result.out) == (2, "")
    assert options[0] in result.err


def test_window_longer_than_a_stream_reads_no_more_than_there_is(toy, cli, stdin):
    stdin(bytes(8000))
    options = ["--stream", "--sample-rate", "16000", "--window", "1e6"]
    result = cli("predict", toy / "m.ckpt", "-", *options)
    assert result.code == 0
    assert [row["end"] for row in rows(result)] == [0.25]


def test_output_may_not_be_the_checkpoint(toy, cli):
    before = (toy / "m.ckpt").read_bytes()
    result = cli("predict", toy / "m.ckpt", toy / "wav", "-o", toy / "m.ckpt", "--force")
    assert result.code == 2
    assert "same file" in result.err
    assert (toy / "m.ckpt").read_bytes() == before
