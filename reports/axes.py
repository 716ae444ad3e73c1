"""Where the labels of a chart's axes stand: round numbers of watts, of time, of anything."""

import math
from typing import NamedTuple

from vidmeter.reports.format import watts

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)


class Tick(NamedTuple):
    """A label at `at` percent of the axis, from the left or the bottom."""

    at: float
    label: str


def watt_ticks(top_w: float) -> tuple[float, tuple[Tick, ...]]:
    """A round upper edge at or above `top_w`, W, and two to four labels from 0 up to it."""
    if not top_w > 0:
        return 1.0, (Tick(0.0, "0 W"),)
    rough = top_w / 3
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= rough * 0.999)
    count = math.ceil(top_w / step - 1e-9)
    ticks = tuple(Tick(100 * i / count, watts(i * step)) for i in range(count + 1))
    return count * step, ticks


def plain_ticks(left: float, span: float) -> tuple[Tick, ...]:
    """Three to six labels at round numbers of an axis that goes from `left` over `span`."""
    size = 10.0 ** math.floor(math.log10(span / 4))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= span / 4 * 0.999)
    first = math.ceil(left / step - 1e-9)
    count = int((left + span) / step + 1e-9) - first
    return tuple(
        Tick(100 * ((first + i) * step - left) / span, f"{(first + i) * step:.6g}")
        for i in range(count + 1)
    )


def time_ticks(duration_s: float) -> tuple[Tick, ...]:
    """Labels of an axis of time, five to nine of them."""
    if not duration_s > 0:
        return (Tick(0.0, "0 s"),)
    rough = duration_s / 8
    if rough <= 1:
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(s * size for s in (1, 2, 5, 10) if s * size >= rough * 0.999)
    else:
        step = next((s for s in _STEPS_S if s >= rough), 86400 * math.ceil(rough / 86400))
    count = int(duration_s / step + 1e-9)
    return tuple(
        Tick(100 * i * step / duration_s, _clock(i * step, duration_s)) for i in range(count + 1)
    )


def _clock(t_s: float, duration_s: float) -> str:
    """An instant on an axis of that length: `0`, `250 ms`, `1.5 s`, `40 s`, `2:30`, `1:15:00`."""
    if t_s == 0:
        return "0"
    if duration_s < 1:
        return f"{t_s * 1e3:.4g} ms"
    if duration_s < 120:
        return f"{t_s:.4g} s"
    minutes, rest = divmod(round(t_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
