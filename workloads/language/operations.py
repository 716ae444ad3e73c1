"""How many operations a language model's job takes, prefill and decode apart, without running it.

Counted as `flops` counts: a multiplication and its addition are two, causality is ignored. The
scores are made of the last position alone, as `generate` does. A step of decoding costs a constant
and the same again for each token before it, so that two steps that are counted tell all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vidmeter.workloads.base import Setting
from vidmeter.workloads.flops import _count
from vidmeter.workloads.language.model import LanguageModel
from vidmeter.workloads.parts import named


@dataclass(frozen=True, slots=True)
class TextOperations:
    """The operations of one repeat (a batch), by its phases; `runs` are the steps of decode."""

    prefill: float
    decode: float
    runs: int

    @property
    def total(self) -> float:
        """All of them."""
        return self.prefill + self.decode


def count_text(model: LanguageModel, settings: Mapping[str, Setting]) -> TextOperations:
    """The operations of writing one batch of texts with these settings."""
    prefill, first, second = _calls(model, settings)
    runs = int(settings["output_tokens"]) - 1  # the first token comes from the prompt's own run
    decode = runs * first + (second - first) * runs * (runs - 1) / 2
    return TextOperations(prefill, decode, runs)


def _calls(model: LanguageModel, settings: Mapping[str, Setting]) -> list[float]:
    """The operations of the prompt's run, and of the first two steps after it."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    batch, prompt = int(settings["batch"]), int(settings["input_tokens"])
    attention = "eager" if settings["attention"] == "eager" else "sdpa"
    part = replace(model.part, arguments={**model.part.arguments, "attn_implementation": attention})
    # On meta, transformers' masks would ask for values that aren't there.
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = part().eval()
        cache: Any = None
        if settings["cache"] == "static":
            # The last token is written and never read again.
            longest = prompt + int(settings["output_tokens"]) - 1
            cache = named("transformers.StaticCache")(network.config, max_cache_len=longest)

        def call(tokens: int) -> None:
            nonlocal cache
            ids = torch.zeros(batch, tokens, dtype=torch.long)
            output = network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values

        return [_count(lambda tokens=tokens: call(tokens)) for tokens in (prompt, 1, 1)]
