"""`report --headlines`: the numbers that a paper is known for, each beside ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_reports import report, speech, write
from sklearn import metrics as reference

from sertool.core.errors import InputError
from sertool.papers import papers

PAPER = """
title = "A paper"
authors = "A. Author"
published = "nowhere, 2020"
about = "What it is about."
corpora = ["toy"]

cells = [
  { table = "1", tags = { network = "cnn", measure = "accuracy" }, value = 53.00, unit = "%", note = "odd" },
  { table = "1", tags = { network = "cnn", measure = "uar" }, value = 50, unit = "%" },
  { table = "2", tags = { network = "cnn", measure = "accuracy" }, value = 54, unit = "%" },
  { table = "2", tags = { network = "lstm", measure = "accuracy" }, value = 61.0, unit = "%" },
]

[[headline]]
text = "wide network"
table = "1"
tags = { network = "cnn", measure = "accuracy" }
on = "toy corpus"
run = { variant = "wide", kept = "" }
protocol = "random"

[[headline]]
text = "other table"
table = "2"
tags = { network = "cnn", measure = "accuracy" }
on = "toy corpus"
run = { variant = "narrow" }
protocol = "texts"

[[headline]]
text = "recurrent network"
table = "2"
tags = { network = "lstm", measure = "accuracy" }
on = "toy corpus"
run = {}
protocol = "random"

[[protocol]]
tag = "random"
column = "paper's protocol"
text = "at random"

[[protocol]]
tag = "texts"
column = "by sentence"
text = "another reading of the paper"

[[protocol]]
tag = "copies"
column = "copies before the split"
text = "leaky"
leaky = true

[[protocol]]
tag = "speakers"
column = "leak-free"
text = "speakers apart"
requires = ["speaker_disjoint", "origin_disjoint"]

[[table]]
id = "1"
title = "Accuracy"
where = "section 1"

[[table]]
id = "2"
title = "More"
where = "section 2"
"""  # noqa: E501


TAGS = {"network": "cnn", "variant": "wide"}


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(PAPER)
    return path


@pytest.fixture
def measured(tmp_path):
    """Write reports of two variants under several protocols; return paths and accuracies."""
    paths, found = [], {}
    for n, (variant, tag) in enumerate(
        [("wide", "random"), ("wide", "speakers"), ("narrow", "texts")]
    ):
        made = speech(n + 3)
        found[variant, tag] = reference.accuracy_score(made.truth, made.predicted)
        tags = {"network": "cnn", "variant": variant, "protocol": tag}
        given = report(made, tags, apart=tag == "speakers")
        paths.append(write(tmp_path / f"{n}.json", given))
    return paths, found


def rows(text: str) -> list[dict[str, str]]:
    """Return a table's rows by their columns; the two linear ones are told apart by their place."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    header = [f"{name} {i}" if name == "linear" else name for i, name in enumerate(split[0])]
    return [dict(zip(header, line, strict=True)) for line in split[2:]]


def test_a_headline_has_its_cell_and_its_own_columns(cli: Any, own, measured) -> None:
    paths, found = measured
    result = cli("report", "--paper", own, "--headlines", "--format", "markdown", *paths)
    assert result.code == 0
    wide, other = rows(result.out)
    assert [wide[key] for key in ("what", "on", "figure", "printed")] == [
        "wide network",
        "toy corpus",
        "WA, %",
        "53.00",
    ]
    assert wide["by its protocol"].startswith(f"{100 * found['wide', 'random']:.1f} [")
    assert wide["leak-free"].startswith(f"{100 * found['wide', 'speakers']:.1f} [")
    assert wide["n (seeds × folds)"] == "160 (1 × 1)"
    assert other["printed"] == "54"
    assert other["by its protocol"].startswith(f"{100 * found['narrow', 'texts']:.1f} [")
    assert other["leak-free"] == ""
    assert "Not run: 1 more of these printed numbers." in result.out


def test_the_linear_baseline_is_in_the_row(cli: Any, own, tmp_path) -> None:
    made = [speech(3), speech(4)]
    paths = [
        write(tmp_path / f"{tag}.json", report(each, TAGS | {"protocol": tag}, apart=n == 1))
        for n, (tag, each) in enumerate(zip(("random", "speakers"), made, strict=True))
    ]
    row = rows(cli("report", "--paper", own, "--headlines", "--format", "markdown", *paths).out)[0]
    linear = [reference.accuracy_score(each.truth, each.linear.argmax(1)) for each in made]
    assert [row[key] for key in row if key.startswith("linear")] == [
        f"{100 * each:.1f}" for each in linear
    ]


def test_what_leaks_on_purpose_has_a_column_of_its_own(cli: Any, own, tmp_path) -> None:
    leaky = speech(5)
    paths = [
        write(tmp_path / "a.json", report(speech(3), TAGS | {"protocol": "random"})),
        write(tmp_path / "b.json", report(leaky, TAGS | {"protocol": "copies"})),
    ]
    row = rows(cli("report", "--paper", own, "--headlines", "--format", "markdown", *paths).out)[0]
    wanted = reference.accuracy_score(leaky.truth, leaky.predicted)
    assert row["copies before the split"].startswith(f"{100 * wanted:.1f} [")
    assert row["by its protocol"] != row["copies before the split"]


def test_tags_that_are_not_named_make_rows(cli: Any, tmp_path) -> None:
    path = tmp_path / "own.toml"
    every = 'table = "2"\ntags = { measure = "accuracy" }'
    path.write_text(
        PAPER.replace('table = "2"\ntags = { network = "lstm", measure = "accuracy" }', every)
    )
    paths = [
        write(tmp_path / f"{n}.json", report(speech(n), {"network": name, "protocol": "random"}))
        for n, name in enumerate(("cnn", "lstm"))
    ]
    result = cli("report", "--paper", path, "--headlines", "--format", "markdown", *paths)
    assert [row["what"] for row in rows(result.out)] == [
        "recurrent network: cnn",
        "recurrent network: lstm",
    ]


def test_values_are_those_of_the_table(cli: Any, own, measured) -> None:
    paths, found = measured
    result = cli("report", "--paper", own, "--headlines", "--format", "json", *paths)
    wide, other, recurrent = json.loads(result.out)["headlines"]
    assert (wide["paper"], wide["by_protocol"]["mean"]) == (53.0, found["wide", "random"])
    assert wide["leak_free"]["mean"] == found["wide", "speakers"]
    assert (other["protocol"], other["leak_free"]) == ("texts", None)
    assert recurrent["by_protocol"] is None


def test_the_leak_free_column_is_known_by_what_it_requires(cli: Any, tmp_path, measured) -> None:
    head, random, *others, rest = PAPER.split("[[protocol]]")
    speakers, tables = rest.split("[[table]]", 1)
    (tmp_path / "own.toml").write_text(
        "[[protocol]]".join([head, random, speakers, *others]) + "[[table]]" + tables
    )
    paths, found = measured
    own = tmp_path / "own.toml"
    result = cli("report", "--paper", own, "--headlines", "--format", "json", *paths)
    wide, other, _ = json.loads(result.out)["headlines"]
    assert wide["leak_free"]["mean"] == found["wide", "speakers"]
    assert (other["by_protocol"]["mean"], other["leak_free"]) == (found["narrow", "texts"], None)


def test_without_reports_the_papers_numbers_stand_alone(cli: Any, own) -> None:
    result = cli("report", "--paper", own, "--headlines", "--format", "markdown")
    assert [row["printed"] for row in rows(result.out)] == ["53.00", "54", "61.0"]
    assert {row["by its protocol"] for row in rows(result.out)} == {""}


def test_of_two_systems_the_one_that_was_tested_most(cli: Any, own, tmp_path) -> None:
    big, small = speech(1), speech(2, each=8)
    tags = {"network": "cnn", "variant": "wide", "protocol": "random"}
    paths = [
        write(tmp_path / f"{n}.json", report(made, tags | {"hop": str(n)}))
        for n, made in enumerate((small, big))
    ]
    result = cli("report", "--paper", own, "--headlines", "--format", "markdown", *paths)
    wanted = 100 * reference.accuracy_score(big.truth, big.predicted)
    assert rows(result.out)[0]["by its protocol"].startswith(f"{wanted:.1f} [")


def test_a_tag_that_must_not_be_there(cli: Any, own, tmp_path) -> None:
    """Last weights that were tested on more are not what the headline names."""
    tags = TAGS | {"protocol": "random"}
    best, last = speech(1, each=8), speech(2)
    paths = [
        write(tmp_path / "best.json", report(best, tags)),
        write(tmp_path / "last.json", report(last, tags | {"kept": "last"})),
    ]
    result = cli("report", "--paper", own, "--headlines", "--format", "markdown", *paths)
    wanted = 100 * reference.accuracy_score(best.truth, best.predicted)
    assert rows(result.out)[0]["by its protocol"].startswith(f"{wanted:.1f} [")


def test_it_is_a_papers(cli: Any) -> None:
    result = cli("report", "--headlines")
    assert result.code == 2
    assert "--headlines: of which paper? name it with --paper" in result.err
    both = cli("report", "--headlines", "--paper", "sundharam", "--compare", "a.json")
    assert both.code == 2


@pytest.mark.parametrize("name", papers.names())
def test_every_paper_is_known_for_something(cli: Any, name: str) -> None:
    result = cli("report", "--paper", name, "--headlines", "--format", "markdown")
    assert rows(result.out)


FIRST = 'table = "1"\ntags = { network = "cnn", measure = "accuracy" }'
BROKEN = {
    "no such cell": (FIRST, FIRST.replace("cnn", "rnn")),
    "cell of another table": (FIRST, FIRST.replace('"1"', '"2"').replace("accuracy", "uar")),
    "no measure": (FIRST, FIRST.replace(', measure = "accuracy"', "")),
    "unknown protocol": ('protocol = "texts"', 'protocol = "moon"'),
    "leaky protocol": ('protocol = "texts"', 'protocol = "copies"'),
    "no text": ('text = "wide network"\n', ""),
    "no run": ('run = { variant = "wide", kept = "" }\n', ""),
    "run a text": ('run = { variant = "wide", kept = "" }', 'run = "wide"'),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_broken_files_say_where(tmp_path, damage: str) -> None:
    old, new = BROKEN[damage]
    assert PAPER.count(old) == 1
    path = tmp_path / "own.toml"
    path.write_text(PAPER.replace(old, new))
    with pytest.raises(InputError, match=r"own\.toml: headline \d: "):
        papers.load(path)
