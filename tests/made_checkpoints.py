"""Untrained checkpoints of every model, as training would leave them, for tests of what follows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from made_settings import parse

from sertool.formats.checkpoint import Checkpoint
from sertool.models import Network, Regressor, Tabular, layer_choice, model

CLASSES = ["anger", "fear", "neutral", "sadness"]
STAGE = {"stage": "featurize", "kind": "mel", "settings": {"n_mels": 64}, "sample_rate": 16000}


def checkpoint(
    name: str,
    dims: tuple[int, ...],
    *assignments: str,
    frames: int | None = None,
    stage: dict[str, Any] = STAGE,
    seed: int = 0,
    **meta: Any,
) -> Checkpoint:
    """Return a checkpoint of a model for features (frames, *dims) about 0, and random weights."""
    found = model(name)
    made = found(parse(found.Settings, list(assignments)))
    random = np.random.default_rng(seed)
    described: dict[str, Any] = {
        "name": name,
        "settings": dataclasses.asdict(made.settings),
        "parameters": 0,
    }
    if isinstance(made, Network):
        tensors = _network(made, dims, frames, random, described)
    else:
        assert isinstance(made, Tabular | Regressor)
        tensors = _fitted(made, dims, random, meta)
    general = {
        "pipeline": [stage],
        "kind": stage["kind"],
        "dims": list(dims),
        "sample_rate": 16000,
        "frame_rate": 100.0,
        "target": "label",
        "lineage": [],
        "protocol": {},
    }
    answers = {} if "numbers" in meta else {"classes": CLASSES}
    return Checkpoint(
        tensors, [], general | answers | {"classes": []} | answers | {"model": described} | meta
    )


def _network(
    made: Network,
    dims: tuple[int, ...],
    frames: int | None,
    random: np.random.Generator,
    described: dict[str, Any],
) -> dict[str, np.ndarray]:
    import torch

    torch.manual_seed(0)
    outputs = len(CLASSES)
    frames = frames if made.fixed_length else None
    shape = made.view(np.zeros((frames or 1, *dims), np.float32)).shape[1:]
    module = made.build(frames, shape, outputs)
    weights = {n: t.numpy().copy() for n, t in module.state_dict().items()}
    for key, array in weights.items():
        if array.dtype.kind == "f" and not array.any():  # what a first stage would have fitted
            weights[key] = random.normal(0, 0.5, array.shape).astype(np.float32)
        if key.endswith("running_var"):
            weights[key] = random.uniform(0.5, 2, array.shape).astype(np.float32)
    module.load_state_dict({n: torch.from_numpy(a) for n, a in weights.items()})
    how = made.defaults().normalisation
    size: tuple[int, ...] = {"none": (), "unit": (), "global": ()}.get(how, shape[-1:])
    if how in ("cell", "mean-image"):
        size = (frames or 1, *shape)
    mean, sd = random.normal(0, 0.3, size), random.uniform(0.5, 2, size)
    if how in ("none", "unit"):
        mean, sd = np.zeros(()), np.full((), 255.0 if how == "unit" else 1.0)
    statistics = {"mean": mean.astype(np.float32), "sd": sd.astype(np.float32)}
    described |= {
        "frames": frames, "inputs": list(shape), "outputs": outputs, "normalisation": how,
    }  # fmt: skip
    tensors = {f"model.{n}": a for n, a in weights.items()}
    tensors |= {f"statistics.{n}": a for n, a in statistics.items()}
    if (head := made.classifier()) is not None:
        described["head"] = {"name": head.name, "settings": dataclasses.asdict(head.settings)}
        x = torch.randn(40, 30, *shape)
        with torch.inference_mode():
            rows = module.eval()(x, torch.full((40,), 30)).double().numpy()
        fitted = head.fit(
            rows, np.arange(40) % outputs, outputs, np.ones(outputs), np.arange(40) % 5
        )
        tensors |= {f"head.{n}": a for n, a in fitted.items()}
    return tensors


def _fitted(
    made: Tabular | Regressor,
    dims: tuple[int, ...],
    random: np.random.Generator,
    meta: dict[str, Any],
) -> dict[str, np.ndarray]:
    items = [features(dims, 20, i).astype(np.float32) for i in range(60)]
    targets = np.arange(60) % len(CLASSES)
    for item, target in zip(items, targets, strict=True):
        item += np.float32(0.3 * target)
    rows = np.stack([layer_choice.row(made, item) for item in items])
    if isinstance(made, Regressor):
        meta["numbers"] = [{"field": name, "mean": 0.0, "sd": 1.0} for name in ("v", "a")]
        arrays = made.fit(rows, np.stack([targets, -targets], 1) + random.normal(size=(60, 2)))
    else:
        size = len(CLASSES)
        arrays = layer_choice.fit(made, rows, targets, size, np.ones(size), np.arange(60) % 7)
    return {f"model.{n}": a for n, a in arrays.items()}


def features(dims: tuple[int, ...], frames: int, seed: int) -> np.ndarray:
    """Return features (frames, *dims) float32 about 0."""
    found: np.ndarray = np.random.default_rng(seed).normal(size=(frames, *dims))
    return found.astype(np.float32)
