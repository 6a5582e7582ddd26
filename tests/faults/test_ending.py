"""TERM keeps what was trained and exits with 143; no Ctrl-C is lost, wherever it comes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_stores import write_store

from sertool.core import ending, paths
from sertool.formats import outputs


@pytest.fixture
def store(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 4}", "fold": i // 8}
        for i in range(16)
    ]
    arrays = [draw.normal(i % 2, 1, (9, 3)).astype(np.float32) for i in range(16)]
    write_store(tmp_path / "f.h5", arrays, rows)
    return tmp_path / "f.h5"


WORDS = ["train", "--model", "probe", "--epochs", 6, "--test-fold", 0, "--batch-size", 4]


@pytest.mark.parametrize("dear", [False, True], ids=["saves are cheap", "saves are dear"])
def test_term_keeps_the_state_and_exits_143(
    cli: Callable[..., Any],
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dear: bool,
) -> None:
    """In the middle of an epoch; where its state had been left out, with the end of the epoch."""
    from sertool.training import loop, saving

    assert cli(*WORDS, store, tmp_path / "whole.ckpt").code == 0
    (tmp_path / "o").mkdir()
    output, epochs = tmp_path / "o" / "o.ckpt", []
    real = loop.train_epoch

    def struck(run: Any, task: Any, epoch: int, progress: Any) -> Any:
        epochs.append(epoch)
        if epoch == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(run, task, epoch, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", struck)
        patch.setattr(saving, "SHARE", 1e-9 if dear else 1e9)
        result = cli(*WORDS, "--force", "--resume", store, output)
    assert result.code == 143
    assert result.err.splitlines()[-1] == "sertool train: ended by TERM; use --resume"
    assert epochs == [0, 1, 2, 3]
    assert os.listdir(output.parent) == [".o.ckpt.parts"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    begun: list[int] = []
    monkeypatch.setattr(loop, "train_epoch", lambda *given: begun.append(given[2]) or real(*given))
    assert cli(*WORDS, "--resume", store, output).code == 0
    assert begun == ([4, 5] if dear else [3, 4, 5]), "the state was not kept"
    assert output.read_bytes() == (tmp_path / "whole.ckpt").read_bytes()
    assert os.listdir(output.parent) == ["o.ckpt"]


def test_a_program_that_answers_term_itself_goes_on_to() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with ending.answered(lambda: pytest.fail("not ours to answer")):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


LOST = """
import signal, sys, time, weakref
from sertool.core import ending
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
ending.keep_signals()
class Thing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def callback(gone):
    signal.raise_signal(signal.SIGINT)
thing = Thing() if sys.argv[1] == "destructor" else type("Other", (), {})()
watched = weakref.ref(thing, callback) if sys.argv[1] == "callback" else None
del thing
for _ in range(1000):
    time.sleep(0.01)
print("went on")
"""


@pytest.mark.parametrize("where", ["destructor", "callback"])
def test_no_interrupt_is_lost_where_python_goes_on(where: str) -> None:
    """Python prints what is raised there, "Exception ignored in", and goes on."""
    done = subprocess.run(
        [sys.executable, "-c", LOST, where], capture_output=True, text=True, check=False
    )
    assert "went on" not in done.stdout
    assert "Exception ignored" not in done.stderr
    assert done.stderr.strip().endswith("KeyboardInterrupt")


def test_what_is_raised_there_besides_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))
    ending.keep_signals()

    class Thing:
        def __del__(self) -> None:
            raise ZeroDivisionError

    thing = Thing()
    del thing
    assert told == [ZeroDivisionError]


def test_an_interrupt_while_a_file_is_opened_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other error, of a descriptor that is closed twice, perhaps when it is another's."""
    (tmp_path / "a").write_text("a")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", interrupted)
        with pytest.raises(KeyboardInterrupt):
            paths.regular(tmp_path / "a")
    assert len(os.listdir("/proc/self/fd")) == before
    with paths.regular(tmp_path / "a") as file:
        assert file.read() == b"a"


@pytest.mark.parametrize("resume", [False, True])
def test_parts_that_are_being_removed_are_still_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    """Killed between any two of the files, at the end of a run or as another begins anew."""
    for count in range(1, 6):
        parts = outputs.Parts(tmp_path / "o", {"a": 1}, resume=False)
        for name in ("x", "y", "z"):
            parts.write(name, b"content")
        removed: list[Path] = []
        real = Path.unlink

        def unlink(path: Path, *more: bool, missing_ok: bool = False) -> None:
            if len(removed) == count:  # noqa: B023 (called at once)
                raise ZeroDivisionError
            removed.append(path)  # noqa: B023
            real(path, missing_ok=missing_ok)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", unlink)
            with contextlib.suppress(ZeroDivisionError):
                parts.remove_all()
        parts._lock.close()
        outputs.Parts(tmp_path / "o", {"a": 1}, resume=resume).remove_all()
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["sertool", "sertool.__main__"])
def test_nothing_is_imported_before_ctrl_c_is_answered(name: str) -> None:
    """Python's own traceback of an interrupt is all that could come there."""
    code = f"import sys; old = set(sys.modules); import {name}; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"sertool", name}
