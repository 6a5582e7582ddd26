"""Expected failures of a command: one line on standard error and an exit code each."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from sertool.core import ranks
from sertool.core.ending import CODE, Terminated
from sertool.core.errors import SertoolError
from sertool.core.paths import show
from sertool.ui.console import tell

DISK_FULL = dict.fromkeys((errno.ENOSPC, errno.EFBIG), "the disk is full")
DISK_FULL[errno.EDQUOT] = "the disk quota is used up"
RESUMABLE = ("prepare", "featurize", "augment", "train", "predict")  # they keep finished parts
LONGEST = 2000  # characters of a line on standard error


def guarded(name: str, run: Callable[[], int]) -> int:
    """Return what `run` of the command `name` returns; of a failure its code, told in one line."""
    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        drop_stdout()
        return 0
    except Terminated:
        say(name, "ended by TERM; use --resume", CODE)
        return CODE
    except (SertoolError, KeyboardInterrupt, OSError, MemoryError, RuntimeError) as error:
        line, code = _explained(error, name)
        if not line:
            raise
        say(name, line, code)
        return code


def _explained(error: BaseException, name: str) -> tuple[str, int]:
    """Return an error's line and exit code; no line for one that nobody expects."""
    if isinstance(error, SertoolError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 130
    if isinstance(error, OSError):
        return _reason(error, name), 3
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory", 3
    # torch's own, on any device
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return "not enough memory; a smaller --batch-size, network or picture needs less", 3
    return "", 1


def _reason(error: OSError, name: str) -> str:
    """Return one line for an error of the operating system in the command `name`."""
    where = f"{show(error.filename)}: " if error.filename else ""
    if not where and not flushed():
        return f"standard output: {DISK_FULL.get(error.errno or 0, error.strerror)}"
    if error.errno in DISK_FULL:
        then = "use --resume" if name in RESUMABLE else "try again"
        full = DISK_FULL[error.errno]
        return f"{where}{full}; nothing was replaced, free some space and {then}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}no permission"
    return f"{where}{error.strerror or error}"


def say(name: str, text: str, code: int) -> None:
    """Print why a command ends with this exit code: one line on standard error.

    Of a very long one both ends, which say what is wrong. Of processes that run it together one
    does so.
    """
    if not ranks.tells(name, code):
        return
    line = show(" ".join(text.split("\n")))
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}"
    tell(f"sertool {name}: {line}" if name else f"sertool: {line}")


def told(name: str, error: OSError) -> int:
    """Print why the operating system ended a command; return its exit code."""
    say(name, _reason(error, name), 3)
    return 3


def flushed() -> bool:
    """Write what standard output holds; where it cannot be written, drop it and return False."""
    try:
        sys.stdout.flush()
    except OSError:
        drop_stdout()
        return False
    return True


def drop_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush stays quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
