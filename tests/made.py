"""A small spoken corpus, its store and checkpoints, made for the tests of eval and predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from made_stores import write_store

from sertool.audio.decoding import decode
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats import checkpoint
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.lineage import record
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import tabular

RATE = 8000
CLASSES = ("anger", "happiness", "sadness")
SPEC = Stage("mel", {"n_fft": 256, "hop_length": 128, "n_mels": 12}, sample_rate=RATE)


def replay(
    records: list[dict[str, Any]], path: Path, start: float | None = None, end: float | None = None
) -> list[np.ndarray]:
    """Return the arrays that a store of this pipeline holds for an utterance of a file."""
    pipeline = Pipeline.from_records(records)
    decoded = pipeline.decode(path, start, end)
    return pipeline.arrays(decoded.samples, decoded.sample_rate)


def corpus(folder: Path, speakers: int = 4, takes: int = 2) -> list[Item]:
    """Write tones with noise, one pitch a class, and return their items (without features)."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    items = []
    for s in range(speakers):
        for k, label in enumerate(CLASSES):
            for take in range(takes):
                name = f"s{s}-{label}-{take}"
                time = np.arange(int(RATE * (0.25 + 0.05 * take))) / RATE
                tone = np.sin(2 * np.pi * (200 + 250 * k + 120 * s) * time)
                wave = 0.2 * tone + 0.12 * random.standard_normal(len(time))
                soundfile.write(folder / f"{name}.wav", wave, RATE, "PCM_16")
                items.append(
                    Item(
                        f"toy/{name}",
                        path=f"{name}.wav",
                        corpus="toy",
                        speaker=f"s{s}",
                        gender=("female", "male")[s % 2],
                        text=f"t{take}",
                        label=label,
                        audio_hash=decode(folder / f"{name}.wav").audio_hash,
                    )
                )
    return items


def store(path: Path, folder: Path, items: list[Item], spec: Stage = SPEC, **given: Any) -> Path:
    """Write the store that featurize would: every utterance through `spec`."""
    arrays, rows = [], []
    for item in items:
        made = replay([spec.to_dict()], folder / item.path)
        for i, array in enumerate(made):
            suffix = f"#{i:03d}" if spec.segment else ""
            arrays.append(array)
            rows.append(item.replace(id=item.id + suffix, origin=item.id))
    write_store(
        path,
        arrays,
        rows,
        kind=spec.kind,
        settings=spec.to_dict()["settings"],
        pipeline=[spec.to_dict()],
        sample_rate=RATE,
        frame_rate=spec.frame_rate(RATE),
        root=str(folder),
        **given,
    )
    return path


def train(
    store_path: Path,
    path: Path,
    part: Callable[[Item], str],
    baselines: bool = True,
    **meta: Any,
) -> Path:
    """Fit the linear model to the items whose `part` is "train"; keep all parts in `path`."""
    with Store(store_path) as store:
        items = [item.replace(part=part(item)) for item in store.items()]
        kept = [i for i, item in enumerate(items) if item.part == "train" and item.label]
        arrays = [store.features(i) for i in kept]
        classes = sorted({items[i].label for i in kept})
        targets = np.array([classes.index(items[i].label) for i in kept])
        tensors = {}
        for prefix, name in (
            ("model", "linear"),
            ("baseline.linear", "linear"),
            ("baseline.majority", "majority"),
        ):
            found = tabular(name)
            rows = np.stack([found.row(array) for array in arrays])
            weights = np.ones(len(classes))
            groups = np.arange(len(rows))
            fitted = found.fit(rows, targets, len(classes), weights, groups)
            if baselines or prefix == "model":
                tensors |= {f"{prefix}.{key}": value for key, value in fitted.items()}
        facts = {
            "classes": classes,
            "pipeline": store.pipeline,
            "kind": store.kind,
            "dims": list(store.shape),
            "sample_rate": store.sample_rate,
            "frame_rate": store.frame_rate,
            "model": {"name": "linear", "settings": {"C": 1.0}, "frames": None, "parameters": 9},
            "baselines": ["majority", "linear"] if baselines else [],
            "protocol": {},
            "lineage": [record("train", {}, "made.h5", "0" * 64)],
        }
    rows_kept = [item for item in items if item.part]
    checkpoint.save(Checkpoint(tensors, rows_kept, facts | meta), path)
    return path
