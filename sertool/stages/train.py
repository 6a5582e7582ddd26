"""`train`: a feature store into one checkpoint, or one a fold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool import checkpoint as checkpoints
from sertool import lineage, metrics
from sertool.checkpoint import ITEM_FIELDS, Checkpoint
from sertool.console import Console
from sertool.errors import InputError, UsageError
from sertool.models import Network, Whole, model
from sertool.outputs import Parts, check_output
from sertool.paths import show
from sertool.settings import parse
from sertool.stages.train_summary import announce, result
from sertool.store import Store
from sertool.training.augmenting import described, prepare
from sertool.training.baselines import Columns, fit_baselines, fit_whole
from sertool.training.hyperparameters import Hyperparameters, check_device
from sertool.training.parts import Division, PartOptions, divide
from sertool.training.targets import Target, make_target, relabel

if TYPE_CHECKING:
    from sertool.training.initial import Initial
    from sertool.training.unlabelled import Unlabelled

FOLD = "{fold}"  # in an output's name: the number of the fold that it holds out


@dataclass(frozen=True)
class TrainOptions:
    """What `train` is told: `target` is the field of an item that the model learns to say.

    `overrides` are hyper-parameters by name, over the model's own; `augment` and `copies` say
    how training pictures are changed as they are read (see `training.augmenting`).
    """

    model: str = "linear"
    target: str = "label"
    assignments: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    parts: PartOptions = field(default_factory=PartOptions)
    seed: int = 0
    device: str = "auto"
    baselines: bool = True
    init: str | None = None  # a file, or a word for published weights
    augment: dict[str, list[float]] = field(default_factory=dict)
    copies: int | None = None
    unlabelled: tuple[Path, ...] = ()  # stores of recordings for a first stage without labels


@dataclass
class _Job:
    """One run of the stage: what all folds share."""

    store: Store
    items: Sequence[dict[str, Any]]  # of the store, the target in place of the label
    options: TrainOptions
    found: Network | Whole
    settings: Any
    hp: Hyperparameters
    init: Initial | None
    columns: Columns
    console: Console
    unlabelled: Unlabelled | None = None
    plan: Any = None  # networks.Plan; that module imports torch


def train(
    source: Path,
    output: Path,
    options: TrainOptions,
    *,
    force: bool = False,
    resume: bool = False,
    console: Console | None = None,
) -> None:
    """Train a model on the store `source` and write the checkpoint `output`, or one a fold.

    Raises UsageError for options that contradict each other or the store, InputError where store
    or output cannot serve.
    """
    console = console or Console.silent()
    with Store(source) as store, ExitStack() as stack:
        job = _prepare(store, options, console, stack)
        divisions = divide(job.items, options.parts, store.items())
        every = options.parts.test_fold == "all"
        outputs = [_output(output, division.fold, every) for division in divisions]
        for path in outputs:
            check_output(path, force, resume, [source, *_inputs(job)])
        if isinstance(job.found, Whole):
            console.note(
                f"{job.found.name} is fitted whole: a row of numbers for each item is in memory"
            )
        for note in divisions[0].notes:
            console.note(note)
        for division, path in zip(divisions, outputs, strict=True):
            _train_one(job, division, path, force, resume)


def _inputs(job: _Job) -> list[Path]:
    """Return the files beside the store that are read."""
    init = [job.init.path] if job.init else []
    return init + (job.unlabelled.paths if job.unlabelled else [])


def _prepare(store: Store, options: TrainOptions, console: Console, stack: ExitStack) -> _Job:
    """Return the job, its options checked against the model before any work is done."""
    found = model(options.model)
    check_device(options.device)
    settings: Any = parse(found.Settings, list(options.assignments))
    columns = Columns(store, console)
    items = relabel(store.items(), options.target)
    augmenting = prepare(found, items, options.augment, options.copies, options.seed)
    if options.unlabelled and (isinstance(found, Whole) or found.prepare is None):
        raise UsageError(f"--init-unlabelled: {found.name} learns nothing without labels")
    if isinstance(found, Whole):
        if options.init:
            raise UsageError(f"--init: {found.name} is fitted whole and starts from nothing")
        hp = dataclasses.replace(Hyperparameters(), **options.overrides)
        hp.check()
        idle = sorted(set(options.overrides) - {"class_weights"})
        if idle:
            console.note(f"{', '.join(idle)}: without effect on {found.name}")
        return _Job(store, items, options, found, settings, hp, None, columns, console)
    hp = dataclasses.replace(found.defaults(settings), **options.overrides)
    hp.check()
    from sertool.training import (
        device,
        initial,
        networks,
        unlabelled,
    )  # torch: seconds, only where needed

    where = device.choose(options.device)
    init = initial.load(options.init, found, console) if options.init else None
    more = unlabelled.load(options.unlabelled, store, stack)
    job = _Job(store, items, options, found, settings, hp, init, columns, console, more)
    heard = more.heard if more else None
    job.plan = networks.Plan(found, settings, hp, options.seed, where, init, augmenting, heard)
    networks.check_last_stage(job.plan)
    return job


def _output(output: Path, fold: int | None, every: bool) -> Path:
    """Return the checkpoint of a fold: `{fold}` filled in, or with all folds NAME.FOLD.SUFFIX."""
    if FOLD in output.name:
        return output.with_name(output.name.replace(FOLD, "none" if fold is None else str(fold)))
    return output.with_name(f"{output.stem}.{fold}{output.suffix}") if every else output


def _params(job: _Job, division: Division) -> dict[str, Any]:
    """Return every parameter that shapes the checkpoint: a fold's alone is that fold's of all."""
    options = job.options
    parts = dataclasses.asdict(options.parts)
    if division.fold is not None:
        parts["test_fold"] = str(division.fold)
    params = {
        "model": job.found.name,
        "target": options.target,
        "settings": dataclasses.asdict(job.settings),
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
    if isinstance(job.found, Whole):
        params["hyperparameters"] = {"class_weights": job.hp.class_weights}
    plain: dict[str, Any] = json.loads(lineage.canonical(params))
    return plain


def _is_whole(output: Path, record: dict[str, Any], console: Console) -> bool:
    """Return whether this very checkpoint is there; InputError where other settings made it."""
    if not output.exists():
        return False
    made = checkpoints.load(output).meta["lineage"][-1]
    if (made["params"], made["input"]["sha256"]) != (record["params"], record["input"]["sha256"]):
        raise InputError(
            f"{show(output)}: exists, made with other settings or from another store;"
            " --force replaces it"
        )
    console.note(f"{show(output)}: whole already")
    if output.with_name(f".{output.name}.parts").is_dir():
        Parts(output, record, resume=False).remove_all()  # killed after its last step but one
    return True


def _train_one(job: _Job, division: Division, output: Path, force: bool, resume: bool) -> None:
    """Train on one division and write its checkpoint."""
    store, console = job.store, job.console
    record = lineage.record("train", _params(job, division), store.path.name, store.sha256)
    if resume and not force and _is_whole(output, record, console):
        return
    items = job.items
    announce(items, division, job.hp.monitor if job.plan else None, console)
    if job.plan and job.plan.augmenting:
        console.note(job.plan.augmenting.sentence)
    target = make_target(items, division.train, "label", 1.0, job.hp.class_weights)
    listed = _listed(items, division)
    listed += _inherited("--init", job.init.items if job.init else None, items, division)
    more = [item | {"part": "train"} for item in job.unlabelled.items] if job.unlabelled else []
    listed += _inherited("--init-unlabelled", more, items, division)
    tensors: dict[str, np.ndarray] = {}
    baselines: list[str] = []
    if isinstance(job.found, Whole):
        fitted, meta = _fit_whole(job, division, target)
        parts = None
    else:
        fitted, meta, parts = _fit_network(job, division, target, output, record, resume)
    if job.options.baselines:
        tensors, baselines = fit_baselines(job.columns, division.train, target, console)
    made = Checkpoint(
        tensors | fitted,
        listed,
        _meta(job, division, target, meta, baselines, record),
    )
    checkpoints.save(made, output)
    if parts is not None:
        parts.remove_all()
    result(made, output, job.hp.epochs, console)


def _fit_network(
    job: _Job,
    division: Division,
    target: Target,
    output: Path,
    record: dict[str, Any],
    resume: bool,
) -> tuple[dict[str, Any], dict[str, Any], Parts]:
    from sertool.training import networks

    assert isinstance(job.found, Network)
    used = division.train + division.val
    frames = networks.check_items(job.plan, job.store, used)
    further = [
        make_target(job.items, division.train, head.field, head.weight)
        for head in job.found.heads(job.settings)[1:]
    ]
    parts = Parts(output, record, resume)
    trained = networks.train_network(
        job.plan, job.store, division, [target, *further], frames, parts, job.console
    )
    return trained.tensors, trained.meta, parts


def _fit_whole(
    job: _Job, division: Division, target: Target
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit a model in one go; its history is one row, with validation's rates if there is any."""
    whole = job.found
    assert isinstance(whole, Whole)
    arrays, odd = fit_whole(whole, job.settings, job.columns, division.train, target)
    for text in odd:
        job.console.warn(f"{whole.name}: {text}")
    if whole.describe:
        job.console.note(f"{whole.name}: {whole.describe(arrays)}")
    history = []
    if division.val:
        shares = whole.posterior(arrays, job.columns.rows(whole, job.settings, division.val))
        truth = target.indices[np.asarray(division.val)]
        counts = metrics.confusion(truth, shares.argmax(1), len(target.classes))
        rates = {"uar": float(metrics.uar(counts)), "accuracy": float(metrics.accuracy(counts))}
        history = [{"epoch": 1, **{f"val_{name}": rate for name, rate in rates.items()}}]
    count = sum(array.size for array in arrays.values())
    meta = {"model": {"frames": None, "parameters": count}, "history": history, "best_epoch": 1}
    return {f"model.{name}": array for name, array in arrays.items()}, meta


def _meta(
    job: _Job,
    division: Division,
    target: Target,
    fitted: dict[str, Any],
    baselines: list[str],
    record: dict[str, Any],
) -> dict[str, Any]:
    """Return the checkpoint's description."""
    store, parts = job.store, job.options.parts
    name = {"name": job.found.name, "settings": dataclasses.asdict(job.settings)}
    return {
        "classes": target.classes,
        "target": job.options.target,
        "kind": store.kind,
        "pipeline": store.pipeline,
        "sample_rate": store.sample_rate,
        "frame_rate": store.frame_rate,
        "dims": list(store.shape),
        "model": name | fitted["model"],
        "training": record["params"]["hyperparameters"],
        "history": fitted["history"],
        "best_epoch": fitted["best_epoch"],
        "baselines": baselines,
        "augment": described(
            job.plan.augmenting if job.plan else None,
            job.options.augment,
            len(division.train),
            job.init.record.get("augment") if job.init else None,
        ),
        "protocol": {
            "by": division.by,
            "fold": division.fold,
            "resplit": parts.resplit,
            "unit": parts.unit,
        },
        "lineage": [*store.lineage, record],
    }


def _listed(items: Sequence[dict[str, Any]], division: Division) -> list[dict[str, Any]]:
    """Return the items that were trained on, validated and held out, in the store's order."""
    side = {i: name for name in ("train", "val", "test") for i in getattr(division, name)}
    return [
        {name: items[i].get(name) for name in ITEM_FIELDS} | {"part": side[i]} for i in sorted(side)
    ]


def _inherited(
    option: str,
    seen: Sequence[dict[str, Any]] | None,
    items: Sequence[dict[str, Any]],
    division: Division,
) -> list[dict[str, Any]]:
    """Return what `option` is known to bring knowledge of, unless it is listed.

    Raises InputError where that is held out here.
    """
    if not seen:
        return []
    held = {(items[i]["corpus"] or "", items[i]["origin"]) for i in division.test}
    listed = {items[i]["id"] for name in ("train", "val") for i in getattr(division, name)}
    both = {(item.get("corpus") or "", item["origin"]) for item in seen} & held
    if both:
        raise InputError(f"{option}: knows {len(both)} of the recordings that are held out here")
    return [item for item in seen if item["id"] not in listed]
