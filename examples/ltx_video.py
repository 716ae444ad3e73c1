"""Text to video with LTX-Video."""

import argparse

import tiny_models
import torch
from diffusers import LTXPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--prompt", default="A cat walks on the grass, realistic style.")
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--out", default="ltx_video.mp4")
arguments = parser.parse_args()

pipe = LTXPipeline.from_pretrained(tiny_models.path("ltx"))
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
frames = pipe(
    prompt=arguments.prompt,
    height=128,
    width=192,
    num_frames=25,
    frame_rate=24,
    num_inference_steps=arguments.steps,
    guidance_scale=3.0,
    max_sequence_length=64,
).frames[0]
encode_video(frames, fps=24, output_path=arguments.out)
print(f"wrote {arguments.out}, {len(frames)} frames")
