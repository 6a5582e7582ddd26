"""Temperature scaling (Guo et al. 2017): posteriors as sure as they are right."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.evaluation import reliability
from sertool.evaluation.alike import of_model
from sertool.evaluation.report import Report, Warn, ignored
from sertool.formats.checkpoint import Calibration, Checkpoint, Header
from sertool.models.inner_folds import fit_temperature


def apply(checkpoint: Checkpoint, name: str, report: Path, warn: Warn = ignored) -> None:
    """Give a checkpoint the temperature that suits a report's items best, each class alike.

    name: of the checkpoint, for messages. warn: see `report.read`. Raises InputError where the
    report has no items, is of another model or of other classes, or of items that its models were
    trained on, and where the checkpoint is calibrated already.
    """
    header = checkpoint.header
    if header.calibration is not None:
        raise InputError(f"{name}: is calibrated already; name the checkpoint that train made")
    if header.per is not None:
        raise InputError(f"{name}: holds a model per {header.per.field}; calibrate single models")
    if not header.classes:
        raise InputError(f"{name}: says numbers; only posteriors of classes are calibrated")
    truth, posterior = _items(report, header, warn)
    temperature = temperature_of(truth, posterior)
    found = Calibration(
        temperature=temperature,
        items=len(truth),
        error_before=reliability.calibration_error(truth, posterior),
        error_after=reliability.calibration_error(truth, metrics.tempered(posterior, temperature)),
    )
    checkpoint.meta["calibration"] = msgspec.to_builtins(found)


def temperature_of(truth: np.ndarray, posterior: np.ndarray) -> float:
    """Return the temperature of least log loss of posteriors (n, classes), each class alike."""
    counts = np.bincount(truth, minlength=posterior.shape[1])
    weights = len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    logits = np.log(np.maximum(posterior, np.finfo(np.float64).tiny))
    return 1 / fit_temperature(logits, truth, weights)


def _items(path: Path, header: Header, warn: Warn) -> tuple[np.ndarray, np.ndarray]:
    """Return (truth (n,), posteriors (n, classes)) of a report's items; InputError for none."""
    report, classes = of_model(path, header, warn), header.classes
    assert isinstance(report, Report)
    if report.protocol.facts.get("origin_disjoint") is False:
        raise InputError(f"{show(path)}: its models were trained on items that it tests")
    if not report.items:
        raise InputError(f"{show(path)}: has no items; eval without --summary keeps them")
    number = {name: k for k, name in enumerate(classes)}
    rows = [[item.posterior[name] for name in classes] for item in report.items]
    return np.array([number[item.truth] for item in report.items]), np.array(rows)
