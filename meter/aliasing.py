"""What a sensor that looks only part of the time may have missed.

Such a sensor (25 of every 100 ms on A100 and H100) is right about power that changes slowly, and
about power that changes fast and out of step with it. A load that repeats in step with its
readings shows it the same part of each cycle again and again: the readings are then as steady as
those of an even load, and wrong by up to the whole swing. One sensor alone can't tell the two
apart, so its interval has to hold both, unless its readings show that they caught the load at all
of its levels.
"""

import math
from typing import NamedTuple

import numpy as np

from vidmeter.meter.energy import Floats

IDLE_SHARE = 0.1
"""What a card draws at least, as a share of its power limit: published idle draws are 5 to 15 %."""
SPREAD = 0.2
"""Readings that jump about by this share of what is possible are not in step with the load."""
FEWEST = 10
CYCLE = 20
"""A load whose cycle is shorter than this many readings may keep step with them."""
ALIKE = 0.95
"""The correlation of readings with those a cycle later that counts as the same again."""


class Missed(NamedTuple):
    """How far the mean power may lie below and above what was read, W (95 %)."""

    low_w: float
    high_w: float
    in_step: bool
    """Whether the load may have kept step with the sensor."""


def missed(power_w: Floats, *, seen_share: float, least_w: float, most_w: float) -> Missed:
    """What readings of a part-time sensor leave open about the mean power of their time.

    `least_w` and `most_w` are what the card can draw. Readings that jump about as only a load out
    of step makes them do leave a sampling error; readings that repeat each other after a few have
    caught always the same parts of a cycle, and each change came at any time while nobody looked;
    all others leave what was not seen wide open.
    """
    if not len(power_w):
        return Missed(0.0, 0.0, False)
    mean_w = float(power_w.mean())
    least_w, most_w = min(least_w, float(power_w.min())), max(most_w, float(power_w.max()))
    unseen = 1 - seen_share
    jumps_w = power_w[1:] - power_w[:-1]
    jump_w = float(jumps_w.std()) / math.sqrt(2) if len(power_w) > 2 else 0.0
    if len(power_w) < FEWEST or jump_w < SPREAD * (most_w - least_w):
        return Missed(unseen * (mean_w - least_w), unseen * (most_w - mean_w), True)
    half = 1.96 * jump_w / math.sqrt(len(power_w))
    if repeats(power_w):
        half += unseen / 2 * float(np.abs(jumps_w).mean())
        return Missed(half, half, True)
    return Missed(half, half, False)


def repeats(power_w: Floats) -> bool:
    """Whether readings look the same again after a few of them, throughout."""
    around = power_w - power_w.mean()
    whole = float(around @ around)
    for lag in range(1, min(CYCLE, len(power_w) // 2) + 1):
        alike = float(around[lag:] @ around[:-lag]) / whole * len(power_w) / (len(power_w) - lag)
        if alike > ALIKE:
            return True
    return False
