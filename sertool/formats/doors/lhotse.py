"""Lhotse's cuts with their features: `cuts.jsonl.gz`, and a .npy an item.

Paths are relative: `CutSet.from_file("out/cuts.jsonl.gz").with_features_path_prefix("out")`. A cut
is an item, with one supervision of its fields; a further field of an item is in its `custom`.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from sertool.core.errors import UsageError
from sertool.formats import doors
from sertool.formats.doors import INDEX, Door
from sertool.formats.doors.npz import write_header
from sertool.formats.store import Store
from sertool.items import Item

CUTS, FOLDER = "cuts.jsonl.gz", "features"
OWN = ("text", "language", "speaker", "gender")  # fields of a supervision; others are custom
EACH = 1000  # items in a folder


class _Lhotse(Door):
    def write(self, store: Store, target: Path, to: str) -> None:
        if len(store.shape) != 1 or not store.frame_rate:
            raise UsageError(f"--to {to}: is of frames over time, not of kind {store.kind}")
        (target / FOLDER).mkdir()
        lengths = store.lengths()
        with (
            open(target / CUTS, "wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        ):
            for i, item in enumerate(store.items()):
                key = f"{i // EACH:06d}/{i:09d}.npy"
                path = target / FOLDER / key
                path.parent.mkdir(exist_ok=True)
                shape = (int(lengths[i]), *store.shape)
                with open(path, "wb") as file:
                    write_header(file, shape, store.dtype)
                    for some in store.parts(i):
                        file.write(some.reshape(-1).data)
                row = json.dumps(_cut(store, item, key, shape), ensure_ascii=False)
                packed.write(row.encode() + b"\n")
        (target / INDEX).write_text(doors.text_of(store) + "\n", "utf-8")


DOOR = _Lhotse()


def _cut(store: Store, item: Item, key: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return lhotse's cut of an item with features (frames, dims)."""
    frames, dims = shape
    duration = frames / store.frame_rate
    fields = {n: item.value(n) for n in store.column_names() if n not in ("id", "label", *OWN)}
    supervision = {
        "id": item.id,
        "recording_id": item.id,
        "start": 0.0,
        "duration": duration,
        "channel": 0,
        **{name: item.value(name) for name in OWN},
        "custom": {"emotion": item.label} | fields,
    }
    features = {
        "type": f"sertool-{store.kind}",
        "num_frames": frames,
        "num_features": dims,
        "frame_shift": 1 / store.frame_rate,
        "sampling_rate": store.sample_rate,
        "start": 0.0,
        "duration": duration,
        "storage_type": "numpy_files",
        "storage_path": FOLDER,
        "storage_key": key,
        "recording_id": item.id,
        "channels": 0,
    }
    return {
        "id": item.id,
        "start": 0.0,
        "duration": duration,
        "channel": 0,
        "supervisions": [supervision],
        "features": features,
        "type": "MonoCut",
    }
