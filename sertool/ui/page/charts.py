"""Pictures of a page: SVG that takes its colours from the page's style, drawn from numbers.

A page's numbers are known when it is written, and its pictures are few and small: bars, intervals,
curves, boxes. Drawn here, one takes some hundred bytes, is there without a script, in print and at
every width; a charting library would be the greater part of the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sertool.ui.page.markup import Child, Html, tag

LEFT, TOP, WIDTH, HEIGHT, BELOW = 44, 8, 380, 230, 40  # of a plot's frame, and below it
MOST_DOTS = 3000  # of a scatter
NEAR = 0.3  # units of a plot, which are pixels or less
_STEP = 20  # between the names of two systems
_NODE, _GAP, _ROW = (124, 40), 10, 62


@dataclass(frozen=True)
class Range:
    """An axis: its ends, and what it says."""

    low: float
    high: float
    label: str

    def at(self, value: float) -> float:
        """Return where a value lies, 0 to 1."""
        return (value - self.low) / (self.high - self.low or 1)

    def ticks(self) -> list[float]:
        """Return round numbers between the ends, four to eight of them."""
        span = self.high - self.low or 1
        power: float = 10.0 ** math.floor(math.log10(span))
        step = next(power * k for k in (0.1, 0.2, 0.25, 0.5, 1, 2) if span / (power * k) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(k * step, 10) for k in range(first, last + 1)]


Interval = tuple[float | None, float | None] | None


def bar(value: float, interval: Interval = None, mark: float | None = None,
        chance: float | None = None, point: bool = False) -> Html:  # fmt: skip
    """Return a rate as a bar, or a point, that stretches with its cell; all numbers are 0 to 1.

    mark: another system's value. What it says stands in the cell beside it.
    """
    parts: list[Child] = []
    if not point:
        parts.append(tag("rect", x=0, y=5, width=_r(100 * value), height=10, class_="model"))
    if chance is not None:
        parts.append(_upright(chance, 3, 17, "chance"))
    low, high = interval or (None, None)
    if low is not None and high is not None:
        a, b = f"{_r(100 * low):g}", f"{_r(100 * high):g}"
        parts.append(tag("path", d=f"M{a} 10H{b}M{a} 7v6M{b} 7v6", class_="whisker"))
    if mark is not None:
        parts.append(_upright(mark, 4, 16, "other"))
    if point:
        parts.append(_upright(value, 4, 16, "point"))
    return tag("svg", parts, viewBox="0 0 100 20", preserveAspectRatio="none", class_="bar",
               aria_hidden="true")  # fmt: skip


def _upright(value: float, top: float, bottom: float, kind: str) -> Html:
    return tag("path", d=f"M{_r(100 * value):g} {top:g}V{bottom:g}", class_=kind)


def _r(value: float) -> float:
    return round(value, 2)


def legend(*parts: tuple[str, str]) -> Html:
    """Return what the signs of a picture mean: (kind, words)."""
    made: list[Child] = []
    for kind, words in parts:
        made += [tag("span", class_=f"key k-{kind}", aria_hidden="true"), words]
    return tag("p", made, class_="soft")


def plot(across: Range, up: Range, marks: Sequence[Html], title: str) -> Html:
    """Return marks, placed by `x` and `y`, in a frame with its axes."""
    lines = "".join(f"M{LEFT} {y(up, value):g}h{WIDTH}" for value in up.ticks())
    parts: list[Child] = [tag("path", d=lines, class_="grid")]
    ups = [tag("text", f"{v:g}", x=LEFT - 6, y=round(y(up, v) + 4)) for v in up.ticks()]
    parts.append(tag("g", ups, class_="ends"))
    for value in across.ticks():
        parts.append(tag("text", f"{value:g}", x=round(x(across, value)), y=TOP + HEIGHT + 15))
    base = TOP + HEIGHT
    parts.append(tag("line", x1=LEFT, x2=LEFT + WIDTH, y1=base, y2=base, class_="axis"))
    parts += [
        tag("text", across.label, x=LEFT + WIDTH / 2, y=base + 32),
        tag("text", up.label, x=12, y=TOP + HEIGHT / 2,
            transform=f"rotate(-90 12 {TOP + HEIGHT / 2:g})"),
    ]  # fmt: skip
    box = f"0 0 {LEFT + WIDTH + 12} {TOP + HEIGHT + BELOW}"
    return tag("svg", parts, list(marks), viewBox=box, class_="plot", role="img", aria_label=title)


def x(across: Range, value: float) -> float:
    """Return where a value lies across a plot."""
    return _r(LEFT + WIDTH * across.at(value))


def y(up: Range, value: float) -> float:
    """Return where a value lies up a plot."""
    return _r(TOP + HEIGHT * (1 - up.at(value)))


def curve(across: Range, up: Range, xs: Sequence[float], ys: Sequence[float], kind: str) -> Html:
    """Return a line through points, as far as the eye can tell; far outside the plot it is cut."""
    every = [
        (x(across, a), max(-HEIGHT, min(2.0 * HEIGHT, y(up, b))))
        for a, b in zip(xs, ys, strict=True)
    ]
    points = " ".join(f"{a:.1f},{b:.1f}".replace(".0", "") for a, b in _thinned(every))
    return tag("polyline", points=points, class_=f"curve {kind}")


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a line's points, in the order of x, without those that it passes by `NEAR` anyway.

    Ramer (1972), Computer Graphics and Image Processing 1, 244-256.
    """
    if len(points) < 3:
        return list(points)
    (a, b), (c, d) = points[0], points[-1]
    slope = (d - b) / (c - a) if c > a else 0.0
    away = [abs(b + slope * (one - a) - other) for one, other in points]
    far = max(range(len(points)), key=away.__getitem__)
    if away[far] <= NEAR:
        return [points[0], points[-1]]
    return _thinned(points[: far + 1])[:-1] + _thinned(points[far:])


def dots(across: Range, up: Range, points: Sequence[tuple[float, float]]) -> list[Html]:
    """Return points as dots; of very many, some, evenly spaced."""
    step = max(1, math.ceil(len(points) / MOST_DOTS))
    return [
        tag("circle", cx=x(across, a), cy=y(up, b), r=2, class_="dots") for a, b in points[::step]
    ]


def reliability(rows: Sequence[tuple[float, float, float, Interval, int]], title: str) -> Html:
    """Return a reliability diagram; rows: (from, to, share right, its interval, how many)."""
    across, up = Range(0, 100, "confidence, %"), Range(0, 100, "right, %")
    marks = []
    for low, high, right, interval, n in rows:
        left, width = x(across, 100 * low), (high - low) * WIDTH
        top = y(up, 100 * right)
        marks.append(tag("rect", tag("title", f"{n}"), x=_r(left + 0.06 * width), y=top,
                         width=_r(0.88 * width), height=_r(TOP + HEIGHT - top),
                         class_="model"))  # fmt: skip
        if interval and interval[0] is not None and interval[1] is not None:
            middle = _r(left + width / 2)
            marks.append(tag("line", x1=middle, x2=middle, y1=y(up, 100 * interval[0]),
                             y2=y(up, 100 * interval[1]), class_="whisker"))  # fmt: skip
    marks.append(curve(across, up, (0, 100), (0, 100), "val"))
    return plot(across, up, marks, title)


def ranks(
    systems: Sequence[tuple[str, float]], lines: Sequence[tuple[float, float, int]], title: str
) -> Html:
    """Return systems on an axis of mean ranks, 1 at the left: the picture of Demšar (2006).

    systems: (name, rank), the best first. lines: (from rank, to rank, row from 1) of those joined.
    """
    n, half = len(systems), math.ceil(len(systems) / 2)
    across = Range(1, n, "")
    top = 30 + 9 * max((row for _, _, row in lines), default=0) + 14
    parts: list[Child] = [tag("path", d=f"M{LEFT} 22h{WIDTH}", class_="axis")]
    for k in range(1, n + 1):
        at = x(across, k)
        parts.append(tag("path", d=f"M{at:g} 22v-5", class_="axis"))
        parts.append(tag("text", str(k), x=at, y=12))
    for low, high, row in lines:
        ends = f"M{x(across, low) - 4:g} {24 + 9 * row}H{x(across, high) + 4:g}"
        parts.append(tag("path", d=ends, class_="point"))
    for place, (name, rank) in enumerate(systems):
        left = place < half
        depth = top + _STEP * (place if left else n - 1 - place)
        at, edge = x(across, rank), LEFT if left else LEFT + WIDTH
        parts.append(tag("path", d=f"M{at:g} 22V{depth}H{edge}", class_="lead"))
        parts.append(tag("text", tag("title", name), _cut(name), x=edge, y=depth - 4,
                         class_="name" if left else "name end"))  # fmt: skip
    box = f"0 0 {2 * LEFT + WIDTH} {top + _STEP * half - 14}"
    return tag("svg", parts, viewBox=box, class_="plot ranks", role="img", aria_label=title)


@dataclass(frozen=True)
class Node:
    """One box of a graph: what it says above and below, and the places of those that it needs."""

    stage: str
    name: str
    needs: Sequence[int]


def graph(nodes: Sequence[Node], title: str) -> Html:
    """Return boxes with lines from each to those that need it, in rows from the top.

    A node needs earlier ones only.
    """
    level: list[int] = []
    for node in nodes:
        level.append(1 + max((level[i] for i in node.needs), default=-1))
    rows = [[i for i, own in enumerate(level) if own == k] for k in range(max(level) + 1)]
    width = max(map(len, rows)) * (_NODE[0] + _GAP) + _GAP
    places = {
        i: ((width - len(row) * (_NODE[0] + _GAP) + _GAP) / 2 + j * (_NODE[0] + _GAP), k * _ROW + 4)
        for k, row in enumerate(rows)
        for j, i in enumerate(row)
    }
    lines, boxes = [], []
    for i, node in enumerate(nodes):
        left, top = places[i]
        for need in node.needs:
            start = places[need]
            lines.append(tag("line", x1=_r(start[0] + _NODE[0] / 2), y1=start[1] + _NODE[1],
                             x2=_r(left + _NODE[0] / 2), y2=top, class_="axis"))  # fmt: skip
        middle = _r(left + _NODE[0] / 2)
        boxes += [
            tag("rect", x=_r(left), y=top, width=_NODE[0], height=_NODE[1], rx=6, class_="node"),
            tag("text", node.stage, x=middle, y=top + 17, class_="stage"),
            tag("text", _cut(node.name), x=middle, y=top + 32),
        ]
    box = f"0 0 {width} {len(rows) * _ROW - _ROW + _NODE[1] + 8}"
    return tag("svg", lines, boxes, viewBox=box, width=width, class_="graph", role="img",
               aria_label=title)  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= 20 else text[:9] + "…" + text[-10:]
