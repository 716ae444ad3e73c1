import pytest

from tests.reports.benches import WAN, videos
from vidmeter.meter.device import Provenance
from vidmeter.reports.arms import arms
from vidmeter.reports.published import GPU_ONLY, comparable, job_of_arm, published


def arm(**more):
    (found,) = arms(videos([[600.0], [610.0]], **more))
    return found


def test_the_same_job_is_alike_in_everything_that_decides():
    found = comparable(job_of_arm(arm()))
    assert {row.id for row in found.same} == {"E0001", "E0049", "E0547"}
    for row in found.same:
        assert row.scope == GPU_ONLY and row.source and row.about
    assert all("similar, not the same" in row.likeness for row in found.similar)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"steps": 30}, "50 steps"),
        ({"frames": 41}, "81 frames"),
        ({"height": 320}, "832×480"),
        ({"batch": 2}, "batch 1"),
    ],
)
def test_another_setting_makes_it_similar_and_is_named(changed, word):
    facts = {"weights": "random", "steps_run": changed.get("steps", 50)}
    found = comparable(job_of_arm(arm(settings={**WAN, **changed}, facts=facts)))
    assert found.same == ()
    assert word in found.similar[0].likeness


def test_steps_are_those_that_were_run():
    assert comparable(job_of_arm(arm(facts={"weights": "random", "steps_run": 49}))).same == ()


@pytest.mark.parametrize("provenance", [Provenance.SIMULATED, Provenance.MODELLED])
def test_nothing_is_held_against_what_was_not_measured(provenance):
    assert comparable(job_of_arm(arm(provenance=provenance))).rows == ()


def test_nothing_is_held_against_a_tiny_version():
    assert comparable(job_of_arm(arm(workload="wan2.1-t2v-1.3b-tiny"))).rows == ()


def test_every_figure_has_its_source_scope_and_confidence():
    rows = published()
    assert len({row["id"] for row in rows}) == len(rows) > 50
    for row in rows:
        assert float(row["value_j"]) > 0
        for name in ("system", "per", "scope", "method", "source", "date"):
            assert row[name], row
        assert row["confidence"] in ("read", "secondary")


def test_joules_for_a_second_of_video_follow_from_frames_and_rate():
    for row in published():
        if row["j_per_video_second"] and row["frames"] and row["fps"]:
            seconds = int(row["frames"]) / float(row["fps"])
            expected = float(row["value_j"]) / seconds
            assert float(row["j_per_video_second"]) == pytest.approx(expected, rel=0.01), row["id"]
