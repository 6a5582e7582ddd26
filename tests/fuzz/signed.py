"""Changes to what carries checksums and structure, after which the checksums fit again."""

from __future__ import annotations

import contextlib
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

from fuzz import hdf5, mutate
from sertool.formats import building, checkpoint, onnx, outputs, store

Change = Callable[..., bytes]
HERE = False  # whether this process may end of a change
CHANCE_OF_BYTES = 0.25  # changes of bytes alone, which a checksum mostly finds


def _changed(change: Change, seed: int, content: bytes) -> bytes:
    """Return what a change makes; of what it cannot change, some bytes."""
    draw = random.Random(seed)
    try:
        return change(draw, content)
    except Exception:
        return mutate.bytes_of(draw, content)


def apart(change: Change) -> Change:
    """Return a change that is made in a process of its own, which what is changed may end."""

    def changed(draw: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
        if draw.random() < CHANCE_OF_BYTES:
            return mutate.bytes_of(draw, content, others)
        seed = draw.getrandbits(64)
        if HERE:
            return _changed(change, seed, content)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
            try:
                found = _changed(change, seed, content)
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
    """Change a store's structures or what it holds; its checksums fit again in half of the cases.

    A change below the library may leave a file that the library cannot open: then they do not.
    """
    import h5py

    below = draw.random() < 0.4
    if below:
        content = hdf5.changed(draw, content)
    sign = draw.random() < 0.5
    if below and not sign:
        return content
    file = io.BytesIO(content)
    try:
        with h5py.File(file, "r+") as opened:
            for _ in range(0 if below else draw.choice((1, 1, 2, 3))):
                _store_once(draw, opened)
            if sign:
                _sign_store(opened)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        if below:
            return content
        raise
    return file.getvalue()


def _store_once(draw: random.Random, file: Any) -> None:
    import h5py

    at = draw.choice((file, file, file, file, file["features"], file["items"]))
    names = list(at.attrs)
    columns = [f"items/{name}" for name in file["items"]]
    data = draw.choice(("features", "features", "offsets", "offsets", "crc32", *columns))
    match draw.randrange(20):
        case 0 | 1 | 2 | 3 if names:
            name = draw.choice(names)
            try:
                value = json.loads(at.attrs[name])
                at.attrs[name] = json.dumps(mutate.value_of(draw, value))
            except (ValueError, TypeError):
                at.attrs[name] = draw.choice(_VALUES)()
        case 4 if names:
            name = draw.choice(names)
            del at.attrs[name]
            if draw.random() < 0.8:
                at.attrs[name] = draw.choice(_VALUES)()
        case 5:
            del file[data]
        case 6 | 7 | 8 | 9:
            _values(draw, file, data)
        case 10:
            old = file[data]
            del file[data]
            file[data] = draw.choice(_VALUES)()
            del old
        case 11:
            shape = draw.choice(((), (0,), (1,), (3, 3), (1 << 40,), (0, 1 << 30), (6, 0), (7,)))
            kind = draw.choice(("f4", "f8", "i1", "i8", "u8", "S1", "S300", "f2", "b1", "c8", "V3"))
            del file[data]
            file.create_dataset(data, shape, kind, chunks=draw.choice((None, None, True)))
        case 12 | 13:
            _again(draw, file, data)
        case 14:
            _resized(draw, file, data)
        case 15:
            _chunk(draw, file)
        case 16:
            _elsewhere(draw, file, data)
        case 17:
            kind = draw.choice(_TYPES)
            with contextlib.suppress(TypeError, ValueError):
                at.attrs.create(draw.choice([*names, "x"]), np.zeros(draw.choice(((), (1,))), kind))
        case 18:
            file.move(data, draw.choice(("x", "items/x", "shards", data + "2", "items/\x1b[1m")))
        case _:
            name = draw.choice(("x", "a\n", "\x1b[1m", "label2", "é", "." * 3, "x" * 3000))
            count = len(file["items/id"])
            file[f"items/{name}"] = draw.choice((np.zeros(count), np.array([b"x"] * count)))
    if draw.random() < 0.03:
        file["items"]["extra"] = h5py.SoftLink("/features")


_TYPES: tuple[Any, ...] = (
    ">f4", ">i8", "<f8", "<f2", "<i4", "<u8", "<u1", "S9", "<c8", "V5", "?",
    [("a", "<f4"), ("b", "<i2")], ("<f4", (3,)),
)  # fmt: skip


def _again(draw: random.Random, file: Any, name: str) -> None:
    """Write a dataset anew: the same values in another type, in other chunks, otherwise packed."""
    import h5py

    values = file[name][()]
    del file[name]
    if draw.random() < 0.6:
        kinds = (">f4", ">i8", "f8", "f2", "i4", "u8", "u1", "S3", "S200")
        with contextlib.suppress(ValueError, TypeError):
            values = values.astype(draw.choice(kinds))
    if draw.random() < 0.2:
        values = values.reshape(draw.choice(((-1,), (-1, 1), (1, -1), (*values.shape, 1))))
    how: dict[str, Any] = draw.choice((
        {}, {"chunks": True}, {"chunks": True, "compression": "gzip"}, {"compression": "lzf"},
        {"chunks": True, "fletcher32": True}, {"chunks": True, "shuffle": True},
        {"chunks": True, "scaleoffset": 2}, {"chunks": values.shape}, {"maxshape": None},
        {"chunks": True, "maxshape": (None,) * values.ndim},
    ))  # fmt: skip
    if draw.random() < 0.1:
        kind = draw.choice((h5py.string_dtype(), h5py.ref_dtype, h5py.enum_dtype({"A": 0})))
        file.create_dataset(name, values.shape, kind)
        return
    try:
        file.create_dataset(name, data=values, **how)
    except (ValueError, TypeError):
        if name not in file:
            file.create_dataset(name, data=values)


def _resized(draw: random.Random, file: Any, name: str) -> None:
    """Make a dataset longer or shorter than what is written of it."""
    data = file[name]
    if data.chunks is None:
        values = data[()]
        del file[name]
        many = draw.choice((0, 1, len(values) + 1, 2 * len(values)))
        file[name] = np.resize(values, (many, *values.shape[1:]))
        return
    count = len(data)
    most = data.maxshape[0] or 1 << 44
    data.resize(min(most, draw.choice((0, 1, count - 1, count + 1, 2 * count, 1 << 44))), axis=0)


def _chunk(draw: random.Random, file: Any) -> None:
    """Write a chunk of the features as it is packed: cut, of another size, or at another place."""
    data = file["features"]
    if data.chunks is None:
        return
    at = (data.chunks[0] * draw.randrange(max(1, len(data) // data.chunks[0])),)
    corner = at + (0,) * (data.ndim - 1)
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        mask, packed = data.id.read_direct_chunk(corner)
        packed = draw.choice((
            packed[: len(packed) // 2], packed + bytes(100), b"", zlib.compress(bytes(1 << 24)),
            mutate.bytes_of(draw, packed), bytes(len(packed)),
        ))  # fmt: skip
        data.id.write_direct_chunk(corner, packed, draw.choice((mask, mask, 0, 1, 7)))


def _elsewhere(draw: random.Random, file: Any, name: str) -> None:
    """Have a dataset lie elsewhere: behind a link, in another file, or nowhere."""
    import h5py

    shape, kind = file[name].shape, file[name].dtype
    old = file[name]
    del file[name]
    match draw.randrange(7):
        case 0:
            file[name] = h5py.SoftLink(draw.choice(("/offsets", "/items/id", f"/{name}", "/none")))
        case 1:
            file[name] = h5py.ExternalLink(draw.choice(("x.h5", "/dev/zero", "f.h5")), name)
        case 2:
            layout = h5py.VirtualLayout(shape, kind)
            layout[:] = h5py.VirtualSource(draw.choice(("x.h5", ".", "y.h5")), name, shape)
            file.create_virtual_dataset(name, layout)
        case 3:
            places = [(draw.choice(("/etc/passwd", "x.h5")), 0, max(1, old.nbytes))]
            file.create_dataset(name, shape, kind, external=places)
        case 4:
            file[name] = old.parent
        case 5:
            file[name] = file["offsets"] if name != "offsets" else file["items/id"]
        case _:
            file.create_group(name)


_VALUES: tuple[Callable[[], Any], ...] = (
    lambda: 0, lambda: -1, lambda: 1.5, lambda: float("nan"), lambda: float("inf"), lambda: "",
    lambda: "x", lambda: "\x1b[2J", lambda: "[" * 3000, lambda: "{}", lambda: "[]", lambda: "null",
    lambda: b"\xff\xfe", lambda: np.zeros(3), lambda: np.arange(7), lambda: np.array([b"a", b"bb"]),
    lambda: np.zeros((2, 2)), lambda: 1 << 62, lambda: np.float32(3), lambda: True,
    lambda: "1" * 5000,
    lambda: np.float64("nan"), lambda: np.int64(-1), lambda: np.int64(3), lambda: "\ud800".encode(
        "utf-8", "surrogatepass"), lambda: '{"a":NaN}', lambda: "[1e999]", lambda: "[[]]",
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
    """Change tensors, items or any field of the JSON; the checksum fits again in half of the cases.

    At times the header of the file itself is changed, which no library would write so.
    """
    tensors, meta = checkpoint.undump(content, "x")
    below = draw.random() < 0.15
    for _ in range(0 if below else draw.choice((1, 1, 1, 3))):
        match draw.randrange(8):
            case 0 | 1:
                _tensor(draw, tensors)
            case 2:
                lines = mutate.json_of(draw, tensors[checkpoint.ITEMS].tobytes())
                tensors[checkpoint.ITEMS] = np.frombuffer(lines, np.uint8)
            case _:
                meta = mutate.value_of(draw, {"meta": meta})["meta"]
    if draw.random() < 0.5 and isinstance(meta, dict):
        meta.pop("sha256", None)
        with contextlib.suppress(ValueError):
            meta["sha256"] = checkpoint._digest(tensors, meta)
    found = _safetensors(tensors, meta)
    return _header(draw, found) if below else found


def _safetensors(tensors: dict[str, Any], meta: Any) -> bytes:
    """Return a file as a checkpoint is, of JSON that a checkpoint cannot have, too."""
    import safetensors.numpy

    text = json.dumps(meta, separators=(",", ":"))
    found: bytes = safetensors.numpy.save(dict(sorted(tensors.items())), {checkpoint.KEY: text})
    return found


def _header(draw: random.Random, content: bytes) -> bytes:
    """Change the JSON with which a safetensors file begins, or its length."""
    size = int.from_bytes(content[:8], "little")
    head, body = content[8 : 8 + size], content[8 + size :]
    known = json.loads(head)
    match draw.randrange(6):
        case 0:
            name = draw.choice([name for name in known if not name.startswith("__")])
            known[name]["data_offsets"] = [draw.choice(mutate.NUMBERS), draw.choice(mutate.NUMBERS)]
            head = json.dumps(known).encode()
        case 1:
            name = draw.choice([name for name in known if not name.startswith("__")])
            kinds = ("F16", "BF16", "F64", "I8", "BOOL", "U64", "F8_E4M3", "C64", "F4", "", "x")
            known[name]["dtype"] = draw.choice(kinds)
            head = json.dumps(known).encode()
        case 2:
            size = draw.choice((size, size - 1, size + 1, draw.choice(mutate.NUMBERS)))
            return (size % (1 << 64)).to_bytes(8, "little") + head + body
        case 3:
            head = mutate.text_of(draw, head)
        case _:
            head = json.dumps(mutate.value_of(draw, known)).encode()
    return len(head).to_bytes(8, "little") + head + body


def _tensor(draw: random.Random, tensors: dict[str, Any]) -> None:
    name = draw.choice(list(tensors))
    array = tensors[name]
    match draw.randrange(9):
        case 0:
            del tensors[name]
        case 1:
            tensors[name] = array[:0]
        case 2:
            tensors[name] = array.reshape(draw.choice(((-1,), (1, *array.shape))))
        case 3:
            tensors[name] = np.zeros((2, 3, 4), draw.choice(("f2", "f4", "f8", "i8", "u1")))
        case 4:
            tensors[name] = np.full(array.shape, draw.choice((0, 1, 200)), array.dtype)
        case 5 if array.dtype.kind == "f":
            odd = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 0.0, -1.0)
            tensors[name] = found = array.copy()
            found.reshape(-1)[: draw.choice((1, array.size))] = draw.choice(odd)
        case 6:
            tensors[name] = array.astype(draw.choice(("f2", "f8", "i4", "u1", "?")))
        case 7 if array.ndim:
            tensors[name] = np.ascontiguousarray(array[:-1] if len(array) > 1 else array[[0, 0]])
        case _:
            tensors[draw.choice((*tensors, "x", "\x1b[1m", ""))] = array


checkpoint_of = apart(_checkpoint)


# --- ONNX ---


def _onnx(draw: random.Random, content: bytes) -> bytes:
    """Change the metadata, or any field of the graph; the checksum fits again in half the cases."""
    body, meta = content[: -onnx._TRAILER], {}
    at = len(body)
    for number, value in onnx._fields(memoryview(body)):
        if number == onnx.MODEL_PROPERTY:
            raw = bytes(onnx._message(value))
            pair = {n: bytes(onnx._message(v)).decode() for n, v in onnx._fields(memoryview(raw))}
            meta[pair[1]] = json.loads(pair[2])
            at -= len(onnx._property(pair[1], pair[2]))
    head, graph = body[: len(onnx._HEAD)], body[len(onnx._HEAD) : at]
    if draw.random() < 0.6:
        for _ in range(draw.choice((1, 1, 2, 4))):
            graph = _message(draw, graph, 0)
    else:
        meta = mutate.value_of(draw, meta)
    body = head + graph
    body += b"".join(onnx._property(n, json.dumps(v)) for n, v in sorted(meta.items()))
    right = draw.random() < 0.5
    return body + onnx._property(onnx.SHA256, hashlib.sha256(body[not right :]).hexdigest())


def _parsed(message: bytes) -> list[tuple[int, int, int | bytes]]:
    """Return (number, how it is written, value) of each field of a protocol buffer."""
    view, found, at = memoryview(message), [], 0
    while at < len(view):
        key, at = onnx._varint(view, at)
        kind = key & 7
        if kind == onnx.VARINT:
            value, at = onnx._varint(view, at)
            found.append((key >> 3, kind, value))
            continue
        size = {onnx.FIXED64: 8, onnx.FIXED32: 4}.get(kind, -1)
        if kind == onnx.BYTES:
            size, at = onnx._varint(view, at)
        if size < 0 or at + size > len(view) or not key >> 3:
            raise ValueError("no message")
        found.append((key >> 3, kind, bytes(view[at : at + size])))
        at += size
    return found


def _written(fields: Sequence[tuple[int, int, int | bytes]]) -> bytes:
    parts = b""
    for number, kind, value in fields:
        parts += onnx._number(number << 3 | kind)
        if isinstance(value, int):
            parts += onnx._number(value)
        else:
            parts += (onnx._number(len(value)) if kind == onnx.BYTES else b"") + value
    return parts


def _message(draw: random.Random, message: bytes, depth: int) -> bytes:
    """Return a message with one field of it, or of a message in it, changed."""
    try:
        fields = _parsed(message)
    except (ValueError, IndexError):
        return mutate.bytes_of(draw, message)
    if not fields:
        return message + _written([(draw.randrange(1, 30), 0, 1)])
    at = draw.randrange(len(fields))
    number, kind, value = fields[at]
    deep = kind == onnx.BYTES and depth < 6 and draw.random() < 0.8
    if isinstance(value, bytes) and deep and len(value) > 1 and not value.isalnum():
        fields[at] = number, kind, _message(draw, value, depth + 1)
        return _written(fields)
    match draw.randrange(7):
        case 0:
            del fields[at]
        case 1:
            fields[at:at] = [fields[at]] * draw.choice((1, 1, 3, 200))
        case 2:
            fields[at] = draw.randrange(1, 30), kind, value
        case 3:
            fields.insert(at, draw.choice(fields))
        case 4:
            extra = (
                draw.choice((6, 11, 13, 14, 15, 20, 22, 25)),
                onnx.BYTES,
                draw.choice((b"", b"x")),
            )
            fields.insert(at, extra)
        case _ if isinstance(value, int):
            fields[at] = (
                number,
                kind,
                draw.choice((*mutate.NUMBERS, value + 1, 2 * value)) % (1 << 64),
            )
        case _:
            words = [word.encode("utf-8", "replace") for word in mutate.WORDS[:60]]
            other = draw.choice((mutate.bytes_of(draw, value), draw.choice(words)))
            fields[at] = (
                number,
                kind,
                other if kind == onnx.BYTES else other[: len(value)].ljust(len(value)),
            )
    return _written(fields)


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


def _part(draw: random.Random, content: bytes) -> bytes:
    """Change a finished part; the checksums in it fit again in half of the cases."""
    right = draw.random() < 0.5
    if content.endswith(building.MARK):
        return _block(draw, content, right)
    body, mark = content[: -outputs._TRAILER], content[len(content) - len(outputs._MARK) :]
    if not body:
        return mutate.bytes_of(draw, content)
    if body[8:9] == b"{":
        tensors, meta = checkpoint.undump(body, "x")
        if draw.random() < 0.5:
            _tensor(draw, tensors)
        else:
            meta = mutate.value_of(draw, {"meta": meta})["meta"]
        changed = _safetensors(tensors, meta)
    else:
        change = mutate.json_of if body[:1] in (b"{", b"[") else mutate.bytes_of
        changed = change(draw, body)
    return changed + zlib.crc32(changed if right else body).to_bytes(4, "little") + mark


def _block(draw: random.Random, content: bytes, right: bool) -> bytes:
    """Change a block of a store: what it says of its items, or their frames."""
    end = content[-building.TRAILER :]
    length = int.from_bytes(end[:8], "little")
    text = content[-building.TRAILER - length : -building.TRAILER]
    frames = content[: -building.TRAILER - length]
    if draw.random() < 0.7:
        changed = json.dumps(mutate.value_of(draw, json.loads(text))).encode()
    else:
        changed, frames = text, mutate.bytes_of(draw, frames)
    crc = zlib.crc32(changed if right else text)
    length = len(changed) if draw.random() < 0.95 else draw.choice(mutate.NUMBERS) % (1 << 64)
    return (
        frames + changed + length.to_bytes(8, "little") + crc.to_bytes(4, "little") + building.MARK
    )


part_of = apart(_part)
