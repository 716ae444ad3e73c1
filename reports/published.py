"""Published energies beside measured ones: truly comparable, or plainly similar and not the same.

The rows (data/published_energy.csv) are measurements of GPUs by others, each with its hardware,
method, source and how it was read: `read` in the primary data, `secondary` as quoted by somebody.
Seconds of video are frames over the model's native rate, whatever rate a source assumed. A row is
the same as an arm if model, resolution, frames, steps, batch and the number of GPUs are; the card
and the software differ nearly always, so they are named with every row.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vidmeter.meter.device import Kind, Provenance
from vidmeter.reports.arms import Arm
from vidmeter.reports.format import digits

LIKE = ("height", "width", "frames", "steps", "batch")
"""The settings that have to agree."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published energy of one clip, GPU only; `settings` as far as the source tells them."""

    workload: str
    system: str
    hardware: str
    gpus: int
    settings: dict[str, int]
    energy_j: float
    j_per_video_second: float | None
    method: str
    source: str
    locator: str
    date: str
    confidence: str

    def words(self) -> str:
        """The row in a line: the value, where it was measured and who says so."""
        value = "–" if self.j_per_video_second is None else digits(self.j_per_video_second)
        quoted = "" if self.confidence == "read" else ", quoted second-hand"
        return f"{value} J/s, {self.hardware}, {self.method} ({self.source}{quoted})"


@dataclass(frozen=True, slots=True)
class Beside:
    """A published row beside an arm; `differs` is empty if they are truly comparable."""

    row: Published
    differs: tuple[str, ...]

    def words(self) -> str:
        """The row in a line, and whether it may be compared."""
        if not self.differs:
            return f"published: {self.row.words()}"
        return f"similar, not the same ({'; '.join(self.differs)}): {self.row.words()}"


def beside(arm: Arm, most: int = 4) -> list[Beside]:
    """The published rows of an arm's model, the comparable ones first, then the most alike.

    None for what wasn't measured on a GPU of one's own, or is no released model.
    """
    if arm.workload is None or arm.provenance is not Provenance.MEASURED:
        return []
    found = [Beside(row, _differs(row, arm)) for row in published() if row.workload == arm.workload]
    return sorted(found, key=lambda b: len(b.differs))[:most]


@cache
def published() -> tuple[Published, ...]:
    """Every published row."""
    text = (files("vidmeter.reports") / "data" / "published_energy.csv").read_text("utf-8")
    return tuple(_row(row) for row in csv.DictReader(text.splitlines()))


def _row(row: dict[str, str]) -> Published:
    rate = row["j_per_video_second"]
    return Published(
        workload=row["workload"],
        system=row["system"],
        hardware=row["hardware"],
        gpus=int(row["gpus"] or 1),
        settings={key: int(row[key]) for key in LIKE if row[key]},
        energy_j=float(row["energy_j"]),
        j_per_video_second=float(rate) if rate else None,
        method=row["method"],
        source=row["source"],
        locator=row["locator"],
        date=row["date"],
        confidence=row["confidence"],
    )


def _differs(row: Published, arm: Arm) -> tuple[str, ...]:
    """What stands in the way of comparing, as `frames 49, not 81`."""
    found = []
    for key in LIKE:
        ours, theirs = arm.settings.get(key), row.settings.get(key)
        if theirs is None:
            found.append(f"{key} not stated")
        elif ours != theirs:
            found.append(f"{key} {theirs}, not {ours}")
    gpus = sum(kind is Kind.GPU for kind in arm.device_kinds())
    if row.gpus != gpus:
        found.append(f"{row.gpus} GPU{'s' if row.gpus > 1 else ''}, not {gpus}")
    if any(kind is not Kind.GPU for kind in arm.device_kinds()):
        found.append("of the GPU alone")
    return tuple(found)
