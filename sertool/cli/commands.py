"""The commands: what each is for, and the module that declares it."""

from __future__ import annotations

import importlib

from sertool.core.options import Command

COMMANDS = {  # what each is for; the module `sertool.commands.NAME` declares its `COMMAND`
    "prepare": "List the utterances of corpora with labels, speakers and folds.",
    "featurize": "Turn audio into a feature store (HDF5), with labels and speakers where known.",
    "augment": "Write a store of originals and augmented copies, each linked to its original.",
    "merge": "Put the items of several feature stores into one.",
    "select": "Write some items of a feature store as a store of their own.",
    "convert": "Write a feature store as Parquet, NumPy or another tool's folder, and back.",
    "train": "Train a model on a feature store.",
    "sweep": "Compare options of train on inner folds, which hold a test fold out.",
    "fuse": "Combine checkpoints into one that says the weighted mean of what they say.",
    "calibrate": "Fit the confidences of a checkpoint to what models trained alike held out.",
    "eval": "Test checkpoints on the items that they held out, next to baselines.",
    "predict": "Predict the emotion of recordings, all of each: one line per file, in order.",
    "serve": "Answer recordings and streams over HTTP with what predict says of them.",
    "push": "Publish a checkpoint with its card, in a folder or on the Hugging Face hub.",
    "pull": "Fetch a published model, from a folder or from the hub, and verify it.",
    "export": "Write a checkpoint as an ONNX model, which predicts without torch.",
    "report": "Pool folds and seeds, set a paper's tables beside, or compare systems.",
    "info": "Show what a file is, what it holds and how it was made; verify a store's checksum.",
    "list": "List corpora, label maps, kinds of feature, augmentations, models, metrics or papers.",
    "separate": "Separate sources that several microphones recorded in different proportions"
    " (FastICA).",
}
HELP = """prepare -> featurize -> augment -> train -> eval, and predict for folders of recordings.

sertool prepare corpus/ manifest.jsonl --split speakers:4

sertool featurize --kind mel manifest.jsonl features.h5

sertool train --model linear --test-fold all features.h5 model.ckpt

sertool eval --json report.json model.?.ckpt features.h5

sertool predict model.0.ckpt recordings/

Exit codes: 0 done, 1 done, but a file or line failed, 2 wrong usage, 3 a named file or folder
cannot be used, 130 interrupted.
"""
MODULES = {"eval": "evaluate", "list": "listing"}  # where Python has another use for the name


def load(name: str) -> Command:
    """Return what the module of a command declares."""
    module = importlib.import_module(f"sertool.commands.{MODULES.get(name, name)}")
    command: Command = module.COMMAND
    return command
