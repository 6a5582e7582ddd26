"""What a network computes on its way to the logits: its layers' activations, and its slopes.

Nothing here knows a network's name. Forward hooks watch the very pass that gives the posterior, and
each activation is reduced at once to (time, units), so that what is kept is small.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

MOST_KEPT = 2 << 30  # bytes that a gradient may keep: some minutes of sound in a large network
SAY_NOTHING = ("Dropout", "Dropout1d", "Dropout2d", "Identity")


class TooLarge(Exception):
    """A gradient would keep more than MOST_KEPT bytes."""


@dataclass
class Layer:
    """One layer's activation: a module with weights and what follows it up to the next one.

    values: (time, units) float32, (units,) where time is gone, None for any other shape.
    averaged: over how many points of frequency each value is a mean. The middle of frame i lies at
    `start` + i * `step`, in frames of the network's input; where `exact` is False the frames of the
    layer are no more than spread evenly. made_by: classes of modules, in their order.
    """

    name: str
    made_by: list[str]
    shape: tuple[int, ...]
    values: np.ndarray | None = None
    averaged: int = 1
    start: float = 0.5
    step: float = 1.0
    exact: bool = True
    two_ways: bool = False  # the second half of the units runs backwards
    time_first: bool = False  # (time, batch, units)
    time_last: bool = False  # (batch, units, time)


@dataclass
class Pass:
    """One forward pass of one item: input (1, frames, ...), its length, logits (outputs,)."""

    x: np.ndarray
    length: int
    logits: np.ndarray = field(default_factory=lambda: np.zeros(0))
    layers: list[Layer] = field(default_factory=list)


class Recorder:
    """Watches a network in evaluation mode; `passes` grows by one with every forward pass.

    A layer is a module with weights of its own that only scales nothing, or one that keeps what
    goes on in it to itself. A later output of the same shape (a normalisation, a nonlinearity, a
    mask) takes the place of the layer's own, until the next layer.

    The axis of time of a 4-D output (batch, channels, a, b) is `time_axis` (2 or 3) where it is
    given. Else it is b for pictures, and where a is 1; otherwise the one of the two whose lengths
    (time, frequency) are nearer to the input's. One-dimensional convolutions give (batch, units,
    time), all else in 3-D is (batch, time, units). `shortest` is the frames up to which the network
    zero-pads its input.
    """

    def __init__(
        self,
        network: nn.Module,
        pictures: bool = False,
        shortest: int = 1,
        time_axis: int | None = None,
    ) -> None:
        self.network, self.pictures, self.shortest = network, pictures, shortest
        self.passes: list[Pass] = []
        self._muted = False  # during a pass that is not to be recorded
        self._live = False  # during one that is
        self._axis = time_axis
        self._known: dict[int, tuple[float, float]] = {}  # length -> (start, step) of such frames
        self._begun: list[int] = []  # layers there were when each module under way began
        network.register_forward_pre_hook(self._begin)
        network.register_forward_hook(self._end)
        for name, module in network.named_modules():
            if module is not network:
                module.register_forward_pre_hook(self._before)
                module.register_forward_hook(functools.partial(self._after, name))

    def saliency(self, one: Pass, output: int) -> np.ndarray:
        """Return |d logit / d x| of one logit for a recorded pass, of the shape of its input.

        Raises TooLarge where it would need more memory than MOST_KEPT.
        """
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            if sum(kept.values()) > MOST_KEPT:
                raise TooLarge
            return tensor

        self._muted = True
        try:
            where = next((p.device for p in self.network.parameters()), torch.device("cpu"))
            # cuDNN has no gradient of recurrent layers in evaluation mode
            with (
                torch.enable_grad(),
                torch.backends.cudnn.flags(enabled=False),
                torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            ):
                x = torch.from_numpy(one.x).to(where).requires_grad_()
                logits = self.network(x, torch.tensor([one.length]).to(where))
                (slope,) = torch.autograd.grad(logits[0, output], x)
            found: np.ndarray = slope.abs().cpu().numpy()
            return found
        finally:
            self._muted = False

    @property
    def frames(self) -> int:
        """Frames of the input under way, as the network fills it up; columns of a picture."""
        shape = self.passes[-1].x.shape
        return shape[3] if self.pictures else max(shape[1], self.shortest)

    def _begin(self, network: nn.Module, given: tuple[Any, ...]) -> None:
        if not self._muted:
            x, lengths = given[:2]
            self.passes.append(Pass(x.detach().cpu().numpy().copy(), int(lengths[0])))
            self._known = {self.frames: (0.5, 1.0)}
            self._begun = []
            self._live = True

    def _end(self, network: nn.Module, given: tuple[Any, ...], logits: torch.Tensor) -> None:
        if self._live:
            self.passes[-1].logits = logits[0].detach().cpu().double().numpy()
        self._live = False

    def _before(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        if self._live:
            self._begun.append(len(self.passes[-1].layers))

    def _after(self, name: str, module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if not self._live:
            return
        layers = self.passes[-1].layers
        quiet = self._begun.pop() == len(layers)  # no layer within it was seen
        after = _tensor(output)
        if after is None:
            return
        if after.ndim == 4 and self._axis is None:
            self._axis = self._time_axis(after)
        self._follow(module, _tensor(given), after)
        shape = tuple(after.shape)
        if quiet and any(_weighs(part) for part in module.modules()):
            layers.append(_layer(name, module, shape, output))
        elif not layers or layers[-1].shape != shape:
            return
        kind = type(module).__name__
        leaf = next(module.children(), None) is None
        if not (leaf or layers[-1].made_by or _weighs(module)):
            within = dict.fromkeys(
                type(part).__name__ for part in module.modules() if _weighs(part)
            )
            kind += f" ({', '.join(within)})"
        if not layers[-1].made_by or (leaf and quiet and kind not in SAY_NOTHING):
            layers[-1].made_by.append(kind)
        self._keep(layers[-1], after.detach())

    def _time_axis(self, output: torch.Tensor) -> int:
        """Return 2 or 3, by the rule that the class states."""
        a, b = output.shape[2:]
        if self.pictures or a == 1:
            return 3
        dims = self.passes[-1].x.shape[-1]
        usual = abs(np.log(a / self.frames)) + abs(np.log(b / dims))
        swapped = abs(np.log(b / self.frames)) + abs(np.log(a / dims))
        return 2 if usual <= swapped else 3

    def _follow(self, module: nn.Module, before: torch.Tensor | None, after: torch.Tensor) -> None:
        """Learn where the frames lie that a convolution or pooling gives: middle and distance.

        A window of k frames, d apart, every s frames, p of padding before the first: its middle is
        d (k - 1) / 2 - p after that of the first frame.
        """
        if before is None or not hasattr(module, "kernel_size") or before.ndim != after.ndim:
            return
        if after.ndim not in (3, 4) or "Transpose" in type(module).__name__:
            return
        axis = 2 if after.ndim == 3 else self._axis or 2
        place = self._known.get(before.shape[axis])
        if place is None:
            return
        k, s, d = (_along(module, name, axis) for name in ("kernel_size", "stride", "dilation"))
        padding = getattr(module, "padding", 0)
        if isinstance(padding, str):
            p = d * (k - 1) // 2 if padding == "same" else 0
        else:
            p = _along(module, "padding", axis)
        start, step = place
        self._known[after.shape[axis]] = (start + (d * (k - 1) / 2 - p) * step, step * s)

    def _keep(self, layer: Layer, output: torch.Tensor) -> None:
        """Put an output into `layer`, as (time, units) or (units,)."""
        if output.ndim == 2:
            layer.values = output[0].float().cpu().numpy().copy()
            return
        if output.ndim == 3:
            value = output[:, 0] if layer.time_first else output[0]
            value = value.T if layer.time_last else value
        elif output.ndim == 4:
            across = 5 - (self._axis or 2)
            layer.averaged = output.shape[across]
            value = output[0].float().mean(across - 1).T
        else:
            return
        layer.values = value.float().cpu().numpy().copy()
        known = self._known.get(len(value))
        place = (*known, True) if known else by_shape(self.frames, len(value))
        layer.start, layer.step, layer.exact = place


def _layer(name: str, module: nn.Module, shape: tuple[int, ...], output: Any) -> Layer:
    first = output[0] if isinstance(output, tuple | list) else output
    packed = isinstance(output, PackedSequence) or isinstance(first, PackedSequence)
    return Layer(
        name,
        [],
        shape,
        two_ways=bool(getattr(module, "bidirectional", False)),
        time_first=not packed and getattr(module, "batch_first", True) is False,
        time_last=isinstance(module, nn.Conv1d | nn.ConvTranspose1d),
    )


def _tensor(value: Any) -> torch.Tensor | None:
    """Return the tensor of a module's input or output: the first of several, padded if packed."""
    if isinstance(value, torch.Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, PackedSequence):
        return pad_packed_sequence(value, batch_first=True)[0]
    if dataclasses.is_dataclass(value):
        value = tuple(vars(value).values())
    if isinstance(value, tuple | list):
        return next((t for item in value if (t := _tensor(item)) is not None), None)
    return None


def _weighs(module: nn.Module) -> bool:
    """Return whether a module has weights of its own that do more than scale and shift."""
    own = next(module.parameters(recurse=False), None) is not None
    return own and "Norm" not in type(module).__name__ and not isinstance(module, nn.PReLU)


def _along(module: nn.Module, name: str, axis: int) -> int:
    """Return a module's setting (a number, or one for each of the last axes) along `axis`."""
    value = getattr(module, name, 1)
    if not isinstance(value, tuple | list):
        return int(value)
    return int(value[axis - 2] if len(value) > 1 else value[0])


def by_shape(frames: int, left: int) -> tuple[float, float, bool]:
    """Return (start, step, exact) of `left` frames made of `frames`, by their numbers alone.

    Where a whole number s of frames makes one, with fewer than s left over, that is their place.
    """
    for step in (frames // left, -(-frames // left)):
        if step and frames // step == left:
            return step / 2, float(step), True
    return frames / left / 2, frames / left, False
