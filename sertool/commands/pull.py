"""pull: the checkpoint of a model repository that `push` made, from a folder or from the hub."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sertool.commands.push import PLACE
from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.ui.console import Console


@dataclass(frozen=True)
class PullOptions(Options):
    """Which state of a repository is taken."""

    revision: str | None = option(
        None,
        "Branch, tag or commit of the repository on the hub.",
        metavar="REVISION",
        unset="main",
    )


def pull(
    place: Annotated[str, Argument("FOLDER|hf:OWNER/NAME", PLACE)],
    output: Annotated[
        Path, Argument("MODEL", "The model to write: .ckpt, or .onnx if it has one.")
    ],
    options: PullOptions = PullOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write the model of a folder, verified by size, SHA-256 and its own checksum.

    Raises InputError for a folder that `push` did not make, and for what is not as it was pushed.
    """
    from sertool.extras import hub
    from sertool.formats import checkpoint, onnx, repository
    from sertool.formats.outputs import atomic, check_output

    console = console or Console.silent()
    remote = hub.repository_of(place)
    exported = output.suffix == onnx.SUFFIX
    name = repository.ONNX if exported else repository.MODEL
    inputs = [] if remote else [Path(place) / name]
    check_output(output, run.force, run.resume, inputs)
    shown = show(place)
    if remote is None:
        if options.revision is not None:
            raise UsageError("--revision is for hf:OWNER/NAME")
        content = repository.fetch(Path(place), name, shown)
    else:
        with tempfile.TemporaryDirectory() as folder:
            hub.download(remote, (repository.CONFIG, name), Path(folder), options.revision)
            content = repository.fetch(Path(folder), name, shown)
    model = (onnx if exported else checkpoint).parse(content, f"{shown}: {name}")
    if run.resume and not run.force and output.exists():
        if output.read_bytes() != content:
            raise InputError(f"{show(output)}: exists, of another model; --force replaces it")
        console.note(f"{show(output)}: already complete")
        return
    with atomic(output) as temporary:
        temporary.write_bytes(content)
    console.note(f"{show(output)}: model {show(model.header.model.name)}@{model.identity[:12]}")


COMMAND = Command(
    "pull",
    pull,
    """sertool pull model/ pulled.ckpt

    From the hub: sertool pull hf:OWNER/NAME model.ckpt --revision v1, with the token of a private
    repository in HF_TOKEN.

    Exit codes: 0 done, 2 wrong usage, 3 no model there, one that is damaged, or the output exists.
    """,
)
