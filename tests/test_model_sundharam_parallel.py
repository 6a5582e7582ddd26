"""`sundharam-bilstm` and `sundharam-transformer`: their tables, plain torch, masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import made_models
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse
from sundharam_table import PAPER_POOLS, SMALL, STILL, assert_plain, both, network
from torch import nn
from torch.nn import functional

from sertool.core.errors import InputError, UsageError
from sertool.models import model
from sertool.models.inspection import Recorder
from sertool.models.sundharam import parallel as sundharam_parallel

NAMES = ("sundharam-bilstm", "sundharam-transformer")


def count(part: Any) -> int:
    return sum(p.numel() for p in part.parameters())


def shapes_within(net: Any, dims: int) -> dict[str, tuple[int, ...]]:
    """What each module returns for one item of 563 frames, by its name."""
    seen: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Callable[..., None]:
        def note(module: nn.Module, given: Any, output: Any) -> None:
            seen[name] = tuple((output[0] if isinstance(output, tuple) else output).shape)

        return note

    for name, part in net.named_modules():
        part.register_forward_hook(watch(name))
    with torch.no_grad():
        net.eval()(torch.zeros(1, 563, dims), torch.tensor([563]))
    return seen


LEFT = {  # frames × values after each of the four blocks
    128: [(281, 64), (70, 16), (17, 4), (4, 1)],
    13: [(281, 6), (70, 3), (17, 1), (4, 1)],
}


@pytest.mark.parametrize("dims", [128, 13])
@pytest.mark.parametrize("name", NAMES)
def test_the_table_line_by_line(name: str, dims: int) -> None:
    net = network(name, dims=dims)
    seen = shapes_within(net, dims)
    before = 563, dims
    for i, (maps, left) in enumerate(zip((16, 32, 64, 64), LEFT[dims], strict=True)):
        assert seen[f"picture.blocks.{i}.conv"] == (1, maps, *before)
        assert seen[f"picture.blocks.{i}"] == (1, maps, *left)
        before = left
    assert seen["picture"] == (1, 256)
    assert seen["pool"] == (1, 1, 140, 64 if dims == 128 else 13)
    assert seen["project"] == (1, 140, 64)
    assert seen[""] == (1, 8)
    if name == "sundharam-bilstm":
        assert seen["course.recurrent"] == (1, 140, 256)
        assert seen["course"] == (1, 256)
    else:
        assert [seen[f"course.layers.{i}"] for i in range(4)] == [(1, 140, 64)] * 4
        assert seen["course"] == (1, 64)


@pytest.mark.parametrize(
    ("name", "dims", "total"),
    [
        ("sundharam-bilstm", 128, 263_593),
        ("sundharam-bilstm", 13, 264_489),
        ("sundharam-transformer", 128, 395_176),
        ("sundharam-transformer", 13, 396_072),
    ],
)
def test_parameters(name: str, dims: int, total: int) -> None:
    net = network(name, dims=dims)
    assert count(net.picture) == 60_576
    assert [count(block.conv) for block in net.picture.blocks] == [160, 4_640, 18_496, 36_928]
    assert count(net.project) == (0 if dims == 128 else 896)
    if name == "sundharam-bilstm":
        assert (count(net.course.recurrent), count(net.course.score)) == (198_656, 257)
    else:
        assert [count(layer) for layer in net.course.layers] == [83_008] * 4
    assert count(net.last) == 8 * (257 + 256 if name == "sundharam-bilstm" else 257 + 64)
    assert count(net) == total


def test_dropout_is_the_papers() -> None:
    shares = [
        {part.p for part in network(name).modules() if isinstance(part, nn.Dropout)}
        for name in NAMES
    ]
    assert shares == [{0.3, 0.1}, {0.3, 0.4}]
    assert [block.drop.p for block in network(NAMES[0]).picture.blocks] == [0.3] * 4


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dims", [128, 13])
@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_its_table_in_plain_torch(name: str, dims: int, train: bool) -> None:
    torch.manual_seed(0)
    net, plain = both(name, *STILL[name], frames=563, dims=dims)
    x = torch.randn(2, 563, dims).double()
    assert_plain(net.train(train), plain.train(train), x, x[:, :0])


@pytest.mark.parametrize(("frames", "dims"), [(300, 13), (267, 31), (300, 64), (263, 257)])
@pytest.mark.parametrize("name", NAMES)
def test_other_sizes_of_features(name: str, frames: int, dims: int) -> None:
    """More than one place of a picture left in both directions; 64 values need no projection."""
    torch.manual_seed(0)
    net, plain = both(name, *SMALL[name], frames=frames, dims=dims)
    x = torch.randn(2, frames, dims).double()
    assert_plain(net, plain, x, x[:, :0])


@pytest.mark.parametrize("dims", [128, 13])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_shorter_items_is_trained_on_as_if_unpadded(name: str, dims: int) -> None:
    """Plain torch, of the items alone; what stands in the padding is large. Each mask is needed."""
    torch.manual_seed(0)
    net, plain = both(name, *SMALL[name], "mask=true", frames=400, dims=dims)
    x, padding = torch.randn(3, 275, dims).double(), 50 * torch.randn(3, 60, dims).double()
    assert_plain(net, plain, x, padding)


LENGTHS = st.lists(st.integers(128, 400), min_size=1, max_size=4)


@pytest.mark.parametrize("name", NAMES)
@given(LENGTHS, st.integers(0, 30), st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_masked_items_give_what_they_give_alone(
    name: str, lengths: list[int], extra: int, seed: int
) -> None:
    """Whatever is in the padding, whoever is beside them, and unpadded in plain torch."""
    torch.manual_seed(seed)
    net, plain = both(name, *SMALL[name], "mask=true", frames=400, dims=13)
    net.eval()
    plain.eval()
    items = [torch.randn(n, 13).double() for n in lengths]
    x = 50 * torch.randn(len(items), min(400, max(lengths) + extra), 13).double()
    for row, item in zip(x, items, strict=True):
        row[: len(item)] = item
    with torch.no_grad():
        together = net(x, torch.tensor(lengths))
        for logits, item in zip(together, items, strict=True):
            alone = net(item[None], torch.tensor([len(item)]))[0]
            torch.testing.assert_close(logits, alone, rtol=0, atol=1e-12)
            torch.testing.assert_close(logits, plain(item[None])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.integers(1, 300), min_size=2, max_size=4), st.data())
@settings(max_examples=6, deadline=None)
def test_masked_training_in_another_order_and_padding(
    name: str, lengths: list[int], data: st.DataObject
) -> None:
    """Statistics of the batch too; items below 128 frames are filled up with zeros."""
    torch.manual_seed(len(lengths))
    net, other = (
        network(name, *SMALL[name], "mask=true", frames=300, dims=13).double() for _ in range(2)
    )
    other.load_state_dict(net.state_dict())
    order = data.draw(st.permutations(range(len(lengths))))
    x = torch.randn(len(lengths), 300, 13).double()
    y = x[order].clone()
    for row, i in zip(y, order, strict=True):
        row[lengths[i] :] = 50 * torch.randn_like(row[lengths[i] :])
    a = net(x, torch.tensor(lengths))
    b = other(y, torch.tensor([lengths[i] for i in order]))
    torch.testing.assert_close(a[order], b, rtol=0, atol=1e-10)
    for mine, theirs in zip(net.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_very_short_items_are_filled_up_with_zeros(name: str) -> None:
    torch.manual_seed(0)
    assert made_models.network(name, "mask=true").shortest == 128
    assert made_models.network(name).shortest == 1
    net = network(name, *SMALL[name], "mask=true", frames=300, dims=13).double().eval()
    x = torch.randn(1, 100, 13).double()
    expected = net(functional.pad(x, (0, 0, 0, 28)), torch.tensor([128]))
    garbage = torch.cat([x, 50 * torch.randn(1, 90, 13).double()], 1)
    for given_ in (x, garbage):
        torch.testing.assert_close(net(given_, torch.tensor([100])), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_without_the_mask_zeros_are_heard(name: str) -> None:
    """The paper's: lengths do not matter. Of whole items the mask changes nothing."""
    torch.manual_seed(0)
    heard, masked = (
        network(name, *SMALL[name], text, frames=300, dims=13).double().eval()
        for text in ("mask=false", "mask=true")
    )
    masked.load_state_dict(heard.state_dict())
    x = torch.randn(1, 300, 13).double()
    x[:, 200:] = 0
    whole, part = torch.tensor([300]), torch.tensor([200])
    with torch.no_grad():
        torch.testing.assert_close(heard(x, part), heard(x, whole), rtol=0, atol=0)
        torch.testing.assert_close(masked(x, whole), heard(x, whole), rtol=0, atol=1e-12)
        assert float((masked(x, part) - heard(x, part)).abs().max()) > 1e-4


@pytest.mark.parametrize("mask", ["false", "true"])
@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name: str, mask: str) -> None:
    torch.manual_seed(0)
    net = network(name, *STILL[name], f"mask={mask}", frames=300, dims=128)
    net.to(memory_format=torch.channels_last)
    x, lengths = torch.randn(4, 300, 128), torch.tensor([300, 300, 210, 150])
    exact = net(x, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x, lengths)
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.1)
    rough.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_the_encoder_begins_as_torchs() -> None:
    layers = network("sundharam-transformer").course.layers
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(64, 4, 512)
    assert not layers[0].project.bias.any()
    assert not layers[0].join.bias.any()
    for mine, other in (
        (layers[0].project.weight, theirs.self_attn.in_proj_weight),
        (layers[0].join.weight, theirs.self_attn.out_proj.weight),
        (layers[0].widen.weight, theirs.linear1.weight),
        (layers[0].narrow.weight, theirs.linear2.weight),
        (layers[0].widen.bias, theirs.linear1.bias),
    ):
        assert float(mine.detach().abs().max()) == pytest.approx(
            float(other.detach().abs().max()), rel=0.05
        )
    for layer in layers[1:]:
        for name, tensor in layers[0].named_parameters():
            assert torch.equal(tensor, dict(layer.named_parameters())[name])


def test_defaults() -> None:
    for name in NAMES:
        found = made_models.network(name)
        assert found.fixed_length
        hp = found.defaults()
        hp.check()
        assert (hp.optimizer, hp.lr, hp.weight_decay, hp.betas) == (
            "adam",
            1e-3,
            1e-4,
            (0.9, 0.999),
        )
        assert (hp.batch_size, hp.epochs, hp.monitor) == (150, 500, "accuracy")
        assert (hp.schedule, hp.normalisation) == ("constant", "cell")
        masked = made_models.network(name, "mask=true").defaults()
        assert masked.normalisation == "feature"


WRONG = "layout=picture dropout=1.0 mask=1"
WRONG_LSTM = "hidden=0 states_dropout=1.0 heads=4"
WRONG_ENCODER = "layers=0 heads=0 heads=5 dense=0 encoder_dropout=-0.1 hidden=3"


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name in NAMES for text in WRONG.split()]
    + [(NAMES[0], text) for text in WRONG_LSTM.split()]
    + [(NAMES[1], text) for text in WRONG_ENCODER.split()],
)
def test_settings_that_cannot_be(name: str, text: str) -> None:
    found = model(name)
    with pytest.raises(UsageError):
        parse(found.Settings, [text])


@pytest.mark.parametrize(
    ("dims", "text", "expected"),
    [
        (12, "layout=auto", "mfcc"),
        (127, "layout=auto", "mfcc"),
        (128, "layout=auto", "mel"),
        (200, "layout=auto", "mel"),
        (200, "layout=mfcc", "mfcc"),
    ],
)
def test_the_layout_is_chosen_by_the_values_of_a_frame(dims: int, text: str, expected: str) -> None:
    found = made_models.network("sundharam-bilstm", text)
    assert isinstance(found, sundharam_parallel.SundharamBilstm)
    chosen = found.layout(128, dims)
    assert chosen is sundharam_parallel.LAYOUTS[expected]
    rows = [(values, frames) for frames, values in chosen.blocks]
    assert rows == PAPER_POOLS[expected]


@pytest.mark.parametrize("name", NAMES)
def test_features_that_leave_nothing_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} needs at least 12 values.*these have 11.*mel"):
        network(name, dims=11)
    with pytest.raises(InputError, match=r"at least 128 values.*layout mel.*have 64.*layout=mfcc"):
        network(name, "layout=mel", dims=64)
    for dims in (13, 128):
        assert network(name, frames=128, dims=dims)
        with pytest.raises(InputError, match=r"at least 128 frames.*these have 127.*--duration"):
            network(name, frames=127, dims=dims)


@pytest.mark.parametrize("name", NAMES)
def test_layers_lie_at_their_frames(name: str) -> None:
    """What `predict --explain` draws: in both branches, at the middle of what is heard."""
    recorder = Recorder(network(name, dims=13).eval(), time_axis=2)
    with torch.inference_mode():
        logits = recorder.network(torch.randn(1, 563, 13), torch.tensor([563]))
    (one,) = recorder.passes
    np.testing.assert_allclose(one.logits, logits[0], atol=1e-6)
    places = {len(la.values): (la.start, la.step) for la in one.layers if la.values is not None}
    assert all(la.exact for la in one.layers if la.values is not None and la.values.ndim == 2)
    assert [places[n] for n in (563, 281, 70, 17)] == [(0.5, 1), (1, 2), (4, 8), (16, 32)]
    assert places[140] == (2, 4)
    assert recorder.saliency(one, 0).shape == (1, 563, 13)
