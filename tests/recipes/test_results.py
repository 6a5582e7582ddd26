"""The pages are what the kept summaries give, and recipes are shell and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sertool.evaluation.report import read_all
from sertool.papers import papers

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ("leaderboard", "crosscorpus")
FOLDERS = sorted(path for path in (ROOT / "recipes" / "results").iterdir() if path.is_dir())
RECIPES = sorted((ROOT / "recipes").glob("*.sh"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that `make results` writes."""
    folder = tmp_path_factory.mktemp("made") / "recipes"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "recipes/results.py", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_are_what_the_results_give(made: Path) -> None:
    written = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    assert Path("README.md") in written
    tables = {Path("results", name, "TABLES.md") for name in (*papers.names(), *BOARDS)}
    assert tables <= written
    papers_pages = {path.stem for path in (made.parent / "docs" / "papers").iterdir()}
    assert papers_pages == set(papers.names())
    for path in sorted(path for path in made.parent.rglob("*") if path.is_file()):
        name = path.relative_to(made.parent)
        assert (ROOT / name).read_bytes() == path.read_bytes(), f"run `make results`: {name}"


def test_the_page_can_be_read_at_one_sitting(made: Path) -> None:
    page = (made / "README.md").read_text(encoding="utf-8")
    assert page.count("\n") <= 250
    parts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert len(parts) == len(papers.names()) + 1
    for part in parts:
        assert len([line for line in part.splitlines() if line]) <= 40, part.splitlines()[0]
    assert "not run |" not in page, "a row that was not run is counted, not printed"
    assert "{" not in page, "a placeholder that nothing filled"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_kept_summaries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "recipes")
    import boards

    protocols: set[str | None] = {
        None
    }  # every run of a board is speakers apart, or no page is made
    if folder.name == "leakage":
        protocols = {*boards.PROTOCOLS}
    elif folder.name not in BOARDS:
        protocols = {protocol.tag for protocol in papers.paper(folder.name).protocols}
    files = sorted(folder.glob("*.jsonl"))
    reports = read_all(files)
    assert reports
    for name, report in reports:
        assert not report.items, f"{name}: keep summaries only (eval --summary)"
        assert report.tags is not None
        assert report.tags.get("protocol") in protocols
    lines = [line for path in files for line in path.read_bytes().splitlines()]
    assert max(map(len, lines)) < 100_000


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_are_plain_shell(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n# ")
    assert "\nset -eu\n" in text
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"\b(python3?|jq|awk|perl|bash)\b", code)
    checked = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert os.access(path, os.X_OK) or path.name == "demo.sh"
