"""Provenance: every file keeps how it was made, and `info --commands` says how to make it again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import warm

import sertool
from sertool.core import environment
from sertool.evaluation import report as reports
from sertool.formats import checkpoint
from sertool.formats.made import records_of as lineage_of
from sertool.formats.store import Store

DEMO = Path(__file__).parents[1] / "data/demo/corpus"
Cli = Callable[..., object]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(cli: Cli, *lines: str) -> None:
    """Run command lines as they are typed."""
    for line in lines:
        found = cli(*shlex.split(line)[1:])
        assert found.code == 0, (line, found.err)


def told(cli: Cli, path: str | Path) -> list[str]:
    """Return what `info --commands` prints of a file."""
    found = cli("info", "--commands", path)
    assert found.code == 0, found.err
    return found.out.splitlines()


def identity(path: Path) -> str:
    """Return the identity of a manifest, store, checkpoint or report."""
    if path.suffix == ".jsonl":
        return path.read_text(encoding="utf-8")
    if path.suffix == ".h5":
        return Store(path).sha256
    if path.suffix == ".ckpt":
        return checkpoint.load(path).identity
    return reports.identity(json.loads(path.read_bytes()))


def same_again(lines: list[str], path: Path, folder: Path, **variables: object) -> None:
    """Run lines by a shell in a folder of their own; assert the same identity and bytes."""
    folder.mkdir(exist_ok=True)
    names = {name: str(value) for name, value in variables.items()}
    there = {"PATH": f"{warm.folder()}:{os.environ['PATH']}"}
    subprocess.run(
        ["sh", "-eu", "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | there | names,
        check=True,
        capture_output=True,
    )
    assert identity(folder / path.name) == identity(path)
    assert (folder / path.name).read_bytes() == path.read_bytes()


def stages(lines: list[str]) -> list[str]:
    """Return the stage that each line runs."""
    return [shlex.split(line)[1] for line in lines if not line.startswith("#")]


# --- manifests ---


def test_a_manifest_is_its_lines_and_knows_how_it_was_made(cli: Cli, here: Path) -> None:
    run(cli, f"sertool prepare {DEMO} m.jsonl --split speakers:4 --where 'label in anger,sadness'")
    rows = [json.loads(line) for line in Path("m.jsonl").read_text().splitlines()]
    assert all(row["id"] for row in rows)
    (record,) = lineage_of(Path("m.jsonl"))
    assert record.params["where"] == ["label in anger,sadness"]
    assert record.params["labels"] == "native"
    assert record.sources[0].name == "corpus"
    assert str(DEMO) not in str(record)
    lines = told(cli, "m.jsonl")
    expected = "sertool prepare \"$CORPUS\" m.jsonl --where 'label in anger,sadness'"
    assert lines[1:] == [f"{expected} --split speakers:4"]


def test_the_listing_has_no_place_but_every_size(cli: Cli, here: Path) -> None:
    found = []
    for name in ("a", "b", "c"):
        folder = here / name / "mine" / "angry"
        folder.mkdir(parents=True)
        size = 900 if name == "c" else 800
        soundfile.write(folder / "x.wav", np.zeros(size), 16000)
        run(cli, f"sertool prepare {here / name / 'mine'} {name}.jsonl --corpus folder")
        found.append(lineage_of(Path(f"{name}.jsonl"))[0].sources[0])
    assert found[0] == found[1]
    assert found[0].name == found[2].name
    assert found[0].sha256 != found[2].sha256


@pytest.mark.parametrize("change", ["lines", "gone", "damaged", "newer", "other"])
def test_nothing_is_claimed_of_a_manifest_that_was_changed(
    cli: Cli, here: Path, change: str
) -> None:
    run(cli, f"sertool prepare {DEMO} m.jsonl")
    path, beside = Path("m.jsonl"), Path(".m.jsonl.made")
    if change == "lines":  # as jq 'select(…)' leaves it
        path.write_text("".join(path.read_text().splitlines(keepends=True)[::2]))
    elif change == "gone":
        beside.unlink()
    elif change == "damaged":
        beside.write_text(beside.read_text()[:-9])
    elif change == "newer":
        beside.write_text(beside.read_text().replace("sertool-made", "sertool-made-2"))
    else:
        beside.write_text("[" * 100_000)
    assert lineage_of(path) == []
    assert cli("info", "--commands", path).code == 3
    run(cli, "sertool featurize m.jsonl f.h5")
    assert [record["stage"] for record in Store("f.h5").lineage] == ["featurize"]
    assert any("m.jsonl: a manifest, must be here" in line for line in told(cli, "f.h5"))


def test_manifests_of_manifests_and_streams(cli: Cli, here: Path) -> None:
    run(
        cli,
        f"sertool prepare {DEMO} a.jsonl --where label=anger",
        f"sertool prepare {DEMO} b.jsonl --where label=sadness",
        "sertool prepare a.jsonl b.jsonl all.jsonl --split speakers:2",
    )
    lines = told(cli, "all.jsonl")
    assert stages(lines) == ["prepare"] * 3
    same_again(lines, here / "all.jsonl", here / "again", CORPUS=DEMO)
    both = Path("a.jsonl").read_text() + Path("b.jsonl").read_text()
    piped = subprocess.run(
        [sys.executable, "-m", "sertool", "featurize", "-", "p.h5", "-q"],
        input=both.encode(), env=os.environ, check=True,
    )  # fmt: skip
    assert piped.returncode == 0
    lines = told(cli, "p.h5")
    assert lines[-1] == 'sertool featurize - p.h5 < "$LIST"'
    Path("list.jsonl").write_text(both)
    same_again(lines, here / "p.h5", here / "piped", LIST=here / "list.jsonl")


def test_two_corpora_are_two_variables_and_a_killed_write_leaves_the_old_pair(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (here / name / "angry").mkdir(parents=True)
        soundfile.write(here / name / "angry" / f"{name}.wav", np.zeros(800), 16000)
    run(cli, "sertool prepare one two m.jsonl --corpus folder --relative")
    lines = told(cli, "m.jsonl")
    assert [line[:10] for line in lines[:2]] == ["# CORPUS1:", "# CORPUS2:"]
    assert lines[2].startswith('sertool prepare "$CORPUS1" "$CORPUS2" m.jsonl')
    before = Path("m.jsonl").read_bytes(), lineage_of(Path("m.jsonl"))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sertool.formats.made.keep", full)
    assert cli("prepare", "one", "m.jsonl", "--corpus", "folder", "--force").code == 3
    assert (Path("m.jsonl").read_bytes(), lineage_of(Path("m.jsonl"))) == before


# --- what the lines give ---


def test_a_checkpoint_with_everything(cli: Cli, here: Path) -> None:
    labels = '[classes]\nhot = ["anger", "happiness"]\ncool = ["neutral", "sadness"]\n'
    (here / "maps").mkdir()
    (here / "maps" / "my map.toml").write_text(labels)
    run(
        cli,
        f"sertool prepare {DEMO} m.jsonl --labels 'maps/my map.toml' --split speakers:3"
        " --where 'label in hot,cool' --where 'speaker in spk01,spk02,spk03'",
        "sertool featurize m.jsonl wave.h5 --kind wave",
        "sertool augment wave.h5 noisy.h5 --awgn 10:20 --seed 3",
        "sertool featurize noisy.h5 mel.h5 --set n_mels=64 --set hop_length=128 --segment 0.5",
        "sertool train mel.h5 model.ckpt --model sundharam-cnn --epochs 1 --test-fold all"
        " --val 0.25 --set dropout=0.1 --lr 0.01 --where 'label in hot,cool'"
        " --augment time-mask=4:1 --seed 2",
    )  # fmt: skip
    lines = told(cli, "model.1.ckpt")
    assert stages(lines) == ["prepare", "featurize", "augment", "featurize", "train"]
    assert any("my map.toml" in line and line.startswith("#") for line in lines)
    for default in ("--batch-size", "--split-seed", "--optimizer", "--sample-rate", "--dtype"):
        assert all(default not in line for line in lines)
    again = here / "again"
    again.mkdir()
    (again / "my map.toml").write_text(labels)
    same_again(lines, here / "model.1.ckpt", again, CORPUS=DEMO)


def test_a_report_of_all_folds_and_one_on_another_store(cli: Cli, here: Path) -> None:
    run(
        cli,
        f"sertool prepare {DEMO} m.jsonl --split speakers:2",
        "sertool featurize m.jsonl f.h5 --kind mfcc --set n_mfcc=9",
        "sertool featurize m.jsonl g.h5 --kind mfcc --set n_mfcc=9 --compress gzip",
        "sertool train f.h5 m.ckpt --model svm --set C=2.5 --test-fold all",
        "sertool eval m.0.ckpt m.1.ckpt f.h5 --json r.json --tag 'corpus=the demo' --tag x=1",
        "sertool eval m.0.ckpt g.h5 --json s.json --all --summary",
    )
    lines = told(cli, "r.json")
    assert stages(lines) == ["prepare", "featurize", "train", "train", "eval"]
    same_again(lines, here / "r.json", here / "again", CORPUS=DEMO)
    lines = told(cli, "s.json")
    assert stages(lines) == ["prepare", "featurize", "train", "featurize", "eval"]
    same_again(lines, here / "s.json", here / "other", CORPUS=DEMO)


def test_fine_tuning_and_an_embedding(cli: Cli, here: Path) -> None:
    train = "sertool train f.h5 {} --model sundharam-cnn --epochs 1 --test-fold 0"
    again = here / "again"
    run(
        cli,
        f"sertool prepare {DEMO} m.jsonl --split speakers:2 --where 'speaker in spk01,spk02'",
        "sertool featurize m.jsonl f.h5 --set n_mels=64 --set hop_length=128 --duration 0.5",
        train.format("first.ckpt"),
        train.format("second.ckpt") + " --init first.ckpt --lr-scale 0.5",
    )
    lines = told(cli, "second.ckpt")
    assert stages(lines) == ["prepare", "featurize", "train", "train"]
    same_again(lines, here / "second.ckpt", again, CORPUS=DEMO)
    embed = "sertool featurize m.jsonl e.h5 --kind embedding --set checkpoint=first.ckpt"
    wrong = cli(*shlex.split(embed)[1:])
    layer = wrong.err.split(" has ")[1].split(",")[0].strip()
    run(cli, f"{embed} --set layer={layer}")
    lines = told(cli, "e.h5")
    assert stages(lines) == ["prepare", "featurize", "train", "featurize"]
    assert "sha256=" not in lines[-1]


def test_a_fused_checkpoint(cli: Cli, here: Path) -> None:
    run(
        cli,
        f"sertool prepare {DEMO} m.jsonl --split speakers:3",
        "sertool featurize m.jsonl f.h5",
        "sertool featurize m.jsonl g.h5 --kind mfcc",
        "sertool train f.h5 a.ckpt --test-fold 0",
        "sertool train g.h5 b.ckpt --test-fold 0 --model svm",
        "sertool fuse a.ckpt b.ckpt c.ckpt --weights 3,1",
    )
    lines = told(cli, "c.ckpt")
    assert stages(lines) == ["prepare", "featurize", "train", "featurize", "train", "fuse"]
    same_again(lines, here / "c.ckpt", here / "again", CORPUS=DEMO)


def test_files_of_one_name_get_folders(cli: Cli, here: Path) -> None:
    (here / "x").mkdir()
    run(
        cli,
        f"sertool prepare {DEMO} m.jsonl",
        "sertool featurize m.jsonl f.h5 --kind wave",
        "sertool featurize f.h5 x/f.h5 --kind mfcc",
    )
    lines = told(cli, "x/f.h5")
    assert lines[-2] == "mkdir -p 2 && sertool featurize m.jsonl 2/f.h5 --kind wave"
    assert lines[-1] == "sertool featurize 2/f.h5 f.h5 --kind mfcc"


def test_what_the_api_makes_says_the_same(cli: Cli, here: Path) -> None:
    manifest = sertool.prepare(DEMO, split="speakers:4", where=["label in anger,sadness"])
    store = sertool.featurize(manifest, "f.h5", kind="mfcc", n_mfcc=9)
    made = sertool.train(store, "m.ckpt", model="svm", C=2.0, test_fold=0)
    lines = told(cli, "m.ckpt")
    assert stages(lines) == ["prepare", "featurize", "train"]
    same_again(lines, here / "m.ckpt", here / "again", CORPUS=DEMO)
    manifest[0].label = "fear"  # which prepare did not say
    changed = sertool.featurize(manifest, "g.h5", kind="mfcc", n_mfcc=9)
    assert [record["stage"] for record in changed.lineage] == ["featurize"]
    report = sertool.evaluate(made, store)
    assert report.environment == environment.environment()


# --- the environment ---


@pytest.fixture
def trained(cli: Cli, here: Path) -> Path:
    run(
        cli,
        f"sertool prepare {DEMO} m.jsonl --split speakers:4",
        "sertool featurize m.jsonl f.h5",
        "sertool train f.h5 m.ckpt --test-fold 0",
        "sertool eval m.ckpt f.h5 --json r.json",
    )
    return here


def test_another_machine_gives_another_checksum_and_the_same_identity(
    cli: Cli, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = environment.environment()
    assert {"python", "sertool", "torch", "numpy", "processor"} <= set(found)
    assert os.uname().nodename not in found.values()

    def elsewhere(device: str = "cpu") -> dict[str, str]:
        return found | {"numpy": "9.9", "processor": "another"}

    monkeypatch.setattr("sertool.training.folds.environment", elsewhere)
    monkeypatch.setattr("sertool.evaluation.testing.environment", elsewhere)
    run(
        cli,
        "sertool train f.h5 n.ckpt --test-fold 0",
        "sertool eval m.ckpt f.h5 --json s.json",
    )
    one, other = (checkpoint.load(trained / name) for name in ("m.ckpt", "n.ckpt"))
    assert one.meta["environment"] == found
    assert one.identity == other.identity
    assert one.meta["sha256"] != other.meta["sha256"]
    raw = [json.loads((trained / name).read_bytes()) for name in ("r.json", "s.json")]
    assert raw[0]["environment"] == found
    assert reports.identity(raw[0]) == reports.identity(raw[1])
    assert raw[0]["sha256"] != raw[1]["sha256"]
    page = cli("info", "n.ckpt").out
    assert "environment (no part of the identity)" in page
    assert one.identity in page.replace("\n", "")


def test_a_changed_environment_or_number_is_noticed(cli: Cli, trained: Path) -> None:
    content = (trained / "m.ckpt").read_bytes()
    processor = environment.environment()["processor"].encode()
    assert processor in content
    (trained / "bad.ckpt").write_bytes(content.replace(processor, b"X" * len(processor)))
    assert cli("info", "bad.ckpt").code == 3
    raw = json.loads((trained / "r.json").read_bytes())
    for change in ({"environment": {"numpy": "1"}}, {"tags": {"corpus": "another"}}):
        (trained / "bad.json").write_text(json.dumps(raw | change))
        found = cli("info", "bad.json")
        assert found.code == 3
        assert "checksum is wrong" in found.err
    (trained / "order.json").write_text(json.dumps(dict(reversed(raw.items())), indent=3))
    assert cli("info", "order.json").code == 0


def test_older_files_have_no_environment_and_their_checksum_is_their_identity(
    cli: Cli, trained: Path
) -> None:
    made = checkpoint.load(trained / "m.ckpt")
    del made.meta["environment"], made.meta["sha256"]
    checkpoint.save(made, trained / "old.ckpt")
    old = checkpoint.load(trained / "old.ckpt")
    assert old.identity == old.meta["sha256"] == made.identity
    with h5py.File(trained / "f.h5") as file:
        lineage = json.loads(file.attrs["lineage"])
    assert [record["stage"] for record in lineage] == ["prepare", "featurize"]


def test_commands_excludes_what_else_is_printed(cli: Cli, trained: Path) -> None:
    assert cli("info", "m.ckpt", "--commands", "--json").code == 2
    assert cli("info", "m.ckpt", "--commands", "--items").code == 2
