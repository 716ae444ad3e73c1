"""Text to video on several devices at once, a prompt for each:

torchrun --nproc-per-node 2 examples/distributed.py
"""

import argparse
import os

import tiny_models
import torch
from diffusers import LTXPipeline
from diffusers.utils import encode_video

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=40)
arguments = parser.parse_args()

# Before the processes know of each other: from then on only the first of them saves weights.
folder = tiny_models.path("ltx")

rank, cuda = int(os.environ["LOCAL_RANK"]), torch.cuda.is_available()
torch.distributed.init_process_group("nccl" if cuda else "gloo")
device = f"cuda:{rank}" if cuda else "cpu"
if cuda:
    torch.cuda.set_device(device)

pipe = LTXPipeline.from_pretrained(folder).to(device)
frames = pipe(
    prompt=["A cat walks on the grass.", "A dog runs along the beach."][rank % 2],
    height=128,
    width=192,
    num_frames=25,
    num_inference_steps=arguments.steps,
    max_sequence_length=64,
).frames[0]
torch.distributed.barrier()
encode_video(frames, fps=24, output_path=f"rank-{rank}.mp4")
torch.distributed.destroy_process_group()
print(f"wrote rank-{rank}.mp4, {len(frames)} frames")
