"""Text to video with Mochi 1."""

import argparse

import tiny_models
import torch
from diffusers import MochiPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--prompt", default="A cat walks on the grass, realistic style.")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--out", default="mochi.mp4")
arguments = parser.parse_args()

pipe = MochiPipeline.from_pretrained(tiny_models.path("mochi"))
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
frames = pipe(
    prompt=arguments.prompt,
    height=96,
    width=160,
    num_frames=19,
    num_inference_steps=arguments.steps,
    guidance_scale=4.5,
    max_sequence_length=64,
).frames[0]
encode_video(frames, fps=30, output_path=arguments.out)
print(f"wrote {arguments.out}, {len(frames)} frames")
