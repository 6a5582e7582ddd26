"""The options of `separate`, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sertool.core.options import Options, nested, seed, shared
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.evaluation.options import HearOptions

ALGORITHMS = ("parallel", "deflation")
SHORTEST = 0.1  # seconds of a block
FORMAT, VERSION = "sertool-separation", 1
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


class Recovered(NamedTuple):
    """A known source, and what was found of it; the ratios (SI-SDR) are in dB, None if undefined.

    mixture: the ratio of the best mixture alone; gain: how much better the output is.
    """

    reference: str
    output: str
    si_sdr: float | None
    mixture: float | None
    gain: float | None


@dataclass(frozen=True)
class Separation:
    """The sources that `separate` wrote, the loudest first.

    paths: a WAV file per source. duration: in seconds. known: each source that was given by
    `against` (or `mix=True`), and what was found of it.

    >>> voices = ["corpus/spk01/spk01_anger_s1_r1.flac", "corpus/spk02/spk02_sadness_s1_r1.flac"]
    >>> found = separate(voices, "voices", mix=True)
    >>> found.sample_rate, [path.name for path in found.paths]
    (16000, ['separated-1.wav', 'separated-2.wav'])
    """

    paths: list[Path]
    sample_rate: int
    duration: float
    known: list[Recovered]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; the known sources where there are any."""
        found = {
            "format": FORMAT,
            "version": VERSION,
            "outputs": [show(path) for path in self.paths],
            "sample_rate": self.sample_rate,
            "duration": self.duration,
        }
        return found | ({"sources": [one._asdict() for one in self.known]} if self.known else {})


LIMITS = "Limits"


@dataclass(frozen=True)
class ServeOptions(Options):
    """How recordings are heard by a server, where it listens, and what it takes."""

    how: HearOptions = nested(HearOptions)
    host: str = option(
        "127.0.0.1",
        "Address to listen at: by default nobody else's machine reaches it; 0.0.0.0: all.",
        panel="Address",
    )
    port: int = option(8000, "Port to listen at; 0: any that is free.", metavar="N", least=0,
                       most=65535, panel="Address")  # fmt: skip
    max_bytes: int = option(50_000_000, "Bytes that a recording may have.", metavar="N", least=1,
                            panel=LIMITS)  # fmt: skip
    max_duration: float = option(
        600.0, "Length of a recording, or of a stream.", "s", above=0, panel=LIMITS
    )
    timeout: float = option(
        60.0,
        "Time for a recording from its first byte to the answer; of a stream, to wait for more.",
        "s",
        above=0,
        most=86400,
        panel=LIMITS,
    )
    queue: int = option(
        16, "Recordings that may wait; one more is refused (503).", metavar="N", least=0,
        panel=LIMITS,
    )  # fmt: skip
    streams: int = option(4, "Streams at a time.", metavar="N", least=1, panel=LIMITS)
    workers: int = shared(
        1, "Threads that hear recordings (0: one per core).", metavar="N", least=0, short="-j"
    )
