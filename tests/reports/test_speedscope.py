"""Profiles for speedscope: stacks in order of time, and weights that add up."""

import json
from dataclasses import replace

import pytest

from tests.reports.conftest import phase
from vidmeter.meter.summarize import summarize
from vidmeter.reports import speedscope

SCHEMA_KEYS = {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}


def profiles(run):
    found = json.loads(speedscope.render(summarize(run)))
    names = [frame["name"] for frame in found["shared"]["frames"]]
    return [
        {
            " › ".join(names[i] for i in stack): weight
            for stack, weight in zip(p["samples"], p["weights"], strict=True)
        }
        for p in found["profiles"]
    ]


def test_joules_are_the_weights_of_the_stacks_in_order_of_time(exact):
    energy, _ = profiles(exact)

    assert list(energy.items()) == [
        ("load", pytest.approx(512)),
        ("generate", pytest.approx(512)),
        ("generate › denoise", pytest.approx(1024)),
    ]


def test_seconds_are_the_weights_of_a_second_profile(exact):
    _, time = profiles(exact)

    assert time == {"load": 4, "generate": 4, "generate › denoise": 8}


def test_what_no_phase_accounts_for_is_a_frame_of_its_own(exact):
    energy, time = profiles(replace(exact, phases=exact.phases[1:]))

    assert energy["outside phases"] == pytest.approx(512)
    assert time["outside phases"] == 4


def test_the_weights_add_up_to_the_run(full):
    summary = summarize(full)
    found = speedscope.document(summary)

    energy, time = found["profiles"]
    assert sum(energy["weights"]) == pytest.approx(summary.total.energy_j, rel=1e-9)
    assert sum(time["weights"]) == pytest.approx(summary.duration_s)
    assert energy["endValue"] == pytest.approx(sum(energy["weights"]))


def test_an_own_energy_that_the_summary_states_is_the_weight(exact):
    summary = summarize(exact)
    stated = replace(
        summary,
        phases=tuple(replace(p, self_j=10.0 * i) for i, p in enumerate(summary.phases, 1)),
    )

    assert speedscope.document(stated)["profiles"][0]["weights"][:3] == [10.0, 20.0, 30.0]


def test_a_phase_below_resolution_leaves_its_energy_to_the_one_around_it(exact):
    short = phase("blink", 13, 13.5, parent="generate")

    energy, time = profiles(replace(exact, phases=(*exact.phases, short)))

    assert energy["generate"] == pytest.approx(512)
    assert "generate › blink" not in energy
    assert time["generate › blink"] == 0.5


def test_an_own_energy_that_is_no_measurement_is_with_the_phase_around_it(exact):
    short = phase("blink", 13, 13.5, parent="generate")
    summary = summarize(replace(exact, phases=(*exact.phases, short)))
    own = {"load": 512.0, "generate": 448.0, "denoise": 1024.0, "blink": 64.0}
    stated = replace(
        summary, phases=tuple(replace(p, self_j=own[p.path[-1]]) for p in summary.phases)
    )

    assert speedscope.document(stated)["profiles"][0]["weights"] == [512, 512, 1024]


def test_phases_below_resolution_at_the_top_are_one_frame(exact):
    energy, time = profiles(replace(exact, phases=(phase("a", 0, 0.5), phase("b", 1, 1.5))))

    assert energy == {"below resolution": pytest.approx(128), "outside phases": pytest.approx(1920)}
    assert time == {"a": 0.5, "b": 0.5, "outside phases": 15}


def test_the_form_is_that_of_the_schema(full):
    found = speedscope.document(summarize(full))

    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert found["activeProfileIndex"] == 0
    assert [p["unit"] for p in found["profiles"]] == ["none", "seconds"]
    assert found["profiles"][0]["name"] == "energy in J, measured"
    for profile in found["profiles"]:
        assert profile.keys() == SCHEMA_KEYS
        assert profile["type"] == "sampled"
        assert profile["startValue"] == 0
        assert all(0 <= i < len(found["shared"]["frames"]) for s in profile["samples"] for i in s)


def test_a_run_of_unknown_energy_has_a_profile_of_time_alone(bare):
    found = speedscope.document(summarize(bare))

    assert [p["unit"] for p in found["profiles"]] == ["seconds"]


def test_a_run_without_phases_is_one_frame(exact):
    energy, time = profiles(replace(exact, phases=()))

    assert energy == {"outside phases": 2048}
    assert time == {"outside phases": 16}
