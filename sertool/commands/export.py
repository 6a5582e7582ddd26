"""export: a checkpoint as an ONNX model, which predicts without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sertool.core.errors import InputError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.formats.checkpoint import Checkpoint
    from sertool.formats.onnx import OnnxModel
    from sertool.formats.onnx_int8 import Int8
    from sertool.models.scoring import Scorer


@dataclass(frozen=True)
class ExportOptions(Options):
    """How exactly the model is kept."""

    int8: Path | None = option(
        None,
        "Networks in 8 bits: ranges by training items of this store, the cost by held-out ones.",
        metavar="STORE",
    )


def export(
    checkpoint: Annotated[Path, Argument("CHECKPOINT", "The model.")],
    output: Annotated[Path, Argument("MODEL", "The ONNX model to write (.onnx).")],
    options: ExportOptions = ExportOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write the model of `checkpoint` as an ONNX model that `sertool predict` takes, without torch.

    It holds all that predict needs: the pipeline, the classes, the temperature, the normalisation;
    and the licences of the corpora that it was trained on. What it was trained on, recording by
    recording, stays in the checkpoint, which eval needs.

    With `int8` the networks in it have weights and maps of 8 bits: a third of the size, and other
    posteriors. What that costs is printed, and kept in the file.

    Raises UsageError for a model that has no graph, or no network for `int8`; InputError for a
    checkpoint or store that cannot be read, and for an ONNX model that says anything else than its
    checkpoint.
    """
    from sertool.evaluation import onnx_scoring
    from sertool.formats import checkpoint as files
    from sertool.formats import lineage, onnx
    from sertool.formats.outputs import check_output
    from sertool.formats.reuse import Made, State, decide
    from sertool.models.scoring import Scorer

    console = console or Console.silent()
    check_output(output, run.force, run.resume, [checkpoint])
    if onnx.is_onnx(checkpoint):
        raise InputError(f"{show(checkpoint)}: is an ONNX model already")
    model = files.load(checkpoint)
    params = {} if options.int8 is None else {"int8": _sha256(options.int8)}
    step = lineage.record("export", params, checkpoint.name, model.identity)
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
    meta = onnx.described(model.meta)
    meta |= {"lineage": [*model.meta["lineage"], step], "licences": _licences(model)}
    content = onnx.packed(_graph(scorer), meta)
    made = onnx.parse(content, show(output))
    away = onnx_scoring.difference(scorer, made)
    if options.int8 is None:
        said = f"its posteriors are those of the checkpoint to {away:.1g}"
    else:
        content, said = _in_8_bits(scorer, made, checkpoint, options.int8)
    onnx.save(content, output)
    console.note(f"{show(output)}: {len(content) / 1e6:.2f} MB; {said}")


def _graph(scorer: Scorer, change: Int8 | None = None) -> bytes:
    """Return the graph of a model, without metadata; change: what its networks become."""
    from sertool.formats.onnx_graph import Graph

    graph = Graph(change)
    graph.output("posterior", scorer.graph(graph), ("items", len(scorer.outputs)))
    return graph.to_bytes()


def _sha256(path: Path) -> str:
    from sertool.formats.store import Store

    with Store(path) as store:
        return store.sha256


def _in_8_bits(scorer: Scorer, exact: OnnxModel, checkpoint: Path, path: Path) -> tuple[bytes, str]:
    """Return the file of a model in 8 bits, and what it costs in one line."""
    from sertool.evaluation import heldout, int8
    from sertool.evaluation.fused import by_speaker
    from sertool.evaluation.onnx_scoring import OnnxScorer
    from sertool.formats import onnx
    from sertool.formats.onnx_int8 import Int8
    from sertool.models import speaker_store

    before, test = OnnxScorer(exact, show(checkpoint)), heldout.load_test(checkpoint)
    with speaker_store.opened(path, by_speaker(test.header.protocol)) as store:
        change = Int8([before.feeds([array]) for array in int8.examples(test, store)])
        meta: dict[str, Any] = exact.meta | {
            "int8": {"items": len(change.feeds), "store": store.sha256}
        }
        graph = _graph(scorer, change)
        if not change.changed:
            raise UsageError(f"--int8: is of networks, and {scorer.name} has none")
        after = OnnxScorer(onnx.parse(onnx.packed(graph, meta), "model"), "the ONNX model")
        cost = int8.cost(before, after, test, store)
    size = f"in 32 bits {len(exact.content) / 1e6:.2f} MB"
    if cost is None:
        said = "what 8 bits cost is not known: no recordings with classes were held out"
    else:
        said = str(cost)
        meta["int8"] |= {name: value for name, value in asdict(cost).items() if name != "ratio"}
    return onnx.packed(graph, meta), f"{size}; {said}"


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

    sertool export model.ckpt small.onnx --int8 features.h5

    Exit codes: 0 done, 2 wrong usage or a model that has no graph, 3 a checkpoint that cannot be
    read.
    """,
)
