"""Systems compared, as blocks of a page, as a sentence and as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from sertool.evaluation import contamination, measures
from sertool.evaluation.measures import LEVEL
from sertool.papers.ranking import ALPHA
from sertool.papers.study_json import difference_json, value_json
from sertool.papers.words import difference, named, unit, value
from sertool.ui.tables import Block, Grid, Text
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.papers.comparing import Beside, Compared, Comparison
    from sertool.papers.ranking import Effect


def page(found: Compared) -> list[Block]:
    """Return the tables of the systems and their pairs, what p and d are, and a sentence."""
    several = len(found.systems) > 2 and found.ranking is not None
    blocks = _of_several(found) if several else _of_pairs(found.pairs)
    if told := _encoders(found.pairs):
        blocks.append(Text(["", *told]))
    blocks += [Text([_how(found)]), Text([sentence(found)])]
    return blocks


def _of_pairs(pairs: Sequence[Comparison]) -> list[Block]:
    """Return a table a pair, every figure a row."""
    blocks: list[Block] = []
    for pair in pairs:
        rows = [_row(named(name), name, line, len(pairs)) for name, line in pair.figures.items()]
        for row, line in zip(rows, pair.figures.items(), strict=True):
            row[1:1] = [value(side, unit(line[0])) for side in (line[1].left, line[1].right)]
        header = ["", pair.left, pair.right, "difference", *_columns(len(pairs))]
        blocks.append(Grid(header, rows, 1))
    return blocks


def _columns(pairs: int) -> list[str]:
    return ["p", *(["p, Holm"] if pairs > 1 else []), "d"]


def _row(text: str, name: str, line: Beside, pairs: int) -> list[str]:
    """Return a row's name, with its unit, its difference, p-values and effect size."""
    unit_ = unit(name)
    cells = ["" if line.gap is None or line.gap.p is None else p_value(line.gap.p)]
    if pairs > 1:
        cells.append("" if line.corrected is None else p_value(line.corrected))
    percent = ", %" if unit_ == "%" else ""
    return [text + percent, difference(line.gap, unit_), *cells, _size(line.effect)]


def _size(found: Effect | None) -> str:
    return "" if found is None or found.d is None else f"{found.d:+.2f}"


def _of_several(found: Compared) -> list[Block]:
    """Return the systems by rank, and every pair's difference in the main figure."""
    ranks, name = found.ranking, measures.name_of(found.main)
    assert ranks is not None
    unit_, names = unit(name), list(found.systems)
    head = named(name) + (", %" if unit_ == "%" else "")
    rows = [
        [names[i], value(found.systems[names[i]], unit_), f"{ranks.ranks[i]:.2f}"]
        for i in ranks.order
    ]
    blocks: list[Block] = [Grid(["system", head, "mean rank"], rows, 1)]
    place = {names[i]: at for at, i in enumerate(ranks.order)}
    lines = {(pair.left, pair.right): pair.figures[name] for pair in found.pairs}
    turned = {(b, a): line.turned() for (a, b), line in lines.items()}
    ordered = [two for two in (*lines, *turned) if place[two[0]] < place[two[1]]]
    pairs = []
    for two in sorted(ordered, key=lambda two: (place[two[0]], place[two[1]])):
        line = (lines | turned)[two]
        _, *cells = _row("", name, line, len(lines))
        won = line.effect
        pairs.append([*two, *cells, f"{won.wins} of {won.n}" if won else ""])
    header = ["system", "less", f"difference in {head}", *_columns(len(pairs)), "higher"]
    blocks.append(Grid(header, pairs, 2))
    return blocks


def _how(found: Compared) -> str:
    """Return what the intervals, p, d and ranks are."""
    first = found.pairs[0]
    line = next(iter(first.figures.values())).left
    seeds = " and seeds" if line and line.n_seeds > 1 else ""
    over = f"{first.n_speakers} speakers"
    text = f"{100 * LEVEL:g} % intervals and two-sided p from a bootstrap over {over}{seeds},"
    text += f" the same drawn for both; {first.n_tested} tested."
    if len(found.pairs) > 1:
        text += f" Holm: corrected for {len(found.pairs)} pairs."
    text += " d: mean of the speakers' differences over their standard deviation."
    least = 0.5 ** (first.n_speakers - 1)  # all signs alike, to either side
    if least * len(found.pairs) >= ALPHA:
        text += f" An exact sign test of so few has no p below {least:.3f}: mistrust smaller ones."
    if found.ranking is not None:
        p = found.ranking.p
        friedman = "" if p is None else f"; Friedman's test that all rank alike: {_p(p)}"
        text += f" Ranks: by each speaker's figure, 1 the best{friedman}."
    return text


def sentence(found: Compared) -> str:
    """Return the comparison of the main figure as a sentence to be printed as it is."""
    name = measures.name_of(found.main)
    first = found.pairs[0]
    lines = {(pair.left, pair.right): pair.figures[name] for pair in found.pairs}
    known = {each: own.mean for each, own in found.systems.items() if own is not None}
    best = max(known, key=lambda each: known[each])
    beside: dict[str, Beside] = {}
    for (left, right), line in lines.items():
        if best in (left, right):
            beside[right if left == best else left] = line if left == best else line.turned()
    apart = {n: x for n, x in beside.items() if x.corrected is not None and x.corrected < ALPHA}
    other = {n: x for n, x in beside.items() if n not in apart}
    unit_ = unit(name)
    figure = value(found.systems[best], unit_).replace("\n", " ") + (" %" if unit_ == "%" else "")
    whole = f"On the same {first.n_tested} recordings of {first.n_speakers} speakers, {best} has"
    whole += f" {'the higher' if len(beside) == 1 else 'the highest'} {named(name)}, {figure}"
    by = "paired bootstrap over speakers"
    by += f", corrected by Holm for {plural(len(lines), 'pair')}" if len(lines) > 1 else ""
    ends = [f"more than {_listed(apart, unit_)}"] if apart else []
    ends += [f"not shown to be more than {_listed(other, unit_)}"] if other else []
    return f"{whole}: {'; '.join(ends)} ({by})."


def _listed(beside: dict[str, Beside], unit_: str) -> str:
    """Return "linear (+9.8 [6.7, 12.8], p = 0.002, d = +1.20)" of each system."""
    parts = []
    for name, line in beside.items():
        told = [difference(line.gap, unit_).replace("\n", " ")]
        told += [_p(line.corrected)] if line.corrected is not None else []
        told += [f"d = {_size(line.effect)}"] if _size(line.effect) else []
        parts.append(f"{name} ({', '.join(text for text in told if text)})")
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


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


def _p(p: float) -> str:
    return f"p {p_value(p)}" if p <= 0.001 else f"p = {p_value(p)}"


def json_values(found: Compared) -> dict[str, Any]:
    """Return the pairs as JSON has them: rates and differences are fractions."""
    made: dict[str, Any] = {
        "format": "sertool-comparison",
        "version": 1,
        "pairs": [
            {
                "systems": [pair.left, pair.right],
                "n_speakers": pair.n_speakers,
                "n_tested": pair.n_tested,
                "encoders": to_builtins(pair.encoders),
                "figures": {name: _json(line) for name, line in pair.figures.items()},
            }
            for pair in found.pairs
        ],
        "sentence": sentence(found),
    }
    if (ranks := found.ranking) is not None:
        names = list(found.systems)
        made["ranking"] = {
            "figure": measures.name_of(ranks.figure),
            "systems": [
                {"name": names[i], "value": value_json(found.systems[names[i]])}
                | {"mean_rank": ranks.ranks[i]}
                for i in ranks.order
            ],
            "not_apart": [[names[i] for i in ranks.order[a : b + 1]] for a, b in ranks.groups],
            "n_speakers": ranks.n_speakers,
            "friedman_p": ranks.p,
        }
    return made


def _json(line: Beside) -> dict[str, Any]:
    made: dict[str, Any] = {
        "systems": [value_json(line.left), value_json(line.right)],
        "difference": difference_json(line.gap),
        "p_holm": line.corrected,
    }
    if (effect := line.effect) is not None:
        made["effect"] = to_builtins(effect)
    return made
