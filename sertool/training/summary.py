"""What `train` reports: which items train, validate and are held out, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sertool.core.paths import show
from sertool.formats.checkpoint import Checkpoint, Trained
from sertool.items import Item
from sertool.splits.division import Division
from sertool.splits.protocols import group_of
from sertool.training.job import Job
from sertool.ui.console import Console
from sertool.votes import NO_MAJORITY, vote_classes

NAMED = 8  # speakers that a line names at most
VERBS = {"train": "trains on", "val": "validates on", "test": "holds out"}


def announce(job: Job, division: Division) -> None:
    """Report the items of each part, their speakers, and what is unusual about this division."""
    items, classes, console = job.store.items(), job.classes, job.console
    prefix = "" if division.fold is None else f"fold {division.fold}: "
    for name, verb in VERBS.items():
        if positions := division.part(name):
            console.note(f"{prefix}{verb} {_count([items[i] for i in positions])}")
    for note in division.notes:
        console.note(f"{prefix}{note}")
    trained_on = {classes[i] for i in division.train} | {NO_MAJORITY}
    if job.options.soft:
        trained_on |= {*vote_classes(job.votes[i] for i in division.train)}
    unknown = sum(classes[i] not in trained_on for i in division.test)
    if ties := sum(classes[i] == NO_MAJORITY for i in division.test):
        console.note(
            f"{prefix}{ties} held-out items have votes and no label: eval tests them by their votes"
            " alone"
        )
    if unknown:
        which = "all" if unknown == len(division.test) else "some"
        console.warn(
            f"{prefix}{unknown} of {len(division.test)} held-out items are of classes without"
            f" training items, so eval leaves {which} of them out"
        )
    if not division.test:
        console.note(f"{prefix}holds nothing out; eval --all tests on another store")
    if job.plan and not division.val:
        console.note(f"{prefix}no validation part: the last epoch's weights are kept")
    trained, held = (
        {group_of(items[i], "speaker") for i in positions if items[i].speaker is not None}
        for positions in ([*division.train, *division.val], division.test)
    )
    if trained & held:
        console.note(
            f"{prefix}{len(trained & held)} of the {len(held)} held-out speakers are in training"
            " too: results will be speaker-dependent"
        )
    if job.plan and job.plan.augmenting:
        console.note(job.plan.augmenting.sentence)


def _count(items: Sequence[Item]) -> str:
    """Return "120 items (60 of them copies) of 4 speakers (03, 08, …)"."""
    copies = sum(bool(item.augmentation) for item in items)
    corpora = {item.corpus for item in items}
    names = sorted(
        {
            item.speaker if len(corpora) == 1 else f"{item.corpus}/{item.speaker}"
            for item in items
            if item.speaker is not None
        }
    )
    text = f"{len(items)} items"
    if copies:
        text += f" ({copies} of them copies)"
    if names:
        shown = ", ".join(map(show, names[:NAMED])) + (", …" if len(names) > NAMED else "")
        text += f" of {len(names)} speaker{'s' if len(names) > 1 else ''} ({shown})"
    return text


def result(made: Checkpoint, output: Path, epochs: int, console: Console) -> None:
    """Report what was trained, which epoch was kept, and the rates on the validation part.

    One line per model, and one for the chooser among several.
    """
    header = made.header
    if header.per is None:
        _result(header, show(output), epochs, console)
        return
    for value, own in header.per.values.items():
        _result(own, f"{show(output)}, {header.per.field} {value}", epochs, console)
    name = f"{show(output)}, chooser of {header.per.field}"
    _result(header.per.chooser, name, epochs, console)


def _result(made: Trained, name: str, epochs: int, console: Console) -> None:
    text = f"{name}: {made.model.name}, {made.model.parameters:,} parameters"
    history, epoch = made.history or [], made.best_epoch or 0
    if "loss" in (history[0] if history else {}):
        text += f", epoch {epoch} of {len(history)}"
        if len(history) < epochs:
            text += f" (stopped before {epochs})"
    best = history[epoch - 1] if history else {}
    if "val_uar" in best:
        text += (
            f", validation UAR {100 * best['val_uar']:.1f} %,"
            f" accuracy {100 * best['val_accuracy']:.1f} %"
        )
    if "val_ccc" in best:
        text += f", validation CCC {best['val_ccc']:.3f}"
    console.note(text)
    rates = {name: value for name, value in best.items() if name != "epoch"}
    console.event(event="trained", output=name, best_epoch=made.best_epoch, **rates)
