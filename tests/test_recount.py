"""A report's figures are those of its items, and are made again from these alone."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from made_reports import report, speech, write
from msgspec import UNSET

from sertool.core.errors import InputError
from sertool.evaluation import recount
from sertool.evaluation import report as reports

Cli = Callable[..., Result]
SIX = np.arange(10 * 16) % 6


def whole(digits: int = 0, **given: object) -> reports.Report:
    """A report with items, as eval writes it and as it is read back."""
    found = reports.parse(report(speech(), {"n": "x"}, items=True, **given), "x")  # type: ignore[arg-type]
    assert isinstance(found, reports.Report)
    return recount.rounded(found, "x", digits) if digits else found


@pytest.mark.parametrize("checkpoint", [None, SIX])
def test_the_figures_are_those_of_the_items(checkpoint: np.ndarray | None) -> None:
    made = whole(checkpoint=checkpoint)
    recount.check(made, "x")
    again = recount.counted(made)
    assert again.ci == made.figures.ci
    assert again.per_class == made.figures.per_class
    assert len(again.folds) == (1 if checkpoint is None else 6)


@pytest.mark.parametrize("field", ["truth", "prediction", "speaker", "gender", "posterior"])
def test_another_item_gives_other_figures(field: str) -> None:
    made = whole(checkpoint=SIX)
    assert made.items
    item = next(i for i in made.items if i.truth != i.prediction and i.speaker == "s01")
    other = {
        "truth": item.prediction, "prediction": item.truth, "speaker": "s03", "gender": "female",
        "posterior": dict.fromkeys(item.posterior, 0.25),
    }  # fmt: skip
    setattr(item, field, other[field])
    with pytest.raises(InputError, match=r"^x: .* is not that of its items$"):
        recount.check(made, "x")


def test_a_lost_or_doubled_item_is_noticed() -> None:
    for change in (-1, 1):
        made = whole()
        assert made.items
        made.items = made.items[:change] if change < 0 else [*made.items, made.items[0]]
        with pytest.raises(InputError, match="not that of its items"):
            recount.check(made, "x")


def test_rounded_posteriors_have_their_own_figures() -> None:
    made, exact = whole(3), whole()
    recount.check(made, "x")
    assert made.items
    assert exact.items
    for one, other in zip(made.items, exact.items, strict=True):
        assert one.prediction == other.prediction
        assert one.posterior == pytest.approx(other.posterior, rel=5e-3)
        assert all(
            len(f"{p:.9g}".replace("0.", "").lstrip("0")) <= 7 for p in one.posterior.values()
        )
    assert made.figures.confusion == exact.figures.confusion
    assert made.figures.ci == exact.figures.ci
    assert made.figures.log_loss == pytest.approx(exact.figures.log_loss, rel=1e-2)
    assert made.figures.log_loss != exact.figures.log_loss
    back = reports.parse(json.loads(reports.dumps(made)), "x")
    recount.check(back, "x")


def test_what_cannot_be_counted_says_why() -> None:
    made = whole()
    made.items = UNSET
    with pytest.raises(InputError, match="x: has no items"):
        recount.check(made, "x")
    made = whole()
    assert made.items
    made.items[0].checkpoint = UNSET
    with pytest.raises(InputError, match="do not say who speaks"):
        recount.check(made, "x")


# --- files ---


def test_packed_reports_are_counted_again(tmp_path: Path, cli: Cli) -> None:
    """From a compressed file, which says in the figures what its rounded posteriors give."""
    paths = []
    for seed in (0, 1):
        raw = report(speech(seed), {"n": "x"}, seed=seed, items=True, checkpoint=SIX)
        paths.append(write(tmp_path / f"{seed}.json", raw))
    packed, plain = tmp_path / "p.jsonl.xz", tmp_path / "p.jsonl"
    for path in (packed, plain):
        done = cli("report", *paths, "--pack", path, "--round", 3)
        assert done.code == 0, done.err
        assert "2 reports" in done.err
    assert packed.stat().st_size < plain.stat().st_size / 4
    assert lzma.decompress(packed.read_bytes()) == plain.read_bytes()
    for path in (packed, plain):
        done = cli("report", "--recount", path, "--format", "json")
        assert done.code == 0, done.err
        assert "counted again: 2 reports of 320 items" in done.err
    (system,) = json.loads(done.out)["systems"]
    uar = json.loads(cli("report", *paths, "--format", "json").out)["systems"][0]["protocols"]
    assert system["protocols"][""]["uar"] == uar[""]["uar"]
    again = tmp_path / "again.jsonl.xz"
    assert cli("report", packed, "--pack", again, "--round", 3).code == 0
    assert again.read_bytes() == packed.read_bytes()
    assert cli("info", packed).code == 0


def test_a_figure_that_is_not_that_of_the_items_ends_it(tmp_path: Path, cli: Cli) -> None:
    raw = report(speech(), items=True)
    raw["uar"] += 0.01
    path = write(tmp_path / "r.json", raw)
    assert cli("report", path).code == 0
    for words in ((), ("--compare",)):
        done = cli("report", "--recount", *words, path)
        assert done.code == 3
        assert f"{path}: uar is not that of its items" in done.err.replace("\n", "")


@pytest.mark.parametrize(
    "words", [("--round", "3"), ("--pack", "x.jsonl", "--round", "0"),
              ("--pack", "x.jsonl", "--recount")],
)  # fmt: skip
def test_options_that_contradict_each_other(tmp_path: Path, cli: Cli, words: list[str]) -> None:
    path = write(tmp_path / "r.json", report(speech(), items=True))
    assert cli("report", path, *words).code == 2


@pytest.mark.parametrize("content", [b"", b"xz", lzma.compress(b"{}")[:-9], lzma.compress(b"{")])
def test_a_damaged_archive_is_no_report(tmp_path: Path, cli: Cli, content: bytes) -> None:
    path = tmp_path / "r.jsonl.xz"
    path.write_bytes(content)
    done = cli("report", path)
    assert done.code == 3
    assert "Traceback" not in done.err
