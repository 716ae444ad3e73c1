"""How good a card's readings are, as values: what a probe found, and what a calibration said.

A power reading has properties that are independent of each other: how often it is renewed, how long
it averages (`window_ns`, which may be shorter than that: such a sensor looks part of the time
only), how late it comes (`delay_ns`) and how sluggishly it follows (`lag_ns`). Which card has which
is found on the card: Yang, Adámek, Armour, "Part-time Power Measurements", arXiv 2312.02741, show
that it differs between architectures, drivers and fields, and between two cards of one name.

Both values travel as plain JSON in a device's facts (`quality`, `calibration`), so that a run file
holds what its numbers were computed with, and in the card's file (`cards`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from vidmeter.meter.errors import BadCalibration
from vidmeter.meter.sample import Quantity

MS = 1_000_000
_INSTANT = {
    "9.0": (25, 100),
    "8.9": (100, 100),
    "8.6": (100, 100),
    "8.0": (25, 100),
    "7.5": (100, 100),
    "7.0": (10, 20),
    "6.1": (10, 20),
    "6.0": (10, 20),
}
"""Window and refresh of instant power, ms, by compute capability: Yang, Adámek, Armour, arXiv
2312.02741. Nothing is published of others (H200 counts as Hopper, and is not confirmed)."""
_LEAST_SHARE = {"9.0": 0.212, "8.0": 0.176, "7.5": 0.197}
"""The least share of the time that any card of a capability was found to look, same source: one
Turing card looked 20 of 100 ms, where the others missed nothing."""
_PUBLISHED_NEAR = 0.2


class Verdict(StrEnum):
    """What a probe says of a series."""

    WORKS = "works"
    ABSENT = "absent"
    """The card or its driver doesn't offer it."""
    BROKEN = "broken"
    """It answers, and what it says can't be true."""
    UNTESTED = "untested"
    """It answers, but was not watched for long enough."""


class Origin(StrEnum):
    """How the window of a reading is known."""

    MEASURED = "measured"
    """Recovered on this card, by `vidmeter calibrate`."""
    DOCUMENTED = "documented"
    """Promised by NVIDIA's nvml.h."""
    PUBLISHED = "published"
    """Measured by others on cards of this architecture (arXiv 2312.02741)."""


@dataclass(frozen=True, slots=True)
class SeriesQuality:
    """What is known of one series of one card; None where it isn't known.

    `refresh_ns` is how often a new value comes: of a counter its tick, of the driver's ring its
    spacing. `depth` is how many samples the ring holds.
    """

    quantity: Quantity
    verdict: Verdict
    reason: str | None = None
    refresh_ns: int | None = None
    depth: int | None = None
    window_ns: int | None = None
    window_origin: Origin | None = None
    delay_ns: int | None = None
    lag_ns: int | None = None

    @property
    def seen_share(self) -> float | None:
        """The share of the time in which the sensor looks, 0-1; None where that isn't known."""
        if self.lag_ns:
            return 1.0
        if self.window_ns is None or not self.refresh_ns:
            return None
        return min(1.0, self.window_ns / self.refresh_ns)


@dataclass(frozen=True, slots=True)
class Quality:
    """What a probe found on one card, which holds for its UUID with this driver and VBIOS.

    `watched_s` is how long it was watched; `made` the day, as 2026-11-23.
    """

    uuid: str
    driver_version: str | None
    vbios: str | None
    made: str
    watched_s: float
    series: tuple[SeriesQuality, ...]

    def of(self, quantity: Quantity) -> SeriesQuality | None:
        """What is known of one series, None if nothing is."""
        return next((s for s in self.series if s.quantity is quantity), None)


@dataclass(frozen=True, slots=True)
class Calibration:
    """One card's readings against an external meter: reported = gain × true + offset_w.

    `error` is the half-width (95 %) of what stays uncertain afterwards, as a share of the true
    energy, the meter's own error included. It holds for the card `uuid` and for no other: two
    cards of one model differ by about 3 points (arXiv 2312.02741).
    """

    uuid: str
    gain: float
    offset_w: float
    r2: float
    error: float
    meter: str
    made: str
    compared_s: float

    def true_w(self, reported_w: float) -> float:
        """The power that a reading stands for, W."""
        return (reported_w - self.offset_w) / self.gain


def quality_to_json(quality: Quality) -> dict[str, Any]:
    """As plain JSON values."""
    series = [{k: v for k, v in asdict(s).items() if v is not None} for s in quality.series]
    return asdict(quality) | {"series": series}


def quality_from_json(data: Mapping[str, Any]) -> Quality:
    """What `quality_to_json` wrote; KeyError, TypeError or ValueError if it is something else."""
    series = tuple(
        SeriesQuality(
            **{
                **one,
                "quantity": Quantity(one["quantity"]),
                "verdict": Verdict(one["verdict"]),
                "window_origin": Origin(one["window_origin"]) if "window_origin" in one else None,
            }
        )
        for one in data["series"]
    )
    return Quality(**{**data, "series": series})


def calibration_to_json(calibration: Calibration) -> dict[str, Any]:
    """As plain JSON values."""
    return asdict(calibration)


def calibration_from_json(data: Mapping[str, Any]) -> Calibration:
    """What `calibration_to_json` wrote; `BadCalibration` if it makes no sense."""
    try:
        found = Calibration(**data)
        sane = 0.5 < found.gain < 2 and abs(found.offset_w) < 500 and 0 <= found.error < 1
    except TypeError as error:
        raise BadCalibration(f"not a calibration: {error}") from None
    if not sane:
        raise BadCalibration(
            f"the calibration of {found.uuid} makes no sense: gain {found.gain},"
            f" offset {found.offset_w} W, error {found.error}"
        )
    return found


def published_window_ns(
    capability: str | None, quantity: Quantity, refreshed_ns: int | None
) -> int | None:
    """The window of a reading on cards like this, if the refresh period found doesn't deny it."""
    usual = _INSTANT.get(capability or "")
    if usual is None or quantity not in (Quantity.POWER_INSTANT, Quantity.POWER_USAGE):
        return None
    window, refresh = usual[0] * MS, usual[1] * MS
    if refreshed_ns is not None and abs(refreshed_ns - refresh) > _PUBLISHED_NEAR * refresh:
        return None
    return window


def published_least_share(capability: str | None, share: float) -> float:
    """The least share of the time that such a card may look, where others of it look `share`."""
    return min(share, _LEAST_SHARE.get(capability or "", 1.0))
