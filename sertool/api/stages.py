"""The functions of the API: the stages of the command line, from objects to objects."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sertool.api.calls import AnyPath, call, documented
from sertool.api.results import Manifest, Store
from sertool.commands import featurize as featurizing
from sertool.commands import prepare as preparing
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
