"""Finds the videos that a command wrote, without having been told of them.

A video counts when it was written while the command ran. What only arrived then (copied,
downloaded, unpacked), what is still growing and what can't be played is not counted, and each
such file is named as a doubt: a wrong number of videos would make every figure per video wrong.

Timestamps and contents are all that a file says of its origin. A file with the content of an
older one looks like a copy, even if the program made it anew, byte by byte; the doubt says what to
do then.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vidmeter.meter.files import File, Hits, Limits, matching, once_each, search, still_written
from vidmeter.meter.files import suffix as suffix_of
from vidmeter.meter.run import Work

if TYPE_CHECKING:
    from vidmeter.meter.videofile import Clip

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".apng", ".ts", ".m2ts", ".mpg"}
    | {".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".y4m"}
)
FINE_SLACK_NS = 20_000_000
"""File systems stamp with the kernel's coarse clock, which is up to a tick of 10 ms behind."""
COARSE_SLACK_NS = 2_000_000_000
"""FAT keeps the time of writing to 2 s; such stamps are whole seconds."""
ZONE_SLACK_NS = 13 * 3600 * 1_000_000_000
"""Some encoders write local time where UTC is due, and local time is up to 12 h behind UTC."""
COPY_NS = 2_000_000_000
"""A copy is made right after the file that it copies."""
PROBING_S = 10.0
DOUBTS_OF_A_KIND = 5

_OLD = "was copied, moved or downloaded, but made before this run: not counted"
_GROWING = "was still being written when the command ended: not counted"
_COPY_WITHIN = "is a copy of {}: counted once"
_COPY_OF_OLD = (
    "is a copy of {}, which is older than this run: not counted; "
    "if the command made it anew, name it with --outputs"
)
_IRREGULAR = "has a variable frame rate: its length is taken from its timestamps"


class Doubt(NamedTuple):
    """A file that wasn't counted, or a reason why files may be missing: word, path, sentence."""

    kind: str
    path: str
    detail: str


class Found(NamedTuple):
    """The videos that count, in the order of writing, and what is doubtful about that."""

    videos: tuple[Work, ...]
    doubts: tuple[Doubt, ...]


class Span(NamedTuple):
    """From when to when a command ran, on the wall clock, in ns since 1970."""

    started_ns: int
    ended_ns: int


class Origin(Enum):
    """Where a file stands to the run, by its timestamps."""

    EARLIER = auto()
    ARRIVED = auto()
    """Written at another time, but put here during the run: cp -p, mv, downloaded, unpacked."""
    WRITTEN = auto()
    LATER = auto()


def find_videos(
    folder: Path,
    *,
    patterns: tuple[str, ...] | None,
    started_real_ns: int,
    ended_real_ns: int,
    limits: Limits = Limits(),  # noqa: B008 (an immutable value)
    probing_s: float = PROBING_S,
) -> Found:
    """The videos written between two instants of the wall clock, in ns since 1970.

    Searched is `folder` with all below it, or what matches `patterns`, which are relative to
    `folder` or absolute. To be called once the command has ended. Trouble with files is a doubt.
    The search has its `limits`; after `probing_s` seconds no further file is opened.
    """
    folder = folder.absolute()
    span = Span(started_real_ns, ended_real_ns)
    if patterns is None:
        hits = search(folder, VIDEO_SUFFIXES, limits=limits)
        files, doubts = list(hits.files), _stopped(folder, hits)
    else:
        files, doubts = _named(folder, patterns, span=span, limits=limits)
    sorted_out: dict[Origin, list[File]] = {each: [] for each in Origin}
    for file in once_each(files):
        where = origin(file, span)
        if patterns is not None or where is Origin.EARLIER or not _is_typescript(file):
            sorted_out[where].append(file)
    candidates, more = _sift(folder, sorted_out, named=patterns is not None)
    videos, last = _probed(folder, candidates, span=span, limit_s=probing_s)
    return Found(tuple(videos), tuple(_folded(doubts + more + last)))


def origin(file: File, span: Span) -> Origin:
    """Where `file` stands to a run that took `span`.

    Both the time of writing, which programs can set, and the time of the last change of name,
    owner or content, which they can't, are looked at.
    """
    slack = FINE_SLACK_NS if file.mtime_ns % 1_000_000_000 else COARSE_SLACK_NS
    start, end = span.started_ns - slack, span.ended_ns + FINE_SLACK_NS
    if start <= file.mtime_ns <= end:
        return Origin.WRITTEN
    if file.mtime_ns > end and file.ctime_ns > end:
        return Origin.LATER
    return Origin.ARRIVED if file.ctime_ns >= span.started_ns - FINE_SLACK_NS else Origin.EARLIER


def copies(
    written: Sequence[File], earlier: Sequence[File], *, digest: Callable[[Path], bytes | None]
) -> dict[File, File]:
    """Which of `written` are copies, and of what: of an earlier file, or of one written before.

    Files are compared by size, then by `digest`, which is asked for no other files and gives None
    for a file that can't be read. The same content written again later than `COPY_NS` is no copy
    but a repeat: a program with a fixed seed makes the same clip each time.
    """
    sizes: dict[int, int] = {}
    for file in [*written, *earlier]:
        sizes[file.size] = sizes.get(file.size, 0) + 1
    wanted = {file.size for file in written if file.size and sizes[file.size] > 1}
    first: dict[tuple[int, bytes], File] = {}
    found: dict[File, File] = {}
    by_age = sorted(written, key=lambda file: file.mtime_ns)
    for file in [*earlier, *by_age]:
        content = digest(file.path) if file.size in wanted else None
        if content is not None:
            original = first.setdefault((file.size, content), file)
            if original in by_age and file.mtime_ns - original.mtime_ns > COPY_NS:
                original = first[file.size, content] = file
            found[file] = original
    return {file: found[file] for file in by_age if found.get(file, file) != file}


def _named(
    folder: Path, patterns: Iterable[str], *, span: Span, limits: Limits
) -> tuple[list[File], list[Doubt]]:
    """The files that match the user's patterns, and a doubt for each pattern that brought none."""
    files: list[File] = []
    doubts: list[Doubt] = []
    for pattern in patterns:
        hits = matching(folder, pattern, suffixes=VIDEO_SUFFIXES, limits=limits)
        doubts += _stopped(folder, hits)
        if all(origin(file, span) is Origin.EARLIER for file in hits.files):
            detail = f"--outputs {pattern}: no file that matches was written during the run"
            doubts.append(Doubt("no_match", pattern, detail))
        files += hits.files
    return files, doubts


def _sift(
    folder: Path, files: Mapping[Origin, list[File]], *, named: bool
) -> tuple[list[File], list[Doubt]]:
    """The files that were written during the run and are worth a probe, and doubts on others."""
    doubt = partial(_doubt, folder)
    doubts = [doubt("old_video", file, _OLD) for file in files[Origin.ARRIVED]]
    growing = still_written(files[Origin.WRITTEN]) | set(files[Origin.LATER])
    doubts += [doubt("still_written", file, _GROWING) for file in sorted(growing)]
    written = [file for file in files[Origin.WRITTEN] if file not in growing]
    # What the user named is output by the user's word, so only its own copies are left out.
    earlier = [] if named else files[Origin.EARLIER] + files[Origin.ARRIVED]
    originals = copies(written, earlier, digest=cache(_digest))
    for file, original in originals.items():
        ending = _COPY_WITHIN if original in written else _COPY_OF_OLD
        doubts.append(doubt("copy", file, ending.format(_display(folder, original.path))))
    return [file for file in written if file not in originals], doubts


def _probed(
    folder: Path, files: Sequence[File], *, span: Span, limit_s: float
) -> tuple[list[Work], list[Doubt]]:
    """The videos among `files`, and doubts about the others."""
    videos: list[Work] = []
    doubts: list[Doubt] = []
    if not files:
        return videos, doubts
    from vidmeter.meter.videofile import Clip, probe

    deadline = time.monotonic() + limit_s
    for done, file in enumerate(files):
        if time.monotonic() > deadline:
            detail = f"only {done} of {len(files)} new videos could be looked at in {limit_s:g} s"
            return videos, [*doubts, Doubt("search_stopped", _text(folder), detail)]
        try:
            clip = probe(file.path)
        except ImportError as error:
            detail = (
                f"{len(files)} new video file(s) can't be looked at without PyAV ({error}): "
                "not counted; pip install av"
            )
            return videos, [*doubts, Doubt("no_pyav", _text(file.path), detail)]
        if not isinstance(clip, Clip):
            doubts.append(_doubt(folder, clip.kind, file, f"{clip.reason}: not counted"))
        elif clip.created_real_ns and clip.created_real_ns < span.started_ns - ZONE_SLACK_NS:
            doubts.append(_doubt(folder, "old_video", file, _OLD))
        else:
            videos.append(_work(file, clip))
            if clip.by_timestamps:
                doubts.append(_doubt(folder, "variable_rate", file, _IRREGULAR))
    return videos, doubts


def _work(file: File, clip: "Clip") -> Work:
    return Work(
        unit="video",
        count=1,
        origin="file",
        video_seconds=float(clip.seconds),
        frames=clip.frames,
        width=clip.width,
        height=clip.height,
        fps=float(clip.rate),
        path=_text(file.path),
    )


def _is_typescript(file: File) -> bool:
    """Whether a `.ts` is program text: packets of an MPEG transport stream begin with 0x47 "G"."""
    if suffix_of(file.path.name) != ".ts":
        return False
    try:
        with file.path.open("rb") as opened:
            return opened.read(1) != b"\x47"
    except OSError:
        return False


def _digest(path: Path) -> bytes | None:
    import hashlib

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None


def _stopped(folder: Path, hits: Hits) -> list[Doubt]:
    if hits.stopped is None:
        return []
    detail = f"the search for videos stopped after {hits.stopped}: name the files with --outputs"
    return [Doubt("search_stopped", _text(folder), detail)]


def _folded(doubts: Iterable[Doubt]) -> Iterator[Doubt]:
    """The first few doubts of each kind, and one that counts the others of that kind."""
    kinds: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        kinds.setdefault(doubt.kind, []).append(doubt)
    for kind, alike in kinds.items():
        yield from alike[:DOUBTS_OF_A_KIND]
        if others := alike[DOUBTS_OF_A_KIND:]:
            yield Doubt(kind, others[0].path, f"{len(others)} more files like {alike[0].path}")


def _doubt(folder: Path, kind: str, file: File, ending: str) -> Doubt:
    return Doubt(kind, _text(file.path), f"{_display(folder, file.path)} {ending}")


def _display(folder: Path, path: Path) -> str:
    """A path as the user would name it: from `folder` on, if it lies there."""
    return _text(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _text(path: Path) -> str:
    """A path as text that can be stored and printed, whatever its bytes are."""
    return os.fsencode(path).decode(errors="backslashreplace")
