"""A card's readings against an external meter: reported = gain × true + offset_w.

Gain and offset are what there is to be found: R² of that line is 0.999 and better on most cards,
and the two cards of one model differ by 3 points (Yang, Adámek, Armour, arXiv 2312.02741). The
meter's clock may be off by seconds, so the shift at which both agree best is found first. Then
stretches of about a second are compared; those in which power hardly changes weigh most, because
what is left of the shift hardly matters there.
"""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.calibrating.reference import Log
from vidmeter.meter.device import Device
from vidmeter.meter.energy import Curve, Floats
from vidmeter.meter.errors import BadCalibration
from vidmeter.meter.quality import Calibration, Quality, Verdict
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import sources_of
from vidmeter.meter.trust import set_aside

MOST_SHIFT_S = 3.0
GAP_FACTOR = 2.5
STRETCH_S = 1.0
LEAST_S = 20.0
STEADY_SHARE = 0.02
"""A change by so much of the whole range of power, between neighbours, halves a weight."""
LEAST_RANGE, LEAST_RANGE_W = 0.15, 15.0
"""Power must range over such a share of its highest, and so many watts, for gain and offset to be
told apart."""
LEAST_R2 = 0.9
GAINS = (0.6, 1.6)
STEPPED_S = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """A calibration, and what it was made of. `shift_s` is how far the log's clock was ahead.

    Means are over the stretches compared, W: as the card reported, after the calibration, and by
    the meter. `span_s` is how long log and run overlap, `gap_s` how much of it the log leaves out.
    """

    calibration: Calibration
    quantity: Quantity
    shift_s: float
    raw_w: float
    calibrated_w: float
    meter_w: float
    span_s: float
    gap_s: float


class _Line(NamedTuple):
    gain: float
    offset_w: float
    r2: float
    left_w: float


def calibrate(
    run: Run, device: Device, log: Log, *, quality: Quality, meter: str, meter_error: float
) -> Compared:
    """Gain and offset of a card from a log of the same time. `BadCalibration` if it can't be."""
    quantity, curve = _curve(run, device, quality)
    t_s = _on_run_clock(run, log)
    start_s, end_s = (float(t) / 1e9 for t in (curve.t_ns[0], curve.t_ns[-1]))
    span_s = min(end_s, t_s[-1]) - max(start_s, t_s[0])
    if span_s <= 0:
        _refuse_no_overlap(run, log)
    shift_s = _shift_s(curve, t_s, log)
    t_s = t_s - shift_s
    span_s = max(0.0, min(end_s, t_s[-1]) - max(start_s, t_s[0]))
    gap_s = _gaps_s(t_s, log.spacing_s, start_s, end_s)
    starts, ends = _stretches(curve, t_s, log.spacing_s, max(STRETCH_S, 2 * log.spacing_s))
    true_w = _log_mean_w(t_s, log.power_w, starts, ends)
    shown_w = _mean_w(curve, starts, ends)
    known = np.isfinite(shown_w)
    true_w, shown_w, seconds = true_w[known], shown_w[known], (ends - starts)[known]
    compared_s = float(seconds.sum())
    if compared_s < LEAST_S:
        left = f", {gap_s:.0f} s of them missing in the log" if gap_s else ""
        raise BadCalibration(
            f"log and run have {compared_s:.0f} s in common ({span_s:.0f} s overlap{left}): at"
            f" least {LEAST_S:.0f} s are needed, log for the whole minute"
        )
    line = _line(true_w, shown_w)
    raw, mean = (float(np.average(w, weights=seconds)) for w in (shown_w, true_w))
    error = math.hypot(1.96 * line.left_w / mean, meter_error)
    calibration = Calibration(
        uuid=device.uuid,
        gain=line.gain,
        offset_w=line.offset_w,
        r2=line.r2,
        error=error,
        meter=meter,
        made=time.strftime("%Y-%m-%d", time.gmtime(float(log.t_s[-1]))),
        compared_s=compared_s,
    )
    return Compared(
        calibration, quantity, shift_s, raw, calibration.true_w(raw), mean, span_s, gap_s
    )


def _curve(run: Run, device: Device, quality: Quality) -> tuple[Quantity, Curve]:
    """The card's own energy by its preferred source that isn't broken, as it was reported."""
    sources = sources_of(run, device)
    aside = set(set_aside(sources, quality))
    aside |= {s.quantity for s in quality.series if s.verdict is Verdict.BROKEN}
    usable = [s for s in sources if s.quantity not in aside]
    if not usable:
        raise BadCalibration(f"{device.label} gave no reading in this run to compare with")
    return usable[0].quantity, usable[0].raw


def _on_run_clock(run: Run, log: Log) -> Floats:
    """The log's instants on CLOCK_MONOTONIC, s."""
    if not run.anchors:
        raise BadCalibration("the run holds no wall clock: it can't be put beside a log")
    offsets = np.asarray([a.real_ns - a.monotonic_ns for a in run.anchors]) / 1e9
    if float(np.ptp(offsets)) > STEPPED_S:
        raise BadCalibration("the wall clock was set while this run was recorded: calibrate again")
    return np.asarray(log.t_s - float(np.median(offsets)), dtype=np.float64)


def _refuse_no_overlap(run: Run, log: Log) -> None:
    def clock(t_s: float) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(t_s))

    first, last = run.anchors[0], run.anchors[-1]
    end_ns = run.end_ns or last.monotonic_ns
    run_span = [first.to_real(run.start_ns) / 1e9, last.to_real(end_ns) / 1e9]
    raise BadCalibration(
        f"the log ({clock(log.t_s[0])} to {clock(log.t_s[-1])} UTC) and the run"
        f" ({clock(run_span[0])} to {clock(run_span[1])} UTC) have no time in common"
    )


def _shift_s(curve: Curve, t_s: Floats, log: Log) -> float:
    """How far the log's clock is ahead, s: where both agree best."""
    width_s = max(0.2, 2 * log.spacing_s)
    best = 0.0
    for reach_s, step_s in ((MOST_SHIFT_S, 0.05), (0.06, 0.01), (0.012, 0.002)):
        # From the middle outwards: of shifts that agree as well, the smallest.
        shifts = np.arange(-reach_s, reach_s + step_s / 2, step_s)
        found = []
        for shift in sorted((best + shifts).tolist(), key=abs):
            moved = t_s - shift
            starts, ends = _stretches(curve, moved, log.spacing_s, width_s)
            shown = _mean_w(curve, starts, ends)
            true = _log_mean_w(moved, log.power_w, starts, ends)
            known = np.isfinite(shown)
            found.append((_agreement(true[known], shown[known]), -abs(shift), shift))
        best = max(found)[2] if found else best
    return best


def _agreement(a: Floats, b: Floats) -> float:
    if len(a) < 5 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return round(float(np.corrcoef(a, b)[0, 1]), 6)


def _stretches(
    curve: Curve, t_s: Floats, spacing_s: float, width_s: float
) -> tuple[Floats, Floats]:
    """Starts and ends, s, of stretches within the run's time in which the log has no gap."""
    low = max(float(curve.t_ns[0]) / 1e9, float(t_s[0]))
    high = min(float(curve.t_ns[-1]) / 1e9, float(t_s[-1]))
    starts = np.arange(low, high - width_s, width_s)
    ends = starts + width_s
    wide = np.flatnonzero(np.diff(t_s) > GAP_FACTOR * spacing_s)
    for i in wide:
        keep = (ends <= t_s[i]) | (starts >= t_s[i + 1])
        starts, ends = starts[keep], ends[keep]
    return starts, ends


def _gaps_s(t_s: Floats, spacing_s: float, start_s: float, end_s: float) -> float:
    """How much of the run the log has nothing of, between its first and its last reading, s."""
    wide = np.flatnonzero(np.diff(t_s) > GAP_FACTOR * spacing_s)
    return float(sum(max(0.0, min(t_s[i + 1], end_s) - max(t_s[i], start_s)) for i in wide))


def _log_mean_w(t_s: Floats, power_w: Floats, starts: Floats, ends: Floats) -> Floats:
    """The log's mean power over stretches: straight lines between its readings."""
    steps = np.diff(t_s) * (power_w[1:] + power_w[:-1]) / 2
    joules = np.concatenate(([0.0], np.cumsum(steps)))

    def at(x: Floats) -> Floats:
        i = np.clip(np.searchsorted(t_s, x, side="right") - 1, 0, len(t_s) - 2)
        into = x - t_s[i]
        slope = (power_w[i + 1] - power_w[i]) / (t_s[i + 1] - t_s[i])
        return np.asarray(joules[i] + (power_w[i] + slope * into / 2) * into, dtype=np.float64)

    return (at(ends) - at(starts)) / (ends - starts)


def _mean_w(curve: Curve, starts: Floats, ends: Floats) -> Floats:
    """The card's mean power over stretches; NaN where it was not seen all of the time."""
    a, b = ((t * 1e9).astype(np.int64) for t in (starts, ends))
    found = energy.energies(curve, a, b)
    joules = np.asarray([e.covered_j if e.coverage > 0.99 else math.nan for e in found])
    return joules / (ends - starts)


def _line(true_w: Floats, shown_w: Floats) -> _Line:
    """The line through the stretches, those of steady power first."""
    low, high = np.percentile(true_w, [2, 98])
    if high - low < max(LEAST_RANGE * high, LEAST_RANGE_W):
        raise BadCalibration(
            f"power lay between {low:.0f} and {high:.0f} W while it was logged: too little spread"
            " to tell gain from offset; log an idle card as well as a busy one"
        )
    change = np.abs(np.diff(shown_w, prepend=shown_w[0]))
    change = np.maximum(change, np.abs(np.diff(shown_w, append=shown_w[-1])))
    weight = 1 / (1 + (change / (STEADY_SHARE * (high - low))) ** 2)
    gain, offset_w = np.polyfit(true_w, shown_w, 1, w=np.sqrt(weight)).tolist()
    left = shown_w - (gain * true_w + offset_w)
    mean = float(np.average(shown_w, weights=weight))
    total = float(np.average((shown_w - mean) ** 2, weights=weight))
    open_w2 = float(np.average(left**2, weights=weight))
    r2 = 1 - open_w2 / total if total else 0.0
    if r2 < LEAST_R2 or gain <= 0:
        raise BadCalibration(
            f"the log doesn't follow this card (R² {max(r2, 0):.2f}): is it of this card, of this"
            " time, and of no more than the card?"
        )
    if not GAINS[0] < gain < GAINS[1] or abs(offset_w) > max(60.0, 0.5 * high):
        raise BadCalibration(
            f"the log says {float(np.mean(true_w)):.0f} W where the card says"
            f" {float(np.mean(shown_w)):.0f} W (gain {gain:.2f}, offset {offset_w:.0f} W): it"
            " can't be of this card alone, or not in watts"
        )
    return _Line(gain, offset_w, r2, math.sqrt(open_w2) / gain)
