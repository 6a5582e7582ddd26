"""What a run with `--resume` finds where its output goes, decided in one place for all stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.formats.lineage import canonical
from sertool.formats.outputs import job_of_parts, remove_left
from sertool.ui.console import Console


class State(Enum):
    """What is there: nothing, parts to continue with, or the whole output."""

    NOTHING = "nothing"
    PARTS = "parts"
    WHOLE = "whole"


@dataclass(frozen=True)
class Made:
    """What an output says of how it was made.

    record: the last of its lineage; {} where it has none. origins: the utterances in it, None
    where it does not list them.
    """

    record: Mapping[str, Any]
    origins: Collection[str] | None = None


def of_store(path: Path) -> Made:
    """Return how a store was made, and of which utterances; InputError where it is damaged."""
    from sertool.formats.store import Store

    with Store(path) as store:
        store.check_features()
        return Made(store.lineage[-1] if store.lineage else {}, set(store.column("origin")))


def of_side(path: Path) -> Made:
    """Return how a file without a header was made; InputError where nothing says that."""
    from sertool.formats.made import lineage_of

    lineage = lineage_of(path)
    if not lineage:
        raise InputError(
            f"{show(path)}: exists, and nothing says that it is what this command makes;"
            " --force replaces it"
        )
    return Made(lineage[-1])


def decide(
    outputs: Path | Sequence[Path],
    record: Mapping[str, Any] | None,
    read: Callable[[Path], Made] | None,
    console: Console,
    *,
    resume: bool,
    force: bool = False,
    origins: Iterable[str] | None = None,
    job: Mapping[str, Any] | None = None,
) -> State:
    """Return what a run finds where its output goes; without `resume` it starts afresh.

    record: what the run would record of itself; an empty SHA-256 of its input is not known yet, and
    then the input's name counts. read: returns what an output says of itself. Both are None where
    the output is known to be another, or none. origins: the utterances that the output
    may have; some may be missing from it, which is reported. job: describes the run's parts.
    Raises InputError for an output or parts of another run.
    """
    if not resume:
        return State.NOTHING
    paths = [outputs] if isinstance(outputs, Path) else list(outputs)
    there = [] if force else [path for path in paths if path.exists()]
    expected = None if origins is None else set(origins)
    remark = ""
    if record is not None and read is not None:
        remark = "".join([_compared(path, record, read(path), expected) for path in there])
    if len(there) == len(paths):
        shown = paths[0] if len(paths) == 1 else paths[0].parent
        console.note(f"{show(shown)}: already complete{remark}")
        for path in paths:
            remove_left(path)
        return State.WHOLE
    if there:
        missing = next(path for path in paths if path not in there)
        console.note(f"{show(missing)}: missing, so all outputs are made again")
    old = None if job is None else job_of_parts(paths[0])
    if job is None or old is None:
        return State.NOTHING
    if old != canonical(job):
        raise InputError(
            f"{show(paths[0])}: the parts beside it were made with other settings or input"
            f"{_difference(json.loads(old), job)}; run without --resume to start afresh"
        )
    return State.PARTS


def _compared(path: Path, wanted: Mapping[str, Any], made: Made, expected: set[str] | None) -> str:
    """Return what to say of utterances that an output of this run lacks; InputError for another."""
    if made.record.get("params") != wanted["params"]:
        raise InputError(
            f"{show(path)}: exists, made with other settings{_difference(made.record, wanted)};"
            " --force replaces it"
        )
    known = "sha256" if wanted["input"]["sha256"] else "name"
    origins = set(made.origins or ())
    strange = origins - expected if expected is not None else ()
    if strange or made.record["input"][known] != wanted["input"][known]:
        raise InputError(f"{show(path)}: exists, made of another input; --force replaces it")
    lacking = len(expected - origins) if expected is not None else 0
    if not lacking:
        return ""
    total = len(expected or ())
    return f"; {lacking} of {total} utterances are not in it, --force tries them again"


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return " (NAME, …)": the parameters in which two runs differ."""
    before, after = (
        found if isinstance(found, dict) else {} for found in (old.get("params"), new.get("params"))
    )
    names = [k for k in sorted({*before, *after}) if before.get(k) != after.get(k)]
    return f" ({', '.join(names)})" if names else ""
