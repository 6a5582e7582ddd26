"""The functions of the API: the stages of the command line, from objects to objects."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from sertool.api.calls import AnyPath, as_list, call
from sertool.api.models import Checkpoint
from sertool.api.reports import Audit, NumberReport, Report, printable
from sertool.api.results import Manifest, Store
from sertool.api.signatures import documented
from sertool.commands import augment as augmenting
from sertool.commands import calibrate as calibrating
from sertool.commands import convert as converting
from sertool.commands import evaluate as evaluating
from sertool.commands import export as exporting
from sertool.commands import featurize as featurizing
from sertool.commands import fuse as fusing
from sertool.commands import info as describing
from sertool.commands import merge as merging
from sertool.commands import prepare as preparing
from sertool.commands import pull as pulling
from sertool.commands import push as pushing
from sertool.commands import select as selecting
from sertool.commands import separate as separating
from sertool.commands import sweep as sweeping
from sertool.commands import train as training
from sertool.commands.sweep import Sweep
from sertool.core.errors import InputError
from sertool.core.options import Command
from sertool.evaluation import audit_files
from sertool.evaluation.options import AuditOptions
from sertool.extras.options import Separation
from sertool.formats import box
from sertool.formats import made as side
from sertool.formats.manifest import write_manifest
from sertool.ui.console import Console


@documented(preparing.COMMAND)
def prepare(
    corpora: AnyPath | Manifest | Sequence[AnyPath],
    manifest: AnyPath | None = None,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Manifest:
    """Return the utterances of corpora: paths, labels, speakers, and folds with `split`.

    corpora: one or several: a folder, a table (.csv, .tsv), a manifest, an audio file. manifest:
    the file to write (JSON Lines); none is written where it is None.

    >>> manifest = prepare("corpus", split="speakers:4")
    >>> len(manifest), sorted({item.label for item in manifest})
    (64, ['anger', 'happiness', 'neutral', 'sadness'])

    {options}
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        target = Path(folder) / "manifest.jsonl" if manifest is None else Path(manifest)
        sources = [stack.enter_context(_on_disk(one)) for one in as_list(corpora)]
        given = {"corpora": sources, "manifest": target}
        items, failures = call(preparing.COMMAND, given, options, console, verbose)
        made = side.read(target)
    items = prepare(target) if items is None else items  # it was already complete
    return Manifest(items, None if manifest is None else target, failures, made)


@documented(featurizing.COMMAND)
def featurize(
    source: AnyPath | Manifest | Store,
    out: AnyPath,
    kind: str = "mel",
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Store:
    """Write the features of recordings as a store, and return it.

    source: a folder, a manifest, an audio file, or a store of waveforms (kind "wave"). out: the
    file to write (.h5). kind: what is computed, see `sertool list kinds`; its settings can
    be given as keywords or as a dictionary `settings`. With `shard` "K/N", `out` is a folder, and
    the store that is returned is its file of that part alone.

    >>> store = featurize(prepare("corpus", split="speakers:4"), "new.h5", kind="mfcc", n_mfcc=13)
    >>> store.kind, len(store), store[0][0].shape
    ('mfcc', 64, (23, 13))

    {options}
    """
    options["kind"] = kind
    with _on_disk(source) as path:
        given = {"source": path, "output": out}
        made, failures = call(featurizing.COMMAND, given, options, console, verbose)
    return _opened(made, failures)


@documented(augmenting.COMMAND)
def augment(
    store: AnyPath | Store,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Store:
    """Write a store's items and augmented copies of them to a new store, and return it.

    store: of waveforms, pictures, or features over time. out: the file to write (.h5). A copy is
    linked to its original, whose label, speaker and fold it keeps. shard: as for `featurize`.

    >>> wave = featurize("corpus", "wave.h5", kind="wave")
    >>> noisy = augment(wave, "noisy.h5", awgn=(15, 30), copies=2)
    >>> len(wave), len(noisy), noisy[1][1].id
    (64, 192, 'demo/spk01/spk01_anger_s1_r1~1')

    {options}
    """
    given = {"source": store, "output": out}
    made, failures = call(augmenting.COMMAND, given, options, console, verbose)
    return _opened(made, failures)


@documented(merging.COMMAND)
def merge(
    stores: Sequence[AnyPath | Store],
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Store:
    """Write the items of several stores, in their order, to a new store, and return it.

    stores: of one kind and pipeline, with no item in common. out: the file to write (.h5).

    >>> first = select("mel.h5", "first.h5", where="fold=0")
    >>> others = select("mel.h5", "others.h5", where="fold!=0")
    >>> len(first), len(others), len(merge([first, others], "again.h5"))
    (16, 48, 64)

    {options}
    """
    given = {"stores": list(stores), "output": out}
    _, failures = call(merging.COMMAND, given, options, console, verbose)
    return _opened(out, failures)


@documented(selecting.COMMAND)
def select(
    store: AnyPath | Store,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Store:
    """Write some items of a store, in its order, to a new store, and return it.

    out: the file to write (.h5).

    >>> few = select("mel.h5", "few.h5", where=["label in anger,sadness", "speaker=spk01"])
    >>> len(few), few.classes
    (8, ['anger', 'sadness'])

    {options}
    """
    given = {"source": store, "output": out}
    _, failures = call(selecting.COMMAND, given, options, console, verbose)
    return _opened(out, failures)


@documented(converting.COMMAND)
def convert(
    source: AnyPath | Store,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Path:
    """Write a store for another tool, or what was written so as a store; return where it is.

    out: the file to write (.parquet, .npz), or with `to` the folder; else the store (.h5).

    >>> import numpy as np
    >>> arrays = np.load(convert("mel.h5", "mel.npz", force=True))
    >>> arrays["features"].shape, str(arrays["items/label"][0])
    ((1969, 40), 'anger')
    >>> open_store(convert("mel.npz", "back.h5", force=True))[5][1] == open_store("mel.h5")[5][1]
    True

    {options}
    """
    call(converting.COMMAND, {"source": source, "output": out}, options, console, verbose)
    return Path(out)


@overload
def train(
    store: AnyPath | Store, out: AnyPath, model: str = "linear", *, test_fold: Literal["all"],
    console: Console | None = None, verbose: bool = False, **options: Any,
) -> list[Checkpoint]:  # fmt: skip
    """Train a model for each fold; return the checkpoints."""


@overload
def train(
    store: AnyPath | Store, out: AnyPath, model: str = "linear", *,
    test_fold: int | str | None = None,
    console: Console | None = None, verbose: bool = False, **options: Any,
) -> Checkpoint:  # fmt: skip
    """Train a model; return the checkpoint."""


@documented(training.COMMAND)
def train(
    store: AnyPath | Store,
    out: AnyPath,
    model: str = "linear",
    *,
    test_fold: int | str | None = None,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Checkpoint | list[Checkpoint]:
    """Train a model on a feature store, write the checkpoint, and return it.

    out: the file to write (.ckpt). model: see `sertool list models`; its settings can be given as
    keywords or as a dictionary `settings`. test_fold: the fold to hold out; with "all", each in
    turn, and a list of checkpoints (named after `out`: NAME.0.ckpt, …) is returned.

    >>> checkpoint = train("mel.h5", "new.ckpt", model="svm", C=2.0, test_fold=0)
    >>> checkpoint.model, checkpoint.classes
    ('svm', ['anger', 'happiness', 'neutral', 'sadness'])
    >>> [made.path.name for made in train("mel.h5", "fold.ckpt", test_fold="all")]
    ['fold.0.ckpt', 'fold.1.ckpt', 'fold.2.ckpt', 'fold.3.ckpt']

    {options}
    """
    options |= {"model": model, "test_fold": test_fold}
    given = {"store": store, "output": out}
    paths, _ = call(training.COMMAND, given, options, console, verbose)
    made = [Checkpoint.open(path) for path in paths]
    return made if test_fold == "all" else made[0]


@documented(sweeping.COMMAND)
def sweep(
    spec: AnyPath,
    store: AnyPath | Store,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Sweep:
    """Train and test on inner folds what a file asks to try, and return the runs, the best first.

    spec: a TOML file, see docs/howto/sweep.md. out: the folder to write, with every run's
    checkpoints and report.

    >>> _ = Path("search.toml").write_text("test-fold = 0\\n[search]\\nset.C = [0.01, 1]\\n")
    >>> found = sweep("search.toml", "mel.h5", "sweep")
    >>> sorted(run.values["set.C"] for run in found.runs), found.runs[0].uar >= found.runs[1].uar
    ([0.01, 1], True)
    >>> found.lines[0].startswith("sertool train mel.h5 final.ckpt --set C=")
    True

    {options}
    """
    given = {"spec": spec, "store": store, "output": out}
    made: Sweep
    made, _ = call(sweeping.COMMAND, given, options, console, verbose)
    return made


@documented(fusing.COMMAND)
def fuse(
    checkpoints: Sequence[AnyPath | Checkpoint],
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Checkpoint:
    """Write one checkpoint that says the weighted mean of what several say, and return it.

    checkpoints: two or more, of the same classes. out: the file to write (.ckpt).

    >>> seeds = [train("mel.h5", f"s{seed}.ckpt", test_fold=0, seed=seed) for seed in (0, 1)]
    >>> fuse(seeds, "both.ckpt", weights=[2, 1]).model
    'fused'

    {options}
    """
    given = {"checkpoints": list(checkpoints), "output": out}
    call(fusing.COMMAND, given, options, console, verbose)
    return Checkpoint.open(out)


@documented(calibrating.COMMAND)
def calibrate(
    checkpoint: AnyPath | Checkpoint,
    report: AnyPath,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Checkpoint:
    """Write a checkpoint whose confidences are fitted to a report's held-out items; return it.

    report: of `sertool eval --json`, of models trained alike. out: the file to write (.ckpt).

    >>> model = train("mel.h5", "one.ckpt", test_fold=0)
    >>> evaluate(model, "mel.h5").save("one.json")
    >>> calibrate(model, "one.json", "sure.ckpt").header.calibration.items
    16

    {options}
    """
    given = {"checkpoint": checkpoint, "report": report, "output": out}
    call(calibrating.COMMAND, given, options, console, verbose)
    return Checkpoint.open(out)


@documented(exporting.COMMAND)
def export(
    checkpoint: AnyPath | Checkpoint,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Checkpoint:
    """Write a checkpoint as an ONNX model, which predicts without torch, and return it.

    out: the file to write (.onnx).

    >>> model = export("model.ckpt", "model.onnx")  # doctest: +SKIP
    >>> model.predict("corpus/spk01/spk01_sadness_s1_r2.flac").label  # doctest: +SKIP
    'sadness'

    {options}
    """
    call(exporting.COMMAND, {"checkpoint": checkpoint, "output": out}, options, console, verbose)
    return Checkpoint.open(out)


@documented(evaluating.COMMAND)
def evaluate(
    checkpoints: AnyPath | Checkpoint | Sequence[AnyPath | Checkpoint],
    store: AnyPath | Store,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Report | NumberReport:
    """Test checkpoints on the items of a store that they held out, and return the report.

    checkpoints: one, or several: folds, whose results are pooled. Of a model of numbers the report
    is a `NumberReport`.

    >>> report = evaluate(train("mel.h5", "cv.ckpt", test_fold="all"), "mel.h5")
    >>> report.figures.n, report.confusion.shape, 0.25 < report.uar < 1
    (64, (4, 4), True)
    >>> report.protocol.facts["speaker_disjoint"], sorted(report.baselines)
    (True, ['linear', 'majority'])

    {options}
    """
    given = {"checkpoints": checkpoints, "store": store}
    made, _ = call(evaluating.COMMAND, given, options, console, verbose)
    return printable(made)


@documented(pushing.COMMAND)
def push(
    checkpoint: AnyPath | Checkpoint,
    place: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> None:
    """Write a checkpoint with its card into a folder, or to the hub.

    checkpoint: "box" is the model that comes with sertool. place: a folder, or "hf:OWNER/NAME" on
    the Hugging Face hub (extra `sertool[hub]`).

    >>> push(train("mel.h5", "good.ckpt", test_fold=0), "pushed", report="report.json")
    >>> Path("pushed/README.md").read_text().count("# How far to trust it")
    1

    {options}
    """
    given = {"checkpoint": checkpoint, "place": place}
    call(pushing.COMMAND, given, options, console, verbose)


@documented(pulling.COMMAND)
def pull(
    place: AnyPath,
    out: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Checkpoint:
    """Write the model of a folder that `push` made, or of the hub's, verified; return it.

    place: a folder, or "hf:OWNER/NAME". out: the file to write: .ckpt, or .onnx if it has one.

    >>> push("box", "published")
    >>> pull("published", "pulled.ckpt").identity == load().identity
    True

    {options}
    """
    given = {"place": place, "output": out}
    call(pulling.COMMAND, given, options, console, verbose)
    return Checkpoint.open(out)


def _audit(
    paths: list[Path], options: AuditOptions, console: Console | None = None
) -> audit_files.Audit:
    found = audit_files.audit(paths, options, console or Console.silent())
    audit_files.check(found, options.require)
    return found


AUDIT = Command("audit", _audit, "")


@documented(AUDIT)
def audit(
    train: AnyPath | Manifest | Store | Checkpoint,
    test: AnyPath | Manifest | Store | Checkpoint | None = None,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Audit:
    """Return what training and test data share, or what the folds or parts of one file share.

    train, test: manifests, stores or checkpoints. Raises InputError if a fact in `require` does
    not hold.

    >>> facts = audit("mel.h5")  # its folds, each against the others
    >>> facts["speaker_disjoint"], facts["text_disjoint"], facts.shared["text_disjoint"]
    (True, False, 2)

    {options}
    """
    with contextlib.ExitStack() as stack:
        sides = [one for one in (train, test) if one is not None]
        paths = [Path(stack.enter_context(_on_disk(one))) for one in sides]
        return Audit(*call(AUDIT, {"paths": paths}, options, console, verbose))


@documented(describing.COMMAND)
def info(
    path: AnyPath | Manifest | Store | Checkpoint,
    items: bool = False,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Return what a manifest, store, checkpoint, ONNX model or report holds and how it was made.

    As JSON values, like `sertool info --json`. items: list every item as well, but examine no
    recordings.

    >>> facts = info("mel.h5")
    >>> facts["what"], facts["kind"], facts["items"], facts["counts"]["fold"]
    ('store', 'mel', 64, {'0': 16, '1': 16, '2': 16, '3': 16})

    {options}
    """
    options["items"] = describing.ALL if items else None
    with _on_disk(path) as file:
        found, _ = call(describing.COMMAND, {"files": file}, options, console, verbose)
    values: dict[str, Any] = found.to_json(items)
    return values


@documented(separating.COMMAND)
def separate(
    mixtures: AnyPath | Sequence[AnyPath],
    folder: AnyPath,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Separation | list[Separation]:
    """Separate sources that several microphones recorded in different proportions (FastICA).

    mixtures: a file of several channels, or several mono files, equally long; or a folder, each
    file of which is separated by itself, so that a list is returned. folder: where to write a WAV
    file per source; created if missing.

    >>> voices = ["corpus/spk01/spk01_anger_s1_r1.flac", "corpus/spk02/spk02_sadness_s1_r1.flac"]
    >>> found = separate(voices, "parts", mix=True)  # mixes them first
    >>> [path.name for path in found.paths], min(one.gain for one in found.known) > 10
    (['separated-1.wav', 'separated-2.wav'], True)

    {options}
    """
    given = {"mixtures": mixtures, "folder": folder}
    made: Separation | list[Separation]
    made, _ = call(separating.COMMAND, given, options, console, verbose)
    return made


def load(path: AnyPath | None = None) -> Checkpoint:
    """Open a checkpoint or ONNX model, whose `predict` takes recordings; InputError for neither.

    Without a path, the model that comes with sertool (`print(info("box")["card"])`).

    >>> model = load("model.ckpt")
    >>> model.predict("corpus/spk01/spk01_sadness_s1_r2.flac").label
    'sadness'
    """
    known = box.model() if path is None else path
    if known is None:
        raise InputError("no model comes with this installation of sertool; name a checkpoint")
    return Checkpoint.open(known)


def open_store(path: AnyPath) -> Store:
    """Open a feature store; InputError if the file is not one.

    >>> store = open_store("mel.h5")
    >>> len(store), store.kind, store.classes
    (64, 'mel', ['anger', 'happiness', 'neutral', 'sadness'])
    """
    return Store(path)


def _opened(path: AnyPath, failures: Sequence[Any]) -> Store:
    store = Store(path)
    store.failures = failures
    return store


@contextlib.contextmanager
def _on_disk(source: AnyPath | Manifest | Store | Checkpoint) -> Iterator[AnyPath]:
    """Yield the path of what a stage reads; a manifest in memory is written temporarily."""
    if isinstance(source, Store | Checkpoint):
        yield source.path
    elif not isinstance(source, Manifest):
        yield source
    elif source.path is not None:
        yield source.path
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.jsonl"
            with open(path, "w", encoding="utf-8") as file:
                write_manifest(source, file)
            side.path_of(path).write_bytes(source.made)
            yield path
