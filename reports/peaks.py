"""What cards nominally compute, and which energy for an operation is believable.

The peaks are those of the makers' data sheets for dense products, without sparsity: a scale to hold
achieved speed against and no bound of efficiency, for a capped card computes more for each joule.
bfloat16 stands for float16 too. From memory of the data sheets, so a share of the peak is a hint.
"""

import csv
from functools import cache
from importlib.resources import files

PLAUSIBLE_PJ = (0.3, 10.0)
"""Diffusion transformers in bfloat16 take 0.8 to 2.6 pJ per operation on Hopper and Blackwell, by
published measurements (ML.ENERGY's, of H100 and B200). Older cards take more, and small models more
still, so the band is some three times as wide; outside of it something else is being measured than
was meant: other steps, no guidance, another card's energy, weights on their way from the host."""
HALF = ("bfloat16", "float16")


def peak_tflops(name: str, dtype: str) -> float | None:
    """The nominal dense peak of a card in TFLOP/s for a type of number; None if it isn't known."""
    column = "bf16_tflops" if dtype in HALF else "fp32_tflops" if dtype == "float32" else None
    if column is None or "LAPTOP" in _words(name):  # of those there are many sorts
        return None
    for row in _rows():
        # The more special names come first in the file.
        if _words(row["name"]) <= _words(name):
            return float(row[column]) if row[column] else None
    return None


def implausible(pj_per_flop: float, dtype: str) -> str | None:
    """What is wrong with an energy per operation, in a sentence; None if it is believable.

    Only half-precision numbers are judged, which is what the published band is known for.
    """
    low, high = PLAUSIBLE_PJ
    if dtype not in HALF or low <= pj_per_flop <= high:
        return None
    return (
        f"{pj_per_flop:.3g} pJ for each operation is implausible: networks like these take between "
        f"{low:g} and {high:g} pJ"
    )


def _words(name: str) -> set[str]:
    return set(name.upper().replace("-", " ").split())


@cache
def _rows() -> list[dict[str, str]]:
    text = (files("vidmeter.reports") / "data" / "gpu_peaks.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
