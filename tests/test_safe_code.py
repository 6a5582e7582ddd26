"""No code runs out of data: what the rules of ruff and those below forbid, and that they do."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHERE = ("sertool", "recipes", "benchmarks", "examples", "data")
SAFE = {  # calls that may run code out of a file: what they must be told, or say nothing of
    "torch.load": {"weights_only=True"},
    "numpy.load": {"allow_pickle=False", ""},
    "np.load": {"allow_pickle=False", ""},
    "joblib.load": set(),
    "pandas.read_pickle": set(),
}
RUFF = (sys.executable, "-m", "ruff", "check", "--output-format", "concise")
TOLD = ("weights_only", "allow_pickle")
FORBIDDEN = {
    "S102": "exec(text)",
    "S301": "import pickle\n\npickle.loads(text)",
    "S302": "import marshal\n\nmarshal.loads(text)",
    "S306": "import tempfile\n\ntempfile.mktemp()",
    "S307": "eval(text)",
    "S314": "import xml.etree.ElementTree as tree\n\ntree.fromstring(text)",
    "S506": "import yaml\n\nyaml.load(text)",
    "S602": "import subprocess\n\nsubprocess.run(text, shell=True)",
    "S605": "import os\n\nos.system(text)",
}


def unsafe(code: str) -> Iterator[str]:
    """Yield the calls of a text of Python that open a pickle, or may."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        allowed = SAFE.get(ast.unparse(node.func))
        told = [ast.unparse(word) for word in node.keywords if word.arg in TOLD]
        if allowed is not None and "".join(told) not in allowed:
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_no_file_of_ours_opens_a_pickle() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{one}"
        for folder in WHERE
        for path in sorted((ROOT / folder).rglob("*.py"))
        for one in unsafe(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=given)",
        "joblib.load(path)",
        "pandas.read_pickle(path)",
    ],
)
def test_the_rule_is_one(code: str) -> None:
    assert list(unsafe(code)) == [f"1: {code}"]


@pytest.mark.parametrize("code", ["torch.load(path, weights_only=True)", "np.load(path)"])
def test_and_lets_others_pass(code: str) -> None:
    assert not list(unsafe(code))


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_ruff_refuses(rule: str) -> None:
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert rule in chosen["tool"]["ruff"]["lint"]["select"]
    done = subprocess.run(
        [*RUFF, "--stdin-filename", "sertool/core/new.py", "-"],
        input=FORBIDDEN[rule], capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert f" {rule} " in done.stdout, done.stdout + done.stderr
