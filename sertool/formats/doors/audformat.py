"""Audformat's databases of a store: the fields of its items, and their features.

The table `emotion` has the fields, and at the same files and times the table `features` a column a
dimension. Of frames that follow each other within an item it would not tell the time.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sertool.core.errors import UsageError
from sertool.formats import doors
from sertool.formats.audformat import (
    EMOTION,
    SEGMENTED,
    Place,
    Schemes,
    Table,
    free,
    opened,
    write_header,
)
from sertool.formats.doors import INDEX, Door
from sertool.formats.store import Store

FEATURES = "features"


class _Audformat(Door):
    def write(self, store: Store, target: Path, to: str) -> None:
        if len(store.shape) != 1 or any(n != 1 for n in store.lengths()):
            raise UsageError(
                f"--to {to}: has a row for each recording, and an item of kind {store.kind} has"
                " many; use --to lhotse, .parquet or .npz, or a kind such as functionals or voice"
            )
        items = store.items()
        places: list[Place] = [
            (os.path.join(store.root, one.path), one.start, one.end) for one in items
        ]
        if len(set(places)) < len(places):
            raise UsageError(
                f"--to {to}: has a row for each stretch of a recording, and several items are of"
                " the same; leave copies out"
            )
        segmented = any(place[1:] != (None, None) for place in places)
        columns = [one for one in doors.columns(store) if one[0] not in ("path", "start", "end")]
        ours = {"label": EMOTION}
        names = free([name for name, _, _ in columns if name not in ours], [*SEGMENTED, EMOTION])
        schemes: Schemes = {}
        for name, kind, _ in columns:
            dtype = {"text": "str", "number": "float", "whole": "int"}[kind]
            labels = {"labels": store.classes} if name == "label" else {}
            schemes[(ours | names)[name]] = {"dtype": dtype} | labels
        dims = [f"{store.kind}_{k}" for k in range(store.shape[0])]
        tables = [
            Table(EMOTION, schemes, segmented),
            Table(FEATURES, {name: {"dtype": "float"} for name in dims}, segmented),
        ]
        languages = sorted({one.language for one in items if one.language})
        known = [one for one in languages if re.fullmatch("[a-z]{2,3}", one)]
        corpora = "-".join(sorted({one.corpus for one in items if one.corpus})) or "store"
        write_header(target, corpora, f"store {store.sha256}", tables, known)
        with opened(target, tables[0]) as write:
            for i, place in enumerate(places):
                write(place, [values[i] for _, _, values in columns])
        with opened(target, tables[1]) as write:
            for i, place in enumerate(places):
                write(place, map(str, store.features(i)[0]))
        (target / INDEX).write_text(doors.text_of(store) + "\n", "utf-8")


DOOR = _Audformat()
