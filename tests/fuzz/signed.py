"""Changes to what carries checksums and structure, after which the checksums fit again."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import os
import random
import resource
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuzz import mutate
from sertool.formats import checkpoint, onnx, outputs, store

Change = Callable[..., bytes]
CHANCE_OF_BYTES = 0.25  # changes of bytes alone, which a checksum mostly finds


def apart(change: Change) -> Change:
    """Return a change that is made in a process of its own, which what is changed may end."""

    def changed(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
        if draw.random() < CHANCE_OF_BYTES:
            return mutate.bytes_of(draw, content, others)
        seed = draw.getrandbits(64)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
            try:
                found = change(random.Random(seed), content)
                with open(writing, "wb") as file:
                    file.write(b"+" + found)
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as file:
            found = file.read()
        os.waitpid(child, 0)
        return found[1:] or mutate.bytes_of(draw, content, others)

    return changed


# --- stores ---


def _store(draw: random.Random, content: bytes) -> bytes:
    import h5py

    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        for _ in range(draw.choice((1, 1, 2))):
            _store_once(draw, opened)
        if draw.random() < 0.8:
            _sign_store(opened)
    return file.getvalue()


def _store_once(draw: random.Random, file: Any) -> None:
    import h5py

    at = draw.choice((file, file, file, file["features"], file["items"]))
    names = list(at.attrs)
    columns = [f"items/{name}" for name in file["items"]]
    data = draw.choice(("features", "offsets", "crc32", *columns, *columns))
    match draw.randrange(12):
        case 0 | 1 | 2 if names:
            name = draw.choice(names)
            try:
                value = json.loads(at.attrs[name])
                at.attrs[name] = json.dumps(mutate.value_of(draw, value))
            except (ValueError, TypeError):
                at.attrs[name] = draw.choice(_VALUES)()
        case 3 if names:
            name = draw.choice(names)
            del at.attrs[name]
            if draw.random() < 0.8:
                at.attrs[name] = draw.choice(_VALUES)()
        case 4:
            del file[data]
        case 5 | 6 | 7 | 8:
            _values(draw, file, data)
        case 9:
            old = file[data]
            del file[data]
            file[data] = draw.choice(_VALUES)()
            del old
        case 10:
            shape = draw.choice(((), (0,), (1,), (3, 3), (1 << 40,), (0, 1 << 30), (6, 0), (7,)))
            kind = draw.choice(("f4", "f8", "i1", "i8", "u8", "S1", "S300", "f2", "b1", "c8", "V3"))
            del file[data]
            file.create_dataset(data, shape, kind, chunks=draw.choice((None, None, True)))
        case _:
            name = draw.choice(("x", "a\n", "\x1b[1m", "label2", "é", "." * 3, "x" * 3000))
            count = len(file["items/id"])
            file[f"items/{name}"] = draw.choice((np.zeros(count), np.array([b"x"] * count)))
    if draw.random() < 0.03:
        links = (h5py.SoftLink("/features"), h5py.ExternalLink("f.h5", "/"))
        file["items"]["extra"] = draw.choice(links)


_VALUES: tuple[Callable[[], Any], ...] = (
    lambda: 0, lambda: -1, lambda: 1.5, lambda: float("nan"), lambda: float("inf"), lambda: "",
    lambda: "x", lambda: "\x1b[2J", lambda: "[" * 3000, lambda: "{}", lambda: "[]", lambda: "null",
    lambda: b"\xff\xfe", lambda: np.zeros(3), lambda: np.arange(7), lambda: np.array([b"a", b"bb"]),
    lambda: np.zeros((2, 2)), lambda: 1 << 62, lambda: np.float32(3), lambda: True,
    lambda: "1" * 5000,
    lambda: np.array([b"\xff"] * 6), lambda: np.array([b"anger"] * 6), lambda: np.full(6, -5.0),
)  # fmt: skip


def _values(draw: random.Random, file: Any, name: str) -> None:
    """Change values of a dataset, whose type and shape stay."""
    data = file[name]
    values = data[()]
    if not values.size:
        return
    at = draw.randrange(values.shape[0])
    if values.dtype.kind == "S":
        texts = [b"", b"x", b"\xff\xfe", b"\x1b[1m", b"a/../b", b"anger", b"{}", b"\n", values[0]]
        values[at] = draw.choice(texts)
    elif values.dtype.kind == "f":
        values[at] = draw.choice((np.nan, np.inf, -np.inf, 0, -1, 1e30, 65000, 1e-40))
    else:
        info = np.iinfo(values.dtype)
        values[at] = draw.choice((info.max, info.min, 0, 1, values[0], values[-1]))
    if draw.random() < 0.2:
        values[:] = values[at]
    data[...] = values


def _sign_store(file: Any) -> None:
    """Make the checksums right, as far as what is there can be read."""
    offsets, features = file["offsets"][()], file["features"]
    sha256, sums = store._checksums(features, offsets)
    features.attrs["sha256"] = sha256
    del file["crc32"]
    file["crc32"] = np.array(sums, np.uint32)
    file.attrs["sha256"] = store._content_sha256(file, features, sha256)


store_of = apart(_store)


# --- checkpoints ---


def _checkpoint(draw: random.Random, content: bytes) -> bytes:
    tensors, meta = checkpoint.undump(content, "x")
    for _ in range(draw.choice((1, 1, 1, 3))):
        match draw.randrange(8):
            case 0:
                _tensor(draw, tensors)
            case 1:
                lines = mutate.json_of(draw, tensors[checkpoint.ITEMS].tobytes())
                tensors[checkpoint.ITEMS] = np.frombuffer(lines, np.uint8)
            case 2 if len(content) < 100_000:
                meta = mutate.value_of(draw, {"meta": meta})["meta"]
            case _:
                deep = [name for name in meta if isinstance(meta[name], dict | list)]
                name = draw.choice(deep or list(meta))
                holder = {name: meta[name]}
                mutate.value_of(draw, holder)
                meta = {n: v for n, v in meta.items() if n != name} | holder
    meta.pop("sha256", None)
    return checkpoint.dump(tensors, {**meta, "sha256": checkpoint._digest(tensors, meta)})


def _tensor(draw: random.Random, tensors: dict[str, Any]) -> None:
    name = draw.choice(list(tensors))
    array = tensors[name]
    match draw.randrange(6):
        case 0:
            del tensors[name]
        case 1:
            tensors[name] = array[:0]
        case 2:
            tensors[name] = array.reshape(-1)
        case 3:
            tensors[name] = np.zeros((2, 3, 4), draw.choice(("f2", "f4", "f8", "i8", "u1")))
        case 4:
            tensors[name] = np.full(array.shape, draw.choice((0, 1, 200)), array.dtype)
        case _:
            tensors[draw.choice((*tensors, "x", "\x1b[1m", ""))] = array


checkpoint_of = apart(_checkpoint)


def _onnx(draw: random.Random, content: bytes) -> bytes:
    body, meta = content[: -onnx._TRAILER], {}
    at = len(body)
    for number, value in onnx._fields(memoryview(body)):
        if number == onnx.MODEL_PROPERTY:
            raw = bytes(value)
            pair = {n: bytes(v).decode() for n, v in onnx._fields(memoryview(raw))}
            meta[pair[1]] = json.loads(pair[2])
            at -= len(onnx._property(pair[1], pair[2]))
    graph = body[:at]
    if draw.random() < 0.5:
        head = len(onnx._HEAD)
        graph = graph[:head] + mutate.bytes_of(draw, graph[head:])
    else:
        meta = mutate.value_of(draw, meta)
    body = graph + b"".join(onnx._property(n, json.dumps(v)) for n, v in sorted(meta.items()))
    return body + onnx._property(onnx.SHA256, hashlib.sha256(body).hexdigest())


onnx_of = apart(_onnx)


# --- archives ---


def _array(draw: random.Random, content: bytes) -> bytes:
    """Change a .npy file: its header's text, or what it holds."""
    if not content.startswith(b"\x93NUMPY") or draw.random() < 0.3:
        return mutate.json_of(draw, content)
    size = int.from_bytes(content[8:10], "little")
    head, body = content[10 : 10 + size], content[10 + size :]
    if draw.random() < 0.5:
        head = mutate.text_of(draw, head)[:65000]
    elif b"U" in head[:60] and draw.random() < 0.7:
        text = mutate.json_of(draw, body.decode("utf-32-le", "replace").encode("utf-8", "replace"))
        body = text.decode("utf-8", "replace").encode("utf-32-le", "replace")
        head = head.replace(head.split(b"U")[1].split(b"'")[0], str(len(body) // 4).encode(), 1)
    else:
        body = mutate.bytes_of(draw, body)
    return content[:8] + len(head).to_bytes(2, "little") + head + body


def _zip(draw: random.Random, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    name = draw.choice(list(members))
    match draw.randrange(6):
        case 0:
            del members[name]
        case 1:
            members[draw.choice(("x", "../x.npy", "/x.npy", "items/x.npy"))] = members[name]
        case _:
            members[name] = _array(draw, members[name])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw.choice((0, 0, 8, 12, 14))) as packed:
        for name, value in members.items():
            packed.writestr(zipfile.ZipInfo(name), value)
    return file.getvalue()


zip_of = apart(_zip)


def _tar(draw: random.Random, content: bytes) -> bytes:
    if content[257:262] != b"ustar":
        return mutate.json_of(draw, content)
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        members = [(one, (packed.extractfile(one) or io.BytesIO()).read()) for one in packed]
    at = draw.randrange(len(members))
    one, value = members[at]
    match draw.randrange(6):
        case 0:
            del members[at]
        case 1:
            one.name = draw.choice(("../x", "/x", "x", one.name + "x", "a.b.c.json", "\udcff"))
        case 2:
            one.type, one.linkname = draw.choice((b"1", b"2", b"3", b"5", b"6")), "/etc/passwd"
        case _:
            value = _array(draw, value)
            one.size = len(value)
            members[at] = one, value
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as packed:
        for one, value in members:
            packed.addfile(one, io.BytesIO(value))
    return file.getvalue()


tar_of = apart(_tar)


# --- parts beside an output ---


def part_of(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change a finished part, whose checksum then fits."""
    body, mark = content[: -outputs._TRAILER], content[len(content) - len(outputs._MARK) :]
    if draw.random() < 0.2 or not body:
        return mutate.bytes_of(draw, content, others)
    change = mutate.json_of if body[:1] in b"{[" else mutate.bytes_of
    body = change(draw, body)
    return body + zlib.crc32(body).to_bytes(4, "little") + mark
