"""The loop: reads the sensors at absolute deadlines and writes the run file.

What goes wrong is data: late ticks, failed reads and clock steps are events of the run.
"""

import time
from collections.abc import Iterable

from vidmeter.meter.clock import Anchor, anchor, monotonic_ns, slept_ns
from vidmeter.meter.closelook import LOOK_PERIOD_NS, CloseLook
from vidmeter.meter.eventlog import EventLog
from vidmeter.meter.guard import Guard
from vidmeter.meter.markreader import MarkReader
from vidmeter.meter.others import Others
from vidmeter.meter.run import Event
from vidmeter.meter.sample import ENERGY_SOURCES, Quantity, Series
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
PERIOD_NS = 50_000_000
"""Between readings, unless the user says otherwise or a card needs to be asked more often."""
EDGE_NS = 400_000_000
"""After a window was opened, readings are taken as fast, so that its edge is sharp."""
GUARD_NS = 5_000_000_000


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
        guard: Guard | None = None,
        others: Others | None = None,
    ) -> None:
        """Without `period_ns` the cards decide: 20 Hz, or faster where their readings are."""
        self.sensors = sensors
        self.writer = writer
        self.period_ns = period_ns or PERIOD_NS
        self._paced = period_ns is None
        self.events = EventLog(writer)
        self._marks = marks
        self._taken = 0
        self._deadline_ns = monotonic_ns()
        self._next_commit_ns = self._deadline_ns + COMMIT_NS
        self._next_anchor_ns = self._deadline_ns
        self._last_anchor: Anchor | None = None
        self._slept_ns = 0
        self._others = others or Others()
        self._newest_ns: dict[Series, int] = {}
        self._counts: dict[Series, float] = {}
        self._gpus = {d.uuid for s in sensors for d in s.devices if d.kind == "gpu"}
        self._look: CloseLook | None = None
        self._guard = guard
        self._next_guard_ns = self._deadline_ns + GUARD_NS
        self._edge_until_ns = 0
        self._restarted_ns = 0

    def look_closely(self, uuids: set[str]) -> None:
        """Poll fast for a while from the next tick on: nothing is known of these cards yet."""
        self._look = CloseLook(uuids)

    def poll_for(self, refreshes_ns: Iterable[int]) -> None:
        """Ask at least twice as often as the fastest of these readings is renewed."""
        fastest = min(refreshes_ns, default=2 * self.period_ns)
        self.period_ns = max(LOOK_PERIOD_NS, min(self.period_ns, fastest // 2))
        self.writer.put(period_ns=self.period_ns)

    def wait_s(self) -> float:
        """Seconds until the next tick is due, 0 if it is."""
        return max(0, self._deadline_ns - monotonic_ns()) / 1e9

    def restart(self) -> None:
        """Begin a new stretch of sampling: the pause before it is no lateness, and no loss."""
        self._deadline_ns = self._restarted_ns = monotonic_ns()

    def edge(self) -> None:
        """A window begins about now: look closely for a moment, if the pace is ours to choose."""
        if self._paced and self._gpus:
            self._edge_until_ns = monotonic_ns() + EDGE_NS
            self._deadline_ns = min(self._deadline_ns, monotonic_ns())

    def tick(self) -> None:
        """One look at all sensors, and the upkeep that is due."""
        now = monotonic_ns()
        late_ns = now - self._deadline_ns
        if late_ns > max(self.period_ns, PERIOD_NS) // 2:
            self.events.add("late", now, f"a tick came {late_ns / 1e6:.0f} ms late")
        close = self._look is not None or now < self._edge_until_ns
        period_ns = min(LOOK_PERIOD_NS, self.period_ns) if close else self.period_ns
        # Deadlines are absolute. Those that went by are left out, not made up for in a burst.
        self._deadline_ns += period_ns * (1 + max(0, late_ns) // period_ns)
        self.read(now)
        self._marks.look()
        if self._look and self._look.over(now):
            self._looked(self._look, now)
        if now >= self._next_anchor_ns:
            self._anchor(now)
        if self._guard and now >= self._next_guard_ns:
            self._next_guard_ns = now + GUARD_NS
            for doubt in self._guard.doubts():
                self.events.add(doubt.kind, now, doubt.detail, device=doubt.device)
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
            for series, t_ns, value in reading.samples:
                # Of a counter, what counts is that it advanced: only then is a tick placed.
                if series.quantity is not Quantity.ENERGY or value != self._counts.get(series):
                    self._newest_ns[series] = t_ns
                if series.quantity is Quantity.ENERGY:
                    self._counts[series] = value
            if self._look:
                self._look.add(reading.samples)
            if self._guard:
                self._guard.add(reading.samples)
            for fault in reading.faults:
                self._note(fault, now)
            for look in reading.looks:
                self._see(look)

    def settle(self, after_ns: int) -> None:
        """Read on until each source of energy has a reading from after an instant.

        For a quarter of a second at most, or as long as the mean that is waited for lags behind.
        """
        self._marks.look()
        lags_ns = [s.window_ns or 0 for s in self._newest_ns if s.device in self._gpus]
        until = monotonic_ns() + SETTLE_NS + max(lags_ns, default=0)
        self.read(monotonic_ns(), catch_up=True)
        while self._behind(after_ns) and monotonic_ns() < until:
            time.sleep(LOOK_PERIOD_NS / 1e9)
            self.read(monotonic_ns(), catch_up=True)
        self._deadline_ns = max(self._deadline_ns, monotonic_ns())

    def commit(self) -> None:
        """Bring samples, marks and events to the file."""
        marked = self._marks.read()
        if self._guard:
            self._guard.mark(marked.phases)
        self.writer.add_marked(marked)
        if self._marks.taken != self._taken:
            self._taken = self._marks.taken
            self.writer.put(marks_taken=self._taken)
        if not self.writer.commit():
            self.events.add("unwritten", monotonic_ns(), "the run file could not be written")

    def finish(self) -> bool:
        """Write what is left and close the file; False when something could not be written."""
        self.commit()
        bad = self._marks.bad_lines + self._marks.unfinished()
        if bad:
            now, detail = monotonic_ns(), "lines that make no sense in the marks of the program"
            self.writer.add_event(Event("bad_marks", now, now, detail, None, bad))
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

    def _looked(self, look: CloseLook, now: int) -> None:
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
        if fault.kind == "samples_lost" and (fault.since_ns or now) < self._restarted_ns:
            return  # nobody wanted what the driver overwrote in a pause
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
