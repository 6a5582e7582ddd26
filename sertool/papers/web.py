"""A study, or a comparison of systems, as a page for a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sertool import metrics
from sertool.evaluation import measures, pooling
from sertool.evaluation import page as one_report
from sertool.evaluation.measures import LEVEL, Value
from sertool.evaluation.pooling import Pooled
from sertool.evaluation.report import AnyReport, Report
from sertool.papers import comparison, convergence, pages
from sertool.papers.ranking import JOINED
from sertool.papers.study import BASELINES, Study
from sertool.papers.words import mean, named, runs_of, telling, unit, value
from sertool.ui.page import charts, markup
from sertool.ui.page.charts import Range
from sertool.ui.page.document import Page
from sertool.ui.page.markup import Child, Html, section, tag
from sertool.ui.page.recordings import Recording
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.papers.comparing import Compared, Comparison

MOST, MOST_DRAWN = 40, 12  # systems side by side, and with pictures of their own
LEFT_OUT = "{} more are left out here; report --format json has all."
Commands = Callable[[AnyReport], Sequence[str]]


def page(study: Study, commands: Commands) -> tuple[Page, Sequence[str], list[Recording]]:
    """Return a study's page, the classes of its recordings, and those: of a single system alone.

    commands: the lines that make a report.
    """
    runs = _runs(study)
    reports = [report for _, run in runs for seed in run.reports for report in seed]
    if len(reports) == 1 and study.paper is None:
        return _single(reports[0], commands)
    shown = _listed(runs)
    names = list(reports[0].classes) if shown and isinstance(reports[0], Report) else []
    what = [plural(len(study.systems), "system"), plural(len(reports), "report")]
    title = f"{study.paper.name}: {study.paper.title}" if study.paper else " of ".join(what)
    about = f"{', '.join(what)}: published numbers beside measured ones" if study.paper else ""
    told = markup.blocks(pages.page(study), skip=1 if study.paper else 0)
    opening = 1 if study.paper else 0
    made: list[Html | None] = [*told[:opening], _side_by_side(runs)]
    made += _matrices(runs, bool(shown))
    made += [one_report.recordings(one_report.sound_said(None))] if shown else []
    made += [*told[opening:], _curves(study), _made(runs, commands)]
    return Page(title, about, [one for one in made if one]), names, shown


def _single(report: AnyReport, commands: Commands) -> tuple[Page, Sequence[str], list[Recording]]:
    parts = one_report.sections(report, commands(report), one_report.sound_said(None))
    names = report.classes if isinstance(report, Report) else []
    made = Page(one_report.title(report), one_report.about(report), parts)
    return made, names, one_report.listed(report)


def _runs(study: Study) -> list[tuple[str, Pooled]]:
    """Return every system under every protocol, by name."""
    keys = telling(study.systems)
    heads = {column.tag: column.column for column in study.columns}
    found = []
    for system in study.systems:
        for tag_, run in system.runs.items():
            words = [system.tags.get(key, "") for key in keys]
            words += [heads.get(tag_, tag_)] if len(study.columns) > 1 else []
            name = " ".join(word for word in words if word)
            found.append((name or run.made.get("model") or "model", run))
    return found


def _listed(runs: Sequence[tuple[str, Pooled]]) -> list[Recording]:
    """Return the recordings of a single system with one seed, whose folds all list theirs."""
    if len(runs) != 1 or len(runs[0][1].reports) != 1:
        return []
    each = [one_report.listed(report) for report in runs[0][1].reports[0]]
    alike = len({tuple(getattr(r, "classes", ())) for r in runs[0][1].reports[0]}) == 1
    return [one for listed in each for one in listed] if all(each) and alike else []


def _side_by_side(runs: Sequence[tuple[str, Pooled]]) -> Html | None:
    """Return each system's UAR and WA with intervals, and what its test shares with training."""
    known = [(name, run) for name, run in runs if not run.numbers]
    if not known:
        return None
    several = len(known) > 1
    parts: list[Child] = []
    for measure in ("uar", "accuracy"):
        lines = [line for name, run in known[:MOST] for line in _lines(name, run, measure, several)]
        linear = ["linear"] if several else []
        header = ["system", "0 to 100 %", f"{named(measure)}, %", *linear, "shared with training",
                  "runs"]  # fmt: skip
        parts.append(one_report.bars(header, lines, f"{named(measure)} of each system"))
    note = f"mean over seeds with {100 * LEVEL:g} % interval{_left(len(known), MOST)}"
    leaks = any(pages.shared(run) != "nothing" for _, run in known)
    warning = "LEAK: what a test shares with training makes its figures too good; see the table."
    signs = [("whisker", note), *([("other", "linear")] if several else [])]
    return section("Side by side", "systems",
                   tag("p", warning, class_="verdict leak") if leaks else None, parts,
                   charts.legend(*signs))  # fmt: skip


def _lines(name: str, run: Pooled, measure: str, several: bool) -> list[list[Child]]:
    """Return a system's row, its linear baseline marked in it; of a single system, a row each."""

    def found(label: str) -> Value | None:
        own = pooling.baseline(run, label) if label else run
        return measures.values(own, [{"measure": measure}])[0]

    others = [o for o in BASELINES if o in run.baselines and o != run.made.get("model")]
    linear = found("linear") if several and "linear" in others else None
    shared = tag("span", pages.shared(run), class_="wrap")
    rows: list[list[Child]] = []
    for label in ["", *([] if several else others)]:
        own = found(label)
        mark = linear.mean if linear else None
        drawn = charts.bar(own.mean, own.ci, mark, point=True) if own else None
        cells = [value(own, "%").replace("\n", " ")]
        cells += [mean(linear, "%")] if several else []
        further = ["", ""] if label else [shared, runs_of(run)]
        rows.append([f"{name}: {label}" if label else name, drawn, *cells, *further])
    return rows


def _matrices(runs: Sequence[tuple[str, Pooled]], opens: bool) -> list[Html]:
    """Return each system's confusion matrix, of all its seeds together."""
    known = [(name, run) for name, run in runs if not run.numbers]
    drawn = [
        tag("figure", tag("h3", name) if len(known) > 1 else None,
            one_report.matrix(run.classes, run.matrices.sum((0, 1)).tolist(), opens))
        for name, run in known[:MOST_DRAWN]
    ]  # fmt: skip
    note = "Rows are the truth: per cent of the row, and below it how many"
    note += " of all seeds." if any(len(run.seeds) > 1 for _, run in known) else "."
    note += _left(len(known), MOST_DRAWN)
    if not drawn:
        return []
    title = "Confusion matrix" if len(drawn) == 1 else "Confusion matrices"
    return [section(title, "confusion", tag("p", note, class_="soft"),
                    tag("div", drawn, class_="charts"))]  # fmt: skip


def _left(n: int, most: int) -> str:
    """Return how many of `n` are not among the first `most`, as a sentence; "" for none."""
    return f" {LEFT_OUT.format(n - most)}" if n > most else ""


def _curves(study: Study) -> Html | None:
    rows = convergence.told(study)
    keys = convergence.shown(study, rows)
    heads = {column.tag: column.column for column in study.columns}
    drawn = []
    for row in rows[:MOST_DRAWN]:
        words = [row.tags.get(key, "") for key in keys]
        words += [heads[row.protocol]] if len(study.columns) > 1 else []
        name = " ".join(word for word in words if word) or "Training"
        drawn.append(one_report.training(row.curves, f"{name}: {row.verdict}"))
    if not drawn:
        return None
    note = _left(len(rows), MOST_DRAWN)
    return section("Training", "training", tag("p", note, class_="soft") if note else None,
                   tag("div", drawn, class_="charts"))  # fmt: skip


def _made(runs: Sequence[tuple[str, Pooled]], commands: Commands) -> Html | None:
    """Return how the first report of each system was made."""
    parts: list[tuple[str, list[Html]]] = []
    for name, run in runs[:MOST_DRAWN]:
        lines = commands(run.reports[0][0])
        if lines:
            parts.append((name, one_report.made_by(lines)))
    if not parts:
        return None
    if len(parts) == 1:
        return section("How it was made", "lineage", parts[0][1])
    folded = [tag("details", tag("summary", name), inner) for name, inner in parts]
    note = "The first report of each system." + _left(len(runs), MOST_DRAWN)
    return section("How each was made", "lineage", tag("p", note, class_="soft"), folded)


def compared(found: Compared) -> Page:
    """Return the page of systems side by side, with paired differences."""
    pairs = found.pairs
    tested = f"{pairs[0].n_tested} tested, of {plural(pairs[0].n_speakers, 'speaker')}"
    subtitle = f"Paired over speakers: {tested}"
    blocks = comparison.page(found)
    if found.ranking is not None:
        tables = [markup.block(block, "Systems compared") for block in blocks]
        made = [section("Systems", "systems", _systems(found), _ranks(found), tables)]
        return Page(f"{len(found.systems)} systems", subtitle, made)
    made = []
    for i, pair in enumerate(pairs):
        title = f"{pair.left} and {pair.right}"
        drawn = [one for name in ("uar", "accuracy") if (one := _difference(pair, name))]
        made.append(section(title, f"pair-{i}", drawn, markup.block(blocks[i], title)))
    told = [markup.block(block, "How they are compared") for block in blocks[len(pairs) :]]
    made.append(section("How they are compared", "how", told))
    first = pairs[0]
    title = f"{first.left} compared" if len(pairs) > 1 else f"{first.left} and {first.right}"
    return Page(title, subtitle, made)


def _systems(found: Compared) -> Html | None:
    """Return each system's main figure as a bar, by their mean ranks."""
    name = measures.name_of(found.main)
    if found.ranking is None or unit(name) != "%":
        return None
    names = list(found.systems)
    lines = []
    for i in found.ranking.order:
        own = found.systems[names[i]]
        bar = charts.bar(own.mean, own.ci, point=True) if own else None
        lines.append([names[i], bar, value(own, "%").replace("\n", " ")])
    return one_report.bars(["", "0 to 100 %", f"{named(name)}, %"], lines, named(name))


def _ranks(found: Compared) -> Html | None:
    """Return the systems by mean rank, and which of them are not told apart."""
    known = found.ranking
    if known is None:
        return None
    names = [list(found.systems)[i] for i in known.order]
    at = [known.ranks[i] for i in known.order]
    lines = [
        (at[first], at[last], row)
        for (first, last), row in zip(known.groups, known.rows(), strict=True)
    ]
    title = f"Mean ranks by {named(measures.name_of(known.figure))}, 1 the best"
    note = f"{title}, over {plural(known.n_speakers, 'speaker')}; {JOINED}."
    picture = charts.ranks(list(zip(names, at, strict=True)), lines, title)
    return tag("figure", picture, tag("figcaption", note))


def _difference(pair: Comparison, measure: str) -> Html | None:
    """Return both systems' figure, and their difference about zero, with intervals."""
    beside = pair.figures.get(measure)
    if beside is None or not metrics.known()[measure].percent:
        return None
    lines = [
        [name, charts.bar(found.mean, found.ci, point=True) if found else None,
         value(found, unit(measure)).replace("\n", " ")]
        for name, found in ((pair.left, beside.left), (pair.right, beside.right))
    ]  # fmt: skip
    label = named(measure)
    parts: list[Child] = [one_report.bars(["", "0 to 100 %", f"{label}, %"], lines, label)]
    gap = beside.gap
    if gap is not None and gap.ci is not None:
        ends = (*gap.ci, gap.value, 0.0)
        most = max(0.05, 1.1 * max(map(abs, ends)))
        at = Range(-most, most, "")
        low, high = gap.ci
        drawn = charts.bar(at.at(gap.value), (at.at(low), at.at(high)), chance=0.5, point=True)
        text = f"{100 * gap.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        said = "" if gap.p is None else comparison.p_value(gap.p)
        ends_ = f"{-100 * most:+.0f} to {100 * most:+.0f}"
        header = ["", ends_, f"{label}, points", "p"]
        row = ["difference", drawn, text, said]
        parts.append(one_report.bars(header, [row], f"Difference of {label}, zero in the middle"))
    return tag("div", parts)
