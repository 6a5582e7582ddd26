"""The two-branch networks of Sundharam & Johari in torch's own layers, to compare ours with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import made_models
import torch
from torch import nn
from torch.nn import functional

STILL = {  # settings without dropout
    "sundharam-bilstm": ["dropout=0.0", "states_dropout=0.0"],
    "sundharam-transformer": ["dropout=0.0", "encoder_dropout=0.0"],
}
SMALL = {
    "sundharam-bilstm": [*STILL["sundharam-bilstm"], "hidden=3"],
    "sundharam-transformer": [*STILL["sundharam-transformer"], "layers=2", "dense=5"],
}
PAPER_POOLS = {  # (rows, columns) of a picture whose columns are frames
    "mel": [(2, 2), (4, 4), (4, 4), (4, 4)],
    "mfcc": [(2, 2), (2, 4), (3, 4), (1, 4)],
}


def network(
    name: str, *assignments: str, frames: int = 563, dims: int = 128, outputs: int = 8
) -> Any:
    return made_models.network(name, *assignments).build(frames, (dims,), outputs)


class Paper(nn.Module):
    """The sheet's table in torch's own layers: pictures whose rows are bands, without dropout."""

    def __init__(self, ours: Any, name: str, dims: int) -> None:
        super().__init__()
        kind = "mel" if dims >= 128 else "mfcc"
        layers: list[nn.Module] = []
        sizes = [1, 16, 32, 64, 64]
        for i, pool in enumerate(PAPER_POOLS[kind]):
            conv = nn.Conv2d(sizes[i], sizes[i + 1], 3, stride=1, padding=1)
            layers += [conv, nn.BatchNorm2d(sizes[i + 1]), nn.ReLU(), nn.MaxPool2d(pool)]
        self.picture = nn.Sequential(*layers)
        self.pool = nn.MaxPool2d((2, 4) if kind == "mel" else (1, 4))
        high = dims // 2 if kind == "mel" else dims
        self.project = nn.Identity() if high == 64 else nn.Linear(high, 64)
        if name == "sundharam-bilstm":
            hidden = ours.course.recurrent.cells.hidden_size
            self.lstm = nn.LSTM(64, hidden, bidirectional=True)
            self.score = nn.Linear(2 * hidden, 1)
        else:
            first = ours.course.layers[0]
            layer = nn.TransformerEncoderLayer(64, first.heads, first.widen.out_features, 0.0)
            number = len(ours.course.layers)
            self.encoder = nn.TransformerEncoder(layer, number, enable_nested_tensor=False)
        self.last = nn.Linear(ours.last.in_features, ours.last.out_features)
        self.columns = ours.frames // 128
        self.double()
        self.take(dict(ours.named_parameters()), self.turn)

    def take(
        self, given: dict[str, torch.Tensor], turn: Callable[[str, torch.Tensor], torch.Tensor]
    ) -> None:
        own = dict(self.named_parameters())
        assert len(own) == len(given)
        with torch.no_grad():
            for name, tensor in given.items():
                own[self.called(name)].copy_(turn(name, tensor))

    @staticmethod
    def called(name: str) -> str:
        """Our name of a parameter -> that of it here."""
        parts = name.split(".")
        if parts[0] == "picture":
            return f"picture.{4 * int(parts[2]) + (parts[3] == 'norm')}.{parts[-1]}"
        if parts[0] != "course":
            return name
        if parts[1] == "recurrent":
            return f"lstm.{parts[-1]}"
        if parts[1] == "score":
            return f"score.{parts[-1]}"
        inner = {
            "project": "self_attn.in_proj_",
            "join": "self_attn.out_proj.",
            "middle": "norm1.",
            "widen": "linear1.",
            "narrow": "linear2.",
            "norm": "norm2.",
        }[parts[3]]
        return f"encoder.layers.{parts[2]}.{inner}{parts[-1]}"

    def turn(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Our tensor with rows where we have columns: kernels, and what the picture leaves."""
        if name.endswith("conv.weight"):
            return tensor.transpose(2, 3)
        if name != "last.weight":
            return tensor
        seen, rest = tensor.split([tensor.shape[1] - self.width, self.width], 1)
        turned = seen.unflatten(1, (self.columns, -1, 64)).permute(0, 3, 2, 1)
        return torch.cat([turned.flatten(1), rest], 1)

    @property
    def width(self) -> int:
        return 2 * self.lstm.hidden_size if hasattr(self, "lstm") else 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of items (batch, frames, dims); columns that are missing at the end are 0."""
        pictures = x.transpose(1, 2).unsqueeze(1)
        seen = self.picture(pictures)
        seen = functional.pad(seen, (0, self.columns - seen.shape[3]))
        steps = self.pool(pictures).squeeze(1).permute(2, 0, 1)  # (time, batch, values)
        steps = self.project(steps)
        if hasattr(self, "lstm"):
            states, _ = self.lstm(steps)
            course = (self.score(states).softmax(0) * states).sum(0)
        else:
            course = self.encoder(steps).mean(0)
        return self.last(torch.cat([seen.flatten(1), course], 1))


def unlike_the_first(net: Any) -> Any:
    """Weights of every layer as none of them begins, so that no two can be mistaken."""
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if "norm" in name or "middle" in name or "bias" in name:
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, 0.5, 1.5)
        else:
            tensor.data.add_(torch.randn_like(tensor) * 0.02)
    return net


def both(name: str, *texts: str, frames: int, dims: int, outputs: int = 5) -> tuple[Any, Paper]:
    net = network(name, *texts, frames=frames, dims=dims, outputs=outputs).double()
    unlike_the_first(net)
    plain = Paper(net, name, dims)
    own = dict(plain.named_buffers())
    for key, tensor in net.named_buffers():
        own[Paper.called(key)].copy_(tensor)
    return net, plain


def assert_same_gradients(net: Any, plain: Paper) -> None:
    """The gradients too, those of tensors that are turned being turned."""
    theirs = dict(plain.named_parameters())
    for key, mine in net.named_parameters():
        expected = theirs[plain.called(key)].grad
        assert expected is not None
        assert mine.grad is not None
        limit = 1e-10 * max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(plain.turn(key, mine.grad), expected, rtol=0, atol=limit)


def assert_plain(net: Any, plain: Paper, x: torch.Tensor, padding: torch.Tensor) -> None:
    """Ours of items with padding behind them is plain torch's of the items, gradients as well."""
    lengths = torch.full((len(x),), x.shape[1])
    ours, theirs = net(torch.cat([x, padding], 1), lengths), plain(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    assert_same_gradients(net, plain)
    own = dict(plain.named_buffers())
    for key, tensor in net.named_buffers():
        torch.testing.assert_close(tensor, own[Paper.called(key)], rtol=1e-7, atol=1e-10)
