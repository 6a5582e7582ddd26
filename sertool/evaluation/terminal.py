"""A report as tables in the terminal: results, protocol, confusion matrix, classes, speakers.

Every function takes a report and returns what rich prints. Nothing depends on colour. A metric that
the report lacks is "not computed".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sertool import metrics
from sertool.core.paths import show
from sertool.evaluation import contamination, crowds, number_tables, reliability
from sertool.evaluation.report import (
    AnyReport,
    CalibrationFigures,
    Figures,
    Model,
    NumberReport,
    Protocol,
    Report,
    Stress,
    TargetFigures,
    VoteFigures,
)
from sertool.metrics import Metric
from sertool.models import speakers
from sertool.ui.tables import Sheet, columns, fitted_names, short, terminal
from sertool.ui.words import plural
from sertool.votes import SOFT

NOT_COMPUTED = "not computed"
FACTS = (
    ("speaker_disjoint", "speakers apart", "speakers"),
    ("origin_disjoint", "recordings apart", "recordings"),
    ("text_disjoint", "sentences apart", "sentences"),
)
# said only where they are broken: fact, how, what is shared
RARE = (
    ("audio_disjoint", "identical recordings: {} SHARED", "identical recordings"),
    ("near_disjoint", "near-duplicates: {} SHARED", "near-duplicates"),
    ("fit_disjoint", "FITTED to {} test items", "fitted items"),
)
ACROSS = 3  # metrics side by side
RESULT = 15  # columns of the narrowest "50.0 [40, 60]"
BAR = 20  # of a full bar
WORST = 10  # speakers listed one by one
# background and foreground of a cell by its share of the row, both given: any terminal's theme
SHADES = (
    (0.75, "bold white on color(24)"),
    (0.50, "bold white on color(31)"),
    (0.25, "black on color(74)"),
    (0.10, "black on color(152)"),
)


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a rate as a percentage without its sign, "–" where it is undefined."""
    return "–" if value is None else f"{100 * value:.{decimals}f}"


def systems(report: Report) -> list[tuple[str, Figures]]:
    """Return (name, figures) of the model, then its baselines, the stronger first.

    A baseline is left out beside the model that it is.
    """
    order = ["linear", "majority"]
    model = (report.model and report.model.name) or "model"
    baselines = {n: b for n, b in report.baselines.items() if n != model}
    names = [n for n in order if n in baselines] + [n for n in baselines if n not in order]
    return [(model, report.figures), *((name, baselines[name]) for name in names)]


def shown(metric: Metric, value: float | None, decimals: int = 1) -> str:
    """Return a metric's value as people read it: a percentage, or a number of two more digits."""
    if metric.percent or value is None:
        return percent(value, decimals)
    return f"{value:.{decimals + 2}f}"


def with_interval(figures: Figures, metric: Metric, decimals: int = 1) -> str:
    """Return a metric with its interval where there is one: "60.8 [56.8, 65.0]"."""
    if metric.name not in figures.metrics:
        return NOT_COMPUTED
    value = shown(metric, figures.metrics[metric.name])
    low, high = figures.ci.limits.get(metric.name, (None, None))
    if low is None:
        return value
    return f"{value} [{shown(metric, low, decimals)}, {shown(metric, high, decimals)}]"


def result_tables(report: Report, width: int = 80) -> list[Table]:
    """Every metric with its interval, `ACROSS` to a table; see `result_table`."""
    every = list(metrics.known().values())
    label = max(13, *(cell_len(name) for name, _ in systems(report)))
    across = max(1, min(ACROSS, (width - label) // RESULT))
    parts = [every[i : i + across] for i in range(0, len(every), across)]
    return [result_table(report, width, part) for part in parts]


def result_table(report: Report, width: int, chosen: Sequence[Metric]) -> Table:
    """Some metrics with intervals: model, linear, majority, and means of folds."""
    table = columns("", *(metric.label for metric in chosen))
    rows = systems(report)
    label = max(13, *(len(name) for name, _ in rows))
    decimals = 1 if width >= label + 2 + ACROSS * 20 else 0
    for i, (name, figures) in enumerate(rows):
        cells = [with_interval(figures, metric, decimals) for metric in chosen]
        table.add_row(name, *cells, style="bold" if i == 0 else "")
        mean = figures.mean_of_folds
        if mean:
            pairs = [(m, mean.metrics.get(m.name), mean.sd.get(m.name)) for m in chosen]
            spread = [
                f"{shown(m, value)} ± {shown(m, sd)}" if m.name in mean.metrics else ""
                for m, value, sd in pairs
            ]
            table.add_row("  mean of folds", *spread, style="dim")
    return table


def scope_line(report: AnyReport) -> Text:
    """What was tested, by which field if not by label, and what the intervals are over."""
    parts = [plural(report.figures.n, _unit(report))]
    if report.target != "label":
        parts[0] += f" by {show(report.target)}"
    checkpoints = len(report.figures.folds)
    if checkpoints > 1:
        parts[0] += f" pooled over {checkpoints} checkpoints"
    ci = report.figures.ci
    if _has_interval(report):
        parts.append(f"{100 * ci.level:g} % intervals over {plural(ci.n_units, ci.unit)}")
        if ci.unit == "file":
            parts.append("speakers unknown, so the intervals are too narrow")
    else:
        parts.append(f"no interval: {plural(ci.n_units, ci.unit)}")
    conditions = report.conditions or {}
    parts += [f"{name.replace('_', ' ')} {value:g}" for name, value in conditions.items()]
    if report.store is not None and report.store.crop:
        first, last = report.store.crop
        part = f"{first:g} to {last:g} s" if first else f"the first {last:g} s"
        parts.append(f"{part} of each recording only")
    tags = [f"{key}={value}" for key, value in (report.tags or {}).items()]
    return Text(" · ".join(parts + tags))


def _has_interval(report: AnyReport) -> bool:
    if isinstance(report, NumberReport):
        return any(own.ci.get("mae", (None,))[0] is not None for own in _targets(report))
    return report.figures.ci.limits.get("uar", (None,))[0] is not None


def _targets(report: NumberReport) -> list[TargetFigures]:
    return list(report.figures.targets.values())


def _unit(report: AnyReport) -> str:
    return "file" if report.level == "file" else "item"


def warnings(protocol: Protocol, counted: bool = True) -> list[str]:
    """Return what weakens the test, as the protocol line has it; `counted`: with how many."""
    return [text for text, weak in pieces(protocol, counted) if weak]


def pieces(protocol: Protocol, counted: bool = True) -> list[tuple[str, bool]]:
    """Return the facts of a protocol, each with whether it weakens the test."""
    facts, shared = protocol.facts, protocol.shared if counted else {}
    pieces: list[tuple[str, bool]] = []
    for name, words, what in FACTS:
        if facts.get(name) is False:
            n = shared.get(what)
            pieces.append((f"{words}: NO" + (f" ({n} shared)" if n else ""), True))
        else:
            pieces.append((f"{words}: {'yes' if facts.get(name) else 'unknown'}", False))
    # reports from before near-duplicates counted segments of one recording as identical, too
    new = "near_disjoint" in facts or facts.get("origin_disjoint") is not False
    for name, words, what in RARE if new else ():
        if facts.get(name) is False:
            pieces.append((words.format(shared.get(what, "some")), True))
    return pieces + further(protocol, counted)


def further(protocol: Protocol, counted: bool = True) -> list[tuple[str, bool]]:
    """Return what a protocol says beside the facts of what is shared; see `pieces`."""
    pieces: list[tuple[str, bool]] = []
    if protocol.files_split:
        many = f": {protocol.files_split}" if counted else ""
        pieces.append((f"files scored in parts{many}", True))
    augmented = protocol.test_augmented
    pieces.append((f"test augmented: {'YES' if augmented else 'no'}", augmented))
    if resplit := protocol.declared.get("resplit"):
        unit = protocol.declared.get("unit")
        pieces.append((f"resplit{f' by {unit}' if unit else ''}: {resplit}", True))
    if protocol.declared.get(speakers.DECLARED):
        pieces.append((speakers.NOTE, True))
    if protocol.declared.get(SOFT):
        pieces.append(("trained on shares of votes", False))
    return pieces + [contamination.said(one) for one in protocol.encoders or ()]


def protocol_line(protocol: Protocol, width: int = 80) -> Text:
    """The protocol as derived from the data; what weakens the test is in capitals.

    Broken between facts where it is longer than `width`.
    """
    return _broken("protocol  ", [*pieces(protocol), (_counts(protocol), False)], width)


def _broken(head: str, parts: Sequence[tuple[str, bool]], width: int) -> Text:
    """Return parts after a head, broken between them at `width`; those that weaken are red."""
    line = Text(head, style="bold")
    column = len(line)
    for i, (text, weak) in enumerate(parts):
        style = "bold red" if weak else "not bold"
        if i and column + len(text) + 3 > width:
            line.append("\n" + " " * len(head))
            column = len(head)
        elif i:
            line.append(" · ", style="not bold")
            column += 3
        line.append(text, style=style)
        column += len(text)
    return line


def _counts(protocol: Protocol) -> str:
    train, most = protocol.of("n_train"), protocol.of("n_train_most")
    trained = f"{train}–{most} train" if most and most != train else f"{train} train"
    validated = f" / {protocol.of('n_val')} validation" if protocol.of("n_val") else ""
    each = " each" if protocol.of("n_checkpoints") > 1 else ""
    return f"{trained}{validated}{each} / {protocol.of('n_test')} test"


def model_line(report: Report) -> Text | None:
    """By which of several models files were scored, and the chooser's accuracy; None for one.

    With the chooser alone: what to expect of recordings of which nobody knows the field.
    """
    per = report.per
    if not per:
        return None
    line = f"{plural(per.by_field, _unit(report))} by {show(per.field)}"
    line += f", {per.by_chooser} by the chooser"
    if not per.by_field:
        line = f"{plural(per.by_chooser, _unit(report))} by the chooser"
    worth = []
    if per.known:
        share = percent(per.chooser_accuracy)
        worth.append(f"right in {per.right} of {per.known} ({share} %)")
    if per.by_field:
        two = (metrics.ACCURACY, metrics.UAR)
        rates = [f"{m.label} {percent(per.alone.get(m.name))}" for m in two]
        worth.append(f"alone it gives {', '.join(rates)}")
    if worth:
        line += "\n          chooser: " + "; ".join(worth)
    return Text.assemble(("models    ", "bold"), line)


def calibration_line(report: Report, width: int = 80) -> Text | None:
    """How sure the model is, and how far from right that is; None for a report without it."""
    own = report.figures.calibration
    if not own:
        return None
    sure = reliability.by_bin(np.array(own.sums)).sum(0)[2] / own.sums[0] if own.sums[0] else None
    pieces = [f"{label} {three_digits(own, name)}" for name, label in reliability.LABELS.items()]
    pieces[0] += f" of {own.bins} bins"
    pieces.append(f"on average {percent(sure)} % sure")
    return _broken("certainty ", [(piece, False) for piece in pieces], width)


def _shade(share: float) -> str:
    return next((style for least, style in SHADES if share >= least), "" if share else "dim")


@dataclass(frozen=True)
class _Layout:
    """How a matrix fits a terminal: names of rows and columns, each column's width, the blocks.

    label: the width of the rows' names. one_line: percent and count beside each other.
    """

    rows: Sequence[str]
    names: Sequence[str]
    label: int
    one_line: bool
    widths: Sequence[int]
    blocks: Sequence[range]


def _layout(classes: Sequence[str], digits: int, total: int, width: int) -> _Layout:
    """Return the layout that cuts no name, or else the least, and breaks only where it must."""
    label = max(5, *map(cell_len, classes))
    every = [range(len(classes))]
    for one_line, cell in ((True, digits + 6), (False, max(4, digits))):
        widths = [max(cell, cell_len(name)) for name in classes]
        if label + _needed(widths) + total + 2 <= width:
            return _Layout(classes, classes, label, one_line, widths, every)
    cell = max(4, digits)
    room = width - label - total - 2
    names = fitted_names(classes, [cell] * len(classes), room - len(classes))
    rows = classes
    if names[0] == "1" != classes[0]:
        rows = [f"{i + 1} {name}" for i, name in enumerate(classes)]
        label = max(map(cell_len, rows))
        room = width - label - total - 2
    widths = [max(cell, cell_len(name)) for name in names]
    if _needed(widths) <= room:
        return _Layout(rows, names, label, False, widths, every)
    label = min(label, max(5, (width - total - 2) // 2))  # a name as long as the line is wide
    room = width - label - total - 2
    names = [short(name, max(cell, room - 1)) for name in classes]
    widths = [max(cell, cell_len(name)) for name in names]
    starts = [0]
    for i in range(len(classes)):
        if i > starts[-1] and _needed(widths[starts[-1] : i + 1]) > room:
            starts.append(i)
    blocks = [range(a, b) for a, b in pairwise([*starts, len(classes)])]
    return _Layout([short(name, label) for name in classes], names, label, False, widths, blocks)


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + len(widths)


def confusion_matrix(report: Report, width: int = 80) -> Text:
    """The matrix, rows the truth: percent of the row and counts, in one line per class or two.

    No class's name is cut that there is room for; eight classes fit 60 columns. Where even short
    names do not fit, the predicted classes follow in several blocks. Of a crowd of classes the most
    frequent mistakes are listed instead.
    """
    matrix = report.figures.confusion
    if crowds.crowded(report.classes):
        return _mistakes(report, width)
    digits = max(2, *(len(str(n)) for row in matrix for n in row))
    total = max(3, *(len(str(sum(row))) for row in matrix))
    layout = _layout([show(name) for name in report.classes], digits, total, width)
    text = Text(no_wrap=True, overflow="ignore")
    text.append("confusion", style="bold")
    meant = " (rows are the truth: percent of the row, count)"
    text.append(
        f"{meant if len(text) + len(meant) <= width else ' (rows: truth; percent, count)'}\n"
    )
    for block in layout.blocks:
        text.append("\n" * (block.start > 0))
        text.append(" " * layout.label)
        text.append("".join(" " + _right(layout.names[j], layout.widths[j]) for j in block))
        text.append("  " + "n".rjust(total) + "\n", style="bold")
        for name, row in zip(layout.rows, matrix, strict=True):
            for line, values in enumerate(_cells(row, digits, layout.one_line)):
                text.append(set_cell_size(name if line == 0 else "", layout.label))
                for j in block:
                    text.append(" ")
                    shade = _shade(row[j] / max(1, sum(row)))
                    text.append(values[j].rjust(layout.widths[j]), style=shade)
                text.append("  " + str(sum(row)).rjust(total) + "\n" if line == 0 else "\n")
    text.right_crop(1)
    return text


def _mistakes(report: Report, width: int) -> Text:
    """The most frequent mistakes, a line each: truth, what was said, percent of it, count."""
    found = crowds.mistakes(report.figures.confusion)
    head = f"the most frequent mistakes among {len(report.classes)} classes"
    text = Text(no_wrap=True, overflow="ignore")
    text.append(head if found else "no mistakes", style="bold")
    text.append(" (truth: said, percent, count)\n" if found else "\n")
    room = max(5, (width - 16) // 2)
    for one in found:
        truth, said = (short(show(report.classes[k]), room) for k in (one.truth, one.said))
        text.append(f"{truth}: {said}  {percent(one.share, 0)}% {one.n}\n")
    text.right_crop(1)
    return text


def _right(text: str, width: int) -> str:
    """Return text at the right of so many columns of a terminal, where some signs take two."""
    return " " * (width - cell_len(text)) + text


def _cells(row: Sequence[int], digits: int, one_line: bool) -> list[list[str]]:
    """Return a row's lines of cells: percent and count together, or one below the other."""
    shares = [f"{percent(n / sum(row), 0)}%" if n else "·" for n in row]
    counts = [str(n) if n else "" for n in row]
    if one_line:
        return [[f"{s} {n:>{digits}}" for s, n in zip(shares, counts, strict=True)]]
    return [shares, counts]


def class_table(report: Report, width: int = 80) -> RenderableType:
    """Precision, recall, F1, AUC and support of each class, in several tables where it is wide.

    Of a crowd of classes those of the lowest recall.
    """
    header = ["class", "precision", "recall", "F1", "AUC", "n"]
    rows = []
    if crowds.crowded(report.classes):
        found = crowds.worst(report)
        header[0] = f"the worst of {plural(len(found), 'tested class')}"
        names = found[: crowds.WORST]
    else:
        names = list(report.classes)
    for name in names:
        row = report.figures.per_class[name]
        rates = [percent(rate) for rate in (row.precision, row.recall, row.f1, row.auc)]
        rows.append([show(name), *rates, str(row.support)])
    widest = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    if sum(widest) + 2 * (len(widest) - 1) > width:
        return Group(*terminal([Sheet(header, rows)]))
    table = columns(*header)
    for cells in rows:
        table.add_row(*cells)
    return table


def group_lines(report: Report) -> list[Text]:
    """One line each for gender and corpus where they have several values: UAR of each."""
    lines = []
    for field in ("gender", "corpus"):
        groups = report.figures.by.get(field, {})
        if len(groups) > 1:
            values = [f"{show(k)} {percent(g.uar)} (n {g.n})" for k, g in groups.items()]
            lines.append(Text.assemble((f"UAR by {field}  ", "bold"), " · ".join(values)))
    return lines


def speaker_table(report: Report, width: int = 80) -> RenderableType | None:
    """Speakers, the worst recognised first; None where fewer than two are known."""
    speakers = report.figures.by.get("speaker", {})
    if len(speakers) < 2:
        return None
    corpora = {name.split("/", 1)[0] for name in speakers}
    table = columns("speaker", "UAR", "WA", "n", "")
    table.columns[4].justify = "left"
    ranked = sorted(speakers.items(), key=lambda pair: (pair[1].uar, pair[0]))
    rows = []
    for name, row in ranked[:WORST]:
        label = name.split("/", 1)[1] if len(corpora) == 1 else name
        rows.append([show(label), percent(row.uar), percent(row.accuracy), str(row.n)])
    header = [str(column.header) for column in table.columns[:4]]
    taken = sum(max(map(cell_len, column)) + 2 for column in zip(header, *rows, strict=True))
    full = max(0, min(BAR, width - taken))
    for cells, (_, row) in zip(rows, ranked, strict=False):
        table.add_row(*cells, "█" * round(full * row.uar))
    rest = ranked[WORST:]
    if not rest:
        return table
    best = rest[-1][1].uar
    return Group(
        table,
        Text(f"… and {len(rest)} more speaker{'s' * (len(rest) > 1)}, the best {percent(best)}"),
    )


def vote_tables(report: Report) -> list[RenderableType]:
    """Divergence from raters' votes and cross-entropy to them, with intervals; [] without votes."""
    own = report.figures.votes
    if not own:
        return []
    table = columns("against votes, in nats", "KL", "cross-entropy")
    for i, (name, figures) in enumerate(systems(report)):
        if found := figures.votes:
            cells = [three_digits(found, key) for key in ("kl", "cross_entropy")]
            table.add_row(name, *cells, style="bold" if i == 0 else "")
    line = plural(own.n, _unit(report)) + " with votes"
    if own.undecided:
        line += f", {own.undecided} of them without a label and in no score of classes"
    if own.kl is not None and own.cross_entropy is not None:
        line += f" · entropy of the votes {own.cross_entropy - own.kl:.3f}"
    return [Text(), table, Text(line)]


def three_digits(figures: VoteFigures | CalibrationFigures, name: str) -> str:
    """Return a figure of three digits with its interval: "0.512 [0.430, 0.601]"."""
    value = getattr(figures, name)
    low, high = figures.ci.get(name, (None, None))
    text = "–" if value is None else f"{value:.3f}"
    return text if low is None or high is None else f"{text} [{low:.3f}, {high:.3f}]"


def stress_table(stress: Stress) -> Table:
    """What is left under each condition, and less than of the recordings as they are, paired."""
    label = {"uar": "UAR", "ccc": "mean CCC"}[stress.measure]

    def text(value: float | None, ci: tuple[float | None, float | None], sign: str = "") -> str:
        scale, places = (100, 1) if stress.measure == "uar" else (1, 3)
        parts = ["–" if v is None else f"{scale * v:{sign}.{places}f}" for v in (value, *ci)]
        return parts[0] if ci[0] is None else f"{parts[0]} [{parts[1]}, {parts[2]}]"

    table = columns("condition", label, "less clean", "")
    table.columns[3].justify = "left"
    table.columns[3].no_wrap = False
    table.add_row("clean", text(stress.clean, stress.clean_ci), "", "", style="bold")
    for name, one in stress.conditions.items():
        change = text(one.difference, one.difference_ci, "+")
        table.add_row(name, text(one.value, one.ci), change, one.description)
    return table


def render(report: AnyReport, width: int = 80) -> Group:
    """All that `eval` shows people."""
    if isinstance(report, NumberReport):
        return _render_numbers(report, width)
    parts: list[RenderableType] = [
        *result_tables(report, width),
        scope_line(report),
        protocol_line(report.protocol, width),
        *filter(None, [model_line(report), calibration_line(report, width)]),
        Text(),
        confusion_matrix(report, width),
        Text(),
        class_table(report, width),
        *vote_tables(report),
    ]
    lines = group_lines(report)
    speakers = speaker_table(report, width)
    if speakers is not None or lines:
        parts.append(Text())
    if speakers is not None:
        parts.append(speakers)
    parts += lines
    if report.stress:
        parts += [Text(), stress_table(report.stress)]
    return Group(*parts)


def _render_numbers(report: NumberReport, width: int) -> Group:
    parts: list[RenderableType] = [
        *number_tables.result_tables(report),
        scope_line(report),
        protocol_line(report.protocol, width),
    ]
    table = number_tables.speaker_table(report)
    if table is not None:
        parts += [Text(), table]
    if report.stress:
        parts += [Text(), stress_table(report.stress)]
    return Group(*parts)


def describe_report(report: AnyReport, width: int = 80) -> RenderableType:
    """A report file for `sertool info`: what was tested on what, then what `eval` showed."""
    model, store = report.model or Model(), report.store
    settings = ", ".join(
        f"{key}={value.get('name', '…') if isinstance(value, dict) else value}"
        for key, value in (model.settings or {}).items()
    )
    lines = [f"sertool report, version {report.version}"]
    lines.append(f"model    {model.name or 'unknown'}" + (f" ({settings})" if settings else ""))
    if store:
        lines.append(f"store    {show(store.name or '')} ({store.kind or 'unknown'})")
    checkpoints = [show(fold.checkpoint) for fold in report.figures.folds]
    if checkpoints:
        lines.append(f"tested   {', '.join(checkpoints)}")
    items = report.items
    said = "numbers" if isinstance(report, NumberReport) else "posteriors"
    lines.append("items    " + (f"{len(items)}, with {said}" if items else "left out (--summary)"))
    return Group(Padding(Text("\n".join(lines)), (0, 0, 1, 0)), render(report, width))
