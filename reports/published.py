"""Published energies beside an arm's own: which are of the same job, and which only resemble it.

The figures stand in data/published_energy.csv, each with its source, what was counted (`scope`),
how, and whether it was read in the source itself (`read`) or quoted by others (`secondary`). J per
second of video are for the model's own frame rate, whatever rate a source plays its videos at.

Two figures are of the same job only if model, resolution, frames, steps, batch, number of GPUs and
scope are alike; card and software always differ more or less, and are named. Everything else is
shown as similar, with what differs. Nothing is held against a tiny version of a model, nor against
energy that wasn't measured on GPUs.
"""

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vidmeter.meter.device import Provenance
from vidmeter.reports.arm import Arm

GPU_ONLY = "GPU only"
MOST_SIMILAR = 4
TINY = "-tiny"
_TABLE = Path(__file__).with_name("data") / "published_energy.csv"


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


def comparable(arm: Arm) -> Comparable:
    """The published figures that say something about an arm."""
    name = (arm.workload or "").lower()
    if not name or name.endswith(TINY) or not arm.gpus_only:
        return NOTHING
    if arm.provenance is not Provenance.MEASURED or arm.estimate is None:
        return NOTHING
    rows = [
        _published(row, value, tuple(_differences(arm, row)))
        for row in published()
        if row["model"] == name and row["task"] == arm.task and (value := _value(arm, row))
    ]
    same = tuple(row for row in rows if not row.differs)
    similar = sorted((row for row in rows if row.differs), key=lambda row: len(row.differs))
    return Comparable(same, tuple(similar[:MOST_SIMILAR]))


@cache
def published() -> tuple[dict[str, str], ...]:
    """All published figures, as they stand in the data file; what is unknown is empty."""
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _value(arm: Arm, row: dict[str, str]) -> float | None:
    """The figure in the arm's own unit; None where it can't be had."""
    if arm.headline == "j_per_video_second":
        return float(row["j_per_video_second"]) if row["j_per_video_second"] else None
    if arm.headline == "j_per_output_token" and row["per"] == "output token":
        return float(row["value_j"])
    return None


def _differences(arm: Arm, row: dict[str, str]) -> Iterator[str]:
    """What isn't alike, each in words; what one side doesn't say counts as different."""
    if row["scope"] != GPU_ONLY:
        yield f"counted: {row['scope']}"
    if row["gpus"] != str(arm.device_count):
        yield f"{row['gpus'] or 'unknown number of'} GPUs"
    if arm.task == "language":
        yield f"a loaded server, up to {row['batch']} requests at once"
        return
    settings = arm.settings
    size = (_whole(settings.get("height")), _whole(settings.get("width")))
    if None in size or (row["height"], row["width"]) != size:
        yield f"{row['width'] or '?'}×{row['height'] or '?'}"
    for name, word in (("frames", "frames"), ("steps", "steps")):
        mine = arm.facts.get("steps_run") if name == "steps" else None
        if row[name] != _whole(mine or settings.get(name)):
            yield f"{row[name] or 'unknown'} {word}"
    if row["batch"] != _whole(settings.get("batch", 1)):
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
