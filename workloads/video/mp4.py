"""Writes frames as an MP4 that every player opens: H.264 by libx264, in the process itself."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_mp4(path: Path, frames: "NDArray[np.uint8]", *, fps: float) -> None:
    """Write frames (count × height × width × 3, RGB) at a constant rate; sides must be even."""
    from fractions import Fraction

    import av

    _, height, width, _ = frames.shape
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
