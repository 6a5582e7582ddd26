"""`make load`: time and memory of every stage on far more than is usual, of everything that grows.

    python benchmarks/load.py [--part NAME …] [--json FILE] [--tmp FOLDER]

    files     many short recordings: links to those of the demo corpus under other names
    long      one recording of many hours: the demo corpus over and over, FLAC at 8 kHz
    classes   a corpus of many classes, five recordings each, through every stage
    lines     a manifest of many cuts of these, and one per cent of it featurized
    weights   a network of many parameters, trained on many pictures
    stream    many hours of sound through `predict --stream`, and its memory after each

Each part runs at three sizes, each much larger than the last; `--quick` is the first alone. Stages
run as a user runs them, with one worker and one thread; printed and kept are seconds of CPU and
wall time with start-up, and the peak memory of the largest process. Every stage but `train` keeps
below `LIMIT`, and `train` of the network of many parameters below five times these and 1 GB: the
system gives its processes no more. FILE keeps the rows of what did not run now.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import measured
import numpy as np
from latency import BOX, CORPUS, Streamed, speech
from measured import Row

LIMIT = 1500.0  # MB of a stage that is not `train`
CREEP = 1.0  # MB that a day of a stream may add
SIZES = {
    "files": (1_000, 10_000, 100_000),
    "long": (1, 6, 24),
    "classes": (20, 200, 2_000),
    "lines": (10_000, 100_000, 1_000_000),
    "weights": (384, 768),
    "stream": (6, 24, 168),
}
UNITS = {"files": "files", "long": "h", "classes": "classes", "lines": "lines",
         "weights": "pictures", "stream": "h"}  # fmt: skip
ALEXNET = "badshah2017-alexnet"
WEIGHTS = 57_020_228 * 4e-6  # MB of its parameters, for the four classes of the demo corpus
RATE = 8000  # Hz of the long recording and of the stream: what a telephone has
MEL = ("--kind", "mel", "--set", "n_mels=32", "--dtype", "float16", "--workers", "1")
BARE = ("--no-baselines", "--test-fold", "0")
SPEAKERS = 5  # of the corpus of many classes, each of whom says every class once
A_WINDOW, A_MINUTE = 2.0, 60.0  # seconds
A_DAY = 24  # hours of stream that the model in the box hears; a longer one is for a smaller model
MARKS = (1, 6, 24, 72)  # hours of a stream after which its figures are kept
A_CUT = 0.0001  # seconds from the beginning of one cut of a recording to that of the next
Steps = Iterator[tuple[str, Sequence[object]]]


def files(folder: Path, size: int) -> Steps:
    """Yield the stages for many short recordings."""
    sources = sorted(CORPUS.rglob("*.flac"))
    for k in range(size):
        copy, which = divmod(k, len(sources))
        target = folder / "corpus" / f"copy{copy:04}" / sources[which].relative_to(CORPUS)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources[which], target)
    corpus, manifest, store = folder / "corpus", folder / "m.jsonl", folder / "f.h5"
    model, report = folder / "m.ckpt", folder / "r.json"
    yield "prepare", ["prepare", "--split", "speakers:6", corpus, manifest]
    yield "featurize", ["featurize", *MEL, manifest, store]
    yield "info STORE", ["info", store]
    yield "train linear", ["train", *BARE, store, model]
    yield "eval", ["eval", model, store, "--all", "--json", report]
    yield "report", ["report", report]
    yield "predict", ["predict", model, corpus, "-o", folder / "p.jsonl", "--workers", "1"]


def long(folder: Path, size: int) -> Steps:
    """Yield the stages for a recording of `size` hours."""
    import soundfile

    recording, part = folder / "long.flac", speech(600.0, RATE)
    with soundfile.SoundFile(recording, "w", RATE, 1, "PCM_16") as file:
        for _ in range(6 * size):
            file.write(part)
    rows = folder / "rows.jsonl"
    yield "predict", ["predict", BOX / "box.ckpt", recording, "-o", rows]
    yield "predict --segments", ["predict", BOX / "box.ckpt", recording, "-o", rows,
                                 "--segments", "--force"]  # fmt: skip
    store = folder / "f.h5"
    yield "featurize --segment 3", ["featurize", *MEL, "--segment", "3", recording, store]
    yield "featurize", ["featurize", *MEL, recording, store, "--force"]


def classes(folder: Path, size: int) -> Steps:
    """Yield every stage for a corpus of many classes."""
    table, manifest, store = folder / "t.csv", folder / "m.jsonl", folder / "f.h5"
    page, figures, report = folder / "page.html", folder / "figures", folder / "r.json"
    sources = sorted(CORPUS.rglob("*.flac"))
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "speaker"))
        for k in range(SPEAKERS * size):
            speaker, label = divmod(k, size)
            os.link(sources[k % len(sources)], folder / f"{speaker}-{label:05}.flac")
            writer.writerow((f"{speaker}-{label:05}.flac", f"class{label:05}", speaker))
    yield "prepare", ["prepare", "--split", f"kfold:{SPEAKERS}", table, manifest]
    yield "info MANIFEST", ["info", manifest]
    yield "featurize", ["featurize", *MEL, manifest, store]
    yield "info STORE", ["info", store]
    network = ("sertool", "--epochs", "1")
    for name, words in ("linear", ("linear",)), ("logistic", ("logistic",)), ("network", network):
        checkpoint = folder / f"{name}.ckpt"
        yield f"train {name}", ["train", *BARE, "--model", *words, store, checkpoint]
    model = folder / "linear.ckpt"
    yield "info CHECKPOINT", ["info", model]
    yield "eval", ["eval", model, store, "--json", report]
    yield "eval, network", ["eval", folder / "network.ckpt", store]
    yield "eval --figures", ["eval", model, store, "--figures", figures]
    yield "eval --html", ["eval", model, store, "--html", page]
    yield "info REPORT", ["info", report]
    yield "report", ["report", report]
    yield "report --html", ["report", report, "--html", page, "--force"]
    few = [folder / f"0-{label:05}.flac" for label in range(20)]
    rows = folder / "p.jsonl"
    yield "predict, 20 files", ["predict", model, *few, "-o", rows, "--workers", "1"]


def lines(folder: Path, size: int) -> Steps:
    """Yield the stages for a manifest of many lines."""
    one, many, chosen = (folder / f"{name}.jsonl" for name in ("one", "many", "chosen"))
    measured.cost("prepare", CORPUS, one)
    known = [json.loads(line) for line in one.read_text("utf-8").splitlines()]
    drawn = set(random.Random(0).sample(range(size), size // 100))
    with many.open("w", encoding="utf-8") as file, chosen.open("w", encoding="utf-8") as few:
        for k in range(size):
            item = known[k % len(known)]
            cut = {"start": k // len(known) * A_CUT, "end": k // len(known) * A_CUT + 0.3}
            own = {
                "id": f"{item['id']}-{k}",
                "speaker": f"{item['speaker']}-{k // len(known) % 100}",
            }
            line = json.dumps(item | own | cut) + "\n"
            file.write(line)
            if k in drawn:
                few.write(line)
    yield "prepare", ["prepare", "--split", "speakers:6", many, folder / "m.jsonl"]
    yield "info MANIFEST", ["info", folder / "m.jsonl"]
    yield "featurize, 1 % of it", ["featurize", *MEL, chosen, folder / "f.h5"]


def weights(folder: Path, size: int) -> Steps:
    """Yield the training of a network of many parameters."""
    store, many = folder / "i.h5", folder / "many.h5"
    image = ("--kind", "image", "--set", "height=227", "--set", "width=227")
    measured.cost("featurize", *image, CORPUS, store)
    if copies := size // len(list(CORPUS.rglob("*.flac"))) - 1:
        measured.cost("augment", "--shift", "0.1", "--copies", copies, store, many)
    parts = ("--resplit", "random:80:20", "--val", "0.2", "--epochs", "1")
    words = ["train", "--no-baselines", "--model", ALEXNET, *parts]
    yield f"train {ALEXNET}", [*words, many if copies else store, folder / "m.ckpt"]


def streamed(model: Path, name: str, size: int) -> list[Row]:
    """Return the rows of `size` hours through a pipe; print the memory as it goes.

    The sound comes as fast as it is heard, a minute at a time.
    """
    sound = speech(3600.0, RATE).reshape(-1, round(A_MINUTE * RATE))
    process = Streamed(model, RATE, A_WINDOW)
    rows, used = [], []
    for hour in range(1, size + 1):
        for minute in sound:
            process.write(minute)
            for _ in range(round(A_MINUTE / A_WINDOW)):
                process.answer()
        used.append(process.memory())
        if hour in MARKS or hour == size:
            took = process.spent()[0] / 1e3
            what = f"stream, {hour} h: {name}"
            print(f"{what}: {took:.1f} s CPU, {used[-1]:.2f} MB", file=sys.stderr, flush=True)
            rows += [
                Row(what, took, "s CPU"),
                Row(f"{what}, memory", max(used), "MB", at_most=LIMIT),
                Row(f"{what}, sound in CPU time", 3600 * hour / took, "times"),
            ]
    process.close()
    if size >= 24:  # the slope of the hours behind the first six, in which it warms up
        slope = float(np.polyfit(np.arange(6, size), used[6:], 1)[0])
        rows.append(Row(f"{what}, added by a day", 24 * slope, "MB", at_most=CREEP))
    return rows


def stream(size: int, folder: Path) -> list[Row]:
    """Return the rows of a stream: to the model in the box; a longer one to a smaller model."""
    if size <= A_DAY:
        return streamed(BOX / "box.ckpt", "predict --stream", size)
    store, model = folder / "f.h5", folder / "m.ckpt"
    measured.cost("featurize", *MEL, "--sample-rate", RATE, CORPUS, store)
    measured.cost("train", "--no-baselines", "--model", "linear", store, model)
    return streamed(model, "predict --stream, 32 mel bands, linear", size)


STAGES: dict[str, Callable[[Path, int], Steps]] = {
    "files": files,
    "long": long,
    "classes": classes,
    "lines": lines,
    "weights": weights,
}


def run(part: str, size: int, tmp: Path | None) -> list[Row]:
    """Return what every stage of a part took at a size."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sertool-load-", dir=tmp) as name:
        if part == "stream":
            return stream(size, Path(name))
        for stage, words in STAGES[part](Path(name), size):
            most = None if stage.startswith("train") else LIMIT
            most = 5 * WEIGHTS + 1000 if ALEXNET in stage else most
            took = measured.cost(*words, data=most or 0)
            what = f"{part}, {size:,} {UNITS[part]}: {stage}"
            print(
                f"{what}: {took.cpu:.1f} s CPU, {took.wall:.1f} s, {took.peak:.0f} MB",
                file=sys.stderr,
                flush=True,
            )
            rows.append(Row(what, took.cpu, "s CPU"))
            rows.append(Row(f"{what}, memory", took.peak, "MB", at_most=most))
    return rows


def main() -> None:
    """Run the parts that are asked for; keep their figures after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--size", type=int, nargs="+", help="instead of the part's own sizes")
    parser.add_argument("--tmp", type=Path, help="where all files go for the while")
    measured.options(parser)
    given = parser.parse_args()
    for part in given.part:
        rows: list[Row] = []
        for size in given.size or SIZES[part][: 1 if given.quick else None]:
            rows += run(part, size, given.tmp)
            measured.write(given.json, rows, add=True)


if __name__ == "__main__":
    main()
