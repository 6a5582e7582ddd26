"""Protocols: which fold or part each utterance falls into, by seed and id, never by position."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.core.seeds import derive
from sertool.items import PARTS, Item
from sertool.splits.balance import balance

Place = tuple[int | None, str | None]  # (fold, part)
Rows = Sequence[Item]
Units = Mapping[str, Rows]  # what stays together -> its items
Key = tuple[str, str]  # (corpus, value of the grouping field)

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
    """Return the protocol that `text` names; raises UsageError where it names none."""
    name, _, rest = text.partition(":")
    if name == "random":
        return Protocol(text, name, ratios=_ratios(text, rest))
    if name == "kfold" or (name in GROUPED and name != "loso" and rest) or name == "speakers":
        if not (rest.isascii() and rest.isdigit() and int(rest) >= 2):
            raise UsageError(f"protocol {text}: write {name}:N with a number of folds from 2")
        return Protocol(text, name, folds=int(rest))
    if name == "file" and rest:
        return Protocol(text, name, path=Path(rest))
    if name in (*GROUPED, "corpora", "none") and not rest:
        return Protocol(text, name)
    raise UsageError(f"no protocol {text!r}; there are {', '.join(PROTOCOLS)}")


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


def split(
    items: Sequence[Item], protocol: str | Protocol, seed: int = 0, unit: str = "file"
) -> dict[str, Place]:
    """Return {id: (fold, part)} for all items under a protocol.

    Items of one `origin` (segments, copies) stay together with `unit="file"` and are dealt apart
    with `unit="item"`. Groups are (corpus, value) and are never split. The result is a function of
    the seed and of the items' fields, whatever their order. `none` leaves what the items have.
    Raises UsageError for a protocol that is none, InputError where the items cannot be split so.
    """
    protocol = parse(protocol) if isinstance(protocol, str) else protocol
    ids = Counter(row.id for row in items)
    if len(ids) < len(items):
        raise InputError(f"two items have the id {ids.most_common(1)[0][0]!r}")
    rows = sorted(items, key=lambda row: row.id)
    if protocol.name == "none":
        return {row.id: (row.fold, row.part) for row in rows}
    if protocol.name == "file":
        assert protocol.path is not None
        return _from_file(rows, protocol.path)
    units: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        units[str(row.value("origin") or row.id) if unit == "file" else row.id].append(row)
    places = _place(protocol, units, seed)
    return {row.id: places[name] for name, members in units.items() for row in members}


def _place(protocol: Protocol, units: Units, seed: int) -> dict[str, Place]:
    """Return {unit: (fold, part)}."""
    if protocol.name == "random":
        places = _random(_by_class(units, seed), protocol.ratios)
        if len(set(places.values())) < len(protocol.ratios):
            raise InputError(f"{protocol.text}: {len(units)} utterances leave a part empty")
        return places
    if protocol.name == "kfold":
        assert protocol.folds is not None
        if len(units) < protocol.folds:
            raise InputError(f"{protocol.text}: only {len(units)} utterances to split")
        order = _by_class(units, seed)
        return {name: (i % protocol.folds, None) for i, name in enumerate(order)}
    groups = _groups(protocol, units)
    if protocol.folds is None:
        folds = {key: i for i, key in enumerate(sorted(groups, key=_natural))}
    else:
        traits = {key: _traits(members) for key, members in groups.items()}
        folds = balance(traits, protocol.folds, seed)
    return {name: (folds[key], None) for key, members in groups.items() for name in members}


def _by_class(units: Units, seed: int) -> list[str]:
    """Return the units class by class, each class in the order that the seed draws."""
    return sorted(
        units, key=lambda name: (units[name][0].get("label") or "", derive(seed, "split", name))
    )


def _random(order: Sequence[str], ratios: Sequence[float]) -> dict[str, Place]:
    """Deal units to the parts so that every stretch of the order keeps the ratios."""
    parts = ("train", "test") if len(ratios) == 2 else PARTS
    given = [0] * len(ratios)
    places: dict[str, Place] = {}
    for count, name in enumerate(order, 1):
        wanting = [ratio * count - have for ratio, have in zip(ratios, given, strict=True)]
        part = wanting.index(max(wanting))
        given[part] += 1
        places[name] = (None, parts[part])
    return places


def _groups(protocol: Protocol, units: Units) -> dict[Key, dict[str, Rows]]:
    """Return {(corpus, value): its units}; raises InputError where values are missing or few."""
    field = GROUPED.get(protocol.name, "corpus")
    groups: dict[Key, dict[str, Rows]] = defaultdict(dict)
    missing = 0
    for name, rows in units.items():
        value = rows[0].get(field)
        missing += value is None or value == ""
        groups[(str(rows[0].get("corpus") or ""), str(value))][name] = rows
    if missing:
        raise InputError(
            f"{protocol.text}: {missing} of {len(units)} utterances have no {field}; "
            f"{_ADVICE[field]}"
        )
    need = protocol.folds or 2
    if len(groups) < need:
        raise InputError(
            f"{protocol.text}: {need} folds need at least {need} different values of "
            f"{field}, and there {'is' if len(groups) == 1 else 'are'} {len(groups)}"
        )
    return groups


def _traits(units: Units) -> dict[Hashable, float]:
    """Return what counts for balance in a group: utterances a class, its gender, its corpus."""
    first = next(iter(units.values()))[0]
    traits: Counter[Hashable] = Counter(
        ("class", rows[0].get("label") or "") for rows in units.values()
    )
    if first.get("gender"):
        traits[("gender", first.get("corpus"), first["gender"])] = 1
    traits[("corpus", first.get("corpus"))] = 1
    return dict(traits)


def _natural(key: Key) -> tuple[tuple[tuple[int, str], ...], ...]:
    """Return a key that sorts numbers within text by value: 9 before 10."""
    return tuple(
        tuple(
            (len(piece), piece) if piece.isdigit() else (0, piece) for piece in _NUMBER.split(text)
        )
        for text in key
    )


def _from_file(rows: Rows, path: Path) -> dict[str, Place]:
    """Return the folds or parts that a table with `id` and `fold` or `part` gives the rows."""
    table = _read_folds(path)
    places: dict[str, Place] = {}
    for row in rows:
        place = table.get(row["id"]) or table.get(row.get("origin") or row["id"])
        if place is None:
            raise InputError(f"{show(path)}: has no line for {show(row['id'])}")
        places[row["id"]] = place
    return places


def _read_folds(path: Path) -> dict[str, Place]:
    table: dict[str, Place] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=delimiter)
            columns = set(reader.fieldnames or ())
            if "id" not in columns or not columns & {"fold", "part"}:
                raise InputError(f"{show(path)}: needs a header with id and fold, or id and part")
            for row in reader:
                where = f"{show(path)}: line {reader.line_num}"
                if row["id"] in table:
                    raise InputError(f"{where}: {row['id']} is there twice")
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
    if fold is not None and not (fold.isascii() and fold.isdigit()):
        raise InputError(f"{where}: fold {fold!r} is not a whole number from 0")
    if part is not None and part not in PARTS:
        raise InputError(f"{where}: part {part!r} is none of {', '.join(PARTS)}")
    return (None if fold is None else int(fold), part)


def remarks(items: Sequence[Item], places: Mapping[str, Place]) -> list[str]:
    """Return one line each for what a reader of the results must know about a split.

    Classes that are absent from a fold or part, and speakers that are in several of them.
    """
    classes: dict[Place, set[str]] = defaultdict(set)
    homes: dict[Key, set[Place]] = defaultdict(set)
    for item in items:
        place = places[item.id]
        classes[place].add(item.label or "")
        if item.speaker:
            homes[(item.corpus or "", item.speaker)].add(place)
    lines = []
    every = set().union(*classes.values()) - {""}
    for place in sorted(classes, key=str):
        absent = sorted(every - classes[place])
        if absent:
            lines.append(f"{_name(place)} has no {', '.join(absent)}")
    shared = sum(len(found) > 1 for found in homes.values())
    if shared:
        what = "folds" if any(fold is not None for fold, _ in classes) else "parts"
        lines.append(
            f"{shared} of {len(homes)} speakers are in several {what}, so figures will be "
            "speaker-dependent; speakers:5 or loso keeps speakers apart"
        )
    return lines


def _name(place: Place) -> str:
    fold, part = place
    words = [f"fold {fold}" if fold is not None else "", f"part {part}" if part else ""]
    return " ".join(word for word in words if word) or "what is in no fold"
