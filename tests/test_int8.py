"""`export --int8`: smaller, nearly the same answers, and a cost that is counted rightly."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from small_store import items, make

from sertool.evaluation.onnx_scoring import OnnxScorer
from sertool.formats import onnx
from sertool.formats.store import Store

pytest.importorskip("onnx", reason="ONNX models need sertool[onnx]")
pytest.importorskip("onnxruntime", reason="ONNX models need sertool[onnx]")
pytestmark = pytest.mark.slow


@dataclass
class Made:
    """A store, and models that held out speakers s0 and s1: a network, a table's, both."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / f"{name.replace('_', '.')}"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    from sertool.cli import main

    found = Made(tmp_path_factory.mktemp("int8"))
    make(found.store_h5, items(speakers=6, each=9), dims=16, ragged=True)
    words = ["train", "--quiet", "--no-baselines", "--test-fold", "0", str(found.store_h5)]
    network = ["--model", "sertool", "--epochs", "4", "--set", "widths=[8, 12]"]
    assert main([*words, *network, str(found.network_ckpt)]) == 0
    assert main([*words, "--model", "linear", str(found.table_ckpt)]) == 0
    pair = map(str, (found.network_ckpt, found.table_ckpt, found.both_ckpt))
    assert main(["fuse", "--quiet", *pair]) == 0
    return found


def posteriors(path: Path, arrays: list[np.ndarray]) -> np.ndarray:
    return OnnxScorer(onnx.load(path), "model").posterior(arrays)


@pytest.mark.parametrize("name", ["network", "both"])
def test_8_bits_say_nearly_the_same_and_count_what_they_cost(cli, made: Made, name: str) -> None:
    checkpoint, exact, small = (made.folder / f"{name}.{end}" for end in ("ckpt", "onnx", "8.onnx"))
    assert cli("export", checkpoint, exact).code == 0
    result = cli("export", checkpoint, small, "--int8", made.store_h5)
    assert (result.code, result.err.count("\n")) == (0, 1), result.err
    with Store(made.store_h5) as store:
        chosen = [
            i for i, one in enumerate(store.items()) if one.fold == 0 and not one.augmentation
        ]
        arrays, truth = store.batch(chosen), [store.items()[i].label for i in chosen]
    before, after = posteriors(exact, arrays), posteriors(small, arrays)
    assert 0 < np.abs(before - after).max() < 0.1
    raw = json.loads(cli("info", "--json", small).out)
    labels = [np.array(raw["classes"])[rows.argmax(1)] for rows in (before, after)]
    kept = raw["int8"]
    assert (kept["items"], kept["tested"], kept["clusters"]) == (36, 18, "18 recordings")
    rates = [balanced_accuracy_score(truth, one) for one in labels]
    assert [kept["before"], kept["after"]] == pytest.approx(rates)
    assert kept["agree"] == pytest.approx((labels[0] == labels[1]).mean())
    low, high = kept["ci"]
    assert low <= rates[1] - rates[0] <= high
    assert f"UAR {100 * rates[1]:.1f} %, in 32 bits {100 * rates[0]:.1f} %" in result.err
    assert "8 bits" in cli("info", small).out
    again = made.folder / "again.onnx"
    assert cli("export", "--force", checkpoint, again, "--int8", made.store_h5).code == 0
    assert again.read_bytes() == small.read_bytes()
    other = cli("export", "--resume", checkpoint, exact, "--int8", made.store_h5)
    assert (other.code, other.err.count("\n")) == (3, 1)


def test_the_network_takes_a_third_of_the_room(cli, made: Made, tmp_path: Path) -> None:
    assert cli("export", made.network_ckpt, tmp_path / "a.onnx").code == 0
    assert cli("export", made.network_ckpt, tmp_path / "b.onnx", "--int8", made.store_h5).code == 0
    kinds = []
    for name in ("a", "b"):
        import onnx as protos

        graph = protos.load(tmp_path / f"{name}.onnx").graph
        kinds.append({t.data_type for t in graph.initializer if len(t.dims) > 1 and t.dims[0] > 4})
    assert protos.TensorProto.FLOAT in kinds[0]
    assert protos.TensorProto.FLOAT not in kinds[1]


def test_what_8_bits_cannot_do_is_said_in_one_line(cli, made: Made, tmp_path: Path) -> None:
    strangers = [replace(one, id=f"x{one.id}", origin=f"x{one.origin}") for one in items(each=9)]
    make(tmp_path / "other.h5", strangers, dims=16, ragged=True)
    make(tmp_path / "narrow.h5", items(each=9), dims=8)
    for checkpoint, store, code, why in (
        (made.table_ckpt, made.store_h5, 2, "linear has none"),
        (made.network_ckpt, tmp_path / "other.h5", 3, "none of the items"),
        (made.network_ckpt, tmp_path / "none.h5", 3, "no such file"),
    ):
        result = cli("export", checkpoint, tmp_path / "m.onnx", "--int8", store)
        assert (result.code, result.err.count("\n")) == (code, 1), result.err
        assert why in result.err
        assert not (tmp_path / "m.onnx").exists()


def test_without_held_out_items_the_cost_is_not_known(cli, made: Made, tmp_path: Path) -> None:
    words = ("--model", "sertool", "--epochs", "1", "--set", "widths=[8]", "--no-baselines")
    assert cli("train", *words, "--test-fold", "none", made.store_h5, tmp_path / "m.ckpt").code == 0
    result = cli("export", tmp_path / "m.ckpt", tmp_path / "m.onnx", "--int8", made.store_h5)
    assert result.code == 0
    assert "is not known" in result.err
