"""Programs that the metered program starts get the hook too, while its own environment hides it.

The environment as C sees it holds the hook's PYTHONPATH, for everything that is started with it;
`os.environ` doesn't. Where a program hands over an environment of its own making, it is completed
on the way, and only if it still names the run: what was cleaned on purpose stays clean.
"""

import os
import sys

from .hook import path_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_NAME, _MARKS = "PYTHONPATH", "VIDMETER_MARKS"
_ENVIRONMENT_OF_FORK_EXEC = 5
"""Its place among the arguments of _posixsubprocess.fork_exec, the same in Python 3.10 to 3.14."""


def install(boot: str) -> None:
    """Complete the environment of all that is started from here on."""
    import _posixsubprocess

    fork_exec = _completed_list(_posixsubprocess.fork_exec, boot)
    _posixsubprocess.fork_exec = fork_exec
    started: Any = sys.modules.get("subprocess")
    if started is not None:  # it has taken the function over by name
        started._fork_exec = fork_exec
    for name in ("execve", "posix_spawn", "posix_spawnp"):
        setattr(os, name, _completed_mapping(getattr(os, name), boot))
    for name in ("execv", "system"):
        setattr(os, name, _inherited(getattr(os, name), boot))
    _complete_ours(boot)


def _complete_ours(boot: str) -> None:
    """Put the hook into the environment that C hands on; os.environ doesn't notice."""
    if os.environ.get(_MARKS):
        os.putenv(_NAME, path_with(boot, os.environ.get(_NAME)))


def _completed_list(fork_exec: "Callable[..., Any]", boot: str) -> "Callable[..., Any]":
    def call(*args: "Any") -> "Any":
        given = args[_ENVIRONMENT_OF_FORK_EXEC] if len(args) > _ENVIRONMENT_OF_FORK_EXEC else None
        if given is None:
            _complete_ours(boot)
        else:
            place = _ENVIRONMENT_OF_FORK_EXEC
            args = (*args[:place], _completed(given, boot), *args[place + 1 :])
        return fork_exec(*args)

    return call


def _completed(given: "list[bytes]", boot: str) -> "list[bytes]":
    """An environment as `NAME=value`, with the hook in its PYTHONPATH."""
    name, marks = os.fsencode(_NAME) + b"=", os.fsencode(_MARKS) + b"="
    if not any(item.startswith(marks) for item in given):
        return given
    before = next((os.fsdecode(i[len(name) :]) for i in given if i.startswith(name)), None)
    rest = [item for item in given if not item.startswith(name)]
    return [*rest, name + os.fsencode(path_with(boot, before))]


def _completed_mapping(start: "Callable[..., Any]", boot: str) -> "Callable[..., Any]":
    """For functions of `os` that take the environment third."""

    def call(path: "Any", argv: "Any", env: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        return start(path, argv, _with_hook(env, boot), *args, **kwargs)

    return _alike(call, start)


def _with_hook(env: "Mapping[Any, Any] | None", boot: str) -> "Mapping[Any, Any] | None":
    if env is None:  # posix_spawn, from Python 3.13 on: that of this process
        _complete_ours(boot)
        return None
    try:
        names = {os.fsdecode(name): name for name in env}
    except TypeError:
        return env  # the call itself will say what is wrong with it
    if _MARKS not in names:
        return env
    before = os.fsdecode(env[names[_NAME]]) if _NAME in names else None
    return {**env, names.get(_NAME, _NAME): path_with(boot, before)}


def _inherited(start: "Callable[..., Any]", boot: str) -> "Callable[..., Any]":
    """For functions of `os` that hand on the environment that C has."""

    def call(*args: "Any", **kwargs: "Any") -> "Any":
        _complete_ours(boot)
        return start(*args, **kwargs)

    return _alike(call, start)


def _alike(call: "Any", original: "Callable[..., Any]") -> "Callable[..., Any]":
    """Looks like the original; pickled by where it stands, as in `Pool.map(os.system, lines)`."""
    call.__name__, call.__qualname__ = original.__name__, original.__qualname__
    call.__doc__, call.__module__ = original.__doc__, os.__name__
    call.__wrapped__ = original  # for inspect.signature
    replaced: Callable[..., Any] = call
    return replaced
