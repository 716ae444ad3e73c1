"""Mistral 7B (Mistral AI), as of version 0.2: no sliding window, so every token sees all others."""

from vidmeter.workloads.language.model import LanguageModel, Shape, causal

_SHAPE = Shape(
    vocabulary=32000,
    hidden=4096,
    intermediate=14336,
    layers=32,
    heads=32,
    kv_heads=8,
    positions=32768,
)
_PART, _TINY = causal(
    "Mistral",
    _SHAPE,
    parameters=7_241_732_096,
    rms_norm_eps=1e-5,
    rope_theta=1_000_000.0,
    sliding_window=None,
    tie_word_embeddings=False,
)

MODELS = (
    LanguageModel(
        name="mistral-7b",
        title="Mistral 7B v0.2",
        repository="mistralai/Mistral-7B-Instruct-v0.2",
        part=_PART,
        shape=_SHAPE,
        tiny=_TINY,
        source="config.json of the repository",
    ),
)
