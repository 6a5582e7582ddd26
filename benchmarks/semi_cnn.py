"""Time of a training step of semi-CNN with saliency and orthogonality, over the same without.

    python benchmarks/semi_cnn.py [--batch-size 256] [--maps 60] [--rounds 5] [--finetune-kernels]

On one thread, the paper's sizes and random fragments: forward, the objective, backward, a bound
on the gradient, Adam. The kinds of step take turns, and the medians of their CPU time are shown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

for _name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

OBJECTIVES = {
    "neither": {"saliency": 0.0, "orthogonality": 0.0},
    "no_or": {"orthogonality": 0.0},
    "no_s": {"saliency": 0.0},
    "whole": {},
    "whole, exact curvature": {"curvature": "exact"},
}
CLASSES = 7
WARM_UP = (
    2  # steps at the start of a turn that are not counted: another's weights are in the caches
)
COUNTED = 8  # steps of a turn that are


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=256, help="fragments (default: 256)")
    parser.add_argument("--maps", type=int, default=60, help="kernels of a size (default: 60)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--finetune-kernels", action="store_true", help="train them, too")
    options = parser.parse_args()
    steps = {name: make_step(kind, options) for name, kind in OBJECTIVES.items()}
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            for number in range(WARM_UP + COUNTED):
                begin = time.process_time()
                step()
                if number >= WARM_UP:
                    took[name].append(time.process_time() - begin)
    cost = {name: statistics.median(seconds) for name, seconds in took.items()}
    for name, seconds in cost.items():
        ratio = seconds / cost["neither"]
        print(f"{name}: {1e3 * seconds:.1f} ms a step ({ratio:.2f} of neither)")


def make_step(kind: dict[str, float | str], options: argparse.Namespace) -> Callable[[], None]:
    """Return a function that trains a network of its own for one step."""
    import torch

    from sertool.models.semi_cnn import SemiCnn, Sizes
    from sertool.models.semi_cnn_loss import Objective, objective

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = SemiCnn(CLASSES, Sizes(maps=options.maps), options.finetune_kernels)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, weight_decay=1e-3)
    x = 0.1 + 0.8 * torch.rand(options.batch_size, 15, 60)
    labels = torch.randint(CLASSES, (options.batch_size,))
    settings = Objective(**kind)  # type: ignore[arg-type]

    def step() -> None:
        terms = objective(network(x), network.matrices(), labels, settings)
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
