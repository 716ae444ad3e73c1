import math
from dataclasses import replace

import pytest

from tests.reports.benches import VIDEO, WAN, commands, repeat, videos
from vidmeter.meter.device import Provenance
from vidmeter.meter.statistics import estimate
from vidmeter.meter.summarize import summarize
from vidmeter.reports.arms import arm_of, arms
from vidmeter.reports.doubts import doubts
from vidmeter.reports.peaks import implausible, peak, share_of_peak


def kinds(arm):
    return [doubt.kind for doubt in doubts(arm)]


def test_runs_are_put_together_by_arm_in_the_order_asked_for():
    pairs = commands("b", [100, 101]) + commands("a", [100])
    assert [(arm.label, len(arm.repeats)) for arm in arms(pairs)] == [("b", 2), ("a", 1)]


def test_the_figure_of_an_arm_follows_from_its_task():
    (video,) = arms(videos([[100, 100]]))
    assert (video.headline, video.estimate.mean) == (
        "j_per_video_second",
        pytest.approx(800 / 5.0625),
    )
    assert video.estimate_of("wh_per_clip").mean == pytest.approx(800 / 3600)
    work = {"input_tokens": 100, "output_tokens": 400}
    (tokens,) = arms([repeat(100, task="language", work=work)])
    assert (tokens.headline, tokens.estimate.mean) == ("j_per_output_token", pytest.approx(2.0))
    assert tokens.estimate_of("j_per_input_token").mean == pytest.approx(8.0)
    (command,) = arms([repeat(100)])
    assert (command.headline, command.estimate.mean) == ("j_per_run", pytest.approx(800))


def test_the_interval_stands_on_blocks():
    blocks = [[100.0, 102.0], [110.0, 112.0], [104.0, 106.0]]
    (arm,) = arms(videos(blocks))
    expected = estimate([[w * 8 / 5.0625 for w in block] for block in blocks])
    assert arm.estimate.basis == "blocks"
    assert arm.estimate.low == pytest.approx(expected.low)
    assert arm.estimate.high == pytest.approx(expected.high)


def test_the_gain_widens_the_interval_in_quadrature_and_stands_apart():
    (arm,) = arms(videos([[100.0], [102.0], [104.0]]))
    low, high = arm.gain
    assert low > 0 and high > 0, "nothing is known of this card's gain: it isn't without error"
    found = arm.estimate
    assert arm.absolute.high - found.mean == pytest.approx(
        math.hypot(found.half_width, high * found.mean)
    )
    assert found.mean - arm.absolute.low == pytest.approx(
        math.hypot(found.half_width, low * found.mean)
    )


def test_one_repeat_has_what_its_readings_leave_open():
    (arm,) = arms(videos([[100.0]]))
    total = arm.repeats[0].summary.total
    assert arm.estimate.low is None
    assert arm.absolute.high == pytest.approx(total.high_j / 5.0625)


def test_an_outlier_is_named_and_still_counts():
    (arm,) = arms(commands("a", [100, 101, 100.5, 99.5, 100.2, 130]))
    assert arm.outliers == (6,)
    assert arm.estimate.n == 6
    assert "outlier" in kinds(arm)


def test_idle_is_taken_off_beside_the_gross_energy():
    (arm,) = arms(videos([[170.0], [170.0]]))
    assert arm.energy_j == pytest.approx(170 * 8)
    assert arm.net_j == pytest.approx((170 - 70) * 8)


def test_the_repeat_that_stands_for_an_arm_is_nearest_its_median():
    (arm,) = arms(commands("a", [100, 140, 101, 102, 60]))
    assert arm.middle.number == 3


def test_an_arm_without_energy_has_no_figure_and_says_so():
    run, _ = repeat(100)
    bare = replace(run, devices=(), traces={})
    (arm,) = arms([(bare, summarize(bare))])
    assert arm.estimate is None and arm.absolute is None
    assert "unknown" in kinds(arm)


def test_operations_give_what_one_takes_and_how_fast_they_went():
    operations = {"denoise": 3.9e15, "decode": 1e14, "text_encode": 0.0, "total": 4e15, "runs": 100}
    (arm,) = arms(videos([[600.0]], operations=operations))
    assert arm.pj_per_flop == pytest.approx(4800 / 4e15 * 1e12)
    assert arm.tflops == pytest.approx(4e15 / 8 / 1e12)
    share, found = share_of_peak(arm)
    assert share == pytest.approx(500 / found.tflops)
    assert implausible(arm) is None


@pytest.mark.parametrize(("total", "odd"), [(4e15, False), (4e16, True), (4e14, True)])
def test_an_operation_that_costs_what_it_cannot_is_doubted(total, odd):
    (arm,) = arms(videos([[600.0]], operations={"total": total}))
    assert ("implausible" in kinds(arm)) == odd


@pytest.mark.parametrize(("total", "odd"), [(8e12, False), (4e16, True)])
def test_writing_text_waits_for_memory_so_only_too_little_for_an_operation_is_doubted(total, odd):
    facts = {"settings": {"dtype": "bfloat16"}, "work": {"input_tokens": 512, "output_tokens": 256}}
    (arm,) = arms([repeat(600, task="language", operations={"total": total}, **facts)])
    assert ("implausible" in kinds(arm)) == odd


@pytest.mark.parametrize(
    "more",
    [
        {"provenance": Provenance.SIMULATED},
        {"settings": {**WAN, "dtype": "float32"}},
    ],
)
def test_nothing_is_implausible_of_what_was_not_measured_in_16_bits(more):
    provenance = more.pop("provenance", Provenance.MEASURED)
    facts = {"task": "text-to-video", "settings": WAN, "work": VIDEO, **more}
    (arm,) = arms([repeat(600, provenance=provenance, operations={"total": 4e16}, **facts)])
    assert implausible(arm) is None


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", None),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GB200", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Tesla T4", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)
def test_a_peak_is_that_of_the_very_card_or_none(name, row):
    found = peak(name, "bfloat16")
    assert (found and found.name) == row


def test_cautions_of_the_repeats_are_said_once_with_their_number():
    (arm,) = arms(videos([[100.0, 100.0], [100.0]]))
    (random,) = [d for d in doubts(arm) if d.kind == "random_weights"]
    assert (random.repeats, random.of) == (3, 3)


def test_what_differs_and_an_unsteady_card_are_doubts():
    protocol = {"warmups": 3, "warmup_s": 600.0, "steady": False, "unsteady": "it still rose"}
    differs = ["50 steps were asked for, 49 were run"]
    (arm,) = arms(videos([[100.0], [100.0]], differs=differs, protocol=protocol))
    texts = [d.text for d in doubts(arm)]
    assert differs[0] in texts
    assert any("it still rose" in text for text in texts)


def test_a_group_that_mixes_workloads_or_settings_says_what_its_mean_mixes():
    steps = videos([[600.0]], settings={**WAN, "steps": 50})
    fewer = videos([[400.0]], settings={**WAN, "steps": 30, "seed": 9})
    mixed = arm_of("all", [*steps, *fewer])

    (found,) = [d for d in doubts(mixed) if d.kind == "mixed"]
    assert "steps: 50, 30" in found.text and "seed" not in found.text
    assert found.remedy == "tell them apart: --by steps"
    assert "mixed" not in kinds(arm_of("one", steps))

    other = videos([[400.0]], workload="mochi-1")
    (found,) = [d for d in doubts(arm_of("all", [*steps, *other])) if d.kind == "mixed"]
    assert "workload: wan2.1-t2v-1.3b, mochi-1" in found.text
