"""Figures of pooled systems, their spread and intervals, against scikit-learn and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import CLASSES, report, result, speech
from sklearn import metrics as reference

from sertool.evaluation import measures, pooling

OVERALL = [{"measure": name} for name in ("accuracy", "uar", "macro_f1")]
SHARE = {"measure": "share", "truth": "anger", "prediction": "neutral"}
RECALL = {"measure": "recall", "class": "happiness"}
DRAWS = 2500
CLOSE = 0.012  # about three Monte Carlo errors of a limit here


def pooled(*reports):
    (group,) = pooling.group([result(f"{i}.json", r) for i, r in enumerate(reports)])
    return pooling.pool(group)


def seeded(seeds, tags=None, folds=1, shift=0, **given):
    """Return (what was said, once a seed; its reports pooled)."""
    runs = [speech(seed + shift, **given) for seed in seeds]
    reports = [
        report(made.only(np.arange(len(made.truth)) % folds == f), tags, fold=f, seed=seed)
        for seed, made in zip(seeds, runs, strict=True)
        for f in range(folds)
    ]
    return runs, pooled(*reports)


def slow_figures(truth, predicted):
    """Return accuracy, uar, macro F1, a recall and a share, counted class by class."""
    recalls, f1s = [], []
    for k in range(len(CLASSES)):
        right = int(((truth == k) & (predicted == k)).sum())
        said, given = int((predicted == k).sum()), int((truth == k).sum())
        if given:
            recalls.append(right / given)
        if given + said:
            f1s.append(2 * right / (given + said))
    anger, happy = truth == 0, truth == 1
    return [
        (truth == predicted).mean(),
        np.mean(recalls),
        np.mean(f1s),
        (predicted[happy] == 1).mean() if happy.any() else np.nan,
        (predicted[anger] == 2).mean() if anger.any() else np.nan,
    ]


def slow_draws(runs, draws=DRAWS, seed=3):
    """Draw speakers one by one; return, a draw and a run, the figures of all they said there."""
    random = np.random.default_rng(seed)
    clusters = runs[0].clusters
    names = np.unique(clusters)
    mine = {name: np.flatnonzero(clusters == name) for name in names}
    found = []
    for _ in range(draws):
        rows = np.concatenate([mine[name] for name in random.choice(names, len(names))])
        found.append([slow_figures(run.truth[rows], run.predicted[rows]) for run in runs])
    return np.array(found)


def over_seeds(drawn, seed=4):
    """Return, a draw, the mean over all but one of its runs, drawn with replacement: (draws, …)."""
    random = np.random.default_rng(seed)
    runs = drawn.shape[1]
    chosen = random.integers(0, runs, (len(drawn), max(1, runs - 1)))
    return np.array([np.nanmean(row[at], 0) for row, at in zip(drawn, chosen, strict=True)])


FIVE = [*OVERALL, RECALL, SHARE]


@pytest.mark.parametrize("unknown", [(), (1, 4), range(10)])
def test_interval_of_one_run_is_that_of_a_slow_bootstrap(unknown):
    runs, system = seeded([0], unknown=unknown, folds=3)
    expected = np.percentile(slow_draws(runs)[:, 0], [2.5, 97.5], axis=0)
    for figure, value, limits in zip(FIVE, measures.values(system, FIVE), expected.T, strict=True):
        np.testing.assert_allclose(value.ci, limits, atol=2 * CLOSE, err_msg=str(figure))
        assert value.sd is None
        assert value.n_seeds == 1


def test_interval_of_several_seeds_is_that_of_their_mean():
    runs, system = seeded([0, 1, 2], folds=3)
    drawn = slow_draws(runs)
    expected = np.percentile(over_seeds(drawn), [2.5, 97.5], axis=0)
    found = measures.values(system, FIVE)
    for figure, value, limits in zip(FIVE, found, expected.T, strict=True):
        np.testing.assert_allclose(value.ci, limits, atol=2 * CLOSE, err_msg=str(figure))
    shifted = np.mean([np.roll(drawn[:, i, 0], i) for i in range(3)], axis=0)
    alone = np.diff(np.percentile(shifted, [2.5, 97.5]))[0]
    assert np.diff(expected[:, 0])[0] > alone + 4 * CLOSE  # speakers of their own a seed would show


def test_mean_and_deviation_over_seeds():
    runs, system = seeded([0, 1, 2, 3], folds=2)
    rows = np.array([slow_figures(run.truth, run.predicted) for run in runs])
    for value, column in zip(measures.values(system, FIVE), rows.T, strict=True):
        assert value.mean == pytest.approx(column.mean())
        assert value.sd == pytest.approx(column.std(ddof=1))
        assert value.n_seeds == 4


def test_seeds_that_test_other_recordings():
    """Each seed its own random split: a speaker is drawn for all seeds that heard them."""
    whole = [speech(seed, each=30) for seed in (0, 1)]
    random = np.random.default_rng(5)
    runs = [made.only(random.random(300) < 0.3) for made in whole]
    system = pooled(*(report(made, seed=seed) for seed, made in enumerate(runs)))
    rows = np.array([slow_figures(run.truth, run.predicted) for run in runs])
    draws = np.random.default_rng(6)
    names = np.unique(runs[0].clusters)
    drawn = []
    for _ in range(DRAWS):
        chosen = draws.choice(names, len(names))
        each = []
        for run in runs:
            at = np.concatenate([np.flatnonzero(run.clusters == name) for name in chosen])
            each.append(slow_figures(run.truth[at], run.predicted[at]))
        drawn.append(each)
    expected = np.nanpercentile(over_seeds(np.array(drawn)), [2.5, 97.5], axis=0)
    for i, value in enumerate(measures.values(system, OVERALL)):
        assert value.mean == pytest.approx(rows[:, i].mean())
        np.testing.assert_allclose(value.ci, expected[:, i], atol=2 * CLOSE)


def test_no_interval_where_there_is_nothing_to_draw():
    for n in (1, measures.FEWEST - 1):
        _, few = seeded([0], speakers=n, each=40)
        assert measures.values(few, OVERALL)[0].ci is None
    _, enough = seeded([0], speakers=measures.FEWEST)
    assert measures.values(enough, OVERALL)[0].ci is not None
    _, unknown = seeded([0, 1], unknown=(2,))
    value = measures.values(unknown, OVERALL)[0]
    assert value.ci is None
    assert value.sd is not None


def weighted(seed):
    return speech(seed, speakers=4, each=15, skill=2.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 500), st.booleans())
def test_means_over_classes_equal_sklearn(seed, shy):
    made = weighted(seed)
    if shy:  # the last class is never predicted, and its truth kept
        made.posterior[:, -1] = 0.0
    system = pooled(report(made, seed=seed))
    truth, predicted = made.truth, made.predicted
    names = [f"{a}_{b}" for a in ("macro", "weighted") for b in ("precision", "recall")]
    found = measures.values(system, [{"measure": n} for n in [*names, "weighted_f1"]])
    wanted = [
        rate(truth, predicted, average=a, zero_division=0, labels=np.unique(truth))
        for a in ("macro", "weighted")
        for rate in (reference.precision_score, reference.recall_score)
    ]
    wanted.append(reference.f1_score(truth, predicted, average="weighted", zero_division=0))
    assert [value.mean for value in found] == pytest.approx(wanted)


def test_counts():
    made = weighted(3)
    names = ("support", "correct", "incorrect")
    found = measures.values(pooled(report(made)), [{"measure": n} for n in names])
    right = int((made.truth == made.predicted).sum())
    assert [value.mean for value in found] == [60, right, 60 - right]


def test_areas_equal_sklearn():
    made = weighted(1)
    figures = [{"measure": "auc", "class": c} for c in CLASSES]
    figures += [{"measure": "macro_auc"}, {"measure": "weighted_auc"}]
    found = measures.values(pooled(report(made)), figures)
    wanted = [reference.roc_auc_score(made.truth == k, made.posterior[:, k]) for k in range(4)]
    wanted += [
        reference.roc_auc_score(made.truth, made.posterior, multi_class="ovr", average=a)
        for a in ("macro", "weighted")
    ]
    assert [value.mean for value in found] == pytest.approx(wanted)


@pytest.mark.parametrize("old", [False, True])
def test_log_loss_over_folds_and_seeds(old):
    runs = [speech(seed) for seed in (0, 1)]
    number = np.repeat([0, 1, 1, 2, 2, 2, 2, 2], 20)  # folds of unlike size
    made_reports = [
        report(made.only(number == f), fold=f, seed=seed)
        for seed, made in enumerate(runs)
        for f in range(3)
    ]
    if old:  # reports from before the calibration say the mean alone
        for each in made_reports:
            del each["calibration"]
    (value,) = measures.values(pooled(*made_reports), [{"measure": "log_loss"}])
    losses = [reference.log_loss(made.truth, made.posterior) for made in runs]
    assert value.mean == pytest.approx(np.mean(losses))
    assert value.sd == pytest.approx(np.std(losses, ddof=1))
    assert (value.ci is None) is old


@pytest.mark.parametrize(
    "figure",
    [
        {"measure": "wingspan"},
        {"measure": "recall"},
        {"measure": "recall", "class": "zeal"},
        {"measure": "uar", "class": "anger"},
        {"measure": "share", "truth": "anger"},
        {"measure": "log_loss", "class": "anger"},
    ],
)
def test_a_figure_that_reports_do_not_tell(figure):
    assert measures.values(pooled(report(weighted(0))), [figure]) == [None]


def never(made, k, truth):
    """Return the speech with class `k` never predicted, or never there."""
    if truth:
        return made.only(made.truth != k)
    made.posterior[:, k] = 0.0
    return made


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("measure", ["recall", "precision", "f1"])
def test_a_class_that_one_seed_lacks(measure, truth):
    """A rate defined in one seed of two has no deviation; it is never NaN."""
    reports = [report(never(weighted(0), 3, truth), seed=0), report(weighted(1), seed=1)]
    (value,) = measures.values(pooled(*reports), [{"measure": measure, "class": CLASSES[3]}])
    assert value is not None
    assert value.sd is None or np.isfinite(value.sd)
    assert np.isfinite(value.mean)


@pytest.mark.filterwarnings("ignore:y_pred contains:UserWarning")
def test_a_class_that_no_seed_has():
    reports = [report(never(weighted(s), 3, True), seed=s) for s in (0, 1)]
    recall = {"measure": "recall", "class": CLASSES[3]}
    uar, missing = measures.values(pooled(*reports), [OVERALL[1], recall])
    assert missing is None
    assert uar.mean == pytest.approx(
        np.mean(
            [
                reference.balanced_accuracy_score(m.truth, m.predicted)
                for m in (never(weighted(s), 3, True) for s in (0, 1))
            ]
        )
    )


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_difference_is_that_of_a_slow_paired_bootstrap(seeds):
    ours, left = seeded(seeds, {"n": "a"}, skill=3.0)
    others, right = seeded(seeds, {"n": "b"}, folds=2, shift=50, skill=2.6)
    drawn = slow_draws([*ours, *others])
    n = len(seeds)
    gap = over_seeds(drawn[:, :n]) - over_seeds(drawn[:, n:])  # the same seeds of both
    found = measures.differences(left, right, FIVE)
    values = zip(measures.values(left, FIVE), measures.values(right, FIVE), strict=True)
    for i, (difference, (a, b)) in enumerate(zip(found, values, strict=True)):
        assert difference.value == pytest.approx(a.mean - b.mean)
        expected = np.nanpercentile(gap[:, i], [2.5, 97.5])
        np.testing.assert_allclose(difference.ci, expected, atol=2 * CLOSE)
        tail = min((gap[:, i] <= 0).mean(), (gap[:, i] >= 0).mean())
        assert difference.p == pytest.approx(min(1, 2 * tail), abs=0.06)


def test_pairs_are_tighter_than_their_systems():
    """Speakers are hard or easy for both systems: unpaired limits would be far too wide."""
    _, left = seeded([0], {"n": "a"}, skill=6.0, each=40)
    _, right = seeded([0], {"n": "b"}, shift=9, skill=6.0, each=40)
    gap = measures.differences(left, right, OVERALL)[0]
    widths = [np.diff(measures.values(s, OVERALL)[0].ci)[0] for s in (left, right)]
    assert np.diff(gap.ci)[0] < 0.5 * min(widths)


def test_difference_is_antisymmetric_and_nothing_with_itself():
    _, left = seeded([0, 1], {"n": "a"})
    _, right = seeded([0, 1], {"n": "b"}, shift=20)
    for there in measures.differences(left, left, FIVE):
        assert (there.value, there.ci, there.p) == (0.0, (0.0, 0.0), 1.0)
    forth, back = (measures.differences(*p, FIVE) for p in ((left, right), (right, left)))
    for one, two in zip(forth, back, strict=True):
        assert one.value == pytest.approx(-two.value)
        assert 0 < one.p <= 1


def test_p_is_small_but_never_nothing():
    _, left = seeded([0], {"n": "a"}, skill=20.0)
    _, right = seeded([0], {"n": "b"}, skill=0.0)
    for found in measures.differences(left, right, OVERALL):
        assert found.ci[0] > 0
        assert found.p == pytest.approx(1 / 2000)


def test_order_of_speakers_does_not_matter():
    made, other = speech(0), speech(1)
    order = np.random.default_rng(0).permutation(160)

    def shuffled(each):
        units = [each.units[i] for i in order]
        return type(each)(units, each.truth[order], each.posterior[order], each.linear[order])

    straight = measures.differences(pooled(report(made)), pooled(report(other)), OVERALL)
    mixed = measures.differences(
        pooled(report(shuffled(made))), pooled(report(shuffled(other))), OVERALL
    )
    assert straight == mixed


def test_what_cannot_be_paired():
    _, left = seeded([0])
    for other, word in (
        ({"speakers": 9}, "only one of them was tested on toy/s09"),
        ({"unknown": (3,)}, "unknown"),
        ({"classes": ("anger", "calm", "neutral", "sadness")}, "classes"),
    ):
        _, right = seeded([0], **other)
        assert word in measures.alike(left, right)
        with pytest.raises(ValueError, match=word):
            measures.differences(left, right, OVERALL)
    _, one = seeded([0], speakers=1)
    assert "at least 5 speakers are needed" in measures.alike(one, one)
    assert measures.alike(left, left) is None


def test_baselines_have_intervals_of_their_own():
    runs, system = seeded([0, 1])
    linear = pooling.baseline(system, "linear")
    found = measures.values(linear, OVERALL)
    assert found == measures.values(system, OVERALL, system.baselines["linear"])
    predicted = [run.linear.argmax(1) for run in runs]
    rows = [slow_figures(run.truth, p) for run, p in zip(runs, predicted, strict=True)]
    for value, column in zip(found, np.array(rows).T, strict=False):
        assert value.mean == pytest.approx(column.mean())
    gap = measures.differences(system, linear, OVERALL)[1]
    assert gap.value == pytest.approx(measures.values(system, OVERALL)[1].mean - found[1].mean)


# --- what only reports tell ---


def test_mean_probability_over_folds_is_that_of_all_units():
    """Folds of unequal make-up, one without a class: weighted by what each tests of the class."""
    made = speech(1)
    number = np.where(made.truth == 3, 1, np.arange(len(made.truth)) % 3)
    folds = [report(made.only(number == f), fold=f) for f in range(3)]
    assert folds[0]["per_class"]["sadness"]["mean_probability"] is None
    system = pooled(*folds)
    for k, name in enumerate(CLASSES):
        (value,) = measures.values(system, [{"measure": "mean_probability", "class": name}])
        mine = made.truth == k
        assert value.mean == pytest.approx(made.posterior[mine, k].mean())
    plain = np.mean([f["per_class"]["anger"]["mean_probability"] for f in folds])
    assert plain != pytest.approx(made.posterior[made.truth == 0, 0].mean(), abs=1e-4)
    linear = folds[1]["baselines"]["linear"]["per_class"]["anger"]["mean_probability"]
    own = (made.truth == 0) & (number == 1)
    assert linear == pytest.approx(made.linear[own, 0].mean())


def test_a_figure_of_a_class_that_no_fold_tests_is_none():
    made = speech()
    system = pooled(report(made.only(made.truth != 3)))
    figures = [{"measure": name, "class": "sadness"} for name in ("auc", "mean_probability")]
    assert measures.values(system, figures) == [None, None]
    old = report(made)
    for row in old["per_class"].values():
        del row["mean_probability"]
    assert measures.values(pooled(old), figures)[1] is None


def test_training_loss_is_that_of_the_best_epoch():
    made = speech()
    number = np.arange(len(made.truth)) % 4 == 0
    fast = [(2.0, 1.9), (1.0, 1.2), (0.5, 1.4)]  # best in its second epoch
    slow = [(2.0, 1.9), (1.8, 1.8), (1.6, 1.7)]
    parts = [
        report(made.only(number == side), fold=int(side), losses=losses)
        for side, losses in ((False, fast), (True, slow))
    ]
    figure = {"measure": "train_log_loss"}
    (value,) = measures.values(pooled(*parts), [figure])
    assert value.mean == pytest.approx(0.75 * 1.0 + 0.25 * 1.6)
    together = report(made, checkpoint=number.astype(int), losses=fast)
    assert measures.values(pooled(together), [figure])[0].mean == pytest.approx(1.0)
    unknown = report(made.only(number), fold=1)
    assert measures.values(pooled(parts[0], unknown), [figure]) == [None]


@pytest.mark.parametrize(
    "figure",
    [
        {"measure": "recal"},
        {"measure": "recall"},
        {"measure": "accuracy", "class": "anger"},
        {"measure": "share", "truth": "anger"},
        {"measure": "auc", "truth": "anger", "prediction": "anger"},
    ],
)
def test_figures_that_are_none(figure):
    with pytest.raises(ValueError, match=figure["measure"]):
        measures.check_figure(figure)


def test_every_measure_that_is_known_is_measured_or_of_no_test():
    system = pooled(report(speech(), losses=[(2.0, 1.0), (1.0, 0.5)]))
    for name, several in measures.KNOWN.items():
        for keys in several:
            figure = {"measure": name, **dict.fromkeys(keys, "anger")}
            measures.check_figure(figure)
            (value,) = measures.values(system, [figure])
            none = measures.of_corpus(figure) or "target" in keys
            none = none or name in (*measures.GAINS, *measures.OF_VOTES)
            assert (value is None) is none, figure


def test_how_many_were_tested_has_no_interval():
    figures = [{"measure": "support"}, {"measure": "support", "class": CLASSES[0]}, *OVERALL]
    found = measures.values(pooled(report(speech())), figures)
    assert [value.ci is None for value in found] == [True, True, False, False, False]


def test_the_mean_of_folds_weighs_every_fold_alike():
    made = speech()
    first = np.arange(len(made.truth)) < len(made.truth) // 4
    parts = [made.only(first), made.only(~first)]
    system = pooled(*[report(part, fold=fold) for fold, part in enumerate(parts)])
    found = measures.values(system, [{"measure": "fold_accuracy"}, {"measure": "fold_uar"}])
    slow = [slow_figures(part.truth, part.predicted) for part in parts]
    for value, column in zip(found, (0, 1), strict=True):
        assert value.mean == pytest.approx(np.mean([row[column] for row in slow]))
        assert value.ci is None
