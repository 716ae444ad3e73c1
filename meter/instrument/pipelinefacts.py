"""What a call of a pipeline was asked for, what it ran with, and what came out.

All of it is read from the call's arguments, from attributes, and from shapes: no tensor's values
are looked at, because that would make the host wait for the GPU.
"""

import inspect
import sys

from .. import marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    """The models of a pipeline, by the names that they have in it."""
    torch = _torch()
    for name, part in list(getattr(pipeline, "components", {}).items()):
        if torch is not None and isinstance(part, torch.nn.Module):
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
    rest: dict[str, Any] = asked.pop("kwargs", {})
    return {**asked, **rest}


def done(
    pipeline: "Any", asked: "dict[str, Any]", result: "Any", seen: "dict[str, int]"
) -> "dict[str, Any]":
    """The facts of a finished call, plain JSON values; what isn't known is left out.

    `seen` counts the steps, the forwards of the denoiser and the calls of the VAE's decoder.
    """
    model = denoiser(pipeline)
    made = _made(result, asked)
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
    if expected and steps != expected:
        yield (
            "marks_missing",
            f"{name}: {steps} of {expected} denoising steps were seen; the others are not told"
            " apart",
        )
    if facts.get("output") != "latent" and hasattr(pipeline, "vae") and not facts.get("decodes"):
        yield "marks_missing", f"{name}: its VAE was not seen decoding: it has no phase of its own"


def _how(pipeline: "Any", model: "Any") -> "dict[str, Any]":
    """What a pipeline's models ran on and with."""
    vae = getattr(pipeline, "vae", None)
    tiled = _flag(getattr(vae, "use_tiling", None))
    sliced = _flag(getattr(vae, "use_slicing", None))
    return {
        "dtype": str(getattr(model, "dtype", "")).removeprefix("torch.") or None,
        "device": str(getattr(pipeline, "_execution_device", "")) or None,
        "attention": _attention(model),
        "offload": _offload(pipeline),
        "compiled": _compiled(model),
        "caches": _caches(model),
        "quantization": _quantization(model),
        "scheduler": _class_name(getattr(pipeline, "scheduler", None)),
        "parameters": _parameters(model),
        "tiling": tiled or None,
        "slicing": sliced or None,
    }


def _made(result: "Any", asked: "dict[str, Any]") -> "dict[str, Any]":
    """Number and size of the videos or images that came out, from their shapes."""
    if asked.get("output_type") == "latent":
        return {}
    for kind in ("frames", "videos", "images"):
        out = getattr(result, kind, None)
        if out is not None:
            break
    else:
        out = result[0] if isinstance(result, tuple) and result else None
    if out is None:
        return {}
    shape = getattr(out, "shape", None)
    if shape is not None and len(shape) in (4, 5):
        return _of_array([int(n) for n in shape])
    if isinstance(out, list | tuple) and out:
        return _of_list(out)
    return {}


def _of_array(shape: "list[int]") -> "dict[str, Any]":
    """Of an array: (batch, [frames,] height, width, channels), or channels before the size."""
    channels_last = shape[-1] in (1, 3, 4)
    height, width = shape[-3:-1] if channels_last else shape[-2:]
    facts = {"batch": shape[0], "height": height, "width": width}
    if len(shape) == 5:
        facts["frames"] = shape[1] if channels_last or shape[2] in (1, 3, 4) else shape[2]
    return facts


def _of_list(out: "Any") -> "dict[str, Any]":
    """Of a list of images, or of videos that are lists or arrays themselves."""
    first = out[0]
    size = getattr(first, "size", None)
    if isinstance(size, tuple) and len(size) == 2:  # a PIL image
        return {"batch": len(out), "width": int(size[0]), "height": int(size[1])}
    shape = getattr(first, "shape", None)
    if shape is not None and len(shape) == 4:
        return _of_array([len(out), *(int(n) for n in shape)])
    if isinstance(first, list | tuple) and first:
        inner = _of_list(first)
        frames = inner.pop("batch", None)
        return {"batch": len(out), "frames": frames, **inner} if frames else {}
    return {}


def _attention(model: "Any") -> "str | None":
    """The attention backend in use: the model's own, or the one chosen for all."""
    for module in model.modules() if model is not None else ():
        processor = getattr(module, "processor", None)
        if processor is None:
            continue
        if hasattr(processor, "_attention_backend"):
            own = processor._attention_backend
            if own is None:
                dispatch = sys.modules.get("diffusers.models.attention_dispatch")
                registry = getattr(dispatch, "_AttentionBackendRegistry", None)
                own = registry.get_active_backend()[0] if registry is not None else None
            return str(getattr(own, "value", own)) if own is not None else None
        return type(processor).__name__
    return None


def _offload(pipeline: "Any") -> "str | None":
    """How models are kept off the device while they rest: model, sequential, group or map."""
    if getattr(pipeline, "hf_device_map", None):
        return "device_map"
    hooks = [
        getattr(module, "_hf_hook", None)
        for _, part in components(pipeline)
        for module in part.modules()
    ]
    if any(type(hook).__name__ == "CpuOffload" for hook in hooks):
        return "model"
    if any(getattr(hook, "offload", False) or hasattr(hook, "hooks") for hook in hooks):
        return "sequential"
    if any("group_offloading" in name for _, part in components(pipeline) for name in _hooks(part)):
        return "group"
    return None


def _compiled(model: "Any") -> "str | None":
    """Which part of a model torch.compile has taken: all of it, in place or not, or blocks."""
    if model is None:
        return None
    if type(model).__name__ == "OptimizedModule":
        return "model"
    if getattr(model, "_compiled_call_impl", None) is not None:
        return "in place"
    parts = (m for m in model.modules() if m is not model)
    if any(
        getattr(m, "_compiled_call_impl", None) is not None or type(m).__name__ == "OptimizedModule"
        for m in parts
    ):
        return "blocks"
    return None


def _caches(model: "Any") -> "list[str] | None":
    """Caches that leave out parts of steps, by the names of their hooks."""
    found = {n for n in _hooks(model) if "cache" in n or "broadcast" in n}
    return sorted(found) or None


def _hooks(model: "Any") -> "Iterator[str]":
    for module in model.modules() if model is not None else ():
        registry = getattr(module, "_diffusers_hook", None)
        yield from getattr(registry, "hooks", {})


def _quantization(model: "Any") -> "str | None":
    config = getattr(getattr(model, "config", None), "quantization_config", None)
    method = getattr(config, "quant_method", None)
    return str(getattr(method, "value", method)) if method is not None else None


def _parameters(model: "Any") -> "int | None":
    return sum(p.numel() for p in model.parameters()) if model is not None else None


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
