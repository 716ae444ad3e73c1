"""Language models: prefill, decode, and the tokens of both."""

import pytest

from vidmeter.meter.work import work_done

from .conftest import ROOT, Running

pytestmark = pytest.mark.slow

MODELS = """
import copy
import torch
from transformers import (
    LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration, WhisperConfig,
    WhisperForConditionalGeneration,
)
torch.set_num_threads(1)
torch.manual_seed(0)
llama = LlamaForCausalLM(LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, vocab_size=200, eos_token_id=None, pad_token_id=0)).eval()
ids = torch.randint(1, 200, (2, 7))
llama.generate(ids, max_new_tokens=11, do_sample=False)
llama.generate(input_ids=ids[:1], max_new_tokens=4, num_beams=3, return_dict_in_generate=True)
llama.generate(inputs_embeds=llama.get_input_embeddings()(ids), max_new_tokens=5, do_sample=False)
t5 = T5ForConditionalGeneration(T5Config(
    vocab_size=200, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
    decoder_start_token_id=0, eos_token_id=None)).eval()
t5.generate(ids, max_new_tokens=6, do_sample=False)
try:
    llama.generate(ids, max_new_tokens=-3)
except ValueError:
    print("refused")
assert not llama._forward_hooks and not llama._forward_pre_hooks
"""

WAYS = """
def by_hand(model, input_ids, logits_processor, stopping_criteria, generation_config, **more):
    for _ in range(4):
        new = model(input_ids).logits[:, -1:].argmax(-1)
        input_ids = torch.cat([input_ids, new], 1)
    return input_ids

def by_another(model, input_ids, **more):
    return model.generate(input_ids, max_new_tokens=4, do_sample=False)

one = {"inputs": ids[:1], "max_new_tokens": 8, "do_sample": False}
llama.generate(**one, assistant_model=copy.deepcopy(llama))
llama.generate(**one, prompt_lookup_num_tokens=3)
llama.generate(ids, max_new_tokens=4, do_sample=False, prefill_chunk_size=3)
llama.generate(ids, max_new_tokens=3, do_sample=True, num_return_sequences=2)
llama.generate(ids, max_new_tokens=4, custom_generate=by_hand)
llama.generate(ids, max_new_tokens=4, custom_generate=by_another)
torch.manual_seed(0)
t5 = T5ForConditionalGeneration(T5Config(
    vocab_size=200, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
    decoder_start_token_id=0, eos_token_id=None)).eval()
begun = torch.tensor([[0, 5, 6], [0, 7, 8]])
t5.generate(ids, decoder_input_ids=begun, max_new_tokens=6, do_sample=False)
whisper = WhisperForConditionalGeneration(WhisperConfig(
    vocab_size=100, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=8,
    max_source_positions=50, max_target_positions=40, decoder_start_token_id=1, pad_token_id=0,
    bos_token_id=1, eos_token_id=2, begin_suppress_tokens=None)).eval()
spoken = whisper.generate(torch.ones(1, 8, 100), max_new_tokens=5, min_new_tokens=5)
print(spoken.shape[1])
assert not llama._forward_hooks and not llama._forward_pre_hooks
"""


def test_generate_is_prefill_and_decode_with_the_tokens_of_both(hooked: Running) -> None:
    ended = hooked(MODELS)

    assert (ended.code, ended.out) == (0, "refused\n"), ended.err
    calls = [p for p in ended.marked.phases if p.name == "generate"]
    tokens = [(p.facts.get("input_tokens"), p.facts.get("output_tokens")) for p in calls]
    assert tokens[:4] == [(14, 22), (7, 4), (14, 10), (14, 12)]
    assert [p.facts["class"] for p in calls] == [
        "LlamaForCausalLM", "LlamaForCausalLM", "LlamaForCausalLM", "T5ForConditionalGeneration",
        "LlamaForCausalLM",
    ]  # fmt: skip
    assert [p.error for p in calls] == [None, None, None, None, "ValueError"]
    assert ended.tree[:6] == ["generate", "generate > prefill", "generate > decode"] * 2
    assert ended.tree[-2:] == ["generate", "generate > prefill"]
    assert all(p.end_ns for p in ended.marked.phases)


def test_every_way_of_generating_has_both_parts_and_the_tokens_of_its_answer(
    hooked: Running,
) -> None:
    ended = hooked(MODELS.partition("llama.generate")[0] + WAYS)

    assert ended.code == 0, ended.err
    calls = [p for p in ended.marked.phases if p.name == "generate" and p.parent is None]
    counts = [(p.facts.get("input_tokens"), p.facts["output_tokens"]) for p in calls]
    assert counts == [
        (7, 8), (7, 8), (14, 8), (14, 12), (14, 8), (14, 8), (14, 12), (None, int(ended.out)),
    ]  # fmt: skip
    # What a model drafts for another is no work, and sound has no tokens.
    assert work_done(ended.marked.work).units == {
        "input_tokens": sum(given or 0 for given, _ in counts),
        "output_tokens": sum(made for _, made in counts),
    }
    parts = [path for path in ended.tree if path.count(" > ") == 1]
    assert parts == ["generate > prefill", "generate > decode"] * len(calls)


def test_work_counts_tokens_where_they_were_made(hooked: Running) -> None:
    ended = hooked(MODELS)

    names = {p.id: p.name for p in ended.marked.phases}
    first = [(w.unit, w.count, names[w.phase or ""]) for w in ended.marked.work][:2]
    assert first == [("input_tokens", 14, "prefill"), ("output_tokens", 22, "decode")]


def test_tokens_that_the_program_states_are_not_added_to_those_that_were_seen(
    hooked: Running,
) -> None:
    stated = "import vidmeter\nwith vidmeter.phase('batch'):\n"
    stated += "    llama.generate(ids, max_new_tokens=3, do_sample=False)\n"
    stated += "    vidmeter.work(output_tokens=5)\n"
    ended = hooked(MODELS.partition("llama.generate")[0] + stated, PYTHONPATH=str(ROOT))

    # Seen were 2 × 3 tokens, and nothing is stated of those before them.
    assert work_done(ended.marked.work).units == {"input_tokens": 14, "output_tokens": 5}


def test_prefill_ends_before_decode_begins_and_both_lie_in_the_call(hooked: Running) -> None:
    ended = hooked(MODELS)

    call, prefill, decode = sorted(
        (p for p in ended.marked.phases if p.name != "import"), key=lambda p: p.start_ns
    )[:3]
    inner = [prefill.start_ns, prefill.end_ns, decode.start_ns, decode.end_ns]
    edges = [call.start_ns, *inner, call.end_ns]
    assert edges == sorted(edges, key=lambda t: t or 0)
