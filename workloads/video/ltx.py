"""LTX-Video (Lightricks): few latents of 32 × 32 pixels and 8 frames each, T5 text encoder.

The 13B model is released with a flow of several passes at growing sizes; what is run here is one
pass at full size, which is what its attention and its decoder cost.
"""

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

_SCHEDULER = Part(
    "diffusers.FlowMatchEulerDiscreteScheduler",
    {
        "use_dynamic_shifting": True,
        "base_shift": 0.95,
        "max_shift": 2.05,
        "base_image_seq_len": 1024,
        "max_image_seq_len": 4096,
        "shift_terminal": 0.1,
    },
)
_VAE = Part("diffusers.AutoencoderKLLTXVideo", dtype="bfloat16", parameters=419_193_649)
"""That of the first release, 0.9.0, which the repository's diffusers folder holds."""
_VAE_095 = Part(
    "diffusers.AutoencoderKLLTXVideo",
    {
        "block_out_channels": (128, 256, 512, 1024, 2048),
        "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
        "decoder_block_out_channels": (256, 512, 1024),
        "layers_per_block": (4, 6, 6, 2, 2),
        "decoder_layers_per_block": (5, 5, 5, 5),
        "spatio_temporal_scaling": (True,) * 4,
        "decoder_spatio_temporal_scaling": (True,) * 3,
        "decoder_inject_noise": (False,) * 4,
        "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        "upsample_residual": (True,) * 3,
        "upsample_factor": (2, 2, 2),
        "timestep_conditioning": True,
        "spatial_compression_ratio": 32,
        "temporal_compression_ratio": 8,
    },
    dtype="bfloat16",
    parameters=1_246_913_522,
)


def _transformer(parameters: int, **sizes: Any) -> Part:
    return Part(
        "diffusers.LTXVideoTransformer3DModel", sizes, dtype="bfloat16", parameters=parameters
    )


def _inputs(layout: Layout, size: Size) -> Inputs:
    videos, channels, times, rows, columns = layout.latents(size)
    return {
        "hidden_states": Tensor((videos, times * rows * columns, channels)),
        "encoder_hidden_states": Tensor((videos, layout.text_tokens, layout.text_channels)),
        "timestep": Tensor((videos,)),
        "encoder_attention_mask": Tensor((videos, layout.text_tokens), "int64"),
        "num_frames": times,
        "height": rows,
        "width": columns,
    }


_TINY = Tiny(
    parts={
        "tokenizer": tokenizers.t5(64),
        "text_encoder": SMALL_T5,
        "transformer": Part(
            "diffusers.LTXVideoTransformer3DModel",
            {
                "in_channels": 32,
                "out_channels": 32,
                "num_attention_heads": 8,
                "attention_head_dim": 64,
                "cross_attention_dim": 512,
                "num_layers": 8,
                "caption_channels": 64,
            },
            dtype="float32",
        ),
        "vae": Part(
            "diffusers.AutoencoderKLLTXVideo",
            {
                "latent_channels": 32,
                "block_out_channels": (16, 32, 64, 64),
                "decoder_block_out_channels": (16, 32, 64, 64),
                "layers_per_block": (1,) * 5,
                "decoder_layers_per_block": (1,) * 5,
            },
            dtype="float32",
        ),
    },
    native=Native(height=192, width=256, frames=33, fps=25, steps=20, guidance=3.0),
    layout=Layout(32, text_tokens=64, text_channels=64, spatial=32, temporal=8),
    call={"max_sequence_length": 64},
)


def _model(name: str, tokens: int, **facts: Any) -> Model:
    return Model(
        name=name,
        pipeline="diffusers.LTXPipeline",
        layout=Layout(128, text_tokens=tokens, text_channels=4096, spatial=32, temporal=8),
        encoders={"text_encoder": tokens},
        inputs=_inputs,
        tiny=_TINY,
        size_step=32,
        frame_step=8,
        least_steps=2,  # its schedule divides by how far the first step lies from the last
        source="diffusers' conversion script, class defaults and documentation",
        call={"max_sequence_length": tokens},
        **facts,
    )


def _parts(tokens: int, transformer: Part, vae: Part) -> dict[str, Part]:
    return {
        "tokenizer": tokenizers.t5(tokens),
        "text_encoder": T5_XXL,
        "transformer": transformer,
        "vae": vae,
        "scheduler": _SCHEDULER,
    }


MODELS = (
    _model(
        "ltx-video-2b",
        128,
        title="LTX-Video 2B",
        repository="Lightricks/LTX-Video",
        parts=_parts(128, _transformer(1_923_385_472), _VAE),
        native=Native(height=512, width=704, frames=161, fps=25, steps=50, guidance=3.0),
        flops=3.7129e13,
        peaks=Peaks(0.5e9, 5.8e9),
    ),
    _model(
        "ltx-video-13b",
        256,
        title="LTX-Video 13B, one pass",
        repository="Lightricks/LTX-Video-0.9.7-dev",
        parts=_parts(
            256,
            _transformer(
                13_042_569_344,
                attention_head_dim=128,
                cross_attention_dim=4096,
                num_layers=48,
            ),
            _VAE_095,
        ),
        native=Native(height=512, width=704, frames=121, fps=24, steps=30, guidance=5.0),
        flops=1.53926e14,
        peaks=Peaks(1.5e9, 9e9),
    ),
)
