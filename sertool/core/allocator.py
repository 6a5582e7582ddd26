"""The allocator of the process: memory that is used again and again is kept."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def keep_freed() -> None:
    """Tell glibc's malloc not to give freed blocks back to the system.

    Every recording, and every step of training, allocates the same large blocks: to touch them for
    the first time again and again costs a third of listening for speech, and a seventh of a step.
    Processes that are forked later do the same. Elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 2**26)
