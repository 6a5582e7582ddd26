"""What ended a run with a traceback once: each is one line now, or simply works."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sertool.audio.decoding import decode
from sertool.cli.guard import guarded
from sertool.formats import checkpoint
from sertool.formats.manifest import read_manifest
from sertool.formats.store import Store, StoreWriter

Cli = Callable[..., Any]
RATE = 16000
HUGE = ("1e400", "-1e400", "1" * 5000)


def speech(seconds: float = 0.5) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))


def streamed(path: Path, tags: bytes = b"") -> Path:
    """A FLAC whose header leaves out the length, as a program writes that does not know it yet."""
    soundfile.write(path, speech(), RATE, "PCM_16", format="FLAC")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(tags + content)
    return path


# --- audio ---


def test_a_flac_of_unknown_length_is_heard_whole(cli: Cli, tmp_path: Path) -> None:
    path = streamed(tmp_path / "a.flac")
    soundfile.write(tmp_path / "b.flac", speech(), RATE, "PCM_16")
    for cut in ({}, {"start": 0.1}, {"start": 0.1, "end": 0.3}):
        found, wanted = decode(path, **cut), decode(tmp_path / "b.flac", **cut)
        assert found.duration == wanted.duration
        assert np.array_equal(found.samples, wanted.samples)
    for line in (("featurize", tmp_path, tmp_path / "o.h5"), ("predict", tmp_path)):
        result = cli(*line)
        assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert rows[0]["posterior"] == rows[1]["posterior"]


def test_a_flac_of_unknown_length_that_is_cut_or_empty_fails_alone(
    cli: Cli, tmp_path: Path
) -> None:
    whole = streamed(tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[:64])
    soundfile.write(tmp_path / "b.flac", speech(), RATE, "PCM_16")
    result = cli("featurize", tmp_path, tmp_path / "o.h5")
    assert result.code == 1
    assert "a.flac: " in result.err
    with Store(tmp_path / "o.h5") as store:
        assert len(store.items()) == 1


# --- manifests and tables ---


def test_a_path_may_begin_with_an_escape(cli: Cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech(), RATE)
    rows = [
        {"id": "a", "path": str(tmp_path / "a.wav")},
        {"id": "b", "path": "\\x2f" + str(tmp_path / "a.wav")[1:]},
        {"id": "c", "path": "\\x2fetc\\x00"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bad: list[str] = []
    found = list(read_manifest(manifest, lambda number, reason: bad.append(reason)))
    assert [item.path for item in found] == [str(tmp_path / "a.wav")] * 2
    assert bad == ["path holds a NUL"]
    result = cli("featurize", manifest, tmp_path / "o.h5")
    assert result.code == 1
    assert "line 3" in result.err


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("column", ["start", "fold", "v", "age"])
def test_a_table_s_cell_that_is_no_finite_number(
    cli: Cli, sounds: Path, tmp_path: Path, column: str, value: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        f"file,label,{column}\n{sounds}/sad/s02.wav,sad,1\n{sounds}/sad/s05.wav,sad,{value}\n"
    )
    result = cli("prepare", table, tmp_path / "m.jsonl")
    assert result.code == (1 if column in ("start", "fold") else 0)
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    if column in ("v", "age"):
        assert [row[column] for row in rows] == ["1", value]


@pytest.mark.parametrize("value", HUGE)
def test_a_rater_s_number_that_is_not_finite(
    cli: Cli, sounds: Path, tmp_path: Path, value: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"file,r1,r2\n{sounds}/sad/s02.wav,2,{value}\n{sounds}/sad/s05.wav,1,2\n")
    result = cli("prepare", "--raters", "arousal=r1,r2", table, tmp_path / "m.jsonl")
    assert result.code in (0, 1, 3), result.err
    assert result.err.count("Traceback") == 0


# --- options, TOML and folds ---

DIGITS, DEEP, DEEPER = "1" * 5000, "[" * 5000 + "]" * 5000, "{a = " * 3000 + "1" + "}" * 3000


def one_line(result: Any, *codes: int) -> None:
    assert result.code in codes, result.err[-300:]
    assert result.err.count("\n") == 1, result.err[-300:]


@pytest.mark.parametrize("value", [DIGITS, DEEP, DEEPER, "[" * 100_000])
def test_options_of_any_length_and_depth(
    cli: Cli, sounds: Path, tmp_path: Path, value: str
) -> None:
    store, out = tmp_path / "s.h5", tmp_path / "out"
    assert cli("featurize", "--kind", "mfcc", sounds, store).code == 0
    train = ("train", store, out)
    one_line(cli("featurize", "--kind", "mfcc", sounds, out, "--set", f"n_mfcc={value}"), 2)
    one_line(cli(*train, "--test-fold", "0", "--set", f"C={value}"), 2)
    for protocol in (f"kfold:{value}", f"random:{value}:1"):
        one_line(cli("prepare", sounds, out, "--split", protocol), 2)
    assert cli(*train, "--resplit", "kfold:2", "--test-fold", value).code == 2
    assert cli("info", store, "--items", value).code == 2
    assert not out.exists()


@pytest.mark.parametrize("text", [f"a = {DIGITS}", f"a = {DEEP}", f"a = {DEEPER}"])
def test_toml_of_any_length_and_depth(cli: Cli, sounds: Path, tmp_path: Path, text: str) -> None:
    path, out = tmp_path / "x.toml", tmp_path / "out"
    path.write_text(text)
    for line in (
        ("prepare", sounds, out, "--labels", path),
        ("prepare", sounds, out, "--corpus", path),
        ("report", path, "--paper", path),
    ):
        result = cli(*line)
        one_line(result, 3)
        assert "x.toml: " in result.err
        assert "set_int_max_str_digits" not in result.err


@pytest.mark.parametrize("fold", [DIGITS, "9" * 12, "1e400", DEEP, "-1", "٣"])
def test_a_file_of_folds(cli: Cli, sounds: Path, tmp_path: Path, fold: str) -> None:
    (tmp_path / "f.csv").write_text(f"id,fold\nsounds0/sad/s02,{fold}\n")
    result = cli("prepare", sounds, tmp_path / "out", "-q", "--split", f"file:{tmp_path / 'f.csv'}")
    assert result.code == 3
    assert "f.csv: line 2: fold" in result.err


# --- the surroundings ---


def test_the_backend_of_a_notebook(sounds: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("prepare", sounds, tmp_path / "m.jsonl").code == 0
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sertool",
            "info",
            tmp_path / "m.jsonl",
            "--figures",
            tmp_path / "f",
        ],
        env=os.environ | {"MPLBACKEND": "module://nowhere.backend"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert list((tmp_path / "f").glob("*.png"))


def test_figures_of_the_majority_alone(sounds: Path, tmp_path: Path, cli: Cli) -> None:
    store, model = tmp_path / "s.h5", tmp_path / "m.ckpt"
    assert cli("featurize", "--kind", "mfcc", sounds, store).code == 0
    line = ("train", store, model, "--model", "majority", "--resplit", "random:50:50")
    assert cli(*line, "--no-baselines").code == 0
    result = cli("eval", model, store, "--figures", tmp_path / "f")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "f").glob("*.png"))) > 1


# --- stores, checkpoints and parts that nobody made by accident ---


@pytest.fixture
def store(sounds: Path, tmp_path: Path, cli: Cli) -> Path:
    path = tmp_path / "s.h5"
    line = ("featurize", "--kind", "mfcc", "--set", "hop_length=80", sounds, path)
    assert cli(*line).code == 0
    return path


def test_an_audit_of_an_empty_store(store: Path, tmp_path: Path, cli: Cli) -> None:
    empty = tmp_path / "empty.h5"
    writer = StoreWriter(empty, (20,), "float32", "none")
    with Store(store) as whole:
        kept = {"kind": whole.kind, "pipeline": whole.pipeline, "settings": {}, "root": ""}
    writer.finish(kept | {"sample_rate": RATE, "frame_rate": 200.0, "lineage": []})
    for files in ((empty,), (empty, store), (store, empty), (empty, empty)):
        one_line(cli("info", "--audit", *files), 3)


def forged(model: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a checkpoint whose checksum fits what was changed in it."""
    found = checkpoint.load(model)
    change(found.meta)
    checkpoint.save(found, model.with_name("forged.ckpt"))
    return model.with_name("forged.ckpt")


@pytest.mark.parametrize("name", ["sertool", "linear"])
def test_a_checkpoint_of_no_frames(
    store: Path, sounds: Path, tmp_path: Path, cli: Cli, name: str
) -> None:
    model = tmp_path / "m.ckpt"
    line = ("train", "--model", name, store, model, "--resplit", "random:50:50")
    assert cli(*line, *(("--epochs", "1") if name == "sertool" else ())).code == 0
    wrong = forged(model, lambda meta: meta["model"].update(frames=0))
    for line in (("predict", wrong, sounds), ("eval", wrong, store), ("info", wrong)):
        one_line(cli(*line), 3)


@pytest.mark.parametrize("path", ["a\0b", ".", "forged.ckpt", "nowhere.ckpt"])
def test_an_embedding_of_what_is_not_there(
    store: Path, sounds: Path, tmp_path: Path, cli: Cli, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "m.ckpt"
    assert cli("train", store, model, "--resplit", "random:50:50").code == 0

    def change(meta: dict[str, Any]) -> None:
        given = {"checkpoint": path, "layer": "x", "sha256": "0" * 64}
        meta["pipeline"][-1] |= {"kind": "embedding", "settings": given}
        meta["kind"] = "embedding"

    result = cli("predict", forged(model, change), sounds)
    assert result.code in (1, 3)
    assert "forged.ckpt" in result.err or "checkpoint" in result.err


@pytest.mark.parametrize("job", ["[]", "null", "1", "[[[", '{"params": 3}', '{"params": {"a": 1}}'])
def test_parts_whose_job_is_anything(sounds: Path, tmp_path: Path, cli: Cli, job: str) -> None:
    line = ("featurize", "-q", "--kind", "mfcc", sounds, tmp_path / "o.h5", "--resume")
    parts = tmp_path / ".o.h5.parts"
    parts.mkdir()
    (parts / "job.json").write_text(job)
    result = cli(*line)
    assert result.code in (0, 3), result.err
    assert result.code == 0 or result.err.count("\n") == 1


@pytest.mark.parametrize(("command", "advice"), [("calibrate", "try again"), ("train", "--resume")])
def test_a_full_disk_asks_for_what_helps(command: str, advice: str, capsys: Any) -> None:
    def run() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "out")

    assert guarded(command, run) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"sertool {command}: out: the disk is full")
    assert said.endswith(f"{advice}\n")
