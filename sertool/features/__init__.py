"""Feature kinds: each a module of pure functions from a waveform to an array, and one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sertool.items import Item

if TYPE_CHECKING:
    import numpy as np

    from sertool.features.frames import Samples
    from sertool.formats.lineage import Source

KINDS = {
    "wave": "sertool.features.wave:KIND",
    "spectrogram": "sertool.features.spectrogram:KIND",
    "mel": "sertool.features.mel:KIND",
    "mfcc": "sertool.features.mfcc:KIND",
    "logpower": "sertool.features.logpower:KIND",
    "image": "sertool.features.image:KIND",
    "teo": "sertool.features.teo:KIND",
    "acoustic": "sertool.features.acoustic:KIND",
    "voice": "sertool.features.voice.kind:KIND",
    "functionals": "sertool.features.functionals:KIND",
    "embedding": "sertool.features.embedding:KIND",
    "ssl": "sertool.features.ssl:KIND",
}
GROUP = "sertool.features"  # entry points of other packages
S = TypeVar("S")


def no_remarks(sample_rate: int, settings: object) -> list[str]:
    """Return nothing: the remarks of a kind whose settings suit every sample rate."""
    return []


def fitted_to_nothing(settings: object) -> list[Item] | None:
    """Return None: a kind that learns nothing was fitted to no items."""
    return None


def without_files(settings: object) -> list[Source]:
    """Return nothing: a kind that reads no file beside the recordings."""
    return []


@dataclass(frozen=True)
class Shown:
    """What a figure of a kind's features says of them.

    rows: what lies along the last dimension (a picture's height), with its unit; span: from what
    to what, None where dimensions are numbered. values: what the numbers are, with their unit;
    limits: the values of a picture's first and last colour. colours: the colour map of a picture,
    "" where it is grey.
    """

    rows: str = "feature"
    span: tuple[float, float] | None = None
    values: str = "value"
    limits: tuple[float, float] | None = None
    colours: str = ""


def numbered(sample_rate: int, settings: object) -> Shown:
    """Return what is said of a kind of which no more is known: numbered features, values."""
    return Shown()


@dataclass(frozen=True)
class Kind(Generic[S]):
    """One kind of feature: what `sertool list kinds` shows and what `featurize` calls.

    `compute(samples, sample_rate, settings)` takes mono samples (n,), float32 or int16 with full
    scale 32768, and returns float32 (frames, ...), or (n,) for `wave`, or pictures as uint8
    (1, height, width, channels). `frame_rate(sample_rate, settings)` is in frames per second, 0
    where frames do not follow each other in time. `remarks(sample_rate, settings)` returns lines
    that a user should see once, and raises UsageError where the settings do not fit the rate.
    `dtypes` are the types that a store may keep, the first by default. `fitted_on(settings)`
    returns the items that the kind was fitted to, for audits; None where it was fitted to none, or
    to unknown ones. `shown(sample_rate, settings)` names what a figure shows. `sources(settings)`
    returns the files that it reads, for the lineage. `blocks(samples, sample_rate, settings)`, of
    kinds that have it, yields what `compute` returns frames at a time, of samples that are slices
    of a file and may be asked for twice: what holds in memory does not grow with them.
    """

    name: str
    summary: str
    Settings: type[S]
    compute: Callable[[np.ndarray, int, S], np.ndarray]
    frame_rate: Callable[[int, S], float]
    dims: str
    remarks: Callable[[int, S], list[str]] = no_remarks
    dtypes: tuple[str, ...] = ("float32", "float16")
    fitted_on: Callable[[S], list[Item] | None] = fitted_to_nothing
    shown: Callable[[int, S], Shown] = numbered
    sources: Callable[[S], list[Source]] = without_files
    blocks: Callable[[Samples, int, S], Iterator[np.ndarray]] | None = None


def kind(name: str) -> Kind[Any]:
    """Return a kind by name, importing its module only now; UsageError lists the known names."""
    from sertool.core.plugins import lookup

    found: Kind[Any] = lookup(KINDS, GROUP, name)
    return found
