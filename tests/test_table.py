"""Tables of recordings: audformat's, nkululeko's, anybody's, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_trees import look, touch

from sertool.core.errors import InputError
from sertool.corpora import table


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_table_of_audformat(tmp_path: Path) -> None:
    touch(tmp_path / "db", ["wav/a.wav", "wav/b.wav"])
    path = write(
        tmp_path / "db" / "db.emotion.csv",
        "file,start,end,speaker,emotion,rating\n"
        "wav/a.wav,0 days 00:00:01.500000,0 days 00:00:02.25,3,happy,0.5\n"
        "wav/a.wav,0 days,0 days 00:00:01.5,3,sad,1\n"
        "wav/b.wav,0 days,NaT,08,anger,\n",
    )
    for given in (path, tmp_path / "db"):
        found, console = look(given)
        assert [(u.id, u.start, u.end, u.label, u.raw_label, u.speaker) for u in found] == [
            ("db/wav/a@1500-2250", 1.5, 2.25, "happiness", "happy", "3"),
            ("db/wav/a@0-1500", 0.0, 1.5, "sadness", "sad", "3"),
            ("db/wav/b", None, None, "anger", "anger", "08"),
        ]
        assert [u.extra["rating"] for u in found] == [0.5, 1.0, None]
        assert console.exit_code == 0


def test_table_of_nkululeko_and_further_columns(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav", "b.wav", "c.wav"])
    path = write(
        tmp_path / "t.tsv",
        "\ufefffile\tspeaker\tsex\temotion\tlanguage\tsplit\tage\tcode\tid\n"
        "a.wav\ts1\tf\tangry\tdeu\ttrain\t31\t007\tx\n"
        "b.wav\ts2\tMale\tneutral\tEN\tdev\t40\t008\ty\n"
        "c.wav\t\tnan\t\tit\tTest2\t\t009\tz\n",
    )
    found, _ = look(path)
    assert [u.gender for u in found] == ["female", "male", None]
    assert [u.label for u in found] == ["anger", "neutral", None]
    assert [u.language for u in found] == ["de", "en", "it"]
    assert [u.part for u in found] == ["train", "val", "test"]
    assert found[2].extra == {"split": "Test2", "age": None, "code": "009", "table_id": "z"}
    assert found[0].extra["age"] == 31
    assert found[2].speaker is None


def test_table_semicolons_absolute_paths_and_its_own_corpora(tmp_path: Path) -> None:
    there = touch(tmp_path / "far", ["x/a.wav"]) / "x/a.wav"
    touch(tmp_path / "near", ["b.wav", "unlisted.wav"])
    path = write(
        tmp_path / "near" / "t.csv",
        f"path;emotion;database;fold\n{there};sad;one;2\nb.wav;sad;two;0\n",
    )
    found, console = look(tmp_path / "near")
    assert [(u.id, u.corpus, u.fold) for u in found] == [
        (f"one/{str(there)[1:-4]}", "one", 2),
        ("two/b", "two", 0),
    ]
    assert "1 file left out: not in t.csv" in console.text
    assert look(path)[0] == found


def test_table_bad_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    path = write(
        tmp_path / "t.csv",
        "file,emotion,start,end,fold\na.wav,sad,,,\nnone.wav,sad,,,\n,sad,,,\na.wav,sad\n"
        "a.wav,sad,2,1,\na.wav,sad,soon,,\na.wav,sad,-1,,\na.wav,sad,1,2,x\n\na.wav,sad,1,,\n",
    )
    found, console = look(path)
    assert [u.id for u in found] == [f"{tmp_path.name}/a", f"{tmp_path.name}/a@1000-"]
    assert console.failures == 7
    for number, reason in {
        3: "no such file",
        4: "names no file",
        5: "2 cells, the header has 5",
        6: "not after the start",
        7: "'soon' is not a time",
        8: "not a time from 0",
        9: "fold 'x'",
    }.items():
        assert any(f"line {number}: " in line and reason in line for line in console.lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column file"),
        ("a,b\n1,2\n", "no column file"),
        ("file,emotion\nnone.wav,sad\n", "none of its files exists"),
        ("file,emotion\n", "contains no utterances"),
        ("file,emotion,file\n", "two columns"),
        ("file,emotion\na.wav,\0\n", "not a table"),
        ("file,emotion\na.wav,sad\na.wav,happy\n", "twice with the id"),
    ],
)
def test_table_that_cannot_serve(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, ["a.wav"])
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        look(path)


def test_several_tables_in_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "db", ["a.wav", "b.wav"])
    for name in "ab":
        write(tmp_path / "db" / f"{name}.csv", f"file,emotion\n{name}.wav,sad\n")
    with pytest.raises(InputError, match=r"holds a\.csv, b\.csv; name the table"):
        look(tmp_path / "db")
    found, _ = look(tmp_path / "db" / "a.csv", tmp_path / "db" / "b.csv")
    assert [u.id for u in found] == ["db/a", "db/b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("0 days 00:00:01.5", 1.5),
        ("0 days", 0.0),
        ("1 day 01:02:03", 90123.0),
        ("00:01:00", 60.0),
        (None, None),
    ],
)
def test_seconds(text: str | None, value: float | None) -> None:
    assert table.seconds(text) == value


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan days", "1:2"])
def test_no_seconds(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        table.seconds(text)


def test_a_column_that_is_no_text_is_refused(cli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,emotion\nx.wav,sad\n")
    for column in ("x\udcff=emotion", "label=\udcff"):
        done = cli("prepare", tmp_path / "t.csv", tmp_path / "m.jsonl", "--column", column)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert "not in UTF-8" in done.err
        assert not (tmp_path / "m.jsonl").exists()
