"""A scikit-learn classifier on sertool's features, tested on unseen speakers.

python examples/sklearn_baseline.py [CORPUS]    (default: the demo corpus)
"""

import sys
import tempfile
from pathlib import Path

from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import sertool

DEMO = Path(__file__).parent.parent / "data" / "demo" / "corpus"


def main(corpus: Path, folder: Path) -> float:
    """Return the mean UAR over four folds of speakers, and print each."""
    store = sertool.featurize(corpus, folder / "mfcc.h5", kind="mfcc", n_mfcc=20)
    X, y, groups = store.pooled()  # means and standard deviations over time
    classifier = make_pipeline(StandardScaler(), SVC())
    folds = GroupKFold(4)  # a group is a speaker: none is on both sides
    scores = cross_val_score(classifier, X, y, groups=groups, cv=folds, scoring="balanced_accuracy")
    print(f"{len(X)} utterances of {len(set(groups))} speakers")
    print("UAR of each fold:", *(f"{score:.3f}" for score in scores))
    print(f"mean {scores.mean():.3f}")
    return float(scores.mean())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO, Path(scratch))
