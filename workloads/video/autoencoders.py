"""Image VAEs that several families share, released and small."""

from vidmeter.workloads.parts import Part

SD = Part(
    "diffusers.AutoencoderKL",
    {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 512,
    },
    dtype="float16",
    parameters=83_653_863,
)
"""Stable Diffusion's."""

SMALL_SD = Part(
    "diffusers.AutoencoderKL",
    {
        "block_out_channels": (8, 16, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 64,
    },
    dtype="float32",
)
