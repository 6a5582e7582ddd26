"""Lhotse's manifests, as lhotse 1.33 writes them, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_trees import look, touch
from made_formats import lines, recording, supervision

from sertool.core.errors import InputError
from sertool.corpora import discover, lhotse_files


def dailytalk(root: Path, suffix: str = "jsonl.gz") -> Path:
    """What lhotse's recipe for DailyTalk makes, in short: one file whole, one cut twice."""
    touch(root, ["audio/a.wav", "audio/b.wav"])
    recordings = [recording(f"dailytalk_{n}", f"audio/{n}.wav") for n in "ab"]
    people = [("a", "F", "dailytalk_spk1"), ("b", "M", "dailytalk_spk0"), ("b", "M", "x.y")]
    supervisions = [
        supervision(
            f"s{i}",
            f"dailytalk_{name}",
            *[(0.0, 2.0), (0.0, 1.25), (1.25, 0.75)][i],
            speaker=speaker,
            gender=gender,
            language="English",
            text=f"text {i}",
            custom={"turn": i, "topic": "work", "emotion": emotion, "act": None},
        )
        for i, ((name, gender, speaker), emotion) in enumerate(
            zip(people, ["happiness", "no emotion", "angry"], strict=True)
        )
    ]
    lines(root / f"dailytalk_recordings_all.{suffix}", recordings)
    lines(root / f"dailytalk_supervisions_all.{suffix}", supervisions)
    return root


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_lhotse_recordings_and_supervisions(tmp_path: Path, suffix: str) -> None:
    root = dailytalk(tmp_path / "manifests", suffix)
    pair = [root / f"dailytalk_{kind}_all.{suffix}" for kind in ("recordings", "supervisions")]
    first = look(root, strict=True)[0]
    assert [(u.id, u.start, u.end) for u in first] == [
        ("dailytalk/dailytalk_a", None, None),
        ("dailytalk/dailytalk_b@0-1250", 0.0, 1.25),
        ("dailytalk/dailytalk_b@1250-2000", 1.25, 2.0),
    ]
    assert [u.path for u in first] == [str(root / f"audio/{n}.wav") for n in "abb"]
    assert [u.label for u in first] == ["happiness", "no emotion", "anger"]
    assert [u.gender for u in first] == ["female", "male", "male"]
    assert [u.speaker for u in first] == ["dailytalk_spk1", "dailytalk_spk0", "x.y"]
    assert [u.text for u in first] == ["text 0", "text 1", "text 2"]
    assert {u.language for u in first} == {"en"}
    assert first[2].raw_label == "angry"
    assert first[2].extra == {"turn": 2, "topic": "work", "act": None}
    assert {u.part for u in first} == {None}
    for named in ([pair[0]], [pair[1]], pair, pair[::-1]):  # each brings its partner, once
        assert look(*named, strict=True)[0] == first


def test_lhotse_parts_by_name_and_one_file_of_recordings(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav", "b.wav", "c.wav"])
    lines(tmp_path / "x_recordings.jsonl", [recording(n, f"{n}.wav") for n in "abc"])
    for word, name in (("train-clean", "a"), ("dev", "b"), ("Test_2", "c")):
        rows = [supervision("s", name, custom={"label": "sad", "id": 1, "split": "mine"})]
        lines(tmp_path / f"x_supervisions_{word}.jsonl.gz", rows)
    found, console = look(tmp_path, strict=True)
    assert {u.id: u.part for u in found} == {"x/a": "train", "x/b": "val", "x/c": "test"}
    assert found[0].extra == {"custom_id": 1, "split": "mine"}
    (alone,) = look(tmp_path / "x_supervisions_dev.jsonl.gz")[0]
    assert (alone.id, alone.part, alone.label) == ("x/b", "val", "sadness")
    assert console.failures == 0


def test_lhotse_pairs_keep_to_each_other(tmp_path: Path) -> None:
    """Two pairs in a folder may call two files by one id, if the files' names tell them apart."""
    touch(tmp_path, ["x.wav", "y.wav"])
    for name in "xy":
        lines(tmp_path / f"{name}_recordings.jsonl", [recording("1", f"{name}.wav")])
        lines(tmp_path / f"{name}_supervisions.jsonl.gz", [supervision("s", "1")])
    found, _ = look(tmp_path, strict=True)
    assert [(u.id, Path(u.path).name) for u in found] == [("x/1", "x.wav"), ("y/1", "y.wav")]


def test_lhotse_custom_part_and_raw_label_count(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    custom = {"part": "test", "fold": 3, "emotion": "Hot", "raw_label": "H", "corpus": "mine"}
    lines(tmp_path / "recordings.jsonl", [recording("mine/a", "a.wav")])
    lines(tmp_path / "supervisions.jsonl", [supervision("s", "mine/a", custom=custom)])
    (found,) = look(tmp_path)[0]
    assert (found.id, found.part, found.fold) == ("mine/a", "test", 3)
    assert (found.label, found.raw_label) == ("Hot", "H")
    (tmp_path / "supervisions.jsonl").rename(tmp_path / "supervisions_train.jsonl")
    assert look(tmp_path)[0][0].part == "test"


def test_lhotse_ids_keep_their_points(tmp_path: Path) -> None:
    """An utterance's id loses its file's suffix; a recording's id has none, whatever its points."""
    touch(tmp_path / "m", ["plain", "a.wav"])
    rows = [recording("spk1.utt2", "plain"), recording("spk1.utt3", "a.wav")]
    lines(tmp_path / "m" / "recordings.jsonl", rows)
    assert [u.id for u in look(tmp_path / "m")[0]] == ["m/spk1.utt2", "m/spk1.utt3"]


def test_lhotse_without_supervisions(tmp_path: Path) -> None:
    touch(tmp_path / "m", ["a.wav", "b.wav"])
    lines(tmp_path / "m" / "recordings.jsonl", [recording(n, f"{n}.wav") for n in "ab"])
    found, _ = look(tmp_path / "m", strict=True)
    assert [(u.id, u.label, u.start) for u in found] == [("m/a", None, None), ("m/b", None, None)]
    lines(tmp_path / "m" / "supervisions.jsonl", [supervision("s", "b")])
    found, console = look(tmp_path / "m", strict=True)
    assert [u.id for u in found] == ["m/b"]
    assert "1 file left out: a recording without a supervision" in console.text
    assert console.exit_code == 0


def test_lhotse_relative_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count from the manifests, from the nearest folder above them, or from here."""
    touch(tmp_path, ["egs/data/near.wav", "egs/download/up.wav", "egs/near.wav"])
    touch(tmp_path / "cwd", ["here.wav", "near.wav", "download/up.wav"])
    monkeypatch.chdir(tmp_path / "cwd")
    folder = tmp_path / "egs" / "data"
    sources = ["near.wav", "download/up.wav", "here.wav", str(tmp_path / "egs/near.wav")]
    rows = [recording(str(i), source) for i, source in enumerate(sources)]
    lines(folder / "recordings.jsonl", rows)
    assert [u.path for u in look(folder)[0]] == [
        str(tmp_path / name)
        for name in ("egs/data/near.wav", "egs/download/up.wav", "cwd/here.wav", "egs/near.wav")
    ]


def test_lhotse_cuts(tmp_path: Path) -> None:
    """A supervision's time counts from its cut, and what is outside the cut is not heard."""
    touch(tmp_path, ["a.wav", "b.wav"])
    one, two = recording("a", "a.wav", 10.0), recording("b", "b.wav", 3.0)
    inside = supervision("i", "a", 1.0, 2.0, speaker="s1", custom={"emotion": "sad"})
    over = supervision("o", "a", 4.0, 9.0, custom={"emotion": "angry"})
    cut = {"id": "c", "start": 2.0, "duration": 5.5, "channel": 0, "type": "MonoCut"}
    rows = [
        cut | {"supervisions": [inside, over], "recording": one, "custom": {"session": "x"}},
        cut | {"start": 0, "duration": 3, "recording": two, "custom": {"emotion": "happy"}},
        {"id": "m", "type": "MixedCut", "tracks": [], "duration": 1},
    ]
    path = lines(tmp_path / "x_cuts_train.jsonl.gz", rows)
    found, console = look(path)
    assert [(u.id, u.label, u.session, u.part) for u in found] == [
        ("x/a@3000-5000", "sadness", "x", "train"),
        ("x/a@6000-7500", "anger", "x", "train"),
        ("x/b", "happiness", None, "train"),
    ]
    assert console.failures == 1
    assert "x_cuts_train.jsonl.gz line 3: a MixedCut; only cuts of one recording" in console.text
    assert look(tmp_path)[0] == found
    lines(tmp_path / "x_recordings.jsonl", [one])
    found, console = look(tmp_path)
    assert [u.id for u in found] == ["x/a"]
    assert "1 file left out: cuts" in console.text


def test_lhotse_channels(tmp_path: Path) -> None:
    touch(tmp_path, ["two.wav", "l.wav", "r.wav"])
    apart = recording("apart", "l.wav", channels=1)
    apart["sources"].append({"type": "file", "channels": [1], "source": "r.wav"})
    lines(tmp_path / "recordings.jsonl", [recording("two", "two.wav", channels=2), apart])
    rows = [
        supervision("1", "two", 0.0, 1.0, channel=1),
        supervision("2", "two", 1.0, 1.0, channel=[0, 1]),
        supervision("3", "apart", channel=1),
        supervision("4", "apart", channel=[0, 1]),
    ]
    lines(tmp_path / "supervisions.jsonl", rows)
    found, console = look(tmp_path)
    assert [(Path(u.path).name, u.extra.get("channel")) for u in found] == [
        ("two.wav", "1"),
        ("two.wav", None),
        ("r.wav", None),
    ]
    assert "line 4: the recording apart has its channels in several files" in console.text


def test_lhotse_bad_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    rows = [
        recording("a", "a.wav", 9.0),
        "no object",
        {"id": "x", "sources": []},
        recording("b", "b.wav"),
        recording("c", "a.wav", transforms=[{"name": "Speed", "kwargs": {"factor": 0.9}}]),
        recording("d", "a.wav") | {"sources": [{"type": "url", "channels": [0], "source": "u"}]},
        recording("e", "a.wav") | {"duration": float("nan")},
    ]
    lines(tmp_path / "recordings.jsonl", rows)
    rows = [
        supervision("0", "a", 1.0, 1.0),
        supervision("1", "none"),
        supervision("2", "b"),
        supervision("3", "c"),
        supervision("4", "d"),
        supervision("5", "a", -1, 0.5),
        supervision("6", "a", "soon"),
        supervision("7", "a", 0, 10**400),
        supervision("8", "a", 1.0, 1.0),
        supervision("9", "a", custom={"fold": "x"}),
        17,
    ]
    lines(tmp_path / "supervisions.jsonl", rows)
    found, console = look(tmp_path)
    assert len(found) == 1
    reasons = {
        "recordings.jsonl line 2": "not a JSON object",
        "recordings.jsonl line 3": "no recording",
        "recordings.jsonl line 7": "no recording",
        "supervisions.jsonl line 2": "no recordings manifest has 'none'",
        "supervisions.jsonl line 3": "no such file: b.wav",
        "supervisions.jsonl line 4": "changed as it is read (transforms)",
        "supervisions.jsonl line 5": "is not a file but of type url",
        "supervisions.jsonl line 6": "not after the start",
        "supervisions.jsonl line 7": "needs a start and a duration",
        "supervisions.jsonl line 8": "needs a start and a duration",
        "supervisions.jsonl line 9": "the same stretch again",
        "supervisions.jsonl line 10": "fold 'x'",
        "supervisions.jsonl line 11": "no supervision",
    }
    assert console.failures == len(reasons)
    for where, reason in reasons.items():
        assert any(f"{where}: " in line and reason in line for line in console.lines), where


def test_lhotse_that_cannot_serve(tmp_path: Path) -> None:
    whole = lines(tmp_path / "a" / "recordings.jsonl.gz", [recording("a", "none.wav")] * 2000)
    with pytest.raises(InputError, match=r"none of its recordings exists: no such file: none"):
        look(tmp_path / "a")
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"recordings\.jsonl\.gz: after line \d+: damaged"):
        look(tmp_path / "a", corpus="lhotse")
    alone = lines(tmp_path / "b" / "supervisions.jsonl", [supervision("s", "a")])
    with pytest.raises(InputError, match="no recordings manifest"):
        look(alone)
    plain = lines(tmp_path / "c" / "m.jsonl.gz", [{"id": "x", "path": "y"}])
    with pytest.raises(InputError, match="not a lhotse manifest"):
        look(plain)
    with pytest.raises(InputError, match="no recordings manifest"):
        look(tmp_path / "c", corpus="lhotse")


def test_lhotse_two_manifests_of_one_stretch(tmp_path: Path) -> None:
    touch(tmp_path, ["a.wav"])
    for word in ("all", "train"):
        lines(tmp_path / f"recordings_{word}.jsonl", [recording("a", "a.wav")])
        lines(tmp_path / f"supervisions_{word}.jsonl", [supervision("s", "a")])
    with pytest.raises(InputError, match=r"_all\.jsonl and .*_train\.jsonl both refer to .*a\.wav"):
        look(tmp_path)
    assert look(tmp_path / "supervisions_train.jsonl")[0][0].part == "train"


def test_a_manifest_of_ours_is_none_of_lhotses(tmp_path: Path) -> None:
    row = {"id": "x/a", "path": "a.wav", "sources": [1], "recording_id": 2, "duration": 3}
    path = lines(tmp_path / "my_recordings.jsonl", [row])
    assert lhotse_files.kind(path) is None
    assert look(path)[0][0].id == "x/a"
    assert not discover.is_foreign(path)
