"""What was produced, added up, and the energy for each unit of it."""

from collections.abc import Iterable, Sequence

from vidmeter.meter.run import Work
from vidmeter.meter.summary import Caution, PerUnit, Total, WorkDone

ORIGINS = ("user", "program", "file")
"""Who is believed first: what the user states stands over what the program says of itself, and
that over what was found on disk. The same clip is often known from two of them."""
TOLERANCE = 0.02
"""Program and files disagree about the seconds of video when they are further apart than this."""


def work_done(work: Sequence[Work]) -> WorkDone:
    """Works of a window, added up; each sort of work from the origin that is believed first."""
    videos = _best([w for w in work if w.unit == "video"])
    others = [w for w in work if w.unit != "video"]
    units: dict[str, float] = {}
    for unit in dict.fromkeys(w.unit for w in others):
        units[unit] = sum(w.count for w in _best([w for w in others if w.unit == unit]))
    if not videos:
        return WorkDone(units=units)
    return WorkDone(
        clips=round(sum(w.count for w in videos)),
        video_seconds=_sum(w.video_seconds for w in videos),
        frames=_whole(_sum(w.frames for w in videos)),
        megapixel_frames=_sum(
            w.frames * w.width * w.height / 1e6 if w.frames and w.width and w.height else None
            for w in videos
        ),
        units=units,
        origin=videos[0].origin,
        paths=tuple(w.path for w in videos if w.path),
    )


def per_unit(total: Total, done: WorkDone) -> dict[str, PerUnit]:
    """Energy per unit of work, under names that carry the unit; only for work that was done."""
    amounts: dict[str, tuple[float | None, float]] = {
        "j_per_video_second": (done.video_seconds, 1.0),
        "wh_per_clip": (done.clips, 1 / 3600),
        "j_per_frame": (done.frames, 1.0),
        "j_per_megapixel_frame": (done.megapixel_frames, 1.0),
    }
    amounts |= {f"j_per_{_singular(unit)}": (n, 1.0) for unit, n in done.units.items()}
    return {
        name: PerUnit(*(None if j is None else j * factor / n for j in _interval(total)))
        for name, (n, factor) in amounts.items()
        if n
    }


def work_cautions(work: Sequence[Work]) -> list[Caution]:
    """Whether the program and the files it wrote tell the same."""
    said = _sum(w.video_seconds for w in work if w.unit == "video" and w.origin == "program")
    found = _sum(w.video_seconds for w in work if w.unit == "video" and w.origin == "file")
    if not said or not found or abs(found / said - 1) <= TOLERANCE:
        return []
    return [
        Caution(
            "work_disagrees",
            f"the program speaks of {said:g} s of video, the files it wrote hold {found:g} s;"
            " the program is believed",
            "state it with --video-seconds, or name the files with --outputs",
        )
    ]


def _interval(total: Total) -> tuple[float | None, float | None, float | None]:
    return total.energy_j, total.low_j, total.high_j


def _best(work: Sequence[Work]) -> list[Work]:
    for origin in ORIGINS:
        chosen = [w for w in work if w.origin == origin]
        if chosen:
            return chosen
    return []


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum, or None as soon as one value is unknown, or there is none."""
    numbers = list(values)
    known = [n for n in numbers if n is not None]
    return float(sum(known)) if known and len(known) == len(numbers) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _singular(unit: str) -> str:
    return unit[:-1] if unit.endswith("s") and not unit.endswith("ss") else unit
