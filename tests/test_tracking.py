"""train --track: epochs in TensorBoard's files, as TensorBoard reads them, and in a plug-in's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_store import make

Cli = Callable[..., Any]
PLUGIN = """
import json
from sertool.training.tracking import Tracker

class Lines(Tracker):
    def __init__(self, place):
        self.file = open(place, "w")

    def epoch(self, run, number, values):
        if number == 2 and "fail" in self.file.name:
            raise RuntimeError("out of\\nreach")
        self.file.write(json.dumps([run, number, values]) + "\\n")

    def close(self):
        self.file.write('"closed"\\n')
        self.file.close()

PLUGINS = {"sertool.trackers": {"lines": Lines}}
"""


@pytest.fixture
def train(cli: Cli, tmp_path: Path) -> Cli:
    """Train a small network for three epochs, with further options."""
    make(tmp_path / "s.h5")

    def run(*options: object, name: str = "m.ckpt") -> Any:
        words = ["--model", "sundharam-cnn", "--epochs", 3, "--test-fold", 0, *options]
        return cli("train", tmp_path / "s.h5", tmp_path / name, *words)

    return run


def epochs(log: Path) -> list[dict[str, Any]]:
    """Return the epochs of a log."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [row for row in rows if row["event"] == "epoch"]


def test_tensorboard_reads_the_epochs_of_the_log(train: Cli, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train().code == 0
    found = train("--track", f"tensorboard={tmp_path / 'tb'}", "--log", tmp_path / "log", name="t")
    assert found.code == 0, found.err
    assert (tmp_path / "t").read_bytes() == (tmp_path / "m.ckpt").read_bytes()
    rows = epochs(tmp_path / "log")
    (folder,) = (tmp_path / "tb").iterdir()
    read = EventAccumulator(str(folder)).Reload()
    assert len(rows) == 3
    assert "loss" in read.Tags()["scalars"]
    for name in read.Tags()["scalars"]:
        scalars = [(one.step, one.value) for one in read.Scalars(name)]
        assert scalars == [(row["epoch"], pytest.approx(row[name])) for row in rows]


def test_a_plug_in_follows(train: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PLUGIN)
    plugin = ["--plugin", tmp_path / "p.py"]
    found = train(*plugin, "--track", f"lines={tmp_path / 'a'}", "--log", tmp_path / "log")
    assert found.code == 0, found.err
    *lines, last = map(json.loads, (tmp_path / "a").read_text().splitlines())
    rows = epochs(tmp_path / "log")
    assert [(n, values["loss"]) for _, n, values in lines] == [
        (r["epoch"], r["loss"]) for r in rows
    ]
    assert last == "closed"
    found = train(*plugin, "--track", f"lines={tmp_path / 'fail'}", name="n.ckpt")
    assert found.code == 0
    assert "out of reach; training goes on without it" in found.err
    assert (tmp_path / "n.ckpt").read_bytes() == (tmp_path / "m.ckpt").read_bytes()
    assert len((tmp_path / "fail").read_text().splitlines()) == 2


def test_what_is_wrong_is_said(train: Cli, tmp_path: Path) -> None:
    assert train("--track", "tensorboard").code == 2
    assert train("--track", "nobody=x").code == 2
    (tmp_path / "p.py").write_text(PLUGIN)
    place = tmp_path / "no" / "a"
    assert train("--plugin", tmp_path / "p.py", "--track", f"lines={place}").code == 3
    assert not (tmp_path / "m.ckpt").exists()


EXAMPLE = Path(__file__).parents[1] / "examples" / "trackers.py"


def test_mlflow_reads_the_epochs(
    train: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = str(tmp_path / "runs")
    found = train("--plugin", EXAMPLE, "--track", f"mlflow={place}", "--log", tmp_path / "log")
    assert (found.code, "goes on without" in found.err) == (0, False), found.err
    client = mlflow.MlflowClient(tracking_uri=place)
    (run,) = client.search_runs([client.get_experiment_by_name("sertool").experiment_id])
    losses = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "loss")]
    assert losses == [(row["epoch"], row["loss"]) for row in epochs(tmp_path / "log")]
    assert run.info.status == "FINISHED"


def test_wandb_writes_a_run_offline(
    train: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    found = train("--plugin", EXAMPLE, "--track", "wandb=demo")
    assert (found.code, "goes on without" in found.err) == (0, False), found.err
    (kept,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"train_uar" in kept.read_bytes()
