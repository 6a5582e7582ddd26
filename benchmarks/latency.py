"""How soon a streamed window is answered: from its last sample to the arrival of its JSON line.

`python benchmarks/latency.py` feeds speech of the demo corpus to `sertool predict MODEL - --stream`
through a pipe, as a sound card does, a block of 20 ms at a time, and prints for each model, as a
checkpoint and as an ONNX model, percentiles of the time from the write of a window's last sample
until its line is there: as the clock has it; less what the two processes waited meanwhile because
others had the core (the scheduler's run delay), which is what the aim is of; and the processor time
that all threads of the process took. The process has one core. The first window is listed by
itself. The networks are trained for one epoch on the demo corpus: what their answers are worth
changes nothing about when they come.

With `--hour` it feeds an hour of sound as fast as it is taken, and prints the memory that the
process has after each sixth of it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import measured
import numpy as np
from measured import Row

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "data" / "demo" / "corpus"
BOX = ROOT / "data" / "models"
BLOCK = 0.02  # seconds that are written at a time
AIM = 50.0  # ms
FEW = 10  # windows, with --quick
TRAINED = {  # what is trained here: the options of featurize
    "sertool": "--kind mel --sample-rate 16000 --set n_fft=1024 --set hop_length=256"
    " --set n_mels=64 --set fmin=50 --set top_db=none",
    "sundharam-cnn": "--kind mfcc --sample-rate 48000 --duration 3 --set n_fft=1024"
    " --set hop_length=256 --set n_mels=128 --set window=hamming --set n_mfcc=13",
}
MODELS = ("box", *TRAINED)
WINDOW = {"sundharam-cnn": 3.0}  # seconds that a model takes; of others 2
FORMATS = ("ckpt", "onnx") if find_spec("onnxruntime") and find_spec("onnx") else ("ckpt",)


def sertool(*words: str | Path) -> None:
    """Run a stage."""
    subprocess.run([sys.executable, "-m", "sertool", *words], check=True)


def made(name: str, folder: Path) -> Path:
    """Return a checkpoint of a model, beside it the same as an ONNX model."""
    if name == "box":
        return BOX / "box.ckpt"
    store, checkpoint = folder / f"{name}.h5", folder / f"{name}.ckpt"
    sertool("featurize", "--quiet", *TRAINED[name].split(), CORPUS, store)
    words = ("--quiet", "--no-baselines", "--epochs", "1")
    sertool("train", *words, "--model", name, store, checkpoint)
    if "onnx" in FORMATS:
        sertool("export", "--quiet", checkpoint, checkpoint.with_suffix(".onnx"))
    return checkpoint


def speech(seconds: float, rate: int) -> np.ndarray:
    """Return the corpus's recordings one after another, int16 (samples,), repeated as needed."""
    import soundfile
    import soxr

    parts = []
    for path in sorted(CORPUS.rglob("*.flac")):
        sound, own = soundfile.read(path, dtype="float32")
        parts.append(soxr.resample(sound, own, rate))
    whole = np.concatenate(parts)
    wanted = round(seconds * rate)
    found = np.tile(whole, -(-wanted // len(whole)))[:wanted]
    return np.round(32767 * np.clip(found, -1, 1)).astype("<i2")


def _scheduled(task: Path) -> tuple[float, float]:
    """Return the ms of a thread on a processor, and of waiting for one."""
    on, delay, _ = (task / "schedstat").read_text().split()
    return int(on) / 1e6, int(delay) / 1e6


class Streamed:
    """A process that predicts a stream of mono sound at `rate` Hz on one core."""

    def __init__(self, model: Path, rate: int, window: float) -> None:
        words = ["predict", str(model), "-", "--stream", "--sample-rate", str(rate), "--quiet"]
        core = min(os.sched_getaffinity(0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sertool", *words, "--window", str(window)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def listens(self) -> bool:
        """Return whether all that was written has been read."""
        waiting = fcntl.ioctl(self._in, termios.FIONREAD, struct.pack("i", 0))
        return not struct.unpack("i", waiting)[0]

    def write(self, samples: np.ndarray) -> None:
        """Write samples at once."""
        self._in.write(samples.tobytes())
        self._in.flush()

    def answer(self) -> bytes:
        """Wait for a line."""
        return self._out.readline()

    def spent(self) -> tuple[float, float]:
        """Return ms: all threads of the process on a processor; it and this one waiting for one."""
        tasks = Path("/proc", str(self._process.pid), "task").iterdir()
        known = [_scheduled(one) for one in tasks]
        waited = sum(delay for _, delay in known) + _scheduled(Path("/proc/self"))[1]
        return sum(on for on, _ in known), waited

    def memory(self) -> float:
        """Return the MB of the process that are in memory."""
        pages = Path("/proc", str(self._process.pid), "statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        """End the stream, and with it the process."""
        self._in.close()
        self._out.read()
        if self._process.wait():
            raise SystemExit("predict failed")


def answers(
    stream: Streamed, sound: np.ndarray, rate: int, window: float, speed: float
) -> Iterator[tuple[float, float, float]]:
    """Yield (ms, ms less waiting for a core, ms of processor time) for each window.

    From the write of its last sample to its line.
    speed: how many seconds of sound are written in one.
    """
    block, length = round(BLOCK * rate), round(window * rate)
    due = time.perf_counter()
    for first in range(0, len(sound) - length + 1, length):
        for at in range(first, first + length, block):
            due = max(due + BLOCK / speed, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
            if at + block >= first + length:
                before, begin = stream.spent(), time.perf_counter()
            stream.write(sound[at : min(at + block, first + length)])
            while not (at or stream.listens()):  # the process starts
                time.sleep(BLOCK)
                due = time.perf_counter()
        stream.answer()
        wall = 1e3 * (time.perf_counter() - begin)
        on, waited = (now - then for now, then in zip(stream.spent(), before, strict=True))
        yield wall, max(on, wall - waited), on


def percentiles(values: Sequence[float]) -> list[str]:
    """Return the median, the 95th percentile and the largest."""
    return [f"{value:.1f}" for value in np.percentile(values, (50, 95, 100))]


def latency(names: Sequence[str], given: argparse.Namespace) -> list[Row]:
    """Print a row for each model and format; return what was measured."""
    rows = []
    print(
        f"| model | ms: median, 95 %, most | alone (aim {AIM:.0f}) | CPU | first: ms, alone, CPU |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path, window = made(name, Path(folder)), given.window or WINDOW.get(name, 2.0)
            sound = speech((given.windows + 1) * window, given.rate)
            for suffix in FORMATS:
                stream = Streamed(path.with_suffix(f".{suffix}"), given.rate, window)
                found = list(answers(stream, sound, given.rate, window, given.speed))
                stream.close()
                columns = list(zip(*found[1:], strict=True))
                most = float(np.percentile(columns[1], 95))
                rows += [
                    Row(f"{name}.{suffix}, 95 % of answers", most, "ms", at_most=AIM),
                    Row(f"{name}.{suffix}, the first answer", found[0][1], "ms", at_most=AIM),
                    Row(
                        f"{name}.{suffix}, median",
                        float(np.median(columns[2])),
                        "ms CPU",
                        at_most=AIM,
                    ),
                ]
                shown = " | ".join(", ".join(percentiles(column)) for column in columns)
                first = ", ".join(f"{value:.1f}" for value in found[0])
                print(f"| {name}.{suffix} | {shown} | {first} |")
                sys.stdout.flush()
    return rows


def hour(names: Sequence[str], given: argparse.Namespace) -> list[Row]:
    """Print the memory of a process that is given an hour of sound, by its sixths."""
    rows = []
    sound = speech(600.0, given.rate)
    print("| model | MB after each 10 minutes of sound | CPU s an hour |\n| --- | --- | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path, window = made(name, Path(folder)), given.window or WINDOW.get(name, 2.0)
            for suffix in FORMATS:
                stream = Streamed(path.with_suffix(f".{suffix}"), given.rate, window)
                used = []
                for _ in range(6):
                    list(answers(stream, sound, given.rate, window, np.inf))
                    used.append(stream.memory())
                shown = ", ".join(f"{value:.1f}" for value in used)
                print(f"| {name}.{suffix} | {shown} | {stream.spent()[0] / 1e3:.1f} |")
                grown = used[-1] - used[0]
                rows.append(Row(f"{name}.{suffix}, from 10 to 60 minutes", grown, "MB", at_most=1))
                stream.close()
                sys.stdout.flush()
    return rows


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    parser.add_argument("--windows", type=int, default=40, help="beside the first (default: 40)")
    parser.add_argument("--window", type=float, help="seconds (default: 2, or the model's own)")
    parser.add_argument("--rate", type=int, default=48000, help="Hz of the sound (default: 48000)")
    parser.add_argument("--speed", type=float, default=4.0, help="times real time (default: 4)")
    parser.add_argument("--hour", action="store_true", help="memory over an hour instead")
    measured.options(parser)
    given = parser.parse_args()
    if given.quick:
        given.windows = FEW
    measured.write(given.json, (hour if given.hour else latency)(given.model, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
