"""Mochi 1 (Genmo): text and video in one sequence with wider video layers, T5 text encoder.

Its VAE makes one latent of six frames. Genmo's own examples ask for 84 frames and get 79.
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
    text = (size.batch, layout.text_tokens)
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "encoder_hidden_states": Tensor((*text, layout.text_channels)),
        "timestep": Tensor((size.batch,)),
        "encoder_attention_mask": Tensor(text, "bool"),
    }


MODELS = (
    Model(
        name="mochi-1",
        title="Mochi 1 preview",
        repository="genmo/mochi-1-preview",
        pipeline="diffusers.MochiPipeline",
        parts={
            "tokenizer": tokenizers.t5(256),
            "text_encoder": T5_XXL,
            "transformer": Part(
                "diffusers.MochiTransformer3DModel", dtype="bfloat16", parameters=10_027_677_744
            ),
            "vae": Part("diffusers.AutoencoderKLMochi", dtype="bfloat16", parameters=459_748_611),
            "scheduler": Part("diffusers.FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}),
        },
        native=Native(height=480, width=848, frames=85, fps=30, steps=64, guidance=4.5),
        layout=Layout(channels=12, text_tokens=256, text_channels=4096, temporal=6),
        inputs=_inputs,
        flops=6.029907e14,
        peaks=Peaks(4.9e9, 65.0e9),  # both halves of the guidance in one run
        least_steps=2,  # its schedule divides by the half of them
        encoders={"text_encoder": 256},
        frame_step=6,
        # Its attention is always torch's own.
        lacks=frozenset({"attention"}),
        defaults={"vae_tiling": "on"},
        tiny=Tiny(
            parts={
                "text_encoder": SMALL_T5,
                "transformer": Part(
                    "diffusers.MochiTransformer3DModel",
                    {
                        "num_attention_heads": 8,
                        "attention_head_dim": 32,
                        "num_layers": 6,
                        "pooled_projection_dim": 64,
                        "text_embed_dim": 64,
                        "time_embed_dim": 64,
                    },
                    dtype="float32",
                ),
                "vae": Part(
                    "diffusers.AutoencoderKLMochi",
                    {
                        "encoder_block_out_channels": (32, 32, 32, 32),
                        "decoder_block_out_channels": (32, 32, 32, 32),
                        "layers_per_block": (1, 1, 1, 1, 1),
                    },
                    dtype="float32",
                ),
            },
            native=Native(height=96, width=160, frames=19, fps=30, steps=20, guidance=4.5),
            layout=Layout(channels=12, text_tokens=128, text_channels=64, temporal=6),
            call={"max_sequence_length": 128},
        ),
        source="diffusers' conversion script and its page of the pipeline",
    ),
)
