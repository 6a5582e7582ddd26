"""The page on many machines: its commands exist, and its tables are of the kept figures."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
SHELLS = {"sbatch", "torchrun", "split", "pip"}  # whose own options are not ours


def commands() -> list[list[str]]:
    """Return every call of sertool on the page, also within what another program is given."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for text in (line, *re.findall(r"'([^']*)'", line)):
                words = shlex.split(text, comments=True)
                if "sertool" in words:
                    found.append(words[words.index("sertool") + 1 :])
    return found


def options() -> dict[str, set[str]]:
    """Return the options of every stage, as the page of options has them."""
    text = (ROOT / "docs" / "options.md").read_text("utf-8")
    parts = {part.split()[0]: part for part in text.split("\n## ")[1:]}
    every = set(re.findall(r"`(--?[\w-]+)", parts.pop("Every")))
    return {stage: every | set(re.findall(r"`(--?[\w-]+)", part)) for stage, part in parts.items()}


def test_it_has_commands() -> None:
    assert {words[0] for words in commands()} >= {"featurize", "train", "eval"}


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words)[:40])
def test_each_option_is_one_of_its_stage(words: list[str]) -> None:
    known = options()[words[0]]
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"sertool {words[0]} has no {', '.join(sorted(given - known))}"


def test_its_tables_are_of_what_was_measured() -> None:
    sys.path.append(str(ROOT / "benchmarks"))
    try:
        import scale
    finally:
        sys.path.pop()
    assert scale.filled(PAGE) == PAGE, "run `python benchmarks/scale.py`"
