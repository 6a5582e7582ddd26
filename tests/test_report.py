"""Reports as tables and figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from sertool.core.errors import InputError
from sertool.evaluation import audit, figures, results, terminal
from sertool.evaluation import report as reports
from sertool.items import Item
from sertool.ui.tables import fitted_names

NAMES = ("anger", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def make(classes=NAMES, speakers=24, each=60, folds=6, known=True, **protocol):
    """A report of made-up predictions: speaker 0 is never recognised, the others mostly."""
    random = np.random.default_rng(0)
    k, n = len(classes), speakers * each
    speaker = np.repeat(np.arange(speakers), each)
    truth = np.arange(n) % k
    skill = np.where(speaker == 0, 0.0, 0.75)
    predicted = np.where(random.random(n) < skill, truth, (truth + 1) % k)
    posterior = np.full((n, k), 0.01)
    posterior[np.arange(n), predicted] = 1.0
    units = [
        Item(
            f"c/{i}",
            corpus="c",
            speaker=f"{s:02d}" if known else None,
            gender=("female", "male")[s % 2],
        )
        for i, s in enumerate(speaker)
    ]
    names = [f"m.{i}.ckpt" for i in range(folds)]
    tested = results.Tested(list(classes), truth, units, speaker % folds, names)
    most = np.tile(np.eye(k)[0], (n, 1)), np.zeros(n, int)
    majority = results.figures(tested, *most, level=0.95, seed=0)
    rows = [
        Item(str(i), origin=str(i), corpus="c", speaker=str(i), part="train", text="a")
        for i in range(1152)
    ]
    facts = audit.protocol(rows[:864], [row.replace(part="test") for row in rows[864:]])
    made = reports.Report(
        level="file",
        tags={},
        model=reports.Model(name="network", settings={"width": 8}),
        classes=list(classes),
        figures=results.figures(tested, posterior, predicted, level=0.95, seed=0),
        baselines={"majority": majority, "linear": majority},
        protocol=audit.combine([facts], []),
    )
    raw = json.loads(reports.dumps(made))
    del raw["sha256"]
    raw["protocol"] |= protocol
    return reports.parse(raw, "made")


def printed(renderable, width):
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("classes", [NAMES, NAMES[:4]])
def test_nothing_is_cut_off(width, classes):
    report = make(classes)
    text = printed(terminal.render(report, width), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text.replace("… and", "")
    for name in classes:
        assert name in text
    numbers = text.replace("%", " ").split()
    for row in report.figures.confusion:
        assert str(sum(row)) in numbers
        for n in row:
            assert not n or str(n) in numbers


def test_results_stand_beside_their_baselines():
    report = make()
    lines = printed(terminal.result_tables(report, 80)[0], 80).splitlines()
    assert [line.split()[0] for line in lines] == [
        "WA",
        "network",
        "mean",
        "linear",
        "mean",
        "majority",
        "mean",
    ]
    low, high = report.figures.ci.limits["uar"]
    assert f"{100 * report.figures.uar:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in lines[1]
    mean = report.figures.mean_of_folds
    assert f"{100 * mean.metrics['uar']:.1f} ± {100 * mean.sd['uar']:.1f}" in lines[2]
    assert "95 % intervals over 24 speakers" in printed(terminal.scope_line(report), 200)


def test_unknown_speakers_make_no_secret_of_it():
    report = make(known=False, folds=1)
    assert "over 1440 files" in printed(terminal.scope_line(report), 200)
    assert "too narrow" in printed(terminal.scope_line(report), 200)
    assert terminal.speaker_table(report) is None
    assert figures.speakers_figure(report) is None


def test_protocol_line():
    line = printed(terminal.protocol_line(make().protocol, 200), 200)
    assert "speakers apart: yes" in line
    assert "sentences apart: NO (1 shared)" in line
    assert "test augmented: no" in line
    assert "864 train / 288 test" in line
    bad = make(speaker_disjoint=None, test_augmented=True, resplit="random:80:20")
    line = printed(terminal.protocol_line(bad.protocol, 200), 200)
    assert "speakers apart: unknown" in line
    assert "test augmented: YES" in line
    assert "resplit: random:80:20" in line
    assert "in parts" not in line
    line = printed(terminal.protocol_line(make(files_split=12).protocol, 200), 200)
    assert "files scored in parts: 12" in line


def test_protocol_breaks_between_facts():
    lines = printed(terminal.protocol_line(make().protocol, 60), 60).splitlines()
    assert max(map(len, lines)) <= 60
    facts = [fact for line in lines for fact in line.removeprefix("protocol").strip().split(" · ")]
    assert "sentences apart: NO (1 shared)" in facts
    assert len(facts) == 5


def test_a_baseline_is_not_shown_beside_itself():
    report = make()
    report.model.name = "linear"
    assert [name for name, _ in terminal.systems(report)] == ["linear", "majority"]


def test_worst_speaker_first():
    report = make()
    lines = printed(terminal.speaker_table(report), 80).splitlines()
    assert lines[1].split()[:2] == ["00", "0.0"]
    assert "14 more speakers" in lines[-1]
    values = [float(line.split()[1]) for line in lines[1:11]]
    assert values == sorted(values)


def test_colour_is_only_for_terminals():
    console = Console(width=80, force_terminal=True, color_system="256")
    with console.capture() as coloured:
        console.print(terminal.confusion_matrix(make()))
    assert "\x1b[" in coloured.get()
    assert "\x1b[" not in printed(terminal.confusion_matrix(make()), 80)


LONG = ["anger", "happiness", "pleasant surprise", "feierliche Zufriedenheit", "喜び"]
LONG += ["悲しみと怒り", "neutral", "sadness"]


def confused(classes):
    """A report of these classes: all confused, with counts of three digits."""
    report = make()
    report.classes = classes
    report.figures.confusion = [
        [10 * i + j for j in range(len(classes))] for i in range(len(classes))
    ]
    return report


@pytest.mark.parametrize("classes", [LONG[:2], LONG[:4], LONG, [f"{name} {i}" for i in (1, 2, 3)
                                     for name in LONG], ["a" * 50, "b" * 60]])  # fmt: skip
@pytest.mark.parametrize("width", [*range(40, 201, 10)])
def test_confusions_fit_and_cut_no_name_that_has_room(classes, width):
    lines = printed(terminal.confusion_matrix(confused(classes), width), width).splitlines()
    assert max(map(cell_len, lines)) <= width
    body = list(filter(None, lines[1:]))
    total = max(len(str(sum(row))) for row in confused(classes).figures.confusion)
    end = 0
    for line in body:  # columns are aligned, whatever signs the names have
        end = cell_len(line) if line.endswith(" n") else end
        assert cell_len(line) in (end, end - max(3, total) - 2)
    heads = " ".join(line for line in body if line.endswith(" n"))
    rest = 2 + max(3, total) + max(map(cell_len, classes))
    for name in classes:
        if rest + sum(1 + max(4, cell_len(one)) for one in classes) <= width:
            assert name in heads, name
        if rest <= width / 2:
            assert any(line.startswith(name) or f" {name}" in line for line in body)


@pytest.mark.parametrize(
    ("names", "least", "room", "expected"),
    [
        (["anger", "happiness"], [4, 4], 14, ["anger", "happiness"]),
        (["anger", "happiness"], [4, 4], 13, ["anger", "happine."]),
        (["anger", "happiness"], [4, 9], 12, ["ang.", "happiness"]),
        (["class_one", "class_two"], [5, 5], 12, ["1", "2"]),
        (["喜びと怒り", "joy"], [3, 3], 9, ["喜び.", "joy"]),
    ],
)
def test_names_are_cut_as_little_as_needed_and_stay_apart(names, least, room, expected):
    assert fitted_names(names, least, room) == expected


def test_classes_that_never_occur():
    report = make()
    k = len(report.classes)
    report.classes = [*report.classes, "zeal"]
    for own in (report.figures, *report.baselines.values()):
        groups = [group for found in own.by.values() for group in found.values()]
        for each in (own, *groups):
            each.confusion = [[*row, 0] for row in each.confusion] + [[0] * (k + 1)]
    report.figures.per_class["zeal"] = reports.ClassFigures(
        precision=None, recall=None, f1=None, support=0
    )
    text = printed(terminal.render(report, 80), 80)
    assert "zeal" in text
    assert "nan" not in text
    figures.confusion_figure(report)
    figures.classes_figure(report)


def test_description():
    text = printed(terminal.describe_report(make()), 80)
    assert "network (width=8)" in text
    assert "m.5.ckpt" in text
    assert "UAR" in text
    newer = reports.to_json(make()) | {"version": 99}
    for raw, word in (({"confusion": []}, "not a sertool report"), (newer, "newer")):
        with pytest.raises(InputError, match=word):
            reports.parse(raw, "r.json")


def test_figures_are_whole_and_the_same_twice(tmp_path):
    report = make(["a$b$", "喜び", *NAMES[:3]])
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        written = figures.draw(report, folder)
        assert [path.stem for path in written] == [
            "confusion",
            "classes",
            "speakers",
            "reliability",
        ]
    for path in one.iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert content == (two / path.name).read_bytes()
    assert len(list(one.iterdir())) == 4


def test_what_figures_show():
    report = make()
    axes = figures.speakers_figure(report).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == sorted(heights)
    assert heights[0] == 0
    assert len(heights) == 24
    axes = figures.confusion_figure(report).axes[0]
    texts = [text.get_text() for text in axes.texts]
    diagonal = [str(report.figures.confusion[i][i]) for i in range(8)]
    assert set(diagonal) <= set(texts)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)


def test_undefined_is_null_and_never_nan():
    tested = results.Tested(
        ["a", "b"], np.array([0, 0]), [Item("x"), Item("y")], np.zeros(2), ["m"]
    )
    report = results.figures(tested, np.eye(2), np.array([0, 0]), level=0.9, seed=0)
    assert report.per_class["b"].recall is None
    assert report.per_class["a"].auc is None
    assert report.ci.unit == "file"
    assert "NaN" not in json.dumps(reports.to_json(report))


def test_files_that_are_no_report(tmp_path):
    for content in ("[]", "{}", "nonsense", '{"format": "sertool-report", "version": 2}'):
        (tmp_path / "r.json").write_text(content)
        with pytest.raises(InputError, match=r"r\.json"):
            reports.read(tmp_path / "r.json")
    with pytest.raises(InputError, match="none"):
        reports.read(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["classes", "confusion", "by", "ci", "folds"])
def test_report_without_its_figures_is_refused(name):
    raw = reports.to_json(make())
    reports.parse(raw, "whole")
    del raw[name]
    with pytest.raises(InputError, match=f"damaged report: {name} is missing"):
        reports.parse(raw, "r.json")


def test_a_metric_that_a_report_lacks_was_not_computed():
    """As in a report that was written before there was such a metric."""
    raw = reports.to_json(make())
    for row in (raw, raw["ci"], raw["mean_of_folds"], raw["mean_of_folds"]["sd"], *raw["folds"]):
        del row["kappa"]
    read = reports.parse(raw, "r.json")
    text = printed(terminal.render(read, 80), 80)
    assert "not computed" in text
    assert "not computed" not in printed(terminal.render(make(), 80), 80)
    assert reports.to_json(read) == raw


@pytest.mark.parametrize("width", [40, 50, 60, 80])
def test_narrow_tables_cut_neither_names_nor_numbers(width):
    report = make()
    out = printed(terminal.render(report, width), width)
    assert "…" not in out.replace("… and", "")
    assert max(map(cell_len, out.splitlines())) <= width
    classes = printed(terminal.class_table(report, width), width)
    assert set(report.classes) <= set(classes.split())
