"""How far an energy may be off apart from the sensor's gain: edges, time, what wasn't looked at.

Three things are kept apart, because they behave differently. What the readings leave open
(`Sampling`) shrinks with longer windows and is independent between windows. What the sensor's gain
leaves open (`sources.bounds`) is the same for all windows of one card, and falls out of the ratio
of two of them. What was not seen at all only ever adds energy.
"""

import math
from dataclasses import dataclass

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter import spans as many
from vidmeter.meter.aliasing import IDLE_SHARE, Missed, missed
from vidmeter.meter.energy import Floats, Ints, WindowEnergy
from vidmeter.meter.sources import Source

WITHIN = 0.25
"""An edge within a reading: a step in it moves its energy by a quarter of the step at most, or a
reading's length × step / 4, if the reading is shared out evenly."""
AROUND = np.asarray([-1.0, -0.5, 0.0, 0.5, 1.0])
"""Where power is looked at around an edge, in lengths of a reading."""
OF_SPANS = 0.98
"""A reading speaks of spans if they hold this share of its time."""
LEAST_SWING = 0.1
"""What power is taken to vary by within a reading at least, as a share of it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What readings leave open about the energy of a window, 95 % half-widths, J.

    `edge_j` is for the window's edges, and for when power changed between two readings that don't
    speak of all the time between them; `low_j` and `high_j` include what a part-time sensor may
    have missed (`missed`, None for others).
    """

    edge_j: float
    low_j: float
    high_j: float
    missed: Missed | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a card can draw, W; None where it isn't known."""

    most_w: float | None

    @property
    def least_w(self) -> float:
        """The least that a card under power draws."""
        return IDLE_SHARE * self.most_w if self.most_w else 0.0


def sampling(source: Source, spans: Ints, got: WindowEnergy, limits: Limits) -> Sampling:
    """What a source leaves open about the energy of spans that don't overlap."""
    edge_j = _edges_j(source, spans)
    if not source.full_time and not source.counts:
        edge_j = math.hypot(edge_j, _between_j(source, spans))
    if not source.part_time:
        return Sampling(edge_j, edge_j, edge_j, None)
    power_w = _readings_w(source, spans)
    most_w = limits.most_w or float(power_w.max(initial=0.0))
    open_w = missed(power_w, seen_share=source.least_share, least_w=limits.least_w, most_w=most_w)
    seconds = int((spans[:, 1] - spans[:, 0]).sum()) / 1e9 * got.coverage
    return Sampling(
        edge_j,
        math.hypot(edge_j, open_w.low_w * seconds),
        math.hypot(edge_j, open_w.high_w * seconds),
        open_w,
    )


def readings(source: Source, spans: Ints) -> int:
    """How many of a source's readings lie in spans."""
    first, last = many.between_instants(source.reading_ns, spans)
    return int(np.maximum(last - first, 0).sum())


def independent(source: Source, spans: Ints) -> int:
    """How many of a source's readings speak of spans alone, and each of another time.

    What a reading tells of other times as well is no evidence of these, but for the instants
    between one step and the next.
    """
    starts, ends = source.stretches
    inside = many.time_inside(spans, starts, ends) >= OF_SPANS * (ends - starts)
    return int(np.count_nonzero(inside)) // source.overlap


def quadrature(*parts: float) -> float:
    """Independent errors together."""
    return math.hypot(*parts)


def ratio_half_width(a_j: float, a_open_j: float, b_j: float, b_open_j: float) -> float:
    """The 95 % half-width of a / b for two windows of one card: its gain falls out."""
    return abs(a_j / b_j) * math.hypot(a_open_j / a_j if a_j else 0.0, b_open_j / b_j)


def _edges_j(source: Source, spans: Ints) -> float:
    """All edges together: what happens within a reading, and when the reading really was."""
    edges = spans.ravel()
    if source.stated:  # its course isn't known: the mean power stands for that at its edges
        mean_w = float(source.curve.start_w.max(initial=0.0))
        return source.place_s * mean_w * math.sqrt(len(edges))
    around = (AROUND * (source.blur_s * 1e9)).astype(np.int64)
    power = energy.power_at(source.curve, edges[:, None] + around)
    power[np.isnan(power)] = 0.0
    most_w = power.max(axis=1)
    swing = np.maximum(most_w - power.min(axis=1), LEAST_SWING * most_w)
    # A counter's energy is right and its time is not: an error in time costs all of the power.
    wrong_w = most_w if source.counts else swing
    each_j = WITHIN * source.blur_s * swing + source.place_s * wrong_w
    return math.sqrt(float(each_j @ each_j))


def _between_j(source: Source, spans: Ints) -> float:
    """Changes between two readings came at any time between them: uniform, so 1 / √12 of each."""
    curve = source.curve
    low = np.searchsorted(curve.t_ns, spans[:, 0], side="left")
    high = np.searchsorted(curve.t_ns, spans[:, 1], side="right")
    between = many.ranges(low, high - 1)
    seconds = (curve.t_ns[between + 1] - curve.t_ns[between]) / 1e9
    open_j = seconds * (curve.end_w[between] - curve.start_w[between])
    return 1.96 * math.sqrt(float(open_j @ open_j) / 12)


def _readings_w(source: Source, spans: Ints) -> Floats:
    inside = source.reading_ns[many.at_instants(source.reading_ns, spans)]
    power = energy.power_at(source.curve, inside)
    return power[~np.isnan(power)]
