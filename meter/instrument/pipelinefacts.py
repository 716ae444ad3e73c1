"""What a call of a pipeline was asked for, what it ran with, and what came out.

All of it is read from the call's arguments, from attributes, and from shapes: no tensor's values
are looked at, because that would make the host wait for the GPU.
"""

import inspect
import sys

from .. import marks
from .pipelineresult import shape_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_FRAME_ARGUMENTS = ("num_frames", "video_length", "frames", "num_frames_per_segment")
_RATE_ARGUMENTS = ("frame_rate", "fps")
_IDS = ("_name_or_path", "name_or_path")


def identity(pipeline: "Any") -> "dict[str, Any]":
    """Which pipeline it is, and from where it was loaded."""
    facts = {"class": type(pipeline).__name__}
    config = getattr(pipeline, "config", None)
    name = next((n for i in _IDS if isinstance(n := getattr(config, i, None), str) and n), None)
    if name:
        facts["loaded_from"] = name
    return facts


def components(pipeline: "Any") -> "Iterator[tuple[str, Any]]":
    """The models of a pipeline, by the names that they have in it, each once.

    From its attributes: `components` fails for classes that don't keep all that they are made with.
    """
    torch = _torch()
    known: set[int] = set()
    for name, part in list(vars(pipeline).items()):
        if torch is not None and isinstance(part, torch.nn.Module) and id(part) not in known:
            known.add(id(part))
            yield name, part


def denoiser(pipeline: "Any") -> "Any":
    """The model that denoises, or None."""
    names = dict(components(pipeline))
    for prefix in ("transformer", "unet", "prior"):
        for name, part in names.items():
            if name.startswith(prefix):
                return part
    return None


def asked_for(
    pipeline: "Any",
    method: "Callable[..., Any]",
    args: "tuple[Any, ...]",
    kwargs: "dict[str, Any]",
) -> "dict[str, Any]":
    """The plain arguments of a call, with the defaults of those that were left out."""
    try:
        bound = inspect.signature(method).bind(pipeline, *args, **kwargs)
    except (TypeError, ValueError):
        return dict(kwargs)  # the call itself will say what is wrong with it
    bound.apply_defaults()
    asked: dict[str, Any] = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            asked |= asked.pop(name)
    return asked


def done(
    pipeline: "Any", asked: "dict[str, Any]", result: "Any", seen: "dict[str, int]"
) -> "dict[str, Any]":
    """The facts of a finished call, plain JSON values; what isn't known is left out.

    `seen` counts the steps, the forwards of the denoiser and the calls of the VAE's decoder.
    """
    model = denoiser(pipeline)
    made = shape_of(result, asked)
    facts: dict[str, Any] = {
        "output": asked.get("output_type") or ("latent" if not made else None),
        "steps": seen["steps"] or None,
        "steps_asked": _number(asked.get("num_inference_steps")),
        "timesteps": _number(getattr(pipeline, "num_timesteps", None)),
        "guidance": _number(asked.get("guidance_scale")),
        "guided": _flag(getattr(pipeline, "do_classifier_free_guidance", None)),
        "forwards": seen["forwards"] or None,
        "forwards_per_step": _share(seen["forwards"], seen["steps"]),
        "decodes": seen["decodes"] or None,
        "frame_rate": next((r for a in _RATE_ARGUMENTS if (r := _number(asked.get(a)))), None),
        "frames_asked": next((n for a in _FRAME_ARGUMENTS if (n := _number(asked.get(a)))), None),
        **made,
        **_how(pipeline, model),
    }
    return {name: value for name, value in facts.items() if value is not None}


def say_work(facts: "dict[str, Any]") -> None:
    """Say what a call has produced, as its facts have it."""
    batch = facts.get("batch")
    if not batch:
        return
    size = {"width": facts.get("width"), "height": facts.get("height")}
    if "frames" in facts:
        frames, rate = facts["frames"] * batch, facts.get("frame_rate")
        seconds = frames / rate if rate else None
        marks.work(
            "video",
            batch,
            origin="pipeline",
            frames=frames,
            fps=rate,
            video_seconds=seconds,
            **size,
        )
    else:
        marks.work("images", batch, origin="pipeline", **size)


def doubts(pipeline: "Any", facts: "dict[str, Any]") -> "Iterator[tuple[str, str]]":
    """What was to be seen of a call and wasn't, as kind and sentence."""
    name = type(pipeline).__name__
    expected = facts.get("timesteps") or facts.get("steps_asked")
    steps = facts.get("steps", 0)
    stopped = getattr(pipeline, "_interrupt", False) is True  # diffusers' way to end early
    if expected and steps < expected and not stopped:
        yield (
            "marks_missing",
            f"{name}: {steps} of {expected} denoising steps were seen; the others are not told"
            " apart",
        )
    if expected and steps > expected:
        yield (
            "marks_missing",
            f"{name}: {steps} denoising steps were seen where {expected} were asked for; what is"
            " a step here may be a part of one",
        )
    if facts.get("output") != "latent" and hasattr(pipeline, "vae") and not facts.get("decodes"):
        yield "marks_missing", f"{name}: its VAE was not seen decoding: it has no phase of its own"


def _how(pipeline: "Any", model: "Any") -> "dict[str, Any]":
    """What a pipeline's models ran on and with."""
    vae = getattr(pipeline, "vae", None)
    seen = _survey(components(pipeline), model)
    offload = _offload(pipeline, seen)
    parameters, dtype = _weights(model)
    return {
        "dtype": dtype,
        "device": _device(model, offload),
        "attention": _attention(seen.processor),
        "offload": offload,
        "compiled": _compiled(model, seen),
        "caches": sorted(n for n in seen.own_hooks if "cache" in n or "broadcast" in n) or None,
        "quantization": _quantization(model),
        "scheduler": _class_name(getattr(pipeline, "scheduler", None)),
        "parameters": parameters,
        "tiling": _flag(getattr(vae, "use_tiling", None)) or None,
        "slicing": _flag(getattr(vae, "use_slicing", None)) or None,
    }


class _Survey:
    """What one walk over all modules of a pipeline found; the denoiser's own apart."""

    def __init__(self) -> None:
        self.offload_hooks: list[Any] = []
        self.hooks: set[str] = set()
        self.own_hooks: set[str] = set()
        self.processor: Any = None
        self.compiled_parts = False


def _survey(parts: "Iterable[tuple[str, Any]]", model: "Any") -> _Survey:
    """Look at every module once; past `getattr`, which is slow in modules for what isn't there."""
    seen = _Survey()
    for _, part in parts:
        for module in part.modules():
            own = module.__dict__
            if "_hf_hook" in own:
                seen.offload_hooks.append(own["_hf_hook"])
            if "_diffusers_hook" in own:
                names = set(getattr(own["_diffusers_hook"], "hooks", {}))
                seen.hooks |= names
                seen.own_hooks |= names if part is model else set()
            if part is model:
                seen.processor = seen.processor or own.get("processor")
                compiled = own.get("_compiled_call_impl") is not None
                compiled = compiled or type(module).__name__ == "OptimizedModule"
                seen.compiled_parts |= compiled and module is not model
    return seen


def _device(model: "Any", offload: "str | None") -> "str | None":
    """Where the denoiser runs: where its weights are, or, where they come and go, on the GPU."""
    torch = _torch()
    if offload is not None and torch is not None and torch.cuda.is_initialized():
        return "cuda"
    first = next(iter(model.parameters()), None) if model is not None else None
    return str(first.device) if first is not None else None


def _attention(processor: "Any") -> "str | None":
    """The attention backend in use: the model's own, or the one chosen for all."""
    if processor is None:
        return None
    if not hasattr(processor, "_attention_backend"):
        return type(processor).__name__
    chosen = processor._attention_backend
    if chosen is None:
        dispatch = sys.modules.get("diffusers.models.attention_dispatch")
        registry = getattr(dispatch, "_AttentionBackendRegistry", None)
        chosen = registry.get_active_backend()[0] if registry is not None else None
    return str(getattr(chosen, "value", chosen)) if chosen is not None else None


def _offload(pipeline: "Any", seen: _Survey) -> "str | None":
    """How models are kept off the device while they rest: model, sequential, group or map."""
    if getattr(pipeline, "hf_device_map", None):
        return "device_map"
    if any(type(hook).__name__ == "CpuOffload" for hook in seen.offload_hooks):
        return "model"
    if any(getattr(h, "offload", False) or hasattr(h, "hooks") for h in seen.offload_hooks):
        return "sequential"
    return "group" if any("group_offloading" in name for name in seen.hooks) else None


def _compiled(model: "Any", seen: _Survey) -> "str | None":
    """Which part of a model torch.compile has taken: all of it, in place or not, or blocks."""
    if type(model).__name__ == "OptimizedModule":
        return "model"
    if getattr(model, "_compiled_call_impl", None) is not None:
        return "in place"
    return "blocks" if seen.compiled_parts else None


def _quantization(model: "Any") -> "str | None":
    config = getattr(getattr(model, "config", None), "quantization_config", None)
    method = getattr(config, "quant_method", None)
    return str(getattr(method, "value", method)) if method is not None else None


def _weights(model: "Any") -> "tuple[int | None, str | None]":
    """How many parameters a model has, and what type most of them are of."""
    by_type: dict[Any, int] = {}
    for parameter in model.parameters() if model is not None else ():
        by_type[parameter.dtype] = by_type.get(parameter.dtype, 0) + parameter.numel()
    if not by_type:
        return None, None
    usual = max(by_type, key=lambda dtype: by_type[dtype])
    return sum(by_type.values()), str(usual).removeprefix("torch.")


def _class_name(part: "Any") -> "str | None":
    return type(part).__name__ if part is not None else None


def _number(value: "Any") -> "int | float | None":
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(value: "Any") -> "bool | None":
    return value if isinstance(value, bool) else None


def _share(count: int, steps: int) -> "float | None":
    return round(count / steps, 2) if count and steps else None


def _torch() -> "Any":
    return sys.modules.get("torch")
