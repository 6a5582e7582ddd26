"""Files of format version 1, as sertool 0.1.0 wrote them, still read and give what they gave."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "data" / "v1"
DEMO = Path(__file__).parents[1] / "data" / "demo" / "corpus"
# eval's and predict's posteriors of each model, by the program that made the files
POSTERIORS = json.loads((HERE / "posteriors.json").read_text())
MODELS = ("linear", "majority", "per", "network", "image")

Cli = Callable[..., Any]


def model(name: str, folder: Path) -> Path:
    """Return a checkpoint; the network's is packed, most of its weights being 0."""
    if name != "network":
        return HERE / f"{name}.ckpt"
    path = folder / "network.ckpt"
    path.write_bytes(gzip.decompress((HERE / "network.ckpt.gz").read_bytes()))
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("manifest.jsonl", ("12 utterances", "fold")),
        ("wave.h5", ("kind wave", "version 1")),
        ("mel.h5", ("kind mel", "version 1")),
        ("image.h5", ("kind image", "version 1")),
        ("linear.ckpt", ("version 1", "linear")),
        ("per.ckpt", ("version 1", "gender male")),
        ("report.json", ("macro-F1", "UAR by gender")),
    ],
)
def test_info(cli: Cli, name: str, words: tuple[str, ...]) -> None:
    done = cli("info", HERE / name)
    assert done.code == 0
    if name == "report.json":  # those of version 1 have none
        assert "carries no checksum (an older version wrote it" in done.err
        assert done.err.count("\n") == 1
    else:
        assert done.err == ""
    assert all(word in done.out for word in words), done.out
    assert cli("info", "--json", HERE / name).code == 0


@pytest.mark.parametrize("name", MODELS)
def test_the_same_posteriors(cli: Cli, tmp_path: Path, name: str) -> None:
    checkpoint, store = model(name, tmp_path), HERE / ("image.h5" if name == "image" else "mel.h5")
    evaluated = cli("eval", "-q", "--json", "-", checkpoint, store)
    assert evaluated.code == 0, evaluated.err
    items = json.loads(evaluated.out)["items"]
    expected = POSTERIORS[name]
    assert {item["id"] for item in items} == set(expected["eval"])
    for item in items:
        assert item["posterior"] == pytest.approx(expected["eval"][item["id"]], abs=1e-6)
    files = [DEMO / path for path in expected["predict"]]
    predicted = cli("predict", "-q", "--whole-crop", "--vad", "off", checkpoint, *files)
    assert predicted.code == 0, predicted.err
    for line, wanted in zip(predicted.out.splitlines(), expected["predict"].values(), strict=True):
        assert json.loads(line)["posterior"] == pytest.approx(wanted, abs=1e-6)


def test_a_store_is_featurized_augmented_and_trained_on(cli: Cli, tmp_path: Path) -> None:
    noisy, mel = tmp_path / "noisy.h5", tmp_path / "mel.h5"
    assert cli("augment", "-q", "--awgn", "15", HERE / "wave.h5", noisy).code == 0
    settings = ("--set", "n_fft=256", "--set", "n_mels=8")
    done = cli("featurize", "-q", "--kind", "mel", *settings, noisy, mel)
    assert done.code == 0, done.err
    done = cli("train", "-q", "--test-fold", "0", HERE / "mel.h5", tmp_path / "m.ckpt")
    assert done.code == 0, done.err


def test_a_report_stands_beside_others(cli: Cli) -> None:
    done = cli("report", HERE / "report.json")
    assert done.code == 0, done.err
    assert "linear" in done.out


@pytest.mark.parametrize(
    ("what", "needed"),
    [
        ("manifest", ["id", "path"]),
        ("store", ["kind", "settings", "sample_rate", "lineage", "sha256"]),
        ("checkpoint", ["classes", "model", "pipeline", "dims", "lineage"]),
        ("report", ["classes", "confusion", "per_class", "protocol"]),
    ],
)
def test_json_schema(cli: Cli, what: str, needed: list[str]) -> None:
    done = cli("info", "--schema", what)
    assert done.code == 0, done.err
    schema = json.loads(done.out)
    first = schema["anyOf"][0] if "anyOf" in schema else schema  # reports are of two kinds
    top = schema["$defs"][first["$ref"].rpartition("/")[2]]
    assert set(needed) <= set(top["required"]) <= set(top["properties"])
    assert cli("info", "--schema", "poem").code == 2
