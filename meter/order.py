"""What a sampler is told when it is started."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """What the sampler is told at its start; travels as JSON.

    `period_s` is the sampling period. `session` means: sample only while a window is open, and
    leave nothing behind (the file's folder is the session's own). `marker` is what the processes
    of the metered command carry in their environment (VIDMETER_RUN).
    """

    path: str
    command: tuple[str, ...] = ()
    period_s: float = 0.05
    force: bool = False
    session: bool = False
    marker: str = ""
    sensors: tuple[str, ...] = ()
    gpus: str | None = None
    cpu_watts: float | None = None
