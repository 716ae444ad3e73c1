"""AnimateDiff: Stable Diffusion 1.5 with motion modules, and its distilled four-step Lightning.

On the hub the motion modules stand apart from the image model they are put into; a folder given as
weights holds the whole pipeline.
"""

from dataclasses import replace
from typing import Any

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part, named
from vidmeter.workloads.video.autoencoders import SD, SMALL_SD
from vidmeter.workloads.video.encoders import CLIP_L, SMALL_CLIP
from vidmeter.workloads.video.model import (
    Inputs,
    Layout,
    Model,
    Native,
    Peaks,
    Size,
    Tensor,
    Tiny,
)

_BASE = "emilianJR/epiCRealism"
"""The image model of the released examples."""
_LIGHTNING = "ByteDance/AnimateDiff-Lightning"


def _inputs(layout: Layout, size: Size) -> Inputs:
    rows = size.batch * size.frames
    return {
        "sample": Tensor(layout.latents(size)),
        "timestep": Tensor((), "int64"),
        "encoder_hidden_states": Tensor((rows, layout.text_tokens, layout.text_channels)),
    }


def _frames(layout: Layout, size: Size) -> tuple[int, ...]:
    videos, channels, times, rows, columns = layout.latents(size)
    return videos * times, channels, rows, columns


def _is_adapter(place: str) -> bool:
    return place in (_LIGHTNING, "guoyww/animatediff-motion-adapter-v1-5-2")


def _load(place: str, **keywords: Any) -> Any:
    pipeline = named("diffusers.AnimateDiffPipeline")
    if not _is_adapter(place):
        return pipeline.from_pretrained(place, torch_dtype=keywords["torch_dtype"])
    adapter = named("diffusers.MotionAdapter")
    if place == _LIGHTNING:
        motion = adapter()
        file = "animatediff_lightning_4step_diffusers.safetensors"
        path = named("huggingface_hub.hf_hub_download")(place, file)
        motion.load_state_dict(named("safetensors.torch.load_file")(path))
    else:
        motion = adapter.from_pretrained(place)
    motion = motion.to(keywords["torch_dtype"]["unet"])
    return pipeline.from_pretrained(
        _BASE, motion_adapter=motion, torch_dtype=keywords["torch_dtype"]
    )


def _model(name: str, scheduler: Part, native: Native, **facts: Any) -> Model:
    return Model(
        name=name,
        pipeline="diffusers.AnimateDiffPipeline",
        parts={
            "tokenizer": tokenizers.clip(),
            "text_encoder": replace(CLIP_L, dtype="float16"),
            # What the pipeline makes of the image model and the motion modules.
            "unet": Part(
                "diffusers.UNetMotionModel",
                {"cross_attention_dim": 768, "sample_size": 64},
                dtype="float16",
                parameters=1_312_730_244,
            ),
            "vae": SD,
            "scheduler": scheduler,
        },
        options={"motion_adapter": None},
        denoisers=("unet",),
        native=native,
        layout=Layout(4, text_tokens=77, text_channels=768, temporal=1),
        encoders={"text_encoder": 77},
        inputs=_inputs,
        decoded=_frames,
        frame_step=1,
        most_frames=32,
        size_step=64,
        lacks=frozenset({"attention"}),
        caches=(),
        load=_load,
        flops=1.775e13,
        peaks=Peaks(1.1e9, 4e9),
        source="diffusers' documentation and class defaults; Stable Diffusion 1.5's configuration",
        tiny=Tiny(
            parts={
                "text_encoder": SMALL_CLIP,
                "unet": Part(
                    "diffusers.UNetMotionModel",
                    {
                        "block_out_channels": (32, 64),
                        "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
                        "up_block_types": ("UpBlockMotion", "CrossAttnUpBlockMotion"),
                        "layers_per_block": 1,
                        "norm_num_groups": 8,
                        "cross_attention_dim": 64,
                        "sample_size": 16,
                    },
                    dtype="float32",
                ),
                "vae": SMALL_SD,
            },
            native=replace(native, height=128, width=128, frames=8),
            layout=Layout(4, text_tokens=77, text_channels=64, temporal=1),
        ),
        **facts,
    )


MODELS = (
    _model(
        "animatediff",
        Part(
            "diffusers.DDIMScheduler",
            {
                "beta_schedule": "linear",
                "clip_sample": False,
                "timestep_spacing": "linspace",
                "steps_offset": 1,
            },
        ),
        Native(height=512, width=512, frames=16, fps=8, steps=25, guidance=7.5),
        title="AnimateDiff, Stable Diffusion 1.5",
        repository="guoyww/animatediff-motion-adapter-v1-5-2",
    ),
    _model(
        "animatediff-lightning",
        Part(
            "diffusers.EulerDiscreteScheduler",
            {"timestep_spacing": "trailing", "beta_schedule": "linear"},
        ),
        Native(height=512, width=512, frames=16, fps=8, steps=4, guidance=1.0),
        title="AnimateDiff-Lightning, 4 steps",
        repository=_LIGHTNING,
    ),
)
