"""Watches every pipeline class of diffusers, whoever defines it, and the schedulers they step.

Classes are wrapped when they are made (`__init_subclass__`), so there is no list of them to keep.
Schedulers are wrapped as classes too: a wrapper on the instance would be copied with it by
pipelines that copy their scheduler, and go on calling the original.
"""

import functools

from .guard import Phase, around, guarded
from .pipelinecall import PipelineCall, calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def watch(module: "ModuleType") -> None:
    """Mark the calls of all pipelines derived from DiffusionPipeline."""
    _watch_subclasses(module.DiffusionPipeline, "__call__", _called)


def watch_modular(module: "ModuleType") -> None:
    """Mark the calls of modular pipelines."""
    module.ModularPipeline.__call__ = _called(module.ModularPipeline.__call__)
    _watch_subclasses(module.ModularPipeline, "__call__", _called)


def watch_schedulers(module: "ModuleType") -> None:
    """See every step of every scheduler."""
    _watch_subclasses(module.SchedulerMixin, "step", _stepped)


def watch_video_processor(module: "ModuleType") -> None:
    """Mark what happens to the frames behind the decoder."""
    _mark_method(module.VideoProcessor, "postprocess_video")


def watch_image_processor(module: "ModuleType") -> None:
    """The same for images."""
    _mark_method(module.VaeImageProcessor, "postprocess")


def _watch_subclasses(
    base: "Any", name: str, wrap: "Callable[[Callable[..., Any]], Callable[..., Any]]"
) -> None:
    """Wrap the method `name` that a class derived from `base` defines, when it is made."""
    own: Any = base.__dict__.get("__init_subclass__")

    def __init_subclass__(cls: "Any", /, **kwargs: "Any") -> None:
        if own is not None:
            own.__get__(None, cls)(**kwargs)
        else:
            super(base, cls).__init_subclass__(**kwargs)
        method = cls.__dict__.get(name)
        if callable(method):
            setattr(cls, name, wrap(method))

    setattr(base, "__init_subclass__", classmethod(__init_subclass__))  # noqa: B010 - for mypy


def _called(method: "Callable[..., Any]") -> "Callable[..., Any]":
    @functools.wraps(method)
    def __call__(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        here = calls()
        for known in here:
            if known.pipeline is self:
                guarded("pipeline", known.handed_over, method, args, kwargs)
                return method(self, *args, **kwargs)
        call = guarded("pipeline", PipelineCall, self, method, args, kwargs)
        if call is None:
            return method(self, *args, **kwargs)
        here.append(call)
        try:
            result = method(self, *args, **kwargs)
        except BaseException as error:
            here.remove(call)
            guarded("pipeline", call.end, None, error)
            raise
        here.remove(call)
        guarded("pipeline", call.end, result, None)
        return result

    return __call__


def _stepped(method: "Callable[..., Any]") -> "Callable[..., Any]":
    def before(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Any":
        return calls()[-1] if calls() else None

    def after(call: PipelineCall, result: "Any", error: "BaseException | None") -> None:
        if error is None:
            call.stepped()

    return around(method, "step", before, after)


def _mark_method(owner: type, name: str) -> None:
    """Mark a method as `postprocess`, within a pipeline's call."""

    def before(
        args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
    ) -> "tuple[PipelineCall, Phase] | None":
        if not calls() or calls()[-1].postprocessing:
            return None  # videos are postprocessed frame by frame
        call = calls()[-1]
        phase = call.open("postprocess")
        call.postprocessing = True
        return call, phase

    def after(
        begun: "tuple[PipelineCall, Phase]", result: "Any", error: "BaseException | None"
    ) -> None:
        call, phase = begun
        call.postprocessing = False
        phase.end(error)

    setattr(owner, name, around(getattr(owner, name), "postprocess", before, after))
