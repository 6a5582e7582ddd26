"""Outputs: whole or not at all; parts: reused only by an equal run, and only if whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sertool.core.errors import InputError, UsageError
from sertool.formats.outputs import Parts, atomic, check_output, part_is_whole, remove_left


def test_atomic_keeps_the_old_output_when_interrupted(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
    with atomic(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_check_output(tmp_path: Path) -> None:
    check_output(tmp_path / "new", force=False)
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "no" / "new", force=True)
    with pytest.raises(InputError, match="is a folder"):
        check_output(tmp_path, force=True)
    (tmp_path / "old").write_text("")
    with pytest.raises(InputError, match="--force"):
        check_output(tmp_path / "old", force=False)
    check_output(tmp_path / "old", force=True)
    check_output(tmp_path / "old", force=False, resume=True)


def test_what_can_be_no_output(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("")
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(UsageError, match="standard output"):
        check_output(Path("-"), force=True)
    with pytest.raises(UsageError, match="same file"):
        check_output(tmp_path / "link", force=True, inputs=[tmp_path / "none", tmp_path / "in"])
    os.mkfifo(tmp_path / "pipe")
    for path in (Path(os.devnull), tmp_path / "pipe"):
        with pytest.raises(InputError, match="not a regular file"):
            check_output(path, force=True)


def test_two_runs_never_write_into_one_temporary_file(tmp_path: Path) -> None:
    with atomic(tmp_path / "o") as mine:
        mine.write_text("mine")
        with atomic(tmp_path / "o") as other:
            other.write_text("other")
            assert mine != other
        assert (tmp_path / "o").read_text() == "other"
    assert (tmp_path / "o").read_text() == "mine"
    assert os.listdir(tmp_path) == ["o"]


def test_parts_serve_only_the_same_job(tmp_path: Path) -> None:
    output = tmp_path / "o.h5"
    parts = Parts(output, {"params": {"a": 1, "b": 2}}, resume=False)
    parts.write("1", b"one")
    parts._lock.close()
    again = Parts(output, {"params": {"a": 1, "b": 2}}, resume=True)
    assert again.has("1")
    assert again.read("1") == b"one"
    again._lock.close()
    fresh = Parts(output, {"params": {"a": 1, "b": 3}}, resume=True)
    assert not fresh.has("1")
    fresh.remove_all()
    assert os.listdir(tmp_path) == []


def test_two_runs_cannot_write_one_output(tmp_path: Path) -> None:
    first = Parts(tmp_path / "o", {}, resume=False)
    with pytest.raises(InputError, match="another run"):
        Parts(tmp_path / "o", {}, resume=False)
    first.remove_all()
    Parts(tmp_path / "o", {}, resume=False).remove_all()


@pytest.mark.parametrize("spoil", ["cut", "flip", "empty", "longer"])
def test_a_damaged_part_is_not_whole(tmp_path: Path, spoil: str) -> None:
    parts = Parts(tmp_path / "o", {}, resume=False)
    parts.write("1", b"a" * 3000 + b"b")
    path = parts.path("1")
    assert part_is_whole(path)
    content = bytearray(path.read_bytes())
    if spoil == "cut":
        content = content[:-1]
    elif spoil == "flip":
        content[100] ^= 1
    elif spoil == "empty":
        content = bytearray()
    else:
        content += b"x"
    path.write_bytes(content)
    assert not part_is_whole(path)
    assert not part_is_whole(tmp_path / "missing")


def test_a_part_that_fails_leaves_nothing_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(tmp_path / "o", {}, resume=False)
    parts.write("2", b"old")

    def fail(one: Path, other: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("os.replace", fail)
    for name in ("1", "2"):
        with pytest.raises(ZeroDivisionError):
            parts.write(name, b"a")
    assert not parts.path("1").exists()
    assert parts.read("2") == b"old"
    assert sorted(os.listdir(parts.folder)) == ["2", "job.json", "lock"]


def test_parts_beside_a_whole_output_go_unless_their_run_lives(tmp_path: Path) -> None:
    output = tmp_path / "m.h5"
    output.write_text("whole")
    parts = Parts(output, {"params": {}}, resume=False)
    parts.write("0", b"a")
    remove_left(output)
    assert parts.has("0")
    parts._lock.close()  # as if it were killed
    remove_left(output)
    assert os.listdir(tmp_path) == ["m.h5"]
    remove_left(output)
