"""What `eval` keeps of folds: files in parts, how training went, intervals of few speakers."""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest
from made_reports import evaluate
from made_stores import write_store

from sertool.core.errors import InputError
from sertool.evaluation import curves
from sertool.evaluation.options import EvalOptions as Options
from sertool.formats.store import Store
from sertool.ui.console import Console


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    made.store(folder / "all.h5", folder / "wav", made.corpus(folder / "wav"))
    return folder


def by_speaker(*held_out):
    return lambda item: "test" if item.speaker in held_out else "train"


@pytest.mark.parametrize("numbered", [False, True])
def test_files_in_parts_are_scored_fold_by_fold(toy, tmp_path, capfd, numbered):
    """Segments drawn apart: each fold pools its own, a file counts once a fold, and it is said."""
    spec = replace(made.SPEC, segment=0.1)
    store = made.store(tmp_path / "seg.h5", toy / "wav", made.corpus(toy / "wav"), spec)
    with Store(store) as opened:
        names = [item.id for item in opened.items()]
    one = names[0].split("#")[0]
    fold_of = {name: 1 if name.startswith(one + "#") else i % 2 for i, name in enumerate(names)}
    paths = []
    for fold in (0, 1):
        path = tmp_path / f"seg.{fold}.ckpt"
        mine = {name for name, number in fold_of.items() if number == fold}
        given = {"protocol": {"fold": fold + 3}} if numbered else {}
        made.train(store, path, lambda item, m=mine: "test" if item.id in m else "train", **given)
        paths.append(path)

    def run(*checkpoints, **options):
        return evaluate(checkpoints, store, Options(**options), Console("eval"))

    whole, items = run(*paths), run(*paths, by="item")["items"]
    assert "files_split" not in run(*paths, by="item")["protocol"]
    alone = [run(path) for path in paths]
    assert capfd.readouterr().err.count("scored by the held-out segments alone") == 3
    ids = [item["id"] for item in whole["items"]]
    assert len(set(ids)) == len(ids)
    assert one in ids  # all its segments are in one fold
    parts = {}
    for item in items:
        parts.setdefault((item["id"].split("#")[0], fold_of[item["id"]]), []).append(
            list(item["posterior"].values())
        )
    assert len(parts) == len(ids)
    assert whole["protocol"]["files_split"] == len(ids) - 1
    assert sum(report["protocol"]["files_split"] for report in alone) == len(ids) - 1
    for (unit, fold), rows in parts.items():
        mark = f"fold {fold + 3}" if numbered else f"checkpoint {fold}"
        name = unit if unit == one else f"{unit} [{mark}]"
        (found,) = [item for item in whole["items"] if item["id"] == name]
        assert list(found["posterior"].values()) == np.mean(rows, 0).tolist()
        (same,) = [item for item in alone[fold]["items"] if item["id"] == unit]
        assert same["posterior"] == found["posterior"]
    assert [fold["n"] for fold in whole["folds"]] == [len(report["items"]) for report in alone]


def test_segments_of_two_labels_are_no_file(toy, tmp_path):
    spec = replace(made.SPEC, segment=0.1)
    items = made.corpus(toy / "wav")
    store = made.store(tmp_path / "seg.h5", toy / "wav", items, spec)
    with Store(store) as opened:
        rows, arrays = opened.items(), [opened.features(i) for i in range(len(opened.items()))]
        pipeline = opened.pipeline
        rest = {"kind": opened.kind, "settings": opened.settings, "frame_rate": opened.frame_rate}
    held = [row for row in rows if row.speaker == "s3"]
    held[0].label = next(row.label for row in rows if row.label != held[0].label)
    write_store(tmp_path / "odd.h5", arrays, rows, pipeline=pipeline, sample_rate=made.RATE, **rest)
    made.train(tmp_path / "odd.h5", tmp_path / "odd.ckpt", by_speaker("s3"))
    with pytest.raises(InputError, match="differ in label"):
        evaluate([tmp_path / "odd.ckpt"], tmp_path / "odd.h5", Options(), Console.silent())


HISTORY = [
    {"epoch": i + 1, "lr": 0.1, "loss": 2.0 / (i + 1), "train_uar": 0.5, "val_loss": 1.0 + i / 9}
    | {"val_uar": 0.123456, "val_accuracy": 0.5}
    for i in range(120)
]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_how_training_went_is_kept(toy, tmp_path, n):
    """A network's history is kept; that of a model fitted whole has no losses."""
    given = ([], [{"epoch": 1, "val_uar": 0.5, "val_accuracy": 0.5}], HISTORY)[n]
    path = made.train(
        toy / "all.h5", tmp_path / "m.ckpt", by_speaker("s3"), history=given, best_epoch=77
    )
    report = evaluate([path], toy / "all.h5", Options(summary=True), Console.silent())
    kept = report["folds"][0]["training"]
    if n < 2:
        assert kept is None
        return
    assert (kept["epochs"], kept["best_epoch"]) == (120, 77)
    assert 45 <= len(kept["epoch"]) <= curves.MOST
    assert {1, 77, 120} <= set(kept["epoch"])
    assert max(np.diff(kept["epoch"])) <= 4
    for name in set(curves.COLUMNS) & HISTORY[0].keys():
        exact = [HISTORY[epoch - 1][name] for epoch in kept["epoch"]]
        np.testing.assert_allclose(kept[name], exact, rtol=5e-4)
        assert all(len(f"{value:.10g}".replace(".", "").lstrip("0")) <= 4 for value in kept[name])


@pytest.mark.parametrize(("speakers", "known"), [(4, False), (5, True)])
def test_an_interval_needs_five_speakers(toy, tmp_path, speakers, known):
    items = made.corpus(toy / "wav")
    with Store(made.store(tmp_path / "s.h5", toy / "wav", items)) as store:
        rows = [i.replace(speaker=f"p{n % speakers}") for n, i in enumerate(store.items())]
        arrays = [store.features(i) for i in range(len(rows))]
        rest = {"kind": store.kind, "settings": store.settings, "frame_rate": store.frame_rate}
        write_store(
            tmp_path / "p.h5", arrays, rows, pipeline=store.pipeline, sample_rate=made.RATE, **rest
        )
    path = made.train(tmp_path / "p.h5", tmp_path / "p.ckpt", lambda item: "train")
    report = evaluate([path], tmp_path / "p.h5", Options(all=True), Console.silent())
    assert report["ci"]["n_units"] == speakers
    for limits in (report["ci"]["uar"], report["baselines"]["linear"]["ci"]["accuracy"]):
        assert (limits != [None, None]) is known


def test_files_whose_other_segments_validated_are_in_parts(toy, tmp_path):
    spec = replace(made.SPEC, segment=0.1)
    store = made.store(tmp_path / "seg.h5", toy / "wav", made.corpus(toy / "wav"), spec)

    def part(item):
        if item.speaker != "s3":
            return "train"
        return "val" if item.id.endswith("#000") else "test"

    path = made.train(store, tmp_path / "seg.ckpt", part)
    report = evaluate([path], store, Options(), Console.silent())
    assert report["protocol"]["files_split"] == len(report["items"]) == 6
