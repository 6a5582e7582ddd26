"""What pages say of speed is what the kept runs of `make bench` measured."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"


def script(name: str) -> ModuleType:
    """Import a script of benchmarks/, as it imports the others there."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


measured, bench, trust = script("measured"), script("bench"), script("trust")


def test_the_page_has_the_table_of_what_is_kept() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    assert bench.filled(page) == page, "run `python benchmarks/bench.py --page`"


def test_the_page_of_trust_has_what_was_counted() -> None:
    page = trust.PAGE.read_text("utf-8")
    assert trust.filled(page) == page, "run `python benchmarks/trust.py`"


def test_what_was_tried_is_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "KEPT", tmp_path)
    row = {"what": "kills", "cases": 1200, "lost": 0, "tracebacks": 1, "hangs": 0, "peak_mb": 90.4}
    for name, command in (("a", "make soak"), ("b", "make fuzz")):
        document = {"command": command, "rows": [row | {"wrong": 2}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    lines = trust.tried().splitlines()
    assert lines[2] == "| kills | 1,200 | 0 | 1 | 0 | 2 | 90 | `make soak` |"
    assert lines[-1] == "| all | 2,400 | 0 | 2 | 0 | 4 | 90 |  |"


def test_the_front_page_quotes_what_was_measured() -> None:
    page = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for sentence in bench.sentences():
        assert sentence in page, "`python benchmarks/bench.py --page` prints its sentences"


def test_every_script_with_figures_runs_in_make_bench() -> None:
    own = {path.stem for path in FOLDER.glob("*.py") if "measured.write(" in path.read_text()}
    assert own <= {*bench.SCRIPTS, *bench.APART}
    assert {path.stem for path in bench.KEPT.glob("*.json")} <= {*bench.SCRIPTS, *bench.APART}
    for path in bench.KEPT.glob("*.json"):
        rows = json.loads(path.read_text("utf-8"))["rows"]
        assert len({row["what"] for row in rows}) == len(rows), path.name


@pytest.mark.parametrize(
    ("bounds", "ratio", "target", "met"),
    [
        ({"at_most": 1.5}, 1.5, "≤ 1.5", True),
        ({"at_most": 1.5}, 1.51, "≤ 1.5", False),
        ({"at_least": 4}, 3.9, "≥ 4", False),
        ({"at_least": 4}, None, "≥ 4", True),  # then it is the value's
        ({}, 2.0, None, None),
    ],
)
def test_a_bound_is_kept_or_missed(
    bounds: dict[str, float], ratio: float | None, target: str | None, met: bool | None
) -> None:
    facts = measured.Row("job", 5.0, "ms", "peer", ratio, **bounds).facts()
    assert (facts["target"], facts["met"]) == (target, met)


def test_a_kept_file_names_no_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = tmp_path / "ravdess", tmp_path / "featurize.json"
    corpus.mkdir()
    line = ["/somewhere/featurize.py", str(corpus), "--json", str(out), "--quick"]
    monkeypatch.setattr(sys, "argv", line)
    measured.write(out, [measured.Row("job", 1.0, "ms")])
    assert str(tmp_path) not in out.read_text()
    kept = json.loads(out.read_text())
    assert kept["command"] == "python benchmarks/featurize.py RAVDESS/ --quick"
    assert {"python", "numpy", "torch"} <= set(kept["versions"])


def test_rows_of_what_did_not_run_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "load.json"
    monkeypatch.setattr(sys, "argv", ["load.py"])
    measured.write(out, [measured.Row("one", 1.0, "s"), measured.Row("two", 2.0, "s")])
    measured.write(out, [measured.Row("two", 3.0, "s")], add=True)
    rows = json.loads(out.read_text())["rows"]
    assert [(row["what"], row["value"]) for row in rows] == [("one", 1.0), ("two", 3.0)]


def test_what_falls_short_says_why() -> None:
    row = measured.Row("job", 2.0, "ms", "peer", 2.0, at_most=1, why="the lock").facts()
    document = {"command": "c", "versions": {}, "processor": "p", "cores": 2, "rows": [row]}
    assert "- `one`, job: the lock" in bench.table({"one": document})
