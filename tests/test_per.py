"""`train --per FIELD`: each model is the one of its value alone; who chooses it, and how well."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reports import evaluate
from made_stores import write_store
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from small_store import LABELS, items, make

from sertool.audio import listening
from sertool.evaluation.options import EvalOptions as Options
from sertool.formats import checkpoint
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.store import Store
from sertool.models import per_field
from sertool.models.scoring import Route, Routed, Scorer
from sertool.training import per_field as train_per
from sertool.ui.console import Console

Cli = Callable[..., Any]
CNN = ("--model", "sundharam-cnn", "--epochs", "2", "--batch-size", "16")
GENDERS = ("female", "male")


def gendered(path: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """Write a small store whose features tell a little of class and gender."""
    rows = items() if rows is None else rows
    arrays = []
    for i, row in enumerate(rows):
        array = np.random.default_rng(i).standard_normal((40, 4)).astype(np.float32) * 2 + 5
        array[:, sum(row.label.encode()) % 3] += 1.0
        array[:, 3] += 0.5 if row.gender == "male" else -0.5
        arrays.append(array)
    write_store(path, arrays, rows, kind="mel")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gendered(tmp_path_factory.mktemp("per") / "s.h5")


def trained(cli: Cli, store: Path, path: Path, *options: object) -> checkpoint.Checkpoint:
    result = cli("train", store, path, *options)
    assert result.code == 0, result.err
    return checkpoint.load(path)


@pytest.mark.parametrize("model", [(), CNN])
def test_each_model_is_that_of_its_value_alone(
    cli: Cli, store: Path, tmp_path: Path, model: tuple[str, ...]
) -> None:
    common = (*model, "--test-fold", 0, "--val", 0.25, "--seed", 3)
    both = trained(cli, store, tmp_path / "both.ckpt", *common, "--per", "gender")
    scorer = Scorer.load(tmp_path / "both.ckpt")
    assert isinstance(scorer, Routed)
    with Store(store) as opened:
        arrays = [opened.features(i) for i in range(0, len(opened), 7)]
    for value in GENDERS:
        path = tmp_path / f"{value}.ckpt"
        alone = trained(cli, store, path, *common, "--where", f"gender={value}")
        mine = both.subset(per_field.prefix(value))
        assert sorted(mine) == sorted(alone.tensors)
        for name, tensor in alone.tensors.items():
            assert np.array_equal(mine[name], tensor), name
        own = both.meta["per"]["values"][value]
        assert own == {name: alone.meta[name] for name in per_field.OWN if name in alone.meta}
        ids = {name: {i.id for i in alone.part(name)} for name in ("train", "val", "test")}
        for name, wanted in ids.items():
            assert wanted <= {i.id for i in both.part(name)}
        expected = Scorer.load(path)
        routed = scorer.posterior(arrays, [value] * len(arrays))
        assert np.array_equal(routed, expected.posterior(arrays))
        base, its = scorer.baseline("linear"), expected.baseline("linear")
        assert base is not None
        assert its is not None
        assert np.array_equal(base.posterior(arrays, [value] * len(arrays)), its.posterior(arrays))
    listed = Counter(item.id for item in both.items)
    assert set(listed.values()) == {1}
    assert both.meta["model"]["parameters"] == sum(
        own["model"]["parameters"] for own in both.meta["per"]["values"].values()
    )


def test_the_same_bytes_again_and_all_folds_are_the_single_ones(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    common = ("--per", "gender", "--val-fold", "next")
    trained(cli, store, tmp_path / "a.ckpt", *common, "--test-fold", 1)
    trained(cli, store, tmp_path / "again", *common, "--test-fold", 1)
    assert cli("train", store, tmp_path / "b.ckpt", *common, "--test-fold", "all").code == 0
    one = (tmp_path / "a.ckpt").read_bytes()
    assert one == (tmp_path / "again").read_bytes() == (tmp_path / "b.1.ckpt").read_bytes()
    names = ["a.ckpt", "again", "b.0.ckpt", "b.1.ckpt", "b.2.ckpt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    whole = cli("train", store, tmp_path / "a.ckpt", *common, "--test-fold", 1, "--resume")
    assert "already complete" in whole.err
    pooled = cli("eval", *(tmp_path / f"b.{i}.ckpt" for i in range(3)), store, "--json", "-")
    report = json.loads(pooled.out)
    assert report["per"]["by_field"] == sum(fold["per"]["by_field"] for fold in report["folds"])
    assert report["per"]["by_field"] == 36


def test_parts_are_drawn_within_each_value_and_class(cli: Cli, store: Path, tmp_path: Path) -> None:
    rows = {row.id: row for row in items(copies=0)}
    small = make(tmp_path / "s.h5", list(rows.values()))
    made_ = trained(cli, small, tmp_path / "m.ckpt", "--per", "gender", "--resplit", "random:4:1:1")
    counts = Counter((i.part, rows[i.id].gender, rows[i.id].label) for i in made_.items)
    assert set(counts.values()) == {1, 4}  # 6 of each gender and class
    assert all(n == (4 if part == "train" else 1) for (part, _, _), n in counts.items())


def chosen_by_sklearn(opened: Store, train: list[int], test: list[int]) -> np.ndarray:
    """Return the gender of items by a logistic regression that is not ours."""
    rows = np.stack(
        [
            np.concatenate([array.mean(0), array.std(0)])
            for array in (opened.features(i).astype(float) for i in range(len(opened)))
        ]
    )
    scaler = StandardScaler().fit(rows[train])
    gender = np.array([item.gender or "" for item in opened.items()])
    fitted = LogisticRegression(max_iter=2000).fit(scaler.transform(rows[train]), gender[train])
    return np.asarray(fitted.predict(scaler.transform(rows[test])))


def test_the_chooser_is_fitted_to_the_training_items_and_eval_says_how_good_it_is(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.ckpt"
    loaded = trained(cli, store, path, "--per", "gender", "--test-fold", 2, "--val-fold", 1)
    part = {item.id: item.part for item in loaded.items}
    result = cli("eval", path, store, "--json", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    with Store(store) as opened:
        rows = opened.items()
        train = [i for i, row in enumerate(rows) if part.get(row.id) == "train"]
        test = [
            i for i, row in enumerate(rows) if part.get(row.id) == "test" and not row.augmentation
        ]
        said = chosen_by_sklearn(opened, train, test)
        arrays = [opened.features(i) for i in test]
    gender = np.array([rows[i].gender for i in test])
    right = int((said == gender).sum())
    assert 0 < right < len(test)  # else nothing is told apart below
    found = report["per"]
    assert {name: found[name] for name in ("by_field", "by_chooser", "known", "right")} == {
        "by_field": len(test), "by_chooser": 0, "known": len(test), "right": right
    }  # fmt: skip
    assert found["chooser_accuracy"] == pytest.approx(right / len(test))
    assert f"chooser: right in {right} of {len(test)}" in " ".join(result.out.split())
    scorer = Scorer.load(path)
    posterior = {
        "field": scorer.posterior(arrays, gender.tolist()),
        "alone": scorer.posterior(arrays, said.tolist()),
    }
    truth = [rows[i].label for i in test]
    for item, row in zip(report["items"], posterior["field"], strict=True):
        assert list(item["posterior"].values()) == row.tolist()
    classes = np.array(report["classes"])
    best = classes[posterior["alone"].argmax(1)]
    assert found["alone"]["uar"] == pytest.approx(balanced_accuracy_score(truth, best))
    assert (best != classes[posterior["field"].argmax(1)]).any()
    for size in (1, 64):
        chosen = evaluate([path], store, Options(choose=True, batch_size=size), Console.silent())
        assert chosen["per"]["by_field"] == 0
        assert chosen["per"]["by_chooser"] == len(test)
        assert chosen["per"]["right"] == right
        assert chosen["uar"] == found["alone"]["uar"]
        for item, row in zip(chosen["items"], posterior["alone"], strict=True):
            assert list(item["posterior"].values()) == row.tolist()
    again = cli("eval", path, store, "--json", tmp_path / "r.json", "--resume")
    assert "already complete" in again.err
    assert cli("eval", path, store, "--json", tmp_path / "r.json", "--resume", "--choose").code == 3
    assert cli("info", tmp_path / "r.json").code == 0


def test_the_chooser_hears_all_segments_of_a_recording(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    trained(cli, store, tmp_path / "m.ckpt", "--per", "gender", "--test-fold", 2)
    scorer = Scorer.load(tmp_path / "m.ckpt")
    assert isinstance(scorer, Routed)
    with Store(store) as opened:
        recordings = [[opened.features(3 * k + i) for i in range(3)] for k in range(24)]
    first_alone = 0
    for arrays in recordings:
        rows = scorer.chooser.posterior(arrays)
        wanted = scorer.chooser.classes[int(np.argmax(sum(rows)))]
        first_alone += scorer.chooser.classes[int(rows[0].argmax())] != wanted
        assert scorer.route(arrays, None) == Route(wanted, "chooser")
    assert first_alone  # else nothing is told apart


def test_items_of_unknown_value_are_not_trained_on_and_the_chooser_scores_them(
    cli: Cli, tmp_path: Path
) -> None:
    rows = items()
    for row in rows:
        if row.origin in ("c/s2/0", "c/s4/1", "c/s0/0", "c/s1/2"):
            row.gender = None
    small = gendered(tmp_path / "s.h5", rows)
    result = cli("train", small, tmp_path / "m.ckpt", "--per", "gender", "--test-fold", 0)
    assert result.code == 0
    assert "4 items without a gender are left out of training" in result.err  # with their copies
    loaded = checkpoint.load(tmp_path / "m.ckpt")
    part = {item.origin: item.part for item in loaded.items}
    assert part["c/s0/0"] == part["c/s1/2"] == "test"
    assert "c/s2/0" not in part
    assert "c/s4/1" not in part
    report = evaluate([tmp_path / "m.ckpt"], small, Options(), Console.silent())
    assert (report["per"]["by_field"], report["per"]["by_chooser"]) == (10, 2)
    assert report["per"]["known"] == 10
    scorer = Scorer.load(tmp_path / "m.ckpt")
    with Store(small) as opened:
        index = {row.id: i for i, row in enumerate(opened.items())}
        for item in report["items"]:
            array = opened.features(index[item["id"]])
            row = opened.items()[index[item["id"]]]
            assert (
                list(item["posterior"].values())
                == scorer.posterior([array], [row.gender])[0].tolist()
            )
            route = scorer.route([array], row.gender)
            assert route.by == ("field" if row.gender else "chooser")


def test_a_value_that_no_model_knows_is_for_the_chooser(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    trained(cli, store, tmp_path / "m.ckpt", "--per", "gender", "--test-fold", "none")
    other = gendered(tmp_path / "o.h5", [row.replace(gender="other") for row in items()])
    result = cli("eval", tmp_path / "m.ckpt", other, "--all", "--json", tmp_path / "r.json")
    assert "36 items of a gender without a model of its own (other): the chooser" in result.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["per"]["by_chooser"] == 36
    assert report["per"]["known"] == 0
    assert report["per"]["chooser_accuracy"] is None
    without = cli("eval", tmp_path / "m.ckpt", other, "--all", "--choose")
    assert "36 files by the chooser" in without.out
    assert "right in" not in without.out


def test_a_class_that_a_model_lacks_has_no_share(cli: Cli, tmp_path: Path) -> None:
    rows = [
        row
        for row in items()
        if not (row.gender == "male" and row.label == "calm")
        and not (row.gender == "female" and row.label == "anger")
    ]
    small = gendered(tmp_path / "s.h5", rows)
    loaded = trained(cli, small, tmp_path / "m.ckpt", "--per", "gender", "--test-fold", 0)
    assert loaded.meta["classes"] == ["anger", "calm", "joy"]
    report = evaluate([tmp_path / "m.ckpt"], small, Options(), Console.silent())
    gender = {row.id: row.gender for row in rows}
    for item in report["items"]:
        lacking = "calm" if gender[item["id"]] == "male" else "anger"
        assert item["posterior"][lacking] == 0
        assert sum(item["posterior"].values()) == pytest.approx(1)


def test_folds_keep_recordings_and_speakers_apart_for_models_and_chooser(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    trained(cli, store, tmp_path / "m.ckpt", "--per", "intensity", "--test-fold", 1)
    result = cli("eval", tmp_path / "m.ckpt", store, "--json", "-", "--require", "speaker-disjoint")
    assert result.code == 0, result.err
    protocol = json.loads(result.out)["protocol"]
    assert protocol["n_train"] == 48
    assert protocol["origin_disjoint"] is True
    assert cli("info", "--audit", tmp_path / "m.ckpt").code == 0
    leaky = ("--per", "intensity", "--resplit", "random:80:20", "--unit", "item")
    trained(cli, store, tmp_path / "leaky.ckpt", *leaky)
    result = cli("eval", tmp_path / "leaky.ckpt", store, "--require", "origin-disjoint")
    assert result.code == 3


@pytest.mark.parametrize(
    ("change", "options", "code", "said"),
    [
        (None, ("--target", "gender"), 2, "it is the target field"),
        (None, ("--per", "mood"), 2, "--per mood: no item has it; fields: "),
        (None, ("--per", "label", "--target", "text"), 2, "--per label: a line of predict"),
        (None, ("--where", "gender=male"), 3, "every item is male; leave --per out"),
        (("s1", "gender", "other"), (), 3, "none of the 12 items of other is for training"),
        (("s3", "gender", "other"), ("--test-fold", "all"), 3, "fold 1: none of the 12 items"),
        (("s3", "label", "joy"), ("--per", "speaker", "--test-fold", "none"), 3,
         "the 12 training items of c/s3 have only joy; --where 'speaker!=s3'"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_one_clear_line(
    cli: Cli, tmp_path: Path, change: Any, options: Any, code: int, said: str
) -> None:
    rows = items()
    for row in rows:
        if change and row.speaker == change[0]:
            setattr(row, change[1], change[2])
    small = make(tmp_path / "s.h5", rows)
    given = ("--per", "gender", "--test-fold", "0", *options)
    result = cli("train", small, tmp_path / "m.ckpt", *given)
    assert result.code == code
    assert said in result.err
    assert "Traceback" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_a_class_that_one_value_never_heard_is_said(cli: Cli, tmp_path: Path) -> None:
    rows = items()
    for row in rows:  # fold 0 is held out; of the others no woman has the first class
        if row.gender == "female" and row.fold != 0 and row.label == LABELS[0]:
            row.label = LABELS[1]
    small = make(tmp_path / "s.h5", rows)
    wrong = sum(row.gender == "female" and row.fold == 0 and row.label == LABELS[0] for row in rows)
    result = cli("train", small, tmp_path / "m.ckpt", "--per", "gender", "--test-fold", "0")
    assert result.code == 0
    assert wrong
    assert (
        f"{wrong} held-out items are of a class that the model of their gender was not"
        in result.err
    )
    assert "without training items" not in result.err


def test_items_that_suit_no_network_are_said_before_any_is_trained(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_per, "fit", lambda *_: pytest.fail("a model was trained"))
    small = make(tmp_path / "s.h5")
    network = ("--model", "sundharam-bilstm", "--per", "gender", "--test-fold", "0")
    result = cli("train", small, tmp_path / "m.ckpt", *network)
    assert result.code == 3
    assert f"--per gender, items of female: {small}: sundharam-bilstm needs" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_a_killed_training_keeps_the_finished_model(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = (*CNN, "--per", "gender", "--test-fold", 0)
    whole = tmp_path / "whole.ckpt"
    trained(cli, store, whole, *common)
    fit = train_per.fit

    def until_the_second(job: Any, part: Any, *rest: Any) -> Any:
        if job.values[part.train[0]] == "male":
            raise KeyboardInterrupt
        return fit(job, part, *rest)

    path = tmp_path / "m.ckpt"
    monkeypatch.setattr(train_per, "fit", until_the_second)
    assert cli("train", store, path, *common).code == 130
    assert not path.exists()
    trained_now = []

    def counted(job: Any, part: Any, *rest: Any) -> Any:
        trained_now.append(job.values[part.train[0]])
        return fit(job, part, *rest)

    monkeypatch.setattr(train_per, "fit", counted)
    result = cli("train", store, path, *common, "--resume")
    assert result.code == 0, result.err
    assert trained_now == ["male"]
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.ckpt", "whole.ckpt"]


def test_what_takes_one_model_refuses_several(cli: Cli, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    common = ("--model", "sundharam-cnn", "--epochs", 1, "--test-fold", 0)
    trained(cli, store, path, *common, "--per", "gender")
    result = cli("train", store, tmp_path / "n.ckpt", *common, "--init", path)
    assert (result.code, "holds one model per gender" in result.err) == (2, True)
    made.corpus(tmp_path / "wav", speakers=1, takes=1)
    kind = ("--kind", "embedding", "--set", f"checkpoint={path}", "--set", "layer=conv")
    result = cli("featurize", tmp_path / "wav", tmp_path / "e.h5", *kind)
    assert (result.code, "holds one model per gender" in result.err) == (2, True)
    trained(cli, store, tmp_path / "plain.ckpt", *common)
    result = cli("eval", path, tmp_path / "plain.ckpt", store)
    assert result.code == 3
    assert "its models (one) differ" in result.err
    result = cli("eval", tmp_path / "plain.ckpt", store, "--choose")
    assert result.code == 2
    text = cli("info", path).out
    for name in ("gender female: ", "gender male: ", "chooser of gender (linear): "):
        assert name in text
    assert json.loads(cli("info", "--json", path).out)["per"]["field"] == "gender"


@given(st.text(".%2Ea", min_size=1), st.text(".%2Ea", min_size=1))
def test_no_value_takes_anothers_tensors(one: str, other: str) -> None:
    if one != other:
        assert not f"{per_field.prefix(one)}.".startswith(f"{per_field.prefix(other)}.")


def test_one_checkpoint_tells_of_all_its_models() -> None:
    def model(classes: list[str], baselines: list[str], parameters: int, added: int) -> Checkpoint:
        named = {"name": "majority", "settings": {}, "parameters": parameters}
        augment = {"steps": [], "added": added}
        meta = {"classes": classes, "model": named, "baselines": baselines, "augment": augment}
        return Checkpoint({}, [], meta | {"kind": "mel"})

    models = {
        "male": model(["joy", "anger"], ["linear", "majority"], 3, 10),
        "female": model(["joy", "calm"], ["majority"], 4, 20),
    }
    meta = per_field.merge("gender", models, model(["female", "male"], [], 100, 0)).meta
    assert meta["classes"] == ["anger", "calm", "joy"]
    assert meta["baselines"] == ["majority"]
    assert meta["model"]["parameters"] == 7
    assert meta["augment"] == {"steps": [], "added": 30}
    assert meta["kind"] == "mel"
    assert list(meta["per"]["values"]) == ["female", "male"]


def test_a_damaged_description_is_told(store: Path, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    loaded = trained(cli, store, path, "--per", "gender", "--test-fold", 0)
    good = loaded.meta["per"]
    for broken in ({}, {"values": 3}, {"values": {"male": 1}}, {"chooser": None}, {"values": {}}):
        loaded.meta["per"] = good | broken if broken else broken
        checkpoint.save(loaded, path)
        result = cli("eval", path, store)
        assert result.code == 3, result.err
        assert "Traceback" not in result.err


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spoken toys, a store of them whole and one of segments."""
    folder = tmp_path_factory.mktemp("toy")
    rows = made.corpus(folder / "wav", speakers=6)
    for row in rows:
        row.fold = int(row.speaker[1:]) // 2
    made.store(folder / "all.h5", folder / "wav", rows)
    spec = replace(made.SPEC, segment=0.1)
    made.store(folder / "seg.h5", folder / "wav", rows, spec)
    return folder


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.mark.parametrize("name", ["all.h5", "seg.h5"])
def test_predict_scores_as_eval_does_whoever_chooses(
    toy: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "m.ckpt"
    trained(cli, toy / name, path, "--per", "gender", "--test-fold", 2)
    silent = Console.silent()
    by_field = evaluate([path], toy / name, Options(), silent)["items"]
    alone = evaluate([path], toy / name, Options(choose=True), silent)["items"]
    with Store(toy / name) as opened:
        gender = {row.origin: row.gender for row in opened.items()}
    files = [toy / "wav" / f"{item['id'].removeprefix('toy/')}.wav" for item in by_field]
    for options in ((), ("--batch-size", 5), ("--workers", 2)):
        for row, item in zip(lines(cli("predict", path, *files, *options)), alone, strict=True):
            assert row["posterior"] == pytest.approx(item["posterior"], abs=1e-9)
            assert row["gender_by"] == "chooser"
            assert row["gender"] in GENDERS
    for value in GENDERS:
        rows = lines(cli("predict", path, *files, "--field", f"gender={value}"))
        assert {(row["gender"], row["gender_by"]) for row in rows} == {(value, "option")}
    manifest = "".join(
        json.dumps({"path": str(file), "gender": gender[item["id"]]}) + "\n"
        for file, item in zip(files, by_field, strict=True)
    )
    monkeypatch.setattr(sys, "stdin", _pipe(manifest))
    for row, item in zip(lines(cli("predict", path, "-")), by_field, strict=True):
        assert row["posterior"] == pytest.approx(item["posterior"], abs=1e-9)
        assert (row["gender"], row["gender_by"]) == (gender[item["id"]], "field")
    monkeypatch.setattr(sys, "stdin", _pipe(manifest))
    rows = lines(cli("predict", path, "-", "--field", "gender=f"))
    assert {(row["gender"], row["gender_by"]) for row in rows} == {("female", "option")}


def _pipe(text: str) -> Any:
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return os.fdopen(read)


def test_predict_on_the_command_line(
    toy: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "m.ckpt", toy / "wav" / "s5-anger-1.wav"
    trained(cli, toy / "all.h5", path, "--per", "gender", "--test-fold", 2)
    (row,) = lines(cli("predict", path, file))
    assert list(row)[-3:] == ["model", "gender", "gender_by"]
    monkeypatch.setattr(listening, "LONG", 0.1)  # read in parts, the chooser hears them all first
    (again,) = lines(cli("predict", path, file))
    assert again == row
    monkeypatch.undo()
    for options, said in (
        (("gender=x",), "the checkpoint has models for female, male"),
        (("age=9",), "models are chosen by gender"),
    ):
        result = cli("predict", path, file, "--field", *options)
        assert (result.code, result.out) == (2, "")
        assert said in result.err
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        text = cli("predict", path, file, "--format", name).out
        (found,) = csv.DictReader(io.StringIO(text), delimiter=delimiter)
        assert (found["gender"], found["gender_by"]) == (row["gender"], "chooser")
    table = cli("predict", path, file, "--format", "table").out
    assert f"{row['gender']:<7}  chooser    " in table
    windows = lines(cli("predict", path, file, "--window", 0.1))
    assert len(windows) == 3
    assert {one["gender_by"] for one in windows} == {"chooser"}
    odd = [{"gender": "other"}, {"gender": ["male"]}, {"gender": 3}, {"gender": "M"}, {}]
    text = "".join(json.dumps({"path": str(file)} | one) + "\n" for one in odd)
    monkeypatch.setattr(sys, "stdin", _pipe(text))
    rows = lines(cli("predict", path, "-"))
    assert [one["gender_by"] for one in rows] == ["chooser"] * 3 + ["field", "chooser"]
    assert rows[3]["gender"] == "male"
    assert Scorer.load(path).route([], "male") == Route("male", "field")
    folder = tmp_path / "figures"
    result = cli("predict", path, file, toy / "wav" / "s4-anger-1.wav", "--explain", folder)
    assert result.code == 0, result.err
    assert len(list(folder.iterdir())) == 2


def test_the_chooser_is_judged_where_the_value_is_known() -> None:
    from sertool.evaluation.routing import Routes, summary

    told = {0: "male", 1: None, 2: "female", 3: "male"}
    routes = Routes(told, dict.fromkeys(told, "male"), [0, 1, 2, 3])
    per = SimpleNamespace(field="gender", values={"female": None, "male": None})
    header: Any = SimpleNamespace(classes=["a", "b"], per=per)
    said = summary(header, [routes], np.array([0, 1, 0, 1]), np.array([0, 0, 0, 1]))
    counts = [getattr(said, name) for name in ("by_field", "by_chooser", "known", "right")]
    assert counts == [3, 1, 3, 2]
    assert said.chooser_accuracy == pytest.approx(2 / 3)
    assert said.alone["accuracy"] == 0.75
