"""The peak memory of a command, as the system counts it for the command alone."""

from __future__ import annotations

import os
import subprocess
import sys

# A process begins with the peak of the one it was forked from, and that of the tests may be large:
# so a small one starts the command and measures it.
SMALL = """
import os, resource, subprocess, sys
space = int(sys.argv[1])
if space:
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""
UNIT = 1 << 20 if sys.platform == "darwin" else 1 << 10  # of ru_maxrss, to a MB


def peak(*command: object, space: int = 0, **environment: str) -> tuple[int, str, float]:
    """Return the exit code, standard error and peak memory (MB) of a command with at most `space`
    bytes of addresses (0: any number)."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", SMALL, str(space), *map(str, command)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=True,
    )
    code, most = done.stdout.split()
    return int(code), done.stderr, int(most) / UNIT
