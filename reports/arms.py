"""What a bench measured, arm by arm: runs put together by what they are a repeat of.

What that is stands in a run's `workload`. The figure that an arm answers with follows from its
task. Arms stay in the order in which they were asked for; nothing is ranked here.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from vidmeter.meter.comparing import Comparison, paired
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports.arm import Arm, Repeat

HEADLINES = {
    "text-to-video": ("j_per_video_second", "J per second of video"),
    "language": ("j_per_output_token", "J per output token"),
    "command": ("j_per_run", "J per run"),
}
"""By task: the name of the figure that it is judged by, and its unit in words."""


def arms(pairs: Sequence[tuple[Run, Summary]]) -> list[Arm]:
    """Runs put together by arm, arms in the order in which they come; others are left out."""
    groups: dict[str, list[Repeat]] = {}
    for run, summary in pairs:
        if run.workload and "arm" in run.workload:
            groups.setdefault(run.workload["arm"], []).append(_repeat(run, summary))
    return [_arm(label, repeats) for label, repeats in groups.items()]


def compared(a: Arm, b: Arm) -> Comparison | None:
    """B against A, round by round; None where they can't be compared.

    They can't where they answer with different figures or stand on readings of different
    provenance, and where no round has a positive figure of both.
    """
    if a.headline != b.headline or a.provenance is not b.provenance:
        return None
    one, other = _by_round(a), _by_round(b)
    rounds = [(one[n], other[n]) for n in sorted(one.keys() & other.keys())]
    positive = [pair for pair in rounds if min(pair) > 0]
    return paired(positive) if positive else None


def _by_round(arm: Arm) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for repeat in arm.known:
        found.setdefault(repeat.round, []).append(repeat.per_unit[arm.headline])
    return {number: fmean(values) for number, values in found.items()}


def _arm(label: str, repeats: Sequence[Repeat]) -> Arm:
    ordered = tuple(sorted(repeats, key=lambda r: (r.block, r.number)))
    facts = ordered[0].facts
    task = facts.get("task") or "command"
    headline, unit = HEADLINES.get(task, HEADLINES["command"])
    if not any(headline in r.per_unit for r in ordered):
        headline, unit = HEADLINES["command"]
    said = (facts.get("facts") or {}).get("weights")
    return Arm(
        label=label,
        task=task,
        workload=facts.get("workload"),
        weights=str(said) if said is not None else None,
        settings=facts.get("settings") or {},
        headline=headline,
        unit=unit,
        repeats=ordered,
    )


def _repeat(run: Run, summary: Summary) -> Repeat:
    facts = run.workload or {}
    energy_j = summary.total.energy_j
    return Repeat(
        block=int(facts.get("block") or 1),
        round=int(facts.get("round") or 1),
        number=int(facts.get("repeat") or 1),
        seconds=summary.duration_s,
        energy_j=energy_j,
        per_unit=_per_unit(energy_j, facts.get("work") or {}, summary),
        run=run,
        summary=summary,
    )


def _per_unit(
    energy_j: float | None, work: Mapping[str, float], summary: Summary
) -> dict[str, float]:
    """Joules for each unit, by what the workload says it made; a command's, by what was seen."""
    if energy_j is None:
        return {}
    seconds = work.get("video_seconds") or summary.work.video_seconds
    clips = work.get("videos") or summary.work.clips or (1 if work.get("video_seconds") else None)
    units = {
        "j_per_run": 1.0,
        "j_per_video_second": seconds,
        "j_per_output_token": work.get("output_tokens"),
        "j_per_input_token": work.get("input_tokens"),
    }
    found = {name: energy_j / count for name, count in units.items() if count}
    return found | ({"wh_per_clip": energy_j / 3600 / clips} if clips else {})
