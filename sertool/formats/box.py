"""The model in the box: a checkpoint, the same as an ONNX model, and its card."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sertool.core.data import data_path
from sertool.core.errors import InputError
from sertool.core.paths import is_audio

NAME = "box"  # what `sertool info` and `sertool.load` call it
SUFFIXES = CHECKPOINT, ONNX = ".ckpt", ".onnx"


def model() -> Path | None:
    """Return the path of the checkpoint; None where this installation has none."""
    return _brought(CHECKPOINT)


def quickest() -> Path | None:
    """Return the path of the model, in that format in which it predicts soonest; None for none.

    A checkpoint of tables needs NumPy alone, one with a network torch, which takes seconds to load:
    then it is the ONNX model, where ONNX Runtime is installed.
    """
    from sertool.formats.checkpoint import has_network

    found, other = _brought(CHECKPOINT), _brought(ONNX)
    if found is None or other is None or find_spec("onnxruntime") is None:
        return found
    return other if has_network(found) else found


def _brought(suffix: str) -> Path | None:
    try:
        return data_path("models", f"{NAME}{suffix}")
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
