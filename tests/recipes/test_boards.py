"""The tables across corpora: what stands in them, what is missing, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from made_reports import report, result, speech

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))

import board_figures
import boards

from sertool.core.errors import InputError
from sertool.ui.tables import Grid, markdown

TAGS = {"corpus": "ravdess", "features": "voice", "normalisation": "none"}


def made(tags, *, skill=3.0, model="logistic", cost=None, **more):
    raw = report(speech(skill=skill), tags, model=model, epochs=0, **more)
    raw["model"]["parameters"] = 12345
    if cost:
        raw["cost"] = cost
    return raw


def results(*reports):
    return [result(f"{i}.json", raw) for i, raw in enumerate(reports)]


def grids(blocks):
    return [block for block in blocks if isinstance(block, Grid)]


def test_the_leaderboard_ranks_counts_what_is_missing_and_says_what_it_cost() -> None:
    cost = {"stages": {"featurize": 30.0, "train": 12.5}, "scoring": 2.0, "sound": 1600.0}
    board = boards.board(
        results(
            made(TAGS | {"features": "compare"}, skill=1.0),
            made(TAGS, skill=4.0),
            made(TAGS | {"normalisation": "speaker"}, skill=5.0, cost=cost),
        )
    )
    blocks = boards.leaderboard(board)
    (grid,) = grids(blocks)
    assert [row[0] for row in grid.rows][:2] == ["voice, logistic", "ComParE, logistic"]
    first = grid.rows[0]
    uar = board["ravdess", "voice", "logistic", "none"].uar
    assert first[1].startswith(f"{100 * uar.mean:.1f}\n[")
    assert first[3:] == ["12,345", "12.5", "0.0200", "draws nothing"]
    assert grid.rows[1][4:6] == ["–", "–"]
    text = markdown(blocks)
    assert "13 of 16 cells are missing" in text
    assert text.count("16 of 16 cells are missing") == 3
    figure = board_figures.leaderboard(board)
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert ticks == ["voice, logistic", "ComParE, logistic"]


@pytest.mark.parametrize("apart", [False, None])
def test_a_run_that_leaks_is_in_no_leaderboard_and_no_matrix(apart: bool | None) -> None:
    leaky = made(TAGS, apart=apart)
    with pytest.raises(InputError, match="apart"):
        boards.board(results(leaky))
    tags = {"features": "voice", "normalisation": "none", "trained": "a", "tested": "b"}
    with pytest.raises(InputError, match="apart"):
        boards.matrix(results(made(tags, apart=apart)))
    with pytest.raises(InputError, match="lacks one of the tags"):
        boards.board(results(made({"corpus": "ravdess"})))


def test_the_matrix_has_a_row_a_tested_corpus_and_a_column_a_trained_one() -> None:
    both = {"features": "voice", "normalisation": "none"}
    cells = [("emodb", "ravdess"), ("ravdess", "ravdess"), ("others", "ravdess")]
    runs = [
        made(both | {"trained": train, "tested": test}, skill=1.0 + i)
        for i, (train, test) in enumerate(cells)
    ]
    matrix = boards.matrix(results(*runs))
    blocks = boards.crosscorpus(matrix)
    (grid,) = grids(blocks)
    assert list(grid.header) == [
        "tested on", "chance", "RAVDESS", "EmoDB, cut to 2 s", "all others",
    ]  # fmt: skip
    ravdess, emodb = grid.rows
    assert ravdess[1] == "25.0"
    own = matrix["voice", "logistic", "none", "ravdess", "ravdess"]
    assert ravdess[2] == f"({own.text})"
    assert list(emodb[2:]) == ["–"] * 3
    assert "3 of 6 cells are missing" in markdown(blocks)
    assert "Not run: voice, logistic, normalised by speaker; ComParE" in markdown(blocks)
    figure = board_figures.crosscorpus(matrix)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert f"{100 * own.uar.mean:.1f}" in texts
    assert texts.count("–") == 3


def test_inflation_is_paired_with_speakers_apart() -> None:
    tags = {"corpus": "emodb-2s"}
    honest = [made(tags | {"protocol": "speakers"}, seed=seed) for seed in (0, 1)]
    leaky = [
        made(tags | {"protocol": "random"}, skill=6.0, seed=seed, apart=False) for seed in (0, 1)
    ]
    (grid, rest) = boards.inflation(results(*honest, *leaky))
    assert isinstance(grid, Grid)
    rows = {row[2]: row for row in grid.rows if row[0] == "EmoDB, cut to 2 s"}
    assert rows["speakers apart"][4] == ""
    found = boards.cells(results(*honest, *leaky), "protocol")
    gap = found["random",].uar.mean - found["speakers",].uar.mean
    assert gap > 0
    text = rows["recordings at random"][4]
    assert text.startswith(f"{100 * gap:+.1f}\n[+")
    assert "speakers" in rows["recordings at random"][5]
    assert rows["copies first, then at random"][3] == "–"
    assert "18 of 20 cells are missing" in markdown([rest])
