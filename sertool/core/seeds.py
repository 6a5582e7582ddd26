"""Random generators that depend on a seed and on names, never on position or order."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


_JSON = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))  # made once: a draw is short


def derive(seed: int, *keys: str | int) -> int:
    """Return a 128-bit integer that is a function of `seed` and `keys` alone."""
    text = _JSON.encode([seed, *keys])
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:16], "big")


def rng(seed: int, *keys: str | int) -> np.random.Generator:
    """Return a PCG64 generator for `seed` and `keys` (an utterance's id, a copy's number, …)."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(derive(seed, *keys)))
