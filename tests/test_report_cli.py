"""`sertool report` as a command: formats, exit codes, comparisons, and files that cannot serve."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from made_reports import CLASSES, report, speech, write
from markdown_it import MarkdownIt
from sklearn import metrics as reference

from sertool import metrics
from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.papers import comparing, comparison, pages, papers, study_json
from sertool.papers import reporting as stage
from sertool.papers.ranking import holm
from sertool.ui import tables
from sertool.ui.console import Console
from sertool.ui.tables import render

FORMATS = ("table", "markdown", "json")


@pytest.fixture
def files(tmp_path):
    """Write reports as 0.json, 1.json, … and return their paths."""

    def made(*reports):
        return [write(tmp_path / f"{i}.json", r) for i, r in enumerate(reports)]

    return made


def refused(result, code, *words):
    """Check for an exit code with one line, on standard error alone."""
    assert result.code == code, result.err
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert result.err.startswith("sertool report: ")
    for word in words:
        assert word in result.err


def whole(text):
    """Return JSON text as values; NaN and infinity are refused."""
    return json.loads(text, parse_constant=pytest.fail)


def grids(text):
    """Return every table that a reader of Markdown finds, as rows of cells without their signs.

    Each line must itself have as many cells as the header: a reader adds or drops what differs.
    """
    lines = [line for line in text.splitlines() if line.startswith("|")]
    tables, inside = [], 0
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token, content in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
            inside += 1
        elif token.type in ("th_open", "td_open"):
            parts = [c.content for c in content.children if c.type in ("text", "text_special")]
            tables[-1][-1].append("".join(parts))
    assert len(lines) == inside + len(tables)
    for table in tables:
        bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", lines.pop(0))) for _ in [*table, "rule"]]
        assert set(bars) == {len(table[0]) + 1}
    return tables


def folded(made, n=3, tags=None, **given):
    number = np.arange(len(made.truth)) % n
    return [report(made.only(number == f), tags, fold=f, **given) for f in range(n)]


# --- formats ---


def test_folds_and_seeds_become_one_line(cli, files):
    runs = [speech(seed) for seed in (0, 1)]
    paths = files(*(r for s, made in enumerate(runs) for r in folded(made, seed=s)))
    result = cli("report", *paths, "--format", "markdown")
    assert (result.code, result.err) == (0, "")
    ((header, ours, linear, majority),) = grids(result.out)
    assert header[:6] == ["model", "epochs", "system", "WA", "UAR", "macro-F1"]
    assert header[-1] == "runs"
    assert ours[:3] == ["network", "30", "model"]
    assert ours[-1] == "2 seeds × 3 folds"
    rates = (
        reference.accuracy_score,
        reference.balanced_accuracy_score,
        lambda t, p: reference.f1_score(t, p, average="macro"),
    )
    for system, line in (("posterior", ours), ("linear", linear)):
        for cell, rate in zip(line[3:6], rates, strict=True):
            each = [rate(made.truth, getattr(made, system).argmax(1)) for made in runs]
            mean, sd = 100 * np.mean(each), 100 * np.std(each, ddof=1)
            assert re.match(rf"{mean:.1f} ± {sd:.1f} \[[\d.]+, [\d.]+\]", cell)
    assert majority[2] == "majority"


@pytest.mark.parametrize("paper", [None, "sundharam"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_tells_the_same(cli, files, form, paper):
    tags = {"network": "cnn", "feature": "mfcc", "gender": "male", "protocol": "random"}
    made = [speech(seed) for seed in (0, 1)]
    paths = files(*(report(m, tags, seed=s, apart=False) for s, m in enumerate(made)))
    arguments = [*paths, "--format", form, *(["--paper", paper] if paper else [])]
    result = cli("report", *arguments)
    assert (result.code, result.err) == (0, "")
    accuracy = np.mean([(m.truth == m.predicted).mean() for m in made])
    if form == "json":
        values = whole(result.out)
        assert (values["format"], values["paper"]) == ("sertool-study", paper)
        run = values["systems"][0]["protocols"]["random"]
        assert run["accuracy"]["mean"] == pytest.approx(accuracy)
        assert bool(values["tables"]) is bool(paper)
    else:
        assert f"{100 * accuracy:.1f} ± " in result.out
        assert "speakers apart: NO" in " ".join(result.out.split())
    if form == "markdown":
        assert grids(result.out)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("paper", papers.names())
def test_a_paper_alone(cli, paper, form):
    result = cli("report", "--paper", paper, "--format", form)
    assert (result.code, result.err) == (0, "")
    if form == "json":
        values = whole(result.out)
        assert values["systems"] == []
        rows = [row for table in values["tables"] for row in table["rows"]]
        assert len(rows) == len(papers.paper(paper).cells)
        assert not any(row["measured"] for row in rows)
    else:
        assert "not run" in result.out
        assert grids(result.out) == [] or form == "table"


def test_a_paper_of_ones_own(cli, tmp_path, files):
    own = tmp_path / "mine.toml"
    own.write_text(
        'title = "T"\nauthors = "A"\npublished = "P"\nabout = "B"\ncorpora = []\n'
        'table = [{ id = "1", title = "t", where = "w" }]\n'
        'cells = [{ table = "1", tags = { network = "x", measure = "uar" }, value = 7.50,'
        ' unit = "%" }]\n'
    )
    (path,) = files(report(speech(), {"network": "x"}))
    result = cli("report", path, "--paper", own, "--format", "markdown")
    assert (result.code, result.err) == (0, "")
    assert grids(result.out)[0][1][:3] == ["x", "30", "UAR, %"]
    assert grids(result.out)[0][1][3] == "7.50"
    own.write_text("title =")
    refused(cli("report", path, "--paper", own), 3, "mine.toml", "not TOML")


ODD_TAGS = {
    "pipes": "a|b||c",
    "newlines": "a\nb\r\n\nc",
    "stars": "*a* **b**",
    "backslashes": "a\\|b\\",
    "markup": "[bold]a[/bold]",
    "closed markup": "[/x]",
    "dashes": "---",
    "long": "feature" * 40,
    "wide": "情感 émotion",
    "empty": "",
    "brackets": "<mel>",
    "underscores": "_mel_ __x__",
    "code": "`mel`",
    "link": "[mel](x)",
}


@pytest.mark.parametrize("tag", ODD_TAGS)
def test_odd_tags_leave_a_markdown_table_whole(cli, files, tag):
    text = ODD_TAGS[tag]
    tags = {"feature": text, "protocol": text, text or "k": "1"}
    paths = files(report(speech(), tags), report(speech(1), {"feature": "plain"}))
    result = cli("report", *paths, "--format", "markdown")
    assert (result.code, result.err) == (0, "")
    (table,) = grids(result.out)
    plain = {" ".join(text.split()), show(text)}  # a line break is a space, or escaped
    for key in ("feature", "protocol") if text else ("feature",):
        at = table[0].index(key)
        assert {row[at] for row in table[1:4]} <= plain
    assert (plain if text else {"k"}) & set(table[0])


def test_odd_tags_beside_a_paper(cli, files):
    tags = {"feature": "a|b\nc", "protocol": "d|e\nf", "network": "cnn"}
    result = cli(
        "report", *files(report(speech(), tags)), "--paper", "sundharam", "--format", "markdown"
    )
    assert (result.code, result.err) == (0, "")
    tables = grids(result.out)
    assert any({"d|e f", "d|e\\nf"} & set(table[0]) for table in tables)
    assert any({"a|b c", "a|b\\nc"} & set(row) for table in tables for row in table)


@pytest.mark.parametrize("tag", ODD_TAGS)
def test_odd_tags_in_a_table(cli, files, tag, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = ODD_TAGS[tag]
    made = speech(speakers=6, each=4)
    paths = files(*(report(made, {"feature": name}, baselines=()) for name in (text, "p")))
    for arguments in ([], ["--compare"]):
        result = cli("report", *paths, *arguments)
        assert (result.code, result.err) == (0, "")
        for word in text.split():
            assert word in result.out


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("tag", ["\x1b[31mred\x1b[0m", "a\x07b", "\udce9"])
def test_tags_do_nothing_to_the_terminal(cli, files, tag, form):
    """Control characters and what is no UTF-8 are escaped, as in names of files."""
    made = speech(speakers=6, each=4)
    paths = files(*(report(made, {"feature": name}, baselines=()) for name in (tag, "p")))
    result = cli("report", *paths, "--format", form)
    assert (result.code, result.err) == (0, "")
    assert not set(result.out) & {"\x1b", "\x07"}


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
@pytest.mark.parametrize("arguments", [[], ["--compare"], ["--paper", "sundharam"]])
def test_a_table_fits_the_terminal(cli, files, monkeypatch, columns, arguments):
    monkeypatch.setenv("COLUMNS", str(columns))
    tags = {"network": "cnn", "feature": "mfcc", "gender": "male", "protocol": "random"}
    (path,) = files(report(speech(), tags, apart=False))
    result = cli("report", path, *arguments)
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out
    if columns >= 40:
        assert max(map(len, result.out.splitlines())) <= columns
    assert "…" not in result.out


def test_numbers_are_not_broken_at_eighty_columns(cli, files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tags = {"network": "cnn", "feature": "mfcc", "gender": "male", "protocol": "random"}
    made = [speech(seed) for seed in (0, 1)]
    (first, second) = files(*(report(m, tags, seed=s, apart=False) for s, m in enumerate(made)))
    result = cli("report", first, second, "--paper", "sundharam")
    accuracy = np.mean([(m.truth == m.predicted).mean() for m in made])
    assert f"{100 * accuracy:.1f} ± " in result.out


def test_quiet_in_a_pipe_and_nothing_heavy_is_loaded(files):
    (path,) = files(report(speech()))
    heavy = {"torch", "librosa", "sklearn", "matplotlib", "soundfile", "h5py", "scipy"}
    code = (
        "import sys\nfrom sertool.cli import main\n"
        f"code = main(['report', {str(path)!r}])\n"
        f"loaded = {heavy!r} & set(sys.modules)\n"
        "print(loaded or '', file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert max(map(len, done.stdout.splitlines())) <= 100


# --- what pools, and what does not ---


def test_the_same_test_twice(cli, files):
    made = speech()
    one, two = files(*(report(made, {"feature": "mel"}, fold=1) for _ in range(2)))
    refused(cli("report", one, two), 3, str(one), str(two), "--tag")
    refused(cli("report", one, one), 3, str(one))


def test_other_classes_under_the_same_tags(cli, files):
    names = ("anger", "calm", "neutral", "sadness")
    reports = (report(speech(), fold=0), report(speech(classes=names), fold=1))
    one, two = files(*reports)
    refused(cli("report", one, two), 3, str(one), str(two), "classes")


def test_other_training_is_said_and_pooled(cli, files):
    reports = folded(speech(), 2, {"feature": "mel"})
    reports[1]["lineage"][1]["params"]["hyperparameters"]["precision"] = "bfloat16"
    paths = files(*reports)
    for quiet in ([], ["--quiet"]):
        result = cli("report", *paths, "--format", "json", *quiet)
        assert result.code == 0
        assert result.err.count("\n") == 1
        assert "hyperparameters.precision" in result.err
        assert len(whole(result.out)["systems"]) == 1
    assert "hyperparameters.precision" in cli("report", "--compare", *paths).err


def test_other_models_and_conditions_are_systems_of_their_own(cli, files):
    made = speech()
    paths = files(
        *folded(made, 2),
        *folded(made, 2, conditions={"noise_snr": 10.0}),
        *folded(made, 2, model="linear"),
    )
    result = cli("report", *paths, "--format", "markdown")
    ((header, *rows),) = grids(result.out)
    assert header[:3] == ["model", "epochs", "noise_snr"]
    assert [row[:3] for row in rows if row[3] == "model"] == [
        ["network", "30", ""],
        ["network", "30", "10"],
        ["linear", "30", ""],
    ]
    assert [row[3] for row in rows if row[0] == "linear"] == ["model", "majority"]


def test_a_report_of_the_wrong_column(cli, files):
    tags = {"network": "cnn", "feature": "mfcc", "gender": "male", "protocol": "speakers"}
    (path,) = files(report(speech(), tags, apart=False))
    words = (str(path), "protocol=speakers", "speaker-disjoint")
    refused(cli("report", path, "--paper", "sundharam"), 3, *words)
    assert cli("report", path).code == 0


# --- comparisons ---


def compared(cli, *arguments):
    result = cli("report", "--compare", *arguments, "--format", "json")
    assert (result.code, result.err) == (0, "")
    return whole(result.out)["pairs"]


def test_two_systems(cli, files):
    one, two = speech(0), speech(1)
    paths = files(report(one, {"feature": "mel"}), report(two, {"feature": "mfcc"}))
    (pair,) = compared(cli, *paths)
    assert pair["systems"] == ["mel", "mfcc"]
    assert (pair["n_speakers"], pair["n_tested"]) == (10, 160)
    accuracy = pair["figures"]["accuracy"]
    wanted = [reference.accuracy_score(m.truth, m.predicted) for m in (one, two)]
    assert [v["mean"] for v in accuracy["systems"]] == pytest.approx(wanted)
    assert accuracy["difference"]["value"] == pytest.approx(wanted[0] - wanted[1])
    low, high = accuracy["difference"]["ci"]
    assert low <= accuracy["difference"]["value"] <= high
    assert 0 < accuracy["difference"]["p"] <= 1
    (grid,) = grids(cli("report", "--compare", *paths, "--format", "markdown").out)
    assert grid[0] == ["", "mel", "mfcc", "difference", "p", "d"]
    assert [row[0] for row in grid[1:]] == [
        *("WA, %", "UAR, %", "macro-F1, %"),
        *("kappa", "MCC"),
        *("ECE", "Brier", "cross-entropy"),
    ]
    assert grid[1][3].startswith(f"{100 * (wanted[0] - wanted[1]):+.1f} [")


def test_packed_reports_are_read_as_they_were(cli, files, tmp_path):
    paths = files(*(report(speech(seed), {"n": "a"}, seed=seed) for seed in range(3)))
    packed = tmp_path / "runs.jsonl"
    done = cli("report", *paths[:2], "--pack", packed)
    assert (done.code, done.out) == (0, "")
    assert len(packed.read_text().splitlines()) == 2
    refused(cli("report", paths[2], "--pack", packed), 3, "exists")
    assert cli("report", packed, paths[2], "--pack", packed, "--force").code == 0
    lines = packed.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(p.read_text()) for p in paths]
    for form in FORMATS:
        alone, together = (cli("report", *p, "--format", form) for p in (paths, [packed]))
        assert alone.out == together.out
    described = cli("info", packed)
    assert "3 reports" in described.out
    assert described.out.count("n=a") == 3
    listed = cli("info", packed, "--items").out.splitlines()
    assert [json.loads(line) for line in listed] == [json.loads(line) for line in lines]
    packed.write_text("\n".join([lines[0], "{}", lines[1]]))
    refused(cli("report", packed), 3, "runs.jsonl:2: not a sertool report")
    (tmp_path / "bad.json").write_text("{}")
    refused(cli("report", tmp_path / "bad.json", "--pack", tmp_path / "new.jsonl"), 3, "bad.json")
    assert not (tmp_path / "new.jsonl").exists()


def test_a_metric_from_another_package(cli, files, tmp_path, monkeypatch):
    """One entry point: it is in the tables, the JSON, the intervals and the comparison."""
    (tmp_path / "g_mean.py").write_text(
        "import numpy as np\nfrom sertool.metrics import Metric, recalls\n"
        "def compute(matrix):\n    return np.exp(np.log(recalls(matrix) + 1e-9).mean(-1))\n"
        'G_MEAN = Metric("g_mean", compute, "G-mean")\n'
    )
    info = tmp_path / "g_mean-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: g-mean\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sertool.metrics]\ng_mean = g_mean:G_MEAN\n")
    monkeypatch.syspath_prepend(tmp_path)
    metrics.known.cache_clear()
    try:
        one, two = files(report(speech(0), {"n": "a"}), report(speech(1), {"n": "b"}))
        made = json.loads(one.read_text())
        wanted = np.prod([row["recall"] for row in made["per_class"].values()]) ** 0.25
        assert made["g_mean"] == pytest.approx(wanted)
        assert made["ci"]["g_mean"][0] < made["g_mean"] < made["ci"]["g_mean"][1]
        assert made["folds"][0]["g_mean"] == made["g_mean"]
        assert f"{100 * made['g_mean']:.1f} [" in cli("info", one).out
        assert "G-mean" in cli("report", one).out
        (pair,) = compared(cli, one, two)
        assert pair["figures"]["g_mean"]["systems"][0]["mean"] == pytest.approx(wanted)
    finally:
        metrics.known.cache_clear()


def test_folds_on_both_sides(cli, files):
    one, two = speech(0), speech(1)
    paths = files(*folded(one, 3, {"n": "a"}), *folded(two, 2, {"n": "b"}))
    single = files(report(one, {"n": "a"}), report(two, {"n": "b"}))
    paths = files(*folded(one, 3, {"n": "a"}), *folded(two, 2, {"n": "b"}))
    split = compared(cli, *paths)
    single = files(report(one, {"n": "a"}), report(two, {"n": "b"}))
    whole = compared(cli, *single)
    for pair in (*split, *whole):  # sums of numbers that are not whole depend on their order
        for name in ("ece", "brier", "log_loss"):
            pair["figures"][name] = rounded(pair["figures"][name])
    assert split == whole


def rounded(values):
    return json.loads(json.dumps(values), parse_float=lambda text: round(float(text), 9))


def test_a_single_run_stands_beside_every_seed(cli, files):
    one, several = speech(9), [speech(i) for i in range(3)]
    seeds = [report(made, {"n": "a"}, seed=i) for i, made in enumerate(several)]
    for order in (1, -1):
        (pair,) = compared(cli, *files(*[*seeds, report(one, {"n": "b"}, seed=7)][::order]))
        uar = pair["figures"]["uar"]
        own = [reference.balanced_accuracy_score(m.truth, m.predicted) for m in [*several, one]]
        assert uar["difference"]["value"] == pytest.approx(order * (np.mean(own[:3]) - own[3]))
    two = [report(speech(5 + i), {"n": "b"}, seed=i) for i in range(2)]
    refused(cli("report", "--compare", *files(*seeds, *two)), 3, "seeds 0, 1, 2, the other 0, 1")


def test_a_system_with_itself(cli, files):
    one, two = files(*(report(speech(), {"n": "a"}) for _ in range(2)))
    for paths in ((one, two), (one, one)):
        (pair,) = compared(cli, *paths)
        assert pair["systems"] == [str(path) for path in paths]
        for figure in pair["figures"].values():
            assert figure["difference"] == {"value": 0.0, "ci": [0.0, 0.0], "p": 1.0}


def test_one_system_with_its_baselines(cli, files):
    made = speech()
    for reports in ([report(made)], folded(made, 3)):
        pairs = compared(cli, *files(*reports))
        assert [pair["systems"] for pair in pairs] == [
            ["network", "linear"],
            ["network", "majority"],
        ]
        linear = reference.balanced_accuracy_score(made.truth, made.linear.argmax(1))
        difference = pairs[0]["figures"]["uar"]["difference"]["value"]
        ours = reference.balanced_accuracy_score(made.truth, made.predicted)
        assert difference == pytest.approx(ours - linear)
        assert pairs[1]["figures"]["uar"]["systems"][1]["mean"] == 1 / len(CLASSES)
    (pair,) = compared(cli, *files(report(made, model="linear")))
    assert pair["systems"] == ["linear", "majority"]


def test_one_system_without_baselines_has_nothing_to_be_compared_with(cli, files):
    (path,) = files(report(speech(), baselines=()))
    refused(cli("report", "--compare", path), 2)


OTHERS = {
    "another speaker": ({"speakers": 9}, {}, "toy/s09"),
    "more recordings": ({"each": 17}, {}, "recordings"),
    "other classes": ({"classes": ("anger", "calm", "fear", "joy")}, {}, "classes"),
    "unknown speakers": ({"unknown": (2,)}, {}, "unknown"),
    "another seed": ({}, {"seed": 1}, "seeds"),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_no_pair(cli, files, other, turned):
    said, given, word = OTHERS[other]
    paths = files(report(speech(), {"n": "left"}), report(speech(**said), {"n": "right"}, **given))
    result = cli("report", "--compare", *(paths[::-1] if turned else paths))
    refused(result, 3, "left", "right", word)


def test_three_systems(cli, files, tmp_path):
    made = [speech(i) for i in range(3)]
    paths = files(*(report(m, {"n": name}) for m, name in zip(made, "abc", strict=True)))
    found = cli("report", "--compare", *paths, "--format", "json", "--figures", tmp_path / "f")
    values = whole(found.out)
    assert [pair["systems"] for pair in values["pairs"]] == [["a", "b"], ["a", "c"], ["b", "c"]]
    uars = {
        n: reference.balanced_accuracy_score(m.truth, m.predicted)
        for n, m in zip("abc", made, strict=True)
    }
    ranked = values["ranking"]["systems"]
    assert {each["name"]: each["value"]["mean"] for each in ranked} == pytest.approx(uars)
    means = [each["mean_rank"] for each in ranked]
    assert means == sorted(means)
    assert sum(means) == pytest.approx(6)
    alone = [compared(cli, paths[i], paths[j])[0] for i, j in ((0, 1), (0, 2), (1, 2))]
    for pair, own in zip(values["pairs"], alone, strict=True):
        for name, figure in own["figures"].items():
            assert figure["difference"] == pair["figures"][name]["difference"]
    ps = [pair["figures"]["uar"]["difference"]["p"] for pair in values["pairs"]]
    assert [p["figures"]["uar"]["p_holm"] for p in values["pairs"]] == pytest.approx(holm(ps))
    best = max(uars, key=uars.get)
    assert values["sentence"].startswith(f"On the same 160 recordings of 10 speakers, {best} has")
    assert (tmp_path / "f/critical-difference.png").read_bytes().startswith(b"\x89PNG")
    for form in ("markdown", "latex", "table"):
        shown = cli("report", "--compare", *paths, "--format", form)
        assert (shown.code, shown.err) == (0, "")
        assert values["sentence"][:40] in " ".join(shown.out.split())


def test_ranks_are_of_three_systems_or_more(cli, files, tmp_path):
    paths = files(*(report(speech(i), {"n": name}) for i, name in enumerate("ab")))
    found = cli("report", "--compare", *paths, "--figures", tmp_path / "f")
    assert (found.code, found.err.count("\n")) == (0, 1)
    assert "three systems or more" in found.err


def test_latex_has_no_command_of_a_name(cli, files):
    names = ["a_b", "50%&$#", "\\input{x}~^"]
    paths = files(*(report(speech(i), {"n": name}) for i, name in enumerate(names)))
    out = cli("report", "--compare", *paths, "--format", "latex").out
    assert r"a\_b &" in out
    assert r"50\%\&\$\# &" in out
    assert r"\textbackslash{}input\{x\}\textasciitilde{}\textasciicircum{} &" in out


def test_few_speakers_are_no_comparison(cli, files):
    paths = files(*(report(speech(i, speakers=1), {"n": "ab"[i]}) for i in range(2)))
    refused(cli("report", "--compare", *paths), 3, "at least 5 speakers")


# --- wrong usage, and files that cannot serve ---


def test_wrong_usage(cli, files):
    (path,) = files(report(speech()))
    result = cli("report")
    assert result.code == 2
    assert "Usage: sertool report" in result.out
    refused(cli("report", "--paper", "nosuch"), 2, "nosuch", *papers.names())
    refused(cli("report", path, "--format", "html"), 2, "html", "markdown")
    refused(cli("report", path, "--paper", "sundharam", "--compare"), 2, "--compare")
    refused(cli("report", "--compare"), 2, "--compare")
    refused(cli("report", "--quiet"), 2, "--paper")
    refused(cli("report", path, "--nosuch"), 2, "--nosuch")


@pytest.mark.parametrize("compare", [[], ["--compare"]])
def test_files_that_are_no_report(cli, tmp_path, files, compare):
    (good,) = files(report(speech()))
    text = good.read_text()
    wrong = {
        "empty.json": b"",
        "cut.json": text[: len(text) // 2].encode(),
        "list.json": b"[]",
        "number.json": b"7",
        "other.json": b'{"format": "sertool-store"}',
        "bytes.json": b"\xff\xfe\x00\x01",
        "wave.json": b"RIFF\x00\x00\x00\x00WAVE",
    }
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
        refused(cli("report", *compare, good, tmp_path / name), 3, name)
    refused(cli("report", *compare, good, tmp_path / "none.json"), 3, "none.json")
    refused(cli("report", *compare, good, tmp_path), 3, str(tmp_path))
    newer = json.loads(text) | {"version": 99}
    refused(cli("report", *compare, write(tmp_path / "new.json", newer)), 3, "new.json", "newer")


@pytest.mark.parametrize("options", [[], ["--compare"], ["--pack", "packed.jsonl"]])
def test_runs_that_are_no_reports(cli, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "runs.jsonl"
    for text, said in [
        ("", "holds no report"),
        ("\n", "holds no report"),
        (json.dumps({"format": "sertool-report", "version": 1, "kind": []}), "kind []"),
        (json.dumps({"format": "sertool-report", "version": 1, "kind": "\ud800"}), "ud800"),
    ]:
        path.write_text(text)
        refused(cli("report", *options, path), 3, "runs.jsonl", said)


def test_nested_without_end(cli, tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    refused(cli("report", path), 3, "deep.json")


def changed(made, *place, value):
    """Return a copy of a report with one value replaced, or taken away where it is MISSING."""
    other = copy.deepcopy(made)
    at = other
    for key in place[:-1]:
        at = at[key]
    if value is MISSING:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    return other


MISSING = "(missing)"

SPEAKER = ("by", "speaker", "toy/s00")
DAMAGES = [
    (("tags",), ["feature", "mel"]),
    (("tags",), "feature"),
    (("tags",), 7),
    (("by",), []),
    (("by",), None),
    (("by", "speaker"), []),
    (("by", "speaker"), [1]),
    (("by", "speaker"), "toy/s00"),
    (SPEAKER, None),
    (SPEAKER, 7),
    (SPEAKER, []),
    ((*SPEAKER, "confusion"), MISSING),
    ((*SPEAKER, "confusion"), None),
    ((*SPEAKER, "confusion"), []),
    ((*SPEAKER, "confusion"), "x"),
    ((*SPEAKER, "confusion"), [[1, 2], [3, 4]]),
    ((*SPEAKER, "confusion"), [[1, 2], [3]]),
    ((*SPEAKER, "confusion"), [["a"] * 4] * 4),
    ((*SPEAKER, "confusion"), [[1.5] * 4] * 4),
    ((*SPEAKER, "confusion"), [[-1] * 4] * 4),
    ((*SPEAKER, "confusion"), [[1000] * 4] * 4),
    (("by", "gender"), ["male"]),
    (("by", "gender", "male"), []),
    (("by", "gender", "male"), [7]),
    (("by", "gender", "male", "n"), MISSING),
    (("by", "gender", "male", "n"), "many"),
    (("by", "gender", "male", "confusion"), MISSING),
    (("by", "gender", "male", "confusion"), [[1]]),
    (("confusion",), []),
    (("confusion",), [[1, 2]]),
    (("confusion",), [["a"] * 4] * 4),
    (("confusion",), [[None] * 4] * 4),
    (("confusion",), [[1.5] * 4] * 4),
    (("classes",), []),
    (("classes",), [1, 2, 3, 4]),
    (("classes",), ["anger", "anger", "anger", "anger"]),
    (("classes",), ["anger"]),
    (("classes",), [["anger"], [], {}, None]),
    (("folds",), []),
    (("folds",), [7]),
    (("folds",), ["m.ckpt"]),
    (("folds",), [None]),
    (("folds", 0, "fold"), [0]),
    (("folds", 0, "n"), "many"),
    (("folds", 0, "training"), 7),
    (("folds", 0, "training"), {}),
    (("folds", 0, "training", "epoch"), []),
    (("folds", 0, "training", "epoch"), [1, 1, 1]),
    (("folds", 0, "training", "epoch"), [3, 2, 1]),
    (("folds", 0, "training", "epoch"), [0, 1, 2]),
    (("folds", 0, "training", "epoch"), ["1", "2", "3"]),
    (("folds", 0, "training", "best_epoch"), None),
    (("folds", 0, "training", "best_epoch"), 99),
    (("folds", 0, "training", "best_epoch"), -1),
    (("folds", 0, "training", "loss"), MISSING),
    (("folds", 0, "training", "loss"), None),
    (("folds", 0, "training", "loss"), [1.0]),
    (("folds", 0, "training", "loss"), [1.0, "x", 1.0]),
    (("folds", 0, "training", "loss"), [1.0, float("nan"), 1.0]),
    (("folds", 0, "training", "val_loss"), None),
    (("folds", 0, "training", "val_loss"), "low"),
    (("folds", 0, "training", "val_uar"), [1, 2]),
    (("lineage",), None),
    (("lineage",), {}),
    (("lineage",), "train"),
    (("lineage",), [7]),
    (("lineage",), 7),
    (("lineage", 1), {"stage": "train"}),
    (("lineage", 1, "params"), None),
    (("lineage", 1, "params"), [1]),
    (("lineage", 1, "params"), "x"),
    (("lineage", 1, "params", "hyperparameters"), [30]),
    (("lineage", 1, "params", "hyperparameters"), 7),
    (("lineage", 1, "params", "seed"), [1]),
    (("model",), "network"),
    (("model",), ["network"]),
    (("model",), None),
    (("model", "name"), 7),
    (("level",), 7),
    (("conditions",), ["noise"]),
    (("conditions",), "noise"),
    (("conditions",), {"noise_snr": "loud"}),
    (("conditions",), {"noise_snr": None}),
    (("baselines", "linear"), None),
    (("baselines", "linear"), []),
    (("baselines", "linear", "by"), MISSING),
    (("baselines", "linear", "by"), []),
    (("baselines", "linear", "confusion"), MISSING),
    (("baselines", "linear", "confusion"), [[1]]),
    (("baselines", "linear", "by", "speaker", "toy/s00", "confusion"), MISSING),
    (("per_class",), {}),
    (("per_class", "anger"), 7),
    (("per_class", "anger"), MISSING),
    (("per_class", "anger", "auc"), "high"),
    (("per_class", "anger", "support"), MISSING),
    (("per_class", "anger", "mean_probability"), MISSING),
    (("per_class", "anger", "mean_probability"), "high"),
    (("protocol", "files_split"), "many"),
    (("target",), 7),
    (("target",), ["corpus"]),
    (("log_loss",), "low"),
    (("log_loss",), [1]),
    (("log_loss",), None),
    (("log_loss",), MISSING),
    (("protocol",), {}),
    (("protocol", "n_train"), "many"),
    (("protocol", "n_train"), None),
    (("protocol", "speaker_disjoint"), [1]),
    (("protocol", "resplit"), ["random"]),
    (("accuracy",), None),
    (("uar",), MISSING),
    (("ci",), {}),
    (("version",), "1"),
]

OWN = """
title = "T"
authors = "A"
published = "P"
about = "B"
corpora = []
table = [{ id = "1", title = "t", where = "w" }]
cells = [
  { table = "1", tags = { n = "x", measure = "log_loss" }, value = 1, unit = "nats" },
  { table = "1", tags = { n = "x", measure = "weighted_auc" }, value = 1, unit = "1" },
  { table = "1", tags = { n = "x", class = "anger", measure = "auc" }, value = 1, unit = "1" },
  { table = "1", tags = { class = "anger", measure = "mean_probability" }, value = 1, unit = "1" },
  { table = "1", tags = { n = "x", measure = "train_log_loss" }, value = 1, unit = "nats" },
  { table = "1", tags = { n = "x", gender = "male", measure = "uar" }, value = 1, unit = "%" },
  { table = "1", tags = { n = "x", corpus = "toy", measure = "uar" }, value = 1, unit = "%" },
]
"""


@pytest.fixture(scope="module")
def sound():
    losses = [(2.0, 2.0), (1.5, 1.8), (1.2, 1.9)]
    return report(speech(speakers=6, each=8, corpora=("toy", "other")), {"n": "x"}, losses=losses)


@pytest.mark.parametrize(
    ("place", "value"), DAMAGES, ids=[f"{'.'.join(map(str, p))}={v}"[:50] for p, v in DAMAGES]
)
def test_a_damaged_report_is_one_line_or_does_no_harm(tmp_path, sound, place, value):
    """What a report needs not have may be missing; nothing ends in a traceback or in NaN."""
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    path = write(tmp_path / "r.json", changed(sound, *place, value=value))
    for paper in (None, str(own), "compare"):
        try:
            if paper == "compare":
                found = comparing.compare([path], Console.silent())
                page, values = comparison.page(found), comparison.json_values(found)
            else:
                made = stage.report([path], paper, Console.silent())
                page, values = pages.page(made), study_json.json_values(made)
        except InputError:
            continue
        assert "nan" not in render(*tables.terminal(page)) + tables.markdown(page)
        json.dumps(values, allow_nan=False)


BROKEN = [
    (("folds",), [1.0]),
    (("by", "gender"), "x"),
    (("by", "speaker", "toy/s00", "uar"), 1e300),
    (("baselines", "linear", "accuracy"), 10**40),
    (("baselines", "linear", "ci"), 3.7),
    (("per_class", "anger", "recall"), ["x"]),
    (("confusion", 0, 0), 2**63),
    (("confusion", 0, 0), 10**9),
    (("classes", 1), "anger"),
    (("tags",), {"n": float("inf")}),
    (("protocol", "n_train"), "many"),
]


@pytest.mark.parametrize(("place", "value"), BROKEN)
def test_a_broken_place_is_named_in_plain_words(cli, tmp_path, sound, place, value):
    path = write(tmp_path / "r.json", changed(sound, *place, value=value))
    said = cli("report", path)
    refused(said, 3, "r.json: a damaged report: ")
    assert not re.search("object|attribute|indices|format|convert", said.err)
    told = cli("info", path)
    assert (told.code, told.err) == (3, said.err.replace("sertool report", "sertool info"))


def test_half_a_surrogate_is_printed_as_json_escapes_it(cli, tmp_path, sound):
    path = write(tmp_path / "r.json", changed(sound, "tags", value={"n": "\udce9"}))
    said = cli("info", "--json", path)
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["report"]["tags"] == {"n": "\udce9"}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((*SPEAKER, "confusion"), [[-1] * 4] * 4),
        ((*SPEAKER, "confusion"), [[1000] * 4] * 4),
        (("confusion",), [[1] * 4] * 4),
        (("baselines", "linear", "confusion"), [[1] * 4] * 4),
    ],
)
def test_counts_that_contradict_each_other_are_refused(cli, tmp_path, sound, place, value):
    """The figures of a system come from its speakers; they must be those of its confusion."""
    path = write(tmp_path / "r.json", changed(sound, *place, value=value))
    refused(cli("report", path), 3, "r.json")


@pytest.mark.parametrize("form", FORMATS)
def test_by_damaged_is_one_line(cli, tmp_path, sound, form):
    for value in ([], None, {"speaker": [1]}, {"speaker": {"toy/s00": {}}}):
        path = write(tmp_path / "r.json", changed(sound, "by", value=value))
        refused(cli("report", path, "--format", form), 3, "r.json")


# --- figures that are undefined ---


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_was_tested(cli, files, form):
    (path,) = files(report(speech().only(np.zeros(160, bool))))
    result = cli("report", path, "--format", form)
    assert result.code in (0, 3)
    if result.code == 3:
        refused(result, 3, str(path))
    elif form == "json":
        whole(result.out)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compare", [False, True])
def test_a_class_that_never_occurs(cli, files, form, compare):
    made = speech()
    made = made.only(made.truth != 3)
    made.posterior[:, 3] = 0.0
    paths = files(report(made, {"n": "a"}), report(made, {"n": "b"}))
    result = cli("report", *paths, "--format", form, *(["--compare"] if compare else []))
    assert (result.code, result.err) == (0, "")
    assert "nan" not in result.out
    if form == "json":
        whole(result.out)


@pytest.mark.parametrize("form", FORMATS)
def test_a_class_that_one_seed_never_predicts(cli, tmp_path, files, form):
    """Its precision is undefined for that seed: the mean is over the others, without NaN."""
    own = tmp_path / "own.toml"
    tags = 'tags = { n = "x", class = "sadness", measure = "precision" }'
    own.write_text(re.sub(r"tags = .*\"log_loss\" }", tags, OWN))
    runs = [speech(seed) for seed in (0, 1)]
    runs[0].posterior[:, 3] = 0.0
    paths = files(*(report(made, {"n": "x"}, seed=s) for s, made in enumerate(runs)))
    result = cli("report", *paths, "--paper", own, "--format", form)
    assert (result.code, result.err) == (0, "")
    assert "nan" not in result.out
    if form == "json":
        whole(result.out)


def test_a_report_without_a_checksum_is_read_and_said(cli, files, tmp_path):
    paths = files(*(report(speech(seed), seed=seed) for seed in (0, 1)))
    for line in (["report", paths[0]], ["report", "--compare", *paths], ["info", paths[0]]):
        assert (cli(*line).code, cli(*line).err) == (0, "")
    for path in paths:
        values = json.loads(path.read_text())
        del values["sha256"]
        path.write_text(json.dumps(values))
    pack = tmp_path / "runs.jsonl"
    for line in (
        ["report", paths[0]], ["report", "--compare", *paths], ["info", paths[0]],
        ["report", *paths, "--pack", pack], ["report", pack], ["info", pack],
    ):  # fmt: skip
        found = cli(*line)
        assert (found.code, found.err.count("carries no checksum")) == (0, 1), found.err
        assert "so do 1 more" in found.err or len(line) == 2
