"""Speed of shifting, zooming and flipping pictures next to SciPy, and memory of `sertool augment`.

    python benchmarks/augment.py [--size 64] [--pictures 500] [--rounds 5]

Speed: CPU of one thread for a batch of 64 pictures of three channels; sertool and SciPy's
`affine_transform` (order 1, channel by channel, as Keras calls it) take turns on the same pictures
and draws, and the medians are shown. Drawing: what 64 seeded draws cost, which SciPy needs too.

Memory: the largest size of the whole command with one worker, on a store of `--pictures` pictures,
with 2 and with 20 copies of each, and on the first tenth of them with 20.
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
from typing import TYPE_CHECKING

import measured
from measured import Row

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    import numpy as np

    from sertool.augmentations.image import Map

BATCH = 64
STEPS = {"shift": [0.1], "zoom": [0.1], "flip": []}
COMMAND = ("augment", "--shift", "0.1", "--zoom", "0.1", "--flip", "--workers", "1", "--quiet")


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="height and width (default: 64)")
    parser.add_argument("--pictures", type=int, default=500, help="of the store (default: 500)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each job runs")
    parser.add_argument("--tmp", type=Path, help="where the stores go for the while")
    measured.options(parser)
    options = parser.parse_args()
    rows = speed(options.size, 2 if options.quick else options.rounds)
    with tempfile.TemporaryDirectory(prefix="sertool-benchmark-", dir=options.tmp) as name:
        tenth, whole = max(1, options.pictures // 10), options.pictures
        for count, copies in [(tenth, 20), (whole, 2), (whole, 20)]:
            store, output = Path(name, f"{count}.h5"), Path(name, "out.h5")
            if not store.exists():
                make(store, options.size, count)
            took = measured.cost(*COMMAND, "--copies", copies, store, output)
            what = f"{count} pictures, {copies} copies of each"
            print(f"{what}: {took.peak:.0f} MB, {took.cpu:.1f} s CPU")
            beside = f"that of {rows[-1].what}" if rows[-1].unit == "MB" else None
            ratio = took.peak / rows[-1].value if beside else None
            rows.append(Row(what, took.peak, "MB", beside, ratio))
            output.unlink()
    measured.write(options.json, rows)


def make(path: Path, size: int, count: int) -> None:
    """Write a store of noise."""
    import numpy as np

    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from made_stores import write_store

    random = np.random.default_rng(0)
    arrays = [random.integers(0, 256, (1, size, size, 3), dtype=np.uint8) for _ in range(count)]
    write_store(path, arrays, [{"id": f"c/{i}"} for i in range(count)], kind="image")


def speed(size: int, rounds: int) -> list[Row]:
    """Print and return what a batch costs, and how many pictures a second that is."""
    import numpy as np

    from sertool.augmentations import parts
    from sertool.augmentations.image import draw
    from sertool.augmentations.warping import warp
    from sertool.core.seeds import rng

    shape = (BATCH, size, size, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    made = parts("image", STEPS)

    def drawn() -> list[Map]:
        return [draw(made, rng(0, f"c/{i}", 1))[0] for i in range(BATCH)]

    maps = drawn()
    jobs = {
        "sertool": lambda: warp(pictures, maps),
        "scipy": lambda: scipy_warp(pictures, maps),
        "drawing": drawn,
    }
    apart = np.abs(jobs["sertool"]().astype(int) - jobs["scipy"]()).max()
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            took[name].append(cpu(job))
    costs = {name: statistics.median(times) for name, times in took.items()}
    for name, cost in costs.items():
        rate = f"{BATCH / cost:.0f} pictures a second"
        print(f"{name}: {1e3 * cost:.2f} ms for {BATCH} pictures {size} x {size} x 3, {rate}")
    ratio = costs["sertool"] / costs["scipy"]
    print(f"sertool : scipy {ratio:.3f}; at most {apart} levels apart")
    what = f"{BATCH} pictures of {size} x {size} moved, zoomed and flipped"
    return [Row(what, 1e3 * costs["sertool"], "ms CPU", "SciPy's affine_transform", ratio)]


def cpu(job: Callable[[], object]) -> float:
    """Return the seconds of CPU that a job takes."""
    begin = time.process_time()
    job()
    return time.process_time() - begin


def scipy_warp(pictures: np.ndarray, maps: list[Map]) -> np.ndarray:
    """Return what `warp` does, by SciPy."""
    import numpy as np
    from scipy import ndimage

    out = np.empty_like(pictures)
    size = np.array(pictures.shape[1:3])
    centre = (size - 1) / 2
    for picture, one, into in zip(pictures, maps, out, strict=True):
        offset = centre + np.array(one.shift) * size - np.array(one.scale) * centre
        for channel in range(picture.shape[2]):
            moved = ndimage.affine_transform(
                picture[:, :, channel].astype(np.float32),
                np.diag(one.scale),
                offset,
                order=1,
                mode="nearest",
            )
            into[:, :, channel] = np.rint(moved)
    return out


if __name__ == "__main__":
    main()
