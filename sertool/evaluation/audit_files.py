"""An audit of files: what TRAIN and TEST share, or the folds or parts of one file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.evaluation.description import recognise
from sertool.evaluation.facts import FACTS
from sertool.evaluation.heldout import require
from sertool.evaluation.leaks import Known, Leak, Link, Near, find, known
from sertool.evaluation.options import AuditOptions
from sertool.formats.fitted import TRAINED_PARTS, fitted_before
from sertool.formats.manifest import read_manifest
from sertool.items import PARTS, Item
from sertool.ui.console import Console

EXAMPLES = 2  # pairs of names that each fact shows


class Pair(Struct):
    """What a trained and a tested item share, and their ids."""

    value: str
    train: str
    test: str


class FactLink(Struct):
    """The same, and of which fact."""

    fact: str
    value: str
    train: str
    test: str

    def to_json(self) -> dict[str, str]:
        """Return the link as JSON has it."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Fact(Struct, kw_only=True):
    """One fact of `facts.FACTS`: whether it holds (None where unknown), and what is shared."""

    apart: bool | None
    what: str
    shared: int
    test_items: int
    unknown_train: int
    unknown_test: int
    examples: list[Pair]


class Audited(Struct, kw_only=True):
    """One of the two sides: a file, or a part of one."""

    path: str
    what: str
    items: int
    parts: list[str]
    validation: int
    copies: int
    recordings: int
    speakers: int


class Decoded(Struct):
    """What `--deep` decoded and compared."""

    decoded: int
    failed: int
    compared: int = 0
    dismissed: int = 0


class Audit(Struct, kw_only=True):
    """What two files share, or the folds or parts of one.

    by: "files", "held out", "parts" or "folds". links: every test item that shares something.
    """

    what: str = "audit"
    by: str
    folds: int | None
    train: Audited
    test: Audited
    deep: Decoded | None
    facts: dict[str, Fact]
    advice: str = ""
    links: list[FactLink] = []

    def to_json(self) -> dict[str, Any]:
        """Return the audit as JSON has it, without its links."""
        made: dict[str, Any] = to_builtins(self)
        del made["links"]
        return made


@dataclass
class Side:
    """A manifest, store or checkpoint, and those of its items that are compared.

    Items have an `origin`, and `file`, an absolute path, where that is known.
    """

    path: Path
    what: str
    items: list[Item]
    pipeline: list[dict[str, Any]] = field(default_factory=list)

    def of_part(self, *names: str) -> list[Item]:
        """Return the items of some parts."""
        return [item for item in self.items if item.part in names]


@dataclass
class Rounds:
    """What is compared: (trained, tested) once, or once a fold.

    by: "files", "held out", "parts" or "folds". fitted: the items that statistics or weights
    were fitted to, None where nobody knows them.
    """

    by: str
    pairs: list[tuple[list[Known], list[Known]]]
    fitted: list[Known] | None


def audit(paths: Sequence[Path], options: AuditOptions, console: Console) -> Audit:
    """Return what TRAIN and TEST share, or the folds or parts of one file.

    paths: one file or two. No audio is opened unless `options.deep`. Raises
    InputError for a file that cannot be used, UsageError for a wrong number of files.
    """
    if not 1 <= len(paths) <= 2:
        raise UsageError("--audit compares TRAIN with TEST, or the folds of one file")
    sides = [_load(path, console) for path in paths]
    trained, tested, rest = _sides(sides)
    decoded = None
    if options.deep:
        from sertool.evaluation import audit_deep

        decoded = Decoded(*audit_deep.complete(sides, console, options.workers))
    rounds = _rounds(sides, trained, tested, rest)
    near = Near(
        (k.print for left, _ in rounds.pairs for k in left),
        (k.print for _, right in rounds.pairs for k in right),
    )
    if decoded is not None:
        decoded.compared, decoded.dismissed = audit_deep.verify(rounds.pairs, near, console)
    leaks = _together([find(*pair, rounds.fitted, near) for pair in rounds.pairs])
    return _result(sides, rounds, leaks, decoded)


def check(result: Audit, names: Sequence[str]) -> None:
    """Raise InputError for the first of `names`, facts of an audit, that is not known to hold."""
    facts = {name: fact.apart for name, fact in result.facts.items()}
    counts = {FACTS[name]: fact.shared for name, fact in result.facts.items()}
    require(facts, counts, names)


def _load(path: Path, console: Console) -> Side:
    what = recognise(path)
    if what == "report":
        raise InputError(
            f"{show(path)}: a report has its audit in `protocol`; name a manifest, store or"
            " checkpoint"
        )
    return {"manifest": _manifest, "store": _store, "checkpoint": _checkpoint}[what](path, console)


def _manifest(path: Path, console: Console) -> Side:
    def bad(line: int, reason: str) -> None:
        console.failed(f"{show(path)}: line {line}", reason)

    items = []
    for utterance in read_manifest(path, bad):
        known = utterance.extra | {"file": os.path.normpath(utterance.path)}
        origin = utterance.extra.get("origin", utterance.id)
        items.append(utterance.replace(origin=str(origin or ""), extra=known))
    if not items:
        raise InputError(f"{show(path)}: not a manifest: none of its lines is an utterance")
    return Side(path, "manifest", items)


def _store(path: Path, console: Console) -> Side:
    from sertool.formats.store import Store

    with Store(path) as store:
        items = []
        for item in store.items():
            place = os.path.normpath(os.path.join(store.root, item.path or ""))
            file = place if item.path and os.path.isabs(place) else None
            items.append(item.replace(extra=item.extra | {"file": file}))
        if not items:
            raise InputError(f"{show(path)}: has no items")
        return Side(path, "store", items, store.pipeline)


def _checkpoint(path: Path, console: Console) -> Side:
    from sertool.formats.checkpoint import load

    loaded = load(path)
    return Side(path, "checkpoint", loaded.items, loaded.meta["pipeline"])


def _sides(sides: Sequence[Side]) -> tuple[list[Item], list[Item], list[Item]]:
    """Return the items trained on, those tested, and the others; no test where folds decide."""
    first, last = sides[0], sides[-1]
    if len(sides) == 2:
        is_model = first.what == "checkpoint"
        trained = first.of_part(*TRAINED_PARTS) if is_model else first.items
        if last.what != "checkpoint":
            return trained, last.items, first.of_part("test") if is_model else []
        tested = last.of_part("test")
        if not tested:
            raise InputError(
                f"{show(last.path)}: held no items out; name the store or manifest to test on"
            )
        return trained, tested, last.of_part(*TRAINED_PARTS)
    parts = {str(item.part) for item in first.items}
    if first.what == "checkpoint" and "test" not in parts:
        raise InputError(
            f"{show(first.path)}: held no items out; --audit {show(first.path)} TEST compares what"
            " it was trained on with another file"
        )
    if "test" in parts:
        trained, tested = first.of_part("train", "val"), first.of_part("test")
    elif "val" in parts:
        trained, tested = first.of_part("train"), first.of_part("val")
    elif len({item.fold for item in first.items} - {None}) > 1:
        return [item for item in first.items if item.fold is not None], [], []
    else:
        raise InputError(
            f"{show(first.path)}: has no folds and no parts to compare; prepare --split makes"
            " some, and --audit TRAIN TEST compares two files"
        )
    if not trained:
        raise InputError(f"{show(first.path)}: has a test part, but no training part")
    return trained, tested, []


def _rounds(
    sides: Sequence[Side], trained: list[Item], tested: list[Item], rest: list[Item]
) -> Rounds:
    before = fitted_before([stage for side in sides for stage in side.pipeline])
    train, test, earlier, _ = known(trained, tested, before or (), rest)
    fitted = list(earlier)
    if sides[0].what == "checkpoint":
        fitted += [k for k in train if k.item.part == "train"]
    fits = None if before is None else fitted
    if tested:
        by = "files" if len(sides) == 2 else "parts"
        by = "held out" if by == "parts" and sides[0].what == "checkpoint" else by
        return Rounds(by, [(train + earlier, test)], fits)
    pairs = []
    for fold in sorted({item.fold for item in trained if item.fold is not None}):
        mine = [k for k in train if k.item.fold == fold]
        pairs.append(([k for k in train if k.item.fold != fold] + earlier, mine))
    return Rounds("folds", pairs, fits)


def _together(every: Sequence[dict[str, Leak]]) -> dict[str, Leak]:
    """Return what all rounds found: each item is tested once."""
    return {
        name: Leak(
            [link for leaks in every for link in leaks[name].links],
            (
                max(leaks[name].unknown[0] for leaks in every),
                sum(leaks[name].unknown[1] for leaks in every),
            ),
            any(leaks[name].comparable for leaks in every),
        )
        for name in FACTS
    }


def _result(
    sides: Sequence[Side],
    rounds: Rounds,
    leaks: dict[str, Leak],
    decoded: Decoded | None,
) -> Audit:
    from sertool.evaluation.audit_text import advice

    trained, tested = rounds.pairs[0]
    if rounds.by == "folds":
        trained = tested = [k for _, mine in rounds.pairs for k in mine]
    result = Audit(
        by=rounds.by,
        folds=len(rounds.pairs) if rounds.by == "folds" else None,
        train=_described(sides[0], trained),
        test=_described(sides[-1], tested),
        deep=decoded,
        facts={name: _fact(name, leak) for name, leak in leaks.items()},
        links=[
            FactLink(name, *_names(link))
            for name, leak in leaks.items()
            for link in _sorted(leak.links)
        ],
    )
    result.advice = advice(result)
    return result


def _described(side: Side, items: Sequence[Known]) -> Audited:
    parts = Counter(str(k.item.part) for k in items if k.item.part)
    return Audited(
        path=show(side.path),
        what=side.what,
        items=len(items),
        parts=[name for name in PARTS if parts[name]],
        validation=parts["val"] if side.what == "checkpoint" else 0,
        copies=sum(k.copy for k in items),
        recordings=len({k.recording for k in items} - {None}),
        speakers=len({k.speaker for k in items} - {None}),
    )


def _fact(name: str, leak: Leak) -> Fact:
    examples: list[Link] = []
    for link in _sorted(leak.links):
        if len(examples) < EXAMPLES and link.value not in [other.value for other in examples]:
            examples.append(link)
    return Fact(
        apart=leak.apart,
        what=FACTS[name],
        shared=leak.shared,
        test_items=len(leak.links),
        unknown_train=leak.unknown[0],
        unknown_test=leak.unknown[1],
        examples=[Pair(*_names(link)) for link in examples],
    )


def _sorted(links: Sequence[Link]) -> list[Link]:
    return sorted(links, key=lambda link: (link.tested.id, link.trained.id))


def _names(link: Link) -> tuple[str, str, str]:
    """Return what two items share, and their ids."""
    value = link.value
    shown = "/".join(part for part in value if part) if isinstance(value, tuple) else str(value)
    return shown, link.trained.id, link.tested.id
