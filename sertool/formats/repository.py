"""A model as Hugging Face keeps one: a folder of a checkpoint, its card, and what both must be.

`config.json` has the size and SHA-256 of every other file, so that a mixed, cut or changed set is
noticed. The names are these alone: nothing in the folder says what else to open.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.core.version import VERSION as SERTOOL
from sertool.formats import schema
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.outputs import atomic, check_output

FORMAT = "sertool-model"
VERSION = 1
CONFIG, CARD, MODEL = "config.json", "README.md", "model.ckpt"
MOST_CONFIG = 1 << 20  # bytes: some hundred times its usual size


class Listed(Struct):
    """What a file of the folder must be."""

    size: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Config(Struct):
    """As much of `config.json` as is read."""

    format: str
    version: int
    files: dict[str, Listed]


def contents(checkpoint: Checkpoint, model: bytes, card: str) -> dict[str, bytes]:
    """Return the files of a model's folder by name, `config.json` last; model: the checkpoint's."""
    files = {MODEL: model, CARD: card.encode()}
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


def check(folder: Path, replace: bool, inputs: Collection[Path]) -> None:
    """Raise InputError where a model cannot be written into `folder`; a missing one is made later.

    What else is in it, such as a clone's history, is left alone. UsageError for an input there.
    """
    if not folder.is_dir():
        if folder.exists():
            raise InputError(f"{show(folder)}: is a file; name a folder")
        check_output(folder, force=False)
        return
    for name in (MODEL, CARD, CONFIG):
        check_output(folder / name, replace, inputs=inputs)


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
    """Write a model's folder: a new one appears whole, in an old one the list of files comes last.

    Killed in between, an old folder holds a model that `fetch` refuses, never one that is mixed.
    """
    if folder.is_dir():
        for name, content in files.items():
            with atomic(folder / name) as temporary:
                temporary.write_bytes(content)
        return
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as made:
        whole = Path(made) / "whole"
        whole.mkdir()
        for name, content in files.items():
            with atomic(whole / name) as temporary:
                temporary.write_bytes(content)
        os.rename(whole, folder)


def fetch(folder: Path, name: str, shown: str) -> bytes:
    """Return the bytes of a file in a model's folder, which messages call `shown`.

    Raises InputError where the folder holds no model of ours, or the file is missing, is not what
    the list says, or is no plain file: links are not followed.
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(f"{shown}: {(error.strerror or 'cannot be read').lower()}") from error
    try:
        listed = _listed(_read(place, CONFIG, shown, MOST_CONFIG), shown)
        if name not in listed:
            raise InputError(f"{shown}: holds no {name}")
        wanted = listed[name]
        content = _read(place, name, shown, wanted.size)
    finally:
        os.close(place)
    if len(content) != wanted.size or hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise InputError(f"{shown}: {name} is damaged: it is not what {CONFIG} says")
    return content


def _read(place: int, name: str, shown: str, most: int) -> bytes:
    """Return a plain file's bytes; InputError where it has more than `most`."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    except OSError as error:
        link = error.errno == errno.ELOOP
        why = "is a link, which is not followed" if link else (error.strerror or "").lower()
        raise InputError(f"{shown}: {name}: {why}") from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{shown}: {name}: is not a regular file")
        if found.st_size > most:
            raise InputError(f"{shown}: {name}: has {found.st_size} bytes, at most {most} expected")
        with open(file, "rb", closefd=False) as opened:
            return opened.read(most)
    finally:
        os.close(file)


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
