"""Parts from outside: an installed package with entry points, or a file that --plugin names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sertool import metrics
from sertool.core import plugins
from sertool.formats.store import Store

EXAMPLE = Path(__file__).parent.parent / "examples" / "plugin"
SPEAKERS = ("finch", "heron", "swift", "robin")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget after each test what was loaded in it."""
    monkeypatch.setattr(plugins, "_files", {})
    monkeypatch.setattr(plugins, "_loaded", {})
    metrics.known.cache_clear()
    before = set(sys.modules)
    yield
    metrics.known.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("sertool_example"):
            del sys.modules[name]


def entry_points() -> dict[str, dict[str, str]]:
    return tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The example package, as pip would have installed it; no further options."""
    info = tmp_path / "site" / "sertool_example-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sertool-example\nVersion: 0.1\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in entry_points().items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(info.parent)
    return []


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same parts from a Python file; the option that names it."""
    monkeypatch.syspath_prepend(EXAMPLE)
    lines = ["import importlib", "PLUGINS = {"]
    for group, points in entry_points().items():
        lines.append(f"    {group!r}: {{")
        for name, value in points.items():
            module, _, part = value.partition(":")
            lines.append(f"        {name!r}: importlib.import_module({module!r}).{part},")
        lines.append("    },")
    path = tmp_path / "parts.py"
    path.write_text("\n".join([*lines, "}"]) + "\n")
    return ["--plugin", str(path)]


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    folder, random = tmp_path / "birds", np.random.default_rng(0)
    folder.mkdir()
    time = np.arange(4800) / 16000
    for s, speaker in enumerate(SPEAKERS):
        for k, word in enumerate(("angry", "happy", "sad")):
            for take in (1, 2):
                tone = (0.1 + 0.2 * (k == 0)) * np.sin(2 * np.pi * (150 + 400 * k + 20 * s) * time)
                noisy = tone + 0.01 * random.standard_normal(len(time))
                soundfile.write(folder / f"{speaker}-{word}-{take}.wav", noisy, 16000)
    return folder


@pytest.mark.parametrize("source", ["installed", "file"])
def test_every_command_takes_parts_from_outside(
    cli, birds: Path, tmp_path: Path, source: str, request: pytest.FixtureRequest
) -> None:
    option = request.getfixturevalue(source)
    manifest, wave, more, features, model, report = (
        tmp_path / name for name in ("m.jsonl", "w.h5", "a.h5", "z.h5", "m.ckpt", "r.json")
    )

    def run(command: str, *arguments: object) -> str:
        result = cli(command, *arguments, *option)
        assert result.code == 0, result.err
        return result.out

    run("prepare", "--split", "speakers:2", birds, manifest)  # the corpus knows its own
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert {(row["corpus"], row["label"]) for row in rows} == {
        ("birds", "anger"), ("birds", "happiness"), ("birds", "sadness")
    }  # fmt: skip
    assert {row["take"] for row in rows} == {"1", "2"}

    run("featurize", "--kind", "wave", manifest, wave)
    for seed in (1, 1, 2):
        run("augment", "--clip", "3:12", "--seed", seed, "--force", wave, tmp_path / f"{seed}.h5")
    drawn = {}
    for seed in (1, 2):
        with Store(tmp_path / f"{seed}.h5") as store:
            copies = [json.loads(i.augmentation) for i in store.items() if i.augmentation]
            drawn[seed] = [copy["clip"]["clip_db"] for copy in copies]
    assert len(set(drawn[1])) == 24
    assert all(3 <= db <= 12 for db in drawn[1])
    assert drawn[1] != drawn[2]
    said = " ".join(run("augment", "--help").replace("│", " ").split())
    assert "--clip LOW:HIGH Clip this far below the peak, e.g. 3:12" in said
    assert cli("augment", "--clip", "12:3", *option, wave, more).code == 2

    run("augment", "--clip", "3:12", wave, more)
    run("featurize", "--kind", "zero-crossings", "--set", "hop=0.02", more, features)
    with Store(features) as store:
        assert (store.kind, store.shape, store.frame_rate) == ("zero-crossings", (2,), 50.0)

    trained = ("--model", "centroid", "--set", "temperature=2", "--test-fold", 0)
    run("train", *trained, features, model)
    run("eval", model, features, "--json", report)
    found = json.loads(report.read_text())
    recalls = [row["recall"] for row in found["per_class"].values()]
    assert found["min_recall"] == min(recalls)
    assert "min_recall" in found["baselines"]["majority"]
    assert "worst class" in run("report", report)

    path = birds / "finch-happy-1.wav"
    row = json.loads(run("predict", model, path, "--format", "jsonl"))
    assert row["label"] == "happiness"
    lines = run("info", "--commands", model).splitlines()
    named = [line.split()[1] for line in lines if line.endswith(' --plugin "$PLUGIN"')]
    assert named == (["augment", "featurize", "train"] if option else [])
    assert ("# PLUGIN: the plug-in parts.py" in lines) is bool(option)

    with Store(features) as store:
        item = next(i for i in store.items() if i.id == "birds/finch-happy-1")
        assert item.augmentation == ""


def test_lines_of_a_part_that_nobody_knows(
    cli, file: list[str], birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "z.h5"
    assert cli("featurize", "--kind", "zero-crossings", birds, store, *file).code == 0
    monkeypatch.setattr(plugins, "_files", {})
    result = cli("info", "--commands", store)
    assert (result.code, result.out) == (2, "")
    assert "zero-crossings among features is a plug-in's: name its file by --plugin" in result.err


def test_listed(cli, installed: list[str]) -> None:
    for what, name in [
        ("corpora", "birds"),
        ("kinds", "zero-crossings"),
        ("augmentations", "clip"),
        ("models", "centroid"),
    ]:
        assert name in cli("list", what).out
    assert "length of a frame" in cli("list", "kinds", "--kind", "zero-crossings").out


def test_a_new_process_needs_no_more_than_the_option(
    file: list[str], birds: Path, tmp_path: Path
) -> None:
    """Workers and all: nothing stays from one command to the next."""
    out = tmp_path / "z.h5"
    for command in (
        ["featurize", "--kind", "zero-crossings", "--workers", "2", str(birds), str(out)],
        ["list", "kinds"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "sertool", *command, *file],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLE), *sys.path])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert "zero-crossings" in done.stdout
    with Store(out) as store:
        assert len(store) == 24


def test_completion_imports_no_plugin(installed: list[str], monkeypatch) -> None:
    monkeypatch.setenv("_SERTOOL_COMPLETE", "complete_bash")
    assert plugins.names({}, "sertool.corpora") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("x = 1", "needs a table PLUGINS"),
        ("PLUGINS = {'sertool.colours': {}}", "needs a table PLUGINS"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_file_that_adds_nothing(cli, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "p.py"
    if content is not None:
        path.write_text(content)
    result = cli("prepare", "--plugin", path, tmp_path, tmp_path / "m.jsonl")
    assert (result.code, result.err.count("\n")) == (3, 1), result.err
    assert said in result.err


def test_a_file_is_read_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second, and of the same length: what Python keeps compiled would seem to fit."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for number in range(2):
        path.write_text(f'PLUGINS = {{"sertool.metrics": {{"mine": {number}}}}}')
        os.utime(path, (1e9, 1e9))
        plugins.load_file(path)
        assert plugins._files["sertool.metrics"]["mine"] == number
    assert os.listdir(tmp_path) == ["mine.py"]


def test_a_package_that_fails_is_named(cli, installed: list[str], tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sertool_example.zero_crossings", None)
    result = cli("featurize", "--kind", "zero-crossings", tmp_path, tmp_path / "x.h5")
    assert (result.code, result.err.count("\n")) == (3, 1), result.err
    assert "sertool-example fails" in result.err
