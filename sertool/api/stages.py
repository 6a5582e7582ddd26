"""The functions of the API: the stages of the command line, from objects to objects."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from sertool.api.calls import AnyPath, call, documented
from sertool.api.models import Checkpoint
from sertool.api.results import Manifest, Store
from sertool.commands import featurize as featurizing
from sertool.commands import prepare as preparing
from sertool.commands import train as training
from sertool.corpora import export
from sertool.ui.console import Console


@documented(preparing.COMMAND)
def prepare(
    corpora: AnyPath | Sequence[AnyPath],
    manifest: AnyPath | None = None,
    *,
    console: Console | None = None,
    verbose: bool = False,
    **options: Any,
) -> Manifest:
    """Return the utterances of corpora: paths, labels, speakers, and folds if `split` asks.

    corpora: one or several of: a folder, a table (.csv, .tsv), a manifest, an audio file.
    manifest: the file to write (JSON Lines); none is written where it is None.

    >>> manifest = prepare("corpus", split="speakers:4")
    >>> len(manifest), sorted({item.label for item in manifest})
    (64, ['anger', 'happiness', 'neutral', 'sadness'])

    {options}
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "manifest.jsonl" if manifest is None else Path(manifest)
        given = {"corpora": corpora, "manifest": target}
        items, failures = call(preparing.COMMAND, given, options, console, verbose)
    items = prepare(target) if items is None else items  # it was whole already
    return Manifest(items, None if manifest is None else target, failures)


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
    file to write (.h5). kind: what is computed, see `sertool list kinds`; its own settings are
    given as keywords, too, or as a dictionary `settings`.

    >>> store = featurize(prepare("corpus", split="speakers:4"), "new.h5", kind="mfcc", n_mfcc=13)
    >>> store.kind, len(store), store[0][0].shape
    ('mfcc', 64, (23, 13))

    {options}
    """
    options["kind"] = kind
    with _on_disk(source) as path:
        given = {"source": path, "output": out}
        _, failures = call(featurizing.COMMAND, given, options, console, verbose)
    return _opened(out, failures)


@overload
def train(
    store: AnyPath | Store, out: AnyPath, model: str = "linear", *, test_fold: Literal["all"],
    console: Console | None = None, verbose: bool = False, **options: Any,
) -> list[Checkpoint]: ...  # fmt: skip
@overload
def train(
    store: AnyPath | Store, out: AnyPath, model: str = "linear", *,
    test_fold: int | str | None = None,
    console: Console | None = None, verbose: bool = False, **options: Any,
) -> Checkpoint: ...  # fmt: skip
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

    out: the file to write (.ckpt). model: see `sertool list models`; its own settings are given as
    keywords, too, or as a dictionary `settings`. test_fold: the fold that is held out; with "all"
    each in turn, and the list of checkpoints (`out` is then the pattern of their names,
    NAME.0.ckpt, …) is returned.

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


def load(path: AnyPath) -> Checkpoint:
    """Return the checkpoint in a file, whose `predict` takes recordings; InputError for none.

    >>> model = load("model.ckpt")
    >>> model.predict("corpus/spk01/spk01_sadness_s1_r2.flac").label
    'sadness'
    """
    return Checkpoint.open(path)


def open_store(path: AnyPath) -> Store:
    """Return the feature store in a file; InputError where it is none.

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
def _on_disk(source: AnyPath | Manifest | Store) -> Iterator[AnyPath]:
    """Yield the path of what a stage reads; a manifest in memory is written for the time."""
    if not isinstance(source, Manifest | Store):
        yield source
    elif source.path is not None:
        yield source.path
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.jsonl"
            with open(path, "w", encoding="utf-8") as file:
                export.write_lines(list(source), export.MANIFEST, file)
            yield path
