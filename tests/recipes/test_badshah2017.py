"""The smallest slice of recipes/badshah2017.sh on a part of the embedded corpus, twice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import announced, few, run, summary

SLICE = {"EPOCHS": "1", "FOLDS": "2", "SIZE": "64", "PRECISION": "bfloat16", "DATA": "demo"}
ONLY = {"SYSTEMS": "cnn", "PROTOCOLS": "random speakers"}


def recipe(out: Path, *corpora: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("badshah2017", *corpora, out, **(SLICE | environment))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """OUTDIR with a space in its name, after the CNN; what it printed."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, few(), **ONLY)
    assert first.returncode == 0, first.stderr
    return out, first.stdout


def test_every_protocol_states_itself(done: tuple[Path, str]) -> None:
    out, printed = done
    for level in ("item", "file"):
        for split, apart in (
            ("random-seed0-fold2", (False, False)),
            ("speakers-seed0-fold2", (True, True)),
        ):
            report = summary(out, f"demo-64-epochs1-cnn-caffe-{split}-{level}")
            assert report["level"] == report["tags"]["level"] == level
            assert report["tags"]["protocol"] == split.split("-")[0]
            protocol = report["protocol"]
            assert (protocol["origin_disjoint"], protocol["speaker_disjoint"]) == apart
            assert report["store"]["kind"] == "image"
            assert all("mean_probability" in row for row in report["per_class"].values())
    seen = summary(out, "demo-64-epochs1-cnn-caffe-random-seed0-fold2-seen")
    assert (seen["tags"]["protocol"], seen["level"]) == ("seen", "file")
    assert sum(map(sum, seen["confusion"])) == 96
    assert "leak-free" in printed


def test_pictures_are_the_papers(done: tuple[Path, str]) -> None:
    out, _ = done
    stages = summary(out, "demo-64-epochs1-cnn-caffe-speakers-seed0-fold2-item")["lineage"]
    featurize = next(stage["params"] for stage in stages if stage["stage"] == "featurize")
    assert (featurize["sample_rate"], featurize["segment"], featurize["segment_hop"]) == (
        16000,
        1,
        0.4,
    )
    settings = featurize["settings"]
    assert (settings["window"], settings["win_length"], settings["colormap"]) == (
        "hamming",
        256,
        "jet",
    )
    train = stages[-2]["params"]["hyperparameters"]
    assert (train["optimizer"], train["momentum"], train["batch_size"]) == ("sgd", 0.9, 100)


def test_networks_start_as_those_of_caffe_or_with_zeros(
    done: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for system, variants in (("cnn", "zero"), ("alexnet", "lrn caffe")):
        given = {"SYSTEMS": system, "VARIANTS": variants, "PROTOCOLS": "speakers"}
        assert recipe(out, few(), **given).returncode == 0
    started = {}
    for system in ("cnn-caffe", "cnn", "alexnet-caffe"):
        where = done[0] if system == "cnn-caffe" else out
        report = summary(where, f"demo-64-epochs1-{system}-speakers-seed0-fold2-item")
        assert report["tags"].get("init", "") == system.partition("-")[2]
        assert report["tags"]["epochs"] == "1"
        params = report["lineage"][-2]["params"]
        settings, hp = params["settings"], params["hyperparameters"]
        first = settings["caffe" if "alexnet" in system else "bias"]
        started[system] = (first, hp["biases"], hp["normalisation"])
    assert started == {
        "cnn-caffe": (0.1, "caffe", "mean-image"),
        "cnn": (0.0, "alike", "mean"),
        "alexnet-caffe": (True, "caffe", "mean-image"),
    }


def test_starts_again_with_what_is_missing(done: tuple[Path, str]) -> None:
    out, printed = done
    gone = out / "results" / "demo-64-epochs1-cnn-caffe-random-seed0-fold2-file.json"
    text = gone.read_text()
    gone.unlink()
    again = recipe(out, few(), **ONLY)
    assert again.returncode == 0, again.stderr
    (said,) = announced("badshah2017", again.stderr)
    assert said.startswith("1 of 2")
    assert gone.read_text() == text
    assert again.stdout == printed


def test_alexnet_pretrained_on_another_corpus(tmp_path: Path) -> None:
    result = recipe(
        tmp_path / "out",
        *[few(), few()],
        SYSTEMS="transferred",
        PROTOCOLS="holdout75",
    )
    # the same recordings pre-trained it: what is held out was seen
    assert result.returncode == 3
    assert "recordings held out here" in result.stderr


def test_usage() -> None:
    wrong = run("badshah2017")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
