"""Cautions that several devices share."""

from dataclasses import replace

from tests.reports.benches import repeat
from vidmeter.meter.summary import Caution, Summary
from vidmeter.reports import page, terminal
from vidmeter.reports.arms import arm_of
from vidmeter.reports.doubts import doubts
from vidmeter.reports.shared import cautions

LIMIT = "its power limit was {} W, and not the default of 700 W"


def of_eight(*texts: Caution) -> Summary:
    """A summary of eight cards and a ninth of another name, with these cautions."""
    _, summary = repeat(100.0)
    (first,) = summary.devices
    devices = [
        replace(first, device=replace(first.device, index=n, uuid=f"GPU-{n}")) for n in range(8)
    ]
    other = replace(first, device=replace(first.device, index=8, uuid="GPU-8", name="NVIDIA L40S"))
    return replace(summary, devices=(*devices, other), cautions=texts)


def limits(*indices: int, watts: int = 300, name: str = "NVIDIA H200") -> list[Caution]:
    return [
        Caution("power_limit", f"GPU {n} {name}: {LIMIT.format(watts + n)}", "restore it")
        for n in indices
    ]


def test_a_caution_of_all_cards_is_said_once_with_their_indices_and_numbers():
    whole = Caution("no_cpu", "no energy of CPU and DRAM is measured")
    told = cautions(of_eight(whole, *limits(*range(8))))
    assert told == [
        whole,
        Caution(
            "power_limit", f"GPUs 0 to 7 NVIDIA H200: {LIMIT.format('300 to 307')}", "restore it"
        ),
    ]


def test_cards_of_another_name_and_other_doubts_stay_apart():
    some = [*limits(0, 2, 3), *limits(8, name="NVIDIA L40S")]
    hot = Caution("hot", "GPU 0 NVIDIA H200: it was 90 °C hot")
    told = [caution.text for caution in cautions(of_eight(*some, hot))]
    assert told == [
        f"GPUs 0, 2, 3 NVIDIA H200: {LIMIT.format('300 to 303')}",
        f"GPU 8 NVIDIA L40S: {LIMIT.format(308)}",
        hot.text,
    ]


def test_two_cautions_of_one_card_are_not_mixed_up():
    twice = [*limits(0), *limits(0, watts=400), *limits(1)]
    told = [caution.text for caution in cautions(of_eight(*twice))]
    assert told == [
        f"GPUs 0, 1 NVIDIA H200: {LIMIT.format('300 to 301')}",
        f"GPU 0 NVIDIA H200: {LIMIT.format(400)}",
    ]


def test_the_terminal_the_page_and_a_comparison_say_it_once():
    run, _ = repeat(100.0)
    summary = of_eight(*limits(*range(8)))
    text = f"GPUs 0 to 7 NVIDIA H200: {LIMIT.format('300 to 307')}"
    assert terminal.render(summary).count("its power limit was") == 1
    assert [caution.text for caution in page.cautions(summary)] == [text]
    assert text in [doubt.text for doubt in doubts(arm_of("eight", [(run, summary)]))]


def test_numbers_with_signs_and_exponents_are_ranges_too():
    text = "GPU {} NVIDIA H200: it says {} J ({} % over 3600 s)"
    pair = [text.format(0, "2.1e+06", "+0.5"), text.format(1, "2.3e+06", "-1.5")]
    (told,) = cautions(of_eight(*(Caution("quarantined", t) for t in pair)))
    assert told.text == (
        "GPUs 0, 1 NVIDIA H200: it says 2.1e+06 to 2.3e+06 J (-1.5 to +0.5 % over 3600 s)"
    )
