"""`train --per FIELD`: a model for each value of an item's field, and what chooses among them."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sertool.core.errors import InputError, UsageError
from sertool.formats.checkpoint import Checkpoint, dump, undump
from sertool.formats.outputs import Parts
from sertool.items import Item
from sertool.models import Tabular, per, tabular
from sertool.splits.division import Division, divide
from sertool.targets import class_names, make_target
from sertool.training.fitting import Job, Start, fit, fit_model
from sertool.training.summary import SIDES

UNKNOWN = "?"  # the value, in a stratum, of an item that has none
CHOOSER = "linear"  # the model of the field's value: small, and fitted to what it is given
# what a row of `predict` says under its own name
TAKEN = ("path", "start", "end", "label", "confidence", "posterior", "duration", "error")


def values(items: Sequence[Item], field: str, target: str) -> list[str | None]:
    """Return each item's value of the field `--per`; None where it is unknown.

    Raises UsageError for a field that cannot be chosen by, or that no item has, InputError where
    the chooser cannot be fitted.
    """
    if field == target:
        raise UsageError(f"--per {field}: it is what the model learns to say (--target)")
    if field in TAKEN:
        raise UsageError(f"--per {field}: a line of predict has its own {field}; choose another")
    needs = tabular(CHOOSER).needs
    if needs and importlib.util.find_spec(needs) is None:
        raise InputError(f"--per {field}: its chooser ({CHOOSER}) needs {needs}, not installed")
    return class_names(items, field, "--per")


def divisions(job: Job) -> list[Division]:
    """Return the ways to use the store, one a fold, each checked before any is trained.

    All models share one division, so that no recording or speaker that one of them holds out is
    trained on by another, or by the chooser. What is drawn is drawn within each value and class
    alike: to deal and to `--val`, a class is a value's class. Training and validation leave out
    the items whose value is unknown; held out they stay, for the chooser.
    """
    items, parts = job.store.items(), job.options.parts
    if not job.values:
        return divide(items, parts, [None if name is None else (name,) for name in job.classes])
    strata = [
        None if name is None else (value or UNKNOWN, name)
        for value, name in zip(job.values, job.classes, strict=True)
    ]
    found = [_known(job, division) for division in divide(items, parts, strata)]
    for division in found:
        by_value(job, division)
    return found


def _known(job: Job, division: Division) -> Division:
    """Return the division without what trains or validates and has no value."""
    train, val = (
        [i for i in side if job.values[i] is not None] for side in (division.train, division.val)
    )
    lost = len(division.train) + len(division.val) - len(train) - len(val)
    notes = list(division.notes)
    if lost:
        notes.append(f"{lost} items without a {job.options.per} are left out of training")
    wrong = _never_right(job, train, division.test)
    if wrong:
        notes.append(
            f"{wrong} items held out are of a class that the model of their {job.options.per} never"
            " heard: it is wrong on all of them"
        )
    return dataclasses.replace(division, train=train, val=val, notes=notes)


def _never_right(job: Job, train: Sequence[int], test: Sequence[int]) -> int:
    """Return how many items have a class that only models of other values know."""
    heard = {(job.values[i], job.classes[i]) for i in train}
    classes = {label for _, label in heard}
    return sum(
        label in classes and value is not None and (value, label) not in heard
        for value, label in ((job.values[i], job.classes[i]) for i in test)
    )


def by_value(job: Job, division: Division) -> dict[str, Division]:
    """Return the part of a division that each value's model is trained with, values sorted.

    Raises InputError where a value has too little to train on, or is the only one.
    """
    field = str(job.options.per)
    where = f"--per {field}" + ("" if division.fold is None else f", fold {division.fold}")
    used = [*division.train, *division.val, *division.test]
    counts = Counter(value for i in used if (value := job.values[i]) is not None)
    found = {}
    for value in sorted(counts):
        train, val, test = (
            [i for i in division.part(name) if job.values[i] == value] for name in SIDES
        )
        word = next(job.store.items()[i].value(field) for i in used if job.values[i] == value)
        advice = f"--where '{field}!={word}' leaves them out"
        if not train:
            raise InputError(
                f"{where}: none of the {counts[value]} items of {value} trains; {advice}"
            )
        classes = {job.classes[i] for i in train}
        if len(classes) < 2:
            raise InputError(
                f"{where}: training needs two classes or more, and the {len(train)}"
                f" training items of {value} have only {classes.pop()}; {advice}"
            )
        found[value] = dataclasses.replace(division, train=train, val=val, test=test)
    if len(found) < 2:
        raise InputError(f"{where}: every item is {' '.join(found) or 'unknown'}; leave --per out")
    return found


def fit_each(job: Job, division: Division, record: dict[str, Any], start: Start) -> Checkpoint:
    """Return the checkpoint, without items, of a model for each value and of their chooser.

    Each model is the one that its part of the division alone would give. What `start` gives keeps
    the networks that are finished, and how far the one under way has come.
    """
    field = str(job.options.per)
    divided = by_value(job, division)
    parts = None if isinstance(job.model, Tabular) else _start(job, divided, start)
    models: dict[str, Checkpoint] = {}
    for number, (value, part) in enumerate(divided.items()):
        said = [
            f"{verb} {len(items)}" for name, verb in SIDES.items() if (items := part.part(name))
        ]
        job.console.note(f"{field} {value}: {', '.join(said)} items")
        models[value] = _fit_one(job, part, record, parts, number)
    return per.merge(field, models, _fit_chooser(job, division))


def _start(job: Job, divided: dict[str, Division], start: Start) -> Parts:
    """Return where finished networks are kept, once it is known that all items suit them."""
    from sertool.training import networks

    for value, part in divided.items():
        try:
            networks.check_items(job.plan, job.store, part.train + part.val)
        except InputError as error:
            raise InputError(f"--per {job.options.per}, items of {value}: {error}") from error
    return start()


def _fit_one(
    job: Job, part: Division, record: dict[str, Any], parts: Parts | None, number: int
) -> Checkpoint:
    """Train the model of one value, or take it from where an interrupted run left it finished."""
    if parts is None:
        return fit(job, part, record, _no_parts)[0]
    name = f"{number}.safetensors"
    if not parts.has(name):
        made, _ = fit(job, part, record, lambda: parts.within(f"{number}."))
        parts.write(name, dump(made.tensors, made.meta))
        return made
    job.console.note("finished by an earlier run")
    return Checkpoint(*_read(parts, name))


def _read(parts: Parts, name: str) -> tuple[dict[str, Any], list[Item], dict[str, Any]]:
    tensors, meta = undump(parts.read(name), str(parts.path(name)))
    return tensors, [], meta


def _no_parts() -> Parts:
    raise AssertionError("a model that is fitted whole keeps nothing of a run")


def _fit_chooser(job: Job, division: Division) -> Checkpoint:
    """Return the model of the field's value, fitted to the training items of all values.

    Only what trains is fitted to, so that the held-out items tell how often it is right.
    """
    model = tabular(CHOOSER)
    target = make_target(job.values, division.train, str(job.options.per))
    tensors, meta = fit_model(job, model, division, target)
    named = {"name": model.name, "settings": dataclasses.asdict(model.settings)}
    return Checkpoint(
        tensors, [], meta | {"classes": target.classes, "model": named | meta["model"]}
    )
