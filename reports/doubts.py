"""The doubts about an arm: those of its repeats, each said once, and those about all of them."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vidmeter.meter.summary import Caution
from vidmeter.reports import shared
from vidmeter.reports.arm import Arm
from vidmeter.reports.likeness import NONE, VARIED, fields
from vidmeter.reports.likeness import cards as cards_of
from vidmeter.reports.peaks import implausible

_NUMBERS = re.compile(r"\d+(?:[.,\u202f ]\d+)*")
_STATED_ABOVE = {"simulated"}
_GRAVE = {
    "mixed", "differs", "unsteady", "unknown", "implausible", "failed", "unfinished", "not_trusted",
    "coverage", "incomplete", "foreign_process", "mig", "mps", "vgpu", "work_disagrees",
}  # fmt: skip
"""Doubts that may make a result another, also where all repeats share them."""
_OF_THE_METER = {"absent", "modelled", "no_gpu", "random_weights", "imported"}
"""What a run's first lines say of what it could be measured with."""
_MOST_NAMED = 3
MOST_OUTLIERS = 5


class Doubt(NamedTuple):
    """A caution, and in how many of how many repeats it was raised; None if it is of all."""

    kind: str
    text: str
    remedy: str | None
    repeats: int | None
    of: int

    @property
    def where(self) -> str:
        """`in 3 of 5 repeats`; empty if it is about all."""
        if self.repeats is None or self.of == 1:
            return ""
        return f"in {self.repeats} of {self.of} repeats"


class Told(NamedTuple):
    """A doubt about one or more arms, and which ones in how many repeats.

    `first` says that it is to be read before the numbers: it bears on some of the repeats and not
    on all alike, or it may make the result another.
    """

    text: str
    remedy: str | None
    about: str
    first: bool


def together(arms: Sequence[Arm]) -> list[Told]:
    """Each doubt once, with the arms that it is about where it isn't about all of them."""
    held: dict[tuple[str, str | None], list[tuple[Arm, Doubt]]] = {}
    for arm in arms:
        for doubt in doubts(arm):
            held.setdefault((doubt.text, doubt.remedy), []).append((arm, doubt))
    found = [Told(c.text, c.remedy, "", first=True) for c in of_comparison(arms)]
    for (text, remedy), of in held.items():
        whose = [arm.label for arm, _ in of] if len(arms) != len(of) else []
        where = [d.where for _, d in of if d.where and d.repeats != d.of]
        about = "; ".join([*whose, *dict.fromkeys(where)])
        kinds = {doubt.kind for _, doubt in of}
        first = bool(kinds & _GRAVE or (about and not kinds & _OF_THE_METER))
        found.append(Told(text, remedy, about, first))
    return found


def of_comparison(arms: Sequence[Arm]) -> Iterator[Caution]:
    """Doubts about the arms' being held against each other: runs that stand on both sides."""
    whose = Counter(id_ for arm in arms for id_ in {r.run.id for r in arm.repeats})
    twice = sum(n > 1 for n in whose.values())
    if twice:
        runs, selves = ("run is", "itself") if twice == 1 else ("runs are", "themselves")
        text = f"{twice} {runs} in more than one group, and so held against {selves}"
        yield Caution("in_several", text, "name each run once")


def doubts(arm: Arm) -> list[Doubt]:
    """All of them, those about the whole arm first."""
    n = len(arm.repeats)
    return [Doubt(*caution, None, n) for caution in _of_all(arm)] + _of_repeats(arm)


def _of_all(arm: Arm) -> Iterator[Caution]:
    unlike = list(_unlike(arm))
    if unlike:
        text = f"its runs aren't of one kind, their mean mixes {'; '.join(unlike)}"
        by = shlex.quote(unlike[0].partition(":")[0])
        yield Caution("mixed", text, f"tell them apart: --by {by}")
    differs = dict.fromkeys(text for r in arm.repeats for text in r.facts.get("differs") or ())
    for text in differs:
        yield Caution("differs", text, "state the settings that can be had, or change the packages")
    if arm.protocol["steady"] is False:
        why = arm.protocol["unsteady"] or "it still changed from minute to minute"
        yield Caution("unsteady", f"the card was not steady: {why}", "warm up longer: --steady S")
    unknown = len(arm.repeats) - len(arm.known)
    if unknown:
        yield Caution(
            "unknown",
            f"{unknown} of {len(arm.repeats)} repeats have no figure: their energy is not known",
            "make each repeat longer",
        )
    odd = implausible(arm)
    if odd is not None:
        yield odd
    far = list(arm.outliers)
    if len(far) > MOST_OUTLIERS:
        of = len(arm.repeats)
        text = f"{len(far)} of {of} repeats lie far from the others; they count all the same"
        yield Caution("outlier", text, "the CSV names them; look at what went on there")
        return
    for number in far:
        yield Caution(
            "outlier",
            f"repeat {number} lies far from the others; it counts all the same",
            "look at its report for what went on",
        )


def _unlike(arm: Arm) -> Iterator[str]:
    """What a group's runs are not alike in, by the field that would tell them apart."""
    told = [fields(r.run, r.summary) for r in arm.repeats]
    cards = {uuids for r in arm.repeats if (uuids := cards_of(r.summary))}
    for name in dict.fromkeys(name for of in told for name in of):
        found = list(dict.fromkeys(of.get(name, NONE) for of in told))
        if name in VARIED or len(found) < 2 or (name == "machine" and len(cards) == 1):
            continue
        yield f"{name}: {_some(found)}"
    if len(cards) > 1 and len({of["card"] for of in told}) == 1:
        yield f"card: {len(cards)} of one name"


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - _MOST_NAMED} more" if len(values) > _MOST_NAMED else ""
    return f"{', '.join(values[:_MOST_NAMED])}{more}"


def _of_repeats(arm: Arm) -> list[Doubt]:
    """Cautions of the repeats; those that differ by nothing but numbers are one."""
    found: dict[tuple[str, str], tuple[Caution, set[int]]] = {}
    for repeat in arm.repeats:
        for caution in shared.cautions(repeat.summary):
            if caution.kind not in _STATED_ABOVE:
                key = caution.kind, _NUMBERS.sub("#", caution.text)
                found.setdefault(key, (caution, set()))[1].add(repeat.number)
    n = len(arm.repeats)
    return [Doubt(*caution, len(numbers), n) for caution, numbers in found.values()]
