"""What made a file: one record per stage, free of anything that changes between equal runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from sertool.core.paths import regular
from sertool.core.version import VERSION
from sertool.formats.schema import Count, Number


class Input(Struct, omit_defaults=True):
    """What a stage read: its name, and the SHA-256 of its content.

    what: "folder", "manifest", "file" (audio, or a table) or "list", where it is no store.
    """

    name: str
    sha256: str
    what: str = ""


class Source(Struct, omit_defaults=True):
    """A file or folder that a stage read, too, and how it was made where that is known.

    sha256: of its content; of a folder, of the listing: names and sizes of its audio files.
    option: that named it, "" for an argument. params: of its last stage, those that differ from
    the lineage that this stands in (another fold's checkpoint), in place of a `lineage`.
    """

    name: str
    sha256: str
    what: str = ""
    option: str = ""
    lineage: list[Record] = []
    params: dict[str, Any] = {}


class Record(Struct, omit_defaults=True):
    """One entry of a lineage: the normalised command of a stage, and what it read beside `input`.

    Of several arguments (`prepare`, `eval`) all but a store are `sources`.
    """

    stage: str
    version: str
    params: dict[str, Any]
    input: Input
    sources: list[Source] = []


class Stage(Struct, kw_only=True):
    """One stage of a pipeline; `augment` keeps its own parameters beside these.

    fitted_on: the items that the stage was fitted to, by id or with their fields.
    """

    stage: str
    kind: str | None = None
    settings: dict[str, Any] | None = None
    sample_rate: Count | None = None
    channel: str | None = None
    offset: Number | None = None
    duration: Number | None = None
    segment: Number | None = None
    segment_hop: Number | None = None
    segment_tail: str | None = None
    segment_max: Number | None = None
    fit: str | None = None
    dtype: str | None = None
    fitted_on: list[str | dict[str, Any]] | None = None


def canonical(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def record(
    stage: str,
    params: dict[str, Any],
    input_name: str,
    input_sha256: str,
    what: str = "",
    sources: Sequence[Source] = (),
) -> dict[str, Any]:
    """Return the normalised command of a stage, as files keep it.

    `params` holds every parameter that shapes the result, defaults included; never the output's
    name, the number of workers, or a time.
    """
    read = Input(input_name, input_sha256, what)
    made: dict[str, Any] = to_builtins(Record(stage, VERSION, params, read, list(sources)))
    return made


def items_sha256(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 of recordings by (id, hash of the samples), in hex, in their order."""
    digest = hashlib.sha256()
    for name, content in pairs:
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
