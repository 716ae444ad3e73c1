"""Closed systems and facts by name: what is disclosed of them, what isn't, and where that stands.

data/closed_systems.csv has the systems, data/context.csv facts that people ask for beside them: a
training, the data centres' share. Every row names its source and whether it was read there.
"""

import csv
import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vidmeter.meter.errors import VidmeterError

MOST_NEAR = 3
_DATA = Path(__file__).with_name("data")


class NoEstimate(VidmeterError):
    """Nothing can be said of what was asked for; the message says what can."""


@dataclass(frozen=True, slots=True)
class System:
    """A closed system: `model` is what EcoLogits calls it, None where it has no coefficients."""

    name: str
    title: str
    aliases: tuple[str, ...]
    model: str | None
    known: str
    unknown: str
    source: str
    url: str
    date: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity of a fact, in `unit`, from `low` to `high`, which are alike if nobody says."""

    what: str
    low: float
    high: float
    unit: str
    about: str
    leaves_out: str
    source: str
    url: str
    date: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What others found out about something else than a video."""

    name: str
    title: str
    aliases: tuple[str, ...]
    quantities: tuple[Quantity, ...]


@cache
def systems() -> tuple[System, ...]:
    """All of them, as they stand in the data file."""
    return tuple(
        System(
            **{k: v for k, v in row.items() if k not in ("aliases", "model")},
            aliases=tuple(row["aliases"].split("|")),
            model=row["model"] or None,
        )
        for row in _rows("closed_systems")
    )


@cache
def facts() -> tuple[Fact, ...]:
    """All of them, as they stand in the data file."""
    rows = _rows("context")
    found = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        aliases = tuple(a for row in own for a in row["aliases"].split("|") if a)
        quantities = tuple(_quantity(row) for row in own)
        found.append(Fact(name, own[0]["title"], aliases, quantities))
    return tuple(found)


def find(name: str) -> System | Fact:
    """What a person means. Raises NoEstimate with near names for what is unknown."""
    every: tuple[System | Fact, ...] = (*systems(), *facts())
    for one in every:
        if _plain(name) in map(_plain, (one.name, one.title, *one.aliases)):
            return one
    names = {n: one.name for one in every for n in (one.name, *one.aliases)}
    close = difflib.get_close_matches(name.strip().lower(), names, 2 * MOST_NEAR, 0.6)
    near = list(dict.fromkeys(names[n] for n in close))[:MOST_NEAR]
    there_are = f"did you mean {' or '.join(near)}?" if near else "see vidmeter estimate --list"
    raise NoEstimate(f"nothing is known of {name!r}: {there_are}")


def _rows(name: str) -> list[dict[str, str]]:
    with (_DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _quantity(row: dict[str, str]) -> Quantity:
    words = {k: v for k, v in row.items() if k not in ("name", "title", "aliases", "low", "high")}
    return Quantity(low=float(row["low"]), high=float(row["high"]), **words)


def _plain(name: str) -> str:
    """A name as it is compared: `Veo 3` is `veo-3` is `veo3`."""
    return re.sub(r"[\s_()-]+", "", name.lower())
