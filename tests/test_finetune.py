"""Fine-tuning of a pre-trained encoder's top layers, on tiny ones with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made
import made_encoders
import numpy as np
import pytest
import torch

from sertool.core.errors import UsageError
from sertool.features.stage import Stage
from sertool.formats import checkpoint
from sertool.models import encoders
from sertool.models.finetune import Finetune, FinetuneSettings
from sertool.models.scoring import Scorer
from sertool.models.tuned import FineTuned

made_encoders.transformers()  # or all of these tests are skipped

Cli = Callable[..., Any]
KINDS = ("Wav2Vec2", "WavLM-layer", "Data2VecAudio")


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(encoders.PLACES, "")
    yield
    encoders.load.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders, sounds of three speakers, and their waveforms at 16 kHz and at 8 kHz."""
    root = tmp_path_factory.mktemp("finetune")
    for name in (*KINDS, "Whisper"):
        made_encoders.save(root / name, name)
    items = made.corpus(root / "wav", speakers=3)
    items = [item.replace(fold=int(str(item.speaker)[1])) for item in items]
    made.store(root / "low.h5", root / "wav", items, Stage("wave", sample_rate=8000))
    return root


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    from sertool.cli import main

    manifest = folder / "m.jsonl"
    split = ["--split", "loso", "--pattern", "{speaker}-{label}-{take}.wav"]
    assert main(["prepare", str(folder / "wav"), str(manifest), *split]) == 0
    given = ["--kind", "wave", "--sample-rate", "16000", str(manifest), str(folder / "w.h5")]
    assert main(["featurize", *given]) == 0
    return folder / "w.h5"


def network(folder: Path, name: str, outputs: int = 3, **settings: Any) -> tuple[Finetune, Any]:
    """Return the model around an encoder, and its module with the encoder's weights."""
    made_, tensors = Finetune(FinetuneSettings(**settings)).from_encoder(str(folder / name))
    assert isinstance(made_, Finetune)
    torch.manual_seed(1)
    module = made_.build(None, (), outputs)
    missing = module.load_state_dict(dict(tensors), strict=False)
    assert sorted(missing.missing_keys) == ["head.1.bias", "head.1.weight"]
    assert not missing.unexpected_keys
    return made_, module.eval()


@pytest.mark.parametrize("name", KINDS)
def test_the_mean_of_the_last_layer_and_a_classifier(folder: Path, name: str) -> None:
    model, module = network(folder, name)
    sounds = [made_noise(n) for n in (6000, 4000, 300)]
    views = [model.view(sound) for sound in sounds]
    encoder = encoders.load(folder / name)
    padded = torch.zeros(3, 6000)
    for row, view in zip(padded, views, strict=True):
        row[: len(view)] = torch.from_numpy(view)
    with torch.inference_mode():
        together = module(padded, torch.tensor([6000, 4000, 300]))
        alone = [module(torch.from_numpy(v)[None], torch.tensor([len(v)])) for v in views]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)
    mean = torch.from_numpy(encoder.states(views[0])[:, -1].mean(0))
    torch.testing.assert_close(module.head[1](mean), together[0], atol=1e-5, rtol=0)


def made_noise(samples: int) -> np.ndarray:
    return (np.random.default_rng(samples).standard_normal(samples) * 0.1).astype(np.float32)


@pytest.mark.parametrize("name", KINDS)
def test_layers_are_unfrozen_from_the_top(folder: Path, name: str) -> None:
    model, module = network(folder, name, layers=2, unfreeze=1)
    assert isinstance(module, FineTuned)

    def learning() -> set[str]:
        return {
            n.partition("layers.")[2][:1] for n, p in module.named_parameters() if p.requires_grad
        }

    seen = []
    for epoch in range(4):
        model.begin_epoch(module, epoch)
        seen.append(learning() - {""})
        module.train()
        layers = module.encoder.encoder.layers
        trained = [layer.training for layer in layers]
        assert trained == [i >= 3 - min(epoch, 2) for i in range(3)]
        assert not module.encoder.training
        assert module.head.training
    assert seen == [set(), {"2"}, {"1", "2"}, {"1", "2"}]
    after = [n for n, p in module.named_parameters() if p.requires_grad and "layers" not in n]
    stable = ["encoder.encoder.layer_norm.bias", "encoder.encoder.layer_norm.weight"]
    assert sorted(after) == (stable if name == "WavLM-layer" else []) + [
        "head.1.bias",
        "head.1.weight",
    ]
    assert (module.encoder.config.layerdrop, module.encoder.config.apply_spec_augment) == (0, False)


def test_what_is_frozen_stays_and_a_resumed_run_is_the_same(
    cli: Cli, folder: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sertool.training import loop

    given = ("--model", "finetune", "--init", f"ssl:{folder / 'Wav2Vec2'}", "--set", "layers=1")
    given = (*given, "--test-fold", "0", "--no-baselines", "--lr-scale", "1")
    short = cli("train", store, tmp_path / "a.ckpt", *given, "--epochs", "3")
    assert short.code == 0, short.err
    assert "96 of 98" not in short.err
    before = encoders.load(folder / "Wav2Vec2").module.state_dict()
    after = checkpoint.load(tmp_path / "a.ckpt").subset("model")
    moved = {n for n, t in before.items() if not np.array_equal(after[f"encoder.{n}"], t.numpy())}
    assert moved
    assert all(name.startswith("encoder.layers.2.") for name in moved)

    real = loop.train_epoch

    def interrupted(run: Any, task: Any, epoch: int, progress: Any) -> Any:
        if epoch == 2:
            raise KeyboardInterrupt
        return real(run, task, epoch, progress)

    monkeypatch.setattr(loop, "train_epoch", interrupted)
    assert cli("train", store, tmp_path / "b.ckpt", *given, "--epochs", "3").code == 130
    monkeypatch.setattr(loop, "train_epoch", real)
    assert cli("train", store, tmp_path / "b.ckpt", *given, "--epochs", "3", "--resume").code == 0
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()


def test_from_training_to_prediction(cli: Cli, folder: Path, store: Path, tmp_path: Path) -> None:
    """The checkpoint holds the encoder: nothing else is needed, and eval names it."""
    path, init = tmp_path / "m.ckpt", f"ssl:{folder / 'WavLM-layer'}"
    given = ("--model", "finetune", "--init", init, "--epochs", "2", "--test-fold", "0")
    assert cli("train", store, path, *given).code == 0
    meta = checkpoint.load(path).meta
    described = meta["model"]["settings"]["encoder"]
    assert described["sha256"] == encoders.weights_sha256(folder / "WavLM-layer")
    assert str(folder) not in json.dumps({k: v for k, v in meta.items() if k != "lineage"})
    assert str(folder / "WavLM-layer") not in json.dumps(meta)
    report = cli("eval", path, store)
    assert report.code == 0, report.err
    assert "encoder WavLM-layer: training data unknown" in " ".join(report.out.split())
    rows = cli("predict", path, folder / "wav", "--vad", "off", "--digits", "4")
    assert rows.code == 0, rows.err
    assert len(rows.out.splitlines()) == 18
    posteriors = Scorer.load(path).posterior([made_noise(n) for n in (500_000, 16_000, 200)])
    assert np.isfinite(posteriors).all()
    assert cli("info", path).code == 0


@pytest.mark.parametrize(
    ("store_name", "options", "message"),
    [
        ("low.h5", ["--init", "ssl:{}/Wav2Vec2"], "needs waveforms at 16000 Hz"),
        ("w.h5", [], "finetune starts from an encoder: --init ssl:FOLDER"),
        ("w.h5", ["--init", "ssl:{}/nowhere"], "no such folder"),
        ("w.h5", ["--init", "ssl:{}/Whisper"], "finetune takes encoders of waveforms"),
        ("w.h5", ["--model", "probe", "--init", "ssl:{}/Wav2Vec2"], "probe has no encoder"),
    ],
)
def test_what_cannot_be(
    cli: Cli, folder: Path, store: Path, store_name: str, options: list[str], message: str
) -> None:
    given = [option.format(folder) for option in options]
    result = cli(
        "train",
        folder / store_name,
        folder / "x.ckpt",
        "--model",
        "finetune",
        *given,
        "--test-fold",
        "0",
    )
    assert result.code in (2, 3)
    assert message in result.err, result.err
    assert "Traceback" not in result.err


def test_a_network_without_an_encoder_says_so(folder: Path) -> None:
    from sertool.models import model

    with pytest.raises(UsageError, match="has no encoder; use --model finetune"):
        model("ma2018")().from_encoder(str(folder / "Wav2Vec2"))  # type: ignore[attr-defined]
