"""TensorBoard as a tracker: a folder of event files, one for each model that is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.training.tracking import Tracker


class TensorBoard(Tracker):
    """Writes scalars into FOLDER/RUN, where `tensorboard --logdir FOLDER` finds them."""

    def __init__(self, place: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--track tensorboard needs TensorBoard: pip install 'sertool[tensorboard]'"
            ) from error
        self._folder, self._make = Path(place), SummaryWriter
        if not self._folder.absolute().parent.is_dir() or self._folder.is_file():
            raise InputError(f"{show(place)}: is no folder, nor can it be made there")
        self._writers: dict[str, Any] = {}

    def epoch(self, run: str, number: int, values: Mapping[str, float]) -> None:
        """Write the values as scalars by their names."""
        if run not in self._writers:
            name = re.sub(r"[^\w.=+-]+", "-", run).strip("-.") or "training"
            self._writers[run] = self._make(str(self._folder / name))
        writer = self._writers[run]
        for name, value in values.items():
            writer.add_scalar(name, value, number)
        writer.flush()

    def close(self) -> None:
        """Close the event files."""
        for writer in self._writers.values():
            writer.close()
