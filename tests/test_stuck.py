"""Runs that never left one class: made by hand, and against a definition counted item by item."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_reports import CLASSES, report, result, speech

from sertool.evaluation import pooling, stuck
from sertool.evaluation.report import Fold
from sertool.evaluation.stuck import Stuck
from sertool.metrics import compute, confusion
from sertool.papers import convergence, pages, study_json, words
from sertool.papers.study import study
from sertool.ui import tables

LOSSES = [(1.386, 1.386), (1.30, 1.31), (1.29, 1.31)]


def counted(*reports):
    (group,) = pooling.group([result(f"{i}.json", r) for i, r in enumerate(reports)])
    return stuck.count(pooling.pool(group))


def said(made, k):
    """Return the speech with every recording taken for class k."""
    posterior = np.tile(np.eye(len(made.classes))[k], (len(made.truth), 1))
    return type(made)(made.units, made.truth, posterior, made.linear, made.classes)


def run(made, val_uar=None, seed=0, fold=0, tags=None, **more):
    """Return a report of one training; val_uar: of its three epochs, None without validation."""
    raw = report(made, tags, seed=seed, fold=fold, losses=LOSSES, **more)
    trained = raw["folds"][0]["training"]
    if val_uar is None:
        for name in ("val_loss", "val_uar", "val_accuracy"):
            del trained[name]
    else:
        trained["val_uar"] = val_uar
    return raw


@pytest.mark.parametrize(
    ("val_uar", "expected"),
    [
        (None, 1),  # the test decides alone
        ([0.25, 0.25, 0.25], 1),  # one of four classes, always
        ([0.25, 0.0, 0.25], 1),  # once a class that the validation part does not have
        ([0.3333, 0.3333, 0.3333], 1),  # its validation part has three of the classes
        ([0.25, 0.2512, 0.25], 0),  # one recording of another class
        ([0.25, 0.25, 0.61], 0),  # had learned, and says one class in this test
        ([0.3, 0.3, 0.3], 0),  # no one class gives this
    ],
)
def test_one_class_in_the_test_and_no_better_on_validation(val_uar, expected):
    assert counted(run(said(speech(), 2), val_uar)) == Stuck(expected, 1)


def test_a_run_that_tells_classes_apart_is_not_stuck_whatever_its_validation():
    assert counted(run(speech(), [0.25, 0.25, 0.25])) == Stuck(0, 1)


def test_one_recording_of_another_class_is_enough():
    made = said(speech(), 2)
    made.posterior[7] = np.eye(4)[0]
    assert counted(run(made)) == Stuck(0, 1)


def test_a_test_of_one_class_says_nothing():
    made = speech()
    assert counted(run(said(made.only(made.truth == 1), 1))) == Stuck(0, 1)


def test_runs_are_folds_under_seeds():
    made = speech()
    number = np.arange(len(made.truth)) % 3
    failed = {(0, 1), (1, 0), (1, 2)}
    runs = []
    for seed, fold in ((s, f) for s in (0, 1) for f in (0, 1, 2)):
        part = made.only(number == fold)
        runs.append(run(said(part, 0) if (seed, fold) in failed else part, seed=seed, fold=fold))
    assert counted(*runs) == Stuck(3, 6)
    assert words.stuck_runs(counted(*runs)) == "3 of 6 runs"
    assert words.stuck_runs(Stuck(0, 1)) == "0 of 1 run"


def test_a_model_fitted_whole_has_no_training_to_be_stuck_in():
    fitted = report(said(speech(), 0), fold=0)
    fitted["folds"][0]["training"] = None
    assert counted(fitted) is None
    old = report(said(speech(), 0), fold=0)  # by a program that did not tell
    assert counted(old) == Stuck(1, 1)
    fitted["folds"][0]["per"] = {
        "by_field": 1, "by_chooser": 0, "known": 0, "right": 0,
        "training": {"male": None, "female": None},
    }  # fmt: skip
    assert counted(fitted) is None
    trained = run(speech(), [0.3, 0.4, 0.5])["folds"][0]["training"]
    fitted["folds"][0]["per"]["training"]["male"] = trained
    assert counted(fitted) == Stuck(1, 1)


def test_folds_of_one_report_are_known_by_their_metrics():
    made = speech()
    number = np.arange(len(made.truth)) % 4
    posterior = made.posterior.copy()
    for fold, k in ((1, 0), (2, 3)):
        posterior[number == fold] = np.eye(4)[k]
    mixed = type(made)(made.units, made.truth, posterior, made.linear, made.classes)
    assert counted(report(mixed, checkpoint=number)) == Stuck(2, 4)
    apart = [run(mixed.only(number == f), fold=f) for f in range(4)]
    assert counted(*apart) == Stuck(2, 4)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.data())
def test_metrics_tell_one_class_as_the_confusion_matrix_does(truth, data):
    """Of several classes in the truth; a class that is not in the truth is not seen."""
    assume(len(set(truth)) > 1)
    n = len(truth)
    k = data.draw(st.sampled_from(sorted(set(truth))))
    flips = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    other = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    for predicted in ([k] * n, [o if f else k for f, o in zip(flips, other, strict=True)]):
        rates = compute(confusion(np.array(truth), np.array(predicted), 4))
        one = len(set(predicted)) == 1 and predicted[0] in truth and len(set(truth)) > 1
        found = stuck._as_one_class(Fold(checkpoint="m.ckpt", n=n, metrics=rates))
        if one or len(set(predicted)) > 1:
            assert found is one


def test_it_is_told_beside_how_a_training_went():
    made = speech()
    number = np.arange(len(made.truth)) % 2
    tags = {"network": CLASSES[0]}
    failed = run(said(made.only(number == 0), 1), [0.25] * 3, fold=0, tags=tags)
    learned = run(made.only(number == 1), [0.3, 0.4, 0.5], fold=1, tags=tags)
    found = study([result("a", failed), result("b", learned)])
    (told,) = convergence.told(found)
    assert told.verdict.startswith("stuck in 1 of 2; ")
    text = tables.markdown(pages.page(found))
    assert "stuck in 1 of 2" in text
    assert "Stuck: a run never left one class" in text
    values = study_json.json_values(found)
    assert values["systems"][0]["protocols"][""]["training"]["stuck"] == 1
    (both,) = convergence.told(study([result("b", learned)]))
    assert "stuck" not in both.verdict
