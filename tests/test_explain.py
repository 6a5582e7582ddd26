"""`predict --explain`: activations and slopes against references, axes, names, the command line."""

from __future__ import annotations

import json
import sys

import made
import matplotlib.image
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from sertool.core.errors import ItemError
from sertool.core.paths import to_text
from sertool.evaluation.predictions import Prediction
from sertool.extras.explain import (
    Explainer,
    contributions,
    figure_name,
    frequency_ticks,
)
from sertool.extras.explain_panels import chosen, tall, thin
from sertool.features.hearing import Hearing
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats.checkpoint import load
from sertool.items import Item
from sertool.models import inspection as inside
from sertool.models import linear
from sertool.models.inspection import Recorder, by_shape
from sertool.models.layers import OverPictures, OverTime, conv, pool
from sertool.models.ma2018 import Ma2018, Ma2018Fixed, Ma2018FixedSettings, Ma2018Settings
from sertool.models.scoring import Scorer


def run(network, x, pictures=False, **options):
    """Return (recorder, its one pass) of a network in evaluation mode."""
    recorder = Recorder(network.eval(), pictures, **options)
    with torch.inference_mode():
        network(x, torch.tensor([x.shape[1]]))
    (one,) = recorder.passes
    return recorder, one


def over_time():
    torch.manual_seed(0)
    return OverTime(
        *[conv(3, 4, 3, pad=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), pool(2), nn.Dropout(0.5)],
        *[conv(4, 5, 3, pad=2), nn.ReLU()],
        *[nn.Flatten(), nn.Linear(5 * 7, 3)],
    ).eval()


def test_activations_over_time_are_those_of_a_manual_pass():
    network = over_time()
    x = torch.randn(1, 11, 3)
    _, one = run(network, x)
    layers = network.layers
    with torch.no_grad():
        first = layers[2](layers[1](layers[0](x.transpose(1, 2).unsqueeze(2))).clone())
        second = layers[6](layers[5](layers[3](first)))
    assert [one_.made_by for one_ in one.layers] == [
        ["Conv2d", "BatchNorm2d", "ReLU"],
        ["Conv2d", "ReLU"],
        ["Linear"],
    ]
    for layer, expected in zip(one.layers, (first, second), strict=False):
        np.testing.assert_allclose(layer.values, expected[0, :, 0].T, atol=1e-6)
    np.testing.assert_allclose(one.logits, network(x, torch.tensor([11]))[0].detach(), atol=1e-6)
    np.testing.assert_allclose(one.layers[2].values, one.logits, atol=1e-6)
    assert [(layer.start, layer.step) for layer in one.layers[:2]] == [(0.5, 1.0), (-1.0, 2.0)]


def test_activations_of_pictures_are_means_over_height():
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    network = OverPictures(features, nn.Sequential(nn.Linear(4 * 4 * 6, 5), nn.ReLU())).eval()
    x = torch.randn(1, 1, 8, 12, 3)
    _, one = run(network, x, pictures=True)
    with torch.no_grad():
        maps = features[1](features[0](x[:, 0].permute(0, 3, 1, 2)))
        dense = network.classifier(features[2](maps).flatten(1))
    assert one.layers[0].values.shape == (12, 4)
    np.testing.assert_allclose(one.layers[0].values, maps[0].mean(1).T, atol=1e-6)
    np.testing.assert_allclose(one.layers[1].values, dense[0], atol=1e-6)
    assert one.layers[0].averaged == 8


@pytest.mark.parametrize("batch_norm", [False, True])
def test_activations_of_convolutions_and_a_recurrent_layer(batch_norm):
    found = Ma2018(Ma2018Settings((2, 2, 2), hidden=3, dense=5, batch_norm=batch_norm))
    torch.manual_seed(0)
    network = found.build(None, (16,), 3).eval()
    x, lengths = torch.randn(1, 43, 16), torch.tensor([43])
    _, one = run(network, x, shortest=found.shortest)
    with torch.no_grad():
        maps, left, expected = x.unsqueeze(1), lengths, []
        for block in network.blocks:
            maps, left = block(maps, left)
            expected.append(maps[0].mean(2).T)
        states, _ = network.recurrent(maps.permute(0, 2, 3, 1).flatten(2), left)
    for layer, values in zip(one.layers, [*expected, states[0]], strict=False):
        np.testing.assert_allclose(layer.values, values, atol=1e-6)
    assert [layer.step for layer in one.layers[:4]] == [2, 4, 8, 8]
    assert [layer.two_ways for layer in one.layers[:4]] == [False, False, False, True]
    assert all(layer.exact for layer in one.layers)


def test_what_a_network_fills_up_counts_as_its_frames():
    found = Ma2018Fixed(Ma2018FixedSettings((2, 2, 2), hidden=3, dense=5, frames=40))
    network = found.build(None, (8,), 3)
    _, one = run(network, torch.randn(1, 21, 8), shortest=found.shortest)
    assert [(len(la.values), la.step, la.exact) for la in one.layers[:3]] == [
        (20, 2, True),
        (10, 4, True),
        (5, 8, True),
    ]


class Plain(nn.Module):
    """Layers of a kind that no network here has yet: over (batch, time, units)."""

    def __init__(self):
        super().__init__()
        self.cells = nn.GRU(3, 4)  # (time, batch, units)
        self.over = nn.Conv1d(4, 6, 3, stride=2)
        self.block = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.out = nn.Linear(6, 2)

    def forward(self, x, lengths):
        states, _ = self.cells(x.transpose(0, 1))
        self.states = states
        self.maps = self.over(states.permute(1, 2, 0))
        self.seen = self.block(self.maps.transpose(1, 2))
        return self.out(self.seen.mean(1))


def test_layers_of_other_shapes():
    network = Plain()
    _, one = run(network, torch.randn(1, 9, 3))
    cells, over, *_, last, out = one.layers
    np.testing.assert_allclose(cells.values, network.states[:, 0], atol=1e-6)
    np.testing.assert_allclose(over.values, network.maps[0].T, atol=1e-6)
    np.testing.assert_allclose(last.values, network.seen[0], atol=1e-6)
    assert (over.start, over.step) == (1.5, 2.0)
    assert (last.start, last.step) == (1.5, 2.0)
    assert out.values.shape == (2,)
    assert "MultiheadAttention" in {layer.made_by[0] for layer in one.layers}


@pytest.mark.parametrize("pictures", [False, True])
def test_saliency_is_a_finite_difference(pictures):
    torch.manual_seed(1)
    if pictures:
        features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.MaxPool2d(2))
        network = OverPictures(features, nn.Linear(4 * 2 * 3, 3)).double()
        x = torch.randn(1, 1, 6, 8, 3, dtype=torch.float64)
    else:
        found = Ma2018(Ma2018Settings((2, 2, 2), hidden=3, dense=5))
        network = found.build(None, (8,), 3).double()
        x = torch.randn(1, 11, 8, dtype=torch.float64)
    recorder, one = run(network, x, pictures)
    slopes = recorder.saliency(one, 2)
    assert len(recorder.passes) == 1  # the gradient's own pass is none of the posteriors'
    lengths = torch.tensor([x.shape[1]])
    step, flat = 1e-6, x.flatten()
    for i in range(0, len(flat), 5):
        change = torch.zeros_like(flat)
        change[i] = step
        with torch.no_grad():
            up, down = (network((flat + sign * change).view_as(x), lengths) for sign in (1, -1))
        expected = abs(float(up[0, 2] - down[0, 2])) / (2 * step)
        assert slopes.flatten()[i] == pytest.approx(expected, abs=1e-8, rel=1e-5)


def test_a_gradient_that_needs_too_much_is_refused(monkeypatch):
    recorder, one = run(over_time(), torch.randn(1, 11, 3))
    monkeypatch.setattr(inside, "MOST_KEPT", 100)
    with pytest.raises(inside.TooLarge):
        recorder.saliency(one, 0)
    monkeypatch.setattr(inside, "MOST_KEPT", 1 << 20)
    assert recorder.saliency(one, 0).shape == (1, 11, 3)


steps = st.tuples(
    st.sampled_from(["conv", "pool"]), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2),
    st.integers(1, 2),
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.lists(steps, min_size=1, max_size=4))
def test_frames_of_a_layer_lie_where_they_look(stack):
    """Against the middle of the inputs on which an output depends, by its gradient."""
    layers = []
    for what, k, s, p, d in stack:
        if what == "conv":
            layer = nn.Conv2d(1, 1, (1, k), (1, s), (0, p), (1, d), bias=False)
            nn.init.ones_(layer.weight)
            layers.append(layer)
        else:
            layers.append(nn.AvgPool2d((1, k), (1, s), (0, min(p, k // 2))))
    last = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(last.weight)
    network = OverTime(*layers, last)
    x = torch.randn(1, 500, 1)
    _, one = run(network, x)
    x.requires_grad_()
    out = network(x, torch.tensor([500]))[0, 0, 0]
    found = one.layers[-1]
    assert found.exact
    for i in (len(out) // 3, len(out) // 2):
        (slope,) = torch.autograd.grad(out[i], x, retain_graph=True)
        seen = slope.flatten().nonzero().flatten()
        middle = (int(seen[0]) + int(seen[-1])) / 2 + 0.5
        assert found.start + i * found.step == pytest.approx(middle)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_places_by_shape(frames, left):
    start, step, exact = by_shape(frames, left)
    last = start + (left - 1) * step
    assert exact == any(frames // s == left for s in range(1, frames + 1))
    assert 0 < start <= last < frames
    if not exact:
        assert left * step == pytest.approx(frames)


@settings(deadline=None)
@given(st.integers(1, 900), st.integers(1, 7))
def test_thinned_columns_keep_the_mean(n, columns):
    values = np.random.default_rng(n).random((n, 2))
    found = thin(values, columns)
    assert len(found) == min(n, columns)
    edges = [*(np.arange(len(found)) * n // len(found)), n]
    for row, a, b in zip(found, edges[:-1], edges[1:], strict=True):
        np.testing.assert_allclose(row, values[a:b].mean(0))


def test_layers_that_are_drawn():
    layers = [inside.Layer(str(i), ["Conv2d"], (1,), np.zeros((2, 2))) for i in range(9)]
    drawn, rest = chosen(layers)
    assert [n for n, _ in drawn] == [1, 2, 4, 5, 7, 8]
    assert rest == ["3 Conv2d", "6 Conv2d", "9 Conv2d (gives the logits)"]
    assert chosen([]) == ([], [])
    assert [tall(n) for n in (1, 40, 256, 400, 513)] == [110, 120, 256, 200, 171]


@settings(deadline=None, max_examples=150)
@given(
    st.floats(0.3, 4),
    st.sampled_from(
        [{}, {"segment_max": 0.7}, {"segment": 0.5}, {"segment": 0.5, "segment_hop": 0.3}]
    ),
    st.sampled_from(["align", "pad", "drop"]),
    st.sampled_from([{}, {"offset": 0.1}, {"duration": 1.5}, {"duration": 1.5, "fit": "pad"}]),
)  # fmt: skip
def test_spans_are_those_of_the_segments(seconds, cut, tail, crop):
    rate = 1000
    samples = np.arange(1, 1 + round(seconds * rate), dtype=np.float32)
    spec = Stage("wave", segment_tail=tail, **cut, **crop)
    try:
        segments = Pipeline((spec,)).replay_samples(samples, rate).segments
    except ItemError:
        return
    for _, part, start, length in segments:
        if part[0]:  # zeros are what was filled up
            assert start == pytest.approx((part[0] - 1) / rate, abs=2 / rate)
        assert length == pytest.approx(len(part) / rate, abs=2 / rate)


@pytest.mark.parametrize(("kind", "rows"), [("mel", 64), ("image", 128), ("spectrogram", 1025)])
def test_frequencies_stand_at_their_rows(kind, rows):
    import librosa

    spec = Stage(kind, {"n_mels": 64, "fmin": 100.0} if kind == "mel" else {})
    bands = {"mel": 64, "image": 128, "spectrogram": 1025}[kind]
    centres = librosa.fft_frequencies(sr=16000, n_fft=2048)
    if kind != "spectrogram":
        low = 100.0 if kind == "mel" else 0.0
        centres = librosa.mel_frequencies(bands + 2, fmin=low, fmax=8000)[1:-1]
    ticks = frequency_ticks(spec, 16000, rows)
    assert len(ticks) >= 3
    for place, text in ticks:
        hertz = float(text.split()[0]) * (1000 if "kHz" in text else 1)
        if hertz:
            at = np.interp(place * bands - 0.5, np.arange(bands), centres)
            assert at == pytest.approx(hertz, rel=0.02)
    assert frequency_ticks(spec, None, rows) == []
    assert frequency_ticks(Stage("mfcc"), 16000, 20) == []
    assert kind == "image" or frequency_ticks(spec, 16000, 1) == []


@pytest.mark.parametrize("classes", [2, 3])
def test_contributions_and_biases_are_the_logit(classes):
    random = np.random.default_rng(0)
    rows, targets = random.random((30, 8)), np.arange(30) % classes
    fitted = linear.Linear().fit(rows, targets, classes, np.ones(classes), targets)
    row = rows[3]
    logits = np.log(linear.Linear().posterior(fitted, row[None])[0])
    for k in range(classes):
        of_means, of_sds = contributions(fitted, row, k)
        biases = fitted["intercept"][k] - fitted["intercept"].mean()
        total = of_means.sum() + of_sds.sum() + biases
        assert total == pytest.approx(logits[k] - logits.mean())


@settings(deadline=None)
@example(["\udcff", "-.\udcfe\n"])  # bytes that are not UTF-8
@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
        min_size=1,
    )
)
def test_names_are_safe_and_tell_paths_apart(parts):
    path = "/".join(parts)
    names = {figure_name(Item("", to_text(p))) for p in (path, f"x/{path}")}
    names |= {
        figure_name(Item("", to_text(path), 0.1)),
        figure_name(Item("", to_text(path), 0.1, 0.2)),
    }
    assert len(names) == 4
    for name in names:
        assert name.endswith(".png")
        assert not set(name) & set("/\\")
        assert name[0] not in ".-"
        assert name.isprintable()
        assert len(name.encode()) < 200


# the command line ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A corpus, and checkpoints of a linear model, two networks over time and one on pictures."""
    from sertool.cli import main

    folder = tmp_path_factory.mktemp("explain")
    items = made.corpus(folder / "wav", speakers=2)
    items = [item.replace(part="train") for item in items]
    made.store(folder / "mel.h5", folder / "wav", items)
    picture = Stage("image", {"height": 16, "width": 12}, sample_rate=made.RATE, segment=0.15)
    made.store(folder / "image.h5", folder / "wav", items, picture)
    made.train(folder / "mel.h5", folder / "linear.ckpt", lambda item: "train")
    small = {
        "ma2018": ("mel", "pools=[2,2,2]", "hidden=4"),
        "ma2018-fixed": ("mel", "pools=[2,2,2]", "frames=30"),
        "fser2021": ("image", "widths=[4]", "dense=[6]"),
    }
    for name, (store, *options) in small.items():
        given_ = [word for option in options for word in ("--set", option)]
        store, output = str(folder / f"{store}.h5"), str(folder / f"{name}.ckpt")
        code = main(["train", store, output, "--model", name, "--epochs", "1", *given_])
        assert code == 0
    return folder


def rows_of(result):
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.mark.parametrize("name", ["linear", "ma2018", "fser2021"])
def test_a_figure_a_file(toys, tmp_path, cli, name):
    paths = [toys / "wav" / f"s{s}-anger-1.wav" for s in (0, 1)]
    plain = cli("predict", toys / f"{name}.ckpt", *paths)
    told = cli("predict", toys / f"{name}.ckpt", *paths, "--explain", tmp_path / "a")
    assert told.code == 0, told.err
    for one, other in zip(rows_of(told), rows_of(plain), strict=True):  # which is by batches
        for name_, posterior in other.pop("posterior").items():
            assert one["posterior"].pop(name_) == pytest.approx(posterior, abs=1e-6)
        assert one.pop("posterior") == {}
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-6)
        assert one == other
    assert ": 2 figures" in told.err
    found = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert found == sorted(figure_name(Item("", str(path))) for path in paths)
    again = cli("predict", toys / f"{name}.ckpt", paths[1], "--explain", tmp_path / "b",
                "--batch-size", 3)  # fmt: skip
    assert ": 1 figure" in again.err
    assert again.out == told.out.splitlines(keepends=True)[1]
    (file,) = (tmp_path / "b").iterdir()
    content = file.read_bytes()
    assert content == (tmp_path / "a" / file.name).read_bytes()
    assert b"Software" not in content
    assert matplotlib.image.imread(file).shape[1] == 1200
    first, second = ((tmp_path / "a" / file).read_bytes() for file in found)
    assert first != second


def test_the_pass_shown_is_the_one_behind_the_posterior(toys, tmp_path):
    scorer = Scorer.load(toys / "fser2021.ckpt")
    source = Item("", str(toys / "wav" / "s0-anger-1.wav"), label="anger")
    explainer = Explainer(scorer, tmp_path / "out", replace=False)
    (piece,) = Hearing(Pipeline.from_records(scorer.pipeline)).hear(source).clips
    assert len(piece.arrays) == 2
    scorer.posterior(piece.arrays[::-1] * 2)  # of a file that then failed
    rows = scorer.posterior(piece.arrays)
    label = scorer.classes[int(rows.mean(0).argmax())]
    winner = scorer.classes.index(label)
    shares = dict.fromkeys(scorer.classes, 0.1)
    row = Prediction("x", label, 0.1, shares, 1.0, 1.0, 1.0, 1, "off", "m")
    told = explainer._explain(source, piece, row)
    surest = int(rows[:, winner].argmax())
    np.testing.assert_array_equal(told.features, piece.arrays[surest][0])
    assert told.begin == pytest.approx(0.15 * surest)
    assert told.end - told.begin == pytest.approx(0.15)
    assert f"part {surest + 1}, the most certain" in told.part
    one = explainer.recorder.passes[4 + surest]
    assert told.layers is one.layers
    assert told.truth == "anger"
    explainer.header.target = "gender"  # of which the manifest's label says nothing
    assert explainer._explain(source, piece, row).truth is None
    shares = np.exp(one.logits[: len(scorer.classes)])
    np.testing.assert_allclose(shares / shares.sum(), rows[surest], atol=1e-12)
    slopes = explainer.recorder.saliency(one, winner)[0, 0]
    np.testing.assert_allclose(told.saliency, slopes.sum(2)[::-1].T)
    assert told.saliency.shape == (12, 16)


def test_input_over_time_as_the_network_got_it(toys, tmp_path):
    scorer = Scorer.load(toys / "ma2018-fixed.ckpt")
    source = Item("", str(toys / "wav" / "s0-anger-0.wav"), start=0.05)
    explainer = Explainer(scorer, tmp_path / "out", replace=False)
    (piece,) = Hearing(Pipeline.from_records(scorer.pipeline)).hear(source).clips
    shares = scorer.posterior(piece.arrays)[0]
    posterior = dict(zip(made.CLASSES, shares, strict=True))
    row = Prediction("x", "anger", posterior["anger"], posterior, 1.0, 1.0, 1.0, 1, "off", "m")
    told = explainer._explain(source, piece, row)
    tensors = load(toys / "ma2018-fixed.ckpt").tensors
    expected = (piece.arrays[0] - tensors["statistics.mean"]) / tensors["statistics.sd"]
    np.testing.assert_allclose(told.given, expected, atol=1e-5)
    assert told.saliency.shape == told.given.shape == told.features.shape
    assert (told.begin, told.frames) == (0.05, 30)
    assert told.end == pytest.approx(0.05 + 30 * 128 / made.RATE)


def test_existing_figures_are_refused_before_any_work(toys, tmp_path, cli):
    path, folder = toys / "wav" / "s0-anger-1.wav", tmp_path / "out"
    arguments = ("predict", toys / "ma2018.ckpt", toys / "wav" / "s1-anger-0.wav", path)
    assert cli("predict", toys / "ma2018.ckpt", path, "--explain", folder).code == 0
    (figure,) = folder.iterdir()
    figure.write_bytes(b"mine")
    refused = cli(*arguments, "--explain", folder)
    assert (refused.code, refused.out) == (3, "")
    assert figure.name in refused.err
    assert "--force" in refused.err
    assert figure.read_bytes() == b"mine"
    whole = cli("predict", toys / "ma2018.ckpt", toys / "wav", "--explain", folder)
    assert (whole.code, whole.out) == (3, "")
    assert cli(*arguments, "--explain", folder, "--force").code == 0
    assert figure.read_bytes() != b"mine"
    assert len(list(folder.iterdir())) == 2


def test_a_list_with_labels_a_broken_file_and_one_twice(toys, tmp_path, cli, monkeypatch):
    good, bad = toys / "wav" / "s0-anger-1.wav", tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    lines = [{"path": str(good), "label": "sadness", "start": 0.05, "end": 0.25}]
    lines += [{"path": str(bad)}, lines[0]]
    (tmp_path / "list").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with open(tmp_path / "list") as file:
        monkeypatch.setattr(sys, "stdin", file)
        result = cli("predict", toys / "ma2018.ckpt", "-", "--explain", tmp_path / "out")
    assert result.code == 1
    assert "bad.wav" in result.err
    assert [("error" in json.loads(row)) for row in result.out.splitlines()] == [0, 1, 0]
    (figure,) = (tmp_path / "out").iterdir()
    assert figure.name.startswith("s0-anger-1@50-250-")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--window", "0.1"], 2, "--window"),
        (["--stream", "--sample-rate", "8000"], 2, "--stream"),
    ],
)
def test_contradictions(toys, tmp_path, cli, options, code, words):
    path = "-" if "--stream" in options else toys / "wav"
    result = cli("predict", toys / "ma2018.ckpt", path, "--explain", tmp_path / "o", *options)
    assert result.code == code
    assert words in result.err
    assert not (tmp_path / "o").exists()


def test_folders_that_cannot_be_drawn_into(toys, tmp_path, cli):
    path = toys / "wav" / "s0-anger-1.wav"
    (tmp_path / "file").write_text("x")
    for folder, words in ((tmp_path / "file", "not a folder"), (tmp_path / "a" / "b", "not exist")):
        result = cli("predict", toys / "ma2018.ckpt", path, "--explain", folder)
        assert (result.code, result.out) == (3, "")
        assert words in result.err
