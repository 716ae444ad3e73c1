"""Sources of readings. `base` holds the Protocol, every other file one source.

`open_sensors` decides which of them serve a run. By itself it takes the GPUs through NVML, and the
CPU through RAPL where that is readable or by a model where it isn't. What can't be read is said
in words (`Opened.absent`), never as a zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sensors.base import Sensor
from vidmeter.meter.sensors.nvml_errors import LIBRARY_NOT_FOUND, library_found, why_no_gpu

NAMES = ("nvml", "rapl", "modelled", "fake", "replay")


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for.

    `sensors` are names as in `--sensor` ("nvml", "rapl", "modelled", "fake", "fake:FILE",
    "replay:RUN"); none means the automatic choice. `gpus` is the text of `--gpus`, `cpu_watts` the
    processor's draw at full load as stated by the user.
    """

    sensors: tuple[str, ...] = ()
    gpus: str | None = None
    cpu_watts: float | None = None


class Absent(NamedTuple):
    """A source that doesn't serve here, and why, in one line."""

    sensor: str
    reason: str


class Opened(NamedTuple):
    """The sensors that serve, what can't be measured and why, and notes on what can."""

    sensors: list[Sensor]
    absent: list[Absent]
    notes: list[str]


def open_sensors(selection: Selection, environ: Mapping[str, str]) -> Opened:
    """Open what was asked for, or what there is; `NoDevice` if a sensor asked for isn't there."""
    opened = Opened([], [], [])
    if selection.sensors:
        for name in selection.sensors:
            _add(_open(name, selection, environ), opened)
        return opened
    wanted = selection.gpus != "none"
    if wanted and not _try("nvml", selection, environ, opened) and selection.gpus is not None:
        raise NoDevice(opened.absent[-1].reason)
    # A rating stated by the user is an instruction: it stands in for RAPL.
    if selection.cpu_watts is not None or not _try("rapl", selection, environ, opened):
        _try("modelled", selection, environ, opened)
    return opened


def _try(name: str, selection: Selection, environ: Mapping[str, str], opened: Opened) -> bool:
    try:
        _add(_open(name, selection, environ), opened)
    except NoDevice as error:
        opened.absent.append(Absent(name, str(error)))
        return False
    return True


def _add(sensor: Sensor, opened: Opened) -> None:
    opened.sensors.append(sensor)
    opened.notes.extend(sensor.notes)


def _open(name: str, selection: Selection, environ: Mapping[str, str]) -> Sensor:
    """Each import stands where it is needed: the sampler starts with every run."""
    kind, _, argument = name.partition(":")
    if kind == "nvml":
        # The usual case without a GPU, told before pynvml is imported for nothing.
        if not library_found():
            raise NoDevice(why_no_gpu(LIBRARY_NOT_FOUND))
        from vidmeter.meter.sensors.nvml import NvmlSensor

        return NvmlSensor(selection.gpus, environ=environ)
    if kind == "rapl":
        from vidmeter.meter.sensors.rapl import RaplSensor

        return RaplSensor()
    if kind == "modelled":
        from vidmeter.meter.sensors.modelled import ModelledCpu

        return ModelledCpu(cpu_watts=selection.cpu_watts)
    if kind == "fake":
        from vidmeter.meter.sensors.fake import FakeSensor

        return FakeSensor.open(Path(argument) if argument else None)
    if kind == "replay" and argument:
        from vidmeter.meter.sensors.replay import ReplaySensor

        return ReplaySensor.open(Path(argument))
    raise NoDevice(f"no sensor is called {name!r}: there are {', '.join(NAMES)}")
