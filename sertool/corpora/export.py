"""Utterances in other tools' formats: audformat's segmented table, and lhotse's manifests.

audformat (https://audeering.github.io/audformat/data-tables.html): one CSV file with the index
`file,start,end`, as `audformat.utils.read_csv`, audb and nkululeko read it. Lhotse
(https://lhotse.readthedocs.io/en/latest/corpus.html): a folder of two manifests. Corpora `csv` and
`lhotse` read both back: labels, speakers, genders, texts, times, folds and parts are the same.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sertool.core.boxes import Box, limits
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import from_text, show, to_text
from sertool.corpora.discover import cut_suffix
from sertool.formats import schema
from sertool.formats.audformat import Lines, cell, free, timedelta
from sertool.formats.manifest import write_manifest
from sertool.formats.outputs import check_output, claim
from sertool.items import Item

if TYPE_CHECKING:
    from sertool.audio.headers import Header
    from sertool.formats.journal import Journal

MANIFEST, AUDFORMAT, LHOTSE = "manifest", "audformat", "lhotse"
FORMATS = (MANIFEST, AUDFORMAT, LHOTSE)
RECORDINGS, SUPERVISIONS = "recordings.jsonl.gz", "supervisions.jsonl.gz"
LABEL = "emotion"  # what the field calls the column or custom field of the class
COLUMNS = ("speaker", "gender", "language", "text", "session", "corpus", "fold", "part")
DIGITS = 8  # decimals of a second, as lhotse keeps in sums


def check_target(output: Path, to: str, force: bool, resume: bool) -> list[Path]:
    """Return the files that will be written.

    Raises UsageError and InputError where they cannot be, before any work is done.
    """
    if to != LHOTSE:
        check_output(output, force, resume)
        return [output]
    if str(output) == "-":
        raise UsageError("lhotse's manifests are two files; name a folder for them")
    folder = Path(os.path.abspath(output))
    files = [folder / RECORDINGS, folder / SUPERVISIONS]
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise InputError(f"{show(output)}: is not a folder; --to {LHOTSE} makes one")
        check_output(folder, force, resume)
        return files
    found = {path.name for path in folder.iterdir()}
    others = sorted(found - {RECORDINGS, SUPERVISIONS})
    if others or folder == Path.cwd():
        what = f"holds {show(others[0])}" if others else "is the working folder"
        raise InputError(f"{show(output)}: {what}; name a folder that is not there yet")
    if found and not force and not resume:
        raise InputError(f"{show(output)}: exists already; --force replaces it")
    if not os.access(folder.parent, os.W_OK):
        raise InputError(f"{show(output)}: no permission to write in {show(folder.parent)}")
    claim(folder)
    return files


def write_lines(utterances: Sequence[Item], to: str, file: IO[str]) -> None:
    """Write what is one file of text: a manifest, or audformat's table."""
    (write_audformat if to == AUDFORMAT else write_manifest)(utterances, file)


def write_audformat(utterances: Sequence[Item], file: IO[str]) -> None:
    """Write audformat's segmented table as CSV: an empty end is the file's.

    Columns: file, start, end, emotion, raw_label, those of `COLUMNS`, further fields; a value that
    is neither text nor number is JSON. The id is not in it: file and times are audformat's key.
    """
    names = list(dict.fromkeys(name for utterance in utterances for name in utterance.extra))
    header = ["file", "start", "end", LABEL, "raw_label", *COLUMNS]
    lines = Lines(file)
    lines.write([*header, *free(names, header).values()])
    for utterance in utterances:
        end = "" if utterance.end is None else timedelta(utterance.end)
        row = [utterance.path, timedelta(utterance.start or 0.0), end]
        row += [cell(value) for value in (utterance.label, utterance.raw_label)]
        row += [cell(getattr(utterance, name)) for name in COLUMNS]
        row += [cell(utterance.extra.get(name)) for name in names]
        lines.write(row)


def write_lhotse(
    utterances: Sequence[Item],
    folder: Path,
    failed: Callable[[str, str], None],
    journal: Journal,
    relative_to: Path | None = None,
) -> int:
    """Write `recordings.jsonl.gz` and `supervisions.jsonl.gz` into a folder that is there.

    A supervision's id is the utterance's; a recording's is that without `@start-end`. Lengths come
    from the files' headers, read once and kept in the journal; a file that has none goes to
    `failed(path, reason)`, its utterances are left out. `relative_to` makes the sources relative.
    Returns how many supervisions there are.
    """
    headers = _headers(utterances, journal)
    known: dict[str, tuple[str, Header] | None] = {}
    taken: set[str] = set()
    count = 0
    with _lines(folder / RECORDINGS) as write_recording, _lines(folder / SUPERVISIONS) as write:
        for utterance in utterances:
            path = utterance.path
            try:
                if path not in known:
                    known[path] = None
                    header = headers[path]
                    if isinstance(header, str):
                        raise ItemError(header)
                    name = _recording_id(utterance, taken)
                    write_recording(_recording(name, header, path, relative_to))
                    known[path] = name, header
                recording = known[path]
                if recording is not None:
                    write(_supervision(utterance, *recording))
                    count += 1
            except ItemError as error:
                failed(path, str(error))
    return count


@contextmanager
def _lines(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield what writes one JSON line into a gzip file without name and time."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:

        def write(row: dict[str, Any]) -> None:
            line = json.dumps(row, ensure_ascii=False, allow_nan=False)
            packed.write(line.encode("utf-8") + b"\n")

        yield write


def _headers(utterances: Sequence[Item], journal: Journal) -> dict[str, Header | str]:
    """Return what the header of each file says, or the reason why it cannot be read.

    What the journal has of an earlier run is not read again.
    """
    from sertool.audio.headers import Header

    files = {one.path: one.replace(start=None, end=None) for one in utterances}
    box = Box(limits())
    try:
        for file in files.values():
            if journal.has(file, None):
                continue
            found: dict[str, Any] | str
            try:
                found = asdict(box.call(_measure, from_text(file.path)))
            except ItemError as error:
                found = str(error)
            journal.add(json.dumps(found), isinstance(found, str))
            journal.finish(file, None)
    finally:
        box.close()
        journal.write()
    try:
        read = [json.loads(text) for text in journal.texts()]
        headers = schema.convert(read, list[Header | str])
        if any(isinstance(one, Header) and one.sample_rate < 1 for one in headers):
            raise ValueError("a rate of 0 Hz")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"a part beside the output is not what prepare writes ({error}); run without --resume"
        ) from error
    return dict(zip(files, headers, strict=True))


def _measure(path: Path) -> Header:
    """Return what a file's header says, or, where only ffmpeg knows, what decoding gives."""
    from sertool.audio.decoding import decode
    from sertool.audio.headers import Header, read_header

    header = read_header(path)
    if header is not None:
        return header
    decoded = decode(path)
    samples = round(decoded.duration * decoded.source_rate)
    return Header(decoded.source_rate, decoded.channels, samples, "")


def _recording_id(utterance: Item, taken: set[str]) -> str:
    """Return a recording's id, the utterance's without its cut, and add it to those taken."""
    name = utterance.id.removesuffix(cut_suffix(utterance))
    while name in taken:  # two files, whose utterances somebody gave one id but for the cut
        name = f"{name}+"
    taken.add(name)
    return name


def _recording(name: str, header: Header, path: str, relative_to: Path | None) -> dict[str, Any]:
    """Return lhotse's recording of a file."""
    if relative_to is not None:
        path = to_text(os.path.relpath(from_text(path), relative_to))
    channels = list(range(header.channels))
    return {
        "id": name,
        "sources": [{"type": "file", "channels": channels, "source": path}],
        "sampling_rate": header.sample_rate,
        "num_samples": header.samples,
        "duration": header.samples / header.sample_rate,
        "channel_ids": channels,
    }


def _supervision(utterance: Item, recording: str, header: Header) -> dict[str, Any]:
    """Return lhotse's supervision; raises ItemError for a cut that lies outside its file.

    What is unknown is null rather than absent, so that no further field is taken for it.
    """
    start, end = utterance.start or 0.0, utterance.end
    header.seconds(start, end)
    total = header.samples / header.sample_rate
    duration = round((total if end is None else min(end, total)) - start, DIGITS)
    custom = {LABEL: utterance.label, "raw_label": utterance.raw_label}
    custom |= {name: getattr(utterance, name) for name in ("session", "corpus", "fold", "part")}
    further = free(utterance.extra, custom)
    return {
        "id": utterance.id,
        "recording_id": recording,
        "start": round(start, DIGITS),
        "duration": duration,
        "channel": list(range(header.channels)) if header.channels > 1 else 0,
        "text": utterance.text,
        "language": utterance.language,
        "speaker": utterance.speaker,
        "gender": utterance.gender,
        "custom": custom | {further[name]: value for name, value in utterance.extra.items()},
    }
