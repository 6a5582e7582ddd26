"""What made a file: one record per stage, free of anything that changes between equal runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from sertool.core.version import VERSION
from sertool.formats.schema import Count, Number


class Input(Struct):
    """What a stage read: its name, and the SHA-256 of its content."""

    name: str
    sha256: str


class Record(Struct):
    """One entry of a lineage: the normalised command of a stage."""

    stage: str
    version: str
    params: dict[str, Any]
    input: Input


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
    stage: str, params: dict[str, Any], input_name: str, input_sha256: str
) -> dict[str, Any]:
    """Return the normalised command of a stage, as stores and checkpoints keep it.

    `params` holds every parameter that shapes the result, defaults included; never the output's
    name, the number of workers, or a time.
    """
    return {
        "stage": stage,
        "version": VERSION,
        "params": params,
        "input": {"name": input_name, "sha256": input_sha256},
    }


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
