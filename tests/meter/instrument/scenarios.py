"""Runs under the hook: many ways to use a pipeline, each within a phase of its own name."""

import contextvars
import copy
import gc
import json
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, LTXPipeline
from diffusers.utils import encode_video, export_to_gif

import vidmeter
from tests.meter.instrument.tiny import generate, ltx

told: dict[str, Any] = {}


def scenario(function: Callable[[], Any]) -> None:
    with vidmeter.phase(function.__name__):
        told[function.__name__] = function()


@scenario
def plain() -> list[int]:
    pipe = ltx()
    models = (pipe.vae, pipe.transformer, pipe.text_encoder)
    before = [set(vars(model)) for model in models]
    frames = generate(pipe).frames[0]
    new = [set(vars(model)) - known for model, known in zip(models, before, strict=True)]
    assert new == [set(), {"_diffusers_hook"}, set()], new  # that one is diffusers' own
    assert "encode_prompt" not in vars(pipe)
    assert not any([*m._forward_pre_hooks, *m._forward_hooks] for m in models)
    return [len(frames), *frames[0].size]


@scenario
def unguided() -> None:
    generate(ltx(), guidance_scale=1.0)


@scenario
def batch_of_two() -> None:
    generate(ltx(), prompt=["a cat", "a dog"], output_type="np", frame_rate=24)


@scenario
def latents() -> None:
    generate(ltx(), output_type="latent")


@scenario
def tuple_of_tensors() -> None:
    generate(ltx(), output_type="pt", return_dict=False)


@scenario
def phases_of_its_own() -> None:
    def callback(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        with vidmeter.phase("preview"):
            pass
        return tensors

    generate(ltx(), callback_on_step_end=callback)


@scenario
def failing() -> str:
    pipe = ltx()
    pipe.transformer.proj_out.weight.data = torch.zeros(3, 3)
    try:
        generate(pipe)
    except RuntimeError:
        assert "encode_prompt" not in vars(pipe) and not pipe.transformer._forward_pre_hooks
        return "RuntimeError"
    return "nothing"


class CopyingPipeline(LTXPipeline):  # type: ignore[misc]
    """Steps a copy of its scheduler, as pipelines with a second modality do."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        original = self.scheduler
        self.scheduler = copy.deepcopy(original)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            self.scheduler = original


@scenario
def own_class_with_a_copied_scheduler() -> None:
    generate(CopyingPipeline(**ltx().components))


class TwiceScheduler(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]
    """Called twice for each step, as for video and audio."""

    def step(self, *args: Any, **kwargs: Any) -> Any:
        again = copy.deepcopy(self)
        FlowMatchEulerDiscreteScheduler.step(again, *args, **kwargs)
        return super().step(*args, **kwargs)


@scenario
def scheduler_called_twice_a_step() -> None:
    generate(ltx(scheduler=TwiceScheduler()))


@scenario
def two_at_once() -> None:
    pipes = [ltx(), ltx()]
    threads = []
    for pipe in pipes:
        context = contextvars.copy_context()
        threads.append(threading.Thread(target=context.run, args=(generate, pipe)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@scenario
def two_that_share_their_models() -> list[str]:
    """The second begins within the first, and ends after it."""
    first = ltx()
    second = LTXPipeline(**{**first.components, "scheduler": copy.deepcopy(first.scheduler)})
    second.set_progress_bar_config(disable=True)
    begun, inside, over = threading.Event(), threading.Event(), threading.Event()

    def wait_for_second(pipe: Any, step: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        assert inside.wait(60)
        return tensors

    def wait_for_first(pipe: Any, step: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        inside.set()
        assert over.wait(60)
        return tensors

    def early() -> None:
        generate(first, callback_on_step_end=wait_for_second)
        over.set()

    def late() -> None:
        assert begun.wait(60)
        generate(second, callback_on_step_end=wait_for_first)

    run = (early, late)
    threads = [threading.Thread(target=contextvars.copy_context().run, args=(f,)) for f in run]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    models = (first.vae, first.transformer, first.text_encoder)
    assert not any([*m._forward_pre_hooks, *m._forward_hooks] for m in models)
    return [name for name in ("encode", "decode") if name in vars(first.vae)]


@scenario
def modular() -> None:
    from diffusers.modular_pipelines.ltx import LTXAutoBlocks

    pipe = LTXAutoBlocks().init_pipeline()
    pipe.update_components(**ltx().components)
    pipe.set_progress_bar_config(disable=True)
    for output in ("videos", ["videos"], None):
        generate(pipe, output=output, output_type="np")


class MadeOfAnother(DiffusionPipeline):  # type: ignore[misc]
    """Hands over to a pipeline of the same models; keeps less than it is made with."""

    def __init__(self, transformer: Any, vae: Any, other: Any) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, vae=vae)
        self.hidden = [other]

    def __call__(self, **asked: Any) -> Any:
        return generate(self.hidden[0], **asked)


@scenario
def one_made_of_another() -> None:
    pipe = ltx()
    MadeOfAnother(pipe.transformer, pipe.vae, pipe)()


class Held:
    """Something that a frame of the program holds, as it does a tensor."""


def _left_behind(pipe: Any, owner: Any, method: str) -> bool:
    """Whether what an exception passed through is still there when it was handled."""
    held = []

    def fail(*_: Any, **__: Any) -> None:
        mine = Held()
        held.append(weakref.ref(mine))
        raise RuntimeError("out of memory")

    setattr(owner, method, fail)
    try:
        generate(pipe)
    except RuntimeError:
        pass
    return held[0]() is not None


@scenario
def nothing_is_kept() -> dict[str, bool]:
    gc.collect()
    gc.disable()
    pipes = ltx(), ltx(), ltx()
    kept = {
        "by_the_encoder": _left_behind(pipes[0], pipes[0], "encode_prompt"),
        "by_the_step": _left_behind(pipes[1], pipes[1].scheduler, "_init_step_index"),
        "by_the_decoder": _left_behind(pipes[2], pipes[2].vae, "decode"),
    }
    pipe = ltx()
    generate(pipe)
    there = weakref.ref(pipe)
    del pipe
    kept["by_the_call"] = there() is not None
    gc.enable()
    return kept


@scenario
def ended_early() -> None:
    def stop(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step == 1
        return tensors

    generate(ltx(), callback_on_step_end=stop)


@scenario
def patched_within_its_call() -> bool:
    pipe = ltx()

    def decode(*args: Any, **kwargs: Any) -> Any:
        return type(pipe.vae).decode(pipe.vae, *args, **kwargs)

    def patch(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe.vae.decode = decode
        return tensors

    try:
        generate(pipe, output_type="latent", callback_on_step_end=patch)
        return pipe.vae.decode is decode
    finally:
        del pipe.vae.decode


@scenario
def tiled() -> None:
    pipe = ltx()
    pipe.vae.enable_tiling(
        tile_sample_min_height=64,
        tile_sample_min_width=64,
        tile_sample_stride_height=32,
        tile_sample_stride_width=32,
    )
    generate(pipe, height=128, width=128)


@scenario
def offloaded_in_groups() -> None:
    pipe = ltx()
    pipe.transformer.enable_group_offload(
        onload_device=torch.device("cpu"),
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
    )
    generate(pipe)


@scenario
def offloaded_by_model() -> None:
    pipe = ltx()
    pipe.enable_model_cpu_offload(device="cpu")
    generate(pipe)


def _graphs(compile_part: Callable[[Any], None]) -> dict[str, int]:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    pipe = ltx()
    compile_part(pipe)
    generate(pipe)
    counted = torch._dynamo.utils.counters
    return {
        "graphs": counted["stats"]["unique_graphs"],
        "breaks": sum(counted["graph_break"].values()),
    }


def _outer(pipe: Any) -> None:
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")


@scenario
def compiled_outside() -> dict[str, int]:
    return _graphs(_outer)


@scenario
def compiled_in_place() -> dict[str, int]:
    return _graphs(lambda pipe: pipe.transformer.compile(backend="eager"))


@scenario
def compiled_blocks() -> dict[str, int]:
    return _graphs(lambda pipe: pipe.transformer.compile_repeated_blocks(backend="eager"))


@scenario
def saved_and_loaded() -> None:
    pipe = ltx()
    pipe.save_pretrained("saved")
    LTXPipeline.from_pretrained("saved").to("cpu")
    type(pipe.vae).from_pretrained("saved/vae")


@scenario
def exported() -> None:
    frames = generate(ltx()).frames[0]
    export_to_gif(frames, "out.gif", fps=8)
    encode_video(frames, fps=24, output_path="out.mp4")


def replaced_call(self: Any, *args: Any, **kwargs: Any) -> str:
    return "mine"


@scenario
def patched_by_the_script() -> str:
    original = LTXPipeline.__call__
    LTXPipeline.__call__ = replaced_call
    try:
        return str(ltx()())
    finally:
        LTXPipeline.__call__ = original


json.dump(told, sys.stdout)
