"""Corpora that need more than names: the tables of CREMA-D's actors, of ESD and of MELD."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trees
from corpus_trees import counts, look, touch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sertool import corpora
from sertool.core.errors import InputError
from sertool.corpora import crema_d, esd, layout, meld
from sertool.items import Item

NOWHERE = Path("/nowhere/at/all")


def made(name: str, files: Iterable[str], root: Path = NOWHERE) -> list[Item]:
    """What an adaptor makes of files, none of which it leaves out."""
    found = list(corpora.load(name).utterances(root, list(files)))
    utterances = [item for item in found if isinstance(item, Item)]
    assert len(utterances) == len(found)
    return utterances


# CREMA-D


def test_crema_d_fields_with_and_without_the_table_of_actors(tmp_path: Path) -> None:
    def fields(name: str, relative: str, root: Path = NOWHERE) -> tuple[Any, ...]:
        (u,) = made(name, [relative], root)
        return u.speaker, u.gender, u.label, u.raw_label, u.text, u.extra

    bare = fields("crema-d", "AudioWAV/1034_IEO_DIS_HI.wav")
    extra = {"sentence": "IEO", "intensity": "high"}
    assert bare == ("1034", "male", "disgust", "DIS", "It's eleven o'clock", extra)
    table = (
        '"ActorID","Age","Sex","Race","Ethnicity"\n'
        '1034,74,"Male","Caucasian","Not Hispanic"\n1002,21,"Male","Caucasian",""\n'
    )
    (tmp_path / "VideoDemographics.csv").write_text(table)
    for root, relative in ((tmp_path, "AudioWAV/"), (tmp_path / "AudioWAV", "")):
        found = fields("crema-d", f"{relative}1034_IEO_DIS_HI.wav", root)
        further = {"age": 74, "race": "Caucasian", "ethnicity": "Not Hispanic"}
        assert found == (*bare[:5], extra | further)
        actor = fields("crema-d", f"{relative}1002_DFA_ANG_XX.wav", root)
        assert actor[1] == "male"  # the table counts before what is known without it
        assert actor[5]["ethnicity"] is None
        # an actor that the table lacks
        assert fields("crema-d", f"{relative}1003_DFA_ANG_XX.wav", root)[1] == "female"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2\n",
        b"\xff\xfe\0\1\n",
        b"ActorID,Age,Sex,Race,Ethnicity\n",
        b"ActorID,Age,Sex,Race,Ethnicity\n1001\n",
        b"ActorID,Age,Sex,Race,Ethnicity\n1001,old,Male,,\n",
    ],
)
def test_a_broken_table_of_actors_is_named(tmp_path: Path, content: bytes) -> None:
    trees.write(tmp_path, {"VideoDemographics.csv": content})
    root = touch(tmp_path, ["AudioWAV/1001_DFA_ANG_XX.wav"])
    found, console = look(root)
    assert [(u.speaker, u.gender) for u in found] == [("1001", "male")]
    assert "VideoDemographics.csv" in console.text
    assert console.failures == 1


def test_votes_of_crema_d_are_those_of_who_only_heard(tmp_path: Path) -> None:
    (tmp_path / "processedResults").mkdir()
    table = tmp_path / "processedResults" / "tabulatedVotes.csv"
    table.write_text(
        '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n'
        '"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11,0.909090909090909,"N"\n'
        '"100009",5,5,0,0,1,1,"1001_IEO_ANG_MD",12,0.416666666666667,"A:D"\n'
        '"200001",9,0,0,0,1,0,"1001_IEO_NEU_XX",10,0.9,"A"\n'
        '"300001",8,0,0,0,1,0,"1001_IEO_NEU_XX",9,0.9,"A"\n'
        '"107443",8,0,0,0,1,0,"ANG_HI_practice",9,0.9,"A"\n'
    )
    for root, folder in ((tmp_path, "AudioWAV/"), (tmp_path / "AudioWAV", "")):
        names = [f"{folder}1001_IEO_{end}.wav" for end in ("NEU_XX", "ANG_MD", "DIS_LO")]
        one, two, three = made("crema-d", names, root)
        assert one.extra["votes"] == {"happiness": 1, "neutral": 10}
        assert (one.label, one.extra["perceived"]) == ("neutral", "neutral")
        assert two.extra["votes"] == {"anger": 5, "disgust": 5, "neutral": 1, "sadness": 1}
        assert (two.label, two.extra["perceived"]) == ("anger", None)
        assert three.extra["votes"] is None
    table.write_text("a,b\n1,2\n")
    found = list(corpora.load("crema-d").utterances(tmp_path, names))
    assert "not the table of votes" in str(found[0])


def test_women_of_crema_d() -> None:
    assert len(crema_d.WOMEN) == 43


# ESD


def test_esd_whole_with_its_tables(tmp_path: Path) -> None:
    root = trees.write(tmp_path, trees.esd_tables())
    found = made("esd", trees.esd(), root)
    names = ("neutral", "anger", "happiness", "sadness", "surprise")
    assert counts(found, "label") == dict.fromkeys(names, 7000)
    assert set(counts(found, "speaker").values()) == {1750}
    assert counts(found, "gender") == {"female": 17500, "male": 17500}
    assert counts(found, "language") == {"zh": 17500, "en": 17500}
    assert counts(found, "part") == {"train": 30000, "val": 2000, "test": 3000}
    assert set(counts(found, "text").values()) == {50}  # five emotions, ten speakers
    first = next(u for u in found if u.id.endswith("0016_000386.wav"))
    assert (first.text, first.extra) == ("The nine the eggs, I keep 36.", {"sentence": "036"})
    assert (first.label, first.raw_label, first.gender) == ("anger", "Angry", "female")
    published = esd.published(root, found)
    assert published.classes == counts(found, "label")
    assert published.speakers == counts(found, "speaker")
    english = [u for u in found if u.language == "en"]
    assert esd.published(root, english).speakers == counts(english, "speaker")


def test_esd_genders_are_those_of_its_readme() -> None:
    found = made("esd", trees.esd()[::1000])
    women = {u.speaker for u in found if u.gender == "female"}
    assert women == {f"00{n:02d}" for n in (1, 2, 3, 7, 9, 15, 16, 17, 18, 19)}


def test_each_table_of_esd_is_read_by_itself(tmp_path: Path) -> None:
    root = trees.write(tmp_path, trees.esd_tables())
    for speaker in range(1, 21):
        language = "zh" if speaker <= 10 else "en"
        assert esd.sentences([root / f"{speaker:04d}" / f"{speaker:04d}.txt"]) == {
            (language, n - 1): trees.esd_sentence(speaker, n) for n in range(1, 351)
        }


def test_esd_without_parts_and_tables() -> None:
    found = made("esd", trees.esd(split=False)[::50])
    assert counts(found, "part") == {None: 700}
    assert counts(found, "text") == {None: 700}


def test_esd_takes_the_most_frequent_spelling(tmp_path: Path) -> None:
    lines = {
        "0011": "0011_000001\tNine eggs.\tNeutral\n0011_000351 Nine  eggs. Angry\nnonsense\n",
        "0012": "0012_000701\tNine egs\tHappy\n0012_000002\tTen.\tNeutral\n\n",
        "0013": "0013_000001\t\tNeutral\n" + "0013_000001 " + "a " * 5000 + "\n",
    }
    for speaker, text in lines.items():
        trees.write(tmp_path, {f"{speaker}/{speaker}.txt": text.encode("cp1252")})
    files = [f"{speaker}/Sad/{speaker}_001051.wav" for speaker in ("0011", "0012", "0020")]
    found = made("esd", [*files, "0020/Neutral/0020_000002.wav"], tmp_path)
    assert [u.text for u in found] == ["Nine eggs."] * 3 + ["Ten."]
    assert made("esd", ["Sad/0012_001051.wav"], tmp_path / "0012")[0].text == "Nine egs"


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200), speaker=st.sampled_from(["0001", "0011"]))
def test_esd_reads_any_bytes(content: bytes, speaker: str) -> None:
    assert isinstance(esd.decode(content, speaker), str)
    assert isinstance(esd.decode(b"\xff\xfe" + content, speaker), str)


# MELD


def test_meld_whole(tmp_path: Path) -> None:
    found = made("meld", trees.meld(), trees.meld_root(tmp_path))
    assert counts(found, "label") == {
        "anger": 1607,
        "disgust": 361,
        "fear": 358,
        "happiness": 2308,
        "neutral": 6436,
        "sadness": 1002,
        "surprise": 1636,
    }
    assert counts(found, "part") == {"train": 9989, "val": 1109, "test": 2610}
    assert meld.published(tmp_path, found).classes == counts(found, "label")
    dev = [u for u in found if u.part == "val"]
    assert meld.published(tmp_path, dev).classes == counts(dev, "label")
    assert {u.gender for u in found if u.speaker == "Rachel"} == {"female"}
    assert {u.gender for u in found if u.speaker in ("Gunther", "All")} == {None}
    assert len(counts(found, "session")) == 1039 + 114 + 280
    joy = next(u for u in found if u.label == "happiness")
    assert (joy.raw_label, joy.extra["sentiment"], joy.extra["season"]) == ("joy", "positive", "8")


def test_meld_text_is_words(tmp_path: Path) -> None:
    utterances = [
        "You\u2019re  my\tfriend!",
        '"You\'re my Friend..."',
        "YOU\x92RE my friend",
        "...",
    ]
    rows = "".join(
        f'{i},"{text.replace(chr(34), chr(34) * 2)}", Ross ,anger,negative,0,{i}\n'
        for i, text in enumerate(utterances)
    )
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    trees.write(tmp_path, {"dev_sent_emo.csv": (header + rows).encode()})
    found = made("meld", [f"dia0_utt{i}.wav" for i in range(4)], tmp_path)
    assert counts(found, "text") == {"you're my friend": 3, None: 1}
    assert counts(found, "speaker") == {"Ross": 4}
    assert [u.extra["transcription"] for u in found][:2] == [
        "You're my friend!",
        '"You\'re my Friend..."',
    ]
    assert set(counts(found, "part")) == {"val"}  # the only table tells the part


def test_meld_wherever_its_tables_lie(tmp_path: Path) -> None:
    tables = trees.meld_tables()
    places = {
        "train/train_sent_emo.csv": "train_sent_emo.csv",
        "Dev_sent_emo.CSV": "dev_sent_emo.csv",
    }
    places |= {"csv/test_sent_emo.csv": "test_sent_emo.csv"}
    root = trees.write(
        tmp_path / "MELD.Raw", {place: tables[name] for place, name in places.items()}
    )
    files = ["train/train_splits/dia0_utt1.mp4", "dev/dev_splits_complete/dia0_utt1.WAV"]
    files += ["output_repeated_splits_test/dia1_utt0.mp4"]
    found, console = look(touch(root, files), strict=True)
    assert [u.part for u in found] == ["val", "test", "train"]
    assert console.failures == 0
    assert found[2].id == "meld/train/train_splits/dia0_utt1"
    assert found[2].session == "train 0"
    # a part by itself, named by the folder that is given
    assert [u.part for u in look(root / "train" / "train_splits", strict=True)[0]] == ["train"]
    assert look(root / "train")[0][0].label == found[2].label


def test_meld_films_that_replace_others_or_have_no_row(tmp_path: Path) -> None:
    root = trees.meld_root(tmp_path)
    folder = "output_repeated_splits_test"
    files = [f"{folder}/dia1_utt2.mp4", f"{folder}/final_videos_testdia1_utt2.mp4"]
    files += [f"{folder}/dia1_utt3.mp4", f"{folder}/dia9999_utt3.mp4", f"{folder}/._dia1_utt2.mp4"]
    files += ["train_splits/dia1_utt2.mp4", "wav/train/dia1_utt2.wav"]
    found, console = look(touch(root, files))
    assert [Path(u.path).name for u in found] == [
        "dia1_utt3.mp4",
        "final_videos_testdia1_utt2.mp4",
        "dia1_utt2.wav",
    ]
    for line in ("also present as final_videos_test", "not in any MELD table", "another format"):
        assert f"1 file left out: {line}" in console.text or line in console.text
    assert console.failures == 0


def test_meld_without_its_tables(tmp_path: Path) -> None:
    root = touch(tmp_path / "films", ["train_splits/dia0_utt0.mp4", "train_splits/dia0_utt1.mp4"])
    found, console = look(root)
    assert counts(found, "label") == {None: 2}
    assert "labels are null" in console.text
    with pytest.raises(InputError, match=r"no train_sent_emo\.csv in it or above"):
        look(root, corpus="meld")
    trees.write(root, {"dev_sent_emo.csv": trees.meld_tables()["dev_sent_emo.csv"]})
    with pytest.raises(InputError, match=r"no train_sent_emo\.csv"):
        look(root)


def test_meld_recordings_of_no_part(tmp_path: Path) -> None:
    root = touch(
        trees.meld_root(tmp_path), ["clips/dia0_utt0.wav", "test_splits/dia0_utt0.wav", "x.wav"]
    )
    found, console = look(root)
    assert [u.part for u in found] == ["test"]
    assert "no parent folder says train, dev or test" in console.text
    assert "x.wav: not named like MELD's files" in console.text
    assert console.failures == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column Utterance"),
        (b"a,b\n", "no column Utterance"),
        (b"Utterance,Speaker,Emotion,Dialogue_ID\n", "no column Utterance_ID"),
        (b"\xff\xfeU\0t\0", "no column Utterance"),
    ],
)
def test_meld_table_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    trees.write(tmp_path, {"train_sent_emo.csv": content})
    with pytest.raises(InputError, match=message):
        look(touch(tmp_path, ["train_splits/dia0_utt0.mp4"]))


def test_meld_lines_that_say_nothing_are_named(tmp_path: Path) -> None:
    table = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\nHi,Ross,joy,0,0\nHo,Ross,joy,x,1\n"
    table += "Ha,,joy,0,2\nshort\nHm,Ross,bliss,0,3\nHi again,Joey,fear,0,0\n"
    trees.write(tmp_path, {"train_sent_emo.csv": table.encode()})
    films = ["train_splits/dia0_utt0.mp4", "train_splits/dia0_utt3.mp4"]
    found, console = look(touch(tmp_path, films))
    assert [(u.speaker, u.label) for u in found] == [("Ross", "happiness")]
    assert console.failures == 4
    assert "train_sent_emo.csv line 3: Dialogue_ID or Utterance_ID is not a number" in console.text
    assert "line 4: an empty cell" in console.text
    assert "dia0_utt3.mp4: emotion 'bliss' is none of the corpus's" in console.text


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda t: t.encode())))
def test_meld_reads_any_table(tmp_path: Path, content: bytes) -> None:
    header = b"Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
    for start in (b"", header):
        (tmp_path / "train_sent_emo.csv").write_bytes(start + content)
        with suppress(InputError):
            list(meld.utterances(tmp_path, ["train/dia0_utt0.wav", "train/dia1_utt1.wav"]))


# where tables are sought


def test_tables_are_sought_near_the_recordings_only(tmp_path: Path) -> None:
    pattern = meld.TABLE
    trees.write(tmp_path, {"train_sent_emo.csv": b"", "a/b/c/d/dev_sent_emo.csv": b""})
    trees.write(tmp_path, {"far/away/dev_sent_emo.csv": b"", ".hidden/test_sent_emo.csv": b""})
    found = layout.tables(tmp_path / "a" / "b", ["c/d/dia0_utt0.wav"], pattern)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "train_sent_emo.csv",
        "a/b/c/d/dev_sent_emo.csv",
    ]
    (tmp_path / "a" / "b" / "test_sent_emo.csv").mkdir()  # a folder is no table
    assert len(layout.tables(tmp_path / "a" / "b", ["c/d/dia0_utt0.wav"], pattern)) == 2
