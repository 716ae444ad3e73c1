"""How long a video file plays, how many frames it has and how large they are, without decoding it.

The packets are counted rather than the header believed: Matroska, WebM, MPEG-TS and fragmented MP4
state no number of frames, AVI states its padding as frames, and a file that was cut off still
states all it should have had. The length is frames / frame rate, which is exact; a container's
duration is rounded and includes the audio. Only where the timestamps disagree with that (a
variable frame rate, or GIF, whose frames each have a delay of their own) do they decide.

PyAV is imported when the first file is looked at.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

STATES_DURATION = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "asf"})
"""Formats whose header states the duration; for the others libav estimates it from the file."""

END_MARK = {"gif": b"\x3b", "apng": b"IEND\xae\x42\x60\x82"}
"""How a whole file ends, for formats where nothing else shows that it was cut off (GIF89a
specification, section 27; PNG specification, section 11.2.5)."""

TOLERANCE = Fraction(2, 100)
"""By how much timestamps and frame rate may differ before the rate isn't believed."""


class Clip(NamedTuple):
    """What a video file holds: `seconds` = `frames` / `rate`.

    `by_timestamps` when the frame rate varies, so that the length is that of the timestamps and
    `rate` a mean. `created_real_ns` is what the file itself says of its making, if it does.
    """

    frames: int
    width: int
    height: int
    rate: Fraction
    seconds: Fraction
    by_timestamps: bool
    created_real_ns: int | None


class Refusal(NamedTuple):
    """Why a file isn't counted as a video: a word, and the end of a sentence about the file."""

    kind: str
    reason: str


class Extent(NamedTuple):
    """The packets of one stream: how many are shown, and from when to when, in s."""

    shown: int = 0
    corrupt: bool = False
    start_s: Fraction | None = None
    last_s: Fraction | None = None
    end_s: Fraction | None = None

    def with_packet(self, packet: "Packet[Any]", tick_s: Fraction) -> "Extent":
        """The extent with one more packet in it."""
        shown = self.shown + (not packet.is_discard)
        corrupt = self.corrupt or packet.is_corrupt
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.is_discard:
            return self._replace(shown=shown, corrupt=corrupt)
        at_s = stamp * tick_s
        start_s = at_s if self.start_s is None else min(self.start_s, at_s)
        last_s, end_s = self.last_s, self.end_s
        if last_s is None or at_s >= last_s:
            last_s, end_s = at_s, at_s + (packet.duration or 0) * tick_s
        return Extent(shown, corrupt, start_s, last_s, end_s)

    def span_s(self) -> Fraction | None:
        """From the first to the end of the last packet, s; its length is guessed if not stated."""
        if self.start_s is None or self.last_s is None or self.end_s is None:
            return None
        if self.end_s == self.last_s and self.shown > 1:
            return (self.last_s - self.start_s) * Fraction(self.shown, self.shown - 1)
        return self.end_s - self.start_s


def probe(path: Path) -> Clip | Refusal:
    """What the video file at `path` holds, or why it doesn't count as a video.

    Raises ImportError if PyAV can't be imported. Nothing that libav has to say is printed.
    """
    import av

    # From PyAV 19 on, text that is no UTF-8 is no error, and the option is gone.
    lenient: Any = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
    with _captured_log() as log:
        try:
            if path.stat().st_size == 0:
                return Refusal("unreadable", "is empty")
            # A file may be a playlist that names other files or addresses: those aren't opened.
            with av.open(
                str(path), "r", options={"protocol_whitelist": "file"}, **lenient
            ) as container:
                return _look(container, path)
        except (av.error.FFmpegError, OSError) as error:
            said = log[-1][2].strip() if log else error.strerror or type(error).__name__
            return Refusal("unreadable", f"can't be read as a video ({said})")


def _look(container: "InputContainer", path: Path) -> Clip | Refusal:
    """What an open container holds."""
    from av.stream import Disposition

    form = container.format.name
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams or form == "tty":
        return Refusal("no_video", "has no video in it")
    stream = streams[0]
    extents = _extents(container.demux())
    seen = extents.get(stream.index, Extent())
    if seen.shown == 0 or not stream.width or not stream.height:
        return Refusal("no_frames", "has no frames in it")
    if seen.shown == 1 and (form in {"gif", "apng", "image2"} or form.endswith("_pipe")):
        return Refusal("image", "is a single image")
    rate = stream.average_rate
    fps = Fraction(rate.numerator, rate.denominator) if rate else None
    if seen.corrupt or _cut_short(container, extents.values(), fps) or _no_end(path, form):
        return Refusal("cut_short", "is cut short or damaged")
    timing = length(seen.shown, fps, span_s=seen.span_s())
    if timing is None:
        return Refusal("no_length", "states neither a frame rate nor timestamps")
    seconds, by_timestamps = (seen.span_s() or timing[0], False) if form == "gif" else timing
    return Clip(
        seen.shown,
        stream.width,
        stream.height,
        seen.shown / seconds,
        seconds,
        by_timestamps,
        creation_ns(container.metadata.get("creation_time")),
    )


def length(
    frames: int, rate: Fraction | None, *, span_s: Fraction | None
) -> tuple[Fraction, bool] | None:
    """Length in s of `frames` at `rate` frames per s, and whether timestamps overruled the rate.

    Containers round timestamps and the length of the last frame, so a difference of a frame and
    a half says nothing.
    """
    if not rate or rate <= 0:
        return (span_s, True) if span_s else None
    by_rate = frames / rate
    if span_s and abs(span_s - by_rate) > max(
        TOLERANCE * by_rate, Fraction(3, 2) * span_s / frames
    ):
        return span_s, True
    return by_rate, False


def creation_ns(text: str | None) -> int | None:
    """A container's `creation_time` in ns since 1970; None where it is absent or not set.

    Cameras and encoders without a clock write the zero of their epoch (1904, 1970).
    """
    try:
        made = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if made.year < 1980:
        return None
    return int(made.replace(tzinfo=made.tzinfo or UTC).timestamp() * 1e9)


def _extents(packets: "Iterable[Packet[Any]]") -> dict[int, Extent]:
    """The extent of every stream, by the stream's index."""
    extents: dict[int, Extent] = {}
    for packet in packets:
        base = packet.time_base
        if packet.size and base is not None:  # PyAV ends each stream with an empty packet
            tick_s = Fraction(base.numerator, base.denominator)
            index = packet.stream.index
            extents[index] = extents.get(index, Extent()).with_packet(packet, tick_s)
    return extents


def _cut_short(
    container: "InputContainer", extents: Iterable[Extent], rate: Fraction | None
) -> bool:
    """Whether the packets end clearly before the end that the header states."""
    if container.format.name not in STATES_DURATION or not container.duration:
        return False
    stated_s = Fraction(container.duration, 1_000_000)
    starts = [e.start_s for e in extents if e.start_s is not None]
    ends = [e.end_s for e in extents if e.end_s is not None]
    if not starts or not ends:
        return False
    # Some formats count the duration from the first packet, some from 0.
    played_s = max(ends) - min(Fraction(0), min(starts))
    frame_s = 1 / rate if rate else Fraction(1, 10)
    return stated_s - played_s > max(TOLERANCE * stated_s, 2 * frame_s)


def _no_end(path: Path, form: str) -> bool:
    """Whether a file of a format with an end mark lacks it."""
    mark = END_MARK.get(form)
    if mark is None:
        return False
    with path.open("rb") as file:
        file.seek(-min(32, path.stat().st_size), 2)
        return mark not in file.read()


@contextmanager
def _captured_log() -> Iterator[list[tuple[int, str, str]]]:
    """What libav logs as errors in the block: level, part of libav, message.

    PyAV drops it otherwise, and with it the one word that helps, such as "moov atom not found".
    """
    import av.logging

    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    try:
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.ERROR)
        with av.logging.Capture() as captured:
            yield captured
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
