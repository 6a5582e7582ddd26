"""sweep: options of train are compared on inner folds, each run an ordinary checkpoint per fold."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sertool.core.errors import InputError
from sertool.core.options import Argument, Command, Options, RunOptions, declared, shared
from sertool.core.paths import MOST_TOML, show, text_of
from sertool.ui.console import Console
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.evaluation.report import Report
    from sertool.evaluation.search import Search, Values
    from sertool.evaluation.search_results import Run
    from sertool.formats.store import Store

PLAN, TABLE, RUNS = "plan.json", "sweep.json", "runs"  # in the folder of a sweep
REPORT = "report.json"  # in that of a run
FINAL = "final.ckpt"  # what the line for the final training calls its checkpoint


@dataclass(frozen=True)
class SweepOptions(Options):
    """How a sweep works; what it searches is in its file."""

    parallel: int = shared(
        1,
        "Train this many inner folds of a run at once, each in a process of its own. The"
        " checkpoints are the same.",
        metavar="N",
        least=1,
    )


@dataclass(frozen=True)
class Sweep:
    """What a sweep gave.

    runs: each with `number`, `values` by option, and `uar`, the mean over the inner folds; the best
    first. lines: the commands for the final training and its test.

    >>> _ = Path("search.toml").write_text("test-fold = 0\\n[search]\\nset.C = [1]\\n")
    >>> found = sweep(Path("search.toml"), Path("mel.h5"), Path("few"))
    >>> [run.number for run in found.runs], "it is the best of 1 run," in found.warning
    ([1], True)
    """

    search: Search
    runs: list[Run]
    lines: list[str]

    @property
    def warning(self) -> str:
        """What to think of the best score."""
        return (
            f"{100 * self.runs[0].uar:.1f} % is optimistic: it is the best of"
            f" {plural(len(self.runs), 'run')}, chosen by this very score on these inner folds."
        )


def sweep(
    spec: Annotated[Path, Argument("SPEC.toml", "What to search: see docs/howto/sweep.md.")],
    store: Annotated[Path, Argument("STORE", "A feature store.")],
    output: Annotated[Path, Argument("OUT", "The folder to make, with every run.")],
    options: SweepOptions = SweepOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Sweep:
    """Train and test every run of `spec` on inner folds of `store`; write the folder `output`.

    Raises InputError where specification, store or folder cannot be used, UsageError where a
    package that it needs is not installed.
    """
    from sertool.evaluation import search, search_results
    from sertool.formats.outputs import atomic, take_place
    from sertool.formats.store import Store

    console = console or Console.silent()
    found = search.read(spec)
    with Store(store) as opened:
        plan = search.plan(found, opened)
        _check_folder(output, plan, run)
        search.check(found, opened, console)
        opened.check_features()  # once, for all runs
        # what is to be replaced stays until all runs are made
        aside = run.force and (output / PLAN).exists()
        folder = output.with_name(f".{output.name}.new") if aside else output
        _begin(folder, plan, run.resume, aside)
        runs = _run_all(found, opened, folder, options.parallel, run, console)
    best = search_results.ordered(runs)
    lines = _lines(found, store, best[0].values)
    made = Sweep(found, best, lines)
    rows = [dataclasses.asdict(one) for one in best]
    for path in search_results.draw(found, best, folder):
        console.note(f"{show(output / path.name)}")
    with atomic(folder / TABLE) as temporary:
        told = {"runs": rows, "chosen_among": len(rows), "final": lines}
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if aside:
        take_place(folder, output)
        _remove(folder)
    return made


def _check_folder(output: Path, plan: str, run: RunOptions) -> None:
    """Raise an error where a folder is in the way, or is of another sweep."""
    from sertool.formats.outputs import check_output, claim

    if output.parent.is_dir() and not output.is_symlink():
        claim(output)
    if not output.is_dir():
        if os.path.lexists(output):
            raise InputError(f"{show(output)}: is no folder; name another")
        check_output(output, force=False)
        return
    if not any(output.iterdir()):
        return
    kept = output / PLAN
    try:
        old = text_of(kept, most=MOST_TOML)
    except OSError as error:
        raise InputError(f"{show(output)}: holds something, and no sweep; name another") from error
    if run.force:
        if Path.cwd().is_relative_to(output.resolve()):
            raise InputError(f"{show(output)}: the working folder is in it; name another")
        return
    if not run.resume:
        raise InputError(
            f"{show(output)}: holds a sweep; --resume goes on with it, --force replaces it"
        )
    if old != plan:
        raise InputError(
            f"{show(output)}: is of another sweep or store; --force replaces it, or name another"
        )


def _begin(folder: Path, plan: str, resume: bool, aside: bool) -> None:
    """Make the folder of a sweep; of one that was begun aside, only its own plan is kept.

    Raises InputError for what lies there and is no sweep.
    """
    from sertool.formats.outputs import atomic

    if aside and os.path.lexists(folder):
        ours = folder.is_dir() and not folder.is_symlink()
        try:
            old = text_of(folder / PLAN, most=MOST_TOML) if ours else ""
        except OSError:
            old = ""
        if not ours or (not old and any(folder.iterdir())):
            raise InputError(f"{show(folder)}: is in the way, and no sweep; move it elsewhere")
        if not resume or old != plan:
            _remove(folder)
    folder.mkdir(exist_ok=True)
    with atomic(folder / PLAN) as temporary:
        temporary.write_text(plan, encoding="utf-8")
    (folder / RUNS).mkdir(exist_ok=True)


def _remove(folder: Path) -> None:
    """Remove a sweep, last what says that it is one: who is killed meanwhile leaves a sweep."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == PLAN):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()


def _run_all(
    found: Search, store: Store, output: Path, parallel: int, run: RunOptions, console: Console
) -> list[Run]:
    """Return all runs in the order in which they were made, or had been made before."""
    from sertool.evaluation.search_results import run_of

    made: list[Run] = []
    there = 0
    waiting = found.candidates()
    total = None if found.spec.sampler == "tpe" else len(found.examples())
    with console.progress(total, "runs") as progress:
        values = next(waiting, None)
        while values is not None:
            number = len(made) + 1
            folder = output / RUNS / f"{number:03d}"
            there += (folder / REPORT).exists()
            report = _report(found, store, folder, number, values, parallel, run)
            made.append(run_of(number, values, report))
            console.event(event="run", run=number, values=values, uar=made[-1].uar)
            progress.advance(uar=made[-1].uar)
            try:
                values = waiting.send(made[-1].uar)
            except StopIteration:
                break
    if there:
        console.note(f"{there} of {plural(len(made), 'run')} had been made before")
    return made


def _report(
    found: Search,
    store: Store,
    folder: Path,
    number: int,
    values: Values,
    parallel: int,
    run: RunOptions,
) -> Report:
    """Return the report of a run: the one that is there, or of checkpoints trained now."""
    from sertool.evaluation import search, testing
    from sertool.evaluation.options import EvalOptions
    from sertool.evaluation.report import Report, dumps, read
    from sertool.formats.outputs import atomic, naming
    from sertool.training.folds import train_store

    tags, target, log = search.tags(number, values), folder / REPORT, folder / "train.log"
    if not target.exists():
        folder.mkdir(exist_ok=True)
        options = found.options(values, parallel)
        with Console.silent("train", log) as quiet, naming([]):
            own = RunOptions(plugin=run.plugin, resume=True)
            paths = train_store(store.path, folder / "{fold}.ckpt", options, own, quiet)
        tested = EvalOptions(tags=tags, device=options.device)
        report = testing.evaluate(paths, store.path, tested, Console.silent("eval"), logs=[log])
        with atomic(target) as temporary:
            temporary.write_text(dumps(report), encoding="utf-8")
    kept = read(target)
    if not isinstance(kept, Report) or kept.tags != tags:
        raise InputError(f"{show(target)}: is not of run {number}; --force begins anew")
    return kept


def _lines(found: Search, store: Path, values: Values) -> list[str]:
    """Return the commands that train the model chosen on all training folds, and test it."""
    from sertool.commands.retrace import flags_of
    from sertool.training.options import TrainOptions

    known = {one.name: one for one in declared(TrainOptions)}
    given = {name: known[name].read(value) for name, value in found.final(values).items()}
    held = found.spec.test_fold
    given |= {} if held is None else {"test_fold": str(held)}
    train = ["sertool", "train", os.fspath(store), FINAL, *map(str, flags_of(TrainOptions, given))]
    tested = [["sertool", "eval", FINAL, os.fspath(store)]] if found.held else []
    return [shlex.join(words) for words in (train, *tested)]


def _show(made: Sweep, options: SweepOptions, console: Console) -> None:
    """Print the runs, what to think of the best, and how to train it."""
    from sertool.evaluation.search_results import table
    from sertool.ui.tables import render

    print(render(table(made.search, made.runs), made.warning, "", *made.lines, wrap=False))


COMMAND = Command(
    "sweep",
    sweep,
    """sertool sweep search.toml features.h5 sweep/

    sertool sweep search.toml features.h5 sweep/ --resume --parallel 2

    The file says what to try, and which fold is held out of everything: test-fold = 0, a table
    [train] of options that all runs share, and a table [search] of lists, lr = [1e-4, 1e-3], or
    set.C = [0.1, 1.0] for a model's own settings. sampler is grid, random or tpe.

    Exit codes: 0 done, 2 wrong usage, 3 specification, store or folder cannot be used.
    """,
    show=_show,
    threads=None,
)
