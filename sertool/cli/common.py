"""The options that every stage shares, and a console made from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sertool.core.errors import UsageError
from sertool.ui.console import Console

GROUP = "Every stage"

Seed = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an existing output.", rich_help_panel=GROUP)
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on where an interrupted run stopped.", rich_help_panel=GROUP),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", "-j", min=0, help="Worker processes (0: one a core).", rich_help_panel=GROUP
    ),
]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log", readable=False, help="Append events as JSON Lines to FILE.", rich_help_panel=GROUP
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only what went wrong.", rich_help_panel=GROUP)
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", rich_help_panel=GROUP)]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first file that fails (exit 3).")
]


def console(stage: str, quiet: bool, verbose: bool, log: Path | None) -> Console:
    """Return the console of a stage; use it as a context manager."""
    return Console(stage, quiet=quiet, verbose=verbose, log=log)


def one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    """Raise UsageError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise UsageError(f"{option} {value}: needs {', '.join(allowed[:-1])} or {allowed[-1]}")


def number_range(option: str, text: str) -> tuple[float, float]:
    """Return the two numbers of "LOW:HIGH" (or of "X", twice), or raise UsageError."""
    low, _, high = text.partition(":")
    try:
        first, last = float(low), float(high or low)
    except ValueError as error:
        raise UsageError(f"{option} {text}: write LOW:HIGH, two numbers") from error
    if not (math.isfinite(first) and math.isfinite(last)):
        raise UsageError(f"{option} {text}: needs finite numbers")
    if first > last:
        raise UsageError(f"{option} {text}: needs LOW <= HIGH")
    return first, last


def key_values(option: str, texts: list[str]) -> list[tuple[str, str]]:
    """Return (key, value) of each "KEY=VALUE", or raise UsageError."""
    pairs: list[tuple[str, str]] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{option} {text}: write KEY=VALUE")
        if key in dict(pairs):
            raise UsageError(f"{option} {text}: {key} is given twice")
        pairs.append((key, value))
    return pairs
