"""A live GPU energy meter and profiler: measured joules per second of generated video.

    with vidmeter.measure() as m:
        video = pipe(prompt)
    print(m.energy_j)

`measure` takes the energy of a block or function, `phase` names its parts, `work` says what it
produced, `load` reads a run file, `load_all` a folder of them into a DataFrame. Nothing is imported
before one of them is used.
"""

TYPE_CHECKING = False  # typing itself would be a tenth of what `vidmeter mark` takes
if TYPE_CHECKING:
    from typing import Any

    from vidmeter.meter.measure import measure, phase, work
    from vidmeter.meter.reader import load
    from vidmeter.meter.rows import load_all

__version__ = "0.1.0"
__all__ = ["__version__", "load", "load_all", "measure", "phase", "work"]


def __getattr__(name: str) -> "Any":
    """Import what is asked for, when it is asked for."""
    if name in ("measure", "phase", "work"):
        from vidmeter.meter import measure as module
    elif name == "load":
        from vidmeter.meter import reader as module  # type: ignore[no-redef]
    elif name == "load_all":
        from vidmeter.meter import rows as module  # type: ignore[no-redef]
    else:
        raise AttributeError(f"module 'vidmeter' has no attribute {name!r}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
