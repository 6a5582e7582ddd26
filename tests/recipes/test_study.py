"""recipes/study.py on the embedded corpus: the queue runs, is held, stopped, and continues."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import ROOT

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
FIRST = "demo-sentences-partners-seed0-fold1-first"


def study(tmp_path: Path, *words: str | Path, epochs: int = 1) -> list[str]:
    queue = tmp_path / "queue.toml"
    queue.write_text(QUEUE.format(epochs=epochs))
    options = ["--queue", str(queue), "--results", str(tmp_path / "results")]
    return [sys.executable, "recipes/study.py", *options, *map(str, words)]


def folder(out: Path) -> Path:
    """Where the runs of the only settings are."""
    return next(out.glob("ma2018-*"))


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    (out / "code").mkdir(parents=True)  # what one test installs, the others take
    return out


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


def wait_for(done, seconds: float = 600.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


def test_held_stopped_and_continued(tmp_path: Path, out: Path) -> None:
    words = ("run", CORPORA, out, "--poll", "0.1")
    process = subprocess.Popen(study(tmp_path, *words, epochs=500), cwd=ROOT)
    try:
        state_file = (
            "ma2018-*/.demo-sentences-partners-seed0-fold1-first.ckpt.parts/state.safetensors"
        )
        wait_for(lambda: list(out.glob(state_file)))
        groups = [int(pid) for pid in json.loads((out / "queue.json").read_text())["groups"]]
        second = call(study(tmp_path, *words, epochs=500))
        assert (second.returncode, "a queue is running" in second.stderr) == (3, True)
        assert call(study(tmp_path, "pause", out)).returncode == 0
        wait_for(lambda: all(state(pid) == "T" for pid in (*groups, process.pid)))
        assert call(study(tmp_path, "resume", out)).returncode == 0
        wait_for(lambda: all(state(pid) != "T" for pid in (*groups, process.pid)))
        assert call(study(tmp_path, "stop", out)).returncode == 0
        assert process.wait(300) == 143
        wait_for(lambda: not any(map(alive, groups)))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
    assert call(study(tmp_path, "stop", out)).returncode == 3
    record = json.loads((folder(out) / f"runs/{FIRST}.json").read_text())
    assert record["state"] == "interrupted"
    assert record["wall"] > 0
    result = call(study(tmp_path, "status", CORPORA, out, epochs=500))
    assert "2 runs left     0.2 h (estimated)" in result.stdout


def test_a_number_that_another_process_has_by_now_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        one = {str(other.pid): "another time"}
        (tmp_path / "queue.json").write_text(json.dumps({"queue": one, "groups": one}))
        for action in ("pause", "stop"):
            assert call(study(tmp_path, action, tmp_path)).returncode == 3
        assert state(other.pid) == "S"
    finally:
        other.kill()
        other.wait()


def test_runs_from_an_installed_commit_and_then_has_nothing_left(tmp_path: Path, out: Path) -> None:
    installed, out = out, tmp_path / "out"
    out.mkdir()
    (out / "code").symlink_to(installed / "code")
    done = call(study(tmp_path, "run", CORPORA, out, "--poll", "0.1"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"1 of 2: partners: {FIRST}" in done.stdout
    commit = call(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
    assert (out / "code" / commit / "site/sertool/__init__.py").exists()
    report = json.loads((folder(out) / f"results/{FIRST}/{FIRST}.json").read_text())
    assert report["tags"]["protocol"] == "partners"
    again = call(study(tmp_path, "run", CORPORA, out, "--poll", "0.1"))
    assert (again.returncode, again.stdout) == (0, "")

    for _ in range(2):  # a second time changes nothing
        assert call(study(tmp_path, "keep", out)).returncode == 0
        lines = (tmp_path / "results/ma2018/corpus.jsonl").read_text().splitlines()
        made = [json.loads(line)["run"] for line in lines]
        assert [one["name"] for one in made] == [FIRST, FIRST.replace("first", "second")]
        assert made[0]["commits"] == [commit]
        assert made[0]["seconds"] > 0

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "code").symlink_to(out / "code")
    assert "0 runs left" in call(study(tmp_path, "status", CORPORA, fresh)).stdout
    other = call(study(tmp_path, "status", CORPORA, fresh, epochs=2)).stdout
    assert "2 runs left" in other, "runs with other epochs are other runs"


def test_a_failed_run_is_counted_and_the_queue_goes_on(tmp_path: Path, out: Path) -> None:
    installed, out = out, tmp_path / "out"
    out.mkdir()
    (out / "code").symlink_to(installed / "code")
    words = ("run", CORPORA, out, "--poll", "0.1")
    command = study(tmp_path, *words)
    queue = tmp_path / "queue.toml"
    queue.write_text(queue.read_text().replace("spk02:spk08", "nobody:noone"))
    done = call(command)
    assert done.returncode == 1
    assert done.stdout.count("study: failed: ") == 2
    assert "2 of 2" in done.stdout
    command[command.index("run")] = "status"
    told = call(command[:-2]).stdout
    assert "2 runs left" in told
    assert "2 failed" in told
