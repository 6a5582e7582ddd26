"""The command line: made from what the commands declare; parses, calls them, explains failures."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sertool.cli.guard import drop_stdout, guarded, say
from sertool.cli.parameters import parser_of, signature_of
from sertool.core import plugins
from sertool.core.errors import SertoolError
from sertool.core.options import Command, RunOptions, build, declared, recorded
from sertool.core.version import VERSION

COMMANDS = {  # the module that declares each as its `COMMAND`
    "prepare": "sertool.commands.prepare",
    "featurize": "sertool.commands.featurize",
    "augment": "sertool.commands.augment",
    "train": "sertool.commands.train",
    "eval": "sertool.commands.evaluate",
    "predict": "sertool.commands.predict",
    "report": "sertool.commands.report",
    "info": "sertool.commands.info",
    "list": "sertool.commands.listing",
    "separate": "sertool.commands.separate",
}


def _version(value: bool) -> None:
    if value:
        print(f"sertool {VERSION}")
        raise typer.Exit


def application(names: Sequence[str]) -> typer.Typer:
    """Return the Typer application with these commands registered."""
    app = typer.Typer(
        name="sertool",
        rich_markup_mode="rich",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", callback=_version)
        ] = False,
    ) -> None:
        """Speech emotion recognition in small stages, chained by files.

        prepare -> featurize -> augment -> train -> eval, and predict for folders of recordings.

        Exit codes: 0 done, 1 done but a file or line gave nothing, 2 wrong usage, 3 a named file or
        folder cannot serve, 130 interrupted.
        """

    for name in names:
        command: Command = importlib.import_module(COMMANDS[name]).COMMAND
        register = app.command(
            name=name, cls=parser_of(command), no_args_is_help=command.no_args_is_help
        )
        register(_callback(command))
    return app


def _callback(command: Command) -> Callable[..., None]:
    """Return the function that Typer calls with the values of a command line."""

    def called(**values: Any) -> None:
        with guarded(command.name):
            _call(command, values)

    called.__signature__ = signature_of(command)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    paragraphs = inspect.cleandoc(command.help).split("\n\n")
    called.__doc__ = "\n\n".join(" ".join(text.split()) for text in paragraphs)
    return called


def _call(command: Command, values: dict[str, Any]) -> None:
    """Run a command and leave with its exit code."""
    from sertool.core import workers
    from sertool.ui.console import Console

    if command.threads == 1:
        workers.single_thread()
    else:
        workers.patient_threads()
    groups: dict[str, Any] = {
        parameter: build(cls, {one.name: values[one.name] for one in declared(cls)}, text=True)
        for parameter, cls in command.groups.items()
    }
    run = groups.get("run")
    if not isinstance(run, RunOptions):
        run = RunOptions()
    start = time.monotonic()
    with Console(command.name, quiet=run.quiet, verbose=run.verbose, log=run.log) as console:
        if "options" in groups:
            console.detail(f"options: {_spelled(recorded(groups['options']))}")
        given = {name: values[name] for name in command.arguments}
        result = command.function(**given, **groups, console=console)
        if command.show is not None:
            command.show(result, groups.get("options"), console)
        console.detail(f"took {time.monotonic() - start:.2f} s")
    raise typer.Exit(console.exit_code)


def _spelled(values: dict[str, Any]) -> str:
    """Return settings in effect as one line."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return ", ".join(f"{name} {value}" for name, value in flat.items() if value not in (None, []))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but usage text goes to stdout."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON Lines are UTF-8 in any locale; half a surrogate is what JSON escapes it as
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    name = next((a for a in arguments if a in COMMANDS), "")
    try:
        for path in plugins.asked_for(arguments):  # before the options, of which they may add some
            plugins.load_file(path)
        app = application([name] if arguments[:1] == [name] else list(COMMANDS))
        code = app(args=arguments, prog_name="sertool", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
        return 0
    except SertoolError as error:
        say(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:  # before a command began; from then on it is guarded
        say(name, "interrupted")
        return 130
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            return 0  # rich and typer leave so where the reader closed the pipe
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        return _explain(name, error)
    return code if isinstance(code, int) else 0


def _explain(name: str, error: Exception) -> int:
    """Print what is wrong with a command line that Typer refused, and return its exit code."""
    message = getattr(error, "format_message", None)
    if message is None:
        raise error
    text = message().rstrip()
    if text:  # empty where the help was shown instead
        hint = f"see sertool {name} --help" if name else "see sertool --help"
        say(name, f"{text.rstrip('.')}; {hint}")
    return 2


def _open_standard_streams() -> None:
    """Point streams that the caller closed at nothing, before a data file gets their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def console_script() -> None:
    """Run sertool as a program."""
    _open_standard_streams()
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient Ctrl-C: we are leaving already
    sys.exit(code)
