"""Findings: every number in a sentence comes from a run or a printed cell, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_reports import report, result, speech
from scipy import stats
from sklearn import metrics as reference

from sertool.core.errors import InputError
from sertool.evaluation import pooling
from sertool.papers import findings, papers
from sertool.papers.papers import Deviation
from sertool.papers.study import study

ROOT = Path(__file__).resolve().parents[1]
PAPER = """
title = "A paper"
authors = "A. Author"
published = "nowhere, 2020"
about = "What it is about."
corpora = ["toy"]
cells = [
  { table = "1", tags = { network = "cnn", measure = "uar" }, value = 53.20, unit = "%" },
  { table = "1", tags = { network = "svm", measure = "uar" }, value = 40.0, unit = "%" },
  { table = "1", tags = { network = "svm", corpus = "b", measure = "uar" }, value = 60.1, unit = "%" },
  { table = "1", tags = { network = "rnn", measure = "uar" }, value = 50.1, unit = "%" },
  { table = "2", tags = { truth = "a", prediction = "a", measure = "share" }, value = 66.7, unit = "%" },
  { table = "2", tags = { truth = "a", prediction = "b", measure = "share" }, value = 33.3, unit = "%" },
  { table = "2", tags = { truth = "b", prediction = "b", measure = "share" }, value = 14.3, unit = "%" },
]
[[protocol]]
tag = "random"
column = "paper's protocol"
text = "at random"
[[table]]
id = "1"
title = "Accuracy"
where = "section 1"
[[table]]
id = "2"
title = "Shares"
where = "section 2"
"""  # noqa: E501


def made(folder, *, text, figures="", mark="shown", more=""):
    path = folder / "own.toml"
    head = f'[[finding]]\nmark = "{mark}"\ntext = "{text}"\n{more}\n'
    path.write_text(f"{PAPER}{head}[finding.figures]\n{figures}")
    return papers.paper(str(path))


def told(paper, *tags, strict=True, seeds=(0,), **given):
    results = [
        result(
            f"{i}-{s}.json",
            report(speech(10 * i + s), {"protocol": "random"} | each, seed=s, **given),
        )
        for i, each in enumerate(tags)
        for s in seeds
    ]
    return findings.lines(study(results, paper), strict)


def uar(seed):
    one = speech(seed)
    return 100 * reference.balanced_accuracy_score(one.truth, one.predicted)


CNN, RNN = {"network": "cnn"}, {"network": "rnn"}
QUOTE = 'x = { figure = "uar", run = { network = "cnn" } }'


def test_a_number_is_that_of_the_runs(tmp_path):
    paper = made(tmp_path, text="It has {x}, as printed {y}.", figures=f"""{QUOTE}
y = {{ figure = "uar", cell = {{ table = "1", network = "cnn" }} }}""")  # fmt: skip
    (line,) = told(paper, CNN, RNN)
    assert line.startswith(f"Shown: It has {uar(0):.1f} % [")
    assert line.endswith("as printed 53.20 %.")


def test_what_it_was_tested_on(tmp_path):
    quote = QUOTE.replace(" } }", " }, n = true, short = true }")
    (line,) = told(made(tmp_path, text="{x}", figures=quote), CNN, seeds=(0, 1, 2))
    assert line.endswith("% (160 recordings, 3 seeds)")
    assert "[" not in line


def test_a_difference_is_paired_over_the_speakers_of_both(tmp_path):
    quote = QUOTE.replace(" } }", ' }, minus = { network = "rnn" } }')
    (line,) = told(made(tmp_path, text="{x}", figures=quote), CNN, RNN)
    assert line.startswith(f"Shown: {uar(0) - uar(10):+.1f} points [")
    few = speech(10).of("speaker", *sorted({u.speaker for u in speech(10).units})[:6])
    paper = made(tmp_path, text="{x}", figures=quote)
    both = [
        result("a.json", report(speech(0), CNN | {"protocol": "random"})),
        result("b.json", report(few, RNN | {"protocol": "random"})),
    ]
    own = speech(0).of("speaker", *{u.speaker for u in few.units})
    wanted = [reference.balanced_accuracy_score(s.truth, s.predicted) for s in (own, few)]
    (line,) = findings.lines(study(both, paper), True)
    assert line.startswith(f"Shown: {100 * (wanted[0] - wanted[1]):+.1f} points [")


def test_a_difference_of_too_few_speakers_has_no_interval(tmp_path):
    quote = QUOTE.replace(" } }", ' }, minus = { network = "rnn" } }')
    speakers = sorted({u.speaker for u in speech(0).units})[:2]
    parts = [speech(seed).of("speaker", *speakers) for seed in (0, 10)]
    both = [
        result(f"{i}.json", report(part, tags | {"protocol": "random"}))
        for i, (part, tags) in enumerate(zip(parts, (CNN, RNN), strict=True))
    ]
    wanted = [reference.balanced_accuracy_score(s.truth, s.predicted) for s in parts]
    (line,) = findings.lines(study(both, made(tmp_path, text="{x}", figures=quote)), True)
    assert line == f"Shown: {100 * (wanted[0] - wanted[1]):+.1f} points"


def test_a_difference_of_few_speakers_is_of_the_same_ones(tmp_path):
    quote = QUOTE.replace(" } }", ' }, minus = { network = "rnn" } }')
    paper = made(tmp_path, text="{x}", figures=quote)
    speakers = sorted({u.speaker for u in speech(0).units})
    both = [
        result(
            "a.json", report(speech(0).of("speaker", *speakers[:2]), CNN | {"protocol": "random"})
        ),
        result(
            "b.json", report(speech(9).of("speaker", *speakers[2:4]), RNN | {"protocol": "random"})
        ),
    ]
    with pytest.raises(InputError):
        findings.lines(study(both, paper), True)


def test_a_baseline_and_the_difference_from_it(tmp_path):
    own = speech(0)
    linear = 100 * reference.balanced_accuracy_score(own.truth, own.linear.argmax(1))
    quotes = (
        'x = { figure = "uar", run = { network = "cnn" }, baseline = "linear" }\n'
        'y = { figure = "uar", run = { network = "cnn" }, over = "linear" }'
    )
    (line,) = told(made(tmp_path, text="{x}; {y}", figures=quotes), CNN)
    assert line.startswith(f"Shown: {linear:.1f} % [")
    assert f"; {uar(0) - linear:+.1f} points [" in line


def test_a_number_without_a_run_is_refused_unless_it_is_open(tmp_path):
    paper = made(tmp_path, text="It has {x}.", figures=QUOTE)
    with pytest.raises(InputError, match=r"own: finding 1: \{x\}: nothing was run with"):
        told(paper, RNN)
    assert told(paper, RNN, strict=False) == ["Shown: It has (not run)."]
    paper = made(tmp_path, text="{x}", figures=QUOTE, mark="open", more='decides = "long"')
    assert told(paper, RNN) == ["Open: (not run) (decided by the study's batch long)"]


def test_a_tag_that_is_not_named_must_be_absent_or_the_same(tmp_path):
    paper = made(tmp_path, text="{x}", figures=QUOTE)
    (line,) = told(paper, CNN | {"hop": "1"}, CNN | {"hop": "1", "kept": "last"})
    assert line.startswith(f"Shown: {uar(0):.1f} %")
    with pytest.raises(InputError, match=r"several .* name one of hop=1\|2"):
        told(paper, CNN | {"hop": "1"}, CNN | {"hop": "2"})
    paper = made(tmp_path, text="{x}", figures=QUOTE.replace(" } }", ', hop = "2" } }'))
    assert told(paper, CNN | {"hop": "1"}, CNN | {"hop": "2"})[0].startswith(
        f"Shown: {uar(10):.1f} %"
    )


def test_runs_that_say_one_class_only_are_counted(tmp_path):
    quote = 'x = { figure = "stuck", run = { network = "cnn" } }'
    paper = made(tmp_path, text="{x}", figures=quote)
    stuck = speech(1)
    stuck.posterior[:] = [0.7, 0.1, 0.1, 0.1]
    runs = [
        result(f"{s}.json", report(each, CNN | {"protocol": "random"}, seed=s))
        for s, each in enumerate([speech(0), stuck, speech(2)])
    ]
    assert findings.lines(study(runs, paper), True) == ["Shown: 1 of 3 runs"]


def test_how_often_one_is_ahead_of_its_partner(tmp_path):
    """Each seed by itself, of every network that has both; another's runs are no partners."""
    quote = 'x = { figure = "ahead", run = { kept = "last" }, minus = { kept = "" } }'
    tags = [CNN, CNN | {"kept": "last"}, RNN, RNN | {"kept": "last"}, {"network": "svm"}]
    (line,) = told(made(tmp_path, text="{x}", figures=quote), *tags, seeds=(0, 1, 2))
    right = [
        [np.mean(speech(10 * i + s).truth == speech(10 * i + s).predicted) for i in range(4)]
        for s in (0, 1, 2)
    ]
    pairs = [(row[i + 1], row[i]) for row in right for i in (0, 2)]
    ahead = sum(last > best for last, best in pairs)
    equal = sum(last == best for last, best in pairs)
    p = stats.binomtest(ahead, len(pairs) - equal).pvalue
    assert line == f"Shown: {ahead} of 6 ({equal} equal; sign test p = {p:.2f})"
    assert 0 < ahead < 6
    alone = told(made(tmp_path, text="{x}", figures=quote, mark="open"), *tags[::2])
    assert alone == ["Open: (not run)"]


@pytest.mark.parametrize(
    ("quote", "wanted"),
    [
        ('figure = "sum", cells = { table = "2", truth = "a" }', "100.0 %"),
        ('figure = "mean", cells = { table = "2", diagonal = "yes" }', "40.5 %"),
        ('figure = "smallest count", cells = { table = "2", truth = "a" }', "3"),
        ('figure = "smallest count", cells = { table = "2" }', "10"),
        ('figure = "uar", cell = { network = "svm", corpus = "" }', "40.0 %"),
        ('figure = "uar", cell = { network = "cnn" }, minus = { network = "rnn" }', "+3.10 points"),
    ],
)
def test_arithmetic_on_printed_numbers(tmp_path, quote, wanted):
    paper = made(tmp_path, text="{x}", figures=f"x = {{ {quote} }}")
    assert told(paper) == [f"Shown: {wanted}"]


@pytest.mark.parametrize(
    ("text", "figures", "why"),
    [
        ("It has {x}.", "", "{x} is only in the text"),
        ("It has.", QUOTE, r"{x} is only in \[finding.figures\]"),
        ("It has 61.7.", "", "61.7 in its text"),
        ("It has 95 %.", "", "95 in its text"),
        ("{x}", 'x = { figure = "uar" }', "needs one of run, cell and cells"),
        ("{x}", QUOTE.replace("figure", "figur"), "figur"),
    ],
)
def test_what_cannot_be_filled_is_refused(tmp_path, text, figures, why):
    with pytest.raises(InputError, match=why):
        made(tmp_path, text=text, figures=figures)


def test_numbers_that_are_declared_or_printed_may_stand(tmp_path):
    constants = '[finding.constants]\n"1.4" = "seconds, the shortest recording"'
    path = tmp_path / "own.toml"
    path.write_text(
        f'{PAPER}[[finding]]\nmark = "shown"\ntext = "1.4 s and 53.20 %"\n{constants}\n'
    )
    assert told(papers.paper(str(path))) == ["Shown: 1.4 s and 53.20 %"]


def test_a_measure_that_is_none_is_refused(tmp_path):
    paper = made(tmp_path, text="{x}", figures=QUOTE.replace("uar", "uaar"))
    with pytest.raises(InputError, match=r"finding 1: \{x\}: .*uaar"):
        told(paper, CNN)


# --- the papers' own ---


@pytest.mark.parametrize("name", papers.names())
def test_every_number_of_a_finding_has_its_runs(name):
    paper = papers.paper(name)
    kept = sorted((ROOT / "recipes" / "results" / name).glob("*.jsonl"))
    assert 1 <= len(paper.findings) <= 3, "at most three findings a paper"
    findings.lines(study(pooling.load(kept), paper), strict=True)


@pytest.mark.parametrize("name", papers.names())
def test_every_deviation_is_in_the_code(name):
    for deviation in papers.paper(name).deviations:
        path, line = findings.line_of(deviation, ROOT)
        assert (
            deviation.code.rsplit(".", 1)[-1].split("#")[-1]
            in ((ROOT / path).read_text().splitlines()[line - 1])
        )


def test_the_line_of_a_symbol(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\nclass A:\n    y: int = 2\nclass B:\n    y = 3\n")
    (tmp_path / "b.sh").write_text('#!/bin/sh\nruns() {\nEPOCHS="${EPOCHS:-3}"\n')
    at = {"a.py#x": 1, "a.py#A.y": 3, "a.py#B.y": 5, "b.sh#runs": 2, "b.sh#EPOCHS": 3}
    for code, line in at.items():
        assert findings.line_of(Deviation(text="", code=code), tmp_path)[1] == line
    for gone in ("a.py#z", "a.py#A.z", "c.py#x"):
        with pytest.raises(InputError, match=f"deviation {gone}"):
            findings.line_of(Deviation(text="", code=gone), tmp_path)
