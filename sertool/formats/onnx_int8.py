"""Networks in ONNX whose weights and maps are of 8 bits, by ONNX Runtime's quantisation.

Static: the range of each map is that of examples. Ranges that are found while it runs need none,
and made the house model no faster. Only convolutions and products of matrices are changed, weights
by output channel; what is between, and the posteriors, stay float32.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np

KINDS = ["Conv", "MatMul", "Gemm"]  # operators that are changed


class Int8:
    """Changes the networks of a model, each by what the model is given of examples.

    feeds: name -> array for each example, as `onnx_scoring.OnnxScorer.feeds` makes them. changed:
    how many networks so far.
    """

    def __init__(self, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
        self.feeds = feeds
        self.changed = 0

    def __call__(self, network: bytes, inputs: Sequence[str]) -> bytes:
        """Return an ONNX model of one network in 8 bits; inputs: what the whole calls its own."""
        import onnx

        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports its use otherwise
        from onnxruntime import quantization

        own = [one.name for one in onnx.load_model_from_string(network).graph.input]
        examples: Iterator[dict[str, np.ndarray]] = iter(
            [
                {name: feed[outer] for name, outer in zip(own, inputs, strict=False)}
                for feed in self.feeds
            ]
        )

        reader = SimpleNamespace(get_next=lambda: next(examples, None))
        self.changed += 1
        with tempfile.TemporaryDirectory() as folder, _silent():
            before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
            before.write_bytes(network)
            quantization.quantize_static(
                before,
                after,
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=KINDS,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return after.read_bytes()


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the package's advice to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
