"""One device's energy over some windows: which source answers, how sharply, and who objects.

Every usable source is asked. The first in the order of preference that is nearly as sharp there as
the sharpest one answers; another gives the second opinion. So a sensor that looks only part of the
time, or one that averages over a second, gives way to the card's counter in a short window, and
holds where there is nothing better, with the interval that goes with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidmeter.meter import spans as many
from vidmeter.meter.cards import known_of
from vidmeter.meter.device import Device, Kind
from vidmeter.meter.energy import Ints, WindowEnergy
from vidmeter.meter.probing import probe
from vidmeter.meter.run import Run
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import NAMES, Source, sources_of
from vidmeter.meter.summary import DeviceEnergy, Spans
from vidmeter.meter.trust import set_aside
from vidmeter.meter.uncertainty import Limits, Sampling, independent, readings, sampling

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
FEWEST_COUNTED = 2
"""The same for devices that aren't GPUs. Their counters miss nothing and are right when they are
read, so that only the edges are open, and these are in the interval."""


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
    quality = probe(run, device)
    sources = sources_of(run, device, quality)
    aside = set_aside(sources, quality if device.kind is Kind.GPU else None)
    limit = device.facts.get("power_limit_w")
    return Meter(
        device=device,
        sources=tuple(s for s in sources if s.quantity not in aside),
        aside=aside,
        limits=Limits(float(limit) if limit else None),
        calibrated=known_of(device).calibration is not None,
    )


def device_energy(
    meter: Meter, spans: Spans | Ints, *, prefer: str | None = None, fewest: int = 0
) -> DeviceEnergy:
    """A device's energy over spans that don't overlap, from its sharpest source there.

    `prefer` names the source that the whole is taken from, so that its parts add up to it. An
    energy that rests on fewer than `fewest` independent readings isn't stated; of a device that
    counts its energy all of the time, two are enough.
    """
    at = many.as_spans(spans)
    length_s = int((at[:, 1] - at[:, 0]).sum()) / 1e9
    aside = {NAMES[quantity]: why for quantity, why in meter.aside.items()}
    answers = _answers(meter, at, length_s)
    if not answers:
        return DeviceEnergy(
            meter.device, None, None, None, None, 0.0, None, None, None,
            resolved=not (fewest and any(many.over(s.curve, at).coverage for s in meter.sources)),
            set_aside=aside,
        )  # fmt: skip
    first = _preferred(answers, prefer) or _first(answers)
    got, alone = first.got, independent(first.source, at)
    resolved = alone >= (fewest if meter.device.kind is Kind.GPU else min(fewest, FEWEST_COUNTED))
    stated = got.coverage >= LEAST_COVERAGE and resolved
    second = _second(first, answers) if stated else None
    apart = _apart(first, second, at) if second else None
    resolution = _resolution(first, second) if second else 0.0
    trusted = apart is None or abs(apart) <= DISTRUST + resolution
    peak_w = many.peak_w(first.source.curve, at)
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
        readings=readings(first.source, at),
        independent=alone,
        resolved=resolved,
        seen_share=first.source.seen_share,
        in_step=missed is not None and missed.in_step,
        raw_j=many.over(first.source.raw, at).covered_j if stated and meter.calibrated else None,
        trusted=trusted,
        set_aside=aside,
    )


def _answers(meter: Meter, spans: Ints, length_s: float) -> list[_Answer]:
    found = []
    for source in meter.sources:
        got = many.over(source.curve, spans)
        if got.coverage > 0 and length_s >= LEAST_SPACINGS * source.every_ns / 1e9:
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


def _apart(first: _Answer, second: _Answer, spans: Ints) -> float | None:
    """The second answer over the first, less 1, over the time that both tell of.

    A mean over the last second ends half a second before its last reading.
    """
    common = many.seen(second.source.curve, many.seen(first.source.curve, spans))
    one, two = (
        each.got.covered_j if common is spans else many.over(each.source.curve, common).covered_j
        for each in (first, second)
    )
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
