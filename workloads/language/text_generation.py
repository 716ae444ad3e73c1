"""Runs any language model: builds or loads it, writes text, says what was used.

A prompt is a row of numbers drawn from the repeat's seed, an answer the likeliest tokens after it,
exactly as many as were asked for: nothing ends it earlier. The scores that the last token was taken
from are kept, and looked at once generating is over: what is not finite anywhere before spreads to
them through attention.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import vidmeter
from vidmeter.meter.errors import VidmeterError, WorkloadUnavailable
from vidmeter.workloads.base import TINY, Parameter, Produced, Setting, require, settle
from vidmeter.workloads.checkpoints import RANDOM, check_weights, load_weights
from vidmeter.workloads.facts import networks, require_class, surroundings
from vidmeter.workloads.language.memory import needed_b, smaller
from vidmeter.workloads.language.model import LanguageModel
from vidmeter.workloads.memory import BYTES, check_memory
from vidmeter.workloads.parts import named
from vidmeter.workloads.placing import choose_device, free_b
from vidmeter.workloads.weights import build, release

PACKAGES = ("torch", "transformers")
WEIGHTS_SEED = 0
ATTENTION = ("default", "sdpa", "eager", "flash_attention_2")


def parameters_of(model: LanguageModel) -> Mapping[str, Parameter]:
    """The settings that a model's workload has."""
    return {
        "input_tokens": Parameter(512, "tokens of a prompt", minimum=1),
        "output_tokens": Parameter(256, "tokens of an answer, exactly", minimum=1),
        "batch": Parameter(1, "prompts answered at once", minimum=1),
        "dtype": Parameter(
            str(model.part.dtype), "type of the network's numbers", choices=tuple(BYTES)
        ),
        "attention": Parameter(
            "default", "implementation of attention in transformers", choices=ATTENTION
        ),
        "cache": Parameter(
            "dynamic",
            "keys and values that grow with each token, or have their full length from the start",
            choices=("dynamic", "static"),
        ),
        "compile": Parameter(
            "none",
            "torch.compile of the steps of decode, as transformers does it with cache=static",
            choices=("none", "model"),
        ),
        "seed": Parameter(0, "seed of the first repeat; each repeat takes the next", minimum=0),
        "weights": Parameter(RANDOM, "random, hub, or the folder of a checkpoint"),
    }


class TextGeneration:
    """A causal language model of transformers."""

    packages = PACKAGES

    def __init__(self, model: LanguageModel, stated: Mapping[str, object]) -> None:
        """Raises WorkloadUnavailable for a setting it hasn't, or a value it can't take."""
        self.model = model
        self.name = model.name
        self.parameters = parameters_of(model)
        self.settings: Mapping[str, Setting] = settle(model.name, self.parameters, stated)
        self.devices = ("cuda", "cpu") if model.is_tiny else ("cuda",)
        self._network: Any = None
        self._facts: dict[str, Any] = {}
        tokens = self._number("input_tokens") + self._number("output_tokens")
        if tokens > model.shape.positions:
            raise WorkloadUnavailable(
                f"{model.name}: its context has {model.shape.positions} tokens, and input_tokens "
                f"and output_tokens are {tokens} together: take fewer of either"
            )
        released = model.name.removesuffix(TINY) if model.is_tiny else None
        check_weights(model.name, str(self.settings["weights"]), released=released)
        if self.settings["compile"] == "model" and self.settings["cache"] != "static":
            raise WorkloadUnavailable(
                f"{model.name}: compile=model needs a cache of fixed length: state cache=static too"
            )

    @property
    def description(self) -> str:
        """One line for a person."""
        written, read = self._number("output_tokens"), self._number("input_tokens")
        return f"{self.model.title}: {written} tokens after a prompt of {read}"

    @property
    def memory_b(self) -> int:
        """Free memory of the device that it needs with its settings, estimated."""
        return needed_b(self.model, self.settings)

    def prepare(self, device: str) -> None:
        """Build or load it on `device`. Raises WorkloadUnavailable if it can't run there."""
        place = self.check(device)
        named(self.model.part.make)  # its imports are no part of building
        where = str(self.settings["weights"])
        try:
            if where == RANDOM:
                network, origin = self._built(place), {"weights": RANDOM}
            else:
                network, origin = load_weights(
                    self.name, self.model.repository, where, self._loaded
                )
        except ImportError as error:
            raise WorkloadUnavailable(
                f"{self.name}: attention={self.settings['attention']} doesn't work here: "
                f"{str(error).splitlines()[0]}"
            ) from error
        self._network = network.eval().requires_grad_(False).to(place)
        self._network.generation_config = self._asked()
        self._facts = {
            **origin,
            **networks({"model": self._network}, {"model": self.model.part}, "model"),
            "attention_implementation": self._network.config._attn_implementation,
            **surroundings(place, PACKAGES),
        }

    def check(self, device: str) -> str:
        """The device it would run on. Raises WorkloadUnavailable if it can't run there."""
        require(self.name, self.packages)
        place = choose_device(self.name, device, meant_for=self.devices)
        less = smaller(self.model, self.settings, free_b(place))
        check_memory(self.name, place, self.memory_b, less)
        return place

    def operations(self) -> Mapping[str, float]:
        """The operations of a repeat, by phase and in all. Imports the frameworks."""
        from vidmeter.workloads.language.operations import count_text

        counted = count_text(self.model, self.settings)
        return {**asdict(counted), "total": counted.total}

    def generate(self, seed: int, out: Path) -> Produced:
        """Answer the prompts of a repeat and write all token numbers; the same seed, the same ones.

        `out` is the file's path without its suffix.
        """
        import torch

        if self._network is None:
            raise RuntimeError(f"{self.name} is not prepared")
        ids = self._prompts(seed).to(self._network.device)
        last = _LastScores()
        tokens = self._network.generate(
            ids, attention_mask=torch.ones_like(ids), logits_processor=[last]
        )
        self._facts["compiled"] = hasattr(self._network, "_compiled_call")
        with vidmeter.phase("export"):
            self._check(tokens, last.scores, ids)
            path = out.with_name(f"{out.name}.json")
            read = ids.shape[1]
            text = {"input": tokens[:, :read].tolist(), "output": tokens[:, read:].tolist()}
            path.write_text(json.dumps(text) + "\n", "utf-8")
        return Produced(
            (path,),
            {"input_tokens": ids.numel(), "output_tokens": tokens.numel() - ids.numel()},
        )

    def facts(self) -> Mapping[str, Any]:
        """What was really used, as plain JSON values; known after `prepare`."""
        return self._facts

    def close(self) -> None:
        """Let go of the network, and of the memory that torch keeps for later."""
        if self._network is not None:
            self._network = None
            release()

    def _number(self, name: str) -> int:
        return int(self.settings[name])

    def _prompts(self, seed: int) -> Any:
        import torch

        # Drawn on the CPU, they are the same for every device.
        return torch.randint(
            self.model.shape.vocabulary,
            (self._number("batch"), self._number("input_tokens")),
            generator=torch.Generator("cpu").manual_seed(seed),
        )

    def _check(self, tokens: Any, scores: Any, ids: Any) -> None:
        wanted = (ids.shape[0], ids.shape[1] + self._number("output_tokens"))
        if tuple(tokens.shape) != wanted:
            raise VidmeterError(
                f"{self.name} returned {tuple(tokens.shape)} tokens and not {wanted}: this version "
                "of transformers generates otherwise than it was asked to"
            )
        if not bool(scores.isfinite().all()):
            raise VidmeterError(
                f"{self.name} made scores that are not finite, and nothing is written: take "
                "dtype=float32, or weights that fit the model"
            )

    def _asked(self) -> Any:
        """How to generate: greedily, to the exact length. A checkpoint's own wishes are dropped."""
        written, cache = self._number("output_tokens"), str(self.settings["cache"])
        asked = named("transformers.GenerationConfig")(
            do_sample=False,
            min_new_tokens=written,
            max_new_tokens=written,
            eos_token_id=None,
            pad_token_id=0,
            cache_implementation=None if cache == "dynamic" else cache,
            # transformers compiles by itself for a GPU as soon as the cache is static.
            disable_compile=self.settings["compile"] == "none",
        )
        if self.settings["compile"] == "model":
            asked.compile_config = named("transformers.CompileConfig")()
            asked.compile_config._compile_all_devices = True
        return asked

    def _attention(self) -> dict[str, str]:
        attention = str(self.settings["attention"])
        return {} if attention == "default" else {"attn_implementation": attention}

    def _built(self, place: str) -> Any:
        import torch

        part = self.model.part
        part = replace(part, arguments={**part.arguments, **self._attention()})
        with vidmeter.phase("model"):
            number = getattr(torch, str(self.settings["dtype"]))
            return build(part, dtype=number, device=place, seed=WEIGHTS_SEED)

    def _loaded(self, place: str) -> Any:
        import torch

        network = named("transformers.AutoModelForCausalLM").from_pretrained(
            place, torch_dtype=getattr(torch, str(self.settings["dtype"])), **self._attention()
        )
        require_class(network, self.model.part)
        return network


class _LastScores:
    """Keeps the scores of the last token. Looking at them at once would make the GPU wait."""

    scores: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """A step of transformers' list of processors; changes nothing."""
        self.scores = scores
        return scores
