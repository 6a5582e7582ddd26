"""How a store of features is made of audio files, or of a store of waveforms."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool import audio
from sertool.core import boxes, remote, workers
from sertool.core.boxes import Limits
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import absolute, from_text, is_audio, is_url, located, show, to_text
from sertool.core.shard import Shard
from sertool.corpora.discover import MANIFEST_SUFFIX, discover, is_foreign
from sertool.features.spec import FeaturizeSpec
from sertool.features.stage import Segment, Stage
from sertool.formats import lineage
from sertool.formats import made as side
from sertool.formats import store_shards as shards
from sertool.formats.building import Built, Made, Run, Source, build_store
from sertool.formats.manifest import parse_line, read_manifest, resolve
from sertool.formats.outputs import check_output
from sertool.formats.store import Store, is_store
from sertool.items import Item
from sertool.ui.console import Console

RATE_SAMPLES = 64  # files whose headers decide the rate of a store, where none is asked for


@dataclass
class AudioSource(Source):
    """Utterances to decode; `paths` in the items are relative to `root`."""

    stage: Stage
    items: list[Item]
    root: str

    def name(self, i: int) -> str:
        """Return the path of utterance `i`."""
        return self.items[i].path

    def make(self, i: int) -> Made:
        """Decode utterance `i` and compute its items."""
        from sertool.audio.decoding import TooLong

        utterance = self.items[i]
        path = located(utterance.path)
        try:
            decoded = self.stage.load(
                path, utterance.start, utterance.end, fingerprinted=True, most=audio.HELD
            )
        except TooLong:
            return self._in_parts(path, utterance)
        item = self._item(utterance, decoded.audio_hash, decoded.fingerprint)
        return _made(item, self.stage.extract(decoded.samples, decoded.sample_rate), decoded.notes)

    def _item(self, utterance: Item, audio_hash: str, fingerprint: str) -> Item:
        return utterance.replace(
            path=os.path.relpath(utterance.path, self.root) if self.root else utterance.path,
            origin=utterance.id,
            audio_hash=audio_hash,
            fingerprint=fingerprint,
        )

    def _in_parts(self, path: str | os.PathLike[str], utterance: Item) -> Made:
        """Return the items of an utterance that is read in blocks as they are taken."""
        from sertool.features import long

        found = long.load(self.stage, path, utterance.start, utterance.end)
        item = self._item(utterance, found.examined.audio_hash, found.examined.fingerprint)

        def _rows() -> Iterator[tuple[Item, Iterator[np.ndarray]]]:
            with closing(found):
                for suffix, frames in long.extract(self.stage, found.samples):
                    yield item.replace(id=item.id + suffix), frames

        return Made(_rows(), found.notes)


@dataclass
class StoreSource(Source):
    """Items of a store of waveforms; all their fields are carried."""

    stage: Stage
    store: Store
    items: list[Item]
    first: int  # position of the first of them in the store

    def make(self, i: int) -> Made:
        """Compute the features of item `i`."""
        samples = self.store.features(self.first + i)
        return _made(self.items[i], self.stage.extract(samples, self.store.sample_rate))


def _made(item: Item, segments: list[Segment], notes: Sequence[str] = ()) -> Made:
    """Return an item's segments as the items of a store."""
    rows = [(item.replace(id=item.id + one.suffix), one.array) for one in segments]
    return Made(rows, list(notes))


def write_store(
    source: str, output: Path, spec: FeaturizeSpec, corpus: str, run: Run, force: bool,
    shard: Shard | None = None,
) -> Path:  # fmt: skip
    """Write the features of `source` as the store `output`, and return the file written.

    `source` is a folder, a manifest, a store of waveforms, an audio file, or "-" (manifest lines
    or paths on standard input). corpus: how a folder is read, "auto" or a name. shard: which part
    of the items is computed, for a folder of shards. Raises InputError where `source` cannot be
    used; a single file that cannot be read is reported and left out.
    """
    console = run.console
    asked = spec.to_dict()  # an unknown kind or setting shows here, before any work
    target = shards.Target.at(output, shard, force, run.resume, [source])
    if source != "-" and is_store(Path(source)):
        return _from_store(Path(source), target, Stage.from_dict(asked), run)
    every, read, before = _utterances(source, corpus, console)
    _check(every)
    if target.path.exists():
        check_output(target.path, force, run.resume, (from_text(u.path) for u in every))
    stage = Stage.from_dict(asked)
    if stage.sample_rate is None:
        stage = dataclasses.replace(stage, sample_rate=_common_rate(every, run.limits))
    root = _common_folder(every)
    params = asked | {"corpus": corpus, "compress": run.compress}
    utterances = every[target.part(len(every))]
    job = {"stage": "featurize", "params": params, "input": _listing(utterances)}
    sources = _sources(stage)

    def _planned(content: str) -> dict[str, Any]:
        return lineage.record("featurize", params, read.name, content, read.what, sources)

    origins = (utterance.id for utterance in utterances)
    piece = target.piece("featurize", params, every)
    if target.is_there(_planned(read.sha256), job, origins, run):
        return target.path
    _remark(stage, console)

    def attributes(built: Built) -> dict[str, Any]:
        made = _planned(read.sha256 or lineage.items_sha256(built.hashes))
        return _attributes(stage, [_record(stage)], root, [*before, made])

    origin = AudioSource(stage, utterances, root)
    built = build_store(origin, target.path, job, attributes, run, "files", piece)
    _summary(built, target.path, stage, console)
    target.done(console)
    return target.path


def _from_store(source: Path, target: shards.Target, stage: Stage, run: Run) -> Path:
    """Featurize a store of waveforms: one item in, one or several out."""
    store = Store(source)
    if store.kind != "wave":
        raise InputError(f"{source}: a store of kind {store.kind}; featurize reads kind wave")
    _no_contradiction(stage, store)
    if stage.sample_rate is None:
        stage = dataclasses.replace(stage, sample_rate=store.sample_rate)
    params = stage.to_dict() | {"compress": run.compress}
    part = target.part(len(store))
    items = store.items()[part]
    sources = _sources(stage)
    record = lineage.record("featurize", params, source.name, store.sha256, sources=sources)
    job = {"stage": "featurize", "params": params, "input": store.sha256}
    piece = target.piece("featurize", params, (), store.sha256)
    if target.is_there(record, job, (item.origin for item in items), run):
        return target.path
    _remark(stage, run.console)
    values = _attributes(
        stage, [*store.pipeline, _record(stage)], store.root, [*store.lineage, record]
    )
    store.close()  # workers open it for themselves
    origin = StoreSource(stage, store, items, part.start or 0)
    built = build_store(origin, target.path, job, lambda built: values, run, "items", piece)
    _summary(built, target.path, stage, run.console)
    target.done(run.console)
    return target.path


def _no_contradiction(stage: Stage, store: Store) -> None:
    """Raise UsageError where an option asks for what an earlier stage has settled."""
    settled = {"--channel": stage.channel != "mix", "--offset": stage.offset > 0}
    settled["--duration"] = stage.duration is not None
    settled["--sample-rate"] = stage.sample_rate not in (None, store.sample_rate)
    for option, given in settled.items():
        if given:
            raise UsageError(f"{option}: {store.path} holds waveforms that were decoded already")
    if any(one.get("segment") or one.get("segment_max") for one in store.pipeline) and (
        stage.segment or stage.segment_max
    ):
        raise UsageError(f"--segment: the items of {store.path} are segments already")


def _remark(stage: Stage, console: Console) -> None:
    assert stage.sample_rate is not None
    for line in stage.remarks(stage.sample_rate):
        console.note(line)


def _record(stage: Stage) -> dict[str, Any]:
    """Return the stage as the store keeps it: with the items that it was fitted to, if it was."""
    found, given = stage.prepared
    items = found.fitted_on(given)
    if items is None:
        return stage.to_dict()
    rows = [item.store_row() for item in items]
    known = [{n: v for n, v in row.items() if n != "part" and v not in (None, "")} for row in rows]
    return stage.to_dict() | {"fitted_on": known}


def _attributes(
    stage: Stage, pipeline: list[dict[str, Any]], root: str, records: list[dict[str, Any]]
) -> dict[str, Any]:
    assert stage.sample_rate is not None
    return {
        "kind": stage.kind,
        "settings": stage.settings,
        "pipeline": pipeline,
        "sample_rate": stage.sample_rate,
        "frame_rate": stage.frame_rate(stage.sample_rate),
        "root": root,
        "lineage": records,
    }


def _sources(stage: Stage) -> list[lineage.Source]:
    """Return what the kind reads beside the recordings: files, with how they were made."""
    found, given = stage.prepared
    return found.sources(given)


def _utterances(
    source: str, corpus: str, console: Console
) -> tuple[list[Item], lineage.Input, list[dict[str, Any]]]:
    """Return (utterances, the input, the stages that made it).

    The input's SHA-256 is "" where it is only known once all of it has been decoded.
    """
    if source == "-":
        lines = [os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer if line.strip()]
        if not lines:
            raise InputError("standard input: no paths and no manifest lines")
        return _from_lines(lines, corpus, console), lineage.Input("-", "", "list"), []
    url = remote.url_of(source)
    path = Path(source)
    if url is not None and not url.endswith(MANIFEST_SUFFIX):
        read = lineage.Input(show(url), "", "file" if is_audio(url) else "folder")
        return _discover([path], corpus, console), read, []
    if url is not None:
        path = remote.named(url)
    if not path.exists():
        raise InputError(f"{show(source)}: no such file or folder")
    if url is None and (path.is_dir() or is_audio(path) or is_foreign(path)):
        read = lineage.Input(path.absolute().name, "", "folder" if path.is_dir() else "file")
        return _discover([path], corpus, console), read, []

    bad: list[tuple[int, str]] = []
    found = list(read_manifest(path, lambda line, reason: bad.append((line, reason)), url))
    if not found:
        why = f" (line {bad[0][0]}: {bad[0][1]})" if bad else ""
        raise InputError(f"{show(source)}: neither audio, nor a store, nor a manifest{why}")
    for line, reason in bad:
        console.failed(f"{show(source)}: line {line}", reason)
    found = _named(found, console, [url] if url else [])
    name = path.name if url is None else show(url)
    read = lineage.Input(name, lineage.file_sha256(path), "manifest")
    if doubt := side.doubt(path):
        console.warn(doubt)
    return found, read, side.lineage_of(path) or []


def _named(utterances: list[Item], console: Console, beside: list[str]) -> list[Item]:
    """Return those utterances whose URL, if they have one, is of a place that the user named."""
    kept = []
    for utterance in utterances:
        try:
            if is_url(utterance.path):
                remote.check(utterance.path, beside)
                remote.folder()
            kept.append(utterance)
        except ValueError as error:
            console.failed(utterance.path, str(error))
    return kept


def _discover(paths: list[Path], corpus: str, console: Console) -> list[Item]:
    return discover(paths, corpus=corpus, console=console, strict=False)


def _from_lines(lines: list[str], corpus: str, console: Console) -> list[Item]:
    """Return the utterances of lines that are manifest lines (`{`) or paths, in their order."""
    plain = [Path(line) for line in lines if not line.startswith("{") and not is_url(line)]
    by_path: dict[str, Item] = {}
    there = []
    for path in plain:
        if path.is_file():
            there.append(path)
        else:
            console.failed(path, "no such file" if not path.exists() else "not a file")
    if there:
        found = _discover(there, corpus, console)
        by_path = {u.path: u for u in found}
    result: list[Item] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            try:
                result.append(resolve(parse_line(line), Path.cwd()))
            except ValueError as error:
                console.failed(f"standard input: line {number}", str(error))
        elif is_url(line):
            result.append(Item(os.path.splitext(line)[0], line))
        elif (utterance := by_path.get(to_text(absolute(Path(line))))) is not None:
            result.append(utterance)
    return _named(result, console, [])


def _check(utterances: list[Item]) -> None:
    """Raise InputError where utterances cannot be the items of a store."""
    if not utterances:
        raise InputError("no utterances to featurize")
    double, times = Counter(u.id for u in utterances).most_common(1)[0]
    if times > 1:
        where = [show(u.path) for u in utterances if u.id == double][:2]
        raise InputError(f"two utterances have the id {show(double)}: {where[0]} and {where[1]}")
    for name in {name for utterance in utterances for name in utterance.extra}:
        if name in ("", ".") or "/" in name:
            raise InputError(f"a store cannot have a column called {name!r}; rename that field")


def _common_rate(utterances: list[Item], limits: Limits | None) -> int:
    """Return the commonest sample rate among evenly spaced files (the highest of equals)."""
    from sertool.audio import decoding  # noqa: F401 (a process that is forked has it then)

    step = max(1, len(utterances) // RATE_SAMPLES)
    for some in (utterances[::step], utterances):
        tasks = [[utterance.path for utterance in some]]
        with closing(workers.ordered(_rates, tasks, 1, limits=limits)) as results:
            rates = Counter(rate for found in results for rate in found)
        if rates:
            return max(rates, key=lambda rate: (rates[rate], rate))
    return 16000  # nothing can be read: every file will be named with its reason


def _rates(paths: Sequence[str]) -> list[int]:
    """Return the sample rates of those files that can be read."""
    from sertool.audio.decoding import read_rate

    found = []
    for number, path in enumerate(paths):
        with suppress(ItemError), boxes.file(number):
            found.append(read_rate(located(path)))
    return found


def _common_folder(utterances: list[Item]) -> str:
    """Return the deepest folder that holds every file, as text; "" where some lie elsewhere."""
    if any(is_url(u.path) for u in utterances):
        return ""
    return os.path.commonpath([os.path.dirname(u.path) for u in utterances])


def _listing(utterances: Iterable[Item]) -> str:
    """Return a digest of what is to be read: fields, and each file's size and time of change."""
    digest = hashlib.sha256()
    for utterance in utterances:
        try:
            status = os.stat(from_text(utterance.path))
            state = [status.st_size, status.st_mtime_ns]
        except (OSError, ValueError):  # ValueError: a NUL in the name
            state = []
        digest.update(json.dumps([utterance.manifest_row(), state]).encode("ascii") + b"\n")
    return digest.hexdigest()


def _summary(built: Built, output: Path, stage: Stage, console: Console) -> None:
    """Report what was written and what was unusual, in one line each."""
    if unusual := audio.summarised(built.notes):
        console.note(unusual)
    console.note(f"{output}: {built.items} items of kind {stage.kind}, {built.frames} frames")
