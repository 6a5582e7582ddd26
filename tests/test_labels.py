"""Label maps: nouns, synonyms, the maps that come with sertool, and maps of the user's own."""

from collections import Counter
from pathlib import Path

import pytest

from sertool import labels
from sertool.corpora import emodb, ravdess
from sertool.errors import InputError, UsageError

HOUSE = ["anger", "anxiety", "boredom", "calm", "contempt", "disgust", "fear", "happiness"]
HOUSE += ["neutral", "sadness", "surprise"]


@pytest.mark.parametrize(
    ("word", "noun"),
    [
        ("angry", "anger"),
        ("Happy", "happiness"),
        ("joy", "happiness"),
        ("SAD", "sadness"),
        (" fearful ", "fear"),
        ("disgusted", "disgust"),
        ("bored", "boredom"),
        ("surprised", "surprise"),
        ("pleasant_surprise", "surprise"),
        ("Sarcasm", "sarcasm"),
        ("A1", "a1"),
    ],
)
def test_noun(word: str, noun: str) -> None:
    assert labels.noun(word) == noun


def test_house_nouns_are_their_own() -> None:
    assert [labels.noun(word) for word in HOUSE] == HOUSE


@pytest.mark.parametrize(
    ("name", "noun"), [("01_Happy", "happiness"), ("angry-2", "anger"), ("Actor_01", None)]
)
def test_folder_noun(name: str, noun: str | None) -> None:
    assert labels.folder_noun(name) == noun


def test_every_map_loads_and_names_its_source() -> None:
    assert labels.names()[0] == "native"
    for name, line in labels.label_maps():
        assert line
        assert labels.load(name).source


def test_fser8_gives_the_counts_of_the_papers_first_table() -> None:
    # Dossou & Gbenou 2021, Table 1, columns Emo-DB and RAVDESS added
    paper = {"anger": 127 + 192, "anxiety": 69 + 192, "calm": 81 + 192, "disgust": 46 + 192}
    paper |= {"happiness": 71 + 192, "neutral": 79 + 96, "sadness": 62 + 192, "surprise": 192}
    fser8, found = labels.load("fser8"), Counter[str | None]()
    for label, n in emodb.PUBLISHED.classes.items():
        found[fser8.apply(label)] += n
    for label in ravdess.EMOTIONS.values():
        found[fser8.apply(label)] += 96 if label == "neutral" else 192
    assert dict(found) == paper
    assert fser8.targets == sorted(paper)


def test_ravdess8_drops_what_ravdess_has_not() -> None:
    ravdess8 = labels.load("ravdess8")
    assert ravdess8.targets == sorted(ravdess.EMOTIONS.values())
    assert ravdess8.apply("boredom") is None
    assert ravdess8.apply("anxiety") == "fear"


def test_native_changes_nothing() -> None:
    native = labels.load("native")
    assert native.apply("sarcasm", "Sarcasm") == "sarcasm"
    assert native.apply(None) is None


def test_own_map(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('drop = ["surprised"]\n[classes]\nPos = ["joy", "N"]\nanger = []\n')
    own = labels.load(str(path))
    assert own.apply("happiness", "F") == "Pos"
    assert own.apply("neutral", "N") == "Pos"  # by the corpus's own code
    assert own.apply("anger", "W") == "anger"  # a class's own name needs no mention
    assert own.apply("surprise") is None
    assert own.apply(None) is None
    with pytest.raises(KeyError):
        own.apply("fear", "A")


def test_star_drops_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('drop = "*"\n[classes]\nhot = "angry"\n')
    own = labels.load(str(path))
    assert own.apply("anger") == "hot"
    assert own.apply("fear") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes = 3", "needs a table"),
        ("[classes]", "needs a table"),
        ("[classes", "not a TOML file"),
        ("[classes]\na = [1]", "list of labels"),
        ('drop = 3\n[classes]\na = ["b"]', "list of labels"),
        ('[classes]\na = ["happy"]\nb = ["joy"]', "in two classes"),
        ('drop = ["sad"]\n[classes]\na = ["sadness"]', "in drop"),
    ],
)
def test_broken_map(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        labels.load(str(path))


def test_missing_and_unknown_map(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        labels.load(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="native, fser8"):
        labels.load("fser9")
