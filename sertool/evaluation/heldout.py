"""What checkpoints are tested on: the items that they held out, and whether that is a fair test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.corpora.where import select
from sertool.evaluation import audit
from sertool.evaluation.routing import Routes
from sertool.formats import checkpoint, lineage
from sertool.formats.fitted import seen
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import per
from sertool.targets import class_names
from sertool.ui.console import Console

LISTED = 3  # ids or differences named in a message


@dataclass
class Plan:
    """One checkpoint and what it is tested on: indices of the store's items."""

    path: Path
    meta: dict[str, Any]
    items: list[Item]
    sha256: str
    tested: list[int] = field(default_factory=list)
    protocol: dict[str, Any] = field(default_factory=dict)
    routes: Routes = field(default_factory=Routes)

    @property
    def target(self) -> str:
        """The field of an item that the checkpoint's model says."""
        return str(self.meta.get("target") or "label")


def load_plan(path: Path) -> Plan:
    """Return a checkpoint's facts and items, its weights let go."""
    loaded = checkpoint.load(path)
    return Plan(path, loaded.meta, loaded.items, lineage.file_sha256(path))


def common_classes(plans: Sequence[Plan]) -> list[str]:
    """Return the classes that all plans share, in their order.

    Raises InputError where models or classes differ: those are no folds of one experiment.
    """
    first = plans[0]
    for plan in plans[1:]:
        for what, mine, theirs in (
            ("model", _model(plan), _model(first)),
            ("target", plan.target, first.target),
            ("models", _models(plan), _models(first)),
            ("weights", _weights(plan), _weights(first)),
            ("classes", ", ".join(plan.meta["classes"]), ", ".join(first.meta["classes"])),
        ):
            if mine != theirs:
                raise InputError(
                    f"{show(plan.path)}: its {what} ({mine}) differ from those of"
                    f" {show(first.path)} ({theirs}); folds of one experiment are pooled"
                )
    return list(first.meta["classes"])


def _model(plan: Plan) -> str:
    return str((plan.meta.get("model") or {}).get("name"))


def _models(plan: Plan) -> str:
    field = per.field_of(plan.meta)
    return "one" if field is None else f"one per {field}"


def _weights(plan: Plan) -> str:
    return f"of the {plan.meta.get('kept', 'best')} epoch"


def _featurized(pipeline: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the stages that make features: augmentation may differ between training and test.

    What a stage was fitted to follows from the content of what it uses, wherever that lies.
    """
    found = []
    for stage in pipeline:
        if stage.get("stage") == "augment":
            continue
        kept = {name: value for name, value in stage.items() if name != "fitted_on"}
        settings = stage.get("settings")
        if isinstance(settings, dict) and settings.get("sha256"):
            kept["settings"] = {k: v for k, v in settings.items() if k != "checkpoint"}
        found.append(kept)
    return found


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}{key}." if isinstance(inner, dict) else prefix + key)
    else:
        yield prefix, value


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return "NAME is A, not B" for every setting in which two descriptions differ."""
    left, right = dict(_flat(mine)), dict(_flat(theirs))
    return [
        f"{name.removeprefix('settings.')} is {left.get(name)}, not {right.get(name)}"
        for name in [*left, *(name for name in right if name not in left)]
        if left.get(name) != right.get(name)
    ]


def check_contract(path: Path, meta: dict[str, Any], store: Store) -> None:
    """Raise InputError where the store's features are not those that the checkpoint was fed."""
    mine, theirs = _featurized(store.pipeline), _featurized(meta["pipeline"])
    found: list[str] = []
    if len(mine) != len(theirs):
        found.append(f"it has {len(mine)} featurize stages, not {len(theirs)}")
    else:
        for left, right in zip(mine, theirs, strict=True):
            found += differences(left, right)
    ours = {"kind": store.kind, "sample rate": store.sample_rate, "frame rate": store.frame_rate}
    trained = {name: meta.get(name.replace(" ", "_"), value) for name, value in ours.items()}
    if not found:
        found += differences(ours, trained)
    if found:
        more = f", and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise InputError(
            f"{show(store.path)}: not the features that {show(path)} was trained on:"
            f" {', '.join(found[:LISTED])}{more}; featurize with the same settings"
        )


def choose(
    plans: Sequence[Plan],
    store: Store,
    classes: Sequence[str],
    *,
    every: bool,
    copies: bool,
    where: Sequence[str] = (),
    console: Console,
) -> None:
    """Set what each plan tests: the items it held out, found in the store by id.

    every: all items instead. copies: augmented copies too. where: conditions that a tested item
    fulfils, too. Items without a label, or of a class
    that the model does not know, are left out. Raises InputError where a checkpoint held nothing
    out, the store lacks what it held out, two checkpoints held out one item, or nothing is left;
    UsageError for a condition that is none or of a field that no item has.
    """
    meant = {item["id"] for item in select(store.items(), where)}
    items = store.items()
    names = class_names(items, plans[0].target, "--target")
    index = {item["id"]: i for i, item in enumerate(items)}
    if len(index) != len(items):
        raise InputError(f"{show(store.path)}: two items have one id")
    for plan in plans:
        chosen = list(range(len(items))) if every else _held_out(plan, store, index, copies)
        chosen = [i for i in chosen if copies or not items[i]["augmentation"]]
        plan.tested = [i for i in chosen if items[i]["id"] in meant]
        if len(plan.tested) < len(chosen):
            console.note(f"--where: {len(plan.tested)} of {len(chosen)} items are tested")
    if not every:
        _check_overlap(plans, items)
        known = {item["id"] for plan in plans for item in plan.items}
        strangers = sum(item["id"] not in known and not item["augmentation"] for item in items)
        if strangers:
            what = "the checkpoint" if len(plans) == 1 else "the checkpoints"
            console.note(f"{strangers} items that {what} never saw are not tested; --all does")
    skipped = 0 if copies else sum(bool(item["augmentation"]) for item in items)
    if skipped:
        console.note(f"{skipped} augmented copies are not tested; --copies counts them in")
    _leave_out(plans, names, classes, console)


def _held_out(plan: Plan, store: Store, index: dict[str, int], copies: bool) -> list[int]:
    held = [item for item in plan.items if item["part"] == "test"]
    if not held:
        raise InputError(
            f"{show(plan.path)}: held no items out; --all tests every item of {show(store.path)}"
        )
    wanted = [item["id"] for item in held if copies or not item["augmentation"]]
    missing = [name for name in wanted if name not in index]
    if missing:
        raise InputError(
            f"{show(store.path)}: lacks {len(missing)} of the {len(wanted)} items that"
            f" {show(plan.path)} held out ({', '.join(map(show, missing[:LISTED]))}"
            f"{', …' if len(missing) > LISTED else ''}); give the store it was trained from,"
            " or --all to test on another"
        )
    return sorted(index[name] for name in wanted)


def _check_overlap(plans: Sequence[Plan], items: Sequence[Item]) -> None:
    owner: dict[int, Plan] = {}
    for plan in plans:
        for i in plan.tested:
            if i in owner:
                raise InputError(
                    f"{show(items[i]['id'])}: held out by {show(owner[i].path)} and by"
                    f" {show(plan.path)}; pool checkpoints of one partition into folds, or"
                    " test them one by one"
                )
            owner[i] = plan


def _leave_out(
    plans: Sequence[Plan],
    names: Sequence[str | None],
    classes: Sequence[str],
    console: Console,
) -> None:
    """Drop tested items without a class, or of one that the model does not know.

    names: the class of every item of the store, None where it is unknown.
    """
    unlabelled = 0
    unknown: dict[str, int] = {}
    for plan in plans:
        keep = []
        for i in plan.tested:
            name = names[i]
            if name is None:
                unlabelled += 1
            elif name in classes:
                keep.append(i)
            else:
                unknown[name] = unknown.get(name, 0) + 1
        plan.tested = keep
    if unlabelled:
        console.warn(f"{unlabelled} items without a {plans[0].target} are left out")
    if unknown:
        named = ", ".join(f"{show(label)} {n}" for label, n in sorted(unknown.items()))
        console.warn(
            f"{sum(unknown.values())} items of classes that the model does not know are left out"
            f" ({named}); prepare --labels maps them"
        )
    for plan in plans:
        if not plan.tested:
            raise InputError(f"{show(plan.path)}: nothing left to test it on")


def protocol(plans: Sequence[Plan], store: Store) -> dict[str, Any]:
    """Return the protocol of all plans together; each plan keeps its own.

    What the checkpoints declare of their split (`resplit`, `unit`, …) stands beside the computed
    facts, and in the common protocol where they agree.
    """
    items = store.items()
    declared = [plan.meta.get("protocol") or {} for plan in plans]
    trained = [item for plan in plans for item in seen(plan.items, plan.meta["pipeline"])]
    near = audit.near(trained, [items[i] for plan in plans for i in plan.tested])
    for plan, said in zip(plans, declared, strict=True):
        tested = [items[i] for i in plan.tested]
        plan.protocol = said | audit.protocol(
            plan.items, tested, plan.meta["pipeline"], near, plan.meta.get("augment")
        )
    common = {
        key: value
        for key, value in declared[0].items()
        if all(said.get(key) == value for said in declared)
    }
    tested = [items[i] for plan in plans for i in plan.tested]
    return common | audit.combine([plan.protocol for plan in plans], tested)


def require(facts: dict[str, Any], names: Sequence[str]) -> None:
    """Raise InputError for the first of `names` that is not known to hold.

    facts: each fact's state, and `shared`; one that a stronger fact breaks does not hold either.
    """
    for name in names:
        broken = [fact for fact in audit.STRONGER.get(name, ()) if facts[fact] is False]
        if broken or facts[name] is not True:
            fact = (broken or [name])[0]
            what = audit.FACTS[fact]
            shared = facts["shared"].get(what)
            reason = f"{shared} {what} shared" if facts[fact] is False else f"{what} unknown"
            raise InputError(f"--require {name.replace('_', '-')} does not hold: {reason}")
