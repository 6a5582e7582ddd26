"""The recordings of a page, as its script reads them: columns, as small as they can be.

Names are in order, each as how many characters it shares with the one before and the rest of it.
A posterior is in thousandths, two digits of base 36 for each class, one item after another; of
more than `WHOLE` classes it has the `LIKELIEST` alone, each led by its class in four digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sertool.core.paths import show

WHOLE, LIKELIEST = 20, 10
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Window:
    """A part of a recording, in seconds, and its posterior, if it has one."""

    start: float
    end: float
    posterior: Sequence[float] | None


@dataclass(frozen=True)
class Recording:
    """One recording of a page. said, truth: places in the classes; None where there is none.

    note: what stands in place of a label ("no speech"). numbers: those of a model that says
    numbers, by field, and the true ones.
    """

    id: str
    said: int | None = None
    posterior: Sequence[float] | None = None
    truth: int | None = None
    speaker: str = ""
    note: str = ""
    windows: Sequence[Window] = ()
    numbers: Mapping[str, float | None] | None = None
    true_numbers: Mapping[str, float | None] | None = None


def json_values(
    classes: Sequence[str],
    recordings: Sequence[Recording],
    clips: Mapping[int, dict[str, Any]],
    folder: str | None = None,
) -> dict[str, Any]:
    """Return what the script reads. clips: by their recording's place; folder: of the sound."""
    who = {name: i for i, name in enumerate(sorted({one.speaker for one in recordings}))}
    values: dict[str, Any] = {
        "classes": [show(name) for name in classes],
        "ids": _names([show(one.id) for one in recordings]),
        "said": [_place(one.said) for one in recordings],
        "p": "".join(_posterior(one.posterior, len(classes)) for one in recordings),
        "clips": clips,
    }
    if any(one.truth is not None for one in recordings):
        values["truth"] = [_place(one.truth) for one in recordings]
    if any(who):
        values["speakers"] = [show(name) for name in who]
        values["who"] = [who[one.speaker] for one in recordings]
    notes = {i: show(one.note) for i, one in enumerate(recordings) if one.note}
    windows = {
        i: [[round(w.start, 3), round(w.end, 3)] for w in one.windows]
        for i, one in enumerate(recordings)
        if one.windows
    }
    courses = {
        i: "".join(_posterior(w.posterior, len(classes)) for w in one.windows)
        for i, one in enumerate(recordings)
        if one.windows
    }
    numbers = {
        i: [
            [show(name), _short(value), _short((one.true_numbers or {}).get(name))]
            for name, value in one.numbers.items()
        ]
        for i, one in enumerate(recordings)
        if one.numbers is not None
    }
    further = {"notes": notes, "windows": windows, "courses": courses, "numbers": numbers}
    values |= {name: found for name, found in further.items() if found}
    return values if folder is None else values | {"folder": folder}


def _place(place: int | None) -> int:
    return -1 if place is None else place


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _names(names: Sequence[str]) -> list[int | str]:
    made: list[int | str] = []
    before = ""
    for name in names:
        shared = _common(before, name)
        made += [shared, name[shared:]]
        before = name
    return made


def _common(one: str, other: str) -> int:
    """Return how many characters two names have in common from the first."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _posterior(shares: Sequence[float] | None, classes: int) -> str:
    given = [0.0] * classes if shares is None else list(shares)
    if classes <= WHOLE:
        return "".join(digits(round(1000 * share)) for share in given)
    best = sorted(range(classes), key=lambda i: (-given[i], i))[:LIKELIEST]
    return "".join(digits(i, 4) + digits(round(1000 * given[i])) for i in best)


def digits(number: int, n: int = 2) -> str:
    """Return a number in base 36, of `n` digits.

    >>> digits(0), digits(1000), digits(35, 4)
    ('00', 'rs', '000z')
    """
    made = ""
    for _ in range(n):
        number, last = divmod(number, 36)
        made = _DIGITS[last] + made
    return made
