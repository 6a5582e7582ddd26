"""Figures of reports: what weakens a test is in every title, and bars have whiskers."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import pytest
from made_reports import report, speech
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from scipy import stats
from test_report_curves import FALLS, made_study

from sertool.corpora import survey_figures
from sertool.corpora.survey import survey
from sertool.evaluation import figures, intervals
from sertool.evaluation import report as reports
from sertool.evaluation.terminal import protocol_line, warnings
from sertool.items import Item
from sertool.papers import curve_figures
from sertool.ui import figures as drawing
from sertool.ui.figures import INK, WARNING, broken, style

WORST: dict[str, Any] = {
    "speaker_disjoint": False,
    "origin_disjoint": False,
    "text_disjoint": False,
    "audio_disjoint": False,
    "near_disjoint": False,
    "fit_disjoint": False,
}


def parsed(**given: Any) -> reports.Report:
    found = reports.parse(report(speech(**given)), "x")
    assert isinstance(found, reports.Report)
    return found


def leaky(**given: Any) -> reports.Report:
    found = parsed(**given)
    found.protocol.facts |= WORST
    found.protocol.files_split = 3
    found.protocol.test_augmented = True
    found.protocol.declared |= {"resplit": "random:80:20", "speaker_normalisation": True}
    return found


def title_of(figure: Figure) -> str:
    text = figure.get_suptitle()
    assert text
    return " ".join(text.split())


@pytest.mark.parametrize("make", figures.FIGURES.values(), ids=list(figures.FIGURES))
def test_every_title_says_what_weakens_the_test(make: Any) -> None:
    found = leaky()
    weak = warnings(found.protocol)
    assert len(weak) == 10
    line = " ".join(protocol_line(found.protocol, 10**6).plain.split())
    figure = make(found)
    said = title_of(figure)
    for words in weak:
        assert words in line
        assert words in said, words
    assert "speakers apart: NO" in said
    assert figure._suptitle.get_color() == WARNING
    sound = parsed()
    sound.protocol.facts |= dict.fromkeys(WORST, True)
    figure = make(sound)
    assert "NO" not in title_of(figure)
    assert "speakers apart" in title_of(figure)
    assert figure._suptitle.get_color() == INK
    sound.protocol.facts["speaker_disjoint"] = None
    assert "speakers unknown" in title_of(make(sound))


@pytest.mark.parametrize("make", figures.FIGURES.values(), ids=list(figures.FIGURES))
def test_no_title_is_wider_than_its_figure(make: Any) -> None:
    for classes in (("anger", "neutral"), tuple(f"a class of a long name {i}" for i in range(24))):
        found = leaky(classes=classes, speakers=24, each=24)
        assert found.model
        found.model.name = "a-network-of-a-plugin-with-a-very-long-name-indeed"
        figure = make(found)
        figure.draw_without_rendering()
        box = figure._suptitle.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        axes = figure.axes[0]
        assert axes.get_tightbbox().y1 <= box.y0
        assert axes.bbox.height > 0.3 * 3.8 * figure.dpi


def whiskers(figure: Figure) -> list[tuple[np.ndarray, np.ndarray]]:
    """The heights of the bars of each system, and the ends (2, n) of their whiskers, in percent."""
    found = []
    for bars in (c for c in figure.axes[0].containers if isinstance(c, BarContainer)):
        assert isinstance(bars.errorbar, ErrorbarContainer)
        segments = np.array(bars.errorbar.lines[2][0].get_segments())
        found.append((np.array([bar.get_height() for bar in bars]), segments[:, :, 1].T))
    return found


def test_bars_of_classes_have_the_intervals_over_speakers() -> None:
    found = parsed(speakers=12, each=40)
    systems = whiskers(figures.classes_figure(found))
    assert len(systems) == 2
    random = np.random.default_rng(5)
    for (heights, ends), own in zip(
        systems, (found.figures, found.baselines["linear"]), strict=True
    ):
        groups = np.array([group.confusion for group in own.by["speaker"].values()])
        sums = groups[random.integers(0, len(groups), (4000, len(groups)))].sum(1)
        recalls = np.diagonal(sums, axis1=1, axis2=2) / sums.sum(2)
        np.testing.assert_allclose(ends, 100 * np.percentile(recalls, [2.5, 97.5], 0), atol=2.0)
        assert (ends[0] <= heights).all()
        assert (heights <= ends[1]).all()
    few = figures.classes_figure(parsed(speakers=4))
    assert "too few for intervals over 4 speakers" in few.axes[0].get_xlabel()


def test_bars_of_speakers_have_intervals_over_their_files() -> None:
    figure = figures.speakers_figure(parsed(speakers=12))
    assert figure is not None
    ((heights, ends),) = whiskers(figure)
    assert len(heights) == 12
    assert (ends[0] < heights).all()
    assert (ends[1] >= heights - 1e-9).all()
    assert "a speaker's own files" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (3, 8), (8, 8), (40, 60)])
def test_the_interval_of_one_class_is_wilsons(right: int, n: int) -> None:
    low, high = intervals.of_files([[right, n - right], [0, 0]], 0.9)
    wanted = stats.binomtest(right, n).proportion_ci(0.9, "wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_the_interval_of_several_classes_covers_as_often_as_it_says() -> None:
    random, rates, n = np.random.default_rng(3), np.array([0.3, 0.6, 0.9]), np.array([8, 16, 8])
    hits = 0
    for _ in range(1000):
        right = random.binomial(n, rates)
        low, high = intervals.of_files(_matrix(right, n), 0.95)
        hits += low <= rates.mean() <= high
    assert 0.93 < hits / 1000 < 0.985


def _matrix(right: np.ndarray, n: np.ndarray) -> list[list[int]]:
    return [
        [int(right[i]) if j == i else int(n[i] - right[i]) * (j == (i + 1) % 3) for j in range(3)]
        for i in range(3)
    ]


def test_every_panel_of_curves_says_what_weakens_its_test() -> None:
    """Also what weakens the test of a system whose trainings are those of another."""
    said = speech()
    same = report(said, {"net": "y"}, losses=FALLS, apart=False)
    figure = curve_figures.curves_figure(made_study(report(said, {"net": "x"}, losses=FALLS), same))
    assert figure is not None
    for axes in figure.axes:
        assert "speakers apart: NO" in axes.get_title()


def test_a_survey_says_where_folds_share_speakers() -> None:
    def title(folds: list[int]) -> str:
        items = [
            Item(id=str(i), path="x", corpus="c", speaker=f"s{i % 3}", label="anger", fold=fold)
            for i, fold in enumerate(folds)
        ]
        return title_of(survey_figures.classes_figure(survey(items, [1.0] * len(items)), "m.jsonl"))

    assert "speakers of folds apart: NO" in title([0, 1, 1, 1, 1, 0])
    assert "NO" not in title([0, 1, 0, 0, 1, 0])


def test_lines_are_broken_between_parts() -> None:
    assert broken(["one", "two", "three"], 9) == ["one · two", "three"]
    assert broken(["a long one", "b"], 7) == ["a long", "one · b"]
    assert broken([], 9) == []


def test_a_font_without_bold_letters_is_no_news(caplog):
    log = logging.getLogger("matplotlib.font_manager")
    with style():
        log.warning("findfont: Failed to find font weight bold")
    log.warning("later")
    assert [record.message for record in caplog.records] == ["later"]


@pytest.mark.parametrize(("name", "further"), [("Ärger · 1", False), ("怒り", True)])
def test_a_picture_names_further_fonts_only_for_letters_that_need_them(
    monkeypatch: pytest.MonkeyPatch, name: str, further: bool
) -> None:
    monkeypatch.setattr(drawing, "FONTS", ("DejaVu Serif",))  # which is installed anywhere
    file = io.BytesIO()
    with drawing.style():
        figure, axes = drawing.one_panel(2, 2)
        axes.set_title(name)
        drawing.save(figure, file, "svg")
    assert name.encode() in file.getvalue()
    assert (b"'DejaVu Sans', 'DejaVu Serif', '" in file.getvalue()) == further
    assert (b"'DejaVu Sans', 'Bitstream" in file.getvalue()) != further
