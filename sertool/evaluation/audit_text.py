"""The leakage audit as lines for people: one a fact, and one that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sertool.core.paths import show
from sertool.ui import tables

if TYPE_CHECKING:
    from sertool.evaluation.audit_files import Audit, Audited, Fact, Pair
from sertool.ui.words import plural

# fact -> (what stands before it, one value shared, several, what to do where it is broken)
LINES: dict[str, tuple[str, str, str, str]] = {
    "fit_disjoint": (
        "statistics",
        "item",
        "items",
        "a model fitted to test items cannot be tested on them: fit it again without them (--init,"
        " the kind embedding, a hand-made checkpoint)",
    ),
    "origin_disjoint": (
        "recordings",
        "recording",
        "recordings",
        "split recordings, not items: prepare --split comes before --segment and augment, and"
        " train without --unit item",
    ),
    "audio_disjoint": (
        "identical audio",
        "recording under two names",
        "recordings under two names",
        "leave one of each pair out (prepare --where 'id!=…'); where it is one speaker's, prepare"
        " --split speakers:5 keeps it on one side",
    ),
    "near_disjoint": (
        "near-duplicates",
        "recording",
        "recordings",
        "leave one of each pair out (prepare --where 'id!=…')",
    ),
    "speaker_disjoint": (
        "speakers",
        "speaker",
        "speakers",
        "prepare --split speakers:5 or loso keeps each speaker on one side; otherwise call the"
        " result speaker-dependent",
    ),
    "text_disjoint": (
        "sentences",
        "sentence",
        "sentences",
        "prepare --split texts, or --also-disjoint text beside another protocol; otherwise"
        " state that the sentences were known",
    ),
}
ORDER = (
    "speaker_disjoint",
    "origin_disjoint",
    "text_disjoint",
    "audio_disjoint",
    "near_disjoint",
    "fit_disjoint",
)
NAMED = ("speaker_disjoint", "text_disjoint")
SOUND = ("audio_disjoint", "near_disjoint")
LONGEST = 60  # characters of a name in a line for people


def advice(result: Audit) -> str:
    """Return one line: what to do about the gravest leak, or about what is unknown."""
    facts = result.facts
    train, test = result.train, result.test
    if facts["fit_disjoint"].apart is False and train.what == "checkpoint" and test.what == "store":
        return (
            "TEST holds items that the checkpoint was trained on; --audit CHECKPOINT alone"
            " compares those that it held out"
        )
    for name, (*_, text) in LINES.items():
        if facts[name].apart is False:
            first = name == "near_disjoint" and result.deep is None
            return "listen to them, or let --deep compare their waveforms; " * first + text
    unknown = [name for name in ORDER if facts[name].apart is None]
    if not unknown:
        return "nothing is shared between training and test"
    names = ", ".join(LINES[name][0] for name in unknown)
    if not set(unknown) <= set(SOUND):
        return f"{names}: unknown does not mean apart; prepare takes a table of these and of corpus"
    if "checkpoint" in (train.what, test.what):
        return f"{names}: unknown does not mean apart; train again from a store that has both"
    if result.deep is None:
        return f"{names}: unknown does not mean apart; --deep decodes the audio to find out"
    return f"{names}: unknown does not mean apart; the audio is too short, silent or unreadable"


def lines(result: Audit) -> list[Text]:
    """Return the audit as lines, the longest of them longer than a terminal is wide."""
    made = [*_heads(result), *(_fact_line(result, name) for name in ORDER)]
    deep = result.deep
    if deep:
        text = f"{'decoded':<16} {plural(deep.decoded, 'recording')}"
        text += f", {deep.failed} failed" if deep.failed else ""
        if deep.compared:
            text += f"; {plural(deep.compared, 'near pair')} compared,"
            text += f" {deep.dismissed} of them no duplicates"
        made.append(Text(text))
    return [*made, Text.assemble((f"{'what to do':<16} ", "bold"), result.advice)]


def _heads(result: Audit) -> list[Text]:
    train, test, by = result.train, result.test, result.by
    if by == "folds":
        what = f"each of {result.folds} folds against all others; {_counts(train, '')}"
        return [Text(f"{'audit':<16} {train.path}: {what}")]
    heads = []
    for name, side, verb in (("train", train, " trained on"), ("test", test, " held out")):
        parts = f", {' and '.join(side.parts)}" if by == "parts" else ""
        counts = _counts(side, verb if side.what == "checkpoint" else "")
        heads.append(Text(f"{name:<16} {side.path} ({side.what}{parts}): {counts}"))
    return heads


def _counts(side: Audited, verb: str) -> str:
    text = f"{plural(side.items, 'item')}{verb}"
    if side.validation:
        text += f" (validation: {side.validation})"
    text += f", {plural(side.recordings, 'recording')}"
    text += f", {plural(side.speakers, 'speaker')}"
    return text + (f", {plural(side.copies, 'copy')}" if side.copies else "")


def _fact_line(result: Audit, name: str) -> Text:
    fact = result.facts[name]
    label, one, many, _ = LINES[name]
    line = Text(f"{label:<16} ")
    if fact.apart:
        return line.append("apart")
    if fact.apart is None:
        return line.append("unknown").append(f"  {_unknown(fact, name)}")
    line.append("SHARED", style="bold red").append("   ")
    touched = plural(fact.test_items, "test item")
    if name == "fit_disjoint":
        line.append(f"fitted to {touched}; ")
    else:
        line.append(f"{plural(fact.shared, one, many)}, {touched}; ")
    return line.append("; ".join(_example(name, pair) for pair in fact.examples))


def _example(name: str, pair: Pair) -> str:
    """Return what two items share, where that has a name of its own, and their names."""
    value = f"{_short(pair.value)}: " if name in NAMED else ""
    if pair.train == pair.test:
        return f"{value}{_short(pair.test)} in both"
    return f"{value}{_short(pair.train)} in train, {_short(pair.test)} in test"


def _unknown(fact: Fact, name: str) -> str:
    if name == "fit_disjoint":
        return "a fitted stage does not say which items it was fitted to"
    sides = [
        f"{n} {side} items"
        for side, n in (("train", fact.unknown_train), ("test", fact.unknown_test))
        if n
    ]
    return f"of {' and '.join(sides)}"


def _short(text: str) -> str:
    shown = show(text)
    return (
        shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2 - 1]}…{shown[-LONGEST // 2 :]}"
    )


def render(result: Audit) -> str:
    """Return the lines as text: coloured for a terminal, plain in a pipe, never broken."""
    return tables.render(*lines(result), wrap=False)
