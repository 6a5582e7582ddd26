"""`ma2018` and `ma2018-fixed`: the table of layers, a plain reference, and the six stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_models
import numpy as np
import pytest
import soundfile
from made_settings import parse

from sertool.core.errors import InputError, UsageError
from sertool.models import ma2018


def network(name: str, *assignments: str, bins: int = 400, outputs: int = 4) -> Any:
    return made_models.network(name, *assignments).build(None, (bins,), outputs)


def count(part: Any) -> int:
    return sum(p.numel() for p in part.parameters())


@pytest.mark.parametrize("name", ["ma2018", "ma2018-fixed"])
def test_the_table_line_by_line(name: str) -> None:
    import torch

    net = network(name, "batch_norm=false").eval()
    outputs: list[tuple[int, ...]] = []
    for part in (*net.blocks, net.recurrent):
        part.register_forward_hook(lambda m, i, o: outputs.append(tuple(o[0].shape)))
    logits = net(torch.zeros(1, 297, 400), torch.tensor([297]))
    assert outputs == [(1, 16, 148, 100), (1, 24, 74, 25), (1, 32, 37, 6), (1, 37, 256)]
    assert logits.shape == (1, 4)
    assert [tuple(block.conv.kernel_size) for block in net.blocks] == [(12, 16), (8, 12), (5, 7)]
    assert [count(block) for block in net.blocks] == [3_088, 36_888, 26_912]
    assert count(net.recurrent) == 329_728
    assert [count(layer) for layer in net.dense] == [16_448, 0, 0, 260]
    assert net.dense[2].p == 0.5
    assert count(net) == 413_324


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["recurrent=gru", "batch_norm=false"], 330_892),
        (["pools=[2,2,2]", "batch_norm=false"], 1_855_116),
        (["pools=[2,4,4]", "batch_norm=false"], 609_932),
        ([], 413_324 + 16 + 24 + 32),  # two parameters a map for one
        (["mask=false"], 413_324 + 16 + 24 + 32),
    ],
)
def test_the_sheets_variants(texts: list[str], expected: int) -> None:
    assert count(network("ma2018", *texts)) == expected


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_the_network_is_its_table_in_plain_torch() -> None:
    """Convolution, ReLU, maximum, thrice; an LSTM's last states; dense. Of a padded batch, too."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = network("ma2018", "dropout=0.0", "batch_norm=false").double()
    items = [torch.randn(n, 400).double() for n in (41, 88, 61)]
    convolutions = [
        nn.Conv2d(*sizes, padding="same").double()
        for sizes in ((1, 16, (12, 16)), (16, 24, (8, 12)), (24, 32, (5, 7)))
    ]
    for conv, block in zip(convolutions, net.blocks, strict=True):
        conv.load_state_dict(block.conv.state_dict())
    x = nn.utils.rnn.pad_sequence(items, batch_first=True)
    with torch.no_grad():
        ours = net(x, torch.tensor([41, 88, 61]))
        for logits, item in zip(ours, items, strict=True):
            maps = item[None, None]
            for conv in convolutions:
                maps = nn.functional.max_pool2d(conv(maps).relu(), (2, 4))
            frames = maps[0].permute(1, 2, 0).flatten(1)  # bins, and in each the maps
            states, _ = net.recurrent.cells(frames[None])
            both = torch.cat([states[0, -1, :128], states[0, 0, 128:]])
            torch.testing.assert_close(logits, net.dense(both), rtol=0, atol=1e-12)


def test_fixed_fills_up_with_silence_that_is_heard() -> None:
    import torch

    torch.manual_seed(0)
    fixed, whole = network("ma2018-fixed").eval(), network("ma2018").eval()
    whole.load_state_dict(fixed.state_dict())
    x = torch.randn(1, 120, 400)
    with torch.no_grad():
        ours = fixed(x, torch.tensor([120]))
        filled = torch.nn.functional.pad(x, (0, 0, 0, 177))
        torch.testing.assert_close(ours, whole(filled, torch.tensor([297])), rtol=0, atol=1e-6)
        assert float((ours - whole(x, torch.tensor([120]))).abs().max()) > 1e-4
    with pytest.raises(InputError, match=r"an item of 298 frames.*takes 297.*--segment-max"):
        fixed(torch.zeros(2, 298, 400), torch.tensor([100, 298]))


def test_defaults() -> None:
    hp = ma2018.Ma2018().defaults()
    hp.check()
    assert (hp.optimizer, hp.lr, hp.batch_size, hp.epochs) == ("adam", 1e-3, 16, 50)
    assert (hp.monitor, hp.patience, hp.clip_norm, hp.normalisation) == ("uar", 8, 5, "feature")
    assert (hp.batch_by, hp.class_weights, hp.length_weights) == ("length", "balanced", "inverse")
    fixed = ma2018.Ma2018Fixed().defaults()
    assert fixed == replace(hp, length_weights="pieces")  # as many steps, of the same sentences
    assert (hp.batch_of, hp.bucket_padding, hp.loss_norm) == ("recordings", 1, "epoch")


def test_the_rate_is_halved_after_three_stale_epochs() -> None:
    from sertool.training.schedules import learning_rate

    hp = ma2018.Ma2018().defaults()
    losses = [1.0, 0.9, 0.9, 0.9, 0.9, 0.8]
    rates = [learning_rate(hp, losses[:done]) for done in range(7)]
    assert rates == [1e-3] * 5 + [5e-4] * 2


def test_reconstruction_is_said() -> None:
    for name in ("ma2018", "ma2018-fixed"):
        assert "reconstruction" in made_models.network(name).summary


WRONG = "pools=[4,4] pools=[4,4,0] hidden=0 dense=0 dropout=1.0 recurrent=rnn"


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(ma2018.Ma2018Settings, [text])


def test_settings_of_the_fixed_network() -> None:
    with pytest.raises(UsageError, match="frames=7: needs a whole number, 8 or more"):
        parse(ma2018.Ma2018FixedSettings, ["frames=7"])
    with pytest.raises(UsageError, match="no such setting"):
        parse(ma2018.Ma2018FixedSettings, ["mask=false"])


def test_too_few_bins_are_refused() -> None:
    assert network("ma2018", bins=64)
    with pytest.raises(
        InputError, match=r"at least 64 values per frame.*these have 63; set smaller"
    ):
        network("ma2018", bins=63)
    assert network("ma2018", "pools=[1,2,2]", bins=4)


SMALL = ["--set", "hidden=8", "--set", "dense=8", "--set", "pools=[8,4,4]", "--epochs", 1]


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_stages(cli: Callable[..., Any], sounds: Path, tmp_path: Path) -> None:
    """Whole sentences: each file alone gives what it gives in `eval`, very short ones too."""
    store, net = tmp_path / "s.h5", tmp_path / "m.ckpt"
    short = tmp_path / "sounds"
    for path in sorted(sounds.rglob("*.wav"))[::2]:
        samples, rate = soundfile.read(path, dtype="int16")
        target = short / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        keep = 1500 if path == min(sounds.rglob("*.wav")) else len(samples) - 900 * len(target.stem)
        soundfile.write(target, samples[:keep], rate, "PCM_16")
    made = cli("featurize", short, store, "--kind", "logpower")
    assert made.code == 0, made.err
    done = cli("train", store, net, "--model", "ma2018", *SMALL, "--seed", 1)
    assert done.code == 0, done.err
    assert done.err.count("1 of 6 items are shorter than 8 frames and are zero-padded") == 1
    tested = cli("eval", net, store, "--all", "--json", "-")
    assert tested.code == 0, tested.err
    heard = cli("predict", "--vad", "off", net, short)
    assert heard.code == 0, heard.err
    assert heard.err.count("1 recordings or windows shorter than the model's input") == 1
    expected = {item["id"].split("/")[-1]: item for item in json.loads(tested.out)["items"]}
    for row in rows(heard.out):
        posterior = expected[Path(row["path"]).stem]["posterior"]
        assert row["posterior"] == pytest.approx(posterior, abs=1e-6)


def test_the_stages_in_pieces(cli: Callable[..., Any], sounds: Path, tmp_path: Path) -> None:
    """Pieces of at most a length, whose posteriors are averaged for their sentence."""
    store, net = tmp_path / "s.h5", tmp_path / "m.ckpt"
    options = ["--kind", "logpower", "--segment-max", 0.3]
    assert cli("featurize", sounds, store, *options).code == 0
    fixed = ["--model", "ma2018-fixed", *SMALL, "--set", "frames=27", "--force"]
    done = cli("train", store, net, *fixed)
    assert done.code == 0, done.err
    by = {}
    for unit in ("item", "file"):
        tested = cli("eval", net, store, "--all", "--json", "-", "--by", unit)
        assert tested.code == 0, tested.err
        by[unit] = {item["id"]: item["posterior"] for item in json.loads(tested.out)["items"]}
    assert (len(by["item"]), len(by["file"])) == (24, 12)
    for name, posterior in by["file"].items():
        for label, share in posterior.items():
            pieces = [by["item"][f"{name}#{i:03d}"][label] for i in range(2)]
            assert share == pytest.approx(np.mean(pieces), abs=1e-9)
    refused = cli("train", store, net, *[str(o).replace("27", "20") for o in fixed])
    assert refused.code == 3
    assert "frames, and the network takes 20" in refused.err


@pytest.mark.parametrize("cells", ["lstm", "gru"])
def test_first_weights_let_items_differ(cells: str) -> None:
    import torch

    def spread(start: str) -> float:
        torch.manual_seed(1)
        net = network("ma2018", f"recurrent={cells}", f"start={start}", "batch_norm=false")
        x = torch.randn(6, 60, 400) * torch.linspace(0.2, 2, 6).view(-1, 1, 1)
        with torch.no_grad():
            return float(net.eval()(x, torch.full((6,), 60)).std(0).mean())

    assert spread("scaled") > 4 * spread("torch")


def test_first_weights_gate_by_gate() -> None:
    import torch

    net = network("ma2018", "batch_norm=false")
    for name, values in net.recurrent.cells.named_parameters():
        parts = values.detach().chunk(4)
        if name.startswith("weight_hh"):
            for part in parts:
                torch.testing.assert_close(part @ part.T, torch.eye(128), rtol=0, atol=1e-5)
        if name.startswith("bias"):
            ones = [float(part.mean()) for part in parts]
            assert ones == [0, float(name.startswith("bias_ih")), 0, 0]
    for block in net.blocks:
        weight = block.conv.weight.detach()
        assert float(weight.var()) * weight[0].numel() == pytest.approx(2, rel=0.1)
        assert not block.conv.bias.any()
