"""Kind `functionals`: what openSMILE is asked, and what becomes of what it answers."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_settings import parse

from sertool.core.errors import ItemError, UsageError
from sertool.features import functionals, kind
from sertool.formats.store import Store

NAMES = ("eGeMAPSv02", "GeMAPSv01b", "ComParE_2016")


class Table:
    """As much of a data frame as is used."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.columns = [f"c{i}" for i in range(values.shape[1])]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values.astype(dtype or self.values.dtype)


class FakeSmile:
    """Answers with minimum and maximum of what it hears: one row, or one every 10 ms."""

    def __init__(self, feature_set: str, feature_level: str) -> None:
        self.rows = feature_level == "low level"
        self.set = feature_set

    def process_signal(self, signal: np.ndarray, rate: int) -> Table:
        assert signal.dtype == np.float32
        if len(signal) < rate // 100:
            warnings.warn("Segment too short, filling with NaN.", stacklevel=1)
            return Table(np.full((1, 3), np.nan))
        size = rate // 100 if self.rows else len(signal)
        parts = signal[: len(signal) // size * size].reshape(-1, size)
        place = np.full(len(parts), float(NAMES.index(self.set)))
        return Table(np.stack([place, parts.min(1), parts.max(1)], axis=1))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("opensmile")
    level = types.SimpleNamespace(Functionals="one", LowLevelDescriptors="low level")
    sets = types.SimpleNamespace(**{name: name for name in NAMES})
    vars(module).update(Smile=FakeSmile, FeatureSet=sets, FeatureLevel=level)
    monkeypatch.setitem(sys.modules, "opensmile", module)
    functionals._extractor.cache_clear()
    yield
    functionals._extractor.cache_clear()


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    functionals._extractor.cache_clear()


def given(*texts: str) -> functionals.Settings:
    return parse(functionals.Settings, list(texts))


def test_what_is_asked_and_given(fake: None) -> None:
    samples = np.array([0, 16384, -8192] * 320, np.int16)
    found = functionals.compute(samples, 16000, given())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, -0.25, 0.5]])
    found = functionals.compute(samples, 16000, given("level=lld", "feature_set=ComParE_2016"))
    np.testing.assert_array_equal(found, [[2, -0.25, 0.5]] * 6)
    assert functionals.frame_rate(16000, given()) == 0
    assert functionals.frame_rate(16000, given("level=lld")) == 100
    assert functionals.remarks(16000, given()) == []


def test_too_short_and_not_finite(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ItemError, match=r"too short for openSMILE: 0\.005 s"):
            functionals.compute(np.ones(80, np.int16), 16000, given())
    odd = lambda self, signal, rate: Table(np.array([[1.0, np.nan]]))  # noqa: E731
    monkeypatch.setattr(FakeSmile, "process_signal", odd)
    with pytest.raises(ItemError, match="no finite value of c1"):
        functionals.compute(np.ones(80, np.int16), 16000, given())


def test_without_the_package(missing: None) -> None:
    needed = r"pip install 'sertool\[opensmile\]'"
    for use in (
        lambda: functionals.remarks(16000, given()),
        lambda: functionals.compute(np.ones(8000, np.int16), 16000, given()),
    ):
        with pytest.raises(UsageError, match=needed):
            use()


def test_the_command_without_the_package(
    missing: None, cli: Callable[..., Any], sounds: Path, tmp_path: Path
) -> None:
    result = cli("featurize", "--kind", "functionals", sounds, tmp_path / "f.h5")
    assert result.code == 2
    assert "pip install 'sertool[opensmile]'" in result.err
    assert "Traceback" not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_the_command(
    fake: None, cli: Callable[..., Any], sounds: Path, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "f.h5"
    result = cli("featurize", "--kind", "functionals", "--workers", workers, sounds, path)
    assert result.code == 0, result.err
    with Store(path) as store:
        assert store.kind == "functionals"
        assert store.settings == {"feature_set": "eGeMAPSv02", "level": "functionals"}
        assert store.frame_rate == 0
        assert all(store.features(i).shape == (1, 3) for i in range(12))


@pytest.mark.parametrize("text", ["feature_set=GeMAPS", "level=frames", "colour=red"])
def test_settings_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        given(text)


REAL = {
    "eGeMAPSv02": (88, 25, "F0semitoneFrom27.5Hz_sma3nz_amean"),
    "GeMAPSv01b": (62, 18, "F0semitoneFrom27.5Hz_sma3nz_amean"),
    "ComParE_2016": (6373, 65, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_real_thing(name: str) -> None:
    opensmile = pytest.importorskip("opensmile")
    functionals._extractor.cache_clear()
    dims, descriptors, pitch = REAL[name]
    time = np.arange(16000) / 16000
    tone = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 20))
    samples = np.round(4000 * tone).astype(np.int16)
    found = kind("functionals").compute(samples, 16000, given(f"feature_set={name}"))
    assert found.shape == (1, dims)
    assert np.isfinite(found).all()
    if pitch:  # in semitones above 27.5 Hz: 220 Hz is three octaves up
        columns = opensmile.Smile(getattr(opensmile.FeatureSet, name)).feature_names
        assert found[0, columns.index(pitch)] == pytest.approx(36, abs=0.1)
    rows = functionals.compute(samples, 16000, given(f"feature_set={name}", "level=lld"))
    assert rows.shape[1] == descriptors
    assert abs(len(rows) - 97) <= 3
    silent = functionals.compute(samples * 0, 16000, given(f"feature_set={name}"))
    assert np.isfinite(silent).all()
    with pytest.raises(ItemError, match="too short"):
        functionals.compute(samples[:100], 16000, given(f"feature_set={name}"))
