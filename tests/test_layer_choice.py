"""Features of several layers: models of tables choose one inside the folds, `probe` mixes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_models
import numpy as np
import pytest
import torch
from made_settings import parse
from made_stores import write_store
from small_store import items

from sertool.core.errors import InputError
from sertool.formats import checkpoint
from sertool.items import Item
from sertool.models import Tabular, create, layer_choice, linear, ridge, tabular
from sertool.models.probe import ProbeSettings
from sertool.models.scoring import Scorer
from sertool.training.baselines import groups

Cli = Callable[..., Any]
LAYERS, DIMS, GOOD = 4, 6, 2


def features(rows: list[Item], good: int = GOOD, spoiled: str = "") -> list[np.ndarray]:
    """Noise in which one layer tells the class; of the speaker `spoiled` another one does."""
    arrays = []
    for i, row in enumerate(rows):
        random = np.random.default_rng(i)
        array = random.standard_normal((1, LAYERS, DIMS)).astype(np.float32)
        layer = 0 if row.speaker == spoiled else good
        array[0, layer, sum(str(row.label).encode()) % DIMS] += 5.0
        arrays.append(array)
    return arrays


def rows_of(**given: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows (items, layers, dims), classes and groups of the small store's originals."""
    own = items(copies=0)
    targets = np.array([("anger", "calm", "joy").index(str(row.label)) for row in own])
    model = tabular("linear")
    rows = np.stack([layer_choice.row(model, a) for a in features(own, **given)])
    return rows, targets, groups(own, targets)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = items(copies=0)
    write_store(tmp_path / "s.h5", features(rows), rows, kind="ssl", frame_rate=0)
    return tmp_path / "s.h5"


@pytest.mark.parametrize("name", ["linear", "svm"])
def test_inner_folds_choose_the_layer(name: str) -> None:
    rows, targets, together = rows_of()
    model = tabular(name)
    arrays = layer_choice.fit(model, rows, targets, 3, np.ones(3), together)
    assert arrays["layer"].tolist() == [GOOD]
    assert arrays["layer_scores"].argmax() == GOOD
    assert arrays["layer_scores"].shape == (LAYERS,)
    plain = model.fit(rows[:, GOOD].astype(float), targets, 3, np.ones(3), together)
    shares = layer_choice.posterior(model, arrays, rows)
    np.testing.assert_array_equal(shares, model.posterior(plain, rows[:, GOOD].astype(float)))
    assert f"layer {GOOD} of 0 to {LAYERS - 1}, by inner folds" in layer_choice.describe(
        model, arrays
    )


def test_what_is_tested_does_not_choose(cli: Cli, tmp_path: Path) -> None:
    """The held-out speakers' best layer is another: nothing of them gets into the choice."""
    rows = items(copies=0)
    arrays = features(rows)
    for row, array, spoiled in zip(rows, arrays, features(rows, good=0), strict=True):
        if row.fold == 0:
            array[:] = 9 * spoiled
    write_store(tmp_path / "s.h5", arrays, rows, kind="ssl", frame_rate=0)
    result = cli("train", tmp_path / "s.h5", tmp_path / "m.ckpt", "--test-fold", "0")
    assert result.code == 0, result.err
    assert f"layer {GOOD} of 0 to 3, by inner folds (UAR " in result.err


def test_too_few_items_take_the_middle() -> None:
    rows, targets, _ = rows_of()
    arrays = layer_choice.fit(tabular("linear"), rows[:2], targets[:2], 2, np.ones(2), np.arange(2))
    assert arrays["layer"].tolist() == [LAYERS // 2]
    assert "too few items" in layer_choice.describe(tabular("linear"), arrays)


def test_shares_of_votes_choose_likewise() -> None:
    rows, targets, together = rows_of()
    shares = 0.8 * np.eye(3)[targets] + 0.2 / 3
    model = tabular("linear")
    arrays = layer_choice.fit_shares(model, rows, shares, np.ones(3), together)
    assert arrays["layer"].tolist() == [GOOD]
    plain = model.fit_shares(rows[:, GOOD].astype(float), shares, np.ones(3), together)
    np.testing.assert_array_equal(arrays["coef"], plain["coef"])


def test_a_layer_that_is_named(cli: Cli, store: Path, tmp_path: Path) -> None:
    model = linear.Linear(parse(linear.LinearSettings, ["layer=1"]))
    (array,) = features(items(copies=0)[:1])
    np.testing.assert_array_equal(layer_choice.row(model, array), array[0, 1].astype(float))
    assert layer_choice.row(tabular("majority"), array).shape == (0,)
    mean = layer_choice.row(ridge.Ridge(), array)
    np.testing.assert_allclose(mean, array[0].astype(float).mean(0))
    result = cli("train", store, tmp_path / "m.ckpt", "--set", "layer=9", "--test-fold", "0")
    assert (result.code, "layer=9: these features have layers 0 to 3" in result.err) == (3, True)
    write_store(tmp_path / "mel.h5", [np.ones((3, 4), np.float32)] * 36, items(copies=0))
    given = ("--set", "layer=1", "--test-fold", "0")
    result = cli("train", tmp_path / "mel.h5", tmp_path / "m.ckpt", *given)
    assert (result.code, "which has no layers" in result.err) == (2, True)
    result = cli("train", store, tmp_path / "m.ckpt", "--model", "ma2018", "--test-fold", "0")
    assert (result.code, "--set layer=N --set pool=none" in result.err) == (3, True)


@pytest.mark.parametrize("name", ["linear", "svm", "probe"])
def test_from_the_store_to_posteriors(cli: Cli, store: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.ckpt"
    given = ("--model", name, "--test-fold", "1", *(("--epochs", "40") if name == "probe" else ()))
    result = cli("train", store, path, *given)
    assert result.code == 0, result.err
    first = path.read_bytes()
    assert cli("train", store, path, *given, "--force").code == 0
    assert path.read_bytes() == first
    report = cli("eval", path, store, "--json", "-", "--require", "speaker-disjoint")
    assert report.code == 0, report.err
    arrays = features(items(copies=0))
    shares = Scorer.load(path).posterior(arrays)
    alone = np.concatenate([Scorer.load(path).posterior([array]) for array in arrays])
    np.testing.assert_allclose(shares, alone, atol=1e-6)
    truth = [("anger", "calm", "joy").index(str(row.label)) for row in items(copies=0)]
    assert (shares.argmax(1) == truth).mean() > 0.9


def test_the_mixture_learns_its_weights(cli: Cli, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    given = ("--model", "probe", "--test-fold", "none", "--epochs", "60", "--lr", "0.03")
    assert cli("train", store, path, *given).code == 0
    weights = torch.from_numpy(checkpoint.load(path).tensors["model.mix.weight"]).softmax(0)
    assert int(weights.argmax()) == GOOD


def test_the_probe_as_a_module() -> None:
    """Mean and mixture commute: pooled layers give what their frames do; padding does not count."""
    torch.manual_seed(0)
    network = made_models.network("probe", "hidden=5")
    assert isinstance(network.settings, ProbeSettings)
    module = network.build(None, (LAYERS, DIMS), 3).eval()
    with torch.no_grad():
        module.mix.weight.copy_(torch.tensor([0.0, 1.0, 2.0, -1.0]))
    x = torch.randn(2, 7, LAYERS, DIMS)
    lengths = torch.tensor([7, 4])
    logits = module(x, lengths)
    pooled = torch.stack([x[0].mean(0), x[1, :4].mean(0)]).unsqueeze(1)
    torch.testing.assert_close(module(pooled, torch.tensor([1, 1])), logits)
    weights = module.mix.weight.softmax(0)
    by_hand = (pooled[:, 0] * weights[:, None]).sum(1)
    torch.testing.assert_close(module.dense(by_hand), logits)
    one = made_models.network("probe", "layer=2", "hidden=0").build(None, (LAYERS, DIMS), 3).eval()
    torch.testing.assert_close(one(pooled, torch.tensor([1, 1])), one.dense(pooled[:, 0, 2]))
    with pytest.raises(InputError, match="layer=4: these features have layers 0 to 3"):
        made_models.network("probe", "layer=4").build(None, (LAYERS, DIMS), 3)
    flat = network.build(None, (DIMS,), 3).eval()
    assert flat(torch.randn(2, 7, DIMS), lengths).shape == (2, 3)


def test_an_older_checkpoint_without_the_setting() -> None:
    model = create("linear", {"C": 1.0})
    assert isinstance(model, Tabular)
    assert model.settings.layer == "auto"
