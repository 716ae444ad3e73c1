"""A tiny LTX-Video pipeline of diffusers' own classes with random weights; scripts import it."""

from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

torch.set_num_threads(1)


def ltx(**parts: Any) -> LTXPipeline:
    """The pipeline; `parts` take the place of its own."""
    torch.manual_seed(0)
    made = {
        "transformer": LTXVideoTransformer3DModel(
            in_channels=32,
            out_channels=32,
            num_attention_heads=4,
            attention_head_dim=16,
            cross_attention_dim=64,
            num_layers=2,
            caption_channels=64,
        ).eval(),
        "vae": AutoencoderKLLTXVideo(
            latent_channels=32,
            block_out_channels=(8, 16, 32, 32),
            decoder_block_out_channels=(8, 16, 32, 32),
            layers_per_block=(1,) * 5,
            decoder_layers_per_block=(1,) * 5,
        ).eval(),
        "text_encoder": T5EncoderModel(
            T5Config(vocab_size=384, d_model=64, d_kv=16, d_ff=128, num_layers=1, num_heads=4)
        ).eval(),
        "tokenizer": ByT5Tokenizer(),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    } | parts
    pipe = LTXPipeline(**made)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate(pipe: Any, **more: Any) -> Any:
    """One small video."""
    asked = {
        "prompt": "a cat",
        "height": 64,
        "width": 96,
        "num_frames": 9,
        "num_inference_steps": 3,
        "max_sequence_length": 16,
        **more,
    }
    return pipe(**asked)
