"""How checkpoints are tested on the items that they held out: a report."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET, UnsetType, convert, structs, to_builtins

from sertool import metrics
from sertool.core import workers
from sertool.core.environment import environment
from sertool.core.errors import InputError, UsageError
from sertool.core.memory import TooMuch, afford
from sertool.core.options import recorded
from sertool.core.paths import show
from sertool.evaluation import cost, curves, numbered, results, voted
from sertool.evaluation.heldout import (
    CheckpointTest,
    check_contract,
    choose,
    common_classes,
    file_of,
    load_test,
    protocol,
    require,
)
from sertool.evaluation.options import EvalOptions
from sertool.evaluation.report import (
    AnyReport,
    Cost,
    Figures,
    Fold,
    Model,
    NumberReport,
    Protocol,
    Report,
    Scored,
    StoreUsed,
    Undecided,
    read,
)
from sertool.evaluation.routing import ALONE, Routes, find_routes, of_checkpoint, summary
from sertool.formats import lineage
from sertool.formats.checkpoint import Header
from sertool.formats.reuse import Made, State, decide
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import BASELINES, encoders, speaker_store, speakers
from sertool.targets import class_names, numbers, shares
from sertool.ui.console import Console
from sertool.votes import votes_of

if TYPE_CHECKING:
    from sertool.evaluation.stress import Replays
    from sertool.models.scoring import Scorer

GATHERED = 4  # passes of a network, whose items are read before they are scored
GATHERED_BYTES = 1 << 26
COUNT = 32  # bytes of a count: in a matrix, a list, and text
POSTERIOR = 150  # of an item's posterior of a class: in arrays, a table, and text
FIGURES = (
    "confusion.png", "classes.png", "speakers.png", "reliability.png", "scatter.png", "stress.png",
)  # fmt: skip


def evaluate(
    checkpoints: Sequence[Path],
    store_path: Path,
    options: EvalOptions,
    console: Console,
    finished: Path | None = None,
    logs: Sequence[Path] = (),
) -> AnyReport:
    """Return the report of `checkpoints`, each tested on what it held out of the store, pooled.

    finished: a report that may be there already; it is returned if this very test made it. logs: of
    the stages whose CPU seconds the report keeps.
    Raises UsageError for options that make no sense together, InputError where checkpoints and
    store do not belong together, nothing is held out, or a required fact does not hold.
    """
    if options.all and len(checkpoints) > 1:
        raise UsageError("--all tests every item with one checkpoint; name one")
    encoders.settle(options.encoder, options.device)
    stages = cost.spent(logs)
    tests = [load_test(path) for path in checkpoints]
    classes = common_classes(tests)
    of_numbers = tests[0].header.numbers is not None
    if of_numbers and options.pool != "mean":
        raise UsageError(f"--pool {options.pool}: is of classes; numbers are averaged")
    if not options.stress:
        return _tested(tests, store_path, classes, options, console, finished, stages)
    from sertool.evaluation.stress import Replays

    with contextlib.closing(Replays(store_path, options)) as replays:
        return _tested(tests, store_path, classes, options, console, finished, stages, replays)


def _check_size(
    tests: Sequence[CheckpointTest], store: Store, classes: int, options: EvalOptions
) -> None:
    """Raise InputError where a report's counts, by speaker and system, or the posteriors of its
    items would fill memory.
    """
    items = store.items()
    tested = [items[i] for test in tests for i in test.tested]
    who = {(item.corpus, item.speaker) for item in tested}
    systems = 1 + len(tests[0].header.baselines or ())
    counts = systems * (1 + len(who)) * classes**2
    posteriors = 0 if options.summary else len(tested) * classes
    try:
        afford(COUNT * counts, f"counts of {classes} classes, of each of {len(who)} speakers,")
        afford(POSTERIOR * posteriors, f"a report of {len(tested)} items' {classes} classes")
    except TooMuch as error:
        rest = "; --summary leaves items out" if COUNT * counts < POSTERIOR * posteriors else ""
        raise InputError(f"{error}{rest}") from error


def _tested(
    tests: Sequence[CheckpointTest],
    store_path: Path,
    classes: Sequence[str],
    options: EvalOptions,
    console: Console,
    finished: Path | None,
    stages: dict[str, float],
    replays: Replays | None = None,
) -> AnyReport:
    """Return the report of checkpoints of like models; `replays`: where it is of stress, too.

    stages: CPU seconds by stage, to be kept with those of this test; none where there are none.
    """
    by_speaker = speakers.declared(tests[0].header)
    with speaker_store.opened(store_path, by_speaker) as store:
        if options.choose and tests[0].header.per is None:
            raise UsageError(
                f"--choose: {show(tests[0].path)} holds one model, not one --per field"
            )
        for test in tests:
            check_contract(test, store)
        choose(
            tests,
            store,
            classes,
            every=options.all,
            copies=options.copies,
            where=options.where,
            console=console,
        )
        _check_size(tests, store, len(classes), options)
        if by_speaker:
            for test in tests:
                speakers.check(store.items(), test.tested, store.path)
        facts = protocol(tests, store)
        require(facts.facts, facts.shared, options.require, facts.encoders or [])
        step = _step(tests, store, options)
        if finished is not None:
            state = decide(finished, step, _made, console, resume=True)
            if state is State.WHOLE:
                return read(finished, console.warn)
        if options.by == "file":
            facts.files_split = _split_files(tests, store, console) or UNSET
        for test in tests:
            if test.header.per is not None:
                test.routes = _routes(test, store, options, console)
        plan = None
        if replays is not None:
            members, owners = _whole(tests, store, options)
            plan = replays.plan(tests, store, members, owners, facts, console)
        begun = time.process_time()
        scored = _score(tests, store, options, console)
        scoring = time.process_time() - begun
        if tests[0].header.numbers is not None:
            tested, said = _numbers(tests, store, scored, options)
            numbers_report = _number_report(tests, store, tested, said, facts, step, options)
            if plan is not None:
                numbers_report.stress = plan.of_numbers(tested, said["model"], console)
            numbers_report.cost = _cost(tests, store, stages, scoring)
            return numbers_report
        pooled = _pool(tests, store, scored, classes, options)
        report = _report(tests, store, pooled, facts, step, options)
        if plan is not None:
            n = len(pooled.tested.units)
            report.stress = plan.of_classes(pooled.tested, pooled.systems["model"][1][:n], console)
        report.cost = _cost(tests, store, stages, scoring)
        return report


def _cost(
    tests: Sequence[CheckpointTest], store: Store, stages: dict[str, float], scoring: float
) -> Cost | UnsetType:
    """Return what stages and scoring took; UNSET where no stage is known."""
    if not stages:
        return UNSET
    items = store.items()
    heard = cost.sound([items[i] for test in tests for i in test.tested], store.root)
    return Cost(stages=stages, scoring=round(scoring, 3), sound=heard)


def _whole(
    tests: Sequence[CheckpointTest], store: Store, options: EvalOptions
) -> tuple[list[list[int]], np.ndarray]:
    """Return the items of each unit that counts, in the order of its figures, and its test."""
    items = store.items()
    truths: Sequence[Hashable] = [""] * len(items)
    if tests[0].header.numbers is None:
        truths = class_names(items, tests[0].target)
    found = _units(tests, store, truths, options)
    kept = [u for u, own in enumerate(found.members) if truths[own[0]] is not None]
    return [found.members[u] for u in kept], found.owners[kept]


def _step(tests: Sequence[CheckpointTest], store: Store, options: EvalOptions) -> dict[str, Any]:
    params = recorded(options) | {"checkpoints": [[p.path.name, p.sha256] for p in tests]}
    sources = [_as_source(test, tests[0]) for test in tests[1:]]
    trained = tests[0].header.lineage[-1:]
    if not trained or trained[0].input.sha256 != store.sha256:
        made = convert(store.lineage, list[lineage.Record])
        sources.append(lineage.Source(store.path.name, store.sha256, "store", lineage=made))
    return lineage.record("eval", params, store.path.name, store.sha256, sources=sources)


def _as_source(test: CheckpointTest, first: CheckpointTest) -> lineage.Source:
    """Return a checkpoint as a lineage has it; of a fold's only what differs from the first."""
    own, other = test.header.lineage, first.header.lineage
    name, content = test.path.name, test.sha256
    pairs = zip(own, other, strict=True) if len(own) == len(other) else ()
    same = [a == b for a, b in pairs]
    if not same or not all(same[:-1]) or own[-1].params.keys() != other[-1].params.keys():
        return lineage.Source(name, content, "checkpoint", lineage=own)
    if structs.replace(own[-1], params=other[-1].params) != other[-1]:
        return lineage.Source(name, content, "checkpoint", lineage=own)
    changed = {n: v for n, v in own[-1].params.items() if v != other[-1].params[n]}
    return lineage.Source(name, content, "checkpoint", params=changed)


def _made(path: Path) -> Made:
    steps = read(path).lineage
    return Made(steps[-1] if steps else {})


def _score(
    tests: Sequence[CheckpointTest], store: Store, options: EvalOptions, console: Console
) -> dict[str, dict[int, np.ndarray]]:
    """Return, for "model" and each baseline that all have, index -> posterior, or numbers."""
    from sertool.models.scoring import Scorer, announce

    scored: dict[str, dict[int, np.ndarray]] = {}
    total = sum(len(test.tested) for test in tests)
    windows = padded = 0
    with console.progress(total, "items") as progress:
        for test in tests:
            scorer = Scorer.load(test.path, device=options.device)
            systems: dict[str, Scorer | None] = {"model": scorer}
            systems |= {name: scorer.baseline(name) for name in scorer.baselines}
            scorer.use_threads(options.workers or workers.cores())
            for system in systems.values():
                if system is not None:
                    store.check_room(
                        test.tested, system.takes(store.dtype.itemsize), f" in {system.name}"
                    )
            arrays = _arrays(test, store, options)
            while batch := _gathered(arrays, GATHERED * options.batch_size):
                indices = [i for i, _ in batch]
                values = test.routes.values(indices)
                try:
                    rows = {
                        name: system.posterior(
                            [array for _, array in batch], values, options.batch_size
                        )
                        for name, system in systems.items()
                        if system is not None
                    }
                    if test.routes.chosen:
                        rows[ALONE] = test.routes.alone(scorer, batch, rows["model"])
                except InputError as error:
                    raise InputError(f"{show(store.path)}: {error}") from error
                for name, found in rows.items():
                    scored.setdefault(name, {}).update(zip(indices, found, strict=True))
                progress.advance(len(batch))
            windows += scorer.windows_averaged
            padded += scorer.padded
    announce(console, windows, padded, "items")
    return {name: rows for name, rows in scored.items() if len(rows) == total}


def _gathered(arrays: Iterator[tuple[int, np.ndarray]], most: int) -> list[tuple[int, np.ndarray]]:
    """Return the next of a test's items, at most so many, and none after GATHERED_BYTES of them."""
    found: list[tuple[int, np.ndarray]] = []
    size = 0
    while len(found) < most and size < GATHERED_BYTES and (one := next(arrays, None)) is not None:
        found.append(one)
        size += one[1].nbytes
    return found


def _routes(test: CheckpointTest, store: Store, options: EvalOptions, console: Console) -> Routes:
    """Return by which of the checkpoint's models each tested item is scored."""
    items = store.items()
    recording = {i: _unit(items[i], options) for i in test.tested}
    arrays = _arrays(test, store, options)
    return find_routes(test.path, items, recording, arrays, options.choose, console)


def _unit(item: Item, options: EvalOptions) -> str:
    """Return the name of the unit that is scored: an item's file, or the item."""
    return file_of(item) if options.by == "file" else item.id


def _arrays(
    test: CheckpointTest, store: Store, options: EvalOptions
) -> Iterator[tuple[int, np.ndarray]]:
    """Return an iterator over (index, array) of a test's items."""
    if options.noise_snr is None and options.channel_rate is None:
        return ((i, store.features(i)) for i in test.tested)
    from sertool.evaluation.degrade import Degradation, degraded

    degradation = Degradation(options.noise_snr, options.channel_rate, options.seed)
    if not speakers.declared(test.header):
        return degraded(store, test.tested, degradation)

    def read(positions: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        return degraded(store, positions, degradation)

    return speakers.normalised(store.items(), test.tested, read)


def _split_files(tests: Sequence[CheckpointTest], store: Store, console: Console) -> int:
    """Return how many files are scored in parts, with a note where there are any.

    A file is scored in parts where a checkpoint saw, or left to others, pieces that it does not
    test. It then counts once for each checkpoint that tests a piece of it.
    """
    items = store.items()
    parts = total = 0
    for test in tests:
        tested = {items[i].id: file_of(items[i]) for i in test.tested}
        units = set(tested.values())
        rest = {file_of(item) for item in test.items if item.id not in tested}
        if test.windowed:  # a file's windows are all there, under its own name in the checkpoint
            rest -= {item.id for item in test.items}
        parts, total = parts + len(units & rest), total + len(units)
    if parts:
        console.note(f"{parts} of {total} files are scored by the held-out segments alone")
    return parts


def _folds(tests: Sequence[CheckpointTest]) -> list[str]:
    """Return what distinguishes the tests in an id: their folds, or else their numbers."""
    folds = [test.protocol.declared.get("fold") for test in tests]
    apart = None not in folds and len(set(folds)) == len(folds)
    return [f"fold {fold}" if apart else f"checkpoint {i}" for i, fold in enumerate(folds)]


@dataclass(frozen=True)
class _Units:
    """What is scored as one: the indices of its items, what it is, and which test it is of.

    Segments of a file that several checkpoints tested are pooled for each of them alone, for each
    was trained on what the others test; the ids of such scores name the fold.
    """

    members: list[list[int]]
    units: list[Item]
    owners: np.ndarray


def _units(
    tests: Sequence[CheckpointTest],
    store: Store,
    truths: Sequence[Hashable],
    options: EvalOptions,
) -> _Units:
    """Return what is scored, in store order; InputError where its segments differ in truth."""
    items = store.items()
    owner = {i: number for number, test in enumerate(tests) for i in test.tested}
    groups: dict[tuple[str, int], list[int]] = {}
    for i in sorted(owner):
        groups.setdefault((_unit(items[i], options), owner[i]), []).append(i)
    for (name, _), members in groups.items():
        if len({truths[i] for i in members}) > 1:
            raise InputError(
                f"{show(name)}: its segments differ in {tests[0].target}; test with --by item"
            )
    times = Counter(name for name, _ in groups)
    folds = _folds(tests)
    first = [items[members[0]] for members in groups.values()]
    units = [
        Item(
            name if times[name] == 1 else f"{name} [{folds[number]}]",
            corpus=item.corpus,
            speaker=item.speaker,
            gender=item.gender,
        )
        for (name, number), item in zip(groups, first, strict=True)
    ]
    own = np.array([number for _, number in groups], np.int64)
    return _Units(list(groups.values()), units, own)


@dataclass(frozen=True)
class _Pooled:
    """What was tested, and what each system said: (posteriors, predicted) of all units.

    The units of `tested`, which have a class, come first. at: the units of `votes`.
    """

    tested: results.Tested
    systems: dict[str, tuple[np.ndarray, np.ndarray]]
    votes: voted.Voted
    at: np.ndarray

    def figures(self, system: str, options: EvalOptions) -> Figures:
        """Return every figure of a system."""
        n = len(self.tested.units)
        posterior, predicted = self.systems[system]
        made = results.figures(
            self.tested, posterior[:n], predicted[:n], level=options.ci, seed=options.seed
        )
        if len(self.at):
            made.votes = voted.figures(
                self.votes, posterior[self.at], level=options.ci, seed=options.seed
            )
        return made


def _pool(
    tests: Sequence[CheckpointTest],
    store: Store,
    scored: dict[str, dict[int, np.ndarray]],
    classes: Sequence[str],
    options: EvalOptions,
) -> _Pooled:
    """Return what was tested and what each system said: in store order, without a class last."""
    items = store.items()
    truths = class_names(items, tests[0].target)
    found = _units(tests, store, truths, options)
    order = sorted(range(len(found.units)), key=lambda u: truths[found.members[u][0]] is None)
    members, units = [found.members[u] for u in order], [found.units[u] for u in order]
    known = [name for m in members if (name := truths[m[0]]) is not None]
    n, owners = len(known), found.owners[order]
    truth = np.array([classes.index(name) for name in known], np.int64)
    names = [test.path.name for test in tests]
    tested = results.Tested(list(classes), truth, units[:n], owners[:n], names)
    said = [votes_of(items[m[0]]) if tests[0].target == "label" else None for m in members]
    table = shares(said, classes)
    at = np.flatnonzero(table.any(1))
    votes = voted.Voted(table[at], [units[i] for i in at], at < n)
    systems = {}
    for system, rows in scored.items():
        pairs = [
            metrics.pool_posteriors(np.stack([rows[i] for i in m]), options.pool) for m in members
        ]
        systems[system] = (np.stack([p for p, _ in pairs]), np.array([k for _, k in pairs]))
    return _Pooled(tested, systems, votes, at)


def _numbers(
    tests: Sequence[CheckpointTest],
    store: Store,
    scored: dict[str, dict[int, np.ndarray]],
    options: EvalOptions,
) -> tuple[numbered.Tested, dict[str, np.ndarray]]:
    """Return what was tested and each system's numbers (n, fields): the mean over segments."""
    fields = tests[0].header.fields
    values = numbers(store.items(), fields)
    found = _units(tests, store, [tuple(row) for row in values.tolist()], options)
    tested = numbered.Tested(
        fields,
        np.stack([values[members[0]] for members in found.members]),
        found.units,
        found.owners,
        [test.path.name for test in tests],
    )
    said = {
        system: np.stack([np.mean([rows[i] for i in members], 0) for members in found.members])
        for system, rows in scored.items()
    }
    return tested, said


def _number_report(
    tests: Sequence[CheckpointTest],
    store: Store,
    tested: numbered.Tested,
    said: dict[str, np.ndarray],
    facts: Protocol,
    step: dict[str, Any],
    options: EvalOptions,
) -> NumberReport:
    """Return the report of a test of numbers."""
    made = {
        system: numbered.figures(tested, rows, level=options.ci, seed=options.seed)
        for system, rows in said.items()
    }
    own = made.pop("model")
    _describe_folds(own.folds, tests)
    return NumberReport(
        **_common(tests, store, facts, step, options),
        figures=own,
        baselines=made,
        items=UNSET if options.summary else numbered.scored(tested, said["model"]),
    )


def _describe_folds(folds: Sequence[Fold], tests: Sequence[CheckpointTest]) -> None:
    """Put into each fold its protocol and how its model was trained."""
    for fold, test in zip(folds, tests, strict=True):
        fold.fold = test.protocol.declared.get("fold")
        fold.protocol = test.protocol
        header = test.header
        fold.training = curves.thinned(header.history or [], header.best_epoch or 0)
        fold.per = of_checkpoint(header, test.routes)


def _common(
    tests: Sequence[CheckpointTest],
    store: Store,
    facts: Protocol,
    step: dict[str, Any],
    options: EvalOptions,
) -> dict[str, Any]:
    """Return what reports of both kinds hold, by name (see `report.Common`)."""
    header = tests[0].header
    degraded = {"noise_snr": options.noise_snr, "channel_rate": options.channel_rate}
    return {
        "level": options.by,
        "pool": options.pool,
        "tags": options.tags,
        "target": tests[0].target,
        "kept": header.kept or UNSET,
        "model": Model(
            name=header.model.name,
            settings=header.model.settings,
            parameters=header.model.parameters,
        ),
        "store": StoreUsed(
            name=store.path.name, sha256=store.sha256, kind=store.kind, crop=_crop(store) or UNSET
        ),
        "conditions": {name: v for name, v in degraded.items() if v is not None},
        "protocol": facts,
        "lineage": [*to_builtins(header.lineage), step],
        "environment": environment(_device(header, options)),
    }


def _device(header: Header, options: EvalOptions) -> str:
    """Return where the model was computed; one that has no epochs knows the processor only."""
    if "epochs" not in (header.training or {}):
        return "cpu"
    from sertool.models.device import choose as choose_device

    return choose_device(options.device).type


def _report(
    tests: Sequence[CheckpointTest],
    store: Store,
    pooled: _Pooled,
    facts: Protocol,
    step: dict[str, Any],
    options: EvalOptions,
) -> Report:
    own, tested = pooled.figures("model", options), pooled.tested
    _describe_folds(own.folds, tests)
    n = len(tested.units)
    alone = pooled.systems[ALONE][1][:n] if ALONE in pooled.systems else None
    return Report(
        **_common(tests, store, facts, step, options),
        classes=tested.classes,
        figures=own,
        baselines={
            name: pooled.figures(name, options) for name in BASELINES if name in pooled.systems
        },
        per=summary(tests[0].header, [test.routes for test in tests], tested.truth, alone),
        items=UNSET if options.summary else _items(pooled),
        undecided=UNSET
        if options.summary or n == len(pooled.systems["model"][1])
        else _undecided(pooled),
    )


def _crop(store: Store) -> tuple[float, float] | None:
    """Return (first, last second) of what the store keeps of each recording; None for all."""
    stages = [stage for stage in store.pipeline if stage.get("stage") == "featurize"]
    first = stages[0] if stages else {}
    if first.get("duration") is None or first.get("fit") == "pad":
        return None
    return first["offset"], first["offset"] + first["duration"]


def _items(pooled: _Pooled) -> list[Scored]:
    made = scored(pooled.tested, *pooled.systems["model"])
    for i, shares_ in zip(pooled.at.tolist(), pooled.votes.shares, strict=True):
        if i < len(made):
            made[i].votes = _by_class(pooled.tested, shares_)
    return made


def scored(tested: results.Tested, posterior: np.ndarray, predicted: np.ndarray) -> list[Scored]:
    """Return what was tested, item by item; posterior: (n, classes), predicted: (n,) indices."""
    return [
        Scored(
            id=unit.id,
            truth=tested.classes[tested.truth[i]],
            prediction=tested.classes[predicted[i]],
            posterior=_by_class(tested, posterior[i]),
            corpus=unit.corpus or UNSET,
            speaker=unit.speaker or UNSET,
            gender=unit.gender or UNSET,
            checkpoint=int(tested.checkpoint[i]),
        )
        for i, unit in enumerate(tested.units)
    ]


def _undecided(pooled: _Pooled) -> list[Undecided]:
    tested, votes = pooled.tested, pooled.votes
    posterior, predicted = pooled.systems["model"]
    return [
        Undecided(
            id=unit.id,
            prediction=tested.classes[predicted[i]],
            posterior=_by_class(tested, posterior[i]),
            votes=_by_class(tested, own),
        )
        for i, unit, own, labelled in zip(
            pooled.at, votes.units, votes.shares, votes.labelled, strict=True
        )
        if not labelled
    ]


def _by_class(tested: results.Tested, row: np.ndarray) -> dict[str, float]:
    return dict(zip(tested.classes, row.tolist(), strict=True))
