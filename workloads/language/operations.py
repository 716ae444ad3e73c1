"""How many operations a language model's job takes, prefill and decode apart, without running it.

Counted as `flops` counts: a multiplication and its addition are two, causality is ignored. The
scores are made of the last position alone, as `generate` does. A step of decoding costs a constant
and a little more for each token before it, so that two steps that are counted tell all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidmeter.workloads.base import Setting
from vidmeter.workloads.flops import _count
from vidmeter.workloads.language.model import LanguageModel


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
    prompt, written = int(settings["input_tokens"]), int(settings["output_tokens"])
    prefill, first, growth = _calls(model, int(settings["batch"]), prompt)
    runs = written - 1  # the first token comes from the prompt's own run
    if settings["cache"] == "static":
        # All of the cache is looked at in every step, filled or not; the last token has no place.
        longest = prompt + runs
        prefill += growth * prompt * (longest - prompt)
        decode = runs * (first + growth * (longest - prompt - 1)) if runs else 0.0
    else:
        decode = runs * first + growth * runs * (runs - 1) / 2
    return TextOperations(prefill, decode, runs)


def _calls(model: LanguageModel, batch: int, prompt: int) -> tuple[float, float, float]:
    """The operations of prefill, of the first step, and of each further token before a step."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    steps = []
    # On meta, transformers' masks would ask for values that aren't there.
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = model.part().eval()
        cache: Any = None

        def call(tokens: int) -> None:
            nonlocal cache
            ids = torch.zeros(batch, tokens, dtype=torch.long)
            output = network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values

        for tokens in (prompt, 1, 1):
            steps.append(_count(lambda tokens=tokens: call(tokens)))
    prefill, first, second = steps
    return prefill, first, second - first
