"""IEMOCAP's text files, broken: what is wrong is named and counted, and costs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from corpus_trees import look, touch
from hypothesis import given, settings
from hypothesis import strategies as st
from iemocap_tree import PUBLISHED_LINES, SMALL, T, release

from sertool.corpora import Skipped, iemocap, iemocap_labels
from sertool.formats.manifest import parse_row
from sertool.items import Item


def broken(tmp_path: Path, old: str, new: str, recordings: bool = False) -> tuple[int, str, int]:
    """Return (utterances, messages, failures) with one piece of an evaluation changed."""
    turns = [T("F000"), T("M000", "hap"), T("M001", "sad")]
    root = release(tmp_path, {"Ses01F_impro01": turns}, not recordings, recordings)
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    found, console = look(root)
    assert all(line.isprintable() for line in console.lines)
    return len(found), console.text, console.failures


@pytest.mark.parametrize("recordings", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\thap\t", "\thpy\t", "line 7 has the unknown label 'hpy'"),
        ("\thap\t[2.5000, 3", "\thap\t[2.5000 3", "line 7 is not [start - end] turn label"),
        ("[3.0000 - 4.0000]", "[3.0000 - ]", "line 7 is not [start - end] turn label"),
        ("[3.0000 - 4.0000]", "[3.0000 - inf]", "line 7 is not [start - end] turn label"),
        ("[3.0000 - 4.0000]", f"[3.0000 - {'9' * 400}]", "line 7 is not [start - end]"),
        ("\thap\t[2", "\thap\t[nan", "line 7 is not [start - end] turn label"),
        ("\thap\t[2.5000, 3.0000, 1.6667]", "", "line 7 is not [start - end] turn label"),
        ("_M000\thap", "_M0x0\thap", "line 7: names no turn of Ses01F_impro01"),
        ("impro01_M000\thap", "impro02_M000\thap", "line 7: names no turn of Ses01F_impro01"),
        ("_M000\thap", "_F000\thap", "line 7: Ses01F_impro01_F000 comes a second time"),
        ("[3.0000", "3.0000", "line 7: neither a turn nor a vote"),
    ],
)
def test_broken_turns(tmp_path: Path, old: str, new: str, message: str, recordings: bool) -> None:
    n, text, failures = broken(tmp_path, old, new, recordings)
    assert n == 2
    assert message in text.replace(" line 7: has", " line 7 has").replace(
        " line 7: is", " line 7 is"
    )
    # a sentence file whose turn no line names is named beside the line that went wrong
    nameless = not recordings and any(word in message for word in ("names no", "second", "neither"))
    assert failures == 1 + nameless
    if nameless:
        assert (
            "Ses01F_impro01_M000.wav: EmoEvaluation/Ses01F_impro01.txt has no line for it" in text
        )


@pytest.mark.parametrize(
    ("old", "new", "failures"),
    [
        ("C-E2:\tNeutral;\t()", "C-E2:\t;\t()", 0),
        ("C-E2:\tNeutral;\t()", "C-E2:", 0),
        ("A-E3:\tval 3; act 2; dom  2;\t()", "A-E3:\tval 3; act ; dom  ;\t()", 0),
        ("C-E2:\tNeutral;\t()", "\x00\x07?\u2028", 1),
        ("[1.0000", "C-E2:\tNeutral;\t()\n[1.0000", 1),
    ],
)
def test_broken_votes_cost_no_turn(tmp_path: Path, old: str, new: str, failures: int) -> None:
    n, _, failed = broken(tmp_path, old, new)
    assert n == 3
    assert failed == failures


def test_votes_of_a_broken_turn_are_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "Ses01F_impro01.txt"
    path.write_text(PUBLISHED_LINES.replace("_F001\tneu", "_F001\tnnn"))
    read = iemocap_labels.read_evaluation(path, "Ses01F_impro01")
    assert set(read.turns) == {"Ses01F_impro01_F000", "Ses01F_impro01_M001"}
    assert read.turns["Ses01F_impro01_F000"].votes["F1"] == ["neutral"]
    assert read.problems == []


def test_times_matter_only_for_cuts(tmp_path: Path) -> None:
    backwards = ("[3.0000 - 4.0000]", "[4.0000 - 3.0000]")
    assert broken(tmp_path / "a", *backwards)[::2] == (3, 0)
    n, text, failures = broken(tmp_path / "b", *backwards, recordings=True)
    assert (n, failures) == (2, 1)
    assert "line 7: Ses01F_impro01_M000 ends at 3 s, before it begins" in text
    again = ("[3.0000 - 4.0000]", "[1.0000 - 2.0001]")
    n, text, failures = broken(tmp_path / "c", *again, recordings=True)
    assert (n, failures) == (2, 1)
    assert "Ses01F_impro01_M000 has the same times as Ses01F_impro01_F000" in text


def test_a_dialogue_twice_is_cut_once(tmp_path: Path) -> None:
    root = release(tmp_path, SMALL, sentences=False, recordings=True)
    touch(root, ["Session1/dialog/wav/Ses01F_impro01.flac"])
    found, console = look(root)
    assert len(found) == 9
    assert "1 file left out: further copies of a dialogue" in console.text
    assert console.exit_code == 0


def test_one_file_does_not_answer_for_its_dialogue(tmp_path: Path) -> None:
    """What else is wrong or lost is said of the folder that holds it, not of a single file."""
    root = release(tmp_path, {"Ses01F_impro01": [T("F000"), T("M000", "hpy"), T("M001")]})
    folder = root / "Session1/sentences/wav/Ses01F_impro01"
    (folder / "Ses01F_impro01_M001.wav").unlink()
    found, console = look(folder / "Ses01F_impro01_F000.wav")
    assert ([u.label for u in found], console.failures) == (["neutral"], 0)
    found, console = look(root)
    assert ([u.label for u in found], console.failures) == (["neutral"], 2)


def test_an_evaluation_that_cannot_be_read(tmp_path: Path) -> None:
    root = release(tmp_path, SMALL)
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    path.unlink()
    path.mkdir()
    found, console = look(root)
    assert len(found) == 6
    assert f"{path}: Is a directory" in console.text
    assert "F000.wav: EmoEvaluation/Ses01F_impro01.txt cannot be read" in console.text
    assert console.failures == 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(PUBLISHED_LINES.splitlines()),
            st.text(max_size=40),
            st.builds(
                lambda line, i, j, new: line[: min(i, j)] + new + line[max(i, j) :],
                st.sampled_from(PUBLISHED_LINES.splitlines()),
                st.integers(0, 70),
                st.integers(0, 70),
                st.text(max_size=3),
            ),
        ),
        max_size=12,
    )
)
def test_no_evaluation_breaks_a_run(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    for kind in ("EmoEvaluation", "transcriptions"):
        (root / kind).mkdir()
        text = "\n".join(lines).encode("utf-8", "replace")
        (root / kind / "Ses01F_impro01.txt").write_bytes(text)
    files = [f"Ses01F_impro01_{turn}.wav" for turn in ("F000", "M001")] + ["Ses01F_impro01.wav"]
    given = [u for u in iemocap.utterances(root, files)]
    for item in given:
        if isinstance(item, Item):
            json.dumps(item.manifest_row(), allow_nan=False).encode()
            assert parse_row(item.manifest_row()) == item
        else:
            assert isinstance(item, Skipped)
    paths = Counter(item.path for item in given)
    assert all(paths[f] or any(p.endswith(f) for p in paths) for f in files)
