"""Parts of a model as plain data, so that a model is listed and checked without its frameworks."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a model: a network, a tokenizer, a scheduler.

    `make` is the dotted name of what makes it, called with `arguments`; or with `config`, another
    dotted name, made of them. A network has a type of number, `dtype`, and as many `parameters` as
    the released one: what a test holds it to, and what its memory is worked out from. 0 parameters:
    a size of our own, which nobody released.
    """

    make: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: str | None = None
    dtype: str | None = None
    parameters: int = 0

    def __call__(self) -> Any:
        """The part itself. Imports its framework."""
        if self.config is None:
            return named(self.make)(**self.arguments)
        return named(self.make)(named(self.config)(**self.arguments))


def named(dotted: str) -> Any:
    """What a dotted name stands for: `package.module.attribute`. Annotations end here."""
    module, _, attribute = dotted.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
