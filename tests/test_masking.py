"""Masked layers and sequence models: padded is alone, whatever is in the padding.

Of the models that listen over time `sundharam-cnn` is not among these: all its items have one
length and fill their batch, so that there is nothing to mask. Nor are `sundharam-bilstm` and
`sundharam-transformer`, which have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import made_models
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sertool.models import MODELS, Network, masking, model

OUTPUT = {torch.float32: 1e-5, torch.float64: 1e-12}
# Relative to each tensor's largest; in float32 to the largest of all parameters, because small
# gradients are what is left of sums that cancel.
GRADIENT = {torch.float32: 1e-4, torch.float64: 1e-10}
MAPS, BINS, DIMS = 3, 6, 5

Heard = tuple[torch.Tensor, torch.Tensor]  # values, lengths; (batch, frames, …) or (batch, …)
Hear = Callable[[nn.Module, torch.Tensor, torch.Tensor], Heard]


def frames_first(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2)


def over_maps(part: Any, x: torch.Tensor, lengths: torch.Tensor) -> Heard:
    """Hear maps, given with frames first; a block returns lengths of its own."""
    out = part(x.transpose(1, 2), lengths)
    maps, left = out if isinstance(out, tuple) else (out, lengths)
    return frames_first(maps), left


def pooled(part: Any, x: torch.Tensor, lengths: torch.Tensor) -> Heard:
    return part(x, lengths), torch.zeros_like(lengths)


def states(part: Any, x: torch.Tensor, lengths: torch.Tensor) -> Heard:
    return part(x, lengths)[0], lengths


def last(part: Any, x: torch.Tensor, lengths: torch.Tensor) -> Heard:
    return part(x, lengths)[1], torch.zeros_like(lengths)


class Function(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.function(x * self.scale, lengths)


def used_norm() -> nn.Module:
    """A batch normalisation in eval, with statistics and weights that are not its first."""
    norm = masking.BatchNorm(MAPS)
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        nn.init.uniform_(tensor, 0.5, 1.5)
    return norm.eval()


def block(batch_norm: bool) -> nn.Module:
    return masking.ConvBlock(MAPS, 4, (4, 3), (2, 3), batch_norm).eval()


MAPPED, SEQUENCE = (MAPS, BINS), (DIMS,)
PARTS: dict[str, tuple[Callable[[], nn.Module], Hear, tuple[int, ...]]] = {
    "conv, even": (lambda: masking.Conv(MAPS, 4, (4, 6)), over_maps, MAPPED),
    "conv, odd": (lambda: masking.Conv(MAPS, 4, (5, 3)), over_maps, MAPPED),
    "conv, wider than any": (lambda: masking.Conv(MAPS, 4, (12, 16)), over_maps, MAPPED),
    "conv over time": (lambda: masking.Conv(MAPS, 4, (3, 1)), over_maps, (MAPS, 1)),
    "norm, eval": (used_norm, over_maps, MAPPED),
    "block": (lambda: block(False), over_maps, MAPPED),
    "block with norm": (lambda: block(True), over_maps, MAPPED),
    "mean": (lambda: Function(masking.mean_over_time), pooled, SEQUENCE),
    "lstm, states": (lambda: masking.Recurrent("lstm", DIMS, 3), states, SEQUENCE),
    "lstm, last": (lambda: masking.Recurrent("lstm", DIMS, 3), last, SEQUENCE),
    "gru, last": (lambda: masking.Recurrent("gru", DIMS, 3), last, SEQUENCE),
    "gru, one way": (lambda: masking.Recurrent("gru", DIMS, 3, False), last, SEQUENCE),
}


def batch(items: list[torch.Tensor], extra: int) -> Heard:
    """Pad items (frames, …) with values far larger than theirs, `extra` frames beyond need."""
    lengths = torch.tensor([len(item) for item in items])
    shape = len(items), int(lengths.max()) + extra, *items[0].shape[1:]
    x = torch.randn(shape, dtype=items[0].dtype) * 100
    for row, item in zip(x, items, strict=True):
        row[: len(item)] = item
    return x, lengths


def kept(values: torch.Tensor, left: torch.Tensor) -> list[torch.Tensor]:
    """What counts of each item: its own frames, or all of it where no frames are left."""
    return [v[:n] if n else v for v, n in zip(values, left.tolist(), strict=True)]


def answers(
    part: nn.Module, hear: Hear, x: torch.Tensor, lengths: torch.Tensor
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor], list[torch.Tensor]]:
    """Outputs of each item, gradients of the parameters, and those of each item's input."""
    x = x.clone().requires_grad_()
    part.zero_grad()
    outputs = kept(*hear(part, x, lengths))
    loss = sum((o * torch.arange(1, o.numel() + 1).view(o.shape).sin()).sum() for o in outputs)
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in part.named_parameters() if p.grad is not None}
    assert x.grad is not None
    return [o.detach() for o in outputs], gradients, kept(x.grad, lengths)


def near(ours: torch.Tensor, theirs: torch.Tensor, limit: float, least: float = 1e-30) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= limit * max(least, float(theirs.abs().max()))


def assert_alone(part: nn.Module, hear: Hear, items: list[torch.Tensor], extra: int) -> None:
    """The batch gives what its items give one by one; gradients of the parameters add up."""
    kind = items[0].dtype
    outputs, gradients, inputs = answers(part, hear, *batch(items, extra))
    added: dict[str, torch.Tensor] = {}
    for i, item in enumerate(items):
        (alone,), grads, (below,) = answers(part, hear, item[None], torch.tensor([len(item)]))
        torch.testing.assert_close(outputs[i], alone, rtol=0, atol=OUTPUT[kind])
        near(inputs[i], below, GRADIENT[kind])
        added = {name: added.get(name, 0) + grad for name, grad in grads.items()}
    assert added.keys() == gradients.keys()
    largest = max(float(grad.abs().max()) for grad in gradients.values()) if gradients else 0.0
    least = largest if kind == torch.float32 else 1e-30
    for name, grad in gradients.items():
        near(grad, added[name], GRADIENT[kind], least)


def draw(lengths: list[int], shape: tuple[int, ...], kind: torch.dtype) -> list[torch.Tensor]:
    return [torch.randn(n, *shape, dtype=kind) for n in lengths]


LENGTHS = st.lists(st.integers(2, 14), min_size=1, max_size=4)  # any mix, in any order
PADDING = st.integers(0, 5)
KINDS = st.sampled_from([torch.float32, torch.float64])


@pytest.mark.parametrize("name", PARTS)
@given(LENGTHS, PADDING, KINDS, st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_parts(name: str, lengths: list[int], extra: int, kind: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    make, hear, shape = PARTS[name]
    assert_alone(make().to(kind), hear, draw(lengths, shape, kind), extra)


@pytest.mark.parametrize("name", ["conv, even", "lstm, last", "gru, last"])
def test_one_frame(name: str) -> None:
    torch.manual_seed(0)
    make, hear, shape = PARTS[name]
    assert_alone(make().double(), hear, draw([1, 4, 1], shape, torch.float64), 2)


@given(LENGTHS, PADDING, KINDS, st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_norm_in_training_is_torchs_over_the_valid_frames(
    lengths: list[int], extra: int, kind: torch.dtype, seed: int
) -> None:
    """All items end to end are one picture without padding, for `nn.BatchNorm2d`."""
    torch.manual_seed(seed)
    items = draw(lengths, MAPPED, kind)
    ours, theirs = masking.BatchNorm(MAPS).to(kind), nn.BatchNorm2d(MAPS).to(kind)
    nn.init.uniform_(ours.weight, 0.5, 1.5)
    theirs.load_state_dict(ours.state_dict())
    outputs, gradients, inputs = answers(ours, over_maps, *batch(items, extra))

    def plain(part: Any, x: torch.Tensor, whole: torch.Tensor) -> Heard:
        each = list(part(x.transpose(1, 2)).transpose(1, 2)[0].split(lengths))
        return nn.utils.rnn.pad_sequence(each, batch_first=True), torch.tensor(lengths)

    x, whole = torch.cat(items)[None], torch.tensor([sum(lengths)])
    expected, grads, (below,) = answers(theirs, plain, x, whole)
    for i in range(len(items)):
        torch.testing.assert_close(outputs[i], expected[i], rtol=0, atol=OUTPUT[kind])
    for name in gradients:
        near(gradients[name], grads[name], GRADIENT[kind])
    near(torch.cat(inputs), below, GRADIENT[kind])
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, dict(theirs.named_buffers())[name], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_references() -> None:
    """Alone the parts are torch's own layers, and what their names say."""
    torch.manual_seed(0)
    conv = masking.Conv(MAPS, 4, (4, 7)).double()
    plain = nn.Conv2d(MAPS, 4, (4, 7), padding="same").double()
    plain.load_state_dict(conv.state_dict())
    maps, five = torch.randn(1, MAPS, 5, BINS).double(), torch.tensor([5])
    torch.testing.assert_close(conv(maps, five), plain(maps))
    block = masking.ConvBlock(MAPS, 4, (4, 7), (2, 3)).double()
    block.conv.load_state_dict(conv.state_dict())
    pooled, left = block(maps, five)
    torch.testing.assert_close(pooled, nn.functional.max_pool2d(plain(maps).relu(), (2, 3)))
    assert left.tolist() == [2]
    x = torch.randn(1, 5, DIMS).double()
    torch.testing.assert_close(masking.mean_over_time(x, five), x.mean(1))
    recurrent = masking.Recurrent("lstm", DIMS, 3).double()
    states, (hidden, _) = recurrent.cells(x)
    ours, final = recurrent(x, five)
    torch.testing.assert_close(ours, states)
    torch.testing.assert_close(final, torch.cat([hidden[0], hidden[1]], 1))
    torch.testing.assert_close(final[:, :3], states[:, -1, :3])
    torch.testing.assert_close(final[:, 3:], states[:, 0, 3:])


@given(st.integers(1, 40), st.integers(2, 9), st.integers(1, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_pieces_are_the_whole(frames: int, chunk: int, step: int, batch_norm: bool) -> None:
    """A long recording piece by piece; of a batch of several lengths too."""
    torch.manual_seed(frames)
    if frames < step:
        return
    block = masking.ConvBlock(2, 3, (6, 3), (step, 2), batch_norm).double().eval()
    x = torch.randn(2, 2, frames, 6).double()
    lengths = torch.tensor([frames, max(1, frames // 2)])
    whole, left = block(x, lengths)
    before, masking.CHUNK = masking.CHUNK, chunk
    try:
        with torch.no_grad():
            pieces, same = block(x, lengths)
    finally:
        masking.CHUNK = before
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)
    assert same.tolist() == left.tolist()


def test_long_recordings_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No maps before a pooling are longer than a piece, unless a gradient is wanted."""
    seen: list[int] = []
    inside = masking.Conv.inside

    def watched(self: Any, surrounded: torch.Tensor) -> torch.Tensor:
        out = inside(self, surrounded)
        seen.append(out.shape[2])
        return out

    monkeypatch.setattr(masking.Conv, "inside", watched)
    block = masking.ConvBlock(1, 1, (12, 1), (2, 1)).eval()
    x, lengths = torch.zeros(1, 1, 60000, 1), torch.tensor([60000])
    with torch.inference_mode():
        assert block(x, lengths)[0].shape == (1, 1, 30000, 1)
    assert sum(seen) == 60000
    assert max(seen) == masking.CHUNK
    block(x, lengths)
    assert seen[-1] == 60000


SMALL = {
    "ma2018": ["pools=[2,2,2]", "hidden=4", "dense=5", "dropout=0.0"],
    "sertool": ["widths=[4,6]", "hidden=5", "attention=3", "dropout=0.0"],
    "huang2014": ["components=4", "frames=12", "test_hop=3", "maps=2", "salient=3", "other=2"],
}
SMALL["ma2018-fixed"] = SMALL["ma2018"]
SEQUENCE_MODELS = {  # every model over time that takes items of more than one length
    "ma2018": [[], ["recurrent=gru"], ["batch_norm=false"], ["bidirectional=false"]],
    "ma2018-fixed": [["frames=44"], ["frames=44", "batch_norm=false"]],
    "sertool": [[], ["widths=[4]"]],
    "huang2014": [["features=lif"], ["features=salient"], ["classifier=logistic"]],
}
VARIANTS = [(name, texts) for name, variants in SEQUENCE_MODELS.items() for texts in variants]


def network(name: str, texts: list[str], kind: torch.dtype) -> nn.Module:
    found = made_models.network(name, *SMALL[name], *texts)
    built = found.build(None, (8,), 3)
    if found.first_stage_tensors:  # as if it had learned something
        for part, buffer in built.named_buffers():
            nn.init.ones_(buffer) if part.endswith("sd") else nn.init.normal_(buffer)
    return built.to(kind)


def test_no_sequence_model_is_left_out() -> None:
    listed = {name: model(name) for name in MODELS}
    over_time = {
        name
        for name, found in listed.items()
        if issubclass(found, Network) and not found.pictures and not found.fixed_length
    }
    on_an_encoder = {"finetune", "probe"}  # tests/test_finetune.py and tests/test_ssl.py
    assert over_time == set(SEQUENCE_MODELS) | on_an_encoder


@pytest.mark.parametrize(("name", "texts"), VARIANTS)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), PADDING, KINDS, st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_models(
    name: str, texts: list[str], lengths: list[int], extra: int, kind: torch.dtype, seed: int
) -> None:
    """Down to one frame: below the shortest length an item is filled up, the same in company."""
    torch.manual_seed(seed)
    assert_alone(network(name, texts, kind).eval(), pooled, draw(lengths, (8,), kind), extra)


@pytest.mark.parametrize("name", ["ma2018", "ma2018-fixed"])
@given(st.lists(st.integers(1, 40), min_size=2, max_size=4), st.integers(1, 9), KINDS, st.data())
@settings(max_examples=8, deadline=None)
def test_models_with_norm_in_training(
    name: str, lengths: list[int], extra: int, kind: torch.dtype, data: st.DataObject
) -> None:
    """The same batch, in another order and with more padding."""
    texts = ["batch_norm=true", *(["frames=44"] if name == "ma2018-fixed" else [])]
    torch.manual_seed(len(lengths))
    ours = network(name, texts, kind)
    other = network(name, texts, kind)
    other.load_state_dict(ours.state_dict())
    items = draw(lengths, (8,), kind)
    order = data.draw(st.permutations(range(len(items))))
    x, short = batch(items, 0)
    y, long = batch([items[i] for i in order], extra)
    a, b = ours(x, short), other(y, long)
    torch.testing.assert_close(a[order], b, rtol=0, atol=OUTPUT[kind])
    weights = torch.randn_like(a)
    (a * weights).sum().backward()
    (b * weights[order]).sum().backward()
    for mine, theirs in zip(ours.parameters(), other.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        near(mine.grad, theirs.grad, GRADIENT[kind])
    for mine, theirs in zip(ours.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "texts", "least"), [VARIANTS[0] + (8,), VARIANTS[4] + (44,)])
def test_shorter_items_are_filled_up_with_zeros(name: str, texts: list[str], least: int) -> None:
    assert made_models.network(name, *SMALL[name], *texts).shortest == least
    net = network(name, texts, torch.float64)
    x = torch.randn(1, least - 1, 8).double()
    filled = nn.functional.pad(x, (0, 0, 0, 1))
    ours = net(x, torch.tensor([least - 1]))
    torch.testing.assert_close(ours, net(filled, torch.tensor([least])))


def test_without_the_mask_padding_is_heard() -> None:
    torch.manual_seed(0)
    for texts, same in ([[], True], [["mask=false"], False]):
        net = network("ma2018", texts, torch.float64)
        x, lengths = torch.randn(1, 21, 8).double(), torch.tensor([21])
        more = nn.functional.pad(x, (0, 0, 0, 20))
        with torch.no_grad():
            difference = float((net(x, lengths) - net(more, lengths)).abs().max())
        assert (difference < 1e-12) == same


@pytest.mark.parametrize("batch_norm", ["true", "false"])
def test_bfloat16(batch_norm: str) -> None:
    torch.manual_seed(0)
    net = network("ma2018", [f"batch_norm={batch_norm}"], torch.float32)
    x, lengths = batch(draw([9, 30, 17], (8,), torch.float32), 3)
    exact = net(x, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x, lengths)
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.05)
    rough.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
