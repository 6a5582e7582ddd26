"""How far raters agree: Krippendorff's alpha, by its own package: `sertool[agreement]`.

Alpha is 1 less the observed disagreement of pairs of ratings of one item, over that of all pairs:
nominal of classes, interval (squared differences) of numbers. Raters may be missing (Krippendorff,
Content analysis, 4th edition, chapter 12).
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sertool import votes
from sertool.items import Item, number
from sertool.ui.words import plural

MOST = 30_000_000  # items × values × values: the package holds a table of them, some 0.5 GB


def lines(utterances: Sequence[Item]) -> list[str]:
    """Return lines for people: how many are rated, how many have no majority, and the agreement."""
    told = []
    found = [votes.votes_of(item) for item in utterances]
    rated = [own for own in found if own]
    agreed = {}
    if rated:
        ties = sum(1 for own in rated if votes.majority(own) is None)
        unlabelled = sum(
            1 for item, own in zip(utterances, found, strict=True) if own and item.label is None
        )
        told.append(
            f"votes: {plural(len(rated), 'utterance')}, {_span([sum(n.values()) for n in rated])}"
            f" each; {ties} without a majority (a tie), {unlabelled} with label null"
        )
        agreed["classes"] = alpha(rated, "nominal")
    for name, units in _numbers(utterances).items():
        agreed[name] = alpha(units, "interval")
    if not agreed:
        return told
    if importlib.util.find_spec("krippendorff") is None:
        return [*told, "agreement: not computed, needs pip install 'sertool[agreement]'"]
    parts = [f"{name} {value}" for name, value in agreed.items()]
    return [*told, f"agreement (Krippendorff's alpha): {', '.join(parts)}"]


def _numbers(utterances: Sequence[Item]) -> dict[str, list[Counter[Any]]]:
    """Return, for each field that raters gave numbers, every item's numbers counted."""
    found: dict[str, list[Counter[Any]]] = {}
    for item in utterances:
        own: dict[str, Counter[Any]] = {}
        for given in votes.table(item, votes.RATINGS).values():
            for name, value in given.items() if isinstance(given, dict) else ():
                if (amount := number(value)) is not None:
                    own.setdefault(str(name), Counter())[amount] += 1
        for name, counted in own.items():
            found.setdefault(name, []).append(counted)
    return found


def alpha(units: Sequence[Mapping[Any, float]], level: Literal["nominal", "interval"]) -> str:
    """Return alpha of items, each {value: how many gave it}, as text; why not where it is none.

    "" where the package is not installed.
    """
    if importlib.util.find_spec("krippendorff") is None:
        return ""
    import krippendorff
    import numpy as np

    pairs = [own for own in units if sum(own.values()) > 1]
    values = sorted({value for own in pairs for value in own})
    if not pairs:
        return "unknown (nobody rated what another did)"
    if len(values) < 2:
        return "unknown (all said the same)"
    if len(pairs) * len(values) ** 2 > MOST:
        return f"not computed ({len(values)} different values are too many)"
    counts = np.array([[own.get(value, 0) for value in values] for own in pairs])
    domain = np.arange(len(values)) if level == "nominal" else np.array(values, np.float64)
    found = krippendorff.alpha(value_counts=counts, value_domain=domain, level_of_measurement=level)
    return f"{found:.3f} ({level})"


def _span(totals: Sequence[float]) -> str:
    least, most = min(totals), max(totals)
    return f"{least:g} votes" if least == most else f"{least:g} to {most:g} votes"
