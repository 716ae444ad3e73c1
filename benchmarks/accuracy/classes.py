"""The sensor classes: what cards let be read, as NAME = averaging window / refresh, ms.

Windows and refresh periods of the instant power field are those measured by Yang, Adámek and
Armour ("Accurate and Convenient Energy Measurements for GPUs", SC'24, and the tables in their
repository JimZeyuYang/GPU_Power_Benchmark): where the window is shorter than the refresh, the rest
of the time is never seen. That the counter is true is an assumption; a card on which it isn't is
the last one, drawn after reports on consumer Blackwell cards (fields renewed every 500 ms, a
counter that advances by 339 W at any load). The averaging window of its fields isn't known: 100 and
1000 ms are assumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulated_driver.driver import Counter, Gpu, Reading, Ring

TICKS = Counter(100)
MAXWELL, PASCAL, VOLTA, TURING, AMPERE, ADA, HOPPER, BLACKWELL = range(3, 11)
SECOND = Reading(100, 1000)
FULL = Reading(100, 100)
QUARTER = Reading(100, 25)
HALF = Reading(20, 10)
FIFTH = Reading(100, 20)
LAGGING = Reading(100, 100, lag_ms=150)


@dataclass(frozen=True, slots=True)
class SensorClass:
    """What a card offers. `usage` is nvmlDeviceGetPowerUsage."""

    name: str
    architecture: int
    capability: tuple[int, int]
    instant: Reading | None
    average: Reading | None
    usage: Reading
    counter: Counter | None
    ring: Ring | None = None


CLASSES = (
    SensorClass("25/100, as H100", HOPPER, (9, 0), QUARTER, SECOND, SECOND, TICKS),
    SensorClass("100/100, as Ada", ADA, (8, 9), FULL, SECOND, SECOND, TICKS),
    SensorClass("10/20, as V100", VOLTA, (7, 0), HALF, None, HALF, Counter(20)),
    SensorClass("20/100, as RTX 8000", TURING, (7, 5), FIFTH, None, FIFTH, TICKS),
    SensorClass("1000/100 only", AMPERE, (8, 6), None, SECOND, SECOND, TICKS),
    SensorClass("logarithmic, no counter", MAXWELL, (5, 2), LAGGING, None, LAGGING, None),
    SensorClass("25/100, as A100, no counter", AMPERE, (8, 0), QUARTER, None, QUARTER, None),
    SensorClass(
        "ring 20 ms, broken counter",
        BLACKWELL,
        (12, 0),
        Reading(500, 100),
        Reading(500, 1000),
        Reading(500, 1000),
        Counter(100, broken_w=339),
        Ring(20, 120),
    ),
)


def cards(curve: Sequence[tuple[float, float]], epoch_ns: int) -> list[Gpu]:
    """One card of each class, all with the same true power."""
    return [
        Gpu(
            curve=curve,
            epoch_ns=epoch_ns,
            uuid=f"GPU-51b1a7ed-0000-4000-8000-{n:012x}",
            name=f"NVIDIA Simulated {n}",
            pci=f"00000000:{n + 1:02x}:00.0",
            instant=one.instant,
            average=one.average,
            usage=one.usage,
            counter=one.counter,
            ring=one.ring,
            capability=one.capability,
            architecture=one.architecture,
        )
        for n, one in enumerate(CLASSES)
    ]
