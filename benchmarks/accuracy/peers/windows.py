"""What the programs in this folder share. Each runs one peer, in that peer's own environment.

PYTHON PROGRAM.py PLAN RESULT [GPU]: PLAN is JSON (what to open and close when, ns of
CLOCK_MONOTONIC), RESULT gets a line of JSON when the peer is ready and one for each window and
card. A meter's own window goes from the middle of its opening call to the middle of its closing
one.
Standard library alone: nothing of the repository is installed here.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

SETTLE_S = 0.5
"""For what a meter has still in its pipes when all close at once."""


class Meter(Protocol):
    """Something that is opened and closed, for one or several cards."""

    def open(self) -> None:
        """Begin a window."""
        ...

    def close(self) -> None:
        """End it."""
        ...

    def energies(self) -> Mapping[int, float | str]:
        """What it says, asked a moment later: joules of each card, or in words why none."""
        ...


def plan() -> dict[str, Any]:
    """What is to be done: `windows`, `gpus` (how many there are)."""
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return found


def follow(windows: Sequence[Mapping[str, Any]], meters: Sequence[Meter]) -> None:
    """Open and close all meters at each window; write what they say."""
    with Path(sys.argv[2]).open("w", buffering=1) as out:
        print(json.dumps({"ready": True}), file=out)
        for window in windows:
            wait_until(window["begin_ns"])
            begins_ns = [_middle(meter.open) for meter in meters]
            wait_until(window["end_ns"])
            ends_ns = [_middle(meter.close) for meter in meters]
            time.sleep(SETTLE_S)
            for meter, begin_ns, end_ns in zip(meters, begins_ns, ends_ns, strict=True):
                for gpu, value in meter.energies().items():
                    line = {"waveform": window["waveform"], "gpu": gpu}
                    line |= {"begin_ns": begin_ns, "end_ns": end_ns}
                    key = "reason" if isinstance(value, str) else "energy_j"
                    print(json.dumps(line | {key: value}), file=out)


def wait_until(t_ns: int) -> None:
    """Sleep until an instant of CLOCK_MONOTONIC."""
    time.sleep(max(0, t_ns - time.monotonic_ns()) / 1e9)


def _middle(call: Callable[[], None]) -> int:
    before_ns = time.monotonic_ns()
    call()
    return (before_ns + time.monotonic_ns()) // 2
