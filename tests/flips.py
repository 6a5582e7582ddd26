"""Single bits of small files flipped, one after another: does `info` notice, and what reads them?

`python tests/flips.py [--flips N] [--only NAME]` prints what became of each file's flips, and keeps
the sums in benchmarks/results/trust/flips.json. A flip is

- found: the stage refuses the file, or says what of it is not believed, in one line;
- harmless: it gives, byte for byte, what it gives of the file as it was written;
- silent: it gives something else, and says nothing;
- a crash: a traceback or a signal; or a hang: no end within a minute.

What an interrupted run left is flipped, too: the run that resumes refuses a part, or does it again.

Every command runs in a fork of one process, which has imported all that they need.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "data" / "demo" / "corpus"
KEPT = HERE.parent / "benchmarks" / "results" / "trust" / "flips.json"
LONGEST = 60  # seconds of one command
BLOCK = 64  # bytes
MEL = "--kind mel --duration 0.1 --set n_fft=128 --set n_mels=3"
NETWORK = "--model sertool --augment none --set widths=[2,2,2,2] --set hidden=4 --set attention=2"
VOICES = "corpus/spk01/spk01_anger_s1_r1.flac corpus/spk02/spk02_anger_s1_r1.flac"
OUT = "out"  # the folder of what a command writes
FOUND, HARMLESS, SILENT, CRASH, HANG = "found", "harmless", "silent", "crash", "hang"
WORST_FIRST = (HANG, CRASH, SILENT, FOUND, HARMLESS)
LATE = -1000  # the exit code of what did not end


@dataclass
class Case:
    """A file whose bits are flipped, and the command lines that read it, `info` first.

    files: relative to the desk, or patterns of them; the bits of all are taken for one row. left: a
    folder with what an interrupted run, or one before, left where the lines write.
    """

    name: str
    files: list[str]
    lines: list[str]
    info: bool = True  # whether the first line is one that must notice all that the others do
    left: str | None = None


@dataclass
class Answer:
    """What one command line gave: its exit code, and all that it wrote."""

    code: int
    out: bytes = b""
    err: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Return whether it gave the same; what it said beside that may differ."""
        if not isinstance(other, Answer):
            return NotImplemented
        return (self.code, self.out, self.files) == (other.code, other.out, other.files)


def run(line: str, desk: Path, left: str | None = None, interrupted: bool = False) -> Answer:
    """Return what a command line gives in the folder `desk`, in a fork of this process.

    left: the folder with what is there where it writes. interrupted: it ends before it removes the
    parts that it kept.
    """
    _begin(desk, left)
    pid = os.fork()
    if not pid:
        if interrupted:
            from sertool.formats.outputs import Parts

            Parts.remove_all = lambda _: os._exit(0)  # type: ignore[method-assign]
        _child(line.split(), desk)
    code = _ended(pid)
    out, err = ((desk / f".{name}").read_bytes() for name in ("stdout", "stderr"))
    files = {
        str(path.relative_to(desk)): path.read_bytes()
        for path in sorted((desk / OUT).rglob("*"))
        if path.is_file()
    }
    return Answer(code, out, err, files)


def _begin(desk: Path, left: str | None) -> None:
    shutil.rmtree(desk / OUT, ignore_errors=True)
    if left is None:
        (desk / OUT).mkdir()
    else:
        shutil.copytree(desk / left, desk / OUT)


def here(line: str, desk: Path) -> None:
    """Run a command line in this process, in the folder `desk`, and leave nothing of it."""
    from sertool.cli import main

    _begin(desk, None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(desk))
        nowhere = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        stack.enter_context(contextlib.redirect_stderr(nowhere))
        main(line.split())


def _child(words: list[str], desk: Path) -> None:
    """Run a command line, and end this process with its exit code; 99 for what nobody expects."""
    code = 99
    try:
        os.setsid()
        os.chdir(desk)
        for number, name in ((1, ".stdout"), (2, ".stderr")):
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(target, number)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from sertool.cli import main

        code = main(words)
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _ended(pid: int) -> int:
    """Return the exit code of a child, negative for a signal; it is killed after a minute."""
    end = time.monotonic() + LONGEST
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) if time.monotonic() < end else LATE
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        time.sleep(0.002)


def judged(answer: Answer, known: Answer) -> str:
    """Return what became of a flip."""
    if answer.code == LATE:
        return HANG
    if answer.code < 0 or answer.code == 99 or b"Traceback" in answer.err:
        return CRASH
    if answer == known:
        return HARMLESS
    return FOUND if answer.err and answer.err != known.err else SILENT


@dataclass
class Flip:
    """One bit of one file, and what each command line made of it."""

    file: str
    byte: int
    bit: int
    found: dict[str, str]
    crash: str = ""

    def __str__(self) -> str:
        """Return it as lines for who looks into it."""
        return f"{self.file} byte {self.byte} bit {self.bit}: {self.found} {self.crash}"


def held(content: bytes) -> list[int]:
    """Return the places of a file's bytes, long runs of zeros, which hold nothing, left out."""
    blocks = range(0, len(content), BLOCK)
    used = [at for at in blocks if content[at : at + BLOCK].strip(b"\0")]
    return [i for at in used for i in range(at, min(at + BLOCK, len(content)))]


def flips(case: Case, desk: Path, n: int) -> Iterator[Flip]:
    """Flip `n` bits of a case's files, and yield what the first line and another made of each."""
    for line in case.lines:
        here(line, desk)  # what a command imports no fork of this process has to
    gc.collect()
    gc.freeze()  # forks need not copy what the collector would mark
    known = {line: run(line, desk, case.left) for line in case.lines}
    for line, answer in known.items():
        if answer.code or answer != run(line, desk, case.left):
            raise RuntimeError(f"{line}: {answer.code} {answer.err.decode()}")
    first, *others = case.lines
    for k, (name, byte, bit) in enumerate(places(case, desk, n)):
        path = desk / name
        whole = path.read_bytes()
        spoiled = bytearray(whole)
        spoiled[byte] ^= 1 << bit
        path.write_bytes(spoiled)
        lines = [first, *others[k % max(1, len(others)) :][:1]]
        given = {line: run(line, desk, case.left) for line in lines}
        path.write_bytes(whole)
        found = {line: judged(answer, known[line]) for line, answer in given.items()}
        said = next((a.err for line, a in given.items() if found[line] == CRASH), b"")
        yield Flip(name, byte, bit, found, said.decode(errors="replace")[-600:])


def places(case: Case, desk: Path, n: int) -> Iterator[tuple[str, int, int]]:
    """Yield (file, byte, bit) of `n` bits, spread evenly over what a case's files hold."""
    files = [path for name in case.files for path in sorted(desk.glob(name)) if path.is_file()]
    used = {str(path.relative_to(desk)): held(path.read_bytes()) for path in files}
    used = {name: own for name, own in used.items() if own}  # a lock holds nothing
    total = sum(map(len, used.values()))
    for name, own in used.items():
        wanted = max(1, round(n * len(own) / total))
        for k in range(wanted):
            byte = own[int((k + 0.5) * len(own) / wanted)]
            yield name, byte, (k * 5 + byte) % 8


def wrong(case: Case, flip: Flip) -> bool:
    """Return whether a flip was believed, or not found by `info` where another stage found it."""
    first, *others = flip.found.values()
    missed = case.info and first == HARMLESS and FOUND in others
    return missed or bool({SILENT, CRASH, HANG} & {first, *others})


# --- the files ---


MADE = [  # the last word of each line is what it makes
    "prepare -q --split speakers:2 corpus m.jsonl",
    f"featurize -q {MEL} m.jsonl mel.h5",
    f"featurize -q {MEL} --compress gzip m.jsonl gzip.h5",
    "featurize -q --kind wave --sample-rate 2000 --duration 0.1 m.jsonl wave.h5",
    f"featurize -q {MEL} --shard 1/2 m.jsonl shards",
    f"featurize -q {MEL} --shard 2/2 m.jsonl shards",
    f"featurize -q {MEL} others further.h5",
    "train -q --test-fold 0 --model linear mel.h5 linear.ckpt",
    "train -q --test-fold 1 --model linear mel.h5 other.ckpt",
    "train -q --test-fold none --model linear --no-baselines mel.h5 shipped.ckpt",
    f"train -q --test-fold 0 --epochs 1 --no-baselines {NETWORK} mel.h5 network.ckpt",
    "eval -q linear.ckpt mel.h5 --json r.json",
    "eval -q other.ckpt mel.h5 --json o.json",
    "report -q r.json o.json --pack runs.jsonl",
    "report -q r.json o.json --pack runs.jsonl.xz",
    "fuse -q linear.ckpt network.ckpt fused.ckpt",
    "export -q linear.ckpt linear.onnx",
    "push -q shipped.ckpt pushed",
    "predict -q --vad off linear.ckpt corpus -o predicted/p.jsonl",
    "convert -q mel.h5 mel.npz",
    "convert -q mel.h5 mel.parquet",
    "convert -q --to webdataset mel.h5 shared",
    f"separate -q --mix {VOICES} mixed",
    "separate -q mixed/microphone-1.wav mixed/microphone-2.wav parted",
]
LEFT = {  # runs that are interrupted, by the folder of what they leave
    "featurize-parts": f"featurize -q {MEL} m.jsonl out/f.h5",
    "wave-parts": "featurize -q --kind mfcc wave.h5 out/f.h5",
    "augment-parts": "augment -q --awgn 10 --copies 2 wave.h5 out/a.h5",
    "merge-parts": "merge -q mel.h5 further.h5 out/s.h5",
    "convert-parts": "convert -q mel.npz out/b.h5",
    "predict-parts": "predict -q --vad off -o out/p.jsonl linear.ckpt corpus",
    "lhotse-parts": "prepare -q --to lhotse corpus out/l",
    "train-parts": f"train -q --test-fold 0 --epochs 2 --no-baselines {NETWORK} mel.h5 out/n.ckpt",
}


def needed(cases: list[Case]) -> list[str]:
    """Return those lines of `MADE` that cases need, in their order."""
    given = [line for case in cases for line in (*case.lines, LEFT.get(case.left or "", ""))]
    words = _paths([*given, *(name for case in cases for name in case.files)])
    lines = []
    for line in reversed(MADE):
        if line.split()[-1] in words:
            words |= _paths([line])
            lines.append(line)
    return lines[::-1]


def _paths(lines: list[str]) -> set[str]:
    """Return the words of lines, and of those that are paths what they begin with, too."""
    return {part for line in lines for word in line.split() for part in (word, word.split("/")[0])}


def desk(folder: Path, cases: list[Case]) -> Path:
    """Make the files of cases in a folder, by the command line, and return it."""
    for i, speaker in enumerate(sorted(CORPUS.iterdir())[:6]):
        own = folder / ("corpus" if i < 5 else "others") / speaker.name
        own.mkdir(parents=True)
        for path in sorted(speaker.iterdir())[::16]:
            shutil.copy(path, own)
    (folder / "predicted").mkdir()
    for line in needed(cases):
        answer = run(line, folder)
        if answer.code:
            raise RuntimeError(f"{line}: {answer.err.decode()}")
    for case in cases:
        if case.left in LEFT:
            line = LEFT[case.left]
            here(line, folder)  # what a command imports no fork of this process has to
            if run(line, folder, interrupted=True).code:
                raise RuntimeError(f"{line}: failed")
            for path in (folder / OUT).iterdir():
                if not path.name.endswith(".parts"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            (folder / OUT).rename(folder / case.left)
    return folder


MEL_STAGES = [
    "train -q --test-fold 0 --model majority --no-baselines {0} out/m.ckpt",
    "eval -q --json out/r.json linear.ckpt {0}",
    "select -q --where label!=nothing {0} out/s.h5",
    "merge -q {0} further.h5 out/s.h5",
]


def cases() -> list[Case]:
    """Return what is flipped, and which stages read it."""

    def case(name: str, lines: list[str], files: list[str] | None = None) -> Case:
        return Case(
            name, files or [name], [line.format(name) for line in ("info --json {0}", *lines)]
        )

    shards = ["shards/index.h5", "shards/shard-00001-of-00002.h5"]
    shards.append("shards/shard-00002-of-00002.h5")
    wave = ["augment -q --awgn 10 {0} out/a.h5", "featurize -q --kind mfcc {0} out/m.h5"]
    heard = "predict -q --vad off -o out/p.jsonl {0} corpus"
    tested = "eval -q --json out/r.json {0} mel.h5"
    shown = "report --format json {0}"
    read = [
        shown,
        "report --compare {0} o.json --format json",
        "calibrate -q shipped.ckpt {0} out/c.ckpt",
        "push -q --report {0} shipped.ckpt out/pushed",
    ]
    again = "predict -q --resume --vad off -o out/p.jsonl linear.ckpt corpus"
    heard_before = ["predicted/.p.jsonl.made", "predicted/p.jsonl"]
    parted = "separate -q --resume mixed/microphone-1.wav mixed/microphone-2.wav out"
    back = ["convert -q {0} out/b.h5"]
    pushed = [f"pushed/{name}" for name in ("model.ckpt", "config.json", "README.md")]
    return [
        case("mel.h5", MEL_STAGES),
        case("gzip.h5", MEL_STAGES[:2]),
        case("wave.h5", wave),
        case("shards", MEL_STAGES, shards),
        case("linear.ckpt", [tested, heard]),
        case("network.ckpt", [tested]),
        case("fused.ckpt", [tested]),
        case("linear.onnx", [heard]),
        case("r.json", read),
        case("runs.jsonl", [shown]),
        case("runs.jsonl.xz", [shown]),
        case("m.jsonl", [f"featurize -q {MEL} {{0}} out/f.h5"], [".m.jsonl.made", "m.jsonl"]),
        Case("pushed", pushed, ["pull -q pushed out/m.ckpt"], info=False),
        Case("p.jsonl", heard_before, [again], info=False, left="predicted"),
        Case("parted", ["parted/.*.made", "parted/*.wav"], [parted], info=False, left="parted"),
        case("mel.npz", back),
        *([case("mel.parquet", back)] if importlib.util.find_spec("pyarrow") else []),
        case("shared", back, ["shared/*"]),
        *(
            Case(name, [f"{name}/.*/*"], [f"{line} --resume"], info=False, left=name)
            for name, line in LEFT.items()
        ),
    ]


@dataclass
class Sums:
    """How many flips of one case there were, by what became of them."""

    case: Case
    of: Counter[str] = field(default_factory=Counter)

    def add(self, flip: Flip) -> None:
        """Count a flip; of what two commands made of it the worse."""
        made = list(flip.found.values())
        worst = next(one for one in WORST_FIRST if one in made)
        missed = wrong(self.case, flip) and worst in (FOUND, HARMLESS)
        self.of[SILENT if missed else worst] += 1


def counted(chosen: list[Case], n: int, folder: Path) -> Iterator[Sums]:
    """Flip `n` bits of each case and yield their sums."""
    for case in chosen:
        sums = Sums(case)
        for flip in flips(case, folder, n):
            sums.add(flip)
            if wrong(case, flip):
                print(f"  {flip}", flush=True)
        yield sums


def rows(every: list[Sums]) -> list[dict[str, object]]:
    """Return what is kept, one row of all files."""
    total: Counter[str] = sum((one.of for one in every), Counter())
    names = ", ".join(one.case.name for one in every)
    return [
        {
            "what": f"one bit flipped ({names}): {total[FOUND]} refused or said by info and by"
            f" what reads them, {total[HARMLESS]} harmless (the same bytes come out)",
            "cases": total.total(),
            "lost": 0,
            "wrong": total[SILENT],
            "tracebacks": total[CRASH],
            "hangs": total[HANG],
            "peak_mb": None,
        }
    ]


def main() -> int:
    """Flip, and print the sums; keep them where all files were flipped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=200, help="of each file")
    parser.add_argument("--only", action="append", default=[])
    given = parser.parse_args()
    chosen = [case for case in cases() if case.name in (given.only or [case.name])]
    every = []
    with tempfile.TemporaryDirectory() as name:
        for sums in counted(chosen, given.flips, desk(Path(name), chosen)):
            every.append(sums)
            said = ", ".join(f"{sums.of[one]} {one}" for one in WORST_FIRST[::-1])
            print(f"{sums.case.name}: {sums.of.total()} bits flipped, {said}", flush=True)
    kept = rows(every)
    print(kept[0])
    if not given.only:
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        command = f"python tests/flips.py --flips {given.flips}"
        KEPT.write_text(json.dumps({"command": command, "rows": kept}, indent=1) + "\n")
    return 1 if any(kept[0][name] for name in ("wrong", "tracebacks", "hangs")) else 0


if __name__ == "__main__":
    sys.exit(main())
