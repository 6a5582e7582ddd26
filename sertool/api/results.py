"""What the functions of the API return: manifests, stores, and their items as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from sertool.api.calls import AnyPath
from sertool.core.errors import SertoolError
from sertool.formats import store as stores
from sertool.formats.manifest import read_manifest
from sertool.items import Item
from sertool.models.linear import over_time
from sertool.ui.console import Failure

if TYPE_CHECKING:
    import pandas

    from sertool.api.batches import StoreDataset


class Manifest(Sequence[Item]):
    """The utterances of a manifest in order, each an `Item`.

    path: the file, None where none was written. failures: the files that gave no utterance, each
    with its `path` and `reason`. made: how it was made, as `formats.made` keeps it.

    >>> manifest = Manifest.open("manifest.jsonl")
    >>> len(manifest), manifest[0].speaker, manifest[0].label
    (64, 'spk01', 'anger')
    """

    def __init__(
        self,
        items: Iterable[Item],
        path: Path | None = None,
        failures: Sequence[Failure] = (),
        made: bytes = b"",
    ) -> None:
        self.path, self.failures, self.made = path, list(failures), made
        self._items = list(items)

    @classmethod
    def open(cls, path: AnyPath) -> Manifest:
        """Open a manifest; InputError if the file is not one.

        >>> Manifest.open("manifest.jsonl")
        <Manifest of 64 utterances, manifest.jsonl>
        """
        return cls(read_manifest(Path(path)), Path(path))

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        return self._items[index]

    def __repr__(self) -> str:
        return f"<Manifest of {len(self)} utterances, {self.path or 'in memory'}>"

    def frame(self) -> pandas.DataFrame:
        """Return a pandas DataFrame with a row per utterance and a column per field.

        >>> frame = Manifest.open("manifest.jsonl").frame()  # doctest: +SKIP
        >>> frame.groupby(["speaker", "label"]).size()  # doctest: +SKIP
        """
        return _frame([item.manifest_row() for item in self])


class Pooled(NamedTuple):
    """A store as scikit-learn takes it, a row per item.

    X: (items, 2 · dims) float64, the mean and then the standard deviation of each dimension over
    time. y: (items,) text, the labels, "" where unknown. groups: (items,) text, "corpus/speaker";
    an item whose speaker is unknown is grouped with what comes from the same utterance.
    """

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray


class Store(stores.Store):
    """A feature store: a sequence of (features, `Item`), read from the file as it is needed.

    `features` is an array (frames, dims), or (samples,) of waveforms, or (frames, height, width,
    channels) of pictures. failures: the files that `featurize` could not read, each with its
    `path` and `reason`. Close it, or use it as a context manager, to close the file.

    >>> with open_store("mel.h5") as store:
    ...     features, item = store[0]
    >>> features.shape, item.id, item.label
    ((23, 40), 'demo/spk01/spk01_anger_s1_r1', 'anger')
    """

    failures: Sequence[Failure] = ()

    def __getitem__(self, index: int) -> tuple[np.ndarray, Item]:
        i = range(len(self))[index]  # IndexError beyond the end; negative ones count from there
        return self.features(i), self.items()[i]

    def __iter__(self) -> Iterator[tuple[np.ndarray, Item]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<Store {self.path} of {len(self)} items, kind {self.kind}>"

    def pooled(self, target: str = "label") -> Pooled:
        """Return `X`, `y` and `groups` for scikit-learn: mean and sd over time.

        target: the field that `y` holds. An augmented copy is in its original's group.

        >>> X, y, groups = open_store("mel.h5").pooled()
        >>> X.shape, y[0], groups[0], len(set(groups))
        ((64, 80), 'anger', 'demo/spk01', 4)
        """
        rows, labels, groups = [], [], []
        for features, item in self:
            values = over_time(features)
            rows.append(np.concatenate([values.mean(0), values.std(0)]))
            label = item.value(target)
            labels.append("" if label is None else str(label))
            groups.append(f"{item.corpus or ''}/{item.speaker}" if item.speaker else item.origin)
        return Pooled(np.array(rows), np.array(labels, object), np.array(groups, object))

    def torch(self, target: str = "label", classes: Sequence[str] | None = None) -> StoreDataset:
        """Return a torch `Dataset` of (features, class index), with a `collate` that pads.

        target: the field that is learnt. classes: its values in order of their indices; by default
        all that occur, sorted. Items without one of them have the index -100, which
        `torch.nn.functional.cross_entropy` ignores.

        >>> from torch.utils.data import DataLoader
        >>> data = open_store("mel.h5").torch()
        >>> loader = DataLoader(data, batch_size=4, collate_fn=data.collate)
        >>> features, lengths, labels = next(iter(loader))
        >>> features.shape, lengths.tolist(), labels.tolist()
        (torch.Size([4, 29, 40]), [23, 26, 29, 27], [0, 0, 0, 0])
        """
        from sertool.api.batches import StoreDataset

        return StoreDataset(self, target, classes)

    def frame(self) -> pandas.DataFrame:
        """Return a pandas DataFrame with a row per item, a column per field, and its `frames`.

        >>> open_store("mel.h5").frame().groupby("label").frames.mean()  # doctest: +SKIP
        """
        lengths = self.lengths().tolist()
        rows = zip(self.items(), lengths, strict=True)
        return _frame([item.store_row() | {"frames": length} for item, length in rows])


def _frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError as error:
        raise SertoolError("frame() needs pandas: python -m pip install pandas") from error
    return pandas.DataFrame(rows)
