"""Watches a model's forwards, or a method of one instance, for as long as a call goes on.

Several calls may watch the same instance at once, in threads or one within another, and end in any
order. Each is told of what runs while the thread that runs it is `mine`, the call's own, and of
nothing else; what the last of them leaves is as the first one found it.
"""

from _thread import allocate_lock

from .guard import around, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Mine = Callable[[], bool]
    Before = Callable[[], Any]
    """Called at the start; what it returns goes to `After`. None: this run isn't followed."""
    After = Callable[[Any, BaseException | None], None]
    """Called at the end, with the exception if one left the method."""

_lock = allocate_lock()
_watched: "dict[tuple[int, str], _Method]" = {}
"""Methods that are watched now, by their instance's identity and their name."""


def method(
    owner: "Any", name: str, mine: "Mine", before: "Before", after: "After"
) -> "Callable[[], None]":
    """Watch a method of an instance; what ends that."""
    watcher = (mine, before, after)
    key = (id(owner), name)
    with _lock:
        if key not in _watched:
            _watched[key] = _Method(owner, name)
        _watched[key].watchers.append(watcher)

    def undo() -> None:
        with _lock:
            watched = _watched[key]
            watched.watchers.remove(watcher)
            if not watched.watchers:
                del _watched[key]
                watched.put_back()

    return undo


def forwards(
    model: "Any",
    mine: "Mine",
    before: "Callable[[], None] | None" = None,
    after: "Callable[[], None] | None" = None,
) -> "Callable[[], None]":
    """Watch the forwards of a model, from outside its graph if it is compiled; what ends that."""

    def begin(*_: "Any") -> None:
        if before is not None and mine():
            guarded("forward", before)

    def finish(*_: "Any") -> None:
        if after is not None and mine():
            guarded("forward", after)

    if getattr(model, "_compiled_call_impl", None) is not None:
        return method(
            model,
            "_compiled_call_impl",
            mine,
            lambda: begin() or True,  # type: ignore[func-returns-value]
            lambda _, error: finish() if error is None else None,
        )
    hooks = [model.register_forward_pre_hook(begin)] if before is not None else []
    hooks += [model.register_forward_hook(finish)] if after is not None else []

    def undo() -> None:
        for hook in hooks:
            hook.remove()

    return undo


class _Method:
    """A method of an instance, replaced while any call watches it."""

    def __init__(self, owner: "Any", name: str) -> None:
        self.watchers: list[tuple[Mine, Before, After]] = []
        self._owner = owner
        self._name = name
        self._had = name in vars(owner)
        self._original = getattr(owner, name)
        self._call = around(self._original, name, self._begin, self._end)
        # Past a module's own __setattr__, which would file it.
        object.__setattr__(owner, name, self._call)

    def put_back(self) -> None:
        """Leave the instance as it was found, if nobody else has put something there since."""
        if vars(self._owner).get(self._name) is self._call:
            if self._had:
                object.__setattr__(self._owner, self._name, self._original)
            else:
                object.__delattr__(self._owner, self._name)
        del self._owner, self._original, self._call  # they are a circle that would keep it alive

    def _begin(self, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "Any":
        for mine, before, after in tuple(self.watchers):
            if mine():
                begun = before()
                return None if begun is None else (after, begun)
        return None

    def _end(self, begun: "tuple[After, Any]", result: "Any", error: "Any") -> None:
        after, what = begun
        after(what, error)
