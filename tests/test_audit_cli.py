"""`sertool info --audit`, and the audit that every `eval` makes, on files."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import made
import numpy as np
import pytest
import small_store
import soundfile
from made_stores import write_store

from sertool.evaluation import audit
from sertool.evaluation.audit_deep import SAME, likeness
from sertool.evaluation.report import Protocol, _protocol
from sertool.evaluation.terminal import protocol_line
from sertool.formats import checkpoint, schema
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.store import Store
from sertool.items import Item

NAMES = ("speakers", "recordings", "sentences", "identical audio", "near-duplicates", "statistics")


@pytest.fixture
def prints(monkeypatch):
    """Fingerprints of recordings are equal, and near are those equal up to a colon."""
    stub = ModuleType("sertool.audio.fingerprint")

    def near(left, right):
        return [
            (i, j)
            for i, a in enumerate(left)
            for j, b in enumerate(right)
            if a.split(":")[0] == b.split(":")[0]
        ]

    stub.near = near
    stub.fingerprint = lambda samples, rate: f"p:{len(samples)}"
    monkeypatch.setitem(sys.modules, "sertool.audio.fingerprint", stub)


def row(n, **fields):
    return {
        "id": f"c/{n}",
        "path": f"/nowhere/{n}.wav",
        "corpus": "c",
        "speaker": f"s{n}",
        "text": f"t{n}",
        "label": "anger",
        "fold": None,
        "part": None,
    } | fields


def manifest(path, *rows):
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def store(path, *rows, **given):
    known = [
        {"audio_hash": f"h{one['id']}", "fingerprint": f"{one['id']}:x", **one} for one in rows
    ]
    write_store(path, [np.ones((2, 3), np.float32)] * len(rows), known, **given)
    return path


def model(path, *rows, **meta):
    facts = {
        "classes": ["anger"],
        "pipeline": [{"stage": "featurize", "kind": "mel"}],
        "dims": [3],
        "model": {"name": "linear", "settings": {}, "parameters": 1},
        "lineage": [],
    }
    items = [Item.from_row({"origin": one["id"], **one}) for one in rows]
    checkpoint.save(Checkpoint({}, items, facts | meta), path)
    return path


def states(cli, *arguments, code=0):
    """Run an audit and return {fact: apart}, the result as JSON, and what it said."""
    done = cli("info", "--audit", "--json", *arguments)
    assert done.code == code, done.err
    found = json.loads(done.out)
    return {name: fact["apart"] for name, fact in found["facts"].items()}, found


def broken(facts):
    return {name for name, apart in facts.items() if apart is False}


def lines(cli, *arguments):
    done = cli("info", "--audit", *arguments)
    assert done.code == 0, done.err
    return done.out.splitlines()


def test_two_stores_apart(cli, tmp_path, prints):
    one = store(tmp_path / "a.h5", row(1), row(2))
    other = store(tmp_path / "b.h5", row(3), row(4))
    facts, found = states(cli, one, other)
    assert set(facts.values()) == {True}
    assert found["advice"].startswith("nothing is shared")
    said = lines(cli, one, other)
    assert [line.split("  ")[0] for line in said] == ["train", "test", *NAMES, "what to do"]
    assert all(line.endswith(" apart") for line in said[2:8])


@pytest.mark.parametrize(
    ("field", "fact", "name"),
    [
        ("speaker", "speaker_disjoint", "speakers"),
        ("origin", "origin_disjoint", "recordings"),
        ("text", "text_disjoint", "sentences"),
        ("audio_hash", "audio_disjoint", "identical audio"),
        ("fingerprint", "near_disjoint", "near-duplicates"),
        ("path", "origin_disjoint", "recordings"),
    ],
)
def test_each_fact_on_its_line(cli, tmp_path, prints, field, fact, name):
    trained = [row(n, **{field: f"v{n}:1"}) for n in (1, 2, 3)]
    tested = [row(n + 10, **{field: f"v{n}:2" if field == "fingerprint" else f"v{n}:1"}) for n in
              (1, 2, 3)]  # fmt: skip
    for one in trained + tested:
        if field == "path":
            one["path"] = f"/nowhere/{one['path']}"
    one = store(tmp_path / "a.h5", *trained)
    other = store(tmp_path / "b.h5", *tested)
    facts, found = states(cli, one, other)
    assert broken(facts) == {fact}
    assert (found["facts"][fact]["shared"], found["facts"][fact]["test_items"]) == (3, 3)
    assert [pair["train"] for pair in found["facts"][fact]["examples"]] == ["c/1", "c/2"]
    assert [pair["test"] for pair in found["facts"][fact]["examples"]] == ["c/11", "c/12"]
    (line,) = (line for line in lines(cli, one, other) if line.startswith(name))
    assert "SHARED   3 " in line
    assert "3 test items" in line
    assert "c/1 in train, c/11 in test; " in line
    done = cli("info", "--audit", one, other, "--items")
    assert [json.loads(text)["fact"] for text in done.out.splitlines()] == [fact] * 3
    option = fact.replace("_", "-")
    done = cli("info", "--audit", one, other, "--require", f"fit-disjoint,{option}")
    assert done.code == 3
    assert done.err.splitlines() == [
        f"sertool info: --require {option} does not hold: 3 {audit.FACTS[fact]} shared"
    ]
    assert "SHARED" in done.out
    assert cli("info", "--audit", one, other, "--require", "fit-disjoint").code == 0


def test_a_manifest_knows_no_sound(cli, tmp_path):
    path = manifest(tmp_path / "m.jsonl", *(row(n, fold=n % 3) for n in range(6)))
    facts, found = states(cli, path)
    assert (found["by"], found["folds"]) == ("folds", 3)
    assert {name for name, apart in facts.items() if apart is None} == {
        "audio_disjoint",
        "near_disjoint",
    }
    assert "--deep" in found["advice"]
    assert found["facts"]["near_disjoint"] == {
        **{"apart": None, "what": "near-duplicates", "shared": 0, "test_items": 0},
        **{"unknown_train": 4, "unknown_test": 6, "examples": []},
    }
    assert cli("info", "--audit", path, "--require", "audio-disjoint").code == 3
    no_speaker = manifest(tmp_path / "n.jsonl", *(row(n, speaker=None, fold=n) for n in range(2)))
    facts, found = states(cli, no_speaker)
    assert facts["speaker_disjoint"] is None
    assert "speakers" in found["advice"]


def test_folds_are_compared_with_all_others(cli, tmp_path, prints):
    rows = [row(n, fold=n % 3, speaker=f"s{n % 3}", text=f"t{n % 2}") for n in range(9)]
    rows.append(row(9, fold=None, speaker="s0"))  # in no fold, so in no test
    facts, found = states(cli, store(tmp_path / "s.h5", *rows))
    assert broken(facts) == {"text_disjoint"}
    assert found["facts"]["text_disjoint"]["test_items"] == 9
    assert found["facts"]["text_disjoint"]["shared"] == 2
    rows[4]["speaker"] = "s0"
    facts, found = states(cli, store(tmp_path / "t.h5", *rows))
    assert broken(facts) == {"text_disjoint", "speaker_disjoint"}
    # the three of fold 0, one of fold 1; those of fold 1's own speaker share nothing
    assert found["facts"]["speaker_disjoint"]["test_items"] == 4


def test_parts_are_compared_as_train_takes_them(cli, tmp_path):
    parts = ["train", "train", "val", "test"]
    rows = [row(n, part=part) for n, part in enumerate(parts)]
    rows[3]["speaker"] = "s2"  # the validation part's
    facts, found = states(cli, manifest(tmp_path / "m.jsonl", *rows))
    assert broken(facts) == {"speaker_disjoint"}
    assert (found["by"], found["train"]["items"], found["test"]["items"]) == ("parts", 3, 1)
    assert (found["train"]["parts"], found["test"]["parts"]) == (["train", "val"], ["test"])
    rows[3]["part"] = None
    facts, found = states(cli, manifest(tmp_path / "n.jsonl", *rows))
    assert (found["train"]["parts"], found["test"]["parts"]) == (["train"], ["val"])
    assert broken(facts) == set()


def test_a_checkpoint_is_what_it_trained_on_and_what_it_held_out(cli, tmp_path, prints):
    rows = [row(1, part="train"), row(2, part="val"), row(3, part="test", speaker="s2")]
    path = model(tmp_path / "m.ckpt", *rows)
    facts, found = states(cli, path)
    assert broken(facts) == {"speaker_disjoint"}
    assert (found["by"], found["train"]["items"], found["train"]["validation"]) == (
        "held out",
        2,
        1,
    )
    other = store(tmp_path / "s.h5", row(1), row(7))
    facts, found = states(cli, path, other)
    assert broken(facts) == set(audit.FACTS) - {"audio_disjoint", "near_disjoint"}
    assert found["facts"]["fit_disjoint"]["examples"] == [
        {"value": "c/1", "train": "c/1", "test": "c/1"}
    ]
    assert "alone" in found["advice"]
    held_out = store(tmp_path / "t.h5", row(3))  # and nothing of the training part
    assert broken(states(cli, path, held_out)[0]) == set()
    validated = store(tmp_path / "u.h5", row(2))  # chosen by, but not fitted to
    assert states(cli, path, validated)[0]["fit_disjoint"] is True
    facts, found = states(cli, other, path)  # as TEST: what it held out
    assert (found["test"]["items"], broken(facts)) == (1, set())
    assert "c/1 in both" in "".join(lines(cli, path, other))


def test_only_what_was_fitted_is_fitted(cli, tmp_path, prints):
    """A manifest or store has nothing fitted, were it not for an earlier stage's checkpoint."""
    one, other = (store(tmp_path / name, row(1)) for name in ("a.h5", "b.h5"))
    facts, _ = states(cli, one, other)
    assert facts["origin_disjoint"] is False
    assert facts["fit_disjoint"] is True
    stage = {"stage": "featurize", "kind": "embedding", "settings": {}}
    bare = store(tmp_path / "c.h5", row(5), pipeline=[stage])
    facts, found = states(cli, bare, other)
    assert facts["fit_disjoint"] is None
    assert any("does not say" in line for line in lines(cli, bare, other))
    knows = store(tmp_path / "d.h5", row(5), pipeline=[stage | {"fitted_on": ["c/1#002", "c/8"]}])
    facts, found = states(cli, knows, other)
    assert broken(facts) == {"origin_disjoint", "fit_disjoint"}
    assert "fitted to" in found["advice"]
    assert any(line.startswith("statistics       SHARED") for line in lines(cli, knows, other))
    facts, _ = states(cli, other, knows)  # the test items' features, too, come out of it
    assert facts["fit_disjoint"] is True
    facts, _ = states(cli, store(tmp_path / "e.h5", row(2)), store(
        tmp_path / "f.h5", row(1), pipeline=[stage | {"fitted_on": ["c/1"]}]
    ))  # fmt: skip
    assert facts["fit_disjoint"] is False


def test_segments_and_copies_of_one_recording(cli, tmp_path, prints):
    copy = {"augmentation": '{"awgn":20}', "audio_hash": "", "fingerprint": ""}
    same = {"audio_hash": "h1", "fingerprint": "f1:x", "speaker": "s1", "text": "t1"}
    train = store(
        tmp_path / "a.h5",
        row(1, id="c/1#000", origin="c/1", **same),
        row(2),
        row(2, id="c/2~1", origin="c/2", **copy),
    )
    test = store(
        tmp_path / "b.h5",
        row(1, id="c/1#001", origin="c/1", **same),
        row(2, id="c/2~2", origin="c/2", **copy),
    )
    facts, found = states(cli, train, test)
    assert broken(facts) == {"origin_disjoint", "speaker_disjoint", "text_disjoint"}
    assert found["facts"]["origin_disjoint"]["shared"] == 2
    assert (found["train"]["copies"], found["test"]["copies"]) == (1, 1)
    assert "before --segment" in found["advice"]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("nix.jsonl", None, "No such file"),
        ("x.jsonl", "{}\n", "not a manifest"),
        ("x.bin", "hello", "neither a manifest"),
        ("x.h5", b"\x89HDF\r\n\x1a\n", "damaged"),
        ("plain.jsonl", json.dumps(row(1)) + "\n", "no folds and no parts"),
        ("test.jsonl", json.dumps(row(1, part="test")) + "\n", "no training part"),
        ("fold.jsonl", json.dumps(row(1, fold=1)) + "\n", "no folds and no parts"),
        ("r.json", json.dumps({"format": "sertool-report", "confusion": []}), "a report has"),
    ],
)
def test_what_cannot_be_audited_is_one_line(cli, tmp_path, name, content, word):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = cli("info", "--audit", path)
    assert (done.code, done.out) == (3, "")
    assert word in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_wrong_usage(cli, tmp_path):
    path = manifest(tmp_path / "m.jsonl", row(1, fold=0), row(2, fold=1))
    for arguments, word in (
        ([path, path, "--audit", path], "TRAIN with TEST"),
        ([path, path], "one FILE"),
        ([path, "--deep"], "--audit"),
        ([path, "--require", "speaker-disjoint"], "--audit"),
        (["--audit", path, "--require", "kindness"], "needs speaker-disjoint"),
        (["--audit", path, "--figures", tmp_path], "--figures"),
        (["--audit", path, "--all"], "--all"),
    ):
        done = cli("info", *arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert done.err.count("\n") == 1
        assert word in done.err
    held_nothing = model(tmp_path / "m.ckpt", row(1, part="train"))
    for arguments in ([held_nothing], [path, held_nothing]):
        done = cli("info", "--audit", *arguments)
        assert done.code == 3
        assert "held no items out" in done.err


def test_bad_lines_are_named_and_counted(cli, tmp_path):
    path = manifest(tmp_path / "m.jsonl", row(1, fold=0), row(2, fold=1))
    path.write_text(path.read_text() + "{broken\n" + json.dumps(row(3, fold=-1)) + "\n")
    done = cli("info", "--audit", path)
    assert done.code == 1
    assert "line 3: not JSON" in done.err
    assert "line 4: fold is" in done.err
    assert "each of 2 folds" in done.out


ODD = [None, "", 5, 0.5, True, ["x"], {"a": 1}, "\ud800".encode("utf-8", "replace").decode()]


@pytest.mark.parametrize("field", ["origin", "augmentation", "audio_hash", "file"])
def test_odd_values_give_facts_or_one_line(cli, tmp_path, field):
    rows = [row(n, fold=n % 2, **{field: value}) for n, value in enumerate(ODD)]
    facts, _ = states(cli, manifest(tmp_path / "m.jsonl", *rows))
    assert facts["speaker_disjoint"] is True
    path = model(
        tmp_path / "m.ckpt", *(one | {"part": "train"} for one in rows), row(99, part="test")
    )
    facts, _ = states(cli, path)
    assert facts["speaker_disjoint"] is True
    odd = model(tmp_path / "n.ckpt", row(1, part="test"), row(2, part=["x"]), pipeline=["x", 5])
    for arguments in ([path, odd], [odd], [odd, path]):
        assert "Traceback" not in cli("info", "--audit", *arguments).err


def tones(folder, n, seconds=0.5, rate=8000, seed=0):
    """Write `n` recordings of noise, each its own, and return their samples."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    waves = [0.2 * random.standard_normal(int(seconds * rate)) for _ in range(n)]
    for i, wave in enumerate(waves):
        soundfile.write(folder / f"{i}.wav", wave, rate, "PCM_16")
    return waves


def test_deep_decodes_what_columns_do_not_say(cli, tmp_path, prints):
    """All fingerprints are near here: only the waveforms tell who is a duplicate."""
    (tmp_path / "w").mkdir()
    waves = tones(tmp_path / "w", 3)
    samples, _ = soundfile.read(tmp_path / "w" / "0.wav", dtype="int16")
    soundfile.write(tmp_path / "w" / "same.flac", samples, 8000, "PCM_16")
    quiet = 0.3 * waves[1][300:] + 0.01 * np.random.default_rng(9).standard_normal(3700)
    soundfile.write(tmp_path / "w" / "near.wav", quiet, 8000, "FLOAT")
    rows = [row(i, path=f"w/{name}") for i, name in enumerate(["0.wav", "1.wav", "2.wav"])]
    train = manifest(tmp_path / "train.jsonl", *rows)
    test = manifest(
        tmp_path / "test.jsonl",
        *(row(10 + i, path=f"w/{name}") for i, name in enumerate(["same.flac", "near.wav"])),
    )
    facts, _ = states(cli, train, test)
    assert facts["audio_disjoint"] is facts["near_disjoint"] is None
    for arguments in ([train, test, "--deep", "-j1"], ["deep", train, test, "--workers", "2"]):
        facts, found = states(cli, *arguments)
        assert broken(facts) == {"audio_disjoint", "near_disjoint"}
        pairs = [
            (pair["train"], pair["test"])
            for fact in ("audio_disjoint", "near_disjoint")
            for pair in found["facts"][fact]["examples"]
        ]
        assert pairs == [("c/0", "c/10"), ("c/1", "c/11")]
        assert found["deep"] == {"decoded": 5, "failed": 0, "compared": 5, "dismissed": 4}


def test_columns_alone_are_read_unless_asked(cli, tmp_path, monkeypatch):
    tones(tmp_path / "w", 2)
    path = manifest(tmp_path / "m.jsonl", *(row(n, path=f"w/{n}.wav", fold=n) for n in range(2)))

    def never(*_, **__):
        raise AssertionError("audio was opened")

    monkeypatch.setattr("soundfile.SoundFile", never)
    monkeypatch.setattr("sertool.core.boxes.FORKS", False)  # in this process
    assert states(cli, path)[0]["speaker_disjoint"] is True
    with pytest.raises(AssertionError, match="opened"):
        cli("info", "--audit", path, "--deep", "-j1")


def test_deep_names_what_cannot_be_decoded(cli, tmp_path, prints):
    tones(tmp_path / "w", 2)
    rows = [row(0, path="w/0.wav", fold=0), row(1, path="w/1.wav", fold=1)]
    gone = [row(2, path="w/gone.wav", fold=1), row(3, path="w/0.wav", start=3, fold=1)]
    path = manifest(tmp_path / "m.jsonl", *rows, *gone)
    done = cli("info", "--audit", path, "--deep")
    assert done.code == 1
    assert "gone.wav: no such file" in done.err
    assert "starts at 3 s" in done.err
    assert "2 failed" in done.out
    assert any(line.startswith("identical audio  unknown") for line in done.out.splitlines())


def test_deep_takes_what_a_store_knows_already(cli, tmp_path, prints):
    tones(tmp_path / "w", 2)
    rows = [row(n, path=f"w/{n}.wav", fold=n, fingerprint="") for n in range(2)]
    path = store(tmp_path / "s.h5", *rows, root=str(tmp_path))
    facts, found = states(cli, path, "--deep")
    assert (facts["near_disjoint"], found["deep"]["decoded"]) == (True, 2)
    both = store(tmp_path / "t.h5", *(one | {"fingerprint": f"{i}:"} for i, one in enumerate(rows)))
    assert states(cli, both, "--deep")[1]["deep"]["decoded"] == 0


def test_deep_on_real_speech(cli, corpora, tmp_path):
    """Copies resampled, cut, made softer and noisier, among takes of the same speaker; one pair
    of takes is RAVDESS's own identical one.
    """
    folder = corpora / "ravdess" / "Actor_07"
    names = sorted(path.name for path in folder.iterdir())[8:20]  # happiness and its neighbours
    train = [row(i, path=str(folder / name)) for i, name in enumerate(names[::2])]
    test = [row(20 + i, path=str(folder / name)) for i, name in enumerate(names[1::2])]
    random = np.random.default_rng(0)
    for i, rate in ((1, 16000), (4, 48000)):
        wave, _ = soundfile.read(train[i]["path"])
        wave = wave[:: 48000 // rate][rate // 4 :] * 0.3
        wave += 0.05 * np.std(wave) * random.standard_normal(len(wave))
        soundfile.write(tmp_path / f"{i}.wav", wave, rate)
        test.append(row(30 + i, path=str(tmp_path / f"{i}.wav")))
    left = manifest(tmp_path / "train.jsonl", *train)
    right = manifest(tmp_path / "test.jsonl", *test)
    facts, found = states(cli, left, right, "--deep", "-j1")
    assert broken(facts) == {"near_disjoint", "audio_disjoint"}
    pairs = [(p["train"], p["test"]) for p in found["facts"]["near_disjoint"]["examples"]]
    assert pairs == [("c/1", "c/31"), ("c/4", "c/34")]
    assert found["facts"]["audio_disjoint"]["shared"] == 1
    (same,) = found["facts"]["audio_disjoint"]["examples"]
    twins = (names[2 * int(same["train"][2:])], names[2 * (int(same["test"][2:]) - 20) + 1])
    assert sorted(twins) == [f"03-01-03-01-02-{take}-07.flac" for take in ("01", "02")]
    assert found["deep"] == {"decoded": 14, "failed": 0, "compared": 2, "dismissed": 0}


def test_no_fingerprint_is_unknown_and_none_of_ours_no_traceback(cli, tmp_path):
    silence = np.zeros(8000)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", silence, 8000)
    silence[4000] = 0.5
    soundfile.write(tmp_path / "c.wav", silence[:4100], 8000)  # too short for a fingerprint
    rows = [row(i, path=f"{name}.wav", fold=i) for i, name in enumerate("abc")]
    path = manifest(tmp_path / "m.jsonl", *rows)
    facts, _ = states(cli, path, "--deep")
    assert (facts["audio_disjoint"], facts["near_disjoint"]) == (False, None)
    odd = ["no fingerprint", "1é", "1AAA", "1AAAA" * 300, "f:1"]
    rows = [row(i, fingerprint=text, audio_hash=str(i), fold=i) for i, text in enumerate(odd)]
    facts, _ = states(cli, manifest(tmp_path / "n.jsonl", *rows))
    assert False not in facts.values()


def test_likeness_of_waveforms():
    random = np.random.default_rng(0)
    wave = random.standard_normal(5000)
    assert likeness(wave, wave) == pytest.approx(1.0)
    assert likeness(wave, -0.1 * wave[700:]) == pytest.approx(1.0)
    assert likeness(wave[900:], wave) == pytest.approx(1.0)
    other = random.standard_normal(4000)
    assert likeness(wave, other) == pytest.approx(likeness(other, wave))
    assert likeness(wave, other) < 0.2
    noisy = wave + random.standard_normal(5000)
    assert SAME < likeness(wave, noisy) < 0.8
    assert likeness(np.zeros(9), wave) == 0.0
    assert likeness(wave[:1], wave[:1]) == pytest.approx(1.0)
    assert likeness(wave[2000:3200], wave) == pytest.approx(1.0)  # a cut of a quarter
    # no shift may win by the few samples that are left of two long waveforms
    lead = np.concatenate([other[:50], random.standard_normal(3000)])
    tail = np.concatenate([random.standard_normal(3000), other[:50]])
    assert likeness(lead, tail) < 0.2
    # against the definition, shift by shift
    a, b = random.standard_normal(40), random.standard_normal(25)
    best = 0.0
    for shift in range(-24, 40):
        x, y = a[max(0, shift) : shift + 25], b[max(0, -shift) : 40 - shift]
        shares = sorted([(x @ x) / (a @ a), (y @ y) / (b @ b)])
        if shares[0] >= 0.01 and shares[1] >= 0.5:
            best = max(best, abs(x @ y) / np.sqrt((x @ x) * (y @ y)))
    assert likeness(a, b) == pytest.approx(best)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    items = made.corpus(folder / "wav")
    made.store(folder / "s.h5", folder / "wav", items)
    made.train(folder / "s.h5", folder / "m.ckpt", lambda item: PARTS[item.speaker])
    return folder


PARTS = {"s0": "train", "s1": "train", "s2": "val", "s3": "test"}


def protocol(cli, *arguments, code=0):
    done = cli("eval", *arguments, "--json", "-", "--summary")
    assert done.code == code, done.err
    return json.loads(done.out)["protocol"], done.err


def changed(folder, path, change):
    """Write the toy's store with items changed."""
    with Store(folder / "s.h5") as old:
        items = [change(item.store_row()) for item in old.items()]
        arrays = [old.features(i) for i in range(len(old))]
        rates = {"sample_rate": old.sample_rate, "frame_rate": old.frame_rate}
        same = {"settings": old.settings, "pipeline": old.pipeline, "root": old.root}
    write_store(path, arrays, items, kind="mel", **rates, **same)
    return path


def test_eval_states_the_new_facts(cli, toy, tmp_path, prints):
    facts, _ = protocol(cli, toy / "m.ckpt", toy / "s.h5")
    assert facts["fit_disjoint"] is facts["audio_disjoint"] is True
    assert facts["near_disjoint"] is None  # the toy's store has no fingerprints
    done = cli("eval", toy / "m.ckpt", toy / "s.h5", "--require", "near-disjoint")
    assert (done.code, done.out) == (3, "")
    assert "near-duplicates unknown" in done.err
    assert cli("eval", toy / "m.ckpt", toy / "s.h5", "--require", "fit-disjoint").code == 0

    def printed(item):
        twin = item["id"] in ("toy/s3-anger-0", "toy/s2-anger-0")
        return item | {"fingerprint": "twin:" + item["id"] if twin else item["id"]}

    path = changed(toy, tmp_path / "s.h5", printed)
    made.train(path, tmp_path / "m.ckpt", lambda item: PARTS[item.speaker])
    facts, said = protocol(cli, tmp_path / "m.ckpt", path)
    assert facts["near_disjoint"] is False
    assert facts["shared"]["near-duplicates"] == 1
    assert facts["against"]["val"]["near_disjoint"] is False
    assert facts["against"]["train"]["near_disjoint"] is True
    assert "near-duplicates: 1 SHARED" in said
    done = cli("eval", tmp_path / "m.ckpt", path, "--require", "near-disjoint")
    assert done.code == 3
    assert "1 near-duplicates shared" in done.err


def test_eval_finds_an_identical_pair(cli, toy, tmp_path):
    def twin(item):
        same = {"audio_hash": "same"} if item["id"] in ("toy/s3-anger-0", "toy/s0-anger-1") else {}
        return item | same

    path = changed(toy, tmp_path / "s.h5", twin)
    made.train(path, tmp_path / "m.ckpt", lambda item: PARTS[item.speaker])
    facts, said = protocol(cli, tmp_path / "m.ckpt", path)
    assert facts["audio_disjoint"] is False
    assert facts["shared"]["identical recordings"] == 1
    assert "identical recordings: 1 SHARED" in said


def test_a_normaliser_fitted_to_test_items(cli, toy, tmp_path):
    """By a checkpoint made by hand, which trained on what it is tested on."""
    with Store(toy / "s.h5") as whole:
        held = [item for item in whole.items() if item.speaker == "s3"]
    loaded = checkpoint.load(toy / "m.ckpt")
    loaded.items += [item.replace(part="train") for item in held[:2]]
    checkpoint.save(Checkpoint(loaded.tensors, loaded.items, loaded.meta), tmp_path / "m.ckpt")
    facts, said = protocol(cli, tmp_path / "m.ckpt", toy / "s.h5")
    assert facts["fit_disjoint"] is False
    assert facts["shared"]["fitted items"] == 2
    assert "FITTED to 2 test items" in said
    done = cli("eval", tmp_path / "m.ckpt", toy / "s.h5", "--require", "fit-disjoint")
    assert done.code == 3
    assert "2 fitted items shared" in done.err
    facts, found = states(cli, tmp_path / "m.ckpt")
    assert facts["fit_disjoint"] is False
    assert found["facts"]["fit_disjoint"]["test_items"] == 2


def test_what_init_brings_is_audited(cli, tmp_path):
    """What --init was trained on counts as trained on and fitted to, whichever store it is in."""
    rows = small_store.items(speakers=4, each=6, copies=0)
    first = small_store.make(tmp_path / "a.h5", [r for r in rows if r.speaker in ("s0", "s1")])
    second = small_store.make(tmp_path / "b.h5", [r for r in rows if r.speaker in ("s2", "s3")])
    network = ("--model", "sundharam-cnn", "--epochs", "1", "--test-fold", "none", "--quiet")
    done = cli("train", first, tmp_path / "a.ckpt", *network)
    assert done.code == 0, done.err
    done = cli("train", second, tmp_path / "b.ckpt", *network, "--init", tmp_path / "a.ckpt")
    assert done.code == 0, done.err
    facts, said = protocol(cli, tmp_path / "b.ckpt", first, "--all")
    assert facts["fit_disjoint"] is facts["speaker_disjoint"] is False
    assert facts["shared"]["fitted items"] == 12
    assert "FITTED to 12 test items" in said
    facts, found = states(cli, tmp_path / "b.ckpt", first)
    assert facts["fit_disjoint"] is False
    assert found["train"]["items"] == 24


def test_a_report_of_before_is_read_and_shown(toy):
    old = {
        "speaker_disjoint": True,
        "origin_disjoint": False,
        "text_disjoint": None,
        "audio_disjoint": False,
        "shared": {"recordings": 3, "identical recordings": 3},
        "n_train": 5,
        "n_test": 3,
    }

    def read(protocol):
        return schema.convert(_protocol(protocol), Protocol)

    text = protocol_line(read(old)).plain
    assert "recordings apart: NO (3 shared)" in text
    assert "identical" not in text  # segments of one recording were counted so, then
    assert "near" not in text
    new = old | {"near_disjoint": False, "fit_disjoint": False}
    text = protocol_line(read(new)).plain
    assert "identical recordings: 3 SHARED" in text
    assert "near-duplicates: some SHARED" in text
    assert "FITTED to some test items" in text


def ravdess(cli, corpora, tmp_path, *options):
    path = tmp_path / "m.jsonl"
    done = cli("prepare", corpora / "ravdess", path, "--quiet", *options)
    assert done.code == 0, done.err
    return path


def test_ravdess_apart_in_speakers(cli, corpora, tmp_path):
    path = ravdess(cli, corpora, tmp_path, "--split", "speakers:6")
    facts, found = states(cli, path)
    assert broken(facts) == {"text_disjoint"}
    assert facts["speaker_disjoint"] is facts["origin_disjoint"] is facts["fit_disjoint"] is True
    assert found["facts"]["text_disjoint"]["shared"] == 2
    assert found["facts"]["text_disjoint"]["test_items"] == 1440
    assert found["train"]["recordings"] == 1440


def test_ravdess_has_an_identical_pair(cli, corpora, tmp_path):
    """Actor 7's two takes of one sentence: found where they are on both sides, else not."""
    pair = [f"ravdess/Actor_07/03-01-03-01-02-{take}-07" for take in ("01", "02")]
    path = ravdess(cli, corpora, tmp_path, "--where", "speaker in 07,08", "--where",
                   "label=happiness")  # fmt: skip
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 16
    for name, fold in (("takes", lambda one: one["id"][-4] == "2"), ("speakers", None)):
        split = manifest(
            tmp_path / f"{name}.jsonl",
            *(one | {"fold": int(fold(one) if fold else one["speaker"] == "07")} for one in rows),
        )
        features = tmp_path / f"{name}.h5"
        done = cli("featurize", split, features, "-j1", "--quiet", "--sample-rate", "16000")
        assert done.code == 0, done.err
        facts, found = states(cli, features)
        shared = found["facts"]["audio_disjoint"]
        if fold is None:
            assert broken(facts) == {"text_disjoint"}
            continue
        assert broken(facts) == {"text_disjoint", "speaker_disjoint", "audio_disjoint"}
        assert shared["shared"] == 1
        assert sorted(shared["examples"][0][side] for side in ("train", "test")) == pair
