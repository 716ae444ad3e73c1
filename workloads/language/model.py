"""What a language model is, as plain data: enough to build it, run it, and count its work.

A family's file holds its models and nothing else. `TextGeneration` (text_generation) runs any of
them. A network is stated by its `Shape` once; its configuration, its memory and the length of its
context follow from that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vidmeter.workloads.parts import Part

if TYPE_CHECKING:
    from vidmeter.workloads.language.text_generation import TextGeneration


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder-only transformer; `positions` is the longest context it takes."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    positions: int

    @property
    def head_dim(self) -> int:
        """How wide a head of attention is."""
        return self.hidden // self.heads

    @property
    def kv_numbers(self) -> int:
        """How many numbers the cache of keys and values holds for each token."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    def settings(self) -> Mapping[str, int]:
        """It, in the words of most of transformers' configurations."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.positions,
        }


SMALL = Shape(
    vocabulary=384,
    hidden=128,
    intermediate=256,
    layers=4,
    heads=8,
    kv_heads=2,
    positions=4096,
)
"""What a model becomes when it is shrunk to run in seconds on two CPU cores."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model that transformers has a class for.

    `part` is the network, and `tiny` the same class with the sizes of `tiny_shape`. Its words are
    numbers below `shape.vocabulary`: no tokenizer is needed. `source` says where its configuration
    was read.
    """

    name: str
    title: str
    repository: str
    part: Part
    shape: Shape
    tiny: Part
    source: str
    tiny_shape: Shape = SMALL
    is_tiny: bool = False

    def shrunk(self) -> "LanguageModel":
        """The same network, small: named `NAME-tiny`."""
        return replace(
            self,
            name=f"{self.name}-tiny",
            title=f"{self.title}, tiny",
            part=self.tiny,
            shape=self.tiny_shape,
            is_tiny=True,
        )

    def workload(self, settings: Mapping[str, object]) -> "TextGeneration":
        """The job of writing text with it. Raises WorkloadUnavailable for a bad setting."""
        from vidmeter.workloads.language.text_generation import TextGeneration

        return TextGeneration(self, settings)


def causal(kind: str, shape: Shape, *, parameters: int, **more: Any) -> tuple[Part, Part]:
    """The network `transformers.{kind}ForCausalLM` of that shape, and the small one of its class.

    `more` are arguments of the configuration beside the sizes, which both have.
    """
    make, config = f"transformers.{kind}ForCausalLM", f"transformers.{kind}Config"
    released, small = ({**sizes.settings(), **more} for sizes in (shape, SMALL))
    return (
        Part(make, released, config=config, dtype="bfloat16", parameters=parameters),
        Part(make, small, config=config, dtype="float32"),
    )
