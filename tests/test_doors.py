"""convert: stores as Parquet, NumPy, WebDataset, `datasets` and lhotse, read by those, and back."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sertool
from sertool.formats.doors import npz, webdataset
from sertool.formats.lineage import items_sha256
from sertool.formats.store import Store, StoreWriter
from sertool.items import Item

Cli = Callable[..., Any]
DEMO = Path(__file__).resolve().parent.parent / "data/demo/corpus"
KINDS = {  # shape of a frame and type of the numbers, by kind
    "mel": ((5,), "float32"),
    "mfcc": ((3,), "float16"),
    "wave": ((), "int16"),
    "image": ((4, 6, 3), "uint8"),
}
BACK = {"parquet": "x.parquet", "npz": "x.npz", "webdataset": "x"}


def made(path: Path, kind: str = "mel", part: str | None = None) -> Path:
    """Write a store of nine items, with all that an item can have."""
    shape, dtype = KINDS[kind]
    draw = np.random.default_rng(1)
    writer = StoreWriter(path, shape, dtype)
    for i in range(9):
        item = Item(
            f"toy/ä{i}" + "~1" * (i == 8), f"a/{i}.wav", corpus="toy", speaker=f"0{i % 3}",
            label=("anger", "joy", None)[i % 3], fold=None if i == 4 else i % 2,
            start=0.5 if i == 2 else None, part=part and ("train", "val", "test")[i % 3],
            text="„quoted“,\n\"text\"", origin=f"toy/ä{i}", audio_hash=f"{i:064x}",
            augmentation='{"snr":3}' if i == 8 else "", fingerprint="ab" * i,
            extra={"age": None if i == 1 else 20.0 + i, "note": None if i == 3 else f"n{i}"},
        )  # fmt: skip
        writer.append((draw.standard_normal((i + 1, *shape)) * 50).astype(dtype), item)
    writer.finish(
        {
            "kind": kind, "settings": {"n": 5}, "sample_rate": 16000, "frame_rate": 62.5,
            "pipeline": [{"stage": "featurize", "kind": kind}], "root": "/corpus", "lineage": [],
        }
    )  # fmt: skip
    return path


def content(path: Path) -> tuple[Any, ...]:
    """Return all that a store says, its lineage and checksum excepted."""
    with Store(path) as store:
        assert store.verify()
        hashes = items_sha256((item.id, item.audio_hash) for item in store.items())
        about = (store.kind, store.settings, store.pipeline, store.sample_rate, store.frame_rate)
        frames = [(a.dtype, a.shape, a.tobytes()) for a in map(store.features, range(len(store)))]
        return hashes, about, store.root, store.classes, store.items(), frames


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", BACK)
def test_the_way_back_gives_the_same_items(
    cli: Cli, tmp_path: Path, kind: str, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if to == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        monkeypatch.setattr("sertool.formats.doors.parquet.GROUP_BYTES", 30)
    monkeypatch.setattr(webdataset, "SHARD_ITEMS", 4)
    store, out, again = made(tmp_path / "a.h5", kind), tmp_path / BACK[to], tmp_path / "b.h5"
    found = cli("convert", store, out, "--to", to)
    assert found.code == 0, found.err
    if to == "parquet":
        assert parquet.ParquetFile(out).num_row_groups > 1
    assert cli("convert", out, again).code == 0
    assert content(again) == content(store)
    assert [one["stage"] for one in Store(again).lineage] == ["convert"]
    assert cli("convert", out, again, "--resume").code == 0
    assert cli("convert", out, again).code == 3
    # and the same bytes, whatever the name
    other = out.with_name("y" + out.suffix)
    assert cli("convert", store, other, "--to", to).code == 0
    files = [(a, other / a.relative_to(out)) for a in out.rglob("*")] or [(out, other)]
    assert all(a.read_bytes() == b.read_bytes() for a, b in files)


def test_numpy_reads_all_columns_without_pickle(cli: Cli, tmp_path: Path) -> None:
    store = Store(made(tmp_path / "a.h5"))
    assert cli("convert", store.path, tmp_path / "x.npz").code == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert json.loads(arrays["sertool"].item())["store"] == store.sha256
        first, last = arrays["offsets"][6:8]
        np.testing.assert_array_equal(arrays["features"][first:last], store.features(6))
        assert arrays["items/label"].tolist() == ["anger", "joy", ""] * 3
        assert arrays["items/fold"].tolist() == [0, 1, 0, 1, -1, 1, 0, 1, 0]
        assert np.isnan(arrays["items/age"][1])


def test_pandas_and_pyarrow_read_parquet(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    store = Store(made(tmp_path / "a.h5"))
    assert cli("convert", store.path, tmp_path / "x.parquet").code == 0
    frame = pandas.read_parquet(tmp_path / "x.parquet")
    assert frame["speaker"].tolist() == store.column("speaker")
    assert frame["fold"].isna().tolist() == [i == 4 for i in range(9)]
    for i in range(9):
        np.testing.assert_array_equal(np.stack(frame["features"][i]), store.features(i))


def test_webdataset_reads_its_samples(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wds = pytest.importorskip("webdataset")
    monkeypatch.setattr(webdataset, "SHARD_ITEMS", 5)
    store = Store(made(tmp_path / "a.h5"))
    assert cli("convert", store.path, tmp_path / "w", "--to", "webdataset").code == 0
    data = wds.WebDataset(str(tmp_path / "w/{00000..00001}.tar"), shardshuffle=False).decode()
    samples = list(data)
    assert [one["json"]["id"] for one in samples] == store.column("id")
    for i, one in enumerate(samples):
        np.testing.assert_array_equal(one["npy"], store.features(i))


@pytest.mark.parametrize("part", [None, "yes"])
def test_datasets_loads_the_folder(cli: Cli, tmp_path: Path, part: str | None) -> None:
    datasets = pytest.importorskip("datasets")
    store = Store(made(tmp_path / "a.h5", part=part))
    assert cli("convert", store.path, tmp_path / "d", "--to", "datasets").code == 0
    found = datasets.load_dataset(str(tmp_path / "d"), cache_dir=str(tmp_path / "cache"))
    assert sorted(found) == (["test", "train", "validation"] if part else ["train"])
    rows = {row["id"]: row for split in found.values() for row in split}
    assert len(rows) == 9
    for i, item in enumerate(store.items()):
        row = rows[item.id]
        np.testing.assert_array_equal(np.array(row["features"], np.float32), store.features(i))
        assert (row["label"], row["fold"], row["age"]) == (item.label, item.fold, item.value("age"))


def test_lhotse_loads_features(cli: Cli, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    store = Store(made(tmp_path / "a.h5"))
    assert cli("convert", store.path, tmp_path / "l", "--to", "lhotse").code == 0
    cuts = lhotse.CutSet.from_file(tmp_path / "l/cuts.jsonl.gz")
    cuts = cuts.with_features_path_prefix(tmp_path / "l").to_eager()
    lhotse.validate(cuts, read_data=True)
    for i, (cut, item) in enumerate(zip(cuts, store.items(), strict=True)):
        np.testing.assert_array_equal(cut.load_features(), store.features(i))
        (one,) = cut.supervisions
        assert (one.id, one.speaker, one.custom["emotion"]) == (item.id, item.speaker, item.label)
        assert one.custom["fold"] == item.fold
    pictures = made(tmp_path / "i.h5", "image")
    assert cli("convert", pictures, tmp_path / "m", "--to", "lhotse").code == 2
    assert not (tmp_path / "m").exists()


def test_what_is_in_the_way_stays(cli: Cli, tmp_path: Path) -> None:
    store = made(tmp_path / "a.h5")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear")
    for force in ([], ["--force"]):
        assert cli("convert", store, tmp_path / "full", "--to", "webdataset", *force).code == 3
    assert (tmp_path / "full/letter.txt").read_text() == "dear"
    assert cli("convert", store, tmp_path / "w", "--to", "webdataset").code == 0
    assert cli("convert", store, tmp_path / "w", "--to", "webdataset").code == 3
    assert cli("convert", store, tmp_path / "w", "--to", "webdataset", "--resume").code == 0
    assert cli("convert", store, tmp_path / "w", "--to", "webdataset", "--force").code == 0
    other = made(tmp_path / "o.h5", "mfcc")
    assert cli("convert", other, tmp_path / "w", "--to", "webdataset", "--resume").code == 3
    assert cli("convert", store, tmp_path / "x.csv").code == 2
    assert cli("convert", store, tmp_path / "x.npz", "--to", "parquet").code == 2
    assert cli("convert", tmp_path / "none.npz", tmp_path / "x.h5").code == 3
    assert not list(tmp_path.glob(".*"))


def rewritten(path: Path, out: Path, **arrays: bytes | None) -> Path:
    """Write an .npz with some members changed, or left out."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            key = name.removesuffix(".npy").replace("/", "_")
            replaced = arrays.get(key, source.read(name))
            if replaced is not None:
                target.writestr(name, replaced)
    return out


def packed(array: Any, pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickle)
    return buffer.getvalue()


def test_a_hostile_npz_is_refused_in_one_line(cli: Cli, tmp_path: Path) -> None:
    good = tmp_path / "x.npz"
    assert cli("convert", made(tmp_path / "a.h5"), good).code == 0
    header = packed(np.zeros(9, np.float64))
    huge = header.replace(b"(9,)", b"(999999999999,)").replace(b" " * 11 + b"\n", b"\n")
    changes: list[dict[str, bytes | None]] = [
        {"items_label": packed(np.array([print] * 9, object), pickle=True)},
        {"items_label": packed(np.zeros(9))},
        {"items_label": packed(np.array(["x"] * 8))},
        {"items_label": None},
        {"items_age": huge},
        {"items_id": packed(np.array([""] * 9))},
        {"offsets": packed(np.arange(10) * 7)},
        {"offsets": packed(np.array([0, 5, 3]))},
        {"features": packed(np.zeros((45, 4), np.float32))},
        {"features": packed(np.zeros((45, 5), np.float32))[:-40]},
        {"sertool": packed(np.array("{}"))},
        {"sertool": packed(np.array("[" * 100_000))},
        {"sertool": None},
    ]
    for i, change in enumerate(changes):
        bad = rewritten(good, tmp_path / f"{i}.npz", **change)
        found = cli("convert", bad, tmp_path / "out.h5")
        assert (found.code, found.err.count("\n")) == (3, 1), (change, found.err)
        assert f"{i}.npz" in found.err
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:-100])
    assert cli("convert", tmp_path / "cut.npz", tmp_path / "out.h5").code == 3
    assert not (tmp_path / "out.h5").exists()


def test_a_hostile_tar_is_refused_in_one_line(cli: Cli, tmp_path: Path) -> None:
    store = made(tmp_path / "a.h5")

    def folder(name: str, member: str, body: bytes, kind: bytes = tarfile.REGTYPE) -> Path:
        out = tmp_path / name
        assert cli("convert", store, out, "--to", "webdataset").code == 0
        with tarfile.open(out / "00000.tar") as tar:
            all_of = [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
        with tarfile.open(out / "00000.tar", "w") as tar:
            for one, content in all_of:
                info = tarfile.TarInfo(one)
                changed = body if one == member else content
                info.type = kind if one == member else tarfile.REGTYPE
                info.size = len(changed) if info.isreg() else 0
                info.linkname = "/etc/passwd"
                tar.addfile(info, io.BytesIO(changed))
        return out

    bad = [
        folder("a", "000000003.npy", packed(np.array([print], object), pickle=True)),
        folder("b", "000000003.npy", packed(np.zeros((3, 4), np.float32))),
        folder("c", "000000003.npy", b"", tarfile.SYMTYPE),
        folder("d", "000000003.json", b"[1]"),
        folder("e", "000000003.json", b'{"id": 7}'),
        folder("f", "000000003.json", b"[" * 100_000),
        folder("g", "000000003.npy", packed(np.zeros((3, 5), np.float32))[:-8]),
    ]
    for one in bad:
        found = cli("convert", one, tmp_path / "out.h5")
        assert (found.code, found.err.count("\n")) == (3, 1), (one.name, found.err)
    assert not (tmp_path / "out.h5").exists()


def test_a_hostile_parquet_is_refused_in_one_line(cli: Cli, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    good = tmp_path / "x.parquet"
    assert cli("convert", made(tmp_path / "a.h5"), good).code == 0
    table = parquet.read_table(good)
    at = table.schema.get_field_index("features")
    holes = pa.array([None] * 9, table.schema.field("features").type)
    nameless = pa.array([None] * 9, pa.string())
    bad = {
        "plain": table.replace_schema_metadata(None),
        "other": table.replace_schema_metadata({b"sertool": b"{}"}),
        "less": table.drop_columns(["label"]),
        "text": table.set_column(at, "features", pa.array(["x"] * 9)),
        "holes": table.set_column(at, table.schema.field("features"), holes),
        "nameless": table.set_column(0, table.schema.field("id"), nameless),
    }
    for name, one in bad.items():
        parquet.write_table(one, tmp_path / f"{name}.parquet")
        found = cli("convert", tmp_path / f"{name}.parquet", tmp_path / "out.h5")
        assert (found.code, found.err.count("\n")) == (3, 1), (name, found.err)
    (tmp_path / "cut.parquet").write_bytes(good.read_bytes()[:-100])
    assert cli("convert", tmp_path / "cut.parquet", tmp_path / "out.h5").code == 3
    # rows that another tool left out are left out
    parquet.write_table(table.slice(2, 4), tmp_path / "few.parquet")
    assert cli("convert", tmp_path / "few.parquet", tmp_path / "few.h5").code == 0
    assert Store(tmp_path / "few.h5").column("id") == [f"toy/ä{i}" for i in range(2, 6)]


def test_the_api_returns_where_it_is(tmp_path: Path) -> None:
    out = sertool.convert(made(tmp_path / "a.h5"), tmp_path / "x.npz")
    again = sertool.open_store(sertool.convert(out, tmp_path / "b.h5"))
    assert len(again) == 9
    assert npz.DOOR.read(out).items == list(again.items())


def one_row(path: Path) -> Path:
    """Write a store of six items of one frame each, some cut out of one recording."""
    writer = StoreWriter(path, (3,), "float32")
    draw = np.random.default_rng(2)
    for i in range(6):
        item = Item(
            f"toy/{i}", f"wav/{min(i, 4)}.wav", corpus="toy", speaker=f"0{i % 2}", fold=i % 2,
            label=("anger", "joy", None)[i % 3], start=1.5 if i == 5 else None, end=None,
            language="de", text='„quoted“,\r\n"text"', origin=f"toy/{i}",
            extra={"age": None if i == 1 else 20.5 + i, "emotion": "kept", "file": "x"},
        )  # fmt: skip
        writer.append(draw.standard_normal((1, 3)).astype(np.float32) / 3, item)
    writer.finish(
        {
            "kind": "voice", "settings": {}, "sample_rate": 16000, "frame_rate": 0.0,
            "pipeline": [{"stage": "featurize", "kind": "voice"}], "root": "/corpus", "lineage": [],
        }
    )  # fmt: skip
    return path


def test_audformat_loads_a_store(cli: Cli, tmp_path: Path) -> None:
    audformat = pytest.importorskip("audformat")
    store = Store(one_row(tmp_path / "a.h5"))
    found = cli("convert", store.path, tmp_path / "d", "--to", "audformat")
    assert (found.code, found.err.count("\n")) == (0, 1), found.err
    made = audformat.Database.load(tmp_path / "d")
    assert (made.name, made.languages, list(made)) == ("toy", ["de"], ["emotion", "features"])
    assert sorted(made.schemes["emotion"].labels) == ["anger", "joy"]
    fields, features = made["emotion"].df, made["features"].df
    assert fields.index.equals(features.index)
    file, start, end = fields.index[5]
    assert (file, start.total_seconds(), end != end) == ("/corpus/wav/4.wav", 1.5, True)
    for i, item in enumerate(store.items()):
        np.testing.assert_array_equal(features.iloc[i].astype(np.float32), store.features(i)[0])
        row = fields.astype(object).where(fields.notna(), None).iloc[i]
        assert (row["id"], row["speaker"], row["emotion"]) == (item.id, item.speaker, item.label)
        assert (row["fold"], row["age"], row["text"]) == (item.fold, item.value("age"), item.text)
        assert (row["extra_emotion"], row["extra_file"]) == ("kept", "x")


def test_what_has_no_place_in_audformat_is_told(cli: Cli, tmp_path: Path) -> None:
    found = cli("convert", made(tmp_path / "a.h5"), tmp_path / "d", "--to", "audformat")
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "an item of kind mel has many" in found.err
    with Store(one_row(tmp_path / "b.h5")) as store:
        twice = StoreWriter(tmp_path / "c.h5", (3,), "float32")
        for i, item in enumerate(store.items()):
            twice.append(store.features(i), item.replace(path="one.wav", start=None))
        twice.finish(
            {
                "kind": "voice", "settings": {}, "sample_rate": 16000, "frame_rate": 0.0,
                "pipeline": store.pipeline, "root": "", "lineage": [],
            }
        )  # fmt: skip
    found = cli("convert", tmp_path / "c.h5", tmp_path / "d", "--to", "audformat")
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "copies" in found.err
    assert not (tmp_path / "d").exists()


def test_audformat_loads_predictions(cli: Cli, tmp_path: Path) -> None:
    audformat = pytest.importorskip("audformat")
    rows = {
        "whole": cli("predict", DEMO / "spk01").out,
        "windows": cli("predict", DEMO / "spk01", "--window", "0.3", "--reject", "0.6").out,
    }
    for name, text in rows.items():
        wanted = [json.loads(line) for line in text.splitlines()]
        (tmp_path / f"{name}.jsonl").write_text(text)
        out = tmp_path / name
        found = cli("convert", tmp_path / f"{name}.jsonl", out, "--to", "audformat")
        assert found.code == 0, found.err
        made = audformat.Database.load(out)
        (table,) = made.tables.values()
        assert table.type == {"whole": "filewise", "windows": "segmented"}[name]
        assert table["emotion"].rater.type == "machine"
        assert wanted[0]["model"] in table["emotion"].rater.description
        frame = table.df.reset_index()
        frame = frame.astype(object).where(frame.notna(), None)
        assert len(frame) == len(wanted)
        for row, said in zip(frame.to_dict("records"), wanted, strict=True):
            assert (row["file"], row["emotion"]) == (said["path"], said["label"])
            shares = {one: row[f"p_{one}"] for one in said["posterior"]}
            assert (row["confidence"], shares) == (said["confidence"], said["posterior"])
            if name == "windows":
                span = row["start"].total_seconds(), row["end"].total_seconds()
                assert span == pytest.approx((said["start"], said["end"]), abs=1e-9)
        assert cli("convert", tmp_path / f"{name}.jsonl", out, "--to", "audformat").code == 3
        again = cli("convert", tmp_path / f"{name}.jsonl", out, "--to", "audformat", "--resume")
        assert (again.code, "already complete" in again.err) == (0, True)
    # what is read is what `prepare` reads, too
    assert len(sertool.prepare(tmp_path / "whole")) == len(rows["whole"].splitlines())


def line(path: str, **more: Any) -> str:
    shares = {"anger": 0.75, "joy": 0.25}
    said = {"path": path, "label": "anger", "confidence": 0.75, "posterior": shares}
    return json.dumps(said | {"duration": 2.0, "windows": 1, "model": "m@1"} | more) + "\n"


def test_channels_speakers_numbers_and_failures_in_audformat(cli: Cli, tmp_path: Path) -> None:
    audformat = pytest.importorskip("audformat")
    cases = {
        "channels": [line("a.wav", channel=one) for one in ("left", "right")],
        "speakers": [line("a.wav", speaker="ä/b"), line("a.wav", speaker="c"), line("b.wav")],
        "numbers": [json.dumps({"path": "a.wav", "numbers": {"arousal": 0.5}, "model": "m"})],
        "failed": [line("a.wav"), '{"path": "b.wav", "error": "no samples"}\n'],
        "silent": [line("a.wav", label=None, confidence=None, posterior=None)],
        "none": [],
    }
    made = {}
    for name, lines in cases.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        found = cli("convert", tmp_path / f"{name}.jsonl", tmp_path / name, "--to", "audformat")
        assert found.code == 0, found.err
        made[name] = audformat.Database.load(tmp_path / name)
    assert list(made["channels"]) == ["predictions.left", "predictions.right"]
    assert made["channels"]["predictions.right"].df["channel"].tolist() == ["right"]
    assert len(list(made["speakers"])) == 3
    assert made["speakers"]["predictions._e4__2f_b"].df["speaker"].tolist() == ["ä/b"]
    assert made["numbers"]["predictions"].df["arousal"].tolist() == [0.5]
    assert made["failed"]["predictions"].df["error"].tolist()[1] == "no samples"
    assert made["failed"]["predictions"].df["emotion"].isna().tolist() == [False, True]
    assert made["silent"]["predictions"].df["emotion"].isna().tolist() == [True]
    assert len(made["none"]["predictions"]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "[1]", "{}", '{"path": 3}', line("a").replace("0.75", "7.5"), line("a") * 2, "x",
        '{"path": "a", "start": -1}', line("a", vad=[1]), line("a", windows="1"), "[" * 100_000,
        line("a", duration=True), '{"path": "a", "error": 1}', "\udcff",
    ],
)  # fmt: skip
def test_rows_that_are_none_are_refused_in_one_line(cli: Cli, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    found = cli("convert", tmp_path / "a.jsonl", tmp_path / "d", "--to", "audformat")
    assert (found.code, found.err.count("\n")) == (3, 1), found.err
    assert "a.jsonl" in found.err
    assert not (tmp_path / "d").exists()


def changes(to: str, store: Path, out: Path) -> Iterator[None]:
    """Change a number, then a speaker, then the description of what was written."""
    numbers = Store(store).features(6)[2]
    changed = numbers.copy()
    changed[3] += 1
    if to == "webdataset":
        tar, index = out / "00000.tar", out / "sertool.json"
        whole = tar.read_bytes()
        speakers = b'"speaker":"02"', b'"speaker":"03"'
        for old, new in ((numbers.tobytes(), changed.tobytes()), speakers):
            assert old in whole
            tar.write_bytes(whole.replace(old, new))
            yield
        tar.write_bytes(whole)
        index.write_text(index.read_text().replace('"n":5', '"n":6'))
        yield
    elif to == "npz":
        with np.load(out) as found:
            arrays = dict(found)
        features, speakers = arrays["features"].copy(), arrays["items/speaker"].copy()
        features[arrays["offsets"][6] + 2] = changed
        speakers[4] = "02"
        text = np.array(arrays["sertool"].item().replace('"n":5', '"n":6'))
        for name, array in (("features", features), ("items/speaker", speakers), ("sertool", text)):
            np.savez(out, **(arrays | {name: array}))
            yield
    else:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        whole, table = out.read_bytes(), parquet.read_table(out)
        out.write_bytes(whole.replace(numbers.tobytes(), changed.tobytes()))
        yield
        at = table.schema.get_field_index("speaker")
        parquet.write_table(table.set_column(at, "speaker", pa.array(["02"] * 9)), out)
        yield
        text = table.schema.metadata[b"sertool"].replace(b'"n":5', b'"n":6')
        parquet.write_table(table.replace_schema_metadata({b"sertool": text}), out)
        yield


@pytest.mark.parametrize("to", BACK)
def test_what_was_changed_is_found(cli: Cli, tmp_path: Path, to: str) -> None:
    """`convert`, `info` and `--resume` refuse it."""
    if to == "parquet":
        pytest.importorskip("pyarrow")
    store, out = made(tmp_path / "a.h5"), tmp_path / BACK[to]
    write = ("convert", store, out, "--to", to)
    assert cli(*write).code == 0
    told = cli("info", out)
    assert (told.code, told.err) == (0, "")
    assert "checksums right" in told.out
    assert cli(*write, "--resume").code == 0
    for _ in changes(to, store, out):
        for line in (("convert", out, tmp_path / "b.h5"), ("info", out), (*write, "--resume")):
            found = cli(*line)
            assert (found.code, found.err.count("\n")) == (3, 1), (line, found.err)
            assert f"{BACK[to]}: " in found.err


def test_without_checksums_it_is_read_and_said(cli: Cli, tmp_path: Path) -> None:
    old = Path(__file__).parent / "data" / "v2" / "items.npz"  # of a version that wrote none
    found = cli("convert", old, tmp_path / "b.h5")
    assert (found.code, found.err.count("carries no checksum")) == (0, 1)
    told = cli("info", old)
    assert (told.code, told.err.count("carries no checksum")) == (0, 1)
    assert "checksums missing" in told.out
    assert json.loads(cli("info", "--json", old).out)["checksum"] is None
    out = tmp_path / "x.npz"
    assert cli("convert", made(tmp_path / "a.h5"), out).code == 0
    bare = rewritten(out, tmp_path / "y.npz", crc32=None)  # of which it says that it has them
    assert cli("convert", bare, tmp_path / "c.h5").code == 3


def test_rows_left_out_are_said(cli: Cli, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "x.parquet"
    assert cli("convert", made(tmp_path / "a.h5"), out).code == 0
    parquet.write_table(parquet.read_table(out).slice(2, 4), tmp_path / "few.parquet")
    found = cli("convert", tmp_path / "few.parquet", tmp_path / "few.h5")
    assert (found.code, "holds 4 of the 9 items that convert wrote" in found.err) == (0, True)
    described = json.loads(cli("info", "--json", tmp_path / "few.parquet").out)
    assert (described["items"], described["checksum"]) == (4, "right")
    rows = cli("info", "--items", tmp_path / "few.parquet").out.splitlines()
    assert [json.loads(row)["id"] for row in rows] == [f"toy/ä{i}" for i in range(2, 6)]
