"""Marks language models: `generate`, and in it prefill and decode, with the tokens of both.

Prefill is what happens until the model has first run over the prompt; decode is the rest. Counted
are positions, from shapes: the token values stay where they are, on the GPU. In a batch, positions
behind an answer's end that were filled up count as well, as they cost the same. What the program
itself says of its tokens stands over what is counted here.
"""

from threading import local

from .. import marks
from . import modules
from .guard import Phase, around, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_thread = local()


def watch(module: "ModuleType") -> None:
    """Mark every `generate` of transformers."""
    mixin = module.GenerationMixin
    mixin.generate = around(mixin.generate, "generate", _begin, _end)
    if hasattr(mixin, "_prefill"):
        mixin._prefill = around(mixin._prefill, "prefill", _prefilling, _prefilled)


class _Generation:
    """One call of `generate`."""

    def __init__(self, model: "Any", inputs: "Any") -> None:
        self.model = model
        self.shape = _shape(inputs)
        self.outer = getattr(_thread, "call", None)
        self.undo: list[Callable[[], None]] = []
        facts: dict[str, Any] = {"class": type(model).__name__}
        dtype = str(getattr(model, "dtype", "")).removeprefix("torch.")
        facts |= {"dtype": dtype} if dtype else {}
        self.phase = Phase("generate", **facts)
        self.part: Phase | None = Phase("prefill")
        self.prefilled = False
        if not hasattr(type(model), "_prefill"):
            hook = model.register_forward_hook(lambda *_: guarded("generate", self.first_forward))
            self.undo.append(hook.remove)
        if modules.wanted():
            self.undo += modules.watch(model)
        _thread.call = self

    def first_forward(self) -> None:
        """The model has run over the prompt: from now on it decodes."""
        if self.prefilled:
            return
        self.prefilled = True
        if self.part is not None:
            if self.shape:
                marks.work("input_tokens", self.shape[0] * self.shape[1], origin="pipeline")
            self.part.end()
        self.part = Phase("decode")

    def end(self, result: "Any", error: "BaseException | None") -> None:
        """Close what is open, and say how many tokens there are."""
        _thread.call = self.outer
        for undo in self.undo:
            undo()
        facts: dict[str, Any] = {}
        made = _shape(getattr(result, "sequences", result))
        if error is None and made:
            encoder_decoder = getattr(self.model.config, "is_encoder_decoder", False)
            before = 1 if encoder_decoder else (self.shape[1] if self.shape else 1)
            tokens = made[0] * (made[1] - before)
            facts = {"batch": made[0], "output_tokens": tokens}
            if self.shape:
                facts["input_tokens"] = self.shape[0] * self.shape[1]
            if self.prefilled and tokens > 0:
                marks.work("output_tokens", tokens, origin="pipeline")
        if self.part is not None:
            self.part.end(error)
        self.phase.end(error, **facts)


def _begin(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> _Generation:
    inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
    for name in ("input_ids", "inputs_embeds", "input_features"):
        inputs = kwargs.get(name) if inputs is None else inputs
    return _Generation(args[0], inputs)


def _end(call: _Generation, result: "Any", error: "BaseException | None") -> None:
    call.end(result, error)


def _prefilling(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "_Generation | None":
    call = getattr(_thread, "call", None)
    return call if call is not None and call.model is args[0] else None


def _prefilled(call: _Generation, result: "Any", error: "BaseException | None") -> None:
    if error is None:
        call.first_forward()


def _shape(tensor: "Any") -> "tuple[int, ...] | None":
    """Batch and length of what goes in or comes out."""
    shape = getattr(tensor, "shape", None)
    if shape is None or len(shape) < 2:
        return None
    return int(shape[0]), int(shape[1])
