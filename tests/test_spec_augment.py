"""SpecAugment: masks within their bounds, stored by `augment` and drawn anew by `train`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_stores import write_store
from small_store import items, make

from sertool.augmentations import family_of, masks, parts
from sertool.augmentations.masks import FreqMask, TimeMask
from sertool.core.errors import UsageError
from sertool.core.seeds import rng
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.models import statistics
from sertool.training.augmenting import Augmenting
from sertool.training.batches import Source

TEXT = "time-mask=12:2:0.5,freq-mask=2:1"
STEPS = {"time-mask": [12, 2, 0.5], "freq-mask": [2]}
SIZES = ("--set", "hidden=4", "--set", "dense=4", "--set", "pools=[2,2,1]")
NETWORK = ("--model", "ma2018", *SIZES, "--epochs", 2, "--batch-size", 9, "--no-baselines")
FOLD = ("--test-fold", 0, "--val-fold", 1)


def hidden(shape: tuple[int, int], drawn: dict) -> np.ndarray:
    """Return which values the masks of a copy's JSON hide."""
    found = np.zeros(shape, bool)
    for first, width in drawn.get("time-mask", []):
        found[first : first + width] = True
    for first, width in drawn.get("freq-mask", []):
        found[:, first : first + width] = True
    return found


def array(frames: int, dims: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((frames, dims)) + 5).astype(np.float32)


@given(
    frames=st.integers(1, 60),
    dims=st.integers(1, 20),
    wide=st.tuples(st.integers(1, 80), st.integers(1, 30)),
    number=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 999),
)
def test_masks_keep_to_their_bounds_and_the_rest_is_untouched(
    frames: int, dims: int, wide: tuple, number: tuple, share: float, seed: int
) -> None:
    made = parts(
        "frames", {"time-mask": [wide[0], number[0], share], "freq-mask": [wide[1], number[1]]}
    )
    features = array(frames, dims)
    before, fill = features.copy(), np.arange(dims, dtype=np.float32)
    changed, drawn = masks.masked(features, fill, made, rng(seed))
    np.testing.assert_array_equal(features, before)
    assert [len(drawn["time-mask"]), len(drawn["freq-mask"])] == list(number)
    for first, width in drawn["time-mask"]:
        assert 0 <= width <= min(wide[0], share * frames)
        assert 0 <= first <= frames - width
        assert width < frames
    for first, width in drawn["freq-mask"]:
        assert 0 <= width <= min(wide[1], dims - 1)
        assert 0 <= first <= dims - width
    gone = hidden(features.shape, drawn)
    np.testing.assert_array_equal(changed[~gone], features[~gone])
    np.testing.assert_array_equal(changed[gone], np.broadcast_to(fill, gone.shape)[gone])


def test_widths_and_places_are_uniform() -> None:
    drawn = np.array([masks.draw(rng(k), 20, 7, 1)[0] for k in range(3000)])
    counts = np.bincount(drawn[:, 1], minlength=8)
    assert (np.abs(counts - 375) < 100).all()
    places = drawn[drawn[:, 1] == 3][:, 0]
    assert (places.min(), places.max()) == (0, 17)


def test_what_can_be_masked() -> None:
    assert family_of("mel", (40,), 100.0) == "frames"
    assert family_of("functionals", (88,), 0.0) is None
    assert family_of("image", (8, 8, 3), 0.0) == "image"
    assert family_of("wave", (), 16000.0) == "wave"
    assert TimeMask(40.0).recorded == [40, 1, 1.0]
    assert FreqMask(15, 2.0).recorded == [15, 2]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"time-mask": []}, "time-mask: takes 1 to 3 values, not 0"),
        ({"time-mask": [4, 1, 0]}, "--time-mask most 0: needs a number, above 0, at most 1"),
        ({"time-mask": [4, 1, 1.1]}, "most 1.1"),
        ({"time-mask": [0]}, "width 0: needs a whole number"),
        ({"freq-mask": [1.5]}, "freq-mask width 1.5"),
        ({"freq-mask": [3, float("nan")]}, "number nan"),
        ({"freq-mask": [3, 1, 1]}, "takes 1 to 2 values, not 3"),
        ({"flip": []}, "not for features over time; choose from time-stretch, freq-stretch"),
    ],
)
def test_wrong_values(steps: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parts("frames", steps)


# ---- stored


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_stored_copies(cli, tmp_path: Path, dtype: str) -> None:
    rows = [{"id": f"c/{i}", "label": "anger", "fold": i % 2, "speaker": f"s{i}"} for i in range(5)]
    clean = [array(20 + i, 6, i).astype(dtype) for i in range(5)]
    write_store(tmp_path / "m.h5", clean, rows, kind="mfcc")
    asked = ("--spec-augment", TEXT, "--copies", 3)
    for workers in (1, 2):
        out = tmp_path / f"{workers}.h5"
        assert cli("augment", *asked, "-j", workers, tmp_path / "m.h5", out).code == 0
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    made, drawn = Store(tmp_path / "1.h5"), set()
    assert (made.kind, str(made.dtype), len(made)) == ("mfcc", dtype, 20)
    for i, row in enumerate(made.items()):
        source, k = divmod(i, 4)
        if k == 0:
            np.testing.assert_array_equal(made.features(i), clean[source])
            continue
        assert (row.origin, row.fold, row.label) == (f"c/{source}", source % 2, "anger")
        gone = hidden(clean[source].shape, json.loads(row.augmentation))
        mean = np.broadcast_to(clean[source].mean(0, dtype=np.float64), gone.shape)
        np.testing.assert_array_equal(made.features(i)[~gone], clean[source][~gone])
        np.testing.assert_allclose(made.features(i)[gone], mean[gone], rtol=1e-3)
        drawn.add(row.augmentation)
    assert len(drawn) > 12
    # a default that is written out makes no other store
    spelt = ("--spec-augment", "freq-mask=2,time-mask=12:2:0.5", "--copies", 3)
    assert "already complete" in cli("augment", *spelt, "--resume", tmp_path / "m.h5", out).err
    other = ("--spec-augment", "freq-mask=2:2,time-mask=12:2:0.5", "--copies", 3)
    assert cli("augment", *other, "--resume", tmp_path / "m.h5", out).code == 3


# ---- while a network trains


def source(path: Path, normalisation: str = "feature") -> Source:
    found = Source(Store(path), lambda features: features)
    found.statistics = statistics.fit((found.seen(i) for i in range(8)), normalisation)
    return found


@pytest.mark.parametrize("normalisation", ["feature", "cell", "global", "none"])
def test_a_batch_is_hidden_where_augment_would_and_holds_the_mean(
    tmp_path: Path, normalisation: str
) -> None:
    given = source(make(tmp_path / "s.h5"), normalisation)
    how = Augmenting(parts("frames", STEPS), None, 3, "frames")
    plain, lengths, _ = given.batch([2, 5])
    for epoch in range(3):
        x, same, positions = how.batch(given, epoch, [2, 5])
        assert positions.tolist() == [2, 5]
        np.testing.assert_array_equal(lengths, same)
        for row, i, clean in zip(x, positions, plain, strict=True):
            random = rng(3, given.store.items()[i].id, epoch + 1)
            _, drawn = masks.masked(clean, clean[0], parts("frames", STEPS), random)
            gone = hidden(clean.shape, drawn)
            assert gone.any()
            mean = clean.mean(0) if normalisation == "none" else np.zeros(clean.shape[1])
            np.testing.assert_array_equal(row[~gone], clean[~gone])
            np.testing.assert_allclose(
                row[gone], np.broadcast_to(mean, gone.shape)[gone], rtol=1e-5
            )


def test_masks_are_an_epochs_and_an_items_own(tmp_path: Path) -> None:
    given = source(make(tmp_path / "s.h5", ragged=True))
    how = Augmenting(parts("frames", STEPS), None, 3, "frames")
    first, lengths, _ = how.batch(given, 0, [1, 4, 7])
    alone, _, _ = how.batch(given, 0, [4])
    np.testing.assert_array_equal(first[1, : lengths[1]], alone[0])
    assert not first[1, lengths[1] :].any()
    assert not np.array_equal(how.batch(given, 1, [4])[0], alone)
    copies = Augmenting(parts("frames", STEPS), 2, 3, "frames")
    x, _, positions = copies.batch(given, 9, copies.places([4]))
    assert positions.tolist() == [4, 4, 4]
    np.testing.assert_array_equal(x[0], given.batch([4])[0][0])
    np.testing.assert_array_equal(x[1], alone[0])


def test_training(cli, tmp_path: Path) -> None:
    """The same bytes twice, statistics of the originals, and true accounts."""
    store = make(tmp_path / "s.h5", items(copies=0))
    asked = (*NETWORK, *FOLD, "--augment", TEXT)
    for name in ("a", "b"):
        result = cli("train", store, tmp_path / f"{name}.ckpt", *asked)
        assert result.code == 0, result.err
    assert "changes every training item anew" in result.err
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
    assert cli("train", store, tmp_path / "plain.ckpt", *NETWORK, *FOLD).code == 0
    made, plain = checkpoint.load(tmp_path / "a.ckpt"), checkpoint.load(tmp_path / "plain.ckpt")
    steps = {"freq-mask": [2, 1], "time-mask": [12, 2, 0.5]}
    assert made.meta["augment"] == {"steps": steps, "copies": None, "added": 0}
    assert made.meta["lineage"][-1]["params"]["augment"] == steps
    weights = [n for n in plain.tensors if n.startswith("model.")]
    assert any(not np.array_equal(made.tensors[n], plain.tensors[n]) for n in weights)
    for name in ("statistics.mean", "statistics.sd"):
        np.testing.assert_array_equal(made.tensors[name], plain.tensors[name])
    spelt = (*asked[:-1], "freq-mask=2:1,time-mask=12:2:0.5", "--resume")
    assert "already complete" in cli("train", store, tmp_path / "a.ckpt", *spelt).err
    assert cli("eval", tmp_path / "a.ckpt", store, "--json", tmp_path / "r.json").code == 0
    facts = json.loads((tmp_path / "r.json").read_text())["protocol"]
    assert (facts["train_augmented"], facts["test_augmented"]) == (True, False)


def test_over_stored_copies(cli, tmp_path: Path) -> None:
    """Masks lie over noisy copies, too; to copy copies is refused."""
    store = make(tmp_path / "s.h5", items(copies=1))
    asked = (*NETWORK, *FOLD, "--augment", TEXT)
    assert cli("train", store, tmp_path / "a.ckpt", *asked).code == 0
    refused = cli("train", store, tmp_path / "b.ckpt", *asked, "--copies", 2)
    assert refused.code == 3
    assert "copies already" in refused.err


def test_refused(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    for asked, said in [
        ((*NETWORK, "--augment", "time-mask=x"), "--augment time-mask=x: write it like"),
        ((*NETWORK, "--augment", "time-mask"), "takes 1 to 3 values"),
        ((*NETWORK, "--augment", "shift=0.1"), "shift: not for features over time"),
        (("--model", "linear", "--augment", "time-mask=4"), "linear is fitted in one step"),
    ]:
        result = cli("train", store, tmp_path / "m.ckpt", *FOLD, *asked)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert said in result.err
