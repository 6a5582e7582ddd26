"""prepare on the command line: what it writes, what it says, and how it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sertool import corpora
from sertool.formats.manifest import FIELDS, read_manifest

Cli = Callable[..., Any]


def emodb_tree(root: Path) -> Path:
    """Ten speakers, two sentences, seven emotions, one version: 140 empty files."""
    for speaker, text, emotion in product(
        corpora.load("emodb").published(Path(), []).speakers, ("a01", "b02"), "WLEAFTN"
    ):
        path = root / f"{speaker}{text}{emotion}a.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emodb_tree(tmp_path_factory.mktemp("emodb"))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_manifest(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    result = cli("prepare", corpus, out)
    assert (result.code, result.out) == (0, "")
    lines = rows(out)
    assert len(lines) == 140
    assert list(lines[0])[: len(FIELDS)] == list(FIELDS)
    assert lines[0]["path"] == str(corpus / "03a01Aa.wav")
    assert lines[0]["fold"] is None
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    assert next(iter(read_manifest(out))).extra["sentence"] == "a01"
    assert sorted(os.listdir(tmp_path)) == [".m.jsonl.made", "m.jsonl"]


def test_counts_go_to_standard_error(cli: Cli, corpus: Path) -> None:
    result = cli("prepare", corpus, "-")
    assert len(result.out.splitlines()) == 140
    assert "anger          20       127    -107" in result.err
    assert "all           140       535    -395" in result.err
    assert "03:14/49" in result.err
    assert "10 speakers (5 female, 5 male)" in result.err
    table = result.err[result.err.index("  class") :].splitlines()[:12]
    assert max(map(len, table)) <= 60
    assert cli("prepare", corpus, "-", "--quiet").err == ""


def test_more_than_published(cli: Cli, tmp_path: Path) -> None:
    for i in range(3):
        emodb_tree(tmp_path / f"copy{i}")  # 60 of disgust, and 46 are published
    result = cli("prepare", tmp_path, "-", "--quiet")
    assert result.code == 0
    assert "more than published; are some recordings duplicated?" in result.err


def test_where_and_labels(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    arguments = ["--where", "label in bored,anxiety", "--where", "gender=f", "--labels", "fser8"]
    result = cli("prepare", corpus, out, *arguments)
    # under fser8, fear is anxiety and boredom is calm: only anxiety is left of the two
    assert {(r["label"], r["raw_label"]) for r in rows(out)} == {("anxiety", "A")}
    assert "10 of 140 utterances kept" in result.err
    cli("prepare", corpus, out, "--force", "--where", "label in bored,fearful")
    assert Counter(r["label"] for r in rows(out)) == {"boredom": 20, "fear": 20}
    cli("prepare", corpus, out, "--force", "--labels", "ravdess8")
    assert len(rows(out)) == 120
    result = cli("prepare", corpus, "-", "--labels", "ravdess8")
    assert "20 dropped by the label map ravdess8: 20 boredom" in result.err


def test_own_labels(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[classes]\nhot = ["anger", "joy"]\ncold = ["sad", "N"]\n')
    result = cli("prepare", corpus, "-", "--labels", own)
    assert (result.code, result.out) == (3, "")
    assert "03a01Aa.wav: label 'fear' is unknown to the label map own" in result.err
    # a condition on another field spares the map what it excludes
    result = cli("prepare", corpus, "-", "--labels", own, "--where", "raw_label in W,F,T,N")
    assert result.code == 0
    assert Counter(json.loads(r)["label"] for r in result.out.splitlines()) == {
        "hot": 40,
        "cold": 40,
    }


def test_nothing_left_says_what_there_was(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    result = cli("prepare", corpus, tmp_path / "m.jsonl", "--where", "speaker=3")
    assert result.code == 3
    assert "no utterance is left; speaker is 03, 08" in result.err
    assert list(tmp_path.iterdir()) == []


def test_split(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    result = cli("prepare", corpus, out, "--split", "speakers:5")
    assert "5 folds of 28" in result.err
    assert "speaker-dependent" not in result.err
    for fold in range(5):
        people = {(r["speaker"], r["gender"]) for r in rows(out) if r["fold"] == fold}
        assert sorted(gender for _, gender in people) == ["female", "male"]
    result = cli("prepare", corpus, "-", "--split", "random:8:1:1")
    assert Counter(json.loads(r)["part"] for r in result.out.splitlines()) == {
        "train": 112,
        "val": 14,
        "test": 14,
    }
    assert "of 10 speakers are in several parts, so figures will be speaker-dependent" in result.err


def test_split_is_a_function_of_the_seed(cli: Cli, corpus: Path) -> None:
    runs = [cli("prepare", corpus, "-", "--split", "kfold:5", "--seed", s).out for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_class_absent_from_a_fold_is_reported(cli: Cli, corpus: Path) -> None:
    keep = ["--where", "label in anger,sadness", "--where", "raw_label!=T", "--split", "loso"]
    assert "has no" not in cli("prepare", corpus, "-", *keep).err
    result = cli("prepare", corpus, "-", "--split", "random:100:1")
    assert "part test has no" in result.err


def test_splits_that_cannot_be(cli: Cli, tmp_path: Path) -> None:
    for name in ("angry/1.wav", "sad/2.wav"):
        (tmp_path / "c" / name).parent.mkdir(parents=True)
        (tmp_path / "c" / name).touch()
    result = cli("prepare", tmp_path / "c", "-", "--split", "loso")
    assert result.code == 3
    assert "2 of 2 utterances have no speaker; a table with a column speaker" in result.err
    assert cli("prepare", tmp_path / "c", "-", "--split", "holdout").code == 2


def test_several_corpora_and_corpora_folds(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    for actor in ("03", "08"):
        (tmp_path / "r" / f"03-01-05-01-01-01-{actor}.wav").touch()
    result = cli("prepare", corpus, tmp_path / "r", "-", "--split", "corpora")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert {(r["corpus"], r["fold"]) for r in lines} == {("emodb", 0), ("ravdess", 1)}
    # EmoDB's speaker 03 is not RAVDESS's
    assert "speaker-dependent" not in result.err


def test_relative_paths(
    cli: Cli, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emodb_tree(tmp_path / "c")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    cli("prepare", "c", "out/m.jsonl", "--relative")
    assert rows(tmp_path / "out/m.jsonl")[0]["path"] == "../c/03a01Aa.wav"
    read = next(iter(read_manifest(Path("out/m.jsonl"))))
    assert os.path.samefile(read.path, "c/03a01Aa.wav")
    result = cli("prepare", "c", "-", "--relative")
    assert result.code == 2


def test_a_manifest_can_be_split_again(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    cli("prepare", corpus, one, "--where", "label=angry")
    assert cli("prepare", one, two, "--split", "loso").code == 0
    old, new = rows(one), rows(two)
    assert [{**r, "fold": None} for r in new] == old
    assert len({r["fold"] for r in new}) == 10
    one.write_text(one.read_text() + '{"path": "x.wav"}\n')
    result = cli("prepare", one, "-")
    assert result.code == 1
    assert "one.jsonl line 21: id is missing" in result.err


def test_manifest_lines_on_standard_input(corpus: Path, tmp_path: Path) -> None:
    sertool = f"{sys.executable} -m sertool prepare"
    one = f"{sertool} {corpus} - -q --where label=sad"
    done = subprocess.run(
        ["bash", "-c", f"({one}; echo '{{}}') | {sertool} - - --split loso"], capture_output=True
    )
    assert done.returncode == 1
    assert len({json.loads(line)["fold"] for line in done.stdout.splitlines()}) == 10
    assert b"standard input line 21: id is missing" in done.stderr


def test_output_that_exists(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    out.write_text("old\n")
    result = cli("prepare", corpus, out)
    assert result.code == 3
    assert "--force" in result.err
    assert cli("prepare", corpus, out, "--force").code == 0
    assert len(rows(out)) == 140
    fresh = tmp_path / "fresh.jsonl"
    assert cli("prepare", corpus, fresh, "--resume").code == 0
    assert fresh.read_bytes() == out.read_bytes()


def test_resume_believes_no_output_but_its_own(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "m.jsonl", tmp_path / "corpus"
    shutil.copytree(corpus, mine)
    assert cli("prepare", mine, out, "--split", "speakers:2").code == 0
    whole = out.read_bytes()

    def resumed(*options: str) -> tuple[int, str]:
        before = out.read_bytes()
        result = cli("prepare", mine, out, "--resume", *options)
        assert out.read_bytes() == before
        return result.code, result.err

    code, message = resumed("--split", "speakers:2")
    assert code == 0
    assert message.splitlines()[-1].endswith("m.jsonl: already complete")
    refusal = "is not what this command makes now"
    for options in ((), ("--split", "loso"), ("--split", "speakers:2", "--seed", "3")):
        code, message = resumed(*options)
        assert (code, refusal in message) == (3, True), options
        assert "--force replaces it" in message
    for other in (b"old\n", b"", whole[:-1], whole.replace(b'"fold": 0', b'"fold": 1', 1)):
        out.write_bytes(other)
        code, message = resumed("--split", "speakers:2")
        assert (code, refusal in message) == (3, True), other[:20]
    out.write_bytes(whole)
    next(mine.rglob("*.wav")).unlink()
    assert resumed("--split", "speakers:2")[0] == 3
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == [".m.jsonl.made", "corpus", "m.jsonl"]


def test_a_failure_leaves_the_old_output(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    out.write_text("old\n")
    assert cli("prepare", corpus, out, "--force", "--split", "sessions").code == 3
    assert out.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [out]


def test_missing_folders(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    result = cli("prepare", corpus, tmp_path / "none" / "m.jsonl")
    assert result.code == 3
    assert "does not exist" in result.err
    assert cli("prepare", tmp_path / "none", "-").code == 3
    (tmp_path / "empty").mkdir()
    result = cli("prepare", tmp_path / "empty", "-")
    assert result.code == 3
    assert "is empty" in result.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission(cli: Cli, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    assert cli("prepare", corpus, tmp_path / "out" / "m.jsonl").code == 3
    closed = emodb_tree(tmp_path / "closed")
    closed.chmod(0)
    result = cli("prepare", closed, "-")
    closed.chmod(0o700)
    assert result.code == 3
    assert "Permission denied" in result.err


def test_no_permission_as_the_system_says_it(
    cli: Cli, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for root, whom no mode keeps out: the system's refusal is made up."""

    def refuse(folder: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("sertool.corpora.discover.find_audio", refuse)
    result = cli("prepare", corpus, "-")
    assert result.code == 3
    assert result.err == f"sertool prepare: {corpus}: Permission denied\n"


def test_one_bad_file_and_strict(cli: Cli, tmp_path: Path) -> None:
    root = emodb_tree(tmp_path / "c")
    (root / "99x99Qa.wav").touch()
    result = cli("prepare", root, "-")
    assert result.code == 1
    assert len(result.out.splitlines()) == 140
    assert result.err.count("99x99Qa.wav: not named like EmoDB's files") == 1
    result = cli("prepare", root, "-", "--strict")
    assert (result.code, result.out) == (3, "")


def test_odd_names(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "c" / "angry"
    root.mkdir(parents=True)
    (root / b"\xe4.wav".decode("utf-8", "surrogateescape")).touch()
    (root / "two\nlines.wav").touch()
    out = tmp_path / "m.jsonl"
    assert cli("prepare", tmp_path / "c", out).code == 0
    lines = rows(out)
    assert sorted(line["id"] for line in lines) == ["c/angry/\\xe4", "c/angry/two\nlines"]
    from sertool.core.paths import from_text

    assert all(from_text(line["path"]).is_file() for line in lines)


def test_manifest_is_utf8_whatever_the_locale(corpus: Path) -> None:
    command = [sys.executable, "-m", "sertool", "prepare", corpus, "-", "--quiet"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.decode("utf-8").splitlines()) == 140


def test_reader_that_closes_the_pipe(corpus: Path) -> None:
    command = f"{sys.executable} -m sertool prepare {corpus} - | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--where", "nonsense"],
        ["--where", "mood=good"],
        ["--labels", "fser9"],
        ["--corpus", "emo"],
        ["--split", "kfold"],
        ["--nonsense"],
    ],
)
def test_usage(cli: Cli, corpus: Path, tmp_path: Path, arguments: list[str]) -> None:
    result = cli("prepare", corpus, tmp_path / "m.jsonl", *arguments)
    assert (result.code, result.out) == (2, "")
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in result.err
    assert result.err.splitlines()[-1].startswith("sertool prepare: ")


def test_real_corpora(cli: Cli, corpora: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    result = cli("prepare", corpora / "ravdess", out, "--split", "speakers:6")
    assert result.code == 0
    assert "all          1440      1440\n" in result.err
    assert "speakers: all 24 as published, 60 each" in result.err
    lines = rows(out)
    for fold in range(6):
        people = {(r["speaker"], r["gender"]) for r in lines if r["fold"] == fold}
        assert Counter(gender for _, gender in people) == {"male": 2, "female": 2}
    result = cli("prepare", corpora / "emodb-2s", "-", "--split", "speakers:5", "--labels", "fser8")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert Counter(r["label"] for r in found)["calm"] == 81
    for fold in range(5):
        people = {r["gender"] for r in found if r["fold"] == fold}
        assert people == {"male", "female"}
    result = cli("prepare", corpora / "emodb-339", "-")
    assert result.code == 0
    assert "all           339       535    -196" in result.err
    result = cli("prepare", corpora / "emodb-339", corpora / "emodb-2s", "-")
    assert result.code == 3
    assert "two files have the id emodb/03a01Fa" in result.err
