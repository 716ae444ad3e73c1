"""The settings that change how a video is made and not what: each is a parameter of every workload
whose classes have it, and is applied to a finished pipeline here.
"""

from collections.abc import Mapping
from typing import Any

from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import Parameter, Setting
from vidmeter.workloads.parts import named

DTYPES = ("bfloat16", "float16", "float32")
FIRST_BLOCK_THRESHOLD = 0.2
ATTENTION = r".*blocks\.\d+\.(attn\w*|self_attention|cross_attention)"
"""The attention of every block, by its name. diffusers' own patterns have to match the whole of a
name, and few of these models' names are matched by them: the cache would do nothing."""

AXES: Mapping[str, Parameter] = {
    "batch": Parameter(1, "videos made at once", minimum=1),
    "dtype": Parameter("bfloat16", "type of the networks' numbers", choices=DTYPES),
    "attention": Parameter("default", "attention backend of diffusers, as native, flash or sage"),
    "compile": Parameter(
        "none",
        "torch.compile of the denoiser: whole, or its repeated blocks",
        choices=("none", "denoiser", "blocks"),
    ),
    "offload": Parameter(
        "none",
        "keep weights in the host's memory: by model, layer by layer, or by groups of layers",
        choices=("none", "model", "sequential", "group"),
    ),
    "vae_tiling": Parameter("off", "decode in tiles", choices=("off", "on")),
    "vae_slicing": Parameter("off", "decode a batch one by one", choices=("off", "on")),
    "cache": Parameter(
        "none",
        "diffusers' caches of what changes little between steps",
        choices=("none", "first_block", "pyramid", "faster", "taylorseer"),
    ),
}


def apply_axes(
    workload: str,
    pipeline: Any,
    settings: Mapping[str, Setting],
    *,
    denoisers: tuple[str, ...],
    device: str,
) -> None:
    """Bring a pipeline, whose networks lie in the host's memory or on `device`, to its settings.

    Raises WorkloadUnavailable for what this version of diffusers, or this machine, can't do.
    """
    networks = [getattr(pipeline, name) for name in denoisers]
    try:
        if settings.get("attention", "default") != "default":
            for network in networks:
                _attention(workload, network, str(settings["attention"]))
        for setting, method in (
            ("vae_tiling", pipeline.vae.enable_tiling),
            ("vae_slicing", pipeline.vae.enable_slicing),
        ):
            if settings.get(setting) == "on":
                method()
        cache = settings.get("cache", "none")
        if cache != "none":
            config = _cache_config(str(cache), pipeline)
            for network in networks:
                network.enable_cache(config)
        _place(workload, pipeline, str(settings.get("offload", "none")), device)
        how = settings.get("compile", "none")
        for network in networks:
            if how == "denoiser":
                network.compile()
            elif how == "blocks":
                network.compile_repeated_blocks()
    except (AttributeError, NotImplementedError, ValueError, ImportError) as error:
        stated = {k: v for k, v in settings.items() if k in AXES and v != AXES[k].default}
        raise WorkloadUnavailable(
            f"{workload} can't be set to {_shown(stated)}: {_one_line(error)}"
        ) from error


def _attention(workload: str, network: Any, backend: str) -> None:
    known = [b.value for b in named("diffusers.models.attention_dispatch.AttentionBackendName")]
    if backend not in known:
        raise WorkloadUnavailable(
            f"{workload}: diffusers has no attention backend {backend!r}; it has {', '.join(known)}"
        )
    try:
        network.set_attention_backend(backend)
    except RuntimeError as error:
        raise WorkloadUnavailable(
            f"{workload}: attention={backend} doesn't work here: {_one_line(error)}"
        ) from error


def _cache_config(cache: str, pipeline: Any) -> Any:
    """diffusers' configuration of a cache, with the thresholds of its own documentation."""

    def timestep() -> Any:
        return pipeline.current_timestep

    if cache == "first_block":
        return named("diffusers.hooks.FirstBlockCacheConfig")(threshold=FIRST_BLOCK_THRESHOLD)
    if cache == "pyramid":
        return named("diffusers.PyramidAttentionBroadcastConfig")(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(100, 800),
            current_timestep_callback=timestep,
        )
    if cache == "taylorseer":
        return named("diffusers.TaylorSeerCacheConfig")(
            cache_interval=5,
            max_order=1,
            disable_cache_before_step=3,
            cache_identifiers=[ATTENTION],
        )
    return named("diffusers.FasterCacheConfig")(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(-1, 681),
        current_timestep_callback=timestep,
        attention_weight_callback=lambda _: 0.3,
        unconditional_batch_skip_range=5,
        unconditional_batch_timestep_skip_range=(-1, 781),
        tensor_format="BFCHW",
    )


def _place(workload: str, pipeline: Any, offload: str, device: str) -> None:
    if offload == "none":
        pipeline.to(device)
        return
    if device == "cpu":
        raise WorkloadUnavailable(f"{workload}: offload={offload} needs a GPU to offload from")
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        import torch

        pipeline.enable_group_offload(
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=True,
        )


def _shown(settings: Mapping[str, Setting]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items()) or "its settings"


def _one_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
