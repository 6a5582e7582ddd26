"""`eval --stress`: what a checkpoint is worth on recordings that are degraded in many ways.

Every tested file is decoded, degraded, and then goes through the store's pipeline, once for each of
`conditions.CONDITIONS`. A model normalised by speaker is given statistics of degraded recordings,
too: whoever is heard by telephone is heard so always. Files are made by worker processes, which
start before a network is loaded or a store is open; a batch of them is in memory.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sertool import metrics, regression
from sertool.audio import waveform
from sertool.core import boxes, workers
from sertool.core.errors import InputError
from sertool.core.paths import from_text, show
from sertool.core.seeds import rng
from sertool.evaluation import numbered, results
from sertool.evaluation.conditions import CONDITIONS, TALKERS, Condition, Heard
from sertool.evaluation.degrade import replayed
from sertool.evaluation.heldout import CheckpointTest
from sertool.evaluation.options import EvalOptions
from sertool.evaluation.report import Limit, Protocol, Stress, Stressed
from sertool.features.pipeline import Pipeline
from sertool.formats.store import Store
from sertool.items import Item
from sertool.metrics import FEWEST
from sertool.models import per_field, speakers
from sertool.models.statistics import Moments, Statistics
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.models.scoring import Scorer

Pool = Callable[[np.ndarray], np.ndarray]  # of a file's rows (segments, outputs)
Answers = dict[str, np.ndarray]  # by condition, of every file
Made = Iterator[list[np.ndarray] | Moments]  # what becomes of the tasks
Batch = list[tuple[int, list[np.ndarray]]]  # files, each with its features
Measure = Literal["uar", "ccc"]
UNKNOWN: tuple[Limit, Limit] = (None, None)
BABBLE = "babble"  # conditions of this name need other recordings


@dataclass(frozen=True)
class Task:
    """One recording under one condition; voices: other recordings, of which babble is made.

    measured: for the statistics of its speaker alone.
    """

    item: Item
    condition: str
    voices: tuple[Item, ...] = ()
    measured: bool = False


@dataclass(frozen=True)
class Replay:
    """Makes the features of a degraded recording; runs in a worker."""

    pipeline: Pipeline
    root: str
    store: str
    seed: int

    def __call__(self, task: Task) -> list[np.ndarray] | Moments:
        """Return what the store would hold of it, or that added up; InputError."""

        def degrade(samples: np.ndarray, rate: int) -> np.ndarray:
            def voices(wanted: int) -> list[np.ndarray]:
                return [self._voice(other, wanted) for other in task.voices]

            signal = waveform.to_float(samples)
            heard = Heard(signal, rate, origin_of(task.item), self.seed, voices)
            return CONDITIONS[task.condition].apply(heard)

        arrays = replayed(self.pipeline, task.item, self.root, self.store, degrade)
        if not task.measured:
            return arrays
        moments = Moments()
        for array in arrays:
            moments.add(array)
        return moments

    def _voice(self, item: Item, rate: int) -> np.ndarray:
        decoded = self.pipeline.decode(path_of(self.root, item), item.start, item.end)
        return waveform.resample(waveform.to_float(decoded.samples), decoded.sample_rate, rate)


def path_of(root: str, item: Item) -> Path:
    """Return where the recording of a store's item is."""
    return Path(root) / from_text(item.path)


def origin_of(item: Item) -> str:
    """Return the id of the utterance that an item is of."""
    return item.origin or item.id


class Replays:
    """Worker processes that wait for tasks; made before a network is loaded or a store is open."""

    def __init__(self, store_path: Path, options: EvalOptions) -> None:
        with Store(store_path) as store:
            pipeline = Pipeline.of_file(store.pipeline, show(store.path))
            work = Replay(pipeline, store.root, show(store.path), options.seed)
        self.options = options
        self._tasks: Iterator[Task] = iter(())
        count = options.workers or workers.cores()
        self._made = workers.ordered(work, self._fed(), count, limits=boxes.limits())

    def _fed(self) -> Iterator[Task]:
        yield from self._tasks

    def of(self, tasks: Iterator[Task]) -> Made:
        """Return what becomes of each task, in their order; to be called once."""
        self._tasks = tasks
        return self._made

    def plan(
        self,
        tests: Sequence[CheckpointTest],
        store: Store,
        members: Sequence[Sequence[int]],
        owners: np.ndarray,
        facts: Protocol,
        console: Console,
    ) -> Plan:
        """Return what is to be scored; members: the items of each tested file, of test `owners`.

        Raises InputError where a recording is not there, or only parts of it are tested. What
        cannot be made here is said.
        """
        if facts.files_split:
            raise InputError(
                f"{show(store.path)}: --stress is of whole files, and {facts.files_split} are held"
                " out in parts"
            )
        items = store.items()
        kept = {n: one for n, one in CONDITIONS.items() if one.family in self.options.stress}
        for name in [name for name, one in kept.items() if not one.possible]:
            console.warn(f"--stress: without {name}: this machine's libsndfile does not have it")
            del kept[name]
        if len(members) < 2 and any(name.startswith(BABBLE) for name in kept):
            console.warn("--stress: without babble, which is made of other test recordings")
            kept = {name: one for name, one in kept.items() if not name.startswith(BABBLE)}
        made = Plan(tests, items, [items[own[0]] for own in members], owners, kept, self)
        made.check(store.root)
        return made

    def close(self) -> None:
        """End the processes."""
        self._made.close()


@dataclass(frozen=True)
class _Group:
    """Files that are scored together: those of one speaker where that one is measured first."""

    units: list[int]
    measured: list[Item] = field(default_factory=list)


@dataclass
class Plan:
    """Everything that is scored: each test's files, in groups, under each condition.

    files: an item of every file. owners: whose test each file is.
    """

    tests: Sequence[CheckpointTest]
    items: Sequence[Item]
    files: list[Item]
    owners: np.ndarray
    conditions: Mapping[str, Condition]
    replays: Replays

    def groups(self, number: int) -> list[_Group]:
        """Return the files of a test."""
        own = [int(u) for u in np.flatnonzero(self.owners == number)]
        if not speakers.declared(self.tests[number].header):
            return [_Group(own)]
        of = speakers.recordings(self.items)
        found: dict[speakers.Speaker, _Group] = {}
        for u in own:
            speaker = speakers.speaker_of(self.files[u])
            assert speaker is not None
            if speaker not in found:
                first = {origin_of(self.items[i]): self.items[i] for i in reversed(of[speaker])}
                found[speaker] = _Group([], list(reversed(first.values())))
            found[speaker].units.append(u)
        return list(found.values())

    def tasks(self) -> Iterator[Task]:
        """Yield every task, in the order in which `answers` wants them."""
        for number in range(len(self.tests)):
            groups = self.groups(number)
            for name in self.conditions:
                for group in groups:
                    for item in group.measured:
                        yield Task(item, name, self._voices(item, name), measured=True)
                    for u in group.units:
                        yield Task(self.files[u], name, self._voices(self.files[u], name))

    def _voices(self, item: Item, condition: str) -> tuple[Item, ...]:
        """Return other tested recordings, of other speakers where there are any."""
        if not condition.startswith(BABBLE):
            return ()
        origins, who = self._known
        others = np.flatnonzero(who != str(speakers.speaker_of(item)))
        if not len(others):
            others = np.flatnonzero(origins != origin_of(item))
        random = rng(self.replays.options.seed, "stress", "talkers", origin_of(item))
        drawn = random.choice(others, min(TALKERS, len(others)), replace=False)
        return tuple(self.files[int(i)] for i in drawn)

    @functools.cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Every file's origin, and its speaker, "None" where unknown."""
        origins = [origin_of(item) for item in self.files]
        who = [str(speakers.speaker_of(item)) for item in self.files]
        return np.array(origins, object), np.array(who, object)

    def check(self, root: str) -> None:
        """Raise InputError where a recording is not there."""
        measured = (i for n in range(len(self.tests)) for g in self.groups(n) for i in g.measured)
        for item in (*self.files, *measured):
            if not os.path.exists(path := path_of(root, item)):
                raise InputError(f"{show(path)}: no such file; --stress needs the recordings")

    def answers(self, pool: Pool, console: Console) -> Answers:
        """Return what the checkpoints answer for each file under each condition."""
        from sertool.models.scoring import Scorer

        options = self.replays.options
        made = self.replays.of(self.tasks())
        nothing = np.zeros(0)
        found = {name: [nothing] * len(self.files) for name in self.conditions}
        with console.progress(len(self.files) * len(found), "degraded files") as progress:
            for number, test in enumerate(self.tests):
                scorer = Scorer.load(test.path, device=options.device)
                groups = self.groups(number)
                for rows in found.values():
                    for group in groups:
                        for batch in _batches(made, group, options.batch_size):
                            for u, part in _scored(scorer, self.files, batch, options):
                                rows[u] = pool(part)
                            progress.advance(len(batch))
        return {name: np.stack(rows) for name, rows in found.items()}

    def of_classes(self, tested: results.Tested, clean: np.ndarray, console: Console) -> Stress:
        """Return UAR under each condition, and less that of the recordings as they are, paired.

        clean: (files,) indices of the classes that were answered for those.
        """
        names, unit = results.clusters(tested.units)
        k, options = len(tested.classes), self.replays.options

        def best(rows: np.ndarray) -> np.ndarray:
            return np.array(metrics.pool_posteriors(rows, options.pool)[1])

        def matrices(said: np.ndarray) -> np.ndarray:
            return metrics.cluster_matrices(tested.truth, said, names, k)[1]

        found = self.answers(best, console)
        counted = {name: matrices(said) for name, said in found.items()}
        made = _stress("uar", matrices(clean), counted, metrics.uar, options, unit)
        for name, said in found.items():
            made.conditions[name].confusion = metrics.confusion(tested.truth, said, k).tolist()
        return made

    def of_numbers(self, tested: numbered.Tested, clean: np.ndarray, console: Console) -> Stress:
        """Return the same of numbers (files, fields): the mean CCC over fields."""
        names, unit = results.clusters(tested.units)

        def sums(said: np.ndarray) -> np.ndarray:
            return numbered.by_cluster(tested.truth, said, names)[1]

        def ccc(rows: np.ndarray) -> np.ndarray:
            return np.asarray(regression.ccc(rows).mean(-1))

        found = self.answers(lambda rows: np.asarray(rows.mean(0)), console)
        counted = {name: sums(said) for name, said in found.items()}
        return _stress("ccc", sums(clean), counted, ccc, self.replays.options, unit)


def _batches(made: Made, group: _Group, size: int) -> Iterator[Batch]:
    """Yield files of a group with their features, `size` segments or more at a time."""
    statistics = _statistics(made, group)
    waiting: Batch = []
    for u in group.units:
        arrays = next(made)
        assert isinstance(arrays, list)
        if statistics is not None:
            arrays = [statistics.apply(array) for array in arrays]
        waiting.append((u, arrays))
        if u == group.units[-1] or sum(len(own) for _, own in waiting) >= size:
            yield waiting
            waiting = []


def _statistics(made: Made, group: _Group) -> Statistics | None:
    """Return the statistics of a group's speaker; None where nobody is measured."""
    if not group.measured:
        return None
    moments = Moments()
    for _ in group.measured:
        one = next(made)
        assert isinstance(one, Moments)
        moments.merge(one)
    return speakers.statistics_of(moments)


def _scored(
    scorer: Scorer, files: Sequence[Item], batch: Batch, options: EvalOptions
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (file, its rows (segments, outputs)), each by the model that its field chooses."""
    values: list[str | None] = []
    per = scorer.header.per
    for u, own in batch:
        known = None
        if per is not None and not options.choose:
            known = per_field.known_value(per.field, files[u], per.values)
        route = scorer.route(own, known)
        values += [route.value if route else None] * len(own)
    arrays = [array for _, own in batch for array in own]
    rows = scorer.posterior(arrays, values, options.batch_size)
    ends = np.cumsum([len(own) for _, own in batch])
    for (u, _), part in zip(batch, np.split(rows, ends[:-1]), strict=True):
        yield u, part


def _stress(
    measure: Measure,
    clean: np.ndarray,
    found: Mapping[str, np.ndarray],
    compute: Callable[[np.ndarray], np.ndarray],
    options: EvalOptions,
    unit: str,
) -> Stress:
    """Return a figure of what was counted, clusters first, under each condition."""

    def drawn(rows: np.ndarray) -> np.ndarray:
        return metrics.resample(rows, {measure: compute}, seed=options.seed)[measure]

    enough = len(clean) >= FEWEST
    plain = float(compute(clean.sum(0)))
    conditions = {}
    for name, counted in found.items():
        value = float(compute(counted.sum(0)))
        ci = difference_ci = UNKNOWN
        if enough:
            before, after = drawn(np.stack([clean, counted], 1)).T
            ci, difference_ci = (_limits(rows, options.ci) for rows in (after, after - before))
        conditions[name] = Stressed(
            family=CONDITIONS[name].family,
            description=CONDITIONS[name].description,
            value=results.number(value),
            ci=ci,
            difference=results.number(value - plain),
            difference_ci=difference_ci,
        )
    return Stress(
        measure=measure,
        clean=results.number(plain),
        clean_ci=_limits(drawn(clean[:, None])[:, 0], options.ci) if enough else UNKNOWN,
        level=options.ci,
        unit=unit,
        n_units=len(clean),
        conditions=conditions,
    )


def _limits(values: np.ndarray, level: float) -> tuple[Limit, Limit]:
    low, high = metrics.limits(values, level)
    return results.number(low), results.number(high)
