"""A feature store as PyTorch takes it: a map-style data set, and batches that are padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from sertool.formats.store import Store

UNLABELLED = -100  # the class index that torch's losses ignore

Sample = tuple[torch.Tensor, int]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class StoreDataset(Dataset[Sample]):
    """The items of a store as (features (frames, …), class index).

    classes: what the indices mean. Each worker process of a `DataLoader` opens the store for
    itself.
    """

    def __init__(self, store: Store, target: str, classes: Sequence[str] | None = None) -> None:
        self.store = store
        values = [item.value(target) for item in store.items()]
        labels = [None if value is None else str(value) for value in values]
        found = sorted({label for label in labels if label is not None})
        self.classes = found if classes is None else list(classes)
        index = {label: k for k, label in enumerate(self.classes)}
        self.labels = [index.get(label or "", UNLABELLED) for label in labels]
        store.close()  # it opens again where it is read, maybe in another process

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self._sample(self.store.features(range(len(self))[index]), index)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples, as a `DataLoader` asks for those of a batch: read in one go."""
        arrays = self.store.batch([range(len(self))[i] for i in indices])
        return [self._sample(array, i) for array, i in zip(arrays, indices, strict=True)]

    def _sample(self, features: np.ndarray, index: int) -> Sample:
        if features.dtype != np.uint8:  # pictures stay as they are
            features = features.astype(np.float32, copy=False)
        return torch.from_numpy(features), self.labels[index]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Return (features (batch, longest, …), lengths (batch,), labels (batch,)), zero-padded."""
        features = [array for array, _ in samples]
        lengths = torch.tensor([len(array) for array in features])
        labels = torch.tensor([label for _, label in samples])
        return pad_sequence(features, batch_first=True), lengths, labels
