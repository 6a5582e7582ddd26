"""The making of an ONNX graph, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sertool.core.errors import UsageError
from sertool.formats.onnx import IR_VERSION, OPSET, PRODUCER

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise UsageError("export needs the package onnx: pip install 'sertool[onnx]'") from error

TYPES = {
    np.dtype(kind): helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    for kind in ("f4", "f8", "f2", "i8")
}


class Graph:
    """A graph that grows; values in it are known by their names.

    change: what becomes of each model that is inserted, given its bytes and its inputs' names.

    >>> graph = Graph()
    >>> x = graph.input("x", "f4", ("rows", 2))
    >>> graph.output("y", graph.op("Add", x, graph.constant(np.ones(2, np.float32))), ("rows", 2))
    >>> len(graph.to_bytes()) > 100
    True
    """

    def __init__(self, change: Callable[[bytes, Sequence[str]], bytes] | None = None) -> None:
        self._change = change
        self._graph = onnx.GraphProto(name=PRODUCER)
        self._count = 0

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare an input; a text in its shape is a size that may vary."""
        kind = TYPES[np.dtype(dtype)]
        self._graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        """Declare `value`, float64, to be the output."""
        self._graph.node.append(helper.make_node("Identity", [value], [name]))
        kind = TYPES[np.dtype("f8")]
        self._graph.output.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, value: Any) -> str:
        """Return the name of an array, or a list of whole numbers."""
        array = np.asarray(value)
        name = self._name("constant")
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Return the name of what an operator gives."""
        name = self._name(kind)
        self._graph.node.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def cast(self, value: str, dtype: str) -> str:
        """Return `value` in another type."""
        return self.op("Cast", value, to=TYPES[np.dtype(dtype)])

    def total(self, value: str, axis: int, kind: str = "Sum", keep: bool = True) -> str:
        """Return the sum (Max, Min) along an axis."""
        return self.op(f"Reduce{kind}", value, self.constant([axis]), keepdims=int(keep))

    def softmax(self, value: str) -> str:
        """Return the softmax over the last axis."""
        return self.op("Softmax", value, axis=-1)

    def first(self, value: str, count: int) -> str:
        """Return the first columns of rows (rows, columns)."""
        zero, end, axis = self.constant([0]), self.constant([count]), self.constant([1])
        return self.op("Slice", value, zero, end, axis)

    def insert(self, model: bytes, inputs: Sequence[str]) -> str:
        """Add a model of one output, its inputs in their order; return what it gives.

        Raises ValueError for one whose graph has branches or loops.
        """
        if self._change is not None:
            model = self._change(model, inputs)
        added = onnx.load_model_from_string(model).graph
        prefix = self._name("network")
        names = dict(zip((one.name for one in added.input), inputs, strict=False))
        weights = {one.name for one in added.initializer}
        self._name("")
        for tensor in added.initializer:
            tensor.name = f"{prefix}/{tensor.name}"
            self._graph.initializer.append(tensor)

        def known(name: str) -> str:
            return names.get(name, f"{prefix}/{name}" if name else "")

        assert not weights & set(names)
        for node in added.node:
            if any(one.HasField("g") or one.graphs for one in node.attribute):
                raise ValueError(f"{node.op_type} has graphs of its own")
            node.input[:] = map(known, node.input)
            node.output[:] = map(known, node.output)
            node.name, node.doc_string = "", ""
            self._graph.node.append(node)
        return known(added.output[0].name)

    def to_bytes(self) -> bytes:
        """Return the model, without metadata; the same graph gives the same bytes."""
        model = onnx.ModelProto(
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
            graph=self._graph,
            opset_import=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}.{self._count}"
