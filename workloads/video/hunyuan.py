"""HunyuanVideo (Tencent): text and video in one sequence, Llama and CLIP text encoders.

Guidance was distilled into the model and is one of its inputs, so there is one run in each step.
"""

from dataclasses import replace

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
from vidmeter.workloads.video.encoders import CLIP_L, LLAMA_3_8B, SMALL_CLIP, SMALL_LLAMA
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

_TEMPLATE = 95
"""Tokens of the instruction before a prompt, which Llama reads and the denoiser doesn't get."""


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "timestep": Tensor((size.batch,), "float32"),
        "encoder_hidden_states": Tensor((size.batch, layout.text_tokens, layout.text_channels)),
        "encoder_attention_mask": Tensor((size.batch, layout.text_tokens)),
        "pooled_projections": Tensor((size.batch, layout.pooled_channels)),
        "guidance": Tensor((size.batch,)),
    }


_TINY = Tiny(
    parts={
        "tokenizer": tokenizers.clip(64 + _TEMPLATE),
        "text_encoder": SMALL_LLAMA,
        "text_encoder_2": SMALL_CLIP,
        "transformer": Part(
            "diffusers.HunyuanVideoTransformer3DModel",
            {
                "num_attention_heads": 8,
                "attention_head_dim": 32,
                "num_layers": 3,
                "num_single_layers": 6,
                "num_refiner_layers": 1,
                "text_embed_dim": 64,
                "pooled_projection_dim": 64,
                "rope_axes_dim": (8, 12, 12),
            },
            dtype="float32",
        ),
        "vae": Part(
            "diffusers.AutoencoderKLHunyuanVideo",
            {"block_out_channels": (4, 8, 8, 16), "layers_per_block": 1, "norm_num_groups": 4},
            dtype="float32",
        ),
    },
    native=Native(height=128, width=192, frames=17, fps=24, steps=20, guidance=6.0),
    layout=Layout(channels=16, text_tokens=64, text_channels=64, pooled_channels=64),
    call={"max_sequence_length": 64},
    encoders={"text_encoder": 64 + _TEMPLATE, "text_encoder_2": 77},
)

MODELS = (
    Model(
        name="hunyuanvideo",
        title="HunyuanVideo",
        repository="hunyuanvideo-community/HunyuanVideo",
        pipeline="diffusers.HunyuanVideoPipeline",
        parts={
            "tokenizer": tokenizers.clip(256 + _TEMPLATE),
            "text_encoder": LLAMA_3_8B,
            "tokenizer_2": tokenizers.clip(),
            "text_encoder_2": replace(CLIP_L, dtype="float16"),
            "transformer": Part(
                "diffusers.HunyuanVideoTransformer3DModel",
                dtype="bfloat16",
                parameters=12_821_012_544,
            ),
            "vae": Part(
                "diffusers.AutoencoderKLHunyuanVideo", dtype="float16", parameters=246_478_803
            ),
            "scheduler": Part("diffusers.FlowMatchEulerDiscreteScheduler", {"shift": 7.0}),
        },
        native=Native(height=720, width=1280, frames=129, fps=24, steps=50, guidance=6.0),
        layout=Layout(channels=16, text_tokens=256, text_channels=4096, pooled_channels=768),
        inputs=_inputs,
        flops=1.206859e16,
        peaks=Peaks(13.3e9, 37.1e9, in_chunks=True),
        encoders={"text_encoder": 256 + _TEMPLATE, "text_encoder_2": 77},
        guided_above=None,
        defaults={"vae_tiling": "on"},
        tiny=_TINY,
        source="diffusers' conversion script and its page of the pipeline; Tencent-Hunyuan/"
        "HunyuanVideo, sample_video.py",
    ),
)
