"""Pictures shifted, zoomed and flipped: equal to SciPy and to the definition; copies of a store."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import write_store
from scipy import ndimage

from sertool.augmentations import image, parts, suiting
from sertool.augmentations.copies import of_pictures
from sertool.augmentations.image import Map
from sertool.augmentations.stores import Copying, CopySource
from sertool.augmentations.warping import warp
from sertool.core.errors import UsageError
from sertool.core.seeds import rng
from sertool.formats.store import Store

STEPS = {"shift": [0.2], "zoom": [0.3], "flip": []}
ASKED = ("--shift", "0.2", "--zoom", "0.3", "--flip")

zooms = st.tuples(st.floats(0.3, 1.9), st.floats(0.3, 1.9))
shifts = st.tuples(st.floats(-0.99, 0.99), st.floats(-0.99, 0.99))


@st.composite
def batches(draw: st.DrawFn) -> np.ndarray:
    shape = tuple(draw(st.integers(1, most)) for most in (3, 9, 9, 4))
    return np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, dtype=np.uint8)


def keras(picture: np.ndarray, shift: tuple, zoom: tuple, flip: bool) -> np.ndarray:
    """Return what ImageDataGenerator makes of a picture: the matrices, channel by channel."""
    height, width, channels = picture.shape
    move = np.array([[1, 0, shift[0] * height], [0, 1, shift[1] * width], [0, 0, 1]])
    centre = np.array([[1, 0, height / 2 - 0.5], [0, 1, width / 2 - 0.5], [0, 0, 1]])
    matrix = centre @ move @ np.diag([*zoom, 1]) @ np.linalg.inv(centre)
    out = np.empty(picture.shape)
    for c in range(channels):
        out[:, :, c] = ndimage.affine_transform(
            picture[:, :, c].astype(np.float64),
            matrix[:2, :2],
            matrix[:2, 2],
            order=1,
            mode="nearest",
        )
    return out[:, ::-1] if flip else out


def by_definition(picture: np.ndarray, one: Map) -> np.ndarray:
    """Return each pixel as the mean of the four around its source, weighed by nearness."""
    out = np.zeros(picture.shape)
    for y, x in np.ndindex(picture.shape[:2]):
        at = []
        for p, size, scale, shift in zip((y, x), picture.shape, one.scale, one.shift, strict=False):
            source = scale * (p - (size - 1) / 2) + shift * size + (size - 1) / 2
            source = min(max(source, 0.0), size - 1.0)
            low = math.floor(source)
            at.append([(low, 1 - source + low), (min(low + 1, size - 1), source - low)])
        for (i, a), (j, b) in ((v, h) for v in at[0] for h in at[1]):
            out[y, x] += a * b * picture[i, j]
    return out


def composed(shift: tuple, zoom: tuple, flip: bool) -> Map:
    return Map(shift=shift) @ Map(scale=zoom) @ Map(scale=(1.0, -1.0 if flip else 1.0))


@settings(deadline=None)
@given(batch=batches(), shift=shifts, zoom=zooms, flip=st.booleans())
def test_as_scipy_does(batch: np.ndarray, shift: tuple, zoom: tuple, flip: bool) -> None:
    maps = [composed(shift, zoom, flip)] * len(batch)
    floats, levels = warp(batch.astype(np.float32), maps), warp(batch, maps)
    assert (floats.dtype, levels.dtype) == (np.float32, np.uint8)
    for picture, real, whole in zip(batch, floats, levels, strict=True):
        wanted = keras(picture, shift, zoom, flip)
        np.testing.assert_allclose(real, wanted, atol=1e-3)
        assert np.abs(whole - np.rint(wanted)).max() <= 1
        np.testing.assert_array_equal(whole, np.rint(real))


@settings(deadline=None, max_examples=30)
@given(batch=batches(), data=st.data())
def test_as_the_definition_says(batch: np.ndarray, data: st.DataObject) -> None:
    maps = [composed(data.draw(shifts), data.draw(zooms), data.draw(st.booleans())) for _ in batch]
    for picture, real, one in zip(batch, warp(batch.astype(float), maps), maps, strict=True):
        np.testing.assert_allclose(real, by_definition(picture, one), atol=1e-3)


@settings(deadline=None)
@given(batch=batches(), shift=shifts, zoom=zooms)
def test_nothing_outside_the_range_and_constants_stay(
    batch: np.ndarray, shift: tuple, zoom: tuple
) -> None:
    made = warp(batch, [composed(shift, zoom, True)] * len(batch))
    assert made.min() >= batch.min()
    assert made.max() <= batch.max()
    flat = np.full_like(batch, 137)
    np.testing.assert_array_equal(warp(flat, [composed(shift, zoom, False)] * len(flat)), flat)


@settings(deadline=None)
@given(batch=batches())
def test_no_change_and_flips(batch: np.ndarray) -> None:
    same, flip = [Map()] * len(batch), [Map(scale=(1.0, -1.0))] * len(batch)
    np.testing.assert_array_equal(warp(batch, same), batch)
    np.testing.assert_array_equal(warp(batch, flip), batch[:, :, ::-1])
    np.testing.assert_array_equal(warp(warp(batch, flip), flip), batch)


def test_whole_pixels_move_and_the_edge_fills_up() -> None:
    picture = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    moved = warp(picture, [Map(shift=(0.25, -0.5))])[0, :, :, 0]
    np.testing.assert_array_equal(moved, picture[0, :, :, 0][[1, 2, 3, 3]][:, [0, 0, 0, 1]])


@settings(deadline=None, max_examples=30)
@given(a=st.tuples(shifts, zooms), b=st.tuples(shifts, zooms), at=st.floats(-9, 9))
def test_maps_are_composed(a: tuple, b: tuple, at: float) -> None:
    def through(one: Map, place: float) -> float:
        return one.scale[1] * place + one.shift[1]

    outer, inner = Map(a[1], a[0]), Map(b[1], b[0])
    assert through(outer @ inner, at) == pytest.approx(through(outer, through(inner, at)))


def test_draws_are_within_their_ranges_and_used() -> None:
    made = parts("image", dict(reversed(STEPS.items())))
    assert list(made) == ["shift", "zoom", "flip"]
    drawn = []
    for k in range(400):
        one, values = image.draw(made, rng(0, "c/x", k))
        assert one == composed(tuple(values["shift"]), tuple(values["zoom"]), values["flip"])
        drawn.append([*values["shift"], *values["zoom"], values["flip"]])
    table = np.array(drawn, float)
    for column, (low, high) in zip(table.T, [(-0.2, 0.2)] * 2 + [(0.7, 1.3)] * 2, strict=False):
        assert low <= column.min() < low + 0.01
        assert high - 0.01 < column.max() <= high
    assert 0.4 < table[:, 4].mean() < 0.6
    assert np.abs(np.corrcoef(table.T) - np.eye(5)).max() < 0.2


def test_all_pictures_of_an_item_are_changed_alike() -> None:
    made, several = parts("image", STEPS), np.concatenate(pictures(3))
    randoms = [[rng(0, "c/x", k) for k in range(40)] for _ in range(4)]
    alone = [list(of_pictures(several[i : i + 1], made, randoms[i])) for i in range(3)]
    for k, (together, drawn, _) in enumerate(of_pictures(several, made, randoms[3])):
        for i in range(3):
            np.testing.assert_array_equal(together[i], alone[i][k][0][0])
            assert alone[i][k][1] == drawn


def test_zero_ranges_change_nothing() -> None:
    one, drawn = image.draw(parts("image", {"shift": [0], "zoom": [0]}), rng(0, "x"))
    assert one == Map()
    assert drawn == {"shift": [0, 0], "zoom": [1, 1]}


def test_names_belong_to_a_kind() -> None:
    stretched = ["time-stretch", "freq-stretch", "response", "crop"]
    assert suiting("frames") == [*stretched, "freq-mask", "time-mask"]
    assert suiting("image") == ["shift", "zoom", "flip"]
    for steps, said in [
        ({"awgn": [1, 2]}, "shift, zoom, flip"),
        ({"shift": [1]}, "shift 1"),
        ({"shift": [-0.1]}, "--shift -0.1: needs a number"),
        ({"zoom": [float("nan")]}, "zoom nan"),
        ({"zoom": []}, "zoom: takes 1 value, not 0"),
        ({"flip": [1]}, "flip: takes 0 values, not 1"),
    ]:
        with pytest.raises(UsageError, match=said):
            parts("image", steps)


def rows(n: int) -> list[dict]:
    return [
        {"id": f"c/{i}#000", "origin": f"c/{i}", "label": "anger", "speaker": f"s{i}"}
        for i in range(n)
    ]


def pictures(n: int, size: tuple[int, ...] = (8, 6, 3)) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (1, *size), dtype=np.uint8) for _ in range(n)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "p.h5", pictures(5), rows(5), kind="image")
    return tmp_path / "p.h5"


def test_copies_of_pictures(cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    result = cli("augment", *ASKED, "--copies", 40, store, out)
    assert result.code == 0
    assert "5 originals, 200 copies" in result.err
    before, after = Store(store), Store(out)
    assert (after.kind, after.dtype, after.shape) == ("image", np.uint8, (8, 6, 3))
    flips = set()
    for i, row in enumerate(after.items()):
        source, k = divmod(i, 41)
        original = before.features(source)
        if k == 0:
            np.testing.assert_array_equal(after.features(i), original)
            continue
        assert (row.id, row.origin) == (f"c/{source}#000~{k}", f"c/{source}")
        drawn = json.loads(row.augmentation)
        assert list(drawn) == ["flip", "shift", "zoom"]
        wanted = keras(original[0], drawn["shift"], drawn["zoom"], drawn["flip"])
        assert np.abs(after.features(i)[0] - wanted).max() < 0.51
        flips.add(drawn["flip"])
    assert flips == {True, False}
    stage = after.pipeline[-1]
    assert stage["steps"] == [["shift", [0.2]], ["zoom", [0.3]], ["flip", []]]
    assert after.verify()


def test_workers_and_resuming_give_the_same_bytes(cli, tmp_path: Path) -> None:
    write_store(tmp_path / "p.h5", pictures(70), rows(70), kind="image")
    for workers in (1, 2):
        out = tmp_path / f"{workers}.h5"
        assert cli("augment", *ASKED, "-j", workers, tmp_path / "p.h5", out).code == 0
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    # the order of the options is none of a draw, and makes no other store
    again = cli("augment", "--flip", *ASKED[:-1], "--resume", tmp_path / "p.h5", tmp_path / "1.h5")
    assert "already complete" in again.err
    cli("augment", *ASKED, "--seed", 1, tmp_path / "p.h5", tmp_path / "3.h5")
    assert not np.array_equal(
        Store(tmp_path / "3.h5").features(1), Store(tmp_path / "1.h5").features(1)
    )


def test_the_wrong_family_is_refused(cli, store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "w.h5", [np.zeros(9, np.float32)], rows(1), kind="wave")
    write_store(tmp_path / "m.h5", [np.zeros((2, 3), np.float32)], rows(1), kind="mel")
    out = tmp_path / "o.h5"
    for arguments, code, said in [
        (("--awgn", "15:30", store), 2, "awgn: not for pictures; choose from shift, zoom, flip"),
        (("--flip", "--zoom", 0.1, tmp_path / "w.h5"), 2, "zoom, flip: not for waveforms"),
        (("--flip", tmp_path / "m.h5"), 2, "flip: not for features over time"),
        (("--shift", 1.5, store), 2, "shift 1.5"),
        (("--zoom", -1, store), 2, "zoom -1"),
        ((store,), 2, "name an augmentation"),
    ]:
        result = cli("augment", *arguments, out)
        assert (result.code, result.err.count("\n")) == (code, 1), result.err
        assert said in result.err
        assert not out.exists()


def test_memory_does_not_grow_with_the_store(tmp_path: Path) -> None:
    def peak(copies: int) -> int:
        source = CopySource(
            Store(path),
            Store(path).items(),
            parts("image", STEPS),
            Copying(copies),
            "image",
            0,
        )
        tracemalloc.start()
        for i in range(4):
            made = source.make(i)
            assert len(made.items) == copies + 1
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    path = tmp_path / "p.h5"
    write_store(path, pictures(4, (128, 128, 3)), rows(4), kind="image")
    picture = 128 * 128 * 3
    peak(1)
    assert peak(20) < 4 * 21 * picture  # one item with its copies, and what makes them


def test_listed_with_their_kind(cli) -> None:
    said = cli("list", "augmentations").out
    found = [line.split()[:2] for line in said.splitlines()]
    wanted = {"waveforms": "awgn shift gain noise reverb codec pitch time-stretch band-pass"}
    wanted |= {"pictures": "shift zoom flip", "features": "time-mask freq-mask"}
    for kind, names in wanted.items():
        assert all([name, f"{kind}{':' * (kind != 'features')}"] in found for name in names.split())
    assert "backwards" in said


def test_help_says_that_flipping_is_backwards(cli) -> None:
    said = " ".join(cli("augment", "--help").out.replace("│", " ").split())
    assert "plays speech backwards" in said


def test_predict_leaves_augmentation_out(cli, sounds: Path, tmp_path: Path) -> None:
    """A model of augmented pictures says of a file what eval says of its pictures as they are."""
    store, more, ckpt, said = (tmp_path / name for name in ("p.h5", "a.h5", "m.ckpt", "r.json"))
    segments = ("--segment", 0.3, "--segment-hop", 0.1, "--segment-tail", "align")
    size = ("--set", "height=16", "--set", "width=16")
    assert cli("featurize", "--kind", "image", *size, *segments, sounds, store).code == 0
    assert cli("augment", *ASKED, "--copies", 2, store, more).code == 0
    n = len(Store(store))
    assert n > 12
    assert len(Store(more)) == 3 * n
    assert Store(more).items()[1].id.endswith("#000~1")
    small = ("--set", "widths=[2]", "--set", "dense=[]", "--epochs", 1, "--no-baselines")
    trained = cli("train", more, ckpt, "--model", "fser2021", *small)
    assert trained.code == 0, trained.err
    assert cli("eval", "--all", ckpt, more, "--json", said).code == 0
    wanted = {row["id"]: row["posterior"] for row in json.loads(said.read_text())["items"]}
    files = sorted(sounds.rglob("*.wav"))[:3]
    told = cli("predict", "--vad", "off", ckpt, *files)
    assert told.code == 0, told.err
    for path, line in zip(files, told.out.splitlines(), strict=True):
        name = next(name for name in wanted if name.endswith(f"{path.parent.name}/{path.stem}"))
        assert json.loads(line)["posterior"] == pytest.approx(wanted[name], abs=1e-6)
