"""Items that stay where the network is computed, so that an epoch copies none of them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from sertool.models import device as devices
from sertool.training.batches import Source

SHARE = 0.5  # of a GPU's free memory that items may take; a step needs the rest

Batch = tuple[torch.Tensor, torch.Tensor, np.ndarray]  # features, lengths (on the host), positions


def room(device: torch.device) -> int:
    """Return how many bytes of items a device may keep: a share of what a GPU has free."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(SHARE * free)


def sent(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return an array on `device`: to a GPU from pinned memory, while both go on working."""
    tensor = torch.from_numpy(array)
    return devices.there(tensor.pin_memory() if device.type == "cuda" else tensor, device)


@dataclass
class Resident:
    """A source's items, normalised, in the memory of `device`, as far as `room` bytes go.

    An item goes there when it is first wanted; one that has no room goes there every time.
    """

    source: Source
    device: torch.device
    room: int
    _items: dict[int, torch.Tensor] = field(default_factory=dict)

    def batch(self, positions: Sequence[int]) -> Batch:
        """Return the numbers that `Source.batch` does."""
        self.source.fetch([i for i in positions if i not in self._items])
        items = [self._item(i) for i in positions]
        lengths = torch.tensor([len(item) for item in items], dtype=torch.int64)
        return pad_sequence(items, batch_first=True), lengths, np.asarray(positions, np.int64)

    def _item(self, i: int) -> torch.Tensor:
        """Return item `i` (frames, ...), float32."""
        found = self._items.get(i)
        if found is None:
            view = self.source.view(self.source.read(i))
            found = sent(self.source.normalised(view), self.device)
            if found.nbytes <= self.room:
                self.room -= found.nbytes
                self._items[i] = found
        return found
