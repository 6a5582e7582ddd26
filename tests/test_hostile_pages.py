"""Names, labels and texts of a file that steer a terminal: every page shows them as escapes."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_stores import write_store

from sertool.core.texts import visible
from sertool.evaluation.predictions import formatter

DEMO = Path(__file__).resolve().parent.parent / "data" / "demo" / "corpus"

BAD = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"


def clean(text: str) -> None:
    for character in "\x1b\x07\u202e\x9b":
        assert character not in text


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any) -> Path:
    """A store, a checkpoint and a report whose every text steers."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"{BAD}{i}", "path": f"{BAD}{i}.wav", "corpus": f"c{BAD}"}
        | {"label": f"l{BAD}{i % 2}", "speaker": f"s{BAD}{i // 4}", "fold": i // 4}
        | {"text": f"t{BAD}", "gender": ("female", "male")[i // 4], "session": BAD}
        for i in range(8)
    ]
    write_store(tmp_path / "f.h5", [draw.normal(i % 2, 1, (9, 3)) for i in range(8)], rows)
    assert cli("train", "-q", "f.h5", "m.ckpt", "--test-fold", "0").code == 0
    for name, value in (("r", "v"), ("o", "w")):
        tag = ("--tag", f"k{BAD}={value}{BAD}")
        assert cli("eval", "-q", "m.ckpt", "f.h5", "--json", f"{name}.json", *tag).code == 0
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "info f.h5", "info m.ckpt", "info r.json", "info m.ckpt --json", "info r.json --json",
        "info m.ckpt --items", "info r.json --items", "info m.ckpt --commands",
        "info --audit m.ckpt f.h5", "info --audit f.h5 --items",
        "eval m.ckpt f.h5", "train --force f.h5 m.ckpt --test-fold 0",
        "report r.json o.json", "report r.json --format markdown", "report r.json --format json",
        "report --compare r.json o.json", "report r.json --recount",
        "report r.json --format latex", "report --compare r.json o.json --format latex",
        "report --compare r.json o.json --format markdown", "report r.json --pack p.jsonl",
        "eval m.ckpt f.h5 --by item", "eval m.ckpt f.h5 --figures drawn",
        "select f.h5 s.h5 --where fold=0", "merge f.h5 f.h5 s.h5", "convert f.h5 x.npz",
        "convert f.h5 x --to webdataset", "export m.ckpt m.onnx", "fuse m.ckpt m.ckpt w.ckpt",
        "calibrate m.ckpt r.json c.ckpt", "train f.h5 {fold}.ckpt --test-fold all",
        "info f.h5 --figures drawn",
    ],
)  # fmt: skip
def test_nothing_raw_reaches_the_terminal(cli: Any, desk: Path, words: str) -> None:
    result = cli(*words.split())
    assert result.code in (0, 3), result.err
    clean(result.out)
    clean(result.err)
    shown = {"info", "report", "eval"} & set(words.split())
    if not shown or {"--commands", "--pack", "latex"} & set(words.split()):
        return  # shows no name, or escapes the backslash, too
    assert "\\x1b" in result.out + result.err or "\\u001b" in result.out


def test_nothing_raw_on_pages_and_cards(cli: Any, desk: Path) -> None:
    for words in (
        "eval -q m.ckpt f.h5 --html eval.html",
        "report r.json o.json --html report.html",
        "push -q --report r.json m.ckpt card",
    ):
        result = cli(*words.split())
        assert result.code == 0, result.err
    for name in ("eval.html", "report.html", "card/README.md", "card/config.json"):
        text = (desk / name).read_text("utf-8")
        assert "owned" in text, name
        clean(text)


def row(path: str, label: str) -> Any:
    from sertool.evaluation.predictions import Prediction

    posterior = {label: 1.0}
    return Prediction(
        path=path, label=label, confidence=1.0, posterior=posterior, duration=1.0,
        heard=1.0, speech=1.0, windows=1, vad="off", model="m@0",
    )  # fmt: skip


@pytest.mark.parametrize("form", ["table", "jsonl", "csv", "tsv"])
def test_nothing_raw_in_a_prediction(form: str) -> None:
    header, text = formatter(form, [f"l{BAD}"])
    clean(header + text(row(f"p{BAD}", f"l{BAD}")))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "＝"])
def test_a_spreadsheet_runs_no_cell(sign: str) -> None:
    name = f"{sign}cmd|' /C calc'!A0"
    for form, delimiter in (("csv", ","), ("tsv", "\t")):
        header, text = formatter(form, [name])
        said = text(row(name, name))
        for one in csv.reader(io.StringIO(header + said, newline=""), delimiter=delimiter):
            assert all(not cell or cell[0] not in "=+-@\t\r＝" for cell in one)
        header, text = formatter(form, [name], raw=True)
        found = list(csv.DictReader(io.StringIO(header + text(row(name, name)), newline=""),
                                    delimiter=delimiter))  # fmt: skip
        assert found[0]["path"] == found[0]["label"] == name


NAMES = [
    BAD,
    "\u2028\u2066x",
    "=cmd|' ^C calc'!A0",
    "a,b;c\td",
    'q"\n"',
    "<b>&amp;",
    "\\input{x}$%_#",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recordings, some of which are none, below names that steer."""
    monkeypatch.chdir(tmp_path)
    good = DEMO / "spk01" / "spk01_anger_s1_r1.flac"
    for i, name in enumerate(NAMES):
        own = tmp_path / "c" / f"{name}-"
        own.mkdir(parents=True)
        shutil.copy(good, own / f"{name}{i}.flac")
        (own / f"{name}bad{i}.flac").write_bytes(b"fLaC nothing")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "prepare c m.jsonl --corpus folder", "prepare c out --corpus folder --to lhotse",
        "featurize --kind mel c f.h5 --corpus folder", "featurize --kind mel c f.h5 --verbose",
        "predict c", "predict c --format csv", "predict c --format tsv", "predict c --format table",
        "predict c -o p.csv --format csv --html p.html", "predict c --verbose",
    ],
)  # fmt: skip
def test_names_of_files_that_steer(cli: Any, folder: Path, words: str) -> None:
    result = cli(*words.split())
    assert result.code == (0 if words == "prepare c m.jsonl --corpus folder" else 1), result.err
    for text in (result.out, result.err):
        assert visible(text) == text
        assert "Traceback" not in text
    for name in ("p.html", "p.csv"):
        if (folder / name).exists():
            text = (folder / name).read_text("utf-8")
            assert visible(text) == text
            assert "<b>&amp;-" not in text or name == "p.csv"
    if "csv" in words or "tsv" in words:
        text = (folder / "p.csv").read_text("utf-8") if "-o" in words else result.out
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "tsv" in words else ",")
        )
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == 1 + 2 * len(NAMES)
        assert not any(cell and cell[0] in "=+-@\t\r＝" for row in rows for cell in row)
