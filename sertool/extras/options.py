"""The options of `separate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sertool.core.options import Options, seed
from sertool.core.settings import option

ALGORITHMS = ("parallel", "deflation")
SHORTEST = 0.1  # seconds of a block
KNOWN = "Where the sources are known"


@dataclass(frozen=True)
class SeparateOptions(Options):
    """How mixtures are separated."""

    sources: int | None = option(
        None, "Number of sources.", metavar="K", unset="as many as mixtures"
    )
    block: float | None = option(
        None,
        "For mixtures that change: fit anew every S/2 seconds, to blocks of S seconds.",
        metavar="S",
        least=SHORTEST,
        unset="once, to the whole recording",
    )
    algorithm: str = option(
        "parallel",
        "FastICA's: parallel (all sources together) or deflation (one by one).",
        choices=ALGORITHMS,
    )
    against: tuple[Path, ...] = option(
        (),
        "A known source, or several as the channels of one file: print the SI-SDR. Repeatable.",
        metavar="SOURCE",
        panel=KNOWN,
        recorded=False,
    )
    seed: int = seed()
