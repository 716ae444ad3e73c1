"""HunyuanVideo (Tencent): text and video attend to each other in blocks of two streams and of one.

Guidance is an input of the denoiser, which runs once in each step. The prompt is put into a long
template for a language model; with the tokenizer of bytes the template fills all its tokens.
"""

from dataclasses import replace

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
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

_TEMPLATE_TOKENS = 95
"""The tokens of the pipeline's template before the prompt, which are cut off after encoding."""


def _llama(dtype: str, parameters: int = 0, **sizes: int) -> Part:
    return Part(
        "transformers.LlamaModel",
        {
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
            **sizes,
        },
        config="transformers.LlamaConfig",
        dtype=dtype,
        parameters=parameters,
    )


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "timestep": Tensor((size.batch,), "float32"),
        "encoder_hidden_states": Tensor((size.batch, layout.text_tokens, layout.text_channels)),
        "encoder_attention_mask": Tensor((size.batch, layout.text_tokens)),
        **{name: Tensor((size.batch, *shape)) for name, shape in layout.extras.items()},
        "guidance": Tensor((size.batch,)),
    }


_TINY = Tiny(
    parts={
        "text_encoder": _llama(
            "float32",
            vocab_size=400,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
        ),
        "text_encoder_2": SMALL_CLIP,
        "transformer": Part(
            "diffusers.HunyuanVideoTransformer3DModel",
            {
                "num_attention_heads": 8,
                "attention_head_dim": 32,
                "num_layers": 4,
                "num_single_layers": 8,
                "num_refiner_layers": 1,
                "text_embed_dim": 64,
                "pooled_projection_dim": 64,
                "rope_axes_dim": (8, 12, 12),
            },
            dtype="float32",
        ),
        "vae": Part(
            "diffusers.AutoencoderKLHunyuanVideo",
            {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4},
            dtype="float32",
        ),
    },
    native=Native(height=96, width=160, frames=9, fps=24, steps=20, guidance=6.0),
    layout=Layout(
        channels=16, text_tokens=64, text_channels=64, extras={"pooled_projections": (64,)}
    ),
    call={"max_sequence_length": 64},
    encoders={"text_encoder": 64 + _TEMPLATE_TOKENS, "text_encoder_2": 77},
)

MODELS = (
    Model(
        name="hunyuanvideo",
        title="HunyuanVideo",
        repository="hunyuanvideo-community/HunyuanVideo",
        pipeline="diffusers.HunyuanVideoPipeline",
        # All but the denoiser in half precision, as in the released example.
        parts={
            "tokenizer": tokenizers.clip(256),
            "text_encoder": _llama(
                "float16",
                7_505_186_816,
                vocab_size=128320,
                hidden_size=4096,
                intermediate_size=14336,
                num_hidden_layers=32,
                num_attention_heads=32,
                num_key_value_heads=8,
            ),
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
        encoders={"text_encoder": 256 + _TEMPLATE_TOKENS, "text_encoder_2": 77},
        native=Native(height=720, width=1280, frames=129, fps=24, steps=50, guidance=6.0),
        layout=Layout(
            channels=16, text_tokens=256, text_channels=4096, extras={"pooled_projections": (768,)}
        ),
        inputs=_inputs,
        guided_above=None,
        flops=1.20686e16,
        peaks=Peaks(13.3e9, 37.1e9),
        defaults={"vae_tiling": "on"},
        source="diffusers' class defaults and scripts/convert_hunyuan_video_to_diffusers.py",
        tiny=_TINY,
    ),
)
