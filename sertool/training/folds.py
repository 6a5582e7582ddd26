"""How a store of features becomes one checkpoint, or one per fold."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError, UsageError
from sertool.core.options import RunOptions
from sertool.core.paths import show
from sertool.core.settings import make
from sertool.formats import checkpoint as checkpoints
from sertool.formats import lineage
from sertool.formats.checkpoint import ITEM_FIELDS
from sertool.formats.outputs import Parts, check_output
from sertool.formats.reuse import Made, State, decide
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import Network, Tabular, model
from sertool.models.hyperparameters import Hyperparameters
from sertool.splits.division import Division
from sertool.targets import class_names
from sertool.training import per_field as train_per
from sertool.training.augmenting import prepare
from sertool.training.baselines import Columns
from sertool.training.fitting import Job, fit
from sertool.training.options import TrainOptions
from sertool.training.summary import announce, result
from sertool.ui.console import Console

FOLD = "{fold}"  # in an output's name: the number of the fold that it holds out


def train_store(
    source: Path, output: Path, options: TrainOptions, run: RunOptions, console: Console
) -> list[Path]:
    """Train a model on the store `source`; return the checkpoints written, one or one per fold."""
    force, resume = run.force, run.resume
    with Store(source) as store, ExitStack() as stack:
        job = _prepare(store, options, console, stack)
        divisions = train_per.divisions(job)
        every = options.parts.test_fold == "all"
        outputs = [_output(output, division.fold, every) for division in divisions]
        for path in outputs:
            check_output(path, force, resume, [source, *_inputs(job)])
            if options.keep_last:
                check_output(_last(path), force, resume, [source, *_inputs(job)])
        if isinstance(job.model, Tabular):
            console.note(
                f"{job.model.name} is fitted whole: a row of numbers for each item is in memory"
            )
        shared = [n for n in divisions[0].notes if all(n in d.notes for d in divisions)]
        for note in shared:
            console.note(note)
        for division in divisions:
            division.notes = [note for note in division.notes if note not in shared]
        for division, path in zip(divisions, outputs, strict=True):
            _train_one(job, division, path, force, resume)
    return outputs


def _inputs(job: Job) -> list[Path]:
    """Return the files beside the store that are read."""
    init = [job.init.path] if job.init else []
    return init + (job.unlabelled.paths if job.unlabelled else [])


def _prepare(store: Store, options: TrainOptions, console: Console, stack: ExitStack) -> Job:
    """Return the job, its options checked against the model before any work is done."""
    kind = model(options.model)
    found = kind(make(kind.Settings, options.settings))
    columns = Columns(store, console)
    items = store.items()
    classes = class_names(items, options.target, "--target")
    values = train_per.values(items, options.per, options.target) if options.per else ()
    augmenting = prepare(found, items, options.augment, options.copies, options.seed)
    if augmenting:
        options = dataclasses.replace(options, augment=augmenting.steps)  # defaults filled in
    network = found if isinstance(found, Network) else None
    if options.init_unlabelled and not (network and network.first_stage_tensors):
        raise UsageError(f"--init-unlabelled: {found.name} learns nothing without labels")
    if options.keep_last and (network is None or options.per):
        why = f"with --per {options.per}" if options.per else f"of {found.name}, it has no epochs"
        raise UsageError(f"--keep-last: there is none {why}")
    if network is None:
        if options.init:
            raise UsageError(f"--init: {found.name} is fitted whole and starts from nothing")
        hp = Hyperparameters().overridden(options.overrides)
        idle = sorted(set(options.overrides) - {"class_weights"})
        if idle:
            console.note(f"{', '.join(idle)}: without effect on {found.name}")
        return Job(store, classes, options, found, hp, None, columns, console, values=values)
    hp = network.defaults().overridden(options.overrides)
    from sertool.models import device
    from sertool.training import initial, networks, unlabelled  # torch: seconds, only where needed

    where = device.choose(options.device)
    init = initial.load(options.init, network, console) if options.init else None
    more = unlabelled.load(options.init_unlabelled, store, stack)
    job = Job(store, classes, options, found, hp, init, columns, console, more, values=values)
    examples = more.examples if more else None
    job.plan = networks.Plan(
        network, hp, options.seed, where, init, augmenting, examples, options.keep_last
    )
    networks.check_classifier(network)
    return job


def _output(output: Path, fold: int | None, every: bool) -> Path:
    """Return the checkpoint of a fold: `{fold}` filled in, or with all folds NAME.FOLD.SUFFIX."""
    if FOLD in output.name:
        return output.with_name(output.name.replace(FOLD, "none" if fold is None else str(fold)))
    return output.with_name(f"{output.stem}.{fold}{output.suffix}") if every else output


def _last(output: Path) -> Path:
    """Return the checkpoint of the last epoch beside that of the best."""
    return output.with_name(f"{output.stem}.last{output.suffix}")


def _params(job: Job, division: Division) -> dict[str, Any]:
    """Return every parameter that shapes the checkpoint: a fold's alone is that fold's of all."""
    options = job.options
    parts = dataclasses.asdict(options.parts)
    if division.fold is not None:
        parts["test_fold"] = str(division.fold)
    params = {
        "model": job.model.name,
        "target": options.target,
        "settings": dataclasses.asdict(job.model.settings),
        "hyperparameters": dataclasses.asdict(job.hp),
        "parts": parts,
        "seed": options.seed,
        "device": job.plan.device.type if job.plan else "cpu",
        "baselines": options.baselines,
        "init": job.init.record if job.init else None,
        "unlabelled": job.unlabelled.records if job.unlabelled else None,
        "augment": options.augment or None,
        "copies": options.copies,
    }
    if options.per:
        params["per"] = options.per
    if options.keep_last:
        params["keep_last"] = True
    if isinstance(job.model, Tabular):
        params["hyperparameters"] = {"class_weights": job.hp.class_weights}
    plain: dict[str, Any] = json.loads(lineage.canonical(params))
    return plain


def _made(path: Path) -> Made:
    return Made(checkpoints.load(path).meta["lineage"][-1])


def _train_one(job: Job, division: Division, output: Path, force: bool, resume: bool) -> None:
    """Train on one division and write its checkpoint."""
    store, console = job.store, job.console
    record = lineage.record("train", _params(job, division), store.path.name, store.sha256)
    outputs = [output, _last(output)] if job.options.keep_last else [output]
    job_of_parts = record if isinstance(job.model, Network) else None
    state = decide(outputs, record, _made, console, resume=resume, force=force, job=job_of_parts)
    if state is State.WHOLE:
        return
    items = store.items()
    if not job.options.keep_last and _last(output).exists():
        console.warn(f"{show(_last(output))}: stays, of another training")
    announce(items, job.classes, division, job.hp.monitor if job.plan else None, console)
    if job.plan and job.plan.augmenting:
        console.note(job.plan.augmenting.sentence)
    listed = _listed(items, division)
    listed += _inherited("--init", job.init.items if job.init else None, items, division)
    more = [item.replace(part="train") for item in job.unlabelled.items] if job.unlabelled else []
    listed += _inherited("--init-unlabelled", more, items, division)
    start = functools.cache(lambda: Parts(output, record, resume))
    last = None
    if job.values:
        made = train_per.fit_each(job, division, record, start)
    else:
        made, last = fit(job, division, record, start)
    made.items = listed
    if last is not None:
        last.items = listed
        checkpoints.save(last, _last(output))
        console.note(f"{show(_last(output))}: the weights after the last epoch")
    checkpoints.save(made, output)
    if isinstance(job.model, Network):
        start().remove_all()
    result(made, output, job.hp.epochs, console)


def _listed(items: Sequence[Item], division: Division) -> list[Item]:
    """Return the items that were trained on, validated and held out, in the store's order."""
    side = {i: name for name in ("train", "val", "test") for i in division.part(name)}
    kept = [name for name in ITEM_FIELDS if name != "part"]
    return [
        Item(**{name: getattr(items[i], name) for name in kept}, part=side[i]) for i in sorted(side)
    ]


def _inherited(
    option: str,
    seen: Sequence[Item] | None,
    items: Sequence[Item],
    division: Division,
) -> list[Item]:
    """Return what `option` is known to bring knowledge of, unless it is listed.

    Raises InputError where that is held out here.
    """
    if not seen:
        return []
    held = {(items[i].corpus or "", items[i].origin) for i in division.test}
    listed = {items[i].id for name in ("train", "val") for i in division.part(name)}
    both = {(item.corpus or "", item.origin) for item in seen} & held
    if both:
        raise InputError(f"{option}: knows {len(both)} of the recordings that are held out here")
    return [item for item in seen if item.id not in listed]
