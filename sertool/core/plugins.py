"""Tables of named parts (corpora, kinds, augmentations, models), grown by entry points."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from sertool.core.errors import UsageError


def names(table: dict[str, str], group: str) -> list[str]:
    """Return the names of a table, then those that installed packages add under `group`."""
    extra = sorted({point.name for point in entry_points(group=group)} - set(table))
    return [*table, *extra]


def lookup(table: dict[str, str], group: str, name: str) -> Any:
    """Return the part called `name`, importing its module only now.

    `table` maps a name to "package.module:attribute" (or to a module alone). Raises UsageError
    with the known names where there is no such part.
    """
    target = table.get(name)
    if target is None:
        for point in entry_points(group=group):
            if point.name == name:
                return point.load()
        what = group.removeprefix("sertool.")
        raise UsageError(f"no {name!r} among {what}; there are {', '.join(names(table, group))}")
    module, _, attribute = target.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded
