"""Generic corpora: which one is taken, and that no broken file of theirs gives a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from corpus_trees import look, touch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_formats import database, lines, recording, supervision, write

from sertool import corpora
from sertool.core.errors import InputError
from sertool.corpora import discover
from sertool.formats.manifest import parse_row
from sertool.items import Item


def test_generic_corpora_in_their_order(tmp_path: Path) -> None:
    """Where several claim a folder, the least common mark counts, and the others are named."""
    root = touch(tmp_path / "all", ["clips/happy/a.wav", "clips/sad/b.wav"])
    text = "file_name,emotion\nclips/happy/a.wav,happy\nclips/sad/b.wav,sad\n"

    def check(taken: str, others: str) -> None:
        found, console = look(root, strict=True)
        assert f"corpus {taken}, 2 audio files" in console.text
        assert f"read as {taken}; --corpus {others} can read it, too" in console.text or not others
        assert found[0].label == "happiness"

    check("folder", "")
    write(root / "table.csv", text)
    check("csv", "folder")
    (root / "table.csv").rename(root / "metadata.csv")
    check("huggingface", "csv or folder")
    database(root, emotion=text.replace("file_name", "file"))
    (root / "metadata.csv").unlink()
    check("audformat", "csv or folder")
    lines(root / "recordings.jsonl", [recording("a", "clips/happy/a.wav")])
    custom = {"emotion": "happy"}
    lines(root / "supervisions.jsonl", [supervision("s", "a", custom=custom)])
    check("lhotse", "audformat or csv or folder")
    generic = [name for name in corpora.names() if corpora.load(name).generic]
    assert sorted(generic) == sorted(discover.GENERIC)


def test_single_files_are_not_a_tables(tmp_path: Path) -> None:
    """A table beside files that are named one by one does not bring in all the others."""
    root = touch(tmp_path, ["happy/a.wav", "happy/b.wav"])
    write(root / "happy" / "t.csv", "file,emotion\na.wav,sad\nb.wav,sad\n")
    assert [Path(u.path).name for u in look(root / "happy" / "a.wav")[0]] == ["a.wav"]


def test_tables_from_elsewhere_and_from_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids count from the table wherever one stands; folds with empty cells are floats."""
    root = touch(tmp_path / "db", ["a.wav", "b.wav", "deep/c.txt"])
    write(root / "t.csv", "file,emotion,fold\na.wav,sad,1.0\nb.wav,sad,\n")
    monkeypatch.chdir(root / "deep")
    found, _ = look(Path("../t.csv"))
    assert [(u.id, u.fold) for u in found] == [("db/a", 1), ("db/b", None)]


def look_or_one_line(path: Path, corpus: str) -> None:
    """Fail where reading gives anything but utterances that a manifest holds, or one clear line."""
    found: list[Item] = []
    message = "fine"
    try:
        found, _ = look(path, corpus=corpus)
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    for utterance in found:
        line = json.dumps(utterance.manifest_row(), ensure_ascii=False, allow_nan=False)
        line.encode()
        assert parse_row(json.loads(line)) == utterance


@pytest.mark.parametrize(
    ("name", "corpus"),
    [
        ("recordings.jsonl", "lhotse"),
        ("recordings.jsonl.gz", "lhotse"),
        ("db.emotion.csv", "audformat"),
        ("metadata.csv", "huggingface"),
        ("metadata.jsonl", "huggingface"),
    ],
)
@settings(max_examples=20)
@given(data=st.binary(max_size=60))
def test_any_bytes_give_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, corpus: str, data: bytes
) -> None:
    root = touch(tmp_path_factory.mktemp("any"), ["a.wav", "db.yaml"])
    (root / name).write_bytes(data)
    for place in (root, root / name):
        for asked in ("auto", corpus):
            look_or_one_line(place, asked)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KEYS = [*recording("a", "a.wav"), *supervision("s", "a"), "custom", "type", "transforms", "speaker"]


@settings(max_examples=80)
@given(broken=st.dictionaries(st.sampled_from(KEYS), VALUES), cut=st.booleans())
def test_any_json_gives_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, broken: dict[str, Any], cut: bool
) -> None:
    root = touch(tmp_path_factory.mktemp("any"), ["a.wav"])
    good = recording("a", "a.wav")
    if cut:
        row = {"id": "c", "start": 0, "duration": 1, "type": "MonoCut", "recording": good}
        bad = row | broken | {"supervisions": [supervision("s", "a") | broken, broken]}
        lines(root / "cuts.jsonl", [row, bad, row | {"recording": good | broken}])
    else:
        lines(root / "recordings.jsonl", [good, good | {"id": "b"} | broken, broken])
        rows = [supervision("s", "a", 0, 1), supervision("t", "a") | broken, broken]
        lines(root / "supervisions.jsonl", rows)
    look_or_one_line(root, "auto")
