"""How much memory a language model needs, worked out without running it; and what would fit.

Weights, the cache of keys and values at its full length, and the higher of two peaks above them:
prefill holds one layer's insides for every token of the prompt, decode copies one layer's cache
when it grows. The scores of one step are there in the network's own type and twice in float32.
"""

from collections.abc import Callable, Iterator, Mapping

from vidmeter.workloads.base import Setting
from vidmeter.workloads.language.model import LanguageModel
from vidmeter.workloads.memory import BYTES, FRAMEWORK_B

Needed = tuple[Mapping[str, Setting], int]


def needed_b(model: LanguageModel, settings: Mapping[str, Setting]) -> int:
    """Free memory of the device, in bytes."""
    shape, wide = model.shape, BYTES[str(settings["dtype"])]
    batch, prompt = int(settings["batch"]), int(settings["input_tokens"])
    tokens = prompt + int(settings["output_tokens"])
    cache = shape.kv_numbers * wide * tokens * batch
    # Residual, its norm, queries, keys, values, what attention makes of them; and the two halves of
    # a gated layer with their product.
    prefill = (6 * shape.hidden + 3 * shape.intermediate) * wide * prompt * batch
    if settings["attention"] == "eager":
        # Scores of attention, the same behind the mask, their softmax in float32 and out of it.
        prefill += shape.heads * prompt * prompt * (3 * wide + BYTES["float32"]) * batch
    scores = shape.vocabulary * (wide + 2 * BYTES["float32"]) * batch
    weights = model.part.parameters * wide
    return int(weights + cache + max(prefill, cache / shape.layers) + scores + FRAMEWORK_B)


def smaller(
    model: LanguageModel, settings: Mapping[str, Setting], free_b: float
) -> Iterator[Needed]:
    """What fits into `free_b` bytes: of each setting that takes memory, the largest value."""
    for candidates in (_types, _halves("batch"), _halves("input_tokens"), _halves("output_tokens")):
        for changed in candidates(settings):
            needed = needed_b(model, {**settings, **changed})
            if needed <= free_b:
                yield changed, needed
                break


def _types(settings: Mapping[str, Setting]) -> Iterator[Mapping[str, Setting]]:
    if settings["dtype"] == "float32":
        yield {"dtype": "bfloat16"}


def _halves(
    name: str,
) -> Callable[[Mapping[str, Setting]], Iterator[Mapping[str, Setting]]]:
    def halves(settings: Mapping[str, Setting]) -> Iterator[Mapping[str, Setting]]:
        value = int(settings[name]) // 2
        while value >= 1:
            yield {name: value}
            value //= 2

    return halves
