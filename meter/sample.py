"""Readings: what is read (`Quantity`), of which device (`Series`), and one value (`Sample`)."""

from enum import StrEnum
from typing import NamedTuple


class Quantity(StrEnum):
    """What a series holds. The name ends in the unit of its values."""

    ENERGY = "energy_j"
    """Cumulative energy counter, J."""
    ENERGY_STATED = "energy_stated_j"
    """Energy since the start of a window, as another program told it at the window's end, J."""
    POWER_RING = "power_ring_w"
    """The driver's own ring of timestamped power samples, W."""
    POWER_INSTANT = "power_instant_w"
    """NVML field 186: the shortest average that the card offers, W."""
    POWER_AVERAGE = "power_average_w"
    """NVML field 185: a mean over one second, W."""
    POWER_USAGE = "power_usage_w"
    """nvmlDeviceGetPowerUsage: one or the other of the two above, by architecture, W."""
    CPU_BUSY = "cpu_busy_s"
    """Cumulative busy time summed over all logical CPUs, s."""
    TEMPERATURE = "temperature_c"
    SM_CLOCK = "sm_clock_mhz"
    MEMORY_CLOCK = "memory_clock_mhz"
    UTILIZATION = "utilization_pct"
    MEMORY_USED = "memory_used_b"
    POWER_LIMIT = "power_limit_w"
    CLOCK_REASONS = "clocks_event_reasons"
    """NVML's bit mask of what holds the clocks down."""
    SW_POWER_CAP = "sw_power_cap_s"
    """Cumulative time in which the driver held the clocks down to keep the power limit, s."""
    SYNC_BOOST = "sync_boost_s"
    """The same for the sake of GPUs that are kept at one clock, s."""
    SW_THERMAL = "sw_thermal_s"
    """The same to keep a temperature limit, s."""
    HW_THERMAL = "hw_thermal_s"
    """Cumulative time in which the hardware held the clocks down for heat, s."""
    POWER_BRAKE = "power_brake_s"
    """The same because the power supply asked for it, s."""
    PROCESSES = "processes"
    """How many processes have a context on the device."""
    OWN_SM = "sm_own_pct"
    """Time in which the run's own processes kept the multiprocessors busy, %."""
    FOREIGN_SM = "sm_foreign_pct"
    """The same of all other processes, %."""
    STAMP_AGE = "stamp_age_s"
    """Age of the driver's newest stamp when it came, by the wall clock, s."""


ENERGY_SOURCES = frozenset(q for q in Quantity if q.endswith(("_w", "_j"))) - {Quantity.POWER_LIMIT}
"""What tells of energy."""


class Series(NamedTuple):
    """One reading of one device over time.

    `window_ns` is the span that a reading averages over, ending at its timestamp, where that is
    documented or was measured. `wrap` is the value at which a counter starts again from 0.
    """

    device: str
    quantity: Quantity
    window_ns: int | None = None
    wrap: float | None = None


class Sample(NamedTuple):
    """One value of one series, at `t_ns` on CLOCK_MONOTONIC."""

    series: Series
    t_ns: int
    value: float
