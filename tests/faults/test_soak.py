"""A few trials of the soak, of stages of each sort: `make soak` does thousands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STAGES = ["featurize workers", "push"]  # one with parts and processes, one that makes a folder


def test_a_few_trials(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    log = tmp_path / "soak.jsonl"
    script = Path(__file__).with_name("soak.py")
    words = ["--rounds", "1", "--only", *STAGES]
    done = subprocess.run(
        [sys.executable, str(script), str(log), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    stopped = {(row["stage"], row["signal"], row["state"]) for row in rows if not row["late"]}
    assert len(stopped) == 10 * len(STAGES)


def test_a_soak_that_is_started_again_goes_on_and_finds_a_fault(tmp_path: Path) -> None:
    """With all trials in its log nothing is left to do; one with a fault ends it with 1."""
    import soak

    row = {"stage": "push", "late": False, "faults": [], "megabytes": 1, "answered": 0, "call": 1}
    rows = [
        row | {"signal": name, "state": state, "start": "fork"}
        for name in soak.SIGNALS
        for state in soak.STATES
    ]
    log = tmp_path / "soak.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in rows) + '{"stage": "pu')
    assert soak.read(log) == rows
    assert "| push | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 0 | 1 |" in soak.table(rows)
    assert (
        "6 kills (0 of processes started anew), 2 full disks, 2 with broken streams, 0 runs"
        in soak.table(rows)
    )
    rows[0] = rows[0] | {"faults": ["not whole: o"]}
    assert "lost 1, tracebacks 0, hangs 0, wrong 0;" in soak.table(rows)
    told = soak.counted(rows)
    assert [one["cases"] for one in told] == [1] * 10
    assert [one["lost"] for one in told] == [1] + [0] * 9
