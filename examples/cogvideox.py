"""Text to video with CogVideoX, its decoder tiled to save memory."""

import argparse

import tiny_models
import torch
from diffusers import CogVideoXPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--prompt", default="A cat walks on the grass, realistic style.")
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--out", default="cogvideox.mp4")
arguments = parser.parse_args()

pipe = CogVideoXPipeline.from_pretrained(tiny_models.path("cogvideox"))
pipe.vae.enable_tiling()
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
frames = pipe(
    prompt=arguments.prompt,
    height=96,
    width=160,
    num_frames=9,
    num_inference_steps=arguments.steps,
    guidance_scale=6.0,
    max_sequence_length=32,
).frames[0]
encode_video(frames, fps=8, output_path=arguments.out)
print(f"wrote {arguments.out}, {len(frames)} frames")
