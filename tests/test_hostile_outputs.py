"""Nothing that was written is lost: links, inputs, logs and other runs where an output goes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from made_stores import write_store

from sertool.core.errors import InputError, UsageError
from sertool.formats import outputs
from sertool.formats.outputs import Parts, atomic, atomic_folder, atomic_set, check_output

Cli = Callable[..., object]


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder elsewhere with something that nobody may touch."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "thesis.txt").write_text("three years of work")
    return folder


def _link(parts: Path, precious: Path) -> None:
    parts.symlink_to(precious, target_is_directory=True)


def _of_another(parts: Path, precious: Path) -> None:
    parts.mkdir()
    (parts / "thesis.txt").write_text("mine")


def _with_link(parts: Path, precious: Path) -> None:
    parts.mkdir()
    (parts / "job.json").write_text("{}")
    for name in (".0000000.tmp", "lock", "0000000"):
        (parts / name).symlink_to(precious / "thesis.txt")


def _with_second_name(parts: Path, precious: Path) -> None:
    parts.mkdir()
    (parts / "job.json").write_text("{}")
    os.link(precious / "thesis.txt", parts / ".0000000.tmp")


def _with_folder(parts: Path, precious: Path) -> None:
    parts.mkdir()
    (parts / "job.json").write_text("{}")
    (parts / "sub").mkdir()


def _with_pipe(parts: Path, precious: Path) -> None:
    parts.mkdir()
    os.mkfifo(parts / "job.json")


def _file(parts: Path, precious: Path) -> None:
    parts.write_text("not a folder")


@pytest.mark.parametrize(
    "plant",
    [_link, _of_another, _with_link, _with_second_name, _with_folder, _with_pipe, _file],
)
@pytest.mark.parametrize("more", [(), ("--resume",), ("--force",)])
def test_parts_that_are_not_ours(
    cli, sounds: Path, tmp_path: Path, precious: Path, plant: Callable[..., None], more: tuple
) -> None:
    plant(tmp_path / ".o.h5.parts", precious)
    before = content(tmp_path)
    result = cli("featurize", "-q", *more, sounds, tmp_path / "o.h5")
    assert result.code == 3, result.err
    assert result.err.count("\n") == 1
    assert ".o.h5.parts" in result.err
    assert content(tmp_path) == before


@pytest.mark.parametrize("plant", [_link, _of_another, _with_link])
def test_parts_beside_a_whole_output_that_are_not_ours(
    cli, sounds: Path, tmp_path: Path, precious: Path, plant: Callable[..., None]
) -> None:
    assert cli("featurize", "-q", sounds, tmp_path / "o.h5").code == 0
    plant(tmp_path / ".o.h5.parts", precious)
    before = content(tmp_path)
    assert cli("featurize", "--resume", sounds, tmp_path / "o.h5").code == 0
    assert content(tmp_path) == before


def test_a_temporary_name_cannot_be_foreseen(tmp_path: Path, precious: Path) -> None:
    victim = precious / "thesis.txt"
    (tmp_path / f".o.{os.getpid()}.tmp").symlink_to(victim)
    names = set()
    for _ in range(3):
        with atomic(tmp_path / "o") as temporary:
            assert stat.S_ISREG(os.lstat(temporary).st_mode)
            names.add(temporary.name)
            temporary.write_text("new")
    assert len(names) == 3
    assert victim.read_text() == "three years of work"
    assert (tmp_path / "o").read_text() == "new"


def test_a_temporary_name_that_is_taken_is_not_followed(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = precious / "thesis.txt"
    draws = iter([b"\0" * 8, b"\1" * 8])
    monkeypatch.setattr(os, "urandom", lambda n: next(draws))
    (tmp_path / f".o.{'00' * 8}.tmp").symlink_to(victim)
    with atomic(tmp_path / "o") as temporary:
        temporary.write_text("new")
    assert victim.read_text() == "three years of work"


def test_what_a_run_in_another_pid_namespace_writes_stays(tmp_path: Path) -> None:
    """The other's process number says nothing here: it is a lock that tells whether it lives."""
    code = (
        "import sys, pathlib\n"
        "from sertool.formats.outputs import atomic\n"
        "with atomic(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('of the other')\n"
        "    print(temporary, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "o")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "kill", _no_such_process)
        with atomic(tmp_path / "o") as temporary:
            temporary.write_text("mine")
    assert theirs.read_text() == "of the other"
    other.communicate("")
    assert other.returncode == 0
    assert (tmp_path / "o").read_text() == "of the other"
    assert os.listdir(tmp_path) == ["o"]


def _no_such_process(pid: int, signal: int) -> None:
    raise ProcessLookupError


def test_what_killed_runs_left_goes_and_what_is_alike_stays(tmp_path: Path, precious: Path) -> None:
    (tmp_path / f".o.{'a' * 16}.tmp").write_text("of a killed run")
    kept = [".o.backup.tmp", ".o.1234.tmp", f".o.{'b' * 16}.tmp"]
    for name in kept[:2]:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / kept[2]).symlink_to(precious / "thesis.txt")
    with atomic(tmp_path / "o") as temporary:
        temporary.write_text("new")
    assert sorted(os.listdir(tmp_path)) == sorted(["elsewhere", "o", *kept])


@pytest.mark.parametrize("force", [False, True])
def test_an_output_that_appears_meanwhile(tmp_path: Path, force: bool) -> None:
    target = tmp_path / "o"
    check_output(target, force=force)
    if force:
        with atomic(target) as temporary:
            target.write_text("of somebody else")
            temporary.write_text("mine")
        assert target.read_text() == "mine"
    else:
        with pytest.raises(InputError, match="appeared"), atomic(target) as temporary:
            target.write_text("of somebody else")
            temporary.write_text("mine")
        assert target.read_text() == "of somebody else"
    assert os.listdir(tmp_path) == ["o"]


def test_an_output_that_appears_while_a_stage_runs(
    cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sertool.features import stores

    real = stores.build_store

    def while_another_finishes(*arguments: object, **more: object) -> object:
        (tmp_path / "o.h5").write_text("of another")
        return real(*arguments, **more)

    monkeypatch.setattr(stores, "build_store", while_another_finishes)
    result = cli("featurize", "-q", sounds, tmp_path / "o.h5")
    assert result.code == 3
    assert "appeared" in result.err
    assert (tmp_path / "o.h5").read_text() == "of another"
    monkeypatch.undo()
    again = cli("featurize", "--resume", "--force", sounds, tmp_path / "o.h5")
    assert again.code == 0
    assert "resuming: 1 of 1" in again.err, "its work was lost"


def test_a_link_to_nothing_is_there(tmp_path: Path) -> None:
    (tmp_path / "o").symlink_to("nowhere")
    with pytest.raises(InputError, match="exists"):
        check_output(tmp_path / "o", force=False)


@pytest.mark.parametrize("fail", [1, 2, 3])
def test_a_set_is_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: int
) -> None:
    """Killed at any rename: the next run that looks finds the old set, or completes the new."""
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.write_text("old")
    real, calls = os.replace, [0]

    def killed(one: str, other: str) -> None:
        calls[0] += Path(other) in paths
        if calls[0] == fail:
            os._exit(9)
        real(one, other)

    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "replace", killed)
        with atomic_set(paths) as temporaries:
            for temporary in temporaries:
                temporary.write_text("new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    outputs.complete_set(paths)
    assert {path.read_text() for path in paths} == {"new"}
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_a_set_that_fails_changes_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    check_output(paths[0], force=False)
    check_output(paths[1], force=False)
    with pytest.raises(InputError, match="appeared"), atomic_set(paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text("new")
        paths[1].write_text("of another")
    assert content(tmp_path) == {"b": b"of another"}
    check_output(paths[0], force=True)
    with pytest.raises(ZeroDivisionError), atomic_set(paths):
        raise ZeroDivisionError
    assert content(tmp_path) == {"b": b"of another"}


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    folder = tmp_path / "o"
    folder.mkdir()
    (folder / "a").write_text("old")
    if not exchange:
        monkeypatch.setattr(outputs.sys, "platform", "darwin")
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("half")
        raise ZeroDivisionError
    assert content(tmp_path) == {"o/a": b"old"}
    real, moved = os.rename, []

    def killed(one: Path, other: Path) -> None:
        if moved:
            os._exit(9)
        moved.append(real(one, other))

    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "rename", killed)
        with atomic_folder(folder) as temporary:
            (temporary / "a").write_text("new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if exchange else 9)
    if not exchange:
        with pytest.raises(InputError, match="run this again"), atomic_folder(folder):
            pass
    with pytest.raises(ZeroDivisionError), atomic_folder(folder):
        assert content(tmp_path) == {"o/a": b"new" if exchange else b"old"}
        raise ZeroDivisionError
    with atomic_folder(folder) as temporary:
        (temporary / "b").write_text("newer")
    assert content(tmp_path) == {"o/b": b"newer"}
    assert os.listdir(tmp_path) == ["o"]


def test_a_forged_list_of_a_set_moves_nothing_else(tmp_path: Path, precious: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    shutil.copy(precious / "thesis.txt", tmp_path / "mine.txt")
    for text in (
        json.dumps(["mine.txt", "elsewhere/thesis.txt"]), json.dumps(["../x", 3]), "[", "{}",
        json.dumps([".a.zzz.tmp", None]),
    ):  # fmt: skip
        (tmp_path / ".a.set").write_text(text)
        before = content(tmp_path)
        outputs.complete_set(paths)
        after = content(tmp_path)
        assert after | {".a.set": before[".a.set"]} == before


@pytest.fixture
def desk(tmp_path: Path, sounds: Path) -> Path:
    """A folder with one of everything that a stage reads."""
    folder = tmp_path / "desk"
    folder.mkdir()
    for i, path in enumerate(sorted(sounds.rglob("*.wav"))[:4]):
        (folder / "c" / ("sad", "happy")[i % 2]).mkdir(parents=True, exist_ok=True)
        data, rate = soundfile.read(path, dtype="int16")
        soundfile.write(folder / "c" / ("sad", "happy")[i % 2] / f"{i}.flac", data, rate)
    draw = np.random.default_rng(0)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": ("anger", "joy")[i % 2]}
        | {"speaker": f"s{i // 4}", "fold": i // 4}
        for i in range(8)
    ]
    write_store(folder / "f.h5", [draw.normal(i % 2, 1, (9, 3)) for i in range(8)], rows)
    lines = [
        json.dumps({"id": path.stem, "path": str(path), "label": path.parent.name})
        for path in sorted((folder / "c").rglob("*.flac"))
    ]
    (folder / "m.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "t.csv").write_text(
        "file,label\n" + "".join(f"{p},sad\n" for p in sorted((folder / "c").rglob("*.flac")))
    )
    (folder / "map.toml").write_text('[classes]\nsadness = ["sad", "happy"]\n')
    ids = "".join(f"{json.loads(line)['id']},{i}\n" for i, line in enumerate(lines))
    (folder / "folds.csv").write_text("id,fold\n" + ids)
    return folder


FLACS = [f"c/{('sad', 'happy')[i % 2]}/{i}.flac" for i in range(4)]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["prepare", *FLACS, "--force"], 2),
        (["prepare", "t.csv", "t.csv", "--force"], 2),
        (["prepare", "t.csv", "./c/../t.csv", "--force", "--to", "audformat"], 2),
        (["prepare", "m.jsonl", "m.jsonl", "--force"], 2),
        (["prepare", "m.jsonl", "m.jsonl", "--force", "--resume"], 2),
        (["prepare", "c", "map.toml", "--labels", "map.toml", "--force"], 2),
        (["prepare", "m.jsonl", "folds.csv", "--split", "file:folds.csv", "--force"], 2),
        (["prepare", "c", "c/sad/0.flac", "--force"], 2),
        (["prepare", "m.jsonl", "c/sad/0.flac", "--force"], 2),
        (["featurize", "c", "c/sad/0.flac", "--force"], 2),
        (["train", "f.h5", "f.h5", "--force"], 2),
        (["train", "f.h5", "c/sad/0.flac", "--test-fold", "0", "--force"], 2),
    ],
)
def test_an_output_that_is_an_input(
    cli, desk: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.chdir(desk)
    before = content(desk)
    result = cli(*words)
    assert (result.code, result.out) == (code, ""), result.err
    assert result.err.count("\n") == 1, result.err
    assert content(desk) == before


@pytest.mark.parametrize("name", ["f.h5", "m.jsonl", "t.csv", "c/sad/0.flac", "map.toml"])
@pytest.mark.parametrize(
    "words", [["info", "f.h5"], ["prepare", "c", "new.jsonl"], ["train", "f.h5", "m.ckpt"]]
)
def test_a_log_is_no_other_file(
    cli, desk: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    monkeypatch.chdir(desk)
    before = content(desk)
    result = cli(*words, "--log", name)
    assert result.code in (2, 3)
    assert "log" in result.err
    assert result.err.count("\n") == 1, result.err
    assert content(desk) == before


def test_a_log_is_appended_to_and_is_not_the_output(
    cli, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    for name in ("one.jsonl", "two.jsonl"):
        assert cli("prepare", "-q", "c", name, "--log", "log.jsonl").code == 0
    events = [json.loads(line)["event"] for line in Path("log.jsonl").read_text().splitlines()]
    assert events.count("start") == events.count("end") == 2
    result = cli("prepare", "c", "three.jsonl", "--log", "three.jsonl", "--force")
    assert result.code == 2
    assert "--log" in result.err
    os.mkfifo("pipe")
    assert cli("prepare", "c", "four.jsonl", "--log", "pipe").code == 3
    Path("empty").touch()
    assert cli("prepare", "-q", "c", "five.jsonl", "--log", "empty").code == 0


def test_ids_that_a_column_cannot_tell_apart(cli, desk: Path) -> None:
    wave = str(desk / FLACS[0])
    (desk / "nul.jsonl").write_text(
        "".join(json.dumps({"id": name, "path": wave}) + "\n" for name in ("a", "a\0"))
    )
    result = cli("featurize", "-q", desk / "nul.jsonl", desk / "nul.h5")
    assert result.code == 1
    assert "line 2" in result.err
    assert "NUL" in result.err


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["featurize", "--kind", "mel", "c", "o.h5"], ["fmin", "fmax", "amin", "power", "top_db"]),
        (["featurize", "--kind", "mfcc", "c", "o.h5"], ["fmin", "fmax", "lifter"]),
        (["train", "--model", "linear", "--test-fold", "0", "f.h5", "o.ckpt"], ["C"]),
        (["train", "--model", "svm", "--test-fold", "0", "f.h5", "o.ckpt"], ["C", "gamma"]),
    ],
)
def test_settings_are_finite(
    cli, desk: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], names: list[str], value: str
) -> None:
    monkeypatch.chdir(desk)
    before = content(desk)
    for name in names:
        result = cli(*words, "--set", f"{name}={value}")
        assert result.code == 2, (name, result.err)
        assert content(desk) == before


@pytest.mark.parametrize("where", ["reader gone", "disk full"])
def test_standard_error_that_cannot_be_written(desk: Path, where: str) -> None:
    """What a stage says is not what it does: the output is the same without anybody listening."""
    command = [sys.executable, "-m", "sertool", "featurize", "c", "o.h5"]
    if where == "disk full":
        with open("/dev/full", "w") as full:
            code = subprocess.run(command, cwd=desk, stderr=full, check=False).returncode
    else:
        reading, writing = os.pipe()
        os.close(reading)
        code = subprocess.run(command, cwd=desk, stderr=writing, check=False).returncode
        os.close(writing)
    assert code == 0
    assert (desk / "o.h5").stat().st_size > 1000


def test_a_report_is_resumed_only_if_it_is_ours_and_forced_if_asked(cli, desk: Path) -> None:
    model, report = desk / "m.ckpt", desk / "r.json"
    words = ["train", "-q", "--model", "majority", "--test-fold", "0", desk / "f.h5", model]
    assert cli(*words).code == 0
    report.write_text("garbage")
    words = ["eval", "-q", model, desk / "f.h5", "--json", report]
    assert cli(*words, "--resume").code == 3
    assert report.read_text() == "garbage"
    assert cli(*words, "--resume", "--force").code == 0
    assert json.loads(report.read_text())["format"] == "sertool-report"


def test_locks_die_with_their_owner(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "o", {}, resume=False)
    with open(parts.folder / "lock", "rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    parts.remove_all()


def test_an_output_named_as_a_recording(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="recording"):
        check_output(tmp_path / "a.wav", force=True)
    check_output(tmp_path / "a.wav", force=True, audio=True)


@pytest.mark.parametrize("name", [".", "..", "away/.."])
def test_a_folder_without_a_name_is_locked_and_given_free(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "away").symlink_to(precious)
    monkeypatch.chdir(tmp_path / "here" if name == ".." else tmp_path)
    before = sorted(tmp_path.parent.rglob("*"))
    with outputs.naming([]):
        outputs.claim(Path(name))
        assert len(sorted(tmp_path.parent.rglob("*"))) == len(before) + 1
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_folder_put_aside_comes_back_and_nothing_is_put_in_its_place(tmp_path: Path) -> None:
    aside = tmp_path / ".out.old"
    aside.mkdir()
    (aside / "thesis.txt").write_text("three years of work")
    with pytest.raises(InputError, match="run this again"), atomic_folder(tmp_path / "out"):
        pass
    assert content(tmp_path) == {"out/thesis.txt": b"three years of work"}


def test_a_link_called_as_what_was_put_aside_is_left(tmp_path: Path, precious: Path) -> None:
    (tmp_path / ".out.old").symlink_to(precious)
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("")
    assert (tmp_path / ".out.old").is_symlink()
    assert sorted(os.listdir(precious)) == ["thesis.txt"]


@pytest.mark.parametrize("line", ["info --figures= f.h5", "info --figures @ f.h5", "prepare @ m"])
def test_an_empty_argument_is_refused(cli: Cli, line: str) -> None:
    done: Any = cli(*("" if word == "@" else word for word in line.split()))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "an argument is empty" in done.err
