"""What made an output that cannot say so itself: `.NAME.made` beside it, believed while it fits.

Manifests and predictions are lines for any program, so they have no header, and that of a recording
has no checksum. The file beside them is JSON: `format`, `version`, the `sha256` of the output's
bytes, its `lineage`, as stores keep theirs, and `record`, the SHA-256 of all these. What was
edited, cut or replaced since then has another sha256, and nothing is known of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, convert

from sertool.core.paths import regular, show
from sertool.formats import schema
from sertool.formats.lineage import Record, canonical, file_sha256
from sertool.formats.outputs import atomic

FORMAT = "sertool-made"
VERSION = 2  # 1: without a checksum of itself, nor a version
MOST_BYTES = 1 << 22  # of such a file: some thousand times its usual size


class Side(Struct):
    """What `.NAME.made` holds."""

    format: str
    sha256: str
    lineage: list[Record]
    version: int = 1
    record: str = ""


def path_of(output: Path) -> Path:
    """Return where it is kept what made an output."""
    return output.with_name(f".{output.name}.made")


def keep(output: Path, sha256: str, lineage: Sequence[dict[str, Any]]) -> None:
    """Write down what makes `output`, whose bytes will have this SHA-256.

    To be called just before the output gets its name: killed between, an older output does not fit.
    """
    row = {"format": FORMAT, "version": VERSION, "sha256": sha256, "lineage": list(lineage)}
    text = canonical(row | {"record": _digest(row)})
    with atomic(path_of(output)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _digest(row: dict[str, Any]) -> str:
    """Return the SHA-256 of all that such a file says, but of this."""
    kept = {name: value for name, value in row.items() if name != "record"}
    return hashlib.sha256(canonical(kept).encode("utf-8", "surrogatepass")).hexdigest()


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
    return _known(output)[0]


def doubt(output: Path) -> str:
    """Return why what lies beside a file is not believed; "" where it is, or nothing is there."""
    known, why = _known(output)
    if why:
        return f"{show(path_of(output))}: {why}; how {show(output.name)} was made is unknown"
    if known is None and read(output):
        return f"{show(output)}: changed since it was made, so that how is not known"
    return ""


def _known(output: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """Return what made a file, None where that is not known, and why what says so is not right."""
    content = read(output)
    if not content:
        return None, ""
    try:
        row = json.loads(content)
        known = schema.convert(row, Side)
        if known.version > VERSION:
            return None, f"is of version {known.version}, this sertool reads up to {VERSION}"
        signed = known.version > 1 or known.record
        if known.format != FORMAT or (signed and known.record != _digest(row)):
            raise ValueError("not as it was written")
        fits = known.sha256 == file_sha256(output)
    except (OSError, ValueError, RecursionError):
        return None, "is damaged"
    lineage: list[dict[str, Any]] = row["lineage"]
    return (lineage if fits else None), ""
