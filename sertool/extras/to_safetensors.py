"""Pickled weights of an encoder as safetensors: `python -m sertool.extras.to_safetensors FOLDER`.

Many encoders are published with pickled weights (pytorch_model.bin) alone, which could run code.
They are read as tensors and nothing else, and written beside as model.safetensors, names and
numbers unchanged.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sertool.core.errors import InputError, SertoolError
from sertool.core.paths import show
from sertool.formats import checkpoint
from sertool.formats.outputs import check_output
from sertool.models.encoders import PICKLED, WEIGHTS
from sertool.training.initial import read_torch


def convert(folder: Path, force: bool = False) -> Path:
    """Write the pickled weights in `folder` as safetensors and return the file.

    Raises InputError where there are none, they hold more than tensors, or the file exists.
    """
    single, index = (folder / name for name in PICKLED)
    if single.is_file():
        parts = [single]
    elif index.is_file():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        parts = [folder / Path(name).name for name in sorted(set(names))]
    else:
        raise InputError(f"{show(folder)}: holds no {PICKLED[0]}")
    output = folder / WEIGHTS
    check_output(output, force, False, parts)
    weights = {name: tensor for part in parts for name, tensor in read_torch(part).items()}
    checkpoint.save_weights(weights, output)
    return output


def main(arguments: list[str]) -> int:
    """Convert the folder that is named; return the exit code."""
    folders = [word for word in arguments if word != "--force"]
    if len(folders) != 1:
        print("usage: python -m sertool.extras.to_safetensors FOLDER [--force]", file=sys.stderr)
        return 2
    try:
        print(f"{show(convert(Path(folders[0]), '--force' in arguments))}: written")
    except SertoolError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
