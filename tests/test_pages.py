"""The site's pages: what they show is what the commands print, links lead on, and it builds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
PAGES = [
    path
    for place in ("*.md", "docs/**/*.md", "benchmarks/*.md", "data/demo/*.md", "examples/*.md",
                  "recipes/*.md", "recipes/predictions/*.md", "recipes/results/pipeline.md",
                  "recipes/results/*/TABLES.md")
    for path in sorted(ROOT.glob(place))
]  # fmt: skip
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda path: path.stem)
def test_a_page_shows_what_its_commands_print(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages-run"
    folder.mkdir()
    wrong = pages.run(page, folder)
    assert not wrong, "python tests/pages.py PAGE writes what it prints:\n" + "\n".join(wrong)


def test_no_block_of_commands_goes_unrun() -> None:
    for page in RUN:
        found = list(pages.blocks(page.read_text(encoding="utf-8")))
        assert any(block.language == "console" for block in found) or "python" in {
            block.language for block in found
        }
        for block in found:
            assert block.language in ("console", "sh", "python", "r", "text", "toml", "ini"), page
            if block.language == "ini":
                assert block.mark == "not run", page
            if block.language == "toml":
                assert block.mark == "file", page


def test_output_is_compared() -> None:
    shown = "one 62.5 \u2588\u2588 12\n\u2026\nlast 0.50 model@\u2026\n"
    assert pages.alike(shown, "one 60.1 \u2588 12\nmore\nlast  0.46 model@0123\n")
    assert not pages.alike(shown, "one 55.1 \u2588 12\nmore\nlast 0.50 model@0123\n")
    assert not pages.alike(shown, "one 62.5 \u2588 13\nmore\nlast 0.50 model@0123\n")
    assert not pages.alike(shown, "one 62.5 \u2588 12\nmore\nlast 0.70 model@0123\n")
    assert not pages.alike(shown, "one 62.5 \u2588 12\nmore\n")
    assert not pages.alike("one\n", "one\ntwo\n")
    assert pages.alike("sadness 72% 69 96\n", "sadness 71% 68 96\n")
    assert not pages.alike("sadness 72% 69 96\n", "sadness 72% 69 97\n")
    assert pages.alike("p 0.01\n", "p 0.90\n", free=True)
    assert not pages.alike("p 0.01\n", "q 0.01\n", free=True)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and the site give to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)|\\(?=[_*|<`])", r"\1", heading.strip().lower())
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.S | re.M)
    for link in LINK.findall(text):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        to = page.parent / name if name else page
        assert to.is_file(), f"{link}: no such file"
        if to.suffix == ".md" and anchor:
            assert anchor in anchors(to), f"{link}: no such heading"
        elif anchor:
            lines = to.read_text("utf-8").count("\n")
            assert int(anchor.removeprefix("L")) <= lines, f"{link}: no such line"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_without_a_network(tmp_path: Path) -> None:
    for name in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(name)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-c", "docs", "-d", str(tmp_path / "trees"), ".", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert (site / "index.html").is_file()
    assert (site / "searchindex.js").is_file()
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        loads = re.findall(
            r"""(?:<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=|@import\s+|url\()["']?(https?:[^"')\s]*)""",
            page.read_text(encoding="utf-8"),
        )
        assert not loads, f"{page}: {loads}"
