"""featurize: audio files, or a store of waveforms, become a store of features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sertool.core import boxes
from sertool.core.errors import UsageError
from sertool.core.executors import Executor
from sertool.core.options import (
    Argument,
    Command,
    FileOptions,
    Options,
    RunOptions,
    executor,
    nested,
    shard,
    strict,
    workers,
)
from sertool.core.settings import option
from sertool.core.shard import Shard
from sertool.corpora import CORPORA
from sertool.features.spec import ENCODED, FeaturizeSpec
from sertool.models.hyperparameters import DEVICES
from sertool.ui.console import Console


def compress() -> str:
    """Return the field of `--compress`."""
    found: str = option("none", "Compression of the store.", choices=("none", "lzf", "gzip"))
    return found


@dataclass(frozen=True)
class FeaturizeOptions(Options):
    """The options of `featurize`; see `FeaturizeSpec`."""

    spec: FeaturizeSpec = nested(FeaturizeSpec)
    compress: str = compress()
    corpus: str = option(
        "auto",
        "How a folder is read (see: sertool list corpora).",
        metavar="auto|NAME|FILE.toml",
        choices=("auto", *CORPORA),
        open=True,
    )
    device: str = option(
        "cpu",
        "Where a pre-trained encoder (kind ssl) is computed; on a GPU, values differ by rounding.",
        choices=DEVICES,
    )
    strict: bool = strict()
    shard: str | None = shard()
    workers: int = workers()
    executor: str | Executor = executor()
    files: FileOptions = nested(FileOptions)

    def check(self) -> None:
        """Raise UsageError for a shard that is none."""
        Shard.read(self.shard)


def featurize(
    source: Annotated[
        str,
        Argument("INPUT", "Folder, manifest, store of waveforms, audio file, or - for a list."),
    ],
    output: Annotated[Path, Argument("STORE", "The store to write (.h5).")],
    options: FeaturizeOptions = FeaturizeOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Path:
    """Write the features of `source` as the store `output`; return the file written.

    `source` is a folder, a manifest, a store of waveforms, an audio file, or "-" (manifest lines
    or paths on standard input). Raises InputError where it cannot be used; a single file that
    cannot be read is reported through `console` and left out.
    """
    from sertool.features.stores import write_store
    from sertool.formats.building import Run

    if options.spec.kind == "ssl":
        from sertool.models import encoders

        encoders.compute_on(options.device)
    elif options.device != "cpu":
        raise UsageError(f"--device {options.device}: kind {options.spec.kind} is for the CPU")
    options.files.begin()
    building = Run(
        console or Console.silent(), options.workers, run.resume, options.strict, options.compress,
        options.executor, boxes.limits(models=options.spec.kind in ENCODED),
    )  # fmt: skip
    shard = Shard.read(options.shard)
    return write_store(source, output, options.spec, options.corpus, building, run.force, shard)


COMMAND = Command(
    "featurize",
    featurize,
    """sertool featurize --kind mel corpus/ features.h5

    sertool featurize --kind mfcc --set n_mfcc=13 --duration 3 manifest.jsonl mfcc.h5

    sertool featurize --kind mel corpus/ shared.h5 --shard 1/2

    sertool featurize --kind mel corpus/ shared.h5 --shard 2/2  # elsewhere; then it is whole

    Exit codes: 0 done, 1 done but a file could not be read, 2 wrong usage, 3 cannot start.
    """,
)
