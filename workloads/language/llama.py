"""Llama 3 (Meta): four query heads share keys and values; the small one ties its embeddings."""

from typing import Any

from vidmeter.workloads.language.model import LanguageModel, Shape, causal


def _model(
    name: str, title: str, shape: Shape, *, parameters: int, factor: float, tied: bool
) -> LanguageModel:
    rope: dict[str, Any] = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    part, tiny = causal(
        "Llama",
        shape,
        parameters=parameters,
        rms_norm_eps=1e-5,
        rope_theta=500_000.0,
        rope_scaling=rope,
        tie_word_embeddings=tied,
    )
    return LanguageModel(
        name=name,
        title=title,
        repository=f"meta-llama/{title.replace(' ', '-')}",
        part=part,
        shape=shape,
        tiny=tiny,
        source="config.json of the repository",
    )


MODELS = (
    _model(
        "llama-3.1-8b",
        "Llama 3.1 8B",
        Shape(
            vocabulary=128256,
            hidden=4096,
            intermediate=14336,
            layers=32,
            heads=32,
            kv_heads=8,
            positions=131072,
        ),
        parameters=8_030_261_248,
        factor=8.0,
        tied=False,
    ),
    _model(
        "llama-3.2-1b",
        "Llama 3.2 1B",
        Shape(
            vocabulary=128256,
            hidden=2048,
            intermediate=8192,
            layers=16,
            heads=32,
            kv_heads=8,
            positions=131072,
        ),
        parameters=1_235_814_400,
        factor=32.0,
        tied=True,
    ),
)
