"""Pictures augmented while a network trains: the stored copies' twins, and honest accounts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_stores import write_store

from sertool.augmentations import parts
from sertool.evaluation import audit
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.models import statistics
from sertool.training import batches
from sertool.training.augmenting import Augmenting, described
from sertool.training.batches import Source

STEPS: dict[str, list[float]] = {"shift": [0.1], "zoom": [0.2], "flip": []}
TEXT = "shift=0.1,zoom=0.2,flip"
STAGE = ("--shift", 0.1, "--zoom", 0.2, "--flip")
SMALL = ("--set", "widths=[2]", "--set", "dense=[4]", "--epochs", 2, "--batch-size", 5)
CNN = ("--model", "fser2021", *SMALL, "--lr", 0.05)


def make(path: Path, n: int = 12) -> Path:
    """Write a store of n pictures 8 × 8 with three channels, two classes, parts and speakers."""
    random = np.random.default_rng(0)
    arrays, rows = [], []
    for i in range(n):
        arrays.append(random.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8))
        arrays[-1][..., : 1 + i % 2] //= 2
        part = "val" if i % 6 == 4 else "test" if i % 6 == 5 else "train"
        rows.append(
            {
                "id": f"c/{i}",
                "label": ("anger", "joy")[i % 2],
                "part": part,
                "corpus": "c",
                "speaker": f"s{i}",
                "text": "t",
            }
        )
    write_store(path, arrays, rows, kind="image")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "p.h5")


def source(path: Path) -> Source:
    return Source(Store(path), lambda features: features, statistics.fit([], "none"))


def epoch(path: Path, how: Augmenting | None, number: int, train: list[int]) -> list[Any]:
    """Return an epoch's batches: features and positions."""
    from functools import partial

    given = source(path)
    places = how.places(train) if how else train
    make = partial(how.batch, given, number) if how else given.batch
    return [make(batch)[::2] for batch in batches.plan(places, 5, 3, number)]


def training(path: Path) -> list[int]:
    return [i for i, row in enumerate(Store(path).items()) if row.part == "train"]


def pictures(made: list[Any]) -> Counter[bytes]:
    return Counter(picture.tobytes() for x, _ in made for picture in x)


def test_an_epoch_is_that_of_the_store_with_copies(cli, store: Path, tmp_path: Path) -> None:
    cli("augment", *STAGE, "--copies", 3, "--seed", 7, store, tmp_path / "a.h5")
    how = Augmenting(parts("image", STEPS), 3, 7)
    stored = epoch(tmp_path / "a.h5", None, 1, training(tmp_path / "a.h5"))
    fresh = epoch(store, how, 1, training(store))
    assert sum(len(x) for x, _ in fresh) == 4 * 8
    assert pictures(fresh) == pictures(stored)
    labels = [
        [Store(p).items()[i].id.partition("~")[0] for _, b in made for i in b]
        for p, made in ((store, fresh), (tmp_path / "a.h5", stored))
    ]
    assert labels[0] == labels[1]
    for (x, _), (y, _) in zip(fresh, stored, strict=True):
        np.testing.assert_array_equal(x, y)  # the very batches
    other = Augmenting(parts("image", STEPS), 3, 8)
    assert pictures(epoch(store, other, 1, training(store))) != pictures(stored)


def test_without_copies_every_epoch_is_new(cli, store: Path, tmp_path: Path) -> None:
    cli("augment", *STAGE, "--copies", 2, "--only-copies", store, tmp_path / "a.h5")
    how, train = Augmenting(parts("image", STEPS), None, 0), training(store)
    copies = Store(tmp_path / "a.h5")
    for number in (0, 1):
        made = epoch(store, how, number, train)
        assert sorted(i for _, b in made for i in b) == train
        wanted = [copies.features(i).astype(np.float32) for i in range(number, len(copies), 2)]
        assert pictures(made) == Counter(picture.tobytes() for picture in wanted)


def test_a_batch_does_not_depend_on_its_company(store: Path) -> None:
    how, given = Augmenting(parts("image", STEPS), 2, 0), source(store)
    whole, _, positions = how.batch(given, 0, [3, 4, 5, 30])
    assert positions.tolist() == [1, 1, 1, 10]
    np.testing.assert_array_equal(whole[0, 0], given.stored(1)[0])
    np.testing.assert_array_equal(how.batch(given, 9, [30])[0][0], whole[3])


@pytest.mark.parametrize("room", [batches.ROOM, 5 * 8 * 8 * 3, 0])
def test_epochs_share_what_was_read_and_copied(
    store: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Batches are the same whether all is kept, some of it or nothing."""
    how, train = Augmenting(parts("image", STEPS), 2, 0), training(store)
    given, read = source(store), []
    given.kept = batches.Kept(room)
    features = given.store.features
    monkeypatch.setattr(given.store, "features", lambda i: (read.append(i), features(i))[1])
    first = how.batch(given, 0, how.places(train))[0]
    wanted = first.copy()
    first[:] = 0  # a batch is its receiver's, to change as it likes
    for epoch in (1, 2):
        np.testing.assert_array_equal(how.batch(given, epoch, how.places(train))[0], wanted)
    assert set(read) == set(train)
    assert (len(read) == len(train)) == (room == batches.ROOM)


def test_what_is_kept_has_room() -> None:
    kept, made = batches.Kept(100), []
    for key in (0, 1, 2, 0, 1, 2):
        kept.get(key, lambda: (made.append(1), np.zeros(40, np.uint8))[1])
    assert len(made) == 4  # the third had no room, and was made twice
    assert kept.room == 20


def test_the_same_weights_as_from_the_store_with_copies(cli, store: Path, tmp_path: Path) -> None:
    """Also: validation and test stay as they are, and the same bytes come out twice."""
    cli("augment", *STAGE, "--copies", 2, store, tmp_path / "a.h5")
    fly, kept, again = (tmp_path / f"{name}.ckpt" for name in ("fly", "kept", "again"))
    asked = (*CNN, "--no-baselines")
    for out in (fly, again):
        result = cli("train", store, out, *asked, "--augment", TEXT, "--copies", 2)
        assert result.code == 0, result.err
    assert "adds 2 copies" in result.err
    assert cli("train", tmp_path / "a.h5", kept, *asked).code == 0
    one, two = checkpoint.load(fly), checkpoint.load(kept)
    for name, tensor in two.tensors.items():
        np.testing.assert_array_equal(one.tensors[name], tensor)
    assert one.meta["history"] == two.meta["history"]
    assert fly.read_bytes() == again.read_bytes()


def test_a_broken_off_training_ends_with_the_same_bytes(
    cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sertool.training import loop

    asked = (*CNN, "--augment", TEXT)
    assert cli("train", store, tmp_path / "whole.ckpt", *asked).code == 0
    train_epoch = loop.train_epoch

    def once(run: Any, task: Any, number: int, progress: Any) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return train_epoch(run, task, number, progress)

    monkeypatch.setattr(loop, "train_epoch", once)
    assert cli("train", store, tmp_path / "m.ckpt", *asked).code == 130
    monkeypatch.undo()
    assert cli("train", store, tmp_path / "m.ckpt", *asked, "--resume").code == 0
    assert (tmp_path / "m.ckpt").read_bytes() == (tmp_path / "whole.ckpt").read_bytes()
    plain = cli("train", store, tmp_path / "m.ckpt", *CNN, "--resume")
    assert plain.code == 3


def test_statistics_are_those_of_the_originals(cli, store: Path, tmp_path: Path) -> None:
    means = []
    for name, more in [("a", ()), ("b", ("--augment", "shift=0.9")), ("c", ())]:
        out = tmp_path / f"{name}.ckpt"
        assert cli("train", store, out, *CNN, "--normalisation", "mean", *more).code == 0
        means.append(checkpoint.load(out).tensors)
    np.testing.assert_array_equal(means[0]["statistics.mean"], means[1]["statistics.mean"])
    same = [np.array_equal(means[0][n], means[1][n]) for n in means[0] if n.startswith("model.")]
    assert not any(same)
    for name in means[0]:
        np.testing.assert_array_equal(means[0][name], means[2][name])


def test_what_checkpoint_and_report_tell(cli, store: Path, tmp_path: Path) -> None:
    ckpt = tmp_path / "m.ckpt"
    assert cli("train", store, ckpt, *CNN, "--augment", TEXT, "--copies", 3).code == 0
    made = checkpoint.load(ckpt)
    assert Counter(item.part for item in made.items) == {"train": 8, "val": 2, "test": 2}
    assert made.meta["augment"] == {"steps": STEPS, "copies": 3, "added": 24}
    params = made.meta["lineage"][-1]["params"]
    assert (params["augment"], params["copies"]) == (STEPS, 3)
    assert cli("eval", ckpt, store, "--json", tmp_path / "r.json").code == 0
    facts = json.loads((tmp_path / "r.json").read_text())["protocol"]
    assert facts["train_augmented"] is True
    assert facts["test_augmented"] is False
    assert (facts["n_train"], facts["n_train_origins"], facts["n_val"]) == (32, 8, 2)
    # what starts from these weights was trained on augmented pictures, too
    further = cli("train", store, tmp_path / "n.ckpt", *CNN, "--init", ckpt)
    assert further.code == 0
    assert cli("eval", tmp_path / "n.ckpt", store, "--json", tmp_path / "n.json").code == 0
    facts = json.loads((tmp_path / "n.json").read_text())["protocol"]
    assert (facts["train_augmented"], facts["n_train"]) == (True, 8)


def test_a_plain_training_tells_of_none(cli, store: Path, tmp_path: Path) -> None:
    assert cli("train", store, tmp_path / "m.ckpt", *CNN).code == 0
    made = checkpoint.load(tmp_path / "m.ckpt")
    assert made.meta["augment"] is None
    assert described(None, 5, None) is None
    anew = described(Augmenting(parts("image", STEPS), None, 0), 5, None)
    assert anew == {"steps": STEPS, "copies": None, "added": 0}
    trained = [item for item in made.items if item.part == "train"]
    for given, n, augmented in [(None, 8, False), (anew, 8, True)]:
        facts = audit.protocol(trained, [], augment=given)
        assert (facts.of("n_train"), facts.train_augmented) == (n, augmented)


def test_refused(cli, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.ckpt"
    cli("augment", *STAGE, store, tmp_path / "a.h5")
    for asked, code, said in [
        ((store, *CNN, "--copies", 2), 2, "--copies: needs --augment"),
        ((store, *CNN, "--augment", "awgn=15:30"), 2, "awgn: not for pictures"),
        ((store, *CNN, "--augment", "shift=x"), 2, "shift=0.1"),
        ((store, *CNN, "--augment", ""), 2, "an argument is empty"),
        ((store, *CNN, "--augment", "flip,flip"), 2, "shift=0.1"),
        ((store, *CNN, "--augment", "shift=2"), 2, "shift 2"),
        ((store, *CNN, "--augment", "shift"), 2, "shift: takes 1 value, not 0"),
        ((store, *CNN, "--augment", "flip", "--copies", 0), 2, "--copies"),
        ((store, "--model", "linear", "--augment", "flip"), 2, "linear is fitted in one step"),
        ((store, "--model", "sundharam-cnn", "--augment", "flip"), 2, "not for features over time"),
        ((tmp_path / "a.h5", *CNN, "--augment", "flip"), 3, "copies already"),
    ]:
        path, *options = asked
        result = cli("train", path, out, *options)
        assert result.code == code, result.err
        assert said in result.err
        assert not out.exists()


@pytest.mark.parametrize("columns", ["60", "100"])
def test_help_reads_well(cli, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = " ".join(cli("train", "--help").out.replace("│", " ").split())
    assert "e.g. shift=0.1,flip (flip plays speech backwards)" in said
    assert "an epoch is every original and this many copies" in said
