"""recipes/study.py on the embedded corpus: the queue runs, is held, stopped, and continues."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import ROOT, summary

QUEUE = """
[[batch]]
name = "partners"
recipe = "ma2018"
corpora = ["corpus"]
decides = "whether it runs"
minutes = 6
[batch.environment]
DATA = "demo"
EPOCHS = "{epochs}"
SEEDS = "0"
FOLDS = "1"
PAIRS = "spk01:spk07 spk02:spk08 spk03:spk09"
SYSTEMS = "sentences"
PROTOCOLS = "partners"
PRECISION = "bfloat16"
"""
CORPORA = ROOT / "data/demo"


def study(tmp_path: Path, *words: str | Path, epochs: int = 1) -> list[str]:
    queue = tmp_path / "queue.toml"
    queue.write_text(QUEUE.format(epochs=epochs))
    return [sys.executable, "recipes/study.py", "--queue", str(queue), *map(str, words)]


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "out"


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def alive(group: int) -> bool:
    """Whether a process of the group still runs; one that nobody has waited for does not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


def wait_for(done, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


def test_held_stopped_and_continued(tmp_path: Path, out: Path) -> None:
    words = ("run", CORPORA, out, "--poll", "0.1")
    process = subprocess.Popen(study(tmp_path, *words, epochs=500), cwd=ROOT)
    try:
        state_file = out / "ma2018" / ".demo-sentences-partners-seed0-fold1-first.ckpt.parts"
        wait_for(lambda: (state_file / "state.safetensors").exists())
        groups = json.loads((out / "queue.json").read_text())["groups"]
        assert call(study(tmp_path, "pause", out)).returncode == 0
        wait_for(lambda: all(state(pid) == "T" for pid in (*groups, process.pid)))
        assert call(study(tmp_path, "resume", out)).returncode == 0
        wait_for(lambda: all(state(pid) != "T" for pid in (*groups, process.pid)))
        assert call(study(tmp_path, "stop", out)).returncode == 0
        assert process.wait(60) == 143
        wait_for(lambda: not any(map(alive, groups)))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
    assert call(study(tmp_path, "stop", out)).returncode == 3
    result = call(study(tmp_path, "status", CORPORA, out))
    assert "2 runs left     0.2 h" in result.stdout


def test_runs_from_an_installed_commit_and_then_has_nothing_left(tmp_path: Path, out: Path) -> None:
    installed, out = out, tmp_path / "out"
    out.mkdir()
    (out / "code").symlink_to(installed / "code")
    done = call(study(tmp_path, "run", CORPORA, out, "--poll", "0.1"))
    assert done.returncode == 0, done.stderr
    assert "partners: 2 runs; whether it runs" in done.stdout
    commit = call(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
    assert (out / "code" / commit / "site/sertool/__init__.py").exists()
    report = summary(out / "ma2018", "demo-sentences-partners-seed0-fold1-first")
    assert report["tags"]["protocol"] == "partners"
    again = call(study(tmp_path, "run", CORPORA, out, "--poll", "0.1"))
    assert (again.returncode, again.stdout) == (0, "")
    assert "0 runs left" in call(study(tmp_path, "status", CORPORA, out)).stdout
