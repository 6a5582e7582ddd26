"""Manifests: any utterance survives the line, bad lines are named."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import InputError
from sertool.core.paths import from_text, show, to_text
from sertool.formats.manifest import parse_line, read_manifest, write_manifest
from sertool.items import FIELDS, Item

WORD = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=10)
TEXT = st.none() | WORD
UTTERANCE = st.builds(
    Item,
    id=WORD,
    path=WORD,
    start=st.none() | st.floats(0, 1e6),
    end=st.none() | st.floats(0, 1e6),
    speaker=TEXT,
    text=TEXT,
    label=TEXT,
    fold=st.none() | st.integers(0, 99),
    part=st.sampled_from([None, "train", "val", "test"]),
    extra=st.dictionaries(
        st.text(min_size=1).filter(lambda k: k not in FIELDS), st.integers() | TEXT, max_size=3
    ),
)


@given(UTTERANCE)
def test_round_trip(utterance: Item) -> None:
    file = io.StringIO()
    write_manifest([utterance], file)
    assert parse_line(file.getvalue()) == utterance
    assert file.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"path": "a"}', "id is missing"),
        ('{"id": "a"}', "path is missing"),
        ('{"id": "a", "path": "b", "start": "x"}', "start "),
        ('{"id": "a", "path": "b", "end": -1}', "end "),
        ('{"id": "a", "path": "b", "fold": 1.5}', "fold "),
        ('{"id": "a", "path": "b", "part": "dev"}', "part "),
        ('{"id": "a", "path": "b", "label": ["x"]}', "label "),
        ('{"id": "a", "path": "b", "label": "\\ud800"}', "label is not Unicode"),
        ('{"id": "a", "path": "b\\u0000"}', "path holds a NUL"),
        ('{"id": "a", "path": "b", "start": 1e308}', "start "),
        ('{"id": "a", "path": "b", "fold": 1' + "0" * 30 + "}", "fold "),
        ('{"id": "a", "path": "b", "q": 1e999}', "'q'"),
        ('{"id": "a", "path": "b", "q": 1' + "0" * 400 + "}", "'q'"),
        ('{"id": "a", "path": "b", "q": ["\\ud800"]}', "'q'"),
        ('{"id": "a", "path": "b", "q": ' + "[" * 99999, "not JSON"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "x", "path": "/x"}\n\n' + line + "\n")
    seen: list[tuple[int, str]] = []
    good = list(read_manifest(path, lambda number, why: seen.append((number, why))))
    assert [u.id for u in good] == ["x"]
    assert seen[0][0] == 3
    assert reason in seen[0][1]
    with pytest.raises(InputError, match="line 3"):
        list(read_manifest(path))


def test_what_other_programs_write(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": "a", "path": "/a", "label": NaN, "valence": NaN}\r\n'
        b'{"id": "b", "path": "/caf\xe9.wav", "text": "caf\xe9"}\n'
    )
    one, two = read_manifest(path)
    assert (one.label, one.extra) == (None, {"valence": None})
    assert (two.path, two.text) == ("/caf\\xe9.wav", "caf\\xe9")
    file = io.StringIO()
    write_manifest([one, two], file)
    assert file.getvalue().encode("utf-8")


def test_relative_paths_count_from_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "x", "path": "a/b.wav"}\n')
    assert next(iter(read_manifest(path))).path == str(tmp_path / "a" / "b.wav")


def test_numbers_where_text_belongs_become_text() -> None:
    line = '{"id": 1, "path": "p", "speaker": 3, "text": 2.0}'
    utterance = parse_line(line)
    assert (utterance.id, utterance.speaker, utterance.text) == ("1", "3", "2")


@given(st.binary(min_size=1, max_size=12).filter(lambda b: b"\0" not in b))
def test_any_file_name_survives_as_text(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    folder = tmp_path_factory.mktemp("names")
    name = raw.replace(b"/", b"_")
    if name in (b".", b".."):
        return
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.touch()
    text = to_text(path)
    text.encode("utf-8")
    assert from_text(text).exists()
    line = show(path)
    assert line.isprintable()


@given(st.text(st.characters(categories=("Cs", "L")), max_size=6))
def test_any_text_can_be_shown(text: str) -> None:
    assert to_text(text).encode("utf-8").decode("utf-8").isprintable()
    assert show(text).isprintable()


def test_texts_that_many_items_have_are_kept_once() -> None:
    lines = [f'{{"id": "c/{i}", "path": "/c/{i}.wav", "speaker": "anna 1"}}' for i in range(2)]
    first, second = map(parse_line, lines)
    assert first.speaker is second.speaker
    assert first.id != second.id
