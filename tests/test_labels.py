"""Label maps: nouns, synonyms, the maps that come with sertool, and maps of the user's own."""

from collections import Counter
from pathlib import Path

import pytest
import trees

from sertool.core.errors import InputError, UsageError
from sertool.corpora import iemocap, iemocap_labels, labels
from sertool.corpora import load as load_corpus
from sertool.items import Item

HOUSE = ["anger", "anxiety", "boredom", "calm", "contempt", "disgust", "excitement", "fear"]
HOUSE += ["frustration", "happiness", "neutral", "sadness", "surprise"]
FOUR = {"anger", "happiness", "neutral", "sadness"}
# what each map makes of the house's nouns that it does not leave as they are; None: left out
EXPECTED: dict[str, dict[str, str | None]] = {
    "common4": {noun: None for noun in HOUSE if noun not in FOUR},
    "ekman": {
        "anxiety": "fear",
        **dict.fromkeys(["boredom", "calm", "contempt", "excitement", "frustration"], None),
    },
    "five": {
        "anxiety": "fear",
        "calm": "neutral",
        **dict.fromkeys(["boredom", "contempt", "disgust", "excitement", "frustration"], None),
        "surprise": None,
    },
    "iemocap4": {noun: None for noun in HOUSE if noun not in FOUR} | {"excitement": "happiness"},
    "ravdess4": {noun: None for noun in HOUSE if noun not in FOUR} | {"calm": "neutral"},
    "ravdess8": {
        "anxiety": "fear",
        **dict.fromkeys(["boredom", "contempt", "excitement", "frustration"], None),
    },
    "valence3": {
        **dict.fromkeys(["anger", "anxiety", "boredom", "contempt", "disgust"], "negative"),
        **dict.fromkeys(["fear", "frustration", "sadness"], "negative"),
        **dict.fromkeys(["excitement", "happiness"], "positive"),
        "calm": "neutral",
        "surprise": None,
    },
}

EMODB = load_corpus("emodb").published(Path(), []).classes
RAVDESS = ("anger", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


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
        ("Neutral state", "neutral"),
        ("Frustration", "frustration"),
        ("exc", "excitement"),
        ("Sarcasm", "sarcasm"),
        ("A1", "a1"),
    ],
)
def test_noun(word: str, noun: str) -> None:
    assert labels.noun(word) == noun


def test_house_nouns_are_their_own() -> None:
    assert [labels.noun(word) for word in HOUSE] == HOUSE


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("01_Happy", "happiness"),
        ("angry-2", "anger"),
        ("Actor_01", None),
        ("Wut", "anger"),
        ("02 - ÄRGER", "anger"),
        ("Rados\u0301c\u0301_1", "happiness"),  # as macOS writes Radość
        ("zlosc", "anger"),
        ("Tristezza", "sadness"),
        ("colère (fin)", None),  # a word beside it is a class of one's own
    ],
)
def test_folder_noun(name: str, noun: str | None) -> None:
    assert labels.folder_noun(name) == noun


def test_every_map_loads_and_names_its_source() -> None:
    assert labels.names()[0] == "native"
    for name, line in labels.label_maps():
        assert line
        assert labels.load(name).source


def test_every_map_is_tested() -> None:
    assert set(labels.names()) == {"native", "fser8", *EXPECTED}


def test_house_nouns_are_all_of_them() -> None:
    assert labels.load("native").targets == HOUSE


@pytest.mark.parametrize("name", EXPECTED)
def test_map(name: str) -> None:
    chosen = labels.load(name)
    expected = {noun: EXPECTED[name].get(noun, noun) for noun in HOUSE}
    assert {noun: chosen.apply(noun) for noun in HOUSE} == expected
    assert chosen.targets == sorted({target for target in expected.values() if target})
    # it says what it leaves out, noun by noun, and turns without agreement too
    left_out = {noun for noun, target in expected.items() if target is None}
    assert chosen.dropped - {"*"} == left_out | {"other", "xxx"}
    for code, noun in iemocap_labels.LABELS.items():
        assert chosen.apply(noun, code) == (expected | {"other": None, None: None})[noun]


@pytest.mark.parametrize(
    ("name", "rest"), [("common4", True), ("ekman", True), ("iemocap4", True), ("valence3", False)]
)
def test_other_classes_are_left_out_or_unknown(name: str, rest: bool) -> None:
    if rest:
        assert labels.load(name).apply("sarcasm") is None
    else:
        with pytest.raises(KeyError):
            labels.load(name).apply("sarcasm")


@pytest.mark.parametrize(
    "corpus", ["crema_d", "des", "emodb", "emovo", "esd", "mes", "ravdess", "savee", "tess", "urdu"]
)
def test_every_map_knows_every_class_of_every_corpus(corpus: str) -> None:
    adaptor = load_corpus(corpus.replace("_", "-"))
    given = adaptor.utterances(Path("nowhere"), getattr(trees, corpus)())
    known = {(u.label, u.raw_label) for u in given if isinstance(u, Item)}
    assert known
    for name in labels.names():
        classes = {labels.load(name).apply(label, raw) for label, raw in known}
        if name in ("common4", "iemocap4"):
            assert classes - {None} == FOUR  # common to all, as its summary says


def mapped(name: str, classes: dict[str, int]) -> dict[str | None, int]:
    """The published counts of a corpus under a map; None: left out."""
    chosen, found = labels.load(name), Counter[str | None]()
    for label, n in classes.items():
        found[None if label == "(no label)" else chosen.apply(label)] += n
    return dict(found)


def test_iemocap4_gives_the_usual_5531_turns() -> None:
    found = mapped("iemocap4", iemocap.PUBLISHED.classes)
    assert found.pop(None) == 10039 - 5531
    assert found == {"anger": 1103, "happiness": 1636, "neutral": 1708, "sadness": 1084}


def test_common4_gives_the_339_files_of_emodb() -> None:
    found = mapped("common4", EMODB)
    assert found.pop(None) == 535 - 339
    assert found == {"anger": 127, "happiness": 71, "neutral": 79, "sadness": 62}


def test_valence3_of_emodb() -> None:
    found = mapped("valence3", EMODB)
    assert found == {"negative": 127 + 81 + 46 + 69 + 62, "neutral": 79, "positive": 71}


def test_fser8_gives_the_counts_of_the_papers_first_table() -> None:
    # Dossou & Gbenou 2021, Table 1, columns Emo-DB and RAVDESS added
    paper = {"anger": 127 + 192, "anxiety": 69 + 192, "calm": 81 + 192, "disgust": 46 + 192}
    paper |= {"happiness": 71 + 192, "neutral": 79 + 96, "sadness": 62 + 192, "surprise": 192}
    fser8, found = labels.load("fser8"), Counter[str | None]()
    for label, n in EMODB.items():
        found[fser8.apply(label)] += n
    for label in RAVDESS:
        found[fser8.apply(label)] += 96 if label == "neutral" else 192
    assert dict(found) == paper
    assert fser8.targets == sorted(paper)


def test_ravdess8_drops_what_ravdess_has_not() -> None:
    ravdess8 = labels.load("ravdess8")
    assert ravdess8.targets == sorted(RAVDESS)
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
    with pytest.raises(UsageError, match="native, common4, ekman"):
        labels.load("fser9")
