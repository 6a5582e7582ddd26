"""How a function of the API calls its command."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, get_args, get_origin

from sertool.core import boxes, plugins, workers
from sertool.core.errors import UsageError
from sertool.core.options import Command, Declared, build, declared, paths_in
from sertool.formats.outputs import naming
from sertool.ui.console import Console, Failure

AnyPath = str | PathLike[str]
# defaults other than the command line's: no process that nobody asked for
ALONE = {"workers": 1, "file_timeout": 0.0}
SILENT = ("quiet", "verbose")  # options of the command line alone: here silence is the default
PRINTED = {"info": ("json", "audit", "deep", "require")}  # those about what a command prints
FURTHER = "settings"  # the option that takes every keyword which is no option
_training = threading.RLock()  # torch draws random numbers from one generator


def options_of(command: Command) -> tuple[Declared, ...]:
    """Return the options of a command that are keywords of its function in the API."""
    every = [one for cls in command.groups.values() for one in declared(cls)]
    without = (*SILENT, *PRINTED.get(command.name, ()))
    return tuple(one for one in every if one.name not in without)


def default_of(one: Declared) -> Any:
    """Return what an option is where it is not given."""
    return ALONE.get(one.name, one.default)


@contextlib.contextmanager
def listening(
    console: Console | None, stage: str, verbose: bool, log: Path | None = None
) -> Iterator[tuple[Console, list[Failure]]]:
    """Yield a console, silent unless `console` or `verbose` is given, and failures.

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
    Threads may call it at once; those that train take turns.
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
        threads = workers.one_thread() if command.threads == 1 else _training
        with threads, naming(paths_in([taken, groups])), boxes.restored():
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
    if isinstance(value, PathLike) and str in kinds and Path not in kinds:
        value = fspath(value)  # a file, or "-"
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
