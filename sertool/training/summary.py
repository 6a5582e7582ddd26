"""What `train` tells people: who trains, validates and is held out, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sertool.core.paths import show
from sertool.formats.checkpoint import Checkpoint
from sertool.items import Item
from sertool.models.per import field_of
from sertool.splits.balance import Group
from sertool.splits.division import Division
from sertool.splits.protocols import group_of
from sertool.ui.console import Console

NAMED = 8  # speakers that a line names at most
SIDES = {"train": "trains on", "val": "validates on", "test": "holds out"}


def announce(
    items: Sequence[Item],
    classes: Sequence[str | None],
    division: Division,
    monitor: str | None,
    console: Console,
) -> None:
    """Say which items are on each side, of which speakers, and what is odd about this division."""
    prefix = "" if division.fold is None else f"fold {division.fold}: "
    for name, verb in SIDES.items():
        rows = [items[i] for i in division.part(name)]
        if rows:
            console.note(f"{prefix}{verb} {_count(rows)}")
    for note in division.notes:
        console.note(f"{prefix}{note}")
    trained_on = {classes[i] for i in division.train}
    strange = sum(classes[i] not in trained_on for i in division.test)
    if strange:
        which = "all" if strange == len(division.test) else "some"
        console.warn(
            f"{prefix}{strange} of {len(division.test)} items held out are of classes without"
            f" training items, so that eval leaves {which} of them out"
        )
    if not division.test:
        console.note(f"{prefix}holds nothing out; eval --all tests on another store")
    if monitor and not division.val:
        console.note(f"{prefix}no validation part: the last epoch's weights are kept")
    trained = _speakers(items, [*division.train, *division.val])
    held = _speakers(items, division.test)
    if trained & held:
        console.note(
            f"{prefix}{len(trained & held)} of the {len(held)} speakers held out are trained on"
            " too: results will be speaker-dependent"
        )


def _count(rows: Sequence[Item]) -> str:
    """Return "120 items (60 copies) of 4 speakers (03, 08, …)"."""
    copies = sum(bool(row.augmentation) for row in rows)
    corpora = {row.corpus for row in rows}
    names = sorted(
        {
            str(row.speaker) if len(corpora) == 1 else f"{row.corpus}/{row.speaker}"
            for row in rows
            if row.speaker is not None
        }
    )
    text = f"{len(rows)} items"
    if copies:
        text += f" ({copies} of them copies)"
    if names:
        shown = ", ".join(map(show, names[:NAMED])) + (", …" if len(names) > NAMED else "")
        text += f" of {len(names)} speaker{'s' if len(names) > 1 else ''} ({shown})"
    return text


def _speakers(items: Sequence[Item], positions: Sequence[int]) -> set[Group]:
    return {group_of(items[i], "speaker") for i in positions if items[i].speaker is not None}


def result(made: Checkpoint, output: Path, epochs: int, console: Console) -> None:
    """Say what was trained, which epoch was kept, and how it did on the validation part.

    A line for each of several models, and one for what chooses among them.
    """
    field = field_of(made.meta)
    if field is None:
        _result(made.meta, show(output), epochs, console)
        return
    for value, own in made.meta["per"]["values"].items():
        _result(own, f"{show(output)}, {field} {value}", epochs, console)
    _result(made.meta["per"]["chooser"], f"{show(output)}, chooser of {field}", epochs, console)


def _result(meta: dict[str, Any], name: str, epochs: int, console: Console) -> None:
    text = f"{name}: {meta['model']['name']}, {meta['model']['parameters']:,} parameters"
    history = meta["history"]
    if "loss" in (history[0] if history else {}):
        text += f", epoch {meta['best_epoch']} of {len(history)}"
        if len(history) < epochs:
            text += f" (stopped before {epochs})"
    best = history[meta["best_epoch"] - 1] if history else {}
    if "val_uar" in best:
        text += (
            f", validation UAR {100 * best['val_uar']:.1f} %,"
            f" accuracy {100 * best['val_accuracy']:.1f} %"
        )
    console.note(text)
    console.event(event="trained", output=name, best_epoch=meta["best_epoch"], **_rates(best))


def _rates(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "epoch"}
