"""How sure a model is beside how often it is right: ECE, Brier, log loss, and their figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import Speech, report, result, speech, write
from matplotlib.container import BarContainer
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as reference_log_loss

from sertool import metrics
from sertool.core.errors import InputError
from sertool.evaluation import figures, measures, pooling, reliability
from sertool.evaluation import report as reports
from sertool.evaluation.reliability import BINS, calibration_error
from sertool.evaluation.terminal import render
from sertool.ui import tables

Cli = Callable[..., Result]
KEYS = ("ece", "brier", "log_loss")


def drawn(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, classes, n), random.dirichlet(np.ones(classes), n)


def by_hand(truth: np.ndarray, shares: np.ndarray) -> float:
    """Guo et al. 2017, equation 3, bin by bin: ((m − 1)/M, m/M]."""
    error, sure = 0.0, shares.max(1)
    for b in range(BINS):
        own = (sure > b / BINS) & (sure <= (b + 1) / BINS)
        if own.any():
            right = (shares[own].argmax(1) == truth[own]).mean()
            error += own.mean() * abs(right - sure[own].mean())
    return error


def values(truth: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    sums = reliability.rows(truth, shares).sum(0)
    return {name: float(measure(sums)) for name, measure in reliability.MEASURES.items()}


@given(st.integers(1, 80), st.integers(2, 6), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_they_are_those_of_scikit_learn_and_of_the_definition(n: int, k: int, seed: int) -> None:
    truth, shares = drawn(n, k, seed)
    found = values(truth, shares)
    assert found["ece"] == pytest.approx(by_hand(truth, shares))
    assert calibration_error(truth, shares) == found["ece"]
    labels = list(range(k))
    # two classes: scikit-learn has half of the sum over classes unless told
    brier = brier_score_loss(truth, shares, labels=labels, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    assert found["log_loss"] == pytest.approx(reference_log_loss(truth, shares, labels=labels))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, shares))


@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_the_bins_are_those_of_scikit_learns_calibration_curve(seed: int) -> None:
    truth, shares = drawn(300, 3, seed)
    shares[:30] = [[k / BINS, 1 - k / BINS, 0] for k in range(15)] * 2  # at the edges
    right = shares.argmax(1) == truth
    shown, sure = calibration_curve(right, shares.max(1), n_bins=BINS)
    bins = reliability.by_bin(reliability.rows(truth, shares).sum(0))
    there = bins[:, 0] > 0
    np.testing.assert_allclose(bins[there, 1] / bins[there, 0], shown)
    np.testing.assert_allclose(bins[there, 2] / bins[there, 0], sure)
    assert bins[:, 0].sum() == 300


@given(st.integers(1, 50), st.integers(2, 5), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_order_does_not_matter_nor_what_classes_are_called(n: int, k: int, seed: int) -> None:
    truth, shares = drawn(n, k, seed)
    random = np.random.default_rng(seed)
    order, names = random.permutation(n), random.permutation(k)
    other = values(np.argsort(names)[truth[order]], shares[order][:, names])
    assert other == pytest.approx(values(truth, shares))


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_certain_and_right_or_wrong(n: int, k: int, seed: int) -> None:
    truth = np.random.default_rng(seed).integers(0, k, n)
    right = values(truth, np.eye(k)[truth])
    assert right == pytest.approx({"ece": 0, "brier": 0, "log_loss": 0})
    wrong = values(truth, np.eye(k)[(truth + 1) % k])
    assert wrong["ece"] == 1
    assert wrong["brier"] == 2
    assert wrong["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps))


def test_who_knows_nothing_but_how_often_is_calibrated() -> None:
    truth = np.repeat([0, 1, 2, 3], 25)
    assert values(truth, np.full((100, 4), 0.25))["ece"] == 0
    assert all(np.isnan(value) for value in values(np.empty(0, int), np.empty((0, 3))).values())


def test_the_confidence_is_that_of_what_is_predicted() -> None:
    """A tie of votes goes to the class of the higher mean, which the posterior does not tell."""
    tie = np.array([[0.5, 0.5]])
    for said in (0, 1):
        bins = reliability.by_bin(reliability.rows(np.array([1]), tie, np.array([said])))[0]
        assert bins.sum(0).tolist() == [1, said, 0.5]


# --- in reports ---


def parsed(made: Speech, **given: object) -> reports.Report:
    found = reports.parse(report(made, **given), "x")  # type: ignore[arg-type]
    assert isinstance(found, reports.Report)
    return found


def test_a_report_has_them_for_the_model_and_its_baselines() -> None:
    made = speech(speakers=8, unknown=(2,))
    found = parsed(made)
    for figures_, shares in ((found.figures, made.posterior),
                             (found.baselines["linear"], made.linear)):  # fmt: skip
        own = figures_.calibration
        assert own
        assert {name: getattr(own, name) for name in KEYS} == pytest.approx(
            values(made.truth, shares)
        )
        assert own.log_loss == pytest.approx(figures_.log_loss)
        assert own.bins == BINS
        assert len(own.speakers) == 7
        one = made.of("speaker", "s03")
        mine = own.speakers[f"{one.units[0].corpus}/s03"]
        mask = np.isin(made.clusters, one.clusters)
        assert mine == pytest.approx(reliability.rows(made.truth[mask], shares[mask]).sum(0))
        for name in KEYS:
            low, high = own.ci[name]
            assert low is not None
            assert high is not None
            assert low <= getattr(own, name) <= high
    text = tables.render(render(found, 60), width=60)
    assert f"ECE {own_text(found)} of 15 bins" in text
    assert "% sure" in text


def own_text(found: reports.Report) -> str:
    own = found.figures.calibration
    assert own
    low, high = own.ci["ece"]
    return f"{own.ece:.3f} [{low:.3f}, {high:.3f}]"


def test_few_speakers_have_no_interval() -> None:
    own = parsed(speech(speakers=4)).figures.calibration
    assert own
    assert own.ci == dict.fromkeys(KEYS, (None, None))


@pytest.mark.parametrize("change", [
    {"bins": 10}, {"sums": [1, 2]}, {"sums": [0] * 48}, {"ece": 2.0}, {"speakers": {"a/b": [1]}},
])  # fmt: skip
def test_a_damaged_one_is_refused(change: dict[str, object]) -> None:
    raw = report(speech(speakers=5))
    raw["calibration"] |= change
    with pytest.raises(InputError, match="a damaged report: "):
        reports.parse(raw, "x")


def test_folds_are_pooled_and_seeds_averaged() -> None:
    every = {seed: speech(seed, speakers=12) for seed in (0, 1)}
    results, expected = [], []
    for seed, made in every.items():
        half = np.arange(len(made.truth)) < len(made.truth) // 2
        for fold, mask in enumerate((half, ~half)):
            results.append(result(f"{seed}{fold}", report(made.only(mask), fold=fold, seed=seed)))
        expected.append(values(made.truth, made.posterior))
    pooled = pooling.pool(results)
    found = measures.values(pooled, [{"measure": name} for name in KEYS])
    for name, value in zip(KEYS, found, strict=True):
        assert value
        each = [row[name] for row in expected]
        assert value.mean == pytest.approx(np.mean(each))
        assert value.sd == pytest.approx(np.std(each, ddof=1))
        assert value.ci
        assert value.ci[0] <= value.mean <= value.ci[1]
        assert value.over == "speakers and seeds"
    (part,) = measures.values(pooling.baseline(pooled, "linear"), [{"measure": "ece"}])
    assert part
    assert part.mean == pytest.approx(
        np.mean([values(made.truth, made.linear)["ece"] for made in every.values()])
    )


def test_one_seed_has_the_interval_of_its_report() -> None:
    raw = report(speech(speakers=9, each=40))
    (value,) = measures.values(pooling.pool([result("a", raw)]), [{"measure": "brier"}])
    assert value
    assert value.ci == pytest.approx(raw["calibration"]["ci"]["brier"])


def test_the_interval_of_the_calibration_error_holds() -> None:
    """Of models that are off by 0, 5 and 15 points; each speaker has a skill of their own."""
    random = np.random.default_rng(1)
    speakers, each, times = 24, 60, 30
    who = np.repeat(np.arange(speakers), each)

    def trial(off: float) -> bool:
        sure = 0.55 + 0.4 * random.beta(3, 2, speakers * each)
        skill = random.normal(0, 0.1, speakers)[who]
        right = random.random(speakers * each) < np.clip(sure - off + skill, 0, 1)
        shares = np.stack([sure, 1 - sure], 1)
        truth = np.where(right, 0, 1)
        own = reliability.figures(
            truth, shares, np.zeros_like(truth), who.tolist(), [None] * len(who), level=0.95, seed=0
        )
        low, high = own.ci["ece"]
        assert low is not None
        assert high is not None
        return low <= off + 0.005 and off - 0.005 <= high

    held = {off: np.mean([trial(off) for _ in range(times)]) for off in (0.0, 0.05, 0.15)}
    assert all(share >= 0.75 for share in held.values()), held


def test_compare_pairs_them(tmp_path: Path, cli: Cli) -> None:
    made = speech(speakers=10)
    other = speech(1, speakers=10)
    paths = [
        write(tmp_path / f"{name}.json", report(each, {"model": name}))
        for name, each in (("a", made), ("b", other))
    ]
    told = cli("report", "--compare", *paths, "--format", "json")
    (pair,) = json.loads(told.out)["pairs"]
    for name in KEYS:
        left, right = (values(each.truth, each.posterior)[name] for each in (made, other))
        assert pair["figures"][name]["difference"]["value"] == pytest.approx(left - right)
        assert pair["figures"][name]["difference"]["p"] > 0
    assert "Brier" in cli("report", "--compare", *paths).out
    same = cli("report", "--compare", paths[0], paths[0], "--format", "json")
    found = json.loads(same.out)["pairs"][0]["figures"]["ece"]["difference"]
    assert found["value"] == 0
    assert found["ci"] == [0, 0]
    alone = json.loads(cli("report", "--compare", paths[0], "--format", "json").out)["pairs"]
    assert [pair["systems"][1] for pair in alone] == ["linear", "majority"]
    assert all("ece" in pair["figures"] for pair in alone)


def test_a_report_from_before_them_is_compared_without(tmp_path: Path, cli: Cli) -> None:
    old = report(speech(speakers=10), {"model": "old"})
    for figures_ in (old, *old["baselines"].values()):
        del figures_["calibration"]
    new = report(speech(1, speakers=10), {"model": "new"})
    paths = [write(tmp_path / f"{n}.json", raw) for n, raw in (("old", old), ("new", new))]
    told = cli("report", "--compare", *paths, "--format", "json")
    assert told.code == 0
    assert json.loads(told.out)["pairs"][0]["figures"].get("ece", {}).get("difference") is None
    assert cli("report", *paths).code == 0
    found = reports.parse(old, "x")
    assert isinstance(found, reports.Report)
    assert figures.reliability_figure(found) is None
    assert "ECE" not in tables.render(render(found))


# --- the figure ---


def test_bars_are_of_the_bins_that_have_items() -> None:
    made = speech(speakers=12, each=40)
    figure = figures.reliability_figure(parsed(made))
    assert figure is not None
    (axes,) = figure.axes
    (bars,) = (c for c in axes.containers if isinstance(c, BarContainer))
    shown, _ = calibration_curve(made.predicted == made.truth, made.posterior.max(1), n_bins=BINS)
    np.testing.assert_allclose([bar.get_height() for bar in bars], 100 * shown)
    counts, _ = np.histogram(made.posterior.max(1), BINS, (0, 1))
    assert [text.get_text() for text in axes.texts] == [str(n) for n in counts if n]
    (diagonal,) = (line for line in axes.lines if line.get_label() == "as sure as right")
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert "15 bins" in axes.get_xlabel()
    assert "95 % intervals over 12 speakers" in axes.get_xlabel()
    ends = np.array(bars.errorbar.lines[2][0].get_segments())[:, :, 1]
    at = [int(np.floor(bar.get_x() / 100 * BINS + 0.5)) for bar in bars]
    random = np.random.default_rng(5)
    right, who = made.predicted == made.truth, made.clusters
    of = np.minimum((made.posterior.max(1) * BINS).astype(int), BINS - 1)
    for b, bar in zip(at, ends, strict=True):
        rows = np.array([
            [(of[own] == b).sum(), (right[own] & (of[own] == b)).sum()]
            for own in (who == name for name in np.unique(who))
        ])  # fmt: skip
        sums = rows[random.integers(0, len(rows), (4000, len(rows)))].sum(1)
        own = 100 * sums[:, 1][sums[:, 0] > 0] / sums[:, 0][sums[:, 0] > 0]
        height = 100 * rows.sum(0)[1] / rows.sum(0)[0]
        low, high = np.percentile(own, [2.5, 97.5])
        assert bar[0] == pytest.approx(min(low, height), abs=4)
        assert bar[1] == pytest.approx(max(high, height), abs=4)
    few = figures.reliability_figure(parsed(speech(speakers=4)))
    assert few is not None
    assert "too few" in few.axes[0].get_xlabel()
