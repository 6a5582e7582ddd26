"""Several checkpoints in one: the weighted mean of what its members say (`sertool fuse`).

Members of one pipeline share it, and the fused checkpoint is tested on the store that they were
trained from. Members of several (a network on a mel spectrogram, logistic regression on
functionals) are fed from the waveform, each by its own pipeline: then the fused checkpoint's
pipeline ends at the waveform, and it is tested on a store of kind `wave`.

The tensors of member k are `member.k.*`; what describes it is entry k of the meta key `fused`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.settings import setting
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.fitted import FITTED, seen
from sertool.items import Item
from sertool.models import Combined, graphs
from sertool.models.scoring import Scorer
from sertool.models.speakers import DECLARED

if TYPE_CHECKING:
    from sertool.features.pipeline import Pipeline
    from sertool.formats.onnx_graph import Graph

WAVE = "wave"
RANKS = {"train": 0, "val": 1, "test": 2}  # of an item that several members have, the first counts
OWN_FILE = ("format", "version", "sha256")  # of a member's meta, what is of its file alone


@dataclass(frozen=True)
class FusedSettings:
    """What a fused checkpoint is made of; `sertool fuse` writes it."""

    members: tuple[str, ...] = setting((), "names of the members' models")
    weights: tuple[float, ...] = setting((), "each member's share of the mean", least=0)

    def __post_init__(self) -> None:
        if len(self.members) != len(self.weights):
            raise ValueError("weights must be one for each of members")


class Fused(Combined):
    """The weighted mean of several checkpoints' posteriors, or numbers."""

    name = "fused"
    summary = "the weighted mean of several checkpoints, which sertool fuse makes"
    Settings = FusedSettings
    settings: FusedSettings

    def scorer(self, checkpoint: Checkpoint, device: str, path: str) -> Scorer:
        """Return the scorer of a fused checkpoint."""
        return FusedScorer(checkpoint, self, device, path)


class FusedScorer(Scorer):
    """The members' scorers, each with the pipeline that leads from a waveform to its features.

    pipelines: None for a member that is given what the fused checkpoint is given.
    """

    model: Fused

    def __init__(self, checkpoint: Checkpoint, model: Fused, device: str, path: str) -> None:
        super().__init__(checkpoint, model)
        members = take_apart(checkpoint)
        self.scorers = [Scorer.of(member, device, path) for member in members]
        self.batches = any(scorer.batches for scorer in self.scorers)
        shared = checkpoint.meta["pipeline"]
        self.pipelines = [
            None if one.meta["pipeline"] == shared else _pipeline(one.meta["pipeline"], path)
            for one in members
        ]
        self.weights = np.array(model.settings.weights)
        if len(self.weights) != len(members) or not self.weights.sum() > 0:
            raise ValueError("weights that are not the members'")
        self.weights /= self.weights.sum()
        self._rate = int(self.header.sample_rate or 0)
        self._made: list[tuple[Pipeline | None, Sequence[np.ndarray]]] = []  # of the last arrays

    def posterior(
        self,
        arrays: Sequence[np.ndarray],
        values: Sequence[str | None] | None = None,
        batch_size: int = 1,
    ) -> np.ndarray:
        """Return the weighted mean of the members' posteriors (items, classes) float64."""
        each = self.each(arrays, batch_size)
        return self.calibrated(np.tensordot(self.weights, each, 1))

    def each(self, arrays: Sequence[np.ndarray], batch_size: int = 1) -> np.ndarray:
        """Return the members' posteriors (members, items, classes) float64, classes in our order.

        Raises InputError for arrays of other dimensions than the members were trained on.
        """
        for array in arrays:
            self._check(array)
        found = []
        for scorer, pipeline in zip(self.scorers, self.pipelines, strict=True):
            before = scorer.windows_averaged, scorer.padded
            found.append(self.asked(scorer, pipeline, arrays, batch_size))
            self.windows_averaged += scorer.windows_averaged - before[0]
            self.padded += scorer.padded - before[1]
        return np.stack(found)

    def use_threads(self, count: int) -> None:
        """Let each of the members use so many threads."""
        for scorer in self.scorers:
            scorer.use_threads(count)

    def graph(self, graph: Graph, suffix: str = "") -> str:
        """Add the members to an ONNX graph, and their weighted mean."""
        total = None
        for k, scorer in enumerate(self.scorers):
            columns = [scorer.outputs.index(name) for name in self.outputs]
            own = scorer.graph(graph, f"{suffix}.{k}")
            own = graph.op("Gather", own, graph.constant(columns), axis=1)
            own = graph.op("Mul", own, graph.constant(self.weights[k]))
            total = own if total is None else graph.op("Add", total, own)
        assert total is not None
        return graphs.tempered(graph, total, self.temperature)

    def asked(
        self,
        scorer: Scorer,
        pipeline: Pipeline | None,
        arrays: Sequence[np.ndarray],
        batch_size: int,
    ) -> np.ndarray:
        """Return what `scorer` says of features made by `pipeline`, classes in our order."""
        given = self._features(pipeline, arrays)
        columns = [scorer.outputs.index(name) for name in self.outputs]
        return scorer.posterior(given, batch_size=batch_size)[:, columns]

    def _features(
        self, pipeline: Pipeline | None, arrays: Sequence[np.ndarray]
    ) -> Sequence[np.ndarray]:
        """Return features of waveforms (n,), made once however many ask for them in turn.

        Raises InputError where a waveform has none.
        """
        last = self._made[0][1] if self._made else ()
        if len(last) != len(arrays) or any(a is not b for a, b in zip(arrays, last, strict=True)):
            self._made = [(None, list(arrays))]
        for known, rows in self._made:
            if known == pipeline:
                return rows
        assert pipeline is not None
        try:
            rows = [pipeline.features(samples, self._rate) for samples in arrays]
        except ItemError as error:
            raise InputError(str(error)) from error
        self._made.append((pipeline, rows))
        return rows

    def baseline(self, name: str) -> Scorer | None:
        """Return a baseline of the first member that has it, fed as that member is."""
        for scorer, pipeline in zip(self.scorers, self.pipelines, strict=True):
            found = scorer.baseline(name)
            if found is not None:
                return FedScorer(found, self, pipeline)
        return None


class FedScorer(Scorer):
    """A baseline of a member, given what the fused checkpoint is given."""

    def __init__(self, scorer: Scorer, fused: FusedScorer, pipeline: Pipeline | None) -> None:
        super().__init__(fused.checkpoint, scorer.model)
        self._asked = partial(fused.asked, scorer, pipeline)

    def posterior(
        self,
        arrays: Sequence[np.ndarray],
        values: Sequence[str | None] | None = None,
        batch_size: int = 1,
    ) -> np.ndarray:
        """Return posteriors (items, classes) float64, as the fused checkpoint orders them."""
        return self._asked(arrays, batch_size)


def fuse(members: Sequence[Checkpoint], names: Sequence[str]) -> Checkpoint:
    """Return one checkpoint of several, of equal weights, without a lineage entry of its own.

    names: of the files, for messages. An item that any member trained on is in training, else one
    that any validated on in validation; held out is what every member that knows it held out.
    Raises InputError where members differ in what they say or in how they cut recordings.
    """
    if len(members) < 2:
        raise UsageError("fuse needs two checkpoints or more")
    headers = [member.header for member in members]
    for name, header in zip(names, headers, strict=True):
        if header.per is not None:
            raise InputError(f"{name}: holds a model per {header.per.field}; fuse single models")
        if header.target != headers[0].target or set(header.outputs) != set(headers[0].outputs):
            raise InputError(
                f"{name}: says {', '.join(header.outputs)}, not {', '.join(headers[0].outputs)} as"
                f" {names[0]} does"
            )
        if by_speaker(header.protocol) != by_speaker(headers[0].protocol):
            raise InputError(
                f"{name} and {names[0]}: one is normalised by speaker, the other is not"
            )
    first = members[0].meta
    meta = {key: value for key, value in first.items() if key not in OWN_FILE}
    meta |= _common_pipeline(members, names)
    declared = [member.meta.get("protocol") or {} for member in members]
    meta["protocol"] = {
        key: value if all(other.get(key) == value for other in declared) else None
        for key, value in declared[0].items()
    }
    meta["model"] = {
        "name": Fused.name,
        "settings": {
            "members": [header.model.name for header in headers],
            "weights": [1 / len(members)] * len(members),
        },
        "parameters": sum(header.model.parameters for header in headers),
    }
    meta |= {"history": [], "best_epoch": None, "training": None, "kept": None}
    meta.pop("calibration", None)  # each member's is its own
    meta["baselines"] = sorted({name for header in headers for name in header.baselines or ()})
    changed = [header.augment for header in headers if header.augment]
    meta["augment"] = changed[0] if changed else None
    meta["fused"] = [
        {key: value for key, value in member.meta.items() if key not in OWN_FILE}
        for member in members
    ]
    tensors = {
        f"member.{k}.{name}": array
        for k, member in enumerate(members)
        for name, array in member.tensors.items()
    }
    return Checkpoint(tensors, union(members), meta)


def take_apart(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Return the members of a fused checkpoint, each with the items of all.

    Raises KeyError or TypeError for a meta that is none of `fuse`.
    """
    return [
        Checkpoint(checkpoint.subset(f"member.{k}"), checkpoint.items, meta)
        for k, meta in enumerate(checkpoint.meta["fused"])
    ]


def _pipeline(records: Sequence[Mapping[str, Any]], path: str) -> Pipeline:
    """Return the pipeline of a member; it decodes audio, which members of one store never need."""
    from sertool.features.pipeline import Pipeline

    return Pipeline.of_file(records, path)


def by_speaker(protocol: Mapping[str, Any] | None) -> bool:
    """Return whether a checkpoint of this protocol is fed features normalised by speaker."""
    return bool((protocol or {}).get(DECLARED))


def _common_pipeline(members: Sequence[Checkpoint], names: Sequence[str]) -> dict[str, Any]:
    """Return the pipeline of a fused checkpoint, and what describes its features.

    That of all members, or the stage that reads their waveform: cut as all of them cut it, at the
    highest of their rates.
    """
    keys = ("pipeline", "kind", "dims", "sample_rate", "frame_rate")
    first = members[0].meta
    if all(member.meta["pipeline"] == first["pipeline"] for member in members):
        return {key: first[key] for key in keys}
    if by_speaker(first.get("protocol")):
        raise InputError(
            f"{names[0]}: normalised by speaker, and the members' features differ; fuse models of"
            " the same features"
        )
    stages = []
    for member, name in zip(members, names, strict=True):
        pipeline = _pipeline(member.meta["pipeline"], name)
        if any(s.segment or s.segment_max or s.duration for s in pipeline.stages[1:]):
            raise InputError(f"{name}: cuts recordings in a second stage; featurize in one")
        stages.append(pipeline.stages[0])
    rate = max(int(member.meta["sample_rate"]) for member in members)
    shared = [
        dataclasses.replace(stage, kind=WAVE, settings={}, dtype=None, sample_rate=rate)
        for stage in stages
    ]
    for stage, name in zip(shared, names, strict=True):
        if stage != shared[0]:
            raise InputError(
                f"{name} and {names[0]}: cut recordings differently; featurize with the same"
                " --duration, --segment and --channel"
            )
    described = {"pipeline": [shared[0].to_dict()], "kind": WAVE, "dims": []}
    return described | {"sample_rate": rate, "frame_rate": float(rate)}


def union(members: Sequence[Checkpoint]) -> list[Item]:
    """Return the items of all members, each once, with the part that says most of them.

    What a member's pipeline was fitted to counts as trained on.
    """
    found: dict[str, Item] = {}
    for member in members:
        for item in seen(member.items, member.meta["pipeline"]):
            part = "train" if item.part == FITTED else str(item.part)
            known = found.get(item.id)
            if known is None or RANKS[part] < RANKS[str(known.part)]:
                found[item.id] = dataclasses.replace(item, part=part)
    return list(found.values())
