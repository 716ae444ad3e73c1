"""What diffusers does, in its parts, whatever a script does with it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vidmeter.meter.run import Phase, Work
from vidmeter.meter.windows import paths

from .conftest import ROOT, Ended, Running, run_hooked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    script = str(Path(__file__).with_name("scenarios.py"))
    folder = tmp_path_factory.mktemp("scenarios")
    found = run_hooked(folder, None, sys.executable, script, PYTHONPATH=str(ROOT))
    assert found.code == 0, found.err
    return found


@pytest.fixture(scope="module")
def told(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.out)
    return found


def within(ended: Ended, scenario: str) -> list[tuple[tuple[str, ...], Phase]]:
    """The phases of a scenario with their paths below it, in order."""
    where = paths(ended.marked.phases)
    phases = sorted(ended.marked.phases, key=lambda p: (p.start_ns, int(p.id.split("-")[1])))
    return [
        (where[p.id][1:], p)
        for p in phases
        if where[p.id][0] == scenario and len(where[p.id]) > 1 and "import" not in where[p.id]
    ]


def tree(ended: Ended, scenario: str) -> list[str]:
    return [" > ".join(path) for path, _ in within(ended, scenario)]


def works(ended: Ended, scenario: str) -> list[Work]:
    ids = {p.id for _, p in within(ended, scenario)}
    top = {p.id for p in ended.marked.phases if p.name == scenario}
    return [w for w in ended.marked.work if w.phase in ids | top]


def generated(steps: int = 3, *, inner: Sequence[str] = ()) -> list[str]:
    denoise = ["generate > denoise"]
    for _ in range(steps):
        denoise += ["generate > denoise > step", *inner]
    before, after = ["generate", "generate > text_encode"], ["vae_decode", "postprocess"]
    return [*before, *denoise, *(f"generate > {name}" for name in after)]


def facts(ended: Ended, scenario: str) -> dict[str, Any]:
    return next(dict(p.facts) for path, p in within(ended, scenario) if path == ("generate",))


def test_a_call_is_text_encode_denoise_with_its_steps_decode_and_postprocess(
    ended: Ended, told: dict[str, Any]
) -> None:
    assert tree(ended, "plain") == generated()
    assert told["plain"] == [9, 96, 64]


def test_parts_follow_each_other_and_every_one_is_closed(ended: Ended) -> None:
    found = [p for path, p in within(ended, "plain") if len(path) == 2]
    edges = [t for p in found for t in (p.start_ns, p.end_ns or 0)]
    steps = [t for path, p in within(ended, "plain") if len(path) == 3
             for t in (p.start_ns, p.end_ns or 0)]  # fmt: skip

    assert edges == sorted(edges) and 0 not in edges
    assert steps == sorted(steps) and 0 not in steps


def test_a_call_tells_what_it_was_asked_for_and_what_it_ran_with(ended: Ended) -> None:
    known = facts(ended, "plain")

    assert {name: known[name] for name in known if name != "parameters"} == {
        "class": "LTXPipeline",
        "output": "pil",
        "steps": 3,
        "steps_asked": 3,
        "timesteps": 3,
        "guidance": 3,
        "guided": True,
        "forwards": 3,
        "forwards_per_step": 1.0,
        "decodes": 1,
        "frame_rate": 25,
        "frames_asked": 9,
        "batch": 1,
        "frames": 9,
        "width": 96,
        "height": 64,
        "dtype": "float32",
        "device": "cpu",
        "attention": "native",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    }
    assert facts(ended, "unguided")["guided"] is False


def test_work_is_what_came_out(ended: Ended) -> None:
    (one,) = works(ended, "plain")
    (two,) = works(ended, "batch_of_two")
    (tensors,) = works(ended, "tuple_of_tensors")

    assert (one.unit, one.origin, one.count, one.frames, one.width, one.height) == (
        "video", "pipeline", 1, 9, 96, 64,
    )  # fmt: skip
    assert (two.count, two.frames, two.fps, two.video_seconds) == (2, 18, 24, 0.75)
    assert (tensors.frames, tensors.width, tensors.height) == (9, 96, 64)


def test_latents_are_no_video_and_nothing_is_missed(ended: Ended) -> None:
    assert works(ended, "latents") == []
    assert tree(ended, "latents") == generated()[:-2]


def test_nothing_that_was_expected_is_missing_in_any_of_them(ended: Ended) -> None:
    assert ended.marked.events == ()


def test_phases_of_the_script_stand_where_they_were_opened(ended: Ended) -> None:
    preview = "generate > denoise > step > preview"

    assert tree(ended, "phases_of_its_own") == generated(inner=[preview])


def test_an_error_closes_what_is_open_and_takes_back_the_hooks(
    ended: Ended, told: dict[str, Any]
) -> None:
    found = within(ended, "failing")

    assert told["failing"] == "RuntimeError"
    assert [(" > ".join(path), p.error) for path, p in found if p.error] == [
        ("generate", "RuntimeError"),
        ("generate > denoise", "RuntimeError"),
        ("generate > denoise > step", "RuntimeError"),
    ]
    assert all(p.end_ns for _, p in found)


def test_a_pipeline_class_of_the_script_that_copies_its_scheduler_is_marked_once(
    ended: Ended,
) -> None:
    assert tree(ended, "own_class_with_a_copied_scheduler") == generated()
    known = facts(ended, "own_class_with_a_copied_scheduler")
    assert known.items() >= {**facts(ended, "plain"), "class": "CopyingPipeline"}.items()


def test_a_scheduler_that_is_called_twice_a_step_makes_one_step(ended: Ended) -> None:
    assert tree(ended, "scheduler_called_twice_a_step") == generated()


def test_two_pipelines_at_once_keep_apart(ended: Ended) -> None:
    found = within(ended, "two_at_once")

    assert sorted(" > ".join(path) for path, _ in found) == sorted(2 * generated())
    by_thread = {p.tid: [q for _, q in found if q.tid == p.tid] for _, p in found}
    assert [len(phases) for phases in by_thread.values()] == [len(generated())] * 2


def test_two_at_once_that_share_their_models_keep_apart_and_leave_nothing_behind(
    ended: Ended, told: dict[str, Any]
) -> None:
    found = within(ended, "two_that_share_their_models")
    calls = [p for path, p in found if path == ("generate",)]

    assert told["two_that_share_their_models"] == []
    assert [(p.facts["steps"], p.facts["forwards"], p.facts["decodes"]) for p in calls] == [
        (3, 3, 1), (3, 3, 1),
    ]  # fmt: skip
    for call in calls:
        mine = [" > ".join(path) for path, p in found if p.tid == call.tid]
        assert mine == generated()


def test_a_modular_pipeline_has_its_phases_and_its_work_whatever_it_is_asked_to_return(
    ended: Ended,
) -> None:
    calls = [facts for path, p in within(ended, "modular") if (facts := p.facts) and len(path) == 1]

    assert tree(ended, "modular").count("generate > denoise > step") == 9
    assert [(f["class"], f["steps"], f["frames"]) for f in calls] == [
        ("LTXModularPipeline", 3, 9)
    ] * 3
    assert [(w.unit, w.count, w.frames, w.width) for w in works(ended, "modular")] == [
        ("video", 1, 9, 96)
    ] * 3


def test_what_a_pipeline_hands_over_to_another_is_marked_and_counted_once(ended: Ended) -> None:
    assert tree(ended, "one_made_of_another") == [
        "generate", *(f"generate > {path}" for path in generated()),
    ]  # fmt: skip
    assert [(w.unit, w.count, w.frames) for w in works(ended, "one_made_of_another")] == [
        ("video", 1, 9)
    ]


def test_no_frame_of_the_program_outlives_its_exception_and_no_pipeline_its_call(
    told: dict[str, Any],
) -> None:
    assert told["nothing_is_kept"] == {
        "by_the_encoder": False, "by_the_step": False, "by_the_decoder": False,
        "by_the_call": False,
    }  # fmt: skip


def test_a_call_that_the_program_ends_early_misses_no_steps(ended: Ended) -> None:
    assert tree(ended, "ended_early") == generated(steps=2)
    assert facts(ended, "ended_early")["steps"] == 2


def test_what_the_program_replaces_within_a_call_stays(told: dict[str, Any]) -> None:
    assert told["patched_within_its_call"] is True


def test_tiles_are_parts_of_the_decode(ended: Ended) -> None:
    found = tree(ended, "tiled")

    assert found.count("generate > vae_decode > tile") == 16
    assert facts(ended, "tiled")["tiling"] is True


@pytest.mark.parametrize(
    ("scenario", "how"), [("offloaded_in_groups", "group"), ("offloaded_by_model", "model")]
)
def test_offload_is_seen_and_has_the_same_phases(ended: Ended, scenario: str, how: str) -> None:
    assert facts(ended, scenario)["offload"] == how
    # Models that are kept off the device are moved before the call and at its end.
    found = [path for path in tree(ended, scenario) if not path.endswith("to_device")]
    assert found == generated()


@pytest.mark.parametrize(
    ("scenario", "how", "graphs"),
    [
        ("compiled_outside", "model", 1),
        ("compiled_in_place", "in place", 1),
        ("compiled_blocks", "blocks", 1),
    ],
)
def test_a_compiled_model_stays_one_graph_and_has_its_steps(
    ended: Ended, told: dict[str, Any], scenario: str, how: str, graphs: int
) -> None:
    assert told[scenario] == {"graphs": graphs, "breaks": 0}
    assert tree(ended, scenario) == generated()
    assert facts(ended, scenario)["compiled"] == how


def test_loading_is_told_by_component(ended: Ended) -> None:
    found = tree(ended, "saved_and_loaded")

    assert (found[0], found[-3:]) == (
        "load",
        ["to_device", "load", "load > AutoencoderKLLTXVideo"],
    )
    components = ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"]
    assert sorted(found[1:-3]) == [f"load > {name}" for name in components]


def test_files_that_are_written_are_phases_and_work(ended: Ended) -> None:
    assert tree(ended, "exported")[-2:] == ["export", "export"]
    gif, mp4 = (w for w in works(ended, "exported") if w.origin == "export")
    assert Path(gif.path or "").name == "out.gif" and Path(mp4.path or "").name == "out.mp4"
    assert (gif.frames, gif.fps, mp4.frames, mp4.fps) == (9, 8, 9, 24)
    assert (mp4.width, mp4.height, mp4.video_seconds) == (96, 64, 9 / 24)


def test_a_script_that_replaces_the_call_has_its_way(ended: Ended, told: dict[str, Any]) -> None:
    assert told["patched_by_the_script"] == "mine"
    assert tree(ended, "patched_by_the_script") == []


def test_imports_that_take_long_are_phases_and_versions_are_kept(ended: Ended) -> None:
    imports = [p for p in ended.marked.phases if p.name == "import"]
    (process,) = ended.marked.processes

    assert {"torch", "diffusers"} <= {str(p.facts["module"]).split(".")[0] for p in imports}
    assert process.facts["torch"].startswith("2.") and process.facts["diffusers"]


HIDDEN = """
import functools
from tests.meter.instrument.tiny import generate, ltx
pipe = ltx()
step = type(pipe.scheduler).step.__wrapped__
pipe.scheduler.step = functools.partial(step, pipe.scheduler)  # past the class, and the hook
generate(pipe)
"""


def test_steps_that_could_not_be_seen_are_counted_against_those_expected(hooked: Running) -> None:
    found = hooked(None, sys.executable, "-c", HIDDEN, PYTHONPATH=str(ROOT))

    (event,) = found.marked.events
    assert event.kind == "marks_missing"
    assert event.detail.startswith("LTXPipeline: 0 of 3 denoising steps were seen")
    assert "generate > denoise" in found.tree


UNREADABLE = """
import torch
from tests.meter.instrument.tiny import generate, ltx

class Unreadable(torch.nn.Module):
    use_tiling = property(lambda self: 1 / 0)

    def decode(self, *args, **kwargs):
        raise AssertionError

pipe = ltx()
pipe.text_encoder_2 = Unreadable()  # nothing of it can be called
pipe.vae_2 = Unreadable()
print(len(generate(pipe).frames[0]))
generate(pipe)
"""


def test_a_part_that_cannot_be_watched_costs_the_others_nothing(hooked: Running) -> None:
    found = hooked(None, sys.executable, "-c", UNREADABLE, PYTHONPATH=str(ROOT))

    assert (found.code, found.out) == (0, "9\n"), found.err
    assert found.tree == 2 * generated()
    assert all(p.end_ns for p in found.marked.phases)
    (event,) = found.marked.events
    assert (event.kind, "ZeroDivisionError" in event.detail) == ("hook_failed", True)
