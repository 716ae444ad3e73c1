"""Keeps raw readings as run files, and takes out of them what would name a machine.

A card's UUID, its bus address, the host's name and folders say nothing about sensors and are not
for publishing: a card is called by the first twelve digits of the SHA-256 of its UUID.
"""

import hashlib
import time
from array import array
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gpu.card import Column, Polled
from vidmeter.meter import energy
from vidmeter.meter.clock import anchor, monotonic_ns
from vidmeter.meter.device import Device
from vidmeter.meter.environment import environment
from vidmeter.meter.run import Phase, Run, Trace
from vidmeter.meter.sample import Quantity, Series

MOST_BYTES = 16 << 20
_S = 1_000_000_000
_SERIES = {
    "power_instant_w": (Quantity.POWER_INSTANT, None),
    "power_average_w": (Quantity.POWER_AVERAGE, _S),
    "power_usage_w": (Quantity.POWER_USAGE, None),
    "power_ring_w": (Quantity.POWER_RING, None),
    "energy_j": (Quantity.ENERGY, None),
    "temperature_c": (Quantity.TEMPERATURE, None),
    "sm_clock_mhz": (Quantity.SM_CLOCK, None),
    "memory_clock_mhz": (Quantity.MEMORY_CLOCK, None),
    "clocks_event_reasons": (Quantity.CLOCK_REASONS, None),
}


def card_id(uuid: str) -> str:
    """What a card is called in published data."""
    return "card-" + hashlib.sha256(uuid.encode()).hexdigest()[:12]


def nameless(device: Device) -> Device:
    """The device without what identifies it; what is known of a card names it as well."""
    facts = {key: value for key, value in device.facts.items() if key != "pci_bus_id"}
    name = card_id(device.uuid)
    return replace(device, uuid=name, facts=scrub(facts, {device.uuid: name}))


def scrub(value: Any, names: Mapping[str, str]) -> Any:
    """JSON values with every occurrence of a name in a text replaced."""
    if isinstance(value, str):
        for name, stand_in in names.items():
            value = value.replace(name, stand_in)
        return value
    if isinstance(value, Mapping):
        return {key: scrub(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(item, names) for item in value]
    return value


def publishable(run: Run, names: Mapping[str, str]) -> Run:
    """A run without UUIDs, host name and the folders in `names`."""
    uuids = {device.uuid: card_id(device.uuid) for device in run.devices if device.kind == "gpu"}
    names = {**names, **uuids}
    told = {key: value for key, value in run.environment.items() if key != "host"}
    return replace(
        run,
        command=tuple(scrub(run.command, names)),
        devices=tuple(nameless(d) if d.uuid in uuids else d for d in run.devices),
        traces={s._replace(device=uuids.get(s.device, s.device)): t for s, t in run.traces.items()},
        work=tuple(replace(w, path=w.path and Path(w.path).name) for w in run.work),
        events=tuple(
            replace(e, device=uuids.get(e.device or "", e.device), detail=scrub(e.detail, names))
            for e in run.events
        ),
        environment=scrub(told, names),
        workload=scrub(run.workload, names),
        path=None,
    )


class Tape:
    """The readings of all stages as one run, each stage a phase; saved anew after each."""

    def __init__(self, device: Device, path: Path) -> None:
        self.path = path
        self.device = nameless(device)
        self._start_ns = monotonic_ns()
        self._anchors = [anchor()]
        self._phases: list[Phase] = []
        self._traces: dict[Series, Trace] = {}

    def add(self, name: str, polled: Polled) -> None:
        """Keep a stretch of polling under the name of a phase."""
        number = len(self._phases) + 1
        self._phases.append(Phase(f"{number}", name, polled.start_ns, polled.end_ns))
        self._anchors.append(anchor())
        for source, column in polled.columns.items():
            if source not in _SERIES:
                continue
            series = Series(self.device.uuid, *_SERIES[source])
            trace = self._traces.setdefault(series, Trace(array("q"), array("d")))
            last = trace.t_ns[-1] if trace.t_ns else 0
            for t_ns, value in sorted(zip(column.t_ns, column.value, strict=True)):
                if t_ns > last:
                    trace.t_ns.append(t_ns)
                    trace.value.append(value)
                    last = t_ns

    def save(self) -> None:
        """Write the run file whole, in place of the one before."""
        if not self._phases:
            return
        told = {k: v for k, v in environment({}).items() if k != "host"}
        Run(
            id=f"first-card-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}",
            command=("benchmarks/gpu/first_card.py",),
            start_ns=self._start_ns,
            end_ns=monotonic_ns(),
            exit_code=0,
            period_ns=10_000_000,
            devices=(self.device,),
            traces=self._traces,
            phases=tuple(self._phases),
            anchors=tuple(self._anchors),
            environment=told,
        ).save(self.path, force=True)


def energies_j(
    polled: Polled, start_ns: int | None = None, end_ns: int | None = None
) -> dict[str, float | None]:
    """The energy of a window by each source, as vidmeter works it out.

    What was not covered counts like the rest: half a window is missing of a mean over one second,
    which stands for its middle. None where less than four fifths was covered.
    """
    start = polled.start_ns if start_ns is None else start_ns
    end = polled.end_ns if end_ns is None else end_ns
    return {
        name: _energy_j(name, column, start, end)
        for name, column in polled.columns.items()
        if name.startswith(("power_", "energy_")) and name != "power_limit_w"
    }


def _energy_j(name: str, column: Column, start_ns: int, end_ns: int) -> float | None:
    if name.startswith("energy"):
        curve = energy.counter(column.t_ns, column.value, ticking=True)
    elif name == "power_average_w":
        curve = energy.boxes(column.t_ns, column.value, _S)
    else:
        curve = energy.points(column.t_ns, column.value)
    found = energy.energy(curve, start_ns, end_ns)
    return found.covered_j / found.coverage if found.coverage >= 0.8 else None
