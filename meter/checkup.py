"""How well this machine can be measured: a few seconds of recording, judged.

The same sampler as for any run looks closely at every device, with no program running. What comes
out is a value for people to act on: a grade for each device, what its energy is taken from, what
confirms it, what stands in the way, and what would make it better.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.conditions import condition_cautions, conditions
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.deviceenergy import RESOLVED, device_energy, meter_of
from vidmeter.meter.environment import container, peculiarities
from vidmeter.meter.learning import judged, learn
from vidmeter.meter.order import Order
from vidmeter.meter.quality import Quality
from vidmeter.meter.reader import load
from vidmeter.meter.recorder import Recorder
from vidmeter.meter.run import Run
from vidmeter.meter.runfile import SUFFIX
from vidmeter.meter.sources import Source, bounds
from vidmeter.meter.summary import Caution, DeviceEnergy

LOOK_S = 5.0
PERIOD_S = 0.005
AGREES = 0.02


class Grade(StrEnum):
    """How well a device can be measured."""

    GOOD = "good"
    """Measured all of the time, and confirmed by a second reading."""
    FAIR = "fair"
    """Measured, with a stated weakness."""
    POOR = "poor"
    """Measured, and not to be relied on."""
    MODELLED = "modelled"
    """Not measured: computed from load and a rating."""
    NONE = "none"
    """Not measured at all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of one device.

    `error` are the shares below and above by which an energy may be off. `shortest_s` is the
    shortest phase that can be told apart. `doubts` each have a remedy where there is one.
    """

    device: Device
    grade: Grade
    why: str
    quality: Quality
    energy: DeviceEnergy
    error: tuple[float, float]
    shortest_s: float | None
    calibrated: bool
    doubts: tuple[Caution, ...]


@dataclass(frozen=True, slots=True)
class Checkup:
    """What can be said of a machine; `absent` are sources that don't serve here, and why."""

    verdicts: tuple[Verdict, ...]
    absent: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    container: str | None
    peculiarities: tuple[str, ...]
    watched_s: float

    @property
    def gpu_measured(self) -> bool:
        """Whether the energy of a GPU can be measured here."""
        return any(
            v.device.kind is Kind.GPU and v.grade in (Grade.GOOD, Grade.FAIR) for v in self.verdicts
        )


def check(*, gpus: str | None, sensors: Sequence[str] = (), seconds: float = LOOK_S) -> Checkup:
    """Look at this machine for some seconds. `NoDevice` if what was asked for isn't there."""
    with tempfile.TemporaryDirectory(prefix="vidmeter-") as folder:
        path = Path(folder) / f"doctor{SUFFIX}"
        order = Order(str(path), period_s=PERIOD_S, gpus=gpus, sensors=tuple(sensors))
        recorder = Recorder(order)
        try:
            recorder.wait()
            recorder.put(start_ns=monotonic_ns())
            time.sleep(seconds)
            recorder.stop(monotonic_ns(), 0)
        except BaseException:
            # Also on Ctrl-C: the sampler is ended before its folder goes.
            recorder.discard()
            raise
        run = load(path)
    notes = list(recorder.notes)
    try:
        learn(run)
    except OSError as error:
        notes.append(f"what was found could not be kept for later runs: {error}")
    return Checkup(
        verdicts=tuple(verdict(run, device) for device in run.devices),
        absent=recorder.absent,
        notes=tuple(notes),
        container=container(),
        peculiarities=peculiarities(),
        watched_s=seconds,
    )


def verdict(run: Run, device: Device) -> Verdict:
    """What a recording says of how well a device can be measured."""
    meter = meter_of(run, device)
    spans = ((run.start_ns, run.end_ns or run.start_ns),)
    e = device_energy(meter, spans)
    source = next((s for s in meter.sources if s.name == e.source), None)
    grade, why = _grade(device, e, source)
    return Verdict(
        device=device,
        grade=grade,
        why=why,
        quality=judged(run, device),
        energy=e,
        error=(0.0, 0.0) if grade is Grade.NONE else _error(device, meter.calibrated, source),
        shortest_s=source.blur_s * RESOLVED if source and device.kind is Kind.GPU else None,
        calibrated=meter.calibrated,
        doubts=tuple(condition_cautions(device, conditions(run, device, spans))),
    )


def _grade(device: Device, e: DeviceEnergy, source: Source | None) -> tuple[Grade, str]:
    """The grade of a device, and the reason for it in a sentence."""
    if source is None or e.source is None:
        if device.facts.get("mig"):
            return Grade.NONE, "it gave no reading of power; MIG is on"
        return Grade.NONE, "it gave no reading of power or energy"
    if device.provenance is Provenance.MODELLED:
        return Grade.MODELLED, "computed from its load and a rating, not measured"
    if device.kind is not Kind.GPU:
        return Grade.GOOD, "measured by the processor's own energy counter (RAPL)"
    if not e.trusted:
        return Grade.POOR, (
            f"two of its readings differ by {abs(e.disagreement or 0) * 100:.0f} %, and nothing"
            " here tells which is right"
        )
    if source.part_time:
        looks = "may look only part of the time"
        if source.seen_share is not None:
            looks = f"looks {source.seen_share * 100:.0f} % of the time only"
        return Grade.POOR, f"its one reading {looks}, and nothing else confirms it"
    if source.blur_s >= 1:
        return Grade.FAIR, "it tells no more than a mean over the last second"
    if e.disagreement is None:
        return Grade.FAIR, "measured, but no second reading confirms it"
    if abs(e.disagreement) > AGREES + e.resolution:
        return Grade.FAIR, f"two of its readings differ by {abs(e.disagreement) * 100:.1f} %"
    return Grade.GOOD, "measured, and a second reading agrees"


def _error(device: Device, calibrated: bool, source: Source | None) -> tuple[float, float]:
    if source is not None:
        return source.low - 1, source.high - 1
    low, high = bounds(device)
    return low - 1, high - 1
