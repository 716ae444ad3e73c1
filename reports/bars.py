"""What is drawn of several arms together: bars of energy, energy against time, against a setting.

Everything is in percent of the picture, so that it scales with the page, without a drawing library:
rectangles, dots and one path need none, and the page stays small and works without a script. Bars
begin at 0: their length is the claim. In the plane of energy and time the efficient arms are those
that no other beats in both; a line joins them. Arms that answer with different figures never share
a picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vidmeter.meter.statistics import Interval
from vidmeter.reports.arm import Arm
from vidmeter.reports.axes import Tick, plain_ticks
from vidmeter.reports.benchwords import letters, unit_words
from vidmeter.reports.format import digits, seconds
from vidmeter.reports.likeness import fields

_ABOVE = 1.08
"""How far an axis goes beyond what is drawn."""


class Bar(NamedTuple):
    """An arm's bar, percent of the axis; `low` and `high` are its interval's ends, None without."""

    letter: str
    label: str
    width: float
    low: float | None
    high: float | None
    text: str


class Bars(NamedTuple):
    """Bars on one axis from 0."""

    unit: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


class Dot(NamedTuple):
    """An arm in a plane, percent from the left and from the bottom, with its interval upwards."""

    x: float
    y: float
    low: float | None
    high: float | None
    letter: str
    text: str
    efficient: bool


class Plane(NamedTuple):
    """Arms in a plane; `line` is an SVG path of 100 by 100 from the top left, empty without."""

    title: str
    x_title: str
    y_title: str
    dots: tuple[Dot, ...]
    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


class Known(NamedTuple):
    """What is drawn of an arm: its letter, energy with interval, and time for a unit of work."""

    letter: str
    arm: Arm
    energy: float
    low: float | None
    high: float | None
    seconds: float


def known(arms: Sequence[Arm], places: Mapping[str, int] | None = None) -> list[Known]:
    """The arms whose figure is that of the first and is known, with their letters.

    `places` are the arms' own, by label, among all that the page tells of: they make the letters.
    """
    found = []
    for n, arm in enumerate(arms):
        mean = arm.estimate
        if mean is None or arm.headline != arms[0].headline or not arm.energy_j:
            continue
        each_s = arm.seconds * mean.mean / arm.energy_j
        # Of a single run, what its readings leave open.
        ends = arm.absolute if mean.low is None else Interval(mean.low, mean.high or mean.low)
        low, high = (ends.low, ends.high) if ends else (None, None)
        place = n if places is None else places[arm.label]
        found.append(Known(letters(place), arm, mean.mean, low, high, each_s))
    return found


def bars(arms: Sequence[Arm], places: Mapping[str, int] | None = None) -> Bars | None:
    """Their energies side by side; None with fewer than two."""
    found = known(arms, places)
    if len(found) < 2:
        return None
    top = max(max(k.energy, k.high or 0.0) for k in found) * _ABOVE
    return Bars(
        unit_words(found[0].arm),
        tuple(
            Bar(
                k.letter,
                k.arm.label,
                100 * k.energy / top,
                None if k.low is None else 100 * max(k.low, 0.0) / top,
                None if k.high is None else 100 * k.high / top,
                _text(k),
            )
            for k in found
        ),
        plain_ticks(0.0, top),
    )


def frontier(arms: Sequence[Arm], places: Mapping[str, int] | None = None) -> Plane | None:
    """Energy against time, for a unit of work; None with fewer than three arms."""
    found = known(arms, places)
    if len(found) < 3:
        return None
    efficient = [
        k for k in found
        if not any(o.energy <= k.energy and o.seconds <= k.seconds and o != k for o in found)
    ]  # fmt: skip
    right = max(k.seconds for k in found) * _ABOVE
    unit = unit_words(found[0].arm)
    per = found[0].arm.unit.removeprefix("J per ")
    return _plane(
        "Energy against time",
        f"seconds per {per}",
        unit,
        [(k.seconds, k) for k in found],
        (0.0, right),
        [(k.seconds, k) for k in sorted(efficient, key=lambda k: k.seconds)],
    )


def settings(arms: Sequence[Arm], places: Mapping[str, int] | None = None) -> list[Plane]:
    """Energy against each setting that is a number and the only thing in which the arms differ.

    Also the card, what was counted and the versions are to be alike (`likeness.fields`); a picture
    for each setting with two values.
    """
    found = known(arms, places)
    planes = []
    for name in dict.fromkeys(key for k in found for key in k.arm.settings):
        alike: dict[tuple[Any, ...], list[tuple[float, Known]]] = {}
        for k in found:
            value = k.arm.settings.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                alike_in = fields(k.arm.middle.run, k.arm.middle.summary)
                rest = tuple((s, v) for s, v in alike_in.items() if s not in (name, "machine"))
                alike.setdefault(rest, []).append((float(value), k))
        for points in alike.values():
            values = sorted({value for value, _ in points})
            if len(values) > 1:
                room = (values[-1] - values[0]) * (_ABOVE - 1)
                span = (values[0] - room, values[-1] - values[0] + 2 * room)
                title = f"Energy against {name}"
                line = sorted(points, key=lambda point: point[0])
                planes.append(_plane(title, name, unit_words(points[0][1].arm), points, span, line))
    return planes


def _plane(
    title: str,
    x_title: str,
    y_title: str,
    points: Sequence[tuple[float, Known]],
    span: tuple[float, float],
    line: Sequence[tuple[float, Known]],
) -> Plane:
    """`span` is where the horizontal axis begins and how long it is; the vertical begins at 0."""
    left, width = span
    top = max(max(k.energy, k.high or 0.0) for _, k in points) * _ABOVE

    def x(value: float) -> float:
        return 100 * (value - left) / width

    def y(value: float | None) -> float | None:
        return None if value is None else 100 * max(value, 0.0) / top

    path = " ".join(
        f"{'L' if n else 'M'}{x(value):.3f},{100 - 100 * k.energy / top:.3f}"
        for n, (value, k) in enumerate(line)
    )
    joined = {k.letter for _, k in line}
    return Plane(
        title,
        x_title,
        y_title,
        tuple(
            Dot(
                x(value),
                100 * k.energy / top,
                y(k.low),
                y(k.high),
                k.letter,
                f"{k.letter}: {k.arm.label}, {x_title} {value:.4g}, {_text(k)}",
                k.letter in joined,
            )
            for value, k in points
        ),
        path if len(line) > 1 else "",
        plain_ticks(left, width),
        plain_ticks(0.0, top),
    )


def _text(k: Known) -> str:
    interval = ""
    if k.low is not None and k.high is not None:
        interval = f" ({digits(max(k.low, 0.0))} to {digits(k.high)})"
    return f"{digits(k.energy)} {k.arm.unit}{interval}, {seconds(k.arm.seconds)}"
