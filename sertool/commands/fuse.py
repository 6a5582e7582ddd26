"""fuse: several checkpoints to one that says the weighted mean of what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sertool.core.environment import environment
from sertool.core.errors import UsageError
from sertool.core.options import Argument, Command, Options, RunOptions
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.ui.console import Console
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.formats.checkpoint import Checkpoint
    from sertool.formats.lineage import Source


def _numbers(texts: Any) -> tuple[float, ...]:
    """Return the numbers that a text, or several, list, joined by commas."""
    words = texts.split(",") if isinstance(texts, str) else texts
    try:
        return tuple(float(part) for word in words for part in str(word).split(","))
    except ValueError:
        raise UsageError("--weights: needs numbers, joined by commas") from None


@dataclass(frozen=True)
class FuseOptions(Options):
    """How much each member counts: alike, as `weights` says, or as suits items of `fit_on` best.

    Those were validated on, or held out by the checkpoints of `inner`.
    """

    weights: tuple[float, ...] = option(
        (),
        "Each checkpoint's weight, in their order (default: all alike).",
        metavar="W,W",
        read=_numbers,
    )
    fit_on: Path | None = option(
        None,
        "Fit the weights to the items of this store that were validated on, trained on by none, or"
        " to what the --inner checkpoints held out.",
        metavar="STORE",
    )
    inner: tuple[Path, ...] = option(
        (),
        "With --fit-on: fused from the same models, trained without what is held out here, and"
        " tested on a part of the rest. Repeatable: a checkpoint for each inner fold.",
        metavar="CHECKPOINT",
    )

    def check(self) -> None:
        """Raise UsageError for weights that are given and to be fitted."""
        if self.weights and self.fit_on:
            raise UsageError("--weights and --fit-on exclude each other")
        if self.inner and not self.fit_on:
            raise UsageError("--inner: needs --fit-on STORE, the features that they are tested on")


def fuse(
    checkpoints: Annotated[
        list[Path], Argument("CHECKPOINT", "Two checkpoints or more; their features may differ.")
    ],
    output: Annotated[Path, Argument("CHECKPOINT", "The checkpoint to write.")],
    options: FuseOptions = FuseOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write the checkpoint `output`, whose posteriors are the mean of those of `checkpoints`.

    Raises UsageError for weights that do not fit, InputError for checkpoints that cannot be read or
    do not go together.
    """
    from sertool.evaluation import fused, fused_weights
    from sertool.formats import checkpoint as files
    from sertool.formats import lineage
    from sertool.formats.outputs import check_output
    from sertool.formats.reuse import Made, State, decide

    console = console or Console.silent()
    store = options.fit_on
    read = [*checkpoints, *options.inner, *([store] if store else [])]
    check_output(output, run.force, run.resume, read)
    members = [files.load(path) for path in checkpoints]
    inner = {path: files.load(path) for path in options.inner}
    made = fused.fuse(members, [show(path) for path in checkpoints])
    if options.weights:
        made = fused_weights.weighted(made, options.weights)
    if store is not None:
        made = fused_weights.fitted(made, store, inner, console)
    hashes = [member.identity for member in members]
    params = {
        "members": [list(p) for p in zip([p.name for p in checkpoints], hashes, strict=True)],
        "weights": made.meta["model"]["settings"]["weights"],
        "fit_on": store.name if store else None,
        **({"inner": [[path.name, one.identity] for path, one in inner.items()]} if inner else {}),
    }
    step = lineage.record(
        "fuse",
        params,
        checkpoints[0].name,
        hashes[0],
        sources=_sources(dict(zip(checkpoints[1:], members[1:], strict=True)), inner, store),
    )
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
    made.meta["lineage"] = [*members[0].meta["lineage"], step]
    made.meta[files.ENVIRONMENT] = environment()
    files.save(made, output)
    _tell(made, output, console)


def _sources(
    members: Mapping[Path, Checkpoint], inner: Mapping[Path, Checkpoint], store: Path | None
) -> list[Source]:
    """Return the members after the first, and what the weights are fitted to."""
    from msgspec import convert

    from sertool.formats.lineage import Record, Source
    from sertool.formats.store import Store

    found = [
        Source(path.name, one.identity, "checkpoint", option, lineage=one.header.lineage)
        for option, several in {"": members, "--inner": inner}.items()
        for path, one in several.items()
    ]
    if store is not None:
        with Store(store) as opened:
            made = convert(opened.lineage, list[Record])
            found.append(Source(store.name, opened.sha256, "store", "--fit-on", made))
    return found


def _tell(made: Checkpoint, output: Path, console: Console) -> None:
    """Say what was made, and where it cannot be tested."""
    settings = made.meta["model"]["settings"]
    shares = zip(settings["members"], settings["weights"], strict=True)
    told = ", ".join(f"{name} {weight:.3g}" for name, weight in shares)
    console.note(f"{show(output)}: the mean of {told}")
    if made.meta["kind"] == "wave":
        rate = made.meta["sample_rate"]
        console.note(
            "its members' features differ: test it on a store of waveforms (featurize --kind wave"
            f" --sample-rate {rate})"
        )
    held = len(made.part("test"))
    if held:
        console.note(f"{plural(held, 'item')} held out by every member that knows them")
    else:
        console.warn("no item is held out by every member: eval needs --all and other items")


COMMAND = Command(
    "fuse",
    fuse,
    """sertool fuse seed0.ckpt seed1.ckpt seed2.ckpt ensemble.ckpt

    sertool fuse network.ckpt functionals.ckpt both.ckpt --weights 0.6,0.4

    sertool fuse network.ckpt functionals.ckpt fitted.ckpt --fit-on wave.h5 # after train --val 0.2

    sertool fuse network.ckpt functionals.ckpt inner-fitted.ckpt --fit-on wave.h5 --inner inner.ckpt

    Exit codes: 0 done, 2 wrong usage, 3 checkpoints that cannot be read or do not go together.
    """,
)
