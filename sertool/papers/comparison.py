"""Two systems side by side, as blocks of a page and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from sertool.evaluation import contamination
from sertool.evaluation.measures import LEVEL
from sertool.papers.study_json import difference_json, value_json
from sertool.papers.words import difference, named, unit, value
from sertool.ui.tables import Block, Grid, Text

if TYPE_CHECKING:
    from sertool.papers.reporting import Comparison


def page(pairs: Sequence[Comparison]) -> list[Block]:
    """Return a table a pair, and what the intervals and p are."""
    blocks: list[Block] = []
    for pair in pairs:
        rows = []
        for name, line in pair.figures.items():
            unit_ = unit(name)
            rows.append(
                [
                    named(name) + (", %" if unit_ == "%" else ""),
                    value(line.left, unit_),
                    value(line.right, unit_),
                    difference(line.gap, unit_),
                    "" if line.gap is None or line.gap.p is None else p_value(line.gap.p),
                ]
            )
        blocks.append(Grid(["", pair.left, pair.right, "difference", "p"], rows, 1))
    if told := _encoders(pairs):
        blocks.append(Text(["", *told]))
    if pairs:
        several = next(iter(pairs[0].figures.values())).left
        seeds = " and seeds" if several and several.n_seeds > 1 else ""
        blocks.append(
            Text(
                [
                    f"{100 * LEVEL:g} % intervals and two-sided p from a bootstrap over"
                    f" {pairs[0].n_speakers} speakers{seeds}, the same drawn for both;"
                    f" {pairs[0].n_tested} tested."
                ]
            )
        )
    return blocks


def _encoders(pairs: Sequence[Comparison]) -> list[str]:
    """Return what is known of each system's pre-trained encoders, said once."""
    lines = [
        f"{name}: {contamination.said(one)[0]}"
        for pair in pairs
        for name, own in zip((pair.left, pair.right), pair.encoders, strict=True)
        for one in own
    ]
    return list(dict.fromkeys(lines))


def p_value(p: float) -> str:
    """Return "0.034", or "≤ 0.001" at the limit of what the draws can show."""
    return "≤ 0.001" if p <= 0.001 else f"{p:.3f}"


def json_values(pairs: Sequence[Comparison]) -> dict[str, Any]:
    """Return the pairs as JSON has them: rates and differences are fractions."""
    return {
        "format": "sertool-comparison",
        "version": 1,
        "pairs": [
            {
                "systems": [pair.left, pair.right],
                "n_speakers": pair.n_speakers,
                "n_tested": pair.n_tested,
                "encoders": to_builtins(pair.encoders),
                "figures": {
                    name: {
                        "systems": [value_json(line.left), value_json(line.right)],
                        "difference": difference_json(line.gap),
                    }
                    for name, line in pair.figures.items()
                },
            }
            for pair in pairs
        ],
    }
