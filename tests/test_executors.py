"""Work done elsewhere: the same bytes as alone, though a worker is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_provenance import DEMO

import sertool
from sertool.core import executors
from sertool.core.errors import InputError, UsageError
from sertool.core.executors import submitted
from sertool.formats import building
from sertool.formats.outputs import Parts

# a worker that comes to this place dies there, if a file says so: the first of them
PLUGIN = """
import importlib, os, signal

module, names = {place!r}.split(":")
*owners, name = names.split(".")
owner = importlib.import_module(module)
for one in owners:
    owner = getattr(owner, one)
real = getattr(owner, name)

def deadly(*arguments, **more):
    try:
        os.unlink({mark!r})
    except FileNotFoundError:
        return real(*arguments, **more)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, deadly)
PLUGINS = {{"sertool.features": {{"deadly": None}}}}
"""
START = 300.0  # seconds that a scheduler may take to begin


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Dask scheduler with two worker processes, as `--executor` names it."""
    pytest.importorskip("distributed", reason="pip install 'sertool[dask]'")
    folder = tmp_path_factory.mktemp("dask")
    where = folder / "scheduler.json"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    worker += ["--host", "127.0.0.1", "--local-directory", str(folder)]
    with ExitStack() as stack:
        for name, *options in (scheduler, worker):
            module = f"distributed.cli.dask_{name}"
            command = [sys.executable, "-m", module, *options, "--scheduler-file", str(where)]
            log = stack.enter_context(open(folder / f"{name}.log", "w"))
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            end = time.monotonic() + START
            while not where.exists() and time.monotonic() < end:
                time.sleep(0.05)
        yield f"dask://{where}"


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo corpus as a store of waveforms, at 8 kHz."""
    out = tmp_path_factory.mktemp("waves") / "wave.h5"
    return sertool.featurize(DEMO, out, kind="wave", sample_rate=8000).path


@pytest.fixture
def killed(tmp_path: Path) -> Callable[..., str]:
    """Run a command line whose first worker at a place is killed; return what was said."""

    def run(place: str, *words: object) -> str:
        mark, plugin = tmp_path / "mark", tmp_path / "plugin.py"
        mark.touch()
        plugin.write_text(PLUGIN.format(place=place, mark=str(mark)))
        command = [sys.executable, "-m", "sertool", *map(str, words), "--plugin", str(plugin)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not mark.exists()  # somebody did die
        return done.stderr

    return run


def test_featurize_by_dask_with_a_worker_killed(
    dask: str, killed: Callable[..., str], tmp_path: Path
) -> None:
    alone = sertool.featurize(DEMO, tmp_path / "alone.h5", kind="mel")
    words = ["featurize", "--kind", "mel", os.path.relpath(DEMO, tmp_path), "dask.h5"]
    said = killed("sertool.formats.building:_write", *words, "--executor", dask)
    assert "2 worker processes" in said
    assert (tmp_path / "dask.h5").read_bytes() == alone.path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_featurize_by_ray_with_a_worker_killed(killed: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'sertool[ray]'")
    alone = sertool.featurize(DEMO / "spk01", tmp_path / "alone.h5", kind="mel")
    words = ["featurize", "--kind", "mel", DEMO / "spk01", "ray.h5", "--executor", "ray"]
    assert "ray: " in killed("sertool.formats.building:_write", *words)
    assert (tmp_path / "ray.h5").read_bytes() == alone.path.read_bytes()


def test_augment_by_dask_with_a_worker_killed(
    dask: str, killed: Callable[..., str], waves: Path, tmp_path: Path
) -> None:
    alone = sertool.augment(waves, tmp_path / "alone.h5", awgn=(15, 30), noise=DEMO / "spk01")
    words = ["augment", "--awgn", "15:30", "--noise", DEMO / "spk01", waves, "dask.h5"]
    killed("sertool.formats.building:_write", *words, "--executor", dask)
    assert (tmp_path / "dask.h5").read_bytes() == alone.path.read_bytes()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the house, trained for an epoch on eight recordings."""
    folder = tmp_path_factory.mktemp("network")
    few = sertool.featurize(DEMO / "spk01", folder / "mel.h5", kind="mel", duration=0.5, n_mels=20)
    assert few.path is not None
    given = {"test_fold": None, "epochs": 1, "baselines": False}
    return sertool.train(few.path, folder / "m.ckpt", model="sertool", **given).path


def test_predict_by_dask_with_a_worker_killed(
    dask: str, killed: Callable[..., str], network: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    words = ["predict", network, DEMO / "spk01", DEMO / "spk02", "--window", "0.25"]
    assert cli(*words, "-o", tmp_path / "alone.jsonl").code == 0
    words += ["-o", "dask.jsonl", "--executor", dask]
    said = killed("sertool.features.hearing:Hearing.hear", *words)
    assert (tmp_path / "dask.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert "2 worker processes" in said


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_predict_in_shards_some_of_them_repeated(
    cli: Callable[..., Any], network: Path, tmp_path: Path, form: str
) -> None:
    words = ["predict", network, DEMO / "spk01", "--format", form]
    assert cli(*words, "-o", tmp_path / "alone").code == 0
    alone, folder = (tmp_path / "alone").read_bytes(), tmp_path / "out"
    for k in (5, 1, 3, 2):
        result = cli(*words, "-o", folder, "--shard", f"{k}/5")
        assert (result.code, "of 5 shards" in result.err) == (0, True)
    assert "lacks 1 of 5 shards: 4" in result.err
    assert cli(*words, "-o", folder, "--shard", "2/5").code == 3
    assert "already complete" in cli(*words, "-o", folder, "--shard", "2/5", "--resume").err
    result = cli(*words, "-o", folder, "--shard", "4/5", "--resume")
    assert "all 5 shards" in result.err
    shards = sorted(folder.glob(f"*.{form}"))
    assert [path.name for path in shards] == [f"shard-0000{k}-of-00005.{form}" for k in range(1, 6)]
    assert b"".join(path.read_bytes() for path in shards) == alone
    printed = [cli(*words, "--shard", f"{k}/3").out for k in (1, 2, 3)]
    assert "".join(printed).encode() == alone
    for other in (["--shard", "1/4"], ["--shard", "1/5", "--vad", "off", "--force"]):
        result = cli(*words, "-o", folder, *other)
        assert "--force" in other or (result.code, "is of another run" in result.err) == (3, True)
    assert [path.name for path in folder.glob(f"*.{form}")] == [f"shard-00001-of-00005.{form}"]
    for more in (["--stream"], ["--format", "srt"], ["--figure", "x.png", "--pool", "none"]):
        assert cli(*words, *more, "--shard", "1/2").code == 2


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six mixtures of two sources each, in two folders, and one of one channel."""
    folder = tmp_path_factory.mktemp("stereo") / "in"
    draw = np.random.default_rng(0)
    for i in range(6):
        (folder / str(i % 2)).mkdir(parents=True, exist_ok=True)
        voices = draw.laplace(size=(4000, 2)) * 0.05
        mixed = voices @ np.array([[1, 0.4], [0.3, 1]])
        soundfile.write(folder / str(i % 2) / f"m{i}.wav", mixed, 8000)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_separate_by_dask_with_a_worker_killed(
    dask: str, killed: Callable[..., str], stereo: Path, tmp_path: Path
) -> None:
    made = sertool.separate(stereo, tmp_path / "alone")
    assert isinstance(made, list)
    assert [path.name for path in made[1].paths] == ["m2-1.wav", "m2-2.wav"]
    killed("sertool.extras.sources:_write_files", "separate", stereo, "dask", "--executor", dask)
    assert files(tmp_path / "dask") == files(tmp_path / "alone")
    assert len(files(tmp_path / "alone")) == 24  # and beside each what made it


def test_separate_in_shards(cli: Callable[..., Any], stereo: Path, tmp_path: Path) -> None:
    assert cli("separate", stereo, tmp_path / "alone", "-j", 1).code == 0
    for k in (3, 1, 4, 2):
        assert cli("separate", stereo, tmp_path / "out", "-j", 1, "--shard", f"{k}/4").code == 0
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    result = cli("separate", stereo, tmp_path / "out", "-j", 1, "--shard", "1/4")
    assert (result.code, "m0-1.wav: exists already" in result.err) == (3, True)
    (tmp_path / "out" / "0" / "m0-2.wav").unlink()
    result = cli("separate", stereo, tmp_path / "out", "-j", 1, "--shard", "1/4", "--resume")
    assert result.code == 0
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    for more in (["--json", "-"], ["--against", stereo / "0" / "m0.wav"], ["--mix"]):
        assert cli("separate", stereo, tmp_path / "new", *more).code == 2
    one = stereo / "0" / "m0.wav"
    assert cli("separate", one, tmp_path / "new", "--shard", "1/2").code == 2
    assert cli("separate", stereo, stereo / "out").code == 2
    assert not (tmp_path / "new").exists()


def test_separate_goes_on_after_a_file_that_it_cannot(
    cli: Callable[..., Any], stereo: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.wav").write_bytes((stereo / "0" / "m0.wav").read_bytes())
    soundfile.write(tmp_path / "in" / "a.wav", np.zeros(100), 8000)
    result = cli("separate", tmp_path / "in", tmp_path / "out")
    assert result.code == 1
    assert "a.wav: one channel is one mixture" in result.err
    names = [f"{dot}b-{i}.wav{made}" for dot, made in ((".", ".made"), ("", "")) for i in (1, 2)]
    assert sorted(files(tmp_path / "out")) == names
    (tmp_path / "in" / "b.flac").touch()
    assert cli("separate", tmp_path / "in", tmp_path / "new").code == 3


@pytest.mark.parametrize("made", [ProcessPoolExecutor, ThreadPoolExecutor])
def test_anything_with_submit(
    made: Any, waves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alone = sertool.featurize(waves, "alone.h5", kind="mel")
    monkeypatch.setattr(building, "BLOCK", 5)
    with made(2) as executor:
        found = sertool.featurize(waves, "out.h5", kind="mel", executor=executor)
    assert found.path.read_bytes() == alone.path.read_bytes()


def test_a_part_of_a_lost_run_is_not_taken_for_ones_own(
    waves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that an older run has lost sight of still writes when another run has begun."""
    alone = sertool.featurize(waves, tmp_path / "alone.h5", kind="mel", n_mels=16)
    folder = tmp_path / ".out.h5.parts"
    real = building._Work.make

    def late(self: Any, block: int, source: Any, positions: range) -> None:
        real(self, block, source, positions)
        for path in tmp_path.glob("older/*"):
            if not path.name.startswith("job"):
                (folder / path.name).write_bytes(path.read_bytes())

    def interrupted(self: Parts) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(Parts, "remove_all", interrupted)
        sertool.featurize(waves, tmp_path / "out.h5", kind="mel", n_mels=8)
    monkeypatch.undo()
    folder.rename(tmp_path / "older")
    (tmp_path / "out.h5").unlink()
    monkeypatch.setattr(building._Work, "make", late)
    found = sertool.featurize(waves, tmp_path / "out.h5", kind="mel", n_mels=16)
    assert found.path.read_bytes() == alone.path.read_bytes()


def fail(task: int) -> int:
    if task == 3:
        raise InputError("three")
    return task


def test_errors_come_in_order_and_a_broken_pool_is_one_line() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = submitted(pool, fail, range(9))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(InputError, match="three"):
            next(results)
    with ProcessPoolExecutor(1) as pool, pytest.raises(InputError, match="gave a task up"):
        list(submitted(pool, os._exit, [1]))


def test_a_wrong_executor(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("dask://", "slurm", "tcp://127.0.0.1:1"):
        result = cli("featurize", DEMO, tmp_path / "x.h5", "--executor", text)
        assert (result.code, "needs processes, dask://HOST:PORT or ray" in result.err) == (2, True)
    with pytest.raises(UsageError, match="executor"):
        sertool.featurize(DEMO, tmp_path / "x.h5", executor=7)
    pytest.importorskip("distributed", reason="pip install 'sertool[dask]'")
    monkeypatch.setattr(executors, "PATIENCE", 1)
    result = cli("featurize", DEMO, tmp_path / "x.h5", "--executor", "dask://127.0.0.1:1")
    assert (result.code, "no scheduler answers" in result.err) == (3, True)
    assert not list(tmp_path.glob("x*"))
