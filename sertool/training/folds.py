"""How a store of features becomes one checkpoint, or one per fold."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core import ranks, workers
from sertool.core.environment import environment
from sertool.core.options import RunOptions, recorded
from sertool.core.paths import show
from sertool.formats import checkpoint as checkpoints
from sertool.formats import lineage
from sertool.formats.outputs import Parts, check_output, complete_set, job_of_parts
from sertool.formats.reuse import Made, State, decide
from sertool.models import Network, precision, speaker_store, speakers
from sertool.splits.division import Division
from sertool.training import group, per_field, provenance, summary, tracking
from sertool.training.fitting import fit
from sertool.training.job import Job, make_job
from sertool.training.options import TrainOptions
from sertool.ui.console import Console, Remembered, Told

FOLD = "{fold}"  # in an output's name: the number of the fold that it holds out


def train_store(
    source: Path, output: Path, options: TrainOptions, run: RunOptions, console: Console
) -> list[Path]:
    """Train a model on the store `source`; return the checkpoints written, one or one per fold.

    Under torchrun each process calls this, and the first writes and speaks.
    """
    group.check(options)
    with group.together():
        group.join(options.device)
        if ranks.follows(ranks.COMMAND):
            console, run = Console.silent(console.stage), dataclasses.replace(run, resume=False)
            options = dataclasses.replace(options, baselines=False)
        track = () if ranks.follows(ranks.COMMAND) else options.track
        with tracking.tracked(track, console):
            return _train_store(source, output, options, run, console)


def _train_store(
    source: Path, output: Path, options: TrainOptions, run: RunOptions, console: Console
) -> list[Path]:
    with _opened(source, options, console) as (job, divisions):
        if options.speaker_normalisation:
            console.note(speakers.NOTE)
        outputs = _outputs(output, divisions, options)
        for path in outputs if not ranks.follows(ranks.COMMAND) else ():
            for each in [path, _last(path)] if options.keep_last else [path]:
                check_output(each, run.force, run.resume, job.inputs)
        job = _settled(job, outputs, run)
        in_effect = dataclasses.asdict(job.model.settings) | dataclasses.asdict(job.hp)
        console.detail(f"in effect: {', '.join(f'{n} {v}' for n, v in in_effect.items())}")
        if not isinstance(job.model, Network):
            console.note(
                f"{job.model.name} is fitted in one step: one row per item is kept in memory"
            )
        for note in _take_shared(divisions):
            console.note(note)
        job.store.check_features()  # a damaged store is refused, whatever of it is trained on
        if options.parallel == 1 or len(divisions) == 1:
            if options.parallel > 1:
                console.note(f"--parallel {options.parallel}: there is one model to train")
            for division, path in zip(divisions, outputs, strict=True):
                _train_one(job, division, path, run)
            return outputs
    work = _Elsewhere(source, output, options, run)
    folds = range(len(outputs))
    with (
        closing(workers.ordered(work, folds, min(options.parallel, len(folds)), anew=True)) as made,
        console.progress(len(folds), "folds") as progress,
    ):
        for told in made:
            console.repeat(told)
            progress.advance()
    return outputs


@dataclass(frozen=True)
class _Elsewhere:
    """Trains the folds of a store one at a time, in a process that shares nothing."""

    source: Path
    output: Path
    options: TrainOptions
    run: RunOptions

    def __call__(self, number: int) -> list[Told]:
        """Train on the division of this number; return what the console is to be told."""
        self.run.check()  # plug-ins
        console = Remembered("train")
        with _opened(self.source, self.options, console) as (job, divisions):
            outputs = _outputs(self.output, divisions, self.options)
            job = _settled(job, outputs, self.run)
            _take_shared(divisions)
            console.told.clear()  # what was said of all folds has been said
            _train_one(job, divisions[number], outputs[number], self.run)
        return console.told


@contextmanager
def _opened(
    source: Path, options: TrainOptions, console: Console
) -> Iterator[tuple[Job, list[Division]]]:
    """Open a store; yield the job that the options describe, and the divisions to train on."""
    by_speaker = options.speaker_normalisation
    with speaker_store.opened(source, by_speaker) as store, ExitStack() as stack:
        job = make_job(store, options, console, stack)
        divisions = per_field.divisions(job)
        if by_speaker:
            used = {i for d in divisions for i in (*d.train, *d.val, *d.test)}
            speakers.check(store.items(), sorted(used), store.path)
        yield job, divisions


def _outputs(output: Path, divisions: Sequence[Division], options: TrainOptions) -> list[Path]:
    every = options.parts.test_fold == "all"
    return [_output(output, division.fold, every) for division in divisions]


def _take_shared(divisions: Sequence[Division]) -> list[str]:
    """Return the notes that all divisions have, and leave each those that are its own."""
    shared = [n for n in divisions[0].notes if all(n in d.notes for d in divisions)]
    for division in divisions:
        division.notes = [note for note in division.notes if note not in shared]
    return shared


def _output(output: Path, fold: int | None, every: bool) -> Path:
    """Return the checkpoint of a fold: `{fold}` filled in, or with all folds NAME.FOLD.SUFFIX."""
    if FOLD in output.name:
        return output.with_name(output.name.replace(FOLD, "none" if fold is None else str(fold)))
    return output.with_name(f"{output.stem}.{fold}{output.suffix}") if every else output


def _last(output: Path) -> Path:
    """Return the checkpoint of the last epoch beside that of the best."""
    return output.with_name(f"{output.stem}.last{output.suffix}")


def _settled(job: Job, outputs: Sequence[Path], run: RunOptions) -> Job:
    """Return the job with the precision that auto stands for.

    It is what the run chose that is resumed, on another machine, too; else the table's.
    """
    plan = job.plan
    if plan is None or job.hp.precision != precision.AUTO:
        return job
    kept = (_precision_of(path, run.force) for path in outputs) if run.resume else ()
    found = next(filter(None, kept), None)
    found, why = group.agreed(found), "chosen by the run that goes on"
    if found is None:
        kind = precision.kind(plan.device)
        found = group.agreed(precision.chosen(job.model.name, kind))
        why = precision.told(job.model.name, kind)
    job.console.note(f"precision: {found} ({why})")
    hp = dataclasses.replace(job.hp, precision=found)
    return dataclasses.replace(job, hp=hp, plan=dataclasses.replace(plan, hp=hp))


def _precision_of(output: Path, force: bool) -> str | None:
    """Return the precision of a run that ended in `output`, or left its parts there."""
    parts = job_of_parts(output)
    record = json.loads(parts) if parts else None
    if output.exists() and not force:
        record = _made(output).record
    found = ((record or {}).get("params") or {}).get("hyperparameters") or {}
    return found.get("precision")


def _params(job: Job, division: Division) -> dict[str, Any]:
    """Return every parameter that shapes the checkpoint: a fold's alone is that fold's of all."""
    params, plan = recorded(job.options), job.plan
    if division.fold is not None:
        params["parts"]["test_fold"] = str(division.fold)
    for name in ("overrides", "init_unlabelled"):
        del params[name]
    params |= {
        "settings": dataclasses.asdict(job.model.settings),
        "hyperparameters": (
            dataclasses.asdict(job.hp) if plan else {"class_weights": job.hp.class_weights}
        ),
        "device": plan.device.type if plan else "cpu",
        "init": plan.init.record if plan and plan.init else None,
        "unlabelled": plan.unlabelled.records if plan and plan.unlabelled else None,
        "augment": job.options.augment or None,
    }
    plain: dict[str, Any] = json.loads(lineage.canonical(params))
    return plain


def _sources(job: Job) -> list[lineage.Source]:
    """Return what was read beside the store."""
    init = job.plan.init if job.plan else None
    unlabelled = job.plan.unlabelled if job.plan else None
    return ([init.source] if init else []) + (unlabelled.sources if unlabelled else [])


def _made(path: Path) -> Made:
    return Made(checkpoints.load(path).meta["lineage"][-1])


def _train_one(job: Job, division: Division, output: Path, run: RunOptions) -> None:
    """Train on one division and write its checkpoint."""
    store, console = job.store, job.console
    record = lineage.record(
        "train", _params(job, division), store.path.name, store.sha256, sources=_sources(job)
    )
    outputs = [output, _last(output)] if job.options.keep_last else [output]
    if run.resume and not ranks.follows(ranks.COMMAND):
        complete_set(outputs)
    together = {"processes": ranks.count()} if ranks.count() > 1 else {}
    begun = record | {"params": record["params"] | together}  # as many go on, to the same bits
    state = decide(
        *(outputs, record, _made, console),
        resume=run.resume,
        force=run.force,
        job=begun if job.plan else None,
    )
    if group.agreed(state is State.WHOLE):
        return
    if ranks.follows(ranks.COMMAND):
        fit(job, division, record, lambda: None)
        return
    if not job.options.keep_last and _last(output).exists():
        console.warn(f"{show(_last(output))}: left as it is, from another training run")
    summary.announce(job, division)
    items = provenance.listed(store.items(), division, job.plan)
    start = functools.cache(lambda: Parts(output, begun, run.resume))
    if job.values:
        made, last = per_field.fit_each(job, division, record, start), None
    else:
        made, last = fit(job, division, record, start)
    kept = environment(job.plan.device.type if job.plan else "cpu")
    kept |= {name: str(n) for name, n in together.items()}
    made.items, made.meta[checkpoints.ENVIRONMENT] = items, kept
    if last is not None:
        last.items, last.meta[checkpoints.ENVIRONMENT] = items, kept
        checkpoints.save_together([(made, output), (last, _last(output))])
        console.note(f"{show(_last(output))}: the weights after the last epoch")
    else:
        checkpoints.save(made, output)
    if isinstance(job.model, Network):
        start().remove_all()
    summary.result(made, output, job.hp.epochs, console)
