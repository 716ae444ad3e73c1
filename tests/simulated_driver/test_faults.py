"""How the simulated driver dies, is loaded anew, steps the wall clock and takes its time."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from tests.simulated_driver.asking import (
    MS,
    PRELUDE,
    WAVES,
    S,
    Simulated,
    ask,
    wall_clock_offset_ns,
)
from tests.simulated_driver.driver import Counter, Driver, Gpu, Reading, Ring

Stepped = Callable[[Mapping[str, str]], dict[str, str]]

OPENING = PRELUDE.split("n.nvmlInit()", maxsplit=1)[0]

CALLS = """
calls = [(n.nvmlDeviceGetPowerUsage, h), (n.nvmlDeviceGetFieldValues, h, [186]),
         (n.nvmlDeviceGetSamples, h, 0, 0), (n.nvmlDeviceGetHandleByIndex, 0),
         (n.nvmlDeviceGetHandleByIndex, 7), (n.nvmlDeviceGetHandleByUUID, b"GPU-x"),
         (n.nvmlDeviceGetCount,), (n.nvmlSystemGetDriverVersion,), (n.nvmlInit,)]
def until(t):
    time.sleep(max(0, (t - now()) / 1e9))
"""


@pytest.mark.parametrize("dead_code", [999, 9])
def test_a_dead_driver_answers_nothing_until_it_is_opened_anew(
    simulated_driver: Simulated, dead_code: int
) -> None:
    gpu = Gpu([(0, 100)])
    driver = Driver([gpu], dead_s=(1.5, 2.0), dead_code=dead_code)

    before, during, closed, opening, after, anew = ask(
        simulated_driver(driver),
        CALLS
        + f"""
before, late = [code(*call) for call in calls], now()
assert late < {gpu.epoch_ns} + 1.5e9, "too late to see it alive"
until({gpu.epoch_ns} + 1_510_000_000)
during = [code(*call) for call in calls]
closed = [code(n.nvmlShutdown) for _ in range(3)]
opening, lasted = code(n.nvmlInit), now() < {gpu.epoch_ns} + 2_000_000_000
opening = opening if lasted else {dead_code}
until({gpu.epoch_ns} + 2_010_000_000)
after = [code(n.nvmlDeviceGetCount), code(n.nvmlInit), code(n.nvmlInit)]
h = n.nvmlDeviceGetHandleByIndex(0)
anew = [code(n.nvmlDeviceGetPowerUsage, h), n.nvmlDeviceGetTotalEnergyConsumption(h)]
out = [before, during, closed, opening, after, anew]
""",
    )

    assert before == [0, 0, 0, 0, 2, 6, 0, 0, 0]
    assert during == [dead_code] * 9
    assert closed == [0, 0, 1]
    assert opening == dead_code
    assert after == [1, 0, 0]
    assert anew[0] == 0 and anew[1] >= 1e9


def test_who_has_a_driver_open_that_died_stays_without_it(simulated_driver: Simulated) -> None:
    gpu = Gpu([(0, 100)])
    driver = Driver([gpu], dead_s=(1.5, 1.6))

    out = ask(
        simulated_driver(driver),
        CALLS
        + f"""
assert now() < {gpu.epoch_ns} + 1.5e9, "too late to see it alive"
until({gpu.epoch_ns} + 1_650_000_000)
out = [[code(*call) for call in calls], code(n.nvmlShutdown), code(n.nvmlInit),
       code(n.nvmlDeviceGetPowerUsage, h)]
""",
    )

    assert out == [[999] * 9, 0, 0, 0]


def test_a_driver_that_is_dead_for_ever_never_opens(simulated_driver: Simulated) -> None:
    environ = simulated_driver(Driver([Gpu([(0, 1)])], dead_s=(-1, math.inf)))
    assert ask(environ, "out = code(n.nvmlInit)", prelude=OPENING) == 999


def test_a_driver_loaded_anew_counts_from_zero_and_has_no_old_samples(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu([(0, 300)], counter=Counter(20, reset_s=-1))
    broken = Gpu([(0, 300)], counter=Counter(20, broken_w=50), uuid="GPU-2", epoch_ns=gpu.epoch_ns)
    driver = Driver(
        [gpu, broken], dead_s=(0, 0.3), dead_code=9, reload=True, epoch_ns=gpu.epoch_ns + S
    )

    out = ask(
        simulated_driver(driver),
        """
time.sleep(max(0, (EPOCH + 1_400_000_000 - now()) / 1e9))
n.nvmlInit()
out = []
for i in (0, 1):
    h = n.nvmlDeviceGetHandleByIndex(i)
    out.append([now(), n.nvmlDeviceGetTotalEnergyConsumption(h), now(),
                len(n.nvmlDeviceGetSamples(h, 0, 0)[1]), now()])
""".replace("EPOCH", str(gpu.epoch_ns)),
        prelude=OPENING,
    )

    for watts, (before_ns, mj, after_ns, samples, later_ns) in zip((300, 50), out, strict=True):
        since_s = [(t - gpu.epoch_ns) / S - 1.3 for t in (before_ns, after_ns, later_ns)]
        assert (since_s[0] - 0.02) * watts - 0.001 <= mj / 1000 <= since_s[1] * watts + 0.001
        assert since_s[0] / 0.02 - 1 <= samples <= since_s[2] / 0.02 + 1


def test_functions_that_ask_for_no_card_may_be_refused(simulated_driver: Simulated) -> None:
    answers = {"nvmlDeviceGetCount_v2": 4, "nvmlSystemGetDriverVersion": 999, "nvmlShutdown": 999}
    out = ask(
        simulated_driver(Driver([Gpu([(0, 1)])], answers=answers)),
        "out = [code(n.nvmlDeviceGetCount), code(n.nvmlSystemGetDriverVersion),"
        " code(n.nvmlShutdown), code(n.nvmlShutdown), code(n.nvmlDeviceGetPowerUsage, h)]",
    )
    assert out == [4, 999, 999, 1, 1]


# ---- the wall clock ----


# No step is a multiple of the refresh, so that a stamp names one instant.
STEPPED = Driver(clock_steps=[(0.8, -1507), (1.1, 45)], suspends=[(1, 3600)])


def test_stamps_are_on_the_stepped_wall_clock_and_old_samples_keep_theirs(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu(WAVES, repeat=True, instant=Reading(20, 20), ring=Ring(20, 100))
    driver = replace(STEPPED, gpus=[gpu])

    seen, samples, newer = ask(
        simulated_driver(driver),
        f"""
seen = []
while now() < {gpu.epoch_ns} + 1_400_000_000:
    field = n.nvmlDeviceGetFieldValues(h, [186])[0]
    seen.append([field.timestamp, field.value.uiVal, now()])
    time.sleep(0.005)
samples = [[s.timeStamp, s.sampleValue.uiVal] for s in n.nvmlDeviceGetSamples(h, 0, 0)[1]]
last = samples[-30][0]
newer = [s.timeStamp > last for s in n.nvmlDeviceGetSamples(h, 0, last)[1]]
out = [seen, samples, newer]
""",
    )

    offset_ns = wall_clock_offset_ns()
    instants = [gpu.epoch_ns + i * 20 * MS for i in range(-100, 100)]
    ticks = {(at_ns + driver.ahead_ns(at_ns) + offset_ns) // MS: at_ns for at_ns in instants}

    def instant_ns(stamp_us: int) -> int:
        found = [ticks[ms] for ms in (stamp_us // 1000 + i for i in (-1, 0, 1)) if ms in ticks]
        return found[0]

    steps = set()
    for stamp_us, mw, now_ns in seen:
        at_ns = instant_ns(stamp_us)
        assert 0 <= now_ns - at_ns < 200 * MS
        assert mw / 1000 == pytest.approx(gpu.true_mean_w(at_ns - 20 * MS, at_ns), abs=0.001)
        steps.add(driver.ahead_ns(at_ns))
    assert {round(ns / MS) for ns in steps} == {0, -1507, 3_598_493, 3_598_538}
    kept = [instant_ns(stamp_us) for stamp_us, _ in samples]
    assert kept == list(range(kept[0], kept[0] + 2000 * MS, 20 * MS))
    for at_ns, (_, mw) in zip(kept, samples, strict=True):
        assert mw / 1000 == pytest.approx(gpu.true_mean_w(at_ns - 20 * MS, at_ns), abs=0.001)
    assert newer and all(newer)


CLOCKS = """
import datetime, json, os, subprocess, sys, time
out = []
while not out or out[-1][0] < UNTIL:
    before = time.monotonic_ns()
    out.append([before, time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME),
                int(datetime.datetime.now().timestamp() * 1e9), time.monotonic_ns()])
    time.sleep(0.002)
program = "import time; print(time.time_ns() - time.monotonic_ns())"
child = subprocess.run([sys.executable, "-c", program], capture_output=True)
out = [out, int(child.stdout)]
"""


def test_a_process_sees_the_steps_and_the_suspends_itself(
    simulated_driver: Simulated, stepped_clocks: Stepped
) -> None:
    driver = replace(STEPPED, epoch_ns=time.monotonic_ns())
    start_ns = driver.start_ns()

    seen, child_ahead_ns = ask(
        stepped_clocks(simulated_driver(driver)),
        CLOCKS.replace("UNTIL", str(start_ns + 1_300_000_000)),
        prelude="",
    )

    offset_ns = wall_clock_offset_ns()
    asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    steps = set()
    for before_ns, wall_ns, boot_ns, datetime_ns, after_ns in seen:
        ahead_ns, took_ns = driver.ahead_ns(before_ns), after_ns - before_ns
        if ahead_ns != driver.ahead_ns(after_ns):
            continue
        slept_ns = 3600 * S if before_ns >= start_ns + S else 0
        for clock_ns, expected_ns in (
            (wall_ns, before_ns + offset_ns + ahead_ns),
            (datetime_ns, before_ns + offset_ns + ahead_ns),
            (boot_ns, before_ns + asleep_ns + slept_ns),
        ):
            assert -MS < clock_ns - expected_ns < took_ns + MS
        steps.add(ahead_ns)
    assert len(steps) == 4
    assert child_ahead_ns - offset_ns == pytest.approx(3_598_538 * MS, abs=MS)


def test_without_steps_the_clocks_are_those_of_the_machine(
    simulated_driver: Simulated, stepped_clocks: Stepped
) -> None:
    program = "out = [time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), int(time.time())]"
    prelude = "import json, time"
    environ = stepped_clocks(simulated_driver(Driver([Gpu([(0, 1)])])))
    before = [time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), int(time.time())]
    told = ask(environ, program, prelude=prelude)
    after = [time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME), int(time.time())]
    assert all(a <= b <= c for a, b, c in zip(before, told, after, strict=True))


# ---- how long calls take ----


def test_a_call_takes_its_own_delay_and_a_random_one_that_repeats(
    simulated_driver: Simulated,
) -> None:
    gpu = Gpu([(0, 1)], jitter_us=20_000, seed=7, delays={"nvmlDeviceGetPowerUsage": 30_000})
    other = replace(gpu, seed=8, delays={})
    program = """
out = []
for i in range(25):
    before = now()
    n.nvmlDeviceGetPowerUsage(h)
    out.append((now() - before) / 1e9)
"""
    first, again, third = (
        ask(simulated_driver(Driver([card])), program) for card in (gpu, gpu, other)
    )

    assert min(first) >= 0.03 and max(first) < 0.5
    # The least that a call took is the sleep; all else is the machine's.
    same = [abs(a - b) < 0.002 for a, b in zip(first, again, strict=True)]
    different = [abs(a - b - 0.03) < 0.002 for a, b in zip(first, third, strict=True)]
    assert sum(same) >= 18
    assert sum(different) <= 12
    assert max(third) - min(third) > 0.01 and sorted(third)[12] == pytest.approx(0.01, abs=0.006)
