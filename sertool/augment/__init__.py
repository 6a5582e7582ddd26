"""Augmentations: one module a family, which report what they drew.

A family is named by the kind of store that it changes. Of `wave` an augmentation is called with
(samples, generator) and returns samples and what it drew; of `image` with a generator alone, and
returns a map of the axes (`image.Map`) and what it drew: the maps of a copy are one resampling.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

AUGMENTATIONS = {  # KIND.NAME, in the order in which they are applied
    "wave.awgn": "sertool.augment.noise:AWGN",
    "image.shift": "sertool.augment.image:Shift",
    "image.zoom": "sertool.augment.image:Zoom",
    "image.flip": "sertool.augment.image:Flip",
}
GROUP = "sertool.augmentations"
KINDS = {"wave": "waveforms", "image": "pictures"}  # of stores that can be augmented, for people
Steps = Mapping[str, Sequence[float]]


def suiting(kind: str) -> list[str]:
    """Return the names of the augmentations of a kind of store, in the order of their use."""
    from sertool.plugins import names

    pairs = (name.partition(".") for name in names(AUGMENTATIONS, GROUP))
    return [name for family, _, name in pairs if family == kind]


def read_steps(option: str, text: str | None) -> dict[str, list[float]]:
    """Return the steps that "NAME=VALUE,NAME" lists, none for None; a value may be LOW:HIGH.

    Raises UsageError, which names the `option`, where the text is no such list.
    """
    from sertool.errors import UsageError

    steps: dict[str, list[float]] = {}
    for part in text.split(",") if text is not None else ():
        name, equals, values = (word.strip() for word in part.partition("="))
        try:
            numbers = [float(value) for value in values.split(":")] if equals else []
        except ValueError:
            numbers, name = [], ""
        if not name or name in steps:
            raise UsageError(f"{option} {text}: write it like shift=0.1,zoom=0.1,flip")
        steps[name] = numbers
    return steps


def parts(kind: str, steps: Steps) -> dict[str, Any]:
    """Return the augmentations `steps` (values by name) of a kind of store, in their own order.

    Raises UsageError for one that does not suit the kind, or for wrong values.
    """
    from sertool.errors import UsageError
    from sertool.plugins import lookup

    known = suiting(kind)
    strange = [name for name in steps if name not in known]
    if strange:
        raise UsageError(
            f"{', '.join(strange)}: not for {KINDS.get(kind, kind)}; what suits: {', '.join(known)}"
        )
    made = {}
    for name in filter(steps.__contains__, known):
        part = lookup(AUGMENTATIONS, GROUP, f"{kind}.{name}")
        wanted, given = len(inspect.signature(part).parameters), len(steps[name])
        if given != wanted:
            raise UsageError(f"{name}: takes {wanted} value{'s' * (wanted != 1)}, not {given}")
        made[name] = part(*steps[name])
    return made
