"""HunyuanVideo-1.5 (Tencent): text and video in one sequence, Qwen2.5-VL and ByT5 text encoders.

ByT5 reads what stands in quotation marks in a prompt, to be written in the video; without any, as
in the prompts here, it doesn't run, and the denoiser gets its padding all the same. Guidance is a
component of the pipeline.
"""

from collections.abc import Mapping
from typing import Any

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part, named
from vidmeter.workloads.video.encoders import BYT5_SMALL, QWEN_2_5_VL_7B, SMALL_QWEN_VL, SMALL_T5
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

_TEMPLATE = 108
"""Tokens of the instruction before a prompt, which Qwen reads and the denoiser doesn't get."""
_GLYPHS, _VISION = 256, 729
"""Tokens of the quoted text and of a first picture, whether there is one or not."""


def _inputs(layout: Layout, size: Size) -> Inputs:
    batch, channels, times, rows, columns = layout.latents(size)
    return {
        # The noisy latents, those of a first picture, and a mask of where that is.
        "hidden_states": Tensor((batch, 2 * channels + 1, times, rows, columns)),
        "timestep": Tensor((batch,)),
        "encoder_hidden_states": Tensor((batch, layout.text_tokens, layout.text_channels)),
        "encoder_attention_mask": Tensor((batch, layout.text_tokens)),
        "encoder_hidden_states_2": Tensor((batch, _GLYPHS, layout.pooled_channels)),
        "encoder_attention_mask_2": Tensor((batch, _GLYPHS)),
        "image_embeds": Tensor((batch, _VISION, 1152)),
    }


def _guide(pipeline: Any, settings: Mapping[str, Any]) -> None:
    scale = float(settings["guidance"])
    pipeline.guider = named("diffusers.ClassifierFreeGuidance")(
        guidance_scale=scale, enabled=scale > 1
    )


MODELS = (
    Model(
        name="hunyuanvideo-1.5",
        title="HunyuanVideo-1.5 720p",
        repository="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_t2v",
        pipeline="diffusers.HunyuanVideo15Pipeline",
        parts={
            "tokenizer": tokenizers.chat(1000 + _TEMPLATE),
            "text_encoder": QWEN_2_5_VL_7B,
            "tokenizer_2": tokenizers.t5(_GLYPHS),
            "text_encoder_2": BYT5_SMALL,
            "transformer": Part(
                "diffusers.HunyuanVideo15Transformer3DModel",
                {"target_size": 960, "task_type": "t2v"},
                dtype="bfloat16",
                parameters=8_326_608_160,
            ),
            "vae": Part(
                "diffusers.AutoencoderKLHunyuanVideo15", dtype="bfloat16", parameters=1_260_634_115
            ),
            "scheduler": Part("diffusers.FlowMatchEulerDiscreteScheduler", {"shift": 9.0}),
            "guider": Part("diffusers.ClassifierFreeGuidance", {"guidance_scale": 6.0}),
        },
        native=Native(height=720, width=1280, frames=121, fps=24, steps=50, guidance=6.0),
        layout=Layout(
            channels=32, text_tokens=1000, text_channels=3584, pooled_channels=1472, spatial=16
        ),
        inputs=_inputs,
        flops=6.324955e15,
        caches=("pyramid", "taylorseer"),
        # Most of the first is a mask with a number for every pair of tokens.
        peaks=Peaks(54.6e9, 200.3e9),
        encoders={"text_encoder": 1000 + _TEMPLATE},
        names={"guidance": ""},
        dress=_guide,
        # Its VAE takes one clip at a time.
        defaults={"vae_tiling": "on", "vae_slicing": "on"},
        tiny=Tiny(
            parts={
                "text_encoder": SMALL_QWEN_VL,
                "text_encoder_2": SMALL_T5,
                "transformer": Part(
                    "diffusers.HunyuanVideo15Transformer3DModel",
                    {
                        "num_attention_heads": 4,
                        "attention_head_dim": 32,
                        "num_layers": 2,
                        "num_refiner_layers": 1,
                        "text_embed_dim": 64,
                        "text_embed_2_dim": 64,
                        "rope_axes_dim": (8, 12, 12),
                        "task_type": "t2v",
                    },
                    dtype="float32",
                ),
                "vae": Part(
                    "diffusers.AutoencoderKLHunyuanVideo15",
                    {"block_out_channels": (4, 8, 16, 32, 32), "layers_per_block": 1},
                    dtype="float32",
                ),
            },
            native=Native(height=96, width=160, frames=17, fps=24, steps=20, guidance=6.0),
            layout=Layout(
                channels=32, text_tokens=1000, text_channels=64, pooled_channels=64, spatial=16
            ),
            encoders={"text_encoder": 1000 + _TEMPLATE},
        ),
        source="diffusers' conversion script and its page of the pipeline",
    ),
)
