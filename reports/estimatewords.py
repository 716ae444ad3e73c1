"""Estimates in words: always as ranges, marked as what they are, with all that they rest on.

Two digits are stated, since none of them deserves more. Several are drawn below each other on one
logarithmic scale, in the order in which they were asked for, and no measurement among them.
"""

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vidmeter.reports.closed import Estimate
from vidmeter.reports.format import joules
from vidmeter.reports.systems import Fact, Quantity, System, facts, systems

WIDTH = 100
MARK = "ESTIMATE"
_SCALE = 56
_UNITS = (("M", 1e6), ("k", 1e3), ("", 1.0))


def text(found: Sequence[Estimate | Fact]) -> str:
    """All that was asked for, for a terminal."""
    blocks = [_estimate(one) if isinstance(one, Estimate) else _fact(one) for one in found]
    drawn = [one for one in found if isinstance(one, Estimate)]
    if len(drawn) > 1:
        blocks.append(_scale(drawn))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def document(found: Sequence[Estimate | Fact]) -> str:
    """The same as JSON: a list of estimates and facts, each with its kind."""
    return json.dumps([_plain(one) for one in found], indent=2, ensure_ascii=False) + "\n"


def listing() -> str:
    """Every name, and what sort of answer there is."""
    rows = [(s.name, s.title, _sort(s)) for s in systems()]
    rows += [(f.name, f.title, "facts with their sources") for f in facts()]
    wide, wider = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
    return "".join(f"{a:<{wide}}  {b:<{wider}}  {c}\n" for a, b, c in rows)


def span(low: float, high: float) -> str:
    """A range with two digits and one unit: `1.4 to 2.3 M`, to be followed by the unit itself."""
    prefix, size = next((p, s) for p, s in _UNITS if high >= s or s == 1.0)
    if low == high:
        return f"about {_two(low / size)} {prefix}"
    return f"{_two(low / size)} to {_two(high / size)} {prefix}"


def _estimate(of: Estimate) -> list[str]:
    per_second = span(of.low_j / of.seconds, of.high_j / of.seconds)
    system = of.system
    lines = [
        f"{MARK}, not measured: {system.title}, one video of {of.seconds:g} s at {of.resolution}",
        "",
        f"  {per_second}J per second of video",
        f"  {span(of.low_j, of.high_j)}J or {span(of.low_j / 3600, of.high_j / 3600)}Wh in all",
        "",
        *_labelled("how", of.basis),
        *_labelled("covers", of.scope),
    ]
    for n, assumption in enumerate(of.assumes):
        lines += _labelled("assumed" if n == 0 else "", assumption)
    if system.known:
        lines += _labelled("known", system.known)
    lines += _labelled("unknown", system.unknown)
    for n, source in enumerate(of.sources):
        lines += _labelled("sources" if n == 0 else "", source)
    return lines + (_labelled("", _cited(system)) if system.known and system.model is None else [])


def _fact(fact: Fact) -> list[str]:
    lines = [f"{MARK}, not measured: {fact.title}"]
    for q in fact.quantities:
        lines += ["", f"  {_range(q)}  {q.what}", *_labelled("how", q.about)]
        if q.leaves_out:
            lines += _labelled("without", q.leaves_out)
        lines += _labelled("source", _cited(q))
    return lines


def _range(q: Quantity) -> str:
    if q.low == q.high:
        return f"about {q.low:,g} {q.unit}".replace(",", " ")
    return f"{q.low:,g} to {q.high:,g} {q.unit}".replace(",", " ")


def _cited(of: System | Quantity) -> str:
    quoted = "" if of.confidence == "read" else ", quoted by others"
    return ", ".join(part for part in (of.source, of.date, of.url) if part) + quoted


def _scale(found: Sequence[Estimate]) -> list[str]:
    """A line for each from its low to its high end, on one logarithmic scale."""
    ends = [(e.low_j / e.seconds, e.high_j / e.seconds) for e in found]
    first = math.floor(math.log10(min(low for low, _ in ends)))
    last = max(math.ceil(math.log10(max(high for _, high in ends))), first + 1)
    wide = max(len(e.system.name) for e in found)

    def at(value: float) -> int:
        return round((math.log10(value) - first) / (last - first) * _SCALE)

    lines = ["J per second of video, estimated"]
    for e, (low, high) in zip(found, ends, strict=True):
        a, b = at(low), max(at(high), at(low) + 1)
        bar = " " * a + "├" + "─" * (b - a - 1) + "┤"
        lines.append(f"  {e.system.name:<{wide}}  {bar}")
    row = [" "] * (_SCALE + 8)
    for power in range(first, last + 1):
        label = joules(10.0**power).replace(" ", "")
        place = at(10.0**power)
        row[place : place + len(label)] = label
    return [*lines, f"  {'':<{wide}}  {''.join(row).rstrip()}"]


def _labelled(label: str, words: str) -> list[str]:
    indent = " " * 12
    return textwrap.wrap(
        words, WIDTH, initial_indent=f"  {label:<10}", subsequent_indent=indent,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _two(value: float) -> str:
    """Two significant digits, without an exponent."""
    if value == 0:
        return "0"
    places = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return f"{rounded:,.{max(1 - math.floor(math.log10(abs(rounded))), 0)}f}".replace(",", " ")


def _sort(system: System) -> str:
    if system.model:
        return "a range by EcoLogits"
    return "what is known, and what open models of the size take"


def _plain(one: Estimate | Fact) -> dict[str, Any]:
    """Plain values; an estimate has the range for the clip and for a second of it."""
    if isinstance(one, Fact):
        return {"kind": "fact", **asdict(one)}
    plain = {
        "kind": "estimate",
        "measured": False,
        "low_j_per_video_second": one.low_j / one.seconds,
        "high_j_per_video_second": one.high_j / one.seconds,
        "low_wh": one.low_j / 3600,
        "high_wh": one.high_j / 3600,
    }
    return plain | asdict(one)
