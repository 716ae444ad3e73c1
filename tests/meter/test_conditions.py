"""The circumstances of a device: shares of time against their truth, and what is said."""

from array import array
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidmeter.meter.conditions import Conditions, condition_cautions, conditions
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Event, Run, Trace
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summary import Spans

S = 1_000_000_000
CARD = Device("GPU-0", "NVIDIA X", Kind.GPU, "the card", Provenance.MEASURED, "nvml", 0)
WHOLE: Spans = ((0, 100 * S),)
Values = list[tuple[float, float]]


def run(events: tuple[Event, ...] = (), uuid: str = "GPU-0", **traces: Values) -> Run:
    """A run of 100 s with series of (s, value), by the name of their quantity."""
    return Run(
        "x", (), 0, 100 * S, 0, 50_000_000, (CARD,),
        {
            Series(uuid, Quantity[name]): Trace(
                array("q", [round(t * S) for t, _ in values]), array("d", [v for _, v in values])
            )
            for name, values in traces.items()
        },
        events=events,
    )  # fmt: skip


def card(**facts: Any) -> Device:
    return replace(CARD, facts=facts)


def said(found: Conditions) -> dict[str, tuple[str, str | None]]:
    return {c.kind: (c.text, c.remedy) for c in condition_cautions(CARD, found)}


def test_a_state_counts_for_the_time_that_it_held() -> None:
    heat: Values = [(0, 40), (10, 60), (11, 61), (19, 80)]
    found = conditions(run(TEMPERATURE=heat, SM_CLOCK=heat), CARD, ((5 * S, 20 * S),))
    assert found.temperature_c == pytest.approx((5 * 40 + 60 + 8 * 61 + 80) / 15)
    assert found.max_temperature_c == 80
    assert found.sm_clock_mhz == found.temperature_c
    assert found.memory_clock_mhz is None


def test_of_several_windows_only_what_lies_inside_counts() -> None:
    busy: Values = [(t, float(t)) for t in range(100)]
    found = conditions(run(UTILIZATION=busy), CARD, ((10 * S, 12 * S), (50 * S, 51 * S)))
    assert found.utilization_pct == pytest.approx((10 + 11 + 50) / 3)


def test_what_nobody_asked_for_a_long_time_is_unknown() -> None:
    found = conditions(run(TEMPERATURE=[(0, 50)]), CARD, ((60 * S, 100 * S),))
    assert found == Conditions()


def test_another_devices_readings_are_its_own() -> None:
    assert conditions(run(uuid="GPU-1", TEMPERATURE=[(0, 50)]), CARD, WHOLE) == Conditions()


@given(
    rises=st.lists(st.floats(0, 1), min_size=20, max_size=20),
    edges=st.lists(st.integers(0, 20 * S), min_size=2, max_size=2, unique=True),
)
def test_counted_throttling_is_the_share_of_the_window(
    rises: list[float], edges: list[int]
) -> None:
    values, total = [(0.0, 7.0)], 7.0
    for second, rise in enumerate(rises):
        total += rise
        values.append((second + 1.0, total))
    a, b = sorted(edges)
    truth = sum(
        rise * max(0, min(b, (i + 1) * S) - max(a, i * S)) / S for i, rise in enumerate(rises)
    )
    found = conditions(run(SW_POWER_CAP=values), CARD, ((a, b),))
    assert found.throttled["sw_power_cap"] == pytest.approx(truth / ((b - a) / S), abs=1e-6)


def test_a_counter_that_starts_anew_is_left_out_where_it_falls() -> None:
    counted: Values = [(0, 100), (10, 105), (20, 1), (30, 6)]
    found = conditions(run(HW_THERMAL=counted), CARD, WHOLE)
    assert found.throttled == {"hw_thermal": pytest.approx(0.5)}


def test_without_counters_the_mask_tells_and_the_hardware_names_its_reason_once() -> None:
    mask: Values = [(0, 0x4), (10, 0x4 | 0x8 | 0x40), (15, 0x8), (20, 0x1), (30, 0x1), (40, 0x1)]
    found = conditions(run(CLOCK_REASONS=mask), CARD, ((0, 50 * S),))
    shares = {reason: share for reason, share in found.throttled.items() if share}
    assert shares == {
        "sw_power_cap": pytest.approx(15 / 50),
        "hw_thermal": pytest.approx(5 / 50),
        "hw_slowdown": pytest.approx(5 / 50),
    }


def test_a_counter_is_preferred_to_the_mask() -> None:
    found = conditions(
        run(CLOCK_REASONS=[(0, 0x4), (10, 0x4)], SW_POWER_CAP=[(0, 0), (20, 1)]),
        CARD,
        ((0, 20 * S),),
    )
    assert found.throttled["sw_power_cap"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("sw_power_cap", "power limit"),
        ("sw_thermal", "temperature limit"),
        ("hw_thermal", "too hot"),
        ("hw_slowdown", "the hardware slowed it down"),
        ("power_brake", "power supply"),
        ("sync_boost", "slowest GPU"),
        ("clock_setting", "by hand"),
    ],
)
def test_more_than_a_hundredth_of_the_time_is_worth_a_word_and_a_remedy(
    reason: str, words: str
) -> None:
    assert said(Conditions(throttled={reason: 0.0099})) == {}
    text, remedy = said(Conditions(throttled={reason: 0.25}))[f"throttled_{reason}"]
    assert text.startswith("GPU 0 NVIDIA X: for 25 % of the time")
    assert words in text
    assert remedy


def test_remedies_of_power_cap_heat_and_hardware_differ() -> None:
    reasons = ("sw_power_cap", "sw_thermal", "hw_thermal", "hw_slowdown", "power_brake")
    cautions = said(Conditions(throttled=dict.fromkeys(reasons, 0.5)))
    assert len({remedy for _, remedy in cautions.values()}) == len(reasons)


def test_a_limit_that_differs_from_the_default_is_said() -> None:
    device = card(power_limit_w=400.0, power_limit_default_w=700.0)
    found = conditions(run(), device, WHOLE)
    text, remedy = said(found)["power_limit"]
    assert "400 W" in text and "700 W" in text
    assert remedy and "nvidia-smi -pl 700" in remedy
    later = conditions(run(POWER_LIMIT=[(t, 700.0) for t in range(0, 100, 5)]), device, WHOLE)
    assert said(later) == {}


def foreign(a_s: float = 10, b_s: float = 20, device: str = "GPU-0", pid: int = 7) -> Event:
    text = f"another process is on the card: pid {pid} (python3)"
    return Event("foreign_process", round(a_s * S), round(b_s * S), text, device)


def test_a_process_of_others_is_said_where_it_was() -> None:
    there = run((foreign(), foreign(device="GPU-1")))
    found = conditions(there, CARD, ((15 * S, 30 * S),))
    assert found.foreign == ("another process is on the card: pid 7 (python3)",)
    text, remedy = said(found)["foreign_process"]
    assert "pid 7 (python3)" in text and "no share of it can be stated" in text
    assert remedy
    assert conditions(there, CARD, ((21 * S, 30 * S),)).foreign == ()


@pytest.mark.parametrize(
    ("own", "others", "low", "high"),
    [(80, 20, 0.75, 1.0), (30, 60, 0.0, 0.5), (50, 50, 0.0, 1.0), (60, 0, 1.0, 1.0)],
)
def test_the_runs_share_is_a_range(own: float, others: float, low: float, high: float) -> None:
    shared = run((foreign(0, 100),), OWN_SM=[(0, own), (10, own)], FOREIGN_SM=[(0, others)])
    found = conditions(shared, CARD, ((0, 15 * S),))
    assert (found.own_sm_pct, found.foreign_sm_pct) == (own, others)
    assert (found.own_share_low, found.own_share_high) == pytest.approx((low, high))
    text, _ = said(found)["foreign_process"]
    assert f"between {low * 100:.0f} and {high * 100:.0f} %" in text


@given(st.floats(0, 100), st.floats(0, 100))
def test_the_range_is_within_nothing_and_everything(own: float, others: float) -> None:
    shared = run((foreign(0, 100),), OWN_SM=[(0, own)], FOREIGN_SM=[(0, others)])
    found = conditions(shared, CARD, ((0, 10 * S),))
    if found.own_share_low is None or found.own_share_high is None:
        assert found.share_refused and own == others == 0
    else:
        assert 0 <= found.own_share_low <= found.own_share_high <= 1


def test_without_others_there_is_no_share_and_under_mig_none_is_stated() -> None:
    busy: dict[str, Values] = {"OWN_SM": [(0, 50)], "FOREIGN_SM": [(0, 50)]}
    alone = conditions(run(**busy), CARD, WHOLE)
    assert (alone.own_share_low, alone.share_refused) == (None, None)
    split = conditions(run((foreign(),), **busy), card(mig=True), WHOLE)
    assert split.own_share_low is None
    assert split.share_refused and "MIG" in split.share_refused
    text, remedy = said(split)["mig"]
    assert "the whole card's energy, of all instances; no share can be stated" in text
    assert remedy


def test_mps_is_said_whether_it_was_there_at_the_start_or_came_later() -> None:
    assert "mps" in said(conditions(run(), card(mps=True), WHOLE))
    event = Event("mps", 50 * S, 60 * S, "processes share the card through MPS", "GPU-0")
    assert "mps" in said(conditions(run((event,)), card(mps=False), WHOLE))
    assert said(conditions(run(), card(mps=False), WHOLE)) == {}


def test_persistence_mode_matters_where_nothing_else_holds_the_card() -> None:
    off = card(persistence_mode=False, power_limit_w=700.0, power_limit_default_w=700.0)
    loaded = run(PROCESSES=[(0, 0), (5, 1)])
    empty = run(PROCESSES=[(0, 0), (5, 0)])
    assert said(conditions(loaded, off, WHOLE)) == {}
    assert "idle" in said(conditions(empty, off, WHOLE))["persistence"][0]
    limited = card(persistence_mode=False, power_limit_w=400.0, power_limit_default_w=700.0)
    assert "forgotten" in said(conditions(loaded, limited, WHOLE))["persistence"][0]
    on = card(persistence_mode=True)
    assert said(conditions(empty, on, WHOLE)) == {}


def test_ecc_is_a_fact_a_virtual_gpu_is_a_doubt() -> None:
    assert said(conditions(run(), card(ecc=False, virtualization="passthrough"), WHOLE)) == {}
    found = conditions(run(), card(ecc=True, virtualization="vgpu"), WHOLE)
    assert found.ecc is True
    assert "physical card" in said(found)["vgpu"][0]


def test_nothing_of_this_is_said_of_a_processor() -> None:
    cpu = replace(CARD, kind=Kind.CPU)
    assert condition_cautions(cpu, Conditions(mig=True, mps=True)) == []
