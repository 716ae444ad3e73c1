import importlib
from dataclasses import replace

import pytest

from tests.reports.benches import T0, S, repeat, videos
from vidmeter.meter.device import Provenance
from vidmeter.meter.run import Phase, Work
from vidmeter.meter.summarize import summarize
from vidmeter.reports import beside, htmlpage
from vidmeter.reports.published import TINY, _table, job_of_run, published
from vidmeter.workloads.base import FAMILIES

CALL = {
    "class": "WanPipeline", "parameters": 1_418_996_800, "height": 480, "width": 832,
    "frames": 81, "steps": 50, "batch": 1,
}  # fmt: skip


def script(*calls, watts=6000.0, provenance=Provenance.MEASURED, experts=1, size=(832, 480)):
    """A script that was watched: 48 kJ for 81 frames at 16 per second, by these calls."""
    run, _ = repeat(watts, provenance=provenance)
    phases = [
        Phase(f"c{i}", "generate", T0, T0 + 8 * S, None, None, 1, 1, None, None, call)
        for i, call in enumerate(calls)
    ] + [
        Phase(f"s{i}", "step", T0, T0 + S, "c0", None, 1, 1, None, None, {"model": f"net{i}"})
        for i in range(experts)
    ]
    clip = Work("video", 1, "file", 81 / 16, 81, *size, 16.0, "a.mp4")
    run = replace(run, workload=None, phases=tuple(phases), work=(clip,))
    return run, summarize(run)


def test_a_script_is_held_against_the_model_whose_architecture_it_runs():
    run, summary = script(CALL)
    found = beside.beside(run, summary)

    assert found.value == pytest.approx(48000 / (81 / 16))
    assert {row.id for row in found.found.same} == {"E0001", "E0049", "E0547"}
    nearest = found.found.rows[0]
    assert f"{found.value / nearest.value:.2g} times" in beside.sentence(found)
    text = beside.text(run, summary)
    assert nearest.source in text and "same model, size, frames and steps" in text


def test_generating_alone_is_held_against_what_others_published_and_not_loading():
    run, _ = script(CALL)
    call = replace(run.phases[0], start_ns=T0 + 4 * S)
    load = Phase("l", "load", T0, T0 + 4 * S)
    run = replace(run, phases=(load, call))
    found = beside.beside(run, summarize(run))

    assert found.part == "generate"
    assert found.value == pytest.approx(24000 / (81 / 16)), "half of the run's"
    assert beside.sentence(found).startswith("in generate alone 4741, ")
    assert "this run, generate alone" in htmlpage.render(run, summarize(run))


def test_a_run_whose_generating_is_not_known_apart_is_only_similar():
    run, _ = script(CALL)
    short = replace(run.phases[0], start_ns=T0 + 4 * S, end_ns=T0 + 4 * S + S // 50)
    run = replace(run, phases=(short,))
    found = beside.beside(run, summarize(run))

    assert found.found.same == ()
    assert "here all of the run is counted" in beside.sentence(found)


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"steps": 30}, "50 steps"), ({"frames": 33}, "81 frames"), ({"batch": 2}, "batch 1")],
)
def test_of_another_job_no_ratio_is_stated(changed, word):
    found = beside.beside(*script({**CALL, **changed}))

    assert found.found.same == ()
    assert "times" not in beside.sentence(found) and word in beside.sentence(found)
    assert all("times it" not in line for line in beside.lines(found))


def test_an_unknown_model_stands_beside_others_of_its_size_which_are_named():
    found = beside.beside(*script({**CALL, "parameters": 5}))

    assert found.found.same == ()
    assert all("another model, " in row.likeness for row in found.found.similar)
    ids = {row["id"]: row for row in published()}
    assert {ids[row.id]["height"] for row in found.found.similar} == {"480"}


def test_a_program_that_was_not_watched_has_the_size_of_its_video():
    run, summary = script()
    assert job_of_run(run, summary)[5:7] == (480, 832)
    assert beside.beside(run, summary).found.similar


def test_two_experts_are_not_taken_for_one_network_of_the_same_size():
    large = {**CALL, "parameters": 14_288_491_584}
    assert job_of_run(*script(large)).models == {"wan2.1-t2v-14b"}
    assert job_of_run(*script(large, experts=2)).models == {"wan2.2-t2v-a14b"}


@pytest.mark.parametrize(
    "made",
    [
        script(CALL, provenance=Provenance.SIMULATED),
        script(CALL, provenance=Provenance.MODELLED),
        script(CALL, {**CALL, "steps": 4}),
        script(size=(None, None)),
        videos([[600.0]], workload="wan2.1-t2v-1.3b" + TINY)[0],
    ],
    ids=["simulated", "modelled", "unlike calls", "no size", "tiny"],
)
def test_nothing_stands_beside_what_cannot_be_held_against_it(made):
    assert beside.beside(*made) is None
    assert 'id="published"' not in htmlpage.render(*made)


def test_a_benchs_repeat_has_the_settings_of_its_workload():
    (pair,) = videos([[600.0]], work={"video_seconds": 5.0625, "frames": 81, "videos": 1})
    run = replace(pair[0], work=(Work("video", 1, "program", 81 / 16, 81, 832, 480, 16.0),))
    found = beside.beside(run, summarize(run))

    assert {row.id for row in found.found.same} == {"E0001", "E0049", "E0547"}
    assert "trained weights" in beside.sentence(found)


def test_the_page_cites_every_figure_with_its_source():
    run, summary = script(CALL)
    html = htmlpage.render(run, summary)

    for row in beside.beside(run, summary).found.rows:
        assert row.url in html and row.likeness in html


def test_architectures_are_those_of_the_reference_workloads():
    models = [
        model
        for family in FAMILIES
        if ".video." in family
        for model in importlib.import_module(family).MODELS
    ]
    assert [tuple(row.values()) for row in _table("architectures")] == [
        (
            model.name,
            model.pipeline.rpartition(".")[2],
            str(model.parts[model.denoisers[0]].parameters),
            str(len(model.denoisers)),
        )
        for model in models
    ]
