"""Files that vanish, shrink or change while a stage reads them: named, and never half believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from made_stores import write_store

from sertool.audio import decoding
from sertool.formats.store import Store


def gone(path: Path) -> None:
    path.unlink()


def shrunk(path: Path) -> None:
    os.truncate(path, 60)


def another(path: Path) -> None:
    path.write_text("not sound")


def emptied(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("change", [gone, shrunk, another, emptied])
def test_a_recording_that_changes_after_it_was_listed(
    cli: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    """The others are in the store; the one is named, and the stage exits 1."""
    (tmp_path / "c").mkdir()
    paths = [tmp_path / "c" / f"{i}.flac" for i in range(3)]
    draw = np.random.default_rng(0)
    for path in paths:
        soundfile.write(path, 0.1 * draw.standard_normal(8000), 16000)
    real, heard = decoding.decode, []

    def decode(path: Path, **more: Any) -> Any:
        heard.append(path)
        if len(heard) == 1:
            change(paths[1])
        return real(path, **more)

    monkeypatch.setattr(decoding, "decode", decode)
    result = cli("featurize", "-q", tmp_path / "c", tmp_path / "o.h5")
    assert result.code == 1, result.err
    named = [line for line in result.err.splitlines() if "1.flac" in line or "c/1" in line]
    assert len(named) == 1, result.err
    with Store(tmp_path / "o.h5") as store:
        assert len(store) == 2
        assert store.verify()


def spoil(path: Path, how: str, at: int) -> None:
    """Have a file end at a place, or hold other bytes there."""
    with open(path, "r+b") as file:
        if how == "shrinks":
            file.truncate(at)
        else:
            file.seek(at)
            file.write(bytes(range(8)))


@pytest.mark.parametrize("how", ["shrinks", "changes"])
def test_a_store_that_is_spoilt_while_it_is_trained_on(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It was whole when it was opened: the checksum of each item is that of what is used."""
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 4}", "fold": i // 4}
        for i in range(8)
    ]
    path, output = tmp_path / "f.h5", tmp_path / "m.ckpt"
    arrays = [draw.normal(i % 2, 1, (900, 3)) for i in range(8)]
    write_store(path, arrays, rows)
    output.write_bytes(b"old")
    at = path.read_bytes().index(arrays[5].tobytes())
    real = Store.check_features

    def checked(store: Store) -> None:
        spoil(path, how, at)
        real(store)

    monkeypatch.setattr(Store, "check_features", checked)
    result = cli("train", "-q", "--model", "linear", "--test-fold", 0, "--force", path, output)
    assert result.code == 3, result.err
    assert result.err.count("\n") == 1, result.err
    assert "f.h5" in result.err
    assert output.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["f.h5", "m.ckpt"]


@pytest.mark.parametrize("how", ["shrinks", "changes"])
@pytest.mark.parametrize(
    "words",
    [
        ["select", "{f}", "{o}", "--where", "label=joy"],
        ["merge", "{f}", "{o}"],
        ["convert", "{f}", "{o}.npz"],
        ["augment", "--spec-augment", "time-mask=9", "{f}", "{o}"],
    ],
    ids=lambda words: words[0],
)
def test_a_store_that_is_spoilt_once_it_is_open(
    cli: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    how: str,
) -> None:
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        for i in range(8)
    ]
    path = tmp_path / "f.h5"
    arrays = [draw.normal(0, 1, (900, 3)) for _ in range(8)]
    write_store(path, arrays, rows)
    at = path.read_bytes().index(arrays[5].tobytes())
    real = Store.__init__

    def opened(store: Store, *given: Any, **more: Any) -> None:
        real(store, *given, **more)
        spoil(path, how, at)

    monkeypatch.setattr(Store, "__init__", opened)
    line = [word.format(f=path, o=tmp_path / "o") for word in words]
    result = cli(*line, "-q")
    assert result.code == 3, result.err
    assert result.err.count("\n") == 1, result.err
    assert "f.h5" in result.err
    assert sorted(n for n in os.listdir(tmp_path) if not n.endswith(".parts")) == ["f.h5"]


def test_a_manifest_that_changes_between_two_runs_is_another(
    cli: Callable[..., Any], sounds: Path, tmp_path: Path
) -> None:
    """Parts and outputs of the one do not serve the other."""
    manifest, output = tmp_path / "m.jsonl", tmp_path / "o.h5"
    assert cli("prepare", "-q", sounds, manifest).code == 0
    assert cli("featurize", "-q", manifest, output).code == 0
    before = output.read_bytes()
    lines = manifest.read_text().splitlines()
    row = json.loads(lines[0]) | {"label": "boredom"}
    manifest.write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
    result = cli("featurize", "-q", "--resume", manifest, output)
    assert result.code == 3
    assert "another input" in result.err
    assert output.read_bytes() == before
