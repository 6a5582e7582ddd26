"""One model of `train`: from a division of the store to the checkpoint of what was fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool import metrics
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.outputs import Parts
from sertool.formats.store import Store
from sertool.models import Model, Network, Tabular
from sertool.models.hyperparameters import Hyperparameters
from sertool.splits.division import Division
from sertool.targets import Target, class_names, make_target
from sertool.training.augmenting import described
from sertool.training.baselines import Columns, fit_baselines, fit_tabular
from sertool.training.options import TrainOptions
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.training.initial import Initial
    from sertool.training.networks import Trained
    from sertool.training.unlabelled import Unlabelled

Start = Callable[[], Parts]  # the parts of a run, made (and locked) when they are first needed


@dataclass
class Job:
    """One run of the stage: what all folds and models share."""

    store: Store
    classes: Sequence[str | None]  # of the store's items, under the target field
    options: TrainOptions
    model: Model
    hp: Hyperparameters
    init: Initial | None
    columns: Columns
    console: Console
    unlabelled: Unlabelled | None = None
    plan: Any = None  # networks.Plan; that module imports torch
    values: Sequence[str | None] = ()  # of the field `per`, one an item; none without it


def fit(
    job: Job, division: Division, record: dict[str, Any], start: Start
) -> tuple[Checkpoint, Checkpoint | None]:
    """Return the checkpoint, without items, of the model trained on one division.

    And that of the last epoch, where it is kept. record: the stage's own, for the lineage. start:
    called for a network, once it is known that the items suit it.
    """
    target = make_target(job.classes, division.train, job.options.target, 1.0, job.hp.class_weights)
    last = None
    if isinstance(job.model, Tabular):
        fitted, meta = fit_model(job, job.model, division, target)
    else:
        trained = _fit_network(job, division, target, start)
        fitted, meta, last = trained.tensors, trained.meta, trained.last
    tensors: dict[str, np.ndarray] = {}
    baselines: list[str] = []
    if job.options.baselines:
        tensors, baselines = fit_baselines(job.columns, division.train, target, job.console)

    def made(fitted: dict[str, Any], meta: dict[str, Any]) -> Checkpoint:
        about = _meta(job, division, target, meta, baselines, record)
        return Checkpoint(tensors | fitted, [], about)

    return made(fitted, meta), made(last.tensors, last.meta) if last else None


def _fit_network(job: Job, division: Division, target: Target, start: Start) -> Trained:
    from sertool.training import networks

    assert isinstance(job.model, Network)
    used = division.train + division.val
    frames = networks.check_items(job.plan, job.store, used)
    further = [
        make_target(
            class_names(job.store.items(), output.field),
            division.train,
            output.field,
            output.weight,
        )
        for output in job.model.outputs()[1:]
    ]
    targets = [target, *further]
    return networks.train_network(
        job.plan, job.store, division, targets, frames, start(), job.console
    )


def fit_model(
    job: Job, model: Tabular, division: Division, target: Target
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit a model in one go; its history is one row, with validation's rates if there is any.

    Returns its tensors by their names in the checkpoint, and what describes it.
    """
    arrays, odd = fit_tabular(model, job.columns, division.train, target)
    for text in odd:
        job.console.warn(f"{model.name}: {text}")
    if chosen := model.describe(arrays):
        job.console.note(f"{model.name}: {chosen}")
    history = []
    if division.val:
        shares = model.posterior(arrays, job.columns.rows(model, division.val))
        truth = target.indices[np.asarray(division.val)]
        counts = metrics.confusion(truth, shares.argmax(1), len(target.classes))
        rates = {"uar": float(metrics.uar(counts)), "accuracy": float(metrics.accuracy(counts))}
        history = [{"epoch": 1, **{f"val_{name}": rate for name, rate in rates.items()}}]
    count = sum(array.size for array in arrays.values())
    meta = {"model": {"frames": None, "parameters": count}, "history": history, "best_epoch": 1}
    return {f"model.{name}": array for name, array in arrays.items()}, meta


def _meta(
    job: Job,
    division: Division,
    target: Target,
    fitted: dict[str, Any],
    baselines: list[str],
    record: dict[str, Any],
) -> dict[str, Any]:
    """Return the checkpoint's description."""
    store, parts = job.store, job.options.parts
    name = {"name": job.model.name, "settings": dataclasses.asdict(job.model.settings)}
    kept = {"kept": fitted["kept"]} if "kept" in fitted else {}
    return kept | {
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
            len(division.train),
            job.init.record.get("augment") if job.init else None,
            job.hp.mixup if job.plan else 0.0,
        ),
        "protocol": {
            "by": division.by,
            "fold": division.fold,
            "resplit": parts.resplit,
            "unit": parts.unit,
        },
        "lineage": [*store.lineage, record],
    }
