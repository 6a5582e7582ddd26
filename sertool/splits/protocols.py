"""Protocols: which fold or part each utterance goes to, by seed and id, never by position."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import opened_text, show
from sertool.core.seeds import derive
from sertool.core.texts import whole
from sertool.items import PARTS, Item
from sertool.splits.balance import Group, balance

Stratum = tuple[str, ...]  # what items are dealt evenly by: a class, or a gender and a class


class Place(NamedTuple):
    """Where a split puts an item: a fold, a part ("train", "val", "test"), or neither."""

    fold: int | None = None
    part: str | None = None


Units = Mapping[str, Sequence[Item]]  # what stays together -> its items

# protocol -> the field whose values stay whole, and what it is called in messages
GROUPED = {"speakers": "speaker", "loso": "speaker", "sessions": "session", "texts": "text"}
PROTOCOLS = (
    "random:80:20",
    "random:8:1:1",
    "kfold:5",
    "speakers:5",
    "loso",
    "sessions",
    "texts",
    "corpora",
    "file:FOLDS.csv",
    "none",
)
_ADVICE = {
    "speaker": "a table with a column speaker names them; kfold:5 does without",
    "session": "only some corpora have sessions; speakers:5 keeps speakers apart",
    "corpus": "every manifest of prepare names one",
    "text": "only some corpora name their sentences; speakers:5 keeps speakers apart",
}


_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Protocol:
    """A parsed protocol: its name, its ratios or number of folds, or its file."""

    text: str
    name: str
    ratios: tuple[float, ...] = ()
    folds: int | None = None
    path: Path | None = None


def parse(text: str) -> Protocol:
    """Return the protocol that `text` names; raises UsageError for any other."""
    name, _, rest = text.partition(":")
    if name == "random":
        return Protocol(text, name, ratios=_ratios(text, rest))
    if name == "kfold" or (name in GROUPED and name != "loso" and rest) or name == "speakers":
        folds = whole(rest)
        if folds is None or folds < 2:
            raise UsageError(f"protocol {text}: write {name}:N, with at least 2 folds")
        return Protocol(text, name, folds=folds)
    if name == "file" and rest:
        return Protocol(text, name, path=Path(rest))
    if name in (*GROUPED, "corpora", "none") and not rest:
        return Protocol(text, name)
    raise UsageError(f"unknown protocol {text!r}; choose one of {', '.join(PROTOCOLS)}")


def _ratios(text: str, rest: str) -> tuple[float, ...]:
    try:
        ratios = tuple(float(word) for word in rest.split(":"))
    except ValueError:
        ratios = ()
    if len(ratios) not in (2, 3) or not all(0 < ratio < float("inf") for ratio in ratios):
        raise UsageError(
            f"protocol {text}: write random:TRAIN:TEST or random:TRAIN:VAL:TEST, e.g. random:8:1:1"
        )
    return tuple(ratio / sum(ratios) for ratio in ratios)


def unit_of(item: Item, unit: str = "file") -> str:
    """Return the name of what an item stays with: its utterance, or ("item") itself alone."""
    return item.id if unit == "item" else str(item.value("origin") or item.id)


def group_of(item: Item, field: str) -> Group:
    """Return the value of a field and the corpus within which it is unique."""
    return item.corpus or "", str(item.value(field))


def by_label(items: Iterable[Item]) -> list[Stratum | None]:
    """Return each item's label as a stratum, None where it has none."""
    known: dict[str, Stratum] = {}  # one of each, not one an item
    return [
        None if item.label is None else known.setdefault(item.label, (item.label,))
        for item in items
    ]


def split(
    items: Sequence[Item],
    protocol: str | Protocol,
    seed: int = 0,
    unit: str = "file",
    strata: Sequence[Stratum | None] | None = None,
) -> dict[str, Place]:
    """Return {id: place} for all items under a protocol.

    Items of one `origin` (segments, copies) stay together with `unit="file"` and are dealt apart
    with `unit="item"`. Groups are (corpus, value) and are never split. strata: what each item is
    dealt evenly by, its label by default. The result is a function of the seed and of the items'
    fields, whatever their order. `none` leaves what the items have. Raises UsageError for an
    unknown protocol, InputError where the items cannot be split so.
    """
    protocol = parse(protocol) if isinstance(protocol, str) else protocol
    ids = Counter(item.id for item in items)
    if len(ids) < len(items):
        raise InputError(f"two items have the id {ids.most_common(1)[0][0]!r}")
    del ids
    strata = by_label(items) if strata is None else strata
    stratum = {item.id: value or () for item, value in zip(items, strata, strict=True)}
    items = sorted(items, key=lambda item: item.id)
    if protocol.name == "none":
        return {item.id: Place(item.fold, item.part) for item in items}
    if protocol.name == "file":
        assert protocol.path is not None
        return _from_file(items, protocol.path)
    units: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        units[unit_of(item, unit)].append(item)
    strata_of = {name: stratum[members[0].id] for name, members in units.items()}
    places = _place(protocol, units, strata_of, seed)
    return {item.id: places[name] for name, members in units.items() for item in members}


def _place(
    protocol: Protocol, units: Units, strata: Mapping[str, Stratum], seed: int
) -> dict[str, Place]:
    """Return {unit: place}; strata: the stratum of each unit."""
    if protocol.name in ("random", "kfold"):
        order = sorted(units, key=lambda name: (strata[name], derive(seed, "split", name)))
    if protocol.name == "random":
        places = _random(order, protocol.ratios)
        if len(set(places.values())) < len(protocol.ratios):
            raise InputError(f"{protocol.text}: {len(units)} utterances leave a part empty")
        return places
    if protocol.name == "kfold":
        assert protocol.folds is not None
        if len(units) < protocol.folds:
            raise InputError(f"{protocol.text}: there are only {len(units)} utterances")
        return {name: Place(i % protocol.folds) for i, name in enumerate(order)}
    groups = _groups(protocol, units)
    if protocol.folds is None:
        folds = {group: i for i, group in enumerate(sorted(groups, key=_natural))}
    else:
        traits = {group: _traits(members, strata) for group, members in groups.items()}
        folds = balance(traits, protocol.folds, seed)
    return {name: Place(folds[group]) for group, members in groups.items() for name in members}


def _random(order: Sequence[str], ratios: Sequence[float]) -> dict[str, Place]:
    """Deal units to the parts so that every stretch of the order keeps the ratios."""
    parts = ("train", "test") if len(ratios) == 2 else PARTS
    given = [0] * len(ratios)
    places: dict[str, Place] = {}
    for count, name in enumerate(order, 1):
        wanting = [ratio * count - have for ratio, have in zip(ratios, given, strict=True)]
        part = wanting.index(max(wanting))
        given[part] += 1
        places[name] = Place(part=parts[part])
    return places


def _groups(protocol: Protocol, units: Units) -> dict[Group, dict[str, Sequence[Item]]]:
    """Return {group: its units}; raises InputError where values are missing or few."""
    field = GROUPED.get(protocol.name, "corpus")
    groups: dict[Group, dict[str, Sequence[Item]]] = defaultdict(dict)
    missing = 0
    for name, members in units.items():
        missing += not members[0].value(field)
        groups[group_of(members[0], field)][name] = members
    if missing:
        raise InputError(
            f"{protocol.text}: {missing} of {len(units)} utterances have no {field}; "
            f"{_ADVICE[field]}"
        )
    need = protocol.folds or 2
    if len(groups) < need:
        raise InputError(
            f"{protocol.text}: {need} folds need at least {need} different values of {field},"
            f" and there {'is' if len(groups) == 1 else 'are'} {len(groups)}"
        )
    return groups


def _traits(units: Units, strata: Mapping[str, Stratum]) -> dict[Hashable, float]:
    """Return what counts for balance in a group: utterances per stratum, gender and corpus."""
    first = next(iter(units.values()))[0]
    traits: Counter[Hashable] = Counter(("class", strata[name]) for name in units)
    if first.gender:
        traits[("gender", first.corpus, first.gender)] = 1
    traits[("corpus", first.corpus)] = 1
    return dict(traits)


def _natural(group: Group) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Return a key that sorts numbers within text by value: 9 before 10."""
    return tuple(
        tuple(
            (len(piece), piece) if piece.isdigit() else (0, piece) for piece in _NUMBER.split(text)
        )
        for text in group
    )


def _from_file(items: Sequence[Item], path: Path) -> dict[str, Place]:
    """Return the places that a table with `id` and `fold` or `part` gives the items."""
    table = _read_folds(path)
    places: dict[str, Place] = {}
    for item in items:
        place = table.get(item.id) or table.get(unit_of(item))
        if place is None:
            raise InputError(f"{show(path)}: no line for {show(item.id)}")
        places[item.id] = place
    return places


def _read_folds(path: Path) -> dict[str, Place]:
    table: dict[str, Place] = {}
    try:
        with opened_text(path, "utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=delimiter)
            columns = set(reader.fieldnames or ())
            if "id" not in columns or not columns & {"fold", "part"}:
                raise InputError(f"{show(path)}: needs a header with id and fold, or id and part")
            for row in reader:
                where = f"{show(path)}: line {reader.line_num}"
                if row["id"] in table:
                    raise InputError(f"{where}: {row['id']} is listed twice")
                table[row["id"]] = _place_of(row, where)
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{show(path)}: not a CSV file in UTF-8: {error}") from error
    return table


def _place_of(row: Mapping[str, str | None], where: str) -> Place:
    fold, part = row.get("fold") or None, row.get("part") or None
    if fold is None and part is None:
        raise InputError(f"{where}: neither fold nor part")
    number = None if fold is None else whole(fold)
    if fold is not None and number is None:
        raise InputError(f"{where}: fold {fold!r} is not a whole number of at least 0")
    if part is not None and part not in PARTS:
        raise InputError(f"{where}: part {part!r} is not one of {', '.join(PARTS)}")
    return Place(number, part)


def remarks(items: Sequence[Item], places: Mapping[str, Place]) -> list[str]:
    """Return a line for each thing that a reader of the results must know about a split.

    Classes that are absent from a fold or part, and speakers that are in several of them.
    """
    classes: dict[Place, set[str]] = defaultdict(set)
    homes: dict[Group, set[Place]] = defaultdict(set)
    for item in items:
        place = places[item.id]
        classes[place].add(item.label or "")
        if item.speaker:
            homes[group_of(item, "speaker")].add(place)
    lines = []
    every = set().union(*classes.values()) - {""}
    for place in sorted(classes, key=str):
        absent = sorted(every - classes[place])
        if absent:
            lines.append(f"{_name(place)} has no {', '.join(absent)}")
    shared = sum(len(found) > 1 for found in homes.values())
    if shared:
        what = "folds" if any(place.fold is not None for place in classes) else "parts"
        lines.append(
            f"{shared} of {len(homes)} speakers are in several {what}, so figures will be "
            "speaker-dependent; speakers:5 or loso keeps speakers apart"
        )
    return lines


def _name(place: Place) -> str:
    words = [f"fold {place.fold}" if place.fold is not None else ""]
    words += [f"part {place.part}" if place.part else ""]
    return " ".join(word for word in words if word) or "what is in no fold"
