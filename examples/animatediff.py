"""Text to video with AnimateDiff on Stable Diffusion 1.5."""

import argparse

import tiny_models
import torch
from diffusers import AnimateDiffPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--prompt", default="A cat walks on the grass, realistic style.")
parser.add_argument("--steps", type=int, default=16)
parser.add_argument("--out", default="animatediff.mp4")
arguments = parser.parse_args()

pipe = AnimateDiffPipeline.from_pretrained(tiny_models.path("animatediff"))
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
frames = pipe(
    prompt=arguments.prompt,
    height=64,
    width=64,
    num_frames=16,
    num_inference_steps=arguments.steps,
    guidance_scale=7.5,
).frames[0]
encode_video(frames, fps=8, output_path=arguments.out)
print(f"wrote {arguments.out}, {len(frames)} frames")
