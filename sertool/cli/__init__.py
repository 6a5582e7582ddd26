"""The command line: made from what the commands declare; parses, calls them, explains failures."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sertool.cli.commands import COMMANDS, HELP, load
from sertool.cli.guard import drop_stdout, flushed, guarded, say, told
from sertool.cli.plain import values_of
from sertool.core import boxes, ending, plugins
from sertool.core.errors import SertoolError, UsageError
from sertool.core.options import Command, RunOptions, build, declared, paths_in, recorded

if TYPE_CHECKING:
    from sertool.ui.console import Console

__all__ = ["COMMANDS", "HELP", "console_script", "load", "main"]


def _call(command: Command, values: Mapping[str, Any]) -> int:
    """Run a command and return its exit code."""
    import logging

    from sertool.core import workers
    from sertool.formats.outputs import naming

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of folders it cannot use
    (workers.single_thread if command.threads == 1 else workers.patient_threads)()
    groups: dict[str, Any] = {
        parameter: build(cls, {one.name: values[one.name] for one in declared(cls)}, text=True)
        for parameter, cls in command.groups.items()
    }
    run = groups.get("run")
    if not isinstance(run, RunOptions):
        run = RunOptions()
    start = time.monotonic()
    with _console(command.name, run) as console:
        if "options" in groups:
            console.detail(f"options: {_spelled(recorded(groups['options']))}")
        given = {name: values[name] for name in command.arguments}
        with naming(paths_in([given, groups])):
            result = command.function(**given, **groups, console=console)
        if command.show is not None:
            command.show(result, groups.get("options"), console)
        console.detail(f"took {time.monotonic() - start:.2f} s")
    return console.exit_code


def _console(name: str, run: RunOptions) -> Console:
    """Return the voice of a command: none where another process speaks for this one."""
    from sertool.core import ranks
    from sertool.ui.console import Console

    ranks.quiet(name)
    if ranks.follows(name):
        return Console.silent(name)
    return Console(name, quiet=run.quiet, verbose=run.verbose, log=run.log)


def _spelled(values: dict[str, Any]) -> str:
    """Return settings in effect as one line."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return ", ".join(
        f"{name} {value}" for name, value in flat.items() if value not in (None, [], {})
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but usage text goes to stdout."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON Lines are UTF-8 in any locale; half a surrogate is what JSON escapes it as
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    name = next((word for word in arguments or _completed() if word in COMMANDS), "")
    try:
        with boxes.usually():
            return _run(name, arguments)
    except BrokenPipeError:
        drop_stdout()
        return 0
    except SertoolError as error:
        say(name, str(error), error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:  # before a command began; from then on it is guarded
        say(name, "interrupted", 130)
        return 130
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            return 0  # rich and typer leave so where the reader closed the pipe
        return error.code if isinstance(error.code, int) else 1
    except OSError as error:  # help that cannot be written
        return told(name, error)
    except Exception as error:
        return _explain(name, error)


def _completed() -> list[str]:
    """Return the words of a line that a shell completes."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return line.split() if "_SERTOOL_COMPLETE" in os.environ else []


def _run(name: str, arguments: list[str]) -> int:
    """Parse the arguments and run the command `name`; return its exit code."""
    if name and any(_is_empty(word) for word in arguments):  # as a path: the working folder
        raise UsageError("an argument is empty; is a variable of the shell unset?")
    for path in plugins.asked_for(arguments):  # before the options, of which they may add some
        plugins.load_file(path)
    if name and arguments[:1] == [name]:
        command = load(name)
        values = values_of(command, arguments[1:])
        if values is not None:
            return guarded(name, lambda: _call(command, values))
    from sertool.cli.application import application

    app = application(name, _call)
    code = app(args=arguments, prog_name="sertool", standalone_mode=False)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _is_empty(word: str) -> bool:
    """Return whether a word says nothing: "", or "--figures="."""
    return not word or (word.startswith("--") and word.find("=") == len(word) - 1)


def _explain(name: str, error: Exception) -> int:
    """Print what is wrong with a command line that Typer refused, and return its exit code."""
    message = getattr(error, "format_message", None)
    if message is None:
        raise error
    text = message().rstrip()
    if text:  # empty where the help was shown instead
        hint = f"see sertool {name} --help" if name else "see sertool --help"
        say(name, f"{text.rstrip('.')}; {hint}", 2)
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
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.write_through:
        # PYTHONUNBUFFERED: without a buffer, what could not be written would be forgotten
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115


def _sane_environment() -> None:
    """Remove variables that libraries would crash at, or that are meant for others."""
    os.environ.pop("MPLBACKEND", None)  # a notebook's; figures are files here, and need no backend
    os.environ.pop("HDF5_DRIVER", None)  # with others than the usual one a store has no descriptor
    for name, digits in (("COLUMNS", 4), ("LINES", 4), ("SOURCE_DATE_EPOCH", 11)):
        text = os.environ.get(name, "0")
        if not (text.isascii() and text.isdigit() and len(text) <= digits):
            del os.environ[name]


def console_script(interruptible: bool = False) -> None:
    """Run sertool as a program; `interruptible`: Ctrl-C is an exception from here on."""
    _open_standard_streams()
    _sane_environment()
    ending.keep_signals()
    code = 128 + signal.SIGINT
    with contextlib.suppress(KeyboardInterrupt):  # after the last that explains one
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = main()
        code = code if flushed() else code or 3
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient Ctrl-C: we are leaving already
    ending.leave(code)
