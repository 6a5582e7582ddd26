"""The console: quiet where asked, plain in pipes, honest about the time left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sertool.core.errors import InputError, UsageError
from sertool.ui import console as module
from sertool.ui.console import Console


def test_who_says_what(capsys: pytest.CaptureFixture[str]) -> None:
    for options, expected in (
        ({}, ["note", "warn"]),
        ({"quiet": True}, ["warn"]),
        ({"verbose": True}, ["note", "warn", "detail"]),
    ):
        console = Console("stage", **options)
        for kind in ("note", "warn", "detail"):
            getattr(console, kind)(kind)
        out, err = capsys.readouterr()
        assert out == ""
        assert err == "".join(f"sertool stage: {kind}\n" for kind in expected)
    silent = Console.silent()
    silent.warn("x")
    silent.failed("a.wav", "no")
    assert capsys.readouterr() == ("", "")
    assert silent.exit_code == 1
    with pytest.raises(UsageError, match="contradict"):
        Console("stage", quiet=True, verbose=True)


def test_failures_are_one_line_each_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console("stage", quiet=True)
    assert console.exit_code == 0
    console.failed(Path("two\nlines.wav"), "no sound")
    assert capsys.readouterr().err == "sertool stage: two\\nlines.wav: no sound\n"
    assert (console.failures, console.exit_code) == (1, 1)


def test_log(tmp_path: Path) -> None:
    with Console("stage", quiet=True, log=tmp_path / "log") as console:
        console.event(event="epoch", loss=0.5)
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [row["event"] for row in rows] == ["start", "epoch", "end"]
    assert rows[1]["loss"] == 0.5
    assert rows[0]["time"] > 1e9
    with pytest.raises(InputError, match="cannot write the log"):
        Console("stage", log=tmp_path / "no" / "log")


def test_plain_progress_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with Console("stage").progress(100, "files") as progress:
        progress.skip(50)  # done by an earlier run: says nothing about the speed
        clock[0] += 15
        progress.advance(5)
        assert capsys.readouterr().err == ""  # not before half a minute
        clock[0] += 15
        progress.advance(5, loss=0.25)
        said = capsys.readouterr().err
        assert said == "sertool stage: files 60 of 100, 2 min 00 s left loss 0.25\n"


def test_alike_are_reasons_that_differ_in_numbers_and_names_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console("stage")
    for i in range(12):
        console.failed(f"{i}.m4a", ".m4a needs ffmpeg, which is not installed")
        console.failed(f"{i}.wav", f"only {i} of 9 bytes of 'x{i}'")
    capsys.readouterr()
    console.tally()
    first, second = capsys.readouterr().err.splitlines()
    assert "2 more: .m4a needs ffmpeg, which is not installed (" in first
    assert "2 more: only … of … bytes of … (" in second
