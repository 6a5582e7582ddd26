"""ONNX models: what every model says through one, and what is refused of a file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from made_checkpoints import CLASSES, STAGE, checkpoint, features

from sertool.evaluation import fused, fused_weights
from sertool.evaluation.onnx_scoring import OnnxScorer
from sertool.formats import checkpoint as checkpoints
from sertool.formats import onnx
from sertool.formats.checkpoint import Checkpoint
from sertool.models import MODELS, model
from sertool.models.scoring import Scorer

protos = pytest.importorskip("onnx", reason="ONNX models need sertool[onnx]")
pytest.importorskip("onnxruntime", reason="ONNX models need sertool[onnx]")

CORPUS = Path(__file__).resolve().parent.parent / "data" / "demo" / "corpus"
ONE = CORPUS / "spk01" / "spk01_sadness_s1_r2.flac"
MEL, PICTURE = (64,), (64, 64, 3)
CALIBRATION = {"temperature": 1.7, "items": 3, "error_before": 0.1, "error_after": 0.1}
ANY, FIXED = (50, 90, 23, 300, 2), (80, 171, 30)
CASES: dict[str, list[tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]]] = {
    "linear": [(MEL, (), ANY), ((16, 8, 3), (), (1, 1)), ((), (), (500, 90))],
    "logistic": [(MEL, ("C=0.1",), ANY), ((3, 8), ("C=0.1",), (1, 4))],
    "svm": [
        (MEL, ("C=1", "sigma=1", 'statistics=["min","max","range","sd","mean"]'), ANY),
        (MEL, ("C=1", "kernel=linear"), ANY),
    ],
    "ridge": [(MEL, (), ANY), ((3, 8), (), (1, 4)), ((3, 8), ("layer=1",), (1, 4))],
    "mean": [(MEL, (), ANY), ((3, 8), (), (1, 4))],
    "sertool": [(MEL, (), ANY)],
    "probe": [((3, 16), (), (1, 4)), (MEL, (), ANY)],
    "ma2018": [
        (MEL, (), ANY),
        (MEL, ("recurrent=gru", "bidirectional=false"), ANY),
        (MEL, ("mask=false",), ANY),
    ],
    "ma2018-fixed": [(MEL, ("frames=60",), (60, 20, 33))],
    "sundharam-cnn": [((40,), (), FIXED), ((40,), ("input=curve",), FIXED)],
    "sundharam-bilstm": [((128,), (), (140, 290)), ((128,), ("mask=true",), (140, 60, 3))],
    "sundharam-transformer": [((128,), (), (140, 290)), ((128,), ("mask=true",), (140, 60, 3))],
    "badshah2017": [(PICTURE, (), (1, 1))],
    "badshah2017-alexnet": [((96, 70, 3), (), (1, 1))],
    "fser2021": [(PICTURE, (), (1, 1))],
    "huang2014": [((70,), (), ANY), ((70,), ("classifier=logistic",), ANY)],
}
NO_GRAPH = ("majority", "boosting")


def exported(made: Checkpoint) -> onnx.OnnxModel:
    from sertool.formats.onnx_graph import Graph

    scorer, graph = Scorer.of(made), Graph()
    graph.output("posterior", scorer.graph(graph), ("items", len(scorer.outputs)))
    meta = onnx.described(made.meta) | {"lineage": []}
    return onnx.parse(onnx.packed(graph.to_bytes(), meta), "model.onnx")


def test_every_model_is_here() -> None:
    assert {*CASES, *NO_GRAPH, "fused", "finetune"} == set(MODELS)


@pytest.mark.parametrize(
    ("name", "dims", "sets", "lengths"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
)
def test_an_onnx_model_says_what_its_checkpoint_says(
    name: str, dims: tuple[int, ...], sets: tuple[str, ...], lengths: tuple[int, ...]
) -> None:
    meta = {} if name in ("mean", "ridge") else {"calibration": CALIBRATION}
    made = checkpoint(name, dims, *sets, frames=lengths[0], **meta)
    arrays = [features(dims, n, seed) for seed, n in enumerate(lengths)]
    if len(dims) == 3:
        scale = 60 if name != "linear" else 0.1
        arrays = [scale * array for array in arrays]
    before, after = Scorer.of(made), OnnxScorer(exported(made), "model.onnx")
    wanted = before.posterior(arrays)
    assert wanted.std(0).max() > 0 or name == "mean"
    for batch_size in (1, 8):
        found = after.posterior(arrays, None, batch_size)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert after.windows_averaged == 2 * before.windows_averaged
    assert after.padded == 2 * before.padded
    windows = [before.windows_in(array) for array in arrays]
    assert [after.windows_in(array) for array in arrays] == windows


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """A folder with a network, a table's model of other features, both fused, and that again."""
    folder: Path = tmp_path_factory.mktemp("several")
    network = checkpoint("sertool", MEL, calibration=CALIBRATION)
    stage = STAGE | {"kind": "mfcc", "settings": {"n_mfcc": 13}, "sample_rate": 22050}
    table = checkpoint("logistic", (13,), "C=0.1", stage=stage)
    table.meta["sample_rate"] = 22050
    both = fused_weights.weighted(fused.fuse([network, table], ["a", "b"]), [0.7, 0.3])
    both.meta["calibration"] = CALIBRATION
    again = fused.fuse([both, network], ["c", "a"])
    made = {"network": network, "table": table, "both": both, "again": again}
    for name, one in made.items():
        checkpoints.save(one, folder / f"{name}.ckpt")
    return folder


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [("network", [""]), ("both", [".0", ".1"]), ("again", [".0.0", ".0.1", ".1"])],
)
def test_a_model_is_exported_and_predicts(cli, several: Path, name: str, suffixes) -> None:
    model = several / f"{name}.onnx"
    made = cli("export", "--force", several / f"{name}.ckpt", model)
    assert made.code == 0, made.err
    session = onnx.Session(model.read_bytes())
    inputs = [f"{kind}{end}" for end in suffixes for kind in ("features", "lengths", "item")]
    assert list(session.inputs) == inputs
    words = (ONE, CORPUS / "spk02", "--batch-size", "4", "--window", "0.6", "--pool", "mean")
    rows = [
        [json.loads(line) for line in cli("predict", path, *words).out.splitlines()]
        for path in (several / f"{name}.ckpt", model)
    ]
    assert len(rows[0]) > 17
    for before, after in zip(*rows, strict=True):
        assert before["path"] == after["path"]
        wanted = [before["posterior"][label] for label in CLASSES] if before["label"] else None
        found = [after["posterior"][label] for label in CLASSES] if after["label"] else None
        assert (wanted is None) == (found is None)
        if wanted is not None:
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
        assert (
            after["model"].partition("@")[2] == hashlib.sha256(model.read_bytes()).hexdigest()[:12]
        )


def test_predicting_by_an_onnx_model_imports_no_torch(cli, several: Path) -> None:
    assert cli("export", "--force", several / "both.ckpt", several / "both.onnx").code == 0
    code = (
        "import sys; from sertool.cli import main; main(['predict', *sys.argv[1:]]);"
        "heavy = {'torch', 'onnx', 'sklearn', 'matplotlib', 'safetensors', 'h5py', 'pydantic'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(several / "both.onnx"), str(ONE)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["label"] in CLASSES
    assert found.stderr.splitlines()[-1] == "[]"


STREAMED = """
import io, json, sys
from sertool.cli import main

class Sound(io.BytesIO):
    "Says what was loaded when its first window began, after the four bytes of a head."
    def read(self, n):
        if self.tell() == 4:
            self.loaded = set(sys.modules)
        return super().read(n)

sound = Sound(sys.stdin.buffer.read())
sys.stdin = io.TextIOWrapper(sound)
main(["predict", sys.argv[1], "-", "--stream", "--sample-rate", "44100", "--window", "0.6"])
heavy = {"torch", "onnx", "sklearn", "matplotlib", "safetensors", "h5py"} & set(sys.modules)
print(json.dumps([sorted(heavy), sorted(set(sys.modules) - sound.loaded)]), file=sys.stderr)
"""


def test_a_stream_by_an_onnx_model_loads_no_torch_and_nothing_once_it_is_heard(
    cli, several: Path
) -> None:
    checkpoint, model = several / "both.ckpt", several / "both.onnx"
    assert cli("export", "--force", checkpoint, model).code == 0
    samples, rate = soundfile.read(ONE, dtype="int16")
    sound = np.repeat(samples, 3)[: 3 * rate].tobytes()  # whatever it is, at 44.1 kHz
    rows = []
    for path in (checkpoint, model):
        found = subprocess.run(
            [sys.executable, "-c", STREAMED, str(path)],
            input=sound,
            capture_output=True,
            check=True,
        )
        heavy, late = json.loads(found.stderr.splitlines()[-1])
        assert (late, heavy if path == model else []) == ([], [])
        rows.append([json.loads(line) for line in found.stdout.splitlines()])
    assert len(rows[0]) == 2
    for before, after in zip(*rows, strict=True):
        assert (before["start"], before["end"]) == (after["start"], after["end"])
        assert after["posterior"] == pytest.approx(before["posterior"], abs=1e-5)


def test_export_writes_the_same_bytes_and_resumes(cli, several: Path, tmp_path: Path) -> None:
    source, first, second = several / "table.ckpt", tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert cli("export", source, first).code == 0
    assert cli("export", source, second).code == 0
    assert first.read_bytes() == second.read_bytes()
    again = cli("export", source, first)
    assert (again.code, again.err.count("\n")) == (3, 1)
    assert "already complete" in cli("export", "--resume", source, first).err
    other = cli("export", "--resume", several / "network.ckpt", first)
    assert (other.code, other.err.count("\n")) == (3, 1)
    twice = cli("export", first, tmp_path / "c.onnx")
    assert (twice.code, twice.err.count("\n")) == (3, 1)
    named = first.rename(tmp_path / "model")  # known by its head
    assert cli("predict", named, ONE).code == 0


def test_info_says_what_it_is(cli, several: Path, tmp_path: Path) -> None:
    made = checkpoint("linear", MEL)
    path = tmp_path / "model.onnx"
    made.items = [item("ravdess"), item("mine")]
    checkpoints.save(made, tmp_path / "m.ckpt")
    assert cli("export", tmp_path / "m.ckpt", path).code == 0
    page = cli("info", path)
    assert page.code == 0
    assert "ONNX model, version 1: model linear" in page.out
    assert "ravdess (CC BY-NC-SA 4.0)" in " ".join(page.out.split())
    assert "mine (licence not known)" in " ".join(page.out.split())
    raw = json.loads(cli("info", "--json", path).out)
    assert (raw["what"], raw["classes"], raw["pipeline"]) == ("onnx", CLASSES, [STAGE])
    assert raw["licences"] == {"mine": None, "ravdess": "CC BY-NC-SA 4.0"}
    assert raw["lineage"][-1]["stage"] == "export"


def item(corpus: str) -> Any:
    from sertool.items import Item

    return Item(f"{corpus}/a", "a.wav", corpus=corpus, part="train", origin=f"{corpus}/a")


@pytest.mark.parametrize("name", NO_GRAPH)
def test_what_has_no_graph_is_refused_in_one_line(cli, tmp_path: Path, name: str) -> None:
    sets = ("trees=3", "depth=2") if name == "boosting" else ()
    checkpoints.save(checkpoint(name, MEL, *known(name, sets)), tmp_path / "m.ckpt")
    result = cli("export", tmp_path / "m.ckpt", tmp_path / "m.onnx")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "no ONNX graph" in result.err
    assert not (tmp_path / "m.onnx").exists()


def test_an_encoder_that_is_tuned_is_refused_in_one_line(cli, tmp_path: Path, monkeypatch) -> None:
    made = checkpoint("sertool", MEL)
    checkpoints.save(made, tmp_path / "m.ckpt")
    monkeypatch.setattr(model("sertool"), "exports", model("finetune").exports)
    result = cli("export", tmp_path / "m.ckpt", tmp_path / "m.onnx")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "no ONNX graph" in result.err


def known(name: str, sets: tuple[str, ...]) -> list[str]:
    fields = model(name).Settings.__dataclass_fields__
    return [one for one in sets if one.partition("=")[0] in fields]


def test_a_model_per_field_is_refused(cli, tmp_path: Path) -> None:
    from small_store import items, make

    store = make(tmp_path / "s.h5", items(copies=0))
    words = ("--test-fold", "none", "--per", "gender", "--model", "linear")
    assert cli("train", *words, store, tmp_path / "m.ckpt").code == 0
    result = cli("export", tmp_path / "m.ckpt", tmp_path / "m.onnx")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "a model per gender" in result.err


def test_what_cannot_be_done_with_an_onnx_model_is_said(cli, several: Path, tmp_path: Path) -> None:
    path = several / "table.onnx"
    assert cli("export", "--force", several / "table.ckpt", path).code == 0
    for words in (("--explain", tmp_path / "figures"), ("--device", "cuda")):
        result = cli("predict", path, ONE, *words)
        assert (result.code, result.err.count("\n")) == (2, 1), words
        assert "ONNX" in result.err
    result = cli("eval", path, tmp_path / "none.h5")
    assert (result.code, result.err.count("\n")) == (3, 1)


def repacked(path: Path, change: Callable[[Any], None]) -> bytes:
    """Return a model that was changed, its checksum made right again."""
    proto = protos.load_model_from_string(path.read_bytes())
    change(proto)
    kept = [one for one in proto.metadata_props if one.key != "sha256"]
    meta = {one.key: json.loads(one.value) for one in kept}
    del proto.metadata_props[:]
    version = meta.pop("version")
    body = onnx.packed(proto.SerializeToString(deterministic=True), meta)
    if version == onnx.VERSION:
        return body
    before = onnx.VERSION
    try:
        onnx.VERSION = version
        return onnx.packed(proto.SerializeToString(deterministic=True), meta)
    finally:
        onnx.VERSION = before


def external(proto: Any) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = protos.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_constant(proto: Any) -> None:
    value = protos.numpy_helper.from_array(np.zeros(1))
    value.external_data.add(key="location", value="secret")
    proto.graph.node.append(protos.helper.make_node("Constant", [], ["x"], value=value))


def foreign(proto: Any) -> None:
    proto.graph.node[0].domain = "com.somebody"


def foreign_opset(proto: Any) -> None:
    proto.opset_import.append(protos.helper.make_opsetid("com.somebody", 1))


def branch(proto: Any) -> None:
    inner = protos.helper.make_graph([], "inner", [], [])
    node = protos.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    proto.graph.node.append(node)


def function(proto: Any) -> None:
    opsets = [protos.helper.make_opsetid("", 18)]
    proto.functions.append(protos.helper.make_function("", "f", [], [], [], opsets))


def newer(proto: Any) -> None:
    for one in proto.metadata_props:
        if one.key == "version":
            one.value = "99"


def no_classes(proto: Any) -> None:
    for one in proto.metadata_props:
        if one.key == "classes":
            one.value = "[]"


def unrunnable(proto: Any) -> None:
    proto.graph.node[0].input[0] = "nothing"


def other_input(proto: Any) -> None:
    for node in proto.graph.node:
        node.input[:] = ["other" if name == "features" else name for name in node.input]
    proto.graph.input[0].name = "other"


CHANGES = {
    external: "in another file",
    external_constant: "in another file",
    foreign: "not ONNX's own",
    foreign_opset: "not ONNX's own",
    branch: "branches or loops",
    function: "functions of its own",
    newer: "version 99",
    no_classes: "classes",
    unrunnable: "does not fit",
    other_input: "does not fit",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
def test_a_hostile_file_is_refused_in_one_line(
    cli, several: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    good, bad = several / "table.onnx", tmp_path / "bad.onnx"
    assert cli("export", "--force", several / "table.ckpt", good).code == 0
    assert repacked(good, lambda proto: None) == good.read_bytes()
    bad.write_bytes(repacked(good, change))
    result = cli("predict", bad, ONE)
    assert (result.code, result.err.count("\n"), result.out) == (3, 1, "")
    assert CHANGES[change] in result.err


def test_a_damaged_file_is_refused_in_one_line(cli, several: Path, tmp_path: Path) -> None:
    good, bad = several / "table.onnx", tmp_path / "bad.onnx"
    assert cli("export", "--force", several / "table.ckpt", good).code == 0
    content = good.read_bytes()
    random = np.random.default_rng(0)
    damaged = [content[:n] for n in (0, 1, 9, 40, len(content) // 2, len(content) - 1)]
    damaged += [content + b"x", b"\x08\x08\x12\x07sertool" + bytes(range(256)), bytes(100)]
    for place in random.integers(len(content), size=20).tolist():
        damaged.append(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    for one in damaged:
        bad.write_bytes(one)
        for words in (("predict", bad, ONE), ("info", bad)):
            result = cli(*words)
            assert (result.code, result.err.count("\n"), result.out) == (3, 1, ""), words
    bad.unlink()
    os.mkfifo(bad)
    assert cli("predict", bad, ONE).code == 3  # and nobody waits
    bad.unlink()
    plain = protos.helper.make_model(protos.helper.make_graph([], "g", [], []))
    bad.write_bytes(plain.SerializeToString())
    assert "sertool export" in cli("predict", bad, ONE).err
    (tmp_path / "folder.onnx").mkdir()
    assert cli("predict", tmp_path / "folder.onnx", ONE).code == 3


def test_without_onnx_runtime_there_is_advice(cli, several: Path, monkeypatch) -> None:
    path = several / "table.onnx"
    assert cli("export", "--force", several / "table.ckpt", path).code == 0
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = cli("predict", path, ONE)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "sertool[onnx]" in result.err
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "sertool.formats.onnx_graph", raising=False)
    result = cli("export", "--force", several / "table.ckpt", path)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "sertool[onnx]" in result.err


def test_the_python_interface(several: Path, tmp_path: Path) -> None:
    import sertool

    path = tmp_path / "m.onnx"
    made = sertool.export(several / "network.ckpt", path)
    assert made.path == path
    before = sertool.load(several / "network.ckpt").predict(ONE).posterior
    assert sertool.load(path).predict(ONE).posterior == pytest.approx(before, abs=1e-5)
