"""Two processes on one output: the second is refused at once, and the lock dies with its owner."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sertool.core.errors import InputError
from sertool.formats import outputs
from sertool.formats.outputs import check_output, claim, naming

OWNER = """
import os, signal, sys
from pathlib import Path
from sertool.formats.outputs import claim, naming
with naming([]):
    claim(Path(sys.argv[1]))
    print("claimed", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process claim an output for as long as the block lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        yield process


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["prepare", "{sounds}", "{o}"], "m.jsonl"),
        (["prepare", "--to", "lhotse", "{sounds}", "{o}"], "l"),
        (["featurize", "{sounds}", "{o}"], "f.h5"),
        (["predict", "--output", "{o}", "{sounds}/sad"], "p.jsonl"),
        (["pull", "{model}", "{o}"], "m.ckpt"),
        (["push", "box", "{o}"], "model"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_the_second_is_refused_at_once(
    cli: Callable[..., Any], sounds: Path, tmp_path: Path, words: list[str], output: str
) -> None:
    folder = tmp_path / "o"
    folder.mkdir()
    if words[0] == "pull":
        assert cli("push", "-q", "box", tmp_path / "model").code == 0
    line = [w.format(sounds=sounds, o=folder / output, model=tmp_path / "model") for w in words]
    with owner(folder / output):
        for more in ([], ["--force"], ["--resume"]):
            result = cli(*line, "-q", *more)
            assert (result.code, result.out) == (3, ""), result.err
            assert result.err.count("\n") == 1
            assert f"{output}: another run is writing it" in result.err
            assert os.listdir(folder) == [f".{output}.lock"]
    assert os.listdir(folder) == []
    assert cli(*line, "-q").code == 0
    assert not [name for name in os.listdir(folder) if name.endswith(".lock")]


def test_the_lock_dies_with_its_owner(tmp_path: Path) -> None:
    with owner(tmp_path / "o") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert os.listdir(tmp_path) == [".o.lock"]
        with naming([]):
            check_output(tmp_path / "o", force=False)
    assert os.listdir(tmp_path) == []


def test_one_command_checks_its_output_twice_and_others_follow(tmp_path: Path) -> None:
    for _ in range(2):
        with naming([]):
            for name in ("o", "o", "p"):
                check_output(tmp_path / name, force=False)
            assert sorted(os.listdir(tmp_path)) == [".o.lock", ".p.lock"]
    assert os.listdir(tmp_path) == []
    check_output(tmp_path / "o", force=False)  # nobody's command: nothing would free it
    assert os.listdir(tmp_path) == []


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / ".o.lock").write_text("another program's")
    (tmp_path / ".p.lock").symlink_to("thesis.txt")
    with naming([]):
        claim(tmp_path / "o")
        with pytest.raises((OSError, InputError)):
            claim(tmp_path / "p")
    assert (tmp_path / ".o.lock").read_text() == "another program's"
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert (tmp_path / ".p.lock").is_symlink()


@pytest.mark.parametrize("what", ["link", "dangling", "pipe", "folder", "socket", "device"])
def test_what_is_no_lock_is_neither_used_nor_removed(tmp_path: Path, what: str) -> None:
    lock, other = tmp_path / ".o.lock", tmp_path / "other"
    if what == "link":
        other.write_text("mine")
    make: dict[str, Callable[[], object]] = {
        "link": lambda: lock.symlink_to(other),
        "dangling": lambda: lock.symlink_to(other),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
        "socket": lambda: socket.socket(socket.AF_UNIX).bind(os.path.relpath(lock)),
        "device": lambda: os.mknod(lock, 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    }
    try:
        make[what]()
    except PermissionError:
        pytest.skip("no device can be made here")
    before = os.lstat(lock)
    with naming([]), pytest.raises(InputError, match=r"\.o\.lock: is no lock"):
        claim(tmp_path / "o")
    assert os.path.samestat(os.lstat(lock), before)
    assert other.exists() == (what == "link")


def elsewhere(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where process numbers begin anew, as in a container."""
    line = ["unshare", "--pid", "--fork", *command]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if "unshare" in done.stderr:
        pytest.skip("no namespace can be made here")
    return done


SECOND = """
import sys
from pathlib import Path
from sertool.formats.outputs import atomic, claim, naming
path = Path(sys.argv[1])
with atomic(path.with_name("other")):  # its sweep leaves the temporary files of those that live
    pass
with naming([]):
    claim(path)
"""


@pytest.mark.parametrize("bound", [False, True], ids=["one path", "bind mount"])
def test_a_run_in_a_container_is_refused_as_well(tmp_path: Path, bound: bool) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    path = seen = folder / "o"
    if bound:
        seen = tmp_path / "b" / "o"
        seen.parent.mkdir()
        mounted = subprocess.run(
            ["mount", "--bind", str(folder), str(seen.parent)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("nothing can be mounted here")
    second = [sys.executable, "-c", SECOND, str(seen)]
    try:
        with owner(path), outputs.atomic(folder / "other") as temporary:
            temporary.write_text("being written")
            done = elsewhere(second)
            assert done.returncode == 1
            assert done.stderr.rstrip().endswith("o: another run is writing it")
            assert temporary.read_text() == "being written"
        assert elsewhere(second).returncode == 0
        assert (folder / "other").read_text() == ""
    finally:
        if bound:
            subprocess.run(["umount", str(seen.parent)], check=True)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(outputs.fcntl, "flock", refuse)
    with naming([]):
        claim(tmp_path / "o")
    assert os.listdir(tmp_path) == []
