"""The options of one featurize stage, which a store keeps in its pipeline."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict

from sertool.audio import CHANNELS, FASTEST
from sertool.core.errors import UsageError
from sertool.core.options import Options
from sertool.core.settings import assignments, make, option
from sertool.features import KINDS, Kind, kind

LONGEST = 1e12  # seconds: times any rate, it is still a number of samples
FITS = ("pad", "crop", "both")
TAILS = ("align", "pad", "drop")
ENCODED = ("ssl", "embedding")  # kinds of features that an encoder may make
CUTTING = "Duration and segments"


class InWindows(TypedDict):
    """The options of a stage that differ where all of a recording is heard, not a crop of it."""

    offset: float
    duration: None
    segment: float
    segment_hop: float
    segment_tail: str


def in_windows(seconds: float) -> InWindows:
    """Return what cuts into windows of a crop's length: half overlapping, the last at the end."""
    return InWindows(
        offset=0.0,
        duration=None,
        segment=seconds,
        segment_hop=seconds / 2,
        segment_tail="align",
    )


def _seconds(help: str, **more: Any) -> Any:
    return option(None, help, "s", above=0, most=LONGEST, panel=CUTTING, **more)


@dataclass(frozen=True)
class FeaturizeSpec(Options):
    """Every option of a featurize stage that changes what a store holds.

    Times are in seconds. `sample_rate` None keeps a file's own. `duration` with `fit`: "crop" only
    shortens, "pad" only lengthens with zeros, "both" gives exactly round(duration * rate) samples.
    `segment` cuts windows every `segment_hop` (default: `segment`); `segment_tail` decides about a
    shorter last one: "align" moves it back to end at the end, "pad" zero-pads it, "drop" leaves it
    out. `segment_max` cuts into the fewest equal parts of at most that length. `dtype` None is the
    kind's own, float32 or uint8. Raises UsageError for values that contradict each other.
    """

    kind: str = option(
        "mel", "Kind of feature (see: sertool list kinds).", metavar="KIND", choices=tuple(KINDS),
        open=True,
    )  # fmt: skip
    settings: dict[str, Any] = option(
        {},
        "A setting of the kind (see: sertool list kinds --kind mel); repeatable.",
        metavar="NAME=VALUE",
        flag="set",
        read=assignments,
    )
    sample_rate: int | None = option(
        None, "Resample to this rate.", "Hz", above=0, most=FASTEST, unset="the most common rate"
    )
    channel: str = option("mix", "Channel to use of a multichannel recording.", choices=CHANNELS)
    offset: float = option(
        0.0, "Skip this much at the beginning.", "s", least=0, most=LONGEST, panel=CUTTING
    )
    duration: float | None = _seconds("Bring every recording to this length.")
    fit: str = option(
        "both",
        "With --duration: zero-pad what is shorter, crop what is longer, or both.",
        choices=FITS,
        panel=CUTTING,
    )
    segment: float | None = _seconds("Cut into segments of this length.")
    segment_hop: float | None = _seconds("Hop between segments.", unset="--segment")
    segment_tail: str = option(
        "align",
        "If the last segment is shorter: align (move it back), pad (with zeros) or drop.",
        choices=TAILS,
        panel=CUTTING,
    )
    segment_max: float | None = _seconds("Cut into the fewest equal parts of at most this length.")
    dtype: str | None = option(
        None,
        "Type of the stored numbers (float32, float16; int16 for waveforms; pictures are uint8).",
        metavar="TYPE",
        choices=("float32", "float16", "int16", "uint8"),
        open=True,
        unset="the kind's own",
    )

    def check(self) -> None:
        """Raise UsageError for options that contradict each other."""
        if self.segment and self.segment_max:
            raise UsageError("--segment and --segment-max exclude each other")
        if self.segment_hop and not self.segment:
            raise UsageError("--segment-hop needs --segment")
        if self.dtype is not None and self.dtype not in (known := kind(self.kind).dtypes):
            raise UsageError(f"--dtype {self.dtype}: {self.kind} is stored as {' or '.join(known)}")

    @functools.cached_property
    def prepared(self) -> tuple[Kind[Any], Any]:
        """The kind and its settings; UsageError where one is unknown or wrong."""
        found = kind(self.kind)
        try:
            return found, make(found.Settings, self.settings)
        except TypeError as error:
            raise UsageError(f"settings of {self.kind}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as an element of a store's `pipeline`, every setting with its value."""
        found, settings = self.prepared
        return {
            "stage": "featurize",
            **dataclasses.asdict(self),
            "settings": dataclasses.asdict(settings),
            "dtype": self.dtype or found.dtypes[0],
        }

    @classmethod
    def from_dict(cls, stage: Mapping[str, Any]) -> Self:
        """Return the stage that `to_dict` wrote; unknown keys are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in stage.items() if name in known})
