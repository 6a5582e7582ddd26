"""Reports brought together: a system's folds pooled, its seeds side by side, facts of them all."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import UNSET, to_builtins
from msgspec.structs import replace as changed

from sertool import regression
from sertool.core.errors import InputError
from sertool.core.memory import TooMuch, afford
from sertool.core.paths import show
from sertool.evaluation import contamination
from sertool.evaluation.facts import FACTS
from sertool.evaluation.report import (
    AnyReport,
    CalibrationFigures,
    EncoderUsed,
    Figures,
    NumberFigures,
    NumberReport,
    Report,
    VoteFigures,
    Warn,
    all_hold,
    ignored,
    read_all,
)
from sertool.models import speakers
from sertool.votes import SOFT

PARTS = ("corpus", "gender")  # what a report's `by` can be asked for one value of
SCORING = ("where", "all", "choose", "pool")  # parameters of `eval` that make another test
# parameters of `train` in which the folds and seeds of one system may differ
FREE_PARAMS = {
    "seed",
    "device",
    "keep_last",
    *(f"init.{n}" for n in ("name", "sha256", "items")),  # one a seed or fold
    *(f"parts.{n}" for n in ("split_seed", "test_fold", "val_fold", "test_where", "val_where")),
}

_FOLD = re.compile(r"\s*fold\W")  # a condition on the fold


@dataclass(frozen=True)
class Result:
    """One report and what it is of: its tags, and what its lineage says where they are silent."""

    name: str
    report: AnyReport
    tags: dict[str, str]
    fold: str
    seed: str
    made: dict[str, str]  # model, epochs, level, …: from the report itself
    scoring: dict[str, str] = field(default_factory=dict)  # what was scored, and how

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """What reports of one system have in common."""
        return tuple(sorted((self.made | self.tags).items()))


@dataclass(frozen=True)
class PooledSums:
    """What adds up over a system's tests beside its counts, its folds pooled for each seed.

    sums: (clusters, seeds, …) of raters' votes (as in `voted`) or of the calibration (as in
    `reliability`); what is of unknown speakers is one cluster named "". baselines: the same of each
    baseline that all reports have.
    """

    clusters: list[str]
    sums: np.ndarray
    baselines: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Pooled:
    """One system under one protocol, its folds pooled for each seed.

    matrices: (clusters, seeds, classes, classes) confusion matrices, or (clusters, seeds, targets,
    7) sums of numbers (see `sertool.regression`), whose `classes` are the targets; `unit` is what a
    cluster is: "speaker", or "file" where speakers are unknown. baselines: the same of each
    baseline that all reports have. reports: those of each seed, fold by fold. votes: where all that
    was pooled was tested by raters' votes, too. calibration: where all reports have it.
    """

    tags: dict[str, str]
    made: dict[str, str]
    classes: list[str]
    seeds: list[str]
    folds: list[list[str]]
    reports: list[list[AnyReport]]
    clusters: list[str]
    unit: str
    matrices: np.ndarray
    baselines: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: bool = False
    votes: PooledSums | None = None
    calibration: PooledSums | None = None

    @property
    def tested(self) -> np.ndarray:
        """How many were tested: (clusters, seeds)."""
        counts: np.ndarray = (
            self.matrices[:, :, 0, 0] if self.numbers else self.matrices.sum((2, 3))
        )
        return counts

    @property
    def truth(self) -> np.ndarray:
        """What is the same for every system tested on the same recordings: (clusters, seeds, …).

        Of classes the tests of each, of numbers how many and the sums Σt and Σt².
        """
        given: np.ndarray = self.matrices
        return given[..., [0, 1, 3]] if self.numbers else given.sum(-1)

    @property
    def values(self) -> dict[str, str]:
        """Every key that can tell this system from another: its tags over what made it."""
        return self.made | self.tags


def load(paths: Sequence[Path], warn: Warn = ignored) -> list[Result]:
    """Return the reports in files; InputError names the first that is none. See `read_all`."""
    return [result(name, report) for name, report in read_all(paths, warn)]


def result(name: str, report: AnyReport) -> Result:
    """Return a report with its tags; fold, seed, epochs come from its lineage if untagged."""
    tags = {show(key): show(value) for key, value in (report.tags or {}).items()}
    params = report.params("train")
    folds = report.figures.folds
    fold = str(folds[0].fold) if len(folds) == 1 and folds[0].fold is not None else ""
    made = {
        "model": (report.model and report.model.name) or "",
        "kind": (report.store and report.store.kind) or "",
    }
    hyperparameters = params.get("hyperparameters")
    epochs = hyperparameters.get("epochs") if isinstance(hyperparameters, dict) else None
    untrained = all(each.training is None and each.per is UNSET for each in folds)
    if epochs is not None and not untrained:
        made["epochs"] = str(epochs)
    if report.level not in (None, "file"):
        made["level"] = str(report.level)
    made |= {k: f"{v:g}" for k, v in (report.conditions or {}).items()}
    if report.target != "label":
        made["target"] = report.target
    if report.protocol.declared.get(speakers.DECLARED):
        made["normalised"] = "by speaker"
    if report.protocol.declared.get(SOFT):
        made["learned"] = "shares of votes"
    made |= {k: str(v) for k, v in (("kept", report.kept), ("per", params.get("per"))) if v}
    seed = tags.pop("seed", str(params.get("seed", "")))
    return Result(name, report, tags, tags.pop("fold", fold), seed, made, _scoring(report))


def _scoring(report: AnyReport) -> dict[str, str]:
    params = report.params("eval")
    if isinstance(params.get("where"), list):  # of another fold other items: that is no other test
        texts = sorted(map(str, params["where"]))
        params["where"] = [text for text in texts if not _FOLD.match(text)]
    return {f"--{name}": repr(params[name]) for name in SCORING if params.get(name)}


def group(results: Iterable[Result]) -> list[list[Result]]:
    """Return results of equal tags (but fold and seed) together, in order of first sight.

    Raises InputError for two that say the same of themselves, or were not scored alike.
    """
    groups: dict[Any, list[Result]] = {}
    for each in results:
        for other in groups.setdefault(each.key, []):
            if (other.fold, other.seed) == (each.fold, each.seed):
                raise InputError(
                    f"{each.name}: has the same tags, seed and fold as {other.name};"
                    " distinguish them with eval --tag KEY=VALUE"
                )
            odd = sorted(dict(each.scoring.items() ^ other.scoring.items()))
            if odd:
                raise InputError(
                    f"{each.name}: has the same tags as {other.name}, but another {odd[0]} in eval;"
                    " distinguish them with eval --tag KEY=VALUE"
                )
        groups[each.key].append(each)
    return list(groups.values())


def pool(results: Sequence[Result]) -> Pooled:
    """Return the results of one system as one; see `group`.

    A run that lacked some of the others' classes in training, as a single speaker's may, never
    says them. Raises InputError where no run has all classes.
    """
    first = max(results, key=lambda each: len(_names(each.report)))
    classes = _names(first.report)
    numbers = isinstance(first.report, NumberReport)
    for each in results:
        same = isinstance(each.report, NumberReport) == numbers
        if not same or not set(_names(each.report)) <= set(classes):
            raise InputError(
                f"{each.name}: its classes are not those of {first.name}, which has the same tags;"
                " distinguish them with eval --tag KEY=VALUE"
            )
    results = [replace(each, report=_widened(each.report, classes)) for each in results]
    first = results[0]
    seeds = sorted({each.seed for each in results}, key=_natural)
    runs = [
        sorted((r for r in results if r.seed == s), key=lambda r: _natural(r.fold)) for s in seeds
    ]
    reports = [[each.report for each in run] for run in runs]
    own = [[report.figures for report in run] for run in reports]
    clusters, matrices = _matrices(own, len(classes))
    names = set.intersection(*(set(each.report.baselines) for each in results))
    baselines = {}
    for name in sorted(names):
        rows = [[report.baselines[name] for report in run] for run in reports]
        baselines[name] = _matrices(rows, len(classes))[1]
    return Pooled(
        tags=first.tags,
        made=first.made,
        classes=classes,
        seeds=seeds,
        folds=[[each.fold for each in run] for run in runs],
        reports=reports,
        clusters=clusters,
        unit="file" if clusters and not any(clusters) else "speaker",
        matrices=matrices,
        baselines=baselines,
        numbers=numbers,
        votes=_beside(reports, sorted(names), "votes"),
        calibration=_beside(reports, sorted(names), "calibration"),
    )


def _beside(
    runs: Sequence[Sequence[AnyReport]],
    baselines: Sequence[str],
    what: Literal["votes", "calibration"],
) -> PooledSums | None:
    """Return the sums of votes or of the calibration of one system's reports; None if one lacks it.

    Baselines that lack it are left out.
    """

    def found(name: str | None) -> tuple[list[str], np.ndarray] | None:
        rows = [
            [
                getattr(r.baselines[name] if name else r.figures, what)
                for r in run
                if isinstance(r, Report)
            ]
            for run in runs
        ]
        whole = rows[0] and all(own for row in rows for own in row)
        return _speaker_sums(rows) if whole else None

    own = found(None)
    if own is None:
        return None
    others = {name: pair[1] for name in baselines if (pair := found(name)) is not None}
    return PooledSums(*own, others)


def _speaker_sums(
    runs: Sequence[Sequence[VoteFigures | CalibrationFigures]],
) -> tuple[list[str], np.ndarray]:
    """Return (speakers, sums (speakers, runs, …)), the unknown ones last and called ""."""
    speakers: dict[str, np.ndarray] = {}
    rest = np.zeros((len(runs), len(runs[0][0].sums)))
    for i, run in enumerate(runs):
        for figures in run:
            rest[i] += figures.sums
            for name, sums in figures.speakers.items():
                speakers.setdefault(name, np.zeros_like(rest))[i] += sums
                rest[i] -= sums
    names = sorted(speakers)
    unknown = bool((rest[:, 0] > 0.5).any())
    rows = [speakers[name] for name in names] + ([rest] if unknown else [])
    stacked = np.stack(rows) if rows else np.zeros((0, *rest.shape))
    return [*names, *([""] if unknown else [])], stacked


def _names(report: AnyReport) -> list[str]:
    """Return the classes of a report, or the targets of one of numbers."""
    return list(report.figures.targets if isinstance(report, NumberReport) else report.classes)


def _widened(report: AnyReport, classes: Sequence[str]) -> AnyReport:
    """Return a report with a row and a column for each of `classes` in every confusion matrix."""
    if isinstance(report, NumberReport):
        return report
    own = report.classes
    if own == list(classes):
        return report
    place = np.ix_(*[[classes.index(name) for name in own]] * 2)

    def wide(matrix: list[list[int]]) -> list[list[int]]:
        made = np.zeros((len(classes),) * 2, np.int64)
        made[place] = matrix
        return [list(map(int, row)) for row in made]

    def widened(figures: Figures) -> Figures:
        by = {
            field: {name: changed(g, confusion=wide(g.confusion)) for name, g in groups.items()}
            for field, groups in figures.by.items()
        }
        return changed(figures, confusion=wide(figures.confusion), by=by)

    return changed(
        report,
        classes=list(classes),
        figures=widened(report.figures),
        baselines={name: widened(figures) for name, figures in report.baselines.items()},
    )


def _natural(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def _matrices(
    runs: Sequence[Sequence[Figures | NumberFigures]], n: int
) -> tuple[list[str], np.ndarray]:
    """Return (speakers, (speakers, runs, n, n)); units of unknown speaker are clusters named "".

    Of numbers (speakers, runs, n, 7), and all of unknown speaker are one cluster: what each of them
    was, the sums do not tell.
    """
    numbers = [[own for own in run if isinstance(own, NumberFigures)] for run in runs]
    if any(numbers):
        return _sums(numbers)
    counts = [[own for own in run if isinstance(own, Figures)] for run in runs]
    return _counts(counts, n)


def _sums(runs: Sequence[Sequence[NumberFigures]]) -> tuple[list[str], np.ndarray]:
    fields = list(runs[0][0].targets)
    shape = (len(runs), len(fields), regression.SUMS)
    speakers: dict[str, np.ndarray] = {}
    rest = np.zeros(shape)
    for i, run in enumerate(runs):
        for figures in run:
            rest[i] += np.array([figures.targets[name].sums for name in fields])
            for name, group in figures.by.get("speaker", {}).items():
                sums = np.array([group.sums[field] for field in fields])
                speakers.setdefault(name, np.zeros(shape))[i] += sums
                rest[i] -= sums
    names = sorted(speakers)
    unknown = bool((rest[..., 0] > 0.5).any())
    rows = [speakers[name] for name in names] + ([rest] if unknown else [])
    return [*names, *([""] if unknown else [])], np.stack(rows)


def _counts(runs: Sequence[Sequence[Figures]], n: int) -> tuple[list[str], np.ndarray]:
    speakers: dict[str, list[np.ndarray]] = {}
    _check_size(runs, n)
    rest = np.zeros((len(runs), n, n), np.int64)
    for i, run in enumerate(runs):
        for figures in run:
            left = np.array(figures.confusion, np.int64).reshape(n, n)
            for name, group in figures.by.get("speaker", {}).items():
                matrix = np.array(group.confusion, np.int64).reshape(n, n)
                empty = [np.zeros((n, n), np.int64) for _ in runs]
                speakers.setdefault(name, empty)[i] += matrix
                left -= matrix
            rest[i] += left
    known = [np.stack(rows) for _, rows in sorted(speakers.items())]
    units = [unit for i in range(len(runs)) for unit in _units(rest[i], i, len(runs))]
    stacked = np.stack([*known, *units]) if known or units else np.zeros((0, len(runs), n, n))
    return [*sorted(speakers), *[""] * len(units)], stacked.astype(np.int64, copy=False)


def _check_size(runs: Sequence[Sequence[Figures]], n: int) -> None:
    """Raise InputError where matrices of all speakers, and of tests of none, would fill memory."""
    names: set[str] = set()
    unknown = 0
    for figures in itertools.chain.from_iterable(runs):
        groups = figures.by.get("speaker", {})
        names |= groups.keys()
        unknown += figures.n - sum(group.n for group in groups.values())
    clusters = len(names) + unknown
    what = f"{n} classes' counts of {len(names)} speakers and {unknown} tests of unknown speaker,"
    try:
        afford(16 * clusters * len(runs) * n**2, what)
    except TooMuch as error:
        raise InputError(str(error)) from error


def _units(matrix: np.ndarray, run: int, runs: int) -> list[np.ndarray]:
    """Return each count of a confusion matrix as a cluster of its own, (runs, n, n)."""
    found = []
    for truth, predicted in zip(*np.nonzero(matrix), strict=True):
        one = np.zeros((runs, *matrix.shape), np.int64)
        one[run, truth, predicted] = 1
        found += [one] * int(matrix[truth, predicted])
    return found


def part(pooled: Pooled, name: str, value: str) -> Pooled | None:
    """Return what was tested on one corpus or gender; None where the reports have none of it.

    A corpus keeps its speakers, a gender is one cluster: a report does not say who is what.
    """
    rows = [
        [
            found
            for r in run
            if isinstance(r, Report) and (found := r.figures.by.get(name, {}).get(value))
        ]
        for run in pooled.reports
    ]
    if name not in PARTS or not all(rows):
        return None
    total = sum(row.n for run in rows for row in run)
    if total == pooled.matrices.sum():
        return pooled
    if name == "corpus":
        mine = [i for i, c in enumerate(pooled.clusters) if c.startswith(f"{value}/")]
        if pooled.matrices[mine].sum() == total:
            return _replaced(pooled, [pooled.clusters[i] for i in mine], pooled.matrices[mine])
    whole = [sum(np.array(row.confusion, np.int64) for row in run) for run in rows]
    return _replaced(pooled, [f"{name} {value}"], np.stack(whole)[None])


def shared(left: Pooled, right: Pooled) -> tuple[Pooled, Pooled]:
    """Return two systems cut to the speakers and the seeds that both have, to be paired.

    Each keeps its own seeds where they share none. Recordings of unknown speaker are left out.
    """
    speakers = (set(left.clusters) & set(right.clusters)) - {""}
    seeds = set(left.seeds) & set(right.seeds)
    return _cut(left, speakers, seeds), _cut(right, speakers, seeds)


def _cut(pooled: Pooled, speakers: set[str], seeds: set[str]) -> Pooled:
    rows = [i for i, name in enumerate(pooled.clusters) if name in speakers]
    runs = [i for i, seed in enumerate(pooled.seeds) if seed in seeds or not seeds]
    if len(rows) == len(pooled.clusters) and len(runs) == len(pooled.seeds):
        return pooled
    return replace(
        _replaced(pooled, [pooled.clusters[i] for i in rows], pooled.matrices[rows][:, runs]),
        seeds=[pooled.seeds[i] for i in runs],
        folds=[pooled.folds[i] for i in runs],
        baselines={name: rates[rows][:, runs] for name, rates in pooled.baselines.items()},
    )


def baseline(pooled: Pooled, name: str) -> Pooled:
    """Return one of a system's baselines as a system of its own."""
    made = _replaced(pooled, pooled.clusters, pooled.baselines[name])
    return replace(
        made,
        votes=_sums_of(pooled.votes, name),
        calibration=_sums_of(pooled.calibration, name),
    )


def _sums_of(own: PooledSums | None, name: str) -> PooledSums | None:
    if own is None or name not in own.baselines:
        return None
    return PooledSums(own.clusters, own.baselines[name])


def _replaced(pooled: Pooled, clusters: list[str], matrices: np.ndarray) -> Pooled:
    """Return the system with other clusters; what only whole reports say is gone."""
    return replace(
        pooled,
        reports=[],
        clusters=clusters,
        matrices=matrices,
        baselines={},
        votes=None,
        calibration=None,
    )


def differences(pooled: Pooled) -> list[str]:
    """Return the parameters of the stages up to `train` that differ in what was pooled."""
    found = [_parameters(report) for run in pooled.reports for report in run]
    names = {name for each in found for name in each}
    return sorted(n for n in names if len({each.get(n, repr(None)) for each in found}) > 1)


def _parameters(report: AnyReport) -> dict[str, str]:
    """Return the parameters of the stages up to `train`, each named by its stage."""
    found = {}
    times: Counter[str] = Counter()
    for step in report.lineage or []:
        stage = str(step.get("stage"))
        times[stage] += 1
        which = stage if times[stage] == 1 else f"{stage} {times[stage]}"
        for name, value in _flat(step.get("params") or {}):
            if name not in FREE_PARAMS and stage != "eval":
                found[f"{which} {name}"] = repr(value)
    return found


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@dataclass(frozen=True)
class Evidence:
    """The protocol of all that was pooled: a fact holds if it holds in every report.

    Numbers are (least, most) of a run's training and validation items, and of a seed's tests.
    """

    facts: dict[str, bool | None]
    test_augmented: bool
    files_split: int
    resplit: list[str]
    speaker_normalisation: bool
    n_train: tuple[int, int]
    n_val: tuple[int, int]
    n_test: tuple[int, int]
    n_speakers: int
    encoders: list[EncoderUsed]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, every fact beside the numbers."""
        rest = {k: v for k, v in vars(self).items() if k not in ("facts", "encoders")}
        return self.facts | rest | {"encoders": to_builtins(self.encoders)}


def evidence(pooled: Pooled) -> Evidence:
    """Return the protocol of all that was pooled."""
    protocols = [report.protocol for run in pooled.reports for report in run]
    tested = pooled.tested.sum(0)

    def span(name: str) -> tuple[int, int]:
        most = [p.of(f"{name}_most") or p.of(name) for p in protocols]
        return min(p.of(name) for p in protocols), max(most)

    return Evidence(
        facts={name: all_hold(p.facts.get(name) for p in protocols) for name in FACTS},
        test_augmented=any(p.test_augmented for p in protocols),
        files_split=max(
            (sum(r.protocol.files_split or 0 for r in run) for run in pooled.reports), default=0
        ),
        resplit=sorted({str(split) for p in protocols if (split := p.declared.get("resplit"))}),
        speaker_normalisation=any(p.declared.get(speakers.DECLARED) for p in protocols),
        n_train=span("n_train"),
        n_val=span("n_val"),
        n_test=(int(tested.min()), int(tested.max())),
        n_speakers=len([name for name in pooled.clusters if name]),
        encoders=encoders(pooled),
    )


def encoders(pooled: Pooled) -> list[EncoderUsed]:
    """Return what is known of the pre-trained encoders of all that was pooled."""
    reports = (report for run in pooled.reports for report in run)
    return contamination.together(report.protocol.encoders or [] for report in reports)
