"""Dealing whole groups (speakers, sessions) into folds as alike as the groups allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from sertool.core.seeds import derive

Group = tuple[str, str]  # (corpus, a value that is unique within it)
Traits = Mapping[Hashable, float]  # ("class", "anger") -> utterances, ("gender", "male") -> 1, …

# how much each kind of trait weighs; a fold's genders matter more than a few utterances
WEIGHTS = {"class": 1.0, "gender": 2.0, "corpus": 0.5}
SWAP_LIMIT = 150  # groups; beyond it the first deal is even enough, and swaps cost its square


def balance(groups: Mapping[Group, Traits], folds: int, seed: int) -> dict[Group, int]:
    """Return {group: fold}, every fold with at least one group.

    The cost of a deal is the squared relative departure of every trait's count in every fold
    from an equal share. Groups are dealt from the largest, each to where it costs least; then
    moves and swaps follow while they lower the cost. The seed orders groups of equal size.
    """
    deal = _Deal(groups, folds)
    order = sorted(groups, key=lambda g: (-sum(groups[g].values()), derive(seed, "balance", *g), g))
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        empty = [fold for fold in range(folds) if not deal.members[fold]]
        choices = empty if len(empty) >= left else list(range(folds))
        deal.put(group, min(choices, key=lambda fold: deal.change(group, fold)))
    if len(order) <= SWAP_LIMIT:
        while _improve(deal, order):
            pass
    numbers = sorted(range(folds), key=lambda fold: min(deal.members[fold]))
    return {group: numbers.index(deal.home[group]) for group in groups}


class _Deal:
    """Which group is in which fold so far, and what changing it would cost."""

    def __init__(self, groups: Mapping[Group, Traits], folds: int) -> None:
        self.groups: Mapping[Group, Traits] = groups
        self.folds = folds
        self.members: list[set[Group]] = [set() for _ in range(folds)]
        self.home: dict[Group, int] = {}
        self.counts: list[Counter[Hashable]] = [Counter() for _ in range(folds)]
        totals: Counter[Hashable] = Counter()
        for traits in groups.values():
            totals.update(traits)
        kinds = Counter(_kind(trait) for trait in totals)
        self.share = {trait: total / folds for trait, total in totals.items()}
        self.scale = {
            trait: WEIGHTS[_kind(trait)] / kinds[_kind(trait)] / self.share[trait] ** 2
            for trait in totals
        }

    def change(self, group: Group, fold: int, sign: int = 1) -> float:
        """Return how the cost changes when the group joins (sign −1: leaves) the fold."""
        counts, cost = self.counts[fold], 0.0
        for trait, n in self.groups[group].items():
            # (c + n − s)² − (c − s)² with s the equal share
            cost += self.scale[trait] * n * (n + sign * 2 * (counts[trait] - self.share[trait]))
        return cost

    def put(self, group: Group, fold: int) -> None:
        self.home[group] = fold
        self.members[fold].add(group)
        for trait, n in self.groups[group].items():
            self.counts[fold][trait] += n  # type: ignore[assignment]

    def take(self, group: Group) -> int:
        fold = self.home.pop(group)
        self.members[fold].remove(group)
        for trait, n in self.groups[group].items():
            self.counts[fold][trait] -= n  # type: ignore[assignment]
        return fold


def _kind(trait: Hashable) -> str:
    return str(trait[0]) if isinstance(trait, tuple) else "class"


def _improve(deal: _Deal, order: Sequence[Group]) -> bool:
    """Make every move and swap that lowers the cost, in a fixed order; return whether any did."""
    better = False
    for i, group in enumerate(order):
        better |= _move(deal, group)
        for other in order[i + 1 :]:
            better |= _swap(deal, group, other)
    return better


_ENOUGH = 1e-9  # a gain below this is rounding


def _move(deal: _Deal, group: Group) -> bool:
    here = deal.home[group]
    if len(deal.members[here]) == 1:
        return False
    leave = deal.change(group, here, -1)
    there = min(range(deal.folds), key=lambda fold: (fold == here, deal.change(group, fold)))
    if leave + deal.change(group, there) > -_ENOUGH:
        return False
    deal.take(group)
    deal.put(group, there)
    return True


def _swap(deal: _Deal, group: Group, other: Group) -> bool:
    if deal.home[group] == deal.home[other]:
        return False
    before = deal.change(group, deal.home[group], -1)
    here = deal.take(group)
    before += deal.change(other, deal.home[other], -1)
    there = deal.take(other)
    if before + deal.change(group, there) + deal.change(other, here) < -_ENOUGH:
        deal.put(group, there)
        deal.put(other, here)
        return True
    deal.put(group, here)
    deal.put(other, there)
    return False
