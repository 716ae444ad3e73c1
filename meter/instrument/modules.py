"""Deep mode: the modules within a model as phases, by their kind.

Attention, feed-forward, norms and convolutions are told by the names of their classes, in diffusers
and transformers alike. The outermost of a kind counts: what is inside an attention layer is
attention. Each forward of each of them is marked, which costs time (`benchmarks/overhead` shows how
much), so this is off unless `vidmeter run --profile modules` asks for it.
"""

import os

from .guard import Phase, guarded
from .hook import INSTRUMENT_ENV

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_KINDS = (
    ("attention", ("attention", "attn")),
    ("feed_forward", ("feedforward", "mlp", "layerff", "densegatedact", "ffn")),
    ("norm", ("norm",)),
    ("convolution", ("conv", "upsample", "downsample")),
)
"""Parts of class names, in small letters, that tell the kind; the first that fits."""
_CONTAINERS = (
    *("block", "processor", "model", "stack", "encoder", "decoder", "list", "sequential"),
    *("transformer", "unet", "autoencoder", "forcausallm", "forconditionalgeneration"),
)
"""Parts of class names of what holds others, and may be named after them."""
_BLOCKS_OF_ONE = ("attentionblock", "attnblock")
"""Blocks that are nothing but what they are named after."""


def wanted() -> bool:
    """Whether this process was told to mark modules."""
    return os.environ.get(INSTRUMENT_ENV) == "modules"


def kind_of(class_name: str) -> "str | None":
    """The kind of a module by the name of its class; None for containers and all others."""
    name = class_name.lower()
    if any(part in name for part in _CONTAINERS) and not name.endswith(_BLOCKS_OF_ONE):
        return None
    return next((kind for kind, parts in _KINDS if any(p in name for p in parts)), None)


def watch(model: "Any", mine: "Callable[[], bool]") -> "list[Callable[[], None]]":
    """Mark the forwards of a model's modules where the thread that runs them is `mine`.

    Returns what undoes it.

    What is compiled is one graph, in which modules can't be told apart, and is left alone.
    """
    undo: list[Callable[[], None]] = []
    for kind, module in _outermost(model):
        undo += _hooked(module, kind, mine)
    return undo


def _outermost(model: "Any") -> "Iterator[tuple[str, Any]]":
    """The outermost modules of a kind, with it."""
    name = type(model).__name__
    if name == "OptimizedModule" or getattr(model, "_compiled_call_impl", None) is not None:
        return
    kind = kind_of(name)
    if kind is not None:
        yield kind, model
        return
    for child in model.children():
        yield from _outermost(child)


def _hooked(module: "Any", kind: str, mine: "Callable[[], bool]") -> "list[Callable[[], None]]":
    open_phases: list[Phase] = []

    def begin(*_: "Any") -> None:
        if mine():
            guarded("modules", lambda: open_phases.append(Phase(kind)))

    def finish(*_: "Any") -> None:
        if open_phases and mine():
            guarded("modules", open_phases.pop().end)

    hooks = [
        module.register_forward_pre_hook(begin),
        module.register_forward_hook(finish, always_call=True),
    ]
    return [hook.remove for hook in hooks]
