"""Settings as `--set NAME=VALUE` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sertool.core.settings import assignments, make

T = TypeVar("T")


def parse(cls: type[T], texts: Sequence[str]) -> T:
    """Return an instance of the settings dataclass `cls` from `NAME=VALUE` texts."""
    return make(cls, assignments(texts))
