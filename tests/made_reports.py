"""Reports of eval, made from random truth and posteriors: no corpus, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET

from sertool.evaluation import audit, curves, pooling, results, testing
from sertool.evaluation import report as reports
from sertool.formats import lineage
from sertool.items import Item

CLASSES = ("anger", "happiness", "neutral", "sadness")
HASH = "0" * 64


@dataclass(frozen=True)
class Speech:
    """Recordings with their truth, and what a model and its linear baseline make of them.

    posterior, linear: (n, classes).
    """

    units: list[Item]
    truth: np.ndarray
    posterior: np.ndarray
    linear: np.ndarray
    classes: tuple[str, ...] = CLASSES

    @property
    def predicted(self) -> np.ndarray:
        return self.posterior.argmax(1)

    @property
    def clusters(self) -> np.ndarray:
        """Corpus and speaker of each unit, its own id where the speaker is unknown."""
        return np.array([f"{u.corpus}/{u.speaker}" if u.speaker else u.id for u in self.units])

    def of(self, field: str, *wanted: str) -> Speech:
        """Return the units whose field is one of these."""
        return self.only([unit.value(field) in wanted for unit in self.units])

    def only(self, mask: Sequence[bool] | np.ndarray) -> Speech:
        """Return the units that a mask of booleans keeps."""
        kept = np.asarray(mask, bool)
        return replace(
            self,
            units=[unit for unit, keep in zip(self.units, kept, strict=True) if keep],
            truth=self.truth[kept],
            posterior=self.posterior[kept],
            linear=self.linear[kept],
        )


def speech(
    seed: int = 0,
    *,
    speakers: int = 10,
    each: int = 16,
    skill: float = 3.0,
    corpora: Sequence[str] = ("toy",),
    unknown: Sequence[int] = (),
    classes: Sequence[str] = CLASSES,
) -> Speech:
    """Return what `speakers` said, the same for every `seed`, and the seed's own posteriors.

    Speakers differ in how well they are recognised. They take turns in gender and, in pairs, in
    corpus; the names of those numbered in `unknown` are not known.
    """
    random = np.random.default_rng(1000)
    k, n = len(classes), speakers * each
    who = np.repeat(np.arange(speakers), each)
    weights = np.arange(k, 0, -1.0)
    truth = random.choice(k, n, p=weights / weights.sum())
    strength = skill * random.uniform(0.0, 1.0, speakers)[who]
    units = [
        Item(
            f"{corpora[s // 2 % len(corpora)]}/{i:04d}",
            corpus=corpora[s // 2 % len(corpora)],
            speaker=None if s in unknown else f"s{s:02d}",
            gender=("female", "male")[s % 2],
        )
        for i, s in enumerate(who)
    ]

    def posterior(draw: int, strength: np.ndarray) -> np.ndarray:
        scores = np.random.default_rng(draw).standard_normal((n, k))
        scores[np.arange(n), truth] += strength
        shares = np.exp(scores)
        return shares / shares.sum(1, keepdims=True)

    linear = posterior(500 + seed, 0.5 * strength)
    return Speech(units, truth, posterior(seed, strength), linear, tuple(classes))


def facts(made: Speech, apart: bool | None = True) -> reports.Protocol:
    """Return the protocol of a model trained on other speakers, on the same, or on unknown ones."""

    def item(part: str, i: int, speaker: str | None, corpus: str) -> Item:
        name = f"{corpus}/{part}{i}"
        return Item(
            name, origin=name, audio_hash=name, text="t", part=part, corpus=corpus, speaker=speaker
        )

    tested = [item("test", i, u.speaker, u.corpus) for i, u in enumerate(made.units)]
    trained = [
        item("train", i, {True: f"other{i}", False: u.speaker, None: None}[apart], u.corpus)
        for i, u in enumerate(made.units)
    ]
    return audit.combine([audit.protocol(trained, tested)], tested)


def history(tags: Mapping[str, str], trained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the lineage of a report: featurize, a `train` with these parameters, eval."""
    return [
        lineage.record("featurize", {"kind": "mel"}, "corpus.jsonl", HASH),
        lineage.record("train", dict(trained), "mel.h5", HASH),
        lineage.record("eval", {"tags": dict(tags), "seed": 0}, "mel.h5", HASH),
    ]


def training(losses: Sequence[tuple[float, float]]) -> curves.Training | None:
    """Return what a report keeps of a training with these losses of training and validation."""
    rates = {"val_uar": 0.5, "val_accuracy": 0.6}
    rows = [
        {"epoch": i, "loss": loss, "val_loss": val} | rates
        for i, (loss, val) in enumerate(losses, 1)
    ]
    best = 1 + min(range(len(rows)), key=lambda i: rows[i]["val_loss"]) if rows else 0
    return curves.thinned(rows, best)


def report(
    made: Speech,
    tags: Mapping[str, str] | None = None,
    *,
    fold: int | None = None,
    seed: int = 0,
    model: str = "network",
    epochs: int = 30,
    precision: str = "float32",
    level: str = "file",
    conditions: Mapping[str, float] | None = None,
    apart: bool | None = True,
    baselines: Sequence[str] = ("majority", "linear"),
    checkpoint: np.ndarray | None = None,
    losses: Sequence[tuple[float, float]] | None = None,
    items: bool = False,
) -> dict[str, Any]:
    """Return the report that `eval` makes, as it is when read back.

    checkpoint: (n,) which of several checkpoints tested each unit; one tested them all without.
    losses: of training and validation, epoch by epoch; without, it is not known how it went.
    """
    k, n = len(made.classes), len(made.truth)
    which = np.zeros(n, int) if checkpoint is None else np.asarray(checkpoint)
    names = [f"m.{i}.ckpt" for i in range(int(which.max(initial=0)) + 1)]
    tested = results.Tested(list(made.classes), made.truth, made.units, which, names)

    def figures(posterior: np.ndarray) -> reports.Figures:
        return results.figures(tested, posterior, posterior.argmax(1), level=0.95, seed=0)

    tags = dict(tags or {})
    protocol = facts(made, apart)
    trained = {
        "model": model,
        "seed": seed,
        "device": "cpu",
        "settings": {"width": 8},
        "hyperparameters": {"epochs": epochs, "lr": 0.001, "precision": precision},
        "parts": {"test_fold": None if fold is None else str(fold), "split_seed": seed},
    }
    own = figures(made.posterior)
    for i, row in enumerate(own.folds):
        row.fold = fold if len(names) == 1 else i
        row.protocol = protocol
        if losses is not None:
            row.training = training(losses)
    given = {"majority": np.tile(np.eye(k)[0], (n, 1)), "linear": made.linear}
    whole = reports.Report(
        level=level,
        pool="mean",
        tags=tags,
        model=reports.Model(name=model, settings={"width": 8}),
        store=reports.StoreUsed(name="mel.h5", sha256=HASH, kind="mel"),
        conditions=dict(conditions or {}),
        classes=list(made.classes),
        figures=own,
        baselines={name: figures(given[name]) for name in baselines},
        protocol=protocol,
        lineage=history(tags, trained),
        items=testing.scored(tested, made.posterior, made.predicted) if items else UNSET,
    )
    back: dict[str, Any] = json.loads(reports.dumps(whole))
    del back["sha256"]  # so that tests may change it
    return back


def evaluate(*given: Any, **options: Any) -> dict[str, Any]:
    """Return what `eval` reports, as JSON has it."""
    back: dict[str, Any] = json.loads(reports.dumps(testing.evaluate(*given, **options)))
    del back["sha256"]  # so that tests may change it
    return back


def result(name: str, made: dict[str, Any]) -> pooling.Result:
    """Return a report, given as JSON has it, as `report` reads it."""
    return pooling.result(name, reports.parse(made, name))


def write(path: Path, made: dict[str, Any]) -> Path:
    """Write a report where `eval --json` would, with its checksum, and return its path."""
    signed = {"sha256": reports.digest(made)} | made if isinstance(made, dict) else made
    path.write_text(json.dumps(signed), encoding="utf-8")
    return path
