"""The true power of each window, and the schedule in which a driver plays them.

Starting every meter takes longer than most windows, so one driver plays as many waveforms one
after the other as its script can hold, idle between them. Each waveform lasts a little longer than
its window on both sides: a meter that opens late still measures what the window is about. Where
windows begin, and where a periodic waveform stands against the driver's refresh, is drawn anew for
each round, so that nobody is lucky or unlucky by construction.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

IDLE_W = 120.0
GAP_S = 2.0
MARGIN_S = 1.5
"""How long a waveform goes on before and after: longer than the longest averaging window."""
SHIFT_S = 1.0
"""Windows begin up to this much later than planned."""
STRETCH_S = 0.1
"""Windows last up to this much longer: a whole number of a counter's ticks would flatter it."""
MOST_POINTS = 4000
"""In one script; the simulated driver holds 4096 (MAX_POINTS in nvml.c)."""

Point = tuple[float, float]


class Piece(NamedTuple):
    """A stretch of power that goes straight from one value to another."""

    seconds: float
    from_w: float
    to_w: float


@dataclass(frozen=True, slots=True)
class Waveform:
    """True power over a window of `seconds`. Its pieces recur if `periodic`, else begin with it."""

    name: str
    seconds: float
    pieces: Sequence[Piece]
    periodic: bool = False


class Window(NamedTuple):
    """When a meter is to open and to close, s since the driver's epoch."""

    waveform: str
    begin_s: float
    end_s: float


class Play(NamedTuple):
    """What one driver plays: its curve from the epoch on, and the windows in it."""

    curve: list[Point]
    windows: list[Window]


def flat(seconds: float, watts: float) -> Piece:
    """Constant power."""
    return Piece(seconds, watts, watts)


def square(name: str, period_s: float) -> Waveform:
    """Half of each period at 300 W, half at 700 W."""
    return Waveform(name, 20, (flat(period_s / 2, 300), flat(period_s / 2, 700)), periodic=True)


def denoising() -> Waveform:
    """A minute of a text-to-video pipeline: weights, prompt, 40 steps with dips, decode, idle."""
    step = (flat(0.947, 655), flat(0.1, 330))
    pieces = (
        flat(2.5, IDLE_W),
        flat(8, 140),
        flat(1.5, 480),
        *(piece for _ in range(40) for piece in step),
        Piece(5, 420, 520),
        flat(3.62, 130),
        flat(1, IDLE_W),
    )
    return Waveform("denoising", 65, pieces)


WAVEFORMS = (
    Waveform("constant 400 W", 20, (flat(1, 400),), periodic=True),
    square("square 137 ms", 0.137),
    square("square 37 ms", 0.037),
    square("square 100 ms, locked", 0.1),
    Waveform("ramp", 20, (Piece(20, 100, 700),)),
    Waveform("burst of 80 ms", 5, (flat(2.5, IDLE_W), flat(0.08, 700), flat(1, IDLE_W))),
    Waveform("pulses, 20 Hz", 20, (flat(0.015, 650), flat(0.035, 250)), periodic=True),
    denoising(),
)


def plays(waveforms: Sequence[Waveform], lead_s: float, seed: int) -> list[Play]:
    """As few plays as hold all the waveforms; the first window of each begins after `lead_s`."""
    drawn = random.Random(seed)
    done: list[Play] = []
    play = Play([(0.0, IDLE_W)], [])
    for waveform in waveforms:
        start_s = play.curve[-1][0] + GAP_S if play.windows else lead_s
        points, window = _section(waveform, start_s, drawn)
        if play.windows and len(play.curve) + len(points) > MOST_POINTS:
            done.append(play)
            play = Play([(0.0, IDLE_W)], [])
            points, window = _section(waveform, lead_s, drawn)
        play.curve.extend(points)
        play.windows.append(window)
    return [*done, play] if play.windows else done


def _section(
    waveform: Waveform, start_s: float, drawn: random.Random
) -> tuple[list[Point], Window]:
    """A waveform from idle to idle, and its window."""
    shift_s = SHIFT_S * drawn.random()
    earliest_s = start_s + MARGIN_S
    end_s = earliest_s + SHIFT_S + waveform.seconds + STRETCH_S + MARGIN_S
    begin_s = earliest_s + shift_s
    close_s = begin_s + waveform.seconds + STRETCH_S * drawn.random()
    if waveform.periodic:
        period_s = sum(piece.seconds for piece in waveform.pieces)
        placed = _recurring(waveform.pieces, start_s - period_s * drawn.random(), end_s)
    else:
        placed = _once(waveform.pieces, start_s, begin_s, end_s)
    points = [(round(start_s, 9), IDLE_W)]
    for t_s, piece in placed:
        points += _clipped(t_s, piece, start_s, end_s)
    points.append((round(end_s, 9), IDLE_W))
    return points, Window(waveform.name, begin_s, close_s)


def _recurring(
    pieces: Sequence[Piece], first_s: float, end_s: float
) -> Iterator[tuple[float, Piece]]:
    """The pieces over and over. Each turn is placed by its number, so that no error adds up."""
    starts = [0.0, *itertools.accumulate(piece.seconds for piece in pieces)]
    for turn in itertools.count():
        begin_s = first_s + turn * starts[-1]
        if begin_s >= end_s:
            return
        yield from ((begin_s + start, piece) for start, piece in zip(starts, pieces, strict=False))


def _once(
    pieces: Sequence[Piece], start_s: float, begin_s: float, end_s: float
) -> Iterator[tuple[float, Piece]]:
    """The pieces from the window's begin on, with their ends held before and after."""
    yield start_s, flat(begin_s - start_s, pieces[0].from_w)
    t_s = begin_s
    for piece in pieces:
        yield t_s, piece
        t_s += piece.seconds
    if t_s < end_s:
        yield t_s, flat(end_s - t_s, pieces[-1].to_w)


def _clipped(t_s: float, piece: Piece, start_s: float, end_s: float) -> list[Point]:
    """The two ends of a piece, or of what lies of it within the section."""
    low_s, high_s = max(t_s, start_s), min(t_s + piece.seconds, end_s)
    if low_s >= high_s:
        return []
    slope = (piece.to_w - piece.from_w) / piece.seconds
    # To whole ns: where two pieces meet, sums in another order would differ in the last digit.
    return [(round(at, 9), piece.from_w + slope * (at - t_s)) for at in (low_s, high_s)]
