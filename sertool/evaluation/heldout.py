"""What checkpoints are tested on: the items that they held out, and whether that is a fair test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.audio import LONG
from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.corpora.where import select
from sertool.evaluation import audit, contamination
from sertool.evaluation.facts import FACTS
from sertool.evaluation.report import EncoderUsed, Protocol, States
from sertool.evaluation.routing import Routes
from sertool.features.spec import in_windows
from sertool.formats import checkpoint, lineage
from sertool.formats.fitted import seen
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import speakers
from sertool.targets import NUMBERED, class_names, known_numbers, numbers
from sertool.ui.console import Console
from sertool.votes import SOFT, votes_of

if TYPE_CHECKING:
    from sertool.features.pipeline import Pipeline

_SEGMENT = re.compile(r"#\d+")
UNCUT = {"segment": None, "segment_hop": None, "segment_tail": "align", "segment_max": None}
NAMED_BY_CONTENT = ("checkpoint", "model")  # settings beside a `sha256` that says the same
LISTED = 3  # ids or differences named in a message


@dataclass
class CheckpointTest:
    """One checkpoint and what it is tested on: indices of the store's items.

    windowed: whether they are the windows in which `predict` hears what it was trained on whole,
    or cropped.
    """

    path: Path
    header: checkpoint.Header
    pipeline: list[dict[str, Any]]
    items: list[Item]
    sha256: str
    windowed: bool = False
    tested: list[int] = field(default_factory=list)
    protocol: Protocol = field(default_factory=Protocol)
    routes: Routes = field(default_factory=Routes)

    @property
    def target(self) -> str:
        """The field of an item that the checkpoint's model says."""
        return self.header.target or "label"


def load_test(path: Path) -> CheckpointTest:
    """Return a checkpoint's facts and items, its weights let go."""
    loaded = checkpoint.load(path)
    pipeline = loaded.meta["pipeline"]
    return CheckpointTest(path, loaded.header, pipeline, loaded.items, loaded.identity)


def common_classes(tests: Sequence[CheckpointTest]) -> list[str]:
    """Return the classes that all tests share, in their order; of numbers, what stands for one.

    Raises InputError where models or classes differ: those are not folds of one experiment.
    """
    first = tests[0]
    for test in tests[1:]:
        for what, mine, theirs in (
            ("model", test.header.model.name, first.header.model.name),
            ("target", test.target, first.target),
            ("models", _models(test), _models(first)),
            ("weights", _weights(test), _weights(first)),
            ("normalisation", _features(test), _features(first)),
            ("targets", _learned(test), _learned(first)),
            ("classes", ", ".join(test.header.outputs), ", ".join(first.header.outputs)),
            ("kind", _kind(test), _kind(first)),
        ):
            if mine != theirs:
                raise InputError(
                    f"{show(test.path)}: its {what} ({mine}) differ from those of"
                    f" {show(first.path)} ({theirs}); only folds of one experiment can be pooled"
                )
    return first.header.classes or [NUMBERED]


def _kind(test: CheckpointTest) -> str:
    return "numbers" if test.header.numbers else "classes"


def _models(test: CheckpointTest) -> str:
    per = test.header.per
    return "one" if per is None else f"one per {per.field}"


def _weights(test: CheckpointTest) -> str:
    return f"of the {test.header.kept or 'best'} epoch"


def _features(test: CheckpointTest) -> str:
    return "by speaker" if speakers.declared(test.header) else "as they are"


def _learned(test: CheckpointTest) -> str:
    return "shares of votes" if (test.header.protocol or {}).get(SOFT) else "labels"


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
            kept["settings"] = {k: v for k, v in settings.items() if k not in NAMED_BY_CONTENT}
        found.append(kept)
    return found


def features_sha256(pipeline: Pipeline) -> str:
    """Return the hash of the stages that make features: equal stages, equal features."""
    stages = _featurized([stage.to_dict() for stage in pipeline.stages])
    return hashlib.sha256(lineage.canonical(stages).encode()).hexdigest()


def _gathered(stages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return stages with whatever cuts segments in the first: to cut later makes no difference."""
    made = [dict(stage) for stage in stages]
    for stage in made[1:]:
        if stage.get("segment") or stage.get("segment_max"):
            for name, default in UNCUT.items():
                made[0][name], stage[name] = stage.get(name, default), default
    if made and made[0].get("duration") is None:
        made[0]["fit"] = None  # it fits nothing
    return made


def _in_windows(stages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the stages whose items are the windows in which `predict` hears a recording."""
    made = [dict(stage) for stage in stages]
    if made and not any(stage.get("segment") or stage.get("segment_max") for stage in made):
        seconds, crops = made[0].get("duration"), made[0].get("fit") != "pad"
        made[0] |= in_windows(seconds) if seconds and crops else {"segment_max": LONG}
    return _gathered(made)


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


def check_contract(test: CheckpointTest, store: Store) -> None:
    """Raise InputError where the store's features are not those that the checkpoint was fed.

    The windows in which `predict` hears a recording will do as well: `test.windowed` says so.
    """
    mine, theirs = _featurized(store.pipeline), _featurized(test.pipeline)
    test.windowed = mine != theirs and _gathered(mine) == _in_windows(theirs)
    found: list[str] = []
    if test.windowed:
        pass
    elif len(mine) != len(theirs):
        found.append(f"it has {len(mine)} featurize stages, not {len(theirs)}")
    else:
        for left, right in zip(mine, theirs, strict=True):
            found += differences(left, right)
    ours = {"kind": store.kind, "sample rate": store.sample_rate, "frame rate": store.frame_rate}
    made = {name: getattr(test.header, name.replace(" ", "_")) for name in ours}
    trained = {name: ours[name] if value is None else value for name, value in made.items()}
    if not found:
        found += differences(ours, trained)
    if found:
        more = f", and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise InputError(
            f"{show(store.path)}: not the features that {show(test.path)} was trained on:"
            f" {', '.join(found[:LISTED])}{more}; featurize with the same settings"
        )


def choose(
    tests: Sequence[CheckpointTest],
    store: Store,
    classes: Sequence[str],
    *,
    every: bool,
    copies: bool,
    where: Sequence[str] = (),
    console: Console,
) -> None:
    """Set what each test tests: the items it held out, found in the store by id.

    An item without a label is tested too, by its votes, where it has some for the model's classes.

    every: all items instead. copies: augmented copies too. where: conditions that a tested item
    fulfils, too. Items without a label, or of a class
    that the model does not know, are left out. Raises InputError where a checkpoint held nothing
    out, the store lacks what it held out, two checkpoints held out one item, or nothing is left;
    UsageError for a condition that is none or of a field that no item has.
    """
    meant = {item.id for item in select(store.items(), where)}
    items = store.items()
    if fields := tests[0].header.fields:
        names = known_numbers(numbers(items, fields))
    else:
        names = class_names(items, tests[0].target, "--target")
    if len({item.id for item in items}) != len(items):
        raise InputError(f"{show(store.path)}: two items have the same id")
    for test in tests:
        chosen = list(range(len(items))) if every else _held_out(test, store, copies)
        chosen = [i for i in chosen if copies or not items[i].augmentation]
        test.tested = [i for i in chosen if items[i].id in meant]
        if len(test.tested) < len(chosen):
            console.note(f"--where: {len(test.tested)} of {len(chosen)} items are tested")
    if not every:
        _check_overlap(tests, items)
        known = {item.id for test in tests for item in test.items}
        strangers = sum(
            (file_of(item) if tests[0].windowed else item.id) not in known and not item.augmentation
            for item in items
        )
        if strangers:
            what = "the checkpoint" if len(tests) == 1 else "the checkpoints"
            console.note(
                f"{strangers} items that {what} never saw are not tested; --all tests them too"
            )
    skipped = 0 if copies else sum(bool(item.augmentation) for item in items)
    if skipped:
        console.note(f"{skipped} augmented copies are not tested; --copies includes them")
    voted = [False] * len(items)
    if not fields and tests[0].target == "label":
        voted = [any(name in classes for name in votes_of(item) or ()) for item in items]
    _leave_out(tests, names, voted, classes, console)
    if any(voted):
        mine = {i for test in tests for i in test.tested if voted[i]}
        _say_strange([items[i] for i in mine], classes, console)


def _say_strange(tested: Iterable[Item], classes: Sequence[str], console: Console) -> None:
    """Say which votes are for classes that the model does not know."""
    strange: dict[str, float] = {}
    for item in tested:
        for name, n in (votes_of(item) or {}).items():
            if name not in classes:
                strange[name] = strange.get(name, 0) + n
    named = ", ".join(f"{show(name)} {n:g}" for name, n in sorted(strange.items()))
    if named:
        console.note(f"votes for classes that the model does not know do not count: {named}")


def file_of(item: Item) -> str:
    """Return what an item is a segment of: its utterance, or one augmented copy of it."""
    origin = item.origin or item.id
    if not item.id.startswith(origin):
        return item.id
    return origin + _SEGMENT.sub("", item.id[len(origin) :])


def _held_out(test: CheckpointTest, store: Store, copies: bool) -> list[int]:
    index: dict[str, list[int]] = {}
    for i, item in enumerate(store.items()):
        index.setdefault(file_of(item) if test.windowed else item.id, []).append(i)
    held = [item for item in test.items if item.part == "test"]
    if not held:
        raise InputError(
            f"{show(test.path)}: held no items out; --all tests every item of {show(store.path)}"
        )
    wanted = [item.id for item in held if copies or not item.augmentation]
    missing = [name for name in wanted if name not in index]
    if missing:
        raise InputError(
            f"{show(store.path)}: lacks {len(missing)} of the {len(wanted)} items that"
            f" {show(test.path)} held out ({', '.join(map(show, missing[:LISTED]))}"
            f"{', …' if len(missing) > LISTED else ''}); give the store it was trained from,"
            " or --all to test on another"
        )
    return sorted(i for name in wanted for i in index[name])


def _check_overlap(tests: Sequence[CheckpointTest], items: Sequence[Item]) -> None:
    owner: dict[int, CheckpointTest] = {}
    for test in tests:
        for i in test.tested:
            if i in owner:
                raise InputError(
                    f"{show(items[i].id)}: held out by {show(owner[i].path)} and by"
                    f" {show(test.path)}; pool checkpoints of one partition into folds, or"
                    " test them one by one"
                )
            owner[i] = test


def _leave_out(
    tests: Sequence[CheckpointTest],
    names: Sequence[str | None],
    voted: Sequence[bool],
    classes: Sequence[str],
    console: Console,
) -> None:
    """Drop tested items without a class, or of one that the model does not know.

    names: the class of every item of the store, None where it is unknown. voted: which items are
    tested even without one.
    """
    unlabelled = undecided = 0
    unknown: dict[str, int] = {}
    for test in tests:
        keep = []
        for i in test.tested:
            name = names[i]
            if name is None and voted[i]:
                undecided += 1
                keep.append(i)
            elif name is None:
                unlabelled += 1
            elif name in classes:
                keep.append(i)
            else:
                unknown[name] = unknown.get(name, 0) + 1
        test.tested = keep
    if undecided:
        console.note(
            f"{undecided} items have votes and no label: tested by the votes alone, and in no score"
            " of classes"
        )
    if unlabelled:
        console.warn(f"{unlabelled} items without a {tests[0].target} are left out")
    if unknown:
        named = ", ".join(f"{show(label)} {n}" for label, n in sorted(unknown.items()))
        console.warn(
            f"{sum(unknown.values())} items of classes that the model does not know are left out"
            f" ({named}); prepare --labels maps them"
        )
    for test in tests:
        if not any(names[i] is not None for i in test.tested):
            raise InputError(f"{show(test.path)}: nothing left to test it on")


def protocol(tests: Sequence[CheckpointTest], store: Store) -> Protocol:
    """Return the protocol of all checkpoints together; each test keeps its own.

    What the checkpoints declare of their split (`resplit`, `unit`, …) stands beside the computed
    facts, and in the common protocol where they agree.
    """
    items = store.items()
    trained = [item for test in tests for item in seen(test.items, test.pipeline)]
    tested = [items[i] for test in tests for i in test.tested]
    near = audit.near(trained, tested)
    for test in tests:
        test.protocol = audit.protocol(
            test.items,
            [items[i] for i in test.tested],
            test.pipeline,
            near,
            test.header.augment,
            test.header.protocol,
        )
        own = contamination.encoders(test.header)
        if own:
            corpora = {items[i].corpus for i in test.tested}
            test.protocol.encoders = [contamination.used(one, corpora) for one in own]
    made = audit.combine([test.protocol for test in tests], tested)
    if found := contamination.together(test.protocol.encoders or [] for test in tests):
        made.encoders = found
    return made


def require(
    facts: States,
    shared: Mapping[str, int],
    names: Sequence[str],
    encoders: Sequence[EncoderUsed] = (),
) -> None:
    """Raise InputError for the first of `names` that is not known to hold.

    One that a stronger fact breaks does not hold either. shared: how many values are shared.
    encoders: of which `encoder-clean` is.
    """
    if contamination.FACT in names:
        contamination.require(encoders)
        names = [name for name in names if name != contamination.FACT]
    for name in (name.replace("-", "_") for name in names):
        broken = [fact for fact in audit.STRONGER.get(name, ()) if facts[fact] is False]
        if broken or facts[name] is not True:
            fact = (broken or [name])[0]
            what = FACTS[fact]
            reason = f"{what} unknown" if facts[fact] is None else f"{shared[what]} {what} shared"
            raise InputError(f"--require {name.replace('_', '-')} does not hold: {reason}")
