"""Requests to `serve`, answered in this process: standard input holds one, as it is sent."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

STATUSES = (200, 400, 403, 404, 405, 408, 413, 415, 422, 503)


def answered(checkpoint: str) -> int:
    """Answer the request on standard input, and print the answer; 1 for a refusal."""
    from sertool.evaluation.loading import load
    from sertool.evaluation.options import PredictOptions
    from sertool.extras.options import ServeOptions
    from sertool.extras.serving import Server, SharedPredictor

    path = Path(checkpoint)
    predictor = SharedPredictor(path, load(path, items=False), PredictOptions())
    application = Server(predictor, ServeOptions(workers=1)).application()
    head, _, body = sys.stdin.buffer.read().partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    words = first.decode("latin-1").split(" ")
    method, target = (*words, "/")[:2]
    place, _, query = target.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": place, "scheme": "http",
        "query_string": query.encode("latin-1"), "raw_path": place.encode("latin-1"),
        "root_path": "", "headers": [_field(line) for line in lines if b":" in line],
        "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    status, said = asyncio.run(_asked(application, scope, body))
    assert status in STATUSES, f"status {status}: {said[:200]!r}"
    sys.stdout.write(said.decode() if b"<html" not in said else "")
    if status != 200:
        print(f"sertool serve: {status}", file=sys.stderr)
    return int(status != 200)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


async def _asked(application: Any, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    """Return the status and the body of an answer; the request comes in two pieces."""
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
