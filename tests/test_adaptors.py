"""Corpora by their published names: classes, speakers, genders, sentences, tables, and strays."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trees
from corpus_trees import counts, look, touch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sertool import corpora
from sertool.core.errors import InputError
from sertool.corpora import Skipped, labels
from sertool.items import Item

NOWHERE = Path("/nowhere/at/all")
NAMES: dict[str, list[str]] = {
    "crema-d": trees.crema_d(),
    "des": trees.des(),
    "emodb": trees.emodb(),
    "emovo": trees.emovo(),
    "esd": trees.esd(),
    "meld": trees.meld(),
    "mes": trees.mes(),
    "ravdess": trees.ravdess(),
    "savee": trees.savee(),
    "tess": trees.tess(),
    "urdu": trees.urdu(),
}
OTHERS = {
    "savee": trees.savee(flat=True),
    "tess": trees.tess(flat=True),
    "des": trees.des(flat=True),
    "mes": trees.mes(flat=True),
    "ravdess": trees.ravdess("02"),
    "crema-d": trees.crema_d("AudioMP3", ".mp3"),
    "iemocap": [
        f"Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M{n:03d}.wav" for n in (0, 1)
    ],
    "demo": ["spk01/spk01_anger_s1_r1.flac"],
}
NAMED = [name for name in corpora.CORPORA if not corpora.load(name).generic]
# in the six that are the same in every corpus that has six
SIX = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
FOUR = ("anger", "happiness", "neutral", "sadness")


def made(name: str, files: Iterable[str], root: Path = NOWHERE) -> list[Item]:
    """What an adaptor makes of files, none of which it leaves out."""
    found = list(corpora.load(name).utterances(root, list(files)))
    assert not [item for item in found if isinstance(item, Skipped)]
    return [item for item in found if isinstance(item, Item)]


# counts of whole corpora

WHOLE: list[tuple[str, dict[str, int], dict[str, int], int, str]] = [
    ("savee", dict.fromkeys(SIX, 60) | {"neutral": 120}, {"male": 480}, 4, "en"),
    ("emovo", dict.fromkeys((*SIX, "neutral"), 84), {"female": 294, "male": 294}, 6, "it"),
    ("tess", dict.fromkeys((*SIX, "neutral"), 400), {"female": 2800}, 2, "en"),
    (
        "crema-d",
        dict.fromkeys(set(SIX) - {"surprise"}, 1271) | {"neutral": 1087},
        {"male": 3930, "female": 3512},
        91,
        "en",
    ),
    ("urdu", dict.fromkeys(FOUR, 100), {"male": 344, "female": 56}, 29, "ur"),
    ("des", dict.fromkeys((*FOUR, "surprise"), 52), {"female": 130, "male": 130}, 4, "da"),
    (
        "emodb",
        {"anger": 127, "boredom": 81, "disgust": 46, "fear": 69, "happiness": 71}
        | {"neutral": 79, "sadness": 62},
        {"female": 302, "male": 233},
        10,
        "de",
    ),
    (
        "ravdess",
        dict.fromkeys((*SIX, "calm"), 192) | {"neutral": 96},
        {"female": 720, "male": 720},
        24,
        "en",
    ),
]


@pytest.mark.parametrize(("name", "classes", "genders", "speakers", "language"), WHOLE)
def test_counts_are_the_published_ones(
    name: str, classes: dict[str, int], genders: dict[str, int], speakers: int, language: str
) -> None:
    found = made(name, NAMES[name])
    assert counts(found, "label") == classes
    assert counts(found, "gender") == genders
    assert len(counts(found, "speaker")) == speakers
    assert set(counts(found, "language")) == {language}
    assert None not in map(labels.folder_noun, classes)
    published = corpora.load(name).published(NOWHERE, found)
    assert published is not None
    assert (counts(found, "label"), counts(found, "speaker")) == (
        published.classes,
        published.speakers,
    )
    for speaker in counts(found, "speaker"):  # one person, one gender
        assert len({u.gender for u in found if u.speaker == speaker}) == 1


@pytest.mark.parametrize("name", ["savee", "tess", "des", "mes"])
def test_flat_and_in_folders_are_the_same(name: str) -> None:
    fields = ("speaker", "gender", "label", "raw_label", "text", "language")
    one, two = (
        Counter(tuple(getattr(u, field) for field in fields) for u in made(name, files))
        for files in (NAMES[name], OTHERS[name])
    )
    assert one == two


@pytest.mark.parametrize(
    ("name", "sentences", "each"),
    [("emovo", 14, 42), ("tess", 200, 14), ("des", 13, 20), ("ravdess", 2, 720)],
)
def test_every_sentence_is_said_equally_often(name: str, sentences: int, each: int) -> None:
    texts = counts(made(name, NAMES[name]), "text")
    assert None not in texts
    assert (len(texts), set(texts.values())) == (sentences, {each})


def test_sentences_of_crema_d_and_emodb() -> None:
    texts = counts(made("crema-d", NAMES["crema-d"]), "text")
    assert len(texts) == 12
    assert texts["It's eleven o'clock"] == 91 * 16
    assert texts["That is exactly what happened"] == 91 * 6 - 1
    assert texts["I think I have a doctor's appointment"] == 90 * 6
    assert len(counts(made("emodb", NAMES["emodb"]), "text")) == 10


@pytest.mark.parametrize("name", ["savee", "urdu"])
def test_unknown_sentences_are_null(name: str) -> None:
    assert counts(made(name, NAMES[name]), "text") == {None: len(NAMES[name])}


def test_ravdess_song() -> None:
    found = made("ravdess", OTHERS["ravdess"])
    song = dict.fromkeys(("calm", "happiness", "sadness", "anger", "fear"), 184)
    assert counts(found, "label") == song | {"neutral": 92}
    assert set(counts(found, "speaker").values()) == {44}
    assert counts(found, "gender") == {"male": 528, "female": 484}
    published = corpora.load("ravdess").published(NOWHERE, found)
    assert published is not None
    assert published.speakers == counts(found, "speaker")


# fields of single recordings


def fields(name: str, relative: str, root: Path = NOWHERE) -> tuple[Any, ...]:
    (u,) = made(name, [relative], root)
    return u.speaker, u.gender, u.label, u.raw_label, u.text, u.extra


def test_fields() -> None:
    savee = ("KL", "male", "sadness", "sa", None, {"sentence": "sa07"})
    assert fields("savee", "KL/sa07.wav") == fields("savee", "KL_sa07.wav") == savee
    assert fields("savee", "x/DC/AudioData/n30.wav")[:3] == ("DC", "male", "neutral")
    assert fields("emovo", "m2/gio-m2-l4.wav") == (
        "m2",
        "male",
        "happiness",
        "gio",
        "Vorrei il numero telefonico del Signor Piatti.",
        {"sentence": "l4"},
    )
    surprise = ("YAF", "female", "surprise", "ps", "back", {"age": 26})
    assert fields("tess", "YAF_pleasant_surprised/YAF_back_ps.wav") == surprise
    assert fields("tess", "YAF_back_pleasant_surprised.wav") == surprise
    bite = ("OAF", "female", "neutral", "neutral", "bite", {"age": 64})
    assert fields("tess", "OAF_neutral/OA_bite_neutral.wav") == bite
    assert fields("urdu", "Happy/SF10_F2_H0100.wav")[:4] == ("SF10", "female", "happiness", "H")
    assert fields("des", "M1/sad/p2_3.wav") == (
        "M1",
        "male",
        "sadness",
        "sad",
        "p2",
        {"repetition": "3"},
    )
    assert fields("mes", "F12_Happy_t5.wav")[:5] == ("F12", "female", "happiness", "Happy", "t5")


# one recording in several formats


def test_sound_without_loss_comes_before_copies_and_films(tmp_path: Path) -> None:
    clips = trees.crema_d()[:30] + trees.crema_d("AudioMP3", ".mp3")[:31]
    found, console = look(touch(tmp_path / "c", clips))
    assert counts(found, "corpus") == {"crema-d": 31}
    assert Counter(Path(u.path).suffix for u in found) == {".wav": 30, ".mp3": 1}
    assert "30 files left out: the same recordings in another format" in console.text
    films = ["AudioVisualClip/DC/a01.avi", "AudioData/DC/a01.wav", "AudioData/JE/a01.wav"]
    found, console = look(touch(tmp_path / "s", films))
    assert [u.id for u in found] == ["savee/AudioData/DC/a01", "savee/AudioData/JE/a01"]
    assert console.failures == 0


def test_the_same_name_twice_in_one_format_is_kept_twice(tmp_path: Path) -> None:
    found, _ = look(touch(tmp_path, ["a/DC/a01.wav", "b/DC/a01.wav"]))
    assert len(found) == 2


def test_emovo_in_mono_and_stereo(tmp_path: Path) -> None:
    names = trees.emovo()[:20]
    for folder in ("mono", "EMOVO_stereo"):
        found, console = look(touch(tmp_path, [f"{folder}/{name}" for name in names]))
        assert len(found) == 20
    assert "20 files left out: the same recordings in mono" in console.text
    assert {Path(u.path).parts[-3] for u in found} == {"EMOVO_stereo"}
    assert "more than published" not in console.text


# recognition


@pytest.mark.parametrize("kind", ["one", "other"])
def test_no_corpus_claims_anothers_tree(tmp_path: Path, kind: str) -> None:
    root = trees.meld_root(tmp_path)
    trees.write(root, {"0001.txt": b"", "VideoDemographics.csv": b""})
    for name, files in (NAMES if kind == "one" else OTHERS).items():
        some = files[:: 1 + len(files) // 1500]
        for other in NAMED:
            corpus = corpora.load(other)
            if other == "iemocap" or name == "iemocap":
                assert corpus.claim(root, some) == (other == name), (name, other)
                continue
            assert list(map(corpus.fits, some)) == [other == name] * len(some), (name, other)
            assert corpus.claim(root, some) == (other == name), (name, other)


@pytest.mark.parametrize("name", sorted({*NAMES, *OTHERS} - {"iemocap", "esd"}))
def test_auto_takes_what_it_is(tmp_path: Path, name: str) -> None:
    root = trees.meld_root(tmp_path) if name == "meld" else tmp_path / "unpacked"
    files = NAMES.get(name, OTHERS.get(name, []))
    found, console = look(touch(root, files[:: 1 + len(files) // 50]), strict=True)
    assert set(counts(found, "corpus")) == {name}
    assert console.failures == 0
    assert f"corpus {name}," in console.text


@pytest.mark.parametrize("name", ["savee", "emovo", "urdu", "emodb", "des"])
def test_whole_trees_agree_with_what_was_published(tmp_path: Path, name: str) -> None:
    found, console = look(touch(tmp_path, NAMES[name]))
    assert len(found) == len(NAMES[name])
    assert "published" not in console.text
    os.remove(found[0].path)
    assert "differs from the published counts" in look(tmp_path)[1].text


def test_two_corpora_in_one_folder_are_not_guessed(tmp_path: Path) -> None:
    root = touch(tmp_path, trees.savee()[:10] + trees.emovo()[:10])
    with pytest.raises(InputError, match="may be emovo, savee; name it with --corpus"):
        look(root, strict=True)


def test_folders_of_classes_are_no_des(tmp_path: Path) -> None:
    found, _ = look(touch(tmp_path / "mine", ["F1/anger/1.wav", "M2/sad/take s1.wav"]))
    assert counts(found, "label") == {"anger": 1, "sadness": 1}
    assert set(counts(found, "corpus")) == {"mine"}


CASES: list[Callable[[str], str]] = [str, str.upper, str.lower, str.swapcase]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "meld"])
@settings(max_examples=20, deadline=None)
@given(
    draw=st.randoms(use_true_random=False),
    above=st.lists(st.sampled_from(["x", "My Corpora", "v1.0", "wav", "Ünder", "1"]), max_size=4),
    case=st.sampled_from(CASES),
    suffix=st.sampled_from([".wav", ".WAV", ".flac", ".Mp3", ".m4a", ".ogg"]),
)
def test_any_nesting_case_and_suffix(
    name: str, draw: random.Random, above: list[str], case: Callable[[str], str], suffix: str
) -> None:
    plain = draw.sample(NAMES[name], 5)
    varied = ["/".join([*above, case(os.path.splitext(file)[0]) + suffix]) for file in plain]
    assert corpora.load(name).claim(NOWHERE, varied)
    for one, two in zip(made(name, plain), made(name, varied), strict=True):
        assert (one.speaker, one.gender, one.label) == (two.speaker, two.gender, two.label)
        assert (one.text, one.language, one.part) == (two.text, two.language, two.part)


# strays

STRAYS = [
    ("savee", "DC_x99.wav", "not named like SAVEE's files (DC/a01 or DC_a01): emotion 'x'"),
    ("savee", "XX_a01.wav", "speaker 'XX' is unknown"),
    ("savee", "a01.wav", "not named like SAVEE's files (DC/a01 or DC_a01)"),
    ("savee", "DC/a16.wav", "not named like SAVEE's"),
    ("savee", "DC/n31.wav", "number '31' is unknown"),
    ("savee", "DC/a00.wav", "number '00' is unknown"),
    ("emovo", "f1/noi-f1-b1.wav", "(dis-f1-b1): emotion 'noi' is unknown"),
    ("emovo", "dis-f4-b1.wav", "speaker 'f4' is unknown"),
    ("emovo", "dis-f1-b4.wav", "sentence 'b4' is unknown"),
    ("tess", "OAF_back_bored.wav", "(OAF_back_angry): emotion 'bored' is unknown"),
    ("tess", "OAF_xylophone_angry.wav", "word 'xylophone' is unknown"),
    ("tess", "MAF_back_angry.wav", "speaker 'MAF' is unknown"),
    ("crema-d", "1001_DFA_BOR_XX.wav", "(1001_DFA_ANG_XX): emotion 'BOR' is unknown"),
    ("crema-d", "1092_DFA_ANG_XX.wav", "actor '1092' is unknown"),
    ("crema-d", "1000_DFA_ANG_XX.wav", "actor '1000' is unknown"),
    ("crema-d", "1001_DFA_ANG_YY.wav", "intensity 'YY' is unknown"),
    ("urdu", "SM1_F1_F01.wav", "(SM1_F1_A01): emotion 'F' is unknown"),
    ("urdu", "SX1_F1_A01.wav", "sex 'X' is unknown"),
    ("esd", "0021_000001.wav", "(0001_000351): speaker '0021' is unknown"),
    ("esd", "0001_001751.wav", "number '001751' is unknown"),
    ("esd", "0001_000000.wav", "number '000000' is unknown"),
    ("esd", "0001/Happy/0001_000351.wav", "its number stands for anger, its folder for happiness"),
    ("des", "F1/boredom/s1.wav", "not named like DES's files (F1/anger/s1 or"),
    ("des", "F3/anger/s1.wav", "not named like DES's files"),
    ("des", "F1/anger/s10.wav", "not named like DES's files"),
    ("mes", "F1/anger/s1.wav", "not named like MES's files (F1/anger/t01 or"),
    ("emodb", "03a01Xa.wav", "not named like EmoDB's files (03a01Fa): emotion 'X' is unknown"),
    ("emodb", "04a01Fa.wav", "speaker '04' is unknown"),
    ("ravdess", "03-01-09-01-01-01-01.wav", "RAVDESS's files (03-01-05-01-01-01-01): emotion"),
    ("ravdess", "03-01-01-01-01-01-25.wav", "actor '25' is unknown"),
    *((name, "notes to self.wav", "not ") for name in NAMES if name != "meld"),
]


@pytest.mark.parametrize(("name", "stray", "message"), STRAYS)
def test_a_stray_is_named_and_counted(tmp_path: Path, name: str, stray: str, message: str) -> None:
    root = touch(tmp_path, [NAMES[name][0], NAMES[name][1], stray])
    found, console = look(root)
    assert counts(found, "corpus") == {name: 2}
    assert console.failures == 1
    assert f"{Path(stray).name}: " in console.text
    assert message in console.text


@pytest.mark.parametrize("digit", ["\u0663", "\uff13", "\u212a", "\u017f"])  # 3, 3, K, s
def test_letters_and_digits_of_other_scripts_are_strays(digit: str) -> None:
    for name, files in NAMES.items():
        relative = files[0]
        for i, letter in enumerate(relative):
            if letter in "3KkSs" and i > relative.rfind("/"):
                assert not corpora.load(name).fits(relative[:i] + digit + relative[i + 1 :])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
        .filter(lambda text: text.strip("/. ") != "")
        .map(lambda text: text.strip("/") + ".wav"),
        max_size=5,
    )
)
def test_any_names_at_all(names: list[str]) -> None:
    for name in NAMES:
        corpus = corpora.load(name)
        assert all(isinstance(fitting, bool) for fitting in map(corpus.fits, names))
        if name != "meld":
            found = list(corpus.utterances(NOWHERE, names))
            assert len(found) == len(names)
            corpus.published(NOWHERE, [u for u in found if isinstance(u, Item)])


# order, places


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_order_of_the_files_changes_nothing(tmp_path: Path, name: str) -> None:
    root = (
        trees.meld_root(tmp_path) if name == "meld" else trees.write(tmp_path, trees.esd_tables())
    )
    files = NAMES[name][:: 1 + len(NAMES[name]) // 300] + OTHERS.get(name, [])[:50]
    shuffled = random.Random(1).sample(files, len(files))
    one, two = (
        sorted(map(repr, corpora.load(name).utterances(root, order))) for order in (files, shuffled)
    )
    assert one == two
