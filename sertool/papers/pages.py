"""A study as a page: what a paper printed, what was measured, and how it was tested."""

from __future__ import annotations

from collections.abc import Sequence

from sertool import metrics
from sertool.core.paths import show
from sertool.evaluation import contamination, measures, pooling
from sertool.evaluation.facts import FACTS
from sertool.evaluation.measures import FEWEST, LEVEL
from sertool.models import NUMBER_BASELINES
from sertool.models.speakers import NOTE
from sertool.papers import convergence, findings, sheets
from sertool.papers.papers import Paper
from sertool.papers.study import BASELINES, Row, Section, Study, System
from sertool.papers.words import (
    difference,
    label,
    mark,
    named,
    published,
    runs_of,
    telling,
    unit,
    value,
)
from sertool.ui.tables import Block, Grid, Heading, Text

OF_NUMBERS = ("ccc", "rmse")  # of each target in the overview
APART = (
    ("speaker_disjoint", "speakers apart"),
    ("origin_disjoint", "recordings apart"),
    ("text_disjoint", "sentences apart"),
)
WORDS = {True: "yes", False: "NO", None: "unknown"}
_LEGEND = (
    f"Mean over seeds ± standard deviation, [{100 * LEVEL:g} % interval from a bootstrap over"
    f" {{}}, where there are at least {FEWEST} {{}}]; the runs are those of each column."
)


def page(study: Study, told: bool = True) -> list[Block]:
    """Return a study as blocks; `told`: with the paper's findings and deviations."""
    blocks: list[Block] = []
    if study.paper:
        blocks += _opening(study.paper)
        found = findings.lines(study, strict=False) if told and study.systems else []
        if found:
            blocks.append(Heading("What we found", 2))
            blocks.append(Text(["", *found]))
        if told and study.paper.deviations:
            blocks.append(Heading("Where the recipe departs from the paper", 2))
            blocks.append(Text(["", *(f"{d.text} ({d.code})" for d in study.paper.deviations)]))
        for section in study.sections:
            blocks += _section(study, section)
    elif study.systems:
        blocks += _overviews(study)
    if study.systems:
        blocks.append(Text([_legend(study) + _leak_legend(study)]))
        blocks.append(Heading("How it was tested, according to the data", 2))
        blocks.append(Text(["", *_tested(study)]))
        blocks += convergence.blocks(study)
    if study.paper and study.paper.remarks:
        blocks.append(Heading("Notes on the paper", 2))
        blocks.append(Text(["", *study.paper.remarks]))
    return blocks


def _legend(study: Study) -> str:
    """Return what the figures are, and over what the intervals were drawn."""
    runs = _runs(study)
    units = {run.unit for run in runs}
    files = "files, since their speakers are unknown, which makes the intervals too narrow"
    if units == {"file"}:
        return _LEGEND.format(files, "files")
    several = {len(run.seeds) > 1 for run in runs if run.unit == "speaker"}
    what = "speakers"
    if True in several:
        what += ", and over seeds where there are several" if False in several else " and seeds"
    return _LEGEND.format(what + (f", or over {files}" if len(units) > 1 else ""), "speakers")


def _runs(study: Study) -> list[pooling.Pooled]:
    return [run for system in study.systems for run in system.runs.values()]


def _leak_legend(study: Study) -> str:
    if not _has_gap(study) or study.leak is None:
        return ""
    heads = {p.tag: p.column for p in study.columns}
    seeds = " and seeds" if any(len(run.seeds) > 1 for run in _runs(study)) else ""
    return (
        f" The difference is {heads[study.leak[0]]} minus {heads[study.leak[1]]}, with the same"
        f" speakers{seeds} drawn for both."
    )


def _opening(paper: Paper) -> list[Block]:
    recipe = f"Recipe: recipes/{paper.recipe}.sh" if paper.recipe else "No recipe yet"
    columns = [f"{p.column}: {p.text}." for p in paper.protocols]
    return [
        Heading(f"{paper.name}: {paper.title}"),
        Text([f"{paper.authors}. {paper.published}. {recipe}."]),
        Text([paper.about]),
        Text(["", *columns]),
    ]


def _section(study: Study, section: Section) -> list[Block]:
    """Return a table of the paper; one line where nothing of it was run."""
    table = section.table
    title = f"Table {table.id}" if table.id[:1].isdigit() else table.id.capitalize()
    title = "In the text" if table.id == "text" else title
    heading = Heading(f"{title}: {table.title}" if table.id else table.title, 2)
    if not any(row.run for row in section.rows):
        reasons = dict.fromkeys(row.reason for row in section.rows)
        text = f"{_figures(section.rows)} ({table.where}), {_not_run(*reasons)}."
        return [heading, Text([text])]
    rows = [row for row in section.rows if row.run]
    alone, families = sheets.split(rows)
    about = [_sentence(table.where + "." if table.where else ""), _sentence(table.note)]
    blocks: list[Block] = [heading]
    if any(about):
        blocks.append(Text([" ".join(text for text in about if text)]))
    notes: list[str] = []
    if alone:
        blocks.append(_grid(study, alone, notes))
    for family in families:
        told = [
            key for key in _keys(family.rows, study.systems) if key not in _published(family.rows)
        ]
        blocks += sheets.blocks(family, study.columns, told, notes)
    if notes:
        blocks.append(Text(["", *(f"{mark(i)} {note}" for i, note in enumerate(notes))]))
    rest = [row for row in section.rows if not row.run]
    if rest:
        reasons = dict.fromkeys(row.reason for row in rest)
        blocks.append(Text([f"Another {_figures(rest)}, {_not_run(*reasons)}."]))
    return blocks


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _figures(rows: Sequence[Row]) -> str:
    return f"{len(rows)} published number" + "s" * (len(rows) > 1)


def _grid(study: Study, found: Sequence[Row], notes: list[str]) -> Grid:
    """Return rows as a table: what they are of, what was published, and each protocol."""
    keys = _keys(found, study.systems)
    gaps = any(row.gap for row in found)
    rows = [
        [*(row.tags.get(key, "") for key in keys), label(row), *_row(study, row, notes, gaps)]
        for row in found
    ]
    heads = [protocol.column for protocol in study.columns]
    header = [*keys, "figure", "paper", *heads, *([_gap_name(study)] if gaps else []), "runs"]
    return Grid(header, rows, len(keys) + 1, len(keys))


def _gap_name(study: Study) -> str:
    heads = {p.tag: p.column for p in study.columns}
    left, right = study.leak or ("", "")
    return f"{heads[left].removesuffix(' protocol')} − {heads[right]}"


def _has_gap(study: Study) -> bool:
    return any(row.gap for section in study.sections for row in sheets.split(section.rows)[0])


def _not_run(*reasons: str) -> str:
    given = [reason for reason in reasons if reason]
    return "not run: " + "; ".join(given) if given else "not run"


def _keys(rows: Sequence[Row], systems: Sequence[System]) -> list[str]:
    """Return the tags that rows show: the paper's, and ours where they say something."""
    published = _published(rows)
    ours = dict.fromkeys(key for row in rows for key in row.tags)
    return [*published, *(k for k in telling(systems) if k in ours and k not in published)]


def _published(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(k for row in rows if row.published for k in row.published.tags))


def _row(study: Study, row: Row, notes: list[str], gaps: bool) -> list[str]:
    """Return a row's cells from the published one on; what they refer to is added to `notes`."""

    printed = published(row, notes)
    cells = []
    for protocol in study.columns:
        if protocol.tag not in row.measured:
            cells.append("" if row.baseline else "not run")
        else:
            cells.append(value(row.measured[protocol.tag], row.unit))
    gap = [difference(row.gap, row.unit)] if gaps else []
    runs = [] if row.baseline else [runs_of(row.pooled[tag]) for tag in row.measured]
    return [printed, *cells, *gap, "; ".join(runs)]


def _overviews(study: Study) -> list[Grid]:
    """Return an overview of the systems that tell classes apart, and of those that say numbers."""
    chosen: list[dict[str, str]] = [
        {"measure": metric.name} for metric in metrics.known().values() if metric.overview
    ]
    if any(run.calibration for run in _runs(study)):
        chosen.append({"measure": "ece"})
    if any(run.votes for run in _runs(study)):
        chosen += [{"measure": name} for name in measures.OF_VOTES]
    targets = dict.fromkeys(n for run in _runs(study) if run.numbers for n in run.classes)
    measured = [{"measure": m, "target": name} for name in targets for m in OF_NUMBERS]
    made = [_overview(study, chosen, False), _overview(study, measured, True)]
    return [grid for grid in made if grid.rows]


def _overview(study: Study, chosen: list[dict[str, str]], numbers: bool) -> Grid:
    """Return figures of every system of one kind and its baselines, one line per protocol."""
    keys = telling(study.systems)
    protocols = any(p.tag for p in study.columns)
    rows = []
    for system in study.systems:
        for tag, run in system.runs.items():
            if run.numbers != numbers:
                continue
            for name in ("", *BASELINES, *NUMBER_BASELINES):
                if name and (name not in run.baselines or name == run.made.get("model")):
                    continue
                found = measures.values(pooling.baseline(run, name) if name else run, chosen)
                line = [*(system.tags.get(key, "") for key in keys), *([tag] if protocols else [])]
                last = ["" if name else text(run) for text in COLUMNS.values()]
                units = [unit(figure["measure"]) for figure in chosen]
                cells = [value(v, u) for v, u in zip(found, units, strict=True)]
                rows.append([*line, name or "model", *cells, *last])
    header = [*keys, *(["protocol"] if protocols else [])]
    last = ["system", *(named(measures.name_of(figure)) for figure in chosen)]
    head = [*header, *last, *COLUMNS]
    return Grid(head, rows, len(header) + 1, len(header))


def shared(run: pooling.Pooled) -> str:
    """Return what test and training share, as found in their items: "speakers, sentences"."""
    evidence = pooling.evidence(run)
    found = [what for name, what in FACTS.items() if evidence.facts[name] is False]
    unknown = [f"{FACTS[name]}?" for name, _ in APART if evidence.facts[name] is None]
    copies = ["copies in the test set"] if evidence.test_augmented else []
    known = [contamination.said(one) for one in evidence.encoders]
    return ", ".join([*found, *unknown, *copies, *(t for t, weak in known if weak)]) or "nothing"


COLUMNS = {"shared with training": shared, "runs": runs_of}  # of the overview, after the metrics


def _tested(study: Study) -> list[str]:
    """Return one line a way of testing: which systems, how often, on what, and what was apart."""
    keys = [key for key in telling(study.systems) if key != "epochs"]
    lines: dict[tuple[str, str], list[str]] = {}
    for column in study.columns:
        for system in study.systems:
            run = system.runs.get(column.tag)
            if run is not None:
                name = " ".join(v for k in keys if (v := system.tags.get(k, "")))
                lines.setdefault((column.column, _facts(run)), []).append(name)
    heads = [head for head, _ in lines]
    told = []
    for (head, facts), names in lines.items():
        which = ", ".join(filter(None, dict.fromkeys(names))) if heads.count(head) > 1 else ""
        told.append(f"{head}{f' ({which})' if which else ''}: {facts}")
    return told


def _facts(run: pooling.Pooled) -> str:
    told = pooling.evidence(run)
    folds = list(dict.fromkeys(_listed([f for f in each if f]) for each in run.folds))
    seeds = [seed for seed in run.seeds if seed]
    what = "items" if run.made.get("level") == "item" else "files"
    speakers = f"{told.n_speakers} speakers" if told.n_speakers else "unknown speakers"
    parts = [
        f"{_noun('seed', seeds)} {_listed(seeds)}" if seeds else "",
        f"{_noun('fold', folds)} {' or '.join(folds)}" if any(folds) else "",
        f"trained on {_span(told.n_train)} items",
        f"validated on {_span(told.n_val)}" if told.n_val[1] else "",
        f"tested on {_span(told.n_test)} {what} of {speakers}",
        f"{told.files_split} of these {what} SCORED IN PARTS, by the pieces that a fold held out"
        if told.files_split
        else "",
        *(f"{words}: {WORDS[told.facts[name]]}" for name, words in APART),
        "COPIES IN THE TEST SET" if told.test_augmented else "no copies in the test set",
        NOTE if told.speaker_normalisation else "",
        *(contamination.said(one)[0] for one in told.encoders),
    ]
    return "; ".join(part for part in parts if part)


def _noun(noun: str, listed: Sequence[str]) -> str:
    """Return "fold" for what is one number, "folds" for several."""
    return noun if len(listed) == 1 and listed[0].isdecimal() else f"{noun}s"


def _span(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}–{pair[1]}"


def _listed(numbers: Sequence[str]) -> str:
    """Return "0–4" for consecutive numbers, "0, 2" for others."""
    if len(numbers) > 2 and all(n.isdecimal() for n in numbers):
        ints = [int(n) for n in numbers]
        if ints == list(range(ints[0], ints[-1] + 1)):
            return f"{ints[0]}–{ints[-1]}"
    return ", ".join(show(n) for n in numbers)
