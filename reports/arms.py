"""What a bench measured, arm by arm: runs put together by what they are a repeat of.

What that is stands in a run's `workload`. The figure that an arm answers with follows from its
task. Arms stay in the order in which they were asked for; nothing is ranked here.
"""

from collections.abc import Mapping, Sequence

from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports.arm import Arm, Repeat
from vidmeter.reports.likeness import settings

PER_CLIP = "j_per_clip"
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


def arm_of(label: str, pairs: Sequence[tuple[Run, Summary]]) -> Arm:
    """One arm of these runs, whatever they are: each that isn't of a bench is its own process."""
    ordered = sorted(pairs, key=lambda pair: pair[1].started_real_ns or 0)
    return _arm(label, [_repeat(run, summary, n) for n, (run, summary) in enumerate(ordered, 1)])


def _arm(label: str, repeats: Sequence[Repeat]) -> Arm:
    ordered = tuple(sorted(repeats, key=lambda r: (r.block, r.number)))
    facts = ordered[0].facts
    task = facts.get("task") or _task_seen(ordered)
    headline, unit = HEADLINES.get(task, HEADLINES["command"])
    if "task" not in facts and task == "command":
        headline, unit = _figure_seen(ordered)
    if not any(headline in r.per_unit for r in ordered):
        headline, unit = HEADLINES["command"]
    said = (facts.get("facts") or {}).get("weights")
    return Arm(
        label=label,
        task=task,
        workload=facts.get("workload"),
        weights=str(said) if said is not None else None,
        settings=settings(ordered[0].run),
        headline=headline,
        unit=unit,
        repeats=ordered,
    )


def _task_seen(repeats: Sequence[Repeat]) -> str:
    """What a command that doesn't say so was for, going by what all of its runs made."""
    for task, (headline, _) in HEADLINES.items():
        if all(headline in r.per_unit for r in repeats if r.energy_j is not None):
            return task
    return "command"


def _figure_seen(repeats: Sequence[Repeat]) -> tuple[str, str]:
    """The figure of runs that produced something else: per unit of it, if all did and it is one.

    Clips are such a unit where nobody says how long they are.
    """
    known = [r for r in repeats if r.energy_j is not None]
    of_each = [{*_other_units(r.summary), *({PER_CLIP} & r.per_unit.keys())} for r in known]
    units = set(of_each[0]).intersection(*of_each) if of_each else set()
    if len(units) != 1:
        return HEADLINES["command"]
    (name,) = units
    return name, f"J per {name.removeprefix('j_per_').replace('_', ' ')}"


def _other_units(summary: Summary) -> dict[str, float]:
    """Joules for each unit of work that isn't video, by name."""
    of_video = {"j_per_video_second", "wh_per_clip", "j_per_frame", "j_per_megapixel_frame"}
    return {
        name: unit.value
        for name, unit in summary.per_unit.items()
        if name not in of_video and unit.value is not None
    }


def _repeat(run: Run, summary: Summary, n: int = 1) -> Repeat:
    """`n` is its place where the run doesn't know that."""
    facts = run.workload or {}
    energy_j = summary.total.energy_j
    return Repeat(
        block=int(facts.get("block") or n),
        round=int(facts.get("round") or n),
        number=int(facts.get("repeat") or n),
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
        "j_per_output_token": work.get("output_tokens") or summary.work.units.get("output_tokens"),
        "j_per_input_token": work.get("input_tokens") or summary.work.units.get("input_tokens"),
    }
    found = {name: energy_j / count for name, count in units.items() if count}
    found |= {"wh_per_clip": energy_j / 3600 / clips} if clips else {}
    found |= {PER_CLIP: energy_j / clips} if clips and not seconds else {}
    return _other_units(summary) | found
