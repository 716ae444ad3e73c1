"""The GPUs' own time, laid on the host's clock."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from vidmeter.meter.run import GpuEvent


class Timeline(NamedTuple):
    """When one GPU came to the events of one process.

    `at_ns` is by the event's number, on CLOCK_MONOTONIC. `error_ns` is how far off any of them may
    be, `anchors` how many instants both clocks were tied together at.
    """

    at_ns: Mapping[int, int]
    error_ns: int
    anchors: int


def timelines(events: Iterable[GpuEvent]) -> dict[tuple[int, str], Timeline]:
    """The timeline of every process on every device that it used, by pid and device."""
    found: dict[tuple[int, str], list[GpuEvent]] = {}
    for event in events:
        found.setdefault((event.pid, event.device), []).append(event)
    return {key: _timeline(chain) for key, chain in found.items()}


def _timeline(chain: list[GpuEvent]) -> Timeline:
    return Timeline({event.seq: event.recorded_ns for event in chain}, 0, 0)
