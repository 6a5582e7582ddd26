"""What `sertool serve` answers on the loopback address: requests a second, and how long one takes.

`python benchmarks/serve.py` starts a server with the model in the box, and four clients that each
send one short recording after the other; it prints the answers a second and the median and 95th
percentile of their times, beside one call of the same predictor in this process. Wall time: on a
machine that does something else it says little.
"""

from __future__ import annotations

import argparse
import http.client
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import measured
from measured import Row

from sertool import load

CLIENTS = 4
ONE = Path(__file__).resolve().parent.parent / "data/demo/corpus/spk01/spk01_sadness_s1_r2.flac"


def asked(port: int, count: int) -> list[float]:
    """Return the seconds that each of so many answers took, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body, taken = ONE.read_bytes(), []
    for _ in range(count):
        begin = time.perf_counter()
        connection.request("POST", "/predict", body)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"status {answer.status}")
        taken.append(time.perf_counter() - begin)
    connection.close()
    return taken


def alone(count: int) -> float:
    """Return the median seconds of a prediction without a server."""
    model, taken = load(), []
    for _ in range(count):
        begin = time.perf_counter()
        model.predict(str(ONE))
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    measured.options(parser)
    given = parser.parse_args()
    count = 50 if given.quick else 200
    command = [sys.executable, "-m", "sertool", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://[\d.]+:(\d+) ", said)
        if found is None:
            sys.exit(said + process.stderr.read())
        port = int(found[1])
        asked(port, 5)
        begin = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            every = [one for own in pool.map(asked, [port] * CLIENTS, [count] * CLIENTS)
                     for one in own]  # fmt: skip
        rate = len(every) / (time.perf_counter() - begin)
        single = statistics.median(asked(port, count))
        process.terminate()
    middle, late = statistics.median(every), statistics.quantiles(every, n=20)[-1]
    direct = alone(count)
    beside = "the same prediction by sertool.load(…).predict"
    rows = [
        Row("serve: answers, 4 clients", rate, "a second"),
        Row("serve: an answer, 4 clients, median", 1e3 * middle, "ms"),
        Row("serve: an answer, 4 clients, 95th percentile", 1e3 * late, "ms"),
        Row("serve: an answer, 1 client, median", 1e3 * single, "ms", beside, single / direct),
    ]
    for row in rows:
        print(f"{row.what:<48} {row.value:7.1f} {row.unit}")
    print(f"{beside:<48} {1e3 * direct:7.1f} ms")
    measured.write(given.json, rows)


if __name__ == "__main__":
    main()
