"""What a page says of errors, circumstances and trust."""

from dataclasses import replace
from pathlib import Path

from tests.reports.benches import videos
from tests.reports.conftest import phase
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Conditions, Net
from vidmeter.reports import about, htmlpage, page

RUN = load(Path(__file__).parents[1] / "data" / "run-v1.vidmeter")
SUMMARY = summarize(RUN)


def test_the_two_errors_stand_apart() -> None:
    energy = replace(
        SUMMARY.devices[0],
        energy_j=1000.0,
        gain_low=0.95,
        gain_high=1.05,
        sampling_low_j=2.0,
        sampling_high_j=2.0,
        readings=40,
    )
    assert page.errors(energy) == "gain ±5 %; readings ±0.2 % (40 of them)"
    wide = replace(energy, gain_low=0.33, gain_high=3.02, raw_j=950.0)
    assert page.errors(wide).startswith("gain −67 to +202 %, calibrated; 950 J as read;")
    assert page.errors(replace(energy, energy_j=None)) == ""


def test_circumstances_are_one_line() -> None:
    found = Conditions(
        temperature_c=61,
        max_temperature_c=74,
        sm_clock_mhz=1755,
        power_limit_w=500,
        power_limit_default_w=700,
        throttled={"sw_power_cap": 0.63, "hw_thermal": 0.001},
        max_memory_b=21.5e9,
    )
    assert page.conditions(found) == (
        "61 °C (up to 74) · 1755 MHz · limit 500 W of 700 W · sw power cap 63 % of the time"
        " · 21.5 GB in use"
    )
    assert page.conditions(Conditions()) == ""


def test_a_result_that_is_not_trusted_says_so_above_all() -> None:
    doubted = replace(SUMMARY, total=replace(SUMMARY.total, trusted=False))
    assert "NOT TRUSTED" in [mark for mark, _ in page.marks(doubted)]
    assert "NOT TRUSTED" in htmlpage.render(RUN, doubted)
    assert "NOT TRUSTED" not in htmlpage.render(RUN, SUMMARY)


def test_the_net_energy_follows_the_gross_and_names_what_was_taken_off() -> None:
    net = Net(200.0, 190.0, 210.0, 80.0, "idle before the command, no context on the card")
    text = htmlpage.render(RUN, replace(SUMMARY, net=net))
    assert "200 J beyond idle" in text and "80 W taken off" in text
    assert text.index("J in all") < text.index("beyond idle")


def test_a_phase_below_resolution_states_no_energy_at_all(exact: Run) -> None:
    short = phase("blink", 1, 1.5, parent="load")
    run = replace(exact, phases=(*exact.phases, short))

    (row,) = [r for r in page.phase_rows(summarize(run)) if r.name == "blink"]
    drawn = htmlpage.render(run, summarize(run))

    assert not row.resolved
    assert row.note == ""
    assert "<small>below resolution</small>" in drawn
    assert "64 J seen" not in drawn.replace("\N{NO-BREAK SPACE}", " ")


def test_of_a_benchs_repeat_only_what_was_set_and_used_is_told() -> None:
    ((_, summary),) = videos([[600.0]], description="Wan, small")
    groups = dict(about.machine_facts(summary))
    told = dict(groups["Workload"])

    assert told["what"] == "Wan, small" and told["steps"] == "50" and told["steps run"] == "50"
    assert told["warm-up"] == "1, 8 s in all" and told["command"] == "python a.py"
    assert "" not in told.values()
    off = {"prompt": "", "offload": "none", "steps": 4}
    ((_, summary),) = videos([[600.0]], settings=off)
    told = dict(dict(about.machine_facts(summary))["Workload"])
    assert told["steps"] == "4" and not {"prompt", "offload"} & set(told)
    assert page.title(summary) == "wan2.1-t2v-1.3b, repeat 1"


def test_a_disagreement_too_small_to_matter_is_the_same() -> None:
    assert page._signed(1.1e-7) == "the same"
    assert page._signed(-0.02) == "−2 %"
