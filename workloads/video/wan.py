"""Wan 2.1 text-to-video through diffusers' own classes, from configuration with random weights.

`wan2.1-t2v-1.3b` is the published architecture with its native settings. `wan2.1-t2v-tiny` is the
same pipeline shrunk until two CPU cores make a video in seconds, with denoising still the largest
part of the work, as it is in the real one. The tokenizer works on bytes and needs no vocabulary
file; the pipeline pads every prompt to the same length, so the work doesn't depend on it.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vidmeter
from vidmeter.meter.errors import VidmeterError
from vidmeter.workloads.base import Parameter, Produced, Setting, require, settle
from vidmeter.workloads.placing import check_memory, choose_device, device_name
from vidmeter.workloads.video.mp4 import write_mp4
from vidmeter.workloads.video.wan_architecture import (
    T2V_1_3B,
    Architecture,
    components,
    memory_needed_b,
    scheduler,
    tiny_architecture,
    untyped,
)
from vidmeter.workloads.weights import build, parameter_count

FPS = 16
PACKAGES = ("torch", "diffusers", "transformers", "av")
WEIGHTS_SEED = 0

PARAMETERS: Mapping[str, Parameter] = {
    "prompt": Parameter("A cat walks on the grass, realistic style.", "what to show"),
    "height": Parameter(480, "height in pixels", minimum=16, step=16),
    "width": Parameter(832, "width in pixels", minimum=16, step=16),
    "frames": Parameter(81, "frames of the video, which plays at 16 a second", minimum=1, step=4),
    "steps": Parameter(50, "denoising steps", minimum=1),
    "guidance": Parameter(5.0, "guidance scale; above 1 each step runs the model twice", minimum=0),
    "seed": Parameter(0, "seed of the noise", minimum=0),
}

TINY_PARAMETERS: Mapping[str, Parameter] = {
    **PARAMETERS,
    "height": Parameter(128, "height in pixels", minimum=16, step=16),
    "width": Parameter(192, "width in pixels", minimum=16, step=16),
    "frames": Parameter(17, "frames of the video, which plays at 16 a second", minimum=1, step=4),
    "steps": Parameter(20, "denoising steps", minimum=1),
    "layers": Parameter(8, "transformer blocks", minimum=1),
    "heads": Parameter(8, "attention heads of 32 channels each", minimum=1),
    "ffn": Parameter(1024, "width of each block's feed-forward layer", minimum=1),
}


def t2v_1_3b(settings: Mapping[str, object]) -> "WanTextToVideo":
    """Wan2.1-T2V-1.3B as published: 480×832, 81 frames, 50 steps, bfloat16, VAE in float32."""
    name = "wan2.1-t2v-1.3b"
    return WanTextToVideo(
        name=name,
        description="Wan 2.1 text-to-video 1.3B, the published architecture; for a GPU",
        devices=("cuda",),
        architecture=T2V_1_3B,
        parameters=PARAMETERS,
        settings=settle(name, PARAMETERS, settings),
    )


def tiny(settings: Mapping[str, object]) -> "WanTextToVideo":
    """The same pipeline with about 9 million parameters: 128×192, 17 frames, 20 steps, float32."""
    name = "wan2.1-t2v-tiny"
    settled = settle(name, TINY_PARAMETERS, settings)
    return WanTextToVideo(
        name=name,
        description="the Wan 2.1 pipeline shrunk to run in seconds on two CPU cores",
        devices=("cuda", "cpu"),
        architecture=tiny_architecture(settled),
        parameters=TINY_PARAMETERS,
        settings=settled,
    )


class WanTextToVideo:
    """A Wan text-to-video pipeline with random weights."""

    packages = PACKAGES

    def __init__(
        self,
        *,
        name: str,
        description: str,
        devices: tuple[str, ...],
        architecture: Architecture,
        parameters: Mapping[str, Parameter],
        settings: Mapping[str, Setting],
    ) -> None:
        self.name = name
        self.description = description
        self.devices = devices
        self.parameters = parameters
        self.settings = settings
        self._architecture = architecture
        self._pipeline: Any = None
        self._facts: dict[str, Any] = {}

    @property
    def memory_b(self) -> int:
        """Free memory of the device that it needs with its settings, estimated."""
        size = {key: int(self.settings[key]) for key in ("height", "width", "frames")}
        return memory_needed_b(self._architecture, **size)

    def prepare(self, device: str) -> None:
        """Build the pipeline on `device`. Raises WorkloadUnavailable if it can't run there."""
        require(self.name, self.packages)
        import torch

        makers = components(self._architecture)
        pipeline, schedule = untyped("diffusers").WanPipeline, scheduler()
        tokenizer = untyped("transformers").ByT5Tokenizer()
        place = choose_device(self.name, device, meant_for=self.devices)
        check_memory(self.name, place, needed_b=self.memory_b)
        parts: dict[str, Any] = {}
        for part, (make, dtype) in makers.items():
            with vidmeter.phase(part):
                number = getattr(torch, dtype)
                parts[part] = build(make, dtype=number, device=place, seed=WEIGHTS_SEED)
        self._pipeline = pipeline(tokenizer=tokenizer, scheduler=schedule, **parts)
        self._pipeline.set_progress_bar_config(disable=not sys.stderr.isatty(), desc=self.name)
        self._facts = _facts(self._pipeline, parts, place)

    def generate(self, seed: int, out: Path) -> Produced:
        """Make one video and write it to `out`. The same seed gives the same video."""
        import torch

        if self._pipeline is None:
            raise RuntimeError(f"{self.name} is not prepared")
        video = self._pipeline(
            prompt=self.settings["prompt"],
            height=self.settings["height"],
            width=self.settings["width"],
            num_frames=self.settings["frames"],
            num_inference_steps=self.settings["steps"],
            guidance_scale=self.settings["guidance"],
            max_sequence_length=self._architecture.prompt_tokens,
            # Noise drawn on the CPU is the same for every device.
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="pt",
        ).frames[0]
        self._facts["steps_run"] = self._pipeline.num_timesteps
        with vidmeter.phase("export"):
            if not bool(torch.isfinite(video).all()):
                raise VidmeterError(
                    f"{self.name} made a video with numbers that are not finite: nothing is written"
                )
            # count × 3 × height × width in [0, 1], as write_mp4 wants it
            pictures = (video * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
            write_mp4(out, pictures, fps=FPS)
        frames, height, width, _ = pictures.shape
        return Produced(out, frames=frames, fps=float(FPS), width=width, height=height)

    def facts(self) -> Mapping[str, Any]:
        """What was really used, as plain JSON values; known after `prepare`."""
        return self._facts | {"fps": FPS, "prompt_tokens": self._architecture.prompt_tokens}

    def close(self) -> None:
        """Let go of the pipeline, and of the memory that torch keeps for later."""
        if self._pipeline is None:
            return
        import torch

        self._pipeline = None
        torch.cuda.empty_cache()


def _facts(pipeline: Any, parts: Mapping[str, Any], place: str) -> dict[str, Any]:
    import torch

    return {
        "weights": "random",
        "weights_seed": WEIGHTS_SEED,
        "pipeline": type(pipeline).__name__,
        "tokenizer": type(pipeline.tokenizer).__name__,
        "scheduler": type(pipeline.scheduler).__name__,
        "components": {name: _component(module) for name, module in parts.items()},
        "attention_backend": _attention_backend(),
        "device": place,
        "device_name": device_name(place),
        "cpu_threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def _component(module: Any) -> dict[str, Any]:
    by_type: Counter[str] = Counter()
    for parameter in module.parameters():
        by_type[str(parameter.dtype).removeprefix("torch.")] += parameter.numel()
    return {
        "class": type(module).__name__,
        "parameters": parameter_count(module),
        "parameters_by_dtype": dict(by_type),
    }


def _attention_backend() -> str | None:
    """Which of its attention functions diffusers calls; None if this version doesn't say."""
    try:
        dispatch = untyped("diffusers.models.attention_dispatch")
        return str(dispatch._AttentionBackendRegistry.get_active_backend()[0].value)
    except (ImportError, AttributeError):
        return None
