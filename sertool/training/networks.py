"""From a network's description and a division of the store to its trained tensors."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.formats.checkpoint import Head, Model, Named
from sertool.formats.outputs import Parts
from sertool.formats.store import Store
from sertool.models import Examples, Network, statistics
from sertool.models import device as devices
from sertool.models.hyperparameters import Hyperparameters
from sertool.splits.division import Division
from sertool.targets import Numbers, Target, weigh_items
from sertool.training import loop
from sertool.training.augmenting import Augmenting
from sertool.training.baselines import fit_rows
from sertool.training.batches import Source
from sertool.training.fitted import Fitted
from sertool.training.initial import Initial
from sertool.training.saving import Saver
from sertool.training.spread import Spread
from sertool.training.unlabelled import Unlabelled
from sertool.ui.console import Console

PREPARED = 40  # bytes a number of an item: its view, normalised, and float64 for its statistics


@dataclass(frozen=True)
class Plan:
    """A network and how it is trained."""

    model: Network
    hp: Hyperparameters
    seed: int
    device: torch.device
    init: Initial | None = None
    augmenting: Augmenting | None = None
    unlabelled: Unlabelled | None = None
    keep_last: bool = False


def check_items(plan: Plan, store: Store, used: Sequence[int]) -> int | None:
    """Return the items' length in frames if the network or its statistics need one, else None.

    Raises InputError where the items do not suit the network, UsageError where the plan does not.
    """
    model, name, path = plan.model, plan.model.name, show(store.path)
    _check_kind(model, store)
    _check_pixels(plan.hp.normalisation, store)
    store.check_room(used, 1 + PREPARED / store.dtype.itemsize, f" in {name}")
    lengths = store.lengths()[list(used)]
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest == 0:
        raise InputError(f"{path}: an item without any frames")
    if model.pictures and longest > 1:
        raise InputError(f"{path}: an item of {longest} pictures; {name} takes one per item")
    per_cell = plan.hp.normalisation in statistics.CELLS
    if not model.fixed_length and not per_cell:
        _try(plan, store, used[0], None)
        return None
    if plan.augmenting and (
        resizing := [key for key, one in plan.augmenting.augmentations.items() if one.resizes]
    ):
        why = name if model.fixed_length else f"--normalisation {plan.hp.normalisation}"
        raise UsageError(
            f"--augment {', '.join(resizing)}: {why} needs items of one length; leave it out"
        )
    uneven = model.takes_shorter and not per_cell
    if shortest != longest and not uneven:
        why = name if model.fixed_length else f"--normalisation {plan.hp.normalisation}"
        or_set = model.shorter_by and not model.takes_shorter
        raise InputError(
            f"{path}: {why} needs items of one length, and these have {shortest} to"
            f" {longest} frames; featurize with --duration S --fit both"
            + (f", or --set {model.shorter_by}" if or_set else "")
        )
    _try(plan, store, used[0], longest)
    return longest


def _check_kind(model: Network, store: Store) -> None:
    """Raise InputError where a store does not hold what the network takes."""
    rate, axes = model.sample_rate, len(store.shape)
    wanted = "pictures (image)" if model.pictures else "features over time (mel, mfcc, …)"
    fits = axes == (3 if model.pictures else 1) or (model.layered and axes == 2)
    if rate is not None:
        wanted, fits = f"waveforms at {rate} Hz", store.kind == "wave" and store.sample_rate == rate
    if fits:
        return
    held = f"{store.kind} at {store.sample_rate} Hz" if rate else store.kind
    how = f"--kind wave --sample-rate {rate}" if rate else "another --kind"
    if axes == 2:
        how = "--set layer=N --set pool=none, or use --model probe"
    raise InputError(
        f"{show(store.path)}: {model.name} needs {wanted}, and this store holds {held}; featurize"
        f" with {how}"
    )


def _try(plan: Plan, store: Store, item: int, frames: int | None) -> None:
    """Raise InputError, with the file, where no network can be built for items like this one.

    UsageError where the network cannot be trained as the plan says.
    """
    model = plan.model
    shape = Source(store, model.view).seen(item).shape[1:]
    try:
        with torch.device("meta"):
            model.build(frames if model.fixed_length else None, shape, 2)
    except InputError as error:
        raise InputError(f"{show(store.path)}: {error}") from error
    if model.own_loss and (
        plan.hp.length_weights != "none"
        or plan.hp.loss_norm != "sum_w"
        or plan.hp.mixup
        or plan.hp.label_smoothing
    ):
        raise UsageError(
            "--length-weights, --loss-norm, --mixup and --label-smoothing:"
            f" {model.name} has a loss of its own"
        )


def check_classifier(model: Network) -> None:
    """Raise InputError where the package that its classifier needs is not installed."""
    classifier = model.classifier()
    needs = classifier and classifier.needs
    if needs and importlib.util.find_spec(needs) is None:
        raise InputError(f"{model.name}: its classifier needs {needs}, which is not installed")


def _check_pixels(normalisation: str, store: Store) -> None:
    """Raise InputError for a normalisation of pixel values where the store holds none."""
    if normalisation not in statistics.PIXELS:
        return
    path = show(store.path)
    if store.dtype != np.uint8:
        raise InputError(
            f"{path}: --normalisation {normalisation} is for pictures, and this store holds"
            f" {store.kind}"
        )
    if normalisation == "imagenet" and store.shape[-1] != 3:
        raise InputError(
            f"{path}: --normalisation imagenet needs three channels, and these have"
            f" {store.shape[-1]}; featurize in colour, or use --normalisation unit"
        )


def train_network(
    plan: Plan,
    store: Store,
    division: Division,
    targets: Sequence[Target | Numbers],
    frames: int | None,
    parts: Parts | None,
    console: Console,
) -> Fitted:
    """Fit statistics and weights on the division's training part; see `loop.fit`.

    parts: keeps the state between epochs; None where another process does.
    """
    devices.prepare(plan.device)
    _say_short(plan, store, division, console)
    model = plan.model
    source = Source(store, model.view)
    source.statistics = statistics.fit(
        (source.seen(i) for i in division.train), plan.hp.normalisation
    )
    outputs = sum(target.outputs for target in targets)
    shape = source.seen(division.train[0]).shape[1:]
    loop.seed_torch(plan.seed, "init")
    network = model.build(frames if model.fixed_length else None, shape, outputs)
    given = initialise(network, plan, targets, console)
    task = loop.Task(
        model,
        source,
        plan.augmenting.places(division.train) if plan.augmenting else division.train,
        division.val,
        _weighted(plan.hp, store, division, targets),
        plan.hp,
        plan.seed,
        plan.device,
        given,
        "training" if division.fold is None else f"fold {division.fold}",
        plan.augmenting,
        spread=Spread.here(),
    )
    saver = Saver(parts)
    if not saver.has_state:
        _first_stage(network, plan, source, division, given, console)
    history: list[loop.Epoch] = []
    last: dict[str, torch.Tensor] = {}
    if any(p.requires_grad for p in network.parameters()):
        run = loop.fit(network, task, saver, console)
        history = run.history
        if plan.keep_last:
            last = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(run.best)
        del run  # with the optimiser's state
    else:
        devices.place(network, plan.device)
    fitted = source.statistics

    def finished(epoch: int) -> Fitted:
        made = _trained(plan, network, history, epoch, fitted, targets, frames, shape)
        _fit_classifier(made, network, plan, source, division, targets[0], console)
        return made

    trained = finished(loop.best_epoch(history, plan.hp.monitor) + 1)
    if plan.keep_last and last:
        network.load_state_dict(last)
        trained.last = finished(len(history))
    return trained


def _first_stage(
    network: nn.Module,
    plan: Plan,
    source: Source,
    division: Division,
    given: frozenset[str],
    console: Console,
) -> None:
    """Fit what the network learns before gradient descent, unless `--init` has `given` it."""
    parts = plan.model.first_stage_tensors
    wanted = {name for name in network.state_dict() if any(p in name.split(".") for p in parts)}
    if not wanted:
        return
    if wanted <= given:
        console.note("the first stage comes from --init")
        return
    statistics = source.statistics
    assert statistics is not None
    items, lengths = source.store.items(), source.store.lengths()
    train = Examples(
        lengths[np.asarray(division.train)],
        lambda i: statistics.apply(source.seen(division.train[i])),
        tuple(items[i].id for i in division.train),
    )
    more = plan.unlabelled.examples if plan.unlabelled else None
    plan.model.first_stage(network, train, more, plan.seed, console.note)


def _fit_classifier(
    trained: Fitted,
    network: nn.Module,
    plan: Plan,
    source: Source,
    division: Division,
    target: Target | Numbers,
    console: Console,
) -> None:
    """Fit the classifier that decides by the network's rows, if there is one.

    It learns from the training and the validation part: what the latter chose is chosen by now.
    """
    classifier = plan.model.classifier()
    if classifier is None:
        return
    assert isinstance(target, Target)
    network.eval()
    rows, owners = [], []
    used = np.array(sorted(division.train + division.val), np.int64)
    known = used[target.known(used)].tolist()
    with console.progress(len(known), f"rows for {classifier.name}") as progress:
        for i in known:
            x, lengths, _ = source.batch([i])
            with torch.inference_mode():
                there = [torch.from_numpy(a).to(plan.device) for a in (x, lengths)]
                found = network(*there)[0].cpu().double().numpy()
            rows.append(np.atleast_2d(found))
            owners += [i] * len(rows[-1])
            progress.advance()
    items = source.store.items()
    of = [items[i] for i in owners]
    arrays, odd = fit_rows(classifier, np.concatenate(rows), target, of, owners)
    for text in odd:
        console.warn(f"{classifier.name}: {text}")
    if described := classifier.describe(arrays):
        console.note(f"{classifier.name}: {described}")
    trained.tensors |= {f"head.{key}": value for key, value in arrays.items()}
    trained.model.head = Named(classifier.name, asdict(classifier.settings))


def _weighted(
    hp: Hyperparameters, store: Store, division: Division, targets: Sequence[Target | Numbers]
) -> Sequence[Target | Numbers]:
    """Return the targets, with a weight for each item where the loss needs them."""
    if hp.length_weights == "none" and hp.loss_norm == "sum_w":
        return targets
    items, lengths = store.items(), store.lengths()
    return [
        weigh_items(target, items, division.train, lengths, hp.length_weights)
        for target in targets
        if isinstance(target, Target)
    ]


def _say_short(plan: Plan, store: Store, division: Division, console: Console) -> None:
    """Say how many items are zero-padded because they are too short for the network."""
    shortest = plan.model.shortest
    lengths = store.lengths()[division.train + division.val]
    short = int((lengths < shortest).sum())
    if short:
        console.note(
            f"{short} of {len(lengths)} items are shorter than {shortest} frames and are"
            " zero-padded"
        )


def _trained(
    plan: Plan,
    network: nn.Module,
    history: list[loop.Epoch],
    epoch: int,
    fitted: statistics.Statistics,
    targets: Sequence[Target | Numbers],
    frames: int | None,
    shape: tuple[int, ...],
) -> Fitted:
    """Return the network's weights and statistics, those after `epoch`, and what describes them.

    Raises InputError where training ended in weights that are not finite.
    """
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise InputError("training ended with weights that are not finite; try a lower --lr")
    tensors: dict[str, Any] = {f"model.{name}": value for name, value in weights.items()}
    tensors |= {"statistics.mean": fitted.mean, "statistics.sd": fitted.sd}
    model = Model(
        name=plan.model.name,
        settings=asdict(plan.model.settings),
        parameters=sum(p.numel() for p in network.parameters()),
        frames=frames if plan.model.fixed_length else None,
        inputs=list(shape),
        outputs=sum(target.outputs for target in targets),
        normalisation=plan.hp.normalisation,
        heads=[Head(target.field, target.names, target.weight) for target in targets],
    )
    return Fitted(tensors, model, history, epoch)


def initialise(
    network: nn.Module, plan: Plan, targets: Sequence[Target | Numbers], console: Console
) -> frozenset[str]:
    """Copy the tensors of `plan.init` that fit into `network`; return the names of those copied.

    The last layer is copied only where its logits meant these very classes, in this order.
    Raises InputError where nothing fits, or what fits holds numbers that are not finite.
    """
    init = plan.init
    if init is None:
        return frozenset()
    own = network.state_dict()
    same = init.classes == [target.names for target in targets]
    wanted = set(own) if same else set(own) - last_layer(network)
    given = {name: init.tensors[name] for name in wanted & set(init.tensors)}
    fitting = {name: t for name, t in given.items() if t.shape == own[name].shape}
    if not fitting:
        raise InputError(f"--init {show(init.path)}: {_why_not(init.tensors, own)}")
    for name, tensor in sorted(fitting.items()):
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"--init {show(init.path)}: {show(name)} holds numbers that are not finite"
            )
        own[name].copy_(tensor)
    why = "unknown" if init.classes is None else "others"
    last = "" if same else f" (the last layer because its classes are {why})"
    rest = f", {len(own) - len(fitting)} start afresh{last}" if len(fitting) < len(own) else ""
    console.note(f"{len(fitting)} of {len(own)} tensors come from --init{rest}")
    return frozenset(fitting)


def last_layer(network: nn.Module) -> set[str]:
    """Return the names of the tensors of the layer that holds the network's last parameter."""
    owner = [name for name, _ in network.named_parameters()][-1].rpartition(".")[0]
    return {name for name in network.state_dict() if name.rpartition(".")[0] == owner}


def _why_not(given: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> str:
    """Return why none of `given` fits: the first tensor on each side, with its shape."""

    def first(tensors: Mapping[str, torch.Tensor]) -> str:
        name, tensor = next(iter(tensors.items()), ("nothing", torch.empty(0)))
        return f"{show(name)} {' × '.join(map(str, tensor.shape))}"

    return (
        "none of its tensors fits this network and these features"
        f" (its first is {first(given)}, the network's {first(own)})"
    )
