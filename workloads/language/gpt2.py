"""GPT-2 (OpenAI), the smallest: learned positions, so its context ends at 1024 tokens."""

from dataclasses import replace

from vidmeter.workloads.language.model import SMALL, LanguageModel, Shape
from vidmeter.workloads.parts import Part

_SHAPE = Shape(
    vocabulary=50257,
    hidden=768,
    intermediate=3072,
    layers=12,
    heads=12,
    kv_heads=12,
    positions=1024,
)
_SMALL = replace(SMALL, intermediate=4 * SMALL.hidden, kv_heads=SMALL.heads, positions=1024)


def _part(shape: Shape, dtype: str, parameters: int = 0) -> Part:
    sizes = {
        "vocab_size": shape.vocabulary,
        "n_positions": shape.positions,
        "n_embd": shape.hidden,
        "n_inner": shape.intermediate,
        "n_layer": shape.layers,
        "n_head": shape.heads,
    }
    return Part(
        "transformers.GPT2LMHeadModel",
        sizes,
        config="transformers.GPT2Config",
        dtype=dtype,
        parameters=parameters,
    )


MODELS = (
    LanguageModel(
        name="gpt-2",
        title="GPT-2",
        repository="openai-community/gpt2",
        part=_part(_SHAPE, "float32", 124_439_808),
        shape=_SHAPE,
        tiny=_part(_SMALL, "float32"),
        tiny_shape=_SMALL,
        source="class defaults of transformers",
    ),
)
