"""CogVideoX and CogVideoX 1.5 (Z.ai): joint attention of text and video, T5 text encoder."""

from typing import Any

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
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

_ROPE = {"use_rotary_positional_embeddings": True}
_VAE = Part("diffusers.AutoencoderKLCogVideoX", dtype="float16", parameters=215_583_907)


def _transformer(parameters: int, dtype: str, **sizes: Any) -> Part:
    return Part("diffusers.CogVideoXTransformer3DModel", sizes, dtype=dtype, parameters=parameters)


def _scheduler(make: str, snr_shift_scale: float) -> Part:
    return Part(
        make,
        {
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "snr_shift_scale": snr_shift_scale,
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
            "prediction_type": "v_prediction",
            "clip_sample": False,
        },
    )


def _text(dtype: str) -> dict[str, Part]:
    return {
        "tokenizer": tokenizers.t5(226),
        "text_encoder": Part(
            T5_XXL.make, T5_XXL.arguments, config=T5_XXL.config, dtype=dtype,
            parameters=T5_XXL.parameters,
        ),
    }  # fmt: skip


def _vae(dtype: str, **sizes: Any) -> Part:
    return Part(_VAE.make, sizes, dtype=dtype, parameters=_VAE.parameters)


def _inputs(layout: Layout, size: Size) -> Inputs:
    videos, channels, times, rows, columns = layout.latents(size)
    return {
        "hidden_states": Tensor((videos, times, channels, rows, columns)),
        "encoder_hidden_states": Tensor((videos, layout.text_tokens, layout.text_channels)),
        "timestep": Tensor((videos,), "int64"),
    }


def _inputs_of_pairs(layout: Layout, size: Size) -> Inputs:
    # Latents are taken two times together, so their number is filled up to an even one.
    inputs = dict(_inputs(layout, size))
    videos, times, *rest = inputs["hidden_states"].shape
    return {**inputs, "hidden_states": Tensor((videos, times + times % 2, *rest))}


def _tiny(frames: int, fps: int, **sizes: Any) -> Tiny:
    transformer = {
        "num_attention_heads": 8,
        "attention_head_dim": 32,
        "num_layers": 8,
        "time_embed_dim": 64,
        "text_embed_dim": 64,
        "max_text_seq_length": 64,
        "sample_width": 16,
        "sample_height": 12,
        "sample_frames": frames,
    }
    vae = {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4}
    return Tiny(
        parts={
            "tokenizer": tokenizers.t5(64),
            "text_encoder": SMALL_T5,
            "transformer": Part(
                "diffusers.CogVideoXTransformer3DModel", {**transformer, **sizes}, dtype="float32"
            ),
            "vae": Part("diffusers.AutoencoderKLCogVideoX", vae, dtype="float32"),
        },
        native=Native(height=96, width=128, frames=frames, fps=fps, steps=20, guidance=6.0),
        layout=Layout(channels=16, text_tokens=64, text_channels=64),
        call={"max_sequence_length": 64},
    )


def _model(name: str, **facts: Any) -> Model:
    return Model(
        name=name,
        pipeline="diffusers.CogVideoXPipeline",
        layout=Layout(channels=16, text_tokens=226, text_channels=4096),
        encoders={"text_encoder": 226},
        source="diffusers' conversion script and class defaults; the models' cards",
        **{"inputs": _inputs, **facts},
    )


_DDIM = "diffusers.CogVideoXDDIMScheduler"

MODELS = (
    _model(
        "cogvideox-2b",
        title="CogVideoX 2B",
        repository="zai-org/CogVideoX-2b",
        parts={
            **_text("float16"),
            "transformer": _transformer(1_693_783_872, "float16"),
            "vae": _vae("float16", scaling_factor=1.15258426),
            "scheduler": _scheduler(_DDIM, 3.0),
        },
        native=Native(height=480, width=720, frames=49, fps=8, steps=50, guidance=6.0),
        flops=1.2e14,
        caches=("first_block", "pyramid", "faster", "taylorseer"),
        peaks=Peaks(1.7e9, 15.8e9),
        tiny=_tiny(17, 8),
    ),
    _model(
        "cogvideox-5b",
        title="CogVideoX 5B",
        repository="zai-org/CogVideoX-5b",
        parts={
            **_text("bfloat16"),
            "transformer": _transformer(
                5_570_283_072, "bfloat16", num_attention_heads=48, num_layers=42, **_ROPE
            ),
            "vae": _vae("bfloat16", scaling_factor=0.7),
            "scheduler": _scheduler(_DDIM, 1.0),
        },
        native=Native(height=480, width=720, frames=49, fps=8, steps=50, guidance=6.0),
        flops=3.322e14,
        caches=("first_block", "pyramid", "faster", "taylorseer"),
        peaks=Peaks(2.8e9, 15.8e9),
        tiny=_tiny(17, 8, **_ROPE),
    ),
    _model(
        "cogvideox1.5-5b",
        title="CogVideoX 1.5 5B",
        repository="zai-org/CogVideoX1.5-5B",
        parts={
            **_text("bfloat16"),
            "transformer": _transformer(
                5_570_676_352,
                "bfloat16",
                num_attention_heads=48,
                num_layers=42,
                patch_size_t=2,
                patch_bias=False,
                sample_height=300,
                sample_width=300,
                sample_frames=81,
                **_ROPE,
            ),
            "vae": _vae("bfloat16", scaling_factor=0.7, invert_scale_latents=True),
            "scheduler": _scheduler(_DDIM, 1.0),
        },
        inputs=_inputs_of_pairs,
        native=Native(height=768, width=1360, frames=81, fps=16, steps=50, guidance=6.0),
        flops=1.4792e15,
        caches=("first_block", "pyramid", "faster", "taylorseer"),
        # Decoding grows with pixels and frames: the 480p figure, four and a half times.
        peaks=Peaks(9e9, 79e9),
        tiny=_tiny(17, 16, patch_size_t=2, patch_bias=False, **_ROPE),
    ),
)
