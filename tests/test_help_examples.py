"""Every example that `--help` gives runs as it stands, on the demo corpus by the names it uses."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import warm
from children import interruptible

from sertool.cli import COMMANDS, HELP, load, main

CORPUS = Path(__file__).resolve().parent.parent / "data" / "demo" / "corpus"
STAGES = [name for name in COMMANDS if name != "list"] + ["list"]
RATE = 16000


def examples(text: str) -> list[str]:
    """The lines of a help text that are commands."""
    lines = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return [line for line in lines if re.match(r"(sertool|find) ", line)]


def expanded(words: list[str]) -> list[str]:
    return [found for word in words for found in (sorted(glob.glob(word)) or [word])]


def run(line: str) -> int:
    """Run a command line in this process; one with a pipe or a file in the shell.

    A server is ended once it answers.
    """
    if line.startswith("sertool serve"):
        return ended(shlex.split(line, comments=True)[1:])
    if re.search(r"[|<>&]", re.sub(r"'[^']*'", "", line)):
        environment = os.environ | {"PATH": f"{warm.folder()}:{os.environ['PATH']}"}
        command = ["bash", "-o", "pipefail", "-c", line]
        return subprocess.run(command, env=environment, check=False).returncode
    return main(expanded(shlex.split(line, comments=True))[1:])


def ended(words: list[str]) -> int:
    """Start a server, at a port that is free, and interrupt it; 0 where that ends it as it says."""
    for name in ("starlette", "uvicorn", "websockets", "python_multipart"):
        pytest.importorskip(name)
    command = [sys.executable, "-m", "sertool", *words, "--port", "0"]
    with interruptible(command) as process:
        assert process.stderr is not None
        assert "http://127.0.0.1:" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate()
    return process.returncode - 130


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A folder in which the commands of `sertool --help` have run, one after the other."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "corpus").symlink_to(CORPUS)
    (folder / "recordings").symlink_to(CORPUS / "spk01")
    before = Path.cwd()
    os.chdir(folder)
    try:
        codes = {line: run(line) for line in examples(HELP)}
    finally:
        os.chdir(before)
    return folder, codes


def test_the_chain_of_the_help_runs_as_it_stands(chain, cli, monkeypatch):
    folder, codes = chain
    stages = "prepare", "featurize", "train", "eval", "predict"
    assert tuple(line.split()[1] for line in codes) == stages
    assert set(codes.values()) == {0}
    assert {"manifest.jsonl", "features.h5", "report.json"} <= set(os.listdir(folder))
    monkeypatch.setenv("COLUMNS", "200")
    out = cli("--help").out
    assert all(line in out for line in codes)


@pytest.mark.parametrize("stage", STAGES)
def test_the_examples_of_a_stage_run(stage, chain, tmp_path, monkeypatch):
    text = load(stage).help
    assert examples(text), stage
    if "jq" in text and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    for made in chain[0].iterdir():
        (tmp_path / made.name).symlink_to(made.resolve())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    FURTHER.get(stage, lambda: None)()
    for line in examples(text):
        assert run(line + MORE.get(stage, "") * ("cnn" in line)) == 0, line


def linear(name: str, *more: str) -> None:
    assert main(["train", "--model", "linear", "features.h5", name, *more]) == 0


def for_prepare() -> None:
    Path("mine.csv").write_text("File Name;Emotion\ncorpus/spk01/spk01_anger_s1_r1.flac;Wut\n")
    Path("votes.csv").write_text(
        "file,rater1,rater2,rater3\ncorpus/spk01/spk01_anger_s1_r1.flac,anger,anger,sadness\n"
        "corpus/spk01/spk01_sadness_s1_r1.flac,sadness,anger,sadness\n"
    )


def for_augment() -> None:
    words = "featurize --kind wave --where label=anger corpus wave.h5"
    assert main(words.replace("--where label=anger corpus", "recordings").split()) == 0
    words = "featurize --kind image --segment 0.5 --segment-hop 0.25 recordings pictures.h5"
    assert main(words.split()) == 0
    random = np.random.default_rng(0)
    for folder, shape in (("musan/noise", RATE), ("rooms", RATE // 4)):
        Path(folder).mkdir(parents=True)
        decay = np.exp(-np.arange(shape) / shape * 8)
        soundfile.write(f"{folder}/x.wav", 0.1 * random.standard_normal(shape) * decay, RATE)


def for_train() -> None:
    words = "featurize --kind mfcc --duration 2 --fit both manifest.jsonl mfcc.h5"
    assert main(words.split()) == 0
    Path("model.ckpt").unlink(missing_ok=True)


def for_eval() -> None:
    linear("model.ckpt", "--test-fold", "0")
    Path("report.json").unlink()


def sounds(names: str) -> None:
    random = np.random.default_rng(0)
    one, two = random.laplace(size=(2, 2 * RATE)) * 0.05
    left, right = 0.8 * one + 0.3 * two, 0.4 * one + 0.9 * two
    given = {
        "interview.wav": np.stack([left, right], 1), "left.wav": left, "right.wav": right,
        "anna.wav": one, "ben.wav": two,
    }  # fmt: skip
    for name in names.split():
        soundfile.write(name, given[name], RATE)


def for_separate() -> None:
    sounds("interview.wav left.wav right.wav anna.wav ben.wav")
    Path("calls/a").mkdir(parents=True)
    Path("calls/a/1.wav").write_bytes(Path("interview.wav").read_bytes())


def for_predict() -> None:
    linear("model.ckpt", "--test-fold", "0")
    sound, rate = soundfile.read(CORPUS / "spk01" / "spk01_anger_s1_r1.flac")
    soundfile.write("one.wav", sound, rate)
    soundfile.write("call.wav", np.stack([sound, sound], 1), rate)


def for_report() -> None:
    Path("out/results").mkdir(parents=True)
    for name, penalty in (("linear", "C=1.0"), ("cnn", "C=0.001"), ("svm", "C=0.1")):
        linear(f"{name}.ckpt", "--test-fold", "all", "--set", penalty)
        checkpoints = expanded([f"{name}.?.ckpt"])
        assert (
            main(
                [
                    "eval",
                    *checkpoints,
                    "features.h5",
                    "--json",
                    f"{name}.json",
                    "--tag",
                    f"model={name}",
                ]
            )
            == 0
        )
        shutil.copy(f"{name}.json", f"out/{name}.json")
    tags = "network=cnn feature=mfcc variant=original gender=male protocol=paper seed=0"
    words = ["eval", "linear.0.ckpt", "features.h5", "--json", "out/results/0.json"]
    assert main([*words, *(word for tag in tags.split() for word in ("--tag", tag))]) == 0


def for_info() -> None:
    linear("model.ckpt", "--test-fold", "0")
    assert main(["featurize", "--kind", "mel", "recordings", "other.h5"]) == 0


def for_fuse() -> None:
    for seed in range(3):
        linear(f"seed{seed}.ckpt", "--test-fold", "0", "--seed", str(seed))
    assert main(["featurize", "--kind", "wave", "manifest.jsonl", "wave.h5"]) == 0
    for name, kind in (("network", "mel"), ("functionals", "mfcc")):
        assert main(["featurize", "--kind", kind, "wave.h5", f"{kind}.h5"]) == 0
        train = ["train", "--model", "linear", f"{kind}.h5"]
        assert main([*train, f"{name}.ckpt", "--test-fold", "0", "--val", "0.2"]) == 0
        inner = ["--where", "fold!=0", "--test-fold", "1"]
        assert main([*train, f"inner-{name}.ckpt", *inner]) == 0
    assert main(["fuse", "inner-network.ckpt", "inner-functionals.ckpt", "inner.ckpt"]) == 0


def for_sweep() -> None:
    text = 'test-fold = 0\ntrain.model = "logistic"\nsearch.set.C = [0.1, 1.0]\n'
    Path("search.toml").write_text(text)


def for_convert() -> None:
    assert main(["predict", "recordings", "--output", "rows.jsonl"]) == 0


def for_merge() -> None:
    for name, folds in (("ravdess", "0,1"), ("emodb", "2,3")):
        assert main(["select", "features.h5", f"{name}.h5", "--where", f"fold in {folds}"]) == 0
    assert main(["featurize", "recordings", "sharded.h5", "--shard", "1/1"]) == 0


def for_pull() -> None:
    assert main(["push", "box", "model"]) == 0


def for_export() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network = ("--model", "sertool", "--epochs", "1", "--set", "widths=[8]")
    words = ("--quiet", "--no-baselines", "--test-fold", "0")
    assert main(["train", *words, *network, "features.h5", "model.ckpt"]) == 0


FURTHER = {
    "export": for_export,
    "featurize": lambda: Path("features.h5").unlink(),
    "prepare": for_prepare,
    "augment": for_augment,
    "train": for_train,
    "eval": for_eval,
    "predict": for_predict,
    "report": for_report,
    "info": for_info,
    "fuse": for_fuse,
    "convert": for_convert,
    "merge": for_merge,
    "serve": lambda: linear("model.ckpt", "--test-fold", "0"),
    "pull": for_pull,
    "separate": for_separate,
    "sweep": for_sweep,
}
MORE = {"train": " --epochs 1 --batch-size 64"}  # of networks: linear-size
