"""Reports of more classes than have room: what is listed, drawn and refused instead."""

from __future__ import annotations

import made_reports
import numpy as np
import pytest
from rich.console import Console

from sertool.core.errors import InputError
from sertool.evaluation import crowds, figures, page, pooling, terminal
from sertool.evaluation.report import Report, parse

MANY = [f"class{i:03}" for i in range(crowds.MOST + 10)]


@pytest.fixture(scope="module")
def crowd() -> Report:
    """A report of many classes."""
    made = made_reports.speech(speakers=6, each=len(MANY), classes=MANY)
    found = parse(made_reports.report(made, items=True), "made")
    assert isinstance(found, Report)
    return found


def most_frequent(report: Report) -> list[tuple[str, str, int]]:
    """The wrong cells from the fullest down, by hand."""
    rows = [
        (truth, said, n)
        for truth, row in zip(report.classes, report.figures.confusion, strict=True)
        for said, n in zip(report.classes, row, strict=True)
        if n and truth != said
    ]
    return sorted(rows, key=lambda row: -row[2])


def test_a_terminal_lists_the_most_frequent_mistakes(crowd: Report) -> None:
    console = Console(width=80, record=True, force_terminal=False)
    console.print(terminal.render(crowd))
    text = console.export_text()
    assert len(text.splitlines()) < 80
    assert max(map(len, text.splitlines())) <= 80
    assert f"most frequent mistakes among {len(MANY)} classes" in text
    found = [
        (crowd.classes[one.truth], crowd.classes[one.said], one.n)
        for one in crowds.mistakes(crowd.figures.confusion)
    ]
    assert [n for _, _, n in found] == [n for _, _, n in most_frequent(crowd)[: crowds.WORST]]
    assert set(found) <= set(most_frequent(crowd))
    for truth, said, n in found:
        assert any(
            f"{truth}: {said}" in line and line.endswith(f" {n}") for line in text.split("\n")
        )


def test_a_page_lists_them_too(crowd: Report) -> None:
    text = "".join(map(str, page.sections(crowd, [])))
    truth, said, _ = most_frequent(crowd)[0]
    assert f"<tr><th>{truth}" in text
    assert 'class="matrix"' not in text
    assert f"The {crowds.WORST} worst of {len(MANY)} classes" in text
    assert said in text


def test_figures_stay_of_one_size(crowd: Report) -> None:
    for made in (figures.confusion_figure(crowd), figures.classes_figure(crowd)):
        assert max(made.get_size_inches()) <= 17
        assert len(made.axes[0].texts) == 0
    recalls = figures.classes_figure(crowd).axes[0].lines[0].get_ydata()
    assert (np.diff(recalls) >= 0).all()


def test_counts_that_would_fill_memory_are_refused(
    crowd: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTOOL_MEMORY", "0.0001")
    with pytest.raises(InputError, match=r"counts of 6 speakers .* takes .* SERTOOL_MEMORY"):
        pooling.pool([pooling.result("made", crowd)])
