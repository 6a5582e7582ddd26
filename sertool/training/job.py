"""One run of `train`: what all of its folds and models share, checked before any work is done."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool import augmentations
from sertool.core.errors import InputError, UsageError
from sertool.core.settings import make
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import Combined, Model, Network, Regressor, Tabular, model, speakers, tabular
from sertool.models.hyperparameters import Hyperparameters
from sertool.targets import check_classes, class_names, known_numbers, number_fields, numbers
from sertool.training import augmenting
from sertool.training.baselines import Columns
from sertool.training.options import TrainOptions
from sertool.ui.console import Console
from sertool.votes import NO_MAJORITY, votes_of

if TYPE_CHECKING:
    from sertool.training.networks import Plan

OF_NUMBERS = {"linear": "ridge", "majority": "mean"}  # what they are called where numbers are said
CLASS_WEIGHTS = (
    "class_weights",
    "length_weights",
    "loss_norm",
    "mixup",
    "label_smoothing",
)  # of no effect on numbers
CHOOSER_MODEL = "linear"  # tells the value of `--per`: small, and fitted to the same items
# fields that a row of `predict` has of its own
TAKEN = (
    *("path", "start", "end", "label", "confidence", "posterior", "numbers", "duration", "error"),
    *("heard", "speech", "windows", "vad", "model", "channel"),
)


@dataclass(frozen=True)
class Job:
    """The store, the model, and how it is trained.

    classes: of every item of the store, under the target field; None where unknown. values: the
    same under the field of `--per`; empty without it. votes: of raters on every item, where the
    label is the target; `classes` is then NO_MAJORITY where there are some and no label. fields:
    of numbers, where these are the target, and the `numbers` of every item (items, fields);
    `classes` then says who has them. plan: of a network; None for one fitted in one step.
    """

    store: Store
    options: TrainOptions
    model: Model
    hp: Hyperparameters
    classes: Sequence[str | None]
    values: Sequence[str | None]
    columns: Columns
    console: Console
    fields: Sequence[str]
    numbers: np.ndarray
    votes: Sequence[Mapping[str, float] | None]
    plan: Plan | None = None

    @property
    def inputs(self) -> list[Path]:
        """The files that are read."""
        init = self.plan and self.plan.init
        unlabelled = self.plan and self.plan.unlabelled
        more = ([init.path] if init else []) + (unlabelled.paths if unlabelled else [])
        return [self.store.path, *more]


def make_job(store: Store, options: TrainOptions, console: Console, stack: ExitStack) -> Job:
    """Return the job that the options describe; stores that it opens stay open until `stack` ends.

    Raises UsageError for options that contradict each other, the model or the store, InputError for
    a store or a file that cannot be used.
    """
    items = store.items()
    fields = number_fields(items, options.target, options.as_classes, options.as_numbers)
    if fields and options.model in OF_NUMBERS:
        options = dataclasses.replace(options, model=OF_NUMBERS[options.model])
        console.note(f"{','.join(fields)}: numbers, so the model is {options.model}")
    kind = model(options.model)
    found = kind(make(kind.Settings, options.settings))
    amounts = numbers(items, fields)
    classes = known_numbers(amounts) if fields else class_names(items, options.target, "--target")
    said = _votes(items, classes, options, fields, console)
    if not options.per:
        pairs = zip(classes, said, strict=True)
        classes = [NO_MAJORITY if name is None and own else name for name, own in pairs]
    values = _values(items, options.per, options.target) if options.per else []
    if options.per and not options.as_classes:
        check_classes(items, options.per, "--per")
    steps = _steps(options, found)
    changes = augmenting.make(found, items, steps, options.copies, options.seed)
    options = dataclasses.replace(options, augment=changes.steps if changes else {})  # all said
    _check(options, found, store)
    _check_kind(options, found, fields)
    _check_soft(options, found)
    _check_across(options, found)
    hp = _hyperparameters(options, found, fields, console)
    columns = Columns(store, console)
    job = Job(store, options, found, hp, classes, values, columns, console, fields, amounts, said)
    if not isinstance(found, Network):
        return job
    plan = _plan(job, found, changes, stack)
    return dataclasses.replace(job, model=plan.model, plan=plan)


def _hyperparameters(
    options: TrainOptions, found: Model, fields: Sequence[str], console: Console
) -> Hyperparameters:
    """Return a model's own hyper-parameters with those that are asked for.

    Raises UsageError for one that does not fit the target.
    """
    if not isinstance(found, Network):
        weighted = found.class_weights if isinstance(found, Tabular) else "none"
        idle = sorted(set(options.overrides) - {"class_weights"})
        if idle:
            console.note(f"{', '.join(idle)}: no effect on {found.name}")
        return Hyperparameters(class_weights=weighted).overridden(options.overrides)
    hp = found.defaults().overridden(options.overrides)
    if fields:
        return _hp_of_numbers(hp, options)
    if hp.monitor == "ccc":
        raise UsageError("--monitor ccc: is of numbers, and the target is of classes")
    return hp


def _plan(
    job: Job, network: Network, changes: augmenting.Augmenting | None, stack: ExitStack
) -> Plan:
    """Return how a job's network is trained; raises as `make_job` does."""
    from sertool.models import device
    from sertool.training import initial, networks, unlabelled  # torch: seconds, only where needed

    options, init = job.options, None
    if options.init and options.init.startswith(initial.ENCODER):
        network, init = initial.of_encoder(options.init, network, job.console)
    elif options.init:
        init = initial.load(options.init, network, job.console)
    declared = options.speaker_normalisation
    plan = networks.Plan(
        network,
        job.hp,
        options.seed,
        device.choose(options.device),
        init,
        changes,
        unlabelled.load(options.init_unlabelled, job.store, declared, stack),
        options.keep_last,
    )
    networks.check_classifier(network)
    if init and init.items is not None and (speakers.DECLARED in init.record) != declared:
        did = "without" if declared else "with"
        job.console.warn(f"--init: was trained {did} --speaker-normalisation, unlike this model")
    return plan


def _votes(
    items: Sequence[Item],
    classes: Sequence[str | None],
    options: TrainOptions,
    fields: Sequence[str],
    console: Console,
) -> list[dict[str, float] | None]:
    """Return the votes on each item; with `--soft` a label without votes is one.

    Raises UsageError where `--soft` is asked for and there is nothing of that kind.
    """
    if fields or options.target != "label":
        if options.soft:
            raise UsageError(f"--soft: votes are on the label, not on --target {options.target}")
        return [None] * len(items)
    found = [votes_of(item) for item in items]
    if not options.soft:
        return found
    if not any(found):
        raise UsageError(
            "--soft: no item has votes; prepare --raters reads them from a table, and IEMOCAP has"
            " its own"
        )
    alone = [i for i, own in enumerate(found) if own is None and classes[i] is not None]
    for i in alone:
        found[i] = {str(classes[i]): 1}
    if alone:
        console.note(
            f"--soft: {len(alone)} items have a label and no votes: it counts as their vote"
        )
    return found


def _check_soft(options: TrainOptions, found: Model) -> None:
    """Raise UsageError where a model cannot learn shares, or not as the options say."""
    if not options.soft:
        return
    if options.per:
        raise UsageError(f"--per {options.per}: its models learn labels, not --soft shares")
    own = isinstance(found, Network) and (found.own_loss or found.classifier() is not None)
    if own or (isinstance(found, Tabular) and not found.soft):
        raise UsageError(
            f"--soft: {found.name} learns one class of each item; choose linear or another network"
        )


def _check_across(options: TrainOptions, found: Model) -> None:
    """Raise UsageError where a model cannot be fitted for other corpora, or not as options say."""
    if not options.across_corpora:
        return
    if not (isinstance(found, Tabular) and found.across):
        raise UsageError(f"--across-corpora: {found.name} cannot; choose --model logistic")
    if options.soft or "class_weights" in options.overrides:
        name = "soft" if options.soft else "class-weights"
        raise UsageError(f"--across-corpora: weighs items itself; leave out --{name}")


def _steps(options: TrainOptions, found: Model) -> augmentations.Steps:
    """Return what is done to training items: what is asked for, or else what the model does."""
    if not options.augment and isinstance(found, Network):
        return found.augment
    return {} if list(options.augment) == ["none"] else options.augment


def _check_kind(options: TrainOptions, found: Model, fields: Sequence[str]) -> None:
    """Raise UsageError where the model says classes and the target is numbers, or the other way."""
    if not fields:
        if isinstance(found, Regressor):
            raise UsageError(
                f"--model {found.name}: says numbers, and --target {options.target} is of classes"
                " (--as-numbers, if its values are whole numbers)"
            )
        if options.loss != "ccc":
            raise UsageError(f"--loss {options.loss}: is of numbers, and the target is of classes")
        return
    if options.per:
        raise UsageError(f"--per {options.per}: its models say classes, and the target is numbers")
    own = isinstance(found, Network) and (found.own_loss or found.classifier() is not None)
    if own or isinstance(found, Tabular):
        raise UsageError(
            f"--model {found.name}: says classes, and --target {options.target} is numbers; choose"
            " ridge or another network"
        )


def _hp_of_numbers(hp: Hyperparameters, options: TrainOptions) -> Hyperparameters:
    """Return a network's hyper-parameters without those that only classes have.

    Raises UsageError where one of them was asked for.
    """
    plain = Hyperparameters()
    for name in CLASS_WEIGHTS:
        if getattr(plain, name) != options.overrides.get(name, getattr(plain, name)):
            raise UsageError(
                f"--{name.replace('_', '-')}: is of classes, and the target is numbers"
            )
    if options.overrides.get("monitor", "loss") not in ("ccc", "loss"):
        raise UsageError(f"--monitor {hp.monitor}: is of classes, and the target is numbers")
    monitor = options.overrides.get("monitor", "loss" if hp.monitor == "loss" else "ccc")
    return dataclasses.replace(
        hp, monitor=monitor, **{name: getattr(plain, name) for name in CLASS_WEIGHTS}
    )


def _check(options: TrainOptions, found: Model, store: Store) -> None:
    """Raise UsageError for an option that has no effect on the model."""
    if isinstance(found, Combined):
        raise UsageError(f"--model {found.name}: is made of checkpoints, by sertool fuse")
    network = found if isinstance(found, Network) else None
    if options.init_unlabelled and not (network and network.first_stage_tensors):
        raise UsageError(f"--init-unlabelled: {found.name} learns nothing without labels")
    if options.keep_last and (network is None or options.per):
        why = f"with --per {options.per}" if options.per else f"for {found.name}, it has no epochs"
        raise UsageError(f"--keep-last: not available {why}")
    layer = getattr(found.settings, "layer", None)
    if isinstance(layer, int) and len(store.shape) != 2:
        raise UsageError(f"--set layer={layer}: the store holds {store.kind}, which has no layers")
    if options.init and network is None:
        raise UsageError(f"--init: {found.name} is fitted in one step, from scratch")


def _values(items: Sequence[Item], field: str, target: str) -> list[str | None]:
    """Return each item's value of the field of `--per`; None where it is unknown.

    Raises UsageError for a field that cannot be chosen by, or that no item has, InputError where
    the chooser cannot be fitted.
    """
    if field == target:
        raise UsageError(f"--per {field}: it is the target field (--target)")
    if field in TAKEN:
        raise UsageError(f"--per {field}: a line of predict has its own {field}; choose another")
    needs = tabular(CHOOSER_MODEL).needs
    if needs and importlib.util.find_spec(needs) is None:
        raise InputError(
            f"--per {field}: its chooser ({CHOOSER_MODEL}) needs {needs}, which is not installed"
        )
    return class_names(items, field, "--per")
