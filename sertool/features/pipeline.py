"""One featurize stage as pure functions, and its replay from an audio file.

What `featurize` writes and what `predict` hears come from the same functions, so that the two
agree to the last bit.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool.audio import decoding as audio
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import show
from sertool.features.spec import FeaturizeSpec

if TYPE_CHECKING:
    from sertool.audio.decoding import Decoded


def frame_rate(spec: FeaturizeSpec, sample_rate: int) -> float:
    """Return the frames a second of a stage's features at a sample rate in Hz; 0 of pictures."""
    found, settings = spec.prepared
    return found.frame_rate(sample_rate, settings)


def remarks(spec: FeaturizeSpec, sample_rate: int) -> list[str]:
    """Return lines that the user of a stage should see once, such as empty mel bands.

    Raises UsageError where the settings do not fit the sample rate.
    """
    found, settings = spec.prepared
    lines = list(found.remarks(sample_rate, settings))
    if spec.dtype == "float16" and getattr(settings, "scale", "") in ("power", "magnitude"):
        lines.append("float16 ends at 65504 and has 3 digits: linear scales lose quiet frames")
    return lines


def store_dtype(spec: FeaturizeSpec) -> np.dtype:
    """Return the type that a stage's arrays have in the store."""
    found, _ = spec.prepared
    return np.dtype(spec.dtype or found.dtypes[0])


def load(
    spec: FeaturizeSpec,
    path: str | os.PathLike[str],
    start: float | None = None,
    end: float | None = None,
    fingerprinted: bool = False,
) -> Decoded:
    """Return an utterance of an audio file as a stage hears it: cropped, resampled, padded.

    With its fingerprint where that is asked for. Adds the note "padded" where zeros were appended.
    Raises ItemError.
    """
    decoded = audio.decode(
        path,
        start=start,
        end=end,
        offset=spec.offset,
        duration=_crop(spec),
        channel=spec.channel,
        sample_rate=spec.sample_rate,
        fingerprinted=fingerprinted,
    )
    decoded.samples, padded = _fit(spec, decoded.samples, decoded.sample_rate)
    decoded.notes += ["padded"] if padded else []
    return decoded


def load_samples(spec: FeaturizeSpec, samples: np.ndarray, sample_rate: int) -> Decoded:
    """Return samples (n,), int16 or float32, as a stage hears them, as `load` does a file's.

    For an item of a waveform store and for sound that never was a file. Raises ItemError.
    """
    part, rate, notes = _heard(spec, samples, sample_rate)
    return audio.Decoded(
        samples=part,
        sample_rate=rate,
        source_rate=sample_rate,
        channels=1,
        audio_hash=audio.audio_hash(samples),
        duration=len(samples) / sample_rate,
        notes=notes,
    )


def _heard(
    spec: FeaturizeSpec, samples: np.ndarray, rate: int
) -> tuple[np.ndarray, int, list[str]]:
    """Return (samples, their rate, notes) of samples cropped, resampled and padded by a stage."""
    if len(samples) == 0:
        raise ItemError("no samples")
    audio.check_finite(samples)
    part = audio.crop(samples, rate, spec.offset, _crop(spec))
    notes = audio.faults(part)
    wanted = spec.sample_rate or rate
    if wanted != rate:
        part = audio.resample(part, rate, wanted)
        notes.insert(0, "resampled")
    part, padded = _fit(spec, part, wanted)
    return part, wanted, notes + (["padded"] if padded else [])


def _crop(spec: FeaturizeSpec) -> float | None:
    return None if spec.fit == "pad" else spec.duration


def _fit(spec: FeaturizeSpec, samples: np.ndarray, rate: int) -> tuple[np.ndarray, bool]:
    """Return samples brought to the stage's duration, and whether zeros were appended."""
    if spec.duration is None:
        return samples, False
    wanted = max(1, round(spec.duration * rate))
    if spec.fit != "pad":
        samples = samples[:wanted]
    if spec.fit != "crop" and len(samples) < wanted:
        return _lengthen(samples, wanted), True
    return samples, False


def _lengthen(samples: np.ndarray, wanted: int) -> np.ndarray:
    return np.concatenate([samples, np.zeros(wanted - len(samples), samples.dtype)])


def extract(
    spec: FeaturizeSpec, samples: np.ndarray, sample_rate: int
) -> list[tuple[str, np.ndarray]]:
    """Return the items of one utterance: [("", features)], or [("#000", features), ...].

    `samples` (n,) as `load` gives them: float32 with full scale 1, or int16 with full scale 32768.
    Features come in the store's type. Raises ItemError where there is nothing to take them of.
    """
    found, settings = spec.prepared
    dtype = store_dtype(spec)
    items = []
    for suffix, part in _segments(spec, samples, sample_rate):
        if spec.kind == "wave" and dtype == np.int16:
            items.append((suffix, audio.to_int16(part)))  # int16 passes as it is
        else:
            items.append((suffix, _round(found.compute(part, sample_rate, settings), dtype)))
    return items


def _round(features: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:
        limit = np.finfo(np.float16).max
        features = np.clip(features, -limit, limit)  # never infinite
    return features.astype(dtype, copy=False)


def _segments(spec: FeaturizeSpec, samples: np.ndarray, rate: int) -> list[tuple[str, np.ndarray]]:
    """Return the parts of `samples` that become items, each with the end of its id."""
    if spec.segment_max is not None:
        parts = _equal_parts(samples, max(1, round(spec.segment_max * rate)))
    elif spec.segment is not None:
        length = max(1, round(spec.segment * rate))
        hop = max(1, round((spec.segment_hop or spec.segment) * rate))
        parts = _windows(samples, length, hop, spec.segment_tail)
    else:
        return [("", samples)]
    return [(f"#{i:03d}", part) for i, part in enumerate(parts)]


def _equal_parts(samples: np.ndarray, longest: int) -> list[np.ndarray]:
    """Return the fewest parts of at most `longest` samples, equal to within one sample."""
    count = -(-len(samples) // longest)
    edges = [i * len(samples) // count for i in range(count + 1)]
    return [samples[a:b] for a, b in itertools.pairwise(edges)]


def _windows(samples: np.ndarray, length: int, hop: int, tail: str) -> list[np.ndarray]:
    """Return windows of `length` every `hop` samples; the last, shorter one as `tail` says."""
    total = len(samples)
    if total < length:
        if tail == "drop":
            raise ItemError("shorter than a segment")
        return [_lengthen(samples, length)]
    starts = range(0, total - length + 1, hop)
    parts = [samples[first : first + length] for first in starts]
    following = starts[-1] + hop
    if following < total and starts[-1] + length < total:
        if tail == "align":
            parts.append(samples[total - length :])
        elif tail == "pad":
            parts.append(_lengthen(samples[following : following + length], length))
    return parts


def replay(
    pipeline: Sequence[dict[str, Any]],
    path: str | os.PathLike[str],
    start: float | None = None,
    end: float | None = None,
) -> list[np.ndarray]:
    """Return the arrays that a store with this `pipeline` holds for an utterance of a file.

    Goes through every featurize stage, rounding to each store's type in between, and leaves
    augmentation out. Raises ItemError for the file, UsageError for a pipeline that is none.
    """
    specs = featurize_stages(pipeline)
    decoded = load(specs[0], path, start, end)
    return _through(specs, decoded.samples, decoded.sample_rate)


def replay_samples(
    pipeline: Sequence[dict[str, Any]], samples: np.ndarray, sample_rate: int
) -> list[np.ndarray]:
    """Return what `replay` would for a file of these samples (n,), int16 or float32, mono."""
    specs = featurize_stages(pipeline)
    decoded = load_samples(specs[0], samples, sample_rate)
    return _through(specs, decoded.samples, decoded.sample_rate)


def featurize_stages(pipeline: Sequence[dict[str, Any]]) -> list[FeaturizeSpec]:
    """Return the featurize stages of a store's `pipeline`; UsageError where it has none.

    Every stage but the last must be of kind `wave`.
    """
    stages = [stage for stage in pipeline if stage.get("stage") == "featurize"]
    specs = [FeaturizeSpec.from_dict(stage) for stage in stages]
    if not specs or any(spec.kind != "wave" for spec in specs[:-1]):
        raise UsageError(f"no pipeline from a waveform: {[show(spec.kind) for spec in specs]}")
    return specs


def check_pipeline(pipeline: Sequence[dict[str, Any]], name: str) -> None:
    """Raise InputError, which calls the file `name`, where its pipeline cannot be replayed."""
    try:
        for spec in featurize_stages(pipeline):
            _ = spec.prepared
    except UsageError as error:
        raise InputError(f"{name}: its pipeline cannot be replayed: {error}") from error


def _through(specs: list[FeaturizeSpec], samples: np.ndarray, rate: int) -> list[np.ndarray]:
    """Return the last stage's arrays; an item that a later stage refused is not in its store."""
    arrays = [array for _, array in extract(specs[0], samples, rate)]
    for spec in specs[1:]:
        following: list[np.ndarray] = []
        refused = ItemError("no items")
        for array in arrays:
            try:
                part, wanted, _ = _heard(spec, array, rate)
                following += [item for _, item in extract(spec, part, wanted)]
            except ItemError as error:
                refused = error
        if not following:
            raise refused
        arrays, rate = following, spec.sample_rate or rate
    return arrays
