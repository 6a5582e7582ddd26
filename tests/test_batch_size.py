"""Tests of `--batch-size`: rounding apart it changes nothing, and neither timing nor workers do."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest

from sertool.audio.listening import Listened
from sertool.core import workers
from sertool.evaluation import predictor
from sertool.features.hearing import Clip, Heard
from sertool.features.stage import Segment
from sertool.items import Item

Cli = Callable[..., Any]
SMALL = ("--set", "pools=[2,2,2]", "--set", "hidden=4", "--set", "dense=5", "--epochs", "1")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of several lengths, a store, a network, and a network for each speaker."""
    from sertool.cli import main

    folder = tmp_path_factory.mktemp("batches")
    items = [item.replace(part="train") for item in made.corpus(folder / "wav", speakers=3)]
    made.store(folder / "s.h5", folder / "wav", items)
    for name, more in {"m": (), "per": ("--per", "speaker")}.items():
        files = [str(folder / "s.h5"), str(folder / f"{name}.ckpt")]
        assert main(["train", *files, "--model", "ma2018", *SMALL, *more]) == 0
    return folder


LIST_SLOWLY = """
import sys, time
for i, path in enumerate(sys.argv[1:]):
    print(path, flush=True)
    if i in (1, 6):
        time.sleep(0.4)  # longer than the wait for the next line
"""


def near(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], label: str) -> None:
    assert len(ours) == len(theirs) > 5
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[label] == other[label]
        assert mine["posterior"] == pytest.approx(other["posterior"], rel=0, abs=1e-6)


@pytest.mark.parametrize("name", ["m", "per"])
def test_predict(cli: Cli, toy: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    net, paths = toy / f"{name}.ckpt", sorted((toy / "wav").iterdir())
    (toy / "wav" / "broken.wav").write_bytes(b"no sound")
    paths.insert(2, toy / "wav" / "broken.wav")
    alone = cli("predict", net, *paths, "--batch-size", 1).out
    together = cli("predict", net, *paths, "--batch-size", 4).out
    assert cli("predict", net, *paths, "--batch-size", 4, "--workers", 2).out == together
    listing = [sys.executable, "-c", LIST_SLOWLY, *map(str, paths)]
    with subprocess.Popen(listing, stdout=subprocess.PIPE, text=True) as listed:
        monkeypatch.setattr(sys, "stdin", listed.stdout)
        assert cli("predict", net, "-", "--batch-size", 4).out == together
    rows = [[json.loads(line) for line in text.splitlines()] for text in (together, alone)]
    assert rows[0].pop(2) == rows[1].pop(2)  # the broken one
    near(*rows, label="label")
    (toy / "wav" / "broken.wav").unlink()


@pytest.mark.parametrize("name", ["m", "per"])
def test_eval(cli: Cli, toy: Path, name: str) -> None:
    def report(*more: object) -> Any:
        result = cli("eval", toy / f"{name}.ckpt", toy / "s.h5", "--all", "--json", "-", *more)
        assert result.code == 0, result.err
        return json.loads(result.out)

    alone, together = report("--batch-size", 1), report("--batch-size", 5)
    near(together["items"], alone["items"], label="prediction")
    assert report("--batch-size", 5) == together
    assert alone["lineage"][-1]["params"]["batch_size"] == 1
    assert together["lineage"][-1]["params"]["batch_size"] == 5


def test_who_waits_for_an_answer_gets_it(toy: Path) -> None:
    command = [sys.executable, "-m", "sertool", "predict", toy / "m.ckpt", "-", "-j", "2"]
    path = next(iter((toy / "wav").iterdir()))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(f"{path}\n".encode())
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 300)[0], "no answer"
            assert json.loads(process.stdout.readline())["path"] == str(path)
        process.stdin.close()
    assert process.returncode == 0


def heard(name: str, frames: int = 1, long: bool = False) -> tuple[Heard, None]:
    if long:
        return Heard(Item("", name), listened=Listened(8000, 8000)), None
    clip = Clip([Segment("", np.zeros((frames, 256), np.float32), 0.0, 1.0)], 1.0)
    return Heard(Item("", name), [clip]), None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([heard("a"), heard("b"), heard("c"), heard("d")], ["abc", "d"]),
        ([heard("a"), None, None, heard("b"), heard("c")], ["a", "bc"]),  # nothing more is there
        ([heard("a"), heard("b", long=True), heard("c")], ["ab", "c"]),
        ([heard("a"), heard("b", predictor.HELD >> 10), heard("c")], ["ab", "c"]),  # 1 kB a frame
    ],
)
def test_what_is_scored_together(
    given: Sequence[tuple[Heard, None] | None], expected: list[str]
) -> None:
    groups = list(predictor.together(given, 3))
    assert ["".join(one.item.path for one, _ in group) for group in groups] == expected


def test_nobody_waits_long_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.4, 0.6, 0.7])
    monkeypatch.setattr(predictor.time, "monotonic", lambda: next(now))
    groups = predictor.together([heard(name) for name in "abcd"], 99)
    assert [len(group) for group in groups] == [3, 1]


def test_no_more_processes_than_recordings(
    cli: Cli, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    real = workers.Boxes

    def counted(work: Any, count: int, limits: Any) -> Any:
        counts.append(count)
        return real(work, count, limits)

    monkeypatch.setattr(workers, "Boxes", counted)
    paths = sorted((toy / "wav").iterdir())[:3]
    result = cli("predict", toy / "m.ckpt", *paths, "--workers", 300)
    assert result.code == 0
    assert len(result.out.splitlines()) == 3
    assert counts == [3]
