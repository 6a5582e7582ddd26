"""Targets that are numbers: learned, tested, predicted and compared as numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audmetric
import made
import numpy as np
import pytest
import torch
from made_stores import write_store
from small_store import features, items

from sertool import regression
from sertool.formats import checkpoint
from sertool.items import Item
from sertool.training.heads import numbers_loss

Cli = Callable[..., Any]
FIELDS = ("valence", "arousal")
SHARE = 0.5  # of the variance of a column that is the number's


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve speakers in four folds; a column of the features is the number and as much noise."""
    random = np.random.default_rng(5)
    rows, arrays = [], []
    for s in range(12):
        for k in range(40):
            z = random.standard_normal(2)
            seen = z + np.sqrt(1 / SHARE - 1) * random.standard_normal(2)
            rated = {"valence": 3 + z[0], "arousal": 100 + 20 * z[1], "rank": int(k % 5)}
            rows.append(
                Item(f"c/{s}-{k}", f"/nowhere/{s}-{k}.wav", corpus="c", speaker=f"{s}",
                     gender="female" if s % 2 else "male", fold=s // 3, origin=f"c/{s}-{k}",
                     extra=rated)
            )  # fmt: skip
            arrays.append(np.tile(seen, (3, 1)).astype(np.float32))
    path = tmp_path_factory.mktemp("numbers") / "s.h5"
    write_store(path, arrays, rows, kind="mel")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small store, each item with two numbers that its features tell a little."""
    rows = items(copies=0)
    arrays = features(rows)
    for row, array in zip(rows, arrays, strict=True):
        row.extra |= {"valence": float(array[:, 0].mean()), "arousal": float(array[:, 1].mean())}
    path = tmp_path_factory.mktemp("numbers") / "small.h5"
    write_store(path, arrays, rows, kind="mel")
    return path


# --- measures ---


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_measures_are_audmetrics_and_add_up(offset: float) -> None:
    random = np.random.default_rng(0)
    truth = offset + random.standard_normal((60, 2))
    found = 0.5 * truth + random.standard_normal((60, 2))
    parts = [regression.sums(truth[at], found[at]) for at in np.split(np.arange(60), [7, 31])]
    whole = np.sum(parts, 0)
    assert whole == pytest.approx(regression.sums(truth, found), rel=1e-12)
    for k in range(2):
        pair = truth[:, k], found[:, k]
        assert regression.compute(whole[k]) == pytest.approx(
            {
                "ccc": audmetric.concordance_cc(*pair),
                "pearson": audmetric.pearson_cc(*pair),
                "rmse": np.sqrt(audmetric.mean_squared_error(*pair)),
                "mae": audmetric.mean_absolute_error(*pair),
            },
            abs=1e-6,
        )


@pytest.mark.parametrize(
    ("truth", "found", "ccc", "pearson"),
    [
        ([1.1, 2.2, 3.3], [2.7, 2.7, 2.7], 0.0, None),
        ([1.1, 1.1, 1.1], [1.1, 1.1, 1.1], None, None),
        ([1.1, 1.1], [1.1, 3.0], 0.0, None),
        ([0.1, 0.2, 0.7], [0.1, 0.2, 0.7], 1.0, 1.0),
    ],
)
def test_what_is_all_equal_has_no_correlation(
    truth: list[float], found: list[float], ccc: float | None, pearson: float | None
) -> None:
    sums = regression.sums(np.array(truth)[:, None], np.array(found)[:, None])
    made_ = regression.compute(sums[0])
    assert made_["ccc"] == (None if ccc is None else pytest.approx(ccc))
    assert made_["pearson"] == (None if pearson is None else pytest.approx(pearson))


def test_losses_are_those_of_the_literature() -> None:
    random = torch.Generator().manual_seed(1)
    found, truth = torch.randn(9, 2, generator=random), torch.randn(9, 2, generator=random)
    pairs = [(truth[:, k].numpy(), found[:, k].numpy()) for k in range(2)]
    ccc = np.mean([audmetric.concordance_cc(*pair) for pair in pairs])
    mse = np.mean([audmetric.mean_squared_error(*pair) for pair in pairs])
    assert float(numbers_loss(found, truth, "ccc")) == pytest.approx(1 - ccc, abs=1e-6)
    assert float(numbers_loss(found, truth, "mse")) == pytest.approx(mse, abs=1e-6)


# --- train and eval ---


def test_a_known_concordance_is_recovered(cli: Cli, known: Path, tmp_path: Path) -> None:
    """Of numbers half of whose columns' variance is noise a linear model has CCC 2R / (1 + R)."""
    target = ("--target", ",".join(FIELDS))
    result = cli("train", known, tmp_path / "m.ckpt", *target, "--test-fold", "all")
    assert result.code == 0
    assert "numbers, so the model is ridge" in result.err
    paths = [tmp_path / f"m.{fold}.ckpt" for fold in range(4)]
    out, figures = tmp_path / "r.json", tmp_path / "figures"
    shown = cli("eval", *paths, known, "--json", out, "--figures", figures)
    assert shown.code == 0
    assert "95 % intervals over 12 speakers" in shown.out
    report = json.loads(out.read_text())
    assert (report["kind"], report["version"], "confusion" in report) == ("numbers", 3, False)
    expected = 2 * SHARE / (1 + SHARE)
    for field in FIELDS:
        own = report["targets"][field]
        low, high = own["ci"]["ccc"]
        assert low < expected < high < low + 0.25
        pair = [[item[side][field] for item in report["items"]] for side in ("truth", "prediction")]
        assert own["ccc"] == pytest.approx(audmetric.concordance_cc(*pair))
        assert own["mae"] == pytest.approx(audmetric.mean_absolute_error(*pair))
        mean = report["baselines"]["mean"]["targets"][field]
        assert mean["ccc"] == pytest.approx(0.0, abs=0.05)
    assert {name: group["n"] for name, group in report["by"]["speaker"].items()} == {
        f"c/{s}": 40 for s in range(12)
    }
    assert [path.name for path in figures.iterdir()] == ["scatter.png"]


def test_intervals_are_over_speakers(cli: Cli, known: Path, tmp_path: Path) -> None:
    cli("train", known, tmp_path / "m.ckpt", "--target", "valence", "--test-fold", "all")
    out = tmp_path / "r.json"
    cli("eval", *(tmp_path / f"m.{fold}.ckpt" for fold in range(4)), known, "--json", out)
    report = json.loads(out.read_text())
    rows: dict[str, list[tuple[float, float]]] = {}
    for item in report["items"]:
        pair = item["truth"]["valence"], item["prediction"]["valence"]
        rows.setdefault(item["id"].partition("-")[0], []).append(pair)
    random, speakers, drawn = np.random.default_rng(0), list(rows), []
    for _ in range(2000):
        pairs = [pair for i in random.integers(0, 12, 12) for pair in rows[speakers[i]]]
        drawn.append(audmetric.concordance_cc(*zip(*pairs, strict=True)))
    wanted = np.percentile(drawn, [2.5, 97.5])
    assert report["targets"]["valence"]["ci"]["ccc"] == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("loss", ["ccc", "mse"])
def test_one_network_learns_several_numbers(
    cli: Cli, small: Path, tmp_path: Path, loss: str
) -> None:
    options = ("--target", ",".join(FIELDS), "--test-fold", 0, "--val-fold", 1, "--loss", loss)
    given = ("--model", "sundharam-cnn", "--epochs", 12, "--lr", 0.003, "--device", "cpu")
    path = tmp_path / "m.ckpt"
    result = cli("train", small, path, *options, *given)
    assert result.code == 0
    assert "validation CCC" in result.err
    loaded = checkpoint.load(path)
    header = loaded.header
    assert (header.classes, header.fields, header.model.outputs) == ([], list(FIELDS), 2)
    train = [row for row in items(copies=0) if row.fold == 2]
    assert len(loaded.part("train")) == len(train)
    history = header.history or []
    assert history[-1]["loss"] < history[0]["loss"]
    best = max(row["val_ccc"] for row in history)
    assert history[(header.best_epoch or 0) - 1]["val_ccc"] == best
    if loss == "ccc":
        assert all(row["val_loss"] == pytest.approx(1 - row["val_ccc"]) for row in history)
    out = tmp_path / "r.json"
    assert cli("eval", path, small, "--json", out).code == 0
    report = json.loads(out.read_text())
    assert set(report["baselines"]) == {"mean", "ridge"}
    assert len(report["items"]) == 12
    for item in report["items"]:  # in their own unit, not in deviations
        assert 2 < item["prediction"]["valence"] < 10


def test_items_without_a_number_are_left_out(cli: Cli, tmp_path: Path) -> None:
    rows = items(copies=0)
    for i, row in enumerate(rows):
        row.extra |= {"valence": i / 7, "arousal": None if i % 6 == 0 else i / 3}
    store, out = tmp_path / "s.h5", tmp_path / "r.json"
    write_store(store, features(rows), rows, kind="mel")
    target = ("--target", ",".join(FIELDS), "--test-fold", 0)
    result = cli("train", store, tmp_path / "m.ckpt", *target)
    assert result.code == 0
    assert "6 items without a valence,arousal are left out" in result.err
    assert cli("eval", tmp_path / "m.ckpt", store, "--json", out).code == 0
    assert json.loads(out.read_text())["targets"]["valence"]["n"] == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target", "valence,gender"), "gender is 'male' of an item, not a number"),
        (("--target", "valence,valence"), "names a field twice"),
        (("--target", "valence,mood"), "--target mood: no item has it"),
        (("--target", "valence,arousal", "--as-classes"), "--as-classes: --target"),
        (("--target", "rank", "--as-classes", "--as-numbers"), "exclude each other"),
        (("--target", "valence", "--model", "svm"), "--model svm: says classes"),
        (("--target", "gender", "--model", "ridge"), "--model ridge: says numbers"),
        (("--target", "gender", "--loss", "mse"), "--loss mse: is of numbers"),
        (("--target", "valence", "--per", "gender"), "--per gender: its models say classes"),
        (("--target", "valence", "--model", "sundharam-cnn", "--class-weights", "balanced"),
         "--class-weights: is of classes"),
        (("--target", "valence", "--model", "sundharam-cnn", "--monitor", "uar"),
         "--monitor uar: is of classes"),
        (("--target", "gender", "--model", "sundharam-cnn", "--monitor", "ccc"),
         "--monitor ccc: is of numbers"),
    ],
)  # fmt: skip
def test_what_numbers_and_classes_do_not_share(
    cli: Cli, known: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = cli("train", known, tmp_path / "m.ckpt", "--test-fold", "0", *options)
    assert result.code == 2
    assert said in result.err


def test_few_whole_numbers_are_either(cli: Cli, known: Path, tmp_path: Path) -> None:
    common = (known, tmp_path / "m.ckpt", "--target", "rank", "--test-fold", "0", "--force")
    assert cli("train", *common).code == 0
    assert checkpoint.load(tmp_path / "m.ckpt").header.classes == ["0", "1", "2", "3", "4"]
    assert cli("train", *common, "--as-numbers").code == 0
    assert checkpoint.load(tmp_path / "m.ckpt").header.fields == ["rank"]


def test_checkpoints_of_numbers_and_of_classes_are_no_folds(
    cli: Cli, known: Path, tmp_path: Path
) -> None:
    for fold, options in ((0, ("--as-numbers",)), (1, ())):
        given = ("--target", "rank", "--test-fold", fold, *options)
        assert cli("train", known, tmp_path / f"{fold}.ckpt", *given).code == 0
    result = cli("eval", tmp_path / "0.ckpt", tmp_path / "1.ckpt", known)
    assert result.code == 3
    assert "only folds of one experiment can be pooled" in result.err


# --- report ---


def evaluated(cli: Cli, store: Path, folder: Path, name: str, *options: object) -> Path:
    path, out = folder / f"{name}.ckpt", folder / f"{name}.json"
    given = ("--target", ",".join(FIELDS), "--test-fold", "all", *options)
    assert cli("train", store, path, *given).code == 0
    folds = sorted(folder.glob(f"{name}.?.ckpt"))
    assert cli("eval", *folds, store, "--summary", "--json", out).code == 0
    return out


def test_reports_are_compared_by_speaker(cli: Cli, known: Path, tmp_path: Path) -> None:
    ridge = evaluated(cli, known, tmp_path, "ridge")
    mean = evaluated(cli, known, tmp_path, "mean", "--model", "mean")
    result = cli("report", "--compare", ridge, mean, "--format", "json")
    assert result.code == 0
    (pair,) = json.loads(result.out)["pairs"]
    assert (pair["n_speakers"], pair["n_tested"]) == (12, 480)
    assert set(pair["figures"]) == {f"{m} {f}" for m in regression.MEASURES for f in FIELDS}
    own = json.loads(ridge.read_text())["targets"]["valence"]
    gap = pair["figures"]["ccc valence"]
    assert gap["systems"][0]["mean"] == pytest.approx(own["ccc"])
    assert gap["systems"][0]["ci"] == pytest.approx(own["ci"]["ccc"])
    assert gap["difference"]["ci"][0] > 0.4
    alone = cli("report", "--compare", ridge)
    assert "CCC valence" in alone.out
    assert cli("report", ridge, mean).out.count("[") > 8
    assert "CCC" in cli("info", ridge).out


def test_seeds_are_in_the_intervals(cli: Cli, small: Path, tmp_path: Path) -> None:
    network = ("--model", "sundharam-cnn", "--epochs", 1, "--device", "cpu", "--no-baselines")
    paths = [
        evaluated(cli, small, tmp_path, f"n{seed}", *network, "--seed", seed) for seed in range(2)
    ]
    result = cli("report", *paths, "--format", "json")
    assert result.code == 0, result.err
    (system,) = json.loads(result.out)["systems"]
    found = system["protocols"][""]["ccc valence"]
    each = [json.loads(path.read_text())["targets"]["valence"]["ccc"] for path in paths]
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["sd"] == pytest.approx(np.std(each, ddof=1))
    assert (found["n_seeds"], found["over"]) == (2, "speakers and seeds")


def test_a_damaged_report_is_said(cli: Cli, known: Path, tmp_path: Path) -> None:
    path = evaluated(cli, known, tmp_path, "r", "--model", "mean")
    raw = json.loads(path.read_text())
    for change, said in (
        ({"kind": "colours"}, "kind 'colours'"),
        ({"targets": {}}, "targets are not those of the model"),
        ({"version": 4}, "newer than this sertool's"),
    ):
        path.write_text(json.dumps(raw | change))
        result = cli("info", path) if "version" in change else cli("report", path)
        assert result.code == 3
        assert said in result.err
    raw["targets"]["valence"]["sums"].pop()
    path.write_text(json.dumps(raw))
    assert "sums are not 7 numbers" in cli("report", path).err


# --- predict ---


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, their store, and a model of two numbers of them."""
    folder = tmp_path_factory.mktemp("heard")
    rows = made.corpus(folder / "wav", speakers=3)
    for i, row in enumerate(rows):
        row.extra |= {"valence": 1 + i / 9, "arousal": 5 - (i % 7) / 3}
    made.store(folder / "s.h5", folder / "wav", rows)
    return folder


def test_predict_says_what_eval_says(cli: Cli, heard: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "m.ckpt", tmp_path / "r.json"
    train = ("--target", ",".join(FIELDS), "--test-fold", "none")
    assert cli("train", heard / "s.h5", path, *train).code == 0
    assert cli("eval", path, heard / "s.h5", "--all", "--json", out).code == 0
    wanted = {row["id"]: row["prediction"] for row in json.loads(out.read_text())["items"]}
    result = cli("predict", path, heard / "wav", "--vad", "off")
    assert result.code == 0
    assert "without a number" not in result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    found = {f"toy/{Path(row['path']).stem}": row["numbers"] for row in rows}
    assert found.keys() == wanted.keys()
    for name, numbers in found.items():
        assert numbers == pytest.approx(wanted[name], abs=1e-6)
    assert not {"label", "confidence", "posterior"} & rows[0].keys()
    assert {"heard", "windows", "model"} <= rows[0].keys()
    first = next((heard / "wav").iterdir())
    (line,) = csv.DictReader(io.StringIO(cli("predict", path, first, "--vad", "off", "--format",
                                             "csv").out))  # fmt: skip
    assert float(line["valence"]) == pytest.approx(found[f"toy/{first.stem}"]["valence"])
    table = cli("predict", path, first, "--vad", "off", "--format", "table").out
    assert table.split()[:2] == list(FIELDS)
    assert f"{float(line['arousal']):.4f}" in table


def test_silence_has_no_numbers(cli: Cli, heard: Path, tmp_path: Path) -> None:
    import soundfile

    path, silent = tmp_path / "m.ckpt", tmp_path / "silent.wav"
    train = ("--target", ",".join(FIELDS), "--test-fold", "none")
    assert cli("train", heard / "s.h5", path, *train).code == 0
    soundfile.write(silent, np.zeros(made.RATE), made.RATE, "PCM_16")
    result = cli("predict", path, silent)
    assert result.code == 0
    row = json.loads(result.out)
    assert (row["numbers"], row["speech"]) == (None, 0.0)
    assert "1 of 1 row without a number: no speech" in result.err
    for options in (("--only", "anger"), ("--reject", 0.5), ("--pool", "vote"),
                    ("--format", "srt"), ("--explain", tmp_path / "e")):  # fmt: skip
        refused = cli("predict", path, silent, *options)
        assert refused.code == 2
        assert "the model says numbers" in refused.err
