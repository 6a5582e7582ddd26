"""prepare --to: audformat's table and lhotse's manifests, and back again."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from corpus_trees import look
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core import boxes
from sertool.corpora import export
from sertool.corpora.table import seconds
from sertool.formats import audformat
from sertool.formats import journal as journals
from sertool.formats.journal import Journal
from sertool.formats.manifest import read_manifest, write_manifest
from sertool.formats.outputs import Parts, atomic_folder
from sertool.items import Item

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of two seconds: mono, two channels, FLAC."""
    root = tmp_path_factory.mktemp("audio")
    noise = np.random.default_rng(0).standard_normal((32000, 2)) * 0.1
    soundfile.write(root / "a.wav", noise[:, 0], 16000)
    soundfile.write(root / "b.wav", noise, 16000)
    soundfile.write(root / "c.flac", noise[:16000, 0], 8000)
    return root


def four(audio: Path) -> list[Item]:
    """Utterances with everything that a manifest can say."""
    a, b, c = (str(audio / name) for name in ("a.wav", "b.wav", "c.flac"))
    plain = [
        Item(id="toy/a", path=a, corpus="toy"),
        Item(id="toy/b@0-500", path=b, start=0.0, end=0.5, corpus="toy"),
        Item(id="toy/b@500-1750", path=b, start=0.5, end=1.75, corpus="toy"),
        Item(id="toy/c", path=c, corpus="toy"),
    ]
    plain[0] = replace(plain[0], speaker="007", gender="female", language="de", text='"a",\nb')
    plain[1] = replace(plain[1], label="Hot", raw_label="H", fold=0, session="1")
    plain[2] = replace(plain[2], label="anger", raw_label="W", fold=1, part="train")
    plain[3] = replace(plain[3], label="anger", part="test", gender="other")
    plain[0].extra = {"votes": {"anger": 2}, "sentence": "a01", "age": 31}
    plain[3].extra = {"sentence": "b02", "Emotion": "kept", "split": "dev"}
    return plain


def manifest(path: Path, utterances: list[Item]) -> Path:
    with open(path, "w", encoding="utf-8") as file:
        write_manifest(utterances, file)
    return path


def unpack(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def known(utterances: list[Item]) -> list[dict[str, Any]]:
    """Return what is known of utterances, without their ids and what is null."""
    rows = [utterance.manifest_row() | {"id": None} for utterance in utterances]
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


# audformat


def test_audformat_table(cli: Cli, audio: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    out = tmp_path / "t.csv"
    result = cli("prepare", source, out, "--to", "audformat")
    assert (result.code, result.out) == (0, "")
    zero = "0 days 00:00:00.000000"
    assert out.read_text(encoding="utf-8") == (
        "file,start,end,emotion,raw_label,speaker,gender,language,text,session,corpus,fold,part,"
        "votes,sentence,age,extra_Emotion,split\n"
        f'{audio}/a.wav,{zero},,,,007,female,de,"""a"",\nb",,toy,,,'
        '"{""anger"": 2}",a01,31,,\n'
        f"{audio}/b.wav,{zero},0 days 00:00:00.500000,Hot,H,,,,,1,toy,0,,,,,,\n"
        f"{audio}/b.wav,0 days 00:00:00.500000,0 days 00:00:01.750000,anger,W,,,,,,toy,1,train"
        ",,,,,\n"
        f"{audio}/c.flac,{zero},,anger,,,other,,,,toy,,test,,b02,,kept,dev\n"
    )
    assert cli("prepare", source, "-", "--to", "audformat").out == out.read_text(encoding="utf-8")


def test_audformat_and_back(cli: Cli, audio: Path, tmp_path: Path) -> None:
    """All but the ids, which count from the table's folder, and what no cell can hold."""
    source = manifest(tmp_path / "m.jsonl", four(audio))
    table, again = tmp_path / "t.csv", tmp_path / "again.jsonl"
    assert cli("prepare", source, table, "--to", "audformat").code == 0
    assert cli("prepare", table, again).code == 0
    old, new = known(four(audio)), known(list(read_manifest(again)))
    assert new[0].pop("votes") == json.dumps(old[0].pop("votes"))
    assert new[3].pop("extra_Emotion") == old[3].pop("Emotion")
    assert new == old
    # where the table lies with its files, the ids are the corpus's own
    beside = audio / "t.csv"
    assert cli("prepare", source, beside, "--to", "audformat", "--relative").code == 0
    assert "\nc.flac," in beside.read_text()
    found, _ = look(beside)
    beside.unlink()
    assert [utterance.id for utterance in found] == [utterance.id for utterance in four(audio)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 days 00:00:00.000000"),
        (1.5, "0 days 00:00:01.500000"),
        (61.000001, "0 days 00:01:01.000001"),
        (90123.25, "1 days 01:02:03.250000"),
        (0.123456789, "0 days 00:00:00.123456789"),  # pandas, too, has nanoseconds then
    ],
)
def test_times_as_pandas_writes_them(value: float, text: str) -> None:
    assert audformat.timedelta(value) == text
    assert seconds(text) == pytest.approx(value, abs=1e-9)


@given(st.integers(0, 10**12))
def test_times_against_the_standard_library(microseconds: int) -> None:
    span = timedelta(microseconds=microseconds)
    rest = span - timedelta(days=span.days)
    clock = str(rest) if "." in str(rest) else f"{rest}.000000"
    text = f"{span.days} days {clock.zfill(15)}"
    assert audformat.timedelta(microseconds / 10**6) == text


# lhotse


def test_lhotse_manifests(cli: Cli, audio: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    out = tmp_path / "out"
    result = cli("prepare", source, out, "--to", "lhotse")
    assert (result.code, result.out) == (0, "")
    assert sorted(os.listdir(out)) == ["recordings.jsonl.gz", "supervisions.jsonl.gz"]
    recordings = unpack(out / "recordings.jsonl.gz")
    assert [row["id"] for row in recordings] == ["toy/a", "toy/b", "toy/c"]
    assert recordings[1] == {
        "id": "toy/b",
        "sources": [{"type": "file", "channels": [0, 1], "source": str(audio / "b.wav")}],
        "sampling_rate": 16000,
        "num_samples": 32000,
        "duration": 2.0,
        "channel_ids": [0, 1],
    }
    assert (recordings[2]["sampling_rate"], recordings[2]["num_samples"]) == (8000, 16000)
    supervisions = unpack(out / "supervisions.jsonl.gz")
    assert supervisions[2] == {
        "id": "toy/b@500-1750",
        "recording_id": "toy/b",
        "start": 0.5,
        "duration": 1.25,
        "channel": [0, 1],
        "text": None,
        "language": None,
        "speaker": None,
        "gender": None,
        "custom": {
            "emotion": "anger",
            "raw_label": "W",
            "session": None,
            "corpus": "toy",
            "fold": 1,
            "part": "train",
        },
    }
    assert supervisions[0]["custom"]["votes"] == {"anger": 2}
    assert [row["duration"] for row in supervisions] == [2.0, 0.5, 1.25, 2.0]


def test_lhotse_and_back(cli: Cli, audio: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    assert cli("prepare", source, tmp_path / "out", "--to", "lhotse").code == 0
    found, console = look(tmp_path / "out", strict=True)
    expected = four(audio)
    expected[3].extra["extra_Emotion"] = expected[3].extra.pop("Emotion")
    assert found == expected  # ids, too
    assert console.failures == 0
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert look(tmp_path / "elsewhere")[0] == expected


def test_lhotse_relative_sources(
    cli: Cli, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    monkeypatch.chdir(tmp_path)
    assert cli("prepare", source, "out", "--to", "lhotse", "--relative").code == 0
    place = unpack(Path("out/recordings.jsonl.gz"))[0]["sources"][0]["source"]
    assert place == os.path.relpath(audio / "a.wav", tmp_path / "out")
    assert look(Path("out"))[0][0].path == str(audio / "a.wav")


def test_lhotse_same_bytes(cli: Cli, audio: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    for name in ("one", "two"):
        assert cli("prepare", source, tmp_path / name, "--to", "lhotse").code == 0
    for name in os.listdir(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        head = (tmp_path / "one" / name).read_bytes()[3:8]
        assert head == bytes(5)  # neither a name nor a time in gzip's header


def test_lhotse_files_that_cannot_be_measured(cli: Cli, audio: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    rows = four(audio)
    bad = Item(id="bad/bad", path=str(tmp_path / "bad.wav"), corpus="bad")
    rows += [bad, replace(bad, id="bad/bad@1-2", start=1.0, end=2.0)]
    rows.append(Item(id="toy/a@9-", path=str(audio / "a.wav"), start=9.0))
    rows.append(Item(id="toy/b@1500-2050", path=str(audio / "b.wav"), start=1.5, end=2.05))
    source = manifest(tmp_path / "m.jsonl", rows)
    result = cli("prepare", source, tmp_path / "out", "--to", "lhotse")
    assert result.code == 1
    assert result.err.count("bad.wav: ") == 1
    assert "a.wav: the cut starts at 9 s, but the file is 2.000 s long" in result.err
    assert "5 of them written" in result.err
    assert [row["id"] for row in unpack(tmp_path / "out" / "recordings.jsonl.gz")] == [
        "toy/a",
        "toy/b",
        "toy/c",
    ]
    last = unpack(tmp_path / "out" / "supervisions.jsonl.gz")[-1]
    assert last["start"] + last["duration"] == 2.0  # not past the end of the file
    only = ["--where", "corpus=bad"]
    for more in (["--strict"], []):
        result = cli("prepare", source, tmp_path / "no", "--to", "lhotse", *more, *only)
        assert result.code == 3
        parts = [".no.parts"] if more else []  # what --strict stopped can be resumed
        assert sorted(os.listdir(tmp_path)) == [*parts, "bad.wav", "m.jsonl", "out"]


def test_lhotse_two_files_of_one_id_but_for_the_cut(audio: Path, tmp_path: Path) -> None:
    rows = [
        Item(id="x@0-500", path=str(audio / "a.wav"), start=0.0, end=0.5),
        Item(id="x@0-700", path=str(audio / "b.wav"), start=0.0, end=0.7),
    ]
    (tmp_path / "out").mkdir()
    journal = Journal(Parts(tmp_path / "p", {}, resume=False))
    assert export.write_lhotse(rows, tmp_path / "out", lambda path, reason: None, journal) == 2
    names = [row["recording_id"] for row in unpack(tmp_path / "out" / "supervisions.jsonl.gz")]
    assert names == ["x", "x+"]


# the output


def test_outputs_in_the_way(cli: Cli, audio: Path, tmp_path: Path) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    out = tmp_path / "out"

    def run(*more: object, output: object = out) -> tuple[int, str]:
        result = cli("prepare", source, output, "--to", "lhotse", *more)
        return result.code, result.err

    out.mkdir()
    assert run()[0] == 0  # an empty folder has nothing to lose
    code, message = run()
    assert code == 3
    assert "exists already; --force replaces it" in message
    assert "already complete" in run("--resume")[1]
    (out / "supervisions.jsonl.gz").write_bytes(b"old")
    code, message = run("--resume")
    assert code == 3
    assert "supervisions.jsonl.gz: exists, and is not what this command makes now" in message
    assert run("--force")[0] == 0
    assert len(unpack(out / "supervisions.jsonl.gz")) == 4
    (out / "mine.txt").touch()
    code, message = run("--force")
    assert code == 3
    assert "holds mine.txt; name a folder that is not there yet" in message
    assert run(output=tmp_path / "none" / "out")[0] == 3
    assert run(output=source)[0] == 3
    assert run("--force", output=source)[0] == 3
    assert run(output="-")[0] == 2
    assert cli("prepare", source, tmp_path / "x", "--to", "kaldi").code == 2
    assert cli("prepare", source, tmp_path, "--to", "audformat").code == 3
    assert cli("prepare", source, source, "--to", "audformat").code == 2
    assert sorted(os.listdir(tmp_path)) == ["m.jsonl", "out"]
    assert (out / "mine.txt").exists()


def test_headers_that_were_read_are_not_read_again(
    cli: Cli, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends in the midst leaves its parts, which no other command takes for its own."""
    source = manifest(tmp_path / "m.jsonl", four(audio))
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = ("prepare", source, "--to", "lhotse")
    assert cli(*words, whole).code == 0
    real, read = export._measure, []

    def measure(path: Path) -> Any:
        if len(read) == stop:
            raise KeyboardInterrupt
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(export, "_measure", measure)
    monkeypatch.setattr(boxes, "FORKS", False)  # headers are read here
    monkeypatch.setattr(journals, "EVERY", 0.0)
    files = len({one.path for one in four(audio)})
    stop = 1
    assert cli(*words, out).code == 130
    assert sorted(os.listdir(tmp_path)) == [".out.parts", "m.jsonl", "whole"]
    stop = 99
    for other in (("--split", "random:50:50"), ("--relative",), ("--where", "label!=fear")):
        result = cli(*words, out, "--resume", *other)
        assert result.code == 3
        assert "run without --resume to start afresh" in result.err
    other = manifest(tmp_path / "other.jsonl", four(audio))
    assert cli("prepare", other, out, "--to", "lhotse", "--resume").code == 3
    other.unlink()
    del read[:]
    result = cli(*words, out, "--resume")
    assert (result.code, len(read)) == (0, files - 1), result.err
    assert "1 header read before" in result.err
    for name in os.listdir(whole):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["m.jsonl", "out", "whole"]
    shutil.rmtree(out)
    stop = 1
    del read[:]
    assert cli(*words, out).code == 130
    stop = 99
    del read[:]
    assert cli(*words, out).code == 0  # without --resume: afresh
    assert len(read) == files


def test_the_working_folder_is_not_replaced(
    cli: Cli, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = manifest(tmp_path / "m.jsonl", four(audio))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = cli("prepare", source, ".", "--to", "lhotse")
    assert result.code == 3
    assert "is the working folder" in result.err


def test_export_of_a_split_corpus(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    """Straight from a corpus, with labels mapped and folds made."""
    options = ["--labels", "valence3", "--split", "kfold:3"]
    for to, name in (("manifest", "m.jsonl"), ("lhotse", "out"), ("audformat", "t.csv")):
        assert cli("prepare", sounds, tmp_path / name, "--to", to, *options).code == 0
    expected = list(read_manifest(tmp_path / "m.jsonl"))
    assert {utterance.fold for utterance in expected} == {0, 1, 2}
    assert look(tmp_path / "out")[0] == expected
    assert known(look(tmp_path / "t.csv")[0]) == known(expected)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
WORDS = TEXT.map(str.strip).filter(lambda t: t and t.lower() not in UNKNOWN)
UNKNOWN = {"nan", "nat", "null", "none", "na", "n/a", "<na>"}
ANY = st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
FIELDS = st.fixed_dictionaries(
    {
        "speaker": st.none() | WORDS,
        "gender": st.sampled_from(["male", "female", "other", None]),
        "language": st.sampled_from(["de", "en", None]),
        "text": st.none() | WORDS,
        "session": st.none() | WORDS,
        "label": st.none() | WORDS,
        "raw_label": st.none() | WORDS,
        "fold": st.none() | st.integers(0, 9),
        "part": st.sampled_from(["train", "val", "test", None]),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    fields=st.lists(FIELDS, min_size=1, max_size=6),
    times=st.lists(st.integers(0, 1999), min_size=7, max_size=7, unique=True),
    extra=st.dictionaries(WORDS.filter(lambda t: t.isidentifier()), ANY | WORDS, max_size=3),
)
def test_any_utterances_and_back(
    audio: Path,
    tmp_path_factory: pytest.TempPathFactory,
    fields: list[dict[str, Any]],
    times: list[int],
    extra: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    extra = {name: value for name, value in extra.items() if name not in known_names()}
    times = sorted(times)
    rows = [
        Item(
            id=f"toy/a@{times[i]}-{times[i + 1]}",
            path=str(audio / "a.wav"),
            start=times[i] / 1000,
            end=times[i + 1] / 1000,
            corpus="toy",
            extra=dict(extra),
            **each,
        )
        for i, each in enumerate(fields)
    ]
    with atomic_folder(folder / "out") as out:
        journal = Journal(Parts(folder / "p", {}, resume=False))
        export.write_lhotse(rows, out, lambda path, reason: None, journal)
    assert look(folder / "out")[0] == rows
    text = io.StringIO(newline="")
    export.write_audformat([replace(row, extra={}) for row in rows], text)
    table = folder / "t.csv"
    table.write_bytes(text.getvalue().encode())
    for old, new in zip(rows, look(table)[0], strict=True):
        assert new == replace(old, extra={}, id=new.id)


def known_names() -> set[str]:
    """Return the further fields that a reader takes for something of its own."""
    from sertool.corpora.table import COLUMNS, RESERVED

    return {word for words in COLUMNS.values() for word in words} | set(RESERVED)


def test_real_emodb_and_back(cli: Cli, corpora: Path, tmp_path: Path) -> None:
    one = tmp_path / "m.jsonl"
    cli("prepare", corpora / "emodb-2s", one, "--split", "speakers:5")
    assert cli("prepare", one, tmp_path / "out", "--to", "lhotse").code == 0
    assert cli("prepare", tmp_path / "out", tmp_path / "again.jsonl").code == 0
    assert (tmp_path / "again.jsonl").read_bytes() == one.read_bytes()
    assert cli("prepare", one, tmp_path / "t.csv", "--to", "audformat").code == 0
    assert known(look(tmp_path / "t.csv")[0]) == known(list(read_manifest(one)))
