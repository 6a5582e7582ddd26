"""prepare: folders and tables become a manifest of utterances, labels, speakers and folds."""

from __future__ import annotations

import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import from_text, show, to_text
from sertool.corpora import export, where
from sertool.corpora import labels as label_maps
from sertool.corpora.counts import difference, plural, spread, table
from sertool.corpora.discover import AUTO, Found, Manners, find
from sertool.formats.outputs import atomic
from sertool.items import Item
from sertool.splits import disjoint
from sertool.splits import protocols as splits
from sertool.ui.console import Console

STDOUT = Path("-")


def discover(
    paths: Sequence[Path],
    corpus: str = AUTO,
    console: Console | None = None,
    strict: bool = False,
) -> list[Item]:
    """Return the utterances of folders, tables, manifests and audio files, as `prepare` sees them.

    In the order given, files of a folder by their POSIX path below it. Where no corpus fits,
    labels are null and one line says so, unless `strict` asks for InputError instead. Raises
    InputError for what is missing or empty and for doubled ids, UsageError for an unknown corpus.
    """
    console = console or Console.silent()
    found = find(paths, corpus, Manners(console, strict))
    for part in found:
        text = difference(part.utterances, part.published())
        if text:
            console.note(f"{part.name}: other than published, {text}")
    return [utterance for part in found for utterance in part.utterances]


def prepare(
    paths: Sequence[Path],
    manifest: Path,
    *,
    corpus: str = AUTO,
    labels: str = label_maps.NATIVE,
    conditions: Sequence[str] = (),
    split: str = "none",
    also_disjoint: Sequence[str] = (),
    to: str = export.MANIFEST,
    relative: bool = False,
    seed: int = 0,
    force: bool = False,
    resume: bool = False,
    strict: bool = False,
    console: Console,
) -> None:
    """Write the manifest of corpora; `manifest` may be `-`, standard output.

    `labels` names a map of classes or a TOML file, `conditions` are expressions of
    `sertool.corpora.where`, `split` is a protocol of `sertool.splits.protocols`, whose folds share
    no value of the fields in `also_disjoint` either. `to` is a format of `sertool.corpora.export`;
    lhotse's is a folder.
    `strict` stops at the first file that gives no utterance. Raises UsageError and InputError, and
    then writes nothing.
    """
    export.check_format(to)
    protocol = splits.parse(split)
    chosen = [where.parse(text) for text in conditions]
    classes = label_maps.load(labels)
    if manifest == STDOUT and relative:
        raise UsageError("--relative needs a manifest with a folder, not standard output")
    to_file = manifest != STDOUT or to == export.LHOTSE
    if to_file and export.check_target(manifest, to, force, resume):
        console.note(f"{show(manifest)}: is whole already; nothing to do")
        return
    found = find(paths, corpus, Manners(console, strict=True, stop=strict))
    _report(found, console)
    utterances = [utterance for part in found for utterance in part.utterances]
    utterances = _choose(utterances, classes, chosen, console)
    if also_disjoint and protocol.name == "none":
        raise UsageError("--also-disjoint: needs a --split that makes folds of groups")
    if protocol.name != "none":
        places = splits.split(utterances, protocol, seed)
        for name in also_disjoint:
            utterances, places = _thin(utterances, places, name, seed, console)
        for utterance in utterances:
            utterance.fold, utterance.part = places[utterance.id]
        for line in splits.remarks(utterances, places):
            console.warn(line)
    count = _write(utterances, manifest, to, relative, Manners(console, stop=strict))
    name = "standard output" if manifest == STDOUT else show(manifest)
    left = f"; {count} of them written" if count < len(utterances) else ""
    console.note(f"{name}: {_summary(utterances)}{left}")


def _write(utterances: list[Item], output: Path, to: str, relative: bool, manners: Manners) -> int:
    """Write the utterances in a format, whole or not at all; return how many could be."""
    if to == export.LHOTSE:
        with export.whole_folder(output) as folder:
            base = output.absolute() if relative else None
            count = export.write_lhotse(utterances, folder, manners.fail, base)
            if not count:
                raise InputError(f"{show(output)}: no recording can be read, so nothing is written")
        return count
    if relative:
        utterances = [_relative(utterance, output.parent) for utterance in utterances]
    if output == STDOUT:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # a manifest's, whatever the locale's
        export.write_lines(utterances, to, sys.stdout)
    else:
        with atomic(output) as temporary, open(temporary, "w", encoding="utf-8") as file:
            export.write_lines(utterances, to, file)
    return len(utterances)


def _thin(
    utterances: list[Item],
    places: dict[str, splits.Place],
    name: str,
    seed: int,
    console: Console,
) -> tuple[list[Item], dict[str, splits.Place]]:
    """Return what stays when folds may share no value of a second field, and say what does not."""
    kept = disjoint.also_disjoint(utterances, places, name, seed)
    if len(kept) < len(utterances):
        lost = len(utterances) - len(kept)
        console.warn(
            f"--also-disjoint {name}: {lost} of {plural(len(utterances), 'utterance')} left out,"
            f" their {name} is another fold's"
        )
    return [utterance for utterance in utterances if utterance.id in kept], kept


def _report(found: Sequence[Found], console: Console) -> None:
    """Print found against published counts, corpus by corpus."""
    for part in found:
        published = part.published()
        console.note(table(part.name, part.utterances, published))
        known = published.classes if published else {}
        counts = Counter(utterance.label for utterance in part.utterances)
        if any(n > known.get(label or "", n) for label, n in counts.items()):
            console.warn(f"{part.name}: more than published; are some recordings there twice?")


def _choose(
    utterances: list[Item],
    classes: label_maps.LabelMap,
    conditions: Sequence[where.Condition],
    console: Console,
) -> list[Item]:
    """Return the utterances with their classes mapped that fulfil the conditions.

    A condition on the label is about the mapped class; the others come first, so that the map
    need not know the labels of what they exclude.
    """
    kept = where.select(utterances, [c for c in conditions if c.field != "label"])
    kept = _map(kept, classes, console)
    chosen = where.select(kept, [c for c in conditions if c.field == "label"])
    if not chosen:
        seen = [
            f"{c.field} is {where.values_seen(kept or utterances, c.field)}" for c in conditions
        ]
        raise InputError(f"no utterance is left; {'; '.join(seen) or 'all were dropped'}")
    if len(chosen) < len(kept) or len(kept) < len(utterances):
        console.note(f"{len(chosen)} of {plural(len(utterances), 'utterance')} kept")
    return chosen


def _map(utterances: list[Item], classes: label_maps.LabelMap, console: Console) -> list[Item]:
    """Return the utterances under the map's classes, less those that it drops."""
    if classes.name == label_maps.NATIVE:
        return utterances
    kept: list[Item] = []
    dropped: Counter[str] = Counter()
    for utterance in utterances:
        try:
            label = classes.apply(utterance.label, utterance.raw_label)
        except KeyError:
            raise InputError(
                f"{show(utterance.path)}: label {utterance.label!r} is unknown to the label map "
                f"{classes.name}; add it to a class there, or to its drop"
            ) from None
        if label is None and (utterance.label or utterance.raw_label in classes.dropped):
            dropped[utterance.label or str(utterance.raw_label)] += 1
        else:
            kept.append(replace(utterance, label=label))
    if dropped:
        what = ", ".join(f"{n} {label}" for label, n in sorted(dropped.items()))
        console.note(f"{dropped.total()} dropped by the label map {classes.name}: {what}")
    return kept


def _relative(utterance: Item, folder: Path) -> Item:
    path = os.path.relpath(from_text(utterance.path), folder.absolute())
    return replace(utterance, path=to_text(path))


def _summary(utterances: Sequence[Item]) -> str:
    """Return "1440 utterances, 8 classes, 6 folds of 240"."""
    labels = {utterance.label for utterance in utterances} - {None}
    folds = Counter(u.fold for u in utterances if u.fold is not None)
    parts = Counter(u.part for u in utterances if u.part is not None)
    words = [plural(len(utterances), "utterance"), plural(len(labels), "class")]
    if folds:
        words.append(f"{plural(len(folds), 'fold')} of {spread(folds.values())}")
    words += [f"{parts[name]} in {name}" for name in ("train", "val", "test") if parts[name]]
    return ", ".join(words)
