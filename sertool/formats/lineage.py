"""What made a file: one record a stage, free of anything that changes between equal runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sertool.core.version import VERSION


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
