"""What the totals behind table 3 of FSER can and cannot be, computed from its printed cells."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache

import pytest

from sertool.papers import papers

COPIES = 20  # of each picture: section 3
LARGEST = 2200  # pictures of a class: below twice the smallest total of any
HALF = Decimal("0.005")  # what rounding to two decimals may hide


@cache
def paper() -> papers.Paper:
    return papers.paper("fser2021")


def counts(table: str, measure: str) -> dict[str, int]:
    """Return a printed number of each class."""
    return {
        cell.figure["class"]: int(cell.value)
        for cell in paper().cells
        if cell.table == table and cell.figure["measure"] == measure and "class" in cell.figure
    }


def rows() -> dict[str, list[Decimal]]:
    """Return the printed shares of table 3 by true class."""
    found: dict[str, list[Decimal]] = {}
    for cell in paper().cells:
        if cell.table == "3":
            found.setdefault(cell.figure["truth"], []).append(Decimal(str(cell.value)))
    return found


def possible(row: list[Decimal], total: int) -> bool:
    """Return whether whole numbers that sum to `total` have these shares once rounded."""
    least = [max(0, math.ceil((share - HALF) * total / 100)) for share in row]
    most = [math.floor((share + HALF) * total / 100) for share in row]
    return all(a <= b for a, b in zip(least, most, strict=True)) and sum(least) <= total <= sum(
        most
    )


@cache
def totals() -> dict[str, list[int]]:
    """Return the totals up to `LARGEST` that each row of table 3 can have."""
    return {
        name: [n for n in range(1, LARGEST) if possible(row, n)] for name, row in rows().items()
    }


def test_the_rule_finds_the_total_of_made_rows() -> None:
    for total, right in ((91, 87), (1389, 1326), (1740, 1621)):
        row = [right, total - right - 4, 3, 1, 0]
        shares = [round(Decimal(100 * n) / total, 2) for n in row]
        assert possible(shares, total)
        assert not possible([shares[0] + Decimal("0.2"), *shares[1:]], total)


def test_no_row_is_of_the_recordings_that_table_2_counts() -> None:
    supports = counts("2", "support")
    assert sum(supports.values()) == 609
    for name, found in totals().items():
        assert found[0] > 15 * supports[name]


def test_the_test_set_is_a_fifth_of_everything_copied() -> None:
    """And no fifth of the 40 887 pictures that the paper says were trained on."""
    everything = 3043 * (1 + COPIES)
    smallest = sum(found[0] for found in totals().values())
    largest = sum(found[-1] for found in totals().values())
    assert (smallest, largest) == (12759, 12773)
    assert smallest > 1.5 * 40887 / 5
    assert 0 < everything / 5 - largest < everything / 5 - smallest < 0.002 * everything / 5


def test_classes_are_as_frequent_as_in_a_random_fifth() -> None:
    scattered = 0.0
    for name, n in counts("1", "count").items():
        expected = n * (1 + COPIES) / 5
        middle = sum(totals()[name]) / len(totals()[name])
        scattered += (middle - expected) ** 2 / (expected * 4 / 5)
    assert scattered == pytest.approx(3.9, abs=0.05)  # chance: 8 on average, 15.5 in one of 20


def test_no_row_holds_whole_recordings_with_all_their_copies() -> None:
    """So siblings of tested pictures are elsewhere, in training or validation, or were lost."""
    missing = [min(-n % (1 + COPIES) for n in found) for found in totals().values()]
    assert min(missing) > 0
    assert sum(n > 10 for n in missing) == 6
    assert not any(
        n % COPIES == 0 for name, found in totals().items() for n in found if name != "happiness"
    )


def test_diagonal_is_the_papers_accuracy() -> None:
    diagonal = [
        Decimal(str(cell.value))
        for cell in paper().cells
        if cell.table == "3" and cell.figure["truth"] == cell.figure["prediction"]
    ]
    assert round(sum(diagonal) / 8, 2) == Decimal("95.05")
    assert not any(round(Decimal(100 * right) / 609, 2) == Decimal("95.05") for right in range(610))
