"""Weights of a fused checkpoint: as given, or those that suit items which no member trained on.

A member that was trained on an item says it too surely, so weights are fitted to what was held
back: to what the members validated on, or to what fused checkpoints of the same models held out
that were trained on less (inner folds). Whatever such a checkpoint knows, the fused one knows, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.evaluation import audit
from sertool.evaluation.facts import FACTS
from sertool.evaluation.fused import Fused, FusedScorer, by_speaker, take_apart, union
from sertool.evaluation.heldout import CheckpointTest, check_contract
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.fitted import TRAINED_PARTS
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import create, speaker_store
from sertool.models.scoring import Scorer
from sertool.targets import class_names
from sertool.ui.console import Console
from sertool.ui.words import plural

ROUNDS = 2000  # of expectation and maximisation, at most
CONVERGED = 1e-9  # change of a weight


@dataclass(frozen=True)
class Judge:
    """A fused checkpoint whose items, apart from its training, judge its members.

    path: of an inner one, which is judged by what it held out; else by what was validated on.
    """

    checkpoint: Checkpoint
    path: Path | None = None

    @property
    def items(self) -> list[Item]:
        """The items, without copies."""
        part = "test" if self.path else "val"
        return [item for item in self.checkpoint.part(part) if not item.augmentation]

    @property
    def trained(self) -> list[Item]:
        """What the members were fitted to, and chosen by if that does not judge."""
        parts = TRAINED_PARTS if self.path else ("train",)
        return [item for item in self.checkpoint.items if item.part in parts]


def weighted(checkpoint: Checkpoint, weights: Sequence[float]) -> Checkpoint:
    """Return a fused checkpoint with other weights, scaled to a sum of 1.

    Raises UsageError for another number of weights than of members, or a sum of 0.
    """
    model = checkpoint.meta["model"]
    members = model["settings"]["members"]
    total = sum(weights)
    if len(weights) != len(members) or not total > 0 or min(weights) < 0:
        raise UsageError(f"--weights: needs {len(members)} numbers, not negative nor all 0")
    settings = model["settings"] | {"weights": [float(w) / total for w in weights]}
    meta = checkpoint.meta | {"model": model | {"settings": settings}}
    return dataclasses.replace(checkpoint, meta=meta)


def fitted(
    checkpoint: Checkpoint, store_path: Path, inner: Mapping[Path, Checkpoint], console: Console
) -> Checkpoint:
    """Return a fused checkpoint with the weights that suit a store's items best.

    Those that its members validated on; or those that the checkpoints of `inner` held out, fused
    from the same models, which must not know what `checkpoint` holds out.
    Raises InputError for a store of other features or without such items, and for an inner
    checkpoint that does not go with it; UsageError for checkpoints of numbers.
    """
    if not checkpoint.header.classes:
        raise UsageError("--fit-on: is of classes, and these models say numbers")
    made = checkpoint
    for path, one in inner.items():
        made = _with(made, checkpoint, one, show(path))
    judges = [Judge(one, path) for path, one in inner.items()] or [Judge(checkpoint)]
    _say_known(judges, checkpoint, console)
    found = [_said(judge, store_path) for judge in judges]
    _check_once([name for _, _, ids in found for name in ids])
    shares = np.concatenate([shares for shares, _, _ in found], 1)
    truth = np.concatenate([truth for _, truth, _ in found])
    where = f"held out by {plural(len(inner), 'inner fold')}" if inner else "of validation"
    console.note(f"weights fitted to {plural(len(truth), 'item')} {where}")
    return weighted(made, best_weights(shares, truth).tolist())


def _with(made: Checkpoint, outer: Checkpoint, inner: Checkpoint, name: str) -> Checkpoint:
    """Return `made` with what an inner checkpoint knows among its items, as validated on at least.

    Raises InputError where the inner one is of other models, or knows what `outer` holds out: a
    recording, a copy of it, a speaker, whatever `outer` itself is apart in.
    """
    if inner.header.model.name != Fused.name:
        raise InputError(f"{name}: is no fused checkpoint; fuse the models of the inner fold first")
    mine, theirs = _members(inner), _members(outer)
    for what, own in mine.items():
        if own != theirs[what]:
            raise InputError(
                f"{name}: its members' {what} are not, in this order, those of the members here;"
                " train and fuse them alike"
            )
    known = [dataclasses.replace(i, part="val") if i.part == "test" else i for i in inner.items]
    items = union([made, dataclasses.replace(inner, items=known)])
    held, pipeline = outer.part("test"), outer.meta["pipeline"]
    before = audit.protocol(outer.items, held, pipeline)
    after = audit.protocol(items, held, pipeline)
    for fact, what in FACTS.items():
        if before.facts[fact] is not False and after.facts[fact] is False:
            raise InputError(
                f"{name}: knows what the members hold out ({after.shared[what]} {what} shared);"
                " train its models without that fold (--where 'fold!=K')"
            )
    return dataclasses.replace(made, items=items)


def _members(checkpoint: Checkpoint) -> dict[str, list[Any]]:
    """Return what must be the same of two fused checkpoints' members, settings with defaults."""
    members = take_apart(checkpoint)
    models = [one.header.model for one in members]
    return {
        "models": [model.name for model in models],
        "settings": [create(model.name, model.settings).settings for model in models],
        "features": [one.meta["pipeline"] for one in members],
        "classes": checkpoint.header.outputs,
    }


def _say_known(judges: Sequence[Judge], outer: Checkpoint, console: Console) -> None:
    """Warn where the judges share speakers with the training, and the test does not."""

    def apart(trained: Sequence[Item], tested: Sequence[Item]) -> bool | None:
        return audit.compare(trained, tested)[0]["speaker_disjoint"]

    tested = [item for item in outer.items if item.part in TRAINED_PARTS], outer.part("test")
    if apart(*tested) and any(apart(one.trained, one.items) is False for one in judges):
        console.warn(
            "the weights suit speakers that the members were trained on, and those of the test are"
            " others: hold speakers back (--val-speakers, --val-fold, inner folds of speakers)"
        )


def _said(judge: Judge, store_path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return posteriors (members, items, classes), truth (items,) and ids of what judges."""
    checkpoint = judge.checkpoint
    header, pipeline = checkpoint.header, checkpoint.meta["pipeline"]
    test = CheckpointTest(judge.path or store_path, header, pipeline, checkpoint.items, "")
    wanted = {item.id for item in judge.items}
    with _opened(store_path, checkpoint) as store:
        check_contract(test, store)
        items = store.items()
        names = class_names(items, test.target, "--target")
        classes = header.classes or []
        chosen = [i for i, item in enumerate(items) if item.id in wanted and names[i] in classes]
        if not chosen:
            raise InputError(_none(judge, store_path))
        scorer = Scorer.of(checkpoint)
        assert isinstance(scorer, FusedScorer)
        shares = np.concatenate([scorer.each([store.features(i)]) for i in chosen], 1)
    truth = np.array([scorer.classes.index(str(names[i])) for i in chosen])
    return shares, truth, [items[i].id for i in chosen]


def _opened(path: Path, checkpoint: Checkpoint) -> Store:
    return speaker_store.opened(path, by_speaker(checkpoint.meta["protocol"]))


def _none(judge: Judge, store_path: Path) -> str:
    if judge.path:
        return f"{show(store_path)}: has none of the items that {show(judge.path)} held out"
    return (
        f"{show(store_path)}: has none of the items that the members validated on; train"
        " with --val, --val-fold or --val-speakers, or name --inner checkpoints"
    )


def _check_once(ids: Sequence[str]) -> None:
    """Raise InputError where an item would judge twice."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise InputError(f"--inner: {show(name)} is held out by two of them")
        seen.add(name)


def best_weights(shares: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the weights (members,) of the mean that makes the truth likeliest.

    shares: posteriors (members, items, classes); truth: class indices (items,). The likelihood of a
    mixture is concave in its weights, and expectation-maximisation from equal ones climbs to its
    maximum (Dempster, Laird & Rubin 1977, section 4.3).

    >>> right, guess = np.array([[0.9, 0.1]] * 4), np.array([[0.5, 0.5]] * 4)
    >>> best_weights(np.stack([right, guess]), np.zeros(4, int)).round(3).tolist()
    [1.0, 0.0]
    """
    likelihood = np.maximum(shares[:, np.arange(len(truth)), truth], 1e-12)  # (members, items)
    weights = np.full(len(shares), 1 / len(shares))
    for _ in range(ROUNDS):
        joint = weights[:, np.newaxis] * likelihood
        new = (joint / joint.sum(0)).mean(1)
        if np.abs(new - weights).max() < CONVERGED:
            break
        weights = new
    return weights
