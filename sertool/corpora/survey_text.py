"""A corpus's survey as a page for the terminal: classes, speakers, folds, lengths, sound.

The functions return what rich prints, in any width from 60 columns on. Nothing depends on colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sertool.core.paths import show
from sertool.corpora.listening import Sound
from sertool.corpora.survey import SHORTEST_BIN, Fold, Lengths, Speaker, Survey, Tally
from sertool.ui.words import of_several, plural

MOST = 40  # rows of a table, for people; --json has them all
NAMED = 5  # ids or values in one line
WIDEST = 24  # cells of a name that the corpus gave
LEAST_NAME = 10  # cells that a table leaves it
ID_WIDEST = 60  # cells of an id
LONGEST_BAR = 30
SHORTEST_BAR = 6
EIGHTHS = " ▏▎▍▌▋▊▉"
LISTED = {"text": "sentences", "session": "sessions"}


@dataclass(frozen=True)
class Fitted:
    """What depends on the available width."""

    make: Callable[[int], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        yield self.make(options.max_width)


def page(
    found: Survey, counts: Mapping[str, Mapping[str, int]], audio: Sound | None = None
) -> list[RenderableType]:
    """Return a survey as text, block by block, with empty lines between.

    `counts` says how often each value of a field occurs, `audio` what was found in the sound.
    """
    blocks = [classes_block(found)]
    if len(found.corpora) > 1:
        blocks.append(corpora_block(found))
    blocks.append(facts_block(found, counts))
    blocks += [folds_block(found.folds, "fold")] if found.folds else []
    blocks += [folds_block(found.parts, "part")] if found.parts else []
    if found.lengths:
        blocks.append(lengths_block(found.lengths, found.items))
    if audio:
        blocks.append(audio_block(audio))
    return [part for block in blocks for part in (Text(), block)]


def span(seconds: float | None) -> str:
    """Return a length of time in the unit that reads best: "2.94 s", "12.4 min", "1.48 h"."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def short(value: str | None, widest: int = WIDEST) -> str:
    """Return a name that the corpus gave as one printable line; "(none)" where there is none."""
    return clipped(show(value) if value else "(none)", widest)


def clipped(text: str, widest: int) -> str:
    """Return a text of at most `widest` cells, an ellipsis for what is cut off."""
    return text if cell_len(text) <= widest else set_cell_size(text, widest - 1).rstrip() + "…"


def share(n: int, total: int) -> str:
    """Return "12 (0.8 %)", "all 1440", "none"."""
    if n in (0, total):
        return f"all {n}" if n else "none"
    percent = 100 * n / total
    return f"{n} ({percent:.1f} %)" if percent >= 0.05 else f"{n} (under 0.1 %)"


def bar(n: float, most: float, width: int) -> str:
    """Return a bar of `n` where `most` fills `width` cells; whatever is above 0 shows."""
    eighths = max(round(8 * width * n / most), 1) if n else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def aligned(cells: Sequence[str], left: bool = False) -> list[str]:
    """Return texts padded to the cells of the widest."""
    width = max(map(cell_len, cells))
    padded = [(" " * (width - cell_len(cell)), cell) for cell in cells]
    return [cell + space if left else space + cell for space, cell in padded]


def beside(columns: Sequence[Sequence[str]], gap: int = 2, heads: int = 1) -> Text:
    """Return aligned columns side by side, their first `heads` rows bold."""
    text = Text(no_wrap=True, overflow="crop")
    for i, row in enumerate(zip(*columns, strict=True)):
        text.append("\n" if i else "")
        text.append((" " * gap).join(row).rstrip(), style="bold" if i < heads else "")
    return text


def table(
    names: Sequence[str], columns: Sequence[Sequence[str]], width: int, optional: int = 0
) -> list[list[str]]:
    """Return the columns of a table, aligned: names to the left, their values to the right.

    Where `width` is not enough, up to `optional` last columns are left out and names cut short.
    """
    made = [aligned(column) for column in columns]
    room = width - sum(cell_len(column[0]) + 2 for column in made)
    while optional and room < min(LEAST_NAME, max(map(cell_len, names))):
        room += cell_len(made.pop()[0]) + 2
        optional -= 1
    return [aligned([clipped(text, max(room, LEAST_NAME)) for text in names], left=True), *made]


def with_bars(columns: list[list[str]], numbers: Sequence[int], width: int) -> Text:
    """Return a table with a bar at the end of its first rows, if there is room for bars."""
    room = min(LONGEST_BAR, width - sum(cell_len(c[0]) + 2 for c in columns))
    if room < SHORTEST_BAR or not any(numbers):
        return beside(columns)
    bars = ["", *(bar(n, max(numbers), room) for n in numbers)]
    return beside([*columns, bars + [""] * (len(columns[0]) - len(bars))])


def more(shown: int, there: int, noun: str) -> list[Text]:
    """Return "… and 3 more classes" where not all are shown."""
    rest = there - shown
    return [Text(f"… and {plural(rest, f'more {noun}')} (--json lists all)")] if rest else []


def classes_block(found: Survey) -> RenderableType:
    """Classes by gender, with speakers, time and bars; of several corpora, by corpus and gender."""
    classes = found.classes
    if len(classes) > MOST:
        common = sorted(classes, key=lambda row: (-row.items, row.label or ""))[:MOST]
        classes = [row for row in classes if row in common]
    make = _one_corpus if len(found.corpora) <= 1 else _many_corpora
    made = Fitted(lambda width: make(found, classes, width))
    return Group(made, *more(len(classes), len(found.classes), "class"))


def _genders(cells: Sequence[Tally]) -> list[str | None]:
    """Return the genders that occur, unknown last; none where all are unknown."""
    found: set[Any] = {cell.gender for cell in cells}
    known: list[str | None] = sorted(found - {None})
    return known + [None] * (None in found) if known else []


def _numbers(cells: Sequence[Tally], labels: Sequence[str | None], gender: Any = "*") -> list[int]:
    """Return the items of each label, then of all; of one gender, if one is given."""
    counts: Counter[str | None] = Counter()
    for cell in cells:
        if gender in ("*", cell.gender):
            counts[cell.label] += cell.items
    return [counts[label] for label in labels] + [counts.total()]


def _one_corpus(found: Survey, classes: Sequence[Tally], width: int) -> RenderableType:
    labels, lengths = [row.label for row in classes], found.lengths
    columns = []
    for gender in _genders(found.cells):
        numbers = _numbers(found.cells, labels, gender)
        columns.append([short(gender) if gender else "unknown", *map(str, numbers)])
    numbers = _numbers(found.cells, labels)
    columns.append(["all", *map(str, numbers)])
    if found.speakers:
        people = [row.speakers for row in classes] + [len(found.speakers)]
        columns.append(["speakers", *map(str, people)])
    if lengths:
        columns.append(["time", *(span(row.seconds) for row in classes), span(lengths.total)])
    optional = bool(found.speakers) + (lengths is not None)
    made = table(["class", *map(short, labels), "all"], columns, width, optional)
    return with_bars(made, numbers[:-1] if len(labels) > 1 else [], width)


def _many_corpora(found: Survey, classes: Sequence[Tally], width: int) -> RenderableType:
    """A column a corpus and gender, in as many blocks below each other as the width asks for."""
    labels = [row.label for row in classes]
    groups: list[list[str]] = []
    for row in found.corpora:
        cells = [cell for cell in found.cells if cell.corpus == row.corpus]
        columns = []
        for gender in _genders(cells) or ["*"]:
            numbers = _numbers(cells, labels, gender)
            letter = "" if gender == "*" else short(gender)[0] if gender else "?"
            columns.append(aligned([letter, *map(str, numbers)]))
        inner = [" ".join(parts) for parts in zip(*columns, strict=True)]
        groups.append(aligned([short(row.corpus), *inner]))
    groups.append(aligned(["all", "", *map(str, _numbers(found.cells, labels))]))
    names = aligned(["", "class", *map(short, labels), "all"], left=True)
    blocks = [[names]]
    for group in groups:
        used = sum(cell_len(column[0]) + 3 for column in blocks[-1])
        if used + cell_len(group[0]) > width and len(blocks[-1]) > 1:
            blocks.append([names])
        blocks[-1].append(group)
    genders: set[Any] = {cell.gender for cell in found.cells}
    key = [f"{short(g)[0]} {short(g)}" for g in sorted(genders - {None})]
    key += ["? unknown"] * (bool(key) and None in genders)
    parts: list[RenderableType] = []
    for block in blocks:
        parts += [beside(block, gap=3, heads=2), Text()]
    return Group(*parts[:-1], *([Text(", ".join(key))] if key else []))


def corpora_block(found: Survey) -> RenderableType:
    """One line a corpus: utterances, speakers by gender, time, sentences, sessions."""
    corpora = found.corpora[:MOST]
    people = [
        Counter(s.gender for s in found.speakers if s.corpus == row.corpus) for row in corpora
    ]
    columns = [["items", *(str(row.items) for row in corpora)]]
    columns.append(["speakers", *(str(row.speakers) for row in corpora)])
    columns += [[g[0], *(str(counts[g]) for counts in people)] for g in ("female", "male")]
    if found.lengths:
        columns.append(["time", *(span(row.seconds) for row in corpora)])
    columns.append(["texts", *(str(row.texts) for row in corpora)])
    if any(row.sessions for row in corpora):
        columns.append(["sessions", *(str(row.sessions) for row in corpora)])
    names = ["corpus", *(short(row.corpus) for row in corpora)]
    made = Fitted(lambda width: beside(table(names, columns, width, optional=2)))
    return Group(made, *more(len(corpora), len(found.corpora), "corpus"))


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Return lines of a word and its text, wrapped next to the word."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=9)
    grid.add_column(overflow="fold")
    for word, text in rows:
        grid.add_row(Text(word, style="bold"), Text(text))
    return grid


def facts_block(found: Survey, counts: Mapping[str, Mapping[str, int]]) -> RenderableType:
    """Speakers, sentences and sessions, and what is unknown of how many utterances."""
    rows = [("speakers", _speakers(found.speakers))]
    for field, word in LISTED.items():
        values = {value: n for value, n in counts.get(field, {}).items() if value}
        if values and len(found.corpora) == 1:  # of several, each has its own
            named = [f"{short(value)} {n}" for value, n in list(values.items())[:NAMED]]
            rest = ["…"] if len(values) > NAMED else []
            rows.append((word, f"{len(values)}: {', '.join(named + rest)}"))
    crooked = [s for s in found.speakers if len(s.genders) > 1]
    if crooked:
        named = [short(s.speaker) for s in crooked[:NAMED]] + ["…"] * (len(crooked) > NAMED)
        rows.append(("doubtful", f"{len(crooked)} speakers with two genders: {', '.join(named)}"))
    unknown = {name: n for name, n in found.unknown.items() if n}
    asked = ("label", "speaker", "gender", "text")
    words = [f"{name} {share(n, found.items)}" for name, n in unknown.items() if name in asked]
    complete = "nothing: label, speaker, gender and text are known for all"
    rows.append(("missing", ", ".join(words) or complete))
    return facts(rows)


def _speakers(people: Sequence[Speaker]) -> str:
    if not people:
        return "unknown"
    genders: Counter[Any] = Counter(s.gender for s in people)
    known = [f"{genders[g]} {short(g)}" for g in sorted(set(genders) - {None})]
    known += [f"{genders[None]} unknown"] if known and genders[None] else []
    each = sorted(s.items for s in people)
    n, middle = len(each), (each[(len(each) - 1) // 2] + each[len(each) // 2]) / 2
    spread = (
        f"{each[0]} utterances each"
        if each[0] == each[-1]
        else (f"{each[0]} to {each[-1]} utterances each, median {middle:g}")
    )
    return f"{n}{': ' + ', '.join(known) if known else ''}; {spread}"


def folds_block(folds: Sequence[Fold], field: str) -> RenderableType:
    """One line per fold or part: utterances, speakers, how many are in others too, time, gaps."""
    rows = folds[:MOST]
    names = [field, *("(none)" if row.name is None else str(row.name) for row in rows)]
    columns = [["items", *(str(row.items) for row in rows)]]
    if any(row.speakers for row in folds):
        columns.append(["speakers", *(str(row.speakers) for row in rows)])
        columns.append(["shared", *(str(row.shared_speakers) for row in rows)])
    if any(row.seconds is not None for row in folds):
        columns.append(["time", *(span(row.seconds) for row in rows)])
    made = Fitted(lambda width: beside(table(names, columns, width)))
    parts: list[RenderableType] = [made]
    parts += more(len(rows), len(folds), field)
    shared = sum(row.shared_speakers > 0 for row in folds)
    if shared:
        word = of_several(field)
        parts.append(
            Text(f"shared: speakers who also occur in other {word}; results depend on them")
        )
    for row in rows:
        if row.lacking and row.name is not None:
            named = [short(label) for label in row.lacking[:NAMED]]
            rest = ["…"] * (len(row.lacking) > NAMED)
            parts.append(Text(f"{field} {row.name} has no {', '.join(named + rest)}"))
    return Group(*parts)


def lengths_block(lengths: Lengths, items: int) -> RenderableType:
    """How long the utterances (of so many items) are, in a line and as a histogram."""
    n, cuts = lengths.known, lengths.edges
    of = "" if n == items else f" (known for {n} of {items})"
    if cuts[-1] - cuts[0] < SHORTEST_BIN:
        return facts([("length", f"{span(lengths.total)} in total, each {cuts[0]:.3f} s{of}")])
    text = (
        f"{span(lengths.total)} in total; {lengths.min:.2f} to {lengths.max:.2f} s,"
        f" mean {lengths.mean:.2f}, median {lengths.median:.2f}{of}"
    )
    step = min(high - low for low, high in pairwise(cuts))
    digits = 0 if step >= 1 else 1 if step >= 0.1 else 2 if step >= 0.01 else 3
    ends = [f"{cut:.{digits}f}" for cut in cuts]
    bins = [f"{low} – {high}" for low, high in pairwise(aligned(ends))]
    bins = aligned(["seconds", *bins])
    columns = [bins, aligned(["items", *map(str, lengths.counts)])]
    histogram = Fitted(lambda width: with_bars(columns, lengths.counts, width))
    return Group(facts([("length", text)]), histogram)


def _listed(counts: Mapping[str, int], before: str = "", after: str = "") -> str:
    return ", ".join(f"{n} {before}{v}{after}" for v, n in counts.items()) or "unknown"


def audio_block(audio: Sound) -> RenderableType:
    """Rates, channels and formats, files that cannot be read, and what decoding showed."""
    channels = {{"1": "mono", "2": "stereo"}.get(c, f"of {c} channels"): n
                for c, n in audio.channels.items()}  # fmt: skip
    rows = [
        ("rates", _listed(audio.sample_rates, "at ", " Hz")),
        ("channels", _listed(channels)),
        ("formats", _listed(audio.codings)),
    ]
    lost, missing = len(audio.failed), audio.missing
    if lost:
        words = [f"{missing} missing"] * bool(missing)
        words += [f"{lost - missing} unreadable"] * bool(lost - missing)
        rows.insert(0, ("failed", f"{', '.join(words)}, of {audio.of + lost} utterances"))
    decoded = audio.decoded
    if not decoded:
        return facts(rows)
    drawn = f"{decoded} of {audio.of}, drawn with seed {audio.seed} (--all decodes every one)"
    rows.append(("decoded", f"all {decoded}" if decoded == audio.of else drawn))
    rows += [("clipped", _odd(audio.clipped, decoded)), ("silent", _odd(audio.silent, decoded))]
    if audio.identical:
        groups = [" = ".join(short(i, ID_WIDEST) for i in ids[:NAMED]) for ids in audio.identical]
        rest = ["…"] * (len(groups) > NAMED)
        rows.append(("identical", "; ".join(groups[:NAMED] + rest)))
    if audio.quiet_start and audio.quiet_end:
        start, end = span(audio.quiet_start.median), span(audio.quiet_end.median)
        rows.append(
            ("quiet", f"{start} at the start, {end} at the end (median; below 1 % of the peak)")
        )
    return facts(rows)


def _odd(ids: Sequence[str], decoded: int) -> str:
    named = [short(i, ID_WIDEST) for i in ids[:NAMED]] + ["…"] * (len(ids) > NAMED)
    return share(len(ids), decoded) + (f": {', '.join(named)}" if ids else "")
