"""Properties of every reader on inputs that hypothesis draws, and the fuzzer itself.

`make fuzz` does the same for minutes, through the command line, in processes of their own.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import random
import signal
import stat
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_checkpoints
import numpy as np
import pytest
import soundfile
from fuzz import belief, hdf5, judge, mutate, signed
from fuzz.__main__ import load, save
from fuzz.doors import DOORS, FOLDS
from fuzz.readers import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_stores import write_store

from sertool.audio.streams import wav_stream
from sertool.audio.waveform import to_int16
from sertool.core import boxes
from sertool.core.errors import ItemError, SertoolError
from sertool.core.paths import contents
from sertool.evaluation.streaming import opened
from sertool.formats import building, checkpoint, doors, lineage, onnx
from sertool.formats.doors import npz
from sertool.formats.journal import Journal
from sertool.formats.outputs import Parts
from sertool.formats.store import Store
from sertool.items import Item
from sertool.training import loop

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


@pytest.mark.parametrize("name", [name for name in READERS if name != "onnx"])
@often
@given(draw=draws, free=st.binary(max_size=60))
def test_a_reader(tmp_path_factory: Any, name: str, draw: Any, free: bytes) -> None:
    reader, folder = READERS[name], tmp_path_factory.getbasetemp()
    told(lambda: reader.take(changed(draw, reader.change, reader.seed()), folder))
    told(lambda: reader.take(free, folder))


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
        with boxes.restored():
            boxes.allow(5)
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
    content = changed(draw, signed.checkpoint_of, (desk / "m.ckpt").read_bytes())
    told(lambda: READERS["checkpoint"].take(content, desk))


# --- the fuzzer ---


def begin(seconds: float) -> None:
    """Start a process that this one does not wait for, in a group of its own."""
    if not os.fork():
        os.setsid()
        time.sleep(seconds)
        os._exit(0)


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
                [bytearray(judge.MEMORY) for _ in range(16)]
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
        case "left":
            begin(1000.0)
        case "believed":
            Path("o.json").write_text("[NaN]")
        case "":
            begin(0.05)
            Path("o.txt").write_text(sys.stdin.read())
    return 0


@linux
@pytest.mark.parametrize(
    "fault",
    ["", "crash", "traceback", "hang", "memory", "outside", "control", "noise", "silent", "words",
     "code", "left", "believed"],
)  # fmt: skip
def test_what_is_wrong_is_seen(tmp_path: Path, fault: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(judge, "SECONDS", 1 if fault == "hang" else 20)
    monkeypatch.setattr(judge, "LINGER", 3 if fault == "left" else 30)
    started = time.process_time()
    desk = tmp_path / "desk"
    desk.mkdir()
    files = {judge.STDIN: b"x", "a.txt": b""}
    believed = belief.of("", desk, files, "")
    words = [[name, str(tmp_path / "written")] for name in ("", fault, "")]
    cases = [judge.Case(one, files, believed) for one in words]
    for found, name in zip(judge.examine(cases, desk, leaves), ("", fault, ""), strict=True):
        assert (found.fault, bool(found.detail)) == (name, bool(name)), found
    assert time.process_time() - started < 60
    adopts = ctypes.c_int(-1)  # PR_GET_CHILD_SUBREAPER: nobody would wait for what others leave
    ctypes.CDLL(None).prctl(37, ctypes.byref(adopts))
    assert adopts.value == 0


def test_every_door_has_a_kind_and_lines() -> None:
    assert all(one.kind and one.lines for one in DOORS)


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


def test_a_stream_s_chunk_that_claims_gigabytes_takes_no_room() -> None:
    class Endless:
        """What a sender sends who never ends, and the most that was asked of it at once."""

        most = 0

        def __init__(self, head: bytes) -> None:
            self.head = head

        def read(self, size: int) -> bytes:
            self.most = max(self.most, size)
            found, self.head = self.head[:size], self.head[size:]
            return found

    sender: Any = Endless(b"RIFF\xff\xff\xff\xffWAVELIST\xf0\xff\xff\xff" + bytes(300_000))
    with pytest.raises(ItemError, match="without a format"):
        wav_stream(sender)
    assert sender.most <= 1 << 16


def test_samples_of_any_size_are_clipped_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = to_int16(np.array([3e38, -3e38, 1, -1, 0.5, 1.5 / 32768], np.float32))
    assert found.tolist() == [32767, -32768, 32767, -32768, 16384, 2]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<U9', 'shape': (",
        "{'descr': '<U9', 'fortran_order': False, 'shape': (-1,)}",
        "{[]: 1}",
        "{1: 2, 'shape': ()}",
        "(" * 900,
        "{'descr': [('a', '<f4'), 3], 'fortran_order': False, 'shape': ()}",
        "\x00",
    ],
)
def test_the_header_of_an_array(cli: Any, tmp_path: Path, header: str) -> None:
    text = header.encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with pytest.raises(ValueError, match="an array"):
        npz.header(io.BytesIO(content))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as packed:
        packed.writestr("sertool.npy", content)
    result = cli("convert", tmp_path / "x.npz", tmp_path / "o.h5")
    assert result.code == 3
    assert result.err.count("\n") == 1, result.err


def test_an_archive_whose_packed_bytes_are_wrong(cli: Any, tmp_path: Path) -> None:
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        path = tmp_path / f"{method}.npz"
        with zipfile.ZipFile(path, "w", method) as packed:
            packed.writestr("sertool.npy", bytes(3000))
        content = bytearray(path.read_bytes())
        content[41:60] = b"\xff" * 19
        path.write_bytes(content)
        result = cli("convert", path, tmp_path / "o.h5")
        assert result.code == 3
        assert result.err.count("\n") == 1, result.err


def packed(cli: Any, tmp_path: Path, change: dict[str, Any]) -> Any:
    """Return what convert says of a .npz in which some arrays are others."""
    rows = [{"id": f"c/{i}", "path": f"{i}.wav", "label": "anger", "age": i} for i in range(2)]
    write_store(tmp_path / "s.h5", [np.ones((2, 3), np.float32)] * 2, rows)
    assert cli("convert", tmp_path / "s.h5", tmp_path / "x.npz").code == 0
    with np.load(tmp_path / "x.npz") as arrays:
        np.savez(tmp_path / "y.npz", **(dict(arrays) | change))
    return cli("convert", tmp_path / "y.npz", tmp_path / "o.h5")


@pytest.mark.parametrize("point", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
@pytest.mark.parametrize("name", ["items/label", "sertool"])
def test_a_text_that_is_none(cli: Any, tmp_path: Path, name: str, point: int) -> None:
    text = np.array([point, 65] * 2, np.uint32).view("<U2")
    result = packed(cli, tmp_path, {name: text if name != "sertool" else text[0]})
    assert result.code == 3
    assert result.err.count("\n") == 1, result.err
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("text", ['"\\ud800"', '{"a": "\\udc00"}'])
def test_a_description_that_no_file_can_hold(text: str) -> None:
    with pytest.raises(SertoolError, match="a damaged description"):
        doors.parse(text, "x")


@pytest.mark.parametrize("row", [{"start": 10**400}, {"end": True}, {"label": "\ud800"}])
def test_a_row_that_no_store_can_hold(row: dict[str, Any]) -> None:
    found: Any = SimpleNamespace(texts=[], numbers=[])
    assert doors.item_of({"id": "a", "start": 1}, found, "x").start == 1
    with pytest.raises(SertoolError, match=f"x: {next(iter(row))} is"):
        doors.item_of({"id": "a"} | row, found, "x")


@pytest.mark.parametrize(("rate", "channels"), [(0xFF000000, 1), (999, 1), (8000, 0xFFFF)])
def test_a_stream_whose_seconds_fill_memory(rate: int, channels: int) -> None:
    layout = struct.pack("<HHIIHH", 1, channels, rate, 0, 0, 16)
    head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + layout + b"data\xff\xff\xff\xff"
    with pytest.raises(ItemError, match=f"of {rate} Hz and {channels} channels"):
        wav_stream(io.BytesIO(head))
    if channels == 1:
        with pytest.raises(SertoolError, match="a stream has 1000 to 768000 Hz"):
            opened(io.BytesIO(b"abcd"), rate, 1)


@linux
@pytest.mark.parametrize("at", ["a file", "a folder", "a pipe", "a link", "a twin"])
def test_an_input_may_be_what_is_no_file(tmp_path: Path, at: str) -> None:
    kind = at.split()[1]
    files = {"x": b"1", "file": b"2"}
    files |= (
        {} if kind == "file" else {f"{kind}\0{kind}": b"x" if kind in ("link", "twin") else b""}
    )
    judge.put(files, tmp_path)
    found = (tmp_path / kind).lstat()
    right = {"file": stat.S_ISREG, "folder": stat.S_ISDIR, "pipe": stat.S_ISFIFO,
             "link": stat.S_ISLNK, "twin": stat.S_ISREG}  # fmt: skip
    assert right[kind](found.st_mode)
    assert found.st_nlink == (2 if kind in ("twin", "folder") else 1)


def test_the_structures_of_a_store_are_found(tmp_path: Path) -> None:
    rows = [{"id": f"c/{i}", "path": f"{i}.wav"} for i in range(3)]
    write_store(tmp_path / "s.h5", [np.ones((2, 3), np.float32)] * 3, rows)
    content = (tmp_path / "s.h5").read_bytes()
    kinds = {kind for kind, _, _ in hdf5.fields(content)}
    assert kinds >= {"superblock", "names", "chunks", "symbols", "heap", "texts", "shape", "type",
                     "layout", "attribute", "header", "message"}  # fmt: skip
    once, again = (hdf5.changed(random.Random(3), content) for _ in range(2))
    assert once == again != content


def forged(meta: dict[str, Any]) -> bytes:
    """Return a checkpoint that says `meta`, with the right checksum where one can be computed."""
    tensors = {checkpoint.ITEMS: np.zeros(0, np.uint8)}
    whole = made_checkpoints.checkpoint("linear", (3,)).meta | meta
    whole |= {"format": checkpoint.FORMAT, "version": 2}
    with suppress(ValueError):
        whole["sha256"] = checkpoint._digest(tensors, whole)
    return signed._safetensors(tensors, whole)


@pytest.mark.parametrize("value", ["\ud800", float("nan"), float("inf")])
def test_a_checkpoint_that_no_json_can_describe(value: Any) -> None:
    checkpoint.parse(forged({"training": {"lr": 1}}), "x")
    with pytest.raises(SertoolError, match="x: damaged"):
        checkpoint.parse(forged({"training": {"lr": value}}), "x")


def test_a_loss_that_overflowed_is_null(cli: Any, tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 1.0, "val_loss": float("nan")}]
    (tmp_path / "x.ckpt").write_bytes(forged({"history": history}))
    result = cli("info", "--json", tmp_path / "x.ckpt")
    assert result.code == 0
    assert json.loads(result.out)["history"] == [{"epoch": 1, "loss": 1.0, "val_loss": None}]


@pytest.mark.parametrize("text", ["1e999", "NaN", '"\\ud800"'])
def test_an_onnx_model_that_no_json_can_describe(text: str) -> None:
    meta = onnx.described(made_checkpoints.checkpoint("linear", (3,)).meta) | {"lineage": []}
    good = onnx.packed(onnx._HEAD, meta)
    assert onnx.parse(good, "x").meta["kind"] == "mel"
    body = good[: -onnx._TRAILER] + onnx._property("note", text)
    content = body + onnx._property(onnx.SHA256, hashlib.sha256(body).hexdigest())
    with pytest.raises(SertoolError, match="x: damaged"):
        onnx.parse(content, "x")


def test_a_store_whose_text_is_in_no_known_encoding(cli: Any, tmp_path: Path) -> None:
    write_store(tmp_path / "s.h5", [np.ones((2, 3), np.float32)], [{"id": "a", "path": "a.wav"}])
    content = (tmp_path / "s.h5").read_bytes()
    assert content.count(b"\x19\x01\x01\x00") > 3  # a text of UTF-8, of any length
    (tmp_path / "x.h5").write_bytes(content.replace(b"\x19\x01\x01\x00", b"\x19\x01\x03\x00"))
    result = cli("info", tmp_path / "x.h5")
    assert (result.code, result.err.count("\n")) == (3, 1), result.err


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "{}",
        '{"key": "a"}',
        '{"key": 1, "text": "", "failed": false}',
        "[" * 3000,
        "x",
        "\xe9",
    ],
)
def test_a_journal_that_nobody_wrote(tmp_path: Path, line: str) -> None:
    parts = Parts(tmp_path / "o", {}, resume=False)
    parts.write("000000", line.encode("latin-1"))
    journal = Journal(parts)
    assert journal.resumed == 0
    item = Item("a", "a.wav")
    assert not journal.has(item, None)
    journal.add("row\n", failed=False)
    journal.finish(item, None)
    assert list(journal.texts()) == ["row\n"]


@pytest.mark.parametrize(
    "change",
    [
        {"items": None},
        {"items": [[1 << 62, "", 0, {"id": "a"}]]},
        {"items": [[-1, "", 0, {"id": "a"}]]},
        {"items": [[2, "", 0, None]]},
        {"items": [[2, "", 0, {"id": None}]]},
        {"items": [[2, "", 0, {"id": "a", "fold": "x"}]]},
        {"layout": None},
        {"layout": {"shape": [3], "dtype": "V9"}},
        {"layout": {"shape": [3], "dtype": "no"}},
        {"layout": {"shape": [-3], "dtype": "float32"}},
        {"failures": 1},
        {"notes": {"a": "b"}},
    ],
)
def test_a_block_that_nobody_wrote(tmp_path: Path, change: dict[str, Any]) -> None:
    frames = np.ones((2, 3), np.float32).tobytes()
    right = {"items": [[2, hashlib.sha256(frames).hexdigest(), 0, {"id": "a"}]]}
    right |= {"layout": {"shape": [3], "dtype": "float32"}, "failures": [], "notes": {}}

    def part(meta: dict[str, Any]) -> Path:
        text = json.dumps(meta).encode()
        end = len(text).to_bytes(8, "little") + zlib.crc32(text).to_bytes(4, "little")
        (tmp_path / "part").write_bytes(frames + text + end + building.MARK)
        return tmp_path / "part"

    assert building._usable(part(right))
    assert not building._usable(part(right | change))


def test_validation_that_overflowed_is_not_the_best() -> None:
    losses = [float("nan"), 2.0, 1.0, float("inf")]
    history = [{"loss": 1.0, "val_loss": loss, "val_uar": 0.5} for loss in losses]
    assert loop.best_epoch(history, "loss") == loop.best_epoch(history, "uar") == 2


@pytest.mark.parametrize(
    "text", ["x", "{}", '{"path": 1}', "null", '{"sample_rate": 0, "channels": 1, "samples": 9,'
             ' "coding": "WAV"}'],
)  # fmt: skip
def test_a_header_that_nobody_read(cli: Any, tmp_path: Path, text: str, monkeypatch: Any) -> None:
    wave = tmp_path / "a.wav"
    soundfile.write(wave, np.zeros(80), 8000)
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", "path": str(wave)}) + "\n")
    whole = Journal.texts
    with monkeypatch.context() as changed:
        changed.setattr(Journal, "texts", lambda self: [text for _ in whole(self)])
        result = cli("prepare", tmp_path / "m.jsonl", tmp_path / "o", "--to", "lhotse")
    assert result.code == 3
    assert result.err.splitlines()[-1].startswith("sertool prepare: a part beside the output is")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("change", ["model", "parts", "hyperparameters", "settings"])
def test_a_history_that_nobody_had(cli: Any, tmp_path: Path, change: str) -> None:
    params = {"model": "linear", "settings": {}, "hyperparameters": {}, "seed": 0, "parts": {}}
    params = {name: value for name, value in params.items() if name != change}
    row = lineage.record("train", params, "s.h5", "0" * 64)
    (tmp_path / "x.ckpt").write_bytes(forged({"lineage": [row]}))
    result = cli("info", "--commands", tmp_path / "x.ckpt")
    assert (result.code, result.err.count("\n")) == (3, 1), result.err
