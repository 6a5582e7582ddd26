"""CPU, wall time and memory of `sertool featurize --kind mel` next to librosa and the floor.

    python benchmarks/featurize.py [FOLDER] [--files 1000] [--rounds 3] [--image | --voice]

All jobs read the same 48 kHz 16-bit WAV files: those of FOLDER converted (and repeated until there
are enough), else speech-like noise. Each job is a process of its own with one thread a process;
the jobs take turns, round after round, so that a busy spell of the machine falls on all alike, and
the medians are shown. What a job costs on a single file is its start-up, and is taken off.

- sertool: the whole command with its store, by one worker and by two; its resumable parts, two
  checksums of every item, and the file are all paid for
- sertool, no store: what its workers do with a file (decode, hash, fingerprint, log-mel); nothing
  is written
- decoding, + fingerprint: the first parts of that, without and with the fingerprint; both with the
  SHA-256 of the samples
- librosa: load, melspectrogram, power_to_db, one file after the other; nothing is written
- floor: soundfile's decoding to int16 and one real Fourier transform a frame; nothing is written
- mfcc, spectrogram, logpower, image: these kinds, nothing written, the first two beside librosa's
- FLAC: the command on the same sounds as FLAC, and their decoding alone
- its writer: what the first process takes of the command by two workers, that is all that is not
  shared out; over it, what a worker takes is the number of workers that one writer can serve

With --image the jobs are others: `--kind image` as it stands (64 x 64 pixels of the mel
spectrogram, 512/512) beside `--kind mel` with the same n_fft, hop_length and n_mels, both the whole
command by one worker.

With --voice they are kind `voice` beside openSMILE's ComParE set (extra sertool[opensmile]), both
with decoding, which is shown, too; nothing is written. --rate 16000 makes the files at 16 kHz:
openSMILE's time grows with the rate, that of `voice`, which works at 16 kHz, hardly.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measured

if TYPE_CHECKING:
    import numpy as np

RATE = 48000
N_FFT = 1024
HOP = 256
PICTURE = {"n_fft": 512, "hop_length": 512, "n_mels": 128}
FRAMES = {"n_fft": N_FFT, "hop_length": HOP}
SETTINGS = {"mel": FRAMES, "mfcc": FRAMES, "spectrogram": FRAMES, "logpower": {}, "image": PICTURE}
OWN = "own CPU seconds:"  # how a job says that it counts less than it takes
POLL = 0.2  # seconds between two looks at a job's memory
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")


@dataclass
class Run:
    """What one job took: seconds of CPU and of wall time, and its peak memory in MB."""

    cpu: float
    wall: float
    peak: float


def main() -> None:
    """Make the files, run the jobs in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="sounds to convert; default: noise")
    parser.add_argument("--files", type=int, help="at least two (default: 1000, --quick: 200)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each job runs")
    measured.options(parser)
    parser.add_argument("--image", action="store_true", help="pictures beside their mel alone")
    parser.add_argument("--voice", action="store_true", help="kind voice beside openSMILE")
    parser.add_argument("--rate", type=int, default=RATE, help="of the files (default: 48000 Hz)")
    parser.add_argument("--tmp", type=Path, help="where the WAV files go for the while")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=SETTINGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.files = options.files or (200 if options.quick else 1000)
    if options.child:
        made = [options.kind] if options.kind else []
        CHILDREN[options.child](options.folder, *made)
        return
    if options.make:
        make_files(options.folder, options.make, options.files, options.rate)
        return
    if options.rate != RATE and not options.voice:
        parser.error("--rate goes with --voice")
    if options.files < 2 or options.rounds < 1:
        parser.error("--files must be at least 2, --rounds at least 1")
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-", dir=options.tmp) as name:
        many, one = Path(name, "many"), Path(name, "one")
        # in a process of its own: a job counts the memory of the process that starts it as its own
        make = [sys.executable, os.path.abspath(__file__), "--files", str(options.files)]
        make += ["--rate", str(options.rate), "--make", str(many)]
        make += [str(options.folder)] if options.folder else []
        if subprocess.run(make, check=False).returncode:
            sys.exit(1)
        one.mkdir()
        shutil.copy(min(many.iterdir()), one)
        flac = many.with_name("many-flac")
        one.with_name("one-flac").mkdir()
        shutil.copy(min(flac.iterdir()), one.with_name("one-flac"))
        make_jobs = voice_jobs if options.voice else picture_jobs if options.image else mel_jobs
        starts, runs = measure(make_jobs(Path(name)), one, many, options.rounds)
    if options.voice:
        show_voice(starts, runs, options.files)
    elif options.image:
        show_pictures(starts, runs, options.files)
    else:
        measured.write(options.json, show(starts, runs, options.files))


def mel_jobs(folder: Path) -> dict[str, list[str]]:
    """Return the jobs that compute a mel spectrogram, whose stores go into `folder`."""
    flac = sertool("mel", FRAMES, 1, folder / "out3.h5")
    return {
        "sertool, 1 worker": sertool("mel", FRAMES, 1, folder / "out1.h5"),
        "sertool, 2 workers": sertool("mel", FRAMES, 2, folder / "out2.h5"),
        "its writer": child("writer"),
        "sertool, no store": child("features", "mel"),
        "+ fingerprint": child("fingerprint"),
        "decoding": child("decoding"),
        "librosa": child("librosa", "mel"),
        "floor": child("floor"),
        "mfcc": child("features", "mfcc"),
        "librosa's mfcc": child("librosa", "mfcc"),
        "spectrogram": child("features", "spectrogram"),
        "librosa's spectrogram": child("librosa", "spectrogram"),
        "logpower": child("features", "logpower"),
        "image": child("features", "image"),
        "FLAC, 1 worker": ["FLAC" if word == "FOLDER" else word for word in flac],
        "FLAC, decoding": ["FLAC" if word == "FOLDER" else word for word in child("decoding")],
    }


def picture_jobs(folder: Path) -> dict[str, list[str]]:
    """Return the jobs that make pictures, and the spectrogram of the pictures alone."""
    return {
        "image": sertool("image", PICTURE, 1, folder / "image.h5"),
        "mel": sertool("mel", PICTURE, 1, folder / "mel.h5"),
    }


def voice_jobs(folder: Path) -> dict[str, list[str]]:
    """Return the jobs that describe voices, and decoding alone."""
    return {name: child(name) for name in ("voice", "ComParE", "decoding")}


def say(text: str) -> None:
    """Print one line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def make_files(source: Path | None, folder: Path, count: int, rate: int) -> None:
    """Write `count` WAV files into `folder`, and the same as FLAC beside it."""
    import soundfile

    flac = folder.with_name(f"{folder.name}-flac")
    folder.mkdir()
    flac.mkdir()
    total = 0
    waves = converted(source, rate) if source else noises(rate)
    for i, wave in enumerate(itertools.islice(waves, count)):
        soundfile.write(folder / f"{i:05d}.wav", wave, rate, "PCM_16")
        soundfile.write(flac / f"{i:05d}.flac", wave, rate, "PCM_16")
        total += len(wave)
    say(f"{count} files of {total / rate / count:.2f} s on average")


def converted(source: Path, rate: int) -> Iterator[np.ndarray]:
    """Yield the recordings below `source` as int16 at a rate, over and over."""
    from sertool.audio import decoding as audio
    from sertool.audio import waveform
    from sertool.core import paths

    found, _ = paths.find_audio(source)
    if not found:
        sys.exit(f"{source}: no audio files")
    for path in itertools.cycle(found):
        yield waveform.to_int16(audio.decode(path, sample_rate=rate).samples)


def noises(rate: int) -> Iterator[np.ndarray]:
    """Yield 3 to 4 s of noise with the tilt, the pitch and the syllables of speech, as int16."""
    import numpy as np

    random = np.random.default_rng(0)
    while True:
        size = int(rate * random.uniform(3, 4))
        frequency = np.fft.rfftfreq(size, 1 / rate)
        tilt = 1 / (1 + (frequency / 500) ** 2) + 0.003
        tilted = np.fft.irfft(np.fft.rfft(random.standard_normal(size)) * tilt, size)
        clock = np.arange(size) / rate
        pulses = 1 + np.cos(2 * np.pi * random.uniform(90, 250) * clock)
        syllables = np.clip(np.sin(2 * np.pi * random.uniform(3, 5) * clock) + 0.4, 0.001, None)
        wave = tilted * pulses * syllables
        yield np.round(wave * 20000 / np.abs(wave).max()).astype(np.int16)


def sertool(kind: str, settings: dict[str, int], workers: int, store: Path) -> list[str]:
    """Return the command line of sertool; FOLDER stands for the input."""
    command = [sys.executable, "-m", "sertool", "featurize", "--kind", kind]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    return [*command, "FOLDER", str(store), "--workers", str(workers), "--force", "--quiet"]


def child(name: str, kind: str = "") -> list[str]:
    """Return the command line that runs one of CHILDREN; FOLDER stands for the input."""
    line = [sys.executable, os.path.abspath(__file__), "FOLDER", "--child", name]
    return [*line, "--kind", kind] if kind else line


def run_librosa(folder: Path, kind: str) -> None:
    """Compute what sertool does, the way librosa's own examples do."""
    import librosa
    import numpy as np

    for path in sorted(folder.iterdir()):
        y, sr = librosa.load(path, sr=None)
        if kind == "mfcc":
            librosa.feature.mfcc(y=y, sr=sr, n_mfcc=20, **FRAMES)
        elif kind == "spectrogram":
            librosa.power_to_db(np.abs(librosa.stft(y, **FRAMES)) ** 2)
        else:
            mel = librosa.feature.melspectrogram(y=y, sr=sr, n_mels=128, **FRAMES)
            librosa.power_to_db(mel)


def run_writer(folder: Path) -> None:
    """Run the command with two workers, and say what CPU this process took without them."""
    import resource

    from sertool.commands import featurize
    from sertool.core.options import RunOptions
    from sertool.features.spec import FeaturizeSpec

    def used() -> float:
        found = resource.getrusage(resource.RUSAGE_SELF)
        return found.ru_utime + found.ru_stime

    options = featurize.FeaturizeOptions(FeaturizeSpec("mel", FRAMES), workers=2)
    output, run = folder.with_name("out4.h5"), RunOptions(force=True)
    featurize.featurize(str(min(folder.iterdir())), output, options, run)  # all is imported by then
    before = used()
    featurize.featurize(str(folder), output, options, run)
    print(OWN, used() - before)


def run_features(folder: Path, kind: str) -> None:
    """Decode, hash, fingerprint and compute as a worker of sertool does."""
    from sertool.features.stage import Stage

    spec = Stage(kind, dict(SETTINGS[kind]), sample_rate=RATE)
    for path in sorted(folder.iterdir()):
        decoded = spec.load(path, fingerprinted=True)
        spec.extract(decoded.samples, decoded.sample_rate)


def run_floor(folder: Path) -> None:
    """Decode and transform, 128 frames at a time, and nothing else."""
    import numpy as np
    import soundfile
    from scipy import fft

    block = np.empty((128, N_FFT), np.float32)
    for path in sorted(folder.iterdir()):
        samples = soundfile.read(path, dtype="int16")[0]
        frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
        for first in range(0, len(frames), len(block)):
            part = frames[first : first + len(block)]
            block[: len(part)] = part
            fft.rfft(block[: len(part)])


def run_voice(folder: Path) -> None:
    """Compute the functionals of kind `voice`."""
    from sertool.features.voice.kind import Settings, compute

    for samples, rate in decoded(folder):
        compute(samples, rate, Settings())


def run_compare(folder: Path) -> None:
    """Compute openSMILE's ComParE functionals."""
    from sertool.features.functionals import Settings, compute

    for samples, rate in decoded(folder):
        compute(samples, rate, Settings("ComParE_2016"))


def run_decoding(folder: Path) -> None:
    """Decode and hash, and nothing else."""
    for _ in decoded(folder):
        pass


def run_fingerprint(folder: Path) -> None:
    """Decode, hash and fingerprint."""
    for _ in decoded(folder, fingerprinted=True):
        pass


def decoded(folder: Path, fingerprinted: bool = False) -> Iterator[tuple[np.ndarray, int]]:
    """Yield every file's samples and rate."""
    from sertool.audio import decoding as audio

    for path in sorted(folder.iterdir()):
        found = audio.decode(path, fingerprinted=fingerprinted)
        yield found.samples, found.sample_rate


CHILDREN: dict[str, Callable[..., None]] = {
    "writer": run_writer,
    "features": run_features,
    "librosa": run_librosa,
    "floor": run_floor,
    "voice": run_voice,
    "ComParE": run_compare,
    "decoding": run_decoding,
    "fingerprint": run_fingerprint,
}


def measure(
    jobs: dict[str, list[str]], one: Path, many: Path, rounds: int
) -> tuple[dict[str, list[Run]], dict[str, list[Run]]]:
    """Return each job's runs on the single file and on all files, taken in turn."""
    starts: dict[str, list[Run]] = {name: [] for name in jobs}
    runs: dict[str, list[Run]] = {name: [] for name in jobs}
    order = list(jobs)
    for number in range(rounds):
        for name in order:
            starts[name].append(run(jobs[name], one))
            runs[name].append(run(jobs[name], many))
            took = runs[name][-1]
            say(f"round {number + 1}: {name}: {took.cpu:.2f} s CPU, {took.wall:.2f} s wall")
        order = order[1:] + order[:1]  # so that no job always follows the same one
    return starts, runs


def run(command: list[str], folder: Path) -> Run:
    """Run one job to its end; stops the benchmark where the job fails."""
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in THREADS}
    places = {"FOLDER": str(folder), "FLAC": f"{folder}-flac"}
    line = [places.get(word, word) for word in command]
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(line, env=environment, stdout=told, stderr=told)
        watch = Memory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)  # counts the job's workers as well
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        told.seek(0)
        text = told.read().decode(errors="replace")
        if process.returncode:
            sys.exit(f"{' '.join(line)}\n{text}")
    largest = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    own = text.rpartition(OWN)[2] if OWN in text else usage.ru_utime + usage.ru_stime
    return Run(float(own), wall, max(largest, watch.peak))


class Memory(threading.Thread):
    """Watches the memory of a process and its children together, where /proc tells it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0.0  # MB
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        """Look again and again until stopped."""
        while not self.done.wait(POLL):
            with contextlib.suppress(OSError, ValueError):
                self.peak = max(self.peak, sum(map(proportional, family(self.pid))))

    def stop(self) -> None:
        """Stop looking."""
        self.done.set()
        self.join()


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def proportional(pid: int) -> float:
    """Return the MB of a process, each shared page divided among those that share it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def median_cost(starts: list[Run], runs: list[Run], files: int, what: str) -> float:
    """Return the median ms a file over the rounds, start-up taken off; `what` is cpu or wall."""
    pairs = zip(runs, starts, strict=True)
    return 1e3 * statistics.median((getattr(r, what) - getattr(s, what)) / (files - 1)
                                   for r, s in pairs)  # fmt: skip


def show_pictures(starts: dict[str, list[Run]], runs: dict[str, list[Run]], files: int) -> None:
    """Print what a picture costs beside its mel spectrogram alone, on standard output."""
    cost = {name: median_cost(starts[name], runs[name], files, "cpu") for name in runs}
    print(
        f"image 64 x 64: {cost['image']:.2f} ms CPU a file; mel alone: {cost['mel']:.2f};"
        f" image : mel {cost['image'] / cost['mel']:.2f} (start-up apart, {files} files)"
    )


def show_voice(starts: dict[str, list[Run]], runs: dict[str, list[Run]], files: int) -> None:
    """Print what kind `voice` costs beside openSMILE's set, on standard output."""
    cost = {name: median_cost(starts[name], runs[name], files, "cpu") for name in runs}
    print(
        f"voice: {cost['voice']:.2f} ms CPU a file; openSMILE's ComParE: {cost['ComParE']:.2f};"
        f" voice : ComParE {cost['voice'] / cost['ComParE']:.3f} (decoding, {cost['decoding']:.2f},"
        f" is in both; start-up apart, {files} files)"
    )


def show(
    starts: dict[str, list[Run]], runs: dict[str, list[Run]], files: int
) -> list[measured.Row]:
    """Print the table, and how much two workers gain, on standard output; return the figures."""
    from rich.console import Console
    from rich.table import Table

    def a_file(name: str, what: str) -> float:
        return median_cost(starts[name], runs[name], files, what)

    table = Table(title=f"mel, {N_FFT}/{HOP}, 48 kHz WAV, {files} files, start-up apart")
    table.add_column("job", no_wrap=True)
    columns = ("CPU ms/file", "wall ms/file", "CPU : librosa", "CPU : floor", "peak MB")
    for column in (*columns, "start-up CPU s", "wall s"):
        table.add_column(column, justify="right")
    for name in runs:
        table.add_row(
            name,
            f"{a_file(name, 'cpu'):.2f}",
            f"{a_file(name, 'wall'):.2f}",
            f"{ratio(starts, runs, name, 'librosa'):.2f}",
            f"{ratio(starts, runs, name, 'floor'):.2f}",
            f"{max(r.peak for r in runs[name]):.0f}",
            f"{statistics.median(s.cpu for s in starts[name]):.2f}",
            f"{statistics.median(s.wall for s in starts[name]):.2f}",
        )
    output = Console(width=None if sys.stdout.isatty() else 130)
    output.print(table)
    single, double = "sertool, 1 worker", "sertool, 2 workers"
    gain = a_file(single, "wall") / a_file(double, "wall")
    whole = [statistics.median(r.wall for r in runs[name]) for name in (single, double)]
    ahead = 1 / ratio(starts, runs, double, "librosa", "wall")
    served = a_file(double, "cpu") / a_file("its writer", "cpu") - 1
    output.print(
        f"2 workers: {gain:.2f} times as fast as 1 (with start-up: {whole[0] / whole[1]:.2f}),"
        f" on {os.cpu_count()} cores, and {ahead:.2f} times as fast as librosa, one file after the"
        f" other; one writer serves {served:.0f} workers"
    )

    def row(what: str, job: str, peer: str, beside: str, **bound: Any) -> measured.Row:
        compared = ratio(starts, runs, job, peer)
        return measured.Row(what, a_file(job, "cpu"), "ms CPU", beside, compared, **bound)

    spent = {name: a_file(name, "cpu") for name in runs}
    whole_mel, heard = spent["sertool, no store"], spent["+ fingerprint"]
    written = (
        f"decoding with its SHA-256 takes {spent['decoding'] / whole_mel:.0%}, the fingerprint"
        f" {(heard - spent['decoding']) / whole_mel:.0%}, spectrum, filters, what float32 leaves"
        f" doubtful and decibels {1 - heard / whole_mel:.0%}"
    )
    stored = (
        f"{whole_mel / spent[single]:.0%} is taken before anything is written, the rest by parts"
        " that a killed run resumes from, an SHA-256 and a CRC-32 of each item, and the file"
    )
    shared = f"the cores were shared: two workers were {gain:.2f} times as fast as one"
    floor = "decoding and a real FFT a frame"
    return [
        row("mel, nothing written", "sertool, no store", "floor", floor, at_most=1.5, why=written),
        row("mel, with its store", single, "floor", floor, at_most=2.0, why=stored),
        row("librosa's mel", "librosa", "floor", floor),
        measured.Row("mel, 2 workers", a_file(double, "wall"), "ms wall",
                     "librosa, one file after the other", ahead, at_least=5, why=shared),
        measured.Row("workers that one writer serves", served, "workers", at_least=16,
                     why="beside the items' frames it reads folders, names and columns"),
        row("mfcc, nothing written", "mfcc", "librosa's mfcc", "librosa"),
        row("spectrogram, nothing written", "spectrogram", "librosa's spectrogram", "librosa"),
        row("logpower, nothing written", "logpower", "floor", floor),
        row("image, nothing written", "image", "floor", floor),
        row("mel of FLAC, with its store", "FLAC, 1 worker", "FLAC, decoding", "decoding alone"),
    ]  # fmt: skip


def ratio(
    starts: dict[str, list[Run]], runs: dict[str, list[Run]], job: str, peer: str, what: str = "cpu"
) -> float:
    """Return the median over the rounds of what a job takes beside another of the same round."""

    def spent(name: str) -> list[float]:
        pairs = zip(runs[name], starts[name], strict=True)
        return [getattr(run, what) - getattr(start, what) for run, start in pairs]

    return statistics.median(a / b for a, b in zip(spent(job), spent(peer), strict=True))


if __name__ == "__main__":
    main()
