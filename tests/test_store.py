"""The store: what goes in comes out, readable without sertool, checked, the same bytes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import write_store

from sertool.core.errors import InputError
from sertool.formats.chunk_frames import ChunkFrames
from sertool.formats.store import Store

TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12)


def items(n: int) -> list[dict]:
    return [
        {
            "id": f"c/{i}",
            "path": f"{i}.wav",
            "corpus": "c",
            "speaker": None if i == 0 else f"s{i % 3}",
            "label": "anger" if i % 2 else "sadness",
            "fold": None if i == 1 else i % 3,
            "start": 0.5 if i == 2 else None,
            "intensity": "strong",
            "take": i,
        }
        for i in range(n)
    ]


def arrays(n: int, dims: int = 5) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.standard_normal((3 + i, dims)).astype(np.float32) for i in range(n)]


def test_round_trip(tmp_path: Path) -> None:
    rows, features = items(6), arrays(6)
    write_store(tmp_path / "s.h5", features, rows, settings={"n_fft": 4}, root="/r")
    with Store(tmp_path / "s.h5") as store:
        assert len(store) == 6
        assert store.classes == ["anger", "sadness"]
        assert store.settings == {"n_fft": 4}
        assert store.root == "/r"
        for i, (row, expected) in enumerate(zip(rows, features, strict=True)):
            np.testing.assert_array_equal(store.features(i), expected)
            got = store.items()[i]
            assert {key: got.value(key) for key in row} == row
            assert got.origin == row["id"]
            assert got.gender is None
        assert store.lengths().tolist() == [3, 4, 5, 6, 7, 8]
        assert store.verify()


def test_readable_with_h5py_alone(tmp_path: Path) -> None:
    features = arrays(3)
    write_store(tmp_path / "s.h5", features, items(3))
    with h5py.File(tmp_path / "s.h5") as file:
        assert file.attrs["format"] == "sertool-store"
        offsets = file["offsets"][:]
        np.testing.assert_array_equal(
            file["features"][offsets[1] : offsets[2]],
            features[1],
        )
        assert file["items/label"].asstr()[:].tolist() == ["sadness", "anger", "sadness"]
        assert np.isnan(file["items/start"][0])
        assert file["items/fold"][1] == -1
        assert json.loads(file.attrs["pipeline"])[0]["stage"] == "featurize"
        assert file["features"].dtype == np.float32
        assert file["offsets"].dtype == np.int64


def test_checksum_is_over_all_of_the_content(tmp_path: Path) -> None:
    def fresh() -> Path:
        write_store(tmp_path / "s.h5", arrays(3), items(3))
        return tmp_path / "s.h5"

    def spoil_feature(file: h5py.File) -> None:
        file["features"][4, 2] += 1

    def spoil_offset(file: h5py.File) -> None:
        file["offsets"][1] += 1

    def spoil_label(file: h5py.File) -> None:
        file["items/label"][0] = b"anger"

    def spoil_attribute(file: h5py.File) -> None:
        file.attrs["sample_rate"] = 8000

    assert Store(fresh()).verify()
    for spoil in (spoil_feature, spoil_offset, spoil_label, spoil_attribute):
        path = fresh()
        with h5py.File(path, "r+") as file:
            spoil(file)
        with Store(path) as store:
            assert not store.verify(), spoil.__name__


def _flip(path: Path, content: bytes, at: int) -> None:
    """Flip a bit of the file, in the one place where it holds `content`."""
    raw = bytearray(path.read_bytes())
    assert raw.count(content) == 1
    raw[raw.index(content) + at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("i", range(4))
def test_a_flipped_bit_in_features_is_found_where_it_is_read(tmp_path: Path, i: int) -> None:
    path, features = tmp_path / "s.h5", arrays(4)
    write_store(path, features, items(4))
    _flip(path, features[i].tobytes(), 7 * i)
    store = Store(path)
    assert len(store.items()) == 4
    for other in {0, 1, 2, 3} - {i}:
        np.testing.assert_array_equal(store.features(other), features[other])
    for _ in range(2):
        with pytest.raises(InputError, match=rf"damaged, the features of c/{i} are not what was"):
            store.features(i)
    assert not store.verify()


def test_a_flipped_bit_elsewhere_is_found_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    for content in (b"strong", b"featurize", b"c/2"):
        write_store(path, arrays(3), items(3))
        raw = path.read_bytes()
        at = raw.index(content)
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 2]) + raw[at + 1 :])
        with pytest.raises(InputError, match=r"s\.h5: .*damaged.*make it again"):
            Store(path).items()
        with pytest.raises(InputError, match=r"s\.h5: .*damaged.*make it again"):
            Store(path).features(0)


def test_a_flipped_checksum_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    for spoil in (
        lambda f: f["crc32"].__setitem__(1, f["crc32"][1] ^ 1),
        lambda f: f["features"].attrs.__setitem__("sha256", "0" * 64),
    ):
        write_store(path, arrays(3), items(3))
        with h5py.File(path, "r+") as file:
            spoil(file)
        store = Store(path)
        with pytest.raises(InputError, match="damaged"):
            _ = [store.features(i) for i in range(3)]
        assert not store.verify()


def test_a_store_without_checksums_of_items_is_checked_whole(tmp_path: Path) -> None:
    path, features = tmp_path / "s.h5", arrays(3)
    write_store(path, features, items(3))
    with h5py.File(path, "r+") as file:
        sha256 = file.attrs["sha256"]
        del file["crc32"], file["features"].attrs["sha256"]
    with Store(path) as store:
        assert store.verify()
        assert store.sha256 == sha256
        np.testing.assert_array_equal(store.features(1), features[1])
    _flip(path, features[2].tobytes(), 5)
    with pytest.raises(InputError, match="damaged, its content is not what was written"):
        Store(path).features(0)
    assert not Store(path).verify()


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_store(tmp_path / name, arrays(20, 300), items(20))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_lengths_and_texts(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lengths = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=8))
    texts = data.draw(st.lists(TEXT, min_size=len(lengths), max_size=len(lengths)))
    width = data.draw(st.sampled_from([1, 3, 40000]))
    path = tmp_path_factory.mktemp("store") / "s.h5"
    count = iter(range(10**9))
    features = [
        np.array([[next(count)] * width for _ in range(n)], np.float32).reshape(n, width)
        for n in lengths
    ]
    rows = [{"id": f"i{i}", "path": "p", "text": text} for i, text in enumerate(texts)]
    write_store(path, features, rows)
    with Store(path) as store:
        for i in range(len(lengths)):
            np.testing.assert_array_equal(store.features(i), features[i])
            assert store.items()[i].text == (texts[i] or None)
        assert store.verify()


def test_sha256_as_its_definition_says(tmp_path: Path) -> None:
    features = arrays(4)
    write_store(tmp_path / "s.h5", features, items(4))
    of_items = b"".join(hashlib.sha256(x.tobytes()).digest() for x in features)
    with h5py.File(tmp_path / "s.h5") as file:
        attributes = {
            name: value.item() if hasattr(value, "item") else value
            for name, value in file.attrs.items()
            if name != "sha256"
        }
        text = json.dumps(attributes, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(text.encode())
        for name in ["features", "offsets", *sorted(f"items/{n}" for n in file["items"])]:
            data = file[name]
            content = of_items if name == "features" else data[()].tobytes()
            line = f"{name} {data.dtype.str} {list(data.shape)} "
            digest.update(f"{line}{hashlib.sha256(content).hexdigest()}\n".encode())
        assert digest.hexdigest() == file.attrs["sha256"]


def test_doubled_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two items are called x"):
        write_store(tmp_path / "s.h5", arrays(2), [{"id": "x", "path": "p"}] * 2)
    assert list(tmp_path.iterdir()) == []


def test_pickled_store_opens_its_own_handle(tmp_path: Path) -> None:
    import pickle

    write_store(tmp_path / "s.h5", arrays(2), items(2))
    store = Store(tmp_path / "s.h5")
    again = pickle.loads(pickle.dumps(store))
    assert again._handles[os.getpid()] is not store._handles[os.getpid()]
    np.testing.assert_array_equal(again.features(1), store.features(1))


def test_a_store_that_another_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_store(path, arrays(2), items(2))
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does
        with pytest.raises(InputError, match="another program has it open for writing"):
            Store(path)


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Store(tmp_path / "none.h5")
    with pytest.raises(InputError, match="folder"):
        Store(tmp_path)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match="not a feature store"):
        Store(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not a sertool store"):
        Store(tmp_path / "other.h5")
    write_store(tmp_path / "new.h5", arrays(1), items(1))
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(InputError, match="newer"):
        Store(tmp_path / "new.h5")
    whole = (tmp_path / "new.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short"):
        Store(tmp_path / "cut.h5")
    for part in ("items/id", "offsets", "kind"):
        write_store(tmp_path / "part.h5", arrays(1), items(1))
        with h5py.File(tmp_path / "part.h5", "r+") as file:
            del (file if "/" in part or part == "offsets" else file.attrs)[part]
        with pytest.raises(InputError, match="damaged"):
            Store(tmp_path / "part.h5")


def _features(file: h5py.File, **given: object) -> None:
    del file["features"]
    file.create_dataset("features", **given)


SPOILED = {
    "no features": lambda f: f.__delitem__("features"),
    "features a group": lambda f: (f.__delitem__("features"), f.create_group("features")),
    "features a number": lambda f: _features(f, data=1.0),
    "features of text": lambda f: _features(f, data=np.full(12, b"x")),
    "features claimed": lambda f: _features(f, shape=(12, 1 << 40), chunks=(1, 9), dtype="f4"),
    "offsets backwards": lambda f: f["offsets"].write_direct(f["offsets"][()][::-1].copy()),
    "offsets beyond": lambda f: f["offsets"].write_direct(f["offsets"][()] * 9),
    "a column short": lambda f: f["items"].__setitem__("x", [1.0]),
    "a column of two": lambda f: f["items"].__setitem__("x", np.ones((3, 2))),
    "a column a group": lambda f: f["items"].create_group("x"),
    "a column of strings of any length": lambda f: f["items"].create_dataset(
        "x", data=["a"] * 3, dtype=h5py.string_dtype()
    ),
    "no labels": lambda f: f["items"].__delitem__("label"),
    "no items": lambda f: f.__delitem__("items"),
    "no Unicode": lambda f: f["items"].__setitem__("x", np.full(3, b"\xff")),
    "ids empty": lambda f: f["items/id"].write_direct(np.zeros(3, f["items/id"].dtype)),
    "rate NaN": lambda f: f.attrs.__setitem__("frame_rate", np.nan),
    "rate text": lambda f: f.attrs.__setitem__("sample_rate", "fast"),
    "version text": lambda f: f.attrs.__setitem__("version", "new"),
    "kind a number": lambda f: f.attrs.__setitem__("kind", 3),
    "settings deep": lambda f: f.attrs.__setitem__("settings", "[" * 5000),
    "settings a list": lambda f: f.attrs.__setitem__("settings", "[]"),
    "classes numbers": lambda f: f.attrs.__setitem__("classes", "[1]"),
    "pipeline of words": lambda f: f.attrs.__setitem__("pipeline", '["featurize"]'),
    "lineage of nothing": lambda f: f.attrs.__setitem__("lineage", "[{}]"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_content_is_one_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "s.h5"
    write_store(path, arrays(3), items(3))
    with h5py.File(path, "r+") as file:
        SPOILED[how](file)
    with pytest.raises(InputError, match=r"s\.h5: .*damaged.*make it again$") as caught:
        Store(path).items()
    assert len(str(caught.value)) < 200


def test_a_field_of_numbers_and_words_is_text(tmp_path: Path) -> None:
    rows = [{"id": f"c/{i}", "take": take} for i, take in enumerate([3, "3b", None])]
    write_store(tmp_path / "s.h5", arrays(3), rows)
    with Store(tmp_path / "s.h5") as store:
        assert [item.value("take") for item in store.items()] == ["3", "3b", None]


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_items_across_chunks_are_read_as_h5py_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: str
) -> None:
    monkeypatch.setattr("sertool.formats.store.CHUNK_BYTES", 7 * 5 * 4)
    lengths = (3, 0, 11, 1, 30, 7, 7)
    draw = np.random.default_rng(5)
    features = [draw.standard_normal((n, 5)).astype(np.float32) for n in lengths]
    write_store(tmp_path / "s.h5", features, items(7), compress=compress)
    with Store(tmp_path / "s.h5") as store, h5py.File(tmp_path / "s.h5") as file:
        assert file["features"].chunks == (7, 5)
        for i in (4, 0, 6, 1, 2, 5, 3):
            np.testing.assert_array_equal(store.features(i), features[i])
        for chosen in ([], [1], [5], [6, 0, 4, 2], [3, 1, 1, 0], range(7)):
            found = store.batch(chosen)
            assert len(found) == len(chosen)
            for one, i in zip(found, chosen, strict=True):
                np.testing.assert_array_equal(one, features[i])
        for start in range(0, 59, 3):
            for stop in range(start, 60, 4):
                np.testing.assert_array_equal(
                    store.frames(start, stop), file["features"][start:stop]
                )
        assert isinstance(store._quick(), ChunkFrames) == (compress == "none")


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path) -> None:
    write_store(tmp_path / "s.h5", arrays(6, 5000), items(6))
    with Store(tmp_path / "s.h5") as store:
        store.features(0)
        os.truncate(tmp_path / "s.h5", 100_000)
        for read in (lambda: store.features(5), lambda: store.batch([0, 5])):
            with pytest.raises(InputError, match="features cannot be read"):
                read()


def test_a_batch_checks_what_it_reads_first(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    write_store(path, arrays(4, 50), items(4))
    with h5py.File(path, "r+") as file:
        file["features"][int(file["offsets"][2])] += 1
    with Store(path) as store:
        assert len(store.batch([0, 1, 3])) == 3
        with pytest.raises(InputError, match=r"the features of .*2 are not what was written"):
            store.batch([1, 2])
