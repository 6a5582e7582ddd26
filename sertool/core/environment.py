"""What a result may depend on beside its command: versions, and the processor.

No name of the machine, no time and no path: the same command on the same machine and installation
writes the same bytes.
"""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from sertool.core.version import VERSION

COMPUTING = ("numpy", "scipy", "scikit-learn", "torch", "librosa", "soxr", "soundfile", "h5py")
CPUINFO = Path("/proc/cpuinfo")


def environment(device: str = "cpu") -> dict[str, str]:
    """Return the versions of all that computes, and the processor; `device` "cuda" adds the GPU.

    >>> sorted(environment())[-3:]
    ['soundfile', 'soxr', 'torch']
    """
    return versions() | {"processor": _processor()} | _gpu(device)


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python, of this package, and of all that computes."""
    found = {"python": platform.python_version(), "sertool": VERSION}
    for name in COMPUTING:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # in a bundle, say
            found[name] = "unknown"
    return found


@functools.cache
def _processor() -> str:
    """Return the processor's model as its maker writes it, else its kind, such as "aarch64"."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = _sysctl()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "machdep.cpu.brand_string") and value.strip():
            return value.strip()
    return platform.machine()


def _sysctl() -> list[str]:
    """Return what macOS says of its processor, nothing elsewhere."""
    command = ["sysctl", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    except OSError:
        return []


def _gpu(device: str) -> dict[str, str]:
    if device != "cuda":
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
