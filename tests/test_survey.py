"""`sertool info` of a manifest or store: numbers, page and figures of a corpus."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import write_store
from rich.cells import cell_len

from sertool.audio import decoding as audio
from sertool.audio import headers
from sertool.core.errors import ItemError
from sertool.corpora import listening as ears
from sertool.corpora import survey_figures
from sertool.corpora.listening import Sound, listen, quiet_ends
from sertool.corpora.survey import edges, lengths, survey
from sertool.corpora.survey_text import page
from sertool.evaluation.description import counts
from sertool.formats.manifest import parse_line
from sertool.items import Item
from sertool.ui.console import MOST_ALIKE, Console
from sertool.ui.tables import render

RATE = 16000


def tone(seconds: float, level: float = 0.3, rate: int = RATE) -> np.ndarray:
    return (level * np.sin(np.arange(round(seconds * rate)) * 0.2)).astype(np.float32)


def save(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype)
    return path


def row(name: str, path: object = "/nowhere/a.wav", **fields: Any) -> Item:
    return Item.from_row({"id": name, "path": str(path), **fields})


def manifest(path: Path, rows: list[Item]) -> Path:
    path.write_text("".join(json.dumps(r.manifest_row()) + "\n" for r in rows), encoding="utf-8")
    return path


def heard(rows: list[Item], **options: Any) -> tuple[list[float | None], Sound]:
    return listen(rows, Console.silent(), workers=options.pop("workers", 1), **options)


def shown(
    rows: list[Item], seconds: list[float | None] | None = None, audio: Sound | None = None
) -> str:
    found = survey(rows, seconds or [None] * len(rows))
    return render(*page(found, counts(rows), audio))


WORDS = st.sampled_from([None, "a", "b", "c", ""])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "corpus": WORDS,
            "label": WORDS,
            "gender": st.sampled_from([None, "female", "male", "other"]),
            "speaker": WORDS,
            "text": WORDS,
            "fold": st.sampled_from([None, 0, 1, 2]),
            "part": st.sampled_from([None, "train", "val", "test"]),
            "seconds": st.one_of(st.none(), st.floats(0.001, 5000)),
        }
    ),
    max_size=30,
)


@given(ROWS, st.randoms())
@settings(max_examples=80, deadline=None)
def test_the_numbers_are_those_of_counting_by_hand(
    rows: list[Item], shuffler: random.Random
) -> None:
    rows = [Item.from_row(r | {"id": str(i), "path": "x"}) for i, r in enumerate(rows)]
    found = survey(rows, [r.value("seconds") for r in rows])
    assert found.items == len(rows)
    for cell in found.cells:
        same = [
            r
            for r in rows
            if all((r.value(f) or None) == getattr(cell, f) for f in ("corpus", "label", "gender"))
        ]
        assert cell.items == len(same) > 0
    assert sum(cell.items for cell in found.cells) == len(rows)
    people = {(r.corpus or None, r.speaker) for r in rows if r.speaker}
    assert {(s.corpus, s.speaker) for s in found.speakers} == people
    assert found.unknown["label"] == sum(r.label in (None, "") for r in rows)
    for corpus in found.corpora:
        mine = [r for r in rows if (r.corpus or None) == corpus.corpus]
        assert corpus.speakers == len({r.speaker for r in mine} - {None, ""})
        assert corpus.texts == len({r.text for r in mine} - {None, ""})
        timed = [r.value("seconds") for r in mine if r.value("seconds") is not None]
        assert corpus.seconds == (pytest.approx(sum(timed)) if timed else None)
    for fold in found.folds:
        mine = [r for r in rows if r.fold == fold.name]
        others = [r for r in rows if r.fold != fold.name]
        here, there = (
            {(r.corpus or None, r.speaker) for r in some if r.speaker} for some in (mine, others)
        )
        assert (fold.items, fold.speakers) == (len(mine), len(here))
        assert fold.shared_speakers == len(here & there)
        lacking = {r.label for r in others} - {r.label for r in mine} - {None, ""}
        assert fold.lacking == sorted(lacking)
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    again = survey(shuffled, [r.value("seconds") for r in shuffled])
    assert repr(again) == repr(found)
    assert render(*page(again, counts(shuffled))) == render(*page(found, counts(rows)))


def test_speakers_are_a_corpus_s_own_and_two_genders_are_doubtful() -> None:
    rows = [
        row("1", corpus="emodb", speaker="03", gender="male"),
        row("2", corpus="ravdess", speaker="03", gender="female"),
        row("3", corpus="ravdess", speaker="03", gender="male"),
        row("4", corpus="ravdess", speaker="04", gender=None),
    ]
    found = survey(rows, [None] * 4)
    assert [(s.corpus, s.speaker, s.gender) for s in found.speakers] == [
        ("emodb", "03", "male"),
        ("ravdess", "03", None),
        ("ravdess", "04", None),
    ]
    assert "1 speakers with two genders: 03" in shown(rows)
    assert "3: 1 male, 2 unknown" in shown(rows)


@given(st.lists(st.floats(0.001, 9e5), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_histogram_is_numpy_s(seconds: list[float]) -> None:
    found = lengths([(Item("a"), s) for s in seconds])
    assert found is not None
    cuts = found.edges
    if max(seconds) - min(seconds) < 0.001:
        assert (cuts, found.counts) == ([min(seconds), max(seconds)], [len(seconds)])
    else:
        assert found.counts == np.histogram(seconds, cuts)[0].tolist()
        steps = np.diff(cuts)
        assert len(steps) <= 17
        np.testing.assert_allclose(steps[:-1], steps[0], rtol=1e-6)
        assert f"{steps[0]:.0e}"[0] in "125"
    assert sum(found.counts) == len(seconds)
    assert (found.min, found.max) == (min(seconds), max(seconds))
    assert found.median == pytest.approx(np.median(seconds))
    assert found.mean == pytest.approx(np.mean(seconds))


def test_one_far_length_does_not_flatten_the_histogram() -> None:
    seconds = [2 + 0.01 * i for i in range(100)] + [600.0]
    assert edges(seconds)[-2:] == [3.0, 600.0]
    assert len(edges(seconds)) > 8
    assert edges([600.0, 1200.0])[0] == 600.0
    near = edges([2 + 0.01 * i for i in range(10)])
    assert np.diff(near) == pytest.approx([0.01] * (len(near) - 1))


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_24"), ("a.ogg", "VORBIS"),
     ("a.mp3", "MPEG_LAYER_III"), ("a.aiff", "PCM_16")],
)  # fmt: skip
def test_a_header_says_what_decoding_finds(tmp_path: Path, name: str, subtype: str) -> None:
    path = save(tmp_path / name, np.stack([tone(1.5), tone(1.5)], 1), subtype=subtype)
    header = headers.read_header(path)
    assert header is not None
    decoded = audio.decode(path)
    assert header.seconds() == decoded.duration
    assert (header.sample_rate, header.channels) == (decoded.source_rate, 2)
    assert header.coding.endswith(subtype)
    for cut in ((0.25, None), (0.1, 0.7), (None, 1.55), (2.0, None), (0.5, 9.0), (0.7, 0.7)):
        assert said(lambda: header.seconds(*cut)) == said(  # noqa: B023
            lambda: audio.decode(path, start=cut[0], end=cut[1]).duration  # noqa: B023
        )


def broken(folder: Path) -> dict[str, str]:
    """Files that cannot be read, and words of the reason."""
    save(folder / "cut.flac", np.random.default_rng(0).standard_normal(9000) * 0.1)
    save(folder / "cut.wav", tone(0.5))
    for name in ("cut.flac", "cut.wav"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    save(folder / "none.wav", tone(0.0))
    save(folder / "nan.wav", np.append(tone(0.1), np.nan), subtype="FLOAT")
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound")
    (folder / "bare.raw").write_bytes(bytes(4000))
    (folder / "dir.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    return {
        "cut.flac": "truncated",
        "cut.wav": "truncated",
        "none.wav": "no samples",
        "nan.wav": "NaN",
        "zero.wav": "empty file",
        "text.wav": "cannot be decoded",
        "bare.raw": "cannot be decoded",
        "dir.wav": "a folder",
        "pipe.wav": "not a regular file",
        "gone.wav": "no such file",
        "gone.mp4": "no such file",
    }


def test_every_bad_file_is_named_counted_and_left_out(cli, tmp_path: Path) -> None:
    reasons = broken(tmp_path)
    save(tmp_path / "good.wav", tone(0.5))
    with pytest.raises(ItemError, match="truncated"):
        headers.read_header(tmp_path / "cut.wav")  # without decoding
    rows = [row(name, tmp_path / name, label="anger") for name in [*reasons, "good.wav"]]
    path = manifest(tmp_path / "m.jsonl", rows)
    result = cli("info", path)
    assert result.code == 1
    said = result.err.splitlines()
    assert len(said) == len(reasons)
    for name, reason in reasons.items():
        assert sum(f"/{name}: " in text and reason in text for text in said) == 1, name
    assert "2 missing, 9 unreadable, of 12 utterances" in result.out
    assert "each 0.500 s (known for 1 of 12)" in result.out
    found = json.loads(cli("info", "--json", path).out)
    failed = {one["id"]: one["reason"] for one in found["audio"]["failed"]}
    assert set(failed) == set(reasons)
    assert (found["audio"]["missing"], found["audio"]["decoded"]) == (2, 1)
    assert found["audio"]["sample_rates"] == {"16000": 1}
    untouched = cli("info", "--no-audio", path)
    assert (untouched.code, untouched.err) == (0, "")
    assert "seconds" not in untouched.out


def test_thousands_of_missing_files_do_not_flood_the_terminal(cli, tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.jsonl", [row(f"{i:02d}", f"/nowhere/{i}.wav") for i in range(25)])
    result = cli("info", path)
    assert result.code == 1
    assert len(result.err.splitlines()) == MOST_ALIKE + 1
    assert "15 more: no such file (--json names them)" in result.err
    assert "25 missing, of 25 utterances" in result.out
    console = Console.silent()
    listen([parse_line(line) for line in path.read_text().splitlines()], console, workers=1)
    assert console.failures == 25
    assert len(json.loads(cli("info", "--json", path).out)["audio"]["failed"]) == 25


def test_bad_lines_are_named_and_exit_1(cli, tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone(0.5))
    path = manifest(tmp_path / "m.jsonl", [row("a", tmp_path / "a.wav", **{"[b]:smile:": 1})])
    with open(path, "a", encoding="utf-8") as file:
        file.write('nonsense\n{"id": "b"}\n')
    for option in ([], ["--no-audio"], ["--items"], ["--json"]):
        result = cli("info", *option, path)
        assert result.code == 1
        assert len(result.err.splitlines()) == 2
        assert "line 2: not JSON" in result.err
    text = cli("info", path).out
    assert "1 utterances, bad lines: 2" in text
    assert "further fields: [b]:smile:" in text


def said(work: Callable[[], float]) -> float | str:
    """What a function returns, or why it cannot."""
    try:
        return work()
    except ItemError as error:
        return str(error)


def various(folder: Path) -> list[Item]:
    """Twelve utterances of ten files: rates, channels, cuts, clipping, silence, equal ones."""
    clipped = tone(0.5)
    clipped[100:110] = 1.0
    save(folder / "clipped.wav", clipped)
    save(folder / "silent.wav", tone(0.5, 1e-5))
    save(folder / "zeros.flac", np.zeros(4000))
    save(folder / "stereo.wav", np.stack([tone(0.5, 0.2)] * 2, 1), 8000)
    for i in range(5):
        save(folder / f"t{i}.wav", tone(0.2 + 0.1 * i))
    shutil.copy(folder / "t4.wav", folder / "t5.wav")
    names = [
        "clipped.wav",
        "silent.wav",
        "zeros.flac",
        "stereo.wav",
        *(f"t{i}.wav" for i in range(6)),
    ]
    rows = [row(name, folder / name, speaker=name[0]) for name in names]
    rows.append(row("cut", folder / "stereo.wav", start=0.25, end=0.375))
    rows.append(row("cut2", folder / "t4.wav", start=0.1))
    return rows


def test_what_is_heard(tmp_path: Path) -> None:
    rows = various(tmp_path)
    seconds, found = heard(rows)
    by_id = dict(zip([r.id for r in rows], seconds, strict=True))
    for name in ("clipped.wav", "zeros.flac", "stereo.wav", "t0.wav", "t5.wav"):
        info = soundfile.info(tmp_path / name)
        assert by_id[name] == info.frames / info.samplerate
    assert (by_id["cut"], by_id["cut2"]) == (0.125, 0.5)
    assert found.sample_rates == {"8000": 2, "16000": 10}
    assert found.channels == {"1": 10, "2": 2}
    assert found.codings == {"FLAC PCM_16": 1, "WAV PCM_16": 11}
    assert (found.files, found.decoded, found.of) == (10, 12, 12)
    assert found.clipped == ["clipped.wav"]
    assert found.silent == ["silent.wav", "zeros.flac"]
    assert found.identical == [["t4.wav", "t5.wav"]]
    text = shown(rows, seconds, found)
    for words in ("2 at 8000 Hz, 10 at 16000 Hz", "10 mono, 2 stereo", "all 12", "t4.wav = t5.wav",
                  "1 (8.3 %): clipped.wav", "2 (16.7 %): silent.wav, zeros.flac"):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("scale", [1.0, 32767])
def test_quiet_ends(scale: float) -> None:
    sound = np.concatenate([np.zeros(1600), tone(0.5), 0.002 * tone(0.21), np.zeros(160)])
    kind = np.float32 if scale == 1.0 else np.int16
    start, end = quiet_ends((scale * sound).astype(kind), RATE)
    assert start == pytest.approx(0.1, abs=0.011)
    assert end == pytest.approx(0.22, abs=0.011)
    assert quiet_ends(np.zeros(100, np.float32), RATE) == (0.0, 0.0)
    assert quiet_ends(np.array([1], np.int16), 1) == (0.0, 0.0)
    lowest = np.zeros(480, np.int16)
    lowest[200] = -32768  # has no positive counterpart in 16 bits
    assert quiet_ends(lowest, RATE) == (0.01, 0.01)


def test_order_and_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears, "HEADERS_A_TASK", 1)
    monkeypatch.setattr(ears, "CUTS_A_TASK", 1)
    rows = [*various(tmp_path), row("gone", tmp_path / "gone.wav"), row("cut", "/nowhere.wav")]
    seconds, found = heard(rows)
    turned = rows[::-1]
    assert heard(rows, workers=3) == (seconds, found)
    again, other = heard(turned, workers=2)
    assert (again[::-1], repr(other)) == (seconds, repr(found))
    assert repr(survey(rows, seconds)) == repr(survey(turned, again))


def test_a_sample_is_decoded_of_many_and_the_page_says_so(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ears, "SAMPLED", 5)
    rows = various(tmp_path)

    def drawn(rows: list[Item], **options: Any) -> set[str]:
        decoded: list[str] = []
        real = ears._decoded

        def spy(number: int, cut: Any) -> Any:
            decoded.append(cut)
            return real(number, cut)

        with monkeypatch.context() as patch:
            patch.setattr(ears, "_decoded", spy)
            _, found = heard(rows, **options)
        assert found.decoded == len(decoded)
        names = {(r.path, r.start, r.end): r.id for r in rows}
        return {names[cut] for cut in decoded}

    first = drawn(rows)
    assert len(first) == 5
    assert drawn(rows[::-1]) == first
    assert any(drawn(rows, seed=seed) != first for seed in (1, 2, 3))
    assert len(drawn(rows, everything=True)) == 12
    monkeypatch.setattr(ears, "SAMPLED_SECONDS", 0.6)
    assert 1 <= len(drawn(rows)) < 5
    path = manifest(tmp_path / "m.jsonl", rows)
    monkeypatch.setattr(ears, "SAMPLED_SECONDS", 1e9)
    assert (
        "5 of 12, drawn with seed 7 (--all decodes every one)" in cli("info", "--seed", 7, path).out
    )
    whole = cli("info", "--all", path).out
    assert "all 12" in whole
    assert "drawn" not in whole
    assert "12 at" in whole.replace("2 at 8000 Hz, 10 at", "12 at")  # rates come from all headers


def test_what_only_ffmpeg_reads_is_known_where_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    rows = [row(name, tmp_path / name) for name in ("a.m4a", "b.m4a", "c.m4a")]
    for one in rows:
        Path(one.path).write_bytes(b"anything")
    _, without = heard(rows)
    assert {one.reason for one in without.failed} == {".m4a needs ffmpeg, which is not installed"}
    header = struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 6, RATE, 1)
    (tmp_path / "sound.au").write_bytes(header + tone(0.5).astype(">f4").tobytes())
    fake = tmp_path / "bin" / "ffmpeg"
    fake.write_text(f'#!/bin/sh\nexec /bin/cat "{tmp_path}/sound.au"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(ears, "SAMPLED", 2)
    seconds, found = heard(rows)
    assert sorted(seconds, key=str) == [0.5, 0.5, None]
    assert found.codings == {"M4A, through ffmpeg": 2}
    assert "(known for 2 of 3)" in shown(rows, seconds, found)


def crowd() -> list[Item]:
    """All that makes a table wide: 12 corpora, 4 genders, long names, names in two cells."""
    labels = ["怒り的な感情と非常に長い名前の感情の名前", "[bold]x[/bold] :smile:", "гнев", "a\nb",
              "e" * 70, "\u202egniht", None, "غضب"]  # fmt: skip
    rows = []
    for i in range(960):
        corpus = None if i % 12 == 11 else f"corpus number {i % 12} " + "長" * (i % 3) * 9
        rows.append(
            row(f"id {i} " + "i" * 80, corpus=corpus, label=labels[i % 8], speaker=f"s{i % 40}",
                gender=("male", "female", "other", None)[i % 4], fold=i % 5, part="train",
                session=f"{i % 3}", text="t" * 99)
        )  # fmt: skip
    return rows


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("one", [True, False])
def test_the_page_fits_the_terminal(width: int, one: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [r.replace(corpus="c" if one else r.corpus) for r in crowd()]
    text = shown(rows, [float(i % 7) + 4000 for i in range(960)])
    assert max(map(cell_len, text.splitlines())) <= width
    assert text.replace("\n", "").isprintable()
    assert "[bold]x[/" in text
    assert ":smile:" in text or (one and width == 60)
    assert r"\u202egniht" in text
    assert "a\\nb" in text
    if one:
        line = next(line for line in text.splitlines() if line.startswith("all"))
        assert line.split()[1:6] == ["240", "240", "240", "240", "960"]
    else:
        totals = [line.split() for line in text.splitlines() if line.startswith("all")]
        assert totals[-1][-1] == "960"
        assert sum(int(n) for line in totals for n in line[1:]) == 2 * 960


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_names_of_any_unicode_stay_on_their_line(names: list[str], corpora: int) -> None:
    names = [n.encode("utf-8", "replace").decode() for n in names]
    rows = [
        row(str(i), corpus=names[i % len(names)] if i % corpora else None, label=n, speaker=n,
            gender=n, text=n, session=n)
        for i, n in enumerate(names * 2)
    ]  # fmt: skip
    found = survey(rows, [1.0 + i for i in range(len(rows))])
    text = render(*page(found, counts(rows)))
    assert text.replace("\n", "").isprintable()
    assert max(map(cell_len, text.splitlines())) <= 100
    assert sum(line.startswith("all ") for line in text.splitlines()) >= 1


def test_many_classes_corpora_and_folds_are_cut_short() -> None:
    rows = [row(str(i), corpus=f"c{i % 50}", label=f"l{i:03d}", fold=i) for i in range(90)]
    rows += [row("x", corpus="c0", label="l089", fold=0)]
    text = shown(rows)
    assert "… and 50 more classes (--json lists all)" in text
    assert "… and 10 more corpora" in text
    assert "… and 50 more folds" in text
    assert "l089" in text  # the commonest is there


def test_nothing_and_one() -> None:
    assert "missing" in shown([])
    text = shown([row("a")], [1.25])
    assert "each 1.250 s" in text
    assert "label all 1, speaker all 1, gender all 1, text all 1" in text


def test_folds_say_who_is_in_several_and_what_lacks() -> None:
    rows = [
        row("1", speaker="a", label="anger", fold=0),
        row("2", speaker="a", label="fear", fold=1),
    ]
    rows += [row("3", speaker="b", label="fear", fold=1), row("4", speaker="c", label="x")]
    lines = shown(rows).splitlines()
    at = lines.index("fold    items  speakers  shared")
    assert [line.split() for line in lines[at + 1 : at + 4]] == [
        ["0", "1", "1", "1"],
        ["1", "2", "2", "1"],
        ["(none)", "1", "1", "0"],
    ]
    assert "fold 0 has no fear, x" in lines
    apart = [r.replace(speaker=r.id) for r in rows]
    assert "results depend" in shown(rows)
    assert "results depend" not in shown(apart)


def test_the_command(cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.jsonl"
    assert cli("prepare", "-q", sounds, path).code == 0
    result = cli("info", path)
    assert (result.code, result.err) == (0, "")
    for words in ("manifest: 12 utterances", "anger", "each 0.500 s", "12 at 16000 Hz", "all 12"):
        assert words in result.out
    assert "\x1b" not in result.out
    found = json.loads(cli("info", "--json", path).out)
    assert found["counts"]["label"] == {"anger": 4, "happiness": 4, "sadness": 4}
    assert found["survey"]["lengths"]["counts"] == [12]
    assert cli("info", "--json", "-j", 2, path).out == cli("info", "--json", "-j", 1, path).out
    assert len(cli("info", "--items", path).out.splitlines()) == 12
    for wrong in (["--all", "--no-audio"], ["--all", "--items"]):
        assert cli("info", *wrong, path).code == 2
    store = tmp_path / "s.h5"
    assert cli("featurize", "-q", path, store).code == 0
    assert cli("info", "--all", store).code == 2
    shown = cli("info", store)
    assert shown.code == 0
    for words in ("12 items", "anger", "speakers   unknown", "each 0.5", "checksum right"):
        assert words in shown.out
    assert "decoded" not in shown.out
    assert json.loads(cli("info", "--json", store).out)["survey"]["items"] == 12


def test_a_store_without_times(cli, tmp_path: Path) -> None:
    items = [Item(str(i), path="x", label="[red]") for i in range(3)]
    arrays = [np.zeros((2, 3), np.float32)] * 3
    write_store(tmp_path / "s.h5", arrays, items, kind="mel", frame_rate=0.0)
    result = cli("info", tmp_path / "s.h5")
    assert result.code == 0
    assert "[red]" in result.out
    assert "seconds" not in result.out


def test_figures(cli, sounds: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "m.jsonl", tmp_path / "figures"
    assert cli("prepare", "-q", sounds, path).code == 0
    assert cli("info", "-q", path, "--figures", folder).code == 0
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert set(first) == {"class_counts.png", "lengths.png"}  # nobody knows the speakers
    again = cli("info", path, "--figures", folder)
    assert again.code == 3
    assert "--force" in again.err
    assert cli("info", "-q", path, "--figures", folder, "--force").code == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first
    for name, data in first.items():
        assert data.startswith(b"\x89PNG"), name
    assert cli("info", path, "--figures", tmp_path / "no" / "where").code == 3
    (tmp_path / "r.json").write_text('{"format":"sertool-report","version":1,"confusion":[]}')
    assert cli("info", tmp_path / "r.json", "--figures", folder).code == 2


@pytest.mark.parametrize(("n_corpora", "n_speakers"), [(1, 10), (3, 400), (20, 2)])
def test_bars_add_up(n_corpora: int, n_speakers: int, tmp_path: Path) -> None:
    rows = [
        row(str(i), corpus=("_", "$x$", "c")[i % 3] + str(i % n_corpora),
            speaker=str(i % n_speakers), label=("a", "$\\b$", None)[i % 3],
            gender=("male", "female", "other", None)[i % 4])
        for i in range(840)
    ]  # fmt: skip
    rows = [r.replace(corpus="c") for r in rows] if n_corpora == 1 else rows
    found = survey(rows, [2 + i % 10 / 10 + 100 * (i == 7) for i in range(840)])
    figure = survey_figures.classes_figure(found, "m.jsonl")
    widths: Counter[float] = Counter()
    for patch in figure.axes[0].patches:
        widths[round(patch.get_y() + patch.get_height() / 2)] += patch.get_width()
    assert [widths[i] for i in range(3)] == [280, 280, 280]
    spans = survey_figures.lengths_figure(found, "m.jsonl")
    assert spans is not None
    assert sum(p.get_height() for p in spans.axes[0].patches) == 840
    people = survey_figures.speakers_figure(found, "m.jsonl")
    assert people is not None
    assert len(survey_figures.draw(found, "m\n$.jsonl", tmp_path / "f")) == 3
    legend = figure.axes[0].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    corpora = len(found.corpora)
    most = len(survey_figures.STYLES)
    assert len(names) == (4 if corpora == 1 else min(corpora, most))
    if corpora > most:
        assert names[-1] == f"{corpora - most + 1} more corpora"


def test_ravdess(corpora: Path, cli, tmp_path: Path) -> None:
    """1440 files of 24 actors, 192 of every emotion but neutral's 96 (Livingstone & Russo 2018)."""
    path = tmp_path / "m.jsonl"
    assert cli("prepare", "-q", "--split", "speakers:6", corpora / "ravdess", path).code == 0
    rows = [parse_line(line) for line in path.read_text().splitlines()]
    seconds, found = heard([r for r in rows if r.speaker == "07"])
    pair = ["ravdess/Actor_07/03-01-03-01-02-01-07", "ravdess/Actor_07/03-01-03-01-02-02-07"]
    assert found.identical == [pair]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ears, "SAMPLED", 20)
        seconds, found = heard(rows, workers=0)
    assert (found.sample_rates, found.channels) == ({"48000": 1440}, {"1": 1435, "2": 5})
    assert (found.failed, found.silent) == ([], [])
    numbers = survey(rows, seconds)
    cells = {(c.label, c.gender): c.items for c in numbers.cells}
    assert {n for (label, _), n in cells.items() if label != "neutral"} == {96}
    assert cells["neutral", "male"] == cells["neutral", "female"] == 48
    genders = Counter(s.gender for s in numbers.speakers)
    assert genders == {"male": 12, "female": 12}
    assert [(f.speakers, f.shared_speakers) for f in numbers.folds] == [(4, 0)] * 6
    infos = [soundfile.info(r.path) for r in rows]
    total = sum(info.frames / info.samplerate for info in infos)
    assert numbers.lengths.total == pytest.approx(total)
    text = shown(rows, seconds, found)
    assert "24: 12 female, 12 male; 60 utterances each" in text
    assert "nothing: label, speaker, gender and text are known for all" in text
