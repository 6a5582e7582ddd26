"""What a layer of a trained network computes of a sound: any checkpoint of ours as a feature.

The checkpoint's own pipeline is replayed on the waveform, then its network computes as it does for
`predict`. A checkpoint was fitted to recordings: the store keeps which, and tests on them are not
called disjoint.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import absolute, from_text, regular, show, to_text
from sertool.core.settings import setting
from sertool.features import Kind
from sertool.features.pipeline import Pipeline
from sertool.formats import checkpoint as checkpoints
from sertool.formats import fitted, lineage
from sertool.formats.checkpoint import Checkpoint
from sertool.items import Item

if TYPE_CHECKING:
    from sertool.models.inspection import Layer, Pass, Recorder
    from sertool.models.scoring import NetworkScorer

TRIALS = (256, 64, 16)  # frames that are tried, to see which layers there are


@dataclass(frozen=True)
class Settings:
    """Which layer of which checkpoint; its path is made absolute, and its identity is kept."""

    checkpoint: str = setting("", "checkpoint that train wrote")
    layer: str = setting("", "layer of its network; a wrong name lists them all")
    sha256: str = setting("", "identity (SHA-256) of the checkpoint; by default of the one given")

    def __post_init__(self) -> None:
        if self.checkpoint and not self.sha256:
            path = absolute(from_text(self.checkpoint))
            object.__setattr__(self, "checkpoint", to_text(path))
            object.__setattr__(self, "sha256", _load(path).identity)


def _load(path: Path) -> Checkpoint:
    """Return a checkpoint; InputError where it is none, or not in its place."""
    try:
        with regular(path):
            return checkpoints.load(path)
    except (OSError, ValueError) as error:  # a NUL in its name
        reason = (getattr(error, "strerror", None) or "cannot be read").lower()
        raise InputError(
            f"{show(path)}: {reason}; kind embedding needs this checkpoint in its original place"
        ) from error


@dataclass
class _Embedder:
    """A checkpoint's network, and what records its layers."""

    scorer: NetworkScorer
    pipeline: Pipeline
    recorder: Recorder

    @property
    def pictures(self) -> bool:
        """Whether the network takes pictures."""
        return self.scorer.model.pictures

    def layers(self, samples: np.ndarray, rate: int) -> list[_Window]:
        """Return every pass of the network over samples (n,) at `rate` (Hz), in order of time."""
        return self.passes(self.pipeline.arrays(samples, rate))

    def passes(self, arrays: list[np.ndarray]) -> list[_Window]:
        """Return every pass over features (frames, ...); ItemError where they do not suit it."""
        passes = self.recorder.passes
        try:
            self.scorer.posterior(arrays)
            starts = [self.scorer.window_starts(len(array)) for array in arrays]
            known = [n for windows in starts for n in self._known(windows)]
            return [
                _Window(one, n, math.inf if self.pictures else one.length)
                for one, n in zip(passes, known, strict=True)
            ]
        except InputError as error:
            raise ItemError(str(error)) from error
        finally:
            self.recorder.passes = []

    def trial(self) -> Pass:
        """Return a pass over zeros, of as many frames as the network takes."""
        lengths = [self.scorer.frames or 0, *TRIALS, self.scorer.shortest]
        dims = self.scorer.header.dims
        for length in [1] if self.pictures else [n for n in lengths if n]:
            with contextlib.suppress(ItemError):  # too long for it
                return self.passes([np.zeros((length, *dims), np.float32)])[0].made
        raise InputError("the checkpoint's network takes no input of its own dimensions")

    def _known(self, windows: list[int]) -> list[int]:
        """Return how many frames of each window (by its first frame) the one before has, too."""
        shared = ((self.scorer.frames or 0) - (b - a) for a, b in itertools.pairwise(windows))
        return [0, *(max(0, n) for n in shared)]


@dataclass
class _Window:
    """One pass; of its input's frames up to `length`, the first `known` were in the one before."""

    made: Pass
    known: int
    length: float

    def rows(self, layer: Layer) -> np.ndarray:
        """Return a layer's frames (time, units), without those of zero-padding."""
        assert layer.values is not None
        middle = layer.start + layer.step * np.arange(len(layer.values))
        kept = (middle >= self.known) & (middle < self.length)
        return layer.values[kept] if kept.any() else layer.values[:1]


@functools.lru_cache(maxsize=2)
def _embedder(path: str, sha256: str) -> _Embedder:
    """Return a checkpoint ready to embed; InputError where it is gone or not the same."""
    from sertool.models import speakers
    from sertool.models.scoring import NetworkScorer, Routed, Scorer

    file = from_text(path)
    if sha256 not in (_load(file).identity, lineage.file_sha256(file)):  # older stores: the file's
        raise InputError(
            f"{show(file)}: not the checkpoint that the features come from: its SHA-256 is not"
            f" {sha256[:12]}…"
        )
    scorer = Scorer.load(file)
    if speakers.declared(scorer.header):
        raise InputError(
            f"{show(file)}: trained with --speaker-normalisation, and an embedding is of one"
            " recording, without its speaker's others"
        )
    if isinstance(scorer, Routed):
        raise UsageError(
            f"{show(file)}: holds one model per {scorer.field}, with different layers;"
            " train without --per"
        )
    if not isinstance(scorer, NetworkScorer):
        raise UsageError(f"{show(file)}: {scorer.name} is not a network and has no layers")
    return _Embedder(scorer, Pipeline.from_records(scorer.pipeline), scorer.recorder())


def _named(one: Pass, settings: Settings) -> Layer:
    """Return the layer that the settings name; UsageError lists those that there are."""
    known = {layer.name: layer for layer in one.layers if layer.values is not None}
    if settings.layer not in known:
        wrong = f"layer={settings.layer}: no such layer" if settings.layer else "layer is missing"
        raise UsageError(
            f"--set {wrong}; {show(from_text(settings.checkpoint))} has {', '.join(known)}"
        )
    return known[settings.layer]


def _prepared(settings: Settings) -> _Embedder:
    if not settings.checkpoint:
        raise UsageError("kind embedding needs --set checkpoint=FILE and --set layer=NAME")
    return _embedder(settings.checkpoint, settings.sha256)


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return a layer's activations (frames, units) float32 of samples (n,).

    Frames over time where the layer has it, means over frequency; else one frame. Where the model
    is of fixed length and the sound is longer, its windows' frames follow each other, none twice,
    or their one frame is the mean of all windows; so do, and is, those of the segments that the
    pipeline cuts. Frames of zero-padding are left out. Raises ItemError where the pipeline leaves
    nothing of the sound, InputError where the checkpoint is missing, damaged or another than that
    of the settings, UsageError where it has no such layer.
    """
    windows = _prepared(settings).layers(samples, sample_rate)
    layers = [_named(one.made, settings) for one in windows]
    if layers[0].values is not None and layers[0].values.ndim == 1:
        values = [layer.values for layer in layers if layer.values is not None]
        return np.stack(values).mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
    return np.concatenate([one.rows(layer) for one, layer in zip(windows, layers, strict=True)])


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second, 0 where the layer has no time axis."""
    embedder = _prepared(settings)
    layer = _named(embedder.trial(), settings)
    assert layer.values is not None
    rate = embedder.scorer.header.frame_rate or 0
    return float(rate) / layer.step if layer.values.ndim == 2 else 0.0


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return nothing; raises what `compute` would of any sound."""
    _named(_prepared(settings).trial(), settings)
    return []


def fitted_on(settings: Settings) -> list[Item] | None:
    """Return the items that the checkpoint was trained on or chosen by.

    Those that its own features were fitted to are among them; None where these are unknown.
    """
    checkpoint = _prepared(settings).scorer.checkpoint
    pipeline = checkpoint.meta["pipeline"]
    if fitted.fitted_before(pipeline) is None:
        return None
    own = [item for item in checkpoint.items if item.part in fitted.TRAINED_PARTS]
    return fitted.seen(own, pipeline)


def sources(settings: Settings) -> list[lineage.Source]:
    """Return the checkpoint, with how it was made."""
    path = from_text(settings.checkpoint)
    made = _load(path).header.lineage
    return [lineage.Source(to_text(path.name), settings.sha256, "checkpoint", "checkpoint", made)]


KIND = Kind(
    name="embedding",
    summary="activations of a layer of a trained network; leakage checks cover its training items",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, units), or (1, units) where the layer has no time axis",
    remarks=remarks,
    fitted_on=fitted_on,
    sources=sources,
)
