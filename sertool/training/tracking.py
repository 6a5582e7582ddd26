"""Trackers: what is told of each epoch while a model is trained, such as TensorBoard.

A tracker only listens: no checkpoint depends on it, and training goes on without one that fails.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from sertool.core import plugins
from sertool.core.errors import InputError, SertoolError, UsageError
from sertool.ui.console import Console

GROUP = "sertool.trackers"  # entry points
TRACKERS = {"tensorboard": "sertool.training.tensorboard:TensorBoard"}


class Tracker(ABC):
    """Follows the training of one command, which may be of several models (folds).

    A subclass is made with the text after `--track NAME=`, its place.
    """

    @abstractmethod
    def __init__(self, place: str) -> None: ...

    @abstractmethod
    def epoch(self, run: str, number: int, values: Mapping[str, float]) -> None:
        """Take losses and rates by name, and seconds, of epoch `number` (from 1) of a model."""

    def close(self) -> None:  # noqa: B027 (most have something to close, not all)
        """Finish; called once, however training ended."""


def check(texts: Sequence[str]) -> None:
    """Raise UsageError for what is no NAME=PLACE."""
    for text in texts:
        name, equals, place = text.partition("=")
        if not (name and equals and place):
            raise UsageError(f"--track {text}: is not NAME=PLACE, such as tensorboard=runs")


@contextmanager
def tracked(texts: Sequence[str], console: Console) -> Iterator[None]:
    """Have trackers follow the epochs that a console is told of in the block."""
    with ExitStack() as stack:
        for text in texts:
            name, _, place = text.partition("=")
            made = _Guarded(name, _opened(name, place), console)
            console.followers.append(made)
            stack.callback(made.close)
            stack.callback(console.followers.remove, made)
        yield


def _opened(name: str, place: str) -> Tracker:
    cls = plugins.lookup(TRACKERS, GROUP, name)
    try:
        found: Tracker = cls(place)
    except SertoolError:
        raise
    except Exception as error:
        raise InputError(f"--track {name}={place}: {_said(error)}") from error
    return found


class _Guarded:
    """A tracker that, once it failed, is asked no more."""

    def __init__(self, name: str, tracker: Tracker, console: Console) -> None:
        self._name, self._tracker, self._console = name, tracker, console
        self._failed = False

    def __call__(self, event: Mapping[str, Any]) -> None:
        if event.get("event") != "epoch" or self._failed:
            return
        left_out = ("time", "stage", "event", "run", "epoch")
        values = {n: float(value) for n, value in event.items() if n not in left_out}
        try:
            self._tracker.epoch(str(event["run"]), int(event["epoch"]), values)
        except Exception as error:
            self._drop(error)

    def close(self) -> None:
        try:
            self._tracker.close()
        except Exception as error:
            self._drop(error)

    def _drop(self, error: Exception) -> None:
        self._failed = True
        self._console.note(f"--track {self._name}: {_said(error)}; training goes on without it")


def _said(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
