"""A search over options of `train`: a specification, its runs on inner folds, and their order.

The specification is a TOML file; `Spec` says what may stand in it. What it holds out is never
trained on, validated or tested here, nor is any other recording of its speakers: `_check_apart`
compares all that a run sees with it before anything is trained.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from sertool.core.errors import InputError, SertoolError, UsageError
from sertool.core.options import build, declared
from sertool.core.paths import MOST_TOML, show, text_of
from sertool.core.seeds import rng
from sertool.core.settings import meant, spelled
from sertool.core.texts import toml
from sertool.evaluation import leaks
from sertool.formats.fitted import seen
from sertool.formats.schema import Count, convert
from sertool.formats.store import Store
from sertool.items import Item
from sertool.splits.protocols import parse
from sertool.training import per_field, provenance
from sertool.training.job import make_job
from sertool.training.options import TrainOptions
from sertool.ui.console import Console
from sertool.ui.words import plural

MOST = 10_000  # runs of a search
TRIES = 100  # draws for each run, where most of what is drawn has been drawn before
DIGITS = 4  # of a number that is drawn: what is printed is what was used
SET = "set."  # before the name of a model's own setting
APART = ("speaker_disjoint", "origin_disjoint", "audio_disjoint")
# decided by the specification itself, or by what is held out
OURS = ("test_fold", "test_where", "resplit", "unit", "split_seed", "parallel", "keep_last")
# what changes which items are tested, so that runs could not be compared
SAME = ("where", "target", "as_classes", "as_numbers", "soft", "per")

Values = dict[str, object]  # of one run, by name: {"lr": 0.001, "set.C": 10}


class Range(Struct, forbid_unknown_fields=True):
    """Numbers to draw from, both ends among them: whole ones if both ends are."""

    low: int | float
    high: int | float
    log: bool = False


class Spec(Struct, forbid_unknown_fields=True, rename="kebab"):
    """What is searched.

    search: options of train by name, and settings of the model as `set.NAME`: a list of values to
    try, or for random and tpe a range. train: options that all runs share. trials: how many runs,
    unless all of a grid. test_fold: a fold of the store that is held out of everything; "none":
    there is nothing to hold out. inner: how the rest is split into inner folds, as by `train
    --resplit`; the store's own folds without it.
    """

    search: dict[str, Any]
    train: dict[str, Any] = {}
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    seed: Count = 0
    test_fold: Count | str | None = None
    inner: str | None = None


@dataclass
class Search:
    """A specification that can be run on a store.

    parameters: what is searched, by name. fixed: what all runs share. held: the condition that
    leaves out what is held out; none where nothing is.
    """

    path: Path
    text: str
    spec: Spec
    parameters: dict[str, tuple[Any, ...] | Range] = field(default_factory=dict)
    fixed: Values = field(default_factory=dict)
    held: tuple[str, ...] = ()

    def wrong(self, reason: object, key: str = "") -> InputError:
        """Return the error of this file, at the line of `key` ("train.lr") where it has one."""
        line = _line(self.text, key) if key else None
        return InputError(f"{show(self.path)}{f':{line}' if line else ''}: {reason}")

    def options(self, values: Values, parallel: int = 1) -> TrainOptions:
        """Return the options of a run, which trains all inner folds; UsageError for wrong ones."""
        given: Values = {"baselines": False} | self.final(values)
        where: Any = given.get("where", ())
        given |= {"where": (*where, *self.held), "parallel": parallel}
        given |= {"test_fold": "all", "resplit": self.spec.inner, "split_seed": self.spec.seed}
        return build(TrainOptions, given)

    def final(self, values: Values) -> Values:
        """Return what was given of the options of train, by name, for the model to keep."""
        every = self.fixed | values
        own = {name.removeprefix(SET): v for name, v in every.items() if name.startswith(SET)}
        given = {name: v for name, v in every.items() if not name.startswith(SET)}
        return given | ({"settings": own} if own else {})

    def candidates(self) -> Generator[Values, float, None]:
        """Yield the values of each run, and take its score: only tpe learns from that."""
        if self.spec.sampler == "tpe":
            yield from self._suggested()
        elif self.spec.sampler == "random":
            yield from self._drawn()
        else:
            lists = [values for values in self.parameters.values() if isinstance(values, tuple)]
            for found in itertools.product(*lists):
                yield dict(zip(self.parameters, found, strict=True))

    def _drawn(self) -> Iterator[Values]:
        """Yield different draws: each a function of the seed, its number and the name."""
        wanted, known = self.spec.trials or 0, set()
        for number in range(wanted * TRIES):
            values = {
                name: _draw(among, self.spec.seed, number, name)
                for name, among in self.parameters.items()
            }
            if (key := repr(values)) not in known:
                known.add(key)
                yield values
            if len(known) == wanted:
                return

    def _suggested(self) -> Generator[Values, float, None]:
        """Yield what Optuna's tree-structured Parzen estimator suggests, by the scores so far.

        What it suggests again has its known score, and is no new run.
        """
        optuna = needed()
        kinds = {
            name: optuna.distributions.CategoricalDistribution(range(len(among)))
            if isinstance(among, tuple)
            else _distribution(optuna, among)
            for name, among in self.parameters.items()
        }
        sampler = optuna.samplers.TPESampler(seed=self.spec.seed)
        study = optuna.create_study(sampler=sampler, direction="maximize")
        known: dict[str, float] = {}
        for _ in range(self.spec.trials or 0):
            trial = study.ask(kinds)
            values = {
                name: among[trial.params[name]]
                if isinstance(among, tuple)
                else _rounded(trial.params[name], among)
                for name, among in self.parameters.items()
            }
            if (key := repr(values)) not in known:
                known[key] = yield values
            study.tell(trial, known[key])

    def examples(self) -> list[Values]:
        """Return what to check before anything is trained: all runs, or of tpe its extremes."""
        if self.spec.sampler != "tpe":
            return list(itertools.islice(self.candidates(), MOST))
        ends = {
            name: list(among) if isinstance(among, tuple) else [among.low, among.high]
            for name, among in self.parameters.items()
        }
        first = {name: values[0] for name, values in ends.items()}
        return [first | {name: value} for name, values in ends.items() for value in values]


def needed() -> Any:
    """Return Optuna, which says nothing of its own; UsageError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError("sampler tpe needs Optuna: pip install 'sertool[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, among: Range) -> Any:
    kind = "IntDistribution" if _whole(among) else "FloatDistribution"
    return getattr(optuna.distributions, kind)(among.low, among.high, log=among.log)


def _whole(among: Range) -> bool:
    return isinstance(among.low, int) and isinstance(among.high, int)


def _draw(among: tuple[Any, ...] | Range, seed: int, number: int, name: str) -> Any:
    draw = rng(seed, "sweep", number, name)
    if isinstance(among, tuple):
        return among[int(draw.integers(len(among)))]
    if among.log:
        return _rounded(math.exp(draw.uniform(math.log(among.low), math.log(among.high))), among)
    if _whole(among):
        return int(draw.integers(int(among.low), int(among.high), endpoint=True))
    return _rounded(draw.uniform(among.low, among.high), among)


def _rounded(value: float, among: Range) -> int | float:
    """Return a number of a range as it is printed, still in the range."""
    if _whole(among):
        return round(value)
    return min(max(float(f"{value:.{DIGITS}g}"), float(among.low)), float(among.high))


# --- reading ---


def read(path: Path) -> Search:
    """Return the search that a file describes; InputError, which names the line, where it is wrong.

    Its values are those that the options of train take, and its settings those of the model.
    """
    try:
        text = text_of(path, most=MOST_TOML)
        content = toml(text)
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except ValueError as error:  # TOML's and UTF-8's
        raise InputError(f"{show(path)}: not a TOML file: {error}") from error
    found = Search(path, text, Spec({}))
    try:
        found.spec = convert(content, Spec)
    except ValueError as error:
        unknown = re.search(r"unknown field `(.*?)`", str(error))
        key = unknown[1] if unknown else str(error).split(" ", 1)[0].replace("/", ".")
        near = meant(key, Spec.__struct_encode_fields__) if unknown else ""
        reason = f"no such entry {key!r}{near}" if unknown else error
        raise found.wrong(reason, key) from error
    for name, value in _flat(found, "train", found.spec.train):
        found.fixed[name] = value
    for name, value in _flat(found, "search", found.spec.search):
        found.parameters[name] = _among(found, name, value)
    _check(found)
    return found


def _flat(found: Search, table: str, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield options and settings of a table by name; InputError for one that is none."""
    known = {one.name for one in declared(TrainOptions)} - {"settings"}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name == "set" and isinstance(value, dict):
            yield from ((f"{SET}{own.replace('-', '_')}", v) for own, v in value.items())
            continue
        at = f"{table}.{key}"
        if name not in known:
            near = meant(name, known)
            raise found.wrong(f"train has no option {key}{near}; a model's own are set.NAME", at)
        if name in OURS:
            raise found.wrong(f"{key}: is not for a sweep, which makes the inner folds itself", at)
        if table == "search" and name in SAME:
            raise found.wrong(f"{key}: runs that test other items cannot be compared", at)
        yield name, value


def _among(found: Search, name: str, value: Any) -> tuple[Any, ...] | Range:
    """Return the values to try; InputError for none, or a range that the sampler cannot take."""
    at = f"search.{name}"
    if name in found.fixed:
        raise found.wrong(f"{name}: stands in [train], too; leave one out", at)
    if isinstance(value, list) and value:
        return tuple(value)
    if not isinstance(value, dict):
        raise found.wrong(f"{name}: needs a list of values, or {{low = …, high = …}}", at)
    try:
        among = convert(value, Range)
    except ValueError as error:
        raise found.wrong(f"{name}: {error}", at) from error
    ends = (among.low, among.high)
    if not (all(map(math.isfinite, ends)) and among.low < among.high):
        raise found.wrong(f"{name}: low must be below high", at)
    if among.log and among.low <= 0:
        raise found.wrong(f"{name}: log needs numbers above 0", at)
    if found.spec.sampler == "grid":
        raise found.wrong(f"{name}: a grid needs a list of values; random and tpe take ranges", at)
    return among


def _check(found: Search) -> None:
    """Raise InputError for a search without an end, too large, or with values of the wrong type."""
    spec = found.spec
    if not found.parameters:
        raise found.wrong("nothing to search: [search] names no option", "search")
    if spec.sampler == "grid":
        if spec.trials is not None:
            raise found.wrong("trials: a grid tries all; leave it out or draw at random", "trials")
        sizes = (len(among) for among in found.parameters.values() if isinstance(among, tuple))
        if math.prod(sizes) > MOST:
            raise found.wrong(f"a grid of more than {MOST} runs; draw some at random", "search")
    elif spec.trials is None:
        raise found.wrong(f"sampler {spec.sampler}: needs trials = N", "sampler")
    if spec.sampler == "tpe":
        needed()
    if spec.inner is not None:
        try:
            parse(spec.inner)
        except SertoolError as error:
            raise found.wrong(f"inner: {error}", "inner") from error
    for table, names in (("train", found.fixed), ("search", found.parameters)):
        for name in names:
            own: Any = names[name]
            several = own if table == "search" else (own,)
            for value in (own.low, own.high) if isinstance(own, Range) else several:
                _check_value(found, name, value, f"{table}.{name}")


def _check_value(found: Search, name: str, value: Any, at: str) -> None:
    """Raise InputError for a value that the option does not take, by itself."""
    if name.startswith(SET):
        return  # the model's, which knows them
    one = next(one for one in declared(TrainOptions) if one.name == name)
    try:
        one.read(value)
    except UsageError as error:
        raise found.wrong(error, at) from error


def _line(text: str, key: str) -> int | None:
    """Return the line of a key such as "train.lr" or "search.set.C"; None where it is not found.

    Of what TOML allows: [tables], dotted keys, and values by name in braces on the line of theirs.
    """
    wanted = key.replace("-", "_").split(".")
    table: list[str] = []
    best: tuple[int, int] | None = None  # how much of the key the line has, less its number
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.fullmatch(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?", line):
            table = _parts(header[1])
            own = table
        elif entry := re.match(r"\s*([\w\-.\"' ]+?)\s*=", line):
            own = [*table, *_parts(entry[1])]
        else:
            continue
        if own == wanted[: len(own)]:
            best = max(best or (0, 0), (len(own), -number))
    return -best[1] if best else None


def _parts(text: str) -> list[str]:
    return [part.strip(" \"'").replace("-", "_") for part in text.split(".")]


# --- what is held out, and what a run may see ---


def hold_out(found: Search, store: Store) -> list[Item]:
    """Set the condition that leaves out the test items; return these.

    Raises InputError where the store has no such fold, or nothing makes inner folds.
    """
    items, spec = store.items(), found.spec
    folds = sorted({item.fold for item in items if item.fold is not None})
    held: list[Item] = []
    if spec.test_fold is None and any(item.part for item in items):
        found.held = ("part!=test",)
        held = [item for item in items if item.part == "test"]
        folds = []
    elif spec.test_fold is None and folds:
        raise found.wrong(
            f"the store has folds {folds[0]} to {folds[-1]}: test-fold = K holds one out of"
            ' everything, "none" none'
        )
    elif spec.test_fold not in (None, "none"):
        if spec.test_fold not in folds:
            has = f"there are {', '.join(map(str, folds))}" if folds else "it has no folds"
            raise found.wrong(f"test-fold {spec.test_fold}: not in the store; {has}", "test-fold")
        found.held = (f"fold!={spec.test_fold}",)
        held = [item for item in items if item.fold == spec.test_fold]
    if spec.inner is None and len(folds) - bool(held) < 2:
        raise found.wrong('no folds to use as inner ones: inner = "speakers:N" makes some', "inner")
    return held


def check(found: Search, store: Store, console: Console) -> None:
    """Raise an error for anything wrong with any run, before one is trained.

    InputError for options and settings that the model or the store does not take, and where a run
    would see what is held out. UsageError of `train` is told as the file's.
    """
    held = hold_out(found, store)
    for number, values in enumerate(found.examples()):
        try:
            with ExitStack() as stack:
                job = make_job(store, found.options(values), Console.silent("train"), stack)
                if job.fields:
                    raise found.wrong("target: of numbers, and runs are ordered by UAR", "train")
                divisions = per_field.divisions(job)
                if len(divisions) < 2:
                    raise found.wrong(f"{plural(len(divisions), 'inner fold')}, not two", "inner")
                if number == 0 or job.options.init or job.options.init_unlabelled:
                    for division in divisions:
                        lists = provenance.listed(store.items(), division, job.plan)
                        _check_apart(found, seen(lists, store.pipeline), held)
        except UsageError as error:
            raise found.wrong(error, _blamed(found, values, str(error))) from error
    unknown = sum(one.speaker is None for one in held)
    if unknown:
        console.warn(f"the speakers of {plural(unknown, 'test item')} are unknown: not compared")
    if not held:
        console.warn("nothing is held out: no honest score of the chosen model is left")


def _blamed(found: Search, values: Values, reason: str) -> str:
    """Return the key in the file that a message of `train` is about; "" where none is."""
    named = re.match(r"--(set )?([\w-]+)", reason)
    name = (SET if named[1] else "") + named[2].replace("-", "_") if named else ""
    every = found.fixed | values
    if name not in every:
        name = next((n for n, value in every.items() if f"'{value}'" in reason), "")
    return f"search.{name}" if name in values else f"train.{name}" if name else ""


def _check_apart(found: Search, used: Sequence[Item], held: Sequence[Item]) -> None:
    """Raise InputError where items share a speaker or a recording with what is held out."""
    trained, tested = leaks.known(used, held)
    states = leaks.find(trained, tested, near=leaks.Near((), ()))
    for name in APART:
        if states[name].links:
            link = states[name].links[0]
            what = name.partition("_")[0].replace("origin", "recording").replace("audio", "sound")
            shared = plural(states[name].shared, what)
            raise found.wrong(
                f"{shared} of the test items would be trained or chosen on, as of"
                f" {show(link.tested.id)}; make folds that keep speakers apart, by prepare --split",
                "test-fold",
            )


def tags(number: int, values: Values) -> dict[str, str]:
    """Return the tags of a run's report: its number, and its values as they are typed."""
    own = {name.replace("_", "-"): told(value) for name, value in values.items()}
    return dict(sorted(({"run": f"{number:03d}"} | own).items()))


def told(value: Any) -> str:
    """Return a value as a table shows it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(told, value))}]"
    return str(value).lower() if isinstance(value, bool) else spelled(value)


def plan(found: Search, store: Store) -> str:
    """Return what says of a folder which sweep it is of, as JSON."""
    spec = msgspec.to_builtins(found.spec)
    made = {"format": "sertool-sweep", "version": 1, "spec": spec, "store": store.sha256}
    return json.dumps(made, indent=1) + "\n"
