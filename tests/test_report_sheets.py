"""A paper's tables by class as matrices, beside what several systems and protocols measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_reports import CLASSES, report, result, speech
from rich.cells import cell_len
from rich.console import Console
from sklearn import metrics as reference

from sertool.papers import pages, papers
from sertool.papers.study import study
from sertool.ui import tables

HEAD = """
title = "T"
authors = "A"
published = "P"
about = "B"
corpora = []
remarks = []
protocol = [
  { tag = "random", column = "at random", text = "t" },
  { tag = "speakers", column = "leak-free", text = "t", requires = ["speaker_disjoint"] },
]
table = [{ id = "1", title = "t", where = "w" }, { id = "2", title = "u", where = "w" }]
"""
NET = 'network = "n"'


def cell(table, tags, value, unit="%"):
    return f'  {{ table = "{table}", tags = {{ {tags} }}, value = {value}, unit = "{unit}" }},'


MATRIX = [
    cell("1", f'{NET}, truth = "{t}", prediction = "{p}", measure = "share"', 10 * i + j)
    for i, t in enumerate(CLASSES)
    for j, p in enumerate(CLASSES)
]
RATES = [
    cell("2", f'{NET}, class = "{c}", measure = "{m}"', 50, unit)
    for c in CLASSES
    for m, unit in (("precision", "%"), ("recall", "%"), ("support", "files"))
]
RECALLS = [
    cell("2", f'{NET}, class = "{c}", measure = "recall"', 50 + i) for i, c in enumerate(CLASSES)
]
CORPORA = [cell("1", f'{NET}, corpus = "{c}", measure = "accuracy"', 90) for c in ("a", "b", "c")]


@pytest.fixture
def paper(tmp_path):
    def made(cells, more=""):
        path = tmp_path / "own.toml"
        path.write_text(HEAD + "cells = [\n" + "\n".join(cells) + "\n]\n" + more)
        return papers.paper(str(path))

    return made


def page(paper, *reports):
    found = study([result(f"{i}.json", r) for i, r in enumerate(reports)], paper)
    return pages.page(found)


def sheets(paper, *reports):
    """Return every sheet of a page under what stands above it: (heading, text)."""
    made, heading, text = {}, "", ""
    for block in page(paper, *reports):
        if isinstance(block, tables.Heading):
            heading = block.text
        elif isinstance(block, tables.Text):
            text = block.lines[0]
        elif isinstance(block, tables.Sheet):
            made[heading, text] = block
    return made


def runs(**tags):
    """Return what was said in two seeds at random and one with speakers apart, and the reports."""
    said = {"random": [speech(0), speech(1)], "speakers": [speech(2)]}
    made = [
        report(each, {"network": "n", "protocol": p} | tags, seed=s, apart=p == "speakers")
        for p, several in said.items()
        for s, each in enumerate(several)
    ]
    return said, made


def test_a_confusion_matrix_is_one(paper):
    """The paper's as printed, then one a protocol: means over seeds, with how many of each."""
    said, made = runs()
    found = sheets(paper(MATRIX), *made)
    titles = [text for _, text in found]
    assert titles == [
        "The paper's, rows the truth, %:",
        "Measured, at random (2 seeds):",
        "Measured, leak-free (1 run):",
    ]
    own, *measured = found.values()
    assert list(own.header) == ["truth", *CLASSES]
    assert own.rows[2] == ["neutral", "20", "21", "22", "23"]
    for sheet, several in zip(measured, said.values(), strict=True):
        share = np.mean(
            [reference.confusion_matrix(s.truth, s.predicted, normalize="true") for s in several],
            0,
        )
        assert list(sheet.header) == ["truth", *CLASSES, "n"]
        for k, row in enumerate(sheet.rows):
            assert row[0] == CLASSES[k]
            assert row[1:-1] == [f"{100 * v:.1f}" for v in share[k]]
            assert row[-1] == str((several[0].truth == k).sum())


def test_each_system_has_a_block_of_its_own_name(paper):
    _, one = runs(data="x", size="128")
    _, two = runs(data="y", size="128")
    names = [heading for heading, _ in sheets(paper(MATRIX), *one, *two)]
    assert names == ["Table 1: t", *["data x"] * 2, *["data y"] * 2]
    alone = [heading for heading, _ in sheets(paper(MATRIX), *one)]
    assert alone == ["Table 1: t", *["data x, size 128, epochs 30"] * 2]


def test_classes_that_a_corpus_lacks_are_dashes(paper):
    three = speech(classes=("anger", "happiness", "neutral"))
    made = report(three, {"network": "n", "protocol": "random"}, apart=False)
    *_, sheet = sheets(paper(MATRIX), made).values()
    assert sheet.rows[3] == ["sadness", *["–"] * 5]
    assert [row[4] for row in sheet.rows] == ["–"] * 4
    assert sheet.rows[0][1] != "–"


def test_several_rates_are_columns_and_one_stands_beside_the_papers(paper):
    said, made = runs()
    several = sheets(paper(RATES), *made)
    assert len(several) == 3
    for (_, title), sheet in several.items():
        assert list(sheet.header) == ["class", "precision, %", "recall, %", "support, files"]
        if "at random" in title:
            n = int((said["random"][0].truth == 0).sum())
            assert sheet.rows[0][3] == str(n)
    ((_, title), sheet), *rest = sheets(paper(RECALLS), *made).items()
    assert not rest
    assert title == "Recall, %:"
    assert list(sheet.header) == ["class", "paper", "at random", "leak-free"]
    for k, row in enumerate(sheet.rows):
        assert row[:2] == [CLASSES[k], str(50 + k)]
        for at, several_said in zip(row[2:], said.values(), strict=True):
            recall = np.mean([(s.predicted[s.truth == k] == k).mean() for s in several_said])
            assert at.startswith(f"{100 * recall:.1f}")


def test_what_stands_alone_stays_a_row(paper):
    lone = cell("1", f'{NET}, truth = "anger", prediction = "neutral", measure = "share"', 7)
    made = page(paper([lone]), *runs()[1])
    (grid,) = [block for block in made if isinstance(block, tables.Grid)]
    assert "anger → neutral, %" in grid.rows[0]
    assert not any(isinstance(block, tables.Sheet) for block in made)


def test_counts_of_a_corpus_are_in_no_test(paper):
    """A run tagged like them, or tested on that corpus, is none; they are said in one line."""
    counts = [
        cell("2", 'corpus = "a", measure = "count"', 100, "files"),
        cell("2", 'corpus = "a", class = "anger", measure = "count"', 40, "files"),
    ]
    reason = '[[not_run]]\ntags = { measure = "count" }\nreason = "a count of the corpus"\n'
    said = report(speech(corpora=("a", "b")), {"network": "n", "protocol": "random"}, apart=False)
    whole = cell("2", f'{NET}, measure = "accuracy"', 90)
    text = tables.markdown(page(paper([whole, *counts], reason), said))
    assert "Another 2 published numbers, not run: a count of the corpus." in text
    assert "count, files" not in text


def rows_of(made):
    (grid,) = [b for b in made if isinstance(b, tables.Grid) and "figure" in b.header]
    return [dict(zip(grid.header, row, strict=True)) for row in grid.rows]


def test_a_corpus_is_a_part_of_a_joint_test_or_all_of_one(paper):
    """Both readings of a paper's figure of one corpus, each said."""
    joint = speech(0, corpora=("a", "b"))
    alone = speech(1, corpora=("a",))
    tags = {"network": "n", "protocol": "random"}
    made = [
        report(joint, tags | {"data": "both"}, apart=False),
        report(alone, tags | {"data": "a"}, apart=False),
    ]
    blocks = page(paper(CORPORA), *made)
    found = [row for row in rows_of(blocks) if row["figure"].startswith("WA")]
    said = {(row["corpus"], row["data"]): row for row in found}
    assert list(said) == [("a", "both"), ("a", "a"), ("b", "both")]
    part = joint.of("corpus", "a")
    for key, figure, value in (
        (("a", "both"), "WA, % (the a part of its test)", (part.truth == part.predicted).mean()),
        (("a", "a"), "WA, % (a alone)", (alone.truth == alone.predicted).mean()),
    ):
        assert said[key]["figure"] == figure
        assert said[key]["at random"].startswith(f"{100 * value:.1f}")
    assert "Another 1 published number, not run." in tables.markdown(blocks)


def test_a_test_on_recordings_from_outside_is_not_the_whole(paper):
    """Tagged for a corpus that has cells of its own, it is beside those alone."""
    whole = cell("1", f'{NET}, measure = "accuracy"', 95)
    tags = {"network": "n", "protocol": "random"}
    made = [
        report(speech(0), tags, apart=False),
        report(speech(1), tags | {"corpus": "c"}, apart=False, seed=1),
    ]
    found = [r for r in rows_of(page(paper([whole, *CORPORA]), *made)) if r["figure"][:2] == "WA"]
    values = [f"{100 * (s.truth == s.predicted).mean():.1f}" for s in (speech(0), speech(1))]
    joint = [row for row in found if row["paper"] == "95"]
    assert [row["at random"][:4] for row in joint] == [values[0]]
    assert [row["at random"][:4] for row in found if row["corpus"] == "c"] == [values[1]]
    alone = rows_of(page(paper([whole]), made[1]))  # a paper without such cells: it is the whole
    assert alone[0]["paper"] == "95"


def test_another_target_is_no_cell(paper):
    """A network that learned to tell corpora is not beside a paper's accuracy of emotions."""
    whole = cell("1", f'{NET}, measure = "accuracy"', 90)
    tags = {"network": "n", "protocol": "random"}
    told = report(speech(0), tags, apart=False)
    for probe in (
        report(speech(1), tags | {"target": "corpus"}, apart=False),
        report(speech(1), tags, apart=False, seed=1) | {"target": "corpus"},
    ):
        text = tables.markdown(page(paper([whole]), told, probe))
        first, other = text.split("### Not in the paper")
        values = [f"{100 * (s.truth == s.predicted).mean():.1f}" for s in (speech(0), speech(1))]
        assert (values[0] in first, values[1] in first) == (True, False)
        assert values[1] in other
        assert "corpus" in other


def test_what_tags_tell_is_said_once(paper):
    """A model's name beside a network's tag that says it already is no column of its own."""
    tags = {"protocol": "random"}
    one = report(speech(0), tags | {"network": "n"}, model="a", apart=False)
    two = report(speech(1), tags | {"network": "m"}, model="b", apart=False)
    bare = report(speech(2), tags | {"network": "n"}, model="c", apart=False)
    whole = [cell("1", f'{NET}, measure = "accuracy"', 90)]
    assert "model" not in rows_of(page(paper(whole), one, two))[0]
    assert {row["model"] for row in rows_of(page(paper(whole), one, bare)) if row["model"]} == {
        "a",
        "c",
    }


# --- tables that are broken between columns ---

NAMES = st.sampled_from(["anger", "happiness", "surprise", "喜び", "a b"])
CELLS = st.sampled_from(["", "–", "84.21", "67.0", "16.00 (a)", "50.8 ± 1.2\n[40.0, 61.5]"])


def lines_of(block, width):
    console = Console(width=width, color_system=None, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(*tables.terminal([block]))
    return captured.get().splitlines()


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(30, 100))
def test_a_broken_table_fits_and_breaks_no_number(data, width):
    n, k = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    header = ["truth", *data.draw(st.lists(NAMES, min_size=n, max_size=n))]
    row = st.lists(CELLS, min_size=n, max_size=n)
    rows = [[data.draw(NAMES), *data.draw(row)] for _ in range(k)]
    for block in (tables.Sheet(header, rows), tables.Grid(header, rows, 1)):
        lines = lines_of(block, width)
        assert max(map(cell_len, lines)) <= width
        shown = " ".join(lines).split()
        for cells in rows:
            for text in cells[1:]:
                for number in text.split():
                    assert number in shown
        wanted = sum(text == "84.21" for cells in rows for text in cells[1:])
        assert shown.count("84.21") == wanted


@pytest.mark.parametrize("width", [44, 60, 80, 100])
def test_long_names_break_no_number(width):
    header = ["network", "data", "figure", "paper", "at random", "by file", "leak-free", "runs"]
    figures = ["95.05 (a)", *["64.7 ± 0.1\n[40.3, 88.6]"] * 3, "2 seeds × 5 folds"]
    rows = [["fser mel augmented", "emodb-2s", "WA, % (the emodb part of its test)", *figures]]
    lines = lines_of(tables.Grid(header, rows, 3, 2), width)
    shown = " ".join(lines).split()
    assert max(map(len, lines)) <= width
    assert [shown.count(word) for word in ("64.7", "[40.3,", "88.6]", "95.05")] == [3, 3, 3, 1]
    assert {"emodb-2s", "augmented", "random", "leak-free"} <= set(shown)


def test_columns_of_classes_are_cut_only_where_there_is_no_room():
    header = ["truth", "happiness", "sadness", "surprise"]
    sheet = tables.Sheet(header, [["happiness", "84.21", "1.00", "16.00 (a)"]], classes=True)
    assert re.search(r"truth +happiness +sadness +surprise", "\n".join(lines_of(sheet, 48)))
    text = "\n".join(lines_of(sheet, 42))
    assert re.search(r"truth +happi\. +sadne\. +surprise", text)  # whose numbers need the room
    assert "happiness" in text
    broken = "\n".join(lines_of(sheet, 34))  # into tables that have room again
    assert {"happiness", "sadness", "surprise"} <= set(broken.split())
    twins = tables.Sheet(["truth", "class_one", "class_two"], [["x", "1", "2"]], classes=True)
    for width in (80, 24):
        assert "class_one" in "\n".join(lines_of(twins, width))


def test_a_further_part_names_its_rows_and_leaves_out_the_empty():
    header = ["one", "two", "figure", *(f"column{i}" for i in range(6)), "runs"]
    rows = [
        ["a", "b", "WA", *["50.0 [40.0, 60.0]"] * 6, "5 folds"],
        ["a", "b", "UAR", *["50.0 [40.0, 60.0]"] * 6, ""],
        ["a", "c", "WA", *["50.0 [40.0, 60.0]"] * 6, "3 folds"],
    ]
    lines = lines_of(tables.Grid(header, rows, 3, 2), 46)
    starts = [i for i, line in enumerate(lines) if "figure" in line]
    assert len(starts) > 1
    last = "\n".join(lines[starts[-1] :])
    assert "UAR" not in last
    assert re.search(r"a b +WA", last)
    assert re.search(r"a c +WA", last)
    first = "\n".join(lines[starts[0] : starts[1]])
    assert first.count("a b") == 1  # said once for the rows that follow


def test_findings_stand_only_beside_measurements(tmp_path, paper):
    path = tmp_path / "found.toml"
    cells = "cells = [\n" + "\n".join(RATES) + "\n]\n"
    path.write_text(HEAD + cells + '[[finding]]\nmark = "open"\ntext = "Leaks."\n')
    made = papers.paper(str(path))
    run = report(speech(), {"network": "n", "protocol": "random"})
    for reports, shown in (([run], True), ([], False)):
        texts = [block for block in page(made, *reports) if isinstance(block, tables.Heading)]
        assert ("What we found" in [heading.text for heading in texts]) is shown
    assert "What we found" not in [
        block.text for block in page(paper(RATES), run) if isinstance(block, tables.Heading)
    ]
