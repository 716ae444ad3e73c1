"""LTX-2 (Lightricks): video and its sound in one transformer, Gemma 3 as text encoder.

Both are made, as the one depends on the other; only the video is written. Guided as it was
released: without text beside with text, for sound as much as for pictures, and neither of the two
further runs in each step that LTX-2.3 and 2.5 brought. One stage: not the flow that enlarges the
latents and refines them.
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

_SOURCE = "diffusers' conversion script and documentation of the pipelines; Gemma 3's configuration"
_FPS = 24
_SOUNDS_PER_SECOND = 16000 / 160 / 4
"""Latents of sound: samples over those in a step of the spectrogram, and four steps in one."""


def _inputs(layout: Layout, size: Size) -> Inputs:
    batch, channels, times, rows, columns = layout.latents(size)
    tokens, sounds = times * rows * columns, round(size.frames / _FPS * _SOUNDS_PER_SECOND)
    text = Tensor((batch, layout.text_tokens, layout.text_channels))
    mask = Tensor((batch, layout.text_tokens), "int64")
    return {
        "hidden_states": Tensor((batch, tokens, channels)),
        # A latent of sound has as many numbers as one of pictures.
        "audio_hidden_states": Tensor((batch, sounds, channels)),
        "encoder_hidden_states": text,
        "audio_encoder_hidden_states": text,
        "timestep": Tensor((batch,), "float32"),
        "sigma": Tensor((batch,), "float32"),
        "encoder_attention_mask": mask,
        "audio_encoder_attention_mask": mask,
        "num_frames": times,
        "height": rows,
        "width": columns,
        "audio_num_frames": sounds,
        "video_coords": Tensor((batch, 3, tokens, 2), "float32"),
        "audio_coords": Tensor((batch, 1, sounds, 2), "float32"),
        "use_cross_timestep": True,
    }


def _gemma(text: dict[str, Any], vision: dict[str, Any], **facts: Any) -> Part:
    return Part(
        "transformers.Gemma3ForConditionalGeneration",
        {"text_config": text, "vision_config": vision},
        config="transformers.Gemma3Config",
        **facts,
    )


_VAE: dict[str, Any] = {
    "down_block_types": ("LTX2VideoDownBlock3D",) * 4,
    "spatio_temporal_scaling": (True,) * 4,
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_inject_noise": (False,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "upsample_type": ("spatiotemporal",) * 3,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": False,
    "encoder_spatial_padding_mode": "zeros",
    "decoder_spatial_padding_mode": "reflect",
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
_AUDIO_VAE: dict[str, Any] = {
    "output_channels": 2,
    "ch_mult": (1, 2, 4),
    "attn_resolutions": None,
    "in_channels": 2,
    "latent_channels": 8,
    "norm_type": "pixel",
    "causality_axis": "height",
    "mid_block_add_attention": False,
    "sample_rate": 16000,
    "mel_hop_length": 160,
    "is_causal": True,
}
_VOCODER: dict[str, Any] = {
    "out_channels": 2,
    "upsample_kernel_sizes": [16, 15, 8, 4, 4],
    "upsample_factors": [6, 5, 2, 2, 2],
    "resnet_kernel_sizes": [3, 7, 11],
    "resnet_dilations": [[1, 3, 5]] * 3,
    "output_sampling_rate": 24000,
}

_PARTS: dict[str, Part] = {
    "tokenizer": tokenizers.clip(1024),
    "text_encoder": _gemma(
        {
            "vocab_size": 262208,
            "hidden_size": 3840,
            "intermediate_size": 15360,
            "num_hidden_layers": 48,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "sliding_window": 1024,
        },
        {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
        },
        dtype="bfloat16",
        parameters=12_187_325_040,
    ),
    "connectors": Part(
        "diffusers.pipelines.ltx2.LTX2TextConnectors",
        {"rope_type": "split"},
        dtype="bfloat16",
        parameters=1_431_475_200,
    ),
    "transformer": Part(
        "diffusers.LTX2VideoTransformer3DModel",
        {"rope_type": "split"},
        dtype="bfloat16",
        parameters=18_876_174_592,
    ),
    "vae": Part(
        "diffusers.AutoencoderKLLTX2Video",
        {
            **_VAE,
            "block_out_channels": (256, 512, 1024, 2048),
            "decoder_block_out_channels": (256, 512, 1024),
            "layers_per_block": (4, 6, 6, 2, 2),
            "decoder_layers_per_block": (5, 5, 5, 5),
        },
        dtype="bfloat16",
        parameters=1_222_479_601,
    ),
    "audio_vae": Part(
        "diffusers.AutoencoderKLLTX2Audio",
        {
            **_AUDIO_VAE,
            "base_channels": 128,
            "num_res_blocks": 2,
            "resolution": 256,
            "mel_bins": 64,
        },
        dtype="bfloat16",
        parameters=53_248_146,
    ),
    "vocoder": Part(
        "diffusers.pipelines.ltx2.LTX2Vocoder",
        {**_VOCODER, "in_channels": 128, "hidden_channels": 1024},
        dtype="bfloat16",
        parameters=55_592_802,
    ),
    "scheduler": Part(
        "diffusers.FlowMatchEulerDiscreteScheduler",
        {
            "use_dynamic_shifting": True,
            "base_shift": 0.95,
            "max_shift": 2.05,
            "base_image_seq_len": 1024,
            "max_image_seq_len": 4096,
            "shift_terminal": 0.1,
        },
    ),
}

_TINY = Tiny(
    parts={
        "text_encoder": _gemma(
            {
                "vocab_size": 400,
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 16,
            },
            {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            dtype="float32",
        ),
        "connectors": Part(
            _PARTS["connectors"].make,
            {
                "caption_channels": 64,
                "text_proj_in_factor": 3,
                "video_connector_num_attention_heads": 4,
                "video_connector_attention_head_dim": 16,
                "video_connector_num_layers": 1,
                "video_connector_num_learnable_registers": 32,
                "audio_connector_num_attention_heads": 4,
                "audio_connector_attention_head_dim": 16,
                "audio_connector_num_layers": 1,
                "audio_connector_num_learnable_registers": 32,
                "rope_type": "split",
            },
            dtype="float32",
        ),
        "transformer": Part(
            _PARTS["transformer"].make,
            {
                "in_channels": 32,
                "out_channels": 32,
                "num_attention_heads": 8,
                "attention_head_dim": 32,
                "cross_attention_dim": 256,
                "audio_in_channels": 32,
                "audio_out_channels": 32,
                "audio_num_attention_heads": 8,
                "audio_attention_head_dim": 16,
                "audio_cross_attention_dim": 128,
                "num_layers": 6,
                "caption_channels": 64,
                "rope_type": "split",
            },
            dtype="float32",
        ),
        "vae": Part(
            _PARTS["vae"].make,
            {
                **_VAE,
                "latent_channels": 32,
                "block_out_channels": (8, 16, 32, 64),
                "decoder_block_out_channels": (8, 16, 32),
                "layers_per_block": (1,) * 5,
                "decoder_layers_per_block": (1,) * 4,
            },
            dtype="float32",
        ),
        "audio_vae": Part(
            _PARTS["audio_vae"].make,
            {
                **_AUDIO_VAE,
                "base_channels": 32,
                "num_res_blocks": 1,
                "resolution": 32,
                "mel_bins": 16,
            },
            dtype="float32",
        ),
        "vocoder": Part(
            _PARTS["vocoder"].make,
            {**_VOCODER, "in_channels": 32, "hidden_channels": 64},
            dtype="float32",
        ),
    },
    native=Native(height=128, width=192, frames=17, fps=_FPS, steps=20, guidance=3.0),
    layout=Layout(channels=32, text_tokens=64, text_channels=64, spatial=32, temporal=8),
    call={"max_sequence_length": 64},
)

MODELS = (
    Model(
        name="ltx-2",
        title="LTX-2 19B with sound, one stage",
        repository="Lightricks/LTX-2",
        pipeline="diffusers.LTX2Pipeline",
        parts=_PARTS,
        native=Native(height=512, width=768, frames=121, fps=_FPS, steps=30, guidance=3.0),
        layout=Layout(channels=128, text_tokens=1024, text_channels=3840, spatial=32, temporal=8),
        inputs=_inputs,
        encoders={"text_encoder": 1024},
        call={
            # None: as for the pictures.
            "audio_guidance_scale": None,
            "stg_scale": 0.0,
            "audio_stg_scale": None,
            "modality_scale": 1.0,
            "audio_modality_scale": None,
        },
        size_step=32,
        frame_step=8,
        least_steps=2,  # as LTX-Video's
        source=_SOURCE,
        flops=1.98771e14,
        caches=("pyramid", "taylorseer"),
        peaks=Peaks(2.5e9, 5.8e9),
        tiny=_TINY,
    ),
)
