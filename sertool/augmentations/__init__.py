"""Augmentations: frozen dataclasses that declare their options and report what they drew.

Each belongs to a family, named by what it changes. One of `wave` is called with (samples, sample
rate in Hz, generator) and returns samples and what it drew; one of `image` with a generator alone,
and returns a map of the axes (`image.Map`) and what it drew: the maps of a copy are one resampling;
one of `frames` with (features, fill, generator), see `masks`. Everything is drawn from that
generator, which belongs to one copy of one item: so librosa and SciPy do the work, for
audiomentations (up to 0.43) draws from generators that a whole process shares, and the order of
the items would show.

Their modules are imported for `sertool augment --help`, so they import numpy and heavier packages
only inside functions.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from sertool.core import plugins
from sertool.core.errors import UsageError
from sertool.core.settings import Option, convert, meant, option, option_of, spelled

# FAMILY.NAME, in the order in which they are applied. A sound meets them in this order on its way:
# the voice, the room, what else sounds there, the channel.
AUGMENTATIONS = {
    "wave.pitch": "sertool.augmentations.wave:Pitch",
    "wave.time-stretch": "sertool.augmentations.wave:TimeStretch",
    "wave.shift": "sertool.augmentations.wave:Shift",
    "wave.reverb": "sertool.augmentations.wave:Reverb",
    "wave.noise": "sertool.augmentations.wave:Noise",
    "wave.awgn": "sertool.augmentations.wave:AWGN",
    "wave.band-pass": "sertool.augmentations.wave:BandPass",
    "wave.gain": "sertool.augmentations.wave:Gain",
    "wave.codec": "sertool.augmentations.wave:Codec",
    "image.shift": "sertool.augmentations.image:Shift",
    "image.zoom": "sertool.augmentations.image:Zoom",
    "image.flip": "sertool.augmentations.image:Flip",
    "frames.time-stretch": "sertool.augmentations.bands:TimeStretch",
    "frames.freq-stretch": "sertool.augmentations.bands:FreqStretch",
    "frames.response": "sertool.augmentations.bands:Response",
    "frames.crop": "sertool.augmentations.bands:Crop",
    "frames.freq-mask": "sertool.augmentations.masks:FreqMask",
    "frames.time-mask": "sertool.augmentations.masks:TimeMask",
}
GROUP = "sertool.augmentations"
FAMILIES = {"wave": "waveforms", "image": "pictures", "frames": "features over time"}  # for people
PANELS = {  # headings of the help
    "wave": "Waveforms, in this order (all values drawn uniformly)",
    "image": "Pictures (together one bilinear resampling)",
    "frames": "Features over time",
}
Steps = Mapping[str, Sequence[Any]]
Drawn = dict[str, Any]  # what was drawn, by name, as JSON
Failed = Callable[[object, str], None]
Range = tuple[float, float]  # LOW:HIGH, drawn from uniformly


def required(help: str, unit: str = "", **more: Any) -> Any:
    """Return a field without a default, declared as `settings.option` does."""
    return option(dataclasses.MISSING, help, unit, **more)


class Augmentation:
    """The base of all augmentations, each a frozen dataclass that is called for every copy.

    Its fields are declared with `required` and `option`. They are the value of the option `--NAME`,
    joined by colons, but for fields that declare a `flag` of their own; without fields `--NAME` is
    a switch. Raises UsageError for a value out of its range, or a LOW above its HIGH.
    """

    def __post_init__(self) -> None:
        for field, hint in declared(type(self)):
            own, name = option_of(field), kebab(type(self).__name__)
            label = f"--{own.flag or name} "
            if len(main_fields(type(self))) > 1 and not own.flag:
                label += f"{field.name} "
            value = getattr(self, field.name)
            if hint is int and isinstance(value, float) and value.is_integer():
                value = int(value)
            value = convert(label, value, hint, own)
            if hint == Range:
                check_range(label, value)
            object.__setattr__(self, field.name, value)
        self.check()

    hides: ClassVar[bool] = False  # of frames: puts `fill` in place of features
    resizes: ClassVar[bool] = False  # of frames: changes their number

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""

    def prepared(self, rate: int, failed: Failed) -> Self:
        """Return this with all that it needs for sounds of `rate` Hz.

        Calls `failed(path, reason)` for each file that it must leave out. Raises UsageError or
        InputError where it cannot be used.
        """
        return self

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the values, defaults included."""
        values: list[Any] = []
        for field, hint in declared(type(self)):
            value = getattr(self, field.name)
            values += value if typing.get_origin(hint) is tuple else [value]
        return values


def check_range(label: str, value: Range) -> None:
    """Raise UsageError for a LOW above its HIGH; `label` is what to put before it."""
    low, high = value
    if low > high:
        raise UsageError(f"{label}{low:g}:{high:g}: needs LOW <= HIGH")


def kebab(name: str) -> str:
    """Return a class's name as that of its option: "TimeStretch" is "time-stretch"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def declared(cls: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Return the declared fields of an augmentation, each with its type."""
    hints, fields = typing.get_type_hints(cls), dataclasses.fields(cls)
    return [(field, hints[field.name]) for field in fields if "option" in field.metadata]


def main_fields(cls: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Return the fields that are the value of an augmentation's own option."""
    return [pair for pair in declared(cls) if not option_of(pair[0]).flag]


def command_line() -> list[tuple[str, Any, Any]]:
    """Return (name, type, field) of the options of all augmentations, for a dataclass of options.

    None, or False, stands for an augmentation that is not asked for. Two of one name share theirs.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    for family, name, cls in every():
        for flag, hint, own in _options(name, cls):
            key = flag.replace("-", "_")
            own = dataclasses.replace(own, flag=flag, panel=PANELS[family])
            if key in fields:
                first, text = option_of(fields[key][2]), own.help
                text = f"{first.help} Of {FAMILIES[family]}: {text[:1].lower()}{text[1:]}"
                own = dataclasses.replace(first, help=text)
            field = dataclasses.field(
                default=False if hint is bool else None, metadata={"option": own}
            )
            fields[key] = (key, hint if hint is bool else hint | None, field)
    return list(fields.values())


def _options(name: str, cls: type[Augmentation]) -> Iterator[tuple[str, Any, Option]]:
    """Yield (flag, type, declaration) of each option of an augmentation, its own first."""
    main = main_fields(cls)
    if not main:
        yield name, bool, Option((cls.__doc__ or "").partition("\n")[0])
    elif len(main) > 1:
        own = option_of(main[0][0])
        usual = ":".join(field.name.upper() for field, _ in main)
        yield name, tuple[float, ...], Option(own.help, metavar=own.metavar or usual, read=_numbers)
    for field, hint in declared(cls):
        own = option_of(field)
        if own.flag or len(main) == 1:
            own = dataclasses.replace(own, metavar=own.metavar or "LOW:HIGH" * (hint == Range))
            if own.flag:
                own = dataclasses.replace(own, unset=spelled(field.default))
            yield own.flag or name, hint, own


def _numbers(text: Any) -> Any:
    try:
        return tuple(map(float, text.split(":"))) if isinstance(text, str) else text
    except ValueError:
        raise UsageError(f"{text}: needs numbers, joined by colons") from None


def steps_of(options: Any) -> dict[str, list[Any]]:
    """Return the values, in order, of each augmentation that `options` ask for.

    Raises UsageError where an option is given without its augmentation.
    """
    steps: dict[str, list[Any]] = {}
    for _, name, cls in every():
        flags = [flag for flag, _, _ in _options(name, cls)]
        main, *further = (getattr(options, flag.replace("-", "_")) for flag in flags)
        given = [value for value in further if value is not None]
        if main not in (None, False):
            several = len(main_fields(cls)) > 1
            own = [] if main is True else list(main) if several else [main]
            steps[name] = own + given
        elif given:
            metavar = option_of(main_fields(cls)[0][0]).metavar
            raise UsageError(f"--{flags[1]} needs --{name} {metavar}".rstrip())
    return steps


def family_of(kind: str, shape: tuple[int, ...], frame_rate: float) -> str | None:
    """Return the family that changes a store's items, None where none does.

    kind, shape (of one frame), frame_rate: the store's; frames follow each other in time where the
    rate is not 0.
    """
    if kind in ("wave", "image"):
        return kind
    return "frames" if len(shape) == 1 and frame_rate > 0 else None


def every() -> Iterator[tuple[str, str, type[Augmentation]]]:
    """Yield (family, name, class) of all augmentations, in the order of their use."""
    for full in plugins.names(AUGMENTATIONS, GROUP):
        family, _, name = full.partition(".")
        yield family, name, plugins.lookup(AUGMENTATIONS, GROUP, full)


def described() -> list[tuple[str, str]]:
    """Return (name, what it changes and how) of all augmentations, for people."""
    return [
        (name, f"{FAMILIES.get(family, family)}: {next(_options(name, cls))[2].help}")
        for family, name, cls in every()
    ]


def suiting(family: str) -> list[str]:
    """Return the names of the augmentations of a family, in the order of their use."""
    pairs = (name.partition(".") for name in plugins.names(AUGMENTATIONS, GROUP))
    return [name for first, _, name in pairs if first == family]


def read_steps(option: str, text: str | None) -> dict[str, list[float]]:
    """Return the steps that "NAME=VALUE,NAME" lists, none for None; values may be A:B:C.

    Raises UsageError, which names the `option`, where the text is not such a list.
    """
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


def parts(family: str, steps: Steps) -> dict[str, Augmentation]:
    """Return the augmentations `steps` (values by name) of a family, in their own order.

    A range is two values, or one tuple. Raises UsageError for an augmentation of another family,
    or for wrong values.
    """
    known = suiting(family)
    strange = [name for name in steps if name not in known]
    if strange:
        raise UsageError(
            f"{', '.join(strange)}: not for {FAMILIES.get(family, family)}; choose from"
            f" {', '.join(known)}{_elsewhere(strange)}{meant(strange[0], known)}"
        )
    return {
        name: _made(name, plugins.lookup(AUGMENTATIONS, GROUP, f"{family}.{name}"), steps[name])
        for name in known
        if name in steps
    }


def _made(name: str, cls: type[Augmentation], values: Sequence[Any]) -> Augmentation:
    """Return an augmentation with its values in order."""
    rest, given = list(values), []
    fields = declared(cls)
    for _, hint in fields:
        numbers = len(typing.get_args(hint)) if typing.get_origin(hint) is tuple else 0
        fixed = numbers > 1 and ... not in typing.get_args(hint)
        if fixed and rest and not isinstance(rest[0], tuple):
            rest[:numbers] = [tuple(rest[:numbers])]
        given += rest[:1]
        del rest[:1]
    least = sum(field.default is dataclasses.MISSING for field, _ in fields)
    if rest or len(given) < least:
        most = len(fields)
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise UsageError(
            f"{name}: takes {wanted} value{'s' * (wanted != '1')}, not {len(given) + len(rest)}"
        )
    return cls(*given)


def _elsewhere(names: Sequence[str]) -> str:
    """Return a hint for the case that all of `names` are for waveforms."""
    return (
        " (of waveforms: featurize --kind wave, augment, and featurize that)"
        if set(names) <= set(suiting("wave")) - set(suiting("image"))
        else ""
    )
