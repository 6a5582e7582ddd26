"""The front page: short, its links lead somewhere, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/guide.md", "benchmarks/README.md")
PAGES += ("docs/encoders.md", "examples/README.md", "data/demo/README.md", "recipes/README.md")
PAGES += tuple(f"recipes/results/{n}/TABLES.md" for n in ("leaderboard", "crosscorpus", "leakage"))


def test_it_is_short() -> None:
    assert README.count("\n") <= 120
    assert all(path.stat().st_size < 100_000 for path in (ROOT / "docs").iterdir())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            assert (path.parent / link).exists(), link


def test_files_that_it_names_exist() -> None:
    for name in re.findall(r"`((?:data|docs|recipes|examples|benchmarks)/[\w./-]*)`", README):
        assert (ROOT / name).exists(), name


def test_its_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, {})
    out = capsys.readouterr().out
    assert "speakers apart: yes" in out
    assert out.endswith("sadness\n")


def test_the_picture_of_the_code_is_that_of_the_code() -> None:
    import house

    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert house.picture() in page, "paste what `python tests/house.py` prints"
