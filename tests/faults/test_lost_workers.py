"""Workers that are stopped, killed or out of memory: the run goes on, and names what it lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sertool.audio import decoding
from sertool.core import boxes
from sertool.formats.store import Store

pytestmark = pytest.mark.skipif(not boxes.FORKS, reason="processes are not forked here")
SPOILT = "s04.wav"
Words = Callable[[Path], list[object]]


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def term() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def kill_keeper() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


def fill() -> None:
    """Take more than what else this process began with may make room for, when it is let go."""
    [np.empty(1 << 27) for _ in range(32)]


@pytest.fixture(scope="module")
def model(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sertool.cli import main

    folder = tmp_path_factory.mktemp("model")
    for line in (
        f"prepare -q --split kfold:3 {sounds} {folder}/m.jsonl",
        f"featurize -q --kind mel {folder}/m.jsonl {folder}/f.h5",
        f"train -q --model logistic --test-fold 0 {folder}/f.h5 {folder}/m.ckpt",
    ):
        assert main(line.split()) == 0
    return folder / "m.ckpt"


@pytest.fixture
def struck(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Return what has a worker that reads `SPOILT` be struck, once or each time."""

    def prepared(how: Callable[[], None], times: int = 99) -> Path:
        real, log = decoding._read, tmp_path / "struck"
        log.touch()

        def read(path: Path, *given: Any, **more: Any) -> Any:
            if Path(path).name == SPOILT and log.stat().st_size < times:
                with open(log, "a") as file:
                    file.write("x")
                how()
            return real(path, *given, **more)

        monkeypatch.setattr(decoding, "_read", read)
        return log

    monkeypatch.setenv("SERTOOL_MEMORY", "0.1")
    return prepared


LIMITS = ("--workers", 2)
LOSSES = {
    stop: "took longer than 10 s; --file-timeout allows more",
    kill: "its process was killed, perhaps for lack of memory",
    fill: "takes more than 0.35 GB of memory; SERTOOL_MEMORY=1 in the environment allows more",
}


@pytest.mark.parametrize("how", LOSSES, ids=lambda how: how.__name__)
def test_featurize_names_the_one_that_is_lost(
    cli: Callable[..., Any],
    sounds: Path,
    tmp_path: Path,
    struck: Callable[..., Path],
    how: Callable[[], None],
) -> None:
    assert cli("featurize", "-q", sounds, tmp_path / "whole.h5").code == 0
    log = struck(how)
    limit = ("--file-timeout", 10) if how is stop else ()
    done = cli("featurize", *LIMITS, *limit, sounds, tmp_path / "o.h5")
    assert log.stat().st_size == (boxes.TRIES if how is kill else 1)
    assert done.code == 1, done.err
    named = [line for line in done.err.splitlines() if SPOILT in line]
    assert len(named) == 1, done.err
    assert LOSSES[how] in named[0]
    with Store(tmp_path / "whole.h5") as whole, Store(tmp_path / "o.h5") as store:
        assert store.verify()
        others = [i for i, item in enumerate(whole.items()) if Path(item.path).name != SPOILT]
        assert [item.id for item in store.items()] == [whole.items()[i].id for i in others]
        for at, i in enumerate(others):
            np.testing.assert_array_equal(store.features(at), whole.features(i))


@pytest.mark.parametrize(
    ("stage", "how"), [("featurize", kill), ("featurize", term), ("predict", kill)]
)
def test_who_is_killed_from_outside_is_replaced(
    cli: Callable[..., Any],
    sounds: Path,
    model: Path,
    tmp_path: Path,
    struck: Callable[..., Path],
    stage: str,
    how: Callable[[], None],
) -> None:
    """The outputs are the same bytes."""
    words, one, two = commands(stage, sounds, model, tmp_path)
    assert cli(*words(one)).code == 0
    log = struck(how, 2)
    done = cli(*words(two), *LIMITS)
    assert log.stat().st_size == 2
    assert done.code == 0, done.err
    assert done.err == ""
    assert two.read_bytes() == one.read_bytes()


@pytest.mark.parametrize("stage", ["featurize", "predict"])
def test_who_keeps_them_is_killed(
    cli: Callable[..., Any],
    sounds: Path,
    model: Path,
    tmp_path: Path,
    struck: Callable[..., Path],
    stage: str,
) -> None:
    """One line, no output and nobody left; with --resume the rest is done."""
    words, one, two = commands(stage, sounds, model, tmp_path)
    assert cli(*words(one)).code == 0
    struck(kill_keeper, 1)
    done = cli(*words(two), *LIMITS)
    assert done.code == 3, done.err
    assert done.err.count("\n") == 1
    assert "the process that keeps the workers was killed" in done.err
    assert not two.exists()
    assert cli(*words(two), *LIMITS, "--resume").code == 0
    assert two.read_bytes() == one.read_bytes()


def test_predict_names_the_one_that_is_lost(
    cli: Callable[..., Any],
    sounds: Path,
    model: Path,
    tmp_path: Path,
    struck: Callable[..., Path],
) -> None:
    words, one, two = commands("predict", sounds, model, tmp_path)
    assert cli(*words(one)).code == 0
    struck(kill)
    done = cli(*words(two), *LIMITS)
    assert done.code == 1, done.err
    assert done.err.count(SPOILT) == 1
    assert LOSSES[kill] in done.err
    whole = [json.loads(line) for line in one.read_text().splitlines()]
    lines = [json.loads(line) for line in two.read_text().splitlines()]
    assert [line for line in lines if "error" not in line] == [
        line for line in whole if SPOILT not in str(line)
    ]


def commands(stage: str, sounds: Path, model: Path, folder: Path) -> tuple[Words, Path, Path]:
    """Return the command line of a stage for an output, and two outputs."""
    if stage == "featurize":
        return lambda to: ["featurize", "-q", sounds, to], folder / "a.h5", folder / "b.h5"
    first, second = folder / "a.jsonl", folder / "b.jsonl"
    return lambda to: ["predict", "-q", model, sounds, "--output", to], first, second
