"""Data of one's own, unedited: tables as spreadsheets leave them, names that say it all."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made
import pytest
from corpus_trees import look, touch

from sertool.core.errors import InputError
from sertool.corpora import located, reading
from sertool.corpora.discover import Manners, find
from sertool.corpora.labels import load, template
from sertool.corpora.pattern import reader
from sertool.corpora.suggest import pattern_of, suggest
from sertool.ui.console import Console

Cli = Callable[..., Any]
GERMAN = "Datei;Gefühl\r\na.wav;Ärger\r\nb.wav;Überraschung\r\n"
POLISH = "plik;emocja\r\na.wav;złość\r\nb.wav;radość, żal\r\n"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("text", "codec", "encoding", "guessed"),
    [
        (GERMAN, "utf-8", "utf-8", False),
        (GERMAN, "utf-8-sig", "utf-8-sig", False),
        (GERMAN, "utf-16", "utf-16", False),
        (GERMAN, "utf-16-le", "utf-16-le", True),
        (GERMAN, "utf-16-be", "utf-16-be", True),
        (GERMAN, "utf-32", "utf-32", False),
        (GERMAN, "cp1252", "cp1252", True),
        ("file,name\na.wav,René\n", "cp1252", "cp1252", True),
        (POLISH, "cp1250", "cp1250", True),
        ("файл;эмоция\r\na.wav;гнев\r\nb.wav;радость\r\n", "cp1251", "cp1251", True),
        ("文件,情感\r\na.wav,愤怒\r\nb.wav,高兴\r\n", "gb18030", "gb18030", True),
    ],
)
def test_encodings(text: str, codec: str, encoding: str, guessed: bool) -> None:
    assert reading.decode(text.encode(codec)) == reading.Text(text, encoding, guessed)
    assert reading.decode(text.encode(codec), codec).text == text


@pytest.mark.parametrize(
    ("text", "header", "lines"),
    [
        ("a;b\n1,5;2,5\n", ["a", "b"], [(2, ["1,5", "2,5"])]),
        ("a\tb;c\n1\t2\n", ["a", "b;c"], [(2, ["1", "2"])]),
        ('sep=|\r\na|"b\r\nc"|d\r\n1|2|3\r\n', ["a", "b\r\nc", "d"], [(4, ["1", "2", "3"])]),
        ('"name, first",x\n"a, b",c\n', ["name, first", "x"], [(2, ["a, b", "c"])]),
        ("\n a , b ,\n\n1,2,\n1,2,,3\n", ["a", "b"], [(4, ["1", "2"]), (5, ["1", "2", "", "3"])]),
        ("file\na.wav\n", ["file"], [(2, ["a.wav"])]),
    ],
)
def test_delimiters(text: str, header: list[str], lines: list[Any]) -> None:
    assert reading.split(text) == (header, lines)


def test_files_are_found_where_the_table_does_not_say(tmp_path: Path) -> None:
    touch(tmp_path, ["wav/s1/a.wav", "wav/s1/Käse.WAV", "wav/s1/c.flac", "other/x.wav", "t.csv"])
    names = ["s1\\a.wav", "S1/ka\u0308se.wav", "s1/c.wav", "s1/gone.wav"]
    places = located.locate(tmp_path, names)
    assert (places.root, places.dropped) == (tmp_path / "wav", 0)
    found = [places.find(name) for name in names]
    inside = [path and Path(path).name for path in found]
    assert inside == ["a.wav", "Käse.WAV", "c.flac", None]
    assert places.renamed == 1
    windows = located.locate(tmp_path, [r"C:\Users\me\sound\s1\a.wav"])
    assert (windows.root, windows.dropped) == (tmp_path / "wav", 3)
    assert windows.find(r"C:\Users\me\sound\s1\a.wav") == str(tmp_path / "wav/s1/a.wav")
    touch(tmp_path, ["wav16/s1/a.wav"])
    with pytest.raises(InputError, match=r"wav and in .*wav16; say which by --audio-root"):
        located.locate(tmp_path, ["s1/a.wav"])
    assert located.locate(tmp_path, ["none.wav"]).root == tmp_path


def spreadsheet(folder: Path, codec: str, delimiter: str) -> Path:
    """Write a corpus of tones in one folder, and beside it a table of odd columns."""
    items = made.corpus(folder / "recordings" / "all", speakers=4, takes=1)
    words = {"anger": "Ärger ", "happiness": "Freude", "sadness": " Traurig"}
    lines = [["Nr.", "File Name", "Gefühl (Urteil)", "VP Code", "Geschl."]]
    for i, item in enumerate(items):
        name = f"D:\\Studie\\all\\{Path(item.path).name}"
        sex = {"female": "W", "male": "M"}[item.gender or ""]
        lines.append([str(i), name, words[item.label or ""], f"   {item.speaker}", sex])
    text = "".join(delimiter.join(line) + "\r\n" for line in lines)
    path = folder / "Übersicht.csv"
    path.write_bytes(text.encode(codec))
    return path


@pytest.mark.parametrize(("codec", "delimiter"), [("cp1252", ";"), ("utf-16", "\t")])
def test_from_a_spreadsheet_to_a_report_in_four_commands(
    cli: Cli, tmp_path: Path, codec: str, delimiter: str
) -> None:
    table = spreadsheet(tmp_path, codec, delimiter)
    before = table.read_bytes()
    manifest, store = tmp_path / "m.jsonl", tmp_path / "f.h5"
    report, models = tmp_path / "r.json", tmp_path / "m.ckpt"
    columns = ["--column", "label=gefühl (urteil)", "--column", "speaker=VP Code"]
    columns += ["--column", "gender=Geschl."]
    result = cli("prepare", table, manifest, *columns, "--split", "speakers:2")
    assert result.code == 0, result.err
    assert ("by a guess" in result.err) == (codec == "cp1252")
    assert "its files are in" in result.err
    found = rows(manifest)
    words = Counter((row["label"], row["raw_label"]) for row in found)
    assert words == {("anger", "Ärger"): 4, ("happiness", "Freude"): 4, ("sadness", "Traurig"): 4}
    assert {(row["speaker"], row["gender"]) for row in found} == {
        ("s0", "female"), ("s1", "male"), ("s2", "female"), ("s3", "male"),
    }  # fmt: skip
    assert found[0]["Nr."] == 0
    for command in (
        ["featurize", manifest, store, "--kind", "mel", "--sample-rate", made.RATE],
        ["train", store, models, "--model", "linear", "--test-fold", "all"],
        ["eval", tmp_path / "m.0.ckpt", tmp_path / "m.1.ckpt", store, "--json", report],
    ):
        result = cli(*command)
        assert result.code == 0, result.err
    document = json.loads(report.read_text())
    assert sum(map(sum, document["confusion"])) == 12
    assert document["protocol"]["speaker_disjoint"] is True
    assert table.read_bytes() == before


def test_the_command_that_is_proposed_works(cli: Cli, tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav", "b.wav"])
    table = tmp_path / "t.csv"
    table.write_text("Aufnahme,Urteil,Sprecherin\na.wav,angry,x\nb.wav,happy,y\n")
    out = tmp_path / "m.jsonl"
    result = cli("prepare", table, out)
    assert result.code == 3
    command = shlex.split(result.err.strip().partition("try: ")[2])
    assert command[:4] == ["sertool", "prepare", str(table), str(out)]
    assert cli(*command[1:]).code == 0
    assert [(r["label"], r["speaker"]) for r in rows(out)] == [("anger", "x"), ("happiness", "y")]
    table.write_text("Nr;Clip;Urteil;Ort\n1;a;zornig;A1\n2;b;froh;A1\n")
    result = cli("prepare", table, out, "--force")
    assert cli(*shlex.split(result.err.strip().partition("try: ")[2])[1:], "--force").code == 0
    assert [(r["id"][-2:], r["label"]) for r in rows(out)] == [("/a", "zornig"), ("/b", "froh")]
    table.write_text("file,Urteil\na.wav,angry\nb.wav,happy\n")
    result = cli("prepare", table, out, "--force")
    assert "no column is taken for label" in result.err
    assert "--column label=Urteil" in result.err


def test_columns_that_are_not_there(cli: Cli, tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    table, out = tmp_path / "t.csv", tmp_path / "m.jsonl"
    table.write_text("file,emotion,val\na.wav,sad,0.5\n")
    result = cli("prepare", table, out, "--column", "label=Emotoin")
    assert result.code == 3
    assert "no column 'Emotoin'; there are 'file', 'emotion', 'val'; did you mean" in result.err
    result = cli("prepare", table, out, "--column", "lable=emotion")
    assert result.code == 2
    assert "did you mean label?" in result.err
    assert cli("prepare", table, out, "--encoding", "cp9999").code == 2
    assert cli("prepare", table, out, "--audio-root", tmp_path / "none").code == 3
    assert cli("prepare", table, out, "--column", "label=val", "--pattern", "{label}").code == 2
    assert cli("prepare", table, out, "--corpus", "emodb", "--column", "label=val").code == 2
    assert cli("prepare", table, out, "--column", "valence=val").code == 0
    assert rows(out)[0]["valence"] == 0.5
    assert "val" not in rows(out)[0]


def test_audio_root(cli: Cli, tmp_path: Path) -> None:
    touch(tmp_path, ["tables/", "sound/x/a.wav", "other/x/a.wav"][1:])
    table, out = touch(tmp_path, ["tables/t.csv"]) / "tables/t.csv", tmp_path / "m.jsonl"
    table.write_text("file,emotion\nx\\a.wav,sad\n")
    assert cli("prepare", table, out).code == 3
    assert cli("prepare", table, out, "--audio-root", tmp_path / "sound").code == 0
    assert [(r["id"], r["path"]) for r in rows(out)] == [
        ("tables/x/a", str(tmp_path / "sound/x/a.wav"))
    ]
    result = cli("prepare", table, out, "--audio-root", tmp_path, "--force")
    assert result.code == 3
    assert "say which by --audio-root" in result.err


def test_a_line_of_a_table_is_named_once(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, ["a.wav"])
    (tmp_path / "t.csv").write_text("file,emotion\na.wav,sad\ngone.wav,sad\n")
    monkeypatch.chdir(tmp_path)
    assert "sertool prepare: t.csv line 3: no such file: " in cli("prepare", "t.csv", "m.jsonl").err


def test_missing_files_ten_lines_then_a_count(cli: Cli, tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    table, out = tmp_path / "t.csv", tmp_path / "m.jsonl"
    gone = "".join(f"gone{i}.wav,sad\n" for i in range(25))
    table.write_text(f"file,emotion\na.wav,sad\n{gone}")
    result = cli("prepare", table, out)
    assert result.code == 1
    assert result.err.count("gone") == 10
    assert "15 more: no such file (--verbose names them)" in result.err
    result = cli("prepare", table, out, "--skip-missing", "--force")
    assert result.code == 0
    assert "gone" not in result.err
    assert "25 files left out: no such file" in result.err
    assert cli("prepare", table, out, "--verbose", "--force").err.count("gone") == 25


@pytest.mark.parametrize("corpus", ["auto", "csv"])
def test_nemo_with_its_own_table(cli: Cli, corpora: Path, tmp_path: Path, corpus: str) -> None:
    out = tmp_path / "m.jsonl"
    assert cli("prepare", corpora / "nemo-1057", out, "--corpus", corpus).code == 0
    found = rows(out)
    assert len(found) == 1057
    classes = {"anger": 180, "fear": 177, "happiness": 180, "neutral": 180}
    classes |= {"sadness": 180, "surprise": 160}
    assert Counter(row["label"] for row in found) == classes
    female = {"EB0", "IC0", "KD0", "MK0"}
    male = {"KS0", "MP0", "SM0", "TP0", "WR0"}
    assert {(row["speaker"], row["gender"]) for row in found} == {
        *((one, "female") for one in female),
        *((one, "male") for one in male),
    }
    for row in found:
        speaker, emotion = Path(row["path"]).name.split("_")[:2]
        assert (row["speaker"], row["raw_label"]) == (speaker, emotion)


def test_pattern(cli: Cli, tmp_path: Path) -> None:
    names = ["ann/F_angry_he said.wav", "ann/f_HAPPY_a_b.flac", "bob/M_wütend_x.wav", "bob/no.wav"]
    folder, out = touch(tmp_path / "c", names), tmp_path / "m.jsonl"
    result = cli("prepare", folder, out, "--pattern", "{speaker}/{gender:1}_{label}_{text}.wav")
    assert result.code == 1
    assert "bob/no.wav: not named by the pattern {speaker}/{gender:1}" in result.err
    assert [
        (r["id"], r["speaker"], r["gender"], r["label"], r["raw_label"], r["text"])
        for r in rows(out)
    ] == [
        ("c/ann/F_angry_he said", "ann", "female", "anger", "angry", "he said"),
        ("c/ann/f_HAPPY_a_b", "ann", "female", "happiness", "HAPPY", "a_b"),
        ("c/bob/M_wütend_x", "bob", "male", "anger", "wütend", "x"),
    ]
    for wrong in ("{label", "plain.wav", "{id}", "{label}_{label}", "{a b}"):
        assert cli("prepare", folder, out, "--force", "--pattern", wrong).code == 2


def test_pattern_reads_a_corpus_as_its_own_file_does(tmp_path: Path) -> None:
    folder = touch(tmp_path, ["03a01Wa.wav", "08b02Tb.wav", "16a07Lc.wav"])
    manners = Manners(Console.silent())
    (own,) = find([folder], "emodb", manners)
    (found,) = find(
        [folder], "auto", manners, reader("{speaker:2}{text:3}{label:1}{version}"), True
    )
    for a, b in zip(own.utterances, found.utterances, strict=True):
        assert (a.path, a.speaker, a.raw_label) == (b.path, b.speaker, b.raw_label)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a_angry_1", "a_sad_2", "b_angry_3", "b_sad_4"], "{speaker}_{label}_{}"),
        (["1-m-happy", "2-f-neutral", "1-m-sad", "2-f-happy"], "{speaker}-{gender}-{label}"),
        (["x/angry 1", "x/sad 2", "y/angry 3", "y/sad 4"], "{speaker}/{label} {}"),
        (["a_1", "b_2", "c_3", "d_4"], None),
    ],
)
def test_pattern_is_suggested(names: list[str], pattern: str | None) -> None:
    assert pattern_of([f"{name}.wav" for name in names]) == pattern


def test_suggest(cli: Cli, tmp_path: Path) -> None:
    folder = touch(tmp_path / "c", [f"{s}_{e}.wav" for s in "abcd" for e in ("sad", "happy")])
    result = cli("prepare", "--suggest", folder)
    assert result.code == 0
    remark, command = result.out.splitlines()
    assert remark.startswith("# ")
    words = shlex.split(command)
    words[3] = str(tmp_path / "m.jsonl")
    assert cli(*words[1:]).code == 0
    assert {row["speaker"] for row in rows(tmp_path / "m.jsonl")} == set("abcd")
    assert not (tmp_path / "manifest.jsonl").exists()
    table = folder / "list.csv"
    table.write_text("Aufnahme;Wertung\na_sad.wav;angry\nb_sad.wav;happy\n")
    assert "--column file=Aufnahme --column label=Wertung" in suggest(folder)[0]
    assert suggest(table)[0] == suggest(folder)[0]
    assert cli("prepare", "--suggest", tmp_path / "none").code == 3
    assert cli("prepare", "--suggest", touch(tmp_path / "d", ["x.wav"])).code == 3
    assert cli("prepare", folder).code == 2


def test_labels_are_written_to_be_edited(cli: Cli, tmp_path: Path) -> None:
    folder = touch(tmp_path / "c", ["angry/1.wav", "Furious/2.wav", "furious/3.wav", "sad/4.wav"])
    out, labels = tmp_path / "m.jsonl", tmp_path / "mine.toml"
    result = cli("prepare", folder, out, "--labels", labels)
    assert result.code == 3
    assert "was not there, so it was written, with the 3 classes found; edit it" in result.err
    assert not out.exists()
    text = labels.read_text()
    assert '"furious" = ["Furious", "furious"]  # 1 Furious, 1 furious' in text
    assert load(str(labels)).targets == ["anger", "furious", "sadness"]
    labels.write_text(text.replace('"furious" =', "rage2 =").replace("[]", '["sadness"]')
                      .replace('"sadness" = ["sad"]', "# "))  # fmt: skip
    assert cli("prepare", folder, out, "--labels", labels).code == 0
    assert Counter(row["label"] for row in rows(out)) == {"anger": 1, "rage2": 2}
    assert cli("prepare", folder, out, "--labels", tmp_path / "no" / "x.toml").code == 3
    assert not (tmp_path / "no").exists()


def test_the_format_of_label_maps_is_documented(cli: Cli, tmp_path: Path) -> None:
    text = cli("list", "labels", "--format").out
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "summary =" in line)
    end = next(i for i, line in enumerate(lines) if "positive =" in line)
    path = tmp_path / "map.toml"
    path.write_text("\n".join(lines[start : end + 1]))
    found = load(str(path))
    assert found.targets == ["negative", "neutral", "positive"]
    assert found.apply("anger", "W") == "negative"
    assert found.apply("boredom") is None
    assert "--format" in cli("prepare", "--help").out


def test_read_without_options_too(tmp_path: Path) -> None:
    touch(tmp_path, ["w/a.wav"])
    (tmp_path / "t.csv").write_bytes(
        "File Name;Emotion;Speaker ID\nw\\a.wav;joy; ré \n".encode("cp1252")
    )
    (found,), _ = look(tmp_path)
    assert (found.id, found.label, found.speaker) == (f"{tmp_path.name}/w/a", "happiness", "ré")


def test_a_word_of_two_classes_is_left_out_of_a_template(tmp_path: Path) -> None:
    found = {("fear", "F"): 3, ("happiness", "F"): 2, ("anger", "W"): 1, ("w", None): 1}
    path = tmp_path / "map.toml"
    path.write_text(template(found | {(None, "x"): 1}), encoding="utf-8")
    classes = load(str(path))
    for label, raw in found:
        assert classes.apply(label, raw) == label
