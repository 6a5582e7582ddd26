"""How Sphinx makes the site, out/site: every page of the repository that README.md leads to.

`make docs` runs it. Sources are the Markdown files as they lie in the repository, so that a link
works there as it does on the site. Nothing is loaded from a network, when it is made or read.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.search(r'VERSION = "([^"]+)"', (ROOT / "sertool/core/version.py").read_text())

project = "sertool"
author = "The sertool authors"
release = version = VERSION[1] if VERSION else ""
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "README.md",
    "benchmarks/*.md",
    "data/demo/README.md",
    "examples/README.md",
    "recipes/README.md",
    "recipes/predictions/README.md",
    "recipes/results/pipeline.md",
    "recipes/results/*/TABLES.md",
]
exclude_patterns = [".*", "out", "build", "dist", "tests", "sertool"]
suppress_warnings = ["misc.highlighting_failure"]  # output shown in a block need not be a language
myst_heading_anchors = 4  # the anchors that GitHub makes
smartquotes = False  # --option and "quoted words" are typed as they stand

html_theme = "furo"
html_title = f"sertool {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False


def api(app: Sphinx, name: str, source: list[str]) -> None:
    """Add the reference of the Python API to its page."""
    if name == "docs/api":
        import api_page

        source[0] += "\n" + api_page.page()


def entrance(app: Sphinx, error: Exception | None) -> None:
    """Write index.html, which leads to the first page."""
    if error is None and app.builder.name == "html":
        page = '<!doctype html><meta charset="utf-8"><title>sertool</title>'
        page += '<meta http-equiv="refresh" content="0; url=docs/index.html">'
        page += '<a href="docs/index.html">sertool</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the steps above."""
    sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
    app.connect("source-read", api)
    app.connect("build-finished", entrance)
    return {"parallel_read_safe": True}
