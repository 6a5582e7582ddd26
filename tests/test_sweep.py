"""`sertool sweep`: every run on inner folds, nothing of the test fold, and the table they make."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import items, make

from sertool.evaluation import search
from sertool.formats import checkpoint

GRID = """
test-fold = 0

[train]
model = "logistic"

[search]
set.C = [0.01, 1.0]
class-weights = ["none", "balanced"]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers, two a fold."""
    return make(tmp_path_factory.mktemp("store") / "s.h5", items(each=9, copies=0))


def spec(folder: Path, text: str = GRID) -> Path:
    path = folder / "search.toml"
    path.write_text(text)
    return path


def found(out: Path) -> list[dict[str, Any]]:
    """The runs of a sweep without what a run took, the best first."""
    runs = json.loads((out / "sweep.json").read_text())["runs"]
    return [{n: v for n, v in run.items() if n != "seconds"} for run in runs]


@pytest.fixture
def swept(cli, store: Path, tmp_path: Path) -> tuple[Path, Any]:
    result = cli("sweep", spec(tmp_path), store, tmp_path / "out")
    assert result.code == 0, result.err
    return tmp_path / "out", result


def test_a_grid_has_every_combination_once(swept: tuple[Path, Any]) -> None:
    runs = {json.dumps(run["values"]) for run in found(swept[0])}
    wanted = [{"set.C": c, "class_weights": w} for c in (0.01, 1.0) for w in ("none", "balanced")]
    assert runs == set(map(json.dumps, wanted))
    assert len(found(swept[0])) == 4
    assert {path.name for path in swept[0].iterdir()} == {
        "plan.json", "sweep.json", "sweep.png", "runs",
    }  # fmt: skip


def test_the_order_follows_from_the_items_of_the_reports(swept: tuple[Path, Any]) -> None:
    """UAR of each inner fold, counted from truths and predictions of the items alone."""
    means = {}
    for path in (swept[0] / "runs").glob("*/report.json"):
        report = json.loads(path.read_text())
        speakers = {name: number for number, name in enumerate(("s2 s3", "s4 s5"))}
        rates = []
        for fold in speakers:
            own = [row for row in report["items"] if row["speaker"] in fold.split()]
            classes = sorted({row["truth"] for row in own})
            rates.append(np.mean([
                np.mean([row["prediction"] == c for row in own if row["truth"] == c])
                for c in classes
            ]))  # fmt: skip
        means[int(report["tags"]["run"])] = (np.mean(rates), np.std(rates, ddof=1))
    runs = found(swept[0])
    assert [run["number"] for run in runs] == sorted(means, key=lambda n: (-means[n][0], n))
    for run in runs:
        assert (run["uar"], run["sd"]) == pytest.approx(means[run["number"]])


def test_no_run_has_seen_a_speaker_of_the_test_fold(swept: tuple[Path, Any]) -> None:
    made = list((swept[0] / "runs").glob("*/*.ckpt"))
    assert len(made) == 4 * 2
    for path in made:
        assert {item.speaker for item in checkpoint.load(path).items} == {"s2", "s3", "s4", "s5"}


def test_a_search_that_would_see_the_test_fold_is_refused(
    cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the condition lost that leaves it out: nothing is trained."""
    held = search.hold_out

    def lost(found: search.Search, store: Any) -> Any:
        items = held(found, store)
        found.held = ()
        return items

    monkeypatch.setattr(search, "hold_out", lost)
    result = cli("sweep", spec(tmp_path), store, tmp_path / "out")
    assert result.code == 3
    assert "2 speakers of the test items would be trained or chosen on" in result.err
    assert not (tmp_path / "out").exists()


def test_folds_that_share_speakers_are_refused(cli, tmp_path: Path) -> None:
    rows = [row.replace(fold=i // 3 % 3) for i, row in enumerate(items(copies=0))]
    result = cli("sweep", spec(tmp_path), make(tmp_path / "s.h5", rows), tmp_path / "out")
    assert result.code == 3
    assert "speakers of the test items" in result.err


def test_the_line_that_it_ends_with_trains_the_best(
    cli, swept: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, result = swept
    best = found(out)[0]
    assert "is optimistic: it is the best of 4 runs" in result.out
    lines = [line for line in result.out.splitlines() if line.startswith("sertool ")]
    assert [line.split()[1] for line in lines] == ["train", "eval"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert cli(*shlex.split(line)[1:]).code == 0, line
    made = checkpoint.load(tmp_path / "final.ckpt")
    assert made.meta["model"]["settings"]["C"] == best["values"]["set.C"]
    assert made.meta["training"]["class_weights"] == best["values"]["class_weights"]
    assert {item.speaker for item in made.part("train")} == {"s2", "s3", "s4", "s5"}
    assert {item.speaker for item in made.part("test")} == {"s0", "s1"}


def test_a_killed_sweep_goes_on_to_the_same_table(
    cli, store: Path, swept: tuple[Path, Any], tmp_path: Path
) -> None:
    """Killed as its second run has begun; what is done is not done again."""
    whole, text = found(swept[0]), swept[1].out
    out = tmp_path / "again"
    code = (
        "import os, signal\n"
        "from sertool.training import folds\n"
        "real = folds._train_one\n"
        "def train(job, division, output, run):\n"
        "    if output.name == '2.ckpt' and output.parent.name == '002':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(job, division, output, run)\n"
        "folds._train_one = train\n"
        "from sertool.cli import main\n"
        f"main(['sweep', {str(spec(tmp_path))!r}, {str(store)!r}, {str(out)!r}])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["001", "002"]
    assert not (out / "sweep.json").exists()
    first = (out / "runs/001/report.json").stat().st_mtime_ns
    assert cli("sweep", spec(tmp_path), store, out).code == 3  # neither --resume nor --force
    result = cli("sweep", spec(tmp_path), store, out, "--resume", "--parallel", "2")
    assert result.code == 0, result.err
    assert "1 of 4 runs had been made before" in result.err
    assert (out / "runs/001/report.json").stat().st_mtime_ns == first
    assert found(out) == whole
    assert result.out.splitlines()[-2:] == text.splitlines()[-2:]
    for path in (swept[0] / "runs").glob("*/*.ckpt"):
        assert path.read_bytes() == (out / path.relative_to(swept[0])).read_bytes()
    other = spec(tmp_path, GRID.replace("1.0", "2.0"))
    refused = cli("sweep", other, store, out, "--resume")
    assert refused.code == 3
    assert "of another sweep" in refused.err
    assert cli("sweep", other, store, out, "--force").code == 0
    assert {run["values"]["set.C"] for run in found(out)} == {0.01, 2.0}


RANDOM = """
sampler = "random"
trials = 12
test-fold = 0
[train]
model = "logistic"
[search]
set.C = {low = 1e-3, high = 10.0, log = true}
seed = {low = 0, high = 3}
"""


def test_random_draws_are_those_of_the_seed(tmp_path: Path) -> None:
    drawn = [dict(v) for v in search.read(spec(tmp_path, RANDOM)).candidates()]
    assert drawn == list(search.read(spec(tmp_path, RANDOM)).candidates())
    assert drawn != list(search.read(spec(tmp_path, "seed = 1\n" + RANDOM)).candidates())
    assert len({json.dumps(values) for values in drawn}) == 12
    assert all(1e-3 <= values["set.C"] <= 10 for values in drawn)
    assert 0.2 < np.mean([values["set.C"] < 0.1 for values in drawn]) < 0.8  # of a log scale
    assert {values["seed"] for values in drawn} <= {0, 1, 2, 3}
    more = search.read(spec(tmp_path, RANDOM.replace("12", "15"))).candidates()
    assert list(more)[:12] == drawn
    few = RANDOM.replace("set.C = {low = 1e-3, high = 10.0, log = true}\n", "")
    assert len(list(search.read(spec(tmp_path, few)).candidates())) == 4  # there are no more


def test_inner_folds_of_parts(cli, tmp_path: Path) -> None:
    """A store with parts: those of test stay out, the others' speakers make inner folds."""
    parts = {"s0": "test", "s1": "val"}
    rows = [
        row.replace(fold=None, part=parts.get(str(row.speaker), "train")) for row in items(copies=0)
    ]
    store = make(tmp_path / "s.h5", rows)
    text = GRID.replace("test-fold = 0", "")
    assert "inner = " in cli("sweep", spec(tmp_path, text), store, tmp_path / "out").err
    text = f'inner = "speakers:2"\n{text}'
    result = cli("sweep", spec(tmp_path, text), store, tmp_path / "out")
    assert result.code == 0, result.err
    for path in (tmp_path / "out/runs").glob("*/*.ckpt"):
        own = checkpoint.load(path)
        known = [{item.speaker for item in own.part(part)} for part in ("train", "test")]
        assert known[0].isdisjoint(known[1])
        assert set.union(*known) == {"s1", "s2", "s3", "s4", "s5"}


WRONG = {
    "[search": "not a TOML file",
    GRID + "momentun = [1]": ":10: train has no option momentun; did you mean 'momentum'?",
    GRID + "lr = [0.1, 0]": ":10: --lr 0: needs a number, above 0",
    GRID + "epochs = ['many']": ":10: --epochs many: needs a whole number",
    GRID.replace("set.C", "set.CC"): ":8: --set CC: no such setting",
    GRID.replace("0.01", "-1"): ":8: --set C=-1: needs a number or a list",
    GRID.replace("logistic", "logistik"): ":5: no 'logistik' among models",
    GRID + "model = ['svm']": ":10: model: stands in [train], too",
    GRID + "where = [['fold=0']]": ":10: where: runs that test other items",
    GRID + "test-fold = [1]": ":10: test-fold: is not for a sweep",
    GRID + "mixup = []": ":10: mixup: needs a list of values",
    GRID + "mixup = {low = 0.1, high = 0.2}": ":10: mixup: a grid needs a list",
    "trials = 3" + GRID: ":1: trials: a grid tries all",
    "trails = 3" + GRID: ":1: no such entry 'trails'; did you mean 'trials'?",
    "seed = -1" + GRID: ":1: seed",
    'sampler = "grit"' + GRID: ":1: sampler cannot be 'grit'",
    'sampler = "random"' + GRID: ":1: sampler random: needs trials",
    'inner = "speaker:2"' + GRID: ":1: inner: unknown protocol",
    GRID.replace("= 0\n", "= 7\n", 1): ":2: test-fold 7: not in the store; there are 0, 1, 2",
    GRID.replace("test-fold = 0", ""): "the store has folds 0 to 2: test-fold = K holds one out",
    "test-fold = 0\n[search]\n": "nothing to search",
    RANDOM.replace("1e-3", "20"): ":8: set.C: low must be below high",
    RANDOM.replace("1e-3", "0"): ":8: set.C: log needs numbers above 0",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_named_at_its_line(cli, store: Path, tmp_path: Path, text: str) -> None:
    result = cli("sweep", spec(tmp_path, text), store, tmp_path / "out")
    assert result.code == 3
    assert WRONG[text] in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    for more in ((), ("--force",), ("--resume",)):
        assert cli("sweep", spec(tmp_path), store, out, *more).code == 3
        assert cli("sweep", spec(tmp_path), store, out / "letter.txt", *more).code == 3
    assert [path.name for path in out.iterdir()] == ["letter.txt"]


def test_tpe_learns_and_repeats_itself(cli, store: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    text = RANDOM.replace("random", "tpe").replace("12", "4")
    tables = []
    for name in ("one", "two"):
        result = cli("sweep", spec(tmp_path, text), store, tmp_path / name)
        assert result.code == 0, result.err
        tables.append(found(tmp_path / name))
    assert tables[0] == tables[1]
    shutil.rmtree(tmp_path / "two/runs/003")
    (tmp_path / "two/sweep.json").unlink()
    assert cli("sweep", spec(tmp_path, text), store, tmp_path / "two", "--resume").code == 0
    assert found(tmp_path / "two") == tables[0]


def test_tpe_without_optuna_says_what_to_install(
    cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = cli("sweep", spec(tmp_path, RANDOM.replace("random", "tpe")), store, tmp_path / "o")
    assert result.code == 2
    assert "needs Optuna: pip install 'sertool[sweep]'" in result.err
    assert len(result.err.splitlines()) == 1


def test_the_plan_is_the_file(swept: tuple[Path, Any]) -> None:
    plan = json.loads((swept[0] / "plan.json").read_text())
    assert {n: v for n, v in plan["spec"].items() if n in ("train", "search")} == {
        n: v for n, v in tomllib.loads(GRID).items() if n in ("train", "search")
    }
