"""A plain command line means without Typer what it means with it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sertool.cli import COMMANDS, load
from sertool.cli.application import application
from sertool.cli.plain import values_of
from sertool.core.options import Command, declared

CORPUS = Path(__file__).resolve().parent.parent / "data" / "demo" / "corpus"
ONE = CORPUS / "spk01" / "spk01_sadness_s1_r2.flac"
WORDS = ("a", "b/c d", "-", "1", "1.5", "2:3", "x=y", "none", "é", "", "a,b")
ODD = ("--", "-h", "--help", "-x", "-q")


def by_typer(command: Command, words: list[str]) -> dict[str, Any] | None:
    """Return what Typer calls the command with; None where it refuses the line, or helps."""
    found: list[dict[str, Any]] = []

    def run(_: Command, values: dict[str, Any]) -> int:
        found.append(values)
        return 0

    try:
        line = [command.name, *words]
        application(command.name, run)(args=line, prog_name="sertool", standalone_mode=False)
    except Exception:
        return None
    return found[0] if found else None


def line(command: Command, draw: random.Random) -> list[str]:
    """Return a line of some of a command's options and some words."""
    words = [draw.choice(WORDS) for _ in range(draw.choice((0, 1, 2, 2, 3, 5)))]
    options = [one for cls in command.groups.values() for one in declared(cls)]
    for one in draw.choices(options, k=draw.choice((0, 1, 2, 4))):
        flag = one.flag
        if one.hint is bool and draw.random() < 0.3:
            flag = f"--no-{flag[2:]}"
        if one.option.short and draw.random() < 0.1:
            flag = one.option.short
        value = draw.choice((*WORDS, "-5", "--force"))
        own = [flag] if one.hint is bool else [flag, value]
        if draw.random() < 0.3:
            own = [f"{flag}={value}"]
        at = draw.randrange(len(words) + 1)
        words[at:at] = own
    if draw.random() < 0.1:
        words.insert(draw.randrange(len(words) + 1), draw.choice(ODD))
    return words


@pytest.mark.parametrize("name", COMMANDS)
def test_both_read_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, draw, plain = load(name), random.Random(name), 0
    for _ in range(60):
        words = line(command, draw)
        ours = values_of(command, words)
        if ours is None:
            continue
        plain += 1
        theirs = by_typer(command, words)
        assert theirs is not None, words
        for key, value in ours.items():
            assert (type(value), value) == (type(theirs[key]), theirs[key]), (words, key)
        assert {*command.arguments} | {
            one.name for cls in command.groups.values() for one in declared(cls)
        } == set(ours)
    assert plain > 1


@pytest.mark.parametrize(
    "words",
    [[], ["--help"], ["-h"], ["--nothing", "x"], ["a", "--window"], ["a", "-o", "b"], ["--", "a"],
     ["a", "--window", "1", "--window", "2"], ["a", "--window", "-1"], ["a", "--strict=yes"]],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert values_of(load("predict"), words) is None


def test_the_first_answer_imports_little(tmp_path: Path) -> None:
    import soundfile

    samples, rate = soundfile.read(ONE)
    soundfile.write(tmp_path / "one.wav", samples, rate)
    code = (
        "import sys; from sertool.cli import main; main(['predict', sys.argv[1]]);"
        "print(*sorted({n.partition('.')[0] for n in sys.modules} |"
        " {n for n in sys.modules if n.startswith(('numpy.ma', 'sertool'))}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    loaded = set(done.stderr.splitlines()[-1].split())
    heavy = {"typer", "rich", "pydantic", "h5py", "scipy", "sklearn", "librosa", "numba", "torch"}
    heavy |= {"matplotlib", "transformers", "onnx", "numpy.ma"}
    assert loaded & heavy == set()
    ours = {"cli.parameters", "evaluation.heldout", "evaluation.report", "evaluation.by_speaker"}
    ours |= {"formats.store", "corpora.discover", "models.encoders", "evaluation.streaming"}
    assert loaded & {f"sertool.{name}" for name in ours} == set()
    assert "soundfile" in loaded
    assert "sertool.formats.checkpoint" in loaded


@pytest.mark.parametrize("words", ["sertool pre", "sertool train --batch-s"])
def test_completion_imports_no_pydantic(words: str) -> None:
    code = (
        "import sys; from sertool.cli import main; main([]);"
        "print(*sorted({n.partition('.')[0] for n in sys.modules}), file=sys.stderr)"
    )
    number = str(words.count(" "))
    asked = {"_SERTOOL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | asked)
    assert words.split()[-1] in done.stdout
    loaded = set(done.stderr.splitlines()[-1].split())
    assert loaded & {"pydantic", "numpy", "torch", "soundfile"} == set()
