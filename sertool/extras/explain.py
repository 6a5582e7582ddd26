"""`predict --explain`: what the model was given and computed for each file, as a figure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import find_audio, show, to_text
from sertool.evaluation.predictions import Prediction
from sertool.features.hearing import Clip
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats.outputs import check_output, claim
from sertool.items import Item
from sertool.models.linear import Linear, softmax
from sertool.models.scoring import NetworkScorer

if TYPE_CHECKING:
    from sertool.extras.explain_panels import Explanation, Tick
    from sertool.models.scoring import Routed, Scorer

LONGEST_NAME = 120  # bytes of a file's stem that its figure's name keeps
TICKS = (0, 250, 500, 1000, 2000, 4000, 8000, 16000)  # Hz
APART = 0.09  # of the axis, between two of them
NORMALISED = {
    "cell": "z-scored cell by cell",
    "feature": "z-scored row by row",
    "global": "z-scored as a whole",
}


def figure_name(item: Item) -> str:
    """Return the name of a recording's figure: its stem, any cut in ms, and a hash of its path.

    The same for the same path in whatever company; two folders' files of one name do not meet.
    """
    text = item.path
    cut = ""
    if item.start is not None or item.end is not None:
        ends = (item.start, item.end)
        cut = "@" + "-".join("" if s is None else str(round(1000 * s)) for s in ends)
    digest = hashlib.sha256(f"{text}\0{item.start}\0{item.end}".encode()).hexdigest()[:8]
    stem = os.path.splitext(os.path.basename(text))[0]
    safe = "".join(c if c.isalnum() or c in "._-+" else "_" for c in stem).lstrip(".-")
    safe = safe.encode()[:LONGEST_NAME].decode("utf-8", "ignore")
    return f"{safe or 'recording'}{cut}-{digest}.png"


def check(folder: Path, arguments: Sequence[str], replace: bool) -> None:
    """Raise InputError where figures cannot be drawn into `folder`, before any work is done.

    Paths that a list on standard input names are checked as they come.
    """
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise InputError(f"{show(folder)}: not a folder; --explain draws into one")
        check_output(folder, force=False)
        return
    check_output(folder / "figure.png", force=True, alone=False)
    claim(folder)
    for argument in arguments:
        if argument != "-":
            whole = os.path.isdir(argument)
            for path in find_audio(Path(argument))[0] if whole else [Path(argument)]:
                check_output(folder / figure_name(Item("", to_text(path))), replace, alone=False)


def frequency_ticks(stage: Stage, sample_rate: int | None, rows: int) -> list[Tick]:
    """Return (place, text) of frequencies on an axis of `rows` from 0, bottom, to 1, top.

    Empty for a kind whose rows are not frequencies. A row's own frequency is in its middle.
    """
    if not sample_rate:
        return []
    _, settings = stage.prepared
    kind = getattr(settings, "base", stage.kind)
    hertz, bands = np.array(TICKS, np.float64), rows
    if kind == "mel":
        from sertool.features.mel import hz_to_mel

        top = sample_rate / 2 if settings.fmax is None else settings.fmax
        bands = settings.n_mels
        low, high = hz_to_mel(np.array([settings.fmin, top]), settings.htk)
        places = (hz_to_mel(hertz, settings.htk) - low) / (high - low) * (bands + 1) - 1
    elif kind == "spectrogram":
        bands = 1 + settings.n_fft // 2
        places = hertz / (sample_rate / settings.n_fft)
    elif kind == "logpower":
        places = hertz / settings.grid
    else:
        return []
    if bands != rows and stage.kind != "image":  # the model was given something else of them
        return []
    ticks: list[Tick] = []
    for place, f in zip((places + 0.5) / bands, TICKS, strict=True):
        if 0 <= place <= 1 and (not ticks or place - ticks[-1][0] >= APART):
            ticks.append((float(place), f"{f // 1000} kHz" if f >= 1000 else f"{f} Hz"))
    return ticks


def contributions(
    arrays: dict[str, np.ndarray], row: np.ndarray, winner: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each mean and each sd (dims,) adds to the winning logit less the mean logit.

    arrays: what `models.linear` fitted; row: (2 · dims,), its columns of one item. All of them and
    the biases sum to that difference; the same amount in every logit would change no posterior.
    """
    z = (row - arrays["mean"]) / arrays["sd"]
    parts = (arrays["coef"][winner] - arrays["coef"].mean(0)) * z
    half = len(parts) // 2
    return parts[:half], parts[half:]


@dataclass(frozen=True)
class _Part:
    """What a model was given at a time: of which array, its first frame, which part it is."""

    number: int
    array: int
    first: int
    features: np.ndarray
    posterior: np.ndarray


class Explainer:
    """Draws one figure per file into `folder`, which is made if it is missing.

    Made before the first file is scored, because it watches the passes that give the posteriors.
    names: of the figures that this run has drawn.
    """

    def __init__(self, scorer: Scorer, folder: Path, replace: bool) -> None:
        self.scorer, self.folder, self.replace = scorer, folder, replace
        self.names: dict[str, None] = {}
        self.field: str | None = None  # by whose value the model was chosen, where there are others
        self.header = scorer.header
        self.network = scorer if isinstance(scorer, NetworkScorer) else None
        self.recorder = self.network.recorder() if self.network else None
        folder.mkdir(exist_ok=True)

    def draw(self, item: Item, clip: Clip, row: Prediction) -> Path | None:
        """Draw a recording that was scored just now; None where this run has done so before."""
        from sertool.extras.explain_figures import draw

        name = figure_name(item)
        passes = self.recorder.passes if self.recorder else []
        try:
            if name in self.names:
                return None
            check_output(self.folder / name, self.replace, alone=False)
            draw(self._explain(item, clip, row), self.folder / name)
            self.names[name] = None
            return self.folder / name
        finally:
            passes.clear()

    def _parts(self, clip: Clip) -> Iterator[_Part]:
        number = 0
        passes = self.recorder.passes if self.recorder else []
        firsts = [self.scorer.window_starts(len(array)) for array in clip.arrays]
        passes = passes[-sum(map(len, firsts)) :]
        for k, (array, starts) in enumerate(zip(clip.arrays, firsts, strict=True)):
            for first in starts:
                last = first + (self.scorer.frames or len(array))
                if self.network is not None and self.network.one_pass:
                    posterior = softmax(passes[number].logits[: len(self.scorer.classes)])
                else:
                    posterior = self._scored(array[first:last])
                yield _Part(number, k, first, array[first:last], posterior)
                number += 1

    def _scored(self, array: np.ndarray) -> np.ndarray:
        """Return the posterior of one part, by a pass that is not recorded."""
        passes = self.recorder.passes if self.recorder else []
        before = len(passes)
        posterior: np.ndarray = self.scorer.posterior([array])[0]
        del passes[before:]
        return posterior

    def _explain(self, item: Item, clip: Clip, row: Prediction) -> Explanation:
        from sertool.extras.explain_panels import Explanation

        known = self.scorer.classes  # not the class, where --only left none that it knows
        shares = row.posterior or {}
        label = row.label or max(shares, key=shares.__getitem__)  # the likeliest, if rejected
        winner = known.index(label) if label in known else 0
        parts = list(self._parts(clip))
        part = max(parts, key=lambda one: one.posterior[winner])
        segment = clip.segments[part.array]
        features = part.features
        if self.network is not None:
            features = self.network.model.view(features)
        picture = features.ndim == 4
        features = features[0] if picture else features
        columns = features.shape[1] if picture else len(features)
        rate = self.header.frame_rate or columns / (segment.seconds or 1.0)
        stages = Pipeline.from_records(self.scorer.pipeline).stages
        rates = [stage.sample_rate for stage in stages if stage.sample_rate]
        sample_rate = rates[-1] if rates else self.header.sample_rate
        last = stages[-1]
        decibels = last.kind == "logpower" or getattr(last.prepared[1], "scale", "") == "db"
        rows = features.shape[0] if picture else features.shape[-1]
        explanation = Explanation(
            title=show(row.path),
            model=self.scorer.name,
            kind=str(self.header.kind),
            label=label,
            truth=item.label if (self.header.target or "label") == "label" else None,
            posterior=shares,
            features=features,
            begin=(item.start or 0.0) + segment.start + part.first / rate,
            rate=rate,
            frames=columns,
            ticks=frequency_ticks(last, sample_rate, rows),
            unit=" dB" if decibels else "",
        )
        if len(parts) > 1:
            explanation.part = (
                f"scored in {len(parts)} parts, their posteriors averaged; below, part"
                f" {part.number + 1}, the most certain of {label}"
                f" ({100 * part.posterior[winner]:.1f} %)"
            )
        if self.field is not None:
            value, by = row.further.values()
            how = f"the model of {self.field} {value} (by {by})"
            explanation.part = "; ".join(filter(None, [how, explanation.part]))
        if self.recorder is not None:
            self._look_inside(explanation, part, len(parts), winner)
        elif isinstance(self.scorer.model, Linear):
            fitted = self.scorer.checkpoint.subset("model")
            means = self.scorer.model.row(part.features)
            explanation.contributions = contributions(fitted, means, winner)
        return explanation

    def _look_inside(self, case: Explanation, part: _Part, count: int, winner: int) -> None:
        """Add what the network computed: its normalised input, layers, saliency."""
        from sertool.models.inspection import TooLarge

        assert self.recorder is not None
        one = self.recorder.passes[part.number - count]
        case.layers = one.layers
        pictures = one.x.ndim == 5
        if not pictures:
            case.frames = max(one.x.shape[1], self.recorder.shortest)
            normalisation = self.header.model.normalisation
            if normalisation in NORMALISED:
                case.given = one.x[0, : one.length]
                case.normalised = NORMALISED[normalisation]
        assert self.network is not None
        if self.network.classifier is not None:
            decider = self.network.classifier[0].name
            case.ends_in_logits = False
            case.note = f"no saliency: a model after the network decides ({decider})"
            return
        try:
            slopes = self.recorder.saliency(one, winner)[0]
        except TooLarge:
            case.note = "no saliency: the gradient of a recording this long needs too much memory"
            return
        # pictures: (height, width), summed over channels, the lowest frequency first
        case.saliency = slopes[0].sum(2)[::-1].T if pictures else slopes[: one.length]


class Explainers:
    """An explainer of each of a checkpoint's models: the one that scored a file draws it."""

    def __init__(self, scorer: Routed, folder: Path, replace: bool) -> None:
        self.folder, self.field = folder, scorer.field
        self.names: dict[str, None] = {}
        self._each = {
            value: Explainer(one, folder, replace) for value, one in scorer.scorers.items()
        }
        for one in self._each.values():
            one.names, one.field = self.names, self.field

    def draw(self, item: Item, clip: Clip, row: Prediction) -> Path | None:
        """Draw a recording as `Explainer.draw` does."""
        return self._each[str(row.further[self.field])].draw(item, clip, row)


def explainer(scorer: Scorer, folder: Path, replace: bool) -> Explainer | Explainers:
    """Return what draws the figures of a checkpoint's one model, or of each of its models.

    Raises UsageError where the model is given layers of an encoder, or a network waveforms.
    """
    from sertool.models.scoring import NetworkScorer, Routed

    axes = len(scorer.header.dims)
    if axes == 2 or (axes == 0 and isinstance(scorer, NetworkScorer)):
        what = "layers of an encoder" if axes else "waveforms"
        raise UsageError(f"--explain: draws features over time and pictures, not {what}")
    if isinstance(scorer, Routed):
        return Explainers(scorer, folder, replace)
    return Explainer(scorer, folder, replace)
