"""Labels over time: subtitles, label tracks, and tiers as Praat and readers of ELAN's files see."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as Xml
from dataclasses import replace
from pathlib import Path

import made
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sertool.core.errors import InputError
from sertool.evaluation.predictions import Prediction, Unread
from sertool.evaluation.timed_labels import (
    OneRecording,
    Said,
    document,
    line_formatter,
    note,
    tile,
)
from sertool.items import Item

GIVEN = "a.wav", "anger", 0.876, {"anger": 0.876}, 2.5, 1.5, 1.0, 1, "off", "m@0"
RATE = 16000
CORPUS = Path(__file__).parent.parent / "data" / "demo" / "corpus"
SPOKEN = CORPUS / "spk01" / "spk01_anger_s1_r1.flac"  # 0.726 s


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    items = made.corpus(folder / "wav", speakers=2)
    made.store(folder / "all.h5", folder / "wav", items)
    made.train(folder / "all.h5", folder / "m.ckpt", lambda _: "train")
    sound, _ = soundfile.read(SPOKEN)
    call = np.zeros((4 * RATE, 2))
    for start in (RATE, 3 * RATE):
        call[start : start + len(sound), 0] = sound
    soundfile.write(folder / 'a "call" & co.wav', call, RATE)
    soundfile.write(folder / "silence.wav", 0 * call, RATE)
    return folder


@pytest.fixture
def praat():
    return pytest.importorskip("parselmouth", reason="praat-parselmouth is not installed")


@pytest.fixture
def pympi():
    return pytest.importorskip("pympi", reason="pympi-ling is not installed")


def test_lines_for_those_who_watch():
    said = Prediction(*GIVEN, 3599.0004, 3601.5, {"channel": "left", "speaker": None})
    whole = Prediction(*GIVEN)
    silent = replace(said, label=None, confidence=None, posterior=None)
    found = {}
    for name in ("srt", "vtt", "audacity"):
        header, text = line_formatter(name, 2, False)
        rows = (said, silent, Unread("b.wav", "x"), whole)
        found[name] = header + "".join(map(text, rows))
        _, of_turns = line_formatter(name, 2, True)
        assert "".join(map(of_turns, rows)) == text_of(name, said)  # not of all turns together
    assert found["srt"] == (
        "1\n00:59:59,000 --> 01:00:01,500\nleft: anger 0.88\n\n"
        "2\n00:00:00,000 --> 00:00:02,500\nanger 0.88\n\n"
    )
    assert found["vtt"] == "WEBVTT\n\n" + found["srt"].replace(",", ".")
    assert found["audacity"] == (
        "3599.000400\t3601.500000\tleft: anger 0.88\n0.000000\t2.500000\tanger 0.88\n"
    )


def text_of(name, row):
    return line_formatter(name, 2, False)[1](row)


def test_one_recording():
    a, b = Item("", "a.wav"), Item("", "b.wav")
    one = OneRecording([a, None, a], "srt")
    assert list(one) == [a, None, a]
    assert one.item == a
    with pytest.raises(InputError, match=r"--format srt is of one recording; b\.wav is a second"):
        list(OneRecording([a, b], "srt"))


@given(
    st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 3000), st.booleans()), max_size=12),
    st.sampled_from([1000, 1_000_000]),
)
def test_tiles_never_overlap_and_count_what_they_leave_out(given, ticks):
    spans = [(a / 1000, (a + n) / 1000, "x" if named else None) for a, n, named in given]
    made, within = tile([Said("", a, b, label, 0.5) for a, b, label in spans], ticks)
    assert all(one.start < one.end for one in made)
    assert all(a.end <= b.start for a, b in itertools.pairwise(made))
    assert within == 0 or any(
        a <= c and d <= b for (a, b, _), (c, d, _) in itertools.permutations(spans, 2)
    )
    if len({a for a, _, _ in spans}) == len(spans) and all(
        b <= c for (_, b, _), (c, _, _) in itertools.pairwise(sorted(spans))
    ):  # apart from each other: nothing is moved
        wanted = [(round(a * ticks), round(b * ticks)) for a, b, label in sorted(spans) if label]
        assert [(one.start, one.end) for one in made] == wanted


def test_praat_reads_tiers_without_gaps(toy, tmp_path, cli, praat):
    path, out = toy / 'a "call" & co.wav', tmp_path / "out.TextGrid"
    words = ["predict", toy / "m.ckpt", path, "--channel", "each", "--segments"]
    assert cli(*words, "--format", "textgrid", "-o", out).code == 0
    assert cli(*words, "--format", "textgrid").out == out.read_text()
    grid = praat.read(str(out))
    assert praat.praat.call(grid, "Get number of tiers") == 2
    assert praat.praat.call(grid, "Get total duration") == 4.0
    rows = tier_of(praat, grid, 1)
    assert praat.praat.call(grid, "Get tier name", 1) == "left"
    assert [bool(label) for *_, label in rows] == [False, True, False, True, False]
    assert rows[1][0] == pytest.approx(1.0, abs=0.1)
    assert rows[0][0] == 0.0
    assert rows[-1][1] == 4.0
    assert all(a[1] == b[0] for a, b in itertools.pairwise(rows))
    assert tier_of(praat, grid, 2) == [(0.0, 4.0, "")]  # nobody speaks there, and that is said


def tier_of(praat, grid, number):
    call = praat.praat.call
    return [
        tuple(call(grid, f"Get {what}", number, i) for what in ("start time of interval",
              "end time of interval", "label of interval"))
        for i in range(1, call(grid, "Get number of intervals", number) + 1)
    ]  # fmt: skip


def test_praat_reads_any_name(toy, praat, tmp_path):
    row = Prediction('a "b".wav', 'he said "no" 怒り\n', *GIVEN[2:], 0.0, 1.0, {"speaker": '"Ä"'})
    item = Item("", str(toy / "silence.wav"))
    text, within = document("textgrid", [note(row, True)], item, [], None)
    (tmp_path / "x.TextGrid").write_text(text, encoding="utf-8")
    grid = praat.read(str(tmp_path / "x.TextGrid"))
    assert within == 0
    assert praat.praat.call(grid, "Get tier name", 1) == '"Ä"'
    assert tier_of(praat, grid, 1) == [(0.0, 1.0, 'he said "no" 怒り\\n'), (1.0, 4.0, "")]


def test_a_reader_of_eaf_finds_tiers_and_the_recording(toy, tmp_path, cli, pympi):
    path, out = toy / 'a "call" & co.wav', tmp_path / "out.eaf"
    words = ["predict", toy / "m.ckpt", path, "--channel", "each", "--window", "0.9"]
    assert cli(*words, "--format", "elan", "-o", out).code == 0
    assert cli(*words, "--format", "elan", "-o", out, "--force").code == 0  # the same bytes
    file = pympi.Elan.Eaf(str(out))
    assert list(file.get_tier_names()) == ["left", "right"]
    left = file.get_annotation_data_for_tier("left")
    spans = [(start, end) for start, end, _ in left]
    assert spans == [(900, 1800), (2700, 3600), (3600, 4000)]
    assert all(label in ("anger", "sadness", "calm", "happiness") for *_, label in left)
    assert file.get_annotation_data_for_tier("right") == []
    (media,) = file.get_linked_files()
    assert media["MEDIA_URL"] == f"file://{path}"
    assert (out.parent / media["RELATIVE_MEDIA_URL"]).resolve() == path.resolve()
    assert media["MIME_TYPE"] == "audio/x-wav"
    times = [int(slot.get("TIME_VALUE")) for slot in Xml.parse(out).iter("TIME_SLOT")]
    assert times == sorted(times)


def test_the_last_window_labels_what_is_new(toy, cli):
    path = toy / 'a "call" & co.wav'
    words = ["predict", toy / "m.ckpt", path, "--vad", "off", "--window", "3", "--format"]
    out = cli(*words, "elan").out
    slots = [int(slot.get("TIME_VALUE")) for slot in Xml.fromstring(out).iter("TIME_SLOT")]
    assert slots == [0, 3000, 3000, 4000]


def test_turns_have_a_tier_per_speaker_and_say_what_they_leave_out(toy, tmp_path, cli):
    path = toy / 'a "call" & co.wav'
    turns = "start,end,speaker\n0.9,2,A\n1.0,1.5,A\n1.4,2.6,<B>\n2.5,3.9,A\n"
    (tmp_path / "turns.csv").write_text(turns)
    words = ["predict", toy / "m.ckpt", path, "--by-speaker", tmp_path / "turns.csv"]
    result = cli(*words, "--vad", "off", "--format", "elan")
    assert "1 row left out: within another of the same tier" in result.err
    root = Xml.fromstring(result.out)
    assert [tier.get("TIER_ID") for tier in root.iter("TIER")] == ["A", "<B>"]
    times = [int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")]
    assert times == [900, 1400, 2000, 2500, 2600, 3900]  # and no row of all turns of a speaker


def test_resumed_documents_are_the_same(toy, tmp_path, cli, monkeypatch):
    from sertool.formats import journal

    path, out = toy / 'a "call" & co.wav', tmp_path / "out.eaf"
    words = ["predict", toy / "m.ckpt", path, "--channel", "each", "--segments"]
    words += ["--format", "elan", "-o", out]
    assert cli(*words).code == 0
    wanted = out.read_text()
    out.unlink()
    finish = journal.Journal.finish

    def stop(self, item, channel):
        finish(self, item, channel)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "finish", stop)
        assert cli(*words).code == 130
    assert not out.exists()
    result = cli(*words, "--resume")
    assert "1 recording done before" in result.err
    assert out.read_text() == wanted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pool", "none"], "instead of --pool none give --window S or --segments"),
        (["--window", "2", "--hop", "1"], "give --window 2 without --hop"),
        (["--digits", "2"], "no numbers for --digits"),
    ],
)
def test_what_no_tier_can_show(toy, cli, options, said):
    words = ["predict", toy / "m.ckpt", toy / "silence.wav", *options, "--format"]
    for form in ("textgrid", "elan"):
        result = cli(*words, form)
        assert (result.code, result.out) == (2, "")
        assert said in result.err
    assert cli(*words, "srt").code == 0


def test_what_has_no_document(toy, tmp_path, cli):
    (tmp_path / "broken.wav").write_bytes(b"")
    out = tmp_path / "out.eaf"
    words = ["predict", toy / "m.ckpt", "--format", "elan"]
    result = cli(*words, tmp_path / "broken.wav", "-o", out)
    assert result.code == 3
    assert not out.exists()
    result = cli(*words, toy / "wav")
    assert (result.code, result.out) == (3, "")
    assert "--format elan is of one recording" in result.err
