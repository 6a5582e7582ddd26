"""Files in foreign formats for tests: lhotse's lines, audformat's databases."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def lines(path: Path, rows: list[Any]) -> Path:
    """Write JSON Lines, packed where the name says so."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def recording(name: str, source: str, seconds: float = 2.0, channels: int = 1, **more: Any) -> Any:
    numbers = list(range(channels))
    return {
        "id": name,
        "sources": [{"type": "file", "channels": numbers, "source": source}],
        "sampling_rate": 16000,
        "num_samples": round(16000 * seconds),
        "duration": seconds,
        "channel_ids": numbers,
    } | more


def supervision(name: str, of: str, start: float = 0.0, seconds: float = 2.0, **more: Any) -> Any:
    return {
        "id": name,
        "recording_id": of,
        "start": start,
        "duration": seconds,
        "channel": 0,
    } | more


HEADER = """name: emodb
description: 'Berlin: a
  database'
source: http://emodb.bilderbar.info
usage: unrestricted
languages: [deu]
schemes:
  emotion:
    dtype: str
    labels: [anger, neutral]
  speaker: {dtype: int, labels: speaker}
tables: {}
"""


def database(root: Path, **tables: str) -> Path:
    """Write a database; the table `emotion_test` is db.emotion.test.csv."""
    write(root / "db.yaml", HEADER)
    for name, text in tables.items():
        write(root / f"db.{name.replace('_', '.')}.csv", text)
    return root
