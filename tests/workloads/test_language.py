"""Every shipped language model: the released size, and exact numbers of tokens from its tiny."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vidmeter
from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.meter.summarize import summarize
from vidmeter.workloads.base import load_workload, models
from vidmeter.workloads.language.model import LanguageModel
from vidmeter.workloads.language.operations import count_text
from vidmeter.workloads.language.text_generation import TextGeneration
from vidmeter.workloads.memory import FRAMEWORK_B
from vidmeter.workloads.weights import build, parameter_count

LANGUAGE_MODELS = {n: model for n, model in models().items() if isinstance(model, LanguageModel)}
ROOT = Path(vidmeter.__file__).parent.parent
SHORT = {"input_tokens": 12, "output_tokens": 7}

# TFLOP of prefill at 512 and 2048 tokens, GFLOP of the next step at either; worked out from the
# released configurations by another program. GPT-2's context ends at 1024.
TABLE: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "llama-3.1-8b": ((7.29, 30.8), (15.3, 16.1)),
    "llama-3.2-1b": ((1.03, 4.54), (2.54, 2.74)),
    "qwen2.5-7b": ((6.79, 28.4), (14.3, 15.0)),
    "qwen2.5-0.5b": ((0.39, 1.83), (1.03, 1.16)),
    "qwen3-8b": ((7.27, 30.9), (15.4, 16.3)),
    "mistral-7b": ((7.29, 30.8), (14.5, 15.3)),
    "gpt-2": ((0.097,), (0.27,)),
}


@pytest.fixture(scope="module", autouse=True)
def _frameworks() -> Iterator[None]:
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="the extra vidmeter[workloads] is not installed")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import torch

    torch.set_num_threads(1)
    yield


@pytest.fixture(params=LANGUAGE_MODELS.values(), ids=LANGUAGE_MODELS)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    found: LanguageModel = request.param
    return found


def tiny(name: str = "llama-3.1-8b", **settings: object) -> TextGeneration:
    workload = load_workload(f"{name}-tiny", {**SHORT, **settings})
    assert isinstance(workload, TextGeneration)
    return workload


def prepared(name: str = "llama-3.1-8b", **settings: object) -> TextGeneration:
    workload = tiny(name, **settings)
    workload.prepare("cpu")
    return workload


def test_every_network_has_the_parameters_of_the_released_one(model: LanguageModel) -> None:
    import torch

    network = build(model.part, dtype=torch.bfloat16, device="meta", seed=0)
    assert parameter_count(network) == model.part.parameters


def test_the_stated_shape_is_the_networks(model: LanguageModel) -> None:
    for stated in (model, model.shrunk()):
        config = build(stated.part, dtype=_float32(), device="meta", seed=0).config
        assert (
            config.vocab_size, config.hidden_size, config.num_hidden_layers,
            config.num_attention_heads, config.max_position_embeddings,
        ) == (
            stated.shape.vocabulary, stated.shape.hidden, stated.shape.layers,
            stated.shape.heads, stated.shape.positions,
        )  # fmt: skip


def test_a_tiny_model_writes_exactly_the_tokens_it_was_asked_for(
    model: LanguageModel, tmp_path: Path
) -> None:
    workload = prepared(model.name, batch=2)
    produced = workload.generate(0, tmp_path / "text")
    workload.close()

    assert produced.work == {"input_tokens": 24, "output_tokens": 14}
    assert produced.paths == (tmp_path / "text.json",)
    text = json.loads(produced.paths[0].read_text())
    assert [len(row) for row in text["input"]] == [12, 12]
    assert [len(row) for row in text["output"]] == [7, 7]
    written = {token for row in [*text["input"], *text["output"]] for token in row}
    assert written <= set(range(workload.model.shape.vocabulary))


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(tmp_path: Path) -> None:
    workload = prepared()
    first, again, other = (
        json.loads(workload.generate(seed, tmp_path / name).paths[0].read_text())
        for seed, name in ((3, "a"), (3, "b"), (4, "c"))
    )
    assert first == again
    assert first["input"] != other["input"]
    assert first["output"] != other["output"]


def test_every_prefix_of_an_answer_is_a_shorter_answer(tmp_path: Path) -> None:
    # What comes out is greedy decoding with a cache, not merely numbers of the right count.
    short, long = (
        json.loads(
            prepared(output_tokens=n, dtype="float32").generate(0, tmp_path / f"{n}")
            .paths[0].read_text()
        )
        for n in (4, 9)
    )  # fmt: skip
    assert long["output"][0][:4] == short["output"][0]


@pytest.mark.parametrize(
    ("settings", "attention"),
    [
        ({"attention": "eager"}, "eager"),
        ({"attention": "sdpa"}, "sdpa"),
        ({"cache": "static"}, "sdpa"),
        ({"cache": "static", "attention": "eager", "batch": 3}, "eager"),
    ],
    ids=str,
)
def test_a_setting_that_changes_how_it_runs_leaves_the_tokens_as_they_are(
    settings: dict[str, object], attention: str, tmp_path: Path
) -> None:
    plain = prepared(batch=settings.get("batch", 1)).generate(1, tmp_path / "plain")
    workload = prepared(**settings)
    produced = workload.generate(1, tmp_path / "changed")
    assert produced.paths[0].read_text() == plain.paths[0].read_text()
    assert workload.facts()["attention_implementation"] == attention
    assert workload.facts()["compiled"] is False


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_runs_in_the_type_of_number_it_is_asked_for(dtype: str, tmp_path: Path) -> None:
    workload = prepared(dtype=dtype)
    assert workload.generate(0, tmp_path / "text").work["output_tokens"] == 7
    network = workload.facts()["components"]["model"]
    assert network["parameters_by_dtype"] == {dtype: network["parameters"]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_writes_the_same_and_says_that_it_was_compiled(tmp_path: Path) -> None:
    plain = prepared().generate(0, tmp_path / "plain")
    workload = prepared(compile="model", cache="static")
    produced = workload.generate(0, tmp_path / "compiled")
    assert produced.paths[0].read_text() == plain.paths[0].read_text()
    assert workload.facts()["compiled"] is True


def test_facts_say_that_the_weights_are_random_and_where_it_ran() -> None:
    facts = prepared("qwen3-8b").facts()
    assert facts["weights"] == "random"
    assert facts["device"] == "cpu"
    assert set(facts["versions"]) == {"torch", "transformers"}
    assert facts["components"]["model"]["class"] == "Qwen3ForCausalLM"


def test_weights_of_a_folder_are_loaded_and_their_own_ends_and_moods_are_dropped(
    tmp_path: Path,
) -> None:
    built = prepared("qwen2.5-7b")
    random = built.generate(0, tmp_path / "random").paths[0].read_text()
    network = built._network
    second = json.loads(random)["output"][0][1]
    network.generation_config.eos_token_id = second
    network.generation_config.do_sample = True
    network.generation_config.temperature = 3.0
    network.save_pretrained(tmp_path / "checkpoint")

    loaded = prepared("qwen2.5-7b", weights=str(tmp_path / "checkpoint"))
    assert loaded.generate(0, tmp_path / "loaded").paths[0].read_text() == random
    facts = loaded.facts()
    assert (facts["weights"], facts["checkpoint"]) == ("path", str(tmp_path / "checkpoint"))
    assert len(facts["fingerprint"]) == 64
    assert facts["components"] == built.facts()["components"]

    with pytest.raises(WorkloadUnavailable, match=r"holds a Qwen2ForCausalLM, not a Llama"):
        prepared("llama-3.1-8b", weights=str(tmp_path / "checkpoint"))


def test_scores_that_are_not_finite_are_an_error_and_not_a_text(tmp_path: Path) -> None:
    workload = prepared()
    # One prompt of two, at one place early on: it must be seen at the end.
    workload._network.model.embed_tokens.weight[int(workload._prompts(0)[0, 3])] = float("nan")
    with pytest.raises(VidmeterError, match="not finite"):
        workload.generate(0, tmp_path / "text")
    assert not (tmp_path / "text.json").exists()


def test_fewer_tokens_than_asked_for_are_an_error(tmp_path: Path) -> None:
    workload = prepared()
    workload._network.generation_config.max_new_tokens = 3
    workload._network.generation_config.min_new_tokens = 3
    with pytest.raises(VidmeterError, match=r"returned \(1, 15\) tokens and not \(1, 19\)"):
        workload.generate(0, tmp_path / "text")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gpt-2", {"input_tokens": 1000, "output_tokens": 25}, "context has 1024 tokens.*1025"),
        ("llama-3.1-8b", {"compile": "model"}, "needs a cache of fixed length: state cache=static"),
        ("llama-3.1-8b", {"output_tokens": 0}, "output_tokens must be at least 1, not 0"),
        ("llama-3.1-8b", {"attention": "flush"}, "attention is one of default, sdpa, eager"),
        ("llama-3.1-8b", {"frames": 3}, "has no setting 'frames'; it has input_tokens"),
        ("llama-3.1-8b-tiny", {"weights": "hub"}, "was never released: .*or llama-3.1-8b$"),
        ("lama-3.1-8b", {}, "did you mean llama-3.1-8b"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_imported(
    name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(WorkloadUnavailable, match=message) as refused:
        load_workload(name, settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "flash_attention_2"}, "attention=flash_attention_2 doesn't work here"),
        ({"weights": "/does/not/exist"}, "is no folder"),
        ({"batch": 2**40}, r"needs about .* GB.* on cpu: batch=\d+ \(.* GB\) would fit"),
    ],
)
def test_what_does_not_work_here_is_refused_in_one_line(
    settings: dict[str, object], message: str
) -> None:
    import importlib.util

    if settings.get("attention") and importlib.util.find_spec("flash_attn"):
        pytest.skip("it works here")
    with pytest.raises(WorkloadUnavailable, match=message) as refused:
        prepared(**settings)
    assert "\n" not in str(refused.value)


def test_memory_is_weights_and_cache_and_what_grows_with_the_settings() -> None:
    def needed(**settings: object) -> int:
        return load_workload("llama-3.1-8b", settings).memory_b

    # 32 layers × 8 heads × 128 numbers × keys and values × 2 bytes, by hand.
    cache_b = 32 * 8 * 128 * 2 * 2
    assert needed(output_tokens=1256) - needed() == pytest.approx(1000 * cache_b, rel=0.05)
    assert needed() == pytest.approx(2 * 8_030_261_248 + 1.6e9, rel=0.01)
    assert needed(dtype="float32") == pytest.approx(2 * needed() - 1.5e9, rel=0.01)
    assert needed(batch=8) - needed() > 7 * 768 * cache_b
    # 32 heads × 8192² weights of attention, in two types of number.
    assert needed(input_tokens=8192, attention="eager") - needed(input_tokens=8192) > 32 * 8192**2


@pytest.mark.parametrize(
    "settings",
    [{"batch": 8}, {"input_tokens": 4096}, {"input_tokens": 2048, "attention": "eager"}],
    ids=str,
)
def test_memory_covers_the_peak_of_a_run_and_little_more(settings: dict[str, object]) -> None:
    workload = load_workload("llama-3.2-1b", settings)
    peak_b = _peak_b(workload.settings)
    stated_b = workload.memory_b - FRAMEWORK_B - 2 * 1_235_814_400
    assert peak_b < stated_b < 1.5 * peak_b


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name in TABLE for at in range(len(TABLE[name][0]))]
)
def test_operations_of_prefill_and_of_a_step_are_those_of_the_table(name: str, at: int) -> None:
    found, prompt = models()[name], (512, 2048)[at]
    asked = {"input_tokens": prompt, "output_tokens": 2}
    counted = count_text(found, load_workload(name, asked).settings)
    prefill, step = (column[at] for column in TABLE[name])
    # The table has three digits, two for small numbers.
    assert counted.prefill / 1e12 == pytest.approx(prefill, rel=5e-3)
    assert counted.decode / 1e9 == pytest.approx(step, rel=2e-2)
    assert counted.total == counted.prefill + counted.decode


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("how", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama-3.2-1b", "gpt-2"])
def test_what_is_counted_is_what_a_real_run_does(
    name: str, cache: str, how: str, tmp_path: Path
) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(q, k, v)

    workload = prepared(name, cache=cache, attention=how, batch=2, output_tokens=9)
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=missing) as counter:
        workload.generate(0, tmp_path / "text")
    counted = count_text(workload.model, workload.settings)
    assert counted.runs == 8
    assert counted.total == counter.get_total_flops()


@pytest.mark.slow
def test_a_metered_run_states_joules_per_token_of_either_sort_once(tmp_path: Path) -> None:
    meter = [sys.executable, "-m", "vidmeter", "run", "-q", "--sensor", "fake", "-o", "r.vidmeter"]
    job = [sys.executable, "-m", "vidmeter.workloads.harness", "llama-3.1-8b-tiny"]
    more = ["--device", "cpu", "--warmup", "1", "--repeats", "2", "--out", "texts"]
    subprocess.run(
        [*meter, "--", *job, *more],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=120,
    )
    summary = summarize(vidmeter.load(tmp_path / "r.vidmeter"))

    # What the hook saw in the warm-up and in the repeats isn't added to what the harness states.
    assert summary.work.units == {"input_tokens": 2 * 512, "output_tokens": 2 * 256}
    energy_j = summary.total.energy_j
    assert energy_j is not None
    assert summary.per_unit["j_per_input_token"].value == pytest.approx(energy_j / 1024)
    assert summary.per_unit["j_per_output_token"].value == pytest.approx(energy_j / 512)
    units = {group.path: group.work.units for group in summary.phases}
    assert units["repeat",] == {"input_tokens": 1024, "output_tokens": 512}
    assert units["repeat", "generate", "prefill"] == {"input_tokens": 1024}
    assert units["repeat", "generate", "decode"] == {"output_tokens": 512}


def _peak_b(settings: Any) -> int:
    """The most that tensors of one run over the prompt hold at once, beside the weights."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Storages(TorchDispatchMode):
        def __init__(self, known: set[int]) -> None:
            super().__init__()
            self.known, self.live, self.peak = known, 0, 0

        def freed(self, key: int, size: int) -> None:
            self.known.discard(key)
            self.live -= size

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            for storage in (
                x.untyped_storage() for x in tree_leaves(out) if isinstance(x, torch.Tensor)
            ):
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.live += storage.nbytes()
                    weakref.finalize(storage, self.freed, storage._cdata, storage.nbytes())
            self.peak = max(self.peak, self.live)
            return out

    def made() -> Any:
        part = models()["llama-3.2-1b"].part
        attention = "eager" if settings["attention"] == "eager" else "sdpa"
        torch.set_default_dtype(torch.bfloat16)
        try:
            network = part().eval()
        finally:
            torch.set_default_dtype(torch.float32)
        network.set_attn_implementation(attention)
        return network

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        network = made()
        ids = torch.zeros(settings["batch"], settings["input_tokens"], dtype=torch.long)
        tensors = [*network.parameters(), *network.buffers()]
        with Storages({tensor.untyped_storage()._cdata for tensor in tensors}) as storages:
            network(input_ids=ids, use_cache=True, logits_to_keep=1)
    return storages.peak


def _float32() -> Any:
    import torch

    return torch.float32
