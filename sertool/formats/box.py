"""The model in the box: a checkpoint and its card, which come with sertool."""

from __future__ import annotations

from pathlib import Path

from sertool.core.data import data_path
from sertool.core.errors import InputError
from sertool.core.paths import is_audio

NAME = "box"  # what `sertool info` and `sertool.load` call it
SUFFIXES = (".ckpt", ".onnx")


def model() -> Path | None:
    """Return the path of the checkpoint; None where this installation has none."""
    try:
        return data_path("models", f"{NAME}.ckpt")
    except InputError:
        return None


def card() -> str:
    """Return the model's card, Markdown below YAML as Hugging Face has it; InputError for none."""
    return data_path("models", f"{NAME}.md").read_text("utf-8")


def is_model(path: Path) -> bool:
    """Return whether a path is a model's: by the suffix of its name, or by the file's head."""
    from sertool.formats.checkpoint import is_checkpoint
    from sertool.formats.onnx import is_onnx

    if path.suffix in SUFFIXES:
        return True
    return not is_audio(path) and (is_checkpoint(path) or is_onnx(path))
