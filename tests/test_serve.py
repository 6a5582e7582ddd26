"""serve: what `predict` says, over HTTP and websockets, within limits, and in a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_checkpoints
import numpy as np
import pytest
import soundfile
from children import interruptible

from sertool.cli import main
from sertool.core.texts import visible
from sertool.formats import checkpoint

for needed in ("starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(needed)
websockets: Any = pytest.importorskip("websockets.sync.client")
closing: Any = pytest.importorskip("websockets.exceptions")

CORPUS = Path(__file__).resolve().parent.parent / "data" / "demo" / "corpus"
ONE = CORPUS / "spk01" / "spk01_anger_s1_r1.flac"
RATE = 16000
LIMIT = 300_000


@dataclass
class Served:
    """A server that runs, and its port."""

    process: subprocess.Popen[str]
    port: int

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return (status, headers, body) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, fields, answer.read()

    def post(self, body: Any, **headers: str) -> tuple[int, Any]:
        """Return (status, JSON) of a recording's answer."""
        status, _, text = self.ask("POST", "/predict", body, **headers)
        return status, json.loads(text)

    def form(self, body: bytes, name: str) -> tuple[int, Any]:
        """Return the answer to a file of a form."""
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        sent = head.encode() + body + b"\r\n--x--\r\n"
        return self.post(sent, Content_Type="multipart/form-data; boundary=x")

    def stream(self, query: str, **more: Any) -> Any:
        """Open a stream."""
        return websockets.connect(f"ws://127.0.0.1:{self.port}/stream?{query}", proxy=None, **more)


@contextlib.contextmanager
def served(*words: str | Path) -> Iterator[Served]:
    """Run a server at a port that is free."""
    command = [sys.executable, "-m", "sertool", "serve", "--port", "0", *map(str, words)]
    with interruptible(command) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+) ", said)
        assert found, said + process.stderr.read()
        yield Served(process, int(found[1]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.ckpt"
    checkpoint.save(made_checkpoints.checkpoint("sertool", (64,), "widths=[8]"), path)
    return path


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Served]:
    limits = ("--max-bytes", str(LIMIT), "--max-duration", "9", "--streams", "1", "-j", "2")
    with served(model, *limits) as found:
        yield found


def printed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[dict[str, Any]]:
    """Return the lines that `predict` prints."""
    capsys.readouterr()
    assert main(["predict", *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def rows(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def pcm(seconds: float, seed: int = 0) -> bytes:
    """Raw samples of speech, as often as it takes."""
    sound, _ = soundfile.read(ONE, dtype="int16")
    return np.resize(np.roll(sound, seed), round(seconds * RATE)).astype("<i2").tobytes()


def wav(path: Path, seconds: float, rate: int = RATE) -> bytes:
    sound, _ = soundfile.read(ONE, dtype="int16")
    soundfile.write(path, np.resize(sound, round(seconds * rate)), rate)
    return path.read_bytes()


def test_a_recording_is_answered_with_the_line_of_predict(server, model, capsys) -> None:
    (line,) = printed(capsys, model, ONE)
    assert server.post(ONE.read_bytes()) == (200, line | {"path": "-"})
    name = 'my "voice" — ä.flac'.replace('"', "%22")
    assert server.form(ONE.read_bytes(), name) == (200, line | {"path": name})


def test_a_name_that_leads_elsewhere_decides_nothing(server, tmp_path) -> None:
    own = tmp_path / "kept.wav"
    own.write_bytes(b"kept")
    status, row = server.form(ONE.read_bytes(), str(own))
    assert (status, row["path"]) == (200, str(own))
    assert own.read_bytes() == b"kept"
    status, row = server.form(b"no sound", "../../etc/passwd")
    assert (status, row) == (422, {"error": "cannot be decoded: format not recognised"})


NAMES = [  # as bytes of a form: the name, and the charset that the form claims
    (b"\x1b[2J\x1b]0;owned\x07.flac", ""), ("\u202egnp.\u2066flac\u2028".encode(), ""),
    ("\x9b31m.flac".encode(), ""), (b"\xff\xfe\x9b.flac", ""), (b"../../a\\b/..", ""), (b"", ""),
    (b"a\0b.flac", ""), (b"a\nb.flac", ""), (b"a\r\nX-Evil: 1\r\n.flac", ""), (b"a" * 100_000, ""),
    (b"x" * 3000 + b".flac", ""), (b"/dev/zero", ""), (b"=cmd|' /C calc'!A0.flac", ""),
    (b"<script>alert(1)</script>.flac", ""), (rb"\ud800.flac", "unicode_escape"),
    (rb"\x1b[2J.flac", "unicode_escape"), (b"+2AA-.flac", "utf-7"), (b"a.flac", "idna"),
    (b"a.flac", "undefined"), (b"a.flac", "no-such"),
]  # fmt: skip


def test_names_that_steer(model, tmp_path) -> None:
    """A form's file may be called anything: the answer is JSON, and nothing raw is in it."""
    body = ONE.read_bytes()
    codes = set()
    with served(model, "-j", "1") as own:
        for name, charset in NAMES:
            for sound in (body, b"no sound"):
                head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name
                kind = "multipart/form-data; boundary=x" + f"; charset={charset}" * bool(charset)
                sent = head + b'"\r\n\r\n' + sound + b"\r\n--x--\r\n"
                status, fields, text = own.ask("POST", "/predict", sent, Content_Type=kind)
                assert status in (200, 400, 422), (name, text)
                assert "x-evil" not in fields
                said = text.decode()
                assert visible(said) == said, name
                assert str(tempfile.gettempdir()) not in said
                row = json.loads(said)
                assert ("label" in row) == (status == 200)
                codes.add(status)
        own.process.terminate()
        assert own.process.stderr is not None
        log = own.process.stderr.read()
    assert visible(log) == log
    assert "Traceback" not in log
    assert codes == {200, 400, 422}


def test_what_is_no_recording_is_told_in_one_line(server, tmp_path) -> None:
    assert server.post(b"") == (400, {"error": "no recording: the body is empty"})
    status, said = server.post(b"x", Content_Type="multipart/form-data; boundary=y")
    assert status == 400
    status, said = server.post(b"--x--", Content_Type="multipart/form-data; boundary=x")
    assert status == 400
    status, said = server.post(b"x" * 1000)
    assert (status, said) == (422, {"error": "cannot be decoded: format not recognised"})
    short = wav(tmp_path / "short.wav", 2)[:-1000]
    status, said = server.post(short)
    assert status == 422
    assert "truncated" in said["error"]
    for text in (b"RIFF", b"\xff\xfb", b"ID3" + bytes(2000), b"fLaC" + bytes(100)):
        status, said = server.post(text, Content_Type="audio/mpeg")
        assert status == 422
        assert "/tmp" not in said["error"]
        assert "\n" not in said["error"]
    assert server.ask("GET", "/predict")[0] == 405
    assert server.ask("GET", "/nothing")[::2] == (404, b'{"error":"Not Found"}')


def test_too_much_is_refused(server, tmp_path) -> None:
    at_most = {"error": f"more than {LIMIT} bytes"}
    assert server.post(bytes(LIMIT + 1)) == (413, at_most)
    assert server.post(iter([bytes(LIMIT), b"1"])) == (413, at_most)
    assert server.form(bytes(LIMIT), "x.wav") == (413, at_most)
    assert server.post(wav(tmp_path / "nine.wav", 9))[0] == 200
    long = {"error": "longer than 9 s"}
    assert server.post(wav(tmp_path / "long.wav", 9.1)) == (413, long)
    soundfile.write(tmp_path / "long.mp3", np.zeros(RATE * 20), RATE)
    assert server.post((tmp_path / "long.mp3").read_bytes()) == (413, long)


def test_another_site_gets_nothing(server) -> None:
    body = ONE.read_bytes()
    assert server.post(body, Origin="https://example.org")[0] == 403
    assert server.post(body, Origin=f"http://127.0.0.1:{server.port}")[0] == 200
    with pytest.raises(closing.InvalidStatus):
        server.stream("sample_rate=16000", origin="https://example.org")


def test_many_ask_at_once(server, tmp_path) -> None:
    bodies = [wav(tmp_path / f"{k}.wav", 0.5 + k / 4) for k in range(6)]
    alone = [server.post(body) for body in bodies]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(server.post, bodies * 3)) == alone * 3
    assert {status for status, _ in alone} == {200}


def begun(port: int, size: int, body: bytes) -> http.client.HTTPConnection:
    """Return a connection on which a recording of so many bytes began to be sent."""
    slow = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    slow.putrequest("POST", "/predict")
    slow.putheader("Content-Length", str(size))
    slow.endheaders(body)
    return slow


def test_a_slow_sender_is_refused_and_keeps_nobody_waiting(model) -> None:
    with served(model, "--queue", "0", "--timeout", "4") as found:
        several = [begun(found.port, 100, b"RIFF") for _ in range(3)]
        status, said = found.post(ONE.read_bytes())
        while "longer than 4 s" in said.get("error", ""):  # on a machine that is busy
            status, said = found.post(ONE.read_bytes())
        assert status == 200, said
        for slow in several:
            answer = slow.getresponse()
            assert answer.status == 408
            assert json.loads(answer.read()) == {"error": "sending took longer than 4 s"}
            slow.close()


def test_what_is_sent_at_a_time_has_a_limit(model) -> None:
    with served(model, "--queue", "0", "--max-bytes", str(LIMIT)) as found:
        said: dict[str, Any] = {}
        while "too much" not in said.get("error", ""):  # which is then told to the other one
            slow = begun(found.port, LIMIT, bytes(LIMIT - 100))
            status, headers, text = found.ask("POST", "/predict", bytes(101))
            said = json.loads(text)
            slow.close()
        assert (status, headers["retry-after"]) == (503, "1")
        assert said == {"error": "busy: too much is being sent"}
        while (status := found.post(ONE.read_bytes())[0]) == 503:  # it may not have left yet
            pass
        assert status == 200


@pytest.mark.slow
def test_slow_recordings_are_given_up_and_do_not_pile_up(model, tmp_path) -> None:
    body = wav(tmp_path / "slow.wav", 5)  # in 75,000 windows: minutes of work
    slow = ("--window", "0.2", "--hop", "0.00006", "--timeout", "2", "--queue", "3")
    with served(model, *slow) as found:

        def post(_: int) -> tuple[int, str]:
            status, said = found.post(body)
            return status, said["error"]

        early = 408, "sending took longer than 2 s"  # on a machine that is busy
        late = 503, "the answer took longer than 2 s"
        alone = post(0)
        while alone == early:
            alone = post(0)
        assert alone == late
        with ThreadPoolExecutor(100) as pool:
            answers = set(pool.map(post, range(100)))
        assert answers <= {early, late, (503, "busy: the queue is full")}
        short = wav(tmp_path / "short.wav", 0.2)  # the only thread is free again
        assert 200 in (found.post(short)[0] for _ in range(30))


def sent(stream: Any, blocks: Sequence[bytes]) -> list[dict[str, Any]]:
    """Send blocks and an end; return what came back."""
    found = []
    with contextlib.suppress(closing.ConnectionClosed):
        for block in (*blocks, b""):
            stream.send(block)
    with contextlib.suppress(closing.ConnectionClosed):
        while True:
            found.append(json.loads(stream.recv()))
    return found


@pytest.mark.parametrize("size", [333, 100_000])
def test_a_stream_is_answered_as_predict_does(server, model, size, tmp_path) -> None:
    sound = pcm(5.3)
    words = ["predict", model, "-", "--stream", "--sample-rate", str(RATE)]
    command = [sys.executable, "-m", "sertool", *map(str, words)]
    done = subprocess.run(command, input=sound, capture_output=True, check=True)
    with server.stream(f"sample_rate={RATE}") as stream:
        found = sent(stream, [sound[i : i + size] for i in range(0, len(sound), size)])
    assert found == rows(done.stdout)
    assert [row["end"] for row in found] == [2.0, 4.0, 5.3]


def test_streams_have_limits(server) -> None:
    for query, said in (
        ("", "sample_rate: needs a whole number from 1000 to 192000"),
        ("sample_rate=x", "sample_rate: needs a whole number from 1000 to 192000"),
        ("sample_rate=16000&channels=99", "channels: needs a whole number from 1 to 8"),
    ):
        with server.stream(query) as stream:
            assert json.loads(stream.recv()) == {"error": said}
    with server.stream(f"sample_rate={RATE}") as first:
        first.send(pcm(2.1))
        first.recv()
        with server.stream(f"sample_rate={RATE}") as second:
            assert json.loads(second.recv()) == {"error": "busy: no stream is free"}
        found = sent(first, [pcm(8)])
        assert found[-1] == {"error": "the stream is longer than --max-duration"}
    with server.stream(f"sample_rate={RATE}") as stream:
        assert sent(stream, []) == [{"error": "no samples"}]
    with server.stream(f"sample_rate={RATE}") as stream, pytest.raises(closing.ConnectionClosed):
        stream.send(bytes((1 << 20) + 2))
        stream.recv()


def test_a_stream_whose_client_left_is_free_again(server) -> None:
    for _ in range(3):
        row: dict[str, Any] = {"error": "busy"}
        while "busy" in row.get("error", ""):  # the one before may not have left yet
            with (
                server.stream(f"sample_rate={RATE}") as stream,
                contextlib.suppress(closing.ConnectionClosed),
            ):
                stream.send(pcm(2.1))
                row = json.loads(stream.recv())
        assert row["end"] == 2.0


def test_it_says_what_it_is(server, model) -> None:
    status, headers, text = server.ask("GET", "/health")
    said = json.loads(text)
    assert (status, said["status"], said["classes"]) == (200, "ok", made_checkpoints.CLASSES)
    _, row = server.post(ONE.read_bytes())
    assert said["model"] == row["model"]
    assert headers["x-content-type-options"] == "nosniff"
    document = json.loads(server.ask("GET", "/openapi.json")[2])
    jsonschema = pytest.importorskip("jsonschema")
    schema = document["components"]["schemas"]["Prediction"]
    jsonschema.validate(row, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(row | {"confidence": "high"}, schema)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert server.ask(method.upper(), path)[0] in (200, *map(int, operation["responses"]))


def test_several_lines_of_a_recording(model, tmp_path, capsys) -> None:
    path = tmp_path / "call.wav"
    body = wav(path, 5)
    options = ("--window", "2", "--hop", "1", "--only", "anger,sadness")
    lines = printed(capsys, model, path, *options)
    with served(model, *options) as found:
        status, headers, text = found.ask("POST", "/predict", body)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "application/jsonl")
    assert rows(text) == [line | {"path": "-"} for line in lines]
    assert len(lines) == 4


def test_the_box_answers_without_torch(tmp_path, capsys) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch was asked for')")
    (line,) = printed(capsys, ONE)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        with served() as found:
            assert found.post(ONE.read_bytes()) == (200, line | {"path": "-"})


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_a_signal_ends_it_once_all_is_answered(model, number, code) -> None:
    with served(model) as found, found.stream(f"sample_rate={RATE}") as stream:
        left = http.client.HTTPConnection("127.0.0.1", found.port)
        left.putrequest("POST", "/predict")
        left.putheader("Content-Length", "100")
        left.endheaders(b"half")
        left.close()
        stream.send(pcm(2.1))
        stream.recv()
        found.process.send_signal(number)
        _, said = found.process.communicate(timeout=300)
        assert found.process.returncode == code
        assert "Traceback" not in said
        with pytest.raises(closing.ConnectionClosed):
            stream.recv()


def test_what_cannot_start_is_told(model, tmp_path, capsys, monkeypatch, server) -> None:
    for words, code, said in (
        (["nothing.ckpt"], 3, "nothing.ckpt: no such file"),
        ([model, "--port", str(server.port)], 3, f"127.0.0.1:{server.port}: "),
        ([model, "--host", "no.such.host.invalid"], 3, "no.such.host.invalid:8000: "),
        ([model, "--segments", "--vad", "off"], 2, "--segments"),
        ([model, "--port", "99999"], 2, "--port"),
    ):
        assert main(["serve", *map(str, words)]) == code
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error
    monkeypatch.setattr("sertool.commands.serve.NEEDED", ("no_such_package",))
    assert main(["serve", str(model)]) == 2
    assert "pip install 'sertool[serve]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    options = ["--no-sandbox", "--use-fake-ui-for-media-stream"]
    options += ["--use-fake-device-for-media-stream", "--mute-audio"]
    spoken = tmp_path_factory.mktemp("voice") / "voice.wav"
    wav(spoken, 5, 48000)
    options += [f"--use-file-for-fake-audio-capture={spoken}"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=options)
        yield chromium
        chromium.close()


def test_the_page_answers_a_file_and_a_voice(browser, model, tmp_path) -> None:
    wav(tmp_path / "\u202ecall.wav", 5)  # which would turn the page's text around
    complaints: list[str] = []
    with served(model, "--vad", "off", "--window", "1") as found:
        page = browser.new_page(viewport={"width": 360, "height": 800})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{found.port}/")
        page.locator("#file").set_input_files(str(tmp_path / "\u202ecall.wav"))
        page.locator("#rows tr").nth(5).wait_for()
        assert r"\u202ecall.wav: 5 lines" in page.locator("#answer").inner_text()
        names = set(made_checkpoints.CLASSES)
        drawn = page.locator("#curve polyline").evaluate_all("all => all.map(x => x.dataset.name)")
        assert set(drawn) == names
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("#speak").click()
        page.locator("#speak", has_text="Stop").wait_for()
        page.locator("#rows tr").nth(2).wait_for()
        page.locator("#speak").click()
        page.locator("#speak", has_text="Speak").wait_for()
        page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        page.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_serious_on_the_page(
    browser, server, tmp_path, width: int, scheme: str
) -> None:
    path = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
    if not path.is_file():
        pytest.skip("no node_modules/axe-core: npm install --no-save axe-core")
    wav(tmp_path / "call.wav", 8)
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, color_scheme=scheme, bypass_csp=True)
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.evaluate(path.read_text("utf-8"))
    for name in (None, "call.wav", "not.wav"):
        if name == "not.wav":
            (tmp_path / name).write_bytes(b"nothing")
        if name is not None:
            page.locator("#file").set_input_files(str(tmp_path / name))
            page.locator(
                "#answer", has_text="call.wav: " if "call" in name else "decoded"
            ).wait_for()
        if name == "call.wav":
            page.locator("#rows tr").nth(2).wait_for()
        found = page.evaluate("axe.run()")["violations"]
        told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found
                if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert told == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=str(tmp_path / f"{name}.png"), full_page=True)
    page.close()
