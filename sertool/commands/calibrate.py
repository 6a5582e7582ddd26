"""calibrate: confidences that say how often a label is right, where the model is not at home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.core.environment import environment
from sertool.core.options import Argument, Command, RunOptions
from sertool.core.paths import show
from sertool.ui.console import Console
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.formats.checkpoint import Checkpoint


def calibrate(
    checkpoint: Annotated[Path, Argument("CHECKPOINT", "The model.")],
    report: Annotated[
        Path,
        Argument("REPORT", "Of eval --json: of this model, or of models trained alike on less."),
    ],
    output: Annotated[Path, Argument("CHECKPOINT", "The checkpoint to write.")],
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write `checkpoint` with the temperature of its posteriors fitted to the report's items.

    A model that is shipped has no item left to be calibrated on. Models trained alike on all folds
    but one have: of what each held out, pooled by eval, the temperature is taken that has the least
    log loss, classes alike. Labels stay as they are.

    Raises InputError for files that cannot be read or do not go together, and for a model that is
    calibrated already.
    """
    from sertool.evaluation import calibration
    from sertool.formats import checkpoint as files
    from sertool.formats import lineage
    from sertool.formats.outputs import check_output
    from sertool.formats.reuse import Made, State, decide

    console = console or Console.silent()
    check_output(output, run.force, run.resume, [checkpoint, report])
    made = files.load(checkpoint)
    params = {"report": lineage.file_sha256(report)}
    step = lineage.record("calibrate", params, checkpoint.name, made.identity)
    state = decide(
        output,
        step,
        lambda path: Made(files.load(path).meta["lineage"][-1]),
        console,
        resume=run.resume,
        force=run.force,
    )
    if state is State.WHOLE:
        return
    calibration.apply(made, show(checkpoint), report, console.warn)
    made.meta[files.ENVIRONMENT] = environment()
    made.meta["lineage"] = [*made.meta["lineage"], step]
    files.save(made, output)
    _tell(made, output, console)


def _tell(made: Checkpoint, output: Path, console: Console) -> None:
    found = made.header.calibration
    assert found is not None
    console.note(
        f"{show(output)}: temperature {found.temperature:.3g}, of {plural(found.items, 'item')};"
        f" calibration error {found.error_before:.3f} before, {found.error_after:.3f} after"
    )


COMMAND = Command(
    "calibrate",
    calibrate,
    """sertool calibrate model.0.ckpt report.json calibrated.ckpt

    Exit codes: 0 done, 2 wrong usage, 3 files that cannot be read or do not go together.
    """,
)
