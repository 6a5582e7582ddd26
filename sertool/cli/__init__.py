"""The command line: made from what the commands declare; parses, calls them, explains failures."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sertool.cli.guard import drop_stdout, guarded, say
from sertool.cli.parameters import help_page, parser_of, signature_of
from sertool.core import plugins
from sertool.core.errors import SertoolError
from sertool.core.options import Command, RunOptions, build, declared, paths_in, recorded
from sertool.core.version import VERSION

COMMANDS = {  # what each is for; the module `sertool.commands.NAME` declares its `COMMAND`
    "prepare": "List the utterances of corpora with labels, speakers and folds.",
    "featurize": "Turn audio into a feature store (HDF5), with labels and speakers where known.",
    "augment": "Write a store of originals and augmented copies, each linked to its original.",
    "train": "Train a model on a feature store.",
    "fuse": "Combine checkpoints into one that says the weighted mean of what they say.",
    "calibrate": "Fit the confidences of a checkpoint to what models trained alike held out.",
    "eval": "Test checkpoints on the items that they held out, next to baselines.",
    "predict": "Predict the emotion of recordings, all of each: one line per file, in order.",
    "push": "Publish a checkpoint with its card, in a folder or on the Hugging Face hub.",
    "pull": "Fetch a published model, from a folder or from the hub, and verify it.",
    "export": "Write a checkpoint as an ONNX model, which predicts without torch.",
    "report": "Pool folds and seeds, compare with a paper's tables, or compare two systems.",
    "info": "Show what a file is, what it holds and how it was made; verify a store's checksum.",
    "list": "List corpora, label maps, kinds of feature, augmentations, models, metrics or papers.",
    "separate": "Separate sources that several microphones recorded in different proportions"
    " (FastICA).",
}
HELP = """prepare -> featurize -> augment -> train -> eval, and predict for folders of recordings.

sertool prepare corpus/ manifest.jsonl --split speakers:4

sertool featurize --kind mel manifest.jsonl features.h5

sertool train --model linear --test-fold all features.h5 model.ckpt

sertool eval --json report.json model.?.ckpt features.h5

sertool predict model.0.ckpt recordings/

Exit codes: 0 done, 1 done, but a file or line failed, 2 wrong usage, 3 a named file or folder
cannot be used, 130 interrupted.
"""
MODULES = {"eval": "evaluate", "list": "listing"}  # where Python has another use for the name


def application(name: str) -> typer.Typer:
    """Return the Typer application; of its commands only `name` is loaded."""
    app = typer.Typer(
        name="sertool",
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
            register(_callback(command))
        else:
            app.command(other, help=summary)(lambda: None)
    return app


def load(name: str) -> Command:
    """Return what the module of a command declares."""
    module = importlib.import_module(f"sertool.commands.{MODULES.get(name, name)}")
    command: Command = module.COMMAND
    return command


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


def _callback(command: Command) -> Callable[..., None]:
    """Return the function that Typer calls with the values of a command line."""

    def called(**values: Any) -> None:
        with guarded(command.name):
            _call(command, values)

    called.__signature__ = signature_of(command)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    called.__doc__ = help_page(COMMANDS[command.name], command.help)
    return called


def _call(command: Command, values: dict[str, Any]) -> None:
    """Run a command and leave with its exit code."""
    from sertool.core import workers
    from sertool.formats.outputs import naming
    from sertool.ui.console import Console

    (workers.single_thread if command.threads == 1 else workers.patient_threads)()
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
        with naming(paths_in([given, groups])):
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
        return _run(name, arguments)
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


def _completed() -> list[str]:
    """Return the words of a line that a shell completes."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return line.split() if "_SERTOOL_COMPLETE" in os.environ else []


def _run(name: str, arguments: list[str]) -> int:
    """Parse the arguments and run the command `name`; return its exit code."""
    for path in plugins.asked_for(arguments):  # before the options, of which they may add some
        plugins.load_file(path)
    code = application(name)(args=arguments, prog_name="sertool", standalone_mode=False)
    sys.stdout.flush()
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
    os.environ.pop("MPLBACKEND", None)  # a notebook's; figures are files here, and need no backend
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient Ctrl-C: we are leaving already
    sys.exit(code)
