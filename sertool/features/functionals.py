"""openSMILE's feature sets (Eyben et al. 2010), through its own package: `sertool[opensmile]`.

eGeMAPSv02 and GeMAPSv01b are the extended and the plain Geneva minimalistic set (Eyben et al.
2016), ComParE_2016 is that of the INTERSPEECH challenges (Schuller et al. 2016). openSMILE has a
licence of its own, for private use and research.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sertool.audio.waveform import to_float
from sertool.core.errors import ItemError, UsageError
from sertool.core.settings import setting
from sertool.features import Kind

LEVELS = {"functionals": "Functionals", "lld": "LowLevelDescriptors"}
LLD_RATE = 100.0  # frames per second of every set's low-level descriptors


@dataclass(frozen=True)
class Settings:
    """Which of openSMILE's sets, and at which level."""

    feature_set: Literal["eGeMAPSv02", "GeMAPSv01b", "ComParE_2016"] = setting(
        "eGeMAPSv02", "88, 62 or 6373 functionals; 25, 18 or 65 low-level descriptors"
    )
    level: Literal["functionals", "lld"] = setting(
        "functionals", "one row per recording, or low-level descriptors every 10 ms"
    )


def _opensmile() -> Any:
    """Return the package; UsageError where it is not installed."""
    try:
        import opensmile
    except ImportError:
        raise UsageError(
            "kind functionals needs openSMILE: pip install 'sertool[opensmile]'"
        ) from None
    return opensmile


@functools.lru_cache(maxsize=2)
def _extractor(settings: Settings) -> Any:
    """Return openSMILE ready for use; made in each worker process, since none may be shared."""
    package = _opensmile()
    return package.Smile(
        feature_set=getattr(package.FeatureSet, settings.feature_set),
        feature_level=getattr(package.FeatureLevel, LEVELS[settings.level]),
    )


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the functionals (1, dims) or the descriptors (frames, dims) float32 of samples (n,).

    Raises ItemError where the sound is too short for openSMILE, UsageError without the package.
    """
    extractor = _extractor(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short segments are reported below
        table = extractor.process_signal(to_float(samples), sample_rate)
    values = np.asarray(table, dtype=np.float32)
    if not len(values) or np.isnan(values).all():
        raise ItemError(f"too short for openSMILE: {len(samples) / sample_rate:g} s")
    if not np.isfinite(values).all():
        column = table.columns[np.flatnonzero(~np.isfinite(values).all(axis=0))[0]]
        raise ItemError(f"openSMILE gives no finite value of {column}")
    return np.ascontiguousarray(values)


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second; 0 for functionals, which do not follow each other in time."""
    return LLD_RATE if settings.level == "lld" else 0.0


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return nothing; UsageError where openSMILE is not installed."""
    _opensmile()
    return []


KIND = Kind(
    name="functionals",
    summary="openSMILE's eGeMAPS, GeMAPS or ComParE features (extra sertool[opensmile])",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(1, 88), or (frames, 25) with level=lld",
    remarks=remarks,
)
