"""`info --figures` of a store shows what the network sees; `--items` takes a number or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import write_store
from PIL import Image

from sertool.cli.parameters import with_values
from sertool.core.settings import Option, make
from sertool.evaluation.description import evenly
from sertool.features import KINDS, Shown, kind
from sertool.features import item_figures as picture_figures
from sertool.features.colormaps import table
from sertool.features.item_figures import COLUMNS, Panel, names, panel, sheet
from sertool.features.levels import UNITS
from sertool.items import Item


def rows(count: int, **fields: Any) -> list[Item]:
    base = {"path": "x.wav", "label": "anger", "corpus": "c"} | fields
    return [Item.from_row(base | {"id": f"c/long/way/{i:03d}"}) for i in range(count)]


def pictures(path: Path, count: int = 30, shape: tuple[int, ...] = (8, 6, 3)) -> np.ndarray:
    """Write a store of random pictures and return them."""
    random = np.random.default_rng(0)
    arrays = random.integers(0, 256, (count, 1, *shape)).astype(np.uint8)
    write_store(path, list(arrays), rows(count), kind="image", frame_rate=0.0)
    return arrays[:, 0]


@given(st.integers(1, 500), st.integers(1, 500))
def test_evenly(total: int, wanted: int) -> None:
    chosen = evenly(total, wanted)
    assert len(chosen) == min(total, wanted)
    assert len(set(chosen)) == len(chosen)
    steps = np.diff([-1 - (total - chosen[-1] - 1), *chosen])
    assert steps.max() - steps.min() <= 1 + (total % len(chosen) > 0)
    assert chosen[0] >= 0
    assert chosen[-1] < total
    assert evenly(total, None) == list(range(total))
    assert evenly(0, wanted) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--items", "r.h5"], ["--items=all", "r.h5"]),
        (["r.h5", "--items"], ["r.h5", "--items=all"]),
        (["--items", "12", "r.h5"], ["--items=12", "r.h5"]),
        (["r.h5", "--items", "12"], ["r.h5", "--items=12"]),
        (["--items=12", "r.h5"], ["--items=12", "r.h5"]),
        (["--items", "--json", "r.h5"], ["--items=all", "--json", "r.h5"]),
        (["--items", "./12"], ["--items=all", "./12"]),
        (["--", "--items", "12"], ["--", "--items", "12"]),
        (["--items", "-3"], ["--items=-3"]),
        (["r.h5"], ["r.h5"]),
    ],
)
def test_a_number_or_none(given: list[str], expected: list[str]) -> None:
    assert with_values(given, {"--items": Option("", bare="all")}) == expected


def test_items_with_and_without_a_number(cli, tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    pictures(path)
    for arguments in (["--items", path], [path, "--items"]):
        assert len(cli("info", *arguments).out.splitlines()) == 30
    for arguments in (["--items", 5, path], [path, "--items", 5], ["--items=5", path]):
        found = [json.loads(line)["id"] for line in cli("info", *arguments).out.splitlines()]
        assert found == [f"c/long/way/{i:03d}" for i in (3, 9, 15, 21, 27)]
    assert len(cli("info", path, "--items", 99).out.splitlines()) == 30
    for wrong in ("0", "-1"):
        result = cli("info", path, "--items", wrong)
        assert result.code == 2
        assert "above 0" in result.err
    assert cli("info", path, "--items=many").code == 2
    assert cli("info", "--audit", path, path, "--items", 3).code == 2


def shown(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_pictures_are_drawn_as_they_are(cli, tmp_path: Path) -> None:
    path, folder = tmp_path / "r.h5", tmp_path / "figures"
    made = pictures(path)
    result = cli("info", path, "--figures", folder, "--items", 5)
    assert result.code == 0
    assert "feature store" in result.out  # the number is that of the figures
    assert "items.png" in result.err
    page = shown(folder / "items.png")
    times = 256 // 8
    for i in (3, 9, 15, 21, 27):
        whole = np.kron(made[i].astype(int), np.ones((times, times, 1), int))
        height, width = whole.shape[:2]
        corners = np.argwhere((page[: -height + 1 or None, : -width + 1 or None] == whole[0, 0])
                              .all(-1))  # fmt: skip
        assert any((page[y : y + height, x : x + width] == whole).all() for y, x in corners), i
    first = (folder / "items.png").read_bytes()
    assert cli("info", path, "--figures", folder).code == 3  # there is one
    again = cli("info", path, "--figures", folder, "--items", 5, "--force")
    assert again.code == 0
    assert (folder / "items.png").read_bytes() == first
    assert cli("info", "-q", path, "--figures", tmp_path / "all", "--items").out.count("\n") == 30


def test_twelve_by_default(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.h5"
    pictures(path)
    seen: list[Any] = []
    kept = picture_figures.sheet
    monkeypatch.setattr(picture_figures, "sheet", lambda *a: seen.append(a) or kept(*a))
    assert cli("info", path, "--figures", tmp_path / "f").code == 0
    ((panels, caption, rate, said),) = seen
    assert [one.id for one in panels] == [f"c/long/way/{i:03d}" for i in evenly(30, 12)]
    assert caption == "r.h5: 12 of 30 items · image of 8 x 6 x 3"
    assert rate == 0.0
    assert said.values == "dB below the loudest"


@pytest.mark.parametrize(
    ("array", "kind", "rate"),
    [
        (np.zeros((50, 4), np.float32), "mel", 100.0),
        (np.arange(60.0, dtype=np.float32).reshape(20, 3), "mfcc", 0.0),
        (np.zeros((1, 3), np.float32), "functionals", 0.0),
        (np.ones((2, 3, 4), np.float32), "other", 0.0),
        (np.zeros((1, 5, 5, 1), np.uint8), "image", 0.0),
        (np.zeros((1, 300, 500, 3), np.uint8), "image", 0.0),
        (np.zeros(9, np.int16), "wave", 16000.0),
        (np.linspace(-1, 1, 5000, dtype=np.float32), "wave", 16000.0),
    ],
)
def test_every_kind_has_a_sheet(
    cli, tmp_path: Path, array: np.ndarray, kind: str, rate: float
) -> None:
    items = rows(3)
    items[1].label = None
    items[2].id = "中文/$x_1$"
    write_store(tmp_path / "s.h5", [array] * 3, items, kind=kind, frame_rate=rate)
    result = cli("info", tmp_path / "s.h5", "--figures", tmp_path / "f")
    assert result.code == 0, result.err
    assert shown(tmp_path / "f" / "items.png").std() > 0


def test_the_time_axis() -> None:
    array = np.random.default_rng(0).standard_normal((250, 4)).astype(np.float32)
    panels = [panel(row, array) for row in rows(6)]
    timed = sheet(panels, "x", 100.0, Shown("band", values="power, dB")).axes
    assert timed[0].get_images()[0].get_extent() == [0, 2.5, 0, 4]
    assert [axes.get_xlabel() for axes in timed] == [""] * 2 + ["time, s"] * 4 + [""]
    assert [axes.get_ylabel() for axes in timed] == [
        *("band", "", "", "", "band", ""),
        "power, dB",  # of the bar
    ]
    assert timed[0].get_title(loc="left") == "000\nanger"
    untimed = sheet(panels, "x", 0.0, Shown(span=(0, 8000))).axes[-2]
    assert untimed.get_images()[0].get_extent() == [0, 250, 0, 8000]
    assert untimed.get_xlabel() == "frames"
    wave = [panel(row, np.zeros(800, np.int16)) for row in rows(2)]
    (first, _) = sheet(wave, "x", 16000.0, Shown(values="amplitude")).axes
    assert first.get_xlim() == (0, 0.05)
    assert first.get_ylabel() == "amplitude"


def test_one_scale_for_all_heat_maps() -> None:
    loud, quiet = np.full((9, 2), 50.0), np.zeros((9, 2))
    panels = [panel(r, x) for r, x in zip(rows(2), (loud, quiet), strict=True)]
    one, two, bar = sheet(panels, "", 1, Shown()).axes
    assert one.get_images()[0].get_clim() == two.get_images()[0].get_clim() == (0, 50)
    assert bar.get_ylim() == (0, 50)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_names_its_axes_and_units(name: str) -> None:
    found = kind(name)
    said = found.shown(16000, make(found.Settings, {}))
    assert said.rows
    assert said.values
    assert len(said.rows) <= 30
    if name in ("spectrogram", "logpower", "mel"):
        assert said.values == "power, dB"
    if name == "spectrogram":
        assert said.span == (0, 8000)


def test_a_scale_has_its_own_unit() -> None:
    mel = kind("mel")
    said = {scale: mel.shown(8000, make(mel.Settings, {"scale": scale})) for scale in UNITS}
    assert len({one.values for one in said.values()}) == 4
    assert said["db"].rows == "band (mel, 0 to 4 kHz)"


def test_the_bar_of_a_picture_has_its_colours(cli, tmp_path: Path) -> None:
    """The colours that the kind paints with, and the levels in dB that they stand for."""
    image = kind("image")
    chosen = make(image.Settings, {"top_db": 60, "colormap": "viridis"})
    shown_so = image.shown(16000, chosen)
    pixels = image.compute(np.random.default_rng(0).standard_normal(9000), 16000, chosen)
    sheet_made = sheet([panel(rows(1)[0], pixels)], "x", 0.0, shown_so)
    picture, bar = sheet_made.axes
    assert bar.get_ylim() == (-60, 0)
    assert bar.get_ylabel() == "dB below the loudest"
    assert picture.get_xlabel() == "pixels (time)"
    assert "0 to 8 kHz" in picture.get_ylabel()
    (mesh,) = [c for c in bar.collections if hasattr(c, "cmap") and c.get_array() is not None]
    np.testing.assert_allclose(mesh.cmap.colors, table("viridis") / 255)
    unknown = sheet([panel(rows(1)[0], pixels)], "x", 0.0, Shown())
    assert unknown.axes[1].get_ylabel() == "level"
    assert unknown.axes[1].get_ylim() == (0, 255)


def test_a_vector_is_a_line_of_features() -> None:
    vector = np.array([[1.0, -2000.0, 3.0, 40000.0]], np.float32)
    (axes,) = sheet([panel(rows(1)[0], vector)], "x", 0.0, Shown("functional")).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("functional", "value")
    assert axes.get_yscale() == "symlog"
    assert axes.get_xlim() == (0, 4)
    np.testing.assert_array_equal(axes.patches[0].get_data().values, vector[0])
    (axes,) = sheet([panel(rows(1)[0], vector / 1e6)], "x", 0.0, Shown()).axes
    assert axes.get_yscale() == "linear"


def test_names_of_axes_are_within_the_sheet(cli, tmp_path: Path) -> None:
    arrays = {
        "wave": np.linspace(-1, 1, 900, dtype=np.float32),
        "mel": np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32),
        "functionals": np.full((1, 88), -1e7, np.float32),
        "image": np.zeros((1, 8, 500, 3), np.uint8),
    }
    for name, array in arrays.items():
        for many in (1, 6):
            found = kind(name)
            said = found.shown(48000, make(found.Settings, {}))
            figure = sheet([panel(row, array) for row in rows(many)], "x", 100.0, said)
            figure.draw_without_rendering()
            for axes in figure.axes:
                box = axes.get_tightbbox()
                assert box.x0 >= 0, name
                assert box.y0 >= 0, name
                assert box.x1 <= figure.bbox.width, name


@given(st.integers(2, 3 * COLUMNS), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_long_items_are_thinned(frames: int, dims: int) -> None:
    array = np.random.default_rng(frames).standard_normal((frames, dims)).astype(np.float32)
    values = panel(rows(1)[0], array).values
    cuts = [i * frames // len(values) for i in range(len(values) + 1)]
    assert len(values) == min(frames, COLUMNS)
    for i in (0, len(values) // 2, len(values) - 1):
        np.testing.assert_allclose(values[i], array[cuts[i] : cuts[i + 1]].mean(0), atol=1e-5)
    wave = panel(rows(1)[0], np.arange(frames, dtype=np.int16)).values * 32768
    np.testing.assert_array_equal(wave[:, 0], cuts[:-1])
    np.testing.assert_array_equal(wave[:, 1], np.array(cuts[1:]) - 1)


def test_names() -> None:
    assert names(["a/b/one", "a/b/two"], 20) == ["one", "two"]
    assert names(["a/b/one", "a/c/two"], 20) == ["b/one", "c/two"]
    assert names(["a/one", "b/two"], 20) == ["a/one", "b/two"]
    assert names(["a/b/one"], 20) == ["a/b/one"]
    assert names(["one", "two"], 20) == ["one", "two"]
    assert names(["x/abcdefghij#001", "x/b"], 8) == ["…hij#001", "b"]


def test_an_item_without_frames() -> None:
    for array in (np.zeros((0, 3), np.float32), np.zeros(0, np.float32)):
        sheet([panel(rows(1)[0], array)], "", 100.0, Shown())
    made = panel(rows(1)[0], np.zeros((1, 4, 5, 3), np.uint8))
    assert isinstance(made, Panel)
    assert made.what == "picture"


def test_what_cannot_be_drawn(cli, sounds: Path, tmp_path: Path) -> None:
    manifest, store = tmp_path / "m.jsonl", tmp_path / "r.h5"
    assert cli("prepare", "-q", sounds, manifest).code == 0
    result = cli("info", manifest, "--figures", tmp_path / "f", "--items", 3)
    assert (result.code, "only a store's items" in result.err) == (2, True)
    assert not (tmp_path / "f").exists()
    assert cli("info", manifest, "--figures", tmp_path / "f").code == 0
    assert "items.png" not in {p.name for p in (tmp_path / "f").iterdir()}
    pictures(store)
    result = cli("info", store, "--figures", tmp_path / "g", "--items", 401)
    assert (result.code, "at most 400" in result.err) == (2, True)
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "items.png").write_bytes(b"mine")
    assert cli("info", store, "--figures", tmp_path / "g").code == 3
    assert (tmp_path / "g" / "items.png").read_bytes() == b"mine"
    assert [p.name for p in (tmp_path / "g").iterdir()] == ["items.png"]
