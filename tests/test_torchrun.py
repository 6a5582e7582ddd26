"""`torchrun … sertool train`: processes that train together make what one makes alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import make

from sertool.core import ranks
from sertool.formats import checkpoint

Cli = Callable[..., Any]
TRAIN = ("train", "--model", "sundharam-cnn", "--batch-size", 10, "--val-fold", "next")
CNN = (*TRAIN, "--test-fold", 0, "--class-weights", "balanced", "--optimizer", "sgd", "--lr", 1e-3)
WORDS = (*CNN, "--epochs", 12, "--patience", 10, "--mixup", 0.2)
TORCHRUN = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nproc-per-node=2",
    "-m",
    "--",
    "sertool",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("torchrun") / "s.h5")


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command in two processes; return what torchrun ended with."""
    command = [str(word) for word in (*TORCHRUN, *words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


def together(count: int, command: tuple[object, ...]) -> list[subprocess.Popen[str]]:
    """Start a command in processes that train together, as another launcher would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    words = [str(word) for word in command]
    return [
        subprocess.Popen(
            words,
            env=os.environ | meet | {"RANK": str(k), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(count)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return each process's exit code, and what it printed."""
    told = [process.communicate(timeout=900) for process in processes]
    return [(p.returncode, *texts) for p, texts in zip(processes, told, strict=True)]


def of_sertool(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("sertool train: ")]


def test_every_step_is_that_of_one_process(tmp_path: Path) -> None:
    # float64, in which rounding cannot hide a wrong gradient
    path = make(tmp_path / "s.h5", ragged=True, dims=64)
    script = Path(__file__).with_name("spread_steps.py")
    done = ended(together(3, (sys.executable, script, path)))
    assert [code for code, _, _ in done] == [0, 0, 0], done
    apart = [json.loads(out) for _, out, _ in done]
    assert apart[0] == apart[1] == apart[2]
    assert len(apart[0]) >= 7
    for name, gaps in apart[0].items():
        assert max(gaps) < 1e-10, name


@pytest.fixture(scope="module")
def both(store: Path) -> tuple[Path, str]:
    """What two processes of torchrun made, and what was said meanwhile."""
    made = store.with_name("two.ckpt")
    done = torchrun(*WORDS, "--log", store.with_name("two.log"), store, made)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return made, done.stderr


def test_torchrun_trains_what_one_process_trains(
    cli: Cli, store: Path, both: tuple[Path, str], tmp_path: Path
) -> None:
    two, told = both
    one = tmp_path / "one.ckpt"
    alone = cli(*WORDS, "--log", tmp_path / "one.log", store, one)
    assert alone.code == 0
    assert of_sertool(told) == alone.err.replace(str(one), str(two)).splitlines()
    logs = tmp_path / "one.log", two.with_name("two.log")
    assert len({len(log.read_text().splitlines()) for log in logs}) == 1
    theirs, ours = checkpoint.load(one), checkpoint.load(two)
    assert "processes" not in theirs.meta["environment"]
    assert ours.meta["environment"]["processes"] == "2"
    assert ours.meta["lineage"] == theirs.meta["lineage"]
    assert ours.items == theirs.items
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        np.testing.assert_allclose(ours.tensors[name], tensor, rtol=1e-3, atol=2e-4, err_msg=name)
    for own, other in zip(ours.meta["history"], theirs.meta["history"], strict=True):
        assert own == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(
    cli: Cli, store: Path, both: tuple[Path, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.ckpt"
    words = (*WORDS, "--resume", store, broken)
    command = (sys.executable, "-m", "sertool", *words)
    state = tmp_path / ".broken.ckpt.parts" / "state.safetensors"
    started = together(2, command)
    deadline = time.monotonic() + 900
    while not state.exists():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in started)
        time.sleep(0.01)
    started[1].send_signal(signal.SIGKILL)
    (code, out, told), _ = ended(started)
    assert (code, out) == (3, "")
    assert of_sertool(told)[-1].endswith("start all of them again with --resume")
    assert "Traceback" not in told
    alone = cli(*words)
    assert alone.code == 3
    assert "made with other settings or input (processes)" in alone.err
    assert [code for code, _, _ in ended(together(2, command))] == [0, 0]
    assert broken.read_bytes() == both[0].read_bytes()
    assert [one.name for one in tmp_path.iterdir()] == ["broken.ckpt"]


@pytest.mark.slow
def test_of_a_failure_of_all_one_speaks(store: Path, tmp_path: Path) -> None:
    done = torchrun(*CNN, "--lr", 1e6, "--epochs", 5, store, tmp_path / "m.ckpt")
    assert done.returncode == 1  # torchrun's own
    said = of_sertool(done.stderr)
    assert sum("try a lower --lr" in line for line in said) == 1
    assert "try a lower --lr" in said[-1]
    assert "exitcode  : 3" in done.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--model", "sundharam-cnn", "--parallel", 2), "--parallel 2: trains folds"),
        (("--model", "linear"), "--model linear: is fitted in one step"),
        (("--model", "huang2014"), "--model huang2014: has a loss of its own"),
        (("--model", "sundharam-cnn", "--per", "gender"), "--per gender: its models"),
    ],
)
def test_what_one_process_has_to_train_is_refused(
    cli: Cli,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    why: str,
) -> None:
    for name, value in zip(ranks.VARIABLES, ("0", "2", "127.0.0.1", "9"), strict=True):
        monkeypatch.setenv(name, value)
    done = cli("train", *words, "--test-fold", "all", store, tmp_path / "m.ckpt")
    assert done.code == 2
    assert why in done.err
    assert "without torchrun" in done.err
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ranks, "HEAD_START", 0.0)
    silent = cli("train", *words, "--test-fold", "all", store, tmp_path / "m.ckpt")
    assert (silent.code, silent.err) == (2, "")


def test_one_process_of_torchrun_is_alone(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*CNN, "--no-baselines", "--epochs", 1, store)
    assert cli(*words, tmp_path / "a.ckpt").code == 0
    for name, value in zip(ranks.VARIABLES, ("0", "1", "127.0.0.1", "9"), strict=True):
        monkeypatch.setenv(name, value)
    assert cli(*words, tmp_path / "b.ckpt").code == 0
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
