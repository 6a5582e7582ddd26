"""Named files that are none, have no end, or say more than they should: one line, and at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_stores import write_store

from sertool.core.paths import contents, regular, text_of


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """End a test that waits for a pipe."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def desk(tmp_path: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").symlink_to(sounds)
    wave = sorted(sounds.rglob("*.wav"))[0]
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", "path": str(wave)}) + "\n")
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 4}", "fold": i // 4}
        for i in range(8)
    ]
    write_store(tmp_path / "f.h5", [draw.normal(i % 2, 1, (9, 3)) for i in range(8)], rows)
    return tmp_path


WORDS = [
    "info X", "info X --items", "info f.h5 --audit X",
    "prepare X.jsonl o", "prepare X.csv o", "prepare c o --labels X.toml",
    "prepare c o --corpus X.toml", "prepare c o --split file:X.csv",
    "featurize X.jsonl o", "featurize X.h5 o", "augment --awgn 9 X o",
    "train X o --test-fold 0", "train f.h5 o --test-fold 0 --init X",
    "eval X f.h5", "predict X.ckpt c", "predict X.onnx c", "report X.json",
    "report X.json --pack o",
    "report --paper X.toml", "calibrate X r.json o.ckpt", "fuse X X o.ckpt",
]  # fmt: skip


@pytest.mark.parametrize("what", ["pipe", "endless", "socket"])
@pytest.mark.parametrize("words", WORDS)
def test_what_is_no_file(cli, desk: Path, words: str, what: str) -> None:
    given = words.split()
    name = next(word.removeprefix("file:") for word in given if "X" in word)
    if what == "pipe":
        os.mkfifo(name)
    elif what == "endless":
        os.symlink("/dev/zero", name)
    else:
        socket.socket(socket.AF_UNIX).bind(name)
    result = cli(*given[:1], *(["-q"] if given[0] != "info" else []), *given[1:])
    assert result.code in (2, 3), result.err
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err
    assert sorted(desk.glob("o*")) == []


def test_regular_files_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345\r\n6")
    (tmp_path / "link").symlink_to("a")
    assert contents(tmp_path / "link", 8) == b"12345\r\n6"
    assert text_of(tmp_path / "a") == "12345\n6"
    with pytest.raises(OSError, match="larger"):
        contents(tmp_path / "a", 7)
    with pytest.raises(OSError, match=r"link|symbolic"):
        regular(tmp_path / "link", follow=False)
    with pytest.raises(IsADirectoryError):
        regular(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        regular("/dev/zero")


def test_a_manifest_s_lines_are_bounded(cli, desk: Path) -> None:
    line = Path("m.jsonl").read_text()
    row = json.loads(line)
    long = json.dumps(row | {"id": "b", "text": "x" * (3 << 20)}) + "\n"
    Path("long.jsonl").write_text(line + long + json.dumps(row | {"id": "c"}) + "\n")
    result = cli("featurize", "-q", "long.jsonl", "o.h5")
    assert result.code == 1
    assert "line 2" in result.err
    assert "longer than" in result.err
    assert result.err.count("\n") == 1
    assert len(result.err) < 300
    assert "2 " in cli("info", "o.h5").out


def test_a_line_without_end_is_not_read_to_the_end(cli, desk: Path) -> None:
    with open("endless.jsonl", "wb") as file:
        file.truncate(1 << 40)
    result = cli("featurize", "-q", "endless.jsonl", "o.h5")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert "endless.jsonl: a line is longer than 256 million characters" in result.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.json", "[" + "[]," * 500_000 + "[]]"),
        ("r.jsonl", "{}\n" * 100_000),
        ("r.jsonl", "\n" * 100_000),
        ("m.ckpt", '{"__metadata__":{"sertool":"[' + "[]," * 500_000 + '[]]"}}'),
    ],
)
def test_json_that_grows_in_memory_is_refused(
    cli, desk: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv("SERTOOL_MEMORY", "0.02")
    head = len(text).to_bytes(8, "little") if name == "m.ckpt" else b""
    Path(name).write_bytes(head + text.encode())
    result = cli("info" if name == "m.ckpt" else "report", name)
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert name in result.err
    assert "SERTOOL_MEMORY=1 in the environment" in result.err


def test_one_long_text_takes_no_room_for_all(cli, desk: Path) -> None:
    row = json.loads(Path("m.jsonl").read_text())
    rows = [row | {"id": f"{i}", "text": "x" * (900_000 if i == 3 else 3)} for i in range(400)]
    Path("wide.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("featurize", "-q", "wide.jsonl", "o.h5", "--duration", "0.1")
    assert result.code == 3
    assert result.err.count("\n") == 1
    assert "3: its text has 900000 bytes" in result.err


@pytest.mark.parametrize("words", ["info m.jsonl", "info m.jsonl --items", "info f.h5 --items"])
def test_nothing_raw_reaches_the_terminal(cli, desk: Path, words: str) -> None:
    bad = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"
    row = json.loads(Path("m.jsonl").read_text())
    row |= {"id": f"a{bad}", "label": f"l{bad}", "speaker": f"s{bad}", "text": f"t{bad}",
            "corpus": f"c{bad}", f"field{bad}": f"v{bad}"}  # fmt: skip
    Path("m.jsonl").write_text(json.dumps(row) + "\n")
    if "f.h5" in words:
        assert cli("featurize", "-q", "--force", "m.jsonl", "f.h5").code == 0
    result = cli(*words.split())
    assert result.code == 0, result.err
    for text in (result.out, result.err):
        for character in "\x1b\x07\u202e\x9b":
            assert character not in text


def test_a_figure_follows_no_file_of_the_working_folder(cli, desk: Path) -> None:
    assert cli("featurize", "-q", "--kind", "mel", "c", "mel.h5").code == 0
    pictures = []
    for text in ("", "axes.facecolor: red\nsavefig.facecolor: blue\nfont.size: 31\n"):
        Path("matplotlibrc").write_text(text)
        folder = desk / f"p{len(text)}"
        command = [sys.executable, "-m", "sertool", "info", "mel.h5", "--figures", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        pictures.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert pictures[0] == pictures[1]
    assert pictures[0]
