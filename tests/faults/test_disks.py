"""Real full disks: no room, no names, no permission to write; the old output stays whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sertool.formats import outputs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return what mounts a small file system in memory, with options of tmpfs."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)],
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip("nothing can be mounted here")
        return folder

    yield mounted
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def sertool(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sertool", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(done: subprocess.CompletedProcess[str], why: str) -> None:
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert why in done.stderr


KINDS = {
    "plain": ["--kind", "wave"],
    "gzip": ["--kind", "wave", "--compress", "gzip"],
    "lzf": ["--kind", "wave", "--compress", "lzf", "--workers", "2"],
}


@pytest.mark.parametrize("name", KINDS)
def test_a_store_on_a_full_disk(disk: Callable[..., Path], sounds: Path, name: str) -> None:
    """The parts fit, and the store does not: no crash, no half, and room for the next attempt."""
    folder = disk("size=1400k")
    (folder / "old").write_bytes(b"\0" * 300_000)
    words = ["featurize", "-q", *KINDS[name], sounds, folder / "o.h5"]
    refused(sertool(*words), "the disk is full; nothing was replaced, free some space and use")
    left = set(os.listdir(folder))
    assert left <= {"old", ".o.h5.parts"}
    (folder / "old").unlink()
    subprocess.run(["mount", "-o", "remount,size=40m", str(folder)], check=True)
    done = sertool(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert os.listdir(folder) == ["o.h5"]


def test_no_names_are_left(disk: Callable[..., Path], sounds: Path) -> None:
    """A file system can be full of files that are empty."""
    folder = disk("size=8m,nr_inodes=3")
    (folder / "o.h5").write_bytes(b"old")
    (folder / "more").touch()
    words = ["featurize", "-q", "--force", sounds, folder / "o.h5"]
    refused(sertool(*words), "the disk is full")
    assert (folder / "o.h5").read_bytes() == b"old"
    assert sorted(os.listdir(folder)) == ["more", "o.h5"]


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "{sounds}", "{disk}/o"],
        ["featurize", "{sounds}", "{disk}/o"],
        ["predict", "--output", "{disk}/o", "{sounds}/sad"],
    ],
    ids=lambda words: words[0],
)
def test_a_disk_that_is_read_only(
    disk: Callable[..., Path], sounds: Path, words: list[str]
) -> None:
    folder = disk("size=1m")
    (folder / "o").write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    line = [word.format(sounds=sounds, disk=folder) for word in words]
    refused(sertool(*line, "-q", "--force"), "no permission")
    assert (folder / "o").read_bytes() == b"old"


@pytest.mark.parametrize("code", [errno.EDQUOT, errno.ENOSPC, errno.EFBIG])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_quota_that_is_used_up(
    cli: Callable[..., Any],
    sounds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    call: str,
) -> None:
    """Some file systems say so only when what was written is to lie on the disk."""

    def refuse(*given: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "o.jsonl"))

    (tmp_path / "o.jsonl").write_bytes(b"old")
    monkeypatch.setattr(outputs.os, call, refuse)
    result = cli("prepare", "-q", "--force", sounds, tmp_path / "o.jsonl")
    assert result.code == 3
    assert result.err.count("\n") == 1
    full = "the disk quota is used up" if code == errno.EDQUOT else "the disk is full"
    assert f"{full}; nothing was replaced" in result.err
    assert (tmp_path / "o.jsonl").read_bytes() == b"old"
    assert [n for n in os.listdir(tmp_path) if not n.endswith(".parts")] == ["o.jsonl"]


@pytest.fixture
def quota(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a real file system, of whose files 1.4 MB have room."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(128 << 20)
    try:
        done = [
            subprocess.run(line.split(), capture_output=True, check=False).returncode
            for line in (
                f"mkfs.btrfs -q {image}",
                f"mount -o loop {image} {folder}",
                f"btrfs quota enable {folder}",
                f"btrfs subvolume create {folder}/v",
                f"btrfs qgroup limit 1400K {folder}/v",
            )
        ]
    except FileNotFoundError:
        pytest.skip("there are no tools of btrfs")
    if not any(done):
        yield folder / "v"
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)
    if any(done):
        pytest.skip("nothing can be mounted here")


@pytest.mark.parametrize("name", KINDS)
def test_a_real_quota(quota: Path, sounds: Path, name: str) -> None:
    (quota / "o.h5").write_bytes(b"old")
    (quota / "more").write_bytes(os.urandom(1_300_000))
    words = ["featurize", "-q", "--force", *KINDS[name], sounds, quota / "o.h5"]
    refused(sertool(*words), "the disk quota is used up; nothing was replaced")
    assert (quota / "o.h5").read_bytes() == b"old"
    (quota / "more").unlink()
    subprocess.run(["btrfs", "qgroup", "limit", "none", str(quota)], check=True)
    done = sertool(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert os.listdir(quota) == ["o.h5"]
