"""What `prepare` records of itself: its parameters, and the corpora by name and content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sertool.core import remote
from sertool.core.paths import absolute, from_text, show, to_text
from sertool.core.version import VERSION
from sertool.corpora.discover import MANIFEST_SUFFIX, STDIN, Found
from sertool.formats import lineage
from sertool.formats import made as side
from sertool.formats.lineage import Input, Record, Source
from sertool.items import Item

FILES = {"labels": "", "corpus": "", "split": "file:"}  # parameters that may name a file, after …


def record(corpora: Sequence[Path], found: Sequence[Found], params: Mapping[str, Any]) -> Record:
    """Return the record of a `prepare` that found these utterances, as yet unchanged.

    params: every option that shapes the manifest. What it read stands there without its folder.
    """
    kept = dict(params)
    sources = [_corpus(path, found) for path in corpora]
    for name, prefix in FILES.items():
        path = Path(str(kept[name]).removeprefix(prefix))
        if str(kept[name]).startswith(prefix) and path.is_file():
            kept[name] = f"{prefix}{to_text(path.name)}"
            sources.append(_file(path, f"--{name}"))
    if kept.get("audio_root") is not None:
        root = Path(kept["audio_root"])
        kept["audio_root"] = to_text(absolute(root).name)
        listing = _listing(root, [u for part in found for u in part.utterances])
        sources.append(Source(kept["audio_root"], listing, "folder", "--audio-root"))
    plain: dict[str, Any] = json.loads(lineage.canonical(kept))
    names = ", ".join(source.name for source in sources if not source.option)
    read = Input(names, _content(found), "corpora")
    return Record("prepare", VERSION, plain, read, sources)


def _corpus(path: Path, found: Sequence[Found]) -> Source:
    """Return an argument of `prepare` as its record has it."""
    if path == STDIN:
        lines = [part for part in found if part.root == STDIN]
        return Source("-", _content(lines), "list")
    if (url := remote.url_of(path)) is not None:
        parts = [part for part in found if part.url is not None and url.startswith(part.url)]
        what = "manifest" if url.endswith(MANIFEST_SUFFIX) else "folder"
        return Source(show(url), _content(parts), what)
    if path.is_dir():
        listing = _listing(path, [u for part in found for u in part.utterances])
        return Source(to_text(absolute(path).name or "files"), listing, "folder")
    return _file(path)


def _file(path: Path, option: str = "") -> Source:
    """Return a file as a source; a manifest with all that made it."""
    name, content = to_text(path.name), lineage.file_sha256(path)
    before = side.records_of(path)
    return Source(name, content, "manifest" if before else "file", option, before)


def _listing(folder: Path, utterances: Sequence[Item]) -> str:
    """Return the SHA-256 of the names and sizes of a folder's recordings, wherever it lies."""
    root = str(folder.resolve() if ".." in folder.parts else folder.absolute())
    paths = {u.path for u in utterances if u.path.startswith(to_text(root).rstrip("/") + "/")}
    digest = hashlib.sha256()
    for path in sorted(paths):
        file = from_text(path)
        size = os.stat(file).st_size if file.is_file() else None
        name = to_text(os.path.relpath(file, root))
        digest.update(json.dumps([name, size]).encode("ascii") + b"\n")
    return digest.hexdigest()


def _content(found: Sequence[Found]) -> str:
    """Return the SHA-256 of what was found: every field, and paths below the corpus's folder."""
    digest = hashlib.sha256()
    for part in found:
        root = part.root if part.root.is_dir() else part.root.parent
        for utterance in part.utterances:
            row = utterance.manifest_row()
            path = from_text(utterance.path)
            if path.is_relative_to(root):
                row["path"] = to_text(path.relative_to(root))
            digest.update(json.dumps(row).encode("ascii") + b"\n")
    return digest.hexdigest()
