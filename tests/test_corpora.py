"""Corpora: their names, labels and counts, on generated trees and on the real ones."""

from __future__ import annotations

import sys
import tomllib
from itertools import product
from pathlib import Path

import pytest
from corpus_trees import counts, look, touch

from sertool import corpora as tables
from sertool.core.data import data_path
from sertool.core.errors import InputError, UsageError
from sertool.corpora import folder, load, named

EMODB = load("emodb").published(Path(), [])


def ravdess_names(channel: str, suffix: str = ".wav", flat: bool = False) -> list[str]:
    """Every name of RAVDESS, as its documentation builds them."""
    names = []
    for actor, emotion, intensity, statement, repetition in product(
        range(1, 25), range(1, 9 if channel == "01" else 7), (1, 2), (1, 2), (1, 2)
    ):
        if (emotion == 1 and intensity == 2) or (channel == "02" and actor == 18):
            continue
        numbers = (emotion, intensity, statement, repetition, actor)
        stem = f"03-{channel}-" + "-".join(f"{n:02d}" for n in numbers)
        names.append(f"{'' if flat else f'Actor_{actor:02d}/'}{stem}{suffix}")
    return names


def test_every_corpus_has_a_summary_and_a_source() -> None:
    assert {"crema-d", "emodb", "emovo", "iemocap", "ravdess", "savee"} < set(tables.names())
    assert tables.names() == sorted(tables.names())
    for name in tables.names():
        corpus = tables.load(name)
        assert corpus.name == name
        assert corpus.summary
        module = sys.modules[tables.CORPORA[name].partition(":")[0]]
        if module is named:
            declared = tomllib.loads(data_path("corpora", f"{name}.toml").read_text())
            for word in ("source", "licence", "citation", "layout", "about"):
                assert len(declared[word]) > 10, name
        elif not corpus.generic and name != "demo":
            for word in ("Source:", "Licence:", "Citation:", "Layout:"):
                assert word in (module.__doc__ or ""), name
    with pytest.raises(UsageError, match="des, emns, emodb"):
        tables.load("ravdes")


# RAVDESS


@pytest.mark.parametrize(("suffix", "flat"), [(".wav", False), (".flac", True), (".MP3", False)])
def test_ravdess_speech(tmp_path: Path, suffix: str, flat: bool) -> None:
    root = touch(tmp_path / "anything", ravdess_names("01", suffix, flat))
    found, console = look(root)
    assert len(found) == 1440
    assert counts(found, "gender") == {"male": 720, "female": 720}
    published = load("ravdess").published(root, found)
    assert counts(found, "label") == published.classes
    assert counts(found, "speaker") == published.speakers
    assert sorted(published.classes.values()) == [96] + [192] * 7
    assert "published" not in console.text
    assert len({u.id for u in found}) == 1440


def test_ravdess_fields(tmp_path: Path) -> None:
    name = "Actor_12/03-01-06-02-02-01-12.wav"
    (found,) = look(touch(tmp_path / "ravdess", [name]))[0]
    assert found.id == "ravdess/Actor_12/03-01-06-02-02-01-12"
    assert found.path == str(tmp_path / "ravdess" / name)
    assert (found.corpus, found.speaker, found.gender) == ("ravdess", "12", "female")
    assert (found.label, found.raw_label, found.language) == ("fear", "06", "en")
    assert found.text == "Dogs are sitting by the door"
    assert found.extra == {
        "vocal_channel": "speech",
        "intensity": "strong",
        "statement": "2",
        "repetition": "1",
    }


def test_ravdess_song_and_both(tmp_path: Path) -> None:
    song = touch(tmp_path / "song", ravdess_names("02"))
    found, console = look(song)
    published = load("ravdess").published(song, found)
    assert len(found) == 1012
    assert counts(found, "label") == published.classes
    assert published.classes["neutral"] == 92
    assert counts(found, "speaker") == published.speakers
    assert "18" not in published.speakers
    both, console = look(touch(song, ravdess_names("01")))
    assert len(both) == 2452
    assert counts(both, "label") == load("ravdess").published(song, both).classes
    assert "published" not in console.text


def test_ravdess_incomplete_says_so_and_films_are_counted(tmp_path: Path) -> None:
    names = [n for n in ravdess_names("01") if "Actor_07" not in n]
    films = [n.replace("/03-", "/01-").replace(".wav", ".mp4") for n in names[:1000]]
    found, console = look(touch(tmp_path, names + films))
    assert len(found) == 1380
    assert "neutral 92/96" in console.text
    assert "1000 files left out: video" in console.text
    assert console.exit_code == 0


# EmoDB


def test_emodb_fields(tmp_path: Path) -> None:
    root = touch(tmp_path / "berlin", ["wav/03a01Fa.wav", "wav/16b10Lb.wav", "wav/09a07Ac.wav"])
    found, console = look(root)
    assert [u.id for u in found] == [
        "emodb/wav/03a01Fa",
        "emodb/wav/09a07Ac",
        "emodb/wav/16b10Lb",
    ]
    assert [u.label for u in found] == ["happiness", "fear", "boredom"]
    assert [u.raw_label for u in found] == ["F", "A", "L"]
    assert [u.gender for u in found] == ["male", "female", "female"]
    assert found[0].text == "Der Lappen liegt auf dem Eisschrank."
    assert found[0].language == "de"
    assert "fear 1/69" in console.text


@pytest.mark.parametrize(
    "name", ["04a01Fa.wav", "03a03Fa.wav", "03a01Xa.wav", "03a01FaX.wav", "x03a01Fa.wav"]
)
def test_not_emodb(name: str) -> None:
    assert not load("emodb").fits(name)


def test_emodb_counts_agree_with_each_other() -> None:
    assert sum(EMODB.classes.values()) == 535
    assert sum(EMODB.speakers.values()) == 535


# the demo corpus


def test_demo(tmp_path: Path) -> None:
    names = [
        f"corpus/spk{s:02d}/spk{s:02d}_{emotion}_s{k}_r{r}.flac"
        for s, emotion, k, r in product(
            (1, 2), ("anger", "happiness", "neutral", "sadness"), range(1, 5), (1, 2)
        )
    ]
    root = touch(tmp_path, names)
    for given in (root, root / "corpus"):  # without a table, odd speakers are men
        found, _ = look(given)
        assert counts(found, "gender") == {"male": 32, "female": 32}
    (root / "speakers.tsv").write_text("speaker\tgender\tage\nspk01\tfemale\t3\nspk02\tfemale\t4\n")
    for given in (root, root / "corpus"):
        found, console = look(given)
        assert counts(found, "gender") == {"female": 64}
        assert "published" not in console.text
    assert found[0].id == "demo/spk01/spk01_anger_s1_r1"
    assert (found[0].speaker, found[0].text, found[0].label) == ("spk01", "s1", "anger")
    (root / names[0]).unlink()
    assert "anger 15/16" in look(root)[1].text


# recognition


def test_half_of_the_files_decide(tmp_path: Path) -> None:
    names = ravdess_names("01")[:4]
    root = touch(tmp_path, [*names, "a.wav", "b.wav", "c.wav", "d.wav", "notes.txt", ".hidden.wav"])
    found, console = look(root)
    assert len(found) == 4
    assert console.failures == 4
    assert "8 audio files, and 1 other file" in console.text
    touch(root, ["e.wav"])
    found, console = look(root)
    assert counts(found, "label") == {None: 9}
    assert "labels are null" in console.text
    assert console.exit_code == 0
    with pytest.raises(InputError, match="--corpus"):
        look(root, strict=True)
    assert len(look(root, strict=True, corpus="ravdess")[0]) == 4


def test_two_named_corpora(tmp_path: Path) -> None:
    root = touch(tmp_path, ["03-01-01-01-01-01-01.wav", "03a01Fa.wav"])
    with pytest.raises(InputError, match=r"may be emodb, ravdess.*--corpus"):
        look(root, strict=True)
    found, console = look(root)
    assert counts(found, "label") == {None: 2}
    assert "may be emodb, ravdess" in console.text


def test_a_named_corpus_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="named like emodb's"):
        look(touch(tmp_path, ["a.wav"]), corpus="emodb")
    with pytest.raises(UsageError, match="no 'emo' among corpora"):
        look(tmp_path, corpus="emo")


def test_null_labels_keep_the_folders_name(tmp_path: Path) -> None:
    found, _ = look(touch(tmp_path / "mine", ["b/x.wav", "a.wav"]))
    assert [u.id for u in found] == ["mine/a", "mine/b/x"]
    assert counts(found, "corpus") == {"mine": 2}


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "is empty"), (["a.txt", "b/c.md"], "no audio file, only 2 other files")],
)
def test_no_audio(tmp_path: Path, names: list[str], message: str) -> None:
    for corpus in ("auto", "ravdess", "folder"):
        with pytest.raises(InputError, match=message):
            look(touch(tmp_path, names), corpus=corpus)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        look(tmp_path / "none")
    there = touch(tmp_path, ["a.wav"]) / "a.wav"
    found, console = look(there, tmp_path / "b.wav")
    assert len(found) == 1
    assert console.failures == 1


# files by name


def test_single_file_is_recognised_by_its_name(tmp_path: Path) -> None:
    name = "Actor_01/03-01-05-01-01-01-01.wav"
    (found,) = look(touch(tmp_path, [name]) / name)[0]
    assert (found.id, found.label) == ("ravdess/03-01-05-01-01-01-01", "anger")


def test_files_keep_their_order_and_meet_in_their_common_folder(tmp_path: Path) -> None:
    root = touch(tmp_path / "all", ["b/x.wav", "a/x.wav", "c.flac"])
    found, _ = look(root / "c.flac", root / "b/x.wav", root / "a/x.wav")
    assert [u.id for u in found] == ["all/c", "all/b/x", "all/a/x"]


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, ["one/a.wav", "two/b.wav"])
    monkeypatch.chdir(tmp_path / "one")
    assert look(Path("../two"))[0][0].path == str(tmp_path / "two" / "b.wav")
    assert look(Path("."))[0][0].id == "one/a"


# ids


def test_two_files_of_one_stem_keep_the_suffix(tmp_path: Path) -> None:
    found, _ = look(touch(tmp_path / "c", ["a.wav", "a.flac", "b.wav"]))
    assert sorted(u.id for u in found) == ["c/a.flac", "c/a.wav", "c/b"]


def test_two_files_with_one_id_are_both_named(tmp_path: Path) -> None:
    one = touch(tmp_path / "x" / "ravdess", ["03-01-01-01-01-01-01.wav"])
    two = touch(tmp_path / "y" / "ravdess", ["03-01-01-01-01-01-01.wav"])
    with pytest.raises(InputError) as error:
        look(one, two)
    assert str(one) in str(error.value)
    assert str(two) in str(error.value)


def test_one_file_given_twice(tmp_path: Path) -> None:
    root = touch(tmp_path / "c", ["a/x.wav"])
    with pytest.raises(InputError, match="twice"):
        look(root, root)
    with pytest.raises(InputError, match="twice, as c/a/x and a/x"):
        look(root, root / "a")


def test_names_that_are_not_utf8_and_newlines(tmp_path: Path) -> None:
    odd = [b"\xe4rger.wav".decode("utf-8", "surrogateescape"), "two\nlines.wav"]
    found, console = look(touch(tmp_path / "c", odd))
    assert sorted(u.id for u in found) == ["c/\\xe4rger", "c/two\nlines"]
    assert all(line.isprintable() for line in console.lines)
    for utterance in found:
        utterance.id.encode("utf-8")
        utterance.path.encode("utf-8")


# class-named folders


def test_folder(tmp_path: Path) -> None:
    root = touch(tmp_path / "mine", ["angry/1.wav", "01_Happy/sub/2.wav", "guilt/3.wav", "4.wav"])
    found, console = look(root)
    assert [(u.id, u.label, u.raw_label) for u in found] == [
        ("mine/01_Happy/sub/2", "happiness", "01_Happy"),
        ("mine/angry/1", "anger", "angry"),
        ("mine/guilt/3", "guilt", "guilt"),
    ]
    assert console.failures == 1
    assert "4.wav: no parent folder is named after a class" in console.text
    assert counts(found, "speaker") == {None: 3}


def test_folder_classes_below_speakers(tmp_path: Path) -> None:
    root = touch(tmp_path, ["amy/sad/1.wav", "bob/sad/1.wav", "bob/odd/2.wav"])
    assert counts(look(root)[0], "label") == {"sadness": 2, "odd": 1}
    assert folder.class_depth(["a/b/c.wav"]) is None


def test_folder_by_name_takes_any_words(tmp_path: Path) -> None:
    root = touch(tmp_path, ["Yes/1.wav", "No/2.wav"])
    assert counts(look(root)[0], "label") == {None: 2}
    assert counts(look(root, corpus="folder")[0], "label") == {"yes": 1, "no": 1}


# the real ones


def test_real_ravdess(corpora: Path) -> None:
    found, console = look(corpora / "ravdess")
    assert len(found) == 1440
    assert counts(found, "label") == load("ravdess").published(corpora, found).classes
    assert counts(found, "speaker") == {f"{actor:02d}": 60 for actor in range(1, 25)}
    assert "published" not in console.text


def test_real_emodb(corpora: Path) -> None:
    found, console = look(corpora / "emodb-2s")
    assert counts(found, "label") == EMODB.classes
    assert counts(found, "speaker") == EMODB.speakers
    assert "published" not in console.text


def test_real_emodb_of_four_classes(corpora: Path) -> None:
    found, console = look(corpora / "emodb-339")
    assert counts(found, "label") == {
        "anger": 127,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    }
    assert "boredom 0/81, disgust 0/46, fear 0/69" in console.text
    assert console.exit_code == 0


def test_a_corpus_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = data_path("corpora", "urdu.toml").read_text(encoding="utf-8")
    path.write_text(text.replace('M = "male"', 'M = "other"'), encoding="utf-8")
    corpus = named.read(path)
    assert corpus.name == "mine"
    (item,) = corpus.utterances(tmp_path, ["Angry/sm12_F1_a01.wav"])
    assert (item.speaker, item.gender, item.label, item.raw_label) == (
        "SM12",
        "other",
        "anger",
        "A",
    )
    assert (item.language, item.text, item.extra) == ("ur", None, {})


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('title = "URDU"', "", "title is missing"),
        ('title = "URDU"', "titel = 1", "titel"),
        ('label = "=emotion"', 'label = "=mood"', "name has no group mood"),
        (r"(?P<sex>[a-z])", "(?P<sex>[a-z]", "unterminated|missing"),
        ("[fields]", "[fields", "Expected|expected"),
    ],
)
def test_a_damaged_description_is_one_line(tmp_path: Path, old: str, new: str, why: str) -> None:
    path = tmp_path / "mine.toml"
    text = data_path("corpora", "urdu.toml").read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=why):
        named.read(path)


def test_a_recording_is_one_however_its_speaker_is_written(tmp_path: Path) -> None:
    files = ["AudioData/DC/a01.wav", "AudioVisualClip/DC_a01.avi"]
    first, second = load("savee").utterances(tmp_path, files)
    assert first.speaker == "DC"
    assert (type(second).__name__, second.reason) == (
        "Skipped",
        "the same recordings in another format",
    )
