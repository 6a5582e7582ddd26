"""The report of `eval`: what it holds, as JSON has it, and how it is read, written and packed.

In JSON some tables lie within the one around them: metrics beside the counts that they sum up,
intervals beside what they were drawn over, facts and numbers of items beside what else a protocol
says. `LEVELLED` names them. A metric that a report lacks was not computed by the program that
wrote it; one that it has and nobody knows is kept as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from sertool import metrics, regression
from sertool.core.errors import InputError
from sertool.core.memory import TooMuch, afford
from sertool.core.paths import contents, regular, show
from sertool.core.texts import json_of, json_size
from sertool.evaluation.curves import Training
from sertool.evaluation.facts import FACTS
from sertool.formats import schema
from sertool.formats.lineage import canonical
from sertool.formats.schema import Count, Name, Number, Rate

FORMAT = "sertool-report"
VERSION = 3  # of numbers; what a report of classes holds is that of version 2
CLASSES_VERSION = 2
XZ, XZ_MAGIC = ".xz", b"\xfd7zXZ\0"
MOST_UNPACKED = 2**30  # bytes
BYTES_A_LINE = 256  # of memory, that a line of JSON Lines takes beside what it says
MOST_UNKNOWN = 1_000_000  # tests of unknown speakers: each is a cluster of its own in a bootstrap
BINS = 15  # of confidence (see `evaluation.reliability`)
VOTE_SUMS = 3  # how many, the sum of their divergences and that of their cross-entropies
LEVELLED = ("figures", "metrics", "limits", "declared", "facts", "counts")

Confusion = list[list[Count]]  # rows the truth
Metrics = dict[str, Number | None]  # by name, None where undefined
Limits = dict[str, tuple[Number | None, Number | None]]
States = dict[str, bool | None]  # of facts: None where unknown


def all_hold(states: Iterable[bool | None]) -> bool | None:
    """Return False if any state is, else None if any is unknown, else True."""
    found = set(states)
    return False if False in found else None if None in found else True


class Group(Struct, kw_only=True):
    """The tests of one speaker, gender or corpus."""

    n: Count
    accuracy: Rate
    uar: Rate
    confusion: Confusion


class ClassFigures(Struct, kw_only=True):
    """How one class was recognised; None where undefined."""

    precision: Rate | None
    recall: Rate | None
    f1: Rate | None
    support: Count
    auc: Rate | None = None
    mean_probability: Rate | None = None


class Intervals(Struct, kw_only=True):
    """Percentile intervals of metrics, by a bootstrap over `n_units` speakers (or files)."""

    level: Rate
    unit: str
    n_units: Count
    resamples: Count | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    limits: Limits = {}


class Mean(Struct, kw_only=True):
    """Mean and sample standard deviation of metrics over checkpoints."""

    metrics: Metrics = {}
    sd: Metrics = {}
    n: Count | UnsetType = UNSET


class EncoderUsed(Struct, kw_only=True):
    """A pre-trained encoder, and whether it was trained on what is tested; None where unknown.

    corpora: the tested ones that it was trained on.
    """

    name: str
    clean: bool | None
    corpora: list[str]


class Protocol(Struct, kw_only=True):
    """How far a test can be trusted, from the items trained on and tested.

    declared: what the checkpoints say of their split (`resplit`, `unit`, `fold`, …). facts: those
    of `facts.FACTS`; `against`: the same against training and validation part alone. shared: how
    many values train and test have in common. counts: `n_train`, `n_test_speakers`, ….
    encoders: the pre-trained ones, where there are any.
    """

    declared: dict[str, Any] = {}
    facts: States = {}
    shared: dict[str, Count] = {}
    against: dict[str, States] = {}
    test_augmented: bool = False
    train_augmented: bool = False
    counts: dict[str, Count] = {}
    files_split: Count | UnsetType = UNSET
    encoders: list[EncoderUsed] | UnsetType = UNSET

    def of(self, name: str) -> int:
        """Return a count, 0 where it was not made."""
        return self.counts.get(name, 0)


class Decided(Struct, kw_only=True):
    """How many recordings field and chooser decided about, and how often the chooser was right."""

    by_field: Count
    by_chooser: Count
    known: Count
    right: Count


class FoldDecided(Decided, kw_only=True):
    """The same of one checkpoint, and how each of its models was trained."""

    training: dict[str, Training | None] = {}


class Routed(Decided, kw_only=True):
    """The same of all checkpoints; `alone`: metrics with the chooser deciding about everything."""

    field: str
    values: list[str] = []
    chooser_accuracy: Rate | None = None
    alone: Metrics = {}


class Fold(Struct, kw_only=True):
    """One checkpoint on its own tests. training is UNSET where the report is older than it."""

    checkpoint: str
    n: Count = 0
    metrics: Metrics = {}
    fold: Any = None
    protocol: Protocol | UnsetType = UNSET
    training: Training | UnsetType | None = UNSET
    per: FoldDecided | UnsetType = UNSET


class VoteFigures(Struct, kw_only=True):
    """How far posteriors are from the shares of raters' votes, in nats; means over `n` tests.

    undecided: how many of these have no class, and are tested in no other way. kl: divergence,
    cross_entropy less the entropy of the votes. ci: percentile intervals of both (see
    `Figures.ci`). sums: from which they follow (see `evaluation.voted`), speakers: those of each.
    """

    n: Count
    undecided: Count
    kl: Number | None
    cross_entropy: Number | None
    ci: Limits
    sums: list[Number]
    speakers: dict[str, list[Number]] = {}


class CalibrationFigures(Struct, kw_only=True):
    """How sure a system is beside how often it is right; None where undefined.

    ece: expected calibration error, over `bins` bins of confidence of equal width; brier: the
    squared distance from the truth summed over classes, 0 to 2; log_loss: in nats; all are means
    over tests. ci: their intervals (see `Figures.ci`). sums: from which they follow: tests, squared
    distances, losses, then each bin's tests, right ones and confidence. speakers: those of each.
    """

    ece: Rate | None
    brier: Number | None
    log_loss: Number | None
    bins: Count
    ci: Limits
    sums: list[Number]
    speakers: dict[str, list[Number]] = {}


class Figures(Struct, kw_only=True):
    """All figures of one system, the model or a baseline.

    by: "speaker", "gender", "corpus" -> value -> group; a speaker is "corpus/name". votes: where
    raters voted on what was tested.
    """

    metrics: Metrics = {}
    log_loss: Number | None = None
    per_class: dict[str, ClassFigures]
    confusion: Confusion
    ci: Intervals
    by: dict[str, dict[str, Group]]
    folds: list[Fold]
    mean_of_folds: Mean | None = None
    votes: VoteFigures | UnsetType = UNSET
    calibration: CalibrationFigures | UnsetType = UNSET

    @property
    def n(self) -> int:
        """How many files (or items) were tested."""
        return sum(map(sum, self.confusion))

    @property
    def uar(self) -> float | None:
        """UAR, None where it is undefined or was not computed."""
        return self.metrics.get("uar")


class Model(Struct, kw_only=True):
    """What was tested. parameters: numbers that one checkpoint learned, UNSET in older reports."""

    name: str | None = None
    settings: dict[str, Any] | None = None
    parameters: Count | UnsetType = UNSET


class Cost(Struct, kw_only=True):
    """What a test took: CPU seconds of each stage by its log, and of computing its predictions.

    sound: seconds of the tested recordings, None where they are not there any more.
    """

    stages: dict[str, Number]
    scoring: Number
    sound: Number | None


class StoreUsed(Struct, kw_only=True):
    """The store that it was tested on. crop: seconds from and to that it keeps of a recording."""

    name: str | None = None
    sha256: str | None = None
    kind: str | None = None
    crop: tuple[float, float] | UnsetType = UNSET


class Scored(Struct, kw_only=True):
    """One tested file or item, posteriors and, where raters voted, shares of votes by class.

    corpus, speaker, gender: UNSET where unknown. checkpoint: which of the report's folds tested
    it, by its place there; UNSET in reports that are older than it.
    """

    id: str
    truth: str
    prediction: str
    posterior: dict[str, float]
    votes: dict[str, float] | UnsetType = UNSET
    corpus: str | UnsetType = UNSET
    speaker: str | UnsetType = UNSET
    gender: str | UnsetType = UNSET
    checkpoint: Count | UnsetType = UNSET


class Undecided(Struct, kw_only=True):
    """One file or item with votes and without a class: raters do not agree on one."""

    id: str
    prediction: str
    posterior: dict[str, float]
    votes: dict[str, float]


class ScoredNumbers(Struct, kw_only=True):
    """One tested file or item: numbers by field."""

    id: str
    truth: dict[str, Number]
    prediction: dict[str, Number]


class TargetFigures(Struct, kw_only=True):
    """How one field of numbers was predicted; None where undefined.

    rmse, mae: in the field's unit. ci: percentile intervals of these (see `NumberFigures.ci`).
    sums: from which they follow (see `sertool.regression`).
    """

    n: Count
    ccc: Number | None
    pearson: Number | None
    rmse: Number | None
    mae: Number | None
    ci: Limits
    sums: list[Number]


class NumberGroup(Struct, kw_only=True):
    """The tests of one speaker, gender or corpus: CCC and sums by field."""

    n: Count
    ccc: dict[str, Number | None]
    sums: dict[str, list[Number]]


class NumberFigures(Struct, kw_only=True):
    """All figures of one system that says numbers, the model or a baseline.

    targets: by field. ci: over what the intervals were drawn. by: as in `Figures`. folds: their
    `ccc` is the mean over fields.
    """

    targets: dict[str, TargetFigures]
    ci: Intervals
    by: dict[str, dict[str, NumberGroup]]
    folds: list[Fold]

    @property
    def n(self) -> int:
        """How many files (or items) were tested."""
        return next(iter(self.targets.values())).n


Limit = Number | None


class Stressed(Struct, kw_only=True):
    """A figure under one condition, and less that of the recordings as they are, paired.

    confusion: of classes.
    """

    family: str
    description: str
    value: Number | None
    ci: tuple[Limit, Limit]
    difference: Number | None
    difference_ci: tuple[Limit, Limit]
    confusion: Confusion | UnsetType = UNSET


class Stress(Struct, kw_only=True):
    """What a system is worth under other conditions. measure: "uar", or the mean "ccc"."""

    measure: Literal["uar", "ccc"]
    clean: Number | None
    clean_ci: tuple[Limit, Limit]
    level: Rate
    unit: str
    n_units: Count
    conditions: dict[str, Stressed]


class Common(Struct, kw_only=True):
    """What reports of both kinds hold. kept: which epoch's weights, where not the best.

    environment: see `core.environment`. sha256: of all the rest; UNSET in a file that
    is older than it.
    """

    format: str = FORMAT
    version: int = CLASSES_VERSION
    kind: str = ""
    level: str | None = None
    pool: str | None = None
    tags: dict[str, Any] | None = None
    target: str = "label"
    kept: str | UnsetType = UNSET
    model: Model | None = None
    store: StoreUsed | None = None
    conditions: dict[str, Number] | None = None
    protocol: Protocol
    stress: Stress | UnsetType = UNSET
    lineage: list[dict[str, Any]] | None = None
    environment: dict[str, str] | UnsetType = UNSET
    cost: Cost | UnsetType = UNSET
    sha256: str | UnsetType = UNSET

    def params(self, stage: str) -> dict[str, Any]:
        """Return the parameters of the last stage of this name; {} if it is unknown."""
        steps = [step for step in self.lineage or [] if step.get("stage") == stage]
        return dict(steps[-1].get("params") or {}) if steps else {}


class Report(Common, kw_only=True):
    """What `eval` found of classes. items: without them a report is a summary; `undecided` are
    those without a class, which are tested by their votes alone.
    """

    kind: Literal["classes"] = "classes"
    classes: list[Name]
    figures: Figures
    baselines: dict[str, Figures]
    per: Routed | UnsetType | None = UNSET
    items: list[Scored] | UnsetType = UNSET
    undecided: list[Undecided] | UnsetType = UNSET


class NumberReport(Common, kw_only=True):
    """What `eval` found of numbers. items: without them a report is a summary."""

    version: int = VERSION
    kind: Literal["numbers"] = "numbers"
    figures: NumberFigures
    baselines: dict[str, NumberFigures]
    items: list[ScoredNumbers] | UnsetType = UNSET


AnyReport = Report | NumberReport
KINDS: dict[str, type[AnyReport]] = {"classes": Report, "numbers": NumberReport}


# --- JSON ---


def to_json(value: Any) -> Any:
    """Return a report (or a part of one) as JSON has it."""
    return _levelled(msgspec.to_builtins(value))


def _levelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_levelled(one) for one in value] if value and isinstance(value[0], dict) else value
    if not isinstance(value, dict):
        return value
    if not any(isinstance(inner, dict | list) for inner in value.values()):
        return value  # as an item's posterior is, of which there may be very many
    made: dict[str, Any] = {}
    for name, inner in value.items():
        if name in LEVELLED and isinstance(inner, dict):
            made |= _levelled(inner)
        else:
            made[name] = _levelled(inner)
    return made


def dumps(report: AnyReport) -> str:
    """Return a report as JSON text: one line a field, and one a tested item.

    Equal reports give equal text, and two of them can be compared line by line. The last line is
    the SHA-256 of the others' values.
    """
    return "".join(pieces(report))


def pieces(report: AnyReport) -> Iterator[str]:
    """Yield the text of `dumps` bit by bit: of very many posteriors it is large."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    values = {name: value for name, value in to_json(report).items() if name != "sha256"}
    before = "{\n"
    for key, value in values.items():
        yield f"{before} {text(key)}: "
        before = ",\n"
        if key in ("items", "undecided") and value:
            for i, item in enumerate(value):
                yield f"{',' if i else '['}\n  {text(item)}"
            yield "\n ]"
        elif isinstance(value, dict) and key in ("by", "baselines", "per_class", "targets"):
            for i, (name, row) in enumerate(value.items()):
                yield f"{',' if i else '{'}\n  {text(name)}: {text(row)}"
            yield "\n }" if value else "{}"
        else:
            yield text(value)
    yield f'{before} "sha256": {text(digest(values))}\n}}\n'


def write(report: AnyReport, path: Path) -> None:
    """Write the text of a report."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces(report))


def digest(raw: dict[str, Any], left_out: Sequence[str] = ("sha256",)) -> str:
    """Return the SHA-256 of a report's JSON values, in whatever order they stand in a file.

    It is that of their canonical text, of which a field is made at a time, and an item.
    """
    made = hashlib.sha256()
    before = "{"
    for name in sorted(name for name in raw if name not in left_out):
        made.update(_bytes(f"{before}{canonical(name)}:"))
        before = ","
        value = raw[name]
        if isinstance(value, list) and value:
            for i, one in enumerate(value):
                made.update(_bytes(f"{',' if i else '['}{canonical(one)}"))
            made.update(b"]")
        else:
            made.update(_bytes(canonical(value)))
    made.update(b"{}" if before == "{" else b"}")
    return made.hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def identity(raw: dict[str, Any]) -> str:
    """Return the SHA-256 without environment and cost: tests that gave the same, anywhere."""
    return digest(raw, ("sha256", "environment", "cost"))


def parse(raw: Any, name: str) -> AnyReport:
    """Return JSON values as a report; InputError naming it where it is none, newer or damaged.

    One without a kind is of classes: it is older than the other kind.
    """
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise InputError(f"{name}: not a sertool report")
    if type(raw.get("version")) is not int or raw["version"] > VERSION:
        raise InputError(
            f"{name}: report version {raw.get('version')} is newer than this sertool's"
            f" ({VERSION}); update sertool"
        )
    kind = raw.get("kind", "classes")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{name}: a report of kind {kind!r}, which this sertool does not know")
    try:
        json.dumps(raw, allow_nan=False)
        report = schema.convert(_nested(raw, KINDS[kind]), KINDS[kind])
        _check(report)
    except ValueError as error:
        what = str(error)
        what = "a number is not finite" if what.startswith("Out of range float") else what
        what = re.sub(rf"\b({'|'.join(LEVELLED)})/", "", what)  # of which JSON knows nothing
        raise InputError(f"{name}: a damaged report: {what}") from error
    if raw.get("sha256", "") not in ("", digest(raw)):
        raise InputError(
            f"{name}: a damaged report: its checksum is wrong, so it is not what eval wrote;"
            " make it again"
        )
    return report


def _nested(raw: dict[str, Any], kind: type[AnyReport]) -> dict[str, Any]:
    """Return a report's JSON with the tables of `LEVELLED` in their places."""
    shape = Figures if kind is Report else NumberFigures
    own = {name: value for name, value in raw.items() if name in kind.__struct_fields__}
    rest = {name: value for name, value in raw.items() if name not in own}
    own["figures"] = _figures(rest, shape)
    if isinstance(raw.get("baselines"), dict):
        own["baselines"] = {n: _figures(value, shape) for n, value in raw["baselines"].items()}
    if "protocol" in raw:
        own["protocol"] = _protocol(raw["protocol"])
    return own


def _figures(row: Any, shape: type[Struct]) -> Any:
    made = _gathered(row, shape, "metrics", _is_metric)
    if isinstance(made, dict):
        if "ci" in made:
            made["ci"] = _gathered(made["ci"], Intervals, "limits", lambda name, value: True)
        if isinstance(made.get("folds"), list):
            made["folds"] = [_fold(fold) for fold in made["folds"]]
        if "mean_of_folds" in made:
            made["mean_of_folds"] = _gathered(made["mean_of_folds"], Mean, "metrics", _is_metric)
    return made


def _fold(row: Any) -> Any:
    made = _gathered(row, Fold, "metrics", _is_metric)
    if isinstance(made, dict) and "protocol" in made:
        made["protocol"] = _protocol(made["protocol"])
    return made


def _protocol(row: Any) -> Any:
    made = _gathered(row, Protocol, "declared", lambda name, value: True)
    if isinstance(made, dict):
        rest = made["declared"]
        facts = {name: value for name, value in rest.items() if name.endswith("_disjoint")}
        counts = {name: value for name, value in rest.items() if name.startswith("n_")}
        made |= {"facts": facts, "counts": counts}
        made["declared"] = {n: v for n, v in rest.items() if n not in facts and n not in counts}
    return made


def _is_metric(name: str, value: Any) -> bool:
    return name in metrics.known() or value is None or type(value) in (int, float)


def _gathered(row: Any, shape: type[Struct], home: str, fits: Callable[[str, Any], bool]) -> Any:
    """Return a table with what fits among the further keys of its shape in the field `home`."""
    if not isinstance(row, dict):
        return row
    own = {*shape.__struct_fields__} - {home}
    made: dict[str, Any] = {name: value for name, value in row.items() if name in own}
    made[home] = {n: value for n, value in row.items() if n not in own and fits(n, value)}
    return made


def _check(report: AnyReport) -> None:
    """Raise ValueError where the parts of a report contradict each other."""
    for name in ("n_train", "n_test"):
        if name not in report.protocol.counts:
            raise ValueError(f"protocol/{name} is missing")
    for step in report.lineage or []:
        schema.convert(step, _Step)
    for fold in report.figures.folds:
        if fold.training:
            fold.training.check()
    if isinstance(report, NumberReport):
        for numbers in (report.figures, *report.baselines.values()):
            _check_numbers(numbers, list(report.figures.targets))
    else:
        _check_classes(report)


def _check_numbers(figures: NumberFigures, fields: list[str]) -> None:
    if not fields or list(figures.targets) != fields:
        raise ValueError("targets are not those of the model")
    groups = [group.sums for found in figures.by.values() for group in found.values()]
    for sums in ({n: own.sums for n, own in figures.targets.items()}, *groups):
        if list(sums) != fields or any(len(row) != regression.SUMS for row in sums.values()):
            raise ValueError(f"sums are not {regression.SUMS} numbers for each target")
    for own in figures.targets.values():
        for name, measure in regression.MEASURES.items():
            value = getattr(own, name)
            if value is not None and not measure.low <= value <= measure.high:
                raise ValueError(f"{name} is not between {measure.low:g} and {measure.high:g}")


def _check_classes(report: Report) -> None:
    if not report.classes or len(set(report.classes)) < len(report.classes):
        raise ValueError("classes is not a list of different names")
    for label in report.classes:
        if label not in report.figures.per_class:
            raise ValueError(f"per_class/{show(label)} is missing")
    for figures in (report.figures, *report.baselines.values()):
        _check_metrics(figures)
        _check_votes(figures)
        _check_calibration(figures)
        _check_counts(figures, len(report.classes))


class _Step(Struct):
    """As much of a stage of the lineage as is read here."""

    stage: str = ""
    params: dict[str, Any] | None = None


def _check_metrics(figures: Figures) -> None:
    for name, metric in metrics.known().items():
        value = figures.metrics.get(name)
        if value is not None and not metric.low <= value <= metric.high:
            raise ValueError(f"{name} is not between {metric.low:g} and {metric.high:g}")


def _check_votes(figures: Figures) -> None:
    if figures.votes is not UNSET:
        for row in (figures.votes.sums, *figures.votes.speakers.values()):
            if len(row) != VOTE_SUMS:
                raise ValueError(f"the sums of votes are not {VOTE_SUMS} numbers")


def _check_calibration(figures: Figures) -> None:
    own = figures.calibration
    if own is UNSET:
        return
    if own.bins != BINS or any(len(r) != 3 + 3 * BINS for r in (own.sums, *own.speakers.values())):
        raise ValueError(f"the sums of the calibration are not those of {BINS} bins")
    if own.sums[0] != figures.n:
        raise ValueError("the calibration is not of what was tested")


def _check_counts(figures: Figures, n: int) -> None:
    total = _matrix(figures.confusion, n)
    named = np.zeros_like(total)
    for field, groups in figures.by.items():
        parts = np.zeros_like(total)
        for group in groups.values():
            matrix = _matrix(group.confusion, n)
            if group.n != matrix.sum():
                raise ValueError(f"the counts by {show(field)} contradict themselves")
            parts += matrix
        if (parts > total).any():
            raise ValueError(f"the counts by {show(field)} are more than those of all")
        named = parts if field == "speaker" else named
    if (total - named).sum() > MOST_UNKNOWN:
        raise ValueError(f"more than {MOST_UNKNOWN} tests are of unknown speakers")


def _matrix(rows: list[list[int]], n: int) -> np.ndarray:
    """Return a confusion matrix (n, n) of counts from JSON; ValueError where it is none."""
    if [len(row) for row in rows] != [n] * n:
        raise ValueError(f"a confusion matrix is not {n} by {n}")
    return np.array(rows, np.int64)


Warn = Callable[[str], None]


def ignored(text: str) -> None:
    """Hear a warning that is of no use."""


# --- files: one report in JSON, or several in JSON Lines, compressed (.xz) or not ---


def load(path: Path) -> list[tuple[str, Any]]:
    """Return what a file holds as (name, JSON values): one report, or each line of a `.jsonl`.

    Either may end in `.xz`, too. Raises InputError where it cannot be read or is not JSON; `parse`
    makes reports of them.
    """
    name = show(path)
    try:
        text = _unpacked(path) if path.suffix == XZ else contents(path, MOST_UNPACKED)
        if not path.name.removesuffix(XZ).endswith(".jsonl"):
            return [(name, json_of(text, name))]
        afford(json_size(text) + BYTES_A_LINE * text.count(b"\n"), name)
        lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
        if not lines:
            raise InputError(f"{name}: holds no report")
        return [(f"{name}:{i}", json.loads(line)) for i, line in lines]
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from error
    except TooMuch as error:
        raise InputError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not a sertool report") from error


def _unpacked(path: Path) -> bytes:
    """Return what a file compressed by xz holds; ValueError where it is none, or too much."""
    import lzma

    try:
        with regular(path) as packed, lzma.open(packed) as file:
            found = file.read(MOST_UNPACKED + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(str(error)) from error
    if len(found) > MOST_UNPACKED:
        raise ValueError(f"more than {MOST_UNPACKED} bytes")
    return found


def read(path: Path, warn: Warn = ignored) -> AnyReport:
    """Return the report in a file; InputError where it cannot be read or is none.

    warn: is told of one without a checksum.
    """
    found = load(path)
    if len(found) != 1:
        raise InputError(f"{show(path)}: holds {len(found)} reports, not one")
    report = parse(found[0][1], show(path))
    doubt([(show(path), report)], warn)
    return report


def read_all(paths: Iterable[Path], warn: Warn = ignored) -> list[tuple[str, AnyReport]]:
    """Return (name, report) of every report in files; InputError names the first that is none.

    warn: is told of those without a checksum, in one line.
    """
    found = [(name, parse(raw, name)) for path in paths for name, raw in load(path)]
    doubt(found, warn)
    return found


def doubt(found: Iterable[tuple[str, AnyReport]], warn: Warn) -> None:
    """Say, where (name, report)s carry no checksum, that nobody sees whether they are whole."""
    bare = [name for name, report in found if not report.sha256]
    if bare:
        more = f"; so do {len(bare) - 1} more" if len(bare) > 1 else ""
        warn(f"{bare[0]}: carries {schema.NO_CHECKSUM}{more}")


def packed(raw: Sequence[Any], path: Path) -> bytes:
    """Return reports as JSON Lines, one line each, everything that they hold kept.

    path: where they go; compressed where it ends in `.xz`.
    """
    rows = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in raw)
    text = "".join(row + "\n" for row in rows).encode("utf-8")
    if path.suffix != XZ:
        return text
    import lzma

    return lzma.compress(text, preset=9)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a report file."""
    kinds_, shapes = msgspec.json.schema_components([Report, NumberReport])
    made = {"anyOf": list(kinds_), "$defs": shapes}
    for shape in shapes.values():
        properties = shape.get("properties", {})
        for home in [name for name in LEVELLED if name in properties]:
            del properties[home]
            if home == "metrics":
                for name, metric in metrics.known().items():
                    kinds: list[dict[str, Any]] = [{"type": "null"}]
                    kinds.append({"type": "number", "minimum": metric.low, "maximum": metric.high})
                    properties[name] = {"anyOf": kinds}
            elif home == "facts":
                properties |= {name: {"type": ["boolean", "null"]} for name in FACTS}
            shape["required"] = [name for name in shape.get("required", []) if name != home]
    for report, figures in (("Report", "Figures"), ("NumberReport", "NumberFigures")):
        shapes[report]["properties"] |= shapes[figures]["properties"]
        shapes[report]["required"] += shapes[figures]["required"]
    return made
