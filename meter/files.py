"""Which files lie below a folder or match a pattern, and which of them someone still writes.

A search is bounded in entries and in time: a command may have been started in a home folder. It
follows no links to folders and leaves out what programs don't write their results to: hidden
folders, environments, caches. Folders that can't be read are passed over, since what the user
can't list, the user's command could hardly have written to.
"""

import glob
import os
import stat
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages"})
ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})
"""A folder with one of these in it holds an environment of Python or conda."""
SETTLING_S = 0.05
"""How long a file that was just written is watched for growth."""


class File(NamedTuple):
    """A file as it was found; times in ns since 1970. `link` if it was found through a symlink."""

    path: Path
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    link: bool = False


class Limits(NamedTuple):
    """How many entries of folders a search looks at, and how long it may take."""

    entries: int = 200_000
    seconds: float = 1.0


class Hits(NamedTuple):
    """The files of a search; `stopped` says at which limit it ended, None if it is complete."""

    files: tuple[File, ...]
    stopped: str | None = None


def search(folder: Path, suffixes: frozenset[str], *, limits: Limits) -> Hits:
    """The files below `folder` that end in one of `suffixes` (lower case), the nearest first."""
    files: list[File] = []
    seen = 0
    deadline = time.monotonic() + limits.seconds
    folders = deque([str(folder)])
    while folders:
        top = folders.popleft()
        try:
            with os.scandir(top) as listing:
                entries = list(islice(listing, limits.entries - seen + 1))
        except OSError:
            continue
        seen += len(entries)
        if top != str(folder) and not ENVIRONMENT_MARKS.isdisjoint(e.name for e in entries):
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if suffix(entry.name) in suffixes and (file := look(Path(entry.path))):
                files.append(file)
            elif entry.name not in SKIPPED_FOLDERS and _is_folder(entry):
                folders.append(entry.path)
        if seen > limits.entries:
            return Hits(tuple(files), f"{limits.entries} entries")
        if time.monotonic() > deadline:
            return Hits(tuple(files), f"{limits.seconds:g} s")
    return Hits(tuple(files))


def matching(folder: Path, pattern: str, *, suffixes: frozenset[str], limits: Limits) -> Hits:
    """The files that match a shell pattern, relative to `folder` or absolute; `**` goes deep.

    A pattern that leaves the suffix open (`out/*`) brings only files with one of `suffixes`; a
    name or `*.bin` brings what it says. A folder is searched if the pattern ends in its name.
    """
    # Path.expanduser raises where there is no such user; Path.glob takes no absolute patterns.
    wanted = os.fspath(folder / os.path.expanduser(pattern))  # noqa: PTH111
    ending = Path(wanted).suffix or Path(wanted).name
    any_suffix = not glob.has_magic(ending)
    if _stat(Path(wanted)):  # a name with brackets in it is a name
        wanted, any_suffix = glob.escape(wanted), True
    files: list[File] = []
    stopped: str | None = None
    deadline = time.monotonic() + limits.seconds
    for count, name in enumerate(glob.iglob(wanted, recursive=True)):  # noqa: PTH207
        if count >= limits.entries or time.monotonic() > deadline:
            return Hits(tuple(files), f"{count} matches of {pattern}")
        path = Path(name)
        if file := look(path):
            files += [file] if any_suffix or suffix(name) in suffixes else []
        elif any_suffix:
            below = search(path, suffixes, limits=limits)
            files += below.files
            stopped = stopped or below.stopped
    return Hits(tuple(files), stopped)


def suffix(name: str) -> str:
    """The ending of a file's name from the last dot on, in lower case; empty if there is none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def look(path: Path) -> File | None:
    """The file at `path`, through links; None if there is none or it isn't a regular file."""
    found = _stat(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return File(
        path,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        path.is_symlink(),
    )


def once_each(files: Iterable[File]) -> list[File]:
    """One of the names of each file, in the order of writing; a hard link is as good as another."""
    ordered = sorted(files, key=lambda file: (file.link, file.path))
    first = {(file.device, file.inode): file for file in reversed(ordered)}
    return sorted(first.values(), key=lambda file: (file.mtime_ns, file.path))


def still_written(files: list[File]) -> set[File]:
    """Those of `files` that change, or that another process holds open for writing."""
    if not files:
        return set()
    if any(time.time_ns() - file.mtime_ns < 1_000_000_000 for file in files):
        time.sleep(SETTLING_S)
    held = _held_for_writing({os.path.realpath(file.path) for file in files})
    return {
        file
        for file in files
        if os.path.realpath(file.path) in held
        or (now := look(file.path)) is None
        or (now.inode, now.size, now.mtime_ns) != (file.inode, file.size, file.mtime_ns)
    }


def _stat(path: Path) -> os.stat_result | None:
    """What the system knows of `path`, through links; None if there is nothing to be known."""
    try:
        return path.stat()
    except OSError:
        return None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _held_for_writing(paths: set[str]) -> set[str]:
    """Those of `paths` that another process, of those that may be looked at, can write to.

    From /proc/PID/fd and the octal `flags` in /proc/PID/fdinfo (proc(5)).
    """
    held: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            handles = list(os.scandir(process / "fd"))
        except OSError:
            continue  # it has ended, or is another user's
        for handle in handles:
            try:
                target = os.readlink(handle.path)  # noqa: PTH115 (thousands of them)
                if target in paths and _writes(process / "fdinfo" / handle.name):
                    held.add(target)
            except OSError:
                continue
    return held


def _writes(fdinfo: Path) -> bool:
    """Whether a handle is open for writing. Raises OSError if it was closed meanwhile."""
    fields = dict(line.split(":", 1) for line in fdinfo.read_text().splitlines() if ":" in line)
    return int(fields.get("flags", "0"), 8) & os.O_ACCMODE != os.O_RDONLY
