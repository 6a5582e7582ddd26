"""A part of the work of a stage, as one of several machines does it: `--shard K/N`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sertool.core.errors import UsageError
from sertool.core.texts import whole

MOST = 99999  # shards: what their file names have digits for


@dataclass(frozen=True, order=True)
class Shard:
    """The `number`-th (from 1) of `of` parts of a list, each of consecutive elements."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard of a text; raises UsageError where it is none.

        >>> Shard.parse("2/16")
        Shard(number=2, of=16)
        """
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        number, of = (whole(part) or 0 for part in match.groups()) if match else (0, 0)
        if not 1 <= number <= of <= MOST:
            raise UsageError(f"--shard {text}: needs K/N, K from 1 to N, N at most {MOST}: 3/16")
        return cls(number, of)

    @classmethod
    def read(cls, text: str | None) -> Shard | None:
        """Return what `parse` does, None for nothing."""
        return None if text is None else cls.parse(text)

    def part(self, total: int) -> range:
        """Return the positions, of `total`, that are this shard's.

        >>> [list(Shard(k, 3).part(5)) for k in (1, 2, 3)]
        [[0], [1, 2], [3, 4]]
        """
        return range((self.number - 1) * total // self.of, self.number * total // self.of)


@dataclass(frozen=True)
class Piece:
    """Which shard a run writes. run: what is the same in all shards of one store, as a hash."""

    shard: Shard
    run: str
