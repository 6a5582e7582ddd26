"""augment: a store to one with augmented copies of its items, each linked to its origin."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sertool import augmentations
from sertool.augmentations import PANELS, Steps
from sertool.commands.featurize import compress
from sertool.core import boxes
from sertool.core.errors import UsageError
from sertool.core.executors import Executor
from sertool.core.options import (
    Argument,
    Command,
    Options,
    RunOptions,
    executor,
    seed,
    shard,
    workers,
)
from sertool.core.settings import option
from sertool.core.shard import Shard
from sertool.items import PARTS
from sertool.ui.console import Console

RECORDED = frozenset({"noise", "reverb"})  # augmentations that read recordings of their own


def _masks(texts: Any) -> Any:
    """Return the masks by name that a text, or several, list."""
    if not isinstance(texts, str | list):
        return texts
    text = texts if isinstance(texts, str) else ",".join(texts)
    return augmentations.read_steps("--spec-augment", text)


@dataclass(frozen=True)
class AugmentOptions(Options):
    """How copies are made; each augmentation adds its own options."""

    copies: int = option(1, "Copies of each original.", least=1)
    only_copies: bool = option(False, "Leave the originals out.")
    part: str = option("train", "Where items have a part, copy only this one.", choices=PARTS)
    spec_augment: dict[str, Any] = option(
        {},
        "Masks by name, time-mask=T:N:P,freq-mask=F:N, e.g. time-mask=40:2,freq-mask=15:2. The"
        " item's mean replaces masked values. train --augment draws new masks in every epoch.",
        metavar="LIST",
        panel=PANELS["frames"],
        read=_masks,
    )
    compress: str = compress()
    seed: int = seed()
    shard: str | None = shard()
    workers: int = workers()
    executor: str | Executor = executor()

    def check(self) -> None:
        """Raise UsageError for a mask or shard that is none, or a range the wrong way round."""
        Shard.read(self.shard)
        known = augmentations.suiting("frames")
        strange = sorted(set(self.spec_augment) - set(known))
        if strange:
            raise UsageError(f"--spec-augment {', '.join(strange)}: needs {' or '.join(known)}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == augmentations.Range | None and value is not None:
                augmentations.check_range(f"--{field.name.replace('_', '-')} ", value)

    @classmethod
    def complete(cls) -> Any:
        """Return the class with the options of all augmentations."""
        fields = augmentations.command_line()
        return dataclasses.make_dataclass(cls.__name__, fields, bases=(cls,), frozen=True)

    @property
    def steps(self) -> Steps:
        """The augmentations that were asked for, each with its values in order."""
        return augmentations.steps_of(self) | self.spec_augment


def augment(
    source: Annotated[Path, Argument("STORE", "A store of waveforms, pictures or features.")],
    output: Annotated[Path, Argument("STORE", "The store to write.")],
    options: AugmentOptions,
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Path:
    """Write `source`'s items and augmented copies of each chosen item as the store `output`.

    Returns the file written.
    Of items with a `part` those of `options.part` are copied, of the others all. Raises UsageError
    for an augmentation of something else than `source` holds, InputError where nothing changes that
    or it holds copies already.
    """
    from sertool.augmentations.stores import Copying, write_store
    from sertool.formats.building import Run

    steps = options.steps
    if not steps:
        raise UsageError("nothing to do: name an augmentation, e.g. --awgn 15:30")
    building = Run(
        console or Console.silent(), options.workers, run.resume,
        compress=options.compress, executor=options.executor,
        limits=boxes.limits() if RECORDED.intersection(steps) else None,
    )  # fmt: skip
    copying = Copying(options.copies, options.only_copies, options.part, options.seed)
    shard = Shard.read(options.shard)
    return write_store(source, output, steps, copying, building, run.force, shard)


COMMAND = Command(
    "augment",
    augment,
    """A copy keeps its origin's label, speaker, fold and part; train uses it only where its origin
    is in training, and eval leaves it out. Its random values are in the field augmentation.
    For pictures and features, train --augment does the same on the fly and stores nothing.

    sertool augment --awgn 15:30 --copies 2 wave.h5 noisy.h5

    sertool augment --pitch -2:2 --noise musan/noise --reverb rooms wave.h5 more.h5

    sertool augment --shift 0.1 --zoom 0.1 --flip --copies 20 pictures.h5 moved.h5

    Exit codes: 0 done, 1 a noise or room recording failed, 2 wrong usage, 3 cannot start.
    """,
)
