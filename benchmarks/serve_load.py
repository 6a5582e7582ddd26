"""A server under load, on the loopback address: what many, slow and rude clients do to it.

    python benchmarks/serve_load.py [--requests N] [--json FILE]

Starts `sertool serve` with the model in the box, and counts answers that are not what one request
alone got: of N requests by four clients one after the other, with the memory of the server's
processes after each tenth; of 200 connections at once, which may also be refused as busy (503); of
one client while others hold connections and send nothing, half a recording, or a byte now and
then; and of requests that are under way as TERM and Ctrl-C end it. FILE is a file of
results/trust, as `trust.py` reads it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serve import CLIENTS, ONE

AT_ONCE = 200  # connections
RUDE = 60  # clients that hold connections, of each kind
HANG = 120.0  # seconds without an answer
LAST = 30  # s: --timeout of the server
BODY = ONE.read_bytes()


class Served:
    """A server, its port, and what it left in its folder for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = (folder.parent / "said").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sertool", "serve", "--port", "0", "--timeout", str(LAST)],
            stderr=self.said, env=os.environ | {"TMPDIR": str(folder)},
        )  # fmt: skip
        while not (found := re.search(r"http://[\d.]+:(\d+) ", self.told())):
            if self.process.poll() is not None:
                sys.exit(self.told())
            time.sleep(0.1)
        self.port = int(found[1])

    def told(self) -> str:
        """Return what it has said."""
        return Path(self.said.name).read_text()

    def memory(self) -> float:
        """Return the MB of the largest of its processes."""
        every, found = [self.process.pid], 0.0
        for pid in every:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    every += map(int, (task / "children").read_text().split())
                peak = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                found = max(found, int(peak[1]) / 1024 if peak else 0.0)
        return found

    def ask(self, connection: http.client.HTTPConnection | None = None) -> tuple[int, bytes]:
        """Return status and body of the answer to a recording; (0, reason) where none came."""
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG)
        try:
            own.request("POST", "/predict", BODY)
            answer = own.getresponse()
            return answer.status, answer.read()
        except TimeoutError:
            return 0, b"hang"
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__.encode()
        finally:
            if connection is None:
                own.close()

    def end(self, number: int) -> int:
        """End it by a signal; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=HANG)


@contextlib.contextmanager
def rude(port: int, kind: str) -> Iterator[None]:
    """Hold connections that send nothing, half of a recording, or a byte every second."""
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    held, over = [], threading.Event()
    for _ in range(RUDE):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall({"nothing": b"", "half": head + BODY[: len(BODY) // 2]}.get(kind, head))
        held.append(one)

    def drip() -> None:
        while not over.wait(1.0):
            for one in held:
                with contextlib.suppress(OSError):
                    one.sendall(b"x")

    thread = threading.Thread(target=drip)
    if kind == "a byte a second":
        thread.start()
    yield
    over.set()
    if thread.ident:
        thread.join()
    for one in held:
        one.close()


def many(server: Served, count: int, wanted: tuple[int, bytes]) -> tuple[Counter[bytes], list]:
    """Return what answers were wrong, and the memory after each tenth of so many requests."""
    used = []

    def own(number: int) -> Counter[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG)
        found = (server.ask(connection) for _ in range(number))
        wrong = Counter(b"%d %s" % one for one in found if one != wanted)
        connection.close()
        return wrong

    total: Counter[bytes] = Counter()
    for _ in range(10):
        with ThreadPoolExecutor(CLIENTS) as pool:
            for one in pool.map(own, [count // (10 * CLIENTS)] * CLIENTS):
                total += one
        used.append(server.memory())
        print(f"memory: {used[-1]:.1f} MB", file=sys.stderr, flush=True)
    return total, used


def row(what: str, cases: int, wrong: Counter[bytes], server: Served) -> dict[str, object]:
    """Return a row of the table, and print it."""
    hangs = sum(n for text, n in wrong.items() if b"hang" in text)
    found = {
        "what": f"serve: {what}", "cases": cases, "lost": 0,
        "tracebacks": server.told().count("Traceback"), "hangs": hangs,
        "wrong": wrong.total() - hangs, "peak_mb": round(server.memory(), 1) or None,
    }  # fmt: skip
    print(json.dumps(found), dict(wrong.most_common(3)), file=sys.stderr, flush=True)
    return found


def ended(folder: Path, number: int, wanted: tuple[int, bytes]) -> tuple[int, Counter[bytes]]:
    """Return how many requests were under way as a signal ended a server, and what went wrong."""
    server, over, wrong = Served(folder), threading.Event(), Counter[bytes]()
    found: list[tuple[int, bytes]] = []

    def own() -> None:
        while not over.is_set():
            found.append(server.ask())
            if found[-1][0] == 0:
                return

    with ThreadPoolExecutor(2 * CLIENTS) as pool:
        for _ in range(2 * CLIENTS):
            pool.submit(own)
        while len(found) < 4 * CLIENTS:
            time.sleep(0.05)
        code = server.end(number)
        over.set()
    gone = {b"ConnectionRefusedError", b"ConnectionResetError", b"RemoteDisconnected"}
    for one in found:
        if one != wanted and not (one[0] == 0 and one[1] in gone):
            wrong[b"%d %s" % one] += 1
    if code != (130 if number == signal.SIGINT else -number):
        wrong[b"exit code %d" % code] += 1
    if "Traceback" in server.told() or any(folder.iterdir()):
        wrong[b"left or said: %s" % server.told().encode()] += 1
    return len(found), wrong


def main() -> None:
    """Try all, print, and keep the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the counts in this file")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "tmp")
        folder.mkdir()
        server = Served(folder)
        wanted = server.ask()
        if wanted[0] != 200:
            sys.exit(f"{wanted}")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda _: server.ask(), range(AT_ONCE)))
        wrong = Counter(b"%d %s" % one for one in found if one != wanted and one[0] != 503)
        busy = sum(one[0] == 503 for one in found)
        told = f"{AT_ONCE} connections at once: {AT_ONCE - busy} answered, {busy} told that it is"
        rows.append(row(f"{told} busy", AT_ONCE, wrong, server))
        for kind in ("nothing", "half", "a byte a second"):
            with rude(server.port, kind):
                time.sleep(1)
                found = [server.ask() for _ in range(50)]
            wrong = Counter(b"%d %s" % one for one in found if one != wanted)
            told = f"answers while {RUDE} others send {kind}"
            rows.append(row(told, len(found), wrong, server))
        wrong, used = many(server, given.requests, wanted)
        told = f"recordings by {CLIENTS} clients; memory {used[0]:.1f} MB after a tenth of them"
        rows.append(row(f"{told}, {used[-1]:.1f} at the end", given.requests, wrong, server))
        server.end(signal.SIGTERM)
        for number, told in (signal.SIGTERM, "TERM"), (signal.SIGINT, "Ctrl-C"):
            cases, wrong = ended(folder, number, wanted)
            rows.append(row(f"{told} while it answers", cases, wrong, server))
    if given.json is not None:
        made = {"command": f"python benchmarks/serve_load.py --requests {given.requests}"}
        text = json.dumps(made | {"rows": rows}, indent=1, ensure_ascii=False)
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
