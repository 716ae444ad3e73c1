"""What Wan 2.1 is built from: the published architecture, a tiny one, and the memory they need.

Facts on the published model: diffusers' conversion script for Wan, and the defaults of its classes.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vidmeter.workloads.base import Setting


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the pipeline is built from: arguments of the component classes, and of the call."""

    transformer: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    vae: Mapping[str, Any]
    dtype: str
    prompt_tokens: int
    weights_b: float
    """All weights in bytes, each component in its own type."""


T2V_1_3B = Architecture(
    transformer={
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "ffn_dim": 8960,
        "num_layers": 30,
    },
    text_encoder={
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    },
    vae={"base_dim": 96},
    dtype="bfloat16",
    prompt_tokens=512,
    weights_b=14.7e9,
)


def tiny_architecture(settings: Mapping[str, Setting]) -> Architecture:
    """A small one, of the sizes `layers`, `heads` and `ffn`, with a text encoder to match."""
    return Architecture(
        transformer={
            "num_attention_heads": settings["heads"],
            "attention_head_dim": 32,
            "in_channels": 16,
            "out_channels": 16,
            "text_dim": 64,
            "freq_dim": 64,
            "ffn_dim": settings["ffn"],
            "num_layers": settings["layers"],
        },
        text_encoder={
            "vocab_size": 384,
            "d_model": 64,
            "d_kv": 16,
            "d_ff": 256,
            "num_layers": 2,
            "num_heads": 4,
            "feed_forward_proj": "gated-gelu",
        },
        vae={"base_dim": 4, "num_res_blocks": 1},
        dtype="float32",
        prompt_tokens=64,
        weights_b=40e6,
    )


def components(architecture: Architecture) -> dict[str, tuple[Callable[[], Any], str]]:
    """For each neural network of the pipeline: what makes it, and its type of number."""
    diffusers, transformers = untyped("diffusers"), untyped("transformers")
    encoder, config = transformers.UMT5EncoderModel, transformers.UMT5Config
    transformer, vae = diffusers.WanTransformer3DModel, diffusers.AutoencoderKLWan
    return {
        "text_encoder": (lambda: encoder(config(**architecture.text_encoder)), architecture.dtype),
        "transformer": (lambda: transformer(**architecture.transformer), architecture.dtype),
        # Wan's own example decodes in float32.
        "vae": (lambda: vae(**architecture.vae), "float32"),
    }


def untyped(package: str) -> Any:
    """A package whose annotations are too partial to check against: Any at this edge."""
    return importlib.import_module(package)


def memory_needed_b(architecture: Architecture, *, height: int, width: int, frames: int) -> int:
    """Free memory of the device that a run needs, estimated, in bytes.

    Weights, plus the larger of two peaks: denoising, in proportion to tokens, and decoding, in
    proportion to the size of a picture, with three copies of the whole video. The factors were
    fitted to live storages counted for the 1.3B model at 480×832×81 (1.6 GB and 8.2 GB). 1.5 GB
    more stand for the framework's own.
    """
    transformer = architecture.transformer
    channels = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    pixels, scalar_b = height * width, 2 if architecture.dtype == "bfloat16" else 4
    tokens = ((frames - 1) // 4 + 1) * pixels // 256
    denoise = 16 * scalar_b * channels * tokens
    decode = 183 * architecture.vae["base_dim"] * pixels + 3 * (12 * pixels * frames)
    return int(architecture.weights_b + max(denoise, decode) + 1.5e9)


def scheduler() -> Any:
    """The scheduler of the 480p models."""
    return untyped("diffusers").UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=3.0,
    )
