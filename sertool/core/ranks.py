"""Which of the processes this is that train one model together, as torchrun starts them.

Any launcher will do that sets the variables of `torch.distributed`. Process 0 leads: it alone
writes and speaks. Of a failure the first one speaks that meets it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from sertool.core.errors import UsageError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
COMMAND = "train"  # the one that several processes run as one
HEAD_START = 3.0  # seconds for process 0 to speak: a launcher ends all when one has ended
_FAILED = "sertool/failed"  # keys in the store that the processes share
_CODE = "sertool/code"

_failed = False  # whether a process is known to have failed
_shared: Any = None  # that store, a torch.distributed.Store, once the processes have met


def _variable(name: str, default: int) -> int:
    if not all(one in os.environ for one in VARIABLES):
        return default
    try:
        return int(os.environ.get(name, default))
    except ValueError:
        raise UsageError(f"{name}={os.environ[name]}: is no number; it is the launcher's") from None


def count() -> int:
    """Return how many processes train together: 1 without a launcher."""
    return _variable("WORLD_SIZE", 1)


def number() -> int:
    """Return this process's number among them, from 0."""
    return _variable("RANK", 0) if count() > 1 else 0


def local() -> int:
    """Return its number among those on this machine, from 0."""
    return _variable("LOCAL_RANK", number()) if count() > 1 else 0


def quiet(command: str) -> None:
    """Keep what torch warns of in every process from a command that several run as one.

    It is about speed, on its own use; nothing where torch is loaded already.
    """
    if command == COMMAND and count() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def follows(command: str) -> bool:
    """Return whether another process writes and speaks for this one."""
    return command == COMMAND and number() > 0


def met(shared: Any) -> None:
    """Take the store that the processes share from now on."""
    global _shared
    _shared = shared


def failed() -> bool:
    """Return whether training has failed, here or elsewhere."""
    return _failed


def tells(command: str, code: int) -> bool:
    """Return whether this process is to say why it ends with an exit code that is not 0.

    Before they have met, all fail alike, and process 0 speaks; from then on the first to fail.
    """
    global _failed
    if command != COMMAND or count() == 1:
        return True
    _failed = True
    if _shared is None:
        if number():
            time.sleep(HEAD_START)
        return number() == 0
    try:
        if _shared.add(_FAILED, 1) > 1:
            return False
        _shared.set(_CODE, str(code))
    except RuntimeError:  # the process that kept the store is gone
        pass
    return True


def code_of_first(default: int) -> int:
    """Return the exit code of the first process that failed, as far as it is known."""
    try:
        if _shared is not None and _shared.check([_CODE]):
            return int(_shared.get(_CODE))
    except (RuntimeError, ValueError):
        pass
    return default
