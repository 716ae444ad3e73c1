"""Latte (Shanghai AI Lab): attention over space and over time by turns, a VAE frame by frame."""

from dataclasses import replace

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
from vidmeter.workloads.video.autoencoders import SD, SMALL_SD
from vidmeter.workloads.video.encoders import SMALL_T5, T5_XXL
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

_SIZES = {
    "in_channels": 4,
    "out_channels": 8,
    "patch_size": 2,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_type": "ada_norm_single",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "num_embeds_ada_norm": 1000,
    "video_length": 16,
}


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "encoder_hidden_states": Tensor((size.batch, layout.text_tokens, layout.text_channels)),
        "timestep": Tensor((size.batch,), "int64"),
    }


def _frames(layout: Layout, size: Size) -> tuple[int, ...]:
    videos, channels, times, rows, columns = layout.latents(size)
    return videos * times, channels, rows, columns


MODELS = (
    Model(
        name="latte-1",
        title="Latte 1",
        repository="maxin-cn/Latte-1",
        pipeline="diffusers.LattePipeline",
        parts={
            "tokenizer": tokenizers.t5(120),
            "text_encoder": replace(T5_XXL, dtype="float16"),
            "transformer": Part(
                "diffusers.LatteTransformer3DModel",
                {
                    **_SIZES,
                    "num_attention_heads": 16,
                    "attention_head_dim": 72,
                    "num_layers": 28,
                    "cross_attention_dim": 1152,
                    "caption_channels": 4096,
                    "sample_size": 64,
                },
                dtype="float16",
                parameters=1_057_246_880,
            ),
            "vae": SD,
            "scheduler": Part(
                "diffusers.DDIMScheduler",
                {"beta_start": 0.0001, "beta_end": 0.02, "clip_sample": False},
            ),
        },
        # Else the prompt would be cut to its own length, and its cleaning needs another package.
        call={"mask_feature": False, "clean_caption": False},
        names={"frames": "video_length"},
        native=Native(height=512, width=512, frames=16, fps=8, steps=50, guidance=7.5),
        layout=Layout(4, text_tokens=120, text_channels=4096, temporal=1),
        encoders={"text_encoder": 120},
        inputs=_inputs,
        decoded=_frames,
        frame_step=1,
        flops=3.4399e13,
        caches=("pyramid", "faster"),
        peaks=Peaks(3e9, 9e9),
        source="Vchitect/Latte, models/latte.py; diffusers' class defaults",
        tiny=Tiny(
            parts={
                "tokenizer": tokenizers.t5(64),
                "text_encoder": SMALL_T5,
                "transformer": Part(
                    "diffusers.LatteTransformer3DModel",
                    {
                        **_SIZES,
                        "num_attention_heads": 4,
                        "attention_head_dim": 32,
                        "num_layers": 6,
                        "cross_attention_dim": 128,
                        "caption_channels": 64,
                        "sample_size": 16,
                    },
                    dtype="float32",
                ),
                "vae": SMALL_SD,
            },
            native=Native(height=128, width=128, frames=16, fps=8, steps=20, guidance=7.5),
            layout=Layout(4, text_tokens=120, text_channels=64, temporal=1),
        ),
    ),
)
