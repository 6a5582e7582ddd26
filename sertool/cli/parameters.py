"""Typer's parameters, made from what the commands and their options declare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from sertool.cli.plain import several, switched, typed
from sertool.core.options import EVERY, Argument, Command, Declared, Instead, declared
from sertool.core.settings import Option

WIDEST = 10  # characters of choices that may stand in for the value; more stand in the help
METAVARS = {int: "N", float: "X", str: "TEXT", Path: "FILE"}
NUMBER = re.compile(r"[+-]?[0-9]+")
UNITS = {"s": "SECONDS", "Hz": "HZ", "dB": "DB"}


def parser_of(command: Command) -> type[TyperCommand]:
    """Return the class that parses a command's arguments."""
    options = (one for group in command.groups.values() for one in declared(group))
    bare = {one.flag: one.option for one in options if one.option.bare}

    class Parser(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            completed(ctx, self.get_params(ctx))
            return super().parse_args(ctx, with_values(args, bare))

    return Parser


class Group(TyperGroup):
    """The command line, of which one command is chosen."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments of the command."""
        completed(ctx, self.get_params(ctx))
        return super().parse_args(ctx, args)


def completed(ctx: Any, parameters: Sequence[Any]) -> None:
    """Leave values unread where a line is only completed: Typer imports pydantic to read them."""
    if ctx.resilient_parsing:
        for one in parameters:
            one.process_value = lambda ctx, value: value


def with_values(arguments: Sequence[str], bare: Mapping[str, Option]) -> list[str]:
    """Return the arguments with "--items=12" for "--items 12", and the option's `bare` for none.

    >>> with_values(["--items", "a.h5"], {"--items": Option("", bare="all")})
    ['--items=all', 'a.h5']
    """

    def its(option: Option, word: str) -> bool:
        listed = option.choices and set(word.split(",")) <= set(option.choices)
        return bool(listed or NUMBER.fullmatch(word))

    result: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        if word in bare:
            own = bare[word]
            word += f"={rest.pop(0) if rest and its(own, rest[0]) else own.bare}"
        result.append(word)
    return result


def signature_of(command: Command) -> inspect.Signature:
    """Return the signature by which Typer knows the arguments and options of a command."""
    defaults = inspect.signature(command.function).parameters
    parameters = [
        _argument(name, kind, argument, defaults[name].default)
        for name, (kind, argument) in command.arguments.items()
    ]
    options = [one for group in command.groups.values() for one in declared(group)]
    options.sort(key=lambda one: one.option.panel == EVERY)  # panels come in order of appearance
    return inspect.Signature([*parameters, *map(_instead, command.instead), *map(_option, options)])


def _instead(one: Instead) -> inspect.Parameter:
    """Return an option that acts at once, before a missing argument is missed."""

    def act(value: Path | None) -> None:
        if value is not None:
            one.function(value)
            raise typer.Exit

    info = typer.Option(
        f"--{one.name}", metavar=one.metavar, help=escaped(one.help), callback=act, is_eager=True
    )
    return _parameter(one.name, Annotated[Path | None, info], None)


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def _argument(name: str, hint: Any, argument: Argument, default: Any) -> inspect.Parameter:
    info = typer.Argument(
        metavar=argument.metavar,
        help=escaped(argument.help),
        readable=False,
        show_default=False,
        autocompletion=_completion(argument.choices),
    )
    if default is not inspect.Parameter.empty:  # Typer wants no tuple where it gives a list
        default = None
        hint = hint | None
    return _parameter(name, Annotated[hint, info], default)


def _option(one: Declared) -> inspect.Parameter:
    """Return an option: a flag, a list of texts, a path, or one text that `Declared.read` reads."""
    flags = [one.flag, one.option.short] if one.option.short else [one.flag]
    if switched(one):
        flags[0] += f"/--no-{one.flag[2:]}"
    info = typer.Option(
        *flags,
        metavar=metavar(one),
        help=escaped(help_of(one)),
        rich_help_panel=one.option.panel or None,
        autocompletion=_completion(one.option.choices, isinstance(one.default, dict)),
        show_default=one.hint is not bool and one.default not in (None, (), {}, ""),
    )
    if one.hint is bool:
        return _parameter(one.name, Annotated[bool, info], switched(one))
    if several(one):
        inner = get_args(one.hint)[0]
        listed = list[Path] if inner is Path else list[str]
        return _parameter(one.name, Annotated[listed | None, info], None)
    kind = Path if Path in (one.hint, *get_args(one.hint)) else str
    shown = typed(one.default)
    hint = kind if shown is not None else kind | None
    return _parameter(one.name, Annotated[hint, info], shown)


def _completion(choices: Sequence[str], listed: bool = False) -> Callable[[str], list[str]] | None:
    """Return what completes a word; where it is `listed`, what follows the last comma."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if listed else ("", "", incomplete)
        return [before + comma + c for c in choices if c.startswith(last)]

    return complete if choices else None


def metavar(one: Declared) -> str:
    """Return what stands for an option's value in the help: "SECONDS", "mix|left|right"."""
    if one.hint is bool:
        return ""
    if one.option.metavar:
        return one.option.metavar
    listed = "|".join(one.option.choices)
    if listed and not one.option.open and len(listed) <= WIDEST:
        return listed
    if listed:
        return "NAME"
    kinds = [k for k in (one.hint, *get_args(one.hint)) if k in METAVARS]
    if get_origin(one.hint) is tuple:
        return "LOW:HIGH"
    return UNITS.get(one.option.unit) or (METAVARS[kinds[0]] if kinds else "TEXT")


def help_of(one: Declared) -> str:
    """Return an option's help with its choices, its range and what it means to leave it out."""
    text, own = one.option.help, one.option
    unit = f" {own.unit}" if own.unit and metavar(one) == "LOW:HIGH" else ""
    shown = metavar(one) == "|".join(own.choices)
    more = [
        f"{m}{unit}" if m == own.range else m for m in own.limits() if m == own.range or not shown
    ]
    if more and text.endswith(")."):
        text = f"{text[:-2]}; {'; '.join(more)})."
    elif more:
        text = f"{text.removesuffix('.')} ({'; '.join(more)})."
    return f"{text} [default: {own.unset}]" if own.unset else text


def help_page(summary: str, text: str) -> str:
    """Return what `--help` says of a command: paragraphs of one line, its examples bold."""
    page = [summary]
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        line = escaped(" ".join(paragraph.split()))
        page.append(f"[bold]{line}[/bold]" if line.startswith(("sertool ", "find ")) else line)
    return "\n\n".join(page)


def escaped(text: str) -> str:
    """Return text in which rich sees no markup."""
    return text.replace("[", "\\[")
