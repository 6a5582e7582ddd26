"""Findings: sentences whose numbers are taken from the kept runs and the paper's cells."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.evaluation import measures, pooling, stuck
from sertool.evaluation.pooling import Pooled
from sertool.evaluation.report import Report
from sertool.papers.papers import FIELD, Cell, Deviation, Finding, Paper, Quote
from sertool.papers.study import Study
from sertool.papers.words import difference, runs_of, stuck_runs, unit, value

NOT_RUN = "(not run)"
UNITS = {"auc": "1", "macro_auc": "1", "weighted_auc": "1", "log_loss": "nats"} | {
    "train_log_loss": "nats", "support": "files", "correct": "files", "incorrect": "files",
    "count": "files",
}  # fmt: skip
MOST = 5000  # recordings or pictures that a printed row of shares may be of


class NoRun(InputError):
    """Nothing was run of what a finding quotes."""


def lines(study: Study, strict: bool) -> list[str]:
    """Return a paper's findings as sentences, each with its mark.

    strict: raise InputError for a number with no run behind it, instead of saying "not run"; one
    that is marked open may have such.
    """
    paper = study.paper
    if paper is None:
        return []
    made = []
    for i, finding in enumerate(paper.findings, 1):
        try:
            made.append(_sentence(study, paper, finding, strict))
        except InputError as error:
            raise type(error)(f"{paper.name}: finding {i}: {error}") from error
    return made


def _sentence(study: Study, paper: Paper, finding: Finding, strict: bool) -> str:
    told = {}
    for name, quote in finding.figures.items():
        try:
            told[name] = _quoted(study, paper, quote)
        except NoRun as error:
            if strict and finding.mark != "open":
                raise NoRun(f"{{{name}}}: {error}") from error
            told[name] = NOT_RUN
        except InputError as error:
            if strict:
                raise InputError(f"{{{name}}}: {error}") from error
            told[name] = NOT_RUN
    text = FIELD.sub(lambda match: told[match[1]], finding.text)
    by = f" (decided by the study's batch {finding.decides})" if finding.decides else ""
    return f"{finding.mark.capitalize()}: {text}{by}"


def _quoted(study: Study, paper: Paper, quote: Quote) -> str:
    """Return a figure as text: "66.1 % [56.3, 74.6]"."""
    if quote.cell:
        return _printed(paper, quote)
    if quote.cells:
        return _summed(paper, quote)
    if quote.figure == "ahead":
        return _ahead(study, quote)
    run = chosen(study, quote.run)
    if isinstance(quote.figure, str) and quote.figure in COUNTED:
        return COUNTED[quote.figure](run)
    figure = _figure(quote)
    own = _of(run, quote.baseline)
    if quote.minus or quote.over:
        other = chosen(study, quote.minus) if quote.minus else _of(run, quote.over)
        text = _difference(own, other, figure)
    else:
        found = measures.values(own, [figure])[0]
        if found is None:
            raise NoRun(f"these runs do not know {figure['measure']}")
        text = _with_unit(value(found, _unit(figure)), _unit(figure))
    text = text.partition(" [")[0] if quote.short else text
    return f"{text} ({tested(run)}, {runs_of(run)})" if quote.n else text


def _figure(quote: Quote) -> dict[str, str]:
    figure = {"measure": quote.figure} if isinstance(quote.figure, str) else quote.figure
    try:
        measures.check_figure(figure)
    except ValueError as error:
        raise InputError(str(error)) from error
    return figure


def _of(run: Pooled, baseline: str) -> Pooled:
    if baseline and baseline not in run.baselines:
        raise NoRun(f"these runs have no baseline {baseline!r}")
    return pooling.baseline(run, baseline) if baseline else run


def _difference(left: Pooled, right: Pooled, figure: Mapping[str, str]) -> str:
    """Return left − right over the speakers and seeds that both have.

    Without an interval where they are too few for one.
    """
    left, right = pooling.shared(left, right)
    reason = measures.same_test(left, right) if left.clusters else "no speaker is in both"
    if reason:
        raise InputError(f"cannot be compared: {reason}")
    if len(left.clusters) < measures.FEWEST:
        ours, theirs = (measures.values(system, [figure])[0] for system in (left, right))
        gap = ours.mean - theirs.mean if ours and theirs else math.nan
        found = None if math.isnan(gap) else measures.Difference(gap, None, None)
    else:
        found = measures.differences(left, right, [figure])[0]
    return _with_unit(difference(found, _unit(figure)), "points")


def _with_unit(text: str, unit: str) -> str:
    """Return "66.1 % [56.3, 74.6]" for the lines of a table's cell."""
    head, _, interval = text.partition("\n")
    told = "" if unit == "1" else f" {unit}"
    return f"{head}{told} {interval}".strip()


def _unit(figure: Mapping[str, str]) -> str:
    metric = metrics.known().get(figure["measure"])
    return unit(metric.name) if metric else UNITS.get(figure["measure"], "%")


def tested(run: Pooled) -> str:
    """Return "339 recordings": what a seed was tested on."""
    n = round(run.matrices.sum() / len(run.seeds))
    if pooling.evidence(run).test_augmented:
        return f"{n} recordings and copies"
    return f"{n} {'items' if run.made.get('level') == 'item' else 'recordings'}"


def _epochs(run: Pooled) -> str:
    if "epochs" not in run.values:
        raise NoRun("these runs have no epochs")
    return run.values["epochs"]


def _stuck(run: Pooled) -> str:
    failed = stuck.count(run)
    if failed is None:
        raise NoRun("these runs have no training")
    return stuck_runs(failed)


def _ahead(study: Study, quote: Quote) -> str:
    """Return how often `run` is right more often than `minus`: "19 of 36 (2 equal; …)".

    One of each pair has the tags of `run` and the other those of `minus`, and all others alike;
    each seed and fold of them counts by itself. Equal ones are left out of the sign test.
    """
    runs = [run for system in study.systems for run in system.runs.values()]
    others = [run for run in runs if _has(run, quote.minus)]
    open_ = {*quote.run, *quote.minus}

    def rest(run: Pooled) -> dict[str, str]:
        return {key: value for key, value in run.values.items() if key not in open_}

    ahead = behind = equal = 0
    for left in (run for run in runs if _has(run, quote.run)):
        for right in (other for other in others if rest(other) == rest(left)):
            one, two = _right(left), _right(right)
            for key in one.keys() & two.keys():
                ahead += one[key] > two[key]
                behind += one[key] < two[key]
                equal += one[key] == two[key]
    pairs = ahead + behind + equal
    if not pairs:
        raise NoRun(f"no pairs of {quote.run} and {quote.minus}")
    unequal, fewer = ahead + behind, min(ahead, behind)
    p = min(1.0, 2 * sum(math.comb(unequal, k) for k in range(fewer + 1)) / 2**unequal)
    return f"{ahead} of {pairs} ({equal} equal; sign test p = {p:.2f})"


def _right(run: Pooled) -> dict[tuple[str, str], float]:
    """Return the accuracy of each seed and fold."""
    return {
        (seed, fold): float(metrics.accuracy(np.array(report.figures.confusion)))
        for seed, folds, reports in zip(run.seeds, run.folds, run.reports, strict=True)
        for fold, report in zip(folds, reports, strict=True)
        if isinstance(report, Report)
    }


def _has(run: Pooled, tags: Mapping[str, str]) -> bool:
    return all(_tag(run, key) == value for key, value in tags.items())


COUNTED: dict[str, Callable[[Pooled], str]] = {
    "stuck": _stuck, "runs": runs_of, "tested": tested, "epochs": _epochs,
}  # fmt: skip


def chosen(study: Study, tags: Mapping[str, str]) -> Pooled:
    """Return what was run with these tags, "" for a tag that must not be there.

    A tag that is not named must be absent, or the same in all that have the named ones. Raises
    NoRun for none, InputError for several, with what tells them apart.
    """
    runs = [run for system in study.systems for run in system.runs.values()]
    found = [run for run in runs if _has(run, tags)]
    told = " ".join(f"{key}={value}" for key, value in tags.items())
    if not found:
        raise NoRun(f"nothing was run with {told}")
    keys = dict.fromkeys(key for run in found for key in run.values if key not in tags)
    open_ = [key for key in keys if len({_tag(run, key) for run in found}) > 1]
    usual = [run for run in found if not any(_tag(run, key) for key in open_)]
    if len(found) > 1 and len(usual) != 1:
        choices = (f"{key}={'|'.join(sorted({_tag(run, key) for run in found}))}" for key in open_)
        raise InputError(f"several were run with {told}: name one of {', '.join(choices)}")
    return usual[0] if len(found) > 1 else found[0]


def _tag(run: Pooled, key: str) -> str:
    own = run.values.get(key, "")
    return "" if (key, own) == ("level", "file") and "level" not in run.tags else own


# --- printed numbers ---


def _printed(paper: Paper, quote: Quote) -> str:
    cell = _cell(paper, quote.cell, _figure(quote))
    if not quote.minus:
        spread = "" if cell.sd is None else f" ± {cell.sd}"
        return _with_unit(f"{cell.value}{spread}", cell.unit)
    less = Decimal(cell.value) - Decimal(_cell(paper, quote.minus, _figure(quote)).value)
    return _with_unit(f"{less:+}", "points")


def _cell(paper: Paper, tags: Mapping[str, str], figure: Mapping[str, str]) -> Cell:
    found = [cell for cell in _matching(paper, tags) if cell.figure == figure]
    if len(found) != 1:
        raise InputError(f"{len(found)} cells have {tags} and {dict(figure)}")
    return found[0]


def _matching(paper: Paper, tags: Mapping[str, str]) -> list[Cell]:
    """Return the cells with these tags, "" for one that must not be there.

    diagonal = "yes" stands for those of right predictions.
    """
    wanted = {key: value for key, value in tags.items() if key != "diagonal"}
    found = []
    for cell in paper.cells:
        own = {"table": cell.table} | cell.tags | cell.figure
        right = "truth" in own and own["truth"] == own.get("prediction")
        same = all(own.get(key, "") == value for key, value in wanted.items())
        if same and (right or "diagonal" not in tags):
            found.append(cell)
    return found


def _summed(paper: Paper, quote: Quote) -> str:
    cells = _matching(paper, quote.cells)
    if not cells or not isinstance(quote.figure, str) or quote.figure not in SUMS:
        raise InputError(f"{len(cells)} cells have {quote.cells}; figure: {', '.join(SUMS)}")
    return SUMS[quote.figure](cells)


def _total(cells: Sequence[Cell]) -> str:
    return _with_unit(str(sum(Decimal(cell.value) for cell in cells)), cells[0].unit)


def _mean(cells: Sequence[Cell]) -> str:
    decimals = max(_decimals(cell) for cell in cells)
    mean = sum(Decimal(cell.value) for cell in cells) / len(cells)
    return _with_unit(f"{mean:.{decimals}f}", cells[0].unit)


def _decimals(cell: Cell) -> int:
    return max(0, -int(Decimal(cell.value).as_tuple().exponent))


def smallest(cells: Sequence[Cell]) -> int | None:
    """Return the smallest number of recordings of which shares in % can be, as they are printed.

    Of shares of several classes the sum of each class's number; None where one has none up to
    `MOST`.
    """
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.figure.get("truth", ""), []).append(cell)
    total = 0
    for row in rows.values():
        fits = (n for n in range(1, MOST + 1) if all(_fits(cell, n) for cell in row))
        found = next(fits, None)
        if found is None:
            return None
        total += found
    return total


def _fits(cell: Cell, n: int) -> bool:
    """Return whether a share printed in % is that of a whole number out of n."""
    off = Decimal(5).scaleb(-_decimals(cell) - 1)
    nearest = round(Decimal(cell.value) * n / 100)
    return abs(Decimal(100 * nearest) / n - Decimal(cell.value)) <= off


def _least(cells: Sequence[Cell]) -> str:
    found = smallest(cells)
    return f"more than {MOST}" if found is None else str(found)


SUMS: dict[str, Callable[[Sequence[Cell]], str]] = {
    "sum": _total, "mean": _mean, "smallest count": _least,
}  # fmt: skip


# --- deviations ---


def line_of(deviation: Deviation, root: Path) -> tuple[str, int]:
    """Return the file below `root` and the line (from 1) where a deviation's symbol is defined.

    The symbol may be dotted, "Settings.decay": each part is looked for after the one before.
    Raises InputError where the file or the symbol is gone.
    """
    name, _, symbol = deviation.code.partition("#")
    try:
        text = (root / name).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"deviation {deviation.code}: {error.strerror}") from error
    at = -1
    for part in symbol.split("."):
        defined = re.compile(
            rf"\s*(?:(?:async )?def |class |export )?{re.escape(part)}\b\s*[(:=\[]"
        )
        after = [i for i, line in enumerate(text) if i > at and defined.match(line)]
        if not after:
            raise InputError(f"deviation {deviation.code}: {name} defines no {part}")
        at = after[0]
    return name, at + 1
