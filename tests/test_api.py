"""The Python API: the same as the command line, lazy, and typed; its examples run as doctests."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import house
import numpy as np
import pytest
import stub

import sertool
from sertool.core.options import declared
from sertool.ui.console import Console

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "data/demo/corpus"
SPEAKERS = ("spk01", "spk02", "spk03", "spk04")
EXAMPLES = [name for name, path in house.modules().items() if ">>> " in path.read_text("utf-8")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the examples have it: part of the demo corpus, its manifest and its store."""
    folder = tmp_path_factory.mktemp("api")
    for speaker in SPEAKERS:
        (folder / "corpus" / speaker).mkdir(parents=True)
        for path in sorted((DEMO / speaker).glob("*_s[12]_*")):
            shutil.copy(path, folder / "corpus" / speaker)
    manifest = sertool.prepare(folder / "corpus", folder / "manifest.jsonl", split="speakers:4")
    store = sertool.featurize(manifest, folder / "mel.h5", n_mels=40)
    checkpoint = sertool.train(store, folder / "model.ckpt", test_fold=0)
    sertool.evaluate(checkpoint, store).save(folder / "report.json")
    rated = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    rows = [row | {"pitch": i / 3, "level": (i % 7) / 2} for i, row in enumerate(rated)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    with tempfile.TemporaryDirectory() as other:
        (Path(other) / "rated.jsonl").write_text(lines)
        numbers = sertool.featurize(Path(other) / "rated.jsonl", Path(other) / "rated.h5")
        fitted = sertool.train(numbers, Path(other) / "n.ckpt", target="pitch,level", test_fold=0)
        sertool.evaluate(fitted, numbers).save(folder / "numbers.json")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a copy of `made` that a test may write to."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(*names: str) -> None:
    first, second = (Path(name).read_bytes() for name in names)
    assert first == second


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name: str, here: Path) -> None:
    module = importlib.import_module(name)
    names = {one: getattr(sertool, one) for one in sertool.__all__}
    own = {one for one in names if getattr(vars(module).get(one), "__module__", "") == name}
    others = {one: made for one, made in names.items() if one not in own}
    found = doctest.testmod(module, extraglobs=others, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert found.failed == 0


def public() -> Iterator[tuple[str, Any]]:
    for name in sertool.__all__:
        made = getattr(sertool, name)
        if inspect.isfunction(made) or inspect.isclass(made):
            yield name, made
        if inspect.isclass(made) and made.__module__.startswith("sertool.api"):
            for own, method in vars(made).items():
                method = getattr(method, "__func__", method)
                if not own.startswith("_") and inspect.isfunction(method):
                    yield f"{name}.{own}", method


def test_every_function_and_method_has_an_example() -> None:
    lacking = [name for name, made in public() if ">>> " not in (inspect.getdoc(made) or "")]
    assert lacking == []


def test_signatures_spell_out_every_option_with_its_default() -> None:
    from sertool.api.calls import ALONE
    from sertool.commands.featurize import FeaturizeOptions

    parameters = inspect.signature(sertool.featurize).parameters
    options = {one.name: one for one in declared(FeaturizeOptions)}
    for name, one in options.items():
        if name != "settings":
            assert parameters[name].default == ALONE.get(name, one.default)
    assert ALONE == {"workers": 1, "file_timeout": 0.0}  # no process is started unasked
    assert parameters["settings"].kind is inspect.Parameter.VAR_KEYWORD
    assert "sample_rate = None (the most common rate): Resample" in sertool.featurize.__doc__
    assert "{options}" not in sertool.featurize.__doc__


def test_no_module_replaces_a_function(here: Path) -> None:
    code = """
import importlib, pkgutil, sertool
for module in pkgutil.walk_packages(sertool.__path__, "sertool."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
manifest = sertool.prepare("corpus", split="speakers:4")
wave = sertool.featurize(manifest, "wave.h5", kind="wave")
noisy = sertool.augment(wave, "noisy.h5", awgn="15:30")
store = sertool.featurize(noisy, "features.h5")
made = sertool.train(store, "new.ckpt", test_fold=0)
assert sertool.evaluate(made, store).figures.n == 16
assert sertool.load("new.ckpt").predict(manifest[0].path).label in made.classes
assert sertool.audit(store)["speaker_disjoint"]
assert sertool.info(store)["copies"] == 64
assert len(sertool.open_store("mel.h5")) == 64
voices = [manifest[0].path, manifest[16].path]
assert len(sertool.separate(voices, "parts", mix=True).paths) == 2
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_costs_nothing() -> None:
    code = (
        "import sertool, sys; assert not {'numpy', 'h5py', 'typing_extensions'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_store_as_a_sequence(here: Path) -> None:
    with sertool.open_store("mel.h5") as store:
        assert len(list(store)) == len(store) == 64
        features, item = store[-1]
        assert item is store.items()[63]
        assert np.array_equal(features, store.features(63))
        with pytest.raises(IndexError):
            store[64]


def test_a_store_for_torch_in_worker_processes(here: Path) -> None:
    from torch.utils.data import DataLoader

    store = sertool.open_store("mel.h5")
    data = store.torch(classes=["anger", "neutral"])
    assert data[0][1] == 0
    assert set(data.labels) == {0, 1, -100}
    batches = list(DataLoader(data, batch_size=16, collate_fn=data.collate, num_workers=2))
    for n, (features, lengths, labels) in enumerate(batches):
        for k in range(16):
            expected = store.features(16 * n + k)
            assert np.array_equal(features[k, : lengths[k]].numpy(), expected)
            assert not features[k, lengths[k] :].any()
            assert labels[k] == data.labels[16 * n + k]


def test_a_frame_needs_pandas(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for held in (sertool.open_store("mel.h5"), sertool.Manifest.open("manifest.jsonl")):
        with pytest.raises(sertool.SertoolError, match="python -m pip install pandas"):
            held.frame()


def test_a_frame_has_a_row_per_item(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    rows = sertool.open_store("mel.h5").frame()
    assert [row["frames"] for row in rows[:2]] == [23, 26]
    assert (rows[0]["speaker"], rows[0]["repetition"]) == ("spk01", "1")
    rows = sertool.Manifest.open("manifest.jsonl").frame()
    assert (len(rows), rows[0]["fold"]) == (64, 0)


def test_a_manifest_is_split_anew(here: Path) -> None:
    manifest = sertool.prepare("corpus", where=["label=anger", "speaker in spk01,spk02"])
    again = sertool.prepare(manifest, "new.jsonl", split="loso", seed=np.int64(3))
    assert {item.fold for item in again} == {0, 1}
    assert [item.id for item in again] == [item.id for item in manifest]
    assert again.path == Path("new.jsonl")


def test_no_process_is_started_unasked(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    wave = sertool.featurize("corpus", "wave.h5", kind="wave")
    store = sertool.featurize(sertool.augment(wave, "more.h5", awgn=(15, 30)), "features.h5")
    checkpoint = sertool.train(store, "new.ckpt", val=0.25)
    sertool.evaluate(checkpoint, store, all=True)
    assert len(checkpoint.predict(["corpus"])) == 64
    sertool.audit(store, wave, deep=True)


def test_a_console_and_a_log(here: Path, capfd) -> None:
    with Console("mine") as console:
        sertool.prepare("corpus", console=console)
    assert "sertool mine: " in capfd.readouterr().err
    sertool.prepare("corpus", log="log.jsonl")
    events = [json.loads(line)["event"] for line in Path("log.jsonl").read_text().splitlines()]
    assert (events[0], events[-1]) == ("start", "end")
    assert capfd.readouterr().err == ""


def test_failed_files_are_in_the_result(here: Path) -> None:
    (here / "corpus/spk01/spk01_anger_s3_r1.flac").write_bytes(b"no audio")
    store = sertool.featurize("corpus", "f.h5")
    assert len(store) == 64
    (failure,) = store.failures
    assert failure.path.endswith("spk01_anger_s3_r1.flac")
    with pytest.raises(sertool.InputError, match="strict"):
        sertool.featurize("corpus", "g.h5", strict=True)


def test_errors_are_exceptions(here: Path) -> None:
    with pytest.raises(sertool.InputError, match="exists"):
        sertool.featurize("corpus", "mel.h5")
    with pytest.raises(sertool.UsageError, match="no option splits; there are"):
        sertool.prepare("corpus", splits="loso")
    with pytest.raises(sertool.UsageError, match="sampel_rate"):
        sertool.featurize("corpus", "f.h5", sampel_rate=16000)
    with pytest.raises(sertool.InputError, match="no such file"):
        sertool.open_store("nowhere.h5")


def test_verbose_speaks_and_silence_is_the_default(here: Path, capfd) -> None:
    sertool.prepare("corpus")
    assert capfd.readouterr() == ("", "")
    sertool.prepare("corpus", verbose=True)
    assert "64 utterances, 4 classes" in capfd.readouterr().err


def test_the_bytes_are_those_of_the_command_line(here: Path, cli) -> None:
    options = {"split": "speakers:2", "where": "label in anger,sadness", "seed": 3}
    manifest = sertool.prepare("corpus", "a.jsonl", **options)
    flags = ("--split", "speakers:2", "--where", "label in anger,sadness", "--seed", 3)
    assert cli("prepare", "corpus", "b.jsonl", *flags).code == 0
    same("a.jsonl", "b.jsonl")
    again = sertool.prepare("corpus", "a.jsonl", **options, resume=True)
    assert list(again) == list(manifest)

    sertool.featurize(manifest, "a.h5", "mfcc", duration=1, n_mfcc=12)
    flags = ("--kind", "mfcc", "--duration", 1, "--set", "n_mfcc=12")
    assert cli("featurize", "a.jsonl", "b.h5", *flags).code == 0
    same("a.h5", "b.h5")


def test_a_manifest_in_memory_gives_the_same_store(here: Path) -> None:
    manifest = sertool.prepare("corpus", split="speakers:4")
    assert manifest.path is None
    sertool.featurize(manifest, "a.h5", settings={"n_mels": 40})
    sertool.prepare("corpus", "manifest.jsonl", split="speakers:4", force=True)
    sertool.featurize("manifest.jsonl", "b.h5", n_mels=40)
    same("a.h5", "b.h5")


ONE = "corpus/spk01/spk01_sadness_s1_r2.flac"


def test_training_gives_the_bytes_of_the_command_line(here: Path, cli) -> None:
    options = {"model": "svm", "C": 2.0, "val_fold": "next", "seed": 5}
    checkpoints = sertool.train("mel.h5", "a.ckpt", **options, test_fold="all")
    flags = ("--model", "svm", "--set", "C=2.0", "--val-fold", "next", "--seed", 5)
    assert cli("train", "mel.h5", "b.ckpt", *flags, "--test-fold", "all").code == 0
    assert [made.path.name for made in checkpoints] == [f"a.{k}.ckpt" for k in range(4)]
    for k in range(4):
        same(f"a.{k}.ckpt", f"b.{k}.ckpt")
    assert sertool.load("b.2.ckpt").meta == checkpoints[2].meta
    assert sertool.train("mel.h5", "c.ckpt", test_fold=1, val_fold=2).path == Path("c.ckpt")


def test_predictions_are_those_of_the_command_line(here: Path, cli) -> None:
    model = sertool.load("model.ckpt")
    found = model.predict(["corpus/spk01"], only=("anger", "sadness"))
    lines = cli("predict", "model.ckpt", "corpus/spk01", "--only", "anger,sadness").out
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [one.posterior for one in found] == [row["posterior"] for row in rows]
    assert [one.path for one in found] == [row["path"] for row in rows]
    assert found.failures == []


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_samples_are_heard_as_their_file_is(here: Path, dtype: str) -> None:
    import soundfile

    model = sertool.load("model.ckpt")
    samples, rate = soundfile.read(ONE, dtype=dtype)
    expected = model.predict(ONE)
    assert model.predict((samples, rate)).posterior == expected.posterior
    double = np.stack([samples, samples // 2 if dtype == "int16" else samples / 2], axis=1)
    soundfile.write("two.wav", double, rate, "PCM_16" if dtype == "int16" else "FLOAT")
    windows = model.predict((double, rate), window=0.4)
    assert [w.posterior for w in windows] == [
        w.posterior for w in model.predict("two.wav", window=0.4)
    ]
    assert windows[1].start == 0.4
    several = model.predict([(samples, rate), ONE])
    assert [one.path for one in several] == ["samples 0", ONE]


def test_samples_that_are_none(here: Path) -> None:
    model = sertool.load("model.ckpt")
    for samples in (np.zeros((2, 900)), np.zeros(900, np.int32), np.zeros((3, 3, 3))):
        with pytest.raises(sertool.UsageError, match="samples 0"):
            model.predict((samples, 16000))
    with pytest.raises(sertool.UsageError, match="Hz"):
        model.predict((np.zeros(900), 0))
    with pytest.raises(sertool.ItemError, match="NaN"):
        model.predict((np.full(900, np.nan), 16000))


def test_a_manifest_is_predicted_item_by_item(here: Path) -> None:
    manifest = sertool.prepare("corpus", where="speaker=spk02")
    cuts = [item.replace(start=0.1, end=0.5) for item in manifest]
    found = sertool.load("model.ckpt").predict(cuts)
    assert [one.end for one in found] == [0.5] * 16


def test_recordings_that_cannot_be_read(here: Path) -> None:
    (here / "bad.wav").write_bytes(b"no audio")
    model = sertool.load("model.ckpt")
    with pytest.raises(sertool.ItemError, match=r"bad\.wav"):
        model.predict("bad.wav")
    found = model.predict(["bad.wav", ONE])
    assert [one.path for one in found] == [ONE]
    assert [failure.path for failure in found.failures] == ["bad.wav"]
    with pytest.raises(sertool.InputError, match="strict"):
        model.predict(["bad.wav", ONE], strict=True)
    with pytest.raises(sertool.InputError, match="no such file"):
        model.predict("nowhere.wav")
    with pytest.raises(sertool.InputError, match=r"not a .*checkpoint"):
        sertool.load("mel.h5")


def test_the_stub_names_every_option() -> None:
    assert stub.STUB.read_text(encoding="utf-8") == stub.text(), "run: python tests/stub.py"


USAGE = """
# mypy: disallow-untyped-calls, disallow-any-generics, warn-return-any, strict-equality
import sertool


manifest = sertool.prepare("corpus", split="speakers:4", where=["speaker=03"])
store = sertool.featurize(manifest, "mel.h5", kind="mel", n_mels=40, sample_rate=16000)
checkpoints: list[sertool.Checkpoint] = sertool.train(store, "m.ckpt", test_fold="all")
one: sertool.Checkpoint = sertool.train(store, "m.ckpt", model="svm", test_fold=0, C=2.0)
label: str | None = one.predict("a.wav").label  # None where nobody speaks
windows: sertool.Predictions = one.predict("a.wav", window=1.0)
spoken: sertool.Predictions = one.predict("a.wav", segments=True)
each: sertool.Predictions = one.predict("a.wav", pool="none")
ends = [window.end for window in sertool.load("m.ckpt").predict(["a.wav"])]
item: sertool.Item = store[0][1]
sertool.featurize("a", "b", sample_rate="fast")  # error
sertool.prepare("corpus", splits="loso")  # error
reveal_type(ends)  # list[float | None]
"""


def test_the_types_are_those_of_a_careful_caller(tmp_path: Path) -> None:
    path = tmp_path / "usage.py"
    path.write_text(USAGE)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
    command += ["--cache-dir", ROOT / ".mypy_cache", "--no-error-summary", path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    lines = [line.partition(".py:")[2] for line in done.stdout.splitlines()]
    assert [line.split(": ")[1] for line in lines] == ["error", "error", "note", "note"], lines
    assert 'Unexpected keyword argument "splits"' in lines[1]
    assert "list[float | None]" in lines[3]


def test_augmenting_gives_the_bytes_of_the_command_line(here: Path, cli) -> None:
    wave = sertool.featurize("manifest.jsonl", "wave.h5", kind="wave")
    sertool.augment(wave, "a.h5", awgn=(15, 30), gain="-6:6", copies=2, seed=4)
    flags = ("--awgn", "15:30", "--gain=-6:6", "--copies", 2, "--seed", 4)
    assert cli("augment", "wave.h5", "b.h5", *flags).code == 0
    same("a.h5", "b.h5")
    with pytest.raises(sertool.UsageError, match="nothing to do"):
        sertool.augment(wave, "c.h5")


def test_reports_are_those_of_the_command_line(here: Path, cli) -> None:
    checkpoints = sertool.train("mel.h5", "fold.ckpt", test_fold="all")
    report = sertool.evaluate(
        checkpoints, "mel.h5", summary=True, tags={"seed": "0"}, json="a.json"
    )
    names = [made.path for made in checkpoints]
    flags = ("--summary", "--tag", "seed=0", "--json", "b.json")
    shown = cli("eval", *names, "mel.h5", *flags)
    assert shown.code == 0
    same("a.json", "b.json")
    report.save("c.json")
    same("a.json", "c.json")
    with pytest.raises(sertool.InputError, match="exists"):
        report.save("c.json")
    again = sertool.Report.open("a.json")
    assert again == report
    assert again.to_json() == json.loads(Path("a.json").read_text())
    assert again.accuracy == np.trace(report.confusion) / 64
    assert again.metrics["uar"] == again.uar
    assert "linear" in str(report)


def test_facts_are_those_of_the_command_line(here: Path, cli) -> None:
    facts = sertool.audit("model.ckpt", sertool.open_store("mel.h5"))
    shown = cli("info", "--audit", "--json", "model.ckpt", "mel.h5")
    assert facts.to_json() == json.loads(shown.out)
    assert facts["origin_disjoint"] is False
    assert str(facts) == cli("info", "--audit", "model.ckpt", "mel.h5").out.rstrip("\n")
    assert len(facts.links) >= facts.shared["origin_disjoint"] > 0
    with pytest.raises(sertool.InputError, match="speaker-disjoint"):
        sertool.audit("model.ckpt", "mel.h5", require="speaker-disjoint")


def test_what_a_file_is(here: Path, cli) -> None:
    assert sertool.info("mel.h5") == json.loads(cli("info", "--json", "mel.h5").out)
    assert sertool.info(sertool.load("model.ckpt"), items=True)["model"]["name"] == "linear"


@pytest.mark.parametrize("name", ["api_tour", "sklearn_baseline", "torch_training_loop"])
def test_the_scripts_of_examples_run(name: str, made: Path, tmp_path: Path, capsys) -> None:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    score = module.main(made / "corpus", tmp_path)
    assert score is None or score > 0.3
    assert capsys.readouterr().out.count("\n") > 2


README = re.compile(r"```python\n(import sertool\n.*?)```", re.DOTALL)


def test_the_example_of_the_readme_runs(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = README.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found, "README.md has no Python example"
    shutil.copytree(made / "corpus", tmp_path / "data/demo/corpus")
    monkeypatch.chdir(tmp_path)
    exec(found[1], {})


def test_parts_from_a_file(here: Path) -> None:
    Path("parts.py").write_text(
        "from sertool_example import centroid, clip, zero_crossings\n"
        "PLUGINS = {\n"
        '    "sertool.augmentations": {"wave.clip": clip.Clip},\n'
        '    "sertool.features": {"zero-crossings": zero_crossings.KIND},\n'
        '    "sertool.models": {"centroid": centroid.Centroid},\n'
        "}\n"
    )
    code = """
import sertool
wave = sertool.featurize("manifest.jsonl", "wave.h5", kind="wave")
louder = sertool.augment(wave, "clip.h5", clip=(3, 12), plugin="parts.py")
store = sertool.featurize(louder, "zc.h5", kind="zero-crossings")
model = sertool.train(store, "c.ckpt", model="centroid", test_fold=0)
assert sertool.evaluate(model, store).figures.n == 16
"""
    paths = [str(ROOT), str(ROOT / "examples/plugin")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
