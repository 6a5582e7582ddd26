"""The options of a stage: one frozen dataclass, from which everything else is made.

The command line (`sertool.cli`), the Python API's keyword arguments (`build`), the checks (when an
`Options` is made) and the recorded lineage (`recorded`) all follow its fields.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, TypeVar

from sertool.core import boxes, executors, memory, plugins
from sertool.core.errors import UsageError
from sertool.core.settings import Option, convert, option, option_of

T = TypeVar("T")


class Options:
    """A base for frozen dataclasses of options: their values are checked when one is made.

    Raises UsageError for a value of another type than declared or out of its range, and for values
    that contradict each other.
    """

    def __post_init__(self) -> None:
        cls: Any = type(self)
        hints = hints_of(cls)
        for field in dataclasses.fields(cls):
            if "option" in field.metadata:
                own = Declared(field.name, hints[field.name], field.default, option_of(field))
                object.__setattr__(self, field.name, own.read(getattr(self, field.name)))
        self.check()

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""

    @classmethod
    def complete(cls) -> Any:
        """Return the class with the options that plug-ins add, where there can be any."""
        return cls


@dataclass(frozen=True)
class Declared:
    """One option: the name of its field, its type, its default, and what is declared of it."""

    name: str
    hint: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The option as it is typed: "--batch-size"."""
        return "--" + (self.option.flag or self.name).replace("_", "-")

    @property
    def negative(self) -> bool:
        """Whether the flag switches off what is on by default: "--no-baselines"."""
        return self.hint is bool and self.option.flag.startswith("no-")

    @property
    def optional(self) -> bool:
        """Whether the option may be left without a value."""
        return type(None) in typing.get_args(self.hint)

    def read(self, value: Any, text: bool = False) -> Any:
        """Return `value` as declared; `text` where it is a command line's. Raises UsageError."""
        if value is None and self.optional:
            return None
        if text and self.negative:
            return not value
        if self.option.read is not None and isinstance(value, str | list | tuple):
            value = self.option.read(value)
        return convert(f"{self.flag} ", value, self.hint, self.option, text)


def nested(cls: type, partial: bool = False) -> Any:
    """Return a field that holds the options `cls`, which stand among its owner's own.

    partial: a dictionary of those that were given instead, over defaults known only later.
    """
    factory: Any = dict if partial else cls
    return dataclasses.field(default_factory=factory, metadata={"nested": cls, "partial": partial})


@functools.cache
def hints_of(cls: Any) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields by name."""
    return typing.get_type_hints(cls)


@functools.cache
def declared(cls: Any) -> tuple[Declared, ...]:
    """Return every option of `cls` in order, those of nested options among them."""
    return tuple(_walk(cls))


def _walk(cls: Any) -> Iterator[Declared]:
    for field in dataclasses.fields(cls):
        inner = field.metadata.get("nested")
        if inner is not None:
            for one in declared(inner):
                partial = field.metadata["partial"]
                yield dataclasses.replace(one, default=None) if partial else one
        elif "option" in field.metadata:
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            yield Declared(field.name, hints_of(cls)[field.name], default, option_of(field))


def build(cls: type[T], values: Mapping[str, Any], text: bool = False) -> T:
    """Return the options `cls` with these values by name; None leaves an option as it is.

    text: values come from a command line. Raises UsageError for an unknown name or a wrong value.
    """
    wanted: Any = cls
    known = {one.name: one for one in declared(wanted)}
    for name in values:
        if name not in known:
            raise UsageError(f"no option {name}; there are {', '.join(known)}")
    given = {n: known[n].read(v, text) for n, v in values.items() if v is not None}
    made: T = _made(wanted, given)
    return made


def _made(cls: Any, given: Mapping[str, Any]) -> Any:
    made: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        inner = field.metadata.get("nested")
        if inner is not None and field.metadata["partial"]:
            made[field.name] = {d.name: given[d.name] for d in declared(inner) if d.name in given}
        elif inner is not None:
            made[field.name] = _made(inner, given)
        elif field.name in given:
            made[field.name] = given[field.name]
    return cls(**made)


def recorded(options: Any) -> dict[str, Any]:
    """Return what a lineage keeps of some options: every one that shapes the output, by name."""
    kept: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            kept[field.name] = recorded(value)
        elif option_of(field).recorded:
            kept[field.name] = list(value) if isinstance(value, tuple) else value
    return kept


@dataclass(frozen=True)
class Argument:
    """A positional argument of a command, as its function's signature declares it.

    choices: what a shell completes.
    """

    metavar: str
    help: str
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Instead:
    """An option of the command line that does something else than its command, and ends it."""

    name: str
    help: str
    metavar: str
    function: Callable[[Path], None]


@dataclass(frozen=True)
class Command:
    """A function as a command of the command line.

    Its signature declares the arguments (`Annotated[..., Argument(...)]`), its parameter `options`
    the stage's own options, `run` those that every stage shares; it may take a `console`. `help` is
    what `--help` says. threads: how many a numerical library may use, None for its own choice.
    """

    name: str
    function: Callable[..., Any]
    help: str
    show: Callable[[Any, Any, Any], None] | None = None
    threads: int | None = 1
    instead: tuple[Instead, ...] = ()
    no_args_is_help: bool = True

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        """The types of the function's parameters by name; what it returns may not be loaded yet."""
        given = self.function.__annotations__
        parameters = SimpleNamespace(
            __annotations__={name: given[name] for name in given if name != "return"}
        )
        names = self.function.__globals__
        return typing.get_type_hints(parameters, names, include_extras=True)

    @property
    def arguments(self) -> dict[str, tuple[Any, Argument]]:
        """The type and declaration of each positional argument by name."""
        annotated = {n: h for n, h in self._hints.items() if typing.get_origin(h) is Annotated}
        return {name: typing.get_args(hint) for name, hint in annotated.items()}

    @property
    def groups(self) -> Mapping[str, Any]:
        """The dataclasses of options by parameter: `options`, `run`."""
        names = ("options", "run")
        return {name: self._hints[name].complete() for name in names if name in self._hints}


def paths_in(values: Any) -> list[Path]:
    """Return the paths among arguments and options, and the texts that are the name of a file.

    values: dataclasses, dictionaries and sequences of them, as deep as they go. A text may have a
    word before the name, as file:FOLDS.csv.
    """
    if isinstance(values, Path):
        return [values]
    if isinstance(values, str):
        names = (values, values.partition(":")[2])
        return [Path(name) for name in names if name and "\0" not in name and os.path.isfile(name)]
    if dataclasses.is_dataclass(values):
        values = [getattr(values, field.name) for field in dataclasses.fields(values)]
    elif isinstance(values, Mapping):
        values = list(values.values())
    if not isinstance(values, list | tuple):
        return []
    return [path for value in values for path in paths_in(value)]


EVERY = "Every stage"  # the heading of what all stages share


def seed() -> Any:
    """Return the field of `--seed`."""
    return option(0, "Random seed.", metavar="N")


def shared(default: Any, help: str, **more: Any) -> Any:
    """Return the field of an option that every stage has; it changes no output."""
    return option(default, help, panel=EVERY, recorded=False, **more)


def destination(default: Any, help: str, **more: Any) -> Any:
    """Return the field of an option that says where results go, or how they look."""
    return option(default, help, panel="Output", recorded=False, **more)


def workers(default: int = 0) -> Any:
    """Return the field of `--workers`."""
    help = "Worker processes (0: one per core)."
    return shared(default, help, metavar="N", short="-j", least=0)


def executor() -> Any:
    """Return the field of `--executor`; `executors.opened` opens what it names."""
    return shared(
        executors.PROCESSES,
        "What does the work: processes (as many as --workers), dask://HOST:PORT or ray, whose"
        " workers must see the same files.",
        metavar="NAME",
        read=executors.read,
    )


def shard(
    help: str = "Make the K-th of N parts alone, for one of N machines. STORE is a folder: of a"
    " file each, read as one store when all are there.",
) -> Any:
    """Return the field of `--shard`; `Shard.read` reads it."""
    return shared(None, help, metavar="K/N")


def strict() -> Any:
    """Return the field of `--strict`."""
    return option(False, "Stop at the first file that fails (exit 3).", recorded=False)


@dataclass(frozen=True)
class FileOptions(Options):
    """What one recording may take."""

    file_timeout: float = shared(
        boxes.SECONDS,
        "Seconds after which a recording, or the next 30 s of a long one, counts as failed. 0: any,"
        " and a decoder that crashes ends the run.",
        metavar="S",
        least=0,
    )
    max_duration: float = shared(
        memory.LONGEST, "Seconds that a recording may last.", metavar="S", above=0
    )

    def begin(self) -> None:
        """Have these limits hold from now on."""
        boxes.allow(self.file_timeout, option=True)
        memory.allow_length(self.max_duration)


@dataclass(frozen=True)
class PluginOptions(Options):
    """The files that add parts; they are loaded when this is made."""

    plugin: tuple[Path, ...] = shared(
        (),
        "Python file that adds corpora, kinds, augmentations, models or metrics; repeatable.",
        metavar="FILE.py",
    )

    def check(self) -> None:
        """Load the files; InputError where one cannot be or adds nothing."""
        for path in self.plugin:
            plugins.load_file(path)


@dataclass(frozen=True)
class RunOptions(PluginOptions):
    """The options of a run that every stage has; none changes an output."""

    force: bool = shared(False, "Replace an existing output.")
    resume: bool = shared(False, "Continue where an interrupted run stopped.")
    log: Path | None = shared(None, "Append events to FILE as JSON Lines.", metavar="FILE")
    quiet: bool = shared(False, "Report only problems.", short="-q")
    verbose: bool = shared(
        False, "Report more: settings in effect, remarks on each file, timing.", short="-v"
    )

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose contradict each other")
        super().check()
