"""Stores as data: what reads another file, crashes the library or has no end is refused."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
from made_stores import write_store

from sertool.formats.store import Store

SECRET = "the-other-store-s-text"
MEMORY = 1 << 29  # bytes


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that trains, beside one that is nobody's business."""
    draw = np.random.default_rng(0)
    for name, text in (("f.h5", "a sentence"), ("other.h5", SECRET)):
        rows = [
            {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
            | {"speaker": f"s{i // 4}", "fold": i // 4, "text": text}
            for i in range(8)
        ]
        frames = [draw.normal(i % 2, 1, (9, 3)).astype(np.float32) for i in range(8)]
        write_store(tmp_path / name, frames, rows)
    return tmp_path / "f.h5"


def external_link(file: h5py.File, name: str) -> None:
    del file[name]
    file[name] = h5py.ExternalLink("other.h5", f"/{name}")


def soft_link(file: h5py.File, name: str) -> None:
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def virtual(file: h5py.File, name: str, source: str = "other.h5") -> None:
    old = file[name]
    layout = h5py.VirtualLayout(shape=old.shape, dtype=old.dtype)
    layout[:] = h5py.VirtualSource(source, name, shape=old.shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def virtual_of_itself(file: h5py.File, name: str) -> None:
    virtual(file, name, ".")


def external_storage(file: h5py.File, name: str) -> None:
    old = file[name]
    shape, dtype = old.shape, old.dtype
    del file[name]
    file.create_dataset(name, shape=shape, dtype=dtype, external=[("other.h5", 0, 1 << 20)])


def texts_of_any_length(file: h5py.File, name: str) -> None:
    count = len(file[name])
    del file[name]
    file.create_dataset(name, data=["x"] * count, dtype=h5py.string_dtype())


def references(file: h5py.File, name: str) -> None:
    old = file[name]
    count, reference = len(old), old.ref
    del file[name]
    file.create_dataset(name, data=[reference] * count, dtype=h5py.ref_dtype)


def compound(file: h5py.File, name: str) -> None:
    count = len(file[name])
    del file[name]
    file.create_dataset(name, data=np.zeros(count, [("a", "f4"), ("b", "i4")]))


def other_filter(file: h5py.File, name: str) -> None:
    old = file[name]
    data = np.zeros(old.shape, "i4")
    del file[name]
    file.create_dataset(name, data=data, scaleoffset=4, chunks=data.shape)


def never_stored(file: h5py.File, name: str) -> None:
    old = file[name]
    shape, dtype = (1 << 40, *old.shape[1:]), old.dtype
    del file[name]
    file.create_dataset(name, shape=shape, dtype=dtype, chunks=(1 << 20, *shape[1:]))


def bomb(file: h5py.File, name: str) -> None:
    old = file[name]
    shape, dtype = (1 << 26, *old.shape[1:]), old.dtype
    del file[name]
    data = file.create_dataset(
        name, shape=shape, dtype=dtype, chunks=(1 << 24, *shape[1:]), compression="gzip"
    )
    for i in range(4):
        block = b"\0" * ((1 << 24) * int(np.prod(shape[1:], dtype=int)) * dtype.itemsize)
        data.id.write_direct_chunk((i << 24,) + (0,) * (len(shape) - 1), zlib.compress(block, 1))


def chain(file: h5py.File, name: str) -> None:
    """A column that is a group, of groups, that hold themselves."""
    del file[name]
    group = file.create_group(name)
    group["again"] = group


def strange_attribute(file: h5py.File, name: str) -> None:
    file.attrs["settings"] = file[name].ref


def huge_texts(file: h5py.File, name: str) -> None:
    """Cells of 1 GB, never stored."""
    count = len(file[name])
    del file[name]
    file.create_dataset(name, shape=(count,), dtype=f"S{1 << 30}")


EVERY = ("features", "offsets", "items/text", "crc32")
TABLE = [
    *((plant, name) for plant in (external_link, virtual, virtual_of_itself) for name in EVERY),
    (external_link, "items"),
    *((soft_link, name) for name in (*EVERY, "items")),
    *((external_storage, name) for name in EVERY),
    *((plant, "items/text") for plant in (texts_of_any_length, references, compound, huge_texts)),
    *((plant, "items/further") for plant in (texts_of_any_length, references, compound)),
    *((other_filter, name) for name in ("features", "offsets", "items/fold")),
    *((never_stored, name) for name in EVERY),
    *((bomb, name) for name in ("offsets", "crc32", "items/fold")),
    (chain, "items/text"),
    (chain, "features"),
    (strange_attribute, "features"),
]


@contextmanager
def limited() -> Iterator[None]:
    """Allow for little more memory than there is: a refusal needs next to none."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("plant", "name"), TABLE, ids=[f"{plant.__name__}-{name}" for plant, name in TABLE]
)
def test_store(cli, store: Path, plant: Callable[[h5py.File, str], None], name: str) -> None:
    with h5py.File(store, "r+") as file:
        if name == "items/further":
            file["items/further"] = np.zeros(8)
        plant(file, name)
    model = store.parent / "m.ckpt"
    for words in (["info"], ["info", "--items"], ["train", "--test-fold", "0"]):
        with limited():
            result = cli(*words, store, *([model] if words[0] == "train" else []))
        assert (result.code, result.out) == (3, ""), (words, result.err)
        assert result.err.count("\n") == 1, result.err
        assert "damaged" in result.err
        assert SECRET not in result.err
    assert not model.exists()


def test_what_is_no_regular_file(cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    for name in ("pipe.h5", "zero.h5"):
        for words in (["info"], ["train", "--test-fold", "0"], ["featurize"]):
            more = [] if words == ["info"] else [tmp_path / "o"]
            result = cli(*words, tmp_path / name, *more)
            assert (result.code, result.out) == (3, ""), (words, result.err)
            assert result.err.count("\n") == 1, result.err


@pytest.mark.parametrize("how", ["none", "gzip", "lzf"])
def test_a_compressed_store_is_a_store(tmp_path: Path, cli, how: str) -> None:
    """Zeros, which unpack to a thousand times their size, and noise, which no filter packs."""
    noise = np.random.default_rng(0).integers(0, 256, (400_000, 3), np.uint8)
    zeros = np.zeros((400_000, 3), np.uint8)
    path = tmp_path / "f.h5"
    rows = [{"id": name, "path": "a.wav"} for name in ("zeros", "noise", "again")]
    write_store(path, [zeros, noise, zeros], rows, compress=how)
    assert cli("info", path).code == 0
    with Store(path) as store:
        for i, frames in enumerate((zeros, noise, zeros)):
            assert np.array_equal(store.features(i), frames)
        assert store.verify()
    if how != "none":
        assert path.stat().st_size < noise.nbytes + zeros.nbytes


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from sertool.formats.outputs import atomic
from sertool.formats.store import StoreWriter
from sertool.items import Item
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000,) * 2)
noise = np.random.default_rng(0).normal(size=(60, 1000, 40))
try:
    with atomic(Path("o.h5")) as temporary:
        writer = StoreWriter(temporary, (40,), "float64", sys.argv[1])
        try:
            for i, frames in enumerate(noise):
                writer.append(frames, Item(f"i{i}", "p", origin=f"i{i}"))
        except BaseException:
            try:
                writer.abort()
            finally:
                raise
except (OSError, RuntimeError):
    print("refused")
"""


@pytest.mark.parametrize("how", ["none", "gzip", "lzf"])
def test_a_file_that_cannot_grow_ends_in_no_crash(tmp_path: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, how], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("item", range(8))
def test_a_store_with_any_damage_is_not_trained_on(cli, store: Path, item: int) -> None:
    """Whether the damaged frames are trained on, held out, or neither."""
    with h5py.File(store, "r+") as file:
        file["features"][9 * item + 3, 1] += 1
    for words in (["--test-fold", "0"], ["--test-fold", "1"]):
        result = cli("train", "-q", store, store.with_name("m.ckpt"), *words)
        assert result.code == 3
        assert result.err.count("\n") == 1
        assert f"the features of c/{item} are not what was written" in result.err
        assert not store.with_name("m.ckpt").exists()


@pytest.mark.parametrize("name", ["", ".", "\0", "/nowhere/m.ckpt"])
def test_features_that_come_from_no_checkpoint(cli, tmp_path: Path, name: str) -> None:
    """A store that claims so trains a model, which hears nothing: one line, exit 3."""
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 4}", "fold": i // 4}
        for i in range(8)
    ]
    frames = [np.full((9, 3), i, np.float32) for i in range(8)]
    settings = {"checkpoint": name, "layer": "x", "sha256": "0" * 64}
    path, model, sound = tmp_path / "e.h5", tmp_path / "m.ckpt", tmp_path / "1.wav"
    write_store(path, frames, rows, kind="embedding", settings=settings)
    soundfile.write(sound, 0.1 * np.random.default_rng(0).normal(size=8000), 16000)
    assert cli("train", "-q", "--model", "linear", "--test-fold", "0", path, model).code == 0
    result = cli("predict", "--vad", "off", model, sound)
    assert (result.code, result.out) == (3, "")
    assert result.err.count("\n") == 1, result.err
    assert "kind embedding needs" in result.err
    given = ("--kind", "embedding", "--set", "checkpoint=", "--set", "layer=x")
    assert cli("featurize", *given, sound, tmp_path / "o.h5").code == 3
