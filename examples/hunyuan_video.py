"""Text to video with HunyuanVideo, whose guidance is built into the model."""

import argparse

import tiny_models
import torch
from diffusers import HunyuanVideoPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--prompt", default="A cat walks on the grass, realistic style.")
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--out", default="hunyuan_video.mp4")
arguments = parser.parse_args()

pipe = HunyuanVideoPipeline.from_pretrained(tiny_models.path("hunyuan_video"))
pipe.to("cuda" if torch.cuda.is_available() else "cpu")
frames = pipe(
    prompt=arguments.prompt,
    prompt_template={"template": "{}", "crop_start": 0},
    height=96,
    width=160,
    num_frames=17,
    num_inference_steps=arguments.steps,
    max_sequence_length=64,
).frames[0]
encode_video(frames, fps=24, output_path=arguments.out)
print(f"wrote {arguments.out}, {len(frames)} frames")
