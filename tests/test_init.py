"""Tests of `train --init`: where the weights come from, what of them is taken, what is refused."""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_models
import numpy as np
import pytest
import safetensors.torch
import torch
from made_stores import write_store
from small_store import items, make
from test_picture_models import TORCHVISION

from sertool.core.errors import InputError, UsageError
from sertool.formats import checkpoint
from sertool.items import Item
from sertool.models import Network, fser2021
from sertool.targets import Target
from sertool.training import initial, networks
from sertool.training.initial import Initial
from sertool.ui.console import Console

Cli = Callable[..., Any]
SMALL = ("widths=[4]", "dense=[]", "dropout=0.0")
FSER = ("--model", "fser2021", *[word for text in SMALL for word in ("--set", text)])
ONE_STEP = ("--epochs", "1", "--batch-size", "100", "--no-baselines", "--test-fold", "0")
SHAPE = (16, 16, 3)
CLASSES = ["anger", "calm", "joy"]


def pictures(path: Path, labels: dict[str, str] | None = None, prefix: str = "") -> Path:
    """Write a store of pictures of noise, its labels renamed by `labels`; return its path."""
    rows = [row.replace(label=(labels or {}).get(row.label, row.label)) for row in items()]
    for row in rows:
        row.id, row.origin = prefix + row.id, prefix + row.origin
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (1, *SHAPE), dtype=np.uint8) for _ in rows]
    write_store(path, noise, rows, kind="image")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("init") / "s.h5")


def small(outputs: int = 3, seed: int = 1) -> Any:
    """Return the small network whose settings are `SMALL`."""
    torch.manual_seed(seed)
    return made_models.network("fser2021", *SMALL).build(None, SHAPE, outputs)


def saved(path: Path, outputs: int = 3) -> dict[str, torch.Tensor]:
    """Save weights of the small network as a file of torch; return them."""
    state = dict(small(outputs).state_dict())
    torch.save(state, path)
    return state


def start(network: Any, init: Initial | None, classes: list[str]) -> frozenset[str]:
    """Return the names of what `init` gives `network` with these classes."""
    found = fser2021.Fser2021()
    plan = networks.Plan(found, found.defaults(), 0, torch.device("cpu"), init)
    target = Target("label", classes, 1.0, np.zeros(1, np.int64), np.ones(len(classes)))
    return networks.initialise(network, plan, [target], Console.silent())


def given(
    tensors: dict[str, torch.Tensor], classes: list[list[str]] | None, path: str = "w.pth"
) -> Initial:
    return Initial(Path(path), tensors, classes, None, {})


# what is taken


def test_torchvisions_weights_fit_all_but_the_last_layer(tmp_path: Path) -> None:
    found = made_models.network("badshah2017-alexnet")
    assert isinstance(found, Network)
    random = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(shape[0], generator=random).reshape(-1, *[1] * (len(shape) - 1))
        for name, shape in TORCHVISION.items()
    }
    state = {n: t.expand(TORCHVISION[n]).bfloat16().contiguous() for n, t in state.items()}
    torch.save(state, tmp_path / "alexnet.pth")
    loaded = initial.load(str(tmp_path / "alexnet.pth"), found, Console.silent())
    network = found.build(None, (63, 63, 3), 7)
    before = {name: network.state_dict()[name].clone() for name in list(state)[-2:]}
    copied = start(network, loaded, [*"abcdefg"])
    assert copied == set(TORCHVISION) - {"classifier.6.weight", "classifier.6.bias"}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before.get(name, state[name].float())), name


def test_the_last_layer_is_taken_for_the_same_classes_alone() -> None:
    state = small(seed=5).state_dict()
    whole, others = set(state), {"features.0.weight", "features.0.bias"}
    for classes, copied in (
        ([CLASSES], whole),
        ([["calm", "anger", "joy"]], others),
        ([["anger", "calm", "fear"]], others),
        ([CLASSES, ["a"]], others),
        (None, others),
    ):
        network = small()
        fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        assert start(network, given(state, classes), CLASSES) == copied
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, (state if name in copied else fresh)[name]), name
    assert start(small(), None, CLASSES) == frozenset()


@pytest.mark.parametrize(
    ("name", "shape", "assignments", "last"),
    [
        ("fser2021", SHAPE, SMALL, "classifier.0"),
        ("fser2021", (64, 64, 3), (), "classifier.6"),
        ("badshah2017", (40, 40, 3), (), "classifier.6"),
        ("badshah2017-alexnet", (63, 63, 3), (), "classifier.6"),
    ],
)
def test_last_layer(
    name: str, shape: tuple[int, ...], assignments: tuple[str, ...], last: str
) -> None:
    with torch.device("meta"):
        network = made_models.network(name, *assignments).build(None, shape, 7)
    assert networks.last_layer(network) == {f"{last}.weight", f"{last}.bias"}


def test_last_layer_of_every_model_gives_the_logits() -> None:
    network = made_models.network("sundharam-cnn").build(40, (4,), 11)
    tensors = [network.state_dict()[name] for name in networks.last_layer(network)]
    assert [len(tensor) for tensor in tensors] == [11, 11]


def test_weights_that_are_no_numbers_or_fit_nowhere_are_refused() -> None:
    state = small().state_dict()
    state["features.0.bias"] = torch.tensor([0.0, float("nan"), 0.0, 0.0])
    with pytest.raises(
        InputError, match=r"w\.pth: features\.0\.bias holds numbers that are not finite"
    ):
        start(small(), given(state, None), CLASSES)
    with pytest.raises(InputError, match=r"its first is fc\.w 2 × 3, the network.s features\.0"):
        start(small(), given({"fc.w": torch.zeros(2, 3)}, None), CLASSES)
    only_last = {n: t for n, t in small().state_dict().items() if "classifier" in n}
    with pytest.raises(InputError, match="none of its tensors fits"):
        start(small(), given(only_last, None), CLASSES)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_outside_weights_in_the_checkpoint(
    cli: Cli, store: Path, tmp_path: Path, suffix: str
) -> None:
    weights, out = tmp_path / f"w.{suffix}", tmp_path / "m.ckpt"
    state = saved(tmp_path / "w.pth")
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    more = ("--init", weights, "--lr-scale", "0")
    result = cli("train", store, out, *FSER, *ONE_STEP, *more)
    assert result.code == 0, result.err
    assert "2 of 4 tensors come from --init, 2 start afresh (the last layer" in result.err
    assert "classes are unknown" in result.err
    assert f"{weights}: what these weights were trained on is unknown" in result.err
    made = checkpoint.load(out)
    for name in ("features.0.weight", "features.0.bias"):
        np.testing.assert_array_equal(made.tensors[f"model.{name}"], state[name].numpy())
    assert not np.array_equal(
        made.tensors["model.classifier.0.weight"], state["classifier.0.weight"].numpy()
    )
    assert made.meta["lineage"][-1]["params"]["init"] == {
        "name": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "url": None,
        "items": None,
        "init": None,
    }
    content = out.read_bytes()
    assert cli("train", store, out, *FSER, *ONE_STEP, *more, "--resume").code == 0
    assert cli("train", store, out, *FSER, *ONE_STEP, *more, "--force").code == 0
    assert out.read_bytes() == content


def test_given_weights_move_a_tenth_as_far(cli: Cli, store: Path, tmp_path: Path) -> None:
    state = saved(tmp_path / "w.pth")
    moved = {}
    for scale in ("1", "0.1"):
        out = tmp_path / f"{scale}.ckpt"
        more = ("--init", tmp_path / "w.pth", "--lr-scale", scale, "--lr", "0.1")
        assert cli("train", store, out, *FSER, *ONE_STEP, *more).code == 0
        tensors = checkpoint.load(out).tensors
        moved[scale] = tensors["model.features.0.weight"] - state["features.0.weight"].numpy()
        moved[scale + " last"] = tensors["model.classifier.0.weight"]
    assert np.abs(moved["1"]).max() > 1e-4
    np.testing.assert_allclose(moved["0.1"], 0.1 * moved["1"], rtol=1e-2, atol=1e-7)
    np.testing.assert_array_equal(moved["0.1 last"], moved["1 last"])


def test_from_a_checkpoint_with_the_same_and_with_other_classes(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    saved(tmp_path / "w.pth")
    first, second = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    begin = ("train", store, first, *FSER, *ONE_STEP, "--init", tmp_path / "w.pth")
    assert cli(*begin).code == 0
    same = pictures(tmp_path / "same.h5", prefix="x/")
    other = pictures(tmp_path / "other.h5", {"joy": "boredom"}, "x/")  # as many, another order
    more = (*FSER, *ONE_STEP, "--init", first, "--lr-scale", "0", "--lr", "1e-6")
    old = checkpoint.load(first)
    for source, said, kept in (
        (same, "4 of 4 tensors come from --init\n", 4),
        (other, "2 start afresh (the last layer because its classes are others)", 2),
    ):
        result = cli("train", source, second, *more, "--force")
        assert result.code == 0, result.err
        assert said in result.err
        assert "not known" not in result.err
        new = checkpoint.load(second)
        pairs = [(old.tensors[n], t) for n, t in new.tensors.items() if n.startswith("model.")]
        assert sum(np.array_equal(a, b) for a, b in pairs) == kept
        init = new.meta["lineage"][-1]["params"]["init"]
        assert (init["name"], init["items"], init["url"]) == (
            "a.ckpt",
            len(old.part("train")),
            None,
        )
        assert init["init"]["name"] == "w.pth"
        assert init["init"]["items"] is None
        assert {item.id for item in old.part("train")} < {i.id for i in new.part("train")}


# what is refused


def test_output_may_not_be_the_file_of_weights(cli: Cli, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    saved(path)
    before = path.read_bytes()
    result = cli("train", store, path, *FSER, *ONE_STEP, "--init", path, "--force")
    assert (result.code, path.read_bytes()) == (2, before)
    assert "same file" in result.err


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def bad_files(folder: Path) -> dict[str, str]:
    """Write files that cannot serve; return what is said of each."""
    saved(folder / "good.pth")
    content = (folder / "good.pth").read_bytes()
    torch.save({"state_dict": Evil(folder / "ran")}, folder / "evil.pth")
    (folder / "bare.pth").write_bytes(pickle.dumps(Evil(folder / "ran")))
    (folder / "short.pth").write_bytes(content[: len(content) // 2])
    (folder / "stub.pth").write_bytes(content[:6])
    torch.save(
        {"state_dict": dict(small().state_dict())},
        folder / "old.pth",
        _use_new_zipfile_serialization=False,
    )
    (folder / "cut.pth").write_bytes((folder / "old.pth").read_bytes()[:-60])
    torch.save({"epoch": 3}, folder / "empty.pth")
    torch.save(torch.zeros(3), folder / "tensor.pth")
    torch.save({"fc.weight": torch.zeros(2, 3)}, folder / "keys.pth")
    np.savez(folder / "numpy.npz", a=np.zeros(3))
    (folder / "text.pth").write_text("no weights at all\n")
    (folder / "nothing.pth").write_bytes(b"")
    good = safetensors.torch.save({"a": torch.zeros(4)})
    (folder / "cut.safetensors").write_bytes(good[:-3])
    (folder / "keys.safetensors").write_bytes(good)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "script.pt")
    (folder / "folder.pth").mkdir()
    return {
        "evil.pth": "holds more than tensors, which could run code and is not loaded",
        "bare.pth": "holds more than tensors",
        "short.pth": "damaged, or not a torch file",
        "stub.pth": "damaged, or not a torch file",
        "cut.pth": "damaged",
        "empty.pth": "not a dictionary of tensors",
        "tensor.pth": "not a dictionary of tensors",
        "keys.pth": "none of its tensors fits this network",
        "numpy.npz": "damaged, or not a torch file",
        "text.pth": "neither a checkpoint nor a torch",
        "nothing.pth": "neither a checkpoint nor a torch",
        "cut.safetensors": "not a checkpoint, or a damaged one",
        "keys.safetensors": "none of its tensors fits this network",
        "script.pt": "TorchScript",
        "folder.pth": "is a folder",
        "missing.pth": "no such file",
    }


@pytest.mark.filterwarnings("ignore:.*torch.jit", "error::UserWarning")
def test_files_that_cannot_serve_give_one_line(cli: Cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    for name, said in bad_files(tmp_path).items():
        init = ("--init", tmp_path / name)
        result = cli("train", store, out, *FSER, *ONE_STEP, "--quiet", *init)
        assert result.code == 3, (name, result.err)
        lines = result.err.strip().split("\n")
        assert len(lines) == 1, result.err
        assert said in lines[0], (name, lines[0])
        assert name in lines[0]
        assert not out.exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["old.pth", "nested.pth", "deep.pth"])
def test_old_and_nested_files_are_read(tmp_path: Path, name: str) -> None:
    state = dict(small().state_dict())
    more = {"epoch": 3, "best": torch.ones(2)}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": state, **more}, tmp_path / "nested.pth")
    torch.save({"model": state | {"scale": 2.0}, **more}, tmp_path / "deep.pth")
    read = initial.read_torch(tmp_path / name)
    assert set(read) == set(state)
    assert all(torch.equal(read[n], t) for n, t in state.items())


# published weights


def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> Path:
    """Let fser2021 have weights at `url`; return the folder that they are kept in."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(fser2021.Fser2021, "pretrained", {"imagenet": url})
    return tmp_path / "hub" / "hub" / "checkpoints"


def test_published_weights_are_fetched_once(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = saved(tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    source = (tmp_path / "w.pth").rename(tmp_path / f"small-{digest[:8]}.pth")
    kept = published(monkeypatch, tmp_path, source.as_uri()) / source.name
    command = ("train", store, tmp_path / "m.ckpt", *FSER, *ONE_STEP, "--init", "imagenet")
    result = cli(*command, "--lr-scale", "0")
    assert result.code == 0, result.err
    assert f"fetching {source.as_uri()}" in result.err
    made = checkpoint.load(tmp_path / "m.ckpt")
    np.testing.assert_array_equal(
        made.tensors["model.features.0.weight"], state["features.0.weight"].numpy()
    )
    init = made.meta["lineage"][-1]["params"]["init"]
    assert init == {
        "name": source.name,
        "sha256": digest,
        "url": source.as_uri(),
        "items": None,
        "init": None,
    }
    source.unlink()
    result = cli(*command, "--force")
    assert result.code == 0, result.err
    assert "fetching" not in result.err
    kept.write_bytes(kept.read_bytes() + b"x")
    result = cli(*command, "--force", "--quiet")
    assert result.code == 3
    assert f"{kept}: not the published file; delete it" in result.err


def test_published_weights_of_another_hash_are_refused(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "small-01234567.pth"
    saved(source)
    kept = published(monkeypatch, tmp_path, source.as_uri())
    out = tmp_path / "m.ckpt"
    result = cli("train", store, out, *FSER, *ONE_STEP, "--quiet", "--init", "imagenet")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert "is not the published file: its hash is wrong" in result.err
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError(OSError(-3, "Temporary failure in\nname resolution")),
        urllib.error.HTTPError("http://x", 404, "Not Found", {}, None),  # type: ignore[arg-type]
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
        PermissionError(13, "Permission denied"),
    ],
)
def test_no_network_is_one_line(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    def refuse(url: str, *more: object, **named: object) -> None:
        assert url == "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    alexnet = ("--model", "badshah2017-alexnet", "--init", "imagenet", "--quiet")
    result = cli("train", store, tmp_path / "m.ckpt", *alexnet, "--test-fold", "0")
    assert (result.code, result.err.count("\n")) == (3, 1), result.err
    assert "7be5be79.pth cannot be fetched (" in result.err
    assert "pass it with --init FILE" in result.err


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    url = "http://127.0.0.1:9/x-01234567.pth"
    with pytest.raises(InputError, match=r"x-01234567\.pth cannot be fetched \(.*refused"):
        initial.fetch("imagenet", url, Console.silent())


def test_word_that_only_other_models_know(cli: Cli, store: Path, tmp_path: Path) -> None:
    result = cli("train", store, tmp_path / "m.ckpt", *FSER, *ONE_STEP, "--init", "imagenet")
    assert result.code == 2
    assert (
        "there are no such published weights for fser2021, only for badshah2017-alexnet"
        in result.err
    )
    found = made_models.network("fser2021")
    assert isinstance(found, Network)
    with pytest.raises(UsageError):
        initial.load("imagenet", found, Console.silent())


def test_a_file_may_have_the_words_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = saved(tmp_path / "imagenet")
    assert set(initial.load("imagenet", fser2021.Fser2021(), Console.silent()).tensors) == set(
        state
    )


def test_features_over_time_take_outside_weights_too(cli: Cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5")
    cnn = ("--model", "sundharam-cnn", "--epochs", "1", "--test-fold", "0", "--no-baselines")
    assert cli("train", store, tmp_path / "a.ckpt", *cnn).code == 0
    arrays = checkpoint.load(tmp_path / "a.ckpt").subset("model")
    torch.save({n: torch.from_numpy(a) for n, a in arrays.items()}, tmp_path / "a.pth")
    result = cli("train", store, tmp_path / "b.ckpt", *cnn, "--init", tmp_path / "a.pth")
    assert result.code == 0, result.err
    assert f"{len(arrays) - 2} of {len(arrays)} tensors come from --init" in result.err


def test_a_file_whose_header_is_as_long_as_a_pickle_begins(tmp_path: Path) -> None:
    """A safetensors file opens with the length of its header; 0x80 is how a pickle opens, too."""
    path = tmp_path / "w.safetensors"
    for padding in range(300):
        safetensors.torch.save_file({"weight": torch.ones(2)}, path, {"note": " " * padding})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[:1] == b"\x80"
    found = initial.load(str(path), fser(), Console.silent())
    assert found.tensors["weight"].tolist() == [1, 1]


def fser() -> Network:
    return made_models.network("fser2021")


def test_other_segments_of_a_held_out_recording_are_that_recording() -> None:
    from sertool.training.provenance import _inherited

    def segment(i: int, number: int, corpus: str = "c", part: str = "train") -> Item:
        return Item(f"{corpus}/{i}#{number:03d}", origin=f"c/{i}", corpus=corpus, part=part)

    own = [segment(0, 0), segment(1, 0, part="test")]
    with pytest.raises(InputError, match="--init: uses 1 of the recordings held out"):
        _inherited("--init", [segment(0, 0), segment(1, 4), segment(1, 5)], own)
    more = [segment(0, 0), segment(0, 7), segment(1, 4, "d")]
    assert _inherited("--init", more, own) == more[1:]
