"""Allegro (Rhymes AI): full attention over space and time, T5, a VAE that decodes only in tiles.

Tiles of 320 × 320 pixels and 24 frames overlap by 120, 80 and 8; a video that they don't cover
exactly would have a black edge, so other sizes are refused.
"""

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


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "encoder_hidden_states": Tensor((size.batch, 1, layout.text_tokens, layout.text_channels)),
        "timestep": Tensor((size.batch,), "int64"),
        "encoder_attention_mask": Tensor((size.batch, layout.text_tokens), "int64"),
    }


MODELS = (
    Model(
        name="allegro",
        title="Allegro",
        repository="rhymes-ai/Allegro",
        pipeline="diffusers.AllegroPipeline",
        parts={
            "tokenizer": tokenizers.t5(512),
            "text_encoder": T5_XXL,
            "transformer": Part(
                "diffusers.AllegroTransformer3DModel", dtype="bfloat16", parameters=2_771_907_856
            ),
            # The released example decodes in float32.
            "vae": Part("diffusers.AutoencoderKLAllegro", dtype="float32", parameters=174_955_751),
            "scheduler": Part(
                "diffusers.EulerAncestralDiscreteScheduler",
                {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
            ),
        },
        call={"max_sequence_length": 512, "clean_caption": False},
        native=Native(height=720, width=1280, frames=88, fps=15, steps=100, guidance=7.5),
        layout=Layout(4, text_tokens=512, text_channels=4096),
        encoders={"text_encoder": 512},
        inputs=_inputs,
        # Its VAE takes one clip at a time.
        defaults={"vae_tiling": "on", "vae_slicing": "on"},
        sides=((320, 200), (320, 240)),
        least_frames=24,
        frame_step=16,
        flops=2.2389e15,
        caches=("pyramid", "faster"),
        peaks=Peaks(6e9, 8e9),
        source="diffusers' class defaults and documentation",
        tiny=Tiny(
            parts={
                "tokenizer": tokenizers.t5(64),
                "text_encoder": SMALL_T5,
                "transformer": Part(
                    "diffusers.AllegroTransformer3DModel",
                    {
                        "num_attention_heads": 8,
                        "attention_head_dim": 24,
                        "cross_attention_dim": 192,
                        "num_layers": 6,
                        "caption_channels": 64,
                        "sample_height": 20,
                        "sample_width": 20,
                        "sample_frames": 6,
                    },
                    dtype="float32",
                ),
                "vae": Part(
                    "diffusers.AutoencoderKLAllegro",
                    {
                        "block_out_channels": (8, 8, 8, 8),
                        "layers_per_block": 1,
                        "norm_num_groups": 4,
                        "sample_size": 160,
                    },
                    dtype="float32",
                ),
            },
            native=Native(height=160, width=160, frames=24, fps=15, steps=20, guidance=7.5),
            layout=Layout(4, text_tokens=64, text_channels=64),
            call={"max_sequence_length": 64},
            sides=((160, 40), (160, 80)),
        ),
    ),
)
