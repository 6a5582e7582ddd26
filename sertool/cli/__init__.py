"""The command line: one module a command, each parses, calls the library, and prints."""

from __future__ import annotations

import errno
import functools
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sertool.core.errors import SertoolError
from sertool.core.version import VERSION

COMMANDS = {
    "prepare": "sertool.cli.prepare",
    "featurize": "sertool.cli.featurize",
    "augment": "sertool.cli.augment",
    "train": "sertool.cli.train",
    "eval": "sertool.cli.eval",
    "predict": "sertool.cli.predict",
    "report": "sertool.cli.report",
    "info": "sertool.cli.info",
    "list": "sertool.cli.listing",
    "separate": "sertool.cli.separate",
}
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST = 2000  # characters of a line on standard error


def _version(value: bool) -> None:
    if value:
        print(f"sertool {VERSION}")
        raise typer.Exit


def _guard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command with every expected failure turned into one line and its exit code."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
            sys.stdout.flush()
            return result
        except SertoolError as error:
            _say(name, str(error))
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            _say(name, "interrupted")
            raise typer.Exit(130) from error
        except BrokenPipeError as error:
            _drop_stdout()
            raise typer.Exit(0) from error
        except OSError as error:
            _say(name, _reason(error))
            raise typer.Exit(3) from error
        except MemoryError as error:
            _say(name, f"not enough memory: {error}" if str(error) else "not enough memory")
            raise typer.Exit(3) from error
        except RuntimeError as error:
            if not _lacks_memory(error):
                raise
            _say(name, "not enough memory; a smaller --batch-size, network or picture needs less")
            raise typer.Exit(3) from error

    return guarded


def _lacks_memory(error: RuntimeError) -> bool:
    """Return whether an error is torch's own for memory that cannot be had, on any device."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _reason(error: OSError) -> str:
    """Return one line for an error of the operating system."""
    from sertool.core.paths import show

    where = f"{show(error.filename)}: " if error.filename else ""
    if error.errno in DISK_FULL:
        return f"{where}the disk is full; nothing was replaced, free some space and use --resume"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}no permission"
    return f"{where}{error.strerror or error}"


def _say(name: str, text: str) -> None:
    from sertool.core.paths import show

    line = show(" ".join(text.split("\n")))
    if len(line) > LONGEST:  # a file's own text: both ends say what is wrong, and what to do
        line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}"
    print(f"sertool {name}: {line}" if name else f"sertool: {line}", file=sys.stderr, flush=True)


def _drop_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush stays quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def build() -> typer.Typer:
    """Return the Typer application with every command registered."""
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

    for name, module in COMMANDS.items():
        part = importlib.import_module(module)
        app.command(name=name, cls=getattr(part, "Command", None), no_args_is_help=name != "list")(
            _guard(name, part.command)
        )
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but usage text goes to stdout."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON Lines are UTF-8 in any locale; half a surrogate is what JSON escapes it as
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    name = next((a for a in arguments if a in COMMANDS), "")
    try:
        code = build()(args=arguments, prog_name="sertool", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except KeyboardInterrupt:  # before a command began; from then on `_guard` sees it
        _say(name, "interrupted")
        return 130
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            return 0  # rich and typer leave so where the reader closed the pipe
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        text = message().rstrip()
        if text:  # empty where the help was shown instead
            hint = f"see sertool {name} --help" if name else "see sertool --help"
            _say(name, f"{text.rstrip('.')}; {hint}")
        return 2
    return code if isinstance(code, int) else 0


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
