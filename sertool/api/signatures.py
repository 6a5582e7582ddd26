"""The documentation of an API function: its signature and its list of options."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sertool.api.calls import FURTHER, default_of, options_of
from sertool.core.options import Command, Declared

F = TypeVar("F", bound=Callable[..., Any])
# how help texts of the command line read in Python
REWORDED = (
    (r"; repeatable\.", "; one, or a list."),
    (r" Repeatable\.", " One, or a list."),
    (r" \(exit 3\)", ""),
    (r"^Exit with 3 unless", "Raise InputError unless"),
    (
        r"^Setting of the (kind|model) (\(.*\)); one, or a list\.",
        r"Settings of the \1, by name \2. Each may also be given as a keyword.",
    ),
    (r"^Leave out the baselines, which are fitted", "Also fit the baselines"),
    (r" to FILE ", " to this file "),
    (r"^What does the work: processes", "What does the work: an object with `submit`, processes"),
    (r"; - prints it instead of the tables?", ""),
    (r"\bone line per\b", "one prediction per"),
    (r"\bOne line per\b", "One prediction per"),
)
KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
WRAPPER = textwrap.TextWrapper(
    96, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
)


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


def signature(function: Callable[..., Any], command: Command) -> inspect.Signature:
    """Return the signature of `function`, its `**options` spelled out."""
    own = inspect.signature(function)
    options, further = [], []
    for one in options_of(command):
        default = default_of(one)
        hint = one.hint | None if default is None else one.hint
        if one.name == FURTHER:
            further = [inspect.Parameter(FURTHER, inspect.Parameter.VAR_KEYWORD)]
        elif one.name not in own.parameters:
            kind = inspect.Parameter.KEYWORD_ONLY
            options.append(inspect.Parameter(one.name, kind, default=default, annotation=hint))
    kinds = {kind: [p for p in own.parameters.values() if p.kind == kind] for kind in KINDS}
    positional, keyword = kinds.values()
    return own.replace(parameters=[*positional, *options, *keyword, *further])


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
