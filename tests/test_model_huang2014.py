"""huang2014: fragments, patches, its stages one after another, its rows, and no peeping."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_store
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse
from made_stores import write_store
from torch import nn

from sertool.core.errors import InputError, UsageError
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.models import Examples, svm
from sertool.models.huang2014 import patches
from sertool.models.huang2014.network import OverFragments
from sertool.models.huang2014.settings import Huang2014Settings as Settings
from sertool.models.scoring import NetworkScorer, Scorer

Cli = Callable[..., Any]
TINY: dict[str, Any] = {
    "components": 3, "frames": 12, "hop": 5, "test_hop": 2, "maps": 3, "salient": 4, "other": 3,
    "patches": 200, "patch_epochs": 2,
}  # fmt: skip
SET = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
TRAIN = ("--model", "huang2014", *SET, "--set", "C=[1.0]", "--set", "sigma=[1.0]", "--epochs", 2)


def made(**changed: Any) -> OverFragments:
    torch.manual_seed(0)
    network = OverFragments(Settings(**TINY | changed), 4, 3)
    for name, buffer in network.named_buffers():
        nn.init.uniform_(buffer, 0.1, 0.3) if name.endswith("sd") else nn.init.normal_(buffer)
    return network


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("huang") / "store.h5"
    return small_store.make(path, small_store.items(copies=0), ragged=True)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_fragments_one_by_one(lengths: list[int], hop: int) -> None:
    """Every `hop` frames until the last frame is in one; mean frames fill up, never the padding."""
    network = made()
    x = torch.randn(len(lengths), max(lengths) + 3, 4)
    found, there = network.fragments(x, torch.tensor(lengths), hop)
    for item, n, own, exists in zip(x, lengths, found, there, strict=True):
        z = network.squashed(item[:n])
        starts = [0]
        while starts[-1] + 12 < n:
            starts.append(starts[-1] + hop)
        assert int(exists.sum()) == len(starts)
        assert exists.tolist() == sorted(exists.tolist(), reverse=True)
        for fragment, start in zip(own, starts, strict=False):
            expected = torch.full((12, 3), 0.5)
            part = z[start : start + 12]
            expected[: len(part)] = part
            torch.testing.assert_close(fragment, expected)


def test_rows_are_means_of_formulas() -> None:
    """Each kind of row, in plain sums over the fragments of one recording."""
    x, lengths = torch.randn(1, 31, 4), torch.tensor([31])
    sizes = {"raw": 36, "k1": 3, "k2": 3, "lif": 3 * (3 + 1), "salient": 4, "other": 3}
    for features, columns in sizes.items():
        network = made(features=features)
        fragments, _ = network.fragments(x, lengths, 2)
        rows = []
        for fragment in fragments[0]:
            if features == "raw":
                rows.append(fragment.flatten())
                continue
            codes = [
                torch.stack([
                    torch.sigmoid((kernel.weight * fragment[i : i + n]).sum((1, 2)) + kernel.bias)
                    for i in range(12 - n + 1)
                ])
                for kernel, n in zip(network.semi.kernels.sizes, (6, 10), strict=True)
            ]  # fmt: skip
            if features in ("k1", "k2"):
                code = codes[int(features[1]) - 1]
                rows.append(code[: len(code) // 2 * 2].mean(0))
                continue
            pooled = [c[: len(c) // 2 * 2].unflatten(0, (-1, 2)).mean(1).flatten() for c in codes]
            y = torch.cat(pooled)
            if features != "lif":
                scale = network.semi.rescale
                y = ((y - scale.mean) / scale.sd).clamp(-3, 3) / 3 * 0.4 + 0.5
                phi = torch.sigmoid(network.semi.features.linear(y))
                y = phi[:4] if features == "salient" else phi[4:]
            rows.append(y)
        expected = torch.stack(rows).mean(0, keepdim=True)
        assert expected.shape == (1, columns)
        torch.testing.assert_close(network(x, lengths), expected)


def test_objective_is_that_of_its_fragments() -> None:
    """Labels go to every fragment of a recording; an item's logits are its fragments' mean."""
    from sertool.models.huang2014 import loss as losses

    network = made().train()
    x, lengths, labels = torch.randn(3, 40, 4), torch.tensor([40, 13, 7]), torch.tensor([2, 0, 1])
    total, logits, terms, shown = network.objective(x, lengths, labels)
    cut = [network.fragments(x[i : i + 1], lengths[i : i + 1], 5)[0][0] for i in range(3)]
    outputs = [network.semi(part) for part in cut]
    for i, own in enumerate(outputs):
        torch.testing.assert_close(logits[i], own.logits.mean(0))
    together = network.semi(torch.cat(cut))
    each = torch.cat([labels[i].expand(len(part)) for i, part in enumerate(cut)])
    expected = losses.objective(together, network.semi.matrices(), each, losses.Objective())
    torch.testing.assert_close(total, expected.total)
    named = ("reconstruction", "discriminative", "saliency", "orthogonality", "saliency_weight")
    assert tuple(terms) == named
    assert shown is not None
    parts = [terms[name] for name in ("reconstruction", "discriminative", "orthogonality")]
    torch.testing.assert_close(shown, parts[0] + parts[1] + 2 * parts[2])


def examples(lengths: list[int], reads: list[int] | None = None) -> Examples:
    """Recordings whose frame `t` of item `i` is [i, t]."""

    def read(i: int) -> np.ndarray:
        if reads is not None:
            reads.append(i)
        return np.stack([np.full(lengths[i], i), np.arange(lengths[i])], 1).astype(np.float32)

    return Examples(np.array(lengths), read, tuple(f"c/{i}" for i in range(len(lengths))))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 60), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_patches_are_there_and_differ(lengths: list[int], most: int, seed: int) -> None:
    reads: list[int] = []
    chosen = patches.places(examples(lengths, reads), None, 1.0, seed)
    there = {(i, t) for i, n in enumerate(lengths) for t in range(n - 2)}
    if not there:
        with pytest.raises(InputError, match="3 frames"):
            patches.draw(chosen, 3, most, lambda x: x, seed)
        return
    found = patches.draw(chosen, 3, most, lambda x: x, seed).reshape(-1, 3, 2)
    keys = [(int(patch[0, 0]), int(patch[0, 1])) for patch in found]
    assert len(keys) == len(set(keys)) == min(most, len(there))
    assert set(keys) <= there
    assert (found[:, :, 0] == found[:, :1, 0]).all()
    assert (np.diff(found[:, :, 1]) == 1).all()
    assert len(reads) == len(set(reads))


def test_patches_come_from_everywhere_alike() -> None:
    """Every place is as likely: expected counts within four deviations."""
    lengths = [12, 32, 62]
    chosen = patches.places(examples(lengths), None, 1.0, 0)
    counts = np.zeros(3)
    for seed in range(60):
        found = patches.draw(chosen, 3, 20, lambda x: x, seed)
        counts += np.bincount(found[:, 0].astype(int), minlength=3)
    shares = np.array([10, 30, 60]) / 100
    deviation = np.sqrt(1200 * shares * (1 - shares))
    assert (np.abs(counts - 1200 * shares) < 4 * deviation).all()


def test_a_third_by_name_and_all_that_is_unlabelled() -> None:
    train = examples([9] * 30)
    chosen = patches.places(train, examples([9] * 4), 1 / 3, 3)
    assert len(chosen) == 14
    names = {place.examples.names[place.i] for place in chosen[:10]}
    turned = Examples(train.lengths, train.read, train.names[::-1])
    again = patches.places(turned, None, 1 / 3, 3)
    assert {place.examples.names[place.i] for place in again} == names
    assert len(names) == 10


def run(cli: Cli, store: Path, path: Path, *options: Any) -> Any:
    result = cli("train", store, path, *TRAIN, "--test-fold", 0, "--no-baselines", *options)
    assert result.code == 0, result.err
    return result


def test_stages_one_after_another(cli: Cli, store: Path, tmp_path: Path) -> None:
    """Stage one is taken from --init bit by bit; the same command gives the same bytes."""
    lif, whole, again = (tmp_path / f"{name}.ckpt" for name in ("lif", "whole", "again"))
    result = run(cli, store, lif, "--set", "features=lif")
    assert "8 recordings, without labels" in result.err
    result = run(cli, store, whole, "--init", lif, "--val-fold", 1)
    assert "the first stage comes from --init" in result.err
    first, second = checkpoint.load(lif), checkpoint.load(whole)
    for name, array in first.subset("model").items():
        np.testing.assert_array_equal(array, second.subset("model")[name])
    row = second.meta["history"][0]
    assert {"reconstruction", "discriminative", "saliency", "orthogonality", "val_uar"} <= set(row)
    assert first.meta["history"] == []
    assert second.meta["model"]["head"]["name"] == "svm"
    run(cli, store, again, "--init", lif, "--val-fold", 1)
    assert again.read_bytes() == whole.read_bytes()


def test_scale_of_what_is_rebuilt(cli: Cli, store: Path, tmp_path: Path) -> None:
    """Mean and deviation of y over the training part's fragments, as they are trained on."""
    path = tmp_path / "m.ckpt"
    run(cli, store, path, "--set", "features=lif", "--val-fold", 1)
    kept = checkpoint.load(path)
    network = made(features="lif")
    network.load_state_dict({n: torch.from_numpy(a) for n, a in kept.subset("model").items()})
    said = []
    with Store(store) as opened:
        for i, item in enumerate(opened.items()):
            if item.fold == 2:
                x = torch.from_numpy(opened.features(i)).unsqueeze(0)
                fragments, _ = network.fragments(x, torch.tensor([x.shape[1]]), 5)
                said.append(network.semi.kernels(fragments)[0].detach().double())
    y = torch.cat(said)
    near = {"rtol": 1e-4, "atol": 1e-7, "check_dtype": False}
    torch.testing.assert_close(network.semi.rescale.mean, y.mean(0), **near)
    torch.testing.assert_close(network.semi.rescale.sd, y.std(0, correction=0), **near)


def test_eval_and_the_machine_at_the_end(cli: Cli, store: Path, tmp_path: Path) -> None:
    """What eval says is the SVM's posterior of rows computed here; validation's are learned too."""
    path = tmp_path / "m.ckpt"
    run(cli, store, path, "--set", "features=lif", "--val-fold", 1)
    result = cli("eval", path, store, "--json", "-", "--quiet")
    assert result.code == 0
    said = {item["id"]: item["posterior"] for item in json.loads(result.out)["items"]}
    kept = checkpoint.load(path)
    network = made(features="lif")
    network.load_state_dict({n: torch.from_numpy(a) for n, a in kept.subset("model").items()})
    with Store(store) as opened:
        rows = {}
        for i, item in enumerate(opened.items()):
            x = torch.from_numpy(opened.features(i)).unsqueeze(0)
            rows[item.id] = network(x, torch.tensor([x.shape[1]])).detach().double().numpy()
        items = opened.items()
    trained = [item for item in items if item.fold != 0]
    classes = sorted({item.label for item in items})
    machine = svm.SupportVectors(svm.SvmSettings(C=(1.0,), sigma=(1.0,)))
    fitted = machine.fit(
        np.concatenate([rows[item.id] for item in trained]),
        np.array([classes.index(item.label) for item in trained]),
        3,
        np.ones(3),
        np.array([int(item.speaker[1:]) for item in trained]),
    )
    assert len(said) == 12
    for name, posterior in said.items():
        expected = machine.posterior(fitted, rows[name])[0]
        np.testing.assert_allclose([posterior[c] for c in classes], expected, atol=1e-6)


@pytest.mark.parametrize("utterance", ["posteriors", "votes"])
def test_fragments_judged_one_by_one(cli: Cli, store: Path, tmp_path: Path, utterance: str) -> None:
    path = tmp_path / "m.ckpt"
    run(cli, store, path, "--set", "features=k1", "--set", f"utterance={utterance}")
    scorer = Scorer.load(path)
    with Store(store) as opened:
        features = opened.features(3)
    (shares,) = scorer.posterior([features])
    assert isinstance(scorer, NetworkScorer)
    network = scorer.module
    lengths = torch.tensor([len(features)])
    rows = network(torch.from_numpy(features)[None], lengths)[0].detach().double().numpy()
    assert len(rows) == 1 + -(-(len(features) - 12) // 2)
    each = svm.SupportVectors().posterior(scorer.checkpoint.subset("head"), rows)
    expected = each.mean(0)
    if utterance == "votes":
        expected = np.bincount(each.argmax(1), minlength=3) / len(each)
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def altered(store: Path, path: Path, change: Callable[[dict[str, Any], np.ndarray], Any]) -> Path:
    with Store(store) as opened:
        items = [item.store_row() for item in opened.items()]
        arrays = [opened.features(i) for i in range(len(items))]
        kind = opened.kind
    rows = [{k: v for k, v in item.items() if v is not None} for item in items]
    arrays = [change(row, array) for row, array in zip(rows, arrays, strict=True)]
    write_store(path, arrays, rows, kind=kind)
    return path


def test_stage_one_sees_neither_labels_nor_what_is_held_out(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    def blind(row: dict[str, Any], array: np.ndarray) -> np.ndarray:
        row["label"] = ("anger", "calm", "joy")[len(row["id"] + row["label"]) % 3]
        return array

    def other(row: dict[str, Any], array: np.ndarray) -> np.ndarray:
        return array * 3 - 9 if row["fold"] == 0 else array

    kept = {}
    stores = {
        "as it is": store,
        "blind": altered(store, tmp_path / "blind.h5", blind),
        "other": altered(store, tmp_path / "other.h5", other),
    }
    for name, path in stores.items():
        out = tmp_path / f"{path.stem}.ckpt"
        run(cli, path, out, "--set", "features=lif")
        kept[name] = checkpoint.load(out).subset("model")
    for name in ("blind", "other"):
        for key, array in kept["as it is"].items():
            np.testing.assert_array_equal(array, kept[name][key], err_msg=f"{name} {key}")


def test_unlabelled_recordings_teach_the_kernels_alone(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    rows = [
        item.replace(
            id=f"more/{item.id}", corpus="more", origin=f"more/{item.id}", label=None, fold=None
        )
        for item in small_store.items(speakers=2, copies=0)
    ]
    more = small_store.make(tmp_path / "more.h5", rows)
    plain, path = tmp_path / "plain.ckpt", tmp_path / "m.ckpt"
    run(cli, store, plain, "--set", "features=lif")
    result = run(cli, store, path, "--set", "features=lif", "--init-unlabelled", more)
    assert "20 recordings, without labels" in result.err
    without, kept = checkpoint.load(plain), checkpoint.load(path)
    own, theirs = without.subset("model"), kept.subset("model")
    np.testing.assert_array_equal(own["whiten.matrix"], theirs["whiten.matrix"])
    kernel = "semi.kernels.sizes.0.weight"
    assert not np.array_equal(own[kernel], theirs[kernel])
    assert sum(item.corpus == "more" for item in kept.part("train")) == 12
    assert kept.meta["lineage"][-1]["params"]["unlabelled"][0]["items"] == 12
    report = cli("eval", path, store, "--json", "-", "--quiet", "--summary")
    assert json.loads(report.out)["protocol"]["n_train"] == 24 + 12


def test_unlabelled_recordings_that_cannot_serve(cli: Cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    own = ("--test-fold", 0, "--no-baselines", "--init-unlabelled")
    result = cli("train", store, out, *TRAIN, *own, store)
    assert result.code == 3
    assert "--init-unlabelled: uses 12 of the recordings held out" in result.err
    wide = small_store.make(tmp_path / "wide.h5", dims=5)
    result = cli("train", store, out, *TRAIN, *own, wide)
    assert result.code == 3
    assert "wide.h5: its shape differs from that of the training store" in result.err
    result = cli("train", store, out, "--model", "svm", *own, store)
    assert result.code == 2
    assert "svm learns nothing without labels" in result.err
    assert not out.exists()


WRONG = (
    "components=0 frames=10 hop=0 test_hop=0 maps=0 salient=0 other=0 saliency=-1.0 share=0.0"
    " orthogonality=-0.1 curvature=newton share=1.1 patches=0 patch_epochs=0 sparsity=0.0"
    " sparsity=1.0 sparsity_weight=-1.0 decay=-1.0 contraction=-1.0 sigma=[0.0] kernel=poly"
)


@pytest.mark.parametrize("text", WRONG.split())
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        parse(Settings, [text])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--set", "components=9"], 3, "9 components of each frame, and these have 4"),
        (["--set", "frames=9"], 2, "frames=9: needs a whole number, 11 or more"),
        (["--set", "clamp=maybe"], 2, "scale, stop or off"),
        (["--set", "features=lif", "--set", "classifier=logistic"], 2, "needs features=salient"),
        (["--set", "C=[-1.0]"], 2, "needs a list in brackets, each a number, above 0"),
        (["--length-weights", "inverse"], 2, "a loss of its own"),
    ],
)
def test_wrong_options(
    cli: Cli, store: Path, tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    result = cli("train", store, tmp_path / "m.ckpt", *TRAIN, "--test-fold", 0, *options)
    assert result.code == code
    assert words in result.err
    assert "Traceback" not in result.err


def test_explain_draws_the_last_layer_and_no_saliency(
    cli: Cli, sounds: Path, tmp_path: Path
) -> None:
    """The layer before the SVM is no layer of logits."""
    from sertool.extras import explain_figures, explain_panels

    store, path = tmp_path / "s.h5", tmp_path / "m.ckpt"
    made = cli("featurize", sounds, store, "--kind", "mfcc", "--set", "hop_length=256")
    assert made.code == 0
    words = ("--resplit", "kfold:3", "--test-fold", 0, "--no-baselines")
    assert cli("train", store, path, *TRAIN, *words).code == 0
    told: list[Any] = []
    chosen = explain_panels.chosen

    def spy(layers: Any, logits: bool = True) -> Any:
        told.append((layers, logits))
        return chosen(layers, logits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain_figures, "chosen", spy)
        patch.setattr(explain_panels, "chosen", spy)
        result = cli(
            "predict", path, sounds / "happy" / "s01.wav", "--explain", tmp_path / "e", "--quiet"
        )
    assert result.code == 0, result.err
    assert told
    layers, logits = told[-1]
    assert not logits
    drawn, rest = chosen(layers, logits)
    assert [layer.name for _, layer in drawn][-1] == "semi.features.linear"
    assert rest == []
    line = json.loads(result.out)
    (shares,) = Scorer.load(path).posterior([_features(path, sounds / "happy" / "s01.wav")])
    np.testing.assert_allclose(list(line["posterior"].values()), shares, atol=1e-6)


def _features(path: Path, file: Path) -> np.ndarray:
    import soundfile

    from sertool.features.pipeline import Pipeline

    samples, rate = soundfile.read(file, dtype="float32")
    (array,) = Pipeline.from_records(checkpoint.load(path).meta["pipeline"]).arrays(samples, rate)
    return array
