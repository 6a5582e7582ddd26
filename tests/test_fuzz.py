"""Properties of every reader on inputs that hypothesis draws, and the fuzzer itself.

`make fuzz` does the same for minutes, through the command line, in processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_checkpoints
import numpy as np
import pytest
from fuzz import judge, mutate, signed
from fuzz.__main__ import load, save
from fuzz.doors import FOLDS, MAP, RTTM, SPEC, TURNS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_stores import write_store

from sertool.core.errors import ItemError, SertoolError
from sertool.core.paths import contents
from sertool.core.settings import assignments
from sertool.corpora import labels, named, pattern, where
from sertool.evaluation import report, search
from sertool.features import turns
from sertool.formats import checkpoint
from sertool.formats.manifest import read_manifest
from sertool.formats.store import Store
from sertool.papers import papers
from sertool.splits import protocols

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
Change = Callable[..., bytes]
often = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
rarely = settings(often, max_examples=25)
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are judged on Linux alone")
draws = st.randoms(use_true_random=False)


def changed(draw: Any, change: Change, content: bytes) -> bytes:
    """Return a seed that was changed up to four times."""
    for _ in range(draw.randrange(1, 5)):
        content = change(draw, content)
    return content


def told(read: Callable[[], Any]) -> None:
    """Read: it works, or one clear line says why not."""
    said = "nothing"
    try:
        read()
    except (SertoolError, ItemError) as error:
        said = str(error)
    assert said


def manifest(path: Path) -> None:
    list(read_manifest(path, lambda number, reason: None))


def toml(name: str, folder: str) -> bytes:
    return (DATA / folder / f"{name}.toml").read_bytes()[:4000].rpartition(b"\n")[0]


READERS: dict[str, tuple[Callable[[Path], Any], str, Change, Callable[[], bytes]]] = {
    "manifest": (manifest, "x.jsonl", mutate.json_of, (HERE / "data/v1/manifest.jsonl").read_bytes),
    "report": (report.read, "x.json", mutate.json_of, (HERE / "data/v1/report.json").read_bytes),
    "label map": (lambda p: labels.load(str(p)), "x.toml", mutate.text_of, MAP.encode),
    "corpus": (named.read, "x.toml", mutate.text_of, lambda: toml("nemo", "corpora")),
    "paper": (papers.load, "x.toml", mutate.text_of, lambda: toml("ma2018", "papers")),
    "sweep": (search.read, "x.toml", mutate.text_of, SPEC.encode),
    "RTTM": (turns.read_turns, "x.rttm", mutate.text_of, RTTM.encode),
    "turns": (turns.read_turns, "x.csv", mutate.table_of, TURNS.encode),
}


@pytest.mark.parametrize("name", READERS)
@often
@given(draw=draws)
def test_a_reader_of_text(tmp_path_factory: Any, name: str, draw: Any) -> None:
    read, file, change, seed = READERS[name]
    path = tmp_path_factory.getbasetemp() / file
    path.write_bytes(changed(draw, change, seed()))
    told(lambda: read(path))


TEXTS: dict[str, tuple[Callable[[str], Any], str]] = {
    "--where": (where.parse, "label in anger,sadness"),
    "--set": (lambda text: assignments([text]), "n=[1, 2]"),
    "--pattern": (pattern.named, "{label}/{speaker:2}_{}.wav"),
    "--split": (protocols.parse, "random:8:1:1"),
}


@pytest.mark.parametrize("name", TEXTS)
@often
@given(draw=draws, free=st.text(max_size=30))
def test_a_reader_of_options(name: str, draw: Any, free: str) -> None:
    read, seed = TEXTS[name]
    text = changed(draw, mutate.text_of, seed.encode()).decode("utf-8", "surrogateescape")
    told(lambda: read(text))
    told(lambda: read(free))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and a checkpoint."""
    folder = tmp_path_factory.mktemp("desk")
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 2}", "fold": i // 3, "start": i / 2}
        for i in range(6)
    ]
    write_store(folder / "s.h5", [np.ones((i + 1, 3), np.float32) for i in range(6)], rows)
    checkpoint.save(made_checkpoints.checkpoint("linear", (3,)), folder / "m.ckpt")
    return folder


def whole_store(words: list[str]) -> int:
    try:
        with Store(Path("x.h5")) as store:
            store.check()
            store.items()
            for i in range(len(store)):
                store.features(i)
            store.verify()
    except SertoolError as error:
        print(f"sertool: {error}", file=sys.stderr)
        return 3
    return 0


@linux
@rarely
@given(draw=draws)
def test_a_store(desk: Path, draw: Any) -> None:
    content = changed(draw, signed.store_of, (desk / "s.h5").read_bytes())
    (found,) = judge.examine([judge.Case([], {"x.h5": content})], desk, whole_store, False)
    assert not found.fault, (found.detail, found.err)


@rarely
@given(draw=draws)
def test_a_checkpoint(desk: Path, draw: Any) -> None:
    path = desk / "x.ckpt"
    path.write_bytes(changed(draw, signed.checkpoint_of, (desk / "m.ckpt").read_bytes()))
    told(lambda: checkpoint.load(path))


# --- the fuzzer ---


def leaves(words: list[str]) -> int:
    """Do what an input must not do."""
    match words[0]:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "traceback":
            raise ValueError("x")
        case "hang":
            while True:
                pass
        case "memory":
            try:
                bytearray(judge.MEMORY * 2)
            except MemoryError:
                print("sertool: not enough memory", file=sys.stderr)
            return 3
        case "outside":
            Path(words[1]).write_text("x")
        case "control":
            print("\x1b[1m")
        case "noise":
            print("/x/y.py:3: RuntimeWarning: x", file=sys.stderr)
        case "silent":
            return 3
        case "words":
            print("x", file=sys.stderr)
            return 3
        case "code":
            return 4
        case "":
            Path("o.txt").write_text(sys.stdin.read())
    return 0


@linux
@pytest.mark.parametrize(
    "fault",
    ["", "crash", "traceback", "hang", "memory", "outside", "control", "noise", "silent", "words",
     "code"],
)  # fmt: skip
def test_what_is_wrong_is_seen(tmp_path: Path, fault: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(judge, "SECONDS", 1 if fault == "hang" else 20)
    started = time.process_time()
    desk = tmp_path / "desk"
    desk.mkdir()
    files = {judge.STDIN: b"x", "a.txt": b""}
    cases = [judge.Case([name, str(tmp_path / "written")], files) for name in ("", fault, "")]
    for found, name in zip(judge.examine(cases, desk, leaves), ("", fault, ""), strict=True):
        assert (found.fault, bool(found.detail)) == (name, bool(name)), found
    assert time.process_time() - started < 60


def test_inputs_are_kept_and_seeded(tmp_path: Path) -> None:
    files = {"a/b": bytes(range(256)), "x": b""}
    assert load(save(files, tmp_path)) == files
    for change, seed in (
        (mutate.json_of, b'{"a": [1, "b"]}\n[2]'),
        (mutate.table_of, FOLDS.encode()),
    ):
        once, again = (changed(random.Random(7), change, seed) for _ in range(2))
        assert once == again != seed
    assert json.loads(mutate._dumped({"a": "\ud800"})) == {"a": "\ud800"}


# --- what the fuzzer found ---


def test_a_small_file_takes_little_room(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    tracemalloc.start()
    try:
        assert contents(tmp_path / "a", 1 << 31) == b"123"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(OSError, match="larger than the 0 MB"):
        contents(tmp_path / "a", 2)
    if os.path.exists("/proc/self/status"):
        assert contents("/proc/self/status").endswith(b"\n")  # its size is 0
