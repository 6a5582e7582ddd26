"""Where networks are computed, and torch made repeatable and frugal there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from sertool.core.allocator import keep_freed
from sertool.core.errors import InputError, UsageError
from sertool.core.settings import any_of
from sertool.models.hyperparameters import DEVICES


def choose(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes a GPU if there is one.

    Raises UsageError for another name, InputError for a device that this machine lacks.
    """
    if name not in DEVICES:
        raise UsageError(f"--device {name}: needs {any_of(DEVICES)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, is_there in there.items() if is_there), "cpu")
    elif not there.get(name, True):
        raise InputError(
            f"--device {name}: not available on this machine or in this torch; use --device cpu"
        )
    return torch.device(name)


def place(network: nn.Module, device: torch.device) -> None:
    """Move a network to `device`, weights of 2-D convolutions in the channels-last layout."""
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def there(values: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return values of host memory on `device`, without waiting until the device has them."""
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return tensor.to(device, non_blocking=device.type != "mps")  # which may read freed memory


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: the same bits whatever the number, and a fork stays safe."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(device: torch.device) -> None:
    """Make torch repeatable on `device`, and keep freed memory for the next step."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if device.type == "cpu":
        keep_freed()
