"""Tests of the checkpoint file: equal bytes, one metadata key, nothing that can run."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import InputError
from sertool.formats import checkpoint
from sertool.formats.checkpoint import ITEM_FIELDS, Checkpoint
from sertool.formats.outputs import Parts
from sertool.items import Item


def example() -> Checkpoint:
    item = Item("c/ä b", part="train", text="one\u2028two\nthree")
    tensors = {
        "model.b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "model.a": np.array(3, np.int64),
        "statistics.mean": np.asfortranarray(np.eye(3)),
    }
    model = {"name": "m", "settings": {}, "parameters": 7}
    meta = {"classes": ["x"], "pipeline": [], "dims": [3], "model": model, "lineage": []}
    return Checkpoint(tensors, [item, item.replace(id="c/2", part="test")], meta)


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint.save(example(), tmp_path / "m.ckpt")
    loaded = checkpoint.load(tmp_path / "m.ckpt")
    assert loaded.items == example().items
    assert loaded.meta["classes"] == ["x"]
    assert set(loaded.tensors) == set(example().tensors)
    for name, tensor in example().tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
    assert list(loaded.subset("model")) == ["a", "b"]
    assert [item.id for item in loaded.part("test")] == ["c/2"]


def test_same_content_same_bytes_whatever_name_and_order(tmp_path: Path) -> None:
    one = example()
    tensors = dict(reversed(one.tensors.items()))
    other = Checkpoint(tensors, one.items, {"b": 1, **one.meta})
    one.meta["b"] = 1
    checkpoint.save(one, tmp_path / "m.ckpt")
    checkpoint.save(other, tmp_path / "other-name.bin")
    assert (tmp_path / "m.ckpt").read_bytes() == (tmp_path / "other-name.bin").read_bytes()


def test_layout_is_that_of_the_design(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    checkpoint.save(example(), path)
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
        lines = file.get_tensor("items")
    assert list(metadata) == ["sertool"]
    meta = json.loads(metadata["sertool"])
    assert (meta["format"], meta["version"]) == ("sertool-checkpoint", 2)
    assert metadata["sertool"] == json.dumps(
        meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert lines.dtype == np.uint8
    rows = [json.loads(line) for line in lines.tobytes().decode().split("\n")[:-1]]
    assert [set(row) for row in rows] == [set(ITEM_FIELDS)] * 2


def test_torch_tensors_are_taken_whatever_their_layout(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    made = Checkpoint({"t": tensor}, [], example().meta)
    checkpoint.save(made, tmp_path / "m.ckpt")
    got = checkpoint.load(tmp_path / "m.ckpt").tensors["t"]
    np.testing.assert_array_equal(got, np.arange(24.0).reshape(1, 2, 3, 4))


class Bomb:
    """Pickled, it calls something on loading."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"\x80\x04.", pickle.dumps(Bomb()), b"\xff" * 64, b"PK\x03\x04" + bytes(64)],
    ids=["empty", "text", "short pickle", "pickle", "noise", "zip"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a .*checkpoint"):
        checkpoint.load(path)


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        checkpoint.load(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        checkpoint.load(tmp_path / "none.ckpt")


def test_somebody_elses_safetensors_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for number, metadata in enumerate([None, {"format": "pt"}, {"sertool": "no JSON"}]):
        path = tmp_path / f"{number}.safetensors"
        save_file({"w": np.zeros(3)}, path, metadata=metadata)
        with pytest.raises(InputError, match="not a sertool checkpoint"):
            checkpoint.load(path)
    content = b"".join(checkpoint.dump({"w": np.zeros(3)}, {"format": "sertool-other"}))
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a sertool checkpoint"):
        checkpoint.load(path)


def test_newer_version_is_refused(tmp_path: Path) -> None:
    content = b"".join(checkpoint.dump({}, {"format": checkpoint.FORMAT, "version": 4}))
    (tmp_path / "m.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="version 4; this sertool reads up to 3"):
        checkpoint.load(tmp_path / "m.ckpt")


@given(cut=st.integers(0, 2000), flip=st.integers(0, 2000), mode=st.booleans())
def test_damage_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, mode: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.ckpt"
    checkpoint.save(example(), path)
    content = bytearray(path.read_bytes())
    if mode:
        content = content[: cut % len(content)]
    else:
        start = 8 + int.from_bytes(content[:8], "little")  # the tensors' bytes
        content[start + flip % (len(content) - start)] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.ckpt"
    path.write_bytes(b"old")

    def pieces(*_: Any) -> Iterator[bytes]:
        yield b"half of it"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "dump", pieces)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(example(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.ckpt"]
    assert path.read_bytes() == b"old"


def test_no_module_of_training_can_load_code() -> None:
    package = Path(checkpoint.__file__).parent.parent
    owned = [package / "formats/checkpoint.py", *package.glob("training/*.py")]
    owned += package.glob("models/*.py")
    for path in owned:
        text = path.read_text(encoding="utf-8").replace("safetensors.torch.save", "")
        if path.name == "initial.py":  # weights of others, in torch's own files
            text = text.replace('torch.load(path, map_location="cpu", weights_only=True)', "")
        for word in ("import pickle", "torch.load", "torch.save", "joblib", "eval(", "exec("):
            assert word not in text.replace(".eval(", ""), f"{word} in {path.name}"


@pytest.mark.parametrize("name", ["classes", "pipeline", "dims", "model", "lineage"])
def test_description_without_what_all_need_is_refused(tmp_path: Path, name: str) -> None:
    for value in (None, 5):
        made = example()
        made.meta[name] = value
        checkpoint.save(made, tmp_path / "m.ckpt")
        with pytest.raises(InputError, match="damaged"):
            checkpoint.load(tmp_path / "m.ckpt")


@pytest.mark.parametrize(
    "odd",
    [
        {"classes": ["a", "a"]},
        {"classes": [["a"]]},
        {"lineage": [{}]},
        {"dims": [-1]},
        {"pipeline": ["featurize"]},
        {"history": [{"loss": 1.0}, {"lr": 1.0}]},
        {"target": 3},
        {"baselines": "all"},
        {"per": {"field": "gender", "values": {"male": 1}, "chooser": {}}},
    ],
    ids=str,
)
def test_description_with_other_types_is_refused(tmp_path: Path, odd: dict[str, object]) -> None:
    made = example()
    made.meta |= odd
    checkpoint.save(made, tmp_path / "m.ckpt")
    with pytest.raises(InputError, match=f"damaged, .*checkpoint: {next(iter(odd))}"):
        checkpoint.load(tmp_path / "m.ckpt")


@pytest.mark.parametrize("line", ["x", "[]", "{}", "\udcff", "[" * 5000])
def test_items_that_are_none_are_refused(tmp_path: Path, line: str) -> None:
    made = example()
    checkpoint.save(made, tmp_path / "m.ckpt")
    tensors, meta = checkpoint.undump((tmp_path / "m.ckpt").read_bytes(), "m")
    raw = line.encode("utf-8", "surrogateescape")
    tensors[checkpoint.ITEMS] = np.frombuffer(raw, np.uint8)
    meta["sha256"] = checkpoint._digest(tensors, meta)
    (tmp_path / "m.ckpt").write_bytes(b"".join(checkpoint.dump(tensors, meta)))
    with pytest.raises(InputError, match=r"m\.ckpt: damaged"):
        checkpoint.load(tmp_path / "m.ckpt")


def test_large_file_of_another_kind_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    os.truncate(path, 1 << 41)  # a file with a hole: more than any memory
    with pytest.raises(InputError, match=r"not a .*checkpoint"):
        checkpoint.load(path)


def test_a_file_is_what_the_library_writes() -> None:
    from safetensors.numpy import save

    meta = {"text": 'ä "\\/\u2028\x7f', "number": 1.5}
    types = ("bool", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8")
    arrays = {
        f"{name}.{shape}\n": np.ones(shape, name)
        for name in types
        for shape in ((), (0, 2), (3, 1))
    }
    written = b"".join(checkpoint.dump(dict(reversed(arrays.items())), meta))
    assert written == save(arrays, {"sertool": checkpoint.canonical(meta)})
    tensors, read = checkpoint.undump(written, "x")
    assert read == meta
    assert {name: (one.dtype, one.shape) for name, one in tensors.items()} == {
        name: (one.dtype, one.shape) for name, one in arrays.items()
    }


def test_a_file_is_written_from_the_tensors_own_memory(tmp_path: Path) -> None:
    """A network's state, its best weights and its optimiser's, would be there twice more."""
    parts = Parts(tmp_path / "m.ckpt", {}, False)
    tensors = {f"model.{i}": np.ones((1000, 1000), np.float32) for i in range(8)}
    tracemalloc.start()
    try:
        parts.write("state", *checkpoint.dump(tensors, {}))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.reset_peak()
        kept = Checkpoint(tensors, [], {})
        checkpoint.save(kept, tmp_path / "m.ckpt")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    parts.remove_all()
