"""How a function of the API calls the command that it stands for, and what it says of itself."""

from __future__ import annotations

import contextlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from sertool.core import plugins, workers
from sertool.core.errors import UsageError
from sertool.core.options import Command, Declared, build, declared
from sertool.ui.console import Console, Failure

F = TypeVar("F", bound=Callable[..., Any])
AnyPath = str | PathLike[str]
ALONE = {"workers": 1}  # defaults other than the command line's: no process that nobody asked for
SILENT = ("quiet", "verbose")  # options of the command line alone: here silence is the default
PRINTED = {"info": ("json", "audit", "deep", "require")}  # those about what a command prints
REWORDED = (
    (r"; repeatable\.", "; one, or a list."),
    (r" Repeatable\.", " One, or a list."),
    (r" \(exit 3\)", ""),
    (r"^Exit with 3 unless", "Raise InputError unless"),
    (
        r"^Setting of the (kind|model) (\(.*\)); one, or a list\.",
        r"Settings of the \1, by name \2. Each may also be a keyword of its own.",
    ),
    (r"^Leave out the baselines, which are fitted", "Also fit the baselines"),
    (r" to FILE ", " to this file "),
    (r"; - prints it instead of the tables?", ""),
    (r"\bone line per\b", "one prediction per"),
    (r"\bOne line per\b", "One prediction per"),
)
WRAPPER = textwrap.TextWrapper(
    96, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
)
FURTHER = "settings"  # the option that takes every keyword which is no option


def documented(command: Command) -> Callable[[F], F]:
    """Give a function the signature and the list of options that its command declares.

    `{options}` in its docstring becomes the list.
    """

    def given(function: F) -> F:
        own = inspect.signature(function).parameters
        listed = [one for one in options_of(command) if one.name not in own]
        function.__doc__ = described(function.__doc__ or "", listed)
        function.command = command  # type: ignore[attr-defined]
        function.__signature__ = signature(function, command)  # type: ignore[attr-defined]
        return function

    return given


def options_of(command: Command) -> tuple[Declared, ...]:
    """Return the options of a command that are keywords of its function in the API."""
    every = [one for cls in command.groups.values() for one in declared(cls)]
    without = (*SILENT, *PRINTED.get(command.name, ()))
    return tuple(one for one in every if one.name not in without)


def default_of(one: Declared) -> Any:
    """Return what an option is where it is not given."""
    return ALONE.get(one.name, one.default)


def signature(function: Callable[..., Any], command: Command) -> inspect.Signature:
    """Return the signature of `function`, its `**options` spelled out."""
    own = inspect.signature(function)
    kept = [p for p in own.parameters.values() if p.kind != inspect.Parameter.VAR_KEYWORD]
    named = {parameter.name for parameter in kept}
    keyword = inspect.Parameter.KEYWORD_ONLY
    before = [p for p in kept if p.kind != keyword]
    options = []
    for one in options_of(command):
        default = default_of(one)
        hint = one.hint | None if default is None else one.hint
        if one.name not in named:
            options.append(inspect.Parameter(one.name, keyword, default=default, annotation=hint))
    rest = [inspect.Parameter(FURTHER, inspect.Parameter.VAR_KEYWORD)]
    further = [one for one in options if one.name == FURTHER] and rest
    options = [one for one in options if one.name != FURTHER or not further]
    after = [p for p in kept if p.kind == keyword]
    return own.replace(parameters=[*before, *options, *after, *further])


def described(text: str, options: Iterable[Declared]) -> str:
    """Return a docstring with `{options}` replaced by a line or two for each option."""
    panels: dict[str, list[str]] = {}
    for one in options:
        unset = python_words(one.option.unset)
        default = f"{default_of(one)!r}" + (f" ({unset})" if unset else "")
        limits = "; ".join(filter(None, [one.option.unit, *one.option.limits()]))
        words = f"{one.name} = {default}: {python_words(one.option.help)}"
        words = f"{words.removesuffix('.')} ({limits})." if limits else words
        panels.setdefault(one.option.panel, []).extend(WRAPPER.wrap(words))
    lines = []
    for heading, listed in panels.items():
        lines += ["", f"{heading or 'Options and their defaults'}:", "", *listed]
    return inspect.cleandoc(text).replace("{options}", "\n".join(lines).lstrip())


def python_words(text: str) -> str:
    """Return a help text as it reads in Python: `--sample-rate` is `sample_rate`."""
    for shell, python in REWORDED:
        text = re.sub(shell, python, text)
    return re.sub(
        r"\(see: [^)]*\)|--([a-z][a-z-]*[a-z])",
        lambda match: match[1].replace("-", "_") if match[1] else match[0],
        text,
    )


@contextlib.contextmanager
def listening(
    console: Console | None, stage: str, verbose: bool, log: Path | None = None
) -> Iterator[tuple[Console, list[Failure]]]:
    """Yield a console, silent where neither `console` nor `verbose` says otherwise, and failures.

    The list of failures is filled as the block ends.
    """
    failures: list[Failure] = []
    if console is not None:
        before = len(console.failed_files)
        yield console, failures
        failures += console.failed_files[before:]
        return
    made = Console(stage, verbose=True, log=log) if verbose else Console.silent(stage, log)
    with made:
        yield made, failures
    failures += made.failed_files


def call(
    command: Command,
    arguments: Mapping[str, Any],
    given: Mapping[str, Any],
    console: Console | None = None,
    verbose: bool = False,
) -> tuple[Any, list[Failure]]:
    """Return what a command's function returns, and the files that failed.

    arguments: its positional ones by name. given: options by name; a keyword that is none is a
    setting of the kind or model, where the command knows such. Raises UsageError for any other.
    """
    if command.threads != 1:
        workers.patient_threads()
    groups = groups_of(command, given)
    run = groups.get("run")
    with listening(console, command.name, verbose, run.log if run else None) as (voice, failures):
        declared_as = command.arguments
        taken = {
            name: _argument(declared_as[name][0], value) if name in declared_as else value
            for name, value in arguments.items()
        }
        with one_thread() if command.threads == 1 else contextlib.nullcontext():
            result = command.function(**taken, **groups, console=voice)
    return result, failures


def groups_of(command: Command, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataclasses of options that a command takes, with these values; see `call`."""
    for path in as_list(given.get("plugin") or ()):
        plugins.load_file(Path(path))  # before the options: it may bring some
    known = {one.name: one for one in options_of(command)}
    values = {name: value for name, value in ALONE.items() if name in known} | dict(given)
    others = {name: values.pop(name) for name in list(values) if name not in known}
    if others and FURTHER not in known:
        name = next(iter(others))
        raise UsageError(f"{command.name}: no option {name}; there are {', '.join(known)}")
    if others:
        values[FURTHER] = {**(values.get(FURTHER) or {}), **others}
    read = {name: _read(known[name], value) for name, value in values.items()}
    return {
        parameter: build(
            cls, {one.name: read[one.name] for one in declared(cls) if one.name in read}
        )
        for parameter, cls in command.groups.items()
    }


def _read(one: Declared, value: Any) -> Any:
    """Return a keyword's value as the option holds it: as on the command line where it is text."""
    if getattr(value, "shape", None) == ():
        value = value.item()  # a number of NumPy's
    kinds = (one.hint, *get_args(one.hint))
    if type(value) is int and str in kinds and int not in kinds:
        value = str(value)  # a fold: its number, or a word
    several = get_origin(one.hint) is tuple and get_args(one.hint)[1:] == (...,)
    value = as_list(value) if several else value
    return one.read(value, text=isinstance(value, str)) if value is not None else None


def as_list(value: Any) -> list[Any]:
    """Return one or several values as a list."""
    several = isinstance(value, Iterable) and not isinstance(value, str | PathLike)
    return list(value) if several and not hasattr(value, "path") else [value]


def _argument(kind: Any, value: Any) -> Any:
    """Return a positional argument as its command declares it: a path, text, or a list."""
    if get_origin(kind) is list:
        return [_argument(get_args(kind)[0], one) for one in as_list(value)]
    path = getattr(value, "path", value)  # of a store, a checkpoint or a manifest
    return Path(path) if kind is Path else fspath(path)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let numerical libraries use one thread, as the command line does: the same sums in order."""
    import numpy  # noqa: F401 (loaded before its threads are counted)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        yield
