"""The smallest slice of recipes/huang2014.sh on a part of the embedded corpus, twice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import announced, few, run, summary

SLICE = {"EPOCHS": "1", "SEEDS": "0", "FOLDS": "1", "PATCHES": "400", "DATA": "demo"}


def recipe(out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("huang2014", few(), out, **(SLICE | environment))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """OUTDIR with a space in its name, after the split with speakers apart; what it printed."""
    out = tmp_path_factory.mktemp("recipe") / "an out"
    first = recipe(out, SPLITS="independent", ROWS="lif semi-cnn-no-s")
    assert first.returncode == 0, first.stderr
    return out, first


def trained(report: dict) -> dict:
    return next(s["params"] for s in report["lineage"] if s["stage"] == "train")


def test_unknown_speakers_clean_and_distorted(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, result = done
    conditions = ("speaker-independent-paper", "noise-speakers", "channel-speakers")
    names = ("lif", "semi-cnn-no-s")
    of = {
        (name, condition): summary(out, f"demo-{name}{usual}-independent-seed0-fold1-{condition}")
        for name, usual in zip(names, ("", "-epochs1"), strict=True)
        for condition in conditions
    }
    for report in of.values():
        assert report["protocol"]["speaker_disjoint"] is True
    settings = {name: trained(of[name, conditions[0]])["settings"] for name in names}
    assert settings["lif"]["features"] == "lif"
    assert (settings["semi-cnn-no-s"]["saliency"], settings["lif"]["saliency"]) == (0, 1)
    assert trained(of["semi-cnn-no-s", conditions[0]])["init"]["name"].endswith("kernels.ckpt")
    assert of["lif", "noise-speakers"]["tags"]["condition"] == "noise"
    assert of["lif", "noise-speakers"]["confusion"] != of["lif", conditions[0]]["confusion"]
    assert "semi-cnn-no-s" in result.stdout
    assert "the first stage comes from --init" in result.stderr
    assert not list(out.glob("demo-semi-cnn-*.ckpt"))


def test_one_speaker_and_starting_again(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, _ = done
    asked = {"SPLITS": "single independent", "ROWS": "teo lif", "SPEAKERS": "spk02"}
    result = recipe(out, **asked)
    assert result.returncode == 0, result.stderr
    assert [line[:6] for line in announced("huang2014", result.stderr)] == [
        "1 of 4",
        "2 of 4",
        "3 of 4",
    ]
    one, all_ = (
        summary(out, f"demo-teo-{name}-paper")
        for name in (
            "single-seed0-foldspk02-1-single-speaker",
            "independent-seed0-fold1-speaker-independent",
        )
    )
    assert set(one["by"]["speaker"]) == {"demo/spk02"}
    assert one["model"]["name"] == all_["model"]["name"] == "svm"


def test_two_machines_before_the_same_features(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Figure 1's linear one is given what the other was trained with, without another training."""
    out, _ = done
    start = "demo-semi-cnn-no-s-epochs1"
    rbf, linear = (
        summary(out, f"{start}{what}-seed0-fold1{machine}-speaker-independent-speakers")
        for what, machine in (("-independent", ""), ("-independent", "-linear"))
    )
    assert (rbf["tags"].get("classifier"), linear["tags"]["classifier"]) == (None, "linear")
    assert rbf["tags"]["epochs"] == linear["tags"]["epochs"] == "1"
    assert [trained(report)["settings"]["kernel"] for report in (rbf, linear)] == ["rbf", "linear"]
    assert trained(linear)["hyperparameters"]["lr_scale"] == 0
    assert trained(linear)["settings"]["saliency"] == 0
    weights = rbf["folds"][0]["training"]["terms"]["saliency_weight"]
    assert set(weights) == {0}


def test_variants_have_names_and_tags_of_their_own(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, _ = done
    asked = {"SPLITS": "independent", "ROWS": "lif saliency-0.1", "CONDITIONS": "clean"}
    result = recipe(out, **asked, NORMALISATION="speaker", PATIENCE="0", LAST="yes")
    assert result.returncode == 0, result.stderr
    end = "independent-seed0-fold1"
    condition = "speaker-independent-speakers"
    lif = summary(out, f"demo-lif-by-speaker-{end}-{condition}")
    assert lif["tags"]["normalisation"] == "speaker"
    assert lif["protocol"]["speaker_normalisation"] is True
    name = f"demo-saliency-0.1-by-speaker-epochs1-patience0-{end}"
    for what in ("", "-last", "-linear", "-linear-last"):
        tags = summary(out, f"{name}{what}-{condition}")["tags"]
        found = {key: tags[key] for key in ("feature", "clamp", "saliency", "epochs", "patience")}
        expected = {"feature": "semi-cnn", "clamp": "off", "saliency": "0.1", "epochs": "1"}
        assert found == expected | {"patience": "0"}
        assert (tags.get("kept"), tags.get("classifier")) == (
            "last" if "last" in what else None,
            "linear" if "linear" in what else None,
        )
    assert not list(out.glob("*saliency*.ckpt"))
    again = recipe(out, **asked, NORMALISATION="speaker", PATIENCE="0", LAST="yes", LIST="1")
    assert (again.returncode, again.stdout) == (0, "")


def test_usage() -> None:
    wrong = run("huang2014")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: ")
