"""Pictures: against librosa, matplotlib, Pillow, torch, and MATLAB's jet written out."""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import librosa
import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_settings import parse
from PIL import Image

from sertool.audio import decoding as audio
from sertool.audio import waveform
from sertool.core.errors import UsageError
from sertool.features import colormaps, image, kind
from sertool.features.hearing import Hearing
from sertool.features.pipeline import Pipeline
from sertool.features.stage import Stage
from sertool.formats.store import Store
from sertool.items import Item

BADSHAH: dict[str, Any] = {
    "base": "spectrogram",
    "win_length": 256,
    "hop_length": 128,
    "window": "hamming",
    "colormap": "jet",
    "height": 256,
    "width": 256,
}


def chirp(samples: int, rate: int, quiet: float = 1.0) -> np.ndarray:
    """A tone that rises from 200 Hz, with a little noise, in int16."""
    time = np.arange(samples) / rate
    wave = np.sin(2 * np.pi * (200 + 600 * time) * time)
    wave += 0.001 * np.random.default_rng(0).standard_normal(samples)
    return np.round(quiet * 20000 * wave).astype(np.int16)


def bilinear(length: int, wanted: int) -> np.ndarray:
    """The matrix (wanted, length) of a triangle around each output, in a loop over pixels."""
    scale = length / wanted
    reach = max(scale, 1.0)
    matrix = np.zeros((wanted, length))
    for i in range(wanted):
        for j in range(length):
            matrix[i, j] = max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * scale) / reach)
        matrix[i] /= matrix[i].sum()
    return matrix


# --- colour maps


def test_jet_is_matlabs() -> None:
    """As `edit jet` shows it: n = ceil(m / 4) and three indices into one ramp."""
    m = 256
    n = math.ceil(m / 4)
    ramp = [*(k / n for k in range(1, n + 1)), *[1.0] * (n - 1), *(k / n for k in range(n, 0, -1))]
    green = [math.ceil(n / 2) - (m % 4 == 1) + k for k in range(1, len(ramp) + 1)]
    expected = np.zeros((m, 3))
    for channel, shift in ((0, n), (1, 0), (2, -n)):
        for value, at in zip(ramp, green, strict=True):
            if 1 <= at + shift <= m:
                expected[at + shift - 1, channel] = value
    np.testing.assert_array_equal(colormaps.table("jet"), np.floor(expected * 255 + 0.5))
    assert colormaps.table("jet")[[0, -1]].tolist() == [[0, 0, 131], [128, 0, 0]]


@pytest.mark.parametrize(("name", "theirs"), [("mpl-jet", "jet"), ("viridis", "viridis")])
def test_maps_are_matplotlibs(name: str, theirs: str) -> None:
    expected = matplotlib.colormaps[theirs](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(colormaps.table(name), expected)


def test_the_two_jets_differ() -> None:
    apart = np.abs(colormaps.table("jet") - colormaps.table("mpl-jet"))
    assert apart.max() == 33


@given(st.floats(0, 1, width=32), st.sampled_from(["jet", "mpl-jet", "viridis"]))
@settings(deadline=None)
def test_a_level_takes_its_row(level: float, name: str) -> None:
    (colour,) = colormaps.paint(np.array([level], np.float32), name)
    row = min(int(np.float32(level) * 256), 255)
    np.testing.assert_array_equal(colour, colormaps.table(name)[row])


def test_matplotlib_takes_the_same_rows() -> None:
    level = np.linspace(0, 1, 5001, dtype=np.float32)
    theirs = matplotlib.colormaps["jet"](level, bytes=True)[:, :3]
    np.testing.assert_array_equal(colormaps.paint(level, "mpl-jet"), theirs)


def test_an_unknown_map_is_refused(cli, sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.h5"
    for name in ("turbo", "../labels/native", ""):
        result = cli("featurize", "--kind", "image", "--set", f"colormap={name}", sounds, out)
        assert result.code == 2
        assert "jet, mpl-jet, viridis" in result.err
        assert len(result.err.splitlines()) == 1
    spec = Stage("image", {"colormap": "turbo"})
    with pytest.raises(UsageError, match="viridis"):
        spec.to_dict()


# --- resizing

SIZES = st.integers(1, 90)


@given(rows=SIZES, columns=SIZES, height=SIZES, width=SIZES, channels=st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None)
def test_resizing_is_torchs_and_pillows(
    rows: int, columns: int, height: int, width: int, channels: int
) -> None:
    random = np.random.default_rng(rows * 7 + columns)
    pixels = random.integers(0, 256, (rows, columns, channels)).astype(np.float32)
    ours = image.resize(pixels, height, width)
    assert ours.shape == (height, width, channels)
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(
        batch, (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    if width > 1:  # torch leaves the height unsmoothed where the result is one column wide
        np.testing.assert_allclose(ours, theirs[0].permute(1, 2, 0).numpy(), atol=0.01)
    for c in range(channels):
        plane = Image.fromarray(pixels[:, :, c].astype(np.uint8))
        small = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
        assert np.abs(np.rint(ours[:, :, c]) - small).max() <= 1


@pytest.mark.parametrize(("length", "wanted"), [(1, 64), (3, 2), (64, 64), (329, 64), (126, 256)])
def test_resizing_is_the_triangle(length: int, wanted: int) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (length, 5, 3)).astype(np.float32)
    expected = np.einsum("ij,jkc->ikc", bilinear(length, wanted), pixels)
    np.testing.assert_allclose(image.resize(pixels, wanted, 5), expected, atol=1e-3)
    turned = image.resize(pixels.swapaxes(0, 1), 5, wanted)
    np.testing.assert_allclose(turned.swapaxes(0, 1), expected, atol=1e-3)
    if length == wanted:
        np.testing.assert_array_equal(expected, pixels)


# --- whole pictures


def reference(samples: np.ndarray, rate: int, options: dict[str, Any]) -> np.ndarray:
    """Levels (rows, columns) of librosa, low frequency at the bottom."""
    y = waveform.to_float(samples)
    frame = {"n_fft": 512, "hop_length": options.get("hop_length", 512)}
    frame |= {"window": options.get("window", "hann"), "win_length": options.get("win_length")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if options.get("base") == "spectrogram":
            power = np.abs(librosa.stft(y, **frame)) ** 2
        else:
            power = librosa.feature.melspectrogram(y=y, sr=rate, n_mels=128, **frame)
    level = librosa.power_to_db(power, ref=np.max, top_db=80)
    return level[::-1] / 80 + 1


def assert_rows(picture: np.ndarray, level: np.ndarray, table: np.ndarray) -> None:
    """Every colour is that of the level's row of the table, or of a neighbouring row."""
    row = np.minimum((level * 256).astype(int), 255)
    near = [(picture == table[np.clip(row + step, 0, 255)]).all(-1) for step in (-1, 0, 1)]
    assert np.any(near, axis=0).all()
    assert near[1].mean() > 0.95
    assert (row.min(), row.max()) == (0, 255)


@pytest.mark.parametrize("options", [{}, BADSHAH], ids=["fser", "badshah"])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_before_resizing_it_is_librosas(rate: int, options: dict[str, Any]) -> None:
    samples = chirp(rate // 2, rate)
    level = reference(samples, rate, options)
    size = {"height": level.shape[0], "width": level.shape[1]}  # so that nothing is resized
    given = image.Settings(**options | size)
    (picture,) = image.compute(samples, rate, given)
    assert picture.shape == (*level.shape, 3)
    assert picture.dtype == np.uint8
    table = matplotlib.colormaps["jet"](np.arange(256), bytes=True)[:, :3]
    if options:
        table = colormaps.table("jet")
    assert_rows(picture, level, table)


def test_real_speech_is_librosas(corpora: Path) -> None:
    path = sorted((corpora / "ravdess/Actor_01").glob("*.flac"))[7]
    decoded = audio.decode(path)
    level = reference(decoded.samples, decoded.sample_rate, {})
    given = image.Settings(height=level.shape[0], width=level.shape[1])
    (picture,) = image.compute(decoded.samples, decoded.sample_rate, given)
    table = matplotlib.colormaps["jet"](np.arange(256), bytes=True)[:, :3]
    assert_rows(picture, level, table)


def test_the_colour_comes_before_the_resizing() -> None:
    samples = chirp(24000, 48000)
    whole = image.Settings(height=128, width=47)
    (large,) = image.compute(samples, 48000, whole)
    (small,) = image.compute(samples, 48000, image.Settings())
    expected = image.resize(large.astype(np.float32), 64, 64)
    assert np.abs(small - expected).max() <= 0.51


def test_grey_is_the_level() -> None:
    samples = chirp(24000, 48000)
    level = reference(samples, 48000, {})
    given = image.Settings(height=level.shape[0], width=level.shape[1], color=False)
    (picture,) = image.compute(samples, 48000, given)
    assert picture.shape == (*level.shape, 1)
    assert np.abs(picture[:, :, 0] - level * 255).max() < 0.6
    assert image.compute(samples, 48000, image.Settings(color=False)).shape == (1, 64, 64, 1)


def test_low_is_at_the_bottom_and_the_start_at_the_left() -> None:
    time = np.arange(16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 300 * time) * (time > 0.5)
    tone[:8000] += 0.5 * np.sin(2 * np.pi * 7200 * time[:8000])
    given = image.Settings(base="spectrogram", color=False, height=16, width=16)
    (picture,) = image.compute(tone.astype(np.float32), 16000, given)
    assert picture[:, 3, 0].argmax() == 1  # 7.2 of 8 kHz, top down
    assert picture[:, 12, 0].argmax() == 15


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("base", ["mel", "spectrogram"])
def test_silence_is_the_lowest_colour(color: bool, base: str) -> None:
    given = image.Settings(base=base, color=color)  # type: ignore[arg-type]
    (picture,) = image.compute(np.zeros(5000, np.int16), 16000, given)
    lowest = [0, 0, 127] if color else [0]
    assert (picture == lowest).all()
    (alike,) = image.compute(np.full(5000, 1e-8, np.float32), 16000, given)  # below amin
    assert (alike == lowest).all()
    click = np.zeros(400, np.float32)
    click[200] = 1.0
    flat = image.Settings(base="spectrogram", window="boxcar", color=False, height=8, width=1)
    assert (image.compute(click, 16000, flat) == 255).all()  # flat, but no silence


@given(st.integers(1, 3000), st.integers(1, 200), st.integers(1, 200), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_length_gives_one_picture(samples: int, height: int, width: int, color: bool) -> None:
    given = image.Settings(height=height, width=width, color=color)
    made = image.compute(chirp(samples, 16000), 16000, given)
    assert made.shape == (1, height, width, 3 if color else 1)
    if samples < 512:  # one frame: all columns are alike
        assert np.ptp(made.astype(int), axis=2).max() <= 1


def test_int16_and_float_give_the_same_bits() -> None:
    raw = chirp(30000, 48000)
    for options in ({}, BADSHAH, {"precision": "float64"}):
        chosen = image.Settings(**options)
        whole = image.compute(raw, 48000, chosen)
        np.testing.assert_array_equal(whole, image.compute(waveform.to_float(raw), 48000, chosen))
        # colours of a long sound go through memory of their own
        kept, image.FAMILIAR = image.FAMILIAR, 0
        try:
            np.testing.assert_array_equal(whole, image.compute(raw, 48000, chosen))
        finally:
            image.FAMILIAR = kept


def test_a_picture_of_before_is_left_alone() -> None:
    first = image.compute(chirp(30000, 48000), 48000, image.Settings())
    before = first.copy()
    image.compute(chirp(30000, 48000)[::-1].copy(), 48000, image.Settings())
    np.testing.assert_array_equal(first, before)


# --- in the pipeline


def test_settings() -> None:
    default = image.Settings()
    assert (default.n_fft, default.hop_length, default.n_mels, default.window) == (
        512, 512, 128, "hann",
    )  # fmt: skip
    assert parse(image.Settings, [f"{k}={v}" for k, v in BADSHAH.items()]) == image.Settings(
        **BADSHAH
    )
    wrong = "top_db=0 top_db=none top_db=-3 height=0 width=5000 ref=1.0 base=mfcc color=grey"
    for text in [*wrong.split(), "colormap=3", "n_fft=1", "fmin=-1"]:
        with pytest.raises(UsageError):
            parse(image.Settings, [text])
    for text in ("n_mels=64", "fmax=4000", "htk=true", "norm=none", "power=1.0"):
        with pytest.raises(UsageError, match="no effect with base=spectrogram"):
            parse(image.Settings, ["base=spectrogram", text])
    parse(image.Settings, ["base=spectrogram", "n_mels=128"])


def test_remarks() -> None:
    (line,) = Stage("image").remarks(48000)
    assert line.startswith("13 of 128 mel bands hold no frequency bin")
    assert Stage("image", {"n_mels": 64}).remarks(16000) == []
    assert Stage("image", {"base": "spectrogram"}).remarks(48000) == []


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16"])
def test_pictures_are_bytes(cli, sounds: Path, tmp_path: Path, dtype: str) -> None:
    result = cli("featurize", "--kind", "image", "--dtype", dtype, sounds, tmp_path / "x.h5")
    assert result.code == 2
    assert f"--dtype {dtype}: image is stored as uint8" in result.err
    with pytest.raises(UsageError, match="float32 or float16"):
        Stage("mel", dtype="uint8")
    assert Stage("image").store_dtype == np.uint8
    assert Stage("image", dtype="uint8").store_dtype == np.uint8
    assert Stage("mel").store_dtype == np.float32
    assert Stage("image").to_dict()["dtype"] == "uint8"
    assert Stage("wave").to_dict()["dtype"] == "float32"


def test_no_frame_rate() -> None:
    assert kind("image").frame_rate(16000, image.Settings()) == 0.0
    assert Stage("image").frame_rate(16000) == 0.0


def test_segments_are_pictures_of_their_own() -> None:
    spec = Stage("image", sample_rate=16000, segment=1.0, segment_hop=0.4)
    samples = chirp(30000, 16000)
    items = spec.extract(samples, 16000)
    assert [item.suffix for item in items] == ["#000", "#001", "#002", "#003"]
    _, settings = spec.prepared
    parts = [samples[:16000], samples[6400:22400], samples[12800:28800], samples[14000:]]
    for item, part in zip(items, parts, strict=True):
        np.testing.assert_array_equal(item.array, image.compute(part, 16000, settings))
    again = Pipeline.from_records([spec.to_dict()]).arrays(samples, 16000)
    assert all((a == b.array).all() for a, b in zip(again, items, strict=True))


def test_a_store_and_what_predict_hears(cli, sounds: Path, tmp_path: Path) -> None:
    path = tmp_path / "i.h5"
    options = ["--set", "height=20", "--set", "width=24", "--set", "colormap=viridis"]
    options += ["--set", "n_fft=256"]
    result = cli("featurize", "--kind", "image", *options, sounds, path)
    assert result.code == 0, result.err
    assert "of 128 mel bands hold no frequency bin" in result.err
    with Store(path) as store:
        assert (store.shape, store.dtype, store.frame_rate) == ((20, 24, 3), np.uint8, 0.0)
        assert len(store) == 12
        row, picture = store.items()[5], store.features(5)
        recording = Item("", os.path.join(store.root, row.path))
        assert store.settings["colormap"] == "viridis"
        pipeline = Pipeline.from_records(store.pipeline)
    (clip,) = Hearing(pipeline).hear(recording).clips
    (array,) = clip.arrays
    np.testing.assert_array_equal(array, picture)
    windows = Hearing(pipeline, window=0.2, hop=0.1).hear(recording)
    assert len(windows.clips) == 4
    assert {a.shape for clip in windows.clips for a in clip.arrays} == {(1, 20, 24, 3)}
    whole = cli("info", path)
    assert whole.code == 0
    assert "12 items; each a picture of 20 x 24 x 3" in whole.out
    assert "hours" not in whole.out
    assert "a second" not in whole.out
    found = json.loads(cli("info", "--json", path).out)
    assert (found["hours"], found["survey"]["lengths"]) == (None, None)


def test_from_a_store_of_waveforms(cli, sounds: Path, tmp_path: Path) -> None:
    wave, one, two = (tmp_path / f"{name}.h5" for name in "abc")
    assert cli("featurize", "--kind", "wave", "--dtype", "int16", sounds, wave).code == 0
    assert cli("featurize", "--kind", "image", wave, one).code == 0
    assert cli("featurize", "--kind", "image", sounds, two).code == 0
    with Store(one) as first, Store(two) as second:
        for i in range(12):
            np.testing.assert_array_equal(first.features(i), second.features(i))


def test_list_shows_every_setting(cli) -> None:
    out = cli("list", "kinds", "--kind", "image").out
    for words in ("base", "mel", "height", "64", "pixels", "mpl-jet", "top_db", "80.0", "dB"):
        assert words in out
    assert "image" in cli("list", "kinds").out
