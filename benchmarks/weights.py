"""Equal weights of a late fusion beside those that other folds would choose.

    python benchmarks/weights.py ravdess.jsonl s0.json voice.json

Of whole reports of `sertool eval --json`, one for each member, all folds pooled. The weights of a
fold are fitted to what the other folds held out. Their models knew this fold's speakers, so fitted
weights are flattered a little: `sertool fuse --inner` is the way to a model, and this the cheap way
to see that it does not pay. search.md says what was learned.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from sertool import metrics
from sertool.evaluation.fused_weights import best_weights


def main(manifest: Path, *reports: Path) -> None:
    """Print UAR and log loss of each member, of equal weights and of fitted ones."""
    rows = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    fold_of = {row["id"]: row["fold"] for row in rows}
    read = [json.loads(path.read_text(encoding="utf-8")) for path in reports]
    classes = read[0]["classes"]
    said = [{item["id"]: item for item in report["items"]} for report in read]
    ids = sorted(said[0])
    truth = np.array([classes.index(said[0][name]["truth"]) for name in ids])
    fold = np.array([fold_of[name] for name in ids])
    shares = np.array(
        [[[one[name]["posterior"][c] for c in classes] for name in ids] for one in said]
    )
    fitted, chosen = np.empty_like(shares[0]), []
    for k in np.unique(fold):
        chosen.append(best_weights(shares[:, fold != k], truth[fold != k]))
        fitted[fold == k] = np.tensordot(chosen[-1], shares[:, fold == k], 1)
    systems = {path.stem: each for path, each in zip(reports, shares, strict=True)}
    systems |= {"equal weights": shares.mean(0), "weights of other folds": fitted}
    for name, posterior in systems.items():
        confusion = metrics.confusion(truth, posterior.argmax(1), len(classes))
        loss = -np.log(np.maximum(posterior[np.arange(len(truth)), truth], 1e-12)).mean()
        print(f"{name:24} UAR {100 * metrics.uar(confusion):5.1f}   log loss {loss:.3f}")
    print("weights by fold", " ".join("/".join(f"{w:.2f}" for w in one) for one in chosen))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
