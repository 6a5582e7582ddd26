"""A folder as output: whole or not at all, and the old one stays until the new one is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sertool.formats import outputs


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, there: bool) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "old").touch()
    with pytest.raises(KeyboardInterrupt), outputs.atomic_folder(out) as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == (["out", "old"] if there else [])
    killed = tmp_path / f".out.{bytes(outputs._RANDOM).hex()}.tmp"
    killed.mkdir()
    with outputs.atomic_folder(out) as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_the_old_folder_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    rename = os.rename

    def refuse(one: Path, other: Path) -> None:
        if one.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        rename(one, other)

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(outputs, "_rename", lambda *_: False)  # no exchange in one step
    with (
        pytest.raises(OSError, match="No space"),
        outputs.atomic_folder(tmp_path / "out") as folder,
    ):
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with outputs.atomic_folder(tmp_path / "link") as folder:
        (folder / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "real") == ["new"]
