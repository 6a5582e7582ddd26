"""`train --per FIELD`: one model for each value of a field, and what chooses among them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sertool.core.errors import InputError
from sertool.formats.checkpoint import Checkpoint, dump, undump
from sertool.formats.outputs import Parts
from sertool.models import per_field, tabular
from sertool.splits.division import Division, divide
from sertool.splits.protocols import Stratum
from sertool.targets import make_target
from sertool.training.fitting import Start, fit, fit_table
from sertool.training.job import CHOOSER_MODEL, Job
from sertool.training.summary import VERBS
from sertool.votes import NO_MAJORITY

UNKNOWN = "?"  # the value, in a stratum, of an item that has none


def divisions(job: Job) -> list[Division]:
    """Return the divisions of the store, one per fold, each checked before any is trained.

    All models share one division, so that no recording or speaker that one of them holds out is
    trained on by another, or by the chooser. Folds and `--val` are stratified by value and class.
    Training and validation leave out the items whose value is unknown; held out they stay, for the
    chooser.
    """
    items, parts = job.store.items(), job.options.parts
    if not job.values:
        strata: list[Stratum | None] = [name if name is None else (name,) for name in job.classes]
        told = job.fields or job.options.soft or NO_MAJORITY in job.classes  # checked later
        fewest = 1 if told else 2
        every = divide(items, parts, strata, job.options.target, fewest)
        return every if job.options.soft else [_agreed(job, division) for division in every]
    strata = [
        None if name is None else (value or UNKNOWN, name)
        for value, name in zip(job.values, job.classes, strict=True)
    ]
    found = [_known(job, division) for division in divide(items, parts, strata, job.options.target)]
    for division in found:
        by_value(job, division)
    return found


def _agreed(job: Job, division: Division) -> Division:
    """Return the division without training and validation items that have votes and no label."""
    train, val = (
        [i for i in side if job.classes[i] != NO_MAJORITY]
        for side in (division.train, division.val)
    )
    lost = len(division.train) + len(division.val) - len(train) - len(val)
    if not lost and NO_MAJORITY not in job.classes:
        return division
    classes = {job.classes[i] for i in train}
    if len(classes) < 2:
        raise InputError(
            f"training needs two classes or more, and there is only {' '.join(map(str, classes))}"
        )
    notes = list(division.notes)
    if lost:
        notes.append(
            f"{lost} items with votes and no label are left out of training; --soft learns them"
        )
    return dataclasses.replace(division, train=train, val=val, notes=notes)


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
            f"{wrong} held-out items are of a class that the model of their {job.options.per} was"
            " not trained on: it is wrong on all of them"
        )
    return dataclasses.replace(division, train=train, val=val, notes=notes)


def _never_right(job: Job, train: Sequence[int], test: Sequence[int]) -> int:
    """Return how many items have a class that only models of other values know."""
    known = {(job.values[i], job.classes[i]) for i in train}
    classes = {name for _, name in known}
    return sum(
        name in classes and value is not None and (value, name) not in known
        for value, name in ((job.values[i], job.classes[i]) for i in test)
    )


def by_value(job: Job, division: Division) -> dict[str, Division]:
    """Return each value's share of a division, values sorted.

    Raises InputError where a value has too little to train on, or is the only one.
    """
    field = str(job.options.per)
    where = f"--per {field}" + ("" if division.fold is None else f", fold {division.fold}")
    used = [*division.train, *division.val, *division.test]
    counts = Counter(value for i in used if (value := job.values[i]) is not None)
    found = {}
    for value in sorted(counts):
        train, val, test = (
            [i for i in division.part(name) if job.values[i] == value] for name in VERBS
        )
        word = next(job.store.items()[i].value(field) for i in used if job.values[i] == value)
        advice = f"--where '{field}!={word}' leaves them out"
        if not train:
            raise InputError(
                f"{where}: none of the {counts[value]} items of {value} is for training; {advice}"
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

    Each model is the one that its share of the division alone would give. `start` returns what
    keeps the finished networks, and the state of the one in training.
    """
    field = str(job.options.per)
    divided = by_value(job, division)
    finished = _start(job, divided, start) if job.plan else None
    models: dict[str, Checkpoint] = {}
    for number, (value, share) in enumerate(divided.items()):
        counts = [f"{verb} {len(p)}" for name, verb in VERBS.items() if (p := share.part(name))]
        job.console.note(f"{field} {value}: {', '.join(counts)} items")
        models[value] = _fit_one(job, share, record, finished, number)
    return per_field.merge(field, models, _fit_chooser(job, division))


def _start(job: Job, divided: dict[str, Division], start: Start) -> Parts:
    """Return what keeps finished networks, once it is known that all items suit them."""
    from sertool.training import networks

    assert job.plan is not None
    for value, share in divided.items():
        try:
            networks.check_items(job.plan, job.store, share.train + share.val)
        except InputError as error:
            raise InputError(f"--per {job.options.per}, items of {value}: {error}") from error
    parts = start()
    assert parts is not None
    return parts


def _fit_one(
    job: Job, share: Division, record: dict[str, Any], finished: Parts | None, number: int
) -> Checkpoint:
    """Train the model of one value, or take it from an interrupted run that finished it."""
    if finished is None:
        return fit(job, share, record, _nothing_kept)[0]
    name = f"{number}.safetensors"
    if not finished.has(name):
        made, _ = fit(job, share, record, lambda: finished.within(f"{number}."))
        finished.write(name, *dump(made.tensors, made.meta))
        return made
    job.console.note("finished by an earlier run")
    tensors, meta = undump(finished.read(name), str(finished.path(name)))
    return Checkpoint(tensors, [], meta)


def _nothing_kept() -> Parts:
    raise AssertionError("a tabular model keeps nothing of an interrupted run")


def _fit_chooser(job: Job, division: Division) -> Checkpoint:
    """Return the model of the field's value, fitted to the training items of all values.

    Only what trains is fitted to, so that the held-out items show how often it is right.
    """
    target = make_target(job.values, division.train, str(job.options.per))
    fitted = fit_table(job, tabular(CHOOSER_MODEL), division, target)
    return Checkpoint(fitted.tensors, [], fitted.described(target.classes))
