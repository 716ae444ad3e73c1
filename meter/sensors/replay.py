"""A run file as hardware: its samples come again at the pace at which they were taken.

For developing on real traces without the card, and for showing a recorded run live. What it gives
is simulated: it was measured once, but not now.
"""

from bisect import bisect_right
from dataclasses import replace
from pathlib import Path

from vidmeter.meter.clock import monotonic_ns
from vidmeter.meter.device import Device, Provenance
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Sample
from vidmeter.meter.sensors.base import Reading


class ReplaySensor:
    """Plays the samples of a run from its start on; after its end there is nothing new."""

    def __init__(self, run: Run, *, start_ns: int | None = None) -> None:
        if not run.traces:
            raise NoDevice(f"{run.path or run.id} holds no samples to replay")
        now = monotonic_ns() if start_ns is None else start_ns
        self._shift_ns = now - run.start_ns
        self._traces = run.traces
        self._done = dict.fromkeys(run.traces, 0)
        self._devices = tuple(
            replace(
                device,
                provenance=Provenance.SIMULATED,
                sensor=f"replay of {device.sensor}",
                facts={**device.facts, "replayed_from": run.id},
            )
            for device in run.devices
        )

    @classmethod
    def open(cls, path: Path) -> "ReplaySensor":
        """Replay a run file; `BadRun` if it can't be read."""
        return cls(load(path))

    notes = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices of the recorded run, marked as simulated."""
        return self._devices

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """The samples whose time has come."""
        samples: list[Sample] = []
        for series, trace in self._traces.items():
            done = self._done[series]
            upto = bisect_right(trace.t_ns, now_ns - self._shift_ns, done)
            for i in range(done, upto):
                samples.append(Sample(series, trace.t_ns[i] + self._shift_ns, trace.value[i]))
            self._done[series] = upto
        return Reading(samples, [])

    def close(self) -> None:
        """Nothing to let go of."""
