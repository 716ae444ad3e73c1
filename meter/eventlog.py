"""Events of a run as they come: what recurs or goes on is one event that grows."""

from dataclasses import replace

from vidmeter.meter.others import Slot
from vidmeter.meter.run import Event
from vidmeter.meter.store import RunWriter

SAME_EVENT_NS = 2_000_000_000
"""Faults of one sort closer than this are one event with a count."""


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
