"""Lhotse manifests: recordings and their supervisions, or cuts, as JSON Lines (.jsonl, .jsonl.gz).

Format: https://lhotse.readthedocs.io/en/latest/corpus.html (Żelasko et al., "Lhotse: a speech data
representation library for the modern deep learning ecosystem", 2021). A folder holds
`PREFIX_recordings_PART.jsonl.gz` and `PREFIX_supervisions_PART.jsonl.gz`, or `…cuts….jsonl.gz`; one
of the files serves too, and finds its partner beside it. What a file is, its first line says.

An utterance is a supervision; a recording is one where there is no supervision manifest. Lhotse has
no field for emotions: the label is the custom field `emotion` (or `label`, `class`), as in its
recipe for DailyTalk; other custom fields pass through. PREFIX names the corpus, PART the part where
it begins with train, dev, val or test. A relative source counts from the manifests' folder, from
the nearest folder above it where the file is, or, as lhotse does, from the working folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import from_text, show, to_text
from sertool.corpora import Corpus, Skipped
from sertool.corpora.lhotse_files import (
    CUTS,
    RECORDINGS,
    SUPERVISIONS,
    kind,
    manifests,
    pair_key,
    rows,
    told_by_name,
)
from sertool.corpora.table import (
    COLUMNS,
    RESERVED,
    find_columns,
    make_utterance,
    part_word,
    storable,
    word,
)
from sertool.formats.manifest import MAX_SECONDS
from sertool.items import Item

WHOLE = 1e-3  # seconds by which lhotse lets a supervision miss its recording's end
CUTS_READ = ("MonoCut", "MultiCut", "Cut")
# the fields of an utterance that custom fields may name, as a table's columns do
_CUSTOM = frozenset(COLUMNS) - {"file", "start", "end"}
_OWN = ("speaker", "gender", "language", "text")  # what lhotse has fields for
_NO_FILE = "no such file"


@dataclass
class _Recording:
    """A recording: `sources` are (type, channels, place), `changed` whether transforms apply."""

    id: str
    duration: float
    sources: list[tuple[str, frozenset[int], str]]
    changed: bool


@dataclass
class _Stretch:
    """A stretch of a recording (seconds) and what is known of it."""

    recording: _Recording
    start: float
    end: float
    channels: frozenset[int]
    fields: dict[str, Any] = field(default_factory=dict)


def fits(relative: str) -> bool:
    """Return False: manifests describe the recordings, not the recordings' names."""
    return False


def claims(root: Path, files: Sequence[str]) -> bool:
    """Return whether `root` is a manifest of lhotse's, or holds some with recordings in them."""
    if not root.is_dir():
        return kind(root) is not None
    found = manifests(root)
    return bool(found[RECORDINGS] or found[CUTS])


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield an utterance for each supervision, or for each recording where there are none."""
    found = manifests(root)
    folder = root if root.is_dir() else root.parent
    if not found[RECORDINGS] and not found[CUTS]:
        raise InputError(f"{show(root)}: no recordings manifest (…recordings….jsonl.gz) with it")
    if found[RECORDINGS]:
        for path in found[CUTS]:
            reason = "cuts, which recordings and supervisions stand for; named by itself it is read"
            yield Skipped(path.name, reason, harmless=True)
        found[CUTS] = []
    known: dict[Path, dict[str, _Recording]] = {}
    for path in found[RECORDINGS]:
        known[path] = {}
        for where, row in rows(path):
            recording = _recording(row)
            if isinstance(recording, str):
                yield Skipped(where, recording)
            else:
                known[path][recording.id] = recording
    used: set[str] = set()
    places: dict[tuple[str, float | None, float | None], Path] = {}
    missing = ""
    for path, where, stretch in _stretches(found, known, used):
        made = stretch if isinstance(stretch, str) else _utterance(folder, path, stretch)
        if isinstance(made, str):
            missing = missing or (made if made.startswith(_NO_FILE) else "")
            yield Skipped(where, made, missing=made.startswith(_NO_FILE))
            continue
        place = (made.path, made.start, made.end)
        first = places.get(place)
        if first == path:
            yield Skipped(where, "the same stretch again")
            continue
        if first is not None:
            both = f"{show(first)} and {show(path)}"
            raise InputError(f"{both} both refer to {show(made.path)}; name the one to read")
        places[place] = path
        yield made
    if missing and not places:
        raise InputError(f"{show(root)}: none of its recordings exists: {missing}")
    if found[SUPERVISIONS]:
        for name in sorted({name for each in known.values() for name in each} - used):
            yield Skipped(name, "a recording without a supervision", harmless=True)


def _stretches(
    found: Mapping[str, Sequence[Path]],
    known: Mapping[Path, Mapping[str, _Recording]],
    used: set[str],
) -> Iterator[tuple[Path, str, _Stretch | str]]:
    """Yield (manifest, file and line, stretch or what is wrong) of all audio.

    The ids of the recordings that supervisions speak of are added to `used`.
    """
    own = {pair_key(path): each for path, each in known.items()}
    every = {name: one for each in known.values() for name, one in each.items()}
    for path in found[SUPERVISIONS]:
        for where, row in rows(path):
            name = word(row.get("recording_id")) if isinstance(row, dict) else None
            recording = own.get(pair_key(path), {}).get(name or "") or every.get(name or "")
            if recording is None:
                what = "no supervision" if name is None else f"no recordings manifest has {name!r}"
                yield path, where, what
            else:
                used.add(recording.id)
                yield path, where, _supervision(recording, row)
    for path in found[CUTS]:
        for where, row in rows(path):
            for stretch in _cut(row):
                yield path, where, stretch
    if not found[SUPERVISIONS]:
        for path in found[RECORDINGS]:
            for one in known[path].values():
                where = f"{to_text(path)}: {one.id}"
                yield path, where, _Stretch(one, 0.0, one.duration, frozenset())


def _recording(row: Any) -> _Recording | str:
    """Return a line's recording, or what is wrong with the line."""
    if not isinstance(row, dict):
        return "not a JSON object"
    name, duration, raw = word(row.get("id")), _seconds(row.get("duration")), row.get("sources")
    if not name or duration is None or not isinstance(raw, list) or not raw:
        return "no recording: it needs id, duration (in seconds) and sources"
    sources = []
    for one in raw:
        place = one.get("source") if isinstance(one, dict) else None
        if not isinstance(place, str) or not place or not storable(place):
            return "a source that is not text"
        sources.append((str(one.get("type")), _channels(one.get("channels")), place))
    return _Recording(name, duration, sources, bool(row.get("transforms")))


def _supervision(
    recording: _Recording, row: Mapping[str, Any], offset: float = 0
) -> _Stretch | str:
    """Return a supervision's stretch, or what is wrong with it; `offset` (seconds) is its cut's."""
    start, duration = row.get("start"), _seconds(row.get("duration"))
    if isinstance(start, bool) or not isinstance(start, int | float) or duration is None:
        return "it needs a start and a duration, in seconds"
    if not -MAX_SECONDS <= start <= MAX_SECONDS:
        return f"its start is {start}"
    begin = round(offset + start, 8)  # as lhotse rounds its own sums
    own = {name: row[name] for name in _OWN if name in row}
    fields = _custom(row.get("custom"), set(own)) | own
    end = round(begin + duration, 8)
    return _Stretch(recording, max(begin, 0.0), end, _channels(row.get("channel")), fields)


def _cut(row: Any) -> Iterable[_Stretch | str]:
    """Return the stretches of a cut's supervisions within it, or of the cut where it has none."""
    if not isinstance(row, dict):
        return ["not a JSON object"]
    if row.get("type") not in CUTS_READ:
        return [f"a {row.get('type')}; only cuts of one recording are read"]
    recording = _recording(row.get("recording"))
    if isinstance(recording, str):
        return [f"its recording: {recording}"]
    whole = _supervision(recording, row)
    given = row.get("supervisions") or []
    if isinstance(whole, str) or not given:
        return [whole]
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        return ["its supervisions are not a list of objects"]
    parts = [_supervision(recording, each, whole.start) for each in given]
    for part in parts:
        if isinstance(part, _Stretch):
            part.start, part.end = max(part.start, whole.start), min(part.end, whole.end)
            part.fields = whole.fields | part.fields
    return parts


def _custom(raw: Any, told: set[str]) -> dict[str, Any]:
    """Return the custom fields, those of an utterance that are not known yet under their names."""
    if not isinstance(raw, dict):
        return {}
    found = find_columns(list(raw))
    columns = {name: key for name, key in found.items() if name in _CUSTOM - told}
    # a split's own word stays, for --where, beside the part made of it
    taken = {key for name, key in columns.items() if name != "part" or key == "part"}
    others = {
        f"custom_{key}" if key in RESERVED else key: value
        for key, value in raw.items()
        if key and key not in taken and storable(key) and storable(value)
    }
    return others | {name: raw[key] for name, key in columns.items()}


def _utterance(folder: Path, manifest: Path, stretch: _Stretch) -> Item | str:
    """Return the utterance of a stretch, or why there is none."""
    recording, fields = stretch.recording, stretch.fields
    name = show(recording.id)
    sources = [source for source in recording.sources if stretch.channels <= source[1]]
    if recording.changed:
        return f"the recording {name} is changed as it is read (transforms)"
    if len(sources) != 1:
        return f"the recording {name} has its channels in several files"
    kind_, channels, place = sources[0]
    if kind_ != "file":
        return f"the recording {name} is not a file but of type {kind_}"
    path = _find(place, folder)
    if path is None:
        return f"{_NO_FILE}: {show(place)}"
    values = {key: word(value) for key, value in fields.items() if key in _CUSTOM}
    extra = {key: value for key, value in fields.items() if key not in _CUSTOM}
    if stretch.channels and stretch.channels != channels:
        extra.setdefault("channel", ",".join(map(str, sorted(stretch.channels))))
    corpus, split = told_by_name(manifest)
    if part_word(split) and not part_word(values.get("part")):
        values["part"] = split
        extra.setdefault("split", split)
    values["corpus"] = corpus = values.get("corpus") or corpus
    whole = stretch.start == 0 and abs(stretch.end - recording.duration) <= WHOLE
    span = (None, None) if whole else (stretch.start, stretch.end)
    identity = recording.id.removeprefix(f"{corpus}/") or recording.id
    try:
        # the id of a file loses its suffix; a recording's has none to lose
        suffix = os.path.splitext(path)[1] or ".audio"
        return make_utterance(identity + suffix, path, span, values, extra)
    except ValueError as error:
        return str(error)


def _find(place: str, folder: Path) -> str | None:
    """Return where a source is, or None; for a relative one see the module's docstring."""
    if "\0" in place:
        return None
    name = from_text(place)
    folder = folder.absolute()
    for parent in (folder, *folder.parents, Path.cwd()):
        path = os.path.abspath(parent / name)
        if os.path.isfile(path):
            return to_text(path)
    return None


def _seconds(value: Any) -> float | None:
    """Return a duration in seconds, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= MAX_SECONDS else None


def _channels(value: Any) -> frozenset[int]:
    """Return the numbers of one channel or of a list; none where they are missing."""
    numbers = value if isinstance(value, list) else [value]
    return frozenset(n for n in numbers if isinstance(n, int) and not isinstance(n, bool))


CORPUS = Corpus(
    name="lhotse",
    summary="lhotse manifests: recordings and supervisions, or cuts (.jsonl, .jsonl.gz)",
    fits=fits,
    utterances=utterances,
    generic=True,
    claims=claims,
)
