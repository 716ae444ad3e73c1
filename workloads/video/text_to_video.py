"""Runs any text-to-video model: builds or loads its pipeline, makes videos, says what was used."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import vidmeter
from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.workloads.base import TINY, Parameter, Produced, Setting, require, settle
from vidmeter.workloads.checkpoints import RANDOM, check_weights, load_weights
from vidmeter.workloads.facts import networks, require_class, surroundings
from vidmeter.workloads.memory import INSTEAD, check_memory, needed_b
from vidmeter.workloads.parts import named
from vidmeter.workloads.placing import choose_device
from vidmeter.workloads.prompts import prompt_for
from vidmeter.workloads.video.axes import AXES, apply_axes
from vidmeter.workloads.video.model import Model, Size
from vidmeter.workloads.video.mp4 import write_mp4
from vidmeter.workloads.weights import build, release

PACKAGES = ("torch", "diffusers", "transformers", "av")
WEIGHTS_SEED = 0


def parameters_of(model: Model) -> Mapping[str, Parameter]:
    """The settings that a model's workload has."""
    native = model.native
    high, wide = model.sides or ((model.size_step, model.size_step),) * 2
    own = {
        "prompt": Parameter("", "what to show; by default each repeat takes the next of a list"),
        "height": Parameter(native.height, "height in pixels", *high),
        "width": Parameter(native.width, "width in pixels", *wide),
        "frames": Parameter(
            native.frames,
            f"frames of the video, which plays at {native.fps:g} a second",
            minimum=model.least_frames,
            step=model.frame_step,
            maximum=model.most_frames,
        ),
        "steps": Parameter(native.steps, "denoising steps", minimum=model.least_steps),
        "guidance": Parameter(native.guidance, "guidance scale", minimum=0),
        "seed": Parameter(0, "seed of the first repeat; each repeat takes the next", minimum=0),
        "weights": Parameter(RANDOM, "random, hub, or the folder of a checkpoint"),
    }
    dtype = model.parts[model.denoisers[0]].dtype
    axes = {
        **AXES,
        "dtype": Parameter(str(dtype), AXES["dtype"].meaning, choices=AXES["dtype"].choices),
    }
    axes["cache"] = replace(axes["cache"], choices=("none", *model.caches))
    axes |= {name: replace(axes[name], default=value) for name, value in model.defaults.items()}
    lacks = model.lacks if model.caches else model.lacks | {"cache"}
    return own | {name: axis for name, axis in axes.items() if name not in lacks}


class TextToVideo:
    """A text-to-video pipeline of diffusers."""

    packages = PACKAGES

    def __init__(self, model: Model, stated: Mapping[str, object]) -> None:
        """Raises WorkloadUnavailable for a setting the model hasn't, or a value it can't take."""
        self.model = model
        self.name = model.name
        self.parameters = parameters_of(model)
        self.settings = settle(model.name, self.parameters, stated)
        released = model.name.removesuffix(TINY) if model.is_tiny else None
        check_weights(model.name, str(self.settings["weights"]), released=released)
        self.devices = ("cuda", "cpu") if model.is_tiny else ("cuda",)
        self._pipeline: Any = None
        self._facts: dict[str, Any] = {}

    @property
    def description(self) -> str:
        """One line for a person."""
        native = self.model.native
        return (
            f"{self.model.title}: {native.height}×{native.width}, {native.frames} frames at "
            f"{native.fps:g} /s, {native.steps} steps"
        )

    @property
    def size(self) -> Size:
        """The video that the settings ask for."""
        return Size(
            int(self.settings["height"]),
            int(self.settings["width"]),
            int(self.settings["frames"]),
            int(self.settings.get("batch", 1)),
        )

    @property
    def memory_b(self) -> int:
        """Free memory of the device that it needs with its settings, estimated."""
        return needed_b(self.model, self.settings, self.size)

    def prepare(self, device: str) -> None:
        """Build or load it on `device`. Raises WorkloadUnavailable if it can't run there."""
        place = self.check(device)
        named(self.model.pipeline)  # its imports are no part of building
        where = str(self.settings["weights"])
        if where == RANDOM:
            self._pipeline, origin = self._built(place), {"weights": RANDOM}
        else:
            self._pipeline, origin = load_weights(
                self.name, self.model.repository, where, self._loaded
            )
        if self.model.dress is not None:
            self.model.dress(self._pipeline, self.settings)
        apply_axes(
            self.name, self._pipeline, self.settings, denoisers=self.model.denoisers, device=place
        )
        self._pipeline.set_progress_bar_config(disable=not sys.stderr.isatty(), desc=self.name)
        self._facts = {**origin, **_facts(self._pipeline, self.model, place)}

    def check(self, device: str) -> str:
        """The device it would run on. Raises WorkloadUnavailable if it can't run there."""
        require(self.name, self.packages)
        place = choose_device(self.name, device, meant_for=self.devices)
        check_memory(self.name, place, self.memory_b, self._instead(place))
        return place

    def operations(self) -> Mapping[str, float]:
        """The operations of a repeat, by phase and in all. Imports the frameworks.

        Raises WorkloadUnavailable with a cache: what it spares depends on the values.
        """
        require(self.name, self.packages)
        if self.settings.get("cache", "none") != "none":
            raise WorkloadUnavailable("what a cache spares depends on the values")
        from vidmeter.workloads.flops import count_video

        counted = count_video(self.model, self.settings, self.size)
        return {**asdict(counted), "total": counted.total}

    def generate(self, seed: int, out: Path) -> Produced:
        """Make the videos of a repeat and write them; the same seed gives the same ones.

        `out` is the file's path without its suffix; of a batch, each gets a number.
        """
        import torch

        if self._pipeline is None:
            raise RuntimeError(f"{self.name} is not prepared")
        batch = self.size.batch
        output = self._pipeline(**self._arguments(seed))
        videos = self.model.videos(output)
        self._facts["steps_run"] = len(self._pipeline.scheduler.timesteps)
        with vidmeter.phase("export"):
            if not bool(torch.isfinite(videos).all()):
                raise VidmeterError(
                    f"{self.name} made a video with numbers that are not finite, and nothing is "
                    "written: take dtype=float32, or weights that fit the model"
                )
            # videos × frames × 3 × height × width in [0, 1], as write_mp4 wants them
            pictures = (videos.float() * 255).round().clamp(0, 255).to(torch.uint8)
            pictures = pictures.permute(0, 1, 3, 4, 2).cpu().numpy()
            paths = tuple(
                out.with_name(f"{out.name}-{n}.mp4" if batch > 1 else f"{out.name}.mp4")
                for n in range(1, batch + 1)
            )
            for path, video in zip(paths, pictures, strict=True):
                write_mp4(path, video, fps=self.model.native.fps)
        _, frames, height, width, _ = pictures.shape
        return Produced(
            paths,
            {
                "video_seconds": batch * frames / self.model.native.fps,
                "frames": batch * frames,
                "width": width,
                "height": height,
                "fps": self.model.native.fps,
                "videos": batch,
            },
        )

    def facts(self) -> Mapping[str, Any]:
        """What was really used, as plain JSON values; known after `prepare`."""
        return self._facts | {"fps": self.model.native.fps}

    def close(self) -> None:
        """Let go of the pipeline, and of the memory that torch keeps for later."""
        if self._pipeline is not None:
            self._pipeline = None
            release()

    def _arguments(self, seed: int) -> dict[str, Any]:
        """The arguments of the pipeline's call for a repeat."""
        import torch

        settings, batch = self.settings, self.size.batch
        prompt = str(settings["prompt"]) or prompt_for(seed)
        names = {"frames": "num_frames", "steps": "num_inference_steps"}
        names |= {"guidance": "guidance_scale", **self.model.names}
        ours = {
            names.get(name, name): settings[name]
            for name in ("height", "width", "frames", "steps", "guidance")
            if names.get(name, name)
        }
        return {
            "prompt": [prompt] * batch if batch > 1 else prompt,
            **ours,
            # Noise drawn on the CPU is the same for every device.
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "pt",
            **self.model.call,
        }

    def _instead(self, place: str) -> Iterator[tuple[Mapping[str, Setting], int]]:
        """Settings that take less memory, and how much they take."""
        for changed in INSTEAD:
            if changed.keys() <= self.settings.keys() and (
                place != "cpu" or "offload" not in changed
            ):
                yield changed, needed_b(self.model, {**self.settings, **changed}, self.size)

    def _dtypes(self) -> dict[str, str]:
        """The type of each network: the setting's where the released one is the denoiser's."""
        released = self.model.parts[self.model.denoisers[0]].dtype
        asked = str(self.settings["dtype"])
        return {
            name: asked if part.dtype == released else str(part.dtype)
            for name, part in self.model.networks().items()
        }

    def _loaded(self, place: str) -> Any:
        import torch

        dtypes = {name: getattr(torch, dtype) for name, dtype in self._dtypes().items()}
        keywords = {"torch_dtype": dtypes, **self.model.options}
        load = self.model.load or named(self.model.pipeline).from_pretrained
        pipeline = load(place, **keywords)
        for name in (*self.model.denoisers, "vae"):
            require_class(getattr(pipeline, name), self.model.parts[name])
        return pipeline

    def _built(self, place: str) -> Any:
        import torch

        dtypes = self._dtypes()
        # What is offloaded begins in the host's memory.
        where = place if self.settings.get("offload", "none") == "none" else "cpu"
        parts: dict[str, Any] = {}
        for name, part in self.model.parts.items():
            if part.dtype is None:
                parts[name] = part()
                continue
            with vidmeter.phase(name):
                number = getattr(torch, dtypes[name])
                parts[name] = build(part, dtype=number, device=where, seed=WEIGHTS_SEED)
        return named(self.model.pipeline)(**parts, **self.model.options)


def _facts(pipeline: Any, model: Model, place: str) -> dict[str, Any]:
    found = {name: getattr(pipeline, name) for name in model.networks()}
    return {
        "pipeline": type(pipeline).__name__,
        "scheduler": type(pipeline.scheduler).__name__,
        **networks(found, model.networks(), model.denoisers[0]),
        "attention_backend": attention_backend(getattr(pipeline, model.denoisers[0])),
        **surroundings(place, PACKAGES),
    }


def attention_backend(network: Any) -> str | None:
    """Which of its attention functions diffusers calls for a network; None if it doesn't say."""
    for module in network.modules():
        own = getattr(getattr(module, "processor", None), "_attention_backend", None)
        if own is not None:
            return str(getattr(own, "value", own))
    try:
        registry = named("diffusers.models.attention_dispatch._AttentionBackendRegistry")
        return str(registry.get_active_backend()[0].value)
    except (ImportError, AttributeError):
        return None
