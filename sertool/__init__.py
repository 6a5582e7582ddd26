"""Speech emotion recognition in small stages: published pipelines, leakage checks.

Each stage is a function here and a command on the command line (`sertool --help`; `evaluate` is
`sertool eval`), with the same options, defaults, errors and output files. A stage takes what the
stage before it returned, or a path.

Recordings become utterances with labels, speakers and folds; these become features:

>>> import sertool
>>> manifest = sertool.prepare("corpus", "m.jsonl", split="speakers:4")
>>> store = sertool.featurize(manifest, "features.h5", kind="mel", n_mels=40)
>>> len(store), store.classes
(64, ['anger', 'happiness', 'neutral', 'sadness'])

A model is trained with one fold held out, or each in turn, and tested on unseen items:

>>> folds = sertool.train(store, "model.ckpt", model="linear", test_fold="all")
>>> report = sertool.evaluate(folds, store)
>>> round(report.uar, 4), report.protocol.facts["speaker_disjoint"]
(0.5625, True)

A checkpoint predicts from recordings, files or arrays:

>>> prediction = sertool.load("model.0.ckpt").predict("corpus/spk01/spk01_sadness_s1_r2.flac")
>>> prediction.label
'sadness'

A store is a sequence of (features, item), and works with other libraries:

>>> features, item = store[0]  # an array (frames, dims), and what is known of the utterance
>>> X, y, groups = store.pooled()  # for scikit-learn
>>> dataset = store.torch()  # for PyTorch
>>> sertool.audit(store)["speaker_disjoint"]  # do its folds share speakers?
True

Nothing is printed unless `verbose=True`. A file that cannot be read is skipped and listed in the
result's `failures`; `strict=True` stops at the first. Worker processes are started only where
`workers` asks for more than one.

Errors: `UsageError` for options that are wrong or contradict each other, `InputError` for a file or
folder that cannot be used, `ItemError` for a single recording. The first two are `SertoolError`s.

These examples, and those of the functions, run on four speakers of the demo corpus that comes with
the source code, `data/demo/corpus`, here in the folder `corpus`.
"""

_HOMES = {
    "prepare": "sertool.api.stages",
    "featurize": "sertool.api.stages",
    "augment": "sertool.api.stages",
    "merge": "sertool.api.stages",
    "select": "sertool.api.stages",
    "convert": "sertool.api.stages",
    "train": "sertool.api.stages",
    "sweep": "sertool.api.stages",
    "fuse": "sertool.api.stages",
    "calibrate": "sertool.api.stages",
    "export": "sertool.api.stages",
    "evaluate": "sertool.api.stages",
    "push": "sertool.api.stages",
    "pull": "sertool.api.stages",
    "audit": "sertool.api.stages",
    "info": "sertool.api.stages",
    "separate": "sertool.api.stages",
    "load": "sertool.api.stages",
    "open_store": "sertool.api.stages",
    "Manifest": "sertool.api.results",
    "Store": "sertool.api.results",
    "Checkpoint": "sertool.api.models",
    "Prediction": "sertool.evaluation.predictions",
    "Predictions": "sertool.api.models",
    "NumberReport": "sertool.api.reports",
    "Report": "sertool.api.reports",
    "Audit": "sertool.api.reports",
    "Separation": "sertool.extras.options",
    "Sweep": "sertool.commands.sweep",
    "Item": "sertool.items",
    "Features": "sertool.api.transformer",
    "SertoolError": "sertool.core.errors",
    "UsageError": "sertool.core.errors",
    "InputError": "sertool.core.errors",
    "ItemError": "sertool.core.errors",
    "__version__": "sertool.core.version",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    """Load what is asked for: nothing is imported before it is used.

    Not even here: the program answers Ctrl-C from the first line of `__main__` on.
    """
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
