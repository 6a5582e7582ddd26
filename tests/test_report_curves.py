"""How trainings went: what a report keeps, the rule that judges it, the table and the figure."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import report, result, speech, training, write

from sertool.evaluation import curves
from sertool.evaluation.report import to_json
from sertool.papers import convergence, curve_figures, pages, study_json
from sertool.papers.study import study
from sertool.ui import tables

LOSSES = st.lists(st.floats(0.001, 9.0), min_size=1, max_size=300)


def rows(losses, val=None):
    further = [{}] * len(losses) if val is None else [{"val_loss": v} for v in val]
    return [
        {"epoch": i, "loss": loss} | row
        for i, (loss, row) in enumerate(zip(losses, further, strict=True), 1)
    ]


@settings(max_examples=60, deadline=None)
@given(LOSSES, st.integers(0, 400))
def test_what_is_kept_is_a_part_of_it(losses, best):
    """The first, best and last epoch, no more than fifty, none far from the next, rounded."""
    n = len(losses)
    kept = curves.thinned(rows(losses, losses[::-1]), best)
    kept.check()
    epochs = kept.epoch
    assert len(epochs) <= curves.MOST
    assert kept.epochs == n == epochs[-1]
    lowest = int(np.argmin(losses[::-1])) + 1
    assert {1, n, lowest, min(max(best, 1), n)} <= set(epochs)
    assert len(epochs) == n or n > curves.MOST - 3
    assert max(np.diff(epochs), default=0) <= 1 + n / (curves.MOST - 3)
    np.testing.assert_allclose(kept.loss, [losses[e - 1] for e in epochs], rtol=5.1e-4)
    np.testing.assert_allclose(kept.val_loss, [losses[n - e] for e in epochs], rtol=5.1e-4)


@pytest.mark.parametrize("history", [[], [{"epoch": 1, "val_uar": 0.5, "val_accuracy": 0.5}]])
def test_a_model_fitted_whole_has_no_curve(history):
    assert curves.thinned(history, 1) is None


def test_a_column_that_is_not_finite_is_left_out():
    kept = curves.thinned(rows([2.0, 1.0], [1.0, float("nan")]), 1)
    assert kept.val_loss is None
    assert kept.loss == [2.0, 1.0]


def thinned(*given):
    """What is kept of a training, as JSON has it."""
    return to_json(curves.thinned(*given))


def curve(losses, val=None):
    return curves.thinned(rows(losses, val), 1).curve


@pytest.mark.parametrize(
    ("losses", "falling"),
    [
        ([2.0] * 20, False),
        ([2.0] * 18 + [2.0, 1.95], True),  # 2.5 % in the last two epochs of twenty
        ([2.0] * 18 + [1.99, 1.97], False),  # 1.5 %
        ([3.0] * 17 + [2.0, 2.0, 2.0], False),  # fell, but before
        ([1.0, 0.5], True),
        ([1.0], False),
        ([2.0] * 19 + [9.0], False),
        (list(np.geomspace(2.0, 1.0, 400)), True),
        (list(np.geomspace(2.0, 1.9, 400)), False),
    ],
)
def test_still_falling(losses, falling):
    assert curve(losses).falling is falling


@pytest.mark.parametrize(
    ("val", "rising"),
    [
        ([1.0] + [1.06] * 9, True),
        ([1.0] + [1.04] * 9, False),  # no more than 5 %
        ([2.0] * 8 + [1.0, 1.5], False),  # its lowest is not far back
        ([2.0] * 6 + [1.0, 1.5, 1.5, 1.5], True),  # three of ten epochs back
        ([2.0] * 7 + [1.0, 1.5, 1.5], False),  # two of ten
        ([1.0, 1.5, 1.2, 1.1, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9], False),
        (None, False),
    ],
)
def test_validation_rising(val, rising):
    assert curve([1.0] * 10, val).rising is rising


def made_study(*reports):
    return study([result(f"{i}.json", r) for i, r in enumerate(reports)])


FALLS = [(2.0 - 0.1 * i, 1.9 - 0.05 * i) for i in range(10)]
LEVEL = [(2.0, 1.9)] * 5 + [(1.0, 1.5)] + [(1.0, 1.8)] * 14


def both(levels=("file",), **tags):
    """Return reports of two folds, one that still falls and one that rises, at each level."""
    made = speech()
    half = np.arange(160) % 2
    return [
        report(made.only(half == f), {"net": "x"} | tags, fold=f, level=level, losses=losses)
        for level in levels
        for f, losses in enumerate((FALLS, LEVEL))
    ]


def grid_of(found):
    page = pages.page(found)
    at = [i for i, b in enumerate(page) if getattr(b, "text", "") == "Had it converged?"]
    if not at:
        return None
    grid, text = page[at[0] + 1], page[at[0] + 2]
    assert curves.RULE in text.lines[0]
    return [dict(zip(grid.header, row, strict=True)) for row in grid.rows]


def test_the_table_of_trainings():
    (row,) = grid_of(made_study(*both()))
    assert row["best epoch"] == "6–10 of 10–20"
    assert row["training loss"] == "2.00 → 1.30 → 1.05"
    assert row["validation loss"] == "1.90 → 1.75 → 1.62"
    assert row["verdict"] == "still falling in 1 of 2; validation rising in 1 of 2"


def test_one_training_tested_in_two_ways_is_one_line():
    found = grid_of(made_study(*both(levels=("item", "file"))))
    assert len(found) == 1
    assert "level" not in found[0] or not found[0]["level"]
    other = report(speech(), {"net": "x", "data": "b"}, losses=FALLS)
    found = grid_of(made_study(*both(levels=("item",), data="a"), other))
    assert [row["data"] for row in found] == ["a", "b"]


def test_last_weights_and_other_tests_of_a_training_are_its_one_line():
    losses = [(2 - i / 60, 1.9 - i / 70 + (i > 40) * i / 50) for i in range(99)]
    tags = {"net": "x", "gender": "male"}
    base, last, other = (
        report(speech(), tags | more, losses=losses)
        for more in ({}, {"kept": "last"}, {"gender": "female", "trained": "male"})
    )
    last["folds"][0]["training"] = thinned(
        [{"epoch": i, "loss": a, "val_loss": b} for i, (a, b) in enumerate(losses, 1)], 99
    )
    for order in ((other, last, base), (base, last, other)):
        (row,) = grid_of(made_study(*order))
        assert row["gender"] == "male"
        assert row["best epoch"] == "41 of 99"


def test_reports_that_do_not_know_have_no_table():
    old = report(speech(), {"net": "x"})
    assert grid_of(made_study(old)) is None
    whole = report(speech(), {"net": "x"}, losses=[])
    assert whole["folds"][0]["training"] is None
    assert grid_of(made_study(whole)) is None
    values = study_json.json_values(made_study(old))
    assert values["systems"][0]["protocols"][""]["training"] is None
    known = grid_of(made_study(old, report(speech(), {"net": "y"}, losses=[(2.0, 1.0)])))
    assert [(row["net"], row["verdict"]) for row in known] == [("y", "one epoch")]


def test_json_says_the_same():
    values = study_json.json_values(made_study(*both()))
    told = values["systems"][0]["protocols"][""]["training"]
    assert told["best_epoch"] == [10, 6]
    assert told["epochs"] == [10, 20]
    assert told["loss"] == pytest.approx({"first": 2.0, "half": 1.3, "last": 1.05})
    assert told["val_loss"] == pytest.approx({"first": 1.9, "half": 1.75, "last": 1.625})
    assert (told["n"], told["falling"], told["rising"]) == (2, 1, 1)
    json.dumps(values, allow_nan=False)


def test_no_validation_is_a_dash():
    made = report(speech(), {"net": "x"}, losses=FALLS)
    del made["folds"][0]["training"]["val_loss"]
    (row,) = grid_of(made_study(made))
    assert row["validation loss"] == "–"
    assert row["verdict"] == "still falling"


def test_the_figure_has_a_panel_a_training_and_a_line_a_fold(tmp_path):
    other = report(speech(), {"net": "喜", "data": "b"}, losses=FALLS)
    found = made_study(*both(data="$a$"), other)
    figure = curve_figures.curves_figure(found)
    assert [len(axes.lines) for axes in figure.axes] == [6, 3]
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [loss for loss, _ in FALLS])
    titles = [axes.get_title() for axes in figure.axes]
    assert "$a$" in titles[0]
    assert "still falling" in titles[1]
    for name in ("one.png", "two.png"):
        assert curve_figures.draw(found, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert not curve_figures.draw(made_study(report(speech())), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_command_draws_them(cli, tmp_path):
    known = write(tmp_path / "a.json", both()[0])
    folder = tmp_path / "figures"
    result = cli("report", known, "--figures", folder)
    assert result.code == 0
    assert "curves.png" in result.err
    assert "Had it converged?" in result.out
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    again = cli("report", known, "--figures", folder)
    assert again.code == 3
    assert "--force" in again.err
    assert cli("report", known, "--figures", folder, "--force").code == 0
    old = write(tmp_path / "old.json", report(speech()))
    result = cli("report", old, "--figures", tmp_path / "none")
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert "no figure" in result.err
    assert cli("report", "--paper", "sundharam", "--figures", folder).code == 2


def test_made_trainings_are_as_eval_keeps_them():
    kept = training(FALLS)
    kept.check()
    assert kept.best_epoch == 10
    text = tables.markdown(pages.page(made_study(*both())))
    assert "### Had it converged?" in text
    first = convergence.told(made_study(*both()))[0].curves[0]
    assert first.loss == pytest.approx([loss for loss, _ in FALLS])
