"""Tests of `--batch-size`: rounding apart it changes nothing, and neither timing nor workers do."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made
import pytest

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
    alone = cli("predict", net, *paths).out
    together = cli("predict", net, *paths, "--batch-size", 4).out
    assert cli("predict", net, *paths, "--batch-size", 4, "--workers", 2).out == together
    read, write = os.pipe()

    def list_slowly() -> None:
        for i, path in enumerate(paths):
            os.write(write, f"{path}\n".encode())
            if i in (1, 6):
                time.sleep(0.4)  # longer than the wait for the next line
        os.close(write)

    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    thread = threading.Thread(target=list_slowly)
    thread.start()
    assert cli("predict", net, "-", "--batch-size", 4).out == together
    thread.join()
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

    alone, together = report(), report("--batch-size", 5)
    near(together["items"], alone["items"], label="prediction")
    assert report("--batch-size", 5) == together
    assert alone["lineage"][-1]["params"]["batch_size"] == 1
    assert together["lineage"][-1]["params"]["batch_size"] == 5
