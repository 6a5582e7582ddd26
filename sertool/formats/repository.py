"""A model as Hugging Face keeps one: a folder of a checkpoint, its card, and what both must be.

`config.json` has the size and SHA-256 of every other file, so that a mixed, cut or changed set is
noticed. The names are these alone: nothing in the folder says what else to open.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from sertool.core.errors import InputError
from sertool.core.memory import TooMuch, afford
from sertool.core.paths import regular, show
from sertool.core.version import VERSION as SERTOOL
from sertool.formats import schema
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.outputs import atomic_folder, atomic_set, check_output, claim

FORMAT = "sertool-model"
VERSION = 1
CONFIG, CARD, MODEL, ONNX = "config.json", "README.md", "model.ckpt", "model.onnx"
MOST_CONFIG = 1 << 20  # bytes: some hundred times its usual size


class Listed(Struct):
    """What a file of the folder must be."""

    size: Annotated[int, Meta(ge=0, le=1 << 62)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Config(Struct):
    """As much of `config.json` as is read."""

    format: str
    version: int
    files: dict[str, Listed]


def contents(
    checkpoint: Checkpoint, model: bytes, onnx: bytes | None, card: str
) -> dict[str, bytes]:
    """Return the files of a model's folder by name, `config.json` last.

    model: the checkpoint's bytes; onnx: those of the same model as `sertool export` writes it.
    """
    files = {MODEL: model, **({} if onnx is None else {ONNX: onnx}), CARD: card.encode()}
    header = checkpoint.header
    config: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "library_name": "sertool",
        "sertool_version": SERTOOL,
        "model": header.model.name,
        "identity": checkpoint.identity,
        "kind": header.kind,
        "sampling_rate": header.sample_rate,
        "id2label": {str(k): name for k, name in enumerate(header.outputs)},
        "files": {
            name: {"size": len(own), "sha256": hashlib.sha256(own).hexdigest()}
            for name, own in files.items()
        },
    }
    text = json.dumps(config, indent=2, ensure_ascii=True, allow_nan=False)
    return {**files, CONFIG: text.encode() + b"\n"}


def check(folder: Path, names: Collection[str], replace: bool, inputs: Collection[Path]) -> None:
    """Raise InputError where files cannot be written into `folder`; a missing one is made later.

    What else is in it, such as a clone's history, is left alone, but for an ONNX model, which would
    be another's. UsageError for an input there.
    """
    if not folder.is_dir():
        if folder.exists():
            raise InputError(f"{show(folder)}: is a file; name a folder")
        check_output(folder, force=False)
        return
    if ONNX not in names and (folder / ONNX).exists():
        raise InputError(f"{show(folder / ONNX)}: would be of another model; remove it, or --onnx")
    for name in names:
        check_output(folder / name, replace, inputs=inputs, alone=False)
    claim(folder)


def holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Return whether a folder has all of these files as they are; InputError where some differ."""
    there = [name for name in files if (folder / name).exists()]
    for name in there:
        if (folder / name).read_bytes() != files[name]:
            raise InputError(
                f"{show(folder / name)}: exists, of another model; --force replaces it"
            )
    return len(there) == len(files)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a model's folder: all of its files appear or none; in an old one they are replaced."""
    with contextlib.ExitStack() as stack:
        if folder.is_dir():
            paths = stack.enter_context(atomic_set([folder / name for name in files]))
        else:
            whole = stack.enter_context(atomic_folder(folder))
            paths = [whole / name for name in files]
        for path, content in zip(paths, files.values(), strict=True):
            path.write_bytes(content)


def fetch(folder: Path, name: str, shown: str) -> bytes:
    """Return the bytes of a file in a model's folder, which messages call `shown`.

    Raises InputError where the folder holds no model of ours, or the file is missing, is not what
    the list says, or is no plain file: links are not followed.
    """
    if not folder.is_dir():
        raise InputError(f"{shown}: {'not a' if folder.exists() else 'no such'} folder")
    listed = _listed(_read(folder, CONFIG, shown, MOST_CONFIG), shown)
    if name not in listed:
        raise InputError(f"{shown}: holds no {name}")
    wanted = listed[name]
    try:
        afford(wanted.size, f"{shown}: {name}")
    except TooMuch as error:
        raise InputError(str(error)) from error
    content = _read(folder, name, shown, wanted.size)
    if len(content) != wanted.size or hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise InputError(f"{shown}: {name} is damaged: it is not what {CONFIG} says")
    return content


def _read(folder: Path, name: str, shown: str, most: int) -> bytes:
    """Return a plain file's bytes; InputError where it has more than `most`."""
    try:
        with regular(folder / name, follow=False) as file:
            content = file.read(most + 1)
    except OSError as error:
        link = error.errno == errno.ELOOP
        why = "is a link, which is not followed" if link else (error.strerror or "").lower()
        raise InputError(f"{shown}: {name}: {why}") from error
    if len(content) > most:
        raise InputError(f"{shown}: {name}: has more than the {most} bytes expected")
    return content


def _listed(content: bytes, shown: str) -> dict[str, Listed]:
    """Return the files that `config.json` lists; InputError where it is not ours or is newer."""
    try:
        raw = json.loads(content)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise InputError(f"{shown}: {CONFIG} is not of a model that sertool pushed")
        config = schema.convert(raw, Config)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown}: {CONFIG} is damaged") from error
    if config.version > VERSION:
        raise InputError(
            f"{shown}: a model folder of version {config.version}; this sertool reads up to"
            f" {VERSION}"
        )
    return config.files
