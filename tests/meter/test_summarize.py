"""Summaries of runs that are written out by hand, so that every number is known."""

from array import array
from dataclasses import replace
from typing import Any

import pytest

from vidmeter.meter.cards import Known, with_known
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.quality import Quality, SeriesQuality, Verdict
from vidmeter.meter.run import Event, Phase, Run, Trace, Work
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summarize import summarize

S = 1_000_000_000
RATING = {
    "watts_per_busy_cpu": 4.0,
    "watts_per_busy_cpu_low": 2.0,
    "watts_per_busy_cpu_high": 8.0,
    "rating": "4 W",
    "rating_source": "a test",
}


FULL_TIME = SeriesQuality(
    Quantity.POWER_INSTANT, Verdict.WORKS, refresh_ns=S // 20, window_ns=S // 20
)


def device(uuid: str, provenance: Provenance = Provenance.MEASURED, **more: Any) -> Device:
    """A device whose instant power is known to look all of the time."""
    made = Device(uuid, uuid, more.pop("kind", Kind.GPU), "board", provenance, "test", **more)
    quality = Quality(uuid, None, None, "2026-01-01", 60.0, (FULL_TIME,))
    return with_known(made, Known(quality)) if made.kind is Kind.GPU else made


def trace(start_s: float, end_s: float, step_s: float, value: Any) -> Trace:
    t = [
        round(start_s * S) + i * round(step_s * S)
        for i in range(round((end_s - start_s) / step_s) + 1)
    ]
    return Trace(array("q", t), array("d", [float(value(x / S)) for x in t]))


def run(devices: tuple[Device, ...], traces: dict[Series, Trace], **more: Any) -> Run:
    return Run("id", ("cmd",), 1 * S, 11 * S, 0, 50_000_000, devices, traces, **more)


def constant(uuid: str, watts: float, *, until_s: float = 12) -> dict[Series, Trace]:
    return {Series(uuid, Quantity.POWER_INSTANT): trace(0, until_s, 0.05, lambda t: watts)}


def test_energies_of_measured_devices_are_added_up() -> None:
    devices = device("a"), device("b")

    summary = summarize(run(devices, constant("a", 100) | constant("b", 50)))

    assert [d.energy_j for d in summary.devices] == [pytest.approx(1000), pytest.approx(500)]
    assert summary.total.energy_j == pytest.approx(1500)
    assert summary.total.provenance is Provenance.MEASURED
    # Uncalibrated: 5 % either way, and a little for the edges.
    assert summary.total.low_j == pytest.approx(1500 * 0.95, rel=0.01)
    assert summary.total.high_j == pytest.approx(1500 * 1.05, rel=0.01)


def test_a_model_is_never_added_to_a_measurement() -> None:
    cpu = device("cpu", Provenance.MODELLED, kind=Kind.CPU, facts=RATING)
    busy = {Series("cpu", Quantity.CPU_BUSY): trace(0, 12, 0.1, lambda t: 1.5 * t)}

    both = summarize(run((device("a"), cpu), constant("a", 100) | busy))
    alone = summarize(run((cpu,), busy))

    assert both.total.energy_j == pytest.approx(1000)
    assert both.total.devices == ("a",)
    assert both.devices[1].energy_j == pytest.approx(1.5 * 4 * 10)
    assert alone.total.provenance is Provenance.MODELLED
    assert (alone.total.low_j, alone.total.high_j) == (
        pytest.approx(30, rel=0.01),
        pytest.approx(120, rel=0.01),
    )


def test_a_device_that_went_away_has_no_energy_and_takes_the_total_with_it() -> None:
    traces = constant("a", 100) | constant("b", 50, until_s=6)

    summary = summarize(run((device("a"), device("b")), traces))

    assert summary.devices[0].energy_j == pytest.approx(1000)
    assert summary.devices[1].energy_j is None
    assert summary.devices[1].covered_j == pytest.approx(250, rel=0.02)
    assert summary.devices[1].coverage == pytest.approx(0.5, abs=0.02)
    assert summary.total.energy_j is None
    assert "incomplete" in [c.kind for c in summary.cautions]


def test_two_sources_are_compared_and_a_large_difference_is_not_trusted() -> None:
    for wrong, kind in ((1.0, None), (1.03, "disagreement"), (1.2, "not_trusted")):
        counter = {Series("a", Quantity.ENERGY): trace(0, 12, 0.05, lambda t, w=wrong: 100 * w * t)}
        summary = summarize(run((device("a"),), constant("a", 100) | counter))

        (got,) = summary.devices
        assert got.energy_j == pytest.approx(1000)
        assert got.source == "instant power"
        assert got.second_j == pytest.approx(1000 * wrong)
        assert got.disagreement == pytest.approx(wrong - 1, abs=1e-6)
        kinds = [c.kind for c in summary.cautions]
        assert (kind in kinds) if kind else not {"disagreement", "not_trusted"} & set(kinds)


def test_the_drivers_samples_come_before_all_other_sources() -> None:
    ring = {Series("a", Quantity.POWER_RING): trace(0, 12, 0.02, lambda t: 110)}

    summary = summarize(run((device("a"),), constant("a", 100) | ring))

    assert summary.devices[0].source == "driver's power samples"
    assert summary.devices[0].energy_j == pytest.approx(1100)


def test_a_source_with_a_hole_is_passed_over_for_a_whole_one() -> None:
    ring = {Series("a", Quantity.POWER_RING): trace(0, 5, 0.02, lambda t: 110)}

    summary = summarize(run((device("a"),), constant("a", 100) | ring))

    assert summary.devices[0].source == "instant power"
    assert summary.devices[0].coverage == 1.0


def test_a_reading_of_no_watts_is_no_reading() -> None:
    zeros = {
        Series("a", Quantity.POWER_INSTANT): trace(0, 12, 0.05, lambda t: 0 if 4 < t < 6 else 100)
    }

    summary = summarize(run((device("a"),), zeros))

    assert summary.devices[0].covered_j == pytest.approx(800, rel=0.02)
    assert summary.devices[0].energy_j is None


PHASES = (
    Phase("1", "generate", 2 * S, 10 * S),
    Phase("2", "step", 2 * S, 4 * S, "1"),
    Phase("3", "step", 4 * S, 6 * S, "1"),
    Phase("4", "step", 5 * S, 7 * S, "1"),
    Phase("5", "load", 1 * S, 2 * S),
)


def test_phases_are_gathered_by_their_place_and_add_up_with_what_is_outside() -> None:
    # Each reading is the mean of the 50 ms before it.
    means = trace(0, 12, 0.05, lambda t: 100 + 10 * (t - 0.025))
    ramp = {Series("a", Quantity.POWER_INSTANT): means}

    summary = summarize(run((device("a"),), ramp, phases=PHASES))

    by_path = {p.path: p for p in summary.phases}
    assert list(by_path) == [("load",), ("generate",), ("generate", "step")]
    step = by_path["generate", "step"]
    assert (step.count, step.duration_s) == (3, 5.0)  # two of them overlap by a second
    assert step.total.energy_j == pytest.approx(100 * 5 + 5 * (49 - 4))
    top = by_path["load",].total.energy_j, by_path["generate",].total.energy_j
    assert summary.unattributed_j is not None and summary.total.energy_j is not None
    assert sum(j or 0 for j in top) + summary.unattributed_j == pytest.approx(
        summary.total.energy_j, rel=1e-9
    )


def test_a_phase_too_short_for_the_source_has_no_energy() -> None:
    short = (Phase("1", "blink", 5 * S, 5 * S + 60_000_000),)

    summary = summarize(run((device("a"),), constant("a", 100), phases=short))

    assert summary.phases[0].total.energy_j is None


def test_an_open_phase_ends_with_the_run_and_is_said() -> None:
    summary = summarize(
        run((device("a"),), constant("a", 100), phases=(Phase("1", "denoise", 6 * S, None),))
    )

    assert summary.phases[0].total.energy_j == pytest.approx(500)
    assert not summary.phases[0].complete
    assert "open_phase" in [c.kind for c in summary.cautions]


VIDEO = Work("video", 1, "program", 5.0, 80, 832, 480, 16.0, None, "1")


def test_energy_per_unit_of_work_is_filed_under_names_with_units() -> None:
    work = (VIDEO, Work("tokens", 500, "program", phase="1"))

    summary = summarize(run((device("a"),), constant("a", 100), phases=PHASES, work=work))

    values = {name: unit.value for name, unit in summary.per_unit.items()}
    assert values == {
        "j_per_video_second": pytest.approx(200),
        "wh_per_clip": pytest.approx(1000 / 3600),
        "j_per_frame": pytest.approx(12.5),
        "j_per_megapixel_frame": pytest.approx(1000 / (80 * 832 * 480 / 1e6)),
        "j_per_token": pytest.approx(2),
    }
    generate = next(p for p in summary.phases if p.path == ("generate",))
    assert generate.per_unit["j_per_video_second"].value == pytest.approx(160)


def test_work_is_believed_in_the_order_user_program_file() -> None:
    files = (Work("video", 1, "file", 3.0, 48, 832, 480, 16.0, "/x/o.mp4"),)
    stated = (Work("video", 1, "user", 10.0),)

    def of(*work: Work) -> Any:
        return summarize(run((device("a"),), constant("a", 100), work=work))

    assert of(*files).work.video_seconds == 3.0
    assert of(*files, VIDEO).work.video_seconds == 5.0
    assert "work_disagrees" in [c.kind for c in of(*files, VIDEO).cautions]
    assert of(*files, VIDEO, *stated).work.video_seconds == 10.0
    assert of(*stated).per_unit["j_per_video_second"].value == pytest.approx(100)
    assert "j_per_frame" not in of(*stated).per_unit


def test_a_run_without_readings_knows_nothing_and_says_so() -> None:
    summary = summarize(run((device("a"),), {}))

    assert summary.total.energy_j is None
    assert summary.devices[0].source is None
    assert "incomplete" in [c.kind for c in summary.cautions]


def test_late_ticks_and_random_weights_become_cautions() -> None:
    late = Event("late", 2 * S, 9 * S, "late", None, 50)
    workload = {"facts": {"weights": "random"}}

    summary = summarize(
        replace(run((device("a"),), constant("a", 100), events=(late,)), workload=workload)
    )

    assert {"late", "random_weights"} <= {c.kind for c in summary.cautions}


def test_a_driver_with_a_clock_of_its_own_is_told_of() -> None:
    for age_s, told in ((0.02, False), (0.6, False), (3.0, True), (-2.0, True)):
        ages = {Series("a", Quantity.STAMP_AGE): trace(1, 11, 1, lambda t, a=age_s: a + t / 100)}
        summary = summarize(run((device("a"),), constant("a", 100) | ages))
        assert ("driver_clock" in [c.kind for c in summary.cautions]) is told


@pytest.mark.parametrize(
    ("exit_code", "words"), [(3, "(exit code 3)"), (137, "(killed by SIGKILL, exit code 137)")]
)
def test_a_command_that_failed_is_a_caution(exit_code: int, words: str) -> None:
    whole = run((device("GPU-1"),), constant("GPU-1", 100))
    failed = summarize(replace(whole, exit_code=exit_code))
    (caution,) = [c for c in failed.cautions if c.kind == "failed"]
    assert words in caution.text
    for code in (0, None):
        ended = summarize(replace(whole, exit_code=code))
        assert "failed" not in {c.kind for c in ended.cautions}
