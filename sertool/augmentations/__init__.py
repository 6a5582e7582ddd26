"""Augmentations: one module a family, which report what they drew.

A family is named by what it changes. One of `wave` is called with (samples, sample rate in Hz,
generator) and returns samples and what it drew; of `image` with a generator alone, and returns a
map of the axes (`image.Map`) and what it drew: the maps of a copy are one resampling; of `frames`
with (features, fill, generator), see `masks`. All that is drawn comes from that generator, which
belongs to an item's copy: so librosa and SciPy do the work, for audiomentations (up to 0.43) draws
from the generators that a whole process shares, and the order of the items would show.

An augmentation of `wave` may have a method `prepared(rate, failed)`: it returns itself with all
that it needs for sounds of that rate, raises where it cannot serve, and calls `failed(path,
reason)` for each file that it must leave out. It is a dataclass, whose fields a store keeps as its
values, or else has a property `recorded`, a list of them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# FAMILY.NAME, in the order in which they are applied. To sound it is that of its way: the voice,
# the room, what else is heard there, the channel.
AUGMENTATIONS = {
    "wave.pitch": "sertool.augmentations.tempo:Pitch",
    "wave.time-stretch": "sertool.augmentations.tempo:TimeStretch",
    "wave.shift": "sertool.augmentations.tempo:Shift",
    "wave.reverb": "sertool.augmentations.rooms:Reverb",
    "wave.noise": "sertool.augmentations.noise:Noise",
    "wave.awgn": "sertool.augmentations.noise:AWGN",
    "wave.band-pass": "sertool.augmentations.channels:BandPass",
    "wave.gain": "sertool.augmentations.channels:Gain",
    "wave.codec": "sertool.augmentations.channels:Codec",
    "image.shift": "sertool.augmentations.image:Shift",
    "image.zoom": "sertool.augmentations.image:Zoom",
    "image.flip": "sertool.augmentations.image:Flip",
    "frames.freq-mask": "sertool.augmentations.masks:FreqMask",
    "frames.time-mask": "sertool.augmentations.masks:TimeMask",
}
GROUP = "sertool.augmentations"
KINDS = {"wave": "waveforms", "image": "pictures", "frames": "features over time"}  # for people
Steps = Mapping[str, Sequence[Any]]
Failed = Callable[[object, str], None]


def family_of(kind: str, shape: tuple[int, ...], frame_rate: float) -> str | None:
    """Return the family that changes a store's items, None where none does.

    kind, shape (of one frame), frame_rate: the store's; frames are a row in time where it is not 0.
    """
    if kind in ("wave", "image"):
        return kind
    return "frames" if len(shape) == 1 and frame_rate > 0 else None


def suiting(family: str) -> list[str]:
    """Return the names of the augmentations of a family, in the order of their use."""
    from sertool.core.plugins import names

    pairs = (name.partition(".") for name in names(AUGMENTATIONS, GROUP))
    return [name for first, _, name in pairs if first == family]


def read_steps(option: str, text: str | None) -> dict[str, list[float]]:
    """Return the steps that "NAME=VALUE,NAME" lists, none for None; values may be A:B:C.

    Raises UsageError, which names the `option`, where the text is no such list.
    """
    from sertool.core.errors import UsageError

    steps: dict[str, list[float]] = {}
    for part in text.split(",") if text is not None else ():
        name, equals, values = (word.strip() for word in part.partition("="))
        try:
            numbers = [float(value) for value in values.split(":")] if equals else []
        except ValueError:
            numbers, name = [], ""
        if not name or name in steps:
            raise UsageError(
                f"{option} {text}: write it like shift=0.1,zoom=0.1,flip or time-mask=40:2"
            )
        steps[name] = numbers
    return steps


def parts(family: str, steps: Steps) -> dict[str, Any]:
    """Return the augmentations `steps` (values by name) of a family, in their own order.

    Raises UsageError for one of another family, or for wrong values.
    """
    from sertool.core.errors import UsageError
    from sertool.core.plugins import lookup

    known = suiting(family)
    strange = [name for name in steps if name not in known]
    if strange:
        raise UsageError(
            f"{', '.join(strange)}: not for {KINDS.get(family, family)}; what suits:"
            f" {', '.join(known)}{_elsewhere(strange)}"
        )
    made = {}
    for name in filter(steps.__contains__, known):
        part = lookup(AUGMENTATIONS, GROUP, f"{family}.{name}")
        values = inspect.signature(part).parameters.values()
        least = sum(value.default is inspect.Parameter.empty for value in values)
        if not least <= len(steps[name]) <= len(values):
            wanted = f"{least}" if least == len(values) else f"{least} to {len(values)}"
            raise UsageError(
                f"{name}: takes {wanted} value{'s' * (wanted != '1')}, not {len(steps[name])}"
            )
        made[name] = part(*steps[name])
    return made


def _elsewhere(names: Sequence[str]) -> str:
    """Return what else must be said where all of `names` are for waveforms."""
    return (
        " (of waveforms: featurize --kind wave, augment, and featurize that)"
        if set(names) <= set(suiting("wave")) - set(suiting("image"))
        else ""
    )


def recorded(part: Any) -> list[Any]:
    """Return what a lineage keeps of an augmentation: its values, defaults included."""
    if hasattr(part, "recorded"):
        told: list[Any] = part.recorded
        return told
    return [getattr(part, field.name) for field in dataclasses.fields(part)]
