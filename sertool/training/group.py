"""The processes that train one model together: how they meet, and what process 0 tells the others.

Each runs the same command on the same store. See `core.ranks` for who is who, `spread` for how
they share a batch.
"""

from __future__ import annotations

import atexit
import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sertool.core import ranks
from sertool.core.errors import InputError, UsageError
from sertool.models import Model, Network, model

if TYPE_CHECKING:
    from sertool.training.options import TrainOptions

LONGEST = timedelta(hours=12)  # that one process may work while the others wait
_OURS = ("gloo", "nccl", "onnection", "socket", "peer")  # in what torch says of a lost process


def check(options: TrainOptions) -> None:
    """Raise UsageError for what several processes cannot train together."""
    n = ranks.count()
    if n == 1:
        return
    if options.parallel > 1:
        raise UsageError(
            f"--parallel {options.parallel}: trains folds in processes of its own, and here {n}"
            " processes train one model together; leave it out, or start sertool without torchrun"
        )
    found = model(options.model)
    why = _why_alone(found, options)
    if why:
        raise UsageError(f"{why}; start sertool without torchrun (there are {n} processes)")


def _why_alone(found: type[Model], options: TrainOptions) -> str:
    """Return why one process has to train a model, "" if several can."""
    if not issubclass(found, Network):
        return f"--model {options.model}: is fitted in one step, by one process"
    if found.own_loss:
        return f"--model {options.model}: has a loss of its own, over the whole batch"
    if options.per:
        return f"--per {options.per}: its models are trained by one process"
    if options.device == "mps":
        return "--device mps: its memory is not shared between processes"
    return ""


def join(device: str) -> None:
    """Meet the other processes, if there are any, and take this one's own GPU.

    device: as `--device` has it. Raises InputError where a machine has fewer GPUs than processes,
    or the processes cannot meet.
    """
    if ranks.count() == 1:
        return
    import torch
    from torch import distributed

    gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if gpu:
        if ranks.local() >= torch.cuda.device_count():
            raise InputError(
                f"process {ranks.local()} of this machine has no GPU of its own: there are"
                f" {torch.cuda.device_count()}; start as many processes, or use --device cpu"
            )
        torch.cuda.set_device(ranks.local())
    if not distributed.is_initialized():
        with together():
            backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
            distributed.init_process_group(backend, timeout=LONGEST)
        atexit.register(_leave)
    ranks.met(distributed.distributed_c10d._get_default_store())


def _leave() -> None:
    """End the group as the process ends, unless another process is lost."""
    from torch import distributed

    if distributed.is_initialized() and not ranks.failed():
        distributed.destroy_process_group()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Turn what torch raises in the block where another process is lost into an InputError.

    It has the exit code of the first process that failed.
    """
    try:
        yield
    except RuntimeError as error:
        from torch import distributed

        text = str(error)
        lost = isinstance(error, distributed.DistError) or any(word in text for word in _OURS)
        if ranks.count() == 1 or not lost:
            raise
        told = InputError(
            "another of the processes that train together has ended; start all of them again with"
            " --resume"
        )
        told.exit_code = ranks.code_of_first(told.exit_code)
        raise told from error


def shared(content: bytes | None = None) -> bytes:
    """Return what process 0 gives, in every process; those of another are left."""
    if ranks.count() == 1:
        return content or b""
    import torch
    from torch import distributed

    size = torch.tensor([len(content or b"")])
    distributed.broadcast(size, 0)
    values = torch.empty(int(size), dtype=torch.uint8)
    if ranks.number() == 0 and content:
        values = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if len(values):
        distributed.broadcast(values, 0)
    return values.numpy().tobytes()


def agreed(value: Any) -> Any:
    """Return what JSON can hold of process 0, in every process."""
    if ranks.count() == 1:
        return value
    return json.loads(shared(json.dumps(value).encode()))
