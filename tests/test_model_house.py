"""`sertool`, the house model: its table of layers, padding, batches, and what it learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import network
from made_stores import write_store

from sertool.core.errors import InputError
from sertool.models.house import House


def made(*assignments: str, bands: int = 64, outputs: int = 8) -> Any:
    import torch

    torch.manual_seed(0)
    return network("sertool", *assignments).build(None, (bands,), outputs)


def count(part: Any) -> int:
    return sum(p.numel() for p in part.parameters())


def test_the_table_line_by_line() -> None:
    import torch

    net = made().eval()
    shapes: list[tuple[int, ...]] = []
    for part in (net.stem, *net.blocks, net.mix, net.pool):
        part.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    assert net(torch.zeros(1, 99, 64), torch.tensor([99])).shape == (1, 8)
    assert shapes == [
        (1, 24, 99, 32),
        (1, 24, 50, 16),
        (1, 48, 25, 8),
        (1, 96, 13, 4),
        (1, 13, 128),
        (1, 256),
    ]
    assert count(net) == 241_920


@pytest.mark.parametrize("bands", [1, 13, 40, 80])
def test_padding_changes_nothing(bands: int) -> None:
    import torch

    net = made(bands=bands).eval()
    for norm in net.modules():  # statistics as training leaves them: padding is no zero after one
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.bias.data.normal_()
    sizes = [1, 2, 7, 50, 33]
    each = [torch.randn(n, bands) for n in sizes]
    x = torch.nn.utils.rnn.pad_sequence(each, batch_first=True)
    with torch.no_grad():
        together = net(x, torch.tensor(sizes))
        for row, item in zip(together, each, strict=True):
            alone = net(item[None], torch.tensor([len(item)]))[0]
            torch.testing.assert_close(row, alone, rtol=0, atol=1e-5)
        more = net(torch.nn.functional.pad(x, (0, 0, 0, 9)), torch.tensor(sizes))
        torch.testing.assert_close(more, together, rtol=0, atol=1e-5)


def test_in_training_padding_is_in_no_statistics() -> None:
    import torch

    net, same = made("dropout=0.0").train(), made("dropout=0.0").train()
    each = [torch.randn(n, 64) for n in (20, 31, 27)]
    x = torch.nn.utils.rnn.pad_sequence(each, batch_first=True)
    lengths = torch.tensor([20, 31, 27])
    ours = net(x, lengths)
    theirs = same(torch.nn.functional.pad(x, (0, 0, 0, 30)), lengths)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_pooling_is_a_weighted_mean_and_deviation() -> None:
    import torch

    from sertool.models.house_layers import AttentiveStatistics

    torch.manual_seed(1)
    pool = AttentiveStatistics(3, 4).double()
    x = torch.randn(1, 6, 3).double()
    weights = pool.scores(x[:, :5]).softmax(1)[0].detach().numpy()
    mean = np.array([np.average(x[0, :5, k], weights=weights[:, k]) for k in range(3)])
    around = (x[0, :5].numpy() - mean) ** 2
    sd = np.sqrt([np.average(around[:, k], weights=weights[:, k]) for k in range(3)])
    found = pool(x, torch.tensor([5]))[0].detach().numpy()
    np.testing.assert_allclose(found, np.concatenate([mean, sd]), rtol=1e-5)


def test_view_trims_floors_and_levels() -> None:
    quiet, loud = np.full((30, 4), -90.0, np.float32), np.full((10, 4), -6.0, np.float32)
    item = np.concatenate([quiet, loud, quiet[:5], loud, quiet])
    seen = network("sertool", "level=false").view(item)
    assert len(seen) == 25 + 4
    assert seen.min() == -86
    untrimmed = network("sertool", "trim=0", "level=false")
    assert len(untrimmed.view(item)) == len(item)
    level = House()
    np.testing.assert_allclose(level.view(item), level.view(item - 7), atol=1e-5)
    assert not np.allclose(seen, network("sertool", "level=false").view(item - 7))


def test_silence_is_an_item_too() -> None:
    assert np.isfinite(House().view(np.full((5, 4), 5000, np.float32))).all()
    assert House().view(np.full((5, 4), -100.0, np.float32)).shape == (5, 4)


def test_refuses_pictures() -> None:
    with pytest.raises(InputError, match="needs vectors over time"):
        House().build(None, (8, 8, 3), 2)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Items of 20 to 40 frames, whose class is the band with the most energy, in dB."""
    random = np.random.default_rng(0)
    arrays, rows = [], []
    for i in range(48):
        x = random.normal(-40, 4, (random.integers(20, 40), 16)).astype(np.float32)
        x[:, 4 + 7 * (i % 2)] += 25
        arrays.append(x)
        label = ("anger", "sadness")[i % 2]
        rows.append(
            {"id": f"c/{i}", "label": label, "fold": i // 2 % 4, "speaker": f"s{i // 2 % 4}"}
        )
    write_store(tmp_path / "m.h5", arrays, rows, kind="mel")
    return tmp_path / "m.h5"


SMALL = ("--set", "widths=[4,8]", "--set", "hidden=8", "--set", "attention=4", "--batch-size", 12)


def test_learns_and_is_scored_alike_in_batches(cli, store: Path, tmp_path: Path) -> None:
    asked = ("--model", "sertool", *SMALL, "--epochs", 20, "--test-fold", 0, "--no-baselines")
    asked += ("--average", 0.8, "--lr", 0.01)
    for name in ("a", "b"):
        result = cli("train", store, tmp_path / f"{name}.ckpt", *asked, "--precision", "float32")
        assert result.code == 0, result.err
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
    reports = []
    for size in (1, 7):
        out = tmp_path / f"{size}.json"
        assert (
            cli("eval", tmp_path / "a.ckpt", store, "--batch-size", size, "--json", out).code == 0
        )
        reports.append(json.loads(out.read_text()))
    assert reports[0]["uar"] > 0.9
    for one, other in zip(reports[0]["items"], reports[1]["items"], strict=True):
        for name, share in one["posterior"].items():
            assert other["posterior"][name] == pytest.approx(share, abs=1e-5)


def test_defaults_are_declared() -> None:
    from sertool.augmentations import parts

    House().defaults().check()
    assert parts("frames", House.augment)


def test_scoring_hears_other_voices_and_tempos(cli, store: Path, tmp_path: Path) -> None:
    """The mean over views, each scored by a checkpoint that hears nothing else; figures as well."""
    from sertool.formats.store import Store
    from sertool.models.scoring import NetworkScorer, Scorer

    asked = ("--model", "sertool", *SMALL, "--epochs", 2, "--test-fold", 0, "--no-baselines")
    assert cli("train", store, tmp_path / "a.ckpt", *asked).code == 0
    plain = (*asked, "--set", "voices=[]", "--set", "tempos=[]")
    assert cli("train", store, tmp_path / "b.ckpt", *plain).code == 0
    ours, alone = (Scorer.load(tmp_path / f"{name}.ckpt") for name in "ab")
    assert isinstance(ours, NetworkScorer)
    assert isinstance(alone, NetworkScorer)
    arrays = [Store(store).features(i) for i in range(3)]
    model = House()
    for array, row in zip(arrays, ours.posterior(arrays), strict=True):
        view = model.view(array)
        views = [view, *model.further_views(view)]
        assert len(views) == 5
        each = alone._once(views, 1)
        np.testing.assert_allclose(row, each.mean(0), atol=1e-6)
    assert (ours.one_pass, alone.one_pass) == (False, False)
    recorder = ours.recorder()
    ours.posterior(arrays)
    assert len(recorder.passes) == 3
