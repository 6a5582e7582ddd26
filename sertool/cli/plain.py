"""A plain command line, read without Typer, whose import takes longer than many a command.

Plain is what is beyond doubt: words that are arguments, options by their long names that are there,
once, with a value that looks like no option. All else (help, completion, short names, what is
wrong) is Typer's. `tests/test_plain.py` holds both to the same values.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from sertool.core.options import Command, Declared, declared


def values_of(command: Command, words: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the values of arguments and options by name, as Typer gives them; None: not plain."""
    options = [one for cls in command.groups.values() for one in declared(cls)]
    read = _read(options, words)
    if read is None or not words:
        return None
    found, arguments = read
    placed = _placed(command, arguments)
    if placed is None:
        return None
    return placed | {one.name: unset(one) for one in options} | found


def _read(
    options: Sequence[Declared], words: Sequence[str]
) -> tuple[dict[str, Any], list[str]] | None:
    """Return the values of the options on the line by name, and the other words; None: not so."""
    known = {flag: (one, value) for one in options for flag, value in _flags(one).items()}
    found: dict[str, Any] = {}
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "-" or not word.startswith("-"):
            arguments.append(word)
            continue
        flag, equals, text = word.partition("=")
        one, value = known.get(flag, (None, None))
        if (
            one is None
            or (value is not None and equals)
            or (one.name in found and not several(one))
        ):
            return None
        if value is None and not equals:
            if not rest or (rest[0].startswith("-") and rest[0] != "-"):
                return None
            text = rest.pop(0)
        made = _kind(one)(text) if value is None else value
        found[one.name] = [*found.get(one.name, ()), made] if several(one) else made
    return found, arguments


def _flags(one: Declared) -> Mapping[str, bool | None]:
    """Return the long names of an option, each with what it says by itself; None: its value."""
    if one.option.bare:
        return {}
    if one.hint is not bool:
        return {one.flag: None}
    switches = {one.flag: True}
    return switches | ({f"--no-{one.flag[2:]}": False} if switched(one) else {})


def switched(one: Declared) -> bool:
    """Return whether a flag is on by default, so that it has a name by which it is off."""
    return one.hint is bool and bool(one.default) and not one.negative


def several(one: Declared) -> bool:
    """Return whether an option may be given several times."""
    return one.default == () or isinstance(one.default, dict)


def _kind(one: Declared) -> type[Path] | type[str]:
    """Return what an option's value is taken for; a file, or text that `Declared.read` reads."""
    hints = (one.hint, *get_args(one.hint))
    return Path if Path in (hints[1:2] if several(one) else hints) else str


def unset(one: Declared) -> Any:
    """Return what an option is given where it is not on the line."""
    if one.hint is bool:
        return switched(one)
    if several(one):
        return None
    text = typed(one.default)
    return None if text is None else _kind(one)(text)


def typed(value: Any) -> str | None:
    """Return a default as it would be typed; None for none."""
    if isinstance(value, tuple):
        return ":".join(str(typed(member)) for member in value)
    return f"{value:g}" if isinstance(value, float) else None if value is None else str(value)


def _placed(command: Command, words: Sequence[str]) -> dict[str, Any] | None:
    """Return the arguments by name, of which one may take what the others leave; None: not so."""
    defaults = inspect.signature(command.function).parameters
    many = [name for name, (hint, _) in command.arguments.items() if _listed(hint)]
    spare = len(words) - len(command.arguments)  # words that a list has beyond its first
    least = -1 if many and defaults[many[0]].default is not inspect.Parameter.empty else 0
    if len(many) > 1 or spare < least or (spare and not many):
        return None
    found: dict[str, Any] = {}
    rest = list(words)
    for name, (hint, _) in command.arguments.items():
        kind = Path if Path in _members(hint) else str
        if not _listed(hint):
            found[name] = kind(rest.pop(0))
            continue
        found[name] = [kind(word) for word in rest[: spare + 1]] or None
        rest = rest[spare + 1 :]
    return found


def _listed(hint: Any) -> bool:
    return any(get_origin(one) is list for one in (hint, *get_args(hint)))


def _members(hint: Any) -> list[Any]:
    """Return a type and those that it is made of."""
    return [hint, *(inner for one in get_args(hint) for inner in _members(one))]
