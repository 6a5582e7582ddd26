"""One trained model: from a division of the store to the checkpoint of what was fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from sertool import metrics, regression, votes
from sertool.formats.checkpoint import Checkpoint, Scale
from sertool.formats.checkpoint import Model as Described
from sertool.formats.outputs import Parts
from sertool.models import Regressor, Tabular, layer_choice, speakers
from sertool.splits.division import Division
from sertool.targets import (
    IGNORED,
    Numbers,
    Target,
    class_names,
    make_numbers,
    make_shares,
    make_target,
)
from sertool.training.augmenting import described
from sertool.training.baselines import fit_baselines, fit_regressor, fit_tabular
from sertool.training.fitted import Fitted
from sertool.training.job import Job

# the parts of a run, made (and locked) when first needed; None where another process has them
Start = Callable[[], Parts | None]


def fit(
    job: Job, division: Division, record: dict[str, Any], start: Start
) -> tuple[Checkpoint, Checkpoint | None]:
    """Return the checkpoint, without items, of the model trained on one division.

    And that of the last epoch, where it is kept. record: the stage's own, for the lineage. start:
    called for a network, once it is known that the items suit it.
    """
    target = _target(job, division)
    if isinstance(target, Numbers) and isinstance(job.model, Regressor):
        fitted = _fit_regressor(job, job.model, division, target)
    elif isinstance(target, Target) and isinstance(job.model, Tabular):
        fitted = fit_table(job, job.model, division, target)
    else:
        fitted = _fit_network(job, division, target, start)
    tensors: dict[str, np.ndarray] = {}
    baselines: list[str] = []
    if job.options.baselines:
        tensors, baselines = fit_baselines(job.columns, division.train, target, job.console)

    def made(fitted: Fitted) -> Checkpoint:
        meta = _meta(job, division, target, fitted, baselines, record)
        return Checkpoint(tensors | fitted.tensors, [], meta)

    last = made(fitted.last) if fitted.last else None
    if last:
        last.meta["kept"] = "last"
    return made(fitted), last


def _target(job: Job, division: Division) -> Target | Numbers:
    """Return what the model learns of the training part: classes, or numbers."""
    options = job.options
    if job.fields:
        return make_numbers(list(job.fields), job.numbers, division.train, options.loss)
    weights = job.hp.class_weights
    if options.soft:
        return make_shares(job.votes, job.classes, division.train, weights)
    return make_target(job.classes, division.train, options.target, class_weights=weights)


def _fit_network(job: Job, division: Division, target: Target | Numbers, start: Start) -> Fitted:
    from sertool.training import networks

    plan, items = job.plan, job.store.items()
    assert plan is not None
    frames = networks.check_items(plan, job.store, division.train + division.val)
    outputs = plan.model.outputs() if isinstance(target, Target) else ()
    further = [
        make_target(class_names(items, o.field), division.train, o.field, o.weight)
        for o in outputs[1:]
    ]
    return networks.train_network(
        plan, job.store, division, [target, *further], frames, start(), job.console
    )


def fit_table(job: Job, model: Tabular, division: Division, target: Target) -> Fitted:
    """Fit a tabular model; its history is one row, of validation's rates if there is any."""
    across = job.options.across_corpora and model.across
    arrays, warnings = fit_tabular(model, job.columns, division.train, target, across)
    for text in warnings:
        job.console.warn(f"{model.name}: {text}")
    if chosen := layer_choice.describe(model, arrays):
        job.console.note(f"{model.name}: {chosen}")
    history: list[dict[str, float]] = []
    val = np.asarray(division.val, np.int64)
    known = val[target.indices[val] != IGNORED]
    if len(known):
        rows = job.columns.rows(model, known.tolist())
        said = layer_choice.posterior(model, arrays, rows).argmax(1)
        counts = metrics.confusion(target.indices[known], said, len(target.classes))
        rates = {"uar": float(metrics.uar(counts)), "accuracy": float(metrics.accuracy(counts))}
        history = [{"epoch": 1, **{f"val_{name}": rate for name, rate in rates.items()}}]
    return _fitted(model, arrays, history)


def _fit_regressor(job: Job, model: Regressor, division: Division, target: Numbers) -> Fitted:
    """Fit a model of numbers; its history is one row, of validation's ccc if there is any."""
    arrays = fit_regressor(model, job.columns, division.train, target)
    if chosen := model.describe(arrays):
        job.console.note(f"{model.name}: {chosen}")
    history: list[dict[str, float]] = []
    if division.val:
        found = model.numbers(arrays, job.columns.rows(model, division.val))
        truth = target.values[np.asarray(division.val)]
        each = np.nan_to_num(regression.ccc(regression.sums(truth, found)))
        history = [{"epoch": 1, "val_ccc": float(each.mean())}]
    return _fitted(model, arrays, history)


def _fitted(
    model: Tabular | Regressor, arrays: dict[str, np.ndarray], history: list[dict[str, float]]
) -> Fitted:
    about = Described(
        name=model.name,
        settings=dataclasses.asdict(model.settings),
        parameters=sum(array.size for array in arrays.values()),
    )
    tensors = {f"model.{name}": array for name, array in arrays.items()}
    return Fitted(tensors, about, history, 1)


def _meta(
    job: Job,
    division: Division,
    target: Target | Numbers,
    fitted: Fitted,
    baselines: list[str],
    record: dict[str, Any],
) -> dict[str, Any]:
    """Return the checkpoint's description, as its file has it (see `checkpoint.Header`)."""
    store, plan = job.store, job.plan
    says = fitted.described([] if isinstance(target, Numbers) else target.classes)
    if isinstance(target, Numbers):
        triples = zip(target.fields, target.mean.tolist(), target.sd.tolist(), strict=True)
        says["numbers"] = [msgspec.to_builtins(Scale(*triple)) for triple in triples]
    return says | {
        "target": job.options.target,
        "kind": store.kind,
        "pipeline": store.pipeline,
        "sample_rate": store.sample_rate,
        "frame_rate": store.frame_rate,
        "dims": list(store.shape),
        "training": record["params"]["hyperparameters"],
        "baselines": baselines,
        "augment": described(
            plan.augmenting if plan else None,
            len(division.train),
            plan.init.record.get("augment") if plan and plan.init else None,
            job.hp.mixup if plan else 0.0,
        ),
        "protocol": {
            "by": division.by,
            "fold": division.fold,
            "resplit": job.options.parts.resplit,
            "unit": job.options.parts.unit,
            **({speakers.DECLARED: True} if job.options.speaker_normalisation else {}),
            **({votes.SOFT: True} if job.options.soft else {}),
        },
        "lineage": [*store.lineage, record],
    }
