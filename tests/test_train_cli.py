"""Tests of `sertool train` as a user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_store import items, make

from sertool.formats import checkpoint
from sertool.formats.store import Store

Cli = Callable[..., Any]
CNN = ("--model", "sundharam-cnn", "--epochs", "2", "--batch-size", "16")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("train") / "s.h5")


def test_linear_by_default_and_nothing_on_stdout(cli: Cli, store: Path, tmp_path: Path) -> None:
    result = cli("train", store, tmp_path / "m.ckpt", "--test-fold", "1", "--val-fold", "2")
    assert (result.code, result.out) == (0, "")
    assert "fold 1: trains on 24 items (12 of them copies) of 2 speakers (s0, s1)" in result.err
    assert "fold 1: validates on 12 items of 2 speakers (s4, s5)" in result.err
    assert "fold 1: holds out 24 items" in result.err
    assert "linear is fitted in one step" in result.err
    assert "validation UAR" in result.err
    meta = checkpoint.load(tmp_path / "m.ckpt").meta
    assert meta["model"]["name"] == "linear"
    assert meta["classes"] == ["anger", "calm", "joy"]
    assert meta["baselines"] == ["majority", "linear"]
    assert meta["protocol"] == {"by": "fold", "fold": 1, "resplit": None, "unit": "file"}
    assert meta["lineage"][-1]["stage"] == "train"
    assert meta["lineage"][-1]["input"]["name"] == "s.h5"
    assert meta["pipeline"][0]["stage"] == "featurize"


def test_folds_without_a_choice_are_wrong_usage(cli: Cli, store: Path, tmp_path: Path) -> None:
    result = cli("train", store, tmp_path / "m.ckpt")
    assert result.code == 2
    assert "--test-fold K" in result.err
    assert list(tmp_path.iterdir()) == []


def test_speakers_on_both_sides_are_told(cli: Cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    result = cli("train", store, out, "--resplit", "random:50:50", "--model", "majority")
    assert result.code == 0
    assert "6 of the 6 held-out speakers are in training too" in result.err
    assert checkpoint.load(out).meta["protocol"]["resplit"] == "random:50:50"


def test_the_fold_in_a_name_is_filled_in_without_one_too(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    options = ("--model", "majority", "--test-fold", "none")
    assert cli("train", store, tmp_path / "m.{fold}.ckpt", *options).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m.none.ckpt"]


def test_same_command_same_bytes_and_all_folds_are_the_single_ones(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    common = (store, *CNN, "--val-fold", "next", "--seed", "3", "--quiet")
    assert cli("train", *common, tmp_path / "a.ckpt", "--test-fold", "1").code == 0
    assert cli("train", *common, tmp_path / "x{fold}", "--test-fold", "1").code == 0
    assert cli("train", *common, tmp_path / "b.ckpt", "--test-fold", "all").code == 0
    one = (tmp_path / "a.ckpt").read_bytes()
    assert one == (tmp_path / "x1").read_bytes()
    assert one == (tmp_path / "b.1.ckpt").read_bytes()
    names = ["a.ckpt", "b.0.ckpt", "b.1.ckpt", "b.2.ckpt", "x1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    other = (*common[:-2], "4", "--quiet", tmp_path / "c.ckpt", "--test-fold", "1")
    assert cli("train", *other).code == 0
    assert one != (tmp_path / "c.ckpt").read_bytes()


def test_batches_and_weights_are_recorded_and_the_same_seed_gives_the_same_bytes(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    given = {"batch_frames": 300, "bucket_noise": 0.1, "bucket_padding": 0.2, "clip_norm": 1.5}
    given |= {"length_weights": "pieces", "loss_norm": "n", "class_weights": "balanced"}
    given |= {"normalisation": "global"}
    options = [
        part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)
    ]
    paths = [tmp_path / "a.ckpt", tmp_path / "b.ckpt"]
    for path in paths:
        result = cli("train", store, path, "--test-fold", 1, *CNN, *options)
        assert result.code == 0, result.err
        assert "batches of at most 300 frames, padding included" in result.err
    assert paths[0].read_bytes() == paths[1].read_bytes()
    made = checkpoint.load(paths[0])
    assert given.items() <= made.meta["training"].items()
    assert made.meta["training"]["batch_by"] == "frames"  # implied
    assert made.tensors["statistics.mean"].shape == ()
    plain = tmp_path / "c.ckpt"
    assert cli("train", store, plain, "--test-fold", 1, *CNN).code == 0
    defaults = {"batch_by": "count", "length_weights": "none", "loss_norm": "sum_w", "clip_norm": 0}
    assert defaults.items() <= checkpoint.load(plain).meta["training"].items()
    result = cli("eval", paths[0], store)
    assert result.code == 0, result.err


def test_log_has_durations_and_the_checkpoint_none(cli: Cli, store: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "m.ckpt"
    result = cli("train", store, out, *CNN, "--test-fold", "0", "--val", "0.2", "--log", log)
    assert result.code == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    epochs = [event for event in events if event.get("event") == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2]
    assert all(event["seconds"] > 0 for event in epochs)
    history = checkpoint.load(out).meta["history"]
    names = {"epoch", "lr", "loss", "train_uar", "val_loss", "val_uar", "val_accuracy"}
    assert all(set(row) == names for row in history)
    for row, event in zip(history, epochs, strict=True):
        assert all(event[name] == row[name] for name in names)
    assert "time" not in json.dumps(checkpoint.load(out).meta)


def test_without_validation_the_last_epoch_is_kept_and_said(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.ckpt"
    result = cli("train", store, out, *CNN, "--test-fold", "none", "--no-baselines")
    assert result.code == 0
    assert "no validation part: the last epoch's weights are kept" in result.err
    assert "holds nothing out; eval --all" in result.err
    loaded = checkpoint.load(out)
    assert loaded.meta["best_epoch"] == 2
    assert loaded.meta["baselines"] == []
    assert not [name for name in loaded.tensors if name.startswith("baseline")]


def test_existing_output_needs_force_and_resume_knows_its_own(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.ckpt"
    base = ("train", store, out, "--model", "majority")
    assert cli(*base, "--test-fold", "1").code == 0
    content = out.read_bytes()
    result = cli(*base, "--test-fold", "1")
    assert result.code == 3
    assert "--force" in result.err
    result = cli(*base, "--test-fold", "1", "--resume")
    assert result.code == 0
    assert "already complete" in result.err
    result = cli(*base, "--test-fold", "0", "--resume")
    assert result.code == 3
    assert "other settings" in result.err
    assert out.read_bytes() == content
    assert cli(*base, "--test-fold", "0", "--force").code == 0
    assert out.read_bytes() != content


def test_fine_tuning_starts_from_a_checkpoint(cli: Cli, store: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    assert cli("train", store, first, *CNN, "--test-fold", "1").code == 0
    rows = [row.replace(id="other/" + row.id) for row in items(copies=0)]
    for row in rows:
        row.origin, row.corpus = row.id, "other"
        row.label = {"anger": "fear"}.get(row.label, row.label)
    other = make(tmp_path / "o.h5", [row for row in rows if row.label != "joy"])
    more = ("--test-fold", "1", "--init", first, "--lr-scale", "0")
    result = cli("train", other, second, *CNN, *more)
    assert result.code == 0, result.err
    assert "tensors come from --init" in result.err
    old, new = checkpoint.load(first), checkpoint.load(second)
    weights = [name for name in old.tensors if "layers" in name and "weight" in name]
    weights.sort(key=lambda name: int(name.split(".")[2]))
    kept = [n for n in weights if np.array_equal(old.tensors[n], new.tensors[n])]
    assert len(weights) == 16
    assert set(weights) - set(kept) == {weights[-1]}  # another number of classes
    trained_on = {item.id for item in new.items if item.part == "train"}
    assert {item.id for item in old.items if item.part == "train"} < trained_on
    result = cli("train", store, second, *CNN, "--force", "--test-fold", "0", "--init", first)
    assert result.code == 3
    assert "held out here" in result.err
    result = cli("train", store, second, "--force", "--test-fold", "0", "--init", first)
    assert result.code == 2
    assert "fitted in one step" in result.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--model", "nothing"), 2, "there are majority, linear"),
        (("--set", "D=1"), 2, "no such setting"),
        (("--set", "C=0"), 2, "C=0: needs a number, above 0"),
        (("--val", "2"), 2, "between 0 and 1"),
        ((*CNN, "--lr", "-1"), 2, "--lr"),
        ((*CNN, "--betas", "0.9:x"), 2, "--betas"),
        ((*CNN, "--device", "abacus"), 2, "--device abacus"),
        ((*CNN, "--optimizer", "lion"), 2, "adam, adamw or sgd"),
        ((*CNN, "--batch-by", "size"), 2, "--batch-by size: needs count, length or frames"),
        ((*CNN, "--batch-frames", "-5"), 2, "--batch-frames -5: needs a whole number, 0 or more"),
        ((*CNN, "--batch-frames", "9", "--batch-by", "length"), 2, "contradicts --batch-by length"),
        ((*CNN, "--bucket-noise", "2"), 2, "--bucket-noise 2: needs a number, 0 to 1"),
        ((*CNN, "--bucket-padding", "-1"), 2, "--bucket-padding -1: needs a number, 0 to 1"),
        ((*CNN, "--length-weights", "1"), 2, "needs none, inverse or pieces"),
        ((*CNN, "--loss-norm", "w"), 2, "needs sum_w, n or epoch"),
        ((*CNN, "--clip-norm", "-1"), 2, "--clip-norm -1: needs a number, 0 to"),
        ((*CNN, "--normalisation", "z"), 2, "feature, global, mean"),
        (("--epochs", "many"), 2, "--epochs"),
        ((*CNN, "--init", "none.ckpt"), 3, "none.ckpt"),
        (("--where", "label=joy"), 3, "two classes"),
    ],
)
def test_wrong_options_are_one_line(
    cli: Cli, store: Path, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    result = cli("train", store, tmp_path / "m.ckpt", "--test-fold", "1", *options)
    assert (result.code, message in result.err) == (code, True), result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_byte_is_found_and_named_by_train_and_eval(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    with Store(store) as whole:
        rows, features = whole.items(), [whole.features(i).tobytes() for i in range(len(whole))]
    model = tmp_path / "m.ckpt"
    assert cli("train", store, model, "--test-fold", "1").code == 0
    trained, tested = (next(i for i, row in enumerate(rows) if row.fold == f) for f in (0, 1))
    for i, stages in ((trained, ("train",)), (tested, ("eval",))):
        raw = bytearray(store.read_bytes())
        raw[raw.index(features[i]) + 9] ^= 64
        spoilt = tmp_path / f"{i}.h5"
        spoilt.write_bytes(raw)
        commands = {
            "train": ("train", spoilt, tmp_path / "again.ckpt", "--test-fold", "1"),
            "eval": ("eval", model, spoilt, "--all"),
        }
        for stage in stages:
            result = cli(*commands[stage])
            assert result.code == 3, result.err
            line = result.err.splitlines()[-1]
            assert f"{i}.h5: damaged, the features of {rows[i].id} are not what was written" in line
    assert not (tmp_path / "again.ckpt").exists()


def test_stores_that_cannot_serve(cli: Cli, store: Path, tmp_path: Path) -> None:
    from made_stores import write_store

    out = tmp_path / "m.ckpt"
    ragged = make(tmp_path / "ragged.h5", ragged=True)
    short = make(tmp_path / "short.h5", frames=20)
    rows = items()
    wave = tmp_path / "wave.h5"
    write_store(wave, [np.zeros(50, np.float32) for _ in rows], rows, kind="wave")
    broken = tmp_path / "broken.h5"
    write_store(broken, [np.full((40, 4), np.nan, np.float32) for _ in rows], rows)
    (tmp_path / "text.h5").write_text("no store")
    before = sorted(tmp_path.iterdir())
    for path, options, message in [
        (ragged, CNN, "--duration"),
        (short, CNN, "at least 35 frames"),
        (wave, CNN, "holds wave; featurize with another --kind"),
        (broken, CNN, "not finite"),
        (broken, (), "not finite"),
        (tmp_path / "text.h5", (), "not a feature store"),
        (tmp_path / "none.h5", (), "no such file"),
        (
            store,
            (*CNN, "--set", "intensity_head=true", "--where", "speaker=none"),
            "matches no item",
        ),
    ]:
        result = cli("train", path, out, "--test-fold", "1", *options)
        assert (result.code, message in result.err) == (3, True), result.err
        assert "Traceback" not in result.err
    left = [p for p in sorted(tmp_path.iterdir()) if p not in before]
    assert not [p for p in left if not p.name.endswith(".parts")]
    result = cli("train", store, tmp_path / "no" / "m.ckpt", "--test-fold", "1")
    assert result.code == 3
    assert "does not exist" in result.err


def start(
    store: Path, out: Path, *options: str, stderr: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sertool", "train", str(store), str(out), *options]
    return subprocess.Popen(command, stderr=stderr)


KILLED = """
import os, signal, sys
from sertool.training import loop
left, real = int(sys.argv.pop(1)), loop.train_epoch
def deadly(*given):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return real(*given)
loop.train_epoch = deadly
from sertool.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_killed_and_resumed_it_ends_with_the_same_bytes(store: Path, tmp_path: Path) -> None:
    options = ("--model", "sundharam-cnn", "--epochs", "5", "--batch-size", "12")
    options += ("--test-fold", "all", "--val-fold", "next", "--where", "text=t1")
    # all in processes of their own: bytes depend on the number of threads
    assert start(store, tmp_path / "whole.ckpt", *options, "--quiet").wait() == 0
    out = tmp_path / "m.ckpt"
    words = [sys.executable, "-c", KILLED, "8", "train", str(store), str(out), *options]
    assert subprocess.run(words, capture_output=True).returncode == -signal.SIGKILL
    assert not (tmp_path / "m.1.ckpt").exists()
    assert (tmp_path / ".m.1.ckpt.parts").exists()
    resumed = start(store, out, *options, "--resume", stderr=subprocess.PIPE)
    _, said = resumed.communicate()
    assert resumed.returncode == 0, said
    assert b"m.0.ckpt: already complete" in said
    for fold in range(3):
        whole = (tmp_path / f"whole.{fold}.ckpt").read_bytes()
        assert (tmp_path / f"m.{fold}.ckpt").read_bytes() == whole, f"fold {fold}"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_network_needs_neither_audio_nor_sklearn(store: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sertool.cli import main\n"
        f"code = main(['train', {str(store)!r}, {str(tmp_path / 'm.ckpt')!r}, '--model',"
        " 'sundharam-cnn', '--epochs', '1', '--test-fold', '0', '--no-baselines'])\n"
        "wrong = {'librosa', 'soundfile', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or bool(wrong))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_missing_sklearn_leaves_linear_out_with_one_line(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "sklearn" else found(name, *a)
    )
    result = cli("train", store, tmp_path / "m.ckpt", "--test-fold", "0", "--model", "majority")
    assert result.code == 0
    assert "no baseline linear: sklearn is not installed" in result.err
    assert checkpoint.load(tmp_path / "m.ckpt").meta["baselines"] == ["majority"]


def test_help_names_every_option(cli: Cli) -> None:
    result = cli("train", "--help")
    assert result.code == 0
    for name in ("--test-fold", "--val-speakers", "--resplit", "--precision", "--init", "Exit"):
        assert name in result.out
    said = " ".join(result.out.replace("│", " ").split())
    for text in (
        "count: items in random order; length: items of similar length together; frames: the same,",
        "Implies --batch-by frames.",
        "inverse (1 / frames of the item) or pieces (1 / items of its recording)",
        "Scale larger gradients down to this norm (0: never).",
    ):
        assert text in said, said


def test_device_that_is_none_is_wrong_usage_for_any_model(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    for model in ("linear", "sundharam-cnn"):
        result = cli(
            "train", store, tmp_path / "m.ckpt", "--test-fold", 0, "--model", model, "--device", "x"
        )
        assert result.code == 2
        assert "--device x" in result.err
    assert list(tmp_path.iterdir()) == []


def test_output_may_not_be_the_store(cli: Cli, tmp_path: Path) -> None:
    path = make(tmp_path / "s.h5")
    before = path.read_bytes()
    result = cli("train", path, path, "--test-fold", 0, "--force")
    assert result.code == 2
    assert "same file" in result.err
    assert path.read_bytes() == before


def test_init_that_cannot_serve_is_refused_before_training(
    cli: Cli, store: Path, tmp_path: Path
) -> None:
    other, first, out = tmp_path / "linear.ckpt", tmp_path / "cnn.ckpt", tmp_path / "m.ckpt"
    assert cli("train", store, other, "--test-fold", 0).code == 0
    assert cli("train", store, first, "--test-fold", 0, *CNN).code == 0
    result = cli("train", store, out, "--test-fold", 0, *CNN, "--init", other)
    assert result.code == 2
    assert "holds a linear" in result.err
    result = cli("train", store, out, "--test-fold", 1, *CNN, "--init", first)
    assert result.code == 3
    assert "--init: uses 12 of the recordings held out here" in result.err
    assert "tensors come from --init" not in result.err
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["cnn.ckpt", "linear.ckpt"]


def test_rate_beyond_all_use_is_wrong_usage(cli: Cli, store: Path, tmp_path: Path) -> None:
    for rate in ("1e38", "nan", "inf", "0"):
        out = tmp_path / "m.ckpt"
        result = cli("train", store, out, "--test-fold", 0, *CNN, "--lr", rate)
        assert result.code == 2
        assert "--lr" in result.err


def test_part_of_another_name_is_refused(cli: Cli, tmp_path: Path) -> None:
    rows = [
        row.replace(fold=None, part="dev" if row.speaker == "s5" else "train") for row in items()
    ]
    result = cli("train", make(tmp_path / "s.h5", rows), tmp_path / "m.ckpt")
    assert result.code == 3
    assert "'dev' is not one of train, val, test" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), 3),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."), 3),
        (RuntimeError("anything else"), None),
    ],
)
def test_too_little_memory_is_one_line(
    cli: Cli,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: RuntimeError,
    code: int | None,
) -> None:
    from sertool.training import loop

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop, "train_epoch", fail)
    asked = ("train", store, tmp_path / "m.ckpt", *CNN, "--test-fold", "1", "--quiet")
    if code is None:
        with pytest.raises(RuntimeError, match="anything else"):
            cli(*asked)
        return
    result = cli(*asked)
    assert result.code == code
    assert result.err.count("\n") == 1
    assert "not enough memory" in result.err
