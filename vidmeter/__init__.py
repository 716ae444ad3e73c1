"""A live GPU energy meter and profiler: measured joules per second of generated video."""

__version__ = "0.1.0"
