"""Text to video with Wan 2.1."""

import argparse

import tiny_models
import torch
from diffusers import WanPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--prompt", default="A cat walks on the grass, realistic style.")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--out", default="wan.mp4")
arguments = parser.parse_args()

pipe = WanPipeline.from_pretrained(tiny_models.path("wan"))
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
frames = pipe(
    prompt=arguments.prompt,
    negative_prompt="blurry, static",
    height=96,
    width=160,
    num_frames=17,
    num_inference_steps=arguments.steps,
    guidance_scale=5.0,
    max_sequence_length=64,
).frames[0]
encode_video(frames, fps=16, output_path=arguments.out)
print(f"wrote {arguments.out}, {len(frames)} frames")
