"""What the tests of the simulated driver share: a process that asks it through pynvml."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.simulated_driver.driver import Driver

S = 1_000_000_000
MS = 1_000_000
Simulated = Callable[[Driver], dict[str, str]]

WAVES: list[tuple[float, float]] = [
    (0, 120),
    (0.7, 120),
    (0.7, 640),
    (1.3, 610),
    (2.1, 240),
    (2.4, 520),
    (2.87, 120),
]
"""Steps and ramps, whose period is no multiple of any refresh."""

PRELUDE = """
import json, time, pynvml as n
def code(function, *arguments):
    try:
        function(*arguments)
    except n.NVMLError as error:
        return error.value
    return 0
def now():
    return time.monotonic_ns()
n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
"""


def ask(environ: Mapping[str, str], program: str, *, prelude: str = PRELUDE) -> Any:
    """What a program that speaks to the driver leaves in `out`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{prelude}\n{program}\nprint(json.dumps(out))"],
        env=environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wall_clock_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()
