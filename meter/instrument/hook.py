"""How the hook gets into a program: by PYTHONPATH, and without a trace of it inside."""

import os

BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot")
INSTRUMENT_ENV = "VIDMETER_INSTRUMENT"
"""What the hook marks: `phases`, or `modules` for the modules within them as well."""


def environment(what: str, path: "str | None") -> "dict[str, str]":
    """The variables that bring the hook into a command; `what` is marked, `path` its PYTHONPATH."""
    return {INSTRUMENT_ENV: what, "PYTHONPATH": path_with(BOOT, path)}


def path_with(boot: str, path: "str | None") -> str:
    """A PYTHONPATH with the hook's folder in front of what it was; None if it wasn't set.

    An empty one is kept apart from none by a slash at the folder's end.
    """
    if path is None:
        return boot
    if not path:
        return boot + os.sep
    parts = [part for part in path.split(os.pathsep) if part.rstrip(os.sep) != boot]
    return os.pathsep.join([boot, *parts])


def install(boot: str) -> None:
    """Watch for modules to mark, and for children to be marked as well."""
    from . import children, imports

    children.install(boot)
    imports.install()
