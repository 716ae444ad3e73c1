"""Published energies beside one's own: which are of the same job, and which only resemble it.

The figures stand in data/published_energy.csv, each with its source, what was counted (`scope`),
how, and whether it was read in the source itself (`read`) or quoted by others (`secondary`). J per
second of video are for the model's own frame rate, whatever rate a source plays its videos at.

Two figures are of the same job only if model, resolution, frames, steps, batch, number of GPUs and
scope are alike; card and software always differ more or less, and are named. Everything else is
shown as similar, with what differs. Nothing is held against a tiny version of a model, nor against
energy that wasn't measured on GPUs.

The model of a script that nobody described is known by its architecture: the class of its pipeline
and the exact number of its denoiser's parameters (data/architectures.csv). Where that is none of
the known ones, other models stand beside it, at the same resolution only.
"""

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vidmeter.meter.device import Kind, Provenance
from vidmeter.meter.run import Run
from vidmeter.meter.summary import PhaseSummary, Summary
from vidmeter.reports.likeness import is_call

if TYPE_CHECKING:
    from vidmeter.reports.arm import Arm

GPU_ONLY = "GPU only"
MOST_SIMILAR = 4
TINY = "-tiny"
_DATA = Path(__file__).with_name("data")
_VIDEO = "text-to-video"
_NEARLY = 0.99
_WITH_ALL_ELSE = "here all of the run is counted, also loading and whatever else it did"
_MADE = ("height", "width", "frames", "steps", "batch")


class Job(NamedTuple):
    """What decides whether a published figure is of the same: `models` are the names it may have.

    `value` is its figure, in J per second of video or per output token as `headline` says. None is
    unknown. Published figures are of generating alone: so is `value`, and `part` names the phase
    where it isn't all of the run; `besides` says in words what else is in it.
    """

    models: frozenset[str]
    task: str
    headline: str
    value: float
    gpus: int
    height: int | None = None
    width: int | None = None
    frames: int | None = None
    steps: int | None = None
    batch: int | None = 1
    part: str = ""
    besides: str = ""


class Published(NamedTuple):
    """A published figure; `value` is in the unit of the arm that it stands beside.

    `differs` says in words what isn't alike; empty for the same job. `about` names card and stack.
    """

    id: str
    system: str
    value: float
    differs: tuple[str, ...]
    about: str
    method: str
    scope: str
    source: str
    url: str
    date: str
    confidence: str

    @property
    def likeness(self) -> str:
        """Whether it is of the same job, in a few words."""
        if not self.differs:
            return "same model, size, frames and steps"
        return f"similar, not the same: {', '.join(self.differs)}"


class Comparable(NamedTuple):
    """What was published of the same job, and of similar ones, the most alike first."""

    same: tuple[Published, ...]
    similar: tuple[Published, ...]

    @property
    def rows(self) -> tuple[Published, ...]:
        """All of them, the same job first."""
        return self.same + self.similar


NOTHING = Comparable((), ())


def comparable(job: Job | None) -> Comparable:
    """The published figures that say something about a job."""
    if job is None:
        return NOTHING
    rows = [
        _published(row, value, tuple(_differences(job, row)))
        for row in published()
        if row["task"] == job.task and _alike(job, row) and (value := _value(job, row))
    ]
    same = tuple(row for row in rows if not row.differs)
    similar = sorted((row for row in rows if row.differs), key=lambda row: len(row.differs))
    return Comparable(same, tuple(similar[:MOST_SIMILAR]))


def job_of_arm(arm: "Arm") -> Job | None:
    """What an arm did; None where nothing is to be held against it."""
    name = (arm.workload or "").lower()
    if not name or name.endswith(TINY) or not arm.gpus_only:
        return None
    if arm.provenance is not Provenance.MEASURED or arm.estimate is None:
        return None
    value, made = arm.estimate.mean, _made(arm.settings, arm.facts)
    return Job(frozenset({name}), arm.task, arm.headline, value, arm.device_count, **made)


def job_of_run(run: Run, summary: Summary) -> Job | None:
    """What a run did, as its workload or the calls of its pipelines tell, if those are alike."""
    figure = summary.per_unit.get("j_per_video_second")
    total = summary.total
    counted = [e.device.kind for e in summary.devices if e.device.uuid in total.devices]
    if figure is None or figure.value is None or set(counted) != {Kind.GPU}:
        return None
    if total.provenance is not Provenance.MEASURED:
        return None
    told = run.workload or {}
    name = str(told.get("workload") or "").lower()
    if name.endswith(TINY):
        return None
    if name:
        models, made = frozenset({name}), _made(told.get("settings") or {}, told.get("facts") or {})
        return Job(models, _VIDEO, "j_per_video_second", figure.value, len(counted), **made)
    models, made = _seen(run)
    value, part = _generating(summary) or (figure.value, "")
    besides = "" if part or _all_of_it(summary) else _WITH_ALL_ELSE
    return Job(
        models,
        _VIDEO,
        "j_per_video_second",
        value,
        len(counted),
        part=part,
        besides=besides,
        **made,
    )


def _calls(summary: Summary) -> list[PhaseSummary]:
    """The phases of pipelines' calls."""
    return [p for p in summary.phases if "class" in p.facts and "steps" in p.facts]


def _all_of_it(summary: Summary) -> bool:
    """Whether next to nothing was done but to generate."""
    return sum(p.total.energy_j or 0.0 for p in _calls(summary)) >= _NEARLY * (
        summary.total.energy_j or 0.0
    )


def _generating(summary: Summary) -> tuple[float, str] | None:
    """J per second of video of pipelines' calls, and their phase; None where that isn't known."""
    calls, seconds = _calls(summary), summary.work.video_seconds
    known = [p.total.energy_j for p in calls if p.total.energy_j is not None]
    if not calls or len(known) < len(calls) or not seconds or _all_of_it(summary):
        return None
    return sum(known) / seconds, " and ".join(dict.fromkeys(p.path[-1] for p in calls))


def _made(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a workload was told to make, in as many steps as it ran."""
    sizes = {k: settings.get(k) for k in ("height", "width", "frames")}
    steps = facts.get("steps_run") or settings.get("steps")
    return {**sizes, "steps": steps, "batch": settings.get("batch", 1)}


def _seen(run: Run) -> tuple[frozenset[str], dict[str, Any]]:
    """What the hook saw pipelines make, and of which models they may be; of unlike calls nothing.

    Without a call, the size is that of the videos.
    """
    calls = [p.facts for p in run.phases if is_call(p)]
    made = [{k: call.get(k) for k in _MADE} for call in calls]
    if not calls:
        sizes = {(w.height, w.width) for w in run.work if w.unit == "video"}
        size = sizes.pop() if len(sizes) == 1 else (None, None)
        return frozenset(), dict(zip(_MADE, size, strict=False))
    kinds = {(call["class"], str(call["parameters"])) for call in calls}
    if len(kinds) > 1 or any(m != made[0] for m in made):
        return frozenset(), {}
    # Two experts take turns in one pipeline, each with as many parameters as the only one has.
    experts = {p.facts["model"] for p in run.phases if p.name == "step" and "model" in p.facts}
    wanted = (*kinds.pop(), str(max(len(experts), 1)))
    known = frozenset(
        row["model"]
        for row in _table("architectures")
        if (row["pipeline"], row["denoiser_parameters"], row["denoisers"]) == wanted
    )
    return known, made[0]


def published() -> tuple[dict[str, str], ...]:
    """All published figures, as they stand in the data file; what is unknown is empty."""
    return _table("published_energy")


@cache
def _table(name: str) -> tuple[dict[str, str], ...]:
    with (_DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _alike(job: Job, row: dict[str, str]) -> bool:
    """Whether a figure says anything about a job: of the same model, or of any at its size."""
    if job.models:
        return row["model"] in job.models
    size = (_whole(job.height), _whole(job.width))
    return None not in size and row["scope"] == GPU_ONLY and (row["height"], row["width"]) == size


def _value(job: Job, row: dict[str, str]) -> float | None:
    """The figure in the job's own unit; None where it can't be had."""
    if job.headline == "j_per_video_second":
        return float(row["j_per_video_second"]) if row["j_per_video_second"] else None
    if job.headline == "j_per_output_token" and row["per"] == "output token":
        return float(row["value_j"])
    return None


def _differences(job: Job, row: dict[str, str]) -> Iterator[str]:
    """What isn't alike, each in words; what one side doesn't say counts as different."""
    if not job.models:
        yield f"another model, {row['system']}"
    if job.besides:
        yield job.besides
    if row["scope"] != GPU_ONLY:
        yield f"counted: {row['scope']}"
    if row["gpus"] != str(job.gpus):
        yield f"{row['gpus'] or 'unknown number of'} GPUs"
    if job.task == "language":
        yield f"a loaded server, up to {row['batch']} requests at once"
        return
    size = (_whole(job.height), _whole(job.width))
    if None in size or (row["height"], row["width"]) != size:
        yield f"{row['width'] or '?'}×{row['height'] or '?'}"
    for name, mine in (("frames", job.frames), ("steps", job.steps)):
        if row[name] != _whole(mine):
            yield f"{row[name] or 'unknown'} {name}"
    if row["batch"] != _whole(job.batch):
        yield f"batch {row['batch'] or 'unknown'}"
    if row["settings"] and row["gpus"] == "1":
        yield row["settings"]


def _whole(value: Any) -> str | None:
    return None if value is None else str(value)


def _published(row: dict[str, str], value: float, differs: tuple[str, ...]) -> Published:
    about = ", ".join(part for part in (row["hardware"], row["stack"]) if part)
    return Published(
        id=row["id"],
        system=row["system"],
        value=value,
        differs=differs,
        about=about,
        **{k: row[k] for k in ("method", "scope", "source", "url", "date", "confidence")},
    )
