"""The text encoders that the families share: released sizes, and small ones of the same classes.

Sizes are those of the released configurations; parameter counts were computed from them, and the
tests compute them again.
"""

from vidmeter.workloads.parts import Part

_XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
_SMALL = {
    "vocab_size": 384,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 256,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
}

UMT5_XXL = Part(
    "transformers.UMT5EncoderModel",
    {"vocab_size": 256384, **_XXL},
    config="transformers.UMT5Config",
    dtype="bfloat16",
    parameters=5_680_910_336,
)
T5_XXL = Part(
    "transformers.T5EncoderModel",
    {"vocab_size": 32128, **_XXL},
    config="transformers.T5Config",
    dtype="bfloat16",
    parameters=4_762_310_656,
)
CLIP_L = Part(
    "transformers.CLIPTextModel",
    {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "projection_dim": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    },
    config="transformers.CLIPTextConfig",
    dtype="bfloat16",
    parameters=123_060_480,
)
LLAMA_3_8B = Part(
    "transformers.LlamaModel",
    {
        "vocab_size": 128320,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
    config="transformers.LlamaConfig",
    dtype="float16",
    parameters=7_505_186_816,
)
QWEN_2_5_VL_7B = Part(
    "transformers.Qwen2_5_VLTextModel",
    {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1000000.0,
            "mrope_section": [16, 24, 24],
        },
    },
    config="transformers.Qwen2_5_VLTextConfig",
    dtype="bfloat16",
    parameters=7_070_619_136,
)
"""The part that reads text."""
BYT5_SMALL = Part(
    "transformers.T5EncoderModel",
    {
        "vocab_size": 1510,
        "d_model": 1472,
        "d_kv": 64,
        "d_ff": 3584,
        "num_layers": 12,
        "num_heads": 6,
        "feed_forward_proj": "gated-gelu",
    },
    config="transformers.T5Config",
    dtype="bfloat16",
    parameters=219_314_944,
)

SMALL_UMT5 = Part(
    "transformers.UMT5EncoderModel", _SMALL, config="transformers.UMT5Config", dtype="float32"
)
SMALL_T5 = Part(
    "transformers.T5EncoderModel", _SMALL, config="transformers.T5Config", dtype="float32"
)
SMALL_CLIP = Part(
    "transformers.CLIPTextModel",
    {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "projection_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    },
    config="transformers.CLIPTextConfig",
    dtype="float32",
)
SMALL_LLAMA = Part(
    "transformers.LlamaModel",
    {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    config="transformers.LlamaConfig",
    dtype="float32",
)
SMALL_QWEN_VL = Part(
    "transformers.Qwen2_5_VLTextModel",
    {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1000000.0,
            "mrope_section": [2, 3, 3],
        },
    },
    config="transformers.Qwen2_5_VLTextConfig",
    dtype="float32",
)
