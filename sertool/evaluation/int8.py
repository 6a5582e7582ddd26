"""What a model in 8 bits costs: the same held-out items, by it and by the model in 32 bits."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.evaluation import heldout
from sertool.evaluation.onnx_scoring import OnnxScorer
from sertool.formats.store import Store
from sertool.targets import class_names
from sertool.ui.console import Console

EXAMPLES = 64  # training items of which the ranges are taken


@dataclass(frozen=True)
class Cost:
    """What was measured on `tested` recordings, held out by the checkpoint.

    agree: the share of equal labels. before, after: UAR in 32 and in 8 bits. ci: the interval of
    95 % of their difference, over `clusters` ("24 speakers", or recordings where speakers are few).
    ratio: of the times that they take.
    """

    tested: int
    agree: float
    before: float
    after: float
    ci: tuple[float, float]
    clusters: str
    ratio: float

    def __str__(self) -> str:
        """Return the measurement in one line."""
        low, high = (100 * value for value in self.ci)
        return (
            f"on {self.tested} held-out recordings UAR {100 * self.after:.1f} %, in 32 bits"
            f" {100 * self.before:.1f} %: {100 * (self.after - self.before):+.1f}"
            f" [{low:+.1f}, {high:+.1f}] over {self.clusters}; {100 * self.agree:.1f} % of labels"
            f" the same; {self.ratio:.2f} of the time"
        )


def examples(test: heldout.CheckpointTest, store: Store) -> list[np.ndarray]:
    """Return features of training items, evenly spaced in the store; InputError for none."""
    heldout.check_contract(test, store)
    trained = {item.id for item in test.items if item.part == "train"}
    found = [
        i for i, item in enumerate(store.items()) if item.id in trained and not item.augmentation
    ]
    if not found:
        raise InputError(
            f"{show(store.path)}: has none of the items that {show(test.path)} was trained on,"
            " which --int8 needs"
        )
    places = np.linspace(0, len(found) - 1, min(EXAMPLES, len(found))).round().astype(int)
    return store.batch([found[k] for k in places.tolist()])


def cost(
    before: OnnxScorer, after: OnnxScorer, test: heldout.CheckpointTest, store: Store
) -> Cost | None:
    """Return what 8 bits cost; None where nothing was held out, or for a model of numbers."""
    classes = test.header.classes
    if not classes or not any(item.part == "test" for item in test.items):
        return None
    silent = Console.silent()
    heldout.choose([test], store, classes, every=False, copies=False, console=silent)
    names, items = class_names(store.items(), test.target), store.items()
    chosen = [i for i in test.tested if names[i] is not None]
    seconds = [0.0, 0.0]
    rows: list[list[np.ndarray]] = [[], []]
    for i in chosen:
        array = store.features(i)
        for k, scorer in enumerate((before, after)):  # in turn, so that both have the same luck
            start = time.process_time()
            rows[k].append(scorer.posterior([array])[0])
            seconds[k] += time.process_time() - start
    recordings = [heldout.file_of(items[i]) for i in chosen]
    number = {name: k for k, name in enumerate(dict.fromkeys(recordings))}
    of = np.array([number[name] for name in recordings])
    first = {name: i for name, i in reversed(list(zip(recordings, chosen, strict=True)))}
    truth = np.array([classes.index(str(names[first[name]])) for name in number])
    said = [_labels(np.stack(own), of) for own in rows]
    speakers = [(items[first[name]].corpus, items[first[name]].speaker) for name in number]
    few = len(set(speakers)) < metrics.FEWEST
    clusters = list(number) if few else speakers
    pairs = [metrics.cluster_matrices(truth, one, clusters, len(classes))[1] for one in said]
    whole = [float(metrics.uar(one.sum(0))) for one in pairs]
    drawn = metrics.resample(np.stack(pairs, 1), {"uar": metrics.uar})["uar"]
    return Cost(
        tested=len(number),
        agree=float((said[0] == said[1]).mean()),
        before=whole[0],
        after=whole[1],
        ci=metrics.limits(drawn[:, 1] - drawn[:, 0], 0.95),
        clusters=f"{len(set(clusters))} {'recordings' if few else 'speakers'}",
        ratio=seconds[1] / max(seconds[0], 1e-9),
    )


def _labels(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the likeliest class of each recording (recordings,): of the mean over its items."""
    total = np.zeros((int(of.max()) + 1, rows.shape[1]))
    np.add.at(total, of, rows)
    found: np.ndarray = total.argmax(1)
    return found
