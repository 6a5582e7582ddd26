"""Options declared once: the command line, the checks and the lineage follow the fields."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made
import options_page
import pytest
import typer

from sertool import cli as command_line
from sertool.cli.application import application
from sertool.core.errors import UsageError
from sertool.core.options import Options, build, declared, nested, recorded
from sertool.core.settings import option


@dataclass(frozen=True)
class Inner(Options):
    rate: float = option(0.5, "A rate.", "Hz", above=0, below=1)
    mode: str = option("a", "A mode.", choices=("a", "b"))


@dataclass(frozen=True)
class Outer(Options):
    inner: Inner = nested(Inner)
    changed: dict[str, Any] = nested(Inner, partial=True)


@dataclass(frozen=True)
class Stage(Options):
    inner: Inner = nested(Inner)
    size: int = option(3, "A size.", least=1)
    span: tuple[float, float] = option((0.0, 1.0), "A span.", least=0)
    names: tuple[str, ...] = option((), "Names.")
    path: Path | None = option(None, "A path.", recorded=False)
    on: bool = option(False, "A switch.")

    def check(self) -> None:
        if self.on and not self.names:
            raise UsageError("--on needs --names")


def test_texts_and_values_give_the_same_options() -> None:
    texts = {
        "rate": "0.25",
        "size": "4",
        "span": "1:2",
        "names": ["x", "y"],
        "path": "p",
        "on": True,
    }
    values = {"rate": 0.25, "size": 4, "span": [1, 2], "names": ["x", "y"], "path": "p", "on": True}
    made = build(Stage, texts, text=True)
    assert made == build(Stage, values)
    assert made == Stage(Inner(0.25), 4, (1.0, 2.0), ("x", "y"), Path("p"), True)
    assert build(Stage, {"span": "2"}, text=True).span == (2.0, 2.0)
    assert build(Stage, {"size": None}) == Stage()


def test_the_lineage_leaves_out_what_shapes_nothing() -> None:
    assert recorded(Stage(names=("x",), path=Path("p"))) == {
        "inner": {"rate": 0.5, "mode": "a"},
        "size": 3,
        "span": [0.0, 1.0],
        "names": ["x"],
        "on": False,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": "0"}, "--size 0: needs a whole number, 1 or more"),
        ({"size": "x"}, "--size x: needs a whole number, 1 or more"),
        ({"rate": "1"}, "--rate 1: needs a number, between 0 and 1"),
        ({"rate": "nan"}, "--rate nan: needs a number"),
        ({"span": "1:x"}, "--span 1:x: needs LOW:HIGH, two numbers, 0 or more"),
        ({"mode": "c"}, "--mode c: needs a or b"),
        ({"on": True}, "--on needs --names"),
        ({"colour": "red"}, "no option colour; there are rate, mode, size"),
    ],
)
def test_wrong_values_are_told_alike(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(Stage, values, text=True)
    assert str(caught.value).startswith(message)


def test_a_value_out_of_range_is_refused_however_it_comes() -> None:
    with pytest.raises(UsageError, match="--size 0: needs a whole number, 1 or more"):
        Stage(size=0)
    with pytest.raises(UsageError, match=r"--size 1\.5"):
        Stage(size=1.5)  # type: ignore[arg-type]


def test_partial_options_are_those_that_were_given() -> None:
    made = build(Outer, {"rate": "0.1"}, text=True)
    assert made.changed == {"rate": 0.1}
    assert [one.default for one in declared(Outer)] == [0.5, "a", None, None]


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_every_option_is_declared_once_and_explained(name: str) -> None:
    options = [o for group in command_line.load(name).groups.values() for o in declared(group)]
    flags = [one.flag for one in options] + [o.option.short for o in options if o.option.short]
    assert len(set(flags)) == len(flags)
    for one in options:
        text = one.option.help
        assert text[:1] == text[:1].upper() or text.startswith(one.option.choices[:1]), one.flag
        assert text.endswith("."), one.flag


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_what_changes_no_output_is_not_recorded(name: str) -> None:
    groups = command_line.load(name).groups
    idle = {"workers", "strict", "json", "figures", "format", "output", "explain", "require"}
    own = declared(groups["options"]) if "options" in groups else ()
    kept = {one.name for one in own if one.option.recorded}
    assert name in ("info", "list") or not kept & idle
    assert not any(one.option.recorded for one in declared(groups["run"]))


@pytest.mark.parametrize("name", command_line.COMMANDS)
@pytest.mark.parametrize("columns", [60, 80])
def test_help_fits_the_terminal(
    name: str, columns: int, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    result = cli(name, "--help")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= columns
    assert "\x1b" not in result.out
    for group in command_line.load(name).groups.values():
        for one in declared(group):
            assert one.flag in result.out


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_the_examples_in_the_help_are_right(name: str) -> None:
    command = command_line.load(name)
    lines = [" ".join(text.split()) for text in command.help.split("\n\n")]
    examples = [line for line in lines if f"sertool {name} " in line and line[0] in "sf"]
    assert examples
    parser: Any = typer.main.get_command(application(name, lambda *_: 0))
    for line in examples:
        words = shlex.split(line.partition(f"sertool {name} ")[2].split(" | ")[0], comments=True)
        words = words[: words.index(">")] if ">" in words else words
        values = parser.commands[name].make_context(name, words).params
        for group in command.groups.values():
            given = {o.name: values[o.name] for o in declared(group) if values[o.name]}
            build(group, given, text=True)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("sertool train --optimizer ada", {"adam", "adamw"}),
        ("sertool featurize --kind m", {"mel", "mfcc"}),
        ("sertool eval --require speaker", {"speaker-disjoint"}),
        ("sertool tr", {"train"}),
        ("sertool prepare --labels ra", {"ravdess4", "ravdess8"}),
        ("sertool prepare --corpus rav", {"ravdess"}),
        ("sertool list m", {"models", "metrics"}),
        ("sertool train --augment ti", {"time-mask", "time-stretch"}),
        ("sertool train --augment flip,z", {"flip,zoom"}),
    ],
)
def test_completion(words: str, wanted: set[str], capfd: pytest.CaptureFixture[str],
                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setitem(os.environ, "_SERTOOL_COMPLETE", "complete_bash")
    monkeypatch.setitem(os.environ, "COMP_WORDS", words)
    monkeypatch.setitem(os.environ, "COMP_CWORD", str(len(words.split()) - 1))
    command_line.main([])
    assert set(capfd.readouterr().out.split()) == wanted


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("featurize a b.h5 --kind mell", "mel"),
        ("featurize . b.h5 --corpus emo-db", "emodb"),
        ("prepare . m.jsonl --corpus Emodb", "emodb"),
        ("prepare . m.jsonl --labels fser", "fser8"),
        ("prepare . m.jsonl --to audfromat", "audformat"),
        ("list modles", "models"),
        ("list kinds --kind mfc", "mfcc"),
        ("featurize . b.h5 --set n_mel=3", "n_mels"),
    ],
)
def test_did_you_mean(cli, sounds: Path, words: str, meant: str,
                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(sounds)
    result = cli(*words.split())
    assert result.code in (2, 3)
    assert f"did you mean '{meant}'?" in result.err


def test_did_you_mean_a_model_or_an_augmentation(cli, tmp_path: Path) -> None:
    store = made.store(tmp_path / "s.h5", tmp_path, made.corpus(tmp_path))
    for options, meant in (
        (["--model", "liner"], "linear"),
        (["--model", "ma2018", "--augment", "tme-mask"], "time-mask"),
    ):
        result = cli("train", store, tmp_path / "m.ckpt", *options)
        assert result.code == 2
        assert f"did you mean '{meant}'?" in result.err


def test_verbose_says_more(cli, sounds: Path, tmp_path: Path) -> None:
    given = ("featurize", "--sample-rate", 8000, "-j1", sounds)
    quiet = cli(*given, tmp_path / "a.h5").err
    told = cli(*given, tmp_path / "b.h5", "--verbose").err
    assert "s00.wav: resampled" in told
    assert "options: kind mel, " in told
    assert "took " in told
    assert "s00.wav" not in quiet
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert cli(*given, tmp_path / "c.h5", "--quiet", "--verbose").code == 2


def test_the_page_of_options_is_up_to_date() -> None:
    path = Path(__file__).parent.parent / "docs" / "options.md"
    expected = options_page.page()
    assert path.read_text(encoding="utf-8") == expected, "python tests/options_page.py > that file"
