"""What a run has taught about its cards, kept for the next one.

The first run on a card looks at it closely. So that later ones need not, and so that a counter that
was caught in a contradiction stays set aside in runs too short to catch it, what was found is put
into the card's file. A calibration knows more and is never replaced by this.
"""

from dataclasses import replace
from pathlib import Path

from vidmeter.meter.cards import known_of, remember
from vidmeter.meter.device import Device, Provenance
from vidmeter.meter.probing import probe
from vidmeter.meter.quality import Quality, Verdict
from vidmeter.meter.run import Run
from vidmeter.meter.sources import sources_of
from vidmeter.meter.trust import set_aside

SHORTEST_S = 2.5


def learn(run: Run, *, where: Path | None = None) -> list[Path]:
    """Keep what is new of each card of a run; the files written. OSError if they can't be."""
    written = []
    for device in run.devices:
        if device.sensor == "nvml" and device.provenance is Provenance.MEASURED:
            found = judged(run, device)
            known = known_of(device).quality
            if _worth_keeping(found, known):
                written.append(remember(device.uuid, quality=_merged(found, known), where=where))
    return written


def judged(run: Run, device: Device) -> Quality:
    """What is known of a card after a run, with the verdict on sources that can't be true."""
    quality = probe(run, device)
    aside = set_aside(sources_of(run, device), None)
    series = tuple(
        replace(s, verdict=Verdict.BROKEN, reason=aside[s.quantity]) if s.quantity in aside else s
        for s in quality.series
    )
    return replace(quality, series=series)


def _worth_keeping(found: Quality, known: Quality | None) -> bool:
    if known is None:
        return found.watched_s >= SHORTEST_S and any(s.refresh_ns for s in found.series)
    return any(
        s.verdict is Verdict.BROKEN and (kept := known.of(s.quantity)) and kept.verdict != s.verdict
        for s in found.series
    )


def _merged(found: Quality, known: Quality | None) -> Quality:
    """What was known, with the sources that this run caught marked as broken."""
    if known is None:
        return found
    broken = {s.quantity: s.reason for s in found.series if s.verdict is Verdict.BROKEN}
    series = tuple(
        replace(s, verdict=Verdict.BROKEN, reason=broken[s.quantity]) if s.quantity in broken else s
        for s in known.series
    )
    return replace(known, series=series)
