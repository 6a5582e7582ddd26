"""Tables of named parts (corpora, kinds, augmentations, models, metrics) and what adds to them.

An installed package adds parts by entry points of a group (`sertool.features`), a Python file that
`--plugin` names by its table `PLUGINS`, {group: {name: part}}.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.core.settings import meant

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS = ("corpora", "features", "augmentations", "models", "metrics", "trackers")
_files: dict[str, dict[str, Any]] = {}  # by group: the parts of files that were loaded, by name
_origins: dict[tuple[str, str], str] = {}  # the name of the file that a part came from
_loaded: dict[Path, str] = {}  # of each file that was loaded, the hash of what was in it


def names(table: Mapping[str, Any], group: str) -> list[str]:
    """Return the names of a table, then those that plug-ins add under `group`."""
    added = {*_files.get(group, ()), *(point.name for point in _points(group))}
    return [*table, *sorted(added - set(table))]


def file_of(table: Mapping[str, Any], group: str, name: str) -> str | None:
    """Return the name of the file that a part came from by `--plugin`; None for any other part.

    Raises UsageError where nobody knows the part: a plug-in's that was not named.
    """
    if name in table:
        return None
    if name not in names(table, group):
        what = group.removeprefix("sertool.")
        raise UsageError(f"{show(name)} among {what} is a plug-in's: name its file by --plugin")
    return _origins.get((group, name))


def lookup(table: Mapping[str, str], group: str, name: str) -> Any:
    """Return the part called `name`, importing its module only now.

    `table` maps a name to "package.module:attribute" (or to a module alone). Raises UsageError
    with the known names where there is no such part, InputError for a plug-in that fails.
    """
    target = table.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        loaded = importlib.import_module(module)
        return getattr(loaded, attribute) if attribute else loaded
    if name in (found := _files.get(group, {})):
        return found[name]
    for point in _points(group):
        if point.name == name:
            return _load(point)
    what = group.removeprefix("sertool.")
    there = names(table, group)
    near = meant(name, there)
    raise UsageError(f"no {name!r} among {what}; there are {', '.join(there)}{near}")


def _points(group: str) -> Sequence[EntryPoint]:
    """Return the entry points of a group; none while a shell completes a word."""
    if "_SERTOOL_COMPLETE" in os.environ:
        return ()
    from importlib.metadata import entry_points  # costs as much as all else that --help imports

    return tuple(entry_points(group=group))


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        package = f" of {point.dist.name}" if point.dist else ""
        raise InputError(
            f"plug-in {point.value}{package} fails: {type(error).__name__}: {error}"
        ) from error


def asked_for(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield the files that a command line names by `--plugin`."""
    for option, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if option == "--":
            return
        if option == "--plugin" and following:
            yield Path(following)
        elif option.startswith("--plugin="):
            yield Path(option.partition("=")[2])


class _Source(SourceFileLoader):
    """What reads a file as it is now, and neither keeps nor believes compiled code beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_file(path: Path) -> None:
    """Add the parts of a Python file, once; InputError where it cannot be or adds nothing.

    A file that changed since is loaded again: a process may outlive many runs.
    """
    path = path.absolute()
    content = _content(path)
    if _loaded.get(path) == content:
        return
    # the same name wherever it is loaded: what is pickled there refers to it
    name = f"sertool_plugin_{path.stem}_{content[:16]}"
    if path.suffix != ".py":
        raise InputError(f"--plugin {show(path)}: not a Python file (.py)")
    loader = _Source(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also one that would end the program, perhaps with 0
        raise InputError(f"--plugin {show(path)}: {type(error).__name__}: {error}") from error
    table = getattr(module, "PLUGINS", None)
    known = [f"sertool.{group}" for group in GROUPS]
    if not isinstance(table, dict) or not table or not set(table) <= set(known):
        raise InputError(
            f"--plugin {show(path)}: needs a table PLUGINS of {{group: {{name: part}}}}; groups"
            f" are {', '.join(known)}"
        )
    for group, parts in table.items():
        _files.setdefault(group, {}).update(parts)
        _origins.update({(group, name): path.name for name in parts})
    _loaded[path] = content


def loaded() -> tuple[Path, ...]:
    """Return the files that were loaded, in their order."""
    return tuple(_loaded)


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(bytes(path) + b"\n" + path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"--plugin {show(path)}: no such file") from error
    except OSError as error:
        raise InputError(f"--plugin {show(path)}: {error.strerror}") from error
