"""Keeps failures of the hook away from the program: they become a note of the run, once each."""

import functools

from .. import marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_said: "set[str]" = set()


def guarded(where: str, function: "Callable[..., Any]", *args: "Any") -> "Any":
    """What `function` returns; None if it fails, and then a note says so.

    An exception of the program's goes in among `args`, never in a closure or a name that outlives
    its handler: that would keep its frames, and the tensors in them, until the next collection.
    """
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 - the program must not feel any failure of ours
        failed(where, error)
        return None


def failed(where: str, error: BaseException) -> None:
    """Note that something of ours failed, once for each place."""
    if where not in _said:
        _said.add(where)
        try:
            text = f"marking {where} failed: {type(error).__name__}: {error}"
            marks.note("hook_failed", text[:300])
        except Exception:  # noqa: BLE001 - what can't even be said
            pass


def around(
    function: "Callable[..., Any]",
    where: str,
    before: "Callable[[tuple[Any, ...], dict[str, Any]], Any]",
    after: "Callable[[Any, Any, BaseException | None], None]",
) -> "Callable[..., Any]":
    """`function` with `before(args, kwargs)` in front of it and `after` behind, both guarded.

    `after` gets what `before` returned, the result, and the exception that left the function. Where
    `before` returned None, there is no `after`.
    """

    @functools.wraps(function)
    def call(*args: "Any", **kwargs: "Any") -> "Any":
        begun = guarded(where, before, args, kwargs)
        if begun is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            guarded(where, after, begun, None, error)
            raise
        guarded(where, after, begun, result, None)
        return result

    return call


class Phase:
    """A phase from `before` to `after`, current in between."""

    def __init__(self, name: str, *, mirrored: bool = True, **facts: "Any") -> None:
        self.id = marks.begin(name, facts=facts or None, mirrored=mirrored)
        self._outer = marks.enter(self.id)

    def end(
        self,
        error: "BaseException | None" = None,
        *,
        at: "marks.Instant | None" = None,
        **facts: "Any",
    ) -> None:
        """Close it, by an exception if one left it, now or `at` a moment that was taken before."""
        marks.enter(self._outer)
        name = type(error).__name__ if error else None
        marks.end(self.id, error=name, at=at, facts=facts or None)
