"""One trial: a stage is stopped, and is run again; what is wrong then?

It is stopped by a signal, or by a disk on which no file may grow further. A trial is a fork of a
process that has imported sertool, or a process that starts anew. The moment of a signal is a share
of the time that the stage takes, or a call: before the stage opens, renames or removes the k-th
file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import OUT, Stage

LONGEST = 120.0  # seconds until a stage is said to hang
# audit events of what changes a folder, or opens a file
CALLS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
# what the next run cleans
LEFT = re.compile(r"\.[^/]*\.(?:[0-9a-f]{16}\.tmp|parts|set|old|new|lock)")
TIMES = re.compile(rb'"(?:seconds|scoring|train)": [0-9.e-]+|"sha256": "[0-9a-f]+"')
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp(/|$)")
Tree = Mapping[str, str]  # hash of each file below a folder, by name
Streams = Mapping[int, str]  # "closed", "full" (a disk) or "gone" (its reader), by descriptor
WHOLE: Streams = {}


@dataclass(frozen=True)
class Kill:
    """What stops a stage: a signal, when it comes, and to whom; or a full disk.

    after: seconds after the start; call: before which call of the stage's; one of them is None.
    everyone: worker processes get it, too, as from a terminal or a scheduler. limit: without a
    signal: bytes that a file may have.
    """

    signal: signal.Signals | None = None
    after: float | None = None
    call: int | None = None
    everyone: bool = False
    limit: int | None = None

    @property
    def code(self) -> int:
        """The exit code of a stage that it stops."""
        return 3 if self.signal is None else 128 + self.signal

    def strike(self, pid: int) -> None:
        """Send the signal to a process, or to its group."""
        assert self.signal is not None
        (os.killpg if self.everyone else os.kill)(pid, self.signal)


@dataclass(frozen=True)
class Ended:
    """How a process ended. code: as a shell has it; late: it ended before the signal came."""

    code: int
    said: str
    seconds: float
    answered: float
    megabytes: int
    late: bool
    faults: tuple[str, ...] = ()


def tree(folder: Path) -> dict[str, str]:
    """Return the hash of each file below a folder, "" for an empty folder; logs have times."""
    found: dict[str, str] = {}
    for parent, folders, files in os.walk(folder):
        for name in files:
            if name.endswith(".log"):
                continue
            path = os.path.join(parent, name)
            content = Path(path).read_bytes()
            if b'"seconds"' in content or b'"cost": {"stages"' in content:
                content = TIMES.sub(b"", content)
            found[os.path.relpath(path, folder)] = hashlib.sha256(content).hexdigest()[:16]
        if not folders and not files and parent != str(folder):
            found[os.path.relpath(parent, folder)] = ""
    return found


def run(
    line: list[str],
    folder: Path,
    kill: Kill | None = None,
    anew: bool = False,
    streams: Streams = WHOLE,
) -> Ended:
    """Run a stage in a folder, with a signal or without; return how it ended.

    anew: as a process that starts; streams: what its standard streams are, where they are broken.
    """
    start = time.monotonic()
    heard, told = os.pipe()
    child = (_started if anew else _forked)(line, folder, kill, told, streams)
    os.close(told)
    sent, faults = None, []
    try:
        with contextlib.closing(_Handle(child)) as handle:
            after = kill.after if kill is not None else None
            if after is not None and not handle.ended(max(0, start + after - time.monotonic())):
                sent = time.monotonic()
                kill.strike(child)
            if not handle.ended(LONGEST):
                faults.append("hangs")
                os.killpg(child, signal.SIGKILL)
        _, status, used = os.wait4(child, 0)
        if not _all_gone(child):
            faults.append("a process stays")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    ended = time.monotonic()
    code = os.waitstatus_to_exitcode(status)
    said = _rest(heard)
    if "Traceback" in said:
        faults.append("a traceback")
    if kill is not None and kill.call is not None and (folder / "struck").exists():
        sent = ended  # when it came is not known
    if kill is not None and kill.limit is not None and code:
        sent = ended
    return Ended(
        128 - code if code < 0 else code, said, ended - start, ended - (sent or ended),
        used.ru_maxrss // 1024, kill is not None and sent is None, tuple(faults),
    )  # fmt: skip


class _Handle:
    """A child that can be waited for with a limit, and is not reaped by that."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def ended(self, seconds: float) -> bool:
        """Wait for some seconds; return whether the process has ended."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def close(self) -> None:
        os.close(self._descriptor)


def _rest(descriptor: int) -> str:
    """Return what is in a pipe, and close it; a process that stays may have its other end."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError), open(descriptor, "rb", buffering=0) as file:
        return (file.read(1 << 20) or b"").decode(errors="replace")
    return ""


def _all_gone(group: int, seconds: float = 60.0) -> bool:
    """Return whether nothing of a process group runs any more, after some seconds at most."""
    until = time.monotonic() + seconds
    while _runs(group):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _runs(group: int) -> bool:
    """Return whether a process of the group runs; one that nobody has waited for does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="latin-1") as file:
            state, _, its = file.read().rpartition(")")[2].split()[:3]
            if int(its) == group and state != "Z":
                return True
    return False


def _started(line: list[str], folder: Path, kill: Kill | None, told: int, streams: Streams) -> int:
    """Start a stage as a process of its own group; return its number. told: its standard error."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _bound(kill)
        _break(streams)

    command = [sys.executable, "-m", "sertool", *line]
    return subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told,
        process_group=0, preexec_fn=prepare,
    ).pid  # fmt: skip


def _bound(kill: Kill | None) -> None:
    """Let no file grow further, where that is what stops a stage."""
    if kill is not None and kill.limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kill.limit, resource.RLIM_INFINITY))


def _break(streams: Streams) -> None:
    """Close standard streams, have them written to a full disk, or for a reader that is gone."""
    for number, how in streams.items():
        if how == "closed":
            os.close(number)
        elif how == "full":
            os.dup2(os.open("/dev/full", os.O_RDWR), number)
        else:
            gone, writing = os.pipe()
            os.close(gone)
            os.dup2(writing, number)


def _forked(line: list[str], folder: Path, kill: Kill | None, told: int, streams: Streams) -> int:
    """Run a stage in a fork of this process; return its number. told: its standard error."""
    held = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        return child
    code = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, _leave)  # as while sertool is imported
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        _become(folder, told, streams)
        counter = _Counter(folder, kill)
        sys.addaudithook(counter)
        _bound(kill)
        from sertool.cli import console_script

        sys.argv = ["sertool", *line]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            console_script()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        if kill is None:
            counter.note()
        code = _flushed(code, told)
    except BaseException:
        import traceback

        os.write(told, traceback.format_exc().encode())  # standard error may be closed
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _flushed(code: int, told: int) -> int:
    """Return the exit code of a process once Python has written what it still holds."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.write(told, f"Traceback: {error}, ignored by Python at the end".encode())
        return 120
    return code


def _leave(number: int, frame: object) -> None:
    os._exit(128 + number)


def _become(folder: Path, told: int, streams: Streams) -> None:
    """Make a fork look like a process that has just started in a folder."""
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number, descriptor in ((0, nowhere), (1, nowhere), (2, told)):
        os.dup2(descriptor, number)
    os.close(nowhere)
    _break(streams)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        mode = "r" if number == 0 else "w"
        there = streams.get(number) != "closed"  # as Python has it
        new = open(number, mode, encoding="utf-8", closefd=False) if there else None  # noqa: SIM115
        setattr(sys, name, new)


class _Counter:
    """Counts what a stage does to its folder; at the k-th time a signal comes."""

    def __init__(self, folder: Path, kill: Kill | None) -> None:
        self.folder, self.kill, self.pid = folder, kill, os.getpid()
        self.count, self.silent = 0, False
        self._mine = f"{OUT}{os.sep}", f"{folder / OUT}"

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CALLS or self.silent or os.getpid() != self.pid:
            return
        where = arguments[0]
        if event == "open" and not (
            isinstance(where, str | os.PathLike) and os.fspath(where).startswith(self._mine)
        ):
            return
        self.count += 1
        if self.kill is not None and self.count == self.kill.call:
            self.silent = True
            (self.folder / "struck").touch()
            self.silent = False
            self.kill.strike(self.pid)

    def note(self) -> None:
        """Write down how many calls there were, and what was imported."""
        self.silent = True
        (self.folder / "calls").write_text(str(self.count))
        (self.folder / "modules").write_text("\n".join(sys.modules))


@dataclass
class Known:
    """What a stage does when nothing disturbs it: its outputs, the older ones, and its time.

    new: after a run where nothing was; over: after one that replaced the older outputs.
    """

    stage: Stage
    desk: Path
    folder: Path  # with the older outputs in `old/`
    old: Tree
    new: Tree
    over: Tree
    largest: int  # bytes of a file
    seconds: dict[bool, float]  # of a fork, and of a process that starts anew
    calls: dict[bool, int]  # where nothing was, and over older outputs

    def undisturbed(self, folder: Path) -> Ended:
        """Run the stage in a fork, where nothing was."""
        return must(self.stage.line(self.desk), _emptied(folder))

    def modules(self, folder: Path) -> list[str]:
        """Return the modules that the stage imports."""
        self.undisturbed(folder)
        return (folder / "modules").read_text().split("\n")

    def keep(self) -> None:
        """Write down the times, for who goes on."""
        kept = self.folder / "known.json"
        told = json.loads(kept.read_text()) | {"seconds": [*self.seconds.values()]}
        kept.write_text(json.dumps(told))

    def trial(self, kill: Kill, over: bool, resume: bool, anew: bool, folder: Path) -> Outcome:
        """Stop the stage once, run it again, and say what was wrong."""
        _fresh(folder, self.folder / "old" if over else None)
        line = self.stage.line(self.desk)
        force = ["--force"] if over else []
        ended = run([*line, *force], folder, kill, anew)
        faults = [*ended.faults, *_wrong_end(ended, kill)]
        whole = self.over if over else self.new
        left = tree(folder / OUT)
        faults += _not_whole(left, self.old if over else {}, whole)
        if kill.signal is None:  # what fills the disk does not help
            faults += [f"left: {name}" for name in left if TEMPORARY.search(name)]
        if resume:
            again = run([*line, *force, "--resume"], folder)
        else:
            there = force or (["--force"] if _final(tree(folder / OUT)) else [])
            again = run([*line, *there], folder)
        faults += [f"run again: {fault}" for fault in again.faults]
        if again.code:
            faults.append(f"run again: exit {again.code}: {again.said.strip()[-300:]}")
        found = tree(folder / OUT)
        if found != whole:
            names = {n for n in {*found, *whole} if found.get(n) != whole.get(n)}
            faults.append(f"run again: not as unbroken: {', '.join(sorted(names))}")
        return Outcome(ended, again, faults)

    def unheard(
        self, streams: Streams, over: bool, cut: Kill | None, anew: bool, folder: Path
    ) -> Outcome:
        """Run the stage with broken standard streams, with --resume where it was `cut` before."""
        _fresh(folder, self.folder / "old" if over else None)
        line = [*self.stage.line(self.desk), *(["--force"] if over else [])]
        if cut is not None:
            run(line, folder, cut)
            line.append("--resume")
        ended = run(line, folder, anew=anew, streams=streams)
        faults, found = [*ended.faults], tree(folder / OUT)
        whole = self.over if over else self.new
        if ended.code == 3 and streams.get(1) == "full":  # as what it prints is lost
            faults += _not_whole(found, self.old if over else {}, whole)
        elif ended.code:
            faults.append(f"exit {ended.code}: {ended.said.strip()[-300:]}")
        elif found != whole:
            names = {n for n in {*found, *whole} if found.get(n) != whole.get(n)}
            faults.append(f"not as unbroken: {', '.join(sorted(names))}")
        return Outcome(ended, ended, faults)


@dataclass
class Outcome:
    """What a trial showed."""

    ended: Ended
    again: Ended
    faults: list[str]


def _fresh(folder: Path, old: Path | None) -> None:
    """Make the folder of a trial anew, with older outputs or none."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if old is None:
        (folder / OUT).mkdir()
    else:
        shutil.copytree(old, folder / OUT)


def _final(found: Tree) -> dict[str, str]:
    """Return what lies under final names: not below a name that the next run cleans."""
    return {n: h for n, h in found.items() if not any(map(LEFT.fullmatch, n.split(os.sep)))}


def _not_whole(found: Tree, old: Tree, whole: Tree) -> list[str]:
    """Return what lies under a final name and is neither the old nor the new output."""
    faults = [
        f"not whole: {name}"
        for name, content in _final(found).items()
        if content not in (old.get(name), whole.get(name))
        # an empty folder, where files come
        and not (content == "" and any(n.startswith(f"{name}{os.sep}") for n in whole))
    ]
    return faults + [f"lost: {name}" for name in old if name not in found and name in whole]


def _wrong_end(ended: Ended, kill: Kill) -> list[str]:
    """Return what is wrong with how a stage answered a signal."""
    if ended.code not in ((0,) if ended.late else (0, kill.code)):
        return [f"exit {ended.code} for {kill.code}: {ended.said.strip()[-300:]}"]
    last = ended.said.strip().splitlines()[-1:]
    words = {None: "the disk is full", signal.SIGINT: "interrupted"}.get(kill.signal)
    if ended.code and words and last and words not in last[0]:
        return [f"said {last[0][-300:]}"]
    return []


def known(stage: Stage, desk: Path, folder: Path) -> Known:
    """Return what a stage does undisturbed, in all the ways that its trials are compared with."""
    kept = folder / "known.json"
    if not kept.exists():
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        found = _known(stage, desk, making)
        (making / "known.json").write_text(json.dumps(found))
        with contextlib.suppress(OSError):  # another soak was faster
            os.rename(making, folder)
    found = json.loads(kept.read_text())
    for name in ("seconds", "calls"):
        found[name] = dict(zip((False, True), found[name], strict=True))
    return Known(stage, desk, folder, **found)


def _known(stage: Stage, desk: Path, folder: Path) -> dict[str, Any]:
    """Run a stage undisturbed; return the further fields of `Known`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    must([*stage.line(desk, old=True)], _emptied(folder / "t"))
    shutil.copytree(folder / "t" / OUT, folder / "old")
    old = tree(folder / "old")
    over = must([*stage.line(desk), "--force"], folder / "t")
    calls = [0, _calls(folder / "t")]
    replaced = tree(folder / "t" / OUT)
    started = run(stage.line(desk), _emptied(folder / "t"), anew=True)
    new = tree(folder / "t" / OUT)
    forked = must(stage.line(desk), _emptied(folder / "t"))
    calls[0] = _calls(folder / "t")
    if started.code or tree(folder / "t" / OUT) != new:
        raise RuntimeError(f"{stage.name}: differs from run to run: {started.said}")
    seconds = [min(over.seconds, forked.seconds), started.seconds]
    largest = max(path.stat().st_size for path in (folder / "t" / OUT).rglob("*"))
    return {
        "old": old, "new": new, "over": replaced,
        "largest": largest, "seconds": seconds, "calls": calls,
    }  # fmt: skip


def _emptied(folder: Path) -> Path:
    _fresh(folder, None)
    return folder


def _calls(folder: Path) -> int:
    return int((folder / "calls").read_text())


def must(line: list[str], folder: Path) -> Ended:
    """Run a stage in a fork; RuntimeError where it does not succeed."""
    ended = run(line, folder)
    if ended.code or ended.faults:
        raise RuntimeError(f"{line}: {ended.code} {ended.faults} {ended.said}")
    return ended
