"""SANA-Video (NVIDIA): linear attention over all of a video, Gemma 2 text encoder, Wan 2.1's VAE.

The pipeline puts an instruction to improve it before a prompt, and takes the nearest size it knows;
both are switched off: the first is as long as its tokenizer makes it, the second changes the work.
Its feed-forward layers are 3 times as wide, as the conversion script says and no class default does
(2.5, which makes 1,905,841,344 parameters, a number that is found printed).
"""

from typing import Any

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
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

_GEMMA = "transformers.Gemma2Model"
_SIZES = {
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": (1, 2, 2),
    "qk_norm": "rms_norm_across_heads",
    "norm_elementwise_affine": False,
    "attention_bias": False,
}


def _transformer(
    heads: int, head_dim: int, layers: int, captions: int, **more: Any
) -> dict[str, Any]:
    return {
        **_SIZES,
        "num_attention_heads": heads,
        "attention_head_dim": head_dim,
        "num_layers": layers,
        "num_cross_attention_heads": heads,
        "cross_attention_head_dim": head_dim,
        "cross_attention_dim": heads * head_dim,
        "caption_channels": captions,
        "mlp_ratio": 3.0,
        **more,
    }


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "encoder_hidden_states": Tensor((size.batch, layout.text_tokens, layout.text_channels)),
        "timestep": Tensor((size.batch,), "int64"),
        "encoder_attention_mask": Tensor((size.batch, layout.text_tokens), "int64"),
    }


MODELS = (
    Model(
        name="sana-video-2b",
        title="SANA-Video 2B",
        repository="Efficient-Large-Model/SANA-Video_2B_480p_diffusers",
        pipeline="diffusers.SanaVideoPipeline",
        parts={
            "tokenizer": tokenizers.clip(300),
            "text_encoder": Part(
                _GEMMA,
                config="transformers.Gemma2Config",
                dtype="bfloat16",
                parameters=2_614_341_888,
            ),
            "transformer": Part(
                "diffusers.SanaVideoTransformer3DModel",
                _transformer(20, 112, 20, 2304, sample_size=30),
                dtype="bfloat16",
                parameters=2_056_862_144,
            ),
            "vae": Part("diffusers.AutoencoderKLWan", dtype="float32", parameters=126_892_531),
            "scheduler": Part(
                "diffusers.DPMSolverMultistepScheduler",
                {
                    "algorithm_type": "dpmsolver++",
                    "flow_shift": 8.0,
                    "prediction_type": "flow_prediction",
                    "use_flow_sigmas": True,
                },
            ),
        },
        call={
            "max_sequence_length": 300,
            "complex_human_instruction": None,
            "use_resolution_binning": False,
        },
        names={"frames": "frames"},
        native=Native(height=480, width=832, frames=81, fps=16, steps=50, guidance=6.0),
        layout=Layout(16, text_tokens=300, text_channels=2304),
        encoders={"text_encoder": 300},
        inputs=_inputs,
        size_step=32,
        caches=(),
        flops=1.21077e14,
        peaks=Peaks(6e9, 8.2e9, in_chunks=True),
        source="diffusers' conversion script and class defaults",
        tiny=Tiny(
            parts={
                "tokenizer": tokenizers.clip(64),
                "text_encoder": Part(
                    _GEMMA,
                    {
                        "vocab_size": 400,
                        "hidden_size": 64,
                        "intermediate_size": 128,
                        "num_hidden_layers": 2,
                        "num_attention_heads": 4,
                        "num_key_value_heads": 2,
                        "head_dim": 16,
                        "bos_token_id": 0,
                        "eos_token_id": 1,
                        "pad_token_id": 1,
                    },
                    config="transformers.Gemma2Config",
                    dtype="float32",
                ),
                "transformer": Part(
                    "diffusers.SanaVideoTransformer3DModel",
                    _transformer(8, 32, 6, 64, sample_size=12),
                    dtype="float32",
                ),
                "vae": Part(
                    "diffusers.AutoencoderKLWan",
                    {"base_dim": 4, "num_res_blocks": 1},
                    dtype="float32",
                ),
            },
            native=Native(height=128, width=192, frames=17, fps=16, steps=20, guidance=6.0),
            layout=Layout(16, text_tokens=64, text_channels=64),
            call={"max_sequence_length": 64},
        ),
    ),
)
