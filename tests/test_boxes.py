"""Boxes: what a file does to the process that reads it is that file's loss alone."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sertool.core import boxes
from sertool.core.boxes import Box, Limits
from sertool.core.errors import InputError, ItemError
from sertool.core.workers import ordered

pytestmark = pytest.mark.skipif(not boxes.FORKS, reason="processes are not forked here")
SOME = Limits(60.0, 300_000_000)  # what a busy machine does in between
SHORT = Limits(2.0, 300_000_000)


PIECES = 32  # of a gigabyte: more than what a test's process began with makes room for


def malloc(size: int) -> int | None:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    found: int | None = library.malloc(size)
    return found


def do(what: str) -> str:
    name, _, place = what.partition(":")
    if name == "crash":
        ctypes.string_at(0)
    elif name == "abort":
        os.abort()
    elif name == "exit":
        os._exit(7)
    elif name == "hang":
        time.sleep(60)
    elif name == "loop":
        while True:
            pass
    elif name == "fill":
        [bytearray(1_000_000_000) for _ in range(PIECES)]
    elif name == "fill in C":
        return "room" if all(malloc(1_000_000_000) for _ in range(PIECES)) else "no room"
    elif name == "killed" or (name == "once" and not Path(place).exists()):
        if place:
            Path(place).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "slow":
        for _ in range(10):
            time.sleep(0.25)
            boxes.step()
    return name


def block(names: list[str]) -> list[str]:
    """Do several files' work, as a task of a stage does."""
    found = []
    for number, name in enumerate(names):
        try:
            with boxes.file(number):
                found.append(do(name))
        except ItemError as error:
            found.append(f"lost: {error}")
    return found


REASONS = {
    "crash": "reading it crashed (SIGSEGV)",
    "abort": "reading it crashed (SIGABRT)",
    "exit": "reading it crashed (exit 7)",
    "hang": "took longer than 2 s; --file-timeout allows more",
    "loop": "took longer than 2 s; --file-timeout allows more",
    "fill": "takes more than 0.3 GB of memory; SERTOOL_MEMORY=1 in the environment allows more",
    "killed": "its process was killed, perhaps for lack of memory",
}


MANNERS = [(1, None), (3, None), (2, 0.1)]


@pytest.mark.parametrize(
    ("what", "workers", "patience"),
    [(what, *how) for what in REASONS for how in (MANNERS[:1] if what == "loop" else MANNERS)],
)
def test_one_file_is_lost(what: str, workers: int, patience: float | None) -> None:
    tasks = [["a", "b"], ["c", what, "d"], ["e"], [what], ["f", "g"], ["h"], ["i"]]
    lost = f"lost: {REASONS[what]}"
    expected = [[lost if name == what else name for name in task] for task in tasks]
    limits = SHORT if "took" in lost else SOME
    made = ordered(block, tasks, workers, limits=limits, patience=patience)
    assert [found for found in made if found is not None] == expected


def test_who_is_killed_once_is_begun_again(tmp_path: Path) -> None:
    tasks = [["a", f"once:{tmp_path}/x"], ["b"], ["c", f"once:{tmp_path}/y", "d"], ["e"]]
    for workers in (1, 2):
        for mark in ("x", "y"):
            (tmp_path / mark).unlink(missing_ok=True)
        found = list(ordered(block, tasks, workers, limits=SOME))
        assert found == [["a", "once"], ["b"], ["c", "once", "d"], ["e"]]


def test_c_code_gets_no_more_memory_either() -> None:
    assert list(ordered(block, [["fill in C", "a"]], 1, limits=SOME)) == [["no room", "a"]]


def test_what_gets_ahead_has_time() -> None:
    assert list(ordered(block, [["slow"]], 1, limits=SHORT)) == [["slow"]]


def test_without_limits_a_single_worker_is_this_process() -> None:
    (found,) = ordered(lambda _: os.getpid(), [0], 1)
    assert found == os.getpid()
    (found,) = ordered(lambda _: os.getpid(), [0], 1, limits=SOME)
    assert found != os.getpid()


def outside(_: int) -> None:
    ctypes.string_at(0)


def test_a_crash_outside_of_a_file_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="worker process was killed"):
        list(ordered(outside, [0, 1], 2, limits=SOME))


def test_large_tasks_and_large_results_block_nobody() -> None:
    big = [os.urandom(1 << 20) for _ in range(12)]
    assert list(ordered(bytes, big, 2, limits=SOME)) == big
    assert list(ordered(bytes, big, 1, limits=SOME)) == big


def count(most: int, what: str = "") -> Iterator[int]:
    for number in range(most):
        if number == 3:
            do(what)
        yield number


def refuse() -> None:
    raise ItemError("no")


def test_a_box_survives_what_is_done_in_it() -> None:
    with closing(Box(SHORT)) as box:
        process = box.call(os.getpid)
        assert process != os.getpid()
        assert box.call(os.getpid) == process
        for what in ("crash", "hang", "fill"):
            with pytest.raises(ItemError) as error:
                box.call(do, what)
            assert str(error.value) == REASONS[what]
            assert box.call(do, "a") == "a"
        with pytest.raises(ItemError, match=r"^no$"):
            box.call(refuse)
        assert list(box.stream(count, 5)) == [0, 1, 2, 3, 4]
        found = []
        with pytest.raises(ItemError, match="SIGSEGV"):
            found += list(box.stream(count, 5, "crash"))
        stream = box.stream(count, 1000)
        assert next(stream) == 0
        stream.close()  # the rest is wanted by nobody
        assert list(box.stream(count, 2)) == [0, 1]


def test_a_stream_may_be_left_open_when_its_box_ends() -> None:
    box = Box(SOME)
    stream = box.stream(count, 1000)
    assert next(stream) == 0
    box.close()
    stream.close()  # raised that the keeper was killed, aloud where a destructor called it


def test_who_reads_slowly_takes_none_of_a_file_s_time() -> None:
    with closing(Box(Limits(1.5))) as box:
        stream = box.stream(bytes_by_and_by, 40)
        assert len(next(stream)) == 1 << 18
        time.sleep(2)
        assert sum(1 for _ in stream) == 39


def bytes_by_and_by(most: int) -> Iterator[bytes]:
    for _ in range(most):
        yield bytes(1 << 18)


def test_a_box_in_a_box_is_the_same_process() -> None:
    with closing(Box(SOME)) as box:
        own, inner = box.call(nested)
        assert own == inner != os.getpid()


def nested() -> tuple[int, int]:
    with closing(Box(SOME)) as box:
        return os.getpid(), box.call(os.getpid)
