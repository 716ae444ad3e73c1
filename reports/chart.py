"""The geometry of the power chart: what is where, in whole units of a picture that is stretched.

Every device has a row of its own over one axis of time. Words stand outside of the picture, in
percent of its width, so that they keep their size on a narrow screen. Phases lie above in lanes by
their depth, and each has a tone; a phase with phases inside leaves the tones to those.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vidmeter.meter.device import Device, Kind
from vidmeter.meter.run import Run
from vidmeter.meter.sources import sources_of
from vidmeter.meter.summary import DeviceEnergy, Summary
from vidmeter.meter.windows import paths
from vidmeter.reports.axes import Tick, time_ticks, watt_ticks
from vidmeter.reports.format import seconds, watts
from vidmeter.reports.thin import Line, thin

WIDTH = 20000
HEIGHT = 1000
"""The picture in its own units: fine enough to look at a twentieth of it in full."""
MOST_COLUMNS = 12000
"""Of all rows together; each has four points at most, of some 6 bytes, twice."""
COLUMNS = 4000
"""Of one row, at most."""
TONES = 8
LANES = 3
NARROW = 0.25
"""Phases narrower than this, in percent of the width, are drawn together with the next."""


class Box(NamedTuple):
    """A stretch of time: where it is in percent of the width, and what it is called."""

    left: float
    width: float
    name: str
    title: str
    tone: str


class Row(NamedTuple):
    """The power of one device. `line` and `area` are SVG paths; `top_w` is the upper edge, W."""

    device: Device
    line: str
    area: str
    gaps: tuple[Box, ...]
    ticks: tuple[Tick, ...]
    top_w: float
    source: str | None
    description: str


class Chart(NamedTuple):
    """All of the picture. `fills` are the phases that colour the area under the curves."""

    rows: tuple[Row, ...]
    lanes: tuple[tuple[Box, ...], ...]
    fills: tuple[Box, ...]
    time: tuple[Tick, ...]
    duration_s: float


def chart(run: Run, summary: Summary) -> Chart:
    """The power of every device of a run against time, with its phases."""
    lines = _lines(run, summary)
    tones = tones_of([phase.path for phase in summary.phases])
    lanes = _lanes(run, summary, tones)
    return Chart(
        rows=tuple(_row(summary, e, lines) for e in summary.devices),
        lanes=lanes,
        fills=_fills(lanes, tones),
        time=time_ticks(summary.duration_s),
        duration_s=summary.duration_s,
    )


def tones_of(tree: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """A tone for each path: `t0` to `t7`, or `t` for one that leaves them to those inside it."""
    known = list(tree)
    parents = {path[:1] for path in known if len(path) > 1}
    tones: dict[tuple[str, ...], str] = {}
    given = 0
    for path in known:
        if len(path) > 2:
            tones[path] = tones.get(path[:2], "t")
        elif path in parents:
            tones[path] = "t"
        else:
            tones[path] = f"t{given % TONES}"
            given += 1
    return tones


def path_of(lines: Sequence[tuple[list[int], list[int]]], *, closed: bool) -> str:
    """Lines as an SVG path of whole units; `closed` ones go down to the lower edge at both ends."""
    out = []
    for x, y in lines:
        steps = "".join(
            f"{b - a:+d}{d - c:+d}"
            for a, b, c, d in zip(x, x[1:], y, y[1:], strict=False)
            if (a, c) != (b, d)
        )
        # A minus parts two numbers as well as a blank does.
        steps = steps.replace("+", " ").lstrip() or "0 0"
        if closed:
            out.append(f"M{x[0]} {HEIGHT}V{y[0]}l{steps}V{HEIGHT}Z")
        else:
            out.append(f"M{x[0]} {y[0]}l{steps}")
    return "".join(out)


def _lines(run: Run, summary: Summary) -> dict[str, list[Line]]:
    """Each device's power, from the source that its energy is taken from."""
    columns = min(COLUMNS, MOST_COLUMNS // max(len(summary.devices), 1))
    lines = {}
    for e in summary.devices:
        for source in sources_of(run, e.device):
            if source.name == e.source:
                window = summary.start_ns, summary.end_ns
                lines[e.device.uuid] = thin(source.curve, *window, columns=columns)
                break
    return lines


def _row(summary: Summary, e: DeviceEnergy, lines: Mapping[str, list[Line]]) -> Row:
    # GPUs share one scale, so that their rows can be compared.
    together = [
        d.device.uuid
        for d in summary.devices
        if d is e or (d.device.kind is Kind.GPU and e.device.kind is Kind.GPU)
    ]
    highest = [float(n.power_w.max()) for uuid in together for n in lines.get(uuid, ())]
    top_w, ticks = watt_ticks(max(highest, default=0.0))
    own = lines.get(e.device.uuid, [])
    drawn = [_units(summary, line, top_w) for line in own]
    gaps = _gaps(summary, own)
    description = f"mean {watts(e.mean_w)}, peak {watts(e.peak_w)}, from {e.source or 'no source'}"
    if gaps:
        description += f"; {len(gaps)} stretches of time were not seen"
    return Row(
        device=e.device,
        line=path_of(drawn, closed=False),
        area=path_of(drawn, closed=True),
        gaps=gaps,
        ticks=ticks,
        top_w=top_w,
        source=e.source,
        description=description,
    )


def _units(summary: Summary, line: Line, top_w: float) -> tuple[list[int], list[int]]:
    span_ns = summary.end_ns - summary.start_ns
    x = np.rint((line.t_ns - summary.start_ns) * (WIDTH / span_ns)).astype(int)
    y = np.rint(HEIGHT - line.power_w * (HEIGHT / top_w)).astype(int)
    return x.tolist(), y.tolist()


def _gaps(summary: Summary, lines: Sequence[Line]) -> tuple[Box, ...]:
    """What lies between the lines and beside them, if it is wide enough to be drawn."""
    least_ns = (summary.end_ns - summary.start_ns) / 2000
    edges = [
        summary.start_ns,
        *(int(t) for line in lines for t in (line.t_ns[0], line.t_ns[-1])),
        summary.end_ns,
    ]
    return tuple(
        _box(summary, a, b, "", f"not seen: {seconds((b - a) / 1e9)}", "gap")
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if b - a > least_ns
    )


def _box(summary: Summary, a: int, b: int, name: str, title: str, tone: str) -> Box:
    span_ns = max(summary.end_ns - summary.start_ns, 1)
    left = 100 * (a - summary.start_ns) / span_ns
    return Box(round(left, 3), round(100 * (b - a) / span_ns, 3), name, title, tone)


def _lanes(
    run: Run, summary: Summary, tones: Mapping[tuple[str, ...], str]
) -> tuple[tuple[Box, ...], ...]:
    """Phases by depth; what lies deeper than the last lane is left to the table."""
    where = paths(run.phases)
    found: list[list[tuple[int, int, tuple[str, ...], int]]] = [[] for _ in range(LANES)]
    latest: dict[tuple[str, ...], int] = {}
    narrow_ns = (summary.end_ns - summary.start_ns) * NARROW / 100
    for phase in sorted(run.phases, key=lambda p: p.start_ns):
        path = where[phase.id]
        a = max(phase.start_ns, summary.start_ns)
        b = min(summary.end_ns if phase.end_ns is None else phase.end_ns, summary.end_ns)
        if b < a or len(path) > LANES:
            continue
        lane = found[len(path) - 1]
        start, end, _, count = lane[latest[path]] if path in latest else (-1, -1, path, 0)
        if count and b - start < narrow_ns:
            lane[latest[path]] = (start, max(b, end), path, count + 1)
        else:
            latest[path] = len(lane)
            lane.append((a, b, path, 1))
    return tuple(
        tuple(
            _box(summary, a, b, path[-1], _phase_title(path, n, (b - a) / 1e9), tones[path])
            for a, b, path, n in lane
        )
        for lane in found
        if lane
    )


def _phase_title(path: tuple[str, ...], count: int, duration_s: float) -> str:
    times = f" ×{count}" if count > 1 else ""
    return f"{' › '.join(path)}{times}: {seconds(duration_s)}"


def _fills(
    lanes: Sequence[tuple[Box, ...]], tones: Mapping[tuple[str, ...], str]
) -> tuple[Box, ...]:
    """The boxes that have a tone of their own: those of the two upper lanes."""
    return tuple(box for lane in lanes[:2] for box in lane if box.tone != "t")
