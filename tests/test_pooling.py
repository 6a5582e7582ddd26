"""Reports pooled: folds as one test, seeds side by side, against scikit-learn over all units."""

from __future__ import annotations

import copy
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import CLASSES, report, result, speech, write
from sklearn import metrics as reference

from sertool.core.errors import InputError
from sertool.evaluation import measures, pooling
from sertool.papers import pages
from sertool.papers import reporting as stage
from sertool.papers.study import study
from sertool.ui import tables
from sertool.ui.console import Console

CELLS = [(t, p) for t in CLASSES for p in CLASSES]
FIGURES = [
    *({"measure": name} for name in ("accuracy", "uar", "macro_f1", "log_loss")),
    *(
        {"measure": m, "class": c}
        for m in ("recall", "precision", "f1", "support")
        for c in CLASSES
    ),
    *({"measure": m, "truth": t, "prediction": p} for m in ("share", "count") for t, p in CELLS),
]


def pooled(*reports):
    (group,) = pooling.group([result(f"{i}.json", r) for i, r in enumerate(reports)])
    return pooling.pool(group)


def numbers(system):
    """Return the mean of every figure, in the order of FIGURES; NaN for what is undefined."""
    return [np.nan if v is None else v.mean for v in measures.values(system, FIGURES)]


def expected(made):
    """Return every figure of all units at once, by scikit-learn."""
    truth, predicted = made.truth, made.predicted
    k = len(made.classes)
    labels = list(range(k))
    columns = reference.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    share = reference.confusion_matrix(truth, predicted, labels=labels, normalize="true")
    count = reference.confusion_matrix(truth, predicted, labels=labels)
    return [
        reference.accuracy_score(truth, predicted),
        reference.balanced_accuracy_score(truth, predicted),
        reference.f1_score(truth, predicted, average="macro", zero_division=0),
        reference.log_loss(truth, made.posterior, labels=labels),
        *np.concatenate([columns[1], columns[0], columns[2], columns[3]]),
        *share.ravel(),
        *count.ravel(),
    ]


def folds(made, numbers, **given):
    """Return a report a fold, of the units that `numbers` give to it."""
    numbers = np.asarray(numbers)
    return [
        report(made.only(numbers == f), fold=int(f), **given) for f in np.unique(numbers).tolist()
    ]


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 99),
    st.lists(st.integers(0, 3), min_size=48, max_size=48),
    st.randoms(use_true_random=False),
)
@pytest.mark.filterwarnings("ignore:y_pred contains:UserWarning")
def test_folds_in_any_order_are_one_test(seed, numbers_of_units, random):
    made = speech(seed, speakers=6, each=8, skill=2.0)
    files = folds(made, numbers_of_units)
    random.shuffle(files)
    split, whole = pooled(*files), pooled(report(made))
    np.testing.assert_allclose(numbers(split), expected(made))
    np.testing.assert_allclose(numbers(whole), expected(made))
    assert split.folds == [sorted(map(str, set(numbers_of_units)))]
    np.testing.assert_array_equal(split.matrices, whole.matrices)
    for name in ("linear", "majority"):
        np.testing.assert_array_equal(split.baselines[name], whole.baselines[name])


def test_folds_in_one_report_equal_folds_in_several():
    made = speech()
    number = np.arange(len(made.truth)) % 5
    together = pooled(report(made, checkpoint=number))
    apart = pooled(*folds(made, number))
    assert measures.values(together, FIGURES[:3]) == measures.values(apart, FIGURES[:3])
    np.testing.assert_allclose(numbers(together), numbers(apart))
    assert together.folds == [[""]]


def test_order_of_files_changes_nothing():
    reports = [
        each
        for seed in (2, 0, 10)
        for each in folds(speech(seed, speakers=6), np.arange(96) % 2, seed=seed)
    ]
    first = pooled(*reports)
    assert first.seeds == ["0", "2", "10"]
    assert first.folds == [["0", "1"]] * 3
    values = measures.values(first, FIGURES)
    for order in list(permutations(range(6)))[100::150]:
        other = pooled(*(reports[i] for i in order))
        assert (other.seeds, other.folds) == (first.seeds, first.folds)
        assert measures.values(other, FIGURES) == values


def test_a_speaker_of_several_folds_is_one_cluster():
    made = speech(speakers=7)
    system = pooled(*folds(made, np.arange(len(made.truth)) % 4))
    assert system.clusters == [f"toy/s{i:02d}" for i in range(7)]
    assert system.unit == "speaker"
    for name, matrix in zip(system.clusters, system.matrices[:, 0], strict=True):
        mine = made.clusters == name
        wanted = reference.confusion_matrix(
            made.truth[mine], made.predicted[mine], labels=range(len(CLASSES))
        )
        np.testing.assert_array_equal(matrix, wanted)


def test_a_name_is_another_speaker_in_another_corpus():
    units = [unit.replace(speaker="01") for unit in speech(corpora=("a", "b")).units]
    made = speech(corpora=("a", "b"))
    made = type(made)(units, made.truth, made.posterior, made.linear)
    assert pooled(report(made)).clusters == ["a/01", "b/01"]


@pytest.mark.parametrize("unknown", [(2, 5), range(10)])
def test_units_of_unknown_speaker_are_clusters_of_their_own(unknown):
    made = speech(unknown=unknown)
    system = pooled(*folds(made, np.arange(160) % 3))
    known = sorted({u.speaker for u in made.units} - {None})
    assert [c for c in system.clusters if c] == [f"toy/{name}" for name in known]
    alone = [m for c, m in zip(system.clusters, system.matrices, strict=True) if not c]
    assert len(alone) == 16 * len(unknown)
    assert {int(m.sum()) for m in alone} == {1}
    assert system.unit == ("speaker" if known else "file")
    np.testing.assert_allclose(numbers(system), expected(made))


@pytest.mark.parametrize("field", ["corpus", "gender"])
@pytest.mark.parametrize("unknown", [(), (0, 3)])
def test_a_part_is_the_test_of_its_units_alone(field, unknown):
    both = [speech(seed, corpora=("a", "b"), unknown=unknown) for seed in (0, 1)]
    number = np.arange(160) % 3
    system = pooled(*(r for seed, made in enumerate(both) for r in folds(made, number, seed=seed)))
    for value in sorted({unit.value(field) for unit in both[0].units}):
        found = measures.values(pooling.part(system, field, value), FIGURES)
        wanted = np.array([expected(made.of(field, value)) for made in both])
        for each, column, figure in zip(found, wanted.T, FIGURES, strict=True):
            if figure["measure"] == "log_loss":
                assert each is None  # only a whole report says it
                continue
            assert each.mean == pytest.approx(column.mean())
            assert each.sd == pytest.approx(column.std(ddof=1))
            assert each.n_seeds == 2


def test_a_part_keeps_the_speakers_of_a_corpus():
    made = speech(corpora=("a", "b"))
    system = pooled(report(made))
    for corpus in ("a", "b"):
        part = pooling.part(system, "corpus", corpus)
        alone = pooled(report(made.of("corpus", corpus)))
        assert part.clusters == alone.clusters
        assert measures.values(part, FIGURES[:3]) == measures.values(alone, FIGURES[:3])


def test_a_part_that_was_not_tested():
    system = pooled(report(speech().of("gender", "male")))
    assert pooling.part(system, "gender", "female") is None
    assert pooling.part(system, "speaker", "toy/s01") is None
    assert pooling.part(system, "gender", "male") is system


def test_a_part_that_only_some_folds_have():
    made = speech(corpora=("a", "b"))
    number = [("a", "b").index(unit.corpus) for unit in made.units]
    part = pooling.part(pooled(*folds(made, number)), "corpus", "b")
    assert numbers(part)[:3] == pytest.approx(expected(made.of("corpus", "b"))[:3])


def test_tags_win_over_lineage():
    bare = result("r", report(speech(), fold=3, seed=7, epochs=30))
    assert (bare.fold, bare.seed, bare.made["epochs"]) == ("3", "7", "30")
    tags = {"fold": "five", "seed": "1", "epochs": "400", "model": "ours", "feature": "mel"}
    told = result("r", report(speech(), tags, fold=3, seed=7, epochs=30))
    assert (told.fold, told.seed) == ("five", "1")
    assert dict(told.key).items() >= {"epochs": "400", "model": "ours", "feature": "mel"}.items()
    assert not {"fold", "seed"} & set(dict(told.key))
    system = pooling.pool([told])
    assert (system.values["epochs"], system.values["model"]) == ("400", "ours")


def test_tags_that_say_fold_and_seed_pool_what_lineage_tells_apart():
    made = speech(speakers=4)
    tagged = [
        report(made.only(np.arange(64) % 2 == f), {"fold": str(f), "seed": "9"}, seed=f)
        for f in (0, 1)
    ]
    system = pooled(*tagged)
    assert (system.seeds, system.folds) == (["9"], [["0", "1"]])
    np.testing.assert_allclose(numbers(system), expected(made))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "linear"},
        {"epochs": 400},
        {"level": "item"},
        {"conditions": {"noise_snr": 10.0}},
        {"conditions": {"channel_rate": 8000}},
        {"tags": {"feature": "mfcc"}},
    ],
)
def test_what_makes_another_system(other):
    made = speech(speakers=4)
    for second in ({"seed": 0}, {"seed": 1}):  # where it would clash, and where it would pool
        reports = [report(made, seed=0), report(made, **second | other)]
        groups = pooling.group(result(str(i), r) for i, r in enumerate(reports))
        assert [len(group) for group in groups] == [1, 1]


def test_conditions_that_differ_are_two_systems():
    made = speech(speakers=4)
    reports = [report(made, conditions={"noise_snr": snr}) for snr in (10.0, 20.0, 10.5)]
    assert len(pooling.group(result(str(i), r) for i, r in enumerate(reports))) == 3


def test_another_feature_is_not_pooled_in_silence():
    """Two folds of one model, one on mel and one on mfcc, and nobody tagged them."""
    made = speech(speakers=4)
    reports = folds(made, np.arange(64) % 2)
    reports[1]["store"] = {"name": "mfcc.h5", "sha256": "1" * 64, "kind": "mfcc"}
    reports[1]["lineage"][0]["params"]["kind"] = "mfcc"
    results = [result(f"{i}.json", r) for i, r in enumerate(reports)]
    groups = pooling.group(results)
    assert len(groups) == 2 or pooling.differences(pooling.pool(results))


@pytest.mark.parametrize("tags", [{}, {"feature": "mel", "fold": "2", "seed": "1"}])
def test_the_same_test_twice_is_refused(tags):
    made = speech(speakers=4)
    results = [result(f"{n}.json", report(made, tags, fold=1)) for n in ("one", "two")]
    with pytest.raises(InputError, match=r"two\.json.*one\.json"):
        pooling.group(results)


def test_other_classes_are_refused():
    made = speech(speakers=4)
    other = speech(speakers=4, classes=("anger", "calm", "neutral", "sadness"))
    with pytest.raises(InputError, match=r"1\.json.*classes.*0\.json"):
        pooled(report(made, fold=0), report(other, fold=1))
    fewer = speech(speakers=4, classes=(CLASSES[0], "calm"))
    with pytest.raises(InputError, match=r"1\.json.*classes.*0\.json"):
        pooled(report(made, fold=0), report(fewer, fold=1))


@pytest.mark.parametrize("order", [1, -1])
def test_a_run_that_knew_fewer_classes_never_says_the_others(order):
    """Its counts lie where its classes are among all: of speakers, baselines and the whole."""
    made, fewer = speech(speakers=4), speech(speakers=4, classes=CLASSES[:1] + CLASSES[2:])
    both = [report(made, fold=0), report(fewer, fold=1)][::order]
    found = pooled(*both)
    assert found.classes == list(CLASSES)
    whole = found.matrices.sum((0, 1))
    kept = [i for i in range(len(CLASSES)) if i != 1]
    expected = np.array(report(made)["confusion"])
    expected[np.ix_(kept, kept)] += np.array(report(fewer)["confusion"])
    np.testing.assert_array_equal(whole, expected)
    alone = pooled(report(made, fold=0))
    for name, matrices in found.baselines.items():
        more = np.array(report(fewer)["baselines"][name]["confusion"])
        want = alone.baselines[name].sum((0, 1))
        want[np.ix_(kept, kept)] += more
        np.testing.assert_array_equal(matrices.sum((0, 1)), want)
    (part,) = [pooling.part(found, "gender", g) for g in list(both[0]["by"]["gender"])[:1]]
    assert part is not None
    assert part.matrices.shape[-1] == len(CLASSES)
    shuffled = report(speech(speakers=4, classes=CLASSES[::-1]), fold=1)
    turned = pooled(report(made, fold=0), shuffled).matrices.sum((0, 1))
    other = np.array(shuffled["confusion"])[::-1, ::-1]
    np.testing.assert_array_equal(turned, np.array(report(made)["confusion"]) + other)


def warned(capsys, tmp_path, *reports):
    paths = [write(tmp_path / f"{i}.json", r) for i, r in enumerate(reports)]
    made = stage.report(paths, None, Console("report"))
    assert len(made.systems) == 1
    return capsys.readouterr().err


def test_other_training_is_pooled_with_a_warning(capsys, tmp_path):
    made = speech(speakers=4)
    both = folds(made, np.arange(64) % 2, tags={"feature": "mel"})
    assert warned(capsys, tmp_path, *both) == ""
    other = copy.deepcopy(both)
    other[1]["lineage"][1]["params"]["hyperparameters"]["precision"] = "bfloat16"
    other[1]["lineage"][1]["params"]["settings"]["width"] = 16
    line = warned(capsys, tmp_path, *other)
    assert line.count("\n") == 1
    assert "feature=mel" in line
    assert "hyperparameters.precision" in line
    assert "settings.width" in line
    assert "hyperparameters.lr" not in line


def test_a_parameter_that_only_one_run_knows_is_a_difference(capsys, tmp_path):
    both = folds(speech(speakers=4), np.arange(64) % 2, tags={"feature": "mel"})
    both[1]["lineage"][1]["params"]["unlabelled"] = ["wild.h5"]
    both[1]["lineage"][1]["params"]["keep_last"] = True  # touches nothing that is scored
    both[0]["lineage"][1]["params"]["augment"] = None  # as where it is not named
    line = warned(capsys, tmp_path, *both)
    assert "different train unlabelled\n" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("choose", True), ("all", True), ("where", ["gender=male"]), ("pool", "vote")],
)
def test_what_was_scored_unlike_is_not_pooled(name, value):
    both = folds(speech(speakers=4), np.arange(64) % 2, tags={"feature": "mel"})
    both[1]["lineage"][-1]["params"][name] = value
    with pytest.raises(InputError, match=rf"1.json: has the same tags as 0.json.*--{name} in eval"):
        pooled(*both)
    both[0]["lineage"][-1]["params"][name] = value
    assert len(pooled(*both).folds[0]) == 2


def test_items_of_each_fold_are_pooled():
    both = folds(speech(speakers=4), np.arange(64) % 2, tags={"feature": "mel"})
    for number, each in enumerate(both):
        each["lineage"][-1]["params"]["where"] = [f"fold={number}", "gender=male"]
    assert len(pooled(*both).folds[0]) == 2


def test_models_of_each_value_and_last_weights_are_systems_of_their_own():
    plain, last, each = (report(speech(n), {"feature": "mel"}, fold=n) for n in range(3))
    last["kept"] = "last"
    each["lineage"][1]["params"]["per"] = "gender"
    found = study([result(f"{i}.json", r) for i, r in enumerate((plain, last, each))])
    assert [(s.tags.get("kept"), s.tags.get("per")) for s in found.systems] == [
        (None, None),
        ("last", None),
        (None, "gender"),
    ]


def test_a_stage_that_comes_twice_is_no_difference(capsys, tmp_path):
    """A waveform store, featurized again: what its two steps say is not compared with each other.

    What the same step says in two reports is.
    """
    made = speech(speakers=4)
    both = folds(made, np.arange(64) % 2)
    for each in both:
        wave = {"stage": "featurize", "params": {"kind": "wave", "duration": 3.0}}
        each["lineage"].insert(0, wave)
    assert warned(capsys, tmp_path, *both) == ""
    assert warned(capsys, tmp_path, both[0]) == ""
    both[1]["lineage"][0]["params"]["duration"] = 4.0
    assert "featurize duration" in warned(capsys, tmp_path, *both)


def test_folds_and_seeds_may_differ_in_what_makes_them_so(capsys, tmp_path):
    made = speech(speakers=4)
    reports = [report(made, fold=f, seed=s) for f in (0, 1) for s in (0, 1)]
    reports[2]["lineage"][1]["params"]["device"] = "cuda"
    assert warned(capsys, tmp_path, *reports) == ""


def test_facts_hold_if_they_hold_in_every_report():
    made = speech(speakers=4)
    number = np.arange(64) % 3

    def fact(*apart):
        reports = [
            report(made.only(number == f), fold=f, apart=value) for f, value in enumerate(apart)
        ]
        return pooling.evidence(pooled(*reports)).facts["speaker_disjoint"]

    assert fact(True, True, True) is True
    assert fact(True, False, True) is False
    assert fact(True, None, True) is None
    assert fact(True, None, False) is False


def test_counts_of_what_was_tested():
    made = speech(speakers=5, unknown=(4,))
    system = pooled(*folds(made, np.arange(80) % 3))
    found = pooling.evidence(system).to_dict()
    assert found["n_test"] == (80, 80)
    assert found["n_speakers"] == 4
    assert found["n_train"] == (26, 27)


def test_files_in_parts_add_up_over_folds():
    """Each fold says how many of its own it scored in parts; a seed's are theirs together."""
    made = speech(speakers=5)
    reports = [r for s in (0, 1) for r in folds(made, np.arange(80) % 2, seed=s)]
    assert pooling.evidence(pooled(*reports)).files_split == 0
    for each, n in zip(reports, (7, 5, 9, 1), strict=True):
        each["protocol"]["files_split"] = n
    found = pooled(*reports)
    assert pooling.evidence(found).files_split == 12
    page = tables.markdown(pages.page(study([result("r", r) for r in reports])))
    assert "12 of these files SCORED IN PARTS" in page


def test_a_baseline_that_some_reports_do_not_have_is_left_out():
    made = speech(speakers=4)
    number = np.arange(64) % 2
    one = report(made.only(number == 0), fold=0)
    two = report(made.only(number == 1), fold=1, baselines=("majority",))
    assert set(pooled(one, two).baselines) == {"majority"}


def test_a_network_without_epochs_has_no_number_of_them():
    """One that trains nothing tells of no training; a report of old says nothing of it."""
    made = report(speech(speakers=4), fold=0, epochs=100)
    assert result("a.json", made).made["epochs"] == "100"
    made["folds"][0]["training"] = None
    assert "epochs" not in result("a.json", made).made
    del made["folds"][0]["training"]
    assert result("a.json", made).made["epochs"] == "100"


def test_a_corpus_whose_name_begins_anothers_keeps_its_own_speakers():
    made = speech(corpora=("a", "ab"))
    part = pooling.part(pooled(report(made)), "corpus", "a")
    alone = pooled(report(made.of("corpus", "a")))
    assert part.clusters == alone.clusters
    np.testing.assert_array_equal(part.matrices, alone.matrices)


def test_facts_of_unlike_reports_are_the_worst_and_the_widest():
    few, many = folds(speech(speakers=4), np.arange(64) % 2)
    few["protocol"] |= {"n_train": 10, "n_train_most": 50, "test_augmented": False}
    many["protocol"] |= {"n_train": 20, "n_train_most": 30, "test_augmented": True}
    for order in ((few, many), (many, few)):
        found = pooling.evidence(pooled(*order)).to_dict()
        assert found["test_augmented"] is True
        assert found["n_train"] == (10, 50)
