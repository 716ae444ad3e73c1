"""How much memory a workload needs, worked out without running it; and what would fit instead."""

from collections.abc import Iterable, Mapping

from vidmeter.meter.errors import WorkloadUnavailable
from vidmeter.workloads.base import Setting
from vidmeter.workloads.placing import device_name, free_b
from vidmeter.workloads.video.model import Model, Size

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
FRAMEWORK_B = 1.5e9
"""What CUDA, its libraries and the allocator take beside the tensors."""
LAYER_B = 1e9
"""What stays of weights that are offloaded by layers: a layer, and the next one on its way."""
TILED = 0.25
"""What tiles leave of the peak of decoding, about."""

INSTEAD: tuple[Mapping[str, Setting], ...] = (
    {"vae_tiling": "on"},
    {"offload": "model"},
    {"offload": "model", "vae_tiling": "on"},
    {"offload": "group", "vae_tiling": "on"},
)
"""What takes less memory, the fastest first."""


def check_memory(
    workload: str, device: str, needed: int, instead: Iterable[tuple[Mapping[str, Setting], int]]
) -> None:
    """Raise WorkloadUnavailable, saying what would fit, if less than `needed` bytes are free."""
    free = free_b(device)
    if free >= needed:
        return
    fitting = [
        f"{' '.join(f'{k}={v}' for k, v in changed.items())} ({b / 1e9:.1f} GB)"
        for changed, b in instead
        if b <= free
    ]
    advice = (
        f"{' or '.join(fitting[:2])} would fit"
        if fitting
        else "take a smaller model, or ask for less"
    )
    raise WorkloadUnavailable(
        f"{workload} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free "
        f"on {device_name(device)}: {advice}"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was full: torch has a class for a GPU's, and only words for the rest."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return any(w in said for w in ("out of memory", "can't allocate memory", "alloc_failed"))


def needed_b(model: Model, settings: Mapping[str, Setting], size: Size) -> int:
    """Free memory of the device, in bytes: the weights that lie on it, and the higher peak."""
    return int(_weights_b(model, settings) + _peak_b(model, settings, size) + FRAMEWORK_B)


def _weights_b(model: Model, settings: Mapping[str, Setting]) -> float:
    released = model.parts[model.denoisers[0]].dtype
    dtype = str(settings["dtype"])
    sizes = [
        part.parameters * BYTES[dtype if part.dtype == released else str(part.dtype)]
        for part in model.networks().values()
    ]
    offload = settings.get("offload", "none")
    if offload == "none":
        return sum(sizes)
    return max(sizes) if offload == "model" else LAYER_B


def _peak_b(model: Model, settings: Mapping[str, Setting], size: Size) -> float:
    native, peaks = model.native, model.peaks
    pixels = size.height * size.width / (native.height * native.width)
    frames = size.frames / native.frames
    wide = BYTES[str(settings["dtype"])] / BYTES[str(model.parts[model.denoisers[0]].dtype)]
    denoise = peaks.denoise_b * pixels * frames * size.batch * wide
    decode = peaks.decode_b * pixels * (1 if peaks.in_chunks else frames)
    if settings.get("vae_slicing") != "on":
        decode *= size.batch
    if settings.get("vae_tiling") == "on":
        decode *= TILED
    return max(denoise, decode)
