"""An epoch of huang2014 with saliency and orthogonality over one without, and memory of stage one.

    python benchmarks/semi_cnn.py [--items 200] [--rounds 5] [--batch-size 32]

Time: CPU of one thread for whole epochs of the training loop (reading, whitening, kernels, the
objective, backward, a bound on the gradient, AdamW), the paper's sizes, recordings of 2 s, in
float32 and in bfloat16. The objectives take turns, and the medians are shown.

Memory: the largest size of `sertool train` on a store of `--items` recordings and on one of twenty
times as many: principal components, patches (at most 5000 here, so that both have as many),
fragments, one epoch, the network's own logits.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measured
from measured import Row

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

OBJECTIVES = {
    "neither": ["saliency=0", "orthogonality=0"],
    "no_or": ["orthogonality=0"],
    "no_s": ["saliency=0"],
    "whole": [],
    "whole, exact curvature": ["curvature=exact"],
}
CLASSES = 7
FRAMES, DIMS = 199, 161  # of 2 s at 16 kHz, 20 ms every 10
COMMAND = ("train", "--model", "huang2014", "--set", "classifier=logistic", "--quiet")
SHORT = (
    "--set",
    "patch_epochs=1",
    "--set",
    "patches=5000",
    "--epochs",
    "1",
    "--no-baselines",
    "--force",
)


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200, help="recordings (default: 200)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--batch-size", type=int, default=32, help="recordings a step")
    parser.add_argument("--tmp", type=Path, help="where the stores go for the while")
    measured.options(parser)
    options = parser.parse_args()
    if options.quick:
        options.items, options.rounds = 64, 1
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-", dir=options.tmp) as name:
        for count in (options.items, 20 * options.items):
            store = Path(name, f"{count}.h5")
            make(store, count)
            if count == options.items:
                for precision in ("float32", "bfloat16"):
                    rows += speed(store, precision, options.batch_size, options.rounds)
            peak = measured.cost(*COMMAND, *SHORT, store, Path(name, "out.ckpt")).peak
            print(f"{count} recordings: {peak:.0f} MB", flush=True)
            beside = None if count == options.items else "that of a twentieth of them"
            ratio = peak / rows[-1].value if beside else None
            rows.append(Row(f"memory of training on {count} recordings", peak, "MB", beside, ratio))
    measured.write(options.json, rows)


def make(path: Path, n: int) -> None:
    """Write a store of noise whose classes differ a little, without holding it."""
    import numpy as np

    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from made_stores import write_store

    items = [{"id": f"c/{i}", "origin": f"c/{i}", "label": f"k{i % CLASSES}"} for i in range(n)]

    def arrays() -> object:
        for i in range(n):
            random = np.random.default_rng(i)
            noise = random.standard_normal((FRAMES, DIMS)).astype(np.float32)
            noise[:, i % CLASSES] += 1
            yield noise

    write_store(path, arrays(), items, kind="spectrogram")  # type: ignore[arg-type]


def speed(path: Path, precision: str, batch_size: int, rounds: int) -> list[Row]:
    """Return the median CPU time of an epoch of each objective, and its ratio to neither."""
    import torch

    from sertool.formats.store import Store
    from sertool.ui.console import Console

    torch.set_num_threads(1)
    console = Console.silent()
    took: dict[str, list[float]] = {name: [] for name in OBJECTIVES}
    with Store(path) as store:
        epochs = {
            name: prepared(store, sets, precision, batch_size) for name, sets in OBJECTIVES.items()
        }
        for turn in range(1 + rounds):  # the first is not counted
            for name, epoch in epochs.items():
                with console.progress(len(store), name) as progress:
                    begin = time.process_time()
                    epoch(turn, progress)
                    if turn:
                        took[name].append(time.process_time() - begin)
    cost = {name: statistics.median(seconds) for name, seconds in took.items()}
    rows = []
    for name, seconds in cost.items():
        ratio = seconds / cost["neither"]
        print(f"{precision}, {name}: {seconds:.2f} s an epoch ({ratio:.2f} of neither)")
        what, plain = f"an epoch in {precision}, {name}", name == "neither"
        beside = None if plain else "without its own loss"
        rows.append(Row(what, seconds, "s CPU", beside, None if plain else ratio))
    return rows


def prepared(
    store: object, sets: list[str], precision: str, batch_size: int
) -> Callable[[int, object], object]:
    """Return a function that trains a network of its own for one epoch, its first stage made up."""
    import dataclasses

    import torch

    from sertool.core.settings import assignments, make
    from sertool.formats.store import Store
    from sertool.models import statistics as normalising
    from sertool.models.huang2014.model import Huang2014
    from sertool.targets import class_names, make_target
    from sertool.training import loop
    from sertool.training.batches import Source

    assert isinstance(store, Store)
    model = Huang2014(make(Huang2014.Settings, assignments(sets)))
    torch.manual_seed(0)
    network = model.build(None, store.shape, CLASSES)
    network.whiten.matrix.copy_(torch.eye(DIMS)[:, : model.settings.components])  # type: ignore
    network.semi.rescale.mean.fill_(0.5)  # type: ignore
    network.semi.rescale.sd.fill_(0.1)  # type: ignore
    hp = dataclasses.replace(model.defaults(), batch_size=batch_size, precision=precision)
    source = Source(store, model.view, normalising.fit([], hp.normalisation))
    every = list(range(len(store)))
    target = make_target(class_names(store.items(), "label"), every, "label")
    task = loop.Task(model, source, every, [], [target], hp, 0, torch.device("cpu"))
    run = loop.Run(network, loop.make_optimizer(network, task))
    for group in run.optimizer.param_groups:
        group["lr"] = hp.lr
    return lambda epoch, progress: loop.train_epoch(run, task, epoch, progress)  # type: ignore


if __name__ == "__main__":
    main()
