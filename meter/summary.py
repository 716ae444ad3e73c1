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


@dataclass(frozen=True)
class DeviceEnergy:
    """What one device drew in one window.

    `energy_j` is None where it can't be stated; `covered_j` is the energy of the part that was
    seen. Two errors are kept apart: `sampling_low_j` and `sampling_high_j`, how far below and above
    the readings leave the truth open (95 %), and `gain_low` to `gain_high`, the factors between
    which the sensor's own gain leaves it. `low_j` and `high_j` combine both in quadrature, with
    room for what was not seen.

    `readings` is how many of the source's readings lie in the window, `independent` how many of
    them speak of nothing but the window, each of another part of it; `resolved` is False where
    these are too few. `seen_share` is the part of the time in which the sensor looks. `raw_j` is
    the energy before calibration, None without one. `disagreement` is the second source's energy
    over the first's, less 1; `resolution` is what the edges of the window may explain of that, and
    `trusted` is False where they don't. `set_aside` are sources that can't be true, by name, and
    why.
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
    resolution: float = 0.0
    sampling_low_j: float | None = None
    sampling_high_j: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    readings: int = 0
    independent: int = 0
    resolved: bool = True
    seen_share: float | None = None
    in_step: bool = False
    """Whether the load may have kept step with a sensor that looks part of the time."""
    raw_j: float | None = None
    trusted: bool = True
    set_aside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Conditions:
    """The circumstances of one device in a window; None where nothing is known.

    `throttled` is the share of the time, 0-1, by reason; `foreign` are processes of others in
    words. `own_share_low` and `own_share_high` enclose the run's share of the card's energy where
    others were there; where it can't be stated for a reason, that is `share_refused`.
    """

    temperature_c: float | None = None
    max_temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    utilization_pct: float | None = None
    max_memory_b: float | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    throttled: Mapping[str, float] = field(default_factory=dict)
    processes_min: int | None = None
    processes_max: int | None = None
    foreign: tuple[str, ...] = ()
    own_sm_pct: float | None = None
    foreign_sm_pct: float | None = None
    own_share_low: float | None = None
    own_share_high: float | None = None
    share_refused: str | None = None
    mig: bool | None = None
    mps: bool | None = None
    persistence: bool | None = None
    ecc: bool | None = None
    virtualization: str | None = None


@dataclass(frozen=True)
class Total:
    """The sum over the devices of one provenance; None as soon as one of them is unknown.

    `source` names what the energies were computed from, joined by ` + ` where devices differ.
    `boundary` says what is in it. The devices' errors of sampling are independent and combined in
    quadrature; their gains are not, and are added end to end (`gain_low_j`, `gain_high_j`).
    """

    energy_j: float | None
    low_j: float | None
    high_j: float | None
    covered_j: float | None
    coverage: float
    source: str | None
    provenance: Provenance | None
    devices: tuple[str, ...]
    sampling_low_j: float | None = None
    sampling_high_j: float | None = None
    gain_low_j: float | None = None
    gain_high_j: float | None = None
    readings: int = 0
    boundary: str | None = None
    trusted: bool = True


class Idle(NamedTuple):
    """What a device drew while the command didn't run, W, from one window before or after it.

    `loaded` says whether a process held a context on the card meanwhile; None if unknown.
    """

    device: str
    start_ns: int
    end_ns: int
    mean_w: float | None
    low_w: float | None
    high_w: float | None
    loaded: bool | None


class Net(NamedTuple):
    """The energy of the total less what its devices draw idle, J; the gross energy stays first.

    `idle_w` is the draw that was taken off, summed over the devices; `how` names where it is from.
    """

    energy_j: float
    low_j: float
    high_j: float
    idle_w: float
    how: str


class GpuTime(NamedTuple):
    """How far phases may be misplaced on the GPUs' time, ns, and by how many anchors it is tied."""

    error_ns: int
    anchors: int


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class PhaseSummary:
    """All phases of one name at one place of the tree, together.

    `count` of them, in `windows`: the time on the GPU where it is known, else that in the program,
    with that of the phases inside; those that overlap are merged, so that parallel ones aren't
    counted twice. `share` is the part of the window's total, and `share_low` to `share_high` its
    95 % interval, in which the sensors' gain has no part. `complete` is False when one was left
    open by a program that ended inside it; `error` names an exception that left one. `resolved` is
    False where a sensor has too few readings for a number.

    `self_j` is the energy while none of the phases inside was open: these of all phases and the
    run's `unattributed_j` add up to its total, always. Of a phase that isn't resolved it is no
    measurement, but what the readings around it give. `concurrent` says that others, not inside it,
    were at work at the same time, and that its energies are even shares. `combined` says that each
    of its repeats is too short for the sensor, and its energy was found from all `count` of them
    together.

    `facts` are those that all of them share, `processes` how many processes they ran in. `on_gpu`
    says whether the GPU's own time of any is known. `host_s` is the time in which one was open in
    the program, s, and `lag_s` how much later than there it ended on the GPU, on average.

    `first_s` is the length of the first repeat, `first_j` its energy where that can be resolved,
    `rest_mean_s` the mean length of the others; None without repeats. `profile` is the mean power
    over the course of one repeat, W, in parts of equal length, None where too few readings tell.
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
    share_low: float | None = None
    share_high: float | None = None
    resolved: bool = True
    self_j: float | None = None
    concurrent: bool = False
    combined: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1
    on_gpu: bool = False
    host_s: float = 0.0
    lag_s: float | None = None
    first_s: float | None = None
    first_j: float | None = None
    rest_mean_s: float | None = None
    profile: tuple[float | None, ...] | None = None

    @property
    def duration_s(self) -> float:
        """The time in which one of them was open, s."""
        return sum(end - start for start, end in self.windows) / 1e9


@dataclass(frozen=True)
class Summary:
    """The numbers of one run, or of one window of it.

    `unattributed_j` is the energy of the total outside every phase: all of it without phases, None
    where the total is. `own_j` is what the phases of each path took by themselves; with it they add
    up to the total.
    `workload` holds the facts of a reference workload. `net` is the total less idle, where idle was
    measured. `conditions` are those of each device, by uuid. `gpu_time` is None where no GPU was
    asked for its own time.
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
    idle: tuple[Idle, ...] = ()
    net: Net | None = None
    conditions: Mapping[str, Conditions] = field(default_factory=dict)
    gpu_time: GpuTime | None = None
    own_j: Mapping[tuple[str, ...], float] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """The length of the window, s."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def simulated(self) -> bool:
        """Whether any of its devices is simulated."""
        return any(d.device.provenance is Provenance.SIMULATED for d in self.devices)
