"""A report as a page for a browser: how far to trust it, its figures, and its recordings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import numpy as np

from sertool import metrics, regression
from sertool.core.paths import show
from sertool.evaluation import crowds, curves, number_tables, reliability
from sertool.evaluation.facts import FACTS
from sertool.evaluation.intervals import MODEL_NAME, of_files, recalls_of, right_by_bin
from sertool.evaluation.options import ALL
from sertool.evaluation.report import (
    AnyReport,
    Figures,
    NumberReport,
    Protocol,
    Report,
    Scored,
)
from sertool.evaluation.terminal import (
    further,
    percent,
    scope_line,
    shown,
    systems,
    three_digits,
    with_interval,
)
from sertool.ui.page import charts
from sertool.ui.page.charts import Range
from sertool.ui.page.markup import Child, Html, scrolled, section, table, tag
from sertool.ui.page.recordings import Recording
from sertool.ui.words import of_several, plural

MOST_BARS = 100  # speakers, each with a bar of its own
MOST_CURVES = 60  # trainings in one picture
SHADES = 10  # of a cell, by its share of the row
# fact -> what holds, what does not and what is unknown, in words
_SAID = {
    "speaker_disjoint": "speaker of the test {} heard in training",
    "origin_disjoint": "tested recording {} trained on, whole or in parts",
    "text_disjoint": "sentence of the test {} spoken in training",
    "audio_disjoint": "tested recording {} in the training part under another name",
    "near_disjoint": "tested recording {} all but the same as one trained on",
    "fit_disjoint": "test item {} among those that statistics or weights were fitted to",
}
_WORDS = {"leak": "LEAK", "good": "APART", "unknown": "UNKNOWN", "note": "NOTE"}


def title(report: AnyReport) -> str:
    """Return what a page is of: "sundharam-cnn on demo"."""
    name = (report.model and report.model.name) or "model"
    where = [show(one) for one in sorted(report.figures.by.get("corpus", {})) if one]
    return f"{show(name)} on {', '.join(where)}" if where else show(name)


def about(report: AnyReport) -> str:
    """Return what was tested, and over what the intervals are."""
    return scope_line(report).plain


def sections(report: AnyReport, commands: Sequence[str], sound: str = "") -> list[Html]:
    """Return all sections. commands: the lines that make the report; sound: what is there of it."""
    made: list[Html | None] = [protocol(report)]
    if isinstance(report, NumberReport):
        made += [_numbers(report), _scatter(report)]
    else:
        made += [results(report), confusion(report, bool(report.items))]
    if report.items:
        made.append(recordings(sound, isinstance(report, Report)))
    if isinstance(report, Report):
        made += [classes(report), speakers(report)]
    made += [certainty(report), _stress(report), _folds(report), lineage(commands)]
    return [one for one in made if one]


# --- how far to trust it ---


def facts(protocol: Protocol) -> list[tuple[str, str]]:
    """Return what a protocol says: ("leak", "good", "unknown" or "note", a sentence)."""
    made: list[tuple[str, str]] = []
    for name, words in _SAID.items():
        if name not in protocol.facts:
            continue
        holds = protocol.facts[name]
        n = protocol.shared.get(FACTS[name])
        if holds:
            made.append(("good", f"No {words.format('was')}."))
        elif holds is None:
            made.append(("unknown", f"Whether a {words.format('was')} is unknown."))
        else:
            made.append(("leak", _broken(words, n)))
    for text, weak in further(protocol):
        kind = "leak" if weak else "note"
        if text == "test augmented: no":
            kind, text = "good", "The test set holds no augmented copy"
        made.append((kind, f"{text[:1].upper()}{text[1:]}."))
    return made


def _broken(words: str, n: int | None) -> str:
    """Return "4 speakers of the test were heard in training."."""
    noun = words.partition(" {}")[0]
    head, _, rest = noun.partition(" of ")
    many = plural(n, head) if n else f"some {of_several(head)}"
    of = f" of {rest}" if rest else ""
    said = "was" if n == 1 else "were"
    line = f"{many}{of} {said}{words.partition('{}')[2]}"
    return f"{line[:1].upper()}{line[1:]}."


def protocol(report: AnyReport) -> Html:
    """Return in plain words what was trained on and tested, and every leak, by colour and word."""
    found = facts(report.protocol)
    leaks = sum(kind == "leak" for kind, _ in found)
    unknown = sum(kind == "unknown" for kind, _ in found)
    if leaks:
        kind = "leak"
        verdict = f"{plural(leaks, 'leak')}: these figures may be too good for recordings that the"
        verdict += " model has nothing in common with. The list says why."
    elif unknown:
        kind, verdict = "unknown", "No leak was found, but not all is known: see the list."
    else:
        kind, verdict = "good", "No leak was found between training and test."
    order = ("leak", "unknown", "good", "note")
    rows = [
        tag("li", tag("b", _WORDS[kind]), tag("span", text), class_=kind)
        for kind, text in sorted(found, key=lambda one: order.index(one[0]))
    ]
    return section(
        "How it was tested",
        "protocol",
        tag("p", _trained(report.protocol, report.level or "item")),
        tag("p", verdict, class_=f"verdict {kind}"),
        tag("ul", rows, class_="facts"),
        tag("p", "Counted from the items that the model was trained on and those it is tested on,"
            " not from what anybody said.", class_="soft"),
    )  # fmt: skip


def _trained(protocol: Protocol, level: str) -> str:
    folds = protocol.of("n_checkpoints")
    many = f"{plural(folds, 'model')}, each trained on" if folds > 1 else "One model, trained on"
    line = f"{many} {_span(protocol.of('n_train'), protocol.of('n_train_most'))} items"
    if protocol.of("n_train_speakers"):
        line += f" of {plural(protocol.of('n_train_speakers'), 'speaker')}"
    if protocol.train_augmented:
        line += ", augmented copies among them"
    if protocol.of("n_val"):
        line += f", with {plural(protocol.of('n_val'), 'item')} to choose the best epoch by"
    tested = plural(protocol.of("n_test"), "item")
    line += f"; tested on {tested}"
    if protocol.of("n_test_speakers"):
        line += f" of {plural(protocol.of('n_test_speakers'), 'speaker')}"
    return f"{line}, counted by {level}."


def _span(least: int, most: int) -> str:
    return f"{least} to {most}" if most > least else f"{least}"


# --- figures ---


def results(report: Report) -> Html:
    """Return UAR and WA with intervals beside both baselines, and every other metric."""
    rows = systems(report)
    both = (metrics.UAR, metrics.ACCURACY)
    return section(
        "Results",
        "results",
        tag("div", [_headline(rows[0][1], metric) for metric in both], class_="figures"),
        [_intervals(report, rows, metric) for metric in both],
        tag("details", tag("summary", "All metrics"), _metrics(rows)),
    )


def _headline(figures: Figures, metric: metrics.Metric) -> Html:
    value, _, interval = with_interval(figures, metric).partition(" ")
    names = {"uar": "mean recall of the classes", "accuracy": "share recognised"}
    return tag("div", tag("span", f"{metric.label}, %", class_="soft"),
               tag("b", value, tag("small", f" {interval}")),
               tag("span", names[metric.name], class_="soft"))  # fmt: skip


def _intervals(report: Report, rows: Sequence[tuple[str, Figures]], metric: metrics.Metric) -> Html:
    chance = 1 / len(report.classes) if metric.name == "uar" else None
    lines: list[list[Child]] = []
    for name, figures in rows:
        value = figures.metrics.get(metric.name)
        drawn = None if value is None else charts.bar(
            value, figures.ci.limits.get(metric.name), chance=chance, point=True)  # fmt: skip
        lines.append([show(name), drawn, with_interval(figures, metric)])
    made = bars([metric.label, "0 to 100 %", "% [interval]"], lines, f"{metric.label} by system")
    signs = [("whisker", f"{100 * report.figures.ci.level:g} % interval")]
    return tag("div", made, charts.legend(*signs, *([("chance", "chance")] if chance else [])))


def bars(header: Sequence[str], rows: Sequence[Sequence[Child]], caption: str) -> Html:
    """Return a table whose second column is drawn."""
    made = table(header, rows, caption, words=2)
    return Html(
        made.replace('<table class="words">', '<table class="words bars">').replace(
            "<td><svg", '<td class="wide"><svg'
        )
    )


def _metrics(rows: Sequence[tuple[str, Figures]]) -> Html:
    every = [m for m in metrics.known().values() if m.name in rows[0][1].metrics]
    header = ["", *(show(name) for name, _ in rows)]
    lines = [
        [metric.label + (", %" if metric.percent else ""),
         *(with_interval(figures, metric) for _, figures in rows)]
        for metric in every
    ]  # fmt: skip
    if any(figures.mean_of_folds for _, figures in rows):
        for metric in (metrics.UAR, metrics.ACCURACY):
            means = [figures.mean_of_folds for _, figures in rows]
            cells = [
                f"{shown(metric, m.metrics.get(metric.name))} ±"
                f" {shown(metric, m.sd.get(metric.name))}"
                if m
                else ""
                for m in means
            ]
            lines.append([f"{metric.label}, %, mean of folds ± sd", *cells])
    return table(header, lines, "Every metric by system")


def confusion(report: Report, opens: bool) -> Html:
    """Return the confusion matrix; `opens`: each cell is a button that shows its recordings."""
    if crowds.crowded(report.classes):
        return section(
            "Confusions", "confusion", matrix(report.classes, report.figures.confusion, False)
        )
    hint = "Rows are the truth: per cent of the row, and below it how many."
    hint += " A cell opens the recordings in it; the arrow keys move between cells." * opens
    made = matrix(report.classes, report.figures.confusion, opens)
    return section("Confusion matrix", "confusion", tag("p", hint, class_="soft"), made)


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]], opens: bool) -> Html:
    """Return counts, rows the truth, in per cent of their row; `opens`: as buttons.

    Of a crowd of classes the most frequent mistakes instead.
    """
    if crowds.crowded(names):
        return _mistakes(names, counts)
    head = tag("tr", tag("td", tag("span", "truth ↓  said →", class_="soft")),
               [tag("th", show(name), scope="col") for name in names])  # fmt: skip
    body = []
    for i, row in enumerate(counts):
        total = sum(row)
        cells = [_cell(names, i, j, n, total, opens) for j, n in enumerate(row)]
        body.append(tag("tr", tag("th", show(names[i]), scope="row"), cells))
    made = tag("table", tag("thead", head), tag("tbody", body), class_="matrix")
    return scrolled(made, "Confusion matrix")


def _mistakes(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
    lines = [
        [show(names[one.truth]), show(names[one.said]), percent(one.share), f"{one.n}"]
        for one in crowds.mistakes(counts)
    ]
    title = f"The most frequent mistakes among {len(names)} classes"
    return tag("figure", tag("h3", title), table(["truth", "said", "%", "n"], lines, title, 2))


def _cell(names: Sequence[str], i: int, j: int, n: int, total: int, opens: bool) -> Html:
    share = n / total if total else 0.0
    shade = f"s{min(SHADES - 1, int(share * SHADES))}" if n else "zero"
    kind = f"cell {'right' if i == j else 'wrong'} {shade}"
    if not n:
        return tag("td", "·", class_="cell zero")
    words = [tag("b", percent(share, 0)), tag("i", " per cent, "),
             tag("small", f"{n}"), tag("i", f" of {total}")]  # fmt: skip
    if not opens:  # its headers say which classes it is of
        return tag("td", words, class_=kind)
    both = tag("i", f"{show(names[i])} recognised as {show(names[j])}: ")
    pressed = tag("button", both, words, class_=kind, type="button", data_truth=i, data_said=j,
                  aria_pressed="false")  # fmt: skip
    return tag("td", pressed)


def recordings(sound: str, truth: bool = True) -> Html:
    """Return the place where the script lists recordings and shows one."""
    order = "The most certain errors first" if truth else "In their order"
    return section(
        "Recordings",
        "recordings",
        tag("p", f"{order}.{sound}", class_="soft"),
        tag("div", id="controls", class_="controls"),
        tag("p", id="count", role="status", class_="soft"),
        tag("div", tag("ol", id="list"), tag("div", id="detail", role="region",
            aria_label="The recording", tabindex=-1, hidden=True), class_="browse"),
    )  # fmt: skip


def classes(report: Report) -> Html:
    """Return each class's recall with its interval beside the linear baseline's, and its rates."""
    rows = systems(report)
    other = next(((name, own) for name, own in rows[1:] if name != "majority"), None)
    crowded = crowds.crowded(report.classes)
    found = {} if crowded else recalls_of(report)
    limits = found.get(MODEL_NAME, [])
    lines: list[list[Child]] = []
    names = crowds.worst(report)[: crowds.WORST] if crowded else report.classes
    for i, name in enumerate(names):
        own = report.figures.per_class[name]
        if not own.support:
            continue
        interval = limits[i] if limits else None
        mark = other[1].per_class[name].recall if other else None
        text = percent(own.recall)
        if interval:
            text += f" [{percent(interval[0])}, {percent(interval[1])}]"
        rates = [percent(value) for value in (own.precision, own.f1, own.auc)]
        drawn = charts.bar(own.recall or 0.0, interval, mark, 1 / len(report.classes))
        lines.append([show(name), drawn, text, *([percent(mark)] if other else []), *rates,
                      f"{own.support}"])  # fmt: skip
    header = ["class", "recall, 0 to 100 %", "recall, %", *([show(other[0])] if other else []),
              "precision", "F1", "AUC", "n"]  # fmt: skip
    signs = [("model", "recall"), ("chance", "chance")]
    signs += [("whisker", f"{100 * report.figures.ci.level:g} % interval")] if limits else []
    signs += [("other", show(other[0]))] if other else []
    rest = f"The {len(names)} worst of {len(report.classes)} classes." if crowded else None
    return section("Classes", "classes", tag("p", rest, class_="soft") if rest else None,
                   bars(header, lines, "Recall of each class"), charts.legend(*signs))  # fmt: skip


def speakers(report: Report) -> Html | None:
    """Return each speaker's UAR with an interval over its own files; None for fewer than two."""
    found = report.figures.by.get("speaker", {})
    if len(found) < 2:
        return None
    names = sorted(found, key=lambda name: (found[name].uar, name))
    baseline = dict(systems(report)[1:]).get("linear")
    linear = baseline.by.get("speaker", {}) if baseline else {}
    one = len({name.split("/", 1)[0] for name in names}) == 1
    lines: list[list[Child]] = []
    for name in names[:MOST_BARS]:
        own = found[name]
        interval = of_files(own.confusion, report.figures.ci.level)
        mark = linear[name].uar if name in linear else None
        text = f"{percent(own.uar)} [{percent(interval[0])}, {percent(interval[1])}]"
        lines.append([show(name.split("/", 1)[1] if one and "/" in name else name),
                      charts.bar(own.uar, interval, mark), text,
                      *([percent(mark)] if linear else []), f"{own.n}"])  # fmt: skip
    header = ["speaker", "UAR, 0 to 100 %", "UAR, %", *(["linear"] if linear else []), "n"]
    rest = len(names) - MOST_BARS
    signs = [("model", "UAR"), ("whisker", f"{100 * report.figures.ci.level:g} % interval over"
             " the speaker's own files"), *([("other", "linear")] if linear else [])]  # fmt: skip
    return section(
        "Speakers",
        "speakers",
        tag("p", f"{plural(len(names), 'speaker')}, the worst first."
            + (f" {rest} better ones are left out here." if rest > 0 else ""), class_="soft"),
        bars(header, lines, "UAR of each speaker"),
        charts.legend(*signs),
    )  # fmt: skip


def certainty(report: AnyReport) -> Html | None:
    """Return the reliability diagram and the training curves; None where neither is known."""
    parts = {"Certainty": _reliability(report), "Training": _training(report)}
    drawn = {name: one for name, one in parts.items() if one}
    if not drawn:
        return None
    heading = " and ".join(drawn).capitalize()
    return section(heading, "certainty", tag("div", list(drawn.values()), class_="charts"))


def _reliability(report: AnyReport) -> Html | None:
    own = report.figures.calibration if isinstance(report, Report) else None
    if not own or not isinstance(report, Report):
        return None
    bins = reliability.by_bin(np.array(own.sums, np.float64))
    limits = right_by_bin(report)
    rows = []
    lines = []
    for k, (n, right, sure) in enumerate(bins.tolist()):
        if not n:
            continue
        interval = None if limits is None else (float(limits[k][0]), float(limits[k][1]))
        rows.append((k / own.bins, (k + 1) / own.bins, right / n, interval, int(n)))
        lines.append([f"{100 * k / own.bins:.0f} to {100 * (k + 1) / own.bins:.0f}",
                      percent(sure / n), percent(right / n), f"{int(n)}"])  # fmt: skip
    words = ", ".join(f"{label} {three_digits(own, name)}"
                      for name, label in reliability.LABELS.items())  # fmt: skip
    return tag(
        "figure",
        tag("h3", "How sure, and how often right"),
        charts.reliability(rows, f"Reliability diagram: {words}"),
        charts.legend(("model", "right"), ("val", "as sure as right"),
                      *([("whisker", "interval")] if limits is not None else [])),
        tag("figcaption", f"{words}; {own.bins} bins."),
        tag("details", tag("summary", "Numbers"),
            table(["confidence, %", "mean", "right, %", "n"], lines, "Reliability by bin")),
    )  # fmt: skip


def _training(report: AnyReport) -> Html | None:
    return training(curves.curves(report))


def training(found: Sequence[curves.Curve], name: str = "Training") -> Html | None:
    """Return losses by epoch, a line for each training; None without."""
    if not found:
        return None
    losses = [v for c in found for v in (*c.loss, *(c.val_loss or ()))]
    across = Range(1, max(2, *(c.n for c in found)), "epoch")
    up = Range(0, max(losses) or 1.0, "loss")
    marks = []
    for c in found[:MOST_CURVES]:
        marks.append(charts.curve(across, up, c.epochs, c.loss, "loss"))
        if c.val_loss is not None:
            marks.append(charts.curve(across, up, c.epochs, c.val_loss, "val"))
        at = c.at(c.best, c.val_loss or c.loss)
        marks.append(tag("circle", cx=charts.x(across, c.best), cy=charts.y(up, at), r=3,
                         class_="best"))  # fmt: skip
    signs = [("model", "training")]
    signs += [("val", "validation")] if any(c.val_loss is not None for c in found) else []
    return tag(
        "figure",
        tag("h3", name),
        charts.plot(across, up, marks, f"{name}: loss by epoch"),
        charts.legend(*signs),
        tag("figcaption", f"Loss by epoch of {plural(len(found), 'training')}; a dot marks the"
            " epoch whose weights were kept."),
    )  # fmt: skip


def _stress(report: AnyReport) -> Html | None:
    """Return what is left under each condition; None without."""
    stress = report.stress
    if not stress or not stress.conditions:
        return None
    rate = stress.measure == "uar"

    def text(value: float | None, ends: tuple[float | None, float | None], sign: str = "") -> str:
        if value is None:
            return "–"
        scale, form = (100, f"{sign}.1f") if rate else (1, f"{sign}.3f")
        low, high = ends
        shown = format(scale * value, form)
        if low is None or high is None:
            return shown
        return f"{shown} [{format(scale * low, form)}, {format(scale * high, form)}]"

    def drawn(value: float | None, ends: tuple[float | None, float | None]) -> Html | None:
        return charts.bar(value, ends, stress.clean if stress else None, point=True) if (
            rate and value is not None) else None  # fmt: skip

    lines: list[list[Child]] = [["as they are", drawn(stress.clean, stress.clean_ci),
                                 text(stress.clean, stress.clean_ci), ""]]  # fmt: skip
    lines += [
        [one.description, drawn(one.value, one.ci), text(one.value, one.ci),
         text(one.difference, one.difference_ci, "+")]
        for one in stress.conditions.values()
    ]  # fmt: skip
    name = "UAR, %" if rate else "mean CCC"
    header = ["condition", "0 to 100 %" if rate else "", name, "difference"]
    return section("Under other conditions", "stress", bars(header, lines, f"{name} by condition"))


def _folds(report: AnyReport) -> Html | None:
    """Return the checkpoints side by side; None for a single one."""
    folds = report.figures.folds
    if len(folds) < 2:
        return None
    known = {name: metric for name, metric in metrics.known().items()
             if name in ("uar", "accuracy", "macro_f1")}  # fmt: skip
    header = ["checkpoint", "n", *(f"{m.label}, %" for m in known.values())]
    if isinstance(report, NumberReport):
        header = ["checkpoint", "n", "mean CCC"]
    lines = []
    for fold in folds:
        cells = [shown(metric, fold.metrics.get(name)) for name, metric in known.items()]
        if isinstance(report, NumberReport):
            cells = [number_tables.shown(fold.metrics.get("ccc"))]
        lines.append([show(fold.checkpoint), f"{fold.n}", *cells])
    return section("Checkpoints", "folds", table(header, lines, "Each checkpoint on its own tests"))


# --- numbers ---


def _numbers(report: NumberReport) -> Html:
    name = show((report.model and report.model.name) or "model")
    measures = list(regression.MEASURES.values())
    lines = []
    for field, own in report.figures.targets.items():
        lines.append([show(field), name, *(number_tables.interval(own, m.name) for m in measures)])
        for other, found in report.baselines.items():
            if other != name:
                cells = (number_tables.interval(found.targets[field], m.name) for m in measures)
                lines.append([show(field), show(other), *cells])
    header = ["target", "system", *(m.label for m in measures)]
    return section("Results", "results", table(header, lines, "Every measure by target", words=2))


def _scatter(report: NumberReport) -> Html | None:
    if not report.items:
        return None
    drawn = []
    for field in report.figures.targets:
        pairs = [(item.truth[field], item.prediction[field]) for item in report.items]
        ends = [value for pair in pairs for value in pair]
        across, up = (Range(min(ends), max(ends), name) for name in ("truth", "prediction"))
        marks = charts.dots(across, up, pairs)
        marks.append(charts.curve(across, up, (min(ends), max(ends)), (min(ends), max(ends)),
                                  "val"))  # fmt: skip
        drawn.append(
            tag("figure", tag("h3", show(field)),
                charts.plot(across, up, marks, f"{show(field)}: prediction by truth"))
        )  # fmt: skip
    return section("Prediction and truth", "scatter", tag("div", drawn, class_="charts"))


# --- how it was made ---


def lineage(commands: Sequence[str]) -> Html | None:
    """Return how something was made; None where nothing is known of it."""
    parts = made_by(commands)
    return section("How it was made", "lineage", parts) if parts else None


def made_by(commands: Sequence[str]) -> list[Html]:
    """Return command lines as a graph of their stages and to copy, their remarks first."""
    lines = [line for line in commands if not line.startswith("#")]
    if not lines:
        return []
    # the script adds what copies a line
    rows = [tag("li", tag("code", _words(line)), data_stage=_stage(line)) for line in lines]
    every = tag("button", "Copy all", type="button", class_="copyall script", hidden=True)
    drawn = tag("figure", charts.graph(_nodes(lines), "The stages that made it"))
    told = tag("div", tag("ul", rows, class_="commands"), every)
    remarks = [tag("p", line.lstrip("# "), class_="soft") for line in commands if line[:1] == "#"]
    return [*remarks, tag("div", drawn, told, class_="lineage")]


def _words(line: str) -> list[Child]:
    """Return a line whose options stay whole where it wraps."""
    words = line.split(" ")
    made: list[Child] = []
    for i, word in enumerate(words):
        made += [tag("span", word) if word.startswith("-") else word]
        made += [" "] if i + 1 < len(words) else []
    return made


def _stage(line: str) -> str:
    words = shlex.split(line)
    at = words.index("sertool") + 1 if "sertool" in words else 0
    return words[at] if at < len(words) else ""


def _nodes(lines: Sequence[str]) -> list[charts.Node]:
    """Return the stages of command lines; trainings from the same files are one node."""
    made: dict[str, int] = {}  # output -> its node
    nodes: list[charts.Node] = []
    trained: dict[tuple[int, ...], tuple[int, list[str]]] = {}
    for line in lines:
        words = shlex.split(line)
        needs = tuple(sorted({made[word] for word in words if word in made}))
        stage, output = _stage(line), _output(words)
        if stage == "train" and needs in trained:
            k, names = trained[needs]
            names.append(output)
            nodes[k] = charts.Node(f"{stage} × {len(names)}", f"{names[0]} …", needs)
        else:
            k = len(nodes)
            nodes.append(charts.Node(stage, output, needs))
            if stage == "train":
                trained[needs] = (k, [output])
        made[output] = k
    return nodes


def _output(words: Sequence[str]) -> str:
    """Return the file that a line makes: what --json names, or the last argument."""
    if "--json" in words:
        return words[words.index("--json") + 1]
    first = words.index("sertool") + 1 if "sertool" in words else 0
    flags = (i for i, word in enumerate(words) if i > first and word.startswith("-"))
    return words[next(flags, len(words)) - 1]


# --- recordings ---


def sound_said(audio: str | None) -> str:
    """Return what a page says of its sound, of `--audio`."""
    if audio is None:
        return " Without sound (--audio puts it in)."
    return "" if audio == ALL else " Those marked ♪ have sound."


def listed(report: AnyReport) -> list[Recording]:
    """Return a report's items as a page lists them; [] for a summary."""
    if not report.items:
        return []
    if isinstance(report, NumberReport):
        return [
            Recording(one.id, numbers=one.prediction, true_numbers=one.truth)
            for one in report.items
        ]
    place = {name: i for i, name in enumerate(report.classes)}
    return [_recording(one, place, report.classes) for one in report.items]


def _recording(one: Scored, place: Mapping[str, int], names: Sequence[str]) -> Recording:
    speaker = ", ".join(show(v) for v in (one.speaker, one.gender) if v)
    shares = [one.posterior.get(name, 0.0) for name in names]
    return Recording(one.id, place.get(one.prediction), shares, place.get(one.truth), speaker)
