"""SkyReels-V2 (Skywork): Wan's architecture trained anew, whole or with diffusion forcing.

Diffusion forcing gives each latent frame a time of its own. As released, all frames are denoised
together; one after the other (`ar_step`) takes more steps. Its network is told the frame rate, by
16,528,896 parameters that Wan's hasn't.
"""

import sys
from collections.abc import Mapping
from types import SimpleNamespace
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


def _transformer(parameters: int, dtype: str = "bfloat16", **sizes: Any) -> Part:
    return Part("diffusers.SkyReelsV2Transformer3DModel", sizes, dtype=dtype, parameters=parameters)


def _inputs(layout: Layout, size: Size) -> Inputs:
    return {
        "hidden_states": Tensor(layout.latents(size)),
        "timestep": Tensor((size.batch,), "int64"),
        "encoder_hidden_states": Tensor((size.batch, layout.text_tokens, layout.text_channels)),
    }


def _inputs_df(layout: Layout, size: Size) -> Inputs:
    _, _, times, _, _ = layout.latents(size)
    return {
        **_inputs(layout, size),
        "timestep": Tensor((size.batch, times), "int64"),
        "enable_diffusion_forcing": True,
        # Which of two frame rates it is: 0 stands for 16 a second, 1 for 24.
        "fps": [1] * size.batch,
    }


def _prompts_as_they_are(pipeline: Any, _: Mapping[str, Any]) -> None:
    """Let it run where ftfy isn't installed, which its module calls on every prompt all the same.

    ftfy mends wrongly decoded text, and Wan's pipeline does without it.
    """
    module: Any = sys.modules[type(pipeline).__module__]
    if not hasattr(module, "ftfy"):
        module.ftfy = SimpleNamespace(fix_text=str)


_PARTS = {
    "tokenizer": tokenizers.t5(512),
    "text_encoder": UMT5_XXL,
    # The released examples decode in float32.
    "vae": Part("diffusers.AutoencoderKLWan", dtype="float32", parameters=126_892_531),
    "scheduler": Part(
        "diffusers.UniPCMultistepScheduler",
        {
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "num_train_timesteps": 1000,
            "flow_shift": 8.0,
        },
    ),
}


def _tiny(**sizes: Any) -> Tiny:
    return Tiny(
        parts={
            "text_encoder": SMALL_UMT5,
            "transformer": _transformer(
                0,
                "float32",
                num_attention_heads=8,
                attention_head_dim=32,
                text_dim=64,
                freq_dim=64,
                ffn_dim=1024,
                num_layers=8,
                **sizes,
            ),
            "vae": Part(
                "diffusers.AutoencoderKLWan", {"base_dim": 4, "num_res_blocks": 1}, dtype="float32"
            ),
        },
        native=Native(height=128, width=192, frames=17, fps=24, steps=20, guidance=6.0),
        layout=Layout(channels=16, text_tokens=64, text_channels=64),
        call={"max_sequence_length": 64},
    )


def _model(name: str, **facts: Any) -> Model:
    return Model(
        name=name,
        native=Native(height=544, width=960, frames=97, fps=24, steps=50, guidance=6.0),
        layout=Layout(channels=16, text_tokens=512, text_channels=4096),
        encoders={"text_encoder": 512},
        dress=_prompts_as_they_are,
        source="diffusers' conversion script; SkyworkAI/SkyReels-V2, README.md",
        **facts,
    )


MODELS = (
    _model(
        "skyreels-v2-t2v-14b",
        title="SkyReels-V2 T2V 14B 540P",
        repository="Skywork/SkyReels-V2-T2V-14B-540P-Diffusers",
        pipeline="diffusers.SkyReelsV2Pipeline",
        parts={
            **_PARTS,
            "transformer": _transformer(
                14_288_491_584, num_attention_heads=40, ffn_dim=13824, num_layers=40
            ),
        },
        inputs=_inputs,
        flops=3.3737e15,
        caches=("pyramid", "taylorseer"),
        peaks=Peaks(5.8e9, 10.8e9, in_chunks=True),
        tiny=_tiny(),
    ),
    _model(
        "skyreels-v2-df-1.3b",
        title="SkyReels-V2 DF 1.3B 540P",
        repository="Skywork/SkyReels-V2-DF-1.3B-540P-Diffusers",
        pipeline="diffusers.SkyReelsV2DiffusionForcingPipeline",
        parts={
            **_PARTS,
            "transformer": _transformer(
                1_435_525_696,
                num_attention_heads=12,
                ffn_dim=8960,
                num_layers=30,
                inject_sample_info=True,
            ),
        },
        inputs=_inputs_df,
        # Any number of frames is one window: several would overlap and take other runs.
        call={"base_num_frames": 100_000},
        # Caches ask at what time a step is, and here every frame has one.
        lacks=frozenset({"batch"}),
        caches=(),
        flops=6.1195e14,
        peaks=Peaks(5.5e9, 10.8e9, in_chunks=True),
        tiny=_tiny(inject_sample_info=True),
    ),
)
