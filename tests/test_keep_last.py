"""`train --keep-last`: the last epoch's weights beside the best one's, each a whole checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import make

from sertool.formats import checkpoint

Cli = Callable[..., Any]
CNN = ("--model", "sundharam-cnn", "--epochs", 4, "--batch-size", 16, "--lr", 0.01)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("keep") / "s.h5")


def weights(path: Path) -> dict[str, np.ndarray]:
    return checkpoint.load(path).subset("model")


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_last_is_what_training_without_validation_keeps(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    """Validation chooses, and touches nothing: the last weights are those of a run without it."""
    both, best, blind = (tmp_path / f"{name}.ckpt" for name in ("both", "best", "blind"))
    fold = ("--test-fold", 0)
    result = cli("train", store, both, *CNN, *fold, "--val-fold", 1, "--keep-last")
    assert result.code == 0
    assert "both.last.ckpt: the weights after the last epoch" in result.err
    assert cli("train", store, best, *CNN, *fold, "--val-fold", 1).code == 0
    train = ("--test-where", "fold=0", "--where", "fold in 0,2")
    assert cli("train", store, blind, *CNN, *train).code == 0
    last = tmp_path / "both.last.ckpt"
    assert same(weights(both), weights(best))
    assert same(weights(last), weights(blind))
    kept = {path: checkpoint.load(path).meta for path in (both, last)}
    assert kept[last]["best_epoch"] == 4
    assert kept[both]["best_epoch"] < 4
    assert not same(weights(both), weights(last))
    assert kept[both]["history"] == kept[last]["history"]
    assert checkpoint.load(last).items == checkpoint.load(both).items
    reports = [json.loads(cli("eval", p, store, "--json", "-", "--quiet").out) for p in kept]
    assert reports[0]["items"] != reports[1]["items"]
    assert reports[0]["protocol"] == reports[1]["protocol"]


def test_both_appear_or_none(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().name.startswith(".m.last.ckpt."):
            raise OSError(28, "No space left on device")

    words = ("train", store, tmp_path / "m.ckpt", *CNN, "--epochs", 1, "--keep-last")
    words += ("--test-fold", 0, "--val-fold", 1, "--no-baselines")
    monkeypatch.setattr(os, "fsync", fails)
    assert cli(*words).code == 3
    assert not list(tmp_path.glob("*.ckpt"))
    monkeypatch.undo()
    assert cli(*words, "--resume").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"m.ckpt", "m.last.ckpt"}


def test_every_fold_and_once_more(cli: Cli, store: Path, tmp_path: Path) -> None:
    words = ("train", store, tmp_path / "m.ckpt", *CNN, "--test-fold", "all", "--epochs", 1)
    assert cli(*words, "--keep-last").code == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"m.{i}{end}.ckpt" for i in range(3) for end in ("", ".last")]
    before = {name: (tmp_path / name).read_bytes() for name in names}
    again = cli(*words, "--keep-last")
    assert again.code == 3
    assert "exists" in again.err
    assert cli(*words, "--keep-last", "--resume").code == 0
    assert before == {name: (tmp_path / name).read_bytes() for name in names}


def test_a_last_epoch_that_is_gone_is_trained_again(cli: Cli, store: Path, tmp_path: Path) -> None:
    out, last = tmp_path / "m.ckpt", tmp_path / "m.last.ckpt"
    words = ("train", store, out, *CNN, "--test-fold", 0, "--val-fold", 1, "--keep-last")
    assert cli(*words).code == 0
    before = out.read_bytes(), last.read_bytes()
    last.unlink()
    again = cli(*words, "--resume")
    assert again.code == 0
    assert "m.last.ckpt: missing, so all outputs are made again" in again.err
    assert (out.read_bytes(), last.read_bytes()) == before
    other = cli(*words[:-1], "--force", "--epochs", 1)
    assert "m.last.ckpt: left as it is, from another training run" in other.err


def test_last_and_best_are_told_apart(cli: Cli, store: Path, tmp_path: Path) -> None:
    out, last = tmp_path / "m.ckpt", tmp_path / "m.last.ckpt"
    words = ("train", store, out, *CNN, "--test-fold", 0, "--val-fold", 1, "--keep-last")
    assert cli(*words).code == 0
    best = checkpoint.load(out).meta["best_epoch"]
    assert f"weights of epoch {best} of 4\n" in cli("info", out).out
    assert "weights of epoch 4 of 4, kept as the last\n" in cli("info", last).out
    report = json.loads(cli("eval", last, store, "--json", "-", "--quiet").out)
    assert report["kept"] == "last"
    mixed = cli("eval", out, last, store)
    assert mixed.code == 3
    assert "its weights (of the last epoch) differ" in mixed.err


def test_where_there_is_no_last_epoch(cli: Cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    result = cli("train", store, out, "--test-fold", 0, "--keep-last")
    assert result.code == 2
    assert "--keep-last: not available for linear, it has no epochs" in result.err
    result = cli("train", store, out, *CNN, "--test-fold", 0, "--per", "gender", "--keep-last")
    assert result.code == 2
    assert "not available with --per gender" in result.err
    (tmp_path / "m.last.ckpt").write_text("mine")
    result = cli("train", store, out, *CNN, "--test-fold", 0, "--keep-last")
    assert result.code == 3
    assert "m.last.ckpt" in result.err
    assert not out.exists()
