"""Metrics against scikit-learn, audmetric and slow loops."""

from __future__ import annotations

import audmetric
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from sertool import metrics

PAIRS = st.integers(2, 6).flatmap(
    lambda k: st.lists(
        st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=60
    ).map(lambda pairs: (k, np.array(pairs)[:, 0], np.array(pairs)[:, 1]))
)
quick = settings(max_examples=60, deadline=None)


@quick
@given(PAIRS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_equals_sklearn(pairs):
    k, truth, predicted = pairs
    matrix = metrics.confusion(truth, predicted, k)
    labels = list(range(k))
    np.testing.assert_array_equal(
        matrix, reference.confusion_matrix(truth, predicted, labels=labels)
    )
    assert metrics.accuracy(matrix) == pytest.approx(reference.accuracy_score(truth, predicted))
    assert metrics.uar(matrix) == pytest.approx(reference.balanced_accuracy_score(truth, predicted))
    assert metrics.macro_f1(matrix) == pytest.approx(
        reference.f1_score(truth, predicted, average="macro", zero_division=0)
    )
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    np.testing.assert_allclose(metrics.recalls(matrix), recall)
    np.testing.assert_allclose(metrics.precisions(matrix), precision)
    np.testing.assert_allclose(metrics.f1_scores(matrix), f1)
    np.testing.assert_array_equal(matrix.sum(-1), support)


@quick
@given(PAIRS)
@pytest.mark.filterwarnings("ignore")
def test_agreement_beyond_chance(pairs):
    """Kappa and MCC may be negative; undefined is kappa where both are one and the same class."""
    k, truth, predicted = pairs
    matrix = metrics.confusion(truth, predicted, k)
    assert metrics.mcc(matrix) == pytest.approx(reference.matthews_corrcoef(truth, predicted))
    kappa = reference.cohen_kappa_score(truth, predicted)
    assert metrics.kappa(matrix) == pytest.approx(kappa, nan_ok=True)
    for name, value in metrics.compute(matrix).items():
        metric = metrics.known()[name]
        assert value is None or metric.low - 1e-12 <= value <= metric.high + 1e-12


@quick
@given(PAIRS)
def test_equals_audmetric_where_predictions_occur_in_the_truth(pairs):
    k, truth, predicted = pairs
    predicted = np.where(np.isin(predicted, truth), predicted, truth[0])
    matrix = metrics.confusion(truth, predicted, k)
    assert metrics.uar(matrix) == pytest.approx(
        audmetric.unweighted_average_recall(truth, predicted)
    )
    assert metrics.accuracy(matrix) == pytest.approx(audmetric.accuracy(truth, predicted))
    assert metrics.macro_f1(matrix) == pytest.approx(
        audmetric.unweighted_average_fscore(truth, predicted, zero_division=0)
    )
    recall = audmetric.recall_per_class(truth, predicted)
    for name, value in recall.items():
        assert metrics.recalls(matrix)[name] == pytest.approx(value)


@quick
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=50))
def test_auc_equals_sklearn_with_ties(rows):
    positive = np.array([row[0] for row in rows])
    scores = np.array([row[1] for row in rows]) / 5.0
    value = metrics.auc(positive, scores)
    if positive.all() or not positive.any():
        assert np.isnan(value)
    else:
        assert value == pytest.approx(reference.roc_auc_score(positive, scores))


def test_aucs_one_versus_rest():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    posterior = rng.dirichlet(np.ones(4), 90)
    values = metrics.aucs(truth, posterior)
    assert np.isnan(values[3])
    expected = reference.roc_auc_score(
        truth,
        posterior[:, :3] / posterior[:, :3].sum(1, keepdims=True),
        multi_class="ovr",
        average=None,
    )
    for k in range(3):
        assert values[k] == pytest.approx(reference.roc_auc_score(truth == k, posterior[:, k]))
    assert expected.shape == (3,)


@quick
@given(PAIRS, st.integers(0, 99))
def test_true_probabilities_are_a_loop_over_items(pairs, seed):
    k, truth, _ = pairs
    posterior = np.random.default_rng(seed).dirichlet(np.ones(k), len(truth)).astype(np.float32)
    found = metrics.true_probabilities(truth, posterior)
    for name in range(k):
        own = [float(posterior[i, name]) for i in range(len(truth)) if truth[i] == name]
        assert np.isnan(found[name]) if not own else found[name] == pytest.approx(np.mean(own))


@pytest.mark.parametrize("n", [1, metrics.FEWEST - 1, metrics.FEWEST])
def test_few_clusters_have_no_interval(n):
    matrices = np.random.default_rng(0).integers(0, 9, (n, 3, 3))
    assert np.isnan(metrics.bootstrap(matrices)["uar"]).all() == (n < metrics.FEWEST)


@pytest.mark.parametrize(
    ("truth", "predicted"), [([0, 1], [0]), ([0, 3], [0, 1]), ([0, 1], [-1, 1]), ([[0]], [[0]])]
)
def test_confusion_refuses_what_does_not_match(truth, predicted):
    with pytest.raises(ValueError, match=r"match|indices"):
        metrics.confusion(np.array(truth), np.array(predicted), 3)


def test_nothing_is_undefined_not_zero():
    empty = metrics.confusion(np.array([], int), np.array([], int), 3)
    for summary in [metric.compute for metric in metrics.known().values()]:
        assert np.isnan(summary(empty))


@quick
@given(PAIRS, st.integers(1, 5))
def test_stacks_equal_single_matrices(pairs, n):
    k, truth, predicted = pairs
    clusters = [i % n for i in range(len(truth))]
    names, stack = metrics.cluster_matrices(truth, predicted, clusters, k)
    np.testing.assert_array_equal(stack.sum(0), metrics.confusion(truth, predicted, k))
    for name, matrix in zip(names, stack, strict=True):
        mine = np.array(clusters) == name
        np.testing.assert_array_equal(matrix, metrics.confusion(truth[mine], predicted[mine], k))
    for summary in [metric.compute for metric in metrics.known().values()]:
        np.testing.assert_allclose(summary(stack), [summary(matrix) for matrix in stack])


def slow_bootstrap(truth, predicted, clusters, k, resamples, seed):
    """Draw speakers one by one, concatenate their items, score with scikit-learn."""
    rng = np.random.default_rng(seed)
    names = sorted(set(clusters))
    values = []
    for _ in range(resamples):
        rows = np.concatenate(
            [np.flatnonzero(clusters == name) for name in rng.choice(names, len(names))]
        )
        values.append(
            np.mean(
                [np.mean(predicted[rows][truth[rows] == c] == c) for c in np.unique(truth[rows])]
            )
        )
    return np.percentile(values, [2.5, 97.5])


def speech(n_speakers=12, each=20, k=4, seed=3):
    """Items of speakers who differ in how well they are recognised."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n_speakers), each)
    truth = rng.integers(0, k, n_speakers * each)
    skill = rng.uniform(0.2, 0.95, n_speakers)[clusters]
    predicted = np.where(rng.random(truth.size) < skill, truth, rng.integers(0, k, truth.size))
    return truth, predicted, clusters, k


def test_bootstrap_agrees_with_a_slow_one():
    truth, predicted, clusters, k = speech()
    _, matrices = metrics.cluster_matrices(truth, predicted, clusters.tolist(), k)
    interval = metrics.bootstrap(matrices, 0.95, 4000, seed=1)["uar"]
    expected = slow_bootstrap(truth, predicted, clusters, k, 1500, seed=2)
    np.testing.assert_allclose(interval, expected, atol=0.02)


def test_bootstrap_over_speakers_is_wider_than_over_files():
    truth, predicted, clusters, k = speech(each=80)
    _, speakers = metrics.cluster_matrices(truth, predicted, clusters.tolist(), k)
    _, files = metrics.cluster_matrices(truth, predicted, list(range(truth.size)), k)
    low, high = metrics.bootstrap(speakers)["uar"]
    file_low, file_high = metrics.bootstrap(files)["uar"]
    assert high - low > 1.5 * (file_high - file_low)
    centre = float(metrics.uar(speakers.sum(0)))
    assert low < centre < high
    assert file_low < centre < file_high


def test_bootstrap_is_seeded_and_blind_to_order(monkeypatch):
    truth, predicted, clusters, k = speech()
    _, matrices = metrics.cluster_matrices(truth, predicted, clusters.tolist(), k)
    one = metrics.bootstrap(matrices, seed=5)
    assert one == metrics.bootstrap(matrices[::-1], seed=5)
    assert one != metrics.bootstrap(matrices, seed=6)
    wide = metrics.bootstrap(matrices, 0.99, seed=5)
    for name, (low, high) in one.items():
        assert wide[name][0] < low
        assert high < wide[name][1]
    monkeypatch.setattr(metrics, "_BLOCK", 100)  # in blocks, the same draws
    assert one == metrics.bootstrap(matrices, seed=5)


@pytest.mark.parametrize("known", [True, False])
def test_many_classes_have_the_intervals_that_their_matrices_give(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    truth, predicted = random.integers(0, 12, (2, 300))
    predicted = np.where(random.random(300) < 0.4, truth, predicted)
    clusters = [i % 7 if known else i for i in range(300)]  # speakers, or single files
    matrices = metrics.cluster_matrices(truth, predicted, clusters, 12)[1]
    measures = {name: metric.compute for name, metric in metrics.known().items()}
    measures |= {"recalls": metrics.recalls, "cell": lambda matrix: matrix[..., 1, 2]}
    twice = np.stack([matrices, matrices[::-1]], 1)
    whole, drawn = metrics.bootstrap(matrices), metrics.resample(twice, measures, 300)
    monkeypatch.setattr(metrics, "_DENSE", 4)
    assert metrics.bootstrap_tests(truth, predicted, clusters, 12) == whole
    for name, values in metrics.resample(twice, measures, 300).items():
        np.testing.assert_array_equal(values, drawn[name], name)


def test_bootstrap_of_one_speaker_says_nothing():
    for limits in metrics.bootstrap(np.ones((1, 3, 3), np.int64)).values():
        assert np.isnan(limits).all()
    with pytest.raises(ValueError, match="level"):
        metrics.bootstrap(np.ones((2, 3, 3), np.int64), level=95)


def test_log_loss():
    random = np.random.default_rng(5)
    posterior = random.dirichlet([0.3] * 4, 50)
    truth = random.integers(0, 4, 50)
    expected = reference.log_loss(truth, posterior, labels=range(4))
    assert metrics.log_loss(truth, posterior) == pytest.approx(expected)
    certain = np.eye(2)
    wrong = np.array([1, 1])
    expected = reference.log_loss(wrong, certain, labels=range(2))
    assert metrics.log_loss(wrong, certain) == pytest.approx(expected)
    assert np.isnan(metrics.log_loss(np.array([], int), np.empty((0, 2))))
