"""Standard streams that are closed, on a full disk, or without a reader: outputs are whole.

`make soak` does so with every stage, and with `--resume`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trial
from stages import DEMO, OUT
from trial import Streams

CLOSED: Streams = {0: "closed", 1: "closed", 2: "closed"}
FULL: Streams = {1: "full", 2: "full"}
GONE: Streams = {1: "gone", 2: "gone"}
DESK = """
prepare --split speakers:2 {d}/c {d}/m.jsonl
featurize --kind mel --set n_mels=4 --duration 0.5 {d}/m.jsonl {d}/f.h5
select {d}/f.h5 {d}/s1.h5 --where speaker=spk01
select {d}/f.h5 {d}/s2.h5 --where speaker=spk02
train --model majority --test-fold 0 {d}/f.h5 {d}/m.ckpt
eval {d}/m.ckpt {d}/f.h5 --json {d}/r.json
"""
WRITING = (  # one of each way of writing
    "prepare {d}/c o/m.jsonl",
    "prepare --to lhotse {d}/c o/l",
    "featurize --kind wave --workers 2 {d}/c o/w.h5",
    "merge {d}/s1.h5 {d}/s2.h5 o/m.h5",
    "convert {d}/s1.h5 o/s.npz",
    "eval {d}/m.ckpt {d}/f.h5 --json o/r.json --html o/r.html",
)
PRINTING = (
    *("--help", "--version", "list kinds", "info {d}/m.jsonl"),
    *("report {d}/r.json", "prepare {d}/c -"),
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = tmp_path_factory.mktemp("desk")
    for name in ("spk01", "spk02"):
        (desk / "c" / name).mkdir(parents=True)
        for path in (DEMO / name).glob("*_s1_r1.flac"):
            (desk / "c" / name / path.name).symlink_to(path)
    for line in DESK.format(d=desk).strip().splitlines():
        trial.must(line.split(), desk)
    return desk


@pytest.mark.parametrize("words", WRITING, ids=lambda words: words.partition(" {d}")[0])
def test_an_output_is_whole(desk: Path, tmp_path: Path, words: str) -> None:
    """No file of a stage gets the number of a stream, into which something is printed."""
    (tmp_path / OUT).mkdir()
    line = words.format(d=desk).split()
    trial.must(line, tmp_path)
    whole = trial.tree(tmp_path / OUT)
    assert whole
    for streams in (CLOSED, FULL):
        ended = trial.run([*line, "--force"], tmp_path, streams=streams)
        prints = streams is FULL and words.startswith("eval")
        assert (ended.code, ended.faults) == (3 if prints else 0, ()), ended.said
        assert trial.tree(tmp_path / OUT) == whole


@pytest.mark.parametrize("words", PRINTING)
def test_what_is_only_printed(desk: Path, tmp_path: Path, words: str) -> None:
    line = words.format(d=desk).split()
    for streams in (CLOSED, GONE):
        ended = trial.run(line, tmp_path, streams=streams)
        assert (ended.code, ended.faults, ended.said) == (0, (), "")
    ended = trial.run(line, tmp_path, streams={1: "full"})
    assert (ended.code, ended.faults) == (3, ()), ended.said
    assert ended.said.splitlines()[-1].endswith("standard output: the disk is full")


def test_a_process_that_starts_so(desk: Path) -> None:
    """Python's own streams, as a shell closes them, also in an odd environment."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    line = f"{sys.executable} -m sertool info {desk / 'm.jsonl'}"
    odd = f"PYTHONUNBUFFERED=1 COLUMNS={'9' * 30} SOURCE_DATE_EPOCH=x {line}"
    for words, tail, code in (
        *((line, "<&- >&- 2>&-", 0), (line, ">/dev/full 2>&1", 3)),
        *((odd, ">/dev/full", 3), (odd, ">/dev/null", 0)),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{words} {tail}"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == code
        assert done.stderr in ("", "sertool info: standard output: the disk is full\n")
