"""The GPU's own clock, read by the process that marks: events on the current stream."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class GpuClock:
    """Queues events, and writes down when the GPU came to them."""

    def __init__(self, write: "Callable[[Mapping[str, Any]], None]") -> None:
        self._write = write

    def record(self) -> "int | None":
        """Queue an event on the current stream; its number, or None where no GPU is in use."""
        return None

    def collect(self) -> None:
        """Write down the events that the GPU has come to."""
