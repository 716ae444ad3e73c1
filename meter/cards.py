"""What is known of single cards, kept on disk: one JSON file for each UUID.

A probe holds for a card with one driver and one VBIOS, and is made anew when either changed. A
calibration belongs to the card alone; it is never taken for another one, whatever the file's name.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidmeter.meter.device import Device
from vidmeter.meter.errors import BadCalibration
from vidmeter.meter.quality import (
    Calibration,
    Quality,
    calibration_from_json,
    calibration_to_json,
    quality_from_json,
    quality_to_json,
)

SCHEMA = "vidmeter-card/1"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a card; `doubts` says what of its file was not used, one line each."""

    quality: Quality | None = None
    calibration: Calibration | None = None
    doubts: tuple[str, ...] = ()


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where cards' files are: `vidmeter/cards` in the user's data folder (XDG_DATA_HOME)."""
    data = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Path(data) / "vidmeter" / "cards"


def recall(device: Device, *, where: Path | None = None) -> Known:
    """What is known of a card. A file that can't be used is a doubt, never an error."""
    path = _path(device.uuid, where)
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            return Known(doubts=(f"{path} is from another version of vidmeter: not used",))
        quality = quality_from_json(document["quality"]) if document.get("quality") else None
    except FileNotFoundError:
        return Known()
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Known(doubts=(f"{path} can't be used ({type(error).__name__}): delete it",))
    if quality is not None and not _fits(quality, device):
        quality = None
    try:
        calibration = _calibration(document.get("calibration"))
        if calibration is not None:
            check_card(calibration, device.uuid, path)
    except BadCalibration as error:
        return Known(quality, None, (f"{error}: not applied",))
    return Known(quality, calibration)


def remember(
    uuid: str,
    *,
    quality: Quality | None = None,
    calibration: Calibration | None = None,
    where: Path | None = None,
) -> Path:
    """Keep what was found of a card, beside what its file holds already; OSError if it can't be."""
    path = _path(uuid, where)
    document: dict[str, Any] = {"schema": SCHEMA, "quality": None, "calibration": None}
    try:
        kept = json.loads(path.read_text())
        if kept.get("schema") == SCHEMA:
            document |= kept
    except (OSError, ValueError, AttributeError):
        pass  # none yet, or one that is no use: it is written anew
    if quality is not None:
        document["quality"] = quality_to_json(quality)
    if calibration is not None:
        document["calibration"] = calibration_to_json(calibration)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(f".{os.getpid()}")
    made.write_text(json.dumps(document, indent=1) + "\n")
    made.replace(path)
    return path


def read_calibration(path: Path) -> Calibration:
    """The calibration in a card's file; `BadCalibration` where there is none."""
    try:
        document = json.loads(path.read_text())
        found = _calibration(document["calibration"])
    except OSError as error:
        raise BadCalibration(f"can't read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        found = None
    if found is None:
        raise BadCalibration(f"{path} holds no calibration: `vidmeter calibrate --reference` does")
    return found


def check_card(calibration: Calibration, uuid: str, path: Path) -> None:
    """Raise `BadCalibration` if it belongs to another card."""
    if calibration.uuid != uuid:
        raise BadCalibration(
            f"the calibration in {path} belongs to the card {calibration.uuid}, not to {uuid}"
        )


def with_known(device: Device, known: Known) -> Device:
    """The device with what is known of it among its facts, as a run file keeps it."""
    facts = dict(device.facts)
    if known.quality is not None:
        facts["quality"] = quality_to_json(known.quality)
    if known.calibration is not None:
        facts["calibration"] = calibration_to_json(known.calibration)
    return replace(device, facts=facts)


def known_of(device: Device) -> Known:
    """What a device's facts hold, as `with_known` put it there."""
    try:
        quality = device.facts.get("quality")
        found = None if quality is None else quality_from_json(quality)
    except (KeyError, TypeError, ValueError) as error:
        return Known(doubts=(f"{device.label}: what its sensors are like is unreadable: {error}",))
    try:
        calibration = _calibration(device.facts.get("calibration"))
        if calibration is not None and calibration.uuid != device.uuid:
            text = f"the calibration belongs to the card {calibration.uuid}, not to {device.uuid}"
            return Known(found, None, (f"{text}: not applied",))
    except BadCalibration as error:
        return Known(found, None, (f"{error}: not applied",))
    return Known(found, calibration)


def _fits(quality: Quality, device: Device) -> bool:
    return (quality.uuid, quality.driver_version, quality.vbios) == (
        device.uuid,
        device.facts.get("driver_version"),
        device.facts.get("vbios"),
    )


def _calibration(data: Any) -> Calibration | None:
    return None if data is None else calibration_from_json(data)


def _path(uuid: str, where: Path | None) -> Path:
    return (where or folder()) / f"{uuid}.json"
