"""The command line as a whole: light, quiet in pipes, one line and the right code when wrong."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from array import array
from pathlib import Path

import pytest
from children import interruptible

from sertool.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numpy", "h5py", "torch", "librosa", "scipy", "sklearn", "matplotlib", "soundfile")


def program(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sertool", *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def imported_by(arguments: list[str]) -> set[str]:
    code = (
        "import sys; from sertool.cli import main; main(sys.argv[1:]);"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    every = "; ".join(f"main([{name!r}, '--help'])" for name in COMMANDS)
    code = (
        f"import sys; from sertool.cli import main; {every}; print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & set(HEAVY)


def test_the_overview_loads_no_command() -> None:
    code = (
        "import sys; from sertool.cli import main; main(['--help']);"
        "print([name for name in sys.modules if name.startswith('sertool.commands.')],"
        " 'msgspec' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["[]", "False"]


def test_mel_needs_neither_torch_nor_librosa(sounds: Path, tmp_path: Path) -> None:
    found = imported_by(["featurize", "-j1", "--kind", "mel", str(sounds), str(tmp_path / "m.h5")])
    assert not found & {"torch", "librosa", "sklearn", "matplotlib", "numba"}
    assert "soundfile" in found
    rate = ["--sample-rate", "16000"]  # else that of the files is asked for
    again = ["featurize", "--kind", "mel", *rate, "--resume", str(sounds), str(tmp_path / "m.h5")]
    assert "soundfile" not in imported_by(again)  # it is complete


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_exit_codes(cli, name: str) -> None:
    result = cli(name, "--help")
    assert result.code == 0
    assert f"sertool {name}" in result.out
    assert "Exit codes" in result.out
    first = 2 if name == "serve" else 0  # which serves until it is ended
    assert re.search(rf"[Ee]xit codes: {first}", result.out)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_line_and_code_2(cli, name: str) -> None:
    result = cli(name, "--no-such-option")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert "--no-such-option" in result.err
    assert "--help" in result.err


def test_unknown_command_and_version(cli) -> None:
    result = cli("trian")
    assert result.code == 2
    assert "trian" in result.err
    assert re.fullmatch(r"sertool \d+\.\d+\.\d+\n", cli("--version").out)


def test_help_fits_a_narrow_terminal() -> None:
    done = program("featurize", "--help", env=os.environ | {"COLUMNS": "60", "NO_COLOR": "1"})
    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 60
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "kinds"], ["list", "kinds", "--kind", "mel"]]
)
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "sertool", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_ctrl_c_is_130_and_one_line(sounds: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sertool", "featurize", "-", str(tmp_path / "o.h5")]
    with interruptible(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("never.wav\n")
        process.stdin.flush()
        waiting = array("i", [1])
        while waiting[0] and process.poll() is None:  # until the program has read it
            time.sleep(0.05)
            fcntl.ioctl(process.stdin, termios.FIONREAD, waiting)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert said == "sertool featurize: interrupted\n"
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_while_sertool_is_loaded(tmp_path: Path, ignored: bool) -> None:
    """A module that interrupts as it is imported; under nohup that must change nothing."""
    (tmp_path / "tomllib.py").write_text(
        "import os, signal, sys\nos.kill(os.getpid(), signal.SIGINT)\nsys.exit(7)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    handed_down = signal.SIG_IGN if ignored else signal.SIG_DFL
    done = subprocess.run(
        [sys.executable, "-m", "sertool", "--help"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handed_down),
    )
    assert (done.returncode, done.stderr) == (7 if ignored else 130, b"")


def test_no_permission_to_write(
    cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    result = cli("featurize", sounds, tmp_path / "o.h5")
    assert result.code == 3
    assert "no permission to write" in result.err
    assert result.err.count("\n") == 1


def test_a_full_disk_is_one_line_and_keeps_the_old_output(sounds: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.h5"
    assert program("featurize", "--kind", "wave", sounds, output).returncode == 0
    before = output.read_bytes()
    limited = (
        f"ulimit -f 40; exec {sys.executable} -m sertool featurize --force -j1 {sounds} {output}"
    )
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].count("disk is full") == 1
    assert "Traceback" not in done.stderr
    assert output.read_bytes() == before


@pytest.mark.parametrize("size", ["200k", "5m"])
def test_a_disk_that_is_really_full(sounds: Path, tmp_path: Path, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        done = program("featurize", "--set", "hop_length=4", sounds, disk / "o.h5")
        left = sorted(os.listdir(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].count("disk is full") == 1
    assert "Traceback" not in done.stderr
    assert left in ([], [".o.h5.parts"])


def test_list(cli) -> None:
    assert "mel" in cli("list", "kinds").out
    assert "sundharam-cnn" in cli("list", "models").out
    assert "ravdess" in cli("list", "corpora").out
    assert "awgn" in cli("list", "augmentations").out
    assert "fser8" in cli("list", "labels").out
    settings = cli("list", "kinds", "--kind", "mel").out
    assert "hop_length" in settings
    assert "512" in settings
    assert "input" in cli("list", "models", "--model", "sundharam-cnn").out
    assert cli("list", "everything").code == 2
    assert cli("list", "kinds", "--kind", "chroma").code == 2


def test_info(cli, sounds: Path, tmp_path: Path) -> None:
    store = tmp_path / "m.h5"
    assert cli("featurize", sounds, store).code == 0
    page = cli("info", store).out
    for word in ("kind mel", "12 items", "anger", "checksum right", "featurize", "n_fft=2048"):
        assert word in page
    everything = json.loads(cli("info", "--json", store).out)
    assert everything["items"] == 12
    assert everything["counts"]["label"] == {"anger": 4, "happiness": 4, "sadness": 4}
    rows = [json.loads(line) for line in cli("info", "--items", store).out.splitlines()]
    assert len(rows) == 12
    assert rows[0]["label"] == "anger"
    import h5py

    with h5py.File(store, "r+") as file:
        file["features"][0, 0] += 1
    spoiled = cli("info", store)
    assert spoiled.code == 3
    assert "checksum" in spoiled.err
    assert "Traceback" not in spoiled.err


def test_info_of_what_is_not_ours(cli, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_text("")
    (tmp_path / "json").write_text('{"a": 1}\n')
    for name in ("text", "empty", "json", "missing", "."):
        result = cli("info", tmp_path / name)
        assert (result.code, result.out) == (3, ""), name
        assert result.err.count("\n") == 1


def test_models_say_what_they_take(cli) -> None:
    out = cli("list", "models").out
    assert re.search(r"linear +any length", out)
    assert re.search(r"sundharam-cnn +one length", out)
    assert re.search(r"badshah2017 +pictures", out)
    assert re.search(r"ma2018-fixed +up to one length", out)
    page = cli("list", "models", "--model", "sundharam-bilstm").out
    assert "takes: one length, or shorter with --set mask=true" in page


def test_predict_without_a_model_says_what_to_do(
    cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sertool.formats.box.quickest", lambda: None)  # none is installed
    for given in (sounds, next(sounds.rglob("*.wav")), "-"):
        result = cli("predict", given)
        assert (result.code, result.out, result.err.count("\n")) == (3, "", 1)
        assert "train one (sertool --help has the commands), then: sertool predict model.ckpt" in (
            result.err
        )
    result = cli("predict", sounds, tmp_path / "model.ckpt")
    assert result.code == 3
    assert f"the model comes first: sertool predict {tmp_path / 'model.ckpt'}" in result.err
    result = cli("predict", tmp_path / "model.ckpt")
    assert result.code == 2
    assert "no recordings" in result.err
    result = cli("predict", tmp_path / "gone.ckpt", sounds)  # never another model instead
    assert (result.code, result.out) == (3, "")
    assert "no such file" in result.err
