"""Calls from several threads at once: what one sets, opens or locks is not another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import numpy  # noqa: F401 (whose libraries are counted)
import pytest
import soundfile
from threadpoolctl import threadpool_info, threadpool_limits

import sertool
import sertool.audio.decoding
from sertool.core import boxes, memory, workers
from sertool.core.boxes import Limits
from sertool.core.errors import InputError
from sertool.formats import outputs


@contextmanager
def entered(make: Callable[[], AbstractContextManager[object]]) -> Iterator[Callable[[], None]]:
    """Enter a context in a thread of its own; yield what leaves it there."""
    with ThreadPoolExecutor(1) as thread:
        context = thread.submit(make).result()
        thread.submit(context.__enter__).result()

        def leave() -> None:
            thread.submit(context.__exit__, None, None, None).result()

        yield leave


@contextmanager
def allowing(seconds: float, longest: float) -> Iterator[None]:
    with boxes.restored():
        boxes.allow(seconds)
        memory.allow_length(longest)
        yield


def test_what_one_call_allows_is_not_anothers() -> None:
    before = boxes.limits(), memory.longest()
    with entered(lambda: allowing(5, 7)) as leave, allowing(3, 9):
        leave()  # first come, first gone
        found = boxes.limits()
        assert found is not None
        assert (found.seconds, memory.longest()) == (3, 9)
    assert (boxes.limits(), memory.longest()) == before


@contextmanager
def writing(path: Path) -> Iterator[None]:
    with outputs.naming([path]):
        outputs.check_output(path, force=False)
        yield


def test_what_one_call_locks_is_not_anothers(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with entered(lambda: writing(one)) as leave, writing(other):
        with pytest.raises(InputError, match="another run is writing it"), writing(one):
            pass
        leave()
        assert [path.name for path in tmp_path.iterdir()] == [".other.lock"]
        with writing(one):
            pass
    assert not list(tmp_path.iterdir())


def unlocked() -> bool:
    return not soundfile.SoundFile._sf_error_lock.locked()


def test_no_process_is_forked_with_a_library_locked() -> None:
    """Nothing there would ever free what another thread had locked at that moment."""
    about = threading.Event()

    def forked() -> bool:
        with closing(boxes.Box(Limits(30.0))) as box:
            about.set()
            return box.call(unlocked)

    with ThreadPoolExecutor(1) as thread:
        with soundfile.SoundFile._sf_error_lock:
            result = thread.submit(forked)
            about.wait()
            time.sleep(0.05)  # it forks now, if it would
        assert result.result()


def counts() -> list[int]:
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_libraries_have_one_thread_until_the_last_call_ends() -> None:
    with threadpool_limits(2, "blas"):
        before = counts()
        with entered(workers.one_thread) as leave, workers.one_thread():
            leave()
            assert set(counts()) == {1}
        assert counts() == before


def test_calls_at_once_write_what_one_writes(tmp_path: Path) -> None:
    corpus = Path("data/demo/corpus/spk01").resolve()

    def prepared(number: int) -> bytes:
        path = tmp_path / f"{number}.jsonl"
        sertool.prepare(corpus, path, max_duration=60.0 + number)
        return path.read_bytes()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(prepared, range(4)))) == 1
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".lock", ".tmp")]
