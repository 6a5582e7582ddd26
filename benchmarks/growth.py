"""Time and memory of every stage on a corpus, and on the same 5 and 20 times under other names.

    python benchmarks/growth.py RAVDESS/ [--times 1 5 20] [--files 1440] [--stage NAME …]

The recordings are converted to 16 kHz WAV once; the copies are hard links in folders of their own.
Each stage runs as a user runs it, with one worker and one thread, on what the stages before it
wrote. Printed are CPU seconds (start-up included), the cost of a further file from the second to
the last size over that from the first to the second (1: time grows linearly; start-up cancels),
the peak memory of the largest process, and by how many kB it grows with every further file.

`train linear` is a model that is fitted whole: a row of statistics an item, in memory. A network's
training keeps as many items as 512 MB hold, to read them once; all others keep columns, `predict`
not even those. The kept figures have the bytes on disk of a file besides, and its mean length.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import measured
from measured import Cost, Row

RATE = 16000
LINEAR = 1.3  # a further file may cost so much more where there are many
LITTLE = 0.1  # ms a file: what costs less is start-up, and is bounded by twice that instead
FLAT = 4.0  # kB a further item: its columns, as they are read and as they are written
WHOLE = 8.0  # where every item's statistics are in memory besides
KEPT = 512.0  # MB of items that a network's training keeps
MODEL = ("--model", "sundharam-cnn", "--epochs", "1", "--no-baselines")
KIND = ("--kind", "mel", "--set", "n_mels=64", "--dtype", "float16")
CROP = ("--offset", "0.5", "--duration", "1.5", "--fit", "both")  # what the network is trained on
FIXED = ("--workers", "1")
NETWORK = "train a network"
ITEMS = {"augment": 2}  # of a file in what is written, where not one
SLOWER = {  # why a further file costs more where there are many
    "train linear": "L-BFGS evaluates the loss 238 times on 1200 items, 709 times on 24000",
    "featurize mel": "open: 0.97 on 480 files; the other core had other work in part",
    "eval": "open: 0.80 on 480 files; the other core had other work in part",
}
WHY = {  # it keeps so much in memory
    "featurize mel": "by the code, all items are held as read and again as written",
    "merge": "by the code, all items are held as read and again as written",
    "eval": "by the code, posteriors are held beside the store's and the checkpoint's columns",
}
DISK = ("m.jsonl", "mel.h5", "copies.h5", "p.jsonl", "r.json")


def stages(folder: Path) -> dict[str, list[object]]:
    """Return the commands that are measured, in order, on the corpus in a folder."""
    manifest, mel, copies = folder / "m.jsonl", folder / "mel.h5", folder / "copies.h5"
    merged, chosen = folder / "merged.h5", folder / "chosen.h5"
    linear, network, report = folder / "l.ckpt", folder / "n.ckpt", folder / "r.json"
    return {
        "prepare": ["prepare", "--split", "speakers:6", folder / "corpus", manifest],
        "featurize mel": ["featurize", *KIND, *FIXED, manifest, mel],
        "augment": ["augment", "--freq-mask", "8:2", *FIXED, mel, copies],
        "select": ["select", "--where", "gender=female", mel, chosen],
        "merge": ["merge", chosen, folder / "others.h5", merged],
        "train linear": ["train", "--model", "linear", "--test-fold", "0", "--no-baselines",
                         mel, linear],
        "train a network": ["train", *MODEL, "--test-fold", "0", folder / "crop.h5", network],
        "eval": ["eval", linear, mel, "--all", "--json", report],
        "predict": ["predict", linear, folder / "corpus", "--output", folder / "p.jsonl", *FIXED],
        "info": ["info", mel],
        "info --audit": ["info", "--audit", chosen, folder / "others.h5"],
        "report": ["report", report],
    }  # fmt: skip


def main() -> None:
    """Make the corpora, run every stage on each, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="RAVDESS, unpacked")
    parser.add_argument("--times", type=int, nargs=3, default=[1, 5, 20], metavar="N")
    parser.add_argument("--files", type=int, default=1440, help="of the corpus (default: all)")
    parser.add_argument("--stage", nargs="+", help="show these alone (the others still run)")
    parser.add_argument("--tmp", type=Path, help="where all files go for the while")
    measured.options(parser)
    given = parser.parse_args()
    files = 240 if given.quick else given.files
    found: dict[int, dict[str, Cost]] = {}
    disk: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-", dir=given.tmp) as name:
        one = Path(name, "wav")
        count, seconds = convert(given.folder, one, files)
        for times in given.times:
            folder = Path(name, "work")
            repeat(one, folder / "corpus", times)
            found[times] = {stage: cost for stage, cost in run(folder)}
            disk = {n: (folder / n).stat().st_size / 1e3 / (count * times) for n in DISK}
            shutil.rmtree(folder)
    rows = show(found, count, given.stage)
    rows.append(Row("mean length of a file", seconds, "s"))
    rows += [Row(f"{name}, of a file", size, "kB") for name, size in disk.items()]
    measured.write(given.json, rows)


def convert(source: Path, folder: Path, files: int) -> tuple[int, float]:
    """Write recordings as 16 kHz WAV under their own names; return how many, their mean seconds."""
    import soundfile

    from sertool.audio import decoding, waveform
    from sertool.core import paths

    every, _ = paths.find_audio(source)
    chosen = every[:: max(1, len(every) // files)][:files]
    total = 0
    for path in chosen:
        target = (folder / path.relative_to(source)).with_suffix(".wav")
        target.parent.mkdir(parents=True, exist_ok=True)
        samples = waveform.to_int16(decoding.decode(path, sample_rate=RATE).samples)
        soundfile.write(target, samples, RATE, "PCM_16")
        total += len(samples)
    return len(chosen), total / RATE / len(chosen)


def repeat(one: Path, corpus: Path, times: int) -> None:
    """Link every recording `times` times, each copy in a folder of its own."""
    for copy in range(times):
        shutil.copytree(one, corpus / f"copy{copy:02}", copy_function=os.link)


def run(folder: Path) -> list[tuple[str, Cost]]:
    """Return what every stage took on a folder's corpus."""
    done = []
    for name, words in stages(folder).items():
        if name == "merge":  # the other half, which costs what the first did
            half = ("--where", "gender=male")
            measured.cost("select", *half, folder / "mel.h5", folder / "others.h5")
        if name == NETWORK:
            measured.cost("featurize", *KIND, *CROP, folder / "m.jsonl", folder / "crop.h5")
        done.append((name, measured.cost(*words)))
        took = done[-1][1]
        print(f"{name}: {took.cpu:.2f} s CPU, {took.peak:.0f} MB", file=sys.stderr, flush=True)
    return done


def show(
    found: dict[int, dict[str, Cost]], count: int, stages: list[str] | None
) -> list[measured.Row]:
    """Print the table; return the figures."""
    few, some, many = sorted(found)
    heads = " | ".join(f"{n} ×: s CPU, MB" for n in found)
    print(f"| stage, {count} files | {heads} | growth of a file's cost | kB a further item |")
    print("| --- |" + " ---: |" * (len(found) + 2))
    rows = []
    for stage in stages or found[few]:
        cost = {n: found[n][stage] for n in found}
        cells = " | ".join(f"{c.cpu:.1f}, {c.peak:.0f}" for c in cost.values())
        early = (cost[some].cpu - cost[few].cpu) / (some - few)
        late = (cost[many].cpu - cost[some].cpu) / (many - some)
        a_file = 1e3 * late / count
        judged = 1e3 * early / count > LITTLE
        ratio = late / early if judged else None
        more = cost[many].peak - cost[few].peak
        kept = 1e3 * more / (count * (many - few) * ITEMS.get(stage, 1))
        print(f"| {stage} | {cells} | {'' if ratio is None else f'{ratio:.2f}'} | {kept:.1f} |")
        what, beside = f"{stage}, of {some} × to {many} ×", f"a file of {few} × to {some} ×"
        most, why = LINEAR if judged else 2 * LITTLE, SLOWER.get(stage, "")
        peer = beside if judged else None
        rows.append(Row(what, a_file, "ms CPU a file", peer, ratio, most, why=why))
        if stage == NETWORK:
            rows.append(Row(f"{stage}, memory beyond {few} ×", more, "MB", at_most=KEPT))
        else:
            most = WHOLE if stage == "train linear" else FLAT
            rows.append(
                Row(
                    f"{stage}, memory of a further item",
                    kept,
                    "kB",
                    at_most=most,
                    why=WHY.get(stage, ""),
                )
            )
    return rows


if __name__ == "__main__":
    main()
