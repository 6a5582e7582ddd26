"""IEMOCAP: turns, labels, votes, words and cuts, on generated releases of the true names."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from corpus_trees import counts, look, touch
from hypothesis import given, settings
from hypothesis import strategies as st
from iemocap_tree import PUBLISHED_LINES, PUBLISHED_WORDS, SMALL, T, release

from sertool.core.errors import InputError
from sertool.corpora import iemocap, iemocap_labels
from sertool.items import Item

Cli = Callable[..., Result]


# the format


def test_published_lines(tmp_path: Path) -> None:
    root = tmp_path / "IEMOCAP_full_release"
    dialog = root / "Session1" / "dialog"
    for kind, text in (("EmoEvaluation", PUBLISHED_LINES), ("transcriptions", PUBLISHED_WORDS)):
        (dialog / kind).mkdir(parents=True)
        (dialog / kind / "Ses01F_impro01.txt").write_text(text)
    folder = "Session1/sentences/wav/Ses01F_impro01"
    names = [f"{folder}/Ses01F_impro01_{turn}.wav" for turn in ("F000", "F001", "M001")]
    found, console = look(touch(root, names))
    first, second, third = found
    assert first.id == f"iemocap/{folder}/Ses01F_impro01_F000"
    assert first.path == str(root / names[0])
    assert (first.start, first.end) == (None, None)
    assert (first.speaker, first.gender, first.session) == ("Ses01F", "female", "1")
    assert (first.label, first.raw_label, first.language) == ("neutral", "neu", "en")
    assert first.text == "excuse me"
    assert first.extra == {
        "scenario": "improvised",
        "dialogue": "Ses01F_impro01",
        "scene": "impro01",
        "turn": "Ses01F_impro01_F000",
        "transcription": "Excuse me.",
        "valence": 2.5,
        "activation": 2.5,
        "dominance": 2.5,
        "votes": {"neutral": 3},
        "choices": {"E2": ["neutral"], "E3": ["neutral"], "E4": ["neutral"]},
        "ratings": {
            "E3": {"valence": 3, "activation": 2, "dominance": 2},
            "E4": {"valence": 2, "activation": 3, "dominance": 3},
        },
        "self_reports": {
            "F1": {"choices": ["neutral"], "valence": 3, "activation": 2, "dominance": 1}
        },
    }
    assert second.extra["votes"] == {"neutral": 1}
    assert second.extra["self_reports"]["F1"] == {"choices": ["neutral", "anger"]}
    assert second.extra["ratings"]["E3"] == {"valence": 3, "activation": None, "dominance": 2}
    assert (second.text, second.extra["transcription"]) == (None, None)
    # the man of session 1, whoever wears the markers
    assert (third.speaker, third.gender, third.session) == ("Ses01M", "male", "1")
    assert (third.label, third.raw_label) == (None, "xxx")
    assert third.extra["votes"] == {"excitement": 1, "other": 1}
    assert third.extra["choices"] == {"E2": ["excitement"], "E3": ["other"]}
    assert (third.extra["activation"], third.extra["dominance"]) == (3.0, 2.6667)
    assert third.text == "yeah i don't know"
    assert third.extra["transcription"] == "Yeah. [LAUGHTER] I don't-- know!"
    assert console.exit_code == 0


@pytest.mark.parametrize(
    ("stem", "turn"),
    [
        ("Ses01F_impro01_F000", "Ses01F_impro01_F000"),
        ("ses05m_SCRIPT01_1B_m012", "Ses05M_script01_1b_M012"),
        ("Ses03M_impro05a_M000", "Ses03M_impro05a_M000"),
        ("Ses04F_script03_2_F1000", "Ses04F_script03_2_F1000"),
        ("Ses02F_impro08", None),
    ],
)
def test_names(stem: str, turn: str | None) -> None:
    name = iemocap_labels.parse_name(stem)
    assert name is not None
    assert name.turn == turn
    assert iemocap.fits(f"a/b/{stem}.wav")


@pytest.mark.parametrize(
    "stem",
    [
        "",
        "Ses06F_impro01_F000",
        "Ses01X_impro01_F000",
        "Ses01F_impro1_F000",
        "Ses01F_script01_F000",
        "Ses01F_impro01_F0",
        "Ses01F_impro01_MXX0",
        "Ses01F_impro01_F000x",
        "xSes01F_impro01",
        "Ses01F_impro01_F\u0660\u0660\u0660",
    ],
)
def test_not_iemocap(stem: str) -> None:
    assert not iemocap.fits(f"{stem}.wav")


def test_speakers_are_of_the_turn(tmp_path: Path) -> None:
    found, _ = look(release(tmp_path, SMALL))
    assert {u.extra["turn"]: (u.speaker, u.gender, u.session) for u in found} == {
        "Ses01F_impro01_F000": ("Ses01F", "female", "1"),
        "Ses01F_impro01_M000": ("Ses01M", "male", "1"),
        "Ses01F_impro01_M001": ("Ses01M", "male", "1"),
        "Ses01M_script01_1_F000": ("Ses01F", "female", "1"),
        "Ses01M_script01_1_M000": ("Ses01M", "male", "1"),
        "Ses03M_impro05a_F010": ("Ses03F", "female", "3"),
        "Ses03M_impro05a_M003": ("Ses03M", "male", "3"),
        "Ses05M_script01_1b_F000": ("Ses05F", "female", "5"),
        "Ses05M_script01_1b_M000": ("Ses05M", "male", "5"),
    }
    assert Counter(u.extra["scenario"] for u in found) == {"improvised": 5, "scripted": 4}
    assert counts(found, "label")["excitement"] == 1


# words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Excuse me.", "excuse me"),
        ("  excuse -- ME?!", "excuse me"),
        ("Don't you know?", "don't you know"),
        ("Don\u2019t, you know", "don't you know"),
        ("'Til then.", "til then"),
        ("[LAUGHTER]", "[laughter]"),
        ("Oh. ++LAUGHTER++", "oh"),
        ("[LIP SMACK] [BREATHING]", "[lip smack] [breathing]"),
        ("...", None),
        ("", None),
        ("Café 3_4", "café 3 4"),
    ],
)
def test_sentence(words: str, sentence: str | None) -> None:
    assert iemocap_labels.sentence(words) == sentence


@given(st.lists(st.sampled_from(["it's", "Augie", "NO", "fish", "1"]), min_size=1), st.randoms())
def test_equal_words_are_equal_sentences(words: list[str], chance: random.Random) -> None:
    def say() -> str:
        pieces = [
            f"{chance.choice([w, w.upper(), w.title()])}{chance.choice(',.?! -')}" for w in words
        ]
        return chance.choice(["", "[SIGH] "]) + " ".join(pieces)

    assert iemocap_labels.sentence(say()) == iemocap_labels.sentence(say())
    assert iemocap_labels.sentence(say() + " x") != iemocap_labels.sentence(say())


@given(st.text())
def test_a_sentence_is_its_own_sentence(words: str) -> None:
    once = iemocap_labels.sentence(words)
    assert once is None or iemocap_labels.sentence(once) == once


def test_a_line_of_a_script_is_one_sentence_in_every_session(tmp_path: Path) -> None:
    one = {
        f"Ses0{s}F_script02_1": [T("M000", words=w)]
        for s, w in ((1, "Whose is it?"), (4, "whose is it"))
    }
    found, _ = look(release(tmp_path, one))
    assert len({u.text for u in found}) == 1
    assert len({u.extra["transcription"] for u in found}) == 2


def test_transcriptions_may_be_missing_or_in_an_old_code(tmp_path: Path) -> None:
    root = release(tmp_path, {"Ses01F_impro01": [T("F000"), T("M000")]})
    path = root / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    path.write_bytes("Ses01F_impro01_F000 [1-2]: Voil\u00e0.\n".encode("cp1252"))
    assert [u.text for u in look(root)[0]] == ["voilà", None]
    path.unlink()
    assert [u.text for u in look(root)[0]] == [None, None]
    path.mkdir()
    found, console = look(root)
    assert len(found) == 2
    assert f"{path}: Is a directory" in console.text
    assert console.failures == 1


# recognition


def test_sentences_and_dialogues_together(tmp_path: Path) -> None:
    root = release(tmp_path, SMALL, recordings=True)
    touch(
        root,
        ["Session1/dialog/avi/DivX/Ses01F_impro01.avi", "Session1/dialog/wav/._Ses01F_impro01.wav"],
    )
    touch(root, ["Session1/sentences/wav/Ses01F_impro01/._Ses01F_impro01_F000.wav", "README.txt"])
    touch(root, ["Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt"])
    touch(root, ["Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt"])
    found, console = look(root, strict=True)
    assert len(found) == 9
    assert all(u.start is None for u in found)
    assert "corpus iemocap, 14 audio files" in console.text
    assert "4 files left out: whole dialogues" in console.text
    assert "1 file left out: video" in console.text
    assert console.exit_code == 0


def test_more_dialogues_than_sentences(tmp_path: Path) -> None:
    """A subset of sentences beside all recordings is still recognised; the rest is cut."""
    root = release(tmp_path, SMALL, recordings=True)
    for path in (root / "Session1" / "sentences").rglob("*M0*.wav"):
        path.unlink()
    found, console = look(root, strict=True)
    assert len(found) == 9
    assert sorted(u.extra["turn"] for u in found if u.start is not None) == [
        "Ses01F_impro01_M000",
        "Ses01F_impro01_M001",
        "Ses01M_script01_1_M000",
    ]
    assert console.exit_code == 0


def test_half_of_the_files_decide(tmp_path: Path) -> None:
    root = release(tmp_path, {"Ses01F_impro01": [T("F000"), T("M000")]}, recordings=True)
    touch(root, ["a.wav", "b.wav", "c.wav"])
    found, console = look(root, strict=True)
    assert len(found) == 2
    assert console.failures == 3
    assert "a.wav: not named like IEMOCAP's files" in console.text
    touch(root, ["d.wav"])
    with pytest.raises(InputError, match="not a known corpus"):
        look(root, strict=True)


def test_from_inside_a_session_and_single_files(tmp_path: Path) -> None:
    root = release(tmp_path / "corpora" / "iemocap", SMALL, recordings=True)
    session = root / "Session1"
    for start in (session, session / "sentences", session / "dialog/wav"):
        found, console = look(start, strict=True)
        assert sorted(filter(None, counts(found, "label"))) == sorted(
            ["neutral", "happiness", "excitement", "frustration"]
        )
        assert (len(found), console.exit_code) == (5, 0)
    one = session / "sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav"
    (single,), console = look(one)
    assert (single.label, single.speaker) == ("happiness", "Ses01M")
    assert console.exit_code == 0
    # files of several sessions, named one by one, do not call for the others
    two = root / "Session3/sentences/wav/Ses03M_impro05a/Ses03M_impro05a_M003.wav"
    both, console = look(one, two)
    assert [u.label for u in both] == ["happiness", "sadness"]
    assert console.exit_code == 0
    assert "left out" not in console.text


@settings(max_examples=25, deadline=None)
@given(
    nest=st.lists(st.sampled_from(["IEMOCAP_full_release", "data", "x y", "ä"]), max_size=3),
    suffix=st.sampled_from([".wav", ".WAV", ".flac"]),
    change=st.sampled_from([str, str.lower, str.upper]),
    flat=st.booleans(),
    chance=st.randoms(),
)
def test_nesting_case_and_suffix(
    tmp_path_factory: pytest.TempPathFactory,
    nest: list[str],
    suffix: str,
    change: Callable[[str], str],
    flat: bool,
    chance: random.Random,
) -> None:
    plain = release(tmp_path_factory.mktemp("plain"), SMALL)
    root = tmp_path_factory.mktemp("varied")
    base = root.joinpath(*nest)
    for path in plain.rglob("*.*"):
        parts = [change(part) for part in path.relative_to(plain).with_suffix("").parts]
        if path.suffix == ".txt":
            (base.joinpath(*parts[:-1])).mkdir(parents=True, exist_ok=True)
            (base.joinpath(*parts[:-1]) / f"{parts[-1]}.txt").write_bytes(path.read_bytes())
        else:
            touch(base / "wavs" if flat else base.joinpath(*parts[:-1]), [f"{parts[-1]}{suffix}"])
    found, console = look(root, strict=True)
    known = {u.extra["turn"]: u for u in look(plain)[0]}
    assert len(found) == len(known) == 9
    for one in found:
        other = known[one.extra["turn"]]
        assert one.extra == other.extra
        fields = ("speaker", "gender", "session", "label", "raw_label", "text")
        assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]
    assert console.exit_code == 0
    names = [p.relative_to(root).as_posix() for p in root.rglob(f"*{suffix}")]
    chance.shuffle(names)
    again = [u for u in iemocap.utterances(root, names) if isinstance(u, Item)]
    assert {u.path: u.extra for u in again} == {u.path: u.extra for u in found}


# cuts


def test_cuts_are_the_turns_of_the_dialogue(cli: Cli, tmp_path: Path) -> None:
    import soundfile

    from sertool.formats.store import Store

    turns = [
        T("F000", "neu", 0.25, 0.75),
        T("M000", "hap", 0.5, 1.125),
        T("M001", "xxx", 1.2345, 2.0),
    ]
    root = release(tmp_path / "IEMOCAP", {"Ses01F_impro01": turns}, sentences=False)
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (40000, 2)).astype(np.float32)
    (root / "Session1/dialog/wav").mkdir()
    soundfile.write(root / "Session1/dialog/wav/Ses01F_impro01.wav", wave, 16000, "FLOAT")
    manifest, out = tmp_path / "m.jsonl", tmp_path / "w.h5"
    assert cli("prepare", root, manifest).code == 0
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    place = "iemocap/Session1/dialog/wav/Ses01F_impro01"
    assert [row["id"] for row in rows] == [
        f"{place}@250-750",
        f"{place}@500-1125",
        f"{place}@1234-2000",
    ]
    assert [row["speaker"] for row in rows] == ["Ses01F", "Ses01M", "Ses01M"]
    assert [row["turn"][-4:] for row in rows] == ["F000", "M000", "M001"]
    assert cli("featurize", manifest, out, "--kind", "wave").code == 0
    with Store(out) as store:
        for i, turn in enumerate(turns):
            cut = wave.mean(1)[round(turn.start * 16000) : round(turn.end * 16000)]
            np.testing.assert_allclose(store.features(i).ravel(), cut, atol=2e-4)
        # votes stay readable, number columns stay numbers
        assert [json.loads(votes) for votes in store.column("votes")] == [{"neutral": 1}] * 3
        assert store.column("dominance") == pytest.approx([1.6667] * 3)
        assert store.column("label") == ["neutral", "happiness", None]


def test_dialogues_alone(tmp_path: Path) -> None:
    found, console = look(release(tmp_path, SMALL, sentences=False, recordings=True), strict=True)
    assert len(found) == 9
    assert all(u.start is not None and u.end is not None and u.start < u.end for u in found)
    assert len({u.id for u in found}) == 9
    assert console.exit_code == 0


def test_lost_sentences(tmp_path: Path) -> None:
    root = release(tmp_path, SMALL)
    (root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()
    found, console = look(root)
    assert len(found) == 8
    assert console.failures == 1
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    assert f"{path} line 7: Ses01F_impro01_M000 has neither" in console.text


def test_dialogues_without_audio_and_missing_sessions(tmp_path: Path) -> None:
    root = release(tmp_path, SMALL)
    for path in (root / "Session1/sentences/wav/Ses01F_impro01").iterdir():
        path.unlink()
    path.parent.rmdir()
    found, console = look(root)
    assert len(found) == 6
    assert "1 file left out: evaluations of dialogues without audio" in console.text
    assert console.exit_code == 0
    assert "neutral 0/1708" in console.text


def test_no_evaluation(tmp_path: Path) -> None:
    root = touch(tmp_path, ["x/Ses01F_impro01_M000.wav", "x/Ses04M_script03_2_F011.wav"])
    found, console = look(root, strict=True)
    assert [(u.label, u.speaker, u.gender) for u in found] == [
        (None, "Ses01M", "male"),
        (None, "Ses04F", "female"),
    ]
    assert found[0].extra["votes"] is None
    assert "(no label) 2/2507" in console.text
    assert console.exit_code == 0
    touch(root, ["x/Ses01F_impro02.wav"])
    found, console = look(root)
    assert "Ses01F_impro02.wav: no EmoEvaluation gives the times" in console.text
    assert console.failures == 1
