"""The numbers of a run, as values. `summarize.summarize` makes them; reports only read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vidmeter.meter.device import Device, Provenance

Spans = tuple[tuple[int, int], ...]
"""Windows of time in ns on CLOCK_MONOTONIC, ascending, none touching another."""


class Caution(NamedTuple):
    """A stated doubt about a result. `kind` is a word, `remedy` what would remove the doubt."""

    kind: str
    text: str
    remedy: str | None = None


class PerUnit(NamedTuple):
    """Energy per unit of work, with its 95 % interval; the name it is filed under has the unit."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class DeviceEnergy:
    """What one device drew in one window.

    `energy_j` is None where it can't be stated; `covered_j` is the energy of the part that was
    seen. `low_j` and `high_j` are the 95 % interval, sensor error included. `disagreement` is the
    second source's energy over the first's, less 1.
    """

    device: Device
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    covered_j: float | None
    coverage: float
    source: str | None
    mean_w: float | None
    peak_w: float | None
    second_source: str | None = None
    second_j: float | None = None
    disagreement: float | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """The sum over the devices of one provenance; None as soon as one of them is unknown.

    `source` names what the energies were computed from, joined by ` + ` where devices differ.
    """

    energy_j: float | None
    low_j: float | None
    high_j: float | None
    covered_j: float | None
    coverage: float
    source: str | None
    provenance: Provenance | None
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What a window produced, added up. None where nothing of the sort is known.

    `units` counts everything else by its unit. `origin` is that of the videos.
    """

    clips: int | None = None
    video_seconds: float | None = None
    frames: int | None = None
    megapixel_frames: float | None = None
    units: Mapping[str, float] = field(default_factory=dict)
    origin: str | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """All phases of one name at one place of the tree, together.

    `count` of them, in `windows`; those that overlap are merged, so that parallel ones aren't
    counted twice. `share` is the part of the window's total. `complete` is False when one was left
    open by a program that ended inside it; `error` names an exception that left one.
    """

    path: tuple[str, ...]
    count: int
    windows: Spans
    devices: tuple[DeviceEnergy, ...]
    total: Total
    share: float | None
    work: WorkDone
    per_unit: Mapping[str, PerUnit]
    complete: bool
    error: str | None

    @property
    def duration_s(self) -> float:
        """The time in which one of them was open, s."""
        return sum(end - start for start, end in self.windows) / 1e9


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of one run, or of one window of it.

    `unattributed_j` is the energy of the total outside every phase; None without phases.
    `workload` holds the facts of a reference workload.
    """

    run_id: str
    command: tuple[str, ...]
    start_ns: int
    end_ns: int
    started_real_ns: int | None
    devices: tuple[DeviceEnergy, ...]
    total: Total
    phases: tuple[PhaseSummary, ...]
    unattributed_j: float | None
    work: WorkDone
    per_unit: Mapping[str, PerUnit]
    cautions: tuple[Caution, ...]
    exit_code: int | None
    environment: Mapping[str, Any]
    workload: Mapping[str, Any] | None = None

    @property
    def duration_s(self) -> float:
        """The length of the window, s."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def answering(self) -> "Summary | PhaseSummary":
        """What the figures per unit of work are to be taken from.

        A reference workload answers for the phase in which it made its videos: loading and
        warming up stand outside. Any other command answers for the whole run.
        """
        if self.workload is not None:
            for phase in self.phases:
                unit = phase.per_unit.get("j_per_video_second")
                if len(phase.path) == 1 and unit and unit.value is not None:
                    return phase
        return self

    @property
    def simulated(self) -> bool:
        """Whether any of its devices is simulated."""
        return any(d.device.provenance is Provenance.SIMULATED for d in self.devices)
