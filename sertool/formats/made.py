"""What made an output that cannot say so itself: `.NAME.made` beside it, believed while it fits.

Manifests and predictions are lines for any program, so they have no header. The file beside them is
JSON: `format`, the `sha256` of the output's bytes, and its `lineage`, as stores keep theirs. What
was edited, cut or replaced since then has another sha256, and nothing is known of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, convert

from sertool.core.paths import regular
from sertool.formats import schema
from sertool.formats.lineage import Record, canonical, file_sha256
from sertool.formats.outputs import atomic

FORMAT = "sertool-made"
MOST_BYTES = 1 << 22  # of such a file: some thousand times its usual size


class Side(Struct):
    """What `.NAME.made` holds."""

    format: str
    sha256: str
    lineage: list[Record]


def path_of(output: Path) -> Path:
    """Return where it is kept what made an output."""
    return output.with_name(f".{output.name}.made")


def keep(output: Path, sha256: str, lineage: Sequence[dict[str, Any]]) -> None:
    """Write down what makes `output`, whose bytes will have this SHA-256.

    To be called just before the output gets its name: killed between, an older output does not fit.
    """
    text = canonical({"format": FORMAT, "sha256": sha256, "lineage": list(lineage)})
    with atomic(path_of(output)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read(output: Path) -> bytes:
    """Return the file beside an output as it is; nothing where there is none."""
    try:
        with regular(path_of(output), follow=False) as file:
            return file.read(MOST_BYTES)
    except OSError:
        return b""


def records_of(output: Path) -> list[Record]:
    """Return what made a file; nothing where `lineage_of` knows nothing."""
    return convert(lineage_of(output) or [], list[Record])


def lineage_of(output: Path) -> list[dict[str, Any]] | None:
    """Return what made a file; None where nothing says so, or the file is not as it was made."""
    try:
        row = json.loads(read(output))
        known = schema.convert(row, Side)
        fits = known.format == FORMAT and known.sha256 == file_sha256(output)
    except (OSError, ValueError, RecursionError):
        return None
    lineage: list[dict[str, Any]] = row["lineage"]
    return lineage if fits else None
