"""recipes/README.md is what the kept summaries give, and recipes are shell and nothing else."""

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
RECIPES = sorted((ROOT / "recipes").glob("*.sh"))


def test_page_is_what_the_results_give() -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "recipes/results.sh"],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert page == done.stdout, "run `make results` and commit recipes/README.md"


@pytest.mark.parametrize("folder", sorted((ROOT / "recipes" / "results").iterdir()), ids=str)
def test_kept_summaries(folder: Path) -> None:
    protocols = {"speakers", "random", "copies"}
    if folder.name != "leakage":
        protocols = {protocol.tag for protocol in papers.paper(folder.name).protocols}
    reports = read_all(sorted(folder.iterdir()))
    assert reports
    for name, report in reports:
        assert not report.items, f"{name}: keep summaries only (eval --summary)"
        assert report.tags is not None
        assert report.tags["protocol"] in protocols
    lines = [line for path in folder.iterdir() for line in path.read_bytes().splitlines()]
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
