"""Folders of recordings, each of several channels, separated one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sertool.core import boxes, executors, workers
from sertool.core.errors import InputError, ItemError, SertoolError, UsageError
from sertool.core.executors import Executor
from sertool.core.options import RunOptions
from sertool.core.paths import find_audio, show
from sertool.core.shard import Shard
from sertool.extras import sources
from sertool.extras.mixtures import check_folder, name_of
from sertool.extras.options import SeparateOptions, Separation
from sertool.ui.console import Console, Remembered, Told
from sertool.ui.words import plural


@dataclass(frozen=True)
class _Each:
    """Separates one recording; runs in a worker."""

    options: SeparateOptions
    run: RunOptions

    def __call__(self, task: tuple[Path, Path]) -> tuple[Separation | str, list[Told]]:
        """Return what was done, or why nothing was, and what the console is to be told."""
        mixture, folder = task
        console = Remembered("separate")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with boxes.file():
                made = sources.separate([mixture], folder, self.options, self.run, console)
        except (SertoolError, ItemError) as error:
            return str(error).removeprefix(f"{show(mixture)}: "), []
        return made, [one for one in console.told if one.method == "warn"]


def separate(
    source: Path,
    output: Path,
    options: SeparateOptions,
    run: RunOptions,
    shard: Shard | None,
    processes: int,
    executor: str | Executor,
    console: Console,
) -> list[Separation]:
    """Separate each recording below a folder; return what was done, in their order.

    The sources of `source/a/b.wav` become `output/a/b-1.wav` and so on. shard: which part of the
    recordings; processes: how many at once, 0 for one per core. One that cannot be separated is
    reported and left out. Raises InputError where nothing can be begun.
    """
    recordings, stray = find_audio(source)
    if not recordings:
        raise InputError(f"{show(source)}: no audio files in it")
    if stray:
        console.note(f"{show(source)}: skipped {plural(len(stray), 'file')} without audio")
    check_folder(output)
    if source.resolve() in (output.resolve(), *output.resolve().parents):
        raise UsageError(f"{show(output)}: lies in {show(source)}, whose recordings are separated")
    tasks = [(path, (output / path.relative_to(source)).parent) for path in recordings]
    part = shard.part(len(tasks)) if shard is not None else range(len(tasks))
    _check(tasks, part, run)
    tasks = tasks[part.start : part.stop]
    # what was there has been looked at; a task that is done again finds its own
    work = _Each(options, RunOptions(force=run.force or not run.resume, resume=run.resume))
    made = []
    count = processes or workers.cores()
    with (
        executors.opened(executor, console.note) as engine,
        closing(executors.spread(engine, work, tasks, count, boxes.limits())) as results,
        console.progress(len(tasks), "recordings") as progress,
    ):
        for (path, _), (found, told) in zip(tasks, results, strict=True):
            if isinstance(found, str):
                console.failed(show(path), found)
            else:
                made.append(found)
            for one in told:
                console.warn(f"{show(path)}: {one.texts[0]}")
            progress.advance()
    console.note(f"{show(output)}: the sources of {plural(len(made), 'recording')}")
    return made


def _check(tasks: Sequence[tuple[Path, Path]], part: range, run: RunOptions) -> None:
    """Raise InputError where outputs would be in each other's way, or a part's of what is there."""
    names: dict[Path, Path] = {}
    for i, (path, folder) in enumerate(tasks):
        first = folder / f"{name_of([path])}-1.wav"
        if first in names:
            raise InputError(
                f"{show(path)}: its sources would have the names of those of {show(names[first])}"
            )
        names[first] = path
        if i in part and os.path.lexists(first) and not (run.force or run.resume):
            raise InputError(f"{show(first)}: exists already; --force replaces it")
