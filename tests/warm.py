"""A program `sertool` that starts at once, for scripts that call it by the dozen.

A server has imported everything; each command line is a fork of it, with the caller's folder,
variables and standard streams. Of a start the seconds of importing are left out, and nothing else.
Tests of the start itself, of signals and of memory have no use for it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

CALLER = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({place!r})
words = [os.getcwdb(), *map(os.fsencode, sys.argv[1:])]
texts = [*words, b"", *(name + b"=" + text for name, text in os.environb.items())]
socket.send_fds(server, [b"%d " % len(words)], [0, 1, 2])
server.sendall(b"\\0".join(texts))
server.shutdown(socket.SHUT_WR)
os._exit((server.recv(1) or b"\\1")[0])
"""


@functools.cache
def folder() -> Path:
    """Return the folder of the program, for PATH; its server ends with this process."""
    made = Path(tempfile.mkdtemp(prefix="sertool-warm-"))
    place = str(made / "server")
    (made / "caller.py").write_text(CALLER.format(place=place))
    program = made / "sertool"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -SE "{made}/caller.py" "$@"\n')
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, place],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # a fork has no others, and would wait for them
    )
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    atexit.register(server.wait)
    atexit.register(server.kill)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return made


def serve(place: str) -> None:
    """Import what commands need, by running some, and fork for each that is asked for."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        used()
        gc.collect()
        gc.freeze()  # forks need not copy what the collector would mark
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody need wait for the forks
        print("ready", flush=True)
        while True:
            caller, _ = listener.accept()
            with caller:
                if not os.fork():
                    try:
                        listener.close()
                        answer(caller)
                    finally:
                        os._exit(1)


def used() -> None:
    """Make a corpus's features, train on them and evaluate."""
    from sertool.cli import main

    demo = Path(__file__).resolve().parents[1] / "data/demo/corpus"
    with tempfile.TemporaryDirectory() as desk, contextlib.chdir(desk):
        for path in sorted(demo.glob("spk0[1-4]/*_s1_r1.flac")):
            Path("c", path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, Path("c", path.parent.name))
        for line in (
            "prepare -q c m.jsonl --split speakers:2",
            "featurize -q m.jsonl f.h5 --kind mel --duration 2 --fit both -j 1 --file-timeout 0",
            "train -q f.h5 m.ckpt --model sundharam-cnn --epochs 1 --test-fold 0",
            "eval -q m.ckpt f.h5 --json r.json",
            "report -q r.json",
        ):
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                assert main(line.split()) == 0, line


def answer(caller: socket.socket) -> None:
    """Run one command line as the caller, tell it the exit code, and end this process."""
    from sertool import cli

    count, streams, _, _ = socket.recv_fds(caller, 16, 3)
    head, _, rest = count.partition(b" ")
    while block := caller.recv(1 << 16):
        rest += block
    place, *texts = rest.split(b"\0")
    words, variables = texts[: int(head) - 1], texts[int(head) :]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
        for number in range(3)
    )
    os.chdir(place)
    os.environb.clear()
    os.environb.update(text.split(b"=", 1) for text in variables)
    sys.argv = ["sertool", *map(os.fsdecode, words)]
    code = cli.main()
    code = code if cli.flushed() else code or 3
    caller.sendall(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
