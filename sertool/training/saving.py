"""The state of a run between epochs, kept in a part beside the output so that it can go on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sertool.core.ending import Terminated
from sertool.core.errors import InputError
from sertool.formats import checkpoint, schema
from sertool.formats.outputs import Parts
from sertool.training import group

if TYPE_CHECKING:
    from sertool.training.loop import Run

STATE = "state.safetensors"
SHARE = 0.1  # of the time of training that saving may take; saves are left out beyond it
LONGEST = 30.0  # seconds without a save at most, whatever it costs
WORTH = 5.0  # seconds that a run which is to end waits for the state of an epoch


class Saver:
    """Writes and reads the state of a run: weights, best weights, optimiser, history.

    A state that is left out because saving is dear costs an interrupted run some epochs again,
    never another result. Of processes that train together the first keeps it, and tells the others.
    """

    def __init__(self, parts: Parts | None) -> None:
        self.parts = parts
        self._last = time.monotonic()
        self._cost = 0.0  # seconds that the last save took
        self._behind = False  # whether the state of the last epoch was left out
        self._ends = False  # whether the run ends with the next state
        self._epoch = self._last, 0.0  # when the last epoch ended, and the seconds that it took

    @property
    def has_state(self) -> bool:
        """Whether there is a whole state to go on from."""
        return self.parts is not None and self.parts.has(STATE)

    def restore(self, run: Run) -> None:
        """Set `run` to the saved state, if there is a whole one."""
        kept = self.parts.read(STATE) if self.parts is not None and self.has_state else None
        content = group.shared(kept)
        if not content:
            return
        del kept
        try:
            tensors, meta = checkpoint.undump(content, STATE)
            del content  # as large as all of them
            self._restore(run, tensors, meta)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self.foreign() from error

    @staticmethod
    def foreign() -> InputError:
        """Return the error of a state that another run kept."""
        return InputError(f"{STATE} beside the output is not of this run; run without --resume")

    @staticmethod
    def _restore(run: Run, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, tensor in run.network.state_dict().items():
                tensor.copy_(torch.from_numpy(tensors.pop(f"model.{name}")))
        run.best = {
            name: _like(tensor, tensors.pop(f"best.{name}"))
            for name, tensor in run.network.state_dict().items()
        }
        schema.convert(meta["history"], list[dict[str, float]])
        run.history = meta["history"]
        if run.average is not None:
            run.average.steps = meta["steps"]
            for name, tensor in run.average.weights.items():
                tensor.copy_(torch.from_numpy(tensors.pop(f"average.{name}")))
        parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
        for i, parameter in enumerate(parameters):
            prefix = f"optimizer.{i}."
            state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            run.optimizer.state[parameter] = {
                name: _like(parameter, value)
                if value.shape == parameter.shape
                else torch.from_numpy(value)
                for name, value in state.items()
            }

    def save(self, run: Run) -> None:
        """Keep the state of `run`, unless the last save was too recent for what it cost.

        Raises Terminated where the run is to end with it.
        """
        start = time.monotonic()
        self._epoch = start, start - self._epoch[0]
        if self.parts is None:
            return
        self._behind = start - self._last < min(LONGEST, self._cost / SHARE)
        if self._behind and not self._ends:
            return
        self.parts.write(STATE, *self.content(run))
        self._behind, self._last = False, time.monotonic()
        self._cost = self._last - start
        if self._ends:
            raise Terminated

    def end(self) -> None:
        """End the run, by Terminated: now, or soon with an epoch that would be lost otherwise."""
        started, took = self._epoch
        if self._behind and started + took - time.monotonic() < WORTH:
            self._ends = True
        else:
            raise Terminated

    @staticmethod
    def content(run: Run) -> list[bytes | memoryview]:
        """Return the state of `run` as a safetensors file with JSON, no pickle, in pieces."""
        tensors: dict[str, Any] = {}
        for name, tensor in run.network.state_dict().items():
            tensors[f"model.{name}"] = tensor
            tensors[f"best.{name}"] = run.best[name]
        parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
        for i, parameter in enumerate(parameters):
            for name, value in run.optimizer.state[parameter].items():
                if value is not None:
                    tensors[f"optimizer.{i}.{name}"] = value
        meta: dict[str, Any] = {"history": run.history}
        if run.average is not None:
            meta["steps"] = run.average.steps
            tensors |= {f"average.{name}": t for name, t in run.average.weights.items()}
        return checkpoint.dump(tensors, meta)


def _like(tensor: torch.Tensor, value: np.ndarray) -> torch.Tensor:
    """Return `value` with the device and memory layout of `tensor`: equal steps, equal bits."""
    empty = torch.empty_like(tensor, dtype=torch.from_numpy(value).dtype)
    return empty.copy_(torch.from_numpy(value))
