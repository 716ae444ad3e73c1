"""The loop: reads the sensors at absolute deadlines and writes the run file.

What goes wrong is data: late ticks, failed reads and clock steps are events of the run.
"""

import time
from collections.abc import Iterable
from dataclasses import replace

from vidmeter.meter.cadence import refresh_ns
from vidmeter.meter.clock import Anchor, anchor, monotonic_ns, slept_ns
from vidmeter.meter.marks import MarkReader
from vidmeter.meter.others import Others, Slot
from vidmeter.meter.run import Event
from vidmeter.meter.sample import Quantity, Sample, Series
from vidmeter.meter.sensors.base import Fault, Look, Sensor
from vidmeter.meter.store import RunWriter

COMMIT_NS = 400_000_000
"""How often samples are brought to the file; a kill loses at most this much."""
ANCHOR_NS = 1_000_000_000
STEP_NS = 5_000_000
"""A change between wall clock and monotonic clock beyond this is an event."""
SLEPT_NS = 20_000_000
"""More than this between two readings of the clocks is sleep, and no pause between them."""
SETTLE_NS = 250_000_000
"""How long is waited for readings from after the end of a window."""
STOPPED_NS = 2_000_000_000
"""A series that is older than this has stopped."""
ENERGY_SOURCES = frozenset(q for q in Quantity if q.endswith(("_w", "_j"))) - {Quantity.POWER_LIMIT}
SAME_EVENT_NS = 2_000_000_000
"""Faults of one sort closer than this are one event with a count."""
PERIOD_NS = 50_000_000
"""Between readings, unless the user says otherwise or a card needs to be asked more often."""
LOOK_NS = 3_000_000_000
"""How long a card that nothing is known of is looked at closely, at the start of its first run."""
LOOK_PERIOD_NS = 5_000_000


class EventLog:
    """Turns the same trouble, tick after tick, into one event with a span and a count."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._open: dict[tuple[str, str | None, str], tuple[int, Event]] = {}
        self._kept: dict[Slot, int] = {}

    def add(
        self,
        kind: str,
        t_ns: int,
        detail: str,
        *,
        device: str | None = None,
        since_ns: int | None = None,
    ) -> None:
        """Note that something happened at `t_ns`, or from `since_ns` until then."""
        slot = (kind, device, "" if kind == "late" else detail)
        key, event = self._open.get(slot, (0, None))
        if event is None or t_ns - event.end_ns > SAME_EVENT_NS:
            event = Event(kind, t_ns if since_ns is None else since_ns, t_ns, detail, device)
            key = self._writer.add_event(event)
        else:
            event = replace(event, end_ns=t_ns, detail=detail, count=event.count + 1)
            self._writer.put_event(key, event)
        self._open[slot] = (key, event)

    def keep(self, slot: Slot, event: Event) -> None:
        """Note something that goes on, in the place of what was noted under the same slot."""
        key = self._kept.get(slot)
        if key is None:
            self._kept[slot] = self._writer.add_event(event)
        else:
            self._writer.put_event(key, event)


class Sampler:
    """Samples `sensors` into `writer`. All time is CLOCK_MONOTONIC in ns.

    `others` tells the run's own processes from those that are on its devices as well.
    """

    def __init__(
        self,
        sensors: list[Sensor],
        writer: RunWriter,
        marks: MarkReader,
        *,
        period_ns: int | None = None,
        others: Others | None = None,
    ) -> None:
        """Without `period_ns` the cards decide: 20 Hz, or faster where their readings are."""
        self.sensors = sensors
        self.writer = writer
        self.period_ns = period_ns or PERIOD_NS
        self.events = EventLog(writer)
        self._marks = marks
        self._deadline_ns = monotonic_ns()
        self._next_commit_ns = self._deadline_ns + COMMIT_NS
        self._next_anchor_ns = self._deadline_ns
        self._last_anchor: Anchor | None = None
        self._slept_ns = 0
        self._others = others or Others()
        self._newest_ns: dict[Series, int] = {}
        self._gpus = {d.uuid for s in sensors for d in s.devices if d.kind == "gpu"}
        self._look: _Look | None = None

    def look_closely(self, uuids: set[str]) -> None:
        """Poll fast for a while from the next tick on: nothing is known of these cards yet."""
        self._look = _Look(uuids)

    def poll_for(self, refreshes_ns: Iterable[int]) -> None:
        """Ask at least twice as often as the fastest of these readings is renewed."""
        fastest = min(refreshes_ns, default=2 * self.period_ns)
        self.period_ns = max(LOOK_PERIOD_NS, min(self.period_ns, fastest // 2))
        self.writer.put(period_ns=self.period_ns)

    def wait_s(self) -> float:
        """Seconds until the next tick is due, 0 if it is."""
        return max(0, self._deadline_ns - monotonic_ns()) / 1e9

    def restart(self) -> None:
        """Begin a new stretch of sampling: the pause before it is not lateness."""
        self._deadline_ns = monotonic_ns()

    def tick(self) -> None:
        """One look at all sensors, and the upkeep that is due."""
        now = monotonic_ns()
        late_ns = now - self._deadline_ns
        if late_ns > max(self.period_ns, PERIOD_NS) // 2:
            self.events.add("late", now, f"a tick came {late_ns / 1e6:.0f} ms late")
        period_ns = LOOK_PERIOD_NS if self._look else self.period_ns
        # Deadlines are absolute. Those that went by are left out, not made up for in a burst.
        self._deadline_ns += period_ns * (1 + max(0, late_ns) // period_ns)
        self.read(now)
        if self._look and self._look.over(now):
            self._looked(self._look, now)
        if now >= self._next_anchor_ns:
            self._anchor(now)
        if now >= self._next_commit_ns:
            self.commit()
            self._next_commit_ns = now + COMMIT_NS

    def read(self, now: int, *, catch_up: bool = False) -> None:
        """Take what the sensors have; `catch_up` as for `Sensor.read`."""
        for sensor in self.sensors:
            try:
                reading = sensor.read(now, catch_up=catch_up)
            except Exception as error:  # noqa: BLE001 - the run never ends because of the meter
                detail = f"{type(sensor).__name__} failed: {error!r}"
                self.events.add("sensor_failed", now, detail)
                continue
            self.writer.add_samples(reading.samples)
            for series, t_ns, _ in reading.samples:
                self._newest_ns[series] = t_ns
            if self._look:
                self._look.add(reading.samples)
            for fault in reading.faults:
                self._note(fault, now)
            for look in reading.looks:
                self._see(look)

    def settle(self, after_ns: int) -> None:
        """Read on until each source of energy has a reading from after an instant.

        For a quarter of a second at most, or as long as the mean that is waited for lags behind.
        """
        lags_ns = [s.window_ns or 0 for s in self._newest_ns if s.device in self._gpus]
        until = monotonic_ns() + SETTLE_NS + max(lags_ns, default=0)
        self.read(monotonic_ns(), catch_up=True)
        while self._behind(after_ns) and monotonic_ns() < until:
            time.sleep(0.01)
            self.read(monotonic_ns(), catch_up=True)
        self._deadline_ns = max(self._deadline_ns, monotonic_ns())

    def commit(self) -> None:
        """Bring samples, marks and events to the file."""
        phases, work = self._marks.read()
        for phase in phases:
            self.writer.put_phase(phase)
        for done in work:
            self.writer.add_work(done)
        if not self.writer.commit():
            self.events.add("unwritten", monotonic_ns(), "the run file could not be written")

    def finish(self) -> bool:
        """Write what is left and close the file; False when something could not be written."""
        self.commit()
        if self._marks.bad_lines:
            detail = "lines that make no sense in the marks of the program"
            self.writer.add_event(
                Event("bad_marks", monotonic_ns(), monotonic_ns(), detail, None,
                      self._marks.bad_lines)
            )  # fmt: skip
        if self.writer.lost_samples:
            now, detail = monotonic_ns(), "samples could not be written and are lost"
            self.writer.add_event(
                Event("lost_samples", now, now, detail, None, self.writer.lost_samples)
            )
        for sensor in self.sensors:
            sensor.close()
        return self.writer.finish()

    def _behind(self, after_ns: int) -> bool:
        """Whether a GPU has an energy series with nothing yet from after an instant.

        Only GPUs refresh so slowly that it matters. A mean over a window speaks of the middle of
        it, but is waited for only where a GPU offers nothing better. What has stopped isn't.
        """
        for gpu in self._gpus:
            series = [
                s for s in self._newest_ns if s.device == gpu and s.quantity in ENERGY_SOURCES
            ]
            prompt = [s for s in series if s.window_ns is None]
            for one in prompt or series:
                age_ns = after_ns + (one.window_ns or 0) // 2 - self._newest_ns[one]
                if 0 <= age_ns < STOPPED_NS:
                    return True
        return False

    def _looked(self, look: "_Look", now: int) -> None:
        """The close look is over: from now on as fast as the cards need it."""
        self._look = None
        self.writer.put(close_look=[look.start_ns, now, look.polled_ns(now)])
        self.poll_for(look.refreshes_ns(now))

    def _anchor(self, now: int) -> None:
        pair, slept = anchor(), slept_ns()
        if self._last_anchor is not None:
            for kind, detail in clock_events(self._last_anchor, pair, slept - self._slept_ns):
                self.events.add(kind, now, detail, since_ns=self._last_anchor.monotonic_ns)
        self._last_anchor, self._slept_ns = pair, slept
        self.writer.add_anchor(pair)
        self._next_anchor_ns = now + ANCHOR_NS

    def _note(self, fault: Fault, now: int) -> None:
        self.events.add(fault.kind, now, fault.detail, device=fault.device, since_ns=fault.since_ns)

    def _see(self, look: Look) -> None:
        seen = self._others.see(look)
        self.writer.add_samples(seen.samples)
        for slot, event in seen.events.items():
            self.events.keep(slot, event)


def clock_events(before: Anchor, after: Anchor, slept_ns: int) -> list[tuple[str, str]]:
    """What happened to the clocks between two looks at them, as kind and detail.

    While the machine sleeps, CLOCK_MONOTONIC stands still and the wall clock goes on: that is no
    step of it. Clocks that are slewed drift by 0.5 ms a second at most (adjtimex(2)).
    """
    events = []
    step = (after.real_ns - after.monotonic_ns) - (before.real_ns - before.monotonic_ns)
    if slept_ns > SLEPT_NS:
        detail = f"the machine slept for {slept_ns / 1e9:.1f} s; nothing of that was measured"
        events.append(("suspend", detail))
        step -= slept_ns
    if (
        abs(step)
        > STEP_NS + max(0, after.monotonic_ns - before.monotonic_ns - 2 * ANCHOR_NS) / 2000
    ):
        events.append(("clock_step", f"the wall clock was moved by {step / 1e6:+.1f} ms"))
    return events


class _Look:
    """What a close look at some cards has brought so far."""

    def __init__(self, uuids: set[str]) -> None:
        self.start_ns = 0
        self._uuids = uuids
        self._ticks = 0
        self._seen: dict[Series, tuple[list[int], list[float]]] = {}

    def over(self, now: int) -> bool:
        self.start_ns = self.start_ns or now
        self._ticks += 1
        return now - self.start_ns > LOOK_NS

    def add(self, samples: Iterable[Sample]) -> None:
        for series, t_ns, value in samples:
            if series.device in self._uuids and series.quantity in ENERGY_SOURCES:
                times, values = self._seen.setdefault(series, ([], []))
                times.append(t_ns)
                values.append(value)

    def polled_ns(self, now: int) -> int:
        """How far apart the looks really were."""
        return (now - self.start_ns) // max(1, self._ticks - 1)

    def refreshes_ns(self, now: int) -> list[int]:
        """The periods of what has to be polled for: a card with a ring keeps its own record."""
        rings = {s.device for s in self._seen if s.quantity is Quantity.POWER_RING}
        found = [
            refresh_ns(times, values, polled_ns=self.polled_ns(now))
            for series, (times, values) in self._seen.items()
            if series.device not in rings
        ]
        return [ns for ns in found if ns]
