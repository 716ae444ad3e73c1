"""NVTX both ways: ranges that the program marks become phases, and our phases become ranges.

Programs push and pop on a stack of each thread in each domain, or start and end by number, through
torch or the package nvtx. Ours are started and ended by number, so they never meet a stack of the
program's. The `Domain` objects of nvtx are left alone: without a profiler they don't know a name.
"""

import functools
from threading import local

from .. import marks
from .guard import Phase, around, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_thread = local()
_by_number: "dict[str, list[str | None]]" = {}
"""Phases of ranges by their number. Without a profiler nvtx gives every range the same: None."""


def of_torch(module: "ModuleType") -> None:
    """The functions of torch.cuda.nvtx."""
    marks.mirror(module.range_start, module.range_end)
    _stacked(module, "range_push", "range_pop", lambda *args, **kwargs: "torch")
    _numbered(module, "range_start", "range_end")


def of_nvtx(module: "ModuleType") -> None:
    """The functions of the package nvtx, and its `annotate`."""
    start = module.start_range
    marks.mirror(lambda name: start(name, domain="vidmeter"), module.end_range)
    _stacked(module, "push_range", "pop_range", _domain_of_nvtx)
    _numbered(module, "start_range", "end_range")
    _annotated(module.annotate)


class _Pushed:
    """A range on a stack: its domain, its phase, and the phase that was current before."""

    def __init__(self, domain: str, name: str) -> None:
        self.domain = domain
        self.phase = marks.begin(name, facts={"nvtx": True}, mirrored=False)
        self.outer = marks.enter(self.phase)


def _stack() -> "list[_Pushed]":
    """The ranges that this thread has pushed, of all domains."""
    found: list[_Pushed] | None = getattr(_thread, "stack", None)
    if found is None:
        found = _thread.stack = []
    return found


def _push(domain: str, name: str) -> None:
    _stack().append(_Pushed(domain, name))


def _pop(domain: str) -> None:
    stack = _stack()
    at = next((i for i in reversed(range(len(stack))) if stack[i].domain == domain), None)
    if at is None:
        return
    ended = stack.pop(at)
    if at == len(stack):
        marks.enter(ended.outer)
    else:
        stack[at].outer = ended.outer  # of another domain, and still open
    marks.end(ended.phase)


def _domain_of_nvtx(
    message: "Any" = None, color: "Any" = None, domain: "Any" = None, *_: "Any", **__: "Any"
) -> str:
    """The domain in the arguments of what pushes a range in nvtx."""
    return str(domain)


def _stacked(module: "ModuleType", push: str, pop: str, domain_of: "Callable[..., str]") -> None:
    """Functions that push a range and pop the last one; they themselves come first."""
    pushed, popped = getattr(module, push), getattr(module, pop)

    @functools.wraps(pushed)
    def push_range(*args: "Any", **kwargs: "Any") -> "Any":
        result = pushed(*args, **kwargs)
        guarded("nvtx", lambda: _push(domain_of(*args, **kwargs), _name(args, kwargs)))
        return result

    @functools.wraps(popped)
    def pop_range(*args: "Any", **kwargs: "Any") -> "Any":
        guarded("nvtx", lambda: _pop(domain_of(None, None, *args, **kwargs)))
        return popped(*args, **kwargs)

    setattr(module, push, push_range)
    setattr(module, pop, pop_range)


def _numbered(module: "ModuleType", start: str, end: str) -> None:
    """Functions that start a range, which any thread may end by what the start returned."""
    started, ended = getattr(module, start), getattr(module, end)

    @functools.wraps(started)
    def start_range(*args: "Any", **kwargs: "Any") -> "Any":
        number = started(*args, **kwargs)

        def begin() -> None:
            phase = marks.begin(_name(args, kwargs), facts={"nvtx": True}, mirrored=False)
            _by_number.setdefault(str(number), []).append(phase)

        guarded("nvtx", begin)
        return number

    @functools.wraps(ended)
    def end_range(number: "Any") -> "Any":
        def finish() -> None:
            if started := _by_number.get(str(number)):
                marks.end(started.pop())

        guarded("nvtx", finish)
        return ended(number)

    setattr(module, start, start_range)
    setattr(module, end, end_range)


def _annotated(annotate: type) -> None:
    """The class nvtx.annotate: a context manager, and a decorator that doesn't go by way of it."""
    enter, leave = annotate.__enter__, annotate.__exit__  # type: ignore[attr-defined]
    decorate = annotate.__call__

    @functools.wraps(enter)
    def __enter__(self: "Any") -> "Any":
        result = enter(self)
        given = getattr(self, "init_args", ())
        guarded("nvtx", lambda: _push(_domain_of_nvtx(*given), _name(given, {})))
        return result

    @functools.wraps(leave)
    def __exit__(self: "Any", *error: "Any") -> "Any":
        guarded("nvtx", lambda: _pop(_domain_of_nvtx(*getattr(self, "init_args", ()))))
        return leave(self, *error)

    @functools.wraps(decorate)
    def __call__(self: "Any", function: "Any") -> "Any":
        name = (getattr(self, "init_args", None) or (None,))[0] or function.__name__
        return around(
            decorate(self, function),
            "nvtx",
            lambda args, kwargs: Phase(str(name), mirrored=False, nvtx=True),
            lambda phase, result, error: phase.end(error),
        )

    annotate.__call__ = __call__  # type: ignore[method-assign]
    annotate.__enter__ = __enter__  # type: ignore[attr-defined]
    annotate.__exit__ = __exit__  # type: ignore[attr-defined]


def _name(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> str:
    """The text of a range: torch calls it msg, nvtx message."""
    given = args[0] if args else kwargs.get("msg", kwargs.get("message"))
    return str(given) if given else "nvtx"
