"""What devices could do at most by their vendors' data sheets, and what an operation may cost.

Peaks are dense ones (data sheets often print figures with sparsity, which are twice as high and
reached by none of these workloads). They stand in data/gpu_peaks.csv with their sources; a device
that isn't in it, or a type of number that is ambiguous there, has none.

An operation of a bf16 diffusion transformer takes 0.8 to 2.6 pJ on Hopper and Blackwell (the
measurements of ML.ENERGY's benchmark v3 over traced operations: an H100 2.0 to 2.5 with diffusers,
a tuned B200 about 0.8). A measured value far outside means that something else was measured than
was meant: another number of steps, guidance ignored, several GPUs counted, a second program. Older
cards take more, and so do small tensors that leave a card idle; so a caution is only raised outside
0.3 to 8 pJ, and only for measured GPUs that compute in 16 bits. A GPU that waits for its host takes
more as well: what lies above is worth a look, not an error. A language model that writes waits for
its weights to be read for each token, hundreds of pJ for an operation: only the lower end counts.
"""

import csv
import math
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.device import Provenance
from vidmeter.meter.summary import Caution
from vidmeter.reports.arm import Arm

USUAL_PJ = (0.8, 2.6)
PLAUSIBLE_PJ = (0.3, 8.0)
_TABLE = Path(__file__).with_name("data") / "gpu_peaks.csv"
_COLUMNS = {
    "bfloat16": "bf16_tflops",
    "bf16": "bf16_tflops",
    "float16": "fp16_tflops",
    "fp16": "fp16_tflops",
}


class Peak(NamedTuple):
    """A nominal dense peak, TFLOP/s, and where the figure is from."""

    tflops: float
    name: str
    source: str


def peak(device_name: str, dtype: str | None) -> Peak | None:
    """The peak of a device for a type of number; None unless one row, and only one, is about it.

    `float32` has none: whether TF32 is used is the program's choice and not known here.
    """
    column = _COLUMNS.get(dtype or "")
    rows = [row for row in _rows() if re.search(row["match"], device_name)]
    if column is None or len(rows) != 1 or not rows[0][column] or "MIG" in device_name:
        return None
    return Peak(float(rows[0][column]), rows[0]["name"], rows[0]["source"])


def memory_bytes_per_s(device_name: str) -> float | None:
    """The nominal bandwidth of a device's memory, bytes/s; None unless just one row is about it.

    Of a card that is sold with several memories, the slowest.
    """
    rows = [row for row in _rows() if re.search(row["match"], device_name)]
    if len(rows) != 1 or "MIG" in device_name:
        return None
    return float(rows[0]["memory_gb_per_s"]) * 1e9


def share_of_peak(arm: Arm) -> tuple[float, Peak] | None:
    """How much of one device's peak was reached; None where several or others were counted."""
    if arm.tflops is None or arm.device_count != 1 or not arm.gpus_only or not _measured(arm):
        return None
    found = peak(arm.device_names[0], _dtype(arm))
    return (arm.tflops / found.tflops, found) if found else None


def implausible(arm: Arm) -> Caution | None:
    """The doubt about an energy for an operation that can't well be; None where there is none."""
    value = arm.pj_per_flop
    if value is None or not _measured(arm) or not arm.gpus_only or _dtype(arm) not in _COLUMNS:
        return None
    low, high = PLAUSIBLE_PJ
    if arm.task == "language":
        high = math.inf
    if low <= value <= high:
        return None
    side = "less" if value < low else "more"
    band = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} at least"
    return Caution(
        "implausible",
        f"{value:.3g} pJ per FLOP is {side} than is plausible ({band}): perhaps"
        " something else was measured than was meant",
        "check steps, guidance, the devices counted, and what else ran"
        if value < low
        else "check which devices are counted, what else ran, and whether the GPU waited",
    )


def _measured(arm: Arm) -> bool:
    return arm.provenance is Provenance.MEASURED


def _dtype(arm: Arm) -> str | None:
    found = arm.settings.get("dtype") or arm.facts.get("dtype")
    return str(found) if found else None


@cache
def _rows() -> tuple[dict[str, str], ...]:
    with _TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
