"""Marks language models: `generate`, and in it prefill and decode, with the tokens of both.

Prefill is what happens until the model has first run over the prompt; decode is the rest. Counted
are positions, from shapes: the token values stay where they are, on the GPU. In a batch, positions
behind an answer's end that were filled up count as well, as they cost the same. What a model makes
that only drafts for another is no work. What the program itself says of its tokens stands over what
is counted here.
"""

from threading import local

from .. import marks
from . import modules, watching
from .guard import Phase, around, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

_thread = local()
"""Of each thread: the `generate` that it is in, the innermost of several."""


def watch(module: "ModuleType") -> None:
    """Mark every `generate` of transformers."""
    mixin = module.GenerationMixin
    mixin.generate = around(mixin.generate, "generate", _begin, _end)
    if hasattr(mixin, "_prefill"):
        mixin._prefill = around(mixin._prefill, "prefill", _prefilling, _prefilled)


class _Generation:
    """One call of `generate`; within another, where it drafts, it has neither parts nor work."""

    def __init__(self, model: "Any", given: "Mapping[str, Any]") -> None:
        self.model = model
        self._outer: _Generation | None = getattr(_thread, "call", None)
        self._prompt = _prompt(model, given)
        self._before = _positions_before(model, given)
        self._undo: list[Callable[[], None]] = []
        self._unwatch: Callable[[], None] | None = None
        facts: dict[str, Any] = {"class": type(model).__name__}
        dtype = str(getattr(model, "dtype", "")).removeprefix("torch.")
        facts |= {"dtype": dtype} if dtype else {}
        self._phase = Phase("generate", **facts)
        self._part: Phase | None = None
        self._prefilled = False
        if self._outer is None:
            self._part = Phase("prefill")
            guarded("generate", self._watch)
        _thread.call = self

    def _watch(self) -> None:
        self._unwatch = watching.forwards(self.model, self._is_innermost, after=self.prefilled)
        if modules.wanted():
            self._undo += modules.watch(self.model, self._is_innermost)

    def _is_innermost(self) -> bool:
        return getattr(_thread, "call", None) is self

    def prefilling(self, length: "int | None") -> None:
        """The model will run over the prompt, in pieces perhaps, with `length` positions before."""
        self._forwards_are_known()
        if length is not None:
            self._before = length

    def prefilled(self) -> None:
        """The model has run over the prompt: from now on it decodes."""
        self._forwards_are_known()
        if self._prefilled or self._part is None:
            return
        self._prefilled = True
        if self._prompt:
            marks.work("input_tokens", self._prompt[0] * self._prompt[1], origin="pipeline")
        self._part.end()
        self._part = Phase("decode")

    def _forwards_are_known(self) -> None:
        """Take back the hook on the model: it may be compiled later, with whatever hooks it has."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def end(self, result: "Any", error: "BaseException | None") -> None:
        """Close what is open, and say how many tokens there are."""
        _thread.call = self._outer
        guarded("generate", self._forwards_are_known)
        for undo in self._undo:
            guarded("generate", undo)
        self._undo.clear()
        facts = guarded("generate", self._tokens, result) if error is None else None
        if self._part is not None:
            self._part.end(error)
        self._phase.end(error, **(facts or {}))

    def _tokens(self, result: "Any") -> "dict[str, Any]":
        made = _shape(getattr(result, "sequences", result))
        if made is None:
            return {}
        facts = {"batch": made[0], "output_tokens": made[0] * max(0, made[1] - self._before)}
        if self._prompt:
            facts["input_tokens"] = self._prompt[0] * self._prompt[1]
        if self._prefilled and facts["output_tokens"]:
            marks.work("output_tokens", facts["output_tokens"], origin="pipeline")
        return facts


def _begin(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "_Generation | None":
    call = getattr(_thread, "call", None)
    if call is not None and call.model is args[0]:
        return None  # a way of generating that hands over to another
    return _Generation(args[0], {**kwargs, "inputs": args[1]} if len(args) > 1 else kwargs)


def _end(call: _Generation, result: "Any", error: "BaseException | None") -> None:
    call.end(result, error)


def _prefilling(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "_Generation | None":
    call: _Generation | None = getattr(_thread, "call", None)
    if call is None or call.model is not args[0]:
        return None
    ids = _shape(args[1] if len(args) > 1 else kwargs.get("input_ids"))
    call.prefilling(ids[1] if ids else None)
    return call


def _prefilled(call: _Generation, result: "Any", error: "BaseException | None") -> None:
    if error is None:
        call.prefilled()


def _prompt(model: "Any", given: "Mapping[str, Any]") -> "tuple[int, int] | None":
    """Batch and length of the prompt; None where it isn't text."""
    if given.get("inputs") is not None and _takes_ids(model):
        return _shape(given["inputs"])
    return next((s for n in ("input_ids", "inputs_embeds") if (s := _shape(given.get(n)))), None)


def _positions_before(model: "Any", given: "Mapping[str, Any]") -> int:
    """How many positions of the answer stood there before, where the prefill doesn't tell."""
    if getattr(model.config, "is_encoder_decoder", False):
        begun = _shape(given.get("decoder_input_ids"))
        return begun[1] if begun else 1
    ids = given.get("inputs") if _takes_ids(model) else None
    shape = _shape(ids) or _shape(given.get("input_ids"))
    if shape is not None:
        return shape[1]
    return 0 if given.get("inputs_embeds") is not None else 1


def _takes_ids(model: "Any") -> bool:
    return str(getattr(model, "main_input_name", "input_ids")) == "input_ids"


def _shape(tensor: "Any") -> "tuple[int, int] | None":
    """Batch and length of what goes in or comes out."""
    shape = getattr(tensor, "shape", None)
    if shape is None or len(shape) < 2:
        return None
    return int(shape[0]), int(shape[1])
