"""Normalisation by speaker: whose statistics, of which recordings, and where it must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_store
from made_stores import write_store

from sertool.core.errors import InputError
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import speakers
from sertool.models.speaker_store import SpeakerStore

Cli = Callable[..., Any]
BY_SPEAKER = "--speaker-normalisation"
TRAIN = ("--test-fold", 1, "--device", "cpu")
SETTINGS = {
    "svm": ("C=1", "sigma=1"),
    "huang2014": ("features=lif", "components=3", "maps=3", "patches=200", "patch_epochs=2",
                  "C=[1.0]", "sigma=[1.0]"),
}  # fmt: skip


def shifted(rows: list[Item]) -> list[np.ndarray]:
    """Return features that each speaker has at a place and of a size of his or her own."""
    arrays = small_store.features(rows, ragged=True)
    return [
        (array * (1 + int(str(row.speaker)[1:])) + 30 * int(str(row.speaker)[1:])).astype(
            np.float32
        )
        for array, row in zip(arrays, rows, strict=True)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speakers") / "store.h5"
    rows = small_store.items(copies=1)
    write_store(path, shifted(rows), rows, kind="mel")
    return path


def test_each_speaker_by_all_frames_of_the_originals(store: Path) -> None:
    """The definition in NumPy, for originals and copies, with and without a label."""
    with Store(store) as plain, SpeakerStore(store) as normalised:
        items = plain.items()
        for i in (0, 1, 13, 30):
            own = [
                plain.features(k)
                for k, item in enumerate(items)
                if item.speaker == items[i].speaker and not item.augmentation
            ]
            frames = np.concatenate(own).astype(np.float64)
            expected = (plain.features(i) - frames.mean(0)) / frames.std(0)
            np.testing.assert_allclose(normalised.features(i), expected, rtol=1e-4, atol=1e-4)
            assert normalised.features(i).dtype == np.float32


def test_a_name_is_a_speakers_within_a_corpus_only() -> None:
    rows = [Item("a", corpus="x", speaker="1"), Item("b", corpus="y", speaker="1"), Item("c")]
    assert speakers.recordings(rows) == {("x", "1"): [0], ("y", "1"): [1]}


def test_copies_count_where_there_is_nothing_else() -> None:
    rows = [
        Item("a", speaker="1", augmentation="{}"),
        Item("b", speaker="1"),
        Item("c", speaker="2", augmentation="{}"),
    ]
    assert speakers.recordings(rows) == {("", "1"): [1], ("", "2"): [2]}


def test_other_features_of_a_speaker_are_normalised_by_themselves() -> None:
    """As a degraded test is: by the speaker's degraded recordings, those not tested among them."""
    rows = [Item(str(i), speaker=str(i % 2)) for i in range(6)]
    made = {i: np.random.default_rng(i).normal(i, 1 + i, (5, 3)).astype("f4") for i in range(6)}

    found = dict(speakers.normalised(rows, [1, 2, 3], lambda asked: ((i, made[i]) for i in asked)))
    assert sorted(found) == [1, 2, 3]
    for i, array in found.items():
        own = np.concatenate([made[k] for k in range(6) if k % 2 == i % 2])
        np.testing.assert_allclose(
            array, (made[i] - own.mean(0)) / own.std(0), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("model", ["svm", "huang2014"])
def test_one_checkpoint_says_so_and_so_does_its_test(
    store: Path, tmp_path: Path, cli: Cli, model: str
) -> None:
    """Speakers far apart: with their own statistics two stores of one difference test alike."""
    made, report = tmp_path / "model.ckpt", tmp_path / "report.json"
    more = [word for setting in SETTINGS[model] for word in ("--set", setting)]
    trained = cli("train", "--model", model, *more, *TRAIN, BY_SPEAKER, store, made)
    assert trained.code == 0, trained.err
    assert speakers.NOTE in trained.err
    assert checkpoint.load(made).meta["protocol"]["speaker_normalisation"] is True
    tested = cli("eval", "--json", report, made, store)
    assert tested.code == 0, tested.err
    assert speakers.NOTE in " ".join(tested.out.split())
    assert json.loads(report.read_text())["protocol"]["speaker_normalisation"] is True
    assert speakers.NOTE in cli("info", made).out
    assert speakers.NOTE in " ".join(cli("report", report).out.split())

    rows = small_store.items(copies=1)
    other, again = tmp_path / "other.h5", tmp_path / "again.json"
    arrays = [array * 4 - 100 for array in shifted(rows)]  # what the statistics take away
    write_store(other, arrays, rows, kind="mel")
    assert cli("eval", "--json", again, made, other).code == 0
    one, two = (json.loads(path.read_text())["items"] for path in (report, again))
    for mine, theirs in zip(one, two, strict=True):
        assert mine["posterior"] == pytest.approx(theirs["posterior"], abs=1e-3)


def test_without_it_nothing_is_said(store: Path, tmp_path: Path, cli: Cli) -> None:
    made = tmp_path / "model.ckpt"
    assert cli("train", *TRAIN, store, made).code == 0
    assert "speaker_normalisation" not in checkpoint.load(made).meta["protocol"]
    assert speakers.NOTE not in " ".join(cli("eval", made, store).out.split())


def test_reports_of_both_kinds_are_two_systems(store: Path, tmp_path: Path, cli: Cli) -> None:
    reports = []
    for name, words in (("plain", ()), ("own", (BY_SPEAKER,))):
        reports.append(tmp_path / f"{name}.json")
        made = tmp_path / f"{name}.ckpt"
        assert cli("train", *TRAIN, *words, store, made).code == 0
        assert cli("eval", "--json", reports[-1], made, store).code == 0
    table = cli("report", "--format", "markdown", *reports).out
    rows = [line for line in table.splitlines() if "| model |" in line and "| system |" not in line]
    assert "| normalised |" in table
    assert ["by speaker" in row for row in rows] == [False, True]
    made_of = json.loads(cli("report", "--format", "json", *reports).out)["systems"]
    said = [one["protocols"][""]["protocol"]["speaker_normalisation"] for one in made_of]
    assert said == [False, True]


def test_folds_of_both_kinds_are_not_pooled(store: Path, tmp_path: Path, cli: Cli) -> None:
    one, two = tmp_path / "one.ckpt", tmp_path / "two.ckpt"
    assert cli("train", "--test-fold", 0, store, one).code == 0
    assert cli("train", "--test-fold", 1, BY_SPEAKER, store, two).code == 0
    result = cli("eval", one, two, store)
    assert result.code == 3
    assert "its normalisation (by speaker) differ from those of" in result.err


def test_an_unknown_speaker_is_named(tmp_path: Path, cli: Cli) -> None:
    rows = [
        row.replace(speaker=None) if row.id == "c/s2/3" else row
        for row in small_store.items(copies=0)
    ]
    path, made = tmp_path / "store.h5", tmp_path / "model.ckpt"
    write_store(path, small_store.features(rows), rows, kind="mel")
    result = cli("train", *TRAIN, BY_SPEAKER, path, made)
    assert result.code == 3
    assert result.err.count("\n") == 1
    assert "1 of the items used have no speaker (c/s2/3)" in result.err
    left_out = cli("train", *TRAIN, "--where", "speaker!=s2", BY_SPEAKER, path, made)
    assert left_out.code == 3  # an item without a speaker is not one of another's
    known = [row for row in rows if row.speaker]
    write_store(tmp_path / "known.h5", small_store.features(known), known, kind="mel")
    assert cli("train", *TRAIN, BY_SPEAKER, tmp_path / "known.h5", made).code == 0
    assert cli("eval", "--all", made, path).code == 3


def test_weights_of_the_other_kind_are_a_warning(store: Path, tmp_path: Path, cli: Cli) -> None:
    """Kernels that were learned of other values are no kernels of these."""
    one, two = tmp_path / "one.ckpt", tmp_path / "two.ckpt"
    words = [word for setting in SETTINGS["huang2014"] for word in ("--set", setting)]
    train = ("train", "--model", "huang2014", *words, *TRAIN)
    assert cli(*train, BY_SPEAKER, store, one).code == 0
    other = cli(*train, "--init", one, store, two)
    assert "--init: was trained with --speaker-normalisation, unlike this model" in other.err
    like = cli(*train, "--init", one, BY_SPEAKER, "--force", store, two)
    assert "unlike" not in like.err
    assert checkpoint.load(two).header.lineage[-1].params["init"]["speaker_normalisation"] is True


def test_predict_refuses_what_it_cannot_know(
    store: Path, tmp_path: Path, cli: Cli, sounds: Path
) -> None:
    made = tmp_path / "model.ckpt"
    assert cli("train", *TRAIN, BY_SPEAKER, store, made).code == 0
    result = cli("predict", made, sounds)
    assert (result.code, result.out) == (3, "")
    assert result.err.strip().splitlines() == [
        "sertool predict: the model was trained with --speaker-normalisation, and whose these"
        " recordings are is not known: give manifest lines (-) with a speaker, --speaker-by folder,"
        " or --speaker"
    ]


def test_pictures_are_refused(tmp_path: Path) -> None:
    pictures = [np.zeros((1, 4, 4, 3), np.uint8)]
    write_store(tmp_path / "store.h5", pictures, [Item("a", speaker="1")], kind="image")
    with pytest.raises(InputError, match="needs features over time"):
        SpeakerStore(tmp_path / "store.h5")
