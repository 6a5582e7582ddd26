"""A study as JSON values: rates are fractions, published numbers as printed, "%" and all."""

from __future__ import annotations

from typing import Any

from sertool.evaluation import measures, pooling
from sertool.evaluation.measures import Difference, Value
from sertool.papers import convergence
from sertool.papers.study import Row, Study, System


def json_values(study: Study) -> dict[str, Any]:
    """Return a study: what was run, and each table's rows."""
    return {
        "format": "sertool-study",
        "version": 1,
        "paper": study.paper.name if study.paper else None,
        "systems": [_system_json(system) for system in study.systems],
        "tables": [
            {
                "table": section.table.id,
                "title": section.table.title,
                "where": section.table.where,
                "rows": [_row_json(row) for row in section.rows],
            }
            for section in study.sections
        ],
    }


def _system_json(system: System) -> dict[str, Any]:
    def rates(run: pooling.Pooled, name: str = "") -> dict[str, Any]:
        figures = measures.overall(run)
        found = measures.values(pooling.baseline(run, name) if name else run, figures)
        return {measures.name_of(f): value_json(v) for f, v in zip(figures, found, strict=True)}

    runs = {}
    for tag, run in system.runs.items():
        runs[tag] = {
            "seeds": run.seeds,
            "folds": run.folds,
            "protocol": pooling.evidence(run).to_dict(),
            **rates(run),
            "targets" if run.numbers else "classes": run.classes,
            "training": convergence.json_value(run),
            "sums" if run.numbers else "confusion": run.matrices.sum(0).tolist(),
            "baselines": {name: rates(run, name) for name in run.baselines},
        }
    return {"tags": system.tags, "protocols": runs}


def _row_json(row: Row) -> dict[str, Any]:
    made: dict[str, Any] = {"tags": row.tags, "figure": row.figure, "unit": row.unit}
    if row.baseline:
        made["baseline"] = row.baseline
    if row.published:
        cell = row.published
        made["paper"] = {"value": float(cell.value)}
        made["paper"] |= {"sd": float(cell.sd)} if cell.sd is not None else {}
        made["paper"] |= {"note": cell.note} if cell.note else {}
    made["measured"] = {tag: value_json(v) for tag, v in row.measured.items()}
    if row.gap:
        made["gap"] = difference_json(row.gap)
    if not row.run:
        made["not_run"] = row.reason or None
    return made


def value_json(found: Value | None) -> dict[str, Any] | None:
    """Return a value as JSON has it."""
    if found is None:
        return None
    rates = {"mean": found.mean, "sd": found.sd, "ci": found.ci}
    return rates | {"over": found.over or None, "n_seeds": found.n_seeds}


def difference_json(found: Difference | None) -> dict[str, Any] | None:
    """Return a difference as JSON has it."""
    return None if found is None else {"value": found.value, "ci": found.ci, "p": found.p}
