"""Models that predict, in either format: a checkpoint, or the ONNX model that `export` made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sertool.formats import checkpoint as checkpoints
from sertool.formats.checkpoint import Checkpoint

if TYPE_CHECKING:
    from sertool.models.scoring import Scorer


def load(path: Path, items: bool = True) -> Checkpoint:
    """Return the model in a file; InputError where it is none. items: see `checkpoint.load`."""
    from sertool.formats import onnx

    if path.suffix == onnx.SUFFIX or onnx.is_onnx(path):
        return onnx.load(path)
    return checkpoints.load(path, items)


def scorer(model: Checkpoint, device: str, path: str) -> Scorer:
    """Return what scores features by a model; path: for messages. InputError where it cannot."""
    from sertool.formats.onnx import OnnxModel

    if isinstance(model, OnnxModel):
        from sertool.evaluation.onnx_scoring import OnnxScorer

        return OnnxScorer(model, path, device)
    from sertool.models.scoring import Scorer

    return Scorer.of(model, device, path)
