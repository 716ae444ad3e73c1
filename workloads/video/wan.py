"""Wan 2.1 and 2.2 (Alibaba): full attention over space and time, UMT5 text encoder.

Wan 2.2 A14B has two experts of 14 billion parameters, one for the noisy steps and one for the rest;
TI2V-5B has a VAE that compresses 16 times along each side.
"""

from typing import Any

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
from vidmeter.workloads.video.encoders import SMALL_UMT5, UMT5_XXL
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

_SOURCE = "diffusers' conversion script and class defaults; Wan-Video/Wan2.1 and 2.2, wan/configs"


def _scheduler(flow_shift: float) -> Part:
    return Part(
        "diffusers.UniPCMultistepScheduler",
        {
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "num_train_timesteps": 1000,
            "flow_shift": flow_shift,
        },
    )


def _transformer(parameters: int, **sizes: Any) -> Part:
    return Part("diffusers.WanTransformer3DModel", sizes, dtype="bfloat16", parameters=parameters)


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "timestep": Tensor((size.batch,), "int64"),
        "encoder_hidden_states": Tensor((size.batch, layout.text_tokens, layout.text_channels)),
    }


def _inputs_5b(layout: Layout, size: Size) -> Inputs:
    # Every token has a time of its own, so that a first frame could be given.
    _, _, times, rows, columns = layout.latents(size)
    tokens = times * (rows // 2) * (columns // 2)
    return {**_inputs(layout, size), "timestep": Tensor((size.batch, tokens), "float32")}


_14B = _transformer(14_288_491_584)
# Wan's own examples decode in float32.
_VAE = Part("diffusers.AutoencoderKLWan", dtype="float32", parameters=126_892_531)
_VAE_5B = Part(
    "diffusers.AutoencoderKLWan",
    {
        "base_dim": 160,
        "decoder_base_dim": 256,
        "z_dim": 48,
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_spatial": 16,
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
    },
    dtype="float32",
    parameters=704_688_668,
)
_TEXT = {"tokenizer": tokenizers.t5(512), "text_encoder": UMT5_XXL}
_LAYOUT = Layout(channels=16, text_tokens=512, text_channels=4096)

_TINY_TRANSFORMER = Part(
    "diffusers.WanTransformer3DModel",
    {
        "num_attention_heads": 8,
        "attention_head_dim": 32,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": 64,
        "freq_dim": 64,
        "ffn_dim": 1024,
        "num_layers": 8,
    },
    dtype="float32",
)
_TINY = Tiny(
    parts={
        "text_encoder": SMALL_UMT5,
        "transformer": _TINY_TRANSFORMER,
        "vae": Part(
            "diffusers.AutoencoderKLWan", {"base_dim": 4, "num_res_blocks": 1}, dtype="float32"
        ),
    },
    native=Native(height=128, width=192, frames=17, fps=16, steps=20, guidance=5.0),
    layout=Layout(channels=16, text_tokens=64, text_channels=64),
    call={"max_sequence_length": 64},
)


def _model(name: str, **facts: Any) -> Model:
    return Model(
        name=name,
        pipeline="diffusers.WanPipeline",
        encoders={"text_encoder": 512},
        source=_SOURCE,
        **{"layout": _LAYOUT, "inputs": _inputs, "tiny": _TINY, **facts},
    )


MODELS = (
    _model(
        "wan2.1-t2v-1.3b",
        title="Wan 2.1 T2V 1.3B",
        repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        parts={
            **_TEXT,
            "transformer": _transformer(
                1_418_996_800,
                num_attention_heads=12,
                attention_head_dim=128,
                ffn_dim=8960,
                num_layers=30,
            ),
            "vae": _VAE,
            "scheduler": _scheduler(3.0),
        },
        native=Native(height=480, width=832, frames=81, fps=16, steps=50, guidance=5.0),
        flops=2.83e14,
        peaks=Peaks(1.6e9, 8.2e9, in_chunks=True),
    ),
    _model(
        "wan2.1-t2v-14b",
        title="Wan 2.1 T2V 14B",
        repository="Wan-AI/Wan2.1-T2V-14B-Diffusers",
        parts={**_TEXT, "transformer": _14B, "vae": _VAE, "scheduler": _scheduler(5.0)},
        native=Native(height=720, width=1280, frames=81, fps=16, steps=50, guidance=5.0),
        flops=6.5234e15,
        peaks=Peaks(8.6e9, 18.8e9, in_chunks=True),
    ),
    _model(
        "wan2.2-ti2v-5b",
        title="Wan 2.2 TI2V 5B",
        repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        parts={
            **_TEXT,
            "transformer": _transformer(
                4_999_787_712,
                num_attention_heads=24,
                attention_head_dim=128,
                ffn_dim=14336,
                num_layers=30,
                in_channels=48,
                out_channels=48,
            ),
            "vae": _VAE_5B,
            "scheduler": _scheduler(5.0),
        },
        options={"expand_timesteps": True},
        native=Native(height=704, width=1280, frames=121, fps=24, steps=50, guidance=5.0),
        layout=Layout(channels=48, text_tokens=512, text_channels=4096, spatial=16),
        inputs=_inputs_5b,
        size_step=32,
        flops=5.2065e14,
        peaks=Peaks(2.3e9, 20.7e9, in_chunks=True),
        tiny=Tiny(
            parts={
                "text_encoder": SMALL_UMT5,
                "transformer": Part(
                    _TINY_TRANSFORMER.make,
                    {**_TINY_TRANSFORMER.arguments, "in_channels": 48, "out_channels": 48},
                    dtype="float32",
                ),
                "vae": Part(
                    _VAE_5B.make,
                    {
                        **_VAE_5B.arguments,
                        "base_dim": 4,
                        "decoder_base_dim": 8,
                        "num_res_blocks": 1,
                    },
                    dtype="float32",
                ),
            },
            native=Native(height=192, width=320, frames=17, fps=24, steps=20, guidance=5.0),
            layout=Layout(channels=48, text_tokens=64, text_channels=64, spatial=16),
            call={"max_sequence_length": 64},
        ),
    ),
    _model(
        "wan2.2-t2v-a14b",
        title="Wan 2.2 T2V A14B",
        repository="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
        parts={
            **_TEXT,
            "transformer": _14B,
            "transformer_2": _14B,
            "vae": _VAE,
            "scheduler": _scheduler(12.0),
        },
        options={"boundary_ratio": 0.875},
        call={"guidance_scale_2": 3.0},
        denoisers=("transformer", "transformer_2"),
        native=Native(height=720, width=1280, frames=81, fps=16, steps=40, guidance=4.0),
        flops=6.5234e15,
        peaks=Peaks(8.6e9, 18.8e9, in_chunks=True),
        tiny=Tiny(
            parts={**_TINY.parts, "transformer_2": _TINY_TRANSFORMER},
            native=_TINY.native,
            layout=_TINY.layout,
            call=_TINY.call,
        ),
    ),
)
