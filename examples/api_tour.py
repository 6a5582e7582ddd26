"""The stages one after the other, from a folder of recordings to tested predictions.

python examples/api_tour.py [CORPUS]    (default: the demo corpus)
"""

import sys
import tempfile
from pathlib import Path

import sertool

DEMO = Path(__file__).parent.parent / "data" / "demo" / "corpus"


def main(corpus: Path, folder: Path) -> None:
    """Show every stage on the recordings of `corpus`; files go to `folder`."""
    manifest = sertool.prepare(corpus, split="speakers:4")
    print(f"{len(manifest)} utterances, the first:\n  {manifest[0]}")

    store = sertool.featurize(manifest, folder / "mel.h5", kind="mel", n_mels=40)
    features, item = store[0]
    print(f"{store}\n  {item.id} has features of shape {features.shape}")

    shared = sertool.audit(store)
    print(f"Speakers apart in every fold: {shared['speaker_disjoint']}. {shared.advice}")

    checkpoints = sertool.train(store, folder / "svm.ckpt", model="svm", test_fold="all")
    report = sertool.evaluate(checkpoints, store)
    print(f"Support vector machine, every utterance tested once:\n{report}")

    model = sertool.load(checkpoints[0].path)
    held_out = next(item for item in manifest if item.fold == 0)
    prediction = model.predict(held_out.path)
    print(f"{held_out.id} is {held_out.label}, predicted {prediction.label}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO, Path(scratch))
