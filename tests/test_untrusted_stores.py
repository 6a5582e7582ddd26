"""Stores that hang or crash the HDF5 library: another process reads them first, and is ended."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_stores import write_store

from sertool.core import boxes
from sertool.formats.store import Store

pytestmark = pytest.mark.skipif(not boxes.FORKS, reason="processes are not forked here")
SECONDS = 3.0  # for what hangs
LATE = f"took longer than {SECONDS:g} s"
OBJECT = 16  # bytes of an object's header in a heap, and of the heap's own


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that trains."""
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 4}", "fold": i // 4}
        for i in range(8)
    ]
    frames = [draw.normal(i % 2, 1, (9, 3)).astype(np.float32) for i in range(8)]
    write_store(tmp_path / "f.h5", frames, rows)
    return tmp_path / "f.h5"


def endless(path: Path) -> None:
    """Make the first text of a store's attributes one of 0 bytes, header included.

    The library goes on from there to where it is, for ever.
    """
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + OBJECT
    content[first : first + OBJECT] = bytes(OBJECT)
    path.write_bytes(content)


def hang() -> None:
    time.sleep(600)


def crash() -> None:
    ctypes.string_at(0)


def strike(monkeypatch: pytest.MonkeyPatch, name: str, how: Callable[[], None]) -> None:
    """Have a method of stores do so in every process but this one."""
    own, method = os.getpid(), getattr(Store, name)

    def struck(store: Store) -> object:
        if os.getpid() != own:
            how()
        return method(store)

    monkeypatch.setattr(Store, name, struck)


STAGES = [["info"], ["info", "--untrusted"], ["train", "--test-fold", "0"]]
AILS: dict[str, tuple[Callable[[], None], str]] = {
    "hang": (hang, LATE),
    "crash": (crash, "reading it crashed (SIGSEGV)"),
}


def soon(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> list[str]:
    """Have a stage end what takes longer than `SECONDS`: by its option, or without one."""
    monkeypatch.setattr(boxes, "SECONDS", SECONDS)
    return words if words[0] == "train" else [*words, "--file-timeout", str(SECONDS)]


def refused(cli, words: list[str], path: Path) -> str:
    """Return the one line of a stage that cannot begin."""
    model = path.with_name("m.ckpt")
    result = cli(*words, path, *([model] if words[0] == "train" else []))
    assert (result.code, result.out) == (3, ""), (words, result.err)
    assert result.err.count("\n") == 1, result.err
    assert "f.h5: " in result.err
    assert not model.exists()
    return str(result.err)


@pytest.mark.parametrize("words", STAGES)
def test_a_store_that_has_no_end(
    cli, store: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    endless(store)
    said = refused(cli, soon(monkeypatch, words), store)
    assert "damaged" in said  # and other versions of the library may notice it themselves


@pytest.mark.parametrize("words", STAGES)
@pytest.mark.parametrize("what", AILS)
def test_headers_that_hang_or_crash(
    cli, store: Path, monkeypatch: pytest.MonkeyPatch, what: str, words: list[str]
) -> None:
    how, said = AILS[what]
    strike(monkeypatch, "_read_attributes", how)
    words = soon(monkeypatch, words) if how is hang else words
    assert said in refused(cli, words, store)


@pytest.mark.parametrize("what", AILS)
def test_frames_that_hang_or_crash(
    cli, store: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """`--untrusted` reads all of a store, its headers' check does not."""
    how, said = AILS[what]
    strike(monkeypatch, "verify", how)
    assert cli("info", store).code == 0
    words = ["info", "--untrusted"]
    words = soon(monkeypatch, words) if how is hang else words
    assert said in refused(cli, words, store)


def test_a_good_store_is_trusted(cli, store: Path) -> None:
    plain, tried = cli("info", store), cli("info", "--untrusted", store)
    assert (tried.code, tried.out) == (0, plain.out)
    assert "8 items" in plain.out


def test_a_store_is_read_apart_once_a_run(
    cli, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = store.with_name("mark")
    strike(monkeypatch, "read_apart", lambda: mark.write_text("x") and None)
    Store(store).close()
    assert not mark.exists()  # from Python, nothing is forked that nobody asked for
    model = store.with_name("m.ckpt")
    assert cli("train", "-q", "--test-fold", "0", store, model).code == 0
    assert mark.exists()
    mark.unlink()
    assert cli("info", store).code == 0
    assert not mark.exists()
    os.utime(store)  # anybody may have written it since
    assert cli("info", store).code == 0
    assert mark.exists()


def test_limits_are_needed(cli, store: Path) -> None:
    result = cli("info", "--untrusted", "--file-timeout", 0, store)
    assert result.code == 2
    assert "--untrusted: needs a limit of time" in result.err
