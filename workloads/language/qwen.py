"""Qwen 2.5 and 3 (Alibaba): 2.5 has biases on queries, keys and values, 3 norms on two of them."""

from vidmeter.workloads.language.model import LanguageModel, Shape, causal


def _model(
    name: str, title: str, kind: str, shape: Shape, *, parameters: int, tied: bool = False
) -> LanguageModel:
    part, tiny = causal(
        kind,
        shape,
        parameters=parameters,
        rms_norm_eps=1e-6,
        rope_theta=1_000_000.0,
        tie_word_embeddings=tied,
    )
    return LanguageModel(
        name=name,
        title=title,
        repository=f"Qwen/{title.replace(' ', '', 1).replace(' ', '-')}",
        part=part,
        shape=shape,
        tiny=tiny,
        source="config.json of the repository",
    )


MODELS = (
    _model(
        "qwen2.5-7b",
        "Qwen 2.5 7B",
        "Qwen2",
        Shape(
            vocabulary=152064,
            hidden=3584,
            intermediate=18944,
            layers=28,
            heads=28,
            kv_heads=4,
            positions=131072,
        ),
        parameters=7_615_616_512,
    ),
    _model(
        "qwen2.5-0.5b",
        "Qwen 2.5 0.5B",
        "Qwen2",
        Shape(
            vocabulary=151936,
            hidden=896,
            intermediate=4864,
            layers=24,
            heads=14,
            kv_heads=2,
            positions=32768,
        ),
        parameters=494_032_768,
        tied=True,
    ),
    _model(
        "qwen3-8b",
        "Qwen 3 8B",
        "Qwen3",
        Shape(
            vocabulary=151936,
            hidden=4096,
            intermediate=12288,
            layers=36,
            heads=32,
            kv_heads=8,
            positions=40960,
        ),
        parameters=8_190_735_360,
    ),
)
