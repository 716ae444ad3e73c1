"""Kandinsky 5 (Kandinsky Lab), Lite, 5 seconds: full attention, Qwen2.5-VL and CLIP text encoders.

Prompts aren't padded, so the work would depend on the tokenizer; the one that stands in here makes
every prompt, with the pipeline's own words before it, longer than the limit it is cut to.
"""

from typing import Any

from vidmeter.workloads import tokenizers
from vidmeter.workloads.parts import Part
from vidmeter.workloads.video.encoders import (
    CLIP_L,
    QWEN_2_5_VL_7B,
    SMALL_CLIP,
    SMALL_QWEN_VL,
)
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

_TRANSFORMER = "diffusers.Kandinsky5Transformer3DModel"
_SIZES = {"in_visual_dim": 16, "out_visual_dim": 16, "patch_size": (1, 2, 2), "visual_cond": True}
_BEFORE = 129
"""Tokens of the pipeline's own words before a prompt."""


def _inputs(layout: Layout, size: Size) -> Inputs:
    videos, channels, times, rows, columns = layout.latents(size)
    return {
        # With it come a first frame, which isn't given, and where it would be.
        "hidden_states": Tensor((videos, times, rows, columns, 2 * channels + 1)),
        "encoder_hidden_states": Tensor((videos, layout.text_tokens, layout.text_channels)),
        "pooled_projections": Tensor((videos, layout.pooled_channels)),
        "timestep": Tensor((1,)),
        "visual_rope_pos": [_range(times), _range(rows // 2), _range(columns // 2)],
        "text_rope_pos": _range(layout.text_tokens),
    }


def _range(count: int) -> Any:
    return Tensor((count,), "int64")


MODELS = (
    Model(
        name="kandinsky-5-lite",
        title="Kandinsky 5 T2V Lite",
        repository="kandinskylab/Kandinsky-5.0-T2V-Lite-sft-5s-Diffusers",
        pipeline="diffusers.Kandinsky5T2VPipeline",
        parts={
            "tokenizer": tokenizers.text_processor(1024),
            "text_encoder": QWEN_2_5_VL_7B,
            "tokenizer_2": tokenizers.clip(),
            "text_encoder_2": CLIP_L,
            "transformer": Part(
                _TRANSFORMER,
                {
                    **_SIZES,
                    "in_text_dim": 3584,
                    "in_text_dim2": 768,
                    "time_dim": 512,
                    "model_dim": 1792,
                    "ff_dim": 7168,
                    "num_text_blocks": 2,
                    "num_visual_blocks": 32,
                },
                dtype="bfloat16",
                parameters=2_007_702_848,
            ),
            "vae": Part(
                "diffusers.AutoencoderKLHunyuanVideo", dtype="bfloat16", parameters=246_478_803
            ),
            "scheduler": Part("diffusers.FlowMatchEulerDiscreteScheduler", {"shift": 5.0}),
        },
        call={"max_sequence_length": 256},
        native=Native(height=512, width=768, frames=121, fps=24, steps=50, guidance=5.0),
        layout=Layout(16, text_tokens=256, text_channels=3584, pooled_channels=768),
        encoders={"text_encoder": _BEFORE + 256, "text_encoder_2": 77},
        inputs=_inputs,
        flops=6.6004e14,
        caches=(),
        peaks=Peaks(5e9, 16e9),
        source="kandinskylab/kandinsky-5, configs/k5_lite_t2v_5s_sft_sd.yaml; diffusers' pipeline",
        tiny=Tiny(
            parts={
                "tokenizer": tokenizers.text_processor(512),
                "text_encoder": SMALL_QWEN_VL,
                "text_encoder_2": SMALL_CLIP,
                "transformer": Part(
                    _TRANSFORMER,
                    {
                        **_SIZES,
                        "in_text_dim": 64,
                        "in_text_dim2": 64,
                        "time_dim": 64,
                        "model_dim": 256,
                        "ff_dim": 1024,
                        "num_text_blocks": 1,
                        "num_visual_blocks": 6,
                    },
                    dtype="float32",
                ),
                "vae": Part(
                    "diffusers.AutoencoderKLHunyuanVideo",
                    {
                        "block_out_channels": (8, 8, 16, 16),
                        "layers_per_block": 1,
                        "norm_num_groups": 4,
                    },
                    dtype="float32",
                ),
            },
            native=Native(height=128, width=192, frames=17, fps=24, steps=20, guidance=5.0),
            layout=Layout(16, text_tokens=64, text_channels=64, pooled_channels=64),
            call={"max_sequence_length": 64},
            encoders={"text_encoder": _BEFORE + 64, "text_encoder_2": 77},
        ),
    ),
)
