"""Hugging Face audio folders, as `datasets` 5.2 reads them, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_trees import counts, look, touch
from made_formats import lines, write

from sertool.core.errors import InputError


def test_huggingface_metadata_in_each_split(tmp_path: Path) -> None:
    root = touch(tmp_path / "ds", ["train/1.wav", "train/2.wav", "test-clean/1.wav", "odd.wav"])
    text = 'file_name,emotion,speaker,text,path\n1.wav,happy,7,"a, b",x\n'
    write(root / "train/metadata.csv", text + "2.wav,Sad,7,c,y\n")
    write(root / "test-clean/metadata.csv", text)
    found, console = look(root, strict=True)
    assert [(u.id, u.part, u.label, u.speaker, u.text) for u in found] == [
        ("ds/test-clean/1", "test", "happiness", "7", "a, b"),
        ("ds/train/1", "train", "happiness", "7", "a, b"),
        ("ds/train/2", "train", "sadness", "7", "c"),
    ]
    assert found[0].extra == {"table_path": "x"}
    assert "1 file left out: in no metadata file" in console.text
    (root / "test-clean/metadata.csv").unlink()
    assert {u.part for u in look(root)[0]} == {None}  # one split alone is no split
    (one, two) = look(root / "train/metadata.csv", strict=True)[0]
    assert (one.id, two.id, one.part) == ("train/1", "train/2", None)


def test_huggingface_json_lines_above_the_files(tmp_path: Path) -> None:
    root = touch(tmp_path / "ds", [f"data/{part}/{part}.wav" for part in ("train", "validation")])
    rows = [
        {"file_name": "data/train/train.wav", "label": "angry", "age": 31, "tags": ["a"]},
        {"file_name": "data/validation/validation.wav", "label": "sad", "split": "test", "id": 4},
    ]
    path = lines(root / "metadata.jsonl", rows)
    found, _ = look(root, strict=True)
    assert [(u.id, u.label, u.part) for u in found] == [
        ("ds/data/train/train", "anger", None),
        ("ds/data/validation/validation", "sadness", "test"),
    ]
    assert found[0].extra == {"age": 31, "tags": ["a"], "split": None, "table_id": None}
    assert found[1].extra == {"age": None, "tags": None, "split": "test", "table_id": 4}
    assert look(path)[0] == found
    lines(path, [{key: row[key] for key in ("file_name", "label")} for row in rows])
    assert [u.part for u in look(root)[0]] == ["train", "val"]


def test_huggingface_classes_are_folders(tmp_path: Path) -> None:
    names = [f"{s}/{c}/{s}{c}.wav" for s in ("train", "eval") for c in ("Angry", "guilt")]
    root = touch(tmp_path / "ds", names)
    found, console = look(root, strict=True)
    assert {(u.id, u.label, u.raw_label, u.part) for u in found} == {
        ("ds/train/Angry/trainAngry", "anger", "Angry", "train"),
        ("ds/train/guilt/trainguilt", "guilt", "guilt", "train"),
        ("ds/eval/Angry/evalAngry", "anger", "Angry", "test"),
        ("ds/eval/guilt/evalguilt", "guilt", "guilt", "test"),
    }
    assert "read as huggingface; --corpus folder can read it, too" in console.text
    # one split alone is no split: a folder of classes, as before
    found, console = look(root / "train", strict=True)
    assert "corpus folder" in console.text
    assert counts(found, "part") == {None: 2}


def test_huggingface_labels_of_folders_where_metadata_has_none(tmp_path: Path) -> None:
    root = touch(tmp_path / "ds", ["happy/a.wav", "other/b.wav"])
    write(root / "metadata.csv", "audio_file_name,text\nhappy/a.wav,hi\nother/b.wav,ho\n")
    found, _ = look(root, strict=True)
    assert [(u.label, u.raw_label, u.text) for u in found] == [
        ("happiness", "happy", "hi"),
        (None, None, "ho"),
    ]


def test_huggingface_bad_lines(tmp_path: Path) -> None:
    root = touch(tmp_path / "ds", ["a.wav", "b.wav"])
    text = '{"file_name":"a.wav"}\n{"file_name":"none.wav"}\n{"file_name":null}\n[1]\nno\n'
    path = write(root / "metadata.jsonl", text + '{"file_name":"b.wav","fold":"x"}\n')
    found, console = look(root)
    assert [u.id for u in found] == ["ds/a"]
    reasons = ["no such file", "names no file", "not a JSON object", "not a JSON object", "fold"]
    for number, reason in enumerate(reasons, 2):
        assert any(f"line {number}: " in line and reason in line for line in console.lines)
    path.rename(root / "other.jsonl")
    csv = write(root / "metadata.csv", "file_name,emotion\na.wav,sad\na.wav\n")
    assert "line 3: 1 cells, the header has 2" in look(root)[1].text
    csv.write_text("file_name,emotion\nnone.wav,sad\n")
    with pytest.raises(InputError, match="none of its files exists"):
        look(root)
    csv.write_text("name,emotion\na.wav,sad\n")
    with pytest.raises(InputError, match="no column file_name"):
        look(root, corpus="huggingface")


def test_huggingface_packed(tmp_path: Path) -> None:
    touch(tmp_path / "a", ["data/train-00000-of-00001.parquet"])
    touch(tmp_path / "b", ["metadata.parquet", "x.wav"])
    with pytest.raises(InputError, match="no audio files"):
        look(tmp_path / "a")
    with pytest.raises(InputError, match="only CSV and JSON Lines are read"):
        look(tmp_path / "b")
