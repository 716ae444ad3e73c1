"""The doubts about an arm: those of its repeats, each said once, and those about all of them."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vidmeter.meter.summary import Caution
from vidmeter.reports.arm import Arm
from vidmeter.reports.peaks import implausible

_NUMBERS = re.compile(r"\d+(?:[.,\u202f ]\d+)*")
_STATED_ABOVE = {"simulated"}
_VARIED = {"seed", "prompt"}
"""Settings that a protocol varies from repeat to repeat."""
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
    """A doubt about one or more arms, and which ones in how many repeats."""

    text: str
    remedy: str | None
    about: str


def together(arms: Sequence[Arm]) -> list[Told]:
    """Each doubt once, with the arms that it is about where it isn't about all of them."""
    held: dict[tuple[str, str | None], list[tuple[Arm, Doubt]]] = {}
    for arm in arms:
        for doubt in doubts(arm):
            held.setdefault((doubt.text, doubt.remedy), []).append((arm, doubt))
    found = []
    for (text, remedy), of in held.items():
        whose = [arm.label for arm, _ in of] if len(arms) != len(of) else []
        where = [d.where for _, d in of if d.where and d.repeats != d.of]
        found.append(Told(text, remedy, "; ".join([*whose, *dict.fromkeys(where)])))
    return found


def doubts(arm: Arm) -> list[Doubt]:
    """All of them, those about the whole arm first."""
    n = len(arm.repeats)
    return [Doubt(*caution, None, n) for caution in _of_all(arm)] + _of_repeats(arm)


def _of_all(arm: Arm) -> Iterator[Caution]:
    unlike = list(_unlike(arm))
    if unlike:
        text = f"its runs aren't of one kind, their mean mixes {'; '.join(unlike)}"
        yield Caution("mixed", text, f"tell them apart: --by {unlike[0].partition(':')[0]}")
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
    facts = [r.facts for r in arm.repeats]
    totals = [(r.summary.devices, r.summary.total.devices) for r in arm.repeats]
    devices = [
        ", ".join(e.device.name for e in all_of_it if e.device.uuid in counted)
        for all_of_it, counted in totals
    ]
    told = {
        "workload": [str(f.get("workload") or "") for f in facts],
        "weights": [str((f.get("facts") or {}).get("weights") or "") for f in facts],
        "device": devices,
    }
    settings = [dict(f.get("settings") or {}) for f in facts]
    for name in dict.fromkeys(name for s in settings for name in s if name not in _VARIED):
        told.setdefault(name, [str(s.get(name, "")) for s in settings])
    for name, values in told.items():
        found = list(dict.fromkeys(values))
        if len(found) > 1:
            more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
            yield f"{name}: {', '.join(v or 'none' for v in found[:_MOST_NAMED])}{more}"


def _of_repeats(arm: Arm) -> list[Doubt]:
    """Cautions of the repeats; those that differ by nothing but numbers are one."""
    found: dict[tuple[str, str], tuple[Caution, set[int]]] = {}
    for repeat in arm.repeats:
        for caution in repeat.summary.cautions:
            if caution.kind not in _STATED_ABOVE:
                key = caution.kind, _NUMBERS.sub("#", caution.text)
                found.setdefault(key, (caution, set()))[1].add(repeat.number)
    n = len(arm.repeats)
    return [Doubt(*caution, len(numbers), n) for caution, numbers in found.values()]
