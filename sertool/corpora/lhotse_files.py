"""Where lhotse's manifests lie, what kind each is, and their lines: for corpus `lhotse`."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.memory import TooMuch, afford
from sertool.core.paths import regular, show, to_text
from sertool.formats.manifest import bounded

SUFFIXES = (".jsonl", ".jsonl.gz")
RECORDINGS, SUPERVISIONS, CUTS = "recordings", "supervisions", "cuts"
_NAME = re.compile(r"(.*?)(recordings|supervisions|cuts)(.*)", re.DOTALL)
_DAMAGED = (OSError, EOFError, zlib.error, UnicodeDecodeError)
_GAPS = "-_. "


def kind(path: Path) -> str | None:
    """Return recordings, supervisions or cuts, as a file's first line says; None for no manifest.

    Features, too, name a recording, but say how they are stored; sertool's manifests have paths.
    """
    if not path.name.lower().endswith(SUFFIXES) or not path.is_file():
        return None  # what is not an ordinary file may be a pipe, which is read once only
    try:
        with _open(path) as file:
            line = next((line for line in bounded(file) if line.strip()), "")
        row = json.loads(line)
    except (*_DAMAGED, ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or "path" in row or "storage_type" in row:
        return None
    if "sources" in row:
        return RECORDINGS
    if "recording_id" in row and "duration" in row:
        return SUPERVISIONS
    return CUTS if "duration" in row and str(row.get("type", "")).endswith("Cut") else None


def rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (file and line, the line's JSON or None); raises InputError for a damaged file."""
    number = 0
    try:
        with _open(path) as file:
            size = 0
            for number, line in enumerate(bounded(file), 1):
                size += len(line)
                afford(size, f"{show(path)}: what is read of it")
                if line.strip():
                    try:
                        row = json.loads(line)
                    except (ValueError, RecursionError):
                        row = None
                    yield f"{to_text(path)} line {number}", row
    except TooMuch as error:
        raise InputError(str(error)) from error
    except _DAMAGED as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "damaged or cut short"
        raise InputError(f"{show(path)}: after line {number}: {why}") from error


def _open(path: Path) -> Any:
    file: Any = regular(path)
    if path.name.lower().endswith(".gz"):
        file = gzip.GzipFile(fileobj=file)
    return io.TextIOWrapper(file, encoding="utf-8-sig")


def manifests(root: Path) -> dict[str, list[Path]]:
    """Return {kind: manifests} of a folder, or of one manifest and what belongs to it.

    Raises InputError for a file that is not a lhotse manifest.
    """
    found: dict[str, list[Path]] = {RECORDINGS: [], SUPERVISIONS: [], CUTS: []}
    if root.is_dir():
        for path in sorted(root.iterdir(), key=os.fsencode):
            if path.name[0] != "." and _NAME.fullmatch(path.name) and path.is_file():
                what = kind(path)
                if what:
                    found[what].append(path)
        return found
    what = kind(root)
    if what is None:
        raise InputError(f"{show(root)}: not a lhotse manifest")
    found[what] = [root]
    if what == SUPERVISIONS:
        partner = _partner(root, RECORDINGS)
        found[RECORDINGS] = [partner] if partner else manifests(root.parent)[RECORDINGS]
    elif what == RECORDINGS:
        partner = _partner(root, SUPERVISIONS)
        found[SUPERVISIONS] = [partner] if partner else []
    return found


def leader(path: Path) -> Path:
    """Return the manifest that stands for a pair: a recordings manifest's supervisions, if any."""
    if kind(path) == RECORDINGS:
        return _partner(path, SUPERVISIONS) or path
    return path


def _partner(path: Path, word: str) -> Path | None:
    """Return the manifest beside `path` whose name has `word` where its name has its kind."""
    match = _NAME.fullmatch(path.name)
    if match:
        plain = (match[1] + word + match[3]).removesuffix(".gz")
        for name in (f"{plain}.gz", plain) if path.suffix == ".gz" else (plain, f"{plain}.gz"):
            other = path.with_name(name)
            if other != path and kind(other) == word:
                return other
    return None


def pair_key(path: Path) -> str:
    """Return what the names of a pair have in common."""
    match = _NAME.fullmatch(path.name)
    return f"{match[1]}*{match[3]}".removesuffix(".gz") if match else path.name


def told_by_name(path: Path) -> tuple[str | None, str | None]:
    """Return the corpus and the part that `PREFIX_recordings_PART.jsonl` names, None if neither."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None, None
    part = re.sub(r"\.jsonl(\.gz)?$", "", match[3], flags=re.IGNORECASE)
    return to_text(match[1].strip(_GAPS)) or None, to_text(part.strip(_GAPS)) or None
