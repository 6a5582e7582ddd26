"""Predictions for a folder, and a test on a store, beside the loops that one writes by hand.

    python benchmarks/predict.py FOLDER [--model NAME …] [--files 1440] [--rounds 3]

FOLDER: recordings of 48 kHz, RAVDESS's say; they are heard, and their copies as WAV. Three models
are trained for an epoch: `sundharam-cnn` (mel of 128 bands, windows of 3 s, which overlap),
`sertool` (mel of 64 bands at 16 kHz, five views), and `linear` on that mel. *loop* is a process
that hears one recording after the other with librosa and torch on one thread, from the same
weights; its posteriors must be within TOLERANCE of sertool's. It looks for no speech: `--vad off`
is the same work, and the rows without that what a user gets. In each round all take turns. CPU is
the median, wall time, which other work on the machine lengthens, the least of the rounds; both with
start-up, and for as many recordings as RAVDESS has: from what one takes, and what all files take.
What `--json` keeps is by CPU, of which two busy cores do two seconds in one: a bound of wall time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from measured import SMALL, THREADS, Cost, Row, cost, options, write

RAVDESS = 1440  # recordings
TOLERANCE = 2e-3  # librosa computes in float32 what sertool rounds otherwise, and clips apart
TARGET = 4  # times the loop's speed, on two cores
SECONDS, RATE = 3, 48000  # of a window of sundharam-cnn, and Hz
MEL = ["--kind", "mel", "--set", "n_fft=1024", "--set", "hop_length=256"]
LOW = ["--sample-rate", 16000, *MEL, "--set", "n_mels=64", "--set", "top_db=none"]
FEATURES = {
    "sundharam-cnn": [*MEL, "--set", "window=hamming", "--set", "ref=max", "--duration", SECONDS],
    "sertool": LOW,
    "linear": LOW,
}
Job = Callable[[Path, Path], Cost]  # of a list of recordings, and the file of the answers
JOBS = ("-j 1", "-j 2", "-j 2 --vad off")
WHY = (
    "profile: the network's own arithmetic, which is the same in the loop, is most of what is left;"
    " two cores at most halve it"
)
FEW = "open: not profiled; without a search for speech the ratio is higher"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of recordings")
    parser.add_argument("--model", nargs="+", choices=FEATURES, default=list(FEATURES))
    parser.add_argument("--files", type=int, default=RAVDESS, help="recordings (default: 1440)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    options(parser)
    given = parser.parse_args()
    if given.quick:
        given.files, given.rounds = min(given.files, 120), 2
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-") as name:
        folder = Path(name)
        flac = sorted(
            path for path in given.folder.rglob("*.*") if path.suffix in (".flac", ".wav")
        )
        flac = flac[:: max(1, len(flac) // given.files)][: given.files]
        wav = list(copies(flac, folder / "wav"))
        for model in given.model:
            checkpoint = trained(model, flac[::2], folder)
            rows += predictions(model, checkpoint, wav, "WAV", given.rounds, folder)
            if model == given.model[0]:
                rows += predictions(model, checkpoint, flac, "FLAC", given.rounds, folder)
                rows += tested(model, checkpoint, flac, given.rounds, folder)
    write(given.json, rows)


def copies(paths: list[Path], folder: Path) -> Iterator[Path]:
    """Yield copies of recordings as WAV."""
    import soundfile

    folder.mkdir()
    for number, path in enumerate(paths):
        samples, rate = soundfile.read(path, dtype="int16")
        copy = folder / f"{number:05d}.wav"
        soundfile.write(copy, samples, rate)
        yield copy


def sertool(*words: object, given: str | None = None) -> None:
    """Run a stage."""
    line = [sys.executable, "-m", "sertool", *map(str, words), "--quiet", "--force"]
    subprocess.run(line, check=True, input=given, text=True, env=os.environ | THREADS)


def featurized(model: str, paths: list[Path], store: Path) -> Path:
    """Return a store of the features that a model takes."""
    manifest = store.with_suffix(".jsonl")
    rows = [{"id": f"c/{i}", "path": str(p), "label": f"k{i % 8}"} for i, p in enumerate(paths)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sertool("featurize", *FEATURES[model], manifest, store)
    return store


def trained(model: str, paths: list[Path], folder: Path) -> Path:
    """Return a checkpoint: of some epoch, for it is not asked whether it is right."""
    store = featurized(model, paths[:40], folder / f"{model}.h5")
    checkpoint = folder / f"{model}.ckpt"
    epochs = [] if model == "linear" else ["--epochs", 1]
    sertool("train", "--model", model, *epochs, "--no-baselines", store, checkpoint)
    return checkpoint


def plain(kind: str, checkpoint: Path, given: Path, output: Path) -> Cost:
    """Run the loop of one's own in a process of its own; return what it took."""
    line = [sys.executable, "-S", "-c", SMALL, sys.executable, __file__]
    words = [f"plain-{kind}", checkpoint, given, output]
    done = subprocess.run([*line, *map(str, words)], capture_output=True, text=True,
                          env=os.environ | THREADS)  # fmt: skip
    code, cpu, wall, most = json.loads(done.stdout)
    if code:
        sys.exit(done.stderr)
    return Cost(cpu, wall, most / 1024)


def predictions(
    model: str, checkpoint: Path, paths: list[Path], form: str, rounds: int, folder: Path
) -> list[Row]:
    """Measure `predict` and the loop on recordings; print and return rows."""

    def ours(job: str, listed: Path, output: Path) -> Cost:
        given = listed.read_text().split("\n")
        return cost("predict", checkpoint, *given, *job.split(), "--force", "-o", output)

    jobs: dict[str, Job] = {job: partial(ours, job) for job in JOBS}
    jobs["loop"] = partial(plain, model, checkpoint)
    found = in_turn(jobs, paths, rounds, folder)
    away = apart(folder / "loop.jsonl", folder / "-j 2 --vad off.jsonl")
    print(f"{model}, {form}: posteriors differ by {away:.1e} from the loop's")
    if away > TOLERANCE:
        sys.exit("that is another model")
    return rows_of(f"predict, {model}, {form}", found, TARGET if form == "WAV" else None)


def tested(model: str, checkpoint: Path, paths: list[Path], rounds: int, folder: Path) -> list[Row]:
    """Measure `eval` of a store and the loop over it; print and return rows."""
    stores = {n: featurized(model, paths[:n], folder / f"s{n}.h5") for n in (1, len(paths))}

    def store(listed: Path) -> Path:
        return stores[1 if listed.name == "one" else len(paths)]

    def ours(job: str, listed: Path, output: Path) -> Cost:
        words = ["--all", *job.split(), "--summary", "--force", "--json", output]
        return cost("eval", *words, checkpoint, store(listed))

    def loop(listed: Path, output: Path) -> Cost:
        return plain("eval", checkpoint, store(listed), output)

    jobs: dict[str, Job] = {"loop": loop} | {job: partial(ours, job) for job in JOBS[:2]}
    return rows_of(f"eval, {model}", in_turn(jobs, paths, rounds, folder), None)


def in_turn(jobs: dict[str, Job], paths: list[Path], rounds: int, folder: Path) -> dict[str, Cost]:
    """Return what each job takes for as many recordings as RAVDESS has."""
    one, every = folder / "one", folder / "every"
    one.write_text(str(paths[0]))
    every.write_text("\n".join(map(str, paths)))
    took: dict[str, list[tuple[Cost, Cost]]] = {job: [] for job in jobs}
    for _ in range(rounds):
        for job, run in jobs.items():
            begin = run(one, folder / "begin.jsonl")
            took[job].append((begin, run(every, folder / f"{job}.jsonl")))
    more = (RAVDESS - 1) / (len(paths) - 1)
    return {
        job: Cost(
            statistics.median(a.cpu + more * (b.cpu - a.cpu) for a, b in pairs),
            min(a.wall for a, _ in pairs)
            + more * (min(b.wall for _, b in pairs) - min(a.wall for a, _ in pairs)),
            max(b.peak for _, b in pairs),
        )
        for job, pairs in took.items()
    }


def rows_of(what: str, found: dict[str, Cost], target: float | None) -> list[Row]:
    """Print what jobs took beside the loop, and return it as rows."""
    loop, rows = found["loop"], []
    print(f"| {what} | CPU s | wall s | loop's CPU over it | loop's wall time over it | peak MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for job, took in found.items():
        cpu, wall = loop.cpu / took.cpu, loop.wall / took.wall
        print(
            f"| {job} | {took.cpu:.1f} | {took.wall:.1f} | {cpu:.2f} | {wall:.2f}"
            f" | {took.peak:.0f} |"
        )
        if job == "loop":
            continue
        bound = target if job == "-j 2" else None
        short = bound is not None and 2 * cpu < bound
        why = FEW if "linear" in what else WHY
        rows.append(
            Row(f"{what}: {job}", took.cpu, "s CPU", "the loop's speed, were two cores kept busy",
                2 * cpu if "2" in job else cpu, at_least=bound, why=why if short else "")
        )  # fmt: skip
    sys.stdout.flush()
    return rows


def apart(loop: Path, ours: Path) -> float:
    """Return by how much posteriors differ at most."""
    theirs = json.loads(loop.read_text())
    rows = [json.loads(line)["posterior"] for line in ours.read_text().splitlines()]
    return float(np.abs(np.array([list(row.values()) for row in rows]) - theirs).max())


def by_hand(kind: str, checkpoint: Path, given: Path, output: Path) -> None:
    """Be the loop: one recording, or item of a store, after the other; write posteriors."""
    if kind == "plain-eval":
        answers = over_store(checkpoint, given)
    else:
        answers = over_files(kind.removeprefix("plain-"), checkpoint, given.read_text().split("\n"))
    output.write_text(json.dumps([answer.tolist() for answer in answers]))


def over_store(checkpoint: Path, path: Path) -> Iterator[np.ndarray]:
    """Yield posteriors of the items of a store."""
    import h5py

    score = network(checkpoint)
    with h5py.File(path) as file:
        offsets, features = file["offsets"][:], file["features"]
        for first, last in itertools.pairwise(offsets):
            yield score(features[first:last])


def over_files(model: str, checkpoint: Path, paths: list[str]) -> Iterator[np.ndarray]:
    """Yield posteriors of recordings."""
    import librosa

    if model == "sundharam-cnn":
        score, length = network(checkpoint), SECONDS * RATE
        for path in paths:
            samples, rate = librosa.load(path, sr=RATE)
            starts = [*range(0, max(1, len(samples) - length + 1), length // 2)]
            if starts[-1] + length < len(samples):
                starts.append(len(samples) - length)
            found = []
            for start in starts:
                part = librosa.util.fix_length(samples[start : start + length], size=length)
                power = librosa.feature.melspectrogram(
                    y=part, sr=rate, n_fft=1024, hop_length=256, n_mels=128, window="hamming"
                )
                found.append(score(librosa.power_to_db(power, ref=np.max).T))
            yield np.mean(found, 0)
        return
    score = linear(checkpoint) if model == "linear" else views(checkpoint)
    for path in paths:
        samples, rate = librosa.load(path, sr=16000)
        power = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=1024, hop_length=256, n_mels=64
        )
        yield score(librosa.power_to_db(power, top_db=None).T)


def network(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what computes a network's posterior of features (frames, bands), one by one."""
    import torch

    from sertool.formats.checkpoint import load
    from sertool.models.scoring import NetworkScorer, Scorer

    torch.set_num_threads(1)
    made = Scorer.of(load(checkpoint))
    assert isinstance(made, NetworkScorer)
    module = made._module().eval()  # as torch lays it out
    mean, sd = (made.checkpoint.tensors[f"statistics.{name}"] for name in ("mean", "sd"))
    classes = len(made.classes)

    def score(features: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(((features - mean) / sd).astype(np.float32))[None]
        with torch.inference_mode():
            logits = module(x, torch.tensor([x.shape[1]]))[0, :classes]
        found: np.ndarray = logits.double().softmax(0).numpy()
        return found

    return score


def views(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what averages the house model's posteriors over its views."""
    from sertool.models.house import House

    score, model = network(checkpoint), House()

    def averaged(features: np.ndarray) -> np.ndarray:
        view = model.view(features)
        found: np.ndarray = np.mean([score(v) for v in (view, *model.further_views(view))], 0)
        return found

    return averaged


def linear(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what computes the posterior of the means and deviations of features."""
    from sertool.formats.checkpoint import load

    tensors = load(checkpoint).subset("model")

    def score(features: np.ndarray) -> np.ndarray:
        row = np.concatenate([features.mean(0), features.std(0)]).astype(np.float64)
        z = (row - tensors["mean"]) / tensors["sd"]
        logits = tensors["coef"] @ z + tensors["intercept"]
        shares: np.ndarray = np.exp(logits - logits.max())
        return shares / shares.sum()

    return score


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("plain-"):
        by_hand(sys.argv[1], *map(Path, sys.argv[2:]))
    else:
        main()
