"""`train --precision auto`: a fixed table decides, and what it chose is what is recorded."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_store import make

from sertool.formats import checkpoint
from sertool.models import MODELS, Network, model, precision

Cli = Callable[..., Any]
CNN = ("--model", "sundharam-cnn", "--epochs", 3, "--batch-size", 16, "--no-baselines")
FOLD = ("--test-fold", 0)
NAME = "sundharam-cnn"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("precision") / "s.h5")


@pytest.fixture
def ratio(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set what the table has for the network on this machine's processor."""
    here = precision.kind(torch.device("cpu"))
    return lambda value: monkeypatch.setattr(precision, "RATIOS", {here: {NAME: value}})


def recorded(path: Path) -> set[str]:
    """Return every precision that a checkpoint tells of its training."""
    meta = checkpoint.load(path).meta
    params = meta["lineage"][-1]["params"]
    return {meta["training"]["precision"], params["hyperparameters"]["precision"]}


def test_the_table_is_of_networks_that_there_are() -> None:
    assert precision.RATIOS
    for kind, ratios in precision.RATIOS.items():
        assert kind in ("cpu", "cpu-bf16", "cuda", "cuda-old", "mps")
        for name, value in ratios.items():
            assert name in MODELS
            assert issubclass(model(name), Network)
            assert 0.05 < value < 20


def test_auto_is_bfloat16_where_it_was_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        precision, "RATIOS", {"cpu-bf16": {"a": 0.5, "b": 0.9, "c": 2.0}, "cpu": {"a": 1.5}}
    )
    found = {
        (name, kind): precision.chosen(name, kind)
        for name in ("a", "b", "c", "d")
        for kind in ("cpu-bf16", "cpu", "cuda")
    }
    assert [pair for pair, chosen in found.items() if chosen == "bfloat16"] == [("a", "cpu-bf16")]
    assert set(found.values()) == {"float32", "bfloat16"}


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "cpu-bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "cpu-bf16"),
        ({"avx512_bf16": False, "avx512_f": True}, "cpu"),
        ({}, "cpu"),
        (None, "cpu"),  # a torch that cannot tell
    ],
)
def test_kinds_of_processors(
    able: dict[str, bool] | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if able is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert precision.kind(torch.device("cpu")) == expected


@pytest.mark.parametrize(("able", "expected"), [((7, 5), "cuda-old"), ((9, 0), "cuda")])
def test_kinds_of_gpus(
    able: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: able)
    assert precision.kind(torch.device("cuda")) == expected
    assert precision.kind(torch.device("mps")) == "mps"


@pytest.mark.parametrize(("value", "chosen"), [(0.5, "bfloat16"), (1.2, "float32")])
def test_what_was_chosen_is_as_if_it_were_asked_for(
    value: float,
    chosen: str,
    ratio: Callable[[float], None],
    cli: Cli,
    store: Path,
    tmp_path: Path,
) -> None:
    """Byte for byte: nothing tells that a table chose it, and nothing depends on that."""
    ratio(value)
    asked, auto = tmp_path / "asked.ckpt", tmp_path / "auto.ckpt"
    assert cli("train", store, asked, *CNN, *FOLD, "--precision", chosen).code == 0
    result = cli("train", store, auto, *CNN, *FOLD, "--precision", "auto")
    assert result.code == 0
    assert f"precision: {chosen} (on " in result.err
    assert auto.read_bytes() == asked.read_bytes()
    assert recorded(auto) == {chosen}


def test_unless_it_is_asked_for_nothing_chooses(
    ratio: Callable[[float], None], cli: Cli, store: Path, tmp_path: Path
) -> None:
    ratio(0.1)
    out = tmp_path / "m.ckpt"
    result = cli("train", store, out, *CNN, *FOLD)
    assert (result.code, recorded(out)) == (0, {"float32"})
    assert "precision" not in result.err


def test_a_resumed_run_keeps_what_was_chosen(
    ratio: Callable[[float], None],
    cli: Cli,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Begun where bfloat16 is faster, ended where it is not: the same bytes as on one machine."""
    from sertool.training.saving import Saver

    whole, out = tmp_path / "whole.ckpt", tmp_path / "m.ckpt"
    command = (*CNN, "--test-fold", "all", "--precision")
    assert cli("train", store, whole, *command, "bfloat16").code == 0
    ratio(0.5)
    saved, left = Saver.save, [5]  # the first fold's epochs, and two of the second's

    def save(self: Saver, run: Any) -> None:
        saved(self, run)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(Saver, "save", save)
        assert cli("train", store, out, *command, "auto").code != 0
    gc.collect()  # the lock goes with the run
    assert (tmp_path / "m.0.ckpt").exists()
    assert (tmp_path / ".m.1.ckpt.parts" / "state.safetensors").exists()
    ratio(3.0)
    result = cli("train", store, out, *command, "auto", "--resume")
    assert result.code == 0
    assert "precision: bfloat16 (chosen by the run that goes on)" in result.err
    for fold in range(3):
        expected = (tmp_path / f"whole.{fold}.ckpt").read_bytes()
        assert (tmp_path / f"m.{fold}.ckpt").read_bytes() == expected, fold
    again = cli("train", store, out, *command, "auto", "--resume")
    assert again.err.count("already complete") == 3
    afresh = cli("train", store, out, *command, "auto", "--resume", "--force")
    assert afresh.code == 0
    assert recorded(tmp_path / "m.0.ckpt") == {"float32"}


def test_parts_of_the_first_fold_alone_tell_it_too(
    ratio: Callable[[float], None],
    cli: Cli,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sertool.training.saving import Saver

    def save(self: Saver, run: Any) -> None:
        raise KeyboardInterrupt

    ratio(0.5)
    out = tmp_path / "m.ckpt"
    with monkeypatch.context() as stopped:
        stopped.setattr(Saver, "save", save)
        assert cli("train", store, out, *CNN, *FOLD, "--precision", "auto").code != 0
    gc.collect()
    ratio(3.0)
    assert cli("train", store, out, *CNN, *FOLD, "--precision", "auto", "--resume").code == 0
    assert recorded(out) == {"bfloat16"}


def test_a_model_fitted_whole_has_no_precision(cli: Cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    result = cli("train", store, out, "--model", "linear", *FOLD, "--precision", "auto")
    assert result.code == 0
    assert "precision: no effect on linear" in result.err
    assert "precision" not in checkpoint.load(out).meta["training"]
