"""The command line as Typer knows it: what is not plain, help and completion among it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from sertool.cli.commands import COMMANDS, HELP, load
from sertool.cli.guard import guarded
from sertool.cli.parameters import Group, help_page, parser_of, signature_of
from sertool.core.options import Command
from sertool.core.version import VERSION

Run = Callable[[Command, Mapping[str, Any]], int]


def application(name: str, run: Run) -> typer.Typer:
    """Return the Typer application; of its commands only `name` is loaded.

    run: runs a command with the values of a command line, and returns its exit code.
    """
    app = typer.Typer(
        name="sertool",
        cls=Group,
        rich_markup_mode="rich",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    summary = "Speech emotion recognition in small stages, connected by files."
    app.callback(help=help_page(summary, HELP))(_root)
    for other, summary in COMMANDS.items():
        if other == name:
            command = load(name)
            parser = parser_of(command)
            register = app.command(name, cls=parser, no_args_is_help=command.no_args_is_help)
            register(_callback(command, run))
        else:
            app.command(other, help=summary)(lambda: None)
    return app


def _version(value: bool) -> None:
    if value:
        print(f"sertool {VERSION}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, metavar="")
    ] = False,
) -> None:
    """Print what the options of no command ask for."""


def _callback(command: Command, run: Run) -> Callable[..., None]:
    """Return the function that Typer calls with the values of a command line."""

    def called(**values: Any) -> None:
        raise typer.Exit(guarded(command.name, lambda: run(command, values)))

    called.__signature__ = signature_of(command)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    called.__doc__ = help_page(COMMANDS[command.name], command.help)
    return called
