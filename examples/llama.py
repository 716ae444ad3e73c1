"""Text with a Llama model: two prompts at once."""

import argparse

import tiny_models
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--tokens", type=int, default=64)
arguments = parser.parse_args()

folder = tiny_models.path("llama")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
model.to("cuda" if torch.cuda.is_available() else "cpu")
prompts = ["What does a second of video cost?", "How many joules are in a watt-hour?"]
inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
made = model.generate(
    input_ids=inputs.input_ids,
    attention_mask=inputs.attention_mask,
    max_new_tokens=arguments.tokens,
    do_sample=True,
)
texts = tokenizer.batch_decode(made, skip_special_tokens=True)
print(f"made {made.shape[1] - inputs.input_ids.shape[1]} tokens for each of {len(texts)} prompts")
