"""Speech emotion recognition in small stages: published pipelines, honest numbers.

Every stage is a function here and a command of the same name on the command line (`sertool
--help`; `evaluate` is `sertool eval`), with the same options, defaults, errors and output files:

>>> import sertool
>>> manifest = sertool.prepare("corpus", "m.jsonl", split="speakers:4")
>>> store = sertool.featurize(manifest, "features.h5", kind="mel", n_mels=40)
>>> len(store), store.classes
(64, ['anger', 'happiness', 'neutral', 'sadness'])

Nothing is printed unless `verbose=True`. A file that cannot be read is left out and named in the
result's `failures`; `strict=True` stops at the first. Worker processes are started only where
`workers` asks for more than one. (The examples run on part of the demo corpus of the source code,
`data/demo/corpus`.)

Errors: `SertoolError` is the base; `UsageError` for options that are wrong or contradict each
other, `InputError` for a file or folder that cannot serve, `ItemError` for one recording.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sertool.core.errors import InputError, ItemError, SertoolError, UsageError
from sertool.core.version import VERSION as __version__

_HOMES = {
    "prepare": "sertool.api.stages",
    "featurize": "sertool.api.stages",
    "augment": "sertool.api.stages",
    "train": "sertool.api.stages",
    "evaluate": "sertool.api.stages",
    "audit": "sertool.api.stages",
    "info": "sertool.api.stages",
    "load": "sertool.api.stages",
    "open_store": "sertool.api.stages",
    "Manifest": "sertool.api.results",
    "Store": "sertool.api.results",
    "Checkpoint": "sertool.api.models",
    "Prediction": "sertool.api.models",
    "Predictions": "sertool.api.models",
    "Report": "sertool.api.reports",
    "Audit": "sertool.api.reports",
    "Item": "sertool.items",
}

__all__ = [
    *_HOMES,
    "SertoolError",
    "UsageError",
    "InputError",
    "ItemError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load what is asked for: nothing is imported before it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
