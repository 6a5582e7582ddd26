"""Who trains, who validates, who is held out: from folds, parts and options to positions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.core.seeds import derive
from sertool.corpora import where
from sertool.items import Item
from sertool.splits import protocols as splits

SIDES = ("train", "val", "test")
Sides = dict[str, str]  # unit (what stays together) -> "train", "val" or "test"


@dataclass(frozen=True)
class PartOptions:
    """What the command line says about parts.

    test_fold: a fold's number, "none" or "all". val_fold: a number, or "next": the fold after
    the tested one. unit: "file" keeps segments and copies with their origin, "item" does not.
    """

    test_fold: str | None = None
    val_fold: str | None = None
    val: float | None = None
    val_speakers: int | None = None
    where: tuple[str, ...] = ()
    test_where: tuple[str, ...] = ()
    val_where: tuple[str, ...] = ()
    split_seed: int = 0
    resplit: str | None = None
    unit: str = "file"

    def check(self) -> None:
        """Raise UsageError for options that contradict each other or are out of range."""
        ways = {
            "--val-fold": self.val_fold is not None,
            "--val": self.val is not None,
            "--val-speakers": self.val_speakers is not None,
            "--val-where": bool(self.val_where),
        }
        given = [name for name, is_given in ways.items() if is_given]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} contradict each other")
        if self.val is not None and not 0 < self.val < 1:
            raise UsageError(f"--val {self.val}: needs a share between 0 and 1")
        if self.val_speakers is not None and self.val_speakers < 1:
            raise UsageError("--val-speakers: needs at least 1")
        if self.unit not in ("file", "item"):
            raise UsageError(f"--unit {self.unit}: needs file or item")
        if self.unit == "item" and not self.resplit:
            raise UsageError("--unit item: takes effect with --resplit only")
        if self.test_where and (self.test_fold is not None or self.resplit):
            raise UsageError("--test-where contradicts --test-fold and --resplit")
        if self.resplit:
            splits.parse(self.resplit)


@dataclass
class Division:
    """One way to use a store: positions of its items, ascending.

    val holds no copies unless the unit is an item; test holds copies too (`eval` leaves them
    out). by: what decided ("fold", "part", "where", "none").
    """

    train: list[int]
    val: list[int]
    test: list[int]
    fold: int | None
    by: str
    notes: list[str] = field(default_factory=list)


def divide(
    items: Sequence[Item], options: PartOptions, stored: Sequence[Item] | None = None
) -> list[Division]:
    """Return one division, or with `test_fold="all"` one a fold.

    stored: the same items as the store has them, which conditions are about, where another field
    stands in the place of the label in `items` (`--target`).
    Raises UsageError for options that do not fit each other or the folds, InputError where the
    items leave a side without what it needs.
    """
    options.check()
    known = {item["id"]: item for item in stored or items}
    kept, notes = _usable(items, options, known)
    places = _places(kept, options)
    by, folds = _basis(places, options)
    placed = [item for item in kept if by == "none" or by == "where" or _place(places, item, by)]
    if len(placed) < len(kept):
        notes.append(f"{len(kept) - len(placed)} items without a {by} are left out")
    position = {item["id"]: i for i, item in enumerate(items)}
    divisions = []
    for fold in folds:
        sides = _sides(placed, places, by, fold, options, known)
        divisions.append(_assemble(placed, position, sides, by, fold, options, notes))
    return divisions


def _fitting(
    items: Sequence[Item], conditions: Sequence[str], known: Mapping[str, Item]
) -> set[str]:
    """Return the ids of the items that fulfil every condition, as the store has them."""
    return {i["id"] for i in where.select([known[item["id"]] for item in items], conditions)}


def _usable(
    items: Sequence[Item], options: PartOptions, known: Mapping[str, Item]
) -> tuple[list[Item], list[str]]:
    """Return the items that `where` keeps and that have a label, and remarks."""
    notes = []
    fitting = _fitting(items, options.where, known)
    kept = [item for item in items if item["id"] in fitting]
    if not kept:
        raise InputError(f"--where {' '.join(options.where)!r} fits no item")
    labelled = [item for item in kept if item["label"] is not None]
    if not labelled:
        raise InputError("no item has a label; prepare the corpus first")
    if len(labelled) < len(kept):
        notes.append(f"{len(kept) - len(labelled)} items without a label are left out")
    return labelled, notes


def _places(items: Sequence[Item], options: PartOptions) -> dict[str, splits.Place]:
    if options.resplit:
        return splits.split(items, options.resplit, options.split_seed, options.unit)
    return {item["id"]: (item["fold"], item["part"]) for item in items}


def _place(places: dict[str, splits.Place], item: Item, by: str) -> int | str | None:
    fold, part = places[item["id"]]
    if by == "fold":
        return None if fold is None else str(fold)
    return part


def _basis(
    places: dict[str, splits.Place], options: PartOptions
) -> tuple[str, list[int] | list[None]]:
    """Return (what decides: "where", "fold", "part" or "none", the folds to train)."""
    folds = sorted({fold for fold, _ in places.values() if fold is not None})
    chosen = options.test_fold
    if options.test_where:
        return "where", [None]
    if chosen is None:
        if any(part for _, part in places.values()):
            return "part", [None]
        if folds:
            raise UsageError(
                f"the store has folds {folds[0]} to {folds[-1]}: --test-fold K holds one out,"
                " all trains every fold, none trains on everything"
            )
        return "none", [None]
    if chosen == "none":
        return "none", [None]
    if not folds:
        raise UsageError(f"--test-fold {chosen}: the store has no folds; --resplit makes some")
    if chosen == "all":
        return "fold", folds
    return "fold", [_fold("--test-fold", chosen, folds, "none or all")]


def _fold(option: str, text: str, folds: Sequence[int], others: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) in folds):
        known = ", ".join(map(str, folds))
        raise UsageError(f"{option} {text}: needs one of the folds {known}, or {others}")
    return int(text)


def unit_of(item: Item, options: PartOptions) -> str:
    """Return the name of what the item must stay with."""
    return str(item["id"] if options.unit == "item" else item["origin"] or item["id"])


def _units(items: Sequence[Item], options: PartOptions) -> dict[str, list[Item]]:
    units: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        units[unit_of(item, options)].append(item)
    return units


def _assign(units: dict[str, list[Item]], side: Callable[[Item], str], what: str) -> Sides:
    """Return each unit's side; raises InputError where its items are on different ones."""
    sides = {}
    for name, members in units.items():
        found = {side(item) for item in members}
        if len(found) > 1:
            raise InputError(
                f"{show(name)}: {what} puts its segments or copies on different sides;"
                " only --resplit with --unit item may do that"
            )
        sides[name] = found.pop()
    return sides


def _sides(
    items: Sequence[Item],
    places: dict[str, splits.Place],
    by: str,
    fold: int | None,
    options: PartOptions,
    known: Mapping[str, Item],
) -> Sides:
    """Return the side of every unit, validation included."""
    units = _units(items, options)
    if by == "fold":
        sides = _assign(
            units, lambda i: "test" if places[i["id"]][0] == fold else "train", "the folds"
        )
    elif by == "part":
        sides = _assign(units, lambda i: str(places[i["id"]][1]), "the parts")
        for name in sides.values():
            if name not in SIDES:
                raise InputError(f"the part {name!r} is none of {', '.join(SIDES)}")
    elif by == "where":
        tests = _fitting(items, options.test_where, known)
        if not tests:
            raise InputError(f"--test-where {' '.join(options.test_where)!r} fits no item")
        sides = _assign(units, lambda i: "test" if i["id"] in tests else "train", "--test-where")
    else:
        sides = dict.fromkeys(units, "train")
    chosen = _validation(units, sides, places, fold, options, known)
    if chosen and "val" in sides.values():
        raise UsageError("the store's parts have a validation part; leave --val… out")
    return sides | dict.fromkeys(chosen, "val")


def _validation(
    units: dict[str, list[Item]],
    sides: Sides,
    places: dict[str, splits.Place],
    fold: int | None,
    options: PartOptions,
    known: Mapping[str, Item],
) -> set[str]:
    """Return the units that the options move from training to validation."""
    training = {name: units[name] for name, side in sides.items() if side == "train"}
    if options.val is not None:
        return _stratified(training, options.val, options.split_seed)
    if options.val_speakers is not None:
        return _speakers(training, options.val_speakers, options.split_seed)
    if options.val_where:
        rows = [item for members in training.values() for item in members]
        found = _fitting(rows, options.val_where, known)
        if not found:
            raise InputError(f"--val-where {' '.join(options.val_where)!r} fits no training item")
        marked = _assign(training, lambda i: "val" if i["id"] in found else "train", "--val-where")
        return {name for name, side in marked.items() if side == "val"}
    if options.val_fold is not None:
        held = _val_fold(places, fold, options)
        return {name for name, rows in training.items() if places[rows[0]["id"]][0] == held}
    return set()


def _val_fold(places: dict[str, splits.Place], fold: int | None, options: PartOptions) -> int:
    """Return the number of the validation fold."""
    folds = sorted({number for number, _ in places.values() if number is not None})
    text = str(options.val_fold)
    if not folds:
        raise UsageError(f"--val-fold {text}: the store has no folds; --val 0.2 needs none")
    if text == "next":
        if fold is None:
            raise UsageError("--val-fold next: takes effect with a --test-fold only")
        if len(folds) < 3:
            raise UsageError(f"--val-fold next: {len(folds)} folds leave none to train on")
        return folds[(folds.index(fold) + 1) % len(folds)]
    held = _fold("--val-fold", text, folds, "next")
    if options.test_fold == "all":
        raise UsageError(f"--val-fold {text} with --test-fold all: is tested itself; use next")
    if held == fold:
        raise UsageError(f"--val-fold {text}: is the test fold")
    return held


def _stratified(units: dict[str, list[Item]], share: float, seed: int) -> set[str]:
    """Return a share of each class's units, at least one and never all, drawn by seed and name."""
    classes: dict[str, list[str]] = defaultdict(list)
    for name, members in units.items():
        classes[str(members[0]["label"])].append(name)
    chosen: set[str] = set()
    for names in classes.values():
        ranked = sorted(names, key=lambda name: derive(seed, "val", name))
        count = min(len(names) - 1, max(1, round(share * len(names))))
        chosen.update(ranked[:count])
    if not chosen:
        raise InputError("--val: no class has two utterances to train on")
    return chosen


def _speakers(units: dict[str, list[Item]], count: int, seed: int) -> set[str]:
    """Return the units of `count` speakers, drawn by seed and name, genders in turn."""
    genders: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    for members in units.values():
        item = members[0]
        if item["speaker"] is None:
            raise InputError(f"--val-speakers: {show(item['id'])} has no speaker; --val needs none")
        speaker = (item["corpus"] or "", item["speaker"])
        genders[item["gender"] or ""][speaker] = derive(seed, "val-speakers", *speaker)
    queues = [
        sorted(speakers, key=speakers.__getitem__)
        for _, speakers in sorted(genders.items(), key=lambda g: derive(seed, "gender", g[0]))
    ]
    total = sum(len(queue) for queue in queues)
    if count >= total:
        raise InputError(f"--val-speakers {count}: there are {total} speakers to train on")
    drawn: list[tuple[str, str]] = []
    while len(drawn) < count:
        drawn += [queue.pop(0) for queue in queues if queue][: count - len(drawn)]
    return {
        name
        for name, members in units.items()
        if (members[0]["corpus"] or "", members[0]["speaker"]) in drawn
    }


def _assemble(
    items: Sequence[Item],
    position: dict[str, int],
    sides: Sides,
    by: str,
    fold: int | None,
    options: PartOptions,
    notes: Sequence[str],
) -> Division:
    """Return the positions of each side; InputError where training or testing has too little."""
    division = Division([], [], [], fold, by, list(notes))
    for item in items:
        side = sides[unit_of(item, options)]
        if side == "val" and item["augmentation"] and options.unit == "file":
            continue  # a copy is neither trained on nor validated where its origin validates
        getattr(division, side).append(position[item["id"]])
    labels = {item["label"] for item in items if sides[unit_of(item, options)] == "train"}
    if not division.train:
        raise InputError("no item is left to train on")
    if len(labels) < 2:
        raise InputError(f"training needs two classes or more, and there is only {labels.pop()}")
    _drop_unknown(items, position, labels, division)
    return division


def _drop_unknown(
    items: Sequence[Item], position: dict[str, int], labels: set[str], division: Division
) -> None:
    """Leave out of validation what has a class that training lacks."""
    label = {position[item["id"]]: item["label"] for item in items}
    known = [i for i in division.val if label[i] in labels]
    if len(known) < len(division.val):
        unknown = sorted({label[i] for i in division.val} - labels)
        division.notes.append(
            f"{len(division.val) - len(known)} validation items of classes without training items"
            f" are left out: {', '.join(unknown)}"
        )
    division.val = known
