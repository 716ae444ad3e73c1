"""`vidmeter calibrate`: find out how a card's sensors work, and how far off they are."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidmeter.cli.options import UsageError, find_run, positive, runs_folder, say
from vidmeter.meter.command import Job, check_room, default_path, meter
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.errors import BadCalibration, NoDevice
from vidmeter.meter.order import Order
from vidmeter.meter.sensors.visible import GpuFacts, choose

if TYPE_CHECKING:
    from vidmeter.meter.calibrating.calibration import Compared
    from vidmeter.meter.calibrating.characterise import Characterised
    from vidmeter.meter.calibrating.reference import Log
    from vidmeter.meter.run import Run

PERIOD_S = 0.005


def prepare(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "Takes about a minute, in which nothing else should run on the card. What is found is kept"
        " for the card and used by every later run on it."
    )
    parser.add_argument("--gpus", metavar="WHICH", help="which GPUs, as for run")
    parser.add_argument(
        "--sensor", action="append", default=[], metavar="NAME", help="which sensors, as for run"
    )
    parser.add_argument(
        "--period", type=positive, default=PERIOD_S, metavar="S", help="between readings (0.005)"
    )
    parser.add_argument(
        "--load",
        metavar="COMMAND",
        help="a program of yours that makes the load and marks it as phases called on",
    )
    parser.add_argument(
        "--run", dest="recorded", metavar="RUN", help="analyse a recorded run again; record nothing"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the run file to write")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")
    group = parser.add_argument_group("against an external meter")
    group.add_argument(
        "--reference",
        type=Path,
        metavar="FILE.csv",
        help="the meter's log of the same time: a column of times, a column of watts",
    )
    group.add_argument("--meter", metavar="NAME", help="what the meter is called")
    group.add_argument(
        "--meter-error",
        type=positive,
        default=1.0,
        metavar="PCT",
        help="how far off the meter itself may be, %% (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON (docs/calibrate.md)")


def run(arguments: argparse.Namespace) -> int:
    """Record, analyse, keep and tell."""
    for option in ("load", "output"):
        if arguments.recorded and getattr(arguments, option):
            raise UsageError(f"calibrate: --run records nothing: leave --{option} out")
    if arguments.meter and not arguments.reference:
        raise UsageError("calibrate: --meter names the meter of a --reference log: which log?")
    if not 0.005 <= arguments.period <= 0.1:
        raise UsageError("calibrate: --period must lie between 0.005 and 0.1 seconds")
    path = find_run(arguments.recorded) if arguments.recorded else _record(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from vidmeter.meter.reader import load

    recorded = load(path)
    cards = _cards(recorded, arguments.gpus)
    log = _log(arguments.reference, cards) if arguments.reference else None
    pairs = [_card(recorded, card, log, arguments) for card in cards]
    _tell(pairs, path, as_json=arguments.json)
    return 0


def _record(arguments: argparse.Namespace) -> Path:
    """Meter the load; the run file."""
    if arguments.reference and not arguments.reference.exists():
        # The log of a meter that is still running is written while we record; say so, soon.
        raise BadCalibration(
            f"{arguments.reference} isn't there: start the meter's log first, or record now and"
            " give the log later with --run"
        )
    uuids = _uuids(arguments)
    if arguments.load:
        command = tuple(shlex.split(arguments.load))
        if not command:
            raise UsageError("calibrate: --load is empty")
    else:
        named = [part for uuid in uuids for part in ("--gpu", uuid)]
        command = (sys.executable, "-m", "vidmeter.workloads.pulses", *named)
    path = arguments.output or default_path(("calibrate",), runs_folder())
    check_room(path)
    order = Order(
        path=str(path.absolute()),
        period_s=arguments.period,
        force=arguments.force,
        sensors=tuple(arguments.sensor),
        gpus=arguments.gpus,
    )
    say(f"recording to {path}: about a minute" if not arguments.load else f"recording to {path}")
    metered = meter(Job(command, order, outputs=()))
    for message in metered.messages:
        say(message)
    if metered.outcome.exit_code != 0:
        raise BadCalibration(
            f"the load ended with exit code {metered.outcome.exit_code}: see what it said; what was"
            f" recorded is in {path}"
        )
    return metered.path


def _uuids(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The cards that will be metered: the load is made on those and on no other."""
    from vidmeter.meter.sensors import Selection, open_sensors

    opened = open_sensors(Selection(tuple(arguments.sensor), arguments.gpus), os.environ)
    devices = [device for sensor in opened.sensors for device in sensor.devices]
    for sensor in opened.sensors:
        sensor.close()
    gpus = tuple(device.uuid for device in devices if device.kind is Kind.GPU)
    if not gpus:
        why = [a.reason for a in opened.absent if a.sensor == "nvml"]
        raise NoDevice(f"there is no GPU to calibrate: {why[0] if why else 'none was chosen'}")
    return gpus


def _cards(recorded: "Run", gpus: str | None) -> list[Device]:
    """The GPUs of a run that were asked for."""
    there = [device for device in recorded.devices if device.kind is Kind.GPU]
    if gpus is not None:
        facts = [GpuFacts(d.uuid, i if d.index is None else d.index, d.name, "")
                 for i, d in enumerate(there)]  # fmt: skip
        chosen = choose(facts, wanted=gpus, environ={}).uuids
        there = [device for device in there if device.uuid in chosen]
    if not there:
        raise NoDevice(f"no GPU was measured in the run {recorded.path}")
    return there


def _log(path: Path, cards: Sequence[Device]) -> "Log":
    from vidmeter.meter.calibrating.reference import read_log

    if len(cards) > 1:
        named = ", ".join(f"{card.index} = {card.name}" for card in cards)
        raise UsageError(
            f"calibrate: the log is of one card, and {len(cards)} are measured ({named}): name it"
            " with --gpus"
        )
    return read_log(path)


def _card(
    recorded: "Run", card: Device, log: "Log | None", arguments: argparse.Namespace
) -> "tuple[Characterised, Compared | None]":
    """Analyse one card and keep what was found of it."""
    from vidmeter.meter.calibrating.calibration import calibrate
    from vidmeter.meter.calibrating.characterise import characterise, joined
    from vidmeter.meter.cards import recall, remember

    found = characterise(recorded, card)
    compared = None
    if log is not None:
        compared = calibrate(
            recorded,
            card,
            log,
            quality=found.quality,
            meter=arguments.meter or "external meter",
            meter_error=arguments.meter_error / 100,
        )
    if card.provenance is Provenance.MEASURED and card.sensor == "nvml":
        try:
            remember(
                card.uuid,
                quality=joined(found.quality, recall(card).quality),
                calibration=None if compared is None else compared.calibration,
            )
        except OSError as error:
            raise BadCalibration(f"what was found can't be kept: {error}") from None
    return found, compared


def _tell(
    pairs: "Sequence[tuple[Characterised, Compared | None]]", path: Path, *, as_json: bool
) -> None:
    from vidmeter.reports import characterised

    if as_json:
        document = characterised.document(pairs) | {"run": str(path)}
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write("\n".join(characterised.render(*pair) for pair in pairs))
    sys.stdout.flush()
