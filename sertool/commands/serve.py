"""serve: a model answers over HTTP and websockets."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, PluginOptions
from sertool.core.paths import show
from sertool.evaluation.options import PredictOptions
from sertool.extras.options import ServeOptions
from sertool.formats import box
from sertool.ui.console import Console

NEEDED = ("starlette", "uvicorn", "websockets", "python_multipart")


def serve(
    checkpoint: Annotated[
        Path | None, Argument("CHECKPOINT", "The model; without one, that in the box.")
    ] = None,
    options: ServeOptions = ServeOptions(),
    run: PluginOptions = PluginOptions(),
    console: Console | None = None,
) -> None:
    """Answer recordings and streams with what `predict` says of them, until a signal ends it.

    Raises UsageError for a model that no single recording is enough for, InputError for one that
    cannot be used, or an address where nobody can listen.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UsageError(f"serve needs {', '.join(missing)}: pip install 'sertool[serve]'")
    from sertool.evaluation.loading import load
    from sertool.extras.serving import SharedPredictor
    from sertool.extras.serving import serve as answer

    console = console or Console.silent()
    path = checkpoint or box.quickest()
    if path is None:
        raise InputError("no model comes with this installation: name a checkpoint")
    how = {field.name: getattr(options.how, field.name) for field in fields(options.how)}
    predictor = SharedPredictor(path, load(path, items=False), PredictOptions(**how))
    if predictor.normalised:
        raise UsageError(
            f"{show(path)}: was trained with --speaker-normalisation, and of one recording the"
            " speaker is not known; predict hears all of a speaker's"
        )
    answer(predictor, options, console)


COMMAND = Command(
    "serve",
    serve,
    """sertool serve model.ckpt --port 8000

    curl --data-binary @one.wav http://127.0.0.1:8000/predict

    The same JSON line as predict prints; /stream is a websocket for raw PCM, / a page, /health
    and /openapi.json say more. Nothing is encrypted, and nobody has to log in: for others than
    this machine, put it behind a server that does both.

    Exit codes: 2 wrong usage, 3 cannot start, 130 ended by Ctrl-C, 143 by TERM.
    """,
    no_args_is_help=False,
)
