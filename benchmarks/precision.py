"""A training step in bfloat16 over one in float32, for each network: what `--precision auto` knows.

    python benchmarks/precision.py [--model NAME …] [--device cpu] [--rounds 5] [--threads 1]

The items are noise of the sizes that the paper's recipe makes (pictures of 128 points where the
paper has 256). Both precisions train a network of their own, taking turns in one process, a step
of one batch at a time; the first turn is not counted. It prints the medians (a processor's CPU
time, a GPU's time) and the line of `RATIOS` in sertool/models/precision.py.

What bfloat16 costs where a processor lacks its instructions can be seen on one that has them:
ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI python benchmarks/precision.py --kind cpu
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import measured
import numpy as np

if TYPE_CHECKING:
    import torch

    from sertool.formats.store import Store
    from sertool.models import Network

PRECISIONS = ("float32", "bfloat16")
SPEECH, PICTURE, SMALL = (563, 128), (1, 128, 128, 3), (1, 64, 64, 3)
SIZES = {  # of an item, and of a batch where the paper's is more than one core does in seconds
    "sundharam-cnn": (SPEECH, 32),
    "sundharam-bilstm": (SPEECH, 32),
    "sundharam-transformer": (SPEECH, 32),
    "badshah2017": (PICTURE, None),
    "badshah2017-alexnet": (PICTURE, None),
    "fser2021": (SMALL, None),
    "ma2018": ((400, 400), None),
    "ma2018-fixed": ((297, 400), None),
    "huang2014": ((199, 161), None),
    "sertool": ((128, 64), None),
}
SHORTEST = {"ma2018": 0.4}  # whole sentences: of a batch, as a share of the longest
SETTINGS = {"huang2014": {"patch_epochs": 1, "patches": 5000}}  # of its first stage
CLASSES = 7


def main() -> None:
    """Measure the models one after another and print the table's line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=SIZES, default=list(SIZES), metavar="NAME")
    parser.add_argument("--device", default="auto", help="where to compute (default: auto)")
    parser.add_argument("--kind", help="what to call it (default: as sertool does)")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (default: 1)")
    measured.options(parser)
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    import torch

    from sertool.models import device as devices
    from sertool.models import precision

    torch.set_num_threads(options.threads)
    device = devices.choose(options.device)
    devices.prepare(device)
    kind = options.kind or precision.kind(device)
    print(f"{kind}, torch {torch.__version__}, {options.threads} threads, {options.rounds} rounds")
    ratios, rows = {}, []
    for name in options.model:
        took = seconds(name, device, options.rounds)
        ratios[name] = round(took["bfloat16"] / took["float32"], 2)
        told = ", ".join(f"{each} {1000 * s:.0f} ms" for each, s in took.items())
        print(f"{name}: {told}: {ratios[name]}", flush=True)
        what, each = f"a step of {name} in bfloat16, {kind}", 1000 * took["bfloat16"]
        rows.append(measured.Row(what, each, "ms", "float32", ratios[name]))
    measured.write(options.json, rows)
    print(f'    "{kind}": {ratios},'.replace("'", '"'))


def seconds(name: str, device: torch.device, rounds: int) -> dict[str, float]:
    """Return the median seconds of a step of a model in each precision."""
    from sertool.formats.store import Store
    from sertool.ui.console import Console

    shape, size = SIZES[name]
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    console = Console.silent()
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-") as folder:
        path = Path(folder, "noise.h5")
        size = size or defaults(name).defaults().batch_size
        make(path, shape, size, SHORTEST.get(name, 1.0))
        with Store(path) as store:
            steps = {each: prepared(store, name, size, each, device) for each in PRECISIONS}
            took: dict[str, list[float]] = {each: [] for each in PRECISIONS}
            for turn in range(1 + rounds):
                for each, step in steps.items():
                    with console.progress(len(store), name) as progress:
                        begin = clock()
                        step(turn, progress)
                        if turn:
                            took[each].append(clock() - begin)
    return {each: statistics.median(found) for each, found in took.items()}


def defaults(name: str) -> Network:
    """Return a model as its recipe has it, but for a short first stage."""
    from sertool.core.settings import make as settings
    from sertool.models import Network, model

    found = model(name)
    made = found(settings(found.Settings, SETTINGS.get(name, {})))
    assert isinstance(made, Network)
    return made


def make(path: Path, shape: tuple[int, ...], n: int, shortest: float) -> None:
    """Write a store of `n` items of noise: pixels, or features over time, of several lengths."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from made_stores import write_store

    random = np.random.default_rng(0)
    pictures = len(shape) > 2
    lengths = np.linspace(shortest, 1.0, n) * shape[0]
    arrays = [
        random.integers(0, 256, shape, np.uint8)
        if pictures
        else random.standard_normal((round(length), *shape[1:])).astype(np.float32)
        for length in lengths
    ]
    items = [{"id": f"c/{i}", "origin": f"c/{i}", "label": f"k{i % CLASSES}"} for i in range(n)]
    write_store(path, arrays, items, kind="image" if pictures else "mel")


def prepared(
    store: Store, name: str, size: int, precision: str, device: torch.device
) -> Callable[[int, object], object]:
    """Return a function that trains a network of its own for an epoch of one batch."""
    import torch

    from sertool.models import Examples
    from sertool.models import device as devices
    from sertool.models import statistics as normalising
    from sertool.targets import class_names, make_target
    from sertool.training import loop
    from sertool.training.batches import Source

    model = defaults(name)
    hp = dataclasses.replace(  # without weights, which take no time
        model.defaults(),
        batch_size=size,
        precision=precision,
        batch_by="count",
        length_weights="none",
        loss_norm="sum_w",
    )
    source = Source(store, model.view)
    every = list(range(len(store)))
    source.statistics = fitted = normalising.fit(map(source.seen, every), hp.normalisation)
    seen = source.seen(0)
    target = make_target(class_names(store.items(), "label"), every, "label")
    torch.manual_seed(0)
    network = model.build(len(seen) if model.fixed_length else None, seen.shape[1:], target.outputs)
    if model.first_stage_tensors:
        names = tuple(item.id for item in store.items())
        train = Examples(store.lengths(), lambda i: fitted.apply(source.seen(i)), names)
        model.first_stage(network, train, None, 0, lambda note: None)
    task = loop.Task(model, source, every, [], [target], hp, 0, device)
    devices.place(network, device)
    run = loop.Run(network, loop.make_optimizer(network, task))
    for group in run.optimizer.param_groups:
        group["lr"] = hp.lr * 1e-3  # noise is nothing to learn, and must not end in infinity
    return lambda epoch, progress: loop.train_epoch(run, task, epoch, progress)  # type: ignore[arg-type]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
