"""Checks of what augmentations are asked for: one clear line each."""

from __future__ import annotations

from sertool.core.errors import UsageError


def within(option: str, low: float, high: float, least: float, most: float, unit: str = "") -> None:
    """Raise UsageError unless least <= low <= high <= most."""
    if not least <= low <= high <= most:
        raise UsageError(
            f"--{option} {low:g}:{high:g}: needs {least:g} to {most:g}{unit and ' '}{unit}"
        )


def fraction(name: str, value: float) -> None:
    """Raise UsageError unless `value` is 0 to below 1."""
    if not 0 <= value < 1:
        raise UsageError(f"{name} {value:g}: needs a fraction, 0 to below 1")
