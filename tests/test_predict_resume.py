"""`predict --output --resume`: what is done is not done again, and no other's output is taken."""

from __future__ import annotations

import json
import os

import made
import pytest
import soundfile
from test_hearing import RATE, tones

from sertool.features.hearing import Hearing
from sertool.formats import journal as journals


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    items = made.corpus(folder / "wav", speakers=2)
    made.store(folder / "all.h5", folder / "wav", items)
    for name, part in (("m", "s1"), ("other", "s0")):
        made.train(
            folder / "all.h5",
            folder / f"{name}.ckpt",
            lambda i, part=part: "test" if i.speaker == part else "train",
        )
    (folder / "in").mkdir()
    for i in range(8):
        soundfile.write(folder / "in" / f"{i}.wav", tones(0.4 + 0.2 * i, i), RATE, "PCM_16")
    (folder / "in" / "4b.wav").write_text("no sound")
    return folder


@pytest.fixture
def heard(monkeypatch):
    """The names of the recordings that are heard, in their order; `stop` after so many."""
    real = Hearing.hear

    class Names(list):
        stop = 99

    names = Names()

    def hear(self, item):
        if len(names) >= names.stop:
            raise KeyboardInterrupt
        names.append(os.path.basename(item.path))
        return real(self, item)

    monkeypatch.setattr(Hearing, "hear", hear)
    monkeypatch.setattr("sertool.core.boxes.FORKS", False)  # in this process
    monkeypatch.setattr(journals, "EVERY", 0.0)
    return names


@pytest.mark.parametrize(
    "options",
    [[], ["--format", "csv"], ["--pool", "none"], ["--channel", "each"], ["-q", "--digits", 2]],
)
def test_what_is_done_is_not_done_again(toy, cli, tmp_path, heard, options):
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = ["predict", toy / "m.ckpt", toy / "in", "--vad", "off", *options]
    assert cli(*words, "-o", whole).code == 1
    del heard[:]
    heard.stop = 6
    assert cli(*words, "-o", out).code == 130
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir() if "parts" in p.name] == [".out.parts"]
    heard.stop = 99
    del heard[:]
    result = cli(*words, "-o", out, "--resume")
    assert result.code == 1  # the one that is no sound was tried again
    assert heard == ["4b.wav", "5.wav", "6.wav", "7.wav"]
    assert "-q" in options or "5 recordings done before" in result.err
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".out.made",
        ".whole.made",
        "out",
        "whole",
    ]
    del heard[:]
    result = cli(*words, "-o", out, "--resume")
    assert (result.code, heard) == (0, [])
    assert "-q" in options or "already complete" in result.err


def test_another_model_or_option_is_refused(toy, cli, tmp_path, heard):
    out = tmp_path / "out"
    heard.stop = 3
    words = ["predict", toy / "m.ckpt", toy / "in", "-o", out]
    assert cli(*words, "--vad", "off").code == 130
    heard.stop = 99
    for other in (
        [*words, "--vad", "energy"],
        [*words, "--vad", "off", "--pool", "max"],
        [*words, "--vad", "off", "--format", "csv"],
        ["predict", toy / "other.ckpt", *words[2:], "--vad", "off"],
    ):
        result = cli(*other, "--resume")
        assert result.code == 3
        assert "made with other settings or input" in result.err
    del heard[:]
    assert cli(*words, "--vad", "off").code == 1  # afresh
    assert heard[0] == "0.wav"


def test_a_recording_that_changed_is_heard_again(toy, cli, tmp_path, heard):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", tones(0.6, i), RATE, "PCM_16")
    heard.stop = 2
    words = ["predict", toy / "m.ckpt", folder, "-o", tmp_path / "out"]
    assert cli(*words).code == 130
    soundfile.write(folder / "0.wav", tones(0.8, 9), RATE, "PCM_16")
    del heard[:]
    heard.stop = 99
    assert cli(*words, "--resume").code == 0
    assert heard == ["0.wav", "2.wav"]
    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [row["duration"] for row in rows] == [0.8, 0.6, 0.6]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a letter to my aunt\n", []),
        ("[]\n", []),
        ("path,label\na,b\n", ["--format", "csv"]),
        ("label  confidence\n", ["--format", "table"]),
        ("", ["--format", "csv"]),
        (b"\xff\xfe", []),
    ],
)
def test_no_other_file_is_taken_for_its_own(toy, cli, tmp_path, content, options):
    out = tmp_path / "out"
    out.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = out.read_bytes()
    result = cli("predict", toy / "m.ckpt", toy / "in", "-o", out, "--resume", *options)
    assert result.code == 3, result.err
    assert "--force replaces it" in result.err
    assert out.read_bytes() == before


@pytest.mark.parametrize("form", ["jsonl", "csv", "table"])
def test_a_whole_output_is_believed_only_where_all_is_the_same(toy, cli, tmp_path, heard, form):
    out, folder = tmp_path / "out", tmp_path / "in"
    folder.mkdir()
    for name in ("3.wav", "4b.wav"):
        (folder / name).write_bytes((toy / "in" / name).read_bytes())
    words = ["--format", form, folder, "-o", out]
    assert cli("predict", toy / "m.ckpt", *words).code == 1
    whole = out.read_bytes()
    del heard[:]
    result = cli("predict", toy / "m.ckpt", *words, "--resume")
    assert (result.code, heard) == (0, [])
    assert "out: already complete" in result.err
    for other, name in (
        ([toy / "other.ckpt"], "model"),
        ([toy / "m.ckpt", "--vad", "off"], "vad"),
        ([toy / "m.ckpt", "--pool", "max"], "pool"),
        ([toy / "m.ckpt", "--digits", 3], "digits"),
    ):
        result = cli("predict", *other, *words, "--resume")
        assert result.code == 3
        assert f"exists, made with other settings ({name}); --force replaces it" in result.err
    out.write_bytes(whole[:-1])
    assert "nothing says that it is" in cli("predict", toy / "m.ckpt", *words, "--resume").err
    out.write_bytes(whole)
    (tmp_path / ".out.made").write_text("[" * 9000)
    assert cli("predict", toy / "m.ckpt", *words, "--resume").code == 3
    assert cli("predict", toy / "m.ckpt", *words, "--force").code == 1
    (folder / "5.wav").write_bytes((toy / "in" / "5.wav").read_bytes())
    result = cli("predict", toy / "m.ckpt", *words, "--resume")
    assert result.code == 3
    assert "exists, made of another input" in result.err
    assert heard == ["3.wav", "4b.wav"]
    assert out.read_bytes() == whole


def test_killed_between_the_rows_and_their_name(toy, cli, tmp_path, monkeypatch):
    """What is said of an output that never got its name is not said of the one before it."""
    out = tmp_path / "out"
    words = ["predict", toy / "m.ckpt", toy / "in" / "3.wav", "-o", out]
    out.write_text("old\n")

    def killed(source, target):
        if target == out:
            raise KeyboardInterrupt
        return real(source, target)

    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        assert cli(*words, "--force").code == 130
    assert (out.read_text(), (tmp_path / ".out.made").exists()) == ("old\n", True)
    assert cli(*words, "--resume").code == 3
    out.unlink()
    assert cli(*words, "--resume").code == 0
    assert cli(*words, "--resume").code == 0
