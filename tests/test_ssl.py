"""Kind `ssl`: pre-trained encoders, and what goes wrong with them elsewhere, with its thread."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import made_encoders
import numpy as np
import pytest
import torch
from made_encoders import GROUP, LAYER, OTHER
from made_settings import parse

from sertool.audio.waveform import resample
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.features import ssl
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats.store import Store
from sertool.models import encoders

made_encoders.transformers()  # or all of these tests are skipped

RATE = 16000
Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No encoder is known from another test, none may be fetched, and none stays loaded."""
    monkeypatch.setenv(encoders.PLACES, "")
    monkeypatch.setenv(encoders.DEVICE, "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    encoders.load.cache_clear()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder of each kind."""
    root = tmp_path_factory.mktemp("encoders")
    for name in (*GROUP, *LAYER, *OTHER):
        made_encoders.save(root / name, name)
    return root


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1 + 0.02


def by_hand(name: str, sound: np.ndarray) -> np.ndarray:
    """The hidden states (frames, layers, dims) as transformers' own example computes them."""
    module, extractor = made_encoders.module(name), made_encoders.extractor(name)
    given = extractor(sound, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        if name == "Whisper":
            out = module.get_encoder()(given.input_features, output_hidden_states=True)
        else:
            out = module(given.input_values, output_hidden_states=True)
    return torch.stack(out.hidden_states, 2)[0].numpy()


@pytest.mark.parametrize("name", [*GROUP, *LAYER, *OTHER])
def test_it_gives_what_transformers_gives(folders: Path, name: str) -> None:
    """Every layer, pooled or in frames: do_normalize is the preprocessor's own (PR 13512)."""
    sound = noise(9000)
    states = by_hand(name, sound)
    n = 29 if name == "Whisper" else 27  # ceil(9000 / 320), or the convolutions' own
    states = states[:n]
    settings = parse(ssl.Settings, [f"model={folders / name}"])
    found = ssl.compute(sound, RATE, settings)
    assert found.shape == (1, 4, 16)
    np.testing.assert_allclose(found[0], states.mean(0), atol=1e-5)
    both = parse(ssl.Settings, [f"model={folders / name}", "pool=mean-sd", "layer=2"])
    expected = np.concatenate([states[:, 2].mean(0), states[:, 2].std(0)])
    np.testing.assert_allclose(ssl.compute(sound, RATE, both), expected[None], atol=1e-5)
    frames = parse(ssl.Settings, [f"model={folders / name}", "pool=none", "layer=3"])
    np.testing.assert_allclose(ssl.compute(sound, RATE, frames), states[:, 3], atol=1e-5)
    assert ssl.frame_rate(RATE, frames) == 50
    assert ssl.frame_rate(RATE, both) == 0


@pytest.mark.parametrize("name", [*GROUP, *LAYER, *OTHER])
def test_a_batch_gives_what_each_gives_alone(folders: Path, name: str) -> None:
    """Group norm: no mask, one length a pass (transformers 21534, fairseq 3227); else the mask."""
    encoder = encoders.load(folders / name)
    assert encoder.family.masked == (name in (*LAYER, "Whisper"))
    sounds = [noise(n, seed=i) for i, n in enumerate((16000, 12345, 9000, 16000))]
    with torch.inference_mode():
        together = encoders.run(encoder, [torch.from_numpy(sound) for sound in sounds])
    for sound, states in zip(sounds, together, strict=True):
        # data2vec's stacked convolutions round more
        atol = 1e-4 if name == "Data2VecAudio" else 1e-5
        np.testing.assert_allclose(states.numpy(), encoder.states(sound), atol=atol)


@pytest.mark.parametrize("name", ["Wav2Vec2", "Data2VecAudio", "WavLM-layer"])
def test_padding_would_change_what_takes_no_mask(folders: Path, name: str) -> None:
    """The reason for the former: where it is otherwise, a mask or no mask makes no difference."""
    module = made_encoders.module(name)
    sound = torch.from_numpy(noise(9000))[None]
    padded = torch.nn.functional.pad(sound, (0, 7000))
    mask = (torch.arange(16000) < 9000).long()[None]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = module(sound).last_hidden_state
        masked = module(padded, attention_mask=mask).last_hidden_state[:, : alone.shape[1]]
        bare = module(padded).last_hidden_state[:, : alone.shape[1]]
    assert not torch.allclose(alone, bare, atol=1e-3)
    assert torch.allclose(alone, masked, atol=1e-4) == (name == "WavLM-layer")


def test_the_preprocessor_decides_about_normalisation(folders: Path, tmp_path: Path) -> None:
    """It is applied to the sound alone, and what the file says is kept in the settings."""
    sound = noise(8000)
    extractor = made_encoders.extractor("Wav2Vec2")
    expected = extractor(sound, sampling_rate=RATE, return_tensors="np").input_values[0]
    np.testing.assert_allclose(encoders.normalised(sound), expected, atol=1e-6)
    loud = parse(ssl.Settings, [f"model={folders / 'Hubert'}"])  # it does not normalise
    plain = parse(ssl.Settings, [f"model={folders / 'Wav2Vec2'}"])
    assert (plain.do_normalize, loud.do_normalize) == (True, False)
    np.testing.assert_allclose(
        ssl.compute(sound, RATE, plain), ssl.compute(sound * 3, RATE, plain), atol=1e-5
    )
    other = shutil.copytree(folders / "Wav2Vec2", tmp_path / "Wav2Vec2")
    made_encoders.edit(other / encoders.PREPROCESSOR, do_normalize=False)
    changed = parse(ssl.Settings, [f"model={other}"])
    assert changed.do_normalize is False
    assert changed.sha256 == plain.sha256
    forced = parse(ssl.Settings, [f"model={other}", "do_normalize=true"])
    np.testing.assert_array_equal(ssl.compute(sound, RATE, forced), ssl.compute(sound, RATE, plain))
    (other / encoders.PREPROCESSOR).unlink()
    with pytest.raises(InputError, match="it has no preprocessor_config"):
        parse(ssl.Settings, [f"model={other}"])


def test_whisper_counts_the_frames_of_the_sound_alone(folders: Path) -> None:
    encoder = encoders.load(folders / "Whisper")
    for samples, frames in ((400, 2), (640, 2), (641, 3), (48000, 150)):
        assert encoder.states(noise(samples)).shape == (frames, 4, 16)


@pytest.mark.parametrize("name", ["Wav2Vec2", "WavLM-layer", "Whisper"])
def test_too_short_a_sound_is_a_failed_item(folders: Path, name: str) -> None:
    """Under 400 samples there is no frame (whisperX 510)."""
    settings = parse(ssl.Settings, [f"model={folders / name}"])
    with pytest.raises(ItemError, match="too short for the encoder: 399 samples at 16000 Hz"):
        ssl.compute(noise(399), RATE, settings)
    assert ssl.compute(noise(400), RATE, settings).shape == (1, 4, 16)
    assert encoders.load(folders / name).states(noise(400)).shape[0] == (
        2 if name == "Whisper" else 1
    )


@pytest.mark.parametrize("name", ["Wav2Vec2", "Whisper"])
def test_a_long_sound_is_heard_in_overlapping_pieces(
    folders: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention is quadratic in memory: no pass sees more than 30 s, and no frame is lost."""
    encoder = encoders.load(folders / name)
    sound = noise(61 * RATE + 123)
    asked: list[int] = []
    hidden = encoders.Encoder.hidden

    def watched(self: Any, items: Any, layer: Any) -> Any:
        asked.extend(len(item) for item in items)
        return hidden(self, items, layer)

    monkeypatch.setattr(encoders.Encoder, "hidden", watched)
    states = encoder.states(sound)
    assert len(states) == encoder.frames(len(sound))
    assert (len(asked), max(asked)) == (3, 30 * RATE)
    # a frame is that of the piece in whose inside it lies: two meet amid what they share
    first, second = (encoder.states(sound[s * RATE : (s + 30) * RATE]) for s in (0, 25))
    np.testing.assert_array_equal(states[: 27 * 50], first[: 27 * 50])
    np.testing.assert_array_equal(states[28 * 50 : 42 * 50], second[3 * 50 : 17 * 50])


def test_pieces_cover_everything() -> None:
    for samples in (30 * RATE + 1, 31 * RATE, 55 * RATE, 55 * RATE + 1, 200 * RATE + 77):
        cuts = encoders.pieces(samples, RATE, 320)
        assert cuts[0][0] == 0
        assert cuts[-1][1] == samples
        assert all(first % 320 == 0 and last - first <= 30 * RATE for first, last in cuts)
        ends = itertools.pairwise(cuts)
        assert all(b[0] < a[1] and a[0] < b[0] for a, b in ends)


def test_numbers_that_are_not_finite_are_an_error(folders: Path, tmp_path: Path) -> None:
    """As half precision gives them (transformers 31970)."""
    folder = shutil.copytree(folders / "Hubert-layer", tmp_path / "broken")
    change(folder, lambda name, tensor: tensor.fill_(1e30) if name.endswith("dense.weight") else 0)
    settings = parse(ssl.Settings, [f"model={folder}"])
    with pytest.raises(ItemError, match="the encoder gives numbers that are not finite"):
        ssl.compute(noise(8000), RATE, settings)


def change(folder: Path, what: Callable[[str, torch.Tensor], Any]) -> None:
    """Change the tensors in a folder's weights."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / encoders.WEIGHTS)
    for name, tensor in tensors.items():
        what(name, tensor)
    save_file(tensors, folder / encoders.WEIGHTS, {"format": "pt"})


def test_it_is_evaluated_not_trained(folders: Path) -> None:
    """LayerDrop, dropout and masking of features are off (s3prl 289): the same again."""
    encoder = encoders.load(folders / "Wav2Vec2")
    assert not encoder.module.training
    assert encoder.module.config.layerdrop == 0.5
    first = encoder.states(noise(8000))
    assert first.shape[1] == encoder.layers == 4
    np.testing.assert_array_equal(first, encoder.states(noise(8000)))


def test_half_precision_weights_are_computed_in_float32(folders: Path, tmp_path: Path) -> None:
    package = made_encoders.transformers()
    module = package.AutoModel.from_pretrained(folders / "Hubert", dtype=torch.float16)
    module.save_pretrained(tmp_path / "half")
    shutil.copy(folders / "Hubert" / encoders.PREPROCESSOR, tmp_path / "half")
    encoder = encoders.load(tmp_path / "half")
    assert {p.dtype for p in encoder.module.parameters()} == {torch.float32}


def test_missing_weights_are_never_drawn_by_chance(folders: Path, tmp_path: Path) -> None:
    """ "Newly initialized" (transformers 27605) is an error here, in one line."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders / "Wav2Vec2", tmp_path / "cut")
    tensors = load_file(folder / encoders.WEIGHTS)
    kept = {name: t for name, t in tensors.items() if "layers.1.attention.k_proj" not in name}
    save_file(kept, folder / encoders.WEIGHTS, {"format": "pt"})
    with pytest.raises(InputError, match=r"weights are missing \(encoder\.layers\.1.*by chance"):
        encoders.load(folder)
    no_mask = {name: t for name, t in tensors.items() if name != "masked_spec_embed"}
    save_file(no_mask, folder / encoders.WEIGHTS, {"format": "pt"})
    encoders.load(folder)  # what only training needs may be missing


def test_the_hash_is_of_names_types_shapes_and_numbers(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "Wav2Vec2", tmp_path / "renamed")
    before = encoders.weights_sha256(folders / "Wav2Vec2")
    assert encoders.weights_sha256(folder) == before
    made_encoders.module("Wav2Vec2").save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert (tmp_path / "parts" / encoders.INDEX).is_file()
    assert encoders.weights_sha256(tmp_path / "parts") == before  # whatever files they lie in
    change(folder, lambda name, tensor: tensor.add_(1e-3) if name.endswith("bias") else 0)
    assert encoders.weights_sha256(folder) != before


def test_pickled_weights_are_converted_and_never_loaded(folders: Path, tmp_path: Path) -> None:
    """transformers 38464: torch.load would run what is in them; one command converts them."""
    folder = shutil.copytree(folders / "WavLM", tmp_path / "pickled")
    (folder / encoders.WEIGHTS).unlink()
    torch.save(made_encoders.module("WavLM").state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pickled.*python -m sertool.extras.to_safetensors /"):
        parse(ssl.Settings, [f"model={folder}"])
    command = [sys.executable, "-m", "sertool.extras.to_safetensors", str(folder)]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    found, expected = (parse(ssl.Settings, [f"model={f}"]) for f in (folder, folders / "WavLM"))
    sound = noise(8000)
    np.testing.assert_array_equal(
        ssl.compute(sound, RATE, found), ssl.compute(sound, RATE, expected)
    )
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stderr.count("\n")) == (3, 1)
    torch.save({"x": Path}, folder / "pytorch_model.bin")
    harmful = subprocess.run([*command, "--force"], capture_output=True, text=True)
    assert harmful.returncode == 3
    assert "could run code" in harmful.stderr


def test_another_rate_is_resampled(folders: Path) -> None:
    settings = parse(ssl.Settings, [f"model={folders / 'Wav2Vec2'}"])
    low = noise(4000)
    np.testing.assert_array_equal(
        ssl.compute(low, 8000, settings), ssl.compute(resample(low, 8000, RATE), RATE, settings)
    )
    assert "lacks what is above" in ssl.remarks(8000, settings)[0]
    assert ssl.remarks(RATE, settings) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["model={0}/Wav2Vec2", "layer=4"], r"layer=4: Wav2Vec2 has layers 0 to 3"),
        (["model={0}/Wav2Vec2", "pool=none"], "pool=none keeps the frames of one layer"),
        (["model={0}/nowhere"], "no such folder, and no ID"),
        (["model={0}"], "not an encoder's folder, it has no config.json"),
        ([], "kind ssl needs --set model=FOLDER"),
        (
            ["model=nobody/nothing"],
            "nor in the local cache, and cannot be fetched",
        ),
    ],
)
def test_settings_that_cannot_be(folders: Path, texts: list[str], message: str) -> None:
    with pytest.raises((UsageError, InputError), match=message) as caught:
        ssl.remarks(RATE, parse(ssl.Settings, [text.format(folders) for text in texts]))
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_something_else(tmp_path: Path, folders: Path) -> None:
    folder = shutil.copytree(folders / "Wav2Vec2", tmp_path / "odd")
    made_encoders.edit(folder / encoders.CONFIG, model_type="no-such-model")
    with pytest.raises(InputError, match="transformers cannot load it") as caught:
        encoders.load(folder)
    assert "\n" not in str(caught.value)
    (folder / encoders.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged, or not a file of weights"):
        parse(ssl.Settings, [f"model={folder}"])


def test_the_settings_say_nothing_of_the_place(folders: Path, tmp_path: Path) -> None:
    """The same encoder elsewhere gives the same settings, and so the same store."""
    copied = shutil.copytree(folders / "Hubert", tmp_path / "deep" / "Hubert")
    one, other = (parse(ssl.Settings, [f"model={f}"]) for f in (folders / "Hubert", copied))
    assert one == other
    assert str(tmp_path) not in json.dumps(Stage("ssl", {"model": str(copied)}).to_dict())


def test_replay_looks_for_the_weights(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage("ssl", {"model": str(folders / "Hubert")}, sample_rate=RATE)
    record = json.loads(json.dumps(stage.to_dict()))
    sound = noise(8000)
    expected = stage.compute(sound, RATE)

    def replayed() -> np.ndarray:
        (array,) = Pipeline.from_records([record]).arrays(sound, RATE)
        return array

    monkeypatch.setenv(encoders.PLACES, "")
    with pytest.raises(InputError, match=r"the encoder Hubert .* --encoder FOLDER or in SERTOOL_"):
        replayed()
    for place in (folders, folders / "Hubert"):
        monkeypatch.setenv(encoders.PLACES, f"/nowhere{os.pathsep}{place}")
        np.testing.assert_array_equal(replayed(), expected)
    other = made_encoders.save(tmp_path / "Hubert", "Hubert", seed=1)
    monkeypatch.setenv(encoders.PLACES, str(other))
    with pytest.raises(InputError, match="not the weights that the features come from"):
        replayed()
    moved = shutil.copytree(folders / "Hubert", tmp_path / "another-name")
    monkeypatch.setenv(encoders.PLACES, str(moved))
    np.testing.assert_array_equal(replayed(), expected)


def test_the_command(cli: Cli, sounds: Path, folders: Path, tmp_path: Path) -> None:
    """Any number of workers, the same bytes; the same name with other weights is noticed."""
    folder = shutil.copytree(folders / "Wav2Vec2-layer", tmp_path / "encoder")
    given = ("--kind", "ssl", "--set", f"model={folder}")
    for workers in (1, 2):
        result = cli("featurize", *given, "--workers", workers, sounds, tmp_path / f"{workers}.h5")
        assert result.code == 0, result.err
        assert "Traceback" not in result.err
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    with Store(tmp_path / "1.h5") as store:
        assert store.shape == (4, 16)
        assert store.settings["model"] == "encoder"
        assert store.settings["sha256"] == encoders.weights_sha256(folder)
    again = cli("featurize", *given, "--resume", sounds, tmp_path / "1.h5")
    assert again.code == 0
    change(folder, lambda name, tensor: tensor.add_(0.01) if name.endswith("bias") else 0)
    other = cli("featurize", *given, "--resume", sounds, tmp_path / "1.h5")
    assert other.code == 3
    assert "made with other settings" in other.err
    refused = cli("featurize", "--kind", "mel", "--device", "cuda", sounds, tmp_path / "m.h5")
    assert (refused.code, "kind mel is for the CPU" in refused.err) == (2, True)


@pytest.fixture(scope="module")
def trained(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds of three speakers, their store, and models trained on it, with and without norms."""
    import made

    from sertool.cli import main

    root = tmp_path_factory.mktemp("trained")
    made.corpus(root / "wav", speakers=3)
    manifest, store = root / "m.jsonl", root / "s.h5"
    split = ["--split", "loso", "--pattern", "{speaker}-{label}-{take}.wav"]
    assert main(["prepare", str(root / "wav"), str(manifest), *split]) == 0
    given = ["--kind", "ssl", "--set", f"model={folders / 'Hubert'}"]
    assert main(["featurize", str(manifest), str(store), *given]) == 0
    for name, *more in (("plain",), ("normed", "--speaker-normalisation")):
        paths = [str(store), str(root / f"{name}.ckpt")]
        assert main(["train", *paths, "--test-fold", "0", *more]) == 0
    return root


def posteriors(text: str) -> list[list[float]]:
    return [list(json.loads(line)["posterior"].values()) for line in text.splitlines()]


def test_predict_gives_what_eval_does(
    cli: Cli, folders: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = json.loads(cli("eval", trained / "plain.ckpt", trained / "s.h5", "--json", "-").out)
    sounds = sorted((trained / "wav").glob("s0-*.wav"))
    given = ("predict", trained / "plain.ckpt", *sounds, "--vad", "off")
    monkeypatch.setenv(encoders.PLACES, "")
    missing = cli(*given)
    assert missing.code == 3
    assert "name its folder with --encoder FOLDER" in missing.err
    assert cli(*given, "--encoder", "/nowhere").code == 3
    for workers in (1, 2):
        monkeypatch.setenv(encoders.PLACES, "")
        result = cli(*given, "--encoder", folders / "Hubert", "--workers", workers)
        assert result.code == 0, result.err
        expected = [list(item["posterior"].values()) for item in report["items"]]
        np.testing.assert_allclose(posteriors(result.out), expected, atol=1e-12)
    refused = cli(*given, "--encoder", folders, "--explain", trained / "figures")
    assert (refused.code, "not layers of an encoder" in refused.err) == (2, True)


def test_layers_normalised_by_speaker(
    cli: Cli, folders: Path, trained: Path, tmp_path: Path
) -> None:
    """Each layer by its own mean and deviation, from the store, the recordings or a file."""
    report = json.loads(cli("eval", trained / "normed.ckpt", trained / "s.h5", "--json", "-").out)
    sounds = sorted((trained / "wav").glob("s0-*.wav"))
    given = ("predict", trained / "normed.ckpt", *sounds, "--vad", "off", "--speaker", "s0")
    given = (*given, "--encoder", folders)
    statistics = tmp_path / "speakers.jsonl"
    expected = [list(item["posterior"].values()) for item in report["items"]]
    assert cli(*given, "--write-statistics", statistics).code == 0
    for more in ((), ("--speaker-statistics", statistics)):
        result = cli(*given, *more)
        assert result.code == 0, result.err
        np.testing.assert_allclose(posteriors(result.out), expected, atol=1e-6)


def test_a_fused_model_has_its_members_encoders(cli: Cli, trained: Path, tmp_path: Path) -> None:
    store, one = trained / "s.h5", trained / "plain.ckpt"
    given = ("--model", "probe", "--epochs", "1", "--test-fold", "0")
    assert cli("train", store, tmp_path / "p.ckpt", *given).code == 0
    assert cli("fuse", one, tmp_path / "p.ckpt", tmp_path / "f.ckpt").code == 0
    result = cli("eval", tmp_path / "f.ckpt", store)
    assert result.code == 0, result.err
    assert " ".join(result.out.split()).count("encoder Hubert: training data unknown") == 1
