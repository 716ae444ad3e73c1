"""What was produced, added up, and the energy for each unit of it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from vidmeter.meter.nativerates import NATIVE_RATES
from vidmeter.meter.run import Phase, Work
from vidmeter.meter.summary import Caution, PerUnit, Total, WorkDone

ORIGINS = ("user", "program", "file", "export", "pipeline")
"""Who is believed first: what the user states stands over what the program says of itself, that
over what was found on disk, and that over what the hook saw of the calls that wrote and made it.
The same clip is often known from several of them."""
TOLERANCE = 0.02
"""Program and files disagree about the seconds of video when they are further apart than this."""


def with_rates(work: Sequence[Work]) -> list[Work]:
    """Works with the seconds that a pipeline's frames play for, which only their file tells.

    A pipeline's clip takes the rate of the files with as many frames, if they agree.
    """
    rates: dict[float, set[float]] = {}
    for w in work:
        if w.unit == "video" and w.origin in ("file", "export") and w.frames and w.fps:
            rates.setdefault(w.frames / w.count, set()).add(w.fps)
    return [_with_rate(w, rates.get((w.frames or 0) / (w.count or 1), set())) for w in work]


def _with_rate(work: Work, rates: Collection[float]) -> Work:
    if work.origin != "pipeline" or not work.frames or len(rates) != 1:
        return work
    (rate,) = rates
    return replace(work, fps=rate, video_seconds=work.frames / rate)


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


def work_cautions(work: Sequence[Work], phases: Sequence[Phase] = ()) -> list[Caution]:
    """Whether those who know of the videos tell the same of them."""
    return [*_seconds_disagree(work), *_frames_disagree(work), *_rates_disagree(work, phases)]


def _seconds_disagree(work: Sequence[Work]) -> Iterator[Caution]:
    """What the program says it made against the files that it wrote."""
    said = _sum(w.video_seconds for w in work if w.unit == "video" and w.origin == "program")
    found = _sum(w.video_seconds for w in work if w.unit == "video" and w.origin == "file")
    if said and found and abs(found / said - 1) > TOLERANCE:
        yield Caution(
            "work_disagrees",
            f"the program speaks of {said:g} s of video, the files it wrote hold {found:g} s;"
            " the program is believed",
            "state it with --video-seconds, or name the files with --outputs",
        )


def _frames_disagree(work: Sequence[Work]) -> Iterator[Caution]:
    """Files with more or fewer frames than any call of a pipeline has returned."""
    made = {w.frames // round(w.count) for w in work if w.origin == "pipeline" and w.frames}
    for w in work:
        if made and w.origin == "file" and w.frames and w.frames not in made:
            counts = " or ".join(f"{n}" for n in sorted(made))
            yield Caution(
                "frames_disagree",
                f"{PurePath(w.path or 'a file').name} holds {w.frames} frames, the pipeline"
                f" returned {counts}: frames were added, left out, or made by something else",
                "state what was generated with --video-seconds",
            )


def _rates_disagree(work: Sequence[Work], phases: Sequence[Phase]) -> Iterator[Caution]:
    """Files that play at another rate than the models make frames for."""
    native = {
        name: rates
        for name in (phase.facts.get("class") for phase in phases)
        if name in NATIVE_RATES and (rates := NATIVE_RATES[name])
    }
    if len(native) != 1:
        return
    ((name, rates),) = native.items()
    for w in work:
        if w.origin == "file" and w.fps and all(abs(w.fps / r - 1) > TOLERANCE for r in rates):
            yield Caution(
                "frame_rate",
                f"{PurePath(w.path or 'a file').name} plays at {w.fps:g} frames per second,"
                f" {name} makes {' or '.join(f'{r:g}' for r in rates)}: its joules per second of"
                " video are not those of others",
                "compare joules per frame, or write the file at the model's own rate",
            )


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
