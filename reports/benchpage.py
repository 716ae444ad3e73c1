"""A bench as one HTML file that needs nothing else: no network, no font, no script.

It answers first (the comparison, then each arm with its interval), then shows every repeat, then
says how it was measured. Pages of single repeats are linked where the caller says they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from vidmeter.meter.device import Provenance
from vidmeter.reports import bars, likeness, page
from vidmeter.reports import benchwords as words
from vidmeter.reports.arm import Arm
from vidmeter.reports.comparison import Compared
from vidmeter.reports.doubts import together
from vidmeter.reports.format import NONE, digits, seconds, watts
from vidmeter.reports.htmlpage import stylesheet, templates
from vidmeter.reports.published import Published, comparable, job_of_arm
from vidmeter.reports.strip import picture, some

_RANDOM = (
    "RANDOM WEIGHTS",
    "The true architecture at work, but not a trained model; never to be ranked with trained ones",
)


MOST_IN_TITLE = 3


class Answer(NamedTuple):
    """What stands of one arm at the top of the page."""

    place: int
    arm: Arm
    marks: list[str]
    number: str
    unit: str
    interval: str
    wide: str
    lines: list[list[str]]
    link: str | None


class Verdict(NamedTuple):
    """A comparison in a sentence, what has to be known beside it, and where the difference is."""

    text: str
    notes: list[str]
    unlike: list[str]
    a: str
    b: str
    unit: str
    phases: list[tuple[str, str, str, str, str]]


class Block(NamedTuple):
    """Published figures beside one arm."""

    label: str
    unit: str
    rows: tuple[Published, ...]


def render(
    arms: Sequence[Arm],
    comparisons: Sequence[Compared] = (),
    *,
    links: Mapping[str, str] | None = None,
) -> str:
    """The page; `links` are relative addresses of pages of single repeats, by the arm's label."""
    verdicts = [_verdict(n, c) for n, c in enumerate(comparisons, 1)]
    places = {arm.label: n for n, arm in enumerate(arms)}
    drawn = [picture(group) for group in words.together(arms)]
    return (
        templates()
        .get_template("bench.html")
        .render(
            kind="benchmark" if all(_of_bench(arm) for arm in arms) else "comparison",
            title=_title(arms, compared=bool(verdicts)),
            started=_started(arms),
            about=_about(arms),
            devices=list(dict.fromkeys(n for arm in arms for n in arm.device_names)),
            marks=_marks(arms),
            verdicts=verdicts,
            letters=words.letters,
            some=some,
            arms=[_answer(i, arm, (links or {}).get(arm.label)) for i, arm in enumerate(arms)],
            doubts=together(arms),
            bars=[b for group in words.together(arms) if (b := bars.bars(group, places))],
            planes=[p for group in words.together(arms) for p in _planes(group, places)],
            pictures=[p for p in drawn if p],
            published=[p for arm in arms if (p := _published(arm))],
            facts=list(_facts(arms)),
            units=", ".join(dict.fromkeys(arm.unit for arm in arms)),
            style=Markup(stylesheet("bench.css")),
        )
    )


def _of_bench(arm: Arm) -> bool:
    return bool(arm.middle.facts.get("arm"))


def _verdict(n: int, c: Compared) -> Verdict:
    a, b = words.letters(0), words.letters(n)
    return Verdict(
        text=words.sentence_of(c, a=a, b=b),
        notes=words.seen_notes(c, a=a, b=b),
        unlike=words.unlike_notes(c, a=a, b=b),
        a=a,
        b=b,
        unit=c.a.unit,
        phases=[words.phase_words(phase) for phase in words.phases_told(c)],
    )


def _planes(arms: Sequence[Arm], places: Mapping[str, int]) -> list[bars.Plane]:
    plane = bars.frontier(arms, places)
    return ([plane] if plane else []) + bars.settings(arms, places)


def _title(arms: Sequence[Arm], *, compared: bool) -> str:
    labels = [arm.label for arm in arms]
    if len(arms) > MOST_IN_TITLE:
        labels = [labels[0], f"{len(arms) - 1} others"]
    text = (" against " if compared and len(labels) == 2 else ", ").join(labels)
    return text if len(text) <= 200 else f"{text[:197]}…"


def _started(arms: Sequence[Arm]) -> str | None:
    found = [r.summary for arm in arms for r in arm.repeats if r.summary.started_real_ns]
    return page.started(min(found, key=lambda s: s.started_real_ns or 0)) if found else None


def _about(arms: Sequence[Arm]) -> str:
    n = sum(len(arm.repeats) for arm in arms)
    return f"{n} repeat{'s' * (n != 1)}, {seconds(sum(r.seconds for a in arms for r in a.repeats))}"


def _marks(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """What can't be overlooked, once for all arms."""
    found = list(dict.fromkeys(m for arm in arms for m in page.marks(arm.middle.summary)))
    if arms and all(arm.weights == "random" for arm in arms):
        found.append(_RANDOM)
    return found


def _answer(place: int, arm: Arm, link: str | None) -> Answer:
    found = arm.estimate
    interval = ""
    if found is not None and found.low is not None and found.high is not None:
        ends = f"{digits(max(found.low, 0.0))} to {digits(found.high)}"  # no energy is below 0
        interval = f"{ends}, {words.interval_words(found)}"
        interval = interval.replace("(95 %, ", "(over ")
    lines = [
        words.more_words(arm),
        words.operation_words(arm),
        words.idle_words(arm),
        [words.repeats_words(arm)],
    ]
    return Answer(
        place=place,
        arm=arm,
        marks=words.marks(arm),
        number=digits(found.mean) if found else NONE,
        unit=arm.unit if found else "energy unknown",
        interval=interval,
        wide=words.wide_words(arm),
        lines=[line for line in lines if line],
        link=link,
    )


def _published(arm: Arm) -> Block | None:
    """The table of what others published of the same job or similar ones."""
    rows = comparable(job_of_arm(arm)).rows
    if not rows:
        return None
    return Block(f"{arm.workload}{words.trained_words(arm)}", arm.unit, rows)


def _facts(arms: Sequence[Arm]) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table with a column for each arm: protocol, settings, what was used."""
    rows: dict[str, list[str]] = {}
    for i, arm in enumerate(arms):
        for name, value in _facts_of(arm).items():
            rows.setdefault(name, [""] * len(arms))[i] = value
    for name, values in rows.items():
        if any(values):
            yield name, values


def _facts_of(arm: Arm) -> dict[str, str]:
    protocol, facts = arm.protocol, arm.facts
    total = arm.middle.summary.total
    steady = {True: "yes", False: f"no: {protocol['unsteady'] or 'still changing'}", None: ""}
    warm = f", {seconds(protocol['warmup_s'])} in all" if protocol["warmup_s"] else ""
    told = arm.task != "command" and any("protocol" in r.facts for r in arm.repeats)
    found = {
        "device": _times(arm),
        "read from": total.source or "",
        "provenance": "" if arm.provenance in (None, Provenance.MEASURED) else str(arm.provenance),
        "coverage": f"{min(r.summary.total.coverage for r in arm.repeats) * 100:.4g} % at least",
        "processes": str(len({r.block for r in arm.repeats})),
        "warm-ups of each": f"{protocol['warmups']}{warm}" if told else "",
        "steady": steady[protocol["steady"]],
        "idle without the program": _watts(protocol["idle_w"]["no_context"]),
        "idle, loaded": _watts(protocol["idle_w"]["loaded"]),
        "idle, after": _watts(protocol["idle_w"]["after"]),
        "weights": arm.weights or "",
    }
    found |= {k: str(v) for k, v in arm.settings.items() if v not in (None, "") and k != "weights"}
    alike = likeness.fields(arm.middle.run, arm.middle.summary)
    found |= {
        k: alike[k]
        for k in ("fps", "driver", "power limit", "machine")
        if alike[k] != likeness.NONE
    }
    asked = ("pipeline", "scheduler", "attention_backend", "device_name", "steps_run")
    found |= {k.replace("_", " "): str(facts[k]) for k in asked if facts.get(k) is not None}
    versions: Mapping[str, str] = facts.get("versions") or {}
    found["versions"] = ", ".join(f"{name} {v}" for name, v in versions.items())
    return found


def _times(arm: Arm) -> str:
    many = f" ({arm.device_count} devices)" if arm.device_count > 1 else ""
    return ", ".join(arm.device_names) + many


def _watts(value: float | None) -> str:
    return "" if value is None else watts(value)
