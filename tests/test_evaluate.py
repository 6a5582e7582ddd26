"""`eval`: held-out items to a report, against scikit-learn and by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import made
import numpy as np
import pytest
from made_reports import evaluate
from made_stores import write_store
from sklearn import metrics as reference

from sertool import metrics
from sertool.core.errors import InputError, UsageError
from sertool.evaluation.heldout import file_of
from sertool.evaluation.options import EvalOptions as Options
from sertool.evaluation.report import digest, dumps, parse
from sertool.formats.store import Store
from sertool.items import Item
from sertool.metrics import pool_posteriors
from sertool.models.scoring import Scorer
from sertool.ui.console import Console


def by_speaker(*held_out, val=()):
    def part(item):
        if item.speaker in held_out:
            return "test"
        return "val" if item.speaker in val else "train"

    return part


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    items = made.corpus(folder / "wav")
    made.store(folder / "all.h5", folder / "wav", items)
    made.train(folder / "all.h5", folder / "m.ckpt", by_speaker("s3"))
    for i in range(4):
        made.train(folder / "all.h5", folder / f"m.{i}.ckpt", by_speaker(f"s{i}"))
    return folder


def report_of(toy, names=("m.ckpt",), store="all.h5", console=None, finished=None, **options):
    paths = [toy / name for name in names]
    return evaluate(paths, toy / store, Options(**options), console or Console.silent(), finished)


def truth_and_posterior(report):
    truth = [item["truth"] for item in report["items"]]
    posterior = np.array([list(item["posterior"].values()) for item in report["items"]])
    return truth, posterior


def test_figures_are_those_of_sklearn(toy):
    report = report_of(toy)
    truth, posterior = truth_and_posterior(report)
    classes = report["classes"]
    predicted = [item["prediction"] for item in report["items"]]
    assert len(truth) == 6
    assert predicted == [classes[k] for k in posterior.argmax(1)]
    assert report["accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted))
    assert report["uar"] == pytest.approx(reference.balanced_accuracy_score(truth, predicted))
    assert report["macro_f1"] == pytest.approx(
        reference.f1_score(truth, predicted, average="macro", zero_division=0)
    )
    assert (
        report["confusion"] == reference.confusion_matrix(truth, predicted, labels=classes).tolist()
    )
    for k, name in enumerate(classes):
        row = report["per_class"][name]
        positive = [t == name for t in truth]
        assert row["auc"] == pytest.approx(reference.roc_auc_score(positive, posterior[:, k]))
        assert row["support"] == sum(positive)


def test_posteriors_are_the_scorers_unrounded(toy):
    report = report_of(toy, batch_size=4)
    scorer = Scorer.load(toy / "m.ckpt")
    with Store(toy / "all.h5") as store:
        index = {item.id: i for i, item in enumerate(store.items())}
        for item in report["items"]:
            (row,) = scorer.posterior([store.features(index[item["id"]])])
            assert list(item["posterior"].values()) == row.tolist()
            assert list(item["posterior"]) == scorer.classes


def test_protocol_comes_from_the_items(toy):
    protocol = report_of(toy)["protocol"]
    assert protocol["speaker_disjoint"] is True
    assert protocol["origin_disjoint"] is True
    assert protocol["text_disjoint"] is False
    assert protocol["shared"]["sentences"] == 2
    assert (protocol["n_train"], protocol["n_val"], protocol["n_test"]) == (18, 0, 6)
    assert protocol["test_augmented"] is False


def test_baselines_stand_beside_the_result(toy):
    report = report_of(toy)
    assert list(report["baselines"]) == ["majority", "linear"]
    for figures in report["baselines"].values():
        for key in ("accuracy", "uar", "macro_f1", "per_class", "confusion", "ci", "by"):
            assert key in figures
    assert report["baselines"]["majority"]["uar"] == pytest.approx(1 / 3)
    assert report["baselines"]["linear"]["confusion"] == report["confusion"]


def test_left_out_baselines_are_left_out(toy):
    made.train(toy / "all.h5", toy / "bare.ckpt", by_speaker("s3"), baselines=False)
    assert report_of(toy, ["bare.ckpt"])["baselines"] == {}


def test_a_baseline_that_one_checkpoint_lacks_is_not_reported(toy):
    made.train(toy / "all.h5", toy / "bare.1.ckpt", by_speaker("s1"), baselines=False)
    report = report_of(toy, ["m.0.ckpt", "bare.1.ckpt"])
    assert report["baselines"] == {}
    assert len(report["items"]) == 12


def test_folds_are_pooled_and_averaged(toy):
    names = [f"m.{i}.ckpt" for i in range(4)]
    pooled = report_of(toy, names)
    single = [report_of(toy, [name]) for name in names]
    assert sum(map(np.array, [s["confusion"] for s in single])).tolist() == pooled["confusion"]
    assert [fold["uar"] for fold in pooled["folds"]] == [s["uar"] for s in single]
    assert [fold["protocol"]["n_test"] for fold in pooled["folds"]] == [6] * 4
    mean = pooled["mean_of_folds"]
    for key in ("accuracy", "uar", "macro_f1"):
        values = [s[key] for s in single]
        assert mean[key] == pytest.approx(np.mean(values))
        assert mean["sd"][key] == pytest.approx(np.std(values, ddof=1))
    assert single[0]["mean_of_folds"] is None
    assert pooled["protocol"]["speaker_disjoint"] is True
    assert len(pooled["items"]) == 24
    assert pooled["baselines"]["linear"]["mean_of_folds"]["uar"] == pytest.approx(mean["uar"])
    assert pooled["ci"]["n_units"] == 4
    assert pooled["ci"]["uar"] == [None, None]  # four speakers tell too little


def test_groups_add_up(toy):
    report = report_of(toy, [f"m.{i}.ckpt" for i in range(4)])
    for system in (report, *report["baselines"].values()):
        for field, names in (
            ("speaker", ["toy/s0", "toy/s1", "toy/s2", "toy/s3"]),
            ("gender", ["female", "male"]),
            ("corpus", ["toy"]),
        ):
            groups = system["by"][field]
            assert list(groups) == names
            total = sum(np.array(group["confusion"]) for group in groups.values())
            assert total.tolist() == system["confusion"]
            for group in groups.values():
                matrix = np.array(group["confusion"])
                assert group["n"] == matrix.sum()
                assert group["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())


def test_one_speaker_has_no_interval(toy):
    ci = report_of(toy)["ci"]
    assert (ci["unit"], ci["n_units"], ci["uar"]) == ("speaker", 1, [None, None])


def without_speakers(toy, tmp_path):
    """The store, of which nobody knows who speaks."""
    with Store(toy / "all.h5") as store:
        items = [item.replace(speaker=None) for item in store.items()]
        arrays = [store.features(i) for i in range(len(store))]
        same = {"kind": store.kind, "settings": store.settings, "pipeline": store.pipeline}
        rates = {"sample_rate": store.sample_rate, "frame_rate": store.frame_rate}
    write_store(tmp_path / "s.h5", arrays, items, **same, **rates)
    return tmp_path / "s.h5"


def test_unknown_speakers_are_said(toy, tmp_path):
    store = without_speakers(toy, tmp_path)
    report = evaluate([toy / "m.ckpt"], store, Options(all=True), Console.silent())
    assert report["ci"]["unit"] == "file"
    assert report["ci"]["n_units"] == 24
    assert report["by"]["speaker"] == {}
    assert report["protocol"]["speaker_disjoint"] is None


def test_intervals_have_the_seed_and_the_level_that_are_asked_for(toy, tmp_path):
    store = without_speakers(toy, tmp_path)
    options = Options(all=True, seed=5, ci=0.8)
    report = evaluate([toy / "m.ckpt"], store, options, Console.silent())
    truth, predicted = (
        np.array([report["classes"].index(item[key]) for item in report["items"]])
        for key in ("truth", "prediction")
    )
    linear = np.array(report["baselines"]["linear"]["confusion"])
    assert linear.tolist() == report["confusion"]  # the same model, and so the same limits
    _, matrices = metrics.cluster_matrices(truth, predicted, range(24), len(report["classes"]))
    wanted = metrics.bootstrap(matrices, 0.8, seed=5)
    for figures in (report, report["baselines"]["linear"]):
        assert (figures["ci"]["seed"], figures["ci"]["level"]) == (5, 0.8)
        for name, limits in wanted.items():
            assert figures["ci"][name] == list(limits)


def test_an_item_held_out_twice_is_refused(toy):
    with pytest.raises(InputError, match=r"held out by .*m.ckpt and by .*m.3.ckpt"):
        report_of(toy, ["m.ckpt", "m.3.ckpt"])


def test_other_models_are_no_folds(toy):
    other = {"name": "other", "settings": {}, "frames": None, "parameters": 1}
    made.train(toy / "all.h5", toy / "other.ckpt", by_speaker("s0"), model=other)
    with pytest.raises(InputError, match=r"its model \(other\)"):
        report_of(toy, ["m.ckpt", "other.ckpt"])


def test_what_train_declares_is_passed_on(toy):
    names = []
    for k in range(2):
        said = {"resplit": "random:80:20", "unit": "item", "fold": k}
        names.append(f"said.{k}.ckpt")
        made.train(toy / "all.h5", toy / names[-1], by_speaker(f"s{k}"), protocol=said)
    report = report_of(toy, names)
    assert report["protocol"]["resplit"] == "random:80:20"
    assert "fold" not in report["protocol"]
    assert [fold["fold"] for fold in report["folds"]] == [0, 1]


def test_nothing_held_out_points_to_all(toy):
    made.train(toy / "all.h5", toy / "ship.ckpt", lambda item: "train")
    with pytest.raises(InputError, match="--all"):
        report_of(toy, ["ship.ckpt"])
    report = report_of(toy, ["ship.ckpt"], all=True)
    assert len(report["items"]) == 24
    assert report["protocol"]["origin_disjoint"] is False
    with pytest.raises(UsageError, match="one checkpoint"):
        report_of(toy, ["ship.ckpt", "m.ckpt"], all=True)


def test_a_missing_item_is_named(toy, tmp_path):
    items = [i for i in made.corpus(toy / "wav") if i.id != "toy/s3-sadness-1"]
    made.store(tmp_path / "less.h5", toy / "wav", items)
    with pytest.raises(InputError, match=r"lacks 1 of the 6 items .*toy/s3-sadness-1"):
        evaluate([toy / "m.ckpt"], tmp_path / "less.h5", Options(), Console.silent())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"settings": {**made.SPEC.settings, "n_mels": 8}}, "n_mels is 8, not 12"),
        ({"kind": "spectrogram", "settings": {}}, "kind is spectrogram, not mel"),
        ({"duration": 0.2}, "duration is 0.2, not None"),
    ],
)
def test_other_features_are_refused_by_name(toy, tmp_path, change, word):
    items = made.corpus(toy / "wav")
    made.store(tmp_path / "x.h5", toy / "wav", items, replace(made.SPEC, **change))
    with pytest.raises(InputError, match=word):
        evaluate([toy / "m.ckpt"], tmp_path / "x.h5", Options(), Console.silent())


def with_copies(toy, tmp_path):
    """The store with a copy of everything, under an augmented pipeline."""
    with Store(toy / "all.h5") as store:
        items, arrays = list(store.items()), [store.features(i) for i in range(len(store))]
        pipeline = [*store.pipeline, {"stage": "augment", "copies": 1}]
        rest = {"settings": store.settings, "frame_rate": store.frame_rate, "root": store.root}
    copies = [
        item.replace(id=f"{item.id}~1", augmentation='{"awgn":20}', audio_hash="") for item in items
    ]
    louder = [array + 3 for array in arrays]
    path = tmp_path / "copies.h5"
    write_store(
        path, arrays + louder, items + copies, pipeline=pipeline, sample_rate=made.RATE, **rest
    )
    return path


def test_copies_are_left_out_unless_asked_for(toy, tmp_path):
    store = with_copies(toy, tmp_path)
    made.train(store, tmp_path / "c.ckpt", by_speaker("s3"))

    def run(**options):
        return evaluate([tmp_path / "c.ckpt"], store, Options(**options), Console.silent())

    plain, copied = run(), run(copies=True)
    assert len(plain["items"]) == 6
    assert plain["protocol"]["test_augmented"] is False
    assert plain["protocol"]["train_augmented"] is True
    assert len(copied["items"]) == 12  # a copy is no segment of its origin
    assert copied["protocol"]["test_augmented"] is True
    assert len(run(all=True)["items"]) == 24
    assert len(run(all=True, copies=True)["items"]) == 48
    original = evaluate([tmp_path / "c.ckpt"], toy / "all.h5", Options(), Console.silent())
    assert original["items"] == plain["items"]  # augment stages are no difference


def test_segments_are_pooled_into_files(toy, tmp_path):
    spec = replace(made.SPEC, segment=0.1)
    store = made.store(tmp_path / "seg.h5", toy / "wav", made.corpus(toy / "wav"), spec)
    made.train(store, tmp_path / "seg.ckpt", by_speaker("s3"))

    def run(**options):
        return evaluate([tmp_path / "seg.ckpt"], store, Options(**options), Console.silent())

    items = run(by="item")["items"]
    assert len(items) > 6
    losses = set()
    for pool in ("mean", "max", "vote"):
        report = run(pool=pool)
        assert [item["id"] for item in report["items"]] == sorted(
            {item["id"].split("#")[0] for item in items}, key=lambda name: name
        )
        for whole in report["items"]:
            rows = np.array(
                [list(i["posterior"].values()) for i in items if i["id"].startswith(whole["id"])]
            )
            posterior, k = pool_posteriors(rows, pool)
            assert list(whole["posterior"].values()) == posterior.tolist()
            assert whole["prediction"] == report["classes"][k]
        # the model is the linear baseline, and its files are pooled as the model's are
        assert report["baselines"]["linear"]["log_loss"] == pytest.approx(report["log_loss"])
        losses.add(round(report["log_loss"], 6))
    assert len(losses) == 3


def test_pooling_by_hand():
    rows = np.array([[0.6, 0.4, 0.0], [0.1, 0.5, 0.4], [0.35, 0.3, 0.35]])
    posterior, k = pool_posteriors(rows, "mean")
    assert posterior == pytest.approx([0.35, 0.4, 0.25])
    assert k == 1
    posterior, k = pool_posteriors(rows, "max")
    assert posterior == pytest.approx([0.4, 1 / 3, 0.4 / 1.5])
    assert k == 0
    posterior, k = pool_posteriors(rows[:2], "vote")
    assert posterior == pytest.approx([0.5, 0.5, 0.0])
    assert k == 1  # a tie goes to the higher mean


@pytest.mark.parametrize(
    ("name", "origin", "unit"),
    [
        ("c/a#003", "c/a", "c/a"),
        ("c/a~1#003", "c/a", "c/a~1"),
        ("c/a#003~2", "c/a", "c/a~2"),
        ("c/a#1.wav#000", "c/a#1.wav", "c/a#1.wav"),
        ("c/a", "c/a", "c/a"),
    ],
)
def test_what_an_item_is_a_segment_of(name, origin, unit):
    assert file_of(Item(name, origin=origin)) == unit


def test_what_the_model_does_not_know_is_left_out(toy, tmp_path, capfd):
    items = made.corpus(toy / "wav")
    strange = [
        item.replace(label={"anger": "calm", "sadness": None}.get(item.label, item.label))
        for item in items
    ]
    made.store(tmp_path / "x.h5", toy / "wav", strange)
    report = evaluate(
        [toy / "m.ckpt"], tmp_path / "x.h5", Options(all=True), Console("eval", quiet=True)
    )
    assert {item["truth"] for item in report["items"]} == {"happiness"}
    err = capfd.readouterr().err
    assert "8 items without a label" in err
    assert "calm 8" in err
    assert report["uar"] == report["per_class"]["happiness"]["recall"]
    assert report["per_class"]["anger"]["recall"] is None


def test_requirements(toy):
    report_of(toy, require=("speaker_disjoint", "origin_disjoint"))
    with pytest.raises(InputError, match="text-disjoint does not hold: 2 sentences shared"):
        report_of(toy, require=("text_disjoint",))
    with pytest.raises(UsageError, match="speaker-disjoint"):
        report_of(toy, require=("fairness",))


@pytest.mark.parametrize("options", [{"by": "speaker"}, {"pool": "median"}, {"ci": 95.0}])
def test_wrong_options(toy, options):
    with pytest.raises(UsageError):
        report_of(toy, **options)


def test_degraded_recordings(toy):
    plain = report_of(toy)
    nearly = report_of(toy, noise_snr=200.0)
    for one, other in zip(plain["items"], nearly["items"], strict=True):
        assert one["id"] == other["id"]
        assert list(one["posterior"].values()) == pytest.approx(
            list(other["posterior"].values()), abs=1e-3
        )
    noisy = report_of(toy, noise_snr=-30.0)
    assert noisy["conditions"] == {"noise_snr": -30.0}
    assert noisy["items"] != plain["items"]
    assert noisy["items"] == report_of(toy, noise_snr=-30.0)["items"]
    assert noisy["items"] != report_of(toy, noise_snr=-30.0, seed=1)["items"]
    assert report_of(toy, channel_rate=made.RATE)["items"] == plain["items"]
    assert report_of(toy, channel_rate=1000)["items"] != plain["items"]


def test_a_degraded_test_needs_the_very_recordings(toy, tmp_path):
    folder = tmp_path / "wav"
    made.store(tmp_path / "s.h5", folder, made.corpus(folder))

    def run():
        return evaluate(
            [toy / "m.ckpt"], tmp_path / "s.h5", Options(noise_snr=10.0), Console.silent()
        )

    run()
    (folder / "s3-anger-0.wav").write_bytes((folder / "s3-anger-1.wav").read_bytes())
    with pytest.raises(InputError, match="not the recording"):
        run()
    (folder / "s3-anger-0.wav").unlink()
    with pytest.raises(InputError, match=r"s3-anger-0.wav: no such file; a degraded test"):
        run()


def test_the_report_is_json_of_one_form(toy):
    report = report_of(toy, [f"m.{i}.ckpt" for i in range(4)], tags={"table": "2"})
    text = dumps(parse(report, "r.json"))
    assert json.loads(text) == report | {"sha256": digest(report)}
    assert text == dumps(
        parse(report_of(toy, [f"m.{i}.ckpt" for i in range(4)], tags={"table": "2"}), "again")
    )
    assert report["format"] == "sertool-report"
    assert report["tags"] == {"table": "2"}
    assert report["lineage"][-1]["stage"] == "eval"
    assert len(report["lineage"][-1]["params"]["checkpoints"]) == 4
    assert "items" not in report_of(toy, summary=True)


def test_command_line(toy, tmp_path, cli):
    target = tmp_path / "r.json"
    figures = tmp_path / "figures"
    arguments = ["eval", toy / "m.0.ckpt", toy / "m.1.ckpt", toy / "all.h5"]
    done = cli(*arguments, "--json", target, "--figures", figures, "--tag", "a=b=c")
    assert done.code == 0, done.err
    assert "UAR" in done.out
    assert "speakers apart: yes" in done.out
    report = json.loads(target.read_text())
    assert report["tags"] == {"a": "b=c"}
    assert sorted(p.name for p in figures.iterdir()) == [
        "classes.png",
        "confusion.png",
        "reliability.png",
        "speakers.png",
    ]
    again = cli(*arguments, "--json", target)
    assert (again.code, again.out) == (3, "")
    assert "--force" in again.err
    assert cli(*arguments, "--figures", figures).code == 3
    before = target.read_bytes()
    assert cli(*arguments, "--json", target, "--tag", "a=b=c", "--force").code == 0
    assert target.read_bytes() == before
    resumed = cli(*arguments, "--json", target, "--tag", "a=b=c", "--resume")
    assert resumed.code == 0
    assert "already complete" in resumed.err
    assert cli(*arguments, "--json", target, "--resume").code == 3


def test_command_line_streams(toy, cli):
    done = cli("eval", toy / "m.ckpt", toy / "all.h5", "--json", "-", "--summary")
    assert done.code == 0
    report = json.loads(done.out)
    assert "items" not in report
    assert "UAR" in done.err
    quiet = cli("eval", toy / "m.ckpt", toy / "all.h5", "--json", "-", "--quiet")
    assert quiet.err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--require", "speaker-disjoint,text-disjoint"], 3, "text-disjoint does not hold"),
        (["--require", "kindness"], 2, "needs speaker-disjoint"),
        (["--tag", "novalue"], 2, "KEY=VALUE"),
        (["--by", "word"], 2, "--by"),
        (["--json", "/nowhere/r.json"], 3, "does not exist"),
        (["--figures", "/nowhere/at/all"], 3, "does not exist"),
    ],
)
def test_command_line_refuses(toy, cli, arguments, code, word):
    done = cli("eval", toy / "m.ckpt", toy / "all.h5", *arguments)
    assert done.code == code, done.err
    assert word in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_where_tests_a_part_of_what_was_held_out(toy):
    """The posteriors stay, the rates are those of the part; of all items just as well."""
    for options in ({}, {"all": True}):
        whole = report_of(toy, **options)
        part = report_of(toy, where=("label in anger,happiness",), **options)
        kept = [item for item in whole["items"] if item["truth"] in ("anger", "happiness")]
        assert part["items"] == kept
        assert 0 < len(kept) < len(whole["items"])
        right = [item["truth"] == item["prediction"] for item in kept]
        assert part["accuracy"] == pytest.approx(np.mean(right))
        assert part["protocol"]["n_test"] == len(kept)
        assert whole["lineage"][-1]["params"]["where"] == []
        assert part["lineage"][-1]["params"]["where"] == ["label in anger,happiness"]


def test_where_and_resume(toy, tmp_path, cli):
    words = ("eval", toy / "m.ckpt", toy / "all.h5", "--json", tmp_path / "r.json", "--quiet")
    part = ("--where", "label in anger,happiness")
    assert cli(*words, *part).code == 0
    assert cli(*words, *part, "--resume").code == 0
    assert cli(*words, "--resume").code == 3


def test_resume_keeps_figures_that_are_whole(toy, tmp_path, cli, monkeypatch):
    folder = tmp_path / "f"
    words = ("eval", toy / "m.ckpt", toy / "all.h5", "--figures", folder, "--quiet")
    assert cli(*words, "--all").code == 0
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    (folder / "confusion.png").unlink()
    assert cli(*words, "--all", "--resume").code == 0
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= {"confusion.png"}
    other = cli(*words, "--all", "--where", "label in anger,happiness", "--resume")
    assert other.code == 3
    assert "is a figure of something else; --force replaces it" in other.err
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == after

    def fails(report: object) -> None:
        raise OSError(28, "No space left on device")

    from sertool.evaluation import figures

    monkeypatch.setitem(figures.FIGURES, "speakers.png", fails)  # after two others
    assert cli(*words, "--all", "--where", "label in anger,happiness", "--force").code == 3
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == after


def test_where_that_leaves_nothing_or_is_none(toy, cli):
    for condition, code, word in (
        ("speaker=s0", 3, "nothing left to test it on"),
        ("mood=good", 2, "there is no field 'mood'"),
        ("speaker", 2, "write 'field=value'"),
    ):
        result = cli("eval", toy / "m.ckpt", toy / "all.h5", "--where", condition)
        assert result.code == code
        assert word in result.err


def test_what_is_no_checkpoint(toy, tmp_path, cli):
    (tmp_path / "x.ckpt").write_text("hello")
    for path in (tmp_path / "x.ckpt", tmp_path / "missing.ckpt", toy / "all.h5", tmp_path):
        done = cli("eval", path, toy / "all.h5")
        assert done.code == 3, done.err
        assert done.err.count("\n") == 1
    assert cli("eval", toy / "m.ckpt", tmp_path / "x.ckpt").code == 3


def test_a_store_is_tested_without_audio_libraries(toy):
    script = (
        "import sys; from sertool.cli import main; code = main(sys.argv[1:]);"
        "print(sorted({'librosa', 'soundfile', 'matplotlib'} & set(sys.modules))); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "eval", toy / "m.ckpt", toy / "all.h5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "options",
    [["--noise-snr", "inf"], ["--noise-snr", "nan"], ["--noise-snr", "1e9"], ["--device", "x"]],
)
def test_values_that_make_no_sense_are_wrong_usage(toy, cli, options):
    result = cli("eval", toy / "m.ckpt", toy / "all.h5", *options)
    assert (result.code, result.out) == (2, "")
    assert options[0] in result.err


def test_report_may_not_replace_the_store(toy, cli):
    before = (toy / "all.h5").read_bytes()
    result = cli("eval", toy / "m.ckpt", toy / "all.h5", "--json", toy / "all.h5", "--force")
    assert result.code == 2
    assert "same file" in result.err
    assert (toy / "all.h5").read_bytes() == before
