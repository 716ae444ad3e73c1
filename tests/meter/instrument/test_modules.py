"""Deep mode: which modules are told apart, and that they lie within the steps."""

import sys
from collections import Counter

import pytest

from vidmeter.meter.instrument.hook import INSTRUMENT_ENV
from vidmeter.meter.instrument.modules import kind_of

from .conftest import ROOT, Running

KINDS = {
    "attention": "WanAttention LTXAttention Attention LlamaAttention UMT5LayerSelfAttention"
    " T5LayerCrossAttention CLIPAttention MochiAttention MochiAttentionPool WanAttentionBlock",
    "feed_forward": "FeedForward LlamaMLP CLIPMLP UMT5LayerFF Qwen3MLP LuminaFeedForward",
    "norm": "FP32LayerNorm RMSNorm LlamaRMSNorm GroupNorm WanRMS_norm AdaLayerNormSingle"
    " CogVideoXLayerNormZero MochiModulatedRMSNorm HunyuanVideoAdaNorm",
    "convolution": "Conv3d Conv2d WanCausalConv3d WanUpsample LTXVideoUpsampler3d Downsample2D",
    "": "WanTransformerBlock CrossAttnDownBlock2D UNetMidBlock2DCrossAttn BasicTransformerBlock"
    " LlamaDecoderLayer ModuleList Linear SiLU T5Stack CLIPEncoder WanResidualBlock"
    " LTXVideoRotaryPosEmbed Embedding LlamaForCausalLM UNetMotionModel AttnProcessor2_0",
}
SCRIPT = """
from tests.meter.instrument.tiny import generate, ltx
pipe = ltx()
generate(pipe)
assert not any(m._forward_hooks or m._forward_pre_hooks for m in pipe.transformer.modules())
"""


@pytest.mark.parametrize("kind", KINDS)
def test_modules_are_told_by_their_class(kind: str) -> None:
    assert {name: kind_of(name) or "" for name in KINDS[kind].split()} == dict.fromkeys(
        KINDS[kind].split(), kind
    )


@pytest.mark.slow
def test_every_forward_of_a_module_is_a_phase_of_its_kind_within_the_step(hooked: Running) -> None:
    ended = hooked(
        None, sys.executable, "-c", SCRIPT, PYTHONPATH=str(ROOT), **{INSTRUMENT_ENV: "modules"}
    )

    assert ended.code == 0, ended.err
    found = Counter(path for path in ended.tree if path.startswith("generate > denoise > step"))
    step = "generate > denoise > step"
    # Two blocks with two attentions, one feed-forward and two norms each, three steps; one norm
    # at the beginning and one at the end.
    assert found == {
        step: 3,
        f"{step} > attention": 12,
        f"{step} > feed_forward": 6,
        f"{step} > norm": 18,
    }
    assert "generate > vae_decode > convolution" in ended.tree
    assert "generate > text_encode > attention" in ended.tree
    assert all(p.end_ns for p in ended.marked.phases)


@pytest.mark.slow
def test_modules_are_not_marked_unless_asked_for(hooked: Running) -> None:
    ended = hooked(None, sys.executable, "-c", SCRIPT, PYTHONPATH=str(ROOT))

    assert {path.split(" > ")[-1] for path in ended.tree} == {
        *("generate", "text_encode", "denoise", "step", "vae_decode", "postprocess")
    }
