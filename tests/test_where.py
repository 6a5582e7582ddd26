"""Conditions: parsing, synonyms, numbers, unknown values, unknown fields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import UsageError
from sertool.corpora import where
from sertool.items import Item

ROW = Item.from_row(
    {
        "id": "c/a",
        "label": "anger",
        "gender": "female",
        "speaker": "03",
        "session": None,
        "fold": 0,
        "valence": 3.5,
        "rate": 16000,
        "text": "a = b, c",
        "clean": True,
    }
)


@pytest.mark.parametrize(
    "expression",
    [
        "label=anger",
        "label=angry",
        "label == Angry",
        "label in happy, ANGRY",
        "label!=sad",
        "label not in happy,sad",
        "gender=f",
        "gender=Female",
        "speaker=03",
        "speaker!=3",
        "speaker in 03,08",
        "session=null",
        "session=",
        "session!=1",
        "fold=0",
        "fold in 0,1",
        "valence=3.5",
        "valence=3.50",
        "rate=16000",
        "rate=16e3",
        "clean=true",
        "text=a = b, c",
        "text='a = b, c'",
        "label!=null",
    ],
)
def test_true(expression: str) -> None:
    assert where.parse(expression)(ROW)


@pytest.mark.parametrize(
    "expression",
    ["label=fear", "label!=angry", "speaker=3", "session!=null", "fold=1", "valence in 3,4", "x=1"],
)
def test_false(expression: str) -> None:
    assert not where.parse(expression)(ROW)


@pytest.mark.parametrize("expression", ["", "label", "label in", "=3", "label<3", "insane"])
def test_no_expression(expression: str) -> None:
    with pytest.raises(UsageError, match="field=value"):
        where.parse(expression)


def test_an_expression_that_is_no_text() -> None:
    with pytest.raises(UsageError, match="not in UTF-8"):
        where.parse("label=\udcff")


def test_utterance_and_its_further_fields() -> None:
    rows = [
        Item("c/a", "/a.wav", label="anger", extra={"intensity": "strong"}),
        Item("c/b", "/b.wav", label="fear"),
    ]
    assert where.select(rows, ["intensity=strong"]) == rows[:1]
    assert where.select(rows, ["intensity=null"]) == rows[1:]
    assert where.select(rows, ["label in fearful,angry", "intensity!=strong"]) == rows[1:]
    assert where.select(rows, []) == rows


def test_unknown_field_names_the_fields_seen() -> None:
    rows = [Item("c/a", "/a.wav", extra={"intensity": "strong"})]
    with pytest.raises(UsageError, match=r"no field 'mood'.*speaker.*intensity"):
        where.select(rows, ["mood=1"])
    with pytest.raises(UsageError, match="no field 'mood'"):
        where.select([ROW], ["mood=1"])
    assert where.select([], ["mood=1"]) == []


def test_values_seen() -> None:
    rows = [Item("c/a", label=label) for label in ("fear", "anger", None)]
    assert where.values_seen(rows, "label") == "anger, fear, null"
    assert "40 in all" in where.values_seen(
        [Item("c/a", extra={"s": str(i)}) for i in range(40)], "s"
    )


words = st.sampled_from(["anger", "angry", "sad", "x", "3", "3.0", "null", ""])


@given(
    words, st.sampled_from(["label", "speaker", "valence"]), st.sampled_from([None, "x", 3, 3.0])
)
def test_negation_is_the_complement(word: str, field: str, value: Any) -> None:
    row = Item.from_row({"id": "c/a", "label": "anger", "speaker": "x", field: value})
    assert where.parse(f"{field}={word}")(row) != where.parse(f"{field}!={word}")(row)
    assert where.parse(f"{field} in {word}")(row) == where.parse(f"{field}={word}")(row)
