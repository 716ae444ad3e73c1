"""What has to be alike: of scripts as it was seen, between groups and within them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reports.benches import Pair, repeat
from vidmeter.meter.device import Provenance
from vidmeter.meter.importing import ml_energy
from vidmeter.meter.importing.building import Given
from vidmeter.meter.run import Phase, Work
from vidmeter.meter.summarize import summarize
from vidmeter.reports import benchcsv, benchtext
from vidmeter.reports.arms import arm_of
from vidmeter.reports.comparison import compare
from vidmeter.reports.doubts import doubts
from vidmeter.reports.grouping import Source, by_field
from vidmeter.reports.likeness import settings

CALL = {
    "class": "WanPipeline", "parameters": 5, "steps": 50, "guidance": 5.0, "batch": 1,
    "dtype": "bfloat16", "attention": "native", "height": 480, "width": 832,
}  # fmt: skip


def script(
    watts: float,
    *,
    call: dict | None = None,
    video: tuple[int, int, int, float] | None = (832, 480, 80, 16.0),
    uuid: str = "GPU-0",
    work: tuple[Work, ...] = (),
    provenance: Provenance = Provenance.MEASURED,
) -> Pair:
    """A run that no bench made: a pipeline's call, and a video of (width, height, frames, fps)."""
    run, _ = repeat(watts, provenance=provenance)
    (device,) = run.devices
    phases = (Phase("1", "generate", run.start_ns, run.end_ns, facts=call),) if call else ()
    videos = ()
    if video is not None:
        width, height, frames, fps = video
        videos = (Work("video", 1, "file", frames / fps, frames, width, height, fps),)
    traces = {series._replace(device=uuid): trace for series, trace in run.traces.items()}
    run = replace(
        run,
        workload=None,
        phases=phases,
        work=(*videos, *work),
        devices=(replace(device, uuid=uuid),),
        traces=traces,
        environment={"host": "one"},
    )
    return run, summarize(run)


def unlike(a: Pair, b: Pair) -> tuple[str, ...]:
    (found,) = compare([arm_of("a", [a]), arm_of("b", [b])])
    return found.unlike


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"video": (1280, 720, 80, 16.0)}, "size: 832×480 and 1280×720"),
        ({"video": (832, 480, 160, 16.0)}, "frames: 80 and 160"),
        ({"video": (832, 480, 80, 8.0)}, "fps: 16 and 8"),
        ({"call": {**CALL, "steps": 30}}, "steps: 50 and 30"),
        ({"call": {**CALL, "guidance": 1.0}}, "guidance: 5 and 1"),
        ({"call": {**CALL, "class": "LTXPipeline"}}, "pipeline: WanPipeline and LTXPipeline"),
        ({"uuid": "GPU-1"}, "card: GPU-0 and GPU-1, of one name"),
    ],
)
def test_what_two_scripts_did_differently_is_named(other, named):
    mine = script(100.0, call=CALL)
    assert unlike(mine, script(100.0, **({"call": CALL} | other))) == (named,)
    assert unlike(mine, script(110.0, call=CALL)) == ()


def test_the_machine_is_named_unless_the_card_is_the_same():
    run, summary = script(100.0)
    elsewhere = replace(run, environment={"host": "two"})
    assert unlike((run, summary), (elsewhere, summary)) == ()
    card = script(100.0, uuid="GPU-1")
    there = (replace(card[0], environment={"host": "two"}), card[1])
    assert "machine: one and two" in unlike((run, summary), there)


def test_another_program_that_measured_is_named():
    run, summary = script(100.0)
    zeus = replace(run, environment={"host": "one", "imported": {"program": "Zeus"}})
    assert "measured by: vidmeter and Zeus" in unlike((run, summary), (zeus, summary))


def test_what_differs_stands_with_each_of_many_comparisons_too():
    one = arm_of("one", [script(100.0, call=CALL)])
    others = [
        arm_of(f"{n} steps", [script(90.0 - n, call={**CALL, "steps": n})])
        for n in (10, 20, 30, 40)
    ]
    text = benchtext.render([one, *others], compare([one, *others]))
    for n in (10, 20, 30, 40):
        assert f"They differ in steps: 50 and {n}." in text


def test_a_group_of_measured_and_simulated_runs_has_no_ratio_and_says_what_it_mixes():
    mixed = arm_of("all", [script(100.0), script(90.0, provenance=Provenance.SIMULATED)])
    (found,) = compare([arm_of("a", [script(100.0)]), mixed])
    assert found.found is None
    assert found.why == "the runs of all are measured and simulated ones"
    (doubt,) = [d for d in doubts(mixed) if d.kind == "mixed"]
    assert "provenance: measured, simulated" in doubt.text


def test_a_group_of_several_cards_or_sizes_says_so():
    cards = arm_of("all", [script(100.0), script(101.0, uuid="GPU-1")])
    (doubt,) = [d for d in doubts(cards) if d.kind == "mixed"]
    assert "card: 2 of one name" in doubt.text
    sizes = arm_of("all", [script(100.0), script(101.0, video=(320, 240, 80, 16.0))])
    (doubt,) = [d for d in doubts(sizes) if d.kind == "mixed"]
    assert "size: 832×480, 320×240" in doubt.text
    assert doubt.remedy == "tell them apart: --by size"


def test_scripts_are_grouped_by_what_was_seen_of_them():
    pairs = [script(100.0 + n, call={**CALL, "steps": steps}) for n, steps in enumerate((50, 30))]
    arms = by_field([Source("runs", tuple(pairs))], "steps")
    assert [arm.label for arm in arms] == ["steps=50", "steps=30"]
    assert arms[0].settings["steps"] == 50, "so that energy can be drawn against it"
    arms = by_field([Source("runs", (script(1.0), script(1.0, uuid="GPU-1")))], "fps")
    assert [(arm.label, len(arm.repeats)) for arm in arms] == [("fps=16", 2)]


def test_calls_that_differ_within_a_run_are_all_told():
    run, _ = script(100.0, call=CALL)
    twice = (*run.phases, replace(run.phases[0], id="2", facts={**CALL, "steps": 30}))
    assert settings(replace(run, phases=twice))["steps"] == "50 / 30"


def test_runs_that_all_made_one_unit_are_compared_by_it():
    def tokens(watts, count, unit="tokens"):
        return script(watts, video=None, work=(Work(unit, count, "user"),))

    a, b = arm_of("a", [tokens(100.0, 400)]), arm_of("b", [tokens(100.0, 800)])
    (found,) = compare([a, b])
    assert (a.unit, a.headline) == ("J per token", "j_per_token")
    assert a.estimate.mean == pytest.approx(2.0)
    assert found.found.ratio == pytest.approx(0.5)
    header, first, _ = (line.split(",") for line in benchcsv.render([a, b]).splitlines())
    assert dict(zip(header, first, strict=True))["j_per_token"] == "2.0"
    (other,) = compare([a, arm_of("c", [tokens(100.0, 4, "images")])])
    assert other.why == "one answers in J per token, the other in J per image"


def test_imported_results_name_their_settings_and_are_compared_by_the_clip():
    def result(name, **changed):
        told = {
            "model": "wan", "num_prompts": 10, "total_runtime": 100.0, "total_energy": 42000.0,
            "num_inference_steps": 50, "num_frames": 16, "batch_size": 1, "height": 480,
            "width": 832, "gpu_model": "H100", **changed,
        }  # fmt: skip
        given = Given(Path(name), json.dumps(told), name * 8)
        (run,) = ml_energy.read(given)
        return run, summarize(run)

    other = result("b.json", model="ltx", num_inference_steps=30, num_prompts=5, width=704)
    a, b = arm_of("a", [result("a.json")]), arm_of("b", [other])
    (found,) = compare([a, b])
    assert (a.unit, a.estimate.mean) == ("J per clip", 4200.0)
    assert found.found.ratio == pytest.approx(2.0), "of half as many clips"
    assert found.unlike == (
        "model: wan and ltx", "steps: 50 and 30", "size: 832×480 and 704×480",
    )  # fmt: skip


def test_the_sensors_gain_is_in_the_interval_unless_the_same_card_measured_both():
    def arm(label, watts, uuid="GPU-0"):
        return arm_of(label, [script(w, uuid=uuid) for w in watts])

    a, b = [100.0, 100.1, 100.2, 100.1, 100.0], [103.0, 103.1, 103.2, 103.1, 103.0]
    (same,) = compare([arm("a", a), arm("b", b)])
    (other,) = compare([arm("a", a), arm("b", b, "GPU-1")])
    assert (same.with_gain, same.found.verdict) == (False, "higher")
    assert (other.with_gain, other.found.verdict) == (True, "not distinguishable")
    assert other.found.ratio == same.found.ratio
    text = benchtext.render([other.a, other.b], [other])
    assert "A and B were measured by different sensors, whose gains don't cancel" in text
