"""What a run that went well may not have believed, and what it may not have written.

An exit code of 0 says that what was read is what was once written, and that what is there now can
be read. Each check is done in the process of the input, after its command line.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import desk as desks
from fuzz import judge
from sertool.core.errors import SertoolError
from sertool.formats import building, checkpoint, onnx, outputs
from sertool.formats.store import Store

Files = Mapping[str, bytes]
WHOLE = ("info x.h5", "info --json x.h5", "convert ", "merge ", "featurize ", "augment ")


def of(kind: str, desk: Path, files: Files, line: str) -> Callable[[int, Path, str], str]:
    """Return what judges a run of a command line on an input at the door `kind`."""
    checks: Mapping[str, Callable[[Path, Files, str, Path], str]] = {
        "store": _store, "checkpoint": _checkpoint, "onnx": _onnx, "parts": _parts,
    }  # fmt: skip
    check = checks.get(kind.partition(":")[0])

    def judged(code: int, work: Path, out: str) -> str:
        if found := _written(code, work) or _said(code, line, out):
            return found
        return check(desk, files, line, work) if check is not None and not code else ""

    return judged


# --- outputs ---


def _written(code: int, work: Path) -> str:
    """Return what is wrong with the outputs in a folder."""
    for path in sorted(work.glob(f"{judge.OUT}*")):
        if code > 1:
            return f"code {code}, and {path.name} is there"
        try:
            if found := _unsound(path):
                return f"{path.name} holds {found}"
        except (SertoolError, ValueError) as error:
            return f"{path.name} cannot be read: {error}"
    return ""


def _unsound(path: Path) -> str:
    match path.suffix:
        case ".h5":
            with Store(path) as store:
                store.check_features()
                store.items()
                values = [store.features(i) for i in range(len(store))]
        case ".ckpt":
            values = [v for v in checkpoint.load(path).tensors.values() if v.dtype.kind == "f"]
        case ".onnx":
            onnx.load(path)
            return ""
        case ".json":
            _strict(path.read_text("utf-8"))
            return ""
        case ".jsonl":
            for line in path.read_text("utf-8").splitlines():
                _strict(line)
            return ""
        case _:
            return ""
    return "" if all(np.isfinite(one).all() for one in values) else "what is not finite"


def _said(code: int, line: str, out: str) -> str:
    if code > 1 or "--json" not in line.split() or " o.json" in line:
        return ""
    try:
        _strict(out)
    except ValueError as error:
        return f"standard output is no JSON: {error}"
    return ""


def _strict(text: str) -> Any:
    def refused(name: str) -> None:
        raise ValueError(f"{name} in JSON")

    return json.loads(text, parse_constant=refused)


# --- stores ---


def _dumped(path: Path) -> dict[str, Any]:
    """Return what a store holds, as h5py reads it, by name."""
    import h5py

    with h5py.File(path, "r") as file:
        names = ["offsets", *(name for name in ("features", "crc32") if name in file)]
        names += [f"items/{name}" for name in file["items"]]
        found: dict[str, Any] = {name: _raw(file[name]) for name in names}
        return found | {f"@{name}": str(value) for name, value in file.attrs.items()}


def _raw(data: Any) -> tuple[str, tuple[int, ...], str]:
    content = hashlib.sha256(np.ascontiguousarray(data[()]).tobytes()).hexdigest()
    return data.dtype.str, data.shape, content


@functools.cache
def _stores(desk: Path) -> dict[str, dict[str, Any]]:
    """Return what the stores that were changed held, by their checksums."""
    found = [_dumped(path) for path in sorted(desk.glob("small/*.h5"))]
    return {str(one["@sha256"]): one for one in found}


def _store(desk: Path, files: Files, line: str, work: Path) -> str:
    if not line.startswith(WHOLE):
        return ""
    found = _dumped(work / "x.h5")
    known = _stores(desk).get(found["@sha256"], found)
    names = [name for name in known if name != "features"]
    if other := [name for name in names if found.get(name) != known[name]]:
        return f"{other[0]} is another than was written"
    with Store(work / "x.h5") as store:  # which reads frames where the index has them at opening
        frames = b"".join(store.features(i).tobytes() for i in range(len(store)))
        if hashlib.sha256(frames).hexdigest() != known["features"][2]:
            return "features are others than were written"
        ids = [item.id for item in store.items()]
    return "two items have one id" if len(set(ids)) < len(ids) else ""


# --- models ---


@functools.cache
def _checkpoints(desk: Path) -> dict[str, Any]:
    pairs = [checkpoint.undump(path.read_bytes(), "x") for path in sorted(desk.glob("*.ckpt"))]
    return {str(meta["sha256"]): (tensors, meta) for tensors, meta in pairs}


def _checkpoint(desk: Path, files: Files, line: str, work: Path) -> str:
    tensors, meta = checkpoint.undump(files["x.ckpt"], "x")
    known = _checkpoints(desk).get(str(meta.get("sha256")))
    if known is None:
        return ""
    same = known[1] == meta and known[0].keys() == tensors.keys()
    for name, value in known[0].items() if same else ():
        other = tensors[name]
        same &= (value.dtype, value.shape) == (other.dtype, other.shape)
        same &= value.tobytes() == other.tobytes()
    return "" if same else "the checkpoint is another than was written"


def _onnx(desk: Path, files: Files, line: str, work: Path) -> str:
    content = files["x.onnx"]
    known = [path.read_bytes() for path in desk.glob("*.onnx")]
    changed = content not in known and content[-64:] in [one[-64:] for one in known]
    return "the model is another than was written" if changed else ""


# --- parts ---


def _parts(desk: Path, files: Files, line: str, work: Path) -> str:
    """Return what is wrong with an output beside which parts lay.

    A part whose own checksum is wrong is made again, and parts of another run are not used: so the
    output is the one of an unbroken run, unless a part was forged with the right checksum.
    """
    name = line.split()[0]
    parts = {path: content for path, content in files.items() if "\0" not in path}
    at = {path: desk / "parts" / f"{name}{path}" for path in parts if ".parts/" in path}
    olds = {path: old.read_bytes() if old.exists() else b"" for path, old in at.items()}
    if line != (desk / "parts" / f"{name}.whole" / "LINE").read_text():
        job = next((path for path in at if path.endswith("/job.json")), "")
        return "parts of another run are used" if job and olds[job] == parts[job] else ""
    if any(_forged(parts[path], old) for path, old in olds.items()):
        return ""
    whole = desk / "parts" / f"{name}.whole"
    for place, content in desks.tree(whole).items():
        made = work / place
        if place[0] == judge.OUT and (not made.exists() or made.read_bytes() != content):
            return f"{place} is not what an unbroken run writes"
    return ""


def _forged(content: bytes, old: bytes) -> bool:
    """Return whether a part is another than it was, and its checksum right."""
    if content.endswith(building.MARK):
        size = int.from_bytes(content[-building.TRAILER :][:8], "little") + building.TRAILER
        said = content[-size : -building.TRAILER]
        crc = content[-8:-4]
    elif content.endswith(outputs._MARK):
        size, said, crc = len(content), content[: -outputs._TRAILER], content[-8:-4]
    else:
        return False
    return said != old[-size:][: len(said)] and zlib.crc32(said) == int.from_bytes(crc, "little")
