"""The division of a store: which of its items train, validate and are held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sertool.core.errors import InputError, UsageError
from sertool.core.options import Options
from sertool.core.paths import show
from sertool.core.seeds import derive
from sertool.core.settings import option
from sertool.core.texts import whole
from sertool.corpora import where
from sertool.items import PARTS, Item
from sertool.splits.protocols import Place, Stratum, by_label, parse, split, unit_of

Units = Mapping[str, Sequence[int]]  # what stays together -> the positions of its items


PANEL = "Training, validation and test parts"


def _part(default: Any, help: str, **more: Any) -> Any:
    return option(default, help, panel=PANEL, **more)


def _conditions(help: str) -> Any:
    return _part((), f"{help} Repeatable.", metavar="EXPR")


@dataclass(frozen=True)
class PartOptions(Options):
    """Which items train, validate and are held out.

    test_fold: a fold's number, "none" or "all". val_fold: a number, or "next": the fold after
    the tested one. unit: "file" keeps segments and copies with their origin, "item" does not.
    """

    test_fold: str | None = _part(
        None, "Fold to hold out; all: train every fold in turn, none: train on everything.",
        metavar="K|all|none",
    )  # fmt: skip
    val_fold: str | None = _part(
        None, "Fold to validate on; next: the one after the test fold.", metavar="K|next"
    )
    val: float | None = _part(
        None, "Validate on this share of the utterances.", metavar="SHARE", above=0, below=1
    )
    val_speakers: int | None = _part(None, "Validate on this many speakers.", least=1)
    where: tuple[str, ...] = _conditions("Use only the items that match, e.g. gender=female.")
    test_where: tuple[str, ...] = _conditions("Hold out the items that match.")
    val_where: tuple[str, ...] = _conditions("Validate on the items that match.")
    split_seed: int | None = _part(None, "Seed of random parts.", unset="--seed")
    resplit: str | None = _part(
        None, "Folds to use instead of the store's (see: sertool prepare --help).",
        metavar="PROTOCOL",
    )  # fmt: skip
    unit: str = _part(
        "file",
        "With --resplit: keep a file's segments and copies together, or split item by item.",
        choices=("file", "item"),
    )

    def __post_init__(self) -> None:
        for name in ("test_fold", "val_fold"):
            if isinstance(getattr(self, name), int):
                object.__setattr__(self, name, str(getattr(self, name)))
        super().__post_init__()

    def check(self) -> None:
        """Raise UsageError for options that contradict each other."""
        ways = {
            "--val-fold": self.val_fold is not None,
            "--val": self.val is not None,
            "--val-speakers": self.val_speakers is not None,
            "--val-where": bool(self.val_where),
        }
        given = [name for name, is_given in ways.items() if is_given]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} contradict each other")
        if self.unit == "item" and not self.resplit:
            raise UsageError("--unit item: needs --resplit")
        if self.test_where and (self.test_fold is not None or self.resplit):
            raise UsageError("--test-where contradicts --test-fold and --resplit")
        if self.resplit:
            parse(self.resplit)


@dataclass
class Division:
    """One way to use a store: the positions of its items in each part, ascending.

    val holds no copies unless the unit is an item; test holds copies too (`eval` leaves them
    out). by: what decided ("fold", "part", "where", "none").
    """

    train: list[int]
    val: list[int]
    test: list[int]
    fold: int | None
    by: str
    notes: list[str] = field(default_factory=list)

    def part(self, name: str) -> list[int]:
        """Return the positions of "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def divide(
    items: Sequence[Item],
    options: PartOptions,
    strata: Sequence[Stratum | None] | None = None,
    target: str = "label",
    fewest: int = 2,
) -> list[Division]:
    """Return one division, or with `test_fold="all"` one per fold.

    strata: what each item is dealt and drawn evenly by, its label by default; an item without one
    has no `target` and is left out. fewest: strata that training needs. Raises UsageError for
    options that do not fit each other or the folds, InputError where a part lacks what it needs.
    """
    divider = _Divider(
        items, options, by_label(items) if strata is None else strata, target, fewest
    )
    return [divider.division(fold) for fold in divider.folds]


class _Divider:
    """What all folds share: which items are used, where each is, and what stays together."""

    def __init__(
        self,
        items: Sequence[Item],
        options: PartOptions,
        strata: Sequence[Stratum | None],
        target: str,
        fewest: int,
    ) -> None:
        self._items, self._options, self._fewest = items, options, fewest
        self._notes: list[str] = []
        chosen = self._matching(range(len(items)), options.where, "--where")
        self._strata = {i: stratum for i in chosen if (stratum := strata[i]) is not None}
        if not self._strata:
            raise InputError(f"no item has a {target}; prepare the corpus first")
        if len(self._strata) < len(chosen):
            lost = len(chosen) - len(self._strata)
            self._notes.append(f"{lost} items without a {target} are left out")
        self._places = self._placed()
        self._by, self.folds = self._basis()
        self._units: dict[str, list[int]] = {}  # the positions of what stays together, by name
        for i, place in self._places.items():
            absent = {"fold": place.fold is None, "part": not place.part}
            if not absent.get(self._by):
                self._units.setdefault(unit_of(items[i], options.unit), []).append(i)
        lost = len(self._strata) - sum(map(len, self._units.values()))
        if lost:
            self._notes.append(f"{lost} items without a {self._by} are left out")

    def division(self, fold: int | None) -> Division:
        """Return the division that holds `fold` out; InputError where training has too little."""
        parts = self._parts(fold)
        train, val, test = (
            sorted(i for name, unit in self._units.items() if parts[name] == part for i in unit)
            for part in PARTS
        )
        if self._options.unit == "file":
            # a copy is neither trained on nor validated where its origin validates
            val = [i for i in val if not self._items[i].augmentation]
        classes = {self._strata[i] for i in train}
        if not train:
            raise InputError("no item is left to train on")
        if len(classes) < self._fewest:
            raise InputError(
                f"training needs two classes or more, and there is only {' '.join(classes.pop())}"
            )
        notes = list(self._notes)
        known = [i for i in val if self._strata[i] in classes]
        if len(known) < len(val):
            strange = sorted({self._strata[i] for i in val} - classes)
            notes.append(
                f"{len(val) - len(known)} validation items of classes without training items are"
                f" left out: {', '.join(map(' '.join, strange))}"
            )
        return Division(train, known, test, fold, self._by, notes)

    def _matching(
        self, positions: Sequence[int], conditions: Sequence[str], option: str, what: str = "item"
    ) -> list[int]:
        """Return the positions whose items fulfil every condition; InputError where none does."""
        found = {i.id for i in where.select([self._items[i] for i in positions], conditions)}
        if not found:
            raise InputError(f"{option} {' '.join(conditions)!r} matches no {what}")
        return [i for i in positions if self._items[i].id in found]

    def _apart(
        self, units: Units, part: str, conditions: Sequence[str], option: str, what: str = "item"
    ) -> dict[str, str]:
        """Return the part of each unit: `part` where its items fulfil the conditions, or train."""
        positions = [i for unit in units.values() for i in unit]
        chosen = set(self._matching(positions, conditions, option, what))
        return _assign(units, lambda i: part if i in chosen else "train", option)

    def _placed(self) -> dict[int, Place]:
        """Return the fold and part of each item that may be used."""
        options = self._options
        if not options.resplit:
            return {i: Place(self._items[i].fold, self._items[i].part) for i in self._strata}
        items, strata = [self._items[i] for i in self._strata], list(self._strata.values())
        places = split(items, options.resplit, options.split_seed or 0, options.unit, strata)
        return {i: places[self._items[i].id] for i in self._strata}

    def _basis(self) -> tuple[str, list[int] | list[None]]:
        """Return (what decides: "where", "fold", "part" or "none", the folds to train)."""
        folds = self._known_folds()
        chosen = self._options.test_fold
        if self._options.test_where:
            return "where", [None]
        if chosen is None:
            if any(place.part for place in self._places.values()):
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

    def _known_folds(self) -> list[int]:
        return sorted({place.fold for place in self._places.values() if place.fold is not None})

    def _parts(self, fold: int | None) -> dict[str, str]:
        """Return the part of every unit, validation included."""
        options, places = self._options, self._places
        if self._by == "fold":
            parts = _assign(
                self._units, lambda i: "test" if places[i].fold == fold else "train", "the folds"
            )
        elif self._by == "where":
            parts = self._apart(self._units, "test", options.test_where, "--test-where")
        elif self._by == "part":
            parts = _assign(self._units, lambda i: str(places[i].part), "the parts")
            for name in parts.values():
                if name not in PARTS:
                    raise InputError(f"the part {name!r} is not one of {', '.join(PARTS)}")
        else:
            parts = dict.fromkeys(self._units, "train")
        training = {name: unit for name, unit in self._units.items() if parts[name] == "train"}
        chosen = self._validation(training, fold)
        if chosen and "val" in parts.values():
            raise UsageError("the store's parts have a validation part; leave --val… out")
        return parts | dict.fromkeys(chosen, "val")

    def _validation(self, training: Units, fold: int | None) -> Iterable[str]:
        """Return the units that the options move from training to validation."""
        options, places = self._options, self._places
        if options.val is not None:
            return self._stratified(training, options.val)
        if options.val_speakers is not None:
            return self._speakers(training, options.val_speakers)
        if options.val_where:
            parts = self._apart(training, "val", options.val_where, "--val-where", "training item")
            return [name for name, part in parts.items() if part == "val"]
        if options.val_fold is not None:
            held = self._val_fold(fold)
            return [name for name, unit in training.items() if places[unit[0]].fold == held]
        return []

    def _val_fold(self, fold: int | None) -> int:
        """Return the number of the validation fold."""
        folds, text = self._known_folds(), str(self._options.val_fold)
        if not folds:
            raise UsageError(f"--val-fold {text}: the store has no folds; --val 0.2 needs none")
        if text == "next":
            if fold is None:
                raise UsageError("--val-fold next: needs a --test-fold")
            if len(folds) < 3:
                raise UsageError(f"--val-fold next: {len(folds)} folds leave none to train on")
            return folds[(folds.index(fold) + 1) % len(folds)]
        held = _fold("--val-fold", text, folds, "next")
        if self._options.test_fold == "all":
            raise UsageError(f"--val-fold {text} with --test-fold all: is tested itself; use next")
        if held == fold:
            raise UsageError(f"--val-fold {text}: is the test fold")
        return held

    def _stratified(self, units: Units, share: float) -> Iterable[str]:
        """Return a share of each stratum's units, at least one and never all, drawn by name."""
        strata: dict[Stratum, list[str]] = defaultdict(list)
        for name, unit in units.items():
            strata[self._strata[unit[0]]].append(name)
        chosen: list[str] = []
        for names in strata.values():
            ranked = sorted(
                names, key=lambda name: derive(self._options.split_seed or 0, "val", name)
            )
            chosen += ranked[: min(len(names) - 1, max(1, round(share * len(names))))]
        if not chosen:
            raise InputError("--val: no class has two utterances to train on")
        return chosen

    def _speakers(self, units: Units, count: int) -> Iterable[str]:
        """Return the units of `count` speakers, drawn by name, genders in turn."""
        seed = self._options.split_seed or 0
        of_unit: dict[str, tuple[str, str]] = {}
        genders: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for name, unit in units.items():
            item = self._items[unit[0]]
            if item.speaker is None:
                raise InputError(
                    f"--val-speakers: {show(item.id)} has no speaker; --val needs none"
                )
            speaker = of_unit[name] = (item.corpus or "", item.speaker)
            genders[item.gender or ""][speaker] = derive(seed, "val-speakers", *speaker)
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
        return [name for name, speaker in of_unit.items() if speaker in drawn]


def _fold(option: str, text: str, folds: Sequence[int], others: str) -> int:
    fold = whole(text)
    if fold is None or fold not in folds:
        known = ", ".join(map(str, folds))
        raise UsageError(f"{option} {text}: choose one of the folds {known}, or {others}")
    return fold


def _assign(units: Units, part: Callable[[int], str], what: str) -> dict[str, str]:
    """Return each unit's part; raises InputError where its items are in different ones."""
    parts = {}
    for name, unit in units.items():
        found = {part(i) for i in unit}
        if len(found) > 1:
            raise InputError(
                f"{show(name)}: {what} puts its segments or copies in different parts;"
                " only --resplit with --unit item may do that"
            )
        parts[name] = found.pop()
    return parts
