"""The readers as functions of bytes: what works in one process, thousands of times a second."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz import doors, mutate
from sertool.audio import streams
from sertool.audio.headers import read_header
from sertool.core.settings import assignments
from sertool.corpora import labels, named, pattern, where
from sertool.evaluation import report, search
from sertool.features import turns
from sertool.formats import checkpoint, onnx
from sertool.formats.manifest import read_manifest
from sertool.papers import papers
from sertool.splits import protocols

DATA = doors.ROOT / "data"
KEPT = doors.ROOT / "tests" / "data" / "v1"


@dataclass(frozen=True)
class Reader:
    """What reads a file (or, without `file`, a text) and how what it reads is changed."""

    read: Callable[[Any], Any]
    seed: Callable[[], bytes]
    change: mutate.Change = mutate.text_of
    file: str = ""

    def take(self, content: bytes, folder: Path) -> None:
        """Read what is `content`, in a file of a folder where it is one."""
        if not self.file:
            self.read(content.decode("utf-8", "surrogateescape"))
            return
        path = folder / self.file
        path.write_bytes(content)
        self.read(path)


def _toml(folder: str, name: str) -> bytes:
    return (DATA / folder / f"{name}.toml").read_bytes()[:4000].rpartition(b"\n")[0]


def _wave() -> bytes:
    import numpy as np
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.linspace(-0.5, 0.5, 400), 8000, "PCM_16", format="WAV")
    return file.getvalue()


def _stream(path: Path) -> None:
    with open(path, "rb") as file:
        stream = streams.wav_stream(file)
        while len(stream.read(4000)):
            pass


READERS: Mapping[str, Reader] = {
    "--where": Reader(where.parse, b"label in anger,sadness".strip),
    "--set": Reader(lambda text: assignments([text]), b"n=[1, 2]".strip),
    "--pattern": Reader(pattern.named, b"{label}/{speaker:2}_{}.wav".strip),
    "--split": Reader(protocols.parse, b"random:8:1:1".strip),
    "manifest": Reader(lambda path: list(read_manifest(path, lambda number, reason: None)),
                       (KEPT / "manifest.jsonl").read_bytes, mutate.json_of, "x.jsonl"),
    "report": Reader(report.read, (KEPT / "report.json").read_bytes, mutate.json_of, "x.json"),
    "label map": Reader(lambda path: labels.load(str(path)), doors.MAP.encode, file="x.toml"),
    "corpus file": Reader(named.read, lambda: _toml("corpora", "nemo"), file="x.toml"),
    "paper": Reader(papers.load, lambda: _toml("papers", "ma2018"), file="x.toml"),
    "sweep": Reader(search.read, doors.SPEC.encode, file="x.toml"),
    "turns (RTTM)": Reader(turns.read_turns, doors.RTTM.encode, file="x.rttm"),
    "turns (table)": Reader(turns.read_turns, doors.TURNS.encode, mutate.table_of, "x.csv"),
    "checkpoint": Reader(lambda path: checkpoint.load(path),
                         (KEPT / "majority.ckpt").read_bytes, mutate.bytes_of, "x.ckpt"),
    "onnx": Reader(lambda path: onnx.load(path), b"\x08\x08".strip, mutate.bytes_of, "x.onnx"),
    "wav header": Reader(read_header, _wave, mutate.bytes_of, "x.wav"),
    "stream": Reader(_stream, _wave, mutate.bytes_of, "x.wav"),
}  # fmt: skip
