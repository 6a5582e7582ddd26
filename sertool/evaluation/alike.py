"""A report that tells of a checkpoint: of its own tests, or those of models trained alike."""

from __future__ import annotations

from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.evaluation.report import AnyReport, NumberReport, Warn, read
from sertool.formats.checkpoint import Checkpoint, Header


def of_model(path: Path, header: Header, warn: Warn) -> AnyReport:
    """Return the report in a file; InputError where it is of another model than `header`'s.

    Alike are models of one name and kind of feature that say the same classes or numbers. warn: see
    `report.read`.
    """
    report, name = read(path, warn), show(path)
    numbers = isinstance(report, NumberReport)
    said = list(report.figures.targets) if isinstance(report, NumberReport) else report.classes
    if numbers != bool(header.numbers):
        raise InputError(f"{name}: is of {'numbers' if numbers else 'classes'}, unlike the model")
    if sorted(said) != sorted(header.outputs):
        what = "numbers" if numbers else "classes"
        theirs, ours = (", ".join(map(show, names)) for names in (said, header.outputs))
        raise InputError(f"{name}: its {what} are {theirs}, not {ours}")
    model = (report.model and report.model.name) or "none"
    if model != header.model.name:
        raise InputError(f"{name}: is of the model {show(model)}, not {show(header.model.name)}")
    kind = report.store and report.store.kind
    if kind not in (None, "wave", header.kind):  # a store of waveforms suits every model
        raise InputError(f"{name}: is of features of kind {kind}, not {header.kind}")
    return report


def tested(report: AnyReport, checkpoint: Checkpoint) -> tuple[bool, int]:
    """Return whether a report tests this very checkpoint, and how many others."""
    given = report.params("eval").get("checkpoints")
    rows = given if isinstance(given, list) else []
    identities = {row[1] for row in rows if isinstance(row, list) and len(row) == 2}
    itself = checkpoint.identity in identities
    return itself, max(len(report.figures.folds), len(identities)) - itself
