"""Kind `embedding`: layers of our checkpoints as features, and what an audit says of them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made
import numpy as np
import pytest
import torch
from made_settings import parse

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.evaluation.heldout import CheckpointTest, check_contract
from sertool.features import embedding, kind
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats import checkpoint
from sertool.formats.fitted import fitted_before
from sertool.formats.store import Store
from sertool.models.scoring import Scorer


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two speakers, and checkpoints that were trained on the first, s0."""
    from sertool.cli import main

    folder = tmp_path_factory.mktemp("embedding")
    items = made.corpus(folder / "wav", speakers=3)
    parts = {"s0": "train", "s1": "test", "s2": "val"}
    items = [item.replace(part=parts[item.speaker]) for item in items]
    made.store(folder / "mel.h5", folder / "wav", items)
    picture = Stage("image", {"height": 16, "width": 12}, sample_rate=made.RATE)
    made.store(folder / "image.h5", folder / "wav", items, picture)
    long = dataclasses.replace(made.SPEC, duration=0.6, fit="pad")
    made.store(folder / "long.h5", folder / "wav", items, long)
    made.train(folder / "mel.h5", folder / "linear.ckpt", lambda item: "train")
    small = {
        "ma2018": ("mel", "pools=[2,2,2]", "hidden=4"),
        "ma2018-fixed": ("mel", "pools=[2,2,2]", "frames=19"),
        "sundharam-cnn": ("long",),
        "fser2021": ("image", "widths=[4]", "dense=[6]"),
    }
    for name, (store, *options) in small.items():
        given = [word for option in options for word in ("--set", option)]
        given += ["--model", name, "--epochs", "1"]
        paths = [str(folder / f"{store}.h5"), str(folder / f"{name}.ckpt")]
        assert main(["train", *paths, *given]) == 0
    return folder


def settings(toys: Path, name: str, layer: str) -> embedding.Settings:
    return parse(embedding.Settings, [f"checkpoint={toys / name}.ckpt", f"layer={layer}"])


def sound(toys: Path, name: str = "s1-anger-1") -> np.ndarray:
    return audio.decode(toys / "wav" / f"{name}.wav").samples


def names(toys: Path, name: str) -> list[str]:
    with pytest.raises(UsageError, match="layer is missing") as caught:
        embedding.remarks(made.RATE, settings(toys, name, ""))
    return str(caught.value).partition(".ckpt has ")[2].split(", ")


def by_hand(toys: Path, name: str, layer: str, features: np.ndarray) -> torch.Tensor:
    """The output of a module itself, of features that a checkpoint's network is given."""
    scorer = Scorer.load(toys / f"{name}.ckpt")
    seen: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, given: Any, out: Any) -> None:
        seen.append(out[0] if isinstance(out, tuple) else out)

    scorer.module.get_submodule(layer).register_forward_hook(keep)
    scorer.posterior([features])
    return seen[0].clone()


def test_a_layer_without_time_is_one_frame(toys: Path) -> None:
    features = made.replay(Scorer.load(toys / "ma2018.ckpt").pipeline, toys / "wav/s1-anger-1.wav")[
        0
    ]
    last = names(toys, "ma2018")[-1]
    given = settings(toys, "ma2018", last)
    found = kind("embedding").compute(sound(toys), made.RATE, given)
    expected = by_hand(toys, "ma2018", last, features).numpy()
    assert found.dtype == np.float32
    assert found.shape == (1, 3)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    scorer = Scorer.load(toys / "ma2018.ckpt")  # the last layer's softmax is what predict says
    shares = torch.from_numpy(found).double().softmax(1).numpy()
    np.testing.assert_allclose(shares, scorer.posterior([features]), atol=1e-6)
    assert embedding.frame_rate(made.RATE, given) == 0


def test_a_layer_with_time_has_frames(toys: Path) -> None:
    """A block that halves time: (1, channels, time, frequency), of which the mean is taken."""
    pipeline = Scorer.load(toys / "ma2018.ckpt").pipeline
    features = made.replay(pipeline, toys / "wav/s1-anger-1.wav")[0]
    assert len(features) == 19
    given = settings(toys, "ma2018", "blocks.0")
    found = embedding.compute(sound(toys), made.RATE, given)
    output = by_hand(toys, "ma2018", "blocks.0", features)
    assert found.shape == (9, 16)
    np.testing.assert_allclose(found, output[0].mean(2).T, atol=1e-6)
    assert embedding.frame_rate(made.RATE, given) == made.RATE / 128 / 2
    np.testing.assert_array_equal(found, embedding.compute(sound(toys), made.RATE, given))


def test_another_rate_is_resampled_as_the_checkpoint_does(toys: Path) -> None:
    scorer = Scorer.load(toys / "ma2018.ckpt")
    finer = waveform.resample(sound(toys), made.RATE, 16000)
    given = settings(toys, "ma2018", names(toys, "ma2018")[-1])
    features = Pipeline.from_records(scorer.pipeline).arrays(finer, 16000)
    found = torch.from_numpy(embedding.compute(finer, 16000, given)).double().softmax(1)
    np.testing.assert_allclose(found.numpy(), scorer.posterior(features), atol=1e-6)


def test_windows_of_a_fixed_length_follow_each_other(toys: Path) -> None:
    """63 frames in windows of 38: the second begins at 25, and its first 13 are known."""
    name = "sundharam-cnn"
    scorer = Scorer.load(toys / f"{name}.ckpt")
    samples = np.tile(sound(toys), 4)[:8000]
    (features,) = Pipeline.from_records(scorer.pipeline).arrays(samples, made.RATE)
    assert (len(features), scorer.window_starts(len(features))) == (63, [0, 25])
    first, *_, last = names(toys, name)
    windows = features[:38], features[25:]
    a, b = (by_hand(toys, name, first, x)[0, :, 0].T.relu() for x in windows)
    found = embedding.compute(samples, made.RATE, settings(toys, name, first))
    np.testing.assert_allclose(found, torch.cat([a, b[13:]]), atol=1e-6)
    each = [by_hand(toys, name, last, x) for x in windows]
    whole = embedding.compute(samples, made.RATE, settings(toys, name, last))
    np.testing.assert_allclose(whole, torch.stack(each).mean(0), atol=1e-6)


def test_frames_that_fill_up_are_left_out(toys: Path) -> None:
    given = settings(toys, "ma2018-fixed", "blocks.0")
    assert len(embedding.compute(sound(toys)[:600], made.RATE, given)) == 2  # of 5, in place of 9
    with pytest.raises(ItemError, match="an item of 38 frames, and the network takes 19"):
        embedding.compute(np.tile(sound(toys), 2), made.RATE, given)


def test_pictures(toys: Path) -> None:
    layers = names(toys, "fser2021")
    given = settings(toys, "fser2021", layers[-1])
    assert embedding.compute(sound(toys), made.RATE, given).shape == (1, 3)
    columns = embedding.compute(sound(toys), made.RATE, settings(toys, "fser2021", layers[0]))
    assert columns.ndim == 2
    assert len(columns) > 4
    assert embedding.frame_rate(made.RATE, settings(toys, "fser2021", layers[0])) == 0


def _key(toys: Path, name: str) -> tuple[str, str]:
    given = settings(toys, name, "")
    return given.checkpoint, given.sha256


def test_settings_keep_the_content(toys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toys)
    given = parse(embedding.Settings, ["checkpoint=ma2018.ckpt", "layer=x"])
    assert given.checkpoint == str(toys / "ma2018.ckpt")
    assert given.sha256 == checkpoint.load(toys / "ma2018.ckpt").identity


def test_what_cannot_be(toys: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --set checkpoint=FILE"):
        embedding.remarks(made.RATE, embedding.Settings())
    with pytest.raises(InputError, match=r"none\.ckpt: no such file"):
        parse(embedding.Settings, [f"checkpoint={tmp_path}/none.ckpt"])
    with pytest.raises(UsageError, match=r"layer=nowhere: no such layer; .*ma2018\.ckpt has "):
        embedding.remarks(made.RATE, settings(toys, "ma2018", "nowhere"))
    with pytest.raises(UsageError, match="linear is not a network"):
        embedding.remarks(made.RATE, settings(toys, "linear", "x"))
    with pytest.raises(InputError, match=r"not a .*checkpoint"):
        path = toys / "wav" / "s0-anger-0.wav"
        embedding.remarks(made.RATE, embedding.Settings(str(path), "x"))


def test_a_checkpoint_that_is_gone_or_another(toys: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    shutil.copy(toys / "ma2018.ckpt", path)
    given = embedding.Settings(str(path), "x")
    shutil.copy(toys / "fser2021.ckpt", path)
    with pytest.raises(InputError, match="not the checkpoint that the features come from"):
        embedding.compute(sound(toys), made.RATE, given)
    path.unlink()
    with pytest.raises(InputError, match=r"no such file.*; kind embedding needs this checkpoint"):
        embedding.compute(sound(toys), made.RATE, given)


def test_threads_are_left_as_they_were(toys: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        embedding.remarks(made.RATE, settings(toys, "ma2018", names(toys, "ma2018")[0]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def embedded(toys: Path) -> Path:
    """A folder with a store of embeddings of everything, made on the command line."""
    from sertool.cli import main

    layer = names(toys, "ma2018")[-1]
    lines = [
        json.dumps({**item, "path": str(toys / "wav" / item["path"]), "raw_label": item["label"]})
        for item in ({"id": f"toy/{p.stem}", "path": p.name, "corpus": "toy",
                      "speaker": p.stem[:2], "label": p.stem.split("-")[1], "fold": int(p.stem[1])}
                     for p in sorted((toys / "wav").iterdir()))
    ]  # fmt: skip
    (toys / "m.jsonl").write_text("\n".join(lines) + "\n")
    arguments = ["featurize", "--kind", "embedding", "--set", f"checkpoint={toys / 'ma2018.ckpt'}"]
    arguments += ["--set", f"layer={layer}", "--workers", "2", toys / "m.jsonl", toys / "e.h5"]
    assert main([str(a) for a in arguments]) == 0
    return toys


def test_the_store_knows_what_its_checkpoint_was_trained_on(embedded: Path) -> None:
    with Store(embedded / "e.h5") as store:
        assert store.kind == "embedding"
        assert store.settings["sha256"] == checkpoint.load(embedded / "ma2018.ckpt").identity
        trained = fitted_before(store.pipeline)
        items = checkpoint.load(embedded / "ma2018.ckpt").items
        assert trained is not None
        fitted = {item.id for item in items if item.part in ("train", "val")}
        assert {item.id for item in trained} == fitted
        assert {item.speaker for item in trained} == {"s0", "s2"}
        assert all(item.audio_hash and item.origin for item in trained)


def test_an_audit_names_the_recordings(
    embedded: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    """A model on embeddings, tested on s0: the split is fair, were it not for the embedding."""
    for fold, fair in ((0, False), (2, False), (1, True)):
        path, report = tmp_path / f"{fold}.ckpt", tmp_path / f"{fold}.json"
        arguments = ("--model", "linear", "--test-fold", fold)
        result = cli("train", embedded / "e.h5", path, *arguments)
        assert result.code == 0, result.err
        result = cli("eval", path, embedded / "e.h5", "--json", report)
        assert result.code == 0, result.err
        protocol = json.loads(report.read_text())["protocol"]
        for fact in ("speaker_disjoint", "origin_disjoint", "fit_disjoint"):
            assert protocol[fact] is fair
    told = cli("info", tmp_path / "0.ckpt", "--audit", "--json")
    examples = json.loads(told.out)["facts"]["origin_disjoint"]["examples"]
    assert "toy/s0-anger-0" in json.dumps(examples)


def test_predict_replays_it(embedded: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    kept = tmp_path / "first.ckpt"
    assert cli("train", embedded / "e.h5", path, "--model", "linear", "--test-fold", 1).code == 0
    one = embedded / "wav" / "s1-anger-1.wav"
    told = cli("predict", path, one)
    assert told.code == 0, told.err
    row = json.loads(told.out)
    with Store(embedded / "e.h5") as store:
        at = [item.id for item in store.items()].index("toy/s1-anger-1")
        expected = Scorer.load(path).posterior([store.features(at)])[0]
    np.testing.assert_allclose(list(row["posterior"].values()), expected, atol=1e-12)
    embedding._embedder.cache_clear()
    shutil.move(embedded / "ma2018.ckpt", kept)
    try:
        told = cli("predict", path, one)
    finally:
        shutil.move(kept, embedded / "ma2018.ckpt")
    assert told.code == 3
    assert "kind embedding needs this checkpoint" in told.err


def test_a_checkpoint_of_embeddings_hands_on_what_it_knows(
    embedded: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    frames, path = tmp_path / "frames.h5", tmp_path / "second.ckpt"
    given = ("--set", f"checkpoint={embedded / 'ma2018.ckpt'}", "--set", "layer=blocks.0")
    arguments = ("--kind", "embedding", *given, "--workers", 1)
    assert cli("featurize", *arguments, embedded / "m.jsonl", frames).code == 0
    options = ("--epochs", 1, "--test-where", "speaker in s1,s2", "--model", "ma2018")
    sizes = ("--set", "pools=[2,2,2]", "--set", "hidden=4")
    trained = cli("train", frames, path, *options, *sizes)
    assert trained.code == 0, trained.err
    items = embedding.fitted_on(embedding.Settings(str(path), "x"))
    assert items is not None
    assert {item.speaker for item in items} == {"s0", "s2"}  # s2: what the first was chosen by
    found = embedding.compute(sound(embedded), made.RATE, embedding.Settings(str(path), "dense.3"))
    assert found.shape == (1, 3)


def test_torch_is_not_needed_for_other_kinds() -> None:
    import subprocess

    code = "import sys; from sertool.features import kind, KINDS; [kind(k) for k in KINDS];"
    code += "assert not {'torch', 'librosa', 'opensmile'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_a_checkpoint_lies_makes_no_other_features(tmp_path: Path) -> None:
    settings = {"checkpoint": "/a/m.ckpt", "layer": "layers.0", "sha256": "5" * 64}
    stage = {"stage": "featurize", "kind": "embedding", "fitted_on": [], "settings": settings}
    moved = stage | {"settings": settings | {"checkpoint": "/b/m.ckpt"}}
    other = stage | {"settings": settings | {"sha256": "6" * 64}}
    store = SimpleNamespace(
        path=tmp_path, pipeline=[stage], kind="embedding", sample_rate=16000, frame_rate=0.0
    )
    header: Any = SimpleNamespace(kind=None, sample_rate=None, frame_rate=None)
    path = tmp_path / "m.ckpt"
    check_contract(CheckpointTest(path, header, [moved], [], ""), store)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sha256"):
        check_contract(CheckpointTest(path, header, [other], [], ""), store)  # type: ignore[arg-type]
