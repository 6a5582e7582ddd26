"""Pre-trained encoders that know what a model is tested on, as far as `data/encoders.toml` says.

An encoder is recognised by the last part of its name, or by its weights.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from msgspec import Struct

from sertool.core.data import data_path
from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.evaluation.report import EncoderUsed, all_hold
from sertool.formats import schema
from sertool.formats.checkpoint import Header

FACT = "encoder-clean"  # of `--require`


class Group(Struct, forbid_unknown_fields=True):
    """Corpora that go by one name."""

    name: str
    corpora: list[str]
    source: str


class Entry(Struct, forbid_unknown_fields=True):
    """What encoders of these names, or with these weights, were trained on."""

    match: list[str]
    corpora: list[str]
    source: str
    sha256: list[str] = []


class Table(Struct, forbid_unknown_fields=True):
    """The file."""

    encoder: list[Entry]
    group: list[Group] = []


class Named(NamedTuple):
    """An encoder by its name and its weights."""

    name: str
    sha256: str


@functools.cache
def table() -> Table:
    """Return what is published; corpora of groups one by one."""
    found = schema.convert(tomllib.loads(data_path("encoders.toml").read_text("utf-8")), Table)
    groups = {group.name: group.corpora for group in found.group}
    for entry in found.encoder:
        entry.corpora = [c for name in entry.corpora for c in groups.get(name, [name])]
    return found


def trained_on(encoder: Named) -> list[str] | None:
    """Return the corpora that an encoder was trained on, None where that is unknown."""
    base = encoder.name.rpartition("/")[2].casefold()
    for entry in table().encoder:
        if encoder.sha256 in entry.sha256:
            return entry.corpora
    for entry in table().encoder:
        if any(fnmatchcase(base, pattern.casefold()) for pattern in entry.match):
            return entry.corpora
    return None


def encoders(header: Header) -> list[Named]:
    """Return the encoders of a checkpoint's features and of its model, and those of its members."""
    stages = [stage.settings or {} for stage in header.pipeline if stage.kind == "ssl"]
    found = [Named(str(one.get("model")), str(one.get("sha256"))) for one in stages]
    inner = header.model.settings.get("encoder")
    if isinstance(inner, dict) and inner:
        found.append(Named(str(inner.get("name")), str(inner.get("sha256"))))
    members = [schema.convert(meta, Header) for meta in header.fused or ()]
    return list(dict.fromkeys([*found, *(one for member in members for one in encoders(member))]))


def used(encoder: Named, corpora: Iterable[str | None]) -> EncoderUsed:
    """Return what is known of an encoder and of the corpora that it is tested on."""
    known = trained_on(encoder)
    if known is None:
        return EncoderUsed(name=encoder.name, clean=None, corpora=[])
    theirs = {_plain(name) for name in known}
    tested = {corpus or "" for corpus in corpora}
    shared = sorted(corpus for corpus in tested if corpus and _plain(corpus) in theirs)
    clean = False if shared else (None if "" in tested else True)
    return EncoderUsed(name=encoder.name, clean=clean, corpora=shared)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.casefold())


def together(folds: Iterable[Sequence[EncoderUsed]]) -> list[EncoderUsed]:
    """Return what is known of the encoders of several checkpoints, each of them once."""
    found: dict[str, list[EncoderUsed]] = {}
    for one in (one for fold in folds for one in fold):
        found.setdefault(one.name, []).append(one)
    return [
        EncoderUsed(
            name=name,
            clean=all_hold(one.clean for one in every),
            corpora=sorted({corpus for one in every for corpus in one.corpora}),
        )
        for name, every in found.items()
    ]


def said(encoder: EncoderUsed) -> tuple[str, bool]:
    """Return what is known of an encoder in words, and whether that weakens the test."""
    name = f"encoder {show(encoder.name)}"
    if encoder.clean is False:
        corpora = ", ".join(map(show, encoder.corpora))
        return f"{name} CONTAMINATED: trained on {corpora}", True
    return f"{name}: {'not trained on these' if encoder.clean else 'training data unknown'}", False


def require(found: Sequence[EncoderUsed]) -> None:
    """Raise InputError for an encoder that was, or may have been, trained on what is tested."""
    for one in found:
        if one.clean is not True:
            on = ", ".join(map(show, one.corpora)) or "what nobody knows"
            raise InputError(
                f"--require {FACT} does not hold: the encoder {show(one.name)} was trained on {on}"
            )
