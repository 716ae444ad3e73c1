"""What a sampler is told when it is started."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """What the sampler is told at its start; travels as JSON.

    `period_s` is the sampling period; None leaves it to what the cards need. `session` means:
    sample only while a window is open, and leave nothing behind (the file's folder is the session's
    own). `marker` is what the processes
    of the metered command carry in their environment (VIDMETER_RUN). `calibration` is a card's file
    to take in the place of the one that is kept.
    """

    path: str
    command: tuple[str, ...] = ()
    period_s: float | None = None
    force: bool = False
    session: bool = False
    marker: str = ""
    sensors: tuple[str, ...] = ()
    gpus: str | None = None
    cpu_watts: float | None = None
    calibration: str | None = None
