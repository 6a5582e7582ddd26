"""The JSON Schemas of docs/formats are those of the code, and files that the stages write fit."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import schemas

ROOT = Path(__file__).resolve().parent.parent
FORMATS = ROOT / "docs" / "formats"


def test_they_are_those_of_the_code() -> None:
    texts = schemas.texts()
    assert {path.name for path in FORMATS.iterdir()} == set(texts)
    for name, text in texts.items():
        assert (FORMATS / name).read_text(encoding="utf-8") == text, "run python tests/schemas.py"


def wrong(name: str, value: Any) -> str:
    """Return why JSON does not fit a schema, "" where it does."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FORMATS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return "; ".join(f"{error.json_path}: {error.message[:200]}" for error in found)


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the chain of `make demo` writes, of three speakers and one epoch."""
    from sertool.cli import main

    pytest.importorskip("jsonschema")
    folder = tmp_path_factory.mktemp("chain")
    demo = ROOT / "data" / "demo" / "corpus"
    where = "--where=speaker in spk01,spk02,spk03"
    (folder / "broken.wav").write_bytes(b"no sound")
    net = "--model sundharam-cnn --epochs 1 --batch-size 32 --test-fold all"
    with contextlib.chdir(folder):
        assert main(["prepare", "-q", where, "--split", "speakers:3", str(demo), "m.jsonl"]) == 0
        for line in (
            "featurize --kind wave --duration 2 m.jsonl wave.h5",
            "augment --awgn 15:30 wave.h5 noisy.h5",
            "featurize --kind mel --set n_fft=512 --set n_mels=40 noisy.h5 mel.h5",
            f"train {net} mel.h5 net.ckpt",
            "eval --json report.json net.0.ckpt net.1.ckpt net.2.ckpt mel.h5",
            "eval --json summary.json --summary --tag seed=0 net.0.ckpt mel.h5",
            "featurize --kind mel m.jsonl plain.h5",
            "train --model logistic --speaker-normalisation --test-fold none plain.h5 spoken.ckpt",
            f"predict --output lines.jsonl --window 1 net.0.ckpt {demo}/spk01",
            f"predict --write-statistics s.jsonl --speaker-by folder spoken.ckpt {demo}/spk01",
        ):
            assert main([*line.split(), "--quiet"]) == 0, line
        assert main(["predict", "-q", "--output", "failed.jsonl", "net.0.ckpt", "broken.wav"]) == 1
    return folder


@pytest.mark.slow
def test_what_the_stages_write_fits(chain: Path) -> None:
    from sertool.formats import checkpoint, store

    kept = checkpoint.load(chain / "net.0.ckpt")
    items = [{name: getattr(item, name) for name in checkpoint.ITEM_FIELDS} for item in kept.items]
    with store.Store(chain / "mel.h5") as made:
        attributes = {n: getattr(made, n) for n in schemas.store.Attributes.__struct_fields__[:10]}
    found = {
        "manifest": rows(chain / "m.jsonl"),
        "store": [attributes | {"format": store.FORMAT}],
        "checkpoint": [kept.meta, checkpoint.load(chain / "spoken.ckpt").meta],
        "checkpoint-item": items,
        "report": rows_of_reports(chain),
        "prediction": rows(chain / "lines.jsonl") + rows(chain / "failed.jsonl"),
        "made": [json.loads((chain / ".m.jsonl.made").read_text())],
        "speakers": rows(chain / "s.jsonl")[1:],
    }
    for name, values in found.items():
        assert values, name
        for value in values:
            assert not wrong(name, value), name


def rows_of_reports(chain: Path) -> list[Any]:
    return [json.loads((chain / name).read_text()) for name in ("report.json", "summary.json")]


@pytest.mark.slow
def test_an_exported_model_fits(chain: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from sertool.cli import main

    assert main(["export", "--quiet", str(chain / "net.0.ckpt"), str(chain / "net.onnx")]) == 0
    properties = onnx.load(chain / "net.onnx").metadata_props
    meta = {one.key: one.value for one in properties}
    sha256 = meta.pop("sha256")
    assert not wrong("onnx", {n: json.loads(v) for n, v in meta.items()} | {"sha256": sha256})


def test_every_kind_of_kept_report_fits() -> None:
    for path in sorted((ROOT / "recipes" / "results").glob("*/*.jsonl")):
        with open(path, encoding="utf-8") as file:
            assert not wrong("report", json.loads(file.readline())), path


def test_reports_of_numbers_fit() -> None:
    from made_reports import report, speech

    assert not wrong("report", report(speech()))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("manifest", {"id": "a"}, "'path' is a required property"),
        ("manifest", {"id": "a", "path": "b", "part": "dev"}, "not valid"),
        ("prediction", {"path": "a", "label": "anger"}, "not valid"),
        ("report", {"format": "sertool-report", "version": 2}, "not valid"),
        ("store", {"format": "other"}, "was expected"),
    ],
)
def test_what_does_not_fit_is_said(name: str, value: dict[str, Any], why: str) -> None:
    assert why in wrong(name, value)
