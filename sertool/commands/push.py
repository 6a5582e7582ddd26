"""push: a checkpoint as a model repository of Hugging Face, in a folder or on its hub."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.formats import box
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.formats.checkpoint import Checkpoint

PLACE = "A folder, or hf:OWNER/NAME on the Hugging Face hub (extra sertool[hub])."
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)


def _codes(texts: Any) -> tuple[str, ...]:
    """Return the languages that a text, or several, list, joined by commas."""
    words = texts.split(",") if isinstance(texts, str) else texts
    return tuple(part.strip() for word in words for part in str(word).split(","))


@dataclass(frozen=True)
class PushOptions(Options):
    """What the card says that the checkpoint does not know."""

    report: tuple[Path, ...] = option(
        (),
        "Report of eval --json, of this model or of models trained alike: the card's figures;"
        " repeatable.",
        metavar="FILE",
    )
    onnx: Path | None = option(
        None, "The same model as sertool export writes it, to lie beside it.", metavar="MODEL.onnx"
    )
    name: str | None = option(
        None, "The model's name.", metavar="NAME", unset="the folder's or repository's"
    )
    licence: str | None = option(
        None, "The model's licence, as Hugging Face spells it: cc-by-nc-sa-4.0.", metavar="ID"
    )
    language: tuple[str, ...] = option(
        (),
        "Languages that it was trained on, ISO 639-1, joined by commas (default: those of the"
        " corpora that sertool knows).",
        metavar="DE,EN",
        read=_codes,
    )
    revision: str | None = option(
        None, "Branch of the repository on the hub.", metavar="BRANCH", unset="main"
    )
    private: bool = option(False, "On the hub: a new repository is private.")

    def check(self) -> None:
        """Raise UsageError for a licence or a language that is none."""
        if self.licence is not None and not LICENCE.fullmatch(self.licence):
            raise UsageError(f"--licence {self.licence}: needs an identifier such as cc-by-4.0")
        for code in self.language:
            if not LANGUAGE.fullmatch(code):
                raise UsageError(f"--language {code}: needs two letters of ISO 639-1, such as en")


def push(
    checkpoint: Annotated[Path, Argument("CHECKPOINT", "The model; or box, the one in the box.")],
    place: Annotated[str, Argument("FOLDER|hf:OWNER/NAME", PLACE)],
    options: PushOptions = PushOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write a checkpoint, its card and `config.json` into a folder, or to the hub as one commit.

    Raises InputError for files that cannot be read or do not go together, and for a model that is
    there already.
    """
    from sertool.extras import hub
    from sertool.formats import repository

    console = console or Console.silent()
    remote = hub.repository_of(place)
    if remote is None:
        if options.revision is not None or options.private:
            raise UsageError("--revision and --private are for hf:OWNER/NAME")
        names = [repository.MODEL, repository.CARD, repository.CONFIG]
        names += [repository.ONNX] if options.onnx else []
        inputs = [checkpoint, *options.report, *([options.onnx] if options.onnx else [])]
        repository.check(Path(place), names, run.force or run.resume, inputs)
    elif not run.force and not run.resume and hub.exists(remote, options.revision):
        raise InputError(f"{place}: exists already; --force replaces it")
    name = options.name or os.path.basename(remote or os.path.abspath(place)) or "model"
    files = _files(checkpoint, name, place if remote else "FOLDER", options, console)
    if remote is None:
        if not run.force and run.resume and repository.holds(Path(place), files):
            console.note(f"{show(place)}: already complete")
            return
        repository.write(Path(place), files)
    else:
        with tempfile.TemporaryDirectory() as folder:
            staged = Path(folder) / "model"
            repository.write(staged, files)
            hub.upload(staged, remote, options.revision, options.private)
    console.note(f"{show(place)}: {', '.join(files)}")


def _files(
    path: Path, name: str, source: str, options: PushOptions, console: Console
) -> dict[str, bytes]:
    """Return what is to be pushed, by name."""
    from sertool.evaluation import card
    from sertool.formats import checkpoint as checkpoints
    from sertool.formats import repository

    text = None
    if path == Path(box.NAME) and not path.exists():
        found = box.model()
        if found is None:
            raise InputError("box: this installation has no model")
        if options.report or options.licence or options.language:
            raise UsageError("box has its own card: no --report, --licence or --language")
        path, text = found, box.card()
    content = checkpoints.read(path)
    model = checkpoints.parse(content, show(path))
    if text is None:
        given = options.report, options.licence, options.language
        text = card.card(model, name, source, *given, console.warn)
        if not options.report:
            console.warn("no --report: the card says that nobody knows how good the model is")
        if options.licence is None:
            console.warn("no --licence: the card says that none was named")
    onnx = None if options.onnx is None else _exported(options.onnx, model, show(path))
    return repository.contents(model, content, onnx, text)


def _exported(path: Path, model: Checkpoint, name: str) -> bytes:
    """Return the bytes of an ONNX model; InputError where it was exported from another one."""
    from sertool.formats import onnx

    found = onnx.load(path)
    last = found.header.lineage[-1:]
    if not last or last[0].stage != "export" or last[0].input.sha256 != model.identity:
        raise InputError(f"{show(path)}: is not {name} exported")
    return found.content


COMMAND = Command(
    "push",
    push,
    """sertool push model.0.ckpt model/ --report report.json --licence cc-by-4.0

    sertool push box box/ # the model that comes with sertool

    On the hub: sertool push model.ckpt hf:OWNER/NAME, with the token in HF_TOKEN.

    Exit codes: 0 done, 2 wrong usage, 3 files that cannot be read or do not go together, or a
    model is there already.
    """,
)
