"""`train --target FIELD`: a model that says another field of an item than its label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_store import items, make

from sertool.core.errors import UsageError
from sertool.formats import checkpoint
from sertool.items import Item
from sertool.targets import check_classes, class_names

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("target") / "s.h5")


@pytest.mark.parametrize("model", [("linear",), ("sundharam-cnn", "--epochs", "1")])
def test_gender_is_learned_and_tested(
    cli: Cli, store: Path, tmp_path: Path, model: tuple[str, ...]
) -> None:
    out, report = tmp_path / "m.ckpt", tmp_path / "r.json"
    options = ("--target", "gender", "--test-fold", "1", "--model", *model)
    assert cli("train", store, out, *options).code == 0
    meta = checkpoint.load(out).meta
    assert (meta["target"], meta["classes"]) == ("gender", ["female", "male"])
    assert meta["lineage"][-1]["params"]["target"] == "gender"
    assert cli("eval", out, store, "--json", report).code == 0
    found = json.loads(report.read_text())
    assert (found["target"], found["classes"]) == ("gender", ["female", "male"])
    truth = {row.id: row.gender for row in items()}
    assert {item["id"]: item["truth"] for item in found["items"]} == {
        row.id: truth[row.id] for row in items() if row.fold == 1 and not row.augmentation
    }
    assert set(found["baselines"]) == {"majority", "linear"}
    assert " by gender " in cli("eval", out, store).out


def test_what_nobody_can_name_is_said_before_training(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    options = ("--target", "speaker", "--test-fold", "all", "--model", "linear")
    result = cli("train", store, tmp_path / "m.ckpt", *options)
    assert (
        "24 of 24 held-out items are of classes without training items, so eval leaves all of"
        " them out"
    ) in result.err
    tested = cli("eval", tmp_path / "m.0.ckpt", store)
    assert tested.code == 3
    assert "nothing left to test it on" in tested.err


def test_an_unknown_field_is_wrong_usage(cli: Cli, store: Path, tmp_path: Path) -> None:
    result = cli("train", store, tmp_path / "m.ckpt", "--target", "mood", "--test-fold", "1")
    assert result.code == 2
    assert "--target mood: no item has it" in result.err
    assert "gender" in result.err
    empty = cli("train", store, tmp_path / "m.ckpt", "--target", "session", "--test-fold", "1")
    assert empty.code == 2


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ([1.0, 2.5, 4.0], True),
        (["1", "2.5", "4"], True),
        (["1.", ".5", "-1e-3"], True),
        (["01", "0.5"], False),
        ([1.0, 2.0, None, ""], False),
        (list(range(21)), True),
        ([str(i) for i in range(21)], True),
        (list(range(20)), False),
        ([f"{i:03d}" for i in range(21)], False),
        ([1.5, "high", None], False),
        ([True, False], False),
    ],
)
@pytest.mark.parametrize("option", ["--target", "--per"])
def test_numbers_are_classes_only_where_asked_for(
    values: list[Any], refused: bool, option: str
) -> None:
    rows = [Item(str(i), speaker=str(i), extra={"arousal": v}) for i, v in enumerate(values)]
    check_classes([*rows, Item("unknown")], "speaker", option)
    if not refused:
        check_classes(rows, "arousal", option)
        return
    with pytest.raises(UsageError, match=f"{option} arousal: its values are numbers"):
        check_classes([*rows, Item("unknown")], "arousal", option)


def test_a_field_of_numbers_is_no_class(cli: Cli, tmp_path: Path) -> None:
    """A column of ratings once became as many classes as it had values, with exit code 0."""
    rows = items(copies=0)
    for k, row in enumerate(rows):
        row.extra["arousal"] = 1 + k // 3 % 2 / 2
    store, out = make(tmp_path / "s.h5", rows), tmp_path / "m.ckpt"
    result = cli("train", store, out, "--per", "arousal", "--test-fold", "1")
    assert result.code == 2
    assert "numbers (1 to 1.5, 2 different ones), not classes; --as-classes" in result.err
    assert not out.exists()
    given = (store, out, "--target", "arousal", "--test-fold", "1", "--force")
    assert cli("train", *given).code == 0
    assert checkpoint.load(out).header.classes == []
    assert cli("train", *given, "--as-classes").code == 0
    assert checkpoint.load(out).header.classes == ["1", "1.5"]


def test_checkpoints_of_two_targets_are_no_folds(cli: Cli, store: Path, tmp_path: Path) -> None:
    for fold, target in ((0, "gender"), (1, "label")):
        options = ("--target", target, "--test-fold", str(fold))
        assert cli("train", store, tmp_path / f"{fold}.ckpt", *options).code == 0
    result = cli("eval", tmp_path / "0.ckpt", tmp_path / "1.ckpt", store)
    assert result.code == 3
    assert "its target (label) differ from those" in result.err


def test_predict_says_the_target(cli: Cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    assert cli("train", store, out, "--target", "gender", "--test-fold", "none").code == 0
    shown = cli("info", out)
    assert "gender" in shown.out


def test_classes_of_a_field() -> None:
    rows = items()
    assert class_names(rows, "intensity") == [row.extra["intensity"] for row in rows]
    assert class_names(rows, "label") == [row.label for row in rows]
    two = [
        Item(str(i), corpus=corpus, speaker=speaker)
        for i, (corpus, speaker) in enumerate((("x", "1"), ("y", "1"), ("y", "")))
    ]
    assert class_names(two, "speaker") == ["x/1", "y/1", None]
    numbers = [Item("a", extra={"n": 2.0}), Item("b", extra={"n": None})]
    assert class_names(numbers, "n") == ["2", None]
    assert class_names(numbers, "label", "--target") == class_names(numbers, "m") == [None, None]
    with pytest.raises(UsageError, match="fields: id, n"):
        class_names(numbers, "m", "--target")


@pytest.mark.parametrize(
    ("option", "part"), [("--where", ""), ("--test-where", "test"), ("--val-where", "val")]
)
def test_conditions_ask_for_the_label_that_the_store_has(
    cli: Cli, store: Path, tmp_path: Path, option: str, part: str
) -> None:
    out = tmp_path / "m.ckpt"
    fold = () if option == "--test-where" else ("--test-fold", "1")
    options = ("--target", "gender", *fold, option, "label=anger")
    assert cli("train", store, out, *options).code == 0
    label = {row.id: row.label for row in items()}
    listed = checkpoint.load(out).items
    assert {label[item.id] for item in listed if part in ("", item.part)} == {"anger"}
    trained = {label[item.id] for item in listed if item.part == "train"}
    assert ("anger" in trained) == (option == "--where")
