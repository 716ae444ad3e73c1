"""The result of a measurement, worked out when it is asked for."""

from collections.abc import Mapping
from functools import cached_property

from vidmeter.meter import marks
from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.cutting import window_of
from vidmeter.meter.errors import BadRun
from vidmeter.meter.run import Run
from vidmeter.meter.session import RunInProgress, Session
from vidmeter.meter.summary import DeviceEnergy, PerUnit, PhaseSummary, Summary, WorkDone


class Measurement:
    """The energy of one window. Its numbers are there once the window is closed.

    Asking for one of them waits until the GPU has done what was asked of it in the window, reads
    the samples and does the arithmetic, so the measured code itself never waits. Energies are in J,
    None where nothing could be measured.
    """

    def __init__(self, name: str) -> None:
        """Made by `measure`, which fills in the window, its phase and where its samples are."""
        self.name = name
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.phase: str | None = None
        self.source: Session | RunInProgress | None = None

    def __repr__(self) -> str:
        if self.end_ns is None:
            return f"<Measurement {self.name!r}, still open>"
        low, high = self.low_j, self.high_j
        if self.energy_j is None or low is None or high is None:
            return f"<Measurement {self.name!r}, energy unknown, {self.duration_s:.3g} s>"
        return (
            f"<Measurement {self.name!r}, {self.energy_j:.4g} J"
            f" ({low:.4g} to {high:.4g}), {self.duration_s:.3g} s>"
        )

    @property
    def duration_s(self) -> float:
        """The length of the window, s; of an open one, so far."""
        if self.start_ns is None:
            return 0.0
        return ((self.end_ns or monotonic_ns()) - self.start_ns) / 1e9

    @cached_property
    def run(self) -> Run:
        """The samples, phases and work around this window; `run.save(path)` keeps them."""
        if self.source is None or self.start_ns is None or self.end_ns is None:
            raise BadRun(f"the window {self.name!r} is still open: its numbers come when it closes")
        marks.settle()
        return window_of(self.source.run, self.phase, self.start_ns, self.end_ns)

    @cached_property
    def summary(self) -> Summary:
        """All numbers of the window."""
        from vidmeter.meter.summarize import summarize

        return summarize(self.run)

    @property
    def energy_j(self) -> float | None:
        """The energy of the devices that the total covers, J."""
        return self.summary.total.energy_j

    @property
    def low_j(self) -> float | None:
        """The lower end of the energy's 95 % interval, J."""
        return self.summary.total.low_j

    @property
    def high_j(self) -> float | None:
        """The upper end of the energy's 95 % interval, J."""
        return self.summary.total.high_j

    @property
    def devices(self) -> tuple[DeviceEnergy, ...]:
        """The energy of each device."""
        return self.summary.devices

    @property
    def phases(self) -> tuple[PhaseSummary, ...]:
        """The energy of each phase inside the window."""
        return self.summary.phases

    @property
    def work(self) -> WorkDone:
        """What was produced in the window."""
        return self.summary.work

    @property
    def per_unit(self) -> Mapping[str, PerUnit]:
        """Energy per unit of work, such as `per_unit["j_per_video_second"].value`."""
        return self.summary.per_unit

    @property
    def cautions(self) -> tuple[str, ...]:
        """What is to be doubted."""
        return tuple(caution.text for caution in self.summary.cautions)
