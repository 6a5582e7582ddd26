"""A model behind HTTP: what `predict` says of a recording or a stream, within limits.

The model is loaded once. Recordings wait in a queue of bounded length for the threads that hear
them, scoring is done by one thread at a time; a stream has a thread of its own. What a client sends
is kept in a file of our naming until it is answered, and no answer tells where.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import tempfile
import threading
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import anyio
import numpy as np
import uvicorn
from anyio import from_thread, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sertool.audio.blocks import blocks, facts
from sertool.audio.streams import Stream
from sertool.core import stopping, workers
from sertool.core.boxes import Box
from sertool.core.errors import InputError, ItemError, SertoolError
from sertool.core.paths import AUDIO_SUFFIXES
from sertool.core.version import VERSION
from sertool.evaluation.predicting import at_once
from sertool.evaluation.predictions import Prediction, Row, Unread, formatter
from sertool.evaluation.predictor import Giver, Predictor, Scored, channels_of
from sertool.evaluation.streaming import predict_stream
from sertool.extras import serving_page
from sertool.extras.openapi import document
from sertool.extras.options import ServeOptions
from sertool.features.hearing import Clip
from sertool.items import Item
from sertool.models.scoring import Route as Model
from sertool.ui.console import Console

SUFFIXES = {  # of what the beginning of a file does not tell, by the type that a client states
    "audio/aac": ".aac",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/webm": ".webm",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}
RATES = range(1000, 192_001)  # Hz of a stream
MOST_CHANNELS = 8  # of a stream
MESSAGE = 1 << 20  # bytes that a message of a stream may have
MANY, AGAIN, WRONG, FAILED = 1009, 1013, 1008, 1011  # why a websocket is closed (RFC 6455)
SENDERS = 256  # recordings that may be on their way at a time, however slowly
MISTAKE = "internal error"
PATIENCE = 5.0  # seconds in which the rest of what is refused may come
JSONL = "application/jsonl"


class SharedPredictor(Predictor):
    """A predictor whose model several threads use, one at a time; see `stopping`."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._lock = threading.RLock()

    def scored(self, clips: Sequence[Clip], routes: Sequence[Model | None]) -> list[Scored]:
        """Return what clips are scored by the models of `routes`."""
        with self._lock:
            stopping.check()
            return super().scored(clips, routes)

    def route(self, clip: Clip, item: Item | None) -> Model | None:
        """Return by which model a clip is scored; None where there is only one."""
        with self._lock:
            return super().route(clip, item)


def _is_longer(path: str, most: float) -> bool:
    """Return whether a recording is longer than `most` seconds, whatever its header says."""
    known = facts(path)
    if known.frames is not None:
        return known.frames > most * known.sample_rate
    total = 0
    for block in blocks(path, known.sample_rate):
        total += len(block)
        if total > most * known.sample_rate:
            return True
    return False


class _Room:
    """Bytes that all recordings which are being sent, wait or are heard may have together."""

    def __init__(self, most: int) -> None:
        self._free, self._lock = most, threading.Lock()

    def take(self, count: int) -> bool:
        """Take so many bytes; return whether there were as many."""
        with self._lock:
            enough = count <= self._free
            self._free -= count if enough else 0
            return enough

    def leave(self, count: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._free += count


def _busy(why: str) -> HTTPException:
    return HTTPException(503, f"busy: {why}", {"Retry-After": "1"})


class _Gone(Exception):
    """The client of a stream has left."""


@dataclass
class Server:
    """The application, with its limits and what is under way."""

    predictor: Predictor
    options: ServeOptions

    def __post_init__(self) -> None:
        count = self.options.workers or workers.cores()
        self._pool = ThreadPoolExecutor(count, "hears")
        limits, own = self.predictor.limits, SimpleQueue[Box]()
        for _ in range(count):  # one for each thread: what crashes there, ends no server
            own.put(Box(limits and dataclasses.replace(limits, seconds=self.options.timeout)))
        self._boxes = own
        places = count + self.options.queue
        self._places = threading.BoundedSemaphore(places)
        self._senders = threading.BoundedSemaphore(SENDERS)
        self._room = _Room(places * self.options.max_bytes)
        self._streams = threading.BoundedSemaphore(self.options.streams)
        self._threads: anyio.CapacityLimiter | None = None
        predictor = self.predictor
        self._text = formatter("jsonl", predictor.classes, predictor.further,
                               numbers=predictor.numbers)[1]  # fmt: skip

    @property
    def one_line(self) -> bool:
        """Whether a recording has one line."""
        options = self.options.how
        return not options.several and options.channel != "each"

    def application(self) -> Starlette:
        """Return the application."""
        handlers: Any = {HTTPException: _refusal, Exception: _failure}
        routes = [
            Route("/", self.page),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/health", self.health),
            Route("/openapi.json", self.openapi),
            WebSocketRoute("/stream", self.stream),
        ]
        return Starlette(routes=routes, exception_handlers=handlers)

    async def page(self, _: Request) -> Response:
        """Return a page on which one drops a file or speaks."""
        framed = {"Content-Security-Policy": "frame-ancestors 'none'"}
        return HTMLResponse(serving_page.text(self.predictor.told), headers=framed | _SAFE)

    async def health(self, _: Request) -> Response:
        """Return which model answers."""
        outputs = {"numbers": list(self.predictor.numbers)} if self.predictor.numbers else {
            "classes": self.predictor.classes
        }  # fmt: skip
        said = {"status": "ok", "model": self.predictor.model, "version": VERSION}
        return JSONResponse(said | outputs, headers=_SAFE)

    async def openapi(self, _: Request) -> Response:
        """Return the description of this interface."""
        numbers = bool(self.predictor.numbers)
        return JSONResponse(document(self.options, self.one_line, numbers), headers=_SAFE)

    async def predict(self, request: Request) -> Response:
        """Answer a recording with the lines that `predict` prints of it."""
        try:
            return await self._predicted(request)
        except HTTPException as error:
            if error.status_code != 408:
                await self._drop(request)
            raise
        except ClientDisconnect:
            raise HTTPException(400, "the sender has left") from None

    async def _drop(self, request: Request) -> None:
        """Read the rest of a body, if it is not long: who is still sending does not hear us."""
        size = 0
        with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
            async with asyncio.timeout(PATIENCE):
                async for block in request.stream():
                    size += len(block)
                    if size > self.options.max_bytes:
                        return

    async def _predicted(self, request: Request) -> Response:
        _check_origin(request)
        stated = request.headers.get("content-length", "0")
        if stated.isdigit() and int(stated) > self.options.max_bytes:
            raise self._too_large()
        self._take_place()
        self._places.release()  # it is taken by what is there whole: a slow sender keeps none
        job: Future[list[Row]] | None = None
        over = threading.Event()
        files = contextlib.ExitStack()
        try:
            async with asyncio.timeout(self.options.timeout):
                with self._sending():
                    upload = await self._received(request, files)
                self._take_place()
                job = self._pool.submit(self._heard, upload, over)
                rows = await asyncio.wrap_future(job)
        except TimeoutError:
            code, what = (408, "sending") if job is None else (503, "the answer")
            limit = f"{self.options.timeout:g} s"
            raise HTTPException(code, f"{what} took longer than {limit}") from None
        finally:
            over.set()

            def leave(_: object) -> None:
                files.close()
                self._places.release()

            if job is None:
                files.close()
            else:  # a thread may be at it still, for a moment
                job.add_done_callback(leave)
        return self._answer(rows)

    def _take_place(self) -> None:
        if not self._places.acquire(blocking=False):
            raise _busy("the queue is full")

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Count somebody who sends a recording; HTTPException where there are too many."""
        if not self._senders.acquire(blocking=False):
            raise _busy("too many are sending")
        try:
            yield
        finally:
            self._senders.release()

    def _answer(self, rows: Sequence[Row]) -> Response:
        """Return rows as a response; HTTPException where none is a prediction."""
        if not any(isinstance(row, Prediction) for row in rows):
            failed = next((row.error for row in rows if isinstance(row, Unread)), "no samples")
            raise HTTPException(422, failed)
        kind = "application/json" if self.one_line else JSONL
        return Response("".join(map(self._text, rows)), media_type=kind, headers=_SAFE)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"more than {self.options.max_bytes} bytes")

    async def _counted(
        self, request: Request, files: contextlib.ExitStack
    ) -> AsyncGenerator[bytes, None]:
        """Yield a request's body; HTTPException 413 where it is too large.

        Its bytes are counted among those of all recordings until `files` are closed.
        """
        size = 0
        files.callback(lambda: self._room.leave(size))
        async for block in request.stream():
            if size + len(block) > self.options.max_bytes:
                raise self._too_large()
            if not self._room.take(len(block)):
                raise _busy("too much is being sent")
            size += len(block)
            yield block

    async def _received(self, request: Request, files: contextlib.ExitStack) -> _Upload:
        """Return a request's recording in a file that lives as long as `files`."""
        kind, _, _ = request.headers.get("content-type", "").partition(";")
        name, size = "-", 0
        blocks = self._counted(request, files)
        if kind.strip().lower() == "multipart/form-data":
            try:
                parser: Any = MultiPartParser(request.headers, blocks, max_files=1, max_fields=8)
                form = await parser.parse()
            except (MultiPartException, KeyError, ValueError) as error:
                raise HTTPException(400, f"not a multipart form: {error}") from None
            given = [value for _, value in form.multi_items() if not isinstance(value, str)]
            if not given:
                raise HTTPException(400, "the form holds no file")
            files.callback(given[0].file.close)
            name = given[0].filename or name
            # some charsets give half a surrogate pair
            name = name.encode("utf-8", "backslashreplace").decode()
            kind = (given[0].content_type or "").partition(";")[0]
            blocks = _blocks(given[0])
        suffix = os.path.splitext(name)[1].lower()
        if suffix not in AUDIO_SUFFIXES:
            suffix = SUFFIXES.get(kind.strip().lower(), "")
        # the name is ours: all that a client's decides is which decoder reads the file
        named = tempfile.NamedTemporaryFile(suffix=suffix)  # noqa: SIM115 (kept)
        file = files.enter_context(named)
        async for block in blocks:
            size += len(block)
            await to_thread.run_sync(file.write, block)
        file.flush()
        if not size:
            raise HTTPException(400, "no recording: the body is empty")
        return _Upload(file.name, name)

    def _heard(self, upload: _Upload, over: threading.Event) -> list[Row]:
        """Return the rows of a recording, in a thread that stops once it is `over`.

        HTTPException for one that is too long.
        """
        box = self._boxes.get()
        try:
            with stopping.until(over):
                return self._heard_in(box, upload)
        finally:
            self._boxes.put(box)

    def _heard_in(self, box: Box, upload: _Upload) -> list[Row]:
        most = self.options.max_duration
        try:
            if box.call(_is_longer, upload.path, most):
                raise HTTPException(413, f"longer than {most:g} s")
        except ItemError as error:
            return [Unread(upload.name, _told(str(error), upload))]
        rows: list[Row] = []
        item = Item("", upload.path)
        predictor = copy(self.predictor)
        predictor.box = box
        giver = Giver(predictor, rows.append, Console.silent())
        tasks = [(item, channel) for channel in channels_of(item, self.options.how.channel, box)]
        at_once(predictor, tasks, giver)
        return [_named(row, upload) for row in rows]

    async def stream(self, client: WebSocket) -> None:
        """Answer raw PCM, message by message, with a line for each window."""
        try:
            _check_origin(client)
        except HTTPException:
            await client.close(WRONG)
            return
        await client.accept()
        try:
            rate = _whole(client, "sample_rate", None, RATES)
            channels = _whole(client, "channels", 1, range(1, MOST_CHANNELS + 1))
        except ValueError as error:
            await _closed(client, WRONG, str(error))
            return
        if not self._streams.acquire(blocking=False):
            await _closed(client, AGAIN, "busy: no stream is free")
            return
        try:
            if self._threads is None:
                self._threads = anyio.CapacityLimiter(self.options.streams)
            hear = self._hear_stream
            why = await to_thread.run_sync(hear, client, rate, channels, limiter=self._threads)
        finally:
            self._streams.release()
        if why is not None:  # told only now that its place is free
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await _closed(client, *why)

    def _hear_stream(self, client: WebSocket, rate: int, channels: int) -> tuple[int, str] | None:
        """Answer one stream until it ends; return why, None where nobody is there to be told.

        Runs in a thread.
        """
        most = int(self.options.max_duration * rate) * 2 * channels
        messages = Messages(lambda: self._wait(client.receive), most)

        def sink(row: Row) -> None:
            self._wait(client.send_text, self._text(row).rstrip("\n"))

        try:
            source = Stream(messages, rate, channels)
            predict_stream(self.predictor, lambda: source, sink, Console.silent())
        except _Gone:
            return None
        except TimeoutError:
            return WRONG, f"nothing was sent, or read, for {self.options.timeout:g} s"
        except HTTPException as error:
            return MANY, error.detail
        except (SertoolError, ItemError) as error:
            return WRONG, str(error).removeprefix("standard input: ")
        except Exception as error:
            traceback.print_exception(error)
            return FAILED, MISTAKE
        return 1000, ""

    def _wait(self, work: Callable[..., Awaitable[Any]], *given: Any) -> Any:
        """Have the loop do a stream's work, for no longer than the limit; _Gone, TimeoutError."""

        async def limited() -> Any:
            async with asyncio.timeout(self.options.timeout):
                return await work(*given)

        try:
            return from_thread.run(limited)
        except (WebSocketDisconnect, RuntimeError) as error:  # starlette's, where nobody listens
            raise _Gone from error


@dataclass(frozen=True)
class _Upload:
    """A recording: where it lies, and what its sender calls it."""

    path: str
    name: str


class Messages:
    """The binary messages of a websocket as a file; any other message, or an empty one, ends it."""

    def __init__(self, receive: Callable[[], Any], most: int) -> None:
        self._receive, self._left = receive, most
        self._kept = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end; HTTPException where there are too many."""
        while not self._kept and not self._ended:
            message = self._receive()
            if message["type"] == "websocket.disconnect":
                raise _Gone
            self._kept = message.get("bytes") or b""
            self._ended = not self._kept
            self._left -= len(self._kept)
            if self._left < 0:
                raise HTTPException(413, "the stream is longer than --max-duration")
        found, self._kept = self._kept[:size], self._kept[size:]
        return found


_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


async def _refusal(_: Request, error: Exception) -> Response:
    """Return an HTTPException as JSON."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {}) | _SAFE
    if error.status_code in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not read
    return JSONResponse({"error": error.detail}, error.status_code, headers)


async def _failure(_: Request, error: Exception) -> Response:
    """Tell the operator all of a mistake of ours, and the client no more than that."""
    traceback.print_exception(error)
    return JSONResponse({"error": MISTAKE}, 500, _SAFE)


def _check_origin(client: HTTPConnection) -> None:
    """Raise HTTPException for what another site's page sends from its reader's browser."""
    origin = client.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != client.headers.get("host"):
        raise HTTPException(403, "a page of another origin")


def _whole(client: WebSocket, name: str, default: int | None, known: range) -> int:
    """Return a number of a stream's address; ValueError."""
    text = client.query_params.get(name, default)
    try:
        number = int(str(text))
    except ValueError:
        number = -1
    if number not in known:
        raise ValueError(f"{name}: needs a whole number from {known[0]} to {known[-1]}")
    return number


async def _closed(client: WebSocket, code: int, error: str) -> None:
    """Close a stream; say why where that is no ordinary end."""
    if error:
        await client.send_json({"error": error})
    await client.close(code)


async def _blocks(file: Any) -> AsyncGenerator[bytes, None]:
    """Yield the content of a form's file."""
    while block := await file.read(1 << 16):
        yield block


def _told(text: str, upload: _Upload) -> str:
    """Return a message in which a recording has its sender's name."""
    return text.replace(upload.path, upload.name)


def _named(row: Row, upload: _Upload) -> Row:
    """Return a row that names the recording as its sender does."""
    if isinstance(row, Unread):
        return dataclasses.replace(row, path=upload.name, error=_told(row.error, upload))
    return dataclasses.replace(row, path=upload.name)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens; InputError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{host}:{port}: {reason}") from None
    with bound:
        # asyncio does so only for a socket that names its protocol; else answers take 40 ms more
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield bound


def serve(predictor: Predictor, options: ServeOptions, console: Console) -> None:
    """Answer until a signal ends it, and then what is under way; InputError for an address."""
    _rehearse(predictor)
    server = Server(predictor, options)
    with listening(options.host, options.port) as bound:
        config = uvicorn.Config(
            server.application(),
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws_max_size=MESSAGE,
            timeout_graceful_shutdown=int(options.timeout) + 1,
        )
        host, port = bound.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        console.note(f"http://{shown}:{port} answers with {predictor.told}; Ctrl-C ends it")
        uvicorn.Server(config).run(sockets=[bound])


def _rehearse(predictor: Predictor) -> None:
    """Load the model and answer noise, so that the first recording waits for nothing."""
    predictor.load()
    noise = np.random.default_rng(0).integers(-3000, 3000, 16000, np.int16)
    with contextlib.suppress(InputError):
        predictor.scores([predictor.hearing.part(noise, 16000, None)], [None])
