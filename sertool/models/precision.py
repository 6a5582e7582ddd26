"""What `--precision auto` stands for: a fixed table of models and kinds of device.

`RATIOS` has the time of a training step in bfloat16 over that in float32, as
`python benchmarks/precision.py` printed it: run that on a kind of device that is missing here, and
add its line. Auto is bfloat16 where it takes less than `FASTER` of the time, and float32 everywhere
else, also where nobody has measured. Nothing is timed when training starts, so a machine always
chooses alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

AUTO = "auto"
FASTER = 0.9  # of the time of float32: what is gained less would not repay the lost digits
INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # either makes a processor's kind `cpu-bf16`
AMPERE = (8, 0)  # compute capability from which a GPU computes in bfloat16

# torch 2.13, one thread of an AMD EPYC with avx512_bf16 for "cpu-bf16"; "cpu": the same without its
# use (see the script)
RATIOS: dict[str, dict[str, float]] = {
    "cpu-bf16": {
        "sundharam-cnn": 0.51,
        "sundharam-bilstm": 0.61,
        "sundharam-transformer": 0.64,
        "badshah2017": 0.55,
        "badshah2017-alexnet": 0.56,
        "fser2021": 0.58,
        "ma2018": 0.39,
        "ma2018-fixed": 0.42,
        "huang2014": 0.63,
        "sertool": 0.73,
    },
    "cpu": {
        "sundharam-cnn": 2.63,
        "sundharam-bilstm": 1.7,
        "sundharam-transformer": 1.58,
        "badshah2017": 2.56,
        "badshah2017-alexnet": 2.46,
        "fser2021": 2.26,
        "ma2018": 2.3,
        "ma2018-fixed": 2.3,
        "huang2014": 1.82,
        "sertool": 1.51,
    },
}


def kind(device: torch.device) -> str:
    """Return the kind of a device: "cpu-bf16", "cpu", "cuda", "cuda-old" or torch's own name."""
    import torch

    if device.type == "cpu":
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # newer torch only
        return "cpu-bf16" if any(known.get(name) for name in INSTRUCTIONS) else "cpu"
    if device.type == "cuda":
        return "cuda" if torch.cuda.get_device_capability(device) >= AMPERE else "cuda-old"
    return device.type


def chosen(model: str, kind: str) -> str:
    """Return what auto is for a model on a kind of device: "float32" or "bfloat16"."""
    ratio = RATIOS.get(kind, {}).get(model)
    return "float32" if ratio is None or ratio >= FASTER else "bfloat16"


def told(model: str, kind: str) -> str:
    """Return why, for people."""
    ratio = RATIOS.get(kind, {}).get(model)
    if ratio is None:
        return f"bfloat16 was not measured for {model} on {kind}"
    return f"on {kind}, a step in bfloat16 takes {ratio:g} of the time in float32"
