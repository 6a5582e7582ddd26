"""What the functions of the API return: reports of tests, and audits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sertool.api.calls import AnyPath
from sertool.core.errors import InputError
from sertool.evaluation import audit_files
from sertool.evaluation import report as reports
from sertool.evaluation.audit_text import render as render_audit
from sertool.formats.outputs import atomic, check_output
from sertool.ui.console import Failure

WIDTH = 100  # columns of a report that is printed


class Report(reports.Report, kw_only=True):
    """The results of `evaluate`: metrics on held-out items, and how far they can be trusted.

    figures: of the model; baselines: the same of the majority and of the linear model, where the
    checkpoint has them. protocol: what train and test have in common. items: each tested file with
    its posterior, unless `summary=True`. `print` shows the tables of `sertool eval`.

    >>> report = Report.open("report.json")
    >>> report.figures.n, report.accuracy, report.metrics["uar"] == report.uar
    (16, 0.625, True)
    >>> report.confusion[report.classes.index("sadness")].tolist()  # a row of the truth
    [0, 0, 0, 4]
    >>> len(report.items), report.items[0].truth, report.protocol.facts["speaker_disjoint"]
    (16, 'anger', True)
    """

    @classmethod
    def open(cls, path: AnyPath) -> Report:
        """Open a report of classes (JSON); InputError if the file is not one.

        >>> Report.open("report.json").baselines["majority"].uar
        0.25
        """
        found = printable(reports.read(Path(path)))
        if not isinstance(found, Report):
            raise InputError(f"{path}: a report of numbers; open it with NumberReport")
        return found

    @property
    def metrics(self) -> dict[str, float | None]:
        """Every metric by name, as a fraction; None where it is undefined."""
        return dict(self.figures.metrics)

    @property
    def accuracy(self) -> float | None:
        """The share of correct predictions (WA)."""
        return self.figures.metrics.get("accuracy")

    @property
    def uar(self) -> float | None:
        """Unweighted average recall."""
        return self.figures.uar

    @property
    def confusion(self) -> np.ndarray:
        """Counts, shape (classes, classes), rows the truth, in the order of `classes`."""
        return np.array(self.figures.confusion)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values.

        >>> Report.open("report.json").to_json()["format"]
        'sertool-report'
        """
        found: dict[str, Any] = json.loads(reports.dumps(self))
        return found

    def save(self, path: AnyPath, force: bool = False) -> None:
        """Write the report (JSON), as `sertool eval --json`; `force` replaces a file.

        >>> Report.open("report.json").save("copy.json")
        """
        target = Path(path)
        check_output(target, force, False, [])
        with atomic(target) as temporary:
            temporary.write_text(reports.dumps(self), encoding="utf-8")

    def __repr__(self) -> str:
        return f"<Report of {self.figures.n} tests, UAR {self.uar}>"

    def __str__(self) -> str:
        from sertool.evaluation.terminal import render
        from sertool.ui import tables

        return tables.render(render(self, WIDTH), width=WIDTH)


class NumberReport(reports.NumberReport, kw_only=True):
    """The results of `evaluate` for a model of numbers (`train(target="valence,arousal")`).

    figures.targets: of each field `ccc`, `pearson`, `rmse`, `mae`, and `ci`, their intervals over
    speakers; baselines: the same of the mean and of ridge regression. protocol: what train and test
    have in common. items: each tested file with its true and its predicted numbers, unless
    `summary=True`. `print` shows the tables of `sertool eval`.

    >>> report = NumberReport.open("numbers.json")
    >>> report, sorted(report.baselines)
    (<NumberReport of 16 tests, pitch, level>, ['mean', 'ridge'])
    >>> report.figures.targets["pitch"].n, -1 <= report.figures.targets["pitch"].ccc <= 1
    (16, True)
    """

    @classmethod
    def open(cls, path: AnyPath) -> NumberReport:
        """Open a report of numbers (JSON); InputError if the file is not one.

        >>> NumberReport.open("numbers.json").target
        'pitch,level'
        """
        found = printable(reports.read(Path(path)))
        if not isinstance(found, NumberReport):
            raise InputError(f"{path}: a report of classes; open it with Report")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values.

        >>> NumberReport.open("numbers.json").to_json()["kind"]
        'numbers'
        """
        found: dict[str, Any] = json.loads(reports.dumps(self))
        return found

    def save(self, path: AnyPath, force: bool = False) -> None:
        """Write the report (JSON), as `sertool eval --json`; `force` replaces a file.

        >>> NumberReport.open("numbers.json").save("numbers-copy.json")
        """
        target = Path(path)
        check_output(target, force, False, [])
        with atomic(target) as temporary:
            temporary.write_text(reports.dumps(self), encoding="utf-8")

    def __repr__(self) -> str:
        return f"<NumberReport of {self.figures.n} tests, {', '.join(self.figures.targets)}>"

    def __str__(self) -> str:
        from sertool.evaluation.terminal import render
        from sertool.ui import tables

        return tables.render(render(self, WIDTH), width=WIDTH)


def printable(report: reports.AnyReport) -> Report | NumberReport:
    """Return a report as the API gives it: without the checksum, which is of its file."""
    names = set(report.__struct_fields__) - {"sha256"}
    fields = {name: getattr(report, name) for name in names}
    return NumberReport(**fields) if "classes" not in fields else Report(**fields)


class Audit(Mapping[str, bool | None]):
    """What two files share: for each fact whether it holds, None where that is unknown.

    shared: how many values of each fact are on both sides. links: each tested item that shares
    something, and with what. advice: what to do about it. failures: lines and recordings that could
    not be read. `print` shows the table of `sertool info --audit`.

    >>> facts = audit("mel.h5")
    >>> [name for name, holds in facts.items() if not holds]
    ['text_disjoint']
    >>> facts.shared["text_disjoint"], facts.links[0].fact, facts.links[0].value
    (2, 'text_disjoint', 'demo/s1')
    """

    def __init__(self, result: audit_files.Audit, failures: Sequence[Failure] = ()) -> None:
        self._result, self.failures = result, list(failures)
        self._facts = {name: fact.apart for name, fact in result.facts.items()}
        self.shared = {name: fact.shared for name, fact in result.facts.items()}
        self.links = result.links
        self.advice = result.advice

    def __getitem__(self, fact: str) -> bool | None:
        return self._facts[fact]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __repr__(self) -> str:
        return f"<Audit {self._facts}>"

    def __str__(self) -> str:
        return render_audit(self._result)

    def to_json(self) -> dict[str, Any]:
        """Return the audit as JSON values, without the links.

        >>> audit("mel.h5").to_json()["folds"]
        4
        """
        return self._result.to_json()
