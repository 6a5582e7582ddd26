"""`train --parallel`: folds at once are what they are one after another; Ctrl-C ends them all."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import children
import pytest
from small_store import make

from sertool.core import ending, workers
from sertool.core.errors import InputError

Cli = Callable[..., Any]
CNN = ("--model", "sundharam-cnn", "--batch-size", 8, "--val-fold", "next", "--no-baselines")
ALL = ("--test-fold", "all")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("parallel") / "s.h5")


def folds(folder: Path, name: str = "m") -> list[bytes]:
    return [(folder / f"{name}.{k}.ckpt").read_bytes() for k in range(3)]


def test_folds_at_once_are_the_same_and_told_in_order(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    train = ("train", *CNN, *ALL, "--epochs", 2, "--keep-last")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = cli(*train, "--log", tmp_path / "one.log", store, tmp_path / "one" / "m.ckpt")
    more = ("--parallel", 2, "--log", tmp_path / "two.log")
    two = cli(*train, *more, store, tmp_path / "two" / "m.ckpt")
    assert (one.code, two.code) == (0, 0), two.err
    assert folds(tmp_path / "one") == folds(tmp_path / "two")
    last = [(tmp_path / each / "m.1.last.ckpt").read_bytes() for each in ("one", "two")]
    assert last[0] == last[1]
    assert two.err == one.err.replace("/one/", "/two/")
    events = [(tmp_path / f"{name}.log").read_text().count('"epoch"') for name in ("one", "two")]
    assert events[0] == events[1] >= 6
    again = cli(*train, "--parallel", 2, store, tmp_path / "two" / "m.ckpt")
    assert again.code == 3
    assert "m.0.ckpt: exists" in again.err


def test_one_model_is_trained_here(cli: Cli, store: Path, tmp_path: Path) -> None:
    done = cli(
        "train", "--model", "linear", "--test-fold", 0, "--parallel", 2, store, tmp_path / "m.ckpt"
    )
    assert done.code == 0
    assert "--parallel 2: there is one model to train" in done.err


def test_an_error_of_a_fold_is_that_of_the_command(cli: Cli, store: Path, tmp_path: Path) -> None:
    done = cli(
        *("train", *CNN, *ALL, "--epochs", 2, "--lr", 1e6, "--optimizer", "sgd", "--parallel", 2),
        *(store, tmp_path / "m.ckpt"),
    )
    assert done.code == 3
    assert done.err.count("try a lower --lr") == 1


@pytest.fixture(scope="module")
def whole(store: Path) -> list[bytes]:
    """The folds as nothing interrupted them."""
    from sertool.cli import main

    words = ["train", "--quiet", *CNN, *ALL, "--epochs", 20, store, store.parent / "m.ckpt"]
    assert main([str(word) for word in words]) == 0
    return folds(store.parent)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_all_end_and_the_rest_is_resumed(
    number: int, store: Path, whole: list[bytes], tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "sertool", "train", *CNN, *ALL, "--epochs", 20]
    command = [str(w) for w in (*words, "--parallel", 2, "--resume", store, tmp_path / "m.ckpt")]
    states = [tmp_path / f".m.{k}.ckpt.parts" / "state.safetensors" for k in (0, 1)]
    with children.interruptible(command) as process:
        deadline = time.monotonic() + 300
        while not any(state.exists() for state in states):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        started = children.below(process.pid)
        process.send_signal(number)
        _, told = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert len(started) >= 2  # Python's own tracker among them
    assert children.gone(started)
    assert "Traceback" not in told
    assert not all((tmp_path / f"m.{k}.ckpt").exists() for k in range(3))
    assert any(state.exists() for state in states)
    subprocess.run(command, check=True, capture_output=True)
    assert folds(tmp_path) == whole


def keep(folder: str, began: str) -> str:
    """Begin, and keep a file some time after TERM."""
    ended: list[int] = []
    with ending.answered(lambda: ended.append(1)):
        Path(folder, began).touch()
        while not ended:
            time.sleep(0.01)
    time.sleep(0.3)
    Path(folder, "kept", began).touch()
    raise ending.Terminated


def test_term_lets_processes_that_began_anew_keep_what_they_made(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    work = functools.partial(keep, str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    with closing(workers.ordered(work, ["a", "b", "c"], 2, anew=True, patience=0.02)) as results:
        assert next(results) is None
        while not all((tmp_path / name).exists() for name in "ab"):
            next(results)
        with pytest.raises(ending.Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
    assert sorted(os.listdir(tmp_path / "kept")) == ["a", "b"]
    assert not (tmp_path / "c").exists()
    assert signal.getsignal(signal.SIGTERM) is before is signal.SIG_DFL


def shout(task: int) -> int:
    """Return a number, later for a smaller one; die of 9."""
    if task == 9:
        signal.raise_signal(signal.SIGKILL)
    time.sleep(0.2 / (1 + task))
    return task


def test_processes_that_begin_anew_answer_in_order_and_their_death_is_told() -> None:
    assert list(workers.ordered(shout, range(4), 2, anew=True)) == [0, 1, 2, 3]
    with pytest.raises(InputError, match="use a smaller --parallel and --resume"):
        list(workers.ordered(shout, [0, 9], 2, anew=True))
