"""One device's energy over some windows: which source answers, how sharply, and who objects.

Every usable source is asked. The first in the order of preference that is nearly as sharp there as
the sharpest one answers; another gives the second opinion. So a sensor that looks only part of the
time, or one that averages over a second, gives way to the card's counter in a short window, and
holds where there is nothing better, with the interval that goes with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidmeter.meter import energy
from vidmeter.meter.cards import known_of
from vidmeter.meter.device import Device, Kind
from vidmeter.meter.energy import WindowEnergy
from vidmeter.meter.probing import probe
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import NAMES, Source, sources_of
from vidmeter.meter.summary import DeviceEnergy, Spans
from vidmeter.meter.trust import set_aside
from vidmeter.meter.uncertainty import Limits, Sampling, readings, sampling

LEAST_COVERAGE = 0.95
"""Below this share of a window with readings, its energy is not stated."""
GOOD_COVERAGE = 0.99
"""A source that covers this much isn't passed over for a lesser one that covers more."""
LEAST_SPACINGS = 2.0
"""A window shorter than this many spacings of a source's readings is below its resolution."""
SECOND_COVERAGE = 0.9
"""A second opinion may tell of a little less."""
SHARP = 1.5
"""A preferred source may be this many times less sharp than the sharpest."""
SHARP_ENOUGH = 0.002
"""A source whose readings leave less than this share of the energy open is sharp enough."""
DISTRUST = 0.05
"""Two sources that differ by more than this, and time doesn't explain it, leave no trust."""
RESOLVED = 10
"""A phase with fewer independent readings of a GPU than this is below resolution."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A device with all that its energies can be taken from."""

    device: Device
    sources: tuple[Source, ...]
    aside: Mapping[Quantity, str]
    limits: Limits
    calibrated: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one source says of a window."""

    source: Source
    got: WindowEnergy
    open: Sampling

    @property
    def width_j(self) -> float:
        return max(self.open.low_j, self.open.high_j)


def meter_of(run: Run, device: Device) -> Meter:
    """A device of a run with its usable sources; those that can't be true are set aside."""
    sources = sources_of(run, device)
    quality = probe(run, device) if device.kind is Kind.GPU else None
    aside = set_aside(sources, quality)
    limit = device.facts.get("power_limit_w")
    return Meter(
        device=device,
        sources=tuple(s for s in sources if s.quantity not in aside),
        aside=aside,
        limits=Limits(float(limit) if limit else None),
        calibrated=known_of(device).calibration is not None,
    )


def device_energy(
    meter: Meter, spans: Spans, *, prefer: str | None = None, fewest: int = 0
) -> DeviceEnergy:
    """A device's energy over spans that don't overlap, from its sharpest source there.

    `prefer` names the source that the whole is taken from, so that its parts add up to it. An
    energy that rests on fewer than `fewest` readings of power isn't stated.
    """
    length_s = sum(end - start for start, end in spans) / 1e9
    aside = {NAMES[quantity]: why for quantity, why in meter.aside.items()}
    answers = _answers(meter, spans, length_s)
    if not answers:
        return DeviceEnergy(
            meter.device, None, None, None, None, 0.0, None, None, None, set_aside=aside
        )
    first = _preferred(answers, prefer) or _first(answers)
    got, rests_on = first.got, readings(first.source, spans)
    resolved = meter.device.kind is not Kind.GPU or rests_on >= fewest
    stated = got.coverage >= LEAST_COVERAGE and resolved
    second = _second(first, answers) if stated else None
    apart = _apart(first, second, spans) if second else None
    resolution = _resolution(first, second) if second else 0.0
    trusted = apart is None or abs(apart) <= DISTRUST + resolution
    peaks = [energy.peak_w(first.source.curve, a, b) for a, b in spans]
    peak_w = max((p for p in peaks if p is not None), default=None)
    low_j, high_j = _interval(first, peak_w, length_s)
    if second is not None and not trusted:  # one of the two is wrong, and it isn't known which
        low_j = min(low_j, second.got.covered_j - second.open.edge_j)
        high_j = max(high_j, second.got.covered_j + second.open.edge_j)
    missed = first.open.missed
    return DeviceEnergy(
        device=meter.device,
        energy_j=got.covered_j if stated else None,
        low_j=max(0.0, low_j) if stated else None,
        high_j=high_j if stated else None,
        covered_j=got.covered_j,
        coverage=got.coverage,
        source=first.source.name,
        mean_w=got.covered_j / (length_s * got.coverage) if length_s else None,
        peak_w=peak_w,
        second_source=second.source.name if second else None,
        second_j=second.got.covered_j if second else None,
        disagreement=apart,
        resolution=resolution,
        sampling_low_j=first.open.low_j if stated else None,
        sampling_high_j=first.open.high_j if stated else None,
        gain_low=first.source.low,
        gain_high=first.source.high,
        readings=rests_on,
        resolved=resolved,
        seen_share=first.source.seen_share,
        in_step=missed is not None and missed.in_step,
        raw_j=_over(first.source.raw, spans).covered_j if stated and meter.calibrated else None,
        trusted=trusted,
        set_aside=aside,
    )


def _answers(meter: Meter, spans: Spans, length_s: float) -> list[_Answer]:
    found = []
    for source in meter.sources:
        got = _over(source.curve, spans)
        spacing_s = energy.usual_spacing_ns(source.curve.t_ns) / 1e9
        if got.coverage > 0 and length_s >= LEAST_SPACINGS * spacing_s:
            found.append(_Answer(source, got, sampling(source, spans, got, meter.limits)))
    return found


def _preferred(answers: Sequence[_Answer], name: str | None) -> _Answer | None:
    """The source of the whole, if it saw all of this part."""
    return next(
        (a for a in answers if a.source.name == name and a.got.coverage >= GOOD_COVERAGE), None
    )


def _first(answers: Sequence[_Answer]) -> _Answer:
    """The preferred one of those that are nearly as sharp as the sharpest that saw it all.

    What a sensor is like on other cards is no proof for this one, so that a reading of which only
    that is known comes after those that need no such proof.
    """
    good = [a for a in answers if a.got.coverage >= GOOD_COVERAGE]
    if not good:
        return max(answers, key=lambda a: a.got.coverage)
    sharpest_j = min(a.width_j for a in good)
    return next(
        a for a in good if a.width_j <= max(SHARP * sharpest_j, SHARP_ENOUGH * a.got.covered_j)
    )


def _second(first: _Answer, answers: Sequence[_Answer]) -> _Answer | None:
    """The sharpest of the others that saw nearly all of it."""
    others = [a for a in answers if a is not first and a.got.coverage >= SECOND_COVERAGE]
    return min(others, key=lambda a: a.width_j, default=None)


def _apart(first: _Answer, second: _Answer, spans: Spans) -> float | None:
    """The second answer over the first, less 1, over the time that both tell of.

    A mean over the last second ends half a second before its last reading.
    """
    curves = first.source.curve, second.source.curve
    common = energy.seen_spans(curves[1], energy.seen_spans(curves[0], spans))
    one, two = (_over(curve, common).covered_j for curve in curves)
    return two / one - 1 if one else None


def _resolution(first: _Answer, second: _Answer) -> float:
    """What the edges of the window may explain of a disagreement, as a share of the energy."""
    edges_j = math.hypot(first.open.edge_j, second.open.edge_j)
    return edges_j / first.got.covered_j if first.got.covered_j else 0.0


def _interval(answer: _Answer, peak_w: float | None, length_s: float) -> tuple[float, float]:
    """The 95 % interval, J: gain and sampling in quadrature, above it what was not seen at all."""
    joules, source = answer.got.covered_j, answer.source
    unseen_j = (peak_w or 0.0) * length_s * (1 - answer.got.coverage)
    low_j = joules - math.hypot(joules * (1 - source.low), answer.open.low_j)
    high_j = joules + math.hypot(joules * (source.high - 1), answer.open.high_j) + unseen_j
    return low_j, high_j


def _over(curve: energy.Curve, spans: Spans) -> WindowEnergy:
    """The energy of several spans as one."""
    parts = energy.energies(curve, [a for a, _ in spans], [b for _, b in spans])
    lengths = [end - start for start, end in spans]
    whole = sum(lengths)
    if not whole:
        return WindowEnergy(0.0, 0.0, 0.0)
    return WindowEnergy(
        covered_j=math.fsum(p.covered_j for p in parts),
        coverage=sum(p.coverage * n for p, n in zip(parts, lengths, strict=True)) / whole,
        edge_w=sum(p.edge_w for p in parts) / len(parts),
    )
