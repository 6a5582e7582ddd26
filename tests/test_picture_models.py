"""Tests of the networks over pictures: layer tables, counts, first weights, sizes refused."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import made_models
import numpy as np
import pytest
from made_settings import parse
from made_stores import write_store
from small_store import items

from sertool.core.errors import InputError, UsageError
from sertool.models import badshah2017, create, fser2021, model
from sertool.models.hyperparameters import Hyperparameters

PICTURE = (256, 256, 3)
TORCHVISION = {  # names and shapes of its AlexNet, the last layer's 1000 classes become 7
    "features.0.weight": (64, 3, 11, 11),
    "features.0.bias": (64,),
    "features.3.weight": (192, 64, 5, 5),
    "features.3.bias": (192,),
    "features.6.weight": (384, 192, 3, 3),
    "features.6.bias": (384,),
    "features.8.weight": (256, 384, 3, 3),
    "features.8.bias": (256,),
    "features.10.weight": (256, 256, 3, 3),
    "features.10.bias": (256,),
    "classifier.1.weight": (4096, 9216),
    "classifier.1.bias": (4096,),
    "classifier.4.weight": (4096, 4096),
    "classifier.4.bias": (4096,),
    "classifier.6.weight": (7, 4096),
    "classifier.6.bias": (7,),
}


def build(name: str, shape: tuple[int, ...], outputs: int, *assignments: str) -> Any:
    import torch

    found = made_models.network(name, *assignments)
    assert found.pictures
    torch.manual_seed(0)
    return found.build(None, shape, outputs)


def on_meta(name: str, shape: tuple[int, ...], outputs: int, *assignments: str) -> Any:
    """Return the network without memory for its weights: shapes alone."""
    import torch

    with torch.device("meta"):
        return build(name, shape, outputs, *assignments)


def run_on_meta(network: Any, shape: tuple[int, ...], batch: int = 2) -> Any:
    import torch

    x = torch.zeros(batch, 1, *shape, device="meta")
    return network.eval()(x, torch.ones(batch, device="meta"))


def count(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def table(network: Any, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...], int]]:
    """Return (layer, shape of its output for one picture, parameters) of each layer met."""
    rows: list[tuple[str, tuple[int, ...], int]] = []
    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(
                lambda m, i, o: rows.append((type(m).__name__, tuple(o.shape[1:]), count(m)))
            )
    run_on_meta(network, shape)
    return rows


def test_badshah_is_the_layer_table() -> None:
    assert table(on_meta("badshah2017", PICTURE, 7), PICTURE) == [
        ("Conv2d", (120, 62, 62), 43_680),
        ("ReLU", (120, 62, 62), 0),
        ("MaxPool2d", (120, 31, 31), 0),
        ("Conv2d", (256, 31, 31), 768_256),
        ("ReLU", (256, 31, 31), 0),
        ("MaxPool2d", (256, 15, 15), 0),
        ("Conv2d", (384, 15, 15), 885_120),
        ("ReLU", (384, 15, 15), 0),
        ("MaxPool2d", (384, 7, 7), 0),
        ("Identity", (384, 7, 7), 0),
        ("Linear", (2048,), 38_537_216),
        ("ReLU", (2048,), 0),
        ("Dropout", (2048,), 0),
        ("Linear", (2048,), 4_196_352),
        ("ReLU", (2048,), 0),
        ("Dropout", (2048,), 0),
        ("Linear", (7,), 14_343),
    ]
    assert count(on_meta("badshah2017", PICTURE, 7)) == 44_444_967


@pytest.mark.parametrize(
    ("assignments", "sides", "parameters"),
    [
        (("pools=[1]", "padding=false"), [62, 31, 27, 25], 497_429_799),
        (("padding=false",), [62, 31, 27, 13, 11, 5], 25_570_599),
        (("pools=[1, 2]", "padding=false"), [62, 31, 27, 13, 11], 101_068_071),
    ],
)
def test_badshah_variants(assignments: tuple[str, ...], sides: list[int], parameters: int) -> None:
    network = on_meta("badshah2017", PICTURE, 7, *assignments)
    assert count(network) == parameters
    rows = table(network, PICTURE)
    assert [s[1] for kind, s, _ in rows if kind in ("Conv2d", "MaxPool2d")] == sides


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("badshah2017", (128, 128, 3)),
        ("badshah2017", (256, 128, 1)),
        ("badshah2017-alexnet", (128, 128, 3)),
        ("badshah2017-alexnet", (227, 99, 1)),
        ("fser2021", (64, 64, 3)),
        ("fser2021", (33, 128, 1)),
    ],
)
def test_other_sizes_and_channels(name: str, shape: tuple[int, ...]) -> None:
    assert run_on_meta(on_meta(name, shape, 5), shape).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "assignments", "least"),
    [
        ("badshah2017", (), 39),
        ("badshah2017", ("pools=[]", "padding=false"), 35),
        ("badshah2017", ("pools=[1]", "padding=false"), 63),
        ("badshah2017", ("padding=false",), 103),
        ("badshah2017-alexnet", (), 63),
        ("fser2021", (), 16),
        ("fser2021", ("widths=[4, 4]",), 4),
    ],
)
def test_pictures_of_which_nothing_is_left(
    name: str, assignments: tuple[str, ...], least: int
) -> None:
    smallest = (least, least, 3)
    network = on_meta(name, smallest, 7, *assignments)
    assert run_on_meta(network, smallest).shape == (2, 7)
    for shape in ((least - 1, 256, 3), (256, least - 1, 3), (1, 1, 1)):
        with pytest.raises(InputError, match=f"{name} needs .* at least {least} × {least}, "):
            on_meta(name, shape, 7, *assignments)


def test_local_response_normalisation_is_caffes() -> None:
    import torch

    network = build("badshah2017", (48, 48, 3), 7, "hidden=8", "lrn=true")
    kinds = [type(layer).__name__ for layer in network.features]
    block = ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"]
    assert kinds == [*block * 2, "Conv2d", "ReLU", "MaxPool2d"]
    assert count(network) == count(build("badshah2017", (48, 48, 3), 7, "hidden=8"))
    x = 300 * np.random.default_rng(0).random((2, 9, 4, 3))
    wanted = np.empty_like(x)
    for i in range(9):  # lrn_layer.cpp: five maps around each, fewer at both ends, and k = 1
        squares = (x[:, max(0, i - 2) : i + 3] ** 2).sum(1)
        wanted[:, i] = x[:, i] / (1 + 1e-4 / 5 * squares) ** 0.75
    for layer in (network.features[2], network.features[6]):
        np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), wanted, rtol=1e-12)


def test_badshah_begins_as_caffes_alexnet() -> None:
    import torch

    shape = (48, 48, 3)
    network = build("badshah2017", shape, 7, "hidden=256", "dropout=0.0")
    sds = {name: p.std().item() for name, p in network.named_parameters() if p.dim() > 1}
    expected = dict.fromkeys(sds, 0.01)
    expected |= {"classifier.0.weight": 0.005, "classifier.3.weight": 0.005}
    assert sds == pytest.approx(expected, rel=0.05)
    biases = {name: p.unique().tolist() for name, p in network.named_parameters() if p.dim() == 1}
    assert biases == {
        "features.0.bias": [0],
        "features.3.bias": [pytest.approx(0.1)],  # the second convolution
        "features.6.bias": [0],
        "classifier.0.bias": [pytest.approx(0.1)],
        "classifier.3.bias": [pytest.approx(0.1)],
        "classifier.6.bias": [0],
    }
    other = build("badshah2017", shape, 7, "hidden=256")
    for mine, again in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, again)  # torch's generator alone decides


def test_badshah_begins_without_biases_where_told_to() -> None:
    network = build("badshah2017", (48, 48, 3), 7, "hidden=8", "bias=0.0")
    assert not any(p.any() for p in network.parameters() if p.dim() == 1)


def test_alexnet_begins_as_torch_or_caffe_does() -> None:
    shape = (63, 63, 3)
    network = build("badshah2017-alexnet", shape, 7, "caffe=true")
    sds = {name: p.std().item() for name, p in network.named_parameters() if p.dim() > 1}
    expected = dict.fromkeys(sds, 0.01) | {
        "classifier.1.weight": 0.005,
        "classifier.4.weight": 0.005,
    }
    assert sds == pytest.approx(expected, rel=0.05)
    biases = [p.unique().tolist() for p in network.parameters() if p.dim() == 1]
    tenth = [pytest.approx(0.1)]
    assert biases == [[0], tenth, [0], tenth, tenth, tenth, tenth, [0]]  # of Caffe's prototxt
    plain = build("badshah2017-alexnet", shape, 7)
    assert plain.features[3].bias.std() > 0.005  # uniform, as torch draws them


def test_checkpoints_from_before_a_setting_was_there_can_be_read() -> None:
    before = {"pools": [1, 2, 3], "padding": True, "hidden": 2048, "dropout": 0.5}
    assert create("badshah2017", before).name == "badshah2017"
    assert create("badshah2017-alexnet", {"dropout": 0.5}).name == "badshah2017-alexnet"


def test_badshah_needs_values_as_they_are_stored() -> None:
    import torch

    shape, truth, lengths = (64, 64, 3), torch.arange(8) % 4, torch.ones(8)
    network = build("badshah2017", shape, 4, "dropout=0.0", "hidden=512", "bias=0.0")
    x = 255 * torch.rand(8, 1, *shape) - 127
    logits, steps = [], []
    for scale in (1, 255):
        network.zero_grad()
        out = network(x / scale, lengths)
        torch.nn.functional.cross_entropy(out, truth).backward()
        logits.append(out.detach())
        steps.append([p.grad.norm().item() for p in network.parameters() if p.dim() > 1])
    torch.testing.assert_close(255 * logits[1], logits[0])  # every bias is 0
    ratios = [mean / unit for mean, unit in zip(*steps, strict=True)]
    assert ratios == pytest.approx([255] * 6, rel=0.2)


def test_alexnet_has_torchvisions_names_and_shapes() -> None:
    network = on_meta("badshah2017-alexnet", PICTURE, 7)
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert shapes == TORCHVISION
    assert list(shapes) == list(TORCHVISION)
    assert count(network) == 57_032_519
    assert count(on_meta("badshah2017-alexnet", (128, 128, 3), 1000)) == 61_100_840  # torchvision's


@pytest.mark.parametrize(("side", "sides"), [(224, [55, 27, 13, 6]), (256, [63, 31, 15, 7])])
def test_alexnet_layers(side: int, sides: list[int]) -> None:
    shape = (side, side, 3)
    rows = table(on_meta("badshah2017-alexnet", shape, 7), shape)
    a, b, c, d = sides
    assert rows[:13] == [
        ("Conv2d", (64, a, a), 23_296),
        ("ReLU", (64, a, a), 0),
        ("MaxPool2d", (64, b, b), 0),
        ("Conv2d", (192, b, b), 307_392),
        ("ReLU", (192, b, b), 0),
        ("MaxPool2d", (192, c, c), 0),
        ("Conv2d", (384, c, c), 663_936),
        ("ReLU", (384, c, c), 0),
        ("Conv2d", (256, c, c), 884_992),
        ("ReLU", (256, c, c), 0),
        ("Conv2d", (256, c, c), 590_080),
        ("ReLU", (256, c, c), 0),
        ("MaxPool2d", (256, d, d), 0),
    ]
    assert [kind for kind, _, _ in rows[13:]] == [
        *["AveragedTo", "Dropout", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]
    ]
    assert rows[13][1] == (256, 6, 6)


def test_fser_is_the_layer_table() -> None:
    shape = (64, 64, 3)
    network = on_meta("fser2021", shape, 8)
    rows = table(network, shape)
    assert [row for row in rows if row[2]] == [
        ("Conv2d", (32, 64, 64), 896),
        ("Conv2d", (64, 32, 32), 18_496),
        ("Conv2d", (128, 16, 16), 73_856),
        ("Conv2d", (256, 8, 8), 295_168),
        ("Linear", (512,), 2_097_664),
        ("Linear", (256,), 131_328),
        ("Linear", (8,), 2_056),
    ]
    block = ["Conv2d", "ReLU", "MaxPool2d", "Dropout"]
    dense = ["Linear", "ReLU", "Dropout"]
    assert [kind for kind, _, _ in rows] == [*block * 4, "Identity", *dense * 2, "Linear"]
    assert rows[14][1] == (256, 4, 4)
    assert count(network) == 2_619_464
    shares = [m.p for m in network.modules() if type(m).__name__ == "Dropout"]
    assert shares == [0.25] * 4 + [0.5] * 2


def test_fser_begins_as_keras_does() -> None:
    network = build("fser2021", (64, 64, 3), 8)
    for name, p in network.named_parameters():
        if p.dim() == 1:
            assert not p.any(), name
            continue
        width = p[0, 0].numel()  # points of a kernel, 1 of a dense layer
        limit = (6 / (width * (p.shape[0] + p.shape[1]))) ** 0.5
        assert limit * 0.97 < p.abs().max() <= limit, name
        assert p.std().item() == pytest.approx(limit / 3**0.5, rel=0.06), name


def test_fser_settings() -> None:
    network = on_meta("fser2021", (32, 32, 1), 4, "widths=[5,7]", "dense=[]", "dropout=0.1")
    assert [tuple(p.shape) for p in network.parameters() if p.dim() > 1] == [
        *[(5, 1, 3, 3), (7, 5, 3, 3), (4, 7 * 8 * 8)]
    ]


def test_dense_layers_see_channels_then_height_then_width() -> None:
    import torch

    network = build("fser2021", (8, 12, 3), 4, "widths=[3]", "dense=[]", "dropout=0.0")
    network.to(memory_format=torch.channels_last)
    x = torch.rand(2, 1, 8, 12, 3)
    out = network(x, torch.ones(2))
    kernel, weight = network.features[0], network.classifier[0]
    for row in range(2):  # as plain layers in torch's usual layout
        plain = x[row, 0].permute(2, 0, 1).contiguous()[None]
        maps = torch.conv2d(plain, kernel.weight.contiguous(), kernel.bias, padding=1).relu()
        pooled = maps.reshape(1, 3, 4, 2, 6, 2).amax((3, 5))
        torch.testing.assert_close(out[row : row + 1], weight(pooled.reshape(1, -1)))


def test_pictures_stay_channels_last_without_a_copy() -> None:
    import torch

    network = build("fser2021", (16, 16, 3), 2)
    network.to(memory_format=torch.channels_last)
    x = torch.rand(2, 1, 16, 16, 3)
    seen: list[Any] = []
    network.features.register_forward_hook(lambda m, i, o: seen.extend([i[0], o]))
    network(x, torch.ones(2))
    assert seen[0].data_ptr() == x.data_ptr()
    first = network.features[0](seen[0])
    assert first.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("badshah2017", "pools=[4]", "1 to 3"),
        ("badshah2017", "pools=[1, 1]", "once only"),
        ("badshah2017", "pools=1", "list in brackets, each a whole number"),
        ("badshah2017", "hidden=0", "hidden"),
        ("badshah2017", "dropout=1.0", "dropout"),
        ("badshah2017-alexnet", "dropout=-0.1", "dropout"),
        ("fser2021", "widths=[]", "at least one convolution"),
        ("fser2021", "widths=[4, 0]", "1 or more"),
        ("fser2021", "dense=[0.5]", "list in brackets"),
        ("fser2021", "dense_dropout=2", "dense_dropout"),
    ],
)
def test_settings_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(model(name).Settings, [text])


def test_defaults_are_the_papers() -> None:
    badshah = Hyperparameters(
        epochs=30,
        batch_size=100,
        lr=0.01,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=5e-4,
        schedule="step",
        schedule_step=10,
        schedule_factor=0.1,
        monitor="accuracy",
        normalisation="mean-image",
        biases="caffe",
    )
    assert badshah2017.Badshah2017().defaults() == badshah
    alexnet = asdict(badshah) | {"normalisation": "imagenet", "lr_scale": 0.1}
    assert asdict(badshah2017.Badshah2017Alexnet().defaults()) == alexnet
    fser = fser2021.Fser2021().defaults()
    assert fser == Hyperparameters(
        epochs=400,
        batch_size=64,
        lr=1e-3,
        optimizer="sgd",
        momentum=0.0,
        monitor="accuracy",
        normalisation="unit",
    )
    for hp in (badshah, fser, Hyperparameters(**alexnet)):
        hp.check()


@pytest.mark.parametrize("normalisation", ["unit", "mean-image"])
def test_settings_and_statistics_come_back_from_a_checkpoint(
    tmp_path: Path, normalisation: str
) -> None:
    import torch

    from sertool.commands.train import train
    from sertool.formats import checkpoint
    from sertool.models.scoring import Scorer
    from sertool.splits.division import PartOptions
    from sertool.training.options import TrainOptions

    rows, random = items(copies=0), np.random.default_rng(0)
    arrays = [random.integers(0, 256, (1, 24, 20, 3), dtype=np.uint8) for _ in rows]
    store, out = tmp_path / "s.h5", tmp_path / "m.ckpt"
    write_store(store, arrays, rows, kind="image")
    sizes = ("widths=[4,6]", "dense=[8]")
    options = TrainOptions(
        "fser2021",
        settings={"widths": [4, 6], "dense": [8]},
        overrides={"epochs": 1, "normalisation": normalisation, "biases": "caffe"},
        parts=PartOptions(test_fold="0"),
    )
    train(store, out, options)
    loaded = checkpoint.load(out)
    assert loaded.meta["model"]["settings"]["widths"] == [4, 6]
    assert loaded.meta["lineage"][-1]["params"]["hyperparameters"]["biases"] == "caffe"
    network = build("fser2021", (24, 20, 3), 3, *sizes).eval()
    network.load_state_dict({n: torch.from_numpy(a) for n, a in loaded.subset("model").items()})
    with torch.no_grad():
        x = np.stack(arrays[:3]).astype(np.float32)
        if normalisation == "unit":
            x /= 255
        else:
            x -= np.mean([a for a, row in zip(arrays, rows, strict=True) if row.fold != 0], 0)
        logits = network(torch.from_numpy(x), torch.ones(3))
    np.testing.assert_allclose(
        Scorer.load(out).posterior(arrays[:3]), logits.double().softmax(1), rtol=1e-5
    )
