"""`sertool separate`: mixtures in, a recording of each source out, whatever their length."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from children import interruptible
from peaks import peak

from sertool.audio import blocks as audio_blocks
from sertool.core.errors import InputError, ItemError
from sertool.core.options import RunOptions
from sertool.extras import sources as stage
from sertool.extras.options import SeparateOptions
from sertool.ui.console import Console

ROOT = Path(__file__).resolve().parent.parent
RATE = 16000
MIXING = np.array([[1.0, 0.6], [0.5, 1.0]])
GAIN = 15.0  # dB of SI-SDR


def separate(paths: list[Path], folder: Path, options: SeparateOptions) -> stage.Separation:
    return stage.separate(paths, folder, options, RunOptions(), Console.silent())


def save(path: Path, sound: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, sound, rate, subtype)
    return path


def load(path: Path) -> np.ndarray:
    return soundfile.read(path, always_2d=True)[0]


def talk(seconds: float = 2.0, sources: int = 2, seed: int = 0) -> np.ndarray:
    """Sounds that are as sparse as speech: (frames, sources), below full scale."""
    random = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    level = np.repeat(random.uniform(0.2, 1, (frames // 1600 + 1, sources)), 1600, axis=0)
    return np.clip(0.05 * random.laplace(size=(frames, sources)) * level[:frames], -0.5, 0.5)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A stereo mixture of two sources, which lie beside it: one.wav, two.wav."""
    sources = talk()
    save(tmp_path / "one.wav", sources[:, 0])
    save(tmp_path / "two.wav", sources[:, 1])
    return save(tmp_path / "mix.wav", sources @ MIXING.T, subtype="PCM_16")


def two_actors(first: Path, second: Path, folder: Path) -> Path:
    """Mix two recordings of speech; the sources lie beside the mixture: one.wav, two.wav."""
    (one, rate), (two, _) = soundfile.read(first), soundfile.read(second)
    frames = min(len(one), len(two))
    sources = np.stack([x[:frames].reshape(frames, -1).mean(1) for x in (one, two)], 1)
    save(folder / "one.wav", sources[:, 0], rate)
    save(folder / "two.wav", sources[:, 1], rate)
    return save(folder / "mix.wav", 0.5 * sources @ MIXING.T, rate, "PCM_16")


def check_gains(cli: Callable, mix: Path, *options: str) -> None:
    folder = mix.parent
    known = ("--against", folder / "two.wav", "--against", folder / "one.wav")
    result = cli("separate", mix, folder / "out", *known, "--json", "-", *options)
    assert result.code == 0, result.err
    rows = json.loads(result.out)["sources"]
    assert [row["reference"] for row in rows] == [str(known[1]), str(known[3])]
    assert {row["output"] for row in rows} == {str(folder / f"out/mix-{i}.wav") for i in (1, 2)}
    for row in rows:
        assert row["gain"] >= GAIN
        assert row["gain"] == pytest.approx(row["si_sdr"] - row["mixture"])
        estimate, reference = (load(Path(row[k]))[:, 0] for k in ("output", "reference"))
        assert row["si_sdr"] == pytest.approx(
            stage.separation.si_sdr(estimate, reference), abs=1e-3
        )
        best = max(stage.separation.si_sdr(x, reference) for x in load(mix).T)
        assert row["mixture"] == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("options", [(), ("--algorithm", "deflation"), ("--block", "1.5")])
def test_two_actors_of_ravdess_are_parted(
    cli: Callable, corpora: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    first = corpora / "ravdess/Actor_01/03-01-05-01-01-01-01.flac"
    second = corpora / "ravdess/Actor_02/03-01-03-01-02-01-02.flac"
    if not (first.exists() and second.exists()):
        pytest.skip("no RAVDESS among the real corpora")
    check_gains(cli, two_actors(first, second, tmp_path), *options)


def test_two_speakers_of_the_demo_corpus_are_parted(cli: Callable, tmp_path: Path) -> None:
    speakers = ROOT / "data/demo/corpus"
    files = [sorted((speakers / name).glob("*.flac"))[0] for name in ("spk01", "spk02")]
    check_gains(cli, two_actors(*files, tmp_path))


def test_outputs_and_their_levels(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    result = cli("separate", mixed, tmp_path / "out")
    assert (result.code, result.out) == (0, "")
    assert result.err.count("\n") == 1
    paths = sorted((tmp_path / "out").glob("*.wav"))
    assert [path.name for path in paths] == ["mix-1.wav", "mix-2.wav"]
    beside = [f".{path.name}.made" for path in paths]  # by which --resume knows them
    assert sorted(os.listdir(tmp_path / "out")) == [*beside, *(path.name for path in paths)]
    for path in paths:
        known = soundfile.info(path)
        assert (known.samplerate, known.channels, known.subtype) == (RATE, 1, "PCM_16")
        assert known.frames == 2 * RATE
        assert np.abs(load(path)).max() == pytest.approx(0.99, abs=1e-4)
        with soundfile.SoundFile(path) as file:
            assert json.loads(file.comment)["stage"] == "separate"


def test_a_table_on_standard_output(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    both = save(tmp_path / "both.wav", np.stack([load(tmp_path / f"{n}.wav")[:, 0] for n in
                                                 ("one", "two")], 1))  # fmt: skip
    report = tmp_path / "r.json"
    result = cli("separate", mixed, tmp_path / "out", "--against", both, "--json", report)
    assert result.code == 0
    assert "gain dB" in result.out
    assert "both.wav channel 2" in "".join(result.out.split("\n"))
    assert len(json.loads(report.read_text())["sources"]) == 2
    assert cli("separate", mixed, tmp_path / "other", "--json", report).code == 3


@pytest.mark.parametrize("block", [None, 0.5])
def test_several_mono_files_are_one_of_several_channels(
    mixed: Path, tmp_path: Path, block: float | None
) -> None:
    whole = load(mixed)
    files = [save(tmp_path / f"m_{i}.wav", whole[:, i], subtype="PCM_16") for i in (0, 1)]
    separate([mixed], tmp_path / "one", SeparateOptions(block=block))
    separate(files, tmp_path / "two", SeparateOptions(block=block))
    for i in (1, 2):
        np.testing.assert_array_equal(
            load(tmp_path / f"one/mix-{i}.wav"), load(tmp_path / f"two/m-{i}.wav")
        )


def test_what_outputs_are_called() -> None:
    def name(*names: str) -> str:
        return stage.name_of([Path(n) for n in names])

    assert name("/a/b.c.wav") == "b.c"
    assert name("mic-1.wav", "mic-2.wav") == "mic"
    assert name("left.wav", "right.wav") == "source"


def test_the_same_seed_the_same_bytes(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separate([mixed], tmp_path / "a", SeparateOptions())
    monkeypatch.setattr(stage, "FRAMES", 2048)
    separate([mixed], tmp_path / "b", SeparateOptions())
    names = ["mix-1.wav", "mix-2.wav"]
    assert all(
        (tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names
    )


def test_order_and_sign_are_carried_through_a_changing_mixture(tmp_path: Path) -> None:
    sources = talk(16)
    angle = np.linspace(0, 2 * np.pi, len(sources))[:, None] + [0, np.pi / 3]
    turning = np.stack([(np.cos(angle) * sources).sum(1), (np.sin(angle) * sources).sum(1)], 1)
    mix = save(tmp_path / "mix.wav", 0.5 * turning)
    known = (save(tmp_path / "a.wav", sources[:, 0]), save(tmp_path / "b.wav", sources[:, 1]))
    made = separate([mix], tmp_path / "blocks", SeparateOptions(block=1.0, against=known))
    assert all((one.gain or 0) > GAIN for one in made.known)
    made = separate([mix], tmp_path / "whole", SeparateOptions(against=known))
    assert all((one.gain or 0) < 5 for one in made.known)


def test_resume_force_and_what_is_in_the_way(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("separate", mixed, out, "--resume").code == 0
    content = (out / "mix-1.wav").read_bytes()
    again = cli("separate", mixed, out, "--resume", "--against", tmp_path / "one.wav")
    assert again.code == 0
    assert "already complete" in again.err
    assert "one.wav" in again.out
    refused = cli("separate", mixed, out)
    assert refused.code == 3
    assert "--force" in refused.err
    refused = cli("separate", mixed, out, "--resume", "--seed", "1")
    assert refused.code == 3
    assert "other settings" in refused.err
    (out / "mix-2.wav").unlink()
    assert cli("separate", mixed, out, "--resume").code == 0
    assert cli("separate", mixed, out, "--force", "--seed", "1").code == 0
    assert (out / "mix-1.wav").read_bytes() != content
    (out / "mix-3.wav").write_bytes(b"of three sources")
    older = cli("separate", mixed, out, "--force")
    assert older.code == 0
    assert "mix-3.wav: left over from a run with more sources" in older.err
    assert (out / "mix-3.wav").read_bytes() == b"of three sources"
    (out / "mix-1.wav").write_bytes(b"something else")
    assert cli("separate", mixed, out, "--resume").code == 3
    (tmp_path / "mix-1.wav").write_bytes(mixed.read_bytes())
    assert cli("separate", mixed, tmp_path).code == 3
    clash = save(tmp_path / "mix-1.wav", load(mixed)).rename(tmp_path / "x-1.wav")
    (tmp_path / "x.wav").symlink_to(clash)
    assert cli("separate", tmp_path / "x.wav", tmp_path, "--force").code == 2


def test_resume_believes_no_output_that_changed(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("separate", mixed, out).code == 0
    path, beside = out / "mix-2.wav", out / ".mix-2.wav.made"
    whole, known = path.read_bytes(), beside.read_bytes()
    for file, content in ((path, whole), (beside, known)):
        for at in (len(content) // 2, len(content) - 9):
            file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            refused = cli("separate", mixed, out, "--resume")
            assert (refused.code, refused.err.count("\n")) == (3, 1), refused.err
            assert "mix-2.wav: exists, and nothing says that it is what this" in refused.err
        file.write_bytes(content)
    assert cli("separate", mixed, out, "--resume").code == 0
    path.write_bytes(whole + b"more")
    assert cli("separate", mixed, out, "--resume", "--force").code == 0
    assert (path.read_bytes(), beside.read_bytes()) == (whole, known)


def test_the_table_names_files_without_their_folder(
    cli: Callable, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    known = [x for name in ("one", "two") for x in ("--against", tmp_path / f"{name}.wav")]
    lines = cli("separate", mixed, tmp_path / "out", *known).out.splitlines()
    rows = [line.split() for line in lines if ".wav" in line]
    assert sorted(row[0] for row in rows) == ["one.wav", "two.wav"]
    assert sorted(row[1] for row in rows) == ["mix-1.wav", "mix-2.wav"]


def test_wrong_command_lines(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    for options in (
        ("--sources", "3"),
        ("--sources", "1"),
        ("--block", "0"),
        ("--block", "nan"),
        ("--block", "inf"),
        ("--algorithm", "symmetric"),
        ("--against", mixed, "--against", tmp_path / "one.wav"),
    ):
        result = cli("separate", mixed, tmp_path / "out", *options)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert cli("separate", "-", tmp_path / "out").code == 2
    assert cli("separate", mixed).code == 2
    assert not (tmp_path / "out").exists()


def test_known_sources_are_looked_at_first(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    voice = load(tmp_path / "one.wav").astype(np.float32)
    spoilt = voice.copy()
    spoilt[-1] = np.nan
    for name, sound, said in (("silent", voice * 0, "silent"), ("nan", spoilt, "NaN")):
        known = save(tmp_path / f"{name}.wav", sound)
        result = cli("separate", mixed, tmp_path / "out", "--against", known)
        assert result.code == 3
        assert f"{name}.wav: " in result.err
        assert said in result.err
        assert not (tmp_path / "out").exists()


def test_broken_mixtures(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    sound = load(mixed).astype(np.float32)
    spoilt = sound.copy()
    spoilt[20000, 1] = np.nan
    damaged = tmp_path / "cut.wav"
    damaged.write_bytes(mixed.read_bytes()[:20000])
    (tmp_path / "empty.wav").touch()
    one, shorter = tmp_path / "one.wav", save(tmp_path / "short.wav", sound[:900, 0])
    slower = save(tmp_path / "slow.wav", sound[:, 0], 8000)
    doubled = save(tmp_path / "twice.wav", sound[:, [0, 0]], subtype="PCM_16")
    cases = {
        (tmp_path / "none.wav",): "no such file",
        (one, tmp_path): "a folder",
        (tmp_path / "empty.wav",): "empty file",
        (damaged,): "truncated",
        (save(tmp_path / "nan.wav", spoilt),): "NaN or infinity",
        (save(tmp_path / "no.wav", sound[:0]),): "no samples",
        (one,): "one channel is one mixture",
        (one, mixed): "2 channels",
        (one, shorter): "equally long",
        (one, slower): "8000 Hz",
        (one, one): "hold the same sound",
        (doubled,): "channel 1 and channel 2 hold the same sound",
        (save(tmp_path / "still.wav", sound * [1, 0]),): "channel 2 is silent",
        (save(tmp_path / "never.wav", sound * 0),): "channel 1 and channel 2 are silent",
        (save(tmp_path / "brief.wav", sound[:1]),): "silent",
        (save(tmp_path / "many.wav", np.zeros((9, 64), np.float32)),): "64 of 64 mixtures are",
    }
    for files, reason in cases.items():
        result = cli("separate", *files, tmp_path / "out")
        assert (result.code, result.out, result.err.count("\n")) == (3, "", 1), result.err
        assert reason in result.err
        assert not (tmp_path / "out").exists()
    for folder, reason in ((tmp_path / "no/out", "does not exist"), (one, "is not a folder")):
        result = cli("separate", mixed, folder)
        assert (result.code, result.err.count("\n")) == (3, 1)
        assert reason in result.err
    still = save(tmp_path / "zero.wav", sound[:, 0] * 0)
    for known, reason in ((still, "silent"), (shorter, "equally long"), (slower, "Hz")):
        result = cli("separate", mixed, tmp_path / "out", "--force", "--against", known)
        assert (result.code, result.err.count("\n") <= 2) == (3, True)
        assert reason in result.err


def test_noise_that_cannot_be_told_apart_is_said(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = 0.1 * np.random.default_rng(0).normal(size=(2000, 2))
    real = stage.Settings
    monkeypatch.setattr(stage, "Settings", lambda *a, **k: real(*a, iterations=2, **k))
    result = cli("separate", save(tmp_path / "n.wav", noise @ MIXING), tmp_path / "out")
    assert result.code == 0
    assert "not converged" in result.err
    nearly = noise[:, [0, 0]] + 1e-4 * noise
    result = cli("separate", save(tmp_path / "m.wav", nearly), tmp_path / "out")
    assert "nearly the same" in result.err


def test_nothing_is_left_where_writing_fails(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    with pytest.raises(InputError, match="nothing was replaced"):
        separate([mixed], tmp_path / "out", SeparateOptions())
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    mix = save(tmp_path / "mix.wav", talk(60) @ MIXING.T)
    command = [sys.executable, "-m", "sertool", "separate", mix, tmp_path / "out", "--block", "0.1"]
    with interruptible(command) as process:
        while not (tmp_path / "out").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "sertool separate: interrupted\n")
    assert not (tmp_path / "out").exists()


def test_a_closed_pipe(mixed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sertool", "separate", mixed, tmp_path / "out", "-q"]
    command += ["--against", tmp_path / "one.wav"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), said) == (0, b"")
    assert (tmp_path / "out/mix-2.wav").exists()


def test_memory_has_a_bound(tmp_path: Path) -> None:
    code = (
        "import functools, sys; from sertool.cli import main;"
        "from sertool.extras import sources as stage;"
        "stage.Settings = functools.partial(stage.Settings, sample=1 << 16);"
        "sys.exit(main(['separate', '-q', *sys.argv[1:]]))"
    )
    most = []
    for seconds in (20, 400):
        mix = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(mix, "w", RATE, 2, "PCM_16") as file:
            part = talk(10) @ MIXING.T
            for _ in range(seconds // 10):
                file.write(part)
        status, _, used = peak(sys.executable, "-c", code, mix, tmp_path / f"out{seconds}")
        assert status == 0
        most.append(used)
    assert most[1] < most[0] + 15, most  # MB; the longer one is 51 MB as float32


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_blocks_are_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, talk(0.5), RATE)
    known = audio_blocks.facts(path)
    assert (known.sample_rate, known.channels) == (RATE, 2)
    parts = list(audio_blocks.blocks(path, 1000))
    assert {len(part) for part in parts[:-1]} == {1000}
    whole = soundfile.read(path, dtype="float32")[0]
    # an MP3's decoder rounds its last bit by where it is asked to stop
    exact = 0 if suffix != "mp3" else 1e-6
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=exact)
    assert known.frames in (len(whole), None)


def test_blocks_through_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, wave = tmp_path / "a.m4a", talk(0.5).astype(np.float32)
    path.write_bytes(b"anything")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ItemError, match="not installed"):
        audio_blocks.facts(path)
    (tmp_path / "bin").mkdir()
    header = struct.pack(">4s5I", b".snd", 28, 0xFFFFFFFF, 6, RATE, 2) + b"note"
    (tmp_path / "sound.au").write_bytes(header + wave.astype(">f4").tobytes())
    fake = tmp_path / "bin" / "ffmpeg"
    fake.write_text(f'#!/bin/sh\nexec /bin/cat "{tmp_path}/sound.au"\n')
    fake.chmod(0o755)
    assert audio_blocks.facts(path) == audio_blocks.Facts(RATE, 2, None)
    np.testing.assert_array_equal(np.concatenate(list(audio_blocks.blocks(path, 999))), wave)
    made = separate([path], tmp_path / "out", SeparateOptions(seed=1))
    assert made.duration == 0.5
    fake.write_text(f'#!/bin/sh\n/bin/cat "{tmp_path}/sound.au"\necho "Broken pipe" >&2\nexit 1\n')
    with pytest.raises(ItemError, match="truncated or damaged: broken pipe"):
        list(audio_blocks.blocks(path, 1000))


def test_mix_and_part_again(cli: Callable, tmp_path: Path) -> None:
    """Voices of two lengths; what is written is what the table compares, the same for one seed."""
    speakers = ROOT / "data/demo/corpus"
    files = [sorted((speakers / name).glob("*.flac"))[0] for name in ("spk01", "spk02")]
    out = tmp_path / "out"
    result = cli("separate", "--mix", *files, out, "--json", "-")
    assert result.code == 0, result.err
    names = [f"{kind}-{i}.wav" for kind in ("microphone", "separated", "source") for i in (1, 2)]
    assert sorted(path.name for path in out.glob("*.wav")) == names
    rows = json.loads(result.out)["sources"]
    assert [Path(row["reference"]).name for row in rows] == ["source-1.wav", "source-2.wav"]
    assert all(row["gain"] >= GAIN for row in rows)
    sources = np.concatenate([load(out / f"source-{i}.wav") for i in (1, 2)], 1)
    for column, file in enumerate(files):
        voice = load(file)[:, 0]
        own = sources[: len(voice), column]
        np.testing.assert_allclose(own, 0.99 / np.abs(voice).max() * voice, atol=1e-4)
        assert not sources[len(voice) :, column].any()
    heard = np.concatenate([load(out / f"microphone-{i}.wav") for i in (1, 2)], 1)
    matrix, rest, *_ = np.linalg.lstsq(sources, heard, rcond=None)
    assert rest.max() < 1e-4
    shares = matrix.T / np.diag(matrix)[:, np.newaxis]
    assert (shares[[0, 1], [1, 0]] >= 0.3).all()
    assert (shares[[0, 1], [1, 0]] <= 0.8).all()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert cli("separate", "--mix", *files, out).code == 3
    assert cli("separate", "--mix", *files, out, "--force").code == 0
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


def test_what_cannot_be_mixed(cli: Callable, mixed: Path, tmp_path: Path) -> None:
    one, two = mixed.parent / "one.wav", mixed.parent / "two.wav"
    other = save(tmp_path / "other.wav", talk()[:, 0], rate=8000)
    silent = save(tmp_path / "silent.wav", np.zeros(RATE))
    for words, code, said in (
        ((one,), 2, "two recordings or more"),
        ((one, other), 3, "mixed at one rate"),
        ((one, silent), 3, "silent"),
        ((one, one), 3, "the same voice twice"),
        ((one, tmp_path / "none.wav"), 3, "none.wav"),
        ((one, two, "--against", one), 2, "--mix knows its sources"),
    ):
        options = words[2:]
        result = cli("separate", "--mix", *words[:2], tmp_path / "new", *options)
        assert result.code == code, result.err
        assert said in result.err
        assert not (tmp_path / "new").exists()
