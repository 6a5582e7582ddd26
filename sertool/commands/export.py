"""export: a checkpoint as an ONNX model, which predicts without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.core.errors import InputError
from sertool.core.options import Argument, Command, RunOptions
from sertool.core.paths import show
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.formats.checkpoint import Checkpoint


def export(
    checkpoint: Annotated[Path, Argument("CHECKPOINT", "The model.")],
    output: Annotated[Path, Argument("MODEL", "The ONNX model to write (.onnx).")],
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write the model of `checkpoint` as an ONNX model that `sertool predict` takes, without torch.

    It holds all that predict needs: the pipeline, the classes, the temperature, the normalisation;
    and the licences of the corpora that it was trained on. What it was trained on, recording by
    recording, stays in the checkpoint, which eval needs.

    Raises UsageError for a model that has no graph, InputError for a checkpoint that cannot be read
    and for an ONNX model that says anything else than its checkpoint.
    """
    from sertool.evaluation import onnx_scoring
    from sertool.formats import checkpoint as files
    from sertool.formats import lineage, onnx
    from sertool.formats.onnx_graph import Graph
    from sertool.formats.outputs import check_output
    from sertool.formats.reuse import Made, State, decide
    from sertool.models.scoring import Scorer

    console = console or Console.silent()
    check_output(output, run.force, run.resume, [checkpoint])
    if onnx.is_onnx(checkpoint):
        raise InputError(f"{show(checkpoint)}: is an ONNX model already")
    model = files.load(checkpoint)
    step = lineage.record("export", {}, checkpoint.name, model.identity)
    state = decide(
        output,
        step,
        lambda path: Made(onnx.load(path).meta["lineage"][-1]),
        console,
        resume=run.resume,
        force=run.force,
    )
    if state is State.WHOLE:
        return
    scorer = Scorer.of(model, path=show(checkpoint))
    graph = Graph()
    graph.output("posterior", scorer.graph(graph), ("items", len(scorer.outputs)))
    meta = onnx.described(model.meta)
    meta |= {"lineage": [*model.meta["lineage"], step], "licences": _licences(model)}
    content = onnx.packed(graph.to_bytes(), meta)
    away = onnx_scoring.difference(scorer, onnx.parse(content, show(output)))
    onnx.save(content, output)
    console.note(
        f"{show(output)}: {len(content) / 1e6:.2f} MB; its posteriors are those of the checkpoint"
        f" to {away:.1g}"
    )


def _licences(model: Checkpoint) -> dict[str, str | None]:
    """Return the licence of each corpus that a model was trained on; None where it is not known."""
    from sertool import corpora

    known = set(corpora.names())
    names = sorted({item.corpus for item in model.items if item.corpus and item.part != "test"})
    return {n: corpora.load(n).licence or None if n in known else None for n in names}


COMMAND = Command(
    "export",
    export,
    """sertool export model.ckpt model.onnx

    sertool predict model.onnx recordings/  # with ONNX Runtime, without torch

    Exit codes: 0 done, 2 wrong usage or a model that has no graph, 3 a checkpoint that cannot be
    read.
    """,
)
