"""The card of a model: Markdown below YAML, as Hugging Face has it; its figures are a report's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, to_builtins

from sertool import corpora, metrics, regression
from sertool.core.paths import show
from sertool.corpora import named
from sertool.evaluation import contamination
from sertool.evaluation.alike import of_model, tested
from sertool.evaluation.number_tables import interval
from sertool.evaluation.report import AnyReport, Intervals, NumberReport, Report, Warn, ignored
from sertool.evaluation.terminal import (
    percent,
    pieces,
    scope_line,
    systems,
    warnings,
    with_interval,
)
from sertool.formats.checkpoint import Checkpoint, Header
from sertool.formats.lineage import file_sha256
from sertool.items import Item
from sertool.ui.words import plural

TASK = "audio-classification"
TAGS = ("audio-classification", "speech-emotion-recognition")
CONFUSED = 3  # pairs of classes that a card names
UNKNOWN = "unknown"
MISUSE = """\
## What it must not be used for

Decisions about a person: hiring, school, credit, insurance, police, borders, medicine, custody. In
the European Union, inferring emotions at work and in education is prohibited but for medical or
safety reasons (Regulation 2024/1689, Article 5). What it says is how recordings of such a sound
were labelled, not what somebody feels."""
_PLAIN = re.compile(r"[A-Za-z][\w ,()/.-]*", re.ASCII)
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # to YAML, no text
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~]|&(?=\S))")


# --- YAML ---


class Named(Struct):
    """A task or a data set of `model-index`, by its identifier and its name for people."""

    type: str
    name: str


class Figure(Struct, omit_defaults=True):
    """One figure of `model-index`, a rate in per cent; args: its interval, and of what."""

    type: str
    name: str
    value: float
    args: dict[str, str | float | list[float]] = {}


class Result(Struct):
    """One entry of `model-index`: figures, and on what they were measured."""

    task: Named
    dataset: Named
    metrics: list[Figure]

    @classmethod
    def on(cls, tested: Sequence[str], name: str, figures: Sequence[Figure]) -> Result:
        """Return the entry for figures on corpora, `tested`, together called `name`."""
        task = Named(TASK, "Speech emotion recognition")
        return cls(task, Named("-".join(tested) or UNKNOWN, name), list(figures))


def front_matter(
    name: str, results: Sequence[Result], licence: str | None, languages: Sequence[str]
) -> str:
    """Return the metadata above a card, `model-index` among it."""
    values: dict[str, Any] = {"library_name": "sertool"}
    values |= {"license": licence} if licence else {}
    values |= {"language": list(languages)} if languages else {}
    values |= {"tags": list(TAGS), "pipeline_tag": TASK}
    if results:  # Hugging Face wants one, at least
        values["model-index"] = [{"name": name, "results": to_builtins(list(results))}]
    return "\n".join(["---", *_block(values), "---"])


def _block(value: Any) -> Iterator[str]:
    """Yield the lines of a table or a list in YAML."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, Mapping | list):
                yield f"{_scalar(name)}:"
                indent = "" if isinstance(inner, list) else "  "
                yield from (indent + line for line in _block(inner))
            else:
                yield f"{_scalar(name)}: {_scalar(inner)}"
        return
    for one in value:
        lines = _block(one) if isinstance(one, Mapping | list) else [_scalar(one)]
        yield from (("  " if k else "- ") + line for k, line in enumerate(lines))


def _scalar(value: Any) -> str:
    """Return a text, number, truth value or None in YAML."""
    if not isinstance(value, str):
        return re.sub(r"^(-?\d+)e", r"\1.0e", json.dumps(value))  # 1e-05 would be a text
    if _PLAIN.fullmatch(value) and value[-1] != " " and value.lower() not in _WORDS:
        return value
    whole = value.encode("utf-8", "backslashreplace").decode()
    escaped = (c if c.isprintable() else f"\\U{ord(c):08x}" for c in whole)
    return '"' + "".join(f"\\{c}" if c in '"\\' and len(c) == 1 else c for c in escaped) + '"'


# --- figures in words ---


def whole(report: Report) -> str:
    """Return the UAR in per cent with its interval: "60.8 [56.8, 65.0]"."""
    return with_interval(report.figures, metrics.UAR)


def recalls(report: Report) -> str:
    """Return the recall of every class in per cent."""
    found = report.figures.per_class.items()
    return ", ".join(f"{markdown(name)} {percent(one.recall, 0)}" for name, one in found)


def confused(report: Report) -> str:
    """Return the cells beside the diagonal that hold most of their row; "" where there is none."""
    counts = np.array(report.figures.confusion, float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    told = []
    for cell in np.argsort(-shares, axis=None, kind="stable")[:CONFUSED]:
        truth, said = np.unravel_index(cell, shares.shape)
        if shares[truth, said]:
            names = [markdown(report.classes[k]) for k in (truth, said)]
            told.append(f"{names[0]} as {names[1]} ({100 * shares[truth, said]:.0f} %)")
    return ", ".join(told)


def markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\1", show(text))


# --- the card of any checkpoint ---


def card(
    checkpoint: Checkpoint,
    name: str,
    source: str,
    reports: Sequence[Path] = (),
    licence: str | None = None,
    languages: Sequence[str] = (),
    warn: Warn = ignored,
) -> str:
    """Return the card of a checkpoint; its figures are those of `reports`, of `sertool eval`.

    name: of the model. source: what `sertool pull` is to be given. languages: those of the corpora
    that sertool knows where none is given. warn: see `report.read`. Raises InputError for reports
    of another model.
    """
    header = checkpoint.header
    trained = trained_on(checkpoint)
    found = [(path, of_model(path, header, warn)) for path in reports]
    results = [one for _, report in found for one in _results(report)]
    untold = "Not known: no report of a test was given. Figures of the training say nothing."
    hashes = ", ".join(f"{markdown(path.name)} ({file_sha256(path)[:12]})" for path, _ in found)
    figures = f"; its figures are those of {hashes}" if found else ""
    parts = [
        front_matter(name, results, licence, languages or languages_of(trained)),
        f"# {markdown(name)}",
        _what(header),
        f"    sertool pull {source} model.ckpt\n    sertool predict model.ckpt recordings/",
        "## How far to trust it",
        *([_tested(report, checkpoint) for _, report in found] or [untold]),
        "## Confidence",
        _confidence(header),
        MISUSE,
        "## Trained on",
        trained_table(trained),
        _licence(licence),
        "The checkpoint lists these recordings (names, speakers, sentences, fingerprints), so that"
        " `sertool info --audit` finds them in other data; it holds none of them.",
        f"Card of the checkpoint {checkpoint.identity[:12]}, made by `sertool push`{figures}.",
    ]
    return "\n\n".join(parts) + "\n"


def trained_on(checkpoint: Checkpoint) -> dict[str, list[Item]]:
    """Return what a checkpoint was trained on, by corpus ("" where unknown), names sorted."""
    found: dict[str, list[Item]] = {}
    for item in checkpoint.items:
        if item.part == "train":
            found.setdefault(item.corpus or "", []).append(item)
    return dict(sorted(found.items()))


def languages_of(trained: Iterable[str]) -> list[str]:
    """Return the languages of corpora, of those that have one by their description."""
    known = [named.described(corpus) for corpus in trained]
    return sorted(
        {one.constants["language"] for one in known if one and "language" in one.constants}
    )


def trained_table(trained: Mapping[str, Sequence[Item]]) -> str:
    """Return the table of corpora, by the items of each, with what binds those who use them."""
    rows = ["| corpus | recordings | speakers | its licence | described in |", "| --- " * 5 + "|"]
    known = set(corpora.names())
    for corpus, items in trained.items():
        recordings = len({item.origin or item.id for item in items})
        speakers = len({item.speaker for item in items} - {None}) or UNKNOWN
        licence = corpora.load(corpus).licence if corpus in known else ""
        told = [corpus or UNKNOWN, str(recordings), str(speakers), licence or UNKNOWN]
        spec = named.described(corpus)
        told.append(spec.citation.rstrip(".") if spec else "")
        rows.append(f"| {' | '.join(map(markdown, told))} |")
    return "\n".join(rows)


def _what(header: Header) -> str:
    names = ", ".join(map(markdown, header.outputs))
    apart = f"tells {plural(len(header.classes), 'class')} apart, {names}"
    said = f"The model `{show(header.model.name).replace('`', '')}` of sertool"
    said += f" {apart if header.classes else f'says {names}'}, from {header.model.parameters:,}"
    said += f" numbers and features of kind {markdown(header.kind or UNKNOWN)}"
    said += f" at {header.sample_rate} Hz." if header.sample_rate else "."
    for encoder in contamination.encoders(header):
        said += f" It needs the encoder {markdown(encoder.name)} (SHA-256 {encoder.sha256[:12]}),"
        said += " which is not in here."
    return said


def _confidence(header: Header) -> str:
    known = header.calibration
    if known is None:
        return (
            "Not calibrated (`sertool calibrate`): a confidence of 0.9 is not right 9 times in 10."
        )
    return (
        f"Calibrated: temperature {known.temperature:.3g}, of {plural(known.items, 'item')} that"
        f" models trained alike held out; calibration error {known.error_before:.3f} before,"
        f" {known.error_after:.3f} after."
    )


def _licence(licence: str | None) -> str:
    if licence is None:
        return "No licence was named for the model: ask its author. Those of the corpora bind, too."
    return f"The model is under {markdown(licence)}."


def _results(report: AnyReport) -> list[Result]:
    """Return what `model-index` says of a report: of all corpora, and of each of several."""
    tested_on = sorted(name for name in report.figures.by.get("corpus", {}) if name)
    weak = warnings(report.protocol)
    apart = ["speakers apart"] if report.protocol.facts.get("speaker_disjoint") else []
    how = ", ".join([*apart, *weak]) or "speakers unknown"
    title = f"{', '.join(tested_on) or 'corpus unknown'}: {how}"
    told = list(_ccc(report) if isinstance(report, NumberReport) else _rates(report))
    made = [Result.on(tested_on, title, told)] if told else []
    if isinstance(report, Report) and len(tested_on) > 1:
        for name in tested_on:
            own = uar_figure(report.figures.by["corpus"][name].uar)
            made.append(Result.on([name], f"{name}: {how}", [own]))
    return made


def uar_figure(
    rate: float, interval: dict[str, str | float | list[float]] | None = None, how: str = ""
) -> Figure:
    """Return the UAR, of a rate, with its interval as of `Figure.args`, and how it was tested."""
    name = f"UAR in per cent{how and f', {how}'}"
    return Figure("recall", name, round(100 * rate, 1), {"average": "macro", **(interval or {})})


def _rates(report: Report) -> Iterator[Figure]:
    found, ci = report.figures.metrics, report.figures.ci
    if (uar := found.get("uar")) is not None:
        yield uar_figure(uar, _interval(ci.limits.get("uar"), ci, 100, 1))
    if (accuracy := found.get("accuracy")) is not None:
        args = _interval(ci.limits.get("accuracy"), ci, 100, 1)
        yield Figure("accuracy", "WA in per cent", round(100 * accuracy, 1), args)


def _ccc(report: NumberReport) -> Iterator[Figure]:
    for field, own in report.figures.targets.items():
        if own.ccc is not None:
            args = _interval(own.ci.get("ccc"), report.figures.ci, 1, 3)
            yield Figure("ccc", f"CCC of {field}", round(own.ccc, 3), args)


def _interval(
    limits: tuple[float | None, float | None] | None, ci: Intervals, scale: int, digits: int
) -> dict[str, str | float | list[float]]:
    low, high = limits or (None, None)
    if low is None or high is None:
        return {}
    both = [round(scale * low, digits), round(scale * high, digits)]
    return {"interval": both, "level": ci.level, "units": plural(ci.n_units, ci.unit)}


def _tested(report: AnyReport, checkpoint: Checkpoint) -> str:
    """Return what a report says: figures beside the baselines', and how far they can be trusted."""
    itself, others = tested(report, checkpoint)
    alike = f"{plural(others, 'model')} trained alike"
    whose = "This model" + (f" and {alike}" if others else "") if itself else alike
    where = ", ".join(map(markdown, sorted(report.figures.by.get("corpus", {}))))
    lines = [
        f"{whose} on {where or 'a corpus without a name'}: {markdown(scope_line(report).plain)}",
        "",
        *(_numbers(report) if isinstance(report, NumberReport) else _classes(report)),
    ]
    facts = " · ".join(
        f"**{markdown(text)}**" if weak else markdown(text)
        for text, weak in pieces(report.protocol)
    )
    lines += ["", f"Protocol: {facts}."]
    weak = warnings(report.protocol)
    if weak:
        said = ", ".join(map(markdown, weak))
        lines += ["", f"**Do not expect these figures of other recordings**: {said}."]
    return "\n".join(lines)


def _classes(report: Report) -> list[str]:
    chosen = (metrics.UAR, metrics.ACCURACY, metrics.MACRO_F1)
    heads = " | ".join(metric.label for metric in chosen)
    lines = [f"| in per cent | {heads} |", "| --- " * (len(chosen) + 1) + "|"]
    for name, figures in systems(report):
        cells = " | ".join(with_interval(figures, metric) for metric in chosen)
        lines.append(f"| {markdown(name)} | {cells} |")
    lines += ["", f"Recall: {recalls(report)}. Chance is {100 / len(report.classes):.0f}."]
    pairs = confused(report)
    return [*lines, "", f"It confuses most: {pairs}."] if pairs else lines


def _numbers(report: NumberReport) -> list[str]:
    lines = ["| | CCC | Pearson | RMSE | MAE |", "| --- | --- | --- | --- | --- |"]
    for field, own in report.figures.targets.items():
        cells = " | ".join(interval(own, name) for name in regression.MEASURES)
        lines.append(f"| {markdown(field)} | {cells} |")
    return lines
