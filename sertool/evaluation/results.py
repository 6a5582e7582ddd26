"""From truth and posteriors to the figures of a report, as JSON values."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.evaluation import curves
from sertool.evaluation import report_shape as shape
from sertool.items import Item

FORMAT = "sertool-report"
VERSION = 1
NEEDED: dict[str, Any] = dict.fromkeys(("accuracy", "uar", "macro_f1"), int | float) | {
    **dict.fromkeys(("classes", "confusion", "folds"), list),
    **dict.fromkeys(("per_class", "ci", "by", "baselines", "protocol"), dict),
}
GROUPS = ("speaker", "gender", "corpus")
MOST_UNKNOWN = 1_000_000  # each is a cluster of its own in a bootstrap


@dataclass(frozen=True)
class Tested:
    """What was tested, one entry a unit (a file, or an item): who said what, held out by whom.

    truth: (n,) indices into `classes`. checkpoint: (n,) indices into `checkpoints`, their names.
    units: `id`, `corpus`, `speaker`, `gender`, each None where unknown.
    """

    classes: list[str]
    truth: np.ndarray
    units: list[Item]
    checkpoint: np.ndarray
    checkpoints: list[str]


def number(value: float) -> float | None:
    """Return a rate as JSON has it: null where it is undefined."""
    return None if math.isnan(value) else float(value)


def summary(matrix: np.ndarray) -> dict[str, float | None]:
    """Return accuracy, uar and macro_f1 of one confusion matrix."""
    return {name: number(float(rate(matrix))) for name, rate in metrics.SUMMARIES.items()}


def group_of(unit: Item, field: str) -> str | None:
    """Return a unit's group; a speaker's is "corpus/speaker", for names are a corpus's own."""
    value = unit.get(field)
    if value in (None, ""):
        return None
    return f"{unit.get('corpus') or ''}/{value}" if field == "speaker" else str(value)


def clusters(units: Sequence[Item]) -> tuple[list[Hashable], str]:
    """Return (the cluster that each unit is drawn with, what a cluster is: "speaker" or "file").

    A unit of unknown speaker is a cluster of its own; clusters are files only if no speaker is
    known at all.
    """
    names: list[Hashable] = []
    known = False
    for i, unit in enumerate(units):
        speaker = group_of(unit, "speaker")
        known = known or speaker is not None
        names.append(i if speaker is None else speaker)
    return names, "speaker" if known else "file"


def figures(
    tested: Tested,
    posterior: np.ndarray,
    predicted: np.ndarray,
    *,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Return every figure of one system: model or baseline.

    posterior: (n, classes); predicted: (n,) indices. `ci` holds percentile intervals of a
    bootstrap over speakers, `by` a confusion matrix for each speaker, gender and corpus, `folds`
    each checkpoint on its own units, `mean_of_folds` their mean and sample standard deviation.
    """
    classes, truth = tested.classes, tested.truth
    matrix = metrics.confusion(truth, predicted, len(classes))
    return {
        **summary(matrix),
        "log_loss": number(metrics.log_loss(truth, posterior)),
        "per_class": _per_class(
            classes,
            matrix,
            auc=metrics.aucs(truth, posterior),
            mean_probability=metrics.true_probabilities(truth, posterior),
        ),
        "confusion": matrix.tolist(),
        "ci": _intervals(tested, predicted, level, seed),
        "by": {field: _by(tested, predicted, field) for field in GROUPS},
        **_folds(tested, predicted),
    }


def _per_class(
    classes: Sequence[str], matrix: np.ndarray, **columns: np.ndarray
) -> dict[str, dict[str, Any]]:
    rates = {
        "precision": metrics.precisions(matrix),
        "recall": metrics.recalls(matrix),
        "f1": metrics.f1_scores(matrix),
    }
    support = matrix.sum(1)

    def row(i: int, given: dict[str, np.ndarray]) -> dict[str, Any]:
        return {key: number(float(column[i])) for key, column in given.items()}

    return {
        name: row(i, rates) | {"support": int(support[i])} | row(i, columns)
        for i, name in enumerate(classes)
    }


def _intervals(tested: Tested, predicted: np.ndarray, level: float, seed: int) -> dict[str, Any]:
    names, unit = clusters(tested.units)
    found, matrices = metrics.cluster_matrices(tested.truth, predicted, names, len(tested.classes))
    limits = metrics.bootstrap(matrices, level, seed=seed)
    return {
        "level": level,
        "unit": unit,
        "n_units": len(found),
        "resamples": metrics.RESAMPLES,
        "seed": seed,
        **{name: [number(value) for value in pair] for name, pair in limits.items()},
    }


def _by(tested: Tested, predicted: np.ndarray, field: str) -> dict[str, dict[str, Any]]:
    """One entry a value of `field`, sorted; units of unknown value are left out."""
    groups = [group_of(unit, field) for unit in tested.units]
    known = np.array([group is not None for group in groups], bool)
    names, matrices = metrics.cluster_matrices(
        tested.truth[known],
        predicted[known],
        [group for group in groups if group is not None],
        len(tested.classes),
    )
    rows = sorted(zip(map(str, names), matrices, strict=True), key=lambda row: row[0])
    return {
        name: {
            "n": int(matrix.sum()),
            "accuracy": number(float(metrics.accuracy(matrix))),
            "uar": number(float(metrics.uar(matrix))),
            "confusion": matrix.tolist(),
        }
        for name, matrix in rows
    }


def _folds(tested: Tested, predicted: np.ndarray) -> dict[str, Any]:
    rows = []
    for i, name in enumerate(tested.checkpoints):
        mine = tested.checkpoint == i
        matrix = metrics.confusion(tested.truth[mine], predicted[mine], len(tested.classes))
        rows.append({"checkpoint": name, "n": int(mine.sum()), **summary(matrix)})
    mean: dict[str, Any] | None = None
    if len(rows) > 1:
        values = {key: np.array([row[key] for row in rows], float) for key in metrics.SUMMARIES}
        mean = {key: number(float(column.mean())) for key, column in values.items()}
        mean["sd"] = {key: number(float(column.std(ddof=1))) for key, column in values.items()}
        mean["n"] = len(rows)
    return {"folds": rows, "mean_of_folds": mean}


def dumps(report: dict[str, Any]) -> str:
    """Return a report as JSON text: one line a field, and one a tested item.

    Equal reports give equal text, and two of them can be compared line by line.
    """

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    fields = []
    for key, value in report.items():
        if key == "items" and value:
            body = "[\n  " + ",\n  ".join(text(item) for item in value) + "\n ]"
        elif isinstance(value, dict) and key in ("by", "baselines", "per_class"):
            rows = ",\n  ".join(f"{text(name)}: {text(row)}" for name, row in value.items())
            body = "{\n  " + rows + "\n }" if rows else "{}"
        else:
            body = text(value)
        fields.append(f" {text(key)}: {body}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def check(report: Any, name: str) -> dict[str, Any]:
    """Return `report` if it is one; InputError naming it if it is none, or newer than this."""
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"{name}: no report of sertool")
    if not isinstance(report.get("version"), int) or report["version"] > VERSION:
        raise InputError(
            f"{name}: report version {report.get('version')} is newer than this sertool's"
            f" ({VERSION}); update sertool"
        )
    for key, kind in NEEDED.items():
        if not isinstance(report.get(key), kind):
            raise InputError(f"{name}: a damaged report, without {key}")
    try:
        _check_inside(report)
    except ValueError as error:
        raise InputError(f"{name}: a damaged report: {error}") from error
    return report


def _check_inside(report: dict[str, Any]) -> None:
    """Raise ValueError where what other programs compute with is not as `eval` writes it."""
    try:
        json.dumps(report, allow_nan=False)
    except ValueError as error:
        raise ValueError("a number is not finite") from error
    shape.check(report)
    for fold in report["folds"]:
        curves.check(fold.get("training"))
    n = len(report["classes"])
    for figures in (report, *report["baselines"].values()):
        total = _counts(figures["confusion"], n)
        named = np.zeros_like(total)
        for field, groups in figures["by"].items():
            parts = np.zeros_like(total)
            for group in groups.values():
                matrix = _counts(group["confusion"], n)
                if group["n"] != matrix.sum():
                    raise ValueError(f"the counts by {show(field)} contradict themselves")
                parts += matrix
            if (parts > total).any():
                raise ValueError(f"the counts by {show(field)} are more than those of all")
            named = parts if field == "speaker" else named
        if (total - named).sum() > MOST_UNKNOWN:
            raise ValueError(f"more than {MOST_UNKNOWN} tests are of unknown speakers")


def _counts(rows: list[list[int]], n: int) -> np.ndarray:
    """Return a confusion matrix (n, n) of counts from JSON; ValueError where it is none."""
    if [len(row) for row in rows] != [n] * n:
        raise ValueError(f"a confusion matrix is not {n} by {n}")
    return np.array(rows, np.int64)


def read(path: Path) -> dict[str, Any]:
    """Return the report in a file; InputError where it cannot be read or is none."""
    try:
        return check(json.loads(path.read_bytes()), show(path))
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{show(path)}: no report of sertool") from error
