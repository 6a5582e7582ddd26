"""The page of all papers: how much of each was measured, and what a reader finds of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_reports import report, result, speech
from sklearn import metrics as reference

from sertool.core.errors import InputError
from sertool.papers import front, papers
from sertool.papers.forest import forest, rows
from sertool.papers.study import study

PAPER = """
title = "A paper"
authors = "A. Author"
published = "nowhere, 2020"
about = "What it is about."
corpora = ["toy", "other"]
cells = [
  { table = "1", tags = { network = "cnn", measure = "accuracy" }, value = 53.20, unit = "%" },
  { table = "1", tags = { network = "rnn", measure = "accuracy" }, value = 50.1, unit = "%" },
  { table = "1", tags = { network = "rbm", measure = "accuracy" }, value = 40.1, unit = "%" },
  { table = "1", tags = { network = "gmm", measure = "accuracy" }, value = 30.1, unit = "%" },
]
[[headline]]
text = "networks"
table = "1"
tags = { measure = "accuracy" }
on = "toy"
run = {}
protocol = "random"
plot = true
[[protocol]]
tag = "random"
column = "paper's protocol"
text = "at random"
[[protocol]]
tag = "speakers"
column = "leak-free"
text = "speakers apart"
requires = ["speaker_disjoint", "origin_disjoint"]
[[not_run]]
tags = { network = "rbm" }
reason = "needs a machine of 1986"
[[table]]
id = "1"
title = "Accuracy"
where = "section 1"
[[picture]]
text = "Figure 1, two networks."
file = "figure1.svg"
[picture.rows]
"a network" = { network = "cnn", protocol = "random" }
"another" = { network = "rnn", protocol = "random" }
[[picture]]
text = "Figure 2 is lost."
"""


def own(folder, more="", scale="epochs = 1"):
    path = folder / "own.toml"
    path.write_text(f"{PAPER}[scale]\n{scale}\n{more}")
    return papers.paper(str(path))


def measured(paper, *runs, **given):
    """Return the study of runs (network, protocol, seed, fold)."""
    made = [
        result(
            f"{i}.json",
            report(
                speech(i),
                {"network": network, "protocol": tag},
                seed=seed,
                fold=fold,
                apart=tag == "speakers",
                **given,
            ),
        )
        for i, (network, tag, seed, fold) in enumerate(runs)
    ]
    return study(made, paper)


def line(found):
    (row,) = front.status([found]).rows
    return dict(zip(front.STATUS, row, strict=True))


BOTH = (("cnn", "random", 0, 0), ("cnn", "speakers", 0, 0), ("rnn", "speakers", 0, 0))


def test_status_counts_what_was_measured_and_how_fully(tmp_path):
    told = line(measured(own(tmp_path), *BOTH))
    assert (told["printed"], told["measured"], told["at full scale"]) == ("4", "2", "1")
    assert told["the paper's corpora"] == "toy, other"
    assert told["what is missing"] == (
        "1: not by its protocol; 1: needs a machine of 1986; 1: not run"
    )


@pytest.mark.parametrize(
    ("scale", "runs", "lacking"),
    [
        ("epochs = 1\nfolds = 2", [0], "too few folds"),
        ("epochs = 1\nseeds = 2", [0], "too few seeds"),
        ("epochs = 1\nseeds = 2", [0, 1], ""),
        ("epochs = 1000", [0], "too few epochs"),
        ("", [0], "not converged"),
    ],
)
def test_full_scale_is_that_of_the_paper(tmp_path, scale, runs, lacking):
    paper = own(tmp_path, scale=scale)
    told = line(measured(paper, *(("cnn", "random", seed, 0) for seed in runs)))
    assert told["at full scale"] == ("0" if lacking else "1")
    assert told["what is missing"].startswith(f"1: {lacking}" if lacking else "2: not run")
    assert told["seeds"] == str(len(runs))


def test_a_section_has_rows_that_were_run_and_counts_the_others(tmp_path):
    text = front.section(measured(own(tmp_path), *BOTH), tmp_path, tmp_path / "recipes")
    made = [row for row in text.splitlines() if row.startswith("| networks")]
    assert [row.split(" | ")[0] for row in made] == ["| networks: cnn", "| networks: rnn"]
    assert "Not run: 2 more of these printed numbers." in text
    assert "- Leak-free: speakers apart." in text
    assert "![Figure 1](results/own/figure1.svg)" in text
    assert "Missing: Figure 2 is lost." in text


def test_deviations_lead_to_the_line(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x = 1\nRATE = 2\n")
    paper = own(tmp_path, '[[deviation]]\ntext = "slower"\ncode = "code/a.py#RATE"\n')
    (tmp_path / "pages").mkdir()
    text = front.section(measured(paper, *BOTH), tmp_path, tmp_path / "pages")
    assert "- slower ([a.py:2](../code/a.py#L2))" in text
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    with pytest.raises(InputError, match="defines no RATE"):
        front.section(measured(paper, *BOTH), tmp_path, tmp_path)


def test_a_section_needs_the_runs_that_its_findings_quote(tmp_path):
    finding = """[[finding]]
mark = "shown"
text = "{x}"
[finding.figures]
x = { figure = "uar", run = { network = "gmm" } }
"""
    with pytest.raises(InputError, match=r"own: finding 1: \{x\}: nothing was run"):
        front.section(measured(own(tmp_path, finding), *BOTH), tmp_path, Path())


def test_a_finding_has_its_mark_in_bold(tmp_path):
    finding = '[[finding]]\nmark = "consistent with"\ntext = "a text: of 53.20"\n'
    text = front.section(measured(own(tmp_path, finding), *BOTH), tmp_path, Path())
    assert "\n- **Consistent with:** a text: of 53.20\n" in text


def test_a_paper_of_which_nothing_of_the_main_table_was_run(tmp_path):
    text = front.section(measured(own(tmp_path), ("lstm", "random", 0, 0)), tmp_path, Path())
    assert "Not run: 4 printed numbers of the main table." in text


def points(figure):
    """Return what is plotted: (x, y) of every mark."""
    lines = figure.axes[0].get_lines()
    return {(round(x[0], 1), round(y[0], 2)) for each in lines
            if len(x := each.get_xdata()) == 1 and len(y := each.get_ydata()) == 1}  # fmt: skip


def accuracy(seed):
    made = speech(seed)
    return round(100 * reference.accuracy_score(made.truth, made.predicted), 1)


def test_the_forest_plot_has_each_number_and_its_n(tmp_path):
    figure = forest([measured(own(tmp_path), *BOTH)])
    x = {x for x, _ in points(figure)}
    assert {53.2, 50.1, accuracy(0), accuracy(1), accuracy(2)} <= x
    assert not {40.1, 30.1} & x
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["own", "n = 160 / 160", "n = – / 160"]


def test_a_picture_is_of_the_speakers_that_every_run_has(tmp_path):
    paper = own(tmp_path)
    few = speech(1).of("speaker", *sorted({u.speaker for u in speech(1).units})[:6])
    made = [
        result("a.json", report(speech(0), {"network": "cnn", "protocol": "random"})),
        result("b.json", report(few, {"network": "rnn", "protocol": "random"})),
    ]
    figure = rows(study(made, paper), paper.pictures[0])
    same = speech(0).of("speaker", *{u.speaker for u in few.units})
    assert [text.get_text() for text in figure.axes[0].texts] == [f"n = {len(few.units)}"] * 2
    wanted = [100 * reference.accuracy_score(s.truth, s.predicted) for s in (same, few)]
    assert points(figure) == {(round(x, 1), y) for y, x in enumerate(wanted)}
