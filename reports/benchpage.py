"""The results of a benchmark as one HTML file: the answer first, every repeat drawn, then the rest.

Drawn with positioned elements, so it scales with the page and needs no script and no network.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from vidmeter.meter.comparing import Comparison
from vidmeter.meter.device import Provenance
from vidmeter.reports import benchtext
from vidmeter.reports import format as people
from vidmeter.reports.arms import Arm, unlike, value_of
from vidmeter.reports.published import beside
from vidmeter.reports.terminal import unit_name

_TEMPLATES = Path(__file__).with_name("templates")
MARGIN = 0.06
"""What is left free at both ends of a scale, as a share of it."""


class Dot(NamedTuple):
    """A repeat on a scale: where, in %, in which block, and what to say of it."""

    at: float
    block: int
    text: str


class Strip(NamedTuple):
    """An arm on its scale: its repeats, mean and interval, in %; None where there is none."""

    dots: tuple[Dot, ...]
    mean: float | None
    low: float | None
    high: float | None
    words: str


class Scale(NamedTuple):
    """A scale that arms of one unit share: its ends as text."""

    start: str
    end: str


class Group(NamedTuple):
    """Arms with one unit and one sort of weights, which may stand on one scale."""

    unit: str
    weights: str | None
    scale: Scale
    rows: tuple[tuple[Arm, Strip], ...]


def render(
    arms: Sequence[Arm], comparison: Comparison | None = None, *, links: Mapping[str, str]
) -> str:
    """The page; `links` lead from arms' labels to the pages of their typical repeats."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("joules", "watts", "watt_hours", "seconds", "digits"):
        environment.filters[name] = getattr(people, name)
    two = comparison is not None and len(arms) == 2
    return environment.get_template("bench.html").render(
        title=", ".join(arm.label for arm in arms)[:200],
        groups=_groups(arms),
        arms=arms,
        verdict=benchtext.verdict(comparison, arms[0], arms[1]) if comparison and two else None,
        differing=unlike(arms[0], arms[1]) if two else [],
        comparison=comparison,
        links=links,
        marks=_marks(arms),
        about=benchtext.about,
        beside=beside,
        protocol=_protocol,
        unit_name=lambda unit: "J each" if unit == "j_per_repeat" else unit_name(unit),
        style=Markup((_TEMPLATES / "report.css").read_text()),
        more=Markup((_TEMPLATES / "bench.css").read_text()),
    )


def _groups(arms: Sequence[Arm]) -> list[Group]:
    keys = dict.fromkeys((arm.unit, arm.weights) for arm in arms)
    return [_group([a for a in arms if (a.unit, a.weights) == key]) for key in keys]


def _group(arms: Sequence[Arm]) -> Group:
    unit = arms[0].unit
    values = [v for arm in arms for r in arm.stated if (v := value_of(r, arm.unit)) is not None]
    for arm in arms:
        found = arm.estimate()
        if found is not None and found.low is not None and found.high is not None:
            # A very wide interval runs out of the scale, so that the repeats can be told apart.
            spread = max(values) - min(values) or found.mean * 0.01
            values += [
                max(found.low, min(values) - spread),
                min(found.high, max(values) + spread),
            ]
    if not values:
        return Group(unit, arms[0].weights, Scale("", ""), tuple((a, _empty()) for a in arms))
    low, high = min(values), max(values)
    room = (high - low or abs(low) or 1.0) * MARGIN
    low, high = low - room, high + room
    scale = Scale(people.digits(low), people.digits(high))
    return Group(unit, arms[0].weights, scale, tuple((a, _strip(a, low, high)) for a in arms))


def _strip(arm: Arm, low: float, high: float) -> Strip:
    def at(value: float) -> float:
        return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 2)

    dots = []
    for r in arm.stated:
        value = value_of(r, arm.unit)
        if value is not None:
            dots.append(Dot(at(value), r.block, f"repeat {r.number}: {people.digits(value)}"))
    found = arm.estimate()
    if found is None:
        return _empty()
    words = people.digits(found.mean)
    if found.low is None or found.high is None:
        return Strip(tuple(dots), at(found.mean), None, None, words)
    words += f", {people.digits(found.low)} to {people.digits(found.high)}"
    return Strip(tuple(dots), at(found.mean), at(found.low), at(found.high), words)


def _empty() -> Strip:
    return Strip((), None, None, None, "no energy could be stated")


def _marks(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    found = {arm.provenance for arm in arms}
    marks = []
    if Provenance.SIMULATED in found:
        marks.append(("SIMULATED", "No hardware was read: these numbers come from a script"))
    if Provenance.MODELLED in found:
        marks.append(("MODELLED", "Not measured: computed from the processor's load and a rating"))
    return marks


def _protocol(arm: Arm) -> list[tuple[str, str]]:
    """How an arm was measured, and what it really used; names and values."""
    idle = arm.idle_w()
    used = arm.facts
    steady = [p.get("steady") for p in arm.protocols]
    known = [
        ("repeats", str(len(arm.repeats))),
        ("processes", str(len({r.block for r in arm.repeats}))),
        ("warm-ups", ", ".join(str(p["warmups"]) for p in arm.protocols if "warmups" in p)),
        ("steady", {True: "yes", False: "no", None: ""}[_all(steady)]),
        ("idle without it", people.watts(idle["no_context"]) if idle["no_context"] else ""),
        ("idle, loaded", people.watts(idle["loaded"]) if idle["loaded"] else ""),
        ("idle, after", people.watts(idle["after"]) if idle["after"] else ""),
        ("devices", ", ".join(arm.device_names())),
        ("weights", str(arm.weights or "")),
        ("scheduler", str(used.get("scheduler", ""))),
        ("steps run", str(used.get("steps_run", ""))),
        ("attention", str(used.get("attention_backend", used.get("attention_implementation", "")))),
        *((name, str(value)) for name, value in arm.settings.items() if value != ""),
    ]
    return [(name, value) for name, value in known if value and value != "None"]


def _all(verdicts: Sequence[bool | None]) -> bool | None:
    told = [v for v in verdicts if v is not None]
    return all(told) if told else None
